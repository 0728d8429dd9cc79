/* SPDX-License-Identifier: Apache-2.0
 * Penalties beside PyTorch: value and gradient of every kind, and ten steps of two linear networks with an L2 term, a
 * trace norm as a term, and a trace norm as a proximal step. */
#include "support.h"

#include <math.h>

#include "sharing_golden.h"

enum { MOST = 64 };

/* The formula of dump_sharing.py. */
static void golden_weights(int task, int64_t n, double *values)
{
    for (int64_t i = 0; i < n; i++) {
        double k = (double)i;
        values[i] = 0.6 * sin(1.0 + 0.9 * k + 2.3 * task + 0.31 * k * k + 0.17 * task * k);
    }
}

/* ---- values and gradients ---- */

static const char *const task_names[GOLDEN_TASKS] = {"first", "second", "third"};

static mtl_tensor *never_called(void *user, mtl_encoder_call *call)
{
    (void)user;
    return mtl_encoder_call_inputs(call);
}

/* Encoders that hold one parameter of the shape. */
static void make_model(mtl_context *context, const golden_penalty *golden, mtl_model **model, mtl_tensor **parameters)
{
    mtl_parameter_spec spec = {"weight", {0}, golden->ndim, MTL_INIT_ZEROS, 0};
    memcpy(spec.shape, golden->shape, sizeof spec.shape);
    mtl_custom_encoder_options options = MTL_CUSTOM_ENCODER_OPTIONS_INIT;
    options.forward = never_called;
    options.parameters = &spec;
    options.num_parameters = 1;
    options.output_dim = 1;
    assert_ok(context, mtl_model_create(context, NULL, model));
    for (int t = 0; t < GOLDEN_TASKS; t++) {
        mtl_encoder *encoder;
        double values[MOST];
        assert_ok(context, mtl_encoder_create_custom(context, &options, &encoder));
        assert_ok(context, mtl_model_add_encoder(*model, task_names[t], encoder));
        parameters[t] = mtl_encoder_parameter(encoder, "weight");
        size_t n = (size_t)mtl_tensor_size(parameters[t]);
        assert_true(n <= MOST);
        golden_weights(t, (int64_t)n, values);
        assert_ok(context, mtl_tensor_write(parameters[t], MTL_FLOAT64, values, n));
        mtl_encoder_release(encoder);
    }
}

static mtl_penalty *make_penalty(mtl_context *context, mtl_model *model, const golden_penalty *golden)
{
    mtl_penalty *penalty;
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    options.kind = golden->kind;
    options.form = golden->form;
    options.unfolding = golden->unfolding;
    options.group = golden->group;
    options.clusters = golden->clusters;
    options.clustering = golden->clustering;
    options.graph = golden->graph;
    options.coefficient = golden_coefficient;
    assert_ok(context, mtl_penalty_create(model, task_names, GOLDEN_TASKS, &options, &penalty));
    return penalty;
}

static double largest_of(const double *values, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        most = fabs(values[i]) > most ? fabs(values[i]) : most;
    }
    return most;
}

static void agrees(void **state)
{
    const golden_penalty *golden = *state;
    mtl_context *context = test_context();
    mtl_model *model;
    mtl_tensor *parameters[GOLDEN_TASKS];
    mtl_objective *objective;
    mtl_gradients *gradients;
    mtl_tape *tape;
    make_model(context, golden, &model, parameters);
    mtl_penalty *penalty = make_penalty(context, model, golden);
    assert_ok(context, mtl_objective_create(model, NULL, &objective));
    assert_ok(context, mtl_objective_add_penalty(objective, penalty));
    assert_ok(context, mtl_gradients_create(model, &gradients));
    assert_ok(context, mtl_tape_create(context, NULL, &tape));
    mtl_tape_reset(tape, MTL_TAPE_TRAIN);
    assert_ok(context, mtl_objective_backward(objective, tape, NULL, 0, gradients));
    /* Weights are the same numbers. A difference or a product of floats is rounded by 2^-24, some three times on the way
     * to a gradient; what is divided by a small norm or singular value grows by the amplification. 9 digits are stored. */
    size_t n = (size_t)mtl_tensor_size(parameters[0]);
    double unit = 4 * 0x1p-24 + 1e-9;
    double value;
    double sum[GOLDEN_TASKS * MOST];
    for (int t = 0; t < GOLDEN_TASKS; t++) {
        assert_ok(context, mtl_gradients_read(gradients, parameters[t], MTL_FLOAT64, sum + (size_t)t * n, n));
    }
    assert_ok(context, mtl_penalty_value(penalty, &value));
    double scale = largest_of(golden->gradient, GOLDEN_TASKS * n);
    assert_near(value, golden->value, unit * golden->value);
    assert_near(mtl_objective_value(objective), golden->value, unit * golden->value);
    assert_close(sum, golden->gradient, GOLDEN_TASKS * n, 0, unit * scale * (1 + golden->amplification));
    mtl_tape_destroy(tape);
    mtl_gradients_destroy(gradients);
    mtl_objective_destroy(objective);
    mtl_penalty_destroy(penalty);
    mtl_model_destroy(model);
    mtl_context_release(context);
}

