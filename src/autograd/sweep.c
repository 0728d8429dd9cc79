/* SPDX-License-Identifier: Apache-2.0
 * The backward sweep: visits the recorded calls from the last to the first and lets each add to its inputs' gradients. */
#include "autograd/sweep.h"

#include <string.h>

#include "autograd/task_gram.h"
#include "base/float_mode.h"

static mtli_real *take_gradient(mtli_sweep *sweep, mtli_real **slot, int64_t size, bool *fresh)
{
    if (*slot) {
        *fresh = false;
        return *slot;
    }
    *fresh = true;
    *slot = mtli_arena_take_array(&sweep->tape->sweep, (size_t)size, sizeof(mtli_real));
    if (!*slot) {
        sweep->status = sweep->tape->context->status;
    }
    return *slot;
}

static mtli_real *parameter_gradient(mtli_sweep *sweep, const mtl_tensor *parameter, bool *fresh)
{
    if (mtli_sweep_keeps(sweep)) {
        mtli_real *values = mtli_task_gram_gradient(sweep->gram, sweep->segment, parameter, fresh);
        sweep->status = values ? sweep->status : sweep->tape->context->status;
        return values;
    }
    mtli_gradient_entry *entry = sweep->target ? mtli_gradients_find(sweep->target, parameter) : NULL;
    if (!entry) {
        return NULL;
    }
    mtli_real *values = mtli_gradient_entry_dense(sweep->target, entry, fresh);
    if (!values) {
        sweep->status = sweep->target->context->status;
    }
    return values;
}

static mtli_real *watched_gradient(mtli_sweep *sweep, const mtl_tensor *tensor, bool *fresh)
{
    for (mtli_watched *watched = sweep->tape->watched; watched; watched = watched->next) {
        if (watched->tensor == tensor) {
            return take_gradient(sweep, &watched->gradient, tensor->size, fresh);
        }
    }
    return NULL;
}

mtli_real *mtli_gradient_fresh(const mtli_call *call, mtli_sweep *sweep, int32_t input, bool *fresh)
{
    const mtl_tensor *tensor = call->inputs[input];
    if (!tensor || sweep->status != MTL_OK) {
        return NULL;
    }
    if (sweep->weights && tensor->kind != MTLI_TENSOR_PARAMETER) {
        return NULL;
    }
    switch (tensor->kind) {
    case MTLI_TENSOR_PARAMETER:
        return parameter_gradient(sweep, tensor, fresh);
    case MTLI_TENSOR_HOST:
        return watched_gradient(sweep, tensor, fresh);
    case MTLI_TENSOR_TAPE:
        return tensor->needs_gradient
                   ? take_gradient(sweep, &sweep->tape->gradients[tensor->index], tensor->size, fresh)
                   : NULL;
    case MTLI_TENSOR_ERROR:
        break;
    }
    return NULL;
}

mtli_real *mtli_gradient(const mtli_call *call, mtli_sweep *sweep, int32_t input)
{
    bool fresh = false;
    mtli_real *values = mtli_gradient_fresh(call, sweep, input, &fresh);
    if (values && fresh) {
        memset(values, 0, (size_t)call->inputs[input]->size * sizeof values[0]);
    }
    return values;
}

mtl_status mtli_gradient_rows(const mtli_call *call, mtli_sweep *sweep, int32_t input, const int32_t *ids, int64_t n,
                              const mtli_real *dy)
{
    const mtl_tensor *table = call->inputs[input];
    if (sweep->gram && table->kind == MTLI_TENSOR_PARAMETER) {
        return sweep->weights ? MTL_OK /* the first sweep's rows are there */
                              : mtli_task_gram_add_rows(sweep->gram, sweep->segment, table, ids, n, dy);
    }
    if (table->kind == MTLI_TENSOR_PARAMETER && sweep->target) {
        mtli_gradient_entry *entry = mtli_gradients_find(sweep->target, table);
        if (!entry || entry->table_rows > 0) {
            return entry ? mtli_gradient_entry_add_rows(sweep->target, entry, ids, n, dy) : MTL_OK;
        }
    }
    mtli_real *values = mtli_gradient(call, sweep, input);
    if (!values) {
        return sweep->status;
    }
    int64_t width = mtli_features(table);
    for (int64_t i = 0; i < n; i++) {
        mtli_real *row = values + ids[i] * width;
        for (int64_t j = 0; j < width; j++) {
            row[j] += dy[i * width + j];
        }
    }
    return MTL_OK;
}

const mtli_real *mtli_output_gradient(const mtli_call *call, mtli_sweep *sweep)
{
    return sweep->tape->gradients[call->output->index];
}

