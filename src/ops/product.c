/* SPDX-License-Identifier: Apache-2.0
 * Matrix products for operations. With builtin kernels the bits do not depend on the number of threads. */
#include "ops/product.h"

#include <string.h>

#include "kernels/blas.h"

enum {
    ROWS_PER_PIECE = 64,         /* of C, in parallel work */
    SMALL_PRODUCT = 64 * 64 * 64 /* multiplications below which waking threads does not pay */
};

typedef struct product {
    const mtli_kernels *kernels;
    int64_t m, n, k;
    mtli_matrix a;
    const mtli_real *packed;
    mtli_real *c;
    bool accumulate;
    int64_t rows_per_piece;
} product;

static void multiply_piece(void *argument, int32_t index)
{
    const product *job = argument;
    int64_t begin = index * job->rows_per_piece;
    int64_t end = begin + job->rows_per_piece < job->m ? begin + job->rows_per_piece : job->m;
    job->kernels->gemm_packed(job->a.transposed, begin, end, job->n, job->k, job->a.data, job->a.stride, job->packed,
                              job->c, job->n, job->accumulate);
}

static mtl_status multiply_builtin(const mtli_call *call, product *job, mtli_matrix b)
{
    const mtli_kernels *kernels = job->kernels;
    size_t size = (size_t)kernels->gemm_packed_size(job->k, job->n);
    mtli_real *packed = mtli_tape_scratch(call, size, sizeof packed[0]);
    if (!packed) {
        return mtli_call_context(call)->status;
    }
    kernels->gemm_pack_b(b.transposed, job->k, job->n, b.data, b.stride, packed);
    job->packed = packed;
    bool small = (double)job->m * (double)job->n * (double)job->k < SMALL_PRODUCT;
    job->rows_per_piece = small ? job->m : ROWS_PER_PIECE;
    int64_t pieces = (job->m + job->rows_per_piece - 1) / job->rows_per_piece;
    if (pieces > INT32_MAX) {
        return mtli_fail(mtli_call_context(call), MTL_ERROR_LIMIT, "a product of more than 2^37 rows");
    }
    mtli_parallel_for(mtli_call_context(call), (int32_t)pieces, multiply_piece, job);
    return MTL_OK;
}

mtl_status mtli_product(const mtli_call *call, int64_t m, int64_t n, int64_t k, mtli_matrix a, mtli_matrix b,
                        mtli_real *c, bool accumulate)
{
    if (m == 0 || n == 0) {
        return MTL_OK;
    }
    if (k == 0) {
        if (!accumulate) {
            memset(c, 0, (size_t)(m * n) * sizeof c[0]);
        }
        return MTL_OK;
    }
    if (mtli_call_context(call)->gemm == MTL_GEMM_CBLAS && mtli_blas_fits(m, n, k)) {
        mtli_blas_gemm(a.transposed, b.transposed, m, n, k, a.data, a.stride, b.data, b.stride, c, n, accumulate);
        return MTL_OK;
    }
    product job = {
        .kernels = mtli_call_kernels(call), .m = m, .n = n, .k = k, .a = a, .c = c, .accumulate = accumulate};
    return multiply_builtin(call, &job, b);
}
