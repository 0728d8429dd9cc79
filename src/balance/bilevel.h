/* SPDX-License-Identifier: Apache-2.0
 * The rules that see task weighting as a problem within a problem (weights that lower losses of validation rows; a
 * common minimum of all tasks below another goal), as pure functions of products of gradients. Conventions: see
 * weights.h. */
#ifndef MTLI_BALANCE_BILEVEL_H
#define MTLI_BALANCE_BILEVEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "balance/weights.h"

/** Bytes of work, aligned for a double, that every function of this header with an argument `work` needs. */
size_t mtli_bilevel_work(int32_t tasks);

/** FORUM (Ye et al., ECAI 2024). F_1 .. F_T are the gradients of the upper level and q that of the constraint, whose
 *  Gram matrix is gram [T+1, T+1], q last. The direction is d = -(Σ_i γ_i F_i + ν q), exactly the solution of
 *
 *      min_{d, μ} μ + ½ ‖d‖²   subject to   <F_i, d> <= μ for all i,   <q, d> <= -phi ‖q‖²,
 *
 *  that is of the dual: min over γ in the simplex and ν >= 0 of ½ ‖Σ γ_i F_i + ν q‖² - ν phi ‖q‖². `unit`: the F_i are
 *  taken at length 1 (published code does so), and gamma [T] and *nu are for those. phi >= 0 (.1), else DOMAIN.
 *
 *  q = 0, or so short beside the F_i that it counts as zero: MGDA, ν = 0. Zero F_i share what the others leave of the
 *  weight 1. The residual is that of the conditions (Σ γF + νq)F_i >= λ, with equality where γ_i > 0, and
 *  (Σ γF + νq)q >= phi ‖q‖², with equality where ν > 0, relative to Σ γ_i ‖F_i‖ + ν ‖q‖ + phi ‖q‖ and the row's own
 *  length. */
mtli_balance_result mtli_balance_forum(int32_t tasks, const double *gram, double phi, bool unit, double *gamma,
                                       double *nu, void *work);

/** MOML (Ye et al., NeurIPS 2021), upper level. hyper [T, T]: hyper[s, t] = <v_s, g_t>, v_s the gradient of validation
 *  loss s after an inner step of length eta along Σ_t z_t g_t, z = softmax(logits) the task weights, g_t the gradients
 *  of that step. In the logits, validation loss s has the gradient a_s = -eta hyper[s, :] (diag(z) - z zᵀ).
 *  weights [T] are MGDA's over the a_s, gradient [T] receives Σ_s weights_s a_s; `unit`: with the a_s at length 1
 *  (LibMTL's "l2"). A row of equal numbers has a_s = 0, exactly. eta >= 0, else DOMAIN. Not finite: both are 0. */
mtli_balance_result mtli_balance_moml(int32_t tasks, const double *hyper, double eta, const double *logits, bool unit,
                                      double *weights, double *gradient, void *work);

/** Auto-Lambda (Liu, James, Davison & Johns, TMLR 2022): the sum of the validation losses has the gradient -eta h
 *  (diag(z) - z zᵀ), h [T] = Σ_s hyper[s, :]. Where this cannot answer, the gradient is 0. */
mtli_balance_status mtli_balance_auto_lambda(int32_t tasks, const double *h, double eta, const double *logits,
                                             double *gradient);

#endif
