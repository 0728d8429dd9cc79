/* SPDX-License-Identifier: Apache-2.0
 * Steps of balancing methods that look more than once: several draws of rows, the same rows after the update, validation
 * rows. */
#include <math.h>
#include <string.h>

#include "multitask/balanced.h"
#include "multitask/pass.h"

/* ---- several draws ---- */

static mtl_status keep_draw(mtl_objective *objective, mtl_evaluate_fn evaluate, void *user, int32_t draw,
                            mtli_balanced_pass *pass)
{
    mtl_status status = mtli_objective_evaluate(objective, evaluate, user, draw);
    if (status == MTL_OK) {
        status = mtli_objective_check_losses(objective, objective->tape, objective->losses, objective->num_tasks);
    }
    if (status == MTL_OK) {
        status = mtli_balanced_begin(objective, objective->tape, objective->losses, objective->gradients, pass);
    }
    return status == MTL_OK ? mtli_balanced_keep(pass, draw, 0) : status;
}

/* A task must be present in both draws to have a product. */
static void join_draws(mtli_task_gradients *room, const double *first_losses, int32_t *count, int32_t *both)
{
    *count = 0;
    for (int32_t t = 0; t < room->tasks; t++) {
        if (isnan(first_losses[t])) {
            room->losses[t] = (double)NAN;
        }
        if (!isnan(room->losses[t])) {
            both[(*count)++] = t;
        }
    }
}

static mtl_status weigh_draws(mtli_balanced_pass *pass, const double *first_losses)
{
    mtli_task_gradients *room = pass->room;
    int32_t *both = room->members;
    int32_t count;
    join_draws(room, first_losses, &count, both);
    memset(room->cross, 0, (size_t)room->tasks * (size_t)room->tasks * sizeof room->cross[0]);
    for (int32_t i = 0; i < count; i++) {
        for (int32_t j = 0; j < count; j++) {
            const mtl_gradients *left = room->draws[0].of_task[both[i]];
            const mtl_gradients *right = room->draws[1].of_task[both[j]];
            room->cross[(int64_t)both[i] * room->tasks + both[j]] = mtli_gradients_inner(left, right);
        }
    }
    mtli_balance_facts facts = {.losses = room->losses, .cross = room->cross};
    return mtli_balancer_weigh(pass->balancer, &facts, room->weights, room->own);
}

/* A task that only the last draw has counts as much as an equal share; one that this draw lacks has no weight. */
static void weigh_strangers(const mtli_balanced_pass *pass, const double *known)
{
    mtli_task_gradients *room = pass->room;
    const mtl_balancer_options *options = &pass->balancer->options;
    double share = options->reduction == MTL_BALANCE_REDUCE_SUM ? 1 : 1 / (double)pass->count;
    for (int32_t t = 0; t < room->tasks; t++) {
        if (isnan(room->losses[t])) {
            room->weights[t] = 0;
        } else if (isnan(known[t])) {
            room->weights[t] = share;
            room->own[t] = options->scope == MTL_BALANCE_SCOPE_ALL ? share : 1;
        }
    }
}

static mtl_status step_on_draws(mtl_objective *objective, mtl_evaluate_fn evaluate, void *user)
{
    mtli_balanced_pass pass;
    mtl_status status = keep_draw(objective, evaluate, user, 0, &pass);
    if (status == MTL_OK) {
        memcpy(pass.room->excess, pass.room->losses, (size_t)pass.room->tasks * sizeof(double));
        status = keep_draw(objective, evaluate, user, 1, &pass);
    }
    if (status == MTL_OK) {
        status = weigh_draws(&pass, pass.room->excess);
    }
    if (status == MTL_OK) {
        memcpy(pass.room->excess, pass.room->losses, (size_t)pass.room->tasks * sizeof(double));
        status = mtli_objective_evaluate(objective, evaluate, user, 2);
    }
    if (status == MTL_OK) {
        status = mtli_objective_check_losses(objective, objective->tape, objective->losses, objective->num_tasks);
    }
    if (status == MTL_OK) {
        status = mtli_balanced_begin(objective, objective->tape, objective->losses, objective->gradients, &pass);
    }
    if (status != MTL_OK) {
        return status;
    }
    mtli_objective_note_losses(objective, objective->losses);
    weigh_strangers(&pass, pass.room->excess);
    mtl_gradients_clear(objective->gradients);
    return pass.count > 0 ? mtli_balanced_sweep(&pass, pass.room->weights, pass.room->own) : MTL_OK;
}

/* ---- a second look at the same rows ---- */

static mtl_status look_again(mtl_objective *objective, mtl_evaluate_fn evaluate, void *user)
{
    mtli_task_gradients *room = objective->room;
    memcpy(room->excess, room->losses, (size_t)room->tasks * sizeof(double));
    mtl_status status = mtli_objective_evaluate(objective, evaluate, user, 0);
    if (status == MTL_OK) {
        status = mtli_objective_check_losses(objective, objective->tape, objective->losses, objective->num_tasks);
    }
    mtli_balanced_pass pass;
    if (status == MTL_OK) {
        status = mtli_balanced_begin(objective, objective->tape, objective->losses, objective->gradients, &pass);
    }
    for (int32_t t = 0; t < room->tasks && status == MTL_OK; t++) {
        if (isnan(room->losses[t])) {
            room->excess[t] = (double)NAN; /* present in one look only */
        }
    }
    mtli_balance_facts facts = {.losses = room->excess, .after = room->losses};
    return status == MTL_OK ? mtli_balancer_second_look(objective->balancer, &facts) : status;
}

static mtl_status step_and_look(mtl_objective *objective, mtl_optimizer *optimizer, mtl_evaluate_fn evaluate,
                                void *user)
{
    mtl_context *context = objective->context;
    uint64_t stream = context->stream;
    mtl_status status = mtli_objective_evaluate(objective, evaluate, user, 0);
    if (status == MTL_OK) {
        status = mtli_objective_differentiate(objective, objective->tape, objective->losses, objective->num_tasks,
                                              objective->gradients);
    }
    if (status == MTL_OK) {
        status = mtl_optimizer_step(optimizer, objective->gradients);
    }
    if (status != MTL_OK) {
        return status;
    }
    uint64_t reached = context->stream;
    context->stream = stream; /* the same choices of dropout */
    mtli_enter_function(context, "mtl_objective_step");
    status = look_again(objective, evaluate, user);
    context->stream = reached > context->stream ? reached : context->stream;
    return status;
}

/* ---- one whole step ---- */

/* The losses of the training rows were noted. */
static mtl_status finish_step(mtl_objective *objective, mtl_optimizer *optimizer)
{
    mtli_enter_function(objective->context, "mtl_objective_step");
    double penalties = 0;
    mtl_status status = mtli_objective_add_penalties(objective, objective->gradients, &penalties);
    if (status == MTL_OK) {
        objective->value += penalties;
        status = mtl_optimizer_step(optimizer, objective->gradients);
    }
    return status;
}

mtl_status mtli_balanced_step(mtl_objective *objective, mtl_optimizer *optimizer, mtl_evaluate_fn evaluate, void *user)
{
    const mtl_balancer *balancer = objective->balancer;
    if ((balancer->rule->needs & MTL_BALANCE_NEEDS_SECOND_EVALUATION) != 0) {
        return step_and_look(objective, optimizer, evaluate, user);
    }
    mtl_status status = balancer->rule->way == MTLI_BALANCE_BY_DRAWS
                            ? step_on_draws(objective, evaluate, user)
                            : mtli_balanced_validation(objective, optimizer, evaluate, user);
    return status == MTL_OK ? finish_step(objective, optimizer) : status;
}
