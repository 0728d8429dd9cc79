/* SPDX-License-Identifier: Apache-2.0
 * Layer normalization over the last dimension. */
#include <math.h>

#include <mtl/ops.h>

#include "autograd/segments.h"
#include "kernels/columns.h"
#include "kernels/rows.h"
#include "ops/infer.h"
#include "ops/parallel.h"

enum { NORM_X, NORM_GAIN, NORM_BIAS };

/* What both directions need; mean and rstd are of rows. */
typedef struct norm_loop {
    int64_t rows;
    int64_t width;
    double epsilon;
    const mtli_real *x;
    const mtli_real *gain; /* or NULL */
    const mtli_real *bias; /* or NULL */
    mtli_real *mean;
    mtli_real *rstd;
    const mtli_real *dy;
    mtli_real *out;
    bool accumulate;
} norm_loop;

static mtl_status norm_infer(const mtli_call *call, mtli_shape *shape)
{
    double epsilon = *(const double *)call->attributes;
    if (!(epsilon > 0) || !isfinite(epsilon)) {
        return mtli_fail(mtli_call_context(call), MTL_ERROR_ARGUMENT, "epsilon = %g is not positive and finite",
                         epsilon);
    }
    mtl_status status = mtli_infer_rows(call, shape);
    int64_t features = mtli_features(call->inputs[NORM_X]);
    for (int32_t i = NORM_GAIN; i <= NORM_BIAS && status == MTL_OK; i++) {
        if (call->inputs[i]) {
            status = mtli_expect_real(call, i);
            if (status == MTL_OK) {
                status = mtli_expect_dims(call, i, 1, &features);
            }
        }
    }
    return status;
}

static norm_loop make_norm_loop(const mtli_call *call, mtli_real *saved)
{
    const mtl_tensor *gain = call->inputs[NORM_GAIN];
    const mtl_tensor *bias = call->inputs[NORM_BIAS];
    int64_t rows = mtli_leading(call->output);
    norm_loop loop = {.rows = rows,
                      .width = mtli_features(call->output),
                      .epsilon = *(const double *)call->attributes,
                      .x = mtli_input_real(call, NORM_X),
                      .gain = gain ? gain->data : NULL,
                      .bias = bias ? bias->data : NULL,
                      .mean = saved,
                      .rstd = saved + rows};
    return loop;
}

static void norm_range(void *argument, int64_t begin, int64_t end)
{
    const norm_loop *loop = argument;
    for (int64_t r = begin; r < end; r++) {
        int64_t first = r * loop->width;
        mtli_layer_norm_row(loop->width, loop->x + first, loop->gain, loop->bias, loop->epsilon, loop->out + first,
                            loop->mean + r, loop->rstd + r);
    }
}

static mtl_status norm_forward(mtli_call *call)
{
    size_t count = 2 * (size_t)mtli_leading(call->output);
    mtli_real *saved = mtli_call_records(call) ? mtli_tape_memory(call, count, sizeof saved[0])
                                               : mtli_tape_scratch(call, count, sizeof saved[0]);
    if (!saved) {
        return mtli_call_context(call)->status;
    }
    call->saved = saved;
    norm_loop loop = make_norm_loop(call, saved);
    loop.out = mtli_output_real(call);
    mtli_for_range(call, loop.rows, mtli_rows_per_chunk(loop.width), norm_range, &loop);
    return MTL_OK;
}

static void norm_backward_range(void *argument, int64_t begin, int64_t end)
{
    const norm_loop *loop = argument;
    for (int64_t r = begin; r < end; r++) {
        int64_t first = r * loop->width;
        mtli_layer_norm_row_backward(loop->width, loop->x + first, loop->gain, loop->mean[r], loop->rstd[r],
                                     loop->dy + first, loop->out + first, loop->accumulate);
    }
}

static void norm_gain_range(void *argument, int64_t begin, int64_t end)
{
    const norm_loop *loop = argument;
    mtli_add_column_normalized(loop->rows, loop->width, begin, end, loop->x, loop->mean, loop->rstd, loop->dy,
                               loop->out);
}

