/* SPDX-License-Identifier: Apache-2.0
 * Functions of the singular values of a matrix whose columns lie apart: against the same matrix in one piece, from one
 * task to 139. Built in both precisions. */
#include "support.h"

#include <math.h>

#include "base/rng.h"
#include "linalg/spectral.h"

enum { MOST_TASKS = 139 };

static const double EPS = MTLI_REAL_EPSILON;

typedef struct columns {
    int32_t count;
    int64_t n;
    mtli_real *x[MOST_TASKS];
    mtli_real *saved[MOST_TASKS];
    void *work;
    double sigma[MOST_TASKS];
} columns;

static mtl_context *context_with(int32_t threads)
{
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.threads = threads;
    mtl_context *context = NULL;
    return mtl_context_create(&options, &context) == MTL_OK ? context : NULL;
}

static void *take(size_t size)
{
    void *block = NULL;
    assert_int_equal(posix_memalign(&block, 64, size + 64), 0);
    memset(block, 0xff, size);
    return block;
}

/* Tasks near each other: a common vector and a tenth of noise, so that one singular value stands out. */
static void make_columns(columns *c, int32_t count, int64_t n)
{
    mtli_rng rng;
    mtli_rng_init(&rng, 21, (uint64_t)(count * 100000 + n));
    c->count = count;
    c->n = n;
    c->work = take(mtli_columns_work(count));
    for (int32_t t = 0; t < count; t++) {
        c->x[t] = take((size_t)n * sizeof(mtli_real));
        c->saved[t] = take((size_t)n * sizeof(mtli_real));
        for (int64_t k = 0; k < n; k++) {
            double common = t > 0 ? (double)c->saved[0][k] : mtli_rng_normal(&rng);
            c->x[t][k] = (mtli_real)(common + (t > 0 ? 0.1 * mtli_rng_normal(&rng) : 0));
            c->saved[t][k] = c->x[t][k];
        }
    }
}

static void free_columns(columns *c)
{
    for (int32_t t = 0; t < c->count; t++) {
        free(c->x[t]);
        free(c->saved[t]);
    }
    free(c->work);
}

static const mtli_real *const *read_only(mtli_real *const *x)
{
    return (const mtli_real *const *)x;
}

static void assert_unchanged(const columns *c)
{
    for (int32_t t = 0; t < c->count; t++) {
        assert_memory_equal(c->x[t], c->saved[t], (size_t)c->n * sizeof(mtli_real));
    }
}

/* ---- functions of the singular values ---- */

static void keep(const void *argument, int32_t count, const double *sigma, double *factor)
{
    (void)argument;
    (void)sigma;
    for (int32_t k = 0; k < count; k++) {
        factor[k] = 1;
    }
}

static void shrink(const void *argument, int32_t count, const double *sigma, double *factor)
{
    double tau = *(const double *)argument;
    for (int32_t k = 0; k < count; k++) {
        factor[k] = sigma[k] > tau ? 1 - tau / sigma[k] : 0;
    }
}

static void spoil(const void *argument, int32_t count, const double *sigma, double *factor)
{
    shrink(argument, count, sigma, factor);
    factor[count - 1] = NAN;
}

/* ---- against the matrix in one piece ---- */

