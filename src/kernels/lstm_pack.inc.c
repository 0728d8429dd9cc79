/* SPDX-License-Identifier: Apache-2.0
 * Packed layouts of an LSTM's weights and gates.
 *
 * A panel holds the four gates of one vector of hidden units, gate by gate: MTLI_PANEL columns.
 * Gates of all tokens are stored panel by panel, [panels][tokens][4][lanes], so that the weight
 * gradient reads whole cache lines from one place; a wide row per token would put one column of all
 * tokens into a few cache sets. Forward weights, for each panel: bias [4][lanes], then W_ih columns
 * [E][4][lanes], then W_hh columns [H][4][lanes]. Backward weights: W_hh and then W_ih as gemm
 * panels of [gate width, H] and [gate width, E], rows in the order [panels][4][lanes]. Hidden units
 * beyond H have zero weights. */

static int64_t lstm_panels(int64_t hidden)
{
    return (hidden + MTLI_LANES - 1) / MTLI_LANES;
}

static int64_t lstm_gate_width(int64_t hidden)
{
    return lstm_panels(hidden) * MTLI_PANEL;
}

static int64_t lstm_forward_packed_size(int64_t input, int64_t hidden)
{
    return lstm_gate_width(hidden) * (1 + input + hidden);
}

static int64_t lstm_backward_packed_size(int64_t input, int64_t hidden)
{
    return lstm_gate_width(hidden) * (padded_columns(hidden) + padded_columns(input));
}

/* Distance between the panels of the gates of this many tokens. */
MTLI_INLINE int64_t gates_panel(int64_t tokens)
{
    return tokens * MTLI_PANEL;
}

MTLI_INLINE int64_t shape_tokens(const mtli_lstm_shape *shape)
{
    return shape->steps ? shape->offsets[shape->steps] : 0;
}

/* The gradients carried from step to step: of h and of c, [B][padded H] each. */
static int64_t lstm_backward_work(int64_t sequences, int64_t hidden)
{
    return 2 * sequences * padded_columns(hidden);
}

/* One panel's columns of w [4H, depth] to packed [depth][4][lanes]. */
static void pack_gate_columns(int64_t unit, int64_t hidden, int64_t depth, const mtli_real *w,
                              mtli_real *packed)
{
    for (int64_t begin = 0; begin < depth; begin += 16) {
        int64_t end = begin + 16 < depth ? begin + 16 : depth;
        for (int64_t column = 0; column < MTLI_PANEL; column++) {
            int64_t u = unit + column % MTLI_LANES;
            const mtli_real *row = w + (column / MTLI_LANES * hidden + u) * depth;
            for (int64_t k = begin; k < end; k++)
                packed[k * MTLI_PANEL + column] = u < hidden ? row[k] : 0;
        }
    }
}

static void pack_bias(int64_t unit, int64_t hidden, const mtli_real *bias_ih,
                      const mtli_real *bias_hh, mtli_real *packed)
{
    for (int64_t column = 0; column < MTLI_PANEL; column++) {
        int64_t u = unit + column % MTLI_LANES;
        int64_t row = column / MTLI_LANES * hidden + u;
        mtli_real sum = 0;
        if (u < hidden && bias_ih)
            sum = bias_ih[row];
        if (u < hidden && bias_hh)
            sum += bias_hh[row];
        packed[column] = sum;
    }
}

static void lstm_pack_forward(int64_t input, int64_t hidden, const mtli_real *w_ih,
                              const mtli_real *w_hh, const mtli_real *bias_ih,
                              const mtli_real *bias_hh, mtli_real *packed)
{
    for (int64_t unit = 0; unit < hidden; unit += MTLI_LANES) {
        pack_bias(unit, hidden, bias_ih, bias_hh, packed);
        packed += MTLI_PANEL;
        pack_gate_columns(unit, hidden, input, w_ih, packed);
        packed += input * MTLI_PANEL;
        pack_gate_columns(unit, hidden, hidden, w_hh, packed);
        packed += hidden * MTLI_PANEL;
    }
}

/* w [4H, n] with its rows in gate order, to gemm panels [gate width][width of panel]. */
static void pack_gate_rows(int64_t hidden, int64_t n, const mtli_real *w, mtli_real *packed)
{
    int64_t gates = lstm_gate_width(hidden);
    for (int64_t column = 0; column < n; column += MTLI_PANEL) {
        int64_t width = panel_vectors(n - column) * MTLI_LANES;
        for (int64_t gate = 0; gate < gates; gate++) {
            int64_t unit = gate / MTLI_PANEL * MTLI_LANES + gate % MTLI_LANES;
            const mtli_real *row =
                w + (gate % MTLI_PANEL / MTLI_LANES * hidden + unit) * n + column;
            for (int64_t j = 0; j < width; j++)
                *packed++ = unit < hidden && column + j < n ? row[j] : 0;
        }
    }
}

static void lstm_pack_backward(int64_t input, int64_t hidden, const mtli_real *w_ih,
                               const mtli_real *w_hh, mtli_real *packed)
{
    pack_gate_rows(hidden, hidden, w_hh, packed);
    pack_gate_rows(hidden, input, w_ih, packed + lstm_gate_width(hidden) * padded_columns(hidden));
}
