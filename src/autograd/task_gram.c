/* SPDX-License-Identifier: Apache-2.0
 * Task gradients that are discarded: memory of one parameter after the other, and what is left of it in the Gram matrix. */
#include "autograd/task_gram.h"

#include <string.h>

#include "autograd/gradient_rows.h"
#include "base/checked.h"
#include "linalg/gram.h"
#include "linalg/sheet.h"

static mtli_gram_entry *find_shared(const mtli_task_gram *gram, const mtl_tensor *parameter)
{
    for (int32_t b = 0; b < gram->num_shared; b++) {
        if (gram->shared[b] == parameter->parameters) {
            return &gram->entries[b][parameter->index];
        }
    }
    return NULL;
}

static mtli_gram_entry *entry_of_input(const mtli_task_gram *gram, const mtli_call *call, int32_t index)
{
    const mtl_tensor *input = call->inputs[index];
    return input && input->kind == MTLI_TENSOR_PARAMETER ? find_shared(gram, input) : NULL;
}

/* ---- life ---- */

static void *take_cleared(mtli_task_gram *gram, size_t count, size_t size)
{
    void *memory = mtli_arena_take_array(&gram->tape->sweep, count, size);
    if (memory) {
        memset(memory, 0, count * size);
    }
    return memory;
}

static bool make_gram_entries(mtli_task_gram *gram, int32_t block)
{
    int32_t count = gram->shared[block]->count;
    mtli_gram_entry *entries = take_cleared(gram, (size_t)count, sizeof entries[0]);
    gram->entries[block] = entries;
    for (int32_t i = 0; entries && i < count; i++) {
        entries[i].touched = take_cleared(gram, (size_t)gram->count, sizeof entries[i].touched[0]);
        if (!entries[i].touched) {
            return false;
        }
    }
    return entries != NULL;
}

static bool make_store(mtli_task_gram *gram)
{
    size_t count = (size_t)gram->count;
    gram->kept = take_cleared(gram, (size_t)gram->tape->num_results, sizeof gram->kept[0]);
    gram->gram = take_cleared(gram, count * count, sizeof gram->gram[0]);
    gram->part = take_cleared(gram, count * count, sizeof gram->part[0]);
    gram->vectors = take_cleared(gram, count, sizeof gram->vectors[0]);
    gram->tasks = take_cleared(gram, count, sizeof gram->tasks[0]);
    gram->entries = take_cleared(gram, (size_t)gram->num_shared, sizeof gram->entries[0]);
    bool made = gram->kept && gram->gram && gram->part && gram->vectors && gram->tasks && gram->entries;
    for (int32_t b = 0; b < gram->num_shared && made; b++) {
        made = make_gram_entries(gram, b);
    }
    return made;
}

mtl_status mtli_task_gram_create(mtl_tape *tape, int32_t count, int32_t num_shared,
                                 const mtli_parameters *const *shared, mtli_call_filter inside, const void *argument,
                                 mtli_task_gram **out)
{
    mtli_task_gram *gram = mtli_arena_take(&tape->sweep, sizeof *gram);
    if (!gram) {
        return tape->context->status;
    }
    *gram = (mtli_task_gram){.tape = tape, .count = count, .num_shared = num_shared, .shared = shared};
    if (!make_store(gram)) {
        return tape->context->status;
    }
    for (const mtli_call *call = tape->last; call; call = call->previous) {
        for (int32_t i = 0; i < call->num_inputs && inside(argument, call); i++) {
            mtli_gram_entry *entry = entry_of_input(gram, call, i);
            if (entry) {
                entry->last = call;
            }
        }
    }
    *out = gram;
    return MTL_OK;
}

/* ---- dense gradients ---- */

/* The distance of two tasks' gradients. */
static size_t gradient_stride(const mtl_tensor *parameter)
{
    return mtli_round_up((size_t)parameter->size, MTLI_ALIGNMENT / sizeof(mtli_real));
}

/* The smallest free piece that is large enough, else a new one. */
static mtli_gram_memory *take_memory(mtli_task_gram *gram, size_t size)
{
    mtli_gram_memory *best = NULL;
    for (mtli_gram_memory *memory = gram->memory; memory; memory = memory->next) {
        if (!memory->taken && memory->size >= size && (!best || memory->size < best->size)) {
            best = memory;
        }
    }
    if (!best) {
        best = mtli_arena_take(&gram->tape->sweep, sizeof *best);
        mtli_real *values = best ? mtli_arena_take_array(&gram->tape->sweep, size, sizeof values[0]) : NULL;
        if (!values) {
            return NULL;
        }
        *best = (mtli_gram_memory){.next = gram->memory, .values = values, .size = size};
        gram->memory = best;
    }
    best->taken = true;
    return best;
}

