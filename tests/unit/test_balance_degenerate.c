/* SPDX-License-Identifier: Apache-2.0
 * The balancing rules where gradients are zero, equal, parallel, opposite or dependent, alone, or not finite: each case
 * has its answer, and none is NaN. */
#include "support/support_balance.h"

static balance_case case_of(int32_t tasks, int32_t size, const double *g)
{
    balance_case c = balance_create(tasks, size);
    balance_set(&c, g);
    return c;
}

static double direction_length(balance_case *c)
{
    double sum = 0;
    balance_form_direction(c);
    for (int32_t k = 0; k < c->size; k++) {
        sum += c->direction[k] * c->direction[k];
    }
    return sqrt(sum);
}

/* ---- one task: its gradient, but for rules whose formula has another length ---- */

static void one_task_is_itself(void **state)
{
    (void)state;
    const double lengths[] = {1e-15, 1, 1e15};
    for (int s = 0; s < 3; s++) {
        const double g[] = {3 * lengths[s], -4 * lengths[s]};
        balance_case c = case_of(1, 2, g);
        for (int k = 0; k < BALANCE_RULES; k++) {
            mtli_balance_result result = balance_rules[k].decide(1, c.gram, c.weights, c.work);
            assert_int_equal(result.status, MTLI_BALANCE_OK);
            if (balance_rules[k].is_mean_alone) {
                test_near(c.weights[0], 1, 1e-14, balance_rules[k].name, __FILE__, __LINE__);
            }
        }
        rule_cagrad(1, c.gram, c.weights, c.work); /* g_0 + c g_0 */
        assert_near(c.weights[0], 1.5, 1e-14);
        mtli_balance_cagrad(1, c.gram, 0.5, MTLI_CAGRAD_LINEAR, c.weights, c.work);
        assert_near(c.weights[0], 1, 1e-14);
        mtli_balance_fair_gradient(1, c.gram, 2, c.weights, c.work); /* n² w = w^-1/2 */
        assert_near(c.weights[0] * pow(25 * lengths[s] * lengths[s], 2.0 / 3), 1, 1e-13);
        balance_free(&c);
    }
}

/* ---- zero gradients ---- */

static void all_zero_gives_no_direction(void **state)
{
    (void)state;
    const double g[6] = {0};
    balance_case c = case_of(3, 2, g);
    for (int k = 0; k < BALANCE_RULES; k++) {
        mtli_balance_result result = balance_rules[k].decide(3, c.gram, c.weights, c.work);
        assert_in_range(result.status, MTLI_BALANCE_OK, MTLI_BALANCE_STATIONARY);
        assert_near(result.residual, 0, 0);
        assert_near(direction_length(&c), 0, 0);
    }
    balance_free(&c);
}

/* A zero gradient besides others: the rules other than MGDA (whose smallest vector it is) decide as if it were not
 * there, and its own weight is 0 or that of the reference. */
static void a_zero_gradient_takes_no_part(void **state)
{
    (void)state;
    const double g[] = {-4, 1, 1, 0, 0, 0, 6, 1, 1};
    const double without[] = {-4, 1, 1, 6, 1, 1};
    balance_case c = case_of(3, 3, g);
    balance_case other = case_of(2, 3, without);
    mtli_balance_mgda(3, c.gram, c.weights, c.work);
    assert_close(c.weights, ((const double[]){0, 1, 0}), 3, 0, 0);
    for (int k = 0; k < BALANCE_RULES; k++) {
        const balance_rule *rule = &balance_rules[k];
        bool of_mean = rule->decide == rule_cagrad || rule->decide == rule_upgrad || rule->decide == rule_dual ||
                       rule->decide == rule_aligned || rule->decide == rule_aligned_median ||
                       rule->decide == rule_aligned_rmse;
        double factor = of_mean ? 2.0 / 3 : 1; /* 1/T of the reference */
        if (rule->decide == mtli_balance_mgda) {
            continue;
        }
        rule->decide(3, c.gram, c.weights, c.work);
        rule->decide(2, other.gram, other.weights, c.work);
        test_near(c.weights[0], other.weights[0] * factor, 1e-13, rule->name, __FILE__, __LINE__);
        test_near(c.weights[2], other.weights[1] * factor, 1e-13, rule->name, __FILE__, __LINE__);
        assert_true(isfinite(c.weights[1]) && c.weights[1] >= 0);
    }
    balance_free(&c);
    balance_free(&other);
}

