/* SPDX-License-Identifier: Apache-2.0
 * The tokenizer from inside. */
#ifndef MTLI_TEXT_TOKENIZER_H
#define MTLI_TEXT_TOKENIZER_H

#include <stdbool.h>

#include <mtl/text.h>

#include "base/context.h"

enum { MTLI_TOKEN_BYTES_MIN = 8, MTLI_TOKEN_BYTES_MAX = 1024 };

struct mtl_tokenizer {
    mtl_context *context;
    mtli_refcount refs;
    mtl_tokenizer_options options;
};

/** One text on its way through the tokenizer. */
typedef struct mtli_token_run {
    const mtl_tokenizer *tokenizer;
    const unsigned char *text;
    size_t size;
    mtl_token_fn receive;
    void *user;
} mtli_token_run;

mtl_status mtli_tokenizer_create(mtl_context *context, const mtl_tokenizer_options *options, mtl_tokenizer **out);

/** mtl_tokenizer_run() for callers inside: no check, no new error function. */
mtl_status mtli_tokenize(const mtl_tokenizer *tokenizer, const char *text, size_t size, mtl_token_fn receive,
                         void *user);

/** Takes the word (or, with `symbol`, the symbol and its marks) that begins at *at, in any script, and moves *at behind
 *  it. */
mtl_status mtli_token_unicode(const mtli_token_run *run, size_t *at, bool symbol);

#endif
