/* SPDX-License-Identifier: Apache-2.0
 * Matrices of the tensor [dims.., tasks]. Included by term.c and term_double.c. */

/** Each network's tensor as [outer, rows, inner]; the matrix is [rows, (task, outer, inner)]. Its trace norm does not
 *  depend on the order of its columns. of_tasks: one column per task instead, and nothing is copied. */
typedef struct unfolding {
    bool of_tasks;
    int64_t outer, rows, inner;
    int64_t columns;
} unfolding;

static int64_t num_unfoldings(const mtli_term *term, const term_stack *stack)
{
    switch (term->options.unfolding) {
    case MTL_UNFOLDING_TUCKER:
        return stack->ndim + 1;
    case MTL_UNFOLDING_TENSOR_TRAIN:
        return stack->ndim;
    default:
        return 1;
    }
}

static int64_t product_of(const int64_t *dims, int32_t begin, int32_t end)
{
    int64_t product = 1;
    for (int32_t i = begin; i < end; i++) {
        product *= dims[i];
    }
    return product;
}

/* Tucker: mode `index` against all others, the tasks last. Tensor train: the first index + 1 modes against the rest;
 * with all of the parameter's, the rest are the tasks. */
static unfolding unfolding_of(const mtli_term *term, const term_stack *stack, int64_t index)
{
    bool tucker = term->options.unfolding == MTL_UNFOLDING_TUCKER;
    int32_t mode = (int32_t)index;
    bool last = mode == (tucker ? stack->ndim : stack->ndim - 1);
    if (last || term->options.unfolding == MTL_UNFOLDING_TASKS) {
        return (unfolding){true, 1, stack->size, 1, stack->count};
    }
    int64_t outer = tucker ? product_of(stack->dims, 0, mode) : 1;
    int64_t rows = tucker ? stack->dims[mode] : product_of(stack->dims, 0, mode + 1);
    int64_t inner = product_of(stack->dims, mode + 1, stack->ndim);
    return (unfolding){false, outer, rows, inner, stack->count * outer * inner};
}

typedef struct unfold_pass {
    const unfolding *shape;
    const term_scalar *const *from;
    term_scalar *to;
} unfold_pass;

/* Rows [begin, end) of the matrix. */
static double unfold_rows(const void *argument, int64_t begin, int64_t end)
{
    const unfold_pass *pass = argument;
    const unfolding *u = pass->shape;
    int64_t pieces = u->columns / u->inner; /* (task, outer) */
    for (int64_t r = begin; r < end; r++) {
        for (int64_t p = 0; p < pieces; p++) {
            const term_scalar *from = pass->from[p / u->outer] + (p % u->outer * u->rows + r) * u->inner;
            memcpy(pass->to + r * u->columns + p * u->inner, from, (size_t)u->inner * sizeof *from);
        }
    }
    return 0;
}

static void unfold_stack(mtl_context *context, const term_stack *stack, const unfolding *shape, term_scalar *matrix)
{
    unfold_pass pass = {shape, weights_of(stack), matrix};
    for_items(context, shape->rows, shape->columns, unfold_rows, &pass, NULL);
}

typedef struct fold_pass {
    const unfolding *shape;
    const term_scalar *from;
    term_scalar *to; /* [count, size] */
    int64_t size;
} fold_pass;

static double fold_rows(const void *argument, int64_t begin, int64_t end)
{
    const fold_pass *pass = argument;
    const unfolding *u = pass->shape;
    int64_t pieces = u->columns / u->inner;
    for (int64_t r = begin; r < end; r++) {
        for (int64_t p = 0; p < pieces; p++) {
            const term_scalar *restrict from = pass->from + r * u->columns + p * u->inner;
            term_scalar *restrict to = pass->to + p / u->outer * pass->size + (p % u->outer * u->rows + r) * u->inner;
            for (int64_t i = 0; i < u->inner; i++) {
                to[i] += from[i];
            }
        }
    }
    return 0;
}

/* collected [count, size] += the matrix, folded back. */
static void fold_add(mtl_context *context, const term_stack *stack, const unfolding *shape, const term_scalar *matrix,
                     term_scalar *collected)
{
    fold_pass pass = {shape, matrix, collected, stack->size};
    for_items(context, shape->rows, shape->columns, fold_rows, &pass, NULL);
}
