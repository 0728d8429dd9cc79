/* SPDX-License-Identifier: Apache-2.0
 * Split penalties, W = P + Q: each part keeps its share of the weights and shrinks it after an update of the sum. The next
 * shares are made beside the present ones, so that a failure changes nothing. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/float_mode.h"
#include "sharing/penalty.h"

/* Creation. ---------------------------------------------------------------------------------------------------------- */

static mtl_status check_same_networks(const mtl_penalty *first, const mtl_penalty *second)
{
    const mtli_match *a = first->match;
    const mtli_match *b = second->match;
    bool same = a->num_networks == b->num_networks && a->num_stacks == b->num_stacks;
    for (int32_t t = 0; same && t < a->num_networks; t++) {
        same = a->blocks[t] == b->blocks[t];
    }
    for (int64_t i = 0; same && i < a->num_stacks; i++) {
        same = a->stacks[i].parameters[0] == b->stacks[i].parameters[0];
    }
    return same ? MTL_OK
                : mtli_fail(first->context, MTL_ERROR_ARGUMENT,
                            "second is over other networks or parameters than first");
}

static mtl_status check_part(const mtl_penalty *part, const char *name)
{
    mtl_context *context = part->context;
    if (part->parts[0]) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "%s is split itself", name);
    }
    if (part->attached || part->is_part) {
        return mtli_fail(context, MTL_ERROR_STATE, "%s is in use: %s", name,
                         part->attached ? "it was added to an objective or an optimizer"
                                        : "it is a part of a split penalty");
    }
    for (int64_t i = 0; i < part->match->num_stacks; i++) {
        if (mtli_penalty_is_lazy(part, i)) {
            return mtli_fail(context, MTL_ERROR_ARGUMENT,
                             "%s is lazy on the embedding '%.128s': its sparse must be MTL_SPARSE_DENSE", name,
                             part->match->stacks[i].name);
        }
    }
    if (!part->term.kind->has_proximal(&part->term, part->match->num_networks)) {
        return mtli_fail(context, MTL_ERROR_UNSUPPORTED,
                         "%s: no proximal step is known for the kind '%s' with these settings and %d networks", name,
                         part->term.kind->name, part->match->num_networks);
    }
    return MTL_OK;
}

/* The values of one share, each parameter padded to whole cache lines. */
static bool measure_share(const mtl_penalty *part, size_t *total)
{
    *total = 0;
    for (int64_t i = 0; i < part->match->num_stacks; i++) {
        mtli_stack stack = mtli_penalty_stack(part, i);
        size_t values;
        if (!mtli_mul_size(mtli_round_up((size_t)stack.size, MTLI_ALIGNMENT / sizeof(mtli_real)), (size_t)stack.count,
                           &values) ||
            !mtli_add_size(*total, values, total)) {
            return false;
        }
    }
    return true;
}

/* Takes the memory of a share and of the next one. w keeps pointing at the weights. */
static mtl_status reserve_share(mtl_penalty *part)
{
    mtl_context *context = part->context;
    const mtli_match *match = part->match;
    size_t total;
    size_t both;
    if (!measure_share(part, &total) || !mtli_mul_size(total, 2, &both)) {
        return mtli_fail(context, MTL_ERROR_LIMIT, "the parts do not fit in memory");
    }
    size_t pointers = (size_t)match->num_stacks * (size_t)match->num_networks;
    part->share = mtli_allocate_array(context, both, sizeof part->share[0]);
    part->share_size = part->share ? both : 0;
    part->spare = mtli_allocate_array(context, pointers, sizeof part->spare[0]);
    return part->share && part->spare ? MTL_OK : context->status;
}

static void release_share(mtl_penalty *part)
{
    size_t pointers = (size_t)part->match->num_stacks * (size_t)part->match->num_networks;
    mtli_release(part->context, part->share, part->share_size * sizeof part->share[0]);
    mtli_release(part->context, part->spare, pointers * sizeof part->spare[0]);
    part->share = NULL;
    part->share_size = 0;
    part->spare = NULL;
}

