/* SPDX-License-Identifier: Apache-2.0
 * FORUM: a smallest vector that also goes down along the gradient of a constraint, exactly.
 *
 * With lengths ℓ and the cosine matrix C of F_1 .. F_T, q, the variables are y = (ℓ_i γ_i, ℓ_q ν), times any number. As
 * in simplex.c, Σγ = 1 is met by the device of C + c cᵀ, c_i = smallest / ℓ_i, c_q = 0: for each κ the minimum over
 * y >= 0 of
 *
 *     ½ yᵀ(C + c cᵀ)y - κ cᵀy - τ y_q
 *
 * has (Cy)_i >= (κ - cᵀy) c_i and (Cy)_q >= τ with equality where y > 0. These are the conditions of the dual when cᵀy
 * is to τ as `smallest` is to phi ℓ_q. cᵀy does not depend on the choice of y, is piecewise linear in κ and grows with
 * it by at most 1: on a passive set P by c_Pᵀ (C + c cᵀ)_PP^-1 c_P. Newton's method inside of an interval known to hold
 * the answer ends on its piece. */
#include "balance/bilevel.h"

#include <math.h>
#include <string.h>

#include "balance/solver.h"

enum { FORUM_LIMIT = 300 };

static const double GOOD_RESIDUAL = 1e-10;

typedef struct forum_problem {
    const mtli_units *units;
    mtli_cone cone;
    int32_t q;       /* its place among the unit gradients; n of units when it is zero */
    double q_length; /* in the unit of the other lengths */
    double scale;    /* y = scale (ℓγ, ℓ_q ν) */
    double target;   /* cᵀy */
    double pull;     /* τ */
    bool complete;   /* no weight is left to zero F_i */
    double *matrix;  /* of the variables of the cone */
    double *c;
    double *b;
    double *product;
    double *below; /* the cone's y nearest to the target whose share is too small */
    double *above; /* whose share is too large */
    double *y;
} forum_problem;

static double length_of_gradient(const mtli_units *units, int32_t i, bool unit)
{
    return unit ? 1 : units->norm[i];
}

/* c, and the scale in which the larger of target and pull is 1. */
static void measure_forum(forum_problem *p, double phi, bool unit)
{
    const mtli_units *units = p->units;
    double smallest = 1;
    for (int32_t i = 0; i < p->q; i++) {
        double length = length_of_gradient(units, i, unit);
        smallest = length < smallest ? length : smallest;
    }
    for (int32_t i = 0; i < units->n; i++) {
        p->c[i] = i < p->q ? smallest / length_of_gradient(units, i, unit) : 0;
        p->y[i] = 0;
    }
    p->q_length = p->q < units->n ? units->norm[p->q] * (unit ? units->largest : 1) : 0;
    p->scale = 1 / mtli_larger(smallest, phi * p->q_length);
    p->target = smallest * p->scale;
    p->pull = phi * p->q_length * p->scale;
}

static void pose_forum(forum_problem *p, mtli_work rest)
{
    int32_t n = p->units->n;
    for (int32_t i = 0; i < n; i++) {
        for (int32_t j = 0; j < n; j++) {
            p->matrix[(int64_t)i * n + j] = p->units->cosine[(int64_t)i * n + j] + p->c[i] * p->c[j];
        }
    }
    mtli_cone_create(n, p->matrix, &rest, &p->cone);
}

static bool solve_forum_at(forum_problem *p, double kappa, double *share)
{
    for (int32_t i = 0; i < p->cone.n; i++) {
        p->b[i] = i == p->q ? p->pull : kappa * p->c[i];
    }
    bool converged = mtli_cone_solve(&p->cone, p->b);
    *share = mtli_balance_dot(p->cone.n, p->c, p->cone.y);
    return converged;
}

/* ---- the search for κ ---- */

/* The κ at which the first F_i leaves 0, and a guess: the least at which one would have the whole share beside q. */
static double forum_bounds(const forum_problem *p, double *guess)
{
    double low = HUGE_VAL;
    *guess = HUGE_VAL;
    for (int32_t i = 0; i < p->q; i++) {
        double c = p->c[i];
        double cosine = p->units->cosine[(int64_t)i * p->units->n + p->q];
        double y = p->target / c;
        double y_q = mtli_larger(p->pull - cosine * y, 0);
        double alone = ((1 + c * c) * y + cosine * y_q) / c;
        double first = p->pull * cosine / c;
        low = first < low ? first : low;
        *guess = alone < *guess ? alone : *guess;
    }
    return low;
}

