/* SPDX-License-Identifier: Apache-2.0
 * What an optimizer runs after its update without knowing what it is: penalties stand above optimizers in the layers. */
#ifndef MTLI_BASE_PROXIMAL_H
#define MTLI_BASE_PROXIMAL_H

#include <stdbool.h>
#include <stdint.h>

#include <mtl/gradients.h>

#include "base/state.h"

/** A parameter that takes part. */
typedef struct mtli_proximal_parameter {
    const mtl_tensor *tensor;
    const char *module; /* its module's name, for messages */
    int32_t place;      /* of the module in the model, if that is the model that it was found in */
} mtli_proximal_parameter;

typedef struct mtli_proximal {
    void *self;
    /* The parameters that take part, from 0; false past the last. */
    bool (*parameter)(const void *self, int64_t index, mtli_proximal_parameter *out);
    /* Called when the update is done; `rate` is the learning rate that the parameters had in it. */
    mtl_status (*step)(void *self, double rate, const mtl_gradients *gradients);
    void (*release)(void *self); /* the optimizer's reference */
    /* Shows what it remembers; all names begin with `prefix`. */
    mtl_status (*visit)(void *self, const char *prefix, const mtli_state_visitor *visitor);
} mtli_proximal;

#endif
