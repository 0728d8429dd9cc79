/* SPDX-License-Identifier: Apache-2.0
 * Linear tasks with rows of their own, for the tests of mtl_linear_fit(). */
#include "linear_tasks.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double linear_tasks_number(uint64_t index)
{
    uint64_t z = (index + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (double)(z >> 11) / 4503599627370496.0 - 1;
}

/* Features are not centered, so that the bias matters. */
static void draw_task(const linear_tasks *tasks, int32_t t, bool logistic, double *x, double *y)
{
    int64_t d = tasks->features;
    for (int64_t i = 0; i < tasks->rows[t]; i++) {
        uint64_t base = ((uint64_t)t << 32) + (uint64_t)i * 4096;
        double sum = 0.5 + 0.3 * linear_tasks_number(base + 4000);
        for (int64_t j = 0; j < d; j++) {
            x[i * d + j] = (double)(float)(linear_tasks_number(base + (uint64_t)j) + 0.25 * (double)(j % 3));
            double weight =
                (1 + 0.5 * linear_tasks_number(9000 + (uint64_t)t)) * linear_tasks_number(7000 + (uint64_t)j);
            sum += weight * x[i * d + j] * (j % 2 == 0 ? 1 : 0.1);
        }
        y[i] = logistic ? (sum + 0.7 * linear_tasks_number(base + 4001) > 0.6) : (double)(float)sum;
    }
}

static mtl_status make_task(linear_tasks *tasks, int32_t t, bool logistic)
{
    size_t size = (size_t)(tasks->rows[t] * tasks->features);
    const int64_t shape[] = {tasks->rows[t], tasks->features};
    mtl_status status = mtl_tensor_create(tasks->context, MTL_FLOAT32, 2, shape, &tasks->x[t]);
    if (status == MTL_OK) {
        status = mtl_tensor_create(tasks->context, MTL_FLOAT32, 1, shape, &tasks->y[t]);
    }
    double *values = malloc((size + (size_t)tasks->rows[t] + 1) * sizeof values[0]);
    if (status == MTL_OK && values) {
        draw_task(tasks, t, logistic, values, values + size);
        status = mtl_tensor_write(tasks->x[t], MTL_FLOAT64, values, size);
        status = status == MTL_OK ? mtl_tensor_write(tasks->y[t], MTL_FLOAT64, values + size, (size_t)tasks->rows[t])
                                  : status;
    }
    free(values);
    return status;
}

static mtl_status make_head(linear_tasks *tasks, int32_t t, bool logistic)
{
    mtl_head *head = NULL;
    mtl_status status = logistic ? mtl_head_create_multilabel(tasks->context, tasks->features, 1, NULL, &head)
                                 : mtl_head_create_regressor(tasks->context, tasks->features, 1, NULL, &head);
    if (status == MTL_OK) {
        status = mtl_model_add_head(tasks->model, tasks->names[t], head);
    }
    mtl_head_release(head);
    return status;
}

/* Names for any number of tests: static, for they are only read. */
static const char *task_name(int32_t t)
{
    static const char *const tens[] = {"t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9"};
    static char names[LINEAR_MOST_TASKS][8];
    if (t < 10) {
        return tens[t];
    }
    snprintf(names[t], sizeof names[t], "t%d", (int)t);
    return names[t];
}

mtl_status linear_tasks_create(mtl_context *context, int32_t count, int64_t features, const int64_t *rows, int kind,
                               linear_tasks *out)
{
    memset(out, 0, sizeof *out);
    out->context = context;
    out->count = count;
    out->features = features;
    mtl_status status = mtl_model_create(context, NULL, &out->model);
    for (int32_t t = 0; t < count && status == MTL_OK; t++) {
        bool logistic = kind == LINEAR_LOGISTIC || (kind == LINEAR_MIXED && t % 2 == 1);
        out->names[t] = task_name(t);
        out->rows[t] = rows[t];
        status = make_head(out, t, logistic);
        status = status == MTL_OK ? make_task(out, t, logistic) : status;
    }
    double *zeros = calloc((size_t)count * (size_t)(features + 1), sizeof zeros[0]);
    if (status == MTL_OK && zeros) {
        status = linear_tasks_write(out, zeros, zeros);
    }
    free(zeros);
    return status;
}

void linear_tasks_destroy(linear_tasks *tasks)
{
    for (int32_t t = 0; t < tasks->count; t++) {
        mtl_tensor_release(tasks->x[t]);
        mtl_tensor_release(tasks->y[t]);
    }
    mtl_model_destroy(tasks->model);
}

mtl_status linear_tasks_penalty(const linear_tasks *tasks, int32_t kind, int32_t setting, double coefficient,
                                mtl_penalty **out)
{
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    options.kind = kind;
    options.form = setting;
    options.unfolding = setting;
    options.group = setting;
    options.clusters = setting;
    options.coefficient = coefficient;
    options.parameters = "weight";
    return mtl_penalty_create(tasks->model, tasks->names, tasks->count, &options, out);
}

mtl_status linear_tasks_fit(const linear_tasks *tasks, mtl_penalty *const *penalties, int32_t count,
                            const mtl_linear_options *options, mtl_linear_report *report)
{
    return mtl_linear_fit(tasks->model, tasks->names, tasks->count, tasks->x, tasks->y, penalties, count, options,
                          report);
}

static mtl_tensor *part_of_head(const linear_tasks *tasks, int32_t t, const char *name)
{
    return mtl_head_parameter(mtl_model_head(tasks->model, tasks->names[t]), name);
}

mtl_status linear_tasks_read(const linear_tasks *tasks, double *w, double *b)
{
    mtl_status status = MTL_OK;
    size_t d = (size_t)tasks->features;
    for (int32_t t = 0; t < tasks->count && status == MTL_OK; t++) {
        status = w ? mtl_tensor_read(part_of_head(tasks, t, "weight"), MTL_FLOAT64, w + (size_t)t * d, d) : MTL_OK;
        if (status == MTL_OK && b) {
            status = mtl_tensor_read(part_of_head(tasks, t, "bias"), MTL_FLOAT64, b + t, 1);
        }
    }
    return status;
}

mtl_status linear_tasks_write(const linear_tasks *tasks, const double *w, const double *b)
{
    mtl_status status = MTL_OK;
    size_t d = (size_t)tasks->features;
    for (int32_t t = 0; t < tasks->count && status == MTL_OK; t++) {
        status = mtl_tensor_write(part_of_head(tasks, t, "weight"), MTL_FLOAT64, w + (size_t)t * d, d);
        if (status == MTL_OK) {
            status = mtl_tensor_write(part_of_head(tasks, t, "bias"), MTL_FLOAT64, b + t, 1);
        }
    }
    return status;
}

double linear_tasks_loss(const linear_tasks *tasks, int32_t t, const double *w, double b, double *gradient)
{
    int64_t d = tasks->features;
    int64_t n = tasks->rows[t];
    bool logistic = mtl_head_kind(mtl_model_head(tasks->model, tasks->names[t])) == MTL_HEAD_MULTILABEL;
    double *x = calloc((size_t)(n * (d + 1)) + 1, sizeof x[0]);
    double *y = x + n * d;
    double sum = 0;
    mtl_status status = mtl_tensor_read(tasks->x[t], MTL_FLOAT64, x, (size_t)(n * d));
    status = status == MTL_OK ? mtl_tensor_read(tasks->y[t], MTL_FLOAT64, y, (size_t)n) : status;
    for (int64_t j = 0; gradient && j <= d; j++) {
        gradient[j] = 0;
    }
    for (int64_t i = 0; i < n && status == MTL_OK; i++) {
        double z = b;
        for (int64_t j = 0; j < d; j++) {
            z += w[j] * x[i * d + j];
        }
        double slope = logistic ? 1 / (1 + exp(-z)) - y[i] : z - y[i];
        sum += logistic ? log1p(exp(-fabs(z))) + fmax(z, 0) - y[i] * z : slope * slope / 2;
        for (int64_t j = 0; gradient && j <= d; j++) {
            gradient[j] += slope * (j < d ? x[i * d + j] : 1) / (double)n;
        }
    }
    free(x);
    return n > 0 ? sum / (double)n : 0;
}

void linear_tasks_solve(int64_t n, double *a, double *b)
{
    for (int64_t k = 0; k < n; k++) {
        int64_t pivot = k;
        for (int64_t i = k + 1; i < n; i++) {
            pivot = fabs(a[i * n + k]) > fabs(a[pivot * n + k]) ? i : pivot;
        }
        for (int64_t j = 0; j < n; j++) {
            double kept = a[k * n + j];
            a[k * n + j] = a[pivot * n + j];
            a[pivot * n + j] = kept;
        }
        double kept = b[k];
        b[k] = b[pivot];
        b[pivot] = kept;
        for (int64_t i = k + 1; i < n; i++) {
            double factor = a[i * n + k] / a[k * n + k];
            for (int64_t j = k; j < n; j++) {
                a[i * n + j] -= factor * a[k * n + j];
            }
            b[i] -= factor * b[k];
        }
    }
    for (int64_t k = n - 1; k >= 0; k--) {
        for (int64_t j = k + 1; j < n; j++) {
            b[k] -= a[k * n + j] * b[j];
        }
        b[k] /= a[k * n + k];
    }
}
