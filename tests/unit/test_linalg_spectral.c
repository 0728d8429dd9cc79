/* SPDX-License-Identifier: Apache-2.0
 * Gram matrices, singular values, polar factors and thresholding of one matrix: against plain loops, LAPACK's values
 * and the conditions that define each result. Built in both precisions. */
#include "support.h"

#include <math.h>

#include "base/rng.h"
#include "golden/linalg_golden.h"
#include "linalg/gram.h"
#include "linalg/minimax.h"
#include "linalg/polar.h"
#include "linalg/spectral.h"
#include "linalg/symmetric.h"

static const double EPS = MTLI_REAL_EPSILON;          /* of the data */
static const double GRAM_EPS = 2.220446049250313e-16; /* of the Gram matrix */

static bool in_double(void)
{
    return sizeof(mtli_real) == sizeof(double);
}

static mtl_context *context_with(int32_t threads, int32_t isa)
{
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.threads = threads;
    options.isa = isa;
    mtl_context *context = NULL;
    return mtl_context_create(&options, &context) == MTL_OK ? context : NULL;
}

static void *take(size_t count, size_t size)
{
    void *block = NULL;
    assert_int_equal(posix_memalign(&block, 64, count * size + 64), 0);
    return block;
}

static mtli_real *reals(int64_t n)
{
    return take((size_t)n, sizeof(mtli_real));
}

static double *doubles(int64_t n)
{
    return take((size_t)n, sizeof(double));
}

static mtli_real *random_matrix(int64_t rows, int64_t columns, uint64_t stream)
{
    mtli_rng rng;
    mtli_rng_init(&rng, 11, stream);
    mtli_real *a = reals(rows * columns);
    for (int64_t i = 0; i < rows * columns; i++) {
        a[i] = (mtli_real)mtli_rng_normal(&rng);
    }
    return a;
}

static void *spectral_work(mtl_context *context, int64_t rows, int64_t columns)
{
    size_t size = mtli_spectral_work(context, rows, columns);
    void *work = take(size, 1);
    memset(work, 0xff, size); /* NaN: nothing may be read before it is written */
    return work;
}

/* x ← x - 2 v (vᵀ x) / (vᵀ v) for `count` vectors that lie `step` apart, elements `stride` apart. */
static void reflect(int64_t n, int64_t count, int64_t stride, int64_t step, uint64_t stream, double *x)
{
    mtli_rng rng;
    mtli_rng_init(&rng, 5, stream);
    double *v = doubles(n);
    double vv = 0;
    for (int64_t i = 0; i < n; i++) {
        v[i] = mtli_rng_normal(&rng);
        vv += v[i] * v[i];
    }
    for (int64_t t = 0; t < count; t++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) {
            sum += v[i] * x[t * step + i * stride];
        }
        for (int64_t i = 0; i < n; i++) {
            x[t * step + i * stride] -= 2 * sum / vv * v[i];
        }
    }
    free(v);
}

/* A matrix with these singular values, as far as rounding to mtli_real lets it. */
static mtli_real *with_singular_values(int64_t rows, int64_t columns, const double *sigma)
{
    double *a = doubles(rows * columns);
    memset(a, 0, (size_t)(rows * columns) * sizeof *a);
    for (int64_t k = 0; k < rows && k < columns; k++) {
        a[k * columns + k] = sigma[k];
    }
    for (uint64_t round = 0; round < 3; round++) {
        reflect(rows, columns, columns, 1, round, a);
        reflect(columns, rows, 1, columns, round + 100, a);
    }
    mtli_real *out = reals(rows * columns);
    for (int64_t i = 0; i < rows * columns; i++) {
        out[i] = (mtli_real)a[i];
    }
    free(a);
    return out;
}

/* Element (i, j) of xᵀ y, for x and y [rows, columns] seen from the long side. */
static double inner_of(int64_t rows, int64_t columns, const mtli_real *x, int64_t i, const mtli_real *y, int64_t j)
{
    double sum = 0;
    if (rows >= columns) {
        for (int64_t k = 0; k < rows; k++) {
            sum += (double)x[k * columns + i] * (double)y[k * columns + j];
        }
    } else {
        for (int64_t k = 0; k < columns; k++) {
            sum += (double)x[i * columns + k] * (double)y[j * columns + k];
        }
    }
    return sum;
}

