/* SPDX-License-Identifier: Apache-2.0
 * Gradient sets: life, lookup, and the public functions that read and combine them. Rows are in gradient_rows.c. */
#include "autograd/gradients.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "autograd/gradient_rows.h"
#include "base/checked.h"
#include "kernels/reduce.h"

static mtl_status init_entry(mtl_context *context, mtli_gradient_entry *entry, const mtli_parameter *parameter)
{
    entry->parameter = &parameter->tensor;
    if (!parameter->row_sparse) {
        return MTL_OK;
    }
    int64_t rows = parameter->tensor.shape.dims[0];
    entry->slot = mtli_allocate_array(context, (size_t)rows, sizeof entry->slot[0]);
    if (!entry->slot) {
        return context->status;
    }
    memset(entry->slot, 0xff, (size_t)rows * sizeof entry->slot[0]); /* -1 everywhere */
    entry->table_rows = rows;
    entry->width = rows > 0 ? parameter->tensor.size / rows : 0;
    return MTL_OK;
}

static mtl_status init_block(mtl_gradients *gradients, mtli_gradient_block *block, mtli_parameters *parameters)
{
    mtl_context *context = gradients->context;
    block->entries = mtli_allocate_zeroed(context, (size_t)parameters->count * sizeof block->entries[0]);
    if (!block->entries) {
        return context->status;
    }
    block->parameters = mtli_parameters_retain(parameters);
    for (int32_t i = 0; i < parameters->count; i++) {
        mtl_status status = init_entry(context, &block->entries[i], &parameters->list[i]);
        if (status != MTL_OK) {
            return status;
        }
        if (!parameters->list[i].row_sparse) {
            gradients->dense_size +=
                mtli_round_up((size_t)parameters->list[i].tensor.size, MTLI_ALIGNMENT / sizeof(mtli_real));
        }
    }
    return MTL_OK;
}

static mtl_status allocate_dense(mtl_gradients *gradients)
{
    mtl_context *context = gradients->context;
    gradients->dense = mtli_allocate_array(context, gradients->dense_size, sizeof(mtli_real));
    if (!gradients->dense) {
        return context->status;
    }
    mtli_real *next = gradients->dense;
    for (int32_t b = 0; b < gradients->num_blocks; b++) {
        const mtli_parameters *parameters = gradients->blocks[b].parameters;
        for (int32_t i = 0; i < parameters->count; i++) {
            if (!parameters->list[i].row_sparse) {
                gradients->blocks[b].entries[i].dense = next;
                next += mtli_round_up((size_t)parameters->list[i].tensor.size, MTLI_ALIGNMENT / sizeof(mtli_real));
            }
        }
    }
    return MTL_OK;
}

mtl_status mtli_gradients_create(mtl_context *context, mtli_parameters *const *blocks, int32_t count,
                                 mtl_gradients **out)
{
    mtl_gradients *gradients = mtli_allocate_zeroed(context, sizeof *gradients);
    if (!gradients) {
        return context->status;
    }
    gradients->context = mtl_context_retain(context);
    mtl_status status = MTL_OK;
    gradients->blocks = mtli_allocate_zeroed(context, (size_t)count * sizeof gradients->blocks[0]);
    if (!gradients->blocks) {
        status = context->status;
    } else {
        gradients->num_blocks = count;
    }
    for (int32_t b = 0; b < count && status == MTL_OK; b++) {
        status = init_block(gradients, &gradients->blocks[b], blocks[b]);
    }
    if (status == MTL_OK) {
        status = allocate_dense(gradients);
    }
    if (status != MTL_OK) {
        mtl_gradients_destroy(gradients);
        return status;
    }
    *out = gradients;
    return MTL_OK;
}

static void destroy_entry(mtl_context *context, mtli_gradient_entry *entry)
{
    if (!entry->slot) {
        return; /* dense memory belongs to the set */
    }
    mtli_release(context, entry->slot, (size_t)entry->table_rows * sizeof entry->slot[0]);
    mtli_release(context, entry->rows, entry->rows_capacity * sizeof entry->rows[0]);
    mtli_release(context, entry->values, entry->values_capacity * sizeof entry->values[0]);
    mtli_release(context, entry->dense, (size_t)entry->parameter->size * sizeof entry->dense[0]);
}

