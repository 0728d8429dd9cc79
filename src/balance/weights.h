/* SPDX-License-Identifier: Apache-2.0
 * The rules that decide task weights from the Gram matrix of the task gradients, as pure functions: no context, no
 * allocation, no state but what the caller passes.
 *
 * G = J Jᵀ [T, T] is symmetric and positive semidefinite to rounding, row-major, in double; row i of J is the gradient
 * g_i of task i, n_i its length, d = Jᵀ w the direction. Tasks that are absent from a step are left out of G by the
 * caller.
 *
 * - Scale-free: G times any factor gives the same weights (or, for FairGrad, weights times the power that its equation
 *   says). Most solvers work on the cosine matrix C = N^-1 G N^-1, N = diag(n), so that tasks of very different lengths
 *   do not drown each other.
 * - A gradient is zero when n_i² < 1e-300 or n_i < 1e-140 max n: it has no direction. Its weight is 0, but for rules
 *   that begin from reference weights (UPGrad, dual projection, CAGrad): there it is the reference.
 * - Where several weights give the same direction (parallel or dependent gradients), one choice of them is returned;
 *   the direction is the same up to rounding.
 * - The residual is the largest violation of the rule's optimality conditions, row by row, relative to the sum of the
 *   magnitudes of the terms that meet in that row: a backward error. For Aligned-MTL it is the relative change of G
 *   that the length of d asks for. Rules without a solver have 0. */
#ifndef MTLI_BALANCE_WEIGHTS_H
#define MTLI_BALANCE_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum mtli_balance_status {
    MTLI_BALANCE_OK = 0,
    /* The gradients are Pareto stationary to rounding (a convex combination of them, or what the rule builds on, is 0)
     * and the rule has no direction there: the weights are those said beside the rule. */
    MTLI_BALANCE_STATIONARY,
    /* The iteration limit was reached, or G is far from positive semidefinite: the weights are finite, and the residual
     * says how good they are. */
    MTLI_BALANCE_NOT_CONVERGED,
    MTLI_BALANCE_NOT_FINITE, /* an input is NaN or infinite: weights 0 */
    MTLI_BALANCE_DOMAIN      /* an input lies outside of what the rule is defined for: weights 0 */
} mtli_balance_status;

typedef struct mtli_balance_result {
    mtli_balance_status status;
    int32_t iterations; /* of the solver; 0 when the rule has none */
    double residual;
} mtli_balance_result;

/** Bytes of work, aligned for a double, that every function of this header with an argument `work` needs. */
size_t mtli_balance_work(int32_t tasks);

/* ---- smallest vectors: exact active sets ---- */

/** MGDA (Désidéri, C. R. Math 2012; Sener & Koltun, NeurIPS 2018): min_{w >= 0, Σw = 1} wᵀ G w. Zero gradients share
 *  the weight 1 between them: the direction is then 0. */
mtli_balance_result mtli_balance_mgda(int32_t tasks, const double *gram, double *weights, void *work);

/** Dual projection (GEM, Lopez-Paz & Ranzato, NeurIPS 2017, eq. 11): the vector nearest to Jᵀ u that conflicts with no
 *  task, min_{w >= u} wᵀ G w. reference [tasks] is u >= 0; NULL: 1/T each. G w >= 0. */
mtli_balance_result mtli_balance_dual_projection(int32_t tasks, const double *gram, const double *reference,
                                                 double *weights, void *work);

/** UPGrad (Quinton & Rey, arXiv 2406.16232): each u_i g_i is projected on the dual cone, and the results are added:
 *  w = Σ_i argmin_{v >= u_i e_i} vᵀ G v. G w >= 0. */
mtli_balance_result mtli_balance_upgrad(int32_t tasks, const double *gram, const double *reference, double *weights,
                                        void *work);

/** What CAGrad divides its direction by (Liu et al., NeurIPS 2021, and its code): 1, 1 + c², 1 + c. */
typedef enum mtli_cagrad_rescale {
    MTLI_CAGRAD_NONE = 0,
    MTLI_CAGRAD_SQUARE = 1,
    MTLI_CAGRAD_LINEAR = 2
} mtli_cagrad_rescale;