/* ---- Gram matrices ---- */

/* Of a sum of n products of deviation 1: up to n roundings with random signs of partial sums up to n. */
static double sum_tolerance(int64_t n)
{
    return GRAM_EPS * ((double)n * sqrt((double)n) + 8);
}

static void check_gram(mtl_context *context, int64_t rows, int64_t columns)
{
    mtli_real *a = random_matrix(rows, columns, (uint64_t)(rows * 1000 + columns));
    for (int of_columns = 0; of_columns <= 1; of_columns++) {
        int64_t count = of_columns ? columns : rows;
        int64_t n = of_columns ? rows : columns;
        double *g = doubles(count * count);
        mtli_gram_matrix(context, of_columns, rows, columns, a, g);
        for (int64_t i = 0; i < count; i++) {
            for (int64_t j = 0; j < count; j++) {
                long double sum = 0;
                for (int64_t k = 0; k < n; k++) {
                    sum += of_columns ? (long double)a[k * columns + i] * a[k * columns + j]
                                      : (long double)a[i * columns + k] * a[j * columns + k];
                }
                assert_near(g[i * count + j], (double)sum, sum_tolerance(n));
                assert_true(g[i * count + j] == g[j * count + i]);
            }
        }
        free(g);
    }
    free(a);
}

static void test_gram(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = {{1, 1},   {1, 40},  {3, 5},   {17, 33}, {64, 64},
                                       {65, 31}, {100, 7}, {9, 700}, {130, 97}};
    for (int32_t isa = MTL_ISA_BASELINE; isa <= MTL_ISA_AVX512; isa++) {
        mtl_context *context = context_with(2, isa);
        for (size_t s = 0; context && s < sizeof sizes / sizeof *sizes; s++) {
            check_gram(context, sizes[s][0], sizes[s][1]);
        }
        mtl_context_release(context);
    }
}

static void test_gram_vectors(void **state)
{
    (void)state;
    enum { N = 9001, MOST = 70 };
    mtl_context *context = context_with(2, 0);
    assert_non_null(context);
    mtli_real *x = random_matrix(MOST, N, 3);
    const mtli_real *vectors[MOST];
    double *wide = doubles(MOST * N);
    const double *wide_vectors[MOST];
    for (int t = 0; t < MOST; t++) {
        vectors[t] = x + t * N;
        wide_vectors[t] = wide + t * N;
    }
    for (int i = 0; i < MOST * N; i++) {
        wide[i] = (double)x[i];
    }
    static const int32_t counts[] = {0, 1, 2, 5, 16, 17, MOST};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        int32_t count = counts[c];
        double *g = doubles(count * count);
        double *expected = doubles(count * count);
        mtli_gram_vectors(context, count, N, vectors, g);
        mtli_gram_vectors_double(count, N, wide_vectors, expected);
        assert_close(g, expected, (size_t)(count * count), 0, 2 * sum_tolerance(N));
        for (int32_t i = 0; i < count; i++) {
            assert_near(expected[i * count], inner_of(count, N, x, i, x, 0), 2 * sum_tolerance(N));
        }
        mtli_gram_vectors(context, count, 0, vectors, g);
        for (int32_t i = 0; i < count * count; i++) {
            assert_true(g[i] == 0);
        }
        free(g);
        free(expected);
    }
    free(x);
    free(wide);
    mtl_context_release(context);
}

/* ---- polynomials ---- */

static void test_minimax(void **state)
{
    (void)state;
    enum { SAMPLES = 20000 };
    double last = 1;
    for (double low = 1e-4; low < 0.95; low *= 1.3) {
        double c[MTLI_MINIMAX_TERMS];
        double error;
        assert_true(mtli_minimax_odd(low, c, &error));
        assert_true(error < last);
        last = error;
        double largest = 0;
        int alternations = 0;
        double sign = 0;
        for (int i = 0; i <= SAMPLES; i++) {
            double x = low * pow(1 / low, (double)i / SAMPLES);
            double p = 0;
            for (int j = MTLI_MINIMAX_TERMS - 1; j >= 0; j--) {
                p = p * x * x + c[j];
            }
            double deviation = 1 - x * p;
            largest = fabs(deviation) > largest ? fabs(deviation) : largest;
            /* Chebyshev: a polynomial whose error alternates once more than it has coefficients is the best. */
            if (fabs(deviation) > 0.99 * error && deviation * sign <= 0) {
                alternations++;
                sign = deviation;
            }
        }
        assert_near(largest / error, 1, 2e-3 + 1e-13 / error);
        assert_true(alternations == MTLI_MINIMAX_TERMS + 1 || error < 1e-11);
    }
}

