/* SPDX-License-Identifier: Apache-2.0
 * Metrics of a classification task, from its confusion matrix. */
#include <mtl/metrics.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include <mtl/loss.h>

#include "tensor/tensor.h"

enum { MAX_CLASSES = 4096 }; /* the matrix has the square of it, 128 MiB */

struct mtl_metrics {
    mtl_context *context;
    int32_t classes;
    int64_t *confusion; /* [true class, predicted class] */
    int64_t rows;
    double loss_sum; /* of mean losses times their rows */
    int64_t loss_rows;
};

static size_t matrix_bytes(int32_t classes)
{
    return (size_t)classes * (size_t)classes * sizeof(int64_t);
}

mtl_status mtl_metrics_create(mtl_context *context, int32_t classes, mtl_metrics **out)
{
    if (!context) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(context);
    MTLI_REQUIRE(context, out);
    if (classes < 2 || classes > MAX_CLASSES) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "classes = %d is not in [2, %d]", classes, MAX_CLASSES);
    }
    mtl_metrics *metrics = mtli_allocate_zeroed(context, sizeof *metrics);
    if (!metrics) {
        return context->status;
    }
    metrics->confusion = mtli_allocate_zeroed(context, matrix_bytes(classes));
    if (!metrics->confusion) {
        mtli_release(context, metrics, sizeof *metrics);
        return context->status;
    }
    metrics->context = mtl_context_retain(context);
    metrics->classes = classes;
    *out = metrics;
    return MTL_OK;
}

void mtl_metrics_destroy(mtl_metrics *metrics)
{
    if (!metrics) {
        return;
    }
    mtl_context *context = metrics->context;
    mtli_release(context, metrics->confusion, matrix_bytes(metrics->classes));
    mtli_release(context, metrics, sizeof *metrics);
    mtl_context_release(context);
}

void mtl_metrics_clear(mtl_metrics *metrics)
{
    if (metrics) {
        memset(metrics->confusion, 0, matrix_bytes(metrics->classes));
        metrics->rows = 0;
        metrics->loss_sum = 0;
        metrics->loss_rows = 0;
    }
}

static mtl_status check_tensors(mtl_metrics *metrics, const mtl_tensor *logits, const mtl_tensor *labels)
{
    mtl_context *context = metrics->context;
    char a[MTLI_SHAPE_TEXT];
    char b[MTLI_SHAPE_TEXT];
    if (logits->kind == MTLI_TENSOR_ERROR || labels->kind == MTLI_TENSOR_ERROR) {
        return mtli_fail(context, MTL_ERROR_STATE, "logits or labels is the error tensor of a tape");
    }
    if (logits->shape.dtype != MTLI_DTYPE_REAL || labels->shape.dtype != MTL_INT32) {
        return mtli_fail(context, MTL_ERROR_DTYPE, "logits is %s and labels is %s; they must be real and int32",
                         mtli_dtype_name(logits->shape.dtype), mtli_dtype_name(labels->shape.dtype));
    }
    if (logits->shape.ndim != 2 || labels->shape.ndim != 1 || logits->shape.dims[1] != metrics->classes ||
        logits->shape.dims[0] != labels->shape.dims[0]) {
        return mtli_fail(context, MTL_ERROR_SHAPE,
                         "logits has shape %s, labels has shape %s: expected [rows, %d], [rows]",
                         mtli_shape_text(&logits->shape, a), mtli_shape_text(&labels->shape, b), metrics->classes);
    }
    return MTL_OK;
}

static mtl_status check_rows(mtl_metrics *metrics, const mtli_real *logits, const int32_t *labels, int64_t rows)
{
    for (int64_t r = 0; r < rows; r++) {
        if (labels[r] == MTL_LABEL_NONE) {
            continue;
        }
        if (labels[r] < 0 || labels[r] >= metrics->classes) {
            return mtli_fail(metrics->context, MTL_ERROR_ARGUMENT, "labels[%" PRId64 "] = %d is not in [0, %d)", r,
                             labels[r], metrics->classes);
        }
        for (int32_t c = 0; c < metrics->classes; c++) {
            if (isnan(logits[r * metrics->classes + c])) {
                return mtli_fail(metrics->context, MTL_ERROR_NUMERIC, "logits[%" PRId64 ", %d] is NaN", r, c);
            }
        }
    }
    return MTL_OK;
}

