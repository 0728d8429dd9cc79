/* SPDX-License-Identifier: Apache-2.0
 * The tokenizer: ASCII is handled here byte by byte; whatever touches other characters goes to token_unicode.c. */
#include "text/tokenizer.h"

#include <string.h>

#include "text/characters.h"

enum { TAG_BYTES_MAX = 512, ENTITY_BYTES_MAX = 34 };

/* Markup: what it may begin with, '<' and '&'. High: not ASCII. */
enum { BYTE_SPACE, BYTE_WORD, BYTE_PUNCTUATION, BYTE_APOSTROPHE, BYTE_MARKUP, BYTE_HIGH };

/* clang-format off */
#define o BYTE_SPACE
#define W BYTE_WORD
#define P BYTE_PUNCTUATION
#define A BYTE_APOSTROPHE
#define M BYTE_MARKUP
#define H BYTE_HIGH
static const unsigned char byte_class[256] = {
    o, o, o, o, o, o, o, o, o, o, o, o, o, o, o, o,
    o, o, o, o, o, o, o, o, o, o, o, o, o, o, o, o,
    o, P, P, P, P, P, M, A, P, P, P, P, P, P, P, P,
    W, W, W, W, W, W, W, W, W, W, P, P, M, P, P, P,
    P, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W,
    W, W, W, W, W, W, W, W, W, W, W, P, P, P, P, P,
    P, W, W, W, W, W, W, W, W, W, W, W, W, W, W, W,
    W, W, W, W, W, W, W, W, W, W, W, P, P, P, P, o,
    H, H, H, H, H, H, H, H, H, H, H, H, H, H, H, H,
    H, H, H, H, H, H, H, H, H, H, H, H, H, H, H, H,
    H, H, H, H, H, H, H, H, H, H, H, H, H, H, H, H,
    H, H, H, H, H, H, H, H, H, H, H, H, H, H, H, H,
    H, H, H, H, H, H, H, H, H, H, H, H, H, H, H, H,
    H, H, H, H, H, H, H, H, H, H, H, H, H, H, H, H,
    H, H, H, H, H, H, H, H, H, H, H, H, H, H, H, H,
    H, H, H, H, H, H, H, H, H, H, H, H, H, H, H, H
};
#undef o
#undef W
#undef P
#undef A
#undef M
#undef H
/* clang-format on */

static bool is_ascii_letter(unsigned char byte)
{
    return byte_class[byte] == BYTE_WORD && byte > '9';
}

static bool is_ascii_digit(unsigned char byte)
{
    return byte >= '0' && byte <= '9';
}

static char lower_ascii(unsigned char byte)
{
    return (char)(byte >= 'A' && byte <= 'Z' ? byte + 32 : byte);
}

/* "<br />", "</a>", "<p class=x>": bytes of the tag that begins at text[0] = '<', or 0. */
static size_t tag_size(const unsigned char *text, size_t size)
{
    size_t at = 1;
    if (at < size && text[at] == '/') {
        at++;
    }
    if (at >= size || !is_ascii_letter(text[at])) {
        return 0;
    }
    while (at < size && byte_class[text[at]] == BYTE_WORD) {
        at++;
    }
    if (at < size && text[at] != '>' && text[at] != '/' && byte_class[text[at]] != BYTE_SPACE) {
        return 0;
    }
    size_t end = size < TAG_BYTES_MAX ? size : TAG_BYTES_MAX;
    for (; at < end && text[at] != '<'; at++) {
        if (text[at] == '>') {
            return at + 1;
        }
    }
    return 0;
}

