/* SPDX-License-Identifier: Apache-2.0
 * Cyclic Jacobi rotations, from both sides for a symmetric matrix and from one side for singular values (Golub & Van
 * Loan, Matrix Computations, 8.5 and 8.6). */
#include "linalg/jacobi.h"

#include <math.h>
#include <string.h>

enum { MOST_SWEEPS = 60 }; /* five to ten are usual: the off-diagonal part shrinks quadratically */

static const double ROUNDING = 2.220446049250313e-16;
static const double NOTHING = 1e-290; /* products with it vanish */

typedef struct rotation {
    double c;
    double s;
    double t; /* s / c */
} rotation;

/* The smaller angle that makes the off-diagonal element of [[p, x], [x, q]] zero. */
static rotation rotation_for(double p, double q, double x)
{
    double theta = (q - p) / (2 * x);
    double size = fabs(theta);
    double t = 1 / (size < 1e150 ? size + sqrt(theta * theta + 1) : 2 * size);
    t = theta < 0 ? -t : t;
    double c = 1 / sqrt(t * t + 1);
    return (rotation){c, t * c, t};
}

static void rotate_rows(int64_t n, rotation r, double *restrict x, double *restrict y)
{
    for (int64_t i = 0; i < n; i++) {
        double a = x[i];
        double b = y[i];
        x[i] = r.c * a - r.s * b;
        y[i] = r.s * a + r.c * b;
    }
}

/* ---- from both sides ---- */

static void rotate_both_sides(int64_t n, double *a, int64_t p, int64_t q, rotation r)
{
    double x = a[p * n + q];
    double pp = a[p * n + p] - r.t * x;
    double qq = a[q * n + q] + r.t * x;
    rotate_rows(n, r, a + p * n, a + q * n);
    for (int64_t i = 0; i < n; i++) {
        a[i * n + p] = a[p * n + i];
        a[i * n + q] = a[q * n + i];
    }
    a[p * n + p] = pp;
    a[q * n + q] = qq;
    a[p * n + q] = 0;
    a[q * n + p] = 0;
}

static bool is_negligible(double p, double q, double x)
{
    double size = fabs(x);
    return size <= NOTHING || size <= ROUNDING * sqrt(fabs(p)) * sqrt(fabs(q));
}

/* One pass over all pairs; how many were rotated. */
static int64_t sweep_both_sides(int64_t n, double *a, double *vectors)
{
    int64_t rotated = 0;
    for (int64_t p = 0; p < n; p++) {
        for (int64_t q = p + 1; q < n; q++) {
            double x = a[p * n + q];
            if (is_negligible(a[p * n + p], a[q * n + q], x)) {
                continue;
            }
            rotation r = rotation_for(a[p * n + p], a[q * n + q], x);
            rotate_both_sides(n, a, p, q, r);
            rotate_rows(n, r, vectors + p * n, vectors + q * n);
            rotated++;
        }
    }
    return rotated;
}

bool mtli_jacobi_eigen(int64_t n, double *a, double *values, double *work)
{
    memset(work, 0, (size_t)(n * n) * sizeof work[0]);
    for (int64_t i = 0; i < n; i++) {
        work[i * n + i] = 1;
    }
    int sweeps = 0;
    while (sweep_both_sides(n, a, work) > 0) {
        if (++sweeps == MOST_SWEEPS) {
            return false;
        }
    }
    for (int64_t i = 0; i < n; i++) {
        values[i] = a[i * n + i];
    }
    memcpy(a, work, (size_t)(n * n) * sizeof a[0]);
    return true;
}

/* ---- from one side ---- */

static bool orthogonalize_pair(const mtli_products *products, int64_t count, int64_t n, double *b, double *v, int64_t p,
                               int64_t q)
{
    double *x = b + p * n;
    double *y = b + q * n;
    double xx = products->dot(n, x, x);
    double yy = products->dot(n, y, y);
    double xy = products->dot(n, x, y);
    /* n roundings of a sum of n terms, most of which cancel. */
    if (fabs(xy) <= 8 * ROUNDING * sqrt(xx) * sqrt(yy) || fabs(xy) <= NOTHING) {
        return false;
    }
    rotation r = rotation_for(xx, yy, xy);
    rotate_rows(n, r, x, y);
    rotate_rows(count, r, v + p * count, v + q * count);
    return true;
}

bool mtli_jacobi_orthogonalize(const mtli_products *products, int64_t count, int64_t n, double *b, double *v)
{
    for (int sweep = 0; sweep < MOST_SWEEPS; sweep++) {
        int64_t rotated = 0;
        for (int64_t p = 0; p < count; p++) {
            for (int64_t q = p + 1; q < count; q++) {
                rotated += orthogonalize_pair(products, count, n, b, v, p, q);
            }
        }
        if (rotated == 0) {
            return true;
        }
    }
    return false;
}
