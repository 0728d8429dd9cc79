/* SPDX-License-Identifier: Apache-2.0 */
/** @file sharing.h
 *  @brief Soft sharing: networks of their own, held together by penalties on their parameters.
 *
 *  Each task t = 0 .. T-1 has a network (an encoder or a head of one model). Parameters that bear the same name below the
 *  module's name and have the same shape form a *stack* W_0 .. W_{T-1}; a penalty is a sum over its stacks of
 *  coefficient * Ω(W_0, .., W_{T-1}). As a matrix, a parameter of one dimension is a column, and one of more than two is
 *  unfolded as [first, rest].
 *
 *  There are two ways of using a penalty, and both may be used at once with different penalties:
 *  - mtl_objective_add_penalty(): a term of the objective. Its gradient (where Ω is not smooth, a subgradient) is added in
 *    the backward pass.
 *  - mtl_optimizer_add_proximal(): a proximal step after each update of the optimizer,
 *    W ← argmin_V ½ ‖V - W‖² + τ Ω(V) with τ = learning rate * coefficient. It reaches zeros and low rank exactly;
 *    a subgradient never does.
 *
 *  | kind | Ω of a stack | term | proximal step | source |
 *  |---|---|---|---|---|
 *  | MTL_PENALTY_L2, form MTL_L2_PAIRWISE | Σ_{i≠j} a_ij ‖W_i - W_j‖²_F | yes | yes | Evgeniou & Pontil 2004 |
 *  | MTL_PENALTY_L2, form MTL_L2_MEAN | Σ_i ‖W_i - W̄‖²_F | yes | yes | Evgeniou & Pontil 2004 |
 *  | MTL_PENALTY_L2, form MTL_L2_RIDGE | Σ_i ‖W_i‖²_F | yes | yes | |
 *  | MTL_PENALTY_TRACE_NORM_DIFFERENCES | Σ_{i≠j} a_ij ‖W_i - W_j‖_* | yes | T = 2 | |
 *  | MTL_PENALTY_TRACE_NORM, unfolding MTL_UNFOLDING_TASKS | ‖[vec W_0 .. vec W_{T-1}]‖_* | yes | yes | Argyriou et al. 2008; Ji & Ye 2009 |
 *  | .. MTL_UNFOLDING_TUCKER | Σ_k ‖W_(k)‖_*, all unfoldings of the stacked tensor | yes | no | Yang & Hospedales 2017 |
 *  | .. MTL_UNFOLDING_TENSOR_TRAIN | Σ_k ‖W_[k]‖_*, first k modes against the rest | yes | no | Yang & Hospedales 2017 |
 *  | MTL_PENALTY_L1 | Σ \|w\| | yes | yes | Tibshirani 1996 |
 *  | MTL_PENALTY_L21 | Σ_groups ‖w_group‖_2 | yes | yes | Argyriou et al. 2008; Liu, Ji & Ye 2009 |
 *  | MTL_PENALTY_LINF1 | Σ_groups max \|w_group\| | yes | yes | Jalali et al. 2010 |
 *  | MTL_PENALTY_CLUSTERED | η(1+η) min_M tr(W (ηI + M)^-1 Wᵀ), tr M = k, 0 ⪯ M ⪯ I | yes | yes | Zhou, Chen & Ye 2011 |
 *  | mtl_penalty_create_split() | min_{P+Q=W} Ω_1(P) + Ω_2(Q) | no | yes | dirty: Jalali et al. 2010; robust: Chen et al. 2011 |
 *
 *  W of the clustered penalty is the matrix with one column per task. In the sums over i ≠ j each pair counts twice.
 *
 *  **Embeddings** (tables whose gradients are kept as touched rows) take part only when their name is written out in
 *  `parameters`. Then the penalty acts on the rows that any of the networks touched in the step, or on all with
 *  MTL_SPARSE_DENSE; the kinds with trace norms and MTL_PENALTY_CLUSTERED need MTL_SPARSE_DENSE.
 *
 *  **Threads.** As the context.
 */
#ifndef MTL_SHARING_H
#define MTL_SHARING_H

#include <stddef.h>
#include <stdint.h>

#include <mtl/model.h>
#include <mtl/optimizer.h>

MTL_BEGIN_DECLS

/** A penalty. */
typedef struct mtl_penalty mtl_penalty;

