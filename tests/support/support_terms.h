/* SPDX-License-Identifier: Apache-2.0
 * What the tests of the kinds of penalties share: every kind with its settings, stacks of random weights in both
 * precisions, and a plain singular value decomposition to judge by. Sees internal headers. */
#ifndef TESTS_SUPPORT_TERMS_H
#define TESTS_SUPPORT_TERMS_H

#include <math.h>

#include "base/rng.h"
#include "sharing/term_double.h"
#include "support/support.h"

enum { TERM_TASKS = 139 }; /* the most */

typedef struct term_case {
    const char *name;
    int32_t kind, form, unfolding, group;
    int32_t clusters;
    bool graph;
    int32_t least_tasks;
} term_case;

static const term_case term_cases[] = {
    {"pairwise", MTL_PENALTY_L2, MTL_L2_PAIRWISE, 0, 0, 1, false, 2},
    {"graph", MTL_PENALTY_L2, MTL_L2_PAIRWISE, 0, 0, 1, true, 2},
    {"mean", MTL_PENALTY_L2, MTL_L2_MEAN, 0, 0, 1, false, 2},
    {"ridge", MTL_PENALTY_L2, MTL_L2_RIDGE, 0, 0, 1, false, 1},
    {"differences", MTL_PENALTY_TRACE_NORM_DIFFERENCES, 0, 0, 0, 1, false, 2},
    {"differences on a graph", MTL_PENALTY_TRACE_NORM_DIFFERENCES, 0, 0, 0, 1, true, 2},
    {"tasks", MTL_PENALTY_TRACE_NORM, 0, MTL_UNFOLDING_TASKS, 0, 1, false, 1},
    {"Tucker", MTL_PENALTY_TRACE_NORM, 0, MTL_UNFOLDING_TUCKER, 0, 1, false, 1},
    {"tensor train", MTL_PENALTY_TRACE_NORM, 0, MTL_UNFOLDING_TENSOR_TRAIN, 0, 1, false, 1},
    {"L1", MTL_PENALTY_L1, 0, 0, 0, 1, false, 1},
    {"L21 coordinate", MTL_PENALTY_L21, 0, 0, MTL_GROUP_COORDINATE, 1, false, 1},
    {"L21 row", MTL_PENALTY_L21, 0, 0, MTL_GROUP_ROW, 1, false, 1},
    {"L21 column", MTL_PENALTY_L21, 0, 0, MTL_GROUP_COLUMN, 1, false, 1},
    {"L21 task", MTL_PENALTY_L21, 0, 0, MTL_GROUP_TASK, 1, false, 1},
    {"LINF1 coordinate", MTL_PENALTY_LINF1, 0, 0, MTL_GROUP_COORDINATE, 1, false, 1},
    {"LINF1 row", MTL_PENALTY_LINF1, 0, 0, MTL_GROUP_ROW, 1, false, 1},
    {"LINF1 column", MTL_PENALTY_LINF1, 0, 0, MTL_GROUP_COLUMN, 1, false, 1},
    {"LINF1 task", MTL_PENALTY_LINF1, 0, 0, MTL_GROUP_TASK, 1, false, 1},
    {"one cluster", MTL_PENALTY_CLUSTERED, 0, 0, 0, 1, false, 2},
    {"three clusters", MTL_PENALTY_CLUSTERED, 0, 0, 0, 3, false, 4},
};

enum { TERM_CASES = sizeof term_cases / sizeof term_cases[0] };

typedef struct term_shape {
    int32_t ndim;
    int64_t dims[3];
} term_shape;

/* A vector, a head of a linear model, a matrix, a tensor. */
static const term_shape term_shapes[] = {{1, {7}}, {2, {1, 9}}, {2, {5, 4}}, {3, {3, 4, 2}}};

enum { TERM_SHAPES = sizeof term_shapes / sizeof term_shapes[0] };

static const int32_t term_counts[] = {1, 2, 3, 16, TERM_TASKS};

enum { TERM_COUNTS = sizeof term_counts / sizeof term_counts[0] };

