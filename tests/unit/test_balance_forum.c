/* SPDX-License-Identifier: Apache-2.0
 * FORUM, MOML and Auto-Lambda: small cases that have their answer in closed form, degenerate ones, and derivatives
 * beside differences. FORUM's optimality on random gradients of all sizes is in property/test_property_balance.c, and beside
 * an enumeration in rational numbers in golden/test_golden_balance.c. */
#include "support/support_balance.h"

#include "balance/bilevel.h"
#include "balance/solver.h"

enum { MOST = 8 };

typedef struct forum_answer {
    mtli_balance_result result;
    double gamma[MOST];
    double nu;
    double direction[MOST]; /* r = Σ γF + νq of the gradients as they are, or at length 1 */
} forum_answer;

/* Rows of g [tasks + 1, size]; q is the last. */
static forum_answer forum_of(int tasks, int size, const double *g, double phi, bool unit)
{
    forum_answer answer = {.nu = NAN};
    double *gram = balance_allocate((size_t)((tasks + 1) * (tasks + 1)) * sizeof(double));
    void *work = balance_allocate(mtli_bilevel_work(tasks));
    for (int i = 0; i <= tasks; i++) {
        for (int j = 0; j <= tasks; j++) {
            gram[i * (tasks + 1) + j] = 0;
            for (int k = 0; k < size; k++) {
                gram[i * (tasks + 1) + j] += g[i * size + k] * g[j * size + k];
            }
        }
    }
    answer.result = mtli_balance_forum(tasks, gram, phi, unit, answer.gamma, &answer.nu, work);
    for (int i = 0; i <= tasks; i++) {
        double length = sqrt(gram[i * (tasks + 1) + i]);
        double weight = i < tasks ? answer.gamma[i] : answer.nu;
        assert_true(weight >= 0 && isfinite(weight));
        for (int k = 0; k < size; k++) {
            double x = g[i * size + k];
            answer.direction[k] += weight * (unit && i < tasks && length > 0 ? x / length : x);
        }
    }
    free(gram);
    free(work);
    return answer;
}

/* One F: the projection of F on {<q, r> >= phi ‖q‖²}. */
static void one_gradient_is_projected(void **state)
{
    (void)state;
    const double away[] = {3, 4, 2, 0}; /* <q, F> = 6 >= .1 · 4 */
    forum_answer answer = forum_of(1, 2, away, 0.1, false);
    assert_int_equal(answer.result.status, MTLI_BALANCE_OK);
    assert_near(answer.gamma[0], 1, 0);
    assert_near(answer.nu, 0, 0);
    const double against[] = {-3, 4, 2, 0}; /* ν = phi - <q, F> / ‖q‖² = .1 + 1.5 */
    answer = forum_of(1, 2, against, 0.1, false);
    assert_near(answer.nu, 1.6, 1e-15);
    assert_near(answer.direction[0], 0.2, 1e-14);
    assert_near(answer.direction[1], 4, 0);
    answer = forum_of(1, 2, against, 0.1, true); /* F = (-.6, .8) */
    assert_near(answer.nu, 0.1 + 0.3, 1e-15);
}

/* Two F and q at right angles: γ as MGDA's, ν = phi. */
static void orthogonal_parts_are_apart(void **state)
{
    (void)state;
    const double g[] = {1, 0, 0, 0, 2, 0, 0, 0, 5};
    for (int k = 0; k < 3; k++) {
        double phi = (double[]){0, 0.1, 7}[k];
        forum_answer answer = forum_of(2, 3, g, phi, false);
        assert_int_equal(answer.result.status, MTLI_BALANCE_OK);
        assert_close(answer.gamma, ((const double[]){0.8, 0.2}), 2, 1e-14, 0);
        assert_near(answer.nu, phi, 1e-15 * phi);
        answer = forum_of(2, 3, g, phi, true);
        assert_close(answer.gamma, ((const double[]){0.5, 0.5}), 2, 1e-14, 0);
    }
}

