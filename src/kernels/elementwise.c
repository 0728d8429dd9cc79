/* SPDX-License-Identifier: Apache-2.0
 * Arithmetic and activations on arrays. */
#include "kernels/elementwise.h"

enum { GELU_BLOCK = 256 }; /* elements at a time, in the first-level cache */

#define GELU_SQRT_HALF ((mtli_real)0.70710678118654752440) /* 1 / √2 */
#define GELU_DENSITY ((mtli_real)0.39894228040143267794)   /* 1 / √(2π) */

/* for all i: y[i] = expression, or y[i] += expression */
#define SET_EACH(n, y, accumulate, expression) \
    do { \
        if (accumulate) { \
            for (int64_t i = 0; i < (n); i++) { \
                (y)[i] += (expression); \
            } \
        } else { \
            for (int64_t i = 0; i < (n); i++) { \
                (y)[i] = (expression); \
            } \
        } \
    } while (0)

void mtli_fill(int64_t n, mtli_real value, mtli_real *y)
{
    mtli_set_value(n, value, y, false);
}

void mtli_set_value(int64_t n, mtli_real value, mtli_real *y, bool accumulate)
{
    SET_EACH(n, y, accumulate, value);
}

void mtli_set_scaled(int64_t n, mtli_real factor, const mtli_real *x, mtli_real *restrict y, bool accumulate)
{
    SET_EACH(n, y, accumulate, factor * x[i]);
}

void mtli_add_arrays(int64_t n, const mtli_real *a, const mtli_real *b, mtli_real *restrict y)
{
    SET_EACH(n, y, false, a[i] + b[i]);
}

void mtli_add_value(int64_t n, const mtli_real *a, mtli_real value, mtli_real *restrict y)
{
    SET_EACH(n, y, false, a[i] + value);
}

void mtli_set_product(int64_t n, const mtli_real *a, const mtli_real *b, mtli_real *restrict y, bool accumulate)
{
    SET_EACH(n, y, accumulate, a[i] * b[i]);
}

void mtli_relu(int64_t n, const mtli_real *x, mtli_real *restrict y)
{
    SET_EACH(n, y, false, x[i] <= 0 ? 0 : x[i]);
}

void mtli_relu_backward(int64_t n, const mtli_real *y, const mtli_real *dy, mtli_real *restrict dx, bool accumulate)
{
    SET_EACH(n, dx, accumulate, y[i] <= 0 ? 0 : dy[i]);
}

void mtli_tanh_backward(int64_t n, const mtli_real *y, const mtli_real *dy, mtli_real *restrict dx, bool accumulate)
{
    SET_EACH(n, dx, accumulate, dy[i] * (1 - y[i] * y[i]));
}

void mtli_sigmoid_backward(int64_t n, const mtli_real *y, const mtli_real *dy, mtli_real *restrict dx, bool accumulate)
{
    SET_EACH(n, dx, accumulate, dy[i] * (y[i] * (1 - y[i])));
}

/* cdf[i] = Φ(x[i]) */
static void normal_cdf(const mtli_kernels *kernels, int64_t n, const mtli_real *x, mtli_real *cdf)
{
    for (int64_t i = 0; i < n; i++) {
        cdf[i] = GELU_SQRT_HALF * x[i];
    }
    kernels->verf(n, cdf, cdf);
    for (int64_t i = 0; i < n; i++) {
        cdf[i] = (mtli_real)0.5 * (1 + cdf[i]);
    }
}

void mtli_gelu(const mtli_kernels *kernels, int64_t n, const mtli_real *x, mtli_real *restrict y)
{
    mtli_real cdf[GELU_BLOCK] = {0};
    for (int64_t begin = 0; begin < n; begin += GELU_BLOCK) {
        int64_t count = n - begin < GELU_BLOCK ? n - begin : GELU_BLOCK;
        normal_cdf(kernels, count, x + begin, cdf);
        mtli_set_product(count, x + begin, cdf, y + begin, false);
    }
}

static void gelu_backward_block(const mtli_kernels *kernels, int64_t n, const mtli_real *x, const mtli_real *dy,
                                mtli_real *restrict dx, bool accumulate)
{
    mtli_real cdf[GELU_BLOCK] = {0};
    mtli_real density[GELU_BLOCK];
    normal_cdf(kernels, n, x, cdf);
    for (int64_t i = 0; i < n; i++) {
        density[i] = (mtli_real)-0.5 * x[i] * x[i];
    }
    kernels->vexp(n, density, density);
    SET_EACH(n, dx, accumulate, dy[i] * (cdf[i] + GELU_DENSITY * x[i] * density[i]));
}

void mtli_gelu_backward(const mtli_kernels *kernels, int64_t n, const mtli_real *x, const mtli_real *dy,
                        mtli_real *restrict dx, bool accumulate)
{
    for (int64_t begin = 0; begin < n; begin += GELU_BLOCK) {
        int64_t count = n - begin < GELU_BLOCK ? n - begin : GELU_BLOCK;
        gelu_backward_block(kernels, count, x + begin, dy + begin, dx + begin, accumulate);
    }
}
