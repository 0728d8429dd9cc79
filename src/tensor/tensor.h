/* SPDX-License-Identifier: Apache-2.0
 * The tensor from inside. */
#ifndef MTLI_TENSOR_TENSOR_H
#define MTLI_TENSOR_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mtl/tensor.h>

#include "base/context.h"
#include "base/real.h"

#ifdef MTLI_DOUBLE
#define MTLI_DTYPE_REAL MTL_FLOAT64
#else
#define MTLI_DTYPE_REAL MTL_FLOAT32
#endif

typedef struct mtli_parameters mtli_parameters;

/** Who owns a tensor. */
typedef enum mtli_tensor_kind {
    MTLI_TENSOR_HOST,      /* reference-counted, made by the host */
    MTLI_TENSOR_PARAMETER, /* part of a module's block */
    MTLI_TENSOR_TAPE,      /* result of an operation */
    MTLI_TENSOR_ERROR      /* what a failed operation returns */
} mtli_tensor_kind;

/** Row offsets of a ragged tensor; belongs to a host tensor, results of a tape point to it. */
typedef struct mtli_ragged {
    int64_t rows;
    const int64_t *offsets; /* rows + 1 */
} mtli_ragged;

/** Shape and type: what a tensor is before it has data. */
typedef struct mtli_shape {
    mtl_dtype dtype;
    int32_t ndim;
    int64_t dims[MTL_MAX_DIMS];
    const mtli_ragged *ragged; /* NULL: not ragged */
} mtli_shape;

/* Invariants: size = product of shape.dims; size * element size fits in size_t; ragged tensors have dims[0] = offsets[rows].
 * A host tensor's capacity may exceed its size (batches reuse their tensors); its data is not NULL, though it be empty. */
struct mtl_tensor {
    mtl_context *context; /* HOST, PARAMETER: kept alive by the owner; TAPE: the tape's; ERROR of no tape: NULL */
    mtli_refcount refs;   /* HOST */
    mtli_tensor_kind kind;
    mtli_shape shape;
    int64_t size;
    void *data;
    size_t capacity;             /* HOST: bytes of data */
    mtli_ragged ragged;          /* HOST: shape.ragged points here */
    int64_t offsets_capacity;    /* HOST: elements of ragged.offsets */
    mtli_parameters *parameters; /* PARAMETER */
    const void *tape;            /* TAPE, ERROR: the tape that it belongs to, for comparison only */
    uint32_t generation;         /* TAPE: of its tape when it was made */
    int32_t index;               /* PARAMETER: position in its block; TAPE: position among the tape's results */
    bool absent;                 /* TAPE: a loss that found no labelled row */
    bool needs_gradient;         /* TAPE: a parameter or watched tensor is behind it */
};

size_t mtli_dtype_size(mtl_dtype dtype);
const char *mtli_dtype_name(mtl_dtype dtype);

/** The type in which this build stores what the host calls `dtype`; false when it stores no such thing. */
bool mtli_stored_dtype(mtl_dtype dtype, mtl_dtype *stored);

/** Number of elements of a shape; fails (on the context) when it or its bytes overflow, or a size is negative. */
mtl_status mtli_shape_size(mtl_context *context, const mtli_shape *shape, int64_t *size);

mtli_shape mtli_make_shape(mtl_dtype dtype, int32_t ndim, const int64_t *dims);
bool mtli_same_dims(const mtli_shape *a, const mtli_shape *b);

/** The last size; 1 for a scalar. */
int64_t mtli_features(const mtl_tensor *tensor);
/** The product of all sizes but the last; 1 for a scalar. */
int64_t mtli_leading(const mtl_tensor *tensor);

enum { MTLI_SHAPE_TEXT = 96 };
/** "[3, 4]" or "ragged [12, 4]" for messages; returns `text`. */
const char *mtli_shape_text(const mtli_shape *shape, char text[MTLI_SHAPE_TEXT]);

/** A host tensor that is to be filled, uninitialized. */
mtl_status mtli_tensor_create(mtl_context *context, const mtli_shape *shape, mtl_tensor **out);

/** A host tensor without room, for mtli_tensor_resize(). */
mtl_status mtli_tensor_create_empty(mtl_context *context, mtl_dtype dtype, mtl_tensor **out);

/** Gives a host tensor that nobody else holds a new shape, allocating only when it must grow; contents are lost.
 *  `rows` < 0: not ragged; else the offsets (rows + 1) become writable through mtli_tensor_offsets(). */
mtl_status mtli_tensor_resize(mtl_tensor *tensor, int32_t ndim, const int64_t *dims, int64_t rows);
int64_t *mtli_tensor_offsets(mtl_tensor *tensor);

/** Converts count elements between types; real and int32 do not mix. The error goes to the context. */
mtl_status mtli_convert(mtl_context *context, mtl_dtype to, void *destination, mtl_dtype from, const void *source,
                        size_t count);

#endif
