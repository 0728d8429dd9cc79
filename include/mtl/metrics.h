/* SPDX-License-Identifier: Apache-2.0 */
/** @file metrics.h
 *  @brief Metrics of one task, gathered over batches: accuracy, macro F1, confusion matrix, mean loss. And of all tasks:
 *  how much better they are together than alone.
 */
#ifndef MTL_METRICS_H
#define MTL_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include <mtl/tensor.h>

MTL_BEGIN_DECLS

/** Metrics of a classification task. */
typedef struct mtl_metrics mtl_metrics;

/** Creates empty metrics.
 *  @param[in] context not NULL @param[in] classes 2 to 4096 @param[out] out receives them
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_MEMORY @ownership the caller's: mtl_metrics_destroy() @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_metrics_create(mtl_context *context, int32_t classes, mtl_metrics **out);

/** Ends metrics. @param[in] metrics may be NULL @since 0.1 */
MTL_API void mtl_metrics_destroy(mtl_metrics *metrics);

/** Forgets what was gathered. @param[in] metrics may be NULL @since 0.1 */
MTL_API void mtl_metrics_clear(mtl_metrics *metrics);

/** Adds the rows of a batch: predicted is the first largest logit. Rows with MTL_LABEL_NONE are left out.
 *
 *  @param[in] metrics  not NULL
 *  @param[in] logits   real [rows, classes]
 *  @param[in] labels   int32 [rows]
 *  @return MTL_OK, MTL_ERROR_ARGUMENT (label out of range: nothing is added), MTL_ERROR_SHAPE, MTL_ERROR_DTYPE,
 *          MTL_ERROR_STATE (error tensor), MTL_ERROR_NUMERIC (a logit is NaN: nothing is added)
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_metrics_add(mtl_metrics *metrics, const mtl_tensor *logits,
                                                 const mtl_tensor *labels);

/** Adds a mean loss over some rows. @param[in] metrics not NULL @param[in] loss the mean @param[in] rows > 0, its weight
 *  @return MTL_OK or MTL_ERROR_ARGUMENT @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_metrics_add_loss(mtl_metrics *metrics, double loss, int64_t rows);

/** Labelled rows so far. @param[in] metrics not NULL @return 0 for NULL @since 0.1 */
MTL_API int64_t mtl_metrics_rows(const mtl_metrics *metrics);

/** Right predictions over rows. @param[in] metrics not NULL @return NaN without rows @since 0.1 */
MTL_API double mtl_metrics_accuracy(const mtl_metrics *metrics);

/** Mean over classes of 2 TP / (2 TP + FP + FN); a class that neither occurs nor is predicted counts 0, as in
 *  scikit-learn with zero_division = 0. @param[in] metrics not NULL @return NaN without rows @since 0.1 */
MTL_API double mtl_metrics_macro_f1(const mtl_metrics *metrics);

/** Rows of one class that were predicted as another. @param[in] metrics not NULL @param[in] label the true class
 *  @param[in] predicted the predicted class @return 0 when out of range @since 0.1 */
MTL_API int64_t mtl_metrics_confusion(const mtl_metrics *metrics, int32_t label, int32_t predicted);

/** The mean of the losses that were added, weighted by rows. @param[in] metrics not NULL @return NaN when none
 *  @since 0.1 */
MTL_API double mtl_metrics_mean_loss(const mtl_metrics *metrics);

/** Δ_m: how much better tasks do than in a baseline, each of them alone for instance (Maninis, Radosavovic & Kokkinos,
 *  CVPR 2019): (1/T) Σ_t ±(M_t - B_t) / |B_t|, minus where a lower measure is better. More than 0 is better than the
 *  baseline; .02 is 2% in the mean.
 *
 *  @param[in]  context          not NULL
 *  @param[in]  count            T >= 1
 *  @param[in]  measures         [count] M, finite: accuracies, errors, losses; each task may have its own kind
 *  @param[in]  baselines        [count] B, of the same kinds; finite, not 0
 *  @param[in]  lower_is_better  [count] not 0: so it is with this measure; NULL: higher is better for all
 *  @param[out] out              receives Δ_m, a fraction; untouched on failure
 *  @return MTL_OK; MTL_ERROR_ARGUMENT (a value above, named in the message); MTL_ERROR_NUMERIC (Δ_m is beyond a double)
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_delta_m(mtl_context *context, int32_t count, const double *measures,
                                             const double *baselines, const int32_t *lower_is_better, double *out);

MTL_END_DECLS

#endif
