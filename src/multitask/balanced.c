/* SPDX-License-Identifier: Apache-2.0
 * The backward pass of an objective with a balancer that decides weights from one evaluation. */
#include "multitask/balanced.h"

#include <math.h>
#include <string.h>

#include "balance/coordinates.h"
#include "linalg/gram.h"

/* ---- beginning ---- */

int64_t mtli_balanced_tracked(const mtl_balancer *balancer, const mtli_task_gradients *room)
{
    return (balancer->rule->needs & MTL_BALANCE_NEEDS_STATE) != 0 ? room->shared_values : 0;
}

static mtl_status prepare_room(mtl_objective *objective)
{
    mtli_task_gradients *room = objective->room;
    if (room && room->tasks == objective->num_tasks) {
        return MTL_OK;
    }
    const mtl_balancer *balancer = objective->balancer;
    mtl_status status =
        mtli_task_gradients_create(objective->model, objective->shared, objective->num_shared, objective->num_tasks,
                                   balancer->rule->needs, mtli_balancer_sees_pairs(balancer), &room);
    if (status == MTL_OK) {
        mtli_task_gradients_destroy(objective->room);
        objective->room = room;
    }
    return status;
}

/* λ L, and NaN for tasks that have no part: absent ones, those without labels, those of weight 0. */
static mtl_status note_facts(mtli_balanced_pass *pass)
{
    const mtl_objective *objective = pass->objective;
    int32_t *present = pass->room->present;
    for (int32_t t = 0; t < objective->num_tasks; t++) {
        const mtl_tensor *loss = pass->losses[t];
        double weight = objective->tasks[t].weight;
        bool takes_part = loss && !loss->absent && weight != 0;
        pass->room->losses[t] = takes_part ? weight * (double)*(const mtli_real *)loss->data : (double)NAN;
        if (takes_part && !isfinite(pass->room->losses[t])) { /* a balancer takes NaN for an absent task */
            return mtli_fail(objective->context, MTL_ERROR_NUMERIC, "the loss of task %d ('%s') is %g", t,
                             objective->tasks[t].name, pass->room->losses[t]);
        }
        if (takes_part) {
            present[pass->count++] = t;
        }
    }
    pass->present = present;
    return MTL_OK;
}

mtl_status mtli_balanced_begin(mtl_objective *objective, mtl_tape *tape, mtl_tensor *const *losses,
                               mtl_gradients *target, mtli_balanced_pass *pass)
{
    mtl_status status = prepare_room(objective);
    if (status == MTL_OK) {
        status = mtli_balancer_prepare(objective->balancer, objective->num_tasks,
                                       mtli_balanced_tracked(objective->balancer, objective->room));
    }
    if (status != MTL_OK) {
        return status;
    }
    mtli_task_gradients *room = objective->room;
    *pass = (mtli_balanced_pass){.objective = objective,
                                 .balancer = objective->balancer,
                                 .function = objective->context->function,
                                 .room = room,
                                 .tape = tape,
                                 .losses = losses,
                                 .target = target};
    status = note_facts(pass);
    for (int32_t i = 0; i < pass->count && status == MTL_OK; i++) { /* absent tasks have no part in sweeps */
        room->roots[i] = losses[pass->present[i]];
        room->seeds[i] = objective->tasks[pass->present[i]].weight;
    }
    pass->sweep = (mtli_task_pass){.tape = tape,
                                   .count = pass->count,
                                   .losses = room->roots,
                                   .seeds = room->seeds,
                                   .num_shared = room->num_shared,
                                   .shared = (const mtli_parameters *const *)room->shared};
    return status;
}

void mtli_balanced_swept(const mtli_balanced_pass *pass)
{
    mtli_enter_function(pass->room->context, pass->function);
}

void mtli_balanced_gather(const mtli_balanced_pass *pass, const double *from, double *to)
{
    for (int32_t i = 0; i < pass->count; i++) {
        to[i] = from[pass->present[i]];
    }
}

void mtli_balanced_scatter(const mtli_balanced_pass *pass, const double *from, double *to)
{
    int32_t tasks = pass->room->tasks;
    memset(to, 0, (size_t)tasks * (size_t)tasks * sizeof to[0]);
    for (int32_t i = 0; i < pass->count; i++) {
        for (int32_t j = 0; j < pass->count; j++) {
            to[(int64_t)pass->present[i] * tasks + pass->present[j]] = from[(int64_t)i * pass->count + j];
        }
    }
}

