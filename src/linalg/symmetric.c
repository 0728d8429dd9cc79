/* SPDX-License-Identifier: Apache-2.0
 * Chooses the solver of a symmetric eigenproblem by its size, and brings its result into one form: rows, descending. */
#include "linalg/symmetric.h"

#include <math.h>
#include <string.h>

#include "linalg/jacobi.h"
#include "linalg/lapack.h"
#include "linalg/tridiagonal.h"

enum {
    JACOBI_MOST = 16 /* Jacobi's rotations are the most accurate, and as fast up to about here */
};

size_t mtli_symmetric_work(int64_t n)
{
    size_t own = mtli_tridiagonal_work(n);
    size_t lapack = mtli_lapack_work(n);
    return own > lapack ? own : lapack;
}

/* The largest magnitude, or -1 when an element is not finite. */
static double largest_magnitude(size_t n, const double *a)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++) {
        double magnitude = fabs(a[i]);
        if (!(magnitude <= 1.7976931348623157e308)) {
            return -1;
        }
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest;
}

/* A power of two that brings x > 0 near 1: 2^-e of its exponent, kept inside the normal numbers. Exact to multiply
 * with. */
static double scale_to_one(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint64_t exponent = bits >> 52;
    uint64_t reversed = exponent == 0 ? 2045 : 2046 - exponent;
    bits = (reversed == 0 ? 1 : reversed) << 52;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void scale_all(size_t n, double factor, double *a)
{
    for (size_t i = 0; i < n; i++) {
        a[i] *= factor;
    }
}

static void set_identity(int64_t n, double *a)
{
    memset(a, 0, (size_t)(n * n) * sizeof a[0]);
    for (int64_t i = 0; i < n; i++) {
        a[i * n + i] = 1;
    }
}

static void swap_rows(int64_t n, double *x, double *y)
{
    for (int64_t i = 0; i < n; i++) {
        double value = x[i];
        x[i] = y[i];
        y[i] = value;
    }
}

/* By selection: n swaps of rows at most. */
static void sort_descending(int64_t n, double *vectors, double *values)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t best = i;
        for (int64_t j = i + 1; j < n; j++) {
            best = values[j] > values[best] ? j : best;
        }
        if (best != i) {
            swap_rows(n, vectors + i * n, vectors + best * n);
            double value = values[i];
            values[i] = values[best];
            values[best] = value;
        }
    }
}

static bool solve_scaled(int64_t n, double *a, double *values, double *work)
{
    if (n <= JACOBI_MOST) {
        return mtli_jacobi_eigen(n, a, values, work);
    }
    if (mtli_lapack_takes(n)) {
        return mtli_lapack_eigen(n, a, values, work);
    }
    return mtli_tridiagonal_eigen(n, a, values, work);
}

bool mtli_symmetric_eigen(int64_t n, double *a, double *values, double *work)
{
    double largest = largest_magnitude((size_t)(n * n), a);
    if (largest < 0) {
        return false;
    }
    if (largest == 0) {
        memset(values, 0, (size_t)n * sizeof values[0]);
        set_identity(n, a);
        return true;
    }
    double scale = scale_to_one(largest);
    scale_all((size_t)(n * n), scale, a);
    if (!solve_scaled(n, a, values, work)) {
        return false;
    }
    sort_descending(n, a, values);
    for (int64_t i = 0; i < n; i++) {
        values[i] /= scale;
    }
    return true;
}
