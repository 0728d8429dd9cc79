/* SPDX-License-Identifier: Apache-2.0
 * What the tests of balancers without an objective share: balancers in a line, Gram matrices of small gradients. */
#ifndef TESTS_SUPPORT_BALANCERS_H
#define TESTS_SUPPORT_BALANCERS_H

#include "support.h"

#include <math.h>

#include <mtl/balance.h>

enum { BALANCERS_METHODS = MTL_BALANCE_CUSTOM + 1, BALANCERS_MOST_TASKS = 8 };

#define ROW(...) ((const double[]){__VA_ARGS__})

static inline mtl_balancer_options balancer_options(int32_t method)
{
    mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
    options.method = method;
    return options;
}

static inline mtl_balancer *balancer_with(mtl_context *context, const mtl_balancer_options *options)
{
    mtl_balancer *balancer = NULL;
    assert_ok(context, mtl_balancer_create(context, options, &balancer));
    assert_non_null(balancer);
    return balancer;
}

static inline mtl_balancer *balancer_of(mtl_context *context, int32_t method)
{
    mtl_balancer_options options = balancer_options(method);
    return balancer_with(context, &options);
}

/** Methods that mtl_balancer_decide() serves, custom ones left out. */
static inline bool balancer_decides(int32_t method)
{
    const int32_t served = MTL_BALANCE_NEEDS_GRAM | MTL_BALANCE_NEEDS_EPOCHS | MTL_BALANCE_NEEDS_MEASURE;
    return method != MTL_BALANCE_CUSTOM && (mtl_balance_method_needs(method) & ~served) == 0;
}

static inline bool balancer_needs_gram(int32_t method)
{
    return (mtl_balance_method_needs(method) & MTL_BALANCE_NEEDS_GRAM) != 0;
}

/** G = J Jᵀ of gradients g [tasks, size]. */
static inline void balancer_gram(int32_t tasks, int32_t size, const double *g, double *gram)
{
    for (int32_t i = 0; i < tasks; i++) {
        for (int32_t j = 0; j < tasks; j++) {
            double sum = 0;
            for (int32_t k = 0; k < size; k++) {
                sum += g[i * size + k] * g[j * size + k];
            }
            gram[i * tasks + j] = sum;
        }
    }
}

/** Numbers in (-1, 1) that are the same everywhere. */
static inline double balancer_noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / 8388608.0 - 1;
}

/** Losses and a Gram matrix of `tasks` random gradients of size 6; absent tasks have the loss NaN. */
static inline void balancer_data(uint32_t *state, int32_t tasks, double *losses, double *gram)
{
    double g[BALANCERS_MOST_TASKS * 6];
    for (int32_t i = 0; i < tasks * 6; i++) {
        g[i] = balancer_noise(state);
    }
    for (int32_t i = 0; i < tasks; i++) {
        losses[i] = 1.1 + balancer_noise(state);
    }
    balancer_gram(tasks, 6, g, gram);
}

#endif
