/* SPDX-License-Identifier: Apache-2.0
 * Loading the parameters of a model: everything is compared first, then read aside, then copied, so that a model is
 * never half loaded. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "checkpoint/checkpoint.h"
#include "io/utf8.h"
#include "tensor/tensor.h"

static bool same_entry_shape(const mtli_safetensors *file, const mtli_safetensors_entry *entry,
                             const mtl_tensor *tensor)
{
    return entry->ndim == tensor->shape.ndim &&
           memcmp(file->dims + entry->first_dim, tensor->shape.dims, (size_t)entry->ndim * sizeof(int64_t)) == 0;
}

static mtl_status fail_entry_shape(const mtli_safetensors *file, const mtli_safetensors_entry *entry,
                                   const mtl_tensor *tensor)
{
    char wanted[MTLI_SHAPE_TEXT];
    char found[MTLI_SHAPE_TEXT];
    size_t used = 0;
    found[0] = '\0';
    for (int32_t i = 0; i < entry->ndim && used + 24 < sizeof found; i++) {
        used += (size_t)snprintf(found + used, sizeof found - used, "%s%" PRId64, i ? ", " : "",
                                 file->dims[entry->first_dim + (size_t)i]);
    }
    return mtli_fail(file->context, MTL_ERROR_SHAPE, "%s: tensor '%.100s' has the shape [%s], the model's has %s",
                     mtli_shown_path(file->path), entry->name, found, mtli_shape_text(&tensor->shape, wanted));
}

/* One parameter of the model against the file. */
static mtl_status check_parameter(const mtli_safetensors *file, const char *name, const mtl_tensor *tensor,
                                  const mtl_load_options *options)
{
    const mtli_safetensors_entry *entry = mtli_safetensors_find(file, name);
    if (!entry) {
        return options->allow_missing ? MTL_OK
                                      : mtli_fail(file->context, MTL_ERROR_FORMAT, "%s: has no tensor '%.150s'",
                                                  mtli_shown_path(file->path), name);
    }
    if (!mtli_safetensors_is_real(entry->dtype)) {
        return mtli_fail(file->context, MTL_ERROR_DTYPE, "%s: tensor '%.150s' is %s, not F32, F64, F16 or BF16",
                         mtli_shown_path(file->path), name, mtli_safetensors_dtype_name(entry->dtype));
    }
    return same_entry_shape(file, entry, tensor) ? MTL_OK : fail_entry_shape(file, entry, tensor);
}

mtl_status mtli_checkpoint_check(const mtl_checkpoint *checkpoint, mtl_model *model, int64_t first,
                                 const mtl_load_options *options)
{
    mtl_status status = MTL_OK;
    for (int64_t i = first; i < mtl_model_num_parameters(model) && status == MTL_OK; i++) {
        status = check_parameter(checkpoint->file, mtl_model_parameter_name(model, i), mtl_model_parameter(model, i),
                                 options);
    }
    return status;
}

static mtl_status check_extra(const mtli_safetensors *file, mtl_model *model, const mtl_load_options *options)
{
    for (size_t i = 0; i < file->count && !options->allow_extra; i++) {
        const char *name = file->entries[i].name;
        if (!mtli_is_reserved(name) && !mtl_model_find_parameter(model, name)) {
            char shown[MTLI_SHOWN_TEXT];
            return mtli_fail(file->context, MTL_ERROR_FORMAT, "%s: tensor '%s' is no parameter of the model",
                             mtli_shown_path(file->path), mtli_shown_text(name, strlen(name), shown));
        }
    }
    return MTL_OK;
}

static mtl_status check_vocabulary(const mtl_checkpoint *checkpoint, const mtl_vocabulary *wanted)
{
    const mtli_safetensors *file = checkpoint->file;
    if (!wanted) {
        return MTL_OK;
    }
    if (!mtli_safetensors_metadata(file, MTLI_KEY_VOCABULARY)) {
        return mtli_fail(file->context, MTL_ERROR_FORMAT, "%s: holds no vocabulary to compare with options->vocabulary",
                         mtli_shown_path(file->path));
    }
    mtl_vocabulary *found = NULL;
    mtl_status status = mtli_checkpoint_vocabulary(checkpoint, &found);
    if (status != MTL_OK) {
        return status;
    }
    uint64_t a = mtl_vocabulary_fingerprint(found);
    uint64_t b = mtl_vocabulary_fingerprint(wanted);
    if (a != b) {
        status = mtli_fail(file->context, MTL_ERROR_FORMAT,
                           "%s: has another vocabulary: %" PRId64 " entries, fingerprint %016" PRIx64
                           "; options->vocabulary has %" PRId64 " entries, fingerprint %016" PRIx64,
                           mtli_shown_path(file->path), mtl_vocabulary_size(found), a, mtl_vocabulary_size(wanted), b);
    }
    mtl_vocabulary_release(found);
    return status;
}

