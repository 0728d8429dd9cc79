/* SPDX-License-Identifier: Apache-2.0
 * What the balancing rules promise, on random task gradients of many sizes, ranks and lengths: optimality conditions
 * formed again from the gradients, no conflict, independence of the order of tasks and of the unit of length. */
#include "support/support_balance.h"

#include "balance/bilevel.h"

/* tasks, size, rank */
static const int SHAPES[][3] = {{1, 1, 1},     {2, 3, 2},     {4, 3, 3},     {4, 9, 2},
                                {9, 11, 9},    {16, 40, 16},  {20, 10, 10},  {20, 10, 5},
                                {20, 100, 20}, {20, 100, 7},  {50, 100, 50}, {32, 114, 32},
                                {64, 40, 40},  {64, 400, 64}, {128, 40, 40}, {128, 300, 128}};

enum { SHAPE_COUNT = sizeof SHAPES / sizeof SHAPES[0] };

/* The bound; what is reached is printed, and lies near 1e-15. */
static const double RESIDUAL = 1e-10;

typedef void (*case_check)(balance_case *c, mtli_rng *rng, double decades);

/* Random matrices of every shape: with and without a common part, of equal and of very different lengths. */
static void each_case(uint64_t stream, int repetitions, case_check check)
{
    const double decades[] = {0, 3, 15};
    mtli_rng rng;
    mtli_rng_init(&rng, 11, stream);
    for (int s = 0; s < SHAPE_COUNT; s++) {
        int rounds = SHAPES[s][0] > 32 ? 1 : repetitions;
        for (int r = 0; r < 6 * rounds; r++) {
            balance_case c = balance_create(SHAPES[s][0], SHAPES[s][1]);
            balance_random(&c, SHAPES[s][2], r % 2, decades[r % 3], &rng);
            check(&c, &rng, decades[r % 3]);
            balance_free(&c);
        }
    }
}

/* ---- every rule: an answer, a residual, no conflict where that is promised ---- */

static double worst_residual[BALANCE_RULES];
static double worst_conflict[BALANCE_RULES];

static void check_every_rule(balance_case *c, mtli_rng *rng, double decades)
{
    (void)rng;
    for (int k = 0; k < BALANCE_RULES; k++) {
        const balance_rule *rule = &balance_rules[k];
        mtli_balance_result result = rule->decide(c->tasks, c->gram, c->weights, c->work);
        if (result.status > MTLI_BALANCE_STATIONARY || !(result.residual <= RESIDUAL)) {
            fail_msg("%s, %d x %d, %g decades: status %d, residual %g", rule->name, c->tasks, c->size, decades,
                     (int)result.status, result.residual);
        }
        double magnitude = balance_form_direction(c);
        for (int32_t i = 0; i < c->tasks && rule->without_conflict; i++) {
            double product = c->products[i] / (c->norms[i] * magnitude);
            worst_conflict[k] = fmax(worst_conflict[k], -product);
        }
        worst_residual[k] = fmax(worst_residual[k], result.residual);
    }
}

static void every_rule_answers(void **state)
{
    (void)state;
    each_case(1, 20, check_every_rule);
    for (int k = 0; k < BALANCE_RULES; k++) {
        print_message("%-16s residual %.1e  conflict %.1e\n", balance_rules[k].name, worst_residual[k],
                      worst_conflict[k]);
        assert_true(worst_conflict[k] <= RESIDUAL);
    }
}

/* ---- optimality, from the gradients themselves ---- */

static void check_mgda(balance_case *c, mtli_rng *rng, double decades)
{
    (void)rng;
    (void)decades;
    mtli_balance_mgda(c->tasks, c->gram, c->weights, c->work);
    double magnitude = balance_form_direction(c);
    double sum = 0;
    double square = 0;
    for (int32_t k = 0; k < c->size; k++) {
        square += c->direction[k] * c->direction[k];
    }
    for (int32_t i = 0; i < c->tasks; i++) {
        double gap = c->products[i] - square;
        assert_true(c->weights[i] >= 0);
        assert_true((c->weights[i] > 0 ? fabs(gap) : -gap) <= RESIDUAL * c->norms[i] * magnitude);
        sum += c->weights[i];
    }
    assert_near(sum, 1, 1e-12);
}

static void mgda_is_the_smallest_combination(void **state)
{
    (void)state;
    each_case(2, 10, check_mgda);
}

