/* SPDX-License-Identifier: Apache-2.0
 * The k-th allocation fails, k = 0, 1, ... until none does, in all that a balancer does without an objective: the status
 * is MTL_ERROR_MEMORY, everything is given back, and what the balancer remembered is as before. */
#include "balancers.h"

enum { T = 3, MOST = 4096 };

static const double LOSSES[T] = {0.7, 1.9, 0.3};
static const double GRAM[T * T] = {6, 0, -7, 0, 6, -1, -7, -1, 14};
static const double PREFERENCE[T] = {1, 2, 3};
static const double REFERENCE[T] = {0, .1, 0};

static mtl_balancer_options options_of(int32_t method)
{
    mtl_balancer_options options = balancer_options(method);
    bool arrays = method == MTL_BALANCE_TCHEBYCHEFF || method == MTL_BALANCE_BOUNDARY;
    options.num_tasks = T;
    options.preference = arrays ? PREFERENCE : NULL;
    options.reference = arrays ? REFERENCE : NULL;
    return options;
}

static double steps_of(const mtl_balancer *balancer)
{
    double steps = 0;
    return mtl_balancer_read(balancer, "steps", &steps, 1) == 1 ? steps : 0;
}

static mtl_status decide_and_save(mtl_balancer *balancer, int steps, unsigned char *bytes, uint64_t *size)
{
    double weights[T] = {7, 7, 7};
    mtl_status status = MTL_OK;
    for (int step = 0; step < steps && status == MTL_OK; step++) {
        status = mtl_balancer_decide(balancer, T, LOSSES, GRAM, weights, NULL);
        assert_near(steps_of(balancer), step + (status == MTL_OK), 0);
    }
    if (status != MTL_OK) {
        assert_close(weights, ROW(7, 7, 7), T, 0, 0);
        return status;
    }
    *size = mtl_balancer_state_size(balancer);
    assert_true(*size <= MOST);
    return mtl_balancer_save_state(balancer, bytes, *size);
}

static mtl_status whole_life(mtl_context *context, void *user)
{
    mtl_balancer_options options = options_of(*(const int32_t *)user);
    mtl_balancer *first = NULL;
    mtl_balancer *second = NULL;
    unsigned char bytes[MOST];
    uint64_t size = 0;
    mtl_status status = mtl_balancer_create(context, &options, &first);
    assert_true((status == MTL_OK) == (first != NULL));
    if (status == MTL_OK) {
        status = mtl_balancer_create(context, &options, &second);
    }
    if (status == MTL_OK) {
        status = decide_and_save(first, 3, bytes, &size);
    }
    if (status == MTL_OK) {
        unsigned char unwanted[MOST];
        uint64_t unwanted_size;
        status = decide_and_save(second, 1, unwanted, &unwanted_size);
    }
    if (status == MTL_OK) {
        status = mtl_balancer_load_state(second, bytes, size);
        assert_near(steps_of(second), status == MTL_OK ? 3 : 1, 0);
    }
    mtl_balancer_destroy(second);
    mtl_balancer_destroy(first);
    return status;
}

static void the_life_of_a_balancer(void **state)
{
    (void)state;
    for (int32_t method = 0; method < BALANCERS_METHODS; method++) {
        if (balancer_decides(method)) {
            test_each_allocation_failing(whole_life, &method);
        }
    }
}

/* After a failure the same call works, with the same answer. */
static void a_second_try(void **state)
{
    (void)state;
    for (long k = 0;; k++) {
        mtl_test_allocator allocator;
        double weights[T], expected[T];
        unsigned char bytes[MOST];
        uint64_t size;
        test_allocator_init(&allocator);
        mtl_context *context = test_context_on(&allocator);
        mtl_balancer *first = balancer_of(context, MTL_BALANCE_GRADVAC);
        mtl_balancer *second = balancer_of(context, MTL_BALANCE_GRADVAC);
        allocator.fail_at = allocator.calls + k;
        mtl_status decided = mtl_balancer_decide(first, T, LOSSES, GRAM, expected, NULL);
        if (decided != MTL_OK) {
            assert_int_equal(decided, MTL_ERROR_MEMORY);
            assert_ok(context, mtl_balancer_decide(first, T, LOSSES, GRAM, expected, NULL));
        }
        size = mtl_balancer_state_size(first);
        assert_true(size <= MOST);
        assert_ok(context, mtl_balancer_save_state(first, bytes, size));
        allocator.fail_at = allocator.calls + k;
        mtl_status loaded = mtl_balancer_load_state(second, bytes, size);
        if (loaded != MTL_OK) {
            assert_int_equal(loaded, MTL_ERROR_MEMORY);
            assert_ok(context, mtl_balancer_load_state(second, bytes, size));
        }
        allocator.fail_at = -1;
        assert_ok(context, mtl_balancer_decide(first, T, LOSSES, GRAM, expected, NULL));
        assert_ok(context, mtl_balancer_decide(second, T, LOSSES, GRAM, weights, NULL));
        assert_memory_equal(weights, expected, sizeof weights);
        mtl_balancer_destroy(second);
        mtl_balancer_destroy(first);
        mtl_context_release(context);
        test_allocator_check(&allocator);
        if (decided == MTL_OK && loaded == MTL_OK) {
            assert_true(k > 2);
            break;
        }
    }
}

/* Steps take no memory after the first one. */
static void later_steps_take_nothing(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    for (int32_t method = 0; method < BALANCERS_METHODS; method++) {
        if (balancer_decides(method)) {
            mtl_balancer *balancer = balancer_of(context, method);
            double weights[T];
            assert_ok(context, mtl_balancer_decide(balancer, T, LOSSES, GRAM, weights, NULL));
            uint64_t before = test_allocations(context);
            for (int step = 0; step < 3; step++) {
                assert_ok(context, mtl_balancer_decide(balancer, T, LOSSES, GRAM, weights, NULL));
            }
            assert_int_equal(test_allocations(context), before);
            mtl_balancer_destroy(balancer);
        }
    }
    mtl_context_release(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_life_of_a_balancer),
        cmocka_unit_test(a_second_try),
        cmocka_unit_test(later_steps_take_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
