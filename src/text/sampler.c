/* SPDX-License-Identifier: Apache-2.0
 * The sampler: options, datasets and their tasks, the walk through batches and epochs. */
#include "text/sampler.h"

#include <inttypes.h>
#include <math.h>

enum { TASKS_MAX = 1024, DATASETS_MAX = 65536 };

static mtl_status check_sampler_options(mtl_context *context, const mtl_sampler_options *options)
{
    if (options->batch_rows < 1 || options->batch_rows > INT32_MAX) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->batch_rows = %" PRId64 " is not in 1 to %d",
                         options->batch_rows, INT32_MAX);
    }
    if (options->max_tokens < 1 || options->max_tokens > INT32_MAX) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->max_tokens = %" PRId64 " is not in 1 to %d",
                         options->max_tokens, INT32_MAX);
    }
    if (options->bucket_batches < 1) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->bucket_batches = %" PRId64 " is less than 1",
                         options->bucket_batches);
    }
    if (!(options->temperature >= 1.0) || !isfinite(options->temperature)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->temperature = %g is not a number of at least 1",
                         options->temperature);
    }
    if (options->strategy < MTL_SAMPLING_PROPORTIONAL || options->strategy > MTL_SAMPLING_ROUND_ROBIN) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->strategy = %" PRId32 " is none", options->strategy);
    }
    if (options->keep_tail < 0 || options->keep_tail > options->max_tokens) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT,
                         "options->keep_tail = %" PRId32 " is not in 0 to max_tokens = %" PRId64, options->keep_tail,
                         options->max_tokens);
    }
    if (options->reserved0 != 0) {
        return mtli_fail(context, MTL_ERROR_UNSUPPORTED, "options->reserved0 = %" PRId32 " is not 0",
                         options->reserved0);
    }
    return MTL_OK;
}

static mtl_status fill_sampler(mtl_sampler *sampler)
{
    sampler->tasks = mtli_allocate_zeroed(sampler->context, (size_t)sampler->num_tasks * sizeof sampler->tasks[0]);
    if (!sampler->tasks) {
        return sampler->context->status;
    }
    for (int32_t task = 0; task < sampler->num_tasks; task++) {
        sampler->tasks[task].kind = MTLI_TASK_FREE;
    }
    mtl_status status = MTL_OK;
    for (int i = 0; status == MTL_OK && i < MTLI_BATCH_RING; i++) {
        status = mtli_batch_init(&sampler->ring[i], sampler);
    }
    return status;
}

mtl_status mtl_sampler_create(mtl_context *context, mtl_vocabulary *vocabulary, int32_t num_tasks,
                              const mtl_sampler_options *options, mtl_sampler **out)
{
    if (!context) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(context);
    MTLI_REQUIRE(context, vocabulary);
    MTLI_REQUIRE(context, out);
    if (num_tasks < 1 || num_tasks > TASKS_MAX) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "num_tasks = %" PRId32 " is not in 1 to %d", num_tasks,
                         TASKS_MAX);
    }
    mtl_sampler_options known = MTL_SAMPLER_OPTIONS_INIT;
    mtl_status status = mtli_import_options(context, "options", &known, sizeof known, sizeof known, options);
    if (status == MTL_OK) {
        status = check_sampler_options(context, &known);
    }
    if (status != MTL_OK) {
        return status;
    }
    mtl_sampler *sampler = mtli_allocate_zeroed(context, sizeof *sampler);
    if (!sampler) {
        return context->status;
    }
    sampler->context = mtl_context_retain(context);
    sampler->vocabulary = mtl_vocabulary_retain(vocabulary);
    sampler->options = known;
    sampler->num_tasks = num_tasks;
    sampler->wide = mtl_vocabulary_size(vocabulary) > UINT16_MAX + 1;
    sampler->plan.epoch = -1;
    status = fill_sampler(sampler);
    if (status != MTL_OK) {
        mtl_sampler_destroy(sampler);
        return status;
    }
    *out = sampler;
    return MTL_OK;
}

static void release_entry(mtl_context *context, mtli_sampler_entry *entry)
{
    mtli_release(context, entry->tasks, (size_t)entry->num_labels * sizeof entry->tasks[0]);
    mtl_dataset_release(entry->dataset);
}

