/* SPDX-License-Identifier: Apache-2.0
 * What encoders and heads have in common from inside: parameters, and a description from which they can be made again. */
#ifndef MTLI_NN_MODULE_H
#define MTLI_NN_MODULE_H

#include <mtl/custom.h>
#include <mtl/encoder.h>
#include <mtl/head.h>

#include "base/visitor.h"
#include "tensor/parameters.h"

/** What a kind of encoder can do. */
typedef struct mtli_encoder_kind {
    const char *name;
    mtl_tensor *(*forward)(mtl_encoder *encoder, mtl_tape *tape, mtl_tensor *inputs);
    mtl_status (*describe)(const mtl_encoder *encoder, const mtli_visitor *visitor);
    void (*destroy)(mtl_encoder *encoder); /* what the kind owns; NULL: nothing */
} mtli_encoder_kind;

struct mtl_encoder {
    mtl_context *context;
    mtli_refcount refs;
    const mtli_encoder_kind *kind;
    mtli_parameters *parameters;
    int64_t output_dim;
    union {
        mtl_lstm_options lstm;
        struct {
            mtl_encoder_fn forward;
            void (*destroy)(void *user);
            void *user;
        } custom;
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
};

/** An encoder of a kind with parameters; the kind's own fields are the caller's to fill. */
mtl_status mtli_encoder_create(mtl_context *context, const mtli_encoder_kind *kind, const mtli_parameter_spec *specs,
                               int32_t count, int64_t output_dim, mtl_encoder **out);

/** Shows everything that mtli_encoder_restore() needs; a custom encoder shows its kind only. */
mtl_status mtli_encoder_describe(const mtl_encoder *encoder, const mtli_visitor *visitor);
mtl_status mtli_head_describe(const mtl_head *head, const mtli_visitor *visitor);

/** Makes an encoder from its description; a custom one is MTL_ERROR_UNSUPPORTED. */
mtl_status mtli_encoder_restore(mtl_context *context, const mtli_lookup *lookup, mtl_encoder **out);
mtl_status mtli_head_restore(mtl_context *context, const mtli_lookup *lookup, mtl_head **out);

/** The words that stand for the kinds in a description: "lstm", "custom"; "classifier", "multilabel", "regressor". */
extern const char *const mtli_head_kind_names[3];

#endif
