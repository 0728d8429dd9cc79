/* SPDX-License-Identifier: Apache-2.0
 * The rules on losses: weights are the derivatives of the value, states move by their formulas, and losses that are
 * zero, negative or not finite have their answer. */
#include "support.h"

#include <math.h>

#include "balance/loss_rules.h"
#include "base/rng.h"

enum { N = 5 };

/* ---- every scalarization under one signature ---- */

typedef struct inputs {
    double a[N]; /* preference, fixed weights, nadir: positive */
    double z[N]; /* reference */
    double s[N]; /* trained scales */
} inputs;

typedef mtli_balance_status (*loss_rule)(int32_t n, const double *losses, const inputs *in, double *value,
                                         double *weights);

static mtli_balance_status rule_linear(int32_t n, const double *losses, const inputs *in, double *value,
                                       double *weights)
{
    return mtli_loss_linear(n, losses, in->a, true, value, weights);
}

static mtli_balance_status rule_geometric(int32_t n, const double *losses, const inputs *in, double *value,
                                          double *weights)
{
    (void)in;
    return mtli_loss_geometric(n, losses, value, weights);
}

static mtli_balance_status rule_logarithmic(int32_t n, const double *losses, const inputs *in, double *value,
                                            double *weights)
{
    (void)in;
    return mtli_loss_logarithmic(n, losses, value, weights);
}

static mtli_balance_status rule_tchebycheff(int32_t n, const double *losses, const inputs *in, double *value,
                                            double *weights)
{
    return mtli_loss_tchebycheff(n, losses, in->a, in->z, 0.3, value, weights);
}

static mtli_balance_status rule_boundary(int32_t n, const double *losses, const inputs *in, double *value,
                                         double *weights)
{
    return mtli_loss_boundary(n, losses, in->a, in->z, 5, value, weights);
}

static mtli_balance_status rule_cosmos(int32_t n, const double *losses, const inputs *in, double *value,
                                       double *weights)
{
    return mtli_loss_cosmos(n, losses, in->a, 2, value, weights);
}

static mtli_balance_status rule_uncertainty(int32_t n, const double *losses, const inputs *in, double *value,
                                            double *weights)
{
    const mtli_uncertainty kinds[N] = {MTLI_UNCERTAINTY_FULL, MTLI_UNCERTAINTY_HALF, MTLI_UNCERTAINTY_FULL};
    double gradient[N];
    return mtli_loss_uncertainty(n, losses, in->s, kinds, value, weights, gradient);
}

static mtli_balance_status rule_imtl_l(int32_t n, const double *losses, const inputs *in, double *value,
                                       double *weights)
{
    double gradient[N];
    return mtli_loss_imtl_l(n, losses, in->s, value, weights, gradient);
}

static const struct named_rule {
    const char *name;
    loss_rule rule;
    bool logarithmic; /* positive losses only */
} loss_rules[] = {
    {"linear", rule_linear, false},           {"geometric", rule_geometric, true},
    {"logarithmic", rule_logarithmic, true},  {"tchebycheff", rule_tchebycheff, false},
    {"boundary", rule_boundary, false},       {"cosmos", rule_cosmos, false},
    {"uncertainty", rule_uncertainty, false}, {"imtl-l", rule_imtl_l, false},
};

enum { RULES = sizeof loss_rules / sizeof loss_rules[0] };

static void random_inputs(mtli_rng *rng, double *losses, inputs *in)
{
    for (int i = 0; i < N; i++) {
        losses[i] = 0.1 + 3 * mtli_rng_uniform(rng);
        in->a[i] = 0.2 + mtli_rng_uniform(rng);
        in->z[i] = mtli_rng_normal(rng);
        in->s[i] = mtli_rng_normal(rng);
    }
}

/* Central differences of step h: an error of h² f''' / 6 and of eps f / h; f is below 100 and its derivatives below
 * 1e3 (μ = .3 and 1 / L <= 10 enter with their third powers), so with h = 1e-5 both lie below 1e-7. */
