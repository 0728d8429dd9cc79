/* SPDX-License-Identifier: Apache-2.0
 * Encoders and heads in factors, made from the networks of the tasks: what is factorized and what is not, and the
 * values that everything begins with. */
#include <mtl/factorized.h>

#include <inttypes.h>
#include <string.h>

#include "nn/factorized.h"
#include "optim/pattern.h"
#include "sharing/factorize.h"

enum { PATTERN_SIZE = 256 };

/* The networks of the tasks, and what becomes of them. */
typedef struct factor_maker {
    mtl_context *context;
    mtl_factorized_options options;
    int32_t tasks;
    mtl_encoder *const *encoders;   /* [tasks]; or NULL: they are heads */
    mtl_head *const *heads;         /* [tasks] */
    const mtli_parameters **blocks; /* [tasks] */
    const mtli_real **w;            /* [tasks]: one parameter of all networks */
    int32_t count;                  /* parameters of a network */
    mtli_held *held;                /* [count] */
    mtli_factor_values *values;     /* [count] */
    mtli_arena arena;               /* all of the above, and the values */
} factor_maker;

/* Patterns. -------------------------------------------------------------------------------------------------------- */

/* Copies the pattern at *list and moves on to the next; false at the end. */
static bool next_pattern(const char **list, char pattern[PATTERN_SIZE])
{
    if (!*list) {
        return false;
    }
    size_t length = strcspn(*list, ",");
    size_t kept = length < PATTERN_SIZE ? length : PATTERN_SIZE - 1;
    memcpy(pattern, *list, kept);
    pattern[kept] = '\0';
    *list = (*list)[length] == ',' ? *list + length + 1 : NULL;
    return true;
}

/* An embedding is factorized only by its name written out. */
static bool pattern_means(const char *pattern, const mtli_parameter *parameter, bool literal)
{
    return literal && parameter->row_sparse ? strcmp(pattern, parameter->name) == 0
                                            : mtli_pattern_matches(pattern, parameter->name);
}

static bool list_means(const char *list, const mtli_parameter *parameter, bool literal)
{
    char pattern[PATTERN_SIZE];
    while (next_pattern(&list, pattern)) {
        if (pattern_means(pattern, parameter, literal)) {
            return true;
        }
    }
    return false;
}

static mtl_status check_list(const factor_maker *maker, const char *option, const char *list, bool literal)
{
    char pattern[PATTERN_SIZE];
    while (next_pattern(&list, pattern)) {
        bool found = false;
        for (int32_t i = 0; i < maker->count && !found; i++) {
            found = pattern_means(pattern, &maker->blocks[0]->list[i], literal);
        }
        if (!found) {
            return mtli_fail(maker->context, MTL_ERROR_ARGUMENT,
                             "options->%s: the networks have no parameter '%.128s'%s", option, pattern,
                             literal ? " (the name of an embedding is to be written out)" : "");
        }
    }
    return MTL_OK;
}

static mtli_holding choose_holding(const factor_maker *maker, const mtli_parameter *parameter)
{
    const mtl_factorized_options *options = &maker->options;
    if (list_means(options->shared, parameter, false)) {
        return MTLI_HELD_BY_ALL;
    }
    bool wanted = options->parameters ? list_means(options->parameters, parameter, true)
                                      : parameter->tensor.shape.ndim >= 2 && !parameter->row_sparse;
    return wanted ? MTLI_HELD_IN_FACTORS : MTLI_HELD_BY_EACH;
}

static mtl_status choose_holdings(factor_maker *maker)
{
    mtl_status status = check_list(maker, "shared", maker->options.shared, false);
    if (status == MTL_OK) {
        status = check_list(maker, "parameters", maker->options.parameters, true);
    }
    if (status != MTL_OK) {
        return status;
    }
    bool any = false;
    for (int32_t i = 0; i < maker->count; i++) {
        maker->held[i].holding = choose_holding(maker, &maker->blocks[0]->list[i]);
        any = any || maker->held[i].holding == MTLI_HELD_IN_FACTORS;
    }
    return any ? MTL_OK
               : mtli_fail(maker->context, MTL_ERROR_ARGUMENT, "no parameter of the networks is to be factorized");
}

/* The networks. ---------------------------------------------------------------------------------------------------- */

