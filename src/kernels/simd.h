/* SPDX-License-Identifier: Apache-2.0
 * One vector of reals, as wide as the level that includes this file, so that each kernel is written
 * once. */
#ifndef MTLI_KERNELS_SIMD_H
#define MTLI_KERNELS_SIMD_H

#include "base/real.h"

#include <stdint.h>
#include <string.h>

#ifndef MTLI_VECTOR_BYTES
#error "include this from an isa_*.c file, which sets MTLI_VECTOR_BYTES"
#endif

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define MTLI_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define MTLI_OUTLINE __attribute__((noinline))
#else
#define MTLI_OUTLINE __attribute__((noinline, noclone))
#endif
#define MTLI_LANES ((int)(MTLI_VECTOR_BYTES / sizeof(mtli_real)))

/* Loops over a register tile must vanish for the tile to stay in registers. */
#define MTLI_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define MTLI_UNROLL(n) MTLI_PRAGMA(clang loop unroll(full))
#else
#define MTLI_UNROLL(n) MTLI_PRAGMA(GCC unroll n)
#endif

typedef mtli_real v_real __attribute__((vector_size(MTLI_VECTOR_BYTES)));
/* The same with the alignment of its elements, for memory. */
typedef mtli_real v_real_memory __attribute__((vector_size(MTLI_VECTOR_BYTES), aligned(sizeof(mtli_real)), may_alias));

MTLI_INLINE v_real v_load(const mtli_real *p)
{
    return *(const v_real_memory *)p;
}

MTLI_INLINE void v_store(mtli_real *p, v_real v)
{
    *(v_real_memory *)p = v;
}

MTLI_INLINE v_real v_zero(void)
{
    return (v_real){0};
}

/* x - 0 is x for every x, so this is a plain broadcast. */
MTLI_INLINE v_real v_set1(mtli_real x)
{
    return x - (v_real){0};
}

/* a * b + c, rounded once where the machine can; always written out where a product meets a sum, so
 * that the compiler has no choice of which product to fuse and all tile sizes give the same bits.
 */
MTLI_INLINE v_real v_fma(v_real a, v_real b, v_real c)
{
#if defined(MTLI_DOUBLE)
#if MTLI_VECTOR_BYTES == 64
    return _mm512_fmadd_pd(a, b, c);
#elif MTLI_VECTOR_BYTES == 32
    return _mm256_fmadd_pd(a, b, c);
#elif defined(__FMA__)
    return _mm_fmadd_pd(a, b, c);
#elif defined(__aarch64__)
    return (v_real)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#else
    return a * b + c;
#endif
#else
#if MTLI_VECTOR_BYTES == 64
    return _mm512_fmadd_ps(a, b, c);
#elif MTLI_VECTOR_BYTES == 32
    return _mm256_fmadd_ps(a, b, c);
#elif defined(__FMA__)
    return _mm_fmadd_ps(a, b, c);
#elif defined(__aarch64__)
    return (v_real)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
#endif
}

/* c - a * b */
MTLI_INLINE v_real v_fnma(v_real a, v_real b, v_real c)
{
    return v_fma(-a, b, c);
}

#if MTLI_VECTOR_BYTES == 64

/* n lanes, 0 <= n < all. */
MTLI_INLINE v_real v_load_tail(const mtli_real *p, int64_t n)
{
#ifdef MTLI_DOUBLE
    return _mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
#else
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#endif
}

MTLI_INLINE void v_store_tail(mtli_real *p, v_real v, int64_t n)
{
#ifdef MTLI_DOUBLE
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), v);
#else
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
#endif
}

#else

/* n lanes, 0 <= n < all. Out of line: rare, and there are many tiles. */
static MTLI_OUTLINE v_real v_load_tail(const mtli_real *p, int64_t n)
{
    mtli_real lanes[MTLI_LANES] = {0};
    memcpy(lanes, p, (size_t)n * sizeof *p);
    return v_load(lanes);
}

static MTLI_OUTLINE void v_store_tail(mtli_real *p, v_real v, int64_t n)
{
    mtli_real lanes[MTLI_LANES];
    v_store(lanes, v);
    memcpy(p, lanes, (size_t)n * sizeof *p);
}

#endif

/* The first n lanes from memory and zero in the others; all lanes when n is larger than the vector.
 */
MTLI_INLINE v_real v_load_first(const mtli_real *p, int64_t n)
{
    return n >= MTLI_LANES ? v_load(p) : v_load_tail(p, n);
}

/* The first n lanes to memory; all lanes when n is larger than the vector. */
MTLI_INLINE void v_store_first(mtli_real *p, v_real v, int64_t n)
{
    if (n >= MTLI_LANES)
        v_store(p, v);
    else
        v_store_tail(p, v, n);
}

#ifndef MTLI_DOUBLE

typedef uint32_t v_uint __attribute__((vector_size(MTLI_VECTOR_BYTES)));
typedef int32_t v_int __attribute__((vector_size(MTLI_VECTOR_BYTES)));

/* Where a lane of mask is all ones: a, where it is zero: b. */
MTLI_INLINE v_real v_select(v_int mask, v_real a, v_real b)
{
    return (v_real)(((v_int)a & mask) | ((v_int)b & ~mask));
}

/* Both return b where a or b is NaN: pass the bound first and NaN stays NaN. */
MTLI_INLINE v_real v_min(v_real a, v_real b)
{
#if MTLI_VECTOR_BYTES == 64
    return _mm512_min_ps(a, b);
#elif MTLI_VECTOR_BYTES == 32
    return _mm256_min_ps(a, b);
#elif defined(__SSE2__)
    return _mm_min_ps(a, b);
#else
    return v_select((v_int)(a < b), a, b);
#endif
}

MTLI_INLINE v_real v_max(v_real a, v_real b)
{
#if MTLI_VECTOR_BYTES == 64
    return _mm512_max_ps(a, b);
#elif MTLI_VECTOR_BYTES == 32
    return _mm256_max_ps(a, b);
#elif defined(__SSE2__)
    return _mm_max_ps(a, b);
#else
    return v_select((v_int)(a > b), a, b);
#endif
}

MTLI_INLINE v_real v_abs(v_real x)
{
    return (v_real)((v_uint)x & 0x7fffffffu);
}

/* The magnitude of x, which is not negative, with the sign of s. */
MTLI_INLINE v_real v_with_sign(v_real x, v_real s)
{
    return (v_real)((v_uint)x | ((v_uint)s & 0x80000000u));
}

#endif

#endif
