/* SPDX-License-Identifier: Apache-2.0
 * Truncated factorizations of a stack of weights: a tensor [T, d_1, .., d_n] loses the smallest singular directions of
 * one matrix after the other. Each step leaves its matrix X as U (Uᵀ X) with orthonormal columns of U, so the squared
 * errors of the steps add up to that of the whole: what one step did not use of its share, the next ones have.
 *
 *   LAF           [T | d_1 .. d_n]
 *   Tucker        each mode against the others, in the tensor that the modes before have left (Vannieuwenhoven,
 *                 Vandebril & Meerbergen 2012); the tasks first: that is the cheapest reduction
 *   tensor train  [d_1 | rest], [r_1 d_2 | rest], .. (Oseledets 2011) */
#include "sharing/factorize.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "kernels/reduce.h"
#include "sharing/truncate.h"

/* A factorization that is being made. x is what the steps have left of the stack, a matrix whose sides the steps know.
   */
typedef struct factorizing {
    mtli_truncation truncation;
    const mtli_modes *modes;
    int64_t size; /* of x */
    mtli_real *x;
    mtli_real *spare;               /* as large as x was in the beginning */
    mtli_real *u[MTLI_MAX_FACTORS]; /* of the steps; NULL: left out */
    int64_t ranks[MTLI_MAX_FACTORS];
    int32_t steps;
} factorizing;

static void exchange(factorizing *f)
{
    mtli_real *x = f->x;
    f->x = f->spare;
    f->spare = x;
}

/* One step with x as [rows, rest]: x becomes [rank, rest]. An `optional` U may be left out. */
static mtl_status reduce_rows(factorizing *f, int64_t rows, bool optional)
{
    int64_t rest = f->size / rows;
    int32_t step = f->steps++;
    mtl_status status =
        mtli_truncate(&f->truncation, rows, rest, f->x, optional, f->spare, &f->u[step], &f->ranks[step]);
    if (status == MTL_OK && f->u[step]) {
        f->size = f->ranks[step] * rest;
        exchange(f);
    }
    return status;
}

/* x as [rows, rest] becomes [rest, rows]. */
static void turn(factorizing *f, int64_t rows)
{
    enum { TILE = 16 };
    int64_t rest = f->size / rows;
    for (int64_t i0 = 0; i0 < rows; i0 += TILE) {
        int64_t end = i0 + TILE < rows ? i0 + TILE : rows;
        for (int64_t j = 0; j < rest; j++) {
            for (int64_t i = i0; i < end; i++) {
                f->spare[j * rows + i] = f->x[i * rest + j];
            }
        }
    }
    exchange(f);
}

static mtli_real *keep_x(factorizing *f)
{
    mtli_real *copy = mtli_arena_take_array(f->truncation.result, (size_t)f->size, sizeof *copy);
    if (copy) {
        memcpy(copy, f->x, (size_t)f->size * sizeof *copy);
    }
    return copy;
}

/* Everything that is there becomes a factor, in the order of mtli_factor_layout(). */
static void collect_factors(mtli_factor_values *out, mtli_real *const *factors, int32_t count)
{
    for (int32_t k = 0; k < count; k++) {
        if (factors[k]) {
            out->values[out->count++] = factors[k];
        }
    }
}

static mtl_status factorize_laf(factorizing *f, mtli_factor_values *out)
{
    mtl_status status = reduce_rows(f, f->modes->tasks, false);
    mtli_real *basis = status == MTL_OK ? keep_x(f) : NULL;
    if (!basis) {
        return f->truncation.context->status;
    }
    out->ranks[0] = f->ranks[0];
    collect_factors(out, &basis, 1);
    collect_factors(out, &f->u[0], 1);
    return MTL_OK;
}

/* Turned after each step, the next mode stands in front, and in the end the tasks again. */
static mtl_status factorize_tucker(factorizing *f, mtli_factor_values *out)
{
    int32_t count = f->modes->count;
    mtl_status status = MTL_OK;
    for (int32_t k = -1; k < count && status == MTL_OK; k++) {
        status = reduce_rows(f, k < 0 ? f->modes->tasks : f->modes->dims[k], k >= 0);
        if (status == MTL_OK) {
            turn(f, f->ranks[k + 1]);
        }
    }
    mtli_real *core = status == MTL_OK ? keep_x(f) : NULL;
    if (!core) {
        return f->truncation.context->status;
    }
    memcpy(out->ranks, f->ranks + 1, (size_t)count * sizeof out->ranks[0]);
    out->ranks[count] = f->ranks[0];
    collect_factors(out, &core, 1);
    collect_factors(out, f->u + 1, count);
    collect_factors(out, f->u, 1);
    return MTL_OK;
}

