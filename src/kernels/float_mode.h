/* SPDX-License-Identifier: Apache-2.0
 * Flush-to-zero around the kernels: gradients that vanish along a sequence become denormal numbers,
 * which slow every product several times. The host gets its own mode back untouched. */
#ifndef MTLI_KERNELS_FLOAT_MODE_H
#define MTLI_KERNELS_FLOAT_MODE_H

#include <stdint.h>

#if !defined(MTLI_DOUBLE) && defined(__SSE2__)

#include <xmmintrin.h>

/* FTZ is bit 15 and DAZ bit 6 of MXCSR. Both are per thread. */
static inline uint64_t mtli_float_mode_enter(void)
{
    unsigned state = _mm_getcsr();
    _mm_setcsr(state | 0x8040u);
    return state;
}

static inline void mtli_float_mode_leave(uint64_t state)
{
    /* Exception flags raised inside are dropped: the host sees none of our inexact results. */
    _mm_setcsr((unsigned)state);
}

#elif !defined(MTLI_DOUBLE) && defined(__aarch64__)

/* FZ is bit 24 of FPCR; it flushes inputs and results. */
static inline uint64_t mtli_float_mode_enter(void)
{
    uint64_t state;
    __asm__ volatile("mrs %0, fpcr" : "=r"(state)::"memory");
    __asm__ volatile("msr fpcr, %0" ::"r"(state | (UINT64_C(1) << 24)) : "memory");
    return state;
}

static inline void mtli_float_mode_leave(uint64_t state)
{
    __asm__ volatile("msr fpcr, %0" ::"r"(state) : "memory");
}

#else

static inline uint64_t mtli_float_mode_enter(void)
{
    return 0;
}

static inline void mtli_float_mode_leave(uint64_t state)
{
    (void)state;
}

#endif

#endif
