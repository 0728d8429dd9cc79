/* SPDX-License-Identifier: Apache-2.0 */
/** @file model.h
 *  @brief The model: a named registry of encoders and heads. It is what is optimized, saved and loaded.
 *
 *  Tensors are named `<module>.<parameter>`: "encoder.lstm.weight_ih_l0", "topic.bias". Their order is the order of
 *  addition, then that of the module.
 */
#ifndef MTL_MODEL_H
#define MTL_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include <mtl/encoder.h>
#include <mtl/head.h>

MTL_BEGIN_DECLS

/** A model. */
typedef struct mtl_model mtl_model;

/** Options of mtl_model_create(). */
typedef struct mtl_model_options {
    size_t struct_size; /**< sizeof(mtl_model_options), set by MTL_MODEL_OPTIONS_INIT */
} mtl_model_options;

/** Initializer of mtl_model_options. */
#define MTL_MODEL_OPTIONS_INIT { sizeof(mtl_model_options) }

/** Creates an empty model.
 *
 *  @param[in]  context  not NULL
 *  @param[in]  options  NULL for every default
 *  @param[out] out      receives the model; untouched on failure
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_UNSUPPORTED, MTL_ERROR_MEMORY
 *  @ownership the caller owns it: mtl_model_destroy(); optimizers and gradients made from it keep what they need
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_model_create(mtl_context *context, const mtl_model_options *options,
                                                  mtl_model **out);

/** Ends a model; its modules live on while somebody else holds them. @param[in] model may be NULL @since 0.1 */
MTL_API void mtl_model_destroy(mtl_model *model);

/** Adds an encoder under a name.
 *
 *  Modules are added before gradients or optimizers are made from the model; later is MTL_ERROR_STATE.
 *
 *  @param[in] model    not NULL
 *  @param[in] name     letters, digits, '_' and '-', unique in the model, at most 63 bytes; copied
 *  @param[in] encoder  retained; may be in a model only once, in any number of models of its context
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_STATE, MTL_ERROR_MEMORY
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_model_add_encoder(mtl_model *model, const char *name, mtl_encoder *encoder);

/** Adds a head under a name; otherwise as mtl_model_add_encoder().
 *  @param[in] model not NULL @param[in] name unique @param[in] head retained
 *  @return as mtl_model_add_encoder() @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_model_add_head(mtl_model *model, const char *name, mtl_head *head);

/** An encoder by name. @param[in] model not NULL @param[in] name not NULL
 *  @return borrowed; NULL when there is none @since 0.1 */
MTL_API mtl_encoder *mtl_model_encoder(mtl_model *model, const char *name);

/** A head by name. @param[in] model not NULL @param[in] name not NULL
 *  @return borrowed; NULL when there is none @since 0.1 */
MTL_API mtl_head *mtl_model_head(mtl_model *model, const char *name);

/** The number of parameter tensors. @param[in] model not NULL @return 0 for NULL @since 0.1 */
MTL_API int64_t mtl_model_num_parameters(const mtl_model *model);

/** The number of values in all parameters. @param[in] model not NULL @return 0 for NULL @since 0.1 */
MTL_API int64_t mtl_model_num_values(const mtl_model *model);

/** A parameter by position. @param[in] model not NULL @param[in] index 0 to num_parameters - 1
 *  @return borrowed; NULL when there is none @since 0.1 */
MTL_API mtl_tensor *mtl_model_parameter(mtl_model *model, int64_t index);

/** The whole name of a parameter by position. @param[in] model not NULL @param[in] index 0 to num_parameters - 1
 *  @return borrowed, while the model lives; NULL when there is none @since 0.1 */
MTL_API const char *mtl_model_parameter_name(const mtl_model *model, int64_t index);

/** A parameter by its whole name. @param[in] model not NULL @param[in] name not NULL
 *  @return borrowed; NULL when there is none @since 0.1 */
MTL_API mtl_tensor *mtl_model_find_parameter(mtl_model *model, const char *name);

MTL_END_DECLS

#endif
