/* SPDX-License-Identifier: Apache-2.0
 * A whole small training run from text: what tests of interrupted training begin, save, take up again and compare. Public
 * headers only; functions return statuses, so that scenarios with failing allocations can use them. */
#ifndef TESTS_RESUMED_RUN_H
#define TESTS_RESUMED_RUN_H

#include <mtl/mtl.h>

enum { RESUMED_MOST_STEPS = 24, RESUMED_TASKS = 2, RESUMED_SGD = 0, RESUMED_ADAM, RESUMED_ADAMW };

/** How it is trained. */
typedef struct resumed_plan {
    int optimizer;      /* RESUMED_SGD (with momentum), .. */
    int32_t sparse;     /* of embeddings */
    int32_t method;     /* of balancing; -1: none */
    int32_t schedule;   /* MTL_SCHEDULE_.. */
    int split;          /* not 0: a proximal step W = P + Q on the encoder */
    int32_t sampling;   /* MTL_SAMPLING_.. */
    double output_rate; /* dropout on the encoder's result */
} resumed_plan;

/** Adam, no balancer, cosine, no split, dropout. */
resumed_plan resumed_plan_usual(void);

typedef struct resumed_run {
    mtl_context *context; /* borrowed */
    resumed_plan plan;
    mtl_dataset *datasets[RESUMED_TASKS];
    mtl_vocabulary *vocabulary;
    mtl_sampler *sampler;
    mtl_encoder *encoder;
    mtl_head *heads[RESUMED_TASKS];
    mtl_model *model;
    mtl_penalty *ridge, *parts[2], *split;
    mtl_balancer *balancer;
    mtl_objective *objective;
    mtl_optimizer *optimizer;
    mtl_metrics *metrics[RESUMED_TASKS];
    mtl_batch *batch;
    mtl_tensor *logits[RESUMED_TASKS];
    double losses[RESUMED_MOST_STEPS][RESUMED_TASKS + 1]; /* of each step, and the value */
} resumed_run;

/** Everything, before the first step. On failure what was made is there, for resumed_run_destroy(). */
mtl_status resumed_run_create(mtl_context *context, const resumed_plan *plan, resumed_run *out);
void resumed_run_destroy(resumed_run *run);

/** Steps from..to-1. Some steps change weights, rates and coefficients, as hosts do; epochs end on the way. */
mtl_status resumed_run_steps(resumed_run *run, int from, int to);

/** Model and training into a file, and back. */
mtl_status resumed_run_save(resumed_run *run, const char *path);
mtl_status resumed_run_load(resumed_run *run, const char *path);

/** What takes part, for a call; the struct points into static memory and the run. */
mtl_training_state resumed_run_state(resumed_run *run);

#endif