/** What is penalized; the formulas stand above. */
enum {
    MTL_PENALTY_L2 = 0,                     /**< squared distances; `form`, `graph` */
    MTL_PENALTY_TRACE_NORM_DIFFERENCES = 1, /**< trace norms of the differences between two tasks; `graph` */
    MTL_PENALTY_TRACE_NORM = 2,             /**< trace norm of the stack; `unfolding` */
    MTL_PENALTY_L1 = 3,                     /**< absolute values */
    MTL_PENALTY_L21 = 4,                    /**< Euclidean norms of groups; `group` */
    MTL_PENALTY_LINF1 = 5,                  /**< largest absolute values of groups; `group` */
    MTL_PENALTY_CLUSTERED = 6               /**< tasks in clusters; `clusters`, `clustering` */
};

/** Forms of MTL_PENALTY_L2. */
enum {
    MTL_L2_PAIRWISE = 0, /**< every task with every other, or with its neighbours in `graph` */
    MTL_L2_MEAN = 1,     /**< every task with the mean of all */
    MTL_L2_RIDGE = 2     /**< every task with zero */
};

/** Matrices of MTL_PENALTY_TRACE_NORM. */
enum {
    MTL_UNFOLDING_TASKS = 0,       /**< one column per task (the last mode; LAF) */
    MTL_UNFOLDING_TUCKER = 1,      /**< each mode against all others: the parameter's dimensions and the tasks */
    MTL_UNFOLDING_TENSOR_TRAIN = 2 /**< the first k modes against the rest, for k = 1, .. */
};

/** Groups of MTL_PENALTY_L21 and MTL_PENALTY_LINF1. */
enum {
    MTL_GROUP_COORDINATE = 0, /**< one coordinate in all tasks: the rows of W over tasks */
    MTL_GROUP_ROW = 1,        /**< one row of the parameter in all tasks: an output feature */
    MTL_GROUP_COLUMN = 2,     /**< one column of the parameter in all tasks: an input feature */
    MTL_GROUP_TASK = 3        /**< the whole parameter of one task */
};

/** Options of mtl_penalty_create(). What a kind does not name above is ignored. */
typedef struct mtl_penalty_options {
    size_t struct_size;     /**< sizeof(mtl_penalty_options), set by MTL_PENALTY_OPTIONS_INIT */
    int32_t kind;           /**< MTL_PENALTY_L2 (default), .. */
    int32_t form;           /**< MTL_L2_PAIRWISE (default), .. */
    int32_t unfolding;      /**< MTL_UNFOLDING_TASKS (default), .. */
    int32_t group;          /**< MTL_GROUP_COORDINATE (default), .. */
    int32_t sparse;         /**< for embeddings: MTL_SPARSE_LAZY (default) or MTL_SPARSE_DENSE */
    int32_t clusters;       /**< k of MTL_PENALTY_CLUSTERED, 1 to T - 1; default 1 */
    double clustering;      /**< η of MTL_PENALTY_CLUSTERED, > 0; default 1 */
    double coefficient;     /**< >= 0, finite; default 1 */
    const char *parameters; /**< which parameters, by their names below the module's: patterns with '*' and '?', separated by
                                 commas; NULL (default): all but embeddings. Copied */
    const double *graph;    /**< a_ij as [T, T], finite, >= 0, the diagonal is not read; NULL (default): all 1. Copied */
} mtl_penalty_options;

/** Initializer of mtl_penalty_options. */
#define MTL_PENALTY_OPTIONS_INIT \
    { sizeof(mtl_penalty_options), MTL_PENALTY_L2, MTL_L2_PAIRWISE, MTL_UNFOLDING_TASKS, MTL_GROUP_COORDINATE, \
      MTL_SPARSE_LAZY, 1, 1.0, 1.0, NULL, NULL }

