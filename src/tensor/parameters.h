/* SPDX-License-Identifier: Apache-2.0
 * The parameters of one module: named tensors in one block of memory. Encoders and heads have one each; gradients and
 * optimizers hold on to it. */
#ifndef MTLI_TENSOR_PARAMETERS_H
#define MTLI_TENSOR_PARAMETERS_H

#include "base/rng.h"
#include "tensor/tensor.h"

/** How a parameter begins. */
typedef enum mtli_init {
    MTLI_INIT_ZEROS,
    MTLI_INIT_ONES,
    MTLI_INIT_UNIFORM, /* in [-scale, scale] */
    MTLI_INIT_NORMAL   /* standard deviation scale */
} mtli_init;

typedef struct mtli_parameter_spec {
    const char *name; /* copied */
    int32_t ndim;
    int64_t dims[MTL_MAX_DIMS];
    mtli_init init;
    double scale;
    bool row_sparse; /* gradients are kept as touched rows */
} mtli_parameter_spec;

typedef struct mtli_parameter {
    mtl_tensor tensor;
    char *name;
    size_t offset; /* of the first value in the block */
    bool row_sparse;
} mtli_parameter;

/* Each parameter begins at a multiple of MTLI_ALIGNMENT bytes; the gaps hold zeros, so whole blocks can be swept. */
struct mtli_parameters {
    mtl_context *context;
    mtli_refcount refs;
    int32_t count;
    mtli_parameter *list;
    mtli_real *block;  /* NULL: hollow */
    size_t block_size; /* values, gaps included */
};

mtl_status mtli_parameters_create(mtl_context *context, const mtli_parameter_spec *specs, int32_t count,
                                  mtli_parameters **out);

/** Names and shapes alone: no block, tensors without data. For modules whose parameters are bound on every tape. */
mtl_status mtli_parameters_create_hollow(mtl_context *context, const mtli_parameter_spec *specs, int32_t count,
                                         mtli_parameters **out);
mtli_parameters *mtli_parameters_retain(mtli_parameters *parameters);
void mtli_parameters_release(mtli_parameters *parameters);

/** The parameter of that name, or NULL. */
mtl_tensor *mtli_parameters_find(mtli_parameters *parameters, const char *name);

#endif
