/* SPDX-License-Identifier: Apache-2.0
 * The second sweep over an LSTM layer: the weighted sum of the task gradients that the first has discarded. The recurrence is
 * not run again, for the gate gradients are kept: since a token belongs to one task, its row of x and of h is multiplied by
 * the weight of that task, and the products of the weight gradients are taken over all of them. */
#include <string.h>

#include "ops/lstm_pass.h"
#include "ops/parallel.h"

/** Of the direction whose gradients are being formed. */
typedef struct weighted_pass {
    mtli_lstm_pass pass;
    const mtli_lstm_kept *kept;
    const mtli_segment_weights *weights;
    int32_t num_segments;
    int64_t num_pairs;
} weighted_pass;

/* to[i] = factor[i] * from[row[i]]; a NULL row: i. */
typedef struct row_scaling {
    int64_t width;
    const int32_t *row;
    const mtli_real *factor;
    const mtli_real *from;
    mtli_real *to;
} row_scaling;

static void scale_rows(void *argument, int64_t begin, int64_t end)
{
    const row_scaling *job = argument;
    for (int64_t i = begin; i < end; i++) {
        const mtli_real *from = job->from + (job->row ? job->row[i] : i) * job->width;
        mtli_real *to = job->to + i * job->width;
        for (int64_t j = 0; j < job->width; j++) {
            to[j] = job->factor[i] * from[j];
        }
    }
}

static const mtli_real *scaled_rows(const weighted_pass *job, int64_t count, row_scaling scaling)
{
    scaling.to = mtli_lstm_scratch(&job->pass, count, scaling.width);
    if (scaling.to) {
        mtli_for_range(job->pass.layer->call, count, mtli_rows_per_chunk(scaling.width), scale_rows, &scaling);
    }
    return scaling.to;
}

/* The factor of each packed token, and the tokens that have one. */
static bool weigh_tokens(const weighted_pass *job, mtli_real *factor, mtli_lstm_weights *weights)
{
    const mtli_lstm_order *order = &job->pass.layer->order;
    int32_t *tokens = mtli_tape_scratch(job->pass.layer->call, (size_t)order->tokens, sizeof tokens[0]);
    if (!tokens) {
        return false;
    }
    weights->tokens = tokens;
    weights->token_count = 0;
    for (int64_t step = 0; step < order->steps; step++) {
        for (int64_t n = order->step_offsets[step]; n < order->step_offsets[step + 1]; n++) {
            factor[n] = job->weights->of_row[order->row[n - order->step_offsets[step]]];
            if (factor[n] != 0) {
                tokens[weights->token_count++] = (int32_t)n;
            }
        }
    }
    return true;
}

/* Likewise of pairs of a segment and a distinct token. */
static bool weigh_pairs(const weighted_pass *job, mtli_real *factor, mtli_lstm_weights *weights)
{
    const int64_t *offsets = job->kept->pair_offsets;
    int32_t *pairs = mtli_tape_scratch(job->pass.layer->call, (size_t)job->num_pairs, sizeof pairs[0]);
    if (!pairs) {
        return false;
    }
    weights->tokens = pairs;
    weights->token_count = 0;
    for (int32_t t = 0; t < job->num_segments; t++) {
        for (int64_t pair = offsets[t]; pair < offsets[t + 1]; pair++) {
            factor[pair] = (mtli_real)job->weights->of_task[t];
            if (factor[pair] != 0) {
                pairs[weights->token_count++] = (int32_t)pair;
            }
        }
    }
    return true;
}

/* Of all tokens: dw_hh, and dw_ih unless there are pairs. */
static bool prepare_tokens(weighted_pass *job)
{
    mtli_lstm_pass *pass = &job->pass;
    const mtli_lstm_layer *layer = pass->layer;
    int64_t tokens = layer->order.tokens;
    mtli_real *factor = mtli_lstm_scratch(pass, tokens, 1);
    if (!factor || !weigh_tokens(job, factor, &pass->weights)) {
        return false;
    }
    row_scaling scaling = {.factor = factor, .width = layer->hidden, .from = pass->weights.h};
    pass->weights.h = scaled_rows(job, tokens, scaling);
    if (pass->weights.h && pass->weights.dw_ih) {
        scaling.width = layer->input;
        scaling.from = pass->weights.x;
        pass->weights.x = scaled_rows(job, tokens, scaling);
    }
    return pass->weights.h && pass->weights.x;
}

