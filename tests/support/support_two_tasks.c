/* SPDX-License-Identifier: Apache-2.0
 * The small model of two_tasks.h. */
#include "two_tasks.h"

#include <string.h>

#include "model_values.h"

const int64_t two_tasks_offsets[TWO_TASKS_ROWS + 1] = {0, 4, 5, 8, 8, 14, 17}; /* one row is empty */
const int32_t two_tasks_tokens[TWO_TASKS_TOKENS] = {1, 4, 4, 7, 2, 9, 4, 3, 11, 1, 2, 0, 6, 7, 8, 8, 5};
const int32_t two_tasks_labels[2][TWO_TASKS_ROWS] = {
    {0, 1, MTL_LABEL_NONE, MTL_LABEL_NONE, 1, 0},
    {2, MTL_LABEL_NONE, 0, MTL_LABEL_NONE, 1, MTL_LABEL_NONE},
};
const int32_t two_tasks_classes[2] = {2, 3};

static const char *const names[2] = {"first", "second"};

mtl_lstm_options two_tasks_lstm(void)
{
    mtl_lstm_options lstm = MTL_LSTM_OPTIONS_INIT;
    lstm.vocabulary_size = TWO_TASKS_VOCABULARY;
    lstm.embedding_dim = TWO_TASKS_EMBEDDING;
    lstm.hidden_dim = TWO_TASKS_HIDDEN;
    return lstm;
}

static mtl_status make_modules(two_tasks *t, const mtl_lstm_options *lstm)
{
    mtl_lstm_options usual = two_tasks_lstm();
    mtl_status status = mtl_encoder_create_lstm(t->context, lstm ? lstm : &usual, &t->encoder);
    if (status == MTL_OK) {
        status = mtl_model_create(t->context, NULL, &t->model);
    }
    if (status == MTL_OK) {
        status = mtl_model_add_encoder(t->model, "encoder", t->encoder);
    }
    for (int k = 0; k < 2 && status == MTL_OK; k++) {
        status = mtl_head_create_classifier(t->context, mtl_encoder_output_dim(t->encoder), two_tasks_classes[k], NULL,
                                            &t->heads[k]);
        if (status == MTL_OK) {
            status = mtl_model_add_head(t->model, names[k], t->heads[k]);
        }
    }
    return status;
}

static mtl_status make_objective(two_tasks *t)
{
    mtl_status status = mtl_objective_create(t->model, NULL, &t->objective);
    if (status == MTL_OK) {
        status = mtl_objective_share_encoder(t->objective, t->encoder);
    }
    if (status == MTL_OK) {
        status = mtl_objective_add_task(t->objective, names[0], 1.0);
    }
    return status == MTL_OK ? mtl_objective_add_task(t->objective, names[1], 0.5) : status;
}

static mtl_status make_optimizer(two_tasks *t, int optimizer)
{
    mtl_sgd_options sgd = MTL_SGD_OPTIONS_INIT;
    sgd.momentum = 0.9;
    switch (optimizer) {
    case TWO_TASKS_SGD:
        return mtl_optimizer_create_sgd(t->model, &sgd, &t->optimizer);
    case TWO_TASKS_ADAM:
        return mtl_optimizer_create_adam(t->model, NULL, &t->optimizer);
    default:
        return mtl_optimizer_create_adamw(t->model, NULL, &t->optimizer);
    }
}

static mtl_status make_data(two_tasks *t)
{
    mtl_status status =
        mtl_tensor_create_ragged(t->context, TWO_TASKS_ROWS, two_tasks_offsets, two_tasks_tokens, &t->inputs);
    for (int k = 0; k < 2 && status == MTL_OK; k++) {
        status = model_labels(t->context, TWO_TASKS_ROWS, two_tasks_labels[k], &t->labels[k]);
    }
    return status;
}

mtl_status two_tasks_create(mtl_context *context, const mtl_lstm_options *lstm, int optimizer, two_tasks *out)
{
    memset(out, 0, sizeof *out);
    out->context = context;
    mtl_status status = make_modules(out, lstm);
    if (status == MTL_OK) {
        status = make_objective(out);
    }
    if (status == MTL_OK) {
        status = make_optimizer(out, optimizer);
    }
    if (status == MTL_OK) {
        status = mtl_gradients_create(out->model, &out->gradients);
    }
    if (status == MTL_OK) {
        status = mtl_tape_create(context, NULL, &out->tape);
    }
    return status == MTL_OK ? make_data(out) : status;
}

void two_tasks_destroy(two_tasks *t)
{
    mtl_tensor_release(t->inputs);
    mtl_tensor_release(t->labels[0]);
    mtl_tensor_release(t->labels[1]);
    mtl_tape_destroy(t->tape);
    mtl_gradients_destroy(t->gradients);
    mtl_optimizer_destroy(t->optimizer);
    mtl_objective_destroy(t->objective);
    mtl_model_destroy(t->model);
    mtl_head_release(t->heads[0]);
    mtl_head_release(t->heads[1]);
    mtl_encoder_release(t->encoder);
    memset(t, 0, sizeof *t);
}

void two_tasks_losses(two_tasks *t, mtl_tape_mode mode, mtl_tensor *losses[2])
{
    mtl_tape_reset(t->tape, mode);
    mtl_tensor *features = mtl_encoder_forward(t->encoder, t->tape, t->inputs);
    for (int k = 0; k < 2; k++) {
        mtl_tensor *logits = mtl_head_forward(t->heads[k], t->tape, features);
        losses[k] = mtl_cross_entropy(t->tape, logits, t->labels[k], NULL);
    }
}

mtl_status two_tasks_backward(two_tasks *t)
{
    mtl_tensor *losses[2];
    two_tasks_losses(t, MTL_TAPE_TRAIN, losses);
    return mtl_objective_backward(t->objective, t->tape, losses, 2, t->gradients);
}

mtl_status two_tasks_step(two_tasks *t)
{
    mtl_status status = two_tasks_backward(t);
    return status == MTL_OK ? mtl_optimizer_step(t->optimizer, t->gradients) : status;
}

int64_t two_tasks_size(two_tasks *t)
{
    return mtl_model_num_values(t->model);
}

mtl_status two_tasks_weights(two_tasks *t, double *values)
{
    return model_weights(t->model, values);
}

mtl_status two_tasks_gradient(two_tasks *t, const mtl_gradients *gradients, double *values)
{
    mtl_status status = MTL_OK;
    for (int64_t i = 0; i < mtl_model_num_parameters(t->model) && status == MTL_OK; i++) {
        mtl_tensor *parameter = mtl_model_parameter(t->model, i);
        status = mtl_gradients_read(gradients, parameter, MTL_FLOAT64, values, (size_t)mtl_tensor_size(parameter));
        values += mtl_tensor_size(parameter);
    }
    return status;
}
