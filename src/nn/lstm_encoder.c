/* SPDX-License-Identifier: Apache-2.0
 * The shared LSTM encoder: embedding, dropout, layers, pooling, dropout. */
#include "nn/lstm_encoder.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <mtl/ops.h>

#include "autograd/tape.h"
#include "ops/lstm.h"

enum { MAX_LAYERS = 64, WEIGHTS_PER_CELL = 4, NAME_SIZE = 48 };

static const double embedding_scale = 0.1;

static const char *const weight_names[WEIGHTS_PER_CELL] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"};

static mtl_status check_probability(mtl_context *context, const char *name, double p)
{
    if (!(p >= 0 && p < 1)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "%s = %g is not in [0, 1)", name, p);
    }
    return MTL_OK;
}

static mtl_status check_size(mtl_context *context, const char *name, int64_t value, int64_t most)
{
    if (value < 1) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "%s = %" PRId64 " is less than 1", name, value);
    }
    if (value > most) {
        return mtli_fail(context, MTL_ERROR_LIMIT, "%s = %" PRId64 " is more than %" PRId64, name, value, most);
    }
    return MTL_OK;
}

static mtl_status check_lstm_options(mtl_context *context, const mtl_lstm_options *options)
{
    mtl_status status = mtli_check_reserved(context, options->reserved0);
    if (status == MTL_OK) {
        status = check_size(context, "vocabulary_size", options->vocabulary_size, INT32_MAX);
    }
    if (status == MTL_OK) {
        status = check_size(context, "embedding_dim", options->embedding_dim, INT32_MAX / 8);
    }
    if (status == MTL_OK) {
        status = check_size(context, "hidden_dim", options->hidden_dim, INT32_MAX / 8);
    }
    if (status == MTL_OK) {
        status = check_size(context, "num_layers", options->num_layers, MAX_LAYERS);
    }
    if (status == MTL_OK && (options->pooling < MTL_POOLING_LAST || options->pooling > MTL_POOLING_MAX)) {
        status = mtli_fail(context, MTL_ERROR_ARGUMENT, "pooling = %d is not a pooling", options->pooling);
    }
    if (status == MTL_OK) {
        status = check_probability(context, "embedding_dropout", options->embedding_dropout);
    }
    if (status == MTL_OK) {
        status = check_probability(context, "layer_dropout", options->layer_dropout);
    }
    if (status == MTL_OK) {
        status = check_probability(context, "output_dropout", options->output_dropout);
    }
    return status;
}

static int32_t directions_of(const mtl_lstm_options *options)
{
    return options->bidirectional ? 2 : 1;
}

static int32_t num_cells(const mtl_lstm_options *options)
{
    return options->num_layers * directions_of(options);
}

static void specify_cell(const mtl_lstm_options *options, int32_t cell, mtli_parameter_spec *specs,
                         char (*names)[NAME_SIZE])
{
    int32_t directions = directions_of(options);
    int32_t layer = cell / directions;
    int64_t hidden = options->hidden_dim;
    int64_t in = layer == 0 ? options->embedding_dim : hidden * directions;
    for (int32_t k = 0; k < WEIGHTS_PER_CELL; k++) {
        snprintf(names[k], NAME_SIZE, "lstm.%s_l%d%s", weight_names[k], layer, cell % directions ? "_reverse" : "");
        specs[k] = (mtli_parameter_spec){.name = names[k],
                                         .ndim = k < 2 ? 2 : 1,
                                         .dims = {4 * hidden, k == 0 ? in : hidden},
                                         .init = MTLI_INIT_UNIFORM,
                                         .scale = 1 / sqrt((double)hidden)};
    }
}

static void open_forget_gates(mtl_encoder *encoder, const mtl_lstm_options *options)
{
    int64_t hidden = options->hidden_dim;
    for (int32_t cell = 0; cell < num_cells(options); cell++) {
        mtli_real *bias_ih = encoder->parameters->list[1 + cell * WEIGHTS_PER_CELL + 2].tensor.data;
        for (int64_t i = hidden; i < 2 * hidden; i++) {
            bias_ih[i] = 1;
        }
    }
}

