/* SPDX-License-Identifier: Apache-2.0
 * The conditions of the conformance kit, formed from the gradients: README.md has the formulas. Each violation is relative
 * to the magnitudes of the terms that meet in it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

static double inner(int n, const double *x, const double *y)
{
    double sum = 0;
    for (int k = 0; k < n; k++) {
        sum += x[k] * y[k];
    }
    return sum;
}

static double larger(double a, double b)
{
    return a > b || isnan(a) ? a : b; /* what is no number stays to be seen */
}

kit_answer kit_answer_create(int tasks, int size, const double *g, const double *weights)
{
    kit_answer a = {tasks,
                    size,
                    g,
                    weights,
                    calloc((size_t)size, sizeof(double)),
                    calloc((size_t)tasks, sizeof(double)),
                    calloc((size_t)tasks, sizeof(double)),
                    0};
    for (int i = 0; i < tasks; i++) {
        const double *row = g + (ptrdiff_t)i * size;
        a.norms[i] = sqrt(inner(size, row, row));
        a.magnitude += a.norms[i] * fabs(weights[i]);
        for (int p = 0; p < size; p++) {
            a.direction[p] += weights[i] * row[p];
        }
    }
    for (int i = 0; i < tasks; i++) {
        a.products[i] = inner(size, g + (ptrdiff_t)i * size, a.direction);
    }
    return a;
}

void kit_answer_free(kit_answer *answer)
{
    free(answer->direction);
    free(answer->products);
    free(answer->norms);
}

/* gap / magnitude; an exact answer is none of a magnitude of 0 either. */
static double relative(double gap, double magnitude)
{
    return gap <= 0 ? 0 : magnitude > 0 ? gap / magnitude : HUGE_VAL;
}

double kit_weight_deviation(int tasks, const double *norms, const double *weights, const double *expected)
{
    double worst = 0;
    double magnitude = 0;
    for (int i = 0; i < tasks; i++) {
        double n = norms ? norms[i] : 1;
        worst = larger(n * fabs(weights[i] - expected[i]), worst);
        magnitude += n * fabs(expected[i]);
    }
    return isnan(worst) ? HUGE_VAL : relative(worst, magnitude);
}

double kit_direction_deviation(int tasks, int size, const double *g, const double *weights, const double *expected)
{
    double *difference = calloc((size_t)tasks, sizeof *difference);
    double magnitude = 0;
    double worst = 0;
    for (int i = 0; i < tasks; i++) {
        const double *row = g + (ptrdiff_t)i * size;
        difference[i] = weights[i] - expected[i];
        magnitude += sqrt(inner(size, row, row)) * larger(fabs(weights[i]), fabs(expected[i]));
    }
    kit_answer a = kit_answer_create(tasks, size, g, difference);
    for (int i = 0; i < tasks; i++) {
        double off = fabs(a.products[i]);
        worst = larger(isnan(off) ? HUGE_VAL : relative(off, a.norms[i] * magnitude), worst);
    }
    kit_answer_free(&a);
    free(difference);
    return worst;
}

/* ---- conditions ---- */

static double finite_numbers(const kit_case *c, const kit_answer *a)
{
    (void)c;
    for (int i = 0; i < a->tasks; i++) {
        if (!isfinite(a->weights[i])) {
            return HUGE_VAL;
        }
    }
    return 0;
}

static double simplex(const kit_case *c, const kit_answer *a)
{
    (void)c;
    double sum = 0;
    double worst = 0;
    for (int i = 0; i < a->tasks; i++) {
        sum += a->weights[i];
        worst = larger(-a->weights[i], worst);
    }
    return larger(fabs(sum - 1), worst);
}

/* The answer is 0: n_i |w_i| beside the sum of lengths. */
static double vanishing(const kit_case *c, const kit_answer *a)
{
    (void)c;
    double worst = 0;
    double lengths = 0;
    for (int i = 0; i < a->tasks; i++) {
        worst = larger(a->norms[i] * fabs(a->weights[i]), worst);
        lengths += a->norms[i];
    }
    return relative(worst, lengths);
}

/* Each gradient is there once, and corrections add others: w >= 1. */
static double surgery(const kit_case *c, const kit_answer *a)
{
    (void)c;
    double worst = 0;
    for (int i = 0; i < a->tasks; i++) {
        worst = larger(1 - a->weights[i], worst);
    }
    return worst;
}

static double non_conflicting(const kit_case *c, const kit_answer *a)
{
    (void)c;
    double worst = 0;
    for (int i = 0; i < a->tasks; i++) {
        worst = larger(relative(-a->products[i], a->norms[i] * a->magnitude), worst);
    }
    return worst;
}

static double stationary_zero(const kit_case *c, const kit_answer *a)
{
    (void)c;
    return relative(sqrt(inner(a->size, a->direction, a->direction)), a->magnitude);
}

/* <g_i, d> >= ‖d‖², with equality where w_i > 0. */
static double kkt_simplex(const kit_case *c, const kit_answer *a)
{
    double m = a->magnitude;
    double bound = inner(a->size, a->direction, a->direction);
    double worst = simplex(c, a);
    for (int i = 0; i < a->tasks; i++) {
        double above = a->products[i] - bound;
        worst = larger(relative(-above, m * (a->norms[i] + m)), worst);
        worst = larger(relative(fabs(a->weights[i] * above), m * (m + fabs(a->weights[i]) * m)), worst);
    }
    return worst;
}

