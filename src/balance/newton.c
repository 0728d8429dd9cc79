/* SPDX-License-Identifier: Apache-2.0
 * Nash-MTL and FairGrad: G w = w^(-1/α), w > 0.
 *
 * In unit gradients, z = N w, the equation is C z = r(z), r_i = n_i^(a - 1) z_i^-a with a = 1/α: the stationarity of a
 * strictly convex function of z > 0, ½ zᵀCz - Σ log z for Nash-MTL. Newton's method, halved until the slope along the
 * step is not steep upwards; before each step z is scaled by the factor that is best for the function, known in closed
 * form, which crosses many orders of magnitude at once.
 *
 * That is fast for a = 1. Any other a is reached from there by continuation, in which Newton's method is tried first on
 * log (Cz)_i = log r_i(z) in the variables log z: it needs a few steps where it works, and finds a z_i that the others
 * do not see in one step, however small it is. */
#include "balance/solver.h"

#include <math.h>

enum { DAMPED_LIMIT = 100, LOGARITHMIC_LIMIT = 12, BACKTRACK_LIMIT = 40 };

static const double ACCEPTED = 1e-10; /* a residual, where rounding lets it not come lower */

/* A z_i that falls below the second stays at the first, in a problem with that bound: its task has no weight. */
static const double LEAST_Z = 1e-200;
static const double NEAR_LEAST_Z = 1e-190;

typedef struct fair_problem {
    int32_t n;
    const mtli_units *units;
    double *log_norm;
    double *z;
    double *t;       /* log z */
    double *right;   /* what Cz must be */
    double *product; /* C z */
    double *step;
    double *trial;
    double *trial_product;
    double *scale;   /* of the variables of Newton's system */
    double *hessian; /* [n, n] */
    int32_t iterations;
} fair_problem;

/* A z_i far below the others is not seen by them. */
static double exp_of_share(double t)
{
    return exp(t < -600 ? -600 : t > 600 ? 600 : t);
}

/* At the bound, and would go below. */
static bool is_bound(const fair_problem *p, int32_t i)
{
    return p->z[i] < NEAR_LEAST_Z && p->product[i] > p->right[i];
}

static double right_side(const fair_problem *p, double a, int32_t i, double z, double t)
{
    return a == 1 ? 1 / z : exp_of_share((a - 1) * p->log_norm[i] - a * t);
}

/* Solves (diag(z) C diag(z) + a diag(z d)) x = diag(z) b, b [n] in step, x written over it. The system is scaled to a
 * diagonal of 1. */
static void newton_system(fair_problem *p, double a, const double *d)
{
    int32_t n = p->n;
    for (int32_t i = 0; i < n; i++) {
        p->scale[i] = sqrt(p->z[i] / (p->z[i] + a * d[i]));
    }
    for (int32_t i = 0; i < n; i++) {
        double *row = p->hessian + (int64_t)i * n;
        const double *cosine = p->units->cosine + (int64_t)i * n;
        for (int32_t j = 0; j < i; j++) {
            row[j] = p->scale[i] * cosine[j] * p->scale[j];
        }
        row[i] = 1;
        p->step[i] *= p->scale[i];
    }
    mtli_cholesky(n, p->hessian, mtli_rounding(n));
    mtli_cholesky_solve(n, n, p->hessian, p->step);
    for (int32_t i = 0; i < n; i++) {
        p->step[i] *= p->scale[i] / p->z[i];
    }
}

/* r and Cz; then z ← s z with s² zᵀCz = s^(1 - a) zᵀr. log z in t goes with it. */
static void evaluate_fair(fair_problem *p, double a, double *t)
{
    mtli_symmetric_product(p->n, p->units->cosine, p->z, p->product);
    for (int32_t i = 0; i < p->n; i++) {
        p->right[i] = right_side(p, a, i, p->z[i], t[i]);
    }
    double ratio = mtli_balance_dot(p->n, p->z, p->right) / mtli_balance_dot(p->n, p->z, p->product);
    if (!(ratio > 0 && isfinite(ratio))) {
        return;
    }
    double log_s = log(ratio) / (1 + a);
    double s = exp(log_s);
    double s_right = exp(-a * log_s);
    for (int32_t i = 0; i < p->n; i++) {
        p->z[i] *= s;
        t[i] += log_s;
        p->product[i] *= s;
        p->right[i] *= s_right;
    }
}

/* ---- in z ---- */

/* The slope of the function at `length` along step; z there is left in trial. */
static double slope_at(fair_problem *p, double a, double length)
{
    double slope = 0;
    for (int32_t i = 0; i < p->n; i++) {
        p->trial[i] = p->z[i] + length * p->step[i];
    }
    mtli_symmetric_product(p->n, p->units->cosine, p->trial, p->trial_product);
    for (int32_t i = 0; i < p->n; i++) {
        double right = right_side(p, a, i, p->trial[i], a == 1 ? 0 : log(p->trial[i]));
        slope += p->step[i] * (p->trial_product[i] - right);
    }
    return slope;
}

