/* SPDX-License-Identifier: Apache-2.0
 * The inner minimum of clustered multi-task learning: how a budget is spread over singular values. */
#ifndef MTLI_SHARING_WATER_FILL_H
#define MTLI_SHARING_WATER_FILL_H

#include <stdint.h>

/** argmin_m Σ_i sigma_i² / (eta + m_i) subject to Σ m_i = budget and 0 <= m_i <= 1. sigma[count] >= 0 descend, eta >
 *  0, 0 <= budget <= count. m is not sigma. */
void mtli_water_fill(int32_t count, const double *sigma, double eta, double budget, double *m);

#endif
