/* SPDX-License-Identifier: Apache-2.0
 * A chain of chunks that grow; rewinding keeps them in their order, so equal requests meet equal chunks. */
#include "base/arena.h"

#include <string.h>

#include "base/checked.h"

#if defined(__SANITIZE_ADDRESS__)
#define MTLI_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MTLI_ASAN 1
#endif
#endif

#ifdef MTLI_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(address, size) ASAN_POISON_MEMORY_REGION(address, size)
#define UNPOISON(address, size) ASAN_UNPOISON_MEMORY_REGION(address, size)
#else
#define POISON(address, size) ((void)(address), (void)(size))
#define UNPOISON(address, size) ((void)(address), (void)(size))
#endif

struct mtli_arena_chunk {
    mtli_arena_chunk *next;
    size_t size; /* bytes of data */
};

enum { HEADER = 64, FIRST_CHUNK = 1 << 16, LARGEST_CHUNK = 1 << 26 };

_Static_assert(sizeof(mtli_arena_chunk) <= HEADER, "the data of a chunk begins aligned");

static unsigned char *data_of(mtli_arena_chunk *chunk)
{
    return (unsigned char *)chunk + HEADER;
}

void mtli_arena_init(mtli_arena *arena, mtl_context *context)
{
    memset(arena, 0, sizeof *arena);
    arena->context = context;
}

static void release_chain(mtli_arena *arena, mtli_arena_chunk *chunk)
{
    while (chunk) {
        mtli_arena_chunk *next = chunk->next;
        UNPOISON(data_of(chunk), chunk->size);
        mtli_release(arena->context, chunk, HEADER + chunk->size);
        chunk = next;
    }
}

void mtli_arena_destroy(mtli_arena *arena)
{
    release_chain(arena, arena->first);
    release_chain(arena, arena->retired);
    memset(arena, 0, sizeof *arena);
}

static size_t next_chunk_size(const mtli_arena *arena, size_t size)
{
    size_t wanted = arena->current ? arena->current->size * 2 : FIRST_CHUNK;
    if (wanted > LARGEST_CHUNK) {
        wanted = LARGEST_CHUNK;
    }
    return size > wanted ? size : wanted;
}

/* The next chunk of the chain that is large enough; smaller ones on the way are skipped in this round. */
static mtli_arena_chunk *advance(mtli_arena *arena, size_t size)
{
    mtli_arena_chunk *last = arena->current;
    mtli_arena_chunk *chunk = last ? last->next : arena->first;
    for (; chunk; last = chunk, chunk = chunk->next) {
        if (chunk->size >= size) {
            return chunk;
        }
    }
    size_t wanted = next_chunk_size(arena, size);
    size_t total;
    if (!mtli_add_size(wanted, HEADER, &total)) {
        mtli_fail(arena->context, MTL_ERROR_LIMIT, "%zu bytes do not fit in memory", wanted);
        return NULL;
    }
    chunk = mtli_allocate(arena->context, total);
    if (!chunk) {
        return NULL;
    }
    chunk->next = NULL;
    chunk->size = wanted;
    POISON(data_of(chunk), chunk->size);
    if (last) {
        last->next = chunk;
    } else {
        arena->first = chunk;
    }
    return chunk;
}

void *mtli_arena_take(mtli_arena *arena, size_t size)
{
    size = mtli_round_up(size ? size : 1, MTLI_ALIGNMENT);
    if (!arena->current || size > arena->current->size - arena->used) {
        mtli_arena_chunk *chunk = advance(arena, size);
        if (!chunk) {
            return NULL;
        }
        arena->current = chunk;
        arena->used = 0;
    }
    unsigned char *data = data_of(arena->current) + arena->used;
    arena->used += size;
    UNPOISON(data, size);
    return data;
}

void *mtli_arena_take_array(mtli_arena *arena, size_t count, size_t size)
{
    size_t total;
    if (!mtli_mul_size(count, size, &total)) {
        mtli_fail(arena->context, MTL_ERROR_LIMIT, "%zu * %zu bytes do not fit in memory", count, size);
        return NULL;
    }
    return mtli_arena_take(arena, total);
}

mtli_arena_mark mtli_arena_save(const mtli_arena *arena)
{
    mtli_arena_mark mark = {arena->current, arena->used};
    return mark;
}

void mtli_arena_rewind(mtli_arena *arena, mtli_arena_mark mark)
{
    mtli_arena_chunk *chunk = mark.chunk ? mark.chunk->next : arena->first;
    if (mark.chunk) {
        POISON(data_of(mark.chunk) + mark.used, mark.chunk->size - mark.used);
    }
    for (; chunk; chunk = chunk->next) {
        POISON(data_of(chunk), chunk->size);
    }
    arena->current = mark.chunk;
    arena->used = mark.used;
}

void mtli_arena_reset(mtli_arena *arena)
{
    mtli_arena_mark start = {NULL, 0};
    mtli_arena_rewind(arena, start);
    if (!arena->never_reuse || !arena->first) {
        return;
    }
    mtli_arena_chunk *last = arena->first;
    while (last->next) {
        last = last->next;
    }
    last->next = arena->retired;
    arena->retired = arena->first;
    arena->first = NULL;
}
