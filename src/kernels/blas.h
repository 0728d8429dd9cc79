/* SPDX-License-Identifier: Apache-2.0
 * The one place where CBLAS is called. */
#ifndef MTLI_KERNELS_BLAS_H
#define MTLI_KERNELS_BLAS_H

#include <stdbool.h>

#include "base/real.h"

/** Whether CBLAS's int can hold these sizes. */
bool mtli_blas_fits(int64_t m, int64_t n, int64_t k);

/** C[m, n] (+)= op(A) op(B), row-major: the contract of gemm_packed in kernels.h. Sizes fit and are not 0. */
void mtli_blas_gemm(bool transposed_a, bool transposed_b, int64_t m, int64_t n, int64_t k, const mtli_real *a,
                    int64_t lda, const mtli_real *b, int64_t ldb, mtli_real *c, int64_t ldc, bool accumulate);

#endif
