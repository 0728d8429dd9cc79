/* SPDX-License-Identifier: Apache-2.0
 * Philox beside the known answers of its authors, and the distributions made from it. */
#include "support.h"

#include <math.h>

#include "base/rng.h"

/* kat_vectors of the Random123 distribution (Salmon et al. 2011), philox4x32 with 10 rounds. */
static void philox_gives_the_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint64_t key, low, high;
        uint32_t expected[4];
    } known[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint32_t words[4];
        mtli_philox(known[i].key, known[i].low, known[i].high, words);
        assert_memory_equal(words, known[i].expected, sizeof words);
    }
}

static void a_number_depends_on_seed_stream_and_index_only(void **state)
{
    (void)state;
    mtli_rng a;
    mtli_rng b;
    mtli_rng_init(&a, 5, 6);
    uint32_t words[12];
    for (int i = 0; i < 12; i++) {
        words[i] = mtli_rng_next(&a);
    }
    uint32_t block[4];
    for (uint64_t i = 0; i < 3; i++) {
        mtli_philox(5, i, 6, block);
        assert_memory_equal(block, words + 4 * i, sizeof block);
    }
    mtli_rng_init(&b, 5, 6);
    assert_int_equal(mtli_rng_next(&b), words[0]);
    mtli_rng_init(&b, 5, 7);
    assert_int_not_equal(mtli_rng_next(&b), words[0]);
    mtli_rng_init(&b, 6, 6);
    assert_int_not_equal(mtli_rng_next(&b), words[0]);
}

enum { DRAWS = 200000, BINS = 100 };

/* Pearson's statistic has mean BINS - 1 = 99 and standard deviation sqrt(2 * 99) = 14; five of them above is 170. The
 * numbers are fixed by the seed: the test cannot fail by chance. */
static const double chi_square_limit = 170;

static double chi_square(const int *counts, int bins)
{
    double expected = (double)DRAWS / bins;
    double sum = 0;
    for (int i = 0; i < bins; i++) {
        sum += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    return sum;
}

static void uniform_is_uniform(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 1, 0);
    int counts[BINS] = {0};
    for (int i = 0; i < DRAWS; i++) {
        double u = mtli_rng_uniform(&rng);
        assert_true(u >= 0 && u < 1);
        counts[(int)(u * BINS)]++;
    }
    assert_true(chi_square(counts, BINS) < chi_square_limit);
}

static void normal_is_normal(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 2, 0);
    int counts[BINS] = {0};
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < DRAWS; i++) {
        double x = mtli_rng_normal(&rng);
        assert_true(isfinite(x));
        double p = 0.5 * erfc(-x / sqrt(2.0));
        counts[p >= 1 ? BINS - 1 : (int)(p * BINS)]++;
        sum += x;
        squares += x * x;
    }
    assert_true(chi_square(counts, BINS) < chi_square_limit);
    assert_near(sum / DRAWS, 0, 5 / sqrt(DRAWS));           /* five standard errors of the mean, 1 / sqrt(n) */
    assert_near(squares / DRAWS, 1, 5 * sqrt(2.0 / DRAWS)); /* and of the variance, sqrt(2 / n) */
}

static void below_has_no_bias(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 3, 0);
    int counts[BINS] = {0};
    for (int i = 0; i < DRAWS; i++) {
        uint64_t value = mtli_rng_below(&rng, BINS);
        assert_true(value < BINS);
        counts[value]++;
    }
    assert_true(chi_square(counts, BINS) < chi_square_limit);
    /* n = 3/4 of 2^64: without rejection a value below 2^62 would come with probability 1/2, not 1/3. */
    uint64_t n = (uint64_t)3 << 62;
    int low = 0;
    for (int i = 0; i < 30000; i++) {
        uint64_t value = mtli_rng_below(&rng, n);
        assert_true(value < n);
        low += value < (uint64_t)1 << 62;
    }
    assert_near(low, 10000, 5 * sqrt(30000 * (1.0 / 3) * (2.0 / 3))); /* five standard deviations of a binomial */
    for (int i = 0; i < 100; i++) {
        assert_int_equal(mtli_rng_below(&rng, 1), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_known_answers),
        cmocka_unit_test(a_number_depends_on_seed_stream_and_index_only),
        cmocka_unit_test(uniform_is_uniform),
        cmocka_unit_test(normal_is_normal),
        cmocka_unit_test(below_has_no_bias),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
