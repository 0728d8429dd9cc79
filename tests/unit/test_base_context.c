/* SPDX-License-Identifier: Apache-2.0
 * The context: options of every size, allocator hooks, limits, counters, the error record, log, seed, parallel loops. */
#include "support.h"

#include <mtl/encoder.h>
#include <mtl/head.h>
#include <mtl/tensor.h>

#include "base/context.h"
#include "base/float_mode.h"
#include "base/isa.h"

/* ---- options ---- */

typedef struct sample_options {
    size_t struct_size;
    int64_t first;
    int64_t second;
} sample_options;

typedef struct newer_options {
    sample_options known;
    int64_t added[3];
} newer_options;

static mtl_status import_sample(mtl_context *context, sample_options *known, size_t least, const void *given)
{
    const sample_options defaults = {sizeof defaults, 10, 20};
    *known = defaults;
    mtli_enter_function(context, "sample");
    return mtli_import_options(context, "options", known, sizeof *known, least, given);
}

static void imports_options_of_every_size(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    sample_options known;
    newer_options given = {{0, 1, 2}, {0, 0, 0}};
    const size_t least = sizeof(size_t) + sizeof(int64_t);
    for (size_t size = 0; size <= sizeof given; size++) {
        given.known.struct_size = size;
        if (size < least) {
            assert_fails(context, import_sample(context, &known, least, &given), MTL_ERROR_ARGUMENT, "struct_size");
            continue;
        }
        assert_ok(context, import_sample(context, &known, least, &given));
        assert_int_equal(known.struct_size, sizeof known);
        assert_int_equal(known.first, 1);
        if (size == least) {
            assert_int_equal(known.second, 20); /* an older host: the default stands */
        } else if (size >= sizeof known) {
            assert_int_equal(known.second, 2);
        }
    }
    mtl_context_release(context);
}

static void refuses_fields_that_it_does_not_know(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    sample_options known;
    for (size_t byte = 0; byte < sizeof(int64_t) * 3; byte++) {
        newer_options given = {{sizeof given, 1, 2}, {0, 0, 0}};
        ((unsigned char *)given.added)[byte] = 1;
        assert_fails(context, import_sample(context, &known, sizeof known, &given), MTL_ERROR_UNSUPPORTED, "sample");
        assert_int_equal(known.first, 10); /* nothing was taken */
    }
    mtl_context_release(context);
}

static void null_options_are_the_defaults(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    sample_options known;
    assert_ok(context, import_sample(context, &known, sizeof known, NULL));
    assert_int_equal(known.second, 20);
    mtl_context_release(context);
}

static mtl_status create_with(mtl_context_options options)
{
    mtl_context *context = NULL;
    mtl_status status = mtl_context_create(&options, &context);
    assert_true((status == MTL_OK) == (context != NULL));
    mtl_context_release(context);
    return status;
}

static void checks_context_options(void **state)
{
    (void)state;
    mtl_context_options good = MTL_CONTEXT_OPTIONS_INIT;
    assert_int_equal(create_with(good), MTL_OK);
    mtl_context_options bad = good;
    bad.threads = 0;
    assert_int_equal(create_with(bad), MTL_ERROR_ARGUMENT);
    bad.threads = 257;
    assert_int_equal(create_with(bad), MTL_ERROR_ARGUMENT);
    bad = good;
    bad.gemm = -1;
    assert_int_equal(create_with(bad), MTL_ERROR_ARGUMENT);
    bad.gemm = MTL_GEMM_CBLAS + 1;
    assert_int_equal(create_with(bad), MTL_ERROR_ARGUMENT);
    bad = good;
    bad.isa = -1;
    assert_int_equal(create_with(bad), MTL_ERROR_ARGUMENT);
    bad.isa = MTL_ISA_AVX512 + 1;
    assert_int_equal(create_with(bad), MTL_ERROR_ARGUMENT);
    for (int32_t isa = MTL_ISA_BASELINE; isa <= MTL_ISA_AVX512; isa++) {
        bad.isa = isa;
        assert_int_equal(create_with(bad), isa <= mtli_isa_best() ? MTL_OK : MTL_ERROR_UNSUPPORTED);
    }
    bad = good;
    bad.struct_size--;
    assert_int_equal(create_with(bad), MTL_ERROR_ARGUMENT);
    assert_int_equal(mtl_context_create(&good, NULL), MTL_ERROR_ARGUMENT);
}

