/* SPDX-License-Identifier: Apache-2.0
 * The odd polynomial that is nearest to 1 on an interval. */
#ifndef MTLI_LINALG_MINIMAX_H
#define MTLI_LINALG_MINIMAX_H

#include <stdbool.h>

enum { MTLI_MINIMAX_TERMS = 5 };

/** Writes the coefficients of x, x³, .., x⁹ that minimize the largest |1 - p(x)| on [low, 1], 1e-4 <= low < 1, and that
 *  largest error, which is attained with alternating signs at six points. False: not found. */
bool mtli_minimax_odd(double low, double coefficients[MTLI_MINIMAX_TERMS], double *error);

#endif
