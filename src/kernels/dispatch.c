/* SPDX-License-Identifier: Apache-2.0
 * Chooses the kernel table at run time, by asking the processor directly: the compiler's own test
 * (__builtin_cpu_supports) would bring a writable variable of libgcc into the library. */
#include "kernels/levels.h"

#include <stddef.h>

#if defined(__x86_64__) || defined(__i386__)

#include <cpuid.h>

#define BIT(n) (1u << (n))

/* The register state that the operating system saves (XCR0). */
static unsigned enabled_state(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

int mtli_kernels_best_level(void)
{
    const unsigned fma_osxsave_avx = BIT(12) | BIT(27) | BIT(28);
    const unsigned avx512_f_dq_bw_vl = BIT(16) | BIT(17) | BIT(30) | BIT(31);
    const unsigned ymm_state = 0x06, zmm_state = 0xe6;
    unsigned a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & fma_osxsave_avx) != fma_osxsave_avx)
        return MTLI_LEVEL_BASELINE;
    unsigned state = enabled_state();
    if ((state & ymm_state) != ymm_state || !__get_cpuid_count(7, 0, &a, &b, &c, &d) ||
        !(b & BIT(5)))
        return MTLI_LEVEL_BASELINE;
    if ((state & zmm_state) != zmm_state || (b & avx512_f_dq_bw_vl) != avx512_f_dq_bw_vl)
        return MTLI_LEVEL_AVX2;
    return MTLI_LEVEL_AVX512;
}

#else

int mtli_kernels_best_level(void)
{
    return MTLI_LEVEL_BASELINE;
}

#endif

const mtli_kernels *mtli_kernels_get(int level)
{
    if (level < 0 || level > mtli_kernels_best_level())
        return NULL;
    switch (level) {
    case MTLI_LEVEL_BASELINE:
        return mtli_kernels_baseline();
    case MTLI_LEVEL_AVX2:
        return mtli_kernels_avx2();
    default:
        return mtli_kernels_avx512();
    }
}