void mtl_sampler_destroy(mtl_sampler *sampler)
{
    if (!sampler) {
        return;
    }
    mtl_context *context = sampler->context;
    for (int i = 0; i < MTLI_BATCH_RING; i++) {
        mtli_batch_release(&sampler->ring[i]);
    }
    for (size_t i = 0; i < sampler->num_entries; i++) {
        release_entry(context, &sampler->entries[i]);
    }
    mtli_plan_release(sampler);
    mtli_sampler_release_rows(sampler);
    mtli_release(context, sampler->entries, sampler->entries_capacity * sizeof sampler->entries[0]);
    mtli_release(context, sampler->tasks, (size_t)sampler->num_tasks * sizeof sampler->tasks[0]);
    mtl_vocabulary_release(sampler->vocabulary);
    mtli_release(context, sampler, sizeof *sampler);
    mtl_context_release(context);
}

/* A column can go to a task when the task's other columns are of its kind. */
static mtl_status check_column(const mtl_sampler *sampler, const mtl_dataset *dataset, const int32_t *tasks,
                               int64_t column)
{
    mtl_context *context = sampler->context;
    int32_t task = tasks[column];
    if (task < -1 || task >= sampler->num_tasks) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT,
                         "tasks[%" PRId64 "] = %" PRId32 " is not in 0 to %" PRId32 ", nor -1", column, task,
                         sampler->num_tasks - 1);
    }
    if (task == -1) {
        return MTL_OK;
    }
    for (int64_t other = 0; other < column; other++) {
        if (tasks[other] == task) {
            return mtli_fail(context, MTL_ERROR_ARGUMENT, "tasks[%" PRId64 "] and tasks[%" PRId64 "] are both %" PRId32,
                             other, column, task);
        }
    }
    const mtli_sampler_task *known = &sampler->tasks[task];
    const mtli_labels *labels = &dataset->source->labels[column];
    if (known->kind != MTLI_TASK_FREE && (known->kind != labels->kind || known->num_classes != labels->num_classes)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT,
                         "tasks[%" PRId64 "] = %" PRId32 ": its labels are of %" PRId64 " classes, and were of %" PRId64
                         " in another dataset (0: real)",
                         column, task, labels->num_classes, known->num_classes);
    }
    return MTL_OK;
}

static mtl_status check_dataset(const mtl_sampler *sampler, const mtl_dataset *dataset, const int32_t *tasks,
                                int64_t count)
{
    mtl_context *context = sampler->context;
    MTLI_REQUIRE(context, dataset);
    if (sampler->started) {
        return mtli_fail(context, MTL_ERROR_STATE, "the first batch has been made: no dataset can be added");
    }
    if (sampler->num_entries >= DATASETS_MAX) {
        return mtli_fail(context, MTL_ERROR_LIMIT, "more than %d datasets", DATASETS_MAX);
    }
    if (dataset->rows < 1) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "dataset has no row");
    }
    if (count != dataset->source->num_labels) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT,
                         "count = %" PRId64 ", and the dataset has %" PRId64 " label columns", count,
                         dataset->source->num_labels);
    }
    if (count > 0) {
        MTLI_REQUIRE(context, tasks);
    }
    mtl_status status = MTL_OK;
    for (int64_t column = 0; status == MTL_OK && column < count; column++) {
        status = check_column(sampler, dataset, tasks, column);
    }
    return status;
}

static double share_of(const mtl_sampler *sampler, size_t entry)
{
    switch (sampler->options.strategy) {
    case MTL_SAMPLING_UNIFORM:
        return 1.0;
    case MTL_SAMPLING_TEMPERATURE:
        return pow((double)sampler->entries[entry].rows, 1.0 / sampler->options.temperature);
    default:
        return (double)sampler->entries[entry].rows;
    }
}

/* The rows of an epoch, divided by the datasets' shares; cumulative rounding, so that the sum is exact. */
static void divide_epoch(mtl_sampler *sampler)
{
    double sum = 0.0;
    for (size_t i = 0; i < sampler->num_entries; i++) {
        sum += share_of(sampler, i);
    }
    double before = 0.0;
    int64_t given = 0;
    for (size_t i = 0; i < sampler->num_entries; i++) {
        before += share_of(sampler, i);
        bool last = i + 1 == sampler->num_entries;
        double until = floor((double)sampler->num_rows * (before / sum) + 0.5);
        int64_t end = last ? (int64_t)sampler->num_rows : (int64_t)until;
        sampler->entries[i].quota = end - given;
        given = end;
    }
}

