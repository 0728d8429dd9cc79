/* SPDX-License-Identifier: Apache-2.0
 * Dropout: which elements fall, what they are worth, and when a random stream is spent. */
#include "base/rng.h"
#include "kernels/dropout.h"
#include "support/support_ops.h"

enum { COUNT = 100003 };

static mtl_tensor *ones(ops_fixture *f)
{
    mtl_tensor *x = ops_real(f, 1, (int64_t[]){COUNT}, NULL);
    for (int i = 0; i < COUNT; i++) {
        ((mtli_real *)x->data)[i] = 1;
    }
    return x;
}

/* Element i of call k depends on word i % 4 of Philox at (seed, i / 4, stream k) alone. */
static void test_elements(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    mtl_tensor *x = ones(&f);
    for (uint64_t stream = 0; stream < 2; stream++) {
        const mtli_real *y = ops_values(mtl_dropout(f.tape, x, 0.25));
        int dropped = 0;
        for (int i = 0; i < COUNT; i++) {
            uint32_t words[4];
            mtli_philox(77, (uint64_t)i / 4, stream, words);
            bool falls = words[i % 4] < 0x40000000u;
            dropped += falls;
            assert_near(y[i], falls ? 0 : 4.0 / 3, MTLI_REAL_EPSILON);
        }
        /* binomial: standard deviation √(n p q) = 137; five of them */
        assert_near(dropped, 0.25 * COUNT, 5 * 137);
    }
    ops_end(&f);
}

/* A range that begins anywhere gives the elements that the whole gives. */
static void test_ranges(void **state)
{
    (void)state;
    enum { N = 300 };
    mtli_real x[N], whole[N], parts[N];
    for (int i = 0; i < N; i++) {
        x[i] = (mtli_real)(i + 1);
    }
    mtli_dropout dropout = mtli_dropout_make(3, 1ull << 40, 0.5);
    mtli_dropout_apply(&dropout, 0, N, x, whole, false);
    const int cuts[] = {0, 1, 5, 63, 64, 129, 200, N};
    for (size_t k = 0; k + 1 < sizeof cuts / sizeof cuts[0]; k++) {
        mtli_dropout_apply(&dropout, cuts[k], cuts[k + 1], x, parts, false);
    }
    assert_memory_equal(parts, whole, sizeof whole);
    mtli_dropout_apply(&dropout, 0, N, x, parts, true);
    for (int i = 0; i < N; i++) {
        assert_near(parts[i], 2 * (double)whole[i], 0);
    }
}

static void test_gradient_has_the_same_elements(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    mtl_tensor *x = ones(&f);
    mtl_tensor *y = mtl_dropout(f.tape, x, 0.5);
    mtl_tensor *later = mtl_dropout(f.tape, x, 0.5); /* spends another stream in between */
    ops_sweep(&f, mtl_sum(f.tape, y));
    assert_memory_equal(ops_gradient(&f, x), ops_values(y), COUNT * sizeof(mtli_real));
    assert_memory_not_equal(ops_values(later), ops_values(y), COUNT * sizeof(mtli_real));
    /* a dropped infinity is 0, not NaN */
    for (int i = 0; i < COUNT; i++) {
        ((mtli_real *)x->data)[i] = (mtli_real)INFINITY;
    }
    mtl_tensor *infinite = mtl_dropout(f.tape, x, 0.5);
    int zeros = 0;
    for (int i = 0; i < COUNT; i++) {
        assert_false(isnan(ops_values(infinite)[i]));
        zeros += ops_values(infinite)[i] == 0;
    }
    assert_in_range(zeros, COUNT / 3, 2 * COUNT / 3);
    ops_end(&f);
}

static void test_seed_repeats(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    mtl_tensor *x = ones(&f);
    mtl_tensor *first = mtl_dropout(f.tape, x, 0.3);
    assert_ok(f.context, mtl_context_set_seed(f.context, 77));
    assert_memory_equal(ops_values(mtl_dropout(f.tape, x, 0.3)), ops_values(first), COUNT * sizeof(mtli_real));
    assert_ok(f.context, mtl_context_set_seed(f.context, 78));
    assert_memory_not_equal(ops_values(mtl_dropout(f.tape, x, 0.3)), ops_values(first), COUNT * sizeof(mtli_real));
    ops_end(&f);
}

static void test_streams_are_spent_in_training_only(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    mtl_tensor *x = ops_real(&f, 1, (int64_t[]){5}, NULL);
    assert_ptr_equal(mtl_dropout(f.tape, x, 0), x);
    assert_int_equal(f.context->stream, 0);
    assert_ptr_not_equal(mtl_dropout(f.tape, x, 0.5), x);
    assert_int_equal(f.context->stream, 1);
    mtl_tape_reset(f.tape, MTL_TAPE_INFER);
    assert_ptr_equal(mtl_dropout(f.tape, x, 0.5), x);
    mtl_tensor *h = mtl_tanh(f.tape, x);
    assert_ptr_equal(mtl_dropout(f.tape, h, 0.9), h);
    assert_int_equal(f.context->stream, 1);
    ops_end(&f);
}

static void test_nearly_everything(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    mtl_tensor *y = mtl_dropout(f.tape, ones(&f), 0.99999999999); /* beyond 1 - 2^-32: the threshold stays in range */
    for (int i = 0; i < COUNT; i++) {
        assert_near(ops_values(y)[i], 0, 0);
    }
    ops_end(&f);
}

static void test_errors(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    mtl_tensor *x = ops_real(&f, 1, (int64_t[]){5}, NULL);
    mtl_tensor *ids = ops_int32(&f, 2, (int32_t[]){0, 1});
    const double wrong[] = {-0.1, 1, 1.5, (double)NAN, (double)INFINITY};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        for (int mode = 0; mode < 2; mode++) {
            mtl_tape_reset(f.tape, mode ? MTL_TAPE_INFER : MTL_TAPE_TRAIN);
            assert_op_fails(&f, mtl_dropout(f.tape, x, wrong[i]), MTL_ERROR_ARGUMENT, "mtl_dropout", "probability");
        }
    }
    for (int mode = 0; mode < 2; mode++) {
        mtl_tape_reset(f.tape, mode ? MTL_TAPE_INFER : MTL_TAPE_TRAIN);
        assert_op_fails(&f, mtl_dropout(f.tape, NULL, 0.5), MTL_ERROR_ARGUMENT, "mtl_dropout", "x is NULL");
        mtl_tape_reset(f.tape, mode ? MTL_TAPE_INFER : MTL_TAPE_TRAIN);
        assert_op_fails(&f, mtl_dropout(f.tape, ids, 0.0), MTL_ERROR_DTYPE, "mtl_dropout", "x is int32");
    }
    assert_int_equal(f.context->stream, 0);
    /* after an error even what would pass through is the error tensor */
    (void)mtl_dropout(f.tape, NULL, 0.5);
    assert_ptr_equal(mtl_dropout(f.tape, x, 0), &f.tape->error);
    assert_non_null(mtl_dropout(NULL, x, 0));
    assert_int_equal(mtl_dropout(NULL, x, 0)->kind, MTLI_TENSOR_ERROR);
    ops_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_gradient_has_the_same_elements),
        cmocka_unit_test(test_seed_repeats),
        cmocka_unit_test(test_streams_are_spent_in_training_only),
        cmocka_unit_test(test_nearly_everything),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests_name("ops dropout", tests, NULL, NULL);
}
