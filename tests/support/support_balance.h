/* SPDX-License-Identifier: Apache-2.0
 * What the tests of the balancing rules share: matrices of task gradients, their Gram matrix, directions. */
#ifndef TESTS_SUPPORT_BALANCE_H
#define TESTS_SUPPORT_BALANCE_H

#include "support.h"

#include <math.h>

#include "balance/weights.h"
#include "base/rng.h"

enum { BALANCE_MOST_TASKS = 128, BALANCE_MOST_SIZE = 512 };

/** Gradients g [tasks, size], their Gram matrix, and what a rule made of it. Everything is allocated at its exact size,
 *  so that a checker sees what lies beyond. */
typedef struct balance_case {
    int32_t tasks;
    int32_t size;
    double *g;
    double *gram;
    double *weights;
    double *direction; /* [size] */
    double *products;  /* [tasks] <g_i, direction> */
    double *norms;     /* [tasks] */
    void *work;
} balance_case;

static inline void *balance_allocate(size_t bytes)
{
    void *result = malloc(bytes > 0 ? bytes : 1);
    assert_non_null(result);
    return result;
}

static inline balance_case balance_create(int32_t tasks, int32_t size)
{
    size_t t = (size_t)tasks;
    size_t p = (size_t)size;
    balance_case c = {
        .tasks = tasks,
        .size = size,
        .g = balance_allocate(t * p * sizeof(double)),
        .gram = balance_allocate(t * t * sizeof(double)),
        .weights = balance_allocate(t * sizeof(double)),
        .direction = balance_allocate(p * sizeof(double)),
        .products = balance_allocate(t * sizeof(double)),
        .norms = balance_allocate(t * sizeof(double)),
        .work = balance_allocate(mtli_balance_work(tasks)),
    };
    return c;
}

static inline void balance_free(balance_case *c)
{
    free(c->g);
    free(c->gram);
    free(c->weights);
    free(c->direction);
    free(c->products);
    free(c->norms);
    free(c->work);
}

/** After g was written. */
static inline void balance_form_gram(balance_case *c)
{
    for (int32_t i = 0; i < c->tasks; i++) {
        for (int32_t j = 0; j <= i; j++) {
            double sum = 0;
            for (int32_t k = 0; k < c->size; k++) {
                sum += c->g[i * c->size + k] * c->g[j * c->size + k];
            }
            c->gram[i * c->tasks + j] = c->gram[j * c->tasks + i] = sum;
        }
        c->norms[i] = sqrt(c->gram[i * c->tasks + i]);
    }
}

/** direction = Jᵀ w and its products with the gradients. Returns Σ |w_i| n_i: what the roundings are relative to. */
static inline double balance_form_direction(balance_case *c)
{
    double magnitude = 0;
    memset(c->direction, 0, (size_t)c->size * sizeof(double));
    for (int32_t i = 0; i < c->tasks; i++) {
        assert_true(isfinite(c->weights[i]));
        magnitude += fabs(c->weights[i]) * c->norms[i];
        for (int32_t k = 0; k < c->size; k++) {
            c->direction[k] += c->weights[i] * c->g[i * c->size + k];
        }
    }
    for (int32_t i = 0; i < c->tasks; i++) {
        c->products[i] = 0;
        for (int32_t k = 0; k < c->size; k++) {
            c->products[i] += c->g[i * c->size + k] * c->direction[k];
        }
    }
    return magnitude;
}

/** g = A B with standard normal A [tasks, rank] and B [rank, size] (plus `shared` times one vector that all tasks
 *  have), row i times 10^u, u uniform in ±decades. */
static inline void balance_random(balance_case *c, int32_t rank, double shared, double decades, mtli_rng *rng)
{
    double *b = balance_allocate((size_t)(rank * c->size) * sizeof(double));
    for (int32_t k = 0; k < rank * c->size; k++) {
        b[k] = mtli_rng_normal(rng);
    }
    for (int32_t i = 0; i < c->tasks; i++) {
        double length = pow(10, decades * (2 * mtli_rng_uniform(rng) - 1));
        memset(c->g + i * c->size, 0, (size_t)c->size * sizeof(double));
        for (int32_t r = 0; r < rank; r++) {
            double a = length * (mtli_rng_normal(rng) + (r == 0 ? shared : 0));
            for (int32_t k = 0; k < c->size; k++) {
                c->g[i * c->size + k] += a * b[r * c->size + k];
            }
        }
    }
    free(b);
    balance_form_gram(c);
}

