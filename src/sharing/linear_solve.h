/* SPDX-License-Identifier: Apache-2.0
 * Accelerated proximal gradient over the weights of all tasks, and what it judges its progress by. */
#ifndef MTLI_SHARING_LINEAR_SOLVE_H
#define MTLI_SHARING_LINEAR_SOLVE_H

#include <mtl/linear.h>

#include "sharing/linear_task.h"
#include "sharing/term_double.h"

enum { MTLI_LINEAR_PARTS = 2 };

/** A term of the objective: coefficient * Ω. Without a term: 0. */
typedef struct mtli_linear_term {
    const mtli_term *term;
    double coefficient;
} mtli_linear_term;

/** One value per task and feature, task by task. */
typedef struct mtli_linear_matrix {
    double *values;
    double **columns; /* [count] into values */
} mtli_linear_matrix;

/** What the weights are at some point: W = Σ parts. */
typedef struct mtli_linear_point {
    mtli_linear_matrix parts[MTLI_LINEAR_PARTS];
} mtli_linear_point;

/** The problem, and the room to solve it in. */
typedef struct mtli_linear_problem {
    mtl_context *context;
    int32_t count;
    int64_t features;
    mtli_linear_task *tasks;
    int32_t num_parts;
    mtli_linear_term parts[MTLI_LINEAR_PARTS]; /* reached by proximal steps */
    mtli_linear_term *smooth;                  /* squared distances, reached by gradients */
    int32_t num_smooth;
    double tolerance;
    int64_t max_iterations;
    bool in_parallel;
    bool all_squares; /* no task has yes/no targets */
    double ridge;     /* the coefficients of MTL_L2_RIDGE over W, summed */
    double loss_at_zero;
    double slope_at_zero; /* the norm of the gradient there */
    double lipschitz;     /* of the steps: 1 / step */
    double dual;          /* the best lower bound on the minimum so far */
    mtli_linear_point at; /* the present solution; the caller sets where it begins */
    mtli_linear_point ahead;
    mtli_linear_point tried;
    mtli_linear_matrix weights;
    mtli_linear_matrix gradient;
    double *singular;
    void *work;
} mtli_linear_problem;

/** Takes the room; tasks, parts, smooth and the settings stand. */
mtl_status mtli_linear_reserve(mtli_linear_problem *problem, mtli_arena *arena);

/** Solves; `report` receives all but its size. The error is set when numbers are not finite. */
mtl_status mtli_linear_solve(mtli_linear_problem *problem, mtl_linear_report *report);

/* Between the files of the solver -------------------------------------------------------------------------------- */

mtli_stack_double mtli_linear_stack(const mtli_linear_problem *problem, const mtli_linear_matrix *matrix);
mtl_status mtli_linear_term_failed(const mtli_linear_problem *problem, const mtli_linear_term *term);

/** Everything of all tasks that mtli_linear_task_gradient() or mtli_linear_task_judge() finds. */
void mtli_linear_losses(mtli_linear_problem *problem, bool judge, const mtli_linear_matrix *weights,
                        mtli_linear_matrix *gradient);

/** weights = Σ parts */
void mtli_linear_sum(const mtli_linear_problem *problem, const mtli_linear_point *point, mtli_linear_matrix *weights);

/** *value += Σ coefficient Ω of the smooth terms, and gradient += its gradient. */
mtl_status mtli_linear_add_smooth(mtli_linear_problem *problem, const mtli_linear_matrix *weights,
                                  mtli_linear_matrix *gradient, double *value);

/** tried = the proximal step from `from` along -gradient. */
mtl_status mtli_linear_step(mtli_linear_problem *problem, const mtli_linear_point *from);

/** Loss, penalty and objective at the present solution; `gradient` receives that of the loss and the smooth terms,
 *  whose value is *smooth. */
mtl_status mtli_linear_measure(mtli_linear_problem *problem, mtl_linear_report *report, double *smooth);

/** These, and gap or residual. */
mtl_status mtli_linear_judge(mtli_linear_problem *problem, mtl_linear_report *report);

/** Whether a duality gap is known for these penalties; NaN stands for it elsewhere. */
bool mtli_linear_has_gap(const mtli_linear_problem *problem);

#endif
