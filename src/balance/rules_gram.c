/* SPDX-License-Identifier: Apache-2.0
 * The methods that decide from the Gram matrix, as rows of the table call them. */
#include <math.h>

#include "balance/loss_rules.h"
#include "balance/rule.h"

/* Factors by which gradients are measured for the decision: MGDA's normalizations, both in the unit of the largest,
 * which the minimum does not see. A length or loss of 0 counts as the largest. */
static void mgda_factors(const mtli_decision *d, double *factors)
{
    int32_t form = d->options->form;
    bool by_length = form == MTL_BALANCE_FORM_UNIT || form == MTL_BALANCE_FORM_LOSS_UNIT;
    bool by_loss = form == MTL_BALANCE_FORM_LOSS || form == MTL_BALANCE_FORM_LOSS_UNIT;
    double longest = 0;
    double largest = 0;
    for (int32_t i = 0; i < d->count; i++) {
        longest = fmax(longest, d->gram[(int64_t)i * d->count + i]);
        largest = fmax(largest, d->losses[i]);
    }
    for (int32_t i = 0; i < d->count; i++) {
        double square = d->gram[(int64_t)i * d->count + i];
        double length = by_length && square > 0 ? sqrt(square) / sqrt(longest) : 1;
        double loss = by_loss && d->losses[i] > 0 ? d->losses[i] / largest : 1;
        factors[i] = 1 / length / loss;
    }
}

/* As Sener & Koltun: the normalized gradients decide, the weights act on the gradients as they are. */
mtli_balance_result mtli_decide_mgda(mtli_decision *d)
{
    if (d->options->form == MTL_BALANCE_FORM_PLAIN) {
        return mtli_balance_mgda(d->count, d->gram, d->weights, d->work);
    }
    double *factors = d->scratch;
    double *scaled = d->scratch + d->count;
    mgda_factors(d, factors);
    for (int32_t i = 0; i < d->count; i++) {
        for (int32_t j = 0; j < d->count; j++) {
            int64_t at = (int64_t)i * d->count + j;
            scaled[at] = factors[i] * d->gram[at] * factors[j];
        }
    }
    return mtli_balance_mgda(d->count, scaled, d->weights, d->work);
}

/* A permutation of the tasks for each task (Fisher & Yates). */
static const int32_t *random_orders(mtli_decision *d)
{
    int32_t *orders = (int32_t *)(void *)d->scratch;
    for (int32_t i = 0; i < d->count; i++) {
        int32_t *row = orders + (int64_t)i * d->count;
        for (int32_t k = 0; k < d->count; k++) {
            row[k] = k;
        }
        for (int32_t k = d->count - 1; k > 0; k--) {
            int32_t other = (int32_t)mtli_rng_below(&d->rng, (uint64_t)k + 1);
            int32_t kept = row[k];
            row[k] = row[other];
            row[other] = kept;
        }
    }
    return orders;
}

mtli_balance_result mtli_decide_pcgrad(mtli_decision *d)
{
    return mtli_balance_pcgrad(d->count, d->gram, random_orders(d), false, d->weights, d->work);
}

mtli_balance_result mtli_decide_gradvac(mtli_decision *d)
{
    return mtli_balance_gradvac(d->count, d->gram, random_orders(d), d->options->beta, d->memory[0], false, d->weights,
                                d->work);
}

mtli_balance_result mtli_decide_cagrad(mtli_decision *d)
{
    int32_t form = d->options->form;
    mtli_cagrad_rescale rescale = form == MTL_BALANCE_FORM_RESCALE_NONE     ? MTLI_CAGRAD_NONE
                                  : form == MTL_BALANCE_FORM_RESCALE_LINEAR ? MTLI_CAGRAD_LINEAR
                                                                            : MTLI_CAGRAD_SQUARE;
    return mtli_balance_cagrad(d->count, d->gram, d->options->c, rescale, d->weights, d->work);
}

mtli_balance_result mtli_decide_imtl_g(mtli_decision *d)
{
    return mtli_balance_imtl_g(d->count, d->gram, d->options->tolerance, d->weights, d->work);
}