static mtl_status factorize_train(factorizing *f, mtli_factor_values *out)
{
    int32_t count = f->modes->count;
    mtl_status status = MTL_OK;
    turn(f, f->modes->tasks);
    for (int32_t k = 0; k < count && status == MTL_OK; k++) {
        int64_t before = k > 0 ? f->ranks[k - 1] : 1;
        status = reduce_rows(f, before * f->modes->dims[k], k == 0 && count > 1);
    }
    mtli_real *tasks = NULL;
    if (status == MTL_OK) {
        turn(f, f->ranks[count - 1]);
        tasks = keep_x(f);
    }
    if (!tasks) {
        return f->truncation.context->status;
    }
    memcpy(out->ranks, f->ranks, (size_t)count * sizeof out->ranks[0]);
    collect_factors(out, f->u, count);
    collect_factors(out, &tasks, 1);
    return MTL_OK;
}

/* The stack [T, d_1, .., d_n] and room for another. */
static mtl_status stack_weights(factorizing *f, const mtli_real *const *w, double *norm_squared)
{
    int64_t size = 1;
    for (int32_t k = 0; k < f->modes->count; k++) {
        size *= f->modes->dims[k]; /* of a parameter that is in memory */
    }
    if (!mtli_mul_i64(size, f->modes->tasks, &f->size)) {
        return mtli_fail(f->truncation.context, MTL_ERROR_LIMIT, "a stack of %d tasks overflows", f->modes->tasks);
    }
    f->x = mtli_arena_take_array(&f->truncation.scratch, (size_t)f->size, sizeof f->x[0]);
    f->spare = f->x ? mtli_arena_take_array(&f->truncation.scratch, (size_t)f->size, sizeof f->x[0]) : NULL;
    if (!f->spare) {
        return f->truncation.context->status;
    }
    *norm_squared = 0;
    for (int32_t t = 0; t < f->modes->tasks; t++) {
        memcpy(f->x + t * size, w[t], (size_t)size * sizeof f->x[0]);
        *norm_squared += mtli_dot(size, w[t], w[t]);
    }
    return MTL_OK;
}

static mtl_status run_steps(factorizing *f, int32_t kind, mtli_factor_values *out)
{
    f->truncation.left = mtli_factor_num_ranks(kind, f->modes);
    switch (kind) {
    case MTL_FACTORIZATION_TUCKER:
        return factorize_tucker(f, out);
    case MTL_FACTORIZATION_TENSOR_TRAIN:
        return factorize_train(f, out);
    default:
        return factorize_laf(f, out);
    }
}

mtl_status mtli_factorize(mtl_context *context, const mtli_factorize_options *options, const mtli_modes *modes,
                          const mtli_real *const *w, const char *name, mtli_arena *arena, mtli_factor_values *out)
{
    factorizing f;
    double norm_squared = 0;
    memset(&f, 0, sizeof f);
    memset(out, 0, sizeof *out);
    f.modes = modes;
    f.truncation = (mtli_truncation){.context = context,
                                     .result = arena,
                                     .full = options->relative_error == 0,
                                     .max_rank = options->max_rank,
                                     .name = name};
    mtli_arena_init(&f.truncation.scratch, context);
    mtl_status status = stack_weights(&f, w, &norm_squared);
    if (status == MTL_OK && !isfinite(norm_squared)) {
        status = mtli_fail(context, MTL_ERROR_NUMERIC, "the weights '%.128s' are not finite", name);
    }
    double largest = sqrt(norm_squared) * sqrt((double)modes->tasks); /* no factor has a larger value */
    if (status == MTL_OK && !isfinite((mtli_real)largest)) {
        status = mtli_fail(context, MTL_ERROR_NUMERIC, "the weights '%.128s' have norm %g: their factors overflow",
                           name, sqrt(norm_squared));
    }
    if (status == MTL_OK) {
        f.truncation.budget = options->relative_error * options->relative_error * norm_squared;
        status = run_steps(&f, options->kind, out);
    }
    mtli_arena_destroy(&f.truncation.scratch);
    out->error = norm_squared > 0 ? sqrt(f.truncation.used / norm_squared) : 0;
    return status;
}
