/* SPDX-License-Identifier: Apache-2.0
 * Operations and losses when memory ends, and when it should not be asked for at all. */
#include "support/support_all_ops.h"

static mtl_status step(mtl_context *context, void *user)
{
    (void)user;
    all_ops ops;
    mtl_tape *tape = NULL;
    /* 500 columns of rows: more than the first chunk of an arena */
    mtl_status status = mtl_tape_create(context, NULL, &tape);
    if (status != MTL_OK) {
        return status;
    }
    status = all_ops_create(context, 40, 500, &ops);
    if (status == MTL_OK) {
        status = all_ops_step(tape, &ops);
    }
    all_ops_destroy(&ops);
    mtl_tape_destroy(tape);
    return status;
}

static void test_each_failure(void **state)
{
    (void)state;
    test_each_allocation_failing(step, NULL);
}

/* After a failure the tape works again. */
static void test_tape_recovers(void **state)
{
    (void)state;
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context *context = test_context_on(&allocator);
    mtl_tape *tape = NULL;
    all_ops ops;
    assert_ok(context, mtl_tape_create(context, NULL, &tape));
    assert_ok(context, all_ops_create(context, 40, 500, &ops));
    allocator.fail_at = allocator.calls;
    allocator.fail_forever = 1;
    assert_fails(context, all_ops_step(tape, &ops), MTL_ERROR_MEMORY, NULL);
    allocator.fail_at = -1;
    allocator.fail_forever = 0;
    assert_ok(context, all_ops_step(tape, &ops));
    all_ops_destroy(&ops);
    mtl_tape_destroy(tape);
    mtl_context_release(context);
    test_allocator_check(&allocator);
}

static void test_second_step_allocates_nothing(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_tape *tape = NULL;
    all_ops ops;
    assert_ok(context, mtl_tape_create(context, NULL, &tape));
    assert_ok(context, all_ops_create(context, 40, 500, &ops));
    assert_ok(context, all_ops_step(tape, &ops));
    uint64_t before = test_allocations(context);
    assert_true(before > 0);
    for (int i = 0; i < 3; i++) {
        assert_ok(context, all_ops_step(tape, &ops));
        assert_int_equal(test_allocations(context), before);
    }
    all_ops_destroy(&ops);
    mtl_tape_destroy(tape);
    mtl_context_release(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_failure),
        cmocka_unit_test(test_tape_recovers),
        cmocka_unit_test(test_second_step_allocates_nothing),
    };
    return cmocka_run_group_tests_name("ops memory", tests, NULL, NULL);
}
