/* SPDX-License-Identifier: Apache-2.0
 * Products in double for AVX2 with FMA; the build gives this file the machine flags, and without them the level is
 * absent. */
#if defined(__AVX2__) && defined(__FMA__)

#define MTLI_VECTOR_BYTES 32
#define MTLI_PRODUCTS_GET mtli_products_avx2
#include "kernels/products.inc.c"

#else

#include <stddef.h>

#include "kernels/products.h"

const mtli_products *mtli_products_avx2(void)
{
    return NULL;
}

#endif
