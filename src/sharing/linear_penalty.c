/* SPDX-License-Identifier: Apache-2.0
 * Which penalties a linear fit takes, and how: squared distances by their gradients, one other by its proximal step. */
#include <inttypes.h>
#include <string.h>

#include "sharing/linear.h"

/* The penalty must be over the weights of the heads, in their order, and nothing else. */
static mtl_status check_penalized_weights(const mtli_linear_call *call, int32_t index)
{
    const mtli_match *match = call->penalties[index]->match;
    int32_t count = call->problem.count;
    for (int64_t i = 0; i < match->num_stacks; i++) {
        if (strcmp(match->stacks[i].name, "weight") != 0) {
            return mtli_fail(call->context, MTL_ERROR_ARGUMENT,
                             "penalties[%" PRId32 "] is over '%.128s': its parameters must be \"weight\" alone", index,
                             match->stacks[i].name);
        }
    }
    bool same = match->num_stacks == 1 && match->num_networks == count;
    for (int32_t t = 0; t < count && same; t++) {
        same = match->blocks[t] == call->heads[t]->parameters;
    }
    return same ? MTL_OK
                : mtli_fail(call->context, MTL_ERROR_ARGUMENT,
                            "penalties[%" PRId32 "] is over other networks than these %" PRId32 " heads in this order",
                            index, count);
}

static mtl_status check_linear_penalty(const mtli_linear_call *call, int32_t index)
{
    const mtl_penalty *penalty = call->penalties[index];
    if (!penalty) {
        return mtli_fail(call->context, MTL_ERROR_ARGUMENT, "penalties[%" PRId32 "] is NULL", index);
    }
    if (penalty->is_part) {
        return mtli_fail(call->context, MTL_ERROR_STATE, "penalties[%" PRId32 "] is a part of a split penalty", index);
    }
    for (int32_t k = 0; k < index; k++) {
        if (call->penalties[k] == penalty) {
            return mtli_fail(call->context, MTL_ERROR_ARGUMENT,
                             "penalties[%" PRId32 "] and penalties[%" PRId32 "] are the same", k, index);
        }
    }
    return check_penalized_weights(call, index);
}

static mtli_linear_term make_linear_term(const mtl_penalty *penalty, double factor)
{
    double coefficient = factor * penalty->coefficient;
    mtli_linear_term term = {coefficient > 0 ? &penalty->term : NULL, coefficient};
    return term;
}

static bool is_squared_distance(const mtl_penalty *penalty)
{
    return !penalty->parts[0] && penalty->term.options.kind == MTL_PENALTY_L2;
}

/* Its proximal step becomes the solver's. */
static mtl_status take_parts(mtli_linear_call *call, int32_t index)
{
    mtli_linear_problem *problem = &call->problem;
    mtl_penalty *penalty = call->penalties[index];
    if (!penalty->parts[0]) {
        if (!penalty->term.kind->has_proximal(&penalty->term, problem->count)) {
            return mtli_fail(call->context, MTL_ERROR_UNSUPPORTED,
                             "penalties[%" PRId32
                             "]: no proximal step is known for the kind '%s' with these settings and %" PRId32 " tasks",
                             index, penalty->term.kind->name, problem->count);
        }
        problem->parts[0] = make_linear_term(penalty, 1);
        return MTL_OK;
    }
    call->split = penalty;
    for (int32_t k = 0; k < MTLI_LINEAR_PARTS; k++) {
        problem->parts[k] = make_linear_term(penalty->parts[k], penalty->coefficient);
    }
    problem->num_parts = problem->parts[0].term || problem->parts[1].term ? MTLI_LINEAR_PARTS : 1;
    return MTL_OK;
}

static mtl_status sort_penalty(mtli_linear_call *call, int32_t index, int32_t *proximal)
{
    mtli_linear_problem *problem = &call->problem;
    mtl_penalty *penalty = call->penalties[index];
    mtl_status status = check_linear_penalty(call, index);
    if (status != MTL_OK) {
        return status;
    }
    if (is_squared_distance(penalty)) {
        mtli_linear_term term = make_linear_term(penalty, 1);
        if (term.term) {
            problem->smooth[problem->num_smooth++] = term;
            problem->ridge += penalty->term.options.form == MTL_L2_RIDGE ? term.coefficient : 0;
        }
        return MTL_OK;
    }
    if (*proximal >= 0) {
        return mtli_fail(call->context, MTL_ERROR_UNSUPPORTED,
                         "penalties[%" PRId32 "] and penalties[%" PRId32
                         "] both need a proximal step: one may, or a split penalty takes two",
                         *proximal, index);
    }
    *proximal = index;
    return take_parts(call, index);
}

/* How steep a squared distance is, to tell which is steepest. */
static double steepness(const mtli_linear_problem *problem, const mtli_linear_term *term)
{
    return term->coefficient * (term->term->options.form == MTL_L2_PAIRWISE ? (double)problem->count : 1);
}

/* Without any other penalty the proximal step is free for the steepest squared distance, which would shorten the steps
 * most. That of a graph costs a matrix inverse per step and stays where it is. */
static void lift_steepest(mtli_linear_problem *problem)
{
    int32_t best = -1;
    for (int32_t k = 0; k < problem->num_smooth; k++) {
        const mtli_linear_term *term = &problem->smooth[k];
        if (!term->term->graph && (best < 0 || steepness(problem, term) > steepness(problem, &problem->smooth[best]))) {
            best = k;
        }
    }
    if (best >= 0) {
        problem->parts[0] = problem->smooth[best];
        problem->smooth[best] = problem->smooth[--problem->num_smooth];
    }
}

mtl_status mtli_linear_sort_penalties(mtli_linear_call *call)
{
    mtli_linear_problem *problem = &call->problem;
    int32_t proximal = -1;
    mtl_status status = MTL_OK;
    problem->num_parts = 1;
    problem->smooth = mtli_arena_take_array(&call->arena, (size_t)call->num_penalties, sizeof problem->smooth[0]);
    if (!problem->smooth) {
        return call->context->status;
    }
    for (int32_t k = 0; k < call->num_penalties && status == MTL_OK; k++) {
        status = sort_penalty(call, k, &proximal);
    }
    if (status == MTL_OK && problem->num_parts == 1 && !problem->parts[0].term) {
        lift_steepest(problem);
    }
    return status;
}
