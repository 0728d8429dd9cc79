/* SPDX-License-Identifier: Apache-2.0
 * Records of delimited text (RFC 4180 and plain TSV), found in memory that grows with the record. */
#ifndef MTLI_TEXT_RECORD_H
#define MTLI_TEXT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/buffer.h"

enum { MTLI_FIELDS_MAX = 65536 };

/** How lines and fields are told apart. */
typedef struct mtli_dialect {
    char delimiter;
    bool quotes;
} mtli_dialect;

/** A field: bytes [begin, end) of its record; `quoted`: without the outer quotes, inner ones still doubled. */
typedef struct mtli_field {
    size_t begin;
    size_t end;
    bool quoted;
} mtli_field;

/** What a scan found. */
typedef enum mtli_record_end {
    MTLI_RECORD_DONE,  /* a whole record */
    MTLI_RECORD_MORE,  /* the bytes end before the record does */
    MTLI_RECORD_QUOTE, /* something stands between a closing quote and the next delimiter */
    MTLI_RECORD_OPEN,  /* the input ends inside quotes */
    MTLI_RECORD_WIDE   /* more than MTLI_FIELDS_MAX fields */
} mtli_record_end;

/** A scan of one record. It can be continued when more bytes have come. */
typedef struct mtli_record {
    mtl_context *context;
    mtli_dialect dialect;
    mtli_field *fields;
    size_t num_fields;
    size_t capacity;
    size_t size;   /* bytes of the record with its line break: valid when it is done */
    int64_t lines; /* line breaks in the record, the last one included */
    size_t at;     /* where the scan stands */
    bool in_field; /* inside the field whose beginning is known */
    bool in_quotes;
} mtli_record;

void mtli_record_init(mtli_record *record, mtl_context *context, mtli_dialect dialect);
void mtli_record_destroy(mtli_record *record);

/** Begins the next record. */
void mtli_record_begin(mtli_record *record);

/** Scans the record that begins at text[0]; `last`: no more bytes will come. A status but MTL_OK is lack of memory. */
mtl_status mtli_record_scan(mtli_record *record, const char *text, size_t size, bool last, mtli_record_end *end);

/** Appends a field's text to a buffer, doubled quotes as one. */
void mtli_record_append(const mtli_record *record, const char *text, size_t field, mtli_buffer *buffer);

#endif
