/* SPDX-License-Identifier: Apache-2.0
 * The tape: runs operations, records them, keeps the first error. */
#include "autograd/tape.h"

#include <stdio.h>
#include <string.h>

#include "base/float_mode.h"

/* What operations on a NULL tape return. Nothing ever writes to it. */
static const mtl_tensor no_tape = {.kind = MTLI_TENSOR_ERROR};

static mtl_tensor *error_without_tape(void)
{
    return (mtl_tensor *)(uintptr_t)&no_tape;
}

static void init_error_tensor(mtl_tape *tape)
{
    tape->error.context = tape->context;
    tape->error.kind = MTLI_TENSOR_ERROR;
    tape->error.shape.dtype = MTLI_DTYPE_REAL;
    tape->error.tape = tape;
}

/* The kernels of a level, or of the best below it that this build has. */
static const mtli_kernels *find_kernels(int32_t isa)
{
    int level = isa - MTL_ISA_BASELINE;
    const mtli_kernels *kernels = mtli_kernels_get(level);
    while (!kernels && level > MTLI_LEVEL_BASELINE) {
        kernels = mtli_kernels_get(--level);
    }
    return kernels;
}

mtl_status mtl_tape_create(mtl_context *context, const mtl_tape_options *options, mtl_tape **out)
{
    if (!context) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(context);
    MTLI_REQUIRE(context, out);
    mtl_tape_options known = MTL_TAPE_OPTIONS_INIT;
    mtl_status status = mtli_import_options(context, "options", &known, sizeof known, sizeof known, options);
    if (status != MTL_OK) {
        return status;
    }
    mtl_tape *tape = mtli_allocate_zeroed(context, sizeof *tape);
    if (!tape) {
        return context->status;
    }
    tape->context = mtl_context_retain(context);
    tape->kernels = find_kernels(context->isa);
    mtli_arena_init(&tape->arena, context);
    mtli_arena_init(&tape->sweep, context);
    mtli_arena_init(&tape->scratch, context);
    tape->arena.never_reuse = context->debug_handles != 0;
    tape->sweep.never_reuse = context->debug_handles != 0;
    init_error_tensor(tape);
    if (known.initial_bytes > SIZE_MAX / 2 ||
        (known.initial_bytes > 0 && !mtli_arena_take(&tape->arena, (size_t)known.initial_bytes))) {
        status = context->status != MTL_OK
                     ? context->status
                     : mtli_fail(context, MTL_ERROR_LIMIT, "initial_bytes does not fit in memory");
        mtl_tape_destroy(tape);
        return status;
    }
    mtli_arena_reset(&tape->arena);
    *out = tape;
    return MTL_OK;
}

static void release_kept(mtl_tape *tape)
{
    for (mtli_kept *kept = tape->kept; kept; kept = kept->next) {
        mtl_tensor_release(kept->tensor);
        mtli_parameters_release(kept->parameters);
    }
    tape->kept = NULL;
}

void mtl_tape_destroy(mtl_tape *tape)
{
    if (!tape) {
        return;
    }
    mtl_context *context = tape->context;
    release_kept(tape);
    mtli_arena_destroy(&tape->arena);
    mtli_arena_destroy(&tape->sweep);
    mtli_arena_destroy(&tape->scratch);
    mtli_release(context, tape, sizeof *tape);
    mtl_context_release(context);
}

void mtl_tape_reset(mtl_tape *tape, mtl_tape_mode mode)
{
    if (!tape) {
        return;
    }
    if (tape->busy > 0) {
        mtli_tape_complain(tape, __func__, MTL_ERROR_STATE, "an operation of the tape is running");
        return;
    }
    release_kept(tape);
    mtli_arena_reset(&tape->arena);
    mtli_arena_reset(&tape->sweep);
    tape->generation++;
    tape->mode = mode;
    tape->status = MTL_OK;
    tape->message[0] = '\0';
    tape->last = NULL;
    tape->module = NULL;
    tape->watched = NULL;
    tape->bindings = NULL;
    tape->num_results = 0;
    tape->gradients = NULL;
    tape->num_gradients = 0;
    if (mode != MTL_TAPE_TRAIN && mode != MTL_TAPE_INFER) {
        mtli_enter(tape->context);
        mtli_tape_fail(tape, mtli_fail(tape->context, MTL_ERROR_ARGUMENT, "mode = %d is not a mode", (int)mode));
    }
}

bool mtli_tape_owns(const mtl_tape *tape, const mtl_tensor *tensor)
{
    return tensor->kind == MTLI_TENSOR_TAPE && tensor->tape == tape && tensor->generation == tape->generation;
}