/** One stack in both precisions, the same numbers (those of mtli_real), with room for gradients and work. */
typedef struct term_sample {
    const term_case *what;
    mtli_term term;
    mtli_stack stack;
    mtli_stack_double twice;
    double *graph;
    mtli_real *w[TERM_TASKS], *g[TERM_TASKS];
    double *x[TERM_TASKS], *y[TERM_TASKS];
    void *work, *work_double;
} term_sample;

static inline void *term_take(size_t size)
{
    void *block = NULL;
    assert_int_equal(posix_memalign(&block, 64, size > 0 ? size : 1), 0);
    memset(block, 0xff, size);
    return block;
}

/* Symmetric, some pairs without a link. */
static inline void term_fill_graph(double *graph, int32_t count, mtli_rng *rng)
{
    for (int32_t i = 0; i < count; i++) {
        graph[i * count + i] = 0;
        for (int32_t j = i + 1; j < count; j++) {
            double u = mtli_rng_uniform(rng);
            graph[i * count + j] = graph[j * count + i] = u < 0.4 && j != i + 1 ? 0 : 3 * u;
        }
    }
}

static inline void term_share_values(term_sample *s)
{
    for (int32_t t = 0; t < s->stack.count; t++) {
        for (int64_t i = 0; i < s->stack.size; i++) {
            s->x[t][i] = (double)s->w[t][i];
        }
    }
}

/* Normal numbers, none nearer to 0 than 0.05, where absolute values bend. */
static inline void term_draw(term_sample *s, uint64_t seed)
{
    mtli_rng rng;
    mtli_rng_init(&rng, seed, 5);
    for (int32_t t = 0; t < s->stack.count; t++) {
        for (int64_t i = 0; i < s->stack.size; i++) {
            double u = mtli_rng_normal(&rng);
            s->w[t][i] = (mtli_real)(u < 0 ? u - 0.05 : u + 0.05);
            s->g[t][i] = 0;
            s->y[t][i] = 0;
        }
    }
    term_share_values(s);
}

static inline void term_begin(term_sample *s, mtl_context *context, const term_case *what, const term_shape *shape,
                              int32_t count)
{
    memset(s, 0, sizeof *s);
    mtli_rng rng;
    mtli_rng_init(&rng, 11, (uint64_t)count);
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    options.kind = what->kind;
    options.form = what->form;
    options.unfolding = what->unfolding;
    options.group = what->group;
    options.clusters = what->clusters;
    options.clustering = 0.3;
    s->what = what;
    s->graph = term_take((size_t)(count * count) * sizeof(double));
    term_fill_graph(s->graph, count, &rng);
    s->term = (mtli_term){mtli_term_kind_find(what->kind), options, what->graph ? s->graph : NULL};
    s->stack.count = count;
    s->stack.ndim = shape->ndim;
    s->stack.rows = shape->dims[0];
    s->stack.size = 1;
    for (int32_t i = 0; i < shape->ndim; i++) {
        s->stack.dims[i] = shape->dims[i];
        s->stack.size *= shape->dims[i];
    }
    s->stack.columns = s->stack.size / s->stack.rows;
    for (int32_t t = 0; t < count; t++) {
        s->w[t] = term_take((size_t)s->stack.size * sizeof(mtli_real));
        s->g[t] = term_take((size_t)s->stack.size * sizeof(mtli_real));
        s->x[t] = term_take((size_t)s->stack.size * sizeof(double));
        s->y[t] = term_take((size_t)s->stack.size * sizeof(double));
    }
    s->stack.w = s->w;
    s->twice = (mtli_stack_double){count, shape->ndim, {0}, s->stack.rows, s->stack.columns, s->stack.size, s->x};
    memcpy(s->twice.dims, s->stack.dims, sizeof s->twice.dims);
    s->work = term_take(s->term.kind->work_size(context, &s->term, &s->stack));
    s->work_double = term_take(mtli_term_work_double(context, &s->term, &s->twice));
    term_draw(s, 3);
}

