/* SPDX-License-Identifier: Apache-2.0
 * What an objective shows to a checkpoint. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "multitask/state.h"
#include "sharing/penalty.h"

enum { OBJECTIVE_KEY_SIZE = 64 };

/* ---- the balancer's options ---- */

typedef struct option_place {
    const char *name;
    size_t offset;
} option_place;

#define BALANCER_OPTION(field) \
    { \
        "balancer." #field, offsetof(mtl_balancer_options, field) \
    }

static const option_place integer_options[] = {
    BALANCER_OPTION(form),         BALANCER_OPTION(scope),        BALANCER_OPTION(reduction),
    BALANCER_OPTION(gradient),     BALANCER_OPTION(update_every), BALANCER_OPTION(measure_every),
    BALANCER_OPTION(warmup_steps), BALANCER_OPTION(epoch_steps),  BALANCER_OPTION(steps),
    BALANCER_OPTION(outliers),     BALANCER_OPTION(selected),     BALANCER_OPTION(needs),
};

static const option_place real_options[] = {
    BALANCER_OPTION(alpha),     BALANCER_OPTION(beta),       BALANCER_OPTION(c),         BALANCER_OPTION(eta),
    BALANCER_OPTION(gamma),     BALANCER_OPTION(lambda),     BALANCER_OPTION(leak),      BALANCER_OPTION(mu),
    BALANCER_OPTION(phi),       BALANCER_OPTION(rho),        BALANCER_OPTION(sigma),     BALANCER_OPTION(tau),
    BALANCER_OPTION(theta),     BALANCER_OPTION(rate),       BALANCER_OPTION(decay),     BALANCER_OPTION(momentum),
    BALANCER_OPTION(tolerance), BALANCER_OPTION(inner_rate), BALANCER_OPTION(smoothing),
};

static mtl_status describe_vector(const mtli_visitor *visitor, const char *name, const double *values, int32_t count)
{
    mtl_status status = MTL_OK;
    for (int32_t i = 0; values && i < count && status == MTL_OK; i++) {
        char key[OBJECTIVE_KEY_SIZE];
        snprintf(key, sizeof key, "balancer.%s.%d", name, i);
        status = visitor->real(visitor->user, key, values[i]);
    }
    return status;
}

static mtl_status describe_balancer(const mtl_balancer *balancer, const mtli_visitor *visitor)
{
    mtl_status status = visitor->text(visitor->user, "balancer", balancer ? balancer->rule->name : "none");
    if (!balancer) {
        return status;
    }
    const unsigned char *options = (const void *)&balancer->options;
    for (size_t i = 0; i < sizeof integer_options / sizeof integer_options[0] && status == MTL_OK; i++) {
        int32_t value;
        memcpy(&value, options + integer_options[i].offset, sizeof value);
        status = visitor->integer(visitor->user, integer_options[i].name, value);
    }
    for (size_t i = 0; i < sizeof real_options / sizeof real_options[0] && status == MTL_OK; i++) {
        double value;
        memcpy(&value, options + real_options[i].offset, sizeof value);
        status = visitor->real(visitor->user, real_options[i].name, value);
    }
    if (status == MTL_OK) {
        status = describe_vector(visitor, "preference", balancer->options.preference, balancer->options.num_tasks);
    }
    return status == MTL_OK
               ? describe_vector(visitor, "reference", balancer->options.reference, balancer->options.num_tasks)
               : status;
}

/* ---- tasks and what they share ---- */

static mtl_status describe_tasks(const mtl_objective *objective, const mtli_visitor *visitor)
{
    mtl_status status = visitor->integer(visitor->user, "tasks", objective->num_tasks);
    for (int32_t t = 0; t < objective->num_tasks && status == MTL_OK; t++) {
        char key[OBJECTIVE_KEY_SIZE];
        snprintf(key, sizeof key, "task.%d", t);
        status = visitor->text(visitor->user, key, objective->tasks[t].name);
    }
    return status;
}

static const char *encoder_name(const mtl_model *model, const mtl_encoder *encoder)
{
    for (int32_t i = 0; i < model->num_entries; i++) {
        if (model->entries[i].encoder == encoder) {
            return model->entries[i].name;
        }
    }
    return "";
}

static mtl_status describe_shared(const mtl_objective *objective, const mtli_visitor *visitor)
{
    mtl_status status = visitor->integer(visitor->user, "shared_encoders", objective->num_shared);
    for (int32_t i = 0; i < objective->num_shared && status == MTL_OK; i++) {
        char key[OBJECTIVE_KEY_SIZE];
        snprintf(key, sizeof key, "shared_encoder.%d", i);
        status = visitor->text(visitor->user, key, encoder_name(objective->model, objective->shared[i]));
    }
    return status;
}

/* ---- state ---- */

static void get_weights(const void *self, void *values)
{
    const mtl_objective *objective = self;
    for (int32_t t = 0; t < objective->num_tasks; t++) {
        ((double *)values)[t] = objective->tasks[t].weight;
    }
}

static void put_weights(void *self, const void *values)
{
    mtl_objective *objective = self;
    for (int32_t t = 0; t < objective->num_tasks; t++) {
        objective->tasks[t].weight = ((const double *)values)[t];
    }
}

static const char *weights_fault(const void *self, const void *values, int64_t count)
{
    (void)self;
    for (int64_t t = 0; t < count; t++) {
        double weight = ((const double *)values)[t];
        if (!(weight >= 0) || !isfinite((mtli_real)weight)) {
            return "holds a weight that is negative or too large";
        }
    }
    return NULL;
}

static mtl_status visit_penalties(mtl_objective *objective, const mtli_state_visitor *visitor)
{
    mtl_status status = visitor->fixed.integer(visitor->fixed.user, "penalties", objective->num_penalties);
    for (int32_t i = 0; i < objective->num_penalties && status == MTL_OK; i++) {
        char prefix[OBJECTIVE_KEY_SIZE];
        snprintf(prefix, sizeof prefix, "penalty.%d.", i);
        status = mtli_penalty_visit(objective->penalties[i], prefix, visitor);
    }
    return status;
}

mtl_status mtli_objective_visit(mtl_objective *objective, const mtli_state_visitor *visitor)
{
    const mtli_state_array weights = {
        .name = {"weights"},
        .type = MTLI_STATE_DOUBLE,
        .count = objective->num_tasks,
        .self = objective,
        .get = get_weights,
        .put = put_weights,
        .fault = weights_fault,
    };
    mtl_status status = describe_tasks(objective, &visitor->fixed);
    if (status == MTL_OK) {
        status = describe_shared(objective, &visitor->fixed);
    }
    if (status == MTL_OK) {
        status = describe_balancer(objective->balancer, &visitor->fixed);
    }
    if (status == MTL_OK) {
        status = visitor->array(visitor->fixed.user, &weights);
    }
    return status == MTL_OK ? visit_penalties(objective, visitor) : status;
}
