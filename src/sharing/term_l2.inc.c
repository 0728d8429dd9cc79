/* SPDX-License-Identifier: Apache-2.0
 * Squared distances: between all tasks or to their mean in O(T P) through the mean, along a graph, or to zero.
 * Included by term.c and term_double.c. */

/* Ω = factor Σ_t ‖W_t - C‖², C being the mean or 0; not for a graph. */
static double square_factor(const mtli_term *term, int32_t count)
{
    return term->options.form == MTL_L2_PAIRWISE ? 2.0 * count : 1;
}

static bool uses_graph(const mtli_term *term)
{
    return term->options.form == MTL_L2_PAIRWISE && term->graph;
}

/* ---- sums ---- */

static double ridge_sum(const void *argument, int64_t begin, int64_t end)
{
    const term_stack *stack = argument;
    double sum = 0;
    for (int32_t t = 0; t < stack->count; t++) {
        sum += dot_lanes(end - begin, stack->w[t] + begin, stack->w[t] + begin);
    }
    return sum;
}

/* Two tasks: Σ_t (w_t - mean)² = (w_1 - w_0)² / 2. */
static double two_sum(const void *argument, int64_t begin, int64_t end)
{
    const term_stack *stack = argument;
    const term_scalar *restrict a = stack->w[0];
    const term_scalar *restrict b = stack->w[1];
    double lane[TERM_LANES] = {0};
    int64_t i = begin;
    for (; i + TERM_LANES <= end; i += TERM_LANES) {
        for (int k = 0; k < TERM_LANES; k++) {
            double e = (double)(b[i + k] - a[i + k]);
            lane[k] += e * e;
        }
    }
    for (; i < end; i++) {
        double e = (double)(b[i] - a[i]);
        lane[0] += e * e;
    }
    return 0.5 * (((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7])));
}

/* sums[i] = Σ_t (w_t - w_0) at begin + i, for n <= TERM_BLOCK positions. Returns Σ_t Σ_i (w_t - w_0)². Distances from
 * one of the tasks are exact where the tasks are close together. */
static double offsets_of_block(const term_stack *stack, int64_t begin, int64_t n, double *restrict sums)
{
    double square[TERM_BLOCK] = {0};
    const term_scalar *restrict first = stack->w[0] + begin;
    for (int64_t i = 0; i < n; i++) {
        sums[i] = 0;
    }
    for (int32_t t = 1; t < stack->count; t++) {
        const term_scalar *restrict w = stack->w[t] + begin;
        for (int64_t i = 0; i < n; i++) {
            double e = (double)w[i] - (double)first[i];
            sums[i] += e;
            square[i] += e * e;
        }
    }
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += square[i];
    }
    return sum;
}

/* Σ_t (w_t - mean)² = Σ_t e_t² - (Σ_t e_t)² / T with e_t = w_t - w_0. The first sum is at most T + 1 times the
 * difference, so that little is lost. */
static double centred_sum(const void *argument, int64_t begin, int64_t end)
{
    const term_stack *stack = argument;
    double sums[TERM_BLOCK];
    double total = 0;
    for (int64_t i = begin; i < end; i += TERM_BLOCK) {
        int64_t n = end - i < TERM_BLOCK ? end - i : TERM_BLOCK;
        double square = offsets_of_block(stack, i, n, sums), mean = 0;
        for (int64_t k = 0; k < n; k++) {
            mean += sums[k] * sums[k];
        }
        total += square - mean / stack->count;
    }
    return total > 0 || isnan(total) ? total : 0;
}

typedef struct graph_pass {
    const term_stack *stack;
    const double *graph;
    double scale;
    term_scalar *const *g; /* NULL: only the sum */
} graph_pass;

/* One pair: g_i += factor (w_i - w_j), g_j likewise; returns ‖w_i - w_j‖². */
static double pair_block(int64_t n, const term_scalar *restrict wi, const term_scalar *restrict wj, term_scalar factor,
                         term_scalar *restrict gi, term_scalar *restrict gj)
{
    double sum = 0;
    if (!gi) {
        for (int64_t k = 0; k < n; k++) {
            double e = (double)wi[k] - (double)wj[k];
            sum += e * e;
        }
        return sum;
    }
    for (int64_t k = 0; k < n; k++) {
        term_scalar e = factor * (wi[k] - wj[k]);
        gi[k] += e;
        gj[k] -= e;
    }
    return sum;
}

