/* SPDX-License-Identifier: Apache-2.0
 * What the tests of operations share: a context with a tape, tensors from lists, gradients. Sees internal headers. */
#ifndef TESTS_SUPPORT_OPS_H
#define TESTS_SUPPORT_OPS_H

#include <math.h>

#include "autograd/tape.h"
#include "support/support.h"

#include <mtl/loss.h>
#include <mtl/ops.h>

enum { OPS_MAX_TENSORS = 16 };

typedef struct ops_fixture {
    mtl_context *context;
    mtl_tape *tape;
    mtl_tensor *tensors[OPS_MAX_TENSORS];
    int count;
} ops_fixture;

static inline void ops_begin_threads(ops_fixture *fixture, int32_t threads)
{
    memset(fixture, 0, sizeof *fixture);
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.threads = threads;
    options.seed = 77;
    assert_int_equal(mtl_context_create(&options, &fixture->context), MTL_OK);
    assert_ok(fixture->context, mtl_tape_create(fixture->context, NULL, &fixture->tape));
    mtl_tape_reset(fixture->tape, MTL_TAPE_TRAIN);
}

static inline void ops_begin(ops_fixture *fixture)
{
    ops_begin_threads(fixture, 1);
}

static inline void ops_end(ops_fixture *fixture)
{
    for (int i = 0; i < fixture->count; i++) {
        mtl_tensor_release(fixture->tensors[i]);
    }
    mtl_tape_destroy(fixture->tape);
    mtl_context_release(fixture->context);
}

/* A tensor that ops_end() releases. */
static inline mtl_tensor *ops_keep(ops_fixture *fixture, mtl_tensor *tensor)
{
    assert_true(fixture->count < OPS_MAX_TENSORS);
    fixture->tensors[fixture->count++] = tensor;
    return tensor;
}

static inline mtl_tensor *ops_tensor(ops_fixture *fixture, mtl_dtype dtype, int32_t ndim, const int64_t *dims)
{
    mtl_tensor *tensor = NULL;
    assert_ok(fixture->context, mtl_tensor_create(fixture->context, dtype, ndim, dims, &tensor));
    return ops_keep(fixture, tensor);
}

/* A real tensor, watched when the tape is in training; values NULL: a pattern of numbers in [-1, 1]. */
static inline mtl_tensor *ops_real(ops_fixture *fixture, int32_t ndim, const int64_t *dims, const mtli_real *values)
{
    mtl_tensor *tensor = ops_tensor(fixture, MTL_FLOAT32, ndim, dims);
    for (int64_t i = 0; i < tensor->size; i++) {
        int64_t pattern = (i * 7919 + 31 * fixture->count) % 2001 - 1000;
        ((mtli_real *)tensor->data)[i] = values ? values[i] : (mtli_real)pattern / 1024;
    }
    if (fixture->tape->mode == MTL_TAPE_TRAIN) {
        assert_ok(fixture->context, mtl_tape_watch(fixture->tape, tensor));
    }
    return tensor;
}

static inline mtl_tensor *ops_int32(ops_fixture *fixture, int64_t n, const int32_t *values)
{
    mtl_tensor *tensor = ops_tensor(fixture, MTL_INT32, 1, &n);
    if (values) {
        memcpy(tensor->data, values, (size_t)n * sizeof values[0]);
    }
    return tensor;
}

/* A real tensor whose first dimension is cut by the offsets. */
static inline mtl_tensor *ops_ragged(ops_fixture *fixture, int32_t ndim, const int64_t *dims, int64_t rows,
                                     const int64_t *offsets)
{
    mtl_tensor *tensor = ops_tensor(fixture, MTL_FLOAT32, ndim, dims);
    assert_ok(fixture->context, mtli_tensor_resize(tensor, ndim, dims, rows));
    memcpy(mtli_tensor_offsets(tensor), offsets, ((size_t)rows + 1) * sizeof offsets[0]);
    for (int64_t i = 0; i < tensor->size; i++) {
        ((mtli_real *)tensor->data)[i] = (mtli_real)(i % 17) / 8 - 1;
    }
    assert_ok(fixture->context, mtl_tape_watch(fixture->tape, tensor));
    return tensor;
}

static inline const mtli_real *ops_values(const mtl_tensor *tensor)
{
    assert_non_null(tensor);
    return tensor->data;
}

static inline double ops_item(const mtl_tensor *tensor)
{
    double value = NAN;
    assert_int_equal(mtl_tensor_item(tensor, &value), MTL_OK);
    return value;
}

static inline void ops_sweep(ops_fixture *fixture, mtl_tensor *root)
{
    assert_string_equal(mtl_tape_error(fixture->tape), "");
    double seed = 1;
    assert_ok(fixture->context, mtli_sweep_run(fixture->tape, &root, &seed, 1, NULL));
}

/* The sweep of the sum of y * w. */
static inline void ops_sweep_weighted(ops_fixture *fixture, mtl_tensor *y, mtl_tensor *w)
{
    ops_sweep(fixture, mtl_sum(fixture->tape, mtl_mul(fixture->tape, y, w)));
}

static inline const mtli_real *ops_gradient(ops_fixture *fixture, const mtl_tensor *tensor)
{
    const mtl_tensor *gradient = mtl_tape_gradient(fixture->tape, tensor);
    assert_non_null(gradient);
    return gradient->data;
}

/* The last operation failed with this status and said all of these things. Makes the tape usable again. */
static inline void ops_expect_error(ops_fixture *fixture, const mtl_tensor *result, mtl_status status,
                                    const char *const *words, int line)
{
    assert_non_null(result);
    assert_ptr_equal(result, &fixture->tape->error);
    const char *text = mtl_tape_error(fixture->tape);
    if (mtl_tape_status(fixture->tape) != status) {
        fail_msg("line %d: %s instead of %s: %s", line, mtl_status_name(mtl_tape_status(fixture->tape)),
                 mtl_status_name(status), text);
    }
    for (; *words; words++) {
        if (!strstr(text, *words)) {
            fail_msg("line %d: \"%s\" does not say \"%s\"", line, text, *words);
        }
    }
    mtl_tape_reset(fixture->tape, MTL_TAPE_TRAIN);
}

#define assert_op_fails(fixture, result, status, ...) \
    ops_expect_error((fixture), (result), (status), (const char *const[]){__VA_ARGS__, NULL}, __LINE__)

#endif
