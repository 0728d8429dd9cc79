/* SPDX-License-Identifier: Apache-2.0
 * Optimizers of any rule: life, groups, the step. The rules are in sgd.c and adam.c. */
#include "optim/optimizer.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "autograd/gradients.h"
#include "base/checked.h"
#include "base/float_mode.h"
#include "optim/pattern.h"

mtl_status mtli_check_fraction(mtl_context *context, const char *name, double value)
{
    if (!(value >= 0 && (mtli_real)value < 1)) { /* as the rule will see it */
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "%s = %g is not in [0, 1)", name, value);
    }
    return MTL_OK;
}

/* Finite in the type that computes. */
static bool finite_and_at_least_0(double value)
{
    return value >= 0 && isfinite((mtli_real)value);
}

mtl_status mtli_check_common(mtl_context *context, const mtli_common_options *common)
{
    if (!(common->learning_rate > 0) || !finite_and_at_least_0(common->learning_rate)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "learning_rate = %g is not a finite number > 0",
                         common->learning_rate);
    }
    if (!finite_and_at_least_0(common->weight_decay)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "weight_decay = %g is not a finite number >= 0",
                         common->weight_decay);
    }
    if (!finite_and_at_least_0(common->clip_norm)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "clip_norm = %g is not a finite number >= 0", common->clip_norm);
    }
    if (common->sparse != MTL_SPARSE_LAZY && common->sparse != MTL_SPARSE_DENSE) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "sparse = %d is not a way to apply rows", common->sparse);
    }
    return MTL_OK;
}

static mtl_status hold_blocks(mtl_optimizer *optimizer, mtl_model *model)
{
    optimizer->blocks = mtli_model_blocks(model);
    if (!optimizer->blocks) {
        return model->context->status;
    }
    optimizer->num_blocks = model->num_entries;
    for (int32_t i = 0; i < optimizer->num_blocks; i++) {
        mtli_parameters_retain(optimizer->blocks[i]);
    }
    return MTL_OK;
}

static mtl_status make_entries(mtl_optimizer *optimizer, mtl_model *model)
{
    mtl_context *context = optimizer->context;
    int32_t count = (int32_t)mtl_model_num_parameters(model);
    optimizer->entries = mtli_allocate_zeroed(context, (size_t)count * sizeof optimizer->entries[0]);
    if (!optimizer->entries) {
        return context->status;
    }
    optimizer->num_entries = count;
    for (int32_t i = 0; i < count; i++) {
        mtli_slot_entry *entry = &optimizer->entries[i];
        entry->parameter = mtl_model_parameter(model, i);
        entry->rate_scale = 1;
        entry->weight_decay = -1;
        entry->name = mtli_copy_string(context, mtl_model_parameter_name(model, i));
        if (!entry->name) {
            return context->status;
        }
    }
    return MTL_OK;
}

static size_t padded_size(const mtl_tensor *parameter)
{
    return mtli_round_up((size_t)parameter->size, MTLI_ALIGNMENT / sizeof(mtli_real));
}

static mtl_status make_state(mtl_optimizer *optimizer)
{
    mtl_context *context = optimizer->context;
    size_t total = 0;
    for (int32_t i = 0; i < optimizer->num_entries; i++) {
        size_t size;
        if (!mtli_mul_size(padded_size(optimizer->entries[i].parameter), (size_t)optimizer->common.num_slots, &size) ||
            !mtli_add_size(total, size, &total)) {
            return mtli_fail(context, MTL_ERROR_LIMIT, "the optimizer's state does not fit in memory");
        }
    }
    optimizer->state = mtli_allocate_array(context, total, sizeof(mtli_real));
    if (!optimizer->state) {
        return context->status;
    }
    optimizer->state_size = total;
    memset(optimizer->state, 0, total * sizeof(mtli_real));
    mtli_real *next = optimizer->state;
    for (int32_t i = 0; i < optimizer->num_entries; i++) {
        for (int32_t k = 0; k < optimizer->common.num_slots; k++) {
            optimizer->entries[i].slots[k] = next;
            next += padded_size(optimizer->entries[i].parameter);
        }
    }
    return MTL_OK;
}

