/* SPDX-License-Identifier: Apache-2.0 */
/** @file objective.h
 *  @brief The objective: which tasks, with which weights, share what.
 *
 *  Weighted hard sharing (Caruana 1997): minimize Σ_t λ_t L_t over the shared encoder and the heads. Each L_t is a scalar
 *  of the tape, the mean over the rows that task t labels. Soft sharing adds penalties on the parameters (sharing.h).
 */
#ifndef MTL_OBJECTIVE_H
#define MTL_OBJECTIVE_H

#include <stddef.h>
#include <stdint.h>

#include <mtl/balance.h>
#include <mtl/gradients.h>
#include <mtl/model.h>
#include <mtl/optimizer.h>
#include <mtl/sharing.h>

MTL_BEGIN_DECLS

/** An objective. */
typedef struct mtl_objective mtl_objective;

/** Options of mtl_objective_create(). */
typedef struct mtl_objective_options {
    size_t struct_size;   /**< sizeof(mtl_objective_options), set by MTL_OBJECTIVE_OPTIONS_INIT */
    int32_t check_finite; /**< not 0 (default): a NaN or infinite loss is MTL_ERROR_NUMERIC and nothing is written */
    int32_t reserved0;    /**< 0 */
} mtl_objective_options;

/** Initializer of mtl_objective_options. */
#define MTL_OBJECTIVE_OPTIONS_INIT { sizeof(mtl_objective_options), 1, 0 }

/** Creates an objective without tasks.
 *
 *  @param[in]  model    not NULL; kept alive by the objective
 *  @param[in]  options  NULL for every default
 *  @param[out] out      receives the objective; untouched on failure
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_UNSUPPORTED, MTL_ERROR_MEMORY
 *  @ownership the caller owns it: mtl_objective_destroy()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_objective_create(mtl_model *model, const mtl_objective_options *options,
                                                      mtl_objective **out);

/** Ends an objective. @param[in] objective may be NULL @since 0.1 */
MTL_API void mtl_objective_destroy(mtl_objective *objective);

/** Declares that the tasks share an encoder: the parameters on which task gradients meet.
 *
 *  @param[in] objective  not NULL
 *  @param[in] encoder    of the model, declared once
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_MEMORY
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_objective_share_encoder(mtl_objective *objective, mtl_encoder *encoder);

/** Adds a task; tasks are numbered from 0 in the order of addition.
 *
 *  @param[in] objective  not NULL
 *  @param[in] name       unique, not empty, at most 63 bytes; copied
 *  @param[in] weight     λ, >= 0, finite
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_LIMIT (65536 tasks), MTL_ERROR_MEMORY
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_objective_add_task(mtl_objective *objective, const char *name, double weight);

/** The number of tasks. @param[in] objective not NULL @return 0 for NULL @since 0.1 */
MTL_API int32_t mtl_objective_num_tasks(const mtl_objective *objective);

/** A task's name. @param[in] objective not NULL @param[in] task its number
 *  @return borrowed; NULL when there is no such task @since 0.1 */
MTL_API const char *mtl_objective_task_name(const mtl_objective *objective, int32_t task);

/** A task's weight λ. @param[in] objective not NULL @param[in] task its number
 *  @return 0 when there is no such task @since 0.1 */
MTL_API double mtl_objective_weight(const mtl_objective *objective, int32_t task);