static double preferred(const kit_case *c, const kit_answer *a, int task)
{
    return c->preference.count > 0 ? c->preference.at[task] : 1.0 / a->tasks;
}

/* w >= u, <g_i, d> >= 0, one of them with equality. */
static double kkt_dual_cone(const kit_case *c, const kit_answer *a)
{
    double worst = non_conflicting(c, a);
    for (int i = 0; i < a->tasks; i++) {
        double more = a->weights[i] - preferred(c, a, i);
        worst = larger(relative(-more, fabs(a->weights[i])), worst);
        worst = larger(relative(fabs(more * a->products[i]), a->magnitude * a->magnitude), worst);
    }
    return worst;
}

static double frobenius_norm(const kit_answer *a)
{
    double sum = 0;
    for (int i = 0; i < a->tasks; i++) {
        for (int j = 0; j < a->tasks; j++) {
            double product = inner(a->size, a->g + (ptrdiff_t)i * a->size, a->g + (ptrdiff_t)j * a->size);
            sum += product * product;
        }
    }
    return sqrt(sum);
}

static double fair(const kit_case *c, const kit_answer *a)
{
    bool nash = strcmp(c->method, "nash") == 0;
    double frobenius = nash ? frobenius_norm(a) : 1;
    double exponent = nash ? -1 : -1 / kit_setting_of(c, "alpha", 1);
    double worst = 0;
    for (int i = 0; i < a->tasks; i++) {
        double right = frobenius * pow(a->weights[i], exponent);
        bool positive = a->weights[i] > 0;
        double gap = fabs(a->products[i] - right);
        worst = larger(positive ? relative(gap, a->norms[i] * a->magnitude + right) : HUGE_VAL, worst);
    }
    return worst;
}

static double equal_projections(const kit_case *c, const kit_answer *a)
{
    double sum = 0;
    double total = 0;
    double lengths = 0;
    double products = 0;
    double worst = 0;
    for (int i = 0; i < a->tasks; i++) {
        double gap = a->products[i] / a->norms[i] - a->products[0] / a->norms[0];
        worst = larger(relative(fabs(gap), a->magnitude), worst);
        sum += a->weights[i];
        total += fabs(a->weights[i]);
        lengths += a->norms[i];
        products += a->products[i];
    }
    if (strcmp(c->method, "imtl-g") == 0) {
        return larger(relative(fabs(sum - 1), total), worst);
    }
    double gap = fabs(inner(a->size, a->direction, a->direction) - products);
    return larger(relative(gap, a->magnitude * (a->magnitude + lengths)), worst);
}

static double rescale_of(const kit_case *c, double radius)
{
    return strcmp(c->form, "rescale-none") == 0     ? 1
           : strcmp(c->form, "rescale-linear") == 0 ? 1 + radius
                                                    : 1 + radius * radius;
}

/* d lies in the ball, and min <g_i, d> reaches the bound that v = w - 1/T gives. */
static double cagrad_gap(const kit_case *c, const kit_answer *a)
{
    double radius = kit_setting_of(c, "c", 0.5);
    double factor = rescale_of(c, radius);
    double *v = calloc((size_t)a->tasks, sizeof *v);
    double *u = calloc((size_t)a->tasks, sizeof *u);
    double sum = 0;
    double worst = 0;
    double primal = HUGE_VAL;
    double longest = 0;
    for (int i = 0; i < a->tasks; i++) {
        u[i] = 1.0 / a->tasks;
        v[i] = factor * a->weights[i] - u[i];
        worst = larger(-v[i], worst);
        sum += v[i];
        primal = fmin(primal, factor * a->products[i]);
        longest = fmax(longest, a->norms[i]);
    }
    kit_answer mean = kit_answer_create(a->tasks, a->size, a->g, u);
    kit_answer away = kit_answer_create(a->tasks, a->size, a->g, v);
    double ball = radius * sqrt(inner(a->size, mean.direction, mean.direction));
    double length = sqrt(inner(a->size, away.direction, away.direction));
    double along = inner(a->size, mean.direction, away.direction);
    bool stationary = strcmp(c->status, "stationary") == 0;
    double bound = stationary || !(sum > 0) ? 0 : (along + ball * length) / sum;
    double magnitude = factor * a->magnitude;
    worst = larger(relative(length - ball, magnitude), worst);
    worst = larger(relative(bound - primal, longest * magnitude), worst);
    kit_answer_free(&mean);
    kit_answer_free(&away);
    free(v);
    free(u);
    return worst;
}

double kit_violation(const kit_case *c, const char *condition, const kit_answer *answer)
{
    static const struct {
        const char *name;
        double (*violation)(const kit_case *c, const kit_answer *answer);
    } conditions[] = {
        {"finite", finite_numbers},
        {"simplex", simplex},
        {"surgery", surgery},
        {"vanishing", vanishing},
        {"non-conflicting", non_conflicting},
        {"stationary-zero", stationary_zero},
        {"kkt-simplex", kkt_simplex},
        {"kkt-dual-cone", kkt_dual_cone},
        {"fair", fair},
        {"equal-projections", equal_projections},
        {"cagrad-gap", cagrad_gap},
    };
    for (size_t k = 0; k < sizeof conditions / sizeof conditions[0]; k++) {
        if (strcmp(conditions[k].name, condition) == 0) {
            double violation = conditions[k].violation(c, answer);
            return isnan(violation) ? HUGE_VAL : violation;
        }
    }
    return NAN;
}
