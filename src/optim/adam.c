/* SPDX-License-Identifier: Apache-2.0
 * Adam and AdamW. */
#include <math.h>

#include "optim/optimizer.h"

/* What Adam and AdamW share: everything but the weight decay. The bias corrections belong to the betas as they are
 * rounded: 1 - 0.999f differs from 0.001 by 1e-5 of it. */
static mtli_adam_step moment_constants(const mtl_optimizer *optimizer, const mtli_step *step)
{
    const mtl_adam_options *options = &optimizer->as.adam;
    mtli_real beta1 = (mtli_real)options->beta1;
    mtli_real beta2 = (mtli_real)options->beta2;
    double t = (double)step->number;
    return (mtli_adam_step){
        .rate = (mtli_real)(step->rate / (1 - pow((double)beta1, t))),
        .beta1 = beta1,
        .beta2 = beta2,
        .correction = (mtli_real)(1 / sqrt(1 - pow((double)beta2, t))),
        .epsilon = (mtli_real)options->epsilon,
    };
}

static void adam_prepare(const mtl_optimizer *optimizer, mtli_step *step)
{
    step->constants.adam = moment_constants(optimizer, step);
    step->constants.adam.decay = (mtli_real)step->weight_decay;
}

static void adamw_prepare(const mtl_optimizer *optimizer, mtli_step *step)
{
    step->constants.adam = moment_constants(optimizer, step);
    step->constants.adam.shrink = (mtli_real)(step->rate * step->weight_decay);
}

static void adam_update(const mtli_step *step, int64_t n, mtli_real *w, const mtli_real *g, mtli_real *const *slots)
{
    mtli_adam_update(&step->constants.adam, n, w, g, slots[0], slots[1]);
}

static mtl_status adam_describe(const mtl_optimizer *optimizer, const mtli_visitor *visitor)
{
    const mtl_adam_options *options = &optimizer->as.adam;
    mtl_status status = visitor->real(visitor->user, "beta1", options->beta1);
    if (status == MTL_OK) {
        status = visitor->real(visitor->user, "beta2", options->beta2);
    }
    return status == MTL_OK ? visitor->real(visitor->user, "epsilon", options->epsilon) : status;
}

#define MOMENTS .slot_names = {"first_moment", "second_moment"}, .slot_is_square = {false, true}
static const mtli_rule adam = {
    .name = "adam", .prepare = adam_prepare, .update = adam_update, .describe = adam_describe, MOMENTS};
static const mtli_rule adamw = {
    .name = "adamw", .prepare = adamw_prepare, .update = adam_update, .describe = adam_describe, MOMENTS};

static mtl_status check_adam(mtl_context *context, const mtl_adam_options *options)
{
    mtl_status status = mtli_check_reserved(context, options->reserved0);
    if (status == MTL_OK) {
        status = mtli_check_fraction(context, "beta1", options->beta1);
    }
    if (status == MTL_OK) {
        status = mtli_check_fraction(context, "beta2", options->beta2);
    }
    if (status == MTL_OK && (!(options->epsilon > 0) || !isnormal((mtli_real)options->epsilon))) {
        status = mtli_fail(context, MTL_ERROR_ARGUMENT, "epsilon = %g is not a normal number > 0", options->epsilon);
    }
    return status;
}

static mtl_status create_adam(const char *function, mtl_model *model, const mtli_rule *rule,
                              const mtl_adam_options *options, mtl_optimizer **out)
{
    if (!model) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = model->context;
    mtli_enter_function(context, function);
    MTLI_REQUIRE(context, out);
    mtl_adam_options known = MTL_ADAM_OPTIONS_INIT;
    mtl_status status = mtli_import_options(context, "options", &known, sizeof known, sizeof known, options);
    if (status == MTL_OK) {
        status = check_adam(context, &known);
    }
    mtli_common_options common = {known.learning_rate, known.weight_decay, known.clip_norm, known.sparse, 2};
    if (status == MTL_OK) {
        status = mtli_check_common(context, &common);
    }
    mtl_optimizer *optimizer = NULL;
    if (status == MTL_OK) {
        status = mtli_optimizer_create(model, rule, &common, &optimizer);
    }
    if (status != MTL_OK) {
        return status;
    }
    optimizer->as.adam = known;
    *out = optimizer;
    return MTL_OK;
}

mtl_status mtl_optimizer_create_adam(mtl_model *model, const mtl_adam_options *options, mtl_optimizer **out)
{
    return create_adam(__func__, model, &adam, options, out);
}

mtl_status mtl_optimizer_create_adamw(mtl_model *model, const mtl_adam_options *options, mtl_optimizer **out)
{
    return create_adam(__func__, model, &adamw, options, out);
}
