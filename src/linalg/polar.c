/* SPDX-License-Identifier: Apache-2.0
 * Polynomial iterations in the algebra of the Gram matrix, where all factors commute and are symmetric.
 *
 * With R = G / u, its eigenvalues x² in [l², 1], and odd polynomials p(x) = x q(x²), the step
 *     Z ← Z q(R),  R ← R q(R)²
 * replaces every x by p(x) and keeps R = Z G Z / u. Each p is the one of degree nine that is nearest to 1 on the
 * interval that holds the spectrum (Amsel, Persson, Musco & Gower 2025, "Polar Express", who prove that this greedy
 * choice is optimal for the composition); near 1 it is the Taylor polynomial of (1 - E)^-½. q has degree four in R and
 * costs two products (Paterson & Stockmeyer), a step costs five, the first four, the last three. A condition number of
 * 3, that of a random matrix with four times as many rows as columns, takes seven products.
 *
 * Rounding: errors of eps in R near l² are relative errors of eps / l², so Z is good to about eps times the square of
 * A's condition number, as everything is that is computed from the Gram matrix. */
#include "linalg/polar.h"

#include <math.h>
#include <string.h>

#include "linalg/dense.h"
#include "linalg/lanczos.h"
#include "linalg/minimax.h"

enum {
    BUFFERS = 5,
    MOST_STEPS = 12, /* a condition number of 10^3 takes six */
    MOST_ROUNDS = 4,
    PROBES = 2
};

/* Lanczos' estimates lie inside the spectrum. */
static const double ABOVE = 1.03;
static const double BELOW = 0.8;

/* From here on the Taylor polynomial gains more than it loses against the best one. */
static const double NEAR_ONE = 0.25;

/* (1 - E)^-½ to the fourth order, in powers of R = I - E. */
static const double TAYLOR[MTLI_MINIMAX_TERMS] = {315.0 / 128, -420.0 / 128, 378.0 / 128, -180.0 / 128, 35.0 / 128};

/* The first term left out is 63/256 E⁵. */
static double taylor_error(double e)
{
    return 63.0 / 256 * e * e * e * e * e / (1 - e);
}

typedef struct root_iteration {
    mtl_context *context;
    int64_t n;
    double *r;
    double *z; /* NULL: the identity */
    double *free[BUFFERS];
    int num_free;
    double low;    /* l, while the spectrum of R is known to lie in [l², 1] */
    double spread; /* or 0 < spread < 1: within 1 ± spread */
    double scale;  /* R = scale * Z G Z */
    double *packed;
} root_iteration;

size_t mtli_inverse_root_work(int64_t n)
{
    return BUFFERS * (size_t)(n * n) + mtli_dense_work(n) + 4 * (size_t)n;
}

static double *take_buffer(root_iteration *it)
{
    return it->free[--it->num_free];
}

static void give_buffer(root_iteration *it, double *buffer)
{
    if (buffer) {
        it->free[it->num_free++] = buffer;
    }
}

static double *root_product(root_iteration *it, const double *a, const double *b)
{
    double *c = take_buffer(it);
    mtli_dense_product(it->context, it->n, false, a, b, c, it->packed);
    return c;
}

/* out = c0 I + c1 r + c2 s (out may be r or s, or hold what is added to). */
static void combine(int64_t n, double c0, double c1, const double *r, double c2, const double *s, double *out)
{
    for (int64_t i = 0; i < n * n; i++) {
        out[i] = c1 * r[i] + c2 * s[i];
    }
    for (int64_t i = 0; i < n; i++) {
        out[i * n + i] += c0;
    }
}

/* q(R), in a buffer of its own. */
static double *polynomial_of(root_iteration *it, const double *c)
{
    double *s = root_product(it, it->r, it->r);
    double *inner_part = take_buffer(it);
    combine(it->n, c[2], c[3], it->r, c[4], s, inner_part);
    double *q = root_product(it, s, inner_part);
    combine(it->n, c[0], c[1], it->r, 1, q, q);
    give_buffer(it, s);
    give_buffer(it, inner_part);
    return q;
}

/* Chooses the polynomial, and what it does to the bounds. *last: no further one is needed. */
static bool choose(root_iteration *it, double tolerance, double *c, bool *last)
{
    if (it->spread > 0) {
        memcpy(c, TAYLOR, sizeof TAYLOR);
        double error = taylor_error(it->spread);
        it->spread = 2 * error + error * error;
        *last = error <= tolerance;
        return it->spread < 1;
    }
    double error;
    if (!mtli_minimax_odd(it->low, c, &error)) {
        return false;
    }
    *last = false;
    double spread = 2 * error + error * error;
    if (spread <= NEAR_ONE) {
        it->spread = spread;
        return true;
    }
    for (int j = 0; j < MTLI_MINIMAX_TERMS; j++) {
        c[j] /= 1 + error;
    }
    it->low = (1 - error) / (1 + error);
    return true;
}

