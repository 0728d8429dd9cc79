/* SPDX-License-Identifier: Apache-2.0
 * ‖AᵀB‖²_F of two sets of activations: shared and private features are to have nothing in common.
 *
 * Two ways lead there: through AᵀB, and through the Gram matrices of the rows, ‖AᵀB‖²_F = <AAᵀ, BBᵀ>. Only the first is a
 * sum of squares, exact near 0; the second is taken where few rows of many features make it several times cheaper. */
#include <math.h>

#include <mtl/loss.h>

#include "kernels/columns.h"
#include "kernels/elementwise.h"
#include "kernels/reduce.h"
#include "ops/infer.h"
#include "ops/parallel.h"
#include "ops/product.h"

enum { ORTH_A, ORTH_B, ORTH_INPUTS };

/* How many times cheaper the Gram matrices must be. */
#define ORTH_GAIN 4.0

typedef struct orth_saved {
    int64_t rows;
    int64_t width[ORTH_INPUTS];
    bool by_rows;                    /* through the Gram matrices of the rows */
    const mtli_real *x[ORTH_INPUTS]; /* [rows, width]: the inputs, or centered and normalized copies */
    double *inverse[ORTH_INPUTS];    /* [rows]: 1 / norm, 0 for a row of zeros; NULL: not normalized */
    mtli_real *inner[ORTH_INPUTS];   /* AᵀB and NULL, or AAᵀ and BBᵀ */
} orth_saved;

static const mtl_orthogonality_options *orth_options(const mtli_call *call)
{
    return call->attributes;
}

static mtl_status orth_infer(const mtli_call *call, mtli_shape *shape)
{
    mtl_status status = mtli_check_reserved(mtli_call_context(call), orth_options(call)->reserved0);
    if (status == MTL_OK) {
        status = mtli_infer_scalar(call, shape);
    }
    for (int32_t i = ORTH_A; i < ORTH_INPUTS && status == MTL_OK; i++) {
        status = mtli_expect_real(call, i);
        if (status == MTL_OK) {
            status = mtli_expect_ndim(call, i, 2, 2);
        }
    }
    if (status == MTL_OK && mtli_leading(call->inputs[ORTH_A]) != mtli_leading(call->inputs[ORTH_B])) {
        status = mtli_fail_shapes(call, ORTH_A, ORTH_B, "the numbers of rows must be equal");
    }
    return status;
}

/* Centering and normalization, and their derivatives. in and out may be the same array where nothing is accumulated. */
typedef struct orth_loop {
    int64_t rows;
    int64_t width;
    const mtli_real *in;
    const mtli_real *x; /* backward: the normalized rows */
    double *inverse;
    mtli_real *out;
    bool accumulate;
} orth_loop;

static void center_block(const orth_loop *loop, int64_t begin, int64_t n)
{
    double mean[MTLI_COLUMN_BLOCK] = {0};
    for (int64_t r = 0; r < loop->rows; r++) {
        for (int64_t j = 0; j < n; j++) {
            mean[j] += (double)loop->in[r * loop->width + begin + j];
        }
    }
    for (int64_t j = 0; j < n; j++) {
        mean[j] /= (double)loop->rows;
    }
    for (int64_t r = 0; r < loop->rows; r++) {
        int64_t first = r * loop->width + begin;
        for (int64_t j = 0; j < n; j++) {
            mtli_real value = (mtli_real)((double)loop->in[first + j] - mean[j]);
            loop->out[first + j] = loop->accumulate ? loop->out[first + j] + value : value;
        }
    }
}

/* x less the mean of its columns: a projection, which is its own derivative. */
static void center_range(void *argument, int64_t begin, int64_t end)
{
    for (; begin < end; begin += MTLI_COLUMN_BLOCK) {
        center_block(argument, begin, end - begin < MTLI_COLUMN_BLOCK ? end - begin : MTLI_COLUMN_BLOCK);
    }
}

static void unit_rows_range(void *argument, int64_t begin, int64_t end)
{
    const orth_loop *loop = argument;
    for (int64_t r = begin; r < end; r++) {
        const mtli_real *in = loop->in + r * loop->width;
        mtli_real *out = loop->out + r * loop->width;
        double norm = sqrt(mtli_dot(loop->width, in, in));
        double inverse = norm > 0 ? 1 / norm : 0;
        for (int64_t j = 0; j < loop->width; j++) {
            out[j] = (mtli_real)((double)in[j] * inverse);
        }
        loop->inverse[r] = inverse;
    }
}

