/* SPDX-License-Identifier: Apache-2.0
 * The backward pass of an LSTM layer: gate gradients over parts of the sequences, then weight gradients over panels of
 * gates, which need no sum between threads. */
#include <string.h>

#include "ops/lstm_pass.h"

static bool is_distinct(const mtli_lstm_pass *pass)
{
    return pass->layer->distinct.count >= 0;
}

static bool take_direction_backward(mtli_lstm_pass *pass, int32_t d)
{
    const mtli_lstm_layer *layer = pass->layer;
    const mtli_lstm_direction *direction = &layer->direction[d];
    int64_t tokens = layer->order.tokens;
    bool dx = pass->input_wanted && !is_distinct(pass);
    mtli_lstm_backward *args = &pass->args[d];
    args->shape = mtli_lstm_shape_of(layer);
    args->gates = direction->gates;
    args->c = direction->c;
    args->packed = pass->packed[d] =
        mtli_lstm_scratch(pass, 1, layer->kernels->lstm_backward_packed_size(layer->input, layer->hidden));
    args->dh = pass->dh[d] = mtli_lstm_scratch(pass, tokens, layer->hidden);
    args->dgates = mtli_lstm_memory(pass, tokens, layer->kernels->lstm_gate_width(layer->hidden));
    args->work = mtli_lstm_scratch(pass, 1, layer->kernels->lstm_backward_work(layer->order.sequences, layer->hidden));
    args->dx = dx ? mtli_lstm_scratch(pass, tokens, layer->input) : NULL;
    return args->packed && args->dh && args->dgates && args->work && (args->dx || !dx);
}

static bool take_for_backward(mtli_lstm_pass *pass)
{
    const mtli_lstm_layer *layer = pass->layer;
    bool taken = true;
    for (int32_t d = 0; d < layer->attributes.directions && taken; d++) {
        taken = take_direction_backward(pass, d);
    }
    if (taken && is_distinct(pass) && !mtli_sweep_segments(pass->sweep)) {
        pass->sums = mtli_lstm_scratch(pass, layer->distinct.count, layer->kernels->lstm_gate_width(layer->hidden));
        pass->distinct_dx = mtli_lstm_scratch(pass, layer->distinct.count, layer->input);
        taken = pass->sums && pass->distinct_dx;
    }
    return taken;
}

/* The first `directions` indexes pack weights, the others the gradient of the output. */
static void prepare_backward_piece(void *argument, int32_t index)
{
    const mtli_lstm_pass *pass = argument;
    const mtli_lstm_layer *layer = pass->layer;
    int32_t directions = layer->attributes.directions;
    if (index < directions) {
        layer->kernels->lstm_pack_backward(
            layer->input, layer->hidden, mtli_lstm_weight_data(layer, index, MTLI_LSTM_WEIGHT_IH),
            mtli_lstm_weight_data(layer, index, MTLI_LSTM_WEIGHT_HH), pass->packed[index]);
        return;
    }
    index -= directions;
    int32_t d = index % directions;
    mtli_lstm_pack(mtli_lstm_view_of(layer, d, index / directions), layer->hidden, pass->dy + d * layer->hidden,
                   layer->hidden * directions, pass->dh[d]);
}

static void backward_piece(void *argument, int32_t index)
{
    const mtli_lstm_pass *pass = argument;
    int32_t directions = pass->layer->attributes.directions;
    mtli_part part = {index / directions, pass->layer->parts};
    pass->layer->kernels->lstm_backward(&pass->args[index % directions], part);
}

/* Both directions of a sequence's dx, by one thread and in this order. */
static void unpack_piece(void *argument, int32_t part)
{
    const mtli_lstm_pass *pass = argument;
    const mtli_lstm_layer *layer = pass->layer;
    for (int32_t d = 0; d < layer->attributes.directions; d++) {
        mtli_lstm_unpack(mtli_lstm_view_of(layer, d, part), layer->input, pass->args[d].dx, pass->dx, layer->input,
                         d > 0 || !pass->dx_fresh);
    }
}

/* ---- weights ---- */

