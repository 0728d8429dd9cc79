/* SPDX-License-Identifier: Apache-2.0
 * Strings numbered from 0 in the order of their arrival, found again by hashing. */
#ifndef MTLI_TEXT_WORD_TABLE_H
#define MTLI_TEXT_WORD_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/context.h"

typedef struct mtli_word {
    size_t offset; /* in the pool; a zero byte stands behind the word */
    uint32_t size;
    uint32_t hash;
    int64_t count; /* the owner's */
} mtli_word;

/* Invariants: slots hold 1 + a word's number or 0 for empty; their number is a power of two, at least twice size. */
typedef struct mtli_word_table {
    mtl_context *context;
    char *pool;
    size_t pool_size;
    size_t pool_capacity;
    mtli_word *words;
    size_t size;
    size_t words_capacity;
    uint32_t *slots;
    size_t num_slots;
} mtli_word_table;

#define MTLI_FNV_BASIS 14695981039346656037u
/** FNV-1a, 64 bit, going on from `hash`. */
uint64_t mtli_fnv(uint64_t hash, const void *data, size_t size);

void mtli_word_table_init(mtli_word_table *table, mtl_context *context);
void mtli_word_table_destroy(mtli_word_table *table);

/** The number of a word, or -1. */
int64_t mtli_word_table_find(const mtli_word_table *table, const char *word, size_t size);

/** The number of a word, which is added (with count 0) when it is new. Failure changes nothing. */
mtl_status mtli_word_table_insert(mtli_word_table *table, const char *word, size_t size, size_t *number);

static inline const char *mtli_word_text(const mtli_word_table *table, size_t number)
{
    return table->pool + table->words[number].offset;
}

#endif
