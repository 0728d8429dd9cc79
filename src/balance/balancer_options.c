/* SPDX-License-Identifier: Apache-2.0
 * The options of a balancer: defaults of the method, ranges, and what a method does not have. */
#include <math.h>
#include <string.h>

#include "balance/balancer.h"

/* ---- numbers ---- */

typedef struct named_number {
    const char *name;
    size_t offset;
} named_number;

#define NAMED(field) \
    { \
#field, offsetof(mtl_balancer_options, field) \
    }
static const named_number numbers[] = {
    NAMED(alpha), NAMED(beta), NAMED(c),     NAMED(eta),      NAMED(gamma),     NAMED(lambda),
    NAMED(leak),  NAMED(mu),   NAMED(phi),   NAMED(rho),      NAMED(sigma),     NAMED(tau),
    NAMED(theta), NAMED(rate), NAMED(decay), NAMED(momentum), NAMED(tolerance), NAMED(inner_rate),
};

static double *number_at(mtl_balancer_options *options, size_t offset)
{
    return (double *)(void *)((unsigned char *)options + offset);
}

static const mtli_balance_number *number_of_rule(const mtli_balance_rule *rule, size_t offset)
{
    for (int32_t i = 0; i < MTLI_MAX_NUMBERS; i++) {
        if (rule->numbers[i].offset == offset) {
            return &rule->numbers[i];
        }
    }
    return NULL;
}

static bool is_in_range(const mtli_balance_number *number, double value)
{
    bool low = number->above ? value > number->least : value >= number->least;
    bool high = number->below ? value < number->most : value <= number->most;
    return low && high && isfinite(value);
}

static mtl_status take_number(mtl_balancer *balancer, const named_number *named)
{
    const mtli_balance_number *number = number_of_rule(balancer->rule, named->offset);
    double *value = number_at(&balancer->options, named->offset);
    if (isnan(*value) || (*value >= 0 && !number)) {
        return mtli_fail(balancer->context, MTL_ERROR_ARGUMENT, "options->%s = %g%s%s", named->name, *value,
                         number ? "" : ", but that is no number of ", number ? "" : balancer->rule->name);
    }
    if (*value < 0) {
        *value = number ? number->value : -1;
    } else if (number && !is_in_range(number, *value)) {
        return mtli_fail(balancer->context, MTL_ERROR_ARGUMENT, "options->%s = %g is not in %s%g, %g%s", named->name,
                         *value, number->above ? "(" : "[", number->least, number->most,
                         number->below || isinf(number->most) ? ")" : "]");
    }
    return MTL_OK;
}

static mtl_status take_numbers(mtl_balancer *balancer)
{
    mtl_status status = MTL_OK;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0] && status == MTL_OK; i++) {
        status = take_number(balancer, &numbers[i]);
    }
    double smoothing = balancer->options.smoothing;
    if (status == MTL_OK && !(smoothing >= 0 && smoothing < 1)) {
        status =
            mtli_fail(balancer->context, MTL_ERROR_ARGUMENT, "options->smoothing = %g is not in [0, 1)", smoothing);
    }
    return status;
}

/* ---- counts ---- */

typedef struct count_option {
    const char *name;
    int32_t *value;
    int32_t method; /* that has it, and */
    int32_t other;  /* another one */
    int32_t initial;
    int32_t least;
} count_option;

static mtl_status take_count(mtl_balancer *balancer, const count_option *count)
{
    int32_t method = balancer->options.method;
    bool has = method == count->method || method == count->other;
    if (*count->value >= 0 && !has) {
        return mtli_fail(balancer->context, MTL_ERROR_ARGUMENT, "options->%s = %d, but that is no number of %s",
                         count->name, *count->value, balancer->rule->name);
    }
    if (*count->value < 0) {
        *count->value = method == MTL_BALANCE_FORUM ? 5 : count->initial;
    }
    if (has && *count->value < count->least) {
        return mtli_fail(balancer->context, MTL_ERROR_ARGUMENT, "options->%s = %d is less than %d", count->name,
                         *count->value, count->least);
    }
    return MTL_OK;
}

static mtl_status take_counts(mtl_balancer *balancer)
{
    mtl_balancer_options *o = &balancer->options;
    const count_option counts[] = {
        {"steps", &o->steps, MTL_BALANCE_SDMGRAD, MTL_BALANCE_FORUM, 20, 1},
        {"outliers", &o->outliers, MTL_BALANCE_KRUM, MTL_BALANCE_TRIMMED_MEAN, 1, 0},
        {"selected", &o->selected, MTL_BALANCE_KRUM, MTL_BALANCE_KRUM, 1, 1},
    };
    mtl_status status = MTL_OK;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0] && status == MTL_OK; i++) {
        status = take_count(balancer, &counts[i]);
    }
    return status;
}

