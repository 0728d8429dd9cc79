/* SPDX-License-Identifier: Apache-2.0
 * The packed products of every level beside three plain loops, and their bits for different splits
 * of the rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/kernels.h"
#include "kernels/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint32_t random_state = 12345;

static double uniform(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) / 16777216.0 * 2.0 - 1.0;
}

/* Exactly n values, so that sanitizers see one step too far. */
static mtli_real *reals(int64_t n)
{
    mtli_real *p = malloc((size_t)(n ? n : 1) * sizeof *p);
    assert_non_null(p);
    for (int64_t i = 0; i < n; i++)
        p[i] = (mtli_real)uniform();
    return p;
}

typedef struct product {
    int transposed_a, transposed_b, accumulate;
    int64_t m, n, k, lda, ldb, ldc;
    mtli_real *a, *b, *c;
    double *truth;
} product;

static int64_t stored(int64_t rows, int64_t columns, int64_t ld)
{
    return rows > 0 && columns > 0 ? (rows - 1) * ld + columns : 0;
}

static product product_create(int variant, int64_t m, int64_t n, int64_t k, int64_t gap)
{
    product p = {
        variant & 1, variant >> 1 & 1, variant >> 2 & 1, m, n, k, 0, 0, n + gap, NULL, NULL, NULL,
        NULL};
    p.lda = (p.transposed_a ? m : k) + gap;
    p.ldb = (p.transposed_b ? k : n) + gap;
    p.a = reals(p.transposed_a ? stored(k, m, p.lda) : stored(m, k, p.lda));
    p.b = reals(p.transposed_b ? stored(n, k, p.ldb) : stored(k, n, p.ldb));
    p.c = reals(stored(m, n, p.ldc));
    p.truth = malloc((size_t)(stored(m, n, p.ldc) + 1) * sizeof *p.truth);
    assert_non_null(p.truth);
    for (int64_t i = 0; i < stored(m, n, p.ldc); i++)
        p.truth[i] = (double)p.c[i];
    mtli_ref_gemm(p.transposed_a, p.transposed_b, m, n, k, p.a, p.lda, p.b, p.ldb, p.truth, p.ldc,
                  p.accumulate);
    return p;
}

static void product_destroy(product *p)
{
    free(p->a);
    free(p->b);
    free(p->c);
    free(p->truth);
}

/* Multiplies with the rows cut at multiples of `step` into a copy of c. */
static mtli_real *multiply(const mtli_kernels *kernels, const product *p, int64_t step)
{
    int64_t size = stored(p->m, p->n, p->ldc);
    mtli_real *c = reals(size);
    mtli_real *packed = reals(kernels->gemm_packed_size(p->k, p->n));
    memcpy(c, p->c, (size_t)size * sizeof *c);
    kernels->gemm_pack_b(p->transposed_b, p->k, p->n, p->b, p->ldb, packed);
    for (int64_t row = 0; row < p->m; row += step)
        kernels->gemm_packed(p->transposed_a, row, row + step < p->m ? row + step : p->m, p->n,
                             p->k, p->a, p->lda, packed, c, p->ldc, p->accumulate);
    free(packed);
    return c;
}

static void check_product(const mtli_kernels *kernels, int variant, int64_t m, int64_t n, int64_t k)
{
    product p = product_create(variant, m, n, k, variant & 1 ? 0 : 3);
    int64_t size = stored(m, n, p.ldc);
    mtli_real *whole = multiply(kernels, &p, m ? m : 1);
    /* Entries are uniform in [-1, 1], so products have a deviation of 1/3 and partial sums stay
     * near sqrt(k) / 3. k + 1 roundings of at most eps / 2 relative to such a sum add up, with
     * random signs, to eps / 2 * sqrt(k) * sqrt(k) / 3 = eps k / 6; 4 eps (k + 2) leaves a factor
     * of 24. A lost or doubled product is an error of about 1/3. */
    double tolerance = 4 * MTLI_REAL_EPSILON * ((double)k + 2);
    for (int64_t i = 0; i < size; i++) {
        int inside = i % p.ldc < n;
        if (inside && !(fabs((double)whole[i] - p.truth[i]) <= tolerance))
            fail_msg("%s variant %d %dx%dx%d: c[%d] = %.9g, not %.9g", kernels->name, variant,
                     (int)m, (int)n, (int)k, (int)i, (double)whole[i], p.truth[i]);
        if (!inside)
            assert_memory_equal(&whole[i], &p.c[i], sizeof *whole);
    }
    const int64_t steps[] = {1, 2, 5, 7, 64};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        mtli_real *split = multiply(kernels, &p, steps[i]);
        assert_memory_equal(split, whole, (size_t)size * sizeof *split);
        free(split);
    }
    free(whole);
    product_destroy(&p);
}

static void test_sizes(void **state)
{
    static const int64_t sizes[][3] = {
        {0, 0, 0},     {0, 5, 3},     {4, 0, 3},     {3, 4, 0},      {1, 1, 1},
        {1, 17, 1},    {2, 3, 4},     {5, 7, 300},   {6, 64, 16},    {7, 65, 17},
        {13, 33, 255}, {12, 48, 256}, {31, 31, 257}, {3, 600, 20},   {65, 70, 66},
        {1, 530, 70},  {64, 2, 128},  {9, 16, 1000}, {25, 129, 513},
    };
    (void)state;
    for (int level = 0; level < MTLI_LEVEL_COUNT; level++) {
        const mtli_kernels *kernels = mtli_kernels_get(level);
        for (size_t i = 0; kernels && i < sizeof sizes / sizeof *sizes; i++)
            for (int variant = 0; variant < 8; variant++)
                check_product(kernels, variant, sizes[i][0], sizes[i][1], sizes[i][2]);
    }
}

static void test_random_sizes(void **state)
{
    (void)state;
    for (int level = 0; level < MTLI_LEVEL_COUNT; level++) {
        const mtli_kernels *kernels = mtli_kernels_get(level);
        for (int i = 0; kernels && i < 60; i++) {
            int64_t m = (int64_t)(fabs(uniform()) * 40), n = (int64_t)(fabs(uniform()) * 150);
            int64_t k = (int64_t)(fabs(uniform()) * (i % 10 ? 100 : 1500));
            check_product(kernels, i % 8, m, n, k);
        }
    }
}

/* NaN and infinity reach the rows and columns they belong to, and no others: padding must not
 * multiply them. */
static void test_not_finite(void **state)
{
    enum { M = 7, N = 19, K = 5 };
    (void)state;
    for (int level = 0; level < MTLI_LEVEL_COUNT; level++) {
        const mtli_kernels *kernels = mtli_kernels_get(level);
        if (!kernels)
            continue;
        product p = product_create(0, M, N, K, 0);
        p.a[3 * K + 2] = (mtli_real)INFINITY;
        p.b[1 * N + 18] = (mtli_real)NAN;
        mtli_real *c = multiply(kernels, &p, M);
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) {
                assert_true(!isnan(c[i * N + j]) == (j != 18));
                assert_true(!isinf(c[i * N + j]) == !(i == 3 && j != 18));
            }
        free(c);
        product_destroy(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_random_sizes),
        cmocka_unit_test(test_not_finite),
    };
    return cmocka_run_group_tests_name("kernels_gemm", tests, NULL, NULL);
}
