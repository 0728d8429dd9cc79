/* SPDX-License-Identifier: Apache-2.0
 * What training must not depend on: the scale of losses, the order of rows, tasks of weight 0, threads, who multiplies,
 * debug handles. And what it must reach: the closed form of a linear regression. */
#include "support.h"
#include "two_tasks.h"

#include <fenv.h>
#include <math.h>

enum { MOST_VALUES = 1024 };

static mtl_context *context_with(int32_t threads, int32_t gemm, int32_t debug_handles)
{
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.threads = threads;
    options.gemm = gemm;
    options.debug_handles = debug_handles;
    mtl_context *context = NULL;
    assert_int_equal(mtl_context_create(&options, &context), MTL_OK);
    return context;
}

static size_t gradient_with(two_tasks *t, double first, double second, double *values)
{
    assert_ok(t->context, mtl_objective_set_weight(t->objective, 0, first));
    assert_ok(t->context, mtl_objective_set_weight(t->objective, 1, second));
    assert_ok(t->context, two_tasks_backward(t));
    assert_ok(t->context, two_tasks_gradient(t, t->gradients, values));
    return (size_t)two_tasks_size(t);
}

/* Powers of two scale without rounding: equal bits. */
static void the_scale_of_losses_scales_gradients(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    two_tasks tasks;
    double once[MOST_VALUES];
    double scaled[MOST_VALUES];
    assert_ok(context, two_tasks_create(context, NULL, TWO_TASKS_SGD, &tasks));
    size_t size = gradient_with(&tasks, 1, 0.5, once);
    const double factors[] = {2, 0.25, 1024};
    for (int k = 0; k < 3; k++) {
        gradient_with(&tasks, factors[k], 0.5 * factors[k], scaled);
        for (size_t i = 0; i < size; i++) {
            assert_true(scaled[i] == factors[k] * once[i]);
        }
    }
    two_tasks_destroy(&tasks);
    mtl_context_release(context);
}

static void a_task_of_weight_zero_is_left_out(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    two_tasks tasks;
    double weightless[MOST_VALUES];
    double absent[MOST_VALUES];
    assert_ok(context, two_tasks_create(context, NULL, TWO_TASKS_SGD, &tasks));
    for (int kept = 0; kept < 2; kept++) {
        size_t size = gradient_with(&tasks, kept == 0, kept == 1, weightless);
        mtl_tensor *losses[2];
        two_tasks_losses(&tasks, MTL_TAPE_TRAIN, losses);
        losses[1 - kept] = NULL;
        assert_ok(context, mtl_objective_backward(tasks.objective, tasks.tape, losses, 2, tasks.gradients));
        assert_ok(context, two_tasks_gradient(&tasks, tasks.gradients, absent));
        for (size_t i = 0; i < size; i++) {
            assert_true(weightless[i] == absent[i]);
        }
    }
    two_tasks_destroy(&tasks);
    mtl_context_release(context);
}

static void permute_rows(two_tasks *t, const int order[TWO_TASKS_ROWS])
{
    int64_t offsets[TWO_TASKS_ROWS + 1] = {0};
    int32_t tokens[TWO_TASKS_TOKENS];
    int32_t labels[2][TWO_TASKS_ROWS];
    for (int r = 0; r < TWO_TASKS_ROWS; r++) {
        int from = order[r];
        int64_t length = two_tasks_offsets[from + 1] - two_tasks_offsets[from];
        memcpy(tokens + offsets[r], two_tasks_tokens + two_tasks_offsets[from], (size_t)length * sizeof tokens[0]);
        offsets[r + 1] = offsets[r] + length;
        labels[0][r] = two_tasks_labels[0][from];
        labels[1][r] = two_tasks_labels[1][from];
    }
    mtl_tensor_release(t->inputs);
    t->inputs = NULL;
    assert_ok(t->context, mtl_tensor_create_ragged(t->context, TWO_TASKS_ROWS, offsets, tokens, &t->inputs));
    for (int k = 0; k < 2; k++) {
        assert_ok(t->context, mtl_tensor_write(t->labels[k], MTL_INT32, labels[k], TWO_TASKS_ROWS));
    }
}

/* The same terms are added in another order: sums of at most 17 tokens' terms below 1 in float, twice 17 roundings of
 * 2^-24; losses are means of at most 4 terms below 4. */
static const double order_tolerance = 2 * 17 * 6e-8;