static void damped_step(fair_problem *p, double a)
{
    double length = 1;
    double start = 0;
    double sum = 0;
    double size = 0;
    for (int32_t i = 0; i < p->n; i++) {
        sum += p->z[i];
        p->step[i] = is_bound(p, i) ? 0 : p->right[i] - p->product[i];
    }
    newton_system(p, a, p->right);
    for (int32_t i = 0; i < p->n; i++) {
        length = p->step[i] * length < -0.95 ? -0.95 / p->step[i] : length; /* z keeps a twentieth of itself */
        p->step[i] *= p->z[i];
        start += p->step[i] * (p->product[i] - p->right[i]);
        size += fabs(p->step[i]) * (sum + p->right[i]);
    }
    double steep = 0.5 * fabs(start) + mtli_rounding(p->n) * size; /* what a slope is known to */
    for (int32_t k = 0; k < BACKTRACK_LIMIT && slope_at(p, a, length) > steep; k++) {
        length *= 0.5;
    }
    for (int32_t i = 0; i < p->n; i++) {
        p->z[i] = mtli_larger(p->z[i] + length * p->step[i], LEAST_Z);
    }
}

/* The largest |r / Cz - 1|, and the residual relative to all that meets in a row. */
static double fair_error(const fair_problem *p, double *residual)
{
    double sum = 0;
    for (int32_t i = 0; i < p->n; i++) {
        sum += p->z[i];
    }
    double strict = 0;
    *residual = 0;
    for (int32_t i = 0; i < p->n; i++) {
        double gap = is_bound(p, i) ? 0 : fabs(p->product[i] - p->right[i]);
        strict = mtli_larger(strict, gap / p->right[i]);
        *residual = mtli_larger(*residual, gap / (sum + p->right[i]));
    }
    return strict;
}

/* Whether iterations should end: the equation holds to rounding, or to the rounding of its terms and no longer
 * improves. r = exp(log r), and log r is a difference that large numbers may have gone into: `rounding` knows. */
typedef struct fair_progress {
    double rounding;
    double best;
    int32_t stalled;
} fair_progress;

static fair_progress begin_progress(const fair_problem *p, double a)
{
    double logs = 0;
    for (int32_t i = 0; i < p->n; i++) {
        logs = mtli_larger(logs, fabs((a - 1) * p->log_norm[i]) + a * fabs(p->t[i]));
    }
    return (fair_progress){mtli_rounding(p->n) + 2 * DBL_EPSILON * (a == 1 ? 0 : logs), HUGE_VAL, 0};
}

static bool fair_is_done(fair_progress *progress, double error, double residual)
{
    progress->stalled = error < 0.5 * progress->best ? 0 : progress->stalled + 1;
    progress->best = error < progress->best ? error : progress->best;
    return error <= progress->rounding || (progress->stalled >= 2 && residual <= progress->rounding);
}

/* From t. On success t is the solution; else, but for a = 1, as it was. */
static bool solve_damped(fair_problem *p, double a, double *residual)
{
    fair_progress progress = begin_progress(p, a);
    bool done = false;
    for (int32_t i = 0; i < p->n; i++) {
        p->z[i] = exp_of_share(p->t[i]);
    }
    for (int32_t k = 0; !done; k++) {
        for (int32_t i = 0; i < p->n; i++) {
            p->trial[i] = log(p->z[i]);
        }
        evaluate_fair(p, a, p->trial);
        done = fair_is_done(&progress, fair_error(p, residual), *residual);
        if (done || k == DAMPED_LIMIT) {
            break;
        }
        damped_step(p, a);
        p->iterations++;
    }
    done = done || *residual <= ACCEPTED;
    for (int32_t i = 0; i < p->n && (done || a == 1); i++) {
        p->t[i] = log(p->z[i]);
    }
    return done;
}

/* ---- in log z ---- */

/* trial += Newton's step for log right - log product. False: some product is not positive, or the step is wild. */
static bool logarithmic_step(fair_problem *p, double a)
{
    double longest = 0;
    for (int32_t i = 0; i < p->n; i++) {
        if (!(p->product[i] > 0)) {
            return false;
        }
        p->step[i] = p->product[i] * ((a - 1) * p->log_norm[i] - a * p->trial[i] - log(p->product[i]));
    }
    newton_system(p, a, p->product);
    for (int32_t i = 0; i < p->n; i++) {
        p->trial[i] = mtli_larger(p->trial[i] + p->step[i], log(LEAST_Z));
        longest = mtli_larger(longest, p->z[i] > NEAR_LEAST_Z ? p->step[i] : 0);
    }
    return longest < 20 && mtli_all_finite(p->n, p->trial);
}

/* From t. On success t is the solution; else as it was. */
static bool solve_logarithmic(fair_problem *p, double a, double *residual)
{
    fair_progress progress = begin_progress(p, a);
    for (int32_t i = 0; i < p->n; i++) {
        p->trial[i] = p->t[i];
    }
    for (int32_t k = 0; k < LOGARITHMIC_LIMIT; k++) {
        for (int32_t i = 0; i < p->n; i++) {
            p->z[i] = exp_of_share(p->trial[i]);
        }
        evaluate_fair(p, a, p->trial);
        if (fair_is_done(&progress, fair_error(p, residual), *residual)) {
            for (int32_t i = 0; i < p->n; i++) {
                p->t[i] = p->trial[i];
            }
            return true;
        }
        p->iterations++;
        if (!logarithmic_step(p, a)) {
            return false;
        }
    }
    return false;
}

