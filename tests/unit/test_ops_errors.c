/* SPDX-License-Identifier: Apache-2.0
 * Every way in which an operation or a loss refuses its arguments: the status, and a message that names function,
 * argument and value. */
#include "support/support_ops.h"

/* Tensors that each test needs. */
typedef struct wrong_inputs {
    ops_fixture f;
    mtl_tensor *matrix;  /* [2, 3] */
    mtl_tensor *vector;  /* [3] */
    mtl_tensor *four;    /* [4] */
    mtl_tensor *scalar;  /* [] */
    mtl_tensor *hollow;  /* [2, 0] */
    mtl_tensor *ints;    /* int32 [2] */
    mtl_tensor *foreign; /* a result of another tape */
    mtl_tape *other;
} wrong_inputs;

static int set_up(void **state)
{
    wrong_inputs *in = calloc(1, sizeof *in);
    assert_non_null(in);
    ops_begin(&in->f);
    in->matrix = ops_real(&in->f, 2, (int64_t[]){2, 3}, NULL);
    in->vector = ops_real(&in->f, 1, (int64_t[]){3}, NULL);
    in->four = ops_real(&in->f, 1, (int64_t[]){4}, NULL);
    in->scalar = ops_real(&in->f, 0, (int64_t[]){0}, NULL);
    in->hollow = ops_real(&in->f, 2, (int64_t[]){2, 0}, NULL);
    in->ints = ops_int32(&in->f, 2, (int32_t[]){0, 1});
    assert_ok(in->f.context, mtl_tape_create(in->f.context, NULL, &in->other));
    in->foreign = mtl_tanh(in->other, in->matrix);
    assert_int_equal(in->foreign->kind, MTLI_TENSOR_TAPE);
    *state = in;
    return 0;
}

static int tear_down(void **state)
{
    wrong_inputs *in = *state;
    mtl_tape_destroy(in->other);
    ops_end(&in->f);
    free(in);
    return 0;
}

/* What every operation of one real input refuses. */
static void test_one_input(void **state)
{
    wrong_inputs *in = *state;
    ops_fixture *f = &in->f;
    static const struct {
        const char *name;
        mtl_tensor *(*run)(mtl_tape *, mtl_tensor *);
        bool rows;
    } ops[] = {{"mtl_tanh", mtl_tanh, false},       {"mtl_sigmoid", mtl_sigmoid, false},
               {"mtl_relu", mtl_relu, false},       {"mtl_gelu", mtl_gelu, false},
               {"mtl_softmax", mtl_softmax, true},  {"mtl_log_softmax", mtl_log_softmax, true},
               {"mtl_sum", mtl_sum, false},         {"mtl_mean", mtl_mean, false}};
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        const char *name = ops[i].name;
        assert_op_fails(f, ops[i].run(f->tape, NULL), MTL_ERROR_ARGUMENT, name, "x is NULL");
        assert_op_fails(f, ops[i].run(f->tape, in->ints), MTL_ERROR_DTYPE, name, "x is int32, not float");
        assert_op_fails(f, ops[i].run(f->tape, in->foreign), MTL_ERROR_STATE, name, "x belongs to another tape");
        if (ops[i].rows) {
            assert_op_fails(f, ops[i].run(f->tape, in->scalar), MTL_ERROR_SHAPE, name, "x has shape []");
            assert_op_fails(f, ops[i].run(f->tape, in->hollow), MTL_ERROR_SHAPE, name, "x has shape [2, 0]");
        }
    }
}

