/* SPDX-License-Identifier: Apache-2.0
 * mtl_linear_fit(): options and report, and the order in which things are done. */
#include "sharing/linear.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/float_mode.h"

enum { MOST_LINEAR_TASKS = 65536 };

static mtl_status check_linear_choice(mtl_context *context, const char *name, int32_t value)
{
    return value == 0 || value == 1
               ? MTL_OK
               : mtli_fail(context, MTL_ERROR_ARGUMENT, "%s = %" PRId32 " is not 0 or 1", name, value);
}

static mtl_status check_task_weights(mtl_context *context, const double *weights, int32_t count)
{
    for (int32_t t = 0; weights && t < count; t++) {
        if (!(weights[t] >= 0) || !isfinite((mtli_real)weights[t])) {
            return mtli_fail(context, MTL_ERROR_ARGUMENT, "task_weights[%" PRId32 "] = %g is not a finite number >= 0",
                             t, weights[t]);
        }
    }
    return MTL_OK;
}

static mtl_status check_linear_options(mtl_context *context, const mtl_linear_options *options, int32_t count)
{
    if (!(options->tolerance >= 0 && options->tolerance < 1)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "tolerance = %g is not in [0, 1)", options->tolerance);
    }
    if (options->max_iterations < 0) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "max_iterations = %" PRId64 " is negative",
                         options->max_iterations);
    }
    mtl_status status = check_linear_choice(context, "reduction", options->reduction);
    if (status == MTL_OK) {
        status = check_linear_choice(context, "squares", options->squares);
    }
    if (status == MTL_OK) {
        status = check_linear_choice(context, "fit_bias", options->fit_bias);
    }
    if (status == MTL_OK) {
        status = mtli_check_reserved(context, options->reserved0);
    }
    return status == MTL_OK ? check_task_weights(context, options->task_weights, count) : status;
}

static mtl_status check_report(mtl_context *context, const mtl_linear_report *report)
{
    if (report && report->struct_size < sizeof *report) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT,
                         "report->struct_size = %zu is less than %zu: begin with the _INIT macro", report->struct_size,
                         sizeof *report);
    }
    return MTL_OK;
}

static mtl_status check_linear_counts(mtl_context *context, int32_t count, int32_t num_penalties)
{
    if (count < 1 || count > MOST_LINEAR_TASKS) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "count = %" PRId32 " is not in [1, %d]", count,
                         MOST_LINEAR_TASKS);
    }
    if (num_penalties < 0) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "num_penalties = %" PRId32 " is negative", num_penalties);
    }
    return MTL_OK;
}

static void prepare_task(void *argument, int32_t t)
{
    mtli_linear_problem *problem = argument;
    mtli_linear_task_prepare(&problem->tasks[t]);
}

static mtl_status fit_in_arena(mtli_linear_call *call, int32_t count, mtl_linear_report *report)
{
    mtli_linear_problem *problem = &call->problem;
    mtl_status status = mtli_linear_find_heads(call, count);
    if (status == MTL_OK) {
        status = mtli_linear_sort_penalties(call);
    }
    if (status == MTL_OK) {
        status = mtli_linear_read_data(call);
    }
    if (status == MTL_OK) {
        status = mtli_linear_reserve(problem, &call->arena);
    }
    if (status == MTL_OK) {
        status = mtli_linear_read_weights(call);
    }
    if (status != MTL_OK) {
        return status;
    }
    mtli_float_mode mode = mtli_float_mode_enter();
    mtli_parallel_for(call->context, count, prepare_task, problem);
    status = mtli_linear_solve(problem, report);
    mtli_float_mode_leave(mode);
    return status == MTL_OK ? mtli_linear_write_weights(call) : status;
}

static mtl_status fit_checked(mtli_linear_call *call, int32_t count, mtl_linear_report *report)
{
    mtl_linear_report done = MTL_LINEAR_REPORT_INIT;
    call->problem.context = call->context;
    call->problem.tolerance = call->options.tolerance;
    call->problem.max_iterations = call->options.max_iterations;
    mtli_arena_init(&call->arena, call->context);
    mtl_status status = fit_in_arena(call, count, &done);
    mtli_arena_destroy(&call->arena);
    if (status == MTL_OK && report) {
        done.struct_size = report->struct_size;
        memcpy(report, &done, sizeof done);
    }
    return status;
}

mtl_status mtl_linear_fit(mtl_model *model, const char *const *heads, int32_t count, mtl_tensor *const *features,
                          mtl_tensor *const *targets, mtl_penalty *const *penalties, int32_t num_penalties,
                          const mtl_linear_options *options, mtl_linear_report *report)
{
    if (!model) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = model->context;
    mtli_enter(context);
    mtl_status status = check_linear_counts(context, count, num_penalties);
    if (status != MTL_OK) {
        return status;
    }
    MTLI_REQUIRE(context, heads);
    MTLI_REQUIRE(context, features);
    MTLI_REQUIRE(context, targets);
    if (num_penalties > 0) {
        MTLI_REQUIRE(context, penalties);
    }
    mtli_linear_call call = {.context = context,
                             .model = model,
                             .names = heads,
                             .features = features,
                             .targets = targets,
                             .penalties = penalties,
                             .num_penalties = num_penalties,
                             .options = MTL_LINEAR_OPTIONS_INIT};
    status = mtli_import_options(context, "options", &call.options, sizeof call.options, sizeof call.options, options);
    if (status == MTL_OK) {
        status = check_linear_options(context, &call.options, count);
    }
    if (status == MTL_OK) {
        status = check_report(context, report);
    }
    return status == MTL_OK ? fit_checked(&call, count, report) : status;
}
