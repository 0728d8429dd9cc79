/* SPDX-License-Identifier: Apache-2.0
 * A tensor times a matrix, or one row of it, along one mode. One row is bound by memory: it is summed in passes over x
 * instead of being packed for a matrix product. */
#include "ops/mode_product.h"

#include <string.h>

#include "base/checked.h"
#include "kernels/reduce.h"
#include "ops/parallel.h"
#include "ops/product.h"

enum { MODE_X, MODE_U };

typedef struct mode_attributes {
    int64_t outer;
    int64_t row;
    bool shaped;
    mtli_shape shape;
} mode_attributes;

/* How a call reads its inputs. */
typedef struct mode_view {
    int64_t outer, rank, rest; /* of x */
    int64_t rows;              /* of u */
    int64_t row;
} mode_view;

static mode_view view_of(const mtli_call *call)
{
    const mode_attributes *attributes = call->attributes;
    int64_t rank = mtli_features(call->inputs[MODE_U]);
    return (mode_view){.outer = attributes->outer,
                       .rank = rank,
                       .rest = call->inputs[MODE_X]->size / (attributes->outer * rank),
                       .rows = call->inputs[MODE_U]->size / rank,
                       .row = attributes->row};
}

/* The shape of the output, checked against what the inputs say that its size is. */
static mtl_status mode_shape(const mtli_call *call, mtli_shape *shape)
{
    const mode_attributes *attributes = call->attributes;
    mode_view view = view_of(call);
    int64_t size = view.outer * view.rest;
    if (view.row == MTLI_ALL_ROWS && !mtli_mul_i64(size, view.rows, &size)) {
        return mtli_fail_shapes(call, MODE_X, MODE_U, "their product overflows");
    }
    *shape = attributes->shaped ? attributes->shape : mtli_make_shape(MTLI_DTYPE_REAL, 1, &size);
    int64_t shaped = 0;
    mtl_status status = mtli_shape_size(mtli_call_context(call), shape, &shaped);
    return status != MTL_OK || shaped == size
               ? status
               : mtli_fail_shapes(call, MODE_X, MODE_U, "their product does not have the size of the result");
}

static mtl_status mode_product_infer(const mtli_call *call, mtli_shape *shape)
{
    const mode_attributes *attributes = call->attributes;
    mtl_status status = mtli_expect_real(call, MODE_X);
    if (status == MTL_OK) {
        status = mtli_expect_real(call, MODE_U);
    }
    if (status == MTL_OK) {
        status = mtli_expect_ndim(call, MODE_U, 1, MTL_MAX_DIMS);
    }
    if (status != MTL_OK) {
        return status;
    }
    const mtl_tensor *u = call->inputs[MODE_U];
    int64_t width = 0;
    bool fits = attributes->outer >= 1 && u->size >= 1 && mtli_mul_i64(attributes->outer, mtli_features(u), &width) &&
                call->inputs[MODE_X]->size % width == 0 && attributes->row >= MTLI_ALL_ROWS &&
                attributes->row < mtli_leading(u);
    return fits ? mode_shape(call, shape) : mtli_fail_shapes(call, MODE_X, MODE_U, "they have no mode in common");
}

/* One row. --------------------------------------------------------------------------------------------------------- */

typedef struct row_loop {
    mode_view view;
    const mtli_real *x;
    const mtli_real *u; /* [rank] */
    mtli_real *y;       /* forward */
    const mtli_real *dy;
    mtli_real *dx;
    mtli_real *du; /* [rank] */
    bool accumulate;
} row_loop;

static void add_multiple(int64_t n, mtli_real factor, const mtli_real *restrict x, mtli_real *restrict y)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] += factor * x[i];
    }
}

static void set_multiple(int64_t n, mtli_real factor, const mtli_real *restrict x, mtli_real *restrict y)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] = factor * x[i];
    }
}

/* Elements [begin, end) of y, a piece of one outer slice after the other. */
static void row_forward_range(void *argument, int64_t begin, int64_t end)
{
    const row_loop *loop = argument;
    int64_t rest = loop->view.rest;
    int64_t rank = loop->view.rank;
    while (begin < end) {
        int64_t outer = begin / rest;
        int64_t first = begin % rest;
        int64_t n = rest - first < end - begin ? rest - first : end - begin;
        const mtli_real *x = loop->x + outer * rank * rest + first;
        set_multiple(n, loop->u[0], x, loop->y + begin);
        for (int64_t l = 1; l < rank; l++) {
            add_multiple(n, loop->u[l], x + l * rest, loop->y + begin);
        }
        begin += n;
    }
}

