/* SPDX-License-Identifier: Apache-2.0
 * a + b and a * b, with b repeated over the leading dimensions of a; factor * x. */
#include <math.h>

#include <mtl/ops.h>

#include "kernels/columns.h"
#include "kernels/elementwise.h"
#include "kernels/reduce.h"
#include "ops/infer.h"
#include "ops/parallel.h"

enum { OPERAND_A, OPERAND_B };

/* Shapes ----------------------------------------------------------------------------------------------------------- */

static bool is_suffix(const mtli_shape *a, const mtli_shape *b)
{
    int32_t shift = a->ndim - b->ndim;
    for (int32_t i = 0; i < b->ndim && shift >= 0; i++) {
        if (a->dims[i + shift] != b->dims[i]) {
            return false;
        }
    }
    return shift >= 0;
}

static mtl_status arithmetic_infer(const mtli_call *call, mtli_shape *shape)
{
    const mtl_tensor *a = call->inputs[OPERAND_A];
    const mtl_tensor *b = call->inputs[OPERAND_B];
    mtl_status status = mtli_expect_real(call, OPERAND_A);
    if (status == MTL_OK) {
        status = mtli_expect_real(call, OPERAND_B);
    }
    if (status != MTL_OK) {
        return status;
    }
    if (!is_suffix(&a->shape, &b->shape)) {
        return mtli_fail_shapes(call, OPERAND_A, OPERAND_B, "b must have the shape of a or a suffix of it");
    }
    *shape = a->shape;
    if (b->shape.ragged && a->shape.ndim == b->shape.ndim) {
        if (a->shape.ragged && !mtli_same_offsets(a, b)) {
            return mtli_fail_shapes(call, OPERAND_A, OPERAND_B, "their row offsets differ");
        }
        shape->ragged = b->shape.ragged;
    }
    return MTL_OK;
}

/* Loops over a with b repeated ------------------------------------------------------------------------------------- */

/* y (+)= f(x, b), where b has `period` elements and x is cut into pieces of that length. */
typedef struct repeated_loop {
    const mtli_real *x;
    const mtli_real *b;
    mtli_real *y;
    int64_t period;
    bool accumulate;
} repeated_loop;

static int64_t piece_length(const repeated_loop *loop, int64_t begin, int64_t end)
{
    int64_t rest = loop->period - begin % loop->period;
    return end - begin < rest ? end - begin : rest;
}

static void add_range(void *argument, int64_t begin, int64_t end)
{
    const repeated_loop *loop = argument;
    if (loop->period == 1) {
        mtli_add_value(end - begin, loop->x + begin, loop->b[0], loop->y + begin);
        return;
    }
    while (begin < end) {
        int64_t n = piece_length(loop, begin, end);
        mtli_add_arrays(n, loop->x + begin, loop->b + begin % loop->period, loop->y + begin);
        begin += n;
    }
}

static void multiply_range(void *argument, int64_t begin, int64_t end)
{
    const repeated_loop *loop = argument;
    if (loop->period == 1) {
        mtli_set_scaled(end - begin, loop->b[0], loop->x + begin, loop->y + begin, loop->accumulate);
        return;
    }
    while (begin < end) {
        int64_t n = piece_length(loop, begin, end);
        mtli_set_product(n, loop->x + begin, loop->b + begin % loop->period, loop->y + begin, loop->accumulate);
        begin += n;
    }
}

static mtl_status repeated_forward(const mtli_call *call, mtli_range_body body)
{
    repeated_loop loop = {mtli_input_real(call, OPERAND_A), mtli_input_real(call, OPERAND_B), mtli_output_real(call),
                          call->inputs[OPERAND_B]->size, false};
    mtli_for_range(call, call->output->size, MTLI_CHUNK, body, &loop);
    return MTL_OK;
}

static mtl_status add_forward(mtli_call *call)
{
    return repeated_forward(call, add_range);
}

static mtl_status multiply_forward(mtli_call *call)
{
    return repeated_forward(call, multiply_range);
}

/* y (+)= factor x -------------------------------------------------------------------------------------------------- */

typedef struct scale_loop {
    const mtli_real *x;
    mtli_real *y;
    mtli_real factor;
    bool accumulate;
} scale_loop;

static void scale_range(void *argument, int64_t begin, int64_t end)
{
    const scale_loop *loop = argument;
    mtli_set_scaled(end - begin, loop->factor, loop->x + begin, loop->y + begin, loop->accumulate);
}

static void run_scale(const mtli_call *call, mtli_real factor, const mtli_real *x, mtli_real *y, bool accumulate)
{
    scale_loop loop = {x, y, factor, accumulate};
    mtli_for_range(call, call->output->size, MTLI_CHUNK, scale_range, &loop);
}

/* The gradient of what was repeated: sums down the columns of dy (times x, if it is given). ------------------------ */

typedef struct column_loop {
    const mtli_real *dy;
    const mtli_real *x;
    mtli_real *db;
    int64_t rows;
    int64_t period;
} column_loop;

static void column_range(void *argument, int64_t begin, int64_t end)
{
    const column_loop *loop = argument;
    if (loop->x) {
        mtli_add_column_dots(loop->rows, loop->period, begin, end, loop->dy, loop->x, loop->db);
    } else {
        mtli_add_column_sums(loop->rows, loop->period, begin, end, loop->dy, loop->db);
    }
}

