/* SPDX-License-Identifier: Apache-2.0
 * Batches by number, for balancing methods that look at several in one step. */
#ifndef EXAMPLES_DRAWS_H
#define EXAMPLES_DRAWS_H

#include <mtl/mtl.h>

enum { MOST_DRAWS = 3 };

typedef struct draws {
    mtl_context *context;
    int32_t tasks;
    mtl_sampler *samplers[MOST_DRAWS]; /* the caller's; draws that the method does not ask for may be NULL */
    mtl_batch *batches[MOST_DRAWS];    /* of this step; NULL: not asked for yet */
} draws;

/** Forgets the batches of the step before. */
void draws_begin_step(draws *draws);

/** The batch of a draw: the same one until the next step. It has rows of every task: one that has not is passed over. */
mtl_batch *draws_batch(draws *draws, int32_t draw);

#endif