/* The mode is the last one: elements of y are inner products. */
static void row_forward_last(void *argument, int64_t begin, int64_t end)
{
    const row_loop *loop = argument;
    for (int64_t i = begin; i < end; i++) {
        loop->y[i] = (mtli_real)mtli_dot(loop->view.rank, loop->x + i * loop->view.rank, loop->u);
    }
}

/* Slices [begin, end) of dx, which are [rest] each, with the factor of their place in the mode. */
static void row_gradient_x_range(void *argument, int64_t begin, int64_t end)
{
    const row_loop *loop = argument;
    int64_t rest = loop->view.rest;
    for (int64_t i = begin; i < end; i++) {
        const mtli_real *dy = loop->dy + i / loop->view.rank * rest;
        mtli_real factor = loop->u[i % loop->view.rank];
        if (loop->accumulate) {
            add_multiple(rest, factor, dy, loop->dx + i * rest);
        } else {
            set_multiple(rest, factor, dy, loop->dx + i * rest);
        }
    }
}

static void row_gradient_x_last(void *argument, int64_t begin, int64_t end)
{
    const row_loop *loop = argument;
    int64_t rank = loop->view.rank;
    for (int64_t i = begin; i < end; i++) {
        if (loop->accumulate) {
            add_multiple(rank, loop->dy[i], loop->u, loop->dx + i * rank);
        } else {
            set_multiple(rank, loop->dy[i], loop->u, loop->dx + i * rank);
        }
    }
}

/* Elements [begin, end) of du, each a sum over everything in one order. */
static void row_gradient_u_range(void *argument, int64_t begin, int64_t end)
{
    const row_loop *loop = argument;
    int64_t rest = loop->view.rest;
    for (int64_t l = begin; l < end; l++) {
        double sum = 0;
        for (int64_t i = 0; i < loop->view.outer; i++) {
            sum += mtli_dot(rest, loop->x + (i * loop->view.rank + l) * rest, loop->dy + i * rest);
        }
        loop->du[l] += (mtli_real)sum;
    }
}

/* Likewise where the mode is the last one: a pass over the rows of x, in double. */
static void row_gradient_u_last(const row_loop *loop, double *restrict sums)
{
    int64_t rank = loop->view.rank;
    memset(sums, 0, (size_t)rank * sizeof sums[0]);
    for (int64_t i = 0; i < loop->view.outer; i++) {
        const mtli_real *x = loop->x + i * rank;
        for (int64_t l = 0; l < rank; l++) {
            sums[l] += (double)loop->dy[i] * (double)x[l];
        }
    }
    for (int64_t l = 0; l < rank; l++) {
        loop->du[l] += (mtli_real)sums[l];
    }
}

static mtl_status forward_row(const mtli_call *call, mode_view view)
{
    row_loop loop = {.view = view,
                     .x = mtli_input_real(call, MODE_X),
                     .u = mtli_input_real(call, MODE_U) + view.row * view.rank,
                     .y = call->output->data};
    mtli_for_range(call, call->output->size, MTLI_CHUNK / 8, view.rest == 1 ? row_forward_last : row_forward_range,
                   &loop);
    return MTL_OK;
}

static mtl_status backward_row(const mtli_call *call, mtli_sweep *sweep, mode_view view)
{
    row_loop loop = {.view = view,
                     .x = mtli_input_real(call, MODE_X),
                     .u = mtli_input_real(call, MODE_U) + view.row * view.rank,
                     .dy = mtli_output_gradient(call, sweep)};
    bool last = view.rest == 1;
    bool fresh = false;
    loop.dx = mtli_gradient_fresh(call, sweep, MODE_X, &fresh);
    loop.accumulate = !fresh;
    if (loop.dx && last) {
        mtli_for_range(call, view.outer, mtli_rows_per_chunk(view.rank), row_gradient_x_last, &loop);
    } else if (loop.dx) {
        mtli_for_range(call, view.outer * view.rank, mtli_rows_per_chunk(view.rest), row_gradient_x_range, &loop);
    }
    mtli_real *du = mtli_gradient(call, sweep, MODE_U);
    if (!du) {
        return MTL_OK;
    }
    loop.du = du + view.row * view.rank;
    if (last) {
        double *sums = mtli_tape_scratch(call, (size_t)view.rank, sizeof sums[0]);
        if (!sums) {
            return mtli_call_context(call)->status;
        }
        row_gradient_u_last(&loop, sums);
    } else {
        mtli_for_range(call, view.rank, mtli_rows_per_chunk(view.outer * view.rest), row_gradient_u_range, &loop);
    }
    return MTL_OK;
}

