/* SPDX-License-Identifier: Apache-2.0
 * The checks that operations have in common, with one wording for all. */
#include <inttypes.h>

#include "autograd/op.h"

const char *mtli_input_name(const mtli_call *call, int32_t index)
{
    const char *const *names = call->op->input_names;
    for (int32_t i = 0; i < index && names[1]; i++) {
        names++;
    }
    return *names;
}

static mtl_status expect_dtype(const mtli_call *call, int32_t index, mtl_dtype dtype)
{
    mtl_dtype given = call->inputs[index]->shape.dtype;
    if (given == dtype) {
        return MTL_OK;
    }
    return mtli_fail(mtli_call_context(call), MTL_ERROR_DTYPE, "%s is %s, not %s", mtli_input_name(call, index),
                     mtli_dtype_name(given), mtli_dtype_name(dtype));
}

mtl_status mtli_expect_real(const mtli_call *call, int32_t index)
{
    return expect_dtype(call, index, MTLI_DTYPE_REAL);
}

mtl_status mtli_expect_int32(const mtli_call *call, int32_t index)
{
    return expect_dtype(call, index, MTL_INT32);
}

static mtl_status fail_shape(const mtli_call *call, int32_t index, const char *wanted)
{
    char text[MTLI_SHAPE_TEXT];
    return mtli_fail(mtli_call_context(call), MTL_ERROR_SHAPE, "%s has shape %s, %s", mtli_input_name(call, index),
                     mtli_shape_text(&call->inputs[index]->shape, text), wanted);
}

mtl_status mtli_expect_ndim(const mtli_call *call, int32_t index, int32_t least, int32_t most)
{
    int32_t ndim = call->inputs[index]->shape.ndim;
    if (ndim >= least && ndim <= most) {
        return MTL_OK;
    }
    char text[MTLI_SHAPE_TEXT];
    return mtli_fail(mtli_call_context(call), MTL_ERROR_SHAPE, "%s has shape %s: it needs %d to %d dimensions",
                     mtli_input_name(call, index), mtli_shape_text(&call->inputs[index]->shape, text), least, most);
}

mtl_status mtli_expect_ragged(const mtli_call *call, int32_t index)
{
    return call->inputs[index]->shape.ragged
               ? MTL_OK
               : fail_shape(call, index, "without row offsets: it must be ragged (mtl_tensor_create_ragged)");
}

mtl_status mtli_expect_dims(const mtli_call *call, int32_t index, int32_t ndim, const int64_t *dims)
{
    const mtli_shape *given = &call->inputs[index]->shape;
    bool same = given->ndim == ndim;
    for (int32_t i = 0; i < ndim && same; i++) {
        same = dims[i] < 0 || dims[i] == given->dims[i];
    }
    if (same) {
        return MTL_OK;
    }
    char text[MTLI_SHAPE_TEXT];
    char expected[MTLI_SHAPE_TEXT];
    mtli_shape wanted = mtli_make_shape(given->dtype, ndim, dims);
    return mtli_fail(mtli_call_context(call), MTL_ERROR_SHAPE, "%s has shape %s, expected %s%s",
                     mtli_input_name(call, index), mtli_shape_text(given, text), mtli_shape_text(&wanted, expected),
                     ndim > 0 && dims[0] < 0 ? " (-1: any)" : "");
}

mtl_status mtli_fail_shapes(const mtli_call *call, int32_t first, int32_t second, const char *reason)
{
    char a[MTLI_SHAPE_TEXT];
    char b[MTLI_SHAPE_TEXT];
    return mtli_fail(mtli_call_context(call), MTL_ERROR_SHAPE, "%s has shape %s, %s has shape %s: %s",
                     mtli_input_name(call, first), mtli_shape_text(&call->inputs[first]->shape, a),
                     mtli_input_name(call, second), mtli_shape_text(&call->inputs[second]->shape, b), reason);
}
