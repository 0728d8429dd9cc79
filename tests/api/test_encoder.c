/* SPDX-License-Identifier: Apache-2.0
 * The LSTM encoder: parameters and their first values, every shape of it, pooling, dropout, options, bad inputs. */
#include "support.h"
#include "two_tasks.h"

#include <math.h>

static void names_and_shapes_are_pytorchs(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_lstm_options options = two_tasks_lstm();
    options.num_layers = 2;
    options.bidirectional = 1;
    mtl_encoder *encoder;
    assert_ok(context, mtl_encoder_create_lstm(context, &options, &encoder));
    static const struct {
        const char *name;
        int64_t rows, columns; /* 0: a vector */
    } expected[] = {
        {"embedding.weight", 12, 5},          {"lstm.weight_ih_l0", 24, 5},
        {"lstm.weight_hh_l0", 24, 6},         {"lstm.bias_ih_l0", 24, 0},
        {"lstm.bias_hh_l0", 24, 0},           {"lstm.weight_ih_l0_reverse", 24, 5},
        {"lstm.weight_hh_l0_reverse", 24, 6}, {"lstm.bias_ih_l0_reverse", 24, 0},
        {"lstm.bias_hh_l0_reverse", 24, 0},   {"lstm.weight_ih_l1", 24, 12},
        {"lstm.weight_hh_l1", 24, 6},         {"lstm.bias_ih_l1", 24, 0},
        {"lstm.bias_hh_l1", 24, 0},           {"lstm.weight_ih_l1_reverse", 24, 12},
        {"lstm.weight_hh_l1_reverse", 24, 6}, {"lstm.bias_ih_l1_reverse", 24, 0},
        {"lstm.bias_hh_l1_reverse", 24, 0},
    };
    enum { COUNT = sizeof expected / sizeof expected[0] };
    assert_int_equal(mtl_encoder_num_parameters(encoder), COUNT);
    assert_int_equal(mtl_encoder_output_dim(encoder), 12);
    for (int i = 0; i < COUNT; i++) {
        mtl_tensor *parameter = mtl_encoder_parameter(encoder, expected[i].name);
        assert_non_null(parameter);
        assert_int_equal(mtl_tensor_ndim(parameter), expected[i].columns ? 2 : 1);
        assert_int_equal(mtl_tensor_dim(parameter, 0), expected[i].rows);
        assert_int_equal(mtl_tensor_dim(parameter, 1), expected[i].columns);
    }
    assert_null(mtl_encoder_parameter(encoder, "lstm.weight_ih_l2"));
    assert_null(mtl_encoder_parameter(encoder, ""));
    assert_null(mtl_encoder_parameter(encoder, NULL));
    mtl_encoder_release(encoder);
    mtl_context_release(context);
}

static void first_values_are_as_documented(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_lstm_options options = MTL_LSTM_OPTIONS_INIT;
    options.vocabulary_size = 400;
    options.embedding_dim = 25;
    options.hidden_dim = 16;
    mtl_encoder *encoder;
    assert_ok(context, mtl_encoder_create_lstm(context, &options, &encoder));
    static double table[10000];
    double sum = 0;
    double squares = 0;
    assert_ok(context, mtl_tensor_read(mtl_encoder_parameter(encoder, "embedding.weight"), MTL_FLOAT64, table, 10000));
    for (int i = 0; i < 10000; i++) {
        sum += table[i];
        squares += table[i] * table[i];
    }
    assert_near(sum / 10000, 0, 5 * 0.1 / 100); /* five standard errors: 0.1 / sqrt(10^4) */
    assert_near(squares / 10000, 0.01, 5 * 0.01 * sqrt(2.0 / 10000));
    double gates[64];
    const double bound = 1 / sqrt(16.0);
    const char *biases[] = {"lstm.bias_ih_l0", "lstm.bias_hh_l0"};
    for (int b = 0; b < 2; b++) {
        assert_ok(context, mtl_tensor_read(mtl_encoder_parameter(encoder, biases[b]), MTL_FLOAT64, gates, 64));
        for (int i = 0; i < 64; i++) {
            if (b == 0 && i >= 16 && i < 32) {
                assert_near(gates[i], 1, 0); /* the forget gate */
            } else {
                assert_true(fabs(gates[i]) <= bound);
            }
        }
    }
    double weight[64 * 16];
    double largest = 0;
    assert_ok(context, mtl_tensor_read(mtl_encoder_parameter(encoder, "lstm.weight_hh_l0"), MTL_FLOAT64, weight, 1024));
    for (int i = 0; i < 1024; i++) {
        largest = fmax(largest, fabs(weight[i]));
    }
    assert_true(largest <= bound && largest > 0.9 * bound);
    mtl_encoder_release(encoder);
    mtl_context_release(context);
}