/* (d - x <x, d>) / norm of each row. */
static void unit_rows_gradient_range(void *argument, int64_t begin, int64_t end)
{
    const orth_loop *loop = argument;
    for (int64_t r = begin; r < end; r++) {
        int64_t first = r * loop->width;
        double along = mtli_dot(loop->width, loop->x + first, loop->in + first);
        for (int64_t j = first; j < first + loop->width; j++) {
            mtli_real value = (mtli_real)(((double)loop->in[j] - (double)loop->x[j] * along) * loop->inverse[r]);
            loop->out[j] = loop->accumulate ? loop->out[j] + value : value;
        }
    }
}

static void center_columns(const mtli_call *call, orth_loop *loop)
{
    int64_t columns = loop->rows * loop->width > MTLI_CHUNK ? MTLI_COLUMN_BLOCK : loop->width;
    if (columns > 0) {
        mtli_for_range(call, loop->width, columns, center_range, loop);
    }
}

/* Memory until the tape is reset where backward will want it. */
static void *orth_memory(const mtli_call *call, int64_t count, size_t size)
{
    return mtli_call_records(call) ? mtli_tape_memory(call, (size_t)count, size)
                                   : mtli_tape_scratch(call, (size_t)count, size);
}

static mtl_status prepare_rows(const mtli_call *call, orth_saved *saved, int32_t i)
{
    const mtl_orthogonality_options *options = orth_options(call);
    saved->x[i] = mtli_input_real(call, i);
    if (!options->center && !options->normalize) {
        return MTL_OK;
    }
    orth_loop loop = {.rows = saved->rows, .width = saved->width[i], .in = saved->x[i]};
    loop.out = orth_memory(call, call->inputs[i]->size, sizeof loop.out[0]);
    loop.inverse = options->normalize ? orth_memory(call, saved->rows, sizeof loop.inverse[0]) : NULL;
    if (!loop.out || (options->normalize && !loop.inverse)) {
        return mtli_call_context(call)->status;
    }
    if (options->center) {
        center_columns(call, &loop);
        loop.in = loop.out;
    }
    if (options->normalize) {
        mtli_for_range(call, loop.rows, mtli_rows_per_chunk(loop.width), unit_rows_range, &loop);
    }
    saved->x[i] = loop.out;
    saved->inverse[i] = loop.inverse;
    return MTL_OK;
}

/* Multiplications: 3 rows a b for value and gradients through AᵀB, 2 rows² (a + b) through the Gram matrices. */
static bool few_rows(const orth_saved *saved)
{
    double rows = (double)saved->rows;
    double a = (double)saved->width[ORTH_A];
    double b = (double)saved->width[ORTH_B];
    return ORTH_GAIN * 2 * rows * (a + b) < 3 * a * b;
}

static int64_t inner_size(const orth_saved *saved)
{
    return saved->by_rows ? saved->rows * saved->rows : saved->width[ORTH_A] * saved->width[ORTH_B];
}

static mtl_status multiply_inner(const mtli_call *call, orth_saved *saved)
{
    int32_t count = saved->by_rows ? ORTH_INPUTS : 1;
    mtl_status status = MTL_OK;
    for (int32_t i = 0; i < count && status == MTL_OK; i++) {
        saved->inner[i] = orth_memory(call, inner_size(saved), sizeof saved->inner[i][0]);
        if (!saved->inner[i]) {
            return mtli_call_context(call)->status;
        }
        int64_t width = saved->width[i];
        mtli_matrix left = {saved->x[i], width, !saved->by_rows};
        if (saved->by_rows) {
            mtli_matrix right = {saved->x[i], width, true};
            status = mtli_product(call, saved->rows, saved->rows, width, left, right, saved->inner[i], false);
        } else {
            int64_t other = saved->width[ORTH_B];
            mtli_matrix right = {saved->x[ORTH_B], other, false};
            status = mtli_product(call, width, other, saved->rows, left, right, saved->inner[i], false);
        }
    }
    return status;
}

/* 1, or 1 over the number of pairs of features. */
static double orth_scale(const mtli_call *call, const orth_saved *saved)
{
    return orth_options(call)->mean ? 1 / ((double)saved->width[ORTH_A] * (double)saved->width[ORTH_B]) : 1;
}

static mtl_status orth_forward(mtli_call *call)
{
    *mtli_output_real(call) = 0;
    call->saved = NULL;
    if (call->inputs[ORTH_A]->size == 0 || call->inputs[ORTH_B]->size == 0) {
        return MTL_OK;
    }
    orth_saved *saved = orth_memory(call, 1, sizeof *saved);
    if (!saved) {
        return mtli_call_context(call)->status;
    }
    *saved = (orth_saved){.rows = mtli_leading(call->inputs[ORTH_A])};
    mtl_status status = MTL_OK;
    for (int32_t i = ORTH_A; i < ORTH_INPUTS && status == MTL_OK; i++) {
        saved->width[i] = mtli_features(call->inputs[i]);
        status = prepare_rows(call, saved, i);
    }
    saved->by_rows = few_rows(saved);
    if (status == MTL_OK) {
        status = multiply_inner(call, saved);
    }
    if (status == MTL_OK) {
        double sum = mtli_dot(inner_size(saved), saved->inner[0], saved->inner[saved->by_rows ? 1 : 0]);
        *mtli_output_real(call) = sum < 0 ? 0 : (mtli_real)(sum * orth_scale(call, saved)); /* < 0 by rounding only */
        call->saved = saved;
    }
    return status;
}

