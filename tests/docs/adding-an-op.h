/* SPDX-License-Identifier: Apache-2.0
 * Where the pieces of docs/adding-an-op.md go. Internals. Block 1 is a whole file and needs nothing. */
#if BLOCK == 2 /* a line of src/ops/ops.def */
#define CODE_BEGIN
#define CODE_END
#include "autograd/op.h"
#define MTLI_OP(name) extern const mtli_op mtli_op_##name;
#elif BLOCK == 3 /* a prototype of include/mtl/ops.h */
#define CODE_BEGIN
#define CODE_END
#elif BLOCK == 4 /* a function and lines of tests/gradcheck/samples_elementwise.c */
#include "../gradcheck/samples.h"
#define CODE_BEGIN const op_sample samples[] = {
#define CODE_END \
    } \
    ;
#elif BLOCK == 5 /* a piece of a chain of conditions in a harness */
#define CODE_BEGIN \
    mtl_tensor *run(const char *op, mtl_tape *tape, mtl_tensor **in); \
    mtl_tensor *run(const char *op, mtl_tape *tape, mtl_tensor **in) \
    { \
        if (!op) { \
            return NULL;
#define CODE_END \
    } \
    return NULL; \
    }
#endif

#include "common.h"

mtl_tensor *mtl_softplus(mtl_tape *tape, mtl_tensor *x);
