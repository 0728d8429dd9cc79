/* SPDX-License-Identifier: Apache-2.0
 * Copies of modules without values: what the networks of several tasks have in common. */
#include "nn/module.h"

static mtl_status copy_names_and_shapes(const mtli_parameters *other, mtli_parameters **out)
{
    mtl_context *context = other->context;
    size_t bytes = (size_t)other->count * sizeof(mtli_parameter_spec);
    mtli_parameter_spec *specs = mtli_allocate_zeroed(context, bytes);
    if (!specs) {
        return context->status;
    }
    for (int32_t i = 0; i < other->count; i++) {
        const mtli_parameter *parameter = &other->list[i];
        specs[i].name = parameter->name;
        specs[i].ndim = parameter->tensor.shape.ndim;
        for (int32_t d = 0; d < specs[i].ndim; d++) {
            specs[i].dims[d] = parameter->tensor.shape.dims[d];
        }
        specs[i].row_sparse = parameter->row_sparse;
    }
    mtl_status status = mtli_parameters_create_hollow(context, specs, other->count, out);
    mtli_release(context, specs, bytes);
    return status;
}

mtl_status mtli_encoder_create_hollow(const mtl_encoder *other, mtl_encoder **out)
{
    mtl_encoder *encoder = mtli_encoder_allocate(other->context, other->kind, other->output_dim);
    if (!encoder) {
        return other->context->status;
    }
    mtl_status status = copy_names_and_shapes(other->parameters, &encoder->parameters);
    if (status != MTL_OK) {
        mtl_encoder_release(encoder);
        return status;
    }
    encoder->as = other->as;
    if (encoder->kind->share) {
        encoder->kind->share(encoder);
    }
    *out = encoder;
    return MTL_OK;
}

mtl_status mtli_head_create_hollow(const mtl_head *other, mtl_head **out)
{
    mtl_head *head = mtli_head_allocate(other);
    if (!head) {
        return other->context->status;
    }
    mtl_status status = copy_names_and_shapes(other->parameters, &head->parameters);
    if (status != MTL_OK) {
        mtl_head_release(head);
        return status;
    }
    *out = head;
    return MTL_OK;
}
