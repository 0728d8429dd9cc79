/* SPDX-License-Identifier: Apache-2.0
 * One step of a truncated factorization, by the eigenvectors of the Gram matrix of the short side. Sums in double. */
#include "sharing/truncate.h"

#include <math.h>
#include <string.h>

#include "linalg/gram.h"
#include "linalg/symmetric.h"

enum { COLUMNS_AT_ONCE = 256, VECTORS_AT_ONCE = 4, ROWS_AT_ONCE = 64 };

/* How many directions stay. Eigenvalues that are 0 come out as small numbers of both signs, whose sum is nearer to 0
 * than that of the positive ones: so they are added as they are. */
static int64_t choose_rank(const mtli_truncation *truncation, const double *eigenvalues, int64_t count, double *squares)
{
    double share = truncation->budget / truncation->left;
    double discarded = 0;
    int64_t limit = truncation->max_rank > 0 && truncation->max_rank < count ? truncation->max_rank : count;
    int64_t rank = count;
    while (rank > 1 && !truncation->full && discarded + eigenvalues[rank - 1] <= share) {
        discarded += eigenvalues[--rank];
    }
    while (rank > limit) {
        discarded += eigenvalues[--rank];
    }
    *squares = discarded > 0 ? discarded : 0;
    return rank;
}

/* Whether U and R together have as many values as X, or more. */
static bool saves_nothing(int64_t rows, int64_t columns, int64_t rank)
{
    return (double)rank * ((double)rows + (double)columns) >= (double)rows * (double)columns;
}

/* The rank of this step; what it discards is written down. */
static int64_t settle_rank(mtli_truncation *truncation, const double *eigenvalues, int64_t rows, int64_t columns,
                           bool optional)
{
    double discarded = 0;
    bool may_stay = optional && (truncation->max_rank == 0 || rows <= truncation->max_rank);
    int64_t rank = choose_rank(truncation, eigenvalues, rows <= columns ? rows : columns, &discarded);
    truncation->left--;
    if (may_stay && saves_nothing(rows, columns, rank)) {
        return rows;
    }
    truncation->used += discarded;
    truncation->budget = truncation->budget > discarded ? truncation->budget - discarded : 0;
    return rank;
}

typedef struct projection {
    int64_t rows, columns; /* of x */
    int64_t rank;
    const mtli_real *x;
    const double *v; /* [rank, short side]: a vector in each row */
    mtli_real *r;    /* rows <= columns */
    double *turned;  /* rows > columns: v as [columns, rank] */
    double *xv;      /* likewise: [rows, rank] */
} projection;

/* r = V X, for a block of its columns: some vectors at once over all rows of x. */
static void project_block(const projection *p, int64_t first, int64_t width, int64_t k, int64_t vectors)
{
    double sums[VECTORS_AT_ONCE][COLUMNS_AT_ONCE];
    memset(sums, 0, sizeof sums);
    for (int64_t i = 0; i < p->rows; i++) {
        const mtli_real *x = p->x + i * p->columns + first;
        for (int64_t l = 0; l < vectors; l++) {
            double factor = p->v[(k + l) * p->rows + i];
            double *restrict sum = sums[l];
            for (int64_t j = 0; j < width; j++) {
                sum[j] += factor * (double)x[j];
            }
        }
    }
    for (int64_t l = 0; l < vectors; l++) {
        for (int64_t j = 0; j < width; j++) {
            p->r[(k + l) * p->columns + first + j] = (mtli_real)sums[l][j];
        }
    }
}

static void project_columns(void *argument, int32_t piece)
{
    const projection *p = argument;
    int64_t first = (int64_t)piece * COLUMNS_AT_ONCE;
    int64_t width = p->columns - first < COLUMNS_AT_ONCE ? p->columns - first : COLUMNS_AT_ONCE;
    for (int64_t k = 0; k < p->rank; k += VECTORS_AT_ONCE) {
        int64_t vectors = p->rank - k < VECTORS_AT_ONCE ? p->rank - k : VECTORS_AT_ONCE;
        project_block(p, first, width, k, vectors);
    }
}

/* xv = X Vᵀ, for some rows. */
static void multiply_rows(void *argument, int32_t piece)
{
    const projection *p = argument;
    int64_t first = (int64_t)piece * ROWS_AT_ONCE;
    int64_t end = first + ROWS_AT_ONCE < p->rows ? first + ROWS_AT_ONCE : p->rows;
    for (int64_t i = first; i < end; i++) {
        double *restrict sum = p->xv + i * p->rank;
        memset(sum, 0, (size_t)p->rank * sizeof sum[0]);
        for (int64_t j = 0; j < p->columns; j++) {
            const double *v = p->turned + j * p->rank;
            double factor = (double)p->x[i * p->columns + j];
            for (int64_t k = 0; k < p->rank; k++) {
                sum[k] += factor * v[k];
            }
        }
    }
}

