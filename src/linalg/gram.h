/* SPDX-License-Identifier: Apache-2.0
 * Gram matrices: the small matrix of inner products that decides instead of a tall one. Sums are in double, in chunks
 * of a fixed length added in order, so that the bits do not depend on the number of threads. */
#ifndef MTLI_LINALG_GRAM_H
#define MTLI_LINALG_GRAM_H

#include <stdint.h>

#include "base/context.h"
#include "base/real.h"

/** g[i, j] = <x_i, x_j> for `count` vectors of n values each. */
void mtli_gram_vectors(mtl_context *context, int32_t count, int64_t n, const mtli_real *const *x, double *g);
void mtli_gram_vectors_double(int32_t count, int64_t n, const double *const *x, double *g);

/** Of a row-major matrix a [rows, columns]: g [columns, columns] = aᵀ a (of_columns), or g [rows, rows] = a aᵀ. */
void mtli_gram_matrix(mtl_context *context, bool of_columns, int64_t rows, int64_t columns, const mtli_real *a,
                      double *g);

#endif
