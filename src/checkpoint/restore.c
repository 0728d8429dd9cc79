/* SPDX-License-Identifier: Apache-2.0
 * Building a model anew from a file's metadata, which may be hostile: it gets only as much memory as the tensors that
 * the file really holds can fill. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "checkpoint/checkpoint.h"
#include "io/utf8.h"
#include "nn/model.h"

/* Names are at most 63 bytes; keys of descriptions are short. */
enum { MODULE_NAME_SIZE = 64, KEY_SIZE = 160, MEMORY_SLACK = 1 << 20 };

/* ---- a description as the modules look it up ---- */

typedef struct module_lookup {
    const mtl_checkpoint *checkpoint;
    const char *module;
} module_lookup;

static const char *look_up_text(void *user, const char *key)
{
    const module_lookup *lookup = user;
    char name[KEY_SIZE];
    int length = snprintf(name, sizeof name, "%s%s.%s", MTLI_KEY_MODULE, lookup->module, key);
    return length < KEY_SIZE ? mtli_safetensors_metadata(lookup->checkpoint->file, name) : NULL;
}

static mtl_status fail_value(const module_lookup *lookup, const char *key, const char *text, const char *wanted)
{
    char shown[MTLI_SHOWN_TEXT];
    return mtli_fail(lookup->checkpoint->context, MTL_ERROR_FORMAT, "metadata '%s%s.%s' %s%s%s", MTLI_KEY_MODULE,
                     lookup->module, key, text ? "is not " : "is missing: ", wanted,
                     text ? mtli_shown_text(text, strlen(text), shown) : "");
}

static mtl_status look_up_integer(void *user, const char *key, int64_t *value)
{
    const module_lookup *lookup = user;
    const char *text = look_up_text(user, key);
    bool read = text && mtli_parse_integer(text, strlen(text), value);
    return read ? MTL_OK : fail_value(lookup, key, text, "an integer: ");
}

static mtl_status look_up_real(void *user, const char *key, double *value)
{
    const module_lookup *lookup = user;
    const char *text = look_up_text(user, key);
    bool read = text && mtli_parse_real(text, strlen(text), value);
    return read ? MTL_OK : fail_value(lookup, key, text, "a finite number: ");
}

/* ---- memory for what the file can fill ---- */

/* Twice the values of the module's tensors, and some for names and structures. */
static uint64_t memory_for_module(const mtli_safetensors *file, const char *module)
{
    size_t length = strlen(module);
    uint64_t bytes = 0;
    for (size_t i = 0; i < file->count; i++) {
        const mtli_safetensors_entry *entry = &file->entries[i];
        if (strncmp(entry->name, module, length) == 0 && entry->name[length] == '.') {
            bytes += (uint64_t)mtli_safetensors_size(file, entry) * sizeof(mtli_real) + 1024;
        }
    }
    return 2 * bytes + MEMORY_SLACK;
}

typedef mtl_status (*module_maker)(const mtl_checkpoint *checkpoint, const char *name, mtl_model *model);

/* Calls make(checkpoint, name, model) with a limit to the context's memory: a configuration that lies about its sizes gets
 * no more than the file could fill. */
static mtl_status make_within_budget(module_maker make, const mtl_checkpoint *checkpoint, const char *name,
                                     mtl_model *model)
{
    mtl_context *context = checkpoint->context;
    uint64_t usual = context->max_bytes;
    uint64_t limit =
        atomic_load_explicit(&context->bytes, memory_order_relaxed) + memory_for_module(checkpoint->file, name);
    bool tighter = usual == 0 || limit < usual;
    context->max_bytes = tighter ? limit : usual;
    context->limit_reached = false;
    mtl_status status = make(checkpoint, name, model);
    context->max_bytes = usual;
    if (status == MTL_ERROR_MEMORY && tighter && context->limit_reached) {
        return mtli_fail(context, MTL_ERROR_FORMAT,
                         "%s: the configuration of module '%s' asks for more values than the file holds",
                         mtli_shown_path(checkpoint->file->path), name);
    }
    return status;
}

/* ---- modules ---- */

/* Options that a constructor refused were not the caller's but the file's. And messages bear the name of the function
 * that the caller called. */
static mtl_status blame_file(const mtl_checkpoint *checkpoint, const char *name, mtl_status status)
{
    mtl_context *context = checkpoint->context;
    char reason[MTLI_MESSAGE_SIZE];
    const char *inner = context->function;
    context->function = "mtl_checkpoint_restore";
    if (status != MTL_ERROR_ARGUMENT && status != MTL_ERROR_LIMIT && status != MTL_ERROR_FORMAT) {
        return status;
    }
    size_t prefix = strlen(inner) + 2;
    size_t length = strlen(context->message);
    snprintf(reason, sizeof reason, "%s", length > prefix ? context->message + prefix : context->message);
    return mtli_fail(context, MTL_ERROR_FORMAT, "%s: module '%s': %.200s", mtli_shown_path(checkpoint->file->path),
                     name, reason);
}

