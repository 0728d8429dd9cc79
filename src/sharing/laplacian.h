/* SPDX-License-Identifier: Apache-2.0
 * The Laplacian of a graph of tasks, as far as a proximal step needs it. */
#ifndef MTLI_SHARING_LAPLACIAN_H
#define MTLI_SHARING_LAPLACIAN_H

#include <stdbool.h>
#include <stdint.h>

/** k = (I + factor * L)^-1 for the Laplacian L of the symmetric graph [count, count] >= 0, whose diagonal is not read.
 *  factor >= 0. k [count, count] >= 0, its rows sum to 1; each element is accurate by itself, whatever the factor.
 *  work: count * (count + 2) doubles. False when something overflows. */
bool mtli_laplacian_inverse(int32_t count, const double *graph, double factor, double *k, double *work);

#endif
