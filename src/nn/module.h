/* SPDX-License-Identifier: Apache-2.0
 * What encoders and heads have in common from inside: parameters, and a description from which they can be made again. */
#ifndef MTLI_NN_MODULE_H
#define MTLI_NN_MODULE_H

#include <mtl/custom.h>
#include <mtl/encoder.h>
#include <mtl/factorized.h>
#include <mtl/head.h>

#include "base/visitor.h"
#include "tensor/parameters.h"

/** What a kind of encoder can do. */
typedef struct mtli_encoder_kind {
    const char *name;
    mtl_tensor *(*forward)(mtl_encoder *encoder, mtl_tape *tape, mtl_tensor *inputs);
    mtl_status (*describe)(const mtl_encoder *encoder, const mtli_visitor *visitor);
    void (*destroy)(mtl_encoder *encoder); /* what the kind owns; NULL: nothing */
    /* Whether two encoders of the kind with parameters of the same names and shapes compute the same; NULL: the kind cannot
     * be a network of a factorized encoder. */
    bool (*same)(const mtl_encoder *a, const mtl_encoder *b);
    void (*share)(mtl_encoder *copy); /* a copy was made of what the kind owns; NULL: nothing to do */
} mtli_encoder_kind;

/** The functions of a custom encoder, with a reference for each encoder that calls them. */
typedef struct mtli_custom_functions {
    mtli_refcount refs;
    mtl_encoder_fn forward;
    void (*destroy)(void *user);
    void *user;
} mtli_custom_functions;

struct mtl_encoder {
    mtl_context *context;
    mtli_refcount refs;
    const mtli_encoder_kind *kind;
    mtli_parameters *parameters;
    int64_t output_dim;
    union {
        mtl_lstm_options lstm;
        mtli_custom_functions *custom;
        struct {
            mtl_encoder *network; /* what the tasks' networks have in common; its parameters are hollow */
            mtl_factorized *factors;
        } factorized;
    } as;
};

struct mtl_head {
    mtl_context *context;
    mtli_refcount refs;
    mtli_parameters *parameters;
    int64_t in_dim;
    int64_t output_dim;
    int32_t kind;
    mtl_head_options options;
    mtl_head *network;       /* of a factorized head: as of a factorized encoder; else NULL */
    mtl_factorized *factors; /* likewise */
};

/** An encoder of a kind without parameters and without the kind's own fields, for the caller to fill in: the memory is
 *  taken before random numbers are, so that a failure does not change what comes next. NULL, with the error set, when there
 *  is none. */
mtl_encoder *mtli_encoder_allocate(mtl_context *context, const mtli_encoder_kind *kind, int64_t output_dim);

/** A head with every field of `other` but parameters, network and factors; likewise. */
mtl_head *mtli_head_allocate(const mtl_head *other);

/** An encoder, or a head, that computes as `other` does and has no values: its parameters are hollow. */
mtl_status mtli_encoder_create_hollow(const mtl_encoder *other, mtl_encoder **out);
mtl_status mtli_head_create_hollow(const mtl_head *other, mtl_head **out);

/** What a head computes, whatever it is. */
mtl_tensor *mtli_head_run(mtl_head *head, mtl_tape *tape, mtl_tensor *features);

/** Shows everything that mtli_encoder_restore() needs; a custom encoder shows its kind only. */
mtl_status mtli_encoder_describe(const mtl_encoder *encoder, const mtli_visitor *visitor);
mtl_status mtli_head_describe(const mtl_head *head, const mtli_visitor *visitor);

/** Makes an encoder from its description; a custom one is MTL_ERROR_UNSUPPORTED. */
mtl_status mtli_encoder_restore(mtl_context *context, const mtli_lookup *lookup, mtl_encoder **out);
mtl_status mtli_head_restore(mtl_context *context, const mtli_lookup *lookup, mtl_head **out);

/** The same without values, as a network of a factorized module; the kind is under the key `key`. */
mtl_status mtli_encoder_restore_hollow(mtl_context *context, const mtli_lookup *lookup, const char *key,
                                       mtl_encoder **out);
mtl_status mtli_head_restore_hollow(mtl_context *context, const mtli_lookup *lookup, const char *key, mtl_head **out);

/** The words that stand for the kinds in a description: "lstm", "custom"; "classifier", "multilabel", "regressor". */
extern const char *const mtli_head_kind_names[3];

#endif
