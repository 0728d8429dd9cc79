/* SPDX-License-Identifier: Apache-2.0
 * One task of a linear fit: squared errors and the binary cross-entropy. */
#include "sharing/linear_task.h"

#include <math.h>

enum {
    LARGEST_GRAM = 1024, /* features: 8 MiB */
    NEWTON_STEPS = 100
};

static double inner_product(int64_t n, const double *a, const double *b)
{
    double sums[4] = {0, 0, 0, 0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        for (int k = 0; k < 4; k++) {
            sums[k] += a[i + k] * b[i + k];
        }
    }
    for (; i < n; i++) {
        sums[0] += a[i] * b[i];
    }
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

static const double *row_of(const mtli_linear_task *task, int64_t row)
{
    return task->x + row * task->features;
}

/* Preparation ----------------------------------------------------------------------------------------------------- */

bool mtli_linear_task_wants_gram(const mtli_linear_task *task)
{
    return !task->logistic && task->features <= LARGEST_GRAM && task->features <= 2 * task->rows;
}

static void take_means_off(mtli_linear_task *task)
{
    int64_t n = task->rows;
    int64_t d = task->features;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < d; j++) {
            task->means[j] += task->x[i * d + j];
        }
        task->y_mean += task->y[i];
    }
    for (int64_t j = 0; j < d; j++) {
        task->means[j] /= (double)n;
    }
    task->y_mean /= (double)n;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < d; j++) {
            task->x[i * d + j] -= task->means[j];
        }
        task->y[i] -= task->logistic ? 0 : task->y_mean;
    }
}

static void make_gram(mtli_linear_task *task)
{
    int64_t d = task->features;
    for (int64_t i = 0; i < task->rows; i++) {
        const double *row = row_of(task, i);
        for (int64_t j = 0; j < d; j++) {
            double factor = task->scale * row[j];
            task->moment[j] += factor * task->y[i];
            for (int64_t k = 0; k <= j && factor != 0; k++) {
                task->gram[j * d + k] += factor * row[k];
            }
        }
    }
    for (int64_t j = 0; j < d; j++) {
        for (int64_t k = 0; k < j; k++) {
            task->gram[k * d + j] = task->gram[j * d + k];
        }
    }
}

void mtli_linear_task_prepare(mtli_linear_task *task)
{
    for (int64_t j = 0; j < task->features; j++) {
        task->means[j] = 0;
    }
    task->y_mean = 0;
    task->offset = 0;
    if (task->fit_bias && task->rows > 0) {
        take_means_off(task);
    }
    if (task->gram) {
        for (int64_t j = 0; j < task->features * task->features; j++) {
            task->gram[j] = 0;
        }
        for (int64_t j = 0; j < task->features; j++) {
            task->moment[j] = 0;
        }
        make_gram(task);
    }
}

/* The binary cross-entropy ---------------------------------------------------------------------------------------- */

static double sigmoid_of(double z)
{
    double e = exp(-fabs(z));
    return z >= 0 ? 1 / (1 + e) : e / (1 + e);
}

static double softplus_of(double z)
{
    return fmax(z, 0) + log1p(exp(-fabs(z)));
}

/* u = σ(z + offset) - y; returns its sum, and its derivative by offset. */
static double offset_slope(mtli_linear_task *task, double offset, double *curvature)
{
    double sum = 0;
    double slope = 0;
    for (int64_t i = 0; i < task->rows; i++) {
        double p = sigmoid_of(task->z[i] + offset);
        task->u[i] = p - task->y[i];
        sum += task->u[i];
        slope += p * (1 - p);
    }
    *curvature = slope;
    return sum;
}

/* Where the best offset lies: at the ends all σ are on one side of the mean target. Targets that are all 0 or all 1
 * have none; 40 makes every σ equal to them in double precision. */
static void bracket_offset(const mtli_linear_task *task, double *low, double *high)
{
    double least = task->z[0];
    double most = task->z[0];
    for (int64_t i = 1; i < task->rows; i++) {
        least = fmin(least, task->z[i]);
        most = fmax(most, task->z[i]);
    }
    double mean = task->y_mean;
    double middle = mean <= 0 ? -40 : mean >= 1 ? 40 : fmax(-40, fmin(40, log(mean / (1 - mean))));
    *low = middle - most;
    *high = middle - least;
}

/* Newton's method, kept inside a bracket. Sets offset and u. */
static void best_offset(mtli_linear_task *task)
{
    double low;
    double high;
    bracket_offset(task, &low, &high);
    double offset = fmax(low, fmin(high, task->offset));
    for (int step = 0; step < NEWTON_STEPS; step++) {
        double curvature;
        double slope = offset_slope(task, offset, &curvature);
        *(slope > 0 ? &high : &low) = offset;
        double next = offset - slope / curvature;
        if (!(next > low && next < high)) {
            next = low + (high - low) / 2;
        }
        bool close = fabs(next - offset) <= 1e-15 * (1 + fabs(offset)) || fabs(slope) <= 1e-15 * (double)task->rows;
        if (slope == 0 || close || next == low || next == high) {
            break;
        }
        offset = next;
    }
    task->offset = offset;
}

static double cross_entropy_loss(const mtli_linear_task *task)
{
    double sum = 0;
    for (int64_t i = 0; i < task->rows; i++) {
        double z = task->z[i] + task->offset;
        /* softplus(z) - y z, by the side on which it does not cancel */
        sum += z > 0 ? softplus_of(-z) + (1 - task->y[i]) * z : softplus_of(z) - task->y[i] * z;
    }
    return sum;
}

