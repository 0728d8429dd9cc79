/* SPDX-License-Identifier: Apache-2.0
 * Proximal steps of every kind of penalty, in double: beside minimizers that are computed in another way (Moreau's
 * identity with projections written here, a linear system, bisection), their defining inequality, and what every
 * proximal operator does. */
#include "support/support_terms.h"

/* Weights are of size 1 to 4. Both ways round sums of at most 139 products of such numbers, and eigenvectors of a Gram
 * matrix mix what lies close together: errors of some hundred ε, 1e-13. The requirement is 1e-8. */
#define PROXIMAL_TOLERANCE 1e-10

static const double taus[] = {0.03, 0.4, 3};

/* ---- minimizers, written again ---- */

static void clip_singular(const void *argument, int32_t count, double *sigma)
{
    for (int32_t i = 0; i < count; i++) {
        sigma[i] = fmin(sigma[i], *(const double *)argument);
    }
}

/* x ← A⁻¹ x by elimination with pivots, for the columns of x [n, m]. */
static void solve_linear(int32_t n, int64_t m, double *a, double *x)
{
    for (int32_t k = 0; k < n; k++) {
        int32_t p = k;
        for (int32_t i = k; i < n; i++) {
            p = fabs(a[i * n + k]) > fabs(a[p * n + k]) ? i : p;
        }
        for (int64_t j = 0; j < (p != k ? n + m : 0); j++) {
            double *one = j < n ? &a[k * n + j] : &x[k * m + j - n], *two = j < n ? &a[p * n + j] : &x[p * m + j - n];
            double kept = *one;
            *one = *two;
            *two = kept;
        }
        for (int32_t i = 0; i < n; i++) {
            double ratio = i == k ? 0 : a[i * n + k] / a[k * n + k];
            for (int64_t j = 0; j < n + m; j++) {
                *(j < n ? &a[i * n + j] : &x[i * m + j - n]) -= ratio * (j < n ? a[k * n + j] : x[k * m + j - n]);
            }
        }
    }
    for (int32_t k = 0; k < n; k++) {
        for (int64_t j = 0; j < m; j++) {
            x[k * m + j] /= a[k * n + k];
        }
    }
}

/* (I + tau H) X = V, H being the second derivative. */
static void minimize_squares(const term_sample *s, double tau, double *all)
{
    int32_t count = s->stack.count;
    double *a = calloc((size_t)(count * count), sizeof *a);
    bool pairwise = s->term.options.form == MTL_L2_PAIRWISE, ridge = s->term.options.form == MTL_L2_RIDGE;
    for (int32_t i = 0; i < count; i++) {
        a[i * count + i] += 1 + (pairwise ? 0 : 2 * tau);
        for (int32_t j = 0; j < count; j++) {
            double link = pairwise ? (i == j ? 0 : s->term.graph ? s->graph[i * count + j] : 2) : 0;
            a[i * count + i] += 2 * tau * link;
            a[i * count + j] -= pairwise ? 2 * tau * link : ridge ? 0 : 2 * tau / count;
        }
    }
    solve_linear(count, s->stack.size, a, all);
    free(a);
}

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* What is subtracted from the magnitudes of a group to project it on the L1 ball (Held, Wolfe & Crowder 1974: by
 * sorting). */
static double ball_shift(int64_t n, double *magnitudes, double radius)
{
    double sum = 0, shift = 0;
    qsort(magnitudes, (size_t)n, sizeof *magnitudes, descending);
    for (int64_t k = 0; k < n; k++) {
        sum += magnitudes[k];
        double candidate = (sum - radius) / (double)(k + 1);
        shift = candidate < magnitudes[k] ? candidate : shift;
    }
    return fmax(shift, 0);
}

/* The group's part less its projection on the ball of radius tau of the dual norm. */
static void minimize_group(const term_sample *s, int64_t group, double tau, double *all)
{
    double *magnitudes = term_take((size_t)(s->stack.count * s->stack.size) * sizeof *magnitudes);
    double square = 0;
    int64_t n = 0;
    for (int64_t e = 0; e < s->stack.count * s->stack.size; e++) {
        if (term_group_of(s, (int32_t)(e / s->stack.size), e % s->stack.size) == group) {
            magnitudes[n++] = fabs(all[e]);
            square += all[e] * all[e];
        }
    }
    bool largest = s->what->kind == MTL_PENALTY_LINF1;
    double shift = largest ? ball_shift(n, magnitudes, tau) : 0;
    double shrink = fmin(1, tau / sqrt(square));
    for (int64_t e = 0; e < s->stack.count * s->stack.size; e++) {
        if (term_group_of(s, (int32_t)(e / s->stack.size), e % s->stack.size) == group) {
            double projected = largest ? copysign(fmax(fabs(all[e]) - shift, 0), all[e]) : shrink * all[e];
            all[e] -= projected;
        }
    }
    free(magnitudes);
}