mtl_status mtl_tape_status(const mtl_tape *tape)
{
    return tape ? tape->status : MTL_ERROR_ARGUMENT;
}

const char *mtl_tape_error(const mtl_tape *tape)
{
    return tape ? tape->message : "the tape is NULL";
}

mtl_tensor *mtli_tape_fail(mtl_tape *tape, mtl_status status)
{
    if (tape->status == MTL_OK) {
        tape->status = status;
        snprintf(tape->message, sizeof tape->message, "%s", tape->context->message);
    }
    return &tape->error;
}

mtl_tensor *mtli_tape_complain(mtl_tape *tape, const char *function, mtl_status status, const char *message)
{
    if (!tape) {
        return error_without_tape();
    }
    if (tape->status == MTL_OK) {
        mtli_enter_function(tape->context, function);
        mtli_tape_fail(tape, mtli_fail(tape->context, status, "%s", message));
    }
    return &tape->error;
}

/* Keeps what an operation reads alive until reset. */
static mtl_status keep(mtl_tape *tape, mtl_tensor *tensor)
{
    bool host = tensor->kind == MTLI_TENSOR_HOST;
    if (!host && tensor->kind != MTLI_TENSOR_PARAMETER) {
        return MTL_OK;
    }
    mtli_kept *kept = mtli_arena_take(&tape->arena, sizeof *kept);
    if (!kept) {
        return tape->context->status;
    }
    kept->tensor = host ? mtl_tensor_retain(tensor) : NULL;
    kept->parameters = host ? NULL : mtli_parameters_retain(tensor->parameters);
    kept->next = tape->kept;
    tape->kept = kept;
    return MTL_OK;
}

static mtli_watched *find_watched(const mtl_tape *tape, const mtl_tensor *tensor)
{
    for (mtli_watched *watched = tape->watched; watched; watched = watched->next) {
        if (watched->tensor == tensor) {
            return watched;
        }
    }
    return NULL;
}

static bool needs_gradient(const mtl_tape *tape, const mtl_tensor *tensor)
{
    if (!tensor || tape->mode != MTL_TAPE_TRAIN) {
        return false;
    }
    switch (tensor->kind) {
    case MTLI_TENSOR_PARAMETER:
        return true;
    case MTLI_TENSOR_TAPE:
        return tensor->needs_gradient;
    case MTLI_TENSOR_HOST:
        return find_watched(tape, tensor) != NULL;
    case MTLI_TENSOR_ERROR:
        break;
    }
    return false;
}

mtl_tensor *mtli_tape_bound(const mtl_tape *tape, mtl_tensor *tensor)
{
    for (mtli_binding *binding = tape->bindings; binding; binding = binding->next) {
        if (binding->parameter == tensor) {
            return binding->tensor;
        }
    }
    return tensor;
}

static mtl_status check_input(const mtli_call *call, int32_t index)
{
    const mtl_tensor *input = call->inputs[index];
    mtl_context *context = call->tape->context;
    if (!input) {
        bool optional = index < MTLI_MAX_INPUTS && (call->op->optional_inputs >> index & 1) != 0;
        return optional ? MTL_OK : mtli_fail(context, MTL_ERROR_ARGUMENT, "%s is NULL", mtli_input_name(call, index));
    }
    bool result = input->kind == MTLI_TENSOR_TAPE || input->kind == MTLI_TENSOR_ERROR;
    if (result && !mtli_tape_owns(call->tape, input)) {
        return mtli_fail(context, MTL_ERROR_STATE, "%s belongs to another tape, or to this one before its reset",
                         mtli_input_name(call, index));
    }
    return MTL_OK;
}

static mtl_tensor *make_result(mtl_tape *tape)
{
    mtl_tensor *result = mtli_arena_take(&tape->arena, sizeof *result);
    if (result) {
        memset(result, 0, sizeof *result);
        result->context = tape->context;
        result->kind = MTLI_TENSOR_TAPE;
        result->tape = tape;
        result->generation = tape->generation;
        result->index = -1;
    }
    return result;
}

/* The host may write to its tensor between forward and backward. A changed number spoils a gradient; a changed id or label
 * would be an address: so a recorded operation keeps what it has checked. */
static mtl_status copy_integers(mtli_call *call, int32_t index)
{
    const mtl_tensor *input = call->inputs[index];
    mtl_tape *tape = call->tape;
    if (tape->mode != MTL_TAPE_TRAIN || input->kind != MTLI_TENSOR_HOST || input->shape.dtype != MTL_INT32) {
        return MTL_OK;
    }
    mtl_tensor *copy = make_result(tape);
    void *data = mtli_arena_take_array(&tape->arena, (size_t)input->size, sizeof(int32_t));
    if (!copy || !data) {
        return tape->context->status;
    }
    memcpy(data, input->data, (size_t)input->size * sizeof(int32_t));
    copy->shape = input->shape;
    copy->size = input->size;
    copy->data = data;
    call->inputs[index] = copy;
    return MTL_OK;
}

