/* SPDX-License-Identifier: Apache-2.0
 * The objective: a weighted sum over tasks, evaluated and differentiated. */
#include "multitask/objective.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "autograd/tape.h"
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
    mtl_gradients_destroy(objective->gradients);
    mtl_tape_destroy(objective->tape);
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
    if (!mtli_model_has_encoder(objective->model, encoder)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "encoder is not one of the model");
    }
    for (int32_t i = 0; i < objective->num_shared; i++) {
        if (objective->shared[i] == encoder) {
            return mtli_fail(context, MTL_ERROR_ARGUMENT, "encoder is declared as shared already");
        }
    }
    void *shared = objective->shared;
    mtl_status status = mtli_reserve(context, &shared, &objective->shared_capacity, (size_t)objective->num_shared + 1,
                                     sizeof objective->shared[0]);
    objective->shared = shared;
    if (status == MTL_OK) {
        objective->shared[objective->num_shared++] = mtl_encoder_retain(encoder);
    }
    return status;
}

static mtl_status check_not_stepping(const mtl_objective *objective)
{
    return objective->stepping
               ? mtli_fail(objective->context, MTL_ERROR_STATE, "mtl_objective_step() of this objective is running")
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
    mtl_status status = check_not_stepping(objective);
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
    mtl_status status = check_not_stepping(objective);
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

double mtl_objective_task_loss(const mtl_objective *objective, int32_t task)
{
    const mtli_task *found = find_task(objective, task);
    return found ? found->loss : (double)NAN;
}

double mtl_objective_value(const mtl_objective *objective)
{
    return objective ? objective->value : (double)NAN;
}

static double loss_value(const mtl_tensor *loss)
{
    return (double)*(const mtli_real *)loss->data;
}

static mtl_status check_losses(mtl_objective *objective, const mtl_tape *tape, mtl_tensor *const *losses, int32_t count)
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

static void note_losses(mtl_objective *objective, mtl_tensor *const *losses)
{
    objective->value = 0;
    for (int32_t t = 0; t < objective->num_tasks; t++) {
        mtli_task *task = &objective->tasks[t];
        task->loss = losses[t] && !losses[t]->absent ? loss_value(losses[t]) : (double)NAN;
        objective->value += losses[t] ? task->weight * loss_value(losses[t]) : 0;
    }
}

/* After the sweep: the rows that it touched are noted before a penalty adds its own. */
static mtl_status add_penalties(mtl_objective *objective, mtl_gradients *gradients, double *value)
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

static mtl_status differentiate(mtl_objective *objective, mtl_tape *tape, mtl_tensor *const *losses, int32_t count,
                                mtl_gradients *gradients)
{
    mtl_status status = check_losses(objective, tape, losses, count);
    if (status == MTL_OK) {
        status = check_gradients_of_model(objective, gradients);
    }
    if (status != MTL_OK) {
        return status;
    }
    for (int32_t t = 0; t < count; t++) {
        objective->seeds[t] = objective->tasks[t].weight;
    }
    const char *function = objective->context->function;
    status = mtli_sweep_run(tape, losses, objective->seeds, count, gradients);
    double penalties = 0;
    if (status == MTL_OK) {
        mtli_enter_function(objective->context, function); /* operations have entered under their own names */
        status = add_penalties(objective, gradients, &penalties);
    }
    if (status == MTL_OK) {
        note_losses(objective, losses);
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
    return differentiate(objective, tape, losses, count, gradients);
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

static mtl_status call_evaluate(mtl_objective *objective, mtl_evaluate_fn evaluate, void *user)
{
    mtl_context *context = objective->context;
    mtl_tape_reset(objective->tape, MTL_TAPE_TRAIN);
    for (int32_t t = 0; t < objective->num_tasks; t++) {
        objective->losses[t] = NULL;
    }
    objective->stepping = true;
    mtl_status status = evaluate(user, objective->tape, 0, objective->losses);
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
    mtl_status status = check_not_stepping(objective);
    if (status == MTL_OK) {
        status = prepare_step(objective);
    }
    if (status != MTL_OK) {
        return status;
    }
    status = call_evaluate(objective, evaluate, user);
    if (status == MTL_OK) {
        status =
            differentiate(objective, objective->tape, objective->losses, objective->num_tasks, objective->gradients);
    }
    return status == MTL_OK ? mtl_optimizer_step(optimizer, objective->gradients) : status;
}