/* ---- parallel, equal, opposite ---- */

/* Equal gradients: the direction is the gradient, times 1 or what the rule makes of T of them. */
static void equal_gradients_agree(void **state)
{
    (void)state;
    const double g[] = {1, 2, 1, 2, 1, 2, 1, 2};
    balance_case c = case_of(4, 2, g);
    for (int k = 0; k < BALANCE_RULES; k++) {
        const balance_rule *rule = &balance_rules[k];
        mtli_balance_result result = rule->decide(4, c.gram, c.weights, c.work);
        assert_int_equal(result.status, MTLI_BALANCE_OK);
        assert_true(result.residual <= 1e-13);
        balance_form_direction(&c);
        assert_true(c.direction[0] > 0);
        test_near(c.direction[1], 2 * c.direction[0], 1e-9 * c.direction[0], rule->name, __FILE__, __LINE__);
    }
    mtli_balance_mgda(4, c.gram, c.weights, c.work);
    assert_near(direction_length(&c), sqrt(5), 1e-12);
    rule_upgrad(4, c.gram, c.weights, c.work);
    assert_near(direction_length(&c), sqrt(5), 1e-12);
    balance_free(&c);
}

/* Parallel gradients: MGDA takes the shortest. */
static void parallel_gradients_have_the_shortest(void **state)
{
    (void)state;
    const double g[] = {1e6, 2e6, 1e-6, 2e-6, 1, 2};
    balance_case c = case_of(3, 2, g);
    mtli_balance_mgda(3, c.gram, c.weights, c.work);
    assert_near(c.weights[1], 1, 1e-11);
    mtli_balance_result result = mtli_balance_nash(3, c.gram, c.weights, c.work);
    assert_int_equal(result.status, MTLI_BALANCE_OK);
    for (int i = 1; i < 3; i++) { /* equal shares of the direction */
        assert_near(c.weights[i] * c.norms[i], c.weights[0] * c.norms[0], 1e-9 * c.weights[0] * c.norms[0]);
    }
    balance_free(&c);
}

/* Opposite gradients: no direction is good for both. */
static void opposite_gradients_are_stationary(void **state)
{
    (void)state;
    const double lengths[] = {1e-10, 1, 1e10};
    for (int s = 0; s < 3; s++) {
        const double g[] = {1, 2, -lengths[s], -2 * lengths[s]};
        balance_case c = case_of(2, 2, g);
        for (int k = 0; k < BALANCE_RULES; k++) {
            const balance_rule *rule = &balance_rules[k];
            mtli_balance_result result = rule->decide(2, c.gram, c.weights, c.work);
            assert_in_range(result.status, MTLI_BALANCE_OK, MTLI_BALANCE_STATIONARY);
            double magnitude = balance_form_direction(&c);
            for (int i = 0; i < 2 && rule->without_conflict; i++) {
                assert_near(c.products[i], 0, 1e-14 * magnitude * c.norms[i]);
            }
        }
        assert_int_equal(mtli_balance_nash(2, c.gram, c.weights, c.work).status, MTLI_BALANCE_STATIONARY);
        assert_int_equal(rule_config(2, c.gram, c.weights, c.work).status, MTLI_BALANCE_STATIONARY);
        assert_near(direction_length(&c), 0, 0);
        balance_free(&c);
    }
}

