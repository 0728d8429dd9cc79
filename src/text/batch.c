/* SPDX-License-Identifier: Apache-2.0
 * Batches: token ids and labels of some rows, in tensors that are used again. A tape may hold on to the tensors of the
 * batch before; the ring of batches gives it the time. */
#include <math.h>

#include "text/sampler.h"

enum { RESERVE_BYTES_MAX = 1 << 24 };

mtl_status mtli_batch_init(mtl_batch *batch, mtl_sampler *sampler)
{
    size_t tasks = (size_t)sampler->num_tasks;
    batch->sampler = sampler;
    batch->labels = mtli_allocate_zeroed(sampler->context, tasks * sizeof batch->labels[0]);
    if (!batch->labels) {
        return sampler->context->status;
    }
    batch->labelled = mtli_allocate_zeroed(sampler->context, tasks * sizeof batch->labelled[0]);
    return batch->labelled ? MTL_OK : sampler->context->status;
}

void mtli_batch_release(mtl_batch *batch)
{
    if (!batch->sampler) {
        return;
    }
    mtl_context *context = batch->sampler->context;
    size_t tasks = (size_t)batch->sampler->num_tasks;
    mtl_tensor_release(batch->inputs);
    for (size_t i = 0; batch->labels && i < tasks; i++) {
        mtl_tensor_release(batch->labels[i]);
    }
    mtli_release(context, batch->labels, tasks * sizeof batch->labels[0]);
    mtli_release(context, batch->labelled, tasks * sizeof batch->labelled[0]);
    mtli_release(context, batch->sources, batch->sources_capacity * sizeof batch->sources[0]);
}

/* A tensor that nobody else holds, with room for `most` elements when it is new. */
static mtl_status make_own(mtl_sampler *sampler, mtl_dtype dtype, int64_t most, int64_t most_rows, mtl_tensor **tensor)
{
    if (*tensor && mtli_refcount_unique(&(*tensor)->refs)) {
        return MTL_OK;
    }
    mtl_tensor_release(*tensor);
    *tensor = NULL;
    mtl_tensor *fresh;
    mtl_status status = mtli_tensor_create_empty(sampler->context, dtype, &fresh);
    if (status != MTL_OK) {
        return status;
    }
    status = mtli_tensor_resize(fresh, 1, &most, most_rows);
    if (status != MTL_OK) {
        mtl_tensor_release(fresh);
        return status;
    }
    *tensor = fresh;
    return MTL_OK;
}

static int64_t most_batch_rows(const mtl_sampler *sampler)
{
    int64_t rows = (int64_t)sampler->num_rows;
    return sampler->options.batch_rows < rows ? sampler->options.batch_rows : rows;
}

static mtl_status shape_inputs(mtl_batch *batch)
{
    mtl_sampler *sampler = batch->sampler;
    int64_t most_rows = most_batch_rows(sampler);
    int64_t longest = sampler->longest;
    int64_t most = RESERVE_BYTES_MAX / (int64_t)sizeof(int32_t);
    most = most_rows > most / longest ? batch->tokens : most_rows * longest;
    mtl_status status = make_own(sampler, MTL_INT32, most, most_rows, &batch->inputs);
    return status == MTL_OK ? mtli_tensor_resize(batch->inputs, 1, &batch->tokens, batch->rows) : status;
}

static mtl_status fill_inputs(mtl_batch *batch, const uint32_t *rows)
{
    mtl_sampler *sampler = batch->sampler;
    batch->tokens = 0;
    for (int64_t i = 0; i < batch->rows; i++) {
        batch->tokens += sampler->rows[rows[i]].length;
    }
    mtl_status status = shape_inputs(batch);
    if (status != MTL_OK) {
        return status;
    }
    int64_t *offsets = mtli_tensor_offsets(batch->inputs);
    int32_t *ids = batch->inputs->data;
    offsets[0] = 0;
    for (int64_t i = 0; status == MTL_OK && i < batch->rows; i++) {
        status = mtli_sampler_ids(sampler, rows[i], ids + offsets[i]);
        offsets[i + 1] = offsets[i] + sampler->rows[rows[i]].length;
    }
    return status;
}

