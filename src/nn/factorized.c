/* SPDX-License-Identifier: Apache-2.0
 * The networks of several tasks in factors: the parameters that a module has for them, and a task's weights. */
#include "nn/factorized.h"

#include <stdio.h>
#include <string.h>

#include "autograd/tape.h"
#include "base/arena.h"
#include "ops/mode_product.h"

/* Parameters. ------------------------------------------------------------------------------------------------------ */

static mtli_parameter_spec *next_spec(mtli_parameter_spec *specs, int64_t *count, mtli_arena *arena, const char *name,
                                      const char *suffix)
{
    size_t size = strlen(name) + strlen(suffix) + 2;
    char *whole = mtli_arena_take(arena, size);
    if (!whole) {
        return NULL;
    }
    snprintf(whole, size, *suffix ? "%s.%s" : "%s%s", name, suffix);
    mtli_parameter_spec *spec = &specs[(*count)++];
    memset(spec, 0, sizeof *spec);
    spec->name = whole;
    return spec;
}

/* The parameter as the network has it, `copies` times. */
static mtl_status specify_copies(const mtli_parameter *parameter, int32_t copies, mtli_arena *arena,
                                 mtli_parameter_spec *specs, int64_t *count)
{
    for (int32_t t = 0; t < copies; t++) {
        char suffix[16] = "";
        if (copies > 1) {
            snprintf(suffix, sizeof suffix, "task%d", t);
        }
        mtli_parameter_spec *spec = next_spec(specs, count, arena, parameter->name, suffix);
        if (!spec) {
            return arena->context->status;
        }
        spec->ndim = parameter->tensor.shape.ndim;
        memcpy(spec->dims, parameter->tensor.shape.dims, sizeof spec->dims);
        spec->row_sparse = parameter->row_sparse;
    }
    return MTL_OK;
}

static int32_t factors_of(const mtl_factorized *factorized, int32_t index, mtli_factor factors[MTLI_MAX_FACTORS])
{
    mtli_modes modes = mtli_stack_modes(&factorized->network->list[index].tensor, factorized->tasks);
    return mtli_factor_layout(factorized->kind, &modes, factorized->held[index].ranks, factors);
}

static mtl_status specify_factors(const mtl_factorized *factorized, int32_t index, mtli_arena *arena,
                                  mtli_parameter_spec *specs, int64_t *count)
{
    mtli_factor factors[MTLI_MAX_FACTORS];
    int32_t num_factors = factors_of(factorized, index, factors);
    for (int32_t k = 0; k < num_factors; k++) {
        const char *name = factorized->network->list[index].name;
        mtli_parameter_spec *spec = next_spec(specs, count, arena, name, factors[k].suffix);
        if (!spec) {
            return arena->context->status;
        }
        spec->ndim = factors[k].ndim;
        memcpy(spec->dims, factors[k].dims, sizeof spec->dims);
    }
    return MTL_OK;
}

/* Sets first and count of every parameter; *total is how many the module has. */
static mtl_status count_parameters(mtl_factorized *factorized, int64_t *total)
{
    *total = 0;
    for (int32_t i = 0; i < factorized->network->count; i++) {
        mtli_held *held = &factorized->held[i];
        mtli_factor factors[MTLI_MAX_FACTORS];
        held->first = (int32_t)*total;
        held->count = held->holding == MTLI_HELD_IN_FACTORS ? factors_of(factorized, i, factors)
                      : held->holding == MTLI_HELD_BY_EACH  ? factorized->tasks
                                                            : 1;
        *total += held->count;
        if (*total > INT32_MAX) {
            return mtli_fail(factorized->context, MTL_ERROR_LIMIT, "%d tasks have too many parameters",
                             factorized->tasks);
        }
    }
    return MTL_OK;
}

static mtl_status specify_all(const mtl_factorized *factorized, mtli_arena *arena, mtli_parameter_spec *specs)
{
    int64_t count = 0;
    mtl_status status = MTL_OK;
    for (int32_t i = 0; i < factorized->network->count && status == MTL_OK; i++) {
        const mtli_parameter *parameter = &factorized->network->list[i];
        const mtli_held *held = &factorized->held[i];
        status = held->holding == MTLI_HELD_IN_FACTORS ? specify_factors(factorized, i, arena, specs, &count)
                                                       : specify_copies(parameter, held->count, arena, specs, &count);
    }
    return status;
}

static mtl_status create_factor_parameters(mtl_factorized *factorized)
{
    int64_t count = 0;
    mtl_status status = count_parameters(factorized, &count);
    if (status != MTL_OK) {
        return status;
    }
    mtli_arena arena;
    mtli_arena_init(&arena, factorized->context);
    mtli_parameter_spec *specs = mtli_arena_take_array(&arena, (size_t)count, sizeof *specs);
    status = specs ? specify_all(factorized, &arena, specs) : factorized->context->status;
    if (status == MTL_OK) {
        status = mtli_parameters_create(factorized->context, specs, (int32_t)count, &factorized->parameters);
    }
    mtli_arena_destroy(&arena);
    return status;
}