static mtl_status make_encoder(const mtl_checkpoint *checkpoint, const char *name, mtl_model *model)
{
    module_lookup user = {checkpoint, name};
    const mtli_lookup lookup = {&user, look_up_text, look_up_integer, look_up_real};
    mtl_encoder *encoder = NULL;
    mtl_status status = mtli_encoder_restore(checkpoint->context, &lookup, &encoder);
    if (status == MTL_OK) {
        status = mtl_model_add_encoder(model, name, encoder);
    }
    mtl_encoder_release(encoder);
    return blame_file(checkpoint, name, status);
}

static mtl_status make_head(const mtl_checkpoint *checkpoint, const char *name, mtl_model *model)
{
    module_lookup user = {checkpoint, name};
    const mtli_lookup lookup = {&user, look_up_text, look_up_integer, look_up_real};
    mtl_head *head = NULL;
    mtl_status status = mtli_head_restore(checkpoint->context, &lookup, &head);
    if (status == MTL_OK) {
        status = mtl_model_add_head(model, name, head);
    }
    mtl_head_release(head);
    return blame_file(checkpoint, name, status);
}

static mtl_status make_module(const mtl_checkpoint *checkpoint, const char *name, mtl_model *model)
{
    module_lookup user = {checkpoint, name};
    const char *type = look_up_text(&user, "type");
    bool encoder = type && strcmp(type, "encoder") == 0;
    if (!encoder && (!type || strcmp(type, "head") != 0)) {
        return mtli_fail(checkpoint->context, MTL_ERROR_FORMAT, "%s: module '%s' is neither an encoder nor a head",
                         mtli_shown_path(checkpoint->file->path), name);
    }
    int64_t first = mtl_model_num_parameters(model);
    const mtl_load_options options = MTL_LOAD_OPTIONS_INIT;
    mtl_status status = make_within_budget(encoder ? make_encoder : make_head, checkpoint, name, model);
    /* At once, so that not every one of many modules may ask for a little too much. */
    return status == MTL_OK ? mtli_checkpoint_check(checkpoint, model, first, &options) : status;
}

static mtl_status make_modules(const mtl_checkpoint *checkpoint, const char *names, mtl_model *model)
{
    mtl_status status = MTL_OK;
    while (*names && status == MTL_OK) {
        char name[MODULE_NAME_SIZE];
        size_t length = strcspn(names, " ");
        if (length == 0 || length >= sizeof name) {
            return mtli_fail(checkpoint->context, MTL_ERROR_FORMAT, "%s: metadata '%s' is not a list of names",
                             mtli_shown_path(checkpoint->file->path), MTLI_KEY_MODULES);
        }
        memcpy(name, names, length);
        name[length] = '\0';
        names += length + (names[length] == ' ');
        status = make_module(checkpoint, name, model);
    }
    return status;
}

static mtl_status check_format(const mtl_checkpoint *checkpoint, const char **modules)
{
    const mtli_safetensors *file = checkpoint->file;
    const char *format = mtli_safetensors_metadata(file, MTLI_KEY_FORMAT);
    *modules = mtli_safetensors_metadata(file, MTLI_KEY_MODULES);
    if (!format || !*modules) {
        return mtli_fail(file->context, MTL_ERROR_STATE,
                         "%s: holds no configuration: assemble the model and load the file into it",
                         mtli_shown_path(file->path));
    }
    if (strcmp(format, MTLI_CHECKPOINT_FORMAT) != 0) {
        char shown[MTLI_SHOWN_TEXT];
        return mtli_fail(file->context, MTL_ERROR_UNSUPPORTED, "%s: has the format '%s'; this version knows '%s'",
                         mtli_shown_path(file->path), mtli_shown_text(format, strlen(format), shown),
                         MTLI_CHECKPOINT_FORMAT);
    }
    return MTL_OK;
}

mtl_status mtl_checkpoint_restore(mtl_checkpoint *checkpoint, mtl_model **out)
{
    if (!checkpoint) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = checkpoint->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, out);
    const char *modules;
    const mtl_load_options options = MTL_LOAD_OPTIONS_INIT;
    mtl_model *model = NULL;
    mtl_status status = check_format(checkpoint, &modules);
    if (status == MTL_OK) {
        status = mtl_model_create(context, NULL, &model);
        context->function = __func__;
    }
    if (status == MTL_OK) {
        status = make_modules(checkpoint, modules, model);
    }
    if (status == MTL_OK) {
        status = mtli_checkpoint_load(checkpoint, model, &options);
    }
    if (status != MTL_OK) {
        mtl_model_destroy(model);
        return status;
    }
    *out = model;
    return MTL_OK;
}