/** CAGrad (Liu, Liu, Jin, Stone & Liu, NeurIPS 2021): max_d min_i <g_i, d> subject to ‖d - g_0‖ <= c ‖g_0‖, with g_0
 *  the mean. d = g_0 + c ‖g_0‖ g_v / ‖g_v‖ for the v of the simplex that minimizes <g_0, g_v> + c ‖g_0‖ ‖g_v‖. When
 *  that g_v is 0, every d of the ball without conflict is optimal: STATIONARY, and the one nearest to g_0 is returned
 *  (the dual projection). When g_0 is 0: STATIONARY, weights 1/T. c >= 0; else DOMAIN. */
mtli_balance_result mtli_balance_cagrad(int32_t tasks, const double *gram, double c, mtli_cagrad_rescale rescale,
                                        double *weights, void *work);

/* ---- fair shares: damped Newton ---- */

/** FairGrad (Ban & Ji, ICML 2024): G w = w^(-1/alpha), w > 0, alpha > 0 (else DOMAIN). The equation has a solution
 *  exactly when no convex combination of the gradients is 0; else STATIONARY, with the weights of MGDA (direction 0).
 *  alpha from .1 to 2 converges for lengths that differ by 30 decades; outside of that, lengths many decades apart can
 *  end NOT_CONVERGED, and weights beyond the range of double are cut off. */
mtli_balance_result mtli_balance_fair_gradient(int32_t tasks, const double *gram, double alpha, double *weights,
                                               void *work);

/** Nash-MTL (Navon et al., ICML 2022): G w = ‖G‖_F / w, w > 0. As above with alpha = 1, and times ‖G‖_F^(1/2), so that
 *  the weights do not change with the length of the gradients. */
mtli_balance_result mtli_balance_nash(int32_t tasks, const double *gram, double *weights, void *work);

/* ---- spectra ---- */

/** Which eigenvalue σ² of G the aligned system has everywhere. The root mean square is that of the singular values. */
typedef enum mtli_aligned_scale { MTLI_ALIGNED_MIN, MTLI_ALIGNED_MEDIAN, MTLI_ALIGNED_RMSE } mtli_aligned_scale;

/** Aligned-MTL (Senushkin et al., CVPR 2023): w = σ V Λ^(-1/2) Vᵀ u over the eigenvalues of G above tolerance * λ_max.
 *  tolerance 0: T times the epsilon of double. reference NULL: u = 1/T each (LibMTL: 1). With an even number of
 *  eigenvalues the median is the lower of the two in the middle, as in PyTorch. */
mtli_balance_result mtli_balance_aligned(int32_t tasks, const double *gram, const double *reference,
                                         mtli_aligned_scale scale, double tolerance, double *weights, void *work);

/** ConFIG (Liu, Chu & Thuerey, arXiv 2408.11104): the direction x = U⁺ u of unit gradients U, with length
 *  Σ_t <g_t, x/‖x‖>. reference NULL: u = 1 each. tolerance as above, of the cosine matrix: U⁺ u = Uᵀ C⁺ u. Without
 *  conflict when the unit gradients are linearly independent and the length is positive. u orthogonal to what the
 *  gradients span: STATIONARY, weights 0. */
mtli_balance_result mtli_balance_config(int32_t tasks, const double *gram, const double *reference, double tolerance,
                                        double *weights, void *work);

/** IMTL-G (Liu et al., ICLR 2021): equal projections on all unit gradients, <g_i, d> / n_i equal for all i, Σw = 1.
 *  Weights may be negative; when Σ v below is, d increases every loss. w = v / Σv, v = N^-1 C⁺ 1, with the tolerance
 *  above for the pseudo-inverse. |Σv| <= 1e-12 Σ|v|: STATIONARY, weights 0. */
mtli_balance_result mtli_balance_imtl_g(int32_t tasks, const double *gram, double tolerance, double *weights,
                                        void *work);

/* ---- surgery: d = Σ_i of corrected gradients ĝ_i, or their mean ---- */

/** PCGrad (Yu et al., NeurIPS 2020): for each i, and j in the order of row i: where <ĝ_i, g_j> < 0, the component along
 *  g_j is taken out of ĝ_i. orders [T, T]: row i is a permutation of 0 .. T-1 (i itself is passed over); NULL:
 *  ascending. An entry that is no task: DOMAIN. */
