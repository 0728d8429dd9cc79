/* SPDX-License-Identifier: Apache-2.0
 * One row for each sequence of a ragged tensor: its last, mean or largest values. */
#include <inttypes.h>
#include <string.h>

#include <mtl/ops.h>

#include "ops/parallel.h"

enum { X };

/* What all reductions of sequences have in common: pointers and sizes of one pass over the rows. */
typedef struct sequence_pass sequence_pass;

struct sequence_pass {
    void (*row)(const sequence_pass *pass, int64_t row);
    const int64_t *offsets;
    int64_t features;
    int64_t split;
    const mtli_real *x; /* [tokens, features] */
    mtli_real *y;       /* [rows, features] */
    int64_t *chosen;    /* max: the token of each largest value; NULL: not kept */
    const mtli_real *dy;
    mtli_real *dx;
};

static void do_rows(void *argument, int64_t begin, int64_t end)
{
    const sequence_pass *pass = argument;
    for (int64_t r = begin; r < end; r++) {
        pass->row(pass, r);
    }
}

static void run_rows(const mtli_call *call, sequence_pass *pass)
{
    const mtl_tensor *x = call->inputs[X];
    int64_t rows = x->shape.ragged->rows;
    pass->offsets = x->shape.ragged->offsets;
    pass->features = mtli_features(x);
    mtli_for_range(call, rows, mtli_rows_per_chunk(rows > 0 ? x->size / rows : 1), do_rows, pass);
}

static mtl_status run_forward(mtli_call *call, sequence_pass pass)
{
    pass.x = mtli_input_real(call, X);
    pass.y = mtli_output_real(call);
    run_rows(call, &pass);
    return MTL_OK;
}

static mtl_status run_backward(const mtli_call *call, mtli_sweep *sweep, sequence_pass pass)
{
    pass.dy = mtli_output_gradient(call, sweep);
    pass.dx = mtli_gradient(call, sweep, X);
    if (pass.dx) {
        run_rows(call, &pass);
    }
    return MTL_OK;
}

static mtl_status sequence_infer(const mtli_call *call, mtli_shape *shape)
{
    mtl_status status = mtli_expect_real(call, X);
    if (status == MTL_OK) {
        status = mtli_expect_ragged(call, X);
    }
    if (status == MTL_OK) {
        status = mtli_expect_ndim(call, X, 2, 2);
    }
    if (status == MTL_OK) {
        shape->ndim = 2;
        shape->dims[0] = call->inputs[X]->shape.ragged->rows;
        shape->dims[1] = mtli_features(call->inputs[X]);
    }
    return status;
}

/* Zeros for an empty sequence. */
static bool fill_empty(const sequence_pass *pass, int64_t row)
{
    if (pass->offsets[row] < pass->offsets[row + 1]) {
        return false;
    }
    memset(pass->y + row * pass->features, 0, (size_t)pass->features * sizeof pass->y[0]);
    return true;
}

static void add_values(mtli_real *to, const mtli_real *from, int64_t n, mtli_real factor)
{
    for (int64_t j = 0; j < n; j++) {
        to[j] += factor * from[j];
    }
}

static const char *const sequence_inputs[] = {"x", NULL};

/* ---- last ---- */

static void last_forward_row(const sequence_pass *pass, int64_t row)
{
    if (fill_empty(pass, row)) {
        return;
    }
    int64_t features = pass->features;
    const mtli_real *first = pass->x + pass->offsets[row] * features;
    const mtli_real *last = pass->x + (pass->offsets[row + 1] - 1) * features;
    mtli_real *y = pass->y + row * features;
    memcpy(y, last, (size_t)pass->split * sizeof y[0]);
    memcpy(y + pass->split, first + pass->split, (size_t)(features - pass->split) * sizeof y[0]);
}

static void last_backward_row(const sequence_pass *pass, int64_t row)
{
    if (pass->offsets[row] == pass->offsets[row + 1]) {
        return;
    }
    int64_t features = pass->features;
    const mtli_real *dy = pass->dy + row * features;
    mtli_real *first = pass->dx + pass->offsets[row] * features;
    mtli_real *last = pass->dx + (pass->offsets[row + 1] - 1) * features;
    add_values(last, dy, pass->split, 1);
    add_values(first + pass->split, dy + pass->split, features - pass->split, 1);
}

static mtl_status last_infer(const mtli_call *call, mtli_shape *shape)
{
    mtl_status status = sequence_infer(call, shape);
    int64_t split = *(const int64_t *)call->attributes;
    if (status == MTL_OK && (split < 0 || split > shape->dims[1])) {
        return mtli_fail(mtli_call_context(call), MTL_ERROR_ARGUMENT,
                         "split = %" PRId64 " is not in [0, %" PRId64 "], the features of x", split, shape->dims[1]);
    }
    return status;
}

/* Features before this one come from the last row. */
static int64_t last_split(const mtli_call *call)
{
    int64_t split = *(const int64_t *)call->attributes;
    return split == 0 ? mtli_features(call->inputs[X]) : split;
}

static mtl_status last_forward(mtli_call *call)
{
    return run_forward(call, (sequence_pass){.row = last_forward_row, .split = last_split(call)});
}