static void the_order_of_rows_does_not_matter(void **state)
{
    (void)state;
    const int orders[][TWO_TASKS_ROWS] = {{5, 4, 3, 2, 1, 0}, {1, 0, 3, 5, 2, 4}, {3, 1, 5, 0, 4, 2}};
    mtl_context *context = test_context();
    two_tasks tasks;
    double straight[MOST_VALUES];
    double permuted[MOST_VALUES];
    assert_ok(context, two_tasks_create(context, NULL, TWO_TASKS_SGD, &tasks));
    size_t size = gradient_with(&tasks, 1, 0.5, straight);
    double losses[] = {mtl_objective_task_loss(tasks.objective, 0), mtl_objective_task_loss(tasks.objective, 1)};
    for (size_t k = 0; k < sizeof orders / sizeof orders[0]; k++) {
        permute_rows(&tasks, orders[k]);
        gradient_with(&tasks, 1, 0.5, permuted);
        assert_close(permuted, straight, size, 0, order_tolerance);
        for (int t = 0; t < 2; t++) {
            assert_near(mtl_objective_task_loss(tasks.objective, t), losses[t], 4 * 4 * 6e-8);
        }
    }
    two_tasks_destroy(&tasks);
    mtl_context_release(context);
}

/* ---- a model that is large enough for the threads to share its work ---- */

enum { ROWS = 96, MOST_TOKENS = ROWS * 24, VOCABULARY = 300, TRAIN_STEPS = 5 };

typedef struct large_batch {
    int64_t offsets[ROWS + 1];
    int32_t tokens[MOST_TOKENS];
    int32_t labels[2][ROWS];
} large_batch;

static void make_batch(large_batch *b)
{
    uint32_t x = 12345;
    for (int r = 0; r < ROWS; r++) {
        int length = (r * 7) % 24;
        for (int i = 0; i < length; i++) {
            x = x * 1664525u + 1013904223u;
            b->tokens[b->offsets[r] + i] = (int32_t)((x >> 16) % VOCABULARY);
        }
        b->offsets[r + 1] = b->offsets[r] + length;
        b->labels[0][r] = r % 3 == 0 ? MTL_LABEL_NONE : r % 2;
        b->labels[1][r] = r % 5 == 0 ? MTL_LABEL_NONE : r % 3;
    }
}

static void open_large(mtl_context *context, two_tasks *tasks)
{
    static large_batch batch;
    memset(&batch, 0, sizeof batch);
    make_batch(&batch);
    mtl_lstm_options lstm = MTL_LSTM_OPTIONS_INIT;
    lstm.vocabulary_size = VOCABULARY;
    lstm.embedding_dim = 40;
    lstm.hidden_dim = 56;
    lstm.num_layers = 2;
    lstm.bidirectional = 1;
    lstm.pooling = MTL_POOLING_MEAN;
    lstm.embedding_dropout = 0.1;
    lstm.layer_dropout = 0.1;
    assert_ok(context, two_tasks_create(context, &lstm, TWO_TASKS_ADAM, tasks));
    mtl_tensor_release(tasks->inputs);
    tasks->inputs = NULL;
    assert_ok(context, mtl_tensor_create_ragged(context, ROWS, batch.offsets, batch.tokens, &tasks->inputs));
    const int64_t rows = ROWS;
    for (int k = 0; k < 2; k++) {
        mtl_tensor_release(tasks->labels[k]);
        tasks->labels[k] = NULL;
        assert_ok(context, mtl_tensor_create(context, MTL_INT32, 1, &rows, &tasks->labels[k]));
        assert_ok(context, mtl_tensor_write(tasks->labels[k], MTL_INT32, batch.labels[k], ROWS));
    }
}

/* Trains and returns the weights; free() them. The first step's losses and gradient where asked for. */
static double *train_large(mtl_context *context, int steps, size_t *size, double losses[2], double **gradient)
{
    two_tasks tasks;
    open_large(context, &tasks);
    *size = (size_t)two_tasks_size(&tasks);
    double *weights = malloc(*size * sizeof weights[0]);
    assert_non_null(weights);
    for (int step = 0; step < steps; step++) {
        assert_ok(context, two_tasks_step(&tasks));
        if (step == 0) {
            losses[0] = mtl_objective_task_loss(tasks.objective, 0);
            losses[1] = mtl_objective_task_loss(tasks.objective, 1);
        }
        if (step == 0 && gradient) {
            *gradient = malloc(*size * sizeof weights[0]);
            assert_non_null(*gradient);
            assert_ok(context, two_tasks_gradient(&tasks, tasks.gradients, *gradient));
        }
    }
    assert_ok(context, two_tasks_weights(&tasks, weights));
    two_tasks_destroy(&tasks);
    return weights;
}

static void expect_equal_bits(mtl_context *context, const double *reference, size_t size)
{
    size_t own;
    double losses[2];
    double *weights = train_large(context, TRAIN_STEPS, &own, losses, NULL);
    assert_int_equal(own, size);
    for (size_t i = 0; i < size; i++) {
        if (memcmp(&weights[i], &reference[i], sizeof weights[i]) != 0) {
            fail_msg("weight %zu is %.17g, not %.17g", i, weights[i], reference[i]);
        }
    }
    free(weights);
    mtl_context_release(context);
}

