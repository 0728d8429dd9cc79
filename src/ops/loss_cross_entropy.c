/* SPDX-License-Identifier: Apache-2.0
 * Cross-entropy with logits, fused with the softmax: only the log-sum-exp of each row is kept. */
#include <inttypes.h>
#include <math.h>

#include <mtl/loss.h>

#include "kernels/elementwise.h"
#include "kernels/reduce.h"
#include "kernels/rows.h"
#include "ops/infer.h"
#include "ops/parallel.h"

enum { CE_LOGITS, CE_LABELS, CE_WEIGHTS };

/* With w the class weights, s the smoothing, C classes, z = log Σ exp(x), the loss of a row with label y is
 *     (1 - s) w_y (z - x_y) + s/C Σ_c w_c (z - x_c),
 * and the result is their sum over labelled rows divided by `divisor` = Σ w_y. */
typedef struct ce_saved {
    double divisor; /* 0: no labelled row has a weight */
    double value;
    double *z; /* of each labelled row */
} ce_saved;

typedef struct ce_loop {
    const mtli_kernels *kernels;
    int64_t classes;
    const mtli_real *logits;
    const int32_t *labels;
    const mtli_real *weights; /* or NULL: ones */
    double total_weight;
    double smoothing;
    double *z;
    double *losses;
    double seed; /* backward: dy / divisor */
    mtli_real *dx;
    bool accumulate;
} ce_loop;

/* Checks ----------------------------------------------------------------------------------------------------------- */

static mtl_status ce_infer(const mtli_call *call, mtli_shape *shape)
{
    double smoothing = *(const double *)call->attributes;
    if (!(smoothing >= 0 && smoothing < 1)) {
        return mtli_fail(mtli_call_context(call), MTL_ERROR_ARGUMENT, "options->label_smoothing = %g is not in [0, 1)",
                         smoothing);
    }
    mtl_status status = mtli_infer_scalar(call, shape);
    if (status == MTL_OK) {
        status = mtli_expect_ndim(call, CE_LOGITS, 2, 2);
    }
    if (status == MTL_OK) {
        status = mtli_expect_int32(call, CE_LABELS);
    }
    const int64_t *dims = call->inputs[CE_LOGITS]->shape.dims;
    const mtli_shape *labels = &call->inputs[CE_LABELS]->shape;
    if (status == MTL_OK && (labels->ndim != 1 || labels->dims[0] != dims[0])) {
        status = mtli_fail_shapes(call, CE_LOGITS, CE_LABELS, "one label for each row is needed");
    }
    if (status == MTL_OK && call->inputs[CE_WEIGHTS]) {
        status = mtli_expect_real(call, CE_WEIGHTS);
        if (status == MTL_OK) {
            status = mtli_expect_dims(call, CE_WEIGHTS, 1, dims + 1);
        }
    }
    return status;
}

static mtl_status check_labels(const mtli_call *call)
{
    const int32_t *labels = mtli_input_int32(call, CE_LABELS);
    int64_t classes = call->inputs[CE_LOGITS]->shape.dims[1];
    for (int64_t r = 0; r < call->inputs[CE_LABELS]->size; r++) {
        if (labels[r] != MTL_LABEL_NONE && (labels[r] < 0 || labels[r] >= classes)) {
            return mtli_fail(mtli_call_context(call), MTL_ERROR_ARGUMENT,
                             "labels[%" PRId64 "] = %" PRId32 " is neither in [0, %" PRId64 ") nor MTL_LABEL_NONE", r,
                             labels[r], classes);
        }
    }
    return MTL_OK;
}

static mtl_status check_class_weights(const mtli_call *call)
{
    const mtl_tensor *weights = call->inputs[CE_WEIGHTS];
    for (int64_t c = 0; weights && c < weights->size; c++) {
        double weight = (double)mtli_input_real(call, CE_WEIGHTS)[c];
        if (!(weight >= 0) || !isfinite(weight)) {
            return mtli_fail(mtli_call_context(call), MTL_ERROR_ARGUMENT,
                             "options->class_weights[%" PRId64 "] = %g is not a finite number >= 0", c, weight);
        }
    }
    return MTL_OK;
}

