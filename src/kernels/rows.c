/* SPDX-License-Identifier: Apache-2.0
 * Softmax, log-sum-exp and layer normalization of one row. */
#include "kernels/rows.h"

#include <math.h>
#include <stddef.h>

#include "kernels/reduce.h"

enum {
    ROW_LANES = 8,  /* partial results, so that the order of addition is fixed and the loop is vectorized */
    ROW_BLOCK = 512 /* elements at a time, where a row needs a temporary */
};

static double add_row_lanes(const double *lane)
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

mtli_real mtli_row_max(int64_t n, const mtli_real *x)
{
    mtli_real lane[ROW_LANES];
    for (int k = 0; k < ROW_LANES; k++) {
        lane[k] = x[0];
    }
    int64_t i = 0;
    for (; i + ROW_LANES <= n; i += ROW_LANES) {
        for (int k = 0; k < ROW_LANES; k++) {
            lane[k] = x[i + k] > lane[k] ? x[i + k] : lane[k];
        }
    }
    mtli_real largest = x[0];
    for (; i < n; i++) {
        largest = x[i] > largest ? x[i] : largest;
    }
    for (int k = 0; k < ROW_LANES; k++) {
        largest = lane[k] > largest ? lane[k] : largest;
    }
    return largest;
}

static void subtract(int64_t n, const mtli_real *x, mtli_real shift, mtli_real *restrict y)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] = x[i] - shift;
    }
}

static double sum_exp(const mtli_kernels *kernels, int64_t n, const mtli_real *x, mtli_real shift)
{
    mtli_real block[ROW_BLOCK];
    double sum = 0;
    for (int64_t begin = 0; begin < n; begin += ROW_BLOCK) {
        int64_t count = n - begin < ROW_BLOCK ? n - begin : ROW_BLOCK;
        subtract(count, x + begin, shift, block);
        kernels->vexp(count, block, block);
        sum += mtli_total(count, block);
    }
    return sum;
}

double mtli_log_sum_exp(const mtli_kernels *kernels, int64_t n, const mtli_real *x)
{
    mtli_real largest = mtli_row_max(n, x);
    return (double)largest + log(sum_exp(kernels, n, x, largest));
}

void mtli_softmax_row(const mtli_kernels *kernels, int64_t n, const mtli_real *x, mtli_real *restrict y)
{
    subtract(n, x, mtli_row_max(n, x), y);
    kernels->vexp(n, y, y);
    mtli_real factor = (mtli_real)(1.0 / mtli_total(n, y));
    for (int64_t i = 0; i < n; i++) {
        y[i] *= factor;
    }
}

void mtli_softmax_row_backward(int64_t n, const mtli_real *y, const mtli_real *dy, mtli_real *restrict dx,
                               bool accumulate)
{
    mtli_real mean = (mtli_real)mtli_dot(n, y, dy);
    if (accumulate) {
        for (int64_t i = 0; i < n; i++) {
            dx[i] += y[i] * (dy[i] - mean);
        }
    } else {
        for (int64_t i = 0; i < n; i++) {
            dx[i] = y[i] * (dy[i] - mean);
        }
    }
}

void mtli_log_softmax_row(const mtli_kernels *kernels, int64_t n, const mtli_real *x, mtli_real *restrict y)
{
    mtli_real largest = mtli_row_max(n, x);
    mtli_real log_sum = (mtli_real)log(sum_exp(kernels, n, x, largest));
    for (int64_t i = 0; i < n; i++) {
        y[i] = x[i] - largest - log_sum;
    }
}

void mtli_log_softmax_row_backward(const mtli_kernels *kernels, int64_t n, const mtli_real *y, const mtli_real *dy,
                                   mtli_real *restrict dx, bool accumulate)
{
    mtli_real block[ROW_BLOCK];
    mtli_real sum = (mtli_real)mtli_total(n, dy);
    for (int64_t begin = 0; begin < n; begin += ROW_BLOCK) {
        int64_t count = n - begin < ROW_BLOCK ? n - begin : ROW_BLOCK;
        kernels->vexp(count, y + begin, block);
        for (int64_t i = 0; i < count; i++) {
            mtli_real value = dy[begin + i] - sum * block[i];
            dx[begin + i] = accumulate ? dx[begin + i] + value : value;
        }
    }
}

