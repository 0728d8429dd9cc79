/* SPDX-License-Identifier: Apache-2.0
 * The table of balancing methods: the only list of them. A row here and a function in rules_*.c: that is a method that
 * decides weights from losses and the Gram matrix. */
#include <math.h>
#include <string.h>

#include "balance/rule.h"

#define NUMBER(field) .offset = offsetof(mtl_balancer_options, field)
/* from `low` on, and above `low` */
#define FROM(field, default_value, low) \
    { \
        NUMBER(field), .value = (default_value), .least = (low), .most = HUGE_VAL \
    }
#define OVER(field, default_value, low) \
    { \
        NUMBER(field), .value = (default_value), .least = (low), .most = HUGE_VAL, .above = true \
    }
#define SHARE(field, default_value) \
    { \
        NUMBER(field), .value = (default_value), .least = 0, .most = 1 \
    }
#define UNDER(field, default_value, high) \
    { \
        NUMBER(field), .value = (default_value), .least = 0, .most = (high), .below = true \
    }
#define WITHIN(field, default_value, low, high) \
    { \
        NUMBER(field), .value = (default_value), .least = (low), .most = (high) \
    }
#define REMEMBERS_IN(array, shape_of_it, value, low, high) \
    { \
        .name = (array), .shape = MTLI_##shape_of_it, .initial = (value), .least = (low), .most = (high) \
    }
#define REMEMBERS(array, shape_of_it, value) REMEMBERS_IN(array, shape_of_it, value, -HUGE_VAL, HUGE_VAL)
#define COUNTS(array, shape_of_it) \
    { \
        .name = (array), .shape = MTLI_##shape_of_it, .most = MTLI_MOST_COUNTED, .counts = true \
    }
#define ADAM_OF_SCALES \
    REMEMBERS("m", PER_TASK, 0), REMEMBERS_IN("v", PER_TASK, 0, 0, HUGE_VAL), COUNTS("updates", SINGLE)
#define FIRST_LOSSES REMEMBERS("first", PER_TASK, 0), COUNTS("first-count", PER_TASK)
/* on the simplex, or 0 to T, but for rounding */
#define SHARES(array, value, high) REMEMBERS_IN(array, PER_TASK_SHARES, value, 0, high)

#define NEEDS(what) MTL_BALANCE_NEEDS_##what
#define FORMS(first, last) .first_form = MTL_BALANCE_FORM_##first, .last_form = MTL_BALANCE_FORM_##last