static mtli_real *gradient_of_task(mtli_task_gram *gram, mtli_gram_entry *entry, const mtl_tensor *parameter,
                                   int32_t task, bool *fresh)
{
    size_t stride = gradient_stride(parameter);
    if (!entry->memory) {
        size_t size;
        if (!mtli_mul_size(stride, (size_t)gram->count, &size)) {
            mtli_fail(gram->tape->context, MTL_ERROR_LIMIT, "the gradients of %d tasks do not fit in memory",
                      gram->count);
            return NULL;
        }
        entry->memory = take_memory(gram, size);
    }
    if (!entry->memory) {
        return NULL;
    }
    *fresh = !entry->touched[task];
    entry->touched[task] = true;
    return entry->memory->values + (size_t)task * stride;
}

mtli_real *mtli_task_gram_gradient(mtli_task_gram *gram, int32_t task, const mtl_tensor *parameter, bool *fresh)
{
    mtli_gram_entry *entry = find_shared(gram, parameter);
    if (!entry) {
        return NULL;
    }
    entry->dense = true;
    return gradient_of_task(gram, entry, parameter, task, fresh);
}

/* gram += the part of the tasks listed, upper half. */
static void add_part(mtli_task_gram *gram, int32_t present)
{
    for (int32_t i = 0; i < present; i++) {
        for (int32_t j = i; j < present; j++) {
            gram->gram[gram->tasks[i] * gram->count + gram->tasks[j]] += gram->part[i * present + j];
        }
    }
}

static void add_parameter_products(mtli_task_gram *gram, const mtli_gram_entry *entry, const mtl_tensor *parameter)
{
    int32_t present = 0;
    for (int32_t t = 0; t < gram->count; t++) {
        if (entry->touched[t]) {
            gram->tasks[present] = t;
            gram->vectors[present++] = entry->memory->values + (size_t)t * gradient_stride(parameter);
        }
    }
    mtli_gram_vectors(gram->tape->context, present, parameter->size, gram->vectors, gram->part);
    add_part(gram, present);
}

/* ---- rows of tables ---- */

mtl_status mtli_task_gram_add_rows(mtli_task_gram *gram, int32_t task, const mtl_tensor *table, const int32_t *ids,
                                   int64_t n, const mtli_real *dy)
{
    mtli_gram_entry *entry = find_shared(gram, table);
    if (!entry || n == 0) {
        return MTL_OK;
    }
    mtli_arena *arena = &gram->tape->sweep;
    size_t width = (size_t)mtli_features(table);
    mtli_gram_rows *rows = mtli_arena_take(arena, sizeof *rows);
    int32_t *their_ids = rows ? mtli_arena_take_array(arena, (size_t)n, sizeof ids[0]) : NULL;
    mtli_real *values = their_ids ? mtli_arena_take_array(arena, (size_t)n, width * sizeof dy[0]) : NULL;
    if (!values) {
        return gram->tape->context->status;
    }
    memcpy(their_ids, ids, (size_t)n * sizeof ids[0]);
    memcpy(values, dy, (size_t)n * width * sizeof dy[0]);
    *rows = (mtli_gram_rows){.previous = entry->rows, .task = task, .count = n, .ids = their_ids, .values = values};
    entry->rows = rows;
    entry->num_rows += n;
    return MTL_OK;
}

/* A parameter that is read both as a table and otherwise: the rows join the dense gradients. */
static mtl_status spread_rows(mtli_task_gram *gram, mtli_gram_entry *entry, const mtl_tensor *parameter)
{
    int64_t width = mtli_features(parameter);
    for (const mtli_gram_rows *rows = entry->rows; rows; rows = rows->previous) {
        bool fresh;
        mtli_real *values = gradient_of_task(gram, entry, parameter, rows->task, &fresh);
        if (!values) {
            return gram->tape->context->status;
        }
        if (fresh) {
            memset(values, 0, (size_t)parameter->size * sizeof values[0]);
        }
        for (int64_t i = 0; i < rows->count; i++) {
            for (int64_t j = 0; j < width; j++) {
                values[rows->ids[i] * width + j] += rows->values[i * width + j];
            }
        }
    }
    return MTL_OK;
}

enum { TABLE_PIECES = 8 /* of a table in parallel work, each with a Gram matrix of its own */ };

/* All rows of all tasks, chained by the row of the table, in the order in which they were added. */
typedef struct table_job {
    const mtli_products *products;
    int64_t table_rows;
    int64_t width;
    int32_t count;
    int64_t *head;            /* [table_rows] -1: no task has the row */
    int64_t *next;            /* [rows of all tasks] */
    int32_t *task;            /* likewise */
    const mtli_real **values; /* likewise */
    double *grams;            /* [TABLE_PIECES][count, count] */
    double *sums;             /* [TABLE_PIECES][count + 1, width]: gradients of one row by task, and one to add */
    int32_t *lists;           /* [TABLE_PIECES][2 * count]: the tasks that have the row; place of a task, -1: none */
} table_job;

