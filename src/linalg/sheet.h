/* SPDX-License-Identifier: Apache-2.0
 * A matrix seen from its short side: `count` vectors of n values each, wherever they lie. What is done to it is done in
 * strips of values, in double. */
#ifndef MTLI_LINALG_SHEET_H
#define MTLI_LINALG_SHEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/context.h"
#include "base/real.h"
#include "kernels/products.h"

/** Value k of vector t is vectors[t][k]; without `vectors` it is base[t * vector_stride + k * value_stride], where one
 *  of the strides is 1. */
typedef struct mtli_sheet {
    int64_t count;
    int64_t n;
    const mtli_real *const *vectors;
    const mtli_real *base;
    int64_t vector_stride;
    int64_t value_stride;
} mtli_sheet;

/** The same for what is written. */
typedef struct mtli_sheet_out {
    mtli_real *const *vectors;
    mtli_real *base;
    int64_t vector_stride;
    int64_t value_stride;
    bool add; /* to what is there, with `scale`; else replace it */
    double scale;
} mtli_sheet_out;

/** A row-major matrix by its short side: columns of a tall one, rows of a wide one. */
mtli_sheet mtli_sheet_of_matrix(int64_t rows, int64_t columns, const mtli_real *a);
mtli_sheet_out mtli_sheet_out_of_matrix(int64_t rows, int64_t columns, mtli_real *a);

/** Whether the values of one vector lie side by side. */
static inline bool mtli_sheet_by_vectors(const mtli_sheet *sheet)
{
    return sheet->vectors || sheet->value_stride == 1;
}

/** Values [k, k + n) of the vectors [t, t + count) as doubles: out [count, n] when they lie by vectors, else [n,
 *  count]. */
void mtli_sheet_load(const mtli_products *products, const mtli_sheet *sheet, int64_t t, int64_t count, int64_t k,
                     int64_t n, double *out);

/** Doubles of work for mtli_sheet_transform(). */
size_t mtli_sheet_work(int64_t count);

/** out_t = Σ_j m[t, j] x_j for m [count, count]. x and out may be the same vectors in the same layout. */
void mtli_sheet_transform(mtl_context *context, const mtli_sheet *x, const double *m, const mtli_sheet_out *out,
                          double *work);

/** The kernels of the context's level. */
const mtli_products *mtli_products_of(const mtl_context *context);

#endif
