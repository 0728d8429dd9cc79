/* SPDX-License-Identifier: Apache-2.0 */
/** @file text.h
 *  @brief From bytes to token ids: tokenizer and vocabulary.
 *
 *  No input is fatal: bytes that are not UTF-8 are read as U+FFFD, one per maximal ill-formed subpart (Unicode 15,
 *  section 3.9), and separate words.
 */
#ifndef MTL_TEXT_H
#define MTL_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include <mtl/context.h>

MTL_BEGIN_DECLS

/** A tokenizer; reference-counted, immutable. */
typedef struct mtl_tokenizer mtl_tokenizer;

/** Options of mtl_tokenizer_create(). */
typedef struct mtl_tokenizer_options {
    size_t struct_size;    /**< sizeof(mtl_tokenizer_options), set by MTL_TOKENIZER_OPTIONS_INIT */
    int32_t fold_case;     /**< not 0 (default): Unicode case folding and canonical composition (NFC) */
    int32_t strip_markup;  /**< not 0 (default): "<...>" tags of letters separate words; "&amp;"-like entities likewise */
    int32_t punctuation;   /**< not 0 (default): each punctuation mark or symbol is a token; 0: it separates words */
    int32_t max_token_bytes; /**< longer words lose their end, at a character's boundary; 8 to 1024, default 64 */
} mtl_tokenizer_options;

/** Initializer of mtl_tokenizer_options. */
#define MTL_TOKENIZER_OPTIONS_INIT { sizeof(mtl_tokenizer_options), 1, 1, 1, 64 }

/** Creates a word tokenizer: a token is a run of letters, marks and digits (an apostrophe inside a word belongs to it;
 *  with fold_case U+2019 is one), or a single punctuation mark or symbol with its marks. Default ignorable characters
 *  (soft hyphen, joiners, variation selectors) are left out; spaces, controls and U+200B separate words.
 *
 *  @param[in]  context  not NULL
 *  @param[in]  options  NULL for every default
 *  @param[out] out      receives the tokenizer; untouched on failure
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_UNSUPPORTED, MTL_ERROR_MEMORY
 *  @ownership the caller owns one reference: mtl_tokenizer_release()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_tokenizer_create(mtl_context *context, const mtl_tokenizer_options *options,
                                                      mtl_tokenizer **out);

/** Takes one more reference. @param[in] tokenizer may be NULL @return tokenizer @since 0.1 */
MTL_API mtl_tokenizer *mtl_tokenizer_retain(mtl_tokenizer *tokenizer);

/** Gives a reference back. @param[in] tokenizer may be NULL @since 0.1 */
MTL_API void mtl_tokenizer_release(mtl_tokenizer *tokenizer);

/** Receives one token: size bytes of UTF-8, not terminated, valid during the call. Any status but MTL_OK ends the run. */
typedef mtl_status (*mtl_token_fn)(void *user, const char *token, size_t size);

/** Splits a text into tokens. Allocates nothing.
 *
 *  @param[in] tokenizer  not NULL
 *  @param[in] text       size bytes, any bytes, may contain zeros; may be NULL when size is 0
 *  @param[in] size       number of bytes
 *  @param[in] receive    called for each token in order
 *  @param[in] user       handed to receive
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, or what receive returned
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_tokenizer_run(const mtl_tokenizer *tokenizer, const char *text, size_t size,
                                                   mtl_token_fn receive, void *user);

/** A vocabulary: tokens and their ids; reference-counted, immutable. It remembers its tokenizer's options. */
typedef struct mtl_vocabulary mtl_vocabulary;

/** Counts tokens on the way to a vocabulary. */
typedef struct mtl_vocabulary_builder mtl_vocabulary_builder;

/** The id of padding, for formats that pad; never made from text. */
#define MTL_TOKEN_PADDING 0
/** The id of every token that the vocabulary does not have. */
#define MTL_TOKEN_UNKNOWN 1

/** Options of mtl_vocabulary_builder_finish(). */
typedef struct mtl_vocabulary_options {
    size_t struct_size; /**< sizeof(mtl_vocabulary_options), set by MTL_VOCABULARY_OPTIONS_INIT */
    int64_t min_count;  /**< tokens that occur less often are left out; default 1 */
    int64_t max_size;   /**< most entries, the two special ones included, >= 2; default 30000 */
} mtl_vocabulary_options;

/** Initializer of mtl_vocabulary_options. */
#define MTL_VOCABULARY_OPTIONS_INIT { sizeof(mtl_vocabulary_options), 1, 30000 }

