/* SPDX-License-Identifier: Apache-2.0
 * A balanced backward pass equals what the host would do by hand: every task's gradient by a pass of its own, their Gram
 * matrix, the weights of a twin balancer, the weighted sum. Every method that decides from losses and the Gram matrix. */
#include "balanced_tasks.h"
#include "support.h"

#include <math.h>

typedef struct told {
    double weights[BALANCED_MOST];
    double own[BALANCED_MOST];
    double norms[BALANCED_MOST];
    int calls;
} told;

static void listen(void *user, const mtl_balance_report *report)
{
    told *t = user;
    t->calls++;
    memcpy(t->weights, report->weights, (size_t)report->num_tasks * sizeof(double));
    memcpy(t->own, report->own_weights, (size_t)report->num_tasks * sizeof(double));
    memcpy(t->norms, report->norms, (size_t)report->num_tasks * sizeof(double));
}

static mtl_context *context_with_threads(int32_t threads)
{
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    mtl_context *context;
    options.threads = threads;
    options.gemm = MTL_GEMM_BUILTIN; /* the bits do not depend on threads */
    assert_int_equal(mtl_context_create(&options, &context), MTL_OK);
    return context;
}

/* A model with a balancer, and the same again; the balancers draw the same random numbers. */
typedef struct twins {
    mtl_context *context[2];
    balanced_tasks tasks[2];
    mtl_balancer *balancer[2];
    told told[2];
} twins;

static void open_twins(twins *t, const balanced_setup *setup, const mtl_balancer_options *options, int32_t threads)
{
    memset(t, 0, sizeof *t);
    for (int i = 0; i < 2; i++) {
        t->context[i] = context_with_threads(threads);
        assert_ok(t->context[i], balanced_tasks_create(t->context[i], setup, &t->tasks[i]));
        assert_ok(t->context[i], mtl_balancer_create(t->context[i], options, &t->balancer[i]));
        assert_ok(t->context[i], mtl_balancer_set_monitor(t->balancer[i], listen, &t->told[i]));
    }
    assert_ok(t->context[0], mtl_objective_set_balancer(t->tasks[0].objective, t->balancer[0]));
}

static void close_twins(twins *t)
{
    for (int i = 0; i < 2; i++) {
        mtl_balancer_destroy(t->balancer[i]);
        balanced_tasks_destroy(&t->tasks[i]);
        mtl_context_release(t->context[i]);
    }
}

/* Largest distance of the gradient from Σ w g, relative to Σ |w| ‖g‖. */
static double distance(const balanced_tasks *t, const double *g, const told *weights, const double *actual)
{
    int64_t size = balanced_tasks_size(t);
    int64_t shared = balanced_tasks_shared(t);
    double scale = 0;
    double worst = 0;
    for (int32_t k = 0; k < t->setup.tasks; k++) {
        double norm = 0;
        for (int64_t i = 0; i < size; i++) {
            norm += g[k * size + i] * g[k * size + i];
        }
        if (balanced_tasks_has(t, k)) {
            scale += fmax(fabs(weights->weights[k]), fabs(weights->own[k])) * sqrt(norm);
        }
    }
    for (int64_t i = 0; i < size; i++) {
        double expected = 0;
        for (int32_t k = 0; k < t->setup.tasks; k++) {
            double weight = i < shared ? weights->weights[k] : weights->own[k];
            expected += balanced_tasks_has(t, k) ? weight * g[k * size + i] : 0;
        }
        worst = fmax(worst, fabs(expected - actual[i]));
    }
    return scale > 0 ? worst / scale : worst;
}

/* Every number of a gradient is a sum of at most some hundred products in float in one order or another: 1e-5 of the
 * gradients' lengths is generous, and a wrong row or weight is far above it. */
#define ROUNDING 1e-5

static double explicit_g[BALANCED_MOST * BALANCED_MOST_VALUES];
static double gradient[BALANCED_MOST_VALUES];

/* One step: pass of the one, decision of the other. Weights come from G to rounding, and matrices here have condition
 * numbers of up to some hundreds. */
