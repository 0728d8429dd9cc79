/* SPDX-License-Identifier: Apache-2.0
 * The backward pass of an LSTM layer while it runs, and the weight gradients that its two endings have in common. */
#ifndef MTLI_OPS_LSTM_PASS_H
#define MTLI_OPS_LSTM_PASS_H

#include "autograd/segments.h"
#include "ops/lstm_layer.h"

enum { MTLI_LSTM_GRADIENT_ROWS = 96 /* of distinct tokens, in one piece of parallel work */ };

/** What the first of two sweeps leaves for the second (segments.h), of one direction. By segment. */
typedef struct mtli_lstm_kept {
    const mtli_real *dgates;     /* of all tokens */
    const int64_t *offsets;      /* [segments + 1] of their tokens */
    const mtli_real *db;         /* [segments, 4H]; not set where there are no tokens */
    const int64_t *pair_offsets; /* [segments + 1] of their distinct tokens; what follows is not set without these */
    const int32_t *distinct;     /* of each pair, which distinct token */
    const mtli_real *sums;       /* gate gradients of pairs */
} mtli_lstm_kept;

typedef struct mtli_lstm_pass {
    const mtli_lstm_layer *layer;
    const mtli_sweep *sweep;
    mtli_lstm_kept *kept; /* [directions]; NULL: no second sweep will follow */
    const mtli_real *dy;
    mtli_real *dx;     /* of x; NULL: not wanted */
    bool dx_fresh;     /* overwrite it */
    bool input_wanted; /* the gradient of x or of the table */
    mtli_lstm_backward args[MTLI_LSTM_DIRECTIONS];
    mtli_real *dh[MTLI_LSTM_DIRECTIONS];
    mtli_real *packed[MTLI_LSTM_DIRECTIONS];
    mtli_real *sums;        /* gate gradients of distinct tokens, of one direction */
    mtli_real *distinct_dx; /* [distinct, input] */
    /* The direction whose weight gradients are being formed. */
    int32_t direction;
    int32_t weight_pieces;
    mtli_lstm_weights input_weights; /* dw_ih of distinct tokens */
    mtli_lstm_weights weights;       /* all that is not above */
} mtli_lstm_pass;

static inline void *mtli_lstm_scratch(const mtli_lstm_pass *pass, int64_t rows, int64_t width)
{
    return mtli_tape_scratch(pass->layer->call, (size_t)rows, (size_t)width * sizeof(mtli_real));
}

/** Scratch that lasts until the second sweep where one will follow. */
static inline void *mtli_lstm_memory(const mtli_lstm_pass *pass, int64_t rows, int64_t width)
{
    return mtli_sweep_memory(pass->layer->call, pass->sweep, (size_t)rows, (size_t)width * sizeof(mtli_real));
}

/** How many pieces the panels of gates make. */
int32_t mtli_lstm_weight_pieces(const mtli_lstm_layer *layer);

/** Sets pass->weights and pass->input_weights for the gradients of the sweep's target; db [4H] is overwritten by them. */
void mtli_lstm_fill_weights(mtli_lstm_pass *pass, mtli_sweep *sweep, mtli_real *db, const int64_t *distinct_offsets);

/** Adds db to the gradient of a bias (MTLI_LSTM_BIAS_IH, MTLI_LSTM_BIAS_HH) of the pass's direction. */
void mtli_lstm_add_bias(const mtli_lstm_pass *pass, mtli_sweep *sweep, int32_t bias, const mtli_real *db);

/** The ending for a segmented sweep: gradients of the weights and the table of one direction, for each segment. */
mtl_status mtli_lstm_finish_segments(mtli_lstm_pass *pass, mtli_sweep *sweep, int32_t direction);

/** The second sweep: the weighted gradients of weights and biases, from what the first has kept. */
mtl_status mtli_lstm_weighted_backward(const mtli_call *call, mtli_sweep *sweep);

#endif
