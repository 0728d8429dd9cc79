/* SPDX-License-Identifier: Apache-2.0
 * Moving elements between tensors and the host's memory, with conversion of types. */
#include <inttypes.h>
#include <string.h>

#include "tensor/tensor.h"

static void widen(double *to, const float *from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        to[i] = (double)from[i];
    }
}

static void narrow(float *to, const double *from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        to[i] = (float)from[i];
    }
}

mtl_status mtli_convert(mtl_context *context, mtl_dtype to, void *destination, mtl_dtype from, const void *source,
                        size_t count)
{
    if (to != MTL_FLOAT32 && to != MTL_FLOAT64 && to != MTL_INT32) {
        return mtli_fail(context, MTL_ERROR_DTYPE, "dtype = %d is not a type", (int)to);
    }
    if (to == from) {
        memcpy(destination, source, count * mtli_dtype_size(to));
    } else if (to == MTL_FLOAT64 && from == MTL_FLOAT32) {
        widen(destination, source, count);
    } else if (to == MTL_FLOAT32 && from == MTL_FLOAT64) {
        narrow(destination, source, count);
    } else {
        return mtli_fail(context, MTL_ERROR_DTYPE, "%s and %s do not convert into each other", mtli_dtype_name(from),
                         mtli_dtype_name(to));
    }
    return MTL_OK;
}

/* Tensors of no tape and the static error tensor have no context; a status without a message remains. */
static mtl_status begin(const mtl_tensor *tensor, const char *function)
{
    if (!tensor) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter_function(tensor->context, function);
    if (tensor->kind == MTLI_TENSOR_ERROR) {
        return mtli_fail(tensor->context, MTL_ERROR_STATE,
                         "tensor is the error tensor of a tape: mtl_tape_error() says what failed");
    }
    return MTL_OK;
}

static mtl_status check_count(const mtl_tensor *tensor, const void *values, size_t count)
{
    if (count != (size_t)tensor->size) {
        return mtli_fail(tensor->context, MTL_ERROR_SHAPE, "count = %zu, the tensor has %" PRId64 " elements", count,
                         tensor->size);
    }
    if (count > 0) {
        MTLI_REQUIRE(tensor->context, values);
    }
    return MTL_OK;
}

mtl_status mtl_tensor_read(const mtl_tensor *tensor, mtl_dtype dtype, void *values, size_t count)
{
    mtl_status status = begin(tensor, __func__);
    if (status == MTL_OK) {
        status = check_count(tensor, values, count);
    }
    if (status != MTL_OK || count == 0) {
        return status;
    }
    return mtli_convert(tensor->context, dtype, values, tensor->shape.dtype, tensor->data, count);
}

mtl_status mtl_tensor_write(mtl_tensor *tensor, mtl_dtype dtype, const void *values, size_t count)
{
    mtl_status status = begin(tensor, __func__);
    if (status == MTL_OK && tensor->kind == MTLI_TENSOR_TAPE) {
        status = mtli_fail(tensor->context, MTL_ERROR_STATE, "tensor is the result of an operation and read-only");
    }
    if (status == MTL_OK) {
        status = check_count(tensor, values, count);
    }
    if (status != MTL_OK || count == 0) {
        return status;
    }
    if (dtype != MTL_FLOAT32 && dtype != MTL_FLOAT64 && dtype != MTL_INT32) {
        return mtli_fail(tensor->context, MTL_ERROR_DTYPE, "dtype = %d is not a type", (int)dtype);
    }
    return mtli_convert(tensor->context, tensor->shape.dtype, tensor->data, dtype, values, count);
}

mtl_status mtl_tensor_map(mtl_tensor *tensor, mtl_dtype dtype, void **data)
{
    mtl_status status = begin(tensor, __func__);
    if (status != MTL_OK) {
        return status;
    }
    MTLI_REQUIRE(tensor->context, data);
    if (dtype != tensor->shape.dtype) {
        return mtli_fail(tensor->context, MTL_ERROR_DTYPE, "dtype is %s, the tensor stores %s", mtli_dtype_name(dtype),
                         mtli_dtype_name(tensor->shape.dtype));
    }
    *data = tensor->data;
    return MTL_OK;
}

void mtl_tensor_unmap(mtl_tensor *tensor)
{
    (void)tensor; /* host memory needs nothing; a device copies back here */
}

mtl_status mtl_tensor_item(const mtl_tensor *tensor, double *value)
{
    mtl_status status = begin(tensor, __func__);
    if (status != MTL_OK) {
        return status;
    }
    MTLI_REQUIRE(tensor->context, value);
    if (tensor->size != 1) {
        char text[MTLI_SHAPE_TEXT];
        return mtli_fail(tensor->context, MTL_ERROR_SHAPE, "tensor has shape %s, not one element",
                         mtli_shape_text(&tensor->shape, text));
    }
    *value = tensor->shape.dtype == MTL_INT32 ? (double)*(const int32_t *)tensor->data
                                              : (double)*(const mtli_real *)tensor->data;
    return MTL_OK;
}
