/* SPDX-License-Identifier: Apache-2.0
 * Which parameters a penalty is over: those that bear a wanted name in every network. */
#include <inttypes.h>
#include <string.h>

#include "optim/pattern.h"
#include "sharing/penalty.h"

enum { MOST_NETWORKS = 65536 };

/* The patterns, each ended by a zero byte. */
typedef struct wanted_names {
    char *text; /* NULL: all but embeddings */
    size_t size;
} wanted_names;

static mtl_status split_patterns(mtl_context *context, const char *patterns, wanted_names *wanted)
{
    *wanted = (wanted_names){NULL, 0};
    if (!patterns) {
        return MTL_OK;
    }
    wanted->text = mtli_copy_string(context, patterns);
    if (!wanted->text) {
        return context->status;
    }
    wanted->size = strlen(patterns) + 1;
    for (size_t i = 0; i < wanted->size; i++) {
        if (wanted->text[i] == ',') {
            wanted->text[i] = '\0';
        }
    }
    return MTL_OK;
}

/* An embedding is meant only by its name written out. */
static bool pattern_selects(const char *pattern, const char *name, bool embedding)
{
    return embedding ? strcmp(pattern, name) == 0 : mtli_pattern_matches(pattern, name);
}

static bool name_is_wanted(const wanted_names *wanted, const char *name, bool embedding)
{
    if (!wanted->text) {
        return !embedding;
    }
    for (size_t i = 0; i < wanted->size; i += strlen(wanted->text + i) + 1) {
        if (pattern_selects(wanted->text + i, name, embedding)) {
            return true;
        }
    }
    return false;
}

static bool selects_in_some_network(const mtli_match *match, const char *pattern)
{
    for (int32_t t = 0; t < match->num_networks; t++) {
        const mtli_parameters *block = match->blocks[t];
        for (int32_t i = 0; i < block->count; i++) {
            if (pattern_selects(pattern, block->list[i].name, block->list[i].row_sparse)) {
                return true;
            }
        }
    }
    return false;
}

/* A pattern without effect is a slip of the pen. */
static mtl_status check_patterns(const mtli_match *match, const wanted_names *wanted)
{
    for (size_t i = 0; i < wanted->size; i += strlen(wanted->text + i) + 1) {
        if (!selects_in_some_network(match, wanted->text + i)) {
            return mtli_fail(
                match->context, MTL_ERROR_ARGUMENT,
                "options->parameters: no network has a parameter '%.128s' (the name of an embedding is to be "
                "written out)",
                wanted->text + i);
        }
    }
    return MTL_OK;
}

/* The networks. ------------------------------------------------------------------------------------------------------ */

