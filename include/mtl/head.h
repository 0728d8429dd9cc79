/* SPDX-License-Identifier: Apache-2.0 */
/** @file head.h
 *  @brief Heads: what belongs to one task. A head turns the encoder's features into logits or predictions.
 */
#ifndef MTL_HEAD_H
#define MTL_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include <mtl/tape.h>

MTL_BEGIN_DECLS

/** A head; reference-counted. */
typedef struct mtl_head mtl_head;

/** Kinds of heads. */
enum {
    MTL_HEAD_CLASSIFIER = 0, /**< one of n classes: logits for mtl_cross_entropy() */
    MTL_HEAD_MULTILABEL = 1, /**< n yes/no labels: logits for mtl_binary_cross_entropy() */
    MTL_HEAD_REGRESSOR = 2   /**< n real outputs, for mtl_mean_squared_error() or mtl_huber() */
};

/** Activations of a head's hidden layer. */
enum {
    MTL_ACTIVATION_RELU = 0,
    MTL_ACTIVATION_TANH = 1,
    MTL_ACTIVATION_GELU = 2,
    MTL_ACTIVATION_SIGMOID = 3
};

/** Options of the head constructors. */
typedef struct mtl_head_options {
    size_t struct_size;  /**< sizeof(mtl_head_options), set by MTL_HEAD_OPTIONS_INIT */
    int64_t hidden_dim;  /**< 0 (default): one linear layer; else a hidden layer of that many features before it */
    double dropout;      /**< probability, on the features that enter each layer; default 0 */
    int32_t activation;  /**< of the hidden layer: MTL_ACTIVATION_RELU (default), .. */
    int32_t reserved0;   /**< 0 */
} mtl_head_options;

/** Initializer of mtl_head_options. */
#define MTL_HEAD_OPTIONS_INIT { sizeof(mtl_head_options), 0, 0.0, MTL_ACTIVATION_RELU, 0 }

/** Creates a head for one of `classes` classes.
 *
 *  Parameters: `weight` [classes, in], `bias` [classes], uniform in ±1/sqrt(in) as torch.nn.Linear; with a hidden layer
 *  also `hidden.weight` [hidden_dim, in] and `hidden.bias`.
 *
 *  @param[in]  context  not NULL
 *  @param[in]  in_dim   features of the encoder, >= 1
 *  @param[in]  classes  >= 2
 *  @param[in]  options  NULL for every default
 *  @param[out] out      receives the head; untouched on failure
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_UNSUPPORTED, MTL_ERROR_LIMIT, MTL_ERROR_MEMORY
 *  @ownership the caller owns one reference: mtl_head_release()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_head_create_classifier(mtl_context *context, int64_t in_dim, int64_t classes,
                                                            const mtl_head_options *options, mtl_head **out);

/** Creates a head for `labels` independent yes/no labels; otherwise as mtl_head_create_classifier().
 *  @param[in] context not NULL @param[in] in_dim >= 1 @param[in] labels >= 1 @param[in] options may be NULL
 *  @param[out] out receives the head
 *  @return as mtl_head_create_classifier() @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_head_create_multilabel(mtl_context *context, int64_t in_dim, int64_t labels,
                                                            const mtl_head_options *options, mtl_head **out);

/** Creates a head for `outputs` real values; otherwise as mtl_head_create_classifier().
 *  @param[in] context not NULL @param[in] in_dim >= 1 @param[in] outputs >= 1 @param[in] options may be NULL
 *  @param[out] out receives the head
 *  @return as mtl_head_create_classifier() @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_head_create_regressor(mtl_context *context, int64_t in_dim, int64_t outputs,
                                                           const mtl_head_options *options, mtl_head **out);

/** Takes one more reference. @param[in] head may be NULL @return head @threadsafety any thread @since 0.1 */
MTL_API mtl_head *mtl_head_retain(mtl_head *head);

/** Gives a reference back. @param[in] head may be NULL @threadsafety any thread @since 0.1 */
MTL_API void mtl_head_release(mtl_head *head);

/** The kind. @param[in] head not NULL @return MTL_HEAD_CLASSIFIER, .. @since 0.1 */
MTL_API int32_t mtl_head_kind(const mtl_head *head);

/** Classes, labels or outputs. @param[in] head not NULL @return output_dim; 0 for NULL @since 0.1 */
MTL_API int64_t mtl_head_output_dim(const mtl_head *head);

/** Applies the head.
 *
 *  @param[in] head      not NULL
 *  @param[in] tape      the tape; errors are kept there
 *  @param[in] features  [rows, in_dim]
 *  @return [rows, output_dim], of the tape, never NULL: logits (before softmax or sigmoid), or predictions
 *  @since 0.1
 */
MTL_API mtl_tensor *mtl_head_forward(mtl_head *head, mtl_tape *tape, mtl_tensor *features);

/** The number of parameter tensors. @param[in] head not NULL @return 0 for NULL @since 0.1 */
MTL_API int64_t mtl_head_num_parameters(const mtl_head *head);

/** A parameter by name: "weight".
 *
 *  @param[in] head  not NULL
 *  @param[in] name  not NULL
 *  @return borrowed, while the head lives; NULL when there is none of that name
 *  @since 0.1
 */
MTL_API mtl_tensor *mtl_head_parameter(mtl_head *head, const char *name);

MTL_END_DECLS

#endif