static inline void term_end(term_sample *s)
{
    for (int32_t t = 0; t < s->stack.count; t++) {
        free(s->w[t]);
        free(s->g[t]);
        free(s->x[t]);
        free(s->y[t]);
    }
    free(s->graph);
    free(s->work);
    free(s->work_double);
}

/** Weights as one array [count, size] of doubles. */
static inline double *term_copy(const term_sample *s, double *const *x)
{
    double *all = term_take((size_t)(s->stack.count * s->stack.size) * sizeof(double));
    for (int32_t t = 0; t < s->stack.count; t++) {
        memcpy(all + t * s->stack.size, x[t], (size_t)s->stack.size * sizeof(double));
    }
    return all;
}

static inline void term_put(const term_sample *s, const double *all)
{
    for (int32_t t = 0; t < s->stack.count; t++) {
        memcpy(s->x[t], all + t * s->stack.size, (size_t)s->stack.size * sizeof(double));
    }
}

static inline double term_value(const term_sample *s)
{
    double value = NAN;
    assert_true(mtli_term_value_double(NULL, &s->term, &s->twice, &value, s->work_double));
    return value;
}

static inline void term_step(const term_sample *s, double tau)
{
    assert_true(mtli_term_proximal_double(NULL, &s->term, &s->twice, tau, s->work_double));
}

/** For each kind, shape and number of tasks that go together. */
typedef void (*term_check)(term_sample *s);

static inline void term_for_each(term_check check, bool proximal)
{
    mtl_context *context = test_context();
    for (int k = 0; k < TERM_CASES; k++) {
        for (int c = 0; c < TERM_COUNTS; c++) {
            for (int d = 0; d < TERM_SHAPES && term_counts[c] >= term_cases[k].least_tasks; d++) {
                term_sample s;
                bool pairs = term_cases[k].kind == MTL_PENALTY_TRACE_NORM_DIFFERENCES;
                if (pairs && term_counts[c] > 16) {
                    continue; /* 9591 decompositions */
                }
                term_begin(&s, context, &term_cases[k], &term_shapes[d], term_counts[c]);
                if (!proximal || s.term.kind->has_proximal(&s.term, term_counts[c])) {
                    check(&s);
                }
                term_end(&s);
            }
        }
    }
    mtl_context_release(context);
}

/** Fails with the kind, the shape and the number of tasks. */
static inline void term_expect(const term_sample *s, bool good, const char *what, double found, double wanted)
{
    if (!good) {
        fail_msg("%s, %d tasks, [%ld, %ld]: %s: %.12g beside %.12g", s->what->name, (int)s->stack.count,
                 (long)s->stack.rows, (long)s->stack.columns, what, found, wanted);
    }
}

/* ---- singular values by rotations of the columns (Hestenes 1958): nothing is squared ---- */

static inline double term_dot(int64_t n, const double *a, const double *b)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

/** The `count` columns x_t (n values each, one after the other): U diag(sigma) of them replaces x, V ([count, count],
 *  row t is the t-th column) goes to v; in no order. */
static inline void term_decompose(int32_t count, int64_t n, double *x, double *v, double *sigma)
{
    memset(v, 0, (size_t)(count * count) * sizeof *v);
    for (int32_t t = 0; t < count; t++) {
        v[t * count + t] = 1;
    }
    bool moving = true;
    for (int sweep = 0; sweep < 60 && moving; sweep++) {
        moving = false;
        for (int32_t i = 0; i < count; i++) {
            for (int32_t j = i + 1; j < count; j++) {
                double *a = x + i * n, *b = x + j * n;
                double aa = term_dot(n, a, a), bb = term_dot(n, b, b), ab = term_dot(n, a, b);
                if (fabs(ab) <= 1e-15 * sqrt(aa * bb) || aa * bb == 0 ||
                    sqrt(fmin(aa, bb)) < 1e-15 * sqrt(fmax(aa, bb))) {
                    continue;
                }
                double zeta = (bb - aa) / (2 * ab);
                double t = (zeta < 0 ? -1 : 1) / (fabs(zeta) + sqrt(1 + zeta * zeta));
                double c = 1 / sqrt(1 + t * t), s = c * t;
                for (int64_t k = 0; k < n; k++) {
                    double old = a[k];
                    a[k] = c * old - s * b[k];
                    b[k] = s * old + c * b[k];
                }
                for (int32_t k = 0; k < count; k++) {
                    double old = v[i * count + k];
                    v[i * count + k] = c * old - s * v[j * count + k];
                    v[j * count + k] = s * old + c * v[j * count + k];
                }
                moving = true;
            }
        }
    }
    for (int32_t t = 0; t < count; t++) {
        sigma[t] = sqrt(term_dot(n, x + t * n, x + t * n));
    }
}

