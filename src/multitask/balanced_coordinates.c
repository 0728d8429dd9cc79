/* SPDX-License-Identifier: Apache-2.0
 * Balancing methods that look at the coordinates of the task gradients, or track T×P numbers. */
#include <math.h>
#include <string.h>

#include "autograd/gradient_rows.h"
#include "balance/coordinates.h"
#include "balance/loss_rules.h"
#include "linalg/gram.h"
#include "multitask/balanced.h"

/* ---- rules without weights: runs of coordinates go through a function ---- */

/* One parameter, or the rows of a table that any task has touched. */
typedef struct coordinate_run {
    mtli_balanced_pass *pass;
    int64_t first;                             /* of this parameter among all shared values */
    const mtli_gradient_entry *const *entries; /* [n] of the present tasks */
    mtli_gradient_entry *entry;                /* of the target */
    mtli_real *out;
    int64_t step;
    bool drop; /* GradDrop; else the trimmed mean */
} coordinate_run;

enum { RUN_LENGTH = 512 };

static void apply_run(const coordinate_run *run, int64_t first, int64_t n, const mtli_real *const *g, mtli_real *out,
                      mtli_real *work)
{
    const mtl_balancer *balancer = run->pass->balancer;
    int32_t count = run->pass->count;
    if (run->drop) {
        mtli_real u[RUN_LENGTH];
        int64_t at = run->step * run->pass->room->shared_values + run->first + first;
        mtli_coordinates_uniform(balancer->seed, balancer->stream, at, n, u);
        mtli_coordinates_sign_drop(count, n, g, u, balancer->options.leak, out);
        return;
    }
    int32_t most = (count - 1) / 2;
    int32_t trim = balancer->options.outliers < most ? balancer->options.outliers : most;
    mtli_coordinates_trimmed_mean(count, trim, n, g, out, work);
}

static void dense_range(void *argument, int32_t job, int64_t begin, int64_t end)
{
    const coordinate_run *run = argument;
    const mtli_task_gradients *room = run->pass->room;
    const mtli_real **shifted = room->shifted + (int64_t)job * room->tasks * MTLI_MAX_DRAWS;
    mtli_real *work = room->trimming + (int64_t)job * room->tasks * MTLI_COORDINATES_BLOCK;
    for (int64_t at = begin; at < end; at += RUN_LENGTH) {
        int64_t n = at + RUN_LENGTH < end ? RUN_LENGTH : end - at;
        for (int32_t i = 0; i < run->pass->count; i++) {
            shifted[i] = room->values[i] ? room->values[i] + at : NULL;
        }
        apply_run(run, at, n, shifted, run->out + at, work);
    }
}

/* A run is a row of the table; tasks that did not touch it have zeros there. */
static void row_range(void *argument, int32_t job, int64_t begin, int64_t end)
{
    const coordinate_run *run = argument;
    const mtli_task_gradients *room = run->pass->room;
    const mtli_real **shifted = room->shifted + (int64_t)job * room->tasks * MTLI_MAX_DRAWS;
    mtli_real *work = room->trimming + (int64_t)job * room->tasks * MTLI_COORDINATES_BLOCK;
    int64_t width = run->entry->width;
    for (int64_t k = begin; k < end; k++) {
        int32_t row = run->entry->rows[k];
        for (int64_t at = 0; at < width; at += RUN_LENGTH) {
            int64_t n = at + RUN_LENGTH < width ? RUN_LENGTH : width - at;
            for (int32_t i = 0; i < run->pass->count; i++) {
                const mtli_gradient_entry *theirs = run->entries[i];
                int32_t slot = theirs->state == MTLI_GRADIENT_ROWS ? theirs->slot[row] : -1;
                shifted[i] = slot >= 0 ? theirs->values + slot * width + at : NULL;
            }
            apply_run(run, row * width + at, n, shifted, run->entry->values + k * width + at, work);
        }
    }
}

static mtl_status run_over_dense(coordinate_run *run)
{
    mtli_balanced_pass *pass = run->pass;
    bool fresh;
    run->out = mtli_gradient_entry_dense(pass->target, run->entry, &fresh);
    if (!run->out) {
        return pass->room->context->status;
    }
    for (int32_t i = 0; i < pass->count; i++) {
        bool dense = run->entries[i]->state == MTLI_GRADIENT_DENSE;
        pass->room->values[i] = dense ? run->entries[i]->dense : NULL;
    }
    mtli_task_gradients_run(pass->room, run->entry->parameter->size, dense_range, run);
    return MTL_OK;
}