static void test_arithmetic(void **state)
{
    wrong_inputs *in = *state;
    ops_fixture *f = &in->f;
    static const struct {
        const char *name;
        mtl_tensor *(*run)(mtl_tape *, mtl_tensor *, mtl_tensor *);
    } ops[] = {{"mtl_add", mtl_add}, {"mtl_mul", mtl_mul}};
    for (size_t i = 0; i < 2; i++) {
        const char *name = ops[i].name;
        assert_op_fails(f, ops[i].run(f->tape, NULL, in->vector), MTL_ERROR_ARGUMENT, name, "a is NULL");
        assert_op_fails(f, ops[i].run(f->tape, in->vector, NULL), MTL_ERROR_ARGUMENT, name, "b is NULL");
        assert_op_fails(f, ops[i].run(f->tape, in->ints, in->vector), MTL_ERROR_DTYPE, name, "a is int32");
        assert_op_fails(f, ops[i].run(f->tape, in->vector, in->ints), MTL_ERROR_DTYPE, name, "b is int32");
        assert_op_fails(f, ops[i].run(f->tape, in->foreign, in->vector), MTL_ERROR_STATE, name, "a belongs");
        assert_op_fails(f, ops[i].run(f->tape, in->matrix, in->foreign), MTL_ERROR_STATE, name, "b belongs");
        assert_op_fails(f, ops[i].run(f->tape, in->matrix, in->four), MTL_ERROR_SHAPE, name, "a has shape [2, 3]",
                        "b has shape [4]", "suffix");
        assert_op_fails(f, ops[i].run(f->tape, in->vector, in->matrix), MTL_ERROR_SHAPE, name, "a has shape [3]",
                        "b has shape [2, 3]");
        assert_op_fails(f, ops[i].run(f->tape, in->scalar, in->vector), MTL_ERROR_SHAPE, name, "a has shape []");
    }
}

static void test_scale(void **state)
{
    wrong_inputs *in = *state;
    ops_fixture *f = &in->f;
    assert_op_fails(f, mtl_scale(f->tape, NULL, 1), MTL_ERROR_ARGUMENT, "mtl_scale", "x is NULL");
    assert_op_fails(f, mtl_scale(f->tape, in->ints, 1), MTL_ERROR_DTYPE, "mtl_scale", "x is int32");
    assert_op_fails(f, mtl_scale(f->tape, in->matrix, (double)NAN), MTL_ERROR_ARGUMENT, "mtl_scale", "factor = nan");
    assert_op_fails(f, mtl_scale(f->tape, in->matrix, (double)-INFINITY), MTL_ERROR_ARGUMENT, "factor = -inf");
    assert_op_fails(f, mtl_scale(f->tape, in->matrix, 1e300), MTL_ERROR_ARGUMENT, "factor = 1e+300", "float32");
}

static void test_layer_norm(void **state)
{
    wrong_inputs *in = *state;
    ops_fixture *f = &in->f;
    mtl_tape *tape = f->tape;
    const char *name = "mtl_layer_norm";
    assert_op_fails(f, mtl_layer_norm(tape, NULL, NULL, NULL, 1), MTL_ERROR_ARGUMENT, name, "x is NULL");
    assert_op_fails(f, mtl_layer_norm(tape, in->ints, NULL, NULL, 1), MTL_ERROR_DTYPE, name, "x is int32");
    assert_op_fails(f, mtl_layer_norm(tape, in->scalar, NULL, NULL, 1), MTL_ERROR_SHAPE, name, "x has shape []");
    assert_op_fails(f, mtl_layer_norm(tape, in->hollow, NULL, NULL, 1), MTL_ERROR_SHAPE, name, "x has shape [2, 0]");
    assert_op_fails(f, mtl_layer_norm(tape, in->matrix, in->ints, NULL, 1), MTL_ERROR_DTYPE, name, "gain is int32");
    assert_op_fails(f, mtl_layer_norm(tape, in->matrix, NULL, in->ints, 1), MTL_ERROR_DTYPE, name, "bias is int32");
    assert_op_fails(f, mtl_layer_norm(tape, in->matrix, in->four, NULL, 1), MTL_ERROR_SHAPE, name,
                    "gain has shape [4], expected [3]");
    assert_op_fails(f, mtl_layer_norm(tape, in->matrix, NULL, in->matrix, 1), MTL_ERROR_SHAPE, name,
                    "bias has shape [2, 3], expected [3]");
    const double wrong[] = {0, -1e-5, (double)NAN, (double)INFINITY};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_op_fails(f, mtl_layer_norm(tape, in->matrix, NULL, NULL, wrong[i]), MTL_ERROR_ARGUMENT, name,
                        "epsilon = ");
    }
}