static bool take_table_job(table_job *job, mtli_arena *arena, int64_t num_rows)
{
    size_t count = (size_t)job->count;
    job->head = mtli_arena_take_array(arena, (size_t)job->table_rows, sizeof job->head[0]);
    job->next = mtli_arena_take_array(arena, (size_t)num_rows, sizeof job->next[0]);
    job->task = mtli_arena_take_array(arena, (size_t)num_rows, sizeof job->task[0]);
    job->values = mtli_arena_take_array(arena, (size_t)num_rows, sizeof job->values[0]);
    job->grams = mtli_arena_take_array(arena, TABLE_PIECES * count, count * sizeof job->grams[0]);
    job->sums = mtli_arena_take_array(arena, TABLE_PIECES * (count + 1), (size_t)job->width * sizeof job->sums[0]);
    job->lists = mtli_arena_take_array(arena, 2 * TABLE_PIECES * count, sizeof job->lists[0]);
    return job->head && job->next && job->task && job->values && job->grams && job->sums && job->lists;
}

static void chain_rows(table_job *job, const mtli_gram_rows *latest)
{
    int64_t n = 0;
    for (int64_t row = 0; row < job->table_rows; row++) {
        job->head[row] = -1;
    }
    for (const mtli_gram_rows *rows = latest; rows; rows = rows->previous) {
        for (int64_t i = rows->count - 1; i >= 0; i--, n++) {
            job->task[n] = rows->task;
            job->values[n] = rows->values + i * job->width;
            job->next[n] = job->head[rows->ids[i]];
            job->head[rows->ids[i]] = n;
        }
    }
}

/* Sums of one row by task. Returns how many tasks have it; `tasks` lists them, `place` [count] is -1 outside. */
static int32_t sum_table_row(const table_job *job, int64_t first, double *sums, int32_t *tasks, int32_t *place)
{
    double *one = sums + job->count * job->width;
    int32_t present = 0;
    for (int64_t n = first; n >= 0; n = job->next[n]) {
        int32_t t = job->task[n];
        if (place[t] < 0) {
            place[t] = present;
            tasks[present] = t;
            job->products->widen(job->width, job->values[n], sums + present++ * job->width);
            continue;
        }
        double *sum = sums + place[t] * job->width;
        job->products->widen(job->width, job->values[n], one);
        for (int64_t j = 0; j < job->width; j++) {
            sum[j] += one[j];
        }
    }
    return present;
}

static void table_piece(void *argument, int32_t index)
{
    const table_job *job = argument;
    int64_t count = job->count;
    double *gram = job->grams + index * count * count;
    double *sums = job->sums + index * (count + 1) * job->width;
    int32_t *tasks = job->lists + index * 2 * count;
    int32_t *place = tasks + count;
    memset(gram, 0, (size_t)(count * count) * sizeof gram[0]);
    memset(place, 0xff, (size_t)count * sizeof place[0]); /* -1 everywhere */
    int64_t end = job->table_rows * (index + 1) / TABLE_PIECES;
    for (int64_t row = job->table_rows * index / TABLE_PIECES; row < end; row++) {
        int32_t present = sum_table_row(job, job->head[row], sums, tasks, place);
        for (int32_t i = 0; i < present; i++) {
            for (int32_t j = i; j < present; j++) {
                int32_t low = tasks[i] < tasks[j] ? tasks[i] : tasks[j];
                gram[low * count + (tasks[i] + tasks[j] - low)] +=
                    job->products->dot(job->width, sums + i * job->width, sums + j * job->width);
            }
        }
        for (int32_t i = 0; i < present; i++) {
            place[tasks[i]] = -1;
        }
    }
}

static mtl_status add_table_products(mtli_task_gram *gram, const mtli_gram_entry *entry, const mtl_tensor *table)
{
    mtl_context *context = gram->tape->context;
    table_job job = {.products = mtli_products_of(context),
                     .table_rows = table->shape.dims[0],
                     .width = mtli_features(table),
                     .count = gram->count};
    if (!take_table_job(&job, &gram->tape->scratch, entry->num_rows)) {
        mtli_arena_reset(&gram->tape->scratch);
        return context->status;
    }
    chain_rows(&job, entry->rows);
    mtli_parallel_for(context, TABLE_PIECES, table_piece, &job);
    int64_t size = (int64_t)gram->count * gram->count;
    for (int32_t piece = 0; piece < TABLE_PIECES; piece++) {
        for (int64_t i = 0; i < size; i++) {
            gram->gram[i] += job.grams[piece * size + i];
        }
    }
    mtli_arena_reset(&gram->tape->scratch);
    return MTL_OK;
}

