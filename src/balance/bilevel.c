/* SPDX-License-Identifier: Apache-2.0
 * The derivatives of validation losses with respect to the logits of the task weights: MOML and Auto-Lambda. */
#include "balance/bilevel.h"

#include <math.h>

#include "balance/solver.h"

/* FORUM's matrix has a row more; MOML has T gradients and their Gram matrix beside MGDA. */
size_t mtli_bilevel_work(int32_t tasks)
{
    size_t t = tasks > 0 ? (size_t)tasks : 0;
    return mtli_balance_work(tasks > 0 ? tasks + 1 : 1) + (2 * t * t + t) * sizeof(double);
}

/* a = -eta h (diag(z) - z zᵀ), a may be z. Differences from h_0 first: the derivative does not depend on a number that
 * is added to all, nor does rounding then. */
static void logit_derivative(int32_t n, const double *h, double eta, const double *z, double *a)
{
    double origin = h[0];
    double mean = 0;
    for (int32_t i = 0; i < n; i++) {
        mean += z[i] * (h[i] - origin);
    }
    for (int32_t i = 0; i < n; i++) {
        a[i] = -eta * z[i] * (h[i] - origin - mean);
    }
}

/* Divides a [rows, n] by the largest magnitude among its numbers. That one; 0: they all are. */
static double divide_by_largest(int64_t n, double *a)
{
    double largest = 0;
    for (int64_t i = 0; i < n; i++) {
        largest = mtli_larger(largest, fabs(a[i]));
    }
    for (int64_t i = 0; i < n && largest > 0; i++) {
        a[i] /= largest;
    }
    return largest;
}

static void make_unit(int32_t n, double *a)
{
    if (divide_by_largest(n, a) > 0) {
        double length = sqrt(mtli_balance_dot(n, a, a));
        for (int32_t i = 0; i < n; i++) {
            a[i] /= length;
        }
    }
}

static mtli_balance_status check_bilevel(int64_t n, const double *h, double eta, int32_t tasks, const double *logits)
{
    if (!mtli_all_finite(n, h) || !mtli_all_finite(tasks, logits) || !isfinite(eta)) {
        return MTLI_BALANCE_NOT_FINITE;
    }
    return eta < 0 ? MTLI_BALANCE_DOMAIN : MTLI_BALANCE_OK;
}

static void form_small_gram(int32_t n, const double *a, double *gram)
{
    for (int32_t i = 0; i < n; i++) {
        for (int32_t j = 0; j < n; j++) {
            gram[(int64_t)i * n + j] = mtli_balance_dot(n, a + (int64_t)i * n, a + (int64_t)j * n);
        }
    }
}

/* gradient = scale aᵀ w. */
static void combine_rows(int32_t n, const double *a, const double *w, double scale, double *gradient)
{
    mtli_balance_nothing(n, gradient, MTLI_BALANCE_OK);
    for (int32_t i = 0; i < n; i++) {
        for (int32_t j = 0; j < n; j++) {
            gradient[j] += w[i] * a[(int64_t)i * n + j] * scale;
        }
    }
}

mtli_balance_result mtli_balance_moml(int32_t tasks, const double *hyper, double eta, const double *logits, bool unit,
                                      double *weights, double *gradient, void *work)
{
    mtli_work rest = mtli_work_begin(work);
    int64_t square = (int64_t)tasks * tasks;
    mtli_balance_status status = check_bilevel(square, hyper, eta, tasks, logits);
    double *a = mtli_work_doubles(&rest, square);
    double *gram = mtli_work_doubles(&rest, square);
    double *z = mtli_work_doubles(&rest, tasks);
    mtli_balance_nothing(tasks, gradient, status);
    if (status != MTLI_BALANCE_OK) {
        return mtli_balance_nothing(tasks, weights, status);
    }
    mtli_softmax_weights(tasks, logits, z);
    for (int32_t s = 0; s < tasks; s++) {
        logit_derivative(tasks, hyper + (int64_t)s * tasks, eta, z, a + (int64_t)s * tasks);
    }
    if (!mtli_all_finite(square, a)) {
        return mtli_balance_nothing(tasks, weights, MTLI_BALANCE_NOT_FINITE);
    }
    double largest = unit ? 1 : divide_by_largest(square, a);
    for (int32_t s = 0; s < tasks && unit; s++) {
        make_unit(tasks, a + (int64_t)s * tasks);
    }
    form_small_gram(tasks, a, gram);
    mtli_balance_result result = mtli_balance_mgda(tasks, gram, weights, rest.at);
    combine_rows(tasks, a, weights, largest, gradient);
    return result;
}

mtli_balance_status mtli_balance_auto_lambda(int32_t tasks, const double *h, double eta, const double *logits,
                                             double *gradient)
{
    mtli_balance_status status = check_bilevel(tasks, h, eta, tasks, logits);
    if (status != MTLI_BALANCE_OK) {
        mtli_balance_nothing(tasks, gradient, status);
        return status;
    }
    mtli_softmax_weights(tasks, logits, gradient);
    logit_derivative(tasks, h, eta, gradient, gradient);
    if (!mtli_all_finite(tasks, gradient)) {
        status = MTLI_BALANCE_NOT_FINITE;
        mtli_balance_nothing(tasks, gradient, status);
    }
    return status;
}
