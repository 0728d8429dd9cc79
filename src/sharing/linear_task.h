/* SPDX-License-Identifier: Apache-2.0
 * One task of a linear fit: its rows in double precision, its loss as a function of the weights alone (the bias is
 * always the best one for them), and what a duality gap needs of it. */
#ifndef MTLI_SHARING_LINEAR_TASK_H
#define MTLI_SHARING_LINEAR_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"

/* With a bias the columns of x have mean 0, and for squared errors y too: the best bias of squared errors is then 0. */
typedef struct mtli_linear_task {
    bool logistic;
    bool fit_bias;
    int64_t rows;
    int64_t features;
    double scale;  /* of one row's loss */
    double *x;     /* [rows, features] */
    double *y;     /* [rows] */
    double *means; /* [features]: what was taken off the columns; zeros without a bias */
    double y_mean;
    double *gram;   /* scale xᵀx [features, features], or NULL where the rows themselves are quicker */
    double *moment; /* scale xᵀy, with gram */
    double *z;      /* [rows]: x w at the last gradient */
    double *u;      /* [rows]: the derivative of a row's loss by z, without scale */
    double offset;  /* logistic: the best bias at the last gradient, for the centered columns */
    double loss;    /* at the last mtli_linear_task_judge() */
    double work;    /* the result of a pass over the tasks */
} mtli_linear_task;

/** Whether the Gram matrix pays: a task with the settings of `task`. */
bool mtli_linear_task_wants_gram(const mtli_linear_task *task);

/** Takes the means off, and makes the Gram matrix where there is room for one. x and y hold the data. */
void mtli_linear_task_prepare(mtli_linear_task *task);

/** g = ∇loss(w). */
void mtli_linear_task_gradient(mtli_linear_task *task, const double *w, double *g);

/** loss(w + delta) - loss(w) - <∇loss(w), delta>, or a little more, at the w of the last gradient: without
 *  cancellation. */
double mtli_linear_task_divergence(const mtli_linear_task *task, const double *delta);

/** As mtli_linear_task_gradient(), from the rows themselves, and sets task->loss. */
void mtli_linear_task_judge(mtli_linear_task *task, const double *w, double *g);

/** The conjugate Σ f*(factor * f'(z)) at the point last judged, 0 <= factor <= 1 for yes/no tasks. */
double mtli_linear_task_conjugate(const mtli_linear_task *task, double factor);

/** The same for squared errors as a polynomial in factor: factor * *linear + factor² * *square. */
void mtli_linear_task_conjugate_squares(const mtli_linear_task *task, double *linear, double *square);

/** A lower bound on the largest curvature of the loss. */
double mtli_linear_task_curvature(const mtli_linear_task *task);

/** The best bias for w, for the features as they came. The point last judged is w. */
double mtli_linear_task_bias(const mtli_linear_task *task, const double *w);

#endif
