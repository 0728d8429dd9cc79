/* SPDX-License-Identifier: Apache-2.0 */
/** @file tape.h
 *  @brief The tape: runs operations as they are called and remembers them for the backward pass.
 *
 *  An operation never returns NULL. When something is wrong it returns the tape's *error tensor*; operations on the
 *  error tensor do nothing; the tape keeps the first error with the operation's name, the argument and the shapes. So an
 *  expression is written without a check per line, and mtl_objective_backward() (or mtl_tape_status()) reports.
 *
 *  **Ownership.** The tape owns every tensor that its operations return, until mtl_tape_reset(). It retains the host's
 *  tensors that it was given.
 *
 *  **Memory.** The tape takes memory in large pieces and keeps it: the second step of the same size makes no call to the
 *  allocator.
 *
 *  **Between forward and backward** the host may write to integer tensors (labels, ids): recorded operations keep what
 *  they have checked. Real tensors and parameters are read again in the backward pass: change them after it.
 *
 *  **Threads.** As the context.
 */
#ifndef MTL_TAPE_H
#define MTL_TAPE_H

#include <stddef.h>
#include <stdint.h>

#include <mtl/tensor.h>

MTL_BEGIN_DECLS

/** A tape. */
typedef struct mtl_tape mtl_tape;

/** What a pass is for. */
typedef enum mtl_tape_mode {
    MTL_TAPE_INFER = 0, /**< dropout does nothing; nothing is kept for a backward pass */
    MTL_TAPE_TRAIN = 1, /**< dropout drops; the backward pass is possible */
    MTL_TAPE_MODE_FORCE_INT = 0x7fffffff /**< keeps the enum as wide as int */
} mtl_tape_mode;

/** Options of mtl_tape_create(). */
typedef struct mtl_tape_options {
    size_t struct_size;    /**< sizeof(mtl_tape_options), set by MTL_TAPE_OPTIONS_INIT */
    uint64_t initial_bytes; /**< memory taken at creation; 0: at the first use */
} mtl_tape_options;

/** Initializer of mtl_tape_options: every default. */
#define MTL_TAPE_OPTIONS_INIT { sizeof(mtl_tape_options), 0 }

/** Creates a tape in mode MTL_TAPE_INFER.
 *
 *  @param[in]  context  not NULL
 *  @param[in]  options  NULL for every default
 *  @param[out] out      receives the tape; untouched on failure
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_UNSUPPORTED (options of a newer header), MTL_ERROR_LIMIT
 *          (initial_bytes), MTL_ERROR_MEMORY
 *  @ownership the caller owns it: mtl_tape_destroy()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_tape_create(mtl_context *context, const mtl_tape_options *options, mtl_tape **out);

/** Ends a tape and all its tensors. @param[in] tape may be NULL @since 0.1 */
MTL_API void mtl_tape_destroy(mtl_tape *tape);

/** Forgets all operations, tensors, bindings and the error, keeps the memory, and sets the mode.
 *
 *  Cannot fail: an unknown mode becomes an error of the tape, reported like an operation's.
 *
 *  @param[in] tape  may be NULL
 *  @param[in] mode  MTL_TAPE_TRAIN or MTL_TAPE_INFER
 *  @since 0.1
 */
MTL_API void mtl_tape_reset(mtl_tape *tape, mtl_tape_mode mode);

/** The status of the first error since the last reset.
 *
 *  @param[in] tape  may be NULL: MTL_ERROR_ARGUMENT
 *  @return MTL_OK when every operation succeeded
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_tape_status(const mtl_tape *tape);

/** The sentence of the first error since the last reset: operation, argument, shapes.
 *
 *  @param[in] tape  may be NULL: a fixed sentence
 *  @return borrowed, until the next reset; "" when there is none
 *  @since 0.1
 */
MTL_API const char *mtl_tape_error(const mtl_tape *tape);

/** Asks for the gradient with respect to a tensor of the host that is not a parameter (an input, for instance).
 *
 *  Call it after reset and before the operations that use the tensor.
 *
 *  @param[in] tape    in mode MTL_TAPE_TRAIN
 *  @param[in] tensor  a real host tensor
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_DTYPE, MTL_ERROR_STATE, MTL_ERROR_MEMORY
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_tape_watch(mtl_tape *tape, mtl_tensor *tensor);

/** The gradient that the last backward pass gave for a watched tensor or a result of an operation.
 *
 *  @param[in] tape    after a backward pass
 *  @param[in] tensor  a watched tensor, or one that an operation of this tape returned
 *  @return a tensor of the tape with the same shape, until the next backward pass or reset; NULL when the pass did not
 *          reach it, or when memory is wanting
 *  @since 0.1
 */
MTL_API mtl_tensor *mtl_tape_gradient(mtl_tape *tape, const mtl_tensor *tensor);

/** Computes with another tensor wherever a parameter is used on this tape, until reset (fast weights of
 *  meta-learning). The gradient goes to the bound tensor: watch it, or let it be a result of this tape.
 *
 *  Experimental until 1.0.
 *
 *  @param[in] tape       not NULL
 *  @param[in] parameter  a parameter of a module
 *  @param[in] tensor     same shape, a host tensor or a result of this tape
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_SHAPE, MTL_ERROR_MEMORY
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_tape_bind(mtl_tape *tape, mtl_tensor *parameter, mtl_tensor *tensor);

MTL_END_DECLS

#endif
