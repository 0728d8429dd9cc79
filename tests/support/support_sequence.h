/* SPDX-License-Identifier: Apache-2.0
 * For tests with internal headers: an LSTM over ragged sequences with reproducible numbers, its states and all its
 * gradients in one array. tests/golden/dump_lstm.py makes the same numbers. */
#ifndef TESTS_SUPPORT_SEQUENCE_H
#define TESTS_SUPPORT_SEQUENCE_H

#include "support.h"

#include <mtl/custom.h>
#include <mtl/ops.h>

#include "autograd/tape.h"
#include "ops/lstm.h"

enum { SEQUENCE_CELLS = 8, SEQUENCE_WEIGHTS = 4 * SEQUENCE_CELLS, SEQUENCE_TENSORS = 1 + SEQUENCE_WEIGHTS };

/** Number k of a stream: a multiple of 1/1024 in [-0.98, 0.98], exact in float. */
static inline double sequence_value(uint32_t stream, uint32_t k)
{
    uint32_t u = (k + 1u) * 2654435761u + (stream + 1u) * 2246822519u;
    u ^= u >> 15;
    u *= 2246822519u;
    u ^= u >> 13;
    return ((double)(u % 2001u) - 1000.0) / 1024.0;
}

/** What is computed. Row r has length[r] tokens; name[r] (NULL: r) tells which numbers belong to it. */
typedef struct sequence_case {
    int64_t input;
    int64_t hidden;
    int32_t layers;
    int32_t bidirectional;
    int64_t rows;
    const int64_t *length;
    const int32_t *name;
    int32_t vocabulary; /* 0: each token has its own row of the table, in order of occurrence */
    bool of_tokens;     /* the operation that reads the tokens itself */
} sequence_case;

/** The outcome, as mtli_real; tensor k of `gradients` is the table (0) or weight k - 1 in the order of mtl_lstm_weights. */
typedef struct sequence_result {
    int64_t tokens;
    int64_t num_states;
    mtli_real *states; /* [tokens, hidden * directions] */
    int32_t num_tensors;
    int64_t sizes[SEQUENCE_TENSORS];
    mtli_real *gradients[SEQUENCE_TENSORS];
    char message[256];
} sequence_result;

static inline int64_t sequence_directions(const sequence_case *c)
{
    return c->bidirectional ? 2 : 1;
}

static inline int64_t sequence_tokens(const sequence_case *c)
{
    int64_t tokens = 0;
    for (int64_t r = 0; r < c->rows; r++) {
        tokens += c->length[r];
    }
    return tokens;
}

/* sum(a * b): a scalar to start the backward pass from. b holds constants. */
static inline mtl_status sequence_dot_shape(void *user, mtl_op_call *call)
{
    (void)user;
    return mtl_op_call_set_shape(call, 0, NULL);
}

static inline mtl_status sequence_dot_forward(void *user, mtl_op_call *call)
{
    (void)user;
    const mtli_real *a = mtl_op_call_input_data(call, 0);
    const mtli_real *b = mtl_op_call_input_data(call, 1);
    int64_t n = mtl_tensor_size(mtl_op_call_input(call, 0));
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)a[i] * (double)b[i];
    }
    *(mtli_real *)mtl_op_call_output_data(call) = (mtli_real)sum;
    return MTL_OK;
}

static inline mtl_status sequence_dot_backward(void *user, mtl_op_call *call)
{
    (void)user;
    const mtli_real *b = mtl_op_call_input_data(call, 1);
    mtli_real *da = mtl_op_call_input_gradient(call, 0);
    mtli_real dy = *(const mtli_real *)mtl_op_call_output_gradient(call);
    int64_t n = mtl_tensor_size(mtl_op_call_input(call, 0));
    for (int64_t i = 0; da && i < n; i++) {
        da[i] += dy * b[i];
    }
    return MTL_OK;
}

static inline mtl_tensor *sequence_dot(mtl_tape *tape, mtl_tensor *a, mtl_tensor *b)
{
    mtl_custom_op_options options = MTL_CUSTOM_OP_OPTIONS_INIT;
    mtl_tensor *inputs[] = {a, b};
    options.name = "dot";
    options.shape = sequence_dot_shape;
    options.forward = sequence_dot_forward;
    options.backward = sequence_dot_backward;
    return mtl_custom_op(tape, &options, inputs, 2);
}

