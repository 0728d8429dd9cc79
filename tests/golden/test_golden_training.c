/* SPDX-License-Identifier: Apache-2.0
 * Ten steps of two-task training beside PyTorch, for each optimizer: loss curves and last weights. */
#include "support.h"

#include <math.h>

#include <mtl/mtl.h>

#include "training_golden.h"

typedef struct run_setting {
    enum { SGD, ADAM, ADAMW } kind;
    double rate, momentum, decay, clip;
    int32_t nesterov, sparse;
    const double *losses, *weights;
    double tolerance;
} run_setting;

/* Tolerances. A gradient is a sum of at most 14 tokens' terms below 1/2, each the end of a chain of some ten roundings in
 * float: absolute error at most d = 14 * 0.5 * 10 * 2^-24 = 4e-6, in practice a tenth of it, as errors cancel.
 * - SGD: a step moves by rate * d / (1 - momentum) = d; ten steps: 10 d / 10 = 4e-6 for the tenth, doubled because later
 *   gradients see the moved weights.
 * - Adam: |d update / d gradient| <= rate / epsilon = 10, reached where a gradient is near 0 only; ten steps:
 *   10 * 10 * d / 10 = 4e-5. */
static const double sgd_tolerance = 8e-6;
static const double adam_tolerance = 4e-5;

static const double beta1 = 0.9;
static const double beta2 = 0.999;
static const double epsilon = 1e-3;

typedef struct fixture {
    mtl_context *context;
    mtl_encoder *encoder;
    mtl_head *heads[2];
    mtl_model *model;
    mtl_objective *objective;
    mtl_optimizer *optimizer;
    mtl_gradients *gradients;
    mtl_tape *tape;
    mtl_tensor *inputs[GOLDEN_BATCHES];
    mtl_tensor *labels[GOLDEN_BATCHES][2];
} fixture;

static mtl_tensor *make_labels(mtl_context *context, const int32_t *values, int64_t rows)
{
    mtl_tensor *labels;
    assert_ok(context, mtl_tensor_create(context, MTL_INT32, 1, &rows, &labels));
    assert_ok(context, mtl_tensor_write(labels, MTL_INT32, values, (size_t)rows));
    return labels;
}

static void open_data(fixture *f)
{
    const int64_t rows[] = {4, 3};
    const int64_t *offsets[] = {golden_offsets_0, golden_offsets_1};
    const int32_t *tokens[] = {golden_tokens_0, golden_tokens_1};
    const int32_t *labels[][2] = {{golden_labels_0_0, golden_labels_0_1}, {golden_labels_1_0, golden_labels_1_1}};
    for (int b = 0; b < GOLDEN_BATCHES; b++) {
        assert_ok(f->context, mtl_tensor_create_ragged(f->context, rows[b], offsets[b], tokens[b], &f->inputs[b]));
        for (int t = 0; t < 2; t++) {
            f->labels[b][t] = make_labels(f->context, labels[b][t], rows[b]);
        }
    }
}

/* The formula of dump_training.py. */
static void set_weights(fixture *f)
{
    double values[GOLDEN_VALUES];
    int64_t index = 0;
    for (int64_t i = 0; i < mtl_model_num_parameters(f->model); i++) {
        mtl_tensor *parameter = mtl_model_parameter(f->model, i);
        int64_t size = mtl_tensor_size(parameter);
        for (int64_t k = 0; k < size; k++) {
            values[k] = 0.4 * sin(1.0 + 0.7 * (double)index++);
        }
        assert_ok(f->context, mtl_tensor_write(parameter, MTL_FLOAT64, values, (size_t)size));
    }
    assert_int_equal(index, GOLDEN_VALUES);
}

static void open_optimizer(fixture *f, const run_setting *s)
{
    mtl_sgd_options sgd = MTL_SGD_OPTIONS_INIT;
    mtl_adam_options adam = MTL_ADAM_OPTIONS_INIT;
    sgd.learning_rate = adam.learning_rate = s->rate;
    sgd.weight_decay = adam.weight_decay = s->decay;
    sgd.clip_norm = adam.clip_norm = s->clip;
    sgd.sparse = adam.sparse = s->sparse;
    sgd.momentum = s->momentum;
    sgd.nesterov = s->nesterov;
    adam.beta1 = beta1;
    adam.beta2 = beta2;
    adam.epsilon = epsilon;
    assert_ok(f->context, s->kind == SGD    ? mtl_optimizer_create_sgd(f->model, &sgd, &f->optimizer)
                          : s->kind == ADAM ? mtl_optimizer_create_adam(f->model, &adam, &f->optimizer)
                                            : mtl_optimizer_create_adamw(f->model, &adam, &f->optimizer));
}

static void open_fixture(fixture *f, const run_setting *s)
{
    memset(f, 0, sizeof *f);
    f->context = test_context();
    mtl_lstm_options lstm = MTL_LSTM_OPTIONS_INIT;
    lstm.vocabulary_size = GOLDEN_VOCABULARY;
    lstm.embedding_dim = GOLDEN_EMBEDDING;
    lstm.hidden_dim = GOLDEN_HIDDEN;
    assert_ok(f->context, mtl_encoder_create_lstm(f->context, &lstm, &f->encoder));
    assert_ok(f->context, mtl_head_create_classifier(f->context, GOLDEN_HIDDEN, 2, NULL, &f->heads[0]));
    assert_ok(f->context, mtl_head_create_classifier(f->context, GOLDEN_HIDDEN, 3, NULL, &f->heads[1]));
    assert_ok(f->context, mtl_model_create(f->context, NULL, &f->model));
    assert_ok(f->context, mtl_model_add_encoder(f->model, "encoder", f->encoder));
    assert_ok(f->context, mtl_model_add_head(f->model, "first", f->heads[0]));
    assert_ok(f->context, mtl_model_add_head(f->model, "second", f->heads[1]));
    assert_ok(f->context, mtl_objective_create(f->model, NULL, &f->objective));
    assert_ok(f->context, mtl_objective_share_encoder(f->objective, f->encoder));
    assert_ok(f->context, mtl_objective_add_task(f->objective, "first", 1));
    assert_ok(f->context, mtl_objective_add_task(f->objective, "second", 0.5));
    assert_ok(f->context, mtl_gradients_create(f->model, &f->gradients));
    assert_ok(f->context, mtl_tape_create(f->context, NULL, &f->tape));
    open_optimizer(f, s);
    open_data(f);
    set_weights(f);
}

