/* SPDX-License-Identifier: Apache-2.0
 * Loops over arrays that the compiler vectorizes: arithmetic, activations and their derivatives. `accumulate` adds to
 * the output instead of overwriting it. Outputs do not overlap inputs. */
#ifndef MTLI_KERNELS_ELEMENTWISE_H
#define MTLI_KERNELS_ELEMENTWISE_H

#include <stdbool.h>

#include "kernels/kernels.h"

/** y[i] = value. */
void mtli_fill(int64_t n, mtli_real value, mtli_real *y);

/** y[i] (+)= value. */
void mtli_set_value(int64_t n, mtli_real value, mtli_real *y, bool accumulate);

/** y[i] (+)= factor x[i]. */
void mtli_set_scaled(int64_t n, mtli_real factor, const mtli_real *x, mtli_real *y, bool accumulate);

/** y[i] = a[i] + b[i]; y[i] = a[i] + value. */
void mtli_add_arrays(int64_t n, const mtli_real *a, const mtli_real *b, mtli_real *y);
void mtli_add_value(int64_t n, const mtli_real *a, mtli_real value, mtli_real *y);

/** y[i] (+)= a[i] b[i]; a may be b. */
void mtli_set_product(int64_t n, const mtli_real *a, const mtli_real *b, mtli_real *y, bool accumulate);

/** max(0, x); NaN stays NaN. */
void mtli_relu(int64_t n, const mtli_real *x, mtli_real *y);

/** dx[i] (+)= dy[i] f'(.), from the result y. */
void mtli_relu_backward(int64_t n, const mtli_real *y, const mtli_real *dy, mtli_real *dx, bool accumulate);
void mtli_tanh_backward(int64_t n, const mtli_real *y, const mtli_real *dy, mtli_real *dx, bool accumulate);
void mtli_sigmoid_backward(int64_t n, const mtli_real *y, const mtli_real *dy, mtli_real *dx, bool accumulate);

/** x Φ(x), and its derivative from the argument x. */
void mtli_gelu(const mtli_kernels *kernels, int64_t n, const mtli_real *x, mtli_real *y);
void mtli_gelu_backward(const mtli_kernels *kernels, int64_t n, const mtli_real *x, const mtli_real *dy, mtli_real *dx,
                        bool accumulate);

#endif