/* Σ_{i<j} s_ij ‖w_i - w_j‖², or its gradient: 2 Σ_j s_ij (w_i - w_j). */
static double graph_sum(const void *argument, int64_t begin, int64_t end)
{
    const graph_pass *pass = argument;
    const term_stack *stack = pass->stack;
    double total = 0;
    for (int64_t at = begin; at < end; at += TERM_BLOCK) {
        int64_t n = end - at < TERM_BLOCK ? end - at : TERM_BLOCK;
        for (int32_t i = 0; i < stack->count; i++) {
            const double *weights = pass->graph + (int64_t)i * stack->count;
            for (int32_t j = i + 1; j < stack->count; j++) {
                if (weights[j] != 0) {
                    term_scalar *gi = pass->g ? pass->g[i] + at : NULL;
                    term_scalar *gj = pass->g ? pass->g[j] + at : NULL;
                    term_scalar factor = to_scalar(2 * pass->scale * weights[j]);
                    total += weights[j] * pair_block(n, stack->w[i] + at, stack->w[j] + at, factor, gi, gj);
                }
            }
        }
    }
    return total;
}

static bool square_value(mtl_context *context, const mtli_term *term, const term_stack *stack, double *value,
                         void *work)
{
    double *sums = work;
    double sum = 0;
    if (uses_graph(term)) {
        graph_pass pass = {stack, term->graph, 0, NULL};
        if (!stack_is_finite(context, stack, sums)) { /* a task without neighbours is in no sum */
            return false;
        }
        sum = for_items(context, stack->size, stack->count, graph_sum, &pass, sums);
    } else {
        term_body body = term->options.form == MTL_L2_RIDGE ? ridge_sum : stack->count == 2 ? two_sum : centred_sum;
        sum = square_factor(term, stack->count) * for_items(context, stack->size, stack->count, body, stack, sums);
    }
    if (!isfinite(sum)) {
        return false;
    }
    *value = sum;
    return true;
}

/* ---- gradient ---- */

typedef struct square_pass {
    const term_stack *stack;
    term_scalar factor;
    term_scalar *const *g;
} square_pass;

static double ridge_gradient(const void *argument, int64_t begin, int64_t end)
{
    const square_pass *pass = argument;
    for (int32_t t = 0; t < pass->stack->count; t++) {
        const term_scalar *restrict w = pass->stack->w[t];
        term_scalar *restrict g = pass->g[t];
        for (int64_t i = begin; i < end; i++) {
            g[i] += pass->factor * w[i];
        }
    }
    return 0;
}

static double two_gradient(const void *argument, int64_t begin, int64_t end)
{
    const square_pass *pass = argument;
    const term_stack *stack = pass->stack;
    pair_block(end - begin, stack->w[0] + begin, stack->w[1] + begin, pass->factor / 2, pass->g[0] + begin,
               pass->g[1] + begin);
    return 0;
}

/* mean[i] of w_t - w_0 over the tasks. */
static void mean_of_block(const term_stack *stack, int64_t begin, int64_t n, term_scalar *mean)
{
    double sums[TERM_BLOCK];
    offsets_of_block(stack, begin, n, sums);
    for (int64_t i = 0; i < n; i++) {
        mean[i] = (term_scalar)(sums[i] / stack->count);
    }
}

static double centred_gradient(const void *argument, int64_t begin, int64_t end)
{
    const square_pass *pass = argument;
    term_scalar mean[TERM_BLOCK];
    for (int64_t at = begin; at < end; at += TERM_BLOCK) {
        int64_t n = end - at < TERM_BLOCK ? end - at : TERM_BLOCK;
        const term_scalar *restrict first = pass->stack->w[0] + at;
        mean_of_block(pass->stack, at, n, mean);
        for (int32_t t = 0; t < pass->stack->count; t++) {
            const term_scalar *restrict w = pass->stack->w[t] + at;
            term_scalar *restrict g = pass->g[t] + at;
            for (int64_t i = 0; i < n; i++) {
                g[i] += pass->factor * ((w[i] - first[i]) - mean[i]);
            }
        }
    }
    return 0;
}

