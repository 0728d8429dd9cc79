/* SPDX-License-Identifier: Apache-2.0
 * Mean squared error and Huber's loss. */
#include <mtl/loss.h>

#include "ops/pair_loss.h"

static const char *const regression_inputs[] = {"predictions", "targets", NULL};

static mtl_status squared_forward(mtli_call *call)
{
    mtli_pairs pairs = mtli_pair_inputs(call);
    return mtli_pair_forward(call, &pairs, mtli_squared_sum);
}

static mtl_status squared_backward(const mtli_call *call, mtli_sweep *sweep)
{
    mtli_pairs pairs = mtli_pair_inputs(call);
    return mtli_pair_backward(call, sweep, &pairs, mtli_squared_gradient);
}

const mtli_op mtli_op_mean_squared_error = {
    .name = "mtl_mean_squared_error",
    .input_names = regression_inputs,
    .infer = mtli_pair_infer,
    .forward = squared_forward,
    .backward = squared_backward,
};

mtl_tensor *mtl_mean_squared_error(mtl_tape *tape, mtl_tensor *predictions, mtl_tensor *targets)
{
    mtl_tensor *inputs[] = {predictions, targets};
    return mtli_run(tape, &mtli_op_mean_squared_error, inputs, 2, NULL, 0);
}

static mtl_status huber_infer(const mtli_call *call, mtli_shape *shape)
{
    double delta = *(const double *)call->attributes;
    if (!(delta > 0)) {
        return mtli_fail(mtli_call_context(call), MTL_ERROR_ARGUMENT, "delta = %g is not positive", delta);
    }
    return mtli_pair_infer(call, shape);
}

static mtl_status huber_forward(mtli_call *call)
{
    mtli_pairs pairs = mtli_pair_inputs(call);
    pairs.delta = *(const double *)call->attributes;
    return mtli_pair_forward(call, &pairs, mtli_huber_sum);
}

static mtl_status huber_backward(const mtli_call *call, mtli_sweep *sweep)
{
    mtli_pairs pairs = mtli_pair_inputs(call);
    pairs.delta = *(const double *)call->attributes;
    return mtli_pair_backward(call, sweep, &pairs, mtli_huber_gradient);
}

const mtli_op mtli_op_huber = {
    .name = "mtl_huber",
    .input_names = regression_inputs,
    .infer = huber_infer,
    .forward = huber_forward,
    .backward = huber_backward,
};

mtl_tensor *mtl_huber(mtl_tape *tape, mtl_tensor *predictions, mtl_tensor *targets, double delta)
{
    mtl_tensor *inputs[] = {predictions, targets};
    return mtli_run(tape, &mtli_op_huber, inputs, 2, &delta, sizeof delta);
}
