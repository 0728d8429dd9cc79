/* SPDX-License-Identifier: Apache-2.0
 * Heads: kinds, parameters, hidden layers beside a naive computation, dropout, options, errors. */
#include "support.h"

#include <math.h>

#include <mtl/mtl.h>

enum { IN = 4, ROWS = 3, HIDDEN = 5 };

typedef mtl_status (*constructor)(mtl_context *, int64_t, int64_t, const mtl_head_options *, mtl_head **);

static const struct {
    constructor create;
    int32_t kind;
    int64_t least;
} kinds[] = {
    {mtl_head_create_classifier, MTL_HEAD_CLASSIFIER, 2},
    {mtl_head_create_multilabel, MTL_HEAD_MULTILABEL, 1},
    {mtl_head_create_regressor, MTL_HEAD_REGRESSOR, 1},
};

static void kinds_have_their_parameters(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    for (int k = 0; k < 3; k++) {
        for (int64_t out = kinds[k].least; out < 4; out++) {
            mtl_head *head;
            assert_ok(context, kinds[k].create(context, IN, out, NULL, &head));
            assert_int_equal(mtl_head_kind(head), kinds[k].kind);
            assert_int_equal(mtl_head_output_dim(head), out);
            assert_int_equal(mtl_head_num_parameters(head), 2);
            mtl_tensor *weight = mtl_head_parameter(head, "weight");
            assert_int_equal(mtl_tensor_dim(weight, 0), out);
            assert_int_equal(mtl_tensor_dim(weight, 1), IN);
            assert_int_equal(mtl_tensor_dim(mtl_head_parameter(head, "bias"), 0), out);
            assert_null(mtl_head_parameter(head, "hidden.weight"));
            double values[16];
            assert_ok(context, mtl_tensor_read(weight, MTL_FLOAT64, values, (size_t)(IN * out)));
            for (int64_t i = 0; i < IN * out; i++) {
                assert_true(fabs(values[i]) <= 1 / sqrt((double)IN) && values[i] != 0);
            }
            mtl_head_release(head);
        }
    }
    mtl_context_release(context);
}

static double activated(int32_t activation, double x)
{
    switch (activation) {
    case MTL_ACTIVATION_TANH:
        return tanh(x);
    case MTL_ACTIVATION_GELU:
        return 0.5 * x * erfc(-x / sqrt(2.0));
    case MTL_ACTIVATION_SIGMOID:
        return 1 / (1 + exp(-x));
    default:
        return x > 0 ? x : 0;
    }
}

static void naive_linear(mtl_head *head, const char *weight_name, const char *bias_name, const double *x, int64_t in,
                         int64_t out, double *y)
{
    double weight[64];
    double bias[16];
    assert_int_equal(mtl_tensor_read(mtl_head_parameter(head, weight_name), MTL_FLOAT64, weight, (size_t)(in * out)),
                     MTL_OK);
    assert_int_equal(mtl_tensor_read(mtl_head_parameter(head, bias_name), MTL_FLOAT64, bias, (size_t)out), MTL_OK);
    for (int64_t o = 0; o < out; o++) {
        y[o] = bias[o];
        for (int64_t i = 0; i < in; i++) {
            y[o] += weight[o * in + i] * x[i];
        }
    }
}

static void hidden_layers_compute_what_they_say(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    const int64_t shape[] = {ROWS, IN};
    double inputs[ROWS * IN];
    for (int i = 0; i < ROWS * IN; i++) {
        inputs[i] = (i * 7 % 11) / 4.0 - 1.25;
    }
    mtl_tensor *x;
    mtl_tape *tape;
    assert_ok(context, mtl_tape_create(context, NULL, &tape));
    assert_ok(context, mtl_tensor_create(context, MTL_FLOAT32, 2, shape, &x));
    assert_ok(context, mtl_tensor_write(x, MTL_FLOAT64, inputs, ROWS * IN));
    for (int32_t activation = MTL_ACTIVATION_RELU; activation <= MTL_ACTIVATION_SIGMOID; activation++) {
        mtl_head_options options = MTL_HEAD_OPTIONS_INIT;
        options.hidden_dim = HIDDEN;
        options.activation = activation;
        mtl_head *head;
        assert_ok(context, mtl_head_create_regressor(context, IN, 2, &options, &head));
        assert_int_equal(mtl_head_num_parameters(head), 4);
        mtl_tape_reset(tape, MTL_TAPE_INFER);
        mtl_tensor *y = mtl_head_forward(head, tape, x);
        double values[ROWS * 2];
        assert_ok(context, mtl_tensor_read(y, MTL_FLOAT64, values, ROWS * 2));
        for (int r = 0; r < ROWS; r++) {
            double hidden[HIDDEN];
            double expected[2];
            naive_linear(head, "hidden.weight", "hidden.bias", inputs + r * IN, IN, HIDDEN, hidden);
            for (int h = 0; h < HIDDEN; h++) {
                hidden[h] = activated(activation, hidden[h]);
            }
            naive_linear(head, "weight", "bias", hidden, HIDDEN, 2, expected);
            assert_close(values + 2 * r, expected, 2, 0, 30 * 6e-8 * 4); /* some 10 roundings of numbers below 4 */
        }
        mtl_head_release(head);
    }
    mtl_tensor_release(x);
    mtl_tape_destroy(tape);
    mtl_context_release(context);
}

