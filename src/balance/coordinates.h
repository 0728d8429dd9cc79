/* SPDX-License-Identifier: Apache-2.0
 * The rules that look at single coordinates of the task gradients, as pure functions on a run of n contiguous ones: a
 * caller goes through the parameters run by run, in any order and with any number of threads, and adds up the sums
 * that are returned.
 *
 * g[t] is task t's run; NULL: it is zero there. `out` may be one of them (not begin inside one). Numbers are finite;
 * where one is not, only its own coordinate is spoiled. */
#ifndef MTLI_BALANCE_COORDINATES_H
#define MTLI_BALANCE_COORDINATES_H

#include <stdint.h>

#include "base/real.h"

/** Numbers of work for each task that mtli_coordinates_trimmed_mean() needs. */
enum { MTLI_COORDINATES_BLOCK = 64 };

/** out = Σ_t w_t g_t. Tasks with weight 0 are not read; a weight of 1 beside zeros gives that gradient exactly.
 *  Weights beyond the range of mtli_real are applied in double. */
void mtli_coordinates_sum(int32_t tasks, int64_t n, const mtli_real *const *g, const double *weights, mtli_real *out);

/** Trimmed mean (Yin, Chen, Ramchandran & Bartlett, ICML 2018): in each coordinate the mean of what remains of the T
 *  numbers without the `trim` largest and the `trim` smallest; 0 <= trim, 2 trim < T. The order of tasks does not
 *  change a bit. work [T * MTLI_COORDINATES_BLOCK]. */
void mtli_coordinates_trimmed_mean(int32_t tasks, int32_t trim, int64_t n, const mtli_real *const *g, mtli_real *out,
                                   mtli_real *work);

/* ---- GradDrop (Chen et al., NeurIPS 2020) ---- */

/** Uniform numbers in (0, 1) for the coordinates first .. first + n - 1 of a stream: functions of (seed, stream,
 *  coordinate) alone. Those of one kind are 2^-23 apart. */
void mtli_coordinates_uniform(uint64_t seed, uint64_t stream, int64_t first, int64_t n, mtli_real *u);

/** On gradients of parameters: with P = ½ (1 + Σ_t g_t / Σ_t |g_t|), M_t = [P > u][g_t > 0] + [P < u][g_t < 0], out =
 *  Σ_t (leak + (1 - leak) M_t) g_t. leak in [0, 1]. Where all g_t are 0, out is. */
void mtli_coordinates_sign_drop(int32_t tasks, int64_t n, const mtli_real *const *g, const mtli_real *u, double leak,
                                mtli_real *out);

/** On gradients of a representation Z, first: evidence [width] += Σ_rows gradient ⊙ sign Z, both [rows, width]. */
void mtli_sign_evidence(int64_t rows, int64_t width, const mtli_real *gradient, const mtli_real *z, double *evidence);

/** Then, of all tasks' evidence s [T, width] and u [width]: mask [T, width] = leak + (1 - leak) M_t, M_t as above with
 *  s_t in the place of g_t (without the small constant that published code has below the fraction, so that the unit of
 *  losses does not matter). */
void mtli_sign_mask(int32_t tasks, int64_t width, const double *evidence, const mtli_real *u, double leak,
                    mtli_real *mask);

/** Last: out [rows, width] = Σ_t mask_t ⊙ g_t, g[t] [rows, width], the mask the same in every row. */
void mtli_sign_apply(int32_t tasks, int64_t rows, int64_t width, const mtli_real *const *g, const mtli_real *mask,
                     mtli_real *out);

/* ---- state for each coordinate ---- */

/** y ← y + factor (scale g - y): tracked gradients. DB-MTL: factor 1 - mtli_loss_db_factor(), scale of
 *  mtli_loss_db_logarithm(). MoCo: factor beta / k^sigma, scale of mtli_loss_moco_scale(). factor 1 gives scale g. */
void mtli_coordinates_track(int64_t n, double factor, double scale, const mtli_real *g, mtli_real *y);

/** ExcessMTL (He et al., ICML 2024): S ← S + g², and the sum of g² / √(S + 1e-7). Where S has left the range of
 *  mtli_real, 0 is added. */
double mtli_coordinates_excess(int64_t n, const mtli_real *g, mtli_real *squares);

#endif
