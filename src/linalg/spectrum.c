/* SPDX-License-Identifier: Apache-2.0
 * Singular values and right vectors from the Gram matrix of the short side.
 *
 * What squaring costs: the Gram matrix and its eigenvalues are good to eps = 2^-52 times the largest, a few times over,
 * so a singular value is good to eps (sigma_1 / sigma_k)² of itself, and below sqrt(eps) sigma_1 it is lost.
 * - Data in float carry errors of 2^-24 sigma_1 themselves, about sqrt(eps) sigma_1: nothing that means anything is
 *   lost.
 * - Data in double (the double build) carry more. There, when the smallest singular value lies below sigma_1 / 16 (so
 *   that less than twelve or thirteen digits are left), the decomposition is finished on the long side: the rows X v_k
 *   are nearly orthogonal, and rotations between them (Hestenes 1958) make them so to the length of each, which gives
 *   every singular value to eps sigma_1. This takes a copy of X; callers with columns that lie apart do without. */
#include "linalg/spectrum.h"

#include <math.h>
#include <string.h>

#include "linalg/dense.h"
#include "linalg/gram.h"
#include "linalg/jacobi.h"
#include "linalg/polar.h"
#include "linalg/symmetric.h"

static const double UNIT = 2.220446049250313e-16;

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Doubles, in pieces of whole cache lines. */
static size_t in_lines(size_t doubles)
{
    return (doubles + 7) / 8 * 8;
}

static size_t scratch_size(int64_t count)
{
    size_t square = (size_t)(count * count);
    size_t sizes = larger(mtli_symmetric_work(count), square + mtli_dense_work(count));
    return in_lines(larger(sizes, mtli_inverse_root_work(count)));
}

static bool needs_turning(bool with_turned)
{
    return with_turned && sizeof(mtli_real) == sizeof(double);
}

size_t mtli_spectrum_work(int64_t count, int64_t n, bool with_turned)
{
    size_t square = in_lines((size_t)(count * count));
    size_t doubles = 2 * square + 2 * in_lines((size_t)count) + scratch_size(count) + in_lines(mtli_sheet_work(count));
    size_t turned = needs_turning(with_turned) ? (size_t)count * (size_t)n : 0;
    return doubles * sizeof(double) + turned * sizeof(mtli_real);
}

void mtli_spectrum_begin(mtl_context *context, const mtli_sheet *x, bool with_turned, void *work, mtli_spectrum *out)
{
    size_t square = in_lines((size_t)(x->count * x->count));
    size_t line = in_lines((size_t)x->count);
    *out = (mtli_spectrum){.context = context, .x = *x};
    out->vectors = work;
    out->matrix = out->vectors + square;
    out->sigma = out->matrix + square;
    out->factor = out->sigma + line;
    out->scratch = out->factor + line;
    out->strips = out->scratch + scratch_size(x->count);
    if (needs_turning(with_turned)) {
        void *turned = out->strips + in_lines(mtli_sheet_work(x->count));
        out->turned = turned;
    }
}

bool mtli_spectrum_gram(mtli_spectrum *spectrum)
{
    const mtli_sheet *x = &spectrum->x;
    if (x->vectors) {
        mtli_gram_vectors(spectrum->context, (int32_t)x->count, x->n, x->vectors, spectrum->vectors);
    } else {
        bool by_columns = !mtli_sheet_by_vectors(x);
        mtli_gram_matrix(spectrum->context, by_columns, by_columns ? x->n : x->count, by_columns ? x->count : x->n,
                         x->base, spectrum->vectors);
    }
    double trace = 0; /* a bad element spoils it */
    for (int64_t i = 0; i < x->count; i++) {
        trace += spectrum->vectors[i * x->count + i];
    }
    return trace <= 1.7976931348623157e308;
}

