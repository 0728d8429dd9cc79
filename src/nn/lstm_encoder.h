/* SPDX-License-Identifier: Apache-2.0
 * The LSTM encoder from inside. */
#ifndef MTLI_NN_LSTM_ENCODER_H
#define MTLI_NN_LSTM_ENCODER_H

#include "nn/module.h"

#define MTLI_LSTM_KIND "lstm"

/** Hollow: its parameters have no values. */
mtl_status mtli_lstm_encoder_create(mtl_context *context, const mtl_lstm_options *options, bool hollow,
                                    mtl_encoder **out);
mtl_status mtli_lstm_encoder_restore(mtl_context *context, const mtli_lookup *lookup, bool hollow, mtl_encoder **out);

#endif
