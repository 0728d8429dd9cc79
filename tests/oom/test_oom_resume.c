/* SPDX-License-Identifier: Apache-2.0
 * The k-th allocation fails, k = 0, 1, ... until none does, once alone and once with all that follow, while training is
 * saved and taken up again: MTL_ERROR_MEMORY, nothing leaks, nothing has changed, and the next attempt succeeds. */
#include "resumed_run.h"
#include "support.h"

typedef struct fixture {
    mtl_test_allocator allocator;
    mtl_context *context;
    test_folder folder;
    resumed_run run;
    char path[TEST_PATH_SIZE];
    char now[TEST_PATH_SIZE];
} fixture;

static void begin(fixture *f, int32_t method)
{
    resumed_plan plan = resumed_plan_usual();
    plan.method = method;
    plan.split = 1;
    test_allocator_init(&f->allocator);
    f->context = test_context_on(&f->allocator);
    test_folder_create(&f->folder);
    snprintf(f->path, sizeof f->path, "%s", test_path(&f->folder, "state"));
    snprintf(f->now, sizeof f->now, "%s", test_path(&f->folder, "now"));
    assert_ok(f->context, resumed_run_create(f->context, &plan, &f->run));
    assert_ok(f->context, resumed_run_steps(&f->run, 0, 3));
    assert_ok(f->context, resumed_run_save(&f->run, f->path));
    assert_ok(f->context, resumed_run_steps(&f->run, 3, 5));
}

static void end(fixture *f)
{
    resumed_run_destroy(&f->run);
    mtl_context_release(f->context);
    test_folder_remove(&f->folder);
    test_allocator_check(&f->allocator);
}

static void expect_same_bytes(const char *a, const char *b)
{
    size_t sizes[2];
    char *bytes[2] = {test_read_file(a, &sizes[0]), test_read_file(b, &sizes[1])};
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(bytes[0], bytes[1], sizes[0]);
    free(bytes[0]);
    free(bytes[1]);
}

/* Calls until it succeeds; returns how often it failed. `then` runs after each failure. */
static long fail_each(fixture *f, mtl_status (*call)(resumed_run *, const char *), const char *path, int for_ever,
                      void (*then)(fixture *))
{
    for (long k = 0;; k++) {
        long live = f->allocator.live_blocks;
        f->allocator.fail_at = f->allocator.calls + k;
        f->allocator.fail_forever = for_ever;
        mtl_status status = call(&f->run, path);
        f->allocator.fail_at = -1;
        if (status == MTL_OK) {
            return k;
        }
        assert_int_equal(status, MTL_ERROR_MEMORY);
        assert_true(mtl_context_last_error(f->context)[0] != '\0');
        assert_int_equal(f->allocator.live_blocks, live);
        then(f);
    }
}

static void saved_file_is_whole(fixture *f)
{
    assert_int_equal(test_count_files(f->folder.path), 2); /* nothing temporary stays */
}

static void run_is_unchanged(fixture *f)
{
    char again[TEST_PATH_SIZE];
    snprintf(again, sizeof again, "%s", test_path(&f->folder, "again"));
    assert_ok(f->context, resumed_run_save(&f->run, again));
    expect_same_bytes(f->now, again);
}

static void saving(void **state)
{
    (void)state;
    static fixture f;
    for (int for_ever = 0; for_ever < 2; for_ever++) {
        begin(&f, MTL_BALANCE_MOCO);
        assert_ok(f.context, resumed_run_save(&f.run, f.now));
        assert_true(fail_each(&f, resumed_run_save, f.now, for_ever, saved_file_is_whole) > 8);
        end(&f);
    }
}

static void resuming(void **state)
{
    (void)state;
    static fixture f;
    const int32_t methods[] = {-1, MTL_BALANCE_MOCO};
    for (int i = 0; i < 4; i++) {
        begin(&f, methods[i / 2]);
        assert_ok(f.context, resumed_run_save(&f.run, f.now));
        assert_true(fail_each(&f, resumed_run_load, f.path, i % 2, run_is_unchanged) > 16);
        assert_ok(f.context, resumed_run_save(&f.run, f.now));
        expect_same_bytes(f.path, f.now);
        end(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(saving), cmocka_unit_test(resuming)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
