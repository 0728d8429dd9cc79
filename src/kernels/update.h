/* SPDX-License-Identifier: Apache-2.0
 * The inner loops of the optimizers, on runs of contiguous values. */
#ifndef MTLI_KERNELS_UPDATE_H
#define MTLI_KERNELS_UPDATE_H

#include "base/real.h"

/** One step of SGD: g += decay w; v = momentum v + g; w -= rate (nesterov ? g + momentum v : v). */
typedef struct mtli_sgd_step {
    mtli_real rate;
    mtli_real momentum;
    mtli_real decay;
    int nesterov;
} mtli_sgd_step;

/** One step of Adam: g += decay w; w -= shrink w; m, v as usual; w -= rate m / (sqrt(v) correction + epsilon). */
typedef struct mtli_adam_step {
    mtli_real rate; /* learning rate / (1 - beta1^t) */
    mtli_real beta1;
    mtli_real beta2;
    mtli_real correction; /* 1 / sqrt(1 - beta2^t) */
    mtli_real epsilon;
    mtli_real decay;  /* Adam's weight decay */
    mtli_real shrink; /* AdamW's: learning rate * weight decay */
} mtli_adam_step;

/** w, g, v: n values each; g may be NULL (zeros); v is NULL without momentum. */
void mtli_sgd_update(const mtli_sgd_step *step, int64_t n, mtli_real *w, const mtli_real *g, mtli_real *v);

/** w, g, m, v: n values each; g may be NULL (zeros). */
void mtli_adam_update(const mtli_adam_step *step, int64_t n, mtli_real *w, const mtli_real *g, mtli_real *m,
                      mtli_real *v);

#endif
