/* SPDX-License-Identifier: Apache-2.0
 * The registry of modules, and the names of their parameters. */
#include "nn/model.h"

#include <string.h>

#include "autograd/gradients.h"

mtl_status mtl_model_create(mtl_context *context, const mtl_model_options *options, mtl_model **out)
{
    if (!context) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(context);
    MTLI_REQUIRE(context, out);
    mtl_model_options known = MTL_MODEL_OPTIONS_INIT;
    mtl_status status = mtli_import_options(context, "options", &known, sizeof known, sizeof known, options);
    if (status != MTL_OK) {
        return status;
    }
    mtl_model *model = mtli_allocate_zeroed(context, sizeof *model);
    if (!model) {
        return context->status;
    }
    model->context = mtl_context_retain(context);
    mtli_refcount_init(&model->refs);
    *out = model;
    return MTL_OK;
}

static void release_names(mtl_context *context, mtli_model_entry *entry)
{
    size_t count = (size_t)entry->parameters->count;
    for (size_t i = 0; entry->parameter_names && i < count; i++) {
        mtli_release_string(context, entry->parameter_names[i]);
    }
    mtli_release(context, entry->parameter_names, count * sizeof entry->parameter_names[0]);
}

mtl_model *mtli_model_retain(mtl_model *model)
{
    mtli_refcount_retain(&model->refs);
    return model;
}

void mtl_model_destroy(mtl_model *model)
{
    if (!model || !mtli_refcount_release(&model->refs)) {
        return;
    }
    mtl_context *context = model->context;
    for (int32_t i = 0; i < model->num_entries; i++) {
        mtli_model_entry *entry = &model->entries[i];
        release_names(context, entry);
        mtl_encoder_release(entry->encoder);
        mtl_head_release(entry->head);
    }
    mtli_release(context, model->entries, model->capacity * sizeof model->entries[0]);
    mtli_release(context, model, sizeof *model);
    mtl_context_release(context);
}

static bool name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static mtl_status check_name(mtl_model *model, const char *name)
{
    mtl_context *context = model->context;
    size_t length = strlen(name);
    bool good = length > 0 && length < MTLI_NAME_SIZE;
    for (size_t i = 0; i < length && good; i++) {
        good = name_character(name[i]);
    }
    if (!good) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "name '%.80s' is not 1 to %d letters, digits, '_' or '-'", name,
                         MTLI_NAME_SIZE - 1);
    }
    for (int32_t i = 0; i < model->num_entries; i++) {
        if (strcmp(model->entries[i].name, name) == 0) {
            return mtli_fail(context, MTL_ERROR_ARGUMENT, "name '%s' is taken", name);
        }
    }
    return MTL_OK;
}

static mtl_status make_names(mtl_context *context, mtli_model_entry *entry)
{
    size_t count = (size_t)entry->parameters->count;
    entry->parameter_names = mtli_allocate_zeroed(context, count * sizeof entry->parameter_names[0]);
    if (!entry->parameter_names) {
        return context->status;
    }
    size_t prefix = strlen(entry->name);
    for (size_t i = 0; i < count; i++) {
        const char *own = entry->parameters->list[i].name;
        char *name = mtli_allocate(context, prefix + 1 + strlen(own) + 1);
        if (!name) {
            return context->status;
        }
        memcpy(name, entry->name, prefix);
        name[prefix] = '.';
        memcpy(name + prefix + 1, own, strlen(own) + 1);
        entry->parameter_names[i] = name;
    }
    return MTL_OK;
}

static mtl_status add_module(mtl_model *model, const char *name, mtl_encoder *encoder, mtl_head *head)
{
    mtl_context *context = model->context;
    mtli_parameters *parameters = encoder ? encoder->parameters : head->parameters;
    mtl_status status = check_name(model, name);
    for (int32_t i = 0; i < model->num_entries && status == MTL_OK; i++) {
        if (model->entries[i].parameters == parameters) {
            status = mtli_fail(context, MTL_ERROR_ARGUMENT, "'%s' is in the model already, as '%s'", name,
                               model->entries[i].name);
        }
    }
    if (status == MTL_OK && parameters->context != context) {
        status = mtli_fail(context, MTL_ERROR_ARGUMENT, "'%s' belongs to another context", name);
    }
    if (status == MTL_OK && model->sealed) {
        status = mtli_fail(context, MTL_ERROR_STATE, "'%s' comes after gradients or an optimizer were made", name);
    }
    void *entries = model->entries;
    if (status == MTL_OK) {
        status =
            mtli_reserve(context, &entries, &model->capacity, (size_t)model->num_entries + 1, sizeof model->entries[0]);
        model->entries = entries;
    }
    if (status != MTL_OK) {
        return status;
    }
    mtli_model_entry *entry = &model->entries[model->num_entries];
    memset(entry, 0, sizeof *entry);
    memcpy(entry->name, name, strlen(name) + 1);
    entry->parameters = parameters;
    status = make_names(context, entry);
    if (status != MTL_OK) {
        release_names(context, entry);
        return status;
    }
    entry->encoder = mtl_encoder_retain(encoder);
    entry->head = mtl_head_retain(head);
    model->num_entries++;
    model->num_parameters += parameters->count;
    for (int32_t i = 0; i < parameters->count; i++) {
        model->num_values += parameters->list[i].tensor.size;
    }
    return MTL_OK;
}

