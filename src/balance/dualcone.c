/* SPDX-License-Identifier: Apache-2.0
 * Projections on the dual cone {d : J d >= 0}: the dual projection and UPGrad.
 *
 * min_{v >= u} vᵀGv with v = u + x is ½ xᵀGx + (Gu)ᵀx over x >= 0; in unit gradients y = N x, z = N u:
 * ½ yᵀCy - bᵀy, b = -Cz, which lies in the range of C. */
#include "balance/solver.h"

#include <math.h>

/* Of v = z + y: (Cv)_i = 0 where y_i > 0, >= 0 elsewhere. */
static double dual_residual(const mtli_cone *cone, const double *z, double magnitude, double *v, double *product)
{
    int32_t n = cone->n;
    double sum = magnitude;
    for (int32_t i = 0; i < n; i++) {
        v[i] = z[i] + cone->y[i];
        sum += cone->y[i];
    }
    mtli_symmetric_product(n, cone->matrix, v, product);
    double worst = 0;
    for (int32_t i = 0; i < n; i++) {
        worst = mtli_larger(worst, cone->y[i] > 0 ? fabs(product[i]) : -product[i]);
    }
    return sum > 0 ? worst / sum : 0;
}

static void add_result(mtli_balance_result *total, const mtli_cone *cone, bool converged, double residual)
{
    total->iterations += cone->iterations;
    total->residual = mtli_larger(total->residual, residual);
    if (!converged) {
        total->status = MTLI_BALANCE_NOT_CONVERGED;
    }
}

mtli_balance_result mtli_units_dual(const mtli_units *units, const double *reference, double *weights, mtli_work work)
{
    int32_t n = units->n;
    double *z = mtli_work_doubles(&work, n);
    double *b = mtli_work_doubles(&work, n);
    double *v = mtli_work_doubles(&work, n);
    double *product = mtli_work_doubles(&work, n);
    mtli_cone cone;
    mtli_cone_create(n, units->cosine, &work, &cone);
    for (int32_t i = 0; i < n; i++) {
        z[i] = (reference ? reference[units->index[i]] : 1.0 / units->tasks) * units->norm[i];
        cone.magnitude += z[i];
    }
    mtli_symmetric_product(n, units->cosine, z, b);
    for (int32_t i = 0; i < n; i++) {
        b[i] = -b[i];
    }
    bool converged = mtli_cone_solve(&cone, b);
    for (int32_t i = 0; i < units->tasks; i++) {
        weights[i] = reference ? reference[i] : 1.0 / units->tasks;
    }
    for (int32_t i = 0; i < n; i++) {
        weights[units->index[i]] += cone.y[i] / units->norm[i];
    }
    mtli_balance_result result = {MTLI_BALANCE_OK, 0, 0};
    add_result(&result, &cone, converged, dual_residual(&cone, z, cone.magnitude, v, product));
    return result;
}

/* Projects unit gradient i and adds `length` times its weights. */
static void add_projection(const mtli_units *units, int32_t i, double length, mtli_cone *cone, double *vectors,
                           double *weights, mtli_balance_result *total)
{
    int32_t n = units->n;
    double *b = vectors;
    double *z = vectors + n;
    for (int32_t j = 0; j < n; j++) {
        b[j] = -units->cosine[(int64_t)j * n + i];
        z[j] = i == j;
    }
    mtli_cone_reset(cone);
    bool converged = mtli_cone_solve(cone, b);
    for (int32_t j = 0; j < n; j++) {
        weights[units->index[j]] += cone->y[j] * (length / units->norm[j]);
    }
    add_result(total, cone, converged, dual_residual(cone, z, 1, vectors + 2 * n, vectors + 3 * n));
}

/* NULL, or finite and not negative. */
static mtli_balance_status check_reference(int32_t tasks, const double *reference)
{
    if (!reference) {
        return MTLI_BALANCE_OK;
    }
    if (!mtli_all_finite(tasks, reference)) {
        return MTLI_BALANCE_NOT_FINITE;
    }
    for (int32_t i = 0; i < tasks; i++) {
        if (reference[i] < 0) {
            return MTLI_BALANCE_DOMAIN;
        }
    }
    return MTLI_BALANCE_OK;
}

mtli_balance_result mtli_balance_dual_projection(int32_t tasks, const double *gram, const double *reference,
                                                 double *weights, void *work)
{
    mtli_work rest = mtli_work_begin(work);
    mtli_units units;
    mtli_balance_status status = check_reference(tasks, reference);
    if (status != MTLI_BALANCE_OK) {
        return mtli_balance_nothing(tasks, weights, status);
    }
    if (!mtli_units_create(tasks, gram, &rest, &units)) {
        return mtli_balance_nothing(tasks, weights, MTLI_BALANCE_NOT_FINITE);
    }
    return mtli_units_dual(&units, reference, weights, rest);
}

mtli_balance_result mtli_balance_upgrad(int32_t tasks, const double *gram, const double *reference, double *weights,
                                        void *work)
{
    mtli_work rest = mtli_work_begin(work);
    mtli_units units;
    mtli_balance_status status = check_reference(tasks, reference);
    if (status != MTLI_BALANCE_OK) {
        return mtli_balance_nothing(tasks, weights, status);
    }
    if (!mtli_units_create(tasks, gram, &rest, &units)) {
        return mtli_balance_nothing(tasks, weights, MTLI_BALANCE_NOT_FINITE);
    }
    mtli_balance_result result = {MTLI_BALANCE_OK, 0, 0};
    double *vectors = mtli_work_doubles(&rest, 4 * (int64_t)units.n);
    mtli_cone cone;
    mtli_cone_create(units.n, units.cosine, &rest, &cone);
    cone.magnitude = 1;
    for (int32_t i = 0; i < tasks; i++) {
        weights[i] = reference ? reference[i] : 1.0 / tasks;
    }
    for (int32_t i = 0; i < units.n; i++) {
        double share = reference ? reference[units.index[i]] : 1.0 / tasks;
        if (share > 0) {
            add_projection(&units, i, share * units.norm[i], &cone, vectors, weights, &result);
        }
    }
    return result;
}
