/* SPDX-License-Identifier: Apache-2.0
 * Writing safetensors files. */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "io/utf8.h"

enum { SWAP_CHUNK = 1 << 12, DATA_ALIGNMENT = 8 };

static const unsigned element_widths[] = {64, 32, 16, 8}; /* bits, in the order of the data */

enum { NUM_WIDTHS = sizeof element_widths / sizeof element_widths[0] };

typedef struct tensor_list {
    mtl_context *context;
    const mtli_safetensors_tensor *tensors;
    size_t count;
} tensor_list;

static mtl_status check_utf8(mtl_context *context, const char *what, const char *text)
{
    if (mtli_utf8_check(text, strlen(text))) {
        return MTL_OK;
    }
    char shown[MTLI_SHOWN_TEXT];
    return mtli_fail(context, MTL_ERROR_ARGUMENT, "%s '%s' is not UTF-8", what,
                     mtli_shown_text(text, strlen(text), shown));
}

static mtl_status check_pairs(mtl_context *context, const mtli_safetensors_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        mtl_status status = check_utf8(context, "the metadata key", pairs[i].key);
        if (status == MTL_OK && !mtli_utf8_check(pairs[i].value, strlen(pairs[i].value))) {
            status =
                mtli_fail(context, MTL_ERROR_ARGUMENT, "the value of metadata '%.100s' is not UTF-8", pairs[i].key);
        }
        for (size_t j = 0; j < i && status == MTL_OK; j++) {
            if (strcmp(pairs[i].key, pairs[j].key) == 0) {
                status = mtli_fail(context, MTL_ERROR_ARGUMENT, "metadata '%.100s' occurs twice", pairs[i].key);
            }
        }
        if (status != MTL_OK) {
            return status;
        }
    }
    return MTL_OK;
}

static mtl_status check_tensor_list(const tensor_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const char *name = list->tensors[i].name;
        mtl_status status = check_utf8(list->context, "the tensor's name", name);
        if (status == MTL_OK && strcmp(name, "__metadata__") == 0) {
            status = mtli_fail(list->context, MTL_ERROR_ARGUMENT, "a tensor cannot be named '%s'", name);
        }
        for (size_t j = 0; j < i && status == MTL_OK; j++) {
            if (strcmp(name, list->tensors[j].name) == 0) {
                status = mtli_fail(list->context, MTL_ERROR_ARGUMENT, "the tensor '%.100s' occurs twice", name);
            }
        }
        if (status != MTL_OK) {
            return status;
        }
    }
    return MTL_OK;
}

static size_t element_count(const mtli_safetensors_tensor *tensor)
{
    size_t count = 1;
    for (int32_t i = 0; i < tensor->ndim; i++) {
        count *= (size_t)tensor->dims[i]; /* it is in memory, so it does not overflow */
    }
    return count;
}

size_t mtli_safetensors_tensor_bytes(const mtli_safetensors_tensor *tensor)
{
    return element_count(tensor) * (mtli_safetensors_dtype_bits(tensor->dtype) / 8);
}

static void put_integers(mtli_buffer *buffer, const char *label, const int64_t *values, int32_t count)
{
    mtli_buffer_text(buffer, label);
    for (int32_t i = 0; i < count; i++) {
        mtli_buffer_text(buffer, i ? "," : "");
        mtli_buffer_integer(buffer, values[i]);
    }
    mtli_buffer_text(buffer, "]");
}

static void put_tensor(mtli_buffer *buffer, const mtli_safetensors_tensor *tensor, int64_t begin)
{
    int64_t offsets[2] = {begin, begin + (int64_t)mtli_safetensors_tensor_bytes(tensor)};
    mtli_json_write_string(buffer, tensor->name, strlen(tensor->name));
    mtli_buffer_text(buffer, ":{\"dtype\":\"");
    mtli_buffer_text(buffer, mtli_safetensors_dtype_name(tensor->dtype));
    put_integers(buffer, "\",\"shape\":[", tensor->dims, tensor->ndim);
    put_integers(buffer, ",\"data_offsets\":[", offsets, 2);
    mtli_buffer_text(buffer, "}");
}

static void put_metadata(mtli_buffer *buffer, const mtli_safetensors_pair *pairs, size_t count)
{
    mtli_buffer_text(buffer, "\"__metadata__\":{");
    for (size_t i = 0; i < count; i++) {
        mtli_buffer_text(buffer, i ? "," : "");
        mtli_json_write_string(buffer, pairs[i].key, strlen(pairs[i].key));
        mtli_buffer_text(buffer, ":");
        mtli_json_write_string(buffer, pairs[i].value, strlen(pairs[i].value));
    }
    mtli_buffer_text(buffer, "}");
}

