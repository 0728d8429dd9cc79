/* SPDX-License-Identifier: Apache-2.0
 * What must hold for operations on ragged sequences whatever the numbers: rows do not see each other, threads do not
 * change a bit, levels agree to rounding, the host's floating-point mode stays. */
#include "support/support_sequence.h"

#include <math.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

static const int64_t lengths[] = {7, 0, 31, 1, 2, 12, 64, 0, 2, 33, 18, 7, 90, 5};

enum { ROWS = sizeof lengths / sizeof lengths[0], VOCABULARY = 60 };

/* 272 tokens of at most 60 words: enough for the economy of distinct tokens to be in use. */
static sequence_case make_case(int32_t layers, int32_t bidirectional, bool of_tokens)
{
    sequence_case c = {
        .input = 11,
        .hidden = 37, /* no multiple of any panel */
        .layers = layers,
        .bidirectional = bidirectional,
        .rows = ROWS,
        .length = lengths,
        .vocabulary = VOCABULARY,
        .of_tokens = of_tokens,
    };
    return c;
}

static mtl_context *make_context(int32_t threads, mtl_parallel_for_fn parallel_for, int32_t isa)
{
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    mtl_context *context = NULL;
    options.threads = threads;
    options.gemm = MTL_GEMM_BUILTIN;
    options.parallel_for = parallel_for;
    options.isa = isa;
    mtl_status status = mtl_context_create(&options, &context);
    return status == MTL_OK ? context : NULL;
}

static void compute(mtl_context *context, const sequence_case *c, sequence_result *result)
{
    assert_non_null(context);
    assert_ok(context, sequence_run(context, c, result));
}

static void compute_with(int32_t threads, mtl_parallel_for_fn parallel_for, const sequence_case *c,
                         sequence_result *result)
{
    mtl_context *context = make_context(threads, parallel_for, MTL_ISA_BEST);
    compute(context, c, result);
    mtl_context_release(context);
}

static void assert_same_bits(const mtli_real *a, const mtli_real *b, int64_t n, const char *what)
{
    for (int64_t i = 0; i < n; i++) {
        if (memcmp(&a[i], &b[i], sizeof a[i]) != 0) {
            fail_msg("%s[%lld]: %.9g is not %.9g", what, (long long)i, (double)a[i], (double)b[i]);
        }
    }
}

static void assert_same_results(const sequence_result *a, const sequence_result *b)
{
    assert_int_equal(a->num_tensors, b->num_tensors);
    assert_int_equal(a->num_states, b->num_states);
    assert_same_bits(a->states, b->states, a->num_states, "states");
    for (int32_t k = 0; k < a->num_tensors; k++) {
        char what[32];
        snprintf(what, sizeof what, "gradient %d", k);
        assert_same_bits(a->gradients[k], b->gradients[k], a->sizes[k], what);
    }
}

/* Two orders of the same sum differ by at most 2 eps times the number of terms times the sum of magnitudes; the terms of
 * a weight gradient are one for each token, each a result of at most 90 steps of gates of in + hidden + 2 terms. Errors of
 * single roundings have random signs, so their sums grow as the square root: allowed is sqrt(tokens * steps * terms) * 8. */
static void assert_close_results(const sequence_case *c, const mtli_real *a, const mtli_real *b, int64_t n,
                                 const char *what)
{
    double terms = (double)(c->input + c->hidden * sequence_directions(c) + 2);
    double allowed = 8 * MTLI_REAL_EPSILON * sqrt((double)sequence_tokens(c) * 90 * terms) * sequence_scale(a, n, 0.1);
    for (int64_t i = 0; i < n; i++) {
        test_near((double)b[i], (double)a[i], allowed, what, __FILE__, __LINE__);
    }
}

static void assert_close_gradients(const sequence_case *c, const sequence_result *a, const sequence_result *b)
{
    for (int32_t k = 0; k < a->num_tensors; k++) {
        char what[32];
        snprintf(what, sizeof what, "gradient %d", k);
        assert_close_results(c, a->gradients[k], b->gradients[k], a->sizes[k], what);
    }
}

/* ---- rows ---- */

static void add_gradients(sequence_result *sum, const sequence_result *one)
{
    for (int32_t k = 0; k < sum->num_tensors; k++) {
        for (int64_t i = 0; i < sum->sizes[k]; i++) {
            sum->gradients[k][i] += one->gradients[k][i];
        }
    }
}