/* CAGrad's ball reaches beyond 0 when c >= 1: the only direction without conflict is 0. */
static void cagrad_of_opposites(void **state)
{
    (void)state;
    const double g[] = {1, -.5};
    balance_case c = case_of(2, 1, g);
    mtli_balance_result result = mtli_balance_cagrad(2, c.gram, 1.25, MTLI_CAGRAD_NONE, c.weights, c.work);
    assert_int_equal(result.status, MTLI_BALANCE_STATIONARY);
    assert_near(direction_length(&c), 0, 1e-15);
    result = mtli_balance_cagrad(2, c.gram, 0.5, MTLI_CAGRAD_NONE, c.weights, c.work);
    assert_int_equal(result.status, MTLI_BALANCE_OK);
    balance_form_direction(&c);
    assert_near(c.direction[0], 0.125, 1e-14); /* g_0 = 1/4; the nearest to 0 in the ball */
    balance_free(&c);
}

/* 0 lies in the hull, the mean does not conflict, and CAGrad must not leave it (its formula divides by ‖g_v‖ = 0). */
static void cagrad_keeps_a_mean_without_conflict(void **state)
{
    (void)state;
    const double g[] = {1, 0, -1, 0, 0, 1};
    balance_case c = case_of(3, 2, g);
    mtli_balance_result result = rule_cagrad(3, c.gram, c.weights, c.work);
    assert_int_equal(result.status, MTLI_BALANCE_STATIONARY);
    balance_form_direction(&c);
    assert_near(c.direction[0], 0, 1e-15);
    assert_near(c.direction[1], 1.0 / 3, 1e-15);
    balance_free(&c);
}

static void cagrad_of_a_zero_mean(void **state)
{
    (void)state;
    const double g[] = {1, 0, -.5, .5, -.5, -.5};
    balance_case c = case_of(3, 2, g);
    mtli_balance_result result = rule_cagrad(3, c.gram, c.weights, c.work);
    assert_int_equal(result.status, MTLI_BALANCE_STATIONARY);
    assert_close(c.weights, ((const double[]){1.0 / 3, 1.0 / 3, 1.0 / 3}), 3, 1e-15, 0);
    balance_free(&c);
}

/* More tasks than dimensions, duplicates among them: the answer is that of the distinct ones where the rule says so. */
static void duplicates_do_not_move_mgda(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 3, 1);
    for (int r = 0; r < 100; r++) {
        balance_case c = balance_create(12, 4);
        balance_random(&c, 4, 1, r % 2 ? 3 : 0, &rng);
        memcpy(c.g + 6 * 4, c.g, 6 * 4 * sizeof(double));
        balance_form_gram(&c);
        balance_case half = balance_create(6, 4);
        balance_set(&half, c.g);
        mtli_balance_result result = mtli_balance_mgda(12, c.gram, c.weights, c.work);
        mtli_balance_mgda(6, half.gram, half.weights, half.work);
        assert_int_equal(result.status, MTLI_BALANCE_OK);
        assert_true(result.residual <= 1e-12);
        double magnitude = balance_form_direction(&c);
        balance_form_direction(&half);
        for (int i = 0; i < 6; i++) {
            assert_near(c.products[i], half.products[i], 1e-10 * c.norms[i] * magnitude);
        }
        balance_free(&c);
        balance_free(&half);
    }
}

/* ---- the length of the gradients must not switch a rule off (others' thresholds do) ---- */

static void short_gradients_are_balanced_too(void **state)
{
    (void)state;
    const double lengths[] = {1e-140, 1e-30, 1e-15, 1e-3, 1e15, 1e140};
    for (int s = 0; s < 6; s++) {
        const double g[] = {-4 * lengths[s], lengths[s], lengths[s], 6 * lengths[s], lengths[s], lengths[s]};
        balance_case c = case_of(2, 3, g);
        rule_upgrad(2, c.gram, c.weights, c.work);
        assert_near(c.weights[0], 10.0 / 9, 1e-13);
        assert_near(c.weights[1], 15.0 / 19, 1e-13);
        balance_free(&c);
    }
}

/* ---- inputs that no gradients have ---- */

static void numbers_that_are_not_finite(void **state)
{
    (void)state;
    const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int b = 0; b < 3; b++) {
        double g[] = {1, 2, 3, 4};
        balance_case c = case_of(2, 2, g);
        c.gram[1] = bad[b];
        for (int k = 0; k < BALANCE_RULES; k++) {
            mtli_balance_result result = balance_rules[k].decide(2, c.gram, c.weights, c.work);
            assert_int_equal(result.status, MTLI_BALANCE_NOT_FINITE);
            assert_close(c.weights, ((const double[]){0, 0}), 2, 0, 0);
        }
        balance_free(&c);
    }
}

