/* SPDX-License-Identifier: Apache-2.0
 * The text form of a vocabulary, for its own file and for checkpoints; what is read is believed only when all of it is
 * as it was written. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "io/atomic_file.h"
#include "io/buffer.h"
#include "io/file.h"
#include "io/utf8.h"
#include "text/vocabulary.h"

#define VOCABULARY_MAGIC "libmtl-vocabulary 1 "

enum { VOCABULARY_HEADER_BYTES = 160, SPECIAL_LINES = 2, LINE_BYTES_LEAST = 4 /* a, tab, 1, line break */ };

static void write_vocabulary_header(mtli_buffer *buffer, const mtl_vocabulary *vocabulary)
{
    const mtl_tokenizer_options *options = &vocabulary->tokenizer->options;
    char header[VOCABULARY_HEADER_BYTES];
    snprintf(header, sizeof header,
             VOCABULARY_MAGIC "fold_case=%" PRId32 " strip_markup=%" PRId32 " punctuation=%" PRId32
                              " max_token_bytes=%" PRId32 " size=%zu\n",
             options->fold_case, options->strip_markup, options->punctuation, options->max_token_bytes,
             vocabulary->table.size);
    mtli_buffer_text(buffer, header);
}

mtl_status mtli_vocabulary_format(const mtl_vocabulary *vocabulary, char **text, size_t *size)
{
    const mtli_word_table *table = &vocabulary->table;
    mtli_buffer buffer = {vocabulary->context, NULL, 0, 0, MTL_OK};
    write_vocabulary_header(&buffer, vocabulary);
    for (size_t i = 0; i < table->size; i++) {
        mtli_buffer_append(&buffer, mtli_word_text(table, i), table->words[i].size);
        mtli_buffer_append(&buffer, "\t", 1);
        mtli_buffer_integer(&buffer, table->words[i].count);
        mtli_buffer_append(&buffer, "\n", 1);
    }
    char *exact = NULL;
    if (buffer.status == MTL_OK) {
        exact = mtli_allocate(vocabulary->context, buffer.size + 1);
        buffer.status = exact ? MTL_OK : vocabulary->context->status;
    }
    if (exact) {
        memcpy(exact, buffer.data, buffer.size);
        exact[buffer.size] = '\0';
        *text = exact;
        *size = buffer.size;
    }
    mtli_buffer_release(&buffer);
    return buffer.status;
}

/* A text that is being read, line by line. */
typedef struct vocabulary_reader {
    mtl_context *context;
    const char *name;
    const char *at;
    const char *end;
    int64_t line; /* number of the line that was read last */
} vocabulary_reader;

static mtl_status malformed_vocabulary(const vocabulary_reader *reader, const char *reason)
{
    return mtli_fail(reader->context, MTL_ERROR_FORMAT, "%s:%" PRId64 ": %s", mtli_shown_path(reader->name),
                     reader->line, reason);
}

static mtl_status wrong_magic(vocabulary_reader *reader)
{
    reader->line = 1;
    return malformed_vocabulary(reader,
                                "does not begin with \"" VOCABULARY_MAGIC "\": not a vocabulary of this version");
}

static mtl_status read_vocabulary_line(vocabulary_reader *reader, const char **line, size_t *size)
{
    size_t rest = (size_t)(reader->end - reader->at);
    const char *stop = rest > 0 ? memchr(reader->at, '\n', rest) : NULL;
    reader->line++;
    if (!stop) {
        return malformed_vocabulary(reader, rest > 0 ? "the last line does not end: the file was cut"
                                                     : "the file ends too early");
    }
    *line = reader->at;
    *size = (size_t)(stop - reader->at);
    reader->at = stop + 1;
    return MTL_OK;
}

/* A decimal number without sign, without leading zeros, and nothing behind it. */
static bool read_word_count(const char *text, size_t size, int64_t *value)
{
    bool plain = size > 0 && text[0] != '-' && (size == 1 || text[0] != '0');
    return plain && mtli_parse_integer(text, size, value);
}

/* " name=number" of the header; moves *text behind it. */
static bool read_setting(const char **text, const char *end, const char *name, int64_t *value)
{
    size_t length = strlen(name);
    if ((size_t)(end - *text) < length || memcmp(*text, name, length) != 0) {
        return false;
    }
    const char *number = *text + length;
    const char *stop = number;
    while (stop < end && *stop != ' ') {
        stop++;
    }
    *text = stop < end ? stop + 1 : stop;
    return read_word_count(number, (size_t)(stop - number), value);
}

