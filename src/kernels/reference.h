/* SPDX-License-Identifier: Apache-2.0
 * Slow, plain versions of the kernels, in double precision whatever the compute type: the truth for
 * tests. */
#ifndef MTLI_KERNELS_REFERENCE_H
#define MTLI_KERNELS_REFERENCE_H

#include "kernels/kernels.h"

double mtli_ref_sigmoid(double x);

/* C[m, n] (+)= op(A) op(B), as gemm_packed with gemm_pack_b. */
void mtli_ref_gemm(int transposed_a, int transposed_b, int64_t m, int64_t n, int64_t k, const mtli_real *a, int64_t lda,
                   const mtli_real *b, int64_t ldb, double *c, int64_t ldc, int accumulate);

/* One layer and direction. Biases, dh, dh_last and dx may be NULL. Gates here are [N, 4H] in
 * PyTorch's order. */
typedef struct mtli_ref_lstm {
    mtli_lstm_shape shape;
    const mtli_real *w_ih, *w_hh, *bias_ih, *bias_hh;
    const mtli_real *x;         /* [N, E] */
    double *gates, *c, *h;      /* out of forward: [N, 4H], [N, H], [N, H] */
    const mtli_real *dh;        /* [N, H] */
    const mtli_real *dh_last;   /* [B, H] */
    double *dgates;             /* out of backward: [N, 4H] */
    double *dx;                 /* out of backward: [N, E] */
    double *carry;              /* work of backward: [2, H] */
    double *dw_ih, *dw_hh, *db; /* out of weights, overwritten: [4H, E], [4H, H], [4H] */
} mtli_ref_lstm;

void mtli_ref_lstm_forward(const mtli_ref_lstm *l);
void mtli_ref_lstm_backward(const mtli_ref_lstm *l);
/* Sums over tokens[0 .. count), or over all tokens where tokens is NULL. */
void mtli_ref_lstm_weights(const mtli_ref_lstm *l, const int32_t *tokens, int64_t count);

#endif
