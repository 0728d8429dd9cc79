/* SPDX-License-Identifier: Apache-2.0
 * The steps of balancers without an objective: warm-up, weights that are kept or averaged, absent tasks, and what a
 * monitor is told. */
#include "balancers.h"

enum { T = 3 };

static const double LOSSES[T] = {0.7, 1.9, 0.3};
static const double GRAM[T * T] = {6, 0, -7, 0, 6, -1, -7, -1, 14};
static const double OTHER[T * T] = {1, .5, 0, .5, 2, 0, 0, 0, 3};
static const double UPGRAD_OF_GRAM[T] = {.788889, .417001, .559151};

static const double PRINTED = 5.1e-7; /* half a unit of the last of six printed digits */

typedef struct fixture {
    mtl_context *context;
    mtl_balancer *balancer;
} fixture;

static void open_with(fixture *f, const mtl_balancer_options *options)
{
    f->context = test_context();
    f->balancer = balancer_with(f->context, options);
}

static void close_fixture(fixture *f)
{
    mtl_balancer_destroy(f->balancer);
    mtl_context_release(f->context);
}

static void step(fixture *f, const double *losses, const double *gram, double *weights)
{
    assert_ok(f->context, mtl_balancer_decide(f->balancer, T, losses, gram, weights, NULL));
}

/* ---- schedules ---- */

/* Equal on the scale of the method's own weights, and no Gram matrix wanted. */
static void warm_up(void **state)
{
    (void)state;
    const struct {
        int32_t method;
        int32_t reduction;
        double weight;
    } cases[] = {
        {MTL_BALANCE_UPGRAD, MTL_BALANCE_REDUCE_DEFAULT, 1.0 / T},
        {MTL_BALANCE_UPGRAD, MTL_BALANCE_REDUCE_SUM, 1},
        {MTL_BALANCE_PCGRAD, MTL_BALANCE_REDUCE_DEFAULT, 1},
        {MTL_BALANCE_PCGRAD, MTL_BALANCE_REDUCE_MEAN, 1.0 / T},
        {MTL_BALANCE_PCGRAD, MTL_BALANCE_REDUCE_SUM, 1},
        {MTL_BALANCE_MGDA, MTL_BALANCE_REDUCE_MEAN, 1.0 / T},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        mtl_balancer_options options = balancer_options(cases[k].method);
        double weights[T];
        fixture f;
        options.warmup_steps = 2;
        options.reduction = cases[k].reduction;
        open_with(&f, &options);
        for (int i = 0; i < 2; i++) {
            step(&f, LOSSES, i ? GRAM : NULL, weights);
            assert_close(weights, ROW(cases[k].weight, cases[k].weight, cases[k].weight), T, 1e-15, 0);
        }
        assert_fails(f.context, mtl_balancer_decide(f.balancer, T, LOSSES, NULL, weights, NULL), MTL_ERROR_ARGUMENT,
                     "gram is NULL");
        step(&f, LOSSES, GRAM, weights);
        assert_true(fabs(weights[1] - cases[k].weight) > .01);
        close_fixture(&f);
    }
}

static void weights_are_kept_between_decisions(void **state)
{
    (void)state;
    mtl_balancer_options options = balancer_options(MTL_BALANCE_UPGRAD);
    double weights[T];
    double before[T];
    fixture f;
    options.update_every = 3;
    options.warmup_steps = 1;
    open_with(&f, &options);
    step(&f, LOSSES, NULL, weights);
    step(&f, LOSSES, GRAM, weights);
    assert_close(weights, UPGRAD_OF_GRAM, T, 0, PRINTED);
    memcpy(before, weights, sizeof before);
    step(&f, LOSSES, NULL, weights);
    assert_memory_equal(weights, before, sizeof before);
    step(&f, LOSSES, OTHER, weights); /* which is looked at, but decides nothing */
    assert_memory_equal(weights, before, sizeof before);
    step(&f, LOSSES, OTHER, weights);
    assert_close(weights, ROW(1.0 / T, 1.0 / T, 1.0 / T), T, 1e-12, 0); /* no conflict */
    close_fixture(&f);
}

