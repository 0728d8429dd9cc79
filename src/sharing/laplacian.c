/* SPDX-License-Identifier: Apache-2.0
 * Elimination without subtraction for diagonally dominant M-matrices (the idea of Grassmann, Taksar & Heyman 1985; for
 * inverses: Alfa, Xue & Ye 2002). I + factor * L with a large factor is singular to rounding; kept as its off-diagonal
 * elements and its row sums, it loses nothing. */
#include "sharing/laplacian.h"

#include <math.h>
#include <stddef.h>

typedef struct elimination {
    int32_t count;
    double *links; /* [count, count]: minus the off-diagonal elements, >= 0 */
    double *slack; /* [count]: the row sums over what is not yet eliminated */
    double *pivot; /* [count] */
} elimination;

static void eliminate(elimination *e)
{
    int32_t n = e->count;
    for (int32_t k = 0; k < n; k++) {
        const double *row = e->links + (ptrdiff_t)k * n;
        double pivot = e->slack[k];
        for (int32_t j = k + 1; j < n; j++) {
            pivot += row[j];
        }
        e->pivot[k] = pivot;
        for (int32_t i = k + 1; i < n; i++) {
            double ratio = row[i] / pivot;
            double *other = e->links + (ptrdiff_t)i * n;
            e->slack[i] += ratio * e->slack[k];
            for (int32_t j = k + 1; j < n; j++) {
                other[j] += ratio * row[j]; /* the diagonal gets something too; nobody reads it */
            }
        }
    }
}

/* x ← the solution for the right-hand side x. */
static void solve_eliminated(const elimination *e, double *x)
{
    int32_t n = e->count;
    for (int32_t k = 0; k < n; k++) {
        const double *row = e->links + (ptrdiff_t)k * n;
        double ratio = x[k] / e->pivot[k];
        for (int32_t i = k + 1; i < n; i++) {
            x[i] += row[i] * ratio;
        }
    }
    for (int32_t k = n - 1; k >= 0; k--) {
        const double *row = e->links + (ptrdiff_t)k * n;
        for (int32_t j = k + 1; j < n; j++) {
            x[k] += row[j] * x[j];
        }
        x[k] /= e->pivot[k];
    }
}

bool mtli_laplacian_inverse(int32_t count, const double *graph, double factor, double *k, double *work)
{
    ptrdiff_t n = count;
    elimination e = {count, work, work + n * n, work + n * n + n};
    for (ptrdiff_t i = 0; i < n; i++) {
        e.slack[i] = 1;
        for (ptrdiff_t j = 0; j < n; j++) {
            e.links[i * n + j] = i == j ? 0 : factor * graph[i * n + j];
            k[i * n + j] = i == j;
        }
    }
    eliminate(&e);
    double sum = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        solve_eliminated(&e, k + i * n); /* K is symmetric: columns are rows */
        for (ptrdiff_t j = 0; j < n; j++) {
            sum += k[i * n + j];
        }
    }
    return isfinite(sum);
}
