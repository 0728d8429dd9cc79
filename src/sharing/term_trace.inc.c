/* SPDX-License-Identifier: Apache-2.0
 * Trace norms of the stack: one column per task, all unfoldings, or those of a tensor train. What is not finite fails
 * in the decompositions. Included by term.c and term_double.c. */

typedef struct stack_work {
    double *sigma;          /* [count] */
    term_scalar **pointers; /* [count]: the tasks' parts of `collected` */
    term_scalar *matrix;    /* [count * size], as are the others; only of tensors */
    term_scalar *polar;
    term_scalar *collected;
    void *spectral;
} stack_work;

static bool is_tensor_form(const mtli_term *term)
{
    return term->options.unfolding != MTL_UNFOLDING_TASKS;
}

static size_t largest_spectral_work(mtl_context *context, const mtli_term *term, const term_stack *stack)
{
    size_t largest = TERM_COLUMNS_WORK(stack->count, stack->size);
    for (int64_t m = 0; m < num_unfoldings(term, stack); m++) {
        unfolding u = unfolding_of(term, stack, m);
        size_t bytes = u.of_tasks ? 0 : TERM_SPECTRAL(spectral_work)(context, u.rows, u.columns);
        largest = bytes > largest ? bytes : largest;
    }
    return largest;
}

static size_t layout_stack(mtl_context *context, const mtli_term *term, const term_stack *stack, void *base,
                           stack_work *out)
{
    term_work work = {base, 0};
    size_t count = (size_t)stack->count;
    size_t bytes = is_tensor_form(term) ? count * (size_t)stack->size * sizeof(term_scalar) : 0;
    out->sigma = take_work(&work, count * sizeof(double));
    out->pointers = take_work(&work, count * sizeof(term_scalar *));
    out->matrix = take_work(&work, bytes);
    out->polar = take_work(&work, bytes);
    out->collected = take_work(&work, bytes);
    out->spectral = take_work(&work, largest_spectral_work(context, term, stack));
    return work.used;
}

static size_t stack_work_size(mtl_context *context, const mtli_term *term, const term_stack *stack)
{
    stack_work ignored;
    return layout_stack(context, term, stack, NULL, &ignored);
}

/* 1 / sigma, and 0 for what is 0 to rounding. */
static void polar_factor(const void *argument, int32_t count, const double *sigma, double *factor)
{
    (void)argument;
    double zero = TERM_SPECTRAL_ZERO * sqrt((double)count) * sigma[0];
    for (int32_t k = 0; k < count; k++) {
        factor[k] = sigma[k] > zero ? 1 / sigma[k] : 0;
    }
}

static double sum_of(int64_t count, const double *values)
{
    double sum = 0;
    for (int64_t k = 0; k < count; k++) {
        sum += values[k];
    }
    return sum;
}

/* The norm of one unfolding; with `to`, to_t += scale * its subgradient. */
static bool unfolding_norm(mtl_context *context, const term_stack *stack, const unfolding *u, double scale,
                           term_scalar *const *to, double *norm, const stack_work *own)
{
    bool done = true;
    if (u->of_tasks && !to) {
        done = TERM_SPECTRAL(columns_singular_values)(context, stack->count, stack->size, weights_of(stack), own->sigma,
                                                      own->spectral);
    } else if (u->of_tasks) {
        done = TERM_SPECTRAL(columns_add)(context, stack->count, stack->size, weights_of(stack), polar_factor, NULL,
                                          scale, to, own->sigma, own->spectral);
    }
    if (u->of_tasks) {
        *norm = done ? sum_of(stack->count, own->sigma) : *norm;
        return done;
    }
    unfold_stack(context, stack, u, own->matrix);
    done = TERM_SPECTRAL(trace_norm)(context, u->rows, u->columns, own->matrix, norm, to ? own->polar : NULL,
                                     own->spectral);
    if (done && to) {
        fold_add(context, stack, u, own->polar, own->collected);
    }
    return done;
}

