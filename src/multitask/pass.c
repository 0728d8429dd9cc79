/* SPDX-License-Identifier: Apache-2.0
 * Backward passes and steps of an objective: losses are checked, differentiated with their weights, penalties added. */
#include "multitask/pass.h"

#include <math.h>

#include "autograd/tape.h"
#include "multitask/balanced.h"
#include "sharing/penalty.h"

static double loss_value(const mtl_tensor *loss)
{
    return (double)*(const mtli_real *)loss->data;
}

mtl_status mtli_objective_check_losses(mtl_objective *objective, const mtl_tape *tape, mtl_tensor *const *losses,
                                       int32_t count)
{
    mtl_context *context = objective->context;
    if (tape->status != MTL_OK) {
        return mtli_fail_text(context, tape->status, tape->message);
    }
    if (count != objective->num_tasks) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "count = %d, the objective has %d tasks", count,
                         objective->num_tasks);
    }
    for (int32_t t = 0; t < count; t++) {
        if (!losses[t]) {
            continue;
        }
        mtl_status status = mtli_sweep_check_root(tape, losses[t], t);
        if (status != MTL_OK) {
            return status;
        }
        double value = loss_value(losses[t]);
        if (objective->check_finite && !isfinite(value)) {
            return mtli_fail(context, MTL_ERROR_NUMERIC, "the loss of task %d ('%s') is %g", t,
                             objective->tasks[t].name, value);
        }
    }
    return MTL_OK;
}

static mtl_status check_gradients_of_model(const mtl_objective *objective, const mtl_gradients *gradients)
{
    const mtl_model *model = objective->model;
    bool same = gradients->num_blocks == model->num_entries;
    for (int32_t i = 0; i < model->num_entries && same; i++) {
        same = gradients->blocks[i].parameters == model->entries[i].parameters;
    }
    return same ? MTL_OK
                : mtli_fail(objective->context, MTL_ERROR_ARGUMENT, "gradients are not of the objective's model");
}

void mtli_objective_note_losses(mtl_objective *objective, mtl_tensor *const *losses)
{
    objective->value = 0;
    for (int32_t t = 0; t < objective->num_tasks; t++) {
        mtli_task *task = &objective->tasks[t];
        task->loss = losses[t] && !losses[t]->absent ? loss_value(losses[t]) : (double)NAN;
        objective->value += losses[t] ? task->weight * loss_value(losses[t]) : 0;
    }
}

/* After the sweep: the rows that it touched are noted before a penalty adds its own. */
mtl_status mtli_objective_add_penalties(mtl_objective *objective, mtl_gradients *gradients, double *value)
{
    for (int32_t i = 0; i < objective->num_penalties; i++) {
        mtli_penalty_note_rows(objective->penalties[i], gradients);
    }
    mtl_status status = MTL_OK;
    for (int32_t i = 0; i < objective->num_penalties && status == MTL_OK; i++) {
        status = mtli_penalty_add_gradient(objective->penalties[i], gradients, value);
    }
    if (status != MTL_OK) {
        mtl_gradients_clear(gradients); /* half a gradient must not look like one */
    }
    return status;
}

static mtl_status sweep_weighted(mtl_objective *objective, mtl_tape *tape, mtl_tensor *const *losses, int32_t count,
                                 mtl_gradients *gradients)
{
    for (int32_t t = 0; t < count; t++) {
        objective->seeds[t] = objective->tasks[t].weight;
    }
    return mtli_sweep_run(tape, losses, objective->seeds, count, gradients);
}