/** A real host tensor of numbers scale * sequence_value(stream, ..); NULL when memory is wanting. */
static inline mtl_tensor *sequence_tensor(mtl_context *context, int32_t ndim, const int64_t *dims, uint32_t stream,
                                          double scale)
{
    mtl_tensor *tensor = NULL;
    if (mtl_tensor_create(context, MTL_FLOAT32, ndim, dims, &tensor) != MTL_OK) {
        return NULL;
    }
    mtli_real *data = tensor->data;
    for (int64_t i = 0; i < tensor->size; i++) {
        data[i] = (mtli_real)(scale * sequence_value(stream, (uint32_t)i));
    }
    return tensor;
}

static inline int32_t sequence_name(const sequence_case *c, int64_t row)
{
    return c->name ? c->name[row] : (int32_t)row;
}

static inline mtl_tensor *sequence_ids(mtl_context *context, const sequence_case *c)
{
    int64_t tokens = sequence_tokens(c);
    int64_t *offsets = calloc((size_t)c->rows + 1, sizeof *offsets);
    int32_t *ids = calloc((size_t)tokens + 1, sizeof *ids);
    mtl_tensor *tensor = NULL;
    int64_t n = 0;
    for (int64_t r = 0; r < c->rows; r++) {
        for (int64_t t = 0; t < c->length[r]; t++, n++) {
            double value = 0.5 + 0.5 * sequence_value((uint32_t)sequence_name(c, r) + 1000u, (uint32_t)t);
            ids[n] = c->vocabulary ? (int32_t)(value * (c->vocabulary - 1)) : (int32_t)n;
        }
        offsets[r + 1] = n;
    }
    if (mtl_tensor_create_ragged(context, c->rows, offsets, ids, &tensor) != MTL_OK) {
        tensor = NULL;
    }
    free(offsets);
    free(ids);
    return tensor;
}

/* What the states are multiplied with to make the loss: by name of the row, so that it moves with it. */
static inline mtl_tensor *sequence_loss_weights(mtl_context *context, const sequence_case *c)
{
    int64_t width = c->hidden * sequence_directions(c);
    int64_t dims[] = {sequence_tokens(c), width};
    mtl_tensor *tensor = NULL;
    if (mtl_tensor_create(context, MTL_FLOAT32, 2, dims, &tensor) != MTL_OK) {
        return NULL;
    }
    mtli_real *data = tensor->data;
    for (int64_t r = 0; r < c->rows; r++) {
        for (int64_t k = 0; k < c->length[r] * width; k++) {
            *data++ = (mtli_real)sequence_value((uint32_t)sequence_name(c, r) + 2000u, (uint32_t)k);
        }
    }
    return tensor;
}

/* Table and weights, all watched. */
static inline mtl_status sequence_parameters(mtl_context *context, mtl_tape *tape, const sequence_case *c,
                                             mtl_tensor **tensors)
{
    int64_t tokens = sequence_tokens(c);
    int64_t table[] = {c->vocabulary ? c->vocabulary : tokens, c->input};
    mtl_status status = MTL_OK;
    tensors[0] = sequence_tensor(context, 2, table, 1, 1);
    int64_t cells = c->layers * sequence_directions(c);
    for (int64_t k = 0; k < 4 * cells; k++) {
        int64_t layer = k / 4 / sequence_directions(c);
        int64_t in = layer > 0 ? c->hidden * sequence_directions(c) : c->input;
        int64_t dims[] = {4 * c->hidden, k % 4 == 0 ? in : c->hidden};
        tensors[1 + k] = tensors[k] ? sequence_tensor(context, k % 4 < 2 ? 2 : 1, dims, (uint32_t)(10 + k), 0.5) : NULL;
    }
    if (!tensors[4 * cells]) {
        return MTL_ERROR_MEMORY;
    }
    for (int64_t k = 0; k < 1 + 4 * cells && status == MTL_OK; k++) {
        status = mtl_tape_watch(tape, tensors[k]);
    }
    return status;
}

