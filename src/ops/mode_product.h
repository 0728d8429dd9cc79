/* SPDX-License-Identifier: Apache-2.0
 * A tensor times a matrix along one mode: what factors are multiplied with to become weights. */
#ifndef MTLI_OPS_MODE_PRODUCT_H
#define MTLI_OPS_MODE_PRODUCT_H

#include "autograd/op.h"

enum { MTLI_ALL_ROWS = -1 };

/** x is read as [outer, r, rest] and u as [n, r], with r the last size of u.
 *  row = MTLI_ALL_ROWS: y [outer, n, rest] with y_ijk = Σ_l u_jl x_ilk.
 *  row in [0, n):       y [outer, rest]    with y_ik = Σ_l u_row,l x_ilk; other rows of u are not read.
 *  `shape` is the shape of y; NULL: one dimension. */
mtl_tensor *mtli_mode_product(mtl_tape *tape, mtl_tensor *x, mtl_tensor *u, int64_t outer, int64_t row,
                              const mtli_shape *shape);

#endif
