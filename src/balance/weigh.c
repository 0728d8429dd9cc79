/* SPDX-License-Identifier: Apache-2.0
 * One step of a balancer: the tasks that are present are gathered, the method decides, and what it remembers is put
 * back. */
#include <math.h>
#include <string.h>

#include "balance/balancer.h"
#include "balance/loss_rules.h"

enum { WORDS_OF_A_STEP = 32 }; /* a step has 2^32 random words of its own */

mtli_rng mtli_balancer_rng(const mtl_balancer *balancer)
{
    mtli_rng rng;
    mtli_rng_init(&rng, balancer->seed, balancer->stream);
    rng.index = (uint64_t)mtli_balancer_steps(balancer) << WORDS_OF_A_STEP;
    return rng;
}

static bool is_warm(const mtl_balancer *balancer)
{
    return mtli_balancer_steps(balancer) >= balancer->options.warmup_steps;
}

bool mtli_balancer_will_decide(const mtl_balancer *balancer)
{
    int64_t since = mtli_balancer_steps(balancer) - balancer->options.warmup_steps;
    return since >= 0 && since % balancer->options.update_every == 0;
}

bool mtli_balancer_wants_gram(const mtl_balancer *balancer)
{
    int32_t every = balancer->options.measure_every;
    int32_t needs = balancer->rule->needs | balancer->options.needs;
    return ((needs & MTL_BALANCE_NEEDS_GRAM) != 0 && mtli_balancer_will_decide(balancer)) ||
           (every > 0 && mtli_balancer_steps(balancer) % every == 0);
}

/* ---- gathering ---- */

typedef struct gathering {
    mtl_balancer *balancer;
    const mtli_balance_facts *facts;
    double *next;                      /* of the scratch */
    double portion[MTLI_MAX_MEMORIES]; /* of the shares that the present tasks had, for 1; of other arrays 1 */
    double *losses;
    mtli_decision decision;
} gathering;

static double *take_scratch_values(gathering *g, int64_t count)
{
    double *values = g->next;
    g->next += count;
    return values;
}

static double *gather_vector(gathering *g, const double *from)
{
    const mtli_decision *d = &g->decision;
    double *to = take_scratch_values(g, d->count);
    for (int32_t i = 0; i < d->count; i++) {
        to[i] = from[d->tasks[i]];
    }
    return to;
}

static double *gather_matrix(gathering *g, const double *from)
{
    const mtli_decision *d = &g->decision;
    double *to = take_scratch_values(g, (int64_t)d->count * d->count);
    for (int32_t i = 0; i < d->count; i++) {
        for (int32_t j = 0; j < d->count; j++) {
            to[(int64_t)i * d->count + j] = from[(int64_t)d->tasks[i] * g->balancer->room.tasks + d->tasks[j]];
        }
    }
    return to;
}

/* The shares of the present tasks, as if there were no others. */
static double *gather_shares(gathering *g, const mtli_remembered *array, double *portion)
{
    const mtli_decision *d = &g->decision;
    double *to = gather_vector(g, array->values);
    double total = isnan(array->is->initial) ? 1 : array->is->initial * d->count;
    double sum = 0;
    for (int32_t i = 0; i < d->count; i++) {
        sum += to[i];
    }
    for (int32_t i = 0; i < d->count; i++) {
        to[i] = sum > 0 ? total * (to[i] / sum) : total / d->count;
    }
    *portion = sum / total;
    return to;
}

static void gather_memory(gathering *g)
{
    const mtl_balancer *balancer = g->balancer;
    for (int32_t k = MTLI_REMEMBERS_COMMON; k < balancer->room.num_remembered; k++) {
        const mtli_remembered *array = &balancer->room.remembered[k];
        int32_t own = k - MTLI_REMEMBERS_COMMON;
        g->portion[own] = 1;
        switch (array->is->shape) {
        case MTLI_PER_TASK:
            g->decision.memory[own] = gather_vector(g, array->values);
            break;
        case MTLI_PER_TASK_SHARES:
            g->decision.memory[own] = gather_shares(g, array, &g->portion[own]);
            break;
        case MTLI_PER_PAIR:
            g->decision.memory[own] = gather_matrix(g, array->values);
            break;
        case MTLI_SINGLE:
            g->decision.memory[own] = take_scratch_values(g, 1);
            g->decision.memory[own][0] = array->values[0];
            break;
        }
    }
}

