/* SPDX-License-Identifier: Apache-2.0
 * Squared, Huber and binary cross-entropy losses of elements. */
#include "kernels/losses.h"

#include <math.h>

enum { PAIR_BLOCK = 256 };

static void set_gradient(mtli_real *dx, double value, bool accumulate)
{
    *dx = (mtli_real)(accumulate ? (double)*dx + value : value);
}

double mtli_squared_sum(const mtli_pairs *pairs, int64_t begin, int64_t end, int64_t *count)
{
    double sum = 0;
    int64_t counted = 0;
    for (int64_t i = begin; i < end; i++) {
        bool has = pairs->targets[i] == pairs->targets[i];
        double e = (double)pairs->values[i] - (double)pairs->targets[i];
        sum += has ? e * e : 0;
        counted += has;
    }
    *count += counted;
    return sum;
}

void mtli_squared_gradient(const mtli_pairs *pairs, bool of_target, int64_t begin, int64_t end, double seed,
                           mtli_real *dx, bool accumulate)
{
    double factor = of_target ? -2 * seed : 2 * seed;
    for (int64_t i = begin; i < end; i++) {
        bool has = pairs->targets[i] == pairs->targets[i];
        double e = (double)pairs->values[i] - (double)pairs->targets[i];
        set_gradient(dx + i, has ? factor * e : 0, accumulate);
    }
}

double mtli_huber_sum(const mtli_pairs *pairs, int64_t begin, int64_t end, int64_t *count)
{
    double sum = 0;
    double delta = pairs->delta;
    int64_t counted = 0;
    for (int64_t i = begin; i < end; i++) {
        if (pairs->targets[i] == pairs->targets[i]) {
            double e = fabs((double)pairs->values[i] - (double)pairs->targets[i]);
            sum += e <= delta ? 0.5 * e * e : delta * (e - 0.5 * delta);
            counted++;
        }
    }
    *count += counted;
    return sum;
}

void mtli_huber_gradient(const mtli_pairs *pairs, bool of_target, int64_t begin, int64_t end, double seed,
                         mtli_real *dx, bool accumulate)
{
    double factor = of_target ? -seed : seed;
    double delta = pairs->delta;
    for (int64_t i = begin; i < end; i++) {
        bool has = pairs->targets[i] == pairs->targets[i];
        double e = (double)pairs->values[i] - (double)pairs->targets[i];
        double slope = e > delta ? delta : e < -delta ? -delta : e;
        set_gradient(dx + i, has ? factor * slope : 0, accumulate);
    }
}

/* e[i] = exp(-|z[i]|) */
static void exp_minus_abs(const mtli_kernels *kernels, int64_t n, const mtli_real *z, mtli_real *e)
{
    for (int64_t i = 0; i < n; i++) {
        e[i] = z[i] > 0 ? -z[i] : z[i];
    }
    kernels->vexp(n, e, e);
}

/* -log σ(z) = log(1 + exp(-z)) */
static double minus_log_sigmoid(double z, double e)
{
    return log1p(e) + (z < 0 ? -z : 0);
}

static double positive_weight(const mtli_pairs *pairs, int64_t i)
{
    return pairs->weights ? (double)pairs->weights[i % pairs->features] : 1.0;
}

double mtli_binary_sum(const mtli_pairs *pairs, int64_t begin, int64_t end, int64_t *count)
{
    mtli_real e[PAIR_BLOCK];
    double sum = 0;
    for (; begin < end; begin += PAIR_BLOCK) {
        int64_t n = end - begin < PAIR_BLOCK ? end - begin : PAIR_BLOCK;
        exp_minus_abs(pairs->kernels, n, pairs->values + begin, e);
        for (int64_t i = 0; i < n; i++) {
            double t = (double)pairs->targets[begin + i];
            if (t != t) {
                continue;
            }
            double z = (double)pairs->values[begin + i];
            double w = positive_weight(pairs, begin + i);
            sum += (1 - t) * z + (1 + (w - 1) * t) * minus_log_sigmoid(z, (double)e[i]);
            ++*count;
        }
    }
    return sum;
}

/* By the logit: (1 - t) σ(z) - w t σ(-z), where neither σ is computed as 1 minus the other. By the target: linear. */
static double binary_derivative(bool of_target, double z, double t, double w, double e)
{
    if (of_target) {
        return (w - 1) * minus_log_sigmoid(z, e) - z;
    }
    double small = e / (1 + e);
    double large = 1 / (1 + e);
    return z > 0 ? (1 - t) * large - w * t * small : (1 - t) * small - w * t * large;
}

void mtli_binary_gradient(const mtli_pairs *pairs, bool of_target, int64_t begin, int64_t end, double seed,
                          mtli_real *dx, bool accumulate)
{
    mtli_real e[PAIR_BLOCK];
    for (; begin < end; begin += PAIR_BLOCK) {
        int64_t n = end - begin < PAIR_BLOCK ? end - begin : PAIR_BLOCK;
        exp_minus_abs(pairs->kernels, n, pairs->values + begin, e);
        for (int64_t i = 0; i < n; i++) {
            double z = (double)pairs->values[begin + i];
            double t = (double)pairs->targets[begin + i];
            double w = positive_weight(pairs, begin + i);
            double slope = t == t ? binary_derivative(of_target, z, t, w, (double)e[i]) : 0;
            set_gradient(dx + begin + i, seed * slope, accumulate);
        }
    }
}

void mtli_binary_weight_gradient(const mtli_pairs *pairs, int64_t n, double *sums)
{
    for (int64_t i = 0; i < n; i++) {
        double t = (double)pairs->targets[i];
        double z = (double)pairs->values[i];
        if (t == t) {
            sums[i % pairs->features] += t * minus_log_sigmoid(z, exp(-fabs(z)));
        }
    }
}