/* Without dropout between them, embedding and first layer are one operation, which multiplies each distinct token once. */
static mtl_tensor *run_encoder_layers(mtl_tape *tape, const mtl_lstm_options *options, mtl_tensor *table,
                                      mtl_tensor *ids, const mtl_lstm_weights *weights)
{
    if (options->embedding_dropout == 0 || (tape && tape->mode == MTL_TAPE_INFER)) {
        return mtli_lstm_of_tokens(tape, table, ids, weights, options->num_layers, options->bidirectional,
                                   options->layer_dropout);
    }
    mtl_tensor *x = mtl_dropout(tape, mtl_embedding(tape, table, ids), options->embedding_dropout);
    return mtl_lstm(tape, x, weights, options->num_layers, options->bidirectional, options->layer_dropout);
}

static mtl_tensor *lstm_encoder_forward(mtl_encoder *encoder, mtl_tape *tape, mtl_tensor *inputs)
{
    const mtl_lstm_options *options = &encoder->as.lstm;
    mtli_parameter *list = encoder->parameters->list;
    mtl_lstm_weights weights[2 * MAX_LAYERS];
    for (int32_t cell = 0; cell < num_cells(options); cell++) {
        mtli_parameter *first = &list[1 + cell * WEIGHTS_PER_CELL];
        weights[cell] = (mtl_lstm_weights){&first[0].tensor, &first[1].tensor, &first[2].tensor, &first[3].tensor};
    }
    mtl_tensor *x = run_encoder_layers(tape, options, &list[0].tensor, inputs, weights);
    switch (options->pooling) {
    case MTL_POOLING_MEAN:
        x = mtl_sequence_mean(tape, x);
        break;
    case MTL_POOLING_MAX:
        x = mtl_sequence_max(tape, x);
        break;
    default:
        x = mtl_sequence_last(tape, x, options->hidden_dim);
        break;
    }
    return mtl_dropout(tape, x, options->output_dropout);
}

static mtl_status lstm_encoder_describe(const mtl_encoder *encoder, const mtli_visitor *visitor)
{
    const mtl_lstm_options *options = &encoder->as.lstm;
    const struct {
        const char *key;
        int64_t value;
    } integers[] = {
        {"vocabulary_size", options->vocabulary_size}, {"embedding_dim", options->embedding_dim},
        {"hidden_dim", options->hidden_dim},           {"num_layers", options->num_layers},
        {"bidirectional", options->bidirectional},     {"pooling", options->pooling},
    };
    const struct {
        const char *key;
        double value;
    } reals[] = {
        {"embedding_dropout", options->embedding_dropout},
        {"layer_dropout", options->layer_dropout},
        {"output_dropout", options->output_dropout},
    };
    mtl_status status = MTL_OK;
    for (size_t i = 0; i < sizeof integers / sizeof integers[0] && status == MTL_OK; i++) {
        status = visitor->integer(visitor->user, integers[i].key, integers[i].value);
    }
    for (size_t i = 0; i < sizeof reals / sizeof reals[0] && status == MTL_OK; i++) {
        status = visitor->real(visitor->user, reals[i].key, reals[i].value);
    }
    return status;
}

static mtl_status look_up_int32(const mtli_lookup *lookup, const char *key, int32_t *value)
{
    int64_t wide;
    mtl_status status = lookup->integer(lookup->user, key, &wide);
    if (status == MTL_OK) {
        *value = wide < 0 || wide > INT32_MAX ? -1 : (int32_t)wide; /* -1: num_layers and pooling refuse it */
    }
    return status;
}

