/* SPDX-License-Identifier: Apache-2.0
 * What a monitor is told: lengths and cosines of the task gradients, and how often they were in conflict. */
#include <math.h>

#include "balance/balancer.h"

/* The tasks of this step whose gradients are known: the first `count` of `present`. */
static int32_t list_present(const mtl_balancer *balancer, const double *losses)
{
    int32_t count = 0;
    for (int32_t t = 0; t < balancer->room.tasks; t++) {
        if (!isnan(losses[t])) {
            balancer->room.present[count++] = t;
        }
    }
    return count;
}

static void count_conflicts(const mtl_balancer *balancer, const double *gram, int32_t count)
{
    double *measured = balancer->room.remembered[MTLI_REMEMBERS_MEASURED].values;
    double *conflicts = balancer->room.remembered[MTLI_REMEMBERS_CONFLICTS].values;
    for (int32_t i = 0; i < count; i++) {
        for (int32_t j = 0; j < count; j++) {
            int64_t at = (int64_t)balancer->room.present[i] * balancer->room.tasks + balancer->room.present[j];
            measured[at] += i != j;
            conflicts[at] += i != j && gram[at] < 0;
        }
    }
}

static void fill_unknown(double *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        values[i] = (double)NAN;
    }
}

/* A cosine of a gradient that is zero is 0, of every gradient with itself 1. */
static void measure(const mtl_balancer *balancer, const double *gram, int32_t count, double *norms, double *cosines)
{
    for (int32_t i = 0; i < count; i++) {
        int32_t t = balancer->room.present[i];
        norms[t] = sqrt(fmax(gram[(int64_t)t * balancer->room.tasks + t], 0));
    }
    for (int32_t i = 0; i < count; i++) {
        for (int32_t j = 0; j < count; j++) {
            int32_t s = balancer->room.present[i];
            int32_t t = balancer->room.present[j];
            int64_t at = (int64_t)s * balancer->room.tasks + t;
            bool known = norms[s] > 0 && norms[t] > 0;
            cosines[at] = s == t ? 1 : known ? fmax(-1, fmin(1, gram[at] / norms[s] / norms[t])) : 0;
        }
    }
}

/* Shares of steps; returns the share over all pairs. */
static double conflict_shares(const mtl_balancer *balancer, double *shares)
{
    const double *measured = balancer->room.remembered[MTLI_REMEMBERS_MEASURED].values;
    const double *conflicts = balancer->room.remembered[MTLI_REMEMBERS_CONFLICTS].values;
    double all = 0;
    double bad = 0;
    for (int64_t i = 0; i < (int64_t)balancer->room.tasks * balancer->room.tasks; i++) {
        shares[i] = measured[i] > 0 ? conflicts[i] / measured[i] : (double)NAN;
        all += measured[i];
        bad += conflicts[i];
    }
    return all > 0 ? bad / all : (double)NAN;
}

static void tell_monitor(mtl_balancer *balancer, const mtli_balance_facts *facts, const double *weights,
                         const double *own, int32_t count)
{
    int64_t tasks = balancer->room.tasks;
    bool pairs = mtli_remembered_count(balancer, &balancer->room.remembered[MTLI_REMEMBERS_MEASURED]) > 0;
    double *told = balancer->room.scratch;
    double *told_own = told + tasks;
    double *norms = told_own + tasks;
    double *cosines = norms + tasks;
    double *shares = cosines + tasks * tasks;
    fill_unknown(told, pairs ? 3 * tasks + 2 * tasks * tasks : 3 * tasks);
    for (int32_t i = 0; i < count && weights; i++) {
        told[balancer->room.present[i]] = weights[balancer->room.present[i]];
        told_own[balancer->room.present[i]] = own[balancer->room.present[i]];
    }
    if (facts->gram && pairs) {
        measure(balancer, facts->gram, count, norms, cosines);
    }
    mtl_balance_report report = {
        .struct_size = sizeof report,
        .step = mtli_balancer_steps(balancer),
        .num_tasks = balancer->room.tasks,
        .measured = facts->gram && pairs,
        .status = balancer->result.status,
        .iterations = balancer->result.iterations,
        .residual = balancer->result.residual,
        .conflict_rate = pairs ? conflict_shares(balancer, shares) : (double)NAN,
        .losses = facts->losses,
        .weights = told,
        .own_weights = told_own,
        .norms = norms,
        .cosines = pairs ? cosines : NULL,
        .conflict_rates = pairs ? shares : NULL,
    };
    const char *function = balancer->context->function; /* the monitor may enter others */
    balancer->monitor(balancer->monitor_user, &report);
    mtli_enter_function(balancer->context, function);
}

void mtli_balancer_report(mtl_balancer *balancer, const mtli_balance_facts *facts, const double *weights,
                          const double *own)
{
    int32_t count = list_present(balancer, facts->losses);
    bool pairs = mtli_remembered_count(balancer, &balancer->room.remembered[MTLI_REMEMBERS_MEASURED]) > 0;
    if (facts->gram && pairs) {
        count_conflicts(balancer, facts->gram, count);
    }
    if (balancer->monitor) {
        tell_monitor(balancer, facts, weights, own, count);
    }
}