static mtl_status clear_labels(mtl_batch *batch, int32_t task)
{
    bool real = batch->sampler->tasks[task].kind == MTL_LABELS_REAL;
    const int64_t dims[2] = {batch->rows, 1};
    mtl_status status = make_own(batch->sampler, real ? MTLI_DTYPE_REAL : MTL_INT32, most_batch_rows(batch->sampler),
                                 -1, &batch->labels[task]);
    if (status == MTL_OK) {
        status = mtli_tensor_resize(batch->labels[task], real ? 2 : 1, dims, -1);
    }
    if (status != MTL_OK) {
        return status;
    }
    mtli_real *reals = batch->labels[task]->data;
    int32_t *classes = batch->labels[task]->data;
    for (int64_t i = 0; i < batch->rows; i++) {
        if (real) {
            reals[i] = (mtli_real)NAN;
        } else {
            classes[i] = MTL_LABEL_NONE;
        }
    }
    batch->labelled[task] = 0;
    return MTL_OK;
}

static void set_labels(mtl_batch *batch, int64_t at, uint32_t number)
{
    const mtl_sampler *sampler = batch->sampler;
    const mtli_sampler_entry *entry = mtli_sampler_entry_of(sampler, number);
    for (int64_t i = 0; i < entry->num_labels; i++) {
        int32_t task = entry->tasks[i];
        if (task < 0) {
            continue;
        }
        double label = mtl_dataset_label(entry->dataset, (int64_t)number - entry->first, i);
        if (sampler->tasks[task].kind == MTL_LABELS_REAL) {
            ((mtli_real *)batch->labels[task]->data)[at] = (mtli_real)label;
            batch->labelled[task] += !isnan(label);
        } else {
            ((int32_t *)batch->labels[task]->data)[at] = (int32_t)label;
            batch->labelled[task] += (int32_t)label != MTL_LABEL_NONE;
        }
    }
}

mtl_status mtli_batch_fill(mtl_batch *batch, const uint32_t *rows, int64_t count)
{
    mtl_sampler *sampler = batch->sampler;
    void *sources = batch->sources;
    mtl_status status = mtli_reserve(sampler->context, &sources, &batch->sources_capacity,
                                     (size_t)most_batch_rows(sampler), sizeof batch->sources[0]);
    batch->sources = sources;
    batch->rows = count;
    if (status == MTL_OK) {
        status = fill_inputs(batch, rows);
    }
    for (int32_t task = 0; status == MTL_OK && task < sampler->num_tasks; task++) {
        status = clear_labels(batch, task);
    }
    for (int64_t i = 0; status == MTL_OK && i < count; i++) {
        batch->sources[i] = rows[i];
        set_labels(batch, i, rows[i]);
    }
    return status;
}

mtl_tensor *mtl_batch_inputs(mtl_batch *batch)
{
    return batch ? batch->inputs : NULL;
}

static bool has_task(const mtl_batch *batch, int32_t task)
{
    return batch && task >= 0 && task < batch->sampler->num_tasks;
}

mtl_tensor *mtl_batch_labels(mtl_batch *batch, int32_t task)
{
    return has_task(batch, task) ? batch->labels[task] : NULL;
}

int64_t mtl_batch_rows(const mtl_batch *batch)
{
    return batch ? batch->rows : 0;
}

int64_t mtl_batch_tokens(const mtl_batch *batch)
{
    return batch ? batch->tokens : 0;
}

int64_t mtl_batch_labelled(const mtl_batch *batch, int32_t task)
{
    return has_task(batch, task) ? batch->labelled[task] : 0;
}

int64_t mtl_batch_source(const mtl_batch *batch, int64_t row, int64_t *dataset)
{
    if (!batch || row < 0 || row >= batch->rows) {
        return -1;
    }
    const mtli_sampler_entry *entry = mtli_sampler_entry_of(batch->sampler, batch->sources[row]);
    if (dataset) {
        *dataset = entry - batch->sampler->entries;
    }
    return (int64_t)batch->sources[row] - entry->first;
}
