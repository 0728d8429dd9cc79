/* SPDX-License-Identifier: Apache-2.0
 * Blocks of parameters: layout, names, first values, lifetime, overflow. */
#include "support.h"

#include <math.h>

#include "tensor/parameters.h"

static const mtli_parameter_spec specs[] = {
    {.name = "zeros", .ndim = 1, .dims = {3}, .init = MTLI_INIT_ZEROS},
    {.name = "ones", .ndim = 2, .dims = {3, 7}, .init = MTLI_INIT_ONES},
    {.name = "uniform", .ndim = 2, .dims = {100, 100}, .init = MTLI_INIT_UNIFORM, .scale = 0.5},
    {.name = "normal", .ndim = 2, .dims = {100, 100}, .init = MTLI_INIT_NORMAL, .scale = 2, .row_sparse = true},
};
enum { COUNT = sizeof specs / sizeof specs[0] };

static void lays_out_aligned_with_zeros_between(void **state)
{
    (void)state;
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context *context = test_context_on(&allocator);
    mtli_parameters *parameters;
    assert_ok(context, mtli_parameters_create(context, specs, COUNT, &parameters));
    assert_int_equal(parameters->count, COUNT);
    size_t end = 0;
    for (int i = 0; i < COUNT; i++) {
        const mtli_parameter *parameter = &parameters->list[i];
        assert_string_equal(parameter->name, specs[i].name);
        assert_ptr_not_equal(parameter->name, specs[i].name);
        assert_int_equal((uintptr_t)parameter->tensor.data % MTLI_ALIGNMENT, 0);
        assert_ptr_equal(parameter->tensor.data, parameters->block + parameter->offset);
        assert_int_equal(parameter->tensor.kind, MTLI_TENSOR_PARAMETER);
        assert_int_equal(parameter->row_sparse, specs[i].row_sparse);
        for (size_t k = end; k < parameter->offset; k++) {
            assert_true(parameters->block[k] == 0);
        }
        end = parameter->offset + (size_t)parameter->tensor.size;
        assert_ptr_equal(mtli_parameters_find(parameters, specs[i].name), &parameter->tensor);
    }
    assert_in_range(parameters->block_size, end, end + MTLI_ALIGNMENT);
    assert_null(mtli_parameters_find(parameters, "other"));
    mtl_context_release(context);
    assert_ptr_equal(mtli_parameters_retain(parameters), parameters);
    mtli_parameters_release(parameters);
    mtli_parameters_release(parameters);
    mtli_parameters_release(NULL);
    assert_null(mtli_parameters_retain(NULL));
    test_allocator_check(&allocator);
}

static void begins_as_asked(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtli_parameters *parameters;
    assert_ok(context, mtli_parameters_create(context, specs, COUNT, &parameters));
    const mtli_real *zeros = parameters->list[0].tensor.data;
    const mtli_real *ones = parameters->list[1].tensor.data;
    const mtli_real *uniform = parameters->list[2].tensor.data;
    const mtli_real *normal = parameters->list[3].tensor.data;
    for (int i = 0; i < 3; i++) {
        assert_true(zeros[i] == 0);
    }
    for (int i = 0; i < 21; i++) {
        assert_true(ones[i] == 1);
    }
    double sum = 0;
    double squares = 0;
    double normal_sum = 0;
    double normal_squares = 0;
    for (int i = 0; i < 10000; i++) {
        assert_true(fabs((double)uniform[i]) <= 0.5);
        sum += (double)uniform[i];
        squares += (double)uniform[i] * (double)uniform[i];
        normal_sum += (double)normal[i];
        normal_squares += (double)normal[i] * (double)normal[i];
    }
    /* Five standard errors. Uniform in [-1/2, 1/2]: variance 1/12, that of the square 1/180. Normal with deviation 2:
     * variance 4, that of the square 2 * 4^2. n = 10^4. */
    assert_near(sum / 1e4, 0, 5 * sqrt(1.0 / 12 / 1e4));
    assert_near(squares / 1e4, 1.0 / 12, 5 * sqrt(1.0 / 180 / 1e4));
    assert_near(normal_sum / 1e4, 0, 5 * sqrt(4 / 1e4));
    assert_near(normal_squares / 1e4, 4, 5 * sqrt(32 / 1e4));
    mtli_parameters_release(parameters);
    mtl_context_release(context);
}

static void sizes_that_overflow_are_errors(void **state)
{
    (void)state;
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context *context = test_context_on(&allocator);
    mtli_parameters *parameters = NULL;
    const mtli_parameter_spec one[] = {{.name = "a", .ndim = 2, .dims = {INT64_MAX / 2, 4}}};
    assert_fails(context, mtli_parameters_create(context, one, 1, &parameters), MTL_ERROR_LIMIT, "overflows");
    int64_t most = INT64_MAX / (int64_t)sizeof(mtli_real) / 2;
    const mtli_parameter_spec together[] = {
        {.name = "a", .ndim = 1, .dims = {most}}, {.name = "b", .ndim = 1, .dims = {most}},
        {.name = "c", .ndim = 1, .dims = {most}}, {.name = "d", .ndim = 1, .dims = {most}},
        {.name = "e", .ndim = 1, .dims = {most}},
    };
    assert_fails(context, mtli_parameters_create(context, together, 5, &parameters), MTL_ERROR_LIMIT, NULL);
    assert_null(parameters);
    mtl_context_release(context);
    test_allocator_check(&allocator);
}

static mtl_status create_once(mtl_context *context, void *user)
{
    (void)user;
    mtli_parameters *parameters = NULL;
    mtl_status status = mtli_parameters_create(context, specs, COUNT, &parameters);
    mtli_parameters_release(parameters);
    return status;
}

static void nothing_leaks_when_memory_ends(void **state)
{
    (void)state;
    test_each_allocation_failing(create_once, NULL);
}

static void no_parameters_are_parameters_too(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtli_parameters *parameters;
    assert_ok(context, mtli_parameters_create(context, NULL, 0, &parameters));
    assert_null(mtli_parameters_find(parameters, "a"));
    mtli_parameters_release(parameters);
    mtl_context_release(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lays_out_aligned_with_zeros_between), cmocka_unit_test(begins_as_asked),
        cmocka_unit_test(sizes_that_overflow_are_errors),      cmocka_unit_test(nothing_leaks_when_memory_ends),
        cmocka_unit_test(no_parameters_are_parameters_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
