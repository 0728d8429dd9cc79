/* SPDX-License-Identifier: Apache-2.0
 * The small parts of rules that keep a gradient per task: DB-MTL, ExcessMTL, MoCo. */
#include "balance/loss_rules.h"

#include <math.h>

#include "balance/solver.h"

static const double DB_OFFSET = 1e-8;

mtli_balance_status mtli_loss_db_logarithm(int32_t tasks, const double *losses, double *log_weights)
{
    mtli_balance_status status = mtli_all_finite(tasks, losses) ? MTLI_BALANCE_OK : MTLI_BALANCE_NOT_FINITE;
    for (int32_t i = 0; i < tasks && status == MTLI_BALANCE_OK; i++) {
        status = losses[i] + DB_OFFSET > 0 ? MTLI_BALANCE_OK : MTLI_BALANCE_DOMAIN;
    }
    if (status != MTLI_BALANCE_OK) {
        return mtli_loss_refuse(tasks, log_weights, status);
    }
    for (int32_t i = 0; i < tasks; i++) {
        log_weights[i] = 1 / (losses[i] + DB_OFFSET);
    }
    return mtli_loss_answer(tasks, log_weights, 0, NULL);
}

mtli_balance_status mtli_loss_db_scale(int32_t tasks, const double *norms, double *weights)
{
    mtli_balance_status status = mtli_loss_check(tasks, norms, 0);
    if (status != MTLI_BALANCE_OK) {
        return mtli_loss_refuse(tasks, weights, status);
    }
    double top = 0;
    for (int32_t i = 0; i < tasks; i++) {
        top = mtli_larger(top, norms[i]);
    }
    for (int32_t i = 0; i < tasks; i++) {
        weights[i] = norms[i] > 0 ? top / norms[i] : 0;
    }
    return mtli_loss_answer(tasks, weights, 0, NULL);
}

double mtli_loss_db_factor(double beta, double sigma, int64_t step)
{
    return beta / pow((double)(step > 0 ? step : 1), sigma);
}

mtli_balance_status mtli_loss_excess_update(int32_t tasks, const double *excess, double eta, bool first,
                                            double *initial, double *state)
{
    mtli_balance_status status = mtli_loss_check(tasks, excess, 0);
    if (status == MTLI_BALANCE_OK && !isfinite(eta)) {
        status = MTLI_BALANCE_NOT_FINITE;
    }
    if (status == MTLI_BALANCE_OK) {
        status = mtli_loss_check(tasks, state, 0);
    }
    if (status != MTLI_BALANCE_OK) {
        return status;
    }
    double top = -HUGE_VAL;
    for (int32_t i = 0; i < tasks; i++) {
        initial[i] = first ? excess[i] : initial[i];
        double exponent = initial[i] > 0 ? eta * fmin(excess[i] / initial[i], 1e300) : 0;
        top = state[i] > 0 ? mtli_larger(top, log(state[i]) + exponent) : top;
    }
    if (!isfinite(top)) {
        return MTLI_BALANCE_DOMAIN; /* all shares are 0 */
    }
    double sum = 0;
    for (int32_t i = 0; i < tasks; i++) {
        double exponent = initial[i] > 0 ? eta * fmin(excess[i] / initial[i], 1e300) : 0;
        state[i] = state[i] > 0 ? exp(log(state[i]) + exponent - top) : 0;
        sum += state[i];
    }
    for (int32_t i = 0; i < tasks; i++) {
        state[i] *= tasks / sum;
    }
    return MTLI_BALANCE_OK;
}

mtli_balance_status mtli_loss_moco_scale(int32_t tasks, const double *losses, const double *norms, double *factors)
{
    mtli_balance_status status =
        mtli_all_finite(tasks, losses) ? mtli_loss_check(tasks, norms, 0) : MTLI_BALANCE_NOT_FINITE;
    if (status != MTLI_BALANCE_OK) {
        return mtli_loss_refuse(tasks, factors, status);
    }
    for (int32_t i = 0; i < tasks; i++) {
        factors[i] = norms[i] > 0 ? losses[i] / norms[i] : 0;
    }
    return mtli_loss_answer(tasks, factors, 0, NULL);
}
