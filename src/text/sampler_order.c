/* SPDX-License-Identifier: Apache-2.0
 * The order of an epoch, as a function of the datasets' sizes, the options, the seed and the epoch's number alone: so
 * any position can be reached without what came before it. */
#include <inttypes.h>

#include "base/rng.h"
#include "text/sampler.h"
#include "text/sort.h"

/* What random numbers are for. */
enum { FOR_EPOCH = 1, FOR_PASS = 2 };

static mtli_rng make_stream(const mtl_sampler *sampler, uint64_t purpose, uint64_t dataset, uint64_t number)
{
    uint32_t words[4];
    mtli_philox(purpose << 32 | dataset, number, 0, words);
    mtli_rng rng;
    mtli_rng_init(&rng, sampler->options.seed, (uint64_t)words[0] << 32 | words[1]);
    return rng;
}

/* Fisher & Yates. */
static void shuffle_items(uint32_t *items, size_t count, mtli_rng *rng)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = (size_t)mtli_rng_below(rng, i);
        uint32_t item = items[i - 1];
        items[i - 1] = items[other];
        items[other] = item;
    }
}

static int64_t batches_of(const mtl_sampler *sampler, int64_t rows)
{
    int64_t batch_rows = sampler->options.batch_rows;
    return rows / batch_rows + (rows % batch_rows != 0);
}

/* Batches that each dataset gives in an epoch of MTL_SAMPLING_ROUND_ROBIN. */
static int64_t rounds_of(const mtl_sampler *sampler)
{
    int64_t rounds = 0;
    for (size_t i = 0; i < sampler->num_entries; i++) {
        int64_t batches = batches_of(sampler, sampler->entries[i].rows);
        rounds = batches > rounds ? batches : rounds;
    }
    return rounds;
}

static bool is_round_robin(const mtl_sampler *sampler)
{
    return sampler->options.strategy == MTL_SAMPLING_ROUND_ROBIN;
}

int64_t mtli_plan_batches(const mtl_sampler *sampler)
{
    return is_round_robin(sampler) ? rounds_of(sampler) * (int64_t)sampler->num_entries
                                   : batches_of(sampler, (int64_t)sampler->num_rows);
}

static size_t pool_rows(const mtl_sampler *sampler, size_t rows)
{
    const mtl_sampler_options *options = &sampler->options;
    if (!options->shuffle || options->bucket_batches == 1) {
        return 0;
    }
    return options->bucket_batches > (int64_t)rows / options->batch_rows
               ? rows
               : (size_t)(options->bucket_batches * options->batch_rows);
}

static bool is_shorter(const void *user, uint32_t a, uint32_t b)
{
    const mtl_sampler *sampler = user;
    return sampler->rows[a].length < sampler->rows[b].length;
}

static bool ranks_lower(const void *user, uint32_t a, uint32_t b)
{
    const mtl_sampler *sampler = user;
    return sampler->rows[a].rank < sampler->rows[b].rank;
}

/* Moves a dataset's rows of a pool to plan->scratch; returns how many there are. */
static size_t gather_dataset(const mtl_sampler *sampler, const mtli_sampler_entry *entry, const uint32_t *rows,
                             size_t count)
{
    size_t taken = 0;
    for (size_t i = 0; i < count; i++) {
        if (rows[i] - (uint64_t)entry->first < (uint64_t)entry->rows) {
            sampler->plan.scratch[taken++] = rows[i];
        }
    }
    return taken;
}

/* Sorts a pool by length within each dataset and lays the sorted datasets over each other, the short rows of one beside
 * the short rows of the others: a batch has rows of equal rank, and the tasks stay mixed. */
static void sort_pool(mtl_sampler *sampler, uint32_t *rows, size_t count)
{
    uint32_t *own = sampler->plan.scratch;
    for (size_t d = 0; d < sampler->num_entries; d++) {
        size_t n = gather_dataset(sampler, &sampler->entries[d], rows, count);
        mtli_sort(own, sampler->plan.merge, n, is_shorter, sampler);
        for (size_t i = 0; i < n; i++) {
            sampler->rows[own[i]].rank = (uint32_t)((2 * (uint64_t)i + 1) * UINT32_MAX / (2 * (uint64_t)n));
        }
    }
    mtli_sort(rows, sampler->plan.scratch, count, ranks_lower, sampler);
}

/* Sorts one pool, cuts it into batches and puts these in random order. `starts` counts from `base`. */
static size_t deal_pool(mtl_sampler *sampler, uint32_t *rows, size_t count, uint32_t base, uint32_t *starts,
                        mtli_rng *rng)
{
    mtli_plan *plan = &sampler->plan;
    size_t batches = (size_t)batches_of(sampler, (int64_t)count);
    size_t batch_rows = count < (size_t)sampler->options.batch_rows ? count : (size_t)sampler->options.batch_rows;
    sort_pool(sampler, rows, count);
    for (size_t i = 0; i < batches; i++) {
        plan->deal[i] = (uint32_t)i;
    }
    shuffle_items(plan->deal, batches, rng);
    size_t to = 0;
    for (size_t i = 0; i < batches; i++) {
        size_t from = plan->deal[i] * batch_rows;
        size_t end = count - from < batch_rows ? count : from + batch_rows;
        starts[i] = base + (uint32_t)to;
        for (; from < end; from++) {
            plan->scratch[to++] = rows[from];
        }
    }
    for (size_t i = 0; i < count; i++) {
        rows[i] = plan->scratch[i];
    }
    return batches;
}