/** Creates a penalty over networks of a model.
 *
 *  A parameter takes part when its name is wanted and every network has it. A name that is wanted and that some network
 *  lacks is left out and reported by mtl_penalty_unmatched_name(). A pattern that matches no parameter of any network is
 *  an error.
 *
 *  All memory that steps need is taken here, so that a step cannot fail for want of it.
 *
 *  @param[in]  model    not NULL; from now on no module can be added to it
 *  @param[in]  modules  names of encoders or heads of the model, each once: task t is modules[t]
 *  @param[in]  count    T, 1 to 65536; at least 2 for the kinds that compare tasks (MTL_L2_PAIRWISE, MTL_L2_MEAN,
 *                       MTL_PENALTY_TRACE_NORM_DIFFERENCES, MTL_PENALTY_CLUSTERED)
 *  @param[in]  options  NULL for every default
 *  @param[out] out      receives the penalty; untouched on failure
 *  @return MTL_OK; MTL_ERROR_ARGUMENT (no such module, a single network, no matching parameter, an option out of range);
 *          MTL_ERROR_SHAPE (one name with different shapes); MTL_ERROR_UNSUPPORTED (options of a newer header, or a kind
 *          that cannot be lazy on an embedding); MTL_ERROR_LIMIT; MTL_ERROR_MEMORY
 *  @ownership the caller owns it: mtl_penalty_destroy()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_penalty_create(mtl_model *model, const char *const *modules, int32_t count,
                                                    const mtl_penalty_options *options, mtl_penalty **out);

/** Creates a penalty that splits each parameter, W = P + Q, and puts one penalty on each part.
 *
 *  MTL_PENALTY_LINF1 and MTL_PENALTY_L1 make the dirty model (Jalali et al. 2010), MTL_PENALTY_TRACE_NORM and
 *  MTL_PENALTY_L21 by task robust low rank (Chen, Zhou & Ye 2011), MTL_PENALTY_L21 by coordinate and by task robust
 *  feature learning (Gong, Ye & Zhang 2012), MTL_PENALTY_TRACE_NORM and MTL_PENALTY_L1 sparse plus low rank (Chen, Liu & Ye
 *  2010). In the beginning P = W and Q = 0. The networks hold the sum; the parts are read through
 *  mtl_penalty_component(). An update of W by the optimizer counts for P and for Q, as the gradient of both is that of
 *  W; so the sum moves twice as far as with the optimizer alone. So does a change of W by the host between steps, which
 *  cannot be told from an update: load weights before the penalty is split. When one of the two proximal steps fails,
 *  neither part changes. While both coefficients are 0, W moves as without the penalty, and P with it.
 *
 *  @param[in]  first   not NULL, made by mtl_penalty_create(), not attached anywhere, without lazy embeddings; its
 *                      coefficient stays its own. The new penalty keeps it alive; the caller's handle is to be destroyed as
 *                      ever
 *  @param[in]  second  likewise, another one, over the same networks and parameters
 *  @param[out] out     receives the penalty; its own coefficient, a factor on both, is 1. Untouched on failure
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_STATE (one of them is in use), MTL_ERROR_UNSUPPORTED (no proximal step),
 *          MTL_ERROR_NUMERIC (weights that are not finite), MTL_ERROR_MEMORY
 *  @ownership the caller owns it: mtl_penalty_destroy(). A part stays a part when the penalty has ended
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_penalty_create_split(mtl_penalty *first, mtl_penalty *second, mtl_penalty **out);

/** Ends a penalty; what it was added to keeps it alive. @param[in] penalty may be NULL @since 0.1 */
MTL_API void mtl_penalty_destroy(mtl_penalty *penalty);

/** The coefficient. @param[in] penalty not NULL @return 0 for NULL @since 0.1 */
MTL_API double mtl_penalty_coefficient(const mtl_penalty *penalty);

/** Changes the coefficient; at any time between steps. With 0 a penalty does nothing, bit for bit.
 *  @param[in] penalty not NULL @param[in] coefficient >= 0, finite @return MTL_OK or MTL_ERROR_ARGUMENT @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_penalty_set_coefficient(mtl_penalty *penalty, double coefficient);

/** coefficient * Ω at the present weights, summed over the stacks. Embeddings count with all their rows.
 *
 *  @param[in]  penalty  not NULL. Of a split penalty: the value of the present parts
 *  @param[out] value    receives it; untouched on failure
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_NUMERIC (weights that are not finite; the parameter is named)
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_penalty_value(mtl_penalty *penalty, double *value);

/** The number of networks T. @param[in] penalty not NULL @return 0 for NULL @since 0.1 */
MTL_API int32_t mtl_penalty_num_networks(const mtl_penalty *penalty);

/** The number of stacks: parameter names that take part. @param[in] penalty not NULL @return 0 for NULL @since 0.1 */
MTL_API int64_t mtl_penalty_num_parameters(const mtl_penalty *penalty);

/** The name of a stack, below the module's: "lstm.weight_ih_l0".
 *  @param[in] penalty not NULL @param[in] index 0 to num_parameters - 1
 *  @return borrowed, while the penalty lives; NULL when there is none @since 0.1 */
MTL_API const char *mtl_penalty_parameter_name(const mtl_penalty *penalty, int64_t index);

/** The number of parameters that were wanted and that not every network has.
 *  @param[in] penalty not NULL @return 0 for NULL @since 0.1 */
MTL_API int64_t mtl_penalty_num_unmatched(const mtl_penalty *penalty);

