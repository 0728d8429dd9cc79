/* SPDX-License-Identifier: Apache-2.0
 * Layout and first values of a module's parameters. */
#include "tensor/parameters.h"

#include <string.h>

#include "base/checked.h"

static mtl_status lay_out(mtli_parameters *parameters, const mtli_parameter_spec *specs)
{
    mtl_context *context = parameters->context;
    size_t unit = MTLI_ALIGNMENT / sizeof(mtli_real);
    size_t end = 0;
    for (int32_t i = 0; i < parameters->count; i++) {
        mtli_parameter *parameter = &parameters->list[i];
        mtl_tensor *tensor = &parameter->tensor;
        tensor->context = context;
        tensor->kind = MTLI_TENSOR_PARAMETER;
        tensor->parameters = parameters;
        tensor->index = i;
        tensor->shape = mtli_make_shape(MTLI_DTYPE_REAL, specs[i].ndim, specs[i].dims);
        mtl_status status = mtli_shape_size(context, &tensor->shape, &tensor->size);
        if (status != MTL_OK) {
            return status;
        }
        parameter->row_sparse = specs[i].row_sparse;
        parameter->offset = end;
        parameter->name = mtli_copy_string(context, specs[i].name);
        if (!parameter->name) {
            return context->status;
        }
        size_t padded = mtli_round_up((size_t)tensor->size, unit);
        if (!mtli_add_size(end, padded, &end)) {
            return mtli_fail(context, MTL_ERROR_LIMIT, "the parameters together overflow at '%s'", specs[i].name);
        }
    }
    parameters->block_size = end;
    return MTL_OK;
}

static void fill(mtl_context *context, mtl_tensor *tensor, const mtli_parameter_spec *spec)
{
    mtli_real *values = tensor->data;
    mtli_rng rng;
    mtli_rng_init(&rng, context->seed, mtli_next_stream(context));
    for (int64_t i = 0; i < tensor->size; i++) {
        switch (spec->init) {
        case MTLI_INIT_ZEROS:
            values[i] = 0;
            break;
        case MTLI_INIT_ONES:
            values[i] = 1;
            break;
        case MTLI_INIT_UNIFORM:
            values[i] = (mtli_real)(spec->scale * (2.0 * mtli_rng_uniform(&rng) - 1.0));
            break;
        case MTLI_INIT_NORMAL:
            values[i] = (mtli_real)(spec->scale * mtli_rng_normal(&rng));
            break;
        }
    }
}

static mtl_status allocate_block(mtli_parameters *parameters, const mtli_parameter_spec *specs)
{
    mtl_context *context = parameters->context;
    parameters->block = mtli_allocate_array(context, parameters->block_size, sizeof(mtli_real));
    if (!parameters->block) {
        return context->status;
    }
    memset(parameters->block, 0, parameters->block_size * sizeof(mtli_real));
    for (int32_t i = 0; i < parameters->count; i++) {
        mtli_parameter *parameter = &parameters->list[i];
        parameter->tensor.data = parameters->block + parameter->offset;
        fill(context, &parameter->tensor, &specs[i]);
    }
    return MTL_OK;
}

static mtl_status create_parameters(mtl_context *context, const mtli_parameter_spec *specs, int32_t count, bool hollow,
                                    mtli_parameters **out)
{
    mtli_parameters *parameters = mtli_allocate_zeroed(context, sizeof *parameters);
    if (!parameters) {
        return context->status;
    }
    parameters->context = mtl_context_retain(context);
    mtli_refcount_init(&parameters->refs);
    mtl_status status = MTL_OK;
    parameters->list = mtli_allocate_zeroed(context, (size_t)count * sizeof parameters->list[0]);
    if (!parameters->list) {
        status = context->status;
    } else {
        parameters->count = count;
        status = lay_out(parameters, specs);
    }
    if (status == MTL_OK && !hollow) {
        status = allocate_block(parameters, specs);
    }
    if (status != MTL_OK) {
        mtli_parameters_release(parameters);
        return status;
    }
    *out = parameters;
    return MTL_OK;
}

mtl_status mtli_parameters_create(mtl_context *context, const mtli_parameter_spec *specs, int32_t count,
                                  mtli_parameters **out)
{
    return create_parameters(context, specs, count, false, out);
}

mtl_status mtli_parameters_create_hollow(mtl_context *context, const mtli_parameter_spec *specs, int32_t count,
                                         mtli_parameters **out)
{
    return create_parameters(context, specs, count, true, out);
}

mtli_parameters *mtli_parameters_retain(mtli_parameters *parameters)
{
    if (parameters) {
        mtli_refcount_retain(&parameters->refs);
    }
    return parameters;
}

void mtli_parameters_release(mtli_parameters *parameters)
{
    if (!parameters || !mtli_refcount_release(&parameters->refs)) {
        return;
    }
    mtl_context *context = parameters->context;
    for (int32_t i = 0; i < parameters->count; i++) {
        mtli_release_string(context, parameters->list[i].name);
    }
    mtli_release(context, parameters->list, (size_t)parameters->count * sizeof parameters->list[0]);
    if (parameters->block) {
        mtli_release(context, parameters->block, parameters->block_size * sizeof(mtli_real));
    }
    mtli_release(context, parameters, sizeof *parameters);
    mtl_context_release(context);
}

mtl_tensor *mtli_parameters_find(mtli_parameters *parameters, const char *name)
{
    for (int32_t i = 0; i < parameters->count; i++) {
        if (strcmp(parameters->list[i].name, name) == 0) {
            return &parameters->list[i].tensor;
        }
    }
    return NULL;
}