/* Divides rows into batches. starts gets one number more than there are batches. */
static void make_batches(mtl_sampler *sampler, uint32_t *rows, size_t count, uint32_t *starts, mtli_rng *rng)
{
    size_t pool = pool_rows(sampler, count);
    size_t batches = 0;
    if (pool == 0) {
        size_t total = (size_t)batches_of(sampler, (int64_t)count);
        for (; batches < total; batches++) {
            starts[batches] = (uint32_t)(batches * (size_t)sampler->options.batch_rows);
        }
    }
    for (size_t begin = 0; pool > 0 && begin < count; begin += pool) {
        size_t size = count - begin < pool ? count - begin : pool;
        batches += deal_pool(sampler, rows + begin, size, (uint32_t)begin, starts + batches, rng);
    }
    starts[batches] = (uint32_t)count;
}

/* One walk through a dataset: every row once. Leaves it in plan->pass; the generator goes on from there. */
static mtli_rng make_pass(mtl_sampler *sampler, size_t dataset, uint64_t number)
{
    const mtli_sampler_entry *entry = &sampler->entries[dataset];
    mtli_rng rng = make_stream(sampler, FOR_PASS, dataset, number);
    for (int64_t i = 0; i < entry->rows; i++) {
        sampler->plan.pass[i] = (uint32_t)(entry->first + i);
    }
    if (sampler->options.shuffle) {
        shuffle_items(sampler->plan.pass, (size_t)entry->rows, &rng);
    }
    return rng;
}

/* The dataset's walks follow each other through the epochs, `quota` rows of them in each. */
static size_t take_quota(mtl_sampler *sampler, size_t dataset, uint64_t epoch, uint32_t *to)
{
    const mtli_sampler_entry *entry = &sampler->entries[dataset];
    uint64_t rows = (uint64_t)entry->rows;
    uint64_t at = epoch * (uint64_t)entry->quota;
    uint64_t end = at + (uint64_t)entry->quota;
    size_t taken = 0;
    while (at < end) {
        make_pass(sampler, dataset, at / rows);
        for (uint64_t i = at % rows; i < rows && at < end; i++, at++) {
            to[taken++] = sampler->plan.pass[i];
        }
    }
    return taken;
}

static void plan_mixed(mtl_sampler *sampler, int64_t epoch)
{
    mtli_plan *plan = &sampler->plan;
    mtli_rng rng = make_stream(sampler, FOR_EPOCH, 0, (uint64_t)epoch);
    size_t count = sampler->num_rows;
    if (sampler->options.strategy == MTL_SAMPLING_PROPORTIONAL) {
        for (size_t i = 0; i < count; i++) {
            plan->rows[i] = (uint32_t)i;
        }
    } else {
        count = 0;
        for (size_t i = 0; i < sampler->num_entries; i++) {
            count += take_quota(sampler, i, (uint64_t)epoch, plan->rows + count);
        }
    }
    if (sampler->options.shuffle) {
        shuffle_items(plan->rows, count, &rng);
    }
    make_batches(sampler, plan->rows, count, plan->starts, &rng);
}

/* The batches of one dataset, `rounds` of them; returns where the next dataset's rows begin. */
static uint32_t plan_turns(mtl_sampler *sampler, size_t dataset, uint64_t epoch, uint64_t rounds, uint32_t to)
{
    mtli_plan *plan = &sampler->plan;
    uint64_t batches = (uint64_t)batches_of(sampler, sampler->entries[dataset].rows);
    uint32_t *starts = plan->starts + dataset * rounds;
    uint64_t at = epoch * rounds;
    for (uint64_t end = at + rounds; at < end;) {
        mtli_rng rng = make_pass(sampler, dataset, at / batches);
        make_batches(sampler, plan->pass, (size_t)sampler->entries[dataset].rows, plan->pass_starts, &rng);
        for (uint64_t i = at % batches; i < batches && at < end; i++, at++) {
            *starts++ = to;
            for (uint32_t k = plan->pass_starts[i]; k < plan->pass_starts[i + 1]; k++) {
                plan->rows[to++] = plan->pass[k];
            }
        }
    }
    *starts = to;
    return to;
}

static void plan_round_robin(mtl_sampler *sampler, int64_t epoch)
{
    uint64_t rounds = (uint64_t)rounds_of(sampler);
    uint32_t to = 0;
    for (size_t i = 0; i < sampler->num_entries; i++) {
        to = plan_turns(sampler, i, (uint64_t)epoch, rounds, to);
    }
}