static void norm_bias_range(void *argument, int64_t begin, int64_t end)
{
    const norm_loop *loop = argument;
    mtli_add_column_sums(loop->rows, loop->width, begin, end, loop->dy, loop->out);
}

static void add_norm_weights(const mtli_call *call, mtli_sweep *sweep, norm_loop *loop)
{
    int64_t columns = loop->rows * loop->width > MTLI_CHUNK ? MTLI_COLUMN_BLOCK : loop->width;
    loop->out = mtli_gradient(call, sweep, NORM_GAIN);
    if (loop->out) {
        mtli_for_range(call, loop->width, columns, norm_gain_range, loop);
    }
    loop->out = mtli_gradient(call, sweep, NORM_BIAS);
    if (loop->out) {
        mtli_for_range(call, loop->width, columns, norm_bias_range, loop);
    }
}

static mtl_status norm_segment(const mtli_call *call, mtli_sweep *sweep, int32_t segment, const norm_loop *all)
{
    norm_loop loop = *all;
    const int32_t *positions =
        mtli_segment_positions(call, sweep, call->inputs[NORM_X], all->rows, segment, &loop.rows);
    size_t rows = (size_t)loop.rows;
    mtli_real *x = positions ? mtli_tape_scratch(call, rows, 2 * ((size_t)loop.width + 1) * sizeof x[0]) : NULL;
    if (!x) {
        return mtli_call_context(call)->status;
    }
    mtli_real *dy = x + loop.rows * loop.width;
    loop.mean = dy + loop.rows * loop.width;
    loop.rstd = loop.mean + loop.rows;
    mtli_segment_gather(loop.rows, positions, loop.width, all->x, x);
    mtli_segment_gather_gradient(sweep, call->inputs[NORM_X], all->rows, segment, loop.width, all->dy, dy);
    mtli_segment_gather(loop.rows, positions, 1, all->mean, loop.mean);
    mtli_segment_gather(loop.rows, positions, 1, all->rstd, loop.rstd);
    loop.x = x;
    loop.dy = dy;
    mtli_sweep_select(sweep, segment);
    add_norm_weights(call, sweep, &loop);
    return MTL_OK;
}

static mtl_status norm_backward(const mtli_call *call, mtli_sweep *sweep)
{
    norm_loop loop = make_norm_loop(call, call->saved);
    loop.dy = mtli_output_gradient(call, sweep);
    const mtli_segments *segments = mtli_sweep_segments(sweep);
    bool fresh = false;
    loop.out = mtli_gradient_fresh(call, sweep, NORM_X, &fresh);
    loop.accumulate = !fresh;
    if (loop.out) {
        mtli_for_range(call, loop.rows, mtli_rows_per_chunk(loop.width), norm_backward_range, &loop);
    }
    if (!segments) {
        add_norm_weights(call, sweep, &loop);
        return MTL_OK;
    }
    mtl_status status = MTL_OK;
    for (int32_t t = 0; t < segments->count && status == MTL_OK; t++) {
        status = norm_segment(call, sweep, t, &loop);
    }
    return status;
}

static const char *const norm_inputs[] = {"x", "gain", "bias", NULL};

const mtli_op mtli_op_layer_norm = {
    .name = "mtl_layer_norm",
    .input_names = norm_inputs,
    .optional_inputs = 1u << NORM_GAIN | 1u << NORM_BIAS,
    .weight_inputs = 1u << NORM_GAIN | 1u << NORM_BIAS,
    .flags = MTLI_OP_ROW_SEPARABLE | MTLI_OP_SEGMENTS,
    .infer = norm_infer,
    .forward = norm_forward,
    .backward = norm_backward,
};

mtl_tensor *mtl_layer_norm(mtl_tape *tape, mtl_tensor *x, mtl_tensor *gain, mtl_tensor *bias, double epsilon)
{
    mtl_tensor *inputs[] = {x, gain, bias};
    return mtli_run(tape, &mtli_op_layer_norm, inputs, 3, &epsilon, sizeof epsilon);
}