static void weights_are_derivatives(void **state)
{
    (void)state;
    const double h = 1e-5;
    mtli_rng rng;
    mtli_rng_init(&rng, 9, 1);
    for (int r = 0; r < 50; r++) {
        double losses[N];
        inputs in;
        random_inputs(&rng, losses, &in);
        for (int k = 0; k < RULES; k++) {
            double weights[N];
            double unused[N];
            double above;
            double below;
            assert_int_equal(loss_rules[k].rule(N, losses, &in, &above, weights), MTLI_BALANCE_OK);
            for (int i = 0; i < N; i++) {
                double at = losses[i];
                losses[i] = at + h;
                loss_rules[k].rule(N, losses, &in, &above, unused);
                losses[i] = at - h;
                loss_rules[k].rule(N, losses, &in, &below, unused);
                losses[i] = at;
                test_near(weights[i], (above - below) / (2 * h), 1e-7, loss_rules[k].name, __FILE__, __LINE__);
            }
        }
    }
}

static void scales_have_their_gradients(void **state)
{
    (void)state;
    const double h = 1e-5;
    mtli_rng rng;
    mtli_rng_init(&rng, 9, 2);
    double losses[N];
    inputs in;
    random_inputs(&rng, losses, &in);
    for (int k = 0; k < 2; k++) {
        loss_rule rule = k == 0 ? rule_uncertainty : rule_imtl_l;
        const mtli_uncertainty kinds[N] = {MTLI_UNCERTAINTY_FULL, MTLI_UNCERTAINTY_HALF, MTLI_UNCERTAINTY_FULL};
        double weights[N];
        double gradient[N];
        double above;
        double below;
        if (k == 0) {
            mtli_loss_uncertainty(N, losses, in.s, kinds, NULL, weights, gradient);
        } else {
            mtli_loss_imtl_l(N, losses, in.s, NULL, weights, gradient);
        }
        for (int i = 0; i < N; i++) {
            double at = in.s[i];
            in.s[i] = at + h;
            rule(N, losses, &in, &above, weights);
            in.s[i] = at - h;
            rule(N, losses, &in, &below, weights);
            in.s[i] = at;
            assert_near(gradient[i], (above - below) / (2 * h), 1e-7);
        }
    }
}

static void losses_that_are_not_finite_are_refused(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 9, 3);
    for (int k = 0; k < RULES; k++) {
        double losses[N];
        inputs in;
        double value = 7;
        double weights[N];
        random_inputs(&rng, losses, &in);
        losses[2] = k % 2 ? NAN : INFINITY;
        assert_int_equal(loss_rules[k].rule(N, losses, &in, &value, weights), MTLI_BALANCE_NOT_FINITE);
        assert_near(value, 7, 0);
        for (int i = 0; i < N; i++) {
            assert_near(weights[i], 0, 0);
        }
    }
}

static void negative_losses(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 9, 4);
    for (int k = 0; k < RULES; k++) {
        double losses[N];
        inputs in;
        double weights[N];
        random_inputs(&rng, losses, &in);
        losses[1] = -1;
        mtli_balance_status status = loss_rules[k].rule(N, losses, &in, NULL, weights);
        assert_int_equal(status, loss_rules[k].logarithmic ? MTLI_BALANCE_DOMAIN : MTLI_BALANCE_OK);
        assert_true(status == MTLI_BALANCE_OK || weights[0] == 0);
    }
}

/* A loss of 0 has no logarithm: its task is left out. */
static void zero_losses_leave_logarithmic_rules(void **state)
{
    (void)state;
    const double losses[] = {2, 0, 8};
    double value;
    double weights[3];
    assert_int_equal(mtli_loss_geometric(3, losses, &value, weights), MTLI_BALANCE_OK);
    assert_near(value, 4, 1e-14);
    assert_close(weights, ((const double[]){1, 0, .25}), 3, 1e-14, 0);
    assert_int_equal(mtli_loss_logarithmic(3, losses, &value, weights), MTLI_BALANCE_OK);
    assert_near(value, log(16), 1e-14);
    assert_close(weights, ((const double[]){.5, 0, .125}), 3, 1e-15, 0);
    const double nadir[] = {2, 1, 8};
    assert_int_equal(mtli_loss_tchebycheff_log(3, losses, nadir, 1, &value, weights), MTLI_BALANCE_OK);
    assert_close(weights, ((const double[]){.5, 0, .125}), 3, 1e-15, 0); /* equal ratios: 2 · ½ / L */
    const double none[] = {0, 0};
    assert_int_equal(mtli_loss_geometric(2, none, &value, weights), MTLI_BALANCE_OK);
    assert_near(value, 0, 0);
    assert_int_equal(mtli_loss_cosmos(2, none, NULL, 1, &value, weights), MTLI_BALANCE_OK);
    assert_close(weights, ((const double[]){.5, .5}), 2, 0, 0);
}

