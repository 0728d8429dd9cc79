/* SPDX-License-Identifier: Apache-2.0
 * What a balancing method is to the rest of the library: a row of a table. A method that decides weights from losses
 * and the Gram matrix is a function of a `mtli_decision`; the others tell the objective how they work. */
#ifndef MTLI_BALANCE_RULE_H
#define MTLI_BALANCE_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mtl/balance.h>

#include "balance/weights.h"
#include "base/rng.h"

/** How a method comes to a gradient. */
typedef enum mtli_balance_way {
    MTLI_BALANCE_BY_WEIGHTS,     /* weights from losses and G; the gradient is weighted */
    MTLI_BALANCE_BY_COORDINATES, /* from the task gradients themselves */
    MTLI_BALANCE_BY_DRAWS,       /* weights from two draws, the gradient of a third */
    MTLI_BALANCE_BY_VALIDATION   /* weights that lower the losses of validation rows */
} mtli_balance_way;

/** A number among the options: which, its default and its range. */
typedef struct mtli_balance_number {
    size_t offset; /* in mtl_balancer_options */
    double value;  /* the default */
    double least;
    double most; /* exclusive when `below` */
    bool above;  /* least is exclusive */
    bool below;
} mtli_balance_number;

typedef enum mtli_memory_shape {
    MTLI_PER_TASK,
    MTLI_PER_TASK_SHARES, /* shared out between the tasks of a step: what the absent ones have stays theirs */
    MTLI_PER_PAIR,
    MTLI_SINGLE
} mtli_memory_shape;

/** An array that a method remembers. */
typedef struct mtli_balance_memory {
    const char *name; /* NULL: there are no more */
    mtli_memory_shape shape;
    double initial; /* of every value; NaN: 1/T */
    double least;   /* what a saved state may hold */
    double most;
    bool counts; /* whole numbers that a double holds exactly */
} mtli_balance_memory;

enum { MTLI_MAX_MEMORIES = 6, MTLI_MAX_NUMBERS = 6 };

#define MTLI_MOST_COUNTED 9007199254740992.0 /* 2^53: a double counts so far */

/** One decision: the tasks that are present, and what is known about them. Arrays that the method remembers are in
 *  `memory` in the order of its table, those per task or pair for the present tasks only. */
typedef struct mtli_decision {
    const mtl_balancer_options *options; /* without defaults: every number stands */
    int32_t count;                       /* n tasks */
    const int32_t *tasks;                /* [n] */
    const double *losses;                /* [n] */
    const double *gram;                  /* [n, n]; J₁ J₂ᵀ for methods with several draws; NULL when not needed */
    const double *excess;                /* [n] of excess-mtl; NULL else */
    const double *preference;            /* [n]; NULL when there is none */
    const double *reference;             /* [n]; likewise */
    double *memory[MTLI_MAX_MEMORIES];
    int64_t step;           /* from 0, warm-up included */
    bool warm;              /* the warm-up is over */
    mtli_rng rng;           /* numbers of this step */
    double *weights;        /* [n] out */
    double *own;            /* [n] out: weights of what belongs to a task alone, before the scope; 1 each */
    double *scratch;        /* [n, n + 4] */
    void *work;             /* mtli_balance_work(n) */
    mtl_status host_status; /* out: of a custom rule's function */
} mtli_decision;

typedef mtli_balance_result (*mtli_balance_decide)(mtli_decision *decision);

typedef struct mtli_balance_rule {
    const char *name;
    int32_t needs; /* flags of the public header */
    mtli_balance_way way;
    bool mean;           /* its weights are of the scale of a mean */
    bool weighs_all;     /* the published scope: heads too */
    int32_t first_form;  /* the forms that it has: the default .. */
    int32_t last_form;   /* .. and the last; both 0: none */
    bool has_preference; /* options->preference has a meaning */
    bool has_reference;  /* options->reference has */
    mtli_balance_decide decide;
    void (*observe)(mtli_decision *decision); /* before every decision, warm-up included; may be NULL */
    mtli_balance_memory memory[MTLI_MAX_MEMORIES];
    mtli_balance_number numbers[MTLI_MAX_NUMBERS];
} mtli_balance_rule;

/** The row of a method, or NULL. */
const mtli_balance_rule *mtli_balance_rule_find(int32_t method);

/* ---- the methods' functions; rules.c puts them into the table ---- */

mtli_balance_result mtli_decide_equal(mtli_decision *decision);
mtli_balance_result mtli_decide_fixed(mtli_decision *decision);
mtli_balance_result mtli_decide_random(mtli_decision *decision);
mtli_balance_result mtli_decide_uncertainty(mtli_decision *decision);
mtli_balance_result mtli_decide_dwa(mtli_decision *decision);
mtli_balance_result mtli_decide_geometric(mtli_decision *decision);
mtli_balance_result mtli_decide_scale_invariant(mtli_decision *decision);
mtli_balance_result mtli_decide_imtl_l(mtli_decision *decision);
mtli_balance_result mtli_decide_tchebycheff(mtli_decision *decision);
mtli_balance_result mtli_decide_famo(mtli_decision *decision);
mtli_balance_result mtli_decide_boundary(mtli_decision *decision);
mtli_balance_result mtli_decide_cosmos(mtli_decision *decision);
mtli_balance_result mtli_decide_prioritization(mtli_decision *decision);
mtli_balance_result mtli_decide_gradnorm(mtli_decision *decision);
mtli_balance_result mtli_decide_mgda(mtli_decision *decision);
mtli_balance_result mtli_decide_pcgrad(mtli_decision *decision);
mtli_balance_result mtli_decide_gradvac(mtli_decision *decision);
mtli_balance_result mtli_decide_cagrad(mtli_decision *decision);
mtli_balance_result mtli_decide_imtl_g(mtli_decision *decision);
mtli_balance_result mtli_decide_imtl(mtli_decision *decision);
mtli_balance_result mtli_decide_nash(mtli_decision *decision);
mtli_balance_result mtli_decide_fairgrad(mtli_decision *decision);
mtli_balance_result mtli_decide_aligned(mtli_decision *decision);
mtli_balance_result mtli_decide_upgrad(mtli_decision *decision);
mtli_balance_result mtli_decide_dual_projection(mtli_decision *decision);
mtli_balance_result mtli_decide_config(mtli_decision *decision);
mtli_balance_result mtli_decide_krum(mtli_decision *decision);
mtli_balance_result mtli_decide_sdmgrad(mtli_decision *decision);
mtli_balance_result mtli_decide_modo(mtli_decision *decision);
mtli_balance_result mtli_decide_moco(mtli_decision *decision);
mtli_balance_result mtli_decide_db_mtl(mtli_decision *decision);
mtli_balance_result mtli_decide_excess_mtl(mtli_decision *decision);
mtli_balance_result mtli_decide_softmax(mtli_decision *decision);
mtli_balance_result mtli_decide_custom(mtli_decision *decision);

/** Mean losses of the warm-up, or of the first step, in memory[0]; memory[1] counts. */
void mtli_observe_first_losses(mtli_decision *decision);

#endif
