/* SPDX-License-Identifier: Apache-2.0
 * The backward pass of an LSTM through time: gate gradients of one step, then their product with
 * the transposed weights while they are in cache. */

/* What one row and panel needs; pointers at the first unit of the panel. */
typedef struct backward_cell_place {
    const mtli_real *gates, *c, *c_previous; /* c_previous NULL at step 0 */
    const mtli_real *dh;                     /* of this step's output, or NULL */
    const mtli_real *carry_h;
    mtli_real *carry_c;
    mtli_real *dgates;
    int64_t valid; /* units from here to H */
} backward_cell_place;

MTLI_INLINE void backward_cell(const backward_cell_place *at)
{
    v_real in = v_load(at->gates);
    v_real forget = v_load(at->gates + MTLI_LANES);
    v_real candidate = v_load(at->gates + 2 * MTLI_LANES);
    v_real out = v_load(at->gates + 3 * MTLI_LANES);
    v_real tanh_c = v_tanh(v_load_first(at->c, at->valid));
    v_real c_previous = at->c_previous ? v_load_first(at->c_previous, at->valid) : v_zero();
    v_real dh = v_load(at->carry_h);
    if (at->dh)
        dh += v_load_first(at->dh, at->valid);
    v_real dc = v_fma(dh * out, v_fnma(tanh_c, tanh_c, v_set1(1)), v_load(at->carry_c));

    v_store(at->carry_c, dc * forget);
    v_store(at->dgates, dc * candidate * (in * (1 - in)));
    v_store(at->dgates + MTLI_LANES, dc * c_previous * (forget * (1 - forget)));
    v_store(at->dgates + 2 * MTLI_LANES, dc * in * v_fnma(candidate, candidate, v_set1(1)));
    v_store(at->dgates + 3 * MTLI_LANES, dh * tanh_c * (out * (1 - out)));
}

/* One panel of the rows of a part at one step. */
static void backward_panel(const mtli_lstm_backward *b, mtli_part part, int64_t rows, int64_t step,
                           int64_t panel)
{
    int64_t hidden = b->shape.hidden, padded = padded_columns(hidden);
    int64_t unit = panel * MTLI_LANES;
    int64_t panel_at = panel * gates_panel(shape_tokens(&b->shape));
    mtli_real *carry_c = b->work + b->shape.offsets[1] * padded;

    for (int64_t row = 0; row < rows; row++) {
        int64_t sequence = part.index + row * part.count;
        int64_t token = b->shape.offsets[step] + sequence;
        int64_t previous = step ? b->shape.offsets[step - 1] + sequence : -1;
        backward_cell_place at = {
            .gates = b->gates + panel_at + token * MTLI_PANEL,
            .c = b->c + token * hidden + unit,
            .c_previous = previous >= 0 ? b->c + previous * hidden + unit : (const mtli_real *)0,
            .dh = b->dh ? b->dh + token * hidden + unit : (const mtli_real *)0,
            .carry_h = b->work + sequence * padded + unit,
            .carry_c = carry_c + sequence * padded + unit,
            .dgates = b->dgates + panel_at + token * MTLI_PANEL,
            .valid = hidden - unit,
        };
        backward_cell(&at);
    }
}

/* Gate gradients of tokens `stride` apart, times packed transposed weights. */
typedef struct gate_product {
    const mtli_real *dgates; /* of the first token, first panel */
    int64_t dgates_panel;    /* distance of panels */
    int64_t panels;
    int64_t stride;
    int64_t hidden;
    const mtli_real *fetch_read,
        *fetch_write; /* the same place one step before, in gates and dgates; or NULL */
    const mtli_real *fetch_dh,
        *fetch_c; /* the first token's rows one step before, in dh, and two in c */
    mtli_real *out;
    int64_t out_row;
    int64_t columns;
} gate_product;

/* Fetches what the cells of the step before will read and write: the products have bandwidth to
 * spare, the cells have not. */
MTLI_INLINE void gate_product_fetch(const int m, const gate_product *p, int64_t row, int64_t column,
                                    int64_t panel)
{
    const int line = 64 / (int)sizeof(mtli_real);
    int64_t at = row * p->stride * MTLI_PANEL + panel * p->dgates_panel;
    int64_t unit = row * p->stride * p->hidden + panel * MTLI_LANES;
    MTLI_UNROLL(6)
    for (int i = 0; i < m; i++, at += p->stride * MTLI_PANEL, unit += p->stride * p->hidden) {
        if (column == 0) {
            __builtin_prefetch(p->fetch_dh + unit, 0, 2);
            __builtin_prefetch(p->fetch_c + unit, 0, 2);
        }
        MTLI_UNROLL(4)
        for (int j = 0; j < MTLI_PANEL; j += line) {
            if (column == 0)
                __builtin_prefetch(p->fetch_read + at + j, 0, 2);
            else
                __builtin_prefetch(p->fetch_write + at + j, 1);
        }
    }
}

