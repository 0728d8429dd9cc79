/* SPDX-License-Identifier: Apache-2.0 */
/** @file checkpoint.h
 *  @brief Saving and loading models as safetensors files, and training that goes on where it was interrupted.
 *
 *  A checkpoint holds every parameter as a little-endian F32 tensor under its whole name, and string metadata: the
 *  configuration of encoders and heads, the vocabulary, and what the host adds. Python's safetensors opens it; a file
 *  that was written from a PyTorch module with the same names loads here.
 *
 *  It may also hold the state of training (mtl_training_state): then it is still a model file like any other, and
 *  mtl_checkpoint_resume() goes on with the training as if there had been no interruption. See docs/checkpoints.md.
 *
 *  Saving is atomic: written under a temporary name in the same folder, synced, renamed over the old file, folder synced.
 *  A symbolic link is followed; devices, pipes and folders are refused.
 */
#ifndef MTL_CHECKPOINT_H
#define MTL_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include <mtl/data.h>
#include <mtl/metrics.h>
#include <mtl/model.h>
#include <mtl/objective.h>
#include <mtl/optimizer.h>
#include <mtl/text.h>

MTL_BEGIN_DECLS

/** What takes part in a training run beside the model: the same struct tells mtl_model_save() what to save, and
 *  mtl_checkpoint_resume() what to continue. Everything is borrowed for the call. What is NULL takes no part.
 *
 *  Saved are
 *  - of the context: its random generator (seed and how far it was used), from which dropout and new modules draw;
 *  - of the objective: the weights of the tasks, what its balancer remembers, the coefficients of its penalties;
 *  - of the optimizer: steps, learning rate, schedule, groups, moments; of its proximal steps the coefficients, and the
 *    shares P and Q of split penalties;
 *  - of samplers: epoch and batch; of metrics: all that was gathered. */
typedef struct mtl_training_state {
    size_t struct_size;               /**< sizeof(mtl_training_state), set by MTL_TRAINING_STATE_INIT */
    mtl_objective *objective;         /**< over the model */
    mtl_optimizer *optimizer;         /**< likewise */
    mtl_sampler *const *samplers;     /**< num_samplers, with their datasets */
    const char *const *sampler_names; /**< by which they are found in the file: unique, 1 to 63 bytes of UTF-8 */
    int64_t num_samplers;             /**< 0 to 65536 */
    mtl_metrics *const *metrics;      /**< num_metrics */
    const char *const *metrics_names; /**< likewise, among the metrics */
    int64_t num_metrics;              /**< 0 to 65536 */
    int32_t leave_out;                /**< to resume: not 0: state in the file of what takes no part here is left out; 0
                                           (default): MTL_ERROR_FORMAT */
    int32_t reserved0;                /**< 0 */
} mtl_training_state;

/** Initializer of mtl_training_state. */
#define MTL_TRAINING_STATE_INIT { sizeof(mtl_training_state), NULL, NULL, NULL, NULL, 0, NULL, NULL, 0, 0, 0 }

/** Options of mtl_model_save(). */
typedef struct mtl_save_options {
    size_t struct_size;          /**< sizeof(mtl_save_options), set by MTL_SAVE_OPTIONS_INIT */
    mtl_vocabulary *vocabulary;  /**< kept in the metadata; NULL: none */
    const char *const *keys;     /**< num_metadata names of the host's metadata, not beginning with "mtl." */
    const char *const *values;   /**< their values, UTF-8 */
    int64_t num_metadata;        /**< 0 or more */
    const mtl_training_state *training; /**< saved with the model; NULL (default): the model alone */
    size_t reserved0;            /**< 0 */
} mtl_save_options;

/** Initializer of mtl_save_options. */
#define MTL_SAVE_OPTIONS_INIT { sizeof(mtl_save_options), NULL, NULL, NULL, 0, NULL, 0 }

/** Saves a model, and the state of its training when options->training is given. The old file survives any failure but
 *  one, which the message names: the folder could not be synced after
 *  the new file had taken its place.
 *
 *  @param[in] model    not NULL
 *  @param[in] path     file name
 *  @param[in] options  NULL for every default
 *  @return MTL_OK, MTL_ERROR_ARGUMENT (also metadata that is not UTF-8, or training of another model),
 *          MTL_ERROR_UNSUPPORTED, MTL_ERROR_STATE (a step of the objective is running), MTL_ERROR_IO, MTL_ERROR_LIMIT,
 *          MTL_ERROR_MEMORY
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_model_save(mtl_model *model, const char *path, const mtl_save_options *options);

/** A file that was opened to be loaded. Its header is checked whole before anything is believed. */
typedef struct mtl_checkpoint mtl_checkpoint;

/** Opens a checkpoint: any safetensors file.
 *
 *  @param[in]  context  not NULL
 *  @param[in]  path     file name
 *  @param[out] out      receives the checkpoint; untouched on failure
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_IO, MTL_ERROR_FORMAT (what is wrong, and which tensor; also
 *          metadata of libmtl that a checksum finds damaged), MTL_ERROR_LIMIT, MTL_ERROR_MEMORY
 *  @ownership the caller owns it: mtl_checkpoint_close()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_checkpoint_open(mtl_context *context, const char *path, mtl_checkpoint **out);

/** Closes a checkpoint. @param[in] checkpoint may be NULL @since 0.1 */
MTL_API void mtl_checkpoint_close(mtl_checkpoint *checkpoint);

/** A metadata value. @param[in] checkpoint not NULL @param[in] key not NULL
 *  @return borrowed, zero-terminated; NULL when there is none @since 0.1 */
