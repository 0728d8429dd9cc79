/* SPDX-License-Identifier: Apache-2.0
 * One pass over a table: where each record stands, and its labels. Every complaint names the file and the line. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/number.h"
#include "io/system.h"
#include "io/utf8.h"
#include "text/table.h"

enum { READ_BYTES = 262144, BOM_BYTES = 3 };

/* The window of the file that is in memory. */
typedef struct index_pass {
    mtli_table *table;
    const mtli_index_options *options;
    char *buffer;
    size_t capacity;
    size_t begin;    /* of the record */
    size_t end;      /* of what was read */
    uint64_t offset; /* of buffer[begin] in the file */
    int64_t line;    /* of the record's beginning, from 1 */
    mtli_buffer field;
} index_pass;

#define INDEX_FAIL(pass, status, format, ...) \
    mtli_fail((pass)->table->base.context, (status), "%s:%" PRId64 ": " format, mtli_shown_path((pass)->table->path), \
              (pass)->line, __VA_ARGS__)

static bool at_file_end(const index_pass *pass)
{
    return pass->offset + (pass->end - pass->begin) >= pass->table->file.size;
}

static mtl_status read_more(index_pass *pass)
{
    size_t have = pass->end - pass->begin;
    int64_t limit = pass->options->table->max_line_bytes;
    if (have > (size_t)limit) {
        return INDEX_FAIL(pass, MTL_ERROR_LIMIT, "the line is longer than max_line_bytes = %" PRId64 "%s", limit,
                          pass->table->record.in_quotes ? "; a quote may lack its end" : "");
    }
    memmove(pass->buffer, pass->buffer + pass->begin, have);
    pass->begin = 0;
    pass->end = have;
    void *buffer = pass->buffer;
    mtl_status status = mtli_reserve(pass->table->base.context, &buffer, &pass->capacity, have + READ_BYTES, 1);
    pass->buffer = buffer;
    if (status != MTL_OK) {
        return status;
    }
    uint64_t rest = pass->table->file.size - pass->offset - have;
    size_t room = pass->capacity - have;
    size_t size = rest < room ? (size_t)rest : room;
    status = mtli_file_read_at(&pass->table->file, pass->offset + have, pass->buffer + have, size);
    pass->end += status == MTL_OK ? size : 0;
    return status;
}

static mtl_status check_record_end(index_pass *pass, mtli_record_end end)
{
    switch (end) {
    case MTLI_RECORD_QUOTE:
        return INDEX_FAIL(pass, MTL_ERROR_FORMAT, "field %zu: something stands behind the closing quote",
                          pass->table->record.num_fields);
    case MTLI_RECORD_OPEN:
        return INDEX_FAIL(pass, MTL_ERROR_FORMAT, "field %zu: the quote does not end", pass->table->record.num_fields);
    case MTLI_RECORD_WIDE:
        return INDEX_FAIL(pass, MTL_ERROR_FORMAT, "more than %d fields", MTLI_FIELDS_MAX);
    case MTLI_RECORD_DONE:
    case MTLI_RECORD_MORE:
        break;
    }
    if (pass->table->record.size > (size_t)pass->options->table->max_line_bytes) {
        return INDEX_FAIL(pass, MTL_ERROR_LIMIT, "the line is longer than max_line_bytes = %" PRId64,
                          pass->options->table->max_line_bytes);
    }
    const char *zero = memchr(pass->buffer + pass->begin, '\0', pass->table->record.size);
    if (zero) {
        return INDEX_FAIL(pass, MTL_ERROR_FORMAT, "zero byte at byte %td", zero - (pass->buffer + pass->begin) + 1);
    }
    return MTL_OK;
}

/* Makes one whole record stand at buffer[begin]. */
static mtl_status next_record(index_pass *pass)
{
    mtli_record *record = &pass->table->record;
    mtli_record_begin(record);
    for (;;) {
        mtli_record_end end;
        mtl_status status =
            mtli_record_scan(record, pass->buffer + pass->begin, pass->end - pass->begin, at_file_end(pass), &end);
        if (status == MTL_OK && end != MTLI_RECORD_MORE) {
            return check_record_end(pass, end);
        }
        if (status == MTL_OK) {
            status = read_more(pass);
        }
        if (status != MTL_OK) {
            return status;
        }
    }
}

static int32_t largest_column(const mtli_table *table, const mtl_table_options *options)
{
    int32_t largest = 0;
    for (int32_t i = 0; i < table->num_text_columns; i++) {
        largest = table->text_columns[i] > largest ? table->text_columns[i] : largest;
    }
    for (int64_t i = 0; i < options->num_labels; i++) {
        largest = options->labels[i].column > largest ? options->labels[i].column : largest;
    }
    return largest;
}