static void test_inverse_root_refuses(void **state)
{
    (void)state;
    enum { N = 40 };
    mtl_context *context = context_with(1, 0);
    assert_non_null(context);
    double *g = doubles(N * N);
    double *z = doubles(N * N);
    double *work = doubles((int64_t)mtli_inverse_root_work(N));
    for (int kind = 0; kind < 4; kind++) {
        memset(g, 0, N * N * sizeof *g);
        for (int i = 0; i < N; i++) {
            g[i * N + i] = kind == 0 ? 0 : kind == 1 ? i < N / 2 : kind == 2 ? (i == 3 ? 1e-6 : 1) : (i == 3 ? -1 : 1);
        }
        assert_false(mtli_inverse_root(context, N, g, 100, 1e-6, z, work)); /* zero, singular, 1000 > 100, indefinite */
    }
    for (int i = 0; i < N; i++) {
        g[i * N + i] = 4 + i % 5;
    }
    assert_true(mtli_inverse_root(context, N, g, 100, 1e-14, z, work));
    for (int i = 0; i < N * N; i++) {
        assert_near(z[i], i / N == i % N ? 1 / sqrt(4 + i / N % 5) : 0, 1e-13);
    }
    free(g);
    free(z);
    free(work);
    mtl_context_release(context);
}

/* ---- golden values ---- */

static mtli_real *golden_pattern(int64_t rows, int64_t columns)
{
    mtli_real *a = reals(rows * columns);
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) {
            int64_t code = (i * 37 + j * 101 + i * i * j * 13 + i * j * j * 7) % 257 - 128;
            a[i * columns + j] = (mtli_real)code / 64;
        }
    }
    return a;
}

/* Σ polar * the pattern, rolled by `shift` along the long side. */
static double probe(int64_t rows, int64_t columns, const mtli_real *polar, const mtli_real *pattern, int64_t shift)
{
    double sum = 0;
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) {
            int64_t from_i = rows > columns ? (i - shift % rows + rows) % rows : i;
            int64_t from_j = rows > columns ? j : (j - shift % columns + columns) % columns;
            sum += (double)polar[i * columns + j] * (double)pattern[from_i * columns + from_j];
        }
    }
    return sum;
}

static void check_golden(mtl_context *context, size_t index)
{
    int64_t rows = golden_shapes[index].rows;
    int64_t columns = golden_shapes[index].columns;
    int64_t count = rows < columns ? rows : columns;
    const double *expected = golden_singular_values + golden_shapes[index].first;
    double condition = golden_shapes[index].condition;
    mtli_real *a = golden_pattern(rows, columns);
    mtli_real *polar = reals(rows * columns);
    double *values = doubles(count);
    void *work = spectral_work(context, rows, columns);

    /* The Gram matrix's errors, n eps sigma_1², halved and divided by sigma_k: n eps condition sigma_1. */
    assert_true(mtli_singular_values(context, rows, columns, a, values, work));
    assert_close(values, expected, (size_t)count, 0, GRAM_EPS * (double)(count + 8) * condition * expected[0]);
    double sum = 0;
    for (int64_t k = 0; k < count; k++) {
        sum += expected[k];
    }
    double norm;
    /* With products the polar factor may be 1e-6 short (1e-15 in double) in each direction. */
    double tolerance = in_double() ? 1e-14 * condition * condition : 1e-6;
    assert_true(mtli_trace_norm(context, rows, columns, a, &norm, polar, work));
    assert_near(norm, sum, (tolerance + 1e-14) * sum);
    double size = 0;
    for (int64_t i = 0; i < rows * columns; i++) {
        size += (double)a[i] * (double)a[i];
    }
    for (int64_t k = 0; k < 4; k++) {
        /* By Cauchy's inequality, from ‖polar's error‖_F <= (tolerance + eps) sqrt(count). */
        double bound = (tolerance + EPS) * sqrt((double)count * size);
        assert_near(probe(rows, columns, polar, a, k + 1), golden_polar_probes[index * 4 + (size_t)k], bound);
    }
    assert_true(mtli_trace_norm(context, rows, columns, a, &norm, NULL, work));
    assert_near(norm, sum, (tolerance + 1e-14) * sum);
    free(a);
    free(polar);
    free(values);
    free(work);
}

