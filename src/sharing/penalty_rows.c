/* SPDX-License-Identifier: Apache-2.0
 * Penalties on embeddings that count touched rows only. What may be lazy is a sum over rows, so that a few rows at a time
 * are copied together from all networks, and the term sees them as a small stack. */
#include <math.h>
#include <string.h>

#include "autograd/gradient_rows.h"
#include "base/checked.h"
#include "kernels/reduce.h"
#include "sharing/penalty.h"

enum { ROWS_AT_ONCE = 64 };

static int64_t table_rows(const mtl_penalty *penalty, int64_t index)
{
    return penalty->match->stacks[index].parameters[0]->shape.dims[0];
}

bool mtli_penalty_is_lazy(const mtl_penalty *penalty, int64_t index)
{
    return penalty->term.kind && penalty->match->stacks[index].row_sparse &&
           penalty->term.options.sparse == MTL_SPARSE_LAZY;
}

/* Memory. ------------------------------------------------------------------------------------------------------------ */

/* Of all lazy stacks: the rows of the largest table, and the values of the largest piece. False: no stack is lazy. */
static bool measure_lazy_stacks(const mtl_penalty *penalty, int64_t *rows, size_t *piece)
{
    *rows = 0;
    *piece = 0;
    for (int64_t i = 0; i < penalty->match->num_stacks; i++) {
        if (!mtli_penalty_is_lazy(penalty, i)) {
            continue;
        }
        mtli_stack stack = mtli_penalty_stack(penalty, i);
        int64_t at_once = stack.rows < ROWS_AT_ONCE ? stack.rows : ROWS_AT_ONCE;
        size_t values = mtli_round_up((size_t)(at_once * stack.columns), MTLI_ALIGNMENT / sizeof(mtli_real));
        *rows = stack.rows > *rows ? stack.rows : *rows;
        *piece = values > *piece ? values : *piece;
    }
    return *rows > 0;
}

static mtl_status reserve_pieces(mtl_penalty *penalty, size_t piece)
{
    mtl_context *context = penalty->context;
    mtli_touched_rows *touched = &penalty->touched;
    size_t networks = (size_t)penalty->match->num_networks;
    size_t total;
    if (!mtli_mul_size(piece, 2 * networks, &total)) {
        return mtli_fail(context, MTL_ERROR_LIMIT, "the rows of %zu networks do not fit in memory", networks);
    }
    touched->values = mtli_allocate_array(context, total, sizeof touched->values[0]);
    touched->values_size = touched->values ? total : 0;
    touched->w = mtli_allocate_array(context, networks, sizeof touched->w[0]);
    touched->g = mtli_allocate_array(context, networks, sizeof touched->g[0]);
    if (!touched->values || !touched->w || !touched->g) {
        return context->status;
    }
    for (size_t t = 0; t < networks; t++) {
        touched->w[t] = touched->values + t * piece;
        touched->g[t] = touched->values + (networks + t) * piece;
    }
    return MTL_OK;
}

static mtl_status reserve_lists(mtl_penalty *penalty, int64_t capacity)
{
    mtl_context *context = penalty->context;
    mtli_touched_rows *touched = &penalty->touched;
    size_t stacks = (size_t)penalty->match->num_stacks;
    touched->marks = mtli_allocate_zeroed(context, (size_t)capacity);
    touched->counts = mtli_allocate_zeroed(context, stacks * sizeof touched->counts[0]);
    touched->rows = mtli_allocate_zeroed(context, stacks * sizeof touched->rows[0]);
    touched->capacity = capacity;
    if (!touched->marks || !touched->counts || !touched->rows) {
        return context->status;
    }
    for (int64_t i = 0; i < penalty->match->num_stacks; i++) {
        if (mtli_penalty_is_lazy(penalty, i)) {
            size_t rows = (size_t)table_rows(penalty, i);
            touched->rows[i] = mtli_allocate_array(context, rows, sizeof touched->rows[i][0]);
            if (!touched->rows[i]) {
                return context->status;
            }
        }
    }
    return MTL_OK;
}