static void check_row_by_row(const sequence_case *c)
{
    mtl_context *context = make_context(1, NULL, MTL_ISA_BEST);
    sequence_result all;
    sequence_result sum = {0};
    compute(context, c, &all);
    int64_t done = 0;
    for (int32_t r = 0; r < c->rows; r++) {
        sequence_case alone = *c;
        sequence_result one;
        alone.rows = 1;
        alone.length = &c->length[r];
        alone.name = &r;
        compute(context, &alone, &one);
        assert_close_results(c, one.states, all.states + done, one.num_states, "states");
        done += one.num_states;
        if (r == 0) {
            sum = one;
        } else {
            add_gradients(&sum, &one);
            sequence_free(&one);
        }
    }
    assert_int_equal(done, all.num_states);
    assert_close_gradients(c, &sum, &all);
    sequence_free(&sum);
    sequence_free(&all);
    mtl_context_release(context);
}

static void a_batch_is_its_rows(void **state)
{
    (void)state;
    for (int32_t k = 0; k < 8; k++) {
        sequence_case c = make_case(1 + (k & 1), k >> 1 & 1, k >> 2);
        check_row_by_row(&c);
    }
}

static void check_permuted(const sequence_case *c)
{
    int64_t permuted_lengths[ROWS];
    int32_t names[ROWS];
    int64_t begin[ROWS + 1] = {0};
    for (int32_t r = 0; r < ROWS; r++) {
        names[r] = (r * 5 + 3) % ROWS; /* 5 and 14 have no common factor */
        permuted_lengths[r] = c->length[names[r]];
        begin[r + 1] = begin[r] + c->length[r];
    }
    sequence_case permuted = *c;
    permuted.length = permuted_lengths;
    permuted.name = names;
    sequence_result before;
    sequence_result after;
    compute_with(1, NULL, c, &before);
    compute_with(1, NULL, &permuted, &after);
    int64_t width = before.num_states / before.tokens;
    const mtli_real *row = after.states;
    for (int32_t r = 0; r < ROWS; r++) {
        assert_same_bits(before.states + begin[names[r]] * width, row, permuted_lengths[r] * width, "states");
        row += permuted_lengths[r] * width;
    }
    assert_close_gradients(c, &before, &after);
    sequence_free(&before);
    sequence_free(&after);
}

static void permuted_rows_permute_results(void **state)
{
    (void)state;
    for (int32_t k = 0; k < 8; k++) {
        sequence_case c = make_case(1 + (k & 1), k >> 1 & 1, k >> 2);
        check_permuted(&c);
    }
}

static void reading_tokens_equals_embedding(void **state)
{
    (void)state;
    for (int32_t k = 0; k < 4; k++) {
        sequence_case plain = make_case(1 + (k & 1), k >> 1 & 1, false);
        sequence_case tokens = make_case(1 + (k & 1), k >> 1 & 1, true);
        sequence_result a;
        sequence_result b;
        compute_with(1, NULL, &plain, &a);
        compute_with(1, NULL, &tokens, &b);
        assert_close_results(&plain, a.states, b.states, a.num_states, "states");
        assert_close_gradients(&plain, &a, &b);
        sequence_free(&a);
        sequence_free(&b);
    }
}

static void nothing_gives_nothing(void **state)
{
    (void)state;
    static const int64_t empty[] = {0, 0, 0};
    for (int32_t k = 0; k < 8; k++) {
        sequence_case c = make_case(1 + (k & 1), k >> 1 & 1, k >> 2);
        sequence_result result;
        c.length = empty;
        for (c.rows = 0; c.rows <= 3; c.rows += 3) {
            compute_with(2, NULL, &c, &result);
            assert_int_equal(result.num_states, 0);
            for (int32_t t = 0; t < result.num_tensors; t++) {
                for (int64_t i = 0; i < result.sizes[t]; i++) {
                    assert_true(result.gradients[t][i] == 0);
                }
            }
            sequence_free(&result);
        }
    }
}

/* ---- threads ---- */

static void reversed_loop(void *user, int32_t count, mtl_parallel_body body, void *argument)
{
    (void)user;
    for (int32_t i = count - 1; i >= 0; i--) {
        body(argument, i);
    }
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    for (int32_t k = 0; k < 8; k++) {
        sequence_case c = make_case(1 + (k & 1), k >> 1 & 1, k >> 2);
        sequence_result one;
        compute_with(1, NULL, &c, &one);
        for (int32_t threads = 2; threads <= 5; threads++) {
            sequence_result more;
            compute_with(threads, NULL, &c, &more);
            assert_same_results(&one, &more);
            sequence_free(&more);
            compute_with(threads, reversed_loop, &c, &more);
            assert_same_results(&one, &more);
            sequence_free(&more);
        }
        sequence_free(&one);
    }
}

