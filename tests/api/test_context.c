/* SPDX-License-Identifier: Apache-2.0
 * The context through its public face: levels, products, threads, limits, and that contexts are independent. */
#include "support.h"
#include "two_tasks.h"

static mtl_status create(const mtl_context_options *options, mtl_context **out)
{
    *out = NULL;
    return mtl_context_create(options, out);
}

static void null_options_will_do(void **state)
{
    (void)state;
    mtl_context *context;
    assert_int_equal(create(NULL, &context), MTL_OK);
    assert_string_equal(mtl_context_last_error(context), "");
    assert_int_equal(mtl_context_last_status(context), MTL_OK);
    mtl_context_release(context);
}

/* Every choice of level, product and threads trains a step to the same loss, to rounding. */
static void every_choice_computes_the_same(void **state)
{
    (void)state;
    double reference = 0;
    bool first = true;
    for (int32_t isa = MTL_ISA_BEST; isa <= MTL_ISA_AVX512; isa++) {
        for (int32_t gemm = MTL_GEMM_AUTO; gemm <= MTL_GEMM_CBLAS; gemm++) {
            for (int32_t threads = 1; threads <= 3; threads++) {
                mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
                options.isa = isa;
                options.gemm = gemm;
                options.threads = threads;
                mtl_context *context;
                mtl_status status = create(&options, &context);
                if (status == MTL_ERROR_UNSUPPORTED && isa > MTL_ISA_BASELINE) {
                    continue; /* this processor lacks the level */
                }
                assert_int_equal(status, MTL_OK);
                two_tasks tasks;
                assert_ok(context, two_tasks_create(context, NULL, TWO_TASKS_SGD, &tasks));
                assert_ok(context, two_tasks_step(&tasks));
                double value = mtl_objective_value(tasks.objective);
                reference = first ? value : reference;
                first = false;
                /* Losses near 2; sums of at most 12 products in 8 steps of a recurrence: 100 roundings of 2^-24. */
                assert_near(value, reference, 2 * 100 * 6e-8);
                two_tasks_destroy(&tasks);
                mtl_context_release(context);
            }
        }
    }
    assert_true(reference > 0.5);
}

static void contexts_are_independent(void **state)
{
    (void)state;
    mtl_context *a = test_context();
    mtl_context *b = test_context();
    mtl_tensor *tensor = NULL;
    assert_fails(a, mtl_tensor_create(a, MTL_FLOAT32, 9, NULL, &tensor), MTL_ERROR_ARGUMENT, NULL);
    assert_string_equal(mtl_context_last_error(b), "");
    assert_int_equal(mtl_context_last_status(b), MTL_OK);
    mtl_context_release(a);
    assert_ok(b, mtl_tensor_create(b, MTL_FLOAT32, 0, NULL, &tensor));
    mtl_tensor_release(tensor);
    mtl_context_release(b);
}

static void a_newer_hosts_options_are_understood(void **state)
{
    (void)state;
    struct {
        mtl_context_options known;
        int64_t added;
    } newer = {MTL_CONTEXT_OPTIONS_INIT, 0};
    newer.known.struct_size = sizeof newer;
    mtl_context *context;
    assert_int_equal(create(&newer.known, &context), MTL_OK);
    mtl_context_release(context);
    newer.added = 1;
    assert_int_equal(create(&newer.known, &context), MTL_ERROR_UNSUPPORTED);
    assert_null(context);
}

static void a_limit_on_bytes_is_kept(void **state)
{
    (void)state;
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.allocator = &allocator.hook;
    options.max_bytes = 100000;
    mtl_context *context;
    assert_int_equal(create(&options, &context), MTL_OK);
    mtl_head *head = NULL;
    assert_fails(context, mtl_head_create_regressor(context, 1000, 1000, NULL, &head), MTL_ERROR_MEMORY, "max_bytes");
    assert_null(head);
    assert_ok(context, mtl_head_create_regressor(context, 10, 10, NULL, &head));
    mtl_memory_info info;
    assert_ok(context, mtl_context_memory(context, &info));
    assert_in_range(info.peak_bytes, info.bytes, options.max_bytes);
    assert_int_equal(info.bytes, allocator.live_bytes);
    assert_int_equal(info.blocks, allocator.live_blocks);
    assert_int_equal(info.allocations, allocator.calls);
    mtl_head_release(head);
    mtl_context_release(context);
    test_allocator_check(&allocator);
}

typedef struct log_lines {
    int count;
    char last[1024];
} log_lines;

static void keep_line(void *user, int32_t level, const char *message)
{
    log_lines *lines = user;
    lines->count += level == MTL_LOG_ERROR;
    snprintf(lines->last, sizeof lines->last, "%s", message);
}

static void the_log_gets_what_failed(void **state)
{
    (void)state;
    log_lines lines = {0, ""};
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.log = keep_line;
    options.log_user = &lines;
    mtl_context *context;
    assert_int_equal(create(&options, &context), MTL_OK);
    mtl_head *head;
    assert_fails(context, mtl_head_create_classifier(context, 3, 1, NULL, &head), MTL_ERROR_ARGUMENT, "1 outputs");
    assert_int_equal(lines.count, 1);
    assert_string_equal(lines.last, mtl_context_last_error(context));
    mtl_context_release(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_options_will_do),     cmocka_unit_test(every_choice_computes_the_same),
        cmocka_unit_test(contexts_are_independent), cmocka_unit_test(a_newer_hosts_options_are_understood),
        cmocka_unit_test(a_limit_on_bytes_is_kept), cmocka_unit_test(the_log_gets_what_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
