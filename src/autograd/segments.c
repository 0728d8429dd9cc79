/* SPDX-License-Identifier: Apache-2.0
 * What operations ask of a segmented sweep. */
#include "autograd/segments.h"

#include <string.h>

#include "autograd/sweep.h"
#include "autograd/task_gram.h"

const mtli_segments *mtli_sweep_segments(const mtli_sweep *sweep)
{
    return sweep->segments;
}

const mtli_segment_weights *mtli_sweep_weights(const mtli_sweep *sweep)
{
    return sweep->weights;
}

void mtli_sweep_select(mtli_sweep *sweep, int32_t segment)
{
    sweep->segment = segment;
    sweep->target = sweep->segments->targets ? sweep->segments->targets[segment] : NULL;
}

/* The positions [begin, end) of a row, `each` for a row or token. */
static void row_range(const mtl_tensor *tensor, int64_t row, int64_t each, int64_t *begin, int64_t *end)
{
    const mtli_ragged *ragged = tensor->shape.ragged;
    *begin = (ragged ? ragged->offsets[row] : row) * each;
    *end = (ragged ? ragged->offsets[row + 1] : row + 1) * each;
}

static int64_t positions_of_each(const mtl_tensor *tensor, int64_t leading)
{
    return tensor->shape.dims[0] > 0 ? leading / tensor->shape.dims[0] : 0;
}

const int32_t *mtli_segment_positions(const mtli_call *call, const mtli_sweep *sweep, const mtl_tensor *tensor,
                                      int64_t leading, int32_t segment, int64_t *count)
{
    const mtli_segments *segments = sweep->segments;
    const int32_t *rows = segments->rows + segments->offsets[segment];
    int64_t num_rows = segments->offsets[segment + 1] - segments->offsets[segment];
    int64_t each = positions_of_each(tensor, leading);
    int64_t begin;
    int64_t end;
    *count = 0;
    for (int64_t i = 0; i < num_rows; i++) {
        row_range(tensor, rows[i], each, &begin, &end);
        *count += end - begin;
    }
    int32_t *positions = mtli_tape_scratch(call, (size_t)*count, sizeof positions[0]);
    for (int64_t i = 0, n = 0; positions && i < num_rows; i++) {
        row_range(tensor, rows[i], each, &begin, &end);
        for (int64_t k = begin; k < end; k++) {
            positions[n++] = (int32_t)k;
        }
    }
    return positions;
}

void mtli_segment_gather(int64_t count, const int32_t *positions, int64_t width, const mtli_real *from, mtli_real *to)
{
    for (int64_t i = 0; i < count; i++) {
        memcpy(to + i * width, from + positions[i] * width, (size_t)width * sizeof to[0]);
    }
}

void mtli_segment_gather_gradient(const mtli_sweep *sweep, const mtl_tensor *tensor, int64_t leading, int32_t segment,
                                  int64_t width, const mtli_real *from, mtli_real *to)
{
    const mtli_segments *segments = sweep->segments;
    int64_t each = positions_of_each(tensor, leading);
    for (int64_t i = segments->offsets[segment]; i < segments->offsets[segment + 1]; i++) {
        int64_t begin;
        int64_t end;
        row_range(tensor, segments->rows[i], each, &begin, &end);
        mtli_real weight = sweep->weights ? sweep->weights->of_row[segments->rows[i]] : 1;
        for (int64_t k = begin * width; k < end * width; k++) {
            *to++ = weight * from[k];
        }
    }
}

/* ---- what lasts until a second sweep ---- */

bool mtli_sweep_keeps(const mtli_sweep *sweep)
{
    return sweep->gram && !sweep->weights;
}

void *mtli_sweep_memory(const mtli_call *call, const mtli_sweep *sweep, size_t count, size_t size)
{
    return mtli_sweep_keeps(sweep) ? mtli_arena_take_array(&sweep->tape->sweep, count, size)
                                   : mtli_tape_scratch(call, count, size);
}

void mtli_sweep_keep(const mtli_call *call, mtli_sweep *sweep, void *kept)
{
    if (mtli_sweep_keeps(sweep)) {
        sweep->gram->kept[call->output->index] = kept;
    }
}

void *mtli_sweep_kept(const mtli_call *call, const mtli_sweep *sweep)
{
    return sweep->gram->kept[call->output->index];
}
