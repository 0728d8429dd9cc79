/* SPDX-License-Identifier: Apache-2.0
 * Penalties: options, life, and what may be asked of them. */
#include "sharing/penalty.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/checked.h"

/* Options. ----------------------------------------------------------------------------------------------------------- */

static mtl_status check_choice(mtl_context *context, const char *name, int32_t value, int32_t most)
{
    if (value < 0 || value > most) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "%s = %d is not one of its constants, 0 to %d", name, value,
                         most);
    }
    return MTL_OK;
}

/* Finite in the type that computes, as weights of tasks are. */
static mtl_status check_coefficient(mtl_context *context, double coefficient)
{
    if (!(coefficient >= 0) || !isfinite((mtli_real)coefficient)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "coefficient = %g is not a finite number >= 0", coefficient);
    }
    return MTL_OK;
}

static mtl_status check_clusters(mtl_context *context, const mtl_penalty_options *options, int32_t count)
{
    if (options->clusters < 1 || options->clusters >= count) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "clusters = %d is not in [1, %d] for %d networks",
                         options->clusters, count - 1, count);
    }
    if (!(options->clustering > 0) || !isfinite((mtli_real)options->clustering)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "clustering = %g is not a finite number > 0",
                         options->clustering);
    }
    return MTL_OK;
}

/* The options that the kind reads; others are ignored. */
static mtl_status check_kind_options(mtl_context *context, const mtl_penalty_options *options, int32_t count)
{
    switch (options->kind) {
    case MTL_PENALTY_L2:
        return check_choice(context, "form", options->form, MTL_L2_RIDGE);
    case MTL_PENALTY_TRACE_NORM:
        return check_choice(context, "unfolding", options->unfolding, MTL_UNFOLDING_TENSOR_TRAIN);
    case MTL_PENALTY_L21:
    case MTL_PENALTY_LINF1:
        return check_choice(context, "group", options->group, MTL_GROUP_TASK);
    case MTL_PENALTY_CLUSTERED:
        return check_clusters(context, options, count);
    default:
        return MTL_OK;
    }
}

static bool needs_two_networks(const mtl_penalty_options *options, const mtli_term_kind *kind)
{
    return options->kind == MTL_PENALTY_L2 ? options->form != MTL_L2_RIDGE : kind->compares_tasks;
}

static mtl_status check_penalty_options(mtl_context *context, const mtl_penalty_options *options, int32_t count)
{
    const mtli_term_kind *kind = mtli_term_kind_find(options->kind);
    if (!kind) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "kind = %d is not a kind of penalty", options->kind);
    }
    if (needs_two_networks(options, kind) && count < 2) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "count = %d: the kind '%s' compares at least 2 networks", count,
                         kind->name);
    }
    mtl_status status = check_kind_options(context, options, count);
    if (status == MTL_OK) {
        status = check_choice(context, "sparse", options->sparse, MTL_SPARSE_DENSE);
    }
    return status == MTL_OK ? check_coefficient(context, options->coefficient) : status;
}

static bool reads_graph(const mtl_penalty_options *options)
{
    return (options->kind == MTL_PENALTY_L2 && options->form == MTL_L2_PAIRWISE) ||
           options->kind == MTL_PENALTY_TRACE_NORM_DIFFERENCES;
}

static mtl_status check_graph(mtl_context *context, const double *graph, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        for (int32_t j = 0; j < count; j++) {
            double a = graph[(int64_t)i * count + j];
            if (i != j && (!(a >= 0) || !isfinite((mtli_real)a))) {
                return mtli_fail(context, MTL_ERROR_ARGUMENT, "graph[%d][%d] = %g is not a finite number >= 0", i, j,
                                 a);
            }
        }
    }
    return MTL_OK;
}

/* Symmetric: in the sums over i ≠ j both a_ij and a_ji stand before the same distance. */
static mtl_status import_graph(mtl_penalty *penalty, const double *graph, int32_t count)
{
    mtl_context *context = penalty->context;
    mtl_status status = check_graph(context, graph, count);
    if (status != MTL_OK) {
        return status;
    }
    size_t n = (size_t)count;
    penalty->graph = mtli_allocate_array(context, n * n, sizeof penalty->graph[0]); /* n <= 65536 */
    if (!penalty->graph) {
        return context->status;
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            penalty->graph[i * n + j] = i == j ? 0 : graph[i * n + j] + graph[j * n + i];
        }
    }
    penalty->term.graph = penalty->graph;
    return MTL_OK;
}

/* The largest sum over j of what stands before ‖W_i - W_j‖ for one i. */
static double largest_degree(const mtl_penalty *penalty)
{
    int32_t count = penalty->match->num_networks;
    double most = penalty->graph ? 0 : 2.0 * (count - 1);
    for (int32_t i = 0; penalty->graph && i < count; i++) {
        double sum = 0;
        for (int32_t j = 0; j < count; j++) {
            sum += penalty->graph[(int64_t)i * count + j];
        }
        most = fmax(most, sum);
    }
    return most;
}

