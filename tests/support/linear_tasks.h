/* SPDX-License-Identifier: Apache-2.0
 * Linear tasks with rows of their own, and small dense algebra to solve them otherwise. Public headers only; functions
 * that use the library return statuses, so that scenarios with failing allocations can use them. */
#ifndef TESTS_LINEAR_TASKS_H
#define TESTS_LINEAR_TASKS_H

#include <mtl/linear.h>
#include <mtl/mtl.h>

enum { LINEAR_REGRESSION, LINEAR_LOGISTIC, LINEAR_MIXED };
enum { LINEAR_MOST_TASKS = 160 };

typedef struct linear_tasks {
    mtl_context *context; /* borrowed */
    mtl_model *model;
    int32_t count;
    int64_t features;
    const char *names[LINEAR_MOST_TASKS];
    int64_t rows[LINEAR_MOST_TASKS];
    mtl_tensor *x[LINEAR_MOST_TASKS];
    mtl_tensor *y[LINEAR_MOST_TASKS];
} linear_tasks;

/** Tasks of rows[t] rows each, whose weights are a matrix of rank 1 and noise. Of mixed tasks those with odd numbers
 *  have yes/no targets. The heads' weights are 0. On failure what was made is there, for linear_tasks_destroy(). */
mtl_status linear_tasks_create(mtl_context *context, int32_t count, int64_t features, const int64_t *rows, int kind,
                               linear_tasks *out);
void linear_tasks_destroy(linear_tasks *tasks);

/** A penalty over the heads' weights. `setting` is the form, unfolding, group or number of clusters. */
mtl_status linear_tasks_penalty(const linear_tasks *tasks, int32_t kind, int32_t setting, double coefficient,
                                mtl_penalty **out);

/** mtl_linear_fit() of all tasks. */
mtl_status linear_tasks_fit(const linear_tasks *tasks, mtl_penalty *const *penalties, int32_t count,
                            const mtl_linear_options *options, mtl_linear_report *report);

/** w [count, features] and b [count]; either may be NULL. */
mtl_status linear_tasks_read(const linear_tasks *tasks, double *w, double *b);
mtl_status linear_tasks_write(const linear_tasks *tasks, const double *w, const double *b);

/** Loss of a task's rows at w, b as linear.h defines it, with the mean over rows and half squares, and its gradient
 *  [features + 1], that of the bias last; NULL: not wanted. Naive loops. */
double linear_tasks_loss(const linear_tasks *tasks, int32_t task, const double *w, double b, double *gradient);

/** Solves a x = b by elimination with pivots; x replaces b, a [n, n] is overwritten. */
void linear_tasks_solve(int64_t n, double *a, double *b);

/** A number in [-1, 1) that depends on `index` only. */
double linear_tasks_number(uint64_t index);

#endif
