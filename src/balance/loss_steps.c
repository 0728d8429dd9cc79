/* SPDX-License-Identifier: Apache-2.0
 * Rules that train their own logits: FAMO and GradNorm, and the small Adam for them. */
#include "balance/loss_rules.h"

#include <math.h>

#include "balance/solver.h"

static const double FAMO_OFFSET = 1e-8;

void mtli_small_adam_step(int32_t n, double rate, double decay, const double *gradient, mtli_small_adam state,
                          double *x)
{
    const double beta1 = 0.9;
    const double beta2 = 0.999;
    double step = (double)++*state.steps;
    double correction1 = 1 - pow(beta1, step);
    double correction2 = 1 - pow(beta2, step);
    for (int32_t i = 0; i < n; i++) {
        double g = gradient[i] + decay * x[i];
        state.m[i] = beta1 * state.m[i] + (1 - beta1) * g;
        state.v[i] = beta2 * state.v[i] + (1 - beta2) * g * g;
        x[i] -= rate * (state.m[i] / correction1) / (sqrt(state.v[i] / correction2) + 1e-8);
    }
}

/* d = L - b + 1e-8 */
static mtli_balance_status famo_distances(int32_t tasks, const double *losses, const double *lower, double *d)
{
    if (!mtli_all_finite(tasks, losses) || (lower && !mtli_all_finite(tasks, lower))) {
        return MTLI_BALANCE_NOT_FINITE;
    }
    for (int32_t i = 0; i < tasks; i++) {
        d[i] = losses[i] - (lower ? lower[i] : 0) + FAMO_OFFSET;
        if (!(d[i] > 0)) {
            return MTLI_BALANCE_DOMAIN;
        }
    }
    return MTLI_BALANCE_OK;
}

static double famo_distance(const double *losses, const double *lower, int32_t i)
{
    return losses[i] - (lower ? lower[i] : 0) + FAMO_OFFSET;
}

mtli_balance_status mtli_loss_famo(int32_t tasks, const double *losses, const double *lower, const double *xi,
                                   double *value, double *weights)
{
    mtli_balance_status status = famo_distances(tasks, losses, lower, weights);
    if (status == MTLI_BALANCE_OK && !mtli_all_finite(tasks, xi)) {
        status = MTLI_BALANCE_NOT_FINITE;
    }
    if (status != MTLI_BALANCE_OK) {
        return mtli_loss_refuse(tasks, weights, status);
    }
    double normalizer = 0;
    double sum = 0;
    mtli_softmax_weights(tasks, xi, weights);
    for (int32_t i = 0; i < tasks; i++) {
        double d = famo_distance(losses, lower, i);
        sum += weights[i] * log(d);
        weights[i] /= d;
        normalizer += weights[i];
    }
    for (int32_t i = 0; i < tasks; i++) {
        weights[i] /= normalizer;
    }
    return mtli_loss_answer(tasks, weights, sum / normalizer, value);
}

mtli_balance_status mtli_loss_famo_update(int32_t tasks, const double *before, const double *after, const double *lower,
                                          double rate, double decay, mtli_small_adam state, double *xi, double *work)
{
    double *z = work;
    double *delta = work + tasks;
    mtli_balance_status status = famo_distances(tasks, before, lower, z);
    if (status == MTLI_BALANCE_OK) {
        status = famo_distances(tasks, after, lower, delta);
    }
    if (status != MTLI_BALANCE_OK) {
        return status;
    }
    if (!mtli_all_finite(tasks, xi) || !isfinite(rate) || !isfinite(decay)) {
        return MTLI_BALANCE_NOT_FINITE;
    }
    for (int32_t i = 0; i < tasks; i++) {
        delta[i] = log(z[i]) - log(delta[i]);
    }
    mtli_softmax_weights(tasks, xi, z);
    double mean = mtli_balance_dot(tasks, z, delta);
    for (int32_t i = 0; i < tasks; i++) {
        delta[i] = z[i] * (delta[i] - mean);
    }
    mtli_small_adam_step(tasks, rate, decay, delta, state, xi);
    return MTLI_BALANCE_OK;
}

static mtli_balance_status check_gradnorm(int32_t tasks, const double *losses, const double *first, const double *norms,
                                          double alpha, const double *s)
{
    if (!mtli_all_finite(tasks, losses) || !mtli_all_finite(tasks, first) || !mtli_all_finite(tasks, norms) ||
        !mtli_all_finite(tasks, s) || !isfinite(alpha)) {
        return MTLI_BALANCE_NOT_FINITE;
    }
    for (int32_t i = 0; i < tasks; i++) {
        if (losses[i] < 0 || !(first[i] > 0) || norms[i] < 0) {
            return MTLI_BALANCE_DOMAIN;
        }
    }
    return MTLI_BALANCE_OK;
}

mtli_balance_status mtli_loss_gradnorm(int32_t tasks, const double *losses, const double *first, const double *norms,
                                       double alpha, const double *s, double *weights, double *gradient)
{
    mtli_balance_status status = check_gradnorm(tasks, losses, first, norms, alpha, s);
    if (status != MTLI_BALANCE_OK) {
        mtli_loss_refuse(tasks, gradient, status);
        return mtli_loss_refuse(tasks, weights, status);
    }
    double mean_norm = 0;
    double mean_rate = 0;
    mtli_softmax_weights(tasks, s, weights);
    for (int32_t i = 0; i < tasks; i++) {
        mean_norm += weights[i] * norms[i]; /* weights are still w / T */
        mean_rate += losses[i] / first[i] / tasks;
    }
    /* F = Σ |w_t n_t - target_t|: dF/dw_t = ± n_t, then through w = T softmax(s) */
    double mean_slope = 0;
    for (int32_t i = 0; i < tasks; i++) {
        double rate = mean_rate > 0 ? losses[i] / first[i] / mean_rate : 1;
        double gap = tasks * weights[i] * norms[i] - mean_norm * pow(rate, alpha);
        gradient[i] = gap > 0 ? norms[i] : gap < 0 ? -norms[i] : 0;
        mean_slope += weights[i] * gradient[i];
    }
    for (int32_t i = 0; i < tasks; i++) {
        weights[i] *= tasks;
        gradient[i] = weights[i] * (gradient[i] - mean_slope);
    }
    if (!mtli_all_finite(tasks, gradient)) {
        mtli_loss_refuse(tasks, gradient, MTLI_BALANCE_NOT_FINITE);
        return mtli_loss_refuse(tasks, weights, MTLI_BALANCE_NOT_FINITE);
    }
    return mtli_loss_answer(tasks, weights, 0, NULL);
}
