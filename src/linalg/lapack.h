/* SPDX-License-Identifier: Apache-2.0
 * LAPACK's eigen-solver, where the build found it. */
#ifndef MTLI_LINALG_LAPACK_H
#define MTLI_LINALG_LAPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Whether LAPACK is there and is the better choice for this size. */
bool mtli_lapack_takes(int64_t n);

/** Doubles of work for mtli_lapack_eigen(); 0 where it does not take n. */
size_t mtli_lapack_work(int64_t n);

/** As mtli_symmetric_eigen(), for finite elements, in any order of the values. */
bool mtli_lapack_eigen(int64_t n, double *a, double *values, double *work);

#endif
