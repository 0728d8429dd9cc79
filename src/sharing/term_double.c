/* SPDX-License-Identifier: Apache-2.0
 * The kinds of penalties on arrays of doubles. */
#include "sharing/term_double.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "sharing/laplacian.h"
#include "sharing/spectral_double.h"
#include "sharing/water_fill.h"

typedef double term_scalar;
typedef mtli_stack_double term_stack;

/* The fields of mtli_term_kind that depend on the number. */
typedef struct term_ops {
    const char *name;
    bool compares_tasks;
    bool (*by_rows)(const mtli_term *term);
    bool (*has_proximal)(const mtli_term *term, int32_t count);
    size_t (*work_size)(mtl_context *context, const mtli_term *term, const term_stack *stack);
    bool (*value)(mtl_context *context, const mtli_term *term, const term_stack *stack, double *value, void *work);
    bool (*gradient)(mtl_context *context, const mtli_term *term, const term_stack *stack, double scale,
                     double *const *g, double *value, void *work);
    bool (*proximal)(mtl_context *context, const mtli_term *term, const term_stack *stack, double tau, void *work);
    int64_t (*num_matrices)(const mtli_term *term, const term_stack *stack);
    bool (*singular_values)(mtl_context *context, const mtli_term *term, const term_stack *stack, int64_t matrix,
                            double *values, void *work);
    int64_t (*num_singular_values)(const mtli_term *term, const term_stack *stack, int64_t matrix);
} term_ops;

#define TERM_SCALAR_MAX DBL_MAX
#define TERM_SPECTRAL_ZERO 3e-8 /* what the eigenvectors of a Gram matrix resolve: √ε is 1.5e-8 */
#define TERM_SPECTRAL(name) mtli_##name##_double
#define TERM_COLUMNS_WORK(count, n) mtli_columns_work_double(count, n)

#include "sharing/term_all.inc.c"

size_t mtli_term_work_double(mtl_context *context, const mtli_term *term, const mtli_stack_double *stack)
{
    return term_table[term->options.kind]->work_size(context, term, stack);
}

bool mtli_term_value_double(mtl_context *context, const mtli_term *term, const mtli_stack_double *stack, double *value,
                            void *work)
{
    return term_table[term->options.kind]->value(context, term, stack, value, work);
}

bool mtli_term_gradient_double(mtl_context *context, const mtli_term *term, const mtli_stack_double *stack,
                               double scale, double *const *g, double *value, void *work)
{
    return term_table[term->options.kind]->gradient(context, term, stack, scale, g, value, work);
}

bool mtli_term_proximal_double(mtl_context *context, const mtli_term *term, const mtli_stack_double *stack, double tau,
                               void *work)
{
    return term_table[term->options.kind]->proximal(context, term, stack, tau, work);
}
