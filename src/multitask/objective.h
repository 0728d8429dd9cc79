/* SPDX-License-Identifier: Apache-2.0
 * The objective from inside. */
#ifndef MTLI_MULTITASK_OBJECTIVE_H
#define MTLI_MULTITASK_OBJECTIVE_H

#include <mtl/objective.h>

#include "balance/balancer.h"
#include "multitask/task_gradients.h"
#include "nn/model.h"

typedef struct mtli_task {
    char name[MTLI_NAME_SIZE];
    double weight;
    double loss; /* of the last pass; NaN: absent */
} mtli_task;

struct mtl_objective {
    mtl_context *context;
    mtl_model *model;
    bool check_finite;
    bool stepping; /* inside mtl_objective_step(): the tasks stand still */
    double value;  /* of the last pass */
    int32_t num_tasks;
    mtli_task *tasks;
    size_t tasks_capacity;
    int32_t num_shared;
    mtl_encoder **shared; /* retained */
    size_t shared_capacity;
    int32_t num_penalties;
    mtl_penalty **penalties; /* attached */
    size_t penalties_capacity;
    mtl_balancer *balancer;    /* retained and attached; NULL: fixed weights */
    mtli_task_gradients *room; /* of the balancer, made when first needed */
    mtli_real *saved;          /* parameters, while methods with validation rows look ahead */
    size_t saved_capacity;
    bool balancing; /* inside the balancer: it stays */
    double *seeds;  /* of a sweep, one per task */
    size_t seeds_capacity;
    mtl_tensor **losses; /* of mtl_objective_step() */
    size_t losses_capacity;
    mtl_tape *tape;           /* of mtl_objective_step(), made when first needed */
    mtl_gradients *gradients; /* likewise */
};

/** Fails while a step or the balancer is at work. */
mtl_status mtli_objective_check_idle(const mtl_objective *objective);

#endif
