/* SPDX-License-Identifier: Apache-2.0
 * Functions of singular values for doubles, by the eigenvectors of the Gram matrix of the short side. The singular
 * values are measured again along these vectors: what squaring lost of the small ones comes back to rounding of the
 * largest. */
#include "sharing/spectral_double.h"

#include <math.h>
#include <string.h>

#include "linalg/gram.h"
#include "linalg/symmetric.h"

/* X [n, count] with its columns apart, and what is found of it. */
typedef struct small_spectrum {
    int32_t count;
    int64_t n, side;
    bool of_columns; /* side is count, else n */
    const double *const *x;
    double *vectors; /* [side, side]: row k is the k-th singular vector of the short side */
    double *product; /* [side, side] */
    double *sigma;   /* [count] */
    double *factor;  /* [count] */
    double *row;     /* [side] */
    double *eigen;   /* work */
} small_spectrum;

static size_t spectrum_doubles(int32_t count, int64_t n)
{
    size_t side = (size_t)(count < n ? count : n);
    return 2 * side * side + 2 * (size_t)count + side + mtli_symmetric_work((int64_t)side);
}

static small_spectrum spectrum_of(int32_t count, int64_t n, const double *const *x, double *work)
{
    bool of_columns = count <= n;
    int64_t side = of_columns ? count : n;
    small_spectrum s = {.count = count, .n = n, .side = side, .of_columns = of_columns, .x = x};
    s.vectors = work;
    s.product = s.vectors + side * side;
    s.sigma = s.product + side * side;
    s.factor = s.sigma + count;
    s.row = s.factor + count;
    s.eigen = s.row + side;
    return s;
}

static void gram_of_rows(const small_spectrum *s, double *g)
{
    memset(g, 0, (size_t)(s->side * s->side) * sizeof *g);
    for (int32_t t = 0; t < s->count; t++) {
        for (int64_t i = 0; i < s->n; i++) {
            for (int64_t j = 0; j < s->n; j++) {
                g[i * s->n + j] += s->x[t][i] * s->x[t][j];
            }
        }
    }
}

/* ‖X v‖ or ‖Xᵀ v‖. */
static double length_along(const small_spectrum *s, const double *v)
{
    double sum = 0;
    for (int64_t i = 0; s->of_columns && i < s->n; i++) {
        double dot = 0;
        for (int32_t t = 0; t < s->count; t++) {
            dot += s->x[t][i] * v[t];
        }
        sum += dot * dot;
    }
    for (int32_t t = 0; !s->of_columns && t < s->count; t++) {
        double dot = 0;
        for (int64_t i = 0; i < s->n; i++) {
            dot += s->x[t][i] * v[i];
        }
        sum += dot * dot;
    }
    return sqrt(sum);
}

/* Measured values may be out of order by rounding: the k-th goes to its place among those before it. */
static void insert_value(small_spectrum *s, int64_t k, double value)
{
    double *v = s->vectors;
    int64_t side = s->side;
    while (k > 0 && s->sigma[k - 1] < value) {
        s->sigma[k] = s->sigma[k - 1];
        for (int64_t j = 0; j < side; j++) {
            double upper = v[(k - 1) * side + j];
            v[(k - 1) * side + j] = v[k * side + j];
            v[k * side + j] = upper;
        }
        k--;
    }
    s->sigma[k] = value;
}

static bool decompose_small(small_spectrum *s)
{
    memset(s->sigma, 0, (size_t)s->count * sizeof *s->sigma);
    if (s->of_columns) {
        mtli_gram_vectors_double(s->count, s->n, s->x, s->vectors);
    } else {
        gram_of_rows(s, s->vectors);
    }
    if (!mtli_symmetric_eigen(s->side, s->vectors, s->factor, s->eigen)) {
        return false;
    }
    for (int64_t k = 0; k < s->side; k++) {
        insert_value(s, k, length_along(s, s->vectors + k * s->side));
    }
    return true;
}

/* product = Σ_k factor[k] v_k v_kᵀ */
static void fill_product(const small_spectrum *s)
{
    int64_t side = s->side;
    memset(s->product, 0, (size_t)(side * side) * sizeof *s->product);
    for (int64_t k = 0; k < side; k++) {
        const double *v = s->vectors + k * side;
        for (int64_t i = 0; i < side && s->factor[k] != 0; i++) {
            for (int64_t j = 0; j < side; j++) {
                s->product[i * side + j] += s->factor[k] * v[i] * v[j];
            }
        }
    }
}

/* out = row * product, which is symmetric. */
static void multiply_product(const small_spectrum *s, double *out)
{
    int64_t side = s->side;
    memset(out, 0, (size_t)side * sizeof *out);
    for (int64_t i = 0; i < side; i++) {
        for (int64_t j = 0; j < side; j++) {
            out[j] += s->row[i] * s->product[i * side + j];
        }
    }
}

/* y = keep * y + scale * X V diag(factor) Vᵀ. y may be X with keep 0. The vectors are used up. */
static void apply_product(const small_spectrum *s, double scale, double keep, double *const *y)
{
    double *out = s->vectors;
    fill_product(s);
    for (int64_t i = 0; s->of_columns && i < s->n; i++) {
        for (int32_t t = 0; t < s->count; t++) {
            s->row[t] = s->x[t][i];
        }
        multiply_product(s, out);
        for (int32_t t = 0; t < s->count; t++) {
            y[t][i] = (keep != 0 ? y[t][i] : 0) + scale * out[t];
        }
    }
    for (int32_t t = 0; !s->of_columns && t < s->count; t++) {
        memcpy(s->row, s->x[t], (size_t)s->n * sizeof *s->row);
        multiply_product(s, out);
        for (int64_t i = 0; i < s->n; i++) {
            y[t][i] = (keep != 0 ? y[t][i] : 0) + scale * out[i];
        }
    }
}