static double slope_of_term(const mtl_penalty *penalty)
{
    const mtl_penalty_options *options = &penalty->term.options;
    switch (options->kind) {
    case MTL_PENALTY_L2:
        return options->form == MTL_L2_PAIRWISE ? 2 * largest_degree(penalty) : 2;
    case MTL_PENALTY_TRACE_NORM_DIFFERENCES:
        return largest_degree(penalty);
    case MTL_PENALTY_TRACE_NORM:
        return options->unfolding == MTL_UNFOLDING_TASKS ? 1 : MTL_MAX_DIMS + 1;
    case MTL_PENALTY_CLUSTERED:
        return 2 * (1 + options->clustering);
    default:
        return 1;
    }
}

/* Life. -------------------------------------------------------------------------------------------------------------- */

mtl_penalty *mtli_penalty_allocate(mtl_context *context)
{
    mtl_penalty *penalty = mtli_allocate_zeroed(context, sizeof *penalty);
    if (penalty) {
        penalty->context = mtl_context_retain(context);
        mtli_refcount_init(&penalty->refs);
        penalty->coefficient = 1;
    }
    return penalty;
}

static size_t count_pointers(const mtl_penalty *penalty)
{
    return penalty->match ? (size_t)penalty->match->num_stacks * (size_t)penalty->match->num_networks : 0;
}

mtl_status mtli_penalty_point_at_weights(mtl_penalty *penalty)
{
    const mtli_match *match = penalty->match;
    penalty->w = mtli_allocate_array(penalty->context, count_pointers(penalty), sizeof penalty->w[0]);
    if (!penalty->w) {
        return penalty->context->status;
    }
    for (int64_t i = 0; i < match->num_stacks; i++) {
        for (int32_t t = 0; t < match->num_networks; t++) {
            penalty->w[i * match->num_networks + t] = match->stacks[i].parameters[t]->data;
        }
    }
    return MTL_OK;
}

mtli_stack mtli_penalty_stack(const mtl_penalty *penalty, int64_t index)
{
    const mtl_tensor *first = penalty->match->stacks[index].parameters[0];
    mtli_stack stack = {.count = penalty->match->num_networks, .ndim = first->shape.ndim, .size = first->size};
    memcpy(stack.dims, first->shape.dims, sizeof stack.dims);
    stack.rows = first->shape.dims[0];
    stack.columns = stack.size / stack.rows; /* modules have no parameters without values */
    stack.w = penalty->w + index * stack.count;
    return stack;
}

static mtl_status check_lazy_stacks(const mtl_penalty *penalty)
{
    for (int64_t i = 0; i < penalty->match->num_stacks; i++) {
        if (mtli_penalty_is_lazy(penalty, i) && !penalty->term.kind->by_rows(&penalty->term)) {
            return mtli_fail(
                penalty->context, MTL_ERROR_UNSUPPORTED,
                "the kind '%s' with these settings cannot act on single rows of the embedding '%.128s': sparse "
                "must be MTL_SPARSE_DENSE",
                penalty->term.kind->name, penalty->match->stacks[i].name);
        }
    }
    return MTL_OK;
}

/* Whatever steps need. */
static mtl_status reserve_work(mtl_penalty *penalty)
{
    mtl_context *context = penalty->context;
    size_t most = 0;
    for (int64_t i = 0; i < penalty->match->num_stacks; i++) {
        mtli_stack stack = mtli_penalty_stack(penalty, i);
        size_t size = penalty->term.kind->work_size(context, &penalty->term, &stack);
        most = size > most ? size : most;
    }
    penalty->work = mtli_allocate(context, most);
    if (!penalty->work) {
        return context->status;
    }
    penalty->work_size = most;
    penalty->g = mtli_allocate_array(context, (size_t)penalty->match->num_networks, sizeof penalty->g[0]);
    return penalty->g ? mtli_penalty_reserve_rows(penalty) : context->status;
}

static mtl_status build_penalty(mtl_penalty *penalty, mtl_model *model, const char *const *modules, int32_t count,
                                const mtl_penalty_options *options)
{
    penalty->coefficient = options->coefficient;
    penalty->term.kind = mtli_term_kind_find(options->kind);
    penalty->term.options = *options;
    mtl_status status = mtli_match_create(model, modules, count, options->parameters, &penalty->match);
    if (status == MTL_OK && options->graph && reads_graph(options)) {
        status = import_graph(penalty, options->graph, count);
    }
    penalty->term.options.parameters = NULL; /* the host's memory */
    penalty->term.options.graph = NULL;
    if (status == MTL_OK) {
        penalty->slope = slope_of_term(penalty);
        status = check_lazy_stacks(penalty);
    }
    if (status == MTL_OK) {
        status = mtli_penalty_point_at_weights(penalty);
    }
    return status == MTL_OK ? reserve_work(penalty) : status;
}