static void compare_step(twins *t, double weight_tolerance, const char *what)
{
    balanced_tasks *tasks = &t->tasks[0];
    double losses[BALANCED_MOST], gram[BALANCED_MOST * BALANCED_MOST], weights[BALANCED_MOST];
    assert_true(balanced_tasks_size(tasks) <= BALANCED_MOST_VALUES);
    assert_ok(t->context[0], balanced_tasks_explicit(tasks, 0, losses, explicit_g));
    balanced_gram(tasks->setup.tasks, balanced_tasks_shared(tasks), balanced_tasks_size(tasks), explicit_g, gram);
    assert_ok(t->context[1], mtl_balancer_decide(t->balancer[1], tasks->setup.tasks, losses, gram, weights, NULL));
    assert_ok(t->context[0], balanced_tasks_backward(tasks));
    assert_ok(t->context[0], balanced_tasks_gradient(tasks, tasks->gradients, gradient));
    assert_int_equal(t->told[0].calls, t->told[1].calls);
    for (int32_t k = 0; k < tasks->setup.tasks; k++) {
        double difference = fabs(t->told[0].weights[k] - weights[k]);
        bool same = balanced_tasks_has(tasks, k) ? difference <= weight_tolerance * fmax(1, fabs(weights[k]))
                                                 : isnan(t->told[0].weights[k]) && weights[k] == 0;
        bool own = !balanced_tasks_has(tasks, k) ||
                   fabs(t->told[0].own[k] - t->told[1].own[k]) <= weight_tolerance * fmax(1, fabs(t->told[1].own[k]));
        bool noted = balanced_tasks_has(tasks, k)
                         ? mtl_objective_balance_weight(tasks->objective, k) == t->told[0].weights[k]
                         : mtl_objective_balance_weight(tasks->objective, k) == 0;
        if (!same || !own || !noted) {
            fail_msg("%s: task %d has weight %.9g (own %.9g, told %.9g), expected %.9g (%.9g)", what, k,
                     t->told[0].weights[k], t->told[0].own[k], mtl_objective_balance_weight(tasks->objective, k),
                     weights[k], t->told[1].own[k]);
        }
    }
    double far = distance(tasks, explicit_g, &t->told[0], gradient);
    if (!(far <= ROUNDING)) {
        fail_msg("%s: the gradient is off by %g of the task gradients' lengths", what, far);
    }
}

static bool decides_alone(int32_t method)
{
    enum { ALONE = MTL_BALANCE_NEEDS_GRAM | MTL_BALANCE_NEEDS_EPOCHS | MTL_BALANCE_NEEDS_MEASURE };
    return (mtl_balance_method_needs(method) & ~ALONE) == 0 && method != MTL_BALANCE_CUSTOM;
}

static void compare_steps(const balanced_setup *setup, const mtl_balancer_options *options, int32_t threads, int steps)
{
    twins t;
    char what[256];
    snprintf(what, sizeof what, "%s, %d tasks, labels %d, deep %d, at most %llu bytes, %d threads",
             mtl_balance_method_name(options->method), setup->tasks, (int)setup->labels, setup->deep,
             (unsigned long long)options->max_bytes, threads);
    open_twins(&t, setup, options, threads);
    for (int step = 0; step < steps; step++) {
        compare_step(&t, 2e-3, what);
        assert_ok(t.context[0], mtl_optimizer_step(t.tasks[0].optimizer, t.tasks[0].gradients));
    }
    close_twins(&t);
}

static void compare_all(int32_t tasks, const double *lambda, int deep)
{
    for (int32_t method = 0; method < MTL_BALANCE_CUSTOM; method++) {
        for (int labels = 0; decides_alone(method) && labels < BALANCED_LABELLINGS; labels++) {
            for (int kept = 0; kept < 2; kept++) {
                balanced_setup setup = {
                    .tasks = tasks, .labels = (balanced_labels)labels, .lambda = lambda, .deep = deep};
                mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
                options.method = method;
                options.max_bytes = kept ? options.max_bytes : 0;
                options.epoch_steps = 1;
                compare_steps(&setup, &options, 1, 3);
            }
        }
    }
}

static void two_tasks(void **state)
{
    (void)state;
    compare_all(2, NULL, 0);
}

static void three_tasks_with_weights(void **state)
{
    (void)state;
    compare_all(3, (const double[]){1, 0.3, 2}, 0);
}

static void four_tasks_of_which_one_has_no_weight(void **state)
{
    (void)state;
    compare_all(4, (const double[]){0.5, 1, 0, 1.5}, 0);
}

static void one_task(void **state)
{
    (void)state;
    compare_all(1, (const double[]){0.7}, 0);
}

static void deep_encoders(void **state)
{
    (void)state;
    compare_all(3, NULL, 1);
}

/* ---- the same bits with threads ---- */

static void run_three_steps(const balanced_setup *setup, const mtl_balancer_options *options, int32_t threads,
                            double *out)
{
    mtl_context *context = context_with_threads(threads);
    balanced_tasks tasks;
    mtl_balancer *balancer;
    assert_ok(context, balanced_tasks_create(context, setup, &tasks));
    assert_ok(context, mtl_balancer_create(context, options, &balancer));
    assert_ok(context, mtl_objective_set_balancer(tasks.objective, balancer));
    for (int step = 0; step < 3; step++) {
        assert_ok(context, mtl_objective_step(tasks.objective, tasks.optimizer, balanced_tasks_evaluate, &tasks));
    }
    assert_ok(context, balanced_tasks_weights(&tasks, out));
    mtl_balancer_destroy(balancer);
    balanced_tasks_destroy(&tasks);
    mtl_context_release(context);
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    static double one[BALANCED_MOST_VALUES], two[BALANCED_MOST_VALUES];
    for (int32_t method = 0; method < MTL_BALANCE_CUSTOM; method++) {
        for (int labels = 0; labels < BALANCED_PARTLY; labels++) {
            for (int kept = 0; kept < 2; kept++) {
                balanced_setup setup = {.tasks = 3, .labels = (balanced_labels)labels, .deep = 1};
                mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
                options.method = method;
                options.max_bytes = kept ? options.max_bytes : 0;
                memset(one, 0, sizeof one);
                memset(two, 0, sizeof two);
                run_three_steps(&setup, &options, 1, one);
                run_three_steps(&setup, &options, 2, two);
                if (memcmp(one, two, sizeof one) != 0) {
                    fail_msg("%s, labels %d, kept %d: other bits with two threads", mtl_balance_method_name(method),
                             labels, kept);
                }
            }
        }
    }
}