static void test_golden(void **state)
{
    (void)state;
    for (int32_t isa = MTL_ISA_BASELINE; isa <= MTL_ISA_AVX512; isa++) {
        mtl_context *context = context_with(1, isa);
        for (size_t i = 0; context && i < sizeof golden_shapes / sizeof *golden_shapes; i++) {
            check_golden(context, i);
        }
        mtl_context_release(context);
    }
}

/* ---- what defines a polar factor ---- */

/* P has orthonormal vectors, PᵀA = H is symmetric and positive, and its trace is the norm. `tolerance` is of the
 * directions with singular value sigma_1; `small`, of those at the other end, where errors are larger by the condition.
 * */
static void check_polar(mtl_context *context, int64_t rows, int64_t columns, const mtli_real *a, double expected,
                        double tolerance, double small)
{
    int64_t count = rows < columns ? rows : columns;
    mtli_real *polar = reals(rows * columns);
    void *work = spectral_work(context, rows, columns);
    double norm;
    assert_true(mtli_trace_norm(context, rows, columns, a, &norm, polar, work));
    assert_near(norm, expected, tolerance * expected);
    double trace = 0;
    double largest = 0;
    double *h = doubles(count * count);
    for (int64_t i = 0; i < count; i++) {
        for (int64_t j = 0; j < count; j++) {
            h[i * count + j] = inner_of(rows, columns, polar, i, a, j);
            largest = fabs(h[i * count + j]) > largest ? fabs(h[i * count + j]) : largest;
            if (small < 1) {
                assert_near(inner_of(rows, columns, polar, i, polar, j), i == j, small);
            }
        }
        trace += h[i * count + i];
    }
    assert_near(trace, expected, 2 * tolerance * expected);
    for (int64_t i = 0; i < count; i++) {
        for (int64_t j = 0; j < i; j++) {
            assert_near(h[i * count + j], h[j * count + i], tolerance * expected);
            h[i * count + j] = h[j * count + i];
        }
    }
    double *values = doubles(count);
    double *eigen_work = doubles((int64_t)mtli_symmetric_work(count));
    assert_true(mtli_symmetric_eigen(count, h, values, eigen_work));
    assert_true(values[count - 1] >= -2 * tolerance * expected);
    free(h);
    free(values);
    free(eigen_work);
    free(polar);
    free(work);
}

static void check_condition(mtl_context *context, int64_t rows, int64_t columns, double condition, int kind)
{
    int64_t count = rows < columns ? rows : columns;
    double *sigma = doubles(count);
    double expected = 0;
    for (int64_t k = 0; k < count; k++) {
        double u = count > 1 ? (double)k / (double)(count - 1) : 0;
        sigma[k] = kind == 0       ? pow(condition, -u)
                   : kind == 1     ? 1 - u * (1 - 1 / condition)
                   : k < count - 1 ? 1
                                   : 1 / condition;
        expected += sigma[k];
    }
    mtli_real *a = with_singular_values(rows, columns, sigma);
    /* What was built differs from what was wanted by the rounding of its elements, a random matrix of norm below
     * eps (sqrt(rows) + sqrt(columns)) max|a|; it moves the trace norm by at most that times the count, in float about
     * 1e-6 of it. The small directions: eps of the data times the condition, and eps of the Gram matrix times its
     * square, which the double build repairs. */
    double rounding = 4 * EPS * (double)count / expected;
    double tolerance = (in_double() ? 1e-13 : 1e-6) + rounding;
    double small = in_double() ? 64 * EPS * (condition + 100) : 16 * EPS + 64 * GRAM_EPS * condition * condition;
    small += in_double() ? 0 : 1e-5; /* four directions of twice 1e-6: has_arrived() of polar.c */
    check_polar(context, rows, columns, a, expected, tolerance, small);
    free(sigma);
    free(a);
}

