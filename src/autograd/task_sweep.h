/* SPDX-License-Identifier: Apache-2.0
 * The gradient of every task with respect to what the tasks share: in one sweep where they label disjoint rows, else in
 * one sweep for each. Kept, or discarded once their inner products are known; or only where the shared encoder ends. */
#ifndef MTLI_AUTOGRAD_TASK_SWEEP_H
#define MTLI_AUTOGRAD_TASK_SWEEP_H

#include "autograd/tape.h"

typedef enum mtli_task_way {
    MTLI_TASKS_ONE_SWEEP, /* disjoint rows: one sweep through what is shared */
    MTLI_TASKS_SWEEP_EACH /* one sweep through everything for each task */
} mtli_task_way;

typedef struct mtli_task_kept mtli_task_kept;

typedef struct mtli_task_pass {
    mtl_tape *tape;
    int32_t count;
    mtl_tensor *const *losses; /* NULL: absent */
    const double *seeds;       /* the gradients are those of seeds[t] * losses[t] */
    int32_t num_shared;
    const mtli_parameters *const *shared; /* the blocks that the tasks share */
    mtl_gradients *const *targets;        /* of each task, over shared blocks and any others; overwritten */
    mtli_task_way way;                    /* out */
    bool split;                           /* out: what is not shared can be swept by itself, mtli_task_sweep_rest() */
    mtli_task_kept
        *kept; /* out of mtli_task_sweep_gram(): what mtli_task_sweep_weighted() needs, in the tape's memory */
} mtli_task_pass;

/* Every pass begins a new sweep, so that gradients which the tape held are gone, unless it says that it goes on. */

/** Writes the task gradients with respect to every block of the targets. On failure the targets are cleared. */
mtl_status mtli_task_sweep(mtli_task_pass *pass);

/** Writes the inner products [count, count] of the task gradients over the shared blocks, without the gradients: their memory
 *  is that of one recorded call at a time, for each task. Until the next sweep stay the rows of tables and what operations
 *  keep for mtli_task_sweep_weighted() (an LSTM: its gate gradients). Tells MTLI_TASKS_SWEEP_EACH, and writes nothing, where
 *  one sweep does not do: each pair of gradients would have to exist at the same time, so the caller keeps them all after
 *  all. `targets` are not read. */
mtl_status mtli_task_sweep_gram(mtli_task_pass *pass, double *gram);

/** After mtli_task_sweep_gram() in one sweep, goes on as often as wanted: **adds** the gradient
 *  of Σ weights[t] * losses[t] with respect to the shared blocks to `target`. A task of seed 0 takes no part. A failure
 *  leaves a part of the sum in the target. */
mtl_status mtli_task_sweep_weighted(mtli_task_pass *pass, const double *weights, mtl_gradients *target);

/** Needs `split`: **adds** the gradient of Σ weights[t] * losses[t] with respect to the parameters that are not shared to
 *  `target`. */
mtl_status mtli_task_sweep_rest(mtli_task_pass *pass, const double *weights, mtl_gradients *target);

/* ---- gradients of representations ---- */

/** A result of the inside that is read outside. */
typedef struct mtli_task_arrival {
    const mtl_tensor *result;
    int64_t leading; /* rows, or tokens of a ragged result */
    int64_t width;
    mtli_real **gradients; /* [tasks] of result->size values; NULL: the task does not depend on it */
} mtli_task_arrival;

/** Lies in the tape's memory and lasts until its next sweep begins. */
typedef struct mtli_task_arrivals {
    int32_t count;
    const mtli_task_arrival *list; /* in the order in which the results were computed */
} mtli_task_arrivals;

/** Sweeps each task to the results of the inside that something outside reads, and no further. Gradients of blocks that are
 *  not shared are written to `targets`, which may be NULL. Where the calls are not split, `split` says so and there are no
 *  arrivals. On failure the targets are cleared. */
mtl_status mtli_task_sweep_outside(mtli_task_pass *pass, mtli_task_arrivals *out);

/** Goes on to sweep the inside, from combined[i] at arrival i (NULL: zero): **adds** the gradients of the shared blocks to
 *  `target`. The values of `combined` are changed; they may be an arrival's own. Once for each
 *  mtli_task_sweep_outside(). */
mtl_status mtli_task_sweep_inside(mtli_task_pass *pass, const mtli_task_arrivals *arrivals, mtli_real *const *combined,
                                  mtl_gradients *target);

#endif
