/* SPDX-License-Identifier: Apache-2.0
 * The sampler from inside: rows of all datasets with their token ids (sampler_rows.c), the order of an epoch
 * (sampler_order.c), batches (batch.c). */
#ifndef MTLI_TEXT_SAMPLER_H
#define MTLI_TEXT_SAMPLER_H

#include "base/state.h"
#include "tensor/tensor.h"
#include "text/dataset.h"
#include "text/vocabulary.h"

enum { MTLI_BATCH_RING = 3, MTLI_TASK_FREE = -1 };

/** A dataset and its place among all rows. */
typedef struct mtli_sampler_entry {
    mtl_dataset *dataset;
    int32_t *tasks; /* for each label column, or -1 */
    int64_t num_labels;
    int64_t first; /* number of its first row */
    int64_t rows;
    int64_t quota; /* rows of an epoch; not for MTL_SAMPLING_ROUND_ROBIN */
} mtli_sampler_entry;

/** What is known of a task's labels. */
typedef struct mtli_sampler_task {
    int32_t kind; /* MTL_LABELS_CLASS, MTL_LABELS_REAL, or MTLI_TASK_FREE: no dataset has labels for it yet */
    int64_t num_classes;
} mtli_sampler_task;

/** A row of any dataset. */
typedef struct mtli_sampler_row {
    const void *ids; /* uint16_t or int32_t in the cache; NULL: to be read again */
    uint32_t length; /* tokens after cutting, at least 1 */
    uint32_t rank;   /* by length among its dataset's rows of the pool, as a part of UINT32_MAX */
} mtli_sampler_row;

/** A piece of the cache. */
typedef struct mtli_id_chunk {
    unsigned char *data;
    size_t size;
    size_t used;
} mtli_id_chunk;

/** The order of one epoch. Batch b is rows [starts[s], starts[s + 1]) with s = b, or, with MTL_SAMPLING_ROUND_ROBIN,
 *  with s = (b mod datasets) * rounds + b / datasets. */
typedef struct mtli_plan {
    int64_t epoch; /* -1: none yet */
    uint32_t *rows;
    size_t rows_capacity;
    uint32_t *starts;
    size_t starts_capacity;
    uint32_t *pass; /* one walk through one dataset */
    size_t pass_capacity;
    uint32_t *pass_starts;
    size_t pass_starts_capacity;
    uint32_t *scratch;
    size_t scratch_capacity;
    uint32_t *merge; /* room for sorting */
    size_t merge_capacity;
    uint32_t *deal; /* order of the batches of one pool */
    size_t deal_capacity;
} mtli_plan;

struct mtl_batch {
    mtl_sampler *sampler;
    mtl_tensor *inputs;
    mtl_tensor **labels; /* for each task */
    int64_t *labelled;   /* for each task */
    uint32_t *sources;   /* numbers of the rows */
    size_t sources_capacity;
    int64_t rows;
    int64_t tokens;
};

struct mtl_sampler {
    mtl_context *context;
    mtl_vocabulary *vocabulary;
    mtl_sampler_options options;
    int32_t num_tasks;
    bool started;
    bool wide; /* ids do not fit in 16 bits */
    mtli_sampler_task *tasks;
    mtli_sampler_entry *entries;
    size_t num_entries;
    size_t entries_capacity;
    mtli_sampler_row *rows;
    size_t num_rows;
    size_t rows_capacity;
    mtli_id_chunk *chunks;
    size_t num_chunks;
    size_t chunks_capacity;
    uint64_t cached_bytes;
    bool cache_full;
    int32_t *ids; /* of the row that was tokenized last */
    size_t num_ids;
    size_t ids_capacity;
    int64_t tokens;
    uint32_t longest;
    mtli_plan plan;
    mtl_sampler_position position;
    int32_t slot; /* of the ring: the batch that comes next */
    mtl_batch ring[MTLI_BATCH_RING];
};

/** Tokenizes all rows of an entry that is not yet among sampler->entries; on failure nothing stays. */
mtl_status mtli_sampler_read_rows(mtl_sampler *sampler, const mtli_sampler_entry *entry);

/** Writes a row's ids, rows[number].length of them. */
mtl_status mtli_sampler_ids(mtl_sampler *sampler, uint32_t number, int32_t *ids);

/** The entry that holds a row. */
const mtli_sampler_entry *mtli_sampler_entry_of(const mtl_sampler *sampler, uint32_t number);

void mtli_sampler_release_rows(mtl_sampler *sampler);

/** Batches of an epoch; 0 without datasets. */
int64_t mtli_plan_batches(const mtl_sampler *sampler);

/** Makes sampler->plan the order of an epoch. */
mtl_status mtli_plan_epoch(mtl_sampler *sampler, int64_t epoch);

/** The rows of a batch of the planned epoch. */
const uint32_t *mtli_plan_batch(const mtl_sampler *sampler, int64_t batch, int64_t *count);

void mtli_plan_release(mtl_sampler *sampler);

/** Shows where it stands. What the order depends on must be the same when it is taken up again: options, the number of rows
 *  and tokens, the vocabulary. */
mtl_status mtli_sampler_visit(mtl_sampler *sampler, const mtli_state_visitor *visitor);

mtl_status mtli_batch_init(mtl_batch *batch, mtl_sampler *sampler);
void mtli_batch_release(mtl_batch *batch);
mtl_status mtli_batch_fill(mtl_batch *batch, const uint32_t *rows, int64_t count);

#endif