static mtl_status read_vocabulary_header(vocabulary_reader *reader, mtl_tokenizer_options *options, int64_t *count)
{
    const char *text = NULL;
    size_t size = 0;
    const size_t magic = sizeof VOCABULARY_MAGIC - 1;
    if ((size_t)(reader->end - reader->at) < magic || memcmp(reader->at, VOCABULARY_MAGIC, magic) != 0) {
        return wrong_magic(reader);
    }
    mtl_status status = read_vocabulary_line(reader, &text, &size);
    if (status != MTL_OK) {
        return status;
    }
    const char *end = text + size;
    int64_t fold, strip, punctuation, bytes;
    text += magic;
    if (!read_setting(&text, end, "fold_case=", &fold) || !read_setting(&text, end, "strip_markup=", &strip) ||
        !read_setting(&text, end, "punctuation=", &punctuation) ||
        !read_setting(&text, end, "max_token_bytes=", &bytes) || !read_setting(&text, end, "size=", count) ||
        text != end || end[-1] == ' ' || fold > 1 || strip > 1 || punctuation > 1 || bytes < MTLI_TOKEN_BYTES_MIN ||
        bytes > MTLI_TOKEN_BYTES_MAX || *count < SPECIAL_LINES) {
        return malformed_vocabulary(reader, "the header is not \"" VOCABULARY_MAGIC "fold_case=0|1 strip_markup=0|1 "
                                            "punctuation=0|1 max_token_bytes=8..1024 size=2..\"");
    }
    options->fold_case = (int32_t)fold;
    options->strip_markup = (int32_t)strip;
    options->punctuation = (int32_t)punctuation;
    options->max_token_bytes = (int32_t)bytes;
    return MTL_OK;
}

/* Before anything is allocated for them: can that many lines be there? */
static mtl_status check_word_lines(const vocabulary_reader *reader, int64_t count)
{
    if (count > INT32_MAX) {
        return mtli_fail(reader->context, MTL_ERROR_LIMIT, "%s:1: size = %" PRId64 " is more than %d",
                         mtli_shown_path(reader->name), count, INT32_MAX);
    }
    if (count > (reader->end - reader->at) / LINE_BYTES_LEAST) {
        return mtli_fail(reader->context, MTL_ERROR_FORMAT,
                         "%s:1: size = %" PRId64 ", but only %td bytes follow: the file was cut",
                         mtli_shown_path(reader->name), count, reader->end - reader->at);
    }
    return MTL_OK;
}

static const char *wrong_token(const char *token, size_t size, const mtl_tokenizer_options *options)
{
    if (size == 0) {
        return "the token is empty";
    }
    if (size > (size_t)options->max_token_bytes) {
        return "the token is longer than max_token_bytes";
    }
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)token[i] <= ' ' || token[i] == 0x7F) {
            return token[i] == '\0' ? "the token has a zero byte" : "the token has a space or control character";
        }
    }
    return mtli_utf8_check(token, size) ? NULL : "the token is not UTF-8";
}

static mtl_status read_word_line(vocabulary_reader *reader, mtl_vocabulary *vocabulary)
{
    const char *line = NULL;
    size_t size = 0;
    mtl_status status = read_vocabulary_line(reader, &line, &size);
    if (status != MTL_OK) {
        return status;
    }
    const char *tab = memchr(line, '\t', size);
    if (!tab) {
        return malformed_vocabulary(reader, "there is no tab");
    }
    size_t token_size = (size_t)(tab - line);
    int64_t count;
    if (!read_word_count(tab + 1, size - token_size - 1, &count) || count < 1) {
        return malformed_vocabulary(reader, "what follows the tab is not a count of at least 1");
    }
    const char *reason = wrong_token(line, token_size, &vocabulary->tokenizer->options);
    if (reason) {
        return malformed_vocabulary(reader, reason);
    }
    size_t number;
    size_t before = vocabulary->table.size;
    status = mtli_word_table_insert(&vocabulary->table, line, token_size, &number);
    if (status != MTL_OK) {
        return status;
    }
    if (number != before) {
        return mtli_fail(reader->context, MTL_ERROR_FORMAT, "%s:%" PRId64 ": the token stands in line %zu already",
                         mtli_shown_path(reader->name), reader->line, number + 2);
    }
    vocabulary->table.words[number].count = count;
    return MTL_OK;
}

