/* SPDX-License-Identifier: Apache-2.0
 * Backward passes and steps of an objective with a balancer. */
#ifndef MTLI_MULTITASK_BALANCED_H
#define MTLI_MULTITASK_BALANCED_H

#include "balance/balancer.h"
#include "multitask/objective.h"
#include "multitask/task_gradients.h"

/** One backward pass: what was given, and what lies ready for it. */
typedef struct mtli_balanced_pass {
    mtl_objective *objective;
    mtl_balancer *balancer;
    const char *function; /* that was entered: operations enter under their own names */
    mtli_task_gradients *room;
    mtl_tape *tape;
    mtl_tensor *const *losses; /* [T]; NULL: absent */
    mtl_gradients *target;     /* over the whole model */
    int32_t count;             /* n tasks that are present */
    const int32_t *present;    /* [n] */
    mtli_task_pass sweep;
} mtli_balanced_pass;

/** Prepares a pass for checked losses: memory, λ L, which tasks are present. */
mtl_status mtli_balanced_begin(mtl_objective *objective, mtl_tape *tape, mtl_tensor *const *losses,
                               mtl_gradients *target, mtli_balanced_pass *pass);

/** The backward pass of a method that needs one evaluation: writes the balanced gradient, without penalties. */
mtl_status mtli_balanced_backward(mtl_objective *objective, mtl_tape *tape, mtl_tensor *const *losses,
                                  mtl_gradients *target);

/** Whether a method works through mtl_objective_step() alone. */
bool mtli_balanced_needs_step(const mtl_balancer *balancer);

/** mtl_objective_step() of such methods: evaluates as often as they need and updates. */
mtl_status mtli_balanced_step(mtl_objective *objective, mtl_optimizer *optimizer, mtl_evaluate_fn evaluate, void *user);

/* ---- parts ---- */

/** After a sweep, so that what fails next is said in the name of the public function. */
void mtli_balanced_swept(const mtli_balanced_pass *pass);

/** Keeps the task gradients of a draw, of λ_t L_t; the present tasks' sets are listed in room->list from `at` on. */
mtl_status mtli_balanced_keep(mtli_balanced_pass *pass, int32_t draw, int32_t at);

/** Writes Σ weights[t] λ_t L_t's gradient for the shared parameters, and with `own` for the others: no task gradients are
 *  formed. */
mtl_status mtli_balanced_sweep(mtli_balanced_pass *pass, const double *weights, const double *own);

/** Adds to the target the gradients of what is not shared, with weights own[t] λ_t; after the shared part was written when
 *  `split`, else before it. */
mtl_status mtli_balanced_sweep_rest(mtli_balanced_pass *pass, const double *own);

/** [n] from [T]. */
void mtli_balanced_gather(const mtli_balanced_pass *pass, const double *from, double *to);

/** [T, T] from [n, n], zero elsewhere. */
void mtli_balanced_scatter(const mtli_balanced_pass *pass, const double *from, double *to);

/** The way of methods that look at coordinates. */
mtl_status mtli_balanced_coordinates(mtli_balanced_pass *pass);

/** The way of methods that lower losses of validation rows: one whole step but the optimizer's. */
mtl_status mtli_balanced_validation(mtl_objective *objective, mtl_optimizer *optimizer, mtl_evaluate_fn evaluate,
                                    void *user);

/** The error of a pass that has no representation gradients. */
mtl_status mtli_balanced_fail_not_split(const mtli_balanced_pass *pass);

/** Values per task that a method tracks. */
int64_t mtli_balanced_tracked(const mtl_balancer *balancer, const mtli_task_gradients *room);

#endif
