/* SPDX-License-Identifier: Apache-2.0
 * Clustered tasks: the convex relaxation of k-means over tasks (Zhou, Chen & Ye 2011), a function of the singular
 * values of the matrix with one column per task. Included by term.c and term_double.c.
 *
 * With singular values sigma of W and eigenvalues m of M, on the same vectors, Ω = η(1+η) min_m Σ sigma_i² / (η +
 * m_i). By the envelope theorem its gradient is 2η(1+η) W V diag(1 / (η + m)) Vᵀ. What is not finite fails in the
 * decomposition. */

typedef struct cluster_work {
    double *sigma, *m; /* [count] each */
    void *spectral;
} cluster_work;

static size_t layout_clusters(const term_stack *stack, void *base, cluster_work *out)
{
    term_work work = {base, 0};
    out->sigma = take_work(&work, (size_t)stack->count * sizeof(double));
    out->m = take_work(&work, (size_t)stack->count * sizeof(double));
    out->spectral = take_work(&work, TERM_COLUMNS_WORK(stack->count, stack->size));
    return work.used;
}

static size_t clusters_work_size(mtl_context *context, const mtli_term *term, const term_stack *stack)
{
    cluster_work ignored;
    (void)context;
    (void)term;
    return layout_clusters(stack, NULL, &ignored);
}

static double cluster_factor(const mtli_term *term)
{
    return term->options.clustering * (1 + term->options.clustering);
}

static double cluster_value(const mtli_term *term, int32_t count, const cluster_work *own)
{
    double eta = term->options.clustering, sum = 0;
    mtli_water_fill(count, own->sigma, eta, term->options.clusters, own->m);
    for (int32_t k = 0; k < count; k++) {
        sum += own->sigma[k] * own->sigma[k] / (eta + own->m[k]);
    }
    return cluster_factor(term) * sum;
}

static bool clusters_value(mtl_context *context, const mtli_term *term, const term_stack *stack, double *value,
                           void *work)
{
    cluster_work own;
    layout_clusters(stack, work, &own);
    if (!TERM_SPECTRAL(columns_singular_values)(context, stack->count, stack->size, weights_of(stack), own.sigma,
                                                own.spectral)) {
        return false;
    }
    double result = cluster_value(term, stack->count, &own);
    if (isfinite(result)) {
        *value = result;
    }
    return isfinite(result);
}

static void cluster_slope(const void *argument, int32_t count, const double *sigma, double *factor)
{
    const mtli_term *term = argument;
    double eta = term->options.clustering;
    mtli_water_fill(count, sigma, eta, term->options.clusters, factor);
    for (int32_t k = 0; k < count; k++) {
        factor[k] = 2 * cluster_factor(term) / (eta + factor[k]);
    }
}

static bool clusters_gradient(mtl_context *context, const mtli_term *term, const term_stack *stack, double scale,
                              term_scalar *const *g, double *value, void *work)
{
    cluster_work own;
    layout_clusters(stack, work, &own);
    if (!TERM_SPECTRAL(columns_add)(context, stack->count, stack->size, weights_of(stack), cluster_slope, term, scale,
                                    g, own.sigma, own.spectral)) {
        return false;
    }
    *value = cluster_value(term, stack->count, &own);
    return true;
}

/* The minimum over V and M together: for given m, ½ (s - v)² + tau c s² / (η + m) with c = η(1+η) has its least value
 * v² tau c / (η + m + 2 tau c) at s = v (η + m) / (η + m + 2 tau c). That is water-filling again, with η + 2 tau c. */
typedef struct cluster_step {
    const mtli_term *term;
    double pull; /* 2 tau c */
} cluster_step;

static void cluster_shrink(const void *argument, int32_t count, const double *sigma, double *factor)
{
    const cluster_step *step = argument;
    double eta = step->term->options.clustering;
    mtli_water_fill(count, sigma, eta + step->pull, step->term->options.clusters, factor);
    for (int32_t k = 0; k < count; k++) {
        factor[k] = (eta + factor[k]) / (eta + factor[k] + step->pull);
    }
}

static bool clusters_proximal(mtl_context *context, const mtli_term *term, const term_stack *stack, double tau,
                              void *work)
{
    cluster_work own;
    cluster_step step = {term, 2 * tau * cluster_factor(term)};
    layout_clusters(stack, work, &own);
    return tau == 0 || TERM_SPECTRAL(columns_transform)(context, stack->count, stack->size, stack->w, cluster_shrink,
                                                        &step, own.sigma, own.spectral);
}

static const term_ops clusters_kind = {
    .name = "MTL_PENALTY_CLUSTERED",
    .compares_tasks = true,
    .by_rows = never_by_rows,
    .has_proximal = always_has_proximal,
    .work_size = clusters_work_size,
    .value = clusters_value,
    .gradient = clusters_gradient,
    .proximal = clusters_proximal,
};
