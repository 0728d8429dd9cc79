/* SPDX-License-Identifier: Apache-2.0
 * Compiles the product kernels for double, whatever the library's real type; included once by each products_*.c file.
 * */
#ifdef MTLI_DOUBLE
#define MTLI_PRODUCTS_REAL double
#else
#define MTLI_PRODUCTS_REAL float
#define MTLI_DOUBLE /* from here on mtli_real is double */
#endif
#include "kernels/products.h"
#include "kernels/simd.h"

#include "kernels/tile.inc.c"

#include "kernels/gemm.inc.c"

static void array_widen(int64_t n, const mtli_narrow *restrict x, double *restrict y)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] = (double)x[i];
    }
}

static void array_narrow(int64_t n, const double *restrict x, mtli_narrow *restrict y)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] = (mtli_narrow)x[i];
    }
}

/* Four chains of vectors, so that an addition need not wait for the last one. */
static double array_dot(int64_t n, const double *x, const double *y)
{
    v_real chain[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
    int64_t i = 0;
    for (; i + 4 * MTLI_LANES <= n; i += 4 * MTLI_LANES) {
        MTLI_UNROLL(4)
        for (int k = 0; k < 4; k++) {
            chain[k] = v_fma(v_load(x + i + k * MTLI_LANES), v_load(y + i + k * MTLI_LANES), chain[k]);
        }
    }
    for (; i < n; i += MTLI_LANES) {
        chain[0] = v_fma(v_load_first(x + i, n - i), v_load_first(y + i, n - i), chain[0]);
    }
    v_real sums = (chain[0] + chain[1]) + (chain[2] + chain[3]);
    double lane[MTLI_LANES];
    memcpy(lane, &sums, sizeof lane);
    for (int half = MTLI_LANES / 2; half > 0; half /= 2) {
        MTLI_UNROLL(4)
        for (int k = 0; k < half; k++) {
            lane[k] += lane[k + half];
        }
    }
    return lane[0];
}

const mtli_products *MTLI_PRODUCTS_GET(void)
{
    static const mtli_products table = {
        .packed_size = gemm_packed_size,
        .pack_b = gemm_pack_b,
        .multiply = gemm_packed,
        .widen = array_widen,
        .narrow = array_narrow,
        .dot = array_dot,
    };
    _Static_assert(MTLI_PRODUCTS_ALIGNED % MTLI_PANEL == 0, "a block of columns begins a panel");
    return &table;
}
