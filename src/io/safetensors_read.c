/* SPDX-License-Identifier: Apache-2.0
 * Opening safetensors files and reading their values. */
#include <inttypes.h>
#include <string.h>

#include "io/crc32.h"
#include "io/safetensors.h"
#include "io/utf8.h"

enum { LENGTH_BYTES = 8, CONVERSION_BYTES = 1 << 14, PIECE_BYTES = 1 << 18 };

static uint64_t load_little(const unsigned char *bytes, size_t size)
{
    uint64_t value = 0;
    for (size_t i = size; i > 0; i--) {
        value = value << 8 | bytes[i - 1];
    }
    return value;
}

static mtl_status read_safetensors_length(mtli_safetensors *file, uint64_t *length)
{
    unsigned char bytes[LENGTH_BYTES];
    if (file->file.size < LENGTH_BYTES) {
        return mtli_fail(file->context, MTL_ERROR_FORMAT,
                         "%s: is not a safetensors file: it has only %" PRIu64 " bytes", mtli_shown_path(file->path),
                         file->file.size);
    }
    mtl_status status = mtli_file_read_at(&file->file, 0, bytes, sizeof bytes);
    if (status != MTL_OK) {
        return status;
    }
    *length = load_little(bytes, sizeof bytes);
    if (*length > file->file.size - LENGTH_BYTES) {
        return mtli_fail(file->context, MTL_ERROR_FORMAT,
                         "%s: is truncated or not a safetensors file: a header of %" PRIu64
                         " bytes does not fit in its %" PRIu64,
                         mtli_shown_path(file->path), *length, file->file.size);
    }
    if (*length > MTLI_SAFETENSORS_MAX_HEADER) {
        return mtli_fail(file->context, MTL_ERROR_LIMIT, "%s: its header has %" PRIu64 " bytes, more than %u",
                         mtli_shown_path(file->path), *length, MTLI_SAFETENSORS_MAX_HEADER);
    }
    return MTL_OK;
}

static mtl_status read_safetensors_header(mtli_safetensors *file)
{
    uint64_t length = 0;
    mtl_status status = read_safetensors_length(file, &length);
    if (status != MTL_OK) {
        return status;
    }
    file->header_size = (size_t)length;
    file->header = mtli_allocate(file->context, file->header_size);
    if (!file->header) {
        return file->context->status;
    }
    status = mtli_file_read_at(&file->file, LENGTH_BYTES, file->header, file->header_size);
    return status == MTL_OK ? mtli_safetensors_parse(file, file->file.size - LENGTH_BYTES - length) : status;
}

mtl_status mtli_safetensors_open(mtl_context *context, const char *path, mtli_safetensors **out)
{
    mtli_safetensors *file = mtli_allocate_zeroed(context, sizeof *file);
    if (!file) {
        return context->status;
    }
    file->context = mtl_context_retain(context);
    file->file.descriptor = -1;
    file->path = mtli_copy_string(context, path);
    mtl_status status = file->path ? mtli_file_open(context, file->path, &file->file) : context->status;
    if (status == MTL_OK) {
        status = read_safetensors_header(file);
    }
    if (status != MTL_OK) {
        mtli_safetensors_close(file);
        return status;
    }
    *out = file;
    return MTL_OK;
}

void mtli_safetensors_close(mtli_safetensors *file)
{
    if (!file) {
        return;
    }
    mtl_context *context = file->context;
    mtli_file_close(&file->file);
    mtli_release(context, file->by_name, file->count * sizeof(size_t));
    mtli_release(context, file->entries, file->capacity * sizeof file->entries[0]);
    mtli_release(context, file->dims, file->dims_capacity * sizeof file->dims[0]);
    mtli_release(context, file->metadata, file->metadata_capacity * sizeof file->metadata[0]);
    mtli_release(context, file->header, file->header_size);
    mtli_release_string(context, file->path);
    mtli_release(context, file, sizeof *file);
    mtl_context_release(context);
}