static mtl_status check_count(const mtl_balancer *balancer, const char *name, int32_t value, int32_t least)
{
    return value >= least ? MTL_OK
                          : mtli_fail(balancer->context, MTL_ERROR_ARGUMENT, "options->%s = %d is less than %d", name,
                                      value, least);
}

static mtl_status check_schedule(const mtl_balancer *balancer)
{
    const mtl_balancer_options *o = &balancer->options;
    mtl_status status = check_count(balancer, "update_every", o->update_every, 1);
    if (status == MTL_OK) {
        status = check_count(balancer, "measure_every", o->measure_every, 0);
    }
    if (status == MTL_OK) {
        status = check_count(balancer, "warmup_steps", o->warmup_steps, 0);
    }
    return status == MTL_OK ? check_count(balancer, "epoch_steps", o->epoch_steps, 0) : status;
}

/* ---- choices ---- */

static mtl_status check_choice(const mtl_balancer *balancer, const char *name, int32_t value, int32_t last)
{
    return value >= 0 && value <= last
               ? MTL_OK
               : mtli_fail(balancer->context, MTL_ERROR_UNSUPPORTED, "options->%s = %d is not known", name, value);
}

static mtl_status take_form(mtl_balancer *balancer)
{
    const mtli_balance_rule *rule = balancer->rule;
    int32_t *form = &balancer->options.form;
    if (*form == MTL_BALANCE_FORM_DEFAULT) {
        *form = rule->first_form;
        return MTL_OK;
    }
    if (*form < rule->first_form || *form > rule->last_form) {
        return mtli_fail(balancer->context, MTL_ERROR_UNSUPPORTED, "options->form = %d is not one of %s", *form,
                         rule->name);
    }
    return MTL_OK;
}

static mtl_status check_choices(mtl_balancer *balancer)
{
    const mtl_balancer_options *o = &balancer->options;
    mtl_status status = check_choice(balancer, "scope", o->scope, MTL_BALANCE_SCOPE_SHARED);
    if (status == MTL_OK) {
        status = check_choice(balancer, "reduction", o->reduction, MTL_BALANCE_REDUCE_MEAN);
    }
    if (status == MTL_OK) {
        status = check_choice(balancer, "gradient", o->gradient, MTL_BALANCE_OF_REPRESENTATION_SUM);
    }
    return status == MTL_OK ? take_form(balancer) : status;
}

/* Gradients of the representation serve methods that weigh once from G, and GradDrop. */
static mtl_status check_combination(const mtl_balancer *balancer)
{
    const mtl_balancer_options *o = &balancer->options;
    const mtli_balance_rule *rule = balancer->rule;
    bool weights = rule->decide && rule->way != MTLI_BALANCE_BY_VALIDATION;
    const char *what = NULL;
    if (o->gradient != MTL_BALANCE_OF_PARAMETERS && rule->way != MTLI_BALANCE_BY_WEIGHTS &&
        o->method != MTL_BALANCE_GRADDROP) {
        what = "gradient";
    } else if (o->gradient == MTL_BALANCE_OF_REPRESENTATION_SUM && o->method == MTL_BALANCE_GRADDROP) {
        what = "gradient";
    } else if (o->smoothing > 0 && !weights) {
        what = "smoothing";
    } else if (o->update_every > 1 && rule->way != MTLI_BALANCE_BY_WEIGHTS) {
        what = "update_every";
    } else if (o->scope == MTL_BALANCE_SCOPE_ALL && !rule->decide) {
        what = "scope";
    } else if (o->scope == MTL_BALANCE_SCOPE_SHARED && rule->way == MTLI_BALANCE_BY_VALIDATION) {
        what = "scope";
    } else if (o->reduction != MTL_BALANCE_REDUCE_DEFAULT && (!rule->decide || o->method == MTL_BALANCE_FORUM)) {
        what = "reduction";
    }
    return what ? mtli_fail(balancer->context, MTL_ERROR_UNSUPPORTED, "options->%s has no such meaning for '%s'", what,
                            rule->name)
                : MTL_OK;
}