static void check_dual(balance_case *c, mtli_rng *rng, double decades)
{
    (void)decades;
    double reference[BALANCE_MOST_TASKS];
    for (int32_t i = 0; i < c->tasks; i++) {
        reference[i] = i % 5 == 4 ? 0 : mtli_rng_uniform(rng);
    }
    mtli_balance_dual_projection(c->tasks, c->gram, reference, c->weights, c->work);
    double magnitude = balance_form_direction(c);
    for (int32_t i = 0; i < c->tasks; i++) {
        assert_true(c->weights[i] >= reference[i]);
        double product = c->weights[i] > reference[i] ? fabs(c->products[i]) : -c->products[i];
        assert_true(product <= RESIDUAL * c->norms[i] * magnitude);
    }
}

static void dual_projection_is_the_nearest_without_conflict(void **state)
{
    (void)state;
    each_case(3, 10, check_dual);
}

static void check_upgrad(balance_case *c, mtli_rng *rng, double decades)
{
    (void)decades;
    double reference[BALANCE_MOST_TASKS] = {0};
    double preference[BALANCE_MOST_TASKS];
    double part[BALANCE_MOST_TASKS];
    double sum[BALANCE_MOST_TASKS] = {0};
    for (int32_t i = 0; i < c->tasks; i++) {
        preference[i] = mtli_rng_uniform(rng);
    }
    for (int32_t i = 0; i < c->tasks; i++) {
        reference[i] = preference[i];
        mtli_balance_dual_projection(c->tasks, c->gram, reference, part, c->work);
        reference[i] = 0;
        for (int32_t k = 0; k < c->tasks; k++) {
            sum[k] += part[k];
        }
    }
    mtli_balance_upgrad(c->tasks, c->gram, preference, c->weights, c->work);
    balance_form_direction(c);
    for (int32_t k = 0; k < c->tasks; k++) {
        part[k] = c->products[k];
    }
    memcpy(c->weights, sum, (size_t)c->tasks * sizeof sum[0]);
    double magnitude = balance_form_direction(c);
    for (int32_t k = 0; k < c->tasks; k++) {
        assert_true(fabs(part[k] - c->products[k]) <= RESIDUAL * c->norms[k] * magnitude);
    }
}

static void upgrad_is_the_sum_of_projections(void **state)
{
    (void)state;
    each_case(4, 3, check_upgrad);
}

static double length_of(int32_t n, const double *x)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++) {
        sum += x[i] * x[i];
    }
    return sqrt(sum);
}

/* Primal: min_i <g_i, d> in the ball. Dual: <g_0, g_v> + c ‖g_0‖ ‖g_v‖ on the simplex. They meet. */
static void check_cagrad(balance_case *c, mtli_rng *rng, double decades)
{
    double radius = (double[]){0.2, 0.5, 0.9, 1.5}[mtli_rng_below(rng, 4)];
    double mean[BALANCE_MOST_SIZE] = {0};
    double v[BALANCE_MOST_TASKS];
    double g_v[BALANCE_MOST_SIZE] = {0};
    double away[BALANCE_MOST_SIZE];
    mtli_balance_result result = mtli_balance_cagrad(c->tasks, c->gram, radius, MTLI_CAGRAD_NONE, c->weights, c->work);
    double magnitude = balance_form_direction(c);
    double total = 0;
    for (int32_t i = 0; i < c->tasks; i++) {
        v[i] = c->weights[i] - 1.0 / c->tasks;
        assert_true(v[i] >= 0);
        total += v[i];
    }
    for (int32_t k = 0; k < c->size; k++) {
        for (int32_t i = 0; i < c->tasks; i++) {
            mean[k] += c->g[i * c->size + k] / c->tasks;
            g_v[k] += total > 0 ? c->g[i * c->size + k] * (v[i] / total) : 0;
        }
        away[k] = c->direction[k] - mean[k];
    }
    double ball = radius * length_of(c->size, mean);
    assert_true(length_of(c->size, away) <= ball * (1 + 1e-9) + 1e-7 * magnitude);
    if (result.status == MTLI_BALANCE_STATIONARY || decades > 0) {
        return; /* values of rows of other lengths are rounding to each other */
    }
    double dual = ball * length_of(c->size, g_v);
    for (int32_t k = 0; k < c->size; k++) {
        dual += mean[k] * g_v[k];
    }
    double primal = INFINITY;
    double longest = 0;
    for (int32_t i = 0; i < c->tasks; i++) {
        primal = fmin(primal, c->products[i]);
        longest = fmax(longest, c->norms[i]);
    }
    assert_true(primal <= dual + RESIDUAL * longest * magnitude);
    assert_near(primal, dual, RESIDUAL * longest * magnitude);
}

