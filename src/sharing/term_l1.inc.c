/* SPDX-License-Identifier: Apache-2.0
 * Absolute values. Included by term.c and term_double.c. */

typedef struct absolute_pass {
    const term_stack *stack;
    term_scalar factor; /* of the gradient, or tau */
    term_scalar *const *g;
} absolute_pass;

static double absolute_sum(const void *argument, int64_t begin, int64_t end)
{
    const term_stack *stack = argument;
    double lane[TERM_LANES] = {0};
    for (int32_t t = 0; t < stack->count; t++) {
        const term_scalar *w = stack->w[t];
        int64_t i = begin;
        for (; i + TERM_LANES <= end; i += TERM_LANES) {
            for (int k = 0; k < TERM_LANES; k++) {
                lane[k] += (double)magnitude(w[i + k]);
            }
        }
        for (; i < end; i++) {
            lane[0] += (double)magnitude(w[i]);
        }
    }
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static bool absolute_value(mtl_context *context, const mtli_term *term, const term_stack *stack, double *value,
                           void *work)
{
    (void)term;
    double sum = for_items(context, stack->size, stack->count, absolute_sum, stack, work);
    if (isfinite(sum)) {
        *value = sum;
    }
    return isfinite(sum);
}

static double add_signs(const void *argument, int64_t begin, int64_t end)
{
    const absolute_pass *pass = argument;
    term_scalar factor = pass->factor;
    for (int32_t t = 0; t < pass->stack->count; t++) {
        const term_scalar *restrict w = pass->stack->w[t];
        term_scalar *restrict g = pass->g[t];
        for (int64_t i = begin; i < end; i++) {
            g[i] += factor * ((term_scalar)(w[i] > 0) - (term_scalar)(w[i] < 0));
        }
    }
    return 0;
}

static bool absolute_gradient(mtl_context *context, const mtli_term *term, const term_stack *stack, double scale,
                              term_scalar *const *g, double *value, void *work)
{
    absolute_pass pass = {stack, to_scalar(scale), g};
    if (!absolute_value(context, term, stack, value, work)) {
        return false;
    }
    for_items(context, stack->size, stack->count, add_signs, &pass, NULL);
    return true;
}

static double soft_threshold(const void *argument, int64_t begin, int64_t end)
{
    const absolute_pass *pass = argument;
    term_scalar tau = pass->factor;
    for (int32_t t = 0; t < pass->stack->count; t++) {
        term_scalar *restrict w = pass->stack->w[t];
        for (int64_t i = begin; i < end; i++) {
            w[i] = w[i] > tau ? w[i] - tau : w[i] < -tau ? w[i] + tau : 0;
        }
    }
    return 0;
}

static bool absolute_proximal(mtl_context *context, const mtli_term *term, const term_stack *stack, double tau,
                              void *work)
{
    absolute_pass pass = {stack, to_scalar(tau), NULL};
    (void)term;
    if (tau == 0) {
        return true;
    }
    if (!stack_is_finite(context, stack, work)) {
        return false;
    }
    for_items(context, stack->size, stack->count, soft_threshold, &pass, NULL);
    return true;
}

static const term_ops absolute_kind = {
    .name = "MTL_PENALTY_L1",
    .by_rows = always_by_rows,
    .has_proximal = always_has_proximal,
    .work_size = sums_work_size,
    .value = absolute_value,
    .gradient = absolute_gradient,
    .proximal = absolute_proximal,
};
