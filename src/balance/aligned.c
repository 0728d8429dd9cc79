/* SPDX-License-Identifier: Apache-2.0
 * Aligned-MTL: the weights that make all singular values of the gradients equal. */
#include "balance/solver.h"

#include <math.h>

static double aligned_scale(const mtli_spectrum *spectrum, mtli_aligned_scale scale)
{
    if (scale == MTLI_ALIGNED_MIN) {
        return spectrum->values[spectrum->rank - 1];
    }
    if (scale == MTLI_ALIGNED_MEDIAN) {
        return spectrum->values[spectrum->rank / 2];
    }
    double sum = 0;
    for (int32_t k = 0; k < spectrum->rank; k++) {
        sum += spectrum->values[k];
    }
    return sum / spectrum->rank;
}

/* wᵀGw = σ² uᵀPu, P the projection on the eigenvectors that were kept; relative to λ_max ‖w‖²: how much G would have to
 * change, relative to its norm. */
static double aligned_residual(const mtli_units *units, const mtli_spectrum *spectrum, double square, const double *u,
                               const double *w, double *product)
{
    int32_t n = units->n;
    double actual = 0;
    double expected = 0;
    for (int32_t i = 0; i < n; i++) {
        product[i] = w[i] * units->norm[i];
    }
    for (int32_t i = 0; i < n; i++) {
        actual += product[i] * mtli_balance_dot(n, units->cosine + (int64_t)i * n, product);
    }
    for (int32_t k = 0; k < spectrum->rank; k++) {
        double share = mtli_balance_dot(n, spectrum->vectors + (int64_t)k * n, u);
        expected += square * share * share;
    }
    double magnitude = spectrum->values[0] * mtli_balance_dot(n, w, w);
    return magnitude > 0 ? fabs(actual - expected) / magnitude : 0;
}

static mtli_balance_result units_aligned(const mtli_units *units, const double *reference, mtli_aligned_scale scale,
                                         double tolerance, double *weights, mtli_work work)
{
    int32_t n = units->n;
    double *gram = mtli_work_doubles(&work, (int64_t)n * n);
    double *u = mtli_work_doubles(&work, n);
    double *w = mtli_work_doubles(&work, n);
    double *product = mtli_work_doubles(&work, n);
    mtli_spectrum spectrum;
    for (int32_t i = 0; i < n; i++) {
        u[i] = reference ? reference[units->index[i]] : 1.0 / units->tasks;
        for (int32_t j = 0; j < n; j++) {
            gram[(int64_t)i * n + j] = units->norm[i] * units->cosine[(int64_t)i * n + j] * units->norm[j];
        }
    }
    if (!mtli_spectrum_create(n, gram, tolerance, &work, &spectrum)) {
        return mtli_balance_nothing(units->tasks, weights, MTLI_BALANCE_NOT_CONVERGED);
    }
    double square = aligned_scale(&spectrum, scale);
    mtli_balance_nothing(units->tasks, weights, MTLI_BALANCE_OK);
    mtli_spectrum_power(&spectrum, -0.5, u, w);
    for (int32_t i = 0; i < n; i++) {
        w[i] *= sqrt(square);
        weights[units->index[i]] = w[i];
    }
    return (mtli_balance_result){MTLI_BALANCE_OK, 0, aligned_residual(units, &spectrum, square, u, w, product)};
}

mtli_balance_result mtli_balance_aligned(int32_t tasks, const double *gram, const double *reference,
                                         mtli_aligned_scale scale, double tolerance, double *weights, void *work)
{
    mtli_work rest = mtli_work_begin(work);
    mtli_units units;
    if (!mtli_units_create(tasks, gram, &rest, &units) || (reference && !mtli_all_finite(tasks, reference))) {
        return mtli_balance_nothing(tasks, weights, MTLI_BALANCE_NOT_FINITE);
    }
    if (units.n == 0) {
        return mtli_balance_nothing(tasks, weights, MTLI_BALANCE_STATIONARY);
    }
    return units_aligned(&units, reference, scale, tolerance, weights, rest);
}