static void cagrad_closes_the_duality_gap(void **state)
{
    (void)state;
    each_case(5, 20, check_cagrad);
}

static void check_fair(balance_case *c, mtli_rng *rng, double decades)
{
    /* Far from 1, weights may leave the range of double when lengths do differ that much. */
    const double close[] = {0.5, 1, 2};
    const double wide[] = {0.1, 0.3, 5};
    double alpha = decades > 0 ? close[mtli_rng_below(rng, 3)] : wide[mtli_rng_below(rng, 3)];
    mtli_balance_result result = mtli_balance_fair_gradient(c->tasks, c->gram, alpha, c->weights, c->work);
    if (result.status == MTLI_BALANCE_STATIONARY) {
        return;
    }
    assert_int_equal(result.status, MTLI_BALANCE_OK);
    double magnitude = balance_form_direction(c);
    for (int32_t i = 0; i < c->tasks; i++) {
        assert_true(c->weights[i] > 0);
        double wanted = pow(c->weights[i], -1 / alpha);
        assert_near(c->products[i], wanted, RESIDUAL * (c->norms[i] * magnitude + wanted));
    }
}

static void fair_gradient_solves_its_equation(void **state)
{
    (void)state;
    each_case(6, 20, check_fair);
}

static void check_projections(balance_case *c, mtli_rng *rng, double decades)
{
    (void)rng;
    (void)decades;
    if (rule_imtl_g(c->tasks, c->gram, c->weights, c->work).status == MTLI_BALANCE_OK && c->size >= c->tasks * 2) {
        double magnitude = balance_form_direction(c);
        for (int32_t i = 1; i < c->tasks; i++) {
            assert_near(c->products[i] / c->norms[i], c->products[0] / c->norms[0], RESIDUAL * magnitude);
        }
    }
    if (rule_config(c->tasks, c->gram, c->weights, c->work).status == MTLI_BALANCE_OK && c->size >= c->tasks * 2) {
        double magnitude = balance_form_direction(c);
        for (int32_t i = 1; i < c->tasks; i++) {
            assert_near(c->products[i] / c->norms[i], c->products[0] / c->norms[0], RESIDUAL * magnitude);
        }
    }
}

/* Where the gradients are linearly independent. */
static void config_and_imtl_g_project_equally(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 11, 7);
    for (int r = 0; r < 60; r++) {
        int32_t tasks = (int32_t)mtli_rng_below(&rng, 40) + 1;
        balance_case c = balance_create(tasks, 2 * tasks + 3);
        balance_random(&c, c.size, r % 2, r % 3 == 0 ? 15 : 0, &rng);
        check_projections(&c, &rng, 0);
        balance_free(&c);
    }
}

/* ---- FORUM ---- */

static double worst_forum;

/* KKT of min ½ ‖Σ γF + νq‖² - ν phi ‖q‖² from the gradients, F_i at length 1 when `unit`. */
static void check_forum_answer(balance_case *c, double phi, bool unit, double nu)
{
    int32_t tasks = c->tasks - 1;
    double sum = 0;
    double shortest = INFINITY;
    double lambda = 0;
    c->weights[tasks] = nu;
    for (int32_t i = 0; i < tasks; i++) {
        assert_true(c->weights[i] >= 0);
        sum += c->weights[i];
        c->weights[i] /= unit ? c->norms[i] : 1;
    }
    assert_near(sum, 1, 1e-12);
    assert_true(nu >= 0 && isfinite(nu));
    double q = c->norms[tasks];
    double magnitude = balance_form_direction(c) + phi * q;
    double gap = phi * q * q - c->products[tasks];
    assert_true((nu > 0 ? fabs(gap) : gap) <= RESIDUAL * q * magnitude);
    for (int32_t i = 0; i < tasks; i++) { /* the row that says λ with the least rounding: that of the shortest F_i */
        double length = unit ? 1 : c->norms[i];
        if (c->weights[i] > 0 && length < shortest) {
            shortest = length;
            lambda = c->products[i] / (unit ? c->norms[i] : 1);
        }
    }
    for (int32_t i = 0; i < tasks; i++) {
        double length = unit ? 1 : c->norms[i];
        double above = c->products[i] / (unit ? c->norms[i] : 1) - lambda;
        assert_true((c->weights[i] > 0 ? fabs(above) : -above) <= RESIDUAL * (length + shortest) * magnitude);
    }
}

