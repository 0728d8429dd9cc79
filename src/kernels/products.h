/* SPDX-License-Identifier: Apache-2.0
 * Matrix products in double in every build, one table per instruction-set level: what small dense linear algebra on
 * matrices of floats stands on. */
#ifndef MTLI_KERNELS_PRODUCTS_H
#define MTLI_KERNELS_PRODUCTS_H

#include <stdint.h>

#include "base/real.h"

/* The library's real type; the files that make these tables call doubles mtli_real, to compile the kernels for them. */
#ifdef MTLI_PRODUCTS_REAL
typedef MTLI_PRODUCTS_REAL mtli_narrow;
#else
typedef mtli_real mtli_narrow;
#endif

enum {
    MTLI_PRODUCTS_ALIGNED = 32
}; /* every panel of a packed matrix is this wide or a divisor of it: any column that
                                        is a multiple begins one, at packed + column * k */

enum { MTLI_PRODUCTS_PAIRS = 32, MTLI_PRODUCTS_PAIRS_SIZE = 4608 }; /* pairs_size(count <= 32) is at most so much */

/* packed_size, pack_b and multiply are gemm_packed_size, gemm_pack_b and gemm_packed of kernels.h. */
typedef struct mtli_products {
    int64_t (*packed_size)(int64_t k, int64_t n);
    void (*pack_b)(int transposed_b, int64_t k, int64_t n, const double *b, int64_t ldb, double *packed);
    void (*multiply)(int transposed_a, int64_t row_begin, int64_t row_end, int64_t n, int64_t k, const double *a,
                     int64_t lda, const double *packed, double *c, int64_t ldc, int accumulate);
    void (*widen)(int64_t n, const mtli_narrow *x, double *y);
    void (*narrow)(int64_t n, const double *x, mtli_narrow *y);
    double (*dot)(int64_t n, const double *x, const double *y);
    /* Inner products of all pairs of `count` vectors, x + t * n: pairs_add adds those of n values to partial sums, kept
     * by lanes in pairs_size(count) doubles that begin as 0; pairs_read writes g[i * count + j] for i <= j. */
    int64_t (*pairs_size)(int64_t count);
    void (*pairs_add)(int64_t count, int64_t n, const double *x, double *partial);
    void (*pairs_read)(int64_t count, const double *partial, double *g);
} mtli_products;

/* The table of a level (enum mtli_level), or of the best one below it that this build has. Never NULL. */
const mtli_products *mtli_products_get(int level);

/* For mtli_products_get() alone: NULL where the level was not compiled in. */
const mtli_products *mtli_products_baseline(void);
const mtli_products *mtli_products_avx2(void);
const mtli_products *mtli_products_avx512(void);

#endif
