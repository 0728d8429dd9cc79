/* SPDX-License-Identifier: Apache-2.0
 * Taking up the state of training: all that is fixed is compared, all that changes is read aside and checked, then it is
 * put in its place by steps that cannot fail. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "balance/balancer.h"
#include "checkpoint/training.h"
#include "io/utf8.h"
#include "nn/model.h"

typedef struct resumption {
    mtl_context *context;
    const mtl_checkpoint *checkpoint;
    mtl_model *model;
    const mtl_load_options *options;
    mtli_training training;
    void **values; /* of each array; in the arena */
    mtli_real *weights;
    size_t num_weights;
} resumption;

static const char *path_of(const resumption *r)
{
    return mtli_shown_path(r->checkpoint->file->path);
}

/* ---- what is fixed ---- */

static mtl_status check_version(const resumption *r)
{
    const char *format = mtli_safetensors_metadata(r->checkpoint->file, MTLI_KEY_TRAINING);
    char shown[MTLI_SHOWN_TEXT];
    if (!format) {
        return mtli_fail(r->context, MTL_ERROR_STATE, "%s: holds no state of training", path_of(r));
    }
    if (strcmp(format, MTLI_TRAINING_FORMAT) != 0) {
        return mtli_fail(r->context, MTL_ERROR_UNSUPPORTED,
                         "%s: the state of training has the format '%s'; this version knows '%s'", path_of(r),
                         mtli_shown_text(format, strlen(format), shown), MTLI_TRAINING_FORMAT);
    }
    return MTL_OK;
}

static mtl_status compare_fixed(const resumption *r)
{
    for (size_t i = 0; i < r->training.num_pairs; i++) {
        const mtli_safetensors_pair *pair = &r->training.pairs[i];
        const char *saved = mtli_safetensors_metadata(r->checkpoint->file, pair->key);
        char shown[MTLI_SHOWN_TEXT];
        if (!saved) {
            return mtli_fail(r->context, MTL_ERROR_FORMAT, "%s: has no metadata '%.150s'", path_of(r), pair->key);
        }
        if (strcmp(saved, pair->value) != 0) {
            return mtli_fail(r->context, MTL_ERROR_FORMAT, "%s: was saved with %.150s = '%s', here it is '%.60s'",
                             path_of(r), pair->key + sizeof MTLI_TRAINING_PREFIX - 1,
                             mtli_shown_text(saved, strlen(saved), shown), pair->value);
        }
    }
    return MTL_OK;
}

/* ---- tensors ---- */

static bool has_shape(const mtli_safetensors *file, const mtli_safetensors_entry *entry, const mtli_state_array *array)
{
    int32_t ndim = array->dims ? array->ndim : 1;
    const int64_t *dims = array->dims ? array->dims : &array->count;
    return entry->ndim == ndim && memcmp(file->dims + entry->first_dim, dims, (size_t)ndim * sizeof dims[0]) == 0;
}

/* NULL, with the error set, when it is not there or not what it should be. */
static const mtli_safetensors_entry *find_array(const resumption *r, const mtli_training_array *array)
{
    const mtli_safetensors *file = r->checkpoint->file;
    const mtli_safetensors_entry *entry = mtli_safetensors_find(file, array->name);
    mtli_safetensors_dtype dtype = mtli_training_dtype(&array->is);
    if (!entry) {
        mtli_fail(r->context, MTL_ERROR_FORMAT, "%s: has no tensor '%.150s'", path_of(r), array->name);
        return NULL;
    }
    if (entry->dtype != dtype) {
        mtli_fail(r->context, MTL_ERROR_DTYPE, "%s: tensor '%.150s' is %s, not %s", path_of(r), array->name,
                  mtli_safetensors_dtype_name(entry->dtype), mtli_safetensors_dtype_name(dtype));
        return NULL;
    }
    if (!has_shape(file, entry, &array->is)) {
        mtli_fail(r->context, MTL_ERROR_SHAPE,
                  "%s: tensor '%.150s' has %zu values, here there are %" PRId64 ", or its shape is another", path_of(r),
                  array->name, mtli_safetensors_size(file, entry), array->is.count);
        return NULL;
    }
    return entry;
}

