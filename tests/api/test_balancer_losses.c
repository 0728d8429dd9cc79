/* SPDX-License-Identifier: Apache-2.0
 * Balancers without an objective that decide from losses: each beside its own formula, and what it trains by hand. */
#include "balancers.h"

enum { T = 3 };

static const double LOSSES[T] = {0.7, 1.9, 0.3};

static void decide(mtl_context *context, mtl_balancer *balancer, const double *losses, double *weights)
{
    assert_ok(context, mtl_balancer_decide(balancer, T, losses, NULL, weights, NULL));
}

static void decide_once(const mtl_balancer_options *options, const double *losses, double *weights)
{
    mtl_context *context = test_context();
    mtl_balancer *balancer = balancer_with(context, options);
    decide(context, balancer, losses, weights);
    mtl_balancer_destroy(balancer);
    mtl_context_release(context);
}

/* ---- weights that stand ---- */

static void equal_and_fixed(void **state)
{
    (void)state;
    const double preference[T] = {2, 0, .5};
    double weights[T];
    mtl_balancer_options options = balancer_options(MTL_BALANCE_EQUAL);
    decide_once(&options, LOSSES, weights);
    assert_close(weights, ROW(1, 1, 1), T, 0, 0);
    options.reduction = MTL_BALANCE_REDUCE_MEAN;
    decide_once(&options, LOSSES, weights);
    assert_close(weights, ROW(1.0 / 3, 1.0 / 3, 1.0 / 3), T, 1e-15, 0);
    options = balancer_options(MTL_BALANCE_FIXED);
    decide_once(&options, LOSSES, weights);
    assert_close(weights, ROW(1, 1, 1), T, 0, 0);
    options.num_tasks = T;
    options.preference = preference;
    decide_once(&options, LOSSES, weights);
    assert_close(weights, preference, T, 0, 0);
}

static void random_weights_are_shares_that_change(void **state)
{
    (void)state;
    mtl_context *contexts[2] = {test_context(), test_context()};
    mtl_balancer *balancers[2];
    double mean[T] = {0, 0, 0};
    double before = 0;
    enum { STEPS = 4000 };
    for (int i = 0; i < 2; i++) {
        balancers[i] = balancer_of(contexts[i], MTL_BALANCE_RANDOM);
    }
    for (int step = 0; step < STEPS; step++) {
        double weights[2][T];
        for (int i = 0; i < 2; i++) {
            decide(contexts[i], balancers[i], LOSSES, weights[i]);
        }
        assert_memory_equal(weights[0], weights[1], sizeof weights[0]); /* the same seed */
        assert_near(weights[0][0] + weights[0][1] + weights[0][2], 1, 1e-15);
        assert_true(weights[0][0] > 0 && weights[0][0] != before);
        before = weights[0][0];
        for (int t = 0; t < T; t++) {
            mean[t] += weights[0][t] / STEPS;
        }
    }
    for (int t = 0; t < T; t++) {
        assert_near(mean[t], 1.0 / 3, 5 * .25 / sqrt(STEPS)); /* the weights deviate by less than .25 */
    }
    for (int i = 0; i < 2; i++) {
        mtl_balancer_destroy(balancers[i]);
        mtl_context_release(contexts[i]);
    }
}

/* ---- derivatives of F(L): beside central differences of the formula ---- */

typedef struct formula {
    const double *a;
    const double *z;
    double number; /* mu, theta, lambda */
} formula;

static double geometric(const formula *f, const double *x)
{
    (void)f;
    return cbrt(x[0] * x[1] * x[2]);
}

static double logarithms(const formula *f, const double *x)
{
    (void)f;
    return log(x[0]) + log(x[1]) + log(x[2]);
}

static double smooth_maximum(const formula *f, const double *x)
{
    double sum = 0;
    for (int t = 0; t < T; t++) {
        sum += exp(f->a[t] * (x[t] - f->z[t]) / f->number);
    }
    return f->number * log(sum);
}

static double boundary(const formula *f, const double *x)
{
    double length = sqrt(f->a[0] * f->a[0] + f->a[1] * f->a[1] + f->a[2] * f->a[2]);
    double along = 0;
    double off = 0;
    for (int t = 0; t < T; t++) {
        along += (x[t] - f->z[t]) * f->a[t] / length;
    }
    for (int t = 0; t < T; t++) {
        double rest = x[t] - f->z[t] - along * f->a[t] / length;
        off += rest * rest;
    }
    return along + f->number * sqrt(off);
}