/* V less the part that the dual ball of the trace norm holds. Of the difference of two tasks: the dual variable Y of
 * min_V ½ ‖V - W‖² + tau s ‖V_0 - V_1‖_* is the projection of half of the difference, and V = W - (Y, -Y). */
static void minimize_trace(const term_sample *s, double tau, double *all)
{
    int64_t n = s->stack.size, total = s->stack.count * n;
    double *dual = term_take((size_t)total * sizeof *dual);
    if (s->what->kind == MTL_PENALTY_TRACE_NORM) {
        memcpy(dual, all, (size_t)total * sizeof *dual);
        term_spectral(s->stack.count, n, dual, clip_singular, &tau);
    } else {
        double radius = tau * (s->term.graph ? s->graph[1] : 2);
        for (int64_t i = 0; i < n; i++) {
            dual[i] = 0.5 * (all[i] - all[n + i]);
        }
        term_spectral((int32_t)s->stack.rows, s->stack.columns, dual, clip_singular, &radius);
        for (int64_t i = 0; i < n; i++) {
            dual[n + i] = -dual[i];
        }
    }
    for (int64_t e = 0; e < total; e++) {
        all[e] -= dual[e];
    }
    free(dual);
}

typedef struct cluster_pull {
    const term_sample *s;
    double tau;
} cluster_pull;

/* The smallest of (v - s)² / 2 + tau c s² / (eta + m) in s and m by turns is slow; m alone is left when s is put
 * in. */
static void pull_clusters(const void *argument, int32_t count, double *sigma)
{
    const cluster_pull *pull = argument;
    const mtl_penalty_options *options = &pull->s->term.options;
    double eta = options->clustering, c = pull->tau * 2 * eta * (1 + eta);
    double *m = term_take((size_t)count * sizeof *m);
    /* Beyond the short side there are zeros: they take what the others leave of the budget. */
    term_fill(count, sigma, eta + c, fmin(options->clusters, count), m);
    for (int32_t i = 0; i < count; i++) {
        sigma[i] *= (eta + m[i]) / (eta + m[i] + c);
    }
    free(m);
}

static void minimize(const term_sample *s, double tau, double *all)
{
    cluster_pull pull = {s, tau};
    switch (s->what->kind) {
    case MTL_PENALTY_L2:
        minimize_squares(s, tau, all);
        break;
    case MTL_PENALTY_L21:
    case MTL_PENALTY_LINF1:
        for (int64_t group = 0; group < s->stack.size + s->stack.count; group++) {
            minimize_group(s, group, tau, all);
        }
        break;
    case MTL_PENALTY_L1:
        for (int64_t e = 0; e < s->stack.count * s->stack.size; e++) {
            all[e] -= fmin(fmax(all[e], -tau), tau);
        }
        break;
    case MTL_PENALTY_CLUSTERED:
        term_spectral(s->stack.count, s->stack.size, all, pull_clusters, &pull);
        break;
    default:
        minimize_trace(s, tau, all);
        break;
    }
}

static void check_minimizer(term_sample *s)
{
    double *start = term_copy(s, s->x);
    int64_t total = s->stack.count * s->stack.size;
    for (size_t k = 0; k < sizeof taus / sizeof taus[0]; k++) {
        double *wanted = term_copy(s, s->x);
        minimize(s, taus[k], wanted);
        term_step(s, taus[k]);
        double *found = term_copy(s, s->x);
        for (int64_t e = 0; e < total; e++) {
            term_expect(s, fabs(found[e] - wanted[e]) <= PROXIMAL_TOLERANCE, "proximal step", found[e], wanted[e]);
        }
        free(found);
        free(wanted);
        term_put(s, start);
    }
    free(start);
}

static void test_minimizers(void **state)
{
    (void)state;
    term_for_each(check_minimizer, true);
}

/* ---- the definition: (V - X) / tau is a subgradient at X, so Ω(Z) >= Ω(X) + <V - X, Z - X> / tau for every Z ---- */

