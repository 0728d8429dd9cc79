/* SPDX-License-Identifier: Apache-2.0
 * Singular values, trace norm and singular value thresholding of a matrix. */
#include "linalg/spectral.h"

#include <string.h>

#include "base/float_mode.h"
#include "linalg/dense.h"
#include "linalg/lapack.h"
#include "linalg/polar.h"
#include "linalg/spectrum.h"

enum { PRODUCTS_LEAST = 32 }; /* from this size on products are quicker than an eigen-decomposition */

/* The polar factor from products is good to POLAR_TOLERANCE and to rounding, eps times the square of the condition.
 * Products are the quicker way up to a condition of 50 where LAPACK is there, and of 1000 where it is not; in the
 * double build rounding decides. */
#ifdef MTLI_DOUBLE
static const double POLAR_TOLERANCE = 1e-15;
#else
static const double POLAR_TOLERANCE = 1e-6;
#endif

static double most_condition(int64_t count)
{
    if (sizeof(mtli_real) == sizeof(double)) {
        return 10;
    }
    return mtli_lapack_takes(count) ? 50 : 1000;
}

size_t mtli_spectral_work(mtl_context *context, int64_t rows, int64_t columns)
{
    (void)context;
    mtli_sheet x = mtli_sheet_of_matrix(rows, columns, NULL);
    return mtli_spectrum_work(x.count, x.n, true);
}

/* As far as the Gram matrix. */
static bool open_matrix(mtl_context *context, int64_t rows, int64_t columns, const mtli_real *a, void *work,
                        mtli_spectrum *spectrum)
{
    mtli_sheet x = mtli_sheet_of_matrix(rows, columns, a);
    mtli_spectrum_begin(context, &x, true, work, spectrum);
    return mtli_spectrum_gram(spectrum);
}

bool mtli_singular_values(mtl_context *context, int64_t rows, int64_t columns, const mtli_real *a, double *values,
                          void *work)
{
    if (rows == 0 || columns == 0) {
        return true;
    }
    mtli_float_mode mode = mtli_float_mode_enter();
    mtli_spectrum spectrum;
    bool done = open_matrix(context, rows, columns, a, work, &spectrum) && mtli_spectrum_decompose(&spectrum);
    if (done) {
        memcpy(values, spectrum.sigma, (size_t)spectrum.x.count * sizeof values[0]);
    }
    mtli_float_mode_leave(mode);
    return done;
}

/* By products alone: Σ sigma = tr(G G^-½). */
static bool trace_norm_by_products(mtli_spectrum *spectrum, double *norm, const mtli_sheet_out *polar)
{
    int64_t count = spectrum->x.count;
    if (count < PRODUCTS_LEAST || !mtli_inverse_root(spectrum->context, count, spectrum->vectors, most_condition(count),
                                                     POLAR_TOLERANCE, spectrum->matrix, spectrum->scratch)) {
        return false;
    }
    *norm = mtli_dense_inner(spectrum->context, count, spectrum->vectors, spectrum->matrix);
    if (polar) {
        mtli_sheet_transform(spectrum->context, &spectrum->x, spectrum->matrix, polar, spectrum->strips);
    }
    return true;
}

static bool trace_norm_by_eigen(mtli_spectrum *spectrum, double *norm, const mtli_sheet_out *polar)
{
    if (!mtli_spectrum_decompose(spectrum)) {
        return false;
    }
    double sum = 0;
    for (int64_t k = spectrum->x.count - 1; k >= 0; k--) {
        sum += spectrum->sigma[k];
        spectrum->factor[k] = spectrum->sigma[k] > 0 ? 1 / spectrum->sigma[k] : 0;
    }
    *norm = sum;
    if (polar) {
        mtli_spectrum_apply(spectrum, polar);
    }
    return true;
}

bool mtli_trace_norm(mtl_context *context, int64_t rows, int64_t columns, const mtli_real *a, double *norm,
                     mtli_real *polar, void *work)
{
    if (rows == 0 || columns == 0) {
        *norm = 0;
        return true;
    }
    mtli_float_mode mode = mtli_float_mode_enter();
    mtli_spectrum spectrum;
    mtli_sheet_out out = mtli_sheet_out_of_matrix(rows, columns, polar);
    const mtli_sheet_out *wanted = polar ? &out : NULL;
    bool done = open_matrix(context, rows, columns, a, work, &spectrum) &&
                (trace_norm_by_products(&spectrum, norm, wanted) || trace_norm_by_eigen(&spectrum, norm, wanted));
    mtli_float_mode_leave(mode);
    return done;
}

/* What is left of each direction; how many are left. */
static int64_t threshold_factors(mtli_spectrum *spectrum, double tau)
{
    int64_t left = 0;
    for (int64_t k = 0; k < spectrum->x.count; k++) {
        double sigma = spectrum->sigma[k];
        spectrum->factor[k] = sigma > tau ? 1 - tau / sigma : 0;
        left += sigma > tau;
    }
    return left;
}

bool mtli_singular_value_threshold(mtl_context *context, int64_t rows, int64_t columns, mtli_real *a, double tau,
                                   void *work)
{
    if (rows == 0 || columns == 0) {
        return true;
    }
    mtli_float_mode mode = mtli_float_mode_enter();
    mtli_spectrum spectrum;
    bool done = open_matrix(context, rows, columns, a, work, &spectrum) && mtli_spectrum_decompose(&spectrum);
    if (done && tau != 0) {
        if (threshold_factors(&spectrum, tau) == 0) {
            memset(a, 0, (size_t)(rows * columns) * sizeof a[0]);
        } else {
            mtli_sheet_out out = mtli_sheet_out_of_matrix(rows, columns, a);
            mtli_spectrum_apply(&spectrum, &out);
        }
    }
    mtli_float_mode_leave(mode);
    return done;
}