/* A task that no decision has seen counts as in the warm-up. */
static void a_task_that_comes_between_decisions(void **state)
{
    (void)state;
    mtl_balancer_options options = balancer_options(MTL_BALANCE_MGDA);
    double weights[T];
    fixture f;
    options.update_every = 2;
    open_with(&f, &options);
    step(&f, ROW(1, NAN, 1), GRAM, weights);
    /* G_00 = 6, G_02 = -7, G_22 = 14: w_0 = 21 / 34 */
    assert_close(weights, ROW(21.0 / 34, 0, 13.0 / 34), T, 1e-14, 0);
    step(&f, LOSSES, NULL, weights);
    assert_close(weights, ROW(21.0 / 34, 1.0 / T, 13.0 / 34), T, 1e-14, 0);
    close_fixture(&f);
}

/* CR-MOGM: w ← α w_before + (1 - α) w; the first decision as it is; absent tasks keep theirs. */
static void smoothing_by_hand(void **state)
{
    (void)state;
    mtl_balancer_options options = balancer_options(MTL_BALANCE_MGDA);
    double weights[T];
    double first[T];
    double second[T];
    fixture f;
    open_with(&f, &options);
    step(&f, LOSSES, GRAM, first);
    step(&f, LOSSES, OTHER, second);
    close_fixture(&f);
    options.smoothing = .9;
    options.warmup_steps = 1;
    options.reduction = MTL_BALANCE_REDUCE_SUM;
    open_with(&f, &options);
    step(&f, LOSSES, NULL, weights);
    assert_close(weights, ROW(1, 1, 1), T, 0, 0);
    step(&f, LOSSES, GRAM, weights); /* the warm-up's weights are no decision */
    assert_close(weights, ROW(3 * first[0], 3 * first[1], 3 * first[2]), T, 1e-14, 0);
    step(&f, LOSSES, OTHER, weights);
    for (int t = 0; t < T; t++) {
        assert_near(weights[t], 3 * (.9 * first[t] + .1 * second[t]), 1e-14);
    }
    double kept = weights[1];
    step(&f, ROW(1, NAN, 1), GRAM, weights);
    assert_near(weights[1], 0, 0);
    assert_near(weights[0], .9 * 3 * (.9 * first[0] + .1 * second[0]) + .1 * 2 * 21.0 / 34, 1e-14);
    step(&f, LOSSES, OTHER, weights);
    assert_near(weights[1], .9 * kept + .1 * 3 * second[1], 1e-14);
    close_fixture(&f);
}

/* ---- absent tasks ---- */

static void absent_tasks_keep_what_is_known_about_them(void **state)
{
    (void)state;
    const struct {
        int32_t method;
        const char *array;
        int64_t at;
    } cases[] = {
        {MTL_BALANCE_UNCERTAINTY, "s", 1},  {MTL_BALANCE_UNCERTAINTY, "m", 1}, {MTL_BALANCE_IMTL_L, "v", 1},
        {MTL_BALANCE_GRADNORM, "first", 1}, {MTL_BALANCE_GRADNORM, "s", 1},    {MTL_BALANCE_GRADVAC, "rho", 1},
        {MTL_BALANCE_GRADVAC, "rho", 7},    {MTL_BALANCE_IMTL, "s", 1},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        mtl_balancer_options options = balancer_options(cases[k].method);
        double weights[T];
        double before[T * T];
        double after[T * T];
        double gram[T * T];
        fixture f;
        open_with(&f, &options);
        step(&f, LOSSES, GRAM, weights);
        step(&f, LOSSES, GRAM, weights);
        int64_t count = mtl_balancer_read(f.balancer, cases[k].array, before, T * T);
        assert_true(count == T || count == T * T);
        memcpy(gram, GRAM, sizeof gram);
        for (int t = 0; t < T; t++) {
            gram[T + t] = gram[t * T + 1] = NAN; /* not read */
        }
        step(&f, ROW(.5, NAN, 3), gram, weights);
        assert_near(weights[1], 0, 0);
        assert_true(weights[0] != 0 && weights[2] != 0);
        assert_int_equal(mtl_balancer_read(f.balancer, cases[k].array, after, T * T), count);
        assert_near(after[cases[k].at], before[cases[k].at], 0);
        close_fixture(&f);
    }
}

