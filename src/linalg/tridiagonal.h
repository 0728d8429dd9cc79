/* SPDX-License-Identifier: Apache-2.0
 * Our own eigen-solver for sizes where Jacobi's rotations are too slow. */
#ifndef MTLI_LINALG_TRIDIAGONAL_H
#define MTLI_LINALG_TRIDIAGONAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Doubles of work for mtli_tridiagonal_eigen(). */
size_t mtli_tridiagonal_work(int64_t n);

/** As mtli_symmetric_eigen(), for finite elements of magnitude up to about 1, in any order of the values. */
bool mtli_tridiagonal_eigen(int64_t n, double *a, double *values, double *work);

#endif