static void test_concat(void **state)
{
    wrong_inputs *in = *state;
    ops_fixture *f = &in->f;
    mtl_tensor *good[] = {in->matrix, in->matrix};
    assert_op_fails(f, mtl_concat(f->tape, NULL, 2), MTL_ERROR_ARGUMENT, "mtl_concat", "inputs is NULL");
    assert_op_fails(f, mtl_concat(f->tape, good, 0), MTL_ERROR_ARGUMENT, "mtl_concat", "count = 0");
    assert_op_fails(f, mtl_concat(f->tape, good, -3), MTL_ERROR_ARGUMENT, "mtl_concat", "count = -3");
    assert_op_fails(f, mtl_concat(f->tape, good, 65), MTL_ERROR_LIMIT, "mtl_concat", "count = 65 is more than 64");
    mtl_tensor *hole[] = {in->matrix, NULL};
    assert_op_fails(f, mtl_concat(f->tape, hole, 2), MTL_ERROR_ARGUMENT, "mtl_concat", "inputs", "NULL");
    mtl_tensor *numbers[] = {in->vector, in->ints};
    assert_op_fails(f, mtl_concat(f->tape, numbers, 2), MTL_ERROR_DTYPE, "mtl_concat", "inputs", "int32");
    mtl_tensor *scalars[] = {in->scalar, in->scalar};
    assert_op_fails(f, mtl_concat(f->tape, scalars, 2), MTL_ERROR_SHAPE, "mtl_concat", "shape []");
    mtl_tensor *ranks[] = {in->matrix, in->vector};
    assert_op_fails(f, mtl_concat(f->tape, ranks, 2), MTL_ERROR_SHAPE, "mtl_concat", "[2, 3]", "[3]");
    mtl_tensor *tall = ops_real(f, 2, (int64_t[]){3, 3}, NULL);
    mtl_tensor *sizes[] = {in->matrix, tall};
    assert_op_fails(f, mtl_concat(f->tape, sizes, 2), MTL_ERROR_SHAPE, "mtl_concat", "[2, 3]", "[3, 3]");
}

static void test_concat_overflow(void **state)
{
    wrong_inputs *in = *state;
    ops_fixture *f = &in->f;
    mtl_tensor *huge = ops_real(f, 2, (int64_t[]){0, INT32_MAX}, NULL);
    mtl_tensor *both[] = {huge, huge};
    assert_op_fails(f, mtl_concat(f->tape, both, 2), MTL_ERROR_LIMIT, "mtl_concat", "overflows");
}

static void test_rows(void **state)
{
    wrong_inputs *in = *state;
    ops_fixture *f = &in->f;
    assert_op_fails(f, mtl_rows(f->tape, NULL, in->ints), MTL_ERROR_ARGUMENT, "mtl_rows", "x is NULL");
    assert_op_fails(f, mtl_rows(f->tape, in->matrix, NULL), MTL_ERROR_ARGUMENT, "mtl_rows", "indices is NULL");
    assert_op_fails(f, mtl_rows(f->tape, in->ints, in->ints), MTL_ERROR_DTYPE, "mtl_rows", "x is int32");
    assert_op_fails(f, mtl_rows(f->tape, in->matrix, in->vector), MTL_ERROR_DTYPE, "mtl_rows", "indices is float32");
    assert_op_fails(f, mtl_rows(f->tape, in->scalar, in->ints), MTL_ERROR_SHAPE, "mtl_rows", "x has shape []");
    mtl_tensor *square = ops_tensor(f, MTL_INT32, 2, (int64_t[]){2, 2});
    assert_op_fails(f, mtl_rows(f->tape, in->matrix, square), MTL_ERROR_SHAPE, "mtl_rows", "indices has shape [2, 2]");
    mtl_tensor *ragged = ops_ragged(f, 2, (int64_t[]){2, 3}, 1, (int64_t[]){0, 2});
    assert_op_fails(f, mtl_rows(f->tape, ragged, in->ints), MTL_ERROR_SHAPE, "mtl_rows", "x has shape ragged [2, 3]");
    mtl_tensor *beyond = ops_int32(f, 3, (int32_t[]){0, 1, 2});
    assert_op_fails(f, mtl_rows(f->tape, in->matrix, beyond), MTL_ERROR_ARGUMENT, "mtl_rows",
                    "indices[2] = 2 is not in [0, 2)");
    mtl_tensor *negative = ops_int32(f, 2, (int32_t[]){-1, 0});
    assert_op_fails(f, mtl_rows(f->tape, in->matrix, negative), MTL_ERROR_ARGUMENT, "indices[0] = -1");
}

