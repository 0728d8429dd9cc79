/* SPDX-License-Identifier: Apache-2.0
 * Samples of operations on ragged sequences: embedding, LSTM, last, mean, max; and of custom operations. */
#include <mtl/custom.h>
#include <mtl/ops.h>

#include "ops/lstm.h"
#include "samples.h"

/* Lengths 2, 0, 7 and 1: the longest is not first, and one is empty. */
static const int64_t offsets[] = {0, 2, 2, 9, 10};
static const int32_t ids[] = {3, 1, 4, 1, 0, 2, 2, 4, 3, 4};

/* 40 tokens of 6 words: the economy of distinct tokens is in use. */
static const int64_t long_offsets[] = {0, 17, 18, 18, 40};
static const int32_t repeated_ids[] = {3, 1, 4, 1, 0, 5, 2, 4, 3, 4, 3, 1, 4, 1, 0, 2, 2, 4, 3, 4,
                                       5, 5, 0, 1, 0, 2, 2, 4, 3, 4, 3, 1, 4, 1, 0, 2, 2, 4, 3, 1};

#define RAGGED(...) \
    { .kind = SAMPLE_REAL, .ndim = SAMPLE_COUNT(__VA_ARGS__), .dims = {__VA_ARGS__}, .rows = 4, .offsets = offsets }
#define IDS \
    { .kind = SAMPLE_INT, .ndim = 1, .dims = {10}, .values = ids, .rows = 4, .offsets = offsets }
#define REPEATED_IDS \
    { .kind = SAMPLE_INT, .ndim = 1, .dims = {40}, .values = repeated_ids, .rows = 4, .offsets = long_offsets }
#define NOTHING_RAGGED(...) \
    { .kind = SAMPLE_REAL, .ndim = SAMPLE_COUNT(__VA_ARGS__), .dims = {__VA_ARGS__}, .offsets = offsets }
#define WEIGHTS(in, hidden) REAL(4 * (hidden), in), REAL(4 * (hidden), hidden), REAL(4 * (hidden)), REAL(4 * (hidden))

static mtl_tensor *run_embedding(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_embedding(tape, in[0], in[1]);
}

enum { MOST_CELLS = 4 };

/* A table of as many rows as a weight has: one tensor in both roles. */
static mtl_tensor *run_lstm_table_is_weight(mtl_tape *tape, mtl_tensor *const *in)
{
    const mtl_lstm_weights weights = {in[0], in[2], in[3], in[3]};
    return mtli_lstm_of_tokens(tape, in[0], in[1], &weights, 1, 0, 0);
}

/* Inputs four by four to weights. */
static void take_weights(mtl_tensor *const *in, mtl_lstm_weights weights[MOST_CELLS])
{
    for (int k = 0; k < MOST_CELLS && in[0]; k++, in += 4) {
        weights[k] = (mtl_lstm_weights){in[0], in[1], in[2], in[3]};
    }
}

static mtl_tensor *run_lstm(mtl_tape *tape, mtl_tensor *const *in)
{
    mtl_lstm_weights weights[MOST_CELLS];
    take_weights(in + 1, weights);
    return mtl_lstm(tape, in[0], weights, 1, 0, 0);
}

static mtl_tensor *run_lstm_both(mtl_tape *tape, mtl_tensor *const *in)
{
    mtl_lstm_weights weights[MOST_CELLS];
    take_weights(in + 1, weights);
    return mtl_lstm(tape, in[0], weights, 1, 1, 0);
}

static mtl_tensor *run_lstm_two(mtl_tape *tape, mtl_tensor *const *in)
{
    mtl_lstm_weights weights[MOST_CELLS];
    take_weights(in + 1, weights);
    return mtl_lstm(tape, in[0], weights, 2, 0, 0);
}

static mtl_tensor *run_lstm_two_both(mtl_tape *tape, mtl_tensor *const *in)
{
    mtl_lstm_weights weights[MOST_CELLS];
    take_weights(in + 1, weights);
    return mtl_lstm(tape, in[0], weights, 2, 1, 0.5);
}

/* The same tensors in both directions, and one of them twice. */
static mtl_tensor *run_lstm_shared(mtl_tape *tape, mtl_tensor *const *in)
{
    mtl_lstm_weights weights[2] = {{in[1], in[2], in[3], in[4]}, {in[1], in[2], in[3], in[3]}};
    return mtl_lstm(tape, in[0], weights, 1, 1, 0);
}

static mtl_tensor *run_lstm_of_tokens(mtl_tape *tape, mtl_tensor *const *in)
{
    mtl_lstm_weights weights[MOST_CELLS];
    take_weights(in + 2, weights);
    return mtli_lstm_of_tokens(tape, in[0], in[1], weights, 1, 0, 0);
}

static mtl_tensor *run_lstm_of_tokens_both(mtl_tape *tape, mtl_tensor *const *in)
{
    mtl_lstm_weights weights[MOST_CELLS];
    take_weights(in + 2, weights);
    return mtli_lstm_of_tokens(tape, in[0], in[1], weights, 1, 1, 0);
}

static mtl_tensor *run_last(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_sequence_last(tape, in[0], 0);
}

