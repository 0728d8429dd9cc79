/* SPDX-License-Identifier: Apache-2.0
 * Weight gradients of an LSTM: dgates^T [x | h of the step before], summed over tokens in fixed
 * chunks.
 *
 * Output rows are gates, so that tiles go straight into PyTorch's layout, and threads split the
 * gates: no reduction between threads, hence the same bits for any number of them. */

/* Tokens of a chunk: a panel of x or h [chunk][MTLI_PANEL] is copied to the stack and stays in L1.
 */
#define WEIGHT_CHUNK 128
/* Panels of gates whose chunk stays in L2 while the panels of x and h pass: 256 KiB at AVX-512. */
#define WEIGHT_PANELS 8

typedef struct weight_chunk {
    const mtli_lstm_weights *args;
    int64_t count; /* tokens */
    int64_t token[WEIGHT_CHUNK];
    int64_t previous[WEIGHT_CHUNK]; /* h row of the step before, or -1: zero */
    int64_t gates_at[WEIGHT_CHUNK]; /* offset of the token in a panel of dgates */
    int64_t panel_begin, panel_end;
    int accumulate;
} weight_chunk;

/* The step of a token; `step` is where to look first. */
static int64_t step_of_token(const mtli_lstm_shape *shape, int64_t token, int64_t step)
{
    if (token < shape->offsets[step])
        step = 0;
    while (token >= shape->offsets[step + 1])
        step++;
    return step;
}

/* Finds the tokens [begin, begin + count) of the list. Returns the step of the last one. */
static int64_t weight_chunk_tokens(weight_chunk *chunk, int64_t begin, int64_t step)
{
    const mtli_lstm_weights *args = chunk->args;
    const int64_t *offsets = args->shape.offsets;
    for (int64_t k = 0; k < chunk->count; k++) {
        int64_t token = args->tokens ? args->tokens[begin + k] : begin + k;
        step = step_of_token(&args->shape, token, step);
        chunk->token[k] = token;
        chunk->previous[k] = step ? token - offsets[step] + offsets[step - 1] : -1;
        chunk->gates_at[k] = token * MTLI_PANEL;
    }
    return step;
}

/* Columns [column, column + width) of the rows of source [*, n] to panel [count][width]; zero
 * beyond n. */
static void weight_copy_panel(int64_t count, const int64_t *rows, const mtli_real *source,
                              int64_t n, int64_t column, int64_t width, mtli_real *panel)
{
    int64_t valid = n - column < width ? n - column : width;
    for (int64_t k = 0; k < count; k++, panel += width) {
        int64_t copied = rows[k] >= 0 ? valid : 0;
        if (copied)
            memcpy(panel, source + rows[k] * n + column, (size_t)copied * sizeof *panel);
        for (int64_t j = copied; j < width; j++)
            panel[j] = 0;
    }
}

/* Gates [gate, gate + m) of a panel that starts at hidden unit `first`. */
MTLI_INLINE void weight_tile(const int m, const int vectors, const weight_chunk *chunk,
                             int64_t first, int64_t gate, const mtli_real *dgates, uintptr_t ahead,
                             const mtli_real *panel, mtli_real *dw, int64_t n, int64_t column)
{
    int64_t hidden = chunk->args->shape.hidden;
    v_real acc[MTLI_ROWS][MTLI_VECTORS];
    tile_zero(m, vectors, acc);
    for (int64_t k = 0; k < chunk->count; k++) {
        __builtin_prefetch((const void *)(ahead + (uintptr_t)chunk->gates_at[k] * sizeof *dgates));
        tile_multiply(m, vectors, 1, dgates + chunk->gates_at[k] + gate, 1, 0,
                      panel + k * vectors * MTLI_LANES, 0, acc);
    }
    MTLI_UNROLL(6)
    for (int i = 0; i < m; i++) {
        int64_t unit = first + (gate + i) % MTLI_LANES;
        int64_t row = (gate + i) / MTLI_LANES * hidden + unit;
        if (unit < hidden)
            tile_write(1, vectors, acc + i, dw + row * n + column, 0, n - column,
                       chunk->accumulate);
    }
}

static const mtli_real *weight_gates(const weight_chunk *chunk, int64_t panel)
{
    return chunk->args->dgates + panel * gates_panel(shape_tokens(&chunk->args->shape));
}

