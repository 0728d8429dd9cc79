/* SPDX-License-Identifier: Apache-2.0
 * Inner products of all pairs, in double. Work is cut by pairs of blocks of vectors and, where there are few vectors,
 * by ranges of values: both depend on the sizes only. */
#include "linalg/gram.h"

#include <string.h>

#include "base/float_mode.h"
#include "linalg/sheet.h"

enum {
    GRAM_BLOCK = 64,                /* vectors of a block */
    GRAM_DEPTH = 32,                /* values at a time: a buffer of the largest block takes 16 KiB */
    GRAM_FEW = MTLI_PRODUCTS_PAIRS, /* up to here vectors, */
    GRAM_FEW_VALUES = GRAM_FEW / 2, /* and up to here columns, are one block, and ranges of values go to threads */
    GRAM_RANGES = 8,                /* at most */
    GRAM_SUMS = 4096,               /* doubles of the sums of all ranges, on the stack */
    GRAM_RANGE = 4096,              /* values of a range, at least */
    GRAM_VALUES = 4096              /* doubles of a buffer that stays in the first-level cache */
};

typedef struct gram_job {
    const mtli_products *products;
    const mtli_sheet *x;
    int64_t block;
    int64_t blocks;
    int64_t range; /* values */
    double *g;
    double *sums; /* of the ranges, [ranges][count * count] */
} gram_job;

/* ---- one block against another ---- */

typedef struct gram_buffers {
    _Alignas(MTLI_ALIGNMENT) double left[GRAM_BLOCK * GRAM_DEPTH];
    double right[GRAM_BLOCK * GRAM_DEPTH];
    double packed[GRAM_BLOCK * GRAM_DEPTH];
} gram_buffers;

/* c [rows of `left`, of `right`] = Σ over the values [begin, end). */
static void multiply_blocks(const gram_job *job, int64_t left, int64_t right, int64_t begin, int64_t end, double *c,
                            int64_t ldc)
{
    gram_buffers buffers;
    const mtli_sheet *x = job->x;
    bool by_vectors = mtli_sheet_by_vectors(x);
    int64_t m = left + job->block < x->count ? job->block : x->count - left;
    int64_t n = right + job->block < x->count ? job->block : x->count - right;
    for (int64_t k = begin; k < end; k += GRAM_DEPTH) {
        int64_t depth = k + GRAM_DEPTH < end ? GRAM_DEPTH : end - k;
        const double *of_right = buffers.left;
        mtli_sheet_load(job->products, x, left, m, k, depth, buffers.left);
        if (right != left) {
            mtli_sheet_load(job->products, x, right, n, k, depth, buffers.right);
            of_right = buffers.right;
        }
        job->products->pack_b(by_vectors, depth, n, of_right, by_vectors ? depth : n, buffers.packed);
        job->products->multiply(!by_vectors, 0, m, n, depth, buffers.left, by_vectors ? depth : m, buffers.packed, c,
                                ldc, k > begin);
    }
}

/* The pair of blocks number `index` among (0, 0), (0, 1), .., (1, 1), ..: it and its mirror image. */
static void gram_of_pair(void *argument, int32_t index)
{
    const gram_job *job = argument;
    int64_t count = job->x->count;
    int64_t row = 0;
    int64_t column = index;
    while (column >= job->blocks - row) {
        column -= job->blocks - row;
        row++;
    }
    int64_t left = row * job->block;
    int64_t right = (row + column) * job->block;
    multiply_blocks(job, left, right, 0, job->x->n, job->g + left * count + right, count);
    for (int64_t i = left; i < left + job->block && i < count; i++) {
        for (int64_t j = right; j < right + job->block && j < count; j++) {
            job->g[j * count + i] = job->g[i * count + j];
        }
    }
}

/* ---- few vectors ---- */

static void dots_of_range(const gram_job *job, int64_t begin, int64_t end, double *sums)
{
    _Alignas(MTLI_ALIGNMENT) double values[GRAM_VALUES]; /* a vector that crosses cache lines costs two loads */
    _Alignas(MTLI_ALIGNMENT) double partial[MTLI_PRODUCTS_PAIRS_SIZE];
    int64_t count = job->x->count;
    int64_t depth = GRAM_VALUES / count / 8 * 8;
    memset(partial, 0, (size_t)job->products->pairs_size(count) * sizeof partial[0]);
    for (int64_t k = begin; k < end; k += depth) {
        int64_t n = k + depth < end ? depth : end - k;
        mtli_sheet_load(job->products, job->x, 0, count, k, n, values);
        job->products->pairs_add(count, n, values, partial);
    }
    job->products->pairs_read(count, partial, sums);
}

