/* SPDX-License-Identifier: Apache-2.0
 * The rules that decide task weights from losses (and, for some, lengths of gradients) alone, as pure functions. A rule
 * is a function F(L_1 .. L_T): `value` (may be NULL) receives F and weights [T] its derivatives dF/dL_t, which is what
 * the backward pass takes as seeds. What a rule remembers is passed in and changed by a function of its own.
 *
 * Every function returns MTLI_BALANCE_NOT_FINITE (an input is NaN or infinite, or a result would be) or
 * MTLI_BALANCE_DOMAIN (named beside the rule) with weights 0 and state as it was. Rules that take the logarithm of
 * losses leave out a task whose loss is exactly 0, as if it were absent (weight 0: there is nothing to gain); a
 * negative loss is DOMAIN for them. */
#ifndef MTLI_BALANCE_LOSS_RULES_H
#define MTLI_BALANCE_LOSS_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "balance/weights.h"

/* ---- without state ---- */

/** Σ_t a_t L_t. fixed NULL: a = 1 each (sum); with `mean`, divided by T. */
mtli_balance_status mtli_loss_linear(int32_t tasks, const double *losses, const double *fixed, bool mean, double *value,
                                     double *weights);

/** Geometric mean (GLS; Chennupati et al., CVPR-W 2019): (Π L_t)^(1/T), in logarithms; dF/dL_t = F / (T L_t). */
mtli_balance_status mtli_loss_geometric(int32_t tasks, const double *losses, double *value, double *weights);

/** Scale-invariant (in the code of Navon et al., ICML 2022): Σ_t log L_t. */
mtli_balance_status mtli_loss_logarithmic(int32_t tasks, const double *losses, double *value, double *weights);

/** Smooth Tchebycheff scalarization (Lin et al., ICML 2024): mu log Σ_t exp(a_t (L_t - z_t) / mu). preference NULL:
 *  a = 1/T; reference NULL: z = 0. mu > 0, else DOMAIN. */
mtli_balance_status mtli_loss_tchebycheff(int32_t tasks, const double *losses, const double *preference,
                                          const double *reference, double mu, double *value, double *weights);

/** The form of it in LibMTL: T mu log Σ_t exp((log(L_t / nadir_t) - max) / mu), nadir > 0 the mean losses of the last
 *  epoch of warm-up (before that: mtli_loss_logarithmic). The maximum is a constant in the derivative. */
mtli_balance_status mtli_loss_tchebycheff_log(int32_t tasks, const double *losses, const double *nadir, double mu,
                                              double *value, double *weights);

/** Penalty-based boundary intersection (Zhang & Li, IEEE TEVC 2007): d1 + theta d2, d1 = <L - z, a>/‖a‖,
 *  d2 = ‖L - z - d1 a/‖a‖‖. preference NULL: a = 1; reference NULL: z = 0. On the ray d2 has no derivative: 0 is taken.
 *  a = 0: DOMAIN. The weights can be negative when theta > 0. */
mtli_balance_status mtli_loss_boundary(int32_t tasks, const double *losses, const double *preference,
                                       const double *reference, double theta, double *value, double *weights);

/** COSMOS (Ruchte & Grabocka, ICDM 2021): Σ_t a_t L_t - lambda cos(a, L). preference NULL: a = 1/T. A zero vector has
 *  cosine 0. */
mtli_balance_status mtli_loss_cosmos(int32_t tasks, const double *losses, const double *preference, double lambda,
                                     double *value, double *weights);

/* ---- trained scales: s [T] are parameters beside the model's, never decayed; gradient [T] receives dF/ds ---- */

typedef enum mtli_uncertainty {
    MTLI_UNCERTAINTY_HALF, /* Σ_t e^-s L / 2 + s / 2: regression, and LibMTL and TorchJD for all */
    MTLI_UNCERTAINTY_FULL  /* Σ_t e^-s L + s / 2: classification */
} mtli_uncertainty;

/** Uncertainty weighting (Kendall, Gal & Cipolla, CVPR 2018), s the logarithm of the variance, 0 (LibMTL: -.5) at
 *  first. kinds [T]; NULL: HALF for all. A negative loss is no likelihood's, but defined. */
mtli_balance_status mtli_loss_uncertainty(int32_t tasks, const double *losses, const double *s,
                                          const mtli_uncertainty *kinds, double *value, double *weights,
                                          double *gradient);

/** IMTL-L (Liu et al., ICLR 2021): Σ_t e^s L_t - s; s 0 at first. */
mtli_balance_status mtli_loss_imtl_l(int32_t tasks, const double *losses, const double *s, double *value,
                                     double *weights, double *gradient);

/* ---- rates ---- */

/** Dynamic weight average (Liu, Johns & Davison, CVPR 2019): w = T softmax((newer_t / older_t) / temperature), averages
 *  of the last epoch and the one before (either NULL: w = 1). older_t = 0 with newer_t = 0 is the rate 1; with another
 *  newer_t, or with temperature <= 0, DOMAIN. temperature 2. */
