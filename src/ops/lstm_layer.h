/* SPDX-License-Identifier: Apache-2.0
 * One LSTM layer, in one direction or both, as one operation: what its forward pass leaves for its backward pass. */
#ifndef MTLI_OPS_LSTM_LAYER_H
#define MTLI_OPS_LSTM_LAYER_H

#include "ops/lstm_order.h"
#include "ops/lstm_tokens.h"

enum {
    /* The operation lstm: x, then the weights of each direction. */
    MTLI_LSTM_X = 0,
    /* The operation lstm_tokens: table and ids instead of x. */
    MTLI_LSTM_TABLE = 0,
    MTLI_LSTM_IDS = 1,

    /* The weights of one direction. */
    MTLI_LSTM_WEIGHT_IH = 0,
    MTLI_LSTM_WEIGHT_HH,
    MTLI_LSTM_BIAS_IH,
    MTLI_LSTM_BIAS_HH,
    MTLI_LSTM_WEIGHTS,

    MTLI_LSTM_DIRECTIONS = 2
};

typedef struct mtli_lstm_attributes {
    int32_t layer;
    int32_t directions;
    int32_t first_weight; /* input index: 1 after x, 2 after table and ids */
} mtli_lstm_attributes;

/** In packed order. */
typedef struct mtli_lstm_direction {
    mtli_real *x;   /* [tokens, input]; with distinct tokens NULL */
    int32_t *token; /* lstm_tokens: row of the table of each token, or of the distinct tokens */
    mtli_real *h;   /* [tokens, hidden] */
    mtli_real *c;
    mtli_real *gates; /* in the kernels' layout */
} mtli_lstm_direction;

typedef struct mtli_lstm_layer {
    const mtli_call *call;
    const mtli_kernels *kernels;
    mtli_lstm_attributes attributes;
    mtli_lstm_order order;
    int64_t input;
    int64_t hidden;
    int32_t parts;             /* of each direction's sequences, in parallel work */
    mtli_lstm_tokens distinct; /* count < 0: each token on its own */
    mtli_lstm_direction direction[MTLI_LSTM_DIRECTIONS];
} mtli_lstm_layer;

mtl_status mtli_lstm_layer_forward(mtli_call *call);
mtl_status mtli_lstm_layer_backward(const mtli_call *call, mtli_sweep *sweep);

static inline bool mtli_lstm_reads_tokens(const mtli_lstm_layer *layer)
{
    return layer->attributes.first_weight == MTLI_LSTM_IDS + 1;
}

static inline int32_t mtli_lstm_weight(const mtli_lstm_layer *layer, int32_t direction, int32_t weight)
{
    return layer->attributes.first_weight + direction * MTLI_LSTM_WEIGHTS + weight;
}

static inline const mtli_real *mtli_lstm_weight_data(const mtli_lstm_layer *layer, int32_t direction, int32_t weight)
{
    return mtli_input_real(layer->call, mtli_lstm_weight(layer, direction, weight));
}

static inline mtli_lstm_view mtli_lstm_view_of(const mtli_lstm_layer *layer, int32_t direction, int32_t part)
{
    mtli_lstm_view view = {&layer->order, {part, layer->parts}, direction == 1};
    return view;
}

static inline mtli_lstm_shape mtli_lstm_shape_of(const mtli_lstm_layer *layer)
{
    mtli_lstm_shape shape = {layer->input, layer->hidden, layer->order.steps, layer->order.step_offsets};
    return shape;
}

#endif
