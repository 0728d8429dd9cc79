/* SPDX-License-Identifier: Apache-2.0
 * Trace norms of the differences between two tasks. Included by term.c and term_double.c. */

typedef struct pair_work {
    double *sums;
    term_scalar *difference; /* [size] */
    term_scalar *polar;      /* [size] */
    term_scalar *gradient;   /* [count, size]; of more than one pair, for nothing is changed before all succeed */
    void *spectral;
} pair_work;

static size_t layout_pairs(mtl_context *context, const term_stack *stack, void *base, pair_work *out)
{
    term_work work = {base, 0};
    size_t bytes = (size_t)stack->size * sizeof(term_scalar);
    out->sums = take_work(&work, sums_bytes(stack));
    out->difference = take_work(&work, bytes);
    out->polar = take_work(&work, bytes);
    out->gradient = take_work(&work, stack->count > 2 ? bytes * (size_t)stack->count : 0);
    out->spectral = take_work(&work, TERM_SPECTRAL(spectral_work)(context, stack->rows, stack->columns));
    return work.used;
}

static size_t pairs_work_size(mtl_context *context, const mtli_term *term, const term_stack *stack)
{
    pair_work ignored;
    (void)term;
    return layout_pairs(context, stack, NULL, &ignored);
}

/* y += factor x and z -= factor x on [begin, end). */
typedef struct opposite_pass {
    const term_scalar *x;
    term_scalar factor;
    term_scalar *y, *z;
} opposite_pass;

static double add_opposites(const void *argument, int64_t begin, int64_t end)
{
    const opposite_pass *pass = argument;
    const term_scalar *restrict x = pass->x;
    term_scalar *restrict y = pass->y;
    term_scalar *restrict z = pass->z;
    for (int64_t i = begin; i < end; i++) {
        y[i] += pass->factor * x[i];
        z[i] -= pass->factor * x[i];
    }
    return 0;
}

typedef struct difference_pass {
    const term_scalar *a, *b;
    term_scalar *out;
} difference_pass;

static double subtract_range(const void *argument, int64_t begin, int64_t end)
{
    const difference_pass *pass = argument;
    const term_scalar *restrict a = pass->a;
    const term_scalar *restrict b = pass->b;
    term_scalar *restrict out = pass->out;
    for (int64_t i = begin; i < end; i++) {
        out[i] = a[i] - b[i];
    }
    return 0;
}

static void subtract_tasks(mtl_context *context, const term_stack *stack, int32_t i, int32_t j, term_scalar *out)
{
    difference_pass pass = {stack->w[i], stack->w[j], out};
    for_items(context, stack->size, 3, subtract_range, &pass, NULL);
}

static double pair_weight(const mtli_term *term, const term_stack *stack, int32_t i, int32_t j)
{
    return term->graph ? term->graph[(int64_t)i * stack->count + j] : 2;
}

/* ‖W_i - W_j‖_*; with g not NULL, g_i += factor U Vᵀ and g_j -= factor U Vᵀ. */
static bool pair_norm(mtl_context *context, const term_stack *stack, int32_t i, int32_t j, term_scalar factor,
                      term_scalar *gi, term_scalar *gj, double *norm, const pair_work *own)
{
    subtract_tasks(context, stack, i, j, own->difference);
    if (!TERM_SPECTRAL(trace_norm)(context, stack->rows, stack->columns, own->difference, norm, gi ? own->polar : NULL,
                                   own->spectral)) {
        return false;
    }
    if (gi) {
        opposite_pass pass = {own->polar, factor, gi, gj};
        for_items(context, stack->size, 5, add_opposites, &pass, NULL);
    }
    return true;
}

/* The sum over all pairs. g [count], with factor for each pair's weight; NULL: only the value. */
static bool sum_pairs(mtl_context *context, const mtli_term *term, const term_stack *stack, double scale,
                      term_scalar *const *g, term_scalar *buffer, double *value, const pair_work *own)
{
    double sum = 0;
    for (int32_t i = 0; i < stack->count; i++) {
        for (int32_t j = i + 1; j < stack->count; j++) {
            double weight = pair_weight(term, stack, i, j), norm = 0;
            term_scalar *gi = g ? g[i] : buffer ? buffer + i * stack->size : NULL;
            term_scalar *gj = g ? g[j] : buffer ? buffer + j * stack->size : NULL;
            if (weight != 0 && !pair_norm(context, stack, i, j, to_scalar(scale * weight), gi, gj, &norm, own)) {
                return false;
            }
            sum += weight * norm;
        }
    }
    if (isfinite(sum)) {
        *value = sum;
    }
    return isfinite(sum);
}