mtli_balance_status mtli_loss_rate_weights(int32_t tasks, const double *newer, const double *older, double temperature,
                                           double *weights);

/** Dynamic task prioritization (Guo et al., ECCV 2018): w_t = -(1 - κ_t)^gamma log κ_t, κ in [0, 1] a moving average of
 *  a measure of success (else DOMAIN; below 1e-8 counts as 1e-8). gamma >= 0. */
mtli_balance_status mtli_loss_prioritization(int32_t tasks, const double *success, double gamma, double *weights);

/** success ← rate measure + (1 - rate) success; `first`: success ← measure. rate in [0, 1]. */
mtli_balance_status mtli_loss_success_update(int32_t tasks, const double *measure, double rate, bool first,
                                             double *success);

/* ---- rules with an optimizer of their own ---- */

/** Adam (Kingma & Ba, ICLR 2015) on a small vector, with decay in the gradient (β .9 and .999, ε 1e-8). m, v [n] and
 *  steps are zero at first. */
typedef struct mtli_small_adam {
    double *m;
    double *v;
    int64_t *steps;
} mtli_small_adam;

void mtli_small_adam_step(int32_t n, double rate, double decay, const double *gradient, mtli_small_adam state,
                          double *x);

/** FAMO (Liu, Feng, Stone & Liu, NeurIPS 2023): Σ_t z_t log D_t / c, z = softmax(xi), D = L - b + 1e-8,
 *  c = Σ z_t / D_t a constant. xi [T] is 0 at first; lower [T] is b, NULL: 0. D <= 0: DOMAIN. */
mtli_balance_status mtli_loss_famo(int32_t tasks, const double *losses, const double *lower, const double *xi,
                                   double *value, double *weights);

/** After the optimizer's step, with the losses of the same batch before and after it: the gradient (diag(z) - z zᵀ) δ,
 *  δ = log D_before - log D_after, then Adam. rate .025; decay 1e-3 (published code: .01, 1e-3, 1e-5). work [2 T]. */
mtli_balance_status mtli_loss_famo_update(int32_t tasks, const double *before, const double *after, const double *lower,
                                          double rate, double decay, mtli_small_adam state, double *xi, double *work);

/** GradNorm (Chen, Badrinarayanan, Lee & Rabinovich, ICML 2018): w = T softmax(s). gradient [T] receives the derivative
 *  with respect to s of Σ_t |w_t n_t - mean(w n) r_t^alpha|, the target held constant, r_t = (L_t / first_t) over its
 *  mean; norms [T] are n_t = ‖g_t‖ (not yet weighted), first [T] > 0 the losses at the beginning, losses >= 0: else
 *  DOMAIN. alpha 1.5. All losses 0: r = 1. */
mtli_balance_status mtli_loss_gradnorm(int32_t tasks, const double *losses, const double *first, const double *norms,
                                       double alpha, const double *s, double *weights, double *gradient);

/* ---- lengths of gradients ---- */

/** DB-MTL (Lin et al., arXiv 2308.12029): y_t tracks the gradient of log(L_t + 1e-8), that is g_t / (L_t + 1e-8):
 *  log_weights [T] receives those factors. L_t + 1e-8 <= 0: DOMAIN. */
mtli_balance_status mtli_loss_db_logarithm(int32_t tasks, const double *losses, double *log_weights);

/** Its second half: the weights max_s ‖y_s‖ / ‖y_t‖ of the tracked gradients; 0 where a length is 0. */
mtli_balance_status mtli_loss_db_scale(int32_t tasks, const double *norms, double *weights);

/** The factor in y ← g + factor (y - g) of step k = 1, 2, ...: beta / k^sigma (.9, 0). */
double mtli_loss_db_factor(double beta, double sigma, int64_t step);

/** ExcessMTL (He et al., ICML 2024): excess [T] are e_t = Σ g_t² / √(S_t + 1e-7). In the first step, initial ← e;
 *  w_t ← w_t exp(eta e_t / initial_t), renormalized to Σw = T. state w is 1 each at first. initial_t = 0: the task
 *  keeps its share. eta .01. Negative excess: DOMAIN. */
mtli_balance_status mtli_loss_excess_update(int32_t tasks, const double *excess, double eta, bool first,
                                            double *initial, double *state);

/** MoCo's tracked gradients take L_t g_t / ‖g_t‖: the factors L_t / norms_t, 0 where a length is 0. */
mtli_balance_status mtli_loss_moco_scale(int32_t tasks, const double *losses, const double *norms, double *factors);

/* ---- what the files of these rules share ---- */

/** Weights 0 and the status, for a rule that cannot answer. */
mtli_balance_status mtli_loss_refuse(int32_t tasks, double *weights, mtli_balance_status status);

/** The end of a rule: OK, or NOT_FINITE with weights 0 when something overflowed. value goes to *out (may be NULL). */
mtli_balance_status mtli_loss_answer(int32_t tasks, double *weights, double value, double *out);

/** OK when all are finite and none is below `least`. */
mtli_balance_status mtli_loss_check(int32_t tasks, const double *x, double least);

#endif
