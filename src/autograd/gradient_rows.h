/* SPDX-License-Identifier: Apache-2.0
 * Row-sparse gradients: the touched rows of a table, ascending. */
#ifndef MTLI_AUTOGRAD_GRADIENT_ROWS_H
#define MTLI_AUTOGRAD_GRADIENT_ROWS_H

#include "autograd/gradients.h"

/** Forgets the rows; the state is the caller's to set. */
void mtli_gradient_rows_clear(mtli_gradient_entry *entry);

/** dense += factor * rows */
void mtli_gradient_rows_add_to(const mtli_gradient_entry *entry, mtli_real factor, mtli_real *dense);

/** Inner product of a row-sparse entry with one in either state. */
double mtli_gradient_rows_dot(const mtli_gradient_entry *rows, const mtli_gradient_entry *other);

/** Gives an untouched or row-sparse entry the rows of a row-sparse other, new ones with zeros. */
mtl_status mtli_gradient_rows_reserve(mtl_gradients *gradients, mtli_gradient_entry *entry,
                                      const mtli_gradient_entry *other);

/** Gives an untouched entry the rows of all row-sparse others whose weight is not 0, with zeros. */
mtl_status mtli_gradient_rows_reserve_all(mtl_gradients *gradients, mtli_gradient_entry *entry, int32_t count,
                                          const mtli_gradient_entry *const *others, const double *weights);

/** entry += factor * other for row-sparse entries, after mtli_gradient_rows_reserve(). */
void mtli_gradient_rows_merge(mtli_gradient_entry *entry, mtli_real factor, const mtli_gradient_entry *other);

#endif