static void test_polar_conditions(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = {{80, 10}, {120, 40}, {40, 120}, {64, 64}, {300, 100}};
    mtl_context *context = context_with(2, 0);
    assert_non_null(context);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (double condition = 1; condition <= (in_double() ? 1e9 : 1e5); condition *= 10) {
            for (int kind = 0; kind < 3; kind++) {
                check_condition(context, sizes[s][0], sizes[s][1], condition, kind);
            }
        }
    }
    mtl_context_release(context);
}

static void test_polar_sizes(void **state)
{
    (void)state;
    mtl_context *context = context_with(2, 0);
    assert_non_null(context);
    for (int64_t n = 1; n <= 300; n += n < 40 ? 3 : 52) {
        check_condition(context, n, n, 3, 0);
        check_condition(context, n + 7, n, 20, 1);
        check_condition(context, n, 2 * n, 5, 0);
    }
    mtl_context_release(context);
}

/* Singular values from 1 to 1e-12: what the Gram matrix cannot tell from 0 is found in the double build, each to
 * rounding of the largest; with float data it lies below the rounding of the elements and is lost. */
static void test_nearly_singular(void **state)
{
    (void)state;
    enum { ROWS = 90, COLUMNS = 37 };
    mtl_context *context = context_with(1, 0);
    assert_non_null(context);
    double sigma[COLUMNS];
    double values[COLUMNS];
    double sum = 0;
    for (int k = 0; k < COLUMNS; k++) {
        sigma[k] = pow(10, -12.0 * k / (COLUMNS - 1));
        sum += sigma[k];
    }
    for (int wide = 0; wide <= 1; wide++) {
        int64_t rows = wide ? COLUMNS : ROWS;
        int64_t columns = wide ? ROWS : COLUMNS;
        mtli_real *a = with_singular_values(rows, columns, sigma);
        void *work = spectral_work(context, rows, columns);
        assert_true(mtli_singular_values(context, rows, columns, a, values, work));
        /* Building costs three reflections on each side. In float, sqrt((4 + 37 / 16) 2^-52) = 4e-8 is cut off. */
        assert_close(values, sigma, COLUMNS, 0, in_double() ? 32 * EPS : 4 * EPS);
        if (in_double()) {
            check_polar(context, rows, columns, a, sum, 1e-13, 32 * EPS * 1e12);
        }
        free(a);
        free(work);
    }
    mtl_context_release(context);
}

/* ---- degenerate matrices ---- */

static void test_zero(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = {{0, 4}, {4, 0}, {1, 1}, {5, 3}, {3, 50}, {70, 64}};
    mtl_context *context = context_with(1, 0);
    assert_non_null(context);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int64_t rows = sizes[s][0];
        int64_t columns = sizes[s][1];
        mtli_real *a = reals(rows * columns);
        mtli_real *polar = random_matrix(rows, columns, 1);
        double values[64];
        double norm = -1;
        void *work = spectral_work(context, rows, columns);
        memset(a, 0, (size_t)(rows * columns) * sizeof *a);
        assert_true(mtli_trace_norm(context, rows, columns, a, &norm, polar, work));
        assert_true(norm == 0);
        assert_true(mtli_singular_values(context, rows, columns, a, values, work));
        assert_true(mtli_singular_value_threshold(context, rows, columns, a, 0.5, work));
        for (int64_t i = 0; i < rows * columns; i++) {
            assert_true(polar[i] == 0 && a[i] == 0);
        }
        for (int64_t k = 0; k < rows && k < columns; k++) {
            assert_true(values[k] == 0);
        }
        free(a);
        free(polar);
        free(work);
    }
    mtl_context_release(context);
}

