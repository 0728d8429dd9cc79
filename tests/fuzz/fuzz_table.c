/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: tables. The first byte gives the options, the rest is the file. A plain reading of each record, one byte
 * more at a time, is the judge of what the dataset says. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mtl/data.h>

#include "text/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINE_MOST = 600 };

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* ---- options ---- */

typedef struct table_case {
    mtl_table_options options;
    int32_t text_columns[2];
    mtl_label_column labels[2];
} table_case;

static const char *const class_names[] = {"a", "b", "c\"d", "1"};

static void choose_options(table_case *chosen, uint8_t byte)
{
    chosen->options = (mtl_table_options)MTL_TABLE_OPTIONS_INIT;
    chosen->text_columns[0] = 1;
    chosen->text_columns[1] = 0;
    chosen->labels[0] = (mtl_label_column){0, MTL_LABELS_CLASS, class_names, 4};
    chosen->labels[1] = (mtl_label_column){1, MTL_LABELS_REAL, NULL, 0};
    chosen->options.text_columns = chosen->text_columns;
    chosen->options.num_text_columns = 1 + (byte & 1);
    chosen->options.labels = chosen->labels + (byte >> 1 & 1);
    chosen->options.num_labels = byte >> 2 & 1;
    chosen->options.delimiter = byte & 8 ? '\t' : ',';
    chosen->options.quotes = !(byte & 16);
    chosen->options.header = (byte & 32) != 0;
    chosen->options.columns = byte & 64 ? 2 : 0;
    chosen->options.max_line_bytes = byte & 128 ? LINE_MOST : 16777216;
}

/* ---- the judge ---- */

/* Finds the record at text[0] byte by byte, as if they came one after the other; false at the end or at a fault. */
static bool scan_slowly(mtli_record *record, const char *text, size_t size)
{
    mtli_record_end end = MTLI_RECORD_MORE;
    mtli_record_begin(record);
    for (size_t have = 0; have <= size && end == MTLI_RECORD_MORE; have++) {
        char *part = malloc(have ? have : 1); /* of that size, so that a checker sees what is read beyond */
        require(part != NULL);
        memcpy(part, text, have);
        require(mtli_record_scan(record, part, have, have == size, &end) == MTL_OK);
        free(part);
    }
    require(end != MTLI_RECORD_MORE);
    return end == MTLI_RECORD_DONE;
}

static void check_scans(const char *text, size_t size, const mtli_record *slow, const mtli_record *fast)
{
    require(slow->num_fields == fast->num_fields && slow->size == fast->size && slow->lines == fast->lines);
    require(fast->size > 0 && fast->size <= size);
    for (size_t i = 0; i < fast->num_fields; i++) {
        const mtli_field *field = &fast->fields[i];
        require(field->begin == slow->fields[i].begin && field->end == slow->fields[i].end);
        require(field->quoted == slow->fields[i].quoted && field->begin <= field->end && field->end <= fast->size);
        require(field->quoted || !memchr(text + field->begin, fast->dialect.delimiter, field->end - field->begin));
    }
}

/* The text that a row must have, after a buffer for it. */
static void join_text(const mtli_record *record, const char *text, const table_case *chosen, mtli_buffer *buffer)
{
    for (int64_t i = 0; i < chosen->options.num_text_columns; i++) {
        mtli_buffer_append(buffer, " ", i > 0);
        mtli_record_append(record, text, (size_t)chosen->text_columns[i], buffer);
    }
    require(buffer->status == MTL_OK);
}

static void check_row_text(mtl_dataset *dataset, int64_t row, const mtli_buffer *expected)
{
    size_t size;
    require(mtl_dataset_text(dataset, row, NULL, 0, &size) == MTL_OK && size == expected->size);
    char *text = malloc(size ? size : 1);
    require(text != NULL);
    require(mtl_dataset_text(dataset, row, text, size, &size) == MTL_OK && size == expected->size);
    require(size == 0 || memcmp(text, expected->data, size) == 0);
    free(text);
}

static void check_row_label(mtl_dataset *dataset, int64_t row, const mtli_buffer *field, const table_case *chosen)
{
    double value = mtl_dataset_label(dataset, row, 0);
    if (chosen->options.labels[0].kind == MTL_LABELS_REAL) {
        require(field->size == 0 ? isnan(value) : isfinite(value));
    } else if (field->size == 0) {
        require(value == MTL_LABEL_NONE);
    } else {
        require(value >= 0 && value < 4 && strlen(class_names[(int)value]) == field->size);
        require(memcmp(class_names[(int)value], field->data, field->size) == 0);
    }
}

/* Reads the whole text as the records that it is; `dataset` NULL: it was refused. */
static void check_records(mtl_context *context, const char *text, size_t size, const table_case *chosen,
                          mtl_dataset *dataset)
{
    mtli_record slow, fast;
    mtli_dialect dialect = {(char)chosen->options.delimiter, chosen->options.quotes != 0};
    mtli_record_init(&slow, context, dialect);
    mtli_record_init(&fast, context, dialect);
    bool header = chosen->options.header != 0;
    int64_t row = 0;
    size_t at = size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    while (at < size) {
        mtli_record_end end;
        bool found = scan_slowly(&slow, text + at, size - at);
        mtli_record_begin(&fast);
        require(mtli_record_scan(&fast, text + at, size - at, true, &end) == MTL_OK);
        require(found == (end == MTLI_RECORD_DONE) && (found || !dataset));
        if (!found) {
            break;
        }
        check_scans(text + at, size - at, &slow, &fast);
        if (dataset && !header) {
            mtli_buffer buffer = {context, NULL, 0, 0, MTL_OK};
            join_text(&fast, text + at, chosen, &buffer);
            check_row_text(dataset, row, &buffer);
            buffer.size = 0;
            if (chosen->options.num_labels > 0) {
                mtli_record_append(&fast, text + at, (size_t)chosen->options.labels[0].column, &buffer);
                check_row_label(dataset, row, &buffer, chosen);
            }
            mtli_buffer_release(&buffer);
            row++;
        }
        header = false;
        at += fast.size;
    }
    require(!dataset || row == mtl_dataset_rows(dataset));
    mtli_record_destroy(&slow);
    mtli_record_destroy(&fast);
}

/* ---- the file ---- */

static mtl_dataset *open_table(mtl_context *context, const char *text, size_t size, const table_case *chosen)
{
    char path[] = "/tmp/mtl-fuzz-XXXXXX";
    int descriptor = mkstemp(path);
    require(descriptor >= 0);
    require(write(descriptor, text, size) == (ssize_t)size);
    close(descriptor);
    mtl_dataset *dataset = NULL;
    mtl_status status = mtl_dataset_open_table(context, path, &chosen->options, &dataset);
    unlink(path); /* a dataset keeps its file open */
    require(status == MTL_OK ? dataset != NULL : dataset == NULL && mtl_context_last_error(context)[0] != '\0');
    require(status == MTL_OK || status == MTL_ERROR_FORMAT || status == MTL_ERROR_LIMIT);
    return dataset;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    table_case chosen;
    choose_options(&chosen, data[0]);
    const char *text = (const char *)data + 1;
    mtl_context *context = NULL;
    require(mtl_context_create(NULL, &context) == MTL_OK);
    mtl_dataset *dataset = open_table(context, text, size - 1, &chosen);
    check_records(context, text, size - 1, &chosen, dataset);
    mtl_dataset_release(dataset);
    mtl_memory_info info;
    require(mtl_context_memory(context, &info) == MTL_OK && info.blocks == 1);
    mtl_context_release(context);
    return 0;
}
