/* SPDX-License-Identifier: Apache-2.0
 * linalg/spectral.h for doubles in every build. Plain loops over small matrices: linear models. The contracts are
 * those of the functions without "_double"; the context is not used. */
#ifndef MTLI_SHARING_SPECTRAL_DOUBLE_H
#define MTLI_SHARING_SPECTRAL_DOUBLE_H

#include "linalg/spectral.h"

size_t mtli_spectral_work_double(mtl_context *context, int64_t rows, int64_t columns);
size_t mtli_columns_work_double(int32_t count, int64_t n);

bool mtli_singular_values_double(mtl_context *context, int64_t rows, int64_t columns, const double *a, double *values,
                                 void *work);
bool mtli_trace_norm_double(mtl_context *context, int64_t rows, int64_t columns, const double *a, double *norm,
                            double *polar, void *work);
bool mtli_singular_value_threshold_double(mtl_context *context, int64_t rows, int64_t columns, double *a, double tau,
                                          void *work);

bool mtli_columns_singular_values_double(mtl_context *context, int32_t count, int64_t n, const double *const *x,
                                         double *values, void *work);
bool mtli_columns_add_double(mtl_context *context, int32_t count, int64_t n, const double *const *x,
                             mtli_spectral_fn function, const void *argument, double scale, double *const *y,
                             double *sigma, void *work);
bool mtli_columns_transform_double(mtl_context *context, int32_t count, int64_t n, double *const *x,
                                   mtli_spectral_fn function, const void *argument, double *sigma, void *work);

#endif
