/* SPDX-License-Identifier: Apache-2.0
 * Checksums of what a file of the library holds, kept as metadata so that the file stays an ordinary one. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "io/crc32.h"
#include "io/safetensors.h"
#include "io/utf8.h"

enum { CHECKSUM_CHUNK = 1 << 12, TENSOR_PREFIX = sizeof MTLI_CHECKSUM_OF_TENSOR - 1 };

static uint32_t checksum_swapped(const unsigned char *data, size_t bytes, size_t element)
{
    unsigned char chunk[CHECKSUM_CHUNK];
    uint32_t crc = 0;
    while (bytes > 0) {
        size_t part = bytes < CHECKSUM_CHUNK ? bytes : CHECKSUM_CHUNK;
        memcpy(chunk, data, part);
        mtli_swap_bytes(chunk, part / element, element);
        crc = mtli_crc32(crc, chunk, part);
        data += part;
        bytes -= part;
    }
    return crc;
}

uint32_t mtli_safetensors_checksum(const mtli_safetensors_tensor *tensor)
{
    size_t element = mtli_safetensors_dtype_bits(tensor->dtype) / 8;
    size_t bytes = mtli_safetensors_tensor_bytes(tensor);
    if (element == 1 || !mtli_host_is_big_endian()) {
        return mtli_crc32(0, tensor->data, bytes);
    }
    return checksum_swapped(tensor->data, bytes, tensor->dtype == MTLI_SAFETENSORS_C64 ? 4 : element);
}

/* With the zero bytes at their ends, so that what moves from one string to the other shows. */
static uint32_t checksum_pair(const mtli_safetensors_pair *pair)
{
    return mtli_crc32(mtli_crc32(0, pair->key, strlen(pair->key) + 1), pair->value, strlen(pair->value) + 1);
}

uint32_t mtli_safetensors_checksum_metadata(const mtli_safetensors_pair *pairs, size_t count)
{
    uint32_t sum = 0; /* a sum, for the order of pairs means nothing */
    for (size_t i = 0; i < count; i++) {
        if (strncmp(pairs[i].key, "mtl.", 4) == 0 && strcmp(pairs[i].key, MTLI_CHECKSUM_OF_METADATA) != 0) {
            sum += checksum_pair(&pairs[i]);
        }
    }
    return sum;
}

void mtli_safetensors_checksum_text(uint32_t crc, char text[MTLI_CHECKSUM_TEXT])
{
    snprintf(text, MTLI_CHECKSUM_TEXT, "%08" PRIx32, crc);
}

/* The order of a tensor's checksum and a key, as if by strcmp(). */
static int compare_checksum_key(const char *tensor, const char *key)
{
    int order = strncmp(MTLI_CHECKSUM_OF_TENSOR, key, TENSOR_PREFIX);
    return order != 0 ? order : strcmp(tensor, key + TENSOR_PREFIX);
}

static const char *find_checksum(const mtli_safetensors *file, const char *tensor)
{
    size_t low = 0;
    size_t high = file->num_metadata;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_checksum_key(tensor, file->metadata[middle].key);
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

mtl_status mtli_safetensors_verify(const mtli_safetensors *file, const mtli_safetensors_entry *entry, uint32_t crc)
{
    const char *kept = find_checksum(file, entry->name);
    char text[MTLI_CHECKSUM_TEXT];
    char shown_name[MTLI_SHOWN_TEXT];
    char shown[MTLI_SHOWN_TEXT];
    mtli_safetensors_checksum_text(crc, text);
    if (!kept || strcmp(kept, text) == 0) {
        return MTL_OK;
    }
    return mtli_fail(file->context, MTL_ERROR_FORMAT, "%s: tensor '%s' is damaged: its checksum is %s, not %.16s",
                     mtli_shown_path(file->path), mtli_shown_text(entry->name, strlen(entry->name), shown_name), text,
                     mtli_shown_text(kept, strlen(kept), shown));
}

mtl_status mtli_safetensors_verify_metadata(const mtli_safetensors *file)
{
    const char *kept = mtli_safetensors_metadata(file, MTLI_CHECKSUM_OF_METADATA);
    char text[MTLI_CHECKSUM_TEXT];
    char shown[MTLI_SHOWN_TEXT];
    mtli_safetensors_checksum_text(mtli_safetensors_checksum_metadata(file->metadata, file->num_metadata), text);
    if (!kept || strcmp(kept, text) == 0) {
        return MTL_OK;
    }
    return mtli_fail(file->context, MTL_ERROR_FORMAT, "%s: the metadata is damaged: its checksum is %s, not %.16s",
                     mtli_shown_path(file->path), text, mtli_shown_text(kept, strlen(kept), shown));
}