static void nobody_is_present(void **state)
{
    (void)state;
    for (int32_t method = 0; method < BALANCERS_METHODS; method++) {
        if (balancer_decides(method)) {
            mtl_balancer_options options = balancer_options(method);
            double weights[T] = {7, 7, 7};
            double gram[T * T];
            fixture f;
            for (int i = 0; i < T * T; i++) {
                gram[i] = NAN;
            }
            open_with(&f, &options);
            step(&f, ROW(NAN, NAN, NAN), gram, weights);
            assert_close(weights, ROW(0, 0, 0), T, 0, 0);
            step(&f, LOSSES, GRAM, weights);
            assert_true(isfinite(weights[0]));
            close_fixture(&f);
        }
    }
}

/* The present tasks are decided about as if there were no others. */
static void absence_is_as_if_there_were_no_such_task(void **state)
{
    (void)state;
    const double gram[4] = {6, -7, -7, 14};
    for (int32_t method = 0; method < BALANCERS_METHODS; method++) {
        if (balancer_decides(method)) {
            mtl_balancer_options options = balancer_options(method);
            double weights[T];
            double two[2];
            fixture f;
            open_with(&f, &options);
            step(&f, ROW(.7, NAN, .3), GRAM, weights);
            close_fixture(&f);
            open_with(&f, &options);
            assert_ok(f.context, mtl_balancer_decide(f.balancer, 2, ROW(.7, .3), gram, two, NULL));
            close_fixture(&f);
            assert_close(weights, ROW(two[0], 0, two[1]), T, 0, 0);
        }
    }
}

static void the_number_of_tasks_stays(void **state)
{
    (void)state;
    mtl_balancer_options options = balancer_options(MTL_BALANCE_EQUAL);
    double weights[T];
    fixture f;
    open_with(&f, &options);
    assert_fails(f.context, mtl_balancer_decide(f.balancer, 2, ROW(1, INFINITY), NULL, weights, NULL),
                 MTL_ERROR_NUMERIC, "the loss of task 1");
    step(&f, LOSSES, NULL, weights); /* of the step that failed nothing is left */
    assert_fails(f.context, mtl_balancer_decide(f.balancer, 2, LOSSES, NULL, weights, NULL), MTL_ERROR_STATE,
                 "count = 2, the balancer knows 3 tasks");
    assert_fails(f.context, mtl_balancer_decide(f.balancer, 0, LOSSES, NULL, weights, NULL), MTL_ERROR_ARGUMENT,
                 "count = 0");
    mtl_balancer_reset(f.balancer);
    assert_ok(f.context, mtl_balancer_decide(f.balancer, 2, LOSSES, NULL, weights, NULL));
    close_fixture(&f);
    options.method = MTL_BALANCE_FIXED;
    options.num_tasks = 2;
    open_with(&f, &options);
    assert_fails(f.context, mtl_balancer_decide(f.balancer, T, LOSSES, NULL, weights, NULL), MTL_ERROR_ARGUMENT,
                 "options->num_tasks = 2, there are 3 tasks");
    close_fixture(&f);
}

static void methods_that_need_more(void **state)
{
    (void)state;
    int refused = 0;
    for (int32_t method = 0; method < MTL_BALANCE_CUSTOM; method++) {
        if (!balancer_decides(method)) {
            mtl_balancer_options options = balancer_options(method);
            double weights[T];
            fixture f;
            open_with(&f, &options);
            assert_fails(f.context, mtl_balancer_decide(f.balancer, T, LOSSES, GRAM, weights, NULL),
                         MTL_ERROR_UNSUPPORTED, mtl_balance_method_name(method));
            close_fixture(&f);
            refused++;
        }
    }
    assert_int_equal(refused, 11); /* famo, sdmgrad, modo, 5 on coordinates, 3 on validation */
}

static void results_have_a_size(void **state)
{
    (void)state;
    mtl_balancer_options options = balancer_options(MTL_BALANCE_MGDA);
    double weights[T];
    mtl_balance_result result = {.struct_size = sizeof result - 1};
    fixture f;
    open_with(&f, &options);
    assert_fails(f.context, mtl_balancer_decide(f.balancer, T, LOSSES, GRAM, weights, &result), MTL_ERROR_ARGUMENT,
                 "result->struct_size");
    result.struct_size = sizeof result + 64; /* of a newer header */
    assert_ok(f.context, mtl_balancer_decide(f.balancer, T, LOSSES, GRAM, weights, &result));
    assert_int_equal(result.struct_size, sizeof result + 64);
    /* a combination of opposite gradients is 0: FairGrad has no direction */
    result.struct_size = sizeof result;
    mtl_balancer_destroy(f.balancer);
    f.balancer = balancer_of(f.context, MTL_BALANCE_FAIRGRAD);
    assert_ok(f.context, mtl_balancer_decide(f.balancer, 2, LOSSES, ROW(1, -1, -1, 1), weights, &result));
    assert_int_equal(result.status, MTL_BALANCE_STATIONARY);
    assert_near(weights[0] - weights[1], 0, 1e-15);
    close_fixture(&f);
}

