/* SPDX-License-Identifier: Apache-2.0
 * Scalarizations: functions of the losses of one step and of constants. */
#include "balance/loss_rules.h"

#include <float.h>
#include <math.h>

#include "balance/solver.h"

mtli_balance_status mtli_loss_refuse(int32_t tasks, double *weights, mtli_balance_status status)
{
    return mtli_balance_nothing(tasks, weights, status).status;
}

mtli_balance_status mtli_loss_answer(int32_t tasks, double *weights, double value, double *out)
{
    if (!isfinite(value) || !mtli_all_finite(tasks, weights)) {
        return mtli_loss_refuse(tasks, weights, MTLI_BALANCE_NOT_FINITE);
    }
    if (out) {
        *out = value;
    }
    return MTLI_BALANCE_OK;
}

mtli_balance_status mtli_loss_check(int32_t tasks, const double *x, double least)
{
    if (!mtli_all_finite(tasks, x)) {
        return MTLI_BALANCE_NOT_FINITE;
    }
    for (int32_t i = 0; i < tasks; i++) {
        if (x[i] < least) {
            return MTLI_BALANCE_DOMAIN;
        }
    }
    return MTLI_BALANCE_OK;
}

/* NULL is fine. */
static bool optional_is_finite(int32_t tasks, const double *x)
{
    return !x || mtli_all_finite(tasks, x);
}

mtli_balance_status mtli_loss_linear(int32_t tasks, const double *losses, const double *fixed, bool mean, double *value,
                                     double *weights)
{
    if (!mtli_all_finite(tasks, losses) || !optional_is_finite(tasks, fixed)) {
        return mtli_loss_refuse(tasks, weights, MTLI_BALANCE_NOT_FINITE);
    }
    double sum = 0;
    for (int32_t i = 0; i < tasks; i++) {
        weights[i] = (fixed ? fixed[i] : 1) / (mean ? tasks : 1);
        sum += weights[i] * losses[i];
    }
    return mtli_loss_answer(tasks, weights, sum, value);
}

mtli_balance_status mtli_loss_geometric(int32_t tasks, const double *losses, double *value, double *weights)
{
    mtli_balance_status status = mtli_loss_check(tasks, losses, 0);
    if (status != MTLI_BALANCE_OK) {
        return mtli_loss_refuse(tasks, weights, status);
    }
    double sum = 0;
    int32_t present = 0;
    for (int32_t i = 0; i < tasks; i++) {
        sum += losses[i] > 0 ? log(losses[i]) : 0;
        present += losses[i] > 0;
    }
    double mean_log = present > 0 ? sum / present : 0;
    for (int32_t i = 0; i < tasks; i++) {
        weights[i] = losses[i] > 0 ? exp(mean_log - log(losses[i])) / present : 0;
    }
    return mtli_loss_answer(tasks, weights, present > 0 ? exp(mean_log) : 0, value);
}

mtli_balance_status mtli_loss_logarithmic(int32_t tasks, const double *losses, double *value, double *weights)
{
    mtli_balance_status status = mtli_loss_check(tasks, losses, 0);
    if (status != MTLI_BALANCE_OK) {
        return mtli_loss_refuse(tasks, weights, status);
    }
    double sum = 0;
    for (int32_t i = 0; i < tasks; i++) {
        sum += losses[i] > 0 ? log(losses[i]) : 0;
        weights[i] = losses[i] > 0 ? 1 / losses[i] : 0;
    }
    return mtli_loss_answer(tasks, weights, sum, value);
}

mtli_balance_status mtli_loss_tchebycheff(int32_t tasks, const double *losses, const double *preference,
                                          const double *reference, double mu, double *value, double *weights)
{
    if (!mtli_all_finite(tasks, losses) || !optional_is_finite(tasks, preference) ||
        !optional_is_finite(tasks, reference) || !isfinite(mu)) {
        return mtli_loss_refuse(tasks, weights, MTLI_BALANCE_NOT_FINITE);
    }
    if (!(mu > 0)) {
        return mtli_loss_refuse(tasks, weights, MTLI_BALANCE_DOMAIN);
    }
    double top = -HUGE_VAL;
    for (int32_t i = 0; i < tasks; i++) {
        weights[i] = (preference ? preference[i] : 1.0 / tasks) * (losses[i] - (reference ? reference[i] : 0));
        top = mtli_larger(top, weights[i]);
    }
    double sum = 0;
    for (int32_t i = 0; i < tasks; i++) {
        weights[i] = exp((weights[i] - top) / mu);
        sum += weights[i];
    }
    for (int32_t i = 0; i < tasks; i++) {
        weights[i] *= (preference ? preference[i] : 1.0 / tasks) / sum;
    }
    return mtli_loss_answer(tasks, weights, top + mu * log(sum), value);
}

