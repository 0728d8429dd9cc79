/* SPDX-License-Identifier: Apache-2.0
 * What an optimizer shows to a checkpoint: its kind and options, its settings, its slots. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "optim/optimizer.h"

enum { MOST_STEPS_LOG2 = 53 }; /* bias corrections take the step as a double */

/* ---- options ---- */

static mtl_status describe_optimizer(const mtl_optimizer *optimizer, const mtli_visitor *visitor)
{
    mtl_status status = visitor->text(visitor->user, "kind", optimizer->rule->name);
    if (status == MTL_OK) {
        status = optimizer->rule->describe(optimizer, visitor);
    }
    if (status == MTL_OK) {
        status = visitor->real(visitor->user, "weight_decay", optimizer->common.weight_decay);
    }
    if (status == MTL_OK) {
        status = visitor->real(visitor->user, "clip_norm", optimizer->common.clip_norm);
    }
    if (status == MTL_OK) {
        status = visitor->integer(visitor->user, "sparse", optimizer->common.sparse);
    }
    return status == MTL_OK ? visitor->integer(visitor->user, "proximal_steps", optimizer->num_proximals) : status;
}

/* ---- settings ---- */

static bool is_setting(double value)
{
    return value >= 0 && isfinite((mtli_real)value);
}

static const char *steps_fault(const void *self, const void *values, int64_t count)
{
    const int64_t *steps = values;
    (void)self;
    (void)count;
    return steps[0] >= 0 && steps[0] <= (int64_t)1 << MOST_STEPS_LOG2 ? NULL : "holds no number of steps";
}

static const char *learning_rate_fault(const void *self, const void *values, int64_t count)
{
    const double *rate = values;
    (void)self;
    (void)count;
    return rate[0] > 0 && is_setting(rate[0]) ? NULL : "holds no learning rate";
}

static void get_schedule_steps(const void *self, void *values)
{
    const mtl_schedule_options *schedule = &((const mtl_optimizer *)self)->schedule;
    const int64_t numbers[] = {schedule->kind, schedule->warmup_steps, schedule->total_steps, schedule->period};
    memcpy(values, numbers, sizeof numbers);
}

static void put_schedule_steps(void *self, const void *values)
{
    mtl_schedule_options *schedule = &((mtl_optimizer *)self)->schedule;
    const int64_t *numbers = values;
    schedule->kind = (int32_t)numbers[0];
    schedule->warmup_steps = numbers[1];
    schedule->total_steps = numbers[2];
    schedule->period = numbers[3];
}

static const char *schedule_steps_fault(const void *self, const void *values, int64_t count)
{
    const int64_t *numbers = values;
    int64_t kind = numbers[0];
    bool falls = kind == MTL_SCHEDULE_COSINE || kind == MTL_SCHEDULE_LINEAR;
    bool good = kind >= MTL_SCHEDULE_CONSTANT && kind <= MTL_SCHEDULE_LINEAR && numbers[1] >= 0;
    good = good && (!falls || numbers[2] > numbers[1]) && (kind != MTL_SCHEDULE_STEP || numbers[3] >= 1);
    (void)self;
    (void)count;
    return good ? NULL : "holds no schedule";
}

static void get_schedule_factors(const void *self, void *values)
{
    const mtl_schedule_options *schedule = &((const mtl_optimizer *)self)->schedule;
    const double factors[] = {schedule->gamma, schedule->final_factor};
    memcpy(values, factors, sizeof factors);
}

static void put_schedule_factors(void *self, const void *values)
{
    mtl_schedule_options *schedule = &((mtl_optimizer *)self)->schedule;
    const double *factors = values;
    schedule->gamma = factors[0];
    schedule->final_factor = factors[1];
}

static void get_rate_scales(const void *self, void *values)
{
    const mtl_optimizer *optimizer = self;
    for (int32_t i = 0; i < optimizer->num_entries; i++) {
        ((double *)values)[i] = optimizer->entries[i].rate_scale;
    }
}

static void put_rate_scales(void *self, const void *values)
{
    mtl_optimizer *optimizer = self;
    for (int32_t i = 0; i < optimizer->num_entries; i++) {
        optimizer->entries[i].rate_scale = ((const double *)values)[i];
    }
}

static const char *rate_scales_fault(const void *self, const void *values, int64_t count)
{
    (void)self;
    for (int64_t i = 0; i < count; i++) {
        if (!is_setting(((const double *)values)[i])) {
            return "holds a scale of the learning rate that is negative or too large";
        }
    }
    return NULL;
}

