/* SPDX-License-Identifier: Apache-2.0
 * Task gradients. A call is *inside* when the forward pass of a shared encoder made it, else outside.
 *
 * First each task is swept through the calls outside, which is cheap: heads and losses. What arrives at the results of the
 * calls inside tells which rows the task depends on. When no row belongs to two tasks, the arrivals are put together and
 * swept through the inside once, where operations form the gradients of their weights per segment of rows. */
#include "autograd/task_sweep.h"

#include <string.h>

#include "autograd/sweep.h"

static bool is_block_shared(const mtli_task_pass *pass, const mtli_parameters *block)
{
    for (int32_t i = 0; i < pass->num_shared; i++) {
        if (pass->shared[i] == block) {
            return true;
        }
    }
    return false;
}

static bool is_inside(const void *argument, const mtli_call *call)
{
    return call->module && is_block_shared(argument, call->module);
}

static bool is_outside(const void *argument, const mtli_call *call)
{
    return !is_inside(argument, call);
}

/* ---- can the inside be swept once, the outside by itself? ---- */

/* The rows of a result for which an operation can be row-separable; -1: none. */
static int64_t batch_rows(const mtl_tensor *tensor)
{
    const mtli_shape *shape = &tensor->shape;
    if (shape->ragged) {
        return shape->ragged->rows;
    }
    return shape->ndim >= 2 ? shape->dims[0] : -1;
}

/* `inside` holds a flag for each result. */
static bool is_input_separable(const mtli_call *call, int32_t index, const bool *inside, int64_t rows)
{
    const mtl_tensor *input = call->inputs[index];
    if (!input || !mtli_call_needs(call, index)) {
        return true;
    }
    if (input->kind != MTLI_TENSOR_TAPE) {
        return input->kind == MTLI_TENSOR_PARAMETER && (call->op->flags & MTLI_OP_SEGMENTS) != 0 &&
               (call->op->weight_inputs >> index & 1) != 0;
    }
    return inside[input->index] && batch_rows(input) == rows && (call->op->weight_inputs >> index & 1) == 0;
}

static bool is_call_separable(const mtli_call *call, const bool *inside, int64_t rows)
{
    bool separable = (call->op->flags & MTLI_OP_ROW_SEPARABLE) != 0 && batch_rows(call->output) == rows;
    for (int32_t i = 0; i < call->num_inputs && separable; i++) {
        separable = i < MTLI_MAX_INPUTS && is_input_separable(call, i, inside, rows);
    }
    return separable;
}

/* A call outside may read results from inside, but neither parameters that are shared nor, in its turn, be read inside
 * (is_input_separable() sees to the latter). */
static bool uses_shared(const mtli_task_pass *pass, const mtli_call *call)
{
    for (int32_t i = 0; i < call->num_inputs; i++) {
        const mtl_tensor *input = call->inputs[i];
        if (input && input->kind == MTLI_TENSOR_PARAMETER && is_block_shared(pass, input->parameters)) {
            return true;
        }
    }
    return false;
}

typedef struct task_plan {
    bool *inside;   /* [results] */
    int64_t rows;   /* of the batch; -1: no call is inside */
    bool split;     /* outside and inside meet at results of the inside only */
    bool separable; /* the inside is row-separable */
} task_plan;

/* Results from outside, or parameters that are not shared. */
static bool reads_outside(const mtli_task_pass *pass, const mtli_call *call, const bool *inside)
{
    for (int32_t i = 0; i < call->num_inputs; i++) {
        const mtl_tensor *input = call->inputs[i];
        if (!input) {
            continue;
        }
        if (input->kind == MTLI_TENSOR_PARAMETER && !is_block_shared(pass, input->parameters)) {
            return true;
        }
        if (input->kind == MTLI_TENSOR_TAPE && input->needs_gradient && !inside[input->index]) {
            return true;
        }
    }
    return false;
}

