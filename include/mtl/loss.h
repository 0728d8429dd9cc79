/* SPDX-License-Identifier: Apache-2.0 */
/** @file loss.h
 *  @brief Losses: scalars on a tape, each the mean over its labelled rows.
 *
 *  A row without a label for this task is marked (MTL_LABEL_NONE in integer labels, NaN in real targets) and does not
 *  count, in the value or in the gradient. With no labelled row the loss is 0 and the task is absent from the step.
 *  mtl_orthogonality() and mtl_cosine_similarity() compare activations and know no labels. Errors are the tape's, as in
 *  ops.h.
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

/** Options of mtl_orthogonality(). With all three set it is the loss that the authors of domain separation networks
 *  (Bousmalis et al. 2016) published as code. */
typedef struct mtl_orthogonality_options {
    size_t struct_size; /**< set by MTL_ORTHOGONALITY_OPTIONS_INIT */
    int32_t center;     /**< not 0: the mean of the rows is subtracted first; default 0 */
    int32_t normalize;  /**< not 0: each row is then divided by its norm, and one of zeros left as it is; default 0 */
    int32_t mean;       /**< not 0: divided by D1 * D2, the number of pairs of features; default 0 */
    int32_t reserved0;  /**< 0 */
} mtl_orthogonality_options;

/** Initializer of mtl_orthogonality_options. */
#define MTL_ORTHOGONALITY_OPTIONS_INIT { sizeof(mtl_orthogonality_options), 0, 0, 0, 0 }

/** ‖aᵀ b‖²_F: how much of one set of features is told by another. It keeps private activations apart from shared ones
 *  (adversarial shared-private networks, Liu, Qiu & Huang 2017; subspaces of sluice networks, Ruder et al. 2019). Without
 *  normalization it shrinks the activations too, and it grows with the square of the rows: choose its weight with care.
 *  The gradient of a row that is normalized and 0 is 0.
 *  @param tape the tape @param a real [rows, D1] @param b real [rows, D2] @param options NULL for every default
 *  @return a scalar, >= 0; 0 without rows or features @since 0.1 */
MTL_API mtl_tensor *mtl_orthogonality(mtl_tape *tape, mtl_tensor *a, mtl_tensor *b,
                                      const mtl_orthogonality_options *options);

/** Options of mtl_cosine_similarity(). */
typedef struct mtl_cosine_similarity_options {
    size_t struct_size; /**< set by MTL_COSINE_SIMILARITY_OPTIONS_INIT */
    int32_t squared;    /**< not 0 (default): cos², least for perpendicular rows; 0: cos, least for opposite ones */
    int32_t reserved0;  /**< 0 */
} mtl_cosine_similarity_options;

/** Initializer of mtl_cosine_similarity_options. */
#define MTL_COSINE_SIMILARITY_OPTIONS_INIT { sizeof(mtl_cosine_similarity_options), 1, 0 }

/** The cosine between a row of a and the same row of b, squared, as the mean over all rows. A row that is 0 in a or in b
 *  counts as 0, with gradient 0.
 *  @param tape the tape @param a real [.., features] @param b real, same shape @param options NULL for every default
 *  @return a scalar; 0 without rows @since 0.1 */
MTL_API mtl_tensor *mtl_cosine_similarity(mtl_tape *tape, mtl_tensor *a, mtl_tensor *b,
                                          const mtl_cosine_similarity_options *options);

MTL_END_DECLS

#endif
