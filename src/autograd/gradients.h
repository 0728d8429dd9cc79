/* SPDX-License-Identifier: Apache-2.0
 * A set of gradients over blocks of parameters: dense, row-sparse or untouched for each parameter. */
#ifndef MTLI_AUTOGRAD_GRADIENTS_H
#define MTLI_AUTOGRAD_GRADIENTS_H

#include <stdbool.h>

#include <mtl/gradients.h>

#include "tensor/parameters.h"

typedef enum mtli_gradient_state {
    MTLI_GRADIENT_NONE,  /* untouched */
    MTLI_GRADIENT_DENSE, /* dense holds every value */
    MTLI_GRADIENT_ROWS   /* rows and values hold the touched rows */
} mtli_gradient_state;

/** The gradient of one parameter.
 *  Invariant: slot[r] is the position of row r in rows, -1 for every row that is not there; rows ascend. */
typedef struct mtli_gradient_entry {
    const mtl_tensor *parameter;
    mtli_gradient_state state;
    bool pending;       /* inside mtl_gradients_add(): untouched before */
    mtli_real *dense;   /* parameter->size values: in the set's block, or own memory (row-sparse, made when needed) */
    int32_t *rows;      /* num_rows */
    mtli_real *values;  /* [num_rows, width] */
    int32_t *slot;      /* [table rows] */
    int64_t width;      /* values of a row */
    int64_t table_rows; /* 0: the parameter is not row-sparse */
    int64_t num_rows;
    size_t rows_capacity;
    size_t values_capacity;
} mtli_gradient_entry;

typedef struct mtli_gradient_block {
    mtli_parameters *parameters; /* retained */
    mtli_gradient_entry *entries;
} mtli_gradient_block;

struct mtl_gradients {
    mtl_context *context;
    int32_t num_blocks;
    mtli_gradient_block *blocks;
    mtli_real *dense; /* of all parameters that are not row-sparse */
    size_t dense_size;
};

mtl_status mtli_gradients_create(mtl_context *context, mtli_parameters *const *blocks, int32_t count,
                                 mtl_gradients **out);

/** The entry of a parameter, or NULL. */
mtli_gradient_entry *mtli_gradients_find(const mtl_gradients *gradients, const mtl_tensor *parameter);

/** Whether two sets are over the same blocks in the same order. */
bool mtli_gradients_match(const mtl_gradients *a, const mtl_gradients *b);

/** Inner products in double; of whole sets that match. */
double mtli_gradient_entry_dot(const mtli_gradient_entry *a, const mtli_gradient_entry *b);
double mtli_gradients_inner(const mtl_gradients *a, const mtl_gradients *b);

/** The dense values of an entry, to be added to (*fresh unset) or overwritten (*fresh set). NULL, with the error set, when
 *  memory is wanting. */
mtli_real *mtli_gradient_entry_dense(mtl_gradients *gradients, mtli_gradient_entry *entry, bool *fresh);

/** Adds dy[n, width] to the rows ids[n], all in [0, table_rows). */
mtl_status mtli_gradient_entry_add_rows(mtl_gradients *gradients, mtli_gradient_entry *entry, const int32_t *ids,
                                        int64_t n, const mtli_real *dy);

#endif
