/* SPDX-License-Identifier: Apache-2.0
 * The optimizer from inside: what is common to all rules, and the table that a rule is. */
#ifndef MTLI_OPTIM_OPTIMIZER_H
#define MTLI_OPTIM_OPTIMIZER_H

#include <mtl/optimizer.h>

#include "base/proximal.h"
#include "base/state.h"
#include "kernels/update.h"
#include "nn/model.h"

enum { MTLI_MAX_SLOTS = 2 };

/** One parameter as the optimizer sees it. */
typedef struct mtli_slot_entry {
    mtl_tensor *parameter;
    char *name;                       /* whole name, for patterns */
    mtli_real *slots[MTLI_MAX_SLOTS]; /* the rule's state, parameter->size values each */
    double rate_scale;
    double weight_decay; /* negative: the optimizer's */
} mtli_slot_entry;

/** What one step uses for one parameter. */
typedef struct mtli_step {
    int64_t number; /* of the step, from 1 */
    double rate;
    double weight_decay;
    union {
        mtli_sgd_step sgd;
        mtli_adam_step adam;
    } constants; /* the rule's */
} mtli_step;

/** A rule. prepare computes the step's constants from the fields above them; update moves a run of n contiguous values.
 *  `g` may be NULL: zeros. slots[k] is NULL from the rule's count on. */
typedef struct mtli_rule {
    const char *name;
    void (*prepare)(const mtl_optimizer *optimizer, mtli_step *step);
    void (*update)(const mtli_step *step, int64_t n, mtli_real *w, const mtli_real *g, mtli_real *const *slots);
    const char *slot_names[MTLI_MAX_SLOTS];
    bool slot_is_square[MTLI_MAX_SLOTS];                                                 /* never negative */
    mtl_status (*describe)(const mtl_optimizer *optimizer, const mtli_visitor *visitor); /* its own options */
} mtli_rule;

/** What all rules have in common among their options. */
typedef struct mtli_common_options {
    double learning_rate;
    double weight_decay;
    double clip_norm;
    int32_t sparse;
    int32_t num_slots;
} mtli_common_options;

/** A proximal step and where its parameters stand among the optimizer's. */
typedef struct mtli_attached_proximal {
    mtli_proximal proximal;
    int32_t *entries;
    int64_t num_entries;
} mtli_attached_proximal;

struct mtl_optimizer {
    mtl_context *context;
    const mtli_rule *rule;
    mtli_common_options common;
    union {
        mtl_sgd_options sgd;
        mtl_adam_options adam;
    } as;
    mtl_schedule_options schedule;
    int64_t steps;
    int32_t num_blocks;
    mtli_parameters **blocks; /* retained */
    int32_t num_entries;
    mtli_slot_entry *entries;
    mtli_real *state; /* all slots */
    size_t state_size;
    int32_t num_proximals;
    mtli_attached_proximal *proximals; /* in the order of their steps */
    size_t proximals_capacity;
};

/** An optimizer with a rule; its own options are the caller's to fill. */
mtl_status mtli_optimizer_create(mtl_model *model, const mtli_rule *rule, const mtli_common_options *common,
                                 mtl_optimizer **out);

/** Has each step end with one more proximal step. Its parameters must be the optimizer's. On failure nothing is released. */
mtl_status mtli_optimizer_add_proximal(mtl_optimizer *optimizer, const mtli_proximal *proximal);

/** The proximal steps: the check that comes before the update, and what comes after it. `rate` is the learning rate
 *  before group factors. */
mtl_status mtli_proximals_check(const mtl_optimizer *optimizer);
mtl_status mtli_proximals_run(mtl_optimizer *optimizer, double rate, const mtl_gradients *gradients);
void mtli_proximals_release(mtl_optimizer *optimizer);

/** The factor of the learning rate at a step (from 0). */
double mtli_schedule_factor(const mtl_schedule_options *schedule, int64_t step);

/** Shows everything that steps depend on. What is set at creation must be the same when it is taken up again; what setters
 *  change (learning rate, groups, schedule) is state, like the steps and the rule's slots. */
mtl_status mtli_optimizer_visit(mtl_optimizer *optimizer, const mtli_state_visitor *visitor);

/** Checks for the option structs. */
mtl_status mtli_check_common(mtl_context *context, const mtli_common_options *common);
mtl_status mtli_check_fraction(mtl_context *context, const char *name, double value);

#endif
