/* SPDX-License-Identifier: Apache-2.0
 * The forward pass of an LSTM: input and recurrent products accumulate in one register tile; its
 * gates are activated from L1 right after. */

/* The rows of a tile: `stride` sequences apart, at one step and one panel. */
typedef struct forward_tile_place {
    const mtli_real *weights; /* of the panel */
    int64_t token;            /* of the first row */
    int64_t previous;         /* the same sequence one step before, or -1 at step 0 */
    int64_t stride;
    int64_t panel;
} forward_tile_place;

/* Starts a tile from the bias and the input, or from projected rows that have both. */
MTLI_INLINE void forward_tile_input(const int m, const mtli_lstm_forward *f,
                                    const forward_tile_place *at,
                                    v_real acc[MTLI_ROWS][MTLI_VECTORS])
{
    int64_t input = f->shape.input;
    int64_t width = lstm_gate_width(f->shape.hidden);
    MTLI_UNROLL(6)
    for (int i = 0; i < m; i++) {
        const mtli_real *start = at->weights;
        if (f->projected) {
            int64_t token = at->token + i * at->stride;
            int64_t row = f->projected_row ? f->projected_row[token] : token;
            start = f->projected + row * width + at->panel * MTLI_PANEL;
        }
        MTLI_UNROLL(4)
        for (int j = 0; j < MTLI_VECTORS; j++)
            acc[i][j] = v_load(start + j * MTLI_LANES);
    }
    if (!f->projected)
        tile_multiply(m, MTLI_VECTORS, input, f->x + at->token * input, at->stride * input, 1,
                      at->weights + MTLI_PANEL, MTLI_PANEL, acc);
}

/* Activates the gates of one row and panel, and stores what the backward pass needs. */
MTLI_INLINE void forward_cell(const mtli_real *sums, v_real c_previous, mtli_real *gates,
                              mtli_real *c, mtli_real *h, int64_t valid)
{
    v_real in = v_sigmoid(v_load(sums));
    v_real forget = v_sigmoid(v_load(sums + MTLI_LANES));
    v_real candidate = v_tanh(v_load(sums + 2 * MTLI_LANES));
    v_real out = v_sigmoid(v_load(sums + 3 * MTLI_LANES));
    v_real cell = v_fma(forget, c_previous, in * candidate);
    if (gates) {
        v_store(gates, in);
        v_store(gates + MTLI_LANES, forget);
        v_store(gates + 2 * MTLI_LANES, candidate);
        v_store(gates + 3 * MTLI_LANES, out);
    }
    v_store_first(c, cell, valid);
    v_store_first(h, out * v_tanh(cell), valid);
}

/* The cells of a tile. Apart from the products: in one function the tile would not stay in
 * registers. */
static MTLI_OUTLINE void forward_cells(int m, const mtli_lstm_forward *f,
                                       const forward_tile_place *at, const mtli_real *sums)
{
    int64_t hidden = f->shape.hidden;
    mtli_real *panel =
        f->gates ? f->gates + at->panel * gates_panel(shape_tokens(&f->shape)) : (mtli_real *)0;
    int64_t unit = at->panel * MTLI_LANES;
    for (int i = 0; i < m; i++, sums += MTLI_PANEL) {
        int64_t token = at->token + i * at->stride;
        int64_t previous = at->previous + i * at->stride;
        mtli_real *gates = panel ? panel + token * MTLI_PANEL : (mtli_real *)0;
        v_real c_previous = v_zero();
        if (at->previous >= 0)
            c_previous = v_load_first(f->c + previous * hidden + unit, hidden - unit);
        forward_cell(sums, c_previous, gates, f->c + token * hidden + unit,
                     f->h + token * hidden + unit, hidden - unit);
    }
}

MTLI_INLINE void forward_tile(const int m, const mtli_lstm_forward *f, const forward_tile_place *at)
{
    int64_t input = f->shape.input, hidden = f->shape.hidden;
    mtli_real sums[MTLI_ROWS * MTLI_PANEL] __attribute__((aligned(MTLI_VECTOR_BYTES)));
    v_real acc[MTLI_ROWS][MTLI_VECTORS];

    forward_tile_input(m, f, at, acc);
    if (at->previous >= 0)
        tile_multiply(m, MTLI_VECTORS, hidden, f->h + at->previous * hidden, at->stride * hidden, 1,
                      at->weights + (1 + input) * MTLI_PANEL, MTLI_PANEL, acc);
    tile_write(m, MTLI_VECTORS, acc, sums, MTLI_PANEL, MTLI_PANEL, 0);
    forward_cells(m, f, at, sums);
}

/* Sequences of a part that are active among the first `active`. */
MTLI_INLINE int64_t part_rows(mtli_part part, int64_t active)
{
    return active > part.index ? (active - part.index + part.count - 1) / part.count : 0;
}

static void forward_step(const mtli_lstm_forward *f, mtli_part part, int64_t step)
{
    const int64_t *offsets = f->shape.offsets;
    int64_t panels = lstm_panels(f->shape.hidden);
    int64_t rows = part_rows(part, offsets[step + 1] - offsets[step]);
    forward_tile_place at = {.weights = f->packed, .stride = part.count};

    for (at.panel = 0; at.panel < panels; at.panel++) {
        for (int64_t row = 0; row < rows;) {
            int m = tile_rows(rows - row);
            int64_t sequence = part.index + row * part.count;
            at.token = offsets[step] + sequence;
            at.previous = step ? offsets[step - 1] + sequence : -1;
            MTLI_BY_ROWS(m, forward_tile(M, f, &at))
            row += m;
        }
        at.weights += (1 + f->shape.input + f->shape.hidden) * MTLI_PANEL;
    }
}

static void lstm_forward(const mtli_lstm_forward *args, mtli_part part)
{
    for (int64_t step = 0; step < args->shape.steps; step++)
        forward_step(args, part, step);
}

MTLI_INLINE void project_tile(const int m, int64_t input, const mtli_real *weights,
                              const mtli_real *x, mtli_real *out, int64_t width)
{
    v_real acc[MTLI_ROWS][MTLI_VECTORS];
    MTLI_UNROLL(6)
    for (int i = 0; i < m; i++) {
        MTLI_UNROLL(4)
        for (int j = 0; j < MTLI_VECTORS; j++)
            acc[i][j] = v_load(weights + j * MTLI_LANES);
    }
    tile_multiply(m, MTLI_VECTORS, input, x, input, 1, weights + MTLI_PANEL, MTLI_PANEL, acc);
    tile_write(m, MTLI_VECTORS, acc, out, width, MTLI_PANEL, 0);
}

static void lstm_project(int64_t input, int64_t hidden, const mtli_real *packed, int64_t row_begin,
                         int64_t row_end, const mtli_real *x, mtli_real *projected)
{
    int64_t width = lstm_gate_width(hidden);
    for (int64_t column = 0; column < width; column += MTLI_PANEL) {
        for (int64_t row = row_begin; row < row_end;) {
            int m = tile_rows(row_end - row);
            MTLI_BY_ROWS(m, project_tile(M, input, packed, x + row * input,
                                         projected + row * width + column, width))
            row += m;
        }
        packed += (1 + input + hidden) * MTLI_PANEL;
    }
}
