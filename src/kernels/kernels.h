/* SPDX-License-Identifier: Apache-2.0
 * The table of hot kernels, one per instruction-set level: pure functions on arrays, chosen at run
 * time. */
#ifndef MTLI_KERNELS_KERNELS_H
#define MTLI_KERNELS_KERNELS_H

#include "base/real.h"

#include <stdint.h>

/* Rules that hold for every kernel here:
 * - No kernel allocates, prints, fails or creates a thread. The caller checks shapes and provides
 * buffers.
 * - Matrices are row-major and dense unless a leading dimension is passed. Every size may be 0
 * where not said otherwise. Outputs never overlap inputs.
 * - A kernel that takes a range (rows, panels, a part) may be called for disjoint ranges by
 * different threads at the same time. Each output element is summed in an order that does not
 * depend on the range, so at one level the bits are the same for any split and any number of
 * threads.
 * - Buffers in packed layouts belong to one level: never pass them to the table of another. Any
 * alignment is correct; 64 bytes is fastest.
 * - Stack use stays below 64 KiB.
 * - Callers enter flush-to-zero mode (float_mode.h) around the calls. */

enum mtli_level {
    MTLI_LEVEL_BASELINE = 0, /* what every machine of the architecture has: SSE2, NEON */
    MTLI_LEVEL_AVX2 = 1,     /* with FMA */
    MTLI_LEVEL_AVX512 = 2,   /* F, DQ, BW, VL */
    MTLI_LEVEL_COUNT = 3
};

/* The tokens of a batch of sequences, sorted by length descending and packed by time step
 * (PyTorch's PackedSequence): token offsets[t] + r is step t of sequence r. Sequence r is active at
 * step t when r < offsets[t + 1] - offsets[t]; these batch sizes never increase. The reverse
 * direction of an LSTM is the same kernel over tokens packed in reverse. */
typedef struct mtli_lstm_shape {
    int64_t input;  /* E >= 1 */
    int64_t hidden; /* H >= 1 */
    int64_t steps;  /* T >= 0 */
    /* [T + 1], offsets[0] = 0; N = offsets[T] tokens, B = offsets[1] sequences */
    const int64_t *offsets;
} mtli_lstm_shape;

/* Part `index` of `count`: the sequences index, index + count, ... Interleaving keeps ragged parts
 * balanced. */
typedef struct mtli_part {
    int64_t index;
    int64_t count;
} mtli_part;

typedef struct mtli_lstm_forward {
    mtli_lstm_shape shape;
    const mtli_real *packed; /* from lstm_pack_forward */
    const mtli_real *x;      /* [N, E]; not read when projected is given */
    /* [rows, W], W = lstm_gate_width(H), from lstm_project; NULL: x is multiplied here */
    const mtli_real *projected;
    const int32_t *projected_row; /* [N] row of projected of each token; NULL: token n uses row n */
    mtli_real *gates;             /* out, N * W in gate layout: activated gates; NULL: not saved */
    mtli_real *c;                 /* out [N, H] */
    mtli_real *h;                 /* out [N, H] */
} mtli_lstm_forward;

typedef struct mtli_lstm_backward {
    mtli_lstm_shape shape;
    const mtli_real *packed; /* from lstm_pack_backward */
    const mtli_real *gates;  /* from the forward pass; never written */
    const mtli_real *c;      /* [N, H] from the forward pass */
    const mtli_real *dh;     /* [N, H] gradient of each state, or NULL: zero */
    /* [B, H] gradient of each sequence's last state, added to dh, or NULL: zero */
    const mtli_real *dh_last;
    mtli_real *dgates; /* out, N * W in gate layout: gradient of the gates before activation */
    mtli_real *dx;     /* out [N, E], or NULL: not wanted */
    mtli_real *work;   /* lstm_backward_work(B, H) reals, one buffer for all parts, need not be set */
} mtli_lstm_backward;

typedef struct mtli_lstm_weights {
    mtli_lstm_shape shape;
    const mtli_real *dgates; /* from the backward pass */
    const mtli_real *x;      /* [N, E]; read when dw_ih is not NULL */
    const mtli_real *h;      /* [N, H] from the forward pass; read when dw_hh is not NULL */
    const int32_t *tokens;   /* sum over these tokens in this order; NULL: all tokens, in order */
    int64_t token_count;     /* read when tokens is not NULL */
    mtli_real *dw_ih;        /* out [4H, E] or NULL */
    mtli_real *dw_hh;        /* out [4H, H] or NULL */
    mtli_real *db;           /* out [4H] or NULL; the gradient of bias_ih and of bias_hh */
    int accumulate;          /* 0: overwrite, 1: add */
} mtli_lstm_weights;

