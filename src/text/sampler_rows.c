/* SPDX-License-Identifier: Apache-2.0
 * The rows of a sampler: tokenized once, kept as small integers up to a budget, tokenized again beyond it. */
#include <inttypes.h>
#include <string.h>

#include "text/sampler.h"

enum { CHUNK_BYTES = 1048576 };

static mtl_status collect_id(void *user, const char *token, size_t size)
{
    mtl_sampler *sampler = user;
    if (sampler->options.keep_tail == 0 && sampler->num_ids == (size_t)sampler->options.max_tokens) {
        return MTL_ERROR_CANCELLED; /* the rest would be cut */
    }
    void *ids = sampler->ids;
    mtl_status status =
        mtli_reserve(sampler->context, &ids, &sampler->ids_capacity, sampler->num_ids + 1, sizeof sampler->ids[0]);
    sampler->ids = ids;
    if (status == MTL_OK) {
        sampler->ids[sampler->num_ids++] = mtli_vocabulary_find(sampler->vocabulary, token, size);
    }
    return status;
}

/* The first max_tokens - keep_tail and the last keep_tail. */
static void cut_ids(mtl_sampler *sampler)
{
    size_t most = (size_t)sampler->options.max_tokens;
    size_t tail = (size_t)sampler->options.keep_tail;
    if (sampler->num_ids > most) {
        memmove(sampler->ids + (most - tail), sampler->ids + (sampler->num_ids - tail), tail * sizeof sampler->ids[0]);
        sampler->num_ids = most;
    }
}

/* Leaves the row's ids in sampler->ids. */
static mtl_status tokenize_row(mtl_sampler *sampler, const mtli_sampler_entry *entry, int64_t row)
{
    const char *text;
    size_t size;
    mtl_status status = mtli_dataset_read(entry->dataset, row, &text, &size);
    if (status != MTL_OK) {
        if (entry->dataset->context != sampler->context) {
            mtli_fail_text(sampler->context, status, entry->dataset->context->message);
        }
        return status;
    }
    sampler->num_ids = 0;
    status = mtli_tokenize(sampler->vocabulary->tokenizer, text, size, collect_id, sampler);
    if (status != MTL_OK && status != MTL_ERROR_CANCELLED) {
        return status;
    }
    cut_ids(sampler);
    if (sampler->num_ids > 0) {
        return MTL_OK;
    }
    void *ids = sampler->ids;
    status = mtli_reserve(sampler->context, &ids, &sampler->ids_capacity, 1, sizeof sampler->ids[0]);
    sampler->ids = ids;
    if (status == MTL_OK) {
        sampler->ids[0] = MTL_TOKEN_UNKNOWN;
        sampler->num_ids = 1;
    }
    return status;
}

static mtl_status add_chunk(mtl_sampler *sampler, size_t size)
{
    void *chunks = sampler->chunks;
    mtl_status status = mtli_reserve(sampler->context, &chunks, &sampler->chunks_capacity, sampler->num_chunks + 1,
                                     sizeof sampler->chunks[0]);
    sampler->chunks = chunks;
    if (status != MTL_OK) {
        return status;
    }
    unsigned char *data = mtli_allocate(sampler->context, size);
    if (!data) {
        return sampler->context->status;
    }
    sampler->chunks[sampler->num_chunks++] = (mtli_id_chunk){data, size, 0};
    sampler->cached_bytes += size;
    return MTL_OK;
}

/* Room in the cache, or NULL in *place when the budget is spent. */
static mtl_status take_place(mtl_sampler *sampler, size_t bytes, void **place)
{
    *place = NULL;
    if (sampler->cache_full) {
        return MTL_OK;
    }
    mtli_id_chunk *chunk = sampler->num_chunks ? &sampler->chunks[sampler->num_chunks - 1] : NULL;
    if (!chunk || chunk->size - chunk->used < bytes) {
        uint64_t rest = sampler->options.cache_bytes - sampler->cached_bytes;
        size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        size = rest < size ? (size_t)rest : size;
        if (size < bytes) {
            sampler->cache_full = true;
            return MTL_OK;
        }
        mtl_status status = add_chunk(sampler, size);
        if (status != MTL_OK) {
            return status;
        }
        chunk = &sampler->chunks[sampler->num_chunks - 1];
    }
    *place = chunk->data + chunk->used;
    chunk->used += bytes;
    return MTL_OK;
}

