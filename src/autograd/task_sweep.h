/* SPDX-License-Identifier: Apache-2.0
 * The gradient of every task with respect to what the tasks share: in one sweep where they label disjoint rows, else in
 * one sweep for each. */
#ifndef MTLI_AUTOGRAD_TASK_SWEEP_H
#define MTLI_AUTOGRAD_TASK_SWEEP_H

#include "autograd/tape.h"

typedef enum mtli_task_way {
    MTLI_TASKS_ONE_SWEEP, /* disjoint rows: one sweep through what is shared */
    MTLI_TASKS_SWEEP_EACH /* one sweep through everything for each task */
} mtli_task_way;

typedef struct mtli_task_pass {
    mtl_tape *tape;
    int32_t count;
    mtl_tensor *const *losses; /* NULL: absent */
    const double *seeds;       /* the gradients are those of seeds[t] * losses[t] */
    int32_t num_shared;
    const mtli_parameters *const *shared; /* the blocks that the tasks share */
    mtl_gradients *const *targets;        /* of each task, over the shared blocks; overwritten */
    mtli_task_way way;                    /* out */
    bool split;                           /* out: what is not shared can be swept by itself, mtli_task_sweep_rest() */
} mtli_task_pass;

/** Writes the task gradients. On failure the targets are cleared. */
mtl_status mtli_task_sweep(mtli_task_pass *pass);

/** After mtli_task_sweep() with `split`: **adds** the gradient of Σ weights[t] * losses[t] with respect to the parameters that
 *  are not shared to `target`. */
mtl_status mtli_task_sweep_rest(mtli_task_pass *pass, const double *weights, mtl_gradients *target);

#endif
