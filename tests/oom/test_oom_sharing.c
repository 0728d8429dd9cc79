/* SPDX-License-Identifier: Apache-2.0
 * The k-th allocation fails, k = 0, 1, ... until none does, in all that penalties do: the status is MTL_ERROR_MEMORY,
 * everything is given back, and a step that fails for want of memory leaves the weights as they were. */
#include "soft_tasks.h"
#include "support.h"

enum { MOST = 512 };

static mtl_status create_kind(soft_tasks *tasks, int32_t kind, const char *parameters, int32_t sparse,
                              mtl_penalty **out)
{
    const double graph[4] = {0, 1, 0.5, 0};
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    options.kind = kind;
    options.parameters = parameters;
    options.sparse = sparse;
    options.coefficient = 0.1;
    options.graph = graph;
    *out = NULL;
    mtl_status status = mtl_penalty_create(tasks->model, soft_tasks_encoders, 2, &options, out);
    assert_true(status == MTL_OK ? *out != NULL : *out == NULL);
    return status;
}

/* ---- creation, and questions ---- */

static mtl_status ask(mtl_penalty *penalty)
{
    double value;
    double values[4];
    int64_t count;
    mtl_status status = mtl_penalty_value(penalty, &value);
    for (int64_t m = 0; m < mtl_penalty_num_matrices(penalty, 1) && status == MTL_OK; m++) {
        status = mtl_penalty_singular_values(penalty, 1, m, values, 4, &count);
        if (status == MTL_OK) {
            status = mtl_penalty_rank(penalty, 1, m, 1e-6, &count);
        }
    }
    return status;
}

static mtl_status create_scenario(mtl_context *context, void *user)
{
    soft_tasks tasks;
    const int32_t *kind = user;
    mtl_penalty *penalty = NULL;
    mtl_status status = soft_tasks_create(context, 0, 0.1, &tasks);
    if (status == MTL_OK) {
        status = create_kind(&tasks, *kind, "*,embedding.weight", MTL_SPARSE_DENSE, &penalty);
    }
    if (status == MTL_OK) {
        status = ask(penalty);
    }
    mtl_penalty_destroy(penalty);
    soft_tasks_destroy(&tasks);
    return status;
}

static void penalties_of_every_kind(void **state)
{
    (void)state;
    for (int32_t kind = MTL_PENALTY_L2; kind <= MTL_PENALTY_CLUSTERED; kind++) {
        test_each_allocation_failing(create_scenario, &kind);
    }
}

static mtl_status lazy_scenario(mtl_context *context, void *user)
{
    (void)user;
    soft_tasks tasks;
    mtl_penalty *penalty = NULL;
    mtl_status status = soft_tasks_create(context, 0, 0.1, &tasks);
    if (status == MTL_OK) {
        status = create_kind(&tasks, MTL_PENALTY_L2, "embedding.weight,lstm.*", MTL_SPARSE_LAZY, &penalty);
    }
    mtl_penalty_destroy(penalty);
    soft_tasks_destroy(&tasks);
    return status;
}

static void lazy_penalties(void **state)
{
    (void)state;
    test_each_allocation_failing(lazy_scenario, NULL);
}

/* Heads of which one has a layer more: names to be told. */
static mtl_status unmatched_scenario(mtl_context *context, void *user)
{
    (void)user;
    const char *const names[] = {"plain", "deep"};
    mtl_head *heads[2] = {NULL, NULL};
    mtl_model *model = NULL;
    mtl_penalty *penalty = NULL;
    mtl_head_options hidden = MTL_HEAD_OPTIONS_INIT;
    hidden.hidden_dim = 3;
    mtl_status status = mtl_model_create(context, NULL, &model);
    for (int t = 0; t < 2 && status == MTL_OK; t++) {
        status = mtl_head_create_regressor(context, 3, 2, t ? &hidden : NULL, &heads[t]);
        if (status == MTL_OK) {
            status = mtl_model_add_head(model, names[t], heads[t]);
        }
    }
    if (status == MTL_OK) {
        status = mtl_penalty_create(model, names, 2, NULL, &penalty);
    }
    assert_int_equal(mtl_penalty_num_unmatched(penalty), status == MTL_OK ? 2 : 0);
    mtl_penalty_destroy(penalty);
    mtl_model_destroy(model);
    mtl_head_release(heads[0]);
    mtl_head_release(heads[1]);
    return status;
}

static void names_that_do_not_match(void **state)
{
    (void)state;
    test_each_allocation_failing(unmatched_scenario, NULL);
}

/* ---- training ---- */

typedef struct penalties {
    mtl_penalty *terms[2], *parts[2], *whole, *lazy;
} penalties;

static void destroy_penalties(penalties *p)
{
    mtl_penalty_destroy(p->terms[0]);
    mtl_penalty_destroy(p->terms[1]);
    mtl_penalty_destroy(p->parts[0]);
    mtl_penalty_destroy(p->parts[1]);
    mtl_penalty_destroy(p->whole);
    mtl_penalty_destroy(p->lazy);
}

