/* SPDX-License-Identifier: Apache-2.0
 * A small model that balancers are tried on: an LSTM encoder, up to four classifiers, three draws of ragged rows, and the
 * task gradients as long dense vectors, the slow way. Public headers only; functions return statuses, so that scenarios
 * with failing allocations can use them. */
#ifndef TESTS_BALANCED_TASKS_H
#define TESTS_BALANCED_TASKS_H

#include <mtl/mtl.h>

enum {
    BALANCED_MOST = 4,
    BALANCED_ROWS = 12,
    BALANCED_DRAWS = 3,
    BALANCED_WORDS = 23,
    BALANCED_CLASSES = 3,
    BALANCED_MOST_TOKENS = 7,
    BALANCED_MOST_VALUES = 8192 /* with BALANCED_WORDS words */
};

/** Which rows a task labels. */
typedef enum balanced_labels {
    BALANCED_DISJOINT,
    BALANCED_ALL,    /* every row for every task */
    BALANCED_PARTLY, /* some rows for several tasks, some for one, some for none */
    BALANCED_ABSENT, /* disjoint, task 1 labels no row */
    BALANCED_NULL,   /* likewise, its loss is NULL; every row for the others */
    BALANCED_LABELLINGS
} balanced_labels;

typedef struct balanced_setup {
    int32_t tasks;
    balanced_labels labels;
    int deep;             /* two layers, both directions, means */
    double dropout;       /* on the embedding */
    int64_t words;        /* rows of the table; 0: BALANCED_WORDS. The first BALANCED_WORDS - 2 occur */
    const double *lambda; /* NULL: 1 each */
    int adam;             /* else plain gradient descent at rate .1 */
} balanced_setup;

typedef struct balanced_tasks {
    mtl_context *context; /* borrowed */
    balanced_setup setup;
    double lambda[BALANCED_MOST];
    mtl_encoder *encoder;
    mtl_head *heads[BALANCED_MOST];
    mtl_model *model;
    mtl_objective *objective;
    mtl_optimizer *optimizer;
    mtl_gradients *gradients;
    mtl_tape *tape;
    mtl_tensor *inputs[BALANCED_DRAWS];
    mtl_tensor *labels[BALANCED_DRAWS][BALANCED_MOST];
    int evaluations[BALANCED_DRAWS]; /* by balanced_tasks_evaluate() */
} balanced_tasks;

mtl_status balanced_tasks_create(mtl_context *context, const balanced_setup *setup, balanced_tasks *out);
void balanced_tasks_destroy(balanced_tasks *tasks);

/** Whether a task has a part in the steps: it labels rows and its λ is not 0. */
int balanced_tasks_has(const balanced_tasks *tasks, int32_t task);

/** An mtl_evaluate_fn; user is the balanced_tasks. */
mtl_status balanced_tasks_evaluate(void *user, mtl_tape *tape, int32_t draw, mtl_tensor **losses);

/** Losses of draw 0 and mtl_objective_backward() into the gradients. */
mtl_status balanced_tasks_backward(balanced_tasks *tasks);

/** The number of values of the model, and of the encoder, whose values come first. */
int64_t balanced_tasks_size(const balanced_tasks *tasks);
int64_t balanced_tasks_shared(const balanced_tasks *tasks);

/** λ_t L_t of a draw (NaN: no part) and its gradient g [tasks, size], each by a backward pass of its own. losses may be
 *  NULL. */
mtl_status balanced_tasks_explicit(balanced_tasks *tasks, int32_t draw, double *losses, double *g);

/** gram [tasks, tasks] of the first `size` values of each gradient of length `stride`. */
void balanced_gram(int32_t tasks, int64_t size, int64_t stride, const double *g, double *gram);

/** All gradients, all weights, in the model's order; and weights back. */
mtl_status balanced_tasks_gradient(const balanced_tasks *tasks, const mtl_gradients *gradients, double *values);
mtl_status balanced_tasks_weights(const balanced_tasks *tasks, double *values);
mtl_status balanced_tasks_set_weights(const balanced_tasks *tasks, const double *values);

#endif
