/* SPDX-License-Identifier: Apache-2.0
 * Symmetric products, in blocks of rows that write their own mirror image. */
#include "linalg/dense.h"

#include "linalg/sheet.h"

enum {
    DENSE_BLOCK = MTLI_PRODUCTS_ALIGNED, /* rows; the columns from there on begin a panel */
    DENSE_ALONE = 128                    /* up to here a product takes 25 microseconds, less than waking a thread */
};

typedef struct dense_job {
    const mtli_products *products;
    int64_t n;
    bool transposed_a;
    const double *a;
    const double *packed;
    double *c;
} dense_job;

size_t mtli_dense_work(int64_t n)
{
    return (size_t)n * (size_t)(n + MTLI_PRODUCTS_ALIGNED);
}

static void dense_block(void *argument, int32_t index)
{
    const dense_job *job = argument;
    int64_t n = job->n;
    int64_t begin = (int64_t)index * DENSE_BLOCK;
    int64_t end = begin + DENSE_BLOCK < n ? begin + DENSE_BLOCK : n;
    job->products->multiply(job->transposed_a, begin, end, n - begin, n, job->a, n, job->packed + begin * n,
                            job->c + begin, n, 0);
    for (int64_t j = begin + 1; j < n; j++) {
        double *mirror = job->c + j * n;
        int64_t above = j < end ? j : end;
        for (int64_t i = begin; i < above; i++) {
            mirror[i] = job->c[i * n + j];
        }
    }
}

void mtli_dense_product(mtl_context *context, int64_t n, bool transposed_a, const double *a, const double *b, double *c,
                        double *work)
{
    dense_job job = {mtli_products_of(context), n, transposed_a, a, work, c};
    job.products->pack_b(0, n, n, b, n, work);
    int32_t blocks = (int32_t)((n + DENSE_BLOCK - 1) / DENSE_BLOCK);
    if (n > DENSE_ALONE) {
        mtli_parallel_for(context, blocks, dense_block, &job);
        return;
    }
    for (int32_t i = 0; i < blocks; i++) {
        dense_block(&job, i);
    }
}

void mtli_dense_from_spectrum(mtl_context *context, int64_t n, const double *vectors, const double *factor, double *m,
                              double *scaled, double *work)
{
    for (int64_t k = 0; k < n; k++) {
        for (int64_t i = 0; i < n; i++) {
            scaled[k * n + i] = factor[k] * vectors[k * n + i];
        }
    }
    mtli_dense_product(context, n, true, vectors, scaled, m, work);
}

void mtli_dense_times(mtl_context *context, int64_t n, const double *m, const double *v, double *out)
{
    const mtli_products *products = mtli_products_of(context);
    for (int64_t i = 0; i < n; i++) {
        out[i] = products->dot(n, m + i * n, v);
    }
}

double mtli_dense_inner(mtl_context *context, int64_t n, const double *a, const double *b)
{
    return mtli_products_of(context)->dot(n * n, a, b);
}
