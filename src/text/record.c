/* SPDX-License-Identifier: Apache-2.0
 * The scanner of records: one pass, which stops where the bytes end and goes on when there are more. */
#include "text/record.h"

#include <string.h>

void mtli_record_init(mtli_record *record, mtl_context *context, mtli_dialect dialect)
{
    memset(record, 0, sizeof *record);
    record->context = context;
    record->dialect = dialect;
}

void mtli_record_destroy(mtli_record *record)
{
    mtli_release(record->context, record->fields, record->capacity * sizeof record->fields[0]);
    record->fields = NULL;
    record->capacity = 0;
}

void mtli_record_begin(mtli_record *record)
{
    record->num_fields = 0;
    record->size = 0;
    record->lines = 0;
    record->at = 0;
    record->in_field = false;
    record->in_quotes = false;
}

static mtl_status begin_field(mtli_record *record, bool quoted)
{
    void *fields = record->fields;
    mtl_status status =
        mtli_reserve(record->context, &fields, &record->capacity, record->num_fields + 1, sizeof record->fields[0]);
    record->fields = fields;
    if (status == MTL_OK) {
        record->at += quoted;
        record->fields[record->num_fields++] = (mtli_field){record->at, record->at, quoted};
        record->in_field = true;
        record->in_quotes = quoted;
    }
    return status;
}

/* Behind the field that ends at `end`: a delimiter, a line break, or nothing more. `at` is where that stands. */
static mtli_record_end end_field(mtli_record *record, const char *text, size_t size, size_t end, size_t at)
{
    record->fields[record->num_fields - 1].end = end;
    record->in_field = false;
    record->in_quotes = false;
    if (at < size && text[at] == record->dialect.delimiter) {
        record->at = at + 1;
        return MTLI_RECORD_MORE;
    }
    record->lines += at < size;
    record->size = at < size ? at + 1 : size;
    return MTLI_RECORD_DONE;
}

/* From inside quotes to behind the closing one. */
static mtli_record_end scan_quoted(mtli_record *record, const char *text, size_t size, bool last)
{
    for (size_t at = record->at;; at++) {
        const char *quote = at < size ? memchr(text + at, '"', size - at) : NULL;
        size_t stop = quote ? (size_t)(quote - text) : size;
        for (const char *feed = text + at; (feed = memchr(feed, '\n', (size_t)(text + stop - feed))) != NULL; feed++) {
            record->lines++;
        }
        record->at = stop;
        if (!quote) {
            return last ? MTLI_RECORD_OPEN : MTLI_RECORD_MORE;
        }
        if (size - stop < 3 && !last) {
            return MTLI_RECORD_MORE; /* what follows the quote decides */
        }
        at = stop + 1;
        if (at < size && text[at] == '"') {
            continue;
        }
        at += at < size && text[at] == '\r' && (at + 1 == size || text[at + 1] == '\n');
        if (at < size && text[at] != '\n' && text[at] != record->dialect.delimiter) {
            return MTLI_RECORD_QUOTE;
        }
        return end_field(record, text, size, stop, at);
    }
}

static mtli_record_end scan_plain(mtli_record *record, const char *text, size_t size, bool last)
{
    const char delimiter = record->dialect.delimiter;
    size_t at = record->at;
    while (at < size && text[at] != delimiter && text[at] != '\n') {
        at++;
    }
    record->at = at;
    if (at == size && !last) {
        return MTLI_RECORD_MORE;
    }
    bool line_end = at == size || text[at] == '\n';
    size_t begin = record->fields[record->num_fields - 1].begin;
    size_t end = line_end && at > begin && text[at - 1] == '\r' ? at - 1 : at;
    return end_field(record, text, size, end, at);
}

mtl_status mtli_record_scan(mtli_record *record, const char *text, size_t size, bool last, mtli_record_end *end)
{
    *end = MTLI_RECORD_MORE;
    for (;;) {
        if (!record->in_field) {
            if (record->at >= size && !last) {
                return MTL_OK;
            }
            if (record->num_fields == MTLI_FIELDS_MAX) {
                *end = MTLI_RECORD_WIDE;
                return MTL_OK;
            }
            bool quoted = record->dialect.quotes && record->at < size && text[record->at] == '"';
            mtl_status status = begin_field(record, quoted);
            if (status != MTL_OK) {
                return status;
            }
        }
        *end = record->in_quotes ? scan_quoted(record, text, size, last) : scan_plain(record, text, size, last);
        if (record->in_field || *end != MTLI_RECORD_MORE) {
            return MTL_OK;
        }
    }
}

void mtli_record_append(const mtli_record *record, const char *text, size_t field, mtli_buffer *buffer)
{
    const mtli_field *found = &record->fields[field];
    const char *at = text + found->begin;
    const char *end = text + found->end;
    while (found->quoted && at < end) {
        const char *quote = memchr(at, '"', (size_t)(end - at));
        if (!quote) {
            break;
        }
        mtli_buffer_append(buffer, at, (size_t)(quote - at) + 1);
        at = quote + 2;
    }
    if (at < end) {
        mtli_buffer_append(buffer, at, (size_t)(end - at));
    }
}