static void test_cross_entropy(void **state)
{
    wrong_inputs *in = *state;
    ops_fixture *f = &in->f;
    mtl_tape *tape = f->tape;
    const char *name = "mtl_cross_entropy";
    assert_op_fails(f, mtl_cross_entropy(tape, NULL, in->ints, NULL), MTL_ERROR_ARGUMENT, name, "logits is NULL");
    assert_op_fails(f, mtl_cross_entropy(tape, in->matrix, NULL, NULL), MTL_ERROR_ARGUMENT, name, "labels is NULL");
    assert_op_fails(f, mtl_cross_entropy(tape, in->ints, in->ints, NULL), MTL_ERROR_DTYPE, name, "logits is int32");
    assert_op_fails(f, mtl_cross_entropy(tape, in->matrix, in->vector, NULL), MTL_ERROR_DTYPE, name,
                    "labels is float32, not int32");
    assert_op_fails(f, mtl_cross_entropy(tape, in->vector, in->ints, NULL), MTL_ERROR_SHAPE, name,
                    "logits has shape [3]");
    mtl_tensor *three = ops_int32(f, 3, (int32_t[]){0, 1, 2});
    assert_op_fails(f, mtl_cross_entropy(tape, in->matrix, three, NULL), MTL_ERROR_SHAPE, name,
                    "logits has shape [2, 3]", "labels has shape [3]");
    mtl_tensor *beyond = ops_int32(f, 2, (int32_t[]){2, 3});
    assert_op_fails(f, mtl_cross_entropy(tape, in->matrix, beyond, NULL), MTL_ERROR_ARGUMENT, name,
                    "labels[1] = 3 is neither in [0, 3) nor MTL_LABEL_NONE");
    mtl_tensor *negative = ops_int32(f, 2, (int32_t[]){-2, 0});
    assert_op_fails(f, mtl_cross_entropy(tape, in->matrix, negative, NULL), MTL_ERROR_ARGUMENT, name,
                    "labels[0] = -2");
    mtl_tensor *classless = ops_int32(f, 2, (int32_t[]){-1, 0});
    assert_op_fails(f, mtl_cross_entropy(tape, in->hollow, classless, NULL), MTL_ERROR_ARGUMENT, name,
                    "labels[1] = 0");
}