const char *mtli_safetensors_metadata(const mtli_safetensors *file, const char *key)
{
    size_t low = 0;
    size_t high = file->num_metadata;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(key, file->metadata[middle].key);
        if (order == 0) {
            return file->metadata[middle].value;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const mtli_safetensors_entry *mtli_safetensors_find(const mtli_safetensors *file, const char *name)
{
    size_t low = 0;
    size_t high = file->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const mtli_safetensors_entry *entry = &file->entries[file->by_name[middle]];
        int order = strcmp(name, entry->name);
        if (order == 0) {
            return entry;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

size_t mtli_safetensors_size(const mtli_safetensors *file, const mtli_safetensors_entry *entry)
{
    size_t size = 1;
    for (int32_t i = 0; i < entry->ndim; i++) {
        size *= (size_t)file->dims[entry->first_dim + (size_t)i]; /* checked when it was opened */
    }
    return size;
}

/* ---- values ---- */

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double double_of_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The bits of the float that equals an IEEE half. */
static uint32_t widen_half(uint32_t half)
{
    uint32_t sign = (half & 0x8000u) << 16;
    uint32_t exponent = half >> 10 & 0x1Fu;
    uint32_t mantissa = half & 0x3FFu;
    if (exponent == 0x1F) {
        return sign | 0x7F800000u | mantissa << 13;
    }
    if (exponent == 0) {
        if (mantissa == 0) {
            return sign;
        }
        exponent = 1;
        while ((mantissa & 0x400u) == 0) { /* a subnormal: float has the exponents for it */
            mantissa <<= 1;
            exponent--;
        }
        mantissa &= 0x3FFu;
    }
    return sign | (exponent + 112) << 23 | mantissa << 13;
}

static void convert_chunk(mtli_safetensors_dtype dtype, const unsigned char *bytes, mtli_real *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (dtype == MTLI_SAFETENSORS_F64) {
            values[i] = (mtli_real)double_of_bits(load_little(bytes + i * 8, 8));
        } else if (dtype == MTLI_SAFETENSORS_F32) {
            values[i] = (mtli_real)float_of_bits((uint32_t)load_little(bytes + i * 4, 4));
        } else if (dtype == MTLI_SAFETENSORS_BF16) {
            values[i] = (mtli_real)float_of_bits((uint32_t)load_little(bytes + i * 2, 2) << 16);
        } else {
            values[i] = (mtli_real)float_of_bits(widen_half((uint32_t)load_little(bytes + i * 2, 2)));
        }
    }
}

static mtl_status read_converted(const mtli_safetensors *file, const mtli_safetensors_entry *entry, mtli_real *values)
{
    unsigned char chunk[CONVERSION_BYTES];
    size_t element = mtli_safetensors_dtype_bits(entry->dtype) / 8;
    uint64_t start = LENGTH_BYTES + file->header_size;
    uint32_t crc = 0;
    for (uint64_t position = entry->begin; position < entry->end;) {
        uint64_t left = entry->end - position;
        size_t bytes = left < CONVERSION_BYTES ? (size_t)left : CONVERSION_BYTES;
        mtl_status status = mtli_file_read_at(&file->file, start + position, chunk, bytes);
        if (status != MTL_OK) {
            return status;
        }
        crc = mtli_crc32(crc, chunk, bytes);
        convert_chunk(entry->dtype, chunk, values, bytes / element);
        values += bytes / element;
        position += bytes;
    }
    return mtli_safetensors_verify(file, entry, crc);
}

/* In pieces, so that the checksum finds them in the cache. */
mtl_status mtli_safetensors_read_bytes(const mtli_safetensors *file, const mtli_safetensors_entry *entry, void *bytes)
{
    unsigned char *to = bytes;
    uint64_t start = LENGTH_BYTES + file->header_size;
    uint32_t crc = 0;
    for (uint64_t position = entry->begin; position < entry->end;) {
        uint64_t left = entry->end - position;
        size_t piece = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        mtl_status status = mtli_file_read_at(&file->file, start + position, to, piece);
        if (status != MTL_OK) {
            return status;
        }
        crc = mtli_crc32(crc, to, piece);
        to += piece;
        position += piece;
    }
    return mtli_safetensors_verify(file, entry, crc);
}

mtl_status mtli_safetensors_read_real(const mtli_safetensors *file, const mtli_safetensors_entry *entry,
                                      mtli_real *values)
{
    if (!mtli_safetensors_is_real(entry->dtype)) {
        char shown[MTLI_SHOWN_TEXT];
        return mtli_fail(file->context, MTL_ERROR_DTYPE, "%s: tensor '%s' is %s, not F32, F64, F16 or BF16",
                         mtli_shown_path(file->path), mtli_shown_text(entry->name, strlen(entry->name), shown),
                         mtli_safetensors_dtype_name(entry->dtype));
    }
    if (entry->dtype != MTLI_SAFETENSORS_REAL) {
        return read_converted(file, entry, values);
    }
    mtl_status status =
        mtli_safetensors_read_bytes(file, entry, values); /* the same type: bits are kept, also of NaN */
    if (status == MTL_OK && mtli_host_is_big_endian()) {
        mtli_swap_bytes(values, (size_t)(entry->end - entry->begin) / sizeof(mtli_real), sizeof(mtli_real));
    }
    return status;
}
