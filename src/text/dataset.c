/* SPDX-License-Identifier: Apache-2.0
 * Datasets of any source: life, slices, labels, texts. */
#include "text/dataset.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "text/vocabulary.h"

static size_t label_value_size(const mtli_labels *labels)
{
    return labels->kind == MTL_LABELS_REAL ? sizeof(double) : sizeof(int32_t);
}

mtl_status mtli_source_init(mtli_source *source, mtl_context *context, const mtli_source_type *type, int64_t num_labels)
{
    source->context = mtl_context_retain(context);
    mtli_refcount_init(&source->refs);
    source->type = type;
    source->text = (mtli_buffer){context, NULL, 0, 0, MTL_OK};
    source->labels = mtli_allocate_zeroed(context, (size_t)num_labels * sizeof source->labels[0]);
    if (!source->labels) {
        return context->status;
    }
    source->num_labels = num_labels;
    return MTL_OK;
}

void mtli_source_release(mtli_source *source)
{
    if (!source || !mtli_refcount_release(&source->refs)) {
        return;
    }
    mtl_context *context = source->context;
    for (int64_t i = 0; i < source->num_labels; i++) {
        mtli_labels *labels = &source->labels[i];
        mtli_release(context, labels->values, labels->capacity * label_value_size(labels));
    }
    mtli_release(context, source->labels, (size_t)source->num_labels * sizeof source->labels[0]);
    mtli_buffer_release(&source->text);
    source->type->destroy(source);
    mtl_context_release(context);
}

mtl_status mtli_source_add_label(mtli_source *source, int64_t column, int64_t row, double value)
{
    mtli_labels *labels = &source->labels[column];
    mtl_status status =
        mtli_reserve(source->context, &labels->values, &labels->capacity, (size_t)row + 1, label_value_size(labels));
    if (status != MTL_OK) {
        return status;
    }
    if (labels->kind == MTL_LABELS_REAL) {
        ((double *)labels->values)[row] = value;
    } else {
        ((int32_t *)labels->values)[row] = (int32_t)value;
    }
    return MTL_OK;
}

static mtl_status create_row_range(mtli_source *source, int64_t begin, int64_t rows, mtl_dataset **out)
{
    mtl_dataset *dataset = mtli_allocate(source->context, sizeof *dataset);
    if (!dataset) {
        return source->context->status;
    }
    dataset->context = mtl_context_retain(source->context);
    mtli_refcount_init(&dataset->refs);
    dataset->source = source;
    dataset->begin = begin;
    dataset->rows = rows;
    *out = dataset;
    return MTL_OK;
}

mtl_status mtli_dataset_create(mtli_source *source, mtl_dataset **out)
{
    mtl_status status = create_row_range(source, 0, source->rows, out);
    if (status != MTL_OK) {
        mtli_source_release(source);
    }
    return status;
}

mtl_status mtl_dataset_slice(mtl_dataset *dataset, int64_t begin, int64_t end, mtl_dataset **out)
{
    if (!dataset) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = dataset->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, out);
    if (begin < 0 || begin > end || end > dataset->rows) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT,
                         "begin = %" PRId64 ", end = %" PRId64 " are not a range of %" PRId64 " rows", begin, end,
                         dataset->rows);
    }
    mtl_status status = create_row_range(dataset->source, dataset->begin + begin, end - begin, out);
    if (status == MTL_OK) {
        mtli_refcount_retain(&dataset->source->refs);
    }
    return status;
}

mtl_dataset *mtl_dataset_retain(mtl_dataset *dataset)
{
    if (dataset) {
        mtli_refcount_retain(&dataset->refs);
    }
    return dataset;
}

void mtl_dataset_release(mtl_dataset *dataset)
{
    if (dataset && mtli_refcount_release(&dataset->refs)) {
        mtl_context *context = dataset->context;
        mtli_source_release(dataset->source);
        mtli_release(context, dataset, sizeof *dataset);
        mtl_context_release(context);
    }
}

int64_t mtl_dataset_rows(const mtl_dataset *dataset)
{
    return dataset ? dataset->rows : 0;
}

int64_t mtl_dataset_num_labels(const mtl_dataset *dataset)
{
    return dataset ? dataset->source->num_labels : 0;
}

int64_t mtl_dataset_num_classes(const mtl_dataset *dataset, int64_t label)
{
    if (!dataset || label < 0 || label >= dataset->source->num_labels) {
        return 0;
    }
    return dataset->source->labels[label].num_classes;
}

double mtl_dataset_label(const mtl_dataset *dataset, int64_t row, int64_t label)
{
    if (!dataset || row < 0 || row >= dataset->rows || label < 0 || label >= dataset->source->num_labels) {
        return (double)NAN;
    }
    const mtli_labels *labels = &dataset->source->labels[label];
    int64_t at = dataset->begin + row;
    return labels->kind == MTL_LABELS_REAL ? ((const double *)labels->values)[at]
                                           : (double)((const int32_t *)labels->values)[at];
}

mtl_status mtli_dataset_read(mtl_dataset *dataset, int64_t row, const char **text, size_t *size)
{
    mtli_source *source = dataset->source;
    source->text.size = 0;
    source->text.status = MTL_OK;
    mtl_status status = source->type->read(source, dataset->begin + row);
    if (status == MTL_OK) {
        status = source->text.status;
    }
    *text = source->text.data;
    *size = source->text.size;
    return status;
}

mtl_status mtl_dataset_text(mtl_dataset *dataset, int64_t row, char *text, size_t capacity, size_t *size)
{
    if (!dataset) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = dataset->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, size);
    if (capacity > 0) {
        MTLI_REQUIRE(context, text);
    }
    if (row < 0 || row >= dataset->rows) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "row = %" PRId64 " is not in 0 to %" PRId64, row,
                         dataset->rows - 1);
    }
    const char *found;
    size_t found_size;
    mtl_status status = mtli_dataset_read(dataset, row, &found, &found_size);
    if (status != MTL_OK) {
        return status;
    }
    size_t copied = found_size < capacity ? found_size : capacity;
    if (copied > 0) {
        memcpy(text, found, copied);
    }
    *size = found_size;
    return MTL_OK;
}

mtl_status mtl_vocabulary_builder_add_dataset(mtl_vocabulary_builder *builder, mtl_dataset *dataset)
{
    if (!builder) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(builder->context);
    MTLI_REQUIRE(builder->context, dataset);
    for (int64_t row = 0; row < dataset->rows; row++) {
        const char *text;
        size_t size;
        mtl_status status = mtli_dataset_read(dataset, row, &text, &size);
        if (status == MTL_OK) {
            status = mtli_vocabulary_builder_add(builder, text, size);
        } else if (builder->context != dataset->context) {
            mtli_fail_text(builder->context, status, dataset->context->message);
        }
        if (status != MTL_OK) {
            return status;
        }
    }
    return MTL_OK;
}
