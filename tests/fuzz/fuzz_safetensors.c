/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: the header of a safetensors file. Whatever is accepted must have the invariants of io/safetensors.h. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/safetensors.h"
#include "io/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void check_invariants(const mtli_safetensors *file, uint64_t data_size)
{
    uint64_t position = 0;
    for (size_t i = 0; i < file->count; i++) {
        const mtli_safetensors_entry *entry = &file->entries[i];
        require(entry->begin == position && entry->end >= entry->begin);
        require((entry->end - entry->begin) * 8 ==
                (uint64_t)mtli_safetensors_size(file, entry) * mtli_safetensors_dtype_bits(entry->dtype));
        require(mtli_utf8_check(entry->name, strlen(entry->name)));
        require(mtli_safetensors_find(file, entry->name) == entry);
        position = entry->end;
    }
    require(position == data_size);
    for (size_t i = 0; i < file->num_metadata; i++) {
        require(mtli_safetensors_metadata(file, file->metadata[i].key) == file->metadata[i].value);
        require(mtli_utf8_check(file->metadata[i].value, strlen(file->metadata[i].value)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t length = 0;
    if (size < 8) {
        return 0;
    }
    for (size_t i = 8; i > 0; i--) {
        length = length << 8 | data[i - 1];
    }
    if (length > size - 8) {
        length = size - 8; /* as mtli_safetensors_open() would have refused: test the header all the same */
    }
    mtl_context *context = NULL;
    require(mtl_context_create(NULL, &context) == MTL_OK);
    mtli_safetensors *file = mtli_allocate_zeroed(context, sizeof *file);
    require(file != NULL);
    file->context = mtl_context_retain(context);
    file->file.descriptor = -1;
    file->path = mtli_copy_string(context, "fuzz");
    file->header_size = (size_t)length;
    file->header = mtli_allocate(context, file->header_size);
    require(file->path && file->header);
    memcpy(file->header, data + 8, file->header_size);
    mtl_status status = mtli_safetensors_parse(file, size - 8 - length);
    if (status == MTL_OK) {
        check_invariants(file, size - 8 - length);
    } else {
        require(status == MTL_ERROR_FORMAT && mtl_context_last_error(context)[0] != '\0');
    }
    mtli_safetensors_close(file);
    mtl_memory_info info;
    require(mtl_context_memory(context, &info) == MTL_OK && info.blocks == 1);
    mtl_context_release(context);
    return 0;
}