static mtl_status make_plan(const mtli_task_pass *pass, task_plan *plan)
{
    mtl_tape *tape = pass->tape;
    *plan = (task_plan){.rows = -1, .split = true, .separable = true};
    plan->inside = mtli_arena_take_array(&tape->sweep, (size_t)tape->num_results, sizeof plan->inside[0]);
    if (!plan->inside) {
        return tape->context->status;
    }
    for (const mtli_call *call = tape->last; call; call = call->previous) {
        plan->inside[call->output->index] = is_inside(pass, call);
        if (plan->rows < 0 && plan->inside[call->output->index]) {
            plan->rows = batch_rows(call->output);
        }
    }
    for (const mtli_call *call = tape->last; call && plan->split; call = call->previous) {
        if (!plan->inside[call->output->index]) {
            plan->split = !uses_shared(pass, call);
            continue;
        }
        plan->split = !reads_outside(pass, call, plan->inside);
        plan->separable = plan->separable && is_call_separable(call, plan->inside, plan->rows);
    }
    plan->separable = plan->separable && plan->split && plan->rows >= 0 && plan->rows <= INT32_MAX;
    return MTL_OK;
}

/* ---- one sweep ---- */

enum { NOBODY = -1 };

typedef struct task_arrivals {
    mtli_real **gradients; /* at the results of the calls inside, all tasks together */
    int32_t *owner;        /* [rows] the task */
    bool disjoint;
} task_arrivals;

static bool is_zero(const mtli_real *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (values[i] != 0) {
            return false;
        }
    }
    return true;
}

static void claim_row(task_arrivals *arrivals, int64_t row, int32_t task)
{
    if (arrivals->owner[row] != NOBODY && arrivals->owner[row] != task) {
        arrivals->disjoint = false;
    }
    arrivals->owner[row] = task;
}

/* The rows with a gradient become the task's. */
static void claim_rows(task_arrivals *arrivals, const mtl_tensor *result, const mtli_real *gradient, int64_t rows,
                       int32_t task)
{
    const mtli_ragged *ragged = result->shape.ragged;
    int64_t leading = ragged ? ragged->offsets[rows] : rows;
    int64_t width = leading > 0 ? result->size / leading : 0;
    for (int64_t row = 0; row < rows && arrivals->disjoint; row++) {
        int64_t begin = ragged ? ragged->offsets[row] : row;
        int64_t end = ragged ? ragged->offsets[row + 1] : row + 1;
        if (!is_zero(gradient + begin * width, (end - begin) * width)) {
            claim_row(arrivals, row, task);
        }
    }
}

static void collect_arrivals(const mtl_tape *tape, const task_plan *plan, int32_t task, task_arrivals *arrivals)
{
    for (const mtli_call *call = tape->last; call && arrivals->disjoint; call = call->previous) {
        int32_t index = call->output->index;
        mtli_real *gradient = tape->gradients[index];
        if (!plan->inside[index] || !gradient) {
            continue;
        }
        claim_rows(arrivals, call->output, gradient, plan->rows, task);
        mtli_real *sum = arrivals->gradients[index];
        if (!sum) {
            arrivals->gradients[index] = gradient;
            continue;
        }
        for (int64_t i = 0; i < call->output->size; i++) {
            sum[i] += gradient[i];
        }
    }
}

static void clear_slots(mtl_tape *tape)
{
    memset(tape->gradients, 0, (size_t)tape->num_results * sizeof tape->gradients[0]);
    for (mtli_watched *watched = tape->watched; watched; watched = watched->next) {
        watched->gradient = NULL;
    }
}

/* Each task through the outside. */
static mtl_status find_arrivals(const mtli_task_pass *pass, const task_plan *plan, task_arrivals *arrivals)
{
    mtl_tape *tape = pass->tape;
    size_t slots = (size_t)tape->num_results * sizeof arrivals->gradients[0];
    arrivals->disjoint = true;
    arrivals->gradients = mtli_arena_take(&tape->sweep, slots);
    arrivals->owner = mtli_arena_take_array(&tape->sweep, (size_t)plan->rows, sizeof arrivals->owner[0]);
    if (!arrivals->gradients || !arrivals->owner) {
        return tape->context->status;
    }
    memset(arrivals->gradients, 0, slots);
    for (int64_t row = 0; row < plan->rows; row++) {
        arrivals->owner[row] = NOBODY;
    }
    mtl_status status = MTL_OK;
    for (int32_t t = 0; t < pass->count && status == MTL_OK && arrivals->disjoint; t++) {
        mtli_sweep sweep = {.tape = tape};
        status = mtli_sweep_seed(&sweep, &pass->losses[t], &pass->seeds[t], 1);
        if (status == MTL_OK) {
            status = mtli_sweep_calls(&sweep, is_outside, pass);
        }
        if (status == MTL_OK) {
            collect_arrivals(tape, plan, t, arrivals);
        }
        clear_slots(tape);
    }
    return status;
}

