/* SPDX-License-Identifier: Apache-2.0
 * FISTA (Beck & Teboulle 2009) with backtracking and adaptive restart (O'Donoghue & Candès 2015). The weights may be a
 * sum of parts with a proximal step each: the gradient of all parts is that of the sum. */
#include "sharing/linear_solve.h"

#include <math.h>
#include <string.h>

#include "sharing/spectral_double.h"

enum {
    CHECK_EVERY = 10, /* iterations: a check costs as much as one or two */
    MOST_BACKTRACKS = 200,
    PARALLEL_WORK = 1 << 18 /* multiplications: about ten times what waking a thread costs */
};

/* Room ------------------------------------------------------------------------------------------------------------ */

static bool take_linear_matrix(const mtli_linear_problem *p, mtli_arena *arena, mtli_linear_matrix *out)
{
    size_t count = (size_t)p->count;
    out->values = mtli_arena_take_array(arena, count * (size_t)p->features, sizeof *out->values);
    out->columns = mtli_arena_take_array(arena, count, sizeof *out->columns);
    if (!out->values || !out->columns) {
        return false;
    }
    memset(out->values, 0, count * (size_t)p->features * sizeof *out->values);
    for (size_t t = 0; t < count; t++) {
        out->columns[t] = out->values + t * (size_t)p->features;
    }
    return true;
}

static size_t term_room(const mtli_linear_problem *p, const mtli_linear_term *term)
{
    mtli_stack_double stack = mtli_linear_stack(p, &p->weights);
    return term->term ? mtli_term_work_double(p->context, term->term, &stack) : 0;
}

static size_t largest_room(const mtli_linear_problem *p)
{
    size_t most = mtli_spectral_work_double(p->context, p->count, p->features);
    for (int32_t k = 0; k < p->num_smooth + p->num_parts; k++) {
        size_t room = term_room(p, k < p->num_smooth ? &p->smooth[k] : &p->parts[k - p->num_smooth]);
        most = room > most ? room : most;
    }
    return most;
}

static bool pays_in_parallel(const mtli_linear_problem *p)
{
    double work = 0;
    for (int32_t t = 0; t < p->count; t++) {
        double rows = p->tasks[t].gram ? (double)p->features : 2 * (double)p->tasks[t].rows;
        work += rows * (double)p->features;
    }
    return work > PARALLEL_WORK;
}

mtl_status mtli_linear_reserve(mtli_linear_problem *p, mtli_arena *arena)
{
    mtli_linear_point *points[] = {&p->at, &p->ahead, &p->tried};
    bool done = take_linear_matrix(p, arena, &p->weights) && take_linear_matrix(p, arena, &p->gradient);
    for (int32_t k = 0; k < 3 * p->num_parts && done; k++) {
        done = take_linear_matrix(p, arena, &points[k % 3]->parts[k / 3]);
    }
    int64_t smaller = p->count < p->features ? p->count : p->features;
    p->singular = done ? mtli_arena_take_array(arena, (size_t)smaller, sizeof *p->singular) : NULL;
    p->work = p->singular ? mtli_arena_take(arena, largest_room(p)) : NULL;
    p->in_parallel = pays_in_parallel(p);
    return p->work ? MTL_OK : p->context->status;
}

/* Sums over tasks ------------------------------------------------------------------------------------------------- */

typedef struct task_pass {
    mtli_linear_problem *problem;
    const mtli_linear_matrix *weights;
    mtli_linear_matrix *gradient; /* NULL: the divergence */
    bool judge;
} task_pass;

static void visit_task(void *argument, int32_t t)
{
    const task_pass *pass = argument;
    mtli_linear_task *task = &pass->problem->tasks[t];
    const double *w = pass->weights->columns[t];
    if (!pass->gradient) {
        task->work = mtli_linear_task_divergence(task, w);
    } else if (pass->judge) {
        mtli_linear_task_judge(task, w, pass->gradient->columns[t]);
    } else {
        mtli_linear_task_gradient(task, w, pass->gradient->columns[t]);
    }
}

static void visit_tasks(task_pass *pass)
{
    mtli_linear_problem *p = pass->problem;
    if (p->in_parallel || pass->judge) {
        mtli_parallel_for(p->context, p->count, visit_task, pass);
        return;
    }
    for (int32_t t = 0; t < p->count; t++) {
        visit_task(pass, t);
    }
}

void mtli_linear_losses(mtli_linear_problem *p, bool judge, const mtli_linear_matrix *weights,
                        mtli_linear_matrix *gradient)
{
    task_pass pass = {p, weights, gradient, judge};
    visit_tasks(&pass);
}

static double losses_divergence(mtli_linear_problem *p, const mtli_linear_matrix *delta)
{
    task_pass pass = {p, delta, NULL, false};
    visit_tasks(&pass);
    double sum = 0;
    for (int32_t t = 0; t < p->count; t++) {
        sum += p->tasks[t].work;
    }
    return sum;
}

