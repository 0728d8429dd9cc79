/* SPDX-License-Identifier: Apache-2.0
 * Common inference of shapes. */
#include "ops/infer.h"

#include <string.h>

mtl_status mtli_infer_same(const mtli_call *call, mtli_shape *shape)
{
    *shape = call->inputs[0]->shape;
    return mtli_expect_real(call, 0);
}

mtl_status mtli_infer_scalar(const mtli_call *call, mtli_shape *shape)
{
    shape->ndim = 0;
    return mtli_expect_real(call, 0);
}

mtl_status mtli_infer_rows(const mtli_call *call, mtli_shape *shape)
{
    mtl_status status = mtli_infer_same(call, shape);
    if (status == MTL_OK) {
        status = mtli_expect_ndim(call, 0, 1, MTL_MAX_DIMS);
    }
    if (status == MTL_OK && mtli_features(call->inputs[0]) == 0) {
        char text[MTLI_SHAPE_TEXT];
        status =
            mtli_fail(mtli_call_context(call), MTL_ERROR_SHAPE, "%s has shape %s: the last size must be at least 1",
                      mtli_input_name(call, 0), mtli_shape_text(shape, text));
    }
    return status;
}

bool mtli_same_offsets(const mtl_tensor *a, const mtl_tensor *b)
{
    const mtli_ragged *left = a->shape.ragged;
    const mtli_ragged *right = b->shape.ragged;
    return left == right || (left->rows == right->rows &&
                             memcmp(left->offsets, right->offsets, ((size_t)left->rows + 1) * sizeof(int64_t)) == 0);
}

bool mtli_import_op_options(mtl_tape *tape, const char *function, void *known, size_t known_size, const void *given)
{
    mtli_enter_function(tape->context, function);
    mtl_status status = mtli_import_options(tape->context, "options", known, known_size, known_size, given);
    if (status != MTL_OK) {
        mtli_tape_fail(tape, status);
    }
    return status == MTL_OK;
}