/* IMTL-G on the losses that IMTL-L has scaled: what is a task's own sees the scale only. */
mtli_balance_result mtli_decide_imtl(mtli_decision *d)
{
    double *scaled = d->scratch + d->count;
    mtli_balance_result loss_part = mtli_decide_imtl_l(d);
    if (loss_part.status != MTLI_BALANCE_OK) {
        return loss_part;
    }
    for (int32_t i = 0; i < d->count; i++) {
        d->own[i] = d->weights[i];
    }
    for (int32_t i = 0; i < d->count; i++) {
        for (int32_t j = 0; j < d->count; j++) {
            int64_t at = (int64_t)i * d->count + j;
            scaled[at] = d->own[i] * d->gram[at] * d->own[j];
        }
    }
    mtli_balance_result result = mtli_balance_imtl_g(d->count, scaled, d->options->tolerance, d->weights, d->work);
    for (int32_t i = 0; i < d->count; i++) {
        d->weights[i] *= d->own[i];
    }
    return result;
}

mtli_balance_result mtli_decide_nash(mtli_decision *d)
{
    return mtli_balance_nash(d->count, d->gram, d->weights, d->work);
}

mtli_balance_result mtli_decide_fairgrad(mtli_decision *d)
{
    return mtli_balance_fair_gradient(d->count, d->gram, d->options->alpha, d->weights, d->work);
}

mtli_balance_result mtli_decide_aligned(mtli_decision *d)
{
    int32_t form = d->options->form;
    mtli_aligned_scale scale = form == MTL_BALANCE_FORM_MEDIAN ? MTLI_ALIGNED_MEDIAN
                               : form == MTL_BALANCE_FORM_RMSE ? MTLI_ALIGNED_RMSE
                                                               : MTLI_ALIGNED_MIN;
    const double *reference = d->preference ? d->preference : d->own; /* ones */
    return mtli_balance_aligned(d->count, d->gram, reference, scale, d->options->tolerance, d->weights, d->work);
}

mtli_balance_result mtli_decide_upgrad(mtli_decision *d)
{
    return mtli_balance_upgrad(d->count, d->gram, d->preference, d->weights, d->work);
}

mtli_balance_result mtli_decide_dual_projection(mtli_decision *d)
{
    return mtli_balance_dual_projection(d->count, d->gram, d->preference, d->weights, d->work);
}

mtli_balance_result mtli_decide_config(mtli_decision *d)
{
    return mtli_balance_config(d->count, d->gram, d->preference, d->options->tolerance, d->weights, d->work);
}

/* With too few tasks in a step for the promise, as many wild ones as it can stand. */
mtli_balance_result mtli_decide_krum(mtli_decision *d)
{
    int32_t most = d->count - 3;
    int32_t outliers = d->options->outliers < most ? d->options->outliers : most;
    int32_t selected = d->options->selected < d->count ? d->options->selected : d->count;
    if (outliers < 0) { /* one or two tasks: nobody is nearer than another */
        for (int32_t i = 0; i < d->count; i++) {
            d->weights[i] = 1 / (double)d->count;
        }
        return (mtli_balance_result){MTLI_BALANCE_OK, 0, 0};
    }
    return mtli_balance_krum(d->count, d->gram, outliers, selected, d->weights, d->work);
}

mtli_balance_result mtli_decide_sdmgrad(mtli_decision *d)
{
    const mtl_balancer_options *o = d->options;
    mtli_sdmgrad_options options = {o->lambda, o->rate, o->momentum, o->steps};
    return mtli_balance_sdmgrad(d->count, d->gram, &options, d->memory[0], d->weights, d->work);
}

mtli_balance_result mtli_decide_modo(mtli_decision *d)
{
    return mtli_balance_modo(d->count, d->gram, d->options->gamma, d->options->rho, d->memory[0], d->weights, d->work);
}

mtli_balance_result mtli_decide_moco(mtli_decision *d)
{
    double rate = d->options->gamma / pow((double)d->step + 1, d->options->sigma);
    return mtli_balance_moco(d->count, d->gram, rate, d->options->rho, d->memory[0], d->weights, d->work);
}

mtli_balance_result mtli_decide_custom(mtli_decision *d)
{
    const mtl_balancer_options *o = d->options;
    const double *gram = (o->needs & MTL_BALANCE_NEEDS_GRAM) != 0 ? d->gram : NULL;
    mtli_balance_result result = {MTLI_BALANCE_OK, 0, 0};
    d->host_status = o->decide(o->user, d->count, d->tasks, d->losses, gram, d->weights);
    for (int32_t i = 0; i < d->count && d->host_status == MTL_OK; i++) {
        result.status = isfinite(d->weights[i]) ? result.status : MTLI_BALANCE_NOT_FINITE;
    }
    return result;
}