/* The seeds of a sweep over the present tasks: weights[t] λ_t. */
static const double *make_seeds(const mtli_balanced_pass *pass, const double *weights)
{
    double *seeds = pass->room->factors;
    for (int32_t i = 0; i < pass->count; i++) {
        int32_t t = pass->present[i];
        seeds[i] = weights[t] * pass->objective->tasks[t].weight;
    }
    return seeds;
}

/* ---- weights without task gradients ---- */

static bool same_weights(const mtli_balanced_pass *pass, const double *a, const double *b)
{
    for (int32_t i = 0; i < pass->count; i++) {
        if (a[pass->present[i]] != b[pass->present[i]]) {
            return false;
        }
    }
    return true;
}

static mtl_status sweep_whole(mtli_balanced_pass *pass, const double *weights)
{
    return mtli_sweep_run(pass->tape, pass->sweep.losses, make_seeds(pass, weights), pass->count, pass->target);
}

/* One gradient at each arrival, in the place of the first task's. */
static mtl_status combine_arrivals(mtli_balanced_pass *pass, const mtli_task_arrivals *arrivals, const double *weights,
                                   mtli_real ***combined)
{
    double *present = pass->room->factors;
    mtli_balanced_gather(pass, weights, present);
    *combined = mtli_arena_take_array(&pass->tape->sweep, (size_t)arrivals->count, sizeof **combined);
    if (!*combined) {
        return pass->tape->context->status;
    }
    for (int32_t a = 0; a < arrivals->count; a++) {
        const mtli_task_arrival *arrival = &arrivals->list[a];
        mtli_real *out = NULL;
        for (int32_t i = 0; i < pass->count && !out; i++) {
            out = arrival->gradients[i];
        }
        (*combined)[a] = out;
        if (out) {
            mtli_coordinates_sum(pass->count, arrival->result->size, (const mtli_real *const *)arrival->gradients,
                                 present, out);
        }
    }
    return MTL_OK;
}

static mtl_status sweep_shared(mtli_balanced_pass *pass, const mtli_task_arrivals *arrivals, const double *weights)
{
    mtli_real **combined;
    mtl_gradients_clear(pass->target);
    mtl_status status = combine_arrivals(pass, arrivals, weights, &combined);
    return status == MTL_OK ? mtli_task_sweep_inside(&pass->sweep, arrivals, combined, pass->target) : status;
}

mtl_status mtli_balanced_sweep_rest(mtli_balanced_pass *pass, const double *own)
{
    const double *seeds = make_seeds(pass, own);
    return mtli_task_sweep_rest(&pass->sweep, seeds, pass->target);
}

/* Where heads and encoders cannot be told apart on the tape: everything for the heads, then everything for the shared
 * parameters, kept in a set of their own. */
static mtl_status sweep_twice(mtli_balanced_pass *pass, const double *weights, const double *own)
{
    static const double one = 1;
    mtl_gradients **sets = pass->room->draws[0].of_task;
    mtl_status status = mtli_task_gradients_keep(pass->room, 0);
    if (status == MTL_OK) {
        status = mtli_sweep_run(pass->tape, pass->sweep.losses, make_seeds(pass, weights), pass->count, sets[0]);
    }
    if (status == MTL_OK) {
        status = sweep_whole(pass, own);
    }
    return status == MTL_OK ? mtli_task_gradients_combine(pass->room, 1, sets, &one, pass->target) : status;
}

mtl_status mtli_balanced_sweep(mtli_balanced_pass *pass, const double *weights, const double *own)
{
    if (same_weights(pass, weights, own)) {
        return sweep_whole(pass, weights);
    }
    mtli_task_arrivals arrivals;
    mtl_status status = mtli_task_sweep_outside(&pass->sweep, &arrivals);
    if (status != MTL_OK) {
        return status;
    }
    if (!pass->sweep.split) {
        return sweep_twice(pass, weights, own);
    }
    status = sweep_shared(pass, &arrivals, weights);
    return status == MTL_OK ? mtli_balanced_sweep_rest(pass, own) : status;
}

/* ---- gradients of representations ---- */

/* [width] sums over rows, in double. */
static void sum_rows(const mtli_task_arrival *arrival, const mtli_real *gradient, double *sum)
{
    memset(sum, 0, (size_t)arrival->width * sizeof sum[0]);
    for (int64_t r = 0; gradient && r < arrival->leading; r++) {
        for (int64_t j = 0; j < arrival->width; j++) {
            sum[j] += (double)gradient[r * arrival->width + j];
        }
    }
}