static double cosmos(const formula *f, const double *x)
{
    double sum = 0;
    double aa = 0;
    double xx = 0;
    for (int t = 0; t < T; t++) {
        sum += f->a[t] * x[t];
        aa += f->a[t] * f->a[t];
        xx += x[t] * x[t];
    }
    return sum - f->number * sum / sqrt(aa * xx);
}

static void check_derivative(double (*function)(const formula *, const double *), const formula *f,
                             const mtl_balancer_options *options)
{
    const double h = 1e-5;
    double weights[T];
    decide_once(options, LOSSES, weights);
    for (int t = 0; t < T; t++) {
        double high[T], low[T];
        memcpy(high, LOSSES, sizeof high);
        memcpy(low, LOSSES, sizeof low);
        high[t] += h;
        low[t] -= h;
        /* h² F''' / 6 with third derivatives below 100, and roundings of F / h */
        test_near(weights[t], (function(f, high) - function(f, low)) / (2 * h), 2e-9,
                  mtl_balance_method_name(options->method), __FILE__, __LINE__);
    }
}

static void weights_are_derivatives(void **state)
{
    (void)state;
    const double ones[T] = {1, 1, 1}, zeros[T] = {0, 0, 0}, thirds[T] = {1.0 / 3, 1.0 / 3, 1.0 / 3};
    const double a[T] = {.5, 2, 1}, z[T] = {.1, -.2, .05};
    const struct derivative {
        int32_t method;
        double (*function)(const formula *, const double *);
        formula defaults;
        double other; /* of the number */
    } derivatives[] = {
        {MTL_BALANCE_GEOMETRIC, geometric, {NULL, NULL, 0}, -1},
        {MTL_BALANCE_SCALE_INVARIANT, logarithms, {NULL, NULL, 0}, -1},
        {MTL_BALANCE_TCHEBYCHEFF, smooth_maximum, {thirds, zeros, 1}, .3},
        {MTL_BALANCE_BOUNDARY, boundary, {ones, zeros, 5}, 1.5},
        {MTL_BALANCE_COSMOS, cosmos, {thirds, zeros, 1}, .25},
    };
    for (size_t k = 0; k < sizeof derivatives / sizeof derivatives[0]; k++) {
        mtl_balancer_options options = balancer_options(derivatives[k].method);
        check_derivative(derivatives[k].function, &derivatives[k].defaults, &options);
        if (derivatives[k].other < 0) {
            continue;
        }
        const formula chosen = {a, z, derivatives[k].other};
        options.num_tasks = T;
        options.preference = a;
        options.reference = options.method == MTL_BALANCE_COSMOS ? NULL : z;
        *(options.method == MTL_BALANCE_TCHEBYCHEFF ? &options.mu
          : options.method == MTL_BALANCE_BOUNDARY  ? &options.theta
                                                    : &options.lambda) = chosen.number;
        check_derivative(derivatives[k].function, &chosen, &options);
    }
}

/* LibMTL's: Σ log L in the warm-up, whose mean losses n are the nadir; then T μ softmax(log(L/n) / μ) / (μ L). */
static void stch_in_logarithms(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_balancer_options options = balancer_options(MTL_BALANCE_TCHEBYCHEFF);
    options.form = MTL_BALANCE_FORM_LOGARITHM;
    options.warmup_steps = 2;
    options.mu = .5;
    mtl_balancer *balancer = balancer_with(context, &options);
    const double other[T] = {0.9, 1.1, 0.6};
    double weights[T];
    double nadir[T];
    decide(context, balancer, LOSSES, weights);
    assert_close(weights, ROW(1 / .7, 1 / 1.9, 1 / .3), T, 1e-15, 0);
    decide(context, balancer, other, weights);
    assert_close(weights, ROW(1 / .9, 1 / 1.1, 1 / .6), T, 1e-15, 0);
    decide(context, balancer, LOSSES, weights);
    assert_int_equal(mtl_balancer_read(balancer, "first", nadir, T), T);
    assert_close(nadir, ROW(.8, 1.5, .45), T, 1e-15, 0);
    double parts[T];
    double sum = 0;
    for (int t = 0; t < T; t++) {
        parts[t] = pow(LOSSES[t] / nadir[t], 1 / .5);
        sum += parts[t];
    }
    for (int t = 0; t < T; t++) {
        assert_near(weights[t], T * parts[t] / sum / LOSSES[t], 1e-14);
    }
    mtl_balancer_destroy(balancer);
    mtl_context_release(context);
}