static mtl_status cache_row(mtl_sampler *sampler, mtli_sampler_row *row)
{
    size_t count = sampler->num_ids;
    void *place;
    mtl_status status = take_place(sampler, count * (sampler->wide ? sizeof(int32_t) : sizeof(uint16_t)), &place);
    if (status != MTL_OK) {
        return status;
    }
    *row = (mtli_sampler_row){place, (uint32_t)count, 0};
    if (place && sampler->wide) {
        memcpy(place, sampler->ids, count * sizeof sampler->ids[0]);
    } else if (place) {
        uint16_t *packed = place;
        for (size_t i = 0; i < count; i++) {
            packed[i] = (uint16_t)sampler->ids[i];
        }
    }
    return MTL_OK;
}

static mtl_status read_row(mtl_sampler *sampler, const mtli_sampler_entry *entry, int64_t row)
{
    mtl_status status = tokenize_row(sampler, entry, row);
    if (status == MTL_OK) {
        status = cache_row(sampler, &sampler->rows[entry->first + row]);
    }
    if (status == MTL_OK) {
        uint32_t length = (uint32_t)sampler->num_ids;
        sampler->tokens += length;
        sampler->longest = length > sampler->longest ? length : sampler->longest;
    }
    return status;
}

static void drop_chunks(mtl_sampler *sampler, size_t keep)
{
    while (sampler->num_chunks > keep) {
        mtli_id_chunk *chunk = &sampler->chunks[--sampler->num_chunks];
        sampler->cached_bytes -= chunk->size;
        mtli_release(sampler->context, chunk->data, chunk->size);
    }
}

mtl_status mtli_sampler_read_rows(mtl_sampler *sampler, const mtli_sampler_entry *entry)
{
    const size_t num_chunks = sampler->num_chunks;
    const size_t used = num_chunks ? sampler->chunks[num_chunks - 1].used : 0;
    const int64_t tokens = sampler->tokens;
    const uint32_t longest = sampler->longest;
    const bool cache_full = sampler->cache_full;
    if (entry->rows > (int64_t)UINT32_MAX - entry->first - 1) {
        return mtli_fail(sampler->context, MTL_ERROR_LIMIT, "%" PRId64 " rows in all datasets are too many",
                         entry->first + entry->rows);
    }
    void *rows = sampler->rows;
    mtl_status status = mtli_reserve(sampler->context, &rows, &sampler->rows_capacity,
                                     (size_t)(entry->first + entry->rows), sizeof sampler->rows[0]);
    sampler->rows = rows;
    for (int64_t row = 0; status == MTL_OK && row < entry->rows; row++) {
        status = read_row(sampler, entry, row);
    }
    if (status != MTL_OK) {
        drop_chunks(sampler, num_chunks);
        if (num_chunks > 0) {
            sampler->chunks[num_chunks - 1].used = used;
        }
        sampler->tokens = tokens;
        sampler->longest = longest;
        sampler->cache_full = cache_full;
        return status;
    }
    sampler->num_rows = (size_t)(entry->first + entry->rows);
    return MTL_OK;
}

const mtli_sampler_entry *mtli_sampler_entry_of(const mtl_sampler *sampler, uint32_t number)
{
    size_t low = 0;
    size_t high = sampler->num_entries;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (sampler->entries[middle].first <= (int64_t)number) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return &sampler->entries[low];
}

mtl_status mtli_sampler_ids(mtl_sampler *sampler, uint32_t number, int32_t *ids)
{
    const mtli_sampler_row *row = &sampler->rows[number];
    if (row->ids && sampler->wide) {
        memcpy(ids, row->ids, row->length * sizeof ids[0]);
        return MTL_OK;
    }
    if (row->ids) {
        const uint16_t *packed = row->ids;
        for (uint32_t i = 0; i < row->length; i++) {
            ids[i] = packed[i];
        }
        return MTL_OK;
    }
    const mtli_sampler_entry *entry = mtli_sampler_entry_of(sampler, number);
    mtl_status status = tokenize_row(sampler, entry, (int64_t)number - entry->first);
    if (status != MTL_OK) {
        return status;
    }
    if (sampler->num_ids != row->length) {
        return mtli_fail(sampler->context, MTL_ERROR_IO,
                         "row %" PRId64 " of dataset %td has %zu tokens and had %" PRIu32 ": the file was changed",
                         (int64_t)number - entry->first, entry - sampler->entries, sampler->num_ids, row->length);
    }
    memcpy(ids, sampler->ids, row->length * sizeof ids[0]);
    return MTL_OK;
}

void mtli_sampler_release_rows(mtl_sampler *sampler)
{
    drop_chunks(sampler, 0);
    mtli_release(sampler->context, sampler->chunks, sampler->chunks_capacity * sizeof sampler->chunks[0]);
    mtli_release(sampler->context, sampler->rows, sampler->rows_capacity * sizeof sampler->rows[0]);
    mtli_release(sampler->context, sampler->ids, sampler->ids_capacity * sizeof sampler->ids[0]);
}
