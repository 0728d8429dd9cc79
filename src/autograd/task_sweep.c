/* SPDX-License-Identifier: Apache-2.0
 * Task gradients. First each task is swept through the calls outside (task_plan.h), which is cheap: heads and losses. What
 * arrives at the results of the calls inside tells which rows the task depends on. When no row belongs to two tasks, the
 * arrivals are put together and swept through the inside once, where operations form the gradients of their weights per
 * segment of rows. */
#include "autograd/task_sweep.h"

#include <string.h>

#include "autograd/sweep.h"
#include "autograd/task_gram.h"
#include "autograd/task_plan.h"

/* ---- each task through the outside ---- */

/* Takes what arrived at the results of the calls inside. Returns whether the next task is wanted. */
typedef bool (*arrival_function)(void *argument, int32_t task);

static void clear_slots(mtl_tape *tape)
{
    memset(tape->gradients, 0, (size_t)tape->num_results * sizeof tape->gradients[0]);
    for (mtli_watched *watched = tape->watched; watched; watched = watched->next) {
        watched->gradient = NULL;
    }
}

static mtl_status sweep_outside(const mtli_task_pass *pass, mtl_gradients *const *targets, arrival_function arrived,
                                void *argument)
{
    mtl_tape *tape = pass->tape;
    mtl_status status = MTL_OK;
    bool wanted = true;
    for (int32_t t = 0; t < pass->count && status == MTL_OK && wanted; t++) {
        mtli_sweep sweep = {.tape = tape, .target = targets ? targets[t] : NULL};
        status = mtli_sweep_seed(&sweep, &pass->losses[t], &pass->seeds[t], 1);
        if (status == MTL_OK) {
            status = mtli_sweep_calls(&sweep, mtli_task_is_outside, pass);
        }
        wanted = status == MTL_OK && arrived(argument, t);
        clear_slots(tape);
    }
    return status;
}

/* ---- whose rows they are ---- */

enum { NOBODY = -1 };

typedef struct row_owners {
    const mtl_tape *tape;
    const mtli_task_plan *plan;
    mtli_real **gradients; /* at the results of the calls inside, all tasks together */
    int32_t *owner;        /* [rows] the task */
    bool disjoint;
} row_owners;

static bool is_zero(const mtli_real *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (values[i] != 0) {
            return false;
        }
    }
    return true;
}

static void claim_row(row_owners *owners, int64_t row, int32_t task)
{
    if (owners->owner[row] != NOBODY && owners->owner[row] != task) {
        owners->disjoint = false;
    }
    owners->owner[row] = task;
}

/* The rows with a gradient become the task's. */
static void claim_rows(row_owners *owners, const mtl_tensor *result, const mtli_real *gradient, int32_t task)
{
    int64_t rows = owners->plan->rows;
    const mtli_ragged *ragged = result->shape.ragged;
    int64_t leading = ragged ? ragged->offsets[rows] : rows;
    int64_t width = leading > 0 ? result->size / leading : 0;
    for (int64_t row = 0; row < rows && owners->disjoint; row++) {
        int64_t begin = ragged ? ragged->offsets[row] : row;
        int64_t end = ragged ? ragged->offsets[row + 1] : row + 1;
        if (!is_zero(gradient + begin * width, (end - begin) * width)) {
            claim_row(owners, row, task);
        }
    }
}

static bool claim_arrivals(void *argument, int32_t task)
{
    row_owners *owners = argument;
    for (const mtli_call *call = owners->tape->last; call && owners->disjoint; call = call->previous) {
        int32_t index = call->output->index;
        mtli_real *gradient = owners->tape->gradients[index];
        if (!owners->plan->inside[index] || !gradient) {
            continue;
        }
        claim_rows(owners, call->output, gradient, task);
        mtli_real *sum = owners->gradients[index];
        if (!sum) {
            owners->gradients[index] = gradient;
            continue;
        }
        for (int64_t i = 0; i < call->output->size; i++) {
            sum[i] += gradient[i];
        }
    }
    return owners->disjoint;
}

static mtl_status find_owners(const mtli_task_pass *pass, const mtli_task_plan *plan, mtl_gradients *const *targets,
                              row_owners *owners)
{
    mtl_tape *tape = pass->tape;
    size_t slots = (size_t)tape->num_results * sizeof owners->gradients[0];
    *owners = (row_owners){.tape = tape, .plan = plan, .disjoint = true};
    owners->gradients = mtli_arena_take(&tape->sweep, slots);
    owners->owner = mtli_arena_take_array(&tape->sweep, (size_t)plan->rows, sizeof owners->owner[0]);
    if (!owners->gradients || !owners->owner) {
        return tape->context->status;
    }
    memset(owners->gradients, 0, slots);
    for (int64_t row = 0; row < plan->rows; row++) {
        owners->owner[row] = NOBODY;
    }
    return sweep_outside(pass, targets, claim_arrivals, owners);
}

