/* SPDX-License-Identifier: Apache-2.0
 * Datasets of texts that the host already has in memory. */
#include <inttypes.h>
#include <string.h>

#include "text/dataset.h"

typedef struct memory_source {
    mtli_source base;
    mtli_buffer pool;
    size_t *offsets; /* rows + 1 */
    size_t num_offsets;
} memory_source;

static mtl_status read_memory(mtli_source *source, int64_t row)
{
    memory_source *memory = (memory_source *)source;
    size_t begin = memory->offsets[row];
    size_t size = memory->offsets[row + 1] - begin;
    if (size > 0) {
        mtli_buffer_append(&source->text, memory->pool.data + begin, size);
    }
    return MTL_OK;
}

static void destroy_memory(mtli_source *source)
{
    memory_source *memory = (memory_source *)source;
    mtli_buffer_release(&memory->pool);
    mtli_release(source->context, memory->offsets, memory->num_offsets * sizeof memory->offsets[0]);
    mtli_release(source->context, memory, sizeof *memory);
}

static const mtli_source_type memory_type = {read_memory, destroy_memory};

static mtl_status fill_memory(memory_source *memory, const char *const *texts, const int32_t *labels, int64_t rows,
                              int64_t num_classes)
{
    mtl_context *context = memory->base.context;
    memory->pool = (mtli_buffer){context, NULL, 0, 0, MTL_OK};
    memory->offsets = mtli_allocate_array(context, (size_t)rows + 1, sizeof memory->offsets[0]);
    if (!memory->offsets) {
        return context->status;
    }
    memory->num_offsets = (size_t)rows + 1;
    memory->offsets[0] = 0;
    if (labels) {
        memory->base.labels[0].num_classes = num_classes;
    }
    for (int64_t row = 0; row < rows; row++) {
        mtli_buffer_text(&memory->pool, texts[row]);
        memory->offsets[row + 1] = memory->pool.size;
        mtl_status status = labels ? mtli_source_add_label(&memory->base, 0, row, (double)labels[row]) : MTL_OK;
        if (status != MTL_OK) {
            return status;
        }
    }
    memory->base.rows = rows;
    return memory->pool.status;
}

static mtl_status check_memory(mtl_context *context, const char *const *texts, const int32_t *labels, int64_t rows,
                               int64_t num_classes)
{
    if (rows < 0 || rows >= INT64_MAX / 8) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "rows = %" PRId64 " is out of range", rows);
    }
    if (rows > 0) {
        MTLI_REQUIRE(context, texts);
    }
    if (labels && (num_classes < 2 || num_classes > INT32_MAX)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "num_classes = %" PRId64 " is not in 2 to %d", num_classes,
                         INT32_MAX);
    }
    for (int64_t row = 0; row < rows; row++) {
        if (!texts[row]) {
            return mtli_fail(context, MTL_ERROR_ARGUMENT, "texts[%" PRId64 "] is NULL", row);
        }
        if (labels && labels[row] != MTL_LABEL_NONE && (labels[row] < 0 || labels[row] >= num_classes)) {
            return mtli_fail(context, MTL_ERROR_ARGUMENT,
                             "labels[%" PRId64 "] = %" PRId32 " is not in 0 to %" PRId64 ", nor MTL_LABEL_NONE", row,
                             labels[row], num_classes - 1);
        }
    }
    return MTL_OK;
}

mtl_status mtl_dataset_create(mtl_context *context, const char *const *texts, const int32_t *labels, int64_t rows,
                              int64_t num_classes, mtl_dataset **out)
{
    if (!context) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(context);
    MTLI_REQUIRE(context, out);
    mtl_status status = check_memory(context, texts, labels, rows, num_classes);
    if (status != MTL_OK) {
        return status;
    }
    memory_source *memory = mtli_allocate_zeroed(context, sizeof *memory);
    if (!memory) {
        return context->status;
    }
    memory->pool.context = context;
    status = mtli_source_init(&memory->base, context, &memory_type, labels ? 1 : 0);
    if (status == MTL_OK) {
        status = fill_memory(memory, texts, labels, rows, num_classes);
    }
    if (status != MTL_OK) {
        mtli_source_release(&memory->base);
        return status;
    }
    return mtli_dataset_create(&memory->base, out);
}