static void put_safetensors_header(mtli_buffer *buffer, const tensor_list *list, const mtli_safetensors_pair *pairs,
                                   size_t num_pairs)
{
    int64_t begin = 0;
    bool first = true;
    mtli_buffer_text(buffer, "{");
    if (num_pairs > 0) {
        put_metadata(buffer, pairs, num_pairs);
        first = false;
    }
    for (int width = 0; width < NUM_WIDTHS; width++) {
        for (size_t i = 0; i < list->count; i++) {
            const mtli_safetensors_tensor *tensor = &list->tensors[i];
            if (mtli_safetensors_dtype_bits(tensor->dtype) == element_widths[width]) {
                mtli_buffer_text(buffer, first ? "" : ",");
                put_tensor(buffer, tensor, begin);
                begin += (int64_t)mtli_safetensors_tensor_bytes(tensor);
                first = false;
            }
        }
    }
    mtli_buffer_text(buffer, "}");
    size_t padding = mtli_round_up(buffer->size, DATA_ALIGNMENT) - buffer->size;
    mtli_buffer_append(buffer, "       ", padding);
}

static mtl_status write_safetensors_header(mtli_atomic_file *file, const mtli_buffer *buffer)
{
    unsigned char length[8];
    if (buffer->status != MTL_OK) {
        return buffer->status;
    }
    if (buffer->size > MTLI_SAFETENSORS_MAX_HEADER) {
        return mtli_fail(buffer->context, MTL_ERROR_LIMIT, "the file's header would have %zu bytes, more than %u",
                         buffer->size, MTLI_SAFETENSORS_MAX_HEADER);
    }
    for (unsigned i = 0; i < sizeof length; i++) {
        length[i] = (unsigned char)((uint64_t)buffer->size >> (8 * i));
    }
    mtl_status status = mtli_atomic_file_write(file, length, sizeof length);
    return status == MTL_OK ? mtli_atomic_file_write(file, buffer->data, buffer->size) : status;
}

static mtl_status write_swapped(mtli_atomic_file *file, const unsigned char *data, size_t bytes, size_t element)
{
    unsigned char chunk[SWAP_CHUNK];
    mtl_status status = MTL_OK;
    while (bytes > 0 && status == MTL_OK) {
        size_t part = bytes < SWAP_CHUNK ? bytes : SWAP_CHUNK;
        memcpy(chunk, data, part);
        mtli_swap_bytes(chunk, part / element, element);
        status = mtli_atomic_file_write(file, chunk, part);
        data += part;
        bytes -= part;
    }
    return status;
}

static mtl_status write_tensor_data(mtli_atomic_file *file, const mtli_safetensors_tensor *tensor)
{
    size_t bytes = mtli_safetensors_tensor_bytes(tensor);
    size_t element = mtli_safetensors_dtype_bits(tensor->dtype) / 8;
    if (element == 1 || !mtli_host_is_big_endian()) {
        return mtli_atomic_file_write(file, tensor->data, bytes);
    }
    return write_swapped(file, tensor->data, bytes, tensor->dtype == MTLI_SAFETENSORS_C64 ? 4 : element);
}

static mtl_status write_all_data(mtli_atomic_file *file, const tensor_list *list)
{
    mtl_status status = MTL_OK;
    for (int width = 0; width < NUM_WIDTHS; width++) {
        for (size_t i = 0; i < list->count && status == MTL_OK; i++) {
            if (mtli_safetensors_dtype_bits(list->tensors[i].dtype) == element_widths[width]) {
                status = write_tensor_data(file, &list->tensors[i]);
            }
        }
    }
    return status;
}

mtl_status mtli_safetensors_write(mtl_context *context, mtli_atomic_file *file, const mtli_safetensors_tensor *tensors,
                                  size_t count, const mtli_safetensors_pair *metadata, size_t num_metadata)
{
    tensor_list list = {context, tensors, count};
    mtl_status status = check_tensor_list(&list);
    if (status == MTL_OK) {
        status = check_pairs(context, metadata, num_metadata);
    }
    if (status != MTL_OK) {
        return status;
    }
    mtli_buffer buffer = {context, NULL, 0, 0, MTL_OK};
    put_safetensors_header(&buffer, &list, metadata, num_metadata);
    status = write_safetensors_header(file, &buffer);
    mtli_buffer_release(&buffer);
    return status == MTL_OK ? write_all_data(file, &list) : status;
}
