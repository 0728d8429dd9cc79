/* SPDX-License-Identifier: Apache-2.0
 * What the examples of docs/balancing.md take for granted. Blocks 3 and 4 are whole functions. */
#if BLOCK == 3 || BLOCK == 4
#define CODE_BEGIN
#define CODE_END
#endif

#include <math.h>

#include "common.h"

extern mtl_balancer_options options;
extern mtl_balancer *balancer;
extern struct data {
    int64_t rows;
} data;
mtl_status evaluate(void *user, mtl_tape *tape, int32_t draw, mtl_tensor **losses);
mtl_status shortest_first(void *user, int32_t count, const int32_t *tasks, const double *losses, const double *gram,
                          double *weights);
