/* SPDX-License-Identifier: Apache-2.0
 * Heads: an optional hidden layer and a linear layer. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include <mtl/ops.h>

#include "autograd/tape.h"
#include "nn/factorized.h"
#include "nn/module.h"

enum { HIDDEN_PARAMETERS = 2 };

const char *const mtli_head_kind_names[3] = {"classifier", "multilabel", "regressor"};

static mtl_status check_head_options(mtl_context *context, const mtl_head_options *options)
{
    if (options->hidden_dim < 0 || options->hidden_dim > INT32_MAX) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "hidden_dim = %" PRId64 " is out of range", options->hidden_dim);
    }
    if (!(options->dropout >= 0 && options->dropout < 1)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "dropout = %g is not in [0, 1)", options->dropout);
    }
    if (options->activation < MTL_ACTIVATION_RELU || options->activation > MTL_ACTIVATION_SIGMOID) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "activation = %d is not an activation", options->activation);
    }
    return mtli_check_reserved(context, options->reserved0);
}

static int32_t specify_linear(mtli_parameter_spec *specs, const char *weight, const char *bias, int64_t in, int64_t out)
{
    double scale = 1 / sqrt((double)in);
    specs[0] =
        (mtli_parameter_spec){.name = weight, .ndim = 2, .dims = {out, in}, .init = MTLI_INIT_UNIFORM, .scale = scale};
    specs[1] = (mtli_parameter_spec){.name = bias, .ndim = 1, .dims = {out}, .init = MTLI_INIT_UNIFORM, .scale = scale};
    return 2;
}

mtl_head *mtli_head_allocate(const mtl_head *other)
{
    mtl_head *head = mtli_allocate_zeroed(other->context, sizeof *head);
    if (head) {
        head->context = mtl_context_retain(other->context);
        mtli_refcount_init(&head->refs);
        head->kind = other->kind;
        head->in_dim = other->in_dim;
        head->output_dim = other->output_dim;
        head->options = other->options;
    }
    return head;
}

/* `model` has the fields that are no parameters. */
static mtl_status build(const mtl_head *model, bool hollow, mtl_head **out)
{
    mtl_context *context = model->context;
    mtli_parameter_spec specs[HIDDEN_PARAMETERS + 2];
    int32_t count = 0;
    int64_t in = model->in_dim;
    if (model->options.hidden_dim > 0) {
        count += specify_linear(specs, "hidden.weight", "hidden.bias", in, model->options.hidden_dim);
        in = model->options.hidden_dim;
    }
    count += specify_linear(specs + count, "weight", "bias", in, model->output_dim);
    mtl_head *head = mtli_head_allocate(model);
    if (!head) {
        return context->status;
    }
    mtl_status status = hollow ? mtli_parameters_create_hollow(context, specs, count, &head->parameters)
                               : mtli_parameters_create(context, specs, count, &head->parameters);
    if (status != MTL_OK) {
        mtl_head_release(head);
        return status;
    }
    *out = head;
    return MTL_OK;
}

static mtl_status create_checked(mtl_context *context, int32_t kind, int64_t in_dim, int64_t output_dim, int64_t least,
                                 const mtl_head_options *options, bool hollow, mtl_head **out)
{
    if (in_dim < 1 || in_dim > INT32_MAX) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "in_dim = %" PRId64 " is out of range", in_dim);
    }
    if (output_dim < least || output_dim > INT32_MAX) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "a %s with %" PRId64 " outputs: it needs at least %" PRId64,
                         mtli_head_kind_names[kind], output_dim, least);
    }
    mtl_status status = check_head_options(context, options);
    if (status != MTL_OK) {
        return status;
    }
    const mtl_head model = {
        .context = context, .kind = kind, .in_dim = in_dim, .output_dim = output_dim, .options = *options};
    return build(&model, hollow, out);
}

static int64_t least_outputs(int32_t kind)
{
    return kind == MTL_HEAD_CLASSIFIER ? 2 : 1;
}

static mtl_status create(const char *function, mtl_context *context, int32_t kind, int64_t in_dim, int64_t output_dim,
                         const mtl_head_options *options, mtl_head **out)
{
    if (!context) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter_function(context, function);
    MTLI_REQUIRE(context, out);
    mtl_head_options known = MTL_HEAD_OPTIONS_INIT;
    mtl_status status = mtli_import_options(context, "options", &known, sizeof known, sizeof known, options);
    if (status != MTL_OK) {
        return status;
    }
    return create_checked(context, kind, in_dim, output_dim, least_outputs(kind), &known, false, out);
}

mtl_status mtl_head_create_classifier(mtl_context *context, int64_t in_dim, int64_t classes,
                                      const mtl_head_options *options, mtl_head **out)
{
    return create(__func__, context, MTL_HEAD_CLASSIFIER, in_dim, classes, options, out);
}

mtl_status mtl_head_create_multilabel(mtl_context *context, int64_t in_dim, int64_t labels,
                                      const mtl_head_options *options, mtl_head **out)
{
    return create(__func__, context, MTL_HEAD_MULTILABEL, in_dim, labels, options, out);
}

mtl_status mtl_head_create_regressor(mtl_context *context, int64_t in_dim, int64_t outputs,
                                     const mtl_head_options *options, mtl_head **out)
{
    return create(__func__, context, MTL_HEAD_REGRESSOR, in_dim, outputs, options, out);
}

mtl_head *mtl_head_retain(mtl_head *head)
{
    if (head) {
        mtli_refcount_retain(&head->refs);
    }
    return head;
}

