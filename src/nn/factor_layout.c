/* SPDX-License-Identifier: Apache-2.0
 * Which factors a stack of weights has, given its ranks: their names, their shapes, and which are left out. */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "nn/factorized.h"

mtli_modes mtli_stack_modes(const mtl_tensor *parameter, int32_t tasks)
{
    mtli_modes modes = {.tasks = tasks, .count = parameter->shape.ndim};
    for (int32_t d = 0; d < parameter->shape.ndim; d++) {
        int64_t dim = parameter->shape.dims[d];
        if (d < MTLI_MAX_MODES) {
            modes.dims[d] = dim;
        } else {
            modes.dims[MTLI_MAX_MODES - 1] *= dim; /* not more than the parameter's size */
        }
    }
    modes.count = modes.count < MTLI_MAX_MODES ? modes.count : MTLI_MAX_MODES;
    return modes;
}

int32_t mtli_factor_num_ranks(int32_t kind, const mtli_modes *modes)
{
    switch (kind) {
    case MTL_FACTORIZATION_TUCKER:
        return modes->count + 1;
    case MTL_FACTORIZATION_TENSOR_TRAIN:
        return modes->count;
    default:
        return 1;
    }
}

static int64_t network_size(const mtli_modes *modes)
{
    int64_t size = 1;
    for (int32_t k = 0; k < modes->count; k++) {
        size *= modes->dims[k];
    }
    return size;
}

/* a * b, or the largest number. */
static int64_t saturated(int64_t a, int64_t b)
{
    int64_t product = INT64_MAX;
    (void)mtli_mul_i64(a, b, &product);
    return product;
}

bool mtli_factor_ranks_fit(int32_t kind, const mtli_modes *modes, const int64_t *ranks)
{
    int32_t count = mtli_factor_num_ranks(kind, modes);
    for (int32_t k = 0; k < count; k++) {
        if (ranks[k] < 1) {
            return false;
        }
    }
    if (kind == MTL_FACTORIZATION_LAF) {
        return ranks[0] <= modes->tasks && ranks[0] <= network_size(modes);
    }
    for (int32_t k = 0; k < modes->count; k++) {
        bool train = kind == MTL_FACTORIZATION_TENSOR_TRAIN && k > 0;
        int64_t side = train ? saturated(ranks[k - 1], modes->dims[k]) : modes->dims[k];
        if (ranks[k] > side) {
            return false;
        }
    }
    return ranks[count - 1] <= modes->tasks;
}

/* `number` < 0: none in the name. */
static void add_factor(mtli_factor *factors, int32_t *count, const char *name, int32_t number, int32_t ndim,
                       const int64_t *dims)
{
    mtli_factor *factor = &factors[(*count)++];
    memset(factor, 0, sizeof *factor);
    if (number < 0) {
        snprintf(factor->suffix, sizeof factor->suffix, "%s", name);
    } else {
        snprintf(factor->suffix, sizeof factor->suffix, "%s%d", name, number);
    }
    factor->ndim = ndim;
    memcpy(factor->dims, dims, (size_t)ndim * sizeof dims[0]);
}

static void lay_out_laf(const mtli_modes *modes, const int64_t *ranks, mtli_factor *factors, int32_t *count)
{
    int64_t dims[MTL_MAX_DIMS] = {ranks[0]};
    memcpy(dims + 1, modes->dims, (size_t)modes->count * sizeof dims[0]);
    add_factor(factors, count, "basis", -1, modes->count + 1, dims);
}

static void lay_out_tucker(const mtli_modes *modes, const int64_t *ranks, mtli_factor *factors, int32_t *count)
{
    int64_t dims[MTL_MAX_DIMS] = {ranks[modes->count]};
    memcpy(dims + 1, ranks, (size_t)modes->count * sizeof dims[0]);
    add_factor(factors, count, "core", -1, modes->count + 1, dims);
    for (int32_t k = 0; k < modes->count; k++) {
        const int64_t matrix[] = {modes->dims[k], ranks[k]};
        if (ranks[k] < modes->dims[k]) {
            add_factor(factors, count, "mode", k, 2, matrix);
        }
    }
}

static void lay_out_train(const mtli_modes *modes, const int64_t *ranks, mtli_factor *factors, int32_t *count)
{
    const int64_t first[] = {modes->dims[0], ranks[0]};
    if (ranks[0] < modes->dims[0] || modes->count == 1) {
        add_factor(factors, count, "core", 0, 2, first);
    }
    for (int32_t k = 1; k < modes->count; k++) {
        const int64_t core[] = {ranks[k - 1], modes->dims[k], ranks[k]};
        add_factor(factors, count, "core", k, 3, core);
    }
}

int32_t mtli_factor_layout(int32_t kind, const mtli_modes *modes, const int64_t *ranks,
                           mtli_factor factors[MTLI_MAX_FACTORS])
{
    int32_t count = 0;
    switch (kind) {
    case MTL_FACTORIZATION_TUCKER:
        lay_out_tucker(modes, ranks, factors, &count);
        break;
    case MTL_FACTORIZATION_TENSOR_TRAIN:
        lay_out_train(modes, ranks, factors, &count);
        break;
    default:
        lay_out_laf(modes, ranks, factors, &count);
        break;
    }
    const int64_t tasks[] = {modes->tasks, ranks[mtli_factor_num_ranks(kind, modes) - 1]};
    add_factor(factors, &count, "tasks", -1, 2, tasks);
    return count;
}