static void loop_backwards(void *user, int32_t count, mtl_parallel_body body, void *argument)
{
    ++*(int *)user;
    for (int32_t i = count - 1; i >= 0; i--) {
        body(argument, i);
    }
}

static void any_number_of_threads_gives_the_same_bits(void **state)
{
    (void)state;
    size_t size;
    double losses[2];
    mtl_context *alone = context_with(1, MTL_GEMM_BUILTIN, 0);
    double *reference = train_large(alone, TRAIN_STEPS, &size, losses, NULL);
    mtl_context_release(alone);
    const int32_t threads[] = {2, 3, 7};
    for (int i = 0; i < 3; i++) {
        expect_equal_bits(context_with(threads[i], MTL_GEMM_BUILTIN, 0), reference, size);
    }
    int calls = 0; /* the host's loop, in another order */
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.gemm = MTL_GEMM_BUILTIN;
    options.threads = 4;
    options.parallel_for = loop_backwards;
    options.parallel_user = &calls;
    mtl_context *host;
    assert_int_equal(mtl_context_create(&options, &host), MTL_OK);
    expect_equal_bits(host, reference, size);
    assert_true(calls > 0);
    free(reference);
}

static void debug_handles_change_nothing(void **state)
{
    (void)state;
    size_t size;
    double losses[2];
    mtl_context *plain = context_with(1, MTL_GEMM_BUILTIN, 0);
    double *reference = train_large(plain, TRAIN_STEPS, &size, losses, NULL);
    mtl_context_release(plain);
    expect_equal_bits(context_with(1, MTL_GEMM_BUILTIN, 1), reference, size);
    free(reference);
}

/* One step: products are the same sums in another order. Activations are below 1 and pass 24 recurrent steps with sums of
 * 96 and 152 products: relative 2^-24 times some 24 * 2 roundings of the state, times the square root of 152 as errors are
 * independent: 3.5e-5 at most; losses near 1. A gradient is a mean over rows of such numbers, below 1. */
static const double product_tolerance = 3.5e-5;

static void cblas_agrees_to_rounding(void **state)
{
    (void)state;
    size_t size;
    double losses[3][2];
    double *gradients[3];
    for (int32_t gemm = MTL_GEMM_AUTO; gemm <= MTL_GEMM_CBLAS; gemm++) {
        mtl_context *context = context_with(1, gemm, 0);
        free(train_large(context, 1, &size, losses[gemm], &gradients[gemm]));
        mtl_context_release(context);
    }
    for (int32_t gemm = MTL_GEMM_AUTO; gemm <= MTL_GEMM_CBLAS; gemm++) {
        assert_close(losses[gemm], losses[MTL_GEMM_BUILTIN], 2, 0, product_tolerance);
        assert_close(gradients[gemm], gradients[MTL_GEMM_BUILTIN], size, 0, product_tolerance);
    }
    for (int32_t gemm = MTL_GEMM_AUTO; gemm <= MTL_GEMM_CBLAS; gemm++) {
        free(gradients[gemm]);
    }
}

/* ---- linear regression ---- */

enum { POINTS = 20, FEATURES = 3 };

static void regression_data(double *x, double *y)
{
    for (int r = 0; r < POINTS; r++) {
        for (int i = 0; i < FEATURES; i++) {
            x[r * FEATURES + i] = sin(1 + (3 + 2 * i) * r);
        }
        y[r] = 0.5 * x[r * FEATURES] - 1.5 * x[r * FEATURES + 1] + 0.25 + 0.3 * cos(11 * r);
    }
}

/* Solves the normal equations of [x, 1] by elimination; they are well conditioned here. */
static void closed_form(const double *x, const double *y, double solution[FEATURES + 1])
{
    double a[FEATURES + 1][FEATURES + 2] = {{0}};
    for (int r = 0; r < POINTS; r++) {
        double row[FEATURES + 1] = {x[r * FEATURES], x[r * FEATURES + 1], x[r * FEATURES + 2], 1};
        for (int i = 0; i <= FEATURES; i++) {
            for (int j = 0; j <= FEATURES; j++) {
                a[i][j] += row[i] * row[j];
            }
            a[i][FEATURES + 1] += row[i] * y[r];
        }
    }
    for (int i = 0; i <= FEATURES; i++) {
        for (int k = 0; k <= FEATURES; k++) {
            double factor = k == i ? 0 : a[k][i] / a[i][i];
            for (int j = i; j <= FEATURES + 1; j++) {
                a[k][j] -= factor * a[i][j];
            }
        }
    }
    for (int i = 0; i <= FEATURES; i++) {
        solution[i] = a[i][FEATURES + 1] / a[i][i];
    }
}

