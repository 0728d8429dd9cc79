/* SPDX-License-Identifier: Apache-2.0
 * The balancing rules without a solver, beside the formulas carried out on the gradients themselves; rules that keep
 * weights from step to step; the parts that others use. */
#include "support/support_balance.h"

/* ---- surgery on the gradients, coordinate by coordinate ---- */

static double inner(int n, const double *x, const double *y)
{
    double sum = 0;
    for (int k = 0; k < n; k++) {
        sum += x[k] * y[k];
    }
    return sum;
}

/* rho NULL: PCGrad (Yu et al. 2020, algorithm 1); else GradVac (Wang et al. 2021, algorithm 1). */
static void naive_surgery(const balance_case *c, const int32_t *orders, double beta, double *rho, double *direction)
{
    double corrected[64];
    memset(direction, 0, (size_t)c->size * sizeof(double));
    for (int i = 0; i < c->tasks; i++) {
        memcpy(corrected, c->g + i * c->size, (size_t)c->size * sizeof(double));
        for (int k = 0; k < c->tasks; k++) {
            int j = orders[i * c->tasks + k];
            const double *other = c->g + j * c->size;
            double product = inner(c->size, corrected, other);
            double factor = 0;
            if (j == i) {
                continue;
            }
            if (!rho) {
                factor = product < 0 ? -product / inner(c->size, other, other) : 0;
            } else {
                double length = sqrt(inner(c->size, corrected, corrected));
                double cosine = product / (length * c->norms[j]);
                double wanted = rho[i * c->tasks + j];
                if (cosine < wanted) {
                    factor = length * (wanted * sqrt(1 - cosine * cosine) - cosine * sqrt(1 - wanted * wanted)) /
                             (c->norms[j] * sqrt(1 - wanted * wanted));
                }
                rho[i * c->tasks + j] = (1 - beta) * wanted + beta * cosine;
            }
            for (int p = 0; p < c->size; p++) {
                corrected[p] += factor * other[p];
            }
        }
        for (int p = 0; p < c->size; p++) {
            direction[p] += corrected[p];
        }
    }
}

static void random_orders(int32_t tasks, int32_t *orders, mtli_rng *rng)
{
    for (int32_t i = 0; i < tasks; i++) {
        int32_t *row = orders + i * tasks;
        for (int32_t k = 0; k < tasks; k++) {
            row[k] = k;
        }
        for (int32_t k = tasks - 1; k > 0; k--) {
            int32_t other = (int32_t)mtli_rng_below(rng, (uint64_t)k + 1);
            int32_t task = row[k];
            row[k] = row[other];
            row[other] = task;
        }
    }
}

static void surgery_equals_that_on_gradients(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 5, 1);
    for (int r = 0; r < 60; r++) {
        int32_t tasks = (int32_t)mtli_rng_below(&rng, 8) + 1;
        balance_case c = balance_create(tasks, 10);
        int32_t orders[64];
        double rho[64] = {0};
        double naive_rho[64] = {0};
        double direction[64];
        balance_random(&c, 10, r % 2, r % 3, &rng);
        random_orders(tasks, orders, &rng);
        mtli_balance_pcgrad(tasks, c.gram, orders, false, c.weights, c.work);
        naive_surgery(&c, orders, 0, NULL, direction);
        double magnitude = balance_form_direction(&c);
        assert_close(c.direction, direction, 10, 0, 1e-13 * magnitude);
        for (int step = 0; step < 3; step++) {
            mtli_balance_gradvac(tasks, c.gram, orders, 0.5, rho, false, c.weights, c.work);
            naive_surgery(&c, orders, 0.5, naive_rho, direction);
            magnitude = balance_form_direction(&c);
            assert_close(c.direction, direction, 10, 0, 1e-11 * magnitude);
            assert_close(rho, naive_rho, (size_t)(tasks * tasks), 0, 1e-12);
        }
        balance_free(&c);
    }
}

static void the_mean_is_the_sum_divided(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 5, 2);
    balance_case c = balance_create(5, 7);
    balance_random(&c, 7, 0, 1, &rng);
    double sum[5];
    mtli_balance_pcgrad(5, c.gram, NULL, false, sum, c.work);
    mtli_balance_pcgrad(5, c.gram, NULL, true, c.weights, c.work);
    for (int i = 0; i < 5; i++) {
        assert_near(5 * c.weights[i], sum[i], 1e-14 * fabs(sum[i]));
    }
    balance_free(&c);
}

