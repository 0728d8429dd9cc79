/* SPDX-License-Identifier: Apache-2.0
 * Chooses the table of products in double at run time. */
#include "kernels/products.h"

#include <stddef.h>

#include "kernels/kernels.h"

const mtli_products *mtli_products_get(int level)
{
    const mtli_products *table = NULL;
    if (level >= MTLI_LEVEL_AVX512) {
        table = mtli_products_avx512();
    }
    if (!table && level >= MTLI_LEVEL_AVX2) {
        table = mtli_products_avx2();
    }
    return table ? table : mtli_products_baseline();
}