mtli_balance_result mtli_balance_pcgrad(int32_t tasks, const double *gram, const int32_t *orders, bool mean,
                                        double *weights, void *work);

/** GradVac (Wang, Tsvetkov, Firat & Cao, ICLR 2021): as PCGrad, but the cosine is raised to its moving average rho
 *  [T, T] (state, zero at first) where it lies below; rho ← (1 - beta) rho + beta cosine for every pair, 0 <= beta <=
 *  1. Averages above 1 - 1e-6 count as that (at 1 the correction would be infinite). */
mtli_balance_result mtli_balance_gradvac(int32_t tasks, const double *gram, const int32_t *orders, double beta,
                                         double *rho, bool mean, double *weights, void *work);

/* ---- robust selection ---- */

/** Multi-Krum (Blanchard et al., NeurIPS 2017): the mean of the `selected` gradients with the smallest sum of squared
 *  distances to their T - byzantine - 2 nearest. Needs byzantine >= 0, T >= byzantine + 3, 1 <= selected <= T; else
 *  DOMAIN. Ties go to the lower index. */
mtli_balance_result mtli_balance_krum(int32_t tasks, const double *gram, int32_t byzantine, int32_t selected,
                                      double *weights, void *work);

/* ---- weights that are followed from step to step; `lambda` [T] is the state, 1/T each at first ---- */

typedef struct mtli_sdmgrad_options {
    double lambda;   /* weight of the reference; .3 */
    double rate;     /* 5 (LibMTL), 10 (TorchJD) */
    double momentum; /* .5 */
    int32_t steps;   /* 20 */
} mtli_sdmgrad_options;

/** SDMGrad (Xiao, Ban & Ji, NeurIPS 2023): `steps` of projected gradient descent with momentum on the simplex, gradient
 *  A (lambda_state + λ/T), A = cross / mean(√max(diagonal, 0))², cross = J₁ J₂ᵀ [T, T] of two batches (not symmetric).
 *  weights = (state + λ/T) / (1 + λ), to be applied to the gradients of a third batch. A diagonal without a positive
 *  entry: STATIONARY, the state does not move. */
mtli_balance_result mtli_balance_sdmgrad(int32_t tasks, const double *cross, const mtli_sdmgrad_options *options,
                                         double *lambda, double *weights, void *work);

/** MoDo (Chen, Fernando, Ying & Chen, NeurIPS 2023): λ ← Π(λ - rate (J₁ J₂ᵀ λ + rho λ)), Π the projection on the
 *  simplex; rate 1e-3, rho .1 in the paper's code. weights may be lambda. */
mtli_balance_result mtli_balance_modo(int32_t tasks, const double *cross, double rate, double rho, double *lambda,
                                      double *weights, void *work);

/** MoCo (Fernando et al., ICLR 2023): λ ← softmax(λ - rate (Y Yᵀ + rho) λ), gram = Y Yᵀ of the tracked gradients; the
 *  softmax is taken of the former weights, as published code does. rate = γ / k^γ_σ in step k (.1, .5), rho 0. */
mtli_balance_result mtli_balance_moco(int32_t tasks, const double *gram, double rate, double rho, double *lambda,
                                      double *weights, void *work);

/** CR-MOGM (Zhou et al., NeurIPS 2022): state ← alpha state + (1 - alpha) weights; weights ← state. alpha .9. */
void mtli_balance_average(int32_t tasks, double alpha, double *state, double *weights);

/* ---- parts ---- */

/** The nearest point of the simplex {x >= 0, Σx = 1}, exact (Michelot, JOTA 1986). x is finite. */
void mtli_simplex_projection(int32_t n, double *x);

/** y = softmax(x), y may be x. Random weights (Lin, Ye, Zhang & Tsang, TMLR 2022: RLW) are the softmax of standard
 *  normal numbers. */
void mtli_softmax_weights(int32_t n, const double *x, double *y);

/** Cosines [T, T] of the task gradients, in [-1, 1], 1 on the diagonal; 0 where a gradient is zero. */
void mtli_balance_cosines(int32_t tasks, const double *gram, double *cosines);

/** The number of unordered pairs of tasks whose gradients conflict: G_ij < 0. */
int64_t mtli_balance_conflicts(int32_t tasks, const double *gram);

#endif
