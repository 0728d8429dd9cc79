/* SPDX-License-Identifier: Apache-2.0
 * Products in double for AVX-512 F, DQ, BW, VL; the build gives this file the machine flags, and without them the level
 * is absent. */
#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__) && defined(__AVX512VL__)

#define MTLI_VECTOR_BYTES 64
#define MTLI_PRODUCTS_GET mtli_products_avx512
#include "kernels/products.inc.c"

#else

#include <stddef.h>

#include "kernels/products.h"

const mtli_products *mtli_products_avx512(void)
{
    return NULL;
}

#endif
