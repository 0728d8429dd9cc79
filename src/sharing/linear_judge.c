/* SPDX-License-Identifier: Apache-2.0
 * How far a point is from the minimum: the duality gap, or the proximal gradient where no dual point is at hand.
 *
 * With losses f (of z = x w, at the best bias), squared distances S and a penalty h, for every factor s
 *
 *     min >= -f*(s u) - s² S(W) - h*(-s g),   u = f'(z),  g = xᵀu + ∇S(W):
 *
 * Fenchel's dual at the point u scaled by s, where S takes the part ∇S(W) of what h does not have to. At the best bias
 * the u of a task sum to 0, as the dual wants them to. h* is 0 or infinite for a norm, so that s has a limit:
 * coefficient over the dual norm of g. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "sharing/linear_solve.h"
#include "sharing/spectral_double.h"

/** What is known of h* of a part. */
typedef enum part_dual {
    DUAL_NONE,      /* nothing */
    DUAL_NORM,      /* h is a norm */
    DUAL_QUADRATIC, /* h*(s g) = s² h*(g), finite */
    DUAL_DISTANCES, /* h is a squared distance that belongs to S */
    DUAL_FREE       /* h is 0 */
} part_dual;

static part_dual dual_of(const mtli_linear_problem *p, const mtli_linear_term *part)
{
    if (!part->term) {
        return p->num_parts == 1 ? DUAL_FREE : DUAL_NONE;
    }
    switch (part->term->options.kind) {
    case MTL_PENALTY_L1:
    case MTL_PENALTY_L21:
    case MTL_PENALTY_LINF1:
    case MTL_PENALTY_TRACE_NORM:
        return DUAL_NORM;
    case MTL_PENALTY_CLUSTERED:
        return DUAL_QUADRATIC;
    case MTL_PENALTY_L2:
        if (p->num_parts == 1) {
            return DUAL_DISTANCES;
        }
        return part->term->options.form == MTL_L2_RIDGE ? DUAL_QUADRATIC : DUAL_NONE;
    default:
        return DUAL_NONE;
    }
}

bool mtli_linear_has_gap(const mtli_linear_problem *p)
{
    bool known = true;
    for (int32_t k = 0; k < p->num_parts; k++) {
        part_dual dual = dual_of(p, &p->parts[k]);
        known = known && dual != DUAL_NONE && ((dual != DUAL_FREE && dual != DUAL_DISTANCES) || p->ridge > 0);
    }
    return known;
}

static double square_norm(const mtli_linear_problem *p, const double *a)
{
    double sum = 0;
    for (int64_t i = 0; i < p->count * p->features; i++) {
        sum += a[i] * a[i];
    }
    return sum;
}

/* Dual norms ------------------------------------------------------------------------------------------------------ */

static double largest_element(const mtli_linear_problem *p, const double *g)
{
    double most = 0;
    for (int64_t i = 0; i < p->count * p->features; i++) {
        most = fmax(most, fabs(g[i]));
    }
    return most;
}

/* The Euclidean norm or the sum of |g| of the group that begins at g. */
static double group_norm(bool euclidean, const double *g, int64_t outer, int64_t stride, int64_t inner)
{
    double sum = 0;
    for (int64_t i = 0; i < outer; i++) {
        for (int64_t j = 0; j < inner; j++) {
            double x = g[i * stride + j];
            sum += euclidean ? x * x : fabs(x);
        }
    }
    return euclidean ? sqrt(sum) : sum;
}

/* The groups of one weight [1, d] per task: a coordinate is a column, and its row is all of it. */
static double largest_group(const mtli_linear_problem *p, bool euclidean, int32_t group, const double *g)
{
    int64_t d = p->features;
    double most = 0;
    if (group == MTL_GROUP_ROW) {
        return group_norm(euclidean, g, p->count, d, d);
    }
    if (group == MTL_GROUP_TASK) {
        for (int32_t t = 0; t < p->count; t++) {
            most = fmax(most, group_norm(euclidean, g + t * d, 1, d, d));
        }
        return most;
    }
    for (int64_t j = 0; j < d; j++) {
        most = fmax(most, group_norm(euclidean, g + j, p->count, d, 1));
    }
    return most;
}