static mtl_status add_summed_products(mtli_balanced_pass *pass, const mtli_task_arrival *arrival, double *g)
{
    size_t width = (size_t)arrival->width;
    mtli_arena *arena = &pass->tape->sweep;
    double *sums = mtli_arena_take_array(arena, (size_t)pass->count * width, sizeof sums[0]);
    const double **rows = sums ? mtli_arena_take_array(arena, (size_t)pass->count, sizeof rows[0]) : NULL;
    if (!rows) {
        return pass->tape->context->status;
    }
    for (int32_t i = 0; i < pass->count; i++) {
        rows[i] = sums + (size_t)i * width;
        sum_rows(arrival, arrival->gradients[i], sums + (size_t)i * width);
    }
    mtli_gram_vectors_double(pass->count, arrival->width, rows, pass->room->part);
    for (int64_t k = 0; k < (int64_t)pass->count * pass->count; k++) {
        g[k] += pass->room->part[k];
    }
    return MTL_OK;
}

static void add_products(mtli_balanced_pass *pass, const mtli_task_arrival *arrival, double *g)
{
    mtli_task_gradients *room = pass->room;
    int32_t n = 0;
    for (int32_t i = 0; i < pass->count; i++) {
        if (arrival->gradients[i]) {
            room->values[n] = arrival->gradients[i];
            room->members[n++] = i;
        }
    }
    if (n > 0) {
        mtli_gram_vectors(room->context, n, arrival->result->size, room->values, room->part);
    }
    for (int32_t i = 0; i < n; i++) {
        for (int32_t j = 0; j < n; j++) {
            g[(int64_t)room->members[i] * pass->count + room->members[j]] += room->part[(int64_t)i * n + j];
        }
    }
}

static mtl_status measure_arrivals(mtli_balanced_pass *pass, const mtli_task_arrivals *arrivals, double *g)
{
    bool summed = pass->balancer->options.gradient == MTL_BALANCE_OF_REPRESENTATION_SUM;
    mtl_status status = MTL_OK;
    memset(g, 0, (size_t)pass->count * (size_t)pass->count * sizeof g[0]);
    for (int32_t a = 0; a < arrivals->count && status == MTL_OK; a++) {
        if (summed) {
            status = add_summed_products(pass, &arrivals->list[a], g);
        } else {
            add_products(pass, &arrivals->list[a], g);
        }
    }
    return status;
}

mtl_status mtli_balanced_fail_not_split(const mtli_balanced_pass *pass)
{
    return mtli_fail(pass->tape->context, MTL_ERROR_UNSUPPORTED,
                     "there are no representation gradients: a shared parameter is used outside of its encoder, or an "
                     "encoder reads what a head returned");
}

static mtl_status weigh(mtli_balanced_pass *pass, const double *gram, const double *cross)
{
    mtli_task_gradients *room = pass->room;
    mtli_balance_facts facts = {.losses = room->losses, .gram = gram, .cross = cross};
    return mtli_balancer_weigh(pass->balancer, &facts, room->weights, room->own);
}

static mtl_status balance_representation(mtli_balanced_pass *pass)
{
    mtli_task_gradients *room = pass->room;
    mtli_task_arrivals arrivals;
    mtl_status status = mtli_task_sweep_outside(&pass->sweep, &arrivals);
    if (status == MTL_OK) {
        mtli_balanced_swept(pass);
        status =
            pass->sweep.split ? measure_arrivals(pass, &arrivals, room->cross) : mtli_balanced_fail_not_split(pass);
    }
    if (status == MTL_OK) {
        mtli_balanced_scatter(pass, room->cross, room->gram);
        status = weigh(pass, room->gram, NULL);
    }
    if (status == MTL_OK) {
        status = sweep_shared(pass, &arrivals, room->weights);
    }
    return status == MTL_OK ? mtli_balanced_sweep_rest(pass, room->own) : status;
}

/* ---- gradients of parameters ---- */

mtl_status mtli_balanced_keep(mtli_balanced_pass *pass, int32_t draw, int32_t at)
{
    mtli_task_gradients *room = pass->room;
    mtl_status status = mtli_task_gradients_keep(room, draw);
    for (int32_t i = 0; i < pass->count; i++) {
        room->list[at + i] = room->draws[draw].of_task[pass->present[i]];
    }
    pass->sweep.targets = room->list + at;
    if (status == MTL_OK) {
        status = mtli_task_sweep(&pass->sweep);
    }
    if (status == MTL_OK) {
        mtli_balanced_swept(pass);
    }
    pass->balancer->gradient_bytes = mtli_task_gradients_bytes(room);
    return status;
}

