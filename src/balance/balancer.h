/* SPDX-License-Identifier: Apache-2.0
 * A balancer from inside: its options, what it remembers, and one decision. */
#ifndef MTLI_BALANCE_BALANCER_H
#define MTLI_BALANCE_BALANCER_H

#include "balance/rule.h"
#include "base/context.h"
#include "base/real.h"

/** An array that is remembered: the method's, or one of those that every balancer has. */
typedef struct mtli_remembered {
    const mtli_balance_memory *is;
    double *values;
} mtli_remembered;

/** What every balancer remembers, before the method's own. */
enum {
    MTLI_REMEMBERS_STEPS,     /* steps so far */
    MTLI_REMEMBERS_EPOCH,     /* steps of this epoch */
    MTLI_REMEMBERS_WEIGHTS,   /* w_t of the last decision, after smoothing; infinite: none yet */
    MTLI_REMEMBERS_OWN,       /* likewise, what belongs to the task alone */
    MTLI_REMEMBERS_LOSS_MEAN, /* of this epoch */
    MTLI_REMEMBERS_LOSS_COUNT,
    MTLI_REMEMBERS_MEASURED,  /* [T, T] steps in which G_ij was known */
    MTLI_REMEMBERS_CONFLICTS, /* [T, T] those with G_ij < 0 */
    MTLI_REMEMBERS_COMMON
};

enum { MTLI_MAX_REMEMBERED = MTLI_REMEMBERS_COMMON + MTLI_MAX_MEMORIES };

/** The memory of a balancer, for T tasks. */
typedef struct mtli_balancer_room {
    int32_t tasks; /* T; 0 before the first step */
    int32_t num_remembered;
    mtli_remembered remembered[MTLI_MAX_REMEMBERED];
    double *memory; /* of all arrays */
    size_t memory_size;
    int64_t tracked_size; /* P: values of every task that are tracked; 0: none */
    mtli_real *tracked;   /* [T, P] */
    /* of one step */
    double *scratch;
    size_t scratch_size;
    void *work;
    size_t work_size;
    int32_t *present;    /* [T] numbers of the tasks that are present */
    double *own_weights; /* [T] of mtl_balancer_decide() */
} mtli_balancer_room;

struct mtl_balancer {
    mtl_context *context;
    mtli_refcount refs;
    const mtli_balance_rule *rule;
    mtl_balancer_options options; /* every number stands; preference and reference are copies */
    uint64_t seed;
    uint64_t stream; /* of its random numbers */
    bool attached;   /* an objective has it */
    bool busy;       /* in a step, which may have called the host: what is remembered must stay where it is */
    mtl_balance_monitor_fn monitor;
    void *monitor_user;

    mtli_balancer_room room;
    mtl_balance_result result;
    uint64_t gradient_bytes; /* of the objective that has it */
};

/** What a step knows. */
typedef struct mtli_balance_facts {
    const double *losses; /* [T] L_t; NaN: absent */
    const double *gram;   /* [T, T]; NULL: not known */
    const double *cross;  /* [T, T] J₁ J₂ᵀ; NULL but for methods with draws */
    const double *excess; /* [T] excess-mtl: Σ g² / √S */
    const double *after;  /* [T] famo: the losses of the same rows after the update */
} mtli_balance_facts;

/** Takes the memory for T tasks, and for P tracked values of each; again only when the balancer is fresh. */
mtl_status mtli_balancer_prepare(mtl_balancer *balancer, int32_t tasks, int64_t tracked);

/** The number of doubles that are remembered for T tasks; -1: more tasks than the method can have. */
int64_t mtli_balancer_values(const mtl_balancer *balancer, int32_t tasks);

/** MTL_ERROR_STATE inside of a step: a monitor or a custom rule has called. */
mtl_status mtli_balancer_check_idle(const mtl_balancer *balancer);

/** Takes memory for T tasks with unset values; what there was is forgotten. On failure nothing changes. */
mtl_status mtli_balancer_make_room(mtl_balancer *balancer, int32_t tasks, int64_t tracked);

void mtli_balancer_release_room(mtl_context *context, mtli_balancer_room *room);

/** Whether any step may want G; else there may be tens of thousands of tasks. */
bool mtli_balancer_sees_pairs(const mtl_balancer *balancer);

/** Whether the method can serve so many tasks. */
mtl_status mtli_balancer_check_tasks(const mtl_balancer *balancer, int32_t tasks);

/** Whether the coming step decides, or keeps the weights. */
bool mtli_balancer_will_decide(const mtl_balancer *balancer);

/** Whether the coming step wants G: for the decision or for the report. */
bool mtli_balancer_wants_gram(const mtl_balancer *balancer);

/** One step: weights and own [T], 0 for absent tasks; counts it and tells the monitor. After mtli_balancer_prepare().
 *  `own` holds the weights of what belongs to each task alone, by the scope. */
mtl_status mtli_balancer_weigh(mtl_balancer *balancer, const mtli_balance_facts *facts, double *weights, double *own);

/** As mtli_balancer_weigh(), for a gradient that was made without weights: counts the step and tells the monitor. */
mtl_status mtli_balancer_pass(mtl_balancer *balancer, const mtli_balance_facts *facts);

/** The random numbers of the coming step. */
mtli_rng mtli_balancer_rng(const mtl_balancer *balancer);

/** What the method itself remembers, in the order of its table. */
double *mtli_balancer_memory_of(const mtl_balancer *balancer, int32_t index);

/** Steps so far. */
int64_t mtli_balancer_steps(const mtl_balancer *balancer);

/** famo: after the optimizer's step, with the losses before and after it. */
mtl_status mtli_balancer_second_look(mtl_balancer *balancer, const mtli_balance_facts *facts);

/** Options: reads and checks, and copies arrays. */
mtl_status mtli_balancer_take_options(mtl_balancer *balancer, const mtl_balancer_options *given);

/** The number of values of a remembered array. */
int64_t mtli_remembered_count(const mtl_balancer *balancer, const mtli_remembered *array);

/** Values as after creation. */
void mtli_balancer_begin(mtl_balancer *balancer);

mtl_balancer *mtli_balancer_retain(mtl_balancer *balancer);

/** Counts conflicts and calls the monitor. weights and own [T] may be NULL. */
void mtli_balancer_report(mtl_balancer *balancer, const mtli_balance_facts *facts, const double *weights,
                          const double *own);

/** The number of tasks in a saved state; 0: no step was done; -1: not a state. */
int32_t mtli_balancer_state_tasks(const void *buffer, uint64_t size);

#endif
