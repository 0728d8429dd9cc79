/* SPDX-License-Identifier: Apache-2.0
 * Encoders of any kind: life, parameters, forward. The kinds are in lstm_encoder.c,
 * custom_encoder.c and factorized_encoder.c. */
#include "autograd/tape.h"
#include "nn/module.h"

mtl_encoder *mtli_encoder_allocate(mtl_context *context, const mtli_encoder_kind *kind, int64_t output_dim)
{
    mtl_encoder *encoder = mtli_allocate_zeroed(context, sizeof *encoder);
    if (encoder) {
        encoder->context = mtl_context_retain(context);
        mtli_refcount_init(&encoder->refs);
        encoder->kind = kind;
        encoder->output_dim = output_dim;
    }
    return encoder;
}

mtl_encoder *mtl_encoder_retain(mtl_encoder *encoder)
{
    if (encoder) {
        mtli_refcount_retain(&encoder->refs);
    }
    return encoder;
}

void mtl_encoder_release(mtl_encoder *encoder)
{
    if (!encoder || !mtli_refcount_release(&encoder->refs)) {
        return;
    }
    mtl_context *context = encoder->context;
    if (encoder->kind->destroy) {
        encoder->kind->destroy(encoder);
    }
    mtli_parameters_release(encoder->parameters);
    mtli_release(context, encoder, sizeof *encoder);
    mtl_context_release(context);
}

int64_t mtl_encoder_output_dim(const mtl_encoder *encoder)
{
    return encoder ? encoder->output_dim : 0;
}

mtl_tensor *mtl_encoder_forward(mtl_encoder *encoder, mtl_tape *tape, mtl_tensor *inputs)
{
    if (!encoder) {
        return mtli_tape_complain(tape, __func__, MTL_ERROR_ARGUMENT, "encoder is NULL");
    }
    if (!inputs) {
        return mtli_tape_complain(tape, __func__, MTL_ERROR_ARGUMENT, "inputs is NULL");
    }
    if (!tape || tape->module) { /* the outermost encoder counts */
        return encoder->kind->forward(encoder, tape, inputs);
    }
    tape->module = encoder->parameters;
    mtl_tensor *features = encoder->kind->forward(encoder, tape, inputs);
    tape->module = NULL;
    return features;
}

int64_t mtl_encoder_num_parameters(const mtl_encoder *encoder)
{
    return encoder ? encoder->parameters->count : 0;
}

mtl_tensor *mtl_encoder_parameter(mtl_encoder *encoder, const char *name)
{
    return encoder && name ? mtli_parameters_find(encoder->parameters, name) : NULL;
}

mtl_status mtli_encoder_describe(const mtl_encoder *encoder, const mtli_visitor *visitor)
{
    mtl_status status = visitor->text(visitor->user, "kind", encoder->kind->name);
    return status == MTL_OK && encoder->kind->describe ? encoder->kind->describe(encoder, visitor) : status;
}
