/* SPDX-License-Identifier: Apache-2.0
 * A call of mtl_linear_fit() on its way: what was given, what was found to be right, and the memory of the problem. */
#ifndef MTLI_SHARING_LINEAR_H
#define MTLI_SHARING_LINEAR_H

#include "nn/model.h"
#include "sharing/linear_solve.h"
#include "sharing/penalty.h"

typedef struct mtli_linear_call {
    mtl_context *context;
    mtl_model *model;
    const char *const *names;
    mtl_tensor *const *features;
    mtl_tensor *const *targets;
    mtl_penalty *const *penalties;
    int32_t num_penalties;
    mtl_linear_options options;
    mtli_arena arena;
    mtl_head **heads;   /* [T], borrowed */
    mtl_penalty *split; /* the split penalty among them, or NULL */
    mtli_linear_problem problem;
} mtli_linear_call;

/** Finds the heads: sets heads, count, features and the kinds of the tasks. `count` is in range. */
mtl_status mtli_linear_find_heads(mtli_linear_call *call, int32_t count);

/** Copies and checks the rows of all tasks. */
mtl_status mtli_linear_read_data(mtli_linear_call *call);

/** Sorts the penalties into smooth ones and parts. */
mtl_status mtli_linear_sort_penalties(mtli_linear_call *call);

/** The present weights and parts become the beginning. */
mtl_status mtli_linear_read_weights(mtli_linear_call *call);

/** The solution goes to heads and parts, unless something in it is not finite as a weight. */
mtl_status mtli_linear_write_weights(mtli_linear_call *call);

#endif
