/* SPDX-License-Identifier: Apache-2.0
 * Functions of one element: tanh, sigmoid, relu, gelu. */
#include <mtl/ops.h>

#include "kernels/elementwise.h"
#include "ops/infer.h"
#include "ops/parallel.h"

typedef void (*activation_kernel)(int64_t n, const mtli_real *x, mtli_real *y);
typedef void (*activation_derivative)(int64_t n, const mtli_real *y, const mtli_real *dy, mtli_real *dx,
                                      bool accumulate);

/* One of `apply` and `derivative` is set; neither: gelu. */
typedef struct activation_loop {
    const mtli_kernels *kernels;
    activation_kernel apply;
    activation_derivative derivative;
    const mtli_real *in; /* x forward; y backward, x for gelu */
    const mtli_real *dy; /* NULL: forward */
    mtli_real *out;
    bool accumulate;
} activation_loop;

static void activation_range(void *argument, int64_t begin, int64_t end)
{
    const activation_loop *loop = argument;
    int64_t n = end - begin;
    if (loop->apply) {
        loop->apply(n, loop->in + begin, loop->out + begin);
    } else if (loop->derivative) {
        loop->derivative(n, loop->in + begin, loop->dy + begin, loop->out + begin, loop->accumulate);
    } else if (loop->dy) {
        mtli_gelu_backward(loop->kernels, n, loop->in + begin, loop->dy + begin, loop->out + begin, loop->accumulate);
    } else {
        mtli_gelu(loop->kernels, n, loop->in + begin, loop->out + begin);
    }
}

static mtl_status apply_activation(const mtli_call *call, activation_kernel apply)
{
    activation_loop loop = {.kernels = mtli_call_kernels(call),
                            .apply = apply,
                            .in = mtli_input_real(call, 0),
                            .out = mtli_output_real(call)};
    mtli_for_range(call, call->output->size, MTLI_CHUNK, activation_range, &loop);
    return MTL_OK;
}

static mtl_status activation_gradient(const mtli_call *call, mtli_sweep *sweep, activation_derivative derivative)
{
    bool fresh = false;
    mtli_real *dx = mtli_gradient_fresh(call, sweep, 0, &fresh);
    if (!dx) {
        return MTL_OK;
    }
    activation_loop loop = {.kernels = mtli_call_kernels(call),
                            .derivative = derivative,
                            .in = derivative ? mtli_output_real(call) : mtli_input_real(call, 0),
                            .dy = mtli_output_gradient(call, sweep),
                            .out = dx,
                            .accumulate = !fresh};
    mtli_for_range(call, call->output->size, MTLI_CHUNK, activation_range, &loop);
    return MTL_OK;
}

static const char *const activation_inputs[] = {"x", NULL};

/* tanh */

static mtl_status tanh_forward(mtli_call *call)
{
    return apply_activation(call, mtli_call_kernels(call)->vtanh);
}

static mtl_status tanh_backward(const mtli_call *call, mtli_sweep *sweep)
{
    return activation_gradient(call, sweep, mtli_tanh_backward);
}

const mtli_op mtli_op_tanh = {
    .name = "mtl_tanh",
    .input_names = activation_inputs,
    .flags = MTLI_OP_ROW_SEPARABLE,
    .infer = mtli_infer_same,
    .forward = tanh_forward,
    .backward = tanh_backward,
};

mtl_tensor *mtl_tanh(mtl_tape *tape, mtl_tensor *x)
{
    return mtli_run(tape, &mtli_op_tanh, &x, 1, NULL, 0);
}

/* sigmoid */

static mtl_status sigmoid_forward(mtli_call *call)
{
    return apply_activation(call, mtli_call_kernels(call)->vsigmoid);
}

static mtl_status sigmoid_backward(const mtli_call *call, mtli_sweep *sweep)
{
    return activation_gradient(call, sweep, mtli_sigmoid_backward);
}

const mtli_op mtli_op_sigmoid = {
    .name = "mtl_sigmoid",
    .input_names = activation_inputs,
    .flags = MTLI_OP_ROW_SEPARABLE,
    .infer = mtli_infer_same,
    .forward = sigmoid_forward,
    .backward = sigmoid_backward,
};

mtl_tensor *mtl_sigmoid(mtl_tape *tape, mtl_tensor *x)
{
    return mtli_run(tape, &mtli_op_sigmoid, &x, 1, NULL, 0);
}

/* relu */

static mtl_status relu_forward(mtli_call *call)
{
    return apply_activation(call, mtli_relu);
}

static mtl_status relu_backward(const mtli_call *call, mtli_sweep *sweep)
{
    return activation_gradient(call, sweep, mtli_relu_backward);
}

const mtli_op mtli_op_relu = {
    .name = "mtl_relu",
    .input_names = activation_inputs,
    .flags = MTLI_OP_ROW_SEPARABLE,
    .infer = mtli_infer_same,
    .forward = relu_forward,
    .backward = relu_backward,
};

mtl_tensor *mtl_relu(mtl_tape *tape, mtl_tensor *x)
{
    return mtli_run(tape, &mtli_op_relu, &x, 1, NULL, 0);
}

/* gelu */

static mtl_status gelu_forward(mtli_call *call)
{
    return apply_activation(call, NULL);
}

static mtl_status gelu_backward(const mtli_call *call, mtli_sweep *sweep)
{
    return activation_gradient(call, sweep, NULL);
}

const mtli_op mtli_op_gelu = {
    .name = "mtl_gelu",
    .input_names = activation_inputs,
    .flags = MTLI_OP_ROW_SEPARABLE,
    .infer = mtli_infer_same,
    .forward = gelu_forward,
    .backward = gelu_backward,
};

mtl_tensor *mtl_gelu(mtl_tape *tape, mtl_tensor *x)
{
    return mtli_run(tape, &mtli_op_gelu, &x, 1, NULL, 0);
}