static mtl_status sort_rows(const mtli_task_pass *pass, const row_owners *owners, mtli_segments *segments)
{
    int64_t rows = owners->plan->rows;
    const int32_t *owner = owners->owner;
    int32_t *order = mtli_arena_take_array(&pass->tape->sweep, (size_t)rows, sizeof order[0]);
    int64_t *offsets = mtli_arena_take_array(&pass->tape->sweep, (size_t)pass->count + 1, sizeof offsets[0]);
    if (!order || !offsets) {
        return pass->tape->context->status;
    }
    memset(offsets, 0, ((size_t)pass->count + 1) * sizeof offsets[0]);
    for (int64_t row = 0; row < rows; row++) {
        if (owner[row] != NOBODY) {
            offsets[owner[row] + 1]++;
        }
    }
    for (int32_t t = 0; t < pass->count; t++) {
        offsets[t + 1] += offsets[t];
    }
    for (int64_t row = 0; row < rows; row++) {
        if (owner[row] != NOBODY) {
            order[offsets[owner[row]]++] = (int32_t)row;
        }
    }
    for (int32_t t = pass->count; t > 0; t--) {
        offsets[t] = offsets[t - 1];
    }
    offsets[0] = 0;
    *segments = (mtli_segments){.count = pass->count, .rows = order, .offsets = offsets};
    return MTL_OK;
}

/* ---- one sweep through the inside ---- */

/* Begins a sweep and looks at the calls. */
static mtl_status begin_pass(mtli_task_pass *pass, mtli_task_plan *plan)
{
    pass->way = MTLI_TASKS_SWEEP_EACH;
    pass->split = false;
    pass->kept = NULL;
    mtl_status status = mtli_sweep_prepare(pass->tape);
    if (status == MTL_OK) {
        status = mtli_task_plan_make(pass, plan);
    }
    pass->split = status == MTL_OK && plan->split;
    return status;
}

static mtl_status sweep_segments(const mtli_task_pass *pass, mtli_real *const *gradients, const mtli_segments *segments,
                                 mtli_task_gram *gram)
{
    mtl_tape *tape = pass->tape;
    memcpy(tape->gradients, gradients, (size_t)tape->num_results * sizeof tape->gradients[0]);
    mtli_sweep sweep = {.tape = tape, .segments = segments, .gram = gram};
    return mtli_sweep_calls(&sweep, mtli_task_is_inside, pass);
}

static mtl_status sweep_once(mtli_task_pass *pass)
{
    mtli_task_plan plan;
    row_owners owners = {.disjoint = false};
    mtl_status status = begin_pass(pass, &plan);
    if (status == MTL_OK && plan.separable) {
        status = find_owners(pass, &plan, pass->targets, &owners);
    }
    if (status != MTL_OK || !owners.disjoint) {
        return status;
    }
    pass->way = MTLI_TASKS_ONE_SWEEP;
    mtli_segments segments;
    status = sort_rows(pass, &owners, &segments);
    segments.targets = pass->targets;
    return status == MTL_OK ? sweep_segments(pass, owners.gradients, &segments, NULL) : status;
}

/* ---- one sweep for each ---- */

static mtl_status sweep_each(const mtli_task_pass *pass)
{
    mtl_status status = MTL_OK;
    for (int32_t t = 0; t < pass->count && status == MTL_OK; t++) {
        status = mtli_sweep_run(pass->tape, &pass->losses[t], &pass->seeds[t], 1, pass->targets[t]);
    }
    return status;
}

static void clear_targets(const mtli_task_pass *pass)
{
    for (int32_t t = 0; t < pass->count && pass->targets; t++) {
        mtl_gradients_clear(pass->targets[t]);
    }
}

mtl_status mtli_task_sweep(mtli_task_pass *pass)
{
    mtl_status status = mtli_sweep_check_roots(pass->tape, pass->losses, pass->count);
    if (status != MTL_OK) {
        return status;
    }
    clear_targets(pass);
    status = sweep_once(pass);
    if (status == MTL_OK && pass->way == MTLI_TASKS_SWEEP_EACH) {
        status = sweep_each(pass);
    }
    mtli_sweep_forget(pass->tape);
    if (status != MTL_OK) {
        clear_targets(pass);
    }
    return status;
}