/* F = (±1, 1), q = (4, 0): r = (4 phi, 1), for phi ‖q‖² is all that is asked along q. Of the two, F_2 is then the one
 * that goes down less: it has the whole weight, and ν makes up for it: -1 + 4 ν = 4 phi. */
static void weight_goes_to_what_the_pull_hurts(void **state)
{
    (void)state;
    const double g[] = {1, 1, -1, 1, 4, 0};
    for (int k = 0; k < 2; k++) {
        double phi = (double[]){0.1, 0.5}[k];
        forum_answer answer = forum_of(2, 2, g, phi, false);
        assert_close(answer.gamma, ((const double[]){0, 1}), 2, 1e-14, 1e-15);
        assert_near(answer.nu, phi + 0.25, 1e-14);
        assert_near(answer.direction[0], 4 * phi, 1e-14);
        assert_near(answer.direction[1], 1, 1e-14);
    }
}

/* ---- degenerate ---- */

static void without_constraint_it_is_mgda(void **state)
{
    (void)state;
    const double g[] = {-4, 1, 1, 6, 1, 1, 0, 0, 0};
    forum_answer answer = forum_of(2, 3, g, 0.1, false);
    assert_int_equal(answer.result.status, MTLI_BALANCE_OK);
    assert_close(answer.gamma, ((const double[]){0.6, 0.4}), 2, 1e-14, 0);
    assert_near(answer.nu, 0, 0);
    const double zeros[9] = {0};
    answer = forum_of(2, 3, zeros, 0.1, true);
    assert_int_equal(answer.result.status, MTLI_BALANCE_OK);
    assert_close(answer.gamma, ((const double[]){0.5, 0.5}), 2, 0, 0);
    assert_near(answer.nu, 0, 0);
}

static void zero_gradients_take_the_rest(void **state)
{
    (void)state;
    const double only_q[] = {0, 0, 0, 0, 3, 4};
    forum_answer answer = forum_of(2, 2, only_q, 0.1, false); /* r = phi q */
    assert_close(answer.gamma, ((const double[]){0.5, 0.5}), 2, 0, 0);
    assert_near(answer.nu, 0.1, 1e-16);
    /* F_2 = (-8, 0) would only add to ν; F_3 = (8, 6) takes part: r = γ F_3 + ν q, both of <F_3, r> = 0 and
     * <q, r> = phi ‖q‖² cannot be, for both products are positive: γ = 0 */
    const double mixed[] = {0, 0, 8, 6, 2, 0};
    answer = forum_of(2, 2, mixed, 0.1, false);
    assert_close(answer.gamma, ((const double[]){1, 0}), 2, 0, 0);
    assert_near(answer.nu, 0.1, 1e-15);
    /* <F_2, r> = 0 and <q, r> = .4: -8 a + 100 γ... with F_2 = (-8, 6), q = (2, 0): r = (.2, .2667), γ = .0444 */
    const double against[] = {0, 0, -8, 6, 2, 0};
    answer = forum_of(2, 2, against, 0.1, false);
    assert_close(answer.gamma, ((const double[]){1 - 2.0 / 45, 2.0 / 45}), 2, 1e-13, 0);
    assert_near(answer.direction[0], 0.2, 1e-14);
    assert_near(answer.direction[1], 0.8 / 3, 1e-14);
    /* A larger phi asks for more than the weight 1 of F_2: none is left for the zero. */
    answer = forum_of(2, 2, against, 10, false);
    assert_close(answer.gamma, ((const double[]){0, 1}), 2, 1e-13, 0);
    assert_near(answer.direction[0], 20, 1e-12);
}

