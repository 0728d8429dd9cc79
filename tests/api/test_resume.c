/* SPDX-License-Identifier: Apache-2.0
 * Training that is interrupted and taken up again by other objects, in another context, gives the same bits as training that
 * was not: every loss on the way, and the file of the whole state in the end (weights, moments, random generator, order of
 * rows, what balancers and penalties remember, metrics). */
#include "resumed_run.h"
#include "support/support.h"

enum { STEPS = 14 }; /* an epoch has 9 batches */

static mtl_context *context_of(uint64_t seed, int32_t threads)
{
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    mtl_context *context = NULL;
    options.seed = seed;
    options.threads = threads;
    assert_int_equal(mtl_context_create(&options, &context), MTL_OK);
    return context;
}

/* All steps without a break; the state at its end is in the file. */
static void run_straight(const resumed_plan *plan, int32_t threads, const char *path, resumed_run *run)
{
    mtl_context *context = context_of(5, threads);
    assert_ok(context, resumed_run_create(context, plan, run));
    assert_ok(context, resumed_run_steps(run, 0, STEPS));
    assert_ok(context, resumed_run_save(run, path));
    resumed_run_destroy(run);
    mtl_context_release(context);
}

/* k steps, a file, and the rest in a context that knows nothing of them: its seed is another, so that its weights and random
 * numbers are its own until they are taken from the file. */
static void run_with_a_break(const resumed_plan *plan, int32_t threads, int k, const char *middle, const char *end,
                             resumed_run *run)
{
    mtl_context *context = context_of(5, threads);
    assert_ok(context, resumed_run_create(context, plan, run));
    assert_ok(context, resumed_run_steps(run, 0, k));
    assert_ok(context, resumed_run_save(run, middle));
    double losses[RESUMED_MOST_STEPS][RESUMED_TASKS + 1];
    memcpy(losses, run->losses, sizeof losses);
    resumed_run_destroy(run);
    mtl_context_release(context);

    context = context_of(999, threads);
    assert_ok(context, resumed_run_create(context, plan, run));
    assert_ok(context, resumed_run_load(run, middle));
    memcpy(run->losses, losses, sizeof losses);
    assert_ok(context, resumed_run_steps(run, k, STEPS));
    assert_ok(context, resumed_run_save(run, end));
    resumed_run_destroy(run);
    mtl_context_release(context);
}

static void expect_same_file(const char *a, const char *b)
{
    size_t size_a, size_b;
    char *bytes_a = test_read_file(a, &size_a);
    char *bytes_b = test_read_file(b, &size_b);
    assert_int_equal(size_a, size_b);
    assert_memory_equal(bytes_a, bytes_b, size_a);
    free(bytes_a);
    free(bytes_b);
}

static void expect_same_run(const resumed_plan *plan, int32_t threads, int k)
{
    static resumed_run straight;
    static resumed_run broken;
    test_folder folder;
    test_folder_create(&folder);
    const char *middle = test_path(&folder, "middle");
    const char *ends[2] = {test_path(&folder, "straight"), test_path(&folder, "resumed")};
    run_straight(plan, 1, ends[0], &straight);
    run_with_a_break(plan, threads, k, middle, ends[1], &broken);
    for (int step = 0; step < STEPS; step++) {
        if (memcmp(straight.losses[step], broken.losses[step], sizeof straight.losses[step]) != 0) {
            fail_msg("optimizer %d, method %d, saved after %d steps: step %d has the losses %a %a %a, not %a %a %a",
                     plan->optimizer, plan->method, k, step, broken.losses[step][0], broken.losses[step][1],
                     broken.losses[step][2], straight.losses[step][0], straight.losses[step][1],
                     straight.losses[step][2]);
        }
    }
    expect_same_file(ends[0], ends[1]);
    test_folder_remove(&folder);
}

/* ---- what must be equal ---- */

static void at_any_step(void **state)
{
    (void)state;
    resumed_plan plan = resumed_plan_usual();
    for (int k = 0; k <= STEPS; k++) { /* 9: before the end of the epoch is known */
        expect_same_run(&plan, 1, k);
    }
    expect_same_run(&plan, 2, 0);
    expect_same_run(&plan, 2, 11);
}

static void every_optimizer(void **state)
{
    (void)state;
    for (int optimizer = RESUMED_SGD; optimizer <= RESUMED_ADAMW; optimizer++) {
        for (int32_t sparse = MTL_SPARSE_LAZY; sparse <= MTL_SPARSE_DENSE; sparse++) {
            resumed_plan plan = resumed_plan_usual();
            plan.optimizer = optimizer;
            plan.sparse = sparse;
            expect_same_run(&plan, 1, 4);
            expect_same_run(&plan, 2, 10);
        }
    }
}

