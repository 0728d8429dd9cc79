/* SPDX-License-Identifier: Apache-2.0
 * Host tensors: life, shape accessors. Moving data is in transfer.c. */
#include "tensor/tensor.h"

#include <inttypes.h>
#include <string.h>

#include "base/checked.h"

static mtl_tensor *create_bare(mtl_context *context, mtl_dtype dtype)
{
    mtl_tensor *tensor = mtli_allocate_zeroed(context, sizeof *tensor);
    if (!tensor) {
        return NULL;
    }
    tensor->context = mtl_context_retain(context);
    mtli_refcount_init(&tensor->refs);
    tensor->kind = MTLI_TENSOR_HOST;
    tensor->shape.dtype = dtype;
    return tensor;
}

static void destroy(mtl_tensor *tensor)
{
    mtl_context *context = tensor->context;
    mtli_release(context, tensor->data, tensor->capacity);
    mtli_release(context, (void *)(uintptr_t)tensor->ragged.offsets,
                 (size_t)tensor->offsets_capacity * sizeof(int64_t));
    mtli_release(context, tensor, sizeof *tensor);
    mtl_context_release(context);
}

mtl_status mtli_tensor_create_empty(mtl_context *context, mtl_dtype dtype, mtl_tensor **out)
{
    mtl_tensor *tensor = create_bare(context, dtype);
    if (!tensor) {
        return context->status;
    }
    tensor->shape.ndim = 1;
    *out = tensor;
    return MTL_OK;
}

mtl_status mtli_tensor_create(mtl_context *context, const mtli_shape *shape, mtl_tensor **out)
{
    mtl_tensor *tensor = create_bare(context, shape->dtype);
    if (!tensor) {
        return context->status;
    }
    mtl_status status = mtli_tensor_resize(tensor, shape->ndim, shape->dims, -1);
    if (status != MTL_OK) {
        destroy(tensor);
        return status;
    }
    *out = tensor;
    return MTL_OK;
}

mtl_status mtli_tensor_resize(mtl_tensor *tensor, int32_t ndim, const int64_t *dims, int64_t rows)
{
    mtl_context *context = tensor->context;
    mtli_shape shape = mtli_make_shape(tensor->shape.dtype, ndim, dims);
    int64_t size;
    mtl_status status = mtli_shape_size(context, &shape, &size);
    if (status != MTL_OK) {
        return status;
    }
    void *offsets = (void *)(uintptr_t)tensor->ragged.offsets;
    size_t offsets_capacity = (size_t)tensor->offsets_capacity;
    size_t bytes = (size_t)size * mtli_dtype_size(shape.dtype);
    status = mtli_reserve(context, &tensor->data, &tensor->capacity, bytes ? bytes : 1, 1); /* data is never NULL */
    if (status == MTL_OK && rows >= 0) {
        status = mtli_reserve(context, &offsets, &offsets_capacity, (size_t)rows + 1, sizeof(int64_t));
    }
    tensor->ragged.offsets = offsets;
    tensor->offsets_capacity = (int64_t)offsets_capacity;
    if (status != MTL_OK) {
        return status;
    }
    tensor->ragged.rows = rows;
    shape.ragged = rows >= 0 ? &tensor->ragged : NULL;
    tensor->shape = shape;
    tensor->size = size;
    return MTL_OK;
}

int64_t *mtli_tensor_offsets(mtl_tensor *tensor)
{
    return (int64_t *)(uintptr_t)tensor->ragged.offsets;
}