/* ---- what weights act on, and when ---- */

static void scopes_and_reductions(void **state)
{
    (void)state;
    const int32_t methods[] = {MTL_BALANCE_EQUAL,  MTL_BALANCE_RANDOM, MTL_BALANCE_IMTL_L, MTL_BALANCE_MGDA,
                               MTL_BALANCE_UPGRAD, MTL_BALANCE_IMTL,   MTL_BALANCE_NASH,   MTL_BALANCE_GRADNORM};
    for (size_t m = 0; m < sizeof methods / sizeof methods[0]; m++) {
        for (int32_t scope = 0; scope <= MTL_BALANCE_SCOPE_SHARED; scope++) {
            for (int32_t reduction = 0; reduction <= MTL_BALANCE_REDUCE_MEAN; reduction++) {
                for (int kept = 0; kept < 2; kept++) {
                    balanced_setup setup = {.tasks = 3, .labels = kept ? BALANCED_PARTLY : BALANCED_DISJOINT};
                    mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
                    options.method = methods[m];
                    options.scope = scope;
                    options.reduction = reduction;
                    options.max_bytes = kept ? options.max_bytes : 0;
                    compare_steps(&setup, &options, 1, 2);
                }
            }
        }
    }
}

/* Weights of the scope itself: heads at their λ L, or weighted. */
static void heads_follow_the_scope(void **state)
{
    (void)state;
    for (int32_t scope = MTL_BALANCE_SCOPE_ALL; scope <= MTL_BALANCE_SCOPE_SHARED; scope++) {
        balanced_setup setup = {.tasks = 3, .labels = BALANCED_PARTLY};
        mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
        options.method = MTL_BALANCE_UPGRAD;
        options.scope = scope;
        twins t;
        open_twins(&t, &setup, &options, 1);
        compare_step(&t, 1e-3, "upgrad");
        for (int k = 0; k < 3; k++) {
            assert_true(t.told[0].own[k] == (scope == MTL_BALANCE_SCOPE_ALL ? t.told[0].weights[k] : 1));
        }
        close_twins(&t);
    }
}

static void decisions_are_kept_between(void **state)
{
    (void)state;
    const int32_t methods[] = {MTL_BALANCE_UPGRAD, MTL_BALANCE_NASH, MTL_BALANCE_RANDOM, MTL_BALANCE_IMTL};
    for (size_t m = 0; m < sizeof methods / sizeof methods[0]; m++) {
        for (int labels = 0; labels < BALANCED_LABELLINGS; labels++) {
            balanced_setup setup = {.tasks = 3, .labels = (balanced_labels)labels};
            mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
            options.method = methods[m];
            options.update_every = 3;
            options.warmup_steps = 1;
            options.measure_every = 4;
            options.smoothing = 0.5;
            compare_steps(&setup, &options, 1, 8);
        }
    }
}

/* Rows of the table that no task reads stay untouched; those of a task without weight too. */
static void tables_stay_sparse(void **state)
{
    (void)state;
    for (int kept = 0; kept < 2; kept++) {
        balanced_setup setup = {.tasks = 3, .labels = BALANCED_DISJOINT};
        mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
        options.method = MTL_BALANCE_UPGRAD;
        options.max_bytes = kept ? options.max_bytes : 0;
        twins t;
        open_twins(&t, &setup, &options, 1);
        compare_step(&t, 1e-3, "upgrad");
        const mtl_tensor *table = mtl_model_parameter(t.tasks[0].model, 0);
        const int32_t *rows = NULL;
        int64_t count = mtl_gradients_rows(t.tasks[0].gradients, table, &rows);
        assert_true(count > 0 && count < BALANCED_WORDS);
        assert_true(rows[count - 1] < BALANCED_WORDS - 2); /* the last words do not occur */
        close_twins(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_tasks),
        cmocka_unit_test(three_tasks_with_weights),
        cmocka_unit_test(four_tasks_of_which_one_has_no_weight),
        cmocka_unit_test(one_task),
        cmocka_unit_test(deep_encoders),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(scopes_and_reductions),
        cmocka_unit_test(heads_follow_the_scope),
        cmocka_unit_test(decisions_are_kept_between),
        cmocka_unit_test(tables_stay_sparse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
