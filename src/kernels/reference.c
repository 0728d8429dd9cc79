/* SPDX-License-Identifier: Apache-2.0
 * Slow, plain versions of the kernels, written to be obviously right. */
#include "kernels/reference.h"

#include <math.h>

double mtli_ref_sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

void mtli_ref_gemm(int transposed_a, int transposed_b, int64_t m, int64_t n, int64_t k, const mtli_real *a, int64_t lda,
                   const mtli_real *b, int64_t ldb, double *c, int64_t ldc, int accumulate)
{
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = accumulate ? c[i * ldc + j] : 0.0;
            for (int64_t l = 0; l < k; l++) {
                double left = (double)(transposed_a ? a[l * lda + i] : a[i * lda + l]);
                double right = (double)(transposed_b ? b[j * ldb + l] : b[l * ldb + j]);
                sum += left * right;
            }
            c[i * ldc + j] = sum;
        }
    }
}

/* The token of the same sequence one step before, or -1. */
static int64_t previous_token(const mtli_lstm_shape *shape, int64_t step, int64_t sequence)
{
    return step > 0 ? shape->offsets[step - 1] + sequence : -1;
}

/* gates[g] before activation */
static double preactivation(const mtli_ref_lstm *l, int64_t token, int64_t previous, int64_t g)
{
    int64_t input = l->shape.input, hidden = l->shape.hidden;
    double sum = (l->bias_ih ? (double)l->bias_ih[g] : 0.0) + (l->bias_hh ? (double)l->bias_hh[g] : 0.0);
    for (int64_t k = 0; k < input; k++)
        sum += (double)l->w_ih[g * input + k] * (double)l->x[token * input + k];
    for (int64_t k = 0; k < hidden && previous >= 0; k++)
        sum += (double)l->w_hh[g * hidden + k] * l->h[previous * hidden + k];
    return sum;
}

static void forward_token(const mtli_ref_lstm *l, int64_t token, int64_t previous)
{
    int64_t hidden = l->shape.hidden;
    double *gates = l->gates + token * 4 * hidden;
    for (int64_t g = 0; g < 4 * hidden; g++) {
        double z = preactivation(l, token, previous, g);
        gates[g] = g / hidden == 2 ? tanh(z) : mtli_ref_sigmoid(z);
    }
    for (int64_t u = 0; u < hidden; u++) {
        double in = gates[u], forget = gates[hidden + u], candidate = gates[2 * hidden + u];
        double out = gates[3 * hidden + u];
        double c_previous = previous >= 0 ? l->c[previous * hidden + u] : 0.0;
        double c = forget * c_previous + in * candidate;
        l->c[token * hidden + u] = c;
        l->h[token * hidden + u] = out * tanh(c);
    }
}

void mtli_ref_lstm_forward(const mtli_ref_lstm *l)
{
    const int64_t *offsets = l->shape.offsets;
    for (int64_t step = 0; step < l->shape.steps; step++)
        for (int64_t s = 0; s < offsets[step + 1] - offsets[step]; s++)
            forward_token(l, offsets[step] + s, previous_token(&l->shape, step, s));
}

/* Gate gradients of one token; dh is the carried gradient, dc is updated in place. */
static void backward_cell(const mtli_ref_lstm *l, int64_t token, int64_t previous, const double *dh_carried, double *dc)
{
    int64_t hidden = l->shape.hidden;
    const double *gates = l->gates + token * 4 * hidden;
    double *dgates = l->dgates + token * 4 * hidden;
    for (int64_t u = 0; u < hidden; u++) {
        double in = gates[u], forget = gates[hidden + u], candidate = gates[2 * hidden + u];
        double out = gates[3 * hidden + u];
        double tanh_c = tanh(l->c[token * hidden + u]);
        double c_previous = previous >= 0 ? l->c[previous * hidden + u] : 0.0;
        double dh = dh_carried[u] + (l->dh ? (double)l->dh[token * hidden + u] : 0.0);
        double d = dc[u] + dh * out * (1.0 - tanh_c * tanh_c);
        dgates[u] = d * candidate * in * (1.0 - in);
        dgates[hidden + u] = d * c_previous * forget * (1.0 - forget);
        dgates[2 * hidden + u] = d * in * (1.0 - candidate * candidate);
        dgates[3 * hidden + u] = dh * tanh_c * out * (1.0 - out);
        dc[u] = d * forget;
    }
}

/* out[k] = sum over gates of dgates[g] w[g, k] */
static void multiply_transposed(int64_t gates, int64_t n, const double *dgates, const mtli_real *w, double *out)
{
    for (int64_t k = 0; k < n; k++) {
        out[k] = 0.0;
        for (int64_t g = 0; g < gates; g++)
            out[k] += dgates[g] * (double)w[g * n + k];
    }
}

void mtli_ref_lstm_backward(const mtli_ref_lstm *l)
{
    const int64_t *offsets = l->shape.offsets;
    int64_t hidden = l->shape.hidden, input = l->shape.input;
    double *dh = l->carry, *dc = l->carry + hidden;
    for (int64_t s = 0; l->shape.steps > 0 && s < offsets[1]; s++) {
        for (int64_t u = 0; u < hidden; u++) {
            dh[u] = l->dh_last ? (double)l->dh_last[s * hidden + u] : 0.0;
            dc[u] = 0.0;
        }
        for (int64_t step = l->shape.steps - 1; step >= 0; step--) {
            int64_t token = offsets[step] + s;
            if (token >= offsets[step + 1])
                continue;
            backward_cell(l, token, previous_token(&l->shape, step, s), dh, dc);
            multiply_transposed(4 * hidden, hidden, l->dgates + token * 4 * hidden, l->w_hh, dh);
            if (l->dx)
                multiply_transposed(4 * hidden, input, l->dgates + token * 4 * hidden, l->w_ih, l->dx + token * input);
        }
    }
}

static void add_token_weights(const mtli_ref_lstm *l, int64_t token, int64_t previous)
{
    int64_t hidden = l->shape.hidden, input = l->shape.input;
    for (int64_t g = 0; g < 4 * hidden; g++) {
        double d = l->dgates[token * 4 * hidden + g];
        l->db[g] += d;
        for (int64_t k = 0; k < input; k++)
            l->dw_ih[g * input + k] += d * (double)l->x[token * input + k];
        for (int64_t k = 0; k < hidden && previous >= 0; k++)
            l->dw_hh[g * hidden + k] += d * l->h[previous * hidden + k];
    }
}

static int listed(const int32_t *tokens, int64_t count, int64_t token)
{
    for (int64_t i = 0; tokens && i < count; i++)
        if (tokens[i] == token)
            return 1;
    return tokens == 0;
}

void mtli_ref_lstm_weights(const mtli_ref_lstm *l, const int32_t *tokens, int64_t count)
{
    const int64_t *offsets = l->shape.offsets;
    int64_t hidden = l->shape.hidden, input = l->shape.input;
    for (int64_t i = 0; i < 4 * hidden * input; i++)
        l->dw_ih[i] = 0.0;
    for (int64_t i = 0; i < 4 * hidden * hidden; i++)
        l->dw_hh[i] = 0.0;
    for (int64_t i = 0; i < 4 * hidden; i++)
        l->db[i] = 0.0;
    for (int64_t step = 0; step < l->shape.steps; step++)
        for (int64_t s = 0; s < offsets[step + 1] - offsets[step]; s++)
            if (listed(tokens, count, offsets[step] + s))
                add_token_weights(l, offsets[step] + s, previous_token(&l->shape, step, s));
}