/* How fast cᵀy grows with κ on the present passive set. */
static double share_slope(forum_problem *p)
{
    mtli_cone_passive_solve(&p->cone, p->c, p->product);
    double slope = 0;
    for (int32_t i = 0; i < p->cone.count; i++) {
        slope += p->c[p->cone.passive[i]] * p->product[i];
    }
    return slope;
}

/* The next κ in the interval, after `share` came out at this one. Where Newton's steps go to and fro, halves. */
static double next_forum_kappa(forum_problem *p, double kappa, double share, double low, double high, int32_t iteration)
{
    bool halve = iteration >= 12 && iteration % 2 == 1;
    double root = kappa + (p->target - share) / share_slope(p);
    if (root > low && root < high && !(halve && isfinite(high))) {
        return root;
    }
    return isfinite(high) ? low + 0.5 * (high - low) : kappa + 4 * fabs(kappa) + p->target;
}

/* How far the search has come: shares at low and high lie below the target and above it. */
typedef struct forum_search {
    double low;
    double high;
    double kappa;
    double low_share;
    double high_share;
} forum_search;

/* With no F_i in it: q alone, when it is a variable. */
static forum_search begin_forum_search(forum_problem *p)
{
    forum_search s = {.low = 0, .high = HUGE_VAL, .kappa = 1};
    for (int32_t i = 0; i < p->cone.n; i++) {
        p->below[i] = i == p->q ? p->pull : 0;
    }
    if (p->pull > 0) {
        s.low = forum_bounds(p, &s.kappa);
    }
    return s;
}

/* κ is the sum of λ and the share. Where λ is larger by many digits (lengths that are decades apart), no number κ is near
 * enough to the answer: that lies between y below and above, for which κ is the same number. */
static void mix_forum(forum_problem *p, const forum_search *s)
{
    double part = (p->target - s->low_share) / (s->high_share - s->low_share);
    for (int32_t i = 0; i < p->cone.n && isfinite(s->high); i++) {
        p->cone.y[i] = part * p->above[i] + (1 - part) * p->below[i];
    }
}

static void narrow_forum(forum_problem *p, double share, forum_search *s)
{
    size_t bytes = (size_t)p->cone.n * sizeof(double);
    if (share < p->target) {
        s->low = mtli_larger(s->kappa, s->low);
        s->low_share = share;
        memcpy(p->below, p->cone.y, bytes);
    } else {
        s->high = s->kappa;
        s->high_share = share;
        memcpy(p->above, p->cone.y, bytes);
    }
}

/* Finds κ. False when a solver of one κ did not converge. */
static bool search_forum(forum_problem *p, int32_t *iterations)
{
    forum_search s = begin_forum_search(p);
    for (int32_t i = 0; i < FORUM_LIMIT; i++) {
        double share;
        bool converged = solve_forum_at(p, s.kappa, &share);
        *iterations += p->cone.iterations + 1;
        if (!converged) {
            return false;
        }
        if (p->pull <= 0 || fabs(share - p->target) <= mtli_rounding(p->cone.n) * p->target) {
            return true; /* without pull, every κ gives the same direction */
        }
        narrow_forum(p, share, &s);
        double next = next_forum_kappa(p, s.kappa, share, s.low, s.high, i);
        if (next <= s.low || next >= s.high || !isfinite(next)) {
            mix_forum(p, &s);
            return true;
        }
        s.kappa = next;
    }
    return true;
}

/* ---- the answer ---- */

/* y of the cone's variables, with the share brought to the target, and of q. */
static void take_solution(forum_problem *p)
{
    double share = mtli_balance_dot(p->cone.n, p->c, p->cone.y);
    if (!(share > 0)) { /* C is no matrix of cosines; an answer nevertheless */
        p->cone.y[0] = 1 / p->c[0];
        share = 1;
    }
    double factor = p->target / share;
    for (int32_t i = 0; i < p->cone.n; i++) {
        p->y[i] = p->cone.y[i] * factor;
    }
}

/* All F_i take part. */
static bool share_all(forum_problem *p, mtli_work rest, int32_t *iterations)
{
    pose_forum(p, rest);
    bool converged = search_forum(p, iterations);
    take_solution(p);
    p->complete = true;
    return converged;
}