static void scatter_array(const gathering *g, const mtli_remembered *array, const double *from, double portion)
{
    const mtli_decision *d = &g->decision;
    for (int32_t i = 0; i < d->count; i++) {
        if (array->is->shape != MTLI_PER_PAIR) {
            array->values[d->tasks[i]] = portion * from[i];
            continue;
        }
        for (int32_t j = 0; j < d->count; j++) {
            array->values[(int64_t)d->tasks[i] * g->balancer->room.tasks + d->tasks[j]] =
                from[(int64_t)i * d->count + j];
        }
    }
}

static void scatter_memory(const gathering *g)
{
    const mtl_balancer *balancer = g->balancer;
    for (int32_t k = MTLI_REMEMBERS_COMMON; k < balancer->room.num_remembered; k++) {
        const mtli_remembered *array = &balancer->room.remembered[k];
        int32_t own = k - MTLI_REMEMBERS_COMMON;
        if (array->is->shape == MTLI_SINGLE) {
            array->values[0] = g->decision.memory[own][0];
        } else {
            scatter_array(g, array, g->decision.memory[own], g->portion[own]);
        }
    }
}

/* What a state could not hold must not be remembered: squares of gradients that overflow, for instance. */
static bool memory_is_finite(const gathering *g)
{
    const mtl_balancer *balancer = g->balancer;
    int64_t n = g->decision.count;
    for (int32_t k = MTLI_REMEMBERS_COMMON; k < balancer->room.num_remembered; k++) {
        mtli_memory_shape shape = balancer->room.remembered[k].is->shape;
        int64_t count = shape == MTLI_SINGLE ? 1 : shape == MTLI_PER_PAIR ? n * n : n;
        for (int64_t i = 0; i < count; i++) {
            if (!isfinite(g->decision.memory[k - MTLI_REMEMBERS_COMMON][i])) {
                return false;
            }
        }
    }
    return true;
}

/* Without arrays over pairs there is no room for G, and nobody who looks at it. */
static bool has_pairs(const mtl_balancer *balancer)
{
    return mtli_remembered_count(balancer, &balancer->room.remembered[MTLI_REMEMBERS_MEASURED]) > 0;
}

static mtl_status check_facts(const mtl_balancer *balancer, const mtli_balance_facts *facts, int32_t count)
{
    bool pairs = has_pairs(balancer);
    for (int32_t i = 0; i < count; i++) {
        int32_t t = balancer->room.present[i];
        if (!isfinite(facts->losses[t])) {
            return mtli_fail(balancer->context, MTL_ERROR_NUMERIC, "the loss of task %d is %g", t, facts->losses[t]);
        }
        for (int32_t j = 0; j < count && facts->gram && pairs; j++) {
            double inner = facts->gram[(int64_t)t * balancer->room.tasks + balancer->room.present[j]];
            if (!isfinite(inner)) {
                return mtli_fail(balancer->context, MTL_ERROR_NUMERIC,
                                 "the inner product of the gradients of tasks %d and %d is %g", t,
                                 balancer->room.present[j], inner);
            }
        }
    }
    return MTL_OK;
}

