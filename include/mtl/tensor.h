/* SPDX-License-Identifier: Apache-2.0 */
/** @file tensor.h
 *  @brief Tensors: one opaque type for inputs, labels, parameters and results.
 *
 *  Tensors are dense and row-major (the last dimension is contiguous) with up to MTL_MAX_DIMS dimensions. Real tensors
 *  compute in float32. A tensor may carry **row offsets** that divide its first dimension into sequences of different
 *  lengths: it is then *ragged*, and no padding is stored or computed.
 *
 *  **Ownership.** What the host creates is reference-counted. What an operation returns belongs to its tape, lives until
 *  mtl_tape_reset(), and retain/release do nothing to it. What a model or module hands out is borrowed.
 *
 *  **Threads.** As the context.
 */
#ifndef MTL_TENSOR_H
#define MTL_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include <mtl/context.h>

MTL_BEGIN_DECLS

/** A tensor. */
typedef struct mtl_tensor mtl_tensor;

/** The most dimensions that a tensor may have. */
#define MTL_MAX_DIMS 4

/** Element types. */
typedef enum mtl_dtype {
    MTL_FLOAT32 = 0, /**< IEEE 754 single precision */
    MTL_FLOAT64 = 1, /**< IEEE 754 double precision: for moving data in and out */
    MTL_INT32 = 2,   /**< token ids, labels */
    MTL_DTYPE_FORCE_INT = 0x7fffffff /**< keeps the enum as wide as int */
} mtl_dtype;

/** Creates a tensor of zeros.
 *
 *  @param[in]  context  not NULL
 *  @param[in]  dtype    MTL_FLOAT32 or MTL_INT32
 *  @param[in]  ndim     0 (a scalar) to MTL_MAX_DIMS
 *  @param[in]  shape    ndim sizes, each >= 0; may be NULL when ndim is 0
 *  @param[out] out      receives the tensor; untouched on failure
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_UNSUPPORTED (dtype), MTL_ERROR_LIMIT (size overflows), MTL_ERROR_MEMORY
 *  @ownership the caller owns one reference: mtl_tensor_release()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_tensor_create(mtl_context *context, mtl_dtype dtype, int32_t ndim,
                                                   const int64_t *shape, mtl_tensor **out);

/** Creates a ragged int32 tensor, the batch of token sequences that encoders take.
 *
 *  @param[in]  context  not NULL
 *  @param[in]  rows     number of sequences, >= 0
 *  @param[in]  offsets  rows + 1 values: offsets[0] = 0, not decreasing; sequence r is values[offsets[r] .. offsets[r+1])
 *  @param[in]  values   offsets[rows] token ids; copied; NULL: zeros
 *  @param[out] out      receives a tensor of shape [offsets[rows]]
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_LIMIT, MTL_ERROR_MEMORY
 *  @ownership the caller owns one reference: mtl_tensor_release()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_tensor_create_ragged(mtl_context *context, int64_t rows, const int64_t *offsets,
                                                          const int32_t *values, mtl_tensor **out);

/** Takes one more reference to a tensor of the host.
 *
 *  @param[in] tensor  may be NULL
 *  @return @p tensor
 *  @threadsafety any thread
 *  @since 0.1
 */
MTL_API mtl_tensor *mtl_tensor_retain(mtl_tensor *tensor);

/** Gives a reference back. Nothing happens for NULL, for tensors of a tape and for borrowed parameters.
 *
 *  @param[in] tensor  may be NULL
 *  @threadsafety any thread
 *  @since 0.1
 */
MTL_API void mtl_tensor_release(mtl_tensor *tensor);

/** The element type. @param[in] tensor not NULL @return the type that is stored @since 0.1 */
MTL_API mtl_dtype mtl_tensor_dtype(const mtl_tensor *tensor);

/** The number of dimensions. @param[in] tensor not NULL @return 0 to MTL_MAX_DIMS @since 0.1 */
MTL_API int32_t mtl_tensor_ndim(const mtl_tensor *tensor);

/** One size of the shape.
 *
 *  @param[in] tensor     not NULL
 *  @param[in] dimension  0 to ndim - 1
 *  @return the size, or 0 when there is no such dimension
 *  @since 0.1
 */
MTL_API int64_t mtl_tensor_dim(const mtl_tensor *tensor, int32_t dimension);

/** The number of elements. @param[in] tensor not NULL @return the product of the sizes; 1 for a scalar @since 0.1 */
MTL_API int64_t mtl_tensor_size(const mtl_tensor *tensor);

/** The number of sequences of a ragged tensor. @param[in] tensor not NULL @return -1 when not ragged @since 0.1 */
MTL_API int64_t mtl_tensor_rows(const mtl_tensor *tensor);

/** The row offsets of a ragged tensor.
 *
 *  @param[in] tensor  not NULL
 *  @return mtl_tensor_rows() + 1 borrowed values, or NULL when not ragged
 *  @since 0.1
 */
MTL_API const int64_t *mtl_tensor_offsets(const mtl_tensor *tensor);

/** Copies the elements out, converting to the type of the host's memory.
 *
 *  @param[in]  tensor  any tensor; the error tensor of a tape gives MTL_ERROR_STATE
 *  @param[in]  dtype   type of @p values; real to MTL_INT32 and back is MTL_ERROR_DTYPE
 *  @param[out] values  room for @p count elements
 *  @param[in]  count   must equal mtl_tensor_size()
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_SHAPE (count), MTL_ERROR_DTYPE, MTL_ERROR_STATE
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_tensor_read(const mtl_tensor *tensor, mtl_dtype dtype, void *values, size_t count);

/** Copies elements in, converting from the type of the host's memory.
 *
 *  Writing to a parameter is how a host sets weights itself. Tensors of a tape are read-only.
 *
 *  @param[in] tensor  not NULL
 *  @param[in] dtype   type of @p values
 *  @param[in] values  @p count elements
 *  @param[in] count   must equal mtl_tensor_size()
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_SHAPE (count), MTL_ERROR_DTYPE, MTL_ERROR_STATE (tensor of a tape)
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_tensor_write(mtl_tensor *tensor, mtl_dtype dtype, const void *values, size_t count);

/** Gives access to the stored elements without a copy.
 *
 *  @param[in]  tensor  a host tensor, a parameter or a tape's tensor (to be read only)
 *  @param[in]  dtype   must be mtl_tensor_dtype()
 *  @param[out] data    receives the address of the first element, valid until mtl_tensor_unmap()
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_DTYPE, MTL_ERROR_STATE
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_tensor_map(mtl_tensor *tensor, mtl_dtype dtype, void **data);

/** Ends the access that mtl_tensor_map() began. @param[in] tensor may be NULL @since 0.1 */
MTL_API void mtl_tensor_unmap(mtl_tensor *tensor);

/** The value of a tensor with one element, a loss for instance.
 *
 *  @param[in]  tensor  one element
 *  @param[out] value   receives it
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_SHAPE, MTL_ERROR_STATE
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_tensor_item(const mtl_tensor *tensor, double *value);

MTL_END_DECLS

#endif