static void test_cross_entropy_options(void **state)
{
    wrong_inputs *in = *state;
    ops_fixture *f = &in->f;
    const char *name = "mtl_cross_entropy";
    const double wrong[] = {-0.1, 1, (double)NAN};
    for (size_t i = 0; i < 3; i++) {
        mtl_cross_entropy_options options = MTL_CROSS_ENTROPY_OPTIONS_INIT;
        options.label_smoothing = wrong[i];
        assert_op_fails(f, mtl_cross_entropy(f->tape, in->matrix, in->ints, &options), MTL_ERROR_ARGUMENT, name,
                        "options->label_smoothing = ");
    }
    const struct {
        mtl_tensor *weights;
        mtl_status status;
        const char *words;
    } cases[] = {{in->ints, MTL_ERROR_DTYPE, "options->class_weights is int32"},
                 {in->four, MTL_ERROR_SHAPE, "options->class_weights has shape [4], expected [3]"},
                 {in->foreign, MTL_ERROR_STATE, "options->class_weights belongs to another tape"},
                 {ops_real(f, 1, (int64_t[]){3}, (mtli_real[]){1, -1, 1}), MTL_ERROR_ARGUMENT,
                  "options->class_weights[1] = -1"},
                 {ops_real(f, 1, (int64_t[]){3}, (mtli_real[]){1, 1, (mtli_real)NAN}), MTL_ERROR_ARGUMENT,
                  "options->class_weights[2] = nan"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mtl_cross_entropy_options options = MTL_CROSS_ENTROPY_OPTIONS_INIT;
        options.class_weights = cases[i].weights;
        assert_op_fails(f, mtl_cross_entropy(f->tape, in->matrix, in->ints, &options), cases[i].status, name,
                        cases[i].words);
    }
}

static void test_struct_sizes(void **state)
{
    wrong_inputs *in = *state;
    ops_fixture *f = &in->f;
    mtl_cross_entropy_options small = MTL_CROSS_ENTROPY_OPTIONS_INIT;
    small.struct_size = 4;
    assert_op_fails(f, mtl_cross_entropy(f->tape, in->matrix, in->ints, &small), MTL_ERROR_ARGUMENT,
                    "mtl_cross_entropy", "options->struct_size = 4");
    struct {
        mtl_binary_cross_entropy_options known;
        int64_t future;
    } large = {MTL_BINARY_CROSS_ENTROPY_OPTIONS_INIT, 0};
    large.known.struct_size = sizeof large;
    mtl_tensor *half = ops_real(f, 2, (int64_t[]){2, 3}, (mtli_real[]){0, 1, 0.5, 0.5, 1, 0});
    assert_true(mtl_binary_cross_entropy(f->tape, in->matrix, half, &large.known) != &f->tape->error);
    large.future = 1;
    assert_op_fails(f, mtl_binary_cross_entropy(f->tape, in->matrix, half, &large.known), MTL_ERROR_UNSUPPORTED,
                    "mtl_binary_cross_entropy", "options->struct_size");
}

static void test_binary_cross_entropy(void **state)
{
    wrong_inputs *in = *state;
    ops_fixture *f = &in->f;
    mtl_tape *tape = f->tape;
    const char *name = "mtl_binary_cross_entropy";
    mtl_tensor *half = ops_real(f, 2, (int64_t[]){2, 3}, (mtli_real[]){0, 1, 0.5, 0.5, 1, 0});
    assert_op_fails(f, mtl_binary_cross_entropy(tape, NULL, half, NULL), MTL_ERROR_ARGUMENT, name, "logits is NULL");
    assert_op_fails(f, mtl_binary_cross_entropy(tape, half, NULL, NULL), MTL_ERROR_ARGUMENT, name, "targets is NULL");
    assert_op_fails(f, mtl_binary_cross_entropy(tape, half, in->ints, NULL), MTL_ERROR_DTYPE, name,
                    "targets is int32");
    assert_op_fails(f, mtl_binary_cross_entropy(tape, half, in->vector, NULL), MTL_ERROR_SHAPE, name,
                    "logits has shape [2, 3]", "targets has shape [3]");
    assert_op_fails(f, mtl_binary_cross_entropy(tape, in->vector, in->vector, NULL), MTL_ERROR_SHAPE, name,
                    "logits has shape [3]");
    mtl_tensor *beyond = ops_real(f, 2, (int64_t[]){2, 3}, (mtli_real[]){0, 1, 0.5, 0.5, 1.5, 0});
    assert_op_fails(f, mtl_binary_cross_entropy(tape, half, beyond, NULL), MTL_ERROR_ARGUMENT, name,
                    "targets[1][1] = 1.5");
    mtl_binary_cross_entropy_options options = MTL_BINARY_CROSS_ENTROPY_OPTIONS_INIT;
    options.positive_weights = in->four;
    assert_op_fails(f, mtl_binary_cross_entropy(tape, in->matrix, half, &options), MTL_ERROR_SHAPE, name,
                    "options->positive_weights has shape [4], expected [3]");
    options.positive_weights = ops_real(f, 1, (int64_t[]){3}, (mtli_real[]){1, 1, 0});
    assert_op_fails(f, mtl_binary_cross_entropy(tape, in->matrix, half, &options), MTL_ERROR_ARGUMENT, name,
                    "options->positive_weights[2] = 0 is not positive");
    options.positive_weights = in->ints;
    assert_op_fails(f, mtl_binary_cross_entropy(tape, in->matrix, half, &options), MTL_ERROR_DTYPE, name,
                    "options->positive_weights is int32");
}

static mtl_tensor *huber_of_one(mtl_tape *tape, mtl_tensor *predictions, mtl_tensor *targets)
{
    return mtl_huber(tape, predictions, targets, 1);
}

static void test_regression(void **state)
{
    wrong_inputs *in = *state;
    ops_fixture *f = &in->f;
    static const struct {
        const char *name;
        mtl_tensor *(*run)(mtl_tape *, mtl_tensor *, mtl_tensor *);
    } ops[] = {{"mtl_mean_squared_error", mtl_mean_squared_error}, {"mtl_huber", huber_of_one}};
    for (size_t i = 0; i < 2; i++) {
        const char *name = ops[i].name;
        assert_op_fails(f, ops[i].run(f->tape, NULL, in->four), MTL_ERROR_ARGUMENT, name, "predictions is NULL");
        assert_op_fails(f, ops[i].run(f->tape, in->four, NULL), MTL_ERROR_ARGUMENT, name, "targets is NULL");
        assert_op_fails(f, ops[i].run(f->tape, in->ints, in->four), MTL_ERROR_DTYPE, name, "predictions is int32");
        assert_op_fails(f, ops[i].run(f->tape, in->four, in->ints), MTL_ERROR_DTYPE, name, "targets is int32");
        assert_op_fails(f, ops[i].run(f->tape, in->matrix, in->vector), MTL_ERROR_SHAPE, name,
                        "predictions has shape [2, 3]", "targets has shape [3]");
    }
    const double wrong[] = {0, -1, (double)NAN};
    for (size_t i = 0; i < 3; i++) {
        assert_op_fails(f, mtl_huber(f->tape, in->four, in->four, wrong[i]), MTL_ERROR_ARGUMENT, "mtl_huber",
                        "delta = ");
    }
}

/* No function crashes on a NULL tape; each gives an error tensor that others take and refuse. */
static void test_null_tape(void **state)
{
    wrong_inputs *in = *state;
    mtl_tensor *x = in->matrix;
    mtl_tensor *inputs[] = {x, x};
    mtl_tensor *results[] = {
        mtl_add(NULL, x, x),       mtl_mul(NULL, x, x),
        mtl_scale(NULL, x, 2),     mtl_tanh(NULL, x),
        mtl_sigmoid(NULL, x),      mtl_relu(NULL, x),
        mtl_gelu(NULL, x),         mtl_dropout(NULL, x, 0.5),
        mtl_softmax(NULL, x),      mtl_log_softmax(NULL, x),
        mtl_rows(NULL, x, x),      mtl_layer_norm(NULL, x, NULL, NULL, 1e-5),
        mtl_sum(NULL, x),          mtl_concat(NULL, inputs, 2),
        mtl_mean(NULL, x),         mtl_concat(NULL, NULL, -1),
        mtl_huber(NULL, x, x, 1),  mtl_cross_entropy(NULL, x, in->ints, NULL),
        mtl_linear(NULL, x, x, x), mtl_binary_cross_entropy(NULL, x, x, NULL),
        mtl_tanh(NULL, NULL),      mtl_mean_squared_error(NULL, x, x),
    };
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        assert_non_null(results[i]);
        assert_int_equal(results[i]->kind, MTLI_TENSOR_ERROR);
    }
    assert_op_fails(&in->f, mtl_tanh(in->f.tape, results[0]), MTL_ERROR_STATE, "mtl_tanh", "x");
}

