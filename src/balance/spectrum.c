/* SPDX-License-Identifier: Apache-2.0
 * Powers of a symmetric matrix over the eigenvalues that are not 0 to rounding. */
#include "balance/solver.h"

#include <math.h>
#include <string.h>

#include "linalg/symmetric.h"

bool mtli_spectrum_create(int32_t n, const double *matrix, double tolerance, mtli_work *work, mtli_spectrum *spectrum)
{
    *spectrum = (mtli_spectrum){
        .n = n,
        .vectors = mtli_work_doubles(work, (int64_t)n * n),
        .values = mtli_work_doubles(work, n),
    };
    memcpy(spectrum->vectors, matrix, (size_t)n * (size_t)n * sizeof matrix[0]);
    if (!mtli_symmetric_eigen(n, spectrum->vectors, spectrum->values, (double *)(void *)work->at)) {
        return false;
    }
    double least = (tolerance > 0 ? tolerance : n * DBL_EPSILON) * spectrum->values[0];
    while (spectrum->rank < n && spectrum->values[spectrum->rank] > least) {
        spectrum->rank++;
    }
    return true;
}

void mtli_spectrum_power(const mtli_spectrum *spectrum, double power, const double *b, double *x)
{
    int32_t n = spectrum->n;
    memset(x, 0, (size_t)n * sizeof x[0]);
    for (int32_t k = 0; k < spectrum->rank; k++) {
        const double *vector = spectrum->vectors + (int64_t)k * n;
        double share = pow(spectrum->values[k], power) * mtli_balance_dot(n, vector, b);
        for (int32_t i = 0; i < n; i++) {
            x[i] += share * vector[i];
        }
    }
}