MTLI_INLINE void gate_product_tile(const int m, const int vectors, const gate_product *p,
                                   int64_t row, int64_t column, const mtli_real *weights)
{
    v_real acc[MTLI_ROWS][MTLI_VECTORS];
    tile_zero(m, vectors, acc);
    const mtli_real *a = p->dgates + row * p->stride * MTLI_PANEL;
    for (int64_t panel = 0; panel < p->panels; panel++) {
        if (p->fetch_read && column <= MTLI_PANEL)
            gate_product_fetch(m, p, row, column, panel);
        tile_multiply(m, vectors, MTLI_PANEL, a, p->stride * MTLI_PANEL, 1, weights,
                      vectors * MTLI_LANES, acc);
        a += p->dgates_panel;
        weights += MTLI_PANEL * vectors * MTLI_LANES;
    }
    tile_write(m, vectors, acc, p->out + row * p->out_row + column, p->out_row, p->columns - column,
               0);
}

static void multiply_gates(const gate_product *p, int64_t rows, const mtli_real *weights)
{
    for (int64_t column = 0; column < p->columns; column += MTLI_PANEL) {
        const mtli_real *panel = weights + column * p->panels * MTLI_PANEL;
        int vectors = panel_vectors(p->columns - column);
        for (int64_t row = 0; row < rows;) {
            int m = tile_rows(rows - row);
            MTLI_BY_VECTORS(vectors,
                            MTLI_BY_ROWS(m, gate_product_tile(M, V, p, row, column, panel)))
            row += m;
        }
    }
}

static void backward_step(const mtli_lstm_backward *b, mtli_part part, int64_t step)
{
    const int64_t *offsets = b->shape.offsets;
    int64_t input = b->shape.input, hidden = b->shape.hidden, padded = padded_columns(hidden);
    int64_t rows = part_rows(part, offsets[step + 1] - offsets[step]);
    int64_t first = offsets[step] + part.index;

    for (int64_t panel = 0; panel < lstm_panels(hidden); panel++)
        backward_panel(b, part, rows, step, panel);
    gate_product p = {
        .dgates = b->dgates + first * MTLI_PANEL,
        .dgates_panel = gates_panel(shape_tokens(&b->shape)),
        .panels = lstm_panels(hidden),
        .stride = part.count,
        .hidden = hidden,
    };
    if (step) {
        int64_t before = (offsets[step - 1] + part.index) * MTLI_PANEL;
        p.fetch_read = b->gates + before;
        p.fetch_write = b->dgates + before;
        p.fetch_dh = (b->dh ? b->dh : b->c) + (offsets[step - 1] + part.index) * hidden;
        p.fetch_c = b->c + (offsets[step > 1 ? step - 2 : 0] + part.index) * hidden;
        p.out = b->work + part.index * padded;
        p.out_row = part.count * padded;
        p.columns = padded;
        multiply_gates(&p, rows, b->packed);
    }
    if (b->dx) {
        p.fetch_read = (const mtli_real *)0;
        p.out = b->dx + first * input;
        p.out_row = part.count * input;
        p.columns = input;
        multiply_gates(&p, rows, b->packed + lstm_gate_width(hidden) * padded);
    }
}

/* Carried gradients start at zero, or for h at the gradient of the last state: a sequence's first
 * active step in the backward sweep is its last. */
static void backward_start(const mtli_lstm_backward *b, int64_t sequence)
{
    int64_t hidden = b->shape.hidden, padded = padded_columns(hidden);
    mtli_real *carry_h = b->work + sequence * padded;
    mtli_real *carry_c = carry_h + b->shape.offsets[1] * padded;
    for (int64_t unit = 0; unit < padded; unit++) {
        carry_h[unit] = b->dh_last && unit < hidden ? b->dh_last[sequence * hidden + unit] : 0;
        carry_c[unit] = 0;
    }
}

static void lstm_backward(const mtli_lstm_backward *args, mtli_part part)
{
    if (args->shape.steps == 0)
        return;
    for (int64_t sequence = part.index; sequence < args->shape.offsets[1]; sequence += part.count)
        backward_start(args, sequence);
    for (int64_t step = args->shape.steps - 1; step >= 0; step--)
        backward_step(args, part, step);
}

static void lstm_input_gradient(int64_t input, int64_t hidden, const mtli_real *packed,
                                int64_t row_begin, int64_t row_end, int64_t rows,
                                const mtli_real *dgates, mtli_real *dx)
{
    gate_product p = {
        .dgates = dgates + row_begin * MTLI_PANEL,
        .dgates_panel = gates_panel(rows),
        .panels = lstm_panels(hidden),
        .stride = 1,
        .out = dx + row_begin * input,
        .out_row = input,
        .columns = input,
    };
    multiply_gates(&p, row_end - row_begin,
                   packed + lstm_gate_width(hidden) * padded_columns(hidden));
}

static void lstm_sum_gates(int64_t tokens, int64_t rows, const int32_t *row_of_token,
                           const mtli_real *dgates, mtli_real *sums, int64_t panel_begin,
                           int64_t panel_end)
{
    for (int64_t panel = panel_begin; panel < panel_end; panel++) {
        const mtli_real *from = dgates + panel * gates_panel(tokens);
        mtli_real *to = sums + panel * gates_panel(rows);
        for (int64_t i = 0; i < gates_panel(rows); i++)
            to[i] = 0;
        for (int64_t token = 0; token < tokens; token++, from += MTLI_PANEL) {
            mtli_real *sum = to + row_of_token[token] * MTLI_PANEL;
            for (int j = 0; j < MTLI_PANEL; j += MTLI_LANES)
                v_store(sum + j, v_load(sum + j) + v_load(from + j));
        }
    }
}