/* ---- trained scales: Adam's first step is -rate g / (|g| + 1e-8) ---- */

static double moved(double rate, double gradient)
{
    return -rate * gradient / (fabs(gradient) + 1e-8);
}

static void uncertainty_in_two_forms(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    for (int32_t form = MTL_BALANCE_FORM_HALF; form <= MTL_BALANCE_FORM_FULL; form++) {
        mtl_balancer_options options = balancer_options(MTL_BALANCE_UNCERTAINTY);
        double share = form == MTL_BALANCE_FORM_HALF ? .5 : 1;
        double weights[T];
        double s[T];
        options.form = form;
        options.rate = .1;
        mtl_balancer *balancer = balancer_with(context, &options);
        decide(context, balancer, LOSSES, weights);
        assert_close(weights, ROW(share, share, share), T, 0, 0);
        assert_int_equal(mtl_balancer_read(balancer, "s", s, T), T);
        for (int t = 0; t < T; t++) {
            assert_near(s[t], moved(.1, .5 - share * LOSSES[t]), 1e-15);
        }
        decide(context, balancer, LOSSES, weights);
        for (int t = 0; t < T; t++) {
            assert_near(weights[t], share * exp(-s[t]), 1e-15);
        }
        mtl_balancer_destroy(balancer);
    }
    mtl_context_release(context);
}

static void imtl_trains_scales(void **state)
{
    (void)state;
    const double gram[T * T] = {6, 0, -7, 0, 6, -1, -7, -1, 14};
    mtl_context *context = test_context();
    const int32_t methods[] = {MTL_BALANCE_IMTL_L, MTL_BALANCE_IMTL};
    for (int k = 0; k < 2; k++) {
        mtl_balancer *balancer = balancer_of(context, methods[k]);
        double weights[T];
        double s[T];
        assert_ok(context, mtl_balancer_decide(balancer, T, LOSSES, gram, weights, NULL));
        assert_int_equal(mtl_balancer_read(balancer, "s", s, T), T);
        for (int t = 0; t < T; t++) {
            assert_near(s[t], moved(.001, LOSSES[t] - 1), 1e-15);
        }
        assert_ok(context, mtl_balancer_decide(balancer, T, LOSSES, gram, weights, NULL));
        if (methods[k] == MTL_BALANCE_IMTL_L) {
            assert_close(weights, ROW(exp(s[0]), exp(s[1]), exp(s[2])), T, 1e-15, 0);
            mtl_balancer_destroy(balancer);
            continue;
        }
        /* equal projections on all gradients, and the weights of the scaled ones sum to 1 */
        double products[T];
        for (int i = 0; i < T; i++) {
            products[i] = (gram[i * T] * weights[0] + gram[i * T + 1] * weights[1] + gram[i * T + 2] * weights[2]) /
                          sqrt(gram[i * T + i]);
        }
        assert_near(products[1], products[0], 1e-14);
        assert_near(products[2], products[0], 1e-14);
        assert_near(weights[0] / exp(s[0]) + weights[1] / exp(s[1]) + weights[2] / exp(s[2]), 1, 1e-14);
        mtl_balancer_destroy(balancer);
    }
    mtl_context_release(context);
}

/* ---- epochs and measures ---- */

static void check_rates(const double *weights, const double *newer, const double *older, double tau)
{
    double sum = 0;
    for (int t = 0; t < T; t++) {
        sum += exp(newer[t] / older[t] / tau);
    }
    for (int t = 0; t < T; t++) {
        assert_near(weights[t], T * exp(newer[t] / older[t] / tau) / sum, 1e-14);
    }
}

