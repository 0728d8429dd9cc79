/* SPDX-License-Identifier: Apache-2.0
 * The task gradients of an objective: their memory, inner products and weighted sums. */
#include "multitask/task_gradients.h"

#include <math.h>
#include <string.h>

#include <mtl/balance.h>

#include "autograd/gradient_rows.h"
#include "balance/bilevel.h"
#include "balance/coordinates.h"
#include "linalg/gram.h"

/* ---- life ---- */

/* An array of the room; *failed remembers that one was not to be had. */
static void *take_array(mtli_task_gradients *room, size_t count, size_t size, bool *failed)
{
    void *array = mtli_arena_take_array(&room->arena, count, size);
    room->bytes += array ? (uint64_t)count * size : 0;
    *failed = *failed || !array;
    return array;
}

#define TAKE(array, count) (room->array = take_array(room, (count), sizeof room->array[0], &failed))

static mtl_status list_blocks(mtli_task_gradients *room, const mtl_model *model, mtl_encoder *const *shared,
                              int32_t num_shared)
{
    bool failed = false;
    TAKE(shared, (size_t)model->num_entries);
    TAKE(blocks, (size_t)model->num_entries);
    if (failed) {
        return room->context->status;
    }
    for (int32_t i = 0; i < num_shared; i++) {
        room->shared[room->num_shared++] = shared[i]->parameters;
    }
    for (int32_t i = 0; i < model->num_entries && num_shared == 0; i++) {
        if (model->entries[i].encoder) {
            room->shared[room->num_shared++] = model->entries[i].parameters;
        }
    }
    for (int32_t i = 0; i < room->num_shared; i++) {
        for (int32_t k = 0; k < room->shared[i]->count; k++) {
            room->shared_values += room->shared[i]->list[k].tensor.size;
        }
    }
    bool everything = (room->needs & MTL_BALANCE_NEEDS_VALIDATION) != 0;
    for (int32_t i = 0; i < (everything ? model->num_entries : room->num_shared); i++) {
        room->blocks[room->num_blocks++] = everything ? model->entries[i].parameters : room->shared[i];
    }
    return MTL_OK;
}

static mtl_status take_task_arrays(mtli_task_gradients *room)
{
    size_t t = (size_t)room->tasks;
    size_t sets = t * MTLI_MAX_DRAWS;
    bool failed = false;
    TAKE(losses, t);
    TAKE(excess, t);
    TAKE(weights, t);
    TAKE(own, t);
    TAKE(seeds, t);
    TAKE(factors, sets);
    TAKE(present, t);
    TAKE(members, t);
    TAKE(roots, t);
    TAKE(list, sets);
    TAKE(values, sets);
    TAKE(entries, sets);
    TAKE(shifted, sets * MTLI_MAX_JOBS);
    for (int32_t d = 0; d < MTLI_MAX_DRAWS && !failed; d++) {
        TAKE(draws[d].of_task, t);
        if (!failed) {
            memset(room->draws[d].of_task, 0, t * sizeof room->draws[d].of_task[0]);
        }
    }
    for (size_t i = 0; i < t && !failed; i++) {
        room->weights[i] = (double)NAN;
    }
    return failed ? room->context->status : MTL_OK;
}

/* What some methods alone want. */
static mtl_status take_further_arrays(mtli_task_gradients *room)
{
    size_t t = (size_t)room->tasks;
    bool failed = false;
    if (room->pairs) {
        TAKE(gram, t * t);
        TAKE(cross, t * t);
        TAKE(part, t * t);
        TAKE(kept_gram, t * t);
    }
    if ((room->needs & MTL_BALANCE_NEEDS_COORDINATES) != 0) {
        TAKE(trimming, t * MTLI_MAX_JOBS * MTLI_COORDINATES_BLOCK);
    }
    if ((room->needs & MTL_BALANCE_NEEDS_VALIDATION) != 0) {
        TAKE(kept_weights, 3 * t);
        TAKE(training, 5 * t);
        TAKE(forum, (t + 1) * (t + 1));
        TAKE(train, t);
        room->bilevel = take_array(room, mtli_bilevel_work(room->tasks), 1, &failed);
    }
    return failed ? room->context->status : MTL_OK;
}

mtl_status mtli_task_gradients_create(mtl_model *model, mtl_encoder *const *shared, int32_t num_shared, int32_t tasks,
                                      int32_t needs, bool pairs, mtli_task_gradients **out)
{
    mtl_context *context = model->context;
    mtli_task_gradients *room = mtli_allocate_zeroed(context, sizeof *room);
    if (!room) {
        return context->status;
    }
    room->context = context;
    room->tasks = tasks;
    room->needs = needs;
    room->pairs = pairs;
    mtli_arena_init(&room->arena, context);
    mtli_model_seal(model); /* blocks are listed once */
    mtl_status status = list_blocks(room, model, shared, num_shared);
    if (status == MTL_OK) {
        status = take_task_arrays(room);
    }
    if (status == MTL_OK) {
        status = take_further_arrays(room);
    }
    if (status != MTL_OK) {
        mtli_task_gradients_destroy(room);
        return status;
    }
    *out = room;
    return MTL_OK;
}

