/* SPDX-License-Identifier: Apache-2.0
 * Text that grows at its end. */
#ifndef MTLI_IO_BUFFER_H
#define MTLI_IO_BUFFER_H

#include "base/context.h"

/** Begins as {context, NULL, 0, 0, MTL_OK}. The first failure stays, so a text is built without a check per piece. */
typedef struct mtli_buffer {
    mtl_context *context;
    char *data;
    size_t size;
    size_t capacity;
    mtl_status status;
} mtli_buffer;

void mtli_buffer_append(mtli_buffer *buffer, const char *data, size_t size);
void mtli_buffer_text(mtli_buffer *buffer, const char *text);
void mtli_buffer_integer(mtli_buffer *buffer, int64_t value);
void mtli_buffer_release(mtli_buffer *buffer);

#endif