static void check_forward(mtl_context *context, const mtl_lstm_options *options)
{
    two_tasks tasks;
    assert_ok(context, two_tasks_create(context, options, TWO_TASKS_SGD, &tasks));
    mtl_tape_reset(tasks.tape, MTL_TAPE_INFER);
    mtl_tensor *h = mtl_encoder_forward(tasks.encoder, tasks.tape, tasks.inputs);
    assert_int_equal(mtl_tape_status(tasks.tape), MTL_OK);
    int64_t width = mtl_encoder_output_dim(tasks.encoder);
    assert_int_equal(width, TWO_TASKS_HIDDEN * (options->bidirectional ? 2 : 1));
    assert_int_equal(mtl_tensor_dim(h, 0), TWO_TASKS_ROWS);
    assert_int_equal(mtl_tensor_dim(h, 1), width);
    double values[TWO_TASKS_ROWS * 2 * TWO_TASKS_HIDDEN];
    assert_ok(context, mtl_tensor_read(h, MTL_FLOAT64, values, (size_t)(TWO_TASKS_ROWS * width)));
    for (int64_t i = 0; i < TWO_TASKS_ROWS * width; i++) {
        assert_true(fabs(values[i]) < 1);
        bool empty = i / width == 3;
        assert_true(empty == (values[i] == 0));
    }
    double before = 0;
    for (int step = 0; step < 30; step++) { /* and it learns */
        assert_ok(context, two_tasks_step(&tasks));
        before = step == 0 ? mtl_objective_value(tasks.objective) : before;
    }
    assert_true(mtl_objective_value(tasks.objective) < before);
    two_tasks_destroy(&tasks);
}

static void every_shape_encodes_and_learns(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    for (int32_t layers = 1; layers <= 2; layers++) {
        for (int32_t directions = 0; directions <= 1; directions++) {
            for (int32_t pooling = MTL_POOLING_LAST; pooling <= MTL_POOLING_MAX; pooling++) {
                mtl_lstm_options options = two_tasks_lstm();
                options.num_layers = layers;
                options.bidirectional = directions;
                options.pooling = pooling;
                check_forward(context, &options);
            }
        }
    }
    mtl_context_release(context);
}

