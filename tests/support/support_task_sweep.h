/* SPDX-License-Identifier: Apache-2.0
 * A shared encoder of one kind or another with three heads, and losses of rows that they share or do not. */
#ifndef TESTS_SUPPORT_TASK_SWEEP_H
#define TESTS_SUPPORT_TASK_SWEEP_H

#include "support.h"

#include <math.h>

#include <mtl/mtl.h>

#include "autograd/task_sweep.h"
#include "nn/module.h"

enum { ROWS = 12, TASKS = 3, CLASSES = 2, FEATURES = 5, MOST_TOKENS = 24, WORDS = 9, RARE_WORDS = 499 };

/* Which encoder is shared. */
typedef enum network {
    NETWORK_LSTM,
    NETWORK_LSTM_RARE,   /* tokens that hardly repeat themselves */
    NETWORK_LSTM_DEEP,   /* two layers, both directions */
    NETWORK_LSTM_MEAN,   /* the same behind dropout, which has the embedding as an operation of its own; means */
    NETWORK_DENSE,       /* linear, layer normalization, linear */
    NETWORK_EMBEDDING,   /* means of embedded tokens; the table is dense */
    NETWORK_TWICE,       /* each parameter is read twice, the table as a table and as a matrix */
    NETWORK_BATCH_NORMS, /* an operation that mixes rows */
    NETWORKS
} network;

/* Which rows a task labels. */
typedef enum labelling {
    LABELS_DISJOINT,
    LABELS_WITH_GAPS, /* some rows have no label; task 1 is absent */
    LABELS_OVERLAPPING,
    LABELLINGS
} labelling;

typedef struct fixture {
    mtl_test_allocator allocator;
    mtl_context *context;
    mtl_encoder *encoder;
    mtl_head *heads[TASKS];
    mtl_tensor *inputs;
    mtl_tensor *labels[TASKS];
    mtl_tape *tape;
    mtl_tensor *losses[TASKS];
    mtl_gradients *targets[TASKS];
    mtl_gradients *expected;
} fixture;

static inline mtl_tensor *dense_forward(void *user, mtl_encoder_call *call)
{
    (void)user;
    mtl_tape *tape = mtl_encoder_call_tape(call);
    mtl_tensor *h = mtl_linear(tape, mtl_encoder_call_inputs(call), mtl_encoder_call_parameter(call, 0),
                               mtl_encoder_call_parameter(call, 1));
    h = mtl_layer_norm(tape, h, mtl_encoder_call_parameter(call, 2), mtl_encoder_call_parameter(call, 3), 1e-5);
    return mtl_linear(tape, mtl_tanh(tape, h), mtl_encoder_call_parameter(call, 4), NULL);
}

static inline mtl_tensor *embedding_forward(void *user, mtl_encoder_call *call)
{
    (void)user;
    mtl_tape *tape = mtl_encoder_call_tape(call);
    return mtl_sequence_mean(
        tape, mtl_tanh(tape, mtl_embedding(tape, mtl_encoder_call_parameter(call, 0), mtl_encoder_call_inputs(call))));
}

static inline mtl_tensor *twice_forward(void *user, mtl_encoder_call *call)
{
    (void)user;
    mtl_tape *tape = mtl_encoder_call_tape(call);
    mtl_tensor *table = mtl_encoder_call_parameter(call, 0);
    mtl_tensor *square = mtl_encoder_call_parameter(call, 1);
    mtl_tensor *gain = mtl_encoder_call_parameter(call, 2);
    mtl_tensor *h = mtl_sequence_mean(tape, mtl_embedding(tape, table, mtl_encoder_call_inputs(call)));
    h = mtl_tanh(tape, mtl_layer_norm(tape, mtl_linear(tape, h, square, gain), gain, NULL, 1e-5));
    h = mtl_layer_norm(tape, mtl_linear(tape, h, square, NULL), gain, gain, 1e-5);
    return mtl_linear(tape, h, table, NULL);
}