static void checks_the_allocator(void **state)
{
    (void)state;
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    mtl_allocator bad = allocator.hook;
    options.allocator = &bad;
    bad.allocate = NULL;
    assert_int_equal(create_with(options), MTL_ERROR_ARGUMENT);
    bad = allocator.hook;
    bad.release = NULL;
    assert_int_equal(create_with(options), MTL_ERROR_ARGUMENT);
    bad = allocator.hook;
    bad.struct_size = 3;
    assert_int_equal(create_with(options), MTL_ERROR_ARGUMENT);
    assert_int_equal(allocator.calls, 0);
}

/* ---- memory ---- */

static void takes_memory_from_the_host_only(void **state)
{
    (void)state;
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context *context = test_context_on(&allocator);
    assert_int_equal(allocator.live_blocks, 1);
    void *block = mtli_allocate(context, 100);
    assert_non_null(block);
    assert_int_equal((uintptr_t)block % MTLI_ALIGNMENT, 0);
    void *empty = mtli_allocate(context, 0);
    assert_non_null(empty);
    unsigned char *zeroed = mtli_allocate_zeroed(context, 33);
    for (int i = 0; i < 33; i++) {
        assert_int_equal(zeroed[i], 0);
    }
    assert_int_equal(allocator.live_blocks, 4);
    mtli_release(context, block, 100);
    mtli_release(context, empty, 0);
    mtli_release(context, zeroed, 33);
    mtli_release(context, NULL, 7);
    assert_int_equal(allocator.live_blocks, 1);
    mtl_context_release(context);
    test_allocator_check(&allocator);
}

static void counts_memory(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_memory_info before;
    mtl_memory_info info;
    assert_ok(context, mtl_context_memory(context, &before));
    assert_int_equal(before.blocks, 1);
    assert_int_equal(before.bytes, sizeof *context);
    assert_int_equal(before.allocations, 1);
    void *a = mtli_allocate(context, 1000);
    void *b = mtli_allocate(context, 500);
    mtli_release(context, a, 1000);
    assert_ok(context, mtl_context_memory(context, &info));
    assert_int_equal(info.blocks, 2);
    assert_int_equal(info.bytes, before.bytes + 500);
    assert_int_equal(info.peak_bytes, before.bytes + 1500);
    assert_int_equal(info.allocations, 3);
    mtli_release(context, b, 500);
    assert_fails(context, mtl_context_memory(context, NULL), MTL_ERROR_ARGUMENT, "out");
    assert_int_equal(mtl_context_memory(NULL, &info), MTL_ERROR_ARGUMENT);
    mtl_context_release(context);
}

static void keeps_to_max_bytes(void **state)
{
    (void)state;
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.allocator = &allocator.hook;
    options.max_bytes = sizeof(mtl_context) + 1000;
    mtl_context *context;
    assert_int_equal(mtl_context_create(&options, &context), MTL_OK);
    long calls = allocator.calls;
    assert_null(mtli_allocate(context, 1001));
    assert_int_equal(allocator.calls, calls); /* the allocator was not even asked */
    assert_int_equal(mtl_context_last_status(context), MTL_ERROR_MEMORY);
    assert_non_null(strstr(mtl_context_last_error(context), "max_bytes"));
    assert_null(mtli_allocate(context, SIZE_MAX));
    void *all = mtli_allocate(context, 1000);
    assert_non_null(all);
    assert_null(mtli_allocate(context, 1));
    mtli_release(context, all, 1000);
    void *again = mtli_allocate(context, 1000);
    assert_non_null(again);
    mtli_release(context, again, 1000);
    mtl_memory_info info;
    assert_ok(context, mtl_context_memory(context, &info));
    assert_int_equal(info.bytes, sizeof(mtl_context)); /* refusals left no trace */
    assert_int_equal(info.peak_bytes, sizeof(mtl_context) + 1000);
    mtl_context_release(context);
    test_allocator_check(&allocator);
}

static void reports_sizes_that_overflow(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    assert_null(mtli_allocate_array(context, SIZE_MAX / 2, 3));
    assert_int_equal(mtl_context_last_status(context), MTL_ERROR_LIMIT);
    mtl_context_release(context);
}

