/* SPDX-License-Identifier: Apache-2.0
 * What a penalty does to weights and gradients: its value, its gradient in a backward pass, its proximal step after an
 * update; all stacks, one after the other. */
#include <math.h>
#include <string.h>

#include "base/float_mode.h"
#include "optim/optimizer.h"
#include "sharing/penalty.h"

static bool values_are_finite(int64_t n, const mtli_real *x)
{
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            return false;
        }
    }
    return true;
}

mtl_status mtli_penalty_fail(const mtl_penalty *penalty, int64_t index)
{
    const mtli_match *match = penalty->match;
    mtli_stack stack = mtli_penalty_stack(penalty, index);
    for (int32_t t = 0; t < stack.count; t++) {
        const mtl_tensor *parameter = match->stacks[index].parameters[t];
        if (!values_are_finite(stack.size, stack.w[t]) || !values_are_finite(stack.size, parameter->data)) {
            return mtli_fail(penalty->context, MTL_ERROR_NUMERIC, "the weights '%s.%.128s' are not finite",
                             match->modules[t], match->stacks[index].name);
        }
    }
    return mtli_fail(penalty->context, MTL_ERROR_NUMERIC,
                     "the penalty '%s' of '%.128s' overflows, or its iteration does not converge",
                     penalty->term.kind ? penalty->term.kind->name : "split", match->stacks[index].name);
}

/* The value. --------------------------------------------------------------------------------------------------------- */

mtl_status mtli_penalty_own_value(mtl_penalty *penalty, double *value)
{
    const mtli_term *term = &penalty->term;
    double sum = 0;
    for (int64_t i = 0; i < penalty->match->num_stacks; i++) {
        mtli_stack stack = mtli_penalty_stack(penalty, i);
        double omega = 0;
        bool done = term->kind->value(penalty->context, term, &stack, &omega, penalty->work);
        sum += omega;
        if (!done || !isfinite(penalty->coefficient * sum)) {
            return mtli_penalty_fail(penalty, i);
        }
    }
    *value = penalty->coefficient * sum;
    return MTL_OK;
}

static mtl_status split_value(mtl_penalty *penalty, double *value)
{
    double first = 0;
    double second = 0;
    mtl_status status = mtli_penalty_own_value(penalty->parts[0], &first);
    if (status == MTL_OK) {
        status = mtli_penalty_own_value(penalty->parts[1], &second);
    }
    *value = penalty->coefficient * (first + second);
    return status;
}

mtl_status mtl_penalty_value(mtl_penalty *penalty, double *value)
{
    if (!penalty) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(penalty->context);
    MTLI_REQUIRE(penalty->context, value);
    double sum = 0;
    mtli_float_mode mode = mtli_float_mode_enter();
    mtl_status status = penalty->parts[0] ? split_value(penalty, &sum) : mtli_penalty_own_value(penalty, &sum);
    mtli_float_mode_leave(mode);
    if (status == MTL_OK) {
        *value = sum;
    }
    return status;
}

/* The gradient. ------------------------------------------------------------------------------------------------------ */

mtli_gradient_entry *mtli_penalty_entry(const mtl_penalty *penalty, const mtl_gradients *gradients, int64_t index,
                                        int32_t t)
{
    const mtli_match *match = penalty->match;
    const mtl_tensor *parameter = match->stacks[index].parameters[t];
    int32_t place = match->places[t];
    if (place < gradients->num_blocks && gradients->blocks[place].parameters == match->blocks[t]) {
        return &gradients->blocks[place].entries[parameter->index];
    }
    return mtli_gradients_find(gradients, parameter); /* of another model with the same modules */
}

static mtl_status prepare_dense(mtl_penalty *penalty, int64_t index, mtl_gradients *gradients)
{
    for (int32_t t = 0; t < penalty->match->num_networks; t++) {
        mtli_gradient_entry *entry = mtli_penalty_entry(penalty, gradients, index, t);
        bool fresh;
        penalty->g[t] = mtli_gradient_entry_dense(gradients, entry, &fresh);
        if (!penalty->g[t]) {
            return gradients->context->status;
        }
        if (fresh) {
            memset(penalty->g[t], 0, (size_t)entry->parameter->size * sizeof penalty->g[t][0]);
        }
    }
    return MTL_OK;
}

/* Whether no element of the gradient can have overflowed, nor anything on the way to it. No element is larger than
 * coefficient * slope * (1 + Ω), and what it is made of (weights, of L2 distances) not larger than 1 + Ω. */
static bool is_far_from_overflow(const mtl_penalty *penalty, double omega)
{
    return isfinite((mtli_real)(1e6 * fmax(penalty->coefficient * penalty->slope, 1) * (1 + omega)));
}

mtl_status mtli_penalty_term_gradient(mtl_penalty *penalty, int64_t index, const mtli_stack *stack, mtli_real *const *g,
                                      double *omega)
{
    const mtli_term *term = &penalty->term;
    if (!isfinite((mtli_real)(penalty->coefficient * penalty->slope)) ||
        !term->kind->gradient(penalty->context, term, stack, penalty->coefficient, g, omega, penalty->work) ||
        !isfinite(penalty->coefficient * *omega)) {
        return mtli_penalty_fail(penalty, index);
    }
    bool finite = true;
    if (!is_far_from_overflow(penalty, *omega)) { /* hardly ever: elsewhere a pass over the gradient is saved */
        for (int32_t t = 0; t < stack->count && finite; t++) {
            finite = values_are_finite(stack->size, g[t]);
        }
    }
    return finite ? MTL_OK : mtli_penalty_fail(penalty, index);
}