static bool is_hexadecimal(unsigned char byte)
{
    return is_ascii_digit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

/* "&amp;", "&#39;", "&#x27;": bytes of the entity that begins at text[0] = '&', or 0. */
static size_t entity_size(const unsigned char *text, size_t size)
{
    size_t end = size < ENTITY_BYTES_MAX ? size : ENTITY_BYTES_MAX;
    size_t at = 1;
    size_t first;
    if (at < end && text[at] == '#') {
        at++;
        bool hexadecimal = at < end && (text[at] == 'x' || text[at] == 'X');
        first = at += hexadecimal;
        while (at < end && (hexadecimal ? is_hexadecimal(text[at]) : is_ascii_digit(text[at]))) {
            at++;
        }
    } else {
        first = at;
        while (at < end && (at == first ? is_ascii_letter(text[at]) : byte_class[text[at]] == BYTE_WORD)) {
            at++;
        }
    }
    return at > first && at < end && text[at] == ';' ? at + 1 : 0;
}

/* A word of ASCII characters; falls back when another character touches it. */
static mtl_status take_word(const mtli_token_run *run, size_t *at)
{
    const mtl_tokenizer_options *options = &run->tokenizer->options;
    const unsigned char *text = run->text;
    char token[MTLI_TOKEN_BYTES_MAX];
    size_t size = 0;
    size_t limit = (size_t)options->max_token_bytes;
    size_t next = *at;
    for (; next < run->size; next++) {
        unsigned char class = byte_class[text[next]];
        if (class == BYTE_APOSTROPHE) {
            unsigned char after = next + 1 < run->size ? byte_class[text[next + 1]] : BYTE_SPACE;
            class = after == BYTE_HIGH ? BYTE_HIGH : after == BYTE_WORD ? BYTE_WORD : BYTE_PUNCTUATION;
        }
        if (class == BYTE_HIGH) {
            return mtli_token_unicode(run, at, false);
        }
        if (class != BYTE_WORD) {
            break;
        }
        if (size < limit) {
            token[size++] = options->fold_case ? lower_ascii(text[next]) : (char)text[next];
        }
    }
    *at = next;
    size -= token[size - 1] == '\''; /* the letter behind it was cut off */
    return run->receive(run->user, token, size);
}

static mtl_status take_symbol(const mtli_token_run *run, size_t *at)
{
    size_t next = *at + 1;
    if (next < run->size && byte_class[run->text[next]] == BYTE_HIGH) {
        return mtli_token_unicode(run, at, true);
    }
    const char *token = (const char *)run->text + *at;
    *at = next;
    return run->tokenizer->options.punctuation ? run->receive(run->user, token, 1) : MTL_OK;
}

static mtl_status take_markup(const mtli_token_run *run, size_t *at)
{
    if (run->tokenizer->options.strip_markup) {
        const unsigned char *text = run->text + *at;
        size_t size = run->size - *at;
        size_t skip = *text == '<' ? tag_size(text, size) : entity_size(text, size);
        if (skip > 0) {
            *at += skip;
            return MTL_OK;
        }
    }
    return take_symbol(run, at);
}

static mtl_status take_high(const mtli_token_run *run, size_t *at)
{
    int32_t codepoint;
    size_t size = mtli_utf8_decode(run->text + *at, run->size - *at, &codepoint);
    switch (codepoint < 0 ? MTLI_CHAR_SYMBOL : mtli_classify(codepoint)) {
    case MTLI_CHAR_WORD:
    case MTLI_CHAR_MARK:
        return mtli_token_unicode(run, at, false);
    case MTLI_CHAR_SYMBOL:
    case MTLI_CHAR_APOSTROPHE:
        return mtli_token_unicode(run, at, true);
    case MTLI_CHAR_SPACE:
    case MTLI_CHAR_IGNORE:
        break;
    }
    *at += size;
    return MTL_OK;
}

mtl_status mtli_tokenize(const mtl_tokenizer *tokenizer, const char *text, size_t size, mtl_token_fn receive,
                         void *user)
{
    mtli_token_run run = {tokenizer, (const unsigned char *)text, size, receive, user};
    mtl_status status = MTL_OK;
    size_t at = 0;
    while (at < size && status == MTL_OK) {
        switch (byte_class[run.text[at]]) {
        case BYTE_WORD:
            status = take_word(&run, &at);
            break;
        case BYTE_PUNCTUATION:
        case BYTE_APOSTROPHE:
            status = take_symbol(&run, &at);
            break;
        case BYTE_MARKUP:
            status = take_markup(&run, &at);
            break;
        case BYTE_HIGH:
            status = take_high(&run, &at);
            break;
        default:
            at++;
            break;
        }
    }
    return status;
}

mtl_status mtl_tokenizer_run(const mtl_tokenizer *tokenizer, const char *text, size_t size, mtl_token_fn receive,
                             void *user)
{
    if (!tokenizer) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = tokenizer->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, receive);
    if (size > 0) {
        MTLI_REQUIRE(context, text);
    }
    return mtli_tokenize(tokenizer, text, size, receive, user);
}

mtl_status mtli_tokenizer_create(mtl_context *context, const mtl_tokenizer_options *options, mtl_tokenizer **out)
{
    mtl_tokenizer *tokenizer = mtli_allocate_zeroed(context, sizeof *tokenizer);
    if (!tokenizer) {
        return context->status;
    }
    tokenizer->context = mtl_context_retain(context);
    mtli_refcount_init(&tokenizer->refs);
    tokenizer->options = *options;
    tokenizer->options.fold_case = options->fold_case != 0;
    tokenizer->options.strip_markup = options->strip_markup != 0;
    tokenizer->options.punctuation = options->punctuation != 0;
    *out = tokenizer;
    return MTL_OK;
}

mtl_status mtl_tokenizer_create(mtl_context *context, const mtl_tokenizer_options *options, mtl_tokenizer **out)
{
    if (!context) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(context);
    MTLI_REQUIRE(context, out);
    mtl_tokenizer_options known = MTL_TOKENIZER_OPTIONS_INIT;
    mtl_status status = mtli_import_options(context, "options", &known, sizeof known, sizeof known, options);
    if (status != MTL_OK) {
        return status;
    }
    if (known.max_token_bytes < MTLI_TOKEN_BYTES_MIN || known.max_token_bytes > MTLI_TOKEN_BYTES_MAX) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->max_token_bytes = %d is not in %d to %d",
                         (int)known.max_token_bytes, MTLI_TOKEN_BYTES_MIN, MTLI_TOKEN_BYTES_MAX);
    }
    return mtli_tokenizer_create(context, &known, out);
}

mtl_tokenizer *mtl_tokenizer_retain(mtl_tokenizer *tokenizer)
{
    if (tokenizer) {
        mtli_refcount_retain(&tokenizer->refs);
    }
    return tokenizer;
}

void mtl_tokenizer_release(mtl_tokenizer *tokenizer)
{
    if (tokenizer && mtli_refcount_release(&tokenizer->refs)) {
        mtl_context *context = tokenizer->context;
        mtli_release(context, tokenizer, sizeof *tokenizer);
        mtl_context_release(context);
    }
}