/** Changes a task's weight; at any time between steps. A task of weight 0 is evaluated, and changes nothing.
 *  @param[in] objective not NULL @param[in] task its number @param[in] weight >= 0, finite
 *  @return MTL_OK or MTL_ERROR_ARGUMENT @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_objective_set_weight(mtl_objective *objective, int32_t task, double weight);

/** Adds a penalty to the objective, which becomes Σ_t λ_t L_t + Σ Ω: soft sharing.
 *
 *  @param[in] objective  not NULL
 *  @param[in] penalty    over networks of the objective's model; kept alive
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_STATE (added already, here or to an optimizer, or a part of a split
 *          penalty), MTL_ERROR_UNSUPPORTED (a split penalty: it has a proximal step only), MTL_ERROR_MEMORY
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_objective_add_penalty(mtl_objective *objective, mtl_penalty *penalty);

/** Has a balancer decide how much each task counts (balance.h). Without one, every task counts with its weight λ_t.
 *
 *  @param[in] objective  not NULL
 *  @param[in] balancer   kept alive; of no other objective. NULL: none from now on
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_STATE (it is another objective's, or a step is running)
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_objective_set_balancer(mtl_objective *objective, mtl_balancer *balancer);

/** The weight w_t that the balancer gave λ_t L_t in the last pass. @param[in] objective not NULL @param[in] task its number
 *  @return 1 without a balancer; 0 when the task was absent or there is no such task; NaN when no pass was done, and for
 *  methods without weights @since 0.1 */
MTL_API double mtl_objective_balance_weight(const mtl_objective *objective, int32_t task);

/** The backward pass of one step: writes the gradient of Σ_t λ_t L_t and of the penalties.
 *
 *  @param[in]  objective  not NULL
 *  @param[in]  tape       in mode MTL_TAPE_TRAIN, with the losses on it
 *  @param[in]  losses     one scalar per task; NULL: the task is absent from this step
 *  @param[in]  count      must equal mtl_objective_num_tasks()
 *  @param[out] gradients  overwritten; on failure as in mtl_tape_backward(), also when a penalty fails
 *  @return MTL_OK; the first error of the tape (operation and shapes in the message); MTL_ERROR_ARGUMENT,
 *          MTL_ERROR_SHAPE, MTL_ERROR_STATE, MTL_ERROR_NUMERIC, MTL_ERROR_MEMORY
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_objective_backward(mtl_objective *objective, mtl_tape *tape,
                                                        mtl_tensor *const *losses, int32_t count,
                                                        mtl_gradients *gradients);

/** A task's loss in the last backward pass, without λ. @param[in] objective not NULL @param[in] task its number
 *  @return NaN when there is no such task, when no pass was done or when the task was absent @since 0.1 */
MTL_API double mtl_objective_task_loss(const mtl_objective *objective, int32_t task);

/** Σ_t λ_t L_t of the last backward pass, and the penalties of the objective; of lazy embeddings the rows of that pass count.
 *  @param[in] objective not NULL @return NaN when no pass was done @since 0.1 */
MTL_API double mtl_objective_value(const mtl_objective *objective);

/** Computes the losses of one evaluation on a tape: does not reset it, fills losses[0 .. num_tasks - 1].
 *
 *  @param[in]  user    the pointer given to mtl_objective_step()
 *  @param[in]  tape    reset in mode MTL_TAPE_TRAIN; errors of operations need no check here, the objective looks
 *  @param[in]  draw    number of the data draw, from 0: the same number means the same rows
 *  @param[out] losses  one per task, NULL on entry; what stays NULL is absent
 *  @return MTL_OK, or a status that ends the step (MTL_ERROR_CANCELLED)
 */
typedef mtl_status (*mtl_evaluate_fn)(void *user, mtl_tape *tape, int32_t draw, mtl_tensor **losses);

/** One whole training step: evaluate, backward, optimizer step. Rules that look more than once (several draws, a second
 *  evaluation after the update) call evaluate as often as they need; weighted hard sharing calls it once with draw 0.
 *
 *  The objective keeps a tape and gradients of its own for this.
 *
 *  @param[in] objective  not NULL
 *  @param[in] optimizer  of the same model
 *  @param[in] evaluate   not NULL
 *  @param[in] user       handed to evaluate
 *  @return MTL_OK, what evaluate returned, and the errors of mtl_objective_backward() and mtl_optimizer_step()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_objective_step(mtl_objective *objective, mtl_optimizer *optimizer,
                                                    mtl_evaluate_fn evaluate, void *user);

MTL_END_DECLS

#endif