mtl_status mtli_lstm_encoder_restore(mtl_context *context, const mtli_lookup *lookup, bool hollow, mtl_encoder **out)
{
    mtl_lstm_options options = MTL_LSTM_OPTIONS_INIT;
    mtl_status status = lookup->integer(lookup->user, "vocabulary_size", &options.vocabulary_size);
    if (status == MTL_OK) {
        status = lookup->integer(lookup->user, "embedding_dim", &options.embedding_dim);
    }
    if (status == MTL_OK) {
        status = lookup->integer(lookup->user, "hidden_dim", &options.hidden_dim);
    }
    if (status == MTL_OK) {
        status = look_up_int32(lookup, "num_layers", &options.num_layers);
    }
    if (status == MTL_OK) {
        status = look_up_int32(lookup, "bidirectional", &options.bidirectional);
    }
    options.bidirectional = options.bidirectional != 0;
    if (status == MTL_OK) {
        status = look_up_int32(lookup, "pooling", &options.pooling);
    }
    if (status == MTL_OK) {
        status = lookup->real(lookup->user, "embedding_dropout", &options.embedding_dropout);
    }
    if (status == MTL_OK) {
        status = lookup->real(lookup->user, "layer_dropout", &options.layer_dropout);
    }
    if (status == MTL_OK) {
        status = lookup->real(lookup->user, "output_dropout", &options.output_dropout);
    }
    return status == MTL_OK ? mtli_lstm_encoder_create(context, &options, hollow, out) : status;
}

static bool same_lstm(const mtl_encoder *a, const mtl_encoder *b)
{
    return memcmp(&a->as.lstm, &b->as.lstm, sizeof a->as.lstm) == 0; /* options have no padding */
}

static const mtli_encoder_kind lstm_kind = {
    .name = MTLI_LSTM_KIND,
    .forward = lstm_encoder_forward,
    .describe = lstm_encoder_describe,
    .same = same_lstm,
};

mtl_status mtli_lstm_encoder_create(mtl_context *context, const mtl_lstm_options *options, bool hollow,
                                    mtl_encoder **out)
{
    mtl_status status = check_lstm_options(context, options);
    if (status != MTL_OK) {
        return status;
    }
    mtli_parameter_spec specs[1 + 2 * MAX_LAYERS * WEIGHTS_PER_CELL];
    char names[2 * MAX_LAYERS * WEIGHTS_PER_CELL][NAME_SIZE];
    specs[0] = (mtli_parameter_spec){.name = "embedding.weight",
                                     .ndim = 2,
                                     .dims = {options->vocabulary_size, options->embedding_dim},
                                     .init = MTLI_INIT_NORMAL,
                                     .scale = embedding_scale,
                                     .row_sparse = true};
    int32_t cells = num_cells(options);
    for (int32_t cell = 0; cell < cells; cell++) {
        specify_cell(options, cell, &specs[1 + cell * WEIGHTS_PER_CELL], &names[cell * WEIGHTS_PER_CELL]);
    }
    mtl_encoder *encoder = mtli_encoder_allocate(context, &lstm_kind, options->hidden_dim * directions_of(options));
    if (!encoder) {
        return context->status;
    }
    int32_t count = 1 + cells * WEIGHTS_PER_CELL;
    status = hollow ? mtli_parameters_create_hollow(context, specs, count, &encoder->parameters)
                    : mtli_parameters_create(context, specs, count, &encoder->parameters);
    if (status != MTL_OK) {
        mtl_encoder_release(encoder);
        return status;
    }
    encoder->as.lstm = *options;
    if (!hollow) {
        open_forget_gates(encoder, options);
    }
    *out = encoder;
    return MTL_OK;
}

mtl_status mtl_encoder_create_lstm(mtl_context *context, const mtl_lstm_options *options, mtl_encoder **out)
{
    if (!context) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(context);
    MTLI_REQUIRE(context, options);
    MTLI_REQUIRE(context, out);
    mtl_lstm_options known = MTL_LSTM_OPTIONS_INIT;
    mtl_status status = mtli_import_options(context, "options", &known, sizeof known, sizeof known, options);
    return status == MTL_OK ? mtli_lstm_encoder_create(context, &known, false, out) : status;
}