static mtl_status spectrum_of_gradient(mtli_linear_problem *p)
{
    bool done =
        mtli_singular_values_double(p->context, p->count, p->features, p->gradient.values, p->singular, p->work);
    return done ? MTL_OK : mtli_fail(p->context, MTL_ERROR_NUMERIC, "the gradient is not finite");
}

static mtl_status dual_norm(mtli_linear_problem *p, const mtli_linear_term *part, double *norm)
{
    const mtl_penalty_options *options = &part->term->options;
    const double *g = p->gradient.values;
    mtl_status status = MTL_OK;
    if (options->kind == MTL_PENALTY_L1) {
        *norm = largest_element(p, g);
    } else if (options->kind == MTL_PENALTY_TRACE_NORM) {
        status = spectrum_of_gradient(p);
        *norm = p->singular[0];
    } else {
        *norm = largest_group(p, options->kind == MTL_PENALTY_L21, options->group, g);
    }
    return status;
}

/* h* of a quadratic part at the gradient: ‖g‖² / 4c of a ridge. That of clusters is the largest, over their matrices
 * M, of tr(G (ηI + M) Gᵀ) / (4 c η (1 + η)); the best M takes the k largest singular values. */
static mtl_status quadratic_conjugate(mtli_linear_problem *p, const mtli_linear_term *part, double *value)
{
    const mtl_penalty_options *options = &part->term->options;
    double sum = square_norm(p, p->gradient.values);
    if (options->kind == MTL_PENALTY_L2) {
        *value = sum / (4 * part->coefficient);
        return MTL_OK;
    }
    mtl_status status = spectrum_of_gradient(p);
    double eta = options->clustering;
    sum *= eta;
    int64_t smaller = p->count < p->features ? p->count : p->features;
    for (int64_t k = 0; k < smaller && k < options->clusters && status == MTL_OK; k++) {
        sum += p->singular[k] * p->singular[k];
    }
    *value = sum / (4 * part->coefficient * eta * (1 + eta));
    return status;
}

/* The gap --------------------------------------------------------------------------------------------------------- */

/* The dual's value at the factor s in [-limit, limit] that is best for squared errors; for others at one that is good.
 * */
static double dual_value(const mtli_linear_problem *p, double limit, double quadratic)
{
    double linear = 0;
    double conjugates = 0;
    double factor = fmin(1, limit);
    for (int32_t t = 0; t < p->count; t++) {
        if (p->all_squares) {
            double a;
            double b;
            mtli_linear_task_conjugate_squares(&p->tasks[t], &a, &b);
            linear += a;
            quadratic += b;
        } else {
            conjugates += mtli_linear_task_conjugate(&p->tasks[t], factor);
        }
    }
    if (p->all_squares) {
        factor = quadratic > 0 ? fmax(-limit, fmin(limit, -linear / (2 * quadratic))) : 0;
    }
    return -(conjugates + factor * (linear + factor * quadratic));
}

/* A lower bound on the minimum by Fenchel's dual. `smooth` is S(W). */
static mtl_status bound_by_dual(mtli_linear_problem *p, double smooth, double *bound)
{
    double limit = HUGE_VAL;
    double quadratic = smooth;
    for (int32_t k = 0; k < p->num_parts; k++) {
        const mtli_linear_term *part = &p->parts[k];
        bool norm = dual_of(p, part) == DUAL_NORM;
        double value = 0;
        mtl_status status = norm ? dual_norm(p, part, &value) : quadratic_conjugate(p, part, &value);
        if (status != MTL_OK) {
            return status;
        }
        quadratic += norm ? 0 : value;
        limit = norm && value > 0 ? fmin(limit, part->coefficient / value) : limit;
    }
    *bound = dual_value(p, limit, quadratic);
    return MTL_OK;
}

/* The same where all penalties are squared distances, with a ridge r ‖W‖² among them: the objective is then above the
 * minimum by ‖∇‖² / 4r at most. */