/* The formula divides by √(1 - rho²). */
static void gradvac_bounds_its_averages(void **state)
{
    (void)state;
    const double g[] = {1, 0, 0, 1};
    balance_case c = balance_create(2, 2);
    balance_set(&c, g);
    double rho[4] = {1, 1, 1, 1};
    mtli_balance_result result = mtli_balance_gradvac(2, c.gram, NULL, 0.5, rho, false, c.weights, c.work);
    assert_int_equal(result.status, MTLI_BALANCE_OK);
    assert_true(isfinite(c.weights[0]) && c.weights[0] > 100); /* 1 / √(1 - (1 - 1e-6)²) = 707 */
    assert_near(rho[1], 0.5, 1e-15);
    double not_finite[4] = {NAN, 0, 0, 0};
    result = mtli_balance_gradvac(2, c.gram, NULL, 0.5, not_finite, false, c.weights, c.work);
    assert_int_equal(result.status, MTLI_BALANCE_NOT_FINITE);
    result = mtli_balance_gradvac(2, c.gram, NULL, 1.5, rho, false, c.weights, c.work);
    assert_int_equal(result.status, MTLI_BALANCE_DOMAIN);
    balance_free(&c);
}

/* ---- Krum ---- */

static void krum_leaves_the_stranger_out(void **state)
{
    (void)state;
    const double g[] = {1, 0, 1.1, 0, .9, .1, 100, 100, 1, .2};
    balance_case c = balance_create(5, 2);
    balance_set(&c, g);
    /* Two nearest: 0 has .01 + .02, 1 has .01 + .05, 2 has .02 + .02, 4 has .02 + .04. */
    mtli_balance_krum(5, c.gram, 1, 1, c.weights, c.work);
    assert_close(c.weights, ((const double[]){1, 0, 0, 0, 0}), 5, 0, 0);
    mtli_balance_krum(5, c.gram, 1, 2, c.weights, c.work);
    assert_close(c.weights, ((const double[]){.5, 0, .5, 0, 0}), 5, 0, 0);
    mtli_balance_krum(5, c.gram, 1, 4, c.weights, c.work);
    assert_close(c.weights, ((const double[]){.25, .25, .25, 0, .25}), 5, 0, 0);
    balance_scale(&c, 1e140);
    mtli_balance_krum(5, c.gram, 1, 2, c.weights, c.work);
    assert_close(c.weights, ((const double[]){.5, 0, .5, 0, 0}), 5, 0, 0);
    balance_free(&c);
}

/* ---- the simplex and the softmax ---- */

static void projection_is_the_nearest_point(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 5, 3);
    for (int r = 0; r < 500; r++) {
        double x[40];
        double y[40];
        int n = (int)mtli_rng_below(&rng, 40) + 1;
        double size = pow(10, 12 * mtli_rng_uniform(&rng) - 6);
        for (int i = 0; i < n; i++) {
            x[i] = y[i] = size * mtli_rng_normal(&rng) + (r % 5 == 0 ? 1e9 : 0);
        }
        mtli_simplex_projection(n, y);
        double sum = 0;
        double threshold = INFINITY;
        for (int i = 0; i < n; i++) {
            assert_true(y[i] >= 0);
            sum += y[i];
            threshold = y[i] > 0 ? fmin(threshold, x[i] - y[i]) : threshold;
        }
        assert_near(sum, 1, 1e-13);
        double rounding = 1e-13 + 4e-16 * (size * 5 + 1e9 * (r % 5 == 0));
        for (int i = 0; i < n; i++) { /* x - y is one number on the support, and at least x elsewhere */
            assert_true(y[i] > 0 ? fabs(x[i] - y[i] - threshold) <= rounding : x[i] <= threshold + rounding);
        }
    }
    double equal[] = {7, 7, 7};
    mtli_simplex_projection(3, equal);
    assert_close(equal, ((const double[]){1.0 / 3, 1.0 / 3, 1.0 / 3}), 3, 1e-15, 0);
    double huge[] = {1e300, -1e300};
    mtli_simplex_projection(2, huge);
    assert_close(huge, ((const double[]){1, 0}), 2, 0, 0);
}