mtl_status mtli_optimizer_create(mtl_model *model, const mtli_rule *rule, const mtli_common_options *common,
                                 mtl_optimizer **out)
{
    mtl_context *context = model->context;
    mtl_optimizer *optimizer = mtli_allocate_zeroed(context, sizeof *optimizer);
    if (!optimizer) {
        return context->status;
    }
    optimizer->context = mtl_context_retain(context);
    optimizer->rule = rule;
    optimizer->common = *common;
    optimizer->schedule = (mtl_schedule_options)MTL_SCHEDULE_OPTIONS_INIT;
    mtl_status status = hold_blocks(optimizer, model);
    if (status == MTL_OK) {
        status = make_entries(optimizer, model);
    }
    if (status == MTL_OK) {
        status = make_state(optimizer);
    }
    if (status != MTL_OK) {
        mtl_optimizer_destroy(optimizer);
        return status;
    }
    mtli_model_seal(model);
    *out = optimizer;
    return MTL_OK;
}

void mtl_optimizer_destroy(mtl_optimizer *optimizer)
{
    if (!optimizer) {
        return;
    }
    mtl_context *context = optimizer->context;
    mtli_proximals_release(optimizer);
    for (int32_t i = 0; i < optimizer->num_entries; i++) {
        mtli_release_string(context, optimizer->entries[i].name);
    }
    for (int32_t i = 0; i < optimizer->num_blocks; i++) {
        mtli_parameters_release(optimizer->blocks[i]);
    }
    mtli_release(context, optimizer->blocks, (size_t)optimizer->num_blocks * sizeof optimizer->blocks[0]);
    mtli_release(context, optimizer->entries, (size_t)optimizer->num_entries * sizeof optimizer->entries[0]);
    mtli_release(context, optimizer->state, optimizer->state_size * sizeof optimizer->state[0]);
    mtli_release(context, optimizer, sizeof *optimizer);
    mtl_context_release(context);
}

/* A run of an entry's values, from value `begin` on. */
static void update_run(mtl_optimizer *optimizer, const mtli_step *step, mtli_slot_entry *entry, int64_t begin,
                       int64_t n, const mtli_real *g)
{
    mtli_real *slots[MTLI_MAX_SLOTS] = {NULL};
    for (int32_t k = 0; k < optimizer->common.num_slots; k++) {
        slots[k] = entry->slots[k] + begin;
    }
    optimizer->rule->update(step, n, (mtli_real *)entry->parameter->data + begin, g, slots);
}

static void update_rows(mtl_optimizer *optimizer, const mtli_step *step, mtli_slot_entry *entry,
                        const mtli_gradient_entry *gradient)
{
    int64_t width = gradient->width;
    bool everywhere = optimizer->common.sparse == MTL_SPARSE_DENSE;
    int64_t next = 0; /* the first row that has not been visited */
    for (int64_t k = 0; k < gradient->num_rows; k++) {
        int64_t row = gradient->rows[k];
        if (everywhere && row > next) {
            update_run(optimizer, step, entry, next * width, (row - next) * width, NULL);
        }
        update_run(optimizer, step, entry, row * width, width, gradient->values + k * width);
        next = row + 1;
    }
    if (everywhere && next < gradient->table_rows) {
        update_run(optimizer, step, entry, next * width, (gradient->table_rows - next) * width, NULL);
    }
}

static void update_entry(mtl_optimizer *optimizer, mtli_slot_entry *entry, const mtli_gradient_entry *gradient)
{
    mtli_step step = {.number = optimizer->steps + 1,
                      .rate = mtl_optimizer_learning_rate(optimizer) * entry->rate_scale,
                      .weight_decay = entry->weight_decay < 0 ? optimizer->common.weight_decay : entry->weight_decay};
    if (entry->rate_scale == 0) {
        return;
    }
    optimizer->rule->prepare(optimizer, &step);
    if (gradient->state == MTLI_GRADIENT_DENSE) {
        update_run(optimizer, &step, entry, 0, entry->parameter->size, gradient->dense);
    } else if (gradient->state == MTLI_GRADIENT_ROWS) {
        update_rows(optimizer, &step, entry, gradient);
    }
}

