/* SPDX-License-Identifier: Apache-2.0
 * Where task gradients go that are too large to be kept: their inner products are taken as soon as a parameter's gradients
 * are complete, then their memory serves the next parameter. Rows of tables stay, for they are few. */
#ifndef MTLI_AUTOGRAD_TASK_GRAM_H
#define MTLI_AUTOGRAD_TASK_GRAM_H

#include "autograd/sweep.h"

/** Memory for the gradients of one parameter at a time. */
typedef struct mtli_gram_memory {
    struct mtli_gram_memory *next;
    mtli_real *values;
    size_t size;
    bool taken;
} mtli_gram_memory;

/** Rows of a table that one call added for one task. */
typedef struct mtli_gram_rows {
    struct mtli_gram_rows *previous;
    int32_t task;
    int64_t count;
    const int32_t *ids;
    const mtli_real *values; /* [count, width] */
} mtli_gram_rows;

typedef struct mtli_gram_entry {
    const mtli_call *last;    /* the last call of a sweep that reads the parameter; NULL: none does */
    mtli_gram_memory *memory; /* [count, stride]: gradients by task; NULL: none yet, or complete */
    bool *touched;            /* [count] whether a task's is there */
    bool dense;               /* there were such: a second sweep forms their sum */
    bool complete;            /* its inner products have been taken */
    mtli_gram_rows *rows;     /* latest first */
    int64_t num_rows;
} mtli_gram_entry;

/* Everything lies in the tape's arena of the sweep. */
struct mtli_task_gram {
    mtl_tape *tape;
    int32_t count; /* of tasks */
    int32_t num_shared;
    const mtli_parameters *const *shared;
    mtli_gram_entry **entries; /* of each block, of each parameter */
    mtli_gram_memory *memory;
    void **kept;  /* of calls, by the index of their result */
    double *gram; /* [count, count], upper half while parts are added */
    /* Buffers of one parameter's part. */
    double *part;              /* [count, count] */
    const mtli_real **vectors; /* [count] */
    int32_t *tasks;            /* [count] */
};

/** A store for the task gradients of the calls of a tape that `inside` lets pass. */
mtl_status mtli_task_gram_create(mtl_tape *tape, int32_t count, int32_t num_shared,
                                 const mtli_parameters *const *shared, mtli_call_filter inside, const void *argument,
                                 mtli_task_gram **out);

/** The gradient of a task, to be added to (*fresh unset) or overwritten (*fresh set); NULL when memory ran out. */
mtli_real *mtli_task_gram_gradient(mtli_task_gram *gram, int32_t task, const mtl_tensor *parameter, bool *fresh);

/** Adds dy[n, features] to the rows ids[n] of a task's gradient of a table. */
mtl_status mtli_task_gram_add_rows(mtli_task_gram *gram, int32_t task, const mtl_tensor *table, const int32_t *ids,
                                   int64_t n, const mtli_real *dy);

/** After a sweep has passed `call`: takes the inner products of what is complete now. */
mtl_status mtli_task_gram_complete(mtli_task_gram *gram, const mtli_call *call);

/** Writes the matrix [count, count], both halves. */
void mtli_task_gram_read(const mtli_task_gram *gram, double *out);

/** Whether a second sweep has to visit a call. */
bool mtli_task_gram_revisits(const mtli_task_gram *gram, const mtli_call *call);

/** Adds the weighted sum of the rows of tables to `target`. */
mtl_status mtli_task_gram_add_tables(mtli_task_gram *gram, const double *weights, mtl_gradients *target);

#endif