/* The mean of everything is added to each row. */
static inline mtl_tensor *mixing_forward(void *user, mtl_encoder_call *call)
{
    (void)user;
    mtl_tape *tape = mtl_encoder_call_tape(call);
    mtl_tensor *h = mtl_linear(tape, mtl_encoder_call_inputs(call), mtl_encoder_call_parameter(call, 0), NULL);
    return mtl_add(tape, h, mtl_mean(tape, h));
}

static inline void create_custom(fixture *f, mtl_encoder_fn forward, const mtl_parameter_spec *specs, int64_t count,
                                 int64_t output_dim)
{
    mtl_custom_encoder_options options = MTL_CUSTOM_ENCODER_OPTIONS_INIT;
    options.forward = forward;
    options.parameters = specs;
    options.num_parameters = count;
    options.output_dim = output_dim;
    assert_ok(f->context, mtl_encoder_create_custom(f->context, &options, &f->encoder));
}

static inline void create_encoder(fixture *f, network kind)
{
    static const mtl_parameter_spec dense[] = {
        {"in.weight", {7, FEATURES}, 2, MTL_INIT_NORMAL, 0.5},
        {"in.bias", {7}, 1, MTL_INIT_NORMAL, 0.5},
        {"norm.gain", {7}, 1, MTL_INIT_NORMAL, 1},
        {"norm.bias", {7}, 1, MTL_INIT_NORMAL, 0.5},
        {"out.weight", {FEATURES, 7}, 2, MTL_INIT_NORMAL, 0.5},
    };
    static const mtl_parameter_spec table[] = {{"table", {WORDS, FEATURES}, 2, MTL_INIT_NORMAL, 1}};
    static const mtl_parameter_spec square[] = {{"weight", {FEATURES, FEATURES}, 2, MTL_INIT_NORMAL, 1}};
    static const mtl_parameter_spec tied[] = {
        {"table", {WORDS, FEATURES}, 2, MTL_INIT_NORMAL, 1},
        {"weight", {FEATURES, FEATURES}, 2, MTL_INIT_NORMAL, 1},
        {"gain", {FEATURES}, 1, MTL_INIT_NORMAL, 1},
    };
    if (kind == NETWORK_TWICE) {
        create_custom(f, twice_forward, tied, 3, WORDS);
    } else if (kind == NETWORK_DENSE) {
        create_custom(f, dense_forward, dense, 5, FEATURES);
    } else if (kind == NETWORK_EMBEDDING) {
        create_custom(f, embedding_forward, table, 1, FEATURES);
    } else if (kind == NETWORK_BATCH_NORMS) {
        create_custom(f, mixing_forward, square, 1, FEATURES);
    } else {
        mtl_lstm_options lstm = MTL_LSTM_OPTIONS_INIT;
        lstm.vocabulary_size = kind == NETWORK_LSTM_RARE ? RARE_WORDS : WORDS;
        lstm.embedding_dim = 4;
        lstm.hidden_dim = kind == NETWORK_LSTM_DEEP ? 20 : 6; /* more than one panel of a kernel, or less */
        bool deep = kind == NETWORK_LSTM_DEEP || kind == NETWORK_LSTM_MEAN;
        lstm.num_layers = deep ? 2 : 1;
        lstm.bidirectional = deep;
        lstm.pooling = kind == NETWORK_LSTM_DEEP   ? MTL_POOLING_MAX
                       : kind == NETWORK_LSTM_MEAN ? MTL_POOLING_MEAN
                                                   : MTL_POOLING_LAST;
        lstm.embedding_dropout = kind == NETWORK_LSTM_MEAN ? 0.2 : 0;
        assert_ok(f->context, mtl_encoder_create_lstm(f->context, &lstm, &f->encoder));
    }
}

static inline bool reads_tokens(network kind)
{
    return kind != NETWORK_DENSE && kind != NETWORK_BATCH_NORMS;
}

