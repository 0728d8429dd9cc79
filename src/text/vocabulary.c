/* SPDX-License-Identifier: Apache-2.0
 * The vocabulary: life, look-up, texts to ids. */
#include "text/vocabulary.h"

static mtl_status add_special(mtl_vocabulary *vocabulary)
{
    size_t number;
    mtl_status status = mtli_word_table_insert(&vocabulary->table, "<pad>", 5, &number);
    if (status == MTL_OK) {
        status = mtli_word_table_insert(&vocabulary->table, "<unk>", 5, &number);
    }
    return status;
}

mtl_status mtli_vocabulary_create(mtl_context *context, mtl_tokenizer *tokenizer, mtl_vocabulary **out)
{
    mtl_vocabulary *vocabulary = mtli_allocate_zeroed(context, sizeof *vocabulary);
    if (!vocabulary) {
        return context->status;
    }
    vocabulary->context = mtl_context_retain(context);
    mtli_refcount_init(&vocabulary->refs);
    vocabulary->tokenizer = mtl_tokenizer_retain(tokenizer);
    mtli_word_table_init(&vocabulary->table, context);
    mtl_status status = add_special(vocabulary);
    if (status != MTL_OK) {
        mtl_vocabulary_release(vocabulary);
        return status;
    }
    *out = vocabulary;
    return MTL_OK;
}

static uint64_t mix_number(uint64_t hash, uint64_t number)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(number >> (8 * i)); /* the same on every machine */
    }
    return mtli_fnv(hash, bytes, sizeof bytes);
}

void mtli_vocabulary_seal(mtl_vocabulary *vocabulary)
{
    const mtl_tokenizer_options *options = &vocabulary->tokenizer->options;
    uint64_t hash = MTLI_FNV_BASIS;
    hash = mix_number(hash, (uint64_t)options->fold_case);
    hash = mix_number(hash, (uint64_t)options->strip_markup);
    hash = mix_number(hash, (uint64_t)options->punctuation);
    hash = mix_number(hash, (uint64_t)options->max_token_bytes);
    for (size_t i = 0; i < vocabulary->table.size; i++) {
        hash = mix_number(hash, vocabulary->table.words[i].size);
        hash = mtli_fnv(hash, mtli_word_text(&vocabulary->table, i), vocabulary->table.words[i].size);
    }
    vocabulary->fingerprint = hash;
}

mtl_vocabulary *mtl_vocabulary_retain(mtl_vocabulary *vocabulary)
{
    if (vocabulary) {
        mtli_refcount_retain(&vocabulary->refs);
    }
    return vocabulary;
}

void mtl_vocabulary_release(mtl_vocabulary *vocabulary)
{
    if (vocabulary && mtli_refcount_release(&vocabulary->refs)) {
        mtl_context *context = vocabulary->context;
        mtli_word_table_destroy(&vocabulary->table);
        mtl_tokenizer_release(vocabulary->tokenizer);
        mtli_release(context, vocabulary, sizeof *vocabulary);
        mtl_context_release(context);
    }
}

int64_t mtl_vocabulary_size(const mtl_vocabulary *vocabulary)
{
    return vocabulary ? (int64_t)vocabulary->table.size : 0;
}

int32_t mtli_vocabulary_find(const mtl_vocabulary *vocabulary, const char *token, size_t size)
{
    int64_t id = mtli_word_table_find(&vocabulary->table, token, size);
    return id <= MTL_TOKEN_PADDING ? MTL_TOKEN_UNKNOWN : (int32_t)id;
}

int32_t mtl_vocabulary_find(const mtl_vocabulary *vocabulary, const char *token, size_t size)
{
    return vocabulary && token ? mtli_vocabulary_find(vocabulary, token, size) : MTL_TOKEN_UNKNOWN;
}

static bool has_id(const mtl_vocabulary *vocabulary, int32_t id)
{
    return vocabulary && id >= 0 && (size_t)id < vocabulary->table.size;
}

const char *mtl_vocabulary_token(const mtl_vocabulary *vocabulary, int32_t id)
{
    return has_id(vocabulary, id) ? mtli_word_text(&vocabulary->table, (size_t)id) : NULL;
}

int64_t mtl_vocabulary_count(const mtl_vocabulary *vocabulary, int32_t id)
{
    return has_id(vocabulary, id) ? vocabulary->table.words[id].count : 0;
}

uint64_t mtl_vocabulary_fingerprint(const mtl_vocabulary *vocabulary)
{
    return vocabulary ? vocabulary->fingerprint : 0;
}

typedef struct id_sink {
    const mtl_vocabulary *vocabulary;
    int32_t *ids;
    size_t capacity;
    size_t count;
} id_sink;

static mtl_status encode_token(void *user, const char *token, size_t size)
{
    id_sink *state = user;
    if (state->count < state->capacity) {
        state->ids[state->count] = mtli_vocabulary_find(state->vocabulary, token, size);
    }
    state->count++;
    return MTL_OK;
}

mtl_status mtl_vocabulary_encode(const mtl_vocabulary *vocabulary, const char *text, size_t size, int32_t *ids,
                                 size_t capacity, size_t *count)
{
    if (!vocabulary) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = vocabulary->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, count);
    if (size > 0) {
        MTLI_REQUIRE(context, text);
    }
    if (capacity > 0) {
        MTLI_REQUIRE(context, ids);
    }
    id_sink state = {vocabulary, ids, capacity, 0};
    mtl_status status = mtli_tokenize(vocabulary->tokenizer, text, size, encode_token, &state);
    if (status == MTL_OK) {
        *count = state.count;
    }
    return status;
}