MTL_API const char *mtl_checkpoint_metadata(const mtl_checkpoint *checkpoint, const char *key);

/** The number of tensors. @param[in] checkpoint not NULL @return 0 for NULL @since 0.1 */
MTL_API int64_t mtl_checkpoint_num_tensors(const mtl_checkpoint *checkpoint);

/** The name of a tensor. @param[in] checkpoint not NULL @param[in] index 0 to num_tensors - 1
 *  @return borrowed; NULL when there is none @since 0.1 */
MTL_API const char *mtl_checkpoint_tensor_name(const mtl_checkpoint *checkpoint, int64_t index);

/** The vocabulary that was saved with the model.
 *
 *  @param[in]  checkpoint  not NULL
 *  @param[out] out         receives the vocabulary; untouched on failure
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_STATE (there is none), MTL_ERROR_FORMAT, MTL_ERROR_LIMIT,
 *          MTL_ERROR_MEMORY
 *  @ownership the caller owns one reference: mtl_vocabulary_release()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_checkpoint_vocabulary(mtl_checkpoint *checkpoint, mtl_vocabulary **out);

/** Options of mtl_checkpoint_load(). */
typedef struct mtl_load_options {
    size_t struct_size;         /**< sizeof(mtl_load_options), set by MTL_LOAD_OPTIONS_INIT */
    mtl_vocabulary *vocabulary; /**< not NULL: the saved one must be the same, else MTL_ERROR_FORMAT */
    int32_t allow_missing;      /**< not 0: parameters that the file lacks keep their values */
    int32_t allow_extra;        /**< not 0 (default): tensors that the model lacks are left out */
    int32_t allow_nonfinite;    /**< not 0: NaN and infinite values are loaded; 0 (default): MTL_ERROR_NUMERIC */
    int32_t reserved0;          /**< 0 */
} mtl_load_options;

/** Initializer of mtl_load_options. */
#define MTL_LOAD_OPTIONS_INIT { sizeof(mtl_load_options), NULL, 0, 1, 0, 0 }

/** Loads the parameters of a model that the host has assembled. Names, types (F32, F64, F16, BF16) and shapes are all
 *  checked, and all values read, before the first one is written: on failure the model is as it was.
 *
 *  @param[in] checkpoint  not NULL
 *  @param[in] model       not NULL
 *  @param[in] options     NULL for every default
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_UNSUPPORTED, MTL_ERROR_FORMAT (missing, extra or damaged tensor, another
 *          vocabulary or none), MTL_ERROR_SHAPE, MTL_ERROR_DTYPE, MTL_ERROR_IO, MTL_ERROR_LIMIT, MTL_ERROR_MEMORY
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_checkpoint_load(mtl_checkpoint *checkpoint, mtl_model *model,
                                                     const mtl_load_options *options);

/** Loads a model, and the state of its training into objects that the host has made again as they were: steps that follow
 *  are, bit for bit, those that would have followed the save (on one instruction-set level, with MTL_GEMM_AUTO or
 *  MTL_GEMM_BUILTIN, for any number of threads).
 *
 *  What was given at creation must be as it was: kinds and options of optimizer, balancer, penalties and samplers, tasks
 *  and what they share, numbers of rows and tokens. What setters change is taken from the file: learning rate, schedule,
 *  groups, weights, coefficients; to go on with others, set them afterwards. Everything is compared and read before
 *  anything is written: on failure model, objects and random generator are as they were. The losses of the last pass
 *  (mtl_objective_task_loss(), mtl_objective_value()) are not kept.
 *
 *  @param[in] checkpoint  written by mtl_model_save() with options->training
 *  @param[in] model       assembled by the host, or by mtl_checkpoint_restore(); not NULL
 *  @param[in] training    not NULL
 *  @param[in] options     of the weights, as in mtl_checkpoint_load(); allow_nonfinite counts for the state too. NULL for
 *                         every default
 *  @return MTL_OK; MTL_ERROR_ARGUMENT; MTL_ERROR_UNSUPPORTED (state of a newer version); MTL_ERROR_STATE (the file holds no
 *          state of training, or a step of the objective is running); MTL_ERROR_FORMAT (an option is another than it was,
 *          a tensor is missing or one too many, a value is out of range: the message names it); MTL_ERROR_SHAPE;
 *          MTL_ERROR_DTYPE; MTL_ERROR_NUMERIC (NaN or infinity); MTL_ERROR_IO; MTL_ERROR_LIMIT; MTL_ERROR_MEMORY
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_checkpoint_resume(mtl_checkpoint *checkpoint, mtl_model *model,
                                                       const mtl_training_state *training,
                                                       const mtl_load_options *options);

/** Builds the saved model anew, from its metadata, and loads it: encoders of this library and heads, under their names.
 *
 *  @param[in]  checkpoint  written by mtl_model_save()
 *  @param[out] out         receives the model; untouched on failure
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_STATE (no configuration in the file), MTL_ERROR_UNSUPPORTED (a custom
 *          encoder, or a format of a newer version), MTL_ERROR_FORMAT, MTL_ERROR_SHAPE, MTL_ERROR_DTYPE, MTL_ERROR_IO,
 *          MTL_ERROR_LIMIT, MTL_ERROR_MEMORY
 *  @ownership the caller owns it: mtl_model_destroy(); see mtl_model_encoder() and mtl_model_head()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_checkpoint_restore(mtl_checkpoint *checkpoint, mtl_model **out);

MTL_END_DECLS

#endif