/* The outer product of two vectors of signs: sigma_1 = sqrt(rows columns), polar factor a / sigma_1. */
static void test_rank_one(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = {{1, 1}, {1, 30}, {30, 1}, {50, 20}, {20, 50}, {200, 64}};
    mtl_context *context = context_with(1, 0);
    assert_non_null(context);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int64_t rows = sizes[s][0];
        int64_t columns = sizes[s][1];
        int64_t count = rows < columns ? rows : columns;
        mtli_real *a = reals(rows * columns);
        mtli_real *polar = reals(rows * columns);
        double *values = doubles(count);
        void *work = spectral_work(context, rows, columns);
        for (int64_t i = 0; i < rows * columns; i++) {
            a[i] = (i / columns * 7 % 5 < 2) == (i % columns * 11 % 7 < 3) ? 1 : -1;
        }
        double expected = sqrt((double)(rows * columns));
        double norm;
        assert_true(mtli_trace_norm(context, rows, columns, a, &norm, polar, work));
        assert_near(norm, expected, 1e-14 * expected);
        for (int64_t i = 0; i < rows * columns; i++) {
            assert_near(polar[i], (double)a[i] / expected, 4 * EPS / expected + 1e-15);
        }
        assert_true(mtli_singular_values(context, rows, columns, a, values, work));
        for (int64_t k = 1; k < count; k++) {
            assert_true(values[k] == 0); /* not rounding's leftovers: the rank is one */
        }
        free(a);
        free(polar);
        free(values);
        free(work);
    }
    mtl_context_release(context);
}

static void test_not_finite(void **state)
{
    (void)state;
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    static const int64_t sizes[][2] = {{3, 1}, {10, 5}, {5, 10}, {100, 64}};
    mtl_context *context = context_with(2, 0);
    assert_non_null(context);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int64_t rows = sizes[s][0];
        int64_t columns = sizes[s][1];
        void *work = spectral_work(context, rows, columns);
        for (size_t b = 0; b < 3; b++) {
            mtli_real *a = random_matrix(rows, columns, 8);
            mtli_real *before = reals(rows * columns);
            mtli_real *polar = reals(rows * columns);
            double values[64];
            double norm = 7;
            a[rows * columns / 2] = (mtli_real)bad[b];
            memcpy(before, a, (size_t)(rows * columns) * sizeof *a);
            assert_false(mtli_trace_norm(context, rows, columns, a, &norm, polar, work));
            assert_true(norm == 7);
            assert_false(mtli_singular_values(context, rows, columns, a, values, work));
            assert_false(mtli_singular_value_threshold(context, rows, columns, a, 0.1, work));
            assert_memory_equal(a, before, (size_t)(rows * columns) * sizeof *a);
            free(a);
            free(before);
            free(polar);
        }
        free(work);
    }
    mtl_context_release(context);
}

/* ---- thresholding ---- */

/* X = prox(A) is defined by: A - X = tau Z with ‖Z‖_2 <= 1 and <Z, X> = ‖X‖_*. */
static void check_threshold(mtl_context *context, int64_t rows, int64_t columns, const double *sigma, double tau)
{
    int64_t count = rows < columns ? rows : columns;
    mtli_real *a = with_singular_values(rows, columns, sigma);
    mtli_real *x = reals(rows * columns);
    mtli_real *rest = reals(rows * columns);
    double *before = doubles(count);
    double *after = doubles(count);
    double *of_rest = doubles(count);
    void *work = spectral_work(context, rows, columns);
    memcpy(x, a, (size_t)(rows * columns) * sizeof *a);
    assert_true(mtli_singular_values(context, rows, columns, a, before, work));
    assert_true(mtli_singular_value_threshold(context, rows, columns, x, tau, work));
    assert_true(mtli_singular_values(context, rows, columns, x, after, work));
    double inner = 0;
    for (int64_t i = 0; i < rows * columns; i++) {
        rest[i] = a[i] - x[i];
        inner += (double)rest[i] * (double)x[i];
    }
    assert_true(mtli_singular_values(context, rows, columns, rest, of_rest, work));
    /* Each element of x is rounded once; that is a matrix of norm at most eps sqrt(rows + columns) max|x| or so, and
     * sums over k collect it. */
    double tolerance = 8 * EPS * before[0] * sqrt((double)count);
    double norm = 0;
    int64_t rank = 0;
    for (int64_t k = 0; k < count; k++) {
        double expected = before[k] > tau ? before[k] - tau : 0;
        assert_near(after[k], expected, tolerance);
        norm += after[k];
        rank += expected > 0;
    }
    assert_true(of_rest[0] <= tau + tolerance);
    assert_near(inner, tau * norm, tolerance * before[0] * (double)count);
    if (rank == 0) {
        for (int64_t i = 0; i < rows * columns; i++) {
            assert_true(x[i] == 0);
        }
    }
    free(a);
    free(x);
    free(rest);
    free(before);
    free(after);
    free(of_rest);
    free(work);
}

