/* SPDX-License-Identifier: Apache-2.0
 * Counting tokens, and choosing the most frequent ones. */
#include <inttypes.h>
#include <string.h>

#include "text/sort.h"
#include "text/vocabulary.h"

enum { SPECIAL_ENTRIES = 2 };

mtl_status mtl_vocabulary_builder_create(mtl_context *context, mtl_tokenizer *tokenizer, mtl_vocabulary_builder **out)
{
    if (!context) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(context);
    MTLI_REQUIRE(context, tokenizer);
    MTLI_REQUIRE(context, out);
    mtl_vocabulary_builder *builder = mtli_allocate_zeroed(context, sizeof *builder);
    if (!builder) {
        return context->status;
    }
    builder->context = mtl_context_retain(context);
    builder->tokenizer = mtl_tokenizer_retain(tokenizer);
    mtli_word_table_init(&builder->table, context);
    *out = builder;
    return MTL_OK;
}

void mtl_vocabulary_builder_destroy(mtl_vocabulary_builder *builder)
{
    if (builder) {
        mtl_context *context = builder->context;
        mtli_word_table_destroy(&builder->table);
        mtl_tokenizer_release(builder->tokenizer);
        mtli_release(context, builder, sizeof *builder);
        mtl_context_release(context);
    }
}

static mtl_status count_token(void *user, const char *token, size_t size)
{
    mtli_word_table *table = user;
    size_t number;
    mtl_status status = mtli_word_table_insert(table, token, size, &number);
    if (status == MTL_OK) {
        table->words[number].count++;
    }
    return status;
}

mtl_status mtli_vocabulary_builder_add(mtl_vocabulary_builder *builder, const char *text, size_t size)
{
    return mtli_tokenize(builder->tokenizer, text, size, count_token, &builder->table);
}

mtl_status mtl_vocabulary_builder_add(mtl_vocabulary_builder *builder, const char *text, size_t size)
{
    if (!builder) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(builder->context);
    if (size > 0) {
        MTLI_REQUIRE(builder->context, text);
    }
    return mtli_vocabulary_builder_add(builder, text, size);
}

/* By falling count, then by bytes. */
static bool more_frequent(const void *user, uint32_t a, uint32_t b)
{
    const mtli_word_table *table = user;
    const mtli_word *left = &table->words[a];
    const mtli_word *right = &table->words[b];
    if (left->count != right->count) {
        return left->count > right->count;
    }
    size_t common = left->size < right->size ? left->size : right->size;
    int order = memcmp(table->pool + left->offset, table->pool + right->offset, common);
    return order != 0 ? order < 0 : left->size < right->size;
}

static mtl_status add_words(mtl_vocabulary *vocabulary, const mtli_word_table *from, const uint32_t *order,
                            size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t number;
        const mtli_word *word = &from->words[order[i]];
        mtl_status status = mtli_word_table_insert(&vocabulary->table, from->pool + word->offset, word->size, &number);
        if (status != MTL_OK) {
            return status;
        }
        vocabulary->table.words[number].count = word->count;
    }
    return MTL_OK;
}

static mtl_status choose_words(const mtl_vocabulary_builder *builder, const mtl_vocabulary_options *options,
                               uint32_t *order, uint32_t *scratch, mtl_vocabulary **out)
{
    size_t count = 0;
    for (size_t i = 0; i < builder->table.size; i++) {
        if (builder->table.words[i].count >= options->min_count) {
            order[count++] = (uint32_t)i;
        }
    }
    mtli_sort(order, scratch, count, more_frequent, &builder->table);
    size_t most = (size_t)(options->max_size - SPECIAL_ENTRIES);
    mtl_vocabulary *vocabulary;
    mtl_status status = mtli_vocabulary_create(builder->context, builder->tokenizer, &vocabulary);
    if (status != MTL_OK) {
        return status;
    }
    status = add_words(vocabulary, &builder->table, order, count < most ? count : most);
    if (status != MTL_OK) {
        mtl_vocabulary_release(vocabulary);
        return status;
    }
    mtli_vocabulary_seal(vocabulary);
    *out = vocabulary;
    return MTL_OK;
}

mtl_status mtl_vocabulary_builder_finish(const mtl_vocabulary_builder *builder, const mtl_vocabulary_options *options,
                                         mtl_vocabulary **out)
{
    if (!builder) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = builder->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, out);
    mtl_vocabulary_options known = MTL_VOCABULARY_OPTIONS_INIT;
    mtl_status status = mtli_import_options(context, "options", &known, sizeof known, sizeof known, options);
    if (status != MTL_OK) {
        return status;
    }
    if (known.max_size < SPECIAL_ENTRIES || known.max_size > INT32_MAX) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->max_size = %" PRId64 " is not in %d to %" PRId32,
                         known.max_size, SPECIAL_ENTRIES, INT32_MAX);
    }
    size_t size = builder->table.size;
    uint32_t *order = mtli_allocate_array(context, size, 2 * sizeof order[0]);
    if (!order) {
        return context->status;
    }
    status = choose_words(builder, &known, order, order + size, out);
    mtli_release(context, order, size * 2 * sizeof order[0]);
    return status;
}
