/* SPDX-License-Identifier: Apache-2.0
 * Tensors: creation, shapes, ragged offsets, reading and writing, and every error. */
#include "support.h"

#include <mtl/head.h>
#include <mtl/ops.h>

#include "tensor/tensor.h"

static mtl_tensor *make(mtl_context *context, mtl_dtype dtype, int32_t ndim, const int64_t *shape)
{
    mtl_tensor *tensor = NULL;
    assert_ok(context, mtl_tensor_create(context, dtype, ndim, shape, &tensor));
    return tensor;
}

static void creates_zeros_of_every_dimension(void **state)
{
    (void)state;
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context *context = test_context_on(&allocator);
    const int64_t shape[] = {2, 3, 4, 5};
    int64_t size = 1;
    for (int32_t ndim = 0; ndim <= MTL_MAX_DIMS; ndim++) {
        mtl_tensor *tensor = make(context, MTL_FLOAT32, ndim, ndim ? shape : NULL);
        assert_int_equal(mtl_tensor_ndim(tensor), ndim);
        assert_int_equal(mtl_tensor_size(tensor), size);
        assert_int_equal(mtl_tensor_dtype(tensor), MTLI_DTYPE_REAL);
        assert_int_equal(mtl_tensor_rows(tensor), -1);
        assert_null(mtl_tensor_offsets(tensor));
        for (int32_t d = 0; d < ndim; d++) {
            assert_int_equal(mtl_tensor_dim(tensor, d), shape[d]);
        }
        assert_int_equal(mtl_tensor_dim(tensor, ndim), 0);
        assert_int_equal(mtl_tensor_dim(tensor, -1), 0);
        double values[120];
        memset(values, 0xff, sizeof values);
        assert_ok(context, mtl_tensor_read(tensor, MTL_FLOAT64, values, (size_t)size));
        for (int64_t i = 0; i < size; i++) {
            assert_true(values[i] == 0);
        }
        mtl_tensor_release(tensor);
        size *= ndim < MTL_MAX_DIMS ? shape[ndim] : 1;
    }
    mtl_context_release(context);
    test_allocator_check(&allocator);
}