static void check_against_matrix(mtl_context *context, int32_t count, int64_t n)
{
    columns c;
    make_columns(&c, count, n);
    mtli_real *a = take((size_t)(count * n) * sizeof *a);
    for (int32_t t = 0; t < count; t++) {
        for (int64_t k = 0; k < n; k++) {
            a[k * count + t] = c.x[t][k];
        }
    }
    void *work = take(mtli_spectral_work(context, n, count));
    double values[MOST_TASKS];
    double norm;
    int64_t least = count < n ? count : n;
    assert_true(mtli_singular_values(context, n, count, a, values, work));
    assert_true(mtli_trace_norm(context, n, count, a, &norm, NULL, work));
    assert_true(mtli_columns_singular_values(context, count, n, read_only(c.x), c.sigma, c.work));
    double sum = 0;
    for (int32_t k = 0; k < count; k++) {
        /* Errors of sqrt(eps) count of the Gram matrix, where it has more columns than the matrix has rows. */
        assert_near(c.sigma[k], k < least ? values[k] : 0, 1e-7 * values[0]);
        sum += c.sigma[k];
    }
    assert_near(sum, norm, 2e-6 * norm);

    double tau = (values[0] + values[least - 1]) / 2 + (least == 1 ? -0.5 * values[0] : 0);
    double sigma[MOST_TASKS];
    assert_true(mtli_singular_value_threshold(context, n, count, a, tau, work));
    assert_true(mtli_columns_transform(context, count, n, c.x, shrink, &tau, sigma, c.work));
    assert_memory_equal(sigma, c.sigma, (size_t)count * sizeof *sigma);
    double largest = values[0] / sqrt((double)n); /* elements are below this times a few */
    for (int32_t t = 0; t < count; t++) {
        for (int64_t k = 0; k < n; k++) {
            assert_near(c.x[t][k], a[k * count + t], (16 * EPS + 1e-11) * largest);
        }
    }
    free(a);
    free(work);
    free_columns(&c);
}

static void test_against_matrix(void **state)
{
    (void)state;
    static const int32_t counts[] = {1, 2, 3, 8, 16, 17, 40, MOST_TASKS};
    mtl_context *context = context_with(2);
    assert_non_null(context);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        check_against_matrix(context, counts[i], 1);
        check_against_matrix(context, counts[i], 27);
        check_against_matrix(context, counts[i], 1500);
    }
    check_against_matrix(context, 2, 70001);
    mtl_context_release(context);
}

/* y + scale * X f(X) is what the transform gives, scaled and added. */
static void test_add(void **state)
{
    (void)state;
    mtl_context *context = context_with(2);
    assert_non_null(context);
    for (int32_t count = 1; count <= 20; count += 19) {
        columns c;
        columns y;
        make_columns(&c, count, 500);
        make_columns(&y, count, 501);
        double tau = 3;
        double scale = -0.25;
        double sigma[20];
        assert_true(mtli_columns_add(context, count, 500, read_only(c.x), shrink, &tau, scale, y.x, sigma, c.work));
        assert_unchanged(&c);
        assert_true(mtli_columns_transform(context, count, 500, c.x, shrink, &tau, c.sigma, c.work));
        assert_memory_equal(sigma, c.sigma, (size_t)count * sizeof *sigma);
        for (int32_t t = 0; t < count; t++) {
            for (int64_t k = 0; k < 500; k++) {
                /* Two roundings of elements below 8. */
                assert_near(y.x[t][k], (double)y.saved[t][k] + scale * (double)c.x[t][k], 16 * EPS);
            }
            assert_memory_equal(&y.x[t][500], &y.saved[t][500], sizeof(mtli_real));
        }
        free_columns(&c);
        free_columns(&y);
    }
    mtl_context_release(context);
}

static void test_keeping_all(void **state)
{
    (void)state;
    columns c;
    mtl_context *context = context_with(1);
    assert_non_null(context);
    make_columns(&c, 5, 300);
    assert_true(mtli_columns_transform(context, 5, 300, c.x, keep, NULL, c.sigma, c.work));
    assert_unchanged(&c);
    free_columns(&c);
    mtl_context_release(context);
}

/* Shrinking by more than the second singular value leaves all columns multiples of one: in float to the rounding of
 * each element, and no singular value but the first counts. */