static void close_fixture(fixture *f)
{
    for (int b = 0; b < GOLDEN_BATCHES; b++) {
        mtl_tensor_release(f->inputs[b]);
        mtl_tensor_release(f->labels[b][0]);
        mtl_tensor_release(f->labels[b][1]);
    }
    mtl_tape_destroy(f->tape);
    mtl_gradients_destroy(f->gradients);
    mtl_optimizer_destroy(f->optimizer);
    mtl_objective_destroy(f->objective);
    mtl_model_destroy(f->model);
    mtl_head_release(f->heads[0]);
    mtl_head_release(f->heads[1]);
    mtl_encoder_release(f->encoder);
    mtl_context_release(f->context);
}

static void train_step(fixture *f, int step, double losses[2])
{
    int batch = step % GOLDEN_BATCHES;
    mtl_tape_reset(f->tape, MTL_TAPE_TRAIN);
    mtl_tensor *features = mtl_encoder_forward(f->encoder, f->tape, f->inputs[batch]);
    mtl_tensor *tensors[2];
    for (int t = 0; t < 2; t++) {
        mtl_tensor *logits = mtl_head_forward(f->heads[t], f->tape, features);
        tensors[t] = mtl_cross_entropy(f->tape, logits, f->labels[batch][t], NULL);
    }
    assert_ok(f->context, mtl_objective_backward(f->objective, f->tape, tensors, 2, f->gradients));
    assert_ok(f->context, mtl_optimizer_step(f->optimizer, f->gradients));
    losses[0] = mtl_objective_task_loss(f->objective, 0);
    losses[1] = mtl_objective_task_loss(f->objective, 1);
}

static void read_weights(fixture *f, double *values)
{
    for (int64_t i = 0; i < mtl_model_num_parameters(f->model); i++) {
        mtl_tensor *parameter = mtl_model_parameter(f->model, i);
        assert_ok(f->context, mtl_tensor_read(parameter, MTL_FLOAT64, values, (size_t)mtl_tensor_size(parameter)));
        values += mtl_tensor_size(parameter);
    }
}

static void agrees_with_pytorch(const run_setting *s)
{
    fixture f;
    open_fixture(&f, s);
    double curve[2 * GOLDEN_STEPS];
    double weights[GOLDEN_VALUES];
    for (int step = 0; step < GOLDEN_STEPS; step++) {
        train_step(&f, step, curve + 2 * step);
    }
    read_weights(&f, weights);
    /* A loss moves by at most the sum over the weights of gradient (norm below 2) times their error. */
    assert_close(curve, s->losses, 2 * GOLDEN_STEPS, 0, 2 * s->tolerance);
    assert_close(weights, s->weights, GOLDEN_VALUES, 0, s->tolerance);
    close_fixture(&f);
}

static void sgd_with_momentum(void **state)
{
    (void)state;
    const run_setting s = {
        SGD, 0.1, 0.9, 0.01, 0, 0, MTL_SPARSE_DENSE, golden_momentum_losses, golden_momentum_weights, sgd_tolerance};
    agrees_with_pytorch(&s);
}

static void sgd_with_nesterov_and_clipping(void **state)
{
    (void)state;
    const run_setting s = {
        SGD, 0.1, 0.8, 0.01, 0.5, 1, MTL_SPARSE_DENSE, golden_nesterov_losses, golden_nesterov_weights, sgd_tolerance};
    agrees_with_pytorch(&s);
}

static void adam_with_dense_rows(void **state)
{
    (void)state;
    const run_setting s = {
        ADAM, 0.01, 0, 0.05, 0, 0, MTL_SPARSE_DENSE, golden_adam_losses, golden_adam_weights, adam_tolerance};
    agrees_with_pytorch(&s);
}

static void adamw_with_clipping(void **state)
{
    (void)state;
    const run_setting s = {
        ADAMW, 0.01, 0, 0.1, 0.5, 0, MTL_SPARSE_DENSE, golden_adamw_losses, golden_adamw_weights, adam_tolerance};
    agrees_with_pytorch(&s);
}

static void adam_with_lazy_rows(void **state)
{
    (void)state;
    const run_setting s = {ADAM,          0.01, 0, 0, 0, 0, MTL_SPARSE_LAZY, golden_lazy_losses, golden_lazy_weights,
                           adam_tolerance};
    agrees_with_pytorch(&s);
    /* The rows that neither batch has are as they were. */
    for (int i = 10 * GOLDEN_EMBEDDING; i < 11 * GOLDEN_EMBEDDING; i++) {
        assert_near(golden_lazy_weights[i], 0.4 * sin(1.0 + 0.7 * i), 1e-8); /* eight digits are stored */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sgd_with_momentum),    cmocka_unit_test(sgd_with_nesterov_and_clipping),
        cmocka_unit_test(adam_with_dense_rows), cmocka_unit_test(adamw_with_clipping),
        cmocka_unit_test(adam_with_lazy_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
