/* SPDX-License-Identifier: Apache-2.0 */
/** @file loss.h
 *  @brief Losses: scalars on a tape, each the mean over its labelled rows.
 *
 *  A row without a label for this task is marked (MTL_LABEL_NONE in integer labels, NaN in real targets) and does not
 *  count, in the value or in the gradient. With no labelled row the loss is 0 and the task is absent from the step.
 *  Errors are the tape's, as in ops.h.
 */
#ifndef MTL_LOSS_H
#define MTL_LOSS_H

#include <stddef.h>
#include <stdint.h>

#include <mtl/tape.h>

MTL_BEGIN_DECLS

/** The label of a row that has none for this task. */
#define MTL_LABEL_NONE (-1)

/** Options of mtl_cross_entropy(). */
typedef struct mtl_cross_entropy_options {
    size_t struct_size;        /**< set by MTL_CROSS_ENTROPY_OPTIONS_INIT */
    mtl_tensor *class_weights; /**< real [classes], >= 0; NULL: ones. The mean divides by the sum of the labels' weights */
    double label_smoothing;    /**< 0 <= s < 1: target (1 - s) onehot + s / classes (Szegedy et al. 2016) */
} mtl_cross_entropy_options;

/** Initializer of mtl_cross_entropy_options. */
#define MTL_CROSS_ENTROPY_OPTIONS_INIT { sizeof(mtl_cross_entropy_options), NULL, 0.0 }

/** -log softmax(logits)[label], averaged as torch.nn.CrossEntropyLoss does.
 *  @param tape the tape @param logits real [rows, classes]
 *  @param labels int32 [rows], in [0, classes) or MTL_LABEL_NONE @param options NULL for every default
 *  @return a scalar @since 0.1 */
MTL_API mtl_tensor *mtl_cross_entropy(mtl_tape *tape, mtl_tensor *logits, mtl_tensor *labels,
                                      const mtl_cross_entropy_options *options);

/** Options of mtl_binary_cross_entropy(). */
typedef struct mtl_binary_cross_entropy_options {
    size_t struct_size;           /**< set by MTL_BINARY_CROSS_ENTROPY_OPTIONS_INIT */
    mtl_tensor *positive_weights; /**< real [labels], > 0, factor of the positive term; NULL: ones */
} mtl_binary_cross_entropy_options;

/** Initializer of mtl_binary_cross_entropy_options. */
#define MTL_BINARY_CROSS_ENTROPY_OPTIONS_INIT { sizeof(mtl_binary_cross_entropy_options), NULL }

/** Independent yes/no labels: -(w t log σ(z) + (1 - t) log(1 - σ(z))), mean over the elements that have a target
 *  (torch.nn.BCEWithLogitsLoss).
 *  @param tape the tape @param logits real [rows, labels]
 *  @param targets real, same shape, in [0, 1]; NaN: no target @param options NULL for every default
 *  @return a scalar @since 0.1 */
MTL_API mtl_tensor *mtl_binary_cross_entropy(mtl_tape *tape, mtl_tensor *logits, mtl_tensor *targets,
                                             const mtl_binary_cross_entropy_options *options);

/** Mean of (prediction - target)² over the elements that have a target.
 *  @param tape the tape @param predictions real, any shape @param targets real, same shape; NaN: no target
 *  @return a scalar @since 0.1 */
MTL_API mtl_tensor *mtl_mean_squared_error(mtl_tape *tape, mtl_tensor *predictions, mtl_tensor *targets);

/** Huber's loss (1964): e²/2 for |e| <= delta, delta (|e| - delta/2) beyond; mean over the elements that have a target
 *  (torch.nn.HuberLoss).
 *  @param tape the tape @param predictions real, any shape @param targets real, same shape; NaN: no target
 *  @param delta > 0 @return a scalar @since 0.1 */
MTL_API mtl_tensor *mtl_huber(mtl_tape *tape, mtl_tensor *predictions, mtl_tensor *targets, double delta);

MTL_END_DECLS

#endif
