/* SPDX-License-Identifier: Apache-2.0
 * y = x W^T + b. */
#include <string.h>

#include <mtl/ops.h>

#include "autograd/segments.h"
#include "ops/product.h"

enum { X, WEIGHT, BIAS };

static mtl_status linear_infer(const mtli_call *call, mtli_shape *shape)
{
    mtl_status status = mtli_expect_real(call, X);
    if (status == MTL_OK) {
        status = mtli_expect_ndim(call, X, 1, MTL_MAX_DIMS);
    }
    if (status == MTL_OK) {
        status = mtli_expect_real(call, WEIGHT);
    }
    if (status == MTL_OK) {
        status = mtli_expect_ndim(call, WEIGHT, 2, 2);
    }
    if (status != MTL_OK) {
        return status;
    }
    const mtl_tensor *weight = call->inputs[WEIGHT];
    if (mtli_features(call->inputs[X]) != weight->shape.dims[1]) {
        return mtli_fail_shapes(call, X, WEIGHT, "the last sizes must be equal");
    }
    if (call->inputs[BIAS]) {
        status = mtli_expect_real(call, BIAS);
        if (status == MTL_OK) {
            status = mtli_expect_dims(call, BIAS, 1, weight->shape.dims);
        }
    }
    *shape = call->inputs[X]->shape;
    shape->dims[shape->ndim - 1] = weight->shape.dims[0];
    return status;
}

static mtl_status linear_forward(mtli_call *call)
{
    int64_t rows = mtli_leading(call->inputs[X]);
    int64_t in = mtli_features(call->inputs[X]);
    int64_t out = call->inputs[WEIGHT]->shape.dims[0];
    mtli_real *y = mtli_output_real(call);
    if (call->inputs[BIAS]) {
        const mtli_real *bias = mtli_input_real(call, BIAS);
        for (int64_t r = 0; r < rows; r++) {
            memcpy(y + r * out, bias, (size_t)out * sizeof y[0]);
        }
    }
    mtli_matrix x = {mtli_input_real(call, X), in, false};
    mtli_matrix weight = {mtli_input_real(call, WEIGHT), in, true};
    return mtli_product(call, rows, out, in, x, weight, y, call->inputs[BIAS] != NULL);
}

static void add_bias_gradient(const mtli_real *dy, int64_t rows, int64_t out, mtli_real *db)
{
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t j = 0; j < out; j++) {
            db[j] += dy[r * out + j];
        }
    }
}

/* Gradients of weight and bias from `rows` rows of x and dy. */
static mtl_status add_weight_gradients(const mtli_call *call, mtli_sweep *sweep, int64_t rows, const mtli_real *x,
                                       const mtli_real *dy)
{
    int64_t in = mtli_features(call->inputs[X]);
    int64_t out = call->inputs[WEIGHT]->shape.dims[0];
    bool fresh = false;
    mtl_status status = MTL_OK;
    mtli_real *dw = mtli_gradient_fresh(call, sweep, WEIGHT, &fresh);
    if (dw) {
        mtli_matrix left = {dy, out, true};
        mtli_matrix right = {x, in, false};
        status = mtli_product(call, out, in, rows, left, right, dw, !fresh);
    }
    mtli_real *db = status == MTL_OK ? mtli_gradient(call, sweep, BIAS) : NULL;
    if (db) {
        add_bias_gradient(dy, rows, out, db);
    }
    return status;
}

static mtl_status linear_segment(const mtli_call *call, mtli_sweep *sweep, int32_t segment, const mtli_real *dy)
{
    int64_t in = mtli_features(call->inputs[X]);
    int64_t out = call->inputs[WEIGHT]->shape.dims[0];
    int64_t rows;
    const int32_t *positions =
        mtli_segment_positions(call, sweep, call->inputs[X], mtli_leading(call->inputs[X]), segment, &rows);
    mtli_real *x = positions ? mtli_tape_scratch(call, (size_t)rows, (size_t)in * sizeof x[0]) : NULL;
    mtli_real *g = x ? mtli_tape_scratch(call, (size_t)rows, (size_t)out * sizeof g[0]) : NULL;
    if (!g) {
        return mtli_call_context(call)->status;
    }
    if (rows == 0) {
        return MTL_OK;
    }
    mtli_segment_gather(rows, positions, in, mtli_input_real(call, X), x);
    mtli_segment_gather_gradient(sweep, call->inputs[X], mtli_leading(call->inputs[X]), segment, out, dy, g);
    mtli_sweep_select(sweep, segment);
    return add_weight_gradients(call, sweep, rows, x, g);
}

static mtl_status linear_backward(const mtli_call *call, mtli_sweep *sweep)
{
    int64_t rows = mtli_leading(call->inputs[X]);
    int64_t in = mtli_features(call->inputs[X]);
    int64_t out = call->inputs[WEIGHT]->shape.dims[0];
    const mtli_real *dy = mtli_output_gradient(call, sweep);
    const mtli_segments *segments = mtli_sweep_segments(sweep);
    bool fresh = false;
    mtl_status status = MTL_OK;
    mtli_real *dx = mtli_gradient_fresh(call, sweep, X, &fresh);
    if (dx) {
        mtli_matrix left = {dy, out, false};
        mtli_matrix weight = {mtli_input_real(call, WEIGHT), in, false};
        status = mtli_product(call, rows, in, out, left, weight, dx, !fresh);
    }
    if (!segments) {
        return status == MTL_OK ? add_weight_gradients(call, sweep, rows, mtli_input_real(call, X), dy) : status;
    }
    for (int32_t t = 0; t < segments->count && status == MTL_OK; t++) {
        status = linear_segment(call, sweep, t, dy);
    }
    return status;
}

static const char *const linear_inputs[] = {"x", "weight", "bias", NULL};

const mtli_op mtli_op_linear = {
    .name = "mtl_linear",
    .input_names = linear_inputs,
    .optional_inputs = 1u << BIAS,
    .weight_inputs = 1u << WEIGHT | 1u << BIAS,
    .flags = MTLI_OP_ROW_SEPARABLE | MTLI_OP_SEGMENTS,
    .infer = linear_infer,
    .forward = linear_forward,
    .backward = linear_backward,
};

mtl_tensor *mtl_linear(mtl_tape *tape, mtl_tensor *x, mtl_tensor *weight, mtl_tensor *bias)
{
    mtl_tensor *inputs[] = {x, weight, bias};
    return mtli_run(tape, &mtli_op_linear, inputs, 3, NULL, 0);
}
