/* SPDX-License-Identifier: Apache-2.0
 * The objective: a weighted sum over tasks, evaluated and differentiated. */
#include "multitask/objective.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "multitask/balanced.h"
#include "sharing/penalty.h"

enum { MAX_TASKS = 65536 };

mtl_status mtl_objective_create(mtl_model *model, const mtl_objective_options *options, mtl_objective **out)
{
    if (!model) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = model->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, out);
    mtl_objective_options known = MTL_OBJECTIVE_OPTIONS_INIT;
    mtl_status status = mtli_import_options(context, "options", &known, sizeof known, sizeof known, options);
    if (status == MTL_OK) {
        status = mtli_check_reserved(context, known.reserved0);
    }
    if (status != MTL_OK) {
        return status;
    }
    mtl_objective *objective = mtli_allocate_zeroed(context, sizeof *objective);
    if (!objective) {
        return context->status;
    }
    objective->context = mtl_context_retain(context);
    objective->model = mtli_model_retain(model);
    objective->check_finite = known.check_finite != 0;
    objective->value = (double)NAN;
    *out = objective;
    return MTL_OK;
}

static void forget_task_gradients(mtl_objective *objective)
{
    mtli_task_gradients_destroy(objective->room);
    objective->room = NULL;
}

static void detach_balancer(mtl_objective *objective)
{
    if (objective->balancer) {
        objective->balancer->attached = false;
        objective->balancer->gradient_bytes = 0;
        mtl_balancer_destroy(objective->balancer);
        objective->balancer = NULL;
    }
}

void mtl_objective_destroy(mtl_objective *objective)
{
    if (!objective) {
        return;
    }
    mtl_context *context = objective->context;
    for (int32_t i = 0; i < objective->num_shared; i++) {
        mtl_encoder_release(objective->shared[i]);
    }
    for (int32_t i = 0; i < objective->num_penalties; i++) {
        mtli_penalty_detach(objective->penalties[i]);
    }
    detach_balancer(objective);
    forget_task_gradients(objective);
    mtl_gradients_destroy(objective->gradients);
    mtl_tape_destroy(objective->tape);
    mtli_release(context, objective->saved, objective->saved_capacity * sizeof objective->saved[0]);
    mtli_release(context, objective->penalties, objective->penalties_capacity * sizeof objective->penalties[0]);
    mtli_release(context, objective->shared, objective->shared_capacity * sizeof objective->shared[0]);
    mtli_release(context, objective->tasks, objective->tasks_capacity * sizeof objective->tasks[0]);
    mtli_release(context, objective->seeds, objective->seeds_capacity * sizeof objective->seeds[0]);
    mtli_release(context, objective->losses, objective->losses_capacity * sizeof objective->losses[0]);
    mtl_model_destroy(objective->model);
    mtli_release(context, objective, sizeof *objective);
    mtl_context_release(context);
}

mtl_status mtl_objective_share_encoder(mtl_objective *objective, mtl_encoder *encoder)
{
    if (!objective) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = objective->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, encoder);
    mtl_status status = mtli_objective_check_idle(objective);
    if (status != MTL_OK) {
        return status;
    }
    if (!mtli_model_has_encoder(objective->model, encoder)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "encoder is not one of the model");
    }
    for (int32_t i = 0; i < objective->num_shared; i++) {
        if (objective->shared[i] == encoder) {
            return mtli_fail(context, MTL_ERROR_ARGUMENT, "encoder is declared as shared already");
        }
    }
    void *shared = objective->shared;
    status = mtli_reserve(context, &shared, &objective->shared_capacity, (size_t)objective->num_shared + 1,
                          sizeof objective->shared[0]);
    objective->shared = shared;
    if (status == MTL_OK) {
        objective->shared[objective->num_shared++] = mtl_encoder_retain(encoder);
        forget_task_gradients(objective); /* they are over what is shared */
    }
    return status;
}

mtl_status mtli_objective_check_idle(const mtl_objective *objective)
{
    if (objective->stepping) {
        return mtli_fail(objective->context, MTL_ERROR_STATE, "mtl_objective_step() of this objective is running");
    }
    return objective->balancing
               ? mtli_fail(objective->context, MTL_ERROR_STATE, "the balancer of this objective is at work")
               : MTL_OK;
}

static mtl_status check_penalty(const mtl_objective *objective, const mtl_penalty *penalty)
{
    mtl_context *context = objective->context;
    if (penalty->context != context) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "penalty belongs to another context");
    }
    mtl_status status = mtli_penalty_check_free(penalty);
    if (status == MTL_OK && penalty->parts[0]) {
        status = mtli_fail(context, MTL_ERROR_UNSUPPORTED, "penalty is split: it has a proximal step only");
    }
    if (status == MTL_OK && !mtli_penalty_is_over(penalty, objective->model)) {
        status =
            mtli_fail(context, MTL_ERROR_ARGUMENT, "penalty is over networks that are not in the objective's model");
    }
    return status;
}

mtl_status mtl_objective_add_penalty(mtl_objective *objective, mtl_penalty *penalty)
{
    if (!objective) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = objective->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, penalty);
    mtl_status status = mtli_objective_check_idle(objective);
    if (status == MTL_OK) {
        status = check_penalty(objective, penalty);
    }
    if (status != MTL_OK) {
        return status;
    }
    void *penalties = objective->penalties;
    status = mtli_reserve(context, &penalties, &objective->penalties_capacity, (size_t)objective->num_penalties + 1,
                          sizeof objective->penalties[0]);
    objective->penalties = penalties;
    if (status == MTL_OK) {
        mtli_penalty_attach(penalty);
        objective->penalties[objective->num_penalties++] = penalty;
    }
    return status;
}

