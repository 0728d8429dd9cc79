/* SPDX-License-Identifier: Apache-2.0
 * The networks of factored_tasks.h. */
#include "factored_tasks.h"

#include <math.h>
#include <string.h>

enum { MOST_VALUES = 4 * FACTORED_HIDDEN * FACTORED_HIDDEN, VOCABULARY = 9, TOKENS = 11 };

static const int64_t row_offsets[FACTORED_ROWS + 1] = {0, 3, 3, 7, TOKENS};
static const int32_t tokens[TOKENS] = {1, 4, 4, 7, 2, 0, 4, 3, 8, 1, 2};
static const int32_t row_labels[FACTORED_ROWS] = {0, 2, 1, 1};

mtl_lstm_options factored_tasks_lstm(void)
{
    mtl_lstm_options lstm = MTL_LSTM_OPTIONS_INIT;
    lstm.vocabulary_size = VOCABULARY;
    lstm.embedding_dim = FACTORED_EMBEDDING;
    lstm.hidden_dim = FACTORED_HIDDEN;
    return lstm;
}

/* W_t[i, j] = Σ_k cos(..i) cos(..j) cos(..t) with frequencies that make the terms independent. */
static mtl_status plant(mtl_tensor *weight, int32_t task, int32_t rank)
{
    double values[MOST_VALUES];
    int64_t rows = mtl_tensor_dim(weight, 0);
    int64_t columns = mtl_tensor_dim(weight, 1);
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) {
            double sum = 0;
            for (int32_t k = 0; k < rank; k++) {
                double a = cos(0.9 * (k + 1) * (double)(i + 1) + k);
                double b = cos(1.7 * (k + 1) * (double)(j + 1) - k);
                double c = cos(1.1 * (k + 1) * (task + 1) + 0.3 * k);
                sum += 0.5 * a * b * c;
            }
            values[i * columns + j] = sum;
        }
    }
    return mtl_tensor_write(weight, MTL_FLOAT64, values, (size_t)(rows * columns));
}

static mtl_status plant_all(factored_tasks *f, int32_t task, int32_t rank)
{
    double embedding[VOCABULARY * FACTORED_EMBEDDING];
    mtl_status status = plant(mtl_encoder_parameter(f->encoders[task], "lstm.weight_ih_l0"), task, rank);
    if (status == MTL_OK) {
        status = plant(mtl_encoder_parameter(f->encoders[task], "lstm.weight_hh_l0"), task, rank);
    }
    if (status == MTL_OK) {
        status = plant(mtl_head_parameter(f->heads[task], "weight"), task, rank);
    }
    if (status == MTL_OK) {
        status = mtl_tensor_read(mtl_encoder_parameter(f->encoders[0], "embedding.weight"), MTL_FLOAT64, embedding,
                                 VOCABULARY * FACTORED_EMBEDDING);
    }
    return status == MTL_OK ? mtl_tensor_write(mtl_encoder_parameter(f->encoders[task], "embedding.weight"),
                                               MTL_FLOAT64, embedding, VOCABULARY * FACTORED_EMBEDDING)
                            : status;
}

static mtl_status make_inputs(factored_tasks *f)
{
    const int64_t rows = FACTORED_ROWS;
    mtl_status status = mtl_tensor_create_ragged(f->context, FACTORED_ROWS, row_offsets, tokens, &f->inputs);
    if (status == MTL_OK) {
        status = mtl_tensor_create(f->context, MTL_INT32, 1, &rows, &f->labels);
    }
    return status == MTL_OK ? mtl_tensor_write(f->labels, MTL_INT32, row_labels, FACTORED_ROWS) : status;
}

mtl_status factored_tasks_create(mtl_context *context, int32_t count, int32_t rank, factored_tasks *out)
{
    mtl_lstm_options lstm = factored_tasks_lstm();
    memset(out, 0, sizeof *out);
    out->context = context;
    out->count = count;
    mtl_status status = make_inputs(out);
    for (int32_t t = 0; t < count && status == MTL_OK; t++) {
        status = mtl_encoder_create_lstm(context, &lstm, &out->encoders[t]);
        if (status == MTL_OK) {
            status = mtl_head_create_classifier(context, FACTORED_HIDDEN, FACTORED_CLASSES, NULL, &out->heads[t]);
        }
        if (status == MTL_OK && rank > 0) {
            status = plant_all(out, t, rank);
        }
    }
    return status;
}

void factored_tasks_destroy(factored_tasks *tasks)
{
    for (int32_t t = 0; t < tasks->count; t++) {
        mtl_encoder_release(tasks->encoders[t]);
        mtl_head_release(tasks->heads[t]);
    }
    mtl_tensor_release(tasks->inputs);
    mtl_tensor_release(tasks->labels);
    memset(tasks, 0, sizeof *tasks);
}
