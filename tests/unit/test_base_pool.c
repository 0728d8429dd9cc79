/* SPDX-License-Identifier: Apache-2.0
 * Threads: every index once, whatever the counts; reference counts and contexts used from several threads. */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

#include <mtl/tensor.h>

#include "base/context.h"
#include "base/pool.h"

enum { INDEXES = 1000 };

typedef struct visits {
    atomic_int seen[INDEXES];
    int plain[INDEXES]; /* written by whoever has the index, read after the loop: a race would show */
} visits;

static void visit_index(void *argument, int32_t index)
{
    visits *record = argument;
    atomic_fetch_add_explicit(&record->seen[index], 1, memory_order_relaxed);
    record->plain[index] += index;
}

static void every_index_comes_once(void **state)
{
    (void)state;
    static visits record;
    for (int32_t threads = 1; threads <= 8; threads++) {
        mtl_context *context = test_context();
        mtli_pool *pool = mtli_pool_create(context, threads);
        assert_non_null(pool);
        memset(&record, 0, sizeof record);
        int expected[INDEXES] = {0};
        for (int round = 0; round < 200; round++) {
            int32_t count = round * 37 % INDEXES;
            mtli_pool_run(pool, count, visit_index, &record);
            for (int32_t i = 0; i < count; i++) {
                expected[i]++;
            }
        }
        for (int i = 0; i < INDEXES; i++) {
            assert_int_equal(atomic_load(&record.seen[i]), expected[i]);
            assert_int_equal(record.plain[i], i * expected[i]);
        }
        mtli_pool_destroy(context, pool);
        mtl_context_release(context);
    }
}

static void a_pool_may_end_without_work(void **state)
{
    (void)state;
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context *context = test_context_on(&allocator);
    for (int i = 0; i < 20; i++) {
        mtli_pool *pool = mtli_pool_create(context, 5);
        assert_non_null(pool);
        mtli_pool_destroy(context, pool);
    }
    mtli_pool_destroy(context, NULL);
    mtl_context_release(context);
    test_allocator_check(&allocator);
}

static void a_context_with_threads_loops_on_them(void **state)
{
    (void)state;
    static visits record;
    memset(&record, 0, sizeof record);
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.threads = 4;
    mtl_context *context;
    assert_int_equal(mtl_context_create(&options, &context), MTL_OK);
    mtli_parallel_for(context, INDEXES, visit_index, &record);
    mtli_parallel_for(context, 1, visit_index, &record);
    for (int i = 0; i < INDEXES; i++) {
        assert_int_equal(atomic_load(&record.seen[i]), i == 0 ? 2 : 1);
    }
    mtl_context_release(context);
}

/* ---- what other threads may do: retain and release ---- */

typedef struct shared_object {
    mtl_context *context;
    mtl_tensor *tensor;
} shared_object;

static void *retain_and_release(void *user)
{
    shared_object *shared = user;
    for (int i = 0; i < 2000; i++) {
        mtl_tensor *mine = mtl_tensor_retain(shared->tensor);
        mtl_context *context = mtl_context_retain(shared->context);
        mtl_context_release(context);
        mtl_tensor_release(mine);
    }
    mtl_tensor_release(shared->tensor); /* one reference was given to each thread */
    return NULL;
}

static void references_are_counted_across_threads(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    shared_object shared = {test_context_on(&allocator), NULL};
    assert_ok(shared.context, mtl_tensor_create(shared.context, MTL_FLOAT32, 0, NULL, &shared.tensor));
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        mtl_tensor_retain(shared.tensor);
        assert_int_equal(pthread_create(&threads[i], NULL, retain_and_release, &shared), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    double value;
    assert_ok(shared.context, mtl_tensor_item(shared.tensor, &value));
    mtl_tensor_release(shared.tensor);
    mtl_context_release(shared.context);
    test_allocator_check(&allocator);
}

/* The last reference of a tensor, and with it of its context, may be given back by any thread. */
static void *release_last(void *user)
{
    mtl_tensor_release(user);
    return NULL;
}

static void the_last_reference_may_go_on_another_thread(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
        options.threads = 2;
        mtl_context *context;
        assert_int_equal(mtl_context_create(&options, &context), MTL_OK);
        mtl_tensor *tensor;
        assert_ok(context, mtl_tensor_create(context, MTL_INT32, 0, NULL, &tensor));
        mtl_context_release(context);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, release_last, tensor), 0);
        pthread_join(thread, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_comes_once),
        cmocka_unit_test(a_pool_may_end_without_work),
        cmocka_unit_test(a_context_with_threads_loops_on_them),
        cmocka_unit_test(references_are_counted_across_threads),
        cmocka_unit_test(the_last_reference_may_go_on_another_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
