/* SPDX-License-Identifier: Apache-2.0 */
/** @file factorized.h
 *  @brief Tensor-factorized sharing: one module that holds the networks of T tasks as factors that they share
 *         (Yang & Hospedales 2017).
 *
 *  The same parameter of T networks, W_0 .. W_{T-1}, is a tensor whose last mode are the tasks. It is held in one of
 *  these forms; d_1 .. d_n are the parameter's dimensions (those from the third on count as one):
 *
 *  | kind | form | parameters of `weight` |
 *  |---|---|---|
 *  | MTL_FACTORIZATION_LAF | W_t = Σ_k s_tk L_k, k = 1 .. r (Kumar & Daumé 2012) | `weight.basis` [r, d_1, ..], `weight.tasks` [T, r] |
 *  | MTL_FACTORIZATION_TUCKER | a core times a factor for each mode (Tucker 1966) | `weight.core` [r_T, r_1, ..], `weight.mode0` [d_1, r_1], .., `weight.tasks` [T, r_T] |
 *  | MTL_FACTORIZATION_TENSOR_TRAIN | a product of cores (Oseledets 2011) | `weight.core0` [d_1, r_1], `weight.core1` [r_1, d_2, r_2], .., `weight.tasks` [T, r_n] |
 *
 *  A factor `mode<k>`, or `core0` where another core follows, that would save nothing is left out: its mode stays
 *  whole, and its rank is the dimension.
 *
 *  Modules begin from networks that were trained one by one (or from random ones) by truncated factorization, with the
 *  ranks that a relative error needs; then the factors are trained jointly: they are parameters like others to models,
 *  gradients, optimizers and checkpoints. What is not factorized each task has for itself (`bias.task0`, ..; with
 *  T = 1 `bias`), or all tasks share it (`bias`). With T = 1, MTL_FACTORIZATION_TUCKER is the low-rank form of a
 *  single network.
 *
 *  A factorized module runs one task at a time: mtl_encoder_forward_task(), mtl_head_forward_task(). Several tasks may
 *  run on one tape, one after the other. mtl_encoder_forward() and mtl_head_forward() are MTL_ERROR_UNSUPPORTED.
 *
 *  **Threads.** As the context.
 */
#ifndef MTL_FACTORIZED_H
#define MTL_FACTORIZED_H

#include <stddef.h>
#include <stdint.h>

#include <mtl/encoder.h>
#include <mtl/head.h>

MTL_BEGIN_DECLS

/** What a module holds in factors. */
typedef struct mtl_factorized mtl_factorized;

/** Forms; the formulas stand above. */
enum {
    MTL_FACTORIZATION_LAF = 0,         /**< a basis of weights, and coefficients for each task */
    MTL_FACTORIZATION_TUCKER = 1,      /**< all modes are reduced: the parameter's dimensions and the tasks */
    MTL_FACTORIZATION_TENSOR_TRAIN = 2 /**< the first k modes against the rest, for k = 1, .. */
};

/** Options of mtl_encoder_create_factorized() and mtl_head_create_factorized(). */
typedef struct mtl_factorized_options {
    size_t struct_size;     /**< sizeof(mtl_factorized_options), set by MTL_FACTORIZED_OPTIONS_INIT */
    int32_t kind;           /**< MTL_FACTORIZATION_LAF (default), .. */
    int32_t reserved0;      /**< 0 */
    int64_t max_rank;       /**< the most that any rank may be; 0 (default): no limit */
    double relative_error;  /**< e in [0, 1), default 0.1: ‖W - Ŵ‖_F <= e ‖W‖_F for the tensor of each parameter, unless
                                 max_rank forbids it. 0: the ranks are max_rank, or full, whatever the values are */
    const char *parameters; /**< what is factorized: patterns with '*' and '?', separated by commas; NULL (default): all
                                 parameters of two dimensions or more but embeddings. An embedding is meant only by
                                 its name written out */
    const char *shared;     /**< what all tasks share as it is: patterns, "embedding.*" for instance; they go before
                                 `parameters`. It begins with the networks' mean. NULL (default): nothing */
} mtl_factorized_options;

/** Initializer of mtl_factorized_options. */
#define MTL_FACTORIZED_OPTIONS_INIT { sizeof(mtl_factorized_options), MTL_FACTORIZATION_LAF, 0, 0, 0.1, NULL, NULL }

