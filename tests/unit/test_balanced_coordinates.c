/* SPDX-License-Identifier: Apache-2.0
 * Balancers that look at coordinates or track them, inside an objective, beside naive loops over dense task gradients. */
#include "balanced_tasks.h"
#include "support.h"

#include <math.h>

#include "balance/balancer.h"
#include "balance/coordinates.h"

enum { STEPS = 5 };

typedef struct naive {
    balanced_tasks tasks;
    mtl_context *context;
    mtl_balancer *balancer;
    int64_t size;
    int64_t shared;
    double losses[BALANCED_MOST];
    double *g;        /* [tasks, size] of this step */
    double *state;    /* [tasks, shared] */
    double *expected; /* [size] */
    double *actual;   /* [size] */
    double lambda[BALANCED_MOST];
    double first[BALANCED_MOST];
    double weights[BALANCED_MOST];
    double own[BALANCED_MOST];
    double scale; /* of the roundings */
    int32_t present[BALANCED_MOST];
    int32_t count;
} naive;

static double *take_doubles(int64_t count)
{
    double *values = calloc((size_t)count, sizeof(double));
    assert_non_null(values);
    return values;
}

static void open_naive(naive *n, const balanced_setup *setup, const mtl_balancer_options *options, int32_t threads)
{
    memset(n, 0, sizeof *n);
    mtl_context_options known = MTL_CONTEXT_OPTIONS_INIT;
    known.threads = threads;
    known.seed = 11;
    assert_int_equal(mtl_context_create(&known, &n->context), MTL_OK);
    assert_ok(n->context, balanced_tasks_create(n->context, setup, &n->tasks));
    assert_ok(n->context, mtl_balancer_create(n->context, options, &n->balancer));
    assert_ok(n->context, mtl_objective_set_balancer(n->tasks.objective, n->balancer));
    n->size = balanced_tasks_size(&n->tasks);
    n->shared = balanced_tasks_shared(&n->tasks);
    n->g = take_doubles(setup->tasks * n->size);
    n->state = take_doubles(setup->tasks * n->shared);
    n->expected = take_doubles(n->size);
    n->actual = take_doubles(n->size);
    for (int32_t k = 0; k < setup->tasks; k++) {
        n->lambda[k] = 1.0 / setup->tasks;
        if (balanced_tasks_has(&n->tasks, k)) {
            n->present[n->count++] = k;
        }
    }
}

static void close_naive(naive *n)
{
    free(n->g);
    free(n->state);
    free(n->expected);
    free(n->actual);
    mtl_balancer_destroy(n->balancer);
    balanced_tasks_destroy(&n->tasks);
    mtl_context_release(n->context);
}

typedef void (*naive_rule)(naive *n, int step);

/* What is a task's own: Σ own g. The largest number there is what roundings are relative to. */
static void expect_rest(naive *n)
{
    for (int64_t i = n->shared; i < n->size; i++) {
        n->expected[i] = 0;
        for (int32_t k = 0; k < n->tasks.setup.tasks; k++) {
            n->expected[i] += n->own[k] * n->g[k * n->size + i];
        }
    }
}

static void compare_naive(const balanced_setup *setup, const mtl_balancer_options *options, int32_t threads,
                          naive_rule rule, double tolerance)
{
    naive n;
    open_naive(&n, setup, options, threads);
    for (int step = 0; step < STEPS; step++) {
        assert_ok(n.context, balanced_tasks_explicit(&n.tasks, 0, n.losses, n.g));
        for (int32_t k = 0; k < setup->tasks; k++) {
            n.own[k] = 1;
        }
        rule(&n, step);
        expect_rest(&n);
        assert_ok(n.context, balanced_tasks_backward(&n.tasks));
        assert_ok(n.context, balanced_tasks_gradient(&n.tasks, n.tasks.gradients, n.actual));
        double largest = 0;
        double worst = 0;
        int64_t at = 0;
        int64_t unsure = 0;
        for (int64_t i = 0; i < n.size; i++) {
            unsure += isnan(n.expected[i]);
            largest = fmax(largest, fabs(n.expected[i]));
            double error = isnan(n.expected[i]) ? 0 : fabs(n.expected[i] - n.actual[i]);
            at = error > worst ? i : at;
            worst = fmax(worst, error);
        }
        if (!(worst <= tolerance * largest) || largest == 0 || unsure > 5) {
            fail_msg("%s, %d tasks, labels %d, step %d: value %lld of %lld is %.9g, expected %.9g",
                     mtl_balance_method_name(options->method), setup->tasks, (int)setup->labels, step, (long long)at,
                     (long long)n.shared, n.actual[at], n.expected[at]);
        }
        assert_ok(n.context, mtl_optimizer_step(n.tasks.optimizer, n.tasks.gradients));
    }
    close_naive(&n);
}

