/* SPDX-License-Identifier: Apache-2.0 */
/** @file custom.h
 *  @brief Operations and encoders that the host program supplies as functions. Experimental until 1.0.
 *
 *  The functions receive an opaque call handle, valid during the call, and read what they need through accessors.
 */
#ifndef MTL_CUSTOM_H
#define MTL_CUSTOM_H

#include <stddef.h>
#include <stdint.h>

#include <mtl/encoder.h>
#include <mtl/tape.h>

MTL_BEGIN_DECLS

/** One call of a custom operation. */
typedef struct mtl_op_call mtl_op_call;

/** A step of a custom operation. Any status but MTL_OK becomes the tape's (or the backward pass's) error; a value that is
 *  not one of mtl_status becomes MTL_ERROR_CANCELLED. Denormal numbers are flushed to zero while it runs. */
typedef mtl_status (*mtl_op_fn)(void *user, mtl_op_call *call);

/** A custom operation. Copied by mtl_custom_op(). */
typedef struct mtl_custom_op_options {
    size_t struct_size; /**< set by MTL_CUSTOM_OP_OPTIONS_INIT */
    const char *name;   /**< for messages; NULL: "custom" */
    void *user;         /**< handed to the functions; must live until the tape is reset */
    mtl_op_fn shape;    /**< checks the inputs and calls mtl_op_call_set_shape(); NULL: the shape of input 0 */
    mtl_op_fn forward;  /**< writes the output, which comes as zeros; required */
    mtl_op_fn backward; /**< adds to the inputs' gradients; NULL: a backward pass that reaches it is MTL_ERROR_UNSUPPORTED */
    int32_t row_separable; /**< not 0: row n of the output depends only on row n of input 0 and on parameters */
    int32_t reserved0;     /**< 0 */
} mtl_custom_op_options;

/** Initializer of mtl_custom_op_options; forward must be filled in. */
#define MTL_CUSTOM_OP_OPTIONS_INIT { sizeof(mtl_custom_op_options), NULL, NULL, NULL, NULL, NULL, 0, 0 }

/** Runs a custom operation and records it.
 *  @param tape the tape @param options not NULL @param inputs count tensors @param count 1 to 64
 *  @return a real tensor of the tape; errors as in ops.h @since 0.1 */
MTL_API mtl_tensor *mtl_custom_op(mtl_tape *tape, const mtl_custom_op_options *options, mtl_tensor *const *inputs,
                                  int32_t count);

/** The number of inputs. @param call not NULL @return the count given to mtl_custom_op() @since 0.1 */
MTL_API int32_t mtl_op_call_num_inputs(const mtl_op_call *call);

/** An input: its shape, type and row offsets. @param call not NULL @param index 0 to num_inputs - 1
 *  @return borrowed; NULL when there is no such input @since 0.1 */
MTL_API const mtl_tensor *mtl_op_call_input(const mtl_op_call *call, int32_t index);

/** In `shape`: states the shape of the output, which is then not ragged. (Without `shape` it is ragged as input 0.)
 *  @param call not NULL @param ndim 0 to MTL_MAX_DIMS @param shape sizes
 *  @return MTL_OK, MTL_ERROR_STATE (not in `shape`), MTL_ERROR_ARGUMENT, MTL_ERROR_LIMIT @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_op_call_set_shape(mtl_op_call *call, int32_t ndim, const int64_t *shape);

/** The elements of an input, of the tensor's type. @param call not NULL @param index 0 to num_inputs - 1
 *  @return NULL when there is no such input or in `shape` @since 0.1 */
MTL_API const void *mtl_op_call_input_data(const mtl_op_call *call, int32_t index);

/** The output tensor. @param call not NULL @return borrowed; NULL in `shape` @since 0.1 */
MTL_API const mtl_tensor *mtl_op_call_output(const mtl_op_call *call);

/** The elements of the output: to write in `forward`, to read in `backward`.
 *  @param call not NULL @return NULL in `shape` @since 0.1 */
MTL_API void *mtl_op_call_output_data(mtl_op_call *call);