static void gradient_descent_reaches_the_closed_form(void **state)
{
    (void)state;
    double x[POINTS * FEATURES];
    double y[POINTS];
    double solution[FEATURES + 1];
    regression_data(x, y);
    closed_form(x, y, solution);
    mtl_context *context = test_context();
    const int64_t shape[] = {POINTS, FEATURES};
    const int64_t column[] = {POINTS, 1};
    mtl_tensor *inputs;
    mtl_tensor *targets;
    mtl_head *head;
    mtl_model *model;
    mtl_optimizer *optimizer;
    mtl_gradients *gradients;
    mtl_tape *tape;
    mtl_sgd_options sgd = MTL_SGD_OPTIONS_INIT;
    sgd.learning_rate = 0.1;
    sgd.momentum = 0.9;
    assert_ok(context, mtl_tensor_create(context, MTL_FLOAT32, 2, shape, &inputs));
    assert_ok(context, mtl_tensor_create(context, MTL_FLOAT32, 2, column, &targets));
    assert_ok(context, mtl_tensor_write(inputs, MTL_FLOAT64, x, POINTS * FEATURES));
    assert_ok(context, mtl_tensor_write(targets, MTL_FLOAT64, y, POINTS));
    assert_ok(context, mtl_head_create_regressor(context, FEATURES, 1, NULL, &head));
    assert_ok(context, mtl_model_create(context, NULL, &model));
    assert_ok(context, mtl_model_add_head(model, "line", head));
    assert_ok(context, mtl_optimizer_create_sgd(model, &sgd, &optimizer));
    assert_ok(context, mtl_gradients_create(model, &gradients));
    assert_ok(context, mtl_tape_create(context, NULL, &tape));
    for (int step = 0; step < 500; step++) {
        mtl_tape_reset(tape, MTL_TAPE_TRAIN);
        mtl_tensor *loss = mtl_mean_squared_error(tape, mtl_head_forward(head, tape, inputs), targets);
        assert_ok(context, mtl_tape_backward(tape, loss, 1, gradients));
        assert_ok(context, mtl_optimizer_step(optimizer, gradients));
    }
    double found[FEATURES + 1];
    assert_ok(context, mtl_tensor_read(mtl_head_parameter(head, "weight"), MTL_FLOAT64, found, FEATURES));
    assert_ok(context, mtl_tensor_read(mtl_head_parameter(head, "bias"), MTL_FLOAT64, found + FEATURES, 1));
    /* The curvature's eigenvalues are near 2 * 1/2: the slowest direction shrinks by sqrt(momentum) = 0.95 a step, 500 of
     * them are 1e-11. What is left is where a float gradient rounds to 0: residuals below 2, 20 roundings of 2^-24, divided
     * by the curvature. */
    assert_close(found, solution, FEATURES + 1, 0, 2 * 20 * 6e-8);
    mtl_tape_destroy(tape);
    mtl_gradients_destroy(gradients);
    mtl_optimizer_destroy(optimizer);
    mtl_model_destroy(model);
    mtl_head_release(head);
    mtl_tensor_release(inputs);
    mtl_tensor_release(targets);
    mtl_context_release(context);
}

/* The kernels run in one floating-point mode, whatever the host's is; the host finds its own again. */
static void the_rounding_mode_of_the_host_does_not_matter(void **state)
{
    (void)state;
    double nearest[MOST_VALUES];
    double upward[MOST_VALUES];
    mtl_context *context = context_with(2, MTL_GEMM_BUILTIN, 0);
    two_tasks tasks;
    assert_ok(context, two_tasks_create(context, NULL, TWO_TASKS_SGD, &tasks));
    assert_ok(context, two_tasks_backward(&tasks));
    assert_ok(context, two_tasks_gradient(&tasks, tasks.gradients, nearest));
    assert_int_equal(fesetround(FE_UPWARD), 0);
    mtl_status status = two_tasks_backward(&tasks);
    int after = fegetround();
    fesetround(FE_TONEAREST);
    assert_ok(context, status);
    assert_int_equal(after, FE_UPWARD);
    assert_ok(context, two_tasks_gradient(&tasks, tasks.gradients, upward));
    assert_memory_equal(nearest, upward, (size_t)two_tasks_size(&tasks) * sizeof nearest[0]);
    two_tasks_destroy(&tasks);
    mtl_context_release(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rounding_mode_of_the_host_does_not_matter),
        cmocka_unit_test(the_scale_of_losses_scales_gradients),
        cmocka_unit_test(a_task_of_weight_zero_is_left_out),
        cmocka_unit_test(the_order_of_rows_does_not_matter),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(debug_handles_change_nothing),
        cmocka_unit_test(cblas_agrees_to_rounding),
        cmocka_unit_test(gradient_descent_reaches_the_closed_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