static bool pairs_value(mtl_context *context, const mtli_term *term, const term_stack *stack, double *value, void *work)
{
    pair_work own;
    layout_pairs(context, stack, work, &own);
    return stack_is_finite(context, stack, own.sums) && sum_pairs(context, term, stack, 0, NULL, NULL, value, &own);
}

static bool pairs_gradient(mtl_context *context, const mtli_term *term, const term_stack *stack, double scale,
                           term_scalar *const *g, double *value, void *work)
{
    pair_work own;
    layout_pairs(context, stack, work, &own);
    if (!stack_is_finite(context, stack, own.sums)) {
        return false;
    }
    if (stack->count <= 2) {
        return sum_pairs(context, term, stack, scale, g, NULL, value, &own);
    }
    memset(own.gradient, 0, (size_t)stack->count * (size_t)stack->size * sizeof *own.gradient);
    if (!sum_pairs(context, term, stack, 1, NULL, own.gradient, value, &own)) {
        return false;
    }
    add_to_tasks(context, stack, own.gradient, scale, g);
    return true;
}

/* W_0, W_1 ← mean ± half of the new difference. With a difference of 0 they become equal. */
typedef struct rejoin_pass {
    const term_scalar *difference;
    term_scalar *a, *b;
} rejoin_pass;

static double rejoin_range(const void *argument, int64_t begin, int64_t end)
{
    const rejoin_pass *pass = argument;
    const term_scalar *restrict d = pass->difference;
    term_scalar *restrict a = pass->a;
    term_scalar *restrict b = pass->b;
    const term_scalar half = (term_scalar)0.5;
    for (int64_t i = begin; i < end; i++) {
        term_scalar mean = half * a[i] + half * b[i];
        a[i] = mean + half * d[i];
        b[i] = mean - half * d[i];
    }
    return 0;
}

/* With s = a_01 + a_10, D = V_0 - V_1 and the mean kept, ½ ‖V - W‖² is ¼ ‖D - (W_0 - W_1)‖²: D is the difference of W
 * with its singular values reduced by 2 tau s. */
static bool pairs_proximal(mtl_context *context, const mtli_term *term, const term_stack *stack, double tau, void *work)
{
    pair_work own;
    layout_pairs(context, stack, work, &own);
    if (tau == 0) {
        return true;
    }
    if (!stack_is_finite(context, stack, own.sums)) {
        return false;
    }
    double weight = pair_weight(term, stack, 0, 1);
    if (weight == 0) {
        return true;
    }
    subtract_tasks(context, stack, 0, 1, own.difference);
    if (!TERM_SPECTRAL(singular_value_threshold)(context, stack->rows, stack->columns, own.difference, 2 * tau * weight,
                                                 own.spectral)) {
        return false;
    }
    rejoin_pass pass = {own.difference, stack->w[0], stack->w[1]};
    for_items(context, stack->size, 3, rejoin_range, &pass, NULL);
    return true;
}

static bool pairs_has_proximal(const mtli_term *term, int32_t count)
{
    (void)term;
    return count == 2;
}

static int64_t pairs_num_matrices(const mtli_term *term, const term_stack *stack)
{
    (void)term;
    return (int64_t)stack->count * (stack->count - 1) / 2;
}

static int64_t pairs_num_singular_values(const mtli_term *term, const term_stack *stack, int64_t matrix)
{
    (void)term;
    (void)matrix;
    return stack->rows < stack->columns ? stack->rows : stack->columns;
}

static bool pairs_singular_values(mtl_context *context, const mtli_term *term, const term_stack *stack, int64_t matrix,
                                  double *values, void *work)
{
    pair_work own;
    int32_t i = 0;
    (void)term;
    layout_pairs(context, stack, work, &own);
    while (matrix >= stack->count - 1 - i) {
        matrix -= stack->count - 1 - i;
        i++;
    }
    subtract_tasks(context, stack, i, i + 1 + (int32_t)matrix, own.difference);
    return TERM_SPECTRAL(singular_values)(context, stack->rows, stack->columns, own.difference, values, own.spectral);
}

static const term_ops pairs_kind = {
    .name = "MTL_PENALTY_TRACE_NORM_DIFFERENCES",
    .compares_tasks = true,
    .by_rows = never_by_rows,
    .has_proximal = pairs_has_proximal,
    .work_size = pairs_work_size,
    .value = pairs_value,
    .gradient = pairs_gradient,
    .proximal = pairs_proximal,
    .num_matrices = pairs_num_matrices,
    .singular_values = pairs_singular_values,
    .num_singular_values = pairs_num_singular_values,
};