/* Epochs of two steps: 1 each in the first two, then the quotient of their means. Once by number, once by call. */
static void dwa_compares_epochs(void **state)
{
    (void)state;
    const double steps[6][T] = {{1, 2, 3}, {3, 2, 1}, {1, 1, 1}, {2, 1, 0.5}, {5, 5, 5}, {1, 2, 3}};
    const double first[T] = {2, 2, 2}, second[T] = {1.5, 1, .75}, third[T] = {3, 3.5, 4};
    for (int by_call = 0; by_call < 2; by_call++) {
        mtl_context *context = test_context();
        mtl_balancer_options options = balancer_options(MTL_BALANCE_DWA);
        options.epoch_steps = by_call ? 0 : 2;
        options.tau = .7;
        mtl_balancer *balancer = balancer_with(context, &options);
        double weights[T];
        mtl_balancer_next_epoch(balancer); /* nothing to close yet */
        for (int step = 0; step < 6; step++) {
            decide(context, balancer, steps[step], weights);
            if (step < 4) {
                assert_close(weights, ROW(1, 1, 1), T, 1e-15, 0);
            } else {
                check_rates(weights, second, first, .7);
            }
            if (by_call && step % 2) {
                mtl_balancer_next_epoch(balancer);
            }
        }
        decide(context, balancer, LOSSES, weights);
        check_rates(weights, third, second, .7);
        mtl_balancer_destroy(balancer);
        mtl_context_release(context);
    }
}

/* Tasks of which an epoch has no mean have the rate 1. */
static void dwa_without_a_task(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_balancer_options options = balancer_options(MTL_BALANCE_DWA);
    options.epoch_steps = 1;
    mtl_balancer *balancer = balancer_with(context, &options);
    double weights[T];
    decide(context, balancer, ROW(1, NAN, 2), weights);
    decide(context, balancer, ROW(2, 1, 1), weights);
    decide(context, balancer, ROW(NAN, 1, 1), weights); /* rates 2, -, 1/2 -> of tasks 1 and 2: 1, 1/2 */
    assert_near(weights[0], 0, 0);
    assert_near(weights[1], 2 / (1 + exp(-.25)), 1e-15);
    assert_near(weights[2], 2 / (1 + exp(.25)), 1e-15);
    mtl_balancer_destroy(balancer);
    mtl_context_release(context);
}

static double focus(double success, double gamma)
{
    return -pow(1 - success, gamma) * log(success);
}

static void dtp_follows_measures(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_balancer_options options = balancer_options(MTL_BALANCE_PRIORITIZATION);
    options.gamma = 1.5;
    options.rate = .25;
    mtl_balancer *balancer = balancer_with(context, &options);
    double weights[T];
    assert_fails(context, mtl_balancer_set_measure(balancer, 0, .5), MTL_ERROR_STATE, "no step was done");
    decide(context, balancer, LOSSES, weights);
    assert_close(weights, ROW(1, 1, 1), T, 0, 0);
    assert_fails(context, mtl_balancer_set_measure(balancer, 3, .5), MTL_ERROR_ARGUMENT, "task = 3");
    assert_fails(context, mtl_balancer_set_measure(balancer, -1, .5), MTL_ERROR_ARGUMENT, "task = -1");
    assert_fails(context, mtl_balancer_set_measure(balancer, 0, 1.5), MTL_ERROR_ARGUMENT, "value = 1.5");
    assert_fails(context, mtl_balancer_set_measure(balancer, 0, NAN), MTL_ERROR_ARGUMENT, "nan");
    assert_ok(context, mtl_balancer_set_measure(balancer, 0, .8));
    assert_ok(context, mtl_balancer_set_measure(balancer, 2, 0));
    decide(context, balancer, LOSSES, weights);
    assert_close(weights, ROW(focus(.8, 1.5), 1, focus(1e-8, 1.5)), T, 1e-12, 0);
    assert_ok(context, mtl_balancer_set_measure(balancer, 0, .4));
    assert_ok(context, mtl_balancer_set_measure(balancer, 2, 1));
    decide(context, balancer, LOSSES, weights);
    assert_close(weights, ROW(focus(.7, 1.5), 1, focus(.25, 1.5)), T, 1e-12, 0);
    mtl_balancer_destroy(balancer);
    balancer = balancer_of(context, MTL_BALANCE_DWA);
    assert_fails(context, mtl_balancer_set_measure(balancer, 0, .5), MTL_ERROR_UNSUPPORTED, "'dwa'");
    mtl_balancer_destroy(balancer);
    mtl_context_release(context);
}