/* From the solution for a = 1 to that for `goal`, in stages that at most double or halve it. */
static bool continue_to(fair_problem *p, double goal, double *residual)
{
    double position = 0; /* log2 a */
    double end = log2(goal);
    double stride = end > 0 ? 1 : -1;
    while (position != end) {
        double next = fabs(end - position) <= fabs(stride) ? end : position + stride;
        double a = next == end ? goal : exp2(next);
        if (solve_logarithmic(p, a, residual) || solve_damped(p, a, residual)) {
            position = next;
            stride = fabs(stride) < 1 ? 2 * stride : stride;
        } else {
            stride /= 4;
            if (fabs(stride) < 0.05) {
                return false;
            }
        }
    }
    return true;
}

static void begin_fair(fair_problem *p, const mtli_units *units, mtli_work work)
{
    int32_t n = units->n;
    *p = (fair_problem){
        .n = n,
        .units = units,
        .log_norm = mtli_work_doubles(&work, n),
        .z = mtli_work_doubles(&work, n),
        .t = mtli_work_doubles(&work, n),
        .right = mtli_work_doubles(&work, n),
        .product = mtli_work_doubles(&work, n),
        .step = mtli_work_doubles(&work, n),
        .trial = mtli_work_doubles(&work, n),
        .trial_product = mtli_work_doubles(&work, n),
        .scale = mtli_work_doubles(&work, n),
        .hessian = mtli_work_doubles(&work, (int64_t)n * n),
    };
    for (int32_t i = 0; i < n; i++) {
        p->log_norm[i] = log(units->norm[i]);
        p->t[i] = 0; /* as if all gradients were orthogonal */
    }
}

static double bounded_exp(double log_weight)
{
    return exp(log_weight < -700 ? -700 : log_weight > 700 ? 700 : log_weight);
}

/* weights [T] = w times length^-(2 / (1 + 1/α)): the equation in a unit of length. */
static mtli_balance_result fair_gradient(const mtli_units *units, double alpha, double length, double *weights,
                                         mtli_work work)
{
    double distance;
    mtli_balance_result result = mtli_units_mgda(units, weights, &distance, work);
    if (distance <= mtli_rounding(units->n)) {
        result.status = MTLI_BALANCE_STATIONARY;
        return result;
    }
    fair_problem p;
    begin_fair(&p, units, work);
    bool converged = solve_damped(&p, 1, &result.residual) && continue_to(&p, 1 / alpha, &result.residual);
    for (int32_t i = 0; i < p.n; i++) {
        weights[units->index[i]] = bounded_exp(p.t[i] - p.log_norm[i] - 2 / (1 + 1 / alpha) * log(length));
    }
    result.iterations = p.iterations;
    result.status = converged ? MTLI_BALANCE_OK : MTLI_BALANCE_NOT_CONVERGED;
    return result;
}

/* ‖G‖_F with the longest gradient as the unit. */
static double frobenius_norm(const mtli_units *units)
{
    double sum = 0;
    for (int32_t i = 0; i < units->n; i++) {
        for (int32_t j = 0; j < units->n; j++) {
            double g = units->norm[i] * units->cosine[(int64_t)i * units->n + j] * units->norm[j];
            sum += g * g;
        }
    }
    return sqrt(sum);
}

mtli_balance_result mtli_balance_fair_gradient(int32_t tasks, const double *gram, double alpha, double *weights,
                                               void *work)
{
    mtli_work rest = mtli_work_begin(work);
    mtli_units units;
    if (!(alpha > 0) || !isfinite(alpha) || !isfinite(1 / alpha)) {
        return mtli_balance_nothing(tasks, weights, MTLI_BALANCE_DOMAIN);
    }
    if (!mtli_units_create(tasks, gram, &rest, &units)) {
        return mtli_balance_nothing(tasks, weights, MTLI_BALANCE_NOT_FINITE);
    }
    if (units.n == 0) {
        return mtli_balance_nothing(tasks, weights, MTLI_BALANCE_STATIONARY);
    }
    return fair_gradient(&units, alpha, units.largest, weights, rest);
}

mtli_balance_result mtli_balance_nash(int32_t tasks, const double *gram, double *weights, void *work)
{
    mtli_work rest = mtli_work_begin(work);
    mtli_units units;
    if (!mtli_units_create(tasks, gram, &rest, &units)) {
        return mtli_balance_nothing(tasks, weights, MTLI_BALANCE_NOT_FINITE);
    }
    if (units.n == 0) {
        return mtli_balance_nothing(tasks, weights, MTLI_BALANCE_STATIONARY);
    }
    return fair_gradient(&units, 1, 1 / sqrt(frobenius_norm(&units)), weights, rest);
}