/** Creates an encoder that holds the encoders of T tasks in factors.
 *
 *  The values are computed by truncated singular value decompositions (of the task mode for LAF; the sequentially
 *  truncated HOSVD of Vannieuwenhoven et al. 2012; the TT-SVD of Oseledets 2011) by way of Gram matrices in double,
 *  rounded to float32: a relative error below 1e-6 is one of about 1e-6.
 *
 *  The networks may be released afterwards. Custom encoders must have the same `forward`; the new encoder hands the
 *  `user` of networks[0] to it, which lives until both encoders end, and reads its parameters with
 *  mtl_encoder_call_parameter(), which gives those of the task.
 *
 *  @param[in]  networks  T encoders of one context, of the same kind, with equal options and shapes; none is factorized
 *  @param[in]  count     T, 1 to 65536
 *  @param[in]  options   NULL for every default
 *  @param[out] out       receives the encoder; untouched on failure
 *  @return MTL_OK; MTL_ERROR_ARGUMENT (networks that differ in kind or options, an option out of range, a pattern that
 *          matches nothing); MTL_ERROR_SHAPE (networks of different shapes); MTL_ERROR_NUMERIC (weights that are not
 *          finite); MTL_ERROR_UNSUPPORTED; MTL_ERROR_LIMIT; MTL_ERROR_MEMORY
 *  @ownership the caller owns one reference: mtl_encoder_release()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_encoder_create_factorized(mtl_encoder *const *networks, int32_t count,
                                                               const mtl_factorized_options *options,
                                                               mtl_encoder **out);

/** Creates a head that holds the heads of T tasks in factors. They are of one kind, with equal options and sizes.
 *  @param[in] networks T heads @param[in] count T, 1 to 65536 @param[in] options may be NULL
 *  @param[out] out receives the head; untouched on failure
 *  @return as mtl_encoder_create_factorized() @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_head_create_factorized(mtl_head *const *networks, int32_t count,
                                                            const mtl_factorized_options *options, mtl_head **out);

/** Encodes a batch with the network of one task, whose weights are composed from the factors on the tape.
 *
 *  @param[in] encoder  made by mtl_encoder_create_factorized()
 *  @param[in] tape     the tape; errors are kept there
 *  @param[in] task     0 to T - 1
 *  @param[in] inputs   as for mtl_encoder_forward()
 *  @return [rows, output_dim], of the tape, never NULL
 *  @since 0.1
 */
MTL_API mtl_tensor *mtl_encoder_forward_task(mtl_encoder *encoder, mtl_tape *tape, int32_t task, mtl_tensor *inputs);

/** The result of one task's head; as mtl_encoder_forward_task().
 *  @param[in] head made by mtl_head_create_factorized() @param[in] tape the tape @param[in] task 0 to T - 1
 *  @param[in] features as for mtl_head_forward()
 *  @return [rows, outputs], of the tape, never NULL @since 0.1 */
MTL_API mtl_tensor *mtl_head_forward_task(mtl_head *head, mtl_tape *tape, int32_t task, mtl_tensor *features);

/** What an encoder holds in factors, for the functions below. @param[in] encoder may be NULL
 *  @return borrowed, while the encoder lives; NULL when it is not factorized @since 0.1 */
MTL_API const mtl_factorized *mtl_encoder_factorized(const mtl_encoder *encoder);

/** What a head holds in factors. @param[in] head may be NULL
 *  @return borrowed, while the head lives; NULL when it is not factorized @since 0.1 */
MTL_API const mtl_factorized *mtl_head_factorized(const mtl_head *head);

/** The number of tasks T. @param[in] factorized not NULL @return 0 for NULL @since 0.1 */
MTL_API int32_t mtl_factorized_num_tasks(const mtl_factorized *factorized);

/** The ranks of a parameter of the networks.
 *
 *  LAF: r. Tucker: r_1, .., r_n, r_T. Tensor train: r_1, .., r_n.
 *
 *  @param[in]  factorized  not NULL
 *  @param[in]  name        as the networks call it: "lstm.weight_ih_l0"
 *  @param[out] ranks       the first `capacity` of them; may be NULL with capacity 0
 *  @param[in]  capacity    >= 0; MTL_MAX_DIMS is enough
 *  @param[out] count       receives how many there are; 0 when the parameter is not factorized
 *  @return MTL_OK, MTL_ERROR_ARGUMENT (no such parameter)
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_factorized_ranks(const mtl_factorized *factorized, const char *name,
                                                      int64_t *ranks, int64_t capacity, int64_t *count);

/** How much the tasks have in common in a parameter (Yang & Hospedales 2017): the cosines between the rows of its task
 *  factor, after absolute values and a softmax over each row.
 *
 *  A parameter that is shared as it is has cosines 1; one that each task has for itself, 1 on the diagonal and else 0.
 *
 *  @param[in]  factorized  not NULL
 *  @param[in]  name        as the networks call it
 *  @param[out] cosines     [T, T]; NULL: not wanted
 *  @param[in]  count       T * T, or 0 with NULL
 *  @param[out] strength    receives the mean over the pairs of two tasks, in [0, 1]; 1 for T = 1; NULL: not wanted
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_NUMERIC (a task factor that is not finite), MTL_ERROR_MEMORY
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_factorized_sharing(const mtl_factorized *factorized, const char *name,
                                                        double *cosines, int64_t count, double *strength);

/** The weights of one task: the dense form of a parameter of its network, as mtl_encoder_forward_task() composes it.
 *
 *  @param[in]  factorized  not NULL
 *  @param[in]  name        as the networks call it
 *  @param[in]  task        0 to T - 1
 *  @param[out] values      count of them
 *  @param[in]  count       the size of the network's parameter
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_MEMORY
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_factorized_read(const mtl_factorized *factorized, const char *name, int32_t task,
                                                     double *values, int64_t count);

MTL_END_DECLS

#endif