/* The shared part from kept task gradients, the rest by itself, or before it where it cannot be told apart. */
static mtl_status combine_kept(mtli_balanced_pass *pass)
{
    mtli_task_gradients *room = pass->room;
    mtl_status status = MTL_OK;
    if (pass->sweep.split) {
        mtl_gradients_clear(pass->target);
    } else {
        status = sweep_whole(pass, room->own);
    }
    if (status == MTL_OK) {
        mtli_balanced_gather(pass, room->weights, room->factors);
        status = mtli_task_gradients_combine(room, pass->count, room->list, room->factors, pass->target);
    }
    return status == MTL_OK && pass->sweep.split ? mtli_balanced_sweep_rest(pass, room->own) : status;
}

static mtl_status balance_kept(mtli_balanced_pass *pass)
{
    mtli_task_gradients *room = pass->room;
    mtl_status status = mtli_balanced_keep(pass, 0, 0);
    if (status != MTL_OK) {
        return status;
    }
    mtli_task_gradients_gram(room, pass->count, room->list, room->cross);
    mtli_balanced_scatter(pass, room->cross, room->gram);
    status = weigh(pass, room->gram, NULL);
    return status == MTL_OK ? combine_kept(pass) : status;
}

/* Inner products only; the weighted gradient is formed again. */
static mtl_status balance_discarded(mtli_balanced_pass *pass)
{
    mtli_task_gradients *room = pass->room;
    mtl_status status = mtli_task_sweep_gram(&pass->sweep, room->cross);
    if (status != MTL_OK) {
        return status;
    }
    if (pass->sweep.way == MTLI_TASKS_SWEEP_EACH) {
        return balance_kept(pass);
    }
    mtli_balanced_swept(pass);
    mtli_balanced_scatter(pass, room->cross, room->gram);
    status = weigh(pass, room->gram, NULL);
    if (status != MTL_OK) {
        return status;
    }
    mtl_gradients_clear(pass->target);
    status = mtli_task_sweep_weighted(&pass->sweep, make_seeds(pass, room->weights), pass->target);
    return status == MTL_OK ? mtli_balanced_sweep_rest(pass, room->own) : status;
}

static mtl_status balance_weights(mtli_balanced_pass *pass)
{
    mtli_task_gradients *room = pass->room;
    const mtl_balancer_options *options = &pass->balancer->options;
    if (!mtli_balancer_wants_gram(pass->balancer)) {
        mtl_status status = weigh(pass, NULL, NULL);
        return status == MTL_OK ? mtli_balanced_sweep(pass, room->weights, room->own) : status;
    }
    if (options->gradient != MTL_BALANCE_OF_PARAMETERS) {
        return balance_representation(pass);
    }
    bool fits = mtli_task_gradients_dense_bytes(room) <= options->max_bytes;
    return fits ? balance_kept(pass) : balance_discarded(pass);
}

bool mtli_balanced_needs_step(const mtl_balancer *balancer)
{
    enum { LOOKS = MTL_BALANCE_NEEDS_SECOND_EVALUATION | MTL_BALANCE_NEEDS_DRAWS | MTL_BALANCE_NEEDS_VALIDATION };
    return (balancer->rule->needs & LOOKS) != 0;
}

mtl_status mtli_balanced_backward(mtl_objective *objective, mtl_tape *tape, mtl_tensor *const *losses,
                                  mtl_gradients *target)
{
    mtli_balanced_pass pass;
    mtl_status status = mtli_balanced_begin(objective, tape, losses, target, &pass);
    if (status != MTL_OK) {
        return status;
    }
    if (pass.count == 0) {
        mtl_gradients_clear(target);
        memset(pass.room->weights, 0, (size_t)pass.room->tasks * sizeof pass.room->weights[0]);
        return MTL_OK;
    }
    bool coordinates = pass.balancer->rule->way == MTLI_BALANCE_BY_COORDINATES;
    status = coordinates ? mtli_balanced_coordinates(&pass) : balance_weights(&pass);
    if (status != MTL_OK) {
        mtl_gradients_clear(target); /* half a gradient must not look like one */
        return status;
    }
    mtli_balanced_swept(&pass);
    return MTL_OK;
}
