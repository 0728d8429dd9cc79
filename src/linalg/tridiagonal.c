/* SPDX-License-Identifier: Apache-2.0
 * Householder's reduction to a tridiagonal matrix and implicit QL steps with Wilkinson's shift (Golub & Van Loan,
 * Matrix Computations, 8.3). Everything goes along rows: each eigenvector is one. */
#include "linalg/tridiagonal.h"

#include <math.h>
#include <string.h>

enum { QL_STEPS = 60 }; /* for one value; two are usual */

static const double EPSILON = 2.220446049250313e-16;

size_t mtli_tridiagonal_work(int64_t n)
{
    return (size_t)(n * n + 3 * n);
}

/* Eight partial sums, so that the compiler vectorizes without changing the order. */
static double inner(int64_t n, const double *x, const double *y)
{
    double lane[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        for (int k = 0; k < 8; k++) {
            lane[k] += x[i + k] * y[i + k];
        }
    }
    for (int k = 0; i + k < n; k++) {
        lane[k] += x[i + k] * y[i + k];
    }
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static void add_scaled(int64_t n, double factor, const double *restrict x, double *restrict y)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] += factor * x[i];
    }
}

/* ---- reduction ---- */

/* Turns x [n] into v with v[0] = 1 such that (I - tau v vᵀ) x = (alpha, 0, ..); returns tau, 0 when x has that form. */
static double householder(int64_t n, double *x, double *alpha)
{
    double rest = inner(n - 1, x + 1, x + 1);
    *alpha = x[0];
    if (rest <= 1e-40 * x[0] * x[0] + 1e-290) { /* far below rounding, and its quotients might overflow */
        x[0] = 1;
        return 0;
    }
    double length = sqrt(x[0] * x[0] + rest);
    double first = x[0] > 0 ? -rest / (x[0] + length) : x[0] - length; /* x[0] - length, without cancellation */
    *alpha = length;
    for (int64_t i = 1; i < n; i++) {
        x[i] /= first;
    }
    x[0] = 1;
    return 2 * first * first / (rest + first * first);
}

/* a ← H a H on the trailing block of m rows: a - v wᵀ - w vᵀ with w = tau a v - (tau²/2)(vᵀ a v) v. */
static void reflect_block(int64_t n, int64_t m, double tau, const double *v, double *block, double *w)
{
    for (int64_t i = 0; i < m; i++) {
        w[i] = tau * inner(m, block + i * n, v);
    }
    add_scaled(m, -0.5 * tau * inner(m, w, v), v, w);
    for (int64_t i = 0; i < m; i++) {
        double *restrict row = block + i * n;
        double vi = v[i];
        double wi = w[i];
        for (int64_t j = 0; j < m; j++) {
            row[j] -= vi * w[j] + wi * v[j];
        }
    }
}

/* diagonal and beside (beside[k] couples k and k + 1); row k of a keeps the reflection's vector from column k + 1 on.
 * */
static void reduce(int64_t n, double *a, double *diagonal, double *beside, double *tau, double *w)
{
    for (int64_t k = 0; k < n; k++) {
        diagonal[k] = a[k * n + k];
        int64_t m = n - k - 1;
        if (m == 0) {
            beside[k] = 0;
            break;
        }
        double *v = a + k * n + k + 1;
        tau[k] = householder(m, v, &beside[k]);
        if (tau[k] != 0) {
            reflect_block(n, m, tau[k], v, a + (k + 1) * n + k + 1, w);
        }
    }
}

/* Each row z ← H_0 H_1 .. z. */
static void reflect_back(int64_t n, const double *a, const double *tau, double *rows)
{
    for (int64_t i = 0; i < n; i++) {
        double *z = rows + i * n;
        for (int64_t k = n - 2; k >= 0; k--) {
            const double *v = a + k * n + k + 1;
            if (tau[k] != 0) {
                add_scaled(n - k - 1, -tau[k] * inner(n - k - 1, v, z + k + 1), v, z + k + 1);
            }
        }
    }
}

