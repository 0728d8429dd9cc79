/* SPDX-License-Identifier: Apache-2.0
 * The kernels for AVX-512 F, DQ, BW, VL; the build gives this file the machine flags, and without
 * them the level is absent. */
#include "kernels/levels.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__) && defined(__AVX512VL__)

#define MTLI_VECTOR_BYTES 64
#define MTLI_ISA_LEVEL MTLI_LEVEL_AVX512
#define MTLI_ISA_NAME "avx512"
#define MTLI_ISA_GET mtli_kernels_avx512
#include "kernels/isa.inc.c"

#else

#include <stddef.h>

const mtli_kernels *mtli_kernels_avx512(void)
{
    return NULL;
}

#endif
