/* SPDX-License-Identifier: Apache-2.0
 * What a penalty has done to weights: singular values and rank of its matrices, and the weights themselves. */
#include <inttypes.h>
#include <string.h>

#include "base/float_mode.h"
#include "linalg/spectral.h"
#include "sharing/penalty.h"

static bool is_stack(const mtl_penalty *penalty, int64_t index)
{
    return penalty && index >= 0 && index < penalty->match->num_stacks;
}

static mtl_status check_stack_index(const mtl_penalty *penalty, int64_t index)
{
    return is_stack(penalty, index)
               ? MTL_OK
               : mtli_fail(penalty->context, MTL_ERROR_ARGUMENT, "index = %" PRId64 " is not in [0, %" PRId64 ")",
                           index, penalty->match->num_stacks);
}

/* The kind's own matrices; else there is the one with a column per task. */
static bool has_own_matrices(const mtl_penalty *penalty)
{
    return penalty->term.kind && penalty->term.kind->num_matrices;
}

static int64_t count_matrices(const mtl_penalty *penalty, const mtli_stack *stack)
{
    return has_own_matrices(penalty) ? penalty->term.kind->num_matrices(&penalty->term, stack) : 1;
}

int64_t mtl_penalty_num_matrices(const mtl_penalty *penalty, int64_t index)
{
    if (!is_stack(penalty, index)) {
        return 0;
    }
    mtli_stack stack = mtli_penalty_stack(penalty, index);
    return count_matrices(penalty, &stack);
}

/* The singular values of one matrix, in memory that end_spectrum() gives back. */
typedef struct spectrum {
    double *values; /* count; room for more: a tall matrix of tasks has one value per task */
    int64_t count;
    size_t capacity;
    void *work;
    size_t work_size;
} spectrum;

static void end_spectrum(mtl_context *context, spectrum *s)
{
    mtli_release(context, s->values, s->capacity * sizeof s->values[0]);
    mtli_release(context, s->work, s->work_size);
}

static mtl_status reserve_spectrum(const mtl_penalty *penalty, const mtli_stack *stack, int64_t matrix, spectrum *s)
{
    mtl_context *context = penalty->context;
    int64_t least = stack->size < stack->count ? stack->size : stack->count;
    bool own = has_own_matrices(penalty);
    s->count = own ? penalty->term.kind->num_singular_values(&penalty->term, stack, matrix) : least;
    size_t capacity = (size_t)(own ? s->count : stack->count);
    s->values = mtli_allocate_array(context, capacity, sizeof s->values[0]);
    if (!s->values) {
        return context->status;
    }
    s->capacity = capacity;
    if (own) {
        return MTL_OK; /* the penalty's memory serves */
    }
    size_t size = mtli_columns_work(stack->count);
    s->work = mtli_allocate(context, size);
    if (!s->work) {
        return context->status;
    }
    s->work_size = size;
    return MTL_OK;
}

static mtl_status compute_spectrum(const mtl_penalty *penalty, int64_t index, const mtli_stack *stack, int64_t matrix,
                                   const spectrum *s)
{
    const mtli_term *term = &penalty->term;
    mtli_float_mode mode = mtli_float_mode_enter();
    bool done = has_own_matrices(penalty)
                    ? term->kind->singular_values(penalty->context, term, stack, matrix, s->values, penalty->work)
                    : mtli_columns_singular_values(penalty->context, stack->count, stack->size,
                                                   (const mtli_real *const *)stack->w, s->values, s->work);
    mtli_float_mode_leave(mode);
    return done ? MTL_OK : mtli_penalty_fail(penalty, index);
}

/* Call end_spectrum() also after a failure. */
static mtl_status begin_spectrum(const mtl_penalty *penalty, int64_t index, int64_t matrix, spectrum *s)
{
    memset(s, 0, sizeof *s);
    mtl_status status = check_stack_index(penalty, index);
    if (status != MTL_OK) {
        return status;
    }
    mtli_stack stack = mtli_penalty_stack(penalty, index);
    int64_t matrices = count_matrices(penalty, &stack);
    if (matrix < 0 || matrix >= matrices) {
        return mtli_fail(penalty->context, MTL_ERROR_ARGUMENT, "matrix = %" PRId64 " is not in [0, %" PRId64 ")",
                         matrix, matrices);
    }
    status = reserve_spectrum(penalty, &stack, matrix, s);
    return status == MTL_OK ? compute_spectrum(penalty, index, &stack, matrix, s) : status;
}

mtl_status mtl_penalty_singular_values(mtl_penalty *penalty, int64_t index, int64_t matrix, double *values,
                                       int64_t capacity, int64_t *count)
{
    if (!penalty) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = penalty->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, count);
    if (capacity < 0) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "capacity = %" PRId64 " is less than 0", capacity);
    }
    if (capacity > 0) {
        MTLI_REQUIRE(context, values);
    }
    spectrum s;
    mtl_status status = begin_spectrum(penalty, index, matrix, &s);
    if (status == MTL_OK) {
        for (int64_t k = 0; k < capacity && k < s.count; k++) {
            values[k] = s.values[k];
        }
        *count = s.count;
    }
    end_spectrum(context, &s);
    return status;
}

mtl_status mtl_penalty_rank(mtl_penalty *penalty, int64_t index, int64_t matrix, double tolerance, int64_t *rank)
{
    if (!penalty) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = penalty->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, rank);
    if (!(tolerance >= 0 && tolerance < 1)) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "tolerance = %g is not in [0, 1)", tolerance);
    }
    spectrum s;
    mtl_status status = begin_spectrum(penalty, index, matrix, &s);
    if (status == MTL_OK) {
        int64_t above = 0;
        while (above < s.count && s.values[above] > tolerance * s.values[0]) {
            above++;
        }
        *rank = above;
    }
    end_spectrum(context, &s);
    return status;
}

mtl_status mtl_penalty_read(const mtl_penalty *penalty, int64_t index, int32_t network, double *values, int64_t count)
{
    if (!penalty) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = penalty->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, values);
    mtl_status status = check_stack_index(penalty, index);
    if (status != MTL_OK) {
        return status;
    }
    mtli_stack stack = mtli_penalty_stack(penalty, index);
    if (network < 0 || network >= stack.count) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "network = %d is not in [0, %d)", network, stack.count);
    }
    if (count != stack.size) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "count = %" PRId64 ", the parameter has %" PRId64 " values",
                         count, stack.size);
    }
    for (int64_t i = 0; i < count; i++) {
        values[i] = (double)stack.w[network][i];
    }
    return MTL_OK;
}
