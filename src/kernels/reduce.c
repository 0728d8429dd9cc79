/* SPDX-License-Identifier: Apache-2.0
 * Sums in double; the partial sums let the compiler vectorize without changing the order of addition. */
#include "kernels/reduce.h"

enum { LANES = 8 };

static double add_lanes(const double *lane)
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

double mtli_dot(int64_t n, const mtli_real *x, const mtli_real *y)
{
    double lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int k = 0; k < LANES; k++) {
            lane[k] += (double)x[i + k] * (double)y[i + k];
        }
    }
    for (int k = 0; i + k < n; k++) {
        lane[k] += (double)x[i + k] * (double)y[i + k];
    }
    return add_lanes(lane);
}

double mtli_total(int64_t n, const mtli_real *x)
{
    double lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int k = 0; k < LANES; k++) {
            lane[k] += (double)x[i + k];
        }
    }
    for (int k = 0; i + k < n; k++) {
        lane[k] += (double)x[i + k];
    }
    return add_lanes(lane);
}