static void grows_arrays(void **state)
{
    (void)state;
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context *context = test_context_on(&allocator);
    void *array = NULL;
    size_t capacity = 0;
    assert_ok(context, mtli_reserve(context, &array, &capacity, 0, sizeof(int)));
    assert_null(array);
    for (size_t n = 1; n < 1000; n++) {
        assert_ok(context, mtli_reserve(context, &array, &capacity, n, sizeof(int)));
        ((int *)array)[n - 1] = (int)n;
    }
    for (int n = 1; n < 1000; n++) {
        assert_int_equal(((int *)array)[n - 1], n);
    }
    assert_in_range(allocator.calls, 2, 25); /* by half each time, not one by one */
    void *same = array;
    size_t old = capacity;
    allocator.fail_at = allocator.calls;
    assert_fails(context, mtli_reserve(context, &array, &capacity, 5000, sizeof(int)), MTL_ERROR_MEMORY, NULL);
    assert_ptr_equal(array, same);
    assert_int_equal(capacity, old);
    mtli_release(context, array, capacity * sizeof(int));
    char *copy = mtli_copy_string(context, "a string");
    assert_string_equal(copy, "a string");
    mtli_release_string(context, copy);
    mtli_release_string(context, NULL);
    mtl_context_release(context);
    test_allocator_check(&allocator);
}

/* ---- errors ---- */

static void the_next_call_forgets_the_error(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    assert_string_equal(mtl_context_last_error(context), "");
    assert_int_equal(mtl_context_last_status(context), MTL_OK);
    mtl_tensor *tensor = NULL;
    assert_fails(context, mtl_tensor_create(context, MTL_FLOAT32, -1, NULL, &tensor), MTL_ERROR_ARGUMENT,
                 "mtl_tensor_create: ");
    assert_int_equal(mtl_context_last_status(context), MTL_ERROR_ARGUMENT);
    assert_ok(context, mtl_tensor_create(context, MTL_FLOAT32, 0, NULL, &tensor));
    assert_string_equal(mtl_context_last_error(context), "");
    assert_int_equal(mtl_context_last_status(context), MTL_OK);
    mtl_tensor_release(tensor);
    assert_string_equal(mtl_context_last_error(NULL),
                        "there is no context: mtl_context_create failed, or NULL was given");
    assert_int_equal(mtl_context_last_status(NULL), MTL_ERROR_ARGUMENT);
    mtl_context_release(context);
}

static void a_long_message_is_cut(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    char text[2 * MTLI_MESSAGE_SIZE];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    mtli_enter_function(context, "function");
    assert_int_equal(mtli_fail(context, MTL_ERROR_IO, "%s", text), MTL_ERROR_IO);
    assert_int_equal(strlen(mtl_context_last_error(context)), MTLI_MESSAGE_SIZE - 1);
    assert_memory_equal(mtl_context_last_error(context), "function: xxx", 13);
    assert_int_equal(mtli_fail(NULL, MTL_ERROR_IO, "kept nowhere"), MTL_ERROR_IO);
    assert_int_equal(mtli_fail_text(context, MTL_ERROR_SHAPE, "as it is"), MTL_ERROR_SHAPE);
    assert_string_equal(mtl_context_last_error(context), "as it is");
    mtl_context_release(context);
}

typedef struct log_record {
    int lines;
    int32_t level;
    char text[MTLI_MESSAGE_SIZE];
} log_record;

static void keep_line(void *user, int32_t level, const char *message)
{
    log_record *record = user;
    record->lines++;
    record->level = level;
    snprintf(record->text, sizeof record->text, "%s", message);
}

static void logs_every_error(void **state)
{
    (void)state;
    log_record record = {0, -1, ""};
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.log = keep_line;
    options.log_user = &record;
    mtl_context *context;
    assert_int_equal(mtl_context_create(&options, &context), MTL_OK);
    mtl_tensor *tensor;
    assert_fails(context, mtl_tensor_create(context, MTL_FLOAT32, 9, NULL, &tensor), MTL_ERROR_ARGUMENT, NULL);
    assert_int_equal(record.lines, 1);
    assert_int_equal(record.level, MTL_LOG_ERROR);
    assert_string_equal(record.text, mtl_context_last_error(context));
    mtli_log(context, MTL_LOG_INFO, "%d", 42);
    assert_int_equal(record.level, MTL_LOG_INFO);
    assert_string_equal(record.text, "42");
    mtl_context_release(context);
}

/* ---- seed ---- */

static void draw_weights(mtl_context *context, double weights[12])
{
    mtl_head *head;
    assert_ok(context, mtl_head_create_regressor(context, 4, 3, NULL, &head));
    assert_ok(context, mtl_tensor_read(mtl_head_parameter(head, "weight"), MTL_FLOAT64, weights, 12));
    mtl_head_release(head);
}