static bool square_gradient(mtl_context *context, const mtli_term *term, const term_stack *stack, double scale,
                            term_scalar *const *g, double *value, void *work)
{
    if (!square_value(context, term, stack, value, work)) {
        return false;
    }
    if (uses_graph(term)) {
        graph_pass pass = {stack, term->graph, scale, g};
        for_items(context, stack->size, stack->count, graph_sum, &pass, NULL);
        return true;
    }
    square_pass pass = {stack, to_scalar(2 * square_factor(term, stack->count) * scale), g};
    bool two = stack->count == 2;
    term_body body = term->options.form == MTL_L2_RIDGE ? ridge_gradient : two ? two_gradient : centred_gradient;
    for_items(context, stack->size, stack->count, body, &pass, NULL);
    return true;
}

/* ---- proximal step ---- */

typedef struct shrink_pass {
    const term_stack *stack;
    double keep;  /* what deviations from the centre are multiplied by: 1 / (1 + 2 factor tau) */
    double leave; /* 1 - keep, without cancellation */
} shrink_pass;

static double ridge_shrink(const void *argument, int64_t begin, int64_t end)
{
    const shrink_pass *pass = argument;
    for (int32_t t = 0; t < pass->stack->count; t++) {
        term_scalar *restrict w = pass->stack->w[t];
        for (int64_t i = begin; i < end; i++) {
            w[i] *= (term_scalar)pass->keep;
        }
    }
    return 0;
}

/* A weak pull moves the weights, a strong one moves the mean: either way what is exact stays exact. */
static double centred_shrink(const void *argument, int64_t begin, int64_t end)
{
    const shrink_pass *pass = argument;
    term_scalar mean[TERM_BLOCK], first[TERM_BLOCK];
    term_scalar keep = (term_scalar)pass->keep, leave = (term_scalar)pass->leave;
    for (int64_t at = begin; at < end; at += TERM_BLOCK) {
        int64_t n = end - at < TERM_BLOCK ? end - at : TERM_BLOCK;
        mean_of_block(pass->stack, at, n, mean);
        memcpy(first, pass->stack->w[0] + at, (size_t)n * sizeof *first);
        for (int32_t t = 0; t < pass->stack->count; t++) {
            term_scalar *restrict w = pass->stack->w[t] + at;
            for (int64_t i = 0; i < n; i++) {
                term_scalar deviation = (w[i] - first[i]) - mean[i];
                w[i] = keep > leave ? w[i] - leave * deviation : (first[i] + mean[i]) + keep * deviation;
            }
        }
    }
    return 0;
}

/* Two tasks: the mean is half way. */
static double two_shrink(const void *argument, int64_t begin, int64_t end)
{
    const shrink_pass *pass = argument;
    term_scalar *restrict a = pass->stack->w[0];
    term_scalar *restrict b = pass->stack->w[1];
    term_scalar half = (term_scalar)0.5, keep = half * (term_scalar)pass->keep, leave = half * (term_scalar)pass->leave;
    if (keep > leave) {
        for (int64_t i = begin; i < end; i++) {
            term_scalar e = leave * (b[i] - a[i]);
            a[i] += e;
            b[i] -= e;
        }
        return 0;
    }
    for (int64_t i = begin; i < end; i++) {
        term_scalar e = b[i] - a[i], mean = a[i] + half * e;
        a[i] = mean - keep * e;
        b[i] = mean + keep * e;
    }
    return 0;
}

enum { GRAPH_SLOTS = 16, GRAPH_BLOCK = 64 };

typedef struct graph_shrink {
    const term_stack *stack;
    const double *inverse; /* (I + 2 tau L)^-1 */
    term_scalar *buffers;  /* [GRAPH_SLOTS, count, GRAPH_BLOCK] */
} graph_shrink;