mtl_status mtl_tensor_create(mtl_context *context, mtl_dtype dtype, int32_t ndim, const int64_t *shape,
                             mtl_tensor **out)
{
    if (!context) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(context);
    MTLI_REQUIRE(context, out);
    if (ndim != 0) {
        MTLI_REQUIRE(context, shape);
    }
    mtl_dtype stored;
    if (!mtli_stored_dtype(dtype, &stored)) {
        return mtli_fail(context, MTL_ERROR_UNSUPPORTED,
                         "dtype = %d (%s) cannot be stored; use MTL_FLOAT32 or MTL_INT32", (int)dtype,
                         mtli_dtype_name(dtype));
    }
    mtli_shape wanted = mtli_make_shape(stored, ndim, shape);
    mtl_tensor *tensor = NULL;
    mtl_status status = mtli_tensor_create(context, &wanted, &tensor);
    if (status != MTL_OK) {
        return status;
    }
    memset(tensor->data, 0, (size_t)tensor->size * mtli_dtype_size(stored));
    *out = tensor;
    return MTL_OK;
}

static mtl_status check_offsets(mtl_context *context, int64_t rows, const int64_t *offsets)
{
    if (rows < 0 || rows >= INT64_MAX / 8) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "rows = %" PRId64 " is out of range", rows);
    }
    if (offsets[0] != 0) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "offsets[0] = %" PRId64 " is not 0", offsets[0]);
    }
    for (int64_t r = 0; r < rows; r++) {
        if (offsets[r + 1] < offsets[r]) {
            return mtli_fail(context, MTL_ERROR_ARGUMENT,
                             "offsets[%" PRId64 "] = %" PRId64 " is less than the one before, %" PRId64, r + 1,
                             offsets[r + 1], offsets[r]);
        }
    }
    return MTL_OK;
}

mtl_status mtl_tensor_create_ragged(mtl_context *context, int64_t rows, const int64_t *offsets, const int32_t *values,
                                    mtl_tensor **out)
{
    if (!context) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(context);
    MTLI_REQUIRE(context, offsets);
    MTLI_REQUIRE(context, out);
    mtl_status status = check_offsets(context, rows, offsets);
    if (status != MTL_OK) {
        return status;
    }
    mtl_tensor *tensor = create_bare(context, MTL_INT32);
    if (!tensor) {
        return context->status;
    }
    status = mtli_tensor_resize(tensor, 1, &offsets[rows], rows);
    if (status != MTL_OK) {
        destroy(tensor);
        return status;
    }
    memcpy(mtli_tensor_offsets(tensor), offsets, ((size_t)rows + 1) * sizeof offsets[0]);
    size_t bytes = (size_t)tensor->size * sizeof(int32_t);
    if (values) {
        memcpy(tensor->data, values, bytes);
    } else {
        memset(tensor->data, 0, bytes);
    }
    *out = tensor;
    return MTL_OK;
}

mtl_tensor *mtl_tensor_retain(mtl_tensor *tensor)
{
    if (tensor && tensor->kind == MTLI_TENSOR_HOST) {
        mtli_refcount_retain(&tensor->refs);
    }
    return tensor;
}

void mtl_tensor_release(mtl_tensor *tensor)
{
    if (tensor && tensor->kind == MTLI_TENSOR_HOST && mtli_refcount_release(&tensor->refs)) {
        destroy(tensor);
    }
}

mtl_dtype mtl_tensor_dtype(const mtl_tensor *tensor)
{
    return tensor ? tensor->shape.dtype : MTL_FLOAT32;
}

int32_t mtl_tensor_ndim(const mtl_tensor *tensor)
{
    return tensor ? tensor->shape.ndim : 0;
}

int64_t mtl_tensor_dim(const mtl_tensor *tensor, int32_t dimension)
{
    return tensor && dimension >= 0 && dimension < tensor->shape.ndim ? tensor->shape.dims[dimension] : 0;
}

int64_t mtl_tensor_size(const mtl_tensor *tensor)
{
    return tensor ? tensor->size : 0;
}

int64_t mtl_tensor_rows(const mtl_tensor *tensor)
{
    return tensor && tensor->shape.ragged ? tensor->shape.ragged->rows : -1;
}

const int64_t *mtl_tensor_offsets(const mtl_tensor *tensor)
{
    return tensor && tensor->shape.ragged ? tensor->shape.ragged->offsets : NULL;
}
