/* SPDX-License-Identifier: Apache-2.0
 * The inverse square root of a Gram matrix by products alone: A G^-½ is the polar factor U Vᵀ of A. */
#ifndef MTLI_LINALG_POLAR_H
#define MTLI_LINALG_POLAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/context.h"

/** Doubles of work for mtli_inverse_root(). */
size_t mtli_inverse_root_work(int64_t n);

/** z ≈ g^-½ for a symmetric positive definite g [n, n]: every eigenvalue of g^½ z is 1 within about `tolerance`. False,
 *  with z undefined, when the square root of g's condition exceeds `most_condition` or the iteration does not arrive:
 *  an eigen-decomposition is then the better way. */
bool mtli_inverse_root(mtl_context *context, int64_t n, const double *g, double most_condition, double tolerance,
                       double *z, double *work);

#endif
