/* SPDX-License-Identifier: Apache-2.0
 * The quadratic program over y >= 0 that MGDA, the dual cone and CAGrad reduce to. */
#include "balance/solver.h"

#include <math.h>

enum { FREE_PLACE = -1, BLOCKED_PLACE = -2 };

static const double LARGEST = 1e150;
static const double MOST_SHARE = 0.6;

void mtli_cone_create(int32_t n, const double *matrix, mtli_work *work, mtli_cone *cone)
{
    *cone = (mtli_cone){
        .n = n,
        .matrix = matrix,
        .shift = 2 * mtli_rounding(n), /* above what rounding takes from the smallest eigenvalue */
        .passive = mtli_work_indices(work, n),
        .place = mtli_work_indices(work, n),
        .entered = mtli_work_indices(work, n),
        .factor = mtli_work_doubles(work, (int64_t)n * n),
        .y = mtli_work_doubles(work, n),
        .candidate = mtli_work_doubles(work, n),
        .dense = mtli_work_doubles(work, n),
        .residual = mtli_work_doubles(work, n),
    };
    mtli_cone_reset(cone);
}

void mtli_cone_reset(mtli_cone *cone)
{
    cone->count = 0;
    for (int32_t i = 0; i < cone->n; i++) {
        cone->place[i] = FREE_PLACE;
        cone->y[i] = 0;
    }
}

static void append_variable(mtli_cone *cone, int32_t variable)
{
    int32_t k = cone->count;
    double *row = cone->factor + (int64_t)k * cone->n;
    const double *column = cone->matrix + (int64_t)variable * cone->n;
    for (int32_t i = 0; i < k; i++) {
        const double *other = cone->factor + (int64_t)i * cone->n;
        row[i] = (column[cone->passive[i]] - mtli_balance_dot(i, row, other)) / other[i];
    }
    double pivot = column[variable] + cone->shift - mtli_balance_dot(k, row, row);
    row[k] = sqrt(pivot > cone->shift / 2 ? pivot : cone->shift / 2);
    cone->passive[k] = variable;
    cone->place[variable] = k;
    cone->count++;
}

/* Takes a row out of the factor; rotations of two columns each make the rows behind it triangular again. */
static void remove_variable(mtli_cone *cone, int32_t variable)
{
    int32_t n = cone->n;
    int32_t k = cone->place[variable];
    cone->place[variable] = FREE_PLACE;
    cone->y[variable] = 0;
    cone->count--;
    for (int32_t r = k; r < cone->count; r++) {
        double *row = cone->factor + (int64_t)r * n;
        for (int32_t c = 0; c <= r + 1; c++) {
            row[c] = row[n + c];
        }
        cone->passive[r] = cone->passive[r + 1];
        cone->place[cone->passive[r]] = r;
    }
    for (int32_t c = k; c < cone->count; c++) {
        double *pivot = cone->factor + (int64_t)c * n + c;
        double length = hypot(pivot[0], pivot[1]);
        double cosine = pivot[0] / length;
        double sine = pivot[1] / length;
        pivot[0] = length;
        for (int32_t r = c + 1; r < cone->count; r++) {
            double *row = cone->factor + (int64_t)r * n + c;
            double left = cosine * row[0] + sine * row[1];
            row[1] = cosine * row[1] - sine * row[0];
            row[0] = left;
        }
    }
}

void mtli_cone_passive_solve(mtli_cone *cone, const double *b, double *x)
{
    int32_t n = cone->n;
    for (int32_t i = 0; i < cone->count; i++) {
        x[i] = b[cone->passive[i]];
    }
    mtli_cholesky_solve(cone->count, n, cone->factor, x);
    for (int32_t i = 0; i < n; i++) {
        cone->dense[i] = 0;
    }
    for (int32_t i = 0; i < cone->count; i++) {
        cone->dense[cone->passive[i]] = x[i];
    }
    for (int32_t i = 0; i < cone->count; i++) {
        int32_t row = cone->passive[i];
        cone->residual[i] = b[row] - mtli_balance_dot(n, cone->matrix + (int64_t)row * n, cone->dense);
    }
    mtli_cholesky_solve(cone->count, n, cone->factor, cone->residual);
    for (int32_t i = 0; i < cone->count; i++) {
        x[i] += cone->residual[i];
    }
}