typedef struct mtli_kernels {
    int level;        /* enum mtli_level */
    const char *name; /* "baseline", "avx2", "avx512" */

    /* y[i] = f(x[i]); y may be x. Largest errors in float, in units in the last place, at every
     * level: exp 2, tanh 3, sigmoid 3, erf 3. Exact at infinity, NaN stays NaN. A sigmoid below the
     * least normal number may be 0. In double builds libm is called for each element. */
    void (*vexp)(int64_t n, const mtli_real *x, mtli_real *y);
    void (*vtanh)(int64_t n, const mtli_real *x, mtli_real *y);
    void (*vsigmoid)(int64_t n, const mtli_real *x, mtli_real *y);
    void (*verf)(int64_t n, const mtli_real *x, mtli_real *y);

    /* C[m, n] = op(A) op(B) in two phases: pack op(B) [k, n] once, then multiply ranges of rows. B
     * is stored [k, n], or [n, k] when transposed_b; A is stored [m, k], or [k, m] when
     * transposed_a. lda, ldb and ldc are the lengths of a stored row. accumulate: 0 overwrites C, 1
     * adds to it. The sum over k is taken in chunks of 256, added in order. */
    int64_t (*gemm_packed_size)(int64_t k, int64_t n); /* in reals */
    void (*gemm_pack_b)(int transposed_b, int64_t k, int64_t n, const mtli_real *b, int64_t ldb, mtli_real *packed);
    void (*gemm_packed)(int transposed_a, int64_t row_begin, int64_t row_end, int64_t n, int64_t k, const mtli_real *a,
                        int64_t lda, const mtli_real *packed, mtli_real *c, int64_t ldc, int accumulate);

    /* One LSTM layer in one direction from a zero state; PyTorch's layouts and gate order i, f, g,
     * o. The gates of N tokens take N * W reals, W = lstm_gate_width(H), in gate layout:
     * [panels][N][4][units of a panel], H padded up to whole panels (padded values are finite and
     * never reach an output). */
    int64_t (*lstm_gate_width)(int64_t hidden);
    int64_t (*lstm_panels)(int64_t hidden);
    int64_t (*lstm_forward_packed_size)(int64_t input, int64_t hidden);  /* in reals */
    int64_t (*lstm_backward_packed_size)(int64_t input, int64_t hidden); /* in reals */
    int64_t (*lstm_backward_work)(int64_t sequences, int64_t hidden);    /* in reals */

    /* Once per change of the weights. w_ih [4H, E], w_hh [4H, H]; each bias [4H] or NULL. */
    void (*lstm_pack_forward)(int64_t input, int64_t hidden, const mtli_real *w_ih, const mtli_real *w_hh,
                              const mtli_real *bias_ih, const mtli_real *bias_hh, mtli_real *packed);
    void (*lstm_pack_backward)(int64_t input, int64_t hidden, const mtli_real *w_ih, const mtli_real *w_hh,
                               mtli_real *packed);

    /* projected[r, :] = bias + W_ih x[r, :] as rows of W reals, for rows [row_begin, row_end) of x
     * [*, E]: for callers that multiply each distinct token once. */
    void (*lstm_project)(int64_t input, int64_t hidden, const mtli_real *packed, int64_t row_begin, int64_t row_end,
                         const mtli_real *x, mtli_real *projected);
    /* gates, c and h of the sequences of a part. */
    void (*lstm_forward)(const mtli_lstm_forward *args, mtli_part part);
    /* dgates and dx of the sequences of a part. */
    void (*lstm_backward)(const mtli_lstm_backward *args, mtli_part part);
    /* sums = for each of `rows` distinct tokens, the sum of dgates over its occurrences, in gate
     * layout of `rows` tokens; token n is an occurrence of row_of_token[n]. Then
     * lstm_input_gradient and lstm_weight_gradient multiply each distinct token once (dw_ih only,
     * with a shape of one step of `rows` tokens). */
    void (*lstm_sum_gates)(int64_t tokens, int64_t rows, const int32_t *row_of_token, const mtli_real *dgates,
                           mtli_real *sums, int64_t panel_begin, int64_t panel_end);
    /* dx[r, :] = W_ih^T dgates of r, for rows [row_begin, row_end) of dgates in gate layout of
     * `rows` tokens: what lstm_backward writes to dx. packed from lstm_pack_backward. */
    void (*lstm_input_gradient)(int64_t input, int64_t hidden, const mtli_real *packed, int64_t row_begin,
                                int64_t row_end, int64_t rows, const mtli_real *dgates, mtli_real *dx);
    /* dw_ih, dw_hh and db of the hidden units of panels [panel_begin, panel_end), 0 <= . <=
     * lstm_panels(H). Tokens are summed in fixed chunks of 128, added in order. */
    void (*lstm_weight_gradient)(const mtli_lstm_weights *args, int64_t panel_begin, int64_t panel_end);
} mtli_kernels;

/* The best level of this machine. Asks the processor on every call: keep the answer. */
int mtli_kernels_best_level(void);

/* The table of a level, or NULL where this machine or this build does not have it. */
const mtli_kernels *mtli_kernels_get(int level);

#endif
