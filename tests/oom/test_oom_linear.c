/* SPDX-License-Identifier: Apache-2.0
 * mtl_linear_fit() with the k-th allocation failing, k = 0, 1, ...: the status, nothing leaks, weights and parts stay
 * as they were, and the next call succeeds. */
#include "linear_tasks.h"
#include "support.h"

static const double begin_weights[9] = {1, -2, 3, 4, 5, -6, 7, 8, 9};

static mtl_status make_split(const linear_tasks *tasks, mtl_penalty **split)
{
    mtl_penalty *first = NULL, *second = NULL;
    mtl_status status = linear_tasks_penalty(tasks, MTL_PENALTY_TRACE_NORM, 0, 0.1, &first);
    status = status == MTL_OK ? linear_tasks_penalty(tasks, MTL_PENALTY_L21, MTL_GROUP_TASK, 0.1, &second) : status;
    status = status == MTL_OK ? mtl_penalty_create_split(first, second, split) : status;
    mtl_penalty_destroy(first);
    mtl_penalty_destroy(second);
    return status;
}

/* On failure the heads and the parts hold what they held. */
static mtl_status fit_or_leave(const linear_tasks *tasks, mtl_penalty *const *penalties, bool *touched)
{
    double w[9], b[3], part[3];
    mtl_linear_report report = MTL_LINEAR_REPORT_INIT;
    mtl_status status = linear_tasks_fit(tasks, penalties, 2, NULL, &report);
    if (status != MTL_OK) {
        *touched = *touched || report.iterations != 0 || report.objective != 0 ||
                   linear_tasks_read(tasks, w, b) != MTL_OK || memcmp(w, begin_weights, sizeof w) != 0 ||
                   memcmp(b, begin_weights, sizeof b) != 0 ||
                   mtl_penalty_read(mtl_penalty_component(penalties[0], 0), 0, 1, part, 3) != MTL_OK ||
                   memcmp(part, begin_weights + 3, sizeof part) != 0;
    }
    return status;
}

static mtl_status linear_scenario(mtl_context *context, void *user)
{
    (void)user;
    const int64_t rows[] = {4, 9, 6};
    linear_tasks tasks;
    mtl_penalty *penalties[2] = {NULL, NULL};
    mtl_status status = linear_tasks_create(context, 3, 3, rows, LINEAR_MIXED, &tasks);
    status = status == MTL_OK ? linear_tasks_write(&tasks, begin_weights, begin_weights) : status;
    status = status == MTL_OK ? make_split(&tasks, &penalties[0]) : status;
    status = status == MTL_OK ? linear_tasks_penalty(&tasks, MTL_PENALTY_L2, MTL_L2_MEAN, 0.1, &penalties[1]) : status;
    status = status == MTL_OK ? linear_tasks_fit(&tasks, penalties, 2, NULL, NULL) : status;
    mtl_penalty_destroy(penalties[0]);
    mtl_penalty_destroy(penalties[1]);
    linear_tasks_destroy(&tasks);
    return status;
}

static void a_fit_without_memory(void **state)
{
    (void)state;
    test_each_allocation_failing(linear_scenario, NULL);
}

/* One call of the allocator fails, the same call succeeds when it is made again. */
static void the_next_call_succeeds(void **state)
{
    (void)state;
    const int64_t rows[] = {4, 9, 6};
    for (long k = 0;; k++) {
        mtl_test_allocator allocator;
        test_allocator_init(&allocator);
        mtl_context *context = test_context_on(&allocator);
        linear_tasks tasks;
        mtl_penalty *penalties[2] = {NULL, NULL};
        bool touched = false;
        assert_ok(context, linear_tasks_create(context, 3, 3, rows, LINEAR_REGRESSION, &tasks));
        assert_ok(context, linear_tasks_write(&tasks, begin_weights, begin_weights));
        assert_ok(context, make_split(&tasks, &penalties[0]));
        assert_ok(context, linear_tasks_penalty(&tasks, MTL_PENALTY_L2, MTL_L2_MEAN, 0.1, &penalties[1]));
        allocator.fail_at = allocator.calls + k;
        mtl_status status = fit_or_leave(&tasks, penalties, &touched);
        bool reached = allocator.calls > allocator.fail_at;
        allocator.fail_at = -1;
        assert_int_equal(status, reached ? MTL_ERROR_MEMORY : MTL_OK);
        assert_ok(context, fit_or_leave(&tasks, penalties, &touched));
        assert_false(touched);
        mtl_penalty_destroy(penalties[0]);
        mtl_penalty_destroy(penalties[1]);
        linear_tasks_destroy(&tasks);
        mtl_context_release(context);
        test_allocator_check(&allocator);
        if (!reached) {
            assert_true(k > 0);
            return;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fit_without_memory),
        cmocka_unit_test(the_next_call_succeeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