static mtl_status take_inputs(mtli_call *call, mtl_tensor *const *inputs, int32_t num_inputs)
{
    mtl_tape *tape = call->tape;
    call->num_inputs = num_inputs;
    call->inputs = mtli_arena_take_array(&tape->arena, (size_t)num_inputs, sizeof call->inputs[0]);
    if (!call->inputs) {
        return tape->context->status;
    }
    for (int32_t i = 0; i < num_inputs; i++) {
        call->inputs[i] = mtli_tape_bound(tape, inputs[i]);
        mtl_status status = check_input(call, i);
        if (status == MTL_OK && call->inputs[i]) {
            status = keep(tape, call->inputs[i]);
        }
        if (status == MTL_OK && call->inputs[i]) {
            status = copy_integers(call, i);
        }
        if (status != MTL_OK) {
            return status;
        }
    }
    return MTL_OK;
}

static mtl_status make_output(mtli_call *call)
{
    mtl_tape *tape = call->tape;
    mtl_tensor *output = make_result(tape);
    if (!output) {
        return tape->context->status;
    }
    output->shape.dtype = MTLI_DTYPE_REAL;
    call->output = output;
    mtl_status status = call->op->infer(call, &output->shape);
    if (status == MTL_OK) {
        status = mtli_shape_size(tape->context, &output->shape, &output->size);
    }
    if (status != MTL_OK) {
        return status;
    }
    output->data = mtli_arena_take_array(&tape->arena, (size_t)output->size, mtli_dtype_size(output->shape.dtype));
    return output->data ? MTL_OK : tape->context->status;
}

static mtl_status compute(mtli_call *call)
{
    mtl_tape *tape = call->tape;
    mtli_float_mode mode = mtli_float_mode_enter();
    mtl_status status = call->op->forward(call);
    mtli_float_mode_leave(mode);
    mtli_arena_reset(&tape->scratch);
    return status;
}

static mtl_status run(mtl_tape *tape, mtli_call *call, mtl_tensor *const *inputs, int32_t num_inputs,
                      const void *attributes, size_t attributes_size)
{
    mtl_status status = take_inputs(call, inputs, num_inputs);
    if (status == MTL_OK && attributes_size > 0) {
        call->attributes = mtli_arena_take(&tape->arena, attributes_size);
        if (!call->attributes) {
            return tape->context->status;
        }
        memcpy(call->attributes, attributes, attributes_size);
    }
    if (status == MTL_OK) {
        status = make_output(call);
    }
    if (status != MTL_OK) {
        return status;
    }
    call->output->needs_gradient = mtli_call_records(call);
    return compute(call);
}

mtl_tensor *mtli_run(mtl_tape *tape, const mtli_op *op, mtl_tensor *const *inputs, int32_t num_inputs,
                     const void *attributes, size_t attributes_size)
{
    if (!tape) {
        return error_without_tape();
    }
    if (tape->status != MTL_OK) {
        return &tape->error;
    }
    mtli_enter_function(tape->context, op->name);
    mtli_call *call = mtli_arena_take(&tape->arena, sizeof *call);
    if (!call) {
        return mtli_tape_fail(tape, tape->context->status);
    }
    memset(call, 0, sizeof *call);
    call->op = op;
    call->tape = tape;
    call->module = tape->module;
    tape->busy++;
    mtl_status status = run(tape, call, inputs, num_inputs, attributes, attributes_size);
    tape->busy--;
    if (status != MTL_OK) {
        return mtli_tape_fail(tape, status);
    }
    if (tape->status != MTL_OK) {
        return &tape->error; /* a function of the host misused the tape */
    }
    if (call->output->needs_gradient) {
        call->output->index = tape->num_results++;
        call->previous = tape->last;
        tape->last = call;
    } else {
        call->output->index = -1;
    }
    return call->output;
}

