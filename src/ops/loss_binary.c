/* SPDX-License-Identifier: Apache-2.0
 * Binary cross-entropy with logits, for labels that are independent of each other. */
#include <inttypes.h>

#include <mtl/loss.h>

#include "ops/infer.h"
#include "ops/pair_loss.h"

enum { BINARY_LOGITS = MTLI_PAIR_VALUES, BINARY_TARGETS = MTLI_PAIR_TARGETS, BINARY_WEIGHTS };

static mtl_status binary_infer(const mtli_call *call, mtli_shape *shape)
{
    mtl_status status = mtli_pair_infer(call, shape);
    if (status == MTL_OK) {
        status = mtli_expect_ndim(call, BINARY_LOGITS, 2, 2);
    }
    if (status == MTL_OK && call->inputs[BINARY_WEIGHTS]) {
        status = mtli_expect_real(call, BINARY_WEIGHTS);
        if (status == MTL_OK) {
            status = mtli_expect_dims(call, BINARY_WEIGHTS, 1, call->inputs[BINARY_LOGITS]->shape.dims + 1);
        }
    }
    return status;
}

static mtl_status check_targets(const mtli_call *call)
{
    const mtl_tensor *targets = call->inputs[BINARY_TARGETS];
    const mtli_real *t = mtli_input_real(call, BINARY_TARGETS);
    int64_t width = mtli_features(targets);
    for (int64_t i = 0; i < targets->size; i++) {
        if (t[i] < 0 || t[i] > 1) {
            return mtli_fail(mtli_call_context(call), MTL_ERROR_ARGUMENT,
                             "targets[%" PRId64 "][%" PRId64 "] = %g is neither in [0, 1] nor NaN", i / width,
                             i % width, (double)t[i]);
        }
    }
    return MTL_OK;
}

static mtl_status check_positive_weights(const mtli_call *call)
{
    const mtl_tensor *weights = call->inputs[BINARY_WEIGHTS];
    for (int64_t i = 0; weights && i < weights->size; i++) {
        double weight = (double)mtli_input_real(call, BINARY_WEIGHTS)[i];
        if (!(weight > 0)) {
            return mtli_fail(mtli_call_context(call), MTL_ERROR_ARGUMENT,
                             "options->positive_weights[%" PRId64 "] = %g is not positive", i, weight);
        }
    }
    return MTL_OK;
}

static mtli_pairs binary_inputs(const mtli_call *call)
{
    const mtl_tensor *weights = call->inputs[BINARY_WEIGHTS];
    mtli_pairs pairs = mtli_pair_inputs(call);
    pairs.weights = weights ? weights->data : NULL;
    pairs.features = mtli_features(call->inputs[BINARY_LOGITS]);
    return pairs;
}

static mtl_status binary_forward(mtli_call *call)
{
    mtl_status status = check_targets(call);
    if (status == MTL_OK) {
        status = check_positive_weights(call);
    }
    if (status != MTL_OK) {
        return status;
    }
    mtli_pairs pairs = binary_inputs(call);
    return mtli_pair_forward(call, &pairs, mtli_binary_sum);
}

static mtl_status positive_weight_backward(const mtli_call *call, mtli_sweep *sweep, const mtli_pairs *pairs)
{
    double seed = mtli_pair_seed(call, sweep);
    mtli_real *dw = seed != 0 ? mtli_gradient(call, sweep, BINARY_WEIGHTS) : NULL;
    if (!dw) {
        return MTL_OK;
    }
    double *sums = mtli_tape_scratch(call, (size_t)pairs->features, sizeof sums[0]);
    if (!sums) {
        return mtli_call_context(call)->status;
    }
    for (int64_t j = 0; j < pairs->features; j++) {
        sums[j] = 0;
    }
    mtli_binary_weight_gradient(pairs, call->inputs[BINARY_LOGITS]->size, sums);
    for (int64_t j = 0; j < pairs->features; j++) {
        dw[j] = (mtli_real)((double)dw[j] + seed * sums[j]);
    }
    return MTL_OK;
}

static mtl_status binary_backward(const mtli_call *call, mtli_sweep *sweep)
{
    mtli_pairs pairs = binary_inputs(call);
    mtl_status status = mtli_pair_backward(call, sweep, &pairs, mtli_binary_gradient);
    return status == MTL_OK ? positive_weight_backward(call, sweep, &pairs) : status;
}

static const char *const binary_input_names[] = {"logits", "targets", "options->positive_weights", NULL};

const mtli_op mtli_op_binary_cross_entropy = {
    .name = "mtl_binary_cross_entropy",
    .input_names = binary_input_names,
    .optional_inputs = 1u << BINARY_WEIGHTS,
    .infer = binary_infer,
    .forward = binary_forward,
    .backward = binary_backward,
};

mtl_tensor *mtl_binary_cross_entropy(mtl_tape *tape, mtl_tensor *logits, mtl_tensor *targets,
                                     const mtl_binary_cross_entropy_options *options)
{
    mtl_binary_cross_entropy_options known = MTL_BINARY_CROSS_ENTROPY_OPTIONS_INIT;
    if (!mtli_tape_stopped(tape) &&
        !mtli_import_op_options(tape, "mtl_binary_cross_entropy", &known, sizeof known, options)) {
        return &tape->error;
    }
    mtl_tensor *inputs[] = {logits, targets, known.positive_weights};
    return mtli_run(tape, &mtli_op_binary_cross_entropy, inputs, 3, NULL, 0);
}
