/* SPDX-License-Identifier: Apache-2.0
 * States and all gradients of the LSTM beside those of PyTorch. */
#include "support/support_sequence.h"

#include "golden/lstm_golden.h"

/* A gate is a sum of n = in + hidden + 2 products, each rounded once and added once: an error of at most 2 n eps times
 * the sum of magnitudes, which is below n/4 here (|w| < 0.5, |x|, |h| < 1, mean magnitude a quarter of that product).
 * An error of a state goes through at most `steps` recurrences, each of which adds as much; a gradient of a weight is a
 * sum of `tokens` products of such numbers. All relative to the largest number of the array. */
static double tolerance(const sequence_case *c, const mtli_real *values, int64_t n)
{
    int64_t longest = 0;
    for (int64_t r = 0; r < c->rows; r++) {
        longest = c->length[r] > longest ? c->length[r] : longest;
    }
    double terms = (double)(c->input + c->hidden * sequence_directions(c) + 2);
    return MTLI_REAL_EPSILON * 2 * terms * (double)(longest * c->layers) * sequence_scale(values, n, 0.1);
}

static void compare(const sequence_case *c, const mtli_real *actual, const double *expected, int64_t n, const char *what)
{
    double allowed = tolerance(c, actual, n);
    for (int64_t i = 0; i < n; i++) {
        test_near((double)actual[i], expected[i], allowed, what, __FILE__, __LINE__);
    }
}

static void compare_with_golden(mtl_context *context, const struct golden_lstm *golden, bool of_tokens)
{
    sequence_case c = {
        .input = golden->input,
        .hidden = golden->hidden,
        .layers = golden->layers,
        .bidirectional = golden->bidirectional,
        .rows = golden->rows,
        .length = golden->length,
        .of_tokens = of_tokens,
    };
    sequence_result result;
    assert_ok(context, sequence_run(context, &c, &result));
    assert_int_equal(result.num_tensors, 1 + 4 * c.layers * sequence_directions(&c));
    compare(&c, result.states, golden->states, result.num_states, golden->name);
    for (int32_t k = 0; k < result.num_tensors; k++) {
        char what[64];
        snprintf(what, sizeof what, "%s gradient %d", golden->name, k);
        compare(&c, result.gradients[k], golden->gradients[k], result.sizes[k], what);
    }
    sequence_free(&result);
}

static void compare_all(bool of_tokens)
{
    mtl_context *context = test_context();
    for (size_t i = 0; i < sizeof golden_lstm_cases / sizeof golden_lstm_cases[0]; i++) {
        compare_with_golden(context, &golden_lstm_cases[i], of_tokens);
    }
    mtl_context_release(context);
}

static void equals_pytorch(void **state)
{
    (void)state;
    compare_all(false);
}

static void equals_pytorch_when_it_reads_tokens(void **state)
{
    (void)state;
    compare_all(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_pytorch),
        cmocka_unit_test(equals_pytorch_when_it_reads_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
