/* SPDX-License-Identifier: Apache-2.0
 * Tensors joined along the last dimension, and rows chosen by index. */
#include <inttypes.h>
#include <string.h>

#include <mtl/ops.h>

#include "ops/infer.h"

/* concat ----------------------------------------------------------------------------------------------------------- */

static bool same_but_last(const mtli_shape *a, const mtli_shape *b)
{
    return a->ndim == b->ndim && memcmp(a->dims, b->dims, (size_t)(a->ndim - 1) * sizeof a->dims[0]) == 0;
}

/* Adds input `index` to the shape that the inputs before it have made; *ragged is the first ragged one of them. */
static mtl_status join_shape(const mtli_call *call, int32_t index, mtli_shape *shape, int32_t *ragged)
{
    const mtl_tensor *input = call->inputs[index];
    mtl_status status = mtli_expect_real(call, index);
    if (status == MTL_OK) {
        status = mtli_expect_ndim(call, index, 1, MTL_MAX_DIMS);
    }
    if (status != MTL_OK) {
        return status;
    }
    if (index == 0) {
        *shape = input->shape;
    } else if (!same_but_last(shape, &input->shape)) {
        return mtli_fail_shapes(call, 0, index, "all sizes but the last must be equal");
    } else {
        int64_t *last = &shape->dims[shape->ndim - 1];
        int64_t more = mtli_features(input);
        if (more > INT64_MAX - *last) {
            return mtli_fail_shapes(call, 0, index, "the sum of the last sizes overflows");
        }
        *last += more;
    }
    if (input->shape.ragged && *ragged >= 0 && !mtli_same_offsets(call->inputs[*ragged], input)) {
        return mtli_fail_shapes(call, *ragged, index, "their row offsets differ");
    }
    *ragged = *ragged < 0 && input->shape.ragged ? index : *ragged;
    return MTL_OK;
}

static mtl_status concat_infer(const mtli_call *call, mtli_shape *shape)
{
    mtl_status status = MTL_OK;
    int32_t ragged = -1;
    for (int32_t i = 0; i < call->num_inputs && status == MTL_OK; i++) {
        status = join_shape(call, i, shape, &ragged);
    }
    /* In one dimension the sequences themselves are joined: the offsets no longer fit. */
    shape->ragged = ragged >= 0 && shape->ndim > 1 ? call->inputs[ragged]->shape.ragged : NULL;
    return status;
}

static mtl_status concat_forward(mtli_call *call)
{
    int64_t rows = mtli_leading(call->output);
    int64_t width = mtli_features(call->output);
    mtli_real *y = mtli_output_real(call);
    for (int32_t i = 0; i < call->num_inputs; i++) {
        int64_t part = mtli_features(call->inputs[i]);
        const mtli_real *x = mtli_input_real(call, i);
        for (int64_t r = 0; r < rows; r++) {
            memcpy(y + r * width, x + r * part, (size_t)part * sizeof y[0]);
        }
        y += part;
    }
    return MTL_OK;
}

static void take_part(int64_t rows, int64_t part, int64_t width, const mtli_real *dy, mtli_real *restrict dx,
                      bool accumulate)
{
    for (int64_t r = 0; r < rows; r++, dy += width, dx += part) {
        for (int64_t j = 0; j < part; j++) {
            dx[j] = accumulate ? dx[j] + dy[j] : dy[j];
        }
    }
}

static mtl_status concat_backward(const mtli_call *call, mtli_sweep *sweep)
{
    const mtli_real *dy = mtli_output_gradient(call, sweep);
    for (int32_t i = 0; i < call->num_inputs; i++) {
        int64_t part = mtli_features(call->inputs[i]);
        bool fresh = false;
        mtli_real *dx = mtli_gradient_fresh(call, sweep, i, &fresh);
        if (dx) {
            take_part(mtli_leading(call->output), part, mtli_features(call->output), dy, dx, !fresh);
        }
        dy += part;
    }
    return MTL_OK;
}

static const char *const concat_inputs[] = {"inputs", NULL};

const mtli_op mtli_op_concat = {
    .name = "mtl_concat",
    .input_names = concat_inputs,
    .flags = MTLI_OP_ROW_SEPARABLE,
    .infer = concat_infer,
    .forward = concat_forward,
    .backward = concat_backward,
};

