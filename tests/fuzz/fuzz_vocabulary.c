/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: the text form of a vocabulary. What is accepted must be what the library itself would have written, and
 * find every token under its id. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/utf8.h"
#include "text/vocabulary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { IDS_MOST = 64 };

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void check_entries(const mtl_vocabulary *vocabulary)
{
    int64_t size = mtl_vocabulary_size(vocabulary);
    require(size >= 2 && mtl_vocabulary_token(vocabulary, (int32_t)size) == NULL);
    require(strcmp(mtl_vocabulary_token(vocabulary, MTL_TOKEN_PADDING), "<pad>") == 0);
    require(strcmp(mtl_vocabulary_token(vocabulary, MTL_TOKEN_UNKNOWN), "<unk>") == 0);
    for (int32_t id = 2; id < size; id++) {
        const char *token = mtl_vocabulary_token(vocabulary, id);
        require(token != NULL && token[0] != '\0' && mtli_utf8_check(token, strlen(token)));
        require(mtl_vocabulary_find(vocabulary, token, strlen(token)) == id);
        require(mtl_vocabulary_count(vocabulary, id) >= 1);
    }
}

static void check_same_text(const mtl_vocabulary *vocabulary, const char *text, size_t size)
{
    char *written;
    size_t written_size;
    require(mtli_vocabulary_format(vocabulary, &written, &written_size) == MTL_OK);
    require(written_size == size && memcmp(written, text, size) == 0);
    mtli_release(vocabulary->context, written, written_size + 1);
}

static void check_encoding(const mtl_vocabulary *vocabulary, const char *text, size_t size)
{
    int32_t ids[IDS_MOST];
    size_t count, again;
    require(mtl_vocabulary_encode(vocabulary, text, size, NULL, 0, &count) == MTL_OK && count <= size);
    require(mtl_vocabulary_encode(vocabulary, text, size, ids, IDS_MOST, &again) == MTL_OK && again == count);
    for (size_t i = 0; i < count && i < IDS_MOST; i++) {
        require(ids[i] >= MTL_TOKEN_UNKNOWN && ids[i] < mtl_vocabulary_size(vocabulary));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.max_bytes = (uint64_t)1 << 24; /* a size in the header must not be believed */
    mtl_context *context = NULL;
    require(mtl_context_create(&options, &context) == MTL_OK);
    mtl_vocabulary *vocabulary = NULL;
    mtl_status status = mtli_vocabulary_parse(context, "fuzz", text, size, &vocabulary);
    if (status == MTL_OK) {
        check_entries(vocabulary);
        check_same_text(vocabulary, text, size);
        check_encoding(vocabulary, text, size);
        mtl_vocabulary_release(vocabulary);
    } else {
        require(vocabulary == NULL && mtl_context_last_error(context)[0] != '\0');
        require(status == MTL_ERROR_FORMAT || status == MTL_ERROR_LIMIT);
    }
    mtl_memory_info info;
    require(mtl_context_memory(context, &info) == MTL_OK && info.blocks == 1);
    mtl_context_release(context);
    return 0;
}