/* clang-format off */
static const mtli_balance_rule balance_rules[] = {
    [MTL_BALANCE_EQUAL] = {.name = "equal", .weighs_all = true, .decide = mtli_decide_equal},
    [MTL_BALANCE_FIXED] = {.name = "fixed", .weighs_all = true, .has_preference = true, .decide = mtli_decide_fixed},
    [MTL_BALANCE_RANDOM] = {.name = "random", .mean = true, .weighs_all = true, .decide = mtli_decide_random},
    [MTL_BALANCE_UNCERTAINTY] = {.name = "uncertainty", .weighs_all = true, FORMS(HALF, FULL),
        .decide = mtli_decide_uncertainty,
        .memory = {REMEMBERS("s", PER_TASK, 0), ADAM_OF_SCALES},
        .numbers = {FROM(rate, .001, 0)}},
    [MTL_BALANCE_DWA] = {.name = "dwa", .needs = NEEDS(EPOCHS), .weighs_all = true, .decide = mtli_decide_dwa,
        .memory = {REMEMBERS("newer", PER_TASK, 0), REMEMBERS("older", PER_TASK, 0), COUNTS("epochs", SINGLE)},
        .numbers = {OVER(tau, 2, 0)}},
    [MTL_BALANCE_GEOMETRIC] = {.name = "gls", .mean = true, .weighs_all = true, .decide = mtli_decide_geometric},
    [MTL_BALANCE_SCALE_INVARIANT] = {.name = "si", .weighs_all = true, .decide = mtli_decide_scale_invariant},
    [MTL_BALANCE_IMTL_L] = {.name = "imtl-l", .weighs_all = true, .decide = mtli_decide_imtl_l,
        .memory = {REMEMBERS("s", PER_TASK, 0), ADAM_OF_SCALES},
        .numbers = {FROM(rate, .001, 0)}},
    [MTL_BALANCE_TCHEBYCHEFF] = {.name = "stch", .mean = true, .weighs_all = true, FORMS(LINEAR, LOGARITHM),
        .has_preference = true, .has_reference = true,
        .decide = mtli_decide_tchebycheff, .observe = mtli_observe_first_losses,
        .memory = {FIRST_LOSSES},
        .numbers = {OVER(mu, 1, 0)}},
    [MTL_BALANCE_FAMO] = {.name = "famo", .needs = NEEDS(SECOND_EVALUATION), .mean = true, .weighs_all = true,
        .has_reference = true, .decide = mtli_decide_famo,
        .memory = {REMEMBERS("xi", PER_TASK, 0), ADAM_OF_SCALES},
        .numbers = {FROM(rate, .025, 0), FROM(decay, .001, 0)}},
    [MTL_BALANCE_BOUNDARY] = {.name = "pbi", .weighs_all = true, .has_preference = true, .has_reference = true,
        .decide = mtli_decide_boundary,
        .numbers = {FROM(theta, 5, 0)}},
    [MTL_BALANCE_COSMOS] = {.name = "cosmos", .mean = true, .weighs_all = true, .has_preference = true,
        .decide = mtli_decide_cosmos,
        .numbers = {FROM(lambda, 1, 0)}},
    [MTL_BALANCE_PRIORITIZATION] = {.name = "dtp", .needs = NEEDS(MEASURE), .weighs_all = true,
        .decide = mtli_decide_prioritization,
        .memory = {REMEMBERS_IN("success", PER_TASK, 0, 0, 1), COUNTS("measured", PER_TASK)},
        .numbers = {FROM(gamma, 2, 0), SHARE(rate, .1)}},
    [MTL_BALANCE_GRADNORM] = {.name = "gradnorm", .needs = NEEDS(GRAM), .weighs_all = true,
        .decide = mtli_decide_gradnorm, .observe = mtli_observe_first_losses,
        .memory = {FIRST_LOSSES, REMEMBERS("s", PER_TASK, 0), ADAM_OF_SCALES},
        .numbers = {FROM(alpha, 1.5, 0), FROM(rate, .025, 0)}},
    [MTL_BALANCE_MGDA] = {.name = "mgda", .needs = NEEDS(GRAM), .mean = true, FORMS(PLAIN, LOSS_UNIT),
        .decide = mtli_decide_mgda},
    [MTL_BALANCE_PCGRAD] = {.name = "pcgrad", .needs = NEEDS(GRAM), .decide = mtli_decide_pcgrad},
    [MTL_BALANCE_GRADVAC] = {.name = "gradvac", .needs = NEEDS(GRAM), .decide = mtli_decide_gradvac,
        .memory = {REMEMBERS_IN("rho", PER_PAIR, 0, -1.000001, 1.000001)},
        .numbers = {SHARE(beta, .5)}},
    [MTL_BALANCE_CAGRAD] = {.name = "cagrad", .needs = NEEDS(GRAM), .mean = true,
        FORMS(RESCALE_SQUARE, RESCALE_LINEAR), .decide = mtli_decide_cagrad,
        .numbers = {FROM(c, .5, 0)}},
    [MTL_BALANCE_IMTL_G] = {.name = "imtl-g", .needs = NEEDS(GRAM), .mean = true, .decide = mtli_decide_imtl_g,
        .numbers = {UNDER(tolerance, 0, 1)}},
    [MTL_BALANCE_IMTL] = {.name = "imtl", .needs = NEEDS(GRAM), .mean = true, .decide = mtli_decide_imtl,
        .memory = {REMEMBERS("s", PER_TASK, 0), ADAM_OF_SCALES},
        .numbers = {UNDER(tolerance, 0, 1), FROM(rate, .001, 0)}},
    [MTL_BALANCE_NASH] = {.name = "nash", .needs = NEEDS(GRAM), .weighs_all = true, .decide = mtli_decide_nash},
    [MTL_BALANCE_FAIRGRAD] = {.name = "fairgrad", .needs = NEEDS(GRAM), .weighs_all = true,
        .decide = mtli_decide_fairgrad,
        .numbers = {WITHIN(alpha, 1, 1e-3, 1e3)}}, /* towards the sum and the worst task; beyond: rounding */
    [MTL_BALANCE_ALIGNED] = {.name = "aligned", .needs = NEEDS(GRAM), FORMS(MINIMUM, RMSE), .has_preference = true,
        .decide = mtli_decide_aligned,
        .numbers = {UNDER(tolerance, 0, 1)}},
    [MTL_BALANCE_UPGRAD] = {.name = "upgrad", .needs = NEEDS(GRAM), .mean = true, .has_preference = true,
        .decide = mtli_decide_upgrad},
    [MTL_BALANCE_DUAL_PROJECTION] = {.name = "dualproj", .needs = NEEDS(GRAM), .mean = true, .has_preference = true,
        .decide = mtli_decide_dual_projection},
    [MTL_BALANCE_CONFIG] = {.name = "config", .needs = NEEDS(GRAM), .has_preference = true,
        .decide = mtli_decide_config,
        .numbers = {UNDER(tolerance, 0, 1)}},
    [MTL_BALANCE_KRUM] = {.name = "krum", .needs = NEEDS(GRAM), .mean = true, .decide = mtli_decide_krum},
    [MTL_BALANCE_SDMGRAD] = {.name = "sdmgrad", .needs = NEEDS(GRAM) | NEEDS(DRAWS), .way = MTLI_BALANCE_BY_DRAWS,
        .mean = true, .decide = mtli_decide_sdmgrad,
        .memory = {SHARES("lambda", NAN, 1.000001)},
        .numbers = {FROM(lambda, .3, 0), FROM(rate, 5, 0), UNDER(momentum, .5, 1)}},
    [MTL_BALANCE_MODO] = {.name = "modo", .needs = NEEDS(GRAM) | NEEDS(DRAWS), .way = MTLI_BALANCE_BY_DRAWS,
        .mean = true, .decide = mtli_decide_modo,
        .memory = {SHARES("lambda", NAN, 1.000001)},
        .numbers = {FROM(gamma, .001, 0), FROM(rho, .1, 0)}},
    [MTL_BALANCE_MOCO] = {.name = "moco", .needs = NEEDS(GRAM) | NEEDS(COORDINATES) | NEEDS(STATE),
        .way = MTLI_BALANCE_BY_COORDINATES, .mean = true, .decide = mtli_decide_moco,
        .memory = {SHARES("lambda", NAN, 1.000001)},
        .numbers = {FROM(beta, .5, 0), FROM(gamma, .1, 0), FROM(sigma, .5, 0), FROM(rho, 0, 0)}},
    [MTL_BALANCE_DB_MTL] = {.name = "db-mtl", .needs = NEEDS(COORDINATES) | NEEDS(STATE),
        .way = MTLI_BALANCE_BY_COORDINATES, .decide = mtli_decide_db_mtl,
        .numbers = {UNDER(beta, .9, 1), FROM(sigma, 0, 0)}},
    [MTL_BALANCE_EXCESS_MTL] = {.name = "excess-mtl", .needs = NEEDS(COORDINATES) | NEEDS(STATE),
        .way = MTLI_BALANCE_BY_COORDINATES, .weighs_all = true, .decide = mtli_decide_excess_mtl,
        .memory = {SHARES("w", 1, 1e6), REMEMBERS_IN("initial", PER_TASK, 0, 0, HUGE_VAL), COUNTS("begun", PER_TASK)},
        .numbers = {FROM(eta, .01, 0)}},
    [MTL_BALANCE_TRIMMED_MEAN] = {.name = "trimmed-mean", .needs = NEEDS(COORDINATES),
        .way = MTLI_BALANCE_BY_COORDINATES, .mean = true},
    [MTL_BALANCE_GRADDROP] = {.name = "graddrop", .needs = NEEDS(COORDINATES), .way = MTLI_BALANCE_BY_COORDINATES,
        .numbers = {SHARE(leak, 0)}},
    [MTL_BALANCE_AUTO_LAMBDA] = {.name = "auto-lambda", .needs = NEEDS(VALIDATION) | NEEDS(COORDINATES),
        .way = MTLI_BALANCE_BY_VALIDATION, .mean = true, .weighs_all = true, .decide = mtli_decide_softmax,
        .memory = {REMEMBERS("logits", PER_TASK, 0), ADAM_OF_SCALES},
        .numbers = {FROM(rate, .001, 0), FROM(inner_rate, -1, 0)}},
    [MTL_BALANCE_MOML] = {.name = "moml", .needs = NEEDS(VALIDATION) | NEEDS(COORDINATES),
        .way = MTLI_BALANCE_BY_VALIDATION, .mean = true, .weighs_all = true, .decide = mtli_decide_softmax,
        .memory = {REMEMBERS("logits", PER_TASK, 0), ADAM_OF_SCALES},
        .numbers = {FROM(rate, .001, 0), FROM(inner_rate, .1, 0)}},
    [MTL_BALANCE_FORUM] = {.name = "forum", .needs = NEEDS(VALIDATION) | NEEDS(COORDINATES),
        .way = MTLI_BALANCE_BY_VALIDATION, .mean = true, .weighs_all = true, .decide = mtli_decide_softmax,
        .memory = {REMEMBERS("logits", PER_TASK, 0), ADAM_OF_SCALES, REMEMBERS("lambda", PER_TASK, 0)},
        .numbers = {FROM(rate, .001, 0), FROM(inner_rate, .1, 0), FROM(phi, .1, 0)}},
    [MTL_BALANCE_CUSTOM] = {.name = "custom", .weighs_all = true, .decide = mtli_decide_custom},
};
/* clang-format on */

enum { NUM_RULES = (int)(sizeof balance_rules / sizeof balance_rules[0]) };

const mtli_balance_rule *mtli_balance_rule_find(int32_t method)
{
    return method >= 0 && method < NUM_RULES ? &balance_rules[method] : NULL;
}

const char *mtl_balance_method_name(int32_t method)
{
    const mtli_balance_rule *rule = mtli_balance_rule_find(method);
    return rule ? rule->name : NULL;
}

int32_t mtl_balance_method_find(const char *name)
{
    for (int32_t method = 0; name && method < NUM_RULES; method++) {
        if (strcmp(balance_rules[method].name, name) == 0) {
            return method;
        }
    }
    return -1;
}

int32_t mtl_balance_method_needs(int32_t method)
{
    const mtli_balance_rule *rule = mtli_balance_rule_find(method);
    return rule ? rule->needs : 0;
}