/* ---- monitors ---- */

typedef struct seen_report {
    int calls;
    mtl_balance_report report;
    double losses[T], weights[T], own[T], norms[T], cosines[T * T], rates[T * T];
} seen_report;

static void copy_report(void *user, const mtl_balance_report *report)
{
    seen_report *seen = user;
    seen->calls++;
    seen->report = *report;
    memcpy(seen->losses, report->losses, sizeof seen->losses);
    memcpy(seen->weights, report->weights, sizeof seen->weights);
    memcpy(seen->own, report->own_weights, sizeof seen->own);
    memcpy(seen->norms, report->norms, sizeof seen->norms);
    for (int i = 0; i < T * T; i++) {
        seen->cosines[i] = report->cosines ? report->cosines[i] : -7;
        seen->rates[i] = report->conflict_rates ? report->conflict_rates[i] : -7;
    }
}

static void monitors_are_told_norms_cosines_and_conflicts(void **state)
{
    (void)state;
    seen_report seen = {0};
    mtl_balancer_options options = balancer_options(MTL_BALANCE_MGDA);
    double weights[T];
    fixture f;
    options.update_every = 2;
    open_with(&f, &options);
    assert_ok(f.context, mtl_balancer_set_monitor(f.balancer, copy_report, &seen));
    step(&f, LOSSES, GRAM, weights);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.report.struct_size, sizeof(mtl_balance_report));
    assert_int_equal(seen.report.step, 1);
    assert_int_equal(seen.report.num_tasks, T);
    assert_true(seen.report.measured);
    assert_int_equal(seen.report.status, MTL_BALANCE_OK);
    assert_close(seen.losses, LOSSES, T, 0, 0);
    assert_close(seen.weights, weights, T, 0, 0);
    assert_close(seen.own, ROW(1, 1, 1), T, 0, 0); /* mgda weights what is shared */
    assert_close(seen.norms, ROW(sqrt(6), sqrt(6), sqrt(14)), T, 1e-15, 0);
    const double far = -7 / sqrt(84);
    const double near = -1 / sqrt(84);
    assert_close(seen.cosines, ROW(1, 0, far, 0, 1, near, far, near, 1), T * T, 1e-15, 0);
    assert_close(seen.rates, ROW(NAN, 0, 1, 0, NAN, 1, 1, 1, NAN), T * T, 0, 0);
    assert_near(seen.report.conflict_rate, 2.0 / 3, 1e-15);
    step(&f, LOSSES, NULL, weights); /* the weights are kept: nothing is measured */
    assert_false(seen.report.measured);
    assert_close(seen.weights, weights, T, 0, 0);
    assert_close(seen.norms, ROW(NAN, NAN, NAN), T, 0, 0);
    assert_true(isnan(seen.cosines[0]) && isnan(seen.cosines[1]));
    assert_near(seen.report.conflict_rate, 2.0 / 3, 1e-15);
    step(&f, ROW(1, NAN, 1), OTHER, weights); /* the pair (0, 2) once more, without conflict */
    assert_int_equal(seen.report.step, 3);
    assert_close(seen.losses, ROW(1, NAN, 1), T, 0, 0);
    assert_close(seen.weights, ROW(.75, NAN, .25), T, 1e-14, 0);
    assert_close(seen.own, ROW(1, NAN, 1), T, 0, 0);
    assert_close(seen.norms, ROW(1, NAN, sqrt(3)), T, 1e-15, 0);
    assert_close(seen.cosines, ROW(1, NAN, 0, NAN, NAN, NAN, 0, NAN, 1), T * T, 0, 0);
    assert_close(seen.rates, ROW(NAN, 0, .5, 0, NAN, 1, .5, 1, NAN), T * T, 0, 0);
    assert_near(seen.report.conflict_rate, .5, 1e-15);
    assert_ok(f.context, mtl_balancer_set_monitor(f.balancer, NULL, NULL));
    step(&f, LOSSES, GRAM, weights);
    assert_int_equal(seen.calls, 3);
    close_fixture(&f);
}