/* The first line tells how many fields there are. */
static mtl_status learn_columns(index_pass *pass)
{
    mtli_table *table = pass->table;
    size_t fields = table->record.num_fields;
    if (pass->options->ag_news) {
        if (fields != 2 && fields != 3) {
            return INDEX_FAIL(pass, MTL_ERROR_FORMAT, "%zu fields, not 2 or 3", fields);
        }
        table->num_text_columns = (int32_t)fields - 1;
    }
    int32_t largest = largest_column(table, pass->options->table);
    if ((size_t)largest >= fields) {
        return INDEX_FAIL(pass, MTL_ERROR_FORMAT, "%zu fields: there is no column %" PRId32, fields, largest);
    }
    table->columns = (int32_t)fields;
    return MTL_OK;
}

static mtl_status class_label(index_pass *pass, int64_t column, double *value)
{
    const mtli_buffer *field = &pass->field;
    int64_t number = mtli_word_table_find(&pass->options->classes[column], field->data, field->size);
    if (number < 0) {
        char shown[MTLI_SHOWN_TEXT];
        return INDEX_FAIL(pass, MTL_ERROR_FORMAT, "column %" PRId32 ": unknown label \"%s\"",
                          pass->options->table->labels[column].column,
                          mtli_shown_text(field->data, field->size, shown));
    }
    *value = (double)number;
    return MTL_OK;
}

static mtl_status real_label(index_pass *pass, int64_t column, double *value)
{
    const mtli_buffer *field = &pass->field;
    if (!mtli_parse_real(field->data, field->size, value) || fabs(*value) > (double)FLT_MAX) {
        char shown[MTLI_SHOWN_TEXT];
        return INDEX_FAIL(
            pass, MTL_ERROR_FORMAT, "column %" PRId32 ": \"%s\" is not a decimal number of single precision",
            pass->options->table->labels[column].column, mtli_shown_text(field->data, field->size, shown));
    }
    return MTL_OK;
}

static mtl_status add_labels(index_pass *pass)
{
    const mtl_table_options *options = pass->options->table;
    for (int64_t i = 0; i < options->num_labels; i++) {
        bool real = options->labels[i].kind == MTL_LABELS_REAL;
        double value = real ? (double)NAN : (double)MTL_LABEL_NONE;
        mtl_status status = MTL_OK;
        pass->field.size = 0;
        mtli_record_append(&pass->table->record, pass->buffer + pass->begin, (size_t)options->labels[i].column,
                           &pass->field);
        if (pass->field.status != MTL_OK) {
            return pass->field.status;
        }
        if (pass->field.size > 0) {
            status = real ? real_label(pass, i, &value) : class_label(pass, i, &value);
        }
        if (status == MTL_OK) {
            status = mtli_source_add_label(&pass->table->base, i, pass->table->base.rows, value);
        }
        if (status != MTL_OK) {
            return status;
        }
    }
    return MTL_OK;
}

static mtl_status add_record(index_pass *pass)
{
    mtli_table *table = pass->table;
    if (table->record.num_fields != (size_t)table->columns) {
        return INDEX_FAIL(pass, MTL_ERROR_FORMAT, "%zu fields, not %" PRId32, table->record.num_fields, table->columns);
    }
    void *places = table->places;
    mtl_status status = mtli_reserve(table->base.context, &places, &table->capacity, (size_t)table->base.rows + 1,
                                     sizeof table->places[0]);
    table->places = places;
    if (status == MTL_OK) {
        status = add_labels(pass);
    }
    if (status == MTL_OK) {
        table->places[table->base.rows++] = (mtli_record_place){pass->offset, (uint32_t)table->record.size, 0};
    }
    return status;
}

static mtl_status skip_bom(index_pass *pass)
{
    mtl_status status = read_more(pass);
    if (status == MTL_OK && pass->end >= BOM_BYTES && memcmp(pass->buffer, "\xEF\xBB\xBF", BOM_BYTES) == 0) {
        pass->begin = BOM_BYTES;
        pass->offset = BOM_BYTES;
    }
    return status;
}

static mtl_status index_records(index_pass *pass)
{
    bool header = pass->options->table->header != 0;
    mtl_status status = skip_bom(pass);
    while (status == MTL_OK && !(at_file_end(pass) && pass->begin == pass->end)) {
        status = next_record(pass);
        if (status == MTL_OK && pass->table->columns == 0) {
            status = learn_columns(pass);
        }
        if (status == MTL_OK && !header) {
            status = add_record(pass);
        }
        header = false;
        pass->begin += pass->table->record.size;
        pass->offset += pass->table->record.size;
        pass->line += pass->table->record.lines;
    }
    if (status == MTL_OK && pass->table->base.rows == 0) {
        return INDEX_FAIL(pass, MTL_ERROR_FORMAT, "no line%s", pass->options->table->header ? " after the header" : "");
    }
    return status;
}

mtl_status mtli_table_index(mtli_table *table, const mtli_index_options *options)
{
    mtl_context *context = table->base.context;
    index_pass pass = {table, options, NULL, 0, 0, 0, 0, 1, {context, NULL, 0, 0, MTL_OK}};
    pass.buffer = mtli_allocate(context, READ_BYTES);
    if (!pass.buffer) {
        return context->status;
    }
    pass.capacity = READ_BYTES;
    mtl_status status = index_records(&pass);
    mtli_release(context, pass.buffer, pass.capacity);
    mtli_buffer_release(&pass.field);
    return status;
}