/* Numbers are float in the library: 1e-5 of the largest is some tens of roundings. */
#define ROUNDING 1e-5

static void compare_many(mtl_balancer_options options, naive_rule rule)
{
    static const double lambda[BALANCED_MOST] = {1, 0.4, 1.7, 0.8};
    for (int32_t tasks = 1; tasks <= BALANCED_MOST; tasks++) {
        for (int labels = 0; labels < (tasks > 1 ? BALANCED_LABELLINGS : BALANCED_ABSENT); labels++) {
            balanced_setup setup = {.tasks = tasks, .labels = (balanced_labels)labels, .lambda = lambda};
            compare_naive(&setup, &options, 1, rule, ROUNDING);
        }
    }
    /* A table so large that its values are shared out between threads. */
    balanced_setup large = {.tasks = 3, .labels = BALANCED_PARTLY, .lambda = lambda, .words = 30000};
    compare_naive(&large, &options, 2, rule, ROUNDING);
}

/* ---- trimmed mean ---- */

static void naive_trimmed(naive *n, int step)
{
    (void)step;
    for (int64_t i = 0; i < n->shared; i++) {
        double sorted[BALANCED_MOST];
        for (int32_t a = 0; a < n->count; a++) {
            double value = n->g[n->present[a] * n->size + i];
            int32_t b = a;
            for (; b > 0 && sorted[b - 1] > value; b--) {
                sorted[b] = sorted[b - 1];
            }
            sorted[b] = value;
        }
        int32_t trim = n->count > 2 ? 1 : 0;
        double sum = 0;
        for (int32_t a = trim; a < n->count - trim; a++) {
            sum += sorted[a];
        }
        n->expected[i] = sum / (n->count - 2 * trim);
    }
}

static void trimmed_mean(void **state)
{
    (void)state;
    mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
    options.method = MTL_BALANCE_TRIMMED_MEAN;
    compare_many(options, naive_trimmed);
}

/* ---- GradDrop ---- */

/* A purity that equals u to rounding may fall on either side: NaN there. */
static void naive_drop(naive *n, int step)
{
    for (int64_t i = 0; i < n->shared; i++) {
        mtli_real u;
        double sum = 0;
        double magnitude = 0;
        mtli_coordinates_uniform(n->balancer->seed, n->balancer->stream, step * n->shared + i, 1, &u);
        for (int32_t a = 0; a < n->count; a++) {
            sum += n->g[n->present[a] * n->size + i];
            magnitude += fabs(n->g[n->present[a] * n->size + i]);
        }
        double purity = magnitude > 0 ? 0.5 * (1 + sum / magnitude) : 0.5;
        double leak = n->balancer->options.leak;
        n->expected[i] = 0;
        for (int32_t a = 0; a < n->count; a++) {
            double g = n->g[n->present[a] * n->size + i];
            bool kept = (g > 0 && purity > (double)u) || (g < 0 && purity < (double)u);
            n->expected[i] += (kept ? 1 : leak) * g;
        }
        if (magnitude > 0 && fabs(purity - (double)u) < 1e-5) {
            n->expected[i] = (double)NAN;
        }
    }
}

static void grad_drop(void **state)
{
    (void)state;
    mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
    options.method = MTL_BALANCE_GRADDROP;
    compare_many(options, naive_drop);
    options.leak = 0.25;
    compare_many(options, naive_drop);
}

/* ---- tracked gradients ---- */

static void track_all(naive *n, double factor, const double *scales)
{
    for (int32_t a = 0; a < n->count; a++) {
        int32_t k = n->present[a];
        for (int64_t i = 0; i < n->shared; i++) {
            double *y = &n->state[k * n->shared + i];
            *y += factor * (scales[k] * n->g[k * n->size + i] - *y);
        }
    }
}

static void sum_states(naive *n)
{
    for (int64_t i = 0; i < n->shared; i++) {
        n->expected[i] = 0;
        for (int32_t a = 0; a < n->count; a++) {
            n->expected[i] += n->weights[n->present[a]] * n->state[n->present[a] * n->shared + i];
        }
    }
}

static double length_of(const double *values, int64_t size)
{
    double sum = 0;
    for (int64_t i = 0; i < size; i++) {
        sum += values[i] * values[i];
    }
    return sqrt(sum);
}

