/* SPDX-License-Identifier: Apache-2.0
 * Samples of operations on elements: arithmetic, activations, dropout. */
#include <mtl/ops.h>

#include "samples.h"

static const int64_t offsets[] = {0, 2, 2, 5};

#define RAGGED(...) \
    { .kind = SAMPLE_REAL, .ndim = SAMPLE_COUNT(__VA_ARGS__), .dims = {__VA_ARGS__}, .rows = 3, .offsets = offsets }

static mtl_tensor *run_add(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_add(tape, in[0], in[1]);
}

static mtl_tensor *run_add_twice(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_add(tape, in[0], in[0]);
}

static mtl_tensor *run_mul(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_mul(tape, in[0], in[1]);
}

static mtl_tensor *run_square(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_mul(tape, in[0], in[0]);
}

static mtl_tensor *run_scale(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_scale(tape, in[0], -2.5);
}

static mtl_tensor *run_scale_zero(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_scale(tape, in[0], 0);
}

static mtl_tensor *run_tanh(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_tanh(tape, in[0]);
}

static mtl_tensor *run_sigmoid(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_sigmoid(tape, in[0]);
}

static mtl_tensor *run_relu(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_relu(tape, in[0]);
}

static mtl_tensor *run_gelu(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_gelu(tape, in[0]);
}

static mtl_tensor *run_dropout(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_dropout(tape, in[0], 0.4);
}

static mtl_tensor *run_chain(mtl_tape *tape, mtl_tensor *const *in)
{
    mtl_tensor *x = mtl_mul(tape, mtl_tanh(tape, in[0]), mtl_sigmoid(tape, in[0]));
    return mtl_add(tape, x, mtl_mul(tape, x, in[0]));
}

const op_sample samples_elementwise[] = {
    {"mtl_add", "same shape", run_add, {REAL(3, 4), REAL(3, 4)}},
    {"mtl_add", "suffix", run_add, {REAL(2, 3, 4), REAL(3, 4)}},
    {"mtl_add", "last dimension", run_add, {REAL(2, 3, 4), REAL(4)}},
    {"mtl_add", "scalar to matrix", run_add, {REAL(3, 4), SCALAR}},
    {"mtl_add", "scalars", run_add, {SCALAR, SCALAR}},
    {"mtl_add", "no rows", run_add, {REAL(0, 4), REAL(4)}},
    {"mtl_add", "ragged", run_add, {RAGGED(5, 2), RAGGED(5, 2)}},
    {"mtl_add", "wide suffix", run_add, {REAL(2, 150), REAL(150)}},
    {"mtl_add", "x + x", run_add_twice, {REAL(3, 4)}},
    {"mtl_mul", "same shape", run_mul, {REAL(3, 4), REAL(3, 4)}},
    {"mtl_mul", "suffix", run_mul, {REAL(2, 3, 4), REAL(3, 4)}},
    {"mtl_mul", "last dimension", run_mul, {REAL(2, 3, 4), REAL(4)}},
    {"mtl_mul", "last dimension of 1", run_mul, {REAL(5, 1), REAL(1)}},
    {"mtl_mul", "scalar to matrix", run_mul, {REAL(3, 4), SCALAR}},
    {"mtl_mul", "scalars", run_mul, {SCALAR, SCALAR}},
    {"mtl_mul", "no rows", run_mul, {REAL(0, 4), REAL(4)}},
    {"mtl_mul", "no columns", run_mul, {REAL(4, 0), REAL(0)}},
    {"mtl_mul", "ragged and dense", run_mul, {RAGGED(5, 2), REAL(2)}},
    {"mtl_mul", "x * x", run_square, {REAL(3, 4)}},
    {"mtl_mul", "in a chain", run_chain, {REAL(2, 3)}},
    {"mtl_scale", "matrix", run_scale, {REAL(3, 4)}},
    {"mtl_scale", "by 0", run_scale_zero, {REAL(3)}},
    {"mtl_scale", "scalar", run_scale, {SCALAR}},
    {"mtl_scale", "no rows", run_scale, {REAL(0, 2)}},
    {"mtl_tanh", "matrix", run_tanh, {REAL(3, 7)}},
    {"mtl_tanh", "scalar", run_tanh, {SCALAR}},
    {"mtl_tanh", "no rows", run_tanh, {REAL(0, 2)}},
    {"mtl_tanh", "ragged", run_tanh, {RAGGED(5, 3)}},
    {"mtl_sigmoid", "matrix", run_sigmoid, {REAL(3, 7)}},
    {"mtl_sigmoid", "far out", run_sigmoid, {{.kind = SAMPLE_REAL, .ndim = 1, .dims = {9}, .low = -9, .high = 9}}},
    {"mtl_sigmoid", "scalar", run_sigmoid, {SCALAR}},
    {"mtl_sigmoid", "no rows", run_sigmoid, {REAL(0, 2)}},
    {"mtl_relu", "matrix", run_relu, {AWAY(3, 7)}},
    {"mtl_relu", "scalar", run_relu, {{.kind = SAMPLE_AWAY, .ndim = 0}}},
    {"mtl_relu", "no rows", run_relu, {AWAY(0, 2)}},
    {"mtl_gelu", "matrix", run_gelu, {REAL(3, 7)}},
    {"mtl_gelu", "wide", run_gelu, {{.kind = SAMPLE_REAL, .ndim = 2, .dims = {3, 100}, .low = -5, .high = 5}}},
    {"mtl_gelu", "scalar", run_gelu, {SCALAR}},
    {"mtl_gelu", "no rows", run_gelu, {REAL(0, 2)}},
    {"mtl_dropout", "matrix", run_dropout, {REAL(9, 17)}},
    {"mtl_dropout", "scalar", run_dropout, {SCALAR}},
    {"mtl_dropout", "no rows", run_dropout, {REAL(0, 2)}},
    {"mtl_dropout", "ragged", run_dropout, {RAGGED(5, 3)}},
    {NULL, NULL, NULL, {{SAMPLE_END}}},
};
