/* SPDX-License-Identifier: Apache-2.0
 * Saving a model: the description of its modules as metadata, its parameters as tensors; and the state of its training
 * beside them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/number.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/training.h"
#include "io/buffer.h"
#include "nn/model.h"
#include "tensor/tensor.h"
#include "text/vocabulary.h"

/* Metadata that grows; its strings lie in the arena. */
typedef struct save_state {
    mtl_context *context;
    mtli_arena arena;
    mtli_safetensors_pair *pairs;
    size_t count;
    size_t capacity;
    const char *module; /* whose description is being taken */
} save_state;

static char *join(save_state *state, const char *a, const char *b, const char *c, const char *d)
{
    const char *parts[4] = {a, b, c, d};
    size_t size = 1;
    for (int i = 0; i < 4; i++) {
        size += strlen(parts[i]);
    }
    char *text = mtli_arena_take(&state->arena, size);
    if (text) {
        snprintf(text, size, "%s%s%s%s", a, b, c, d);
    }
    return text;
}

/* Neither string is copied. */
static mtl_status add_pair(save_state *state, const char *key, const char *value)
{
    if (!key || !value) {
        return state->context->status;
    }
    void *pairs = state->pairs;
    mtl_status status =
        mtli_reserve(state->context, &pairs, &state->capacity, state->count + 1, sizeof state->pairs[0]);
    state->pairs = pairs;
    if (status == MTL_OK) {
        state->pairs[state->count++] = (mtli_safetensors_pair){key, value};
    }
    return status;
}

/* ---- modules ---- */

static mtl_status save_text(void *user, const char *key, const char *value)
{
    save_state *state = user;
    return add_pair(state, join(state, MTLI_KEY_MODULE, state->module, ".", key), join(state, value, "", "", ""));
}

static mtl_status save_integer(void *user, const char *key, int64_t value)
{
    char text[MTLI_NUMBER_TEXT];
    snprintf(text, sizeof text, "%" PRId64, value);
    return save_text(user, key, text);
}

static mtl_status save_real(void *user, const char *key, double value)
{
    char text[MTLI_NUMBER_TEXT];
    mtli_format_real(value, text);
    return save_text(user, key, text);
}

static mtl_status add_module(save_state *state, const mtli_model_entry *module)
{
    const mtli_visitor visitor = {state, save_text, save_integer, save_real};
    state->module = module->name;
    mtl_status status = save_text(state, "type", module->encoder ? "encoder" : "head");
    if (status != MTL_OK) {
        return status;
    }
    return module->encoder ? mtli_encoder_describe(module->encoder, &visitor)
                           : mtli_head_describe(module->head, &visitor);
}

static mtl_status add_modules(save_state *state, const mtl_model *model)
{
    char *names = join(state, "", "", "", "");
    for (int32_t i = 0; i < model->num_entries && names; i++) {
        names = join(state, names, i ? " " : "", model->entries[i].name, "");
    }
    mtl_status status = add_pair(state, MTLI_KEY_MODULES, names);
    for (int32_t i = 0; i < model->num_entries && status == MTL_OK; i++) {
        status = add_module(state, &model->entries[i]);
    }
    return status;
}

/* ---- vocabulary and the host's own metadata ---- */

static mtl_status add_vocabulary(save_state *state, const mtl_vocabulary *vocabulary)
{
    char *text = NULL;
    size_t size = 0;
    char fingerprint[24];
    if (!vocabulary) {
        return MTL_OK;
    }
    mtl_status status = mtli_vocabulary_format(vocabulary, &text, &size);
    if (status != MTL_OK) {
        return mtli_fail_text(state->context, status, mtl_context_last_error(vocabulary->context));
    }
    char *copy = mtli_arena_take(&state->arena, size + 1);
    if (copy) {
        memcpy(copy, text, size + 1);
    }
    mtli_release(vocabulary->context, text, size + 1);
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, mtl_vocabulary_fingerprint(vocabulary));
    status = add_pair(state, MTLI_KEY_FINGERPRINT, join(state, fingerprint, "", "", ""));
    return status == MTL_OK ? add_pair(state, MTLI_KEY_VOCABULARY, copy) : status;
}

