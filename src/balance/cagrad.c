/* SPDX-License-Identifier: Apache-2.0
 * CAGrad, exactly.
 *
 * At the minimum v of <g_0, g_v> + c ‖g_0‖ ‖g_v‖ over the simplex, x = (c ‖g_0‖ / ‖g_v‖) v has (G(u + x))_i = ν where
 * x_i > 0, >= ν elsewhere, and ‖g_x‖ = c ‖g_0‖, with u = 1/T. So d = g_0 + g_x, and x is the minimum of
 * ½ ‖g_0 + g_x‖² over x >= 0 with Σx fixed: in unit gradients, by the device of simplex.c, of
 * ½ yᵀMy - (κc - Cz)ᵀy for some κ. y is piecewise linear in κ and ‖g_x‖ grows with κ: on a passive set P it is
 * y_P = A + κ B, and the κ that gives the wanted length is the root of a quadratic. It is the answer when P does not
 * change there; else that is the next guess, inside the interval known to hold the answer. */
#include "balance/solver.h"

#include <math.h>

enum { CAGRAD_LIMIT = 300 };

typedef struct cagrad_problem {
    const mtli_units *units;
    mtli_cone cone;
    double target; /* ‖g_x‖² that is wanted */
    double *c;
    double *z;  /* N u, with sum 1 */
    double *cz; /* C z */
    double *b;
    double *negated;  /* -C z */
    double *constant; /* A */
    double *linear;   /* B */
    double *product;
} cagrad_problem;

static bool solve_at(cagrad_problem *p, double kappa)
{
    for (int32_t i = 0; i < p->units->n; i++) {
        p->b[i] = kappa * p->c[i] - p->cz[i];
    }
    /* b is a difference; its terms are as large as these */
    p->cone.magnitude = 1;
    return mtli_cone_solve(&p->cone, p->b);
}

static double length_excess(cagrad_problem *p)
{
    mtli_symmetric_product(p->units->n, p->units->cosine, p->cone.y, p->product);
    return mtli_balance_dot(p->units->n, p->cone.y, p->product) - p->target;
}

/* xᵀ C_PP y in the order of the passive set. */
static double passive_form(const cagrad_problem *p, const double *x, const double *y)
{
    double sum = 0;
    for (int32_t i = 0; i < p->cone.count; i++) {
        const double *row = p->units->cosine + (int64_t)p->cone.passive[i] * p->units->n;
        for (int32_t j = 0; j < p->cone.count; j++) {
            sum += x[i] * row[p->cone.passive[j]] * y[j];
        }
    }
    return sum;
}

/* The larger root of ‖A + κB‖² = target, NaN when there is none. */
static double root_on_piece(cagrad_problem *p)
{
    mtli_cone_passive_solve(&p->cone, p->negated, p->constant);
    mtli_cone_passive_solve(&p->cone, p->c, p->linear);
    double square = passive_form(p, p->linear, p->linear);
    double half = passive_form(p, p->linear, p->constant);
    double rest = passive_form(p, p->constant, p->constant) - p->target;
    double root = sqrt(half * half - square * rest);
    return half > 0 ? -rest / (half + root) : (root - half) / square;
}

/* The κ at which the first variable leaves 0, and that at which the variable would have the wanted length alone. */
static double first_kappa(const cagrad_problem *p, double *guess)
{
    double low = HUGE_VAL;
    for (int32_t i = 0; i < p->units->n; i++) {
        double kappa = p->cz[i] / p->c[i];
        if (kappa < low) {
            low = kappa;
            *guess = (p->cz[i] + sqrt(p->target) * (1 + p->c[i] * p->c[i])) / p->c[i];
        }
    }
    return low;
}

/* κ and the interval known to hold the answer; below `first` no variable leaves 0. */
typedef struct kappa_search {
    double first;
    double low;
    double high;
    double kappa;
} kappa_search;

/* Moves to the next κ; false when there is no better one. Two pieces may send each other to and fro: after a while every
 * other step halves the interval. */
