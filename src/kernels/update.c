/* SPDX-License-Identifier: Apache-2.0
 * The inner loops of the optimizers; simple enough for the compiler to vectorize. */
#include "kernels/update.h"

#include <math.h>
#include <stddef.h>

#ifdef MTLI_DOUBLE
#define SQRT sqrt
#else
#define SQRT sqrtf
#endif

void mtli_sgd_update(const mtli_sgd_step *step, int64_t n, mtli_real *restrict w, const mtli_real *restrict g,
                     mtli_real *restrict v)
{
    for (int64_t i = 0; i < n; i++) {
        mtli_real gradient = (g ? g[i] : 0) + step->decay * w[i];
        mtli_real move = gradient;
        if (v) {
            v[i] = step->momentum * v[i] + gradient;
            move = step->nesterov ? gradient + step->momentum * v[i] : v[i];
        }
        w[i] -= step->rate * move;
    }
}

/* Adam for one value: both loops below say it once. */
static inline void adam_value(mtli_adam_step step, mtli_real g, mtli_real *w, mtli_real *m, mtli_real *v)
{
    mtli_real gradient = g + step.decay * *w;
    mtli_real mean = step.beta1 * *m + (1 - step.beta1) * gradient;
    mtli_real square = step.beta2 * *v + (1 - step.beta2) * gradient * gradient;
    *m = mean;
    *v = square;
    *w = *w - step.shrink * *w - step.rate * mean / (SQRT(square) * step.correction + step.epsilon);
}

void mtli_adam_update(const mtli_adam_step *step, int64_t n, mtli_real *restrict w, const mtli_real *restrict g,
                      mtli_real *restrict m, mtli_real *restrict v)
{
    mtli_adam_step constants = *step;
    if (g) {
        for (int64_t i = 0; i < n; i++) {
            adam_value(constants, g[i], &w[i], &m[i], &v[i]);
        }
    } else {
        for (int64_t i = 0; i < n; i++) {
            adam_value(constants, 0, &w[i], &m[i], &v[i]);
        }
    }
}
