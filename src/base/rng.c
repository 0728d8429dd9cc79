/* SPDX-License-Identifier: Apache-2.0
 * Philox 4x32-10 and the distributions made from it. */
#include "base/rng.h"

#include <math.h>

enum { ROUNDS = 10 };

#define MULTIPLIER_0 0xD2511F53u
#define MULTIPLIER_1 0xCD9E8D57u
#define WEYL_0 0x9E3779B9u
#define WEYL_1 0xBB67AE85u

void mtli_philox(uint64_t key, uint64_t counter_low, uint64_t counter_high, uint32_t out[4])
{
    uint32_t k0 = (uint32_t)key;
    uint32_t k1 = (uint32_t)(key >> 32);
    uint32_t c0 = (uint32_t)counter_low;
    uint32_t c1 = (uint32_t)(counter_low >> 32);
    uint32_t c2 = (uint32_t)counter_high;
    uint32_t c3 = (uint32_t)(counter_high >> 32);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t p0 = (uint64_t)MULTIPLIER_0 * c0;
        uint64_t p1 = (uint64_t)MULTIPLIER_1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += WEYL_0;
        k1 += WEYL_1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void mtli_rng_init(mtli_rng *rng, uint64_t seed, uint64_t stream)
{
    rng->seed = seed;
    rng->stream = stream;
    rng->index = 0;
    rng->has_spare = false;
}

uint32_t mtli_rng_next(mtli_rng *rng)
{
    if ((rng->index & 3) == 0) {
        mtli_philox(rng->seed, rng->index >> 2, rng->stream, rng->words);
    }
    return rng->words[rng->index++ & 3];
}

double mtli_rng_uniform(mtli_rng *rng)
{
    uint64_t high = mtli_rng_next(rng) >> 5;
    uint64_t low = mtli_rng_next(rng) >> 6;
    return (double)((high << 26) | low) * 0x1p-53;
}

double mtli_rng_normal(mtli_rng *rng)
{
    if (rng->has_spare) {
        rng->has_spare = false;
        return rng->spare;
    }
    double u = 1.0 - mtli_rng_uniform(rng); /* in (0, 1] */
    double v = mtli_rng_uniform(rng);
    double radius = sqrt(-2.0 * log(u));
    double angle = 6.283185307179586 * v;
    rng->spare = radius * sin(angle);
    rng->has_spare = true;
    return radius * cos(angle);
}

static uint64_t next64(mtli_rng *rng)
{
    uint64_t high = mtli_rng_next(rng);
    return (high << 32) | mtli_rng_next(rng);
}

uint64_t mtli_rng_below(mtli_rng *rng, uint64_t n)
{
    uint64_t reject = (0 - n) % n; /* 2^64 mod n: values below it would be drawn once too often */
    uint64_t value;
    do {
        value = next64(rng);
    } while (value < reject);
    return value % n;
}
