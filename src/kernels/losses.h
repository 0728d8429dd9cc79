/* SPDX-License-Identifier: Apache-2.0
 * Losses of one element and its target. A NaN target does not count: it adds nothing and its gradients are 0. */
#ifndef MTLI_KERNELS_LOSSES_H
#define MTLI_KERNELS_LOSSES_H

#include <stdbool.h>

#include "kernels/kernels.h"

/** What the losses of this file are functions of. */
typedef struct mtli_pairs {
    const mtli_kernels *kernels;
    const mtli_real *values; /* predictions or logits */
    const mtli_real *targets;
    const mtli_real *weights; /* binary: of positives, repeated every `features` elements; NULL: ones */
    int64_t features;
    double delta; /* huber */
} mtli_pairs;

/** Adds the losses of the elements [begin, end) that have a target, and counts these. */
typedef double (*mtli_pair_sum)(const mtli_pairs *pairs, int64_t begin, int64_t end, int64_t *count);

/** dx[i] (+)= seed times the derivative with respect to values[i], or to targets[i] where `of_target`. */
typedef void (*mtli_pair_gradient)(const mtli_pairs *pairs, bool of_target, int64_t begin, int64_t end, double seed,
                                   mtli_real *dx, bool accumulate);

double mtli_squared_sum(const mtli_pairs *pairs, int64_t begin, int64_t end, int64_t *count);
void mtli_squared_gradient(const mtli_pairs *pairs, bool of_target, int64_t begin, int64_t end, double seed,
                           mtli_real *dx, bool accumulate);

double mtli_huber_sum(const mtli_pairs *pairs, int64_t begin, int64_t end, int64_t *count);
void mtli_huber_gradient(const mtli_pairs *pairs, bool of_target, int64_t begin, int64_t end, double seed,
                         mtli_real *dx, bool accumulate);

/** -(w t log σ(z) + (1 - t) log(1 - σ(z))) */
double mtli_binary_sum(const mtli_pairs *pairs, int64_t begin, int64_t end, int64_t *count);
void mtli_binary_gradient(const mtli_pairs *pairs, bool of_target, int64_t begin, int64_t end, double seed,
                          mtli_real *dx, bool accumulate);

/** sums[i % features] += the derivative with respect to weights[i % features], for all n elements. */
void mtli_binary_weight_gradient(const mtli_pairs *pairs, int64_t n, double *sums);

#endif