/* v_t = Σ_s K_ts w_s = w_t + Σ_s K_ts (w_s - w_t), as the rows of K sum to 1. */
static void shrink_block(const graph_shrink *pass, int64_t at, int64_t n, term_scalar *buffer)
{
    int32_t count = pass->stack->count;
    for (int32_t t = 0; t < count; t++) {
        memcpy(buffer + (int64_t)t * GRAPH_BLOCK, pass->stack->w[t] + at, (size_t)n * sizeof *buffer);
    }
    for (int32_t t = 0; t < count; t++) {
        const term_scalar *restrict own = buffer + (int64_t)t * GRAPH_BLOCK;
        term_scalar *restrict w = pass->stack->w[t] + at;
        for (int32_t s = 0; s < count; s++) {
            const term_scalar *restrict other = buffer + (int64_t)s * GRAPH_BLOCK;
            term_scalar weight = (term_scalar)pass->inverse[(int64_t)t * count + s];
            for (int64_t i = 0; s != t && weight != 0 && i < n; i++) {
                w[i] += weight * (other[i] - own[i]);
            }
        }
    }
}

/* Every GRAPH_SLOTS-th block, with a buffer of its own. */
static void shrink_slot(void *argument, int32_t slot)
{
    const graph_shrink *pass = argument;
    term_scalar *buffer = pass->buffers + (int64_t)slot * pass->stack->count * GRAPH_BLOCK;
    int64_t size = pass->stack->size;
    for (int64_t at = (int64_t)slot * GRAPH_BLOCK; at < size; at += (int64_t)GRAPH_SLOTS * GRAPH_BLOCK) {
        shrink_block(pass, at, size - at < GRAPH_BLOCK ? size - at : GRAPH_BLOCK, buffer);
    }
}

typedef struct square_work {
    double *sums;
    double *inverse;
    double *elimination;
    term_scalar *buffers;
} square_work;

static size_t layout_square(const mtli_term *term, const term_stack *stack, void *base, square_work *out)
{
    term_work work = {base, 0};
    size_t count = uses_graph(term) ? (size_t)stack->count : 0;
    out->sums = take_work(&work, sums_bytes(stack));
    out->inverse = take_work(&work, count * count * sizeof(double));
    out->elimination = take_work(&work, count * (count + 2) * sizeof(double));
    out->buffers = take_work(&work, GRAPH_SLOTS * GRAPH_BLOCK * count * sizeof(term_scalar));
    return work.used;
}

static size_t square_work_size(mtl_context *context, const mtli_term *term, const term_stack *stack)
{
    square_work ignored;
    (void)context;
    return layout_square(term, stack, NULL, &ignored);
}

static bool square_proximal(mtl_context *context, const mtli_term *term, const term_stack *stack, double tau,
                            void *work)
{
    square_work own;
    layout_square(term, stack, work, &own);
    if (tau == 0) {
        return true;
    }
    if (!stack_is_finite(context, stack, own.sums)) {
        return false;
    }
    if (uses_graph(term)) {
        graph_shrink pass = {stack, own.inverse, own.buffers};
        if (!mtli_laplacian_inverse(stack->count, term->graph, 2 * tau, own.inverse, own.elimination)) {
            return false;
        }
        run_term_pieces(context, GRAPH_SLOTS, shrink_slot, &pass);
        return true;
    }
    double pull = 2 * square_factor(term, stack->count) * tau;
    shrink_pass pass = {stack, 1 / (1 + pull), 1 / (1 + 1 / pull)};
    bool two = stack->count == 2;
    term_body body = term->options.form == MTL_L2_RIDGE ? ridge_shrink : two ? two_shrink : centred_shrink;
    for_items(context, stack->size, stack->count, body, &pass, NULL);
    return true;
}

static bool always_has_proximal(const mtli_term *term, int32_t count)
{
    (void)term;
    (void)count;
    return true;
}

static bool always_by_rows(const mtli_term *term)
{
    (void)term;
    return true;
}

static bool never_by_rows(const mtli_term *term)
{
    (void)term;
    return false;
}

static const term_ops square_kind = {
    .name = "MTL_PENALTY_L2",
    .compares_tasks = true,
    .by_rows = always_by_rows,
    .has_proximal = always_has_proximal,
    .work_size = square_work_size,
    .value = square_value,
    .gradient = square_gradient,
    .proximal = square_proximal,
};