static inline void balance_set(balance_case *c, const double *g)
{
    memcpy(c->g, g, (size_t)(c->tasks * c->size) * sizeof(double));
    balance_form_gram(c);
}

static inline void balance_scale(balance_case *c, double scale)
{
    for (int32_t k = 0; k < c->tasks * c->size; k++) {
        c->g[k] *= scale;
    }
    balance_form_gram(c);
}

/* ---- the rules under one signature ---- */

typedef mtli_balance_result (*balance_rule_fn)(int32_t tasks, const double *gram, double *weights, void *work);

static inline mtli_balance_result rule_dual(int32_t tasks, const double *gram, double *weights, void *work)
{
    return mtli_balance_dual_projection(tasks, gram, NULL, weights, work);
}

static inline mtli_balance_result rule_upgrad(int32_t tasks, const double *gram, double *weights, void *work)
{
    return mtli_balance_upgrad(tasks, gram, NULL, weights, work);
}

static inline mtli_balance_result rule_cagrad(int32_t tasks, const double *gram, double *weights, void *work)
{
    return mtli_balance_cagrad(tasks, gram, 0.5, MTLI_CAGRAD_NONE, weights, work);
}

static inline mtli_balance_result rule_fair(int32_t tasks, const double *gram, double *weights, void *work)
{
    return mtli_balance_fair_gradient(tasks, gram, 1, weights, work);
}

static inline mtli_balance_result rule_fair_half(int32_t tasks, const double *gram, double *weights, void *work)
{
    return mtli_balance_fair_gradient(tasks, gram, 0.5, weights, work);
}

static inline mtli_balance_result rule_fair_two(int32_t tasks, const double *gram, double *weights, void *work)
{
    return mtli_balance_fair_gradient(tasks, gram, 2, weights, work);
}

static inline mtli_balance_result rule_aligned(int32_t tasks, const double *gram, double *weights, void *work)
{
    return mtli_balance_aligned(tasks, gram, NULL, MTLI_ALIGNED_MIN, 0, weights, work);
}

static inline mtli_balance_result rule_aligned_median(int32_t tasks, const double *gram, double *weights, void *work)
{
    return mtli_balance_aligned(tasks, gram, NULL, MTLI_ALIGNED_MEDIAN, 0, weights, work);
}

static inline mtli_balance_result rule_aligned_rmse(int32_t tasks, const double *gram, double *weights, void *work)
{
    return mtli_balance_aligned(tasks, gram, NULL, MTLI_ALIGNED_RMSE, 0, weights, work);
}

static inline mtli_balance_result rule_config(int32_t tasks, const double *gram, double *weights, void *work)
{
    return mtli_balance_config(tasks, gram, NULL, 0, weights, work);
}

static inline mtli_balance_result rule_imtl_g(int32_t tasks, const double *gram, double *weights, void *work)
{
    return mtli_balance_imtl_g(tasks, gram, 0, weights, work);
}

static inline mtli_balance_result rule_pcgrad(int32_t tasks, const double *gram, double *weights, void *work)
{
    return mtli_balance_pcgrad(tasks, gram, NULL, false, weights, work);
}

/** What a rule promises. */
typedef struct balance_rule {
    const char *name;
    balance_rule_fn decide;
    bool without_conflict; /* G w >= 0 */
    bool symmetric;        /* the direction does not depend on the order of tasks */
    double degree;         /* G times s² multiplies w by s^degree */
    bool is_mean_alone;    /* T = 1: w = 1 */
} balance_rule;

static const balance_rule balance_rules[] = {
    {"MGDA", mtli_balance_mgda, true, true, 0, true},
    {"dual projection", rule_dual, true, true, 0, true},
    {"UPGrad", rule_upgrad, true, true, 0, true},
    {"CAGrad", rule_cagrad, false, true, 0, false},
    {"Nash", mtli_balance_nash, true, true, 0, true},
    {"FairGrad 1", rule_fair, true, true, -1, false},
    {"FairGrad 1/2", rule_fair_half, true, true, -2.0 / 3, false},
    {"FairGrad 2", rule_fair_two, true, true, -4.0 / 3, false},
    {"Aligned min", rule_aligned, false, true, 0, true},
    {"Aligned median", rule_aligned_median, false, true, 0, true},
    {"Aligned rmse", rule_aligned_rmse, false, true, 0, true},
    {"ConFIG", rule_config, false, true, 0, true},
    {"IMTL-G", rule_imtl_g, false, true, 0, true},
    {"PCGrad", rule_pcgrad, false, false, 0, true},
};

enum { BALANCE_RULES = sizeof balance_rules / sizeof balance_rules[0] };

#endif
