/* SPDX-License-Identifier: Apache-2.0
 * The Gram matrix measured in unit gradients, so that lengths from 1e-140 to 1 meet on equal terms. */
#include "balance/solver.h"

#include <math.h>

#include "linalg/symmetric.h"

/* Squares below are lost to the range of double; lengths that far below the longest too. */
static const double ZERO_SQUARE = 1e-300;
static const double ZERO_RATIO = 1e-140;

/* What the most demanding rule takes (CAGrad, with MGDA inside): matrices and vectors of size T. The eigen-solver's
 * rules take fewer of both besides its own work. */
enum { WORK_MATRICES = 5, WORK_VECTORS = 28 };

size_t mtli_balance_work(int32_t tasks)
{
    size_t t = tasks > 0 ? (size_t)tasks : 0;
    return (WORK_MATRICES * t * t + WORK_VECTORS * t + mtli_symmetric_work(tasks)) * sizeof(double);
}

double *mtli_work_doubles(mtli_work *work, int64_t n)
{
    double *result = (double *)(void *)work->at;
    work->at += (size_t)n * sizeof(double);
    return result;
}

int32_t *mtli_work_indices(mtli_work *work, int64_t n)
{
    int32_t *result = (int32_t *)(void *)work->at;
    work->at += (size_t)n * sizeof(double); /* what follows stays aligned */
    return result;
}

bool mtli_all_finite(int64_t n, const double *x)
{
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            return false;
        }
    }
    return true;
}

mtli_balance_result mtli_balance_nothing(int32_t tasks, double *weights, mtli_balance_status status)
{
    mtli_balance_result result = {status, 0, 0};
    for (int32_t i = 0; i < tasks; i++) {
        weights[i] = 0;
    }
    return result;
}

double mtli_balance_dot(int32_t n, const double *x, const double *y)
{
    double sum[4] = {0, 0, 0, 0}; /* independent of each other: the processor adds them at the same time */
    int32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        sum[0] += x[i] * y[i];
        sum[1] += x[i + 1] * y[i + 1];
        sum[2] += x[i + 2] * y[i + 2];
        sum[3] += x[i + 3] * y[i + 3];
    }
    for (; i < n; i++) {
        sum[0] += x[i] * y[i];
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

void mtli_symmetric_product(int32_t n, const double *a, const double *x, double *y)
{
    for (int32_t i = 0; i < n; i++) {
        y[i] = mtli_balance_dot(n, a + (int64_t)i * n, x);
    }
}

static double cosine_of(double product, double a, double b)
{
    double cosine = product / a / b;
    return cosine > 1 ? 1 : cosine < -1 ? -1 : cosine;
}

bool mtli_gradient_is_zero(double square, double largest)
{
    return square < ZERO_SQUARE || sqrt(square) < ZERO_RATIO * largest;
}

/* The tasks whose gradients are not zero, and their lengths. */
static int32_t select_gradients(int32_t tasks, const double *gram, double largest, int32_t *index, double *norm)
{
    int32_t n = 0;
    for (int32_t i = 0; i < tasks; i++) {
        double square = gram[(int64_t)i * tasks + i];
        if (!mtli_gradient_is_zero(square, largest)) {
            index[n] = i;
            norm[n] = sqrt(square);
            n++;
        }
    }
    return n;
}

static double largest_norm(int32_t tasks, const double *gram)
{
    double square = 0;
    for (int32_t i = 0; i < tasks; i++) {
        square = mtli_larger(square, gram[(int64_t)i * tasks + i]);
    }
    return sqrt(square);
}

bool mtli_units_create(int32_t tasks, const double *gram, mtli_work *work, mtli_units *units)
{
    int32_t *index = mtli_work_indices(work, tasks);
    double *norm = mtli_work_doubles(work, tasks);
    double *cosine = mtli_work_doubles(work, (int64_t)tasks * tasks);
    if (!mtli_all_finite((int64_t)tasks * tasks, gram)) {
        return false;
    }
    double largest = largest_norm(tasks, gram);
    int32_t n = select_gradients(tasks, gram, largest, index, norm);
    for (int32_t i = 0; i < n; i++) {
        for (int32_t j = 0; j < n; j++) {
            double product = gram[(int64_t)index[i] * tasks + index[j]];
            cosine[(int64_t)i * n + j] = i == j ? 1 : cosine_of(product, norm[i], norm[j]);
        }
    }
    double smallest = 1;
    for (int32_t i = 0; i < n; i++) {
        norm[i] /= largest;
        smallest = norm[i] < smallest ? norm[i] : smallest;
    }
    *units = (mtli_units){tasks, n, index, norm, n > 0 ? largest : 0, smallest, cosine};
    return true;
}

void mtli_balance_cosines(int32_t tasks, const double *gram, double *cosines)
{
    double largest = largest_norm(tasks, gram);
    for (int32_t i = 0; i < tasks; i++) {
        double a = gram[(int64_t)i * tasks + i];
        for (int32_t j = 0; j < tasks; j++) {
            double b = gram[(int64_t)j * tasks + j];
            bool zero = mtli_gradient_is_zero(a, largest) || mtli_gradient_is_zero(b, largest);
            double product = gram[(int64_t)i * tasks + j];
            cosines[(int64_t)i * tasks + j] = i == j ? 1 : zero ? 0 : cosine_of(product, sqrt(a), sqrt(b));
        }
    }
}

int64_t mtli_balance_conflicts(int32_t tasks, const double *gram)
{
    int64_t conflicts = 0;
    for (int32_t i = 0; i < tasks; i++) {
        for (int32_t j = 0; j < i; j++) {
            conflicts += gram[(int64_t)i * tasks + j] < 0;
        }
    }
    return conflicts;
}
