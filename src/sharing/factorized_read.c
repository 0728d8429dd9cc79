/* SPDX-License-Identifier: Apache-2.0
 * What a factorized module tells of itself: ranks, what the tasks have in common, and the weights of one task. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "autograd/tape.h"
#include "nn/factorized.h"

int32_t mtl_factorized_num_tasks(const mtl_factorized *factorized)
{
    return factorized ? factorized->tasks : 0;
}

/* The beginning of a function that is asked about a parameter of the networks: finds its position. */
static mtl_status enter_factorized(const mtl_factorized *factorized, const char *function, const char *name,
                                   int32_t *index)
{
    if (!factorized) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter_function(factorized->context, function);
    MTLI_REQUIRE(factorized->context, name);
    const mtl_tensor *parameter = mtli_parameters_find(factorized->network, name);
    if (!parameter) {
        return mtli_fail(factorized->context, MTL_ERROR_ARGUMENT, "the networks have no parameter '%.128s'", name);
    }
    *index = parameter->index;
    return MTL_OK;
}

mtl_status mtl_factorized_ranks(const mtl_factorized *factorized, const char *name, int64_t *ranks, int64_t capacity,
                                int64_t *count)
{
    int32_t index = 0;
    mtl_status status = enter_factorized(factorized, __func__, name, &index);
    if (status != MTL_OK) {
        return status;
    }
    mtl_context *context = factorized->context;
    MTLI_REQUIRE(context, count);
    if (capacity < 0 || (capacity > 0 && !ranks)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "capacity = %" PRId64 ", ranks is %s", capacity,
                         ranks ? "not NULL" : "NULL");
    }
    const mtli_held *held = &factorized->held[index];
    mtli_modes modes = mtli_stack_modes(&factorized->network->list[index].tensor, factorized->tasks);
    *count = held->holding == MTLI_HELD_IN_FACTORS ? mtli_factor_num_ranks(factorized->kind, &modes) : 0;
    for (int64_t k = 0; k < *count && k < capacity; k++) {
        ranks[k] = held->ranks[k];
    }
    return MTL_OK;
}

/* Sharing. --------------------------------------------------------------------------------------------------------- */

/* |row|, through a softmax, to length 1: the inner product of two such rows is their cosine. */
static void normalize_task(int64_t rank, const mtli_real *row, double *out)
{
    double most = 0;
    double sum = 0;
    for (int64_t k = 0; k < rank; k++) {
        most = fmax(most, fabs((double)row[k]));
    }
    for (int64_t k = 0; k < rank; k++) {
        out[k] = exp(fabs((double)row[k]) - most);
        sum += out[k] * out[k];
    }
    for (int64_t k = 0; k < rank; k++) {
        out[k] /= sqrt(sum);
    }
}

typedef struct task_rows {
    const mtl_factorized *factorized;
    const mtli_held *held;
    int64_t rank;
    double *rows; /* [T, rank]; NULL: not in factors */
} task_rows;

static double cosine_of_tasks(const task_rows *tasks, int32_t s, int32_t t)
{
    if (s == t || !tasks->rows) {
        return s == t || tasks->held->holding == MTLI_HELD_BY_ALL ? 1 : 0;
    }
    double sum = 0;
    for (int64_t k = 0; k < tasks->rank; k++) {
        sum += tasks->rows[s * tasks->rank + k] * tasks->rows[t * tasks->rank + k];
    }
    return sum;
}

static void compare_tasks(const task_rows *tasks, double *cosines, double *strength)
{
    int32_t count = tasks->factorized->tasks;
    double sum = 0;
    for (int32_t s = 0; s < count; s++) {
        for (int32_t t = 0; t < count; t++) {
            double cosine = cosine_of_tasks(tasks, s, t);
            sum += t > s ? cosine : 0;
            if (cosines) {
                cosines[(int64_t)s * count + t] = cosine;
            }
        }
    }
    if (strength) {
        *strength = count > 1 ? sum / (0.5 * count * (count - 1)) : 1;
    }
}

static mtl_status compare_task_factors(const mtl_factorized *factorized, const mtli_held *held, double *cosines,
                                       double *strength)
{
    mtl_context *context = factorized->context;
    const mtl_tensor *factor = &factorized->parameters->list[held->first + held->count - 1].tensor;
    task_rows tasks = {.factorized = factorized, .held = held, .rank = factor->shape.dims[1]};
    for (int64_t i = 0; i < factor->size; i++) {
        if (!isfinite(((const mtli_real *)factor->data)[i])) {
            return mtli_fail(context, MTL_ERROR_NUMERIC, "'%.128s' is not finite",
                             factorized->parameters->list[factor->index].name);
        }
    }
    tasks.rows = mtli_allocate_array(context, (size_t)factor->size, sizeof tasks.rows[0]);
    if (!tasks.rows) {
        return context->status;
    }
    for (int64_t t = 0; t < factorized->tasks; t++) {
        normalize_task(tasks.rank, (const mtli_real *)factor->data + t * tasks.rank, tasks.rows + t * tasks.rank);
    }
    compare_tasks(&tasks, cosines, strength);
    mtli_release(context, tasks.rows, (size_t)factor->size * sizeof tasks.rows[0]);
    return MTL_OK;
}

mtl_status mtl_factorized_sharing(const mtl_factorized *factorized, const char *name, double *cosines, int64_t count,
                                  double *strength)
{
    int32_t index = 0;
    mtl_status status = enter_factorized(factorized, __func__, name, &index);
    if (status != MTL_OK) {
        return status;
    }
    mtl_context *context = factorized->context;
    int64_t needed = cosines ? (int64_t)factorized->tasks * factorized->tasks : 0;
    if (count != needed) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "count = %" PRId64 " is not %" PRId64, count, needed);
    }
    const mtli_held *held = &factorized->held[index];
    if (held->holding == MTLI_HELD_IN_FACTORS) {
        return compare_task_factors(factorized, held, cosines, strength);
    }
    const task_rows tasks = {.factorized = factorized, .held = held};
    compare_tasks(&tasks, cosines, strength);
    return MTL_OK;
}

/* Weights. --------------------------------------------------------------------------------------------------------- */

static mtl_status read_composed(const mtl_factorized *factorized, int32_t index, int32_t task, double *values,
                                int64_t count)
{
    mtl_context *context = factorized->context;
    const char *function = context->function;
    mtl_tape *tape = NULL;
    mtl_status status = mtl_tape_create(context, NULL, &tape);
    context->function = function;
    if (status != MTL_OK) {
        return status;
    }
    const mtl_tensor *weights = mtli_factorized_compose(factorized, tape, index, task);
    status = tape->status;
    if (status == MTL_OK) {
        status = mtli_convert(context, MTL_FLOAT64, values, MTLI_DTYPE_REAL, weights->data, (size_t)count);
    }
    mtl_tape_destroy(tape);
    context->function = function;
    return status;
}

mtl_status mtl_factorized_read(const mtl_factorized *factorized, const char *name, int32_t task, double *values,
                               int64_t count)
{
    int32_t index = 0;
    mtl_status status = enter_factorized(factorized, __func__, name, &index);
    if (status != MTL_OK) {
        return status;
    }
    mtl_context *context = factorized->context;
    MTLI_REQUIRE(context, values);
    if (task < 0 || task >= factorized->tasks) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "task = %d is not in [0, %d)", task, factorized->tasks);
    }
    int64_t size = factorized->network->list[index].tensor.size;
    if (count != size) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "count = %" PRId64 " is not %" PRId64, count, size);
    }
    return read_composed(factorized, index, task, values, count);
}
