/* SPDX-License-Identifier: Apache-2.0
 * Batches by number, for balancing methods that look at several in one step. */
#include "draws.h"

#include <stdbool.h>

#include "check.h"

void draws_begin_step(draws *d)
{
    for (int i = 0; i < MOST_DRAWS; i++) {
        d->batches[i] = NULL;
    }
}

static bool has_every_task(const draws *d, const mtl_batch *batch)
{
    for (int32_t t = 0; t < d->tasks; t++) {
        if (mtl_batch_labelled(batch, t) == 0) {
            return false;
        }
    }
    return true;
}

mtl_batch *draws_batch(draws *d, int32_t draw)
{
    mtl_batch *batch = d->batches[draw];
    while (!batch) { /* NULL is the end of an epoch */
        CHECK(d->context, mtl_sampler_next(d->samplers[draw], &batch));
        batch = batch && has_every_task(d, batch) ? batch : NULL;
    }
    d->batches[draw] = batch;
    return batch;
}
