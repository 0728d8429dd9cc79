/* SPDX-License-Identifier: Apache-2.0
 * Sum and mean of all elements. One core reads memory about as fast as the machine gives it, so no threads here. */
#include "kernels/reduce.h"

#include <mtl/ops.h>

#include "kernels/elementwise.h"
#include "ops/infer.h"

static mtl_status total_sum_forward(mtli_call *call)
{
    *mtli_output_real(call) = (mtli_real)mtli_total(call->inputs[0]->size, mtli_input_real(call, 0));
    return MTL_OK;
}

static mtl_status total_mean_forward(mtli_call *call)
{
    int64_t n = call->inputs[0]->size;
    *mtli_output_real(call) = n > 0 ? (mtli_real)(mtli_total(n, mtli_input_real(call, 0)) / (double)n) : 0;
    return MTL_OK;
}

static mtl_status reduce_backward(const mtli_call *call, mtli_sweep *sweep, double divisor)
{
    bool fresh = false;
    mtli_real *dx = mtli_gradient_fresh(call, sweep, 0, &fresh);
    if (dx) {
        double dy = (double)*mtli_output_gradient(call, sweep);
        mtli_set_value(call->inputs[0]->size, (mtli_real)(dy / divisor), dx, !fresh);
    }
    return MTL_OK;
}

static mtl_status total_sum_backward(const mtli_call *call, mtli_sweep *sweep)
{
    return reduce_backward(call, sweep, 1);
}

static mtl_status total_mean_backward(const mtli_call *call, mtli_sweep *sweep)
{
    int64_t n = call->inputs[0]->size;
    return reduce_backward(call, sweep, n > 0 ? (double)n : 1);
}

static const char *const reduce_inputs[] = {"x", NULL};

const mtli_op mtli_op_sum = {
    .name = "mtl_sum",
    .input_names = reduce_inputs,
    .infer = mtli_infer_scalar,
    .forward = total_sum_forward,
    .backward = total_sum_backward,
};

mtl_tensor *mtl_sum(mtl_tape *tape, mtl_tensor *x)
{
    return mtli_run(tape, &mtli_op_sum, &x, 1, NULL, 0);
}

const mtli_op mtli_op_mean = {
    .name = "mtl_mean",
    .input_names = reduce_inputs,
    .infer = mtli_infer_scalar,
    .forward = total_mean_forward,
    .backward = total_mean_backward,
};

mtl_tensor *mtl_mean(mtl_tape *tape, mtl_tensor *x)
{
    return mtli_run(tape, &mtli_op_mean, &x, 1, NULL, 0);
}
