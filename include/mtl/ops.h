/* SPDX-License-Identifier: Apache-2.0 */
/** @file ops.h
 *  @brief Operations on a tape.
 *
 *  Shapes are written [first, ..., last]. "Features" is the last dimension; "rows" is the product of the others. A ragged
 *  input makes a ragged result where the rows stay in place. Every function:
 *  - takes a tape (NULL gives a static error tensor) and tensors, which are not NULL where "or NULL" is not said;
 *  - returns a tensor of the tape, never NULL; on failure the tape's error tensor (see tape.h);
 *  - fails with MTL_ERROR_ARGUMENT, MTL_ERROR_SHAPE, MTL_ERROR_DTYPE, MTL_ERROR_STATE (a tensor of another tape, or of this
 *    one before its reset), MTL_ERROR_LIMIT or MTL_ERROR_MEMORY, read by mtl_tape_status();
 *  - has an exact gradient with respect to every real input.
 */
#ifndef MTL_OPS_H
#define MTL_OPS_H

#include <stddef.h>
#include <stdint.h>

#include <mtl/tape.h>

MTL_BEGIN_DECLS

/** y = x Wᵀ + b, as torch.nn.Linear.
 *  @param tape the tape @param x [.., in] @param weight [out, in] @param bias [out] or NULL
 *  @return [.., out] @since 0.1 */
MTL_API mtl_tensor *mtl_linear(mtl_tape *tape, mtl_tensor *x, mtl_tensor *weight, mtl_tensor *bias);

/** a + b. The shape of b equals that of a, or is a suffix of it and is repeated over the leading dimensions.
 *  @param tape the tape @param a any shape @param b same shape or a suffix of it
 *  @return shape of a @since 0.1 */
MTL_API mtl_tensor *mtl_add(mtl_tape *tape, mtl_tensor *a, mtl_tensor *b);

/** a * b, element by element; shapes as in mtl_add().
 *  @param tape the tape @param a any shape @param b same shape or a suffix of it
 *  @return shape of a @since 0.1 */
MTL_API mtl_tensor *mtl_mul(mtl_tape *tape, mtl_tensor *a, mtl_tensor *b);

/** factor * x. @param tape the tape @param x any shape @param factor finite
 *  @return shape of x @since 0.1 */
MTL_API mtl_tensor *mtl_scale(mtl_tape *tape, mtl_tensor *x, double factor);

/** Hyperbolic tangent. @param tape the tape @param x any shape @return shape of x @since 0.1 */
MTL_API mtl_tensor *mtl_tanh(mtl_tape *tape, mtl_tensor *x);

/** 1 / (1 + exp(-x)). @param tape the tape @param x any shape @return shape of x @since 0.1 */
MTL_API mtl_tensor *mtl_sigmoid(mtl_tape *tape, mtl_tensor *x);

/** max(0, x); the gradient at 0 is 0. @param tape the tape @param x any shape @return shape of x @since 0.1 */
MTL_API mtl_tensor *mtl_relu(mtl_tape *tape, mtl_tensor *x);

/** x Φ(x) with the normal distribution function, exact (erf), Hendrycks & Gimpel 2016.
 *  @param tape the tape @param x any shape @return shape of x @since 0.1 */
MTL_API mtl_tensor *mtl_gelu(mtl_tape *tape, mtl_tensor *x);

/** In training, sets each element to 0 with the given probability and multiplies the others by 1 / (1 - p)
 *  (Srivastava et al. 2014, inverted). In inference it returns x.
 *
 *  Each call draws new numbers from the context's generator; the result does not depend on the number of threads.
 *  @param tape the tape @param x any shape @param probability 0 <= p < 1
 *  @return shape of x @since 0.1 */
MTL_API mtl_tensor *mtl_dropout(mtl_tape *tape, mtl_tensor *x, double probability);

/** exp(x_j) / Σ_k exp(x_k) over the last dimension, without overflow.
 *  @param tape the tape @param x [.., features], features >= 1 @return shape of x @since 0.1 */
MTL_API mtl_tensor *mtl_softmax(mtl_tape *tape, mtl_tensor *x);

/** Logarithm of mtl_softmax(), computed directly.
 *  @param tape the tape @param x [.., features], features >= 1 @return shape of x @since 0.1 */
MTL_API mtl_tensor *mtl_log_softmax(mtl_tape *tape, mtl_tensor *x);

/** Layer normalization over the last dimension (Ba, Kiros & Hinton 2016): gain * (x - mean) / sqrt(var + eps) + bias.
 *  @param tape the tape @param x [.., features] @param gain [features] or NULL (ones)
 *  @param bias [features] or NULL (zeros) @param epsilon > 0 (PyTorch: 1e-5)
 *  @return shape of x @since 0.1 */