static mtl_status run_pieces(mtl_context *context, int64_t n, int64_t size, mtl_parallel_body body, projection *p)
{
    int64_t pieces = (n + size - 1) / size;
    if (pieces > INT32_MAX) {
        return mtli_fail(context, MTL_ERROR_LIMIT, "a stack of weights is too large");
    }
    mtli_parallel_for(context, (int32_t)pieces, body, p);
    return MTL_OK;
}

/* The vectors are of the left side: U has them as its columns, R = Uᵀ X. */
static mtl_status project_left(mtli_truncation *truncation, projection *p, mtli_real *u)
{
    for (int64_t i = 0; i < p->rows; i++) {
        for (int64_t k = 0; k < p->rank; k++) {
            u[i * p->rank + k] = (mtli_real)p->v[k * p->rows + i];
        }
    }
    return run_pieces(truncation->context, p->columns, COLUMNS_AT_ONCE, project_columns, p);
}

/* The vectors are of the right side: U = X Vᵀ with columns of length 1, and R has V's rows with the lengths. */
static mtl_status project_right(mtli_truncation *truncation, projection *p, mtli_real *u)
{
    size_t size = (size_t)p->rank * sizeof(double);
    p->xv = mtli_arena_take_array(&truncation->scratch, (size_t)p->rows, size);
    p->turned = p->xv ? mtli_arena_take_array(&truncation->scratch, (size_t)p->columns, size) : NULL;
    if (!p->turned) {
        return truncation->context->status;
    }
    for (int64_t k = 0; k < p->rank; k++) {
        for (int64_t j = 0; j < p->columns; j++) {
            p->turned[j * p->rank + k] = p->v[k * p->columns + j];
        }
    }
    mtl_status status = run_pieces(truncation->context, p->rows, ROWS_AT_ONCE, multiply_rows, p);
    for (int64_t k = 0; k < p->rank && status == MTL_OK; k++) {
        double squares = 0;
        for (int64_t i = 0; i < p->rows; i++) {
            squares += p->xv[i * p->rank + k] * p->xv[i * p->rank + k];
        }
        double length = sqrt(squares);
        for (int64_t i = 0; i < p->rows; i++) {
            /* A direction that is not there: any unit vector, so that training can find a use for it. */
            double value = length > 0 ? p->xv[i * p->rank + k] / length : i == k ? 1 : 0;
            u[i * p->rank + k] = (mtli_real)value;
        }
        for (int64_t j = 0; j < p->columns; j++) {
            p->r[k * p->columns + j] = (mtli_real)(length * p->v[k * p->columns + j]);
        }
    }
    return status;
}

/* The eigenvectors of the Gram matrix of the short side, in the rows of the result, and its eigenvalues. */
static mtl_status find_directions(mtli_truncation *truncation, int64_t rows, int64_t columns, const mtli_real *x,
                                  double **vectors, double **eigenvalues)
{
    int64_t side = rows <= columns ? rows : columns;
    mtli_arena *scratch = &truncation->scratch;
    *vectors = mtli_arena_take_array(scratch, (size_t)side, (size_t)side * sizeof **vectors);
    *eigenvalues = *vectors ? mtli_arena_take_array(scratch, (size_t)side, sizeof **eigenvalues) : NULL;
    double *work = *eigenvalues ? mtli_arena_take_array(scratch, mtli_symmetric_work(side), sizeof *work) : NULL;
    if (!work) {
        return truncation->context->status;
    }
    mtli_gram_matrix(truncation->context, rows > columns, rows, columns, x, *vectors);
    return mtli_symmetric_eigen(side, *vectors, *eigenvalues, work)
               ? MTL_OK
               : mtli_fail(truncation->context, MTL_ERROR_NUMERIC,
                           "the weights '%.128s': the eigen-solver does not converge", truncation->name);
}

static mtl_status truncate_in_scratch(mtli_truncation *truncation, int64_t rows, int64_t columns, const mtli_real *x,
                                      bool optional, mtli_real *r, mtli_real **u, int64_t *rank)
{
    double *vectors = NULL;
    double *eigenvalues = NULL;
    mtl_status status = find_directions(truncation, rows, columns, x, &vectors, &eigenvalues);
    if (status != MTL_OK) {
        return status;
    }
    *rank = settle_rank(truncation, eigenvalues, rows, columns, optional);
    *u = NULL;
    if (optional && *rank == rows) {
        return MTL_OK;
    }
    *u = mtli_arena_take_array(truncation->result, (size_t)rows, (size_t)*rank * sizeof **u);
    if (!*u) {
        return truncation->context->status;
    }
    projection p = {.rows = rows, .columns = columns, .rank = *rank, .x = x, .v = vectors, .r = r};
    return rows <= columns ? project_left(truncation, &p, *u) : project_right(truncation, &p, *u);
}

mtl_status mtli_truncate(mtli_truncation *truncation, int64_t rows, int64_t columns, const mtli_real *x, bool optional,
                         mtli_real *r, mtli_real **u, int64_t *rank)
{
    mtli_arena_mark mark = mtli_arena_save(&truncation->scratch);
    mtl_status status = truncate_in_scratch(truncation, rows, columns, x, optional, r, u, rank);
    mtli_arena_rewind(&truncation->scratch, mark);
    return status;
}
