/* SPDX-License-Identifier: Apache-2.0
 * A checkpoint that is open: its metadata, its tensors' names, its vocabulary. */
#include "checkpoint/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "text/vocabulary.h"

bool mtli_is_reserved(const char *name)
{
    return strncmp(name, MTLI_RESERVED_PREFIX, sizeof MTLI_RESERVED_PREFIX - 1) == 0;
}

mtl_status mtl_checkpoint_open(mtl_context *context, const char *path, mtl_checkpoint **out)
{
    if (!context) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(context);
    MTLI_REQUIRE(context, path);
    MTLI_REQUIRE(context, out);
    mtl_checkpoint *checkpoint = mtli_allocate_zeroed(context, sizeof *checkpoint);
    if (!checkpoint) {
        return context->status;
    }
    checkpoint->context = context;
    mtl_status status = mtli_safetensors_open(context, path, &checkpoint->file);
    if (status == MTL_OK) {
        status = mtli_safetensors_verify_metadata(checkpoint->file);
    }
    if (status != MTL_OK) {
        mtli_safetensors_close(checkpoint->file);
        mtli_release(context, checkpoint, sizeof *checkpoint);
        return status;
    }
    *out = checkpoint;
    return MTL_OK;
}

void mtl_checkpoint_close(mtl_checkpoint *checkpoint)
{
    if (!checkpoint) {
        return;
    }
    mtli_safetensors *file = checkpoint->file;
    mtli_release(checkpoint->context, checkpoint, sizeof *checkpoint);
    mtli_safetensors_close(file);
}

const char *mtl_checkpoint_metadata(const mtl_checkpoint *checkpoint, const char *key)
{
    return checkpoint && key ? mtli_safetensors_metadata(checkpoint->file, key) : NULL;
}

int64_t mtl_checkpoint_num_tensors(const mtl_checkpoint *checkpoint)
{
    return checkpoint ? (int64_t)checkpoint->file->count : 0;
}

const char *mtl_checkpoint_tensor_name(const mtl_checkpoint *checkpoint, int64_t index)
{
    bool there = checkpoint && index >= 0 && (uint64_t)index < checkpoint->file->count;
    return there ? checkpoint->file->entries[index].name : NULL;
}

/* The number that was kept beside the text, so that damage to the text shows. */
static mtl_status check_fingerprint(const mtl_checkpoint *checkpoint, const mtl_vocabulary *vocabulary)
{
    const char *kept = mtli_safetensors_metadata(checkpoint->file, MTLI_KEY_FINGERPRINT);
    char text[24];
    snprintf(text, sizeof text, "%016" PRIx64, mtl_vocabulary_fingerprint(vocabulary));
    if (kept && strcmp(kept, text) != 0) {
        return mtli_fail(checkpoint->context, MTL_ERROR_FORMAT,
                         "%s: the vocabulary has the fingerprint %s, not %.16s as noted when it was saved",
                         mtli_shown_path(checkpoint->file->path), text, kept);
    }
    return MTL_OK;
}

mtl_status mtli_checkpoint_vocabulary(const mtl_checkpoint *checkpoint, mtl_vocabulary **out)
{
    mtl_context *context = checkpoint->context;
    const char *text = mtli_safetensors_metadata(checkpoint->file, MTLI_KEY_VOCABULARY);
    if (!text) {
        return mtli_fail(context, MTL_ERROR_STATE, "%s: holds no vocabulary", mtli_shown_path(checkpoint->file->path));
    }
    mtl_vocabulary *vocabulary = NULL;
    mtl_status status = mtli_vocabulary_parse(context, checkpoint->file->path, text, strlen(text), &vocabulary);
    if (status == MTL_OK) {
        status = check_fingerprint(checkpoint, vocabulary);
    }
    if (status != MTL_OK) {
        mtl_vocabulary_release(vocabulary);
        return status;
    }
    *out = vocabulary;
    return MTL_OK;
}

mtl_status mtl_checkpoint_vocabulary(mtl_checkpoint *checkpoint, mtl_vocabulary **out)
{
    if (!checkpoint) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(checkpoint->context);
    MTLI_REQUIRE(checkpoint->context, out);
    return mtli_checkpoint_vocabulary(checkpoint, out);
}
