/* SPDX-License-Identifier: Apache-2.0
 * The kernels for AVX2 with FMA; the build gives this file the machine flags, and without them the
 * level is absent. */
#include "kernels/levels.h"

#if defined(__AVX2__) && defined(__FMA__)

#define MTLI_VECTOR_BYTES 32
#define MTLI_ISA_LEVEL MTLI_LEVEL_AVX2
#define MTLI_ISA_NAME "avx2"
#define MTLI_ISA_GET mtli_kernels_avx2
#include "kernels/isa.inc.c"

#else

#include <stddef.h>

const mtli_kernels *mtli_kernels_avx2(void)
{
    return NULL;
}

#endif