static mtl_status gather(mtl_balancer *balancer, const mtli_balance_facts *facts, gathering *g)
{
    int32_t count = 0;
    for (int32_t t = 0; t < balancer->room.tasks; t++) {
        if (!isnan(facts->losses[t])) {
            balancer->room.present[count++] = t;
        }
    }
    mtl_status status = check_facts(balancer, facts, count);
    if (status != MTL_OK) {
        return status;
    }
    *g = (gathering){.balancer = balancer, .facts = facts, .next = balancer->room.scratch};
    mtli_decision *d = &g->decision;
    d->options = &balancer->options;
    d->count = count;
    d->tasks = balancer->room.present;
    d->losses = gather_vector(g, facts->losses);
    const double *gram = facts->cross ? facts->cross : facts->gram;
    d->gram = gram && has_pairs(balancer) ? gather_matrix(g, gram) : NULL;
    d->excess = facts->excess ? gather_vector(g, facts->excess) : NULL;
    d->preference = balancer->options.preference ? gather_vector(g, balancer->options.preference) : NULL;
    d->reference = balancer->options.reference ? gather_vector(g, balancer->options.reference) : NULL;
    gather_memory(g);
    d->step = mtli_balancer_steps(balancer);
    d->warm = is_warm(balancer);
    d->rng = mtli_balancer_rng(balancer);
    d->weights = take_scratch_values(g, count);
    d->own = take_scratch_values(g, count);
    d->scratch = g->next;
    d->work = balancer->room.work;
    for (int32_t i = 0; i < count; i++) {
        d->own[i] = 1;
    }
    return MTL_OK;
}

/* ---- deciding ---- */

static bool averages(const mtl_balancer *balancer)
{
    bool logarithm = balancer->options.form == MTL_BALANCE_FORM_LOGARITHM; /* T times a mean as published */
    return balancer->rule->mean && !logarithm;
}

/* What takes published weights to the scale that is wanted. */
static double reduction_factor(const mtl_balancer *balancer, int32_t count)
{
    int32_t wanted = balancer->options.reduction;
    bool mean = averages(balancer);
    if (wanted == MTL_BALANCE_REDUCE_SUM && mean) {
        return count;
    }
    return wanted == MTL_BALANCE_REDUCE_MEAN && !mean ? 1 / (double)count : 1;
}

/* Of the warm-up: equal, on the scale that the method's own have. */
static void weigh_equally(const mtl_balancer *balancer, mtli_decision *d)
{
    double weight = averages(balancer) ? 1 / (double)d->count : 1;
    for (int32_t i = 0; i < d->count; i++) {
        d->weights[i] = weight;
    }
}

static mtl_status refuse_decision(const mtl_balancer *balancer, mtli_balance_status status)
{
    const char *why = status == MTLI_BALANCE_NOT_FINITE ? "a loss, a gradient or a weight is not finite"
                                                        : "a loss or gradient is outside of what the method is for";
    return mtli_fail(balancer->context, MTL_ERROR_NUMERIC, "'%s' has no weights in step %lld: %s", balancer->rule->name,
                     (long long)mtli_balancer_steps(balancer) + 1, why);
}

static mtl_status smooth_and_scale(const mtl_balancer *balancer, mtli_decision *d)
{
    const double *before = balancer->room.remembered[MTLI_REMEMBERS_WEIGHTS].values;
    double factor = reduction_factor(balancer, d->count);
    double alpha = balancer->options.smoothing;
    for (int32_t i = 0; i < d->count; i++) {
        double last = before[d->tasks[i]];
        d->weights[i] *= factor;
        if (alpha > 0 && !isinf(last)) {
            d->weights[i] = alpha * last + (1 - alpha) * d->weights[i];
        }
        if (!isfinite(d->weights[i])) {
            return refuse_decision(balancer, MTLI_BALANCE_NOT_FINITE);
        }
    }
    return MTL_OK;
}

static mtl_status decide(mtl_balancer *balancer, mtli_decision *d)
{
    const char *function = balancer->context->function; /* a custom rule may enter others */
    mtli_balance_result result = {MTLI_BALANCE_OK, 0, 0};
    if (d->warm) {
        result = balancer->rule->decide(d);
    } else if (balancer->rule->observe && balancer->options.form == MTL_BALANCE_FORM_LOGARITHM) {
        result = balancer->rule->decide(d); /* stch has a warm-up of its own */
    } else {
        weigh_equally(balancer, d);
    }
    if (d->host_status != MTL_OK) {
        return mtli_fail_callback(balancer->context, function, d->host_status, "decide");
    }
    mtli_enter_function(balancer->context, function);
    if (result.status == MTLI_BALANCE_NOT_FINITE || result.status == MTLI_BALANCE_DOMAIN) {
        return refuse_decision(balancer, result.status);
    }
    mtl_status status = smooth_and_scale(balancer, d);
    if (status == MTL_OK) {
        balancer->result.status = (int32_t)result.status;
        balancer->result.iterations = result.iterations;
        balancer->result.residual = result.residual;
    }
    return status;
}