static mtl_status check_balancer(const mtl_objective *objective, const mtl_balancer *balancer)
{
    mtl_context *context = objective->context;
    if (balancer && balancer->context != context) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "balancer belongs to another context");
    }
    if (balancer && balancer != objective->balancer && balancer->attached) {
        return mtli_fail(context, MTL_ERROR_STATE, "balancer is that of another objective");
    }
    return mtli_objective_check_idle(objective);
}

mtl_status mtl_objective_set_balancer(mtl_objective *objective, mtl_balancer *balancer)
{
    if (!objective) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(objective->context);
    mtl_status status = check_balancer(objective, balancer);
    if (status != MTL_OK || balancer == objective->balancer) {
        return status;
    }
    detach_balancer(objective);
    forget_task_gradients(objective); /* another method may want other sets */
    if (balancer) {
        objective->balancer = mtli_balancer_retain(balancer);
        balancer->attached = true;
    }
    return MTL_OK;
}

static mtl_status check_weight(mtl_context *context, double weight)
{
    if (!(weight >= 0) || !isfinite((mtli_real)weight)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "weight = %g is not a finite number >= 0", weight);
    }
    return MTL_OK;
}

static mtl_status check_task_name(const mtl_objective *objective, const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length >= MTLI_NAME_SIZE) {
        return mtli_fail(objective->context, MTL_ERROR_ARGUMENT, "name '%.80s' is not 1 to %d bytes long", name,
                         MTLI_NAME_SIZE - 1);
    }
    for (int32_t t = 0; t < objective->num_tasks; t++) {
        if (strcmp(objective->tasks[t].name, name) == 0) {
            return mtli_fail(objective->context, MTL_ERROR_ARGUMENT, "name '%s' is that of task %d already", name, t);
        }
    }
    return MTL_OK;
}

/* Everything that a step needs for one more task, so that steps allocate nothing. */
static mtl_status reserve_task(mtl_objective *objective)
{
    mtl_context *context = objective->context;
    size_t needed = (size_t)objective->num_tasks + 1;
    void *array = objective->tasks;
    mtl_status status = mtli_reserve(context, &array, &objective->tasks_capacity, needed, sizeof objective->tasks[0]);
    objective->tasks = array;
    if (status == MTL_OK) {
        array = objective->seeds;
        status = mtli_reserve(context, &array, &objective->seeds_capacity, needed, sizeof objective->seeds[0]);
        objective->seeds = array;
    }
    if (status == MTL_OK) {
        array = objective->losses;
        status = mtli_reserve(context, &array, &objective->losses_capacity, needed, sizeof objective->losses[0]);
        objective->losses = array;
    }
    return status;
}

mtl_status mtl_objective_add_task(mtl_objective *objective, const char *name, double weight)
{
    if (!objective) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = objective->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, name);
    mtl_status status = mtli_objective_check_idle(objective);
    if (status == MTL_OK) {
        status = check_task_name(objective, name);
    }
    if (status == MTL_OK) {
        status = check_weight(context, weight);
    }
    if (status == MTL_OK && objective->num_tasks == MAX_TASKS) {
        status = mtli_fail(context, MTL_ERROR_LIMIT, "task '%s' would be one more than %d", name, MAX_TASKS);
    }
    if (status == MTL_OK) {
        status = reserve_task(objective);
    }
    if (status != MTL_OK) {
        return status;
    }
    mtli_task *task = &objective->tasks[objective->num_tasks++];
    memset(task, 0, sizeof *task);
    memcpy(task->name, name, strlen(name) + 1);
    task->weight = weight;
    task->loss = (double)NAN;
    return MTL_OK;
}

int32_t mtl_objective_num_tasks(const mtl_objective *objective)
{
    return objective ? objective->num_tasks : 0;
}

static mtli_task *find_task(const mtl_objective *objective, int32_t task)
{
    return objective && task >= 0 && task < objective->num_tasks ? &objective->tasks[task] : NULL;
}

const char *mtl_objective_task_name(const mtl_objective *objective, int32_t task)
{
    const mtli_task *found = find_task(objective, task);
    return found ? found->name : NULL;
}

double mtl_objective_weight(const mtl_objective *objective, int32_t task)
{
    const mtli_task *found = find_task(objective, task);
    return found ? found->weight : 0;
}

mtl_status mtl_objective_set_weight(mtl_objective *objective, int32_t task, double weight)
{
    if (!objective) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = objective->context;
    mtli_enter(context);
    mtli_task *found = find_task(objective, task);
    if (!found) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "task = %d is not in [0, %d)", task, objective->num_tasks);
    }
    mtl_status status = check_weight(context, weight);
    if (status == MTL_OK) {
        found->weight = weight;
    }
    return status;
}

double mtl_objective_balance_weight(const mtl_objective *objective, int32_t task)
{
    if (!find_task(objective, task)) {
        return 0;
    }
    if (!objective->balancer) {
        return 1;
    }
    const mtli_task_gradients *room = objective->room;
    bool weighed = room && task < room->tasks && objective->balancer->rule->decide;
    return weighed && mtli_balancer_steps(objective->balancer) > 0 ? room->weights[task] : (double)NAN;
}

double mtl_objective_task_loss(const mtl_objective *objective, int32_t task)
{
    const mtli_task *found = find_task(objective, task);
    return found ? found->loss : (double)NAN;
}

double mtl_objective_value(const mtl_objective *objective)
{
    return objective ? objective->value : (double)NAN;
}
