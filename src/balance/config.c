/* SPDX-License-Identifier: Apache-2.0
 * The rules that ask for given projections on the unit gradients U: ConFIG and IMTL-G. Both solve C x = u by the
 * pseudo-inverse of the cosine matrix C = U Uᵀ. */
#include "balance/solver.h"

#include <math.h>

typedef struct projection_problem {
    mtli_units units;
    double *u;       /* the projections that are wanted */
    double *x;       /* C⁺ u */
    double *product; /* C x: u, less what no combination reaches */
    double residual; /* of C (u - C x) = 0 */
} projection_problem;

/* What least squares leaves is orthogonal to the gradients; relative to the terms of C (C x). */
static double projection_residual(const projection_problem *p, double *gap)
{
    int32_t n = p->units.n;
    double magnitude = 0;
    double worst = 0;
    for (int32_t i = 0; i < n; i++) {
        gap[i] = p->u[i] - p->product[i];
        magnitude += fabs(p->u[i]) + n * fabs(p->x[i]);
    }
    for (int32_t i = 0; i < n; i++) {
        worst = mtli_larger(worst, fabs(mtli_balance_dot(n, p->units.cosine + (int64_t)i * n, gap)));
    }
    return magnitude > 0 ? worst / magnitude : 0;
}

/* reference NULL: 1 each. */
static mtli_balance_status solve_projections(int32_t tasks, const double *gram, const double *reference,
                                             double tolerance, void *work, projection_problem *p)
{
    mtli_work rest = mtli_work_begin(work);
    mtli_spectrum spectrum;
    if (!mtli_units_create(tasks, gram, &rest, &p->units) || (reference && !mtli_all_finite(tasks, reference))) {
        return MTLI_BALANCE_NOT_FINITE;
    }
    int32_t n = p->units.n;
    if (n == 0) {
        return MTLI_BALANCE_STATIONARY;
    }
    p->u = mtli_work_doubles(&rest, n);
    p->x = mtli_work_doubles(&rest, n);
    p->product = mtli_work_doubles(&rest, n);
    double *gap = mtli_work_doubles(&rest, n);
    for (int32_t i = 0; i < n; i++) {
        p->u[i] = reference ? reference[p->units.index[i]] : 1;
    }
    if (!mtli_spectrum_create(n, p->units.cosine, tolerance, &rest, &spectrum)) {
        return MTLI_BALANCE_NOT_CONVERGED;
    }
    mtli_spectrum_power(&spectrum, -1, p->u, p->x);
    mtli_symmetric_product(n, p->units.cosine, p->x, p->product);
    p->residual = projection_residual(p, gap);
    return MTLI_BALANCE_OK;
}

mtli_balance_result mtli_balance_config(int32_t tasks, const double *gram, const double *reference, double tolerance,
                                        double *weights, void *work)
{
    projection_problem p;
    mtli_balance_status status = solve_projections(tasks, gram, reference, tolerance, work, &p);
    mtli_balance_result result = mtli_balance_nothing(tasks, weights, status);
    if (status != MTLI_BALANCE_OK) {
        return result;
    }
    int32_t n = p.units.n;
    double square = mtli_balance_dot(n, p.product, p.product); /* of what of u is reached */
    if (square <= 1e-20 * mtli_balance_dot(n, p.u, p.u)) {
        result.status = MTLI_BALANCE_STATIONARY;
        return result;
    }
    /* x = Uᵀ C⁺ u: ‖x‖² = uᵀ C⁺ u, <g_t, x> = n_t (C C⁺ u)_t */
    double length = mtli_balance_dot(n, p.units.norm, p.product) / mtli_balance_dot(n, p.u, p.x);
    for (int32_t i = 0; i < n; i++) {
        weights[p.units.index[i]] = length * p.x[i] / p.units.norm[i];
    }
    result.residual = p.residual;
    return result;
}

mtli_balance_result mtli_balance_imtl_g(int32_t tasks, const double *gram, double tolerance, double *weights,
                                        void *work)
{
    projection_problem p;
    mtli_balance_status status = solve_projections(tasks, gram, NULL, tolerance, work, &p);
    mtli_balance_result result = mtli_balance_nothing(tasks, weights, status);
    if (status != MTLI_BALANCE_OK) {
        return result;
    }
    double sum = 0;
    double magnitude = 0;
    for (int32_t i = 0; i < p.units.n; i++) {
        p.x[i] *= p.units.smallest / p.units.norm[i];
        sum += p.x[i];
        magnitude += fabs(p.x[i]);
    }
    if (fabs(sum) <= 1e-12 * magnitude) {
        result.status = MTLI_BALANCE_STATIONARY;
        return result;
    }
    for (int32_t i = 0; i < p.units.n; i++) {
        weights[p.units.index[i]] = p.x[i] / sum;
    }
    result.residual = p.residual;
    return result;
}