static bool next_kappa(cagrad_problem *p, kappa_search *s, int32_t iteration)
{
    bool halve = iteration >= 12 && iteration % 2 == 1 && isfinite(s->high);
    double root = p->cone.count > 0 ? root_on_piece(p) : HUGE_VAL;
    if (fabs(root - s->kappa) <= 4 * DBL_EPSILON * fabs(s->kappa)) {
        return false;
    }
    if (root > s->low && root < s->high && !halve) {
        s->kappa = root;
        return true;
    }
    if (!isfinite(s->high)) {
        s->kappa += 4 * (s->kappa - s->first);
        return isfinite(s->kappa);
    }
    s->kappa = s->low + 0.5 * (s->high - s->low);
    return s->kappa > s->low && s->kappa < s->high;
}

/* As good as rounding lets it be: the terms of the sum of squares are as large as the square of the sum. */
static bool length_is_right(const cagrad_problem *p, double excess, int32_t iteration)
{
    double sum = 1;
    for (int32_t i = 0; i < p->units->n; i++) {
        sum += p->cone.y[i];
    }
    return fabs(excess) <= 1e-15 * p->target || (iteration > 2 && fabs(excess) <= DBL_EPSILON * sum * sum);
}

/* Finds κ. False: the limit was reached; y is that of the last one. */
static bool find_kappa(cagrad_problem *p, int32_t *iterations)
{
    kappa_search s = {.high = HUGE_VAL};
    s.first = first_kappa(p, &s.kappa);
    s.low = s.first;
    for (*iterations = 0; *iterations < CAGRAD_LIMIT; ++*iterations) {
        bool solved = solve_at(p, s.kappa);
        double excess = length_excess(p);
        if (!solved || length_is_right(p, excess, *iterations)) {
            return solved;
        }
        s.low = excess < 0 ? s.kappa : s.low;
        s.high = excess > 0 ? s.kappa : s.high;
        if (!next_kappa(p, &s, *iterations)) {
            return isfinite(s.kappa);
        }
    }
    return false;
}

/* Of v = z + y: (Cv)_i = ν c_i where y_i > 0, >= elsewhere; and ‖g_x‖² = target. */
static double cagrad_residual(cagrad_problem *p)
{
    int32_t n = p->units->n;
    double off = fabs(length_excess(p));
    double sum = 1;
    double total = 0;
    for (int32_t i = 0; i < n; i++) {
        p->b[i] = p->z[i] + p->cone.y[i];
        sum += p->cone.y[i];
        total += p->cone.y[i] * p->c[i];
    }
    mtli_symmetric_product(n, p->units->cosine, p->b, p->product);
    double nu = total > 0 ? mtli_balance_dot(n, p->cone.y, p->product) / total : 0;
    double worst = off / (sum * sum);
    for (int32_t i = 0; i < n; i++) {
        double gap = nu * p->c[i] - p->product[i];
        worst = mtli_larger(worst, (p->cone.y[i] > 0 ? fabs(gap) : gap) / sum);
    }
    return worst;
}

/* Weights of d = g_0 + g_x; z was divided by `scale`. */
static void cagrad_weights(const cagrad_problem *p, double scale, double *weights)
{
    for (int32_t i = 0; i < p->units->tasks; i++) {
        weights[i] = 1.0 / p->units->tasks;
    }
    for (int32_t i = 0; i < p->units->n; i++) {
        weights[p->units->index[i]] += p->cone.y[i] * (scale / p->units->norm[i]);
    }
}

static double begin_cagrad(const mtli_units *units, mtli_work *work, cagrad_problem *p)
{
    int32_t n = units->n;
    double *matrix = mtli_work_doubles(work, (int64_t)n * n);
    p->units = units;
    p->c = mtli_work_doubles(work, n);
    p->z = mtli_work_doubles(work, n);
    p->cz = mtli_work_doubles(work, n);
    p->b = mtli_work_doubles(work, n);
    p->negated = mtli_work_doubles(work, n);
    p->constant = mtli_work_doubles(work, n);
    p->linear = mtli_work_doubles(work, n);
    p->product = mtli_work_doubles(work, n);
    mtli_simplex_matrix(units, matrix, p->c);
    mtli_cone_create(n, matrix, work, &p->cone);
    double scale = 0;
    for (int32_t i = 0; i < n; i++) {
        scale += units->norm[i] / units->tasks;
    }
    for (int32_t i = 0; i < n; i++) {
        p->z[i] = units->norm[i] / units->tasks / scale;
    }
    mtli_symmetric_product(n, units->cosine, p->z, p->cz);
    for (int32_t i = 0; i < n; i++) {
        p->negated[i] = -p->cz[i];
    }
    return scale;
}