/* softplus(z + delta) - softplus(z) - p delta, for p = σ(z) */
static double softplus_divergence(double z, double p, double delta)
{
    if (fabs(delta) < 1e-5) {
        return p * (1 - p) * delta * delta * (0.5 + (1 - 2 * p) * delta / 6);
    }
    if (fabs(delta) < 1) {
        return log1p(p * expm1(delta)) - p * delta;
    }
    return softplus_of(z + delta) - softplus_of(z) - p * delta;
}

/* x log x, 0 at 0 */
static double entropy_part(double x)
{
    return x > 0 ? x * log(x) : 0;
}

/* Passes over the rows -------------------------------------------------------------------------------------------- */

static void predict_rows(mtli_linear_task *task, const double *w)
{
    for (int64_t i = 0; i < task->rows; i++) {
        task->z[i] = inner_product(task->features, row_of(task, i), w);
    }
}

/* Sets u at the best bias. */
static void derive_rows(mtli_linear_task *task)
{
    double curvature;
    if (task->rows == 0) {
        return;
    }
    if (!task->logistic) {
        for (int64_t i = 0; i < task->rows; i++) {
            task->u[i] = task->z[i] - task->y[i];
        }
    } else if (task->fit_bias) {
        best_offset(task);
    } else {
        (void)offset_slope(task, 0, &curvature);
    }
}

static void collect_gradient(const mtli_linear_task *task, double *g)
{
    int64_t d = task->features;
    for (int64_t j = 0; j < d; j++) {
        g[j] = 0;
    }
    for (int64_t i = 0; i < task->rows; i++) {
        const double *row = row_of(task, i);
        double factor = task->scale * task->u[i];
        for (int64_t j = 0; j < d; j++) {
            g[j] += factor * row[j];
        }
    }
}

void mtli_linear_task_gradient(mtli_linear_task *task, const double *w, double *g)
{
    int64_t d = task->features;
    if (task->gram) {
        for (int64_t j = 0; j < d; j++) {
            g[j] = inner_product(d, task->gram + j * d, w) - task->moment[j];
        }
        return;
    }
    predict_rows(task, w);
    derive_rows(task);
    collect_gradient(task, g);
}

double mtli_linear_task_divergence(const mtli_linear_task *task, const double *delta)
{
    int64_t d = task->features;
    double sum = 0;
    if (task->gram) {
        for (int64_t j = 0; j < d; j++) {
            sum += delta[j] * inner_product(d, task->gram + j * d, delta);
        }
        return sum / 2;
    }
    for (int64_t i = 0; i < task->rows; i++) {
        double step = inner_product(d, row_of(task, i), delta);
        sum += task->logistic ? softplus_divergence(task->z[i] + task->offset, task->u[i] + task->y[i], step)
                              : step * step / 2;
    }
    return task->scale * sum;
}

/* The residuals of centered data have mean 0 but for rounding; the gap wants it exactly. */
static void center_residuals(mtli_linear_task *task)
{
    double mean = 0;
    for (int64_t i = 0; i < task->rows; i++) {
        mean += task->u[i];
    }
    mean /= (double)task->rows;
    for (int64_t i = 0; i < task->rows; i++) {
        task->u[i] -= mean;
    }
}

void mtli_linear_task_judge(mtli_linear_task *task, const double *w, double *g)
{
    predict_rows(task, w);
    derive_rows(task);
    if (!task->logistic && task->fit_bias && task->rows > 0) {
        center_residuals(task);
    }
    collect_gradient(task, g);
    task->loss =
        task->scale * (task->logistic ? cross_entropy_loss(task) : inner_product(task->rows, task->u, task->u) / 2);
}

/* Duality --------------------------------------------------------------------------------------------------------- */

void mtli_linear_task_conjugate_squares(const mtli_linear_task *task, double *linear, double *square)
{
    *linear = task->scale * inner_product(task->rows, task->u, task->y);
    *square = task->scale * inner_product(task->rows, task->u, task->u) / 2;
}

double mtli_linear_task_conjugate(const mtli_linear_task *task, double factor)
{
    double sum = 0;
    if (!task->logistic) {
        double linear;
        double square;
        mtli_linear_task_conjugate_squares(task, &linear, &square);
        return factor * (linear + factor * square);
    }
    for (int64_t i = 0; i < task->rows; i++) {
        double p = task->y[i] + factor * task->u[i];
        sum += entropy_part(p) + entropy_part(1 - p);
    }
    return task->scale * sum;
}

/* Others -------------------------------------------------------------------------------------------------------- */

double mtli_linear_task_curvature(const mtli_linear_task *task)
{
    int64_t d = task->features;
    double most = 0;
    for (int64_t j = 0; j < d; j++) {
        double sum = 0;
        for (int64_t i = 0; i < task->rows; i++) {
            sum += task->x[i * d + j] * task->x[i * d + j];
        }
        most = fmax(most, sum);
    }
    return task->scale * most * (task->logistic ? 0.25 : 1);
}

double mtli_linear_task_bias(const mtli_linear_task *task, const double *w)
{
    double base = task->logistic ? task->offset : task->y_mean;
    return base - inner_product(task->features, task->means, w);
}
