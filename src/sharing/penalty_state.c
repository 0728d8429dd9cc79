/* SPDX-License-Identifier: Apache-2.0
 * What a penalty shows to a checkpoint: its kind, its coefficient, and of a split one the shares of the weights. All other
 * penalties are functions of the present weights. */
#include <stdio.h>

#include "sharing/penalty.h"

enum { PENALTY_KEY_SIZE = 96 };

static mtl_status describe_penalty(const mtl_penalty *penalty, const char *prefix, const mtli_visitor *visitor)
{
    const mtl_penalty_options *options = &penalty->term.options;
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {
        {"networks", penalty->match->num_networks},
        {"parameters", penalty->match->num_stacks},
        {"form", options->form},
        {"unfolding", options->unfolding},
        {"group", options->group},
        {"sparse", options->sparse},
        {"clusters", options->clusters},
    };
    char key[PENALTY_KEY_SIZE];
    snprintf(key, sizeof key, "%skind", prefix);
    mtl_status status = visitor->text(visitor->user, key, penalty->term.kind ? penalty->term.kind->name : "split");
    size_t count = penalty->term.kind ? sizeof numbers / sizeof numbers[0] : 2;
    for (size_t i = 0; i < count && status == MTL_OK; i++) {
        snprintf(key, sizeof key, "%s%s", prefix, numbers[i].key);
        status = visitor->integer(visitor->user, key, numbers[i].value);
    }
    snprintf(key, sizeof key, "%sclustering", prefix);
    return status == MTL_OK && penalty->term.kind ? visitor->real(visitor->user, key, options->clustering) : status;
}

static const char *coefficient_fault(const void *self, const void *values, int64_t count)
{
    (void)self;
    (void)count;
    return ((const double *)values)[0] >= 0 ? NULL : "holds a negative coefficient";
}

static mtl_status visit_share(const mtl_penalty *part, const char *prefix, const mtli_state_visitor *visitor)
{
    const mtli_match *match = part->match;
    mtl_status status = MTL_OK;
    for (int64_t k = 0; k < match->num_stacks * match->num_networks && status == MTL_OK; k++) {
        const mtli_matched *stack = &match->stacks[k / match->num_networks];
        const mtl_tensor *parameter = stack->parameters[k % match->num_networks];
        const mtli_state_array array = {
            .name = {prefix, match->modules[k % match->num_networks], ".", stack->name},
            .type = MTLI_STATE_REAL,
            .ndim = parameter->shape.ndim,
            .dims = parameter->shape.dims,
            .count = parameter->size,
            .data = part->w[k],
        };
        status = visitor->array(visitor->fixed.user, &array);
    }
    return status;
}

static mtl_status visit_one(mtl_penalty *penalty, const char *prefix, const mtli_state_visitor *visitor)
{
    const mtli_state_array coefficient = {
        .name = {prefix, "coefficient"},
        .type = MTLI_STATE_DOUBLE,
        .count = 1,
        .data = &penalty->coefficient,
        .fault = coefficient_fault,
    };
    mtl_status status = describe_penalty(penalty, prefix, &visitor->fixed);
    if (status == MTL_OK) {
        status = visitor->array(visitor->fixed.user, &coefficient);
    }
    return status == MTL_OK && penalty->is_part ? visit_share(penalty, prefix, visitor) : status;
}

mtl_status mtli_penalty_visit(mtl_penalty *penalty, const char *prefix, const mtli_state_visitor *visitor)
{
    static const char *const names[2] = {"first.", "second."};
    mtl_status status = visit_one(penalty, prefix, visitor);
    for (int part = 0; part < 2 && penalty->parts[part] && status == MTL_OK; part++) {
        char longer[PENALTY_KEY_SIZE / 2];
        snprintf(longer, sizeof longer, "%s%s", prefix, names[part]);
        status = visit_one(penalty->parts[part], longer, visitor);
    }
    return status;
}