/** In `backward`: the gradient of the output, same shape and type.
 *  @param call not NULL @return NULL elsewhere @since 0.1 */
MTL_API const void *mtl_op_call_output_gradient(const mtl_op_call *call);

/** In `backward`: the gradient of an input, to **add** to.
 *  @param call not NULL @param index 0 to num_inputs - 1
 *  @return NULL when nobody needs it, when memory is wanting (the pass then fails), or elsewhere @since 0.1 */
MTL_API void *mtl_op_call_input_gradient(mtl_op_call *call, int32_t index);

/** How a parameter gets its first values. */
enum {
    MTL_INIT_ZEROS = 0,   /**< 0 */
    MTL_INIT_ONES = 1,    /**< 1 */
    MTL_INIT_UNIFORM = 2, /**< uniform in [-scale, scale] */
    MTL_INIT_NORMAL = 3   /**< normal with standard deviation scale */
};

/** A parameter of a custom encoder. */
typedef struct mtl_parameter_spec {
    const char *name;             /**< "weight": becomes "<module>.weight" in a model; copied */
    int64_t shape[MTL_MAX_DIMS];  /**< sizes, each >= 1 */
    int32_t ndim;                 /**< 1 to MTL_MAX_DIMS */
    int32_t init;                 /**< MTL_INIT_ZEROS, .. */
    double scale;                 /**< of MTL_INIT_UNIFORM and MTL_INIT_NORMAL */
} mtl_parameter_spec;

/** One call of a custom encoder. */
typedef struct mtl_encoder_call mtl_encoder_call;

/** Computes [rows, output_dim] from the inputs with operations on the call's tape, and returns it. NULL becomes the tape's
 *  error MTL_ERROR_CANCELLED, another shape MTL_ERROR_SHAPE. */
typedef mtl_tensor *(*mtl_encoder_fn)(void *user, mtl_encoder_call *call);

/** Options of mtl_encoder_create_custom(). */
typedef struct mtl_custom_encoder_options {
    size_t struct_size;                   /**< set by MTL_CUSTOM_ENCODER_OPTIONS_INIT */
    void *user;                           /**< handed to forward and destroy */
    mtl_encoder_fn forward;               /**< required */
    void (*destroy)(void *user);          /**< called once when the encoder ends; may be NULL */
    const mtl_parameter_spec *parameters; /**< num_parameters entries, read during the call */
    int64_t num_parameters;               /**< 0 to 4096 */
    int64_t output_dim;                   /**< features of the result, >= 1 */
} mtl_custom_encoder_options;

/** Initializer of mtl_custom_encoder_options; forward and output_dim must be filled in. */
#define MTL_CUSTOM_ENCODER_OPTIONS_INIT { sizeof(mtl_custom_encoder_options), NULL, NULL, NULL, NULL, 0, 0 }

/** Creates an encoder whose forward pass is a function of the host.
 *
 *  @param[in]  context  not NULL
 *  @param[in]  options  not NULL
 *  @param[out] out      receives the encoder; untouched on failure (destroy is then not called)
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_UNSUPPORTED, MTL_ERROR_LIMIT, MTL_ERROR_MEMORY
 *  @ownership the caller owns one reference: mtl_encoder_release()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_encoder_create_custom(mtl_context *context,
                                                           const mtl_custom_encoder_options *options,
                                                           mtl_encoder **out);

/** The tape to compute on. @param call not NULL @return borrowed @since 0.1 */
MTL_API mtl_tape *mtl_encoder_call_tape(mtl_encoder_call *call);

/** What was given to mtl_encoder_forward(). @param call not NULL @return borrowed @since 0.1 */
MTL_API mtl_tensor *mtl_encoder_call_inputs(mtl_encoder_call *call);

/** A parameter, by its position in the options. @param call not NULL @param index from 0
 *  @return borrowed; NULL when there is no such parameter @since 0.1 */
MTL_API mtl_tensor *mtl_encoder_call_parameter(mtl_encoder_call *call, int64_t index);

MTL_END_DECLS

#endif
