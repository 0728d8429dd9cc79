/* SPDX-License-Identifier: Apache-2.0
 * The arena: alignment, growth, marks, and rounds that take nothing from the allocator. */
#include "support.h"

#include "base/arena.h"

static void gives_aligned_memory_that_does_not_overlap(void **state)
{
    (void)state;
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context *context = test_context_on(&allocator);
    mtli_arena arena;
    mtli_arena_init(&arena, context);
    unsigned char *blocks[200];
    for (int i = 0; i < 200; i++) {
        size_t size = (size_t)i * 37;
        blocks[i] = mtli_arena_take(&arena, size);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % MTLI_ALIGNMENT, 0);
        memset(blocks[i], i, size);
    }
    for (int i = 0; i < 200; i++) {
        for (size_t k = 0; k < (size_t)i * 37; k++) {
            assert_int_equal(blocks[i][k], i);
        }
    }
    mtli_arena_destroy(&arena);
    mtl_context_release(context);
    test_allocator_check(&allocator);
}

/* Sizes from nothing to several chunks, with marks on the way. */
static void one_round(mtli_arena *arena, void **out)
{
    int n = 0;
    for (int i = 0; i < 20; i++) {
        out[n++] = mtli_arena_take(arena, (size_t)i * 4001);
        mtli_arena_mark mark = mtli_arena_save(arena);
        out[n++] = mtli_arena_take(arena, (size_t)(i % 5) * 100003);
        mtli_arena_rewind(arena, mark);
    }
}

static void a_second_round_allocates_nothing(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtli_arena arena;
    mtli_arena_init(&arena, context);
    void *first[40];
    void *second[40];
    one_round(&arena, first);
    uint64_t before = test_allocations(context);
    for (int round = 0; round < 3; round++) {
        mtli_arena_reset(&arena);
        one_round(&arena, second);
        assert_memory_equal(first, second, sizeof first);
    }
    assert_int_equal(test_allocations(context), before);
    mtli_arena_destroy(&arena);
    mtl_context_release(context);
}

static void a_mark_gives_back_what_came_after(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtli_arena arena;
    mtli_arena_init(&arena, context);
    mtli_arena_mark empty = mtli_arena_save(&arena);
    void *first = mtli_arena_take(&arena, 10);
    mtli_arena_mark mark = mtli_arena_save(&arena);
    void *next = mtli_arena_take(&arena, 10);
    assert_non_null(mtli_arena_take(&arena, 1 << 20)); /* another chunk */
    mtli_arena_rewind(&arena, mark);
    assert_ptr_equal(mtli_arena_take(&arena, 10), next);
    mtli_arena_rewind(&arena, empty);
    assert_ptr_equal(mtli_arena_take(&arena, 10), first);
    mtli_arena_destroy(&arena);
    mtl_context_release(context);
}

static void told_never_to_reuse_no_address_comes_twice(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtli_arena arena;
    mtli_arena_init(&arena, context);
    arena.never_reuse = true;
    mtli_arena_reset(&arena); /* an empty one */
    void *seen[10];
    for (int i = 0; i < 10; i++) {
        seen[i] = mtli_arena_take(&arena, 8);
        for (int k = 0; k < i; k++) {
            assert_ptr_not_equal(seen[i], seen[k]);
        }
        mtli_arena_reset(&arena);
    }
    mtli_arena_destroy(&arena);
    mtl_memory_info info;
    assert_ok(context, mtl_context_memory(context, &info));
    assert_int_equal(info.blocks, 1);
    mtl_context_release(context);
}

static void says_when_memory_is_gone(void **state)
{
    (void)state;
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context *context = test_context_on(&allocator);
    mtli_arena arena;
    mtli_arena_init(&arena, context);
    assert_null(mtli_arena_take(&arena, SIZE_MAX));
    assert_int_equal(mtl_context_last_status(context), MTL_ERROR_LIMIT);
    assert_null(mtli_arena_take(&arena, SIZE_MAX - 70)); /* with the header of a chunk it would wrap around */
    assert_int_equal(mtl_context_last_status(context), MTL_ERROR_LIMIT);
    assert_int_equal(allocator.calls, 1); /* nobody was asked */
    assert_null(mtli_arena_take_array(&arena, SIZE_MAX / 4, 8));
    assert_int_equal(mtl_context_last_status(context), MTL_ERROR_LIMIT);
    allocator.fail_at = allocator.calls;
    assert_null(mtli_arena_take(&arena, 100));
    assert_int_equal(mtl_context_last_status(context), MTL_ERROR_MEMORY);
    assert_non_null(mtli_arena_take(&arena, 100)); /* a single failure leaves it usable */
    mtli_arena_destroy(&arena);
    mtl_context_release(context);
    test_allocator_check(&allocator);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_aligned_memory_that_does_not_overlap),
        cmocka_unit_test(a_second_round_allocates_nothing),
        cmocka_unit_test(a_mark_gives_back_what_came_after),
        cmocka_unit_test(told_never_to_reuse_no_address_comes_twice),
        cmocka_unit_test(says_when_memory_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
