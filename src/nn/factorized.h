/* SPDX-License-Identifier: Apache-2.0
 * The networks of several tasks in factors: how each parameter is held, and how a task's is composed on a tape. */
#ifndef MTLI_NN_FACTORIZED_H
#define MTLI_NN_FACTORIZED_H

#include "nn/module.h"

#define MTLI_FACTORIZED_KIND "factorized"
#define MTLI_FACTORIZED_NETWORK_KEY "network"

enum {
    MTLI_MAX_MODES = MTL_MAX_DIMS - 1,     /* of a parameter: with the tasks they are the dimensions of a tensor */
    MTLI_MAX_FACTORS = MTLI_MAX_MODES + 2, /* Tucker: core, modes, tasks */
    MTLI_MAX_FACTORIZED_TASKS = 65536
};

/** How a parameter of the networks is held. */
typedef enum mtli_holding {
    MTLI_HELD_BY_ALL,  /* one for all tasks */
    MTLI_HELD_BY_EACH, /* one for each task */
    MTLI_HELD_IN_FACTORS
} mtli_holding;

typedef struct mtli_held {
    mtli_holding holding;
    int64_t ranks[MTL_MAX_DIMS]; /* IN_FACTORS */
    int32_t first;               /* position of its first parameter among the module's */
    int32_t count;               /* of its parameters */
} mtli_held;

/** The stack of one parameter as a tensor; the dimensions from the third on count as one mode. */
typedef struct mtli_modes {
    int32_t tasks;
    int32_t count;
    int64_t dims[MTLI_MAX_MODES];
} mtli_modes;

/** A factor: what it is called and how large it is. */
typedef struct mtli_factor {
    char suffix[16];
    int32_t ndim;
    int64_t dims[MTL_MAX_DIMS];
} mtli_factor;

struct mtl_factorized {
    mtl_context *context;        /* kept alive by the module */
    int32_t kind;                /* MTL_FACTORIZATION_LAF, .. */
    int32_t tasks;               /* T */
    mtli_parameters *network;    /* hollow; retained */
    mtli_parameters *parameters; /* of the module; retained */
    mtli_held *held;             /* one for each parameter of the network */
};

mtli_modes mtli_stack_modes(const mtl_tensor *parameter, int32_t tasks);

/** How many ranks a kind has. */
int32_t mtli_factor_num_ranks(int32_t kind, const mtli_modes *modes);

/** Whether ranks are possible: at least 1, and not more than the sides of the matrices that they are ranks of. */
bool mtli_factor_ranks_fit(int32_t kind, const mtli_modes *modes, const int64_t *ranks);

/** The factors of a parameter in their order, the task factor last; returns how many they are. Those that are left out
 *  are not among them. */
int32_t mtli_factor_layout(int32_t kind, const mtli_modes *modes, const int64_t *ranks,
                           mtli_factor factors[MTLI_MAX_FACTORS]);

/** Parameters of zeros for a hollow network; holding and ranks of `held` (network->count) are read. */
mtl_status mtli_factorized_create(mtl_context *context, int32_t kind, int32_t tasks, mtli_parameters *network,
                                  const mtli_held *held, mtl_factorized **out);

/** NULL is allowed. */
void mtli_factorized_destroy(mtl_factorized *factorized);

/** The parameter of the network at a position as one task has it: a parameter of the module, or a result of the tape;
 *  the error tensor when the tape fails. */
mtl_tensor *mtli_factorized_compose(const mtl_factorized *factorized, mtl_tape *tape, int32_t index, int32_t task);

/** Puts a task's parameters in the place of the network's on a tape, until the next function is called. */
void mtli_factorized_bind(const mtl_factorized *factorized, mtl_tape *tape, int32_t task);
void mtli_factorized_unbind(const mtl_factorized *factorized, mtl_tape *tape);

/** Shows kind, tasks and ranks. `network` is the kind of the networks. */
mtl_status mtli_factorized_describe(const mtl_factorized *factorized, const char *network, const mtli_visitor *visitor);

/** Makes it again, for a hollow network. */
mtl_status mtli_factorized_restore(mtl_context *context, const mtli_lookup *lookup, mtli_parameters *network,
                                   mtl_factorized **out);

/** Modules without factors yet. They take over `network`, which is hollow, also on failure. */
mtl_status mtli_factorized_encoder_begin(mtl_encoder *network, mtl_encoder **out);
mtl_status mtli_factorized_head_begin(mtl_head *network, mtl_head **out);

/** Gives them their factors, which they take over. */
void mtli_factorized_encoder_finish(mtl_encoder *encoder, mtl_factorized *factors);
void mtli_factorized_head_finish(mtl_head *head, mtl_factorized *factors);

mtl_status mtli_factorized_encoder_restore(mtl_context *context, const mtli_lookup *lookup, mtl_encoder **out);
mtl_status mtli_factorized_head_restore(mtl_context *context, const mtli_lookup *lookup, mtl_head **out);

#endif