static mtl_status check_network(const factor_maker *maker, int32_t t)
{
    const mtli_parameters *first = maker->blocks[0];
    const mtli_parameters *other = maker->blocks[t];
    if (other->context != maker->context) {
        return mtli_fail(maker->context, MTL_ERROR_ARGUMENT, "networks[%d] belongs to another context", t);
    }
    if (other->count != first->count) {
        return mtli_fail(maker->context, MTL_ERROR_ARGUMENT, "networks[%d] has %d parameters, networks[0] has %d", t,
                         other->count, first->count);
    }
    for (int32_t i = 0; i < first->count; i++) {
        const mtli_parameter *a = &first->list[i];
        const mtli_parameter *b = &other->list[i];
        if (strcmp(a->name, b->name) != 0) {
            return mtli_fail(maker->context, MTL_ERROR_ARGUMENT,
                             "parameter %d of networks[%d] is '%.128s', of networks[0] it is '%.128s'", i, t, b->name,
                             a->name);
        }
        if (!mtli_same_dims(&a->tensor.shape, &b->tensor.shape)) {
            char first_text[MTLI_SHAPE_TEXT];
            char other_text[MTLI_SHAPE_TEXT];
            return mtli_fail(maker->context, MTL_ERROR_SHAPE,
                             "'%.128s' of networks[%d] has shape %s, of networks[0] it has %s", a->name, t,
                             mtli_shape_text(&b->tensor.shape, other_text),
                             mtli_shape_text(&a->tensor.shape, first_text));
        }
    }
    return MTL_OK;
}

/* Parameters of the host must not be called what factors of others are. */
static mtl_status check_factor_names(const factor_maker *maker)
{
    static const char *const stems[] = {"basis", "core", "mode", "task"};
    for (int32_t i = 0; i < maker->count; i++) {
        const char *name = maker->blocks[0]->list[i].name;
        size_t length = strlen(name);
        for (int32_t k = 0; k < maker->count; k++) {
            const char *other = maker->blocks[0]->list[k].name;
            for (size_t s = 0; s < sizeof stems / sizeof stems[0]; s++) {
                if (strncmp(other, name, length) == 0 && other[length] == '.' &&
                    strncmp(other + length + 1, stems[s], strlen(stems[s])) == 0) {
                    return mtli_fail(maker->context, MTL_ERROR_ARGUMENT,
                                     "the parameter '%.128s' has the name of a factor of '%.128s'", other, name);
                }
            }
        }
    }
    return MTL_OK;
}

static mtl_status check_factorized_options(mtl_context *context, const mtl_factorized_options *options)
{
    if (options->kind < MTL_FACTORIZATION_LAF || options->kind > MTL_FACTORIZATION_TENSOR_TRAIN) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->kind = %d is not a factorization", options->kind);
    }
    if (options->max_rank < 0) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->max_rank = %" PRId64 " is negative", options->max_rank);
    }
    if (!(options->relative_error >= 0 && options->relative_error < 1)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->relative_error = %g is not in [0, 1)",
                         options->relative_error);
    }
    return mtli_check_reserved(context, options->reserved0);
}

static mtl_status check_task_count(mtl_context *context, int32_t count)
{
    return count >= 1 && count <= MTLI_MAX_FACTORIZED_TASKS
               ? MTL_OK
               : mtli_fail(context, MTL_ERROR_ARGUMENT, "count = %d is not in [1, %d]", count,
                           MTLI_MAX_FACTORIZED_TASKS);
}

/* NULL for a NULL. */
static const mtli_parameters *parameters_of(const factor_maker *maker, int32_t t)
{
    if (maker->encoders) {
        return maker->encoders[t] ? maker->encoders[t]->parameters : NULL;
    }
    return maker->heads[t] ? maker->heads[t]->parameters : NULL;
}

static mtl_status find_blocks(factor_maker *maker)
{
    maker->blocks = mtli_arena_take_array(&maker->arena, (size_t)maker->tasks, sizeof maker->blocks[0]);
    maker->w = maker->blocks ? mtli_arena_take_array(&maker->arena, (size_t)maker->tasks, sizeof maker->w[0]) : NULL;
    if (!maker->w) {
        return maker->context->status;
    }
    for (int32_t t = 0; t < maker->tasks; t++) {
        maker->blocks[t] = parameters_of(maker, t);
        if (!maker->blocks[t]) {
            return mtli_fail(maker->context, MTL_ERROR_ARGUMENT, "networks[%d] is NULL", t);
        }
    }
    return MTL_OK;
}

/* With context, tasks and networks set; the arena is there afterwards in any case. */
static mtl_status begin_making(factor_maker *maker, const mtl_factorized_options *options)
{
    mtl_context *context = maker->context;
    maker->options = (mtl_factorized_options)MTL_FACTORIZED_OPTIONS_INIT;
    mtli_arena_init(&maker->arena, context);
    mtl_status status = check_task_count(context, maker->tasks);
    if (status == MTL_OK) {
        status = mtli_import_options(context, "options", &maker->options, sizeof maker->options, sizeof maker->options,
                                     options);
    }
    if (status == MTL_OK) {
        status = check_factorized_options(context, &maker->options);
    }
    return status == MTL_OK ? find_blocks(maker) : status;
}