mtl_status mtli_factorized_create(mtl_context *context, int32_t kind, int32_t tasks, mtli_parameters *network,
                                  const mtli_held *held, mtl_factorized **out)
{
    mtl_factorized *factorized = mtli_allocate_zeroed(context, sizeof *factorized);
    if (!factorized) {
        return context->status;
    }
    factorized->context = context;
    factorized->kind = kind;
    factorized->tasks = tasks;
    factorized->network = mtli_parameters_retain(network);
    factorized->held = mtli_allocate_array(context, (size_t)network->count, sizeof factorized->held[0]);
    mtl_status status = factorized->held ? MTL_OK : context->status;
    if (status == MTL_OK) {
        memcpy(factorized->held, held, (size_t)network->count * sizeof held[0]);
        status = create_factor_parameters(factorized);
    }
    if (status != MTL_OK) {
        mtli_factorized_destroy(factorized);
        return status;
    }
    *out = factorized;
    return MTL_OK;
}

void mtli_factorized_destroy(mtl_factorized *factorized)
{
    if (!factorized) {
        return;
    }
    mtl_context *context = factorized->context;
    mtli_release(context, factorized->held, (size_t)factorized->network->count * sizeof factorized->held[0]);
    mtli_parameters_release(factorized->parameters);
    mtli_parameters_release(factorized->network);
    mtli_release(context, factorized, sizeof *factorized);
}

/* A task's weights. ------------------------------------------------------------------------------------------------ */

/* From the core of this task (of all ranks) through one mode after the other; the last product has the weights' shape.
 * From the last mode to the first, so that the largest product is one product. */
static mtl_tensor *compose_tucker(mtl_tape *tape, const mtli_modes *modes, const mtli_held *held,
                                  mtli_parameter *factors, int32_t task, const mtli_shape *shape)
{
    int32_t left = held->count - 2; /* modes that have a factor */
    mtl_tensor *x =
        mtli_mode_product(tape, &factors[0].tensor, &factors[held->count - 1].tensor, 1, task, left > 0 ? NULL : shape);
    for (int32_t k = modes->count - 1; k >= 0; k--) {
        int64_t outer = 1;
        for (int32_t j = 0; j < k; j++) {
            outer *= held->ranks[j];
        }
        if (held->ranks[k] < modes->dims[k]) {
            x = mtli_mode_product(tape, x, &factors[left].tensor, outer, MTLI_ALL_ROWS, left > 1 ? NULL : shape);
            left--;
        }
    }
    return x;
}

/* From the last core to the first. */
static mtl_tensor *compose_train(mtl_tape *tape, const mtli_modes *modes, const mtli_held *held,
                                 mtli_parameter *factors, int32_t task, const mtli_shape *shape)
{
    int32_t last = held->count - 2; /* the cores are 0 to last */
    int64_t before = modes->count > 1 ? held->ranks[modes->count - 2] : 1;
    mtl_tensor *x = mtli_mode_product(tape, &factors[last].tensor, &factors[held->count - 1].tensor,
                                      before * modes->dims[modes->count - 1], task, last > 0 ? NULL : shape);
    for (int32_t k = last - 1; k >= 0; k--) {
        x = mtli_mode_product(tape, x, &factors[k].tensor, 1, MTLI_ALL_ROWS, k > 0 ? NULL : shape);
    }
    return x;
}

mtl_tensor *mtli_factorized_compose(const mtl_factorized *factorized, mtl_tape *tape, int32_t index, int32_t task)
{
    const mtl_tensor *weights = &factorized->network->list[index].tensor;
    const mtli_held *held = &factorized->held[index];
    mtli_parameter *own = &factorized->parameters->list[held->first];
    if (held->holding != MTLI_HELD_IN_FACTORS) {
        return &own[held->holding == MTLI_HELD_BY_EACH ? task : 0].tensor;
    }
    mtli_modes modes = mtli_stack_modes(weights, factorized->tasks);
    switch (factorized->kind) {
    case MTL_FACTORIZATION_TUCKER:
        return compose_tucker(tape, &modes, held, own, task, &weights->shape);
    case MTL_FACTORIZATION_TENSOR_TRAIN:
        return compose_train(tape, &modes, held, own, task, &weights->shape);
    default:
        return mtli_mode_product(tape, &own[0].tensor, &own[1].tensor, 1, task, &weights->shape);
    }
}

void mtli_factorized_bind(const mtl_factorized *factorized, mtl_tape *tape, int32_t task)
{
    for (int32_t i = 0; i < factorized->network->count && tape->status == MTL_OK; i++) {
        mtl_tensor *value = mtli_tape_bound(tape, mtli_factorized_compose(factorized, tape, i, task));
        if (tape->status != MTL_OK) {
            return;
        }
        mtl_status status = mtli_tape_push_binding(tape, &factorized->network->list[i].tensor, value);
        if (status != MTL_OK) {
            mtli_tape_fail(tape, status);
        }
    }
}

void mtli_factorized_unbind(const mtl_factorized *factorized, mtl_tape *tape)
{
    for (int32_t i = 0; i < factorized->network->count; i++) {
        mtli_tape_pop_binding(tape, &factorized->network->list[i].tensor);
    }
}