static mtl_status bound_by_ridge(mtli_linear_problem *p, double objective, double *bound)
{
    const mtli_linear_term *part = &p->parts[0];
    mtli_stack_double stack = mtli_linear_stack(p, &p->at.parts[0]);
    double value;
    if (part->term && !mtli_term_gradient_double(p->context, part->term, &stack, part->coefficient, p->gradient.columns,
                                                 &value, p->work)) {
        return mtli_linear_term_failed(p, part);
    }
    *bound = objective - square_norm(p, p->gradient.values) / (4 * p->ridge);
    return MTL_OK;
}

/* L ‖at - prox(at - ∇/L)‖ */
static mtl_status proximal_gradient(mtli_linear_problem *p, double *norm)
{
    mtl_status status = mtli_linear_step(p, &p->at);
    double sum = 0;
    for (int32_t k = 0; k < p->num_parts && status == MTL_OK; k++) {
        const double *a = p->at.parts[k].values;
        const double *b = p->tried.parts[k].values;
        for (int64_t i = 0; i < p->count * p->features; i++) {
            sum += (a[i] - b[i]) * (a[i] - b[i]);
        }
    }
    *norm = p->lipschitz * sqrt(sum);
    return status;
}

/* Loss, gradient of the loss and S, and S(W). */
static mtl_status measure_smooth(mtli_linear_problem *p, mtl_linear_report *report, double *smooth)
{
    mtli_linear_sum(p, &p->at, &p->weights);
    mtli_linear_losses(p, true, &p->weights, &p->gradient);
    report->loss = 0;
    for (int32_t t = 0; t < p->count; t++) {
        report->loss += p->tasks[t].loss;
    }
    *smooth = 0;
    return mtli_linear_add_smooth(p, &p->weights, &p->gradient, smooth);
}

static mtl_status measure_parts(mtli_linear_problem *p, double *penalty)
{
    for (int32_t k = 0; k < p->num_parts; k++) {
        const mtli_linear_term *part = &p->parts[k];
        mtli_stack_double stack = mtli_linear_stack(p, &p->at.parts[k]);
        double value = 0;
        if (part->term && !mtli_term_value_double(p->context, part->term, &stack, &value, p->work)) {
            return mtli_linear_term_failed(p, part);
        }
        *penalty += part->coefficient * value;
    }
    return MTL_OK;
}

static mtl_status measure_gap(mtli_linear_problem *p, double smooth, mtl_linear_report *report)
{
    double bound = -HUGE_VAL;
    part_dual dual = dual_of(p, &p->parts[0]);
    mtl_status status = dual == DUAL_FREE || dual == DUAL_DISTANCES ? bound_by_ridge(p, report->objective, &bound)
                                                                    : bound_by_dual(p, smooth, &bound);
    p->dual = fmax(p->dual, bound);
    report->gap = fmax(report->objective - p->dual, 0);
    return status;
}

/* Below this a gap is rounding: that of the loss at zero weights, and of a logistic loss, which is of order 1 for a row,
 * where zero weights have hardly any. */
static double least_gap(const mtli_linear_problem *p)
{
    double size = p->loss_at_zero;
    for (int32_t t = 0; t < p->count; t++) {
        size += p->tasks[t].logistic ? p->tasks[t].scale * (double)p->tasks[t].rows : 0;
    }
    return 64 * DBL_EPSILON * size;
}

mtl_status mtli_linear_measure(mtli_linear_problem *p, mtl_linear_report *report, double *smooth)
{
    mtl_status status = measure_smooth(p, report, smooth);
    report->penalty = *smooth;
    if (status == MTL_OK) {
        status = measure_parts(p, &report->penalty);
    }
    report->objective = report->loss + report->penalty;
    return status;
}

mtl_status mtli_linear_judge(mtli_linear_problem *p, mtl_linear_report *report)
{
    double smooth;
    mtl_status status = mtli_linear_measure(p, report, &smooth);
    report->gap = (double)NAN;
    if (status == MTL_OK) {
        status = proximal_gradient(p, &report->residual);
    }
    report->residual /= p->slope_at_zero;
    report->step = 1 / p->lipschitz;
    if (status == MTL_OK && report->criterion == MTL_CRITERION_GAP) {
        status = measure_gap(p, smooth, report);
        report->converged = report->gap <= fmax(p->tolerance * report->objective, least_gap(p));
    } else {
        report->converged = report->residual <= p->tolerance;
    }
    return status;
}