/* ---- ten steps ---- */

static const char *const network_names[2] = {"left", "right"};

typedef struct fixture {
    mtl_context *context;
    mtl_head *heads[2];
    mtl_model *model;
    mtl_objective *objective;
    mtl_optimizer *optimizer;
    mtl_gradients *gradients;
    mtl_tape *tape;
    mtl_tensor *inputs;
    mtl_tensor *targets[2];
} fixture;

static void open_data(fixture *f)
{
    double x[GOLDEN_ROWS * GOLDEN_FEATURES];
    double y[GOLDEN_ROWS * GOLDEN_OUTPUTS];
    const int64_t x_shape[] = {GOLDEN_ROWS, GOLDEN_FEATURES};
    const int64_t y_shape[] = {GOLDEN_ROWS, GOLDEN_OUTPUTS};
    for (int k = 0; k < GOLDEN_ROWS * GOLDEN_FEATURES; k++) {
        x[k] = sin(1.0 + 1.7 * (k / GOLDEN_FEATURES) + 2.9 * (k % GOLDEN_FEATURES));
    }
    assert_ok(f->context, mtl_tensor_create(f->context, MTL_FLOAT32, 2, x_shape, &f->inputs));
    assert_ok(f->context, mtl_tensor_write(f->inputs, MTL_FLOAT64, x, GOLDEN_ROWS * GOLDEN_FEATURES));
    for (int t = 0; t < 2; t++) {
        for (int k = 0; k < GOLDEN_ROWS * GOLDEN_OUTPUTS; k++) {
            y[k] = cos(0.3 + 0.8 * (k / GOLDEN_OUTPUTS) + 1.9 * (k % GOLDEN_OUTPUTS) + t);
        }
        assert_ok(f->context, mtl_tensor_create(f->context, MTL_FLOAT32, 2, y_shape, &f->targets[t]));
        assert_ok(f->context, mtl_tensor_write(f->targets[t], MTL_FLOAT64, y, GOLDEN_ROWS * GOLDEN_OUTPUTS));
    }
}

static void open_networks(fixture *f)
{
    double values[GOLDEN_OUTPUTS * GOLDEN_FEATURES];
    const double zeros[GOLDEN_OUTPUTS] = {0};
    assert_ok(f->context, mtl_model_create(f->context, NULL, &f->model));
    for (int t = 0; t < 2; t++) {
        assert_ok(f->context,
                  mtl_head_create_regressor(f->context, GOLDEN_FEATURES, GOLDEN_OUTPUTS, NULL, &f->heads[t]));
        assert_ok(f->context, mtl_model_add_head(f->model, network_names[t], f->heads[t]));
        golden_weights(t, GOLDEN_OUTPUTS * GOLDEN_FEATURES, values);
        assert_ok(f->context, mtl_tensor_write(mtl_head_parameter(f->heads[t], "weight"), MTL_FLOAT64, values,
                                               GOLDEN_OUTPUTS * GOLDEN_FEATURES));
        assert_ok(f->context,
                  mtl_tensor_write(mtl_head_parameter(f->heads[t], "bias"), MTL_FLOAT64, zeros, GOLDEN_OUTPUTS));
    }
}

static void open_fixture(fixture *f)
{
    memset(f, 0, sizeof *f);
    f->context = test_context();
    open_networks(f);
    open_data(f);
    mtl_sgd_options sgd = MTL_SGD_OPTIONS_INIT;
    sgd.learning_rate = 0.1;
    assert_ok(f->context, mtl_optimizer_create_sgd(f->model, &sgd, &f->optimizer));
    assert_ok(f->context, mtl_objective_create(f->model, NULL, &f->objective));
    assert_ok(f->context, mtl_objective_add_task(f->objective, "left", 1));
    assert_ok(f->context, mtl_objective_add_task(f->objective, "right", 1));
    assert_ok(f->context, mtl_gradients_create(f->model, &f->gradients));
    assert_ok(f->context, mtl_tape_create(f->context, NULL, &f->tape));
}

static void close_fixture(fixture *f)
{
    mtl_tensor_release(f->inputs);
    mtl_tape_destroy(f->tape);
    mtl_gradients_destroy(f->gradients);
    mtl_objective_destroy(f->objective);
    mtl_optimizer_destroy(f->optimizer);
    mtl_model_destroy(f->model);
    for (int t = 0; t < 2; t++) {
        mtl_tensor_release(f->targets[t]);
        mtl_head_release(f->heads[t]);
    }
    mtl_context_release(f->context);
}

