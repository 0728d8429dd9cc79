/* SPDX-License-Identifier: Apache-2.0
 * Whether the recorded calls fall into an inside and an outside, and whether one sweep through the inside can serve all
 * tasks. */
#include "autograd/task_plan.h"

static bool is_block_shared(const mtli_task_pass *pass, const mtli_parameters *block)
{
    for (int32_t i = 0; i < pass->num_shared; i++) {
        if (pass->shared[i] == block) {
            return true;
        }
    }
    return false;
}

bool mtli_task_is_inside(const void *pass, const mtli_call *call)
{
    return call->module && is_block_shared(pass, call->module);
}

bool mtli_task_is_outside(const void *pass, const mtli_call *call)
{
    return !mtli_task_is_inside(pass, call);
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

mtl_status mtli_task_plan_make(const mtli_task_pass *pass, mtli_task_plan *plan)
{
    mtl_tape *tape = pass->tape;
    *plan = (mtli_task_plan){.rows = -1, .split = true, .separable = true};
    plan->inside = mtli_arena_take_array(&tape->sweep, (size_t)tape->num_results, sizeof plan->inside[0]);
    if (!plan->inside) {
        return tape->context->status;
    }
    for (const mtli_call *call = tape->last; call; call = call->previous) {
        plan->inside[call->output->index] = mtli_task_is_inside(pass, call);
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