static void dropout_drops_in_training_only(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_lstm_options options = two_tasks_lstm();
    options.num_layers = 2;
    for (int which = 0; which < 3; which++) {
        options.embedding_dropout = which == 0 ? 0.5 : 0;
        options.layer_dropout = which == 1 ? 0.5 : 0;
        options.output_dropout = which == 2 ? 0.5 : 0;
        two_tasks tasks;
        assert_ok(context, two_tasks_create(context, &options, TWO_TASKS_SGD, &tasks));
        enum { SIZE = TWO_TASKS_ROWS * TWO_TASKS_HIDDEN };
        double values[4][SIZE];
        const mtl_tape_mode modes[] = {MTL_TAPE_INFER, MTL_TAPE_INFER, MTL_TAPE_TRAIN, MTL_TAPE_TRAIN};
        for (int k = 0; k < 4; k++) {
            mtl_tape_reset(tasks.tape, modes[k]);
            mtl_tensor *h = mtl_encoder_forward(tasks.encoder, tasks.tape, tasks.inputs);
            assert_ok(context, mtl_tensor_read(h, MTL_FLOAT64, values[k], SIZE));
        }
        assert_memory_equal(values[0], values[1], sizeof values[0]);
        assert_memory_not_equal(values[0], values[2], sizeof values[0]);
        assert_memory_not_equal(values[2], values[3], sizeof values[0]); /* each call draws anew */
        two_tasks_destroy(&tasks);
    }
    mtl_context_release(context);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_encoder *encoder = NULL;
#define REFUSED(field, value, status, message) \
    do { \
        mtl_lstm_options bad = two_tasks_lstm(); \
        bad.field = (value); \
        assert_fails(context, mtl_encoder_create_lstm(context, &bad, &encoder), status, message); \
    } while (0)
    REFUSED(vocabulary_size, 0, MTL_ERROR_ARGUMENT, "mtl_encoder_create_lstm: vocabulary_size = 0");
    REFUSED(vocabulary_size, INT64_MAX, MTL_ERROR_LIMIT, "vocabulary_size");
    REFUSED(embedding_dim, -5, MTL_ERROR_ARGUMENT, "embedding_dim = -5");
    REFUSED(embedding_dim, INT64_MAX, MTL_ERROR_LIMIT, "embedding_dim");
    REFUSED(hidden_dim, 0, MTL_ERROR_ARGUMENT, "hidden_dim = 0");
    REFUSED(hidden_dim, INT64_MAX / 2, MTL_ERROR_LIMIT, "hidden_dim");
    REFUSED(num_layers, 0, MTL_ERROR_ARGUMENT, "num_layers = 0");
    REFUSED(num_layers, 65, MTL_ERROR_LIMIT, "num_layers = 65");
    REFUSED(pooling, 3, MTL_ERROR_ARGUMENT, "pooling = 3");
    REFUSED(pooling, -1, MTL_ERROR_ARGUMENT, "pooling = -1");
    REFUSED(embedding_dropout, 1, MTL_ERROR_ARGUMENT, "embedding_dropout = 1");
    REFUSED(layer_dropout, -0.1, MTL_ERROR_ARGUMENT, "layer_dropout = -0.1");
    REFUSED(output_dropout, NAN, MTL_ERROR_ARGUMENT, "output_dropout");
    REFUSED(reserved0, 1, MTL_ERROR_UNSUPPORTED, "reserved0");
    REFUSED(struct_size, 24, MTL_ERROR_ARGUMENT, "struct_size");
#undef REFUSED
    mtl_lstm_options good = two_tasks_lstm();
    assert_fails(context, mtl_encoder_create_lstm(context, NULL, &encoder), MTL_ERROR_ARGUMENT, "options");
    assert_fails(context, mtl_encoder_create_lstm(context, &good, NULL), MTL_ERROR_ARGUMENT, "out");
    assert_int_equal(mtl_encoder_create_lstm(NULL, &good, &encoder), MTL_ERROR_ARGUMENT);
    assert_null(encoder);
    mtl_context_release(context);
}