static void test_threshold(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = {{40, 12}, {12, 40}, {33, 33}, {150, 70}};
    mtl_context *context = context_with(2, 0);
    assert_non_null(context);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        double sigma[70];
        for (int kind = 0; kind < 2; kind++) {
            for (int k = 0; k < 70; k++) {
                sigma[k] = kind == 0 ? 2.0 / (1 + k) : pow(10, -0.1 * k);
            }
            static const double taus[] = {1e-3, 0.1, 0.45, 1.5, 3};
            for (size_t t = 0; t < sizeof taus / sizeof *taus; t++) {
                check_threshold(context, sizes[s][0], sizes[s][1], sigma, taus[t]);
            }
        }
    }
    mtli_real *a = random_matrix(9, 4, 2);
    mtli_real *b = random_matrix(9, 4, 2);
    void *work = spectral_work(context, 9, 4);
    assert_true(mtli_singular_value_threshold(context, 9, 4, a, 0, work));
    assert_memory_equal(a, b, 9 * 4 * sizeof *a);
    free(a);
    free(b);
    free(work);
    mtl_context_release(context);
}

/* ---- threads ---- */

/* Everything that a matrix gives, one after the other. */
static mtli_real *results(int32_t threads, int32_t isa, int64_t rows, int64_t columns, double *values)
{
    mtl_context *context = context_with(threads, isa);
    if (!context) {
        return NULL;
    }
    int64_t size = rows * columns;
    int64_t count = rows < columns ? rows : columns;
    mtli_real *out = reals(2 * size);
    mtli_real *a = random_matrix(rows, columns, 77);
    void *work = spectral_work(context, rows, columns);
    assert_true(mtli_trace_norm(context, rows, columns, a, values, out, work));
    memcpy(out + size, a, (size_t)size * sizeof *a);
    assert_true(mtli_singular_values(context, rows, columns, a, values + 1, work));
    assert_true(mtli_singular_value_threshold(context, rows, columns, out + size, values[1 + count / 2], work));
    free(a);
    free(work);
    mtl_context_release(context);
    return out;
}

static void test_threads(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = {{50, 9}, {500, 16}, {150, 60}, {60, 150}, {400, 130}};
    for (int32_t isa = MTL_ISA_BASELINE; isa <= MTL_ISA_AVX512; isa++) {
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            int64_t rows = sizes[s][0];
            int64_t columns = sizes[s][1];
            int64_t count = rows < columns ? rows : columns;
            double *values = doubles(count + 1);
            double *others = doubles(count + 1);
            mtli_real *one = results(1, isa, rows, columns, values);
            for (int32_t threads = 2; one && threads <= 5; threads++) {
                mtli_real *more = results(threads, isa, rows, columns, others);
                assert_non_null(more);
                assert_memory_equal(more, one, (size_t)(2 * rows * columns) * sizeof *one);
                assert_memory_equal(others, values, (size_t)(count + 1) * sizeof *values);
                free(more);
            }
            free(one);
            free(values);
            free(others);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gram),        cmocka_unit_test(test_gram_vectors),
        cmocka_unit_test(test_minimax),     cmocka_unit_test(test_inverse_root_refuses),
        cmocka_unit_test(test_golden),      cmocka_unit_test(test_polar_conditions),
        cmocka_unit_test(test_polar_sizes), cmocka_unit_test(test_nearly_singular),
        cmocka_unit_test(test_zero),        cmocka_unit_test(test_rank_one),
        cmocka_unit_test(test_not_finite),  cmocka_unit_test(test_threshold),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests_name("linalg_spectral", tests, NULL, NULL);
}