static mtl_status sort_rows(const mtli_task_pass *pass, int64_t rows, const int32_t *owner, mtli_segments *segments)
{
    int32_t *order = mtli_arena_take_array(&pass->tape->sweep, (size_t)rows, sizeof order[0]);
    int64_t *offsets = mtli_arena_take_array(&pass->tape->sweep, (size_t)pass->count + 1, sizeof offsets[0]);
    if (!order || !offsets) {
        return pass->tape->context->status;
    }
    memset(offsets, 0, ((size_t)pass->count + 1) * sizeof offsets[0]);
    for (int64_t row = 0; row < rows; row++) {
        if (owner[row] != NOBODY) {
            offsets[owner[row] + 1]++;
        }
    }
    for (int32_t t = 0; t < pass->count; t++) {
        offsets[t + 1] += offsets[t];
    }
    for (int64_t row = 0; row < rows; row++) {
        if (owner[row] != NOBODY) {
            order[offsets[owner[row]]++] = (int32_t)row;
        }
    }
    for (int32_t t = pass->count; t > 0; t--) {
        offsets[t] = offsets[t - 1];
    }
    offsets[0] = 0;
    *segments = (mtli_segments){pass->count, pass->targets, order, offsets};
    return MTL_OK;
}

static mtl_status sweep_inside(const mtli_task_pass *pass, const task_plan *plan, const task_arrivals *arrivals)
{
    mtl_tape *tape = pass->tape;
    mtli_segments segments;
    mtl_status status = sort_rows(pass, plan->rows, arrivals->owner, &segments);
    if (status != MTL_OK) {
        return status;
    }
    memcpy(tape->gradients, arrivals->gradients, (size_t)tape->num_results * sizeof tape->gradients[0]);
    mtli_sweep sweep = {.tape = tape, .segments = &segments};
    return mtli_sweep_calls(&sweep, is_inside, pass);
}

/* ---- one sweep for each ---- */

static mtl_status sweep_each(const mtli_task_pass *pass)
{
    mtl_status status = MTL_OK;
    for (int32_t t = 0; t < pass->count && status == MTL_OK; t++) {
        status = mtli_sweep_run(pass->tape, &pass->losses[t], &pass->seeds[t], 1, pass->targets[t]);
    }
    return status;
}

static mtl_status sweep_once(mtli_task_pass *pass)
{
    mtl_tape *tape = pass->tape;
    task_plan plan;
    task_arrivals arrivals = {.disjoint = false};
    mtl_status status = mtli_sweep_prepare(tape);
    if (status == MTL_OK) {
        status = make_plan(pass, &plan);
    }
    if (status != MTL_OK) {
        return status;
    }
    pass->split = plan.split;
    if (plan.separable) {
        status = find_arrivals(pass, &plan, &arrivals);
    }
    if (status == MTL_OK && arrivals.disjoint) {
        pass->way = MTLI_TASKS_ONE_SWEEP;
        status = sweep_inside(pass, &plan, &arrivals);
    }
    return status;
}

mtl_status mtli_task_sweep(mtli_task_pass *pass)
{
    mtl_status status = mtli_sweep_check_roots(pass->tape, pass->losses, pass->count);
    if (status != MTL_OK) {
        return status;
    }
    for (int32_t t = 0; t < pass->count; t++) {
        mtl_gradients_clear(pass->targets[t]);
    }
    pass->way = MTLI_TASKS_SWEEP_EACH;
    status = sweep_once(pass);
    if (status == MTL_OK && pass->way == MTLI_TASKS_SWEEP_EACH) {
        status = sweep_each(pass);
    }
    mtli_sweep_forget(pass->tape);
    for (int32_t t = 0; t < pass->count && status != MTL_OK; t++) {
        mtl_gradients_clear(pass->targets[t]);
    }
    return status;
}

mtl_status mtli_task_sweep_rest(mtli_task_pass *pass, const double *weights, mtl_gradients *target)
{
    mtli_sweep sweep = {.tape = pass->tape, .target = target};
    mtl_status status = mtli_sweep_prepare(pass->tape);
    if (status == MTL_OK) {
        status = mtli_sweep_seed(&sweep, pass->losses, weights, pass->count);
    }
    if (status == MTL_OK) {
        status = mtli_sweep_calls(&sweep, is_outside, pass);
    }
    mtli_sweep_forget(pass->tape);
    return status;
}