/* Some F_i are zero: the multiplier of Σγ = 1 is 0 unless the others take more than the weight 1. False: they do. */
static bool leave_to_zeros(forum_problem *p, mtli_work rest, int32_t *iterations)
{
    int32_t n = p->units->n;
    double share = 0;
    mtli_cone_create(n, p->units->cosine, &rest, &p->cone);
    for (int32_t i = 0; i < n; i++) {
        p->b[i] = i == p->q ? p->pull : 0;
    }
    bool converged = mtli_cone_solve(&p->cone, p->b);
    *iterations += p->cone.iterations;
    for (int32_t i = 0; i < n; i++) {
        p->y[i] = p->cone.y[i];
        share += p->c[i] * p->y[i];
    }
    p->complete = false;
    return converged && share <= p->target * (1 + mtli_rounding(n));
}

/* λ, from the row that says it with the least rounding. */
static double forum_multiplier(const forum_problem *p, const double *product)
{
    int32_t best = -1;
    for (int32_t i = 0; i < p->q && p->complete; i++) {
        if (p->y[i] > 0 && (best < 0 || p->c[i] > p->c[best])) {
            best = i;
        }
    }
    return best < 0 ? 0 : product[best] / p->c[best];
}

/* The violation of the conditions in the head of this file. */
static double forum_residual(forum_problem *p)
{
    int32_t n = p->units->n;
    double sum = p->pull;
    double worst = 0;
    mtli_symmetric_product(n, p->units->cosine, p->y, p->product);
    double multiplier = forum_multiplier(p, p->product);
    for (int32_t i = 0; i < n; i++) {
        double wanted = i == p->q ? p->pull : multiplier * p->c[i];
        double gap = wanted - p->product[i];
        worst = mtli_larger(worst, p->y[i] > 0 ? fabs(gap) : gap);
        sum += p->y[i];
    }
    return sum > 0 ? worst / sum : 0;
}

static void report_forum(const forum_problem *p, int32_t zeros, double *gamma, double *nu)
{
    double share = 0;
    for (int32_t i = 0; i < p->q; i++) {
        double weight = p->c[i] * p->y[i] / p->target;
        gamma[p->units->index[i]] = weight;
        share += weight;
    }
    double rest = 1 - share > mtli_rounding(p->units->n) ? 1 - share : 0;
    for (int32_t i = 0, k = 0; i < p->units->tasks - 1; i++) {
        bool present = k < p->q && p->units->index[k] == i;
        k += present;
        if (!present) {
            gamma[i] = rest / zeros;
        }
    }
    *nu = p->q < p->units->n ? p->y[p->q] / (p->q_length * p->scale) : 0;
}

static mtli_balance_result solve_forum(forum_problem *p, double *gamma, double *nu, mtli_work rest)
{
    mtli_balance_result result = {MTLI_BALANCE_OK, 0, 0};
    int32_t zeros = p->units->tasks - 1 - p->q;
    bool converged = zeros > 0 && leave_to_zeros(p, rest, &result.iterations);
    if (!converged && p->q > 0) {
        converged = share_all(p, rest, &result.iterations);
    }
    result.residual = forum_residual(p);
    report_forum(p, zeros, gamma, nu);
    if (!converged || !(result.residual <= GOOD_RESIDUAL)) {
        result.status = MTLI_BALANCE_NOT_CONVERGED;
    }
    return result;
}

mtli_balance_result mtli_balance_forum(int32_t tasks, const double *gram, double phi, bool unit, double *gamma,
                                       double *nu, void *work)
{
    mtli_work rest = mtli_work_begin(work);
    mtli_units units;
    *nu = 0;
    if (!isfinite(phi) || !mtli_units_create(tasks + 1, gram, &rest, &units)) {
        return mtli_balance_nothing(tasks, gamma, MTLI_BALANCE_NOT_FINITE);
    }
    if (phi < 0) {
        return mtli_balance_nothing(tasks, gamma, MTLI_BALANCE_DOMAIN);
    }
    if (!isfinite(phi * mtli_larger(units.largest, 1))) {
        return mtli_balance_nothing(tasks, gamma, MTLI_BALANCE_NOT_FINITE);
    }
    int32_t n = units.n;
    forum_problem p = {.units = &units, .q = n > 0 && units.index[n - 1] == tasks ? n - 1 : n};
    p.matrix = mtli_work_doubles(&rest, (int64_t)n * n);
    p.c = mtli_work_doubles(&rest, n);
    p.b = mtli_work_doubles(&rest, n);
    p.below = mtli_work_doubles(&rest, n);
    p.above = mtli_work_doubles(&rest, n);
    p.y = mtli_work_doubles(&rest, n);
    p.product = mtli_work_doubles(&rest, n);
    measure_forum(&p, phi, unit);
    return solve_forum(&p, gamma, nu, rest);
}