/* With blocks[] filled. */
static mtl_status check_networks(factor_maker *maker)
{
    mtl_context *context = maker->context;
    size_t count = (size_t)maker->blocks[0]->count;
    maker->count = maker->blocks[0]->count;
    maker->held = mtli_arena_take_array(&maker->arena, count, sizeof maker->held[0]);
    maker->values = maker->held ? mtli_arena_take_array(&maker->arena, count, sizeof maker->values[0]) : NULL;
    if (!maker->values) {
        return context->status;
    }
    memset(maker->held, 0, count * sizeof maker->held[0]);
    memset(maker->values, 0, count * sizeof maker->values[0]);
    mtl_status status = MTL_OK;
    for (int32_t t = 0; t < maker->tasks && status == MTL_OK; t++) {
        status = check_network(maker, t);
    }
    return status == MTL_OK ? check_factor_names(maker) : status;
}

/* Values. ---------------------------------------------------------------------------------------------------------- */

static void gather_weights(factor_maker *maker, int32_t index)
{
    for (int32_t t = 0; t < maker->tasks; t++) {
        maker->w[t] = maker->blocks[t]->list[index].tensor.data;
    }
}

static mtl_status factorize_all(factor_maker *maker)
{
    const mtli_factorize_options options = {maker->options.kind, maker->options.max_rank,
                                            maker->options.relative_error};
    mtl_status status = MTL_OK;
    for (int32_t i = 0; i < maker->count && status == MTL_OK; i++) {
        const mtli_parameter *parameter = &maker->blocks[0]->list[i];
        mtli_held *held = &maker->held[i];
        if (held->holding == MTLI_HELD_IN_FACTORS) {
            mtli_modes modes = mtli_stack_modes(&parameter->tensor, maker->tasks);
            gather_weights(maker, i);
            status = mtli_factorize(maker->context, &options, &modes, maker->w, parameter->name, &maker->arena,
                                    &maker->values[i]);
            memcpy(held->ranks, maker->values[i].ranks, sizeof held->ranks);
        }
    }
    return status;
}

static void fill_with_mean(const factor_maker *maker, mtl_tensor *parameter)
{
    mtli_real *values = parameter->data;
    for (int64_t i = 0; i < parameter->size; i++) {
        double sum = 0;
        for (int32_t t = 0; t < maker->tasks; t++) {
            sum += (double)maker->w[t][i];
        }
        values[i] = (mtli_real)(sum / maker->tasks);
    }
}

static void fill_factorized(factor_maker *maker, mtl_factorized *factorized)
{
    for (int32_t i = 0; i < maker->count; i++) {
        const mtli_held *held = &factorized->held[i];
        gather_weights(maker, i);
        for (int32_t k = 0; k < held->count; k++) {
            mtl_tensor *parameter = &factorized->parameters->list[held->first + k].tensor;
            if (held->holding == MTLI_HELD_BY_ALL) {
                fill_with_mean(maker, parameter);
            } else {
                const mtli_real *from = held->holding == MTLI_HELD_BY_EACH ? maker->w[k] : maker->values[i].values[k];
                memcpy(parameter->data, from, (size_t)parameter->size * sizeof from[0]);
            }
        }
    }
}

static mtl_status make_factors(factor_maker *maker, mtli_parameters *network, mtl_factorized **out)
{
    mtl_status status = choose_holdings(maker);
    if (status == MTL_OK) {
        status = factorize_all(maker);
    }
    if (status == MTL_OK) {
        status = mtli_factorized_create(maker->context, maker->options.kind, maker->tasks, network, maker->held, out);
    }
    if (status == MTL_OK) {
        fill_factorized(maker, *out);
    }
    return status;
}

/* Encoders. -------------------------------------------------------------------------------------------------------- */

static mtl_status check_encoders(const factor_maker *maker, mtl_encoder *const *networks, bool shapes_are_equal)
{
    for (int32_t t = 0; t < maker->tasks; t++) {
        const mtl_encoder *a = networks[0];
        const mtl_encoder *b = networks[t];
        if (!a->kind->same) {
            return mtli_fail(maker->context, MTL_ERROR_ARGUMENT, "networks[0] is of the kind '%s'", a->kind->name);
        }
        if (a->kind != b->kind) {
            return mtli_fail(maker->context, MTL_ERROR_ARGUMENT,
                             "networks[%d] is of the kind '%s', networks[0] is '%s'", t, b->kind->name, a->kind->name);
        }
        if (shapes_are_equal && !a->kind->same(a, b)) {
            return mtli_fail(maker->context, MTL_ERROR_ARGUMENT, "networks[%d] has other options than networks[0]", t);
        }
    }
    return MTL_OK;
}