/* ---- reading and copying ---- */

/* Goes over the parameters that the file has, each with its part of the staging block. */
static mtl_status check_finite(const mtli_safetensors *file, const char *name, const mtli_real *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            return mtli_fail(file->context, MTL_ERROR_NUMERIC, "%s: value %" PRId64 " of tensor '%s' is %g",
                             mtli_shown_path(file->path), i, name, (double)values[i]);
        }
    }
    return MTL_OK;
}

static mtl_status read_parameters(const mtli_safetensors *file, mtl_model *model, bool finite, mtli_real *staging)
{
    for (int64_t i = 0; i < mtl_model_num_parameters(model); i++) {
        const mtli_safetensors_entry *entry = mtli_safetensors_find(file, mtl_model_parameter_name(model, i));
        if (entry) {
            int64_t size = mtl_model_parameter(model, i)->size;
            mtl_status status = mtli_safetensors_read_real(file, entry, staging);
            if (status == MTL_OK && finite) {
                status = check_finite(file, mtl_model_parameter_name(model, i), staging, size);
            }
            if (status != MTL_OK) {
                return status;
            }
            staging += size;
        }
    }
    return MTL_OK;
}

static void copy_parameters(const mtli_safetensors *file, mtl_model *model, const mtli_real *staging)
{
    for (int64_t i = 0; i < mtl_model_num_parameters(model); i++) {
        if (mtli_safetensors_find(file, mtl_model_parameter_name(model, i))) {
            mtl_tensor *tensor = mtl_model_parameter(model, i);
            memcpy(tensor->data, staging, (size_t)tensor->size * sizeof(mtli_real));
            staging += tensor->size;
        }
    }
}

mtl_status mtli_checkpoint_stage(const mtl_checkpoint *checkpoint, mtl_model *model, const mtl_load_options *options,
                                 mtli_real **staging, size_t *values)
{
    mtl_context *context = checkpoint->context;
    const mtli_safetensors *file = checkpoint->file;
    mtl_status status = check_vocabulary(checkpoint, options->vocabulary);
    if (status == MTL_OK) {
        status = mtli_checkpoint_check(checkpoint, model, 0, options);
    }
    if (status == MTL_OK) {
        status = check_extra(file, model, options);
    }
    if (status != MTL_OK) {
        return status;
    }
    size_t count = (size_t)mtl_model_num_values(model); /* they are in memory, so their bytes do not overflow */
    mtli_real *taken = mtli_allocate_array(context, count, sizeof(mtli_real));
    if (!taken) {
        return context->status;
    }
    status = read_parameters(file, model, !options->allow_nonfinite, taken);
    if (status != MTL_OK) {
        mtli_release(context, taken, count * sizeof(mtli_real));
        return status;
    }
    *staging = taken;
    *values = count;
    return MTL_OK;
}

void mtli_checkpoint_commit(const mtl_checkpoint *checkpoint, mtl_model *model, const mtli_real *staging)
{
    copy_parameters(checkpoint->file, model, staging);
}

mtl_status mtli_checkpoint_load(const mtl_checkpoint *checkpoint, mtl_model *model, const mtl_load_options *options)
{
    mtli_real *staging = NULL;
    size_t values = 0;
    mtl_status status = mtli_checkpoint_stage(checkpoint, model, options, &staging, &values);
    if (status == MTL_OK) {
        mtli_checkpoint_commit(checkpoint, model, staging);
        mtli_release(checkpoint->context, staging, values * sizeof(mtli_real));
    }
    return status;
}

mtl_status mtl_checkpoint_load(mtl_checkpoint *checkpoint, mtl_model *model, const mtl_load_options *options)
{
    if (!checkpoint) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = checkpoint->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, model);
    mtl_load_options known = MTL_LOAD_OPTIONS_INIT;
    mtl_status status = mtli_import_options(context, "options", &known, sizeof known, sizeof known, options);
    if (status == MTL_OK) {
        status = mtli_check_reserved(context, known.reserved0);
    }
    return status == MTL_OK ? mtli_checkpoint_load(checkpoint, model, &known) : status;
}
