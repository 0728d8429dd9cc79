/* SPDX-License-Identifier: Apache-2.0
 * Encoders whose forward pass is a function of the host. */
#include "nn/custom_encoder.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "autograd/tape.h"
#include "nn/module.h"

enum { MAX_PARAMETERS = 4096 };

struct mtl_encoder_call {
    mtl_encoder *encoder;
    mtl_tape *tape;
    mtl_tensor *inputs;
};

static mtl_tensor *custom_encoder_forward(mtl_encoder *encoder, mtl_tape *tape, mtl_tensor *inputs)
{
    if (!tape || tape->status != MTL_OK) {
        return mtli_tape_complain(tape, "mtl_encoder_forward", MTL_ERROR_ARGUMENT, "tape is NULL");
    }
    const char *function = "mtl_encoder_forward";
    uint32_t generation = tape->generation;
    mtl_encoder_call call = {mtl_encoder_retain(encoder), tape, inputs};
    mtl_tensor *result = encoder->as.custom->forward(encoder->as.custom->user, &call);
    int64_t output_dim = encoder->output_dim;
    mtl_encoder_release(encoder);
    if (tape->status != MTL_OK) {
        return &tape->error;
    }
    if (tape->generation != generation) {
        return mtli_tape_complain(tape, function, MTL_ERROR_STATE, "the custom encoder has reset the tape");
    }
    if (!result) {
        return mtli_tape_complain(tape, function, MTL_ERROR_CANCELLED, "the custom encoder returned NULL");
    }
    if (!mtli_tape_owns(tape, result)) {
        return mtli_tape_complain(tape, function, MTL_ERROR_STATE,
                                  "the custom encoder returned a tensor that is not of this tape");
    }
    if (result->shape.ndim != 2 || result->shape.dims[1] != output_dim) {
        return mtli_tape_complain(tape, function, MTL_ERROR_SHAPE,
                                  "the custom encoder returned a tensor that is not [rows, output_dim]");
    }
    return result;
}

static void custom_destroy(mtl_encoder *encoder)
{
    mtli_custom_functions *functions = encoder->as.custom;
    if (!functions || !mtli_refcount_release(&functions->refs)) {
        return; /* none: it was not finished */
    }
    if (functions->destroy) {
        functions->destroy(functions->user);
    }
    mtli_release(encoder->context, functions, sizeof *functions);
}

/* What the host hands to its function is the host's: the networks of several tasks mostly have an object each. */
static bool same_function(const mtl_encoder *a, const mtl_encoder *b)
{
    return a->as.custom->forward == b->as.custom->forward && a->output_dim == b->output_dim;
}

static void share_functions(mtl_encoder *copy)
{
    mtli_refcount_retain(&copy->as.custom->refs);
}

static const mtli_encoder_kind custom_kind = {
    .name = MTLI_CUSTOM_KIND,
    .forward = custom_encoder_forward,
    .destroy = custom_destroy,
    .same = same_function,
    .share = share_functions,
};

static bool good_name(const char *name)
{
    const char *allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    return name[0] != '\0' && strspn(name, allowed) == strlen(name);
}

static mtl_status check_spec(mtl_context *context, const mtl_parameter_spec *specs, int64_t index)
{
    const mtl_parameter_spec *spec = &specs[index];
    if (!spec->name || !good_name(spec->name)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT,
                         "parameters[%" PRId64
                         "].name is NULL, empty, or has other characters than letters, digits, '.', "
                         "'_' and '-'",
                         index);
    }
    for (int64_t k = 0; k < index; k++) {
        if (strcmp(specs[k].name, spec->name) == 0) {
            return mtli_fail(context, MTL_ERROR_ARGUMENT, "parameters[%" PRId64 "].name = '%s' occurs twice", index,
                             spec->name);
        }
    }
    if (spec->ndim < 1 || spec->ndim > MTL_MAX_DIMS) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "parameters[%" PRId64 "].ndim = %d is not in [1, %d]", index,
                         spec->ndim, MTL_MAX_DIMS);
    }
    for (int32_t d = 0; d < spec->ndim; d++) {
        if (spec->shape[d] < 1) {
            return mtli_fail(context, MTL_ERROR_ARGUMENT,
                             "parameters[%" PRId64 "].shape[%d] = %" PRId64 " is less than 1", index, d,
                             spec->shape[d]);
        }
    }
    if (spec->init < MTL_INIT_ZEROS || spec->init > MTL_INIT_NORMAL || !isfinite(spec->scale)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "parameters[%" PRId64 "]: init = %d, scale = %g", index,
                         spec->init, spec->scale);
    }
    return MTL_OK;
}

