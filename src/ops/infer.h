/* SPDX-License-Identifier: Apache-2.0
 * Shapes that several operations infer in the same way, and what wrappers do before an operation can run. */
#ifndef MTLI_OPS_INFER_H
#define MTLI_OPS_INFER_H

#include "autograd/tape.h"

/** Input 0 is real; the output is like it, ragged or not. */
mtl_status mtli_infer_same(const mtli_call *call, mtli_shape *shape);

/** Input 0 is real; the output is a scalar. */
mtl_status mtli_infer_scalar(const mtli_call *call, mtli_shape *shape);

/** Input 0 is real with at least one dimension and one feature; the output is like it. */
mtl_status mtli_infer_rows(const mtli_call *call, mtli_shape *shape);

/** Whether two tensors are cut into the same sequences. */
bool mtli_same_offsets(const mtl_tensor *a, const mtl_tensor *b);

/** Whether a wrapper has nothing more to do than to return mtli_run(): there is no tape, or it has failed. */
static inline bool mtli_tape_stopped(const mtl_tape *tape)
{
    return !tape || tape->status != MTL_OK;
}

/** Overlays the options of an operation on its defaults; on failure the error is the tape's. */
bool mtli_import_op_options(mtl_tape *tape, const char *function, void *known, size_t known_size, const void *given);

#endif