static void weight_piece(void *argument, int32_t index)
{
    const mtli_lstm_pass *pass = argument;
    const mtli_lstm_layer *layer = pass->layer;
    const mtli_kernels *kernels = layer->kernels;
    int64_t panels = kernels->lstm_panels(layer->hidden);
    int64_t begin = panels * index / pass->weight_pieces;
    int64_t end = panels * (index + 1) / pass->weight_pieces;
    if (is_distinct(pass)) {
        kernels->lstm_sum_gates(layer->order.tokens, layer->distinct.count, layer->direction[pass->direction].token,
                                pass->args[pass->direction].dgates, pass->sums, begin, end);
    }
    if (pass->input_weights.dw_ih) {
        kernels->lstm_weight_gradient(&pass->input_weights, begin, end);
    }
    kernels->lstm_weight_gradient(&pass->weights, begin, end);
}

/* Kernels overwrite everything or add to everything. */
static void clear_if_fresh(mtli_real *values, bool fresh, int64_t size)
{
    if (values && fresh) {
        memset(values, 0, (size_t)size * sizeof values[0]);
    }
}

void mtli_lstm_fill_weights(mtli_lstm_pass *pass, mtli_sweep *sweep, mtli_real *db, const int64_t *distinct_offsets)
{
    const mtli_lstm_layer *layer = pass->layer;
    const mtli_lstm_direction *direction = &layer->direction[pass->direction];
    int32_t weight_ih = mtli_lstm_weight(layer, pass->direction, MTLI_LSTM_WEIGHT_IH);
    int32_t weight_hh = mtli_lstm_weight(layer, pass->direction, MTLI_LSTM_WEIGHT_HH);
    bool fresh_ih = false;
    bool fresh_hh = false;
    mtli_real *dw_ih = mtli_gradient_fresh(layer->call, sweep, weight_ih, &fresh_ih);
    mtli_real *dw_hh = mtli_gradient_fresh(layer->call, sweep, weight_hh, &fresh_hh);
    bool accumulate = (dw_ih && !fresh_ih) || (dw_hh && !fresh_hh);
    if (accumulate) {
        clear_if_fresh(dw_ih, fresh_ih, layer->call->inputs[weight_ih]->size);
        clear_if_fresh(dw_hh, fresh_hh, layer->call->inputs[weight_hh]->size);
        clear_if_fresh(db, true, 4 * layer->hidden);
    }
    pass->weights = (mtli_lstm_weights){
        .shape = mtli_lstm_shape_of(layer),
        .dgates = pass->args[pass->direction].dgates,
        .x = direction->x,
        .h = direction->h,
        .dw_ih = dw_ih,
        .dw_hh = dw_hh,
        .db = db,
        .accumulate = accumulate,
    };
    pass->input_weights.dw_ih = NULL;
    if (is_distinct(pass)) {
        mtli_lstm_shape shape = {layer->input, layer->hidden, 1, distinct_offsets};
        pass->input_weights = pass->weights;
        pass->input_weights.shape = shape;
        pass->input_weights.dgates = pass->sums;
        pass->input_weights.dw_hh = NULL;
        pass->input_weights.db = NULL;
        pass->weights.dw_ih = NULL;
    }
}

void mtli_lstm_add_bias(const mtli_lstm_pass *pass, mtli_sweep *sweep, int32_t bias, const mtli_real *db)
{
    const mtli_lstm_layer *layer = pass->layer;
    mtli_real *target = mtli_gradient(layer->call, sweep, mtli_lstm_weight(layer, pass->direction, bias));
    for (int64_t j = 0; target && j < 4 * layer->hidden; j++) {
        target[j] += db[j];
    }
}

static void gradient_rows_piece(void *argument, int32_t index)
{
    const mtli_lstm_pass *pass = argument;
    const mtli_lstm_layer *layer = pass->layer;
    int64_t begin = (int64_t)index * MTLI_LSTM_GRADIENT_ROWS;
    int64_t rest = layer->distinct.count - begin;
    layer->kernels->lstm_input_gradient(layer->input, layer->hidden, pass->packed[pass->direction], begin,
                                        begin + (rest < MTLI_LSTM_GRADIENT_ROWS ? rest : MTLI_LSTM_GRADIENT_ROWS),
                                        layer->distinct.count, pass->sums, pass->distinct_dx);
}