/* Value ------------------------------------------------------------------------------------------------------------ */

static ce_loop make_ce_loop(const mtli_call *call, double *z)
{
    const mtl_tensor *weights = call->inputs[CE_WEIGHTS];
    int64_t classes = call->inputs[CE_LOGITS]->shape.dims[1];
    ce_loop loop = {.kernels = mtli_call_kernels(call),
                    .classes = classes,
                    .logits = mtli_input_real(call, CE_LOGITS),
                    .labels = mtli_input_int32(call, CE_LABELS),
                    .weights = weights ? weights->data : NULL,
                    .total_weight = weights ? mtli_total(classes, weights->data) : (double)classes,
                    .smoothing = *(const double *)call->attributes,
                    .z = z};
    return loop;
}

static double weight_of(const ce_loop *loop, int32_t label)
{
    return loop->weights ? (double)loop->weights[label] : 1.0;
}

static void ce_value_range(void *argument, int64_t begin, int64_t end)
{
    const ce_loop *loop = argument;
    for (int64_t r = begin; r < end; r++) {
        int32_t label = loop->labels[r];
        if (label == MTL_LABEL_NONE) {
            continue;
        }
        const mtli_real *x = loop->logits + r * loop->classes;
        double z = mtli_log_sum_exp(loop->kernels, loop->classes, x);
        double loss = (1 - loop->smoothing) * weight_of(loop, label) * (z - (double)x[label]);
        if (loop->smoothing > 0) {
            double sum = loop->weights ? mtli_dot(loop->classes, loop->weights, x) : mtli_total(loop->classes, x);
            loss += loop->smoothing / (double)loop->classes * (loop->total_weight * z - sum);
        }
        loop->z[r] = z;
        loop->losses[r] = loss;
    }
}

static void add_losses(const ce_loop *loop, int64_t rows, ce_saved *saved)
{
    double sum = 0;
    for (int64_t r = 0; r < rows; r++) {
        if (loop->labels[r] != MTL_LABEL_NONE) {
            sum += loop->losses[r];
            saved->divisor += weight_of(loop, loop->labels[r]);
        }
    }
    saved->value = saved->divisor > 0 ? sum / saved->divisor : 0;
}

static mtl_status ce_forward(mtli_call *call)
{
    mtl_status status = check_labels(call);
    if (status == MTL_OK) {
        status = check_class_weights(call);
    }
    if (status != MTL_OK) {
        return status;
    }
    int64_t rows = call->inputs[CE_LABELS]->size;
    ce_saved *saved = mtli_tape_memory(call, 1, sizeof *saved);
    double *z = mtli_tape_memory(call, (size_t)rows, sizeof z[0]);
    double *losses = mtli_tape_scratch(call, (size_t)rows, sizeof losses[0]);
    if (!saved || !z || !losses) {
        return mtli_call_context(call)->status;
    }
    *saved = (ce_saved){.z = z};
    call->saved = saved;
    ce_loop loop = make_ce_loop(call, z);
    loop.losses = losses;
    mtli_for_range(call, rows, mtli_rows_per_chunk(loop.classes), ce_value_range, &loop);
    add_losses(&loop, rows, saved);
    call->output->absent = !(saved->divisor > 0);
    *mtli_output_real(call) = (mtli_real)saved->value;
    return MTL_OK;
}

/* Gradient --------------------------------------------------------------------------------------------------------- */

/* With T = (1 - s) w_y + s/C Σ w: dx_c = T softmax_c - s/C w_c - [c = y] (1 - s) w_y. */
static void ce_gradient_range(void *argument, int64_t begin, int64_t end)
{
    const ce_loop *loop = argument;
    double part = loop->smoothing / (double)loop->classes;
    for (int64_t r = begin; r < end; r++) {
        const mtli_real *x = loop->logits + r * loop->classes;
        mtli_real *dx = loop->dx + r * loop->classes;
        int32_t label = loop->labels[r];
        if (label == MTL_LABEL_NONE) {
            if (!loop->accumulate) {
                mtli_fill(loop->classes, 0, dx);
            }
            continue;
        }
        double sharp = (1 - loop->smoothing) * weight_of(loop, label);
        double all = sharp + part * loop->total_weight;
        mtli_cross_entropy_row(loop->kernels, loop->classes, x, loop->z[r], loop->seed * all, loop->seed * part,
                               loop->weights, dx, loop->accumulate);
        dx[label] = (mtli_real)((double)dx[label] - loop->seed * sharp);
    }
}

