/* SPDX-License-Identifier: Apache-2.0
 * add, mul, scale and the activations beside naive loops. */
#include "support/support_ops.h"

/* One rounding of a sum or product of numbers below 2. */
#define ONE_ROUNDING (2 * MTLI_REAL_EPSILON)
/* kernels.h promises 3 units in the last place; gelu multiplies with roundings of its own. */
#define KERNEL_ERROR (8 * MTLI_REAL_EPSILON)

static const int64_t none[MTL_MAX_DIMS];

/* b repeated over a: every shape with the suffix and without rows. */
static void test_broadcast(void **state)
{
    (void)state;
    static const struct {
        int32_t a_ndim, b_ndim;
        int64_t a[4], b[4];
    } shapes[] = {
        {2, 2, {3, 4}, {3, 4}}, {3, 2, {2, 3, 4}, {3, 4}}, {3, 1, {2, 3, 4}, {4}}, {2, 0, {3, 4}, {0}},
        {0, 0, {0}, {0}},       {2, 1, {0, 4}, {4}},       {2, 1, {4, 0}, {0}},    {4, 3, {2, 1, 3, 5}, {1, 3, 5}},
        {2, 1, {7, 1}, {1}},    {2, 1, {300, 129}, {129}},
    };
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        ops_fixture f;
        ops_begin(&f);
        mtl_tensor *a = ops_real(&f, shapes[s].a_ndim, shapes[s].a, NULL);
        mtl_tensor *b = ops_real(&f, shapes[s].b_ndim, shapes[s].b, NULL);
        mtl_tensor *w = ops_real(&f, shapes[s].a_ndim, shapes[s].a, NULL);
        mtl_tensor *sum = mtl_add(f.tape, a, b);
        mtl_tensor *product = mtl_mul(f.tape, a, b);
        assert_true(mtli_same_dims(&sum->shape, &a->shape) && mtli_same_dims(&product->shape, &a->shape));
        for (int64_t i = 0; i < a->size; i++) {
            double x = (double)ops_values(a)[i];
            double y = (double)ops_values(b)[i % b->size];
            assert_near(ops_values(sum)[i], x + y, ONE_ROUNDING);
            assert_near(ops_values(product)[i], x * y, ONE_ROUNDING);
        }
        ops_sweep_weighted(&f, product, w);
        double *db = calloc((size_t)b->size + 1, sizeof db[0]);
        assert_non_null(db);
        for (int64_t i = 0; i < a->size; i++) {
            db[i % b->size] += (double)ops_values(a)[i] * (double)ops_values(w)[i];
            assert_near(ops_gradient(&f, a)[i], (double)ops_values(b)[i % b->size] * (double)ops_values(w)[i],
                        ONE_ROUNDING);
        }
        for (int64_t i = 0; i < b->size && a->size > 0; i++) { /* double sums, rounded once */
            assert_near(ops_gradient(&f, b)[i], db[i], ONE_ROUNDING * (1 + fabs(db[i])));
        }
        free(db);
        ops_end(&f);
    }
}

static void test_add_gradient(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    mtl_tensor *a = ops_real(&f, 2, (int64_t[]){3, 2}, NULL);
    mtl_tensor *b = ops_real(&f, 1, (int64_t[]){2}, NULL);
    ops_sweep(&f, mtl_sum(f.tape, mtl_add(f.tape, a, b)));
    const mtli_real ones[] = {1, 1, 1, 1, 1, 1};
    const mtli_real threes[] = {3, 3};
    assert_close(ops_gradient(&f, a), ones, 6, 0, 0);
    assert_close(ops_gradient(&f, b), threes, 2, 0, 0);
    ops_end(&f);
}

/* d/dx of x * x + x is 2 x + 1, through one tensor that is used three times. */
static void test_used_more_than_once(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    const mtli_real values[] = {0.5, -2, 3};
    mtl_tensor *x = ops_real(&f, 1, (int64_t[]){3}, values);
    ops_sweep(&f, mtl_sum(f.tape, mtl_add(f.tape, mtl_mul(f.tape, x, x), x)));
    const mtli_real expected[] = {2, -3, 7};
    assert_close(ops_gradient(&f, x), expected, 3, 0, 0);
    mtl_tape_reset(f.tape, MTL_TAPE_TRAIN);
    assert_ok(f.context, mtl_tape_watch(f.tape, x));
    mtl_tensor *h = mtl_scale(f.tape, x, 2); /* a result that is used twice by one op */
    ops_sweep(&f, mtl_sum(f.tape, mtl_add(f.tape, h, h)));
    const mtli_real fours[] = {4, 4, 4};
    assert_close(ops_gradient(&f, x), fours, 3, 0, 0);
    ops_end(&f);
}

