/* SPDX-License-Identifier: Apache-2.0
 * What task gradients can be swept how. A call is *inside* when the forward pass of a shared encoder made it, else
 * *outside*. */
#ifndef MTLI_AUTOGRAD_TASK_PLAN_H
#define MTLI_AUTOGRAD_TASK_PLAN_H

#include "autograd/task_sweep.h"

typedef struct mtli_task_plan {
    bool *inside;   /* [results] in the tape's arena of the sweep */
    int64_t rows;   /* of the batch; -1: no call is inside */
    bool split;     /* outside and inside meet at results of the inside only */
    bool separable; /* split, and the inside is row-separable */
} mtli_task_plan;

mtl_status mtli_task_plan_make(const mtli_task_pass *pass, mtli_task_plan *plan);

/** Filters of calls; the argument is the pass. */
bool mtli_task_is_inside(const void *pass, const mtli_call *call);
bool mtli_task_is_outside(const void *pass, const mtli_call *call);

#endif