/* ---- columns ---- */

size_t mtli_columns_work_double(int32_t count, int64_t n)
{
    return spectrum_doubles(count, n) * sizeof(double);
}

bool mtli_columns_singular_values_double(mtl_context *context, int32_t count, int64_t n, const double *const *x,
                                         double *values, void *work)
{
    (void)context;
    small_spectrum s = spectrum_of(count, n, x, work);
    if (!decompose_small(&s)) {
        return false;
    }
    memcpy(values, s.sigma, (size_t)count * sizeof *values);
    return true;
}

static bool transform_small(small_spectrum *s, mtli_spectral_fn function, const void *argument, double scale,
                            double keep, double *const *y, double *sigma)
{
    if (!decompose_small(s)) {
        return false;
    }
    function(argument, s->count, s->sigma, s->factor);
    memcpy(sigma, s->sigma, (size_t)s->count * sizeof *sigma);
    apply_product(s, scale, keep, y);
    return true;
}

bool mtli_columns_add_double(mtl_context *context, int32_t count, int64_t n, const double *const *x,
                             mtli_spectral_fn function, const void *argument, double scale, double *const *y,
                             double *sigma, void *work)
{
    (void)context;
    small_spectrum s = spectrum_of(count, n, x, work);
    return transform_small(&s, function, argument, scale, 1, y, sigma);
}

bool mtli_columns_transform_double(mtl_context *context, int32_t count, int64_t n, double *const *x,
                                   mtli_spectral_fn function, const void *argument, double *sigma, void *work)
{
    (void)context;
    small_spectrum s = spectrum_of(count, n, (const double *const *)x, work);
    return transform_small(&s, function, argument, 1, 0, x, sigma);
}

/* ---- matrices: their rows are columns of the transpose, which has the same singular values ---- */

static size_t pointer_bytes(int64_t rows)
{
    return ((size_t)rows * sizeof(double *) + 63) / 64 * 64;
}

size_t mtli_spectral_work_double(mtl_context *context, int64_t rows, int64_t columns)
{
    (void)context;
    return 2 * pointer_bytes(rows) + ((size_t)rows + spectrum_doubles((int32_t)rows, columns)) * sizeof(double);
}

/* The rows of a and of b, their singular values, and the work that is left. */
typedef struct row_view {
    const double **a;
    double **b;
    double *sigma;
    double *work;
} row_view;

static row_view view_rows(int64_t rows, int64_t columns, const double *a, double *b, void *work)
{
    char *bytes = work;
    row_view view = {(const double **)(void *)bytes, (double **)(void *)(bytes + pointer_bytes(rows)), NULL, NULL};
    view.sigma = (double *)(void *)(bytes + 2 * pointer_bytes(rows));
    view.work = view.sigma + rows;
    for (int64_t i = 0; i < rows; i++) {
        view.a[i] = a + i * columns;
        view.b[i] = b ? b + i * columns : NULL;
    }
    return view;
}

bool mtli_singular_values_double(mtl_context *context, int64_t rows, int64_t columns, const double *a, double *values,
                                 void *work)
{
    row_view view = view_rows(rows, columns, a, NULL, work);
    if (!mtli_columns_singular_values_double(context, (int32_t)rows, columns, view.a, view.sigma, view.work)) {
        return false;
    }
    memcpy(values, view.sigma, (size_t)(rows < columns ? rows : columns) * sizeof *values);
    return true;
}

/* 1 / sigma, where sigma stands out of the rounding of a Gram matrix. */
static void invert_values(const void *argument, int32_t count, const double *sigma, double *factor)
{
    (void)argument;
    for (int32_t k = 0; k < count; k++) {
        factor[k] = sigma[k] > 3e-8 * sqrt((double)count) * sigma[0] ? 1 / sigma[k] : 0;
    }
}

bool mtli_trace_norm_double(mtl_context *context, int64_t rows, int64_t columns, const double *a, double *norm,
                            double *polar, void *work)
{
    row_view view = view_rows(rows, columns, a, polar, work);
    small_spectrum s = spectrum_of((int32_t)rows, columns, view.a, view.work);
    (void)context;
    if (!decompose_small(&s)) {
        return false;
    }
    double sum = 0;
    for (int64_t k = 0; k < s.side; k++) {
        sum += s.sigma[k];
    }
    *norm = sum;
    if (polar) {
        invert_values(NULL, s.count, s.sigma, s.factor);
        apply_product(&s, 1, 0, view.b);
    }
    return true;
}

static void threshold_values(const void *argument, int32_t count, const double *sigma, double *factor)
{
    double tau = *(const double *)argument;
    for (int32_t k = 0; k < count; k++) {
        factor[k] = sigma[k] > tau ? 1 - tau / sigma[k] : 0;
    }
}

bool mtli_singular_value_threshold_double(mtl_context *context, int64_t rows, int64_t columns, double *a, double tau,
                                          void *work)
{
    row_view view = view_rows(rows, columns, a, a, work);
    return mtli_columns_transform_double(context, (int32_t)rows, columns, view.b, threshold_values, &tau, view.sigma,
                                         view.work);
}