static void extreme_losses_do_not_overflow(void **state)
{
    (void)state;
    const double losses[] = {1e300, 1e-300, 1e300};
    double value;
    double weights[3];
    const double spread[] = {1e200, 1e-100, 1e200};
    assert_int_equal(mtli_loss_geometric(3, spread, &value, weights), MTLI_BALANCE_OK);
    assert_near(value / 1e100, 1, 1e-12);
    assert_int_equal(mtli_loss_geometric(3, losses, &value, weights), MTLI_BALANCE_NOT_FINITE); /* F / L = 1e400 */
    assert_int_equal(mtli_loss_tchebycheff(3, losses, NULL, NULL, 1e-3, &value, weights), MTLI_BALANCE_OK);
    assert_close(weights, ((const double[]){1.0 / 6, 0, 1.0 / 6}), 3, 1e-15, 0);
    assert_int_equal(mtli_loss_boundary(3, losses, NULL, NULL, 5, &value, weights), MTLI_BALANCE_OK);
    assert_int_equal(mtli_loss_cosmos(3, losses, NULL, 5, &value, weights), MTLI_BALANCE_OK);
    const double huge[] = {1.5e308, 1.5e308};
    assert_int_equal(mtli_loss_linear(2, huge, NULL, false, &value, weights), MTLI_BALANCE_NOT_FINITE);
    const double s[] = {-800, 0};
    double gradient[2];
    assert_int_equal(mtli_loss_uncertainty(2, huge, s, NULL, &value, weights, gradient), MTLI_BALANCE_NOT_FINITE);
    assert_close(gradient, ((const double[]){0, 0}), 2, 0, 0);
}

/* On the ray of the preference, d2 = 0 and its derivative is taken as 0. */
static void boundary_on_its_ray(void **state)
{
    (void)state;
    const double losses[] = {3, 4};
    const double ray[] = {3, 4};
    const double zero[] = {0, 0};
    double value;
    double weights[2];
    assert_int_equal(mtli_loss_boundary(2, losses, ray, NULL, 5, &value, weights), MTLI_BALANCE_OK);
    assert_near(value, 5, 1e-14);
    assert_close(weights, ((const double[]){.6, .8}), 2, 1e-15, 0);
    assert_int_equal(mtli_loss_boundary(2, losses, zero, NULL, 5, &value, weights), MTLI_BALANCE_DOMAIN);
}

static void linear_is_sum_or_mean(void **state)
{
    (void)state;
    const double losses[] = {1, 2, 6};
    double value;
    double weights[3];
    mtli_loss_linear(3, losses, NULL, false, &value, weights);
    assert_near(value, 9, 0);
    assert_close(weights, ((const double[]){1, 1, 1}), 3, 0, 0);
    mtli_loss_linear(3, losses, NULL, true, &value, weights);
    assert_near(value, 3, 1e-15);
}

/* LibMTL's form: T softmax of log ratios over μ, divided by the losses. */
static void tchebycheff_of_logarithms(void **state)
{
    (void)state;
    const double losses[] = {1, 3};
    const double nadir[] = {2, 2};
    double value;
    double weights[2];
    assert_int_equal(mtli_loss_tchebycheff_log(2, losses, nadir, 0.5, &value, weights), MTLI_BALANCE_OK);
    /* ratios 1/2 and 3/2 to the power 2: shares .1 and .9 */
    assert_close(weights, ((const double[]){2 * .1, 2 * .9 / 3}), 2, 1e-14, 0);
    assert_near(value, 2 * .5 * log(1 + 1.0 / 9), 1e-14);
    const double bad[] = {2, 0};
    assert_int_equal(mtli_loss_tchebycheff_log(2, losses, bad, 0.5, &value, weights), MTLI_BALANCE_DOMAIN);
}

/* ---- rates ---- */

static void dynamic_weight_average(void **state)
{
    (void)state;
    const double newer[] = {1, 1, 0};
    const double older[] = {1, 2, 0};
    double weights[3];
    assert_int_equal(mtli_loss_rate_weights(3, newer, NULL, 2, weights), MTLI_BALANCE_OK);
    assert_close(weights, ((const double[]){1, 1, 1}), 3, 0, 0);
    assert_int_equal(mtli_loss_rate_weights(3, newer, older, 2, weights), MTLI_BALANCE_OK);
    double sum = exp(.5) + exp(.25) + exp(.5);
    assert_close(weights, ((const double[]){3 * exp(.5) / sum, 3 * exp(.25) / sum, 3 * exp(.5) / sum}), 3, 1e-15, 0);
    const double risen[] = {1, 1, 1};
    assert_int_equal(mtli_loss_rate_weights(3, risen, older, 2, weights), MTLI_BALANCE_DOMAIN);
    assert_int_equal(mtli_loss_rate_weights(3, newer, older, 0, weights), MTLI_BALANCE_DOMAIN);
}

