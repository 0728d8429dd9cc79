/* SPDX-License-Identifier: Apache-2.0
 * Encoders and heads that hold the networks of several tasks in factors: the network that they have in common runs with
 * one task's weights bound in the place of its own, which have no values. */
#include "autograd/tape.h"
#include "nn/factorized.h"

/* Running one task. ------------------------------------------------------------------------------------------------ */

/* Whether a task can run; else the tape has an error. */
static bool can_run_task(mtl_tape *tape, const char *function, const mtl_factorized *factors, int32_t task)
{
    if (!tape || tape->status != MTL_OK) {
        return false;
    }
    if (!factors) {
        mtli_tape_complain(tape, function, MTL_ERROR_ARGUMENT, "the module is not factorized");
        return false;
    }
    if (task < 0 || task >= factors->tasks) {
        mtli_enter_function(tape->context, function);
        mtli_tape_fail(
            tape, mtli_fail(tape->context, MTL_ERROR_ARGUMENT, "task = %d is not in [0, %d)", task, factors->tasks));
        return false;
    }
    return true;
}

static mtl_tensor *error_of(mtl_tape *tape, const char *function)
{
    return mtli_tape_complain(tape, function, MTL_ERROR_ARGUMENT, "tape is NULL");
}

mtl_tensor *mtl_encoder_forward_task(mtl_encoder *encoder, mtl_tape *tape, int32_t task, mtl_tensor *inputs)
{
    if (!encoder || !inputs) {
        return mtli_tape_complain(tape, __func__, MTL_ERROR_ARGUMENT, encoder ? "inputs is NULL" : "encoder is NULL");
    }
    const mtl_factorized *factors = mtl_encoder_factorized(encoder);
    if (!can_run_task(tape, __func__, factors, task)) {
        return error_of(tape, __func__);
    }
    const mtli_parameters *outer = tape->module;
    uint32_t generation = tape->generation;
    tape->module = outer ? outer : encoder->parameters;
    mtl_encoder *network = encoder->as.factorized.network;
    mtl_encoder_retain(encoder); /* a function of the host runs inside */
    mtli_factorized_bind(factors, tape, task);
    mtl_tensor *result =
        tape->status == MTL_OK ? network->kind->forward(network, tape, inputs) : error_of(tape, __func__);
    mtli_factorized_unbind(factors, tape);
    tape->module = tape->generation == generation ? outer : NULL;
    mtl_encoder_release(encoder);
    return result;
}

mtl_tensor *mtl_head_forward_task(mtl_head *head, mtl_tape *tape, int32_t task, mtl_tensor *features)
{
    if (!head || !features) {
        return mtli_tape_complain(tape, __func__, MTL_ERROR_ARGUMENT, head ? "features is NULL" : "head is NULL");
    }
    if (!can_run_task(tape, __func__, head->factors, task)) {
        return error_of(tape, __func__);
    }
    mtli_factorized_bind(head->factors, tape, task);
    mtl_tensor *result =
        tape->status == MTL_OK ? mtli_head_run(head->network, tape, features) : error_of(tape, __func__);
    mtli_factorized_unbind(head->factors, tape);
    return result;
}

/* The encoder. ----------------------------------------------------------------------------------------------------- */

static mtl_tensor *refuse_forward(mtl_encoder *encoder, mtl_tape *tape, mtl_tensor *inputs)
{
    (void)encoder;
    (void)inputs;
    return mtli_tape_complain(tape, "mtl_encoder_forward", MTL_ERROR_UNSUPPORTED,
                              "the encoder holds the networks of several tasks: call mtl_encoder_forward_task()");
}

static mtl_status describe_factorized_encoder(const mtl_encoder *encoder, const mtli_visitor *visitor)
{
    const mtl_encoder *network = encoder->as.factorized.network;
    mtl_status status = mtli_factorized_describe(encoder->as.factorized.factors, network->kind->name, visitor);
    return status == MTL_OK && network->kind->describe ? network->kind->describe(network, visitor) : status;
}

static void destroy_factorized(mtl_encoder *encoder)
{
    mtli_factorized_destroy(encoder->as.factorized.factors);
    mtl_encoder_release(encoder->as.factorized.network);
}

static const mtli_encoder_kind factorized_kind = {
    .name = MTLI_FACTORIZED_KIND,
    .forward = refuse_forward,
    .describe = describe_factorized_encoder,
    .destroy = destroy_factorized,
};

mtl_status mtli_factorized_encoder_begin(mtl_encoder *network, mtl_encoder **out)
{
    mtl_context *context = network->context;
    mtl_encoder *encoder = mtli_encoder_allocate(context, &factorized_kind, network->output_dim);
    if (!encoder) {
        mtl_encoder_release(network);
        return context->status;
    }
    encoder->as.factorized.network = network;
    *out = encoder;
    return MTL_OK;
}

void mtli_factorized_encoder_finish(mtl_encoder *encoder, mtl_factorized *factors)
{
    encoder->as.factorized.factors = factors;
    encoder->parameters = mtli_parameters_retain(factors->parameters);
}

mtl_status mtli_factorized_encoder_restore(mtl_context *context, const mtli_lookup *lookup, mtl_encoder **out)
{
    mtl_encoder *network = NULL;
    mtl_encoder *encoder = NULL;
    mtl_factorized *factors = NULL;
    mtl_status status = mtli_encoder_restore_hollow(context, lookup, MTLI_FACTORIZED_NETWORK_KEY, &network);
    if (status == MTL_OK) {
        status = mtli_factorized_encoder_begin(network, &encoder);
    }
    if (status == MTL_OK) {
        status = mtli_factorized_restore(context, lookup, network->parameters, &factors);
    }
    if (status != MTL_OK) {
        mtl_encoder_release(encoder);
        return status;
    }
    mtli_factorized_encoder_finish(encoder, factors);
    *out = encoder;
    return MTL_OK;
}

const mtl_factorized *mtl_encoder_factorized(const mtl_encoder *encoder)
{
    return encoder && encoder->kind == &factorized_kind ? encoder->as.factorized.factors : NULL;
}

/* The head. -------------------------------------------------------------------------------------------------------- */

mtl_status mtli_factorized_head_begin(mtl_head *network, mtl_head **out)
{
    mtl_context *context = network->context;
    mtl_head *head = mtli_head_allocate(network);
    if (!head) {
        mtl_head_release(network);
        return context->status;
    }
    head->network = network;
    *out = head;
    return MTL_OK;
}

void mtli_factorized_head_finish(mtl_head *head, mtl_factorized *factors)
{
    head->factors = factors;
    head->parameters = mtli_parameters_retain(factors->parameters);
}

mtl_status mtli_factorized_head_restore(mtl_context *context, const mtli_lookup *lookup, mtl_head **out)
{
    mtl_head *network = NULL;
    mtl_head *head = NULL;
    mtl_factorized *factors = NULL;
    mtl_status status = mtli_head_restore_hollow(context, lookup, MTLI_FACTORIZED_NETWORK_KEY, &network);
    if (status == MTL_OK) {
        status = mtli_factorized_head_begin(network, &head);
    }
    if (status == MTL_OK) {
        status = mtli_factorized_restore(context, lookup, network->parameters, &factors);
    }
    if (status != MTL_OK) {
        mtl_head_release(head);
        return status;
    }
    mtli_factorized_head_finish(head, factors);
    *out = head;
    return MTL_OK;
}

const mtl_factorized *mtl_head_factorized(const mtl_head *head)
{
    return head ? head->factors : NULL;
}