/* ---- levels ---- */

static void levels_agree(void **state)
{
    (void)state;
    for (int32_t k = 0; k < 4; k++) {
        sequence_case c = make_case(2, k & 1, k >> 1);
        sequence_result baseline;
        mtl_context *context = make_context(1, NULL, MTL_ISA_BASELINE);
        compute(context, &c, &baseline);
        mtl_context_release(context);
        for (int32_t isa = MTL_ISA_AVX2; isa <= MTL_ISA_AVX512; isa++) {
            sequence_result other;
            context = make_context(1, NULL, isa);
            if (!context) {
                continue; /* this processor lacks it */
            }
            compute(context, &c, &other);
            mtl_context_release(context);
            assert_close_results(&c, baseline.states, other.states, baseline.num_states, "states");
            assert_close_gradients(&c, &baseline, &other);
            sequence_free(&other);
        }
        sequence_free(&baseline);
    }
}

/* ---- floating-point mode ---- */

/* 2^-127 is a denormal float: it survives a product with 1 in the host's mode only. */
static bool keeps_denormals(void)
{
    volatile float denormal = 0x1p-126f;
    denormal *= 0.5f;
    return denormal > 0;
}

static void the_hosts_mode_stays(void **state)
{
    (void)state;
#if defined(__SSE2__)
    static const unsigned modes[] = {0x1f80, 0x1f80 | 0x8000, 0x1f80 | 0x0040, 0x1f80 | 0x6000}; /* FTZ, DAZ, to zero */
    unsigned host = _mm_getcsr();
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        sequence_case c = make_case(2, 1, i & 1);
        sequence_result result;
        mtl_context *context = make_context(2, NULL, MTL_ISA_BEST);
        _mm_setcsr(modes[i]);
        mtl_status status = sequence_run(context, &c, &result);
        unsigned after = _mm_getcsr();
        _mm_setcsr(host);
        assert_ok(context, status);
        assert_int_equal(after & ~0x3fu, modes[i]); /* less the flags of exceptions */
        sequence_free(&result);
        mtl_context_release(context);
    }
#endif
    assert_true(keeps_denormals());
    sequence_case c = make_case(1, 0, false);
    sequence_result result;
    compute_with(3, NULL, &c, &result);
    sequence_free(&result);
    assert_true(keeps_denormals());
}

/* ---- memory ---- */

static void reused_tape_gives_equal_bits_and_allocates_nothing(void **state)
{
    (void)state;
    mtl_context *context = make_context(2, NULL, MTL_ISA_BEST);
    sequence_case c = make_case(2, 1, true);
    mtl_tape *tape = NULL;
    assert_ok(context, mtl_tape_create(context, NULL, &tape));
    mtl_tensor *ids = sequence_ids(context, &c);
    mtl_tensor *loss_weights = sequence_loss_weights(context, &c);
    mtl_tensor *tensors[SEQUENCE_TENSORS] = {NULL};
    mtl_tape_reset(tape, MTL_TAPE_TRAIN);
    assert_ok(context, sequence_parameters(context, tape, &c, tensors));
    sequence_result results[4];
    uint64_t allocations[4];
    for (int step = 0; step < 4; step++) {
        memset(&results[step], 0, sizeof results[step]);
        mtl_tape_reset(tape, MTL_TAPE_TRAIN);
        for (int k = 0; k < SEQUENCE_TENSORS && tensors[k]; k++) {
            assert_ok(context, mtl_tape_watch(tape, tensors[k]));
        }
        assert_ok(context, sequence_compute(tape, &c, tensors, ids, loss_weights, &results[step]));
        allocations[step] = test_allocations(context);
    }
    assert_same_results(&results[0], &results[3]);
    assert_int_equal(allocations[1], allocations[3]);
    for (int step = 0; step < 4; step++) {
        sequence_free(&results[step]);
    }
    mtl_tape_destroy(tape);
    for (int k = 0; k < SEQUENCE_TENSORS; k++) {
        mtl_tensor_release(tensors[k]);
    }
    mtl_tensor_release(ids);
    mtl_tensor_release(loss_weights);
    mtl_context_release(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_its_rows),
        cmocka_unit_test(permuted_rows_permute_results),
        cmocka_unit_test(reading_tokens_equals_embedding),
        cmocka_unit_test(nothing_gives_nothing),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(levels_agree),
        cmocka_unit_test(the_hosts_mode_stays),
        cmocka_unit_test(reused_tape_gives_equal_bits_and_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
