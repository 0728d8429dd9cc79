/* SPDX-License-Identifier: Apache-2.0 */
/** @file optimizer.h
 *  @brief Optimizers, parameter groups, learning-rate schedules.
 *
 *  An optimizer retains the modules of its model and reads mtl_gradients. Untouched parameters are not changed. For
 *  row-sparse gradients (embeddings) there are two variants: *lazy* (default) updates the touched rows only, with the
 *  moments of the others standing still and bias corrections by the global step (torch.optim.SparseAdam, but for epsilon,
 *  which stands where Adam has it); *dense* treats
 *  missing rows as zeros, so that moments decay and weights move everywhere (torch.optim.Adam).
 */
#ifndef MTL_OPTIMIZER_H
#define MTL_OPTIMIZER_H

#include <stddef.h>
#include <stdint.h>

#include <mtl/gradients.h>
#include <mtl/model.h>

MTL_BEGIN_DECLS

/** An optimizer. */
typedef struct mtl_optimizer mtl_optimizer;

/** How row-sparse gradients are applied. */
enum {
    MTL_SPARSE_LAZY = 0, /**< touched rows only */
    MTL_SPARSE_DENSE = 1 /**< exactly as a dense gradient */
};

/** Options of mtl_optimizer_create_sgd(). */
typedef struct mtl_sgd_options {
    size_t struct_size;   /**< sizeof(mtl_sgd_options), set by MTL_SGD_OPTIONS_INIT */
    double learning_rate; /**< > 0; default 0.01 */
    double momentum;      /**< 0 <= m < 1; default 0 */
    double weight_decay;  /**< >= 0: adds weight_decay * w to the gradient; default 0 */
    double clip_norm;     /**< clip all gradients by this global norm; 0 (default): do not */
    int32_t nesterov;     /**< not 0: Nesterov's momentum (needs momentum > 0) */
    int32_t sparse;       /**< MTL_SPARSE_LAZY (default) or MTL_SPARSE_DENSE */
} mtl_sgd_options;

/** Initializer of mtl_sgd_options. */
#define MTL_SGD_OPTIONS_INIT { sizeof(mtl_sgd_options), 0.01, 0.0, 0.0, 0.0, 0, MTL_SPARSE_LAZY }

/** Options of mtl_optimizer_create_adam() and mtl_optimizer_create_adamw(). */
typedef struct mtl_adam_options {
    size_t struct_size;   /**< sizeof(mtl_adam_options), set by MTL_ADAM_OPTIONS_INIT */
    double learning_rate; /**< > 0; default 0.001 */
    double beta1;         /**< 0 <= b < 1; default 0.9 */
    double beta2;         /**< 0 <= b < 1; default 0.999 */
    double epsilon;       /**< > 0; default 1e-8 */
    double weight_decay;  /**< >= 0. Adam: added to the gradient. AdamW: w -= lr * weight_decay * w. Default 0 */
    double clip_norm;     /**< clip all gradients by this global norm; 0 (default): do not */
    int32_t sparse;       /**< MTL_SPARSE_LAZY (default) or MTL_SPARSE_DENSE */
    int32_t reserved0;    /**< 0 */
} mtl_adam_options;

/** Initializer of mtl_adam_options. */
#define MTL_ADAM_OPTIONS_INIT { sizeof(mtl_adam_options), 0.001, 0.9, 0.999, 1e-8, 0.0, 0.0, MTL_SPARSE_LAZY, 0 }

/** Stochastic gradient descent with momentum (Polyak 1964; Nesterov 1983), as torch.optim.SGD:
 *  v ← m v + g, w ← w - lr v (Nesterov: w ← w - lr (g + m v)); the first v is g.
 *
 *  @param[in]  model    not NULL; from now on no module can be added to it
 *  @param[in]  options  NULL for every default
 *  @param[out] out      receives the optimizer; untouched on failure
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_UNSUPPORTED, MTL_ERROR_MEMORY
 *  @ownership the caller owns it: mtl_optimizer_destroy()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_optimizer_create_sgd(mtl_model *model, const mtl_sgd_options *options,
                                                          mtl_optimizer **out);

/** Adam (Kingma & Ba 2015): m ← b1 m + (1-b1) g, v ← b2 v + (1-b2) g²,
 *  w ← w - lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps); weight decay is added to the gradient.
 *  @param[in] model not NULL @param[in] options may be NULL @param[out] out receives the optimizer
 *  @return as mtl_optimizer_create_sgd() @ownership the caller's @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_optimizer_create_adam(mtl_model *model, const mtl_adam_options *options,
                                                           mtl_optimizer **out);

/** AdamW (Loshchilov & Hutter 2019): Adam with decoupled weight decay. With lazy sparse rows, untouched rows do not decay.
 *  @param[in] model not NULL @param[in] options may be NULL @param[out] out receives the optimizer
 *  @return as mtl_optimizer_create_sgd() @ownership the caller's @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_optimizer_create_adamw(mtl_model *model, const mtl_adam_options *options,
                                                            mtl_optimizer **out);

/** Ends an optimizer. @param[in] optimizer may be NULL @since 0.1 */
MTL_API void mtl_optimizer_destroy(mtl_optimizer *optimizer);

