/* SPDX-License-Identifier: Apache-2.0
 * The vector functions of every level beside libm in double: error over a dense sweep, and the
 * special values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/float_mode.h"
#include "kernels/kernels.h"
#include "kernels/reference.h"

#include <float.h>
#include <math.h>
#include <string.h>

typedef void (*array_function)(int64_t, const mtli_real *, mtli_real *);

typedef struct function_case {
    const char *name;
    double (*truth)(double);
    double max_ulp; /* as kernels.h promises */
    int flushes;    /* a result below the least normal number may be 0 */
    double at_plus_infinity, at_minus_infinity;
} function_case;

static const function_case cases[4] = {
    {"exp", exp, 2.0, 0, HUGE_VAL, 0.0},
    {"tanh", tanh, 3.0, 0, 1.0, -1.0},
    {"sigmoid", mtli_ref_sigmoid, 3.0, 1, 1.0, 0.0},
    {"erf", erf, 3.0, 0, 1.0, -1.0},
};

static array_function function_of(const mtli_kernels *kernels, int i)
{
    array_function functions[4] = {kernels->vexp, kernels->vtanh, kernels->vsigmoid, kernels->verf};
    return functions[i];
}

#ifdef MTLI_DOUBLE
#define LEAST_NORMAL DBL_MIN
#define FRACTION_BITS 52
#define LEAST_EXPONENT (-1022)
#else
#define LEAST_NORMAL FLT_MIN
#define FRACTION_BITS 23
#define LEAST_EXPONENT (-126)
#endif

/* The error in units of the last place of the truth; the spacing of denormals below the least
 * normal number. */
static double ulp_error(double got, double truth)
{
    int exponent;
    if (got == truth || (isnan(got) && isnan(truth)))
        return 0.0;
    if (isinf((double)(mtli_real)truth) && isinf(got) && (got > 0) == (truth > 0))
        return 0.0;
    if (!isfinite(truth) || !isfinite(got))
        return HUGE_VAL;
    frexp(truth, &exponent);
    exponent = exponent - 1 < LEAST_EXPONENT ? LEAST_EXPONENT : exponent - 1;
    return fabs(got - truth) / ldexp(1.0, exponent - FRACTION_BITS);
}

enum { BLOCK = 4096 };

/* The largest error over all floats whose bits are a multiple of `stride`, both signs, NaN and
 * infinity included. */
static double sweep(array_function f, const function_case *c, uint32_t stride, double *worst)
{
    static mtli_real x[BLOCK], y[BLOCK];
    double largest = 0.0;
    uint64_t bits = 0;
    while (bits <= UINT32_MAX) {
        int n = 0;
        for (; n < BLOCK && bits <= UINT32_MAX; n++, bits += stride) {
            uint32_t low = (uint32_t)bits;
            float value;
            memcpy(&value, &low, sizeof value);
            x[n] = (mtli_real)value;
        }
        f(n, x, y);
        for (int i = 0; i < n; i++) {
            double truth = c->truth((double)x[i]);
            double error = ulp_error((double)y[i], truth);
            if (c->flushes && y[i] == 0 && fabs(truth) < (double)LEAST_NORMAL)
                error = 0.0;
            if (!(error <= largest)) {
                largest = error;
                *worst = (double)x[i];
            }
        }
    }
    return largest;
}

static void test_errors(void **state)
{
    (void)state;
    for (int level = 0; level < MTLI_LEVEL_COUNT; level++) {
        const mtli_kernels *kernels = mtli_kernels_get(level);
        for (int i = 0; kernels && i < 4; i++) {
            double worst = 0;
            double error = sweep(function_of(kernels, i), &cases[i], 499, &worst);
            print_message("%s %s: %.3f ulp at %.9g\n", kernels->name, cases[i].name, error, worst);
            assert_true(error <= cases[i].max_ulp);
        }
    }
}

static void test_special_values(void **state)
{
    (void)state;
    for (int level = 0; level < MTLI_LEVEL_COUNT; level++) {
        const mtli_kernels *kernels = mtli_kernels_get(level);
        for (int i = 0; kernels && i < 4; i++) {
            const mtli_real x[5] = {(mtli_real)INFINITY, (mtli_real)-INFINITY, (mtli_real)NAN, 0,
                                    (mtli_real)-0.0};
            mtli_real y[5];
            function_of(kernels, i)(5, x, y);
            assert_true(y[0] == (mtli_real)cases[i].at_plus_infinity);
            assert_true(y[1] == (mtli_real)cases[i].at_minus_infinity);
            assert_true(isnan(y[2]));
            assert_true(y[3] == (mtli_real)cases[i].truth(0.0));
            assert_true(!signbit(y[4]) == !signbit(cases[i].truth(-0.0)));
        }
    }
}

/* An element's value does not depend on its place, nor on what else is in the array; nothing beyond
 * n is written. */
static void test_place(void **state)
{
    enum { N = 67 };
    (void)state;
    for (int level = 0; level < MTLI_LEVEL_COUNT; level++) {
        const mtli_kernels *kernels = mtli_kernels_get(level);
        for (int i = 0; kernels && i < 4; i++) {
            mtli_real x[N], all[N + 1], one;
            for (int j = 0; j < N; j++)
                x[j] = (mtli_real)(0.37 * (j - 33));
            for (int n = 0; n <= N; n++) {
                all[n] = 42;
                function_of(kernels, i)(n, x, all);
                assert_true(all[n] == 42);
                for (int j = 0; j < n; j++) {
                    function_of(kernels, i)(1, x + j, &one);
                    assert_memory_equal(&one, &all[j], sizeof one);
                }
            }
            memcpy(all, x, sizeof x);
            function_of(kernels, i)(N, all, all);
            function_of(kernels, i)(1, x + 5, &one);
            assert_memory_equal(&one, &all[5], sizeof one);
        }
    }
}

static void test_float_mode(void **state)
{
    (void)state;
    volatile float tiny = FLT_MIN, half = 0.5f;
    uint64_t mode = mtli_float_mode_enter();
    float inside = tiny * half;
    mtli_float_mode_leave(mode);
    float outside = tiny * half;
    assert_true(outside > 0.0f);
#if !defined(MTLI_DOUBLE) && (defined(__SSE2__) || defined(__aarch64__))
    assert_true(inside == 0.0f);
#else
    assert_true(inside > 0.0f);
#endif
}

static void test_levels(void **state)
{
    (void)state;
    int best = mtli_kernels_best_level();
    assert_non_null(mtli_kernels_get(MTLI_LEVEL_BASELINE));
    assert_null(mtli_kernels_get(-1));
    assert_null(mtli_kernels_get(best + 1));
    for (int level = 0; level <= best; level++)
        if (mtli_kernels_get(level))
            assert_int_equal(mtli_kernels_get(level)->level, level);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),         cmocka_unit_test(test_errors),
        cmocka_unit_test(test_special_values), cmocka_unit_test(test_place),
        cmocka_unit_test(test_float_mode),
    };
    return cmocka_run_group_tests_name("kernels_math", tests, NULL, NULL);
}
