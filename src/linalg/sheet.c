/* SPDX-License-Identifier: Apache-2.0
 * Strips of a matrix, as doubles, in and out. */
#include "linalg/sheet.h"

#include <mtl/context.h>

enum {
    STRIP_SLOTS = 16,    /* buffers, hence threads at most */
    STRIP_VALUES = 4096, /* of all vectors in one strip, about: 32 KiB of doubles */
    STRIP_LEAST = 32,    /* values of one vector */
    STRIP_MOST = 1024
};

const mtli_products *mtli_products_of(const mtl_context *context)
{
    return mtli_products_get(context->isa - MTL_ISA_BASELINE);
}

mtli_sheet mtli_sheet_of_matrix(int64_t rows, int64_t columns, const mtli_real *a)
{
    if (rows >= columns) {
        return (mtli_sheet){.count = columns, .n = rows, .base = a, .vector_stride = 1, .value_stride = columns};
    }
    return (mtli_sheet){.count = rows, .n = columns, .base = a, .vector_stride = columns, .value_stride = 1};
}

mtli_sheet_out mtli_sheet_out_of_matrix(int64_t rows, int64_t columns, mtli_real *a)
{
    bool tall = rows >= columns;
    return (mtli_sheet_out){.base = a, .vector_stride = tall ? 1 : columns, .value_stride = tall ? columns : 1};
}

static const mtli_real *sheet_vector(const mtli_sheet *sheet, int64_t t)
{
    return sheet->vectors ? sheet->vectors[t] : sheet->base + t * sheet->vector_stride;
}

void mtli_sheet_load(const mtli_products *products, const mtli_sheet *sheet, int64_t t, int64_t count, int64_t k,
                     int64_t n, double *out)
{
    if (mtli_sheet_by_vectors(sheet)) {
        for (int64_t j = 0; j < count; j++) {
            products->widen(n, sheet_vector(sheet, t + j) + k, out + j * n);
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        products->widen(count, sheet->base + (k + i) * sheet->value_stride + t, out + i * count);
    }
}

/* ---- products with the short side ---- */

static int64_t strip_width(int64_t count)
{
    int64_t width = count > 0 ? STRIP_VALUES / count : STRIP_MOST;
    width = width < STRIP_LEAST ? STRIP_LEAST : width;
    return width > STRIP_MOST ? STRIP_MOST : width;
}

typedef struct sheet_job {
    const mtli_products *products;
    const mtli_sheet *x;
    const mtli_sheet_out *out;
    const double *m;
    double *packed_m; /* for sheets by values */
    double *slots;
    size_t slot;
    int64_t width;
    int64_t strips;
    int32_t num_slots;
} sheet_job;

/* Three buffers of a strip: what goes in, the same packed, what comes out. */
static size_t slot_size(int64_t count)
{
    size_t values = (size_t)count * (size_t)(strip_width(count) + MTLI_PRODUCTS_ALIGNED);
    return 3 * ((values + 7) / 8 * 8); /* whole cache lines */
}

static size_t packed_square(int64_t count)
{
    return (size_t)count * (size_t)(count + MTLI_PRODUCTS_ALIGNED);
}

size_t mtli_sheet_work(int64_t count)
{
    return STRIP_SLOTS * slot_size(count) + packed_square(count);
}

static void put_values(const sheet_job *job, int64_t n, const double *from, mtli_real *to)
{
    if (!job->out->add) {
        job->products->narrow(n, from, to);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        to[i] = (mtli_real)((double)to[i] + job->out->scale * from[i]);
    }
}

static bool out_by_vectors(const mtli_sheet_out *out)
{
    return out->vectors || out->value_stride == 1;
}

/* n doubles that lie `stride` apart, side by side: themselves, or a copy in `line`. */
static const double *side_by_side(int64_t n, const double *from, int64_t stride, double *line)
{
    if (stride == 1) {
        return from;
    }
    for (int64_t i = 0; i < n; i++) {
        line[i] = from[i * stride];
    }
    return line;
}

/* Value k of vector t of the result lies at result[t * vector_stride + k * value_stride]; line has room for a vector or
 * a row of the strip. */
static void put_vectors(const sheet_job *job, int64_t begin, int64_t n, const double *result, int64_t vector_stride,
                        int64_t value_stride, double *line)
{
    for (int64_t t = 0; t < job->x->count; t++) {
        mtli_real *to = job->out->vectors ? job->out->vectors[t] : job->out->base + t * job->out->vector_stride;
        put_values(job, n, side_by_side(n, result + t * vector_stride, value_stride, line), to + begin);
    }
}

static void put_rows(const sheet_job *job, int64_t begin, int64_t n, const double *result, int64_t value_stride,
                     int64_t vector_stride, double *line)
{
    int64_t count = job->x->count;
    for (int64_t k = 0; k < n; k++) {
        put_values(job, count, side_by_side(count, result + k * value_stride, vector_stride, line),
                   job->out->base + (begin + k) * job->out->value_stride);
    }
}

static void strip_by_vectors(const sheet_job *job, int64_t begin, int64_t n, double *in, double *packed, double *result)
{
    int64_t count = job->x->count;
    mtli_sheet_load(job->products, job->x, 0, count, begin, n, in);
    job->products->pack_b(0, count, n, in, n, packed);
    job->products->multiply(0, 0, count, n, count, job->m, count, packed, result, n, 0);
    if (out_by_vectors(job->out)) {
        put_vectors(job, begin, n, result, n, 1, in);
    } else {
        put_rows(job, begin, n, result, 1, n, in);
    }
}

static void strip_by_values(const sheet_job *job, int64_t begin, int64_t n, double *in, double *result)
{
    int64_t count = job->x->count;
    mtli_sheet_load(job->products, job->x, 0, count, begin, n, in);
    job->products->multiply(0, 0, n, count, count, in, count, job->packed_m, result, count, 0);
    if (out_by_vectors(job->out)) {
        put_vectors(job, begin, n, result, 1, count, in);
    } else {
        put_rows(job, begin, n, result, count, 1, in);
    }
}

/* Every num_slots-th strip, in one slot's buffers. */
static void transform_strips(void *argument, int32_t index)
{
    const sheet_job *job = argument;
    size_t third = job->slot / 3;
    double *in = job->slots + (size_t)index * job->slot;
    for (int64_t strip = index; strip < job->strips; strip += job->num_slots) {
        int64_t begin = strip * job->width;
        int64_t n = begin + job->width < job->x->n ? job->width : job->x->n - begin;
        if (job->packed_m) {
            strip_by_values(job, begin, n, in, in + third);
        } else {
            strip_by_vectors(job, begin, n, in, in + third, in + 2 * third);
        }
    }
}

void mtli_sheet_transform(mtl_context *context, const mtli_sheet *x, const double *m, const mtli_sheet_out *out,
                          double *work)
{
    sheet_job job = {.products = mtli_products_of(context), .x = x, .out = out, .m = m, .slots = work};
    job.slot = slot_size(x->count);
    job.width = strip_width(x->count);
    job.strips = (x->n + job.width - 1) / job.width;
    job.num_slots = job.strips < STRIP_SLOTS ? (int32_t)job.strips : STRIP_SLOTS;
    if (!mtli_sheet_by_vectors(x)) {
        job.packed_m = work + STRIP_SLOTS * job.slot;
        job.products->pack_b(1, x->count, x->count, m, x->count, job.packed_m);
    }
    mtli_parallel_for(context, job.num_slots, transform_strips, &job);
}
