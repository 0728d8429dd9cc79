/* SPDX-License-Identifier: Apache-2.0
 * CSV and TSV files as sources: table.c reads rows, table_index.c makes the index. */
#ifndef MTLI_TEXT_TABLE_H
#define MTLI_TEXT_TABLE_H

#include "io/file.h"
#include "text/dataset.h"
#include "text/record.h"
#include "text/word_table.h"

enum { MTLI_TEXT_COLUMNS_MAX = 16, MTLI_LABEL_COLUMNS_MAX = 64 };

/** Where a record stands in the file. */
typedef struct mtli_record_place {
    uint64_t offset;
    uint32_t size;
    uint32_t reserved;
} mtli_record_place;

typedef struct mtli_table {
    mtli_source base;
    mtli_file file;
    char *path;
    mtli_record record;
    mtli_record_place *places;
    size_t capacity;
    char *raw; /* the record that is read */
    size_t raw_capacity;
    int32_t text_columns[MTLI_TEXT_COLUMNS_MAX];
    int32_t num_text_columns;
    int32_t columns; /* 0: not known yet */
} mtli_table;

/** How an index is made. */
typedef struct mtli_index_options {
    const mtl_table_options *table;
    mtli_word_table *classes; /* one for each label column; the number of a name is its class */
    bool ag_news;             /* 2 or 3 columns; the texts are all but the first */
} mtli_index_options;

/** Reads the whole file once and fills the places and labels. */
mtl_status mtli_table_index(mtli_table *table, const mtli_index_options *options);

#endif