mtl_status mtli_task_sweep_rest(mtli_task_pass *pass, const double *weights, mtl_gradients *target)
{
    mtli_sweep sweep = {.tape = pass->tape, .target = target};
    mtl_status status = mtli_sweep_prepare(pass->tape);
    if (status == MTL_OK) {
        status = mtli_sweep_seed(&sweep, pass->losses, weights, pass->count);
    }
    if (status == MTL_OK) {
        status = mtli_sweep_calls(&sweep, mtli_task_is_outside, pass);
    }
    mtli_sweep_forget(pass->tape);
    return status;
}

/* ---- gradients that are discarded ---- */

struct mtli_task_kept {
    mtli_task_gram *gram;
    int64_t rows;
    const int32_t *owner; /* [rows] */
    mtli_segments segments;
};

static mtl_status make_kept(const mtli_task_pass *pass, const row_owners *owners, mtli_task_kept **out)
{
    mtli_task_kept *kept = mtli_arena_take(&pass->tape->sweep, sizeof *kept);
    if (!kept) {
        return pass->tape->context->status;
    }
    kept->rows = owners->plan->rows;
    kept->owner = owners->owner;
    *out = kept;
    mtl_status status = sort_rows(pass, owners, &kept->segments);
    return status != MTL_OK ? status
                            : mtli_task_gram_create(pass->tape, pass->count, pass->num_shared, pass->shared,
                                                    mtli_task_is_inside, pass, &kept->gram);
}

static mtl_status sweep_to_gram(mtli_task_pass *pass, double *gram)
{
    mtli_task_plan plan;
    row_owners owners = {.disjoint = false};
    mtli_task_kept *kept = NULL;
    mtl_status status = begin_pass(pass, &plan);
    if (status == MTL_OK && plan.separable) {
        status = find_owners(pass, &plan, NULL, &owners);
    }
    if (status != MTL_OK || !owners.disjoint) {
        return status;
    }
    status = make_kept(pass, &owners, &kept);
    if (status == MTL_OK) {
        status = sweep_segments(pass, owners.gradients, &kept->segments, kept->gram);
    }
    if (status == MTL_OK) {
        pass->way = MTLI_TASKS_ONE_SWEEP;
        pass->kept = kept;
        mtli_task_gram_read(kept->gram, gram);
    }
    return status;
}

mtl_status mtli_task_sweep_gram(mtli_task_pass *pass, double *gram)
{
    mtl_status status = mtli_sweep_check_roots(pass->tape, pass->losses, pass->count);
    if (status == MTL_OK) {
        status = sweep_to_gram(pass, gram);
    }
    mtli_sweep_forget(pass->tape);
    return status;
}

/* The rows whose task has a weight are one segment; of_row and of_task come with memory. */
static void weigh_rows(const mtli_task_pass *pass, const double *weights, double *of_task, mtli_real *of_row,
                       int32_t *rows, int64_t *offsets)
{
    const mtli_task_kept *kept = pass->kept;
    int64_t n = 0;
    for (int32_t t = 0; t < pass->count; t++) {
        of_task[t] = pass->seeds[t] != 0 ? weights[t] / pass->seeds[t] : 0;
    }
    for (int64_t row = 0; row < kept->rows; row++) {
        of_row[row] = kept->owner[row] != NOBODY ? (mtli_real)of_task[kept->owner[row]] : 0;
        if (of_row[row] != 0) {
            rows[n++] = (int32_t)row;
        }
    }
    offsets[0] = 0;
    offsets[1] = n;
}

static bool is_revisited(const void *argument, const mtli_call *call)
{
    const mtli_task_pass *pass = argument;
    return mtli_task_is_inside(pass, call) && mtli_task_gram_revisits(pass->kept->gram, call);
}

static mtl_status sweep_weighted(const mtli_task_pass *pass, const double *weights, mtl_gradients *target)
{
    mtl_tape *tape = pass->tape;
    int64_t offsets[2];
    size_t count = (size_t)pass->kept->rows;
    double *of_task = mtli_arena_take_array(&tape->sweep, (size_t)pass->count, sizeof of_task[0]);
    mtli_real *of_row = mtli_arena_take_array(&tape->sweep, count, sizeof of_row[0]);
    int32_t *rows = mtli_arena_take_array(&tape->sweep, count, sizeof rows[0]);
    if (!of_task || !of_row || !rows) {
        return tape->context->status;
    }
    weigh_rows(pass, weights, of_task, of_row, rows, offsets);
    mtli_segments segments = {1, &target, rows, offsets};
    mtli_segment_weights both = {pass->count, of_task, of_row};
    mtli_sweep sweep = {
        .tape = tape, .target = target, .segments = &segments, .gram = pass->kept->gram, .weights = &both};
    mtl_status status = offsets[1] > 0 ? mtli_sweep_calls(&sweep, is_revisited, pass) : MTL_OK;
    return status == MTL_OK ? mtli_task_gram_add_tables(pass->kept->gram, of_task, target) : status;
}