static void get_decays(const void *self, void *values)
{
    const mtl_optimizer *optimizer = self;
    for (int32_t i = 0; i < optimizer->num_entries; i++) {
        ((double *)values)[i] = optimizer->entries[i].weight_decay;
    }
}

static void put_decays(void *self, const void *values)
{
    mtl_optimizer *optimizer = self;
    for (int32_t i = 0; i < optimizer->num_entries; i++) {
        optimizer->entries[i].weight_decay = ((const double *)values)[i];
    }
}

static mtl_status visit_settings(mtl_optimizer *optimizer, const mtli_state_visitor *visitor)
{
    const mtli_state_array settings[] = {
        {.name = {"steps"}, .type = MTLI_STATE_INTEGER, .count = 1, .data = &optimizer->steps, .fault = steps_fault},
        {.name = {"learning_rate"},
         .type = MTLI_STATE_DOUBLE,
         .count = 1,
         .data = &optimizer->common.learning_rate,
         .fault = learning_rate_fault},
        {.name = {"schedule"},
         .type = MTLI_STATE_INTEGER,
         .count = 4,
         .get = get_schedule_steps,
         .put = put_schedule_steps,
         .fault = schedule_steps_fault},
        {.name = {"schedule_factors"},
         .type = MTLI_STATE_DOUBLE,
         .count = 2,
         /* whatever mtl_optimizer_set_schedule() let pass; a step refuses a rate that is not finite */
         .may_be_nonfinite = true,
         .get = get_schedule_factors,
         .put = put_schedule_factors},
        {.name = {"learning_rate_scales"},
         .type = MTLI_STATE_DOUBLE,
         .count = optimizer->num_entries,
         .get = get_rate_scales,
         .put = put_rate_scales,
         .fault = rate_scales_fault},
        {.name = {"weight_decays"},
         .type = MTLI_STATE_DOUBLE,
         .count = optimizer->num_entries,
         .get = get_decays,
         .put = put_decays},
    };
    mtl_status status = MTL_OK;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0] && status == MTL_OK; i++) {
        mtli_state_array array = settings[i];
        array.self = optimizer;
        status = visitor->array(visitor->fixed.user, &array);
    }
    return status;
}

/* ---- slots ---- */

static const char *square_fault(const void *self, const void *values, int64_t count)
{
    (void)self;
    for (int64_t i = 0; i < count; i++) {
        if (((const mtli_real *)values)[i] < 0) {
            return "holds a mean of squares that is negative";
        }
    }
    return NULL;
}

static mtl_status visit_slots(mtl_optimizer *optimizer, const mtli_state_visitor *visitor, int32_t slot)
{
    mtl_status status = MTL_OK;
    for (int32_t i = 0; i < optimizer->num_entries && status == MTL_OK; i++) {
        const mtli_slot_entry *entry = &optimizer->entries[i];
        mtli_state_array array = {
            .name = {optimizer->rule->slot_names[slot], ".", entry->name},
            .type = MTLI_STATE_REAL,
            .ndim = entry->parameter->shape.ndim,
            .dims = entry->parameter->shape.dims,
            .count = entry->parameter->size,
            .data = entry->slots[slot],
            .fault = optimizer->rule->slot_is_square[slot] ? square_fault : NULL,
        };
        status = visitor->array(visitor->fixed.user, &array);
    }
    return status;
}

static mtl_status visit_proximals(mtl_optimizer *optimizer, const mtli_state_visitor *visitor)
{
    mtl_status status = MTL_OK;
    for (int32_t i = 0; i < optimizer->num_proximals && status == MTL_OK; i++) {
        const mtli_proximal *proximal = &optimizer->proximals[i].proximal;
        char prefix[32];
        snprintf(prefix, sizeof prefix, "proximal.%d.", i);
        status = proximal->visit ? proximal->visit(proximal->self, prefix, visitor) : MTL_OK;
    }
    return status;
}

mtl_status mtli_optimizer_visit(mtl_optimizer *optimizer, const mtli_state_visitor *visitor)
{
    mtl_status status = describe_optimizer(optimizer, &visitor->fixed);
    if (status == MTL_OK) {
        status = visit_settings(optimizer, visitor);
    }
    for (int32_t k = 0; k < optimizer->common.num_slots && status == MTL_OK; k++) {
        status = visit_slots(optimizer, visitor, k);
    }
    return status == MTL_OK ? visit_proximals(optimizer, visitor) : status;
}