static mtl_status check_custom(const mtl_balancer *balancer)
{
    const mtl_balancer_options *o = &balancer->options;
    bool custom = o->method == MTL_BALANCE_CUSTOM;
    if (custom != (o->decide != NULL)) {
        return mtli_fail(balancer->context, MTL_ERROR_ARGUMENT, "options->decide is %s, and the method '%s'",
                         o->decide ? "set" : "NULL", balancer->rule->name);
    }
    if (o->needs != 0 && (!custom || o->needs != MTL_BALANCE_NEEDS_GRAM)) {
        return mtli_fail(balancer->context, MTL_ERROR_ARGUMENT,
                         "options->needs = %d: only a custom method has it, and only MTL_BALANCE_NEEDS_GRAM", o->needs);
    }
    return MTL_OK;
}

/* ---- arrays ---- */

static mtl_status check_array(const mtl_balancer *balancer, const char *name, const double *values, bool has,
                              double least)
{
    const mtl_balancer_options *o = &balancer->options;
    if (values && !has) {
        return mtli_fail(balancer->context, MTL_ERROR_ARGUMENT, "options->%s is set, but '%s' has none", name,
                         balancer->rule->name);
    }
    for (int32_t t = 0; t < o->num_tasks && values; t++) {
        if (!isfinite(values[t]) || values[t] < least) {
            return mtli_fail(balancer->context, MTL_ERROR_ARGUMENT, "options->%s[%d] = %g is not a finite number%s",
                             name, t, values[t], least == 0 ? " >= 0" : "");
        }
    }
    return MTL_OK;
}

static mtl_status check_arrays(const mtl_balancer *balancer, const mtl_balancer_options *given)
{
    enum { MOST_TASKS = 65536 };
    bool any = given->preference || given->reference;
    if (given->num_tasks < (any ? 1 : 0) || given->num_tasks > MOST_TASKS) {
        return mtli_fail(balancer->context, MTL_ERROR_ARGUMENT, "options->num_tasks = %d is not in [%d, %d]",
                         given->num_tasks, any ? 1 : 0, MOST_TASKS);
    }
    const mtli_balance_rule *rule = balancer->rule;
    bool formula = balancer->options.form != MTL_BALANCE_FORM_LOGARITHM; /* of stch: there is neither a nor z in it */
    mtl_status status = check_array(balancer, "preference", given->preference, rule->has_preference && formula, 0);
    return status == MTL_OK
               ? check_array(balancer, "reference", given->reference, rule->has_reference && formula, -HUGE_VAL)
               : status;
}

static mtl_status copy_array(mtl_balancer *balancer, const double *from, const double **to)
{
    size_t size = (size_t)balancer->options.num_tasks * sizeof(double);
    if (!from) {
        return MTL_OK;
    }
    double *copy = mtli_allocate(balancer->context, size);
    if (!copy) {
        return balancer->context->status;
    }
    memcpy(copy, from, size);
    *to = copy;
    return MTL_OK;
}

static mtl_status take_arrays_of(mtl_balancer *balancer, const mtl_balancer_options *given)
{
    mtl_status status = check_arrays(balancer, given);
    if (status == MTL_OK) {
        status = copy_array(balancer, given->preference, &balancer->options.preference);
    }
    return status == MTL_OK ? copy_array(balancer, given->reference, &balancer->options.reference) : status;
}

mtl_status mtli_balancer_take_options(mtl_balancer *balancer, const mtl_balancer_options *given)
{
    mtl_context *context = balancer->context;
    mtl_balancer_options known = MTL_BALANCER_OPTIONS_INIT;
    mtl_status status = mtli_import_options(context, "options", &known, sizeof known, sizeof known, given);
    if (status != MTL_OK) {
        return status;
    }
    balancer->rule = mtli_balance_rule_find(known.method);
    if (!balancer->rule) {
        return mtli_fail(context, MTL_ERROR_UNSUPPORTED, "options->method = %d is not known", known.method);
    }
    balancer->options = known;
    balancer->options.preference = NULL;
    balancer->options.reference = NULL;
    mtl_status (*const checks[])(mtl_balancer *) = {check_choices, take_numbers, take_counts};
    for (size_t i = 0; i < sizeof checks / sizeof checks[0] && status == MTL_OK; i++) {
        status = checks[i](balancer);
    }
    mtl_status (*const looks[])(const mtl_balancer *) = {check_schedule, check_combination, check_custom};
    for (size_t i = 0; i < sizeof looks / sizeof looks[0] && status == MTL_OK; i++) {
        status = looks[i](balancer);
    }
    return status == MTL_OK ? take_arrays_of(balancer, &known) : status;
}