/* All rows. -------------------------------------------------------------------------------------------------------- */

static mtl_status forward_all(const mtli_call *call, mode_view view)
{
    const mtli_real *x = mtli_input_real(call, MODE_X);
    mtli_real *y = call->output->data;
    mtli_matrix u = {mtli_input_real(call, MODE_U), view.rank, false};
    if (view.rest == 1) { /* the last mode: Y = X Uᵀ */
        mtli_matrix left = {x, view.rank, false};
        u.transposed = true;
        return mtli_product(call, view.outer, view.rows, view.rank, left, u, y, false);
    }
    mtl_status status = MTL_OK;
    for (int64_t i = 0; i < view.outer && status == MTL_OK; i++) {
        mtli_matrix slice = {x + i * view.rank * view.rest, view.rest, false};
        status = mtli_product(call, view.rows, view.rest, view.rank, u, slice, y + i * view.rows * view.rest, false);
    }
    return status;
}

static mtl_status gradient_x_all(const mtli_call *call, mode_view view, const mtli_real *dy, mtli_real *dx,
                                 bool accumulate)
{
    mtli_matrix u = {mtli_input_real(call, MODE_U), view.rank, false};
    if (view.rest == 1) {
        mtli_matrix left = {dy, view.rows, false};
        return mtli_product(call, view.outer, view.rank, view.rows, left, u, dx, accumulate);
    }
    mtl_status status = MTL_OK;
    u.transposed = true;
    for (int64_t i = 0; i < view.outer && status == MTL_OK; i++) {
        mtli_matrix slice = {dy + i * view.rows * view.rest, view.rest, false};
        status =
            mtli_product(call, view.rank, view.rest, view.rows, u, slice, dx + i * view.rank * view.rest, accumulate);
    }
    return status;
}

static mtl_status gradient_u_all(const mtli_call *call, mode_view view, const mtli_real *dy, mtli_real *du,
                                 bool accumulate)
{
    const mtli_real *x = mtli_input_real(call, MODE_X);
    if (view.rest == 1) {
        mtli_matrix left = {dy, view.rows, true};
        mtli_matrix right = {x, view.rank, false};
        return mtli_product(call, view.rows, view.rank, view.outer, left, right, du, accumulate);
    }
    mtl_status status = MTL_OK;
    for (int64_t i = 0; i < view.outer && status == MTL_OK; i++) {
        mtli_matrix left = {dy + i * view.rows * view.rest, view.rest, false};
        mtli_matrix right = {x + i * view.rank * view.rest, view.rest, true};
        status = mtli_product(call, view.rows, view.rank, view.rest, left, right, du, accumulate || i > 0);
    }
    return status;
}

static mtl_status backward_all(const mtli_call *call, mtli_sweep *sweep, mode_view view)
{
    const mtli_real *dy = mtli_output_gradient(call, sweep);
    bool fresh = false;
    mtli_real *dx = mtli_gradient_fresh(call, sweep, MODE_X, &fresh);
    mtl_status status = dx ? gradient_x_all(call, view, dy, dx, !fresh) : MTL_OK;
    mtli_real *du = status == MTL_OK ? mtli_gradient_fresh(call, sweep, MODE_U, &fresh) : NULL;
    return du ? gradient_u_all(call, view, dy, du, !fresh) : status;
}

/* ------------------------------------------------------------------------------------------------------------------ */

static mtl_status mode_product_forward(mtli_call *call)
{
    mode_view view = view_of(call);
    return view.row == MTLI_ALL_ROWS ? forward_all(call, view) : forward_row(call, view);
}

static mtl_status mode_product_backward(const mtli_call *call, mtli_sweep *sweep)
{
    mode_view view = view_of(call);
    return view.row == MTLI_ALL_ROWS ? backward_all(call, sweep, view) : backward_row(call, sweep, view);
}

static const char *const mode_product_inputs[] = {"x", "u", NULL};

const mtli_op mtli_op_mode_product = {
    .name = "mode_product",
    .input_names = mode_product_inputs,
    .infer = mode_product_infer,
    .forward = mode_product_forward,
    .backward = mode_product_backward,
};

mtl_tensor *mtli_mode_product(mtl_tape *tape, mtl_tensor *x, mtl_tensor *u, int64_t outer, int64_t row,
                              const mtli_shape *shape)
{
    mtl_tensor *inputs[] = {x, u};
    mode_attributes attributes = {.outer = outer, .row = row, .shaped = shape != NULL};
    if (shape) {
        attributes.shape = *shape;
    }
    return mtli_run(tape, &mtli_op_mode_product, inputs, 2, &attributes, sizeof attributes);
}
