/* SPDX-License-Identifier: Apache-2.0
 * Datasets of CSV and TSV files: options, opening, reading a row again. */
#include "text/table.h"

#include <inttypes.h>
#include <string.h>

#include "io/system.h"

static mtl_status row_changed(const mtli_table *table, int64_t row)
{
    return mtli_fail(table->base.context, MTL_ERROR_IO, "%s: row %" PRId64 " is not what it was: the file was changed",
                     mtli_shown_path(table->path), row);
}

static mtl_status read_table(mtli_source *source, int64_t row)
{
    mtli_table *table = (mtli_table *)source;
    const mtli_record_place *place = &table->places[row];
    void *raw = table->raw;
    mtl_status status = mtli_reserve(source->context, &raw, &table->raw_capacity, place->size, 1);
    table->raw = raw;
    if (status == MTL_OK) {
        status = mtli_file_read_at(&table->file, place->offset, table->raw, place->size);
    }
    if (status != MTL_OK) {
        return status;
    }
    mtli_record_end end;
    mtli_record_begin(&table->record);
    status = mtli_record_scan(&table->record, table->raw, place->size, true, &end);
    if (status != MTL_OK) {
        return status;
    }
    if (end != MTLI_RECORD_DONE || table->record.size != place->size ||
        table->record.num_fields != (size_t)table->columns) {
        return row_changed(table, row);
    }
    for (int32_t i = 0; i < table->num_text_columns; i++) {
        mtli_buffer_append(&source->text, " ", i > 0);
        mtli_record_append(&table->record, table->raw, (size_t)table->text_columns[i], &source->text);
    }
    return MTL_OK;
}

static void destroy_table(mtli_source *source)
{
    mtli_table *table = (mtli_table *)source;
    mtl_context *context = source->context;
    mtli_file_close(&table->file);
    mtli_release_string(context, table->path);
    if (table->record.context) {
        mtli_record_destroy(&table->record);
    }
    mtli_release(context, table->places, table->capacity * sizeof table->places[0]);
    mtli_release(context, table->raw, table->raw_capacity);
    mtli_release(context, table, sizeof *table);
}

static const mtli_source_type table_type = {read_table, destroy_table};

static mtl_status check_text_columns(mtl_context *context, const mtl_table_options *options)
{
    if (!options->text_columns) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->text_columns is NULL");
    }
    if (options->num_text_columns < 1 || options->num_text_columns > MTLI_TEXT_COLUMNS_MAX) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->num_text_columns = %" PRId64 " is not in 1 to %d",
                         options->num_text_columns, MTLI_TEXT_COLUMNS_MAX);
    }
    int32_t columns = options->columns > 0 ? options->columns : MTLI_FIELDS_MAX;
    for (int64_t i = 0; i < options->num_text_columns; i++) {
        if (options->text_columns[i] < 0 || options->text_columns[i] >= columns) {
            return mtli_fail(context, MTL_ERROR_ARGUMENT,
                             "options->text_columns[%" PRId64 "] = %" PRId32 " is not in 0 to %" PRId32, i,
                             options->text_columns[i], columns - 1);
        }
    }
    return MTL_OK;
}

static mtl_status check_label_column(mtl_context *context, const mtl_table_options *options, int64_t i)
{
    const mtl_label_column *label = &options->labels[i];
    int32_t columns = options->columns > 0 ? options->columns : MTLI_FIELDS_MAX;
    if (label->column < 0 || label->column >= columns) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT,
                         "options->labels[%" PRId64 "].column = %" PRId32 " is not in 0 to %" PRId32, i, label->column,
                         columns - 1);
    }
    if (label->kind != MTL_LABELS_CLASS && label->kind != MTL_LABELS_REAL) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->labels[%" PRId64 "].kind = %" PRId32 " is no kind", i,
                         label->kind);
    }
    if (label->kind == MTL_LABELS_CLASS && (label->num_classes < 2 || label->num_classes > 65536)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT,
                         "options->labels[%" PRId64 "].num_classes = %" PRId64 " is not in 2 to 65536", i,
                         label->num_classes);
    }
    if (label->kind == MTL_LABELS_CLASS && !label->classes) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->labels[%" PRId64 "].classes is NULL", i);
    }
    return MTL_OK;
}

static mtl_status check_label_columns(mtl_context *context, const mtl_table_options *options)
{
    if (options->num_labels < 0 || options->num_labels > MTLI_LABEL_COLUMNS_MAX) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->num_labels = %" PRId64 " is not in 0 to %d",
                         options->num_labels, MTLI_LABEL_COLUMNS_MAX);
    }
    if (options->num_labels > 0 && !options->labels) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->labels is NULL");
    }
    mtl_status status = MTL_OK;
    for (int64_t i = 0; status == MTL_OK && i < options->num_labels; i++) {
        status = check_label_column(context, options, i);
    }
    return status;
}