/* d (+)= the gradient with respect to x[i]: factor BBᵀA, in the cheaper order. */
static mtl_status rows_gradient(const mtli_call *call, const orth_saved *saved, int32_t i, double factor, mtli_real *d,
                                bool accumulate)
{
    int64_t width = saved->width[i];
    int64_t other = saved->width[1 - i];
    int64_t size = inner_size(saved);
    mtli_real *scaled = mtli_tape_scratch(call, (size_t)size, sizeof scaled[0]);
    if (!scaled) {
        return mtli_call_context(call)->status;
    }
    mtli_set_scaled(size, (mtli_real)factor, saved->inner[saved->by_rows ? 1 - i : 0], scaled, false);
    if (saved->by_rows) {
        mtli_matrix gram = {scaled, saved->rows, false};
        mtli_matrix rows = {saved->x[i], width, false};
        return mtli_product(call, saved->rows, width, saved->rows, gram, rows, d, accumulate);
    }
    mtli_matrix rows = {saved->x[1 - i], other, false};
    mtli_matrix inner = {scaled, saved->width[ORTH_B], i == ORTH_A};
    return mtli_product(call, saved->rows, width, other, rows, inner, d, accumulate);
}

/* dx (+)= what normalization and centering make of d, which is overwritten. */
static void unprepare_gradient(const mtli_call *call, const orth_saved *saved, int32_t i, mtli_real *d, mtli_real *dx,
                               bool accumulate)
{
    bool center = orth_options(call)->center != 0;
    orth_loop loop = {
        .rows = saved->rows, .width = saved->width[i], .in = d, .x = saved->x[i], .inverse = saved->inverse[i]};
    if (loop.inverse) {
        loop.out = center ? d : dx;
        loop.accumulate = !center && accumulate;
        mtli_for_range(call, loop.rows, mtli_rows_per_chunk(loop.width), unit_rows_gradient_range, &loop);
    }
    if (center) {
        loop.out = dx;
        loop.accumulate = accumulate;
        center_columns(call, &loop);
    }
}

static mtl_status orth_input_backward(const mtli_call *call, mtli_sweep *sweep, const orth_saved *saved, int32_t i)
{
    const mtl_orthogonality_options *options = orth_options(call);
    double factor = 2 * orth_scale(call, saved) * (double)*mtli_output_gradient(call, sweep);
    bool fresh = false;
    mtli_real *dx = mtli_gradient_fresh(call, sweep, i, &fresh);
    if (!dx) {
        return MTL_OK;
    }
    if (!options->center && !options->normalize) {
        return rows_gradient(call, saved, i, factor, dx, !fresh);
    }
    mtli_real *d = mtli_tape_scratch(call, (size_t)call->inputs[i]->size, sizeof d[0]);
    mtl_status status = d ? rows_gradient(call, saved, i, factor, d, false) : mtli_call_context(call)->status;
    if (status == MTL_OK) {
        unprepare_gradient(call, saved, i, d, dx, !fresh);
    }
    return status;
}

static mtl_status orth_backward(const mtli_call *call, mtli_sweep *sweep)
{
    mtl_status status = MTL_OK;
    for (int32_t i = ORTH_A; call->saved && i < ORTH_INPUTS && status == MTL_OK; i++) {
        status = orth_input_backward(call, sweep, call->saved, i);
    }
    return status;
}

static const char *const orth_input_names[] = {"a", "b", NULL};

const mtli_op mtli_op_orthogonality = {
    .name = "mtl_orthogonality",
    .input_names = orth_input_names,
    .infer = orth_infer,
    .forward = orth_forward,
    .backward = orth_backward,
};

mtl_tensor *mtl_orthogonality(mtl_tape *tape, mtl_tensor *a, mtl_tensor *b, const mtl_orthogonality_options *options)
{
    mtl_orthogonality_options known = MTL_ORTHOGONALITY_OPTIONS_INIT;
    if (!mtli_tape_stopped(tape) && !mtli_import_op_options(tape, "mtl_orthogonality", &known, sizeof known, options)) {
        return &tape->error;
    }
    mtl_tensor *inputs[] = {a, b};
    return mtli_run(tape, &mtli_op_orthogonality, inputs, ORTH_INPUTS, &known, sizeof known);
}