static void softmax_of_large_numbers(void **state)
{
    (void)state;
    double x[] = {1e300, 1e300, -1e300};
    mtli_softmax_weights(3, x, x);
    assert_close(x, ((const double[]){.5, .5, 0}), 3, 0, 0);
    const double logits[] = {0, log(3)};
    double w[2];
    mtli_softmax_weights(2, logits, w);
    assert_close(w, ((const double[]){.25, .75}), 2, 1e-15, 0);
}

/* ---- weights that are followed ---- */

static void moco_takes_the_softmax_of_its_weights(void **state)
{
    (void)state;
    const double gram[] = {4, 1, 1, 9};
    double lambda[] = {.5, .5};
    double w[2];
    balance_case c = balance_create(2, 1);
    mtli_balance_result result = mtli_balance_moco(2, gram, 0.1, 0.5, lambda, w, c.work);
    assert_int_equal(result.status, MTLI_BALANCE_OK);
    /* λ - .1 (G λ + .5 λ) = (.5 - .1 (2.5 + .25), .5 - .1 (5 + .25)) */
    double odds = exp(.225 - -.025);
    assert_near(w[0] / w[1], odds, 1e-14);
    assert_near(lambda[0] + lambda[1], 1, 1e-15);
    assert_close(w, lambda, 2, 0, 0);
    balance_free(&c);
}

static void sdmgrad_without_a_scale_keeps_its_weights(void **state)
{
    (void)state;
    const double cross[] = {-1, 2, 3, -4};
    const mtli_sdmgrad_options options = {.lambda = 0.5, .rate = 5, .momentum = 0.5, .steps = 20};
    double lambda[] = {.25, .75};
    double w[2];
    balance_case c = balance_create(2, 1);
    mtli_balance_result result = mtli_balance_sdmgrad(2, cross, &options, lambda, w, c.work);
    assert_int_equal(result.status, MTLI_BALANCE_STATIONARY);
    assert_close(lambda, ((const double[]){.25, .75}), 2, 0, 0);
    assert_close(w, ((const double[]){.5 / 1.5, 1 / 1.5}), 2, 1e-15, 0);
    const mtli_sdmgrad_options bad = {.lambda = 0.5, .rate = 5, .momentum = 1, .steps = 20};
    assert_int_equal(mtli_balance_sdmgrad(2, cross, &bad, lambda, w, c.work).status, MTLI_BALANCE_DOMAIN);
    const double not_finite[] = {NAN, 2, 3, 4};
    assert_int_equal(mtli_balance_sdmgrad(2, not_finite, &options, lambda, w, c.work).status, MTLI_BALANCE_NOT_FINITE);
    assert_int_equal(mtli_balance_modo(2, not_finite, .1, .1, lambda, w, c.work).status, MTLI_BALANCE_NOT_FINITE);
    assert_int_equal(mtli_balance_moco(2, not_finite, .1, .1, lambda, w, c.work).status, MTLI_BALANCE_NOT_FINITE);
    assert_close(lambda, ((const double[]){.25, .75}), 2, 0, 0);
    balance_free(&c);
}

/* Whatever the scales: a point of the simplex. */
static void followed_weights_stay_on_the_simplex(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 5, 4);
    const mtli_sdmgrad_options options = {.lambda = 0.3, .rate = 5, .momentum = 0.5, .steps = 20};
    for (int r = 0; r < 500; r++) {
        balance_case c = balance_create(6, 1);
        double lambda[3][6];
        double w[6];
        for (int k = 0; k < 36; k++) {
            c.gram[k] = mtli_rng_normal(&rng) * pow(10, (r % 3) * 100 * (2 * mtli_rng_uniform(&rng) - 1));
        }
        for (int i = 0; i < 6; i++) {
            lambda[0][i] = lambda[1][i] = lambda[2][i] = 1.0 / 6;
        }
        for (int step = 0; step < 3; step++) {
            mtli_balance_sdmgrad(6, c.gram, &options, lambda[0], w, c.work);
            mtli_balance_modo(6, c.gram, 0.1, 0.1, lambda[1], w, c.work);
            mtli_balance_moco(6, c.gram, 0.1, 0.1, lambda[2], w, c.work);
        }
        for (int rule = 0; rule < 3; rule++) {
            double sum = 0;
            for (int i = 0; i < 6; i++) {
                assert_true(lambda[rule][i] >= 0);
                sum += lambda[rule][i];
            }
            assert_near(sum, 1, 1e-13);
        }
        balance_free(&c);
    }
}

