/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: the tokenizer. The first byte gives the options, the rest is the text. Tokens are UTF-8 of the promised
 * size, and a token is a fixed point: the tokenizer makes of it that token and nothing else. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/utf8.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

typedef struct token_check {
    const mtl_tokenizer *tokenizer;
    const char *expected; /* of a token's own run: that token */
    size_t expected_size;
    size_t count;
    uint64_t hash;
} token_check;

static mtl_status expect_same_token(void *user, const char *token, size_t size)
{
    token_check *check = user;
    require(size == check->expected_size && memcmp(token, check->expected, size) == 0);
    check->count++;
    return MTL_OK;
}

static mtl_status check_token(void *user, const char *token, size_t size)
{
    token_check *check = user;
    const mtl_tokenizer *tokenizer = check->tokenizer;
    require(size > 0 && size <= (size_t)tokenizer->options.max_token_bytes && mtli_utf8_check(token, size));
    for (size_t i = 0; i < size; i++) {
        require((unsigned char)token[i] > ' ' && token[i] != 0x7F); /* or a vocabulary could not be saved */
        check->hash = check->hash * 31 + (unsigned char)token[i];
    }
    check->hash = check->hash * 31 + 256;
    check->count++;
    char copy[MTLI_TOKEN_BYTES_MAX];
    memcpy(copy, token, size);
    token_check own = {tokenizer, copy, size, 0, 0};
    require(mtl_tokenizer_run(tokenizer, copy, size, expect_same_token, &own) == MTL_OK && own.count == 1);
    return MTL_OK;
}

static mtl_status refuse_second(void *user, const char *token, size_t size)
{
    (void)token;
    (void)size;
    size_t *count = user;
    return ++*count == 2 ? MTL_ERROR_STATE : MTL_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int32_t sizes[4] = {MTLI_TOKEN_BYTES_MIN, 9, 64, MTLI_TOKEN_BYTES_MAX};
    if (size == 0) {
        return 0;
    }
    mtl_context *context = NULL;
    mtl_tokenizer *tokenizer = NULL;
    mtl_tokenizer_options options = MTL_TOKENIZER_OPTIONS_INIT;
    options.fold_case = !(data[0] & 1);
    options.strip_markup = !(data[0] & 2);
    options.punctuation = !(data[0] & 4);
    options.max_token_bytes = sizes[data[0] >> 3 & 3];
    const char *text = (const char *)data + 1;
    require(mtl_context_create(NULL, &context) == MTL_OK);
    require(mtl_tokenizer_create(context, &options, &tokenizer) == MTL_OK);
    token_check first = {tokenizer, NULL, 0, 0, 0};
    token_check second = first;
    require(mtl_tokenizer_run(tokenizer, text, size - 1, check_token, &first) == MTL_OK);
    require(first.count <= size - 1);
    require(mtl_tokenizer_run(tokenizer, text, size - 1, check_token, &second) == MTL_OK);
    require(first.count == second.count && first.hash == second.hash);
    size_t count = 0;
    mtl_status status = mtl_tokenizer_run(tokenizer, text, size - 1, refuse_second, &count);
    require(first.count < 2 ? status == MTL_OK && count == first.count : status == MTL_ERROR_STATE && count == 2);
    mtl_tokenizer_release(tokenizer);
    mtl_context_release(context);
    return 0;
}