/** Creates a builder. @param[in] context not NULL @param[in] tokenizer not NULL; retained
 *  @param[out] out receives the builder @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_MEMORY
 *  @ownership the caller's: mtl_vocabulary_builder_destroy() @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_vocabulary_builder_create(mtl_context *context, mtl_tokenizer *tokenizer,
                                                               mtl_vocabulary_builder **out);

/** Ends a builder. @param[in] builder may be NULL @since 0.1 */
MTL_API void mtl_vocabulary_builder_destroy(mtl_vocabulary_builder *builder);

/** Counts the tokens of a text; after a failure those before it stay counted.
 *  @param[in] builder not NULL @param[in] text size bytes @param[in] size number of bytes
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_LIMIT, MTL_ERROR_MEMORY @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_vocabulary_builder_add(mtl_vocabulary_builder *builder, const char *text,
                                                            size_t size);

/** Makes the vocabulary of the most frequent tokens: ids by falling count, equal counts by bytes. The builder stays as
 *  it is.
 *
 *  @param[in]  builder  not NULL
 *  @param[in]  options  NULL for every default
 *  @param[out] out      receives the vocabulary; untouched on failure
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_UNSUPPORTED, MTL_ERROR_MEMORY
 *  @ownership the caller owns one reference: mtl_vocabulary_release()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_vocabulary_builder_finish(const mtl_vocabulary_builder *builder,
                                                               const mtl_vocabulary_options *options,
                                                               mtl_vocabulary **out);

/** Takes one more reference. @param[in] vocabulary may be NULL @return vocabulary @since 0.1 */
MTL_API mtl_vocabulary *mtl_vocabulary_retain(mtl_vocabulary *vocabulary);

/** Gives a reference back. @param[in] vocabulary may be NULL @since 0.1 */
MTL_API void mtl_vocabulary_release(mtl_vocabulary *vocabulary);

/** The number of entries, the two special ones included. @param[in] vocabulary not NULL @return 0 for NULL @since 0.1 */
MTL_API int64_t mtl_vocabulary_size(const mtl_vocabulary *vocabulary);

/** The id of a token, as the tokenizer would make it. @param[in] vocabulary not NULL @param[in] token size bytes
 *  @param[in] size number of bytes @return the id, or MTL_TOKEN_UNKNOWN @since 0.1 */
MTL_API int32_t mtl_vocabulary_find(const mtl_vocabulary *vocabulary, const char *token, size_t size);

/** The token of an id. @param[in] vocabulary not NULL @param[in] id 0 to size - 1
 *  @return borrowed, zero-terminated; "<pad>", "<unk>" for the special ones; NULL when there is no such id @since 0.1 */
MTL_API const char *mtl_vocabulary_token(const mtl_vocabulary *vocabulary, int32_t id);

/** How often a token occurred when the vocabulary was built. @param[in] vocabulary not NULL @param[in] id 0 to size - 1
 *  @return 0 for special and unknown ids @since 0.1 */
MTL_API int64_t mtl_vocabulary_count(const mtl_vocabulary *vocabulary, int32_t id);

/** A number that two vocabularies share only if they have the same tokens, ids and tokenizer options (FNV-1a, 64 bit).
 *  @param[in] vocabulary not NULL @return the number; 0 for NULL @since 0.1 */
MTL_API uint64_t mtl_vocabulary_fingerprint(const mtl_vocabulary *vocabulary);

/** Turns a text into ids.
 *
 *  @param[in]  vocabulary  not NULL
 *  @param[in]  text        size bytes
 *  @param[in]  size        number of bytes
 *  @param[out] ids         room for capacity ids; may be NULL when capacity is 0
 *  @param[in]  capacity    further tokens are counted, not stored
 *  @param[out] count       receives the number of tokens of the text
 *  @return MTL_OK, MTL_ERROR_ARGUMENT
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_vocabulary_encode(const mtl_vocabulary *vocabulary, const char *text, size_t size,
                                                       int32_t *ids, size_t capacity, size_t *count);

/** Saves a vocabulary as text: a header line, then `token TAB count` lines in the order of ids. Atomic: the file is
 *  whole or as it was before.
 *
 *  @param[in] vocabulary  not NULL
 *  @param[in] path        file name
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_IO, MTL_ERROR_MEMORY
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_vocabulary_save(const mtl_vocabulary *vocabulary, const char *path);

/** Loads what mtl_vocabulary_save() wrote.
 *
 *  @param[in]  context  not NULL
 *  @param[in]  path     file name
 *  @param[out] out      receives the vocabulary; untouched on failure
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_IO, MTL_ERROR_FORMAT (file and line in the message), MTL_ERROR_LIMIT,
 *          MTL_ERROR_MEMORY
 *  @ownership the caller owns one reference: mtl_vocabulary_release()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_vocabulary_load(mtl_context *context, const char *path, mtl_vocabulary **out);

MTL_END_DECLS

#endif