static void averages_follow_the_weights(void **state)
{
    (void)state;
    double average[] = {1, 0};
    double w[] = {0, 1};
    mtli_balance_average(2, 0.75, average, w);
    assert_close(w, ((const double[]){.75, .25}), 2, 0, 0);
    assert_close(average, w, 2, 0, 0);
}

/* ---- telemetry ---- */

static void cosines_and_conflicts(void **state)
{
    (void)state;
    const double g[] = {3, 4, -4, 3, 0, 0, -6, -8};
    balance_case c = balance_create(4, 2);
    double cosines[16];
    balance_set(&c, g);
    mtli_balance_cosines(4, c.gram, cosines);
    const double expected[] = {1, 0, 0, -1, 0, 1, 0, 0, 0, 0, 1, 0, -1, 0, 0, 1};
    assert_close(cosines, expected, 16, 0, 1e-16);
    assert_int_equal(mtli_balance_conflicts(4, c.gram), 1);
    balance_free(&c);
}

/* ---- options of the spectral rules ---- */

/* σ² = λ_min, the median, the mean of the eigenvalues: the lengths of d are in that ratio. */
static void aligned_scales(void **state)
{
    (void)state;
    const double g[] = {1, 0, 0, 0, 2, 0, 0, 0, 3};
    balance_case c = balance_create(3, 3);
    balance_set(&c, g); /* eigenvalues 9, 4, 1: B = σ diag(1, 1/2, 1/3) */
    const double sigma[] = {1, 2, sqrt(14.0 / 3)};
    const double ones[] = {1, 1, 1};
    for (int mode = 0; mode < 3; mode++) {
        mtli_balance_aligned(3, c.gram, ones, (mtli_aligned_scale)mode, 0, c.weights, c.work);
        const double expected[] = {sigma[mode], sigma[mode] / 2, sigma[mode] / 3};
        assert_close(c.weights, expected, 3, 1e-14, 0);
    }
    /* A tolerance of .2 drops the eigenvalue 1: its task has no weight. */
    mtli_balance_aligned(3, c.gram, ones, MTLI_ALIGNED_MIN, 0.2, c.weights, c.work);
    assert_close(c.weights, ((const double[]){0, 1, 2.0 / 3}), 3, 1e-14, 1e-15);
    balance_free(&c);
}

static void config_prefers(void **state)
{
    (void)state;
    const double g[] = {2, 0, 0, 3};
    balance_case c = balance_create(2, 2);
    balance_set(&c, g);
    const double reference[] = {3, 4}; /* x = (3, 4): unit (.6, .8), length .6 · 2 + .8 · 3 */
    mtli_balance_config(2, c.gram, reference, 0, c.weights, c.work);
    balance_form_direction(&c);
    assert_close(c.direction, ((const double[]){3.6 * .6, 3.6 * .8}), 2, 1e-14, 0);
    balance_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(surgery_equals_that_on_gradients),
        cmocka_unit_test(the_mean_is_the_sum_divided),
        cmocka_unit_test(gradvac_bounds_its_averages),
        cmocka_unit_test(krum_leaves_the_stranger_out),
        cmocka_unit_test(projection_is_the_nearest_point),
        cmocka_unit_test(softmax_of_large_numbers),
        cmocka_unit_test(moco_takes_the_softmax_of_its_weights),
        cmocka_unit_test(sdmgrad_without_a_scale_keeps_its_weights),
        cmocka_unit_test(followed_weights_stay_on_the_simplex),
        cmocka_unit_test(averages_follow_the_weights),
        cmocka_unit_test(cosines_and_conflicts),
        cmocka_unit_test(aligned_scales),
        cmocka_unit_test(config_prefers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