/* Penalties ------------------------------------------------------------------------------------------------------- */

mtli_stack_double mtli_linear_stack(const mtli_linear_problem *p, const mtli_linear_matrix *matrix)
{
    mtli_stack_double stack = {.count = p->count,
                               .ndim = 2,
                               .dims = {1, p->features},
                               .rows = 1,
                               .columns = p->features,
                               .size = p->features,
                               .w = matrix->columns};
    return stack;
}

mtl_status mtli_linear_term_failed(const mtli_linear_problem *p, const mtli_linear_term *term)
{
    return mtli_fail(p->context, MTL_ERROR_NUMERIC, "the penalty '%s' of the weights is not finite",
                     term->term->kind->name);
}

mtl_status mtli_linear_add_smooth(mtli_linear_problem *p, const mtli_linear_matrix *weights,
                                  mtli_linear_matrix *gradient, double *value)
{
    mtli_stack_double stack = mtli_linear_stack(p, weights);
    for (int32_t k = 0; k < p->num_smooth; k++) {
        const mtli_linear_term *s = &p->smooth[k];
        double omega = 0;
        bool done = gradient ? mtli_term_gradient_double(p->context, s->term, &stack, s->coefficient, gradient->columns,
                                                         &omega, p->work)
                             : mtli_term_value_double(p->context, s->term, &stack, &omega, p->work);
        if (!done) {
            return mtli_linear_term_failed(p, s);
        }
        *value += s->coefficient * omega;
    }
    return MTL_OK;
}

/* Steps ----------------------------------------------------------------------------------------------------------- */

void mtli_linear_sum(const mtli_linear_problem *p, const mtli_linear_point *point, mtli_linear_matrix *weights)
{
    int64_t n = p->count * p->features;
    memcpy(weights->values, point->parts[0].values, (size_t)n * sizeof *weights->values);
    for (int32_t k = 1; k < p->num_parts; k++) {
        const double *other = point->parts[k].values;
        for (int64_t i = 0; i < n; i++) {
            weights->values[i] += other[i];
        }
    }
}

mtl_status mtli_linear_step(mtli_linear_problem *p, const mtli_linear_point *from)
{
    int64_t n = p->count * p->features;
    double step = 1 / p->lipschitz;
    for (int32_t k = 0; k < p->num_parts; k++) {
        const mtli_linear_term *part = &p->parts[k];
        double *to = p->tried.parts[k].values;
        for (int64_t i = 0; i < n; i++) {
            to[i] = from->parts[k].values[i] - step * p->gradient.values[i];
        }
        mtli_stack_double stack = mtli_linear_stack(p, &p->tried.parts[k]);
        if (part->term &&
            !mtli_term_proximal_double(p->context, part->term, &stack, step * part->coefficient, p->work)) {
            return mtli_linear_term_failed(p, part);
        }
    }
    return MTL_OK;
}

/* The squared length of tried - ahead; its sum over parts goes to the weights. */
static double measure_step(mtli_linear_problem *p)
{
    int64_t n = p->count * p->features;
    double sum = 0;
    for (int32_t k = 0; k < p->num_parts; k++) {
        const double *a = p->tried.parts[k].values;
        const double *b = p->ahead.parts[k].values;
        for (int64_t i = 0; i < n; i++) {
            double delta = a[i] - b[i];
            p->weights.values[i] = k == 0 ? delta : p->weights.values[i] + delta;
            sum += delta * delta;
        }
    }
    return sum;
}

/* Tries steps from `ahead`, shorter and shorter, until the quadratic model of the smooth part lies above it. */
static mtl_status search_step(mtli_linear_problem *p)
{
    for (int k = 0; k < MOST_BACKTRACKS; k++) {
        mtl_status status = mtli_linear_step(p, &p->ahead);
        if (status != MTL_OK) {
            return status;
        }
        double square = measure_step(p);
        double rise = losses_divergence(p, &p->weights);
        status = mtli_linear_add_smooth(p, &p->weights, NULL, &rise); /* quadratic: Ω of the difference */
        if (status != MTL_OK) {
            return status;
        }
        if (rise <= p->lipschitz / 2 * square) {
            return MTL_OK;
        }
        p->lipschitz = fmax(1.1 * p->lipschitz, fmin(2 * p->lipschitz, 2 * rise / square));
    }
    return mtli_fail(p->context, MTL_ERROR_NUMERIC, "no step is short enough: the data are too large");
}

/* Whether the momentum from `at` to `tried` points uphill, seen from `ahead`. */
static bool points_uphill(const mtli_linear_problem *p)
{
    int64_t n = p->count * p->features;
    double sum = 0;
    for (int32_t k = 0; k < p->num_parts; k++) {
        const double *ahead = p->ahead.parts[k].values;
        const double *tried = p->tried.parts[k].values;
        const double *at = p->at.parts[k].values;
        for (int64_t i = 0; i < n; i++) {
            sum += (ahead[i] - tried[i]) * (tried[i] - at[i]);
        }
    }
    return sum > 0;
}