/* The losses of both tasks, and the objective. */
static void train_step(fixture *f, double curve[3])
{
    mtl_tensor *losses[2];
    mtl_tape_reset(f->tape, MTL_TAPE_TRAIN);
    for (int t = 0; t < 2; t++) {
        mtl_tensor *predictions = mtl_head_forward(f->heads[t], f->tape, f->inputs);
        losses[t] = mtl_mean_squared_error(f->tape, predictions, f->targets[t]);
    }
    assert_ok(f->context, mtl_objective_backward(f->objective, f->tape, losses, 2, f->gradients));
    assert_ok(f->context, mtl_optimizer_step(f->optimizer, f->gradients));
    curve[0] = mtl_objective_task_loss(f->objective, 0);
    curve[1] = mtl_objective_task_loss(f->objective, 1);
    curve[2] = mtl_objective_value(f->objective);
}

static void read_weights(fixture *f, double *values)
{
    static const char *const names[] = {"weight", "bias"};
    for (int k = 0; k < 2; k++) {
        for (int t = 0; t < 2; t++) {
            mtl_tensor *parameter = mtl_head_parameter(f->heads[t], names[k]);
            size_t n = (size_t)mtl_tensor_size(parameter);
            assert_ok(f->context, mtl_tensor_read(parameter, MTL_FLOAT64, values, n));
            values += n;
        }
    }
}

/* Tolerance. A gradient of the losses is a mean over 27 terms below 2, each good to some eight roundings; one of a penalty
 * is below 2 and good to 8 roundings times 3, the largest ratio of singular values on the way. So a gradient is good to
 * d = (2 * 8 + 2 * 8 * 3) * 2^-24 = 4e-6, and ten steps of rate 0.1 move by at most 10 * 0.1 * d. A shrinkage is not
 * expansive. The objective moves by the norm of its gradient, below 2 for these weights, times that. */
static void train_with(int32_t kind, double coefficient, bool as_term, const double *golden_curve,
                       const double *golden_last)
{
    enum { VALUES = 2 * GOLDEN_OUTPUTS * (GOLDEN_FEATURES + 1) };
    fixture f;
    double curve[3 * GOLDEN_STEPS];
    double last[VALUES];
    mtl_penalty *penalty;
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    options.kind = kind;
    options.coefficient = coefficient;
    options.parameters = "weight";
    open_fixture(&f);
    assert_ok(f.context, mtl_penalty_create(f.model, network_names, 2, &options, &penalty));
    assert_ok(f.context, as_term ? mtl_objective_add_penalty(f.objective, penalty)
                                 : mtl_optimizer_add_proximal(f.optimizer, penalty));
    mtl_penalty_destroy(penalty);
    for (int step = 0; step < GOLDEN_STEPS; step++) {
        train_step(&f, curve + 3 * step);
    }
    read_weights(&f, last);
    assert_close(curve, golden_curve, 3 * GOLDEN_STEPS, 0, 8e-6);
    assert_close(last, golden_last, VALUES, 0, 4e-6);
    close_fixture(&f);
}

static void training_with_an_l2_term(void **state)
{
    (void)state;
    train_with(MTL_PENALTY_L2, 0.05, true, golden_l2_curve, golden_l2_weights);
}

static void training_with_a_trace_norm_term(void **state)
{
    (void)state;
    train_with(MTL_PENALTY_TRACE_NORM, 0.1, true, golden_nuclear_curve, golden_nuclear_weights);
}

static void training_with_a_trace_norm_step(void **state)
{
    (void)state;
    train_with(MTL_PENALTY_TRACE_NORM, 0.4, false, golden_threshold_curve, golden_threshold_weights);
}

int main(void)
{
    enum { PENALTIES = sizeof golden_penalties / sizeof golden_penalties[0] };
    struct CMUnitTest penalties[PENALTIES];
    memset(penalties, 0, sizeof penalties);
    for (int i = 0; i < PENALTIES; i++) {
        penalties[i].name = golden_penalties[i].name;
        penalties[i].test_func = agrees;
        penalties[i].initial_state = (void *)&golden_penalties[i];
    }
    const struct CMUnitTest training[] = {
        cmocka_unit_test(training_with_an_l2_term),
        cmocka_unit_test(training_with_a_trace_norm_term),
        cmocka_unit_test(training_with_a_trace_norm_step),
    };
    return cmocka_run_group_tests(penalties, NULL, NULL) + cmocka_run_group_tests(training, NULL, NULL);
}