void mtl_gradients_destroy(mtl_gradients *gradients)
{
    if (!gradients) {
        return;
    }
    mtl_context *context = gradients->context;
    for (int32_t b = 0; b < gradients->num_blocks; b++) {
        mtli_gradient_block *block = &gradients->blocks[b];
        if (!block->parameters) {
            continue;
        }
        for (int32_t i = 0; i < block->parameters->count; i++) {
            destroy_entry(context, &block->entries[i]);
        }
        mtli_release(context, block->entries, (size_t)block->parameters->count * sizeof block->entries[0]);
        mtli_parameters_release(block->parameters);
    }
    mtli_release(context, gradients->blocks, (size_t)gradients->num_blocks * sizeof gradients->blocks[0]);
    mtli_release(context, gradients->dense, gradients->dense_size * sizeof gradients->dense[0]);
    mtli_release(context, gradients, sizeof *gradients);
    mtl_context_release(context);
}

mtli_gradient_entry *mtli_gradients_find(const mtl_gradients *gradients, const mtl_tensor *parameter)
{
    if (!parameter || parameter->kind != MTLI_TENSOR_PARAMETER) {
        return NULL;
    }
    for (int32_t b = 0; b < gradients->num_blocks; b++) {
        if (gradients->blocks[b].parameters == parameter->parameters) {
            return &gradients->blocks[b].entries[parameter->index];
        }
    }
    return NULL;
}

bool mtli_gradients_match(const mtl_gradients *a, const mtl_gradients *b)
{
    bool match = a->num_blocks == b->num_blocks;
    for (int32_t i = 0; i < a->num_blocks && match; i++) {
        match = a->blocks[i].parameters == b->blocks[i].parameters;
    }
    return match;
}

mtli_real *mtli_gradient_entry_dense(mtl_gradients *gradients, mtli_gradient_entry *entry, bool *fresh)
{
    *fresh = entry->state == MTLI_GRADIENT_NONE;
    if (entry->dense && entry->state != MTLI_GRADIENT_ROWS) {
        entry->state = MTLI_GRADIENT_DENSE;
        return entry->dense;
    }
    size_t size = (size_t)entry->parameter->size;
    if (!entry->dense) {
        entry->dense = mtli_allocate_array(gradients->context, size, sizeof entry->dense[0]);
        if (!entry->dense) {
            return NULL;
        }
    }
    if (entry->state == MTLI_GRADIENT_ROWS) {
        memset(entry->dense, 0, size * sizeof entry->dense[0]);
        mtli_gradient_rows_add_to(entry, 1, entry->dense);
        mtli_gradient_rows_clear(entry);
    }
    entry->state = MTLI_GRADIENT_DENSE;
    return entry->dense;
}

typedef struct entry_position {
    int32_t block;
    int32_t index;
} entry_position;

/* Walks over all entries of a set: NULL after the last. */
static mtli_gradient_entry *next_entry(const mtl_gradients *gradients, entry_position *position)
{
    while (position->block < gradients->num_blocks) {
        const mtli_gradient_block *block = &gradients->blocks[position->block];
        if (position->index < block->parameters->count) {
            return &block->entries[position->index++];
        }
        position->block++;
        position->index = 0;
    }
    return NULL;
}

void mtl_gradients_clear(mtl_gradients *gradients)
{
    entry_position position = {0, 0};
    mtli_gradient_entry *entry;
    while (gradients && (entry = next_entry(gradients, &position)) != NULL) {
        mtli_gradient_rows_clear(entry);
        entry->state = MTLI_GRADIENT_NONE;
    }
}

int32_t mtl_gradients_touched(const mtl_gradients *gradients, const mtl_tensor *parameter)
{
    const mtli_gradient_entry *entry = gradients ? mtli_gradients_find(gradients, parameter) : NULL;
    return entry && entry->state != MTLI_GRADIENT_NONE;
}

static mtl_status read_entry(mtl_context *context, const mtli_gradient_entry *entry, mtl_dtype dtype, void *values)
{
    size_t count = (size_t)entry->parameter->size;
    if (entry->state == MTLI_GRADIENT_DENSE) {
        return mtli_convert(context, dtype, values, MTLI_DTYPE_REAL, entry->dense, count);
    }
    memset(values, 0, count * mtli_dtype_size(dtype));
    unsigned char *bytes = values;
    size_t row_bytes = (size_t)entry->width * mtli_dtype_size(dtype);
    for (int64_t k = 0; entry->state == MTLI_GRADIENT_ROWS && k < entry->num_rows; k++) {
        mtl_status status = mtli_convert(context, dtype, bytes + (size_t)entry->rows[k] * row_bytes, MTLI_DTYPE_REAL,
                                         entry->values + k * entry->width, (size_t)entry->width);
        if (status != MTL_OK) {
            return status;
        }
    }
    return MTL_OK;
}

