/* SPDX-License-Identifier: Apache-2.0
 * The small model of balanced_tasks.h. */
#include "balanced_tasks.h"

#include <math.h>
#include <string.h>

#include "model_values.h"

static const char *const names[BALANCED_MOST] = {"first", "second", "third", "fourth"};

/* ---- data ---- */

static int is_labelled(const balanced_setup *setup, int row, int32_t task)
{
    switch (setup->labels) {
    case BALANCED_DISJOINT:
        return row % setup->tasks == task;
    case BALANCED_ALL:
        return 1;
    case BALANCED_PARTLY:
        return row % 5 != 4 && (row % setup->tasks == task || row % 3 == 0);
    case BALANCED_ABSENT:
        return task != 1 && row % setup->tasks == task;
    default:
        return task != 1;
    }
}

static mtl_status make_inputs(balanced_tasks *t, int draw)
{
    int64_t offsets[BALANCED_ROWS + 1] = {0};
    int32_t ids[BALANCED_ROWS * BALANCED_MOST_TOKENS];
    for (int r = 0; r < BALANCED_ROWS; r++) {
        offsets[r + 1] = offsets[r] + (r * 5 + draw) % BALANCED_MOST_TOKENS + (r > 0);
    }
    for (int64_t i = 0; i < offsets[BALANCED_ROWS]; i++) {
        ids[i] = (int32_t)((i * i + 7 * i / 3 + 5 * draw) % (BALANCED_WORDS - 2));
    }
    return mtl_tensor_create_ragged(t->context, BALANCED_ROWS, offsets, ids, &t->inputs[draw]);
}

static mtl_status make_data(balanced_tasks *t)
{
    mtl_status status = MTL_OK;
    for (int draw = 0; draw < BALANCED_DRAWS && status == MTL_OK; draw++) {
        status = make_inputs(t, draw);
        for (int32_t task = 0; task < t->setup.tasks && status == MTL_OK; task++) {
            int32_t values[BALANCED_ROWS];
            for (int r = 0; r < BALANCED_ROWS; r++) {
                int32_t label = (r * r + task * (r + 1) + (r % 4 == draw)) % BALANCED_CLASSES; /* draws agree mostly */
                values[r] = is_labelled(&t->setup, r, task) ? label : MTL_LABEL_NONE;
            }
            status = model_labels(t->context, BALANCED_ROWS, values, &t->labels[draw][task]);
        }
    }
    return status;
}

/* ---- objects ---- */

static mtl_status make_model(balanced_tasks *t)
{
    mtl_lstm_options lstm = MTL_LSTM_OPTIONS_INIT;
    lstm.vocabulary_size = t->setup.words > 0 ? t->setup.words : BALANCED_WORDS;
    lstm.embedding_dim = 5;
    lstm.hidden_dim = 7;
    lstm.num_layers = t->setup.deep ? 2 : 1;
    lstm.bidirectional = t->setup.deep != 0;
    lstm.pooling = t->setup.deep ? MTL_POOLING_MEAN : MTL_POOLING_LAST;
    lstm.embedding_dropout = t->setup.dropout;
    mtl_status status = mtl_encoder_create_lstm(t->context, &lstm, &t->encoder);
    if (status == MTL_OK) {
        status = mtl_model_create(t->context, NULL, &t->model);
    }
    if (status == MTL_OK) {
        status = mtl_model_add_encoder(t->model, "encoder", t->encoder);
    }
    for (int32_t k = 0; k < t->setup.tasks && status == MTL_OK; k++) {
        status = mtl_head_create_classifier(t->context, mtl_encoder_output_dim(t->encoder), BALANCED_CLASSES, NULL,
                                            &t->heads[k]);
        if (status == MTL_OK) {
            status = mtl_model_add_head(t->model, names[k], t->heads[k]);
        }
    }
    return status;
}

static mtl_status make_objective(balanced_tasks *t)
{
    mtl_status status = mtl_objective_create(t->model, NULL, &t->objective);
    if (status == MTL_OK) {
        status = mtl_objective_share_encoder(t->objective, t->encoder);
    }
    for (int32_t k = 0; k < t->setup.tasks && status == MTL_OK; k++) {
        status = mtl_objective_add_task(t->objective, names[k], t->lambda[k]);
    }
    return status;
}

static mtl_status make_optimizer(balanced_tasks *t)
{
    mtl_sgd_options sgd = MTL_SGD_OPTIONS_INIT;
    mtl_adam_options adam = MTL_ADAM_OPTIONS_INIT;
    sgd.learning_rate = 0.1;
    adam.learning_rate = 0.01;
    return t->setup.adam ? mtl_optimizer_create_adam(t->model, &adam, &t->optimizer)
                         : mtl_optimizer_create_sgd(t->model, &sgd, &t->optimizer);
}

mtl_status balanced_tasks_create(mtl_context *context, const balanced_setup *setup, balanced_tasks *out)
{
    memset(out, 0, sizeof *out);
    out->context = context;
    out->setup = *setup;
    for (int32_t k = 0; k < setup->tasks; k++) {
        out->lambda[k] = setup->lambda ? setup->lambda[k] : 1;
    }
    mtl_status status = make_model(out);
    if (status == MTL_OK) {
        status = make_objective(out);
    }
    if (status == MTL_OK) {
        status = make_optimizer(out);
    }
    if (status == MTL_OK) {
        status = mtl_gradients_create(out->model, &out->gradients);
    }
    if (status == MTL_OK) {
        status = mtl_tape_create(context, NULL, &out->tape);
    }
    return status == MTL_OK ? make_data(out) : status;
}