static mtl_status factorize_encoders(factor_maker *maker, mtl_encoder **out)
{
    mtl_encoder *const *networks = maker->encoders;
    mtl_encoder *network = NULL;
    mtl_encoder *encoder = NULL;
    mtl_factorized *factors = NULL;
    mtl_status status = check_encoders(maker, networks, false);
    if (status == MTL_OK) {
        status = check_networks(maker);
    }
    if (status == MTL_OK) {
        status = check_encoders(maker, networks, true);
    }
    if (status == MTL_OK) {
        status = mtli_encoder_create_hollow(networks[0], &network);
    }
    if (status == MTL_OK) {
        status = mtli_factorized_encoder_begin(network, &encoder);
    }
    if (status == MTL_OK) {
        status = make_factors(maker, network->parameters, &factors);
    }
    if (status != MTL_OK) {
        mtl_encoder_release(encoder);
        return status;
    }
    mtli_factorized_encoder_finish(encoder, factors);
    *out = encoder;
    return MTL_OK;
}

mtl_status mtl_encoder_create_factorized(mtl_encoder *const *networks, int32_t count,
                                         const mtl_factorized_options *options, mtl_encoder **out)
{
    if (!networks || !networks[0]) {
        return MTL_ERROR_ARGUMENT;
    }
    factor_maker maker = {.context = networks[0]->context, .tasks = count, .encoders = networks};
    mtli_enter(maker.context);
    MTLI_REQUIRE(maker.context, out);
    mtl_status status = begin_making(&maker, options);
    if (status == MTL_OK) {
        status = factorize_encoders(&maker, out);
    }
    mtli_arena_destroy(&maker.arena);
    return status;
}

/* Heads. ----------------------------------------------------------------------------------------------------------- */

static mtl_status check_heads(const factor_maker *maker, mtl_head *const *networks)
{
    const mtl_head *a = networks[0];
    for (int32_t t = 0; t < maker->tasks; t++) {
        const mtl_head *b = networks[t];
        if (b->factors) {
            return mtli_fail(maker->context, MTL_ERROR_ARGUMENT, "networks[%d] is factorized", t);
        }
        if (a->kind != b->kind) {
            return mtli_fail(maker->context, MTL_ERROR_ARGUMENT, "networks[%d] is a %s, networks[0] is a %s", t,
                             mtli_head_kind_names[b->kind], mtli_head_kind_names[a->kind]);
        }
        if (memcmp(&a->options, &b->options, sizeof a->options) != 0) { /* options have no padding */
            return mtli_fail(maker->context, MTL_ERROR_ARGUMENT, "networks[%d] has other options than networks[0]", t);
        }
    }
    return MTL_OK;
}

static mtl_status factorize_heads(factor_maker *maker, mtl_head **out)
{
    mtl_head *const *networks = maker->heads;
    mtl_head *network = NULL;
    mtl_head *head = NULL;
    mtl_factorized *factors = NULL;
    mtl_status status = check_heads(maker, networks);
    if (status == MTL_OK) {
        status = check_networks(maker);
    }
    if (status == MTL_OK) {
        status = mtli_head_create_hollow(networks[0], &network);
    }
    if (status == MTL_OK) {
        status = mtli_factorized_head_begin(network, &head);
    }
    if (status == MTL_OK) {
        status = make_factors(maker, network->parameters, &factors);
    }
    if (status != MTL_OK) {
        mtl_head_release(head);
        return status;
    }
    mtli_factorized_head_finish(head, factors);
    *out = head;
    return MTL_OK;
}

mtl_status mtl_head_create_factorized(mtl_head *const *networks, int32_t count, const mtl_factorized_options *options,
                                      mtl_head **out)
{
    if (!networks || !networks[0]) {
        return MTL_ERROR_ARGUMENT;
    }
    factor_maker maker = {.context = networks[0]->context, .tasks = count, .heads = networks};
    mtli_enter(maker.context);
    MTLI_REQUIRE(maker.context, out);
    mtl_status status = begin_making(&maker, options);
    if (status == MTL_OK) {
        status = factorize_heads(&maker, out);
    }
    mtli_arena_destroy(&maker.arena);
    return status;
}
