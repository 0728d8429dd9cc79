/* SPDX-License-Identifier: Apache-2.0
 * The cosine between two activations of the same row, squared or as it is. */
#include <math.h>

#include <mtl/loss.h>

#include "kernels/reduce.h"
#include "ops/infer.h"
#include "ops/parallel.h"

enum { COSINE_A, COSINE_B, COSINE_INPUTS };

typedef struct cosine_loop {
    int64_t width;
    bool squared;
    const mtli_real *x; /* backward: the input whose gradient is wanted */
    const mtli_real *y;
    double *values; /* forward: of each row */
    double seed;
    mtli_real *dx;
    bool accumulate;
} cosine_loop;

/* What a row is about; cosine and scale are 0 where x or y is 0. */
typedef struct cosine_row {
    double cosine;
    double scale; /* 1 / (‖x‖ ‖y‖) */
    double xx;    /* ‖x‖², or 1 */
} cosine_row;

static cosine_row measure_row(const cosine_loop *loop, int64_t first)
{
    const mtli_real *x = loop->x + first;
    const mtli_real *y = loop->y + first;
    double xx = mtli_dot(loop->width, x, x);
    double yy = mtli_dot(loop->width, y, y);
    if (xx == 0 || yy == 0) {
        return (cosine_row){0, 0, 1};
    }
    double scale = 1 / (sqrt(xx) * sqrt(yy));
    return (cosine_row){scale * mtli_dot(loop->width, x, y), scale, xx};
}

static void cosine_range(void *argument, int64_t begin, int64_t end)
{
    const cosine_loop *loop = argument;
    for (int64_t r = begin; r < end; r++) {
        double cosine = measure_row(loop, r * loop->width).cosine;
        loop->values[r] = loop->squared ? cosine * cosine : cosine;
    }
}

/* cos = <x, y> / (‖x‖ ‖y‖): its derivative is y / (‖x‖ ‖y‖) - cos x / ‖x‖². */
static void cosine_gradient_range(void *argument, int64_t begin, int64_t end)
{
    const cosine_loop *loop = argument;
    for (int64_t r = begin; r < end; r++) {
        int64_t first = r * loop->width;
        cosine_row row = measure_row(loop, first);
        double seed = loop->squared ? 2 * row.cosine * loop->seed : loop->seed;
        double of_y = seed * row.scale;
        double of_x = seed * row.cosine / row.xx;
        for (int64_t j = first; j < first + loop->width; j++) {
            mtli_real value = (mtli_real)(of_y * (double)loop->y[j] - of_x * (double)loop->x[j]);
            loop->dx[j] = loop->accumulate ? loop->dx[j] + value : value;
        }
    }
}

static const mtl_cosine_similarity_options *cosine_options(const mtli_call *call)
{
    return call->attributes;
}

static cosine_loop make_cosine_loop(const mtli_call *call, int32_t x)
{
    return (cosine_loop){.width = mtli_features(call->inputs[COSINE_A]),
                         .squared = cosine_options(call)->squared != 0,
                         .x = mtli_input_real(call, x),
                         .y = mtli_input_real(call, COSINE_A + COSINE_B - x)};
}

static mtl_status cosine_infer(const mtli_call *call, mtli_shape *shape)
{
    mtl_status status = mtli_check_reserved(mtli_call_context(call), cosine_options(call)->reserved0);
    if (status == MTL_OK) {
        status = mtli_infer_scalar(call, shape);
    }
    if (status == MTL_OK) {
        status = mtli_expect_ndim(call, COSINE_A, 1, MTL_MAX_DIMS);
    }
    if (status == MTL_OK) {
        status = mtli_expect_real(call, COSINE_B);
    }
    if (status == MTL_OK && !mtli_same_dims(&call->inputs[COSINE_A]->shape, &call->inputs[COSINE_B]->shape)) {
        status = mtli_fail_shapes(call, COSINE_A, COSINE_B, "they must be equal");
    }
    return status;
}

static mtl_status cosine_forward(mtli_call *call)
{
    int64_t rows = mtli_leading(call->inputs[COSINE_A]);
    cosine_loop loop = make_cosine_loop(call, COSINE_A);
    loop.values = mtli_tape_scratch(call, (size_t)rows, sizeof loop.values[0]);
    if (!loop.values) {
        return mtli_call_context(call)->status;
    }
    mtli_for_range(call, rows, mtli_rows_per_chunk(loop.width), cosine_range, &loop);
    double sum = 0;
    for (int64_t r = 0; r < rows; r++) {
        sum += loop.values[r];
    }
    *mtli_output_real(call) = rows > 0 ? (mtli_real)(sum / (double)rows) : 0;
    return MTL_OK;
}

static mtl_status cosine_backward(const mtli_call *call, mtli_sweep *sweep)
{
    int64_t rows = mtli_leading(call->inputs[COSINE_A]);
    for (int32_t i = COSINE_A; i < COSINE_INPUTS && rows > 0; i++) {
        bool fresh = false;
        cosine_loop loop = make_cosine_loop(call, i);
        loop.seed = (double)*mtli_output_gradient(call, sweep) / (double)rows;
        loop.dx = mtli_gradient_fresh(call, sweep, i, &fresh);
        loop.accumulate = !fresh;
        if (loop.dx) {
            mtli_for_range(call, rows, mtli_rows_per_chunk(loop.width), cosine_gradient_range, &loop);
        }
    }
    return MTL_OK;
}

static const char *const cosine_input_names[] = {"a", "b", NULL};

const mtli_op mtli_op_cosine_similarity = {
    .name = "mtl_cosine_similarity",
    .input_names = cosine_input_names,
    .infer = cosine_infer,
    .forward = cosine_forward,
    .backward = cosine_backward,
};

mtl_tensor *mtl_cosine_similarity(mtl_tape *tape, mtl_tensor *a, mtl_tensor *b,
                                  const mtl_cosine_similarity_options *options)
{
    mtl_cosine_similarity_options known = MTL_COSINE_SIMILARITY_OPTIONS_INIT;
    if (!mtli_tape_stopped(tape) &&
        !mtli_import_op_options(tape, "mtl_cosine_similarity", &known, sizeof known, options)) {
        return &tape->error;
    }
    mtl_tensor *inputs[] = {a, b};
    return mtli_run(tape, &mtli_op_cosine_similarity, inputs, COSINE_INPUTS, &known, sizeof known);
}
