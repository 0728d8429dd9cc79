/* SPDX-License-Identifier: Apache-2.0
 * The model from inside: modules in the order of addition, and the blocks of parameters below them. */
#ifndef MTLI_NN_MODEL_H
#define MTLI_NN_MODEL_H

#include <mtl/gradients.h>
#include <mtl/model.h>

#include "nn/module.h"

enum { MTLI_NAME_SIZE = 64 };

/** A named encoder or head; exactly one of the two is set. */
typedef struct mtli_model_entry {
    char name[MTLI_NAME_SIZE];
    mtl_encoder *encoder;
    mtl_head *head;
    mtli_parameters *parameters; /* the module's */
    char **parameter_names;      /* "<name>.<parameter>", one per parameter */
} mtli_model_entry;

struct mtl_model {
    mtl_context *context;
    mtli_refcount refs; /* the host's, and one of each objective */
    int32_t num_entries;
    mtli_model_entry *entries;
    size_t capacity;
    int64_t num_parameters;
    int64_t num_values;
    bool sealed; /* gradients or an optimizer were made: no more modules */
};

/** Keeps a model alive after the host's mtl_model_destroy(), which gives one reference back. */
mtl_model *mtli_model_retain(mtl_model *model);

/** No module is added from now on. */
void mtli_model_seal(mtl_model *model);

/** The position of a parameter in the model, from 0; -1 when it is not there. */
int64_t mtli_model_index(const mtl_model *model, const mtl_tensor *parameter);

/** Whether an encoder is in the model. */
bool mtli_model_has_encoder(const mtl_model *model, const mtl_encoder *encoder);

/** The blocks of all modules, for mtli_gradients_create(); num_entries of them. NULL, with the error set, when there is no
 *  memory; give them back with mtli_release(). */
mtli_parameters **mtli_model_blocks(mtl_model *model);

#endif
