/* SPDX-License-Identifier: Apache-2.0
 * Symmetric eigenproblems: residuals, orthogonality and LAPACK's values, for every solver that can take the size. */
#include "support.h"

#include <math.h>

#include "base/rng.h"
#include "golden/linalg_golden.h"
#include "linalg/jacobi.h"
#include "linalg/lapack.h"
#include "linalg/symmetric.h"
#include "linalg/tridiagonal.h"

static const double EPS = 2.220446049250313e-16;

typedef bool (*solver)(int64_t n, double *a, double *values, double *work);

static double *doubles(size_t n)
{
    double *x = malloc((n + 1) * sizeof *x);
    assert_non_null(x);
    return x;
}

static double *random_symmetric(int64_t n, uint64_t stream)
{
    mtli_rng rng;
    mtli_rng_init(&rng, 7, stream);
    double *a = doubles((size_t)(n * n));
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j <= i; j++) {
            a[i * n + j] = a[j * n + i] = mtli_rng_normal(&rng);
        }
    }
    return a;
}

static double norm_of(int64_t n, const double *a)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += a[i] * a[i];
    }
    return sqrt(sum);
}

static double dot_of(int64_t n, const double *x, const double *y)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += x[i] * y[i];
    }
    return sum;
}

/* A v = λ v and VᵀV = I. A backward stable solver solves for A + E with ‖E‖_F <= p(n) eps ‖A‖_F; in practice p(n) is
 * about sqrt(n), and 4 (n + 8) covers its constant. A wrong vector or value is an error of 1 / n at least: 1e10 times
 * more. */
static void check_pairs(int64_t n, const double *a, const double *values, const double *vectors)
{
    double tolerance = 4 * EPS * (double)(n + 8);
    double size = norm_of(n * n, a);
    for (int64_t k = 0; k < n; k++) {
        const double *v = vectors + k * n;
        for (int64_t i = 0; i < n; i++) {
            double left = dot_of(n, a + i * n, v);
            if (!(fabs(left - values[k] * v[i]) <= tolerance * size)) {
                fail_msg("n = %d: pair %d leaves %g at %d", (int)n, (int)k, left - values[k] * v[i], (int)i);
            }
        }
        for (int64_t j = 0; j <= k; j++) {
            assert_near(dot_of(n, v, vectors + j * n), j == k, tolerance);
        }
    }
}

/* Solves, compares, gives the values. */
static void check_solve(solver solve, int64_t n, const double *a, double *values)
{
    double *vectors = doubles((size_t)(n * n));
    double *work = doubles(mtli_symmetric_work(n));
    memcpy(vectors, a, (size_t)(n * n) * sizeof *a);
    assert_true(solve(n, vectors, values, work));
    check_pairs(n, a, values, vectors);
    if (solve == mtli_symmetric_eigen) {
        for (int64_t k = 1; k < n; k++) {
            assert_true(values[k - 1] >= values[k]);
        }
    }
    free(vectors);
    free(work);
}

static void check_all_solvers(int64_t n, const double *a)
{
    double *values = doubles((size_t)n);
    check_solve(mtli_symmetric_eigen, n, a, values);
    check_solve(mtli_tridiagonal_eigen, n, a, values);
    if (n <= 64) {
        check_solve(mtli_jacobi_eigen, n, a, values);
    }
    if (mtli_lapack_takes(n)) {
        check_solve(mtli_lapack_eigen, n, a, values);
    }
    free(values);
}

static void test_random_sizes(void **state)
{
    (void)state;
    for (int64_t n = 1; n <= 300; n += n < 40 ? 1 : n < 100 ? 13 : 64) {
        double *a = random_symmetric(n, (uint64_t)n);
        double size = norm_of(n * n, a);
        for (int64_t i = 0; i < n * n; i++) {
            a[i] /= size; /* the solvers below mtli_symmetric_eigen() expect this */
        }
        check_all_solvers(n, a);
        free(a);
    }
}

/* a = H diag(d) H with the reflection H = I - 2 u uᵀ, u of equal elements. */
static double *with_spectrum(int64_t n, const double *d)
{
    double *a = doubles((size_t)(n * n));
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t k = 0; k < n; k++) {
                sum += ((i == k) - 2.0 / (double)n) * d[k] * ((j == k) - 2.0 / (double)n);
            }
            a[i * n + j] = sum;
        }
    }
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < i; j++) {
            a[i * n + j] = a[j * n + i];
        }
    }
    return a;
}

static void check_spectrum(int64_t n, const double *descending)
{
    double *a = with_spectrum(n, descending);
    check_all_solvers(n, a);
    double *values = doubles((size_t)n);
    check_solve(mtli_symmetric_eigen, n, a, values);
    double largest = fabs(descending[0]) > fabs(descending[n - 1]) ? fabs(descending[0]) : fabs(descending[n - 1]);
    /* Making the matrix costs n roundings, too. */
    assert_close(values, descending, (size_t)n, 0, 8 * EPS * (double)(n + 8) * largest);
    free(values);
    free(a);
}

static void test_special_spectra(void **state)
{
    (void)state;
    static const int64_t sizes[] = {2, 5, 16, 17, 40, 90};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int64_t n = sizes[s];
        double *d = doubles((size_t)n);
        for (int kind = 0; kind < 6; kind++) {
            for (int64_t k = 0; k < n; k++) {
                double u = (double)k / (double)(n - 1);
                double kinds[] = {
                    k < n / 2 ? 1 : 0.5, /* two values, repeated */
                    k == 0,              /* rank one */
                    k < n / 4,           /* a quarter of the rank */
                    pow(10, -15 * u),    /* graded beyond rounding */
                    1 - 2 * u,           /* both signs */
                    -pow(10, -6 * (1 - u)),
                };
                d[k] = kinds[kind];
            }
            check_spectrum(n, d);
        }
        free(d);
    }
}