static mtl_status last_backward(const mtli_call *call, mtli_sweep *sweep)
{
    return run_backward(call, sweep, (sequence_pass){.row = last_backward_row, .split = last_split(call)});
}

const mtli_op mtli_op_sequence_last = {
    .name = "mtl_sequence_last",
    .input_names = sequence_inputs,
    .flags = MTLI_OP_ROW_SEPARABLE,
    .infer = last_infer,
    .forward = last_forward,
    .backward = last_backward,
};

mtl_tensor *mtl_sequence_last(mtl_tape *tape, mtl_tensor *x, int64_t split)
{
    return mtli_run(tape, &mtli_op_sequence_last, &x, 1, &split, sizeof split);
}

/* ---- mean ---- */

static void mean_forward_row(const sequence_pass *pass, int64_t row)
{
    if (fill_empty(pass, row)) {
        return;
    }
    int64_t features = pass->features;
    mtli_real *y = pass->y + row * features;
    memcpy(y, pass->x + pass->offsets[row] * features, (size_t)features * sizeof y[0]);
    for (int64_t t = pass->offsets[row] + 1; t < pass->offsets[row + 1]; t++) {
        add_values(y, pass->x + t * features, features, 1);
    }
    mtli_real length = (mtli_real)(pass->offsets[row + 1] - pass->offsets[row]);
    for (int64_t j = 0; j < features; j++) {
        y[j] /= length;
    }
}

static void mean_backward_row(const sequence_pass *pass, int64_t row)
{
    int64_t features = pass->features;
    for (int64_t t = pass->offsets[row]; t < pass->offsets[row + 1]; t++) {
        add_values(pass->dx + t * features, pass->dy + row * features, features,
                   1 / (mtli_real)(pass->offsets[row + 1] - pass->offsets[row]));
    }
}

static mtl_status mean_forward(mtli_call *call)
{
    return run_forward(call, (sequence_pass){.row = mean_forward_row});
}

static mtl_status mean_backward(const mtli_call *call, mtli_sweep *sweep)
{
    return run_backward(call, sweep, (sequence_pass){.row = mean_backward_row});
}

const mtli_op mtli_op_sequence_mean = {
    .name = "mtl_sequence_mean",
    .input_names = sequence_inputs,
    .flags = MTLI_OP_ROW_SEPARABLE,
    .infer = sequence_infer,
    .forward = mean_forward,
    .backward = mean_backward,
};

mtl_tensor *mtl_sequence_mean(mtl_tape *tape, mtl_tensor *x)
{
    return mtli_run(tape, &mtli_op_sequence_mean, &x, 1, NULL, 0);
}

/* ---- max ---- */

/* NaN counts as larger than every number: it must not disappear. */
static bool exceeds(mtli_real value, mtli_real best)
{
    return value > best || (value != value && best == best);
}

static void max_forward_row(const sequence_pass *pass, int64_t row)
{
    if (fill_empty(pass, row)) {
        return;
    }
    int64_t features = pass->features;
    int64_t begin = pass->offsets[row];
    mtli_real *y = pass->y + row * features;
    int64_t *chosen = pass->chosen ? pass->chosen + row * features : NULL;
    memcpy(y, pass->x + begin * features, (size_t)features * sizeof y[0]);
    for (int64_t j = 0; chosen && j < features; j++) {
        chosen[j] = begin;
    }
    for (int64_t t = begin + 1; t < pass->offsets[row + 1]; t++) {
        for (int64_t j = 0; j < features; j++) {
            mtli_real value = pass->x[t * features + j];
            bool larger = exceeds(value, y[j]);
            y[j] = larger ? value : y[j];
            if (chosen) {
                chosen[j] = larger ? t : chosen[j];
            }
        }
    }
}

static void max_backward_row(const sequence_pass *pass, int64_t row)
{
    if (pass->offsets[row] == pass->offsets[row + 1]) {
        return;
    }
    int64_t features = pass->features;
    for (int64_t j = 0; j < features; j++) {
        pass->dx[pass->chosen[row * features + j] * features + j] += pass->dy[row * features + j];
    }
}

static mtl_status max_forward(mtli_call *call)
{
    if (mtli_call_records(call)) {
        call->saved = mtli_tape_memory(call, (size_t)call->output->size, sizeof(int64_t));
        if (!call->saved) {
            return mtli_call_context(call)->status;
        }
    }
    return run_forward(call, (sequence_pass){.row = max_forward_row, .chosen = call->saved});
}

static mtl_status max_backward(const mtli_call *call, mtli_sweep *sweep)
{
    return run_backward(call, sweep, (sequence_pass){.row = max_backward_row, .chosen = call->saved});
}

const mtli_op mtli_op_sequence_max = {
    .name = "mtl_sequence_max",
    .input_names = sequence_inputs,
    .flags = MTLI_OP_ROW_SEPARABLE,
    .infer = sequence_infer,
    .forward = max_forward,
    .backward = max_backward,
};

mtl_tensor *mtl_sequence_max(mtl_tape *tape, mtl_tensor *x)
{
    return mtli_run(tape, &mtli_op_sequence_max, &x, 1, NULL, 0);
}