static bool is_of_training(const char *name)
{
    return strncmp(name, MTLI_TRAINING_PREFIX, sizeof MTLI_TRAINING_PREFIX - 1) == 0;
}

static bool is_listed(const resumption *r, const char *name)
{
    bool found = r->training.balancer && strcmp(name, MTLI_TRAINING_BALANCER) == 0;
    for (size_t i = 0; i < r->training.num_arrays && !found; i++) {
        found = strcmp(r->training.arrays[i].name, name) == 0;
    }
    return found;
}

/* All that is listed was found, and names are unique: when the numbers agree there is nothing else. */
static mtl_status check_nothing_else(const resumption *r)
{
    const mtli_safetensors *file = r->checkpoint->file;
    size_t there = 0;
    for (size_t i = 0; i < file->count; i++) {
        const char *name = file->entries[i].name;
        there += is_of_training(name) && !mtl_model_find_parameter(r->model, name);
    }
    for (size_t i = 0; i < file->count && there > r->training.num_arrays + (r->training.balancer != NULL); i++) {
        const char *name = file->entries[i].name;
        if (is_of_training(name) && !mtl_model_find_parameter(r->model, name) && !is_listed(r, name)) {
            char shown[MTLI_SHOWN_TEXT];
            return mtli_fail(r->context, MTL_ERROR_FORMAT, "%s: tensor '%s' is the state of nothing in training",
                             path_of(r), mtli_shown_text(name, strlen(name), shown));
        }
    }
    return MTL_OK;
}

static double value_of(const mtli_state_array *array, const void *values, int64_t index)
{
    return array->type == MTLI_STATE_REAL ? (double)((const mtli_real *)values)[index]
                                          : ((const double *)values)[index];
}

static mtl_status check_values(const resumption *r, const mtli_training_array *array, const void *values)
{
    const mtli_state_array *is = &array->is;
    bool numbers = is->type == MTLI_STATE_REAL || is->type == MTLI_STATE_DOUBLE;
    bool finite = numbers && !is->may_be_nonfinite && !r->options->allow_nonfinite;
    for (int64_t i = 0; i < is->count && finite; i++) {
        double value = value_of(is, values, i);
        if (!isfinite(value)) {
            return mtli_fail(r->context, MTL_ERROR_NUMERIC, "%s: value %" PRId64 " of tensor '%.150s' is %g",
                             path_of(r), i, array->name, value);
        }
    }
    const char *fault = is->fault ? is->fault(is->self, values, is->count) : NULL;
    return fault ? mtli_fail(r->context, MTL_ERROR_FORMAT, "%s: tensor '%.150s' %s", path_of(r), array->name, fault)
                 : MTL_OK;
}

static mtl_status read_array(const resumption *r, const mtli_training_array *array, void *values)
{
    const mtli_safetensors_entry *entry = find_array(r, array);
    size_t bytes = mtli_training_bytes(&array->is);
    mtl_status status = entry ? mtli_safetensors_read_bytes(r->checkpoint->file, entry, values) : r->context->status;
    if (status == MTL_OK && mtli_host_is_big_endian() && bytes > 0) {
        mtli_swap_bytes(values, (size_t)array->is.count, bytes / (size_t)array->is.count);
    }
    return status == MTL_OK ? check_values(r, array, values) : status;
}

static mtl_status read_arrays_of_training(resumption *r)
{
    mtli_training *training = &r->training;
    r->values = mtli_arena_take_array(&training->arena, training->num_arrays, sizeof r->values[0]);
    if (!r->values) {
        return r->context->status;
    }
    mtl_status status = MTL_OK;
    for (size_t i = 0; i < training->num_arrays && status == MTL_OK; i++) {
        r->values[i] = mtli_arena_take(&training->arena, mtli_training_bytes(&training->arrays[i].is));
        status = r->values[i] ? read_array(r, &training->arrays[i], r->values[i]) : r->context->status;
    }
    return status;
}

/* ---- the balancer, the last that may fail: it changes as a whole or not at all ---- */

static mtl_status blame_tensor(const resumption *r, const char *function, mtl_status status)
{
    char reason[MTLI_MESSAGE_SIZE];
    size_t prefix = strlen(r->context->function) + 2;
    size_t length = strlen(r->context->message);
    snprintf(reason, sizeof reason, "%s", length > prefix ? r->context->message + prefix : r->context->message);
    r->context->function = function;
    return mtli_fail(r->context, status, "%s: tensor '%s': %.250s", path_of(r), MTLI_TRAINING_BALANCER, reason);
}