void mtli_task_gradients_destroy(mtli_task_gradients *room)
{
    if (!room) {
        return;
    }
    mtl_context *context = room->context;
    for (int32_t d = 0; d < MTLI_MAX_DRAWS; d++) {
        for (int32_t t = 0; t < room->tasks && room->draws[d].of_task; t++) {
            mtl_gradients_destroy(room->draws[d].of_task[t]);
        }
    }
    mtli_arena_destroy(&room->arena);
    mtli_release(context, room, sizeof *room);
}

uint64_t mtli_task_gradients_dense_bytes(const mtli_task_gradients *room)
{
    uint64_t values = 0;
    for (int32_t b = 0; b < room->num_blocks; b++) {
        for (int32_t i = 0; i < room->blocks[b]->count; i++) {
            const mtli_parameter *parameter = &room->blocks[b]->list[i];
            values += parameter->row_sparse ? 0 : (uint64_t)parameter->tensor.size;
        }
    }
    return values * (uint64_t)room->tasks * sizeof(mtli_real);
}

static uint64_t bytes_of_set(const mtl_gradients *set)
{
    uint64_t bytes = set->dense_size * sizeof(mtli_real);
    for (int32_t b = 0; b < set->num_blocks; b++) {
        for (int32_t i = 0; i < set->blocks[b].parameters->count; i++) {
            const mtli_gradient_entry *entry = &set->blocks[b].entries[i];
            bytes += entry->slot ? (uint64_t)entry->table_rows * sizeof entry->slot[0] : 0;
            bytes += entry->rows_capacity * sizeof entry->rows[0] + entry->values_capacity * sizeof entry->values[0];
            bytes += entry->slot && entry->dense ? (uint64_t)entry->parameter->size * sizeof(mtli_real) : 0;
        }
    }
    return bytes;
}

uint64_t mtli_task_gradients_bytes(const mtli_task_gradients *room)
{
    uint64_t bytes = room->bytes;
    for (int32_t d = 0; d < MTLI_MAX_DRAWS; d++) {
        for (int32_t t = 0; t < room->tasks; t++) {
            bytes += room->draws[d].of_task[t] ? bytes_of_set(room->draws[d].of_task[t]) : 0;
        }
    }
    return bytes;
}

mtl_status mtli_task_gradients_keep(mtli_task_gradients *room, int32_t draw)
{
    mtl_status status = MTL_OK;
    mtl_gradients **sets = room->draws[draw].of_task;
    for (int32_t t = 0; t < room->tasks && status == MTL_OK; t++) {
        if (!sets[t]) {
            status = mtli_gradients_create(room->context, room->blocks, room->num_blocks, &sets[t]);
        }
    }
    return status;
}

/* ---- inner products ---- */

static bool is_shared_block(const mtli_task_gradients *room, const mtli_parameters *block)
{
    for (int32_t i = 0; i < room->num_shared; i++) {
        if (room->shared[i] == block) {
            return true;
        }
    }
    return false;
}

/* For the sets in which a parameter is dense; returns how many these are. */
static int32_t add_dense_products(mtli_task_gradients *room, int32_t count, mtl_gradients *const *sets, int32_t block,
                                  int32_t index, double *g)
{
    int32_t n = 0;
    for (int32_t k = 0; k < count; k++) {
        const mtli_gradient_entry *entry = &sets[k]->blocks[block].entries[index];
        if (entry->state == MTLI_GRADIENT_DENSE) {
            room->values[n] = entry->dense;
            room->members[n++] = k;
        }
    }
    if (n == 0) {
        return 0;
    }
    int64_t size = sets[0]->blocks[block].entries[index].parameter->size;
    mtli_gram_vectors(room->context, n, size, room->values, room->part);
    for (int32_t i = 0; i < n; i++) {
        for (int32_t j = 0; j < n; j++) {
            g[(int64_t)room->members[i] * count + room->members[j]] += room->part[(int64_t)i * n + j];
        }
    }
    return n;
}

/* For pairs of which one at least is row-sparse. */
static void add_row_products(int32_t count, mtl_gradients *const *sets, int32_t block, int32_t index, double *g)
{
    for (int32_t i = 0; i < count; i++) {
        const mtli_gradient_entry *left = &sets[i]->blocks[block].entries[index];
        for (int32_t j = 0; j <= i; j++) {
            const mtli_gradient_entry *right = &sets[j]->blocks[block].entries[index];
            if (left->state != MTLI_GRADIENT_ROWS && right->state != MTLI_GRADIENT_ROWS) {
                continue;
            }
            double inner = mtli_gradient_entry_dot(left, right);
            g[(int64_t)i * count + j] += inner;
            g[(int64_t)j * count + i] += i != j ? inner : 0;
        }
    }
}