static void test_ragged(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    const int64_t cut[] = {0, 2, 5};
    const int64_t other_cut[] = {0, 3, 5};
    const int64_t dims[] = {5, 2};
    mtl_tensor *a = ops_ragged(&f, 2, dims, 2, cut);
    mtl_tensor *same = ops_ragged(&f, 2, dims, 2, cut);
    mtl_tensor *other = ops_ragged(&f, 2, dims, 2, other_cut);
    mtl_tensor *dense = ops_real(&f, 2, dims, NULL);
    mtl_tensor *bias = ops_real(&f, 1, dims + 1, NULL);
    mtl_tensor *results[] = {
        mtl_add(f.tape, a, same), mtl_add(f.tape, a, dense), mtl_add(f.tape, dense, a), mtl_mul(f.tape, a, bias),
        mtl_scale(f.tape, a, 2),  mtl_tanh(f.tape, a),       mtl_softmax(f.tape, a),    mtl_dropout(f.tape, a, 0.5),
        mtl_relu(f.tape, a),      mtl_gelu(f.tape, a),       mtl_sigmoid(f.tape, a),    mtl_log_softmax(f.tape, a),
        mtl_layer_norm(f.tape, a, NULL, NULL, 1e-5),
    };
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        assert_int_equal(mtl_tensor_rows(results[i]), 2);
        assert_memory_equal(mtl_tensor_offsets(results[i]), cut, sizeof cut);
    }
    assert_int_equal(mtl_tensor_rows(mtl_mul(f.tape, dense, bias)), -1);
    assert_int_equal(mtl_tensor_rows(mtl_sum(f.tape, a)), -1);
    assert_op_fails(&f, mtl_add(f.tape, a, other), MTL_ERROR_SHAPE, "mtl_add", "a has shape ragged [5, 2]",
                    "b has shape ragged [5, 2]", "offsets differ");
    ops_end(&f);
}

static void test_scale(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    const mtli_real values[] = {1, -2, 0.5};
    mtl_tensor *x = ops_real(&f, 1, (int64_t[]){3}, values);
    mtl_tensor *y = mtl_scale(f.tape, x, -3);
    const mtli_real expected[] = {-3, 6, -1.5};
    assert_close(ops_values(y), expected, 3, 0, 0);
    ops_sweep(&f, mtl_sum(f.tape, y));
    const mtli_real slopes[] = {-3, -3, -3};
    assert_close(ops_gradient(&f, x), slopes, 3, 0, 0);
    ops_end(&f);
}

static double exact_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double exact_gelu(double x)
{
    return 0.5 * x * (1 + erf(x / sqrt(2)));
}

static double exact_relu(double x)
{
    return x > 0 ? x : 0;
}

static void test_activations(void **state)
{
    (void)state;
    static const struct {
        mtl_tensor *(*run)(mtl_tape *, mtl_tensor *);
        double (*exact)(double);
    } functions[] = {{mtl_tanh, tanh}, {mtl_sigmoid, exact_sigmoid}, {mtl_gelu, exact_gelu}, {mtl_relu, exact_relu}};
    enum { COUNT = 1001 };
    ops_fixture f;
    ops_begin(&f);
    mtl_tensor *x = ops_real(&f, 1, (int64_t[]){COUNT}, NULL);
    for (int i = 0; i < COUNT; i++) {
        ((mtli_real *)x->data)[i] = (mtli_real)(i - 500) / 50; /* [-10, 10] */
    }
    for (size_t k = 0; k < sizeof functions / sizeof functions[0]; k++) {
        mtl_tensor *y = functions[k].run(f.tape, x);
        for (int i = 0; i < COUNT; i++) {
            double expected = functions[k].exact((double)ops_values(x)[i]);
            /* gelu's 1 + erf cancels for negative x: its error is relative to x */
            double size = fmax(1, fabs((double)ops_values(x)[i]));
            assert_near(ops_values(y)[i], expected, KERNEL_ERROR * size);
        }
    }
    ops_end(&f);
}