void mtl_head_release(mtl_head *head)
{
    if (!head || !mtli_refcount_release(&head->refs)) {
        return;
    }
    mtl_context *context = head->context;
    mtli_factorized_destroy(head->factors);
    mtl_head_release(head->network);
    mtli_parameters_release(head->parameters);
    mtli_release(context, head, sizeof *head);
    mtl_context_release(context);
}

int32_t mtl_head_kind(const mtl_head *head)
{
    return head ? head->kind : MTL_HEAD_CLASSIFIER;
}

int64_t mtl_head_output_dim(const mtl_head *head)
{
    return head ? head->output_dim : 0;
}

static mtl_tensor *activate(mtl_tape *tape, int32_t activation, mtl_tensor *x)
{
    switch (activation) {
    case MTL_ACTIVATION_TANH:
        return mtl_tanh(tape, x);
    case MTL_ACTIVATION_GELU:
        return mtl_gelu(tape, x);
    case MTL_ACTIVATION_SIGMOID:
        return mtl_sigmoid(tape, x);
    default:
        return mtl_relu(tape, x);
    }
}

mtl_tensor *mtl_head_forward(mtl_head *head, mtl_tape *tape, mtl_tensor *features)
{
    if (!head) {
        return mtli_tape_complain(tape, __func__, MTL_ERROR_ARGUMENT, "head is NULL");
    }
    if (head->network) {
        return mtli_tape_complain(tape, __func__, MTL_ERROR_UNSUPPORTED,
                                  "the head holds the networks of several tasks: call mtl_head_forward_task()");
    }
    return mtli_head_run(head, tape, features);
}

mtl_tensor *mtli_head_run(mtl_head *head, mtl_tape *tape, mtl_tensor *features)
{
    mtli_parameter *layer = head->parameters->list;
    mtl_tensor *x = features;
    if (head->options.hidden_dim > 0) {
        x = mtl_dropout(tape, x, head->options.dropout);
        x = activate(tape, head->options.activation, mtl_linear(tape, x, &layer[0].tensor, &layer[1].tensor));
        layer += HIDDEN_PARAMETERS;
    }
    x = mtl_dropout(tape, x, head->options.dropout);
    return mtl_linear(tape, x, &layer[0].tensor, &layer[1].tensor);
}

int64_t mtl_head_num_parameters(const mtl_head *head)
{
    return head ? head->parameters->count : 0;
}

mtl_tensor *mtl_head_parameter(mtl_head *head, const char *name)
{
    return head && name ? mtli_parameters_find(head->parameters, name) : NULL;
}

mtl_status mtli_head_describe(const mtl_head *head, const mtli_visitor *visitor)
{
    const char *kind = mtli_head_kind_names[head->kind];
    mtl_status status = visitor->text(visitor->user, "kind", head->factors ? MTLI_FACTORIZED_KIND : kind);
    const struct {
        const char *key;
        int64_t value;
    } integers[] = {
        {"in_dim", head->in_dim},
        {"output_dim", head->output_dim},
        {"hidden_dim", head->options.hidden_dim},
        {"activation", head->options.activation},
    };
    for (size_t i = 0; i < sizeof integers / sizeof integers[0] && status == MTL_OK; i++) {
        status = visitor->integer(visitor->user, integers[i].key, integers[i].value);
    }
    if (status == MTL_OK) {
        status = visitor->real(visitor->user, "dropout", head->options.dropout);
    }
    return status == MTL_OK && head->factors ? mtli_factorized_describe(head->factors, kind, visitor) : status;
}

static mtl_status find_kind(mtl_context *context, const mtli_lookup *lookup, const char *key, int32_t *kind)
{
    const char *name = lookup->text(lookup->user, key);
    for (int32_t k = 0; name && k < 3; k++) {
        if (strcmp(name, mtli_head_kind_names[k]) == 0) {
            *kind = k;
            return MTL_OK;
        }
    }
    return mtli_fail(context, MTL_ERROR_UNSUPPORTED, "head kind '%.64s' is not known to this version",
                     name ? name : "");
}

static mtl_status restore_head(mtl_context *context, const mtli_lookup *lookup, const char *key, bool hollow,
                               mtl_head **out)
{
    mtl_head_options options = MTL_HEAD_OPTIONS_INIT;
    int32_t kind = 0;
    int64_t in_dim = 0;
    int64_t output_dim = 0;
    int64_t activation = 0;
    mtl_status status = find_kind(context, lookup, key, &kind);
    if (status == MTL_OK) {
        status = lookup->integer(lookup->user, "in_dim", &in_dim);
    }
    if (status == MTL_OK) {
        status = lookup->integer(lookup->user, "output_dim", &output_dim);
    }
    if (status == MTL_OK) {
        status = lookup->integer(lookup->user, "hidden_dim", &options.hidden_dim);
    }
    if (status == MTL_OK) {
        status = lookup->integer(lookup->user, "activation", &activation);
    }
    if (status == MTL_OK) {
        status = lookup->real(lookup->user, "dropout", &options.dropout);
    }
    if (status != MTL_OK) {
        return status;
    }
    options.activation = activation < 0 || activation > INT32_MAX ? -1 : (int32_t)activation;
    return create_checked(context, kind, in_dim, output_dim, least_outputs(kind), &options, hollow, out);
}

mtl_status mtli_head_restore(mtl_context *context, const mtli_lookup *lookup, mtl_head **out)
{
    const char *kind = lookup->text(lookup->user, "kind");
    return kind && strcmp(kind, MTLI_FACTORIZED_KIND) == 0 ? mtli_factorized_head_restore(context, lookup, out)
                                                           : restore_head(context, lookup, "kind", false, out);
}

mtl_status mtli_head_restore_hollow(mtl_context *context, const mtli_lookup *lookup, const char *key, mtl_head **out)
{
    return restore_head(context, lookup, key, true, out);
}
