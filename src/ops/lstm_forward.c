/* SPDX-License-Identifier: Apache-2.0
 * The forward pass of an LSTM layer: packs weights and rows, runs the kernels over parts of the sequences, and puts the
 * states back in their rows. */
#include "ops/embedding.h"
#include "ops/lstm_layer.h"

enum {
    PROJECTED_ROWS = 96, /* in one piece of parallel work */
    FEW_SEQUENCES = 4    /* of a part: up to here the input weights are read once for all steps, not once for each */
};

typedef struct lstm_forward_pass {
    mtli_lstm_layer *layer;
    mtli_lstm_forward args[MTLI_LSTM_DIRECTIONS];
    mtli_real *packed[MTLI_LSTM_DIRECTIONS];
    mtli_real *projected[MTLI_LSTM_DIRECTIONS]; /* of distinct tokens, or of all when sequences are few */
    int64_t projected_rows;
    mtli_real *distinct_x; /* [distinct, input] */
    int32_t project_pieces;
} lstm_forward_pass;

/* Parts of a direction: together the directions make one part for each thread. A part runs its sequences from the first
 * step to the last without waiting for others. */
static int32_t count_parts(const mtli_lstm_layer *layer)
{
    int32_t parts = mtli_call_context(layer->call)->threads;
    if (parts % layer->attributes.directions == 0) {
        parts /= layer->attributes.directions;
    }
    if (parts > layer->order.sequences) {
        parts = (int32_t)layer->order.sequences;
    }
    return parts > 1 ? parts : 1;
}

static mtl_status make_layer(mtli_call *call, mtli_lstm_layer **out)
{
    mtli_lstm_layer *layer = mtli_tape_memory(call, 1, sizeof *layer);
    if (!layer) {
        return mtli_call_context(call)->status;
    }
    *layer = (mtli_lstm_layer){.call = call, .kernels = mtli_call_kernels(call), .distinct = {.count = -1}};
    layer->attributes = *(const mtli_lstm_attributes *)call->attributes;
    layer->input = mtli_features(call->inputs[MTLI_LSTM_X]); /* of x or of the table */
    layer->hidden = mtli_features(call->inputs[mtli_lstm_weight(layer, 0, MTLI_LSTM_WEIGHT_HH)]);
    bool tokens = mtli_lstm_reads_tokens(layer);
    const mtl_tensor *sequences = call->inputs[tokens ? MTLI_LSTM_IDS : MTLI_LSTM_X];
    mtl_status status = tokens ? mtli_embedding_check(call, MTLI_LSTM_TABLE, MTLI_LSTM_IDS) : MTL_OK;
    if (status == MTL_OK) {
        status = mtli_lstm_order_make(call, sequences->shape.ragged, &layer->order);
    }
    if (status == MTL_OK && tokens) {
        status = mtli_lstm_tokens_find(call, sequences->data, sequences->size, &layer->distinct);
    }
    layer->parts = count_parts(layer);
    *out = layer;
    return status;
}

/* What is kept for the backward pass comes from the tape, what is not from scratch. */
static void *take(const mtli_lstm_layer *layer, int64_t count, int64_t width)
{
    bool keep = mtli_call_records(layer->call);
    size_t bytes = (size_t)width * sizeof(mtli_real);
    return keep ? mtli_tape_memory(layer->call, (size_t)count, bytes)
                : mtli_tape_scratch(layer->call, (size_t)count, bytes);
}

static void *take_int32(const mtli_lstm_layer *layer, int64_t count)
{
    bool keep = mtli_call_records(layer->call);
    return keep ? mtli_tape_memory(layer->call, (size_t)count, sizeof(int32_t))
                : mtli_tape_scratch(layer->call, (size_t)count, sizeof(int32_t));
}