static void dynamic_task_prioritization(void **state)
{
    (void)state;
    double success[] = {9, 9, 9};
    const double first[] = {1, 0, .5};
    const double second[] = {1, .5, 1};
    double weights[3];
    assert_int_equal(mtli_loss_success_update(3, first, 0.5, true, success), MTLI_BALANCE_OK);
    assert_int_equal(mtli_loss_prioritization(3, success, 2, weights), MTLI_BALANCE_OK);
    assert_near(weights[0], 0, 0);
    assert_near(weights[1], log(1e8), 1e-6); /* bounded, not infinite */
    assert_near(weights[2], .25 * log(2), 1e-15);
    assert_int_equal(mtli_loss_success_update(3, second, 0.5, false, success), MTLI_BALANCE_OK);
    assert_close(success, ((const double[]){1, .25, .75}), 3, 1e-15, 0);
    success[0] = 1.5;
    assert_int_equal(mtli_loss_prioritization(3, success, 2, weights), MTLI_BALANCE_DOMAIN);
}

/* ---- rules with an optimizer of their own ---- */

static void famo_refuses_losses_below_their_bound(void **state)
{
    (void)state;
    const double losses[] = {1, 2};
    const double after[] = {1, .5};
    const double lower[] = {0, 1};
    double xi[] = {0, 0};
    double m[] = {0, 0};
    double v[] = {0, 0};
    double work[4];
    double weights[2];
    int64_t steps = 0;
    mtli_small_adam adam = {m, v, &steps};
    assert_int_equal(mtli_loss_famo(2, losses, lower, xi, NULL, weights), MTLI_BALANCE_OK);
    assert_close(weights, ((const double[]){.5, .5}), 2, 1e-7, 0); /* distances 1 and 1 */
    assert_int_equal(mtli_loss_famo_update(2, losses, after, lower, .025, 0, adam, xi, work), MTLI_BALANCE_DOMAIN);
    assert_int_equal((int)steps, 0);
    assert_close(xi, ((const double[]){0, 0}), 2, 0, 0);
}

/* The objective that GradNorm lowers, with its target held at s0. */
static double gradnorm_objective(const double *norms, const double *target, const double *s, int n)
{
    double w[N];
    double sum = 0;
    mtli_softmax_weights(n, s, w);
    for (int i = 0; i < n; i++) {
        sum += fabs(n * w[i] * norms[i] - target[i]);
    }
    return sum;
}

static void gradnorm_has_its_gradient(void **state)
{
    (void)state;
    const double h = 1e-6;
    const double losses[] = {.5, 1, 2, .1};
    const double first[] = {1, 1, 3, .4};
    const double norms[] = {1, 5, .3, 2};
    double s[] = {.1, -.4, .3, 0};
    double weights[4];
    double gradient[4];
    double target[4];
    double rate[4];
    double mean_norm = 0;
    double mean_rate = 0;
    assert_int_equal(mtli_loss_gradnorm(4, losses, first, norms, 1.5, s, weights, gradient), MTLI_BALANCE_OK);
    for (int i = 0; i < 4; i++) {
        mean_norm += weights[i] * norms[i] / 4;
        rate[i] = losses[i] / first[i];
        mean_rate += rate[i] / 4;
    }
    for (int i = 0; i < 4; i++) {
        target[i] = mean_norm * pow(rate[i] / mean_rate, 1.5);
    }
    for (int i = 0; i < 4; i++) {
        double at = s[i];
        s[i] = at + h;
        double above = gradnorm_objective(norms, target, s, 4);
        s[i] = at - h;
        double below = gradnorm_objective(norms, target, s, 4);
        s[i] = at;
        assert_near(gradient[i], (above - below) / (2 * h), 1e-8);
    }
    const double bad[] = {1, 0, 3, .4};
    assert_int_equal(mtli_loss_gradnorm(4, losses, bad, norms, 1.5, s, weights, gradient), MTLI_BALANCE_DOMAIN);
    const double solved[] = {0, 0, 0, 0};
    assert_int_equal(mtli_loss_gradnorm(4, solved, first, norms, 1.5, s, weights, gradient), MTLI_BALANCE_OK);
}