/* The first error stays: later operations do nothing, whatever they are given. */
static void test_first_error_is_kept(void **state)
{
    wrong_inputs *in = *state;
    mtl_tape *tape = in->f.tape;
    mtl_tensor *error = mtl_add(tape, in->matrix, in->four);
    char first[512];
    snprintf(first, sizeof first, "%s", mtl_tape_error(tape));
    mtl_cross_entropy_options options = MTL_CROSS_ENTROPY_OPTIONS_INIT;
    options.struct_size = 1;
    mtl_tensor *later[] = {
        mtl_tanh(tape, error),           mtl_tanh(tape, NULL),
        mtl_scale(tape, error, NAN),     mtl_concat(tape, NULL, 0),
        mtl_dropout(tape, error, 7),     mtl_rows(tape, error, in->ints),
        mtl_huber(tape, error, NULL, 0), mtl_cross_entropy(tape, error, in->ints, &options),
        mtl_sum(tape, in->matrix),       mtl_binary_cross_entropy(tape, error, error, NULL),
    };
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++) {
        assert_ptr_equal(later[i], error);
    }
    assert_int_equal(mtl_tape_status(tape), MTL_ERROR_SHAPE);
    assert_string_equal(mtl_tape_error(tape), first);
    double seed = 1;
    assert_fails(in->f.context, mtli_sweep_run(tape, later, &seed, 1, NULL), MTL_ERROR_SHAPE, first);
    mtl_tape_reset(tape, MTL_TAPE_TRAIN);
    assert_int_equal(mtl_tape_status(tape), MTL_OK);
    assert_near(mtl_tensor_size(mtl_sum(tape, in->matrix)), 1, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_input, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_arithmetic, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_scale, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_layer_norm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_concat, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_concat_overflow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cross_entropy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cross_entropy_options, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_struct_sizes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_binary_cross_entropy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_regression, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_null_tape, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_first_error_is_kept, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("ops errors", tests, NULL, NULL);
}