static void every_schedule_and_order(void **state)
{
    (void)state;
    for (int32_t kind = MTL_SCHEDULE_CONSTANT; kind <= MTL_SCHEDULE_LINEAR; kind++) {
        resumed_plan plan = resumed_plan_usual();
        plan.schedule = kind;
        plan.sampling = kind; /* there are four of each */
        expect_same_run(&plan, 1, 2);
        expect_same_run(&plan, 1, 12);
    }
}

static void split_penalties(void **state)
{
    (void)state;
    resumed_plan plan = resumed_plan_usual();
    plan.split = 1;
    for (int k = 0; k <= STEPS; k += 3) {
        plan.optimizer = k % 2 ? RESUMED_SGD : RESUMED_ADAMW;
        expect_same_run(&plan, k % 2 ? 2 : 1, k);
    }
}

static void every_balancer(void **state)
{
    (void)state;
    for (int32_t method = MTL_BALANCE_EQUAL; method < MTL_BALANCE_CUSTOM; method++) {
        resumed_plan plan = resumed_plan_usual();
        plan.method = method;
        plan.split = method % 2;
        expect_same_run(&plan, 1, 0);
        expect_same_run(&plan, 1, 5);
        expect_same_run(&plan, 2, 11);
    }
}

/* The tests above compare something: without the state, with the weights alone, the losses are others. */
static void weights_alone_are_not_enough(void **state)
{
    (void)state;
    static resumed_run straight;
    static resumed_run other;
    resumed_plan plan = resumed_plan_usual();
    test_folder folder;
    test_folder_create(&folder);
    const char *path = test_path(&folder, "run");
    run_straight(&plan, 1, path, &straight);
    mtl_context *context = context_of(5, 1);
    assert_ok(context, resumed_run_create(context, &plan, &other));
    assert_ok(context, resumed_run_steps(&other, 0, 5));
    assert_ok(context, resumed_run_save(&other, path));
    resumed_run_destroy(&other);
    assert_ok(context, resumed_run_create(context, &plan, &other));
    mtl_checkpoint *checkpoint = NULL;
    assert_ok(context, mtl_checkpoint_open(context, path, &checkpoint));
    mtl_load_options load = MTL_LOAD_OPTIONS_INIT;
    load.allow_extra = 0; /* state of training is no extra tensor */
    assert_ok(context, mtl_checkpoint_load(checkpoint, other.model, &load));
    mtl_checkpoint_close(checkpoint);
    assert_ok(context, resumed_run_steps(&other, 5, STEPS));
    assert_memory_not_equal(straight.losses[5], other.losses[5], sizeof straight.losses[5]);
    resumed_run_destroy(&other);
    mtl_context_release(context);
    test_folder_remove(&folder);
}

/* A file with training in it is a model file: it restores, and saved again without training it is the file that was saved
 * without. */
static void a_model_file_like_any_other(void **state)
{
    (void)state;
    static resumed_run run;
    resumed_plan plan = resumed_plan_usual();
    test_folder folder;
    test_folder_create(&folder);
    const char *with = test_path(&folder, "with");
    const char *without = test_path(&folder, "without");
    const char *again = test_path(&folder, "again");
    mtl_context *context = context_of(5, 1);
    assert_ok(context, resumed_run_create(context, &plan, &run));
    assert_ok(context, resumed_run_steps(&run, 0, 3));
    assert_ok(context, resumed_run_save(&run, with));
    mtl_save_options save = MTL_SAVE_OPTIONS_INIT;
    assert_ok(context, mtl_model_save(run.model, without, &save));
    mtl_checkpoint *checkpoint = NULL;
    mtl_model *restored = NULL;
    assert_ok(context, mtl_checkpoint_open(context, with, &checkpoint));
    assert_string_equal(mtl_checkpoint_metadata(checkpoint, "mtl.training"), "1");
    assert_ok(context, mtl_checkpoint_restore(checkpoint, &restored));
    assert_ok(context, mtl_model_save(restored, again, NULL));
    expect_same_file(without, again);
    mtl_checkpoint_close(checkpoint);
    mtl_model_destroy(restored);
    assert_fails(context, resumed_run_load(&run, without), MTL_ERROR_STATE, "no state of training");
    save.vocabulary = run.vocabulary;
    assert_ok(context, mtl_model_save(run.model, without, &save));
    assert_fails(context, resumed_run_load(&run, without), MTL_ERROR_STATE, "no state of training");
    save.struct_size = offsetof(mtl_save_options, training); /* as an older header has it */
    assert_ok(context, mtl_model_save(run.model, again, &save));
    expect_same_file(without, again);
    save.struct_size--;
    assert_fails(context, mtl_model_save(run.model, again, &save), MTL_ERROR_ARGUMENT, "struct_size");
    resumed_run_destroy(&run);
    mtl_context_release(context);
    test_folder_remove(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_any_step),
        cmocka_unit_test(every_optimizer),
        cmocka_unit_test(every_schedule_and_order),
        cmocka_unit_test(split_penalties),
        cmocka_unit_test(every_balancer),
        cmocka_unit_test(weights_alone_are_not_enough),
        cmocka_unit_test(a_model_file_like_any_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