static mtl_tensor *fail_concat(mtl_tape *tape, mtl_tensor *const *inputs, int32_t count)
{
    mtl_context *context = tape->context;
    mtli_enter_function(context, "mtl_concat");
    if (!inputs) {
        return mtli_tape_fail(tape, mtli_fail(context, MTL_ERROR_ARGUMENT, "inputs is NULL"));
    }
    if (count < 1) {
        return mtli_tape_fail(tape, mtli_fail(context, MTL_ERROR_ARGUMENT, "count = %d is less than 1", count));
    }
    return mtli_tape_fail(tape,
                          mtli_fail(context, MTL_ERROR_LIMIT, "count = %d is more than %d", count, MTLI_MAX_INPUTS));
}

mtl_tensor *mtl_concat(mtl_tape *tape, mtl_tensor *const *inputs, int32_t count)
{
    bool wrong = !inputs || count < 1 || count > MTLI_MAX_INPUTS;
    if (wrong && !mtli_tape_stopped(tape)) {
        return fail_concat(tape, inputs, count);
    }
    return mtli_run(tape, &mtli_op_concat, inputs, count, NULL, 0);
}

/* rows ------------------------------------------------------------------------------------------------------------- */

enum { ROWS_X, ROWS_INDICES };

static mtl_status rows_infer(const mtli_call *call, mtli_shape *shape)
{
    mtl_status status = mtli_expect_real(call, ROWS_X);
    if (status == MTL_OK) {
        status = mtli_expect_ndim(call, ROWS_X, 1, MTL_MAX_DIMS);
    }
    if (status == MTL_OK) {
        status = mtli_expect_int32(call, ROWS_INDICES);
    }
    if (status == MTL_OK) {
        status = mtli_expect_ndim(call, ROWS_INDICES, 1, 1);
    }
    const mtli_shape *x = &call->inputs[ROWS_X]->shape;
    if (status == MTL_OK && x->ragged) {
        char text[MTLI_SHAPE_TEXT];
        status = mtli_fail(mtli_call_context(call), MTL_ERROR_SHAPE, "x has shape %s: it must not be ragged",
                           mtli_shape_text(x, text));
    }
    *shape = *x;
    shape->dims[0] = call->inputs[ROWS_INDICES]->shape.dims[0];
    shape->ragged = call->inputs[ROWS_INDICES]->shape.ragged;
    return status;
}

static int64_t row_size(const mtl_tensor *x)
{
    int64_t product = 1;
    for (int32_t i = 1; i < x->shape.ndim; i++) {
        product *= x->shape.dims[i];
    }
    return product;
}

static mtl_status rows_forward(mtli_call *call)
{
    const mtl_tensor *x = call->inputs[ROWS_X];
    const int32_t *indices = mtli_input_int32(call, ROWS_INDICES);
    int64_t count = call->output->shape.dims[0];
    int64_t width = row_size(x);
    mtli_real *y = mtli_output_real(call);
    for (int64_t n = 0; n < count; n++) {
        if (indices[n] < 0 || indices[n] >= x->shape.dims[0]) {
            return mtli_fail(mtli_call_context(call), MTL_ERROR_ARGUMENT,
                             "indices[%" PRId64 "] = %" PRId32 " is not in [0, %" PRId64 ")", n, indices[n],
                             x->shape.dims[0]);
        }
        memcpy(y + n * width, mtli_input_real(call, ROWS_X) + indices[n] * width, (size_t)width * sizeof y[0]);
    }
    return MTL_OK;
}

static mtl_status rows_backward(const mtli_call *call, mtli_sweep *sweep)
{
    const mtli_real *dy = mtli_output_gradient(call, sweep);
    const int32_t *indices = mtli_input_int32(call, ROWS_INDICES);
    int64_t count = call->output->shape.dims[0];
    if (call->inputs[ROWS_X]->shape.ndim == 2) {
        return mtli_gradient_rows(call, sweep, ROWS_X, indices, count, dy);
    }
    int64_t width = row_size(call->inputs[ROWS_X]);
    mtli_real *dx = mtli_gradient(call, sweep, ROWS_X);
    for (int64_t n = 0; n < count && dx; n++) {
        take_part(1, width, width, dy + n * width, dx + indices[n] * width, true);
    }
    return MTL_OK;
}

static const char *const rows_inputs[] = {"x", "indices", NULL};

const mtli_op mtli_op_rows = {
    .name = "mtl_rows",
    .input_names = rows_inputs,
    .infer = rows_infer,
    .forward = rows_forward,
    .backward = rows_backward,
};

mtl_tensor *mtl_rows(mtl_tape *tape, mtl_tensor *x, mtl_tensor *indices)
{
    mtl_tensor *inputs[] = {x, indices};
    return mtli_run(tape, &mtli_op_rows, inputs, 2, NULL, 0);
}
