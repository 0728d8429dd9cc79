/* SPDX-License-Identifier: Apache-2.0
 * Words and symbols beyond ASCII: case folding and canonical composition in buffers of fixed size. Only those functions
 * of utf8proc are called that do not allocate. */
#include <utf8proc.h>

#include "io/utf8.h"
#include "text/characters.h"
#include "text/tokenizer.h"

/* Code points of a word after decomposition. MTLI_TOKEN_BYTES_MAX bytes of composed text decompose into fewer: at most
 * 4 code points for 3 bytes, and 2 for 2. */
enum { WORD_CODEPOINTS_MAX = 2048 };

typedef struct unicode_word {
    int32_t codepoints[WORD_CODEPOINTS_MAX];
    size_t count;
    bool full; /* what follows is beyond any token's size */
} unicode_word;

/* Case-folds and decomposes, or keeps as it is. */
static void append_folded(unicode_word *out, int32_t codepoint, bool fold)
{
    if (out->full) {
        return;
    }
    size_t room = WORD_CODEPOINTS_MAX - out->count;
    utf8proc_ssize_t added = 1;
    if (fold) {
        added = utf8proc_decompose_char(codepoint, out->codepoints + out->count, (utf8proc_ssize_t)room,
                                        UTF8PROC_CASEFOLD | UTF8PROC_COMPOSE, NULL);
    } else if (room > 0) {
        out->codepoints[out->count] = codepoint;
    }
    if (added < 0 || (size_t)added > room) {
        out->full = true;
    } else {
        out->count += (size_t)added;
    }
}

/* The class of the first character at or behind `at` that is not ignored. */
static mtli_char_class class_behind(const mtli_token_run *run, size_t at)
{
    while (at < run->size) {
        int32_t codepoint;
        at += mtli_utf8_decode(run->text + at, run->size - at, &codepoint);
        mtli_char_class class = codepoint < 0 ? MTLI_CHAR_SYMBOL : mtli_classify(codepoint);
        if (class != MTLI_CHAR_IGNORE) {
            return class;
        }
    }
    return MTLI_CHAR_SPACE;
}

static void gather_word(const mtli_token_run *run, size_t *at, bool symbol, unicode_word *out)
{
    bool fold = run->tokenizer->options.fold_case != 0;
    bool first = true;
    for (size_t size; *at < run->size; *at += size, first = false) {
        int32_t codepoint;
        size = mtli_utf8_decode(run->text + *at, run->size - *at, &codepoint);
        codepoint = codepoint < 0 ? MTLI_REPLACEMENT : codepoint;
        if (symbol && first) {
            append_folded(out, codepoint, fold);
            continue;
        }
        mtli_char_class class = mtli_classify(codepoint);
        if (class == MTLI_CHAR_IGNORE) {
            continue;
        }
        if (class == MTLI_CHAR_APOSTROPHE && !symbol && class_behind(run, *at + size) == MTLI_CHAR_WORD) {
            append_folded(out, fold ? '\'' : codepoint, fold); /* the curly one makes the same word */
        } else if (class == MTLI_CHAR_MARK || (class == MTLI_CHAR_WORD && !symbol)) {
            append_folded(out, codepoint, fold);
        } else {
            return;
        }
    }
}

/* Canonical order: marks by combining class, equal classes as they stand (Unicode 15, 3.11). */
static void order_marks(unicode_word *out)
{
    for (size_t i = 1; i < out->count; i++) {
        int32_t codepoint = out->codepoints[i];
        utf8proc_propval_t class = utf8proc_get_property(codepoint)->combining_class;
        size_t to = i;
        while (class > 0 && to > 0 && utf8proc_get_property(out->codepoints[to - 1])->combining_class > class) {
            out->codepoints[to] = out->codepoints[to - 1];
            to--;
        }
        out->codepoints[to] = codepoint;
    }
}

static size_t encode_word(const unicode_word *in, size_t limit, char token[MTLI_TOKEN_BYTES_MAX])
{
    size_t size = 0;
    size_t added = 0;
    size_t i = 0;
    for (; i < in->count; i++) {
        char bytes[4];
        size_t length = mtli_utf8_put((uint32_t)in->codepoints[i], bytes);
        if (size + length > limit) {
            break;
        }
        added = length;
        for (size_t k = 0; k < added; k++) {
            token[size++] = bytes[k];
        }
    }
    /* An apostrophe inside a word whose next letter was cut off is not inside any more. */
    bool cut = i > 1 && mtli_classify(in->codepoints[i - 1]) == MTLI_CHAR_APOSTROPHE;
    return cut ? size - added : size;
}

mtl_status mtli_token_unicode(const mtli_token_run *run, size_t *at, bool symbol)
{
    const mtl_tokenizer_options *options = &run->tokenizer->options;
    unicode_word found;
    found.count = 0;
    found.full = false;
    gather_word(run, at, symbol, &found);
    if (symbol && !options->punctuation) {
        return MTL_OK;
    }
    if (options->fold_case) {
        order_marks(&found);
        utf8proc_ssize_t count = utf8proc_normalize_utf32(found.codepoints, (utf8proc_ssize_t)found.count,
                                                          UTF8PROC_COMPOSE | UTF8PROC_STABLE);
        found.count = count < 0 ? 0 : (size_t)count;
    }
    char token[MTLI_TOKEN_BYTES_MAX];
    size_t size = encode_word(&found, (size_t)options->max_token_bytes, token);
    return size > 0 ? run->receive(run->user, token, size) : MTL_OK;
}