/** The whole name of such a parameter: "topic.hidden.weight".
 *  @param[in] penalty not NULL @param[in] index 0 to num_unmatched - 1
 *  @return borrowed, while the penalty lives; NULL when there is none @since 0.1 */
MTL_API const char *mtl_penalty_unmatched_name(const mtl_penalty *penalty, int64_t index);

/** The number of matrices of a stack whose singular values the penalty looks at.
 *
 *  MTL_UNFOLDING_TASKS and MTL_PENALTY_CLUSTERED: 1. MTL_UNFOLDING_TUCKER: the parameter's dimensions and 1.
 *  MTL_UNFOLDING_TENSOR_TRAIN: the parameter's dimensions. MTL_PENALTY_TRACE_NORM_DIFFERENCES: the pairs i < j, those of 0
 *  first. Of the other kinds: 1, as MTL_UNFOLDING_TASKS.
 *
 *  @param[in] penalty not NULL @param[in] index 0 to num_parameters - 1
 *  @return 0 when there is no such stack @since 0.1 */
MTL_API int64_t mtl_penalty_num_matrices(const mtl_penalty *penalty, int64_t index);

/** The singular values of a matrix of a stack, at the present weights, largest first.
 *
 *  @param[in]  penalty   not NULL. Of a split penalty: those of the sum
 *  @param[in]  index     of the stack, 0 to num_parameters - 1
 *  @param[in]  matrix    0 to mtl_penalty_num_matrices() - 1
 *  @param[out] values    the first `capacity` of them; may be NULL with capacity 0
 *  @param[in]  capacity  >= 0
 *  @param[out] count     receives how many there are: the smaller side of the matrix
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_NUMERIC (weights that are not finite), MTL_ERROR_MEMORY
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_penalty_singular_values(mtl_penalty *penalty, int64_t index, int64_t matrix,
                                                             double *values, int64_t capacity, int64_t *count);

/** The number of singular values above tolerance * the largest.
 *
 *  @param[in]  penalty    not NULL
 *  @param[in]  index      of the stack
 *  @param[in]  matrix     as in mtl_penalty_singular_values()
 *  @param[in]  tolerance  0 <= t < 1; weights are float32, so 1e-6 is about the least that means something
 *  @param[out] rank       receives it; 0 for a matrix of zeros
 *  @return as mtl_penalty_singular_values()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_penalty_rank(mtl_penalty *penalty, int64_t index, int64_t matrix,
                                                  double tolerance, int64_t *rank);

/** A part of a split penalty. Its values, singular values and rank are those of the part.
 *  @param[in] penalty not NULL @param[in] component 0 or 1
 *  @return borrowed, while the penalty lives; NULL when it is not split or there is no such part @since 0.1 */
MTL_API mtl_penalty *mtl_penalty_component(mtl_penalty *penalty, int32_t component);

/** Copies what the penalty acts on: the weights of a network or, for a part of a split penalty, its share of them.
 *
 *  @param[in]  penalty  not NULL
 *  @param[in]  index    of the stack
 *  @param[in]  network  0 to T - 1
 *  @param[out] values   count of them
 *  @param[in]  count    the size of the parameter
 *  @return MTL_OK, MTL_ERROR_ARGUMENT
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_penalty_read(const mtl_penalty *penalty, int64_t index, int32_t network,
                                                  double *values, int64_t count);

/** Has an optimizer take the penalty's proximal step after each update, with τ = learning rate * coefficient.
 *
 *  The step sees the learning rate of the schedule and of the parameters' groups; these must agree within the penalty.
 *  When they do not, mtl_optimizer_step() is MTL_ERROR_STATE and changes nothing. All networks take part, also those that
 *  a step did not touch. When the step fails (MTL_ERROR_NUMERIC from mtl_optimizer_step(): the update has made weights
 *  that are not finite), the weights of the stack stay as the update left them, and the message names it. Several proximal
 *  steps of one optimizer follow each other; over the same parameters this is not the step of the sum. A penalty is free
 *  for another optimizer, or an objective, when the optimizer has ended.
 *
 *  @param[in] optimizer  not NULL
 *  @param[in] penalty    over parameters that are the optimizer's; kept alive
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_STATE (added already, here or to an objective, or a part of a split
 *          penalty), MTL_ERROR_UNSUPPORTED (no proximal step is known), MTL_ERROR_MEMORY
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_optimizer_add_proximal(mtl_optimizer *optimizer, mtl_penalty *penalty);

MTL_END_DECLS

#endif