static int32_t first_largest(const mtli_real *row, int32_t classes)
{
    int32_t best = 0;
    for (int32_t c = 1; c < classes; c++) {
        best = row[c] > row[best] ? c : best;
    }
    return best;
}

mtl_status mtl_metrics_add(mtl_metrics *metrics, const mtl_tensor *logits, const mtl_tensor *labels)
{
    if (!metrics) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = metrics->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, logits);
    MTLI_REQUIRE(context, labels);
    mtl_status status = check_tensors(metrics, logits, labels);
    if (status != MTL_OK) {
        return status;
    }
    int32_t classes = metrics->classes;
    int64_t rows = labels->shape.dims[0];
    const mtli_real *values = logits->data;
    const int32_t *truth = labels->data;
    status = check_rows(metrics, values, truth, rows);
    for (int64_t r = 0; r < rows && status == MTL_OK; r++) {
        if (truth[r] != MTL_LABEL_NONE) {
            metrics->confusion[(int64_t)truth[r] * classes + first_largest(values + r * classes, classes)]++;
            metrics->rows++;
        }
    }
    return status;
}

mtl_status mtl_metrics_add_loss(mtl_metrics *metrics, double loss, int64_t rows)
{
    if (!metrics) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(metrics->context);
    if (rows < 1) {
        return mtli_fail(metrics->context, MTL_ERROR_ARGUMENT, "rows = %" PRId64 " is less than 1", rows);
    }
    if (rows > INT64_MAX - metrics->loss_rows) {
        return mtli_fail(metrics->context, MTL_ERROR_ARGUMENT, "rows = %" PRId64 ": with those before it overflows",
                         rows);
    }
    metrics->loss_sum += loss * (double)rows;
    metrics->loss_rows += rows;
    return MTL_OK;
}

int64_t mtl_metrics_rows(const mtl_metrics *metrics)
{
    return metrics ? metrics->rows : 0;
}

double mtl_metrics_accuracy(const mtl_metrics *metrics)
{
    if (!metrics || metrics->rows == 0) {
        return (double)NAN;
    }
    int64_t right = 0;
    for (int64_t c = 0; c < metrics->classes; c++) {
        right += metrics->confusion[c * metrics->classes + c];
    }
    return (double)right / (double)metrics->rows;
}

double mtl_metrics_macro_f1(const mtl_metrics *metrics)
{
    if (!metrics || metrics->rows == 0) {
        return (double)NAN;
    }
    int64_t classes = metrics->classes;
    double sum = 0;
    for (int64_t c = 0; c < classes; c++) {
        int64_t right = metrics->confusion[c * classes + c];
        int64_t marked = 0; /* true plus predicted: 2 TP + FP + FN */
        for (int64_t k = 0; k < classes; k++) {
            marked += metrics->confusion[c * classes + k] + metrics->confusion[k * classes + c];
        }
        sum += marked > 0 ? 2 * (double)right / (double)marked : 0;
    }
    return sum / (double)classes;
}

int64_t mtl_metrics_confusion(const mtl_metrics *metrics, int32_t label, int32_t predicted)
{
    bool there = metrics && label >= 0 && label < metrics->classes && predicted >= 0 && predicted < metrics->classes;
    return there ? metrics->confusion[(int64_t)label * metrics->classes + predicted] : 0;
}

double mtl_metrics_mean_loss(const mtl_metrics *metrics)
{
    return metrics && metrics->loss_rows > 0 ? metrics->loss_sum / (double)metrics->loss_rows : (double)NAN;
}