static mtl_status run_over_rows(coordinate_run *run)
{
    mtli_balanced_pass *pass = run->pass;
    for (int32_t i = 0; i < pass->count; i++) {
        pass->room->factors[i] = 1;
    }
    mtl_status status =
        mtli_gradient_rows_reserve_all(pass->target, run->entry, pass->count, run->entries, pass->room->factors);
    if (status == MTL_OK) {
        mtli_task_gradients_run(pass->room, run->entry->num_rows, row_range, run);
    }
    return status;
}

/* Tables whose gradient some task has dense become dense for all. */
static mtl_status run_over_entry(coordinate_run *run)
{
    bool dense = false;
    bool rows = false;
    for (int32_t i = 0; i < run->pass->count; i++) {
        dense = dense || run->entries[i]->state == MTLI_GRADIENT_DENSE;
        rows = rows || run->entries[i]->state == MTLI_GRADIENT_ROWS;
    }
    for (int32_t i = 0; i < run->pass->count && dense && rows; i++) {
        mtl_gradients *set = run->pass->room->list[i];
        mtli_gradient_entry *entry = mtli_gradients_find(set, run->entry->parameter);
        bool fresh = false;
        if (entry->state == MTLI_GRADIENT_ROWS && !mtli_gradient_entry_dense(set, entry, &fresh)) {
            return run->pass->room->context->status;
        }
    }
    mtli_gradient_rows_clear(run->entry);
    run->entry->state = MTLI_GRADIENT_NONE;
    if (dense) {
        return run_over_dense(run);
    }
    return rows ? run_over_rows(run) : MTL_OK;
}

static mtl_status direct(mtli_balanced_pass *pass, bool drop)
{
    mtli_task_gradients *room = pass->room;
    mtl_status status = MTL_OK;
    int64_t first = 0;
    for (int32_t b = 0; b < room->num_blocks; b++) {
        for (int32_t k = 0; k < room->blocks[b]->count && status == MTL_OK; k++) {
            const mtl_tensor *parameter = &room->blocks[b]->list[k].tensor;
            for (int32_t i = 0; i < pass->count; i++) {
                room->entries[i] = &room->list[i]->blocks[b].entries[k];
            }
            coordinate_run run = {.pass = pass,
                                  .first = first,
                                  .entries = room->entries,
                                  .entry = mtli_gradients_find(pass->target, parameter),
                                  .step = mtli_balancer_steps(pass->balancer),
                                  .drop = drop};
            status = run.entry ? run_over_entry(&run) : MTL_OK;
            first += parameter->size;
        }
    }
    return status;
}

/* ---- tracked numbers ---- */

static mtli_real *tracked_of(const mtli_balanced_pass *pass, int32_t i)
{
    return pass->balancer->room.tracked + pass->present[i] * pass->balancer->room.tracked_size;
}

typedef struct tracking {
    const mtli_gradient_entry *entry;
    double factor;
    double scale;
    mtli_real *values;
} tracking;

static void track_range(void *argument, int32_t job, int64_t begin, int64_t end)
{
    const tracking *t = argument;
    (void)job;
    const mtli_real *g = t->entry->state == MTLI_GRADIENT_DENSE ? t->entry->dense + begin : NULL;
    mtli_coordinates_track(end - begin, t->factor, t->scale, g, t->values + begin);
}

/* y ← y + factor (scale g - y) for task i; rows of tables come after the decay of all. */
static void track(mtli_balanced_pass *pass, int32_t i, double factor, double scale)
{
    const mtl_gradients *set = pass->room->list[i];
    mtli_real *y = tracked_of(pass, i);
    for (int32_t b = 0; b < set->num_blocks; b++) {
        for (int32_t k = 0; k < set->blocks[b].parameters->count; k++) {
            const mtli_gradient_entry *entry = &set->blocks[b].entries[k];
            tracking job = {entry, factor, scale, y};
            mtli_task_gradients_run(pass->room, entry->parameter->size, track_range, &job);
            if (entry->state == MTLI_GRADIENT_ROWS) {
                mtli_gradient_rows_add_to(entry, (mtli_real)(factor * scale), y);
            }
            y += entry->parameter->size;
        }
    }
}

