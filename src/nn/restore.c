/* SPDX-License-Identifier: Apache-2.0
 * Encoders from their descriptions. */
#include <string.h>

#include "nn/custom_encoder.h"
#include "nn/factorized.h"
#include "nn/lstm_encoder.h"

static mtl_status restore_encoder(mtl_context *context, const mtli_lookup *lookup, const char *kind, bool hollow,
                                  mtl_encoder **out)
{
    if (!kind) {
        return mtli_fail(context, MTL_ERROR_FORMAT, "an encoder without a kind");
    }
    if (strcmp(kind, MTLI_LSTM_KIND) == 0) {
        return mtli_lstm_encoder_restore(context, lookup, hollow, out);
    }
    if (strcmp(kind, MTLI_FACTORIZED_KIND) == 0 && !hollow) {
        return mtli_factorized_encoder_restore(context, lookup, out);
    }
    if (strcmp(kind, MTLI_CUSTOM_KIND) == 0) {
        return mtli_fail(context, MTL_ERROR_UNSUPPORTED,
                         "a custom encoder is made by the host program: assemble the model and load into it");
    }
    return mtli_fail(context, MTL_ERROR_UNSUPPORTED, "encoder kind '%.64s' is not known to this version", kind);
}

mtl_status mtli_encoder_restore(mtl_context *context, const mtli_lookup *lookup, mtl_encoder **out)
{
    return restore_encoder(context, lookup, lookup->text(lookup->user, "kind"), false, out);
}

mtl_status mtli_encoder_restore_hollow(mtl_context *context, const mtli_lookup *lookup, const char *key,
                                       mtl_encoder **out)
{
    return restore_encoder(context, lookup, lookup->text(lookup->user, key), true, out);
}
