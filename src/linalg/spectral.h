/* SPDX-License-Identifier: Apache-2.0
 * What a trace norm needs of a matrix: singular values, the polar factor U Vᵀ and the proximal step, by way of the Gram
 * matrix of the short side. */
#ifndef MTLI_LINALG_SPECTRAL_H
#define MTLI_LINALG_SPECTRAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/context.h"
#include "base/real.h"

/** Bytes of work that each of the functions below needs for a matrix of this size, at any alignment of 64. */
size_t mtli_spectral_work(mtl_context *context, int64_t rows, int64_t columns);

/** The min(rows, columns) singular values of a, largest first. False: not finite, or no convergence. */
bool mtli_singular_values(mtl_context *context, int64_t rows, int64_t columns, const mtli_real *a, double *values,
                          void *work);

/** The trace norm of a and, when `polar` is not NULL, U Vᵀ over the singular values that are not 0 to rounding: a
 *  subgradient of it. polar [rows, columns] does not overlap a. */
bool mtli_trace_norm(mtl_context *context, int64_t rows, int64_t columns, const mtli_real *a, double *norm,
                     mtli_real *polar, void *work);

/** a ← U (Σ - tau)₊ Vᵀ (Cai, Candès & Shen 2010). On failure a is as it was. */
bool mtli_singular_value_threshold(mtl_context *context, int64_t rows, int64_t columns, mtli_real *a, double tau,
                                   void *work);

/* ---- the same for a matrix whose `count` columns lie apart (one per task): x[t] has n values ----
 *
 * Singular values that are 0 to rounding (below about sigma_1 / 2^24) are given as 0. In the double build they are good
 * to eps (sigma_1 / sigma_k)² of themselves: nothing is finished on the long side here. */

/** A function of the singular values and what it does to them: on entry sigma[count] descend; writes to factor[k] what
 *  the k-th singular direction is to be multiplied by. A factor that is not finite makes the caller fail. */
typedef void (*mtli_spectral_fn)(const void *argument, int32_t count, const double *sigma, double *factor);

/** Bytes of work for `count` columns. */
size_t mtli_columns_work(int32_t count);

bool mtli_columns_singular_values(mtl_context *context, int32_t count, int64_t n, const mtli_real *const *x,
                                  double *values, void *work);

/** y_t += scale * Σ_k factor[k] u_k v_kt sigma_k: the matrix X V diag(factor) Vᵀ. sigma [count] receives the singular
 *  values. x and y may be the same arrays only through mtli_columns_transform(). */
bool mtli_columns_add(mtl_context *context, int32_t count, int64_t n, const mtli_real *const *x,
                      mtli_spectral_fn function, const void *argument, double scale, mtli_real *const *y, double *sigma,
                      void *work);

/** X ← X V diag(factor) Vᵀ in place; on failure x is as it was. */
bool mtli_columns_transform(mtl_context *context, int32_t count, int64_t n, mtli_real *const *x,
                            mtli_spectral_fn function, const void *argument, double *sigma, void *work);

#endif