/* Inner products of the tracked gradients as [T, T], in room->part's place free again. */
static void measure_tracked(mtli_balanced_pass *pass, double *out)
{
    mtli_task_gradients *room = pass->room;
    for (int32_t i = 0; i < pass->count; i++) {
        room->values[i] = tracked_of(pass, i);
    }
    mtli_gram_vectors(room->context, pass->count, pass->balancer->room.tracked_size, room->values, room->part);
    mtli_balanced_scatter(pass, room->part, out);
}

typedef struct tracked_sum {
    const mtli_balanced_pass *pass;
    int64_t first;
    const double *weights;
    mtli_real *out;
} tracked_sum;

static void tracked_range(void *argument, int32_t job, int64_t begin, int64_t end)
{
    const tracked_sum *sum = argument;
    const mtli_task_gradients *room = sum->pass->room;
    const mtli_real **shifted = room->shifted + (int64_t)job * room->tasks * MTLI_MAX_DRAWS;
    for (int32_t i = 0; i < sum->pass->count; i++) {
        shifted[i] = tracked_of(sum->pass, i) + sum->first + begin;
    }
    mtli_coordinates_sum(sum->pass->count, end - begin, shifted, sum->weights, sum->out + begin);
}

/* target ← Σ w y: dense, for tables too. */
static mtl_status sum_tracked(mtli_balanced_pass *pass)
{
    mtli_task_gradients *room = pass->room;
    mtli_balanced_gather(pass, room->weights, room->factors);
    int64_t first = 0;
    for (int32_t b = 0; b < room->num_blocks; b++) {
        for (int32_t k = 0; k < room->blocks[b]->count; k++) {
            const mtl_tensor *parameter = &room->blocks[b]->list[k].tensor;
            mtli_gradient_entry *entry = mtli_gradients_find(pass->target, parameter);
            bool fresh;
            mtli_gradient_rows_clear(entry);
            entry->state = MTLI_GRADIENT_NONE;
            tracked_sum sum = {pass, first, room->factors, mtli_gradient_entry_dense(pass->target, entry, &fresh)};
            if (!sum.out) {
                return room->context->status;
            }
            mtli_task_gradients_run(room, parameter->size, tracked_range, &sum);
            first += parameter->size;
        }
    }
    return MTL_OK;
}

static mtl_status refuse_scale(const mtli_balanced_pass *pass)
{
    return mtli_fail(pass->room->context, MTL_ERROR_NUMERIC,
                     "a loss or the length of a gradient is outside of what '%s' is for", pass->balancer->rule->name);
}

/* Factors of the present tasks' gradients before they are tracked, in room->factors. */
static mtl_status tracking_scales(mtli_balanced_pass *pass, const double *gram)
{
    mtli_task_gradients *room = pass->room;
    double *scales = room->factors;
    double *norms = room->factors + pass->count;
    mtli_balanced_gather(pass, room->losses, room->own); /* free until the weights are decided */
    if (pass->balancer->options.method == MTL_BALANCE_DB_MTL) {
        return mtli_loss_db_logarithm(pass->count, room->own, scales) == MTLI_BALANCE_OK ? MTL_OK : refuse_scale(pass);
    }
    for (int32_t i = 0; i < pass->count; i++) {
        norms[i] = sqrt(fmax(gram[(int64_t)i * pass->count + i], 0));
    }
    return mtli_loss_moco_scale(pass->count, room->own, norms, scales) == MTLI_BALANCE_OK ? MTL_OK : refuse_scale(pass);
}

static double tracking_factor(const mtl_balancer *balancer)
{
    int64_t step = mtli_balancer_steps(balancer) + 1;
    const mtl_balancer_options *o = &balancer->options;
    return o->method == MTL_BALANCE_DB_MTL ? 1 - mtli_loss_db_factor(o->beta, o->sigma, step)
                                           : fmin(o->beta / pow((double)step, o->sigma), 1);
}

static mtl_status balance_tracked(mtli_balanced_pass *pass, const double *gram)
{
    mtli_task_gradients *room = pass->room;
    mtl_status status = tracking_scales(pass, gram);
    if (status != MTL_OK) {
        return status;
    }
    double factor = tracking_factor(pass->balancer);
    for (int32_t i = 0; i < pass->count; i++) {
        track(pass, i, factor, room->factors[i]);
    }
    mtli_balanced_scatter(pass, gram, room->gram);
    measure_tracked(pass, room->cross);
    mtli_balance_facts facts = {.losses = room->losses, .gram = room->gram, .cross = room->cross};
    return mtli_balancer_weigh(pass->balancer, &facts, room->weights, room->own);
}

