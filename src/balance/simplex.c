/* SPDX-License-Identifier: Apache-2.0
 * Minima over the simplex: MGDA, and the projection.
 *
 * min_{w in simplex} wᵀGw is a least-squares problem over a cone (Lawson & Hanson, 1974, ch. 23.4): the minimum x of
 * ½ xᵀGx + ½ m (Σx - 1)² over x >= 0 has (Gx)_i >= m (1 - Σx), with equality where x_i > 0, which are the conditions of
 * the simplex for x / Σx, whatever m > 0. In unit gradients x_i = y_i / n_i; with m the square of the smallest length
 * the matrix is C + c cᵀ, c_i = smallest / n_i <= 1, and Σx >= ½. */
#include "balance/solver.h"

#include <math.h>

void mtli_simplex_matrix(const mtli_units *units, double *matrix, double *c)
{
    int32_t n = units->n;
    for (int32_t i = 0; i < n; i++) {
        c[i] = units->smallest / units->norm[i];
    }
    for (int32_t i = 0; i < n; i++) {
        for (int32_t j = 0; j < n; j++) {
            matrix[(int64_t)i * n + j] = units->cosine[(int64_t)i * n + j] + c[i] * c[j];
        }
    }
}

/* Of z >= 0, Σ c z = 1: (Cz)_i = c_i zᵀCz on the support, >= elsewhere. */
static double simplex_residual(const mtli_units *units, const double *c, const double *z, double *product,
                               double *distance)
{
    int32_t n = units->n;
    mtli_symmetric_product(n, units->cosine, z, product);
    double square = mtli_balance_dot(n, z, product);
    double sum = 0;
    for (int32_t i = 0; i < n; i++) {
        sum += z[i];
    }
    double worst = 0;
    for (int32_t i = 0; i < n; i++) {
        double gap = c[i] * square - product[i];
        worst = mtli_larger(worst, z[i] > 0 ? fabs(gap) : gap);
    }
    *distance = mtli_larger(square, 0) / (sum * sum);
    return worst / sum;
}

mtli_balance_result mtli_units_mgda(const mtli_units *units, double *weights, double *distance, mtli_work work)
{
    int32_t n = units->n;
    double *matrix = mtli_work_doubles(&work, (int64_t)n * n);
    double *c = mtli_work_doubles(&work, n);
    double *product = mtli_work_doubles(&work, n);
    mtli_cone cone;
    mtli_simplex_matrix(units, matrix, c);
    mtli_cone_create(n, matrix, &work, &cone);
    bool converged = mtli_cone_solve(&cone, c);
    double sum = mtli_balance_dot(n, c, cone.y);
    if (!(sum > 0)) { /* C is no matrix of cosines; an answer nevertheless */
        cone.y[0] = 1;
        sum = c[0];
    }
    mtli_balance_nothing(units->tasks, weights, MTLI_BALANCE_OK);
    for (int32_t i = 0; i < n; i++) {
        cone.y[i] /= sum;
        weights[units->index[i]] = c[i] * cone.y[i];
    }
    mtli_balance_result result = {converged ? MTLI_BALANCE_OK : MTLI_BALANCE_NOT_CONVERGED, cone.iterations, 0};
    result.residual = simplex_residual(units, c, cone.y, product, distance);
    return result;
}

/* Some gradients are zero: so is the smallest vector. */
static mtli_balance_result share_among_zeros(const mtli_units *units, double *weights)
{
    int32_t zeros = units->tasks - units->n;
    for (int32_t i = 0; i < units->tasks; i++) {
        weights[i] = 1.0 / zeros;
    }
    for (int32_t i = 0; i < units->n; i++) {
        weights[units->index[i]] = 0;
    }
    return (mtli_balance_result){MTLI_BALANCE_OK, 0, 0};
}

mtli_balance_result mtli_balance_mgda(int32_t tasks, const double *gram, double *weights, void *work)
{
    mtli_work rest = mtli_work_begin(work);
    mtli_units units;
    double distance;
    if (!mtli_units_create(tasks, gram, &rest, &units)) {
        return mtli_balance_nothing(tasks, weights, MTLI_BALANCE_NOT_FINITE);
    }
    if (units.n < tasks) {
        return share_among_zeros(&units, weights);
    }
    return mtli_units_mgda(&units, weights, &distance, rest);
}

/* The threshold τ with Σ max(x - τ, 0) = 1: over all entries, then over those above it, until none falls below. */
void mtli_simplex_projection(int32_t n, double *x)
{
    double top = -HUGE_VAL;
    for (int32_t i = 0; i < n; i++) {
        top = mtli_larger(top, x[i]);
    }
    double threshold = -HUGE_VAL;
    for (int32_t before = 0, above = n + 1; above != before;) {
        double sum = 0;
        before = above;
        above = 0;
        for (int32_t i = 0; i < n; i++) {
            if (x[i] - top > threshold) {
                sum += x[i] - top; /* from the top: large numbers do not cancel */
                above++;
            }
        }
        threshold = (sum - 1) / above;
    }
    for (int32_t i = 0; i < n; i++) {
        x[i] = mtli_larger(x[i] - top - threshold, 0);
    }
}