mtl_status mtli_task_sweep_weighted(mtli_task_pass *pass, const double *weights, mtl_gradients *target)
{
    if (!pass->kept) {
        return mtli_fail(pass->tape->context, MTL_ERROR_STATE, "nothing was kept of the task gradients");
    }
    mtli_arena_mark mark = mtli_arena_save(&pass->tape->sweep);
    mtl_status status = sweep_weighted(pass, weights, target);
    mtli_arena_rewind(&pass->tape->sweep, mark);
    return status;
}

/* ---- gradients of representations ---- */

typedef struct arrival_list {
    const mtli_task_pass *pass;
    const mtli_task_plan *plan;
    mtli_real **gradients; /* [results][tasks] */
    int32_t count;         /* of results inside that have any */
} arrival_list;

static bool list_arrivals(void *argument, int32_t task)
{
    arrival_list *list = argument;
    const mtl_tape *tape = list->pass->tape;
    for (int32_t i = 0; i < tape->num_results; i++) {
        if (list->plan->inside[i]) {
            list->gradients[(int64_t)i * list->pass->count + task] = tape->gradients[i];
        }
    }
    return true;
}

static bool is_reached(const arrival_list *list, int32_t index)
{
    for (int32_t t = 0; t < list->pass->count; t++) {
        if (list->gradients[(int64_t)index * list->pass->count + t]) {
            return true;
        }
    }
    return false;
}

static mtli_task_arrival make_arrival(const arrival_list *list, const mtl_tensor *result)
{
    int64_t leading = result->shape.ndim > 0 ? result->shape.dims[0] : 1;
    return (mtli_task_arrival){.result = result,
                               .leading = leading,
                               .width = leading > 0 ? result->size / leading : 0,
                               .gradients = list->gradients + (int64_t)result->index * list->pass->count};
}

/* The tape has the calls in the other order. */
static mtl_status finish_arrivals(arrival_list *list, mtli_task_arrivals *out)
{
    mtl_tape *tape = list->pass->tape;
    for (int32_t i = 0; i < tape->num_results; i++) {
        list->count += is_reached(list, i);
    }
    mtli_task_arrival *arrivals = mtli_arena_take_array(&tape->sweep, (size_t)list->count, sizeof arrivals[0]);
    if (!arrivals) {
        return tape->context->status;
    }
    int32_t position = list->count;
    for (const mtli_call *call = tape->last; call; call = call->previous) {
        if (is_reached(list, call->output->index)) {
            arrivals[--position] = make_arrival(list, call->output);
        }
    }
    *out = (mtli_task_arrivals){list->count, arrivals};
    return MTL_OK;
}

static mtl_status find_arrivals(mtli_task_pass *pass, mtli_task_arrivals *out)
{
    mtli_task_plan plan;
    mtl_status status = begin_pass(pass, &plan);
    if (status != MTL_OK || !plan.split) {
        return status;
    }
    mtl_tape *tape = pass->tape;
    arrival_list list = {.pass = pass, .plan = &plan};
    size_t row = (size_t)pass->count * sizeof list.gradients[0];
    list.gradients = mtli_arena_take_array(&tape->sweep, (size_t)tape->num_results, row);
    if (!list.gradients) {
        return tape->context->status;
    }
    memset(list.gradients, 0, (size_t)tape->num_results * row);
    status = sweep_outside(pass, pass->targets, list_arrivals, &list);
    return status == MTL_OK ? finish_arrivals(&list, out) : status;
}

mtl_status mtli_task_sweep_outside(mtli_task_pass *pass, mtli_task_arrivals *out)
{
    *out = (mtli_task_arrivals){0, NULL};
    mtl_status status = mtli_sweep_check_roots(pass->tape, pass->losses, pass->count);
    if (status != MTL_OK) {
        return status;
    }
    clear_targets(pass);
    status = find_arrivals(pass, out);
    mtli_sweep_forget(pass->tape);
    if (status != MTL_OK) {
        clear_targets(pass);
    }
    return status;
}

mtl_status mtli_task_sweep_inside(mtli_task_pass *pass, const mtli_task_arrivals *arrivals, mtli_real *const *combined,
                                  mtl_gradients *target)
{
    mtl_tape *tape = pass->tape;
    clear_slots(tape);
    for (int32_t i = 0; i < arrivals->count; i++) {
        tape->gradients[arrivals->list[i].result->index] = combined[i];
    }
    mtli_sweep sweep = {.tape = tape, .target = target};
    mtl_status status = mtli_sweep_calls(&sweep, mtli_task_is_inside, pass);
    mtli_sweep_forget(tape);
    return status;
}