static void dropout_drops_in_training_only(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_head_options options = MTL_HEAD_OPTIONS_INIT;
    options.dropout = 0.5;
    mtl_head *head;
    mtl_tensor *x;
    mtl_tape *tape;
    const int64_t shape[] = {50, IN};
    double ones[50 * IN];
    double values[3][50];
    for (int i = 0; i < 50 * IN; i++) {
        ones[i] = 1;
    }
    assert_ok(context, mtl_head_create_regressor(context, IN, 1, &options, &head));
    assert_ok(context, mtl_tape_create(context, NULL, &tape));
    assert_ok(context, mtl_tensor_create(context, MTL_FLOAT32, 2, shape, &x));
    assert_ok(context, mtl_tensor_write(x, MTL_FLOAT64, ones, 50 * IN));
    for (int k = 0; k < 3; k++) {
        mtl_tape_reset(tape, k == 2 ? MTL_TAPE_TRAIN : MTL_TAPE_INFER);
        assert_ok(context, mtl_tensor_read(mtl_head_forward(head, tape, x), MTL_FLOAT64, values[k], 50));
    }
    assert_memory_equal(values[0], values[1], sizeof values[0]);
    assert_memory_not_equal(values[0], values[2], sizeof values[0]);
    mtl_tensor_release(x);
    mtl_tape_destroy(tape);
    mtl_head_release(head);
    mtl_context_release(context);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_head *head = NULL;
    const char *names[] = {"mtl_head_create_classifier", "mtl_head_create_multilabel", "mtl_head_create_regressor"};
    for (int k = 0; k < 3; k++) {
        constructor create = kinds[k].create;
        assert_fails(context, create(context, 0, 3, NULL, &head), MTL_ERROR_ARGUMENT, names[k]);
        assert_fails(context, create(context, -1, 3, NULL, &head), MTL_ERROR_ARGUMENT, "in_dim = -1");
        assert_fails(context, create(context, INT64_MAX, 3, NULL, &head), MTL_ERROR_ARGUMENT, "in_dim");
        assert_fails(context, create(context, IN, kinds[k].least - 1, NULL, &head), MTL_ERROR_ARGUMENT, "at least");
        assert_fails(context, create(context, IN, INT64_MAX, NULL, &head), MTL_ERROR_ARGUMENT, "outputs");
        assert_fails(context, create(context, IN, 3, NULL, NULL), MTL_ERROR_ARGUMENT, "out");
        assert_int_equal(create(NULL, IN, 3, NULL, &head), MTL_ERROR_ARGUMENT);
        mtl_head_options bad = MTL_HEAD_OPTIONS_INIT;
        bad.hidden_dim = -1;
        assert_fails(context, create(context, IN, 3, &bad, &head), MTL_ERROR_ARGUMENT, "hidden_dim = -1");
        bad = (mtl_head_options)MTL_HEAD_OPTIONS_INIT;
        bad.dropout = 1;
        assert_fails(context, create(context, IN, 3, &bad, &head), MTL_ERROR_ARGUMENT, "dropout = 1");
        bad = (mtl_head_options)MTL_HEAD_OPTIONS_INIT;
        bad.activation = 4;
        assert_fails(context, create(context, IN, 3, &bad, &head), MTL_ERROR_ARGUMENT, "activation = 4");
        bad = (mtl_head_options)MTL_HEAD_OPTIONS_INIT;
        bad.reserved0 = 1;
        assert_fails(context, create(context, IN, 3, &bad, &head), MTL_ERROR_UNSUPPORTED, "reserved0");
        bad = (mtl_head_options)MTL_HEAD_OPTIONS_INIT;
        bad.struct_size = 0;
        assert_fails(context, create(context, IN, 3, &bad, &head), MTL_ERROR_ARGUMENT, "struct_size");
    }
    assert_null(head);
    mtl_context_release(context);
}

static void wrong_features_are_errors_of_the_tape(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_head *head;
    mtl_tape *tape;
    mtl_tensor *x;
    const int64_t shape[] = {2, IN + 1};
    assert_ok(context, mtl_head_create_classifier(context, IN, 2, NULL, &head));
    assert_ok(context, mtl_tape_create(context, NULL, &tape));
    assert_ok(context, mtl_tensor_create(context, MTL_FLOAT32, 2, shape, &x));
    mtl_head_forward(head, tape, x);
    assert_int_equal(mtl_tape_status(tape), MTL_ERROR_SHAPE);
    assert_non_null(strstr(mtl_tape_error(tape), "[2, 5]"));
    mtl_tensor_release(x);
    mtl_tape_destroy(tape);
    mtl_head_release(head);
    mtl_context_release(context);
}

static void null_gives_the_documented_values(void **state)
{
    (void)state;
    assert_null(mtl_head_retain(NULL));
    mtl_head_release(NULL);
    assert_int_equal(mtl_head_kind(NULL), MTL_HEAD_CLASSIFIER);
    assert_int_equal(mtl_head_output_dim(NULL), 0);
    assert_int_equal(mtl_head_num_parameters(NULL), 0);
    assert_null(mtl_head_parameter(NULL, "weight"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_have_their_parameters),           cmocka_unit_test(hidden_layers_compute_what_they_say),
        cmocka_unit_test(dropout_drops_in_training_only),        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(wrong_features_are_errors_of_the_tape), cmocka_unit_test(null_gives_the_documented_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