static void parallel_opposite_and_equal_gradients(void **state)
{
    (void)state;
    const double lengths[] = {1e-15, 1, 1e15};
    const double shapes[][8] = {
        {1, 0, 2, 0, 3, 0, 1, 0},   /* all along q */
        {-1, 0, -2, 0, 3, 0, 1, 0}, /* some against it */
        {-1, 0, -1, 0, -1, 0, 1, 0}, {1, 1, 1, 1, 1, 1, 1, 1},   {1, 1, -1, -1, 2, 0, 2, 0},
        {1, 2, -2, 1, 3, 1, 1, 2},   {1, 2, 0, 1, 1, 1, -1, -1}, /* q = F_2 - F_1 - ... in the range of differences */
        {3, 1, 1, 0, 5, 5, 2, 1},
    };
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        for (int i = 0; i < 9; i++) {
            double g[8];
            for (int k = 0; k < 8; k++) {
                g[k] = shapes[s][k] * lengths[k < 6 ? i / 3 : i % 3];
            }
            for (int k = 0; k < 8; k++) {
                forum_answer answer = forum_of(3, 2, g, (double[]){0, 0.1, 1, 1e3}[k / 2], k % 2);
                assert_int_equal(answer.result.status, MTLI_BALANCE_OK);
                assert_true(answer.result.residual <= 1e-13);
                assert_near(answer.gamma[0] + answer.gamma[1] + answer.gamma[2], 1, 1e-14);
            }
        }
    }
}

static void forum_refuses(void **state)
{
    (void)state;
    const double gram[] = {1, 0, 0, 1};
    const double infinite[] = {1, 0, 0, INFINITY};
    double gamma[1] = {3};
    double nu = 3;
    void *work = balance_allocate(mtli_bilevel_work(1));
    assert_int_equal(mtli_balance_forum(1, gram, -0.1, false, gamma, &nu, work).status, MTLI_BALANCE_DOMAIN);
    assert_near(gamma[0] + nu, 0, 0);
    assert_int_equal(mtli_balance_forum(1, gram, NAN, false, gamma, &nu, work).status, MTLI_BALANCE_NOT_FINITE);
    assert_int_equal(mtli_balance_forum(1, infinite, 0.1, false, gamma, &nu, work).status, MTLI_BALANCE_NOT_FINITE);
    assert_near(gamma[0] + nu, 0, 0);
    free(work);
}

/* ---- MOML and Auto-Lambda ---- */

/* Validation loss s after θ' = θ - η Σ z_t g_t, linear: <v_s, θ'>; so its derivative in the logits is known by
 * differences of -η Σ_t z_t H[s, t]. */
static double linear_validation(int tasks, const double *h, double eta, const double *logits)
{
    double z[MOST];
    double sum = 0;
    mtli_softmax_weights(tasks, logits, z);
    for (int t = 0; t < tasks; t++) {
        sum -= eta * z[t] * h[t];
    }
    return sum;
}

static void auto_lambda_is_the_derivative(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 5, 1);
    for (int r = 0; r < 50; r++) {
        int tasks = 1 + (int)mtli_rng_below(&rng, MOST);
        double h[MOST];
        double logits[MOST];
        double gradient[MOST];
        for (int t = 0; t < tasks; t++) {
            h[t] = mtli_rng_normal(&rng);
            logits[t] = mtli_rng_normal(&rng);
        }
        assert_int_equal(mtli_balance_auto_lambda(tasks, h, 0.1, logits, gradient), MTLI_BALANCE_OK);
        for (int t = 0; t < tasks; t++) {
            const double step = 1e-5;
            double x = logits[t];
            logits[t] = x + step;
            double difference = linear_validation(tasks, h, 0.1, logits);
            logits[t] = x - step;
            difference -= linear_validation(tasks, h, 0.1, logits);
            logits[t] = x;
            assert_near(gradient[t], difference / (2 * step), 1e-10); /* step² and 1e-16 / step */
        }
    }
}