void balanced_tasks_destroy(balanced_tasks *t)
{
    for (int draw = 0; draw < BALANCED_DRAWS; draw++) {
        mtl_tensor_release(t->inputs[draw]);
        for (int k = 0; k < BALANCED_MOST; k++) {
            mtl_tensor_release(t->labels[draw][k]);
        }
    }
    mtl_tape_destroy(t->tape);
    mtl_gradients_destroy(t->gradients);
    mtl_optimizer_destroy(t->optimizer);
    mtl_objective_destroy(t->objective);
    mtl_model_destroy(t->model);
    for (int k = 0; k < BALANCED_MOST; k++) {
        mtl_head_release(t->heads[k]);
    }
    mtl_encoder_release(t->encoder);
    memset(t, 0, sizeof *t);
}

/* ---- passes ---- */

int balanced_tasks_has(const balanced_tasks *t, int32_t task)
{
    int absent = t->setup.labels == BALANCED_ABSENT || t->setup.labels == BALANCED_NULL;
    return t->lambda[task] != 0 && !(absent && task == 1);
}

mtl_status balanced_tasks_evaluate(void *user, mtl_tape *tape, int32_t draw, mtl_tensor **losses)
{
    balanced_tasks *t = user;
    t->evaluations[draw]++;
    mtl_tensor *features = mtl_encoder_forward(t->encoder, tape, t->inputs[draw]);
    for (int32_t k = 0; k < t->setup.tasks; k++) {
        mtl_tensor *loss =
            mtl_cross_entropy(tape, mtl_head_forward(t->heads[k], tape, features), t->labels[draw][k], NULL);
        losses[k] = t->setup.labels == BALANCED_NULL && k == 1 ? NULL : loss;
    }
    return MTL_OK;
}

mtl_status balanced_tasks_backward(balanced_tasks *t)
{
    mtl_tensor *losses[BALANCED_MOST] = {NULL};
    mtl_tape_reset(t->tape, MTL_TAPE_TRAIN);
    mtl_status status = balanced_tasks_evaluate(t, t->tape, 0, losses);
    return status == MTL_OK ? mtl_objective_backward(t->objective, t->tape, losses, t->setup.tasks, t->gradients)
                            : status;
}

mtl_status balanced_tasks_explicit(balanced_tasks *t, int32_t draw, double *values, double *g)
{
    mtl_tensor *losses[BALANCED_MOST] = {NULL};
    int64_t size = balanced_tasks_size(t);
    mtl_tape *tape = NULL;
    mtl_gradients *gradients = NULL;
    mtl_status status = mtl_tape_create(t->context, NULL, &tape);
    if (status == MTL_OK) {
        status = mtl_gradients_create(t->model, &gradients);
    }
    if (status == MTL_OK) {
        mtl_tape_reset(tape, MTL_TAPE_TRAIN);
        status = balanced_tasks_evaluate(t, tape, draw, losses);
        t->evaluations[draw]--; /* ours */
    }
    memset(g, 0, (size_t)(t->setup.tasks * size) * sizeof g[0]);
    for (int32_t k = 0; k < t->setup.tasks && status == MTL_OK; k++) {
        double value = (double)NAN;
        if (balanced_tasks_has(t, k)) {
            status = mtl_tape_backward(tape, losses[k], t->lambda[k], gradients);
            if (status == MTL_OK) {
                status = balanced_tasks_gradient(t, gradients, g + k * size);
            }
            if (status == MTL_OK) {
                status = mtl_tensor_read(losses[k], MTL_FLOAT64, &value, 1);
            }
        }
        if (values) {
            values[k] = t->lambda[k] * value;
        }
    }
    mtl_gradients_destroy(gradients);
    mtl_tape_destroy(tape);
    return status;
}

/* ---- numbers ---- */

int64_t balanced_tasks_size(const balanced_tasks *t)
{
    return mtl_model_num_values(t->model);
}

int64_t balanced_tasks_shared(const balanced_tasks *t)
{
    int64_t size = 0;
    for (int64_t i = 0; i < mtl_encoder_num_parameters(t->encoder); i++) {
        size += mtl_tensor_size(mtl_model_parameter(t->model, i));
    }
    return size;
}

void balanced_gram(int32_t tasks, int64_t size, int64_t stride, const double *g, double *gram)
{
    for (int32_t i = 0; i < tasks; i++) {
        for (int32_t j = 0; j < tasks; j++) {
            double sum = 0;
            for (int64_t k = 0; k < size; k++) {
                sum += g[i * stride + k] * g[j * stride + k];
            }
            gram[i * tasks + j] = sum;
        }
    }
}

mtl_status balanced_tasks_gradient(const balanced_tasks *t, const mtl_gradients *gradients, double *values)
{
    mtl_status status = MTL_OK;
    for (int64_t i = 0; i < mtl_model_num_parameters(t->model) && status == MTL_OK; i++) {
        mtl_tensor *parameter = mtl_model_parameter(t->model, i);
        status = mtl_gradients_read(gradients, parameter, MTL_FLOAT64, values, (size_t)mtl_tensor_size(parameter));
        values += mtl_tensor_size(parameter);
    }
    return status;
}

mtl_status balanced_tasks_weights(const balanced_tasks *t, double *values)
{
    return model_weights(t->model, values);
}

mtl_status balanced_tasks_set_weights(const balanced_tasks *t, const double *values)
{
    mtl_status status = MTL_OK;
    for (int64_t i = 0; i < mtl_model_num_parameters(t->model) && status == MTL_OK; i++) {
        mtl_tensor *parameter = mtl_model_parameter(t->model, i);
        status = mtl_tensor_write(parameter, MTL_FLOAT64, values, (size_t)mtl_tensor_size(parameter));
        values += mtl_tensor_size(parameter);
    }
    return status;
}