static void check_forum(balance_case *c, mtli_rng *rng, double decades)
{
    balance_case more = balance_create(c->tasks + 1, c->size);
    void *work = balance_allocate(mtli_bilevel_work(c->tasks));
    const double phis[] = {0, 1e-3, 0.1, 1, 100};
    double length = pow(10, decades * (2 * mtli_rng_uniform(rng) - 1));
    bool dependent = mtli_rng_below(rng, 2);
    memcpy(more.g, c->g, (size_t)(c->tasks * c->size) * sizeof(double));
    for (int32_t k = 0; k < c->size; k++) {
        double x = mtli_rng_normal(rng);
        double difference = c->g[k] / c->norms[0] - c->g[(c->tasks - 1) * c->size + k] / c->norms[c->tasks - 1];
        more.g[c->tasks * c->size + k] = length * (dependent && c->tasks > 1 ? difference : x);
    }
    balance_form_gram(&more);
    for (int k = 0; k < 10; k++) {
        double nu;
        mtli_balance_result result =
            mtli_balance_forum(c->tasks, more.gram, phis[k / 2], k % 2, more.weights, &nu, work);
        if (result.status != MTLI_BALANCE_OK) {
            fail_msg("FORUM, %d x %d, %g decades, phi %g: status %d, residual %g", c->tasks, c->size, decades,
                     phis[k / 2], (int)result.status, result.residual);
        }
        worst_forum = fmax(worst_forum, result.residual);
        check_forum_answer(&more, phis[k / 2], k % 2, nu);
    }
    free(work);
    balance_free(&more);
}

/* F_i in another order: the same direction. */
static void check_forum_order(balance_case *c, mtli_rng *rng, double decades)
{
    (void)rng;
    int32_t tasks = c->tasks - 1;
    if (tasks < 1 || decades > 0) {
        return;
    }
    balance_case other = balance_create(c->tasks, c->size);
    void *work = balance_allocate(mtli_bilevel_work(tasks));
    for (int32_t i = 0; i < c->tasks; i++) {
        int32_t from = i < tasks ? tasks - 1 - i : tasks;
        memcpy(other.g + i * c->size, c->g + from * c->size, (size_t)c->size * sizeof(double));
    }
    balance_form_gram(&other);
    mtli_balance_forum(tasks, c->gram, 0.1, false, c->weights, &c->weights[tasks], work);
    mtli_balance_forum(tasks, other.gram, 0.1, false, other.weights, &other.weights[tasks], work);
    double magnitude = fmax(balance_form_direction(c), balance_form_direction(&other));
    for (int32_t p = 0; p < c->size; p++) { /* G carries half of the digits of d where gradients nearly cancel */
        assert_near(other.direction[p], c->direction[p], 1e-7 * magnitude);
    }
    free(work);
    balance_free(&other);
}

static void forum_does_not_see_the_order_of_tasks(void **state)
{
    (void)state;
    each_case(13, 6, check_forum_order);
}

static void forum_meets_its_conditions(void **state)
{
    (void)state;
    each_case(12, 10, check_forum);
    print_message("FORUM            residual %.1e\n", worst_forum);
}

/* ---- invariances ---- */

static void permute(const balance_case *from, const int32_t *order, balance_case *to)
{
    for (int32_t i = 0; i < from->tasks; i++) {
        memcpy(to->g + i * from->size, from->g + order[i] * from->size, (size_t)from->size * sizeof(double));
    }
    balance_form_gram(to);
}

