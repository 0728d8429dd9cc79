/* SPDX-License-Identifier: Apache-2.0
 * Long short-term memory over ragged sequences: layers of one operation each, with dropout between them. */
#include "ops/lstm.h"

#include "autograd/tape.h"
#include "ops/lstm_layer.h"

enum { LSTM_INPUTS = MTLI_LSTM_IDS + 1 + MTLI_LSTM_DIRECTIONS * MTLI_LSTM_WEIGHTS };

static const char *const weight_names[MTLI_LSTM_WEIGHTS] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"};

/* "weights[2].weight_hh has shape [4, 4], expected [16, 4]" */
static mtl_status expect_weight(const mtli_call *call, int32_t entry, int32_t weight, int32_t ndim, const int64_t *dims)
{
    const mtli_lstm_attributes *attributes = call->attributes;
    const mtl_tensor *tensor = call->inputs[attributes->first_weight + entry * MTLI_LSTM_WEIGHTS + weight];
    mtli_shape expected = mtli_make_shape(MTLI_DTYPE_REAL, ndim, dims);
    int32_t position = attributes->layer * attributes->directions + entry;
    if (tensor->shape.dtype != MTLI_DTYPE_REAL) {
        return mtli_fail(mtli_call_context(call), MTL_ERROR_DTYPE, "weights[%d].%s is %s, not %s", position,
                         weight_names[weight], mtli_dtype_name(tensor->shape.dtype), mtli_dtype_name(MTLI_DTYPE_REAL));
    }
    if (mtli_same_dims(&tensor->shape, &expected) && !tensor->shape.ragged) {
        return MTL_OK;
    }
    char given[MTLI_SHAPE_TEXT];
    char wanted[MTLI_SHAPE_TEXT];
    return mtli_fail(mtli_call_context(call), MTL_ERROR_SHAPE, "weights[%d].%s has shape %s, expected %s", position,
                     weight_names[weight], mtli_shape_text(&tensor->shape, given), mtli_shape_text(&expected, wanted));
}

static mtl_status expect_weights(const mtli_call *call, int32_t entry, int64_t input, int64_t hidden)
{
    const int64_t weight_ih[] = {4 * hidden, input};
    const int64_t weight_hh[] = {4 * hidden, hidden};
    mtl_status status = expect_weight(call, entry, MTLI_LSTM_WEIGHT_IH, 2, weight_ih);
    if (status == MTL_OK) {
        status = expect_weight(call, entry, MTLI_LSTM_WEIGHT_HH, 2, weight_hh);
    }
    if (status == MTL_OK) {
        status = expect_weight(call, entry, MTLI_LSTM_BIAS_IH, 1, weight_ih);
    }
    return status == MTL_OK ? expect_weight(call, entry, MTLI_LSTM_BIAS_HH, 1, weight_ih) : status;
}

/* The sizes that kernels need: input and hidden of 1 or more, the hidden size being that of the first recurrent weight. */
static mtl_status layer_infer(const mtli_call *call, mtli_shape *shape, const mtli_shape *sequences)
{
    const mtli_lstm_attributes *attributes = call->attributes;
    int64_t input = mtli_features(call->inputs[MTLI_LSTM_X]); /* of x or of the table */
    int64_t hidden = mtli_features(call->inputs[attributes->first_weight + MTLI_LSTM_WEIGHT_HH]);
    if (input < 1 || hidden < 1 || hidden > INT64_MAX / 8) {
        return mtli_fail_shapes(call, MTLI_LSTM_X, attributes->first_weight + MTLI_LSTM_WEIGHT_HH,
                                "the last sizes must be 1 or more");
    }
    for (int32_t entry = 0; entry < attributes->directions; entry++) {
        mtl_status status = expect_weights(call, entry, input, hidden);
        if (status != MTL_OK) {
            return status;
        }
    }
    shape->ndim = 2;
    shape->dims[0] = sequences->dims[0];
    shape->dims[1] = hidden * attributes->directions;
    shape->ragged = sequences->ragged;
    return MTL_OK;
}

static mtl_status lstm_infer(const mtli_call *call, mtli_shape *shape)
{
    mtl_status status = mtli_expect_real(call, MTLI_LSTM_X);
    if (status == MTL_OK) {
        status = mtli_expect_ragged(call, MTLI_LSTM_X);
    }
    if (status == MTL_OK) {
        status = mtli_expect_ndim(call, MTLI_LSTM_X, 2, 2);
    }
    return status == MTL_OK ? layer_infer(call, shape, &call->inputs[MTLI_LSTM_X]->shape) : status;
}

static mtl_status lstm_tokens_infer(const mtli_call *call, mtli_shape *shape)
{
    mtl_status status = mtli_expect_real(call, MTLI_LSTM_TABLE);
    if (status == MTL_OK) {
        status = mtli_expect_ndim(call, MTLI_LSTM_TABLE, 2, 2);
    }
    if (status == MTL_OK) {
        status = mtli_expect_int32(call, MTLI_LSTM_IDS);
    }
    if (status == MTL_OK) {
        status = mtli_expect_ragged(call, MTLI_LSTM_IDS);
    }
    if (status == MTL_OK) {
        status = mtli_expect_ndim(call, MTLI_LSTM_IDS, 1, 1);
    }
    return status == MTL_OK ? layer_infer(call, shape, &call->inputs[MTLI_LSTM_IDS]->shape) : status;
}

