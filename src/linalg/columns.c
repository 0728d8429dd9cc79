/* SPDX-License-Identifier: Apache-2.0
 * The matrix whose columns are the tasks: few, long, and each in memory of its own. */
#include <string.h>

#include "base/float_mode.h"
#include "linalg/spectral.h"
#include "linalg/spectrum.h"

size_t mtli_columns_work(int32_t count)
{
    return mtli_spectrum_work(count, 0, false);
}

static bool decompose_columns(mtl_context *context, int32_t count, int64_t n, const mtli_real *const *x, double *sigma,
                              void *work, mtli_spectrum *spectrum)
{
    mtli_sheet sheet = {.count = count, .n = n, .vectors = x, .value_stride = 1};
    mtli_spectrum_begin(context, &sheet, false, work, spectrum);
    if (!mtli_spectrum_gram(spectrum) || !mtli_spectrum_decompose(spectrum)) {
        return false;
    }
    memcpy(sigma, spectrum->sigma, (size_t)count * sizeof sigma[0]);
    return true;
}

bool mtli_columns_singular_values(mtl_context *context, int32_t count, int64_t n, const mtli_real *const *x,
                                  double *values, void *work)
{
    mtli_float_mode mode = mtli_float_mode_enter();
    mtli_spectrum spectrum;
    bool done = decompose_columns(context, count, n, x, values, work, &spectrum);
    mtli_float_mode_leave(mode);
    return done;
}

/* Asks for the factors. False: one is not finite. */
static bool ask_for_factors(mtli_spectrum *spectrum, mtli_spectral_fn function, const void *argument)
{
    int64_t count = spectrum->x.count;
    function(argument, (int32_t)count, spectrum->sigma, spectrum->factor);
    double sum = 0;
    for (int64_t k = 0; k < count; k++) {
        sum += spectrum->factor[k] * 0; /* 0, or NaN for ever */
    }
    return sum == 0;
}

static bool all_are(const mtli_spectrum *spectrum, double value)
{
    for (int64_t k = 0; k < spectrum->x.count; k++) {
        if (spectrum->factor[k] != value) {
            return false;
        }
    }
    return true;
}

bool mtli_columns_add(mtl_context *context, int32_t count, int64_t n, const mtli_real *const *x,
                      mtli_spectral_fn function, const void *argument, double scale, mtli_real *const *y, double *sigma,
                      void *work)
{
    mtli_float_mode mode = mtli_float_mode_enter();
    mtli_spectrum spectrum;
    bool done = decompose_columns(context, count, n, x, sigma, work, &spectrum) &&
                ask_for_factors(&spectrum, function, argument);
    if (done && n > 0 && scale != 0 && !all_are(&spectrum, 0)) {
        mtli_sheet_out out = {.vectors = y, .value_stride = 1, .add = true, .scale = scale};
        mtli_spectrum_apply(&spectrum, &out);
    }
    mtli_float_mode_leave(mode);
    return done;
}

bool mtli_columns_transform(mtl_context *context, int32_t count, int64_t n, mtli_real *const *x,
                            mtli_spectral_fn function, const void *argument, double *sigma, void *work)
{
    mtli_float_mode mode = mtli_float_mode_enter();
    mtli_spectrum spectrum;
    bool done = decompose_columns(context, count, n, (const mtli_real *const *)x, sigma, work, &spectrum) &&
                ask_for_factors(&spectrum, function, argument);
    if (done && n > 0 && !all_are(&spectrum, 1)) { /* all 1: nothing changes, to the bit */
        mtli_sheet_out out = {.vectors = x, .value_stride = 1};
        mtli_spectrum_apply(&spectrum, &out);
    }
    mtli_float_mode_leave(mode);
    return done;
}
