/* SPDX-License-Identifier: Apache-2.0
 * Two tasks with a network each, an LSTM encoder and a classifier: what tests of soft sharing train. Public headers only;
 * functions return statuses, so that scenarios with failing allocations can use them. */
#ifndef TESTS_SOFT_TASKS_H
#define TESTS_SOFT_TASKS_H

#include <mtl/mtl.h>

enum {
    SOFT_TASKS_ROWS = 3,
    SOFT_TASKS_TOKENS = 6,
    SOFT_TASKS_VOCABULARY = 12,
    SOFT_TASKS_EMBEDDING = 3,
    SOFT_TASKS_HIDDEN = 4
};

/* Tokens 2 and 9 are in both tasks' rows; 0, 5, 8, 10 and 11 in none. */
extern const int32_t soft_tasks_tokens[2][SOFT_TASKS_TOKENS];

/** The encoders, and the heads likewise, in the order of the tasks. */
extern const char *const soft_tasks_encoders[2];
extern const char *const soft_tasks_heads[2];

typedef struct soft_tasks {
    mtl_context *context; /* borrowed */
    mtl_encoder *encoders[2];
    mtl_head *heads[2];
    mtl_model *model;
    mtl_objective *objective;
    mtl_optimizer *optimizer;
    mtl_gradients *gradients;
    mtl_tape *tape;
    mtl_tensor *inputs[2];
    mtl_tensor *labels[2];
} soft_tasks;

/** Everything, with weights by a formula; Adam, or SGD without momentum, at that learning rate. On failure what was made is
 *  there, for soft_tasks_destroy(). */
mtl_status soft_tasks_create(mtl_context *context, int use_adam, double rate, soft_tasks *out);
void soft_tasks_destroy(soft_tasks *tasks);

/** Weights by the formula. */
mtl_status soft_tasks_set_weights(soft_tasks *tasks);

/** Losses and gradients. */
mtl_status soft_tasks_backward(soft_tasks *tasks);

/** Losses, gradients, update. */
mtl_status soft_tasks_step(soft_tasks *tasks);

/** The number of values of all parameters, and all of them in the model's order. */
int64_t soft_tasks_size(soft_tasks *tasks);
mtl_status soft_tasks_weights(soft_tasks *tasks, double *values);

#endif