static mtl_status add_dense_gradient(mtl_penalty *penalty, int64_t index, mtl_gradients *gradients, double *omega)
{
    mtli_stack stack = mtli_penalty_stack(penalty, index);
    mtl_status status = prepare_dense(penalty, index, gradients);
    return status == MTL_OK ? mtli_penalty_term_gradient(penalty, index, &stack, penalty->g, omega) : status;
}

mtl_status mtli_penalty_add_gradient(mtl_penalty *penalty, mtl_gradients *gradients, double *value)
{
    if (penalty->coefficient == 0) {
        return MTL_OK;
    }
    mtl_status status = MTL_OK;
    double sum = 0;
    mtli_float_mode mode = mtli_float_mode_enter();
    for (int64_t i = 0; i < penalty->match->num_stacks && status == MTL_OK; i++) {
        double omega = 0;
        status = mtli_penalty_is_lazy(penalty, i) ? mtli_penalty_add_row_gradient(penalty, i, gradients, &omega)
                                                  : add_dense_gradient(penalty, i, gradients, &omega);
        sum += omega;
    }
    mtli_float_mode_leave(mode);
    *value += penalty->coefficient * sum;
    return status;
}

/* The proximal step. ------------------------------------------------------------------------------------------------- */

static mtl_status shrink_stack(mtl_penalty *penalty, int64_t index, double tau)
{
    const mtli_term *term = &penalty->term;
    mtli_stack stack = mtli_penalty_stack(penalty, index);
    return term->kind->proximal(penalty->context, term, &stack, tau, penalty->work) ? MTL_OK
                                                                                    : mtli_penalty_fail(penalty, index);
}

static mtl_status shrink_stacks(mtl_penalty *penalty, double tau)
{
    mtl_status status = MTL_OK;
    mtli_float_mode mode = mtli_float_mode_enter();
    for (int64_t i = 0; i < penalty->match->num_stacks && status == MTL_OK; i++) {
        status = mtli_penalty_is_lazy(penalty, i) ? mtli_penalty_shrink_rows(penalty, i, tau)
                                                  : shrink_stack(penalty, i, tau);
    }
    mtli_float_mode_leave(mode);
    return status;
}

mtl_status mtli_penalty_proximal_step(mtl_penalty *penalty, double rate, const mtl_gradients *gradients)
{
    if (penalty->parts[0]) {
        return mtli_penalty_split_step(penalty, rate);
    }
    double tau = rate * penalty->coefficient;
    if (tau == 0) {
        return MTL_OK;
    }
    if (!isfinite((mtli_real)tau)) {
        return mtli_fail(penalty->context, MTL_ERROR_NUMERIC, "learning rate * coefficient = %g * %g is not finite",
                         rate, penalty->coefficient);
    }
    mtli_penalty_note_rows(penalty, gradients);
    return shrink_stacks(penalty, tau);
}

/* As the optimizer calls it. */

static bool proximal_parameter(const void *self, int64_t index, mtli_proximal_parameter *out)
{
    const mtli_match *match = ((const mtl_penalty *)self)->match;
    int64_t stack = index / match->num_networks;
    int64_t t = index % match->num_networks;
    if (stack >= match->num_stacks) {
        return false;
    }
    *out = (mtli_proximal_parameter){match->stacks[stack].parameters[t], match->modules[t], match->places[t]};
    return true;
}

static mtl_status proximal_take_step(void *self, double rate, const mtl_gradients *gradients)
{
    return mtli_penalty_proximal_step(self, rate, gradients);
}

static void proximal_release(void *self)
{
    mtli_penalty_detach(self);
}

static mtl_status proximal_visit(void *self, const char *prefix, const mtli_state_visitor *visitor)
{
    return mtli_penalty_visit(self, prefix, visitor);
}

static mtl_status check_has_proximal(const mtl_penalty *penalty)
{
    const mtli_term *term = &penalty->term;
    if (!term->kind || term->kind->has_proximal(term, penalty->match->num_networks)) {
        return MTL_OK; /* a split penalty has one */
    }
    return mtli_fail(penalty->context, MTL_ERROR_UNSUPPORTED,
                     "no proximal step is known for the kind '%s' with these settings and %d networks",
                     term->kind->name, penalty->match->num_networks);
}

mtl_status mtl_optimizer_add_proximal(mtl_optimizer *optimizer, mtl_penalty *penalty)
{
    if (!optimizer) {
        return MTL_ERROR_ARGUMENT;
    }
    mtl_context *context = optimizer->context;
    mtli_enter(context);
    MTLI_REQUIRE(context, penalty);
    if (penalty->context != context) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "penalty belongs to another context");
    }
    mtl_status status = mtli_penalty_check_free(penalty);
    if (status == MTL_OK) {
        status = check_has_proximal(penalty);
    }
    if (status == MTL_OK) {
        const mtli_proximal proximal = {penalty, proximal_parameter, proximal_take_step, proximal_release,
                                        proximal_visit};
        status = mtli_optimizer_add_proximal(optimizer, &proximal);
    }
    if (status == MTL_OK) {
        mtli_penalty_attach(penalty);
    }
    return status;
}
