/* SPDX-License-Identifier: Apache-2.0
 * Gradient surgery: each gradient is corrected against the others, one after the other. A corrected gradient stays a
 * combination of the gradients: its weights and its products with them, kept up to date, are all there is to know. */
#include "balance/solver.h"

#include <math.h>

static const double RHO_MOST = 1 - 1e-6;

/* ĝ = Σ_k weights[k] û_k in unit gradients û. */
typedef struct corrected_gradient {
    const mtli_units *units;
    double *weights; /* [n] */
    double *product; /* [n] <ĝ, û_k> */
} corrected_gradient;

static void begin_corrected(corrected_gradient *g, int32_t i)
{
    for (int32_t k = 0; k < g->units->n; k++) {
        g->weights[k] = k == i;
        g->product[k] = g->units->cosine[(int64_t)i * g->units->n + k];
    }
}

/* ĝ += length û_j */
static void correct_gradient(corrected_gradient *g, int32_t j, double length)
{
    const double *row = g->units->cosine + (int64_t)j * g->units->n;
    g->weights[j] += length;
    for (int32_t k = 0; k < g->units->n; k++) {
        g->product[k] += length * row[k];
    }
}

static double corrected_length(const corrected_gradient *g)
{
    return sqrt(mtli_larger(mtli_balance_dot(g->units->n, g->weights, g->product), 0));
}

/* What is done to ĝ_i when it is the turn of j. `rho` is the average of that pair, or NULL. */
static void visit_pair(corrected_gradient *g, int32_t j, double beta, double *rho)
{
    if (!rho) {
        if (g->product[j] < 0) {
            correct_gradient(g, j, -g->product[j]);
        }
        return;
    }
    double length = corrected_length(g);
    double cosine = length > 0 ? g->product[j] / length : 0;
    cosine = cosine > 1 ? 1 : cosine < -1 ? -1 : cosine;
    double wanted = *rho > RHO_MOST ? RHO_MOST : *rho < -RHO_MOST ? -RHO_MOST : *rho;
    *rho = (1 - beta) * *rho + beta * cosine;
    if (cosine < wanted) {
        double sine = sqrt(1 - cosine * cosine);
        double wanted_sine = sqrt(1 - wanted * wanted);
        correct_gradient(g, j, length * (wanted * sine - cosine * wanted_sine) / wanted_sine);
    }
}

static bool orders_are_tasks(int32_t tasks, const int32_t *orders)
{
    for (int64_t k = 0; orders && k < (int64_t)tasks * tasks; k++) {
        if (orders[k] < 0 || orders[k] >= tasks) {
            return false;
        }
    }
    return true;
}

/* rho NULL: PCGrad. */
static mtli_balance_result operate(int32_t tasks, const double *gram, const int32_t *orders, double beta, double *rho,
                                   bool mean, double *weights, void *work)
{
    mtli_work rest = mtli_work_begin(work);
    mtli_units units;
    mtli_balance_result result = mtli_balance_nothing(tasks, weights, MTLI_BALANCE_OK);
    if (!orders_are_tasks(tasks, orders) || !(beta >= 0 && beta <= 1)) {
        result.status = MTLI_BALANCE_DOMAIN;
        return result;
    }
    if (!mtli_units_create(tasks, gram, &rest, &units) || (rho && !mtli_all_finite((int64_t)tasks * tasks, rho))) {
        result.status = MTLI_BALANCE_NOT_FINITE;
        return result;
    }
    corrected_gradient g = {&units, mtli_work_doubles(&rest, units.n), mtli_work_doubles(&rest, units.n)};
    int32_t *unit_of = mtli_work_indices(&rest, tasks);
    for (int32_t i = 0; i < tasks; i++) {
        unit_of[i] = -1;
    }
    for (int32_t i = 0; i < units.n; i++) {
        unit_of[units.index[i]] = i;
    }
    for (int32_t i = 0; i < units.n; i++) {
        int32_t task = units.index[i];
        begin_corrected(&g, i);
        for (int32_t k = 0; k < tasks; k++) {
            int32_t j = orders ? orders[(int64_t)task * tasks + k] : k;
            if (j != task && unit_of[j] >= 0) {
                visit_pair(&g, unit_of[j], beta, rho ? rho + (int64_t)task * tasks + j : NULL);
            }
        }
        for (int32_t k = 0; k < units.n; k++) {
            weights[units.index[k]] += g.weights[k] * (units.norm[i] / units.norm[k]) / (mean ? tasks : 1);
        }
    }
    return result;
}

mtli_balance_result mtli_balance_pcgrad(int32_t tasks, const double *gram, const int32_t *orders, bool mean,
                                        double *weights, void *work)
{
    return operate(tasks, gram, orders, 0, NULL, mean, weights, work);
}

mtli_balance_result mtli_balance_gradvac(int32_t tasks, const double *gram, const int32_t *orders, double beta,
                                         double *rho, bool mean, double *weights, void *work)
{
    return operate(tasks, gram, orders, beta, rho, mean, weights, work);
}
