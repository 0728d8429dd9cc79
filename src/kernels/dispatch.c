/* SPDX-License-Identifier: Apache-2.0
 * Chooses the kernel table at run time. */
#include "kernels/levels.h"

#include <stddef.h>

#include <mtl/context.h>

#include "base/isa.h"

_Static_assert(MTL_ISA_AVX2 - MTL_ISA_BASELINE == MTLI_LEVEL_AVX2 &&
                   MTL_ISA_AVX512 - MTL_ISA_BASELINE == MTLI_LEVEL_AVX512,
               "levels follow the public ones");

int mtli_kernels_best_level(void)
{
    return mtli_isa_best() - MTL_ISA_BASELINE;
}

const mtli_kernels *mtli_kernels_get(int level)
{
    if (level < 0 || level > mtli_kernels_best_level()) {
        return NULL;
    }
    switch (level) {
    case MTLI_LEVEL_BASELINE:
        return mtli_kernels_baseline();
    case MTLI_LEVEL_AVX2:
        return mtli_kernels_avx2();
    default:
        return mtli_kernels_avx512();
    }
}