static mtl_status create_penalties(soft_tasks *tasks, penalties *p)
{
    const char *all = "lstm.*,embedding.weight";
    mtl_status status = create_kind(tasks, MTL_PENALTY_L2, all, MTL_SPARSE_LAZY, &p->terms[0]);
    if (status == MTL_OK) {
        status = create_kind(tasks, MTL_PENALTY_TRACE_NORM, all, MTL_SPARSE_DENSE, &p->terms[1]);
    }
    if (status == MTL_OK) {
        status = create_kind(tasks, MTL_PENALTY_LINF1, "lstm.*", MTL_SPARSE_LAZY, &p->parts[0]);
    }
    if (status == MTL_OK) {
        status = create_kind(tasks, MTL_PENALTY_L1, "lstm.*", MTL_SPARSE_LAZY, &p->parts[1]);
    }
    if (status == MTL_OK) {
        status = create_kind(tasks, MTL_PENALTY_L1, all, MTL_SPARSE_LAZY, &p->lazy);
    }
    return status == MTL_OK ? mtl_penalty_create_split(p->parts[0], p->parts[1], &p->whole) : status;
}

static mtl_status add_penalties(soft_tasks *tasks, penalties *p)
{
    mtl_status status = mtl_objective_add_penalty(tasks->objective, p->terms[0]);
    if (status == MTL_OK) {
        status = mtl_objective_add_penalty(tasks->objective, p->terms[1]);
    }
    if (status == MTL_OK) {
        status = mtl_optimizer_add_proximal(tasks->optimizer, p->whole);
    }
    return status == MTL_OK ? mtl_optimizer_add_proximal(tasks->optimizer, p->lazy) : status;
}

static mtl_status training_scenario(mtl_context *context, void *user)
{
    (void)user;
    soft_tasks tasks;
    penalties p;
    memset(&p, 0, sizeof p);
    mtl_status status = soft_tasks_create(context, 1, 0.1, &tasks);
    if (status == MTL_OK) {
        status = create_penalties(&tasks, &p);
    }
    if (status == MTL_OK) {
        status = add_penalties(&tasks, &p);
    }
    for (int step = 0; step < 2 && status == MTL_OK; step++) {
        status = soft_tasks_step(&tasks);
    }
    destroy_penalties(&p);
    soft_tasks_destroy(&tasks);
    return status;
}

static void training(void **state)
{
    (void)state;
    test_each_allocation_failing(training_scenario, NULL);
}

/* The first step, the only one that takes memory. */
static void steps_that_fail_leave_the_weights(void **state)
{
    (void)state;
    mtl_status status = MTL_ERROR_MEMORY;
    long k = 0;
    while (status != MTL_OK) {
        mtl_test_allocator allocator;
        test_allocator_init(&allocator);
        mtl_context *context = test_context_on(&allocator);
        soft_tasks tasks;
        penalties p;
        double before[MOST];
        double after[MOST];
        memset(&p, 0, sizeof p);
        assert_ok(context, soft_tasks_create(context, 1, 0.1, &tasks));
        assert_ok(context, create_penalties(&tasks, &p));
        assert_ok(context, add_penalties(&tasks, &p));
        assert_true(soft_tasks_size(&tasks) <= MOST);
        assert_ok(context, soft_tasks_weights(&tasks, before));
        allocator.fail_at = allocator.calls + k++;
        status = soft_tasks_step(&tasks);
        allocator.fail_at = -1;
        if (status != MTL_OK) {
            assert_int_equal(status, MTL_ERROR_MEMORY);
            assert_ok(context, soft_tasks_weights(&tasks, after));
            assert_memory_equal(before, after, (size_t)soft_tasks_size(&tasks) * sizeof before[0]);
            assert_ok(context, soft_tasks_step(&tasks));
        }
        destroy_penalties(&p);
        soft_tasks_destroy(&tasks);
        mtl_context_release(context);
        test_allocator_check(&allocator);
    }
    assert_true(k > 4);
}

/* A split that could not be made has taken nothing: its parts are free, and the next attempt succeeds. */
static void a_split_that_fails_leaves_its_parts(void **state)
{
    (void)state;
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context *context = test_context_on(&allocator);
    soft_tasks tasks;
    mtl_penalty *parts[2];
    mtl_penalty *whole = NULL;
    double before;
    double after;
    assert_ok(context, soft_tasks_create(context, 0, 0.1, &tasks));
    assert_ok(context, create_kind(&tasks, MTL_PENALTY_LINF1, "lstm.*", MTL_SPARSE_LAZY, &parts[0]));
    assert_ok(context, create_kind(&tasks, MTL_PENALTY_L1, "lstm.*", MTL_SPARSE_LAZY, &parts[1]));
    assert_ok(context, mtl_penalty_value(parts[1], &before));
    assert_true(before > 0);
    long failures = 0;
    for (long k = 0; !whole; k++) {
        allocator.fail_at = allocator.calls + k;
        mtl_status status = mtl_penalty_create_split(parts[0], parts[1], &whole);
        allocator.fail_at = -1;
        if (status != MTL_OK) {
            assert_int_equal(status, MTL_ERROR_MEMORY);
            assert_null(whole);
            failures++;
            assert_ok(context, mtl_penalty_value(parts[1], &after));
            assert_true(after == before); /* of the weights, not of a share, which begins as 0 */
        }
    }
    assert_true(failures > 4);
    assert_ok(context, mtl_penalty_value(parts[1], &after));
    assert_true(after == 0);
    mtl_penalty_destroy(parts[0]);
    mtl_penalty_destroy(parts[1]);
    mtl_penalty_destroy(whole);
    soft_tasks_destroy(&tasks);
    mtl_context_release(context);
    test_allocator_check(&allocator);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(penalties_of_every_kind),           cmocka_unit_test(lazy_penalties),
        cmocka_unit_test(names_that_do_not_match),           cmocka_unit_test(training),
        cmocka_unit_test(steps_that_fail_leave_the_weights), cmocka_unit_test(a_split_that_fails_leaves_its_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