static bool take_direction_forward(lstm_forward_pass *pass, int32_t d)
{
    const mtli_lstm_layer *layer = pass->layer;
    mtli_lstm_direction *direction = &pass->layer->direction[d];
    int64_t tokens = layer->order.tokens;
    int64_t packed_size = layer->kernels->lstm_forward_packed_size(layer->input, layer->hidden);
    pass->packed[d] = mtli_tape_scratch(layer->call, (size_t)packed_size, sizeof(mtli_real));
    direction->h = take(layer, tokens, layer->hidden);
    direction->c = take(layer, tokens, layer->hidden);
    bool taken = pass->packed[d] && direction->h && direction->c;
    if (taken && mtli_call_records(layer->call)) {
        direction->gates = take(layer, tokens, layer->kernels->lstm_gate_width(layer->hidden));
        taken = direction->gates != NULL;
    }
    if (taken && mtli_lstm_reads_tokens(layer)) {
        direction->token = take_int32(layer, tokens);
        taken = direction->token != NULL;
    }
    if (taken && layer->distinct.count < 0) {
        direction->x = take(layer, tokens, layer->input);
        taken = direction->x != NULL;
    }
    return taken;
}

static bool take_distinct(lstm_forward_pass *pass)
{
    mtli_lstm_layer *layer = pass->layer;
    pass->distinct_x = take(layer, layer->distinct.count, layer->input);
    for (int32_t d = 0; d < layer->attributes.directions; d++) {
        layer->direction[d].x = pass->distinct_x; /* the weight gradient reads it */
    }
    return pass->distinct_x != NULL;
}

static bool take_projected(lstm_forward_pass *pass)
{
    const mtli_lstm_layer *layer = pass->layer;
    int64_t width = layer->kernels->lstm_gate_width(layer->hidden);
    bool taken = true;
    for (int32_t d = 0; d < layer->attributes.directions && taken; d++) {
        pass->projected[d] =
            mtli_tape_scratch(layer->call, (size_t)pass->projected_rows, (size_t)width * sizeof(mtli_real));
        taken = pass->projected[d] != NULL;
    }
    pass->project_pieces = (int32_t)((pass->projected_rows + PROJECTED_ROWS - 1) / PROJECTED_ROWS);
    return taken;
}

/* Rows that are projected before the steps begin; 0: the steps multiply them. */
static int64_t count_projected(const mtli_lstm_layer *layer)
{
    if (layer->distinct.count >= 0) {
        return layer->distinct.count;
    }
    return layer->order.sequences <= FEW_SEQUENCES * layer->parts ? layer->order.tokens : 0;
}

static bool take_for_forward(lstm_forward_pass *pass)
{
    mtli_lstm_layer *layer = pass->layer;
    bool taken = true;
    for (int32_t d = 0; d < layer->attributes.directions && taken; d++) {
        taken = take_direction_forward(pass, d);
    }
    if (taken && layer->distinct.count >= 0) {
        taken = take_distinct(pass);
    }
    pass->projected_rows = count_projected(layer);
    return taken && (pass->projected_rows == 0 || take_projected(pass));
}

static void pack_weights(const lstm_forward_pass *pass, int32_t d)
{
    const mtli_lstm_layer *layer = pass->layer;
    layer->kernels->lstm_pack_forward(layer->input, layer->hidden, mtli_lstm_weight_data(layer, d, MTLI_LSTM_WEIGHT_IH),
                                      mtli_lstm_weight_data(layer, d, MTLI_LSTM_WEIGHT_HH),
                                      mtli_lstm_weight_data(layer, d, MTLI_LSTM_BIAS_IH),
                                      mtli_lstm_weight_data(layer, d, MTLI_LSTM_BIAS_HH), pass->packed[d]);
}

