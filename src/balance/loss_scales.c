/* SPDX-License-Identifier: Apache-2.0
 * Rules whose scales are trained beside the model: uncertainty weighting and IMTL-L. */
#include "balance/loss_rules.h"

#include <math.h>

#include "balance/solver.h"

static mtli_balance_status refuse_scales(int32_t tasks, double *weights, double *gradient)
{
    mtli_loss_refuse(tasks, gradient, MTLI_BALANCE_NOT_FINITE);
    return mtli_loss_refuse(tasks, weights, MTLI_BALANCE_NOT_FINITE);
}

static mtli_balance_status answer_scales(int32_t tasks, double *weights, double *gradient, double value, double *out)
{
    if (!isfinite(value) || !mtli_all_finite(tasks, weights) || !mtli_all_finite(tasks, gradient)) {
        return refuse_scales(tasks, weights, gradient);
    }
    return mtli_loss_answer(tasks, weights, value, out);
}

mtli_balance_status mtli_loss_uncertainty(int32_t tasks, const double *losses, const double *s,
                                          const mtli_uncertainty *kinds, double *value, double *weights,
                                          double *gradient)
{
    if (!mtli_all_finite(tasks, losses) || !mtli_all_finite(tasks, s)) {
        return refuse_scales(tasks, weights, gradient);
    }
    double sum = 0;
    for (int32_t i = 0; i < tasks; i++) {
        weights[i] = (kinds && kinds[i] == MTLI_UNCERTAINTY_FULL ? 1 : 0.5) * exp(-s[i]);
        gradient[i] = 0.5 - weights[i] * losses[i];
        sum += weights[i] * losses[i] + 0.5 * s[i];
    }
    return answer_scales(tasks, weights, gradient, sum, value);
}

mtli_balance_status mtli_loss_imtl_l(int32_t tasks, const double *losses, const double *s, double *value,
                                     double *weights, double *gradient)
{
    if (!mtli_all_finite(tasks, losses) || !mtli_all_finite(tasks, s)) {
        return refuse_scales(tasks, weights, gradient);
    }
    double sum = 0;
    for (int32_t i = 0; i < tasks; i++) {
        weights[i] = exp(s[i]);
        gradient[i] = weights[i] * losses[i] - 1;
        sum += weights[i] * losses[i] - s[i];
    }
    return answer_scales(tasks, weights, gradient, sum, value);
}
