/* SPDX-License-Identifier: Apache-2.0
 * Row-sparse gradients: which rows were touched, in ascending order, and sums over them in a fixed order. */
#include "autograd/gradient_rows.h"

#include <string.h>

#include "kernels/reduce.h"

enum { WANTED = -2 }; /* in slot: not there yet, will be added */

void mtli_gradient_rows_clear(mtli_gradient_entry *entry)
{
    for (int64_t k = 0; k < entry->num_rows; k++) {
        entry->slot[entry->rows[k]] = -1;
    }
    entry->num_rows = 0;
}

void mtli_gradient_rows_add_to(const mtli_gradient_entry *entry, mtli_real factor, mtli_real *dense)
{
    int64_t width = entry->width;
    for (int64_t k = 0; k < entry->num_rows; k++) {
        mtli_real *row = dense + entry->rows[k] * width;
        for (int64_t j = 0; j < width; j++) {
            row[j] += factor * entry->values[k * width + j];
        }
    }
}

double mtli_gradient_rows_dot(const mtli_gradient_entry *rows, const mtli_gradient_entry *other)
{
    double sum = 0;
    int64_t width = rows->width;
    for (int64_t k = 0; k < rows->num_rows; k++) {
        int32_t r = rows->rows[k];
        const mtli_real *theirs = NULL;
        if (other->state == MTLI_GRADIENT_DENSE) {
            theirs = other->dense + r * width;
        } else if (other->slot[r] >= 0) {
            theirs = other->values + other->slot[r] * width;
        }
        sum += theirs ? mtli_dot(width, rows->values + k * width, theirs) : 0;
    }
    return sum;
}

static int64_t mark_new_rows(mtli_gradient_entry *entry, const int32_t *ids, int64_t n)
{
    int64_t added = 0;
    for (int64_t i = 0; i < n; i++) {
        if (entry->slot[ids[i]] == -1) {
            entry->slot[ids[i]] = WANTED;
            added++;
        }
    }
    return added;
}

static void unmark_new_rows(mtli_gradient_entry *entry, const int32_t *ids, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (entry->slot[ids[i]] == WANTED) {
            entry->slot[ids[i]] = -1;
        }
    }
}

/* Gives every marked row its place. Old rows move up, from the last to the first, so nothing is overwritten early. */
static void place_rows(mtli_gradient_entry *entry, int64_t added)
{
    int64_t width = entry->width;
    int64_t k = entry->num_rows + added;
    entry->num_rows = k;
    for (int64_t r = entry->table_rows - 1; r >= 0 && k > 0; r--) {
        int32_t old = entry->slot[r];
        if (old == -1) {
            continue;
        }
        k--;
        mtli_real *row = entry->values + k * width;
        if (old == WANTED) {
            memset(row, 0, (size_t)width * sizeof row[0]);
        } else if (old != k) {
            memmove(row, entry->values + old * width, (size_t)width * sizeof row[0]);
        }
        entry->rows[k] = (int32_t)r;
        entry->slot[r] = (int32_t)k;
    }
}

/* Memory and places for `added` rows that are marked; without memory the marks stay. */
static mtl_status add_marked_rows(mtl_gradients *gradients, mtli_gradient_entry *entry, int64_t added)
{
    mtl_context *context = gradients->context;
    void *rows = entry->rows;
    void *values = entry->values;
    size_t total = (size_t)(entry->num_rows + added);
    mtl_status status = mtli_reserve(context, &rows, &entry->rows_capacity, total, sizeof entry->rows[0]);
    entry->rows = rows;
    if (status == MTL_OK) {
        status = mtli_reserve(context, &values, &entry->values_capacity, total * (size_t)entry->width,
                              sizeof entry->values[0]);
        entry->values = values;
    }
    if (status != MTL_OK) {
        return status;
    }
    if (added > 0) {
        place_rows(entry, added);
    }
    entry->state = MTLI_GRADIENT_ROWS;
    return MTL_OK;
}

/* Makes sure that every row of ids is there. */
static mtl_status add_rows(mtl_gradients *gradients, mtli_gradient_entry *entry, const int32_t *ids, int64_t n)
{
    mtl_status status = add_marked_rows(gradients, entry, mark_new_rows(entry, ids, n));
    if (status != MTL_OK) {
        unmark_new_rows(entry, ids, n);
    }
    return status;
}

static void add_row(mtli_real *row, mtli_real factor, const mtli_real *values, int64_t width)
{
    for (int64_t j = 0; j < width; j++) {
        row[j] += factor * values[j];
    }
}

mtl_status mtli_gradient_entry_add_rows(mtl_gradients *gradients, mtli_gradient_entry *entry, const int32_t *ids,
                                        int64_t n, const mtli_real *dy)
{
    int64_t width = entry->width;
    bool dense = entry->state == MTLI_GRADIENT_DENSE;
    mtl_status status = dense ? MTL_OK : add_rows(gradients, entry, ids, n);
    for (int64_t i = 0; i < n && status == MTL_OK; i++) {
        mtli_real *row = dense ? entry->dense + ids[i] * width : entry->values + entry->slot[ids[i]] * width;
        add_row(row, 1, dy + i * width, width);
    }
    return status;
}

mtl_status mtli_gradient_rows_reserve(mtl_gradients *gradients, mtli_gradient_entry *entry,
                                      const mtli_gradient_entry *other)
{
    return add_rows(gradients, entry, other->rows, other->num_rows);
}

static bool takes_part(const mtli_gradient_entry *other, double weight)
{
    return weight != 0 && other->state == MTLI_GRADIENT_ROWS;
}

mtl_status mtli_gradient_rows_reserve_all(mtl_gradients *gradients, mtli_gradient_entry *entry, int32_t count,
                                          const mtli_gradient_entry *const *others, const double *weights)
{
    int64_t added = 0;
    for (int32_t k = 0; k < count; k++) {
        added += takes_part(others[k], weights[k]) ? mark_new_rows(entry, others[k]->rows, others[k]->num_rows) : 0;
    }
    mtl_status status = add_marked_rows(gradients, entry, added);
    for (int32_t k = 0; k < count && status != MTL_OK; k++) {
        unmark_new_rows(entry, others[k]->rows, others[k]->num_rows);
    }
    return status;
}

void mtli_gradient_rows_merge(mtli_gradient_entry *entry, mtli_real factor, const mtli_gradient_entry *other)
{
    int64_t width = entry->width;
    for (int64_t k = 0; k < other->num_rows; k++) {
        add_row(entry->values + entry->slot[other->rows[k]] * width, factor, other->values + k * width, width);
    }
}
