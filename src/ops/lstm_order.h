/* SPDX-License-Identifier: Apache-2.0
 * The order in which an LSTM visits ragged sequences: longest first, packed by time step, so that no padding exists. */
#ifndef MTLI_OPS_LSTM_ORDER_H
#define MTLI_OPS_LSTM_ORDER_H

#include "autograd/op.h"

/** Packed token step_offsets[t] + r is step t of the r-th longest sequence, row[r] of the ragged tensor. Reading from the
 *  end (reverse), step t is the sequence's t-th token from its end; the packed positions are the same. */
typedef struct mtli_lstm_order {
    int64_t tokens;
    int64_t sequences;           /* that are not empty */
    int64_t steps;               /* length of the longest */
    const int64_t *step_offsets; /* [steps + 1] */
    const int64_t *row;          /* [sequences]; equal lengths keep their order */
    const int64_t *offsets;      /* of the ragged tensor */
} mtli_lstm_order;

/** Makes the order, in memory of the tape. */
mtl_status mtli_lstm_order_make(const mtli_call *call, const mtli_ragged *ragged, mtli_lstm_order *order);

/** The sequences of one part, in one direction. */
typedef struct mtli_lstm_view {
    const mtli_lstm_order *order;
    mtli_part part;
    bool reverse;
} mtli_lstm_view;

/** to[packed token, width] = from[row of the token, 0 .. width) where rows of `from` are `stride` apart. */
void mtli_lstm_pack(mtli_lstm_view view, int64_t width, const mtli_real *from, int64_t stride, mtli_real *to);

/** The way back: rows of `to` are `stride` apart. Adds where `add` is set. */
void mtli_lstm_unpack(mtli_lstm_view view, int64_t width, const mtli_real *from, mtli_real *to, int64_t stride,
                      bool add);

/** to[packed token] = from[row of the token] */
void mtli_lstm_pack_int32(mtli_lstm_view view, const int32_t *from, int32_t *to);

/** to[packed token, width] = table[id[packed token], width] */
void mtli_lstm_pack_table(mtli_lstm_view view, int64_t width, const mtli_real *table, const int32_t *id, mtli_real *to);

#endif