/* Its first step has length `rate`, whatever the gradient. */
static void small_adam_begins_with_the_rate(void **state)
{
    (void)state;
    double x[] = {1, -1};
    double m[] = {0, 0};
    double v[] = {0, 0};
    int64_t steps = 0;
    const double gradient[] = {100, -1e-3};
    mtli_small_adam adam = {m, v, &steps};
    mtli_small_adam_step(2, 0.5, 0, gradient, adam, x);
    assert_near(x[0], .5, 1e-9);
    assert_near(x[1], -.5, 1e-5);
    assert_int_equal((int)steps, 1);
}

/* ---- lengths of gradients ---- */

static void db_mtl(void **state)
{
    (void)state;
    const double losses[] = {.5, 0, 2};
    const double norms[] = {2, 0, 8};
    double weights[3];
    assert_int_equal(mtli_loss_db_logarithm(3, losses, weights), MTLI_BALANCE_OK);
    assert_close(weights, ((const double[]){2, 1e8, .5}), 3, 1e-7, 0);
    assert_int_equal(mtli_loss_db_scale(3, norms, weights), MTLI_BALANCE_OK);
    assert_close(weights, ((const double[]){4, 0, 1}), 3, 0, 0);
    const double negative[] = {-1};
    assert_int_equal(mtli_loss_db_logarithm(1, negative, weights), MTLI_BALANCE_DOMAIN);
    assert_near(mtli_loss_db_factor(.9, .5, 4), .45, 1e-15);
}

static void excess_mtl(void **state)
{
    (void)state;
    double initial[] = {9, 9, 9};
    double w[] = {1, 1, 1};
    const double first[] = {2, 4, 0};
    const double second[] = {4, 2, 5};
    assert_int_equal(mtli_loss_excess_update(3, first, .5, true, initial, w), MTLI_BALANCE_OK);
    assert_close(initial, first, 3, 0, 0);
    double sum = 2 * exp(.5) + 1;
    assert_close(w, ((const double[]){3 * exp(.5) / sum, 3 * exp(.5) / sum, 3 / sum}), 3, 1e-15, 0);
    assert_int_equal(mtli_loss_excess_update(3, second, .5, false, initial, w), MTLI_BALANCE_OK);
    assert_near(w[0] / w[1], exp(.5 * (2 - .5)), 1e-14);
    const double huge[] = {1e308, 1, 1};
    assert_int_equal(mtli_loss_excess_update(3, huge, .5, false, initial, w), MTLI_BALANCE_OK);
    assert_close(w, ((const double[]){3, 0, 0}), 3, 1e-15, 0);
    const double negative[] = {-1, 1, 1};
    assert_int_equal(mtli_loss_excess_update(3, negative, .5, false, initial, w), MTLI_BALANCE_DOMAIN);
}

static void moco_scales_gradients(void **state)
{
    (void)state;
    const double losses[] = {3, 1};
    const double norms[] = {2, 0};
    double factors[2];
    assert_int_equal(mtli_loss_moco_scale(2, losses, norms, factors), MTLI_BALANCE_OK);
    assert_close(factors, ((const double[]){1.5, 0}), 2, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_derivatives),
        cmocka_unit_test(scales_have_their_gradients),
        cmocka_unit_test(losses_that_are_not_finite_are_refused),
        cmocka_unit_test(negative_losses),
        cmocka_unit_test(zero_losses_leave_logarithmic_rules),
        cmocka_unit_test(extreme_losses_do_not_overflow),
        cmocka_unit_test(boundary_on_its_ray),
        cmocka_unit_test(linear_is_sum_or_mean),
        cmocka_unit_test(tchebycheff_of_logarithms),
        cmocka_unit_test(dynamic_weight_average),
        cmocka_unit_test(dynamic_task_prioritization),
        cmocka_unit_test(famo_refuses_losses_below_their_bound),
        cmocka_unit_test(gradnorm_has_its_gradient),
        cmocka_unit_test(small_adam_begins_with_the_rate),
        cmocka_unit_test(db_mtl),
        cmocka_unit_test(excess_mtl),
        cmocka_unit_test(moco_scales_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
