/* SPDX-License-Identifier: Apache-2.0
 * What an optimizer runs after its update without knowing what it is: penalties stand above optimizers in the layers. */
#ifndef MTLI_BASE_PROXIMAL_H
#define MTLI_BASE_PROXIMAL_H

#include <stdint.h>

#include <mtl/gradients.h>

typedef struct mtli_proximal {
    void *self;
    /* The parameters that take part, from 0; NULL past the last. */
    const mtl_tensor *(*parameter)(const void *self, int64_t index);
    /* Called when the update is done; `rate` is the learning rate that the parameters had in it. */
    mtl_status (*step)(void *self, double rate, const mtl_gradients *gradients);
    void (*release)(void *self); /* the optimizer's reference */
} mtli_proximal;

#endif