/* The most rows that an epoch can have. */
static mtl_status most_rows(const mtl_sampler *sampler, size_t *rows)
{
    uint64_t total = sampler->num_rows;
    if (is_round_robin(sampler)) {
        uint64_t rounds = (uint64_t)rounds_of(sampler);
        total = 0;
        for (size_t i = 0; i < sampler->num_entries && total <= UINT32_MAX; i++) {
            int64_t own = sampler->entries[i].rows;
            int64_t batch = own < sampler->options.batch_rows ? own : sampler->options.batch_rows;
            total += rounds * (uint64_t)batch;
        }
    }
    if (total >= UINT32_MAX) {
        return mtli_fail(sampler->context, MTL_ERROR_LIMIT, "%" PRIu64 " rows in one epoch are too many", total);
    }
    *rows = (size_t)total;
    return MTL_OK;
}

static mtl_status reserve_numbers(mtl_sampler *sampler, uint32_t **numbers, size_t *capacity, size_t needed)
{
    void *array = *numbers;
    mtl_status status = mtli_reserve(sampler->context, &array, capacity, needed, sizeof(uint32_t));
    *numbers = array;
    return status;
}

/* All memory that planning any epoch needs: the first call allocates, later ones do not. */
static mtl_status reserve_plan(mtl_sampler *sampler)
{
    mtli_plan *plan = &sampler->plan;
    size_t rows = 0;
    mtl_status status = most_rows(sampler, &rows);
    if (status != MTL_OK) {
        return status;
    }
    size_t largest = 0;
    for (size_t i = 0; i < sampler->num_entries; i++) {
        size_t own = (size_t)sampler->entries[i].rows;
        largest = own > largest ? own : largest;
    }
    size_t together = is_round_robin(sampler) ? largest : sampler->num_rows; /* what is divided into batches at once */
    size_t pool = pool_rows(sampler, together);
    size_t batches = (size_t)batches_of(sampler, (int64_t)largest);
    status = reserve_numbers(sampler, &plan->rows, &plan->rows_capacity, rows);
    if (status == MTL_OK) {
        status =
            reserve_numbers(sampler, &plan->starts, &plan->starts_capacity, (size_t)mtli_plan_batches(sampler) + 1);
    }
    if (status == MTL_OK && sampler->options.strategy != MTL_SAMPLING_PROPORTIONAL) {
        status = reserve_numbers(sampler, &plan->pass, &plan->pass_capacity, largest);
    }
    if (status == MTL_OK && is_round_robin(sampler)) {
        status = reserve_numbers(sampler, &plan->pass_starts, &plan->pass_starts_capacity, batches + 1);
    }
    if (status == MTL_OK) {
        status = reserve_numbers(sampler, &plan->scratch, &plan->scratch_capacity, pool);
    }
    if (status == MTL_OK) {
        status = reserve_numbers(sampler, &plan->merge, &plan->merge_capacity, pool);
    }
    if (status == MTL_OK) {
        status =
            reserve_numbers(sampler, &plan->deal, &plan->deal_capacity, (size_t)batches_of(sampler, (int64_t)pool));
    }
    return status;
}

mtl_status mtli_plan_epoch(mtl_sampler *sampler, int64_t epoch)
{
    if (sampler->plan.epoch == epoch) {
        return MTL_OK;
    }
    mtl_status status = reserve_plan(sampler);
    if (status != MTL_OK) {
        return status;
    }
    if (is_round_robin(sampler)) {
        plan_round_robin(sampler, epoch);
    } else {
        plan_mixed(sampler, epoch);
    }
    sampler->plan.epoch = epoch;
    return MTL_OK;
}

const uint32_t *mtli_plan_batch(const mtl_sampler *sampler, int64_t batch, int64_t *count)
{
    const mtli_plan *plan = &sampler->plan;
    size_t slot = (size_t)batch;
    if (is_round_robin(sampler)) {
        slot = slot % sampler->num_entries * (size_t)rounds_of(sampler) + slot / sampler->num_entries;
    }
    *count = (int64_t)plan->starts[slot + 1] - plan->starts[slot];
    return plan->rows + plan->starts[slot];
}

void mtli_plan_release(mtl_sampler *sampler)
{
    mtl_context *context = sampler->context;
    mtli_plan *plan = &sampler->plan;
    mtli_release(context, plan->rows, plan->rows_capacity * sizeof(uint32_t));
    mtli_release(context, plan->starts, plan->starts_capacity * sizeof(uint32_t));
    mtli_release(context, plan->pass, plan->pass_capacity * sizeof(uint32_t));
    mtli_release(context, plan->pass_starts, plan->pass_starts_capacity * sizeof(uint32_t));
    mtli_release(context, plan->scratch, plan->scratch_capacity * sizeof(uint32_t));
    mtli_release(context, plan->merge, plan->merge_capacity * sizeof(uint32_t));
    mtli_release(context, plan->deal, plan->deal_capacity * sizeof(uint32_t));
}
