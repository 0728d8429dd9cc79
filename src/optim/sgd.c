/* SPDX-License-Identifier: Apache-2.0
 * Stochastic gradient descent with momentum. */
#include "optim/optimizer.h"

static void sgd_prepare(const mtl_optimizer *optimizer, mtli_step *step)
{
    const mtl_sgd_options *options = &optimizer->as.sgd;
    step->constants.sgd = (mtli_sgd_step){
        .rate = (mtli_real)step->rate,
        .momentum = (mtli_real)options->momentum,
        .decay = (mtli_real)step->weight_decay,
        .nesterov = options->nesterov != 0,
    };
}

static void sgd_update(const mtli_step *step, int64_t n, mtli_real *w, const mtli_real *g, mtli_real *const *slots)
{
    mtli_sgd_update(&step->constants.sgd, n, w, g, slots[0]);
}

static mtl_status sgd_describe(const mtl_optimizer *optimizer, const mtli_visitor *visitor)
{
    const mtl_sgd_options *options = &optimizer->as.sgd;
    mtl_status status = visitor->real(visitor->user, "momentum", options->momentum);
    return status == MTL_OK ? visitor->integer(visitor->user, "nesterov", options->nesterov != 0) : status;
}

static const mtli_rule sgd = {
    .name = "sgd",
    .prepare = sgd_prepare,
    .update = sgd_update,
    .slot_names = {"momentum"},
    .describe = sgd_describe,
};

mtl_status mtl_optimizer_create_sgd(mtl_model *model, const mtl_sgd_options *options, mtl_optimizer **out)
{
    if (!model) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = model->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, out);
    mtl_sgd_options known = MTL_SGD_OPTIONS_INIT;
    mtl_status status = mtli_import_options(context, "options", &known, sizeof known, sizeof known, options);
    if (status == MTL_OK) {
        status = mtli_check_fraction(context, "momentum", known.momentum);
    }
    if (status == MTL_OK && known.nesterov && known.momentum <= 0) {
        status = mtli_fail(context, MTL_ERROR_ARGUMENT, "nesterov needs momentum > 0");
    }
    mtli_common_options common = {known.learning_rate, known.weight_decay, known.clip_norm, known.sparse,
                                  known.momentum > 0 ? 1 : 0};
    if (status == MTL_OK) {
        status = mtli_check_common(context, &common);
    }
    mtl_optimizer *optimizer = NULL;
    if (status == MTL_OK) {
        status = mtli_optimizer_create(model, &sgd, &common, &optimizer);
    }
    if (status != MTL_OK) {
        return status;
    }
    optimizer->as.sgd = known;
    *out = optimizer;
    return MTL_OK;
}
