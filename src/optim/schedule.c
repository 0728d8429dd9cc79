/* SPDX-License-Identifier: Apache-2.0
 * Learning-rate schedules: a factor for each step. */
#include <inttypes.h>
#include <math.h>

#include "optim/optimizer.h"

static const double pi = 3.14159265358979323846;

/* How far step s is on the way from the end of the warm-up to total_steps, in [0, 1]. */
static double progress(const mtl_schedule_options *schedule, int64_t s)
{
    int64_t length = schedule->total_steps - schedule->warmup_steps;
    return length <= 0 || s >= length ? 1 : (double)s / (double)length;
}

double mtli_schedule_factor(const mtl_schedule_options *schedule, int64_t step)
{
    if (step < schedule->warmup_steps) {
        return (double)(step + 1) / (double)schedule->warmup_steps;
    }
    int64_t s = step - schedule->warmup_steps;
    double last = schedule->final_factor;
    switch (schedule->kind) {
    case MTL_SCHEDULE_STEP:
        return pow(schedule->gamma, (double)(s / schedule->period));
    case MTL_SCHEDULE_COSINE:
        return last + (1 - last) * 0.5 * (1 + cos(pi * progress(schedule, s)));
    case MTL_SCHEDULE_LINEAR:
        return last + (1 - last) * (1 - progress(schedule, s));
    default:
        return 1;
    }
}

static mtl_status check_schedule(mtl_context *context, const mtl_schedule_options *schedule)
{
    if (schedule->kind < MTL_SCHEDULE_CONSTANT || schedule->kind > MTL_SCHEDULE_LINEAR) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "kind = %d is not a schedule", schedule->kind);
    }
    if (schedule->warmup_steps < 0) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "warmup_steps = %" PRId64 " is negative", schedule->warmup_steps);
    }
    bool falls = schedule->kind == MTL_SCHEDULE_COSINE || schedule->kind == MTL_SCHEDULE_LINEAR;
    if (falls && schedule->total_steps <= schedule->warmup_steps) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT,
                         "total_steps = %" PRId64 " is not more than warmup_steps = %" PRId64, schedule->total_steps,
                         schedule->warmup_steps);
    }
    if (falls && !(schedule->final_factor >= 0 && isfinite(schedule->final_factor))) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "final_factor = %g is not a finite number >= 0",
                         schedule->final_factor);
    }
    bool steps = schedule->kind == MTL_SCHEDULE_STEP;
    if (steps && (schedule->period < 1 || !(schedule->gamma > 0) || !isfinite(schedule->gamma))) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "period = %" PRId64 ", gamma = %g: both must be positive",
                         schedule->period, schedule->gamma);
    }
    return MTL_OK;
}

mtl_status mtl_optimizer_set_schedule(mtl_optimizer *optimizer, const mtl_schedule_options *options)
{
    if (!optimizer) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = optimizer->context;
    mtli_enter(context);
    mtl_schedule_options known = MTL_SCHEDULE_OPTIONS_INIT;
    mtl_status status = mtli_import_options(context, "options", &known, sizeof known, sizeof known, options);
    if (status == MTL_OK) {
        status = mtli_check_reserved(context, known.reserved0);
    }
    if (status == MTL_OK) {
        status = check_schedule(context, &known);
    }
    if (status == MTL_OK) {
        optimizer->schedule = known;
    }
    return status;
}
