/* SPDX-License-Identifier: Apache-2.0
 * The list of what a training run remembers, gathered from all that takes part in it. */
#include "checkpoint/training.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "balance/balancer.h"
#include "base/number.h"
#include "multitask/state.h"
#include "nn/model.h"
#include "optim/optimizer.h"
#include "text/sampler.h"

enum { MOST_NAMED = 65536, LONGEST_NAME = 63, TRAINING_KEY_SIZE = 128 };

/* ---- checks of what the host gave ---- */

static mtl_status check_objective(const mtl_model *model, const char *name, const mtl_objective *objective)
{
    if (!objective) {
        return MTL_OK;
    }
    if (objective->model != model) {
        return mtli_fail(model->context, MTL_ERROR_ARGUMENT, "%s->objective is over another model", name);
    }
    return mtli_objective_check_idle(objective);
}

static mtl_status check_optimizer(const mtl_model *model, const char *name, const mtl_optimizer *optimizer)
{
    bool same = !optimizer || optimizer->num_blocks == model->num_entries;
    for (int32_t i = 0; optimizer && same && i < model->num_entries; i++) {
        same = optimizer->blocks[i] == model->entries[i].parameters;
    }
    return same ? MTL_OK : mtli_fail(model->context, MTL_ERROR_ARGUMENT, "%s->optimizer is over another model", name);
}

/* One of the two lists of named objects. */
typedef struct named_list {
    const char *what; /* "samplers" */
    const char *names_are;
    int64_t count;
    const void *objects;
    const char *const *names;
} named_list;

static mtl_status check_one_name(mtl_context *context, const char *name, const named_list *list, int64_t index)
{
    const char *text = list->names[index];
    size_t length = text ? strlen(text) : 0;
    if (length == 0 || length > LONGEST_NAME) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "%s->%s[%" PRId64 "] is not 1 to %d bytes long", name,
                         list->names_are, index, LONGEST_NAME);
    }
    for (int64_t other = 0; other < index; other++) {
        if (strcmp(list->names[other], text) == 0) {
            return mtli_fail(context, MTL_ERROR_ARGUMENT, "%s->%s[%" PRId64 "] and [%" PRId64 "] are both '%s'", name,
                             list->names_are, other, index, text);
        }
    }
    return MTL_OK;
}

static mtl_status check_named(mtl_context *context, const char *name, const named_list *list)
{
    if (list->count < 0 || list->count > MOST_NAMED) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "%s->num_%s = %" PRId64 " is not in [0, %d]", name, list->what,
                         list->count, MOST_NAMED);
    }
    if (list->count > 0 && (!list->objects || !list->names)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "%s->%s is NULL", name,
                         list->objects ? list->names_are : list->what);
    }
    mtl_status status = MTL_OK;
    for (int64_t i = 0; i < list->count && status == MTL_OK; i++) {
        status = check_one_name(context, name, list, i);
    }
    return status;
}

static mtl_status check_member(mtl_context *context, const char *name, const char *what, int64_t index, bool there,
                               const mtl_context *own)
{
    if (!there || own != context) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "%s->%s[%" PRId64 "] %s", name, what, index,
                         there ? "belongs to another context" : "is NULL");
    }
    return MTL_OK;
}

static mtl_status check_members(mtl_context *context, const char *name, const mtl_training_state *state)
{
    const named_list samplers = {"samplers", "sampler_names", state->num_samplers, state->samplers,
                                 state->sampler_names};
    const named_list metrics = {"metrics", "metrics_names", state->num_metrics, state->metrics, state->metrics_names};
    mtl_status status = check_named(context, name, &samplers);
    if (status == MTL_OK) {
        status = check_named(context, name, &metrics);
    }
    for (int64_t i = 0; i < state->num_samplers && status == MTL_OK; i++) {
        const mtl_sampler *sampler = state->samplers[i];
        status = check_member(context, name, samplers.what, i, sampler != NULL, sampler ? sampler->context : NULL);
    }
    for (int64_t i = 0; i < state->num_metrics && status == MTL_OK; i++) {
        const mtl_metrics *own = state->metrics[i];
        status = check_member(context, name, metrics.what, i, own != NULL, own ? mtli_metrics_context(own) : NULL);
    }
    return status;
}

mtl_status mtli_training_import(mtl_model *model, const char *name, const mtl_training_state *given,
                                mtl_training_state *known)
{
    *known = (mtl_training_state)MTL_TRAINING_STATE_INIT;
    mtl_status status = mtli_import_options(model->context, name, known, sizeof *known, sizeof *known, given);
    if (status == MTL_OK && known->reserved0 != 0) {
        status = mtli_fail(model->context, MTL_ERROR_UNSUPPORTED, "%s->reserved0 = %" PRId32 " is not 0", name,
                           known->reserved0);
    }
    if (status == MTL_OK) {
        status = check_objective(model, name, known->objective);
    }
    if (status == MTL_OK) {
        status = check_optimizer(model, name, known->optimizer);
    }
    return status == MTL_OK ? check_members(model->context, name, known) : status;
}

/* ---- what objects show ---- */

static char *join_names(mtli_training *training, const char *prefix, const char *const parts[MTLI_STATE_NAME_PARTS])
{
    size_t size = strlen(prefix) + 1;
    for (int i = 0; i < MTLI_STATE_NAME_PARTS; i++) {
        size += parts[i] ? strlen(parts[i]) : 0;
    }
    char *text = mtli_arena_take(&training->arena, size);
    size_t used = 0;
    for (int i = -1; text && i < MTLI_STATE_NAME_PARTS; i++) {
        const char *part = i < 0 ? prefix : parts[i] ? parts[i] : "";
        size_t length = strlen(part);
        memcpy(text + used, part, length);
        used += length;
    }
    if (text) {
        text[used] = '\0';
    }
    return text;
}