static bool stack_value(mtl_context *context, const mtli_term *term, const term_stack *stack, double *value, void *work)
{
    stack_work own;
    layout_stack(context, term, stack, work, &own);
    bool done = true;
    double sum = 0;
    for (int64_t m = 0; done && m < num_unfoldings(term, stack); m++) {
        unfolding u = unfolding_of(term, stack, m);
        double norm = 0;
        done = unfolding_norm(context, stack, &u, 1, NULL, &norm, &own);
        sum += norm;
    }
    if (!done || !isfinite(sum)) {
        return false;
    }
    *value = sum;
    return true;
}

/* What the tensor forms collect first, for nothing is added before all unfoldings succeed. */
static bool collect_unfoldings(mtl_context *context, const mtli_term *term, const term_stack *stack, double *value,
                               const stack_work *own)
{
    double sum = 0;
    memset(own->collected, 0, (size_t)stack->count * (size_t)stack->size * sizeof *own->collected);
    for (int32_t t = 0; t < stack->count; t++) {
        own->pointers[t] = own->collected + t * stack->size;
    }
    for (int64_t m = 0; m < num_unfoldings(term, stack); m++) {
        unfolding u = unfolding_of(term, stack, m);
        double norm = 0;
        if (!unfolding_norm(context, stack, &u, 1, own->pointers, &norm, own)) {
            return false;
        }
        sum += norm;
    }
    *value = isfinite(sum) ? sum : *value;
    return isfinite(sum);
}

static bool stack_gradient(mtl_context *context, const mtli_term *term, const term_stack *stack, double scale,
                           term_scalar *const *g, double *value, void *work)
{
    stack_work own;
    layout_stack(context, term, stack, work, &own);
    if (is_tensor_form(term)) {
        if (!collect_unfoldings(context, term, stack, value, &own)) {
            return false;
        }
        add_to_tasks(context, stack, own.collected, scale, g);
        return true;
    }
    unfolding u = unfolding_of(term, stack, 0);
    return unfolding_norm(context, stack, &u, scale, g, value, &own);
}

/* Singular value thresholding (Cai, Candès & Shen 2010). */
static void shrink_factor(const void *argument, int32_t count, const double *sigma, double *factor)
{
    double tau = *(const double *)argument;
    for (int32_t k = 0; k < count; k++) {
        factor[k] = sigma[k] > tau ? 1 - tau / sigma[k] : 0;
    }
}

static bool stack_proximal(mtl_context *context, const mtli_term *term, const term_stack *stack, double tau, void *work)
{
    stack_work own;
    layout_stack(context, term, stack, work, &own);
    return tau == 0 || TERM_SPECTRAL(columns_transform)(context, stack->count, stack->size, stack->w, shrink_factor,
                                                        &tau, own.sigma, own.spectral);
}

static bool stack_has_proximal(const mtli_term *term, int32_t count)
{
    (void)count;
    return !is_tensor_form(term);
}

static int64_t stack_num_singular_values(const mtli_term *term, const term_stack *stack, int64_t matrix)
{
    unfolding u = unfolding_of(term, stack, matrix);
    return u.rows < u.columns ? u.rows : u.columns;
}

static bool stack_singular_values(mtl_context *context, const mtli_term *term, const term_stack *stack, int64_t matrix,
                                  double *values, void *work)
{
    stack_work own;
    layout_stack(context, term, stack, work, &own);
    unfolding u = unfolding_of(term, stack, matrix);
    if (!u.of_tasks) {
        unfold_stack(context, stack, &u, own.matrix);
        return TERM_SPECTRAL(singular_values)(context, u.rows, u.columns, own.matrix, values, own.spectral);
    }
    if (!TERM_SPECTRAL(columns_singular_values)(context, stack->count, stack->size, weights_of(stack), own.sigma,
                                                own.spectral)) {
        return false;
    }
    memcpy(values, own.sigma, (size_t)stack_num_singular_values(term, stack, matrix) * sizeof *values);
    return true;
}

static const term_ops stack_kind = {
    .name = "MTL_PENALTY_TRACE_NORM",
    .by_rows = never_by_rows,
    .has_proximal = stack_has_proximal,
    .work_size = stack_work_size,
    .value = stack_value,
    .gradient = stack_gradient,
    .proximal = stack_proximal,
    .num_matrices = num_unfoldings,
    .singular_values = stack_singular_values,
    .num_singular_values = stack_num_singular_values,
};