static void test_zero_and_diagonal(void **state)
{
    (void)state;
    static const int64_t sizes[] = {1, 3, 16, 17, 50};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int64_t n = sizes[s];
        double *a = calloc((size_t)(n * n), sizeof *a);
        double *values = doubles((size_t)n);
        assert_non_null(a);
        check_solve(mtli_symmetric_eigen, n, a, values);
        for (int64_t k = 0; k < n; k++) {
            assert_true(values[k] == 0);
            a[k * n + k] = (double)(k * k % 7) - 3; /* exact, with repetitions */
        }
        check_solve(mtli_symmetric_eigen, n, a, values);
        double sum = 0;
        for (int64_t k = 0; k < n; k++) {
            assert_true(values[k] == floor(values[k]));
            sum += values[k] - a[k * n + k];
        }
        assert_true(sum == 0);
        free(a);
        free(values);
    }
}

/* Golden values are LAPACK's; two backward stable solvers differ by n eps times the norm, which is below 2. */
static void test_hilbert(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof golden_hilbert / sizeof *golden_hilbert; s++) {
        int64_t n = golden_hilbert[s][0];
        double *a = doubles((size_t)(n * n));
        double *values = doubles((size_t)n);
        for (int64_t i = 0; i < n * n; i++) {
            a[i] = 1.0 / (double)(i / n + i % n + 1);
        }
        check_all_solvers(n, a);
        check_solve(mtli_symmetric_eigen, n, a, values);
        assert_close(values, golden_hilbert_values + golden_hilbert[s][1], (size_t)n, 0, 2 * EPS * (double)n);
        free(a);
        free(values);
    }
}

/* Scaling by a power of two scales the values by it to the bit, up to the ends of the doubles. */
static void test_scales(void **state)
{
    (void)state;
    static const double scales[] = {0x1p-1000, 0x1p-500, 0x1p500, 0x1p1000};
    for (int64_t n = 3; n <= 40; n += 37) {
        double *a = random_symmetric(n, 99);
        double *scaled = doubles((size_t)(n * n));
        double *work = doubles(mtli_symmetric_work(n));
        double *values = doubles((size_t)n);
        double *expected = doubles((size_t)n);
        memcpy(scaled, a, (size_t)(n * n) * sizeof *a);
        assert_true(mtli_symmetric_eigen(n, scaled, expected, work));
        for (size_t s = 0; s < sizeof scales / sizeof *scales; s++) {
            for (int64_t i = 0; i < n * n; i++) {
                scaled[i] = a[i] * scales[s];
            }
            assert_true(mtli_symmetric_eigen(n, scaled, values, work));
            for (int64_t k = 0; k < n; k++) {
                assert_true(values[k] == expected[k] * scales[s]);
            }
        }
        free(a);
        free(scaled);
        free(work);
        free(values);
        free(expected);
    }
}

static void test_not_finite(void **state)
{
    (void)state;
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int64_t n = 1; n <= 41; n += 20) {
        double *work = doubles(mtli_symmetric_work(n));
        double *values = doubles((size_t)n);
        for (size_t b = 0; b < 3; b++) {
            double *a = random_symmetric(n, 3);
            a[n * n - 1] = bad[b];
            assert_false(mtli_symmetric_eigen(n, a, values, work));
            free(a);
        }
        free(work);
        free(values);
    }
}

/* One-sided rotations find small singular values to their own length: B = diag(1, 1e-6, 1e-12) times orthogonal rows,
 * mixed by a rotation of the first two. */
static void test_orthogonalize(void **state)
{
    (void)state;
    enum { COUNT = 3, N = 40 };
    const mtli_products *products = mtli_products_get(0);
    double b[COUNT * N];
    double before[COUNT * N];
    double v[COUNT * COUNT] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    static const double lengths[] = {1, 1e-6, 1e-12};
    for (int k = 0; k < N; k++) {
        double x = cos(k * 2 * 3.14159265358979323846 / N) * sqrt(2.0 / N);
        double y = sin(k * 2 * 3.14159265358979323846 / N) * sqrt(2.0 / N) * lengths[1];
        b[k] = 0.8 * x + 0.6 * y;
        b[N + k] = -0.6 * x + 0.8 * y;
        b[2 * N + k] = (k % 2 ? -1 : 1) / sqrt(N) * lengths[2];
    }
    memcpy(before, b, sizeof b);
    assert_true(mtli_jacobi_orthogonalize(products, COUNT, N, b, v));
    double found[COUNT];
    for (int i = 0; i < COUNT; i++) {
        found[i] = norm_of(N, b + i * N);
        for (int k = 0; k < N; k++) { /* the same rotations were done to v */
            double sum = 0;
            for (int j = 0; j < COUNT; j++) {
                sum += v[i * COUNT + j] * before[j * N + k];
            }
            assert_near(b[i * N + k], sum, 4 * EPS);
        }
    }
    /* The second row is a difference of rows of length 1, each rounded: eps / 1e-6 of it is lost. */
    for (int i = 0; i < COUNT; i++) {
        double best = 1;
        for (int j = 0; j < COUNT; j++) {
            double error = fabs(found[j] / lengths[i] - 1);
            best = error < best ? error : best;
        }
        assert_near(best, 0, i == 1 ? 8 * EPS / lengths[1] : 8 * EPS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_sizes),
        cmocka_unit_test(test_special_spectra),
        cmocka_unit_test(test_zero_and_diagonal),
        cmocka_unit_test(test_hilbert),
        cmocka_unit_test(test_scales),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_orthogonalize),
    };
    return cmocka_run_group_tests_name("linalg_symmetric", tests, NULL, NULL);
}
