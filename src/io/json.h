/* SPDX-License-Identifier: Apache-2.0
 * A strict JSON reader that allocates nothing and never recurses, and the writing of JSON strings: what a safetensors
 * header needs. Own code, because the C libraries for JSON keep their allocator in globals. */
#ifndef MTLI_IO_JSON_H
#define MTLI_IO_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/buffer.h"

enum { MTLI_JSON_DEPTH = 32 };

/** What the reader has met. */
typedef enum mtli_json_event {
    MTLI_JSON_ERROR, /* json->error says what, json->position where; every later call says the same */
    MTLI_JSON_END,   /* after the one value */
    MTLI_JSON_OBJECT,
    MTLI_JSON_OBJECT_END,
    MTLI_JSON_ARRAY,
    MTLI_JSON_ARRAY_END,
    MTLI_JSON_KEY,     /* mtli_json_string() */
    MTLI_JSON_STRING,  /* mtli_json_string() */
    MTLI_JSON_INTEGER, /* json->integer */
    MTLI_JSON_REAL,    /* a fraction, an exponent, or beyond int64; it has no value here */
    MTLI_JSON_TRUE,
    MTLI_JSON_FALSE,
    MTLI_JSON_NULL
} mtli_json_event;

typedef struct mtli_json {
    const char *text;
    size_t size;
    size_t position; /* of the next byte */
    const char *error;
    int state;
    int depth;
    uint64_t objects; /* bit d: level d is an object, else an array */
    size_t start;     /* the key's or string's bytes, between the quotes */
    size_t length;
    int64_t integer;
} mtli_json;

void mtli_json_begin(mtli_json *json, const char *text, size_t size);

/** The next event. */
mtli_json_event mtli_json_next(mtli_json *json);

/** Decodes the key or string that was met last. `out` needs json->length bytes and may be where the raw bytes stand
 *  (text + start) or before it. Returns the number of bytes, which may contain zeros. */
size_t mtli_json_string(const mtli_json *json, char *out);

/** Appends a string with quotes and escapes; the text must be well-formed UTF-8. */
void mtli_json_write_string(mtli_buffer *buffer, const char *text, size_t size);

#endif