static void test_exact_rank(void **state)
{
    (void)state;
    columns c;
    mtl_context *context = context_with(1);
    assert_non_null(context);
    make_columns(&c, 6, 4000);
    assert_true(mtli_columns_singular_values(context, 6, 4000, read_only(c.x), c.sigma, c.work));
    double before = c.sigma[0];
    double tau = 1.01 * c.sigma[1];
    assert_true(mtli_columns_transform(context, 6, 4000, c.x, shrink, &tau, c.sigma, c.work));
    assert_true(mtli_columns_singular_values(context, 6, 4000, read_only(c.x), c.sigma, c.work));
    assert_near(c.sigma[0], before - tau, 4 * EPS * before);
    for (int k = 1; k < 6; k++) {
        assert_true(c.sigma[k] <= 2 * EPS * before);
    }
    tau = 2 * before;
    assert_true(mtli_columns_transform(context, 6, 4000, c.x, shrink, &tau, c.sigma, c.work));
    for (int t = 0; t < 6; t++) {
        for (int k = 0; k < 4000; k++) {
            assert_true(c.x[t][k] == 0);
        }
    }
    free_columns(&c);
    mtl_context_release(context);
}

static void test_equal_columns(void **state)
{
    (void)state;
    columns c;
    mtl_context *context = context_with(1);
    assert_non_null(context);
    make_columns(&c, 7, 900);
    double square = 0;
    for (int64_t k = 0; k < 900; k++) {
        square += (double)c.x[0][k] * (double)c.x[0][k];
        for (int t = 1; t < 7; t++) {
            c.x[t][k] = c.x[0][k];
        }
    }
    assert_true(mtli_columns_singular_values(context, 7, 900, read_only(c.x), c.sigma, c.work));
    assert_near(c.sigma[0], sqrt(7 * square), 1e-13 * c.sigma[0]);
    for (int k = 1; k < 7; k++) {
        assert_true(c.sigma[k] == 0);
    }
    free_columns(&c);
    mtl_context_release(context);
}

static void test_failures_change_nothing(void **state)
{
    (void)state;
    columns c;
    mtl_context *context = context_with(2);
    assert_non_null(context);
    double tau = 1;
    make_columns(&c, 9, 700);
    assert_false(mtli_columns_transform(context, 9, 700, c.x, spoil, &tau, c.sigma, c.work));
    assert_unchanged(&c);
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int b = 0; b < 3; b++) {
        c.x[8][699] = c.saved[8][699] = (mtli_real)bad[b];
        assert_false(mtli_columns_transform(context, 9, 700, c.x, shrink, &tau, c.sigma, c.work));
        assert_false(mtli_columns_singular_values(context, 9, 700, read_only(c.x), c.sigma, c.work));
        assert_false(mtli_columns_add(context, 9, 700, read_only(c.x), shrink, &tau, 1, c.x, c.sigma, c.work));
        assert_unchanged(&c);
    }
    free_columns(&c);
    mtl_context_release(context);
}

static void test_threads(void **state)
{
    (void)state;
    static const int32_t counts[] = {2, 16, 17, 70};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        columns one;
        columns more;
        double tau = 2;
        make_columns(&one, counts[i], 10007);
        make_columns(&more, counts[i], 10007);
        mtl_context *single = context_with(1);
        mtl_context *several = context_with(3);
        assert_non_null(single);
        assert_non_null(several);
        assert_true(mtli_columns_transform(single, one.count, one.n, one.x, shrink, &tau, one.sigma, one.work));
        assert_true(mtli_columns_transform(several, more.count, more.n, more.x, shrink, &tau, more.sigma, more.work));
        assert_memory_equal(one.sigma, more.sigma, (size_t)one.count * sizeof *one.sigma);
        for (int32_t t = 0; t < one.count; t++) {
            assert_memory_equal(one.x[t], more.x[t], (size_t)one.n * sizeof(mtli_real));
        }
        free_columns(&one);
        free_columns(&more);
        mtl_context_release(single);
        mtl_context_release(several);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_matrix), cmocka_unit_test(test_add),
        cmocka_unit_test(test_keeping_all),    cmocka_unit_test(test_exact_rank),
        cmocka_unit_test(test_equal_columns),  cmocka_unit_test(test_failures_change_nothing),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests_name("linalg_columns", tests, NULL, NULL);
}
