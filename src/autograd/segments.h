/* SPDX-License-Identifier: Apache-2.0
 * Segments: the rows of a batch by the task that labels them. One sweep over disjoint rows forms the parameter gradients of
 * every task, each from its own rows, at no extra arithmetic. */
#ifndef MTLI_AUTOGRAD_SEGMENTS_H
#define MTLI_AUTOGRAD_SEGMENTS_H

#include "autograd/gradients.h"
#include "autograd/op.h"

typedef struct mtli_segments {
    int32_t count;
    mtl_gradients *const *targets; /* of each segment */
    const int32_t *rows;           /* of the batch, by segment, ascending within one */
    const int64_t *offsets;        /* [count + 1] into rows */
} mtli_segments;

/* For the backward functions of operations with MTLI_OP_SEGMENTS. --------------------------------------------------- */

/** The segments of a sweep; NULL in an ordinary one. */
const mtli_segments *mtli_sweep_segments(const mtli_sweep *sweep);

/** From now on the gradients of parameters are those of a segment. */
void mtli_sweep_select(mtli_sweep *sweep, int32_t segment);

/** Whether the gradient of a parameter that is input `input` is wanted in the selected segment. */
bool mtli_segment_wants(const mtli_call *call, const mtli_sweep *sweep, int32_t input);

/** Of `leading` positions of a tensor, an equal number for each row (ragged: token), those that belong to a segment, in
 *  scratch; count is set. NULL, with the error set, when there is no memory. */
const int32_t *mtli_segment_positions(const mtli_call *call, const mtli_sweep *sweep, const mtl_tensor *tensor,
                                      int64_t leading, int32_t segment, int64_t *count);

/** to[count, width] = the rows positions[count] of from. */
void mtli_segment_gather(int64_t count, const int32_t *positions, int64_t width, const mtli_real *from, mtli_real *to);

#endif