void mtli_task_gradients_gram(mtli_task_gradients *room, int32_t count, mtl_gradients *const *sets, double *out)
{
    memset(out, 0, (size_t)count * (size_t)count * sizeof out[0]);
    for (int32_t b = 0; b < room->num_blocks; b++) {
        if (!is_shared_block(room, room->blocks[b])) {
            continue;
        }
        for (int32_t i = 0; i < room->blocks[b]->count; i++) {
            if (add_dense_products(room, count, sets, b, i, out) < count) {
                add_row_products(count, sets, b, i, out);
            }
        }
    }
}

/* ---- sums ---- */

typedef struct run_job {
    mtli_run_fn run;
    void *argument;
    int64_t n;
    int32_t jobs;
} run_job;

static void run_part(void *argument, int32_t job)
{
    const run_job *all = argument;
    int64_t begin = all->n * job / all->jobs;
    int64_t end = all->n * (job + 1) / all->jobs;
    all->run(all->argument, job, begin, end);
}

void mtli_task_gradients_run(const mtli_task_gradients *room, int64_t n, mtli_run_fn run, void *argument)
{
    enum { LEAST = 32768 }; /* values for which a thread is worth waking */
    int64_t jobs = n / LEAST;
    jobs = jobs < 1 ? 1 : jobs > MTLI_MAX_JOBS ? MTLI_MAX_JOBS : jobs;
    run_job all = {run, argument, n, (int32_t)jobs};
    mtli_parallel_for(room->context, (int32_t)jobs, run_part, &all);
}

typedef struct weighted_sum {
    const mtli_task_gradients *room;
    int32_t count;
    const double *weights;
    mtli_real *out;
} weighted_sum;

/* Runs short enough to stay in the first-level cache while the tasks' are added. */
static void sum_range(void *argument, int32_t job, int64_t begin, int64_t end)
{
    enum { RUN = 2048 };
    const weighted_sum *sum = argument;
    const mtli_real **shifted = sum->room->shifted + (int64_t)job * sum->room->tasks * MTLI_MAX_DRAWS;
    for (int64_t at = begin; at < end; at += RUN) {
        for (int32_t k = 0; k < sum->count; k++) {
            shifted[k] = sum->room->values[k] ? sum->room->values[k] + at : NULL;
        }
        int64_t n = at + RUN < end ? RUN : end - at;
        mtli_coordinates_sum(sum->count, n, shifted, sum->weights, sum->out + at);
    }
}

static mtl_status combine_dense(mtli_task_gradients *room, int32_t count, const mtli_gradient_entry *const *entries,
                                const double *weights, mtl_gradients *target, mtli_gradient_entry *entry)
{
    bool fresh;
    mtli_real *out = mtli_gradient_entry_dense(target, entry, &fresh);
    if (!out) {
        return room->context->status;
    }
    for (int32_t k = 0; k < count; k++) {
        room->values[k] = entries[k]->state == MTLI_GRADIENT_DENSE ? entries[k]->dense : NULL;
    }
    weighted_sum sum = {room, count, weights, out};
    mtli_task_gradients_run(room, entry->parameter->size, sum_range, &sum);
    for (int32_t k = 0; k < count; k++) {
        if (entries[k]->state == MTLI_GRADIENT_ROWS && weights[k] != 0) {
            mtli_gradient_rows_add_to(entries[k], (mtli_real)weights[k], out);
        }
    }
    return MTL_OK;
}

static mtl_status combine_entry(mtli_task_gradients *room, int32_t count, const mtli_gradient_entry *const *entries,
                                const double *weights, mtl_gradients *target, mtli_gradient_entry *entry)
{
    bool dense = false;
    bool rows = false;
    for (int32_t k = 0; k < count; k++) {
        dense = dense || (weights[k] != 0 && entries[k]->state == MTLI_GRADIENT_DENSE);
        rows = rows || (weights[k] != 0 && entries[k]->state == MTLI_GRADIENT_ROWS);
    }
    mtli_gradient_rows_clear(entry);
    entry->state = MTLI_GRADIENT_NONE;
    if (dense) {
        return combine_dense(room, count, entries, weights, target, entry);
    }
    mtl_status status = rows ? mtli_gradient_rows_reserve_all(target, entry, count, entries, weights) : MTL_OK;
    for (int32_t k = 0; k < count && rows && status == MTL_OK; k++) {
        if (weights[k] != 0 && entries[k]->state == MTLI_GRADIENT_ROWS) {
            mtli_gradient_rows_merge(entry, (mtli_real)weights[k], entries[k]);
        }
    }
    return status;
}

mtl_status mtli_task_gradients_combine(mtli_task_gradients *room, int32_t count, mtl_gradients *const *sets,
                                       const double *weights, mtl_gradients *target)
{
    mtl_status status = MTL_OK;
    for (int32_t b = 0; b < room->num_blocks; b++) {
        for (int32_t i = 0; i < room->blocks[b]->count && status == MTL_OK; i++) {
            mtli_gradient_entry *entry = mtli_gradients_find(target, &room->blocks[b]->list[i].tensor);
            for (int32_t k = 0; k < count; k++) {
                room->entries[k] = &sets[k]->blocks[b].entries[i];
            }
            status = entry ? combine_entry(room, count, room->entries, weights, target, entry) : MTL_OK;
        }
    }
    return status;
}