static void bad_inputs_are_errors_of_the_tape(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    two_tasks tasks;
    assert_ok(context, two_tasks_create(context, NULL, TWO_TASKS_SGD, &tasks));
    const int64_t offsets[] = {0, 2};
    const int32_t ids[2][2] = {{0, TWO_TASKS_VOCABULARY}, {-1, 0}};
    for (int i = 0; i < 2; i++) {
        mtl_tensor *bad;
        assert_ok(context, mtl_tensor_create_ragged(context, 1, offsets, ids[i], &bad));
        mtl_tape_reset(tasks.tape, MTL_TAPE_TRAIN);
        mtl_encoder_forward(tasks.encoder, tasks.tape, bad);
        assert_int_equal(mtl_tape_status(tasks.tape), MTL_ERROR_ARGUMENT);
        assert_non_null(strstr(mtl_tape_error(tasks.tape), i == 0 ? "12" : "-1"));
        mtl_tensor_release(bad);
    }
    mtl_tape_reset(tasks.tape, MTL_TAPE_TRAIN); /* not ragged */
    mtl_encoder_forward(tasks.encoder, tasks.tape, tasks.labels[0]);
    assert_true(mtl_tape_status(tasks.tape) != MTL_OK);
    mtl_tape_reset(tasks.tape, MTL_TAPE_TRAIN); /* not ids */
    mtl_encoder_forward(tasks.encoder, tasks.tape, mtl_head_parameter(tasks.heads[0], "weight"));
    assert_int_equal(mtl_tape_status(tasks.tape), MTL_ERROR_DTYPE);
    mtl_tape_reset(tasks.tape, MTL_TAPE_TRAIN);
    mtl_encoder_forward(tasks.encoder, tasks.tape, NULL);
    assert_int_equal(mtl_tape_status(tasks.tape), MTL_ERROR_ARGUMENT);
    two_tasks_destroy(&tasks);
    mtl_context_release(context);
}

/* No rows, rows without tokens: results of the right shape, gradients of zero. */
static void empty_batches_are_batches(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    for (int32_t pooling = MTL_POOLING_LAST; pooling <= MTL_POOLING_MAX; pooling++) {
        for (int64_t rows = 0; rows <= 3; rows += 3) {
            mtl_lstm_options options = two_tasks_lstm();
            options.pooling = pooling;
            options.bidirectional = 1;
            two_tasks tasks;
            assert_ok(context, two_tasks_create(context, &options, TWO_TASKS_ADAM, &tasks));
            const int64_t offsets[] = {0, 0, 0, 0};
            mtl_tensor *inputs;
            assert_ok(context, mtl_tensor_create_ragged(context, rows, offsets, NULL, &inputs));
            mtl_tape_reset(tasks.tape, MTL_TAPE_TRAIN);
            mtl_tensor *h = mtl_encoder_forward(tasks.encoder, tasks.tape, inputs);
            assert_int_equal(mtl_tensor_dim(h, 0), rows);
            assert_int_equal(mtl_tensor_dim(h, 1), 12);
            mtl_tensor *loss = mtl_sum(tasks.tape, mtl_head_forward(tasks.heads[0], tasks.tape, h));
            assert_ok(context, mtl_tape_backward(tasks.tape, loss, 1, tasks.gradients));
            mtl_tensor *table = mtl_encoder_parameter(tasks.encoder, "embedding.weight");
            double values[60];
            assert_ok(context, mtl_gradients_read(tasks.gradients, table, MTL_FLOAT64, values, 60));
            for (int i = 0; i < 60; i++) {
                assert_near(values[i], 0, 0);
            }
            assert_ok(context, mtl_optimizer_step(tasks.optimizer, tasks.gradients));
            mtl_tensor_release(inputs);
            two_tasks_destroy(&tasks);
        }
    }
    mtl_context_release(context);
}

static void null_gives_the_documented_values(void **state)
{
    (void)state;
    assert_null(mtl_encoder_retain(NULL));
    mtl_encoder_release(NULL);
    assert_int_equal(mtl_encoder_output_dim(NULL), 0);
    assert_int_equal(mtl_encoder_num_parameters(NULL), 0);
    assert_null(mtl_encoder_parameter(NULL, "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_shapes_are_pytorchs),  cmocka_unit_test(first_values_are_as_documented),
        cmocka_unit_test(every_shape_encodes_and_learns), cmocka_unit_test(dropout_drops_in_training_only),
        cmocka_unit_test(bad_options_are_refused),        cmocka_unit_test(bad_inputs_are_errors_of_the_tape),
        cmocka_unit_test(empty_batches_are_batches),      cmocka_unit_test(null_gives_the_documented_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
