/* SPDX-License-Identifier: Apache-2.0
 * The register tile that all products share: a few rows by up to four vectors of columns.
 *
 * Each element of a tile is one chain of fused multiply-adds in the order of k, whatever the height
 * and width of the tile; that is what makes results independent of how rows are split. */

/* Rows of the largest tile: 4 vectors a row must fit the registers beside 4 of B and one of A. */
#if MTLI_VECTOR_BYTES == 64 || defined(__aarch64__)
#define MTLI_ROWS 6
#else
#define MTLI_ROWS 3
#endif
#define MTLI_VECTORS 4
/* Columns of a full panel. */
#define MTLI_PANEL (MTLI_VECTORS * MTLI_LANES)

/* Calls the statement with the constant M equal to rows, or V equal to vectors. */
#define MTLI_CASE(name, value, call)                                                               \
    {                                                                                              \
        enum { name = value };                                                                     \
        call;                                                                                      \
        break;                                                                                     \
    }
#if MTLI_ROWS == 6
#define MTLI_BY_ROWS(rows, call)                                                                   \
    switch (rows) {                                                                                \
    case 6:                                                                                        \
        MTLI_CASE(M, 6, call)                                                                      \
    case 5:                                                                                        \
        MTLI_CASE(M, 5, call)                                                                      \
    case 4:                                                                                        \
        MTLI_CASE(M, 4, call)                                                                      \
    case 3:                                                                                        \
        MTLI_CASE(M, 3, call)                                                                      \
    case 2:                                                                                        \
        MTLI_CASE(M, 2, call)                                                                      \
    default:                                                                                       \
        MTLI_CASE(M, 1, call)                                                                      \
    }
#else
#define MTLI_BY_ROWS(rows, call)                                                                   \
    switch (rows) {                                                                                \
    case 3:                                                                                        \
        MTLI_CASE(M, 3, call)                                                                      \
    case 2:                                                                                        \
        MTLI_CASE(M, 2, call)                                                                      \
    default:                                                                                       \
        MTLI_CASE(M, 1, call)                                                                      \
    }
#endif
#define MTLI_BY_VECTORS(vectors, call)                                                             \
    switch (vectors) {                                                                             \
    case 4:                                                                                        \
        MTLI_CASE(V, 4, call)                                                                      \
    case 3:                                                                                        \
        MTLI_CASE(V, 3, call)                                                                      \
    case 2:                                                                                        \
        MTLI_CASE(V, 2, call)                                                                      \
    default:                                                                                       \
        MTLI_CASE(V, 1, call)                                                                      \
    }

/* Height of the next tile when `left` rows remain: tiles of nearly equal height, since a tile of
 * one row costs almost as much as a full one. */
MTLI_INLINE int tile_rows(int64_t left)
{
    int64_t tiles = (left + MTLI_ROWS - 1) / MTLI_ROWS;
    return (int)((left + tiles - 1) / tiles);
}

/* Vectors of the panel that starts with `left` columns to go. */
MTLI_INLINE int panel_vectors(int64_t left)
{
    return left >= MTLI_PANEL ? MTLI_VECTORS : (int)((left + MTLI_LANES - 1) / MTLI_LANES);
}

/* n columns, rounded up to whole vectors: the width of all panels of a packed matrix together. */
MTLI_INLINE int64_t padded_columns(int64_t n)
{
    return (n + MTLI_LANES - 1) / MTLI_LANES * MTLI_LANES;
}

MTLI_INLINE void tile_zero(const int m, const int vectors, v_real acc[MTLI_ROWS][MTLI_VECTORS])
{
    MTLI_UNROLL(6)
    for (int i = 0; i < m; i++) {
        MTLI_UNROLL(4)
        for (int j = 0; j < vectors; j++)
            acc[i][j] = v_zero();
    }
}

/* acc[i] += sum over k of a[i * a_row + k * a_k] * b[k * b_row ...] */
MTLI_INLINE void tile_multiply(const int m, const int vectors, int64_t depth, const mtli_real *a,
                               int64_t a_row, int64_t a_k, const mtli_real *b, int64_t b_row,
                               v_real acc[MTLI_ROWS][MTLI_VECTORS])
{
    for (int64_t k = 0; k < depth; k++) {
        v_real columns[MTLI_VECTORS];
        MTLI_UNROLL(4)
        for (int j = 0; j < vectors; j++)
            columns[j] = v_load(b + k * b_row + j * MTLI_LANES);
        MTLI_UNROLL(6)
        for (int i = 0; i < m; i++) {
            v_real row = v_set1(a[i * a_row + k * a_k]);
            MTLI_UNROLL(4)
            for (int j = 0; j < vectors; j++)
                acc[i][j] = v_fma(row, columns[j], acc[i][j]);
        }
    }
}

/* Writes the tile to c, or adds it, keeping to n <= all of its columns. */
MTLI_INLINE void tile_write(const int m, const int vectors, v_real acc[MTLI_ROWS][MTLI_VECTORS],
                            mtli_real *c, int64_t c_row, int64_t n, int accumulate)
{
    MTLI_UNROLL(6)
    for (int i = 0; i < m; i++, c += c_row) {
        MTLI_UNROLL(4)
        for (int j = 0; j < vectors; j++) {
            /* All vectors of a panel but the last are whole. */
            int64_t lanes = j < vectors - 1 ? MTLI_LANES : n - j * MTLI_LANES;
            v_real v = acc[i][j];
            if (accumulate)
                v += v_load_first(c + j * MTLI_LANES, lanes);
            v_store_first(c + j * MTLI_LANES, v, lanes);
        }
    }
}
