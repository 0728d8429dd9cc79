/* SPDX-License-Identifier: Apache-2.0
 * Segments: the rows of a batch by the task that labels them. One sweep over disjoint rows forms the parameter gradients of
 * every task, each from its own rows, at no extra arithmetic.
 *
 * Where these gradients are too large to be kept, a second sweep forms their weighted sum: gradients of parameters only, all
 * rows in one segment, each row times the weight of its task. The gradients of results are still there from the first. */
#ifndef MTLI_AUTOGRAD_SEGMENTS_H
#define MTLI_AUTOGRAD_SEGMENTS_H

#include "autograd/gradients.h"
#include "autograd/op.h"

typedef struct mtli_segments {
    int32_t count;
    mtl_gradients *const *targets; /* of each segment; NULL: the gradients are discarded (task_gram.h) */
    const int32_t *rows;           /* of the batch, by segment, ascending within one */
    const int64_t *offsets;        /* [count + 1] into rows */
} mtli_segments;

/** Of a second sweep. */
typedef struct mtli_segment_weights {
    int32_t num_tasks;       /* the segments of the first sweep */
    const double *of_task;   /* of each */
    const mtli_real *of_row; /* of each row of the batch; 0: it is not in the segment */
} mtli_segment_weights;

/* For the backward functions of operations with MTLI_OP_SEGMENTS. --------------------------------------------------- */

/** The segments of a sweep; NULL in an ordinary one. */
const mtli_segments *mtli_sweep_segments(const mtli_sweep *sweep);

/** From now on the gradients of parameters are those of a segment. */
void mtli_sweep_select(mtli_sweep *sweep, int32_t segment);

/** Of `leading` positions of a tensor, an equal number for each row (ragged: token), those that belong to a segment, in
 *  scratch; count is set. NULL, with the error set, when there is no memory. */
const int32_t *mtli_segment_positions(const mtli_call *call, const mtli_sweep *sweep, const mtl_tensor *tensor,
                                      int64_t leading, int32_t segment, int64_t *count);

/** to[count, width] = the rows positions[count] of from. */
void mtli_segment_gather(int64_t count, const int32_t *positions, int64_t width, const mtli_real *from, mtli_real *to);

/** The same positions of a gradient of the output: in a second sweep, times the weights of their rows. */
void mtli_segment_gather_gradient(const mtli_sweep *sweep, const mtl_tensor *tensor, int64_t leading, int32_t segment,
                                  int64_t width, const mtli_real *from, mtli_real *to);

/* For operations whose gradient of the output is far from that of their parameters. ---------------------------------- */

/** Whether a second sweep will follow. */
bool mtli_sweep_keeps(const mtli_sweep *sweep);

/** Scratch; or memory that lasts until the second sweep where one will follow. */
void *mtli_sweep_memory(const mtli_call *call, const mtli_sweep *sweep, size_t count, size_t size);

/** What a call leaves for its second sweep, in such memory; and finds there. */
void mtli_sweep_keep(const mtli_call *call, mtli_sweep *sweep, void *kept);
void *mtli_sweep_kept(const mtli_call *call, const mtli_sweep *sweep);

/** The weights of a second sweep; NULL in any other. */
const mtli_segment_weights *mtli_sweep_weights(const mtli_sweep *sweep);

#endif