/* Goes from y towards the candidate until a variable reaches 0. That one; -1 when none does. */
static int32_t move_to_candidate(mtli_cone *cone)
{
    int32_t blocking = -1;
    double step = 1;
    for (int32_t i = 0; i < cone->count; i++) {
        if (cone->candidate[i] <= 0) {
            double y = cone->y[cone->passive[i]];
            double reach = y > 0 ? y / (y - cone->candidate[i]) : 0;
            if (blocking < 0 || reach < step) {
                blocking = cone->passive[i];
                step = reach;
            }
        }
    }
    for (int32_t i = 0; i < cone->count; i++) {
        double *y = &cone->y[cone->passive[i]];
        *y = blocking < 0 ? cone->candidate[i] : mtli_larger(*y + step * (cone->candidate[i] - *y), 0);
    }
    return blocking;
}

static bool candidate_is_usable(const mtli_cone *cone)
{
    for (int32_t i = 0; i < cone->count; i++) {
        if (!(fabs(cone->candidate[i]) < LARGEST)) {
            return false;
        }
    }
    return true;
}

/* False: M is no positive semidefinite matrix, and the minimum lies at infinity. */
static bool settle_passive_set(mtli_cone *cone, const double *b)
{
    while (cone->count > 0) {
        mtli_cone_passive_solve(cone, b, cone->candidate);
        if (!candidate_is_usable(cone)) {
            return false;
        }
        int32_t blocking = move_to_candidate(cone);
        if (blocking < 0) {
            return true;
        }
        remove_variable(cone, blocking);
        cone->iterations++;
    }
    return true;
}

/* The variables at their bound whose multipliers are wrong by most of the most are made passive: several, for that is a
 * descent too. Their number. They come last in the passive set. */
static int32_t append_wrong_variables(mtli_cone *cone, const double *b)
{
    double sum = cone->magnitude;
    double most = 0;
    int32_t count = cone->count;
    for (int32_t j = 0; j < cone->n; j++) {
        bool is_free = cone->place[j] == FREE_PLACE;
        sum += cone->y[j];
        cone->residual[j] =
            is_free ? b[j] - mtli_balance_dot(cone->n, cone->matrix + (int64_t)j * cone->n, cone->y) : 0;
        most = mtli_larger(most, cone->residual[j]);
    }
    double least = mtli_larger(MOST_SHARE * most, 2 * cone->shift * sum);
    for (int32_t j = 0; j < cone->n; j++) {
        if (cone->residual[j] > 0 && cone->residual[j] >= least) {
            append_variable(cone, j);
        }
    }
    return cone->count - count;
}

/* What came last in the passive set and left it again at once: rounding had let it in. True when all did. */
static bool block_variables(mtli_cone *cone, const int32_t *entered, int32_t count)
{
    int32_t left = 0;
    for (int32_t i = 0; i < count; i++) {
        left += cone->place[entered[i]] < 0;
    }
    for (int32_t i = 0; i < count && left == count; i++) {
        cone->place[entered[i]] = BLOCKED_PLACE;
    }
    return left == count;
}

static void unblock_variables(mtli_cone *cone)
{
    for (int32_t j = 0; j < cone->n; j++) {
        cone->place[j] = cone->place[j] == BLOCKED_PLACE ? FREE_PLACE : cone->place[j];
    }
}

bool mtli_cone_solve(mtli_cone *cone, const double *b)
{
    cone->iterations = 0;
    bool bounded = settle_passive_set(cone, b);
    int32_t count = append_wrong_variables(cone, b);
    while (bounded && count > 0 && cone->iterations < 20 * cone->n + 100) {
        for (int32_t i = 0; i < count; i++) {
            cone->entered[i] = cone->passive[cone->count - count + i];
        }
        bounded = settle_passive_set(cone, b);
        if (!block_variables(cone, cone->entered, count)) {
            unblock_variables(cone);
        }
        cone->iterations++;
        count = append_wrong_variables(cone, b);
    }
    unblock_variables(cone);
    return bounded && count == 0;
}
