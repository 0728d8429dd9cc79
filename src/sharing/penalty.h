/* SPDX-License-Identifier: Apache-2.0
 * A penalty from inside: which parameters it is over, what it keeps, and what the objective calls. */
#ifndef MTLI_SHARING_PENALTY_H
#define MTLI_SHARING_PENALTY_H

#include <mtl/sharing.h>

#include "autograd/gradients.h"
#include "base/state.h"
#include "nn/model.h"
#include "sharing/term.h"

/** One name in all networks. */
typedef struct mtli_matched {
    char *name;              /* below the module's */
    mtl_tensor **parameters; /* [T] */
    bool row_sparse;         /* in all networks: may be lazy */
} mtli_matched;

/** The parameters that networks have in common. */
typedef struct mtli_match {
    mtl_context *context;
    int32_t num_networks;
    char (*modules)[MTLI_NAME_SIZE]; /* [T] */
    mtli_parameters **blocks;        /* [T], retained */
    int32_t *places;                 /* [T]: where the block stands in the model */
    int64_t num_stacks;
    mtli_matched *stacks;
    size_t stacks_capacity;
    int64_t num_unmatched;
    char **unmatched; /* whole names */
    size_t unmatched_capacity;
} mtli_match;

/** `patterns` are those of mtl_penalty_options.parameters. */
mtl_status mtli_match_create(mtl_model *model, const char *const *modules, int32_t count, const char *patterns,
                             mtli_match **out);
void mtli_match_destroy(mtli_match *match);

/** Rows of a table that a step touched, and room for some of them from every network. */
typedef struct mtli_touched_rows {
    int64_t capacity; /* of the largest table; 0: no stack is lazy */
    unsigned char *marks;
    mtli_real *values; /* the buffers that w and g point into */
    size_t values_size;
    mtli_real **w;   /* [T] */
    mtli_real **g;   /* [T] */
    int64_t *counts; /* of each stack: the touched rows */
    int32_t **rows;  /* of each stack: [table rows], NULL when it is not lazy */
} mtli_touched_rows;

struct mtl_penalty {
    mtl_context *context;
    mtli_refcount refs;
    double coefficient;
    mtli_term term; /* kind NULL: split */
    double *graph;  /* [T, T] of the term, or NULL */
    double slope;   /* the most in ∂Ω/∂W where weights (or distances of weights) are at most 1 */
    mtli_match *match;
    mtli_real **w;     /* [stacks, T]: what it acts on: the weights, or its share of them */
    mtli_real **spare; /* likewise, of a part: where the next share is made */
    mtli_real *share;  /* of a part: the memory of both */
    size_t share_size;
    mtli_real **g; /* [T]: where a stack's gradient goes */
    void *work;
    size_t work_size;
    mtli_touched_rows touched;
    bool attached;         /* an objective or an optimizer holds it */
    bool is_part;          /* a split penalty has taken it, for good */
    mtl_penalty *parts[2]; /* retained; not NULL: split, `match` is the first part's */
};

/** The arrays of a stack, as a term wants them. */
mtli_stack mtli_penalty_stack(const mtl_penalty *penalty, int64_t index);

/** An empty penalty with one reference; give it back with mtl_penalty_destroy(). */
mtl_penalty *mtli_penalty_allocate(mtl_context *context);

/** Points w at the weights. */
mtl_status mtli_penalty_point_at_weights(mtl_penalty *penalty);

/** Whether all networks are modules of the model. */
bool mtli_penalty_is_over(const mtl_penalty *penalty, const mtl_model *model);

/** Gives the penalty to an objective or an optimizer, with a reference, after a check that it is nobody's. */
mtl_status mtli_penalty_check_free(const mtl_penalty *penalty);
void mtli_penalty_attach(mtl_penalty *penalty);
void mtli_penalty_detach(mtl_penalty *penalty);

/** Whether only the touched rows of a stack count. */
bool mtli_penalty_is_lazy(const mtl_penalty *penalty, int64_t index);

/** Takes the memory that steps on lazy embeddings need. */
mtl_status mtli_penalty_reserve_rows(mtl_penalty *penalty);
void mtli_penalty_release_rows(mtl_penalty *penalty);

/** Of a lazy stack: as what it is called for does to others, for the noted rows. */
mtl_status mtli_penalty_add_row_gradient(mtl_penalty *penalty, int64_t index, mtl_gradients *gradients, double *omega);
mtl_status mtli_penalty_shrink_rows(mtl_penalty *penalty, int64_t index, double tau);

/** Where the gradient of a stack's parameter in network t is kept. */
mtli_gradient_entry *mtli_penalty_entry(const mtl_penalty *penalty, const mtl_gradients *gradients, int64_t index,
                                        int32_t t);

/** Notes which rows of lazy embeddings a pass has touched. All penalties of an objective do so before the first of them
 *  adds rows of its own. */
void mtli_penalty_note_rows(mtl_penalty *penalty, const mtl_gradients *gradients);

/** Ω of a stack, and g_t += coefficient * ∂Ω/∂W_t. `stack` is that of `index` or some of its rows. */
mtl_status mtli_penalty_term_gradient(mtl_penalty *penalty, int64_t index, const mtli_stack *stack, mtli_real *const *g,
                                      double *omega);

/** Adds coefficient * Ω to *value, of lazy embeddings that of the noted rows, and its gradient to the gradients. On failure
 *  some of them have changed. */
mtl_status mtli_penalty_add_gradient(mtl_penalty *penalty, mtl_gradients *gradients, double *value);

/** One proximal step with the learning rate of the parameters. Of one that is not split: stack by stack. */
mtl_status mtli_penalty_proximal_step(mtl_penalty *penalty, double rate, const mtl_gradients *gradients);
mtl_status mtli_penalty_split_step(mtl_penalty *penalty, double rate);

/** coefficient * Ω of one that is not split. */
mtl_status mtli_penalty_own_value(mtl_penalty *penalty, double *value);

/** Shows the coefficient and, of a split penalty, the shares; names begin with `prefix`, at most 24 bytes. */
mtl_status mtli_penalty_visit(mtl_penalty *penalty, const char *prefix, const mtli_state_visitor *visitor);

/** The error of a term that returned false for a stack. */
mtl_status mtli_penalty_fail(const mtl_penalty *penalty, int64_t index);

#endif
