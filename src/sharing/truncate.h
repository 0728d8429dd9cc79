/* SPDX-License-Identifier: Apache-2.0
 * One step of a truncated factorization: a matrix loses its smallest singular directions. */
#ifndef MTLI_SHARING_TRUNCATE_H
#define MTLI_SHARING_TRUNCATE_H

#include "base/arena.h"
#include "base/real.h"

/** What the steps of one factorization have in common. */
typedef struct mtli_truncation {
    mtl_context *context;
    mtli_arena *result; /* for U */
    mtli_arena scratch;
    bool full;        /* ranks do not depend on the values */
    int64_t max_rank; /* 0: no limit */
    double budget;    /* squared norm that the steps to come may discard */
    double used;      /* squared norm that was discarded */
    int32_t left;     /* steps to come: each has an equal share of the budget */
    const char *name; /* of the weights, for messages */
} mtli_truncation;

/** X [rows, columns] ≈ U R with U [rows, rank], orthonormal in its columns, in the result arena, and R [rank, columns]
 *  in `r`, which has room for as much as X. An `optional` U is left out when it saves nothing: then *u is NULL, the
 *  rank is that of the identity, `rows`, and X is R. */
mtl_status mtli_truncate(mtli_truncation *truncation, int64_t rows, int64_t columns, const mtli_real *x, bool optional,
                         mtli_real *r, mtli_real **u, int64_t *rank);

#endif
