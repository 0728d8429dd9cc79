/* SPDX-License-Identifier: Apache-2.0
 * Operations that the host supplies as functions, behind an opaque call handle that allows in each step only what makes
 * sense there. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <mtl/custom.h>

#include "autograd/tape.h"

typedef enum custom_step { CUSTOM_SHAPE, CUSTOM_FORWARD, CUSTOM_BACKWARD } custom_step;

static const char *const step_names[] = {"shape", "forward", "backward"};

/* Lives on the stack of the step that it is made for. */
struct mtl_op_call {
    const mtli_call *call;
    custom_step step;
    mtli_shape *shape; /* CUSTOM_SHAPE */
    bool shape_is_set;
    mtli_sweep *sweep; /* CUSTOM_BACKWARD */
};

/* The copied options are the call's attributes. */
static const mtl_custom_op_options *options_of(const mtli_call *call)
{
    return call->attributes;
}

static mtl_status fail_step(const mtli_call *call, custom_step step, mtl_status status)
{
    char what[MTLI_MESSAGE_SIZE];
    snprintf(what, sizeof what, "operation \"%s\": %s", options_of(call)->name, step_names[step]);
    return mtli_fail_callback(call->tape->context, call->op->name, status, what);
}

static mtl_status run_step(mtl_op_call *handle, mtl_op_fn function)
{
    mtl_status status = function(options_of(handle->call)->user, handle);
    return status == MTL_OK ? MTL_OK : fail_step(handle->call, handle->step, status);
}

static mtl_status custom_infer(const mtli_call *call, mtli_shape *shape)
{
    const mtl_custom_op_options *options = options_of(call);
    if (!options->shape) {
        *shape = call->inputs[0]->shape;
        shape->dtype = MTLI_DTYPE_REAL;
        return MTL_OK;
    }
    mtl_op_call handle = {.call = call, .step = CUSTOM_SHAPE, .shape = shape};
    mtl_status status = run_step(&handle, options->shape);
    if (status == MTL_OK && !handle.shape_is_set) {
        mtli_enter_function(call->tape->context, call->op->name);
        return mtli_fail(call->tape->context, MTL_ERROR_STATE,
                         "operation \"%s\": shape returned without a successful mtl_op_call_set_shape()",
                         options->name);
    }
    return status;
}

static mtl_status custom_op_forward(mtli_call *call)
{
    mtl_op_call handle = {.call = call, .step = CUSTOM_FORWARD};
    memset(call->output->data, 0,
           (size_t)call->output->size * sizeof(mtli_real)); /* what the host does not write is 0 */
    return run_step(&handle, options_of(call)->forward);
}

static mtl_status custom_backward(const mtli_call *call, mtli_sweep *sweep)
{
    const mtl_custom_op_options *options = options_of(call);
    if (!options->backward) {
        return mtli_fail(call->tape->context, MTL_ERROR_UNSUPPORTED, "operation \"%s\" has no backward function",
                         options->name);
    }
    mtl_op_call handle = {.call = call, .step = CUSTOM_BACKWARD, .sweep = sweep};
    return run_step(&handle, options->backward);
}

static const char *const custom_inputs[] = {"inputs", NULL};

const mtli_op mtli_op_custom = {
    .name = "mtl_custom_op",
    .input_names = custom_inputs,
    .infer = custom_infer,
    .forward = custom_op_forward,
    .backward = custom_backward,
};

/* The same, for hosts that promise row_separable. */
const mtli_op mtli_op_custom_row_separable = {
    .name = "mtl_custom_op",
    .input_names = custom_inputs,
    .weight_inputs = ~(uint64_t)1,
    .flags = MTLI_OP_ROW_SEPARABLE,
    .infer = custom_infer,
    .forward = custom_op_forward,
    .backward = custom_backward,
};

/* ---- the public functions ---- */