/* d/dw_c of the numerator, less the value for each label c, over the divisor. */
static void add_weight_gradient(const ce_loop *loop, int64_t rows, double value, double *sums)
{
    double part = loop->smoothing / (double)loop->classes;
    for (int64_t r = 0; r < rows; r++) {
        int32_t label = loop->labels[r];
        if (label == MTL_LABEL_NONE) {
            continue;
        }
        const mtli_real *x = loop->logits + r * loop->classes;
        sums[label] += (1 - loop->smoothing) * (loop->z[r] - (double)x[label]) - value;
        for (int64_t c = 0; c < loop->classes && loop->smoothing > 0; c++) {
            sums[c] += part * (loop->z[r] - (double)x[c]);
        }
    }
}

static mtl_status weight_backward(const mtli_call *call, mtli_sweep *sweep, const ce_loop *loop)
{
    mtli_real *dw = mtli_gradient(call, sweep, CE_WEIGHTS);
    if (!dw) {
        return MTL_OK;
    }
    double *sums = mtli_tape_scratch(call, (size_t)loop->classes, sizeof sums[0]);
    if (!sums) {
        return mtli_call_context(call)->status;
    }
    for (int64_t c = 0; c < loop->classes; c++) {
        sums[c] = 0;
    }
    const ce_saved *saved = call->saved;
    add_weight_gradient(loop, call->inputs[CE_LABELS]->size, saved->value, sums);
    for (int64_t c = 0; c < loop->classes; c++) {
        dw[c] = (mtli_real)((double)dw[c] + loop->seed * sums[c]);
    }
    return MTL_OK;
}

static mtl_status ce_backward(const mtli_call *call, mtli_sweep *sweep)
{
    const ce_saved *saved = call->saved;
    if (!(saved->divisor > 0)) {
        return MTL_OK; /* no labelled row: what is behind stays untouched */
    }
    ce_loop loop = make_ce_loop(call, saved->z);
    loop.seed = (double)*mtli_output_gradient(call, sweep) / saved->divisor;
    bool fresh = false;
    loop.dx = mtli_gradient_fresh(call, sweep, CE_LOGITS, &fresh);
    loop.accumulate = !fresh;
    if (loop.dx) {
        int64_t rows = call->inputs[CE_LABELS]->size;
        mtli_for_range(call, rows, mtli_rows_per_chunk(loop.classes), ce_gradient_range, &loop);
    }
    return weight_backward(call, sweep, &loop);
}

static const char *const ce_inputs[] = {"logits", "labels", "options->class_weights", NULL};

const mtli_op mtli_op_cross_entropy = {
    .name = "mtl_cross_entropy",
    .input_names = ce_inputs,
    .optional_inputs = 1u << CE_WEIGHTS,
    .infer = ce_infer,
    .forward = ce_forward,
    .backward = ce_backward,
};

mtl_tensor *mtl_cross_entropy(mtl_tape *tape, mtl_tensor *logits, mtl_tensor *labels,
                              const mtl_cross_entropy_options *options)
{
    mtl_cross_entropy_options known = MTL_CROSS_ENTROPY_OPTIONS_INIT;
    if (!mtli_tape_stopped(tape) && !mtli_import_op_options(tape, "mtl_cross_entropy", &known, sizeof known, options)) {
        return &tape->error;
    }
    mtl_tensor *inputs[] = {logits, labels, known.class_weights};
    return mtli_run(tape, &mtli_op_cross_entropy, inputs, 3, &known.label_smoothing, sizeof known.label_smoothing);
}
