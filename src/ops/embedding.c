/* SPDX-License-Identifier: Apache-2.0
 * Rows of a table, chosen by token ids. */
#include "ops/embedding.h"

#include <inttypes.h>
#include <string.h>

#include <mtl/ops.h>

#include "autograd/segments.h"
#include "ops/parallel.h"

enum { TABLE, IDS };

typedef struct embedding_gather {
    const mtli_real *table;
    const int32_t *ids;
    int64_t features;
    mtli_real *to;
} embedding_gather;

static void gather_rows(void *argument, int64_t begin, int64_t end)
{
    const embedding_gather *job = argument;
    for (int64_t i = begin; i < end; i++) {
        memcpy(job->to + i * job->features, job->table + job->ids[i] * job->features,
               (size_t)job->features * sizeof job->to[0]);
    }
}

void mtli_embedding_gather(const mtli_call *call, int32_t table, const int32_t *ids, int64_t n, mtli_real *to)
{
    embedding_gather job = {mtli_input_real(call, table), ids, mtli_features(call->inputs[table]), to};
    mtli_for_range(call, n, mtli_rows_per_chunk(job.features), gather_rows, &job);
}

mtl_status mtli_embedding_check(const mtli_call *call, int32_t table, int32_t ids)
{
    const int32_t *values = mtli_input_int32(call, ids);
    int64_t vocabulary = call->inputs[table]->shape.dims[0];
    int64_t size = call->inputs[ids]->size;
    for (int64_t i = 0; i < size; i++) {
        if (values[i] < 0 || values[i] >= vocabulary) {
            return mtli_fail(mtli_call_context(call), MTL_ERROR_ARGUMENT,
                             "%s[%" PRId64 "] = %" PRId32 " is not in [0, %" PRId64 "), the rows of %s",
                             mtli_input_name(call, ids), i, values[i], vocabulary, mtli_input_name(call, table));
        }
    }
    return MTL_OK;
}

static mtl_status embedding_infer(const mtli_call *call, mtli_shape *shape)
{
    mtl_status status = mtli_expect_real(call, TABLE);
    if (status == MTL_OK) {
        status = mtli_expect_ndim(call, TABLE, 2, 2);
    }
    if (status == MTL_OK) {
        status = mtli_expect_int32(call, IDS);
    }
    if (status == MTL_OK) {
        status = mtli_expect_ndim(call, IDS, 0, MTL_MAX_DIMS - 1);
    }
    if (status != MTL_OK) {
        return status;
    }
    const mtli_shape *ids = &call->inputs[IDS]->shape;
    memcpy(shape->dims, ids->dims, sizeof shape->dims);
    shape->ndim = ids->ndim + 1;
    shape->dims[ids->ndim] = mtli_features(call->inputs[TABLE]);
    shape->ragged = ids->ragged;
    return MTL_OK;
}

static mtl_status embedding_forward(mtli_call *call)
{
    mtl_status status = mtli_embedding_check(call, TABLE, IDS);
    if (status == MTL_OK) {
        mtli_embedding_gather(call, TABLE, mtli_input_int32(call, IDS), call->inputs[IDS]->size,
                              mtli_output_real(call));
    }
    return status;
}

static mtl_status embedding_segment(const mtli_call *call, mtli_sweep *sweep, int32_t segment)
{
    int64_t width = mtli_features(call->inputs[TABLE]);
    int64_t count;
    const int32_t *positions =
        mtli_segment_positions(call, sweep, call->inputs[IDS], call->inputs[IDS]->size, segment, &count);
    int32_t *ids = positions ? mtli_tape_scratch(call, (size_t)count, sizeof ids[0]) : NULL;
    mtli_real *dy = ids ? mtli_tape_scratch(call, (size_t)count, (size_t)width * sizeof dy[0]) : NULL;
    if (!dy) {
        return mtli_call_context(call)->status;
    }
    const mtli_real *all = mtli_output_gradient(call, sweep);
    mtli_segment_gather(count, positions, width, all, dy);
    for (int64_t i = 0; i < count; i++) {
        ids[i] = mtli_input_int32(call, IDS)[positions[i]];
    }
    mtli_sweep_select(sweep, segment);
    return mtli_gradient_rows(call, sweep, TABLE, ids, count, dy);
}

static mtl_status embedding_backward(const mtli_call *call, mtli_sweep *sweep)
{
    const mtli_segments *segments = mtli_sweep_segments(sweep);
    mtl_status status = MTL_OK;
    for (int32_t t = 0; segments && t < segments->count && status == MTL_OK; t++) {
        status = embedding_segment(call, sweep, t);
    }
    if (segments) {
        return status;
    }
    return mtli_gradient_rows(call, sweep, TABLE, mtli_input_int32(call, IDS), call->inputs[IDS]->size,
                              mtli_output_gradient(call, sweep));
}

static const char *const embedding_inputs[] = {"table", "ids", NULL};

const mtli_op mtli_op_embedding = {
    .name = "mtl_embedding",
    .input_names = embedding_inputs,
    .weight_inputs = 1u << TABLE,
    .flags = MTLI_OP_ROW_SEPARABLE | MTLI_OP_SEGMENTS,
    .infer = embedding_infer,
    .forward = embedding_forward,
    .backward = embedding_backward,
};

mtl_tensor *mtl_embedding(mtl_tape *tape, mtl_tensor *table, mtl_tensor *ids)
{
    mtl_tensor *inputs[] = {table, ids};
    return mtli_run(tape, &mtli_op_embedding, inputs, 2, NULL, 0);
}
