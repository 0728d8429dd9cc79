/* SPDX-License-Identifier: Apache-2.0
 * Products of small square matrices in double whose result is known to be symmetric: half of it is computed. */
#ifndef MTLI_LINALG_DENSE_H
#define MTLI_LINALG_DENSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/context.h"

/** Doubles of work for a product of size n. */
size_t mtli_dense_work(int64_t n);

/** c = op(a) b [n, n], which is symmetric: a and b commute, or are each other's transposes up to a diagonal factor
 *  between them. c is none of the others. */
void mtli_dense_product(mtl_context *context, int64_t n, bool transposed_a, const double *a, const double *b, double *c,
                        double *work);

/** m = Σ_k factor[k] v_k v_kᵀ for the rows v_k of `vectors`; scaled [n, n] is overwritten. */
void mtli_dense_from_spectrum(mtl_context *context, int64_t n, const double *vectors, const double *factor, double *m,
                              double *scaled, double *work);

/** out = m v. */
void mtli_dense_times(mtl_context *context, int64_t n, const double *m, const double *v, double *out);

/** Σ a_ij b_ij. */
double mtli_dense_inner(mtl_context *context, int64_t n, const double *a, const double *b);

#endif