static mtl_status load_balancer(resumption *r, int32_t tasks)
{
    const mtli_safetensors_entry *entry = mtli_safetensors_find(r->checkpoint->file, MTLI_TRAINING_BALANCER);
    if (!entry || entry->dtype != MTLI_SAFETENSORS_U8) {
        mtli_fail(r->context, entry ? MTL_ERROR_DTYPE : MTL_ERROR_FORMAT, "%s: has no tensor '%s' of bytes", path_of(r),
                  MTLI_TRAINING_BALANCER);
        return r->context->status;
    }
    size_t size = (size_t)(entry->end - entry->begin);
    unsigned char *bytes = mtli_arena_take(&r->training.arena, size);
    mtl_status status = bytes ? mtli_safetensors_read_bytes(r->checkpoint->file, entry, bytes) : r->context->status;
    if (status == MTL_OK) {
        int32_t saved = mtli_balancer_state_tasks(bytes, size);
        if (saved != 0 && saved != tasks) {
            return mtli_fail(r->context, MTL_ERROR_FORMAT, "%s: tensor '%s' is no state of %d tasks", path_of(r),
                             MTLI_TRAINING_BALANCER, tasks);
        }
        const char *function = r->context->function;
        status = mtl_balancer_load_state(r->training.balancer, bytes, size);
        if (status == MTL_ERROR_FORMAT) {
            status = blame_tensor(r, function, status);
        }
        r->context->function = function;
    }
    return status;
}

/* ---- all ---- */

static mtl_status check_and_read(resumption *r, const mtl_training_state *state)
{
    mtl_status status = check_version(r);
    if (status == MTL_OK) {
        status = mtli_training_list(r->context, state, &r->training);
    }
    if (status == MTL_OK) {
        status = compare_fixed(r);
    }
    if (status == MTL_OK) {
        status = mtli_checkpoint_stage(r->checkpoint, r->model, r->options, &r->weights, &r->num_weights);
    }
    if (status == MTL_OK) {
        status = read_arrays_of_training(r);
    }
    return status == MTL_OK && !state->leave_out ? check_nothing_else(r) : status;
}

static void put_all(resumption *r)
{
    mtli_checkpoint_commit(r->checkpoint, r->model, r->weights);
    for (size_t i = 0; i < r->training.num_arrays; i++) {
        const mtli_state_array *array = &r->training.arrays[i].is;
        if (array->data) {
            memcpy(array->data, r->values[i], mtli_training_bytes(array));
        } else {
            array->put(array->self, r->values[i]);
        }
    }
}

static mtl_status resume(resumption *r, const mtl_training_state *state)
{
    mtl_status status = check_and_read(r, state);
    if (status == MTL_OK && r->training.balancer) {
        status = load_balancer(r, mtl_objective_num_tasks(state->objective));
    }
    if (status == MTL_OK) {
        put_all(r);
    }
    mtli_release(r->context, r->weights, r->num_weights * sizeof(mtli_real));
    if (r->training.context) {
        mtli_training_release(&r->training);
    }
    return status;
}

mtl_status mtl_checkpoint_resume(mtl_checkpoint *checkpoint, mtl_model *model, const mtl_training_state *training,
                                 const mtl_load_options *options)
{
    if (!checkpoint) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = checkpoint->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, model);
    MTLI_REQUIRE(context, training);
    mtl_load_options known = MTL_LOAD_OPTIONS_INIT;
    mtl_training_state state;
    mtl_status status = mtli_import_options(context, "options", &known, sizeof known, sizeof known, options);
    if (status == MTL_OK) {
        status = mtli_check_reserved(context, known.reserved0);
    }
    if (status == MTL_OK && model->context != context) {
        status = mtli_fail(context, MTL_ERROR_ARGUMENT, "model belongs to another context");
    }
    if (status == MTL_OK) {
        status = mtli_training_import(model, "training", training, &state);
    }
    if (status != MTL_OK) {
        return status;
    }
    resumption r = {.context = context, .checkpoint = checkpoint, .model = model, .options = &known};
    return resume(&r, &state);
}
