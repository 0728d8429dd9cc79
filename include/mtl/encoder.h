/* SPDX-License-Identifier: Apache-2.0 */
/** @file encoder.h
 *  @brief Encoders: what the tasks share. An encoder turns a batch into [rows, features].
 *
 *  An encoder owns its parameters in one block of memory, made at creation. It is reference-counted, because sharing is
 *  what it is for: models and objectives retain it.
 */
#ifndef MTL_ENCODER_H
#define MTL_ENCODER_H

#include <stddef.h>
#include <stdint.h>

#include <mtl/tape.h>

MTL_BEGIN_DECLS

/** An encoder. */
typedef struct mtl_encoder mtl_encoder;

/** How a sequence of states becomes one vector. */
enum {
    MTL_POOLING_LAST = 0, /**< the last state (and the first of the reverse direction) */
    MTL_POOLING_MEAN = 1, /**< the mean of all states */
    MTL_POOLING_MAX = 2   /**< the largest value of each feature */
};

/** Options of mtl_encoder_create_lstm(). */
typedef struct mtl_lstm_options {
    size_t struct_size;       /**< sizeof(mtl_lstm_options), set by MTL_LSTM_OPTIONS_INIT */
    int64_t vocabulary_size;  /**< rows of the embedding table; required */
    int64_t embedding_dim;    /**< features of a token; default 128 */
    int64_t hidden_dim;       /**< features of a state, per direction; default 256 */
    int32_t num_layers;       /**< 1 (default) to 64 */
    int32_t bidirectional;    /**< not 0: both directions, output_dim = 2 hidden_dim; default 0 */
    int32_t pooling;          /**< MTL_POOLING_LAST (default), _MEAN or _MAX */
    int32_t reserved0;        /**< 0 */
    double embedding_dropout; /**< probability, on embedded tokens; default 0 */
    double layer_dropout;     /**< probability, between layers; default 0 */
    double output_dropout;    /**< probability, on the pooled result; default 0 */
} mtl_lstm_options;

/** Initializer of mtl_lstm_options; vocabulary_size must be filled in. */
#define MTL_LSTM_OPTIONS_INIT { sizeof(mtl_lstm_options), 0, 128, 256, 1, 0, MTL_POOLING_LAST, 0, 0.0, 0.0, 0.0 }

/** Creates the LSTM encoder: embedding, dropout, LSTM layers, pooling, dropout.
 *
 *  Parameters, with PyTorch's names and shapes: `embedding.weight` [vocabulary, embedding_dim], normal with standard
 *  deviation 0.1; `lstm.weight_ih_l0` [4 hidden, in], `lstm.weight_hh_l0`, `lstm.bias_ih_l0`, `lstm.bias_hh_l0`, and
 *  `_reverse`, uniform in ±1/sqrt(hidden), the forget gate's bias_ih at 1.
 *
 *  @param[in]  context  not NULL
 *  @param[in]  options  not NULL
 *  @param[out] out      receives the encoder; untouched on failure
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_UNSUPPORTED, MTL_ERROR_LIMIT, MTL_ERROR_MEMORY
 *  @ownership the caller owns one reference: mtl_encoder_release()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_encoder_create_lstm(mtl_context *context, const mtl_lstm_options *options,
                                                         mtl_encoder **out);

/** Takes one more reference. @param[in] encoder may be NULL @return encoder @threadsafety any thread @since 0.1 */
MTL_API mtl_encoder *mtl_encoder_retain(mtl_encoder *encoder);

/** Gives a reference back. @param[in] encoder may be NULL @threadsafety any thread @since 0.1 */
MTL_API void mtl_encoder_release(mtl_encoder *encoder);

/** The features of the result. @param[in] encoder not NULL @return output_dim; 0 for NULL @since 0.1 */
MTL_API int64_t mtl_encoder_output_dim(const mtl_encoder *encoder);

/** Encodes a batch.
 *
 *  @param[in] encoder  not NULL
 *  @param[in] tape     the tape; errors are kept there
 *  @param[in] inputs   what the encoder takes; the LSTM encoder: ragged int32 token ids
 *  @return [rows, output_dim], of the tape, never NULL
 *  @since 0.1
 */
MTL_API mtl_tensor *mtl_encoder_forward(mtl_encoder *encoder, mtl_tape *tape, mtl_tensor *inputs);

/** The number of parameter tensors. @param[in] encoder not NULL @return 0 for NULL @since 0.1 */
MTL_API int64_t mtl_encoder_num_parameters(const mtl_encoder *encoder);

/** A parameter by name, without the module's name: "lstm.weight_hh_l0".
 *
 *  @param[in] encoder  not NULL
 *  @param[in] name     not NULL
 *  @return borrowed, while the encoder lives; NULL when there is none of that name
 *  @since 0.1
 */
MTL_API mtl_tensor *mtl_encoder_parameter(mtl_encoder *encoder, const char *name);

MTL_END_DECLS

#endif