mtl_status mtl_gradients_read(const mtl_gradients *gradients, const mtl_tensor *parameter, mtl_dtype dtype,
                              void *values, size_t count)
{
    if (!gradients) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = gradients->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, parameter);
    MTLI_REQUIRE(context, values);
    const mtli_gradient_entry *entry = mtli_gradients_find(gradients, parameter);
    if (!entry) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "parameter is not one of the gradients' model");
    }
    if (count != (size_t)parameter->size) {
        return mtli_fail(context, MTL_ERROR_SHAPE, "count = %zu, the parameter has %" PRId64 " values", count,
                         parameter->size);
    }
    if (dtype != MTL_FLOAT32 && dtype != MTL_FLOAT64) {
        return mtli_fail(context, MTL_ERROR_DTYPE, "dtype = %d is not a real type", (int)dtype);
    }
    return read_entry(context, entry, dtype, values);
}

int64_t mtl_gradients_rows(const mtl_gradients *gradients, const mtl_tensor *parameter, const int32_t **rows)
{
    const mtli_gradient_entry *entry = gradients ? mtli_gradients_find(gradients, parameter) : NULL;
    if (!entry || entry->state != MTLI_GRADIENT_ROWS) {
        return -1;
    }
    if (rows) {
        *rows = entry->rows;
    }
    return entry->num_rows;
}

/* The values of an entry as one array; the order of rows does not matter to sums of squares. */
static const mtli_real *entry_values(const mtli_gradient_entry *entry, int64_t *size)
{
    bool rows = entry->state == MTLI_GRADIENT_ROWS;
    *size = entry->state == MTLI_GRADIENT_NONE ? 0 : rows ? entry->num_rows * entry->width : entry->parameter->size;
    return rows ? entry->values : entry->dense;
}

double mtl_gradients_norm(const mtl_gradients *gradients)
{
    double sum = 0;
    entry_position position = {0, 0};
    const mtli_gradient_entry *entry;
    while (gradients && (entry = next_entry(gradients, &position)) != NULL) {
        int64_t size;
        const mtli_real *values = entry_values(entry, &size);
        sum += mtli_dot(size, values, values);
    }
    return sqrt(sum);
}

static mtl_status check_pair(const mtl_gradients *a, const mtl_gradients *b, const char *name)
{
    if (!b) {
        return mtli_fail(a->context, MTL_ERROR_ARGUMENT, "%s is NULL", name);
    }
    if (!mtli_gradients_match(a, b)) {
        return mtli_fail(a->context, MTL_ERROR_ARGUMENT, "%s belongs to another model", name);
    }
    return MTL_OK;
}

double mtli_gradient_entry_dot(const mtli_gradient_entry *a, const mtli_gradient_entry *b)
{
    if (a->state == MTLI_GRADIENT_NONE || b->state == MTLI_GRADIENT_NONE) {
        return 0;
    }
    if (a->state == MTLI_GRADIENT_ROWS) {
        return mtli_gradient_rows_dot(a, b);
    }
    return b->state == MTLI_GRADIENT_ROWS ? mtli_gradient_rows_dot(b, a)
                                          : mtli_dot(a->parameter->size, a->dense, b->dense);
}

double mtli_gradients_inner(const mtl_gradients *a, const mtl_gradients *b)
{
    double sum = 0;
    entry_position left = {0, 0};
    entry_position right = {0, 0};
    const mtli_gradient_entry *entry;
    const mtli_gradient_entry *theirs;
    while ((entry = next_entry(a, &left)) != NULL && (theirs = next_entry(b, &right)) != NULL) {
        sum += mtli_gradient_entry_dot(entry, theirs);
    }
    return sum;
}

mtl_status mtl_gradients_dot(const mtl_gradients *a, const mtl_gradients *b, double *out)
{
    if (!a) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(a->context);
    MTLI_REQUIRE(a->context, out);
    mtl_status status = check_pair(a, b, "b");
    if (status == MTL_OK) {
        *out = mtli_gradients_inner(a, b);
    }
    return status;
}

