/* SPDX-License-Identifier: Apache-2.0
 * Rules whose weights take one step of their own per step of training: SDMGrad, MoDo, MoCo, CR-MOGM. */
#include "balance/solver.h"

#include <math.h>

void mtli_softmax_weights(int32_t n, const double *x, double *y)
{
    double top = -HUGE_VAL;
    double sum = 0;
    for (int32_t i = 0; i < n; i++) {
        top = mtli_larger(top, x[i]);
    }
    for (int32_t i = 0; i < n; i++) {
        y[i] = exp(x[i] - top);
        sum += y[i];
    }
    for (int32_t i = 0; i < n; i++) {
        y[i] /= sum;
    }
}

static void copy_shares(int32_t n, const double *from, double *to)
{
    for (int32_t i = 0; i < n; i++) {
        to[i] = from[i];
    }
}

/* mean(√max(diagonal, 0)) */
static double mean_length(int32_t tasks, const double *cross)
{
    double sum = 0;
    for (int32_t i = 0; i < tasks; i++) {
        sum += sqrt(mtli_larger(cross[(int64_t)i * tasks + i], 0));
    }
    return sum / tasks;
}

/* Beyond this a step overflows; every such step ends in the same corner of the simplex anyway. The difference of two
 * overflows says nothing: 0. */
static double bounded(double x)
{
    return isnan(x) ? 0 : x > 1e300 ? 1e300 : x < -1e300 ? -1e300 : x;
}

static void sdmgrad_steps(int32_t tasks, const double *cross, const mtli_sdmgrad_options *options, double scale,
                          double *lambda, mtli_work work)
{
    double *velocity = mtli_work_doubles(&work, tasks);
    double *point = mtli_work_doubles(&work, tasks);
    for (int32_t i = 0; i < tasks; i++) {
        velocity[i] = 0;
    }
    for (int32_t step = 0; step < options->steps; step++) {
        for (int32_t i = 0; i < tasks; i++) {
            point[i] = (lambda[i] + options->lambda / tasks) / scale;
        }
        for (int32_t i = 0; i < tasks; i++) {
            double gradient = mtli_balance_dot(tasks, cross + (int64_t)i * tasks, point) / scale;
            velocity[i] = bounded(options->momentum * velocity[i] + gradient);
        }
        for (int32_t i = 0; i < tasks; i++) {
            lambda[i] = bounded(lambda[i] - options->rate * velocity[i]);
        }
        mtli_simplex_projection(tasks, lambda);
    }
}

mtli_balance_result mtli_balance_sdmgrad(int32_t tasks, const double *cross, const mtli_sdmgrad_options *options,
                                         double *lambda, double *weights, void *work)
{
    const double numbers[] = {options->lambda, options->rate, options->momentum};
    if (!mtli_all_finite((int64_t)tasks * tasks, cross) || !mtli_all_finite(tasks, lambda) ||
        !mtli_all_finite(3, numbers)) {
        return mtli_balance_nothing(tasks, weights, MTLI_BALANCE_NOT_FINITE);
    }
    if (options->lambda < 0 || options->momentum < 0 || options->momentum >= 1 || options->rate < 0) {
        return mtli_balance_nothing(tasks, weights, MTLI_BALANCE_DOMAIN);
    }
    mtli_balance_result result = {MTLI_BALANCE_OK, options->steps, 0};
    double scale = mean_length(tasks, cross);
    if (scale > 0) {
        sdmgrad_steps(tasks, cross, options, scale, lambda, mtli_work_begin(work));
    } else {
        result.status = MTLI_BALANCE_STATIONARY;
    }
    for (int32_t i = 0; i < tasks; i++) {
        weights[i] = (lambda[i] + options->lambda / tasks) / (1 + options->lambda);
    }
    return result;
}

/* point = lambda - rate (A + rho) lambda */
static bool descend(int32_t tasks, const double *a, double rate, double rho, const double *lambda, double *point)
{
    const double numbers[] = {rate, rho};
    if (!mtli_all_finite((int64_t)tasks * tasks, a) || !mtli_all_finite(tasks, lambda) ||
        !mtli_all_finite(2, numbers)) {
        return false;
    }
    for (int32_t i = 0; i < tasks; i++) {
        double slope = bounded(mtli_balance_dot(tasks, a + (int64_t)i * tasks, lambda) + rho * lambda[i]);
        point[i] = bounded(lambda[i] - rate * slope);
    }
    return true;
}

mtli_balance_result mtli_balance_modo(int32_t tasks, const double *cross, double rate, double rho, double *lambda,
                                      double *weights, void *work)
{
    mtli_work rest = mtli_work_begin(work);
    double *point = mtli_work_doubles(&rest, tasks);
    if (!descend(tasks, cross, rate, rho, lambda, point)) {
        return mtli_balance_nothing(tasks, weights, MTLI_BALANCE_NOT_FINITE);
    }
    mtli_simplex_projection(tasks, point);
    copy_shares(tasks, point, lambda);
    copy_shares(tasks, point, weights);
    return (mtli_balance_result){MTLI_BALANCE_OK, 1, 0};
}

mtli_balance_result mtli_balance_moco(int32_t tasks, const double *gram, double rate, double rho, double *lambda,
                                      double *weights, void *work)
{
    mtli_work rest = mtli_work_begin(work);
    double *point = mtli_work_doubles(&rest, tasks);
    if (!descend(tasks, gram, rate, rho, lambda, point)) {
        return mtli_balance_nothing(tasks, weights, MTLI_BALANCE_NOT_FINITE);
    }
    mtli_softmax_weights(tasks, point, lambda);
    copy_shares(tasks, lambda, weights);
    return (mtli_balance_result){MTLI_BALANCE_OK, 1, 0};
}

void mtli_balance_average(int32_t tasks, double alpha, double *state, double *weights)
{
    for (int32_t i = 0; i < tasks; i++) {
        state[i] = alpha * state[i] + (1 - alpha) * weights[i];
        weights[i] = state[i];
    }
}