static bool prepare_pairs(weighted_pass *job)
{
    mtli_lstm_pass *pass = &job->pass;
    if (!pass->input_weights.dw_ih) {
        return true;
    }
    mtli_real *factor = mtli_lstm_scratch(pass, job->num_pairs, 1);
    if (!factor || !weigh_pairs(job, factor, &pass->input_weights)) {
        return false;
    }
    row_scaling scaling = {
        .factor = factor, .width = pass->layer->input, .row = job->kept->distinct, .from = pass->input_weights.x};
    pass->input_weights.x = scaled_rows(job, job->num_pairs, scaling);
    pass->input_weights.dgates = job->kept->sums;
    return pass->input_weights.x != NULL;
}

static void weighted_piece(void *argument, int32_t index)
{
    const mtli_lstm_pass *pass = &((const weighted_pass *)argument)->pass;
    const mtli_kernels *kernels = pass->layer->kernels;
    int64_t panels = kernels->lstm_panels(pass->layer->hidden);
    int64_t begin = panels * index / pass->weight_pieces;
    int64_t end = panels * (index + 1) / pass->weight_pieces;
    if (pass->input_weights.dw_ih) {
        kernels->lstm_weight_gradient(&pass->input_weights, begin, end);
    }
    kernels->lstm_weight_gradient(&pass->weights, begin, end);
}

static void weigh_biases(const weighted_pass *job, mtli_real *db)
{
    int64_t gates = 4 * job->pass.layer->hidden;
    memset(db, 0, (size_t)gates * sizeof db[0]);
    for (int32_t t = 0; t < job->num_segments; t++) {
        mtli_real weight = (mtli_real)job->weights->of_task[t];
        if (weight == 0 || job->kept->offsets[t] == job->kept->offsets[t + 1]) {
            continue;
        }
        for (int64_t j = 0; j < gates; j++) {
            db[j] += weight * job->kept->db[t * gates + j];
        }
    }
}

static mtl_status weighted_direction(weighted_pass *job, mtli_sweep *sweep, int32_t direction)
{
    mtli_lstm_pass *pass = &job->pass;
    mtl_context *context = mtli_call_context(pass->layer->call);
    mtli_real *db = mtli_lstm_scratch(pass, 4, pass->layer->hidden);
    job->kept = (const mtli_lstm_kept *)mtli_sweep_kept(pass->layer->call, sweep) + direction;
    job->num_pairs = job->kept->pair_offsets ? job->kept->pair_offsets[job->num_segments] : 0;
    int64_t pair_shape[] = {0, job->num_pairs};
    pass->direction = direction;
    pass->weight_pieces = mtli_lstm_weight_pieces(pass->layer);
    pass->args[direction].dgates = (mtli_real *)(uintptr_t)job->kept->dgates; /* is read */
    mtli_lstm_fill_weights(pass, sweep, NULL, pair_shape);
    if (!db || !prepare_tokens(job) || !prepare_pairs(job)) {
        return context->status;
    }
    mtli_parallel_for(context, pass->weight_pieces, weighted_piece, job);
    weigh_biases(job, db);
    mtli_lstm_add_bias(pass, sweep, MTLI_LSTM_BIAS_IH, db);
    mtli_lstm_add_bias(pass, sweep, MTLI_LSTM_BIAS_HH, db);
    return MTL_OK;
}

mtl_status mtli_lstm_weighted_backward(const mtli_call *call, mtli_sweep *sweep)
{
    weighted_pass job = {.pass = {.layer = call->saved, .sweep = sweep}, .weights = mtli_sweep_weights(sweep)};
    mtl_status status = MTL_OK;
    job.num_segments = job.weights->num_tasks;
    mtli_sweep_select(sweep, 0);
    for (int32_t d = 0; d < job.pass.layer->attributes.directions && status == MTL_OK; d++) {
        status = weighted_direction(&job, sweep, d);
    }
    return status;
}
