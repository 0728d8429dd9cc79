/* SPDX-License-Identifier: Apache-2.0
 * The table of all operations, expanded from ops.def. */
#include "autograd/op.h"

#define MTLI_OP(name) extern const mtli_op mtli_op_##name;
#include "ops/ops.def"
#undef MTLI_OP

const mtli_op *const mtli_ops[] = {
#define MTLI_OP(name) &mtli_op_##name,
#include "ops/ops.def"
#undef MTLI_OP
};

const int32_t mtli_num_ops = (int32_t)(sizeof mtli_ops / sizeof mtli_ops[0]);