static void measuring_is_a_choice(void **state)
{
    (void)state;
    for (int32_t every = 0; every <= 1; every++) {
        seen_report seen = {0};
        mtl_balancer_options options = balancer_options(MTL_BALANCE_EQUAL);
        double weights[T];
        fixture f;
        options.measure_every = every;
        options.scope = MTL_BALANCE_SCOPE_SHARED;
        options.reduction = MTL_BALANCE_REDUCE_MEAN;
        open_with(&f, &options);
        assert_ok(f.context, mtl_balancer_set_monitor(f.balancer, copy_report, &seen));
        step(&f, LOSSES, GRAM, weights);
        assert_int_equal(seen.report.measured != 0, every);
        assert_int_equal(seen.report.cosines != NULL, every);
        assert_int_equal(seen.report.conflict_rates != NULL, every);
        assert_near(seen.report.conflict_rate, every ? 2.0 / 3 : NAN, 1e-15);
        assert_near(seen.norms[2], every ? sqrt(14) : NAN, 1e-15);
        assert_close(seen.own, ROW(1, 1, 1), T, 0, 0);
        assert_close(seen.weights, ROW(1.0 / 3, 1.0 / 3, 1.0 / 3), T, 1e-15, 0);
        /* lengths whose product no double can hold */
        step(&f, LOSSES, ROW(1e-320, -1e-320, 0, -1e-320, 1e-320, 0, 0, 0, 0), weights);
        assert_near(seen.cosines[1], every ? -1 : -7, .01); /* of numbers with three digits */
        assert_near(seen.cosines[2], every ? 0 : -7, 0);
        close_fixture(&f);
    }
}

static void scopes_of_weights(void **state)
{
    (void)state;
    const struct {
        int32_t method;
        int32_t scope;
        bool all;
    } cases[] = {
        {MTL_BALANCE_GEOMETRIC, MTL_BALANCE_SCOPE_DEFAULT, true},
        {MTL_BALANCE_GEOMETRIC, MTL_BALANCE_SCOPE_SHARED, false},
        {MTL_BALANCE_NASH, MTL_BALANCE_SCOPE_DEFAULT, true},
        {MTL_BALANCE_FAIRGRAD, MTL_BALANCE_SCOPE_DEFAULT, true},
        {MTL_BALANCE_MGDA, MTL_BALANCE_SCOPE_DEFAULT, false},
        {MTL_BALANCE_MGDA, MTL_BALANCE_SCOPE_ALL, true},
        {MTL_BALANCE_UPGRAD, MTL_BALANCE_SCOPE_SHARED, false},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        seen_report seen = {0};
        mtl_balancer_options options = balancer_options(cases[k].method);
        double weights[T];
        fixture f;
        options.scope = cases[k].scope;
        options.update_every = 2;
        open_with(&f, &options);
        assert_ok(f.context, mtl_balancer_set_monitor(f.balancer, copy_report, &seen));
        for (int i = 0; i < 2; i++) { /* decided, then kept */
            step(&f, LOSSES, GRAM, weights);
            assert_close(seen.own, cases[k].all ? weights : ROW(1, 1, 1), T, 0, 0);
        }
        close_fixture(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warm_up),
        cmocka_unit_test(weights_are_kept_between_decisions),
        cmocka_unit_test(a_task_that_comes_between_decisions),
        cmocka_unit_test(smoothing_by_hand),
        cmocka_unit_test(absent_tasks_keep_what_is_known_about_them),
        cmocka_unit_test(nobody_is_present),
        cmocka_unit_test(absence_is_as_if_there_were_no_such_task),
        cmocka_unit_test(the_number_of_tasks_stays),
        cmocka_unit_test(methods_that_need_more),
        cmocka_unit_test(results_have_a_size),
        cmocka_unit_test(monitors_are_told_norms_cosines_and_conflicts),
        cmocka_unit_test(measuring_is_a_choice),
        cmocka_unit_test(scopes_of_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
