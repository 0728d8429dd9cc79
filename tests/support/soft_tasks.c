/* SPDX-License-Identifier: Apache-2.0
 * The two small networks of soft_tasks.h. */
#include "soft_tasks.h"

#include <math.h>
#include <string.h>

#include "model_values.h"

static const int64_t offsets[SOFT_TASKS_ROWS + 1] = {0, 2, 5, 6};
const int32_t soft_tasks_tokens[2][SOFT_TASKS_TOKENS] = {{1, 2, 9, 4, 1, 3}, {7, 9, 2, 6, 6, 7}};
static const int32_t labels[2][SOFT_TASKS_ROWS] = {{0, 1, 1}, {1, 0, 1}};
const char *const soft_tasks_encoders[2] = {"review", "news"};
const char *const soft_tasks_heads[2] = {"review_head", "news_head"};

static mtl_status make_encoder(soft_tasks *s, int t)
{
    mtl_lstm_options lstm = MTL_LSTM_OPTIONS_INIT;
    lstm.vocabulary_size = SOFT_TASKS_VOCABULARY;
    lstm.embedding_dim = SOFT_TASKS_EMBEDDING;
    lstm.hidden_dim = SOFT_TASKS_HIDDEN;
    mtl_status status = mtl_encoder_create_lstm(s->context, &lstm, &s->encoders[t]);
    return status == MTL_OK ? mtl_model_add_encoder(s->model, soft_tasks_encoders[t], s->encoders[t]) : status;
}

static mtl_status make_head(soft_tasks *s, int t)
{
    mtl_status status = mtl_head_create_classifier(s->context, SOFT_TASKS_HIDDEN, 2, NULL, &s->heads[t]);
    return status == MTL_OK ? mtl_model_add_head(s->model, soft_tasks_heads[t], s->heads[t]) : status;
}

static mtl_status make_model(soft_tasks *s)
{
    mtl_status status = mtl_model_create(s->context, NULL, &s->model);
    for (int t = 0; t < 2 && status == MTL_OK; t++) {
        status = make_encoder(s, t);
    }
    for (int t = 0; t < 2 && status == MTL_OK; t++) {
        status = make_head(s, t);
    }
    return status == MTL_OK ? soft_tasks_set_weights(s) : status;
}

static mtl_status make_rules(soft_tasks *s, int use_adam, double rate)
{
    mtl_status status = mtl_objective_create(s->model, NULL, &s->objective);
    for (int t = 0; t < 2 && status == MTL_OK; t++) {
        status = mtl_objective_add_task(s->objective, soft_tasks_encoders[t], 1);
    }
    mtl_sgd_options sgd = MTL_SGD_OPTIONS_INIT;
    mtl_adam_options adam = MTL_ADAM_OPTIONS_INIT;
    sgd.learning_rate = adam.learning_rate = rate;
    if (status == MTL_OK) {
        status = use_adam ? mtl_optimizer_create_adam(s->model, &adam, &s->optimizer)
                          : mtl_optimizer_create_sgd(s->model, &sgd, &s->optimizer);
    }
    if (status == MTL_OK) {
        status = mtl_gradients_create(s->model, &s->gradients);
    }
    return status == MTL_OK ? mtl_tape_create(s->context, NULL, &s->tape) : status;
}

static mtl_status make_batches(soft_tasks *s)
{
    mtl_status status = MTL_OK;
    for (int t = 0; t < 2 && status == MTL_OK; t++) {
        status = mtl_tensor_create_ragged(s->context, SOFT_TASKS_ROWS, offsets, soft_tasks_tokens[t], &s->inputs[t]);
        if (status == MTL_OK) {
            status = model_labels(s->context, SOFT_TASKS_ROWS, labels[t], &s->labels[t]);
        }
    }
    return status;
}

mtl_status soft_tasks_create(mtl_context *context, int use_adam, double rate, soft_tasks *out)
{
    memset(out, 0, sizeof *out);
    out->context = context;
    mtl_status status = make_model(out);
    if (status == MTL_OK) {
        status = make_rules(out, use_adam, rate);
    }
    return status == MTL_OK ? make_batches(out) : status;
}

void soft_tasks_destroy(soft_tasks *s)
{
    for (int t = 0; t < 2; t++) {
        mtl_tensor_release(s->inputs[t]);
        mtl_tensor_release(s->labels[t]);
        mtl_encoder_release(s->encoders[t]);
        mtl_head_release(s->heads[t]);
    }
    mtl_tape_destroy(s->tape);
    mtl_gradients_destroy(s->gradients);
    mtl_optimizer_destroy(s->optimizer);
    mtl_objective_destroy(s->objective);
    mtl_model_destroy(s->model);
    memset(s, 0, sizeof *s);
}

mtl_status soft_tasks_set_weights(soft_tasks *s)
{
    double values[256];
    int64_t index = 0;
    mtl_status status = MTL_OK;
    for (int64_t i = 0; i < mtl_model_num_parameters(s->model) && status == MTL_OK; i++) {
        mtl_tensor *parameter = mtl_model_parameter(s->model, i);
        int64_t size = mtl_tensor_size(parameter);
        for (int64_t k = 0; k < size; k++) {
            values[k] = 0.5 * sin(1.0 + 0.7 * (double)index++);
        }
        status = mtl_tensor_write(parameter, MTL_FLOAT64, values, (size_t)size);
    }
    return status;
}

mtl_status soft_tasks_backward(soft_tasks *s)
{
    mtl_tensor *losses[2];
    mtl_tape_reset(s->tape, MTL_TAPE_TRAIN);
    for (int t = 0; t < 2; t++) {
        mtl_tensor *features = mtl_encoder_forward(s->encoders[t], s->tape, s->inputs[t]);
        losses[t] = mtl_cross_entropy(s->tape, mtl_head_forward(s->heads[t], s->tape, features), s->labels[t], NULL);
    }
    return mtl_objective_backward(s->objective, s->tape, losses, 2, s->gradients);
}

mtl_status soft_tasks_step(soft_tasks *s)
{
    mtl_status status = soft_tasks_backward(s);
    return status == MTL_OK ? mtl_optimizer_step(s->optimizer, s->gradients) : status;
}

int64_t soft_tasks_size(soft_tasks *s)
{
    return mtl_model_num_values(s->model);
}

mtl_status soft_tasks_weights(soft_tasks *s, double *values)
{
    return model_weights(s->model, values);
}
