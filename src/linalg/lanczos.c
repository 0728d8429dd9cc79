/* SPDX-License-Identifier: Apache-2.0
 * Lanczos' three-term recurrence without reorthogonalization (lost orthogonality repeats the ends, which does no harm
 * here), and bisection on the tridiagonal matrix by Sturm counts (Golub & Van Loan, Matrix Computations, 10.1 and 8.4).
 * */
#include "linalg/lanczos.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "linalg/dense.h"

enum {
    LANCZOS_STEPS = 40,
    BISECTIONS = 30 /* of the interval: 1e-9 of the largest value */
};

typedef struct tridiagonal {
    int size;
    double diagonal[LANCZOS_STEPS];
    double beside[LANCZOS_STEPS];
} tridiagonal;

void mtli_sign_vector(int64_t n, uint64_t stream, double *v)
{
    mtli_rng rng;
    mtli_rng_init(&rng, 0, stream);
    uint32_t bits = 0;
    for (int64_t i = 0; i < n; i++) {
        bits = i % 32 == 0 ? mtli_rng_next(&rng) : bits >> 1;
        v[i] = (bits & 1) ? 1 : -1;
    }
}

/* v ← (v - a x - b y); its length. */
static double step_vector(int64_t n, double a, const double *x, double b, const double *y, double *v)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        v[i] -= a * x[i] + b * y[i];
        sum += v[i] * v[i];
    }
    return sqrt(sum);
}

static double dot_vectors(int64_t n, const double *x, const double *y)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += x[i] * y[i];
    }
    return sum;
}

static void recur(mtl_context *context, int64_t n, const double *m, tridiagonal *t, double *work)
{
    double *previous = work;
    double *current = work + n;
    double *next = work + 2 * n;
    memset(previous, 0, (size_t)n * sizeof previous[0]);
    mtli_sign_vector(n, 1, current);
    for (int64_t i = 0; i < n; i++) {
        current[i] /= sqrt((double)n);
    }
    double beta = 0;
    int most = n < LANCZOS_STEPS ? (int)n : LANCZOS_STEPS;
    for (t->size = 0; t->size < most;) {
        mtli_dense_times(context, n, m, current, next);
        double alpha = dot_vectors(n, current, next);
        double length = step_vector(n, alpha, current, beta, previous, next);
        t->diagonal[t->size] = alpha;
        t->beside[t->size++] = length;
        if (length <= 1e-14 * fabs(t->diagonal[0])) {
            return; /* an invariant space */
        }
        beta = length;
        double *oldest = previous;
        previous = current;
        current = next;
        next = oldest;
        for (int64_t i = 0; i < n; i++) {
            current[i] /= length;
        }
    }
}

/* How many eigenvalues lie below x. */
static int count_below(const tridiagonal *t, double x)
{
    int count = 0;
    double pivot = 1;
    for (int i = 0; i < t->size; i++) {
        double couple = i > 0 ? t->beside[i - 1] : 0;
        pivot = t->diagonal[i] - x - (couple != 0 ? couple * couple / pivot : 0);
        if (fabs(pivot) < 1e-290) {
            pivot = -1e-290;
        }
        count += pivot < 0;
    }
    return count;
}

/* The eigenvalue that has `rank` others below it, within [low, high]. */
static double bisect(const tridiagonal *t, int rank, double low, double high)
{
    for (int i = 0; i < BISECTIONS; i++) {
        double middle = low + (high - low) / 2;
        if (count_below(t, middle) > rank) {
            high = middle;
        } else {
            low = middle;
        }
    }
    return low + (high - low) / 2;
}

void mtli_lanczos_ends(mtl_context *context, int64_t n, const double *m, double *low, double *high, double *work)
{
    tridiagonal t = {0};
    recur(context, n, m, &t, work);
    double least = t.diagonal[0];
    double largest = t.diagonal[0];
    for (int i = 0; i < t.size; i++) { /* Gershgorin's discs */
        double radius = (i > 0 ? t.beside[i - 1] : 0) + (i + 1 < t.size ? t.beside[i] : 0);
        least = t.diagonal[i] - radius < least ? t.diagonal[i] - radius : least;
        largest = t.diagonal[i] + radius > largest ? t.diagonal[i] + radius : largest;
    }
    *low = bisect(&t, 0, least, largest);
    *high = bisect(&t, t.size - 1, least, largest);
}