static void a_seed_repeats_what_is_drawn(void **state)
{
    (void)state;
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.seed = 77;
    mtl_context *context;
    assert_int_equal(mtl_context_create(&options, &context), MTL_OK);
    double first[12];
    double second[12];
    double again[12];
    draw_weights(context, first);
    draw_weights(context, second);
    assert_memory_not_equal(first, second, sizeof first);
    assert_ok(context, mtl_context_set_seed(context, 77));
    draw_weights(context, again);
    assert_memory_equal(first, again, sizeof first);
    assert_ok(context, mtl_context_set_seed(context, 78));
    draw_weights(context, again);
    assert_memory_not_equal(first, again, sizeof first);
    assert_int_equal(mtl_context_set_seed(NULL, 1), MTL_ERROR_ARGUMENT);
    mtl_context_release(context);
}

/* ---- references ---- */

static void lives_until_the_last_reference(void **state)
{
    (void)state;
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context *context = test_context_on(&allocator);
    assert_ptr_equal(mtl_context_retain(context), context);
    mtl_context_release(context);
    assert_int_equal(allocator.live_blocks, 1);
    mtl_context_release(context);
    test_allocator_check(&allocator);
    assert_null(mtl_context_retain(NULL));
    mtl_context_release(NULL);
}

/* ---- parallel loops ---- */

enum { LOOP = 100 };

typedef struct loop_record {
    int calls; /* of the host's loop */
    int seen[LOOP];
    int denormals; /* results that were not flushed */
} loop_record;

static void visit_index(void *argument, int32_t index)
{
    loop_record *record = argument;
    volatile float tiny = 1e-30f;
    volatile float product = tiny * 1e-10f; /* 1e-40 is denormal */
    record->seen[index]++;
    record->denormals += product != 0;
}

static void loop_backwards(void *user, int32_t count, mtl_parallel_body body, void *argument)
{
    ((loop_record *)user)->calls++;
    for (int32_t i = count - 1; i >= 0; i--) {
        body(argument, i);
    }
}

static void check_loop(const loop_record *record, int count)
{
    for (int i = 0; i < LOOP; i++) {
        assert_int_equal(record->seen[i], i < count);
    }
#if defined(__SSE2__) || defined(__aarch64__)
    assert_int_equal(record->denormals, 0);
    volatile float tiny = 1e-30f;
    volatile float product = tiny * 1e-10f;
    assert_true(product != 0); /* the host's mode is back */
#endif
}

static void uses_the_hosts_loop(void **state)
{
    (void)state;
    loop_record record = {0, {0}, 0};
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.parallel_for = loop_backwards;
    options.parallel_user = &record;
    options.threads = 4;
    mtl_context *context;
    assert_int_equal(mtl_context_create(&options, &context), MTL_OK);
    mtl_memory_info info;
    assert_ok(context, mtl_context_memory(context, &info));
    assert_int_equal(info.blocks, 1); /* no pool beside it */
    mtli_parallel_for(context, LOOP, visit_index, &record);
    assert_int_equal(record.calls, 1);
    check_loop(&record, LOOP);
    mtl_context_release(context);
}

static void loops_alone_without_threads(void **state)
{
    (void)state;
    loop_record record = {0, {0}, 0};
    mtl_context *context = test_context();
    mtli_parallel_for(context, 7, visit_index, &record);
    mtli_parallel_for(context, 0, visit_index, &record);
    check_loop(&record, 7);
    mtl_context_release(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(imports_options_of_every_size),
        cmocka_unit_test(refuses_fields_that_it_does_not_know),
        cmocka_unit_test(null_options_are_the_defaults),
        cmocka_unit_test(checks_context_options),
        cmocka_unit_test(checks_the_allocator),
        cmocka_unit_test(takes_memory_from_the_host_only),
        cmocka_unit_test(counts_memory),
        cmocka_unit_test(keeps_to_max_bytes),
        cmocka_unit_test(reports_sizes_that_overflow),
        cmocka_unit_test(grows_arrays),
        cmocka_unit_test(the_next_call_forgets_the_error),
        cmocka_unit_test(a_long_message_is_cut),
        cmocka_unit_test(logs_every_error),
        cmocka_unit_test(a_seed_repeats_what_is_drawn),
        cmocka_unit_test(lives_until_the_last_reference),
        cmocka_unit_test(uses_the_hosts_loop),
        cmocka_unit_test(loops_alone_without_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
