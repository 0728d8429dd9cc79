/* SPDX-License-Identifier: Apache-2.0
 * Samples of operations on rows and whole tensors: linear, softmax, layer norm, concat, rows, sum, mean. */
#include <mtl/ops.h>

#include "samples.h"

static const int64_t offsets[] = {0, 2, 2, 5};

#define RAGGED(...) \
    { .kind = SAMPLE_REAL, .ndim = SAMPLE_COUNT(__VA_ARGS__), .dims = {__VA_ARGS__}, .rows = 3, .offsets = offsets }

static const int32_t some_indices[] = {2, 0, 2, 1};
static const int32_t first_index[] = {0};

#define INDICES(count, list) \
    { .kind = SAMPLE_INT, .ndim = 1, .dims = {count}, .values = list }

static mtl_tensor *run_linear(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_linear(tape, in[0], in[1], in[2]);
}

static mtl_tensor *run_softmax(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_softmax(tape, in[0]);
}

static mtl_tensor *run_log_softmax(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_log_softmax(tape, in[0]);
}

static mtl_tensor *run_layer_norm(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_layer_norm(tape, in[0], in[1], in[2], 1e-5);
}

static mtl_tensor *run_layer_norm_bias(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_layer_norm(tape, in[0], NULL, in[1], 0.1);
}

static mtl_tensor *run_concat(mtl_tape *tape, mtl_tensor *const *in)
{
    int32_t count = 0;
    while (in[count]) {
        count++;
    }
    return mtl_concat(tape, in, count);
}

static mtl_tensor *run_concat_twice(mtl_tape *tape, mtl_tensor *const *in)
{
    mtl_tensor *twice[] = {in[0], in[1], in[0]};
    return mtl_concat(tape, twice, 3);
}

static mtl_tensor *run_rows(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_rows(tape, in[0], in[1]);
}

static mtl_tensor *run_sum(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_sum(tape, in[0]);
}

static mtl_tensor *run_mean(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_mean(tape, in[0]);
}

const op_sample samples_matrix[] = {
    {"mtl_linear", "matrix", run_linear, {REAL(5, 3), REAL(4, 3), REAL(4)}},
    {"mtl_linear", "no bias", run_linear, {REAL(5, 3), REAL(4, 3)}},
    {"mtl_linear", "one row as a vector", run_linear, {REAL(3), REAL(4, 3), REAL(4)}},
    {"mtl_linear", "three dimensions", run_linear, {REAL(2, 3, 4), REAL(2, 4), REAL(2)}},
    {"mtl_linear", "no rows", run_linear, {REAL(0, 3), REAL(4, 3), REAL(4)}},
    {"mtl_linear", "no inputs", run_linear, {REAL(2, 0), REAL(3, 0), REAL(3)}},
    {"mtl_linear", "ragged", run_linear, {RAGGED(5, 3), REAL(2, 3), REAL(2)}},
    {"mtl_softmax", "matrix", run_softmax, {REAL(3, 5)}},
    {"mtl_softmax", "vector", run_softmax, {REAL(4)}},
    {"mtl_softmax", "one feature", run_softmax, {REAL(3, 1)}},
    {"mtl_softmax", "no rows", run_softmax, {REAL(0, 4)}},
    {"mtl_softmax", "ragged", run_softmax, {RAGGED(5, 3)}},
    {"mtl_softmax", "wide", run_softmax, {REAL(1, 600)}},
    {"mtl_log_softmax", "matrix", run_log_softmax, {REAL(3, 5)}},
    {"mtl_log_softmax", "vector", run_log_softmax, {REAL(4)}},
    {"mtl_log_softmax", "one feature", run_log_softmax, {REAL(3, 1)}},
    {"mtl_log_softmax", "no rows", run_log_softmax, {REAL(0, 4)}},
    {"mtl_log_softmax", "wide", run_log_softmax, {REAL(1, 600)}},
    {"mtl_layer_norm", "matrix", run_layer_norm, {REAL(3, 5), REAL(5), REAL(5)}},
    {"mtl_layer_norm", "plain", run_layer_norm, {REAL(3, 5)}},
    {"mtl_layer_norm", "no bias", run_layer_norm, {REAL(3, 5), REAL(5)}},
    {"mtl_layer_norm", "no gain", run_layer_norm_bias, {REAL(3, 5), REAL(5)}},
    {"mtl_layer_norm", "vector", run_layer_norm, {REAL(6), REAL(6), REAL(6)}},
    {"mtl_layer_norm", "no rows", run_layer_norm, {REAL(0, 5), REAL(5), REAL(5)}},
    {"mtl_layer_norm", "three dimensions", run_layer_norm, {REAL(2, 2, 9), REAL(9), REAL(9)}},
    {"mtl_layer_norm", "wide", run_layer_norm, {REAL(2, 530), REAL(530), REAL(530)}},
    {"mtl_layer_norm", "ragged", run_layer_norm, {RAGGED(5, 4), REAL(4), REAL(4)}},
    {"mtl_concat", "two", run_concat, {REAL(3, 2), REAL(3, 4)}},
    {"mtl_concat", "one", run_concat, {REAL(3, 2)}},
    {"mtl_concat", "vectors", run_concat, {REAL(2), REAL(3), REAL(1)}},
    {"mtl_concat", "with an empty part", run_concat, {REAL(3, 2), REAL(3, 0), REAL(3, 1)}},
    {"mtl_concat", "no rows", run_concat, {REAL(0, 2), REAL(0, 3)}},
    {"mtl_concat", "ragged and dense", run_concat, {REAL(5, 2), RAGGED(5, 3)}},
    {"mtl_concat", "three dimensions", run_concat, {REAL(2, 3, 2), REAL(2, 3, 1)}},
    {"mtl_concat", "one tensor twice", run_concat_twice, {REAL(3, 2), REAL(3, 1)}},
    {"mtl_rows", "matrix", run_rows, {REAL(3, 4), INDICES(4, some_indices)}},
    {"mtl_rows", "vector", run_rows, {REAL(3), INDICES(4, some_indices)}},
    {"mtl_rows", "three dimensions", run_rows, {REAL(3, 2, 2), INDICES(4, some_indices)}},
    {"mtl_rows", "no indices", run_rows, {REAL(3, 4), INDICES(0, some_indices)}},
    {"mtl_rows", "one index", run_rows, {REAL(1, 4), INDICES(1, first_index)}},
    {"mtl_sum", "matrix", run_sum, {REAL(3, 5)}},
    {"mtl_sum", "scalar", run_sum, {SCALAR}},
    {"mtl_sum", "nothing", run_sum, {REAL(0, 5)}},
    {"mtl_mean", "matrix", run_mean, {REAL(3, 5)}},
    {"mtl_mean", "scalar", run_mean, {SCALAR}},
    {"mtl_mean", "nothing", run_mean, {REAL(0, 5)}},
    {NULL, NULL, NULL, {{SAMPLE_END}}},
};
