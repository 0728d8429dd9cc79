/* SPDX-License-Identifier: Apache-2.0
 * The first layer's economy: text repeats its words, so each distinct token of a batch is multiplied with the input
 * weights once, forward and backward. Exact: sums are only taken in another order. */
#ifndef MTLI_OPS_LSTM_TOKENS_H
#define MTLI_OPS_LSTM_TOKENS_H

#include "autograd/op.h"

typedef struct mtli_lstm_tokens {
    int64_t count;       /* of distinct tokens; < 0: not in use */
    const int32_t *ids;  /* [count], in order of first occurrence */
    const int32_t *rows; /* [n]: which of them stands at each place */
} mtli_lstm_tokens;

/** Finds the distinct tokens of ids[n] when that pays; else count is -1. ids live as long as the tape's memory, rows as
 *  long as its scratch. */
mtl_status mtli_lstm_tokens_find(const mtli_call *call, const int32_t *ids, int64_t n, mtli_lstm_tokens *tokens);

#endif