static void take_step(root_iteration *it, const double *c, bool last)
{
    double *q = polynomial_of(it, c);
    if (!last) {
        double *rq = root_product(it, it->r, q);
        double *next = root_product(it, rq, q);
        give_buffer(it, rq);
        give_buffer(it, it->r);
        it->r = next;
    }
    if (!it->z) {
        it->z = q;
        return;
    }
    double *next = root_product(it, it->z, q);
    give_buffer(it, it->z);
    give_buffer(it, q);
    it->z = next;
}

static bool iterate(root_iteration *it, double tolerance)
{
    for (int step = 0; step < MOST_STEPS; step++) {
        double c[MTLI_MINIMAX_TERMS];
        bool last;
        if (!choose(it, tolerance, c, &last)) {
            return false;
        }
        take_step(it, c, last);
        if (last) {
            return true;
        }
    }
    return false;
}

/* An estimate of ‖scale Z G Z - I‖_F: for a vector of random signs v, E‖M v‖² = ‖M‖²_F (Hutchinson). The bounds that
 * chose the polynomials were estimates; this sees when they were wrong. vectors: 4 n. */
static double residual_of(const root_iteration *it, const double *g, double *vectors)
{
    int64_t n = it->n;
    double *v = vectors;
    double *x = vectors + n;
    double *y = vectors + 2 * n;
    double sum = 0;
    for (int probe = 0; probe < PROBES; probe++) {
        mtli_sign_vector(n, (uint64_t)probe + 2, v);
        mtli_dense_times(it->context, n, it->z, v, x);
        mtli_dense_times(it->context, n, g, x, y);
        mtli_dense_times(it->context, n, it->z, y, x);
        for (int64_t i = 0; i < n; i++) {
            double difference = it->scale * x[i] - v[i];
            sum += difference * difference;
        }
    }
    return sqrt(sum / PROBES);
}

/* Begins a round with the bounds of R's spectrum, which it scales. False: they show a condition that is too large, or R
 * is not positive definite. */
static bool begin_round(root_iteration *it, double *condition, double most_condition, double *vectors)
{
    double low;
    double high;
    mtli_lanczos_ends(it->context, it->n, it->r, &low, &high, vectors);
    if (!(high > 0) || !(low > 0) || high > 1e300) {
        return false;
    }
    *condition *= sqrt(high / low);
    it->scale = 1 / (ABOVE * high);
    it->low = sqrt(BELOW * low * it->scale);
    it->spread = 0;
    combine(it->n, 0, it->scale, it->r, 0, it->r, it->r);
    return *condition <= most_condition;
}

/* R = Z G Z from its definition, free of what went before. */
static void renew(root_iteration *it, const double *g)
{
    double *gz = root_product(it, g, it->z);
    give_buffer(it, it->r);
    it->r = root_product(it, it->z, gz);
    give_buffer(it, gz);
}

/* Whether scale * Z G Z is the identity: all directions together may be off by what four of them may at most. (Each is
 * off by twice the polar factor's error, and most by far less than the largest.) */
static bool has_arrived(const root_iteration *it, const double *g, double condition, double tolerance, double *vectors)
{
    double rounding = 2.3e-16 * condition * condition;
    return residual_of(it, g, vectors) <= 8 * tolerance + 4 * sqrt((double)it->n) * rounding;
}

bool mtli_inverse_root(mtl_context *context, int64_t n, const double *g, double most_condition, double tolerance,
                       double *z, double *work)
{
    root_iteration it = {.context = context, .n = n};
    for (int i = 0; i < BUFFERS; i++) {
        give_buffer(&it, work + (size_t)i * (size_t)(n * n));
    }
    it.packed = work + BUFFERS * (size_t)(n * n);
    double *vectors = it.packed + mtli_dense_work(n);
    it.r = take_buffer(&it);
    memcpy(it.r, g, (size_t)(n * n) * sizeof g[0]);
    double condition = 1;
    for (int round = 0; round < MOST_ROUNDS; round++) {
        if (!begin_round(&it, &condition, most_condition, vectors) || !iterate(&it, tolerance)) {
            return false;
        }
        if (has_arrived(&it, g, condition, tolerance, vectors)) {
            combine(n, 0, sqrt(it.scale), it.z, 0, it.z, z);
            return true;
        }
        /* Directions below the estimate have come nearer to 1, and stand out from the others. */
        renew(&it, g);
    }
    return false;
}