/** Changes singular values: sigma[count] in place, in any order. */
typedef void (*term_spectral_fn)(const void *argument, int32_t count, double *sigma);

/** all [count, n], one row per task: U diag(sigma) Vᵀ becomes U diag(f(sigma)) Vᵀ. Returns the sum of the old
 *  sigma. */
static inline double term_spectral(int32_t count, int64_t n, double *all, term_spectral_fn function,
                                   const void *argument)
{
    bool turned = count > n; /* rotations are few on the short side */
    int32_t m = turned ? (int32_t)n : count;
    int64_t length = turned ? count : n;
    double *a = term_take((size_t)(m * length) * sizeof *a), *v = term_take((size_t)(m * m) * sizeof *v);
    double *sigma = term_take((size_t)m * sizeof *sigma), *changed = term_take((size_t)m * sizeof *changed);
    double sum = 0;
    for (int32_t k = 0; k < m; k++) {
        for (int64_t i = 0; i < length; i++) {
            a[k * length + i] = turned ? all[i * n + k] : all[k * n + i];
        }
    }
    term_decompose(m, length, a, v, sigma);
    memcpy(changed, sigma, (size_t)m * sizeof *sigma);
    function(argument, m, changed);
    for (int32_t c = 0; c < m; c++) {
        sum += sigma[c];
        for (int64_t i = 0; i < length; i++) {
            double x = 0;
            for (int32_t k = 0; k < m; k++) {
                x += sigma[k] > 0 ? changed[k] / sigma[k] * a[k * length + i] * v[k * m + c] : 0;
            }
            all[turned ? i * n + c : c * n + i] = x;
        }
    }
    free(a);
    free(v);
    free(sigma);
    free(changed);
    return sum;
}

static inline void term_keep(const void *argument, int32_t count, double *sigma)
{
    (void)argument;
    (void)count;
    (void)sigma;
}

/** The sum of the singular values; all is kept to rounding. */
static inline double term_trace(int32_t count, int64_t n, double *all)
{
    return term_spectral(count, n, all, term_keep, NULL);
}

/** min_m Σ sigma² / (eta + m_i), Σ m = budget, 0 <= m <= 1, by bisection of the multiplier; m in the order of
 *  sigma. */
static inline double term_fill(int32_t count, const double *sigma, double eta, double budget, double *m)
{
    double low = 0, high = 1, value = 0;
    for (int32_t i = 0; i < count; i++) {
        high = fmax(high, sigma[i] / eta);
    }
    for (int step = 0; step < 200; step++) {
        double nu = 0.5 * (low + high), spent = 0;
        for (int32_t i = 0; i < count; i++) {
            m[i] = fmin(fmax(sigma[i] / nu - eta, 0), 1);
            spent += m[i];
        }
        *(spent > budget ? &low : &high) = nu;
    }
    for (int32_t i = 0; i < count; i++) {
        value += sigma[i] * sigma[i] / (eta + m[i]);
    }
    return value;
}

/** The group of an element. */
static inline int64_t term_group_of(const term_sample *s, int32_t t, int64_t i)
{
    switch (s->term.options.group) {
    case MTL_GROUP_ROW:
        return i / s->stack.columns;
    case MTL_GROUP_COLUMN:
        return i % s->stack.columns;
    case MTL_GROUP_TASK:
        return t;
    default:
        return i;
    }
}

#endif