static void a_size_may_be_zero(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    const int64_t shapes[][3] = {{0, 3, 4}, {3, 0, 4}, {3, 4, 0}, {INT32_MAX, 1, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        mtl_tensor *tensor = make(context, MTL_FLOAT32, 3, shapes[i]);
        assert_int_equal(mtl_tensor_size(tensor), 0);
        assert_ok(context, mtl_tensor_read(tensor, MTL_FLOAT32, NULL, 0));
        assert_ok(context, mtl_tensor_write(tensor, MTL_FLOAT32, NULL, 0));
        void *data = NULL;
        assert_ok(context, mtl_tensor_map(tensor, MTLI_DTYPE_REAL, &data));
        assert_non_null(data); /* operations hand it to memcpy */
        double value;
        assert_fails(context, mtl_tensor_item(tensor, &value), MTL_ERROR_SHAPE, "one element");
        mtl_tensor_release(tensor);
    }
    /* Loops run over the sizes beside the 0: they have a limit too. */
    const int64_t endless[2][3] = {{INT64_MAX, INT64_MAX, 0}, {0, (int64_t)1 << 40, 1}};
    for (size_t i = 0; i < 2; i++) {
        mtl_tensor *tensor = NULL;
        assert_fails(context, mtl_tensor_create(context, MTL_FLOAT32, 3, endless[i], &tensor), MTL_ERROR_LIMIT, "shape");
    }
    mtl_context_release(context);
}

static void refuses_bad_shapes(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_tensor *tensor = NULL;
    const int64_t negative[] = {3, -1};
    const int64_t product[] = {INT64_MAX / 2, 3};
    const int64_t bytes[] = {INT64_MAX / 2};
    const int64_t ones[] = {1, 1, 1, 1, 1};
    assert_fails(context, mtl_tensor_create(context, MTL_FLOAT32, -1, ones, &tensor), MTL_ERROR_ARGUMENT, "ndim = -1");
    assert_fails(context, mtl_tensor_create(context, MTL_FLOAT32, 5, ones, &tensor), MTL_ERROR_ARGUMENT, "ndim = 5");
    assert_fails(context, mtl_tensor_create(context, MTL_FLOAT32, 2, negative, &tensor), MTL_ERROR_ARGUMENT,
                 "shape[1] = -1");
    assert_fails(context, mtl_tensor_create(context, MTL_FLOAT32, 2, product, &tensor), MTL_ERROR_LIMIT, "overflows");
    assert_fails(context, mtl_tensor_create(context, MTL_FLOAT32, 1, bytes, &tensor), MTL_ERROR_LIMIT, "memory");
    assert_fails(context, mtl_tensor_create(context, MTL_FLOAT32, 1, NULL, &tensor), MTL_ERROR_ARGUMENT, "shape");
    assert_fails(context, mtl_tensor_create(context, MTL_FLOAT32, 0, NULL, NULL), MTL_ERROR_ARGUMENT, "out");
    assert_fails(context, mtl_tensor_create(context, (mtl_dtype)7, 0, NULL, &tensor), MTL_ERROR_UNSUPPORTED,
                 "dtype = 7");
#ifndef MTLI_DOUBLE
    assert_fails(context, mtl_tensor_create(context, MTL_FLOAT64, 0, NULL, &tensor), MTL_ERROR_UNSUPPORTED, "float64");
#endif
    assert_int_equal(mtl_tensor_create(NULL, MTL_FLOAT32, 0, NULL, &tensor), MTL_ERROR_ARGUMENT);
    assert_null(tensor);
    mtl_context_release(context);
}

static void creates_ragged_tensors(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    const int64_t offsets[] = {0, 2, 2, 5};
    const int32_t values[] = {7, 8, 9, 10, 11};
    mtl_tensor *tensor;
    assert_ok(context, mtl_tensor_create_ragged(context, 3, offsets, values, &tensor));
    assert_int_equal(mtl_tensor_dtype(tensor), MTL_INT32);
    assert_int_equal(mtl_tensor_rows(tensor), 3);
    assert_int_equal(mtl_tensor_ndim(tensor), 1);
    assert_int_equal(mtl_tensor_dim(tensor, 0), 5);
    assert_memory_equal(mtl_tensor_offsets(tensor), offsets, sizeof offsets);
    assert_ptr_not_equal(mtl_tensor_offsets(tensor), offsets); /* copied */
    int32_t read[5];
    assert_ok(context, mtl_tensor_read(tensor, MTL_INT32, read, 5));
    assert_memory_equal(read, values, sizeof values);
    mtl_tensor_release(tensor);
    assert_ok(context, mtl_tensor_create_ragged(context, 3, offsets, NULL, &tensor));
    assert_ok(context, mtl_tensor_read(tensor, MTL_INT32, read, 5));
    for (int i = 0; i < 5; i++) {
        assert_int_equal(read[i], 0);
    }
    mtl_tensor_release(tensor);
    const int64_t none[] = {0};
    assert_ok(context, mtl_tensor_create_ragged(context, 0, none, NULL, &tensor)); /* no sequence at all */
    assert_int_equal(mtl_tensor_rows(tensor), 0);
    assert_int_equal(mtl_tensor_size(tensor), 0);
    mtl_tensor_release(tensor);
    mtl_context_release(context);
}

static void refuses_bad_offsets(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_tensor *tensor = NULL;
    const int64_t late[] = {1, 2};
    const int64_t falling[] = {0, 4, 3};
    const int64_t below[] = {0, -1};
    const int64_t huge[] = {0, INT64_MAX};
    assert_fails(context, mtl_tensor_create_ragged(context, 1, late, NULL, &tensor), MTL_ERROR_ARGUMENT,
                 "offsets[0] = 1");
    assert_fails(context, mtl_tensor_create_ragged(context, 2, falling, NULL, &tensor), MTL_ERROR_ARGUMENT,
                 "offsets[2] = 3");
    assert_fails(context, mtl_tensor_create_ragged(context, 1, below, NULL, &tensor), MTL_ERROR_ARGUMENT,
                 "offsets[1] = -1");
    assert_fails(context, mtl_tensor_create_ragged(context, -1, late, NULL, &tensor), MTL_ERROR_ARGUMENT, "rows = -1");
    assert_fails(context, mtl_tensor_create_ragged(context, INT64_MAX, late, NULL, &tensor), MTL_ERROR_ARGUMENT,
                 "rows");
    assert_fails(context, mtl_tensor_create_ragged(context, 1, huge, NULL, &tensor), MTL_ERROR_LIMIT, NULL);
    assert_fails(context, mtl_tensor_create_ragged(context, 1, NULL, NULL, &tensor), MTL_ERROR_ARGUMENT, "offsets");
    assert_fails(context, mtl_tensor_create_ragged(context, 1, huge, NULL, NULL), MTL_ERROR_ARGUMENT, "out");
    assert_int_equal(mtl_tensor_create_ragged(NULL, 1, huge, NULL, &tensor), MTL_ERROR_ARGUMENT);
    assert_null(tensor);
    mtl_context_release(context);
}

static void converts_between_real_types(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    const int64_t shape[] = {2, 2};
    mtl_tensor *tensor = make(context, MTL_FLOAT32, 2, shape);
    const double doubles[] = {1.5, -2.25, 0.1, 3e5};
    double wide[4];
    float narrow[4];
    assert_ok(context, mtl_tensor_write(tensor, MTL_FLOAT64, doubles, 4));
    assert_ok(context, mtl_tensor_read(tensor, MTL_FLOAT32, narrow, 4));
    assert_ok(context, mtl_tensor_read(tensor, MTL_FLOAT64, wide, 4));
    for (int i = 0; i < 4; i++) {
        assert_true(narrow[i] == (float)doubles[i]);
        assert_true(wide[i] == (double)(mtli_real)doubles[i]);
    }
    const float floats[] = {4, 3, 2, 0.7f};
    assert_ok(context, mtl_tensor_write(tensor, MTL_FLOAT32, floats, 4));
    assert_ok(context, mtl_tensor_read(tensor, MTL_FLOAT64, wide, 4));
    for (int i = 0; i < 4; i++) {
        assert_true(wide[i] == (double)floats[i]);
    }
    mtl_tensor_release(tensor);
    mtl_context_release(context);
}

static void reading_and_writing_is_checked(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    const int64_t shape[] = {3};
    mtl_tensor *real = make(context, MTL_FLOAT32, 1, shape);
    mtl_tensor *whole = make(context, MTL_INT32, 1, shape);
    double doubles[3] = {0};
    int32_t ints[3] = {1, 2, 3};
    void *data = NULL;
    assert_fails(context, mtl_tensor_read(real, MTL_FLOAT64, doubles, 2), MTL_ERROR_SHAPE, "count = 2");
    assert_fails(context, mtl_tensor_write(real, MTL_FLOAT64, doubles, 4), MTL_ERROR_SHAPE, "3 elements");
    assert_fails(context, mtl_tensor_read(real, MTL_INT32, ints, 3), MTL_ERROR_DTYPE, "int32");
    assert_fails(context, mtl_tensor_write(real, MTL_INT32, ints, 3), MTL_ERROR_DTYPE, "int32");
    assert_fails(context, mtl_tensor_read(whole, MTL_FLOAT64, doubles, 3), MTL_ERROR_DTYPE, "float64");
    assert_fails(context, mtl_tensor_write(whole, MTL_FLOAT32, doubles, 3), MTL_ERROR_DTYPE, "float32");
    assert_fails(context, mtl_tensor_read(real, (mtl_dtype)9, doubles, 3), MTL_ERROR_DTYPE, "9");
    assert_fails(context, mtl_tensor_write(real, (mtl_dtype)9, doubles, 3), MTL_ERROR_DTYPE, "9");
    assert_fails(context, mtl_tensor_read(real, MTL_FLOAT64, NULL, 3), MTL_ERROR_ARGUMENT, "values");
    assert_fails(context, mtl_tensor_write(real, MTL_FLOAT64, NULL, 3), MTL_ERROR_ARGUMENT, "values");
    assert_fails(context, mtl_tensor_map(real, MTL_INT32, &data), MTL_ERROR_DTYPE, "int32");
    assert_fails(context, mtl_tensor_map(real, MTLI_DTYPE_REAL, NULL), MTL_ERROR_ARGUMENT, "data");
    assert_fails(context, mtl_tensor_item(real, doubles), MTL_ERROR_SHAPE, "[3]");
    assert_null(data);
    assert_ok(context, mtl_tensor_write(whole, MTL_INT32, ints, 3));
    assert_ok(context, mtl_tensor_map(whole, MTL_INT32, &data));
    assert_memory_equal(data, ints, sizeof ints);
    ((int32_t *)data)[1] = 77;
    mtl_tensor_unmap(whole);
    assert_ok(context, mtl_tensor_read(whole, MTL_INT32, ints, 3));
    assert_int_equal(ints[1], 77);
    mtl_tensor_release(real);
    mtl_tensor_release(whole);
    mtl_context_release(context);
}

static void an_item_is_one_number(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    const int64_t one[] = {1, 1};
    mtl_tensor *real = make(context, MTL_FLOAT32, 0, NULL);
    mtl_tensor *whole = make(context, MTL_INT32, 2, one);
    const double half = 0.5;
    const int32_t five = 5;
    double value;
    assert_ok(context, mtl_tensor_write(real, MTL_FLOAT64, &half, 1));
    assert_ok(context, mtl_tensor_write(whole, MTL_INT32, &five, 1));
    assert_ok(context, mtl_tensor_item(real, &value));
    assert_true(value == 0.5);
    assert_ok(context, mtl_tensor_item(whole, &value));
    assert_true(value == 5);
    assert_fails(context, mtl_tensor_item(real, NULL), MTL_ERROR_ARGUMENT, "value");
    mtl_tensor_release(real);
    mtl_tensor_release(whole);
    mtl_context_release(context);
}

static void results_and_error_tensors_are_protected(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_tape *tape;
    assert_ok(context, mtl_tape_create(context, NULL, &tape));
    mtl_tensor *x = make(context, MTL_FLOAT32, 0, NULL);
    mtl_tensor *result = mtl_scale(tape, x, 2);
    double value = 1;
    assert_fails(context, mtl_tensor_write(result, MTL_FLOAT64, &value, 1), MTL_ERROR_STATE, "read-only");
    assert_ptr_equal(mtl_tensor_retain(result), result); /* nothing happens */
    mtl_tensor_release(result);
    mtl_tensor_release(result);
    assert_ok(context, mtl_tensor_item(result, &value));
    mtl_tensor *error = mtl_scale(tape, NULL, 2);
    void *data;
    assert_fails(context, mtl_tensor_read(error, MTL_FLOAT64, &value, 1), MTL_ERROR_STATE, "error tensor");
    assert_fails(context, mtl_tensor_write(error, MTL_FLOAT64, &value, 1), MTL_ERROR_STATE, "error tensor");
    assert_fails(context, mtl_tensor_map(error, MTL_FLOAT32, &data), MTL_ERROR_STATE, "error tensor");
    assert_fails(context, mtl_tensor_item(error, &value), MTL_ERROR_STATE, "error tensor");
    mtl_tensor *nowhere = mtl_scale(NULL, x, 2); /* the static one: a status, no message */
    assert_int_equal(mtl_tensor_read(nowhere, MTL_FLOAT64, &value, 1), MTL_ERROR_STATE);
    assert_int_equal(mtl_tensor_item(nowhere, &value), MTL_ERROR_STATE);
    assert_int_equal(mtl_tensor_size(nowhere), 0);
    mtl_tensor_release(nowhere);
    mtl_tensor_release(x);
    mtl_tape_destroy(tape);
    mtl_context_release(context);
}

static void a_resize_allocates_only_to_grow(void **state)
{
    (void)state;
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context *context = test_context_on(&allocator);
    mtl_tensor *tensor;
    assert_ok(context, mtli_tensor_create_empty(context, MTL_INT32, &tensor));
    const int64_t large[] = {100};
    const int64_t small[] = {10};
    assert_ok(context, mtli_tensor_resize(tensor, 1, large, 8));
    long calls = allocator.calls;
    for (int64_t rows = 8; rows >= 0; rows--) {
        assert_ok(context, mtli_tensor_resize(tensor, 1, small, rows));
        assert_int_equal(mtl_tensor_rows(tensor), rows);
        assert_non_null(mtli_tensor_offsets(tensor));
    }
    assert_ok(context, mtli_tensor_resize(tensor, 1, large, -1));
    assert_int_equal(mtl_tensor_rows(tensor), -1);
    assert_int_equal(allocator.calls, calls);
    const int64_t larger[] = {1000};
    for (int k = 0; k < 2; k++) { /* its data, then its offsets cannot grow: the tensor is as it was */
        allocator.fail_at = allocator.calls + k;
        assert_fails(context, mtli_tensor_resize(tensor, 1, larger, 1000), MTL_ERROR_MEMORY, NULL);
        assert_int_equal(mtl_tensor_size(tensor), 100);
        assert_int_equal(mtl_tensor_rows(tensor), -1);
    }
    mtl_tensor_release(tensor);
    mtl_context_release(context);
    test_allocator_check(&allocator);
}

static void describes_shapes(void **state)
{
    (void)state;
    char text[MTLI_SHAPE_TEXT];
    const int64_t dims[] = {INT64_MIN, INT64_MAX, INT64_MIN, INT64_MAX};
    mtli_ragged ragged = {0, NULL};
    mtli_shape shape = mtli_make_shape(MTL_INT32, 0, NULL);
    assert_string_equal(mtli_shape_text(&shape, text), "[]");
    shape = mtli_make_shape(MTL_INT32, 4, dims);
    shape.ragged = &ragged;
    assert_string_equal(mtli_shape_text(&shape, text), "ragged [-9223372036854775808, 9223372036854775807, "
                                                       "-9223372036854775808, 9223372036854775807]");
}

static void references_keep_it_alive(void **state)
{
    (void)state;
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context *context = test_context_on(&allocator);
    mtl_tensor *tensor = make(context, MTL_FLOAT32, 0, NULL);
    mtl_context_release(context); /* the tensor holds it */
    assert_ptr_equal(mtl_tensor_retain(tensor), tensor);
    mtl_tensor_release(tensor);
    double value;
    assert_int_equal(mtl_tensor_item(tensor, &value), MTL_OK);
    mtl_tensor_release(tensor);
    test_allocator_check(&allocator);
    assert_null(mtl_tensor_retain(NULL));
    mtl_tensor_release(NULL);
    mtl_tensor_unmap(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creates_zeros_of_every_dimension),
        cmocka_unit_test(a_size_may_be_zero),
        cmocka_unit_test(refuses_bad_shapes),
        cmocka_unit_test(creates_ragged_tensors),
        cmocka_unit_test(refuses_bad_offsets),
        cmocka_unit_test(converts_between_real_types),
        cmocka_unit_test(reading_and_writing_is_checked),
        cmocka_unit_test(an_item_is_one_number),
        cmocka_unit_test(results_and_error_tensors_are_protected),
        cmocka_unit_test(a_resize_allocates_only_to_grow),
        cmocka_unit_test(describes_shapes),
        cmocka_unit_test(references_keep_it_alive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