static mtl_status check_dialect(mtl_context *context, const mtl_table_options *options)
{
    int32_t delimiter = options->delimiter;
    if (delimiter < 1 || delimiter > 127 || delimiter == '\n' || delimiter == '\r' ||
        (delimiter == '"' && options->quotes)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->delimiter = %" PRId32 " cannot be one", delimiter);
    }
    if (options->columns < 0 || options->columns > MTLI_FIELDS_MAX) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->columns = %" PRId32 " is not in 0 to %d",
                         options->columns, MTLI_FIELDS_MAX);
    }
    if (options->max_line_bytes < 1 || options->max_line_bytes > INT32_MAX) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->max_line_bytes = %" PRId64 " is not in 1 to %d",
                         options->max_line_bytes, INT32_MAX);
    }
    return MTL_OK;
}

static mtl_status fill_classes(mtl_context *context, const mtl_label_column *label, int64_t column,
                               mtli_word_table *classes)
{
    int64_t count = label->kind == MTL_LABELS_CLASS ? label->num_classes : 0;
    for (int64_t i = 0; i < count; i++) {
        const char *name = label->classes[i];
        size_t number;
        if (!name || !name[0]) {
            return mtli_fail(context, MTL_ERROR_ARGUMENT,
                             "options->labels[%" PRId64 "].classes[%" PRId64 "] is NULL or empty", column, i);
        }
        mtl_status status = mtli_word_table_insert(classes, name, strlen(name), &number);
        if (status != MTL_OK) {
            return status;
        }
        if ((int64_t)number != i) {
            return mtli_fail(context, MTL_ERROR_ARGUMENT,
                             "options->labels[%" PRId64 "].classes[%" PRId64 "] = \"%s\" stands there twice", column, i,
                             name);
        }
    }
    return MTL_OK;
}

static mtl_status fill_table(mtli_table *table, const char *path, const mtli_index_options *index)
{
    mtl_context *context = table->base.context;
    const mtl_table_options *options = index->table;
    mtli_record_init(&table->record, context, (mtli_dialect){(char)options->delimiter, options->quotes != 0});
    table->path = mtli_copy_string(context, path);
    if (!table->path) {
        return context->status;
    }
    table->num_text_columns = (int32_t)options->num_text_columns;
    memcpy(table->text_columns, options->text_columns,
           (size_t)options->num_text_columns * sizeof table->text_columns[0]);
    table->columns = options->columns;
    for (int64_t i = 0; i < options->num_labels; i++) {
        table->base.labels[i].kind = options->labels[i].kind;
        table->base.labels[i].num_classes =
            options->labels[i].kind == MTL_LABELS_CLASS ? options->labels[i].num_classes : 0;
        mtli_word_table_init(&index->classes[i], context);
    }
    mtl_status status = MTL_OK;
    for (int64_t i = 0; status == MTL_OK && i < options->num_labels; i++) {
        status = fill_classes(context, &options->labels[i], i, &index->classes[i]);
    }
    if (status == MTL_OK) {
        status = mtli_file_open(context, table->path, &table->file);
    }
    if (status == MTL_OK) {
        status = mtli_table_index(table, index);
    }
    for (int64_t i = 0; i < options->num_labels; i++) {
        mtli_word_table_destroy(&index->classes[i]);
    }
    return status;
}

mtl_status mtli_table_open(mtl_context *context, const char *path, const mtl_table_options *options, bool ag_news,
                           mtl_dataset **out)
{
    mtli_word_table classes[MTLI_LABEL_COLUMNS_MAX];
    const mtli_index_options index = {options, classes, ag_news};
    mtli_table *table = mtli_allocate_zeroed(context, sizeof *table);
    if (!table) {
        return context->status;
    }
    table->file.descriptor = -1;
    mtl_status status = mtli_source_init(&table->base, context, &table_type, options->num_labels);
    if (status == MTL_OK) {
        status = fill_table(table, path, &index);
    }
    if (status != MTL_OK) {
        mtli_source_release(&table->base);
        return status;
    }
    return mtli_dataset_create(&table->base, out);
}

mtl_status mtl_dataset_open_table(mtl_context *context, const char *path, const mtl_table_options *options,
                                  mtl_dataset **out)
{
    if (!context) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(context);
    MTLI_REQUIRE(context, path);
    MTLI_REQUIRE(context, options);
    MTLI_REQUIRE(context, out);
    mtl_table_options known = MTL_TABLE_OPTIONS_INIT;
    mtl_status status = mtli_import_options(context, "options", &known, sizeof known, sizeof known, options);
    if (status == MTL_OK) {
        status = check_dialect(context, &known);
    }
    if (status == MTL_OK) {
        status = check_text_columns(context, &known);
    }
    if (status == MTL_OK) {
        status = check_label_columns(context, &known);
    }
    return status == MTL_OK ? mtli_table_open(context, path, &known, false, out) : status;
}

mtl_status mtl_dataset_open_ag_news(mtl_context *context, const char *path, mtl_dataset **out)
{
    static const char *const classes[] = {"1", "2", "3", "4"};
    static const int32_t text_columns[] = {1, 2};
    if (!context) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(context);
    MTLI_REQUIRE(context, path);
    MTLI_REQUIRE(context, out);
    const mtl_label_column label = {0, MTL_LABELS_CLASS, classes, 4};
    mtl_table_options options = MTL_TABLE_OPTIONS_INIT;
    options.text_columns = text_columns;
    options.num_text_columns = 2;
    options.labels = &label;
    options.num_labels = 1;
    return mtli_table_open(context, path, &options, true, out);
}