static mtl_status add_host_metadata(save_state *state, const mtl_save_options *options)
{
    mtl_context *context = state->context;
    if (options->num_metadata < 0) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->num_metadata = %" PRId64 " is negative",
                         options->num_metadata);
    }
    if (options->num_metadata > 0 && (!options->keys || !options->values)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->%s is NULL", options->keys ? "values" : "keys");
    }
    mtl_status status = MTL_OK;
    for (int64_t i = 0; i < options->num_metadata && status == MTL_OK; i++) {
        const char *key = options->keys[i];
        if (!key || !options->values[i]) {
            return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->%s[%" PRId64 "] is NULL", key ? "values" : "keys",
                             i);
        }
        if (mtli_is_reserved(key)) {
            return mtli_fail(context, MTL_ERROR_ARGUMENT,
                             "options->keys[%" PRId64 "] = '%.100s': names that begin with '%s' are the library's", i,
                             key, MTLI_RESERVED_PREFIX);
        }
        status = add_pair(state, key, options->values[i]);
    }
    return status;
}

/* ---- the file ---- */

static mtl_status gather_metadata(save_state *state, const mtl_model *model, const mtl_save_options *options,
                                  const mtli_training *training)
{
    mtl_status status = add_pair(state, MTLI_KEY_FORMAT, MTLI_CHECKPOINT_FORMAT);
    if (status == MTL_OK) {
        status = add_modules(state, model);
    }
    for (size_t i = 0; training && i < training->num_pairs && status == MTL_OK; i++) {
        status = add_pair(state, training->pairs[i].key, training->pairs[i].value);
    }
    if (status == MTL_OK) {
        status = add_host_metadata(state, options);
    }
    return status == MTL_OK ? add_vocabulary(state, options->vocabulary) : status;
}

static void list_parameters(mtl_model *model, mtli_safetensors_tensor *tensors)
{
    size_t count = (size_t)mtl_model_num_parameters(model);
    for (size_t i = 0; i < count; i++) {
        const mtl_tensor *tensor = mtl_model_parameter(model, (int64_t)i);
        tensors[i] = (mtli_safetensors_tensor){
            .name = mtl_model_parameter_name(model, (int64_t)i),
            .dtype = MTLI_SAFETENSORS_REAL,
            .ndim = tensor->shape.ndim,
            .dims = tensor->shape.dims,
            .data = tensor->data,
        };
    }
}

/* Numbers that do not lie in a row are put in one. */
static mtl_status list_training_arrays(mtli_training *training, mtli_safetensors_tensor *tensors)
{
    for (size_t i = 0; i < training->num_arrays; i++) {
        const mtli_state_array *array = &training->arrays[i].is;
        void *gathered = NULL;
        if (!array->data) {
            gathered = mtli_arena_take(&training->arena, mtli_training_bytes(array));
            if (!gathered) {
                return training->context->status;
            }
            array->get(array->self, gathered);
        }
        tensors[i] = (mtli_safetensors_tensor){
            .name = training->arrays[i].name,
            .dtype = mtli_training_dtype(array),
            .ndim = array->dims ? array->ndim : 1,
            .dims = array->dims ? array->dims : &array->count,
            .data = array->data ? array->data : gathered,
        };
    }
    return MTL_OK;
}

static mtl_status add_balancer(mtli_training *training, mtli_safetensors_tensor *tensor)
{
    mtl_context *context = training->context;
    const char *function = context->function;
    uint64_t size = mtl_balancer_state_size(training->balancer);
    int64_t *dims = mtli_arena_take(&training->arena, sizeof *dims);
    void *bytes = dims ? mtli_arena_take(&training->arena, (size_t)size) : NULL;
    if (!bytes) {
        return context->status;
    }
    mtl_status status = mtl_balancer_save_state(training->balancer, bytes, size);
    context->function = function;
    *dims = (int64_t)size;
    *tensor = (mtli_safetensors_tensor){
        .name = MTLI_TRAINING_BALANCER, .dtype = MTLI_SAFETENSORS_U8, .ndim = 1, .dims = dims, .data = bytes};
    return status;
}

