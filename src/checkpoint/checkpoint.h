/* SPDX-License-Identifier: Apache-2.0
 * Checkpoints from inside: the keys of the metadata, and loading without the entry of a public function.
 *
 * Everything that libmtl itself keeps begins with "mtl.": the metadata, and tensors that are no parameters (state of
 * optimizers and samplers). Loading a model leaves such tensors out.
 *
 *   mtl.format                   "1"
 *   mtl.modules                  the names in order, separated by a space
 *   mtl.module.<name>.type       "encoder" or "head"
 *   mtl.module.<name>.<key>      what the module's description says
 *   mtl.vocabulary               the vocabulary as text
 *   mtl.vocabulary_fingerprint   16 hexadecimal digits
 *   mtl.training                 "1", when there is state of training; its names follow in training.h
 *   mtl.checksum, mtl.checksum.* of the metadata and of each tensor: io/safetensors.h */
#ifndef MTLI_CHECKPOINT_CHECKPOINT_H
#define MTLI_CHECKPOINT_CHECKPOINT_H

#include <mtl/checkpoint.h>

#include "io/safetensors.h"

#define MTLI_RESERVED_PREFIX "mtl."
#define MTLI_KEY_FORMAT "mtl.format"
#define MTLI_KEY_MODULES "mtl.modules"
#define MTLI_KEY_MODULE "mtl.module."
#define MTLI_KEY_VOCABULARY "mtl.vocabulary"
#define MTLI_KEY_FINGERPRINT "mtl.vocabulary_fingerprint"
#define MTLI_CHECKPOINT_FORMAT "1"

struct mtl_checkpoint {
    mtl_context *context; /* the file keeps it alive */
    mtli_safetensors *file;
};

/** True for names that belong to libmtl. */
bool mtli_is_reserved(const char *name);

/** The vocabulary of the file; MTL_ERROR_STATE when there is none. */
mtl_status mtli_checkpoint_vocabulary(const mtl_checkpoint *checkpoint, mtl_vocabulary **out);

/** Compares the names, types and shapes of the model's parameters, from position `first`, with the file. */
mtl_status mtli_checkpoint_check(const mtl_checkpoint *checkpoint, mtl_model *model, int64_t first,
                                 const mtl_load_options *options);

/** Loading in two steps. The first checks, and reads into staging memory of *values numbers; the second cannot fail. The
 *  memory is the caller's. */
mtl_status mtli_checkpoint_stage(const mtl_checkpoint *checkpoint, mtl_model *model, const mtl_load_options *options,
                                 mtli_real **staging, size_t *values);
void mtli_checkpoint_commit(const mtl_checkpoint *checkpoint, mtl_model *model, const mtli_real *staging);

/** As mtl_checkpoint_load(), within another public function; the options are whole. */
mtl_status mtli_checkpoint_load(const mtl_checkpoint *checkpoint, mtl_model *model, const mtl_load_options *options);

#endif
