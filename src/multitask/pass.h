/* SPDX-License-Identifier: Apache-2.0
 * The parts of a backward pass and of a step that balancers put together in other ways. */
#ifndef MTLI_MULTITASK_PASS_H
#define MTLI_MULTITASK_PASS_H

#include "multitask/objective.h"

/** Calls evaluate on the objective's tape, reset, for a draw of rows; the losses are in objective->losses. */
mtl_status mtli_objective_evaluate(mtl_objective *objective, mtl_evaluate_fn evaluate, void *user, int32_t draw);

/** Whether the tape is sound and every loss a finite scalar of it. */
mtl_status mtli_objective_check_losses(mtl_objective *objective, const mtl_tape *tape, mtl_tensor *const *losses,
                                       int32_t count);

/** The whole backward pass: losses, balancer, penalties. */
mtl_status mtli_objective_differentiate(mtl_objective *objective, mtl_tape *tape, mtl_tensor *const *losses,
                                        int32_t count, mtl_gradients *gradients);

/** Adds the gradients of the penalties, and their values to *value. On failure the gradients are cleared. */
mtl_status mtli_objective_add_penalties(mtl_objective *objective, mtl_gradients *gradients, double *value);

/** What mtl_objective_task_loss() and mtl_objective_value() tell. */
void mtli_objective_note_losses(mtl_objective *objective, mtl_tensor *const *losses);

#endif