static mtl_status read_special_line(vocabulary_reader *reader, const char *expected)
{
    const char *line = NULL;
    size_t size = 0;
    mtl_status status = read_vocabulary_line(reader, &line, &size);
    if (status != MTL_OK) {
        return status;
    }
    if (size != strlen(expected) || memcmp(line, expected, size) != 0) {
        return malformed_vocabulary(reader, "lines 2 and 3 are not <pad> and <unk>, each with a tab and 0");
    }
    return MTL_OK;
}

static mtl_status read_word_lines(vocabulary_reader *reader, int64_t count, mtl_vocabulary *vocabulary)
{
    mtl_status status = read_special_line(reader, "<pad>\t0");
    if (status == MTL_OK) {
        status = read_special_line(reader, "<unk>\t0");
    }
    for (int64_t i = SPECIAL_LINES; status == MTL_OK && i < count; i++) {
        status = read_word_line(reader, vocabulary);
    }
    if (status == MTL_OK && reader->at != reader->end) {
        reader->line++;
        return malformed_vocabulary(reader, "there are more lines than the header's size");
    }
    return status;
}

mtl_status mtli_vocabulary_parse(mtl_context *context, const char *name, const char *text, size_t size,
                                 mtl_vocabulary **out)
{
    text = size > 0 ? text : "";
    vocabulary_reader reader = {context, name, text, text + size, 0};
    mtl_tokenizer_options options = MTL_TOKENIZER_OPTIONS_INIT;
    int64_t count;
    mtl_status status = read_vocabulary_header(&reader, &options, &count);
    if (status == MTL_OK) {
        status = check_word_lines(&reader, count);
    }
    mtl_tokenizer *tokenizer = NULL;
    mtl_vocabulary *vocabulary = NULL;
    if (status == MTL_OK) {
        status = mtli_tokenizer_create(context, &options, &tokenizer);
    }
    if (status == MTL_OK) {
        status = mtli_vocabulary_create(context, tokenizer, &vocabulary);
    }
    if (status == MTL_OK) {
        status = read_word_lines(&reader, count, vocabulary);
    }
    mtl_tokenizer_release(tokenizer);
    if (status != MTL_OK) {
        mtl_vocabulary_release(vocabulary);
        return status;
    }
    mtli_vocabulary_seal(vocabulary);
    *out = vocabulary;
    return MTL_OK;
}

mtl_status mtl_vocabulary_save(const mtl_vocabulary *vocabulary, const char *path)
{
    if (!vocabulary) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = vocabulary->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, path);
    char *text;
    size_t size = 0;
    mtl_status status = mtli_vocabulary_format(vocabulary, &text, &size);
    if (status != MTL_OK) {
        return status;
    }
    mtli_atomic_file *file;
    status = mtli_atomic_file_open(context, path, &file);
    if (status == MTL_OK) {
        status = mtli_atomic_file_write(file, text, size);
        if (status == MTL_OK) {
            status = mtli_atomic_file_commit(file);
        } else {
            mtli_atomic_file_abort(file);
        }
    }
    mtli_release(context, text, size + 1);
    return status;
}

/* A file that does not even begin like a vocabulary is not read whole: it may be of any size. */
static mtl_status check_vocabulary_magic(mtl_context *context, const char *path)
{
    char begin[sizeof VOCABULARY_MAGIC - 1] = {0};
    mtli_file file;
    mtl_status status = mtli_file_open(context, path, &file);
    if (status != MTL_OK) {
        return status;
    }
    size_t size = file.size < sizeof begin ? (size_t)file.size : sizeof begin;
    status = mtli_file_read_at(&file, 0, begin, size);
    mtli_file_close(&file);
    if (status == MTL_OK) {
        vocabulary_reader reader = {context, path, begin, begin + size, 0};
        if (memcmp(begin, VOCABULARY_MAGIC, sizeof begin) != 0) {
            return wrong_magic(&reader);
        }
    }
    return status;
}

mtl_status mtl_vocabulary_load(mtl_context *context, const char *path, mtl_vocabulary **out)
{
    if (!context) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(context);
    MTLI_REQUIRE(context, path);
    MTLI_REQUIRE(context, out);
    char *text;
    size_t size = 0;
    mtl_status status = check_vocabulary_magic(context, path);
    if (status == MTL_OK) {
        status = mtli_file_read_whole(context, path, SIZE_MAX - 1, &text, &size);
    }
    if (status != MTL_OK) {
        return status;
    }
    status = mtli_vocabulary_parse(context, path, text, size, out);
    mtli_release(context, text, size + 1);
    return status;
}
