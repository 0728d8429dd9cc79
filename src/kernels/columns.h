/* SPDX-License-Identifier: Apache-2.0
 * Sums down the columns of a matrix, in double: gradients of what was repeated over rows. Disjoint ranges of columns
 * may be done by different threads; the order of addition does not depend on the range. */
#ifndef MTLI_KERNELS_COLUMNS_H
#define MTLI_KERNELS_COLUMNS_H

#include "base/real.h"

enum { MTLI_COLUMN_BLOCK = 64 };

/** out[j] += Σ_r x[r, j] for begin <= j < end; rows of `stride` values. */
void mtli_add_column_sums(int64_t rows, int64_t stride, int64_t begin, int64_t end, const mtli_real *x, mtli_real *out);

/** out[j] += Σ_r x[r, j] y[r, j]. */
void mtli_add_column_dots(int64_t rows, int64_t stride, int64_t begin, int64_t end, const mtli_real *x,
                          const mtli_real *y, mtli_real *out);

/** out[j] += Σ_r dy[r, j] (x[r, j] - mean[r]) rstd[r]: the gradient of layer normalization's gain. */
void mtli_add_column_normalized(int64_t rows, int64_t stride, int64_t begin, int64_t end, const mtli_real *x,
                                const mtli_real *mean, const mtli_real *rstd, const mtli_real *dy, mtli_real *out);

#endif
