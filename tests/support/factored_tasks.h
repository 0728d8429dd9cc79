/* SPDX-License-Identifier: Apache-2.0
 * Networks of some tasks whose weights have something in common: an LSTM encoder and a classifier for each task, every
 * matrix a sum of `rank` matrices of rank 1 that all tasks share in different parts. Public headers only; functions
 * return statuses, so that scenarios with failing allocations can use them. */
#ifndef TESTS_FACTORED_TASKS_H
#define TESTS_FACTORED_TASKS_H

#include <mtl/mtl.h>

enum { FACTORED_MOST_TASKS = 8, FACTORED_ROWS = 4, FACTORED_HIDDEN = 6, FACTORED_EMBEDDING = 5, FACTORED_CLASSES = 3 };

typedef struct factored_tasks {
    mtl_context *context; /* borrowed */
    int32_t count;
    mtl_encoder *encoders[FACTORED_MOST_TASKS];
    mtl_head *heads[FACTORED_MOST_TASKS];
    mtl_tensor *inputs; /* ragged token ids */
    mtl_tensor *labels;
} factored_tasks;

/** The options of the encoders. */
mtl_lstm_options factored_tasks_lstm(void);

/** Networks from the context's generator; with rank > 0 their matrices (but not the embeddings) are made anew, and all
 *  embeddings equal. On failure what was made is there, for factored_tasks_destroy(). */
mtl_status factored_tasks_create(mtl_context *context, int32_t count, int32_t rank, factored_tasks *out);
void factored_tasks_destroy(factored_tasks *tasks);

#endif