mtl_status mtli_objective_differentiate(mtl_objective *objective, mtl_tape *tape, mtl_tensor *const *losses,
                                        int32_t count, mtl_gradients *gradients)
{
    mtl_status status = mtli_objective_check_losses(objective, tape, losses, count);
    if (status == MTL_OK) {
        status = check_gradients_of_model(objective, gradients);
    }
    if (status != MTL_OK) {
        return status;
    }
    const char *function = objective->context->function;
    if (objective->balancer) {
        bool before = objective->balancing; /* inside a step it stays */
        objective->balancing = true;
        status = mtli_balanced_backward(objective, tape, losses, gradients);
        objective->balancing = before;
    } else {
        status = sweep_weighted(objective, tape, losses, count, gradients);
    }
    double penalties = 0;
    if (status == MTL_OK) {
        mtli_enter_function(objective->context, function); /* operations have entered under their own names */
        status = mtli_objective_add_penalties(objective, gradients, &penalties);
    }
    if (status == MTL_OK) {
        mtli_objective_note_losses(objective, losses);
        objective->value += penalties;
    }
    return status;
}

mtl_status mtl_objective_backward(mtl_objective *objective, mtl_tape *tape, mtl_tensor *const *losses, int32_t count,
                                  mtl_gradients *gradients)
{
    if (!objective) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = objective->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, tape);
    MTLI_REQUIRE(context, gradients);
    if (count > 0) {
        MTLI_REQUIRE(context, losses);
    }
    if (tape->context != context || gradients->context != context) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "%s another context",
                         tape->context != context ? "tape belongs to" : "gradients belong to");
    }
    mtl_status status = mtli_objective_check_idle(objective);
    if (status == MTL_OK && objective->balancer && mtli_balanced_needs_step(objective->balancer)) {
        status =
            mtli_fail(context, MTL_ERROR_UNSUPPORTED, "the balancer's method '%s' works in mtl_objective_step() only",
                      objective->balancer->rule->name);
    }
    if (status != MTL_OK) {
        return status;
    }
    return mtli_objective_differentiate(objective, tape, losses, count, gradients);
}

static mtl_status prepare_step(mtl_objective *objective)
{
    mtl_status status = MTL_OK;
    if (!objective->tape) {
        status = mtl_tape_create(objective->context, NULL, &objective->tape);
    }
    if (status == MTL_OK && !objective->gradients) {
        status = mtl_gradients_create(objective->model, &objective->gradients);
    }
    return status;
}

mtl_status mtli_objective_evaluate(mtl_objective *objective, mtl_evaluate_fn evaluate, void *user, int32_t draw)
{
    mtl_context *context = objective->context;
    mtl_tape_reset(objective->tape, MTL_TAPE_TRAIN);
    for (int32_t t = 0; t < objective->num_tasks; t++) {
        objective->losses[t] = NULL;
    }
    objective->stepping = true;
    mtl_status status = evaluate(user, objective->tape, draw, objective->losses);
    objective->stepping = false;
    if (status != MTL_OK) {
        return mtli_fail_callback(context, "mtl_objective_step", status, "evaluate");
    }
    mtli_enter_function(context, "mtl_objective_step");
    return MTL_OK;
}

mtl_status mtl_objective_step(mtl_objective *objective, mtl_optimizer *optimizer, mtl_evaluate_fn evaluate, void *user)
{
    if (!objective) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = objective->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, optimizer);
    MTLI_REQUIRE(context, evaluate);
    mtl_status status = mtli_objective_check_idle(objective);
    if (status == MTL_OK) {
        status = prepare_step(objective);
    }
    if (status != MTL_OK) {
        return status;
    }
    if (objective->balancer && mtli_balanced_needs_step(objective->balancer)) {
        objective->balancing = true;
        status = mtli_balanced_step(objective, optimizer, evaluate, user);
        objective->balancing = false;
        return status;
    }
    status = mtli_objective_evaluate(objective, evaluate, user, 0);
    if (status == MTL_OK) {
        status = mtli_objective_differentiate(objective, objective->tape, objective->losses, objective->num_tasks,
                                              objective->gradients);
    }
    return status == MTL_OK ? mtl_optimizer_step(optimizer, objective->gradients) : status;
}
