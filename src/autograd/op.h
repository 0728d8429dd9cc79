/* SPDX-License-Identifier: Apache-2.0
 * What an operation is: a constant table of functions. docs/adding-an-op.md tells how to write one. */
#ifndef MTLI_AUTOGRAD_OP_H
#define MTLI_AUTOGRAD_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mtl/tape.h>

#include "kernels/kernels.h"
#include "tensor/tensor.h"

typedef struct mtli_op mtli_op;
typedef struct mtli_call mtli_call;
typedef struct mtli_sweep mtli_sweep;

/** One run of an operation, recorded on a tape. Everything that it points to lives in the tape's arena. */
struct mtli_call {
    const mtli_op *op;
    mtl_tape *tape;
    mtl_tensor **inputs; /* an optional input may be NULL */
    int32_t num_inputs;
    mtl_tensor *output;
    void *attributes; /* the operation's own arguments, copied */
    void *saved;      /* whatever forward keeps for backward */
    const mtli_parameters *module; /* of the encoder that made the call; NULL: none */
    mtli_call *previous;
};

enum {
    MTLI_MAX_INPUTS = 64,

    /* flags */
    /* A row (ragged: a sequence) of the output depends only on that row of the inputs that are not weights (weight_inputs):
     * one sweep can serve tasks that label disjoint rows. */
    MTLI_OP_ROW_SEPARABLE = 1,
    /* backward forms the gradients of its weights for each segment of rows (segments.h). */
    MTLI_OP_SEGMENTS = 2
};

/** Contracts:
 *  - infer checks the inputs (not NULL unless optional, not error tensors: the caller has seen to that) and fills the
 *    shape of the output (it comes zeroed). It may fail through mtli_fail().
 *  - forward writes every element of the output, which comes uninitialized. It may take memory of the tape with
 *    mtli_tape_memory() and temporaries with mtli_tape_scratch(). It fails for want of memory, or when the values of an
 *    int32 input are out of range.
 *  - backward **adds** to the gradients of the inputs (mtli_gradient() and its relatives, which give NULL for an input
 *    that needs none) and reads the gradient of the output. It never writes to inputs, output or saved: several sweeps
 *    run over the same activations. It fails for want of memory only.
 *  Both run in flush-to-zero mode. */
struct mtli_op {
    const char *name;               /* of the public function: "mtl_linear" */
    const char *const *input_names; /* of its tensor arguments, for messages; the last one stands for all that follow */
    uint64_t optional_inputs;       /* bit i: input i may be NULL */
    uint64_t weight_inputs;         /* bit i: input i serves every row */
    uint32_t flags;
    mtl_status (*infer)(const mtli_call *call, mtli_shape *shape);
    mtl_status (*forward)(mtli_call *call);
    mtl_status (*backward)(const mtli_call *call, mtli_sweep *sweep);
};

/** Runs an operation: substitutes bound parameters, checks, infers, computes, records. `attributes` (size bytes) are
 *  copied. Returns the output, or the tape's error tensor. */
mtl_tensor *mtli_run(mtl_tape *tape, const mtli_op *op, mtl_tensor *const *inputs, int32_t num_inputs,
                     const void *attributes, size_t attributes_size);

/* For infer and forward. ------------------------------------------------------------------------------------------- */

mtl_context *mtli_call_context(const mtli_call *call);

/** The kernels of the context's level. */
const mtli_kernels *mtli_call_kernels(const mtli_call *call);

bool mtli_call_training(const mtli_call *call);

/** Whether a backward pass will need the gradient of an input, or of any. */
bool mtli_call_needs(const mtli_call *call, int32_t input);
bool mtli_call_records(const mtli_call *call);

/** Memory that lives until the tape is reset; NULL, with the error set, when there is none. */
void *mtli_tape_memory(const mtli_call *call, size_t count, size_t size);

/** Memory that lives until forward or backward returns; NULL, with the error set, when there is none. */
void *mtli_tape_scratch(const mtli_call *call, size_t count, size_t size);

/** infer's usual complaints. `index` is the input's position. */
mtl_status mtli_expect_real(const mtli_call *call, int32_t index);
mtl_status mtli_expect_int32(const mtli_call *call, int32_t index);
mtl_status mtli_expect_ndim(const mtli_call *call, int32_t index, int32_t least, int32_t most);
mtl_status mtli_expect_ragged(const mtli_call *call, int32_t index);
/** Input `index` has exactly these sizes; -1 stands for any. */
mtl_status mtli_expect_dims(const mtli_call *call, int32_t index, int32_t ndim, const int64_t *dims);
/** "mtl_add: a has shape [2, 3], b has shape [4]: <reason>" */
mtl_status mtli_fail_shapes(const mtli_call *call, int32_t first, int32_t second, const char *reason);
const char *mtli_input_name(const mtli_call *call, int32_t index);

static inline const mtli_real *mtli_input_real(const mtli_call *call, int32_t index)
{
    return call->inputs[index]->data;
}

static inline const int32_t *mtli_input_int32(const mtli_call *call, int32_t index)
{
    return call->inputs[index]->data;
}

static inline mtli_real *mtli_output_real(const mtli_call *call)
{
    return call->output->data;
}

/* For backward. ----------------------------------------------------------------------------------------------------- */

/** The gradient of the output; never NULL, never to be written. */
const mtli_real *mtli_output_gradient(const mtli_call *call, mtli_sweep *sweep);

/** Where to **add** the gradient of an input; NULL when nobody needs it or memory ran out (the sweep remembers). */
mtli_real *mtli_gradient(const mtli_call *call, mtli_sweep *sweep, int32_t input);

/** As mtli_gradient(), but when *fresh is set the memory holds nothing yet and must be overwritten, all of it. */
mtli_real *mtli_gradient_fresh(const mtli_call *call, mtli_sweep *sweep, int32_t input, bool *fresh);

/** Adds dy[n, features] to the rows ids[n] of the gradient of a table; keeps touched rows only where the table is a
 *  row-sparse parameter. */
mtl_status mtli_gradient_rows(const mtli_call *call, mtli_sweep *sweep, int32_t input, const int32_t *ids, int64_t n,
                              const mtli_real *dy);

/* The registry (ops/ops.def), for tests that must see every operation. ---------------------------------------------- */

extern const mtli_op *const mtli_ops[];
extern const int32_t mtli_num_ops;

#endif