/* ---- QL ---- */

static void rotate_vectors(int64_t n, double c, double s, double *restrict x, double *restrict y)
{
    for (int64_t i = 0; i < n; i++) {
        double a = x[i];
        double b = y[i];
        x[i] = c * a - s * b;
        y[i] = s * a + c * b;
    }
}

/* The square root of x² + y²; both are of moderate size or 0 to rounding. */
static double hypotenuse(double x, double y)
{
    double larger = fabs(x) > fabs(y) ? fabs(x) : fabs(y);
    if (larger == 0) {
        return 0;
    }
    x /= larger;
    y /= larger;
    return larger * sqrt(x * x + y * y);
}

/* What may be dropped beside any diagonal: below the rounding errors of the reduction. Elements of that size are noise,
 * and without this floor the iteration would resolve them one among the other. */
static double noise_of(int64_t n, const double *d, const double *e)
{
    double largest = 0;
    for (int64_t i = 0; i < n; i++) {
        double size = fabs(d[i]) + fabs(e[i]);
        largest = size > largest ? size : largest;
    }
    return EPSILON / 4 * largest;
}

/* The first m >= begin after which the matrix falls apart. */
static int64_t end_of_block(int64_t n, int64_t begin, double noise, const double *d, const double *e)
{
    int64_t m = begin;
    while (m < n - 1 && fabs(e[m]) > noise + EPSILON * (fabs(d[m]) + fabs(d[m + 1]))) {
        m++;
    }
    return m;
}

/* The eigenvalue of the leading 2 x 2 block that is nearer to d[l]: Wilkinson's shift. */
static double wilkinson_shift(const double *d, const double *e, int64_t l)
{
    double half = (d[l + 1] - d[l]) / 2;
    double length = hypotenuse(half, e[l]);
    double divisor = half + (half >= 0 ? length : -length);
    return d[l] - e[l] / divisor * e[l];
}

/* One implicit step on the block [l, m]: a bulge that begins at the bottom is chased upwards by rotations. */
static void ql_step(int64_t n, int64_t l, int64_t m, double *d, double *e, double *rows)
{
    double g = d[m] - wilkinson_shift(d, e, l);
    double c = 1;
    double s = 1;
    double p = 0;
    for (int64_t i = m - 1; i >= l; i--) {
        double f = s * e[i];
        double b = c * e[i];
        double r = hypotenuse(f, g);
        e[i + 1] = r;
        if (r == 0) { /* the block has fallen apart on the way */
            d[i + 1] -= p;
            e[m] = 0;
            return;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        rotate_vectors(n, c, s, rows + i * n, rows + (i + 1) * n);
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0;
}

static bool ql(int64_t n, double *d, double *e, double *rows)
{
    double noise = noise_of(n, d, e);
    for (int64_t l = 0; l < n; l++) {
        int steps = 0;
        for (int64_t m = end_of_block(n, l, noise, d, e); m != l; m = end_of_block(n, l, noise, d, e)) {
            if (++steps > QL_STEPS) {
                return false;
            }
            ql_step(n, l, m, d, e, rows);
        }
    }
    return true;
}

bool mtli_tridiagonal_eigen(int64_t n, double *a, double *values, double *work)
{
    double *rows = work;
    double *beside = rows + n * n;
    double *tau = beside + n;
    reduce(n, a, values, beside, tau, tau + n);
    memset(rows, 0, (size_t)(n * n) * sizeof rows[0]);
    for (int64_t i = 0; i < n; i++) {
        rows[i * n + i] = 1;
    }
    if (!ql(n, values, beside, rows)) {
        return false;
    }
    reflect_back(n, a, tau, rows);
    memcpy(a, rows, (size_t)(n * n) * sizeof a[0]);
    return true;
}
