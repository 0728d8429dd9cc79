/* SPDX-License-Identifier: Apache-2.0
 * Water-filling by its breakpoints: m_i = clip(sigma_i / ν - eta, 0, 1), with the ν that spends the budget. */
#include "sharing/water_fill.h"

#include <math.h>
#include <stdbool.h>

/* The budget suffices for every value that is not 0: these get 1, and what is left goes to the zeros, where it makes
 * no difference. */
static void fill_all(int32_t count, int32_t positive, double budget, double *m)
{
    double rest = count > positive ? (budget - positive) / (count - positive) : 0;
    for (int32_t i = 0; i < count; i++) {
        m[i] = i < positive ? 1 : rest;
    }
}

/* 1 / ν. With `full` values at 1 and `some` at least above 0, the values between them spend
 *     Σ (sigma_i / ν - eta) = budget - full.
 * ν falls from infinity: the next value rises above 0 at sigma / eta, and the next is full at sigma / (1 + eta).
 * Between these points the sum that is spent grows; the first interval that can spend the budget is the one. tail[i]
 * is the sum of sigma from i on: differences of such sums lose no more than a factor of the count, as sigma
 * descends. */
static double find_level(int32_t positive, const double *sigma, const double *tail, double eta, double budget)
{
    int32_t full = 0, some = 1;
    for (;;) {
        double sum = tail[full] - (some < positive ? tail[some] : 0);
        double enters = some < positive ? sigma[some] / eta : 0;
        double fills = sigma[full] / (1 + eta);
        double spent_there = full + sum / fmax(enters, fills) - eta * (some - full);
        bool last = some == positive && full == positive - 1;
        if (last || spent_there >= budget) {
            return (budget - full + eta * (some - full)) / sum;
        }
        if (some < positive && (enters >= fills || some == full + 1)) {
            some++;
        } else {
            full++;
        }
    }
}

void mtli_water_fill(int32_t count, const double *sigma, double eta, double budget, double *m)
{
    int32_t positive = 0;
    while (positive < count && sigma[positive] > 0) {
        positive++;
    }
    if (budget >= positive) {
        fill_all(count, positive, budget, m);
        return;
    }
    double sum = 0;
    for (int32_t i = positive - 1; i >= 0; i--) {
        sum += sigma[i];
        m[i] = sum;
    }
    double level = find_level(positive, sigma, m, eta, budget);
    for (int32_t i = 0; i < count; i++) {
        m[i] = fmin(fmax(sigma[i] * level - eta, 0), 1);
    }
}
