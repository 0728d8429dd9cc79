/* SPDX-License-Identifier: Apache-2.0
 * The hash table of words: open addressing, linear probing, one pool for all bytes. */
#include "text/word_table.h"

#include <string.h>

#include "base/checked.h"

enum { FIRST_SLOTS = 64 };

uint64_t mtli_fnv(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ bytes[i]) * 1099511628211u;
    }
    return hash;
}

static uint32_t hash_word(const char *word, size_t size)
{
    uint64_t hash = mtli_fnv(MTLI_FNV_BASIS, word, size);
    return (uint32_t)(hash ^ (hash >> 32));
}

void mtli_word_table_init(mtli_word_table *table, mtl_context *context)
{
    memset(table, 0, sizeof *table);
    table->context = context;
}

void mtli_word_table_destroy(mtli_word_table *table)
{
    mtli_release(table->context, table->pool, table->pool_capacity);
    mtli_release(table->context, table->words, table->words_capacity * sizeof table->words[0]);
    mtli_release(table->context, table->slots, table->num_slots * sizeof table->slots[0]);
    mtli_word_table_init(table, table->context);
}

/* The slot of a word, or the empty one where it would go. There must be slots. */
static size_t find_slot(const mtli_word_table *table, const char *word, size_t size, uint32_t hash)
{
    size_t mask = table->num_slots - 1;
    size_t at = hash & mask;
    for (; table->slots[at] != 0; at = (at + 1) & mask) {
        const mtli_word *entry = &table->words[table->slots[at] - 1];
        if (entry->hash == hash && entry->size == size && memcmp(table->pool + entry->offset, word, size) == 0) {
            break;
        }
    }
    return at;
}

int64_t mtli_word_table_find(const mtli_word_table *table, const char *word, size_t size)
{
    if (table->num_slots == 0) {
        return -1;
    }
    size_t slot = find_slot(table, word, size, hash_word(word, size));
    return (int64_t)table->slots[slot] - 1;
}

static mtl_status grow_slots(mtli_word_table *table)
{
    size_t num_slots = table->num_slots ? 2 * table->num_slots : FIRST_SLOTS;
    uint32_t *slots = mtli_allocate_array(table->context, num_slots, sizeof slots[0]);
    if (!slots) {
        return table->context->status;
    }
    memset(slots, 0, num_slots * sizeof slots[0]);
    for (size_t i = 0; i < table->size; i++) {
        size_t at = table->words[i].hash & (num_slots - 1);
        while (slots[at] != 0) {
            at = (at + 1) & (num_slots - 1);
        }
        slots[at] = (uint32_t)i + 1;
    }
    mtli_release(table->context, table->slots, table->num_slots * sizeof slots[0]);
    table->slots = slots;
    table->num_slots = num_slots;
    return MTL_OK;
}

static mtl_status make_room(mtli_word_table *table, size_t size)
{
    if (table->size >= INT32_MAX || size >= UINT32_MAX) {
        return mtli_fail(table->context, MTL_ERROR_LIMIT, "%zu different words: more than a table can hold",
                         table->size);
    }
    void *words = table->words;
    void *pool = table->pool;
    mtl_status status =
        mtli_reserve(table->context, &words, &table->words_capacity, table->size + 1, sizeof table->words[0]);
    table->words = words;
    if (status == MTL_OK) {
        status = mtli_reserve(table->context, &pool, &table->pool_capacity, table->pool_size + size + 1, 1);
        table->pool = pool;
    }
    if (status == MTL_OK && 2 * (table->size + 1) > table->num_slots) {
        status = grow_slots(table);
    }
    return status;
}

mtl_status mtli_word_table_insert(mtli_word_table *table, const char *word, size_t size, size_t *number)
{
    uint32_t hash = hash_word(word, size);
    if (table->num_slots > 0) {
        uint32_t slot = table->slots[find_slot(table, word, size, hash)];
        if (slot != 0) {
            *number = slot - 1;
            return MTL_OK;
        }
    }
    mtl_status status = make_room(table, size);
    if (status != MTL_OK) {
        return status;
    }
    size_t slot = find_slot(table, word, size, hash); /* before the word counts: it must not find itself */
    table->words[table->size] = (mtli_word){table->pool_size, (uint32_t)size, hash, 0};
    if (size > 0) {
        memcpy(table->pool + table->pool_size, word, size);
    }
    table->pool[table->pool_size + size] = '\0';
    table->pool_size += size + 1;
    table->slots[slot] = (uint32_t)table->size + 1;
    *number = table->size++;
    return MTL_OK;
}