static mtl_status check_arguments_of_custom(mtl_tape *tape, const mtl_custom_op_options *options,
                                            mtl_tensor *const *inputs, int32_t count, mtl_custom_op_options *known)
{
    mtl_context *context = tape->context;
    MTLI_REQUIRE(context, options);
    mtl_status status = mtli_import_options(context, "options", known, sizeof *known, sizeof *known, options);
    if (status != MTL_OK) {
        return status;
    }
    if (!known->forward) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->forward is NULL");
    }
    if (known->reserved0 != 0) {
        return mtli_fail(context, MTL_ERROR_UNSUPPORTED, "options->reserved0 = %" PRId32 " is not 0", known->reserved0);
    }
    if (count < 1 || count > MTLI_MAX_INPUTS) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "count = %" PRId32 " is not in [1, %d]", count, MTLI_MAX_INPUTS);
    }
    MTLI_REQUIRE(context, inputs);
    return MTL_OK;
}

/* The name must outlive the caller's. */
static mtl_status copy_name(mtl_tape *tape, mtl_custom_op_options *known)
{
    if (!known->name) {
        known->name = "custom";
        return MTL_OK;
    }
    size_t size = strlen(known->name) + 1;
    char *name = mtli_arena_take(&tape->arena, size);
    if (!name) {
        return tape->context->status;
    }
    memcpy(name, known->name, size);
    known->name = name;
    return MTL_OK;
}

mtl_tensor *mtl_custom_op(mtl_tape *tape, const mtl_custom_op_options *options, mtl_tensor *const *inputs,
                          int32_t count)
{
    if (!tape || tape->status != MTL_OK) {
        return mtli_run(tape, &mtli_op_custom, NULL, 0, NULL, 0); /* an error tensor */
    }
    mtli_enter(tape->context);
    mtl_custom_op_options known = MTL_CUSTOM_OP_OPTIONS_INIT;
    mtl_status status = check_arguments_of_custom(tape, options, inputs, count, &known);
    if (status == MTL_OK) {
        status = copy_name(tape, &known);
    }
    if (status != MTL_OK) {
        return mtli_tape_fail(tape, status);
    }
    const mtli_op *op = known.row_separable ? &mtli_op_custom_row_separable : &mtli_op_custom;
    return mtli_run(tape, op, inputs, count, &known, sizeof known);
}

static bool has_input(const mtl_op_call *handle, int32_t index)
{
    return handle && index >= 0 && index < handle->call->num_inputs;
}

int32_t mtl_op_call_num_inputs(const mtl_op_call *call)
{
    return call ? call->call->num_inputs : 0;
}

const mtl_tensor *mtl_op_call_input(const mtl_op_call *call, int32_t index)
{
    return has_input(call, index) ? call->call->inputs[index] : NULL;
}

mtl_status mtl_op_call_set_shape(mtl_op_call *call, int32_t ndim, const int64_t *shape)
{
    if (!call) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = call->call->tape->context;
    mtli_enter(context);
    if (call->step != CUSTOM_SHAPE) {
        return mtli_fail(context, MTL_ERROR_STATE, "called in %s, not in shape", step_names[call->step]);
    }
    if (ndim < 0 || ndim > MTL_MAX_DIMS) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "ndim = %" PRId32 " is not in [0, %d]", ndim, MTL_MAX_DIMS);
    }
    if (ndim > 0) {
        MTLI_REQUIRE(context, shape);
    }
    mtli_shape wanted = mtli_make_shape(MTLI_DTYPE_REAL, ndim, shape);
    int64_t size;
    mtl_status status = mtli_shape_size(context, &wanted, &size);
    if (status == MTL_OK) {
        *call->shape = wanted;
        call->shape_is_set = true;
    }
    return status;
}

const void *mtl_op_call_input_data(const mtl_op_call *call, int32_t index)
{
    return has_input(call, index) && call->step != CUSTOM_SHAPE ? call->call->inputs[index]->data : NULL;
}

const mtl_tensor *mtl_op_call_output(const mtl_op_call *call)
{
    return call && call->step != CUSTOM_SHAPE ? call->call->output : NULL;
}

void *mtl_op_call_output_data(mtl_op_call *call)
{
    return call && call->step != CUSTOM_SHAPE ? call->call->output->data : NULL;
}

const void *mtl_op_call_output_gradient(const mtl_op_call *call)
{
    return call && call->step == CUSTOM_BACKWARD ? mtli_output_gradient(call->call, call->sweep) : NULL;
}

void *mtl_op_call_input_gradient(mtl_op_call *call, int32_t index)
{
    bool wanted = has_input(call, index) && call->step == CUSTOM_BACKWARD;
    return wanted ? mtli_gradient(call->call, call->sweep, index) : NULL;
}