/* Looks from `place` on, and around: networks are mostly named in the order of the model. */
static int32_t find_module(const mtl_model *model, const char *name, int32_t place)
{
    for (int32_t k = 0; k < model->num_entries; k++) {
        int32_t i = place < model->num_entries - k ? place + k : place + k - model->num_entries;
        if (strcmp(model->entries[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

static mtl_status hold_network(mtli_match *match, const mtl_model *model, const char *name, int32_t t,
                               unsigned char *taken)
{
    if (!name) {
        return mtli_fail(match->context, MTL_ERROR_ARGUMENT, "modules[%d] is NULL", t);
    }
    int32_t place = find_module(model, name, t > 0 ? match->places[t - 1] + 1 : 0);
    if (place < 0) {
        return mtli_fail(match->context, MTL_ERROR_ARGUMENT, "modules[%d] = '%.80s' is no encoder or head of the model",
                         t, name);
    }
    if (taken[place]) {
        return mtli_fail(match->context, MTL_ERROR_ARGUMENT, "modules[%d] = '%.80s' is there twice", t, name);
    }
    taken[place] = 1;
    memcpy(match->modules[t], model->entries[place].name, MTLI_NAME_SIZE);
    match->places[t] = place;
    match->blocks[t] = mtli_parameters_retain(model->entries[place].parameters);
    return MTL_OK;
}

static mtl_status hold_networks(mtli_match *match, const mtl_model *model, const char *const *modules)
{
    mtl_context *context = match->context;
    size_t count = (size_t)match->num_networks;
    match->modules = mtli_allocate_array(context, count, sizeof match->modules[0]);
    match->places = mtli_allocate_array(context, count, sizeof match->places[0]);
    match->blocks = mtli_allocate_zeroed(context, count * sizeof match->blocks[0]);
    if (!match->modules || !match->places || !match->blocks) {
        return context->status;
    }
    size_t entries = (size_t)model->num_entries;
    unsigned char *taken = mtli_allocate_zeroed(context, entries);
    if (!taken) {
        return context->status;
    }
    mtl_status status = MTL_OK;
    for (int32_t t = 0; t < match->num_networks && status == MTL_OK; t++) {
        status = hold_network(match, model, modules[t], t, taken);
    }
    mtli_release(context, taken, entries);
    return status;
}

/* The stacks. -------------------------------------------------------------------------------------------------------- */

static mtl_status check_same_shape(const mtli_match *match, const mtli_matched *stack)
{
    char first[MTLI_SHAPE_TEXT];
    char other[MTLI_SHAPE_TEXT];
    for (int32_t t = 1; t < match->num_networks; t++) {
        if (!mtli_same_dims(&stack->parameters[0]->shape, &stack->parameters[t]->shape)) {
            return mtli_fail(match->context, MTL_ERROR_SHAPE, "'%s.%.128s' has shape %s, '%s.%.128s' has %s",
                             match->modules[0], stack->name, mtli_shape_text(&stack->parameters[0]->shape, first),
                             match->modules[t], stack->name, mtli_shape_text(&stack->parameters[t]->shape, other));
        }
    }
    return MTL_OK;
}

static mtl_status add_stack(mtli_match *match, const char *name)
{
    mtl_context *context = match->context;
    void *array = match->stacks;
    mtl_status status =
        mtli_reserve(context, &array, &match->stacks_capacity, (size_t)match->num_stacks + 1, sizeof match->stacks[0]);
    match->stacks = array;
    if (status != MTL_OK) {
        return status;
    }
    mtli_matched *stack = &match->stacks[match->num_stacks++];
    memset(stack, 0, sizeof *stack);
    stack->name = mtli_copy_string(context, name);
    stack->parameters = mtli_allocate_array(context, (size_t)match->num_networks, sizeof stack->parameters[0]);
    if (!stack->name || !stack->parameters) {
        return context->status;
    }
    stack->row_sparse = true;
    for (int32_t t = 0; t < match->num_networks; t++) {
        stack->parameters[t] = mtli_parameters_find(match->blocks[t], name);
        stack->row_sparse = stack->row_sparse && match->blocks[t]->list[stack->parameters[t]->index].row_sparse;
    }
    return check_same_shape(match, stack);
}

/* Whether every network has the name; *embedding: whether it is one in any of them. */
static bool is_everywhere(const mtli_match *match, const char *name, bool *embedding)
{
    *embedding = false;
    for (int32_t t = 0; t < match->num_networks; t++) {
        const mtl_tensor *parameter = mtli_parameters_find(match->blocks[t], name);
        if (!parameter) {
            return false;
        }
        *embedding = *embedding || match->blocks[t]->list[parameter->index].row_sparse;
    }
    return true;
}

static mtl_status add_stacks(mtli_match *match, const wanted_names *wanted)
{
    const mtli_parameters *first = match->blocks[0];
    mtl_status status = MTL_OK;
    for (int32_t i = 0; i < first->count && status == MTL_OK; i++) {
        bool embedding;
        const char *name = first->list[i].name;
        if (is_everywhere(match, name, &embedding) && name_is_wanted(wanted, name, embedding)) {
            status = add_stack(match, name);
        }
    }
    return status;
}

static bool has_stack(const mtli_match *match, const char *name)
{
    for (int64_t i = 0; i < match->num_stacks; i++) {
        if (strcmp(match->stacks[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static mtl_status add_unmatched(mtli_match *match, const char *module, const char *name)
{
    mtl_context *context = match->context;
    void *array = match->unmatched;
    mtl_status status = mtli_reserve(context, &array, &match->unmatched_capacity, (size_t)match->num_unmatched + 1,
                                     sizeof match->unmatched[0]);
    match->unmatched = array;
    if (status != MTL_OK) {
        return status;
    }
    size_t prefix = strlen(module);
    size_t length = strlen(name);
    char *whole = mtli_allocate(context, prefix + length + 2);
    if (!whole) {
        return context->status;
    }
    memcpy(whole, module, prefix);
    whole[prefix] = '.';
    memcpy(whole + prefix + 1, name, length + 1);
    match->unmatched[match->num_unmatched++] = whole;
    return MTL_OK;
}

static mtl_status note_unmatched(mtli_match *match, const wanted_names *wanted)
{
    mtl_status status = MTL_OK;
    for (int32_t t = 0; t < match->num_networks; t++) {
        const mtli_parameters *block = match->blocks[t];
        for (int32_t i = 0; i < block->count && status == MTL_OK; i++) {
            const char *name = block->list[i].name;
            if (name_is_wanted(wanted, name, block->list[i].row_sparse) && !has_stack(match, name)) {
                status = add_unmatched(match, match->modules[t], name);
            }
        }
    }
    return status;
}

static mtl_status check_any(const mtli_match *match)
{
    if (match->num_stacks > 0) {
        return MTL_OK;
    }
    return match->num_unmatched > 0
               ? mtli_fail(match->context, MTL_ERROR_ARGUMENT,
                           "options->parameters: no parameter is in all %d networks; '%.200s' is not",
                           match->num_networks, match->unmatched[0])
               : mtli_fail(match->context, MTL_ERROR_ARGUMENT,
                           "options->parameters: the networks have no parameters but embeddings");
}

/* Life. -------------------------------------------------------------------------------------------------------------- */

static mtl_status match_names(mtli_match *match, const char *patterns)
{
    wanted_names wanted;
    mtl_status status = split_patterns(match->context, patterns, &wanted);
    if (status == MTL_OK) {
        status = check_patterns(match, &wanted);
    }
    if (status == MTL_OK) {
        status = add_stacks(match, &wanted);
    }
    if (status == MTL_OK) {
        status = note_unmatched(match, &wanted);
    }
    if (status == MTL_OK) {
        status = check_any(match);
    }
    mtli_release(match->context, wanted.text, wanted.size);
    return status;
}

mtl_status mtli_match_create(mtl_model *model, const char *const *modules, int32_t count, const char *patterns,
                             mtli_match **out)
{
    mtl_context *context = model->context;
    if (count < 1) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "count = %d is less than 1", count);
    }
    if (count > MOST_NETWORKS) {
        return mtli_fail(context, MTL_ERROR_LIMIT, "count = %d is more than %d", count, MOST_NETWORKS);
    }
    mtli_match *match = mtli_allocate_zeroed(context, sizeof *match);
    if (!match) {
        return context->status;
    }
    match->context = context;
    match->num_networks = count;
    mtl_status status = hold_networks(match, model, modules);
    if (status == MTL_OK) {
        status = match_names(match, patterns);
    }
    if (status != MTL_OK) {
        mtli_match_destroy(match);
        return status;
    }
    *out = match;
    return MTL_OK;
}

void mtli_match_destroy(mtli_match *match)
{
    if (!match) {
        return;
    }
    mtl_context *context = match->context;
    size_t count = (size_t)match->num_networks;
    for (int64_t i = 0; i < match->num_stacks; i++) {
        mtli_release_string(context, match->stacks[i].name);
        mtli_release(context, match->stacks[i].parameters, count * sizeof match->stacks[i].parameters[0]);
    }
    for (int64_t i = 0; i < match->num_unmatched; i++) {
        mtli_release_string(context, match->unmatched[i]);
    }
    for (size_t t = 0; match->blocks && t < count; t++) {
        mtli_parameters_release(match->blocks[t]);
    }
    mtli_release(context, match->stacks, match->stacks_capacity * sizeof match->stacks[0]);
    mtli_release(context, match->unmatched, match->unmatched_capacity * sizeof match->unmatched[0]);
    mtli_release(context, match->modules, count * sizeof match->modules[0]);
    mtli_release(context, match->places, count * sizeof match->places[0]);
    mtli_release(context, match->blocks, count * sizeof match->blocks[0]);
    mtli_release(context, match, sizeof *match);
}
