/* SPDX-License-Identifier: Apache-2.0
 * The tape from inside, and the backward sweep over it. */
#ifndef MTLI_AUTOGRAD_TAPE_H
#define MTLI_AUTOGRAD_TAPE_H

#include "autograd/gradients.h"
#include "autograd/op.h"
#include "base/arena.h"

/** A tensor of the host or a block of parameters that the tape keeps alive. */
typedef struct mtli_kept {
    mtl_tensor *tensor;          /* or NULL */
    mtli_parameters *parameters; /* or NULL */
    struct mtli_kept *next;
} mtli_kept;

/** A host tensor whose gradient is wanted. */
typedef struct mtli_watched {
    const mtl_tensor *tensor;
    mtli_real *gradient; /* of the last sweep; NULL: not reached */
    struct mtli_watched *next;
} mtli_watched;

/** A parameter that is replaced on this tape. */
typedef struct mtli_binding {
    const mtl_tensor *parameter;
    mtl_tensor *tensor;
    struct mtli_binding *next;
} mtli_binding;

struct mtl_tape {
    mtl_context *context;
    const mtli_kernels *kernels;
    mtli_arena arena;   /* results, calls, what forward saves */
    mtli_arena sweep;   /* gradients of the last sweep */
    mtli_arena scratch; /* temporaries of the operation that runs */
    mtl_tape_mode mode;
    uint32_t generation; /* counts resets: a result of an earlier one is stale */
    int32_t busy;        /* operations that run: no reset meanwhile */
    mtl_status status;   /* first error */
    char message[MTLI_MESSAGE_SIZE];
    mtl_tensor error;
    mtli_call *last; /* the recorded calls, latest first */
    const mtli_parameters *module; /* of the encoder whose forward pass runs */
    mtli_kept *kept;
    mtli_watched *watched;
    mtli_binding *bindings;
    int32_t num_results;   /* with a gradient slot */
    mtli_real **gradients; /* of the last sweep, by index of the result; NULL: none */
    int32_t num_gradients; /* slots of `gradients` */
};

/** Records an error as the tape's, if it is the first. */
mtl_tensor *mtli_tape_fail(mtl_tape *tape, mtl_status status);

/** Whether a tensor is a result of this tape since its last reset. */
bool mtli_tape_owns(const mtl_tape *tape, const mtl_tensor *tensor);

/** For functions that are not operations themselves but return tensors: records an error of `function` and returns the
 *  error tensor. A tape that has an error already keeps it; a NULL tape gives the static error tensor. */
mtl_tensor *mtli_tape_complain(mtl_tape *tape, const char *function, mtl_status status, const char *message);

/** What a parameter is replaced by on this tape; itself when it is not. */
mtl_tensor *mtli_tape_bound(const mtl_tape *tape, mtl_tensor *parameter);

/** Replaces a parameter, without the checks of mtl_tape_bind(); and ends its latest replacement, before reset. Calls that
 *  were recorded in between keep what they read. */
mtl_status mtli_tape_push_binding(mtl_tape *tape, const mtl_tensor *parameter, mtl_tensor *tensor);
void mtli_tape_pop_binding(mtl_tape *tape, const mtl_tensor *parameter);

/** Whether a tensor can be a root: a scalar of this tape. Fails naming it "loss <index>". */
mtl_status mtli_sweep_check_root(const mtl_tape *tape, const mtl_tensor *root, int32_t index);

/** One backward pass: the gradient of Σ seeds[i] * roots[i] with respect to every parameter goes to `target` (which may be
 *  NULL), to watched tensors and to results. Roots are scalars of this tape; a NULL root is left out. May be repeated with
 *  other seeds over the same activations. On failure `target` is cleared. */
mtl_status mtli_sweep_run(mtl_tape *tape, mtl_tensor *const *roots, const double *seeds, int32_t count,
                          mtl_gradients *target);

#endif
