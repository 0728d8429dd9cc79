/* SPDX-License-Identifier: Apache-2.0
 * The singular value decomposition of a sheet, X = Σ_k sigma_k u_k v_kᵀ with v_k over the short side, kept in the form
 * that spares the long side: singular values, V, and X itself. */
#ifndef MTLI_LINALG_SPECTRUM_H
#define MTLI_LINALG_SPECTRUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/context.h"
#include "linalg/sheet.h"

/** Where everything lies in the caller's work. */
typedef struct mtli_spectrum {
    mtl_context *context;
    mtli_sheet x;
    double *vectors; /* [count, count]: the Gram matrix, then v_k in row k */
    double *sigma;   /* [count], descending */
    double *factor;  /* [count] */
    double *matrix;  /* [count, count] */
    double *scratch;
    double *strips;
    mtli_real *turned; /* [count, n]: sigma_k u_k in row k; NULL where the work has no room for it */
    bool is_turned;
} mtli_spectrum;

/** Bytes of work. with_turned: the decomposition may finish on the long side. */
size_t mtli_spectrum_work(int64_t count, int64_t n, bool with_turned);

void mtli_spectrum_begin(mtl_context *context, const mtli_sheet *x, bool with_turned, void *work, mtli_spectrum *out);

/** vectors = the Gram matrix. False: not finite. */
bool mtli_spectrum_gram(mtli_spectrum *spectrum);

/** From the Gram matrix to sigma and vectors. Singular values that are 0 to rounding are 0. */
bool mtli_spectrum_decompose(mtli_spectrum *spectrum);

/** out = Σ_k factor_k sigma_k u_k v_kᵀ. */
void mtli_spectrum_apply(mtli_spectrum *spectrum, const mtli_sheet_out *out);

#endif