/* The weights of the last decision; a task that it did not see counts as in the warm-up. */
static void keep_weights(const mtl_balancer *balancer, mtli_decision *d)
{
    const double *weights = balancer->room.remembered[MTLI_REMEMBERS_WEIGHTS].values;
    const double *own = balancer->room.remembered[MTLI_REMEMBERS_OWN].values;
    double factor = reduction_factor(balancer, d->count);
    weigh_equally(balancer, d);
    for (int32_t i = 0; i < d->count; i++) {
        double kept = weights[d->tasks[i]];
        d->weights[i] = isinf(kept) ? factor * d->weights[i] : kept;
        d->own[i] = own[d->tasks[i]];
    }
}

/* The weights of what is a task's own: those of the shared parameters, or what the method left there. */
static void apply_scope(const mtl_balancer *balancer, mtli_decision *d)
{
    int32_t scope = balancer->options.scope;
    bool all = scope == MTL_BALANCE_SCOPE_ALL || (scope == MTL_BALANCE_SCOPE_DEFAULT && balancer->rule->weighs_all);
    for (int32_t i = 0; i < d->count && all; i++) {
        d->own[i] = d->weights[i];
    }
}

/* ---- the end of a step ---- */

static void count_losses(const gathering *g)
{
    const mtli_remembered *remembered = g->balancer->room.remembered;
    const mtli_decision *d = &g->decision;
    for (int32_t i = 0; i < d->count; i++) {
        double *mean = &remembered[MTLI_REMEMBERS_LOSS_MEAN].values[d->tasks[i]];
        double number = ++remembered[MTLI_REMEMBERS_LOSS_COUNT].values[d->tasks[i]];
        *mean += d->losses[i] / number - *mean / number; /* which does not overflow */
    }
}

/* dwa: what is newer becomes older. */
static void close_epoch(mtl_balancer *balancer)
{
    const mtli_remembered *remembered = balancer->room.remembered;
    double *mean = remembered[MTLI_REMEMBERS_LOSS_MEAN].values;
    double *count = remembered[MTLI_REMEMBERS_LOSS_COUNT].values;
    bool rates = (balancer->rule->needs & MTL_BALANCE_NEEDS_EPOCHS) != 0;
    for (int32_t t = 0; t < balancer->room.tasks; t++) {
        if (rates) {
            mtli_balancer_memory_of(balancer, 1)[t] = mtli_balancer_memory_of(balancer, 0)[t];
            mtli_balancer_memory_of(balancer, 0)[t] = mean[t];
        }
        mean[t] = 0;
        count[t] = 0;
    }
    if (rates) {
        mtli_balancer_memory_of(balancer, 2)[0]++;
    }
    remembered[MTLI_REMEMBERS_EPOCH].values[0] = 0;
}

void mtl_balancer_next_epoch(mtl_balancer *balancer)
{
    if (balancer && balancer->room.tasks > 0 && !balancer->busy) {
        close_epoch(balancer);
    }
}

static void count_step(mtl_balancer *balancer)
{
    balancer->room.remembered[MTLI_REMEMBERS_STEPS].values[0]++;
    double *epoch = balancer->room.remembered[MTLI_REMEMBERS_EPOCH].values;
    epoch[0]++;
    if (balancer->options.epoch_steps > 0 && epoch[0] >= balancer->options.epoch_steps) {
        close_epoch(balancer);
    }
}

