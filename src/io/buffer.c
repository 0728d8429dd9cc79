/* SPDX-License-Identifier: Apache-2.0
 * Text that grows at its end. */
#include "io/buffer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"

static bool grow_buffer(mtli_buffer *buffer, size_t size)
{
    size_t needed;
    if (buffer->status != MTL_OK) {
        return false;
    }
    if (!mtli_add_size(buffer->size, size, &needed)) {
        buffer->status =
            mtli_fail(buffer->context, MTL_ERROR_LIMIT, "%zu + %zu bytes do not fit in memory", buffer->size, size);
        return false;
    }
    void *data = buffer->data;
    buffer->status = mtli_reserve(buffer->context, &data, &buffer->capacity, needed < 256 ? 256 : needed, 1);
    buffer->data = data;
    return buffer->status == MTL_OK;
}

void mtli_buffer_append(mtli_buffer *buffer, const char *data, size_t size)
{
    if (size > 0 && grow_buffer(buffer, size)) {
        memcpy(buffer->data + buffer->size, data, size);
        buffer->size += size;
    }
}

void mtli_buffer_text(mtli_buffer *buffer, const char *text)
{
    mtli_buffer_append(buffer, text, strlen(text));
}

void mtli_buffer_integer(mtli_buffer *buffer, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    mtli_buffer_text(buffer, text);
}

void mtli_buffer_release(mtli_buffer *buffer)
{
    mtli_release(buffer->context, buffer->data, buffer->capacity);
    buffer->data = NULL;
    buffer->size = 0;
    buffer->capacity = 0;
}
