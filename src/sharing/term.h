/* SPDX-License-Identifier: Apache-2.0
 * What a kind of penalty is: the value, the gradient and the proximal step of Ω on one stack, as functions on
 * arrays. */
#ifndef MTLI_SHARING_TERM_H
#define MTLI_SHARING_TERM_H

#include <mtl/sharing.h>

#include "base/context.h"
#include "base/real.h"

/** One parameter in all networks. */
typedef struct mtli_stack {
    int32_t count; /* T */
    int32_t ndim;
    int64_t dims[MTL_MAX_DIMS]; /* of one network's tensor */
    int64_t rows, columns;      /* as a matrix: [first, rest]; a column when there is one dimension */
    int64_t size;               /* rows * columns */
    mtli_real *const *w;        /* [T] */
} mtli_stack;

/** Ω with its settings. `graph` is symmetric here: a_ij + a_ji, 0 on the diagonal; NULL: 2 everywhere else. */
typedef struct mtli_term {
    const struct mtli_term_kind *kind;
    mtl_penalty_options options; /* pointers are not read */
    const double *graph;
} mtli_term;

/** Pure functions; `work` is work_size() bytes aligned to 64. None of them allocates. They return false, having
 *  changed nothing, when the weights (or what is computed of them) are not finite or an eigen-solver does not
 *  converge. Results do not depend on threads. */
typedef struct mtli_term_kind {
    const char *name;
    bool compares_tasks; /* needs two networks */
    /* Whether it may be applied to a subset of the parameter's rows, with these settings: lazy embeddings. */
    bool (*by_rows)(const mtli_term *term);
    /* Whether the proximal step is known for these settings and this number of networks. */
    bool (*has_proximal)(const mtli_term *term, int32_t count);
    size_t (*work_size)(mtl_context *context, const mtli_term *term, const mtli_stack *stack);
    /* Ω */
    bool (*value)(mtl_context *context, const mtli_term *term, const mtli_stack *stack, double *value, void *work);
    /* Ω, and g_t += scale * ∂Ω/∂W_t. g[t] has the layout of w[t]. */
    bool (*gradient)(mtl_context *context, const mtli_term *term, const mtli_stack *stack, double scale,
                     mtli_real *const *g, double *value, void *work);
    /* W ← argmin_V ½ ‖V - W‖² + tau Ω(V), for a finite tau >= 0. With tau = 0 nothing is done, nor looked at. */
    bool (*proximal)(mtl_context *context, const mtli_term *term, const mtli_stack *stack, double tau, void *work);
    /* The matrices whose singular values are told (mtl_penalty_num_matrices()); NULL: the one of the tasks. */
    int64_t (*num_matrices)(const mtli_term *term, const mtli_stack *stack);
    bool (*singular_values)(mtl_context *context, const mtli_term *term, const mtli_stack *stack, int64_t matrix,
                            double *values, void *work);
    /* How many singular_values() writes: the smaller side of the matrix. NULL together with it. */
    int64_t (*num_singular_values)(const mtli_term *term, const mtli_stack *stack, int64_t matrix);
} mtli_term_kind;

/** The kind of a number of mtl_penalty_options.kind; NULL when there is none. */
const mtli_term_kind *mtli_term_kind_find(int32_t kind);

#endif