mtli_balance_status mtli_loss_tchebycheff_log(int32_t tasks, const double *losses, const double *nadir, double mu,
                                              double *value, double *weights)
{
    mtli_balance_status status = mtli_loss_check(tasks, losses, 0);
    if (status == MTLI_BALANCE_OK) {
        status = mtli_loss_check(tasks, nadir, DBL_MIN);
    }
    if (status != MTLI_BALANCE_OK || !(mu > 0) || !isfinite(mu)) {
        return mtli_loss_refuse(tasks, weights, status != MTLI_BALANCE_OK ? status : MTLI_BALANCE_DOMAIN);
    }
    double top = -HUGE_VAL;
    for (int32_t i = 0; i < tasks; i++) {
        weights[i] = losses[i] > 0 ? log(losses[i]) - log(nadir[i]) : 0;
        top = losses[i] > 0 ? mtli_larger(top, weights[i]) : top;
    }
    double sum = 0;
    int32_t present = 0;
    for (int32_t i = 0; i < tasks; i++) {
        weights[i] = losses[i] > 0 ? exp((weights[i] - top) / mu) : 0;
        sum += weights[i];
        present += losses[i] > 0;
    }
    for (int32_t i = 0; i < tasks; i++) {
        weights[i] = losses[i] > 0 ? present * (weights[i] / sum) / losses[i] : 0;
    }
    return mtli_loss_answer(tasks, weights, present > 0 ? present * mu * log(sum) : 0, value);
}

/* The Euclidean length without overflow. */
static double safe_length(int32_t n, const double *x)
{
    double top = 0;
    for (int32_t i = 0; i < n; i++) {
        top = mtli_larger(top, fabs(x[i]));
    }
    double sum = 0;
    for (int32_t i = 0; i < n && top > 0; i++) {
        sum += (x[i] / top) * (x[i] / top);
    }
    return top * sqrt(sum);
}

mtli_balance_status mtli_loss_boundary(int32_t tasks, const double *losses, const double *preference,
                                       const double *reference, double theta, double *value, double *weights)
{
    if (!mtli_all_finite(tasks, losses) || !optional_is_finite(tasks, preference) ||
        !optional_is_finite(tasks, reference) || !isfinite(theta)) {
        return mtli_loss_refuse(tasks, weights, MTLI_BALANCE_NOT_FINITE);
    }
    double length = preference ? safe_length(tasks, preference) : sqrt(tasks);
    if (!(length > 0) || theta < 0) {
        return mtli_loss_refuse(tasks, weights, MTLI_BALANCE_DOMAIN);
    }
    double along = 0;
    for (int32_t i = 0; i < tasks; i++) {
        along += (losses[i] - (reference ? reference[i] : 0)) * ((preference ? preference[i] : 1) / length);
    }
    double magnitude = 0;
    for (int32_t i = 0; i < tasks; i++) {
        double shifted = losses[i] - (reference ? reference[i] : 0);
        weights[i] = shifted - along * ((preference ? preference[i] : 1) / length);
        magnitude = mtli_larger(magnitude, fabs(shifted));
    }
    double off = safe_length(tasks, weights);
    bool on_ray = off <= mtli_rounding(tasks) * magnitude; /* what is left is rounding */
    for (int32_t i = 0; i < tasks; i++) {
        double unit = (preference ? preference[i] : 1) / length;
        weights[i] = unit + (on_ray ? 0 : theta * (weights[i] / off));
    }
    return mtli_loss_answer(tasks, weights, along + theta * off, value);
}

mtli_balance_status mtli_loss_cosmos(int32_t tasks, const double *losses, const double *preference, double lambda,
                                     double *value, double *weights)
{
    if (!mtli_all_finite(tasks, losses) || !optional_is_finite(tasks, preference) || !isfinite(lambda)) {
        return mtli_loss_refuse(tasks, weights, MTLI_BALANCE_NOT_FINITE);
    }
    double length = safe_length(tasks, losses);
    double preferred = preference ? safe_length(tasks, preference) : 1 / sqrt(tasks);
    double sum = 0;
    double cosine = 0;
    for (int32_t i = 0; i < tasks; i++) {
        double a = preference ? preference[i] : 1.0 / tasks;
        sum += a * losses[i];
        cosine += length > 0 && preferred > 0 ? (a / preferred) * (losses[i] / length) : 0;
    }
    for (int32_t i = 0; i < tasks; i++) {
        double a = preference ? preference[i] : 1.0 / tasks;
        double slope = length > 0 && preferred > 0 ? (a / preferred - cosine * (losses[i] / length)) / length : 0;
        weights[i] = a - lambda * slope;
    }
    return mtli_loss_answer(tasks, weights, sum - lambda * cosine, value);
}