void mtli_cross_entropy_row(const mtli_kernels *kernels, int64_t n, const mtli_real *x, double shift, double a,
                            double b, const mtli_real *w, mtli_real *restrict dx, bool accumulate)
{
    mtli_real block[ROW_BLOCK];
    mtli_real factor = (mtli_real)a;
    mtli_real part = (mtli_real)b;
    for (int64_t begin = 0; begin < n; begin += ROW_BLOCK) {
        int64_t count = n - begin < ROW_BLOCK ? n - begin : ROW_BLOCK;
        for (int64_t i = 0; i < count; i++) {
            block[i] = (mtli_real)((double)x[begin + i] - shift);
        }
        kernels->vexp(count, block, block);
        for (int64_t i = 0; i < count; i++) {
            mtli_real value = factor * block[i] - (w ? part * w[begin + i] : part);
            dx[begin + i] = accumulate ? dx[begin + i] + value : value;
        }
    }
}

static double sum_squares_about(int64_t n, const mtli_real *x, double mean)
{
    double lane[ROW_LANES] = {0};
    int64_t i = 0;
    for (; i + ROW_LANES <= n; i += ROW_LANES) {
        for (int k = 0; k < ROW_LANES; k++) {
            double difference = (double)x[i + k] - mean;
            lane[k] += difference * difference;
        }
    }
    for (int k = 0; i + k < n; k++) {
        double difference = (double)x[i + k] - mean;
        lane[k] += difference * difference;
    }
    return add_row_lanes(lane);
}

void mtli_layer_norm_row(int64_t n, const mtli_real *x, const mtli_real *gain, const mtli_real *bias, double epsilon,
                         mtli_real *restrict y, mtli_real *mean, mtli_real *rstd)
{
    double center = mtli_total(n, x) / (double)n;
    double variance = sum_squares_about(n, x, center) / (double)n;
    mtli_real shift = (mtli_real)center;
    mtli_real factor = (mtli_real)(1.0 / sqrt(variance + epsilon));
    *mean = shift;
    *rstd = factor;
    for (int64_t i = 0; i < n; i++) {
        mtli_real normalized = (x[i] - shift) * factor;
        y[i] = (gain ? normalized * gain[i] : normalized) + (bias ? bias[i] : 0);
    }
}

/* g = dy gain, and the normalized x, of up to ROW_BLOCK elements. */
static void layer_norm_block(int64_t n, const mtli_real *x, const mtli_real *gain, mtli_real mean, mtli_real rstd,
                             const mtli_real *dy, mtli_real *restrict g, mtli_real *restrict normalized)
{
    for (int64_t i = 0; i < n; i++) {
        g[i] = gain ? dy[i] * gain[i] : dy[i];
        normalized[i] = (x[i] - mean) * rstd;
    }
}

void mtli_layer_norm_row_backward(int64_t n, const mtli_real *x, const mtli_real *gain, mtli_real mean, mtli_real rstd,
                                  const mtli_real *dy, mtli_real *restrict dx, bool accumulate)
{
    mtli_real g[ROW_BLOCK];
    mtli_real normalized[ROW_BLOCK];
    double sum = 0;
    double projected_sum = 0;
    for (int64_t begin = 0; begin < n; begin += ROW_BLOCK) {
        int64_t count = n - begin < ROW_BLOCK ? n - begin : ROW_BLOCK;
        layer_norm_block(count, x + begin, gain ? gain + begin : NULL, mean, rstd, dy + begin, g, normalized);
        sum += mtli_total(count, g);
        projected_sum += mtli_dot(count, g, normalized);
    }
    mtli_real plain = (mtli_real)(sum / (double)n);
    mtli_real projected = (mtli_real)(projected_sum / (double)n);
    for (int64_t begin = 0; begin < n; begin += ROW_BLOCK) {
        int64_t count = n - begin < ROW_BLOCK ? n - begin : ROW_BLOCK;
        layer_norm_block(count, x + begin, gain ? gain + begin : NULL, mean, rstd, dy + begin, g, normalized);
        for (int64_t i = 0; i < count; i++) {
            mtli_real value = rstd * (g[i] - plain - normalized[i] * projected);
            dx[begin + i] = accumulate ? dx[begin + i] + value : value;
        }
    }
}