/* ahead = tried + momentum (tried - at); at = tried. */
static void move_on(mtli_linear_problem *p, double momentum)
{
    int64_t n = p->count * p->features;
    for (int32_t k = 0; k < p->num_parts; k++) {
        double *ahead = p->ahead.parts[k].values;
        const double *tried = p->tried.parts[k].values;
        const double *at = p->at.parts[k].values;
        for (int64_t i = 0; i < n; i++) {
            ahead[i] = tried[i] + momentum * (tried[i] - at[i]);
        }
    }
    mtli_linear_point left = p->at;
    p->at = p->tried;
    p->tried = left;
}

/* tried = a step from `ahead` */
static mtl_status try_step(mtli_linear_problem *p)
{
    double unused = 0;
    mtli_linear_sum(p, &p->ahead, &p->weights);
    mtli_linear_losses(p, false, &p->weights, &p->gradient);
    mtl_status status = mtli_linear_add_smooth(p, &p->weights, &p->gradient, &unused);
    return status == MTL_OK ? search_step(p) : status;
}

static mtl_status fista_iteration(mtli_linear_problem *p, double *t)
{
    mtl_status status = try_step(p);
    if (status != MTL_OK) {
        return status;
    }
    double next = (1 + sqrt(1 + 4 * *t * *t)) / 2;
    double momentum = (*t - 1) / next;
    if (points_uphill(p)) {
        next = 1;
        momentum = 0;
        p->lipschitz *= 0.8; /* the curvature here may be less than where it was measured */
    }
    move_on(p, momentum);
    *t = next;
    return MTL_OK;
}

/* The solution -------------------------------------------------------------------------------------------------- */

/* Loss and gradient at zero weights: the scale of both criteria. `weights` is zero. */
static mtl_status look_at_zero(mtli_linear_problem *p)
{
    double square = 0;
    memset(p->weights.values, 0, (size_t)(p->count * p->features) * sizeof *p->weights.values);
    mtli_linear_losses(p, true, &p->weights, &p->gradient);
    p->loss_at_zero = 0;
    p->lipschitz = 0;
    for (int32_t t = 0; t < p->count; t++) {
        p->loss_at_zero += p->tasks[t].loss;
        p->lipschitz = fmax(p->lipschitz, mtli_linear_task_curvature(&p->tasks[t]));
    }
    for (int64_t i = 0; i < p->count * p->features; i++) {
        square += p->gradient.values[i] * p->gradient.values[i];
    }
    p->slope_at_zero = square > 0 ? sqrt(square) : 1;
    p->lipschitz = p->lipschitz > 0 ? p->lipschitz : 1;
    bool finite = isfinite(p->loss_at_zero) && isfinite(p->slope_at_zero) && isfinite(p->lipschitz);
    return finite ? MTL_OK : mtli_fail(p->context, MTL_ERROR_NUMERIC, "the loss at zero weights is not finite");
}

/* Weights that are worse than none are left. Without iterations they are what is judged. Every Ω is 0 at 0. */
static mtl_status choose_beginning(mtli_linear_problem *p)
{
    mtl_linear_report start = MTL_LINEAR_REPORT_INIT;
    double smooth;
    if (p->max_iterations == 0) {
        return MTL_OK;
    }
    mtl_status status = mtli_linear_measure(p, &start, &smooth);
    for (int32_t k = 0; k < p->num_parts && status == MTL_OK && start.objective > p->loss_at_zero; k++) {
        memset(p->at.parts[k].values, 0, (size_t)(p->count * p->features) * sizeof *p->at.parts[k].values);
    }
    return status;
}

/* Everything that stands before the first iteration; a step is tried for its size, which the residual needs. */
static mtl_status begin_solve(mtli_linear_problem *p)
{
    mtl_status status = look_at_zero(p);
    p->dual = -HUGE_VAL;
    if (status == MTL_OK) {
        status = choose_beginning(p);
    }
    for (int32_t k = 0; k < p->num_parts; k++) {
        memcpy(p->ahead.parts[k].values, p->at.parts[k].values,
               (size_t)(p->count * p->features) * sizeof *p->at.parts[k].values);
    }
    return status == MTL_OK ? try_step(p) : status;
}

mtl_status mtli_linear_solve(mtli_linear_problem *p, mtl_linear_report *report)
{
    double t = 1;
    mtl_status status = begin_solve(p);
    report->converged = 0;
    report->criterion = mtli_linear_has_gap(p) ? MTL_CRITERION_GAP : MTL_CRITERION_RESIDUAL;
    for (report->iterations = 0; status == MTL_OK; report->iterations++) {
        if (report->iterations % CHECK_EVERY == 0 || report->iterations == p->max_iterations) {
            status = mtli_linear_judge(p, report);
        }
        if (status != MTL_OK || report->converged || report->iterations == p->max_iterations) {
            break;
        }
        status = fista_iteration(p, &t);
    }
    return status;
}
