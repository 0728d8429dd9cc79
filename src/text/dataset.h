/* SPDX-License-Identifier: Apache-2.0
 * Datasets from inside: a source (table, folder, memory) holds the index; datasets are ranges of its rows. */
#ifndef MTLI_TEXT_DATASET_H
#define MTLI_TEXT_DATASET_H

#include <mtl/data.h>

#include "io/buffer.h"

typedef struct mtli_source mtli_source;

/** What a kind of source can do. */
typedef struct mtli_source_type {
    /** Appends the text of a row to source->text. Failures of that buffer are looked at by the caller. */
    mtl_status (*read)(mtli_source *source, int64_t row);
    /** Gives back what is the kind's own, and the memory of the source itself; works on half-made sources. */
    void (*destroy)(mtli_source *source);
} mtli_source_type;

/** One column of labels: int32 numbers of classes or doubles. */
typedef struct mtli_labels {
    int32_t kind;
    int64_t num_classes;
    void *values;
    size_t capacity; /* elements */
} mtli_labels;

struct mtli_source {
    mtl_context *context;
    mtli_refcount refs;
    const mtli_source_type *type;
    int64_t rows;
    int64_t num_labels;
    mtli_labels *labels;
    mtli_buffer text; /* the row that was read last */
};

struct mtl_dataset {
    mtl_context *context;
    mtli_refcount refs;
    mtli_source *source;
    int64_t begin;
    int64_t rows;
};

/** Fills the common part of a zeroed source, with num_labels columns. */
mtl_status mtli_source_init(mtli_source *source, mtl_context *context, const mtli_source_type *type,
                            int64_t num_labels);
void mtli_source_release(mtli_source *source);

/** Appends a label to a column; `row` labels are there already. */
mtl_status mtli_source_add_label(mtli_source *source, int64_t column, int64_t row, double value);

/** A dataset of all rows; takes the caller's reference to the source, also on failure. */
mtl_status mtli_dataset_create(mtli_source *source, mtl_dataset **out);

/** A row's text, borrowed until the next read from the same source. 0 <= row < rows. */
mtl_status mtli_dataset_read(mtl_dataset *dataset, int64_t row, const char **text, size_t *size);

/** A table; with ag_news in that form, where the first line tells the number of columns and so which of them are text. */
mtl_status mtli_table_open(mtl_context *context, const char *path, const mtl_table_options *options, bool ag_news,
                           mtl_dataset **out);

#endif
