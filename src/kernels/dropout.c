/* SPDX-License-Identifier: Apache-2.0
 * Dropout with Philox 4x32-10 on several counters at once. */
#include "kernels/dropout.h"

#include <string.h>

enum {
    PHILOX_LANES = 16,              /* counters at a time; the inner loops become vectors */
    PHILOX_WORDS = 4 * PHILOX_LANES /* elements at a time */
};

mtli_dropout mtli_dropout_make(uint64_t seed, uint64_t stream, double probability)
{
    double threshold = probability * 4294967296.0;
    mtli_dropout dropout = {
        .seed = seed,
        .stream = stream,
        .threshold = threshold < 4294967295.0 ? (uint32_t)threshold : UINT32_MAX,
        .scale = (mtli_real)(1.0 / (1.0 - probability)),
    };
    return dropout;
}

typedef struct philox_lanes {
    uint32_t c0[PHILOX_LANES], c1[PHILOX_LANES], c2[PHILOX_LANES], c3[PHILOX_LANES];
} philox_lanes;

static void philox_round(philox_lanes *restrict lanes, uint32_t k0, uint32_t k1)
{
    for (int i = 0; i < PHILOX_LANES; i++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * lanes->c0[i];
        uint64_t p1 = (uint64_t)0xCD9E8D57u * lanes->c2[i];
        lanes->c0[i] = (uint32_t)(p1 >> 32) ^ lanes->c1[i] ^ k0;
        lanes->c1[i] = (uint32_t)p1;
        lanes->c2[i] = (uint32_t)(p0 >> 32) ^ lanes->c3[i] ^ k1;
        lanes->c3[i] = (uint32_t)p0;
    }
}

/* The words of the counters first, first + 1, ...: what mtli_philox() gives one counter at a time. */
static void philox_words(const mtli_dropout *dropout, uint64_t first, uint32_t *restrict words)
{
    philox_lanes lanes;
    uint32_t k0 = (uint32_t)dropout->seed;
    uint32_t k1 = (uint32_t)(dropout->seed >> 32);
    for (int i = 0; i < PHILOX_LANES; i++) {
        uint64_t counter = first + (uint64_t)i;
        lanes.c0[i] = (uint32_t)counter;
        lanes.c1[i] = (uint32_t)(counter >> 32);
        lanes.c2[i] = (uint32_t)dropout->stream;
        lanes.c3[i] = (uint32_t)(dropout->stream >> 32);
    }
    for (int round = 0; round < 10; round++) {
        philox_round(&lanes, k0, k1);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < PHILOX_LANES; i++) {
        words[4 * i] = lanes.c0[i];
        words[4 * i + 1] = lanes.c1[i];
        words[4 * i + 2] = lanes.c2[i];
        words[4 * i + 3] = lanes.c3[i];
    }
}

/* y (+)= scale x where words reach the threshold. No branch, because nothing could foresee it. */
static void drop_block(const mtli_dropout *dropout, int64_t n, const uint32_t *words, const mtli_real *x,
                       mtli_real *restrict y, bool accumulate)
{
    uint32_t threshold = dropout->threshold;
    mtli_real kept[PHILOX_WORDS];
    for (int64_t i = 0; i < n; i++) {
        mtli_real value = dropout->scale * x[i];
        kept[i] = words[i] < threshold ? 0 : value;
    }
    if (accumulate) {
        for (int64_t i = 0; i < n; i++) {
            y[i] += kept[i];
        }
    } else {
        memcpy(y, kept, (size_t)n * sizeof y[0]);
    }
}

void mtli_dropout_apply(const mtli_dropout *dropout, int64_t begin, int64_t end, const mtli_real *x, mtli_real *y,
                        bool accumulate)
{
    uint32_t words[PHILOX_WORDS];
    while (begin < end) {
        int64_t start = begin - begin % PHILOX_WORDS;
        int64_t stop = end - start < PHILOX_WORDS ? end : start + PHILOX_WORDS;
        philox_words(dropout, (uint64_t)start / 4, words);
        drop_block(dropout, stop - begin, words + (begin - start), x + begin, y + begin, accumulate);
        begin = stop;
    }
}