mtl_status mtl_penalty_create(mtl_model *model, const char *const *modules, int32_t count,
                              const mtl_penalty_options *options, mtl_penalty **out)
{
    if (!model) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = model->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, modules);
    MTLI_REQUIRE(context, out);
    mtl_penalty_options known = MTL_PENALTY_OPTIONS_INIT;
    mtl_status status = mtli_import_options(context, "options", &known, sizeof known, sizeof known, options);
    if (status == MTL_OK) {
        status = check_penalty_options(context, &known, count);
    }
    if (status != MTL_OK) {
        return status;
    }
    mtl_penalty *penalty = mtli_penalty_allocate(context);
    if (!penalty) {
        return context->status;
    }
    status = build_penalty(penalty, model, modules, count, &known);
    if (status != MTL_OK) {
        mtl_penalty_destroy(penalty);
        return status;
    }
    mtli_model_seal(model);
    *out = penalty;
    return MTL_OK;
}

void mtl_penalty_destroy(mtl_penalty *penalty)
{
    if (!penalty || !mtli_refcount_release(&penalty->refs)) {
        return;
    }
    mtl_context *context = penalty->context;
    size_t pointers = count_pointers(penalty);
    size_t networks = penalty->match ? (size_t)penalty->match->num_networks : 0;
    mtli_penalty_release_rows(penalty);
    mtli_release(context, penalty->w, pointers * sizeof penalty->w[0]);
    mtli_release(context, penalty->spare, pointers * sizeof penalty->spare[0]);
    mtli_release(context, penalty->share, penalty->share_size * sizeof penalty->share[0]);
    mtli_release(context, penalty->g, networks * sizeof penalty->g[0]);
    mtli_release(context, penalty->graph, networks * networks * sizeof penalty->graph[0]);
    mtli_release(context, penalty->work, penalty->work_size);
    if (!penalty->parts[0]) {
        mtli_match_destroy(penalty->match);
    }
    mtl_penalty_destroy(penalty->parts[0]);
    mtl_penalty_destroy(penalty->parts[1]);
    mtli_release(context, penalty, sizeof *penalty);
    mtl_context_release(context);
}

/* Who uses it. ------------------------------------------------------------------------------------------------------- */

bool mtli_penalty_is_over(const mtl_penalty *penalty, const mtl_model *model)
{
    const mtli_match *match = penalty->match;
    bool over = true;
    for (int32_t t = 0; t < match->num_networks && over; t++) {
        int32_t place = match->places[t]; /* in the model that it was made of, mostly this one */
        over = place < model->num_entries && model->entries[place].parameters == match->blocks[t];
        for (int32_t i = 0; i < model->num_entries && !over; i++) {
            over = model->entries[i].parameters == match->blocks[t];
        }
    }
    return over;
}

mtl_status mtli_penalty_check_free(const mtl_penalty *penalty)
{
    if (penalty->attached) {
        return mtli_fail(penalty->context, MTL_ERROR_STATE,
                         "penalty was added to an objective or an optimizer already");
    }
    if (penalty->is_part) {
        return mtli_fail(penalty->context, MTL_ERROR_STATE, "penalty is a part of a split penalty");
    }
    return MTL_OK;
}

void mtli_penalty_attach(mtl_penalty *penalty)
{
    mtli_refcount_retain(&penalty->refs);
    penalty->attached = true;
}

void mtli_penalty_detach(mtl_penalty *penalty)
{
    penalty->attached = false;
    mtl_penalty_destroy(penalty);
}

/* Questions. --------------------------------------------------------------------------------------------------------- */

double mtl_penalty_coefficient(const mtl_penalty *penalty)
{
    return penalty ? penalty->coefficient : 0;
}

mtl_status mtl_penalty_set_coefficient(mtl_penalty *penalty, double coefficient)
{
    if (!penalty) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(penalty->context);
    mtl_status status = check_coefficient(penalty->context, coefficient);
    if (status == MTL_OK) {
        penalty->coefficient = coefficient;
    }
    return status;
}

int32_t mtl_penalty_num_networks(const mtl_penalty *penalty)
{
    return penalty ? penalty->match->num_networks : 0;
}

int64_t mtl_penalty_num_parameters(const mtl_penalty *penalty)
{
    return penalty ? penalty->match->num_stacks : 0;
}

const char *mtl_penalty_parameter_name(const mtl_penalty *penalty, int64_t index)
{
    bool there = penalty && index >= 0 && index < penalty->match->num_stacks;
    return there ? penalty->match->stacks[index].name : NULL;
}

int64_t mtl_penalty_num_unmatched(const mtl_penalty *penalty)
{
    return penalty ? penalty->match->num_unmatched : 0;
}

const char *mtl_penalty_unmatched_name(const mtl_penalty *penalty, int64_t index)
{
    bool there = penalty && index >= 0 && index < penalty->match->num_unmatched;
    return there ? penalty->match->unmatched[index] : NULL;
}

mtl_penalty *mtl_penalty_component(mtl_penalty *penalty, int32_t component)
{
    return penalty && (component == 0 || component == 1) ? penalty->parts[component] : NULL;
}