static void naive_db(naive *n, int step)
{
    const mtl_balancer_options *o = &n->balancer->options;
    double scales[BALANCED_MOST];
    double longest = 0;
    for (int32_t k = 0; k < n->tasks.setup.tasks; k++) {
        scales[k] = 1 / (n->losses[k] + 1e-8);
        n->own[k] = balanced_tasks_has(&n->tasks, k) ? scales[k] : 0; /* heads follow log L too */
    }
    track_all(n, 1 - o->beta / pow(step + 1, o->sigma), scales);
    for (int32_t a = 0; a < n->count; a++) {
        longest = fmax(longest, length_of(n->state + n->present[a] * n->shared, n->shared));
    }
    for (int32_t a = 0; a < n->count; a++) {
        int32_t k = n->present[a];
        n->weights[k] = longest / length_of(n->state + k * n->shared, n->shared);
    }
    sum_states(n);
}

static void db_mtl(void **state)
{
    (void)state;
    mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
    options.method = MTL_BALANCE_DB_MTL;
    compare_many(options, naive_db);
    options.sigma = 0.5;
    compare_many(options, naive_db);
}

/* Shares of absent tasks stay theirs: the present ones decide among what they have. */
static void naive_moco(naive *n, int step)
{
    const mtl_balancer_options *o = &n->balancer->options;
    double scales[BALANCED_MOST], next[BALANCED_MOST];
    double share = 0;
    double sum = 0;
    for (int32_t a = 0; a < n->count; a++) {
        int32_t k = n->present[a];
        scales[k] = n->losses[k] / length_of(n->g + k * n->size, n->shared);
        share += n->lambda[k];
    }
    track_all(n, fmin(o->beta / pow(step + 1, o->sigma), 1), scales);
    for (int32_t a = 0; a < n->count; a++) {
        const double *mine = n->state + n->present[a] * n->shared;
        double slope = o->rho * n->lambda[n->present[a]] / share;
        for (int32_t b = 0; b < n->count; b++) {
            const double *other = n->state + n->present[b] * n->shared;
            for (int64_t i = 0; i < n->shared; i++) {
                slope += mine[i] * other[i] * n->lambda[n->present[b]] / share;
            }
        }
        next[a] = exp(n->lambda[n->present[a]] / share - o->gamma / pow(step + 1, o->sigma) * slope);
        sum += next[a];
    }
    for (int32_t a = 0; a < n->count; a++) {
        n->weights[n->present[a]] = next[a] / sum;
        n->lambda[n->present[a]] = next[a] / sum * share;
    }
    sum_states(n);
}

static void moco(void **state)
{
    (void)state;
    mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
    options.method = MTL_BALANCE_MOCO;
    compare_many(options, naive_moco);
    options.rho = 0.2;
    options.gamma = 2;
    compare_many(options, naive_moco);
}

/* ---- ExcessMTL ---- */

static void naive_excess(naive *n, int step)
{
    double sum = 0;
    double total = 0;
    for (int32_t a = 0; a < n->count; a++) {
        int32_t k = n->present[a];
        double excess = 0;
        n->weights[k] = step == 0 ? 1 : n->weights[k];
        for (int64_t i = 0; i < n->shared; i++) {
            double g = n->g[k * n->size + i];
            double *squares = &n->state[k * n->shared + i];
            *squares += g * g;
            excess += g * g / sqrt(*squares + 1e-7);
        }
        if (step == 0) {
            n->first[k] = excess;
        }
        total += n->weights[k];
        n->weights[k] *= step == 0 ? 1 : exp(n->balancer->options.eta * excess / n->first[k]);
        sum += n->weights[k];
    }
    for (int32_t a = 0; a < n->count; a++) {
        n->weights[n->present[a]] *= total / sum;
    }
    memset(n->expected, 0, (size_t)n->shared * sizeof(double));
    for (int32_t a = 0; a < n->count; a++) {
        int32_t k = n->present[a];
        n->own[k] = n->weights[k];
        for (int64_t i = 0; i < n->shared; i++) {
            n->expected[i] += n->weights[k] * n->g[k * n->size + i];
        }
    }
}

static void excess_mtl(void **state)
{
    (void)state;
    mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
    options.method = MTL_BALANCE_EXCESS_MTL;
    options.eta = 0.7;
    compare_many(options, naive_excess);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trimmed_mean), cmocka_unit_test(grad_drop),  cmocka_unit_test(db_mtl),
        cmocka_unit_test(moco),         cmocka_unit_test(excess_mtl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