/* Saturation and special values: no NaN out of infinity, NaN stays NaN, relu's gradient at 0 is 0. */
static void test_special_values(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    const mtli_real values[] = {(mtli_real)INFINITY, (mtli_real)-INFINITY, (mtli_real)NAN, 0};
    mtl_tensor *x = ops_real(&f, 1, (int64_t[]){4}, values);
    mtl_tensor *h = mtl_tanh(f.tape, x);
    const mtli_real tanh_values[] = {1, -1, (mtli_real)NAN, 0};
    assert_close(ops_values(h), tanh_values, 4, 0, 0);
    const mtli_real sigmoid_values[] = {1, 0, (mtli_real)NAN, 0.5};
    assert_close(ops_values(mtl_sigmoid(f.tape, x)), sigmoid_values, 4, 0, 0);
    mtl_tensor *y = mtl_relu(f.tape, x);
    const mtli_real relu_values[] = {(mtli_real)INFINITY, 0, (mtli_real)NAN, 0};
    assert_close(ops_values(y), relu_values, 4, 0, 0);
    ops_sweep(&f, mtl_sum(f.tape, y));
    assert_near(ops_gradient(&f, x)[0], 1, 0);
    assert_near(ops_gradient(&f, x)[1], 0, 0);
    assert_near(ops_gradient(&f, x)[3], 0, 0);
    ops_end(&f);
}

static void test_reductions(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    /* 2^24 + 1 is no float: a sum in float would lose every one of the ones that follow */
    enum { COUNT = 1001 };
    mtl_tensor *x = ops_real(&f, 1, (int64_t[]){COUNT}, NULL);
    for (int i = 0; i < COUNT; i++) {
        ((mtli_real *)x->data)[i] = i == 0 ? 16777216 : 1;
    }
    mtl_tensor *sum = mtl_sum(f.tape, x);
    mtl_tensor *mean = mtl_mean(f.tape, x);
    assert_int_equal(mtl_tensor_ndim(sum), 0);
    assert_near(ops_item(sum), 16778216, 0); /* even, so a float */
    assert_near(ops_item(mean), 16778216.0 / COUNT, 16778216.0 / COUNT * MTLI_REAL_EPSILON);
    ops_sweep(&f, mean);
    assert_near(ops_gradient(&f, x)[COUNT - 1], 1.0 / COUNT, MTLI_REAL_EPSILON / COUNT);
    mtl_tensor *nothing = ops_real(&f, 2, (int64_t[]){0, 3}, NULL);
    assert_near(ops_item(mtl_sum(f.tape, nothing)), 0, 0);
    assert_near(ops_item(mtl_mean(f.tape, nothing)), 0, 0);
    mtl_tensor *one = ops_real(&f, 0, none, NULL);
    assert_near(ops_item(mtl_mean(f.tape, one)), (double)*ops_values(one), 0);
    ops_end(&f);
}

/* A tensor that nobody watches, or that stands in an inference tape, leaves nothing to go back to. */
static void test_constants_are_not_recorded(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    mtl_tensor *x = ops_tensor(&f, MTL_FLOAT32, 1, (int64_t[]){3});
    mtl_tensor *y = mtl_tanh(f.tape, mtl_add(f.tape, x, x));
    assert_false(y->needs_gradient);
    assert_null(f.tape->last);
    mtl_tensor *watched = ops_real(&f, 1, (int64_t[]){3}, NULL);
    assert_true(mtl_tanh(f.tape, watched)->needs_gradient);
    assert_non_null(f.tape->last);
    mtl_tape_reset(f.tape, MTL_TAPE_INFER);
    assert_false(mtl_tanh(f.tape, watched)->needs_gradient);
    assert_null(f.tape->last);
    ops_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broadcast),
        cmocka_unit_test(test_add_gradient),
        cmocka_unit_test(test_used_more_than_once),
        cmocka_unit_test(test_ragged),
        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_special_values),
        cmocka_unit_test(test_reductions),
        cmocka_unit_test(test_constants_are_not_recorded),
    };
    return cmocka_run_group_tests_name("ops elementwise", tests, NULL, NULL);
}
