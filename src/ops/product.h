/* SPDX-License-Identifier: Apache-2.0
 * Matrix products for operations: chooses between builtin kernels and CBLAS, and splits rows over threads. */
#ifndef MTLI_OPS_PRODUCT_H
#define MTLI_OPS_PRODUCT_H

#include "autograd/op.h"

/** A stored matrix: rows of `stride` values; transposed: op(X) is the stored matrix turned. */
typedef struct mtli_matrix {
    const mtli_real *data;
    int64_t stride;
    bool transposed;
} mtli_matrix;

/** C[m, n] (+)= op(A)[m, k] op(B)[k, n]; C has rows of n values. Takes scratch of the tape. */
mtl_status mtli_product(const mtli_call *call, int64_t m, int64_t n, int64_t k, mtli_matrix a, mtli_matrix b,
                        mtli_real *c, bool accumulate);

#endif