/* ---- losses that a formula has no place for ---- */

static void losses_at_the_edge(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    const int32_t logs[] = {MTL_BALANCE_GEOMETRIC, MTL_BALANCE_SCALE_INVARIANT};
    for (int k = 0; k < 2; k++) {
        mtl_balancer *balancer = balancer_of(context, logs[k]);
        double weights[T] = {7, 7, 7};
        assert_fails(context, mtl_balancer_decide(balancer, T, ROW(1, -1, 2), NULL, weights, NULL), MTL_ERROR_NUMERIC,
                     mtl_balance_method_name(logs[k]));
        assert_close(weights, ROW(7, 7, 7), T, 0, 0);
        decide(context, balancer, ROW(1, 0, 4), weights);   /* a task without loss is as if absent */
        assert_close(weights, ROW(1, 0, .25), T, 1e-15, 0); /* √(1 · 4) / (2 L), and 1/L */
        mtl_balancer_destroy(balancer);
    }
    /* tau so small that the softmax is a choice; weights that no double can hold */
    mtl_balancer_options options = balancer_options(MTL_BALANCE_TCHEBYCHEFF);
    options.mu = 1e-300;
    double weights[T];
    decide_once(&options, LOSSES, weights);
    assert_close(weights, ROW(0, 1.0 / 3, 0), T, 1e-15, 0);
    mtl_balancer *balancer = balancer_of(context, MTL_BALANCE_SCALE_INVARIANT);
    assert_fails(context, mtl_balancer_decide(balancer, T, ROW(1, 1e-320, 1), NULL, weights, NULL), MTL_ERROR_NUMERIC,
                 "not finite");
    mtl_balancer_destroy(balancer);
    /* means of the largest numbers do not overflow */
    balancer = balancer_of(context, MTL_BALANCE_EQUAL);
    for (int step = 0; step < 3; step++) {
        decide(context, balancer, ROW(1.7e308, -1.7e308, 0), weights);
    }
    double mean[T];
    assert_int_equal(mtl_balancer_read(balancer, "loss-mean", mean, T), T);
    assert_close(mean, ROW(1.7e308, -1.7e308, 0), T, 1e-15, 0);
    mtl_balancer_destroy(balancer);
    /* what cannot be remembered ends the step: squares of 1e200 */
    balancer = balancer_of(context, MTL_BALANCE_IMTL_L);
    assert_fails(context, mtl_balancer_decide(balancer, T, ROW(1e200, 1, 1), NULL, weights, NULL), MTL_ERROR_NUMERIC,
                 "step 1");
    decide(context, balancer, LOSSES, weights);
    assert_close(weights, ROW(1, 1, 1), T, 0, 0);
    mtl_balancer_destroy(balancer);
    mtl_context_release(context);
}

/* A loss of 0 in the warm-up says nothing: the first one that is not counts. */
static void a_task_that_begins_with_nothing(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_balancer_options options = balancer_options(MTL_BALANCE_GRADNORM);
    options.warmup_steps = 1;
    mtl_balancer *balancer = balancer_with(context, &options);
    const double gram[T * T] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    double weights[T];
    double first[T];
    assert_ok(context, mtl_balancer_decide(balancer, T, ROW(1, 0, 2), NULL, weights, NULL));
    assert_close(weights, ROW(1, 1, 1), T, 0, 0);
    assert_ok(context, mtl_balancer_decide(balancer, T, ROW(1, 3, 2), gram, weights, NULL));
    assert_int_equal(mtl_balancer_read(balancer, "first", first, T), T);
    assert_close(first, ROW(1, 3, 2), T, 0, 0);
    mtl_balancer_destroy(balancer);
    mtl_context_release(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_and_fixed),
        cmocka_unit_test(random_weights_are_shares_that_change),
        cmocka_unit_test(weights_are_derivatives),
        cmocka_unit_test(stch_in_logarithms),
        cmocka_unit_test(uncertainty_in_two_forms),
        cmocka_unit_test(imtl_trains_scales),
        cmocka_unit_test(dwa_compares_epochs),
        cmocka_unit_test(dwa_without_a_task),
        cmocka_unit_test(dtp_follows_measures),
        cmocka_unit_test(losses_at_the_edge),
        cmocka_unit_test(a_task_that_begins_with_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
