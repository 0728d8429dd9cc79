/* SPDX-License-Identifier: Apache-2.0
 * Counter-based random numbers: Philox 4x32-10 (Salmon et al., SC 2011). A number is a function of (seed, stream, index),
 * so results do not depend on the order or the number of threads. */
#ifndef MTLI_BASE_RNG_H
#define MTLI_BASE_RNG_H

#include <stdbool.h>
#include <stdint.h>

/** Four random words for a 128-bit counter and a 64-bit key. */
void mtli_philox(uint64_t key, uint64_t counter_low, uint64_t counter_high, uint32_t out[4]);

/** A sequence of numbers for one purpose. */
typedef struct mtli_rng {
    uint64_t seed;
    uint64_t stream;
    uint64_t index; /* of the next word */
    uint32_t words[4];
    double spare; /* the second normal number of a pair, when has_spare */
    bool has_spare;
} mtli_rng;

void mtli_rng_init(mtli_rng *rng, uint64_t seed, uint64_t stream);

/** The next 32 random bits. */
uint32_t mtli_rng_next(mtli_rng *rng);

/** Uniform in [0, 1), 53 bits. */
double mtli_rng_uniform(mtli_rng *rng);

/** Standard normal (Box & Muller 1958). */
double mtli_rng_normal(mtli_rng *rng);

/** Uniform in [0, n), n >= 1, without bias by rejection. */
uint64_t mtli_rng_below(mtli_rng *rng, uint64_t n);

#endif