static void gram_of_range(void *argument, int32_t index)
{
    const gram_job *job = argument;
    int64_t count = job->x->count;
    int64_t begin = index * job->range;
    int64_t end = begin + job->range < job->x->n ? begin + job->range : job->x->n;
    double *sums = job->sums + index * count * count;
    if (mtli_sheet_by_vectors(job->x)) {
        dots_of_range(job, begin, end, sums);
    } else {
        multiply_blocks(job, 0, 0, begin, end, sums, count);
    }
}

static void gram_of_few(mtl_context *context, gram_job *job)
{
    double sums[GRAM_SUMS];
    int64_t count = job->x->count;
    int64_t most = GRAM_SUMS / (count * count);
    int64_t ranges = (job->x->n + GRAM_RANGE - 1) / GRAM_RANGE;
    most = most > GRAM_RANGES ? GRAM_RANGES : most;
    ranges = ranges > most ? most : ranges;
    job->range = (job->x->n + ranges - 1) / ranges;
    ranges = (job->x->n + job->range - 1) / job->range;
    job->block = GRAM_BLOCK;
    job->sums = sums;
    mtli_parallel_for(context, (int32_t)ranges, gram_of_range, job);
    for (int64_t i = 0; i < count; i++) {
        for (int64_t j = i; j < count; j++) {
            double sum = 0;
            for (int64_t range = 0; range < ranges; range++) {
                sum += sums[(range * count + i) * count + j];
            }
            job->g[i * count + j] = sum;
            job->g[j * count + i] = sum;
        }
    }
}

/* ---- both ---- */

/* Vectors of a block: so many that threads have something to share. */
static int64_t block_for(int64_t count)
{
    return count > 96 ? GRAM_BLOCK : count > 32 ? GRAM_BLOCK / 2 : GRAM_BLOCK / 4;
}

static void gram_of_sheet(mtl_context *context, const mtli_sheet *x, double *g)
{
    if (x->count == 0 || x->n == 0) {
        memset(g, 0, (size_t)(x->count * x->count) * sizeof g[0]);
        return;
    }
    mtli_float_mode mode = mtli_float_mode_enter();
    gram_job job = {.products = mtli_products_of(context), .x = x, .g = g, .block = block_for(x->count)};
    if (x->count <= (mtli_sheet_by_vectors(x) ? GRAM_FEW : GRAM_FEW_VALUES)) {
        gram_of_few(context, &job);
    } else {
        job.blocks = (x->count + job.block - 1) / job.block;
        mtli_parallel_for(context, (int32_t)(job.blocks * (job.blocks + 1) / 2), gram_of_pair, &job);
    }
    mtli_float_mode_leave(mode);
}

void mtli_gram_vectors(mtl_context *context, int32_t count, int64_t n, const mtli_real *const *x, double *g)
{
    mtli_sheet sheet = {.count = count, .n = n, .vectors = x, .value_stride = 1};
    gram_of_sheet(context, &sheet, g);
}

void mtli_gram_matrix(mtl_context *context, bool of_columns, int64_t rows, int64_t columns, const mtli_real *a,
                      double *g)
{
    mtli_sheet by_columns = {.count = columns, .n = rows, .base = a, .vector_stride = 1, .value_stride = columns};
    mtli_sheet by_rows = {.count = rows, .n = columns, .base = a, .vector_stride = columns, .value_stride = 1};
    gram_of_sheet(context, of_columns ? &by_columns : &by_rows, g);
}

/* Four partial sums, so that the compiler vectorizes without changing the order. */
static double dot_of_doubles(int64_t n, const double *x, const double *y)
{
    double lane[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        for (int k = 0; k < 4; k++) {
            lane[k] += x[i + k] * y[i + k];
        }
    }
    for (int k = 0; i + k < n; k++) {
        lane[k] += x[i + k] * y[i + k];
    }
    return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}

void mtli_gram_vectors_double(int32_t count, int64_t n, const double *const *x, double *g)
{
    for (int64_t i = 0; i < count; i++) {
        for (int64_t j = i; j < count; j++) {
            double sum = dot_of_doubles(n, x[i], x[j]);
            g[i * count + j] = sum;
            g[j * count + i] = sum;
        }
    }
}