/* ---- ExcessMTL ---- */

typedef struct excess_job {
    const mtli_real *g;
    mtli_real *squares;
    double *sums; /* [MTLI_MAX_JOBS] */
} excess_job;

static void excess_range(void *argument, int32_t job, int64_t begin, int64_t end)
{
    const excess_job *all = argument;
    all->sums[job] = mtli_coordinates_excess(end - begin, all->g + begin, all->squares + begin);
}

static double excess_of_entry(mtli_balanced_pass *pass, const mtli_gradient_entry *entry, mtli_real *squares)
{
    double sums[MTLI_MAX_JOBS] = {0};
    double sum = 0;
    if (entry->state == MTLI_GRADIENT_DENSE) {
        excess_job job = {entry->dense, squares, sums};
        mtli_task_gradients_run(pass->room, entry->parameter->size, excess_range, &job);
    }
    for (int32_t j = 0; j < MTLI_MAX_JOBS; j++) {
        sum += sums[j];
    }
    for (int64_t k = 0; k < entry->num_rows && entry->state == MTLI_GRADIENT_ROWS; k++) {
        sum += mtli_coordinates_excess(entry->width, entry->values + k * entry->width,
                                       squares + entry->rows[k] * entry->width);
    }
    return sum;
}

static double excess_of_task(mtli_balanced_pass *pass, int32_t i)
{
    const mtl_gradients *set = pass->room->list[i];
    mtli_real *squares = tracked_of(pass, i);
    double sum = 0;
    for (int32_t b = 0; b < set->num_blocks; b++) {
        for (int32_t k = 0; k < set->blocks[b].parameters->count; k++) {
            const mtli_gradient_entry *entry = &set->blocks[b].entries[k];
            sum += excess_of_entry(pass, entry, squares);
            squares += entry->parameter->size;
        }
    }
    return sum;
}

static mtl_status balance_excess(mtli_balanced_pass *pass, const double *gram)
{
    mtli_task_gradients *room = pass->room;
    for (int32_t i = 0; i < pass->count; i++) {
        room->excess[pass->present[i]] = excess_of_task(pass, i);
    }
    mtli_balanced_scatter(pass, gram, room->gram);
    mtli_balance_facts facts = {.losses = room->losses, .gram = room->gram, .excess = room->excess};
    return mtli_balancer_weigh(pass->balancer, &facts, room->weights, room->own);
}

/* ---- GradDrop on representations ---- */

/* The masks of one result from the evidence of its rows, then one gradient for all tasks. */
static mtl_status drop_at_arrival(mtli_balanced_pass *pass, const mtli_task_arrival *arrival, int64_t first,
                                  mtli_real **out)
{
    mtl_context *context = pass->room->context;
    mtli_arena *arena = &pass->tape->sweep;
    const mtl_balancer *balancer = pass->balancer;
    size_t cells = (size_t)pass->count * (size_t)arrival->width;
    double *evidence = mtli_arena_take_array(arena, cells, sizeof evidence[0]);
    mtli_real *mask = mtli_arena_take_array(arena, cells, sizeof mask[0]);
    mtli_real *u = mtli_arena_take_array(arena, (size_t)arrival->width, sizeof u[0]);
    *out = mtli_arena_take_array(arena, (size_t)arrival->result->size, sizeof **out);
    if (!evidence || !mask || !u || !*out) {
        return context->status;
    }
    memset(evidence, 0, cells * sizeof evidence[0]);
    for (int32_t i = 0; i < pass->count; i++) {
        if (arrival->gradients[i]) {
            mtli_sign_evidence(arrival->leading, arrival->width, arrival->gradients[i], arrival->result->data,
                               evidence + i * arrival->width);
        }
    }
    mtli_coordinates_uniform(balancer->seed, balancer->stream, first, arrival->width, u);
    mtli_sign_mask(pass->count, arrival->width, evidence, u, balancer->options.leak, mask);
    mtli_sign_apply(pass->count, arrival->leading, arrival->width, (const mtli_real *const *)arrival->gradients, mask,
                    *out);
    return MTL_OK;
}

