/* SPDX-License-Identifier: Apache-2.0
 * Task gradients: one sweep over disjoint rows gives what a sweep for each task gives, and is not taken where it cannot. */
#include "support.h"

#include <math.h>

#include <mtl/mtl.h>

#include "autograd/task_sweep.h"
#include "nn/module.h"

enum { ROWS = 12, TASKS = 3, CLASSES = 2, FEATURES = 5, MOST_TOKENS = 24, WORDS = 9 };

/* Which encoder is shared. */
typedef enum network {
    NETWORK_LSTM,
    NETWORK_LSTM_DEEP,   /* two layers, both directions */
    NETWORK_DENSE,       /* linear, layer normalization, linear */
    NETWORK_EMBEDDING,   /* means of embedded tokens */
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

static mtl_tensor *dense_forward(void *user, mtl_encoder_call *call)
{
    (void)user;
    mtl_tape *tape = mtl_encoder_call_tape(call);
    mtl_tensor *h = mtl_linear(tape, mtl_encoder_call_inputs(call), mtl_encoder_call_parameter(call, 0),
                               mtl_encoder_call_parameter(call, 1));
    h = mtl_layer_norm(tape, h, mtl_encoder_call_parameter(call, 2), mtl_encoder_call_parameter(call, 3), 1e-5);
    return mtl_linear(tape, mtl_tanh(tape, h), mtl_encoder_call_parameter(call, 4), NULL);
}

static mtl_tensor *embedding_forward(void *user, mtl_encoder_call *call)
{
    (void)user;
    mtl_tape *tape = mtl_encoder_call_tape(call);
    return mtl_sequence_mean(
        tape, mtl_tanh(tape, mtl_embedding(tape, mtl_encoder_call_parameter(call, 0), mtl_encoder_call_inputs(call))));
}

/* The mean of everything is added to each row. */
static mtl_tensor *mixing_forward(void *user, mtl_encoder_call *call)
{
    (void)user;
    mtl_tape *tape = mtl_encoder_call_tape(call);
    mtl_tensor *h = mtl_linear(tape, mtl_encoder_call_inputs(call), mtl_encoder_call_parameter(call, 0), NULL);
    return mtl_add(tape, h, mtl_mean(tape, h));
}

static void create_custom(fixture *f, mtl_encoder_fn forward, const mtl_parameter_spec *specs, int64_t count)
{
    mtl_custom_encoder_options options = MTL_CUSTOM_ENCODER_OPTIONS_INIT;
    options.forward = forward;
    options.parameters = specs;
    options.num_parameters = count;
    options.output_dim = FEATURES;
    assert_ok(f->context, mtl_encoder_create_custom(f->context, &options, &f->encoder));
}

static void create_encoder(fixture *f, network kind)
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
    if (kind == NETWORK_DENSE) {
        create_custom(f, dense_forward, dense, 5);
    } else if (kind == NETWORK_EMBEDDING) {
        create_custom(f, embedding_forward, table, 1);
    } else if (kind == NETWORK_BATCH_NORMS) {
        create_custom(f, mixing_forward, square, 1);
    } else {
        mtl_lstm_options lstm = MTL_LSTM_OPTIONS_INIT;
        lstm.vocabulary_size = WORDS;
        lstm.embedding_dim = 4;
        lstm.hidden_dim = 6;
        lstm.num_layers = kind == NETWORK_LSTM_DEEP ? 2 : 1;
        lstm.bidirectional = kind == NETWORK_LSTM_DEEP;
        lstm.pooling = kind == NETWORK_LSTM_DEEP ? MTL_POOLING_MAX : MTL_POOLING_LAST;
        assert_ok(f->context, mtl_encoder_create_lstm(f->context, &lstm, &f->encoder));
    }
}

static bool reads_tokens(network kind)
{
    return kind != NETWORK_DENSE && kind != NETWORK_BATCH_NORMS;
}

static void create_inputs(fixture *f, network kind)
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
        ids[i] = (int32_t)(i * i + i / 3) % WORDS;
    }
    assert_ok(f->context, mtl_tensor_create_ragged(f->context, ROWS, offsets, ids, &f->inputs));
}

static bool is_labelled(labelling labels, int row, int task)
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

static void create_labels(fixture *f, labelling labels)
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

static void open_fixture(fixture *f, network kind, labelling labels, int threads)
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

static void close_fixture(fixture *f)
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

static void compute_losses(fixture *f)
{
    mtl_tape_reset(f->tape, MTL_TAPE_TRAIN);
    mtl_tensor *h = mtl_encoder_forward(f->encoder, f->tape, f->inputs);
    for (int t = 0; t < TASKS; t++) {
        f->losses[t] = mtl_cross_entropy(f->tape, mtl_head_forward(f->heads[t], f->tape, h), f->labels[t], NULL);
    }
    assert_int_equal(mtl_tape_status(f->tape), MTL_OK);
}