static void check_inequality(const term_sample *s, const double *start, const double *x, double tau, const double *z)
{
    double slope = 0, sum = 0;
    for (int64_t e = 0; e < s->stack.count * s->stack.size; e++) {
        slope += (start[e] - x[e]) / tau * (z[e] - x[e]);
        sum += fabs((start[e] - x[e]) / tau * (z[e] - x[e]));
    }
    term_put(s, x);
    double here = term_value(s);
    term_put(s, z);
    double there = term_value(s);
    term_expect(s, there - here - slope >= -1e-12 * (here + there + sum), "inequality", there, here + slope);
}

static void check_definition(term_sample *s)
{
    double *start = term_copy(s, s->x), tau = 0.4;
    int64_t total = s->stack.count * s->stack.size;
    mtli_rng rng;
    mtli_rng_init(&rng, 8, 1);
    term_step(s, tau);
    double *x = term_copy(s, s->x), *z = term_copy(s, s->x);
    for (int k = 0; k < 12; k++) {
        double along = k < 4 ? 0.5 * k : 1, noise = k < 4 ? 0 : pow(10, -0.75 * (k - 4)); /* 0, ½ X, X, 1½ X, near X */
        for (int64_t e = 0; e < total; e++) {
            z[e] = along * x[e] + noise * mtli_rng_normal(&rng);
        }
        check_inequality(s, start, x, tau, z);
    }
    check_inequality(s, start, x, tau, start);
    free(start);
    free(x);
    free(z);
}

static void test_definition(void **state)
{
    (void)state;
    term_for_each(check_definition, true);
}

/* ---- what every proximal operator does ---- */

/* <P(a) - P(b), a - b> >= ‖P(a) - P(b)‖². */
static void check_firm(term_sample *s)
{
    double *a = term_copy(s, s->x);
    term_step(s, 0.4);
    double *pa = term_copy(s, s->x);
    for (int k = 0; k < 3; k++) {
        double inner = 0, square = 0, difference = pow(10, -k);
        mtli_rng rng;
        mtli_rng_init(&rng, 8, (uint64_t)k);
        double *b = term_copy(s, s->x);
        for (int64_t e = 0; e < s->stack.count * s->stack.size; e++) {
            b[e] = a[e] + difference * mtli_rng_normal(&rng);
        }
        term_put(s, b);
        term_step(s, 0.4);
        double *pb = term_copy(s, s->x);
        for (int64_t e = 0; e < s->stack.count * s->stack.size; e++) {
            inner += (pa[e] - pb[e]) * (a[e] - b[e]);
            square += (pa[e] - pb[e]) * (pa[e] - pb[e]);
        }
        term_expect(s, inner >= square - 1e-12 * (inner + square), "firmly non-expansive", inner, square);
        free(b);
        free(pb);
    }
    free(a);
    free(pa);
}

static void test_firm(void **state)
{
    (void)state;
    term_for_each(check_firm, true);
}

/* The step of W scaled by c: with tau for squares, with c tau for norms. */
static void check_scale(term_sample *s)
{
    double *start = term_copy(s, s->x), c = 8;
    bool square = s->what->kind == MTL_PENALTY_L2 || s->what->kind == MTL_PENALTY_CLUSTERED;
    double before = term_value(s);
    term_step(s, 0.4);
    double *once = term_copy(s, s->x);
    for (int64_t e = 0; e < s->stack.count * s->stack.size; e++) {
        start[e] *= c;
    }
    term_put(s, start);
    double after = term_value(s);
    term_expect(s, fabs(after - (square ? c * c : c) * before) <= 1e-12 * after, "scaled value", after, before);
    term_step(s, square ? 0.4 : 0.4 * c);
    double *scaled = term_copy(s, s->x);
    for (int64_t e = 0; e < s->stack.count * s->stack.size; e++) {
        term_expect(s, fabs(scaled[e] - c * once[e]) <= 1e-10, "scaled step", scaled[e], c * once[e]);
    }
    free(start);
    free(once);
    free(scaled);
}

static void test_scale(void **state)
{
    (void)state;
    term_for_each(check_scale, true);
}

