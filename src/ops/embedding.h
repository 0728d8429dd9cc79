/* SPDX-License-Identifier: Apache-2.0
 * What an operation needs that reads rows of a table by token ids. */
#ifndef MTLI_OPS_EMBEDDING_H
#define MTLI_OPS_EMBEDDING_H

#include "autograd/op.h"

/** Every element of input `ids` is a row of input `table`; else MTL_ERROR_ARGUMENT with position, id and size. */
mtl_status mtli_embedding_check(const mtli_call *call, int32_t table, int32_t ids);

/** to[n, features] = rows ids[n] of input `table`, in parallel. */
void mtli_embedding_gather(const mtli_call *call, int32_t table, const int32_t *ids, int64_t n, mtli_real *to);

#endif
