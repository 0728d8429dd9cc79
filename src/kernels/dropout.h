/* SPDX-License-Identifier: Apache-2.0
 * Dropout as a pure function of (seed, stream, position): no mask is stored, the backward pass computes it again. */
#ifndef MTLI_KERNELS_DROPOUT_H
#define MTLI_KERNELS_DROPOUT_H

#include <stdbool.h>

#include "base/real.h"

/** What decides the elements. Element i is dropped when word i % 4 of mtli_philox(seed, i / 4, stream) is below the
 *  threshold. */
typedef struct mtli_dropout {
    uint64_t seed;
    uint64_t stream;
    uint32_t threshold;
    mtli_real scale; /* of what stays: 1 / (1 - p) */
} mtli_dropout;

mtli_dropout mtli_dropout_make(uint64_t seed, uint64_t stream, double probability);

/** y[i] (+)= scale x[i], or 0 where dropped, for begin <= i < end. */
void mtli_dropout_apply(const mtli_dropout *dropout, int64_t begin, int64_t end, const mtli_real *x, mtli_real *y,
                        bool accumulate);

#endif
