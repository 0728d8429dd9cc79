/* SPDX-License-Identifier: Apache-2.0
 * Functions of one row: softmax, log-sum-exp, layer normalization, with their derivatives. Sums are in double. */
#ifndef MTLI_KERNELS_ROWS_H
#define MTLI_KERNELS_ROWS_H

#include <stdbool.h>

#include "kernels/kernels.h"

/** The largest of n >= 1 values; where one is NaN, any value. */
mtli_real mtli_row_max(int64_t n, const mtli_real *x);

/** log Σ exp(x[i]) of n >= 1 values, without overflow. */
double mtli_log_sum_exp(const mtli_kernels *kernels, int64_t n, const mtli_real *x);

/** y = softmax(x), n >= 1. */
void mtli_softmax_row(const mtli_kernels *kernels, int64_t n, const mtli_real *x, mtli_real *y);

/** dx (+)= y (dy - Σ dy y). */
void mtli_softmax_row_backward(int64_t n, const mtli_real *y, const mtli_real *dy, mtli_real *dx, bool accumulate);

/** y = x - log Σ exp(x), n >= 1. */
void mtli_log_softmax_row(const mtli_kernels *kernels, int64_t n, const mtli_real *x, mtli_real *y);

/** dx (+)= dy - exp(y) Σ dy. */
void mtli_log_softmax_row_backward(const mtli_kernels *kernels, int64_t n, const mtli_real *y, const mtli_real *dy,
                                   mtli_real *dx, bool accumulate);

/** dx[i] (+)= a exp(x[i] - shift) - b w[i]; w NULL: ones. The gradient of cross-entropy less the label's own term. */
void mtli_cross_entropy_row(const mtli_kernels *kernels, int64_t n, const mtli_real *x, double shift, double a,
                            double b, const mtli_real *w, mtli_real *dx, bool accumulate);

/** y = gain (x - mean) / √(var + epsilon) + bias, n >= 1; gain and bias may be NULL; *mean and *rstd are outputs. */
void mtli_layer_norm_row(int64_t n, const mtli_real *x, const mtli_real *gain, const mtli_real *bias, double epsilon,
                         mtli_real *y, mtli_real *mean, mtli_real *rstd);

/** dx (+)= the gradient of the above with respect to x. */
void mtli_layer_norm_row_backward(int64_t n, const mtli_real *x, const mtli_real *gain, mtli_real mean, mtli_real rstd,
                                  const mtli_real *dy, mtli_real *dx, bool accumulate);

#endif
