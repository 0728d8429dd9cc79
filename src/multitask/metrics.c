/* SPDX-License-Identifier: Apache-2.0
 * Metrics of a classification task, from its confusion matrix; and of all tasks beside a baseline. */
#include <mtl/metrics.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include <mtl/loss.h>

#include "multitask/state.h"
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

static mtl_status check_measured(mtl_context *context, const double *measures, const double *baselines, int32_t t)
{
    if (!isfinite(measures[t])) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "measures[%d] = %g is not finite", t, measures[t]);
    }
    if (!isfinite(baselines[t]) || baselines[t] == 0) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "baselines[%d] = %g is 0 or not finite", t, baselines[t]);
    }
    return MTL_OK;
}

mtl_status mtl_delta_m(mtl_context *context, int32_t count, const double *measures, const double *baselines,
                       const int32_t *lower_is_better, double *out)
{
    if (!context) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(context);
    MTLI_REQUIRE(context, measures);
    MTLI_REQUIRE(context, baselines);
    MTLI_REQUIRE(context, out);
    if (count < 1) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "count = %d is less than 1", count);
    }
    double sum = 0;
    for (int32_t t = 0; t < count; t++) {
        mtl_status status = check_measured(context, measures, baselines, t);
        if (status != MTL_OK) {
            return status;
        }
        double change = (measures[t] - baselines[t]) / fabs(baselines[t]);
        sum += lower_is_better && lower_is_better[t] ? -change : change;
    }
    if (!isfinite(sum)) {
        return mtli_fail(context, MTL_ERROR_NUMERIC, "the relative changes are beyond the range of a double");
    }
    *out = sum / (double)count;
    return MTL_OK;
}

/* ---- for checkpoints ---- */

mtl_context *mtli_metrics_context(const mtl_metrics *metrics)
{
    return metrics->context;
}

static void get_confusion(const void *self, void *values)
{
    const mtl_metrics *metrics = self;
    memcpy(values, metrics->confusion, matrix_bytes(metrics->classes));
}

static void put_confusion(void *self, const void *values)
{
    mtl_metrics *metrics = self;
    memcpy(metrics->confusion, values, matrix_bytes(metrics->classes));
    metrics->rows = 0;
    for (int64_t i = 0; i < (int64_t)metrics->classes * metrics->classes; i++) {
        metrics->rows += metrics->confusion[i];
    }
}

/* Sums of counts are doubled for F1. */
static const char *counts_fault(const void *self, const void *values, int64_t count)
{
    const int64_t most = INT64_MAX / 4;
    int64_t sum = 0;
    (void)self;
    for (int64_t i = 0; i < count; i++) {
        int64_t value = ((const int64_t *)values)[i];
        if (value < 0 || value > most - sum) {
            return "holds a number of rows that is negative or too large";
        }
        sum += value;
    }
    return NULL;
}

mtl_status mtli_metrics_visit(mtl_metrics *metrics, const mtli_state_visitor *visitor)
{
    const int64_t classes = metrics->classes;
    const mtli_state_array arrays[] = {
        {.name = {"confusion"},
         .type = MTLI_STATE_INTEGER,
         .count = classes * classes,
         .self = metrics,
         .get = get_confusion,
         .put = put_confusion,
         .fault = counts_fault},
        {.name = {"loss_rows"},
         .type = MTLI_STATE_INTEGER,
         .count = 1,
         .data = &metrics->loss_rows,
         .fault = counts_fault},
        {.name = {"loss_sum"},
         .type = MTLI_STATE_DOUBLE,
         .count = 1,
         .data = &metrics->loss_sum,
         .may_be_nonfinite = true},
    };
    mtl_status status = visitor->fixed.integer(visitor->fixed.user, "classes", classes);
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0] && status == MTL_OK; i++) {
        status = visitor->array(visitor->fixed.user, &arrays[i]);
    }
    return status;
}