/* turned = V X, orthogonal rows; sigma are their lengths. */
static bool turn_rows(mtli_spectrum *spectrum)
{
    const mtli_products *products = mtli_products_of(spectrum->context);
    int64_t count = spectrum->x.count;
    int64_t n = spectrum->x.n;
    mtli_sheet_out out = {.base = spectrum->turned, .vector_stride = n, .value_stride = 1};
    mtli_sheet_transform(spectrum->context, &spectrum->x, spectrum->vectors, &out, spectrum->strips);
    void *rows = spectrum->turned; /* doubles: see needs_turning() */
    double *b = rows;
    if (!mtli_jacobi_orthogonalize(products, count, n, b, spectrum->vectors)) {
        return false;
    }
    for (int64_t k = 0; k < count; k++) {
        spectrum->sigma[k] = sqrt(products->dot(n, b + k * n, b + k * n));
    }
    spectrum->is_turned = true;
    return true;
}

/* Rotations leave the rows in an order of their own. */
static void sort_turned(mtli_spectrum *spectrum)
{
    void *rows = spectrum->turned;
    double *b = rows;
    int64_t count = spectrum->x.count;
    int64_t n = spectrum->x.n;
    for (int64_t i = 0; i < count; i++) {
        int64_t best = i;
        for (int64_t j = i + 1; j < count; j++) {
            best = spectrum->sigma[j] > spectrum->sigma[best] ? j : best;
        }
        for (int64_t k = 0; best != i && k < n; k++) {
            double value = b[i * n + k];
            b[i * n + k] = b[best * n + k];
            b[best * n + k] = value;
        }
        for (int64_t k = 0; best != i && k < count; k++) {
            double value = spectrum->vectors[i * count + k];
            spectrum->vectors[i * count + k] = spectrum->vectors[best * count + k];
            spectrum->vectors[best * count + k] = value;
        }
        double value = spectrum->sigma[i];
        spectrum->sigma[i] = spectrum->sigma[best];
        spectrum->sigma[best] = value;
    }
}

/* Everything below `least` is 0. */
static void cut_off(mtli_spectrum *spectrum, double least)
{
    for (int64_t k = 0; k < spectrum->x.count; k++) {
        if (!(spectrum->sigma[k] > least)) {
            spectrum->sigma[k] = 0;
        }
    }
}

bool mtli_spectrum_decompose(mtli_spectrum *spectrum)
{
    int64_t count = spectrum->x.count;
    double *sigma = spectrum->sigma;
    if (!mtli_symmetric_eigen(count, spectrum->vectors, sigma, spectrum->scratch)) {
        return false;
    }
    for (int64_t k = 0; k < count; k++) {
        sigma[k] = sigma[k] > 0 ? sqrt(sigma[k]) : 0;
    }
    if (spectrum->turned && sigma[count - 1] < sigma[0] / 16) {
        if (!turn_rows(spectrum)) {
            return false;
        }
        sort_turned(spectrum);
        cut_off(spectrum, (4 + sqrt((double)count)) * UNIT * sigma[0]);
    } else {
        /* The error of the Gram matrix's eigenvalues, which grows slowly with its size. */
        cut_off(spectrum, sqrt((4 + (double)count / 16) * UNIT) * sigma[0]);
    }
    return true;
}

void mtli_spectrum_apply(mtli_spectrum *spectrum, const mtli_sheet_out *out)
{
    mtl_context *context = spectrum->context;
    int64_t count = spectrum->x.count;
    if (!spectrum->is_turned) {
        double *scaled = spectrum->scratch;
        mtli_dense_from_spectrum(context, count, spectrum->vectors, spectrum->factor, spectrum->matrix, scaled,
                                 scaled + count * count);
        mtli_sheet_transform(context, &spectrum->x, spectrum->matrix, out, spectrum->strips);
        return;
    }
    for (int64_t k = 0; k < count; k++) {
        for (int64_t t = 0; t < count; t++) {
            spectrum->matrix[t * count + k] = spectrum->factor[k] * spectrum->vectors[k * count + t];
        }
    }
    mtli_sheet turned = {.count = count,
                         .n = spectrum->x.n,
                         .base = spectrum->turned,
                         .vector_stride = spectrum->x.n,
                         .value_stride = 1};
    mtli_sheet_transform(context, &turned, spectrum->matrix, out, spectrum->strips);
}