/* dw [4H, n] of one chunk: source [*, n] is x or h, rows says which row goes with which token. */
static void weight_chunk_product(const weight_chunk *chunk, const int64_t *rows,
                                 const mtli_real *source, int64_t n, mtli_real *dw)
{
    const int64_t line = 64 / (int64_t)sizeof *dw;
    mtli_real columns[WEIGHT_CHUNK * MTLI_PANEL] __attribute__((aligned(MTLI_VECTOR_BYTES)));
    for (int64_t column = 0; column < n; column += MTLI_PANEL) {
        int vectors = panel_vectors(n - column);
        weight_copy_panel(chunk->count, rows, source, n, column, vectors * MTLI_LANES, columns);
        for (int64_t panel = chunk->panel_begin; panel < chunk->panel_end; panel++) {
            const mtli_real *dgates = weight_gates(chunk, panel);
            /* While the last columns pass, each tile fetches one line of each token of the next
             * chunk. */
            int64_t next = n - column <= MTLI_PANEL ? WEIGHT_CHUNK * MTLI_PANEL : 0;
            for (int gate = 0, m; gate < MTLI_PANEL; gate += m, next += line) {
                uintptr_t ahead = (uintptr_t)dgates + (uintptr_t)next * sizeof *dgates;
                m = tile_rows(MTLI_PANEL - gate);
                MTLI_BY_VECTORS(vectors,
                                MTLI_BY_ROWS(m, weight_tile(M, V, chunk, panel * MTLI_LANES, gate,
                                                            dgates, ahead, columns, dw, n, column)))
            }
        }
    }
}

static void weight_chunk_bias(const weight_chunk *chunk, int64_t panel, mtli_real *db)
{
    int64_t hidden = chunk->args->shape.hidden;
    int64_t unit = panel * MTLI_LANES;
    const mtli_real *dgates = weight_gates(chunk, panel);
    v_real sums[MTLI_VECTORS] = {v_zero(), v_zero(), v_zero(), v_zero()};
    for (int64_t k = 0; k < chunk->count; k++) {
        MTLI_UNROLL(4)
        for (int gate = 0; gate < MTLI_VECTORS; gate++)
            sums[gate] += v_load(dgates + chunk->gates_at[k] + gate * MTLI_LANES);
    }
    for (int gate = 0; gate < MTLI_VECTORS; gate++) {
        mtli_real *out = db + gate * hidden + unit;
        if (chunk->accumulate)
            sums[gate] += v_load_first(out, hidden - unit);
        v_store_first(out, sums[gate], hidden - unit);
    }
}

/* All chunks of tokens for one group of panels. */
static void weight_panels(const mtli_lstm_weights *args, int64_t panel_begin, int64_t panel_end)
{
    int64_t tokens = args->tokens ? args->token_count : shape_tokens(&args->shape);
    weight_chunk chunk = {
        .args = args,
        .panel_begin = panel_begin,
        .panel_end = panel_end,
        .accumulate = args->accumulate,
    };
    int64_t begin = 0, step = 0;
    do {
        chunk.count = tokens - begin < WEIGHT_CHUNK ? tokens - begin : WEIGHT_CHUNK;
        step = weight_chunk_tokens(&chunk, begin, step);
        if (args->dw_ih)
            weight_chunk_product(&chunk, chunk.token, args->x, args->shape.input, args->dw_ih);
        if (args->dw_hh)
            weight_chunk_product(&chunk, chunk.previous, args->h, args->shape.hidden, args->dw_hh);
        for (int64_t panel = panel_begin; args->db && panel < panel_end; panel++)
            weight_chunk_bias(&chunk, panel, args->db);
        chunk.accumulate = 1;
        begin += WEIGHT_CHUNK;
    } while (begin < tokens); /* once even without tokens: overwriting writes zeros */
}

static void lstm_weight_gradient(const mtli_lstm_weights *args, int64_t panel_begin,
                                 int64_t panel_end)
{
    for (int64_t panel = panel_begin; panel < panel_end; panel += WEIGHT_PANELS)
        weight_panels(args, panel,
                      panel_end - panel < WEIGHT_PANELS ? panel_end : panel + WEIGHT_PANELS);
}