static void arguments_outside_the_domain(void **state)
{
    (void)state;
    const double g[] = {1, 2, 3, 4};
    balance_case c = case_of(2, 2, g);
    const double negative[] = {1, -1};
    const int32_t orders[] = {0, 1, 0, 2};
    assert_int_equal(mtli_balance_fair_gradient(2, c.gram, 0, c.weights, c.work).status, MTLI_BALANCE_DOMAIN);
    assert_int_equal(mtli_balance_fair_gradient(2, c.gram, NAN, c.weights, c.work).status, MTLI_BALANCE_DOMAIN);
    assert_int_equal(mtli_balance_cagrad(2, c.gram, -1, MTLI_CAGRAD_NONE, c.weights, c.work).status,
                     MTLI_BALANCE_DOMAIN);
    assert_int_equal(mtli_balance_upgrad(2, c.gram, negative, c.weights, c.work).status, MTLI_BALANCE_DOMAIN);
    assert_int_equal(mtli_balance_dual_projection(2, c.gram, negative, c.weights, c.work).status, MTLI_BALANCE_DOMAIN);
    assert_int_equal(mtli_balance_pcgrad(2, c.gram, orders, false, c.weights, c.work).status, MTLI_BALANCE_DOMAIN);
    assert_int_equal(mtli_balance_krum(2, c.gram, 0, 1, c.weights, c.work).status, MTLI_BALANCE_DOMAIN);
    assert_close(c.weights, ((const double[]){0, 0}), 2, 0, 0);
    balance_free(&c);
}

/* Any finite numbers, symmetric but otherwise no Gram matrix: no rule ends with NaN or infinity. */
static void any_finite_matrix_has_an_answer(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 3, 2);
    for (int r = 0; r < 3000; r++) {
        int32_t tasks = (int32_t)mtli_rng_below(&rng, 9) + 1;
        balance_case c = balance_create(tasks, 1);
        double spread = (double[]){0, 5, 100, 300}[r % 4];
        for (int32_t i = 0; i < tasks; i++) {
            for (int32_t j = 0; j <= i; j++) {
                double size = pow(10, spread * (2 * mtli_rng_uniform(&rng) - 1));
                double x = mtli_rng_below(&rng, 8) == 0 ? 0 : size * (2 * mtli_rng_uniform(&rng) - 1);
                c.gram[i * tasks + j] = c.gram[j * tasks + i] = i == j && r % 3 ? fabs(x) : x;
            }
        }
        for (int k = 0; k < BALANCE_RULES; k++) {
            mtli_balance_result result = balance_rules[k].decide(tasks, c.gram, c.weights, c.work);
            if (isnan(result.residual)) {
                fail_msg("%s, round %d: the residual is NaN", balance_rules[k].name, r);
            }
            for (int32_t i = 0; i < tasks; i++) {
                if (!isfinite(c.weights[i])) {
                    fail_msg("%s, round %d: weight %d is not finite", balance_rules[k].name, r, i);
                }
            }
        }
        balance_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_task_is_itself),
        cmocka_unit_test(all_zero_gives_no_direction),
        cmocka_unit_test(a_zero_gradient_takes_no_part),
        cmocka_unit_test(equal_gradients_agree),
        cmocka_unit_test(parallel_gradients_have_the_shortest),
        cmocka_unit_test(opposite_gradients_are_stationary),
        cmocka_unit_test(cagrad_of_opposites),
        cmocka_unit_test(cagrad_keeps_a_mean_without_conflict),
        cmocka_unit_test(cagrad_of_a_zero_mean),
        cmocka_unit_test(duplicates_do_not_move_mgda),
        cmocka_unit_test(short_gradients_are_balanced_too),
        cmocka_unit_test(numbers_that_are_not_finite),
        cmocka_unit_test(arguments_outside_the_domain),
        cmocka_unit_test(any_finite_matrix_has_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