static void add_entry_tasks(mtl_sampler *sampler, const mtli_sampler_entry *entry)
{
    for (int64_t column = 0; column < entry->num_labels; column++) {
        if (entry->tasks[column] >= 0) {
            mtli_sampler_task *task = &sampler->tasks[entry->tasks[column]];
            task->kind = entry->dataset->source->labels[column].kind;
            task->num_classes = entry->dataset->source->labels[column].num_classes;
        }
    }
}

mtl_status mtl_sampler_add_dataset(mtl_sampler *sampler, mtl_dataset *dataset, const int32_t *tasks, int64_t count)
{
    if (!sampler) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = sampler->context;
    mtli_enter(context);
    mtl_status status = check_dataset(sampler, dataset, tasks, count);
    if (status != MTL_OK) {
        return status;
    }
    void *entries = sampler->entries;
    status = mtli_reserve(context, &entries, &sampler->entries_capacity, sampler->num_entries + 1,
                          sizeof sampler->entries[0]);
    sampler->entries = entries;
    if (status != MTL_OK) {
        return status;
    }
    mtli_sampler_entry entry = {NULL, NULL, count, (int64_t)sampler->num_rows, dataset->rows, 0};
    entry.tasks = mtli_allocate_array(context, (size_t)count, sizeof entry.tasks[0]);
    if (!entry.tasks) {
        return context->status;
    }
    for (int64_t i = 0; i < count; i++) {
        entry.tasks[i] = tasks[i];
    }
    entry.dataset = mtl_dataset_retain(dataset);
    status = mtli_sampler_read_rows(sampler, &entry);
    if (status != MTL_OK) {
        release_entry(context, &entry);
        return status;
    }
    sampler->entries[sampler->num_entries++] = entry;
    add_entry_tasks(sampler, &entry);
    divide_epoch(sampler);
    return MTL_OK;
}

mtl_status mtl_sampler_next(mtl_sampler *sampler, mtl_batch **batch)
{
    if (!sampler) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = sampler->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, batch);
    if (sampler->num_entries == 0) {
        return mtli_fail(context, MTL_ERROR_STATE, "the sampler has no dataset");
    }
    sampler->started = true;
    if (sampler->position.batch == mtli_plan_batches(sampler)) {
        sampler->position.epoch++;
        sampler->position.batch = 0;
        *batch = NULL;
        return MTL_OK;
    }
    mtl_status status = mtli_plan_epoch(sampler, sampler->position.epoch);
    if (status != MTL_OK) {
        return status;
    }
    int64_t count;
    const uint32_t *rows = mtli_plan_batch(sampler, sampler->position.batch, &count);
    mtl_batch *next = &sampler->ring[sampler->slot];
    status = mtli_batch_fill(next, rows, count);
    if (status != MTL_OK) {
        return status;
    }
    sampler->slot = (sampler->slot + 1) % MTLI_BATCH_RING;
    sampler->position.batch++;
    *batch = next;
    return MTL_OK;
}

int64_t mtl_sampler_batches(const mtl_sampler *sampler)
{
    return sampler ? mtli_plan_batches(sampler) : 0;
}

int64_t mtl_sampler_tokens(const mtl_sampler *sampler)
{
    return sampler ? sampler->tokens : 0;
}

mtl_status mtl_sampler_tell(const mtl_sampler *sampler, mtl_sampler_position *position)
{
    if (!sampler) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(sampler->context);
    MTLI_REQUIRE(sampler->context, position);
    *position = sampler->position;
    return MTL_OK;
}

mtl_status mtl_sampler_seek(mtl_sampler *sampler, const mtl_sampler_position *position)
{
    if (!sampler) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = sampler->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, position);
    int64_t batches = mtli_plan_batches(sampler);
    if (sampler->num_entries == 0) {
        return mtli_fail(context, MTL_ERROR_STATE, "the sampler has no dataset");
    }
    if (position->epoch < 0 || position->epoch > INT32_MAX) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "position->epoch = %" PRId64 " is not in 0 to %d",
                         position->epoch, INT32_MAX);
    }
    if (position->batch < 0 || position->batch > batches) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "position->batch = %" PRId64 " is not in 0 to %" PRId64,
                         position->batch, batches);
    }
    mtl_status status = mtli_plan_epoch(sampler, position->epoch);
    if (status != MTL_OK) {
        return status;
    }
    sampler->started = true;
    sampler->position = *position;
    return MTL_OK;
}
