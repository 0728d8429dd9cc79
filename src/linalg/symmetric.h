/* SPDX-License-Identifier: Apache-2.0
 * Eigenvalues of symmetric matrices: our own solver, so that the reference CBLAS is enough, and LAPACK's for larger
 * ones where the build found it. */
#ifndef MTLI_LINALG_SYMMETRIC_H
#define MTLI_LINALG_SYMMETRIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Doubles of work that mtli_symmetric_eigen() needs for size n. */
size_t mtli_symmetric_work(int64_t n);

/** A = Σ_k values[k] v_k v_kᵀ. `a` [n, n] (full, symmetric, row-major) is overwritten: row k becomes the unit vector
 *  v_k. values descend. False when an element is not finite or the iteration does not converge: `a` and values are then
 *  undefined. */
bool mtli_symmetric_eigen(int64_t n, double *a, double *values, double *work);

#endif