static mtl_tensor *run_last_split(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_sequence_last(tape, in[0], 2);
}

static mtl_tensor *run_mean(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_sequence_mean(tape, in[0]);
}

static mtl_tensor *run_max(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_sequence_max(tape, in[0]);
}

/* a * a * b */
static mtl_status product_forward(void *user, mtl_op_call *call)
{
    (void)user;
    const double *a = mtl_op_call_input_data(call, 0);
    const double *b = mtl_op_call_input_data(call, 1);
    double *y = mtl_op_call_output_data(call);
    for (int64_t i = 0; i < mtl_tensor_size(mtl_op_call_output(call)); i++) {
        y[i] = a[i] * a[i] * b[i];
    }
    return MTL_OK;
}

static mtl_status product_backward(void *user, mtl_op_call *call)
{
    (void)user;
    const double *a = mtl_op_call_input_data(call, 0);
    const double *b = mtl_op_call_input_data(call, 1);
    const double *dy = mtl_op_call_output_gradient(call);
    double *da = mtl_op_call_input_gradient(call, 0);
    double *db = mtl_op_call_input_gradient(call, 1);
    for (int64_t i = 0; i < mtl_tensor_size(mtl_op_call_output(call)); i++) {
        da[i] += dy[i] * 2 * a[i] * b[i];
        db[i] += dy[i] * a[i] * a[i];
    }
    return MTL_OK;
}

static mtl_tensor *run_product(mtl_tape *tape, mtl_tensor *const *in, int32_t row_separable)
{
    mtl_custom_op_options options = MTL_CUSTOM_OP_OPTIONS_INIT;
    options.name = "product";
    options.forward = product_forward;
    options.backward = product_backward;
    options.row_separable = row_separable;
    return mtl_custom_op(tape, &options, in, 2);
}

static mtl_tensor *run_custom(mtl_tape *tape, mtl_tensor *const *in)
{
    return run_product(tape, in, 0);
}

static mtl_tensor *run_custom_rows(mtl_tape *tape, mtl_tensor *const *in)
{
    return run_product(tape, in, 1);
}

const op_sample samples_sequence[] = {
    {"mtl_embedding", "ragged", run_embedding, {REAL(5, 3), IDS}},
    {"mtl_embedding", "one id", run_embedding, {REAL(5, 3), {.kind = SAMPLE_INT, .values = ids}}},
    {"mtl_lstm", "one layer", run_lstm, {RAGGED(10, 3), WEIGHTS(3, 5)}},
    {"mtl_lstm", "one feature, one unit", run_lstm, {RAGGED(10, 1), WEIGHTS(1, 1)}},
    {"mtl_lstm", "more units than a panel has", run_lstm, {RAGGED(10, 2), WEIGHTS(2, 9)}},
    {"mtl_lstm", "both directions", run_lstm_both, {RAGGED(10, 2), WEIGHTS(2, 3), WEIGHTS(2, 3)}},
    {"mtl_lstm", "two layers", run_lstm_two, {RAGGED(10, 2), WEIGHTS(2, 3), WEIGHTS(3, 3)}},
    {"mtl_lstm", "two layers, both directions, dropout", run_lstm_two_both,
     {RAGGED(10, 2), WEIGHTS(2, 3), WEIGHTS(2, 3), WEIGHTS(6, 3), WEIGHTS(6, 3)}},
    {"mtl_lstm", "one cell everywhere", run_lstm_shared, {RAGGED(10, 3), WEIGHTS(3, 3)}},
    {"mtl_lstm", "of tokens", run_lstm_of_tokens, {REAL(5, 2), IDS, WEIGHTS(2, 3)}},
    {"mtl_lstm", "of repeated tokens", run_lstm_of_tokens, {REAL(6, 2), REPEATED_IDS, WEIGHTS(2, 3)}},
    {"mtl_lstm", "of repeated tokens, both directions", run_lstm_of_tokens_both,
     {REAL(6, 2), REPEATED_IDS, WEIGHTS(2, 3), WEIGHTS(2, 3)}},
    {"mtl_lstm", "table and weight are one", run_lstm_table_is_weight,
     {REAL(12, 3), REPEATED_IDS, REAL(12, 3), REAL(12)}},
    {"mtl_lstm", "no rows", run_lstm_both, {NOTHING_RAGGED(0, 2), WEIGHTS(2, 3), WEIGHTS(2, 3)}},
    {"mtl_sequence_last", "no split", run_last, {RAGGED(10, 3)}},
    {"mtl_sequence_last", "split", run_last_split, {RAGGED(10, 3)}},
    {"mtl_sequence_mean", "ragged", run_mean, {RAGGED(10, 3)}},
    {"mtl_sequence_mean", "no rows", run_mean, {NOTHING_RAGGED(0, 3)}},
    {"mtl_sequence_max", "ragged", run_max, {RAGGED(10, 3)}},
    {"mtl_custom_op", "product", run_custom, {REAL(3, 2), REAL(3, 2)}},
    {"mtl_custom_op", "row-separable, ragged", run_custom_rows, {RAGGED(10, 2), REAL(10, 2)}},
    {0},
};
