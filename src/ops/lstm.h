/* SPDX-License-Identifier: Apache-2.0
 * An LSTM that reads token ids itself: what an encoder runs when nothing stands between embedding and LSTM. */
#ifndef MTLI_OPS_LSTM_H
#define MTLI_OPS_LSTM_H

#include <mtl/ops.h>

/** mtl_lstm(tape, mtl_embedding(tape, table, ids), ...), with the first layer's input products formed once for each
 *  distinct token of the batch. Equal to rounding. */
mtl_tensor *mtli_lstm_of_tokens(mtl_tape *tape, mtl_tensor *table, mtl_tensor *ids, const mtl_lstm_weights *weights,
                                int32_t layers, int32_t bidirectional, double dropout);

#endif
