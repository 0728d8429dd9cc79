/* SPDX-License-Identifier: Apache-2.0
 * A backward sweep in its parts, for passes that are more than one sweep: prepare, seed, visit calls. */
#ifndef MTLI_AUTOGRAD_SWEEP_H
#define MTLI_AUTOGRAD_SWEEP_H

#include "autograd/segments.h"
#include "autograd/tape.h"

typedef struct mtli_task_gram mtli_task_gram;

struct mtli_sweep {
    mtl_tape *tape;
    mtl_gradients *target;               /* NULL: gradients of parameters are not wanted, or go to `gram` */
    const mtli_segments *segments;       /* NULL: one target for all rows */
    int32_t segment;                     /* the selected one */
    mtli_task_gram *gram;                /* takes the gradients of segments, which are discarded; or NULL */
    const mtli_segment_weights *weights; /* of a second sweep: gradients of parameters only; or NULL */
    mtl_status status;                   /* memory ran out somewhere */
};

/** Whether a sweep visits a call. */
typedef bool (*mtli_call_filter)(const void *argument, const mtli_call *call);

/** Whether the tape can be swept and every root that is not NULL is a scalar of it. */
mtl_status mtli_sweep_check_roots(const mtl_tape *tape, mtl_tensor *const *roots, int32_t count);

/** Forgets the gradients of the last sweep and makes empty slots for those of this one. */
mtl_status mtli_sweep_prepare(mtl_tape *tape);

/** Adds seeds[i] to the gradient of root i; what is NULL, constant or of seed 0 is left out. */
mtl_status mtli_sweep_seed(mtli_sweep *sweep, mtl_tensor *const *roots, const double *seeds, int32_t count);

/** Visits the recorded calls that have a gradient, latest first; a NULL filter lets all pass. */
mtl_status mtli_sweep_calls(mtli_sweep *sweep, mtli_call_filter filter, const void *argument);

/** Leaves no gradients of results behind. */
void mtli_sweep_forget(mtl_tape *tape);

#endif
