/* SPDX-License-Identifier: Apache-2.0
 * The vocabulary from inside; its text form is what checkpoints keep. */
#ifndef MTLI_TEXT_VOCABULARY_H
#define MTLI_TEXT_VOCABULARY_H

#include <mtl/text.h>

#include "text/tokenizer.h"
#include "text/word_table.h"

/* Word i of the table has id i; 0 and 1 are the special ones. */
struct mtl_vocabulary {
    mtl_context *context;
    mtli_refcount refs;
    mtl_tokenizer *tokenizer;
    mtli_word_table table;
    uint64_t fingerprint;
};

struct mtl_vocabulary_builder {
    mtl_context *context;
    mtl_tokenizer *tokenizer;
    mtli_word_table table;
};

/** A vocabulary of the two special entries; add words to its table, then mtli_vocabulary_seal() it. */
mtl_status mtli_vocabulary_create(mtl_context *context, mtl_tokenizer *tokenizer, mtl_vocabulary **out);
void mtli_vocabulary_seal(mtl_vocabulary *vocabulary);

/** The vocabulary as the text of its file: *size bytes and a zero byte, to be given back with
 *  mtli_release(context, *text, *size + 1). */
mtl_status mtli_vocabulary_format(const mtl_vocabulary *vocabulary, char **text, size_t *size);

/** Reads what mtli_vocabulary_format() wrote. `name` stands for the file's name in messages. */
mtl_status mtli_vocabulary_parse(mtl_context *context, const char *name, const char *text, size_t size,
                                 mtl_vocabulary **out);

mtl_status mtli_vocabulary_builder_add(mtl_vocabulary_builder *builder, const char *text, size_t size);

/** The id of a token that the tokenizer made. */
int32_t mtli_vocabulary_find(const mtl_vocabulary *vocabulary, const char *token, size_t size);

#endif
