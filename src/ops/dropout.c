/* SPDX-License-Identifier: Apache-2.0
 * Dropout. The backward pass computes the choice of elements again from the call's random stream. */
#include "kernels/dropout.h"

#include <mtl/ops.h>

#include "ops/infer.h"
#include "ops/parallel.h"

typedef struct dropout_attributes {
    double probability;
    mtli_dropout choice; /* made by forward */
} dropout_attributes;

typedef struct dropout_loop {
    const mtli_dropout *choice;
    const mtli_real *x;
    mtli_real *y;
    bool accumulate;
} dropout_loop;

static void dropout_range(void *argument, int64_t begin, int64_t end)
{
    const dropout_loop *loop = argument;
    mtli_dropout_apply(loop->choice, begin, end, loop->x, loop->y, loop->accumulate);
}

static bool is_probability(double p)
{
    return p >= 0 && p < 1;
}

static mtl_status dropout_infer(const mtli_call *call, mtli_shape *shape)
{
    const dropout_attributes *attributes = call->attributes;
    if (!is_probability(attributes->probability)) {
        return mtli_fail(mtli_call_context(call), MTL_ERROR_ARGUMENT, "probability = %g is not in [0, 1)",
                         attributes->probability);
    }
    return mtli_infer_same(call, shape);
}

static mtl_status dropout_forward(mtli_call *call)
{
    mtl_context *context = mtli_call_context(call);
    dropout_attributes *attributes = call->attributes;
    attributes->choice = mtli_dropout_make(context->seed, mtli_next_stream(context), attributes->probability);
    dropout_loop loop = {&attributes->choice, mtli_input_real(call, 0), mtli_output_real(call), false};
    mtli_for_range(call, call->output->size, MTLI_CHUNK, dropout_range, &loop);
    return MTL_OK;
}

static mtl_status dropout_backward(const mtli_call *call, mtli_sweep *sweep)
{
    const dropout_attributes *attributes = call->attributes;
    bool fresh = false;
    mtli_real *dx = mtli_gradient_fresh(call, sweep, 0, &fresh);
    if (dx) {
        dropout_loop loop = {&attributes->choice, mtli_output_gradient(call, sweep), dx, !fresh};
        mtli_for_range(call, call->output->size, MTLI_CHUNK, dropout_range, &loop);
    }
    return MTL_OK;
}

static const char *const dropout_inputs[] = {"x", NULL};

const mtli_op mtli_op_dropout = {
    .name = "mtl_dropout",
    .input_names = dropout_inputs,
    .flags = MTLI_OP_ROW_SEPARABLE,
    .infer = dropout_infer,
    .forward = dropout_forward,
    .backward = dropout_backward,
};

/* Whether x can be the result itself: nothing to drop, and nothing to complain about. */
static bool passes_through(const mtl_tape *tape, const mtl_tensor *x, double probability)
{
    bool nothing = probability == 0 || (tape->mode == MTL_TAPE_INFER && is_probability(probability));
    bool foreign = !x || x->kind == MTLI_TENSOR_ERROR || (x->kind == MTLI_TENSOR_TAPE && x->tape != tape);
    return nothing && !foreign && x->shape.dtype == MTLI_DTYPE_REAL;
}

mtl_tensor *mtl_dropout(mtl_tape *tape, mtl_tensor *x, double probability)
{
    if (!mtli_tape_stopped(tape) && passes_through(tape, x, probability)) {
        return x;
    }
    dropout_attributes attributes = {.probability = probability};
    return mtli_run(tape, &mtli_op_dropout, &x, 1, &attributes, sizeof attributes);
}