/* The gradient of the table: of distinct tokens, or of each token. */
static mtl_status add_table_gradient(mtli_lstm_pass *pass, mtli_sweep *sweep)
{
    const mtli_lstm_layer *layer = pass->layer;
    if (!pass->input_wanted || !mtli_lstm_reads_tokens(layer)) {
        return MTL_OK;
    }
    if (!is_distinct(pass)) {
        return mtli_gradient_rows(layer->call, sweep, MTLI_LSTM_TABLE, layer->direction[pass->direction].token,
                                  layer->order.tokens, pass->args[pass->direction].dx);
    }
    int32_t pieces = (int32_t)((layer->distinct.count + MTLI_LSTM_GRADIENT_ROWS - 1) / MTLI_LSTM_GRADIENT_ROWS);
    mtli_parallel_for(mtli_call_context(layer->call), pieces, gradient_rows_piece, pass);
    return mtli_gradient_rows(layer->call, sweep, MTLI_LSTM_TABLE, layer->distinct.ids, layer->distinct.count,
                              pass->distinct_dx);
}

int32_t mtli_lstm_weight_pieces(const mtli_lstm_layer *layer)
{
    int64_t panels = layer->kernels->lstm_panels(layer->hidden);
    int32_t threads = mtli_call_context(layer->call)->threads;
    return threads < panels ? threads : (int32_t)panels;
}

/* One direction after the other: a host may use the same weights for both. */
static mtl_status finish_direction(mtli_lstm_pass *pass, mtli_sweep *sweep, int32_t direction, mtli_real *db)
{
    mtl_context *context = mtli_call_context(pass->layer->call);
    int64_t distinct_offsets[] = {0, pass->layer->distinct.count};
    pass->direction = direction;
    pass->weight_pieces = mtli_lstm_weight_pieces(pass->layer);
    mtli_lstm_fill_weights(pass, sweep, db, distinct_offsets);
    mtli_parallel_for(context, pass->weight_pieces, weight_piece, pass);
    mtli_lstm_add_bias(pass, sweep, MTLI_LSTM_BIAS_IH, db);
    mtli_lstm_add_bias(pass, sweep, MTLI_LSTM_BIAS_HH, db);
    return add_table_gradient(pass, sweep);
}

static bool keep_for_second_sweep(mtli_lstm_pass *pass, mtli_sweep *sweep)
{
    if (!mtli_sweep_keeps(sweep)) {
        return true;
    }
    const mtli_call *call = pass->layer->call;
    pass->kept = mtli_sweep_memory(call, sweep, (size_t)pass->layer->attributes.directions, sizeof pass->kept[0]);
    mtli_sweep_keep(call, sweep, pass->kept);
    return pass->kept != NULL;
}

mtl_status mtli_lstm_layer_backward(const mtli_call *call, mtli_sweep *sweep)
{
    if (mtli_sweep_weights(sweep)) {
        return mtli_lstm_weighted_backward(call, sweep);
    }
    mtli_lstm_pass pass = {.layer = call->saved, .sweep = sweep, .dy = mtli_output_gradient(call, sweep)};
    mtl_context *context = mtli_call_context(call);
    int32_t directions = pass.layer->attributes.directions;
    pass.input_wanted = mtli_call_needs(call, MTLI_LSTM_X); /* x or the table */
    if (!mtli_lstm_reads_tokens(pass.layer)) {
        pass.dx = mtli_gradient_fresh(call, sweep, MTLI_LSTM_X, &pass.dx_fresh);
        pass.input_wanted = pass.dx != NULL;
    }
    mtli_real *db = mtli_lstm_scratch(&pass, 4, pass.layer->hidden);
    if (!db || !take_for_backward(&pass) || !keep_for_second_sweep(&pass, sweep)) {
        return context->status;
    }
    mtli_parallel_for(context, directions * (1 + pass.layer->parts), prepare_backward_piece, &pass);
    mtli_parallel_for(context, directions * pass.layer->parts, backward_piece, &pass);
    if (pass.dx) {
        mtli_parallel_for(context, pass.layer->parts, unpack_piece, &pass);
    }
    mtl_status status = MTL_OK;
    for (int32_t d = 0; d < directions && status == MTL_OK; d++) {
        status = mtli_sweep_segments(sweep) ? mtli_lstm_finish_segments(&pass, sweep, d)
                                            : finish_direction(&pass, sweep, d, db);
    }
    return status;
}