static void pack_rows(const mtli_lstm_layer *layer, int32_t d, int32_t part)
{
    const mtli_lstm_direction *direction = &layer->direction[d];
    mtli_lstm_view view = mtli_lstm_view_of(layer, d, part);
    const mtli_real *values = mtli_input_real(layer->call, MTLI_LSTM_X); /* of x or of the table */
    if (!mtli_lstm_reads_tokens(layer)) {
        mtli_lstm_pack(view, layer->input, values, layer->input, direction->x);
    } else if (layer->distinct.count >= 0) {
        mtli_lstm_pack_int32(view, layer->distinct.rows, direction->token);
    } else {
        mtli_lstm_pack_int32(view, mtli_input_int32(layer->call, MTLI_LSTM_IDS), direction->token);
        mtli_lstm_pack_table(view, layer->input, values, direction->token, direction->x);
    }
}

/* The first `directions` indexes pack weights, the others rows. */
static void prepare_forward_piece(void *argument, int32_t index)
{
    const lstm_forward_pass *pass = argument;
    int32_t directions = pass->layer->attributes.directions;
    if (index < directions) {
        pack_weights(pass, index);
    } else {
        index -= directions;
        pack_rows(pass->layer, index % directions, index / directions);
    }
}

static void project_piece(void *argument, int32_t index)
{
    const lstm_forward_pass *pass = argument;
    const mtli_lstm_layer *layer = pass->layer;
    int32_t d = index / pass->project_pieces;
    int64_t begin = (int64_t)(index % pass->project_pieces) * PROJECTED_ROWS;
    int64_t rest = pass->projected_rows - begin;
    layer->kernels->lstm_project(layer->input, layer->hidden, pass->packed[d], begin,
                                 begin + (rest < PROJECTED_ROWS ? rest : PROJECTED_ROWS), layer->direction[d].x,
                                 pass->projected[d]);
}

static void forward_piece(void *argument, int32_t index)
{
    const lstm_forward_pass *pass = argument;
    const mtli_lstm_layer *layer = pass->layer;
    int32_t directions = layer->attributes.directions;
    int32_t d = index % directions;
    mtli_lstm_view view = mtli_lstm_view_of(layer, d, index / directions);
    layer->kernels->lstm_forward(&pass->args[d], view.part);
    mtli_lstm_unpack(view, layer->hidden, layer->direction[d].h, mtli_output_real(layer->call) + d * layer->hidden,
                     layer->hidden * directions, false);
}

static void fill_args(lstm_forward_pass *pass, int32_t d)
{
    const mtli_lstm_layer *layer = pass->layer;
    const mtli_lstm_direction *direction = &layer->direction[d];
    bool distinct = layer->distinct.count >= 0;
    pass->args[d] = (mtli_lstm_forward){
        .shape = mtli_lstm_shape_of(layer),
        .packed = pass->packed[d],
        .x = pass->projected[d] ? NULL : direction->x,
        .projected = pass->projected[d],
        .projected_row = distinct ? direction->token : NULL,
        .gates = direction->gates,
        .c = direction->c,
        .h = direction->h,
    };
}

mtl_status mtli_lstm_layer_forward(mtli_call *call)
{
    lstm_forward_pass pass = {.layer = NULL};
    mtl_context *context = mtli_call_context(call);
    mtl_status status = make_layer(call, &pass.layer);
    if (status != MTL_OK) {
        return status;
    }
    const mtli_lstm_layer *layer = pass.layer;
    if (!take_for_forward(&pass)) {
        return context->status;
    }
    int32_t directions = layer->attributes.directions;
    for (int32_t d = 0; d < directions; d++) {
        fill_args(&pass, d);
    }
    mtli_parallel_for(context, directions * (1 + layer->parts), prepare_forward_piece, &pass);
    if (layer->distinct.count >= 0) {
        mtli_embedding_gather(call, MTLI_LSTM_TABLE, layer->distinct.ids, layer->distinct.count, pass.distinct_x);
    }
    if (pass.projected_rows > 0) {
        mtli_parallel_for(context, directions * pass.project_pieces, project_piece, &pass);
    }
    mtli_parallel_for(context, directions * layer->parts, forward_piece, &pass);
    call->saved = pass.layer;
    return MTL_OK;
}