static inline mtli_real *sequence_copy(const mtl_tensor *tensor, int64_t size)
{
    mtli_real *copy = calloc((size_t)size + 1, sizeof *copy); /* NULL: zeros */
    if (tensor) {
        memcpy(copy, tensor->data, (size_t)size * sizeof *copy);
    }
    return copy;
}

static inline mtl_status sequence_compute(mtl_tape *tape, const sequence_case *c, mtl_tensor **tensors, mtl_tensor *ids,
                                          mtl_tensor *loss_weights, sequence_result *result)
{
    mtl_lstm_weights weights[SEQUENCE_CELLS];
    int32_t cells = c->layers * (int32_t)sequence_directions(c);
    for (int32_t k = 0; k < cells; k++) {
        weights[k] = (mtl_lstm_weights){tensors[1 + 4 * k], tensors[2 + 4 * k], tensors[3 + 4 * k], tensors[4 + 4 * k]};
    }
    mtl_tensor *h = c->of_tokens
                        ? mtli_lstm_of_tokens(tape, tensors[0], ids, weights, c->layers, c->bidirectional, 0)
                        : mtl_lstm(tape, mtl_embedding(tape, tensors[0], ids), weights, c->layers, c->bidirectional, 0);
    mtl_tensor *loss = sequence_dot(tape, h, loss_weights);
    mtl_status status = mtl_tape_status(tape);
    snprintf(result->message, sizeof result->message, "%s", mtl_tape_error(tape));
    const double one = 1;
    if (status == MTL_OK) {
        status = mtli_sweep_run(tape, &loss, &one, 1, NULL);
    }
    if (status != MTL_OK) {
        return status;
    }
    result->tokens = h->shape.dims[0];
    result->num_states = h->size;
    result->states = sequence_copy(h, h->size);
    result->num_tensors = 1 + 4 * cells;
    for (int32_t k = 0; k < result->num_tensors; k++) {
        result->sizes[k] = tensors[k]->size;
        result->gradients[k] = sequence_copy(mtl_tape_gradient(tape, tensors[k]), tensors[k]->size);
    }
    return MTL_OK;
}

/** Runs a case on a context. Call sequence_free() also after a failure. */
static inline mtl_status sequence_run(mtl_context *context, const sequence_case *c, sequence_result *result)
{
    mtl_tape *tape = NULL;
    mtl_tensor *tensors[SEQUENCE_TENSORS] = {NULL};
    memset(result, 0, sizeof *result);
    mtl_tensor *ids = NULL;
    mtl_tensor *loss_weights = NULL;
    mtl_status status = mtl_tape_create(context, NULL, &tape);
    mtl_tape_reset(tape, MTL_TAPE_TRAIN);
    if (status == MTL_OK) {
        ids = sequence_ids(context, c);
        status = ids ? MTL_OK : MTL_ERROR_MEMORY;
    }
    if (status == MTL_OK) {
        loss_weights = sequence_loss_weights(context, c);
        status = loss_weights ? MTL_OK : MTL_ERROR_MEMORY;
    }
    if (status == MTL_OK) {
        status = sequence_parameters(context, tape, c, tensors);
    }
    if (status == MTL_OK) {
        status = sequence_compute(tape, c, tensors, ids, loss_weights, result);
    }
    mtl_tape_destroy(tape);
    for (int k = 0; k < SEQUENCE_TENSORS; k++) {
        mtl_tensor_release(tensors[k]);
    }
    mtl_tensor_release(ids);
    mtl_tensor_release(loss_weights);
    return status;
}

static inline void sequence_free(sequence_result *result)
{
    free(result->states);
    for (int32_t k = 0; k < result->num_tensors; k++) {
        free(result->gradients[k]);
    }
    memset(result, 0, sizeof *result);
}

/** Largest magnitude; at least `least`. */
static inline double sequence_scale(const mtli_real *values, int64_t n, double least)
{
    double most = least;
    for (int64_t i = 0; i < n; i++) {
        double magnitude = values[i] < 0 ? -(double)values[i] : (double)values[i];
        most = magnitude > most ? magnitude : most;
    }
    return most;
}

#endif
