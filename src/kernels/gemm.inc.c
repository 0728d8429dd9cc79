/* SPDX-License-Identifier: Apache-2.0
 * Matrix products with a packed right-hand side: [k, n] as panels of up to four vectors of columns,
 * each panel [k][width], columns padded with zeros to whole vectors. */

/* Depth of a chunk: a strip of A (one tile high) fits L1, and a group of panels (512 KiB of float
 * at AVX-512, 256 KiB at AVX2) fits L2. */
#define GEMM_DEPTH 256
#define GEMM_GROUP (8 * MTLI_PANEL)
/* Rows of A that are copied together when A is transposed: whole tiles, 24 KiB of float. */
#define GEMM_STRIPS 24

static int64_t gemm_packed_size(int64_t k, int64_t n)
{
    return k * padded_columns(n);
}

static void pack_panel(int transposed, int64_t k, int64_t columns, int64_t width,
                       const mtli_real *b, int64_t ldb, mtli_real *panel)
{
    if (!transposed) {
        for (int64_t i = 0; i < k; i++, panel += width) {
            memcpy(panel, b + i * ldb, (size_t)columns * sizeof *b);
            for (int64_t j = columns; j < width; j++)
                panel[j] = 0;
        }
        return;
    }
    /* Few rows of the panel at a time, so that both sides stay in L1. */
    for (int64_t begin = 0; begin < k; begin += 16) {
        int64_t end = begin + 16 < k ? begin + 16 : k;
        for (int64_t j = 0; j < width; j++)
            for (int64_t i = begin; i < end; i++)
                panel[i * width + j] = j < columns ? b[j * ldb + i] : 0;
    }
}

static void gemm_pack_b(int transposed_b, int64_t k, int64_t n, const mtli_real *b, int64_t ldb,
                        mtli_real *packed)
{
    for (int64_t column = 0; column < n; column += MTLI_PANEL) {
        int64_t left = n - column;
        pack_panel(transposed_b, k, left < MTLI_PANEL ? left : MTLI_PANEL,
                   panel_vectors(left) * MTLI_LANES, transposed_b ? b + column * ldb : b + column,
                   ldb, packed + column * k);
    }
}

/* One chunk of the depth for one group of panels. */
typedef struct gemm_chunk {
    int64_t k_begin, depth, k; /* k: of the whole product, which places the panels */
    int64_t column, column_end, n;
    const mtli_real *packed;
    mtli_real *c;
    int64_t ldc;
    int accumulate;
} gemm_chunk;

/* m rows of C from a strip of A; a_k is a constant where this is called. */
MTLI_INLINE void gemm_strip(const int m, const gemm_chunk *g, int64_t row, const mtli_real *a,
                            int64_t a_row, int64_t a_k, int64_t column)
{
    int vectors = panel_vectors(g->n - column);
    const mtli_real *b = g->packed + column * g->k + g->k_begin * vectors * MTLI_LANES;
    mtli_real *c = g->c + row * g->ldc + column;
    v_real acc[MTLI_ROWS][MTLI_VECTORS];
    MTLI_BY_VECTORS(vectors, {
        tile_zero(m, V, acc);
        tile_multiply(m, V, g->depth, a, a_row, a_k, b, V * MTLI_LANES, acc);
        tile_write(m, V, acc, c, g->ldc, g->n - column, g->accumulate);
    })
}

MTLI_INLINE void gemm_rows(const gemm_chunk *g, int64_t row, int64_t row_end, const mtli_real *a,
                           int64_t a_row, int64_t a_k)
{
    while (row < row_end) {
        int m = tile_rows(row_end - row);
        for (int64_t column = g->column; column < g->column_end; column += MTLI_PANEL)
            MTLI_BY_ROWS(m, gemm_strip(M, g, row, a, a_row, a_k, column))
        row += m;
        a += m * a_row;
    }
}

/* A transposed: a few strips are copied to the stack, since each of their elements lies in a row of
 * its own, often a page of its own, and is needed for every panel. */
static void gemm_rows_transposed(const gemm_chunk *g, int64_t row, int64_t row_end,
                                 const mtli_real *a, int64_t lda)
{
    mtli_real strips[GEMM_DEPTH * GEMM_STRIPS];
    for (; row < row_end; row += GEMM_STRIPS) {
        int64_t end = row + GEMM_STRIPS < row_end ? row + GEMM_STRIPS : row_end;
        const mtli_real *from = a + g->k_begin * lda + row;
        if (end - row == GEMM_STRIPS)
            for (int64_t k = 0; k < g->depth; k++)
                memcpy(strips + k * GEMM_STRIPS, from + k * lda, GEMM_STRIPS * sizeof *a);
        else
            for (int64_t k = 0; k < g->depth; k++)
                for (int64_t i = 0; i < end - row; i++)
                    strips[k * GEMM_STRIPS + i] = from[k * lda + i];
        gemm_rows(g, row, end, strips, 1, GEMM_STRIPS);
    }
}

static void gemm_packed(int transposed_a, int64_t row_begin, int64_t row_end, int64_t n, int64_t k,
                        const mtli_real *a, int64_t lda, const mtli_real *packed, mtli_real *c,
                        int64_t ldc, int accumulate)
{
    if (k == 0 && !accumulate) {
        for (int64_t row = row_begin; row < row_end; row++)
            for (int64_t j = 0; j < n; j++)
                c[row * ldc + j] = 0;
    }
    gemm_chunk g = {.k = k, .n = n, .packed = packed, .c = c, .ldc = ldc};
    for (g.column = 0; g.column < n; g.column += GEMM_GROUP) {
        g.column_end = n - g.column < GEMM_GROUP ? n : g.column + GEMM_GROUP;
        for (g.k_begin = 0; g.k_begin < k; g.k_begin += GEMM_DEPTH) {
            g.depth = k - g.k_begin < GEMM_DEPTH ? k - g.k_begin : GEMM_DEPTH;
            g.accumulate = accumulate || g.k_begin > 0;
            if (transposed_a)
                gemm_rows_transposed(&g, row_begin, row_end, a, lda);
            else
                gemm_rows(&g, row_begin, row_end, a + row_begin * lda + g.k_begin, lda, 1);
        }
    }
}
