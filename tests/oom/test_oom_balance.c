/* SPDX-License-Identifier: Apache-2.0
 * Every allocation of a balanced step fails in its turn: the status is MTL_ERROR_MEMORY, everything is given back, and the
 * objective goes on. */
#include "balanced_tasks.h"
#include "support.h"

#include <math.h>

typedef struct balanced_run {
    mtl_balancer_options options;
    balanced_labels labels;
    bool retry; /* a call that failed is made again, once */
    int failures;
} balanced_run;

static bool once_more(balanced_run *run, mtl_status status)
{
    if (status != MTL_ERROR_MEMORY) {
        return false;
    }
    run->failures++;
    return run->retry && run->failures == 1;
}

static mtl_status train(mtl_context *context, void *user)
{
    balanced_run *run = user;
    balanced_setup setup = {.tasks = 3, .labels = run->labels, .adam = 1};
    balanced_tasks t;
    mtl_balancer *balancer = NULL;
    mtl_status status = balanced_tasks_create(context, &setup, &t);
    if (once_more(run, status)) {
        balanced_tasks_destroy(&t);
        status = balanced_tasks_create(context, &setup, &t);
    }
    if (status == MTL_OK) {
        status = mtl_balancer_create(context, &run->options, &balancer);
        status = once_more(run, status) ? mtl_balancer_create(context, &run->options, &balancer) : status;
    }
    if (status == MTL_OK) {
        status = mtl_objective_set_balancer(t.objective, balancer);
    }
    for (int step = 0; step < 2 && status == MTL_OK; step++) {
        status = mtl_objective_step(t.objective, t.optimizer, balanced_tasks_evaluate, &t);
        if (once_more(run, status)) {
            status = mtl_objective_step(t.objective, t.optimizer, balanced_tasks_evaluate, &t);
        }
    }
    for (int32_t k = 0; k < 3 && status == MTL_OK; k++) {
        status = isfinite(mtl_objective_task_loss(t.objective, k)) ? MTL_OK : MTL_ERROR_NUMERIC;
    }
    mtl_balancer_destroy(balancer);
    balanced_tasks_destroy(&t);
    return status;
}

/* The call is made again after the failure: it must succeed then. */
static void retry_each(balanced_run run)
{
    run.retry = true;
    for (long k = 0;; k++) {
        mtl_test_allocator allocator;
        test_allocator_init(&allocator);
        mtl_context *context = test_context_on(&allocator);
        assert_non_null(context);
        allocator.fail_at = allocator.calls + k;
        run.failures = 0;
        mtl_status status = train(context, &run);
        bool reached = allocator.calls > allocator.fail_at;
        if (status != MTL_OK) {
            fail_msg("%s, allocation %ld: %s: %s", mtl_balance_method_name(run.options.method), k,
                     mtl_status_name(status), mtl_context_last_error(context));
        }
        mtl_context_release(context);
        test_allocator_check(&allocator);
        if (!reached) {
            return;
        }
        assert_int_equal(run.failures, 1);
    }
}

static void fail_each(int32_t method, int32_t gradient, uint64_t max_bytes, balanced_labels labels)
{
    mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
    options.method = method;
    options.gradient = gradient;
    options.max_bytes = max_bytes;
    options.measure_every = 1;
    balanced_run run = {.options = options, .labels = labels};
    test_each_allocation_failing(train, &run);
    retry_each(run);
}

static void gradients_that_are_kept(void **state)
{
    (void)state;
    fail_each(MTL_BALANCE_UPGRAD, MTL_BALANCE_OF_PARAMETERS, UINT64_MAX, BALANCED_DISJOINT);
    fail_each(MTL_BALANCE_UPGRAD, MTL_BALANCE_OF_PARAMETERS, UINT64_MAX, BALANCED_PARTLY);
    fail_each(MTL_BALANCE_IMTL_L, MTL_BALANCE_OF_PARAMETERS, UINT64_MAX, BALANCED_PARTLY);
}

static void gradients_that_are_discarded(void **state)
{
    (void)state;
    fail_each(MTL_BALANCE_UPGRAD, MTL_BALANCE_OF_PARAMETERS, 0, BALANCED_DISJOINT);
    fail_each(MTL_BALANCE_UPGRAD, MTL_BALANCE_OF_PARAMETERS, 0, BALANCED_PARTLY);
}

static void gradients_of_representations(void **state)
{
    (void)state;
    fail_each(MTL_BALANCE_MGDA, MTL_BALANCE_OF_REPRESENTATION, 0, BALANCED_PARTLY);
    fail_each(MTL_BALANCE_MGDA, MTL_BALANCE_OF_REPRESENTATION_SUM, 0, BALANCED_PARTLY);
    fail_each(MTL_BALANCE_GRADDROP, MTL_BALANCE_OF_REPRESENTATION, 0, BALANCED_PARTLY);
}

static void coordinates(void **state)
{
    (void)state;
    for (int32_t method = MTL_BALANCE_MOCO; method <= MTL_BALANCE_GRADDROP; method++) {
        fail_each(method, MTL_BALANCE_OF_PARAMETERS, 0, BALANCED_PARTLY);
    }
}

static void several_looks(void **state)
{
    (void)state;
    const int32_t methods[] = {MTL_BALANCE_FAMO,        MTL_BALANCE_SDMGRAD, MTL_BALANCE_MODO,
                               MTL_BALANCE_AUTO_LAMBDA, MTL_BALANCE_MOML,    MTL_BALANCE_FORUM};
    for (size_t m = 0; m < sizeof methods / sizeof methods[0]; m++) {
        fail_each(methods[m], MTL_BALANCE_OF_PARAMETERS, 0, BALANCED_PARTLY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_that_are_kept),
        cmocka_unit_test(gradients_that_are_discarded),
        cmocka_unit_test(gradients_of_representations),
        cmocka_unit_test(coordinates),
        cmocka_unit_test(several_looks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
