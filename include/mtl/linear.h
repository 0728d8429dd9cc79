/* SPDX-License-Identifier: Apache-2.0 */
/** @file linear.h
 *  @brief Linear models of several tasks, solved to a given accuracy: the convex side of soft sharing.
 *
 *  Task t has its own rows (X_t, y_t) and a head without a hidden layer: weight w_t and bias b_t. mtl_linear_fit()
 *  finds
 *
 *      min over w, b of  Σ_t λ_t L_t(X_t w_t + b_t, y_t)  +  Σ_k coefficient_k Ω_k(w_0, .., w_{T-1})
 *
 *  - a regressor with one output has squared errors, L_t = mean over the rows of ½ (x·w + b - y)²;
 *  - a multilabel head with one label has the binary cross-entropy of the targets y in [0, 1], mean over the rows.
 *
 *  The penalties are those of sharing.h, over the parameter `weight` of exactly these heads in this order
 *  (options.parameters = "weight"). Any number of them may be squared distances (MTL_PENALTY_L2), and one more may be
 *  of another kind that has a proximal step, or be split (mtl_penalty_create_split(): the dirty model, robust low
 *  rank). Biases are fitted and not penalized.
 *
 *  The method is proximal gradient with acceleration and backtracking (FISTA: Beck & Teboulle 2009), restarted when the
 *  momentum points uphill (O'Donoghue & Candès 2015), in double precision. It begins at the heads' present weights: on
 *  a path of coefficients each solution is the beginning of the next. Where zero weights have a lower objective, it
 *  begins at these.
 *
 *  **Scale the features**, for instance each to standard deviation 1 over the rows of all tasks: a penalty treats all
 *  weights alike, so that a feature in large units is hardly penalized, and the number of iterations grows with the
 *  ratio of the scales.
 *
 *  **Accuracy.** Where it is known, the duality gap decides: the objective is then at most `gap` above the minimum. It
 *  is known with L1, L2,1, L∞,1, the trace norm, MTL_PENALTY_CLUSTERED and splits of these, alone or with squared
 *  distances, and with MTL_L2_RIDGE. Elsewhere the norm of the proximal gradient decides, relative to the gradient at
 *  zero weights. mtl_linear_report.criterion says which.
 *
 *  **Results** are in the heads, rounded to float32, and in the parts of a split penalty. The report is of the solution
 *  before rounding. Results do not depend on the number of threads.
 */
#ifndef MTL_LINEAR_H
#define MTL_LINEAR_H

#include <stddef.h>
#include <stdint.h>

#include <mtl/model.h>
#include <mtl/sharing.h>

MTL_BEGIN_DECLS

/** How a task's rows make its loss. */
enum {
    MTL_REDUCTION_MEAN = 0, /**< the mean over the rows that have a target */
    MTL_REDUCTION_SUM = 1   /**< their sum */
};

/** The factor of a squared error. */
enum {
    MTL_SQUARES_HALF = 0, /**< ½ e² */
    MTL_SQUARES_WHOLE = 1 /**< e², the scale of mtl_mean_squared_error() */
};

/** What decides that a fit is accurate enough. */
enum {
    MTL_CRITERION_GAP = 0,     /**< the duality gap, relative to the objective */
    MTL_CRITERION_RESIDUAL = 1 /**< the norm of the proximal gradient, relative to the gradient at zero weights */
};

/** Options of mtl_linear_fit(). */
typedef struct mtl_linear_options {
    size_t struct_size;         /**< sizeof(mtl_linear_options), set by MTL_LINEAR_OPTIONS_INIT */
    const double *task_weights; /**< λ_t [T], finite, >= 0; NULL (default): ones */
    double tolerance;           /**< of the gap or the residual, 0 <= t < 1; default 1e-6 */
    int64_t max_iterations;     /**< >= 0; default 10000. With 0 the heads' present weights are judged only */
    int32_t reduction;          /**< MTL_REDUCTION_MEAN (default), .. */
    int32_t squares;            /**< MTL_SQUARES_HALF (default), .. */
    int32_t fit_bias;           /**< 1 (default); 0: no bias, those of the heads become 0 */
    int32_t reserved0;          /**< 0 */
} mtl_linear_options;

/** Initializer of mtl_linear_options. */
#define MTL_LINEAR_OPTIONS_INIT \
    { sizeof(mtl_linear_options), NULL, 1e-6, 10000, MTL_REDUCTION_MEAN, MTL_SQUARES_HALF, 1, 0 }

/** What mtl_linear_fit() did. */
typedef struct mtl_linear_report {
    size_t struct_size;  /**< sizeof(mtl_linear_report), set by MTL_LINEAR_REPORT_INIT; no byte beyond it is written */
    int32_t converged;   /**< 1: the tolerance was reached; 0: max_iterations were done before */
    int32_t criterion;   /**< MTL_CRITERION_GAP or MTL_CRITERION_RESIDUAL */
    int64_t iterations;  /**< done */
    double objective;    /**< loss + penalty */
    double loss;         /**< Σ_t λ_t L_t */
    double penalty;      /**< of all penalties, with their coefficients */
    double gap;          /**< the objective is at most so much above the minimum; NaN where no bound is known */
    double residual;     /**< L ‖W - prox(W - ∇/L)‖_F / ‖∇(0)‖_F */
    double step;         /**< 1/L, the last step size; of the proximal step too */
} mtl_linear_report;

/** Initializer of mtl_linear_report. */
#define MTL_LINEAR_REPORT_INIT { sizeof(mtl_linear_report), 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0 }

/** Fits linear heads to their tasks, with penalties that hold them together.
 *
 *  A row whose target is NaN has no target and does not count. A task without any such row has loss 0: its weights are
 *  the penalties' affair, and its bias stays as it was. A yes/no task whose targets are all 0 or all 1 has no best
 *  bias; it gets one so large that its loss is 0 to double precision.
 *
 *  @param[in]     model          not NULL
 *  @param[in]     heads          names of heads of the model, each once: task t is heads[t]. Regressors with one output
 *                                or multilabel heads with one label, without a hidden layer, all for d features
 *  @param[in]     count          T, 1 to 65536
 *  @param[in]     features       T real tensors [n_t, d], finite
 *  @param[in]     targets        T real tensors [n_t] or [n_t, 1], finite or NaN; of a multilabel head in [0, 1]
 *  @param[in]     penalties      num_penalties of them, each once; may be NULL when there are none
 *  @param[in]     num_penalties  >= 0
 *  @param[in]     options        NULL for every default
 *  @param[in,out] report         struct_size set by the initializer; receives what was done; may be NULL. Untouched on
 *                                failure
 *  @return MTL_OK, also when max_iterations did not suffice (report->converged is 0);
 *          MTL_ERROR_ARGUMENT (no such head, a hidden layer, several outputs, options or targets out of range, a
 *          penalty over other parameters); MTL_ERROR_SHAPE; MTL_ERROR_DTYPE; MTL_ERROR_UNSUPPORTED (a penalty without
 *          a proximal step, two that need one, options of a newer header); MTL_ERROR_NUMERIC (data, weights or results
 *          that are not finite); MTL_ERROR_LIMIT; MTL_ERROR_MEMORY. On failure heads and penalties are as they were
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_linear_fit(mtl_model *model, const char *const *heads, int32_t count,
                                                mtl_tensor *const *features, mtl_tensor *const *targets,
                                                mtl_penalty *const *penalties, int32_t num_penalties,
                                                const mtl_linear_options *options, mtl_linear_report *report);

MTL_END_DECLS

#endif
