/* SPDX-License-Identifier: Apache-2.0
 * Truncated factorizations of a stack of weights, with an error that is known beforehand. */
#ifndef MTLI_SHARING_FACTORIZE_H
#define MTLI_SHARING_FACTORIZE_H

#include "base/arena.h"
#include "nn/factorized.h"

typedef struct mtli_factorize_options {
    int32_t kind;          /* MTL_FACTORIZATION_LAF, .. */
    int64_t max_rank;      /* 0: no limit */
    double relative_error; /* 0: ranks are max_rank or full */
} mtli_factorize_options;

/** Factors in the order of mtli_factor_layout(), row-major. */
typedef struct mtli_factor_values {
    int64_t ranks[MTL_MAX_DIMS];
    int32_t count;
    mtli_real *values[MTLI_MAX_FACTORS];
    double error; /* ‖W - Ŵ‖_F / ‖W‖_F, without the rounding of the factors; 0 for W = 0 */
} mtli_factor_values;

/** Factorizes w[modes->tasks], each with the product of modes->dims values. The factors lie in `arena`.
 *  MTL_ERROR_NUMERIC when the weights of `name` are not finite or an eigen-solver does not converge. */
mtl_status mtli_factorize(mtl_context *context, const mtli_factorize_options *options, const mtli_modes *modes,
                          const mtli_real *const *w, const char *name, mtli_arena *arena, mtli_factor_values *out);

#endif
