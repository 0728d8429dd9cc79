/* SPDX-License-Identifier: Apache-2.0
 * A program outside of the project, in C: it learns two tasks on one encoder and sees both losses fall. */
#include <mtl/mtl.h>

#include <stdio.h>
#include <string.h>

#define CHECK(call) \
    do { \
        if ((call) != MTL_OK) { \
            fprintf(stderr, "%s: %s\n", #call, mtl_context_last_error(context)); \
            return 1; \
        } \
    } while (0)

/* Four sequences of two tokens. Task 0: is the first token odd? Task 1: the second token less 1; only rows 0 to 2. */
static const int64_t offsets[] = {0, 2, 4, 6, 8};
static const int32_t tokens[] = {1, 1, 2, 2, 3, 3, 4, 1};
static const int64_t rows = 4;
static const int32_t odd[] = {1, 0, 1, 0};
static const int32_t second[] = {0, 1, 2, MTL_LABEL_NONE};

int main(void)
{
    mtl_context *context = NULL;
    if (strcmp(mtl_version(), MTL_VERSION_STRING) != 0 || mtl_context_create(NULL, &context) != MTL_OK) {
        return 1;
    }
    mtl_encoder *encoder = NULL;
    mtl_head *heads[2] = {NULL, NULL};
    mtl_model *model = NULL;
    mtl_objective *objective = NULL;
    mtl_optimizer *optimizer = NULL;
    mtl_gradients *gradients = NULL;
    mtl_tape *tape = NULL;
    mtl_tensor *inputs = NULL;
    mtl_tensor *labels[2] = {NULL, NULL};

    mtl_lstm_options lstm = MTL_LSTM_OPTIONS_INIT;
    lstm.vocabulary_size = 5;
    lstm.embedding_dim = 8;
    lstm.hidden_dim = 16;
    CHECK(mtl_encoder_create_lstm(context, &lstm, &encoder));
    CHECK(mtl_head_create_classifier(context, mtl_encoder_output_dim(encoder), 2, NULL, &heads[0]));
    CHECK(mtl_head_create_classifier(context, mtl_encoder_output_dim(encoder), 3, NULL, &heads[1]));
    CHECK(mtl_model_create(context, NULL, &model));
    CHECK(mtl_model_add_encoder(model, "encoder", encoder));
    CHECK(mtl_model_add_head(model, "odd", heads[0]));
    CHECK(mtl_model_add_head(model, "second", heads[1]));
    CHECK(mtl_objective_create(model, NULL, &objective));
    CHECK(mtl_objective_share_encoder(objective, encoder));
    CHECK(mtl_objective_add_task(objective, "odd", 1.0));
    CHECK(mtl_objective_add_task(objective, "second", 0.5));

    mtl_adam_options adam = MTL_ADAM_OPTIONS_INIT;
    adam.learning_rate = 0.02;
    CHECK(mtl_optimizer_create_adam(model, &adam, &optimizer));
    CHECK(mtl_gradients_create(model, &gradients));
    CHECK(mtl_tape_create(context, NULL, &tape));
    CHECK(mtl_tensor_create_ragged(context, rows, offsets, tokens, &inputs));
    CHECK(mtl_tensor_create(context, MTL_INT32, 1, &rows, &labels[0]));
    CHECK(mtl_tensor_write(labels[0], MTL_INT32, odd, 4));
    CHECK(mtl_tensor_create(context, MTL_INT32, 1, &rows, &labels[1]));
    CHECK(mtl_tensor_write(labels[1], MTL_INT32, second, 4));

    double first[2] = {0.0, 0.0};
    for (int step = 0; step < 60; step++) {
        mtl_tape_reset(tape, MTL_TAPE_TRAIN);
        mtl_tensor *features = mtl_encoder_forward(encoder, tape, inputs);
        mtl_tensor *losses[2];
        for (int task = 0; task < 2; task++) {
            losses[task] = mtl_cross_entropy(tape, mtl_head_forward(heads[task], tape, features), labels[task], NULL);
        }
        CHECK(mtl_objective_backward(objective, tape, losses, 2, gradients));
        CHECK(mtl_optimizer_step(optimizer, gradients));
        if (step == 0) {
            first[0] = mtl_objective_task_loss(objective, 0);
            first[1] = mtl_objective_task_loss(objective, 1);
        }
    }
    double last[2] = {mtl_objective_task_loss(objective, 0), mtl_objective_task_loss(objective, 1)};
    printf("%s\nodd %.3f -> %.3f, second %.3f -> %.3f\n", mtl_build_info(), first[0], last[0], first[1], last[1]);

    mtl_tensor_release(labels[1]);
    mtl_tensor_release(labels[0]);
    mtl_tensor_release(inputs);
    mtl_tape_destroy(tape);
    mtl_gradients_destroy(gradients);
    mtl_optimizer_destroy(optimizer);
    mtl_objective_destroy(objective);
    mtl_model_destroy(model);
    mtl_head_release(heads[1]);
    mtl_head_release(heads[0]);
    mtl_encoder_release(encoder);
    mtl_context_release(context);
    return last[0] < 0.5 * first[0] && last[1] < 0.5 * first[1] ? 0 : 1;
}