/* Turns w from the weights to the share, which begins as the weights or as 0. */
static void begin_share(mtl_penalty *part, bool with_weights)
{
    const mtli_match *match = part->match;
    mtli_real *now = part->share;
    mtli_real *next = part->share + part->share_size / 2;
    memset(part->share, 0, part->share_size * sizeof part->share[0]);
    for (int64_t k = 0; k < match->num_stacks * match->num_networks; k++) {
        const mtl_tensor *parameter = match->stacks[k / match->num_networks].parameters[k % match->num_networks];
        size_t padded = mtli_round_up((size_t)parameter->size, MTLI_ALIGNMENT / sizeof(mtli_real));
        if (with_weights) {
            memcpy(now, parameter->data, (size_t)parameter->size * sizeof now[0]);
        }
        part->w[k] = now;
        part->spare[k] = next;
        now += padded;
        next += padded;
    }
    part->is_part = true;
}

/* A share that begins with NaN would keep it. */
static mtl_status check_weights_finite(const mtl_penalty *part)
{
    const mtli_match *match = part->match;
    for (int64_t k = 0; k < match->num_stacks * match->num_networks; k++) {
        int64_t index = k / match->num_networks;
        const mtl_tensor *parameter = match->stacks[index].parameters[k % match->num_networks];
        const mtli_real *values = parameter->data;
        for (int64_t i = 0; i < parameter->size; i++) {
            if (!isfinite(values[i])) {
                return mtli_penalty_fail(part, index);
            }
        }
    }
    return MTL_OK;
}

static mtl_status build_split(mtl_penalty *penalty, mtl_penalty *first, mtl_penalty *second)
{
    penalty->match = first->match;
    mtli_refcount_retain(&first->refs);
    mtli_refcount_retain(&second->refs);
    penalty->parts[0] = first;
    penalty->parts[1] = second;
    mtl_status status = mtli_penalty_point_at_weights(penalty);
    if (status == MTL_OK) {
        status = reserve_share(first);
    }
    return status == MTL_OK ? reserve_share(second) : status;
}

mtl_status mtl_penalty_create_split(mtl_penalty *first, mtl_penalty *second, mtl_penalty **out)
{
    if (!first) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = first->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, second);
    MTLI_REQUIRE(context, out);
    if (first == second) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "second is first");
    }
    if (second->context != context) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "second belongs to another context");
    }
    mtl_status status = check_part(first, "first");
    if (status == MTL_OK) {
        status = check_part(second, "second");
    }
    if (status == MTL_OK) {
        status = check_same_networks(first, second);
    }
    if (status == MTL_OK) {
        status = check_weights_finite(first);
    }
    if (status != MTL_OK) {
        return status;
    }
    mtl_penalty *penalty = mtli_penalty_allocate(context);
    if (!penalty) {
        return context->status;
    }
    status = build_split(penalty, first, second);
    if (status != MTL_OK) {
        release_share(first);
        release_share(second);
        mtl_penalty_destroy(penalty);
        return status;
    }
    begin_share(first, true);
    begin_share(second, false);
    *out = penalty;
    return MTL_OK;
}

/* The step. ---------------------------------------------------------------------------------------------------------- */

typedef struct split_arrays {
    int64_t n;
    mtli_real *w;
    mtli_real *p[2]; /* present shares */
    mtli_real *next[2];
} split_arrays;

static split_arrays arrays_of(const mtl_penalty *penalty, int64_t k)
{
    const mtli_match *match = penalty->match;
    mtl_penalty *const *parts = penalty->parts;
    return (split_arrays){.n = match->stacks[k / match->num_networks].parameters[0]->size,
                          .w = penalty->w[k],
                          .p = {parts[0]->w[k], parts[1]->w[k]},
                          .next = {parts[0]->spare[k], parts[1]->spare[k]}};
}

/* What the optimizer did to the sum is done to both shares. */
static void move_shares(const split_arrays *a)
{
    for (int64_t i = 0; i < a->n; i++) {
        mtli_real moved = a->w[i] - (a->p[0][i] + a->p[1][i]);
        a->next[0][i] = a->p[0][i] + moved;
        a->next[1][i] = a->p[1][i] + moved;
    }
}

