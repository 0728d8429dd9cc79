/* SPDX-License-Identifier: Apache-2.0
 * The description of factorized networks, and back from it:
 *
 *   network          the kind of the networks, whose own keys stand beside these
 *   factorization    "laf", "tucker" or "tensor_train"
 *   tasks            T
 *   ranks.<name>     how a parameter of the networks is held: "shared", "tasks", or its ranks, separated by a space */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "nn/factorized.h"

#define KEY_FACTORIZATION "factorization"
#define KEY_TASKS "tasks"
#define KEY_RANKS "ranks."
#define RANKS_SHARED "shared"
#define RANKS_TASKS "tasks"

enum { RANKS_SIZE = 24 * MTL_MAX_DIMS, RANKS_KEY_SIZE = 256, NUM_KINDS = 3 };

static const char *const factorization_names[NUM_KINDS] = {"laf", "tucker", "tensor_train"};

/* False when the name is too long for a key. */
static bool make_ranks_key(const char *name, char key[RANKS_KEY_SIZE])
{
    return snprintf(key, RANKS_KEY_SIZE, "%s%s", KEY_RANKS, name) < RANKS_KEY_SIZE;
}

static void format_ranks(const mtl_factorized *factorized, int32_t index, char text[RANKS_SIZE])
{
    const mtli_held *held = &factorized->held[index];
    mtli_modes modes = mtli_stack_modes(&factorized->network->list[index].tensor, factorized->tasks);
    if (held->holding != MTLI_HELD_IN_FACTORS) {
        snprintf(text, RANKS_SIZE, "%s", held->holding == MTLI_HELD_BY_ALL ? RANKS_SHARED : RANKS_TASKS);
        return;
    }
    int used = 0;
    for (int32_t k = 0; k < mtli_factor_num_ranks(factorized->kind, &modes); k++) {
        used += snprintf(text + used, (size_t)(RANKS_SIZE - used), "%s%" PRId64, k ? " " : "", held->ranks[k]);
    }
}

mtl_status mtli_factorized_describe(const mtl_factorized *factorized, const char *network, const mtli_visitor *visitor)
{
    mtl_status status = visitor->text(visitor->user, MTLI_FACTORIZED_NETWORK_KEY, network);
    if (status == MTL_OK) {
        status = visitor->text(visitor->user, KEY_FACTORIZATION, factorization_names[factorized->kind]);
    }
    if (status == MTL_OK) {
        status = visitor->integer(visitor->user, KEY_TASKS, factorized->tasks);
    }
    for (int32_t i = 0; i < factorized->network->count && status == MTL_OK; i++) {
        char key[RANKS_KEY_SIZE];
        char text[RANKS_SIZE];
        if (make_ranks_key(factorized->network->list[i].name, key)) { /* else of a custom encoder: never restored */
            format_ranks(factorized, i, text);
            status = visitor->text(visitor->user, key, text);
        }
    }
    return status;
}

static bool parse_ranks(const char *text, int32_t kind, const mtli_modes *modes, int64_t *ranks)
{
    int32_t count = mtli_factor_num_ranks(kind, modes);
    for (int32_t k = 0; k < count; k++) {
        size_t length = strcspn(text, " ");
        bool last = k == count - 1;
        if (!mtli_parse_integer(text, length, &ranks[k]) || (text[length] == '\0') != last) {
            return false;
        }
        text += length + 1;
    }
    return mtli_factor_ranks_fit(kind, modes, ranks);
}

static mtl_status restore_held(mtl_context *context, const mtli_lookup *lookup, int32_t kind, int32_t tasks,
                               const mtli_parameter *parameter, mtli_held *held)
{
    char key[RANKS_KEY_SIZE];
    const char *text = make_ranks_key(parameter->name, key) ? lookup->text(lookup->user, key) : NULL;
    mtli_modes modes = mtli_stack_modes(&parameter->tensor, tasks);
    if (text && strcmp(text, RANKS_SHARED) == 0) {
        held->holding = MTLI_HELD_BY_ALL;
    } else if (text && strcmp(text, RANKS_TASKS) == 0) {
        held->holding = MTLI_HELD_BY_EACH;
    } else if (text && parse_ranks(text, kind, &modes, held->ranks)) {
        held->holding = MTLI_HELD_IN_FACTORS;
    } else {
        return mtli_fail(context, MTL_ERROR_FORMAT, "'%.200s' are not the ranks of a factorized parameter", key);
    }
    return MTL_OK;
}

static mtl_status restore_settings(mtl_context *context, const mtli_lookup *lookup, int32_t *kind, int32_t *tasks)
{
    const char *name = lookup->text(lookup->user, KEY_FACTORIZATION);
    int64_t count = 0;
    *kind = 0;
    while (name && *kind < NUM_KINDS && strcmp(name, factorization_names[*kind]) != 0) {
        ++*kind;
    }
    if (!name || *kind == NUM_KINDS) {
        return mtli_fail(context, MTL_ERROR_UNSUPPORTED, "factorization '%.64s' is not known to this version",
                         name ? name : "");
    }
    mtl_status status = lookup->integer(lookup->user, KEY_TASKS, &count);
    if (status != MTL_OK) {
        return status;
    }
    *tasks = (int32_t)count;
    return count >= 1 && count <= MTLI_MAX_FACTORIZED_TASKS
               ? MTL_OK
               : mtli_fail(context, MTL_ERROR_FORMAT, "tasks = %" PRId64 " is not in [1, %d]", count,
                           MTLI_MAX_FACTORIZED_TASKS);
}

mtl_status mtli_factorized_restore(mtl_context *context, const mtli_lookup *lookup, mtli_parameters *network,
                                   mtl_factorized **out)
{
    int32_t kind = 0;
    int32_t tasks = 0;
    mtl_status status = restore_settings(context, lookup, &kind, &tasks);
    if (status != MTL_OK) {
        return status;
    }
    size_t bytes = (size_t)network->count * sizeof(mtli_held);
    mtli_held *held = mtli_allocate_zeroed(context, bytes);
    if (!held) {
        return context->status;
    }
    for (int32_t i = 0; i < network->count && status == MTL_OK; i++) {
        status = restore_held(context, lookup, kind, tasks, &network->list[i], &held[i]);
    }
    if (status == MTL_OK) {
        status = mtli_factorized_create(context, kind, tasks, network, held, out);
    }
    mtli_release(context, held, bytes);
    return status;
}