static mtl_status check_gradients_of_optimizer(mtl_optimizer *optimizer, const mtl_gradients *gradients)
{
    bool same = gradients->num_blocks == optimizer->num_blocks;
    for (int32_t i = 0; i < optimizer->num_blocks && same; i++) {
        same = gradients->blocks[i].parameters == optimizer->blocks[i];
    }
    return same ? MTL_OK
                : mtli_fail(optimizer->context, MTL_ERROR_ARGUMENT, "gradients are not of the optimizer's model");
}

mtl_status mtl_optimizer_step(mtl_optimizer *optimizer, mtl_gradients *gradients)
{
    if (!optimizer) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = optimizer->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, gradients);
    mtl_status status = check_gradients_of_optimizer(optimizer, gradients);
    if (status == MTL_OK) {
        status = mtli_proximals_check(optimizer);
    }
    if (status != MTL_OK) {
        return status;
    }
    double norm = mtl_gradients_norm(gradients);
    if (!isfinite(norm)) {
        return mtli_fail(context, MTL_ERROR_NUMERIC, "the norm of the gradients is %g", norm);
    }
    double rate = mtl_optimizer_learning_rate(optimizer);
    if (!finite_and_at_least_0(rate)) {
        return mtli_fail(context, MTL_ERROR_NUMERIC, "the schedule makes the learning rate %g", rate);
    }
    mtli_float_mode mode = mtli_float_mode_enter();
    if (optimizer->common.clip_norm > 0 && norm > optimizer->common.clip_norm) {
        mtl_gradients_scale(gradients, optimizer->common.clip_norm / norm);
    }
    for (int32_t i = 0; i < optimizer->num_entries; i++) {
        mtli_slot_entry *entry = &optimizer->entries[i];
        update_entry(optimizer, entry, mtli_gradients_find(gradients, entry->parameter));
    }
    mtli_float_mode_leave(mode);
    optimizer->steps++;
    return mtli_proximals_run(optimizer, rate, gradients);
}

int64_t mtl_optimizer_steps(const mtl_optimizer *optimizer)
{
    return optimizer ? optimizer->steps : 0;
}

double mtl_optimizer_learning_rate(const mtl_optimizer *optimizer)
{
    return optimizer ? optimizer->common.learning_rate * mtli_schedule_factor(&optimizer->schedule, optimizer->steps)
                     : 0;
}

mtl_status mtl_optimizer_set_learning_rate(mtl_optimizer *optimizer, double learning_rate)
{
    if (!optimizer) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(optimizer->context);
    mtli_common_options wanted = optimizer->common;
    wanted.learning_rate = learning_rate;
    mtl_status status = mtli_check_common(optimizer->context, &wanted);
    if (status == MTL_OK) {
        optimizer->common = wanted;
    }
    return status;
}

static mtl_status check_group(mtl_context *context, const mtl_group_options *group)
{
    if (!finite_and_at_least_0(group->learning_rate_scale)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "learning_rate_scale = %g is not a finite number >= 0",
                         group->learning_rate_scale);
    }
    if (!isfinite(group->weight_decay)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "weight_decay = %g is not finite", group->weight_decay);
    }
    return MTL_OK;
}

mtl_status mtl_optimizer_add_group(mtl_optimizer *optimizer, const char *pattern, const mtl_group_options *options,
                                   int64_t *matched)
{
    if (!optimizer) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = optimizer->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, pattern);
    MTLI_REQUIRE(context, options);
    mtl_group_options known = MTL_GROUP_OPTIONS_INIT;
    mtl_status status = mtli_import_options(context, "options", &known, sizeof known, sizeof known, options);
    if (status == MTL_OK) {
        status = check_group(context, &known);
    }
    if (status != MTL_OK) {
        return status;
    }
    int64_t count = 0;
    for (int32_t i = 0; i < optimizer->num_entries; i++) {
        if (mtli_pattern_matches(pattern, optimizer->entries[i].name)) {
            optimizer->entries[i].rate_scale = known.learning_rate_scale;
            optimizer->entries[i].weight_decay = known.weight_decay;
            count++;
        }
    }
    if (count == 0) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "no parameter matches pattern '%.128s'", pattern);
    }
    if (matched) {
        *matched = count;
    }
    return MTL_OK;
}