/* ---- parameters that are complete ---- */

static mtl_status complete_entry(mtli_task_gram *gram, mtli_gram_entry *entry, const mtl_tensor *parameter)
{
    entry->complete = true;
    if (!entry->dense) {
        return entry->rows ? add_table_products(gram, entry, parameter) : MTL_OK;
    }
    mtl_status status = spread_rows(gram, entry, parameter);
    if (status == MTL_OK) {
        add_parameter_products(gram, entry, parameter);
        entry->memory->taken = false;
        entry->memory = NULL;
    }
    return status;
}

mtl_status mtli_task_gram_complete(mtli_task_gram *gram, const mtli_call *call)
{
    mtl_status status = MTL_OK;
    for (int32_t i = 0; i < call->num_inputs && status == MTL_OK; i++) {
        mtli_gram_entry *entry = entry_of_input(gram, call, i);
        if (entry && entry->last == call && !entry->complete) {
            status = complete_entry(gram, entry, call->inputs[i]);
        }
    }
    return status;
}

void mtli_task_gram_read(const mtli_task_gram *gram, double *out)
{
    for (int32_t i = 0; i < gram->count; i++) {
        for (int32_t j = i; j < gram->count; j++) {
            out[i * gram->count + j] = out[j * gram->count + i] = gram->gram[i * gram->count + j];
        }
    }
}

/* ---- the second sweep ---- */

bool mtli_task_gram_revisits(const mtli_task_gram *gram, const mtli_call *call)
{
    for (int32_t i = 0; i < call->num_inputs; i++) {
        const mtli_gram_entry *entry = entry_of_input(gram, call, i);
        if (entry && entry->dense) {
            return true;
        }
    }
    return false;
}

static mtl_status add_to_target(mtl_gradients *target, const mtl_tensor *table, const int32_t *ids, int64_t n,
                                const mtli_real *dy)
{
    mtli_gradient_entry *entry = mtli_gradients_find(target, table);
    if (!entry || entry->table_rows > 0) {
        return entry ? mtli_gradient_entry_add_rows(target, entry, ids, n, dy) : MTL_OK;
    }
    bool fresh;
    mtli_real *values = mtli_gradient_entry_dense(target, entry, &fresh);
    if (values && fresh) {
        memset(values, 0, (size_t)table->size * sizeof values[0]);
    }
    int64_t width = mtli_features(table);
    for (int64_t i = 0; values && i < n; i++) {
        for (int64_t j = 0; j < width; j++) {
            values[ids[i] * width + j] += dy[i * width + j];
        }
    }
    return values ? MTL_OK : target->context->status;
}

/* The rows of all tasks as one list: a table takes in rows in one go. */
static mtl_status add_table(mtli_task_gram *gram, const mtli_gram_entry *entry, const mtl_tensor *table,
                            const double *weights, mtl_gradients *target)
{
    mtli_arena *scratch = &gram->tape->scratch;
    int64_t width = mtli_features(table);
    int64_t n = 0;
    int32_t *ids = mtli_arena_take_array(scratch, (size_t)entry->num_rows, sizeof ids[0]);
    mtli_real *dy = ids ? mtli_arena_take_array(scratch, (size_t)entry->num_rows, (size_t)width * sizeof dy[0]) : NULL;
    for (const mtli_gram_rows *rows = entry->rows; rows && dy; rows = rows->previous) {
        mtli_real weight = (mtli_real)weights[rows->task];
        if (weight == 0) {
            continue;
        }
        memcpy(ids + n, rows->ids, (size_t)rows->count * sizeof ids[0]);
        for (int64_t i = 0; i < rows->count * width; i++) {
            dy[n * width + i] = weight * rows->values[i];
        }
        n += rows->count;
    }
    mtl_status status = dy ? MTL_OK : gram->tape->context->status;
    if (n > 0) {
        status = add_to_target(target, table, ids, n, dy);
    }
    mtli_arena_reset(scratch);
    return status;
}

mtl_status mtli_task_gram_add_tables(mtli_task_gram *gram, const double *weights, mtl_gradients *target)
{
    mtl_status status = MTL_OK;
    for (int32_t b = 0; b < gram->num_shared && status == MTL_OK; b++) {
        for (int32_t i = 0; i < gram->shared[b]->count && status == MTL_OK; i++) {
            if (gram->entries[b][i].rows) {
                status = add_table(gram, &gram->entries[b][i], &gram->shared[b]->list[i].tensor, weights, target);
            }
        }
    }
    return status;
}
