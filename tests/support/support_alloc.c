/* SPDX-License-Identifier: Apache-2.0
 * The counting and failing allocator, contexts on it, and the loop over failing allocations. */
#include "support.h"

enum { GUARD = 16, PATTERN = 0xA5 };

/* Before each block: what release must say again. After it: GUARD bytes of PATTERN. */
typedef struct block_head {
    void *memory; /* what malloc gave */
    size_t size;
    size_t alignment;
} block_head;

static void *counting_allocate(void *user, size_t size, size_t alignment)
{
    mtl_test_allocator *allocator = user;
    long call = allocator->calls++;
    bool later = allocator->fail_forever && call > allocator->fail_at;
    if (allocator->fail_at >= 0 && (call == allocator->fail_at || later)) {
        return NULL;
    }
    unsigned char *memory = malloc(size + alignment + sizeof(block_head) + GUARD);
    if (!memory) {
        return NULL;
    }
    uintptr_t first = (uintptr_t)memory + sizeof(block_head);
    uintptr_t aligned = (first + alignment - 1) & ~(uintptr_t)(alignment - 1);
    unsigned char *pointer = memory + (aligned - (uintptr_t)memory);
    block_head head = {memory, size, alignment};
    memcpy(pointer - sizeof head, &head, sizeof head);
    memset(pointer, PATTERN, size + GUARD);
    allocator->live_blocks++;
    allocator->live_bytes += (long)size;
    return pointer;
}

static void counting_release(void *user, void *pointer, size_t size, size_t alignment)
{
    mtl_test_allocator *allocator = user;
    block_head head;
    memcpy(&head, (unsigned char *)pointer - sizeof head, sizeof head);
    if (head.size != size || head.alignment != alignment) {
        allocator->errors++;
    }
    const unsigned char *guard = (unsigned char *)pointer + head.size;
    for (int i = 0; i < GUARD; i++) {
        if (guard[i] != PATTERN) {
            allocator->errors++;
            break;
        }
    }
    allocator->live_blocks--;
    allocator->live_bytes -= (long)head.size;
    free(head.memory);
}

void test_allocator_init(mtl_test_allocator *allocator)
{
    const mtl_allocator hook = MTL_ALLOCATOR_INIT;
    memset(allocator, 0, sizeof *allocator);
    allocator->hook = hook;
    allocator->hook.user = allocator;
    allocator->hook.allocate = counting_allocate;
    allocator->hook.release = counting_release;
    allocator->fail_at = -1;
}

void test_allocator_check(const mtl_test_allocator *allocator)
{
    if (allocator->errors || allocator->live_blocks || allocator->live_bytes) {
        fail_msg("allocator: %ld errors, %ld blocks of %ld bytes not given back (fail_at = %ld)", allocator->errors,
                 allocator->live_blocks, allocator->live_bytes, allocator->fail_at);
    }
}

mtl_context *test_context(void)
{
    mtl_context *context = NULL;
    mtl_status status = mtl_context_create(NULL, &context);
    if (status != MTL_OK) {
        fail_msg("mtl_context_create: %s", mtl_status_name(status));
    }
    return context;
}

mtl_context *test_context_on(mtl_test_allocator *allocator)
{
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.allocator = &allocator->hook;
    mtl_context *context = NULL;
    mtl_status status = mtl_context_create(&options, &context);
    if (status != MTL_OK && status != MTL_ERROR_MEMORY) {
        fail_msg("mtl_context_create: %s", mtl_status_name(status));
    }
    return status == MTL_OK ? context : NULL;
}

uint64_t test_allocations(mtl_context *context)
{
    mtl_memory_info info;
    assert_int_equal(mtl_context_memory(context, &info), MTL_OK);
    return info.allocations;
}

static bool run_failing(test_scenario scenario, void *user, long fail_at, int fail_forever)
{
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context *context = test_context_on(&allocator);
    assert_non_null(context);
    long before = allocator.calls;
    allocator.fail_at = before + fail_at;
    allocator.fail_forever = fail_forever;
    mtl_status status = scenario(context, user);
    bool reached = allocator.calls > allocator.fail_at;
    bool said = mtl_context_last_error(context)[0] != '\0';
    mtl_context_release(context);
    test_allocator_check(&allocator);
    if (reached && (status != MTL_ERROR_MEMORY || !said)) {
        fail_msg("allocation %ld failed, and the scenario returned %s %s a message", fail_at, mtl_status_name(status),
                 said ? "with" : "without");
    }
    if (!reached && status != MTL_OK) {
        fail_msg("the scenario returned %s without a failing allocation", mtl_status_name(status));
    }
    return reached;
}

void test_each_allocation_failing(test_scenario scenario, void *user)
{
    for (int fail_forever = 0; fail_forever <= 1; fail_forever++) {
        long k = 0;
        while (run_failing(scenario, user, k, fail_forever)) {
            k++;
        }
        assert_true(k > 0); /* a scenario without an allocation shows nothing */
    }
}
