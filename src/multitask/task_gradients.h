/* SPDX-License-Identifier: Apache-2.0
 * The task gradients of an objective: gradient sets over what the tasks share, their inner products, their sums. */
#ifndef MTLI_MULTITASK_TASK_GRADIENTS_H
#define MTLI_MULTITASK_TASK_GRADIENTS_H

#include "autograd/gradients.h"
#include "autograd/task_sweep.h"
#include "balance/coordinates.h"
#include "base/arena.h"
#include "nn/model.h"

/** The sets of one draw of rows, [tasks], each made when it is first needed. */
typedef struct mtli_gradient_sets {
    mtl_gradients **of_task;
} mtli_gradient_sets;

enum { MTLI_MAX_DRAWS = 2, MTLI_MAX_JOBS = 16 };

/** Memory for T tasks, kept from step to step. */
typedef struct mtli_task_gradients {
    mtl_context *context;
    mtli_arena arena; /* of all arrays */
    uint64_t bytes;   /* of them */
    int32_t tasks;
    int32_t needs; /* MTL_BALANCE_NEEDS_.. */
    bool pairs;
    int32_t num_shared;
    mtli_parameters **shared; /* the blocks on which task gradients meet */
    int64_t shared_values;    /* their sum */
    int32_t num_blocks;
    mtli_parameters **blocks; /* of the sets: the shared ones, or all with validation */
    mtli_gradient_sets draws[MTLI_MAX_DRAWS];
    double *losses;  /* [tasks] λ L; NaN: absent */
    double *excess;  /* [tasks] */
    double *weights; /* [tasks] of the last pass; NaN: none was done */
    double *own;     /* [tasks] */
    double *seeds;   /* [tasks] */
    double *factors; /* [tasks * MTLI_MAX_DRAWS] */
    int32_t *members;
    int32_t *present;
    mtl_tensor **roots;                  /* [tasks] */
    mtl_gradients **list;                /* [tasks * MTLI_MAX_DRAWS] */
    const mtli_real **values;            /* [tasks * MTLI_MAX_DRAWS] */
    const mtli_real **shifted;           /* [MTLI_MAX_JOBS, tasks * MTLI_MAX_DRAWS] */
    const mtli_gradient_entry **entries; /* [tasks * MTLI_MAX_DRAWS] */
    /* With pairs, [tasks, tasks]: */
    double *gram;
    double *cross;
    double *part;
    double *kept_gram;
    /* With coordinates: */
    mtli_real *trimming; /* [MTLI_MAX_JOBS, tasks * MTLI_COORDINATES_BLOCK] */
    /* With validation rows: */
    double *kept_weights; /* [tasks * 3] */
    double *training;     /* [tasks * 5], of weights that are trained */
    double *forum;        /* [tasks + 1, tasks + 1] */
    void *bilevel;        /* mtli_bilevel_work(tasks) */
    int32_t *train;       /* [tasks] */
} mtli_task_gradients;

/** `needs` are a method's; pairs: whether inner products of task gradients are wanted, with memory for T². */
mtl_status mtli_task_gradients_create(mtl_model *model, mtl_encoder *const *shared, int32_t num_shared, int32_t tasks,
                                      int32_t needs, bool pairs, mtli_task_gradients **out);
void mtli_task_gradients_destroy(mtli_task_gradients *room);

/** Bytes of the dense gradients that T sets would keep, and bytes that are taken now. */
uint64_t mtli_task_gradients_dense_bytes(const mtli_task_gradients *room);
uint64_t mtli_task_gradients_bytes(const mtli_task_gradients *room);

/** Makes the sets of a draw. */
mtl_status mtli_task_gradients_keep(mtli_task_gradients *room, int32_t draw);

/** out [count, count] = inner products over what is shared of all pairs of count <= tasks sets, in double. */
void mtli_task_gradients_gram(mtli_task_gradients *room, int32_t count, mtl_gradients *const *sets, double *out);

/** run(argument, job, begin, end) over n values in parts that depend on n only, fewer than MTLI_MAX_JOBS, on all
 *  threads. */
typedef void (*mtli_run_fn)(void *argument, int32_t job, int64_t begin, int64_t end);
void mtli_task_gradients_run(const mtli_task_gradients *room, int64_t n, mtli_run_fn run, void *argument);

/** For every parameter of the sets: target ← Σ weights[k] * sets[k], overwritten; what no set with a weight other than 0
 *  has touched becomes untouched. Parameters that the target lacks are left out. */
mtl_status mtli_task_gradients_combine(mtli_task_gradients *room, int32_t count, mtl_gradients *const *sets,
                                       const double *weights, mtl_gradients *target);

#endif
