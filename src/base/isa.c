/* SPDX-License-Identifier: Apache-2.0
 * Reads the processor's features directly: __builtin_cpu_supports would bring a writable global of libgcc. */
#include "base/isa.h"

#include <stdbool.h>

#include <mtl/context.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

enum {
    OSXSAVE = 1 << 27, /* leaf 1, ecx */
    AVX = 1 << 28,     /* leaf 1, ecx */
    FMA = 1 << 12,     /* leaf 1, ecx */
    AVX2 = 1 << 5,     /* leaf 7, ebx */
    STATE_AVX = 0x06,  /* xcr0: SSE and AVX registers are saved */
    STATE_AVX512 = 0xe6
};

/* leaf 7, ebx: F, DQ, BW, VL */
#define AVX512_FEATURES ((1u << 16) | (1u << 17) | (1u << 30) | (1u << 31))

static uint32_t saved_state(void)
{
    uint32_t low;
    uint32_t high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

int32_t mtli_isa_best(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE) || !(c & AVX) || !(c & FMA)) {
        return MTL_ISA_BASELINE;
    }
    uint32_t state = saved_state();
    if ((state & STATE_AVX) != STATE_AVX || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & AVX2)) {
        return MTL_ISA_BASELINE;
    }
    bool avx512 = (state & STATE_AVX512) == STATE_AVX512 && (b & AVX512_FEATURES) == AVX512_FEATURES;
    return avx512 ? MTL_ISA_AVX512 : MTL_ISA_AVX2;
}

#else

int32_t mtli_isa_best(void)
{
    return MTL_ISA_BASELINE;
}

#endif
