/* SPDX-License-Identifier: Apache-2.0
 * Column sums in double, a block of columns at a time. */
#include "kernels/columns.h"

static int64_t block_end(int64_t begin, int64_t end)
{
    return end - begin < MTLI_COLUMN_BLOCK ? end : begin + MTLI_COLUMN_BLOCK;
}

static void add_block(int64_t n, const double *sums, mtli_real *out)
{
    for (int64_t j = 0; j < n; j++) {
        out[j] = (mtli_real)((double)out[j] + sums[j]);
    }
}

void mtli_add_column_sums(int64_t rows, int64_t stride, int64_t begin, int64_t end, const mtli_real *x, mtli_real *out)
{
    for (; begin < end; begin = block_end(begin, end)) {
        double sums[MTLI_COLUMN_BLOCK] = {0};
        int64_t n = block_end(begin, end) - begin;
        for (int64_t r = 0; r < rows; r++) {
            const mtli_real *row = x + r * stride + begin;
            for (int64_t j = 0; j < n; j++) {
                sums[j] += (double)row[j];
            }
        }
        add_block(n, sums, out + begin);
    }
}

void mtli_add_column_dots(int64_t rows, int64_t stride, int64_t begin, int64_t end, const mtli_real *x,
                          const mtli_real *y, mtli_real *out)
{
    for (; begin < end; begin = block_end(begin, end)) {
        double sums[MTLI_COLUMN_BLOCK] = {0};
        int64_t n = block_end(begin, end) - begin;
        for (int64_t r = 0; r < rows; r++) {
            const mtli_real *left = x + r * stride + begin;
            const mtli_real *right = y + r * stride + begin;
            for (int64_t j = 0; j < n; j++) {
                sums[j] += (double)left[j] * (double)right[j];
            }
        }
        add_block(n, sums, out + begin);
    }
}

void mtli_add_column_normalized(int64_t rows, int64_t stride, int64_t begin, int64_t end, const mtli_real *x,
                                const mtli_real *mean, const mtli_real *rstd, const mtli_real *dy, mtli_real *out)
{
    for (; begin < end; begin = block_end(begin, end)) {
        double sums[MTLI_COLUMN_BLOCK] = {0};
        int64_t n = block_end(begin, end) - begin;
        for (int64_t r = 0; r < rows; r++) {
            const mtli_real *row = x + r * stride + begin;
            const mtli_real *gradient = dy + r * stride + begin;
            for (int64_t j = 0; j < n; j++) {
                sums[j] += (double)gradient[j] * (double)((row[j] - mean[r]) * rstd[r]);
            }
        }
        add_block(n, sums, out + begin);
    }
}
