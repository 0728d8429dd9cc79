/* SPDX-License-Identifier: Apache-2.0
 * What a host tells a balancer, and asks of it, without an objective. */
#include <math.h>

#include "balance/balancer.h"
#include "balance/loss_rules.h"

mtl_status mtl_balancer_set_monitor(mtl_balancer *balancer, mtl_balance_monitor_fn monitor, void *user)
{
    if (!balancer) {
        return MTL_ERROR_ARGUMENT;
    }
    balancer->monitor = monitor;
    balancer->monitor_user = user;
    return MTL_OK;
}

static mtl_status check_measure(const mtl_balancer *balancer, int32_t task, double value)
{
    mtl_context *context = balancer->context;
    if ((balancer->rule->needs & MTL_BALANCE_NEEDS_MEASURE) == 0) {
        return mtli_fail(context, MTL_ERROR_UNSUPPORTED, "the balancer's method '%s' takes no measure",
                         balancer->rule->name);
    }
    if (mtli_balancer_steps(balancer) == 0) {
        return mtli_fail(context, MTL_ERROR_STATE, "no step was done yet, so the tasks are not known");
    }
    if (task < 0 || task >= balancer->room.tasks) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "task = %d is not in [0, %d)", task, balancer->room.tasks);
    }
    if (!(value >= 0 && value <= 1)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "value = %g is not in [0, 1]", value);
    }
    return MTL_OK;
}

mtl_status mtl_balancer_set_measure(mtl_balancer *balancer, int32_t task, double value)
{
    if (!balancer) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(balancer->context);
    mtl_status status = check_measure(balancer, task, value);
    if (status != MTL_OK) {
        return status;
    }
    double *success = mtli_balancer_memory_of(balancer, 0) + task;
    double *measured = mtli_balancer_memory_of(balancer, 1) + task;
    (void)mtli_loss_success_update(1, &value, balancer->options.rate, measured[0] == 0, success); /* all in [0, 1] */
    measured[0]++;
    return MTL_OK;
}

static mtl_status check_decision(const mtl_balancer *balancer, int32_t count, const double *gram)
{
    enum { ALONE = MTL_BALANCE_NEEDS_GRAM | MTL_BALANCE_NEEDS_EPOCHS | MTL_BALANCE_NEEDS_MEASURE, MOST = 65536 };
    mtl_context *context = balancer->context;
    int32_t needs = balancer->rule->needs | balancer->options.needs;
    if ((needs & ~ALONE) != 0) {
        return mtli_fail(context, MTL_ERROR_UNSUPPORTED, "the balancer's method '%s' needs more than losses and gram",
                         balancer->rule->name);
    }
    if (count < 1 || count > MOST) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "count = %d is not in [1, %d]", count, MOST);
    }
    if (mtli_balancer_steps(balancer) > 0 && balancer->room.tasks != count) {
        return mtli_fail(context, MTL_ERROR_STATE, "count = %d, the balancer knows %d tasks", count,
                         balancer->room.tasks);
    }
    if ((needs & MTL_BALANCE_NEEDS_GRAM) != 0 && !gram && mtli_balancer_will_decide(balancer)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "gram is NULL, and '%s' needs it", balancer->rule->name);
    }
    return MTL_OK;
}

static void write_result(const mtl_balancer *balancer, mtl_balance_result *result)
{
    size_t size = result->struct_size;
    *result = balancer->result;
    result->struct_size = size;
}

static mtl_status check_result(mtl_context *context, const mtl_balance_result *result)
{
    if (result && result->struct_size < sizeof *result) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "result->struct_size = %zu is less than %zu", result->struct_size,
                         sizeof *result);
    }
    return MTL_OK;
}

mtl_status mtl_balancer_decide(mtl_balancer *balancer, int32_t count, const double *losses, const double *gram,
                               double *weights, mtl_balance_result *result)
{
    if (!balancer) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = balancer->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, losses);
    MTLI_REQUIRE(context, weights);
    mtl_status status = mtli_balancer_check_idle(balancer);
    if (status == MTL_OK) {
        status = check_decision(balancer, count, gram);
    }
    if (status == MTL_OK) {
        status = check_result(context, result);
    }
    if (status == MTL_OK) {
        status = mtli_balancer_prepare(balancer, count, 0);
    }
    if (status != MTL_OK) {
        return status;
    }
    mtli_balance_facts facts = {.losses = losses, .gram = gram};
    mtli_balancer_retain(balancer); /* the host's functions may destroy it */
    status = mtli_balancer_weigh(balancer, &facts, weights, balancer->room.own_weights);
    if (status == MTL_OK && result) {
        write_result(balancer, result);
    }
    mtl_balancer_destroy(balancer);
    return status;
}
