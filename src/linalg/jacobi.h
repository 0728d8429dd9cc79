/* SPDX-License-Identifier: Apache-2.0
 * Jacobi's rotations: slow, and the most accurate. */
#ifndef MTLI_LINALG_JACOBI_H
#define MTLI_LINALG_JACOBI_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/products.h"

/** As mtli_symmetric_eigen(), for finite elements of magnitude up to about 1, in any order of the values. work [n, n].
 *  */
bool mtli_jacobi_eigen(int64_t n, double *a, double *values, double *work);

/** Makes the `count` rows of b [count, n] orthogonal by rotations among them, and turns the rows of v [count, count] in
 *  the same way (Hestenes 1958). False: not converged. Small rows become exact to their own length, not to the largest
 *  one's. */
bool mtli_jacobi_orthogonalize(const mtli_products *products, int64_t count, int64_t n, double *b, double *v);

#endif