mtl_status mtl_tape_watch(mtl_tape *tape, mtl_tensor *tensor)
{
    if (!tape) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = tape->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, tensor);
    if (tape->mode != MTL_TAPE_TRAIN) {
        return mtli_fail(context, MTL_ERROR_STATE, "the tape is in mode MTL_TAPE_INFER");
    }
    if (tensor->kind != MTLI_TENSOR_HOST) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "tensor is not one that the host created");
    }
    if (tensor->shape.dtype != MTLI_DTYPE_REAL) {
        return mtli_fail(context, MTL_ERROR_DTYPE, "tensor is %s, not real", mtli_dtype_name(tensor->shape.dtype));
    }
    if (find_watched(tape, tensor)) {
        return MTL_OK;
    }
    mtli_watched *watched = mtli_arena_take(&tape->arena, sizeof *watched);
    if (!watched || keep(tape, tensor) != MTL_OK) {
        return context->status;
    }
    watched->tensor = tensor;
    watched->gradient = NULL;
    watched->next = tape->watched;
    tape->watched = watched;
    return MTL_OK;
}

static mtli_real *gradient_of(const mtl_tape *tape, const mtl_tensor *tensor)
{
    if (tensor->kind == MTLI_TENSOR_HOST) {
        mtli_watched *watched = find_watched(tape, tensor);
        return watched ? watched->gradient : NULL;
    }
    bool mine = mtli_tape_owns(tape, tensor) && tensor->needs_gradient;
    return mine && tensor->index < tape->num_gradients ? tape->gradients[tensor->index] : NULL;
}

mtl_tensor *mtl_tape_gradient(mtl_tape *tape, const mtl_tensor *tensor)
{
    mtli_real *values = tape && tensor ? gradient_of(tape, tensor) : NULL;
    mtl_tensor *gradient = values ? make_result(tape) : NULL;
    if (!gradient) {
        return NULL;
    }
    gradient->shape = tensor->shape;
    gradient->size = tensor->size;
    gradient->data = values;
    return gradient;
}

mtl_status mtli_tape_push_binding(mtl_tape *tape, const mtl_tensor *parameter, mtl_tensor *tensor)
{
    mtli_binding *binding = mtli_arena_take(&tape->arena, sizeof *binding);
    if (!binding) {
        return tape->context->status;
    }
    binding->parameter = parameter;
    binding->tensor = tensor;
    binding->next = tape->bindings; /* the latest binding is found first */
    tape->bindings = binding;
    return MTL_OK;
}

void mtli_tape_pop_binding(mtl_tape *tape, const mtl_tensor *parameter)
{
    for (mtli_binding **link = &tape->bindings; *link; link = &(*link)->next) {
        if ((*link)->parameter == parameter) {
            *link = (*link)->next;
            return;
        }
    }
}

mtl_status mtl_tape_bind(mtl_tape *tape, mtl_tensor *parameter, mtl_tensor *tensor)
{
    if (!tape) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = tape->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, parameter);
    MTLI_REQUIRE(context, tensor);
    if (parameter->kind != MTLI_TENSOR_PARAMETER) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "parameter is not a parameter of a module");
    }
    bool usable = tensor->kind == MTLI_TENSOR_HOST || mtli_tape_owns(tape, tensor);
    if (!usable || tensor->shape.dtype != MTLI_DTYPE_REAL) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "tensor is neither a real host tensor nor a result of this tape");
    }
    if (!mtli_same_dims(&parameter->shape, &tensor->shape)) {
        char a[MTLI_SHAPE_TEXT];
        char b[MTLI_SHAPE_TEXT];
        return mtli_fail(context, MTL_ERROR_SHAPE, "parameter has shape %s, tensor has shape %s",
                         mtli_shape_text(&parameter->shape, a), mtli_shape_text(&tensor->shape, b));
    }
    if (keep(tape, tensor) != MTL_OK || keep(tape, parameter) != MTL_OK) {
        return context->status;
    }
    return mtli_tape_push_binding(tape, parameter, tensor);
}

/* For operations. --------------------------------------------------------------------------------------------------- */

mtl_context *mtli_call_context(const mtli_call *call)
{
    return call->tape->context;
}

const mtli_kernels *mtli_call_kernels(const mtli_call *call)
{
    return call->tape->kernels;
}

bool mtli_call_training(const mtli_call *call)
{
    return call->tape->mode == MTL_TAPE_TRAIN;
}

bool mtli_call_needs(const mtli_call *call, int32_t input)
{
    return needs_gradient(call->tape, call->inputs[input]);
}

bool mtli_call_records(const mtli_call *call)
{
    for (int32_t i = 0; i < call->num_inputs; i++) {
        if (mtli_call_needs(call, i)) {
            return true;
        }
    }
    return false;
}

void *mtli_tape_memory(const mtli_call *call, size_t count, size_t size)
{
    return mtli_arena_take_array(&call->tape->arena, count, size);
}

void *mtli_tape_scratch(const mtli_call *call, size_t count, size_t size)
{
    return mtli_arena_take_array(&call->tape->scratch, count, size);
}
