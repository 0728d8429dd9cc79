/* SPDX-License-Identifier: Apache-2.0
 * Rules that look at how fast tasks get on: dynamic weight average, dynamic task prioritization. */
#include "balance/loss_rules.h"

#include <math.h>

#include "balance/solver.h"

static const double SUCCESS_LEAST = 1e-8;

/* newer / older, or a number that is not finite. */
static double loss_rate(double newer, double older)
{
    return older == 0 && newer == 0 ? 1 : newer / older;
}

mtli_balance_status mtli_loss_rate_weights(int32_t tasks, const double *newer, const double *older, double temperature,
                                           double *weights)
{
    if ((newer && !mtli_all_finite(tasks, newer)) || (older && !mtli_all_finite(tasks, older)) ||
        !isfinite(temperature)) {
        return mtli_loss_refuse(tasks, weights, MTLI_BALANCE_NOT_FINITE);
    }
    if (!(temperature > 0)) {
        return mtli_loss_refuse(tasks, weights, MTLI_BALANCE_DOMAIN);
    }
    for (int32_t i = 0; i < tasks; i++) {
        weights[i] = newer && older ? loss_rate(newer[i], older[i]) / temperature : 0;
        if (!isfinite(weights[i])) {
            return mtli_loss_refuse(tasks, weights, MTLI_BALANCE_DOMAIN);
        }
    }
    mtli_softmax_weights(tasks, weights, weights);
    for (int32_t i = 0; i < tasks; i++) {
        weights[i] = newer && older ? weights[i] * tasks : 1;
    }
    return MTLI_BALANCE_OK;
}

static mtli_balance_status check_shares(int32_t tasks, const double *x)
{
    mtli_balance_status status = mtli_loss_check(tasks, x, 0);
    for (int32_t i = 0; i < tasks && status == MTLI_BALANCE_OK; i++) {
        status = x[i] > 1 ? MTLI_BALANCE_DOMAIN : MTLI_BALANCE_OK;
    }
    return status;
}

mtli_balance_status mtli_loss_prioritization(int32_t tasks, const double *success, double gamma, double *weights)
{
    mtli_balance_status status = check_shares(tasks, success);
    if (status == MTLI_BALANCE_OK && !(gamma >= 0 && isfinite(gamma))) {
        status = MTLI_BALANCE_DOMAIN;
    }
    if (status != MTLI_BALANCE_OK) {
        return mtli_loss_refuse(tasks, weights, status);
    }
    for (int32_t i = 0; i < tasks; i++) {
        double share = mtli_larger(success[i], SUCCESS_LEAST);
        weights[i] = share < 1 ? -pow(1 - share, gamma) * log(share) : 0;
    }
    return MTLI_BALANCE_OK;
}

mtli_balance_status mtli_loss_success_update(int32_t tasks, const double *measure, double rate, bool first,
                                             double *success)
{
    mtli_balance_status status = check_shares(tasks, measure);
    if (status == MTLI_BALANCE_OK && !(rate >= 0 && rate <= 1)) {
        status = MTLI_BALANCE_DOMAIN;
    }
    for (int32_t i = 0; i < tasks && status == MTLI_BALANCE_OK; i++) {
        success[i] = first ? measure[i] : rate * measure[i] + (1 - rate) * success[i];
    }
    return status;
}