/* MGDA over T gradients in the logits that are formed here with the matrix. */
static void moml_is_mgda_in_the_logits(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 5, 2);
    for (int r = 0; r < 200; r++) {
        int tasks = 1 + (int)mtli_rng_below(&rng, MOST);
        double unit_of_h = pow(10, (double)mtli_rng_below(&rng, 31) - 15);
        double hyper[MOST * MOST];
        double logits[MOST];
        double z[MOST];
        double gradient[MOST];
        balance_case c = balance_create(tasks, tasks);
        void *work = balance_allocate(mtli_bilevel_work(tasks));
        for (int t = 0; t < tasks; t++) {
            logits[t] = 2 * mtli_rng_normal(&rng);
        }
        mtli_softmax_weights(tasks, logits, z);
        for (int s = 0; s < tasks; s++) {
            double length = 0;
            for (int t = 0; t < tasks; t++) {
                hyper[s * tasks + t] = unit_of_h * mtli_rng_normal(&rng);
            }
            for (int t = 0; t < tasks; t++) {
                double a = 0;
                for (int k = 0; k < tasks; k++) {
                    a -= 0.1 * hyper[s * tasks + k] * ((k == t ? z[k] : 0) - z[k] * z[t]);
                }
                c.g[s * tasks + t] = a;
                length = hypot(length, a);
            }
            for (int t = 0; t < tasks && r % 2 && tasks > 1; t++) {
                c.g[s * tasks + t] /= length;
            }
        }
        balance_form_gram(&c);
        mtli_balance_result result = mtli_balance_moml(tasks, hyper, 0.1, logits, r % 2, c.weights, gradient, work);
        assert_int_equal(result.status, MTLI_BALANCE_OK);
        assert_true(result.residual <= 1e-10);
        double magnitude = balance_form_direction(&c); /* of the weights that came */
        assert_close(gradient, c.direction, (size_t)tasks, 0, 1e-12 * magnitude);
        double square = mtli_balance_dot(tasks, c.direction, c.direction);
        for (int s = 0; s < tasks && tasks > 1; s++) { /* the smallest: every product is at least its square */
            assert_true(c.products[s] >= square - 1e-10 * c.norms[s] * magnitude);
        }
        free(work);
        balance_free(&c);
    }
}

static void moml_degenerate(void **state)
{
    (void)state;
    double weights[2];
    double gradient[2];
    void *work = balance_allocate(mtli_bilevel_work(2));
    const double logits[] = {1, -1};
    const double flat[] = {0.1, 0.1, 3, 5}; /* validation loss 0 does not care */
    assert_int_equal(mtli_balance_moml(2, flat, 0.1, logits, true, weights, gradient, work).status, MTLI_BALANCE_OK);
    assert_close(weights, ((const double[]){1, 0}), 2, 0, 0);
    assert_close(gradient, ((const double[]){0, 0}), 2, 0, 0);
    const double far_apart[] = {1e-15, 0, 0, 1e15}; /* opposite in the logits */
    assert_int_equal(mtli_balance_moml(2, far_apart, 0.1, logits, false, weights, gradient, work).status,
                     MTLI_BALANCE_OK);
    assert_near(weights[0], 1, 1e-14);
    assert_near(weights[1], 1e-30, 1e-43);
    const double bad[] = {1, 2, NAN, 3};
    assert_int_equal(mtli_balance_moml(2, bad, 0.1, logits, false, weights, gradient, work).status,
                     MTLI_BALANCE_NOT_FINITE);
    assert_int_equal(mtli_balance_moml(2, flat, -1, logits, false, weights, gradient, work).status,
                     MTLI_BALANCE_DOMAIN);
    assert_close(weights, ((const double[]){0, 0}), 2, 0, 0);
    assert_int_equal(mtli_balance_auto_lambda(2, bad + 2, 0.1, logits, gradient), MTLI_BALANCE_NOT_FINITE);
    assert_close(gradient, ((const double[]){0, 0}), 2, 0, 0);
    assert_int_equal(mtli_balance_auto_lambda(1, bad, 0.1, logits, gradient), MTLI_BALANCE_OK);
    assert_near(gradient[0], 0, 0);
    free(work);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_gradient_is_projected),
        cmocka_unit_test(orthogonal_parts_are_apart),
        cmocka_unit_test(weight_goes_to_what_the_pull_hurts),
        cmocka_unit_test(without_constraint_it_is_mgda),
        cmocka_unit_test(zero_gradients_take_the_rest),
        cmocka_unit_test(parallel_opposite_and_equal_gradients),
        cmocka_unit_test(forum_refuses),
        cmocka_unit_test(auto_lambda_is_the_derivative),
        cmocka_unit_test(moml_is_mgda_in_the_logits),
        cmocka_unit_test(moml_degenerate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
