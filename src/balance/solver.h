/* SPDX-License-Identifier: Apache-2.0
 * What the rules on the Gram matrix share: the problem measured in unit gradients, and small dense solvers in double.
 * */
#ifndef MTLI_BALANCE_SOLVER_H
#define MTLI_BALANCE_SOLVER_H

#include <float.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "balance/weights.h"

/* ---- work ---- */

/** Hands out parts of the caller's work, one behind the other. */
typedef struct mtli_work {
    unsigned char *at;
} mtli_work;

double *mtli_work_doubles(mtli_work *work, int64_t n);
int32_t *mtli_work_indices(mtli_work *work, int64_t n);

static inline mtli_work mtli_work_begin(void *work)
{
    mtli_work result = {work};
    return result;
}

/* ---- the problem in unit gradients ---- */

/** The gradients that are not zero. With z = N w, the cosine matrix takes the place of G. */
typedef struct mtli_units {
    int32_t tasks;
    int32_t n;            /* gradients that are not zero */
    const int32_t *index; /* [n] their tasks */
    const double *norm;   /* [n] their lengths, the largest 1 */
    double largest;       /* the length that became 1; 0 when n = 0 */
    double smallest;      /* of norm */
    const double *cosine; /* [n, n] */
} mtli_units;

/** False when G is not finite. Takes T² + 2 T doubles of work. */
bool mtli_units_create(int32_t tasks, const double *gram, mtli_work *work, mtli_units *units);

/** Weights 0 and a status. */
mtli_balance_result mtli_balance_nothing(int32_t tasks, double *weights, mtli_balance_status status);

bool mtli_all_finite(int64_t n, const double *x);

/** Of a diagonal entry of G, beside the length of the longest gradient: see weights.h. */
bool mtli_gradient_is_zero(double square, double largest);

/** y = A x. */
void mtli_symmetric_product(int32_t n, const double *a, const double *x, double *y);

double mtli_balance_dot(int32_t n, const double *x, const double *y);

static inline double mtli_larger(double a, double b)
{
    return a > b ? a : b;
}

/** Below this, a sum of n products of numbers of size 1 is 0 to rounding. */
static inline double mtli_rounding(int32_t n)
{
    return 4 * DBL_EPSILON * (double)(n + 1);
}

/* ---- Cholesky ---- */

/** A (lower triangle, row-major, overwritten) = L Lᵀ. Pivots below `floor` become that. */
void mtli_cholesky(int32_t n, double *a, double floor);

/** x ← (L Lᵀ)^-1 x; rows of L lie `stride` apart. */
void mtli_cholesky_solve(int32_t n, int32_t stride, const double *l, double *x);

/* ---- min_{y >= 0} ½ yᵀ M y - bᵀ y: the active set of Lawson & Hanson (Solving Least Squares Problems, 1974, ch. 23)
 *      on the Gram matrix, with the Cholesky factor of the passive set updated ---- */

/** M is positive semidefinite to rounding with a diagonal in [1, 2] and b lies in its range to rounding. A small
 *  multiple of the identity is added in the factor, so that dependent rows do no harm, and taken out again by
 *  refinement: what remains is at the level of rounding of the terms of M y. */
typedef struct mtli_cone {
    int32_t n;
    const double *matrix; /* [n, n] */
    double shift;
    double magnitude;  /* of the terms that b was summed from, in every row */
    int32_t count;     /* of passive variables */
    int32_t *passive;  /* [n] which; in the order of the factor */
    int32_t *place;    /* [n] their positions in it; negative: at its bound 0 */
    int32_t *entered;  /* [n] what became passive last */
    double *factor;    /* [n, n] */
    double *y;         /* [n] the solution; 0 off the passive set */
    double *candidate; /* [n] */
    double *dense;     /* [n] */
    double *residual;  /* [n] */
    int32_t iterations;
} mtli_cone;

/** Takes n² + 7 n doubles of work (indices included). y = 0, nothing passive. */
void mtli_cone_create(int32_t n, const double *matrix, mtli_work *work, mtli_cone *cone);
void mtli_cone_reset(mtli_cone *cone);

/** Solves, beginning from the present y and passive set. False when the limit of iterations was reached. */
bool mtli_cone_solve(mtli_cone *cone, const double *b);

/** x [count] ← M_PP^-1 b_P of the present passive set, in its order. x and b do not overlap. */
void mtli_cone_passive_solve(mtli_cone *cone, const double *b, double *x);

/* ---- parts of rules that other rules build on ---- */

/** matrix [n, n] = C + c cᵀ with c = smallest / norm: the matrix of the least-squares form of a minimum over the
 *  simplex, whose solution, divided by its sum, is the minimum (see simplex.c). */
void mtli_simplex_matrix(const mtli_units *units, double *matrix, double *c);

/** MGDA on unit gradients (n >= 1): weights [T], and *distance = min wᵀGw / (Σ w n)², which is 0 to rounding exactly
 *  when the gradients are Pareto stationary. */
mtli_balance_result mtli_units_mgda(const mtli_units *units, double *weights, double *distance, mtli_work work);

mtli_balance_result mtli_units_dual(const mtli_units *units, const double *reference, double *weights, mtli_work work);

/** A = Σ_k values[k] v_k v_kᵀ: the rows of vectors are v_k, values descend; `rank` is the number of them above
 *  tolerance * values[0] (0: n times epsilon). */
typedef struct mtli_spectrum {
    int32_t n;
    int32_t rank;
    double *vectors; /* [n, n] */
    double *values;  /* [n] */
} mtli_spectrum;

/** n >= 1. False: no convergence. Takes n² + n doubles of work; the eigen-solver's own lies behind them, free again. */
bool mtli_spectrum_create(int32_t n, const double *matrix, double tolerance, mtli_work *work, mtli_spectrum *spectrum);

/** x = Σ_k values[k]^power <v_k, b> v_k over the rank. x and b do not overlap. */
void mtli_spectrum_power(const mtli_spectrum *spectrum, double power, const double *b, double *x);

#endif
