/* SPDX-License-Identifier: Apache-2.0
 * Multi-Krum: the gradients that lie closest to their neighbours. */
#include "balance/solver.h"

#include <math.h>

/* Puts the `count` smallest of x [n] first, by selection. */
static void smallest_first(int32_t n, int32_t count, double *x)
{
    for (int32_t i = 0; i < count; i++) {
        for (int32_t j = i + 1; j < n; j++) {
            if (x[j] < x[i]) {
                double value = x[i];
                x[i] = x[j];
                x[j] = value;
            }
        }
    }
}

static double largest_square(int32_t tasks, const double *gram)
{
    double largest = 0;
    for (int32_t i = 0; i < tasks; i++) {
        largest = mtli_larger(largest, gram[(int64_t)i * tasks + i]);
    }
    return largest;
}

/* Relative to the largest ‖g‖². */
static double squared_distance(int32_t tasks, const double *gram, int32_t i, int32_t j, double largest)
{
    double a = gram[(int64_t)i * tasks + i] / largest;
    double b = gram[(int64_t)j * tasks + j] / largest;
    return mtli_larger(a + b - 2 * (gram[(int64_t)i * tasks + j] / largest), 0);
}

mtli_balance_result mtli_balance_krum(int32_t tasks, const double *gram, int32_t byzantine, int32_t selected,
                                      double *weights, void *work)
{
    mtli_balance_result result = mtli_balance_nothing(tasks, weights, MTLI_BALANCE_OK);
    if (byzantine < 0 || byzantine > tasks - 3 || selected < 1 || selected > tasks) {
        result.status = MTLI_BALANCE_DOMAIN;
        return result;
    }
    if (!mtli_all_finite((int64_t)tasks * tasks, gram)) {
        result.status = MTLI_BALANCE_NOT_FINITE;
        return result;
    }
    mtli_work rest = mtli_work_begin(work);
    double *score = mtli_work_doubles(&rest, tasks);
    double *distance = mtli_work_doubles(&rest, tasks);
    double largest = largest_square(tasks, gram);
    int32_t nearest = tasks - byzantine - 2;
    for (int32_t i = 0; i < tasks; i++) {
        for (int32_t j = 0, k = 0; j < tasks; j++) {
            if (j != i) {
                distance[k++] = largest > 0 ? squared_distance(tasks, gram, i, j, largest) : 0;
            }
        }
        smallest_first(tasks - 1, nearest, distance);
        score[i] = 0;
        for (int32_t k = 0; k < nearest; k++) {
            score[i] += distance[k];
        }
    }
    for (int32_t k = 0; k < selected; k++) {
        int32_t best = 0;
        for (int32_t i = 1; i < tasks; i++) {
            best = score[i] < score[best] ? i : best;
        }
        score[best] = HUGE_VAL;
        weights[best] = 1.0 / selected;
    }
    return result;
}
