/* SPDX-License-Identifier: Apache-2.0
 * One floating-point mode while our kernels run: flush to zero, round to nearest, no traps; the host gets its own back
 * untouched. Vanishing gradients become denormal numbers, which slow every product several times; and with the host's
 * rounding or traps, results would depend on which thread computes what. */
#ifndef MTLI_BASE_FLOAT_MODE_H
#define MTLI_BASE_FLOAT_MODE_H

#include <stdint.h>

#if !defined(MTLI_DOUBLE) && defined(__SSE2__)

#include <immintrin.h>

typedef uint32_t mtli_float_mode;

static inline mtli_float_mode mtli_float_mode_enter(void)
{
    mtli_float_mode previous = _mm_getcsr();
    _mm_setcsr(0x9fc0u); /* flush results and denormal inputs to zero, mask all exceptions, round to nearest */
    return previous;
}

static inline void mtli_float_mode_leave(mtli_float_mode previous)
{
    /* Exception flags that were raised inside stay inside. */
    _mm_setcsr(previous);
}

#elif !defined(MTLI_DOUBLE) && defined(__aarch64__)

typedef uint64_t mtli_float_mode;

static inline mtli_float_mode mtli_float_mode_enter(void)
{
    mtli_float_mode previous;
    __asm__ volatile("mrs %0, fpcr" : "=r"(previous));
    __asm__ volatile("msr fpcr, %0" : : "r"(1ull << 24)); /* the same */
    return previous;
}

static inline void mtli_float_mode_leave(mtli_float_mode previous)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(previous));
}

#else

typedef uint32_t mtli_float_mode;

static inline mtli_float_mode mtli_float_mode_enter(void)
{
    return 0;
}

static inline void mtli_float_mode_leave(mtli_float_mode previous)
{
    (void)previous;
}

#endif

#endif
