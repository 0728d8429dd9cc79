/* SPDX-License-Identifier: Apache-2.0
 * exp, tanh, sigmoid and erf on vectors; the other kernels use them on registers.
 *
 * Float: x = n ln 2 + r with |r| <= ln 2 / 2, and a minimax polynomial for (e^r - 1 - r) / r^2
 * (relative error of e^r - 1 below 2^-25.9). Coefficients come from a linear-programming fit over
 * Chebyshev nodes, rounded to float from the lowest power upwards. Double: libm for each lane,
 * because the double build exists to be exact. */

#ifdef MTLI_DOUBLE

#include <math.h>

#define MTLI_BY_LANE(expression)                                                                   \
    mtli_real lanes[MTLI_LANES];                                                                   \
    v_store(lanes, x);                                                                             \
    for (int i = 0; i < MTLI_LANES; i++)                                                           \
        lanes[i] = (expression);                                                                   \
    return v_load(lanes)

static v_real v_exp(v_real x)
{
    MTLI_BY_LANE(exp(lanes[i]));
}

static v_real v_tanh(v_real x)
{
    MTLI_BY_LANE(tanh(lanes[i]));
}

static v_real v_sigmoid(v_real x)
{
    MTLI_BY_LANE(1.0 / (1.0 + exp(-lanes[i])));
}

static v_real v_erf(v_real x)
{
    MTLI_BY_LANE(erf(lanes[i]));
}

#else

/* Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits of the sum. */
#define MTLI_ROUNDER 12582912.0f

/* Splits x into n ln 2 + r. Returns e^r - 1; *biased has n in its low bits, as an offset from
 * MTLI_ROUNDER. */
MTLI_INLINE v_real v_exp_minus_one_reduced(v_real x, v_uint *biased)
{
    v_real shifted = v_fma(x, v_set1(1.442695041f), v_set1(MTLI_ROUNDER));
    v_real n = shifted - MTLI_ROUNDER;
    v_real r = v_fnma(n, v_set1(0.693359375f), x); /* exact: nine bits times eight */
    r = v_fnma(n, v_set1(-2.121944401e-4f), r);
    v_real q = v_set1(1.399962814e-3f);
    q = v_fma(q, r, v_set1(8.365280926e-3f));
    q = v_fma(q, r, v_set1(4.166520014e-2f));
    q = v_fma(q, r, v_set1(1.666655689e-1f));
    q = v_fma(q, r, v_set1(5.000000596e-1f));
    *biased = (v_uint)shifted;
    return v_fma(r * r, q, r);
}

/* 2^n for n in [-126, 127] from the low bits of the shifted sum; 128 gives infinity. */
MTLI_INLINE v_real v_power_of_two(v_uint biased)
{
    return (v_real)((biased << 23) + (127u << 23));
}

/* Overflows to infinity, and underflows through the denormal numbers to zero. */
MTLI_INLINE v_real v_exp(v_real x)
{
    v_uint biased;
    x = v_max(v_set1(-104.0f), v_min(v_set1(89.0f), x));
    v_real e = v_exp_minus_one_reduced(x, &biased) + 1.0f;
#if MTLI_VECTOR_BYTES == 64
    return _mm512_scalef_ps(e, (v_real)biased - MTLI_ROUNDER);
#else
    /* n reaches from -150 to 128: scale twice by about its half. */
    v_int n = (v_int)(biased - 0x4b400000u);
    v_int half = n >> 1;
    return e * v_power_of_two((v_uint)half) * v_power_of_two((v_uint)(n - half));
#endif
}

MTLI_INLINE v_real v_sigmoid(v_real x)
{
    v_uint biased;
    /* From n = 128, that is below -88.4, the power is infinite and the result 0. */
    x = v_max(v_set1(-87.3f), v_min(v_set1(89.0f), -x));
    v_real e = v_exp_minus_one_reduced(x, &biased) + 1.0f;
    return 1.0f / v_fma(e, v_power_of_two(biased), v_set1(1.0f));
}

/* From e^2|x| - 1, which keeps its relative accuracy near 0. */
MTLI_INLINE v_real v_tanh(v_real x)
{
    v_uint biased;
    v_real y = v_min(v_set1(10.0f), v_abs(x)); /* the result rounds to 1 from 9.02 */
    v_real p = v_exp_minus_one_reduced(y + y, &biased);
    v_real power = v_power_of_two(biased);
    v_real e = v_fma(power, p, power - 1.0f);
    return v_with_sign(e / (e + 2.0f), x);
}

/* An odd polynomial up to 0.875; above, 1 - e^P(|x|) with P fitted to log erfc. */
MTLI_INLINE v_real v_erf(v_real x)
{
    v_real y = v_abs(x);
    v_real s = x * x;
    v_real near = v_set1(6.440104335e-5f);
    near = v_fma(near, s, v_set1(-7.704294403e-4f));
    near = v_fma(near, s, v_set1(5.163906142e-3f));
    near = v_fma(near, s, v_set1(-2.684507892e-2f));
    near = v_fma(near, s, v_set1(1.128345281e-1f));
    near = v_fma(near, s, v_set1(-3.761262000e-1f));
    near = v_fma(near, s, v_set1(1.283791661e-1f));
    near = v_fma(near, y, y);
    v_real t = v_min(v_set1(4.0f), y); /* erf(4) rounds to 1 */
    v_real far = v_set1(-2.291044802e-5f);
    far = v_fma(far, t, v_set1(4.293620586e-4f));
    far = v_fma(far, t, v_set1(-4.035140853e-3f));
    far = v_fma(far, t, v_set1(2.451070398e-2f));
    far = v_fma(far, t, v_set1(-1.070163399e-1f));
    far = v_fma(far, t, v_set1(-6.347306371e-1f));
    far = v_fma(far, t, v_set1(-1.128740549e+0f));
    far = 1.0f - v_exp(far * t);
    return v_with_sign(v_select((v_int)(y < 0.875f), near, far), x);
}

#endif

#define MTLI_ARRAY_FUNCTION(name, function)                                                        \
    static void name(int64_t n, const mtli_real *x, mtli_real *y)                                  \
    {                                                                                              \
        for (int64_t i = 0; i < n; i += MTLI_LANES)                                                \
            v_store_first(y + i, function(v_load_first(x + i, n - i)), n - i);                     \
    }

MTLI_ARRAY_FUNCTION(array_exp, v_exp)
MTLI_ARRAY_FUNCTION(array_tanh, v_tanh)
MTLI_ARRAY_FUNCTION(array_sigmoid, v_sigmoid)
MTLI_ARRAY_FUNCTION(array_erf, v_erf)