mtl_status mtli_penalty_reserve_rows(mtl_penalty *penalty)
{
    int64_t rows;
    size_t piece;
    if (!measure_lazy_stacks(penalty, &rows, &piece)) {
        return MTL_OK;
    }
    mtl_status status = reserve_lists(penalty, rows);
    return status == MTL_OK ? reserve_pieces(penalty, piece) : status;
}

void mtli_penalty_release_rows(mtl_penalty *penalty)
{
    mtl_context *context = penalty->context;
    mtli_touched_rows *touched = &penalty->touched;
    size_t stacks = penalty->match ? (size_t)penalty->match->num_stacks : 0;
    size_t networks = penalty->match ? (size_t)penalty->match->num_networks : 0;
    for (size_t i = 0; touched->rows && i < stacks; i++) {
        if (touched->rows[i]) {
            mtli_release(context, touched->rows[i],
                         (size_t)table_rows(penalty, (int64_t)i) * sizeof touched->rows[i][0]);
        }
    }
    mtli_release(context, touched->rows, stacks * sizeof touched->rows[0]);
    mtli_release(context, touched->counts, stacks * sizeof touched->counts[0]);
    mtli_release(context, touched->marks, (size_t)touched->capacity);
    mtli_release(context, touched->values, touched->values_size * sizeof touched->values[0]);
    mtli_release(context, touched->w, networks * sizeof touched->w[0]);
    mtli_release(context, touched->g, networks * sizeof touched->g[0]);
}

/* Which rows. -------------------------------------------------------------------------------------------------------- */

static void mark_touched(const mtli_gradient_entry *entry, unsigned char *marks)
{
    if (entry->state == MTLI_GRADIENT_DENSE) {
        memset(marks, 1, (size_t)entry->table_rows);
    } else if (entry->state == MTLI_GRADIENT_ROWS) {
        for (int64_t k = 0; k < entry->num_rows; k++) {
            marks[entry->rows[k]] = 1;
        }
    }
}

/* Ascending; the marks are zero again when it returns. */
static int64_t list_marked(unsigned char *marks, int64_t n, int32_t *rows)
{
    int64_t count = 0;
    for (int64_t r = 0; r < n; r++) {
        if (marks[r]) {
            rows[count++] = (int32_t)r;
            marks[r] = 0;
        }
    }
    return count;
}

void mtli_penalty_note_rows(mtl_penalty *penalty, const mtl_gradients *gradients)
{
    mtli_touched_rows *touched = &penalty->touched;
    if (touched->capacity == 0 || penalty->coefficient == 0) {
        return;
    }
    for (int64_t i = 0; i < penalty->match->num_stacks; i++) {
        if (!touched->rows[i]) {
            continue;
        }
        for (int32_t t = 0; t < penalty->match->num_networks; t++) {
            mark_touched(mtli_penalty_entry(penalty, gradients, i, t), touched->marks);
        }
        touched->counts[i] = list_marked(touched->marks, table_rows(penalty, i), touched->rows[i]);
    }
}

/* Piece by piece. ---------------------------------------------------------------------------------------------------- */

/* The small stack of touched rows begin, begin + 1, ..; `stack` is the whole one. */
static mtli_stack gather_touched_rows(const mtl_penalty *penalty, int64_t index, const mtli_stack *stack, int64_t begin)
{
    const mtli_touched_rows *touched = &penalty->touched;
    int64_t left = touched->counts[index] - begin;
    mtli_stack piece = *stack;
    piece.rows = piece.dims[0] = left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE;
    piece.size = piece.rows * piece.columns;
    piece.w = touched->w;
    size_t bytes = (size_t)piece.columns * sizeof(mtli_real);
    for (int32_t t = 0; t < piece.count; t++) {
        for (int64_t k = 0; k < piece.rows; k++) {
            int64_t row = touched->rows[index][begin + k];
            memcpy(touched->w[t] + k * piece.columns, stack->w[t] + row * piece.columns, bytes);
        }
    }
    return piece;
}