static mtl_status decide_or_keep(gathering *g)
{
    mtl_balancer *balancer = g->balancer;
    mtli_decision *d = &g->decision;
    if (balancer->rule->observe) {
        balancer->rule->observe(d);
    }
    mtl_status status = MTL_OK;
    if (mtli_balancer_will_decide(balancer) || !d->warm) {
        status = decide(balancer, d);
    } else {
        keep_weights(balancer, d);
    }
    if (status == MTL_OK && !memory_is_finite(g)) {
        status = refuse_decision(balancer, MTLI_BALANCE_NOT_FINITE);
    }
    if (status != MTL_OK) {
        return status;
    }
    for (int32_t i = 0; i < d->count; i++) {
        balancer->room.remembered[MTLI_REMEMBERS_OWN].values[d->tasks[i]] = d->own[i];
        if (d->warm) {
            balancer->room.remembered[MTLI_REMEMBERS_WEIGHTS].values[d->tasks[i]] = d->weights[i];
        }
    }
    apply_scope(balancer, d);
    return MTL_OK;
}

static mtl_status weigh_present(gathering *g, double *weights, double *own)
{
    mtl_balancer *balancer = g->balancer;
    mtli_decision *d = &g->decision;
    mtl_status status = d->count > 0 ? decide_or_keep(g) : MTL_OK;
    if (status != MTL_OK) {
        return status;
    }
    for (int32_t t = 0; t < balancer->room.tasks; t++) {
        weights[t] = 0;
        own[t] = 0;
    }
    for (int32_t i = 0; i < d->count; i++) {
        weights[d->tasks[i]] = d->weights[i];
        own[d->tasks[i]] = d->own[i];
    }
    scatter_memory(g);
    count_losses(g);
    return MTL_OK;
}

/* `busy` while the host's functions may be called. */
mtl_status mtli_balancer_weigh(mtl_balancer *balancer, const mtli_balance_facts *facts, double *weights, double *own)
{
    gathering g;
    mtl_status status = mtli_balancer_check_idle(balancer);
    if (status == MTL_OK) {
        status = gather(balancer, facts, &g);
    }
    if (status != MTL_OK) {
        return status;
    }
    balancer->busy = true;
    status = weigh_present(&g, weights, own);
    if (status == MTL_OK) {
        count_step(balancer);
        mtli_balancer_report(balancer, facts, weights, own);
    }
    balancer->busy = false;
    return status;
}

mtl_status mtli_balancer_pass(mtl_balancer *balancer, const mtli_balance_facts *facts)
{
    gathering g;
    mtl_status status = mtli_balancer_check_idle(balancer);
    if (status == MTL_OK) {
        status = gather(balancer, facts, &g);
    }
    if (status != MTL_OK) {
        return status;
    }
    balancer->result = (mtl_balance_result){sizeof balancer->result, MTL_BALANCE_OK, 0, 0};
    balancer->busy = true;
    count_losses(&g);
    count_step(balancer);
    mtli_balancer_report(balancer, facts, NULL, NULL);
    balancer->busy = false;
    return MTL_OK;
}

mtl_status mtli_balancer_second_look(mtl_balancer *balancer, const mtli_balance_facts *facts)
{
    gathering g;
    mtl_status status = gather(balancer, facts, &g);
    mtli_decision *d = &g.decision;
    if (status != MTL_OK || d->count == 0) {
        return status;
    }
    const double *after = gather_vector(&g, facts->after);
    double *room = take_scratch_values(&g, 2 * (int64_t)d->count);
    int64_t updates = (int64_t)d->memory[3][0];
    mtli_small_adam adam = {d->memory[1], d->memory[2], &updates};
    mtli_balance_status result = mtli_loss_famo_update(d->count, d->losses, after, d->reference, d->options->rate,
                                                       d->options->decay, adam, d->memory[0], room);
    d->memory[3][0] = (double)updates;
    if (result == MTLI_BALANCE_OK && !memory_is_finite(&g)) {
        result = MTLI_BALANCE_NOT_FINITE;
    }
    if (result != MTLI_BALANCE_OK) {
        return refuse_decision(balancer, result);
    }
    scatter_memory(&g);
    return MTL_OK;
}
