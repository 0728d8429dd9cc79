/* SPDX-License-Identifier: Apache-2.0 */
/** @file gradients.h
 *  @brief Gradients are explicit: an object that a backward pass writes and an optimizer step reads.
 *
 *  It tells *untouched* from zero: a parameter that the pass did not reach is not updated. The gradient of an embedding
 *  table is *row-sparse*: only the rows that occurred are kept, in norms, sums, clipping and steps.
 */
#ifndef MTL_GRADIENTS_H
#define MTL_GRADIENTS_H

#include <stddef.h>
#include <stdint.h>

#include <mtl/model.h>

MTL_BEGIN_DECLS

/** Gradients of all parameters of a model. */
typedef struct mtl_gradients mtl_gradients;

/** Creates untouched gradients for a model. From now on no module can be added to it.
 *
 *  @param[in]  model  not NULL
 *  @param[out] out    receives the gradients; untouched on failure
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_MEMORY
 *  @ownership the caller owns them: mtl_gradients_destroy()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_gradients_create(mtl_model *model, mtl_gradients **out);

/** Ends gradients. @param[in] gradients may be NULL @since 0.1 */
MTL_API void mtl_gradients_destroy(mtl_gradients *gradients);

/** Makes every parameter untouched. @param[in] gradients may be NULL @since 0.1 */
MTL_API void mtl_gradients_clear(mtl_gradients *gradients);

/** Whether a pass reached a parameter. @param[in] gradients not NULL @param[in] parameter of the model
 *  @return 1 or 0 @since 0.1 */
MTL_API int32_t mtl_gradients_touched(const mtl_gradients *gradients, const mtl_tensor *parameter);

/** Copies a parameter's gradient out, dense, zero where untouched.
 *
 *  @param[in]  gradients  not NULL
 *  @param[in]  parameter  of the model
 *  @param[in]  dtype      MTL_FLOAT32 or MTL_FLOAT64
 *  @param[out] values     room for count
 *  @param[in]  count      size of the parameter
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_SHAPE, MTL_ERROR_DTYPE
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_gradients_read(const mtl_gradients *gradients, const mtl_tensor *parameter,
                                                    mtl_dtype dtype, void *values, size_t count);

/** The touched rows of a row-sparse gradient, ascending.
 *
 *  @param[in]  gradients  not NULL
 *  @param[in]  parameter  of the model
 *  @param[out] rows       receives a borrowed array, valid until the gradients change; may be NULL
 *  @return the number of rows; -1 when the gradient is dense or untouched
 *  @since 0.1
 */
MTL_API int64_t mtl_gradients_rows(const mtl_gradients *gradients, const mtl_tensor *parameter, const int32_t **rows);

/** The Euclidean norm of all gradients together, summed in double. NaN or infinity shows here.
 *  @param[in] gradients not NULL @return the norm; 0 for NULL @since 0.1 */
MTL_API double mtl_gradients_norm(const mtl_gradients *gradients);

/** The inner product of two gradients of one model, summed in double.
 *  @param[in] a not NULL @param[in] b not NULL @param[out] out receives it
 *  @return MTL_OK or MTL_ERROR_ARGUMENT @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_gradients_dot(const mtl_gradients *a, const mtl_gradients *b, double *out);

/** Multiplies all gradients by a number. @param[in] gradients may be NULL @param[in] factor the number @since 0.1 */
MTL_API void mtl_gradients_scale(mtl_gradients *gradients, double factor);

/** gradients += factor * other: accumulation over steps, all-reduce.
 *
 *  @param[in] gradients  not NULL
 *  @param[in] factor     the number
 *  @param[in] other      of the same model
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_MEMORY (new rows; no value has changed)
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_gradients_add(mtl_gradients *gradients, double factor, const mtl_gradients *other);

/** Scales the gradients down so that their norm is at most max_norm (Pascanu, Mikolov & Bengio 2013).
 *
 *  @param[in]  gradients  not NULL
 *  @param[in]  max_norm   > 0
 *  @param[out] norm       receives the norm before; may be NULL
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_NUMERIC (the norm is not finite: nothing is changed)
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_gradients_clip(mtl_gradients *gradients, double max_norm, double *norm);

/** The backward pass of one scalar: writes d(seed * loss)/d(parameter) for every parameter of the model.
 *
 *  mtl_objective_backward() is this for the weighted sum over tasks.
 *
 *  @param[in]  tape       in mode MTL_TAPE_TRAIN
 *  @param[in]  loss       a scalar of the tape
 *  @param[in]  seed       factor, usually 1
 *  @param[out] gradients  overwritten; a failure found before the pass leaves them as they were, one during the pass (for
 *                         want of memory, or of a custom operation) clears them
 *  @return MTL_OK, the tape's first error, MTL_ERROR_ARGUMENT, MTL_ERROR_SHAPE, MTL_ERROR_STATE, MTL_ERROR_MEMORY
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_tape_backward(mtl_tape *tape, mtl_tensor *loss, double seed,
                                                   mtl_gradients *gradients);

MTL_END_DECLS

#endif