static void add_repeated_gradient(const mtli_call *call, const mtli_real *dy, const mtli_real *x, mtli_real *db)
{
    int64_t n = call->output->size;
    int64_t period = call->inputs[OPERAND_B]->size;
    if (period == 1) {
        db[0] = (mtli_real)((double)db[0] + (x ? mtli_dot(n, dy, x) : mtli_total(n, dy)));
        return;
    }
    column_loop loop = {dy, x, db, n / period, period};
    bool large = n > MTLI_CHUNK;
    mtli_for_range(call, period, large ? MTLI_COLUMN_BLOCK : period, column_range, &loop);
}

static mtl_status add_backward(const mtli_call *call, mtli_sweep *sweep)
{
    const mtli_real *dy = mtli_output_gradient(call, sweep);
    bool fresh = false;
    mtli_real *da = mtli_gradient_fresh(call, sweep, OPERAND_A, &fresh);
    if (da) {
        run_scale(call, 1, dy, da, !fresh);
    }
    if (call->inputs[OPERAND_B]->size == call->output->size) {
        mtli_real *db = mtli_gradient_fresh(call, sweep, OPERAND_B, &fresh);
        if (db) {
            run_scale(call, 1, dy, db, !fresh);
        }
    } else {
        mtli_real *db = mtli_gradient(call, sweep, OPERAND_B);
        if (db && call->output->size > 0) {
            add_repeated_gradient(call, dy, NULL, db);
        }
    }
    return MTL_OK;
}

static mtl_status multiply_backward(const mtli_call *call, mtli_sweep *sweep)
{
    const mtli_real *dy = mtli_output_gradient(call, sweep);
    int64_t n = call->output->size;
    bool fresh = false;
    mtli_real *da = mtli_gradient_fresh(call, sweep, OPERAND_A, &fresh);
    if (da) {
        repeated_loop loop = {dy, mtli_input_real(call, OPERAND_B), da, call->inputs[OPERAND_B]->size, !fresh};
        mtli_for_range(call, n, MTLI_CHUNK, multiply_range, &loop);
    }
    if (call->inputs[OPERAND_B]->size == n) {
        mtli_real *db = mtli_gradient_fresh(call, sweep, OPERAND_B, &fresh);
        if (db) {
            repeated_loop loop = {dy, mtli_input_real(call, OPERAND_A), db, n, !fresh};
            mtli_for_range(call, n, MTLI_CHUNK, multiply_range, &loop);
        }
    } else {
        mtli_real *db = mtli_gradient(call, sweep, OPERAND_B);
        if (db && n > 0) {
            add_repeated_gradient(call, dy, mtli_input_real(call, OPERAND_A), db);
        }
    }
    return MTL_OK;
}

static const char *const arithmetic_inputs[] = {"a", "b", NULL};

const mtli_op mtli_op_add = {
    .name = "mtl_add",
    .input_names = arithmetic_inputs,
    .flags = MTLI_OP_ROW_SEPARABLE,
    .infer = arithmetic_infer,
    .forward = add_forward,
    .backward = add_backward,
};

mtl_tensor *mtl_add(mtl_tape *tape, mtl_tensor *a, mtl_tensor *b)
{
    mtl_tensor *inputs[] = {a, b};
    return mtli_run(tape, &mtli_op_add, inputs, 2, NULL, 0);
}

const mtli_op mtli_op_mul = {
    .name = "mtl_mul",
    .input_names = arithmetic_inputs,
    .flags = MTLI_OP_ROW_SEPARABLE,
    .infer = arithmetic_infer,
    .forward = multiply_forward,
    .backward = multiply_backward,
};

mtl_tensor *mtl_mul(mtl_tape *tape, mtl_tensor *a, mtl_tensor *b)
{
    mtl_tensor *inputs[] = {a, b};
    return mtli_run(tape, &mtli_op_mul, inputs, 2, NULL, 0);
}

/* Scale ------------------------------------------------------------------------------------------------------------ */

static mtli_real scale_factor(const mtli_call *call)
{
    return (mtli_real) * (const double *)call->attributes;
}

static mtl_status scale_infer(const mtli_call *call, mtli_shape *shape)
{
    if (!isfinite(scale_factor(call))) {
        return mtli_fail(mtli_call_context(call), MTL_ERROR_ARGUMENT, "factor = %g is not finite in %s",
                         *(const double *)call->attributes, mtli_dtype_name(MTLI_DTYPE_REAL));
    }
    return mtli_infer_same(call, shape);
}

static mtl_status scale_forward(mtli_call *call)
{
    run_scale(call, scale_factor(call), mtli_input_real(call, 0), mtli_output_real(call), false);
    return MTL_OK;
}

static mtl_status scale_backward(const mtli_call *call, mtli_sweep *sweep)
{
    bool fresh = false;
    mtli_real *dx = mtli_gradient_fresh(call, sweep, 0, &fresh);
    if (dx) {
        run_scale(call, scale_factor(call), mtli_output_gradient(call, sweep), dx, !fresh);
    }
    return MTL_OK;
}

static const char *const scale_inputs[] = {"x", NULL};

const mtli_op mtli_op_scale = {
    .name = "mtl_scale",
    .input_names = scale_inputs,
    .flags = MTLI_OP_ROW_SEPARABLE,
    .infer = scale_infer,
    .forward = scale_forward,
    .backward = scale_backward,
};

mtl_tensor *mtl_scale(mtl_tape *tape, mtl_tensor *x, double factor)
{
    return mtli_run(tape, &mtli_op_scale, &x, 1, &factor, sizeof factor);
}
