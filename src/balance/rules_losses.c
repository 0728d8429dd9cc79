/* SPDX-License-Identifier: Apache-2.0
 * The methods that decide from losses, as rows of the table call them: options and memory go into the pure rules. */
#include <math.h>
#include <string.h>

#include "balance/loss_rules.h"
#include "balance/rule.h"

/* The result of a rule that has no solver. */
static mtli_balance_result without_solver(mtli_balance_status status)
{
    return (mtli_balance_result){status, 0, 0};
}

mtli_balance_result mtli_decide_equal(mtli_decision *d)
{
    return without_solver(mtli_loss_linear(d->count, d->losses, NULL, false, NULL, d->weights));
}

mtli_balance_result mtli_decide_fixed(mtli_decision *d)
{
    return without_solver(mtli_loss_linear(d->count, d->losses, d->preference, false, NULL, d->weights));
}

mtli_balance_result mtli_decide_random(mtli_decision *d)
{
    for (int32_t i = 0; i < d->count; i++) {
        d->scratch[i] = mtli_rng_normal(&d->rng);
    }
    mtli_softmax_weights(d->count, d->scratch, d->weights);
    return without_solver(MTLI_BALANCE_OK);
}

/* s, m, v and the number of updates from memory[first] on; the gradient of s is in scratch. */
static void train_scales(mtli_decision *d, int32_t first)
{
    int64_t steps = (int64_t)d->memory[first + 3][0];
    mtli_small_adam adam = {d->memory[first + 1], d->memory[first + 2], &steps};
    mtli_small_adam_step(d->count, d->options->rate, 0, d->scratch, adam, d->memory[first]);
    d->memory[first + 3][0] = (double)steps;
}

mtli_balance_result mtli_decide_uncertainty(mtli_decision *d)
{
    mtli_uncertainty *kinds = d->work;
    for (int32_t i = 0; i < d->count; i++) {
        kinds[i] = d->options->form == MTL_BALANCE_FORM_FULL ? MTLI_UNCERTAINTY_FULL : MTLI_UNCERTAINTY_HALF;
    }
    mtli_balance_status status =
        mtli_loss_uncertainty(d->count, d->losses, d->memory[0], kinds, NULL, d->weights, d->scratch);
    if (status == MTLI_BALANCE_OK) {
        train_scales(d, 0);
    }
    return without_solver(status);
}

mtli_balance_result mtli_decide_imtl_l(mtli_decision *d)
{
    mtli_balance_status status = mtli_loss_imtl_l(d->count, d->losses, d->memory[0], NULL, d->weights, d->scratch);
    if (status == MTLI_BALANCE_OK) {
        train_scales(d, 0);
    }
    return without_solver(status);
}

/* Tasks of which one of the last two epochs has no mean have the rate 1. */
mtli_balance_result mtli_decide_dwa(mtli_decision *d)
{
    double *newer = d->scratch;
    double *older = d->scratch + d->count;
    bool known = d->memory[2][0] >= 2;
    for (int32_t i = 0; i < d->count; i++) {
        bool both = known && d->memory[0][i] > 0 && d->memory[1][i] > 0;
        newer[i] = both ? d->memory[0][i] : 1;
        older[i] = both ? d->memory[1][i] : 1;
    }
    return without_solver(mtli_loss_rate_weights(d->count, newer, older, d->options->tau, d->weights));
}

mtli_balance_result mtli_decide_geometric(mtli_decision *d)
{
    return without_solver(mtli_loss_geometric(d->count, d->losses, NULL, d->weights));
}

mtli_balance_result mtli_decide_scale_invariant(mtli_decision *d)
{
    return without_solver(mtli_loss_logarithmic(d->count, d->losses, NULL, d->weights));
}

