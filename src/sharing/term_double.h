/* SPDX-License-Identifier: Apache-2.0
 * The kinds of penalties on arrays of doubles, in every build: linear models are solved in double precision. */
#ifndef MTLI_SHARING_TERM_DOUBLE_H
#define MTLI_SHARING_TERM_DOUBLE_H

#include "sharing/term.h"

/** One parameter of all tasks; the fields are those of mtli_stack. */
typedef struct mtli_stack_double {
    int32_t count;
    int32_t ndim;
    int64_t dims[MTL_MAX_DIMS];
    int64_t rows, columns;
    int64_t size;
    double *const *w;
} mtli_stack_double;

/* What the functions of the same names in mtli_term_kind do, for the kind of the term; `work` is
 * mtli_term_work_double() bytes aligned to 64. term->kind->has_proximal() and by_rows() hold for doubles too. The
 * context lends its threads; it may be NULL. */

size_t mtli_term_work_double(mtl_context *context, const mtli_term *term, const mtli_stack_double *stack);

bool mtli_term_value_double(mtl_context *context, const mtli_term *term, const mtli_stack_double *stack, double *value,
                            void *work);

/** g[t] += scale * ∂Ω/∂W_t. */
bool mtli_term_gradient_double(mtl_context *context, const mtli_term *term, const mtli_stack_double *stack,
                               double scale, double *const *g, double *value, void *work);

/** W ← argmin_V ½ ‖V - W‖² + tau Ω(V) in place; the kind has a proximal step for stack->count tasks. */
bool mtli_term_proximal_double(mtl_context *context, const mtli_term *term, const mtli_stack_double *stack, double tau,
                               void *work);

#endif