/* Two ways of adding the same `terms` products in float32: their difference is below terms * 2^-24 times the sum of
 * magnitudes, which the norm bounds here (no cancellation of more than a digit). */
static void assert_target(fixture *f, int task)
{
    double norm = mtl_gradients_norm(f->expected);
    double largest = 0;
    assert_ok(f->context, mtl_gradients_add(f->expected, -1, f->targets[task]));
    double difference = mtl_gradients_norm(f->expected);
    largest = fmax(largest, difference);
    if (!(largest <= 100 * ldexp(1, -24) * norm + 1e-12)) {
        fail_msg("task %d: norm %g, difference %g", task, norm, difference);
    }
}

static void check(network kind, labelling labels, int threads, mtli_task_way way)
{
    static const double seeds[TASKS] = {1, 0.25, 3};
    fixture f;
    open_fixture(&f, kind, labels, threads);
    compute_losses(&f);
    const mtli_parameters *shared[] = {f.encoder->parameters};
    mtli_task_pass pass = {.tape = f.tape,
                           .count = TASKS,
                           .losses = f.losses,
                           .seeds = seeds,
                           .num_shared = 1,
                           .shared = shared,
                           .targets = f.targets};
    assert_ok(f.context, mtli_task_sweep(&pass));
    assert_true(pass.split);
    assert_int_equal(pass.way, way);
    for (int t = 0; t < TASKS; t++) {
        assert_ok(f.context, mtli_sweep_run(f.tape, &f.losses[t], &seeds[t], 1, f.expected));
        assert_true(mtl_gradients_norm(f.expected) > 0 || (labels == LABELS_WITH_GAPS && t == 1));
        assert_target(&f, t);
    }
    close_fixture(&f);
}

static void test_one_sweep_equals_a_sweep_for_each(void **state)
{
    (void)state;
    static const network kinds[] = {NETWORK_LSTM, NETWORK_LSTM_DEEP, NETWORK_DENSE, NETWORK_EMBEDDING};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        for (int threads = 1; threads <= 3; threads += 2) {
            check(kinds[k], LABELS_DISJOINT, threads, MTLI_TASKS_ONE_SWEEP);
            check(kinds[k], LABELS_WITH_GAPS, threads, MTLI_TASKS_ONE_SWEEP);
            check(kinds[k], LABELS_OVERLAPPING, threads, MTLI_TASKS_SWEEP_EACH);
        }
    }
}

static void test_mixed_rows_take_a_sweep_for_each(void **state)
{
    (void)state;
    check(NETWORK_BATCH_NORMS, LABELS_DISJOINT, 1, MTLI_TASKS_SWEEP_EACH);
}

/* What is not shared, swept by itself, equals its part of the whole sweep. */
static void test_rest(void **state)
{
    (void)state;
    static const double seeds[TASKS] = {1, 1, 1};
    static const double weights[TASKS] = {0.5, 2, 0};
    fixture f;
    open_fixture(&f, NETWORK_LSTM, LABELS_DISJOINT, 1);
    compute_losses(&f);
    mtli_parameters *blocks[TASKS];
    const mtli_parameters *shared[] = {f.encoder->parameters};
    mtl_gradients *whole;
    mtl_gradients *rest;
    for (int t = 0; t < TASKS; t++) {
        blocks[t] = f.heads[t]->parameters;
    }
    assert_ok(f.context, mtli_gradients_create(f.context, blocks, TASKS, &whole));
    assert_ok(f.context, mtli_gradients_create(f.context, blocks, TASKS, &rest));
    mtli_task_pass pass = {.tape = f.tape,
                           .count = TASKS,
                           .losses = f.losses,
                           .seeds = seeds,
                           .num_shared = 1,
                           .shared = shared,
                           .targets = f.targets};
    assert_ok(f.context, mtli_task_sweep(&pass));
    assert_ok(f.context, mtli_task_sweep_rest(&pass, weights, rest));
    assert_ok(f.context, mtli_sweep_run(f.tape, f.losses, weights, TASKS, whole));
    assert_true(mtl_gradients_norm(whole) > 0);
    assert_ok(f.context, mtl_gradients_add(whole, -1, rest));
    assert_true(mtl_gradients_norm(whole) == 0);
    mtl_gradients_destroy(whole);
    mtl_gradients_destroy(rest);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_sweep_equals_a_sweep_for_each),
        cmocka_unit_test(test_mixed_rows_take_a_sweep_for_each),
        cmocka_unit_test(test_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