mtli_balance_result mtli_decide_tchebycheff(mtli_decision *d)
{
    double mu = d->options->mu;
    if (d->options->form == MTL_BALANCE_FORM_LINEAR) {
        return without_solver(
            mtli_loss_tchebycheff(d->count, d->losses, d->preference, d->reference, mu, NULL, d->weights));
    }
    if (!d->warm) {
        return mtli_decide_scale_invariant(d);
    }
    return without_solver(mtli_loss_tchebycheff_log(d->count, d->losses, d->memory[0], mu, NULL, d->weights));
}

mtli_balance_result mtli_decide_famo(mtli_decision *d)
{
    return without_solver(mtli_loss_famo(d->count, d->losses, d->reference, d->memory[0], NULL, d->weights));
}

mtli_balance_result mtli_decide_boundary(mtli_decision *d)
{
    return without_solver(
        mtli_loss_boundary(d->count, d->losses, d->preference, d->reference, d->options->theta, NULL, d->weights));
}

mtli_balance_result mtli_decide_cosmos(mtli_decision *d)
{
    return without_solver(mtli_loss_cosmos(d->count, d->losses, d->preference, d->options->lambda, NULL, d->weights));
}

mtli_balance_result mtli_decide_prioritization(mtli_decision *d)
{
    mtli_balance_status status = mtli_loss_prioritization(d->count, d->memory[0], d->options->gamma, d->weights);
    for (int32_t i = 0; i < d->count && status == MTLI_BALANCE_OK; i++) {
        d->weights[i] = d->memory[1][i] > 0 ? d->weights[i] : 1;
    }
    return without_solver(status);
}

mtli_balance_result mtli_decide_gradnorm(mtli_decision *d)
{
    double *norms = d->scratch + d->count;
    for (int32_t i = 0; i < d->count; i++) {
        norms[i] = sqrt(d->gram[(int64_t)i * d->count + i]);
    }
    mtli_balance_status status = mtli_loss_gradnorm(d->count, d->losses, d->memory[0], norms, d->options->alpha,
                                                    d->memory[2], d->weights, d->scratch);
    if (status == MTLI_BALANCE_OK) {
        train_scales(d, 2);
    }
    return without_solver(status);
}

void mtli_observe_first_losses(mtli_decision *d)
{
    double *first = d->memory[0];
    double *number = d->memory[1];
    for (int32_t i = 0; i < d->count; i++) {
        if (d->warm && first[i] == 0) { /* a loss that was 0 says nothing about the later ones */
            number[i] = 0;
        }
        if (!d->warm || number[i] == 0) {
            number[i]++;
            first[i] += d->losses[i] / number[i] - first[i] / number[i]; /* which does not overflow */
        }
    }
}

mtli_balance_result mtli_decide_softmax(mtli_decision *d)
{
    mtli_softmax_weights(d->count, d->memory[0], d->weights);
    return without_solver(MTLI_BALANCE_OK);
}

/* A task's first step gives the excess that its later ones are measured by, and leaves its share as it is. */
mtli_balance_result mtli_decide_excess_mtl(mtli_decision *d)
{
    double *state = d->memory[0];
    double *initial = d->memory[1];
    double *begun = d->memory[2];
    mtli_balance_status status = mtli_loss_excess_update(d->count, d->excess, d->options->eta, false, initial, state);
    for (int32_t i = 0; i < d->count && status == MTLI_BALANCE_OK; i++) {
        initial[i] = begun[i] > 0 ? initial[i] : d->excess[i];
        begun[i] = 1;
    }
    memcpy(d->weights, state, (size_t)d->count * sizeof d->weights[0]);
    return without_solver(status);
}

/* What is a task's own follows log L, as published. */
mtli_balance_result mtli_decide_db_mtl(mtli_decision *d)
{
    double *norms = d->scratch;
    (void)mtli_loss_db_logarithm(d->count, d->losses, d->own); /* it could answer when the gradients were tracked */
    for (int32_t i = 0; i < d->count; i++) {
        norms[i] = sqrt(d->gram[(int64_t)i * d->count + i]);
    }
    return without_solver(mtli_loss_db_scale(d->count, norms, d->weights));
}