/** Updates the parameters from the gradients.
 *
 *  @param[in] optimizer  not NULL
 *  @param[in] gradients  of the same model; clipping by clip_norm changes them
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_NUMERIC (the norm is not finite: nothing is changed and the step is
 *          not counted), MTL_ERROR_MEMORY; with mtl_optimizer_add_proximal() also MTL_ERROR_STATE (the parameters of one
 *          proximal step have different learning rates: nothing is changed) and what a proximal step returned after
 *          the update, which counts then
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_optimizer_step(mtl_optimizer *optimizer, mtl_gradients *gradients);

/** The steps done. @param[in] optimizer not NULL @return 0 for NULL @since 0.1 */
MTL_API int64_t mtl_optimizer_steps(const mtl_optimizer *optimizer);

/** The learning rate that the next step uses, before group factors. @param[in] optimizer not NULL @return 0 for NULL
 *  @since 0.1 */
MTL_API double mtl_optimizer_learning_rate(const mtl_optimizer *optimizer);

/** Sets the base learning rate, which the schedule multiplies.
 *  @param[in] optimizer not NULL @param[in] learning_rate > 0, finite @return MTL_OK or MTL_ERROR_ARGUMENT @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_optimizer_set_learning_rate(mtl_optimizer *optimizer, double learning_rate);

/** Options of a parameter group. */
typedef struct mtl_group_options {
    size_t struct_size;         /**< sizeof(mtl_group_options), set by MTL_GROUP_OPTIONS_INIT */
    double learning_rate_scale; /**< >= 0, factor of the learning rate; 0: the parameters stand still; default 1 */
    double weight_decay;        /**< >= 0; negative (default): the optimizer's */
} mtl_group_options;

/** Initializer of mtl_group_options. */
#define MTL_GROUP_OPTIONS_INIT { sizeof(mtl_group_options), 1.0, -1.0 }

/** Gives the parameters whose whole names match a pattern their own options; the last matching group counts.
 *
 *  @param[in]  optimizer  not NULL
 *  @param[in]  pattern    '*' stands for any characters, '?' for one: "encoder.*", "*.bias"
 *  @param[in]  options    not NULL
 *  @param[out] matched    receives the number of parameters that match; may be NULL
 *  @return MTL_OK, MTL_ERROR_ARGUMENT (no parameter matches, or an option is out of range), MTL_ERROR_UNSUPPORTED
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_optimizer_add_group(mtl_optimizer *optimizer, const char *pattern,
                                                         const mtl_group_options *options, int64_t *matched);

/** Kinds of schedules. */
enum {
    MTL_SCHEDULE_CONSTANT = 0, /**< factor 1 */
    MTL_SCHEDULE_STEP = 1,     /**< factor gamma ^ floor(s / period) */
    MTL_SCHEDULE_COSINE = 2,   /**< from 1 to final_factor over total_steps as half a cosine (Loshchilov & Hutter 2017) */
    MTL_SCHEDULE_LINEAR = 3    /**< from 1 to final_factor over total_steps as a line */
};

/** A learning-rate schedule. s counts steps after the warm-up. */
typedef struct mtl_schedule_options {
    size_t struct_size;   /**< sizeof(mtl_schedule_options), set by MTL_SCHEDULE_OPTIONS_INIT */
    int32_t kind;         /**< MTL_SCHEDULE_CONSTANT (default), .. */
    int32_t reserved0;    /**< 0 */
    int64_t warmup_steps; /**< the factor first grows as (step + 1) / warmup_steps; default 0 */
    int64_t total_steps;  /**< all steps, warm-up included; COSINE and LINEAR; the factor stays at final_factor after */
    int64_t period;       /**< STEP: >= 1 */
    double gamma;         /**< STEP: > 0; default 0.1 */
    double final_factor;  /**< COSINE, LINEAR: >= 0; default 0 */
} mtl_schedule_options;

/** Initializer of mtl_schedule_options: constant. */
#define MTL_SCHEDULE_OPTIONS_INIT { sizeof(mtl_schedule_options), MTL_SCHEDULE_CONSTANT, 0, 0, 0, 1, 0.1, 0.0 }

/** Sets the schedule; it reads the optimizer's step count.
 *
 *  @param[in] optimizer  not NULL
 *  @param[in] options    NULL: constant
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_UNSUPPORTED
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_optimizer_set_schedule(mtl_optimizer *optimizer,
                                                            const mtl_schedule_options *options);

MTL_END_DECLS

#endif
