/* SPDX-License-Identifier: Apache-2.0
 * Element types and shapes. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "tensor/tensor.h"

size_t mtli_dtype_size(mtl_dtype dtype)
{
    return dtype == MTL_FLOAT64 ? 8 : 4;
}

const char *mtli_dtype_name(mtl_dtype dtype)
{
    switch ((int)dtype) {
    case MTL_FLOAT32:
        return "float32";
    case MTL_FLOAT64:
        return "float64";
    case MTL_INT32:
        return "int32";
    default:
        return "unknown type";
    }
}

bool mtli_stored_dtype(mtl_dtype dtype, mtl_dtype *stored)
{
    if (dtype == MTL_INT32) {
        *stored = MTL_INT32;
        return true;
    }
    if (dtype == MTL_FLOAT32 || dtype == MTLI_DTYPE_REAL) {
        *stored = MTLI_DTYPE_REAL;
        return true;
    }
    return false;
}

mtl_status mtli_shape_size(mtl_context *context, const mtli_shape *shape, int64_t *size)
{
    char text[MTLI_SHAPE_TEXT];
    if (shape->ndim < 0 || shape->ndim > MTL_MAX_DIMS) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "ndim = %d is not in [0, %d]", shape->ndim, MTL_MAX_DIMS);
    }
    int64_t product = 1;
    bool empty = false;
    /* The sizes beside a 0 count too: loops run over them, and products of some of them are formed. */
    for (int32_t i = 0; i < shape->ndim; i++) {
        if (shape->dims[i] < 0) {
            return mtli_fail(context, MTL_ERROR_ARGUMENT, "shape[%d] = %" PRId64 " is negative", i, shape->dims[i]);
        }
        empty = empty || shape->dims[i] == 0;
    }
    for (int32_t i = 0; i < shape->ndim; i++) {
        int64_t dim = shape->dims[i] == 0 ? 1 : shape->dims[i];
        if (!mtli_mul_i64(product, dim, &product) || (empty && product > INT32_MAX)) {
            return mtli_fail(context, MTL_ERROR_LIMIT, "the size of shape %s overflows", mtli_shape_text(shape, text));
        }
    }
    product = empty ? 0 : product;
    if ((uint64_t)product > (SIZE_MAX >> 1) / mtli_dtype_size(shape->dtype)) {
        return mtli_fail(context, MTL_ERROR_LIMIT, "shape %s does not fit in memory", mtli_shape_text(shape, text));
    }
    *size = product;
    return MTL_OK;
}

mtli_shape mtli_make_shape(mtl_dtype dtype, int32_t ndim, const int64_t *dims)
{
    mtli_shape shape = {.dtype = dtype, .ndim = ndim};
    for (int32_t i = 0; i < ndim && i < MTL_MAX_DIMS; i++) {
        shape.dims[i] = dims[i];
    }
    return shape;
}

bool mtli_same_dims(const mtli_shape *a, const mtli_shape *b)
{
    return a->ndim == b->ndim && memcmp(a->dims, b->dims, (size_t)a->ndim * sizeof a->dims[0]) == 0;
}

int64_t mtli_features(const mtl_tensor *tensor)
{
    return tensor->shape.ndim == 0 ? 1 : tensor->shape.dims[tensor->shape.ndim - 1];
}

int64_t mtli_leading(const mtl_tensor *tensor)
{
    int64_t product = 1;
    for (int32_t i = 0; i + 1 < tensor->shape.ndim; i++) {
        product *= tensor->shape.dims[i];
    }
    return product;
}

const char *mtli_shape_text(const mtli_shape *shape, char text[MTLI_SHAPE_TEXT])
{
    size_t used = (size_t)snprintf(text, MTLI_SHAPE_TEXT, "%s[", shape->ragged ? "ragged " : "");
    for (int32_t i = 0; i < shape->ndim && i < MTL_MAX_DIMS; i++) {
        used += (size_t)snprintf(text + used, MTLI_SHAPE_TEXT - used, "%s%" PRId64, i ? ", " : "", shape->dims[i]);
    }
    snprintf(text + used, MTLI_SHAPE_TEXT - used, "]");
    return text;
}