static mtl_status shrink_share(mtl_penalty *penalty, int32_t part, int64_t index, double tau)
{
    mtl_penalty *own = penalty->parts[part];
    const mtli_term *term = &own->term;
    mtli_stack stack = mtli_penalty_stack(own, index);
    stack.w = own->spare + index * stack.count;
    bool done = tau == 0 || term->kind->proximal(penalty->context, term, &stack, tau, own->work);
    return done ? MTL_OK : mtli_penalty_fail(penalty, index);
}

/* Two finite shares may have a sum that is none. */
static mtl_status check_sum(mtl_penalty *penalty, int64_t index)
{
    const mtli_match *match = penalty->match;
    for (int32_t t = 0; t < match->num_networks; t++) {
        split_arrays a = arrays_of(penalty, index * match->num_networks + t);
        for (int64_t i = 0; i < a.n; i++) {
            if (!isfinite(a.next[0][i] + a.next[1][i])) {
                return mtli_fail(penalty->context, MTL_ERROR_NUMERIC, "the sum of the parts of '%s.%.128s' overflows",
                                 match->modules[t], match->stacks[index].name);
            }
        }
    }
    return MTL_OK;
}

static mtl_status make_next_shares(mtl_penalty *penalty, const double tau[2])
{
    int32_t networks = penalty->match->num_networks;
    mtl_status status = MTL_OK;
    for (int64_t i = 0; i < penalty->match->num_stacks && status == MTL_OK; i++) {
        for (int32_t t = 0; t < networks; t++) {
            split_arrays arrays = arrays_of(penalty, i * networks + t);
            move_shares(&arrays);
        }
        status = shrink_share(penalty, 0, i, tau[0]);
        if (status == MTL_OK) {
            status = shrink_share(penalty, 1, i, tau[1]);
        }
        if (status == MTL_OK) {
            status = check_sum(penalty, i);
        }
    }
    return status;
}

static void commit_shares(mtl_penalty *penalty)
{
    const mtli_match *match = penalty->match;
    for (int64_t k = 0; k < match->num_stacks * match->num_networks; k++) {
        split_arrays a = arrays_of(penalty, k);
        for (int64_t i = 0; i < a.n; i++) {
            a.w[i] = a.next[0][i] + a.next[1][i];
        }
    }
    for (int part = 0; part < 2; part++) {
        mtl_penalty *own = penalty->parts[part];
        mtli_real **present = own->w;
        own->w = own->spare;
        own->spare = present;
    }
}

/* Without coefficients the sum moves as if there were no penalty, and the first share with it. Where it has become NaN
 * or infinite the share stays: a penalty that is off finds no fault with weights, and a share that took NaN over would
 * never lose it. When the sum is finite again, the share is where it belongs after the next step. */
static void follow_sum(mtl_penalty *penalty)
{
    const mtli_match *match = penalty->match;
    for (int64_t k = 0; k < match->num_stacks * match->num_networks; k++) {
        split_arrays a = arrays_of(penalty, k);
        for (int64_t i = 0; i < a.n; i++) {
            mtli_real next = a.p[0][i] + (a.w[i] - (a.p[0][i] + a.p[1][i]));
            a.p[0][i] = isfinite(next) ? next : a.p[0][i];
        }
    }
}

mtl_status mtli_penalty_split_step(mtl_penalty *penalty, double rate)
{
    double tau[2];
    for (int part = 0; part < 2; part++) {
        double coefficient = penalty->coefficient * penalty->parts[part]->coefficient;
        tau[part] = rate * coefficient;
        if (!isfinite((mtli_real)tau[part])) {
            return mtli_fail(penalty->context, MTL_ERROR_NUMERIC, "learning rate * coefficient = %g * %g is not finite",
                             rate, coefficient);
        }
    }
    if (rate == 0) {
        return MTL_OK;
    }
    mtli_float_mode mode = mtli_float_mode_enter();
    mtl_status status = MTL_OK;
    if (tau[0] == 0 && tau[1] == 0) {
        follow_sum(penalty);
    } else {
        status = make_next_shares(penalty, tau);
        if (status == MTL_OK) {
            commit_shares(penalty);
        }
    }
    mtli_float_mode_leave(mode);
    return status;
}
