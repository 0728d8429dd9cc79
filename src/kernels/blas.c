/* SPDX-License-Identifier: Apache-2.0
 * The one place where CBLAS is called. */
#include "kernels/blas.h"

#include <limits.h>

#include <cblas.h>

#ifdef MTLI_DOUBLE
#define GEMM cblas_dgemm
#else
#define GEMM cblas_sgemm
#endif

bool mtli_blas_fits(int64_t m, int64_t n, int64_t k)
{
    return m <= INT_MAX && n <= INT_MAX && k <= INT_MAX;
}

void mtli_blas_gemm(bool transposed_a, bool transposed_b, int64_t m, int64_t n, int64_t k, const mtli_real *a,
                    int64_t lda, const mtli_real *b, int64_t ldb, mtli_real *c, int64_t ldc, bool accumulate)
{
    GEMM(CblasRowMajor, transposed_a ? CblasTrans : CblasNoTrans, transposed_b ? CblasTrans : CblasNoTrans, (int)m,
         (int)n, (int)k, 1, a, (int)lda, b, (int)ldb, accumulate ? 1 : 0, c, (int)ldc);
}
