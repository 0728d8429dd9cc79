/* SPDX-License-Identifier: Apache-2.0
 * Every allocation of the library passes here: counted, limited, reported. */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/context.h"

static void raise_peak(mtl_context *context, uint64_t bytes)
{
    uint_fast64_t peak = atomic_load_explicit(&context->peak_bytes, memory_order_relaxed);
    while (bytes > peak && !atomic_compare_exchange_weak_explicit(&context->peak_bytes, &peak, bytes,
                                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

void *mtli_allocate(mtl_context *context, size_t size)
{
    size_t real_size = size ? size : 1;
    uint64_t before = atomic_fetch_add_explicit(&context->bytes, real_size, memory_order_relaxed);
    bool allowed =
        context->max_bytes == 0 || (before <= context->max_bytes && real_size <= context->max_bytes - before);
    void *pointer = NULL;
    if (allowed) {
        atomic_fetch_add_explicit(&context->allocations, 1, memory_order_relaxed);
        pointer = context->allocator.allocate(context->allocator.user, real_size, MTLI_ALIGNMENT);
    }
    if (!pointer) {
        atomic_fetch_sub_explicit(&context->bytes, real_size, memory_order_relaxed);
        if (allowed) {
            mtli_fail(context, MTL_ERROR_MEMORY, "%zu bytes could not be had", real_size);
        } else {
            context->limit_reached = true;
            mtli_fail(context, MTL_ERROR_MEMORY, "%zu bytes more than %" PRIu64 " would exceed max_bytes = %" PRIu64,
                      real_size, before, context->max_bytes);
        }
        return NULL;
    }
    atomic_fetch_add_explicit(&context->blocks, 1, memory_order_relaxed);
    raise_peak(context, before + real_size);
    return pointer;
}

void *mtli_allocate_zeroed(mtl_context *context, size_t size)
{
    void *pointer = mtli_allocate(context, size);
    if (pointer) {
        memset(pointer, 0, size);
    }
    return pointer;
}

void *mtli_allocate_array(mtl_context *context, size_t count, size_t size)
{
    size_t total;
    if (!mtli_mul_size(count, size, &total)) {
        mtli_fail(context, MTL_ERROR_LIMIT, "%zu * %zu bytes do not fit in memory", count, size);
        return NULL;
    }
    return mtli_allocate(context, total);
}

void mtli_release(mtl_context *context, void *pointer, size_t size)
{
    if (!pointer) {
        return;
    }
    size_t real_size = size ? size : 1;
    context->allocator.release(context->allocator.user, pointer, real_size, MTLI_ALIGNMENT);
    atomic_fetch_sub_explicit(&context->bytes, real_size, memory_order_relaxed);
    atomic_fetch_sub_explicit(&context->blocks, 1, memory_order_relaxed);
}

char *mtli_copy_string(mtl_context *context, const char *string)
{
    size_t size = strlen(string) + 1;
    char *copy = mtli_allocate(context, size);
    if (copy) {
        memcpy(copy, string, size);
    }
    return copy;
}

void mtli_release_string(mtl_context *context, char *string)
{
    if (string) {
        mtli_release(context, string, strlen(string) + 1);
    }
}

mtl_status mtli_reserve(mtl_context *context, void **array, size_t *capacity, size_t needed, size_t size)
{
    if (needed <= *capacity) {
        return MTL_OK;
    }
    size_t grown = *capacity + *capacity / 2;
    size_t wanted = needed > grown ? needed : grown;
    void *larger = mtli_allocate_array(context, wanted, size);
    if (!larger) {
        return context->status;
    }
    if (*array) {
        memcpy(larger, *array, *capacity * size);
        mtli_release(context, *array, *capacity * size);
    }
    *array = larger;
    *capacity = wanted;
    return MTL_OK;
}

mtl_status mtl_context_memory(mtl_context *context, mtl_memory_info *out)
{
    if (!context) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(context);
    MTLI_REQUIRE(context, out);
    out->bytes = atomic_load_explicit(&context->bytes, memory_order_relaxed);
    out->peak_bytes = atomic_load_explicit(&context->peak_bytes, memory_order_relaxed);
    out->blocks = atomic_load_explicit(&context->blocks, memory_order_relaxed);
    out->allocations = atomic_load_explicit(&context->allocations, memory_order_relaxed);
    return MTL_OK;
}
