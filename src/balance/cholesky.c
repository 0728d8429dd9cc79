/* SPDX-License-Identifier: Apache-2.0
 * Cholesky factors of small matrices. LAPACK is no requirement of the library, and its calls cost more than these. */
#include "balance/solver.h"

#include <math.h>

void mtli_cholesky(int32_t n, double *a, double floor)
{
    for (int32_t i = 0; i < n; i++) {
        double *row = a + (int64_t)i * n;
        for (int32_t j = 0; j < i; j++) {
            const double *other = a + (int64_t)j * n;
            row[j] = (row[j] - mtli_balance_dot(j, row, other)) / other[j];
        }
        double pivot = row[i] - mtli_balance_dot(i, row, row);
        row[i] = sqrt(pivot > floor ? pivot : floor);
    }
}

void mtli_cholesky_solve(int32_t n, int32_t stride, const double *l, double *x)
{
    for (int32_t i = 0; i < n; i++) {
        const double *row = l + (int64_t)i * stride;
        x[i] = (x[i] - mtli_balance_dot(i, row, x)) / row[i];
    }
    for (int32_t i = n - 1; i >= 0; i--) {
        const double *row = l + (int64_t)i * stride;
        x[i] /= row[i];
        for (int32_t j = 0; j < i; j++) {
            x[j] -= row[j] * x[i];
        }
    }
}
