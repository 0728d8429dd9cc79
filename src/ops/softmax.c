/* SPDX-License-Identifier: Apache-2.0
 * Softmax and its logarithm over the last dimension. */
#include <mtl/ops.h>

#include "kernels/rows.h"
#include "ops/infer.h"
#include "ops/parallel.h"

typedef struct softmax_loop {
    const mtli_kernels *kernels;
    int64_t width;
    bool logarithm;
    const mtli_real *in; /* x forward, y backward */
    const mtli_real *dy; /* NULL: forward */
    mtli_real *out;
    bool accumulate;
} softmax_loop;

static void softmax_row(const softmax_loop *loop, int64_t first)
{
    const mtli_real *x = loop->in + first;
    mtli_real *y = loop->out + first;
    if (loop->logarithm) {
        mtli_log_softmax_row(loop->kernels, loop->width, x, y);
    } else {
        mtli_softmax_row(loop->kernels, loop->width, x, y);
    }
}

static void softmax_row_gradient(const softmax_loop *loop, int64_t first)
{
    const mtli_real *y = loop->in + first;
    const mtli_real *dy = loop->dy + first;
    mtli_real *dx = loop->out + first;
    if (loop->logarithm) {
        mtli_log_softmax_row_backward(loop->kernels, loop->width, y, dy, dx, loop->accumulate);
    } else {
        mtli_softmax_row_backward(loop->width, y, dy, dx, loop->accumulate);
    }
}

static void softmax_range(void *argument, int64_t begin, int64_t end)
{
    const softmax_loop *loop = argument;
    for (int64_t r = begin; r < end; r++) {
        if (loop->dy) {
            softmax_row_gradient(loop, r * loop->width);
        } else {
            softmax_row(loop, r * loop->width);
        }
    }
}

static mtl_status run_softmax(mtli_call *call, bool logarithm)
{
    int64_t width = mtli_features(call->output);
    softmax_loop loop = {.kernels = mtli_call_kernels(call),
                         .width = width,
                         .logarithm = logarithm,
                         .in = mtli_input_real(call, 0),
                         .out = mtli_output_real(call)};
    mtli_for_range(call, mtli_leading(call->output), mtli_rows_per_chunk(width), softmax_range, &loop);
    return MTL_OK;
}

static mtl_status run_softmax_backward(const mtli_call *call, mtli_sweep *sweep, bool logarithm)
{
    int64_t width = mtli_features(call->output);
    bool fresh = false;
    mtli_real *dx = mtli_gradient_fresh(call, sweep, 0, &fresh);
    if (!dx) {
        return MTL_OK;
    }
    softmax_loop loop = {.kernels = mtli_call_kernels(call),
                         .width = width,
                         .logarithm = logarithm,
                         .in = mtli_output_real(call),
                         .dy = mtli_output_gradient(call, sweep),
                         .out = dx,
                         .accumulate = !fresh};
    mtli_for_range(call, mtli_leading(call->output), mtli_rows_per_chunk(width), softmax_range, &loop);
    return MTL_OK;
}

static const char *const softmax_inputs[] = {"x", NULL};

static mtl_status softmax_forward(mtli_call *call)
{
    return run_softmax(call, false);
}

static mtl_status softmax_backward(const mtli_call *call, mtli_sweep *sweep)
{
    return run_softmax_backward(call, sweep, false);
}

const mtli_op mtli_op_softmax = {
    .name = "mtl_softmax",
    .input_names = softmax_inputs,
    .flags = MTLI_OP_ROW_SEPARABLE,
    .infer = mtli_infer_rows,
    .forward = softmax_forward,
    .backward = softmax_backward,
};

mtl_tensor *mtl_softmax(mtl_tape *tape, mtl_tensor *x)
{
    return mtli_run(tape, &mtli_op_softmax, &x, 1, NULL, 0);
}

static mtl_status log_softmax_forward(mtli_call *call)
{
    return run_softmax(call, true);
}

static mtl_status log_softmax_backward(const mtli_call *call, mtli_sweep *sweep)
{
    return run_softmax_backward(call, sweep, true);
}

const mtli_op mtli_op_log_softmax = {
    .name = "mtl_log_softmax",
    .input_names = softmax_inputs,
    .flags = MTLI_OP_ROW_SEPARABLE,
    .infer = mtli_infer_rows,
    .forward = log_softmax_forward,
    .backward = log_softmax_backward,
};

mtl_tensor *mtl_log_softmax(mtl_tape *tape, mtl_tensor *x)
{
    return mtli_run(tape, &mtli_op_log_softmax, &x, 1, NULL, 0);
}
