/* SPDX-License-Identifier: Apache-2.0
 * The state of training as a list: what is fixed, as metadata, and what changes, as tensors, under the names that they
 * have in a file. Saving writes the list, resuming compares and reads it.
 *
 *   mtl.training.random                    U64 [2]: seed of the context's generator, its next stream
 *   mtl.training.objective.weights, ..     what objects show (mtli_objective_visit(), ..)
 *   mtl.training.objective.balancer        U8: mtl_balancer_save_state()
 *   mtl.training.optimizer.steps, ..
 *   mtl.training.sampler.<name>.position
 *   mtl.training.metrics.<name>.confusion, .. */
#ifndef MTLI_CHECKPOINT_TRAINING_H
#define MTLI_CHECKPOINT_TRAINING_H

#include "base/arena.h"
#include "base/state.h"
#include "checkpoint/checkpoint.h"

#define MTLI_KEY_TRAINING "mtl.training"
#define MTLI_TRAINING_PREFIX "mtl.training."
#define MTLI_TRAINING_BALANCER "mtl.training.objective.balancer"
#define MTLI_TRAINING_FORMAT "1"

/** An array of the state of some object; its name is the whole one, in the arena. */
typedef struct mtli_training_array {
    const char *name;
    mtli_state_array is;
} mtli_training_array;

typedef struct mtli_training {
    mtl_context *context;
    mtli_arena arena; /* of names, values and temporaries */
    mtli_training_array *arrays;
    size_t num_arrays;
    size_t arrays_capacity;
    mtli_safetensors_pair *pairs;
    size_t num_pairs;
    size_t pairs_capacity;
    mtl_balancer *balancer; /* the objective's; NULL: none */
    const char *prefix;     /* of the object that is being visited */
} mtli_training;

/** Takes the host's struct over `known`, and checks that all belongs to the model. `name` is the argument's. */
mtl_status mtli_training_import(mtl_model *model, const char *name, const mtl_training_state *given,
                                mtl_training_state *known);

/** Lists the state of everything. On failure too it must be released. */
mtl_status mtli_training_list(mtl_context *context, const mtl_training_state *state, mtli_training *out);
void mtli_training_release(mtli_training *training);

/** Type and size of an array's elements in a file. */
mtli_safetensors_dtype mtli_training_dtype(const mtli_state_array *array);
size_t mtli_training_bytes(const mtli_state_array *array);

#endif