static mtl_status list_tensors(save_state *state, mtl_model *model, mtli_training *training,
                               mtli_safetensors_tensor **out, size_t *count)
{
    size_t parameters = (size_t)mtl_model_num_parameters(model);
    size_t arrays = training ? training->num_arrays : 0;
    size_t blobs = training && training->balancer ? 1 : 0;
    mtli_safetensors_tensor *tensors =
        mtli_arena_take_array(&state->arena, parameters + arrays + blobs, sizeof *tensors);
    if (!tensors) {
        return state->context->status;
    }
    list_parameters(model, tensors);
    mtl_status status = training ? list_training_arrays(training, tensors + parameters) : MTL_OK;
    if (status == MTL_OK && blobs > 0) {
        status = add_balancer(training, tensors + parameters + arrays);
    }
    *out = tensors;
    *count = parameters + arrays + blobs;
    return status;
}

/* At last: that of the metadata is of all that comes before it. */
static mtl_status add_checksums(save_state *state, const mtli_safetensors_tensor *tensors, size_t count)
{
    char text[MTLI_CHECKSUM_TEXT];
    mtl_status status = MTL_OK;
    for (size_t i = 0; i < count && status == MTL_OK; i++) {
        mtli_safetensors_checksum_text(mtli_safetensors_checksum(&tensors[i]), text);
        status = add_pair(state, join(state, MTLI_CHECKSUM_OF_TENSOR, tensors[i].name, "", ""),
                          join(state, text, "", "", ""));
    }
    if (status == MTL_OK) {
        mtli_safetensors_checksum_text(mtli_safetensors_checksum_metadata(state->pairs, state->count), text);
        status = add_pair(state, MTLI_CHECKSUM_OF_METADATA, join(state, text, "", "", ""));
    }
    return status;
}

static mtl_status write_checkpoint(const save_state *state, const char *path, const mtli_safetensors_tensor *tensors,
                                   size_t count)
{
    mtli_atomic_file *file = NULL;
    mtl_status status = mtli_atomic_file_open(state->context, path, &file);
    if (status != MTL_OK) {
        return status;
    }
    status = mtli_safetensors_write(state->context, file, tensors, count, state->pairs, state->count);
    if (status != MTL_OK) {
        mtli_atomic_file_abort(file);
        return status;
    }
    return mtli_atomic_file_commit(file);
}

/* `training` may be NULL. */
static mtl_status save_model(mtl_model *model, const char *path, const mtl_save_options *options,
                             mtli_training *training)
{
    save_state state;
    memset(&state, 0, sizeof state);
    state.context = model->context;
    mtli_arena_init(&state.arena, model->context);
    mtli_safetensors_tensor *tensors = NULL;
    size_t count = 0;
    mtl_status status = gather_metadata(&state, model, options, training);
    if (status == MTL_OK) {
        status = list_tensors(&state, model, training, &tensors, &count);
    }
    if (status == MTL_OK) {
        status = add_checksums(&state, tensors, count);
    }
    if (status == MTL_OK) {
        status = write_checkpoint(&state, path, tensors, count);
    }
    mtli_release(model->context, state.pairs, state.capacity * sizeof state.pairs[0]);
    mtli_arena_destroy(&state.arena);
    return status;
}

static mtl_status save_with_training(mtl_model *model, const char *path, const mtl_save_options *options)
{
    mtl_training_state known;
    mtli_training training;
    mtl_status status = mtli_training_import(model, "options->training", options->training, &known);
    if (status != MTL_OK) {
        return status;
    }
    status = mtli_training_list(model->context, &known, &training);
    if (status == MTL_OK) {
        status = save_model(model, path, options, &training);
    }
    mtli_training_release(&training);
    return status;
}

mtl_status mtl_model_save(mtl_model *model, const char *path, const mtl_save_options *options)
{
    if (!model) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = model->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, path);
    mtl_save_options known = MTL_SAVE_OPTIONS_INIT;
    mtl_status status =
        mtli_import_options(context, "options", &known, sizeof known, offsetof(mtl_save_options, training), options);
    if (status == MTL_OK && known.reserved0 != 0) {
        status = mtli_fail(context, MTL_ERROR_UNSUPPORTED, "options->reserved0 = %zu is not 0", known.reserved0);
    }
    if (status != MTL_OK) {
        return status;
    }
    return known.training ? save_with_training(model, path, &known) : save_model(model, path, &known, NULL);
}