static void scatter_rows(const mtl_penalty *penalty, int64_t index, const mtli_stack *stack, const mtli_stack *piece,
                         int64_t begin)
{
    size_t bytes = (size_t)piece->columns * sizeof(mtli_real);
    for (int32_t t = 0; t < piece->count; t++) {
        for (int64_t k = 0; k < piece->rows; k++) {
            int64_t row = penalty->touched.rows[index][begin + k];
            memcpy(stack->w[t] + row * piece->columns, piece->w[t] + k * piece->columns, bytes);
        }
    }
}

/* The rows of the union in the gradient of every network; a dense gradient has them. */
static mtl_status reserve_union(mtl_penalty *penalty, int64_t index, mtl_gradients *gradients)
{
    const mtli_gradient_entry rows = {.rows = penalty->touched.rows[index], .num_rows = penalty->touched.counts[index]};
    mtl_status status = MTL_OK;
    for (int32_t t = 0; t < penalty->match->num_networks && status == MTL_OK; t++) {
        mtli_gradient_entry *entry = mtli_penalty_entry(penalty, gradients, index, t);
        status = entry->state == MTLI_GRADIENT_DENSE ? MTL_OK : mtli_gradient_rows_reserve(gradients, entry, &rows);
    }
    return status;
}

static mtl_status add_piece(mtl_penalty *penalty, int64_t index, const mtli_stack *piece, int64_t begin,
                            mtl_gradients *gradients, double *omega)
{
    mtli_touched_rows *touched = &penalty->touched;
    double value = 0;
    for (int32_t t = 0; t < piece->count; t++) {
        memset(touched->g[t], 0, (size_t)piece->size * sizeof touched->g[t][0]);
    }
    mtl_status status = mtli_penalty_term_gradient(penalty, index, piece, touched->g, &value);
    *omega += value;
    for (int32_t t = 0; t < piece->count && status == MTL_OK; t++) {
        status = mtli_gradient_entry_add_rows(gradients, mtli_penalty_entry(penalty, gradients, index, t),
                                              touched->rows[index] + begin, piece->rows, touched->g[t]);
    }
    return status;
}

mtl_status mtli_penalty_add_row_gradient(mtl_penalty *penalty, int64_t index, mtl_gradients *gradients, double *omega)
{
    int64_t count = penalty->touched.counts[index];
    if (count == 0) {
        return MTL_OK; /* what is untouched stays so */
    }
    mtli_stack stack = mtli_penalty_stack(penalty, index);
    mtl_status status = reserve_union(penalty, index, gradients);
    for (int64_t begin = 0; begin < count && status == MTL_OK; begin += ROWS_AT_ONCE) {
        mtli_stack piece = gather_touched_rows(penalty, index, &stack, begin);
        status = add_piece(penalty, index, &piece, begin, gradients, omega);
    }
    return status;
}

static bool touched_rows_are_finite(const mtl_penalty *penalty, int64_t index, const mtli_stack *stack)
{
    bool finite = true;
    for (int32_t t = 0; t < stack->count; t++) {
        for (int64_t k = 0; k < penalty->touched.counts[index] && finite; k++) {
            int64_t row = penalty->touched.rows[index][k];
            finite = isfinite(mtli_total(stack->columns, stack->w[t] + row * stack->columns));
        }
    }
    return finite;
}

mtl_status mtli_penalty_shrink_rows(mtl_penalty *penalty, int64_t index, double tau)
{
    const mtli_term *term = &penalty->term;
    mtli_stack stack = mtli_penalty_stack(penalty, index);
    if (!touched_rows_are_finite(penalty, index, &stack)) { /* before the first piece changes */
        return mtli_penalty_fail(penalty, index);
    }
    for (int64_t begin = 0; begin < penalty->touched.counts[index]; begin += ROWS_AT_ONCE) {
        mtli_stack piece = gather_touched_rows(penalty, index, &stack, begin);
        if (!term->kind->proximal(penalty->context, term, &piece, tau, penalty->work)) {
            return mtli_penalty_fail(penalty, index);
        }
        scatter_rows(penalty, index, &stack, &piece, begin);
    }
    return MTL_OK;
}