mtl_status mtl_model_add_encoder(mtl_model *model, const char *name, mtl_encoder *encoder)
{
    if (!model) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(model->context);
    MTLI_REQUIRE(model->context, name);
    MTLI_REQUIRE(model->context, encoder);
    return add_module(model, name, encoder, NULL);
}

mtl_status mtl_model_add_head(mtl_model *model, const char *name, mtl_head *head)
{
    if (!model) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(model->context);
    MTLI_REQUIRE(model->context, name);
    MTLI_REQUIRE(model->context, head);
    return add_module(model, name, NULL, head);
}

static mtli_model_entry *find_entry(mtl_model *model, const char *name)
{
    for (int32_t i = 0; model && name && i < model->num_entries; i++) {
        if (strcmp(model->entries[i].name, name) == 0) {
            return &model->entries[i];
        }
    }
    return NULL;
}

mtl_encoder *mtl_model_encoder(mtl_model *model, const char *name)
{
    mtli_model_entry *entry = find_entry(model, name);
    return entry ? entry->encoder : NULL;
}

mtl_head *mtl_model_head(mtl_model *model, const char *name)
{
    mtli_model_entry *entry = find_entry(model, name);
    return entry ? entry->head : NULL;
}

int64_t mtl_model_num_parameters(const mtl_model *model)
{
    return model ? model->num_parameters : 0;
}

int64_t mtl_model_num_values(const mtl_model *model)
{
    return model ? model->num_values : 0;
}

/* The entry that holds the parameter at a position, which becomes the position inside it. */
static mtli_model_entry *locate(const mtl_model *model, int64_t *index)
{
    for (int32_t i = 0; model && *index >= 0 && i < model->num_entries; i++) {
        if (*index < model->entries[i].parameters->count) {
            return &model->entries[i];
        }
        *index -= model->entries[i].parameters->count;
    }
    return NULL;
}

mtl_tensor *mtl_model_parameter(mtl_model *model, int64_t index)
{
    mtli_model_entry *entry = locate(model, &index);
    return entry ? &entry->parameters->list[index].tensor : NULL;
}

const char *mtl_model_parameter_name(const mtl_model *model, int64_t index)
{
    const mtli_model_entry *entry = locate(model, &index);
    return entry ? entry->parameter_names[index] : NULL;
}

mtl_tensor *mtl_model_find_parameter(mtl_model *model, const char *name)
{
    for (int32_t i = 0; model && name && i < model->num_entries; i++) {
        mtli_model_entry *entry = &model->entries[i];
        size_t prefix = strlen(entry->name);
        if (strncmp(name, entry->name, prefix) == 0 && name[prefix] == '.') {
            return mtli_parameters_find(entry->parameters, name + prefix + 1);
        }
    }
    return NULL;
}

void mtli_model_seal(mtl_model *model)
{
    model->sealed = true;
}

int64_t mtli_model_index(const mtl_model *model, const mtl_tensor *parameter)
{
    int64_t before = 0;
    for (int32_t i = 0; parameter && i < model->num_entries; i++) {
        if (model->entries[i].parameters == parameter->parameters) {
            return before + parameter->index;
        }
        before += model->entries[i].parameters->count;
    }
    return -1;
}

bool mtli_model_has_encoder(const mtl_model *model, const mtl_encoder *encoder)
{
    for (int32_t i = 0; i < model->num_entries; i++) {
        if (model->entries[i].encoder == encoder) {
            return true;
        }
    }
    return false;
}

mtli_parameters **mtli_model_blocks(mtl_model *model)
{
    mtli_parameters **blocks = mtli_allocate_array(model->context, (size_t)model->num_entries, sizeof blocks[0]);
    for (int32_t i = 0; blocks && i < model->num_entries; i++) {
        blocks[i] = model->entries[i].parameters;
    }
    return blocks;
}

mtl_status mtl_gradients_create(mtl_model *model, mtl_gradients **out)
{
    if (!model) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = model->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, out);
    mtli_parameters **blocks = mtli_model_blocks(model);
    if (!blocks) {
        return context->status;
    }
    mtl_status status = mtli_gradients_create(context, blocks, model->num_entries, out);
    mtli_release(context, blocks, (size_t)model->num_entries * sizeof blocks[0]);
    if (status == MTL_OK) {
        mtli_model_seal(model);
    }
    return status;
}