void mtl_gradients_scale(mtl_gradients *gradients, double factor)
{
    entry_position position = {0, 0};
    mtli_gradient_entry *entry;
    while (gradients && (entry = next_entry(gradients, &position)) != NULL) {
        int64_t size;
        mtli_real *values = (mtli_real *)(uintptr_t)entry_values(entry, &size);
        for (int64_t i = 0; i < size; i++) {
            values[i] *= (mtli_real)factor;
        }
    }
}

/* Makes room for what add_entry() will add; changes no value. */
static mtl_status prepare_entry(mtl_gradients *gradients, mtli_gradient_entry *entry, const mtli_gradient_entry *other)
{
    if (other->state == MTLI_GRADIENT_NONE) {
        return MTL_OK;
    }
    if (other->state == MTLI_GRADIENT_ROWS && entry->state != MTLI_GRADIENT_DENSE) {
        return mtli_gradient_rows_reserve(gradients, entry, other);
    }
    bool fresh;
    mtli_real *values = mtli_gradient_entry_dense(gradients, entry, &fresh);
    if (!values) {
        return gradients->context->status;
    }
    if (fresh) {
        memset(values, 0, (size_t)entry->parameter->size * sizeof values[0]);
    }
    return MTL_OK;
}

/* After a failure: what was untouched before is so again. */
static void undo_entries(mtl_gradients *gradients)
{
    entry_position position = {0, 0};
    mtli_gradient_entry *entry;
    while ((entry = next_entry(gradients, &position)) != NULL) {
        if (entry->pending) {
            mtli_gradient_rows_clear(entry);
            entry->state = MTLI_GRADIENT_NONE;
        }
    }
}

static void add_entry(mtli_gradient_entry *entry, mtli_real factor, const mtli_gradient_entry *other)
{
    if (other->state == MTLI_GRADIENT_DENSE) {
        for (int64_t i = 0; i < entry->parameter->size; i++) {
            entry->dense[i] += factor * other->dense[i];
        }
    } else if (other->state == MTLI_GRADIENT_ROWS && entry->state == MTLI_GRADIENT_DENSE) {
        mtli_gradient_rows_add_to(other, factor, entry->dense);
    } else if (other->state == MTLI_GRADIENT_ROWS) {
        mtli_gradient_rows_merge(entry, factor, other);
    }
}

mtl_status mtl_gradients_add(mtl_gradients *gradients, double factor, const mtl_gradients *other)
{
    if (!gradients) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(gradients->context);
    mtl_status status = check_pair(gradients, other, "other");
    if (status != MTL_OK) {
        return status;
    }
    entry_position left = {0, 0};
    entry_position right = {0, 0};
    mtli_gradient_entry *entry;
    const mtli_gradient_entry *theirs;
    while ((entry = next_entry(gradients, &left)) != NULL) {
        entry->pending = entry->state == MTLI_GRADIENT_NONE;
    }
    left = (entry_position){0, 0};
    while (status == MTL_OK && (entry = next_entry(gradients, &left)) != NULL &&
           (theirs = next_entry(other, &right)) != NULL) {
        status = prepare_entry(gradients, entry, theirs);
    }
    if (status != MTL_OK) {
        undo_entries(gradients);
        return status;
    }
    left = right = (entry_position){0, 0};
    while (status == MTL_OK && (entry = next_entry(gradients, &left)) != NULL &&
           (theirs = next_entry(other, &right)) != NULL) {
        add_entry(entry, (mtli_real)factor, theirs);
    }
    return status;
}

mtl_status mtl_gradients_clip(mtl_gradients *gradients, double max_norm, double *norm)
{
    if (!gradients) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(gradients->context);
    if (!(max_norm > 0)) {
        return mtli_fail(gradients->context, MTL_ERROR_ARGUMENT, "max_norm = %g is not positive", max_norm);
    }
    double before = mtl_gradients_norm(gradients);
    if (!isfinite(before)) {
        return mtli_fail(gradients->context, MTL_ERROR_NUMERIC, "the norm of the gradients is %g", before);
    }
    if (before > max_norm) {
        mtl_gradients_scale(gradients, max_norm / before);
    }
    if (norm) {
        *norm = before;
    }
    return MTL_OK;
}