static mtl_status list_text(void *user, const char *key, const char *value)
{
    mtli_training *training = user;
    const char *const key_parts[MTLI_STATE_NAME_PARTS] = {key};
    const char *const value_parts[MTLI_STATE_NAME_PARTS] = {NULL};
    void *pairs = training->pairs;
    mtl_status status = mtli_reserve(training->context, &pairs, &training->pairs_capacity, training->num_pairs + 1,
                                     sizeof training->pairs[0]);
    training->pairs = pairs;
    if (status != MTL_OK) {
        return status;
    }
    mtli_safetensors_pair pair = {join_names(training, training->prefix, key_parts),
                                  join_names(training, value, value_parts)};
    if (!pair.key || !pair.value) {
        return training->context->status;
    }
    training->pairs[training->num_pairs++] = pair;
    return MTL_OK;
}

static mtl_status list_integer(void *user, const char *key, int64_t value)
{
    char text[MTLI_NUMBER_TEXT];
    snprintf(text, sizeof text, "%" PRId64, value);
    return list_text(user, key, text);
}

static mtl_status list_real(void *user, const char *key, double value)
{
    char text[MTLI_NUMBER_TEXT];
    mtli_format_real(value, text);
    return list_text(user, key, text);
}

static mtl_status list_array(void *user, const mtli_state_array *array)
{
    mtli_training *training = user;
    void *arrays = training->arrays;
    mtl_status status = mtli_reserve(training->context, &arrays, &training->arrays_capacity, training->num_arrays + 1,
                                     sizeof training->arrays[0]);
    training->arrays = arrays;
    if (status != MTL_OK) {
        return status;
    }
    char *name = join_names(training, training->prefix, array->name);
    if (!name) {
        return training->context->status;
    }
    training->arrays[training->num_arrays++] = (mtli_training_array){name, *array};
    return MTL_OK;
}

/* ---- the context ---- */

static void get_random(const void *self, void *values)
{
    const mtl_context *context = self;
    ((uint64_t *)values)[0] = context->seed;
    ((uint64_t *)values)[1] = context->stream;
}

static void put_random(void *self, const void *values)
{
    mtl_context *context = self;
    context->seed = ((const uint64_t *)values)[0];
    context->stream = ((const uint64_t *)values)[1];
}

static mtl_status visit_context(mtl_context *context, const mtli_state_visitor *visitor)
{
    const mtli_state_array array = {
        .name = {"random"}, .type = MTLI_STATE_WORD, .count = 2, .self = context, .get = get_random, .put = put_random};
    return visitor->array(visitor->fixed.user, &array);
}

/* ---- all ---- */

static mtl_status list_objects(mtli_training *training, const mtl_training_state *state,
                               const mtli_state_visitor *visitor)
{
    char prefix[TRAINING_KEY_SIZE];
    mtl_status status = MTL_OK;
    training->prefix = prefix;
    if (state->objective) {
        snprintf(prefix, sizeof prefix, "%sobjective.", MTLI_TRAINING_PREFIX);
        training->balancer = state->objective->balancer;
        status = mtli_objective_visit(state->objective, visitor);
    }
    if (state->optimizer && status == MTL_OK) {
        snprintf(prefix, sizeof prefix, "%soptimizer.", MTLI_TRAINING_PREFIX);
        status = mtli_optimizer_visit(state->optimizer, visitor);
    }
    for (int64_t i = 0; i < state->num_samplers && status == MTL_OK; i++) {
        snprintf(prefix, sizeof prefix, "%ssampler.%s.", MTLI_TRAINING_PREFIX, state->sampler_names[i]);
        status = mtli_sampler_visit(state->samplers[i], visitor);
    }
    for (int64_t i = 0; i < state->num_metrics && status == MTL_OK; i++) {
        snprintf(prefix, sizeof prefix, "%smetrics.%s.", MTLI_TRAINING_PREFIX, state->metrics_names[i]);
        status = mtli_metrics_visit(state->metrics[i], visitor);
    }
    training->prefix = "";
    return status;
}

mtl_status mtli_training_list(mtl_context *context, const mtl_training_state *state, mtli_training *out)
{
    const mtli_state_visitor visitor = {{out, list_text, list_integer, list_real}, list_array};
    memset(out, 0, sizeof *out);
    out->context = context;
    mtli_arena_init(&out->arena, context);
    out->prefix = MTLI_KEY_TRAINING;
    mtl_status status = visitor.fixed.text(out, "", MTLI_TRAINING_FORMAT);
    out->prefix = MTLI_TRAINING_PREFIX;
    if (status == MTL_OK) {
        status = visit_context(context, &visitor);
    }
    return status == MTL_OK ? list_objects(out, state, &visitor) : status;
}

void mtli_training_release(mtli_training *training)
{
    mtl_context *context = training->context;
    mtli_release(context, training->arrays, training->arrays_capacity * sizeof training->arrays[0]);
    mtli_release(context, training->pairs, training->pairs_capacity * sizeof training->pairs[0]);
    mtli_arena_destroy(&training->arena);
}

mtli_safetensors_dtype mtli_training_dtype(const mtli_state_array *array)
{
    switch (array->type) {
    case MTLI_STATE_REAL:
        return MTLI_SAFETENSORS_REAL;
    case MTLI_STATE_DOUBLE:
        return MTLI_SAFETENSORS_F64;
    case MTLI_STATE_INTEGER:
        return MTLI_SAFETENSORS_I64;
    default:
        return MTLI_SAFETENSORS_U64;
    }
}

size_t mtli_training_bytes(const mtli_state_array *array)
{
    return (size_t)array->count * (array->type == MTLI_STATE_REAL ? sizeof(mtli_real) : sizeof(uint64_t));
}