static inline void create_inputs(fixture *f, network kind)
{
    if (!reads_tokens(kind)) {
        float values[ROWS * FEATURES];
        for (int i = 0; i < ROWS * FEATURES; i++) {
            values[i] = (float)sin(1.7 * i * i);
        }
        assert_ok(f->context, mtl_tensor_create(f->context, MTL_FLOAT32, 2, (int64_t[]){ROWS, FEATURES}, &f->inputs));
        assert_ok(f->context, mtl_tensor_write(f->inputs, MTL_FLOAT32, values, ROWS * FEATURES));
        return;
    }
    int64_t offsets[ROWS + 1] = {0};
    int32_t ids[ROWS * MOST_TOKENS];
    for (int r = 0; r < ROWS; r++) {
        offsets[r + 1] = offsets[r] + 1 + (r * 7) % MOST_TOKENS;
    }
    for (int64_t i = 0; i < offsets[ROWS]; i++) {
        ids[i] = (int32_t)((i * i + i / 3) % (kind == NETWORK_LSTM_RARE ? RARE_WORDS : WORDS));
    }
    assert_ok(f->context, mtl_tensor_create_ragged(f->context, ROWS, offsets, ids, &f->inputs));
}

static inline bool is_labelled(labelling labels, int row, int task)
{
    switch (labels) {
    case LABELS_DISJOINT:
        return row % TASKS == task;
    case LABELS_WITH_GAPS:
        return task != 1 && row % (TASKS + 1) == task;
    default:
        return row % TASKS == task || row == 4;
    }
}

static inline void create_labels(fixture *f, labelling labels)
{
    for (int t = 0; t < TASKS; t++) {
        int32_t values[ROWS];
        for (int r = 0; r < ROWS; r++) {
            values[r] = is_labelled(labels, r, t) ? r % CLASSES : MTL_LABEL_NONE;
        }
        assert_ok(f->context, mtl_tensor_create(f->context, MTL_INT32, 1, (int64_t[]){ROWS}, &f->labels[t]));
        assert_ok(f->context, mtl_tensor_write(f->labels[t], MTL_INT32, values, ROWS));
    }
}

static inline void open_fixture(fixture *f, network kind, labelling labels, int threads)
{
    memset(f, 0, sizeof *f);
    test_allocator_init(&f->allocator);
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.allocator = &f->allocator.hook;
    options.threads = threads;
    assert_int_equal(mtl_context_create(&options, &f->context), MTL_OK);
    create_encoder(f, kind);
    create_inputs(f, kind);
    create_labels(f, labels);
    for (int t = 0; t < TASKS; t++) {
        assert_ok(f->context, mtl_head_create_classifier(f->context, mtl_encoder_output_dim(f->encoder), CLASSES, NULL,
                                                         &f->heads[t]));
        assert_ok(f->context, mtli_gradients_create(f->context, &f->encoder->parameters, 1, &f->targets[t]));
    }
    assert_ok(f->context, mtli_gradients_create(f->context, &f->encoder->parameters, 1, &f->expected));
    assert_ok(f->context, mtl_tape_create(f->context, NULL, &f->tape));
}

static inline void close_fixture(fixture *f)
{
    mtl_tape_destroy(f->tape);
    mtl_gradients_destroy(f->expected);
    for (int t = 0; t < TASKS; t++) {
        mtl_gradients_destroy(f->targets[t]);
        mtl_head_release(f->heads[t]);
        mtl_tensor_release(f->labels[t]);
    }
    mtl_tensor_release(f->inputs);
    mtl_encoder_release(f->encoder);
    mtl_context_release(f->context);
    test_allocator_check(&f->allocator);
}

static inline void compute_losses(fixture *f)
{
    mtl_tape_reset(f->tape, MTL_TAPE_TRAIN);
    mtl_tensor *h = mtl_encoder_forward(f->encoder, f->tape, f->inputs);
    for (int t = 0; t < TASKS; t++) {
        f->losses[t] = mtl_cross_entropy(f->tape, mtl_head_forward(f->heads[t], f->tape, h), f->labels[t], NULL);
    }
    assert_int_equal(mtl_tape_status(f->tape), MTL_OK);
}

#endif
