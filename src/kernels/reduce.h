/* SPDX-License-Identifier: Apache-2.0
 * Sums in double, in one fixed order at every level. */
#ifndef MTLI_KERNELS_REDUCE_H
#define MTLI_KERNELS_REDUCE_H

#include "base/real.h"

/** Σ x[i] y[i] in double: eight partial sums, added pairwise at the end. */
double mtli_dot(int64_t n, const mtli_real *x, const mtli_real *y);

/** Σ x[i] in double, likewise. */
double mtli_total(int64_t n, const mtli_real *x);

#endif