static mtl_status check_custom(mtl_context *context, const mtl_custom_encoder_options *options)
{
    if (!options->forward) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->forward is NULL");
    }
    if (options->output_dim < 1) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->output_dim = %" PRId64 " is less than 1",
                         options->output_dim);
    }
    if (options->num_parameters < 0 || options->num_parameters > MAX_PARAMETERS) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->num_parameters = %" PRId64 " is not in [0, %d]",
                         options->num_parameters, MAX_PARAMETERS);
    }
    if (options->num_parameters > 0 && !options->parameters) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->parameters is NULL");
    }
    mtl_status status = MTL_OK;
    for (int64_t i = 0; i < options->num_parameters && status == MTL_OK; i++) {
        status = check_spec(context, options->parameters, i);
    }
    return status;
}

static mtl_status create_parameters_of(mtl_encoder *encoder, const mtl_custom_encoder_options *options)
{
    mtl_context *context = encoder->context;
    static const mtli_init inits[] = {MTLI_INIT_ZEROS, MTLI_INIT_ONES, MTLI_INIT_UNIFORM, MTLI_INIT_NORMAL};
    int32_t count = (int32_t)options->num_parameters;
    size_t bytes = (size_t)count * sizeof(mtli_parameter_spec);
    mtli_parameter_spec *specs = mtli_allocate_zeroed(context, bytes);
    if (!specs) {
        return context->status;
    }
    for (int32_t i = 0; i < count; i++) {
        const mtl_parameter_spec *given = &options->parameters[i];
        specs[i].name = given->name;
        specs[i].ndim = given->ndim;
        memcpy(specs[i].dims, given->shape, sizeof specs[i].dims);
        specs[i].init = inits[given->init];
        specs[i].scale = given->scale;
    }
    mtl_status status = mtli_parameters_create(context, specs, count, &encoder->parameters);
    mtli_release(context, specs, bytes);
    return status;
}

static mtl_status create_custom(mtl_context *context, const mtl_custom_encoder_options *options, mtl_encoder **out)
{
    mtl_encoder *encoder = mtli_encoder_allocate(context, &custom_kind, options->output_dim);
    mtli_custom_functions *functions = encoder ? mtli_allocate_zeroed(context, sizeof *functions) : NULL;
    mtl_status status = functions ? create_parameters_of(encoder, options) : context->status;
    if (status != MTL_OK) {
        mtli_release(context, functions, sizeof *functions);
        mtl_encoder_release(encoder);
        return status;
    }
    mtli_refcount_init(&functions->refs);
    functions->forward = options->forward;
    functions->destroy = options->destroy;
    functions->user = options->user;
    encoder->as.custom = functions;
    *out = encoder;
    return MTL_OK;
}

mtl_status mtl_encoder_create_custom(mtl_context *context, const mtl_custom_encoder_options *options, mtl_encoder **out)
{
    if (!context) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(context);
    MTLI_REQUIRE(context, options);
    MTLI_REQUIRE(context, out);
    mtl_custom_encoder_options known = MTL_CUSTOM_ENCODER_OPTIONS_INIT;
    mtl_status status = mtli_import_options(context, "options", &known, sizeof known, sizeof known, options);
    if (status == MTL_OK) {
        status = check_custom(context, &known);
    }
    return status == MTL_OK ? create_custom(context, &known, out) : status;
}

mtl_tape *mtl_encoder_call_tape(mtl_encoder_call *call)
{
    return call ? call->tape : NULL;
}

mtl_tensor *mtl_encoder_call_inputs(mtl_encoder_call *call)
{
    return call ? call->inputs : NULL;
}

mtl_tensor *mtl_encoder_call_parameter(mtl_encoder_call *call, int64_t index)
{
    if (!call || index < 0 || index >= call->encoder->parameters->count) {
        return NULL;
    }
    /* Where the values are elsewhere, in factors, the host gets what it can read. */
    mtl_tensor *parameter = &call->encoder->parameters->list[index].tensor;
    return parameter->data ? parameter : mtli_tape_bound(call->tape, parameter);
}