/* Tasks in reverse order, and their graph with them: the same step in reverse. */
static void check_order(term_sample *s)
{
    int32_t count = s->stack.count;
    double *start = term_copy(s, s->x), *turned = term_take((size_t)(count * s->stack.size) * sizeof *turned);
    double *graph = term_take((size_t)(count * count) * sizeof *graph);
    double before = term_value(s);
    term_step(s, 0.4);
    double *once = term_copy(s, s->x);
    for (int32_t i = 0; i < count; i++) {
        memcpy(turned + i * s->stack.size, start + (count - 1 - i) * s->stack.size,
               (size_t)s->stack.size * sizeof *start);
        for (int32_t j = 0; j < count; j++) {
            graph[i * count + j] = s->graph[(count - 1 - i) * count + count - 1 - j];
        }
    }
    s->term.graph = s->term.graph ? graph : NULL;
    term_put(s, turned);
    double after = term_value(s);
    term_expect(s, fabs(before - after) <= 1e-12 * before, "value in another order", after, before);
    term_step(s, 0.4);
    for (int32_t i = 0; i < count; i++) {
        const double *wanted = once + (count - 1 - i) * s->stack.size;
        for (int64_t k = 0; k < s->stack.size; k++) {
            term_expect(s, fabs(s->x[i][k] - wanted[k]) <= 1e-10, "step in another order", s->x[i][k], wanted[k]);
        }
    }
    free(start);
    free(turned);
    free(once);
    free(graph);
}

static void test_order(void **state)
{
    (void)state;
    term_for_each(check_order, true);
}

/* tau = 0 changes no bit; a very large one leaves 0, or the mean of tasks that are linked. The fixture's graph links
 * each task to the next. */
static void check_ends(term_sample *s)
{
    double *start = term_copy(s, s->x);
    term_step(s, 0);
    for (int32_t t = 0; t < s->stack.count; t++) {
        assert_memory_equal(s->x[t], start + t * s->stack.size, (size_t)s->stack.size * sizeof(double));
    }
    bool pulls_together = s->what->kind == MTL_PENALTY_TRACE_NORM_DIFFERENCES ||
                          (s->what->kind == MTL_PENALTY_L2 && s->what->form != MTL_L2_RIDGE);
    double taus_to_end[] = {1e30, 1e300};
    for (int k = 0; k < 2; k++) {
        term_put(s, start);
        term_step(s, taus_to_end[k]);
        for (int64_t i = 0; i < s->stack.size; i++) {
            double mean = 0;
            for (int32_t t = 0; t < s->stack.count && pulls_together; t++) {
                mean += start[t * s->stack.size + i] / s->stack.count;
            }
            for (int32_t t = 0; t < s->stack.count; t++) {
                term_expect(s, fabs(s->x[t][i] - mean) <= 1e-13, "the end", s->x[t][i], mean);
            }
        }
    }
    free(start);
}

static void test_ends(void **state)
{
    (void)state;
    term_for_each(check_ends, true);
}

/* The stronger the step, the smaller Ω; for the trace norm the rank never grows, and it falls from full to 0. */
static void check_path(term_sample *s)
{
    double *start = term_copy(s, s->x);
    double last = INFINITY;
    int64_t least = s->stack.size < s->stack.count ? s->stack.size : s->stack.count;
    int64_t last_rank = least, ranks = 0;
    for (double tau = 1e-2; tau < 100; tau *= 1.1) {
        term_put(s, start);
        term_step(s, tau);
        double value = term_value(s);
        term_expect(s, value <= last + 1e-12, "Ω along the path", value, last);
        last = value;
        if (s->what->kind == MTL_PENALTY_TRACE_NORM) {
            double *all = term_copy(s, s->x);
            double none = 1e-13, kept = term_trace(s->stack.count, s->stack.size, all);
            /* The rank is the sum of min(sigma, 1e-13) over 1e-13, for values that are far above or 0. */
            double *cut = term_copy(s, s->x);
            term_spectral(s->stack.count, s->stack.size, cut, clip_singular, &none);
            int64_t rank = (int64_t)(term_trace(s->stack.count, s->stack.size, cut) / none + 0.5);
            term_expect(s, rank <= last_rank && (rank > 0) == (kept > none), "rank", (double)rank, (double)last_rank);
            ranks += rank != last_rank;
            last_rank = rank;
            free(all);
            free(cut);
        }
    }
    if (s->what->kind == MTL_PENALTY_TRACE_NORM) {
        term_expect(s, last_rank == 0 && ranks >= (least < 4 ? 1 : 3), "ranks on the path", (double)ranks,
                    (double)least);
    }
    free(start);
}

static void test_strength(void **state)
{
    (void)state;
    term_for_each(check_path, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_minimizers), cmocka_unit_test(test_definition), cmocka_unit_test(test_firm),
        cmocka_unit_test(test_scale),      cmocka_unit_test(test_order),      cmocka_unit_test(test_ends),
        cmocka_unit_test(test_strength),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