mtl_status mtli_sweep_check_root(const mtl_tape *tape, const mtl_tensor *root, int32_t index)
{
    mtl_context *context = tape->context;
    if (!mtli_tape_owns(tape, root)) {
        return mtli_fail(context, MTL_ERROR_STATE, "loss %d is not a result of this tape since its reset", index);
    }
    if (root->size != 1 || root->shape.dtype != MTLI_DTYPE_REAL) {
        char text[MTLI_SHAPE_TEXT];
        return mtli_fail(context, MTL_ERROR_SHAPE, "loss %d has shape %s, not one element", index,
                         mtli_shape_text(&root->shape, text));
    }
    return MTL_OK;
}

mtl_status mtli_sweep_check_roots(const mtl_tape *tape, mtl_tensor *const *roots, int32_t count)
{
    if (tape->status != MTL_OK) {
        return mtli_fail_text(tape->context, tape->status, tape->message);
    }
    if (tape->mode != MTL_TAPE_TRAIN) {
        return mtli_fail(tape->context, MTL_ERROR_STATE, "the tape is in mode MTL_TAPE_INFER");
    }
    mtl_status status = MTL_OK;
    for (int32_t i = 0; i < count && status == MTL_OK; i++) {
        status = roots[i] ? mtli_sweep_check_root(tape, roots[i], i) : MTL_OK;
    }
    return status;
}

mtl_status mtli_sweep_seed(mtli_sweep *sweep, mtl_tensor *const *roots, const double *seeds, int32_t count)
{
    mtl_tape *tape = sweep->tape;
    for (int32_t i = 0; i < count; i++) {
        if (!roots[i] || seeds[i] == 0 || !roots[i]->needs_gradient) {
            continue; /* absent, without weight, or a constant */
        }
        bool fresh;
        mtli_real *gradient = take_gradient(sweep, &tape->gradients[roots[i]->index], 1, &fresh);
        if (!gradient) {
            return sweep->status;
        }
        *gradient = (fresh ? 0 : *gradient) + (mtli_real)seeds[i];
    }
    return MTL_OK;
}

static mtl_status visit(mtli_sweep *sweep, const mtli_call *call)
{
    mtl_tape *tape = sweep->tape;
    if (!tape->gradients[call->output->index]) {
        return MTL_OK; /* no root depends on it */
    }
    mtli_enter_function(tape->context, call->op->name);
    tape->busy++;
    mtl_status status = call->op->backward(call, sweep);
    tape->busy--;
    mtli_arena_reset(&tape->scratch);
    if (tape->status != MTL_OK) {
        return mtli_fail_text(tape->context, tape->status, tape->message); /* a function of the host misused the tape */
    }
    return status != MTL_OK ? status : sweep->status;
}

void mtli_sweep_forget(mtl_tape *tape)
{
    tape->num_gradients = 0;
    for (mtli_watched *watched = tape->watched; watched; watched = watched->next) {
        watched->gradient = NULL;
    }
}

mtl_status mtli_sweep_prepare(mtl_tape *tape)
{
    mtli_arena_reset(&tape->sweep);
    mtli_sweep_forget(tape);
    size_t bytes = (size_t)tape->num_results * sizeof tape->gradients[0];
    tape->gradients = mtli_arena_take(&tape->sweep, bytes);
    if (!tape->gradients) {
        return tape->context->status;
    }
    memset(tape->gradients, 0, bytes);
    tape->num_gradients = tape->num_results;
    return MTL_OK;
}

mtl_status mtli_sweep_calls(mtli_sweep *sweep, mtli_call_filter filter, const void *argument)
{
    mtl_status status = MTL_OK;
    mtli_float_mode mode = mtli_float_mode_enter();
    for (const mtli_call *call = sweep->tape->last; call && status == MTL_OK; call = call->previous) {
        if (!filter || filter(argument, call)) {
            status = visit(sweep, call);
        }
        if (status == MTL_OK && mtli_sweep_keeps(sweep)) {
            status = mtli_task_gram_complete(sweep->gram, call);
        }
    }
    mtli_float_mode_leave(mode);
    return status;
}

mtl_status mtli_sweep_run(mtl_tape *tape, mtl_tensor *const *roots, const double *seeds, int32_t count,
                          mtl_gradients *target)
{
    mtl_status status = mtli_sweep_check_roots(tape, roots, count);
    if (status != MTL_OK) {
        return status;
    }
    if (target) {
        mtl_gradients_clear(target);
    }
    mtli_sweep sweep = {.tape = tape, .target = target};
    status = mtli_sweep_prepare(tape);
    if (status == MTL_OK) {
        status = mtli_sweep_seed(&sweep, roots, seeds, count);
    }
    if (status == MTL_OK) {
        status = mtli_sweep_calls(&sweep, NULL, NULL);
    }
    if (status != MTL_OK) {
        mtli_sweep_forget(tape);
        mtl_gradients_clear(target);
    }
    return status;
}

mtl_status mtl_tape_backward(mtl_tape *tape, mtl_tensor *loss, double seed, mtl_gradients *gradients)
{
    if (!tape) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(tape->context);
    MTLI_REQUIRE(tape->context, loss);
    MTLI_REQUIRE(tape->context, gradients);
    return mtli_sweep_run(tape, &loss, &seed, 1, gradients);
}
