/* SPDX-License-Identifier: Apache-2.0
 * A small model that many tests train: an LSTM encoder, two classifiers, ragged rows labelled for both, one or neither
 * task. Public headers only; functions return statuses, so that scenarios with failing allocations can use them. */
#ifndef TESTS_TWO_TASKS_H
#define TESTS_TWO_TASKS_H

#include <mtl/mtl.h>

enum {
    TWO_TASKS_ROWS = 6,
    TWO_TASKS_TOKENS = 17,
    TWO_TASKS_VOCABULARY = 12,
    TWO_TASKS_EMBEDDING = 5,
    TWO_TASKS_HIDDEN = 6
};

extern const int64_t two_tasks_offsets[TWO_TASKS_ROWS + 1];
extern const int32_t two_tasks_tokens[TWO_TASKS_TOKENS];
extern const int32_t two_tasks_labels[2][TWO_TASKS_ROWS];
extern const int32_t two_tasks_classes[2];

enum { TWO_TASKS_SGD, TWO_TASKS_ADAM, TWO_TASKS_ADAMW };

typedef struct two_tasks {
    mtl_context *context; /* borrowed */
    mtl_encoder *encoder;
    mtl_head *heads[2];
    mtl_model *model;
    mtl_objective *objective;
    mtl_optimizer *optimizer;
    mtl_gradients *gradients;
    mtl_tape *tape;
    mtl_tensor *inputs;
    mtl_tensor *labels[2];
} two_tasks;

/** Everything with weights from the context's generator. `lstm` may be NULL: one direction, one layer, last state. On
 *  failure what was made is there, for two_tasks_destroy(). */
mtl_status two_tasks_create(mtl_context *context, const mtl_lstm_options *lstm, int optimizer, two_tasks *out);
void two_tasks_destroy(two_tasks *tasks);

/** The options that NULL stands for. */
mtl_lstm_options two_tasks_lstm(void);

/** Resets the tape and computes both losses. */
void two_tasks_losses(two_tasks *tasks, mtl_tape_mode mode, mtl_tensor *losses[2]);

/** Losses and gradients. */
mtl_status two_tasks_backward(two_tasks *tasks);

/** Losses, gradients, update. */
mtl_status two_tasks_step(two_tasks *tasks);

/** The number of values of all parameters. */
int64_t two_tasks_size(two_tasks *tasks);

/** All parameters, or all gradients, one after the other in the model's order. */
mtl_status two_tasks_weights(two_tasks *tasks, double *values);
mtl_status two_tasks_gradient(two_tasks *tasks, const mtl_gradients *gradients, double *values);

#endif