static void check_order(balance_case *c, mtli_rng *rng, double decades)
{
    int32_t order[BALANCE_MOST_TASKS];
    for (int32_t i = 0; i < c->tasks; i++) {
        order[i] = i;
    }
    for (int32_t i = c->tasks - 1; i > 0; i--) {
        int32_t j = (int32_t)mtli_rng_below(rng, (uint64_t)i + 1);
        int32_t task = order[i];
        order[i] = order[j];
        order[j] = task;
    }
    balance_case other = balance_create(c->tasks, c->size);
    permute(c, order, &other);
    for (int k = 0; k < BALANCE_RULES && decades == 0; k++) {
        if (!balance_rules[k].symmetric) {
            continue;
        }
        balance_rules[k].decide(c->tasks, c->gram, c->weights, c->work);
        balance_rules[k].decide(c->tasks, other.gram, other.weights, c->work);
        double magnitude = fmax(balance_form_direction(c), balance_form_direction(&other));
        for (int32_t p = 0; p < c->size; p++) {
            /* G carries half of the digits of d where gradients nearly cancel. */
            test_near(other.direction[p], c->direction[p], 1e-7 * magnitude, balance_rules[k].name, __FILE__, __LINE__);
        }
    }
    balance_free(&other);
}

static void order_of_tasks_does_not_matter(void **state)
{
    (void)state;
    each_case(8, 6, check_order);
}

static void check_scale(balance_case *c, mtli_rng *rng, double decades)
{
    (void)decades;
    balance_case other = balance_create(c->tasks, c->size);
    double scale = exp2((double)mtli_rng_below(rng, 201) - 100); /* exact: 1e-30 to 1e30 */
    balance_set(&other, c->g);
    balance_scale(&other, scale);
    for (int k = 0; k < BALANCE_RULES; k++) {
        mtli_balance_result a = balance_rules[k].decide(c->tasks, c->gram, c->weights, c->work);
        mtli_balance_result b = balance_rules[k].decide(c->tasks, other.gram, other.weights, c->work);
        assert_int_equal(a.status, b.status);
        if (a.status == MTLI_BALANCE_OK) {
            double factor = pow(scale, balance_rules[k].degree);
            for (int32_t i = 0; i < c->tasks; i++) {
                c->weights[i] *= factor;
            }
            /* The same operations on numbers times powers of two, but for logarithms and the final powers. */
            test_close_double(other.weights, c->weights, (size_t)c->tasks, 1e-11, 0, balance_rules[k].name, __FILE__,
                              __LINE__);
        }
    }
    balance_free(&other);
}

static void unit_of_length_does_not_matter(void **state)
{
    (void)state;
    each_case(9, 4, check_scale);
}

/* The direction is linear in the length of each gradient for UPGrad (its projections see unit gradients only). */
static void upgrad_is_linear_in_each_gradient(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 11, 10);
    for (int r = 0; r < 50; r++) {
        balance_case c = balance_create(7, 9);
        balance_random(&c, 9, 0, 2, &rng);
        double first[9];
        double second[9];
        double reference[7];
        double mixed[7];
        for (int i = 0; i < 7; i++) {
            reference[i] = mtli_rng_uniform(&rng);
            mixed[i] = 2 * reference[i] + 3.0 / 7;
        }
        mtli_balance_upgrad(7, c.gram, reference, c.weights, c.work);
        balance_form_direction(&c);
        memcpy(first, c.direction, sizeof first);
        mtli_balance_upgrad(7, c.gram, NULL, c.weights, c.work);
        balance_form_direction(&c);
        memcpy(second, c.direction, sizeof second);
        mtli_balance_upgrad(7, c.gram, mixed, c.weights, c.work);
        double magnitude = balance_form_direction(&c);
        for (int p = 0; p < 9; p++) {
            assert_near(c.direction[p], 2 * first[p] + 3 * second[p], 1e-10 * magnitude);
        }
        balance_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_answers),
        cmocka_unit_test(mgda_is_the_smallest_combination),
        cmocka_unit_test(dual_projection_is_the_nearest_without_conflict),
        cmocka_unit_test(upgrad_is_the_sum_of_projections),
        cmocka_unit_test(cagrad_closes_the_duality_gap),
        cmocka_unit_test(fair_gradient_solves_its_equation),
        cmocka_unit_test(config_and_imtl_g_project_equally),
        cmocka_unit_test(forum_meets_its_conditions),
        cmocka_unit_test(forum_does_not_see_the_order_of_tasks),
        cmocka_unit_test(order_of_tasks_does_not_matter),
        cmocka_unit_test(unit_of_length_does_not_matter),
        cmocka_unit_test(upgrad_is_linear_in_each_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
