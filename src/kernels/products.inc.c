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

static double sum_of_lanes(v_real sums)
{
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
    return sum_of_lanes((chain[0] + chain[1]) + (chain[2] + chain[3]));
}

/* ---- all pairs ---- */

/* Vectors of a tile on either side: their products with one another must fit the registers beside those of one side. */
#if MTLI_ROWS == 6
#define PAIRS_SIDE 4
#define PAIRS_FULL(name, call) \
    case 4: \
        MTLI_CASE(name, 4, call)
#else
#define PAIRS_SIDE 3
#define PAIRS_FULL(name, call)
#endif

/* Calls the statement with the constant `name` equal to value. */
#define PAIRS_BY(name, value, call) \
    switch (value) { \
        PAIRS_FULL(name, call) \
    case 3: \
        MTLI_CASE(name, 3, call) \
    case 2: \
        MTLI_CASE(name, 2, call) \
    default: \
        MTLI_CASE(name, 1, call) \
    }

static int64_t pairs_groups(int64_t count)
{
    return (count + PAIRS_SIDE - 1) / PAIRS_SIDE;
}

static int64_t pairs_size(int64_t count)
{
    int64_t groups = pairs_groups(count);
    return groups * (groups + 1) / 2 * PAIRS_SIDE * PAIRS_SIDE * MTLI_LANES;
}

/* Where the sums of the pair number k of tile number `tile` lie. */
static int64_t pairs_at(int64_t tile, int k)
{
    return (tile * PAIRS_SIDE * PAIRS_SIDE + k) * MTLI_LANES;
}

MTLI_INLINE void pairs_tile(const int m, const int columns, int64_t n, const double *x, const double *y,
                            double *partial)
{
    v_real acc[PAIRS_SIDE][PAIRS_SIDE];
    MTLI_UNROLL(4)
    for (int i = 0; i < m; i++) {
        MTLI_UNROLL(4)
        for (int j = 0; j < columns; j++) {
            acc[i][j] = v_load(partial + pairs_at(0, i * PAIRS_SIDE + j));
        }
    }
    int64_t k = 0;
    for (; k + MTLI_LANES <= n; k += MTLI_LANES) {
        v_real right[PAIRS_SIDE];
        MTLI_UNROLL(4)
        for (int j = 0; j < columns; j++) {
            right[j] = v_load(y + j * n + k);
        }
        MTLI_UNROLL(4)
        for (int i = 0; i < m; i++) {
            v_real left = v_load(x + i * n + k);
            MTLI_UNROLL(4)
            for (int j = 0; j < columns; j++) {
                acc[i][j] = v_fma(left, right[j], acc[i][j]);
            }
        }
    }
    MTLI_UNROLL(4)
    for (int i = 0; i < m; i++) {
        MTLI_UNROLL(4)
        for (int j = 0; j < columns; j++) {
            if (k < n) {
                acc[i][j] = v_fma(v_load_first(x + i * n + k, n - k), v_load_first(y + j * n + k, n - k), acc[i][j]);
            }
            v_store(partial + pairs_at(0, i * PAIRS_SIDE + j), acc[i][j]);
        }
    }
}

static int pairs_in_group(int64_t count, int64_t first)
{
    return count - first < PAIRS_SIDE ? (int)(count - first) : PAIRS_SIDE;
}

static void pairs_add(int64_t count, int64_t n, const double *x, double *partial)
{
    for (int64_t i = 0; i < count; i += PAIRS_SIDE) {
        for (int64_t j = i; j < count; j += PAIRS_SIDE, partial += pairs_at(1, 0)) {
            int m = pairs_in_group(count, i);
            int columns = pairs_in_group(count, j);
            PAIRS_BY(V, columns, PAIRS_BY(M, m, pairs_tile(M, V, n, x + i * n, x + j * n, partial)))
        }
    }
}

static void pairs_read(int64_t count, const double *partial, double *g)
{
    for (int64_t i = 0; i < count; i += PAIRS_SIDE) {
        for (int64_t j = i; j < count; j += PAIRS_SIDE, partial += pairs_at(1, 0)) {
            for (int k = 0; k < PAIRS_SIDE * PAIRS_SIDE; k++) {
                int64_t row = i + k / PAIRS_SIDE;
                int64_t column = j + k % PAIRS_SIDE;
                if (row <= column && column < count) {
                    g[row * count + column] = sum_of_lanes(v_load(partial + pairs_at(0, k)));
                }
            }
        }
    }
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
        .pairs_size = pairs_size,
        .pairs_add = pairs_add,
        .pairs_read = pairs_read,
    };
    _Static_assert(MTLI_PRODUCTS_ALIGNED % MTLI_PANEL == 0, "a block of columns begins a panel");
    return &table;
}