/* Pareto stationary: when the cone of directions without conflict meets the ball, its nearest point is the answer. */
static bool stationary_cagrad(const mtli_units *units, double c, double mean_square, double scale, double *weights,
                              mtli_work work, mtli_balance_result *result)
{
    double distance;
    mtli_balance_result smallest = mtli_units_mgda(units, weights, &distance, work);
    if (distance > mtli_rounding(units->n) || smallest.status != MTLI_BALANCE_OK) {
        return false;
    }
    double *y = mtli_work_doubles(&work, units->n);
    double *product = mtli_work_doubles(&work, units->n);
    *result = mtli_units_dual(units, NULL, weights, work);
    for (int32_t i = 0; i < units->n; i++) {
        y[i] = (weights[units->index[i]] - 1.0 / units->tasks) * units->norm[i] / scale;
    }
    mtli_symmetric_product(units->n, units->cosine, y, product);
    if (mtli_balance_dot(units->n, y, product) > c * c * mean_square * (1 + 1e-12)) {
        return false;
    }
    result->status = MTLI_BALANCE_STATIONARY;
    return true;
}

static void rescale_cagrad(int32_t tasks, double c, mtli_cagrad_rescale rescale, double *weights)
{
    double divisor = rescale == MTLI_CAGRAD_SQUARE ? 1 + c * c : rescale == MTLI_CAGRAD_LINEAR ? 1 + c : 1;
    for (int32_t i = 0; i < tasks; i++) {
        weights[i] /= divisor;
    }
}

static mtli_balance_result units_cagrad(const mtli_units *units, double c, double *weights, mtli_work work)
{
    cagrad_problem p = {0};
    mtli_balance_result result = {MTLI_BALANCE_OK, 0, 0};
    double scale = units->n > 0 ? begin_cagrad(units, &work, &p) : 0;
    double mean_square = units->n > 0 ? mtli_balance_dot(units->n, p.z, p.cz) : 0;
    if (mean_square <= mtli_rounding(units->n) || c == 0) {
        for (int32_t i = 0; i < units->tasks; i++) {
            weights[i] = 1.0 / units->tasks;
        }
        result.status = mean_square <= mtli_rounding(units->n) ? MTLI_BALANCE_STATIONARY : MTLI_BALANCE_OK;
        return result;
    }
    if (stationary_cagrad(units, c, mean_square, scale, weights, work, &result)) {
        return result;
    }
    p.target = c * c * mean_square;
    result.status = find_kappa(&p, &result.iterations) ? MTLI_BALANCE_OK : MTLI_BALANCE_NOT_CONVERGED;
    cagrad_weights(&p, scale, weights);
    result.residual = cagrad_residual(&p);
    return result;
}

mtli_balance_result mtli_balance_cagrad(int32_t tasks, const double *gram, double c, mtli_cagrad_rescale rescale,
                                        double *weights, void *work)
{
    mtli_work rest = mtli_work_begin(work);
    mtli_units units;
    if (!(c >= 0) || !isfinite(c)) {
        return mtli_balance_nothing(tasks, weights, MTLI_BALANCE_DOMAIN);
    }
    if (!mtli_units_create(tasks, gram, &rest, &units)) {
        return mtli_balance_nothing(tasks, weights, MTLI_BALANCE_NOT_FINITE);
    }
    mtli_balance_result result = units_cagrad(&units, c, weights, rest);
    rescale_cagrad(tasks, c, rescale, weights);
    return result;
}