MTL_API mtl_tensor *mtl_layer_norm(mtl_tape *tape, mtl_tensor *x, mtl_tensor *gain, mtl_tensor *bias, double epsilon);

/** Rows of a table: y[n] = table[ids[n]]. The gradient of the LSTM encoder's table is kept as touched rows only.
 *  @param tape the tape @param table [vocabulary, features]
 *  @param ids int32 [..], ragged or not; an id outside [0, vocabulary) is MTL_ERROR_ARGUMENT
 *  @return [.., features], ragged as ids @since 0.1 */
MTL_API mtl_tensor *mtl_embedding(mtl_tape *tape, mtl_tensor *table, mtl_tensor *ids);

/** Weights of one layer and direction of mtl_lstm(), with PyTorch's shapes and gate order i, f, g, o. */
typedef struct mtl_lstm_weights {
    mtl_tensor *weight_ih; /**< [4 hidden, in] */
    mtl_tensor *weight_hh; /**< [4 hidden, hidden] */
    mtl_tensor *bias_ih;   /**< [4 hidden] */
    mtl_tensor *bias_hh;   /**< [4 hidden] */
} mtl_lstm_weights;

/** Long short-term memory over ragged sequences, as torch.nn.LSTM with zero initial state
 *  (Hochreiter & Schmidhuber 1997; Gers et al. 2000).
 *
 *  i, f, o = σ(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), g = tanh(..), c_t = f c_{t-1} + i g, h_t = o tanh(c_t).
 *  No padded step is computed. A sequence of length 0 has no result rows.
 *
 *  @param tape the tape
 *  @param x ragged [tokens, in]
 *  @param weights layers * directions entries: layer 0 forward, layer 0 reverse (if bidirectional), layer 1 forward, ..
 *  @param layers 1 or more
 *  @param bidirectional not 0: a second network reads each sequence from its end; results are [forward, reverse]
 *  @param dropout probability between layers (not after the last)
 *  @return ragged [tokens, hidden * directions] @since 0.1 */
MTL_API mtl_tensor *mtl_lstm(mtl_tape *tape, mtl_tensor *x, const mtl_lstm_weights *weights, int32_t layers,
                             int32_t bidirectional, double dropout);

/** The last row of each sequence. With `split` > 0, features from `split` on are taken from the first row instead: the
 *  final state of a bidirectional network whose reverse half begins at feature `split`.
 *  @param tape the tape @param x ragged [tokens, features] @param split 0 to features
 *  @return [rows, features]; zeros for an empty sequence @since 0.1 */
MTL_API mtl_tensor *mtl_sequence_last(mtl_tape *tape, mtl_tensor *x, int64_t split);

/** The mean of each sequence's rows. @param tape the tape @param x ragged [tokens, features]
 *  @return [rows, features]; zeros for an empty sequence @since 0.1 */
MTL_API mtl_tensor *mtl_sequence_mean(mtl_tape *tape, mtl_tensor *x);

/** The largest value of each feature in each sequence; the first of equals takes the gradient. NaN counts as largest.
 *  @param tape the tape @param x ragged [tokens, features]
 *  @return [rows, features]; zeros for an empty sequence @since 0.1 */
MTL_API mtl_tensor *mtl_sequence_max(mtl_tape *tape, mtl_tensor *x);

/** Joins tensors along the last dimension. All other sizes are equal.
 *  @param tape the tape @param inputs count tensors @param count 1 to 64
 *  @return [.., sum of the last sizes] @since 0.1 */
MTL_API mtl_tensor *mtl_concat(mtl_tape *tape, mtl_tensor *const *inputs, int32_t count);

/** Chooses rows: y[n] = x[indices[n]]; an index may occur more than once.
 *  @param tape the tape @param x [rows, ..] not ragged @param indices int32 [n], each in [0, rows)
 *  @return [n, ..], ragged as indices @since 0.1 */
MTL_API mtl_tensor *mtl_rows(mtl_tape *tape, mtl_tensor *x, mtl_tensor *indices);

/** Sum of all elements. @param tape the tape @param x any shape @return a scalar @since 0.1 */
MTL_API mtl_tensor *mtl_sum(mtl_tape *tape, mtl_tensor *x);

/** Mean of all elements; 0 when there are none. @param tape the tape @param x any shape
 *  @return a scalar @since 0.1 */
MTL_API mtl_tensor *mtl_mean(mtl_tape *tape, mtl_tensor *x);

MTL_END_DECLS

#endif
