/* SPDX-License-Identifier: Apache-2.0
 * The ends of a symmetric matrix's spectrum, from a few products with vectors. */
#ifndef MTLI_LINALG_LANCZOS_H
#define MTLI_LINALG_LANCZOS_H

#include <stdint.h>

#include "base/context.h"

/** Estimates the least and the largest eigenvalue of the symmetric m [n, n] from inside the spectrum: *low is too large
 *  and *high too small, by little when the ends are not crowded. work: 3 n doubles. */
void mtli_lanczos_ends(mtl_context *context, int64_t n, const double *m, double *low, double *high, double *work);

/** v [n] of magnitude 1 with signs that depend on `stream` only: never orthogonal to much. */
void mtli_sign_vector(int64_t n, uint64_t stream, double *v);

#endif