static const char *const lstm_inputs[] = {
    "x",
    "weight_ih",
    "weight_hh",
    "bias_ih",
    "bias_hh",
    "reverse weight_ih",
    "reverse weight_hh",
    "reverse bias_ih",
    "reverse bias_hh",
    NULL,
};

static const char *const lstm_tokens_inputs[] = {
    "table",
    "ids",
    "weight_ih",
    "weight_hh",
    "bias_ih",
    "bias_hh",
    "reverse weight_ih",
    "reverse weight_hh",
    "reverse bias_ih",
    "reverse bias_hh",
    NULL,
};

const mtli_op mtli_op_lstm = {
    .name = "mtl_lstm",
    .input_names = lstm_inputs,
    .weight_inputs = ~((uint64_t)1 << MTLI_LSTM_X),
    .flags = MTLI_OP_ROW_SEPARABLE | MTLI_OP_SEGMENTS,
    .infer = lstm_infer,
    .forward = mtli_lstm_layer_forward,
    .backward = mtli_lstm_layer_backward,
};

const mtli_op mtli_op_lstm_tokens = {
    .name = "mtl_lstm",
    .input_names = lstm_tokens_inputs,
    .weight_inputs = ~((uint64_t)1 << MTLI_LSTM_IDS),
    .flags = MTLI_OP_ROW_SEPARABLE | MTLI_OP_SEGMENTS,
    .infer = lstm_tokens_infer,
    .forward = mtli_lstm_layer_forward,
    .backward = mtli_lstm_layer_backward,
};

/* ---- layers ---- */

static mtl_status check_weights(mtl_context *context, const mtl_lstm_weights *weights, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        const mtl_tensor *const tensors[] = {weights[i].weight_ih, weights[i].weight_hh, weights[i].bias_ih,
                                             weights[i].bias_hh};
        for (int32_t k = 0; k < MTLI_LSTM_WEIGHTS; k++) {
            if (!tensors[k]) {
                return mtli_fail(context, MTL_ERROR_ARGUMENT, "weights[%d].%s is NULL", i, weight_names[k]);
            }
        }
    }
    return MTL_OK;
}

static mtl_status check_arguments(mtl_context *context, const mtl_lstm_weights *weights, int32_t layers,
                                  int32_t bidirectional, double dropout)
{
    if (layers < 1 || layers > INT32_MAX / MTLI_LSTM_DIRECTIONS) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "layers = %d is not 1 or more", layers);
    }
    if (!(dropout >= 0 && dropout < 1)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "dropout = %g is not in [0, 1)", dropout);
    }
    MTLI_REQUIRE(context, weights);
    return check_weights(context, weights, layers * (bidirectional ? MTLI_LSTM_DIRECTIONS : 1));
}

/* One layer. `first` holds x, or table and ids; weights one entry for each direction. */
static mtl_tensor *run_layer(mtl_tape *tape, mtl_tensor *const *first, const mtl_lstm_weights *weights,
                             mtli_lstm_attributes attributes)
{
    mtl_tensor *inputs[LSTM_INPUTS];
    int32_t n = 0;
    while (n < attributes.first_weight) {
        inputs[n] = first[n];
        n++;
    }
    for (int32_t d = 0; d < attributes.directions; d++) {
        inputs[n++] = weights[d].weight_ih;
        inputs[n++] = weights[d].weight_hh;
        inputs[n++] = weights[d].bias_ih;
        inputs[n++] = weights[d].bias_hh;
    }
    const mtli_op *op = attributes.first_weight > MTLI_LSTM_X + 1 ? &mtli_op_lstm_tokens : &mtli_op_lstm;
    return mtli_run(tape, op, inputs, n, &attributes, sizeof attributes);
}

static mtl_tensor *run_layers(mtl_tape *tape, mtl_tensor *const *first, int32_t num_first,
                              const mtl_lstm_weights *weights, int32_t layers, int32_t bidirectional, double dropout)
{
    if (!tape || tape->status != MTL_OK) {
        return mtli_run(tape, &mtli_op_lstm, NULL, 0, NULL, 0); /* an error tensor */
    }
    mtli_enter_function(tape->context, mtli_op_lstm.name);
    mtl_status status = check_arguments(tape->context, weights, layers, bidirectional, dropout);
    if (status != MTL_OK) {
        return mtli_tape_fail(tape, status);
    }
    mtli_lstm_attributes attributes = {0, bidirectional ? MTLI_LSTM_DIRECTIONS : 1, num_first};
    mtl_tensor *h = run_layer(tape, first, weights, attributes);
    attributes.first_weight = MTLI_LSTM_X + 1;
    for (attributes.layer = 1; attributes.layer < layers; attributes.layer++) {
        if (dropout > 0) {
            h = mtl_dropout(tape, h, dropout);
        }
        h = run_layer(tape, &h, weights + attributes.layer * attributes.directions, attributes);
    }
    return h;
}

mtl_tensor *mtl_lstm(mtl_tape *tape, mtl_tensor *x, const mtl_lstm_weights *weights, int32_t layers,
                     int32_t bidirectional, double dropout)
{
    return run_layers(tape, &x, 1, weights, layers, bidirectional, dropout);
}

mtl_tensor *mtli_lstm_of_tokens(mtl_tape *tape, mtl_tensor *table, mtl_tensor *ids, const mtl_lstm_weights *weights,
                                int32_t layers, int32_t bidirectional, double dropout)
{
    mtl_tensor *first[] = {table, ids};
    return run_layers(tape, first, 2, weights, layers, bidirectional, dropout);
}
