/* SPDX-License-Identifier: Apache-2.0
 * Memory that is taken piece by piece and given back all at once. A second round of the same requests makes no call to
 * the allocator. */
#ifndef MTLI_BASE_ARENA_H
#define MTLI_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/context.h"

typedef struct mtli_arena_chunk mtli_arena_chunk;

typedef struct mtli_arena {
    mtl_context *context;
    mtli_arena_chunk *first;
    mtli_arena_chunk *current;
    mtli_arena_chunk *retired; /* never used again */
    size_t used;               /* bytes of the current chunk */
    bool never_reuse;          /* a reset retires the chunks: a stale address is never valid again */
} mtli_arena;

/** A point to return to with mtli_arena_rewind(). */
typedef struct mtli_arena_mark {
    mtli_arena_chunk *chunk;
    size_t used;
} mtli_arena_mark;

void mtli_arena_init(mtli_arena *arena, mtl_context *context);
void mtli_arena_destroy(mtli_arena *arena);

/** size bytes at MTLI_ALIGNMENT, uninitialized; NULL, with the context's error set, when there are none. */
void *mtli_arena_take(mtli_arena *arena, size_t size);

/** count * size bytes; NULL, with the error set, when that overflows or there are none. */
void *mtli_arena_take_array(mtli_arena *arena, size_t count, size_t size);

mtli_arena_mark mtli_arena_save(const mtli_arena *arena);

/** Gives back everything that was taken after the mark. */
void mtli_arena_rewind(mtli_arena *arena, mtli_arena_mark mark);

/** Gives back everything; the chunks stay for the next round. */
void mtli_arena_reset(mtli_arena *arena);

#endif