static mtl_status drop_representation(mtli_balanced_pass *pass)
{
    mtli_task_gradients *room = pass->room;
    mtli_task_arrivals arrivals;
    mtl_status status = mtli_task_sweep_outside(&pass->sweep, &arrivals);
    if (status != MTL_OK) {
        return status;
    }
    mtli_balanced_swept(pass);
    if (!pass->sweep.split) {
        return mtli_balanced_fail_not_split(pass);
    }
    mtli_real **combined = mtli_arena_take_array(&pass->tape->sweep, (size_t)arrivals.count, sizeof combined[0]);
    int64_t first = mtli_balancer_steps(pass->balancer) << 32;
    status = combined ? MTL_OK : room->context->status;
    for (int32_t a = 0; a < arrivals.count && status == MTL_OK; a++) {
        status = drop_at_arrival(pass, &arrivals.list[a], first, &combined[a]);
        first += arrivals.list[a].width;
    }
    if (status == MTL_OK) {
        mtl_gradients_clear(pass->target);
        status = mtli_task_sweep_inside(&pass->sweep, &arrivals, combined, pass->target);
    }
    for (int32_t t = 0; t < room->tasks; t++) {
        room->own[t] = 1;
    }
    if (status == MTL_OK) {
        status = mtli_balanced_sweep_rest(pass, room->own);
    }
    if (status != MTL_OK) {
        return status;
    }
    mtli_balanced_swept(pass);
    mtli_balance_facts facts = {.losses = room->losses};
    return mtli_balancer_pass(pass->balancer, &facts);
}

/* ---- the pass ---- */

static mtl_status write_direction(mtli_balanced_pass *pass)
{
    mtli_task_gradients *room = pass->room;
    switch (pass->balancer->options.method) {
    case MTL_BALANCE_TRIMMED_MEAN:
        return direct(pass, false);
    case MTL_BALANCE_GRADDROP:
        return direct(pass, true);
    case MTL_BALANCE_EXCESS_MTL:
        mtli_balanced_gather(pass, room->weights, room->factors);
        return mtli_task_gradients_combine(room, pass->count, room->list, room->factors, pass->target);
    default:
        return sum_tracked(pass);
    }
}

/* Weights, where the method has them; `gram` [n, n] is of the task gradients. */
static mtl_status balance_coordinates(mtli_balanced_pass *pass, const double *gram)
{
    mtli_task_gradients *room = pass->room;
    if (pass->balancer->options.method == MTL_BALANCE_EXCESS_MTL) {
        return balance_excess(pass, gram);
    }
    if ((pass->balancer->rule->needs & MTL_BALANCE_NEEDS_STATE) != 0) {
        return balance_tracked(pass, gram);
    }
    for (int32_t t = 0; t < room->tasks; t++) {
        room->own[t] = 1;
    }
    mtli_balanced_scatter(pass, gram, room->gram);
    return MTL_OK;
}

mtl_status mtli_balanced_coordinates(mtli_balanced_pass *pass)
{
    mtli_task_gradients *room = pass->room;
    bool weighs = pass->balancer->rule->decide != NULL;
    if (pass->balancer->options.gradient != MTL_BALANCE_OF_PARAMETERS) {
        return drop_representation(pass);
    }
    mtl_status status = mtli_balanced_keep(pass, 0, 0);
    if (status != MTL_OK) {
        return status;
    }
    mtli_task_gradients_gram(room, pass->count, room->list, room->cross);
    memcpy(room->kept_gram, room->cross, (size_t)pass->count * (size_t)pass->count * sizeof room->cross[0]);
    status = balance_coordinates(pass, room->kept_gram);
    if (status == MTL_OK && pass->sweep.split) {
        mtl_gradients_clear(pass->target);
    } else if (status == MTL_OK) {
        status = mtli_balanced_sweep(pass, room->own, room->own);
    }
    if (status == MTL_OK) {
        status = write_direction(pass);
    }
    if (status == MTL_OK && pass->sweep.split) {
        status = mtli_balanced_sweep_rest(pass, room->own);
    }
    if (status == MTL_OK && !weighs) {
        mtli_balanced_swept(pass);
        mtli_balance_facts facts = {.losses = room->losses, .gram = room->gram};
        status = mtli_balancer_pass(pass->balancer, &facts);
    }
    return status;
}
