/* SPDX-License-Identifier: Apache-2.0
 * An operation that the host supplies: trained beside the builtin one, and what happens when its functions fail or
 * misuse their handle. Public headers only. */
#include "support/support.h"

#include <mtl/mtl.h>

enum { ROWS = 8, IN = 4, OUT = 3, STEPS = 60 };

/* ---- a linear operation of the host ---- */

static mtl_status linear_shape(void *user, mtl_op_call *call)
{
    (void)user;
    const mtl_tensor *x = mtl_op_call_input(call, 0);
    const mtl_tensor *weight = mtl_op_call_input(call, 1);
    if (mtl_op_call_num_inputs(call) != 3 || mtl_tensor_dim(x, 1) != mtl_tensor_dim(weight, 1)) {
        return MTL_ERROR_SHAPE;
    }
    const int64_t shape[] = {mtl_tensor_dim(x, 0), mtl_tensor_dim(weight, 0)};
    return mtl_op_call_set_shape(call, 2, shape);
}

static mtl_status linear_forward(void *user, mtl_op_call *call)
{
    ++*(int *)user;
    const float *x = mtl_op_call_input_data(call, 0);
    const float *weight = mtl_op_call_input_data(call, 1);
    const float *bias = mtl_op_call_input_data(call, 2);
    float *y = mtl_op_call_output_data(call);
    int64_t in = mtl_tensor_dim(mtl_op_call_input(call, 0), 1);
    int64_t out = mtl_tensor_dim(mtl_op_call_output(call), 1);
    for (int64_t i = 0; i < mtl_tensor_size(mtl_op_call_output(call)); i++) {
        y[i] = bias[i % out];
        for (int64_t k = 0; k < in; k++) {
            y[i] += x[i / out * in + k] * weight[i % out * in + k];
        }
    }
    return MTL_OK;
}

static mtl_status linear_backward(void *user, mtl_op_call *call)
{
    ++*(int *)user;
    const float *x = mtl_op_call_input_data(call, 0);
    const float *dy = mtl_op_call_output_gradient(call);
    float *dx = mtl_op_call_input_gradient(call, 0);
    float *dweight = mtl_op_call_input_gradient(call, 1);
    float *dbias = mtl_op_call_input_gradient(call, 2);
    int64_t in = mtl_tensor_dim(mtl_op_call_input(call, 0), 1);
    int64_t out = mtl_tensor_dim(mtl_op_call_output(call), 1);
    if (dx || !dweight || !dbias) {
        return MTL_ERROR_STATE; /* x is data: nobody needs its gradient */
    }
    for (int64_t i = 0; i < mtl_tensor_size(mtl_op_call_output(call)); i++) {
        dbias[i % out] += dy[i];
        for (int64_t k = 0; k < in; k++) {
            dweight[i % out * in + k] += dy[i] * x[i / out * in + k];
        }
    }
    return MTL_OK;
}

typedef struct network {
    int builtin;
    int calls; /* of linear_forward and linear_backward */
} network;

static mtl_tensor *encode(void *user, mtl_encoder_call *call)
{
    network *net = user;
    mtl_tape *tape = mtl_encoder_call_tape(call);
    mtl_tensor *inputs[] = {mtl_encoder_call_inputs(call), mtl_encoder_call_parameter(call, 0),
                            mtl_encoder_call_parameter(call, 1)};
    if (net->builtin) {
        return mtl_tanh(tape, mtl_linear(tape, inputs[0], inputs[1], inputs[2]));
    }
    char name[] = "host linear"; /* copied */
    mtl_custom_op_options options = MTL_CUSTOM_OP_OPTIONS_INIT;
    options.name = name;
    options.user = &net->calls;
    options.shape = linear_shape;
    options.forward = linear_forward;
    options.backward = linear_backward;
    options.row_separable = 1;
    mtl_tensor *y = mtl_custom_op(tape, &options, inputs, 3);
    memset(name, 'x', sizeof name - 1);
    memset(&options, 0xff, sizeof options);
    return mtl_tanh(tape, y);
}

/* Everything of one training. */
typedef struct training {
    mtl_context *context;
    mtl_encoder *encoder;
    mtl_model *model;
    mtl_objective *objective;
    mtl_optimizer *optimizer;
    mtl_gradients *gradients;
    mtl_tape *tape;
    mtl_tensor *x;
    mtl_tensor *targets;
} training;

static void make_data(training *t)
{
    float x[ROWS * IN];
    float targets[ROWS * OUT];
    const int64_t x_shape[] = {ROWS, IN};
    const int64_t target_shape[] = {ROWS, OUT};
    for (int i = 0; i < ROWS * IN; i++) {
        x[i] = (float)(i * 37 % 17 - 8) / 8;
    }
    for (int i = 0; i < ROWS * OUT; i++) {
        targets[i] = (x[i / OUT * IN] > x[i / OUT * IN + 1 + i % OUT]) ? 0.75f : -0.75f;
    }
    assert_ok(t->context, mtl_tensor_create(t->context, MTL_FLOAT32, 2, x_shape, &t->x));
    assert_ok(t->context, mtl_tensor_write(t->x, MTL_FLOAT32, x, ROWS * IN));
    assert_ok(t->context, mtl_tensor_create(t->context, MTL_FLOAT32, 2, target_shape, &t->targets));
    assert_ok(t->context, mtl_tensor_write(t->targets, MTL_FLOAT32, targets, ROWS * OUT));
}

static void begin_training(training *t, network *net)
{
    const mtl_parameter_spec parameters[] = {
        {.name = "weight", .shape = {OUT, IN}, .ndim = 2, .init = MTL_INIT_UNIFORM, .scale = 0.5},
        {.name = "bias", .shape = {OUT}, .ndim = 1, .init = MTL_INIT_ZEROS},
    };
    mtl_custom_encoder_options options = MTL_CUSTOM_ENCODER_OPTIONS_INIT;
    mtl_sgd_options sgd = MTL_SGD_OPTIONS_INIT;
    options.user = net;
    options.forward = encode;
    options.parameters = parameters;
    options.num_parameters = 2;
    options.output_dim = OUT;
    sgd.learning_rate = 0.5;
    t->context = test_context();
    assert_ok(t->context, mtl_encoder_create_custom(t->context, &options, &t->encoder));
    assert_ok(t->context, mtl_model_create(t->context, NULL, &t->model));
    assert_ok(t->context, mtl_model_add_encoder(t->model, "encoder", t->encoder));
    assert_ok(t->context, mtl_objective_create(t->model, NULL, &t->objective));
    assert_ok(t->context, mtl_objective_add_task(t->objective, "sign", 1));
    assert_ok(t->context, mtl_optimizer_create_sgd(t->model, &sgd, &t->optimizer));
    assert_ok(t->context, mtl_gradients_create(t->model, &t->gradients));
    assert_ok(t->context, mtl_tape_create(t->context, NULL, &t->tape));
    make_data(t);
}

static void end_training(training *t)
{
    mtl_tensor_release(t->x);
    mtl_tensor_release(t->targets);
    mtl_tape_destroy(t->tape);
    mtl_gradients_destroy(t->gradients);
    mtl_optimizer_destroy(t->optimizer);
    mtl_objective_destroy(t->objective);
    mtl_model_destroy(t->model);
    mtl_encoder_release(t->encoder);
    mtl_context_release(t->context);
}

static void train(network *net, double losses[STEPS], float weights[OUT * IN])
{
    training t;
    begin_training(&t, net);
    for (int step = 0; step < STEPS; step++) {
        mtl_tape_reset(t.tape, MTL_TAPE_TRAIN);
        mtl_tensor *y = mtl_encoder_forward(t.encoder, t.tape, t.x);
        mtl_tensor *loss = mtl_mean_squared_error(t.tape, y, t.targets);
        assert_ok(t.context, mtl_objective_backward(t.objective, t.tape, &loss, 1, t.gradients));
        assert_ok(t.context, mtl_optimizer_step(t.optimizer, t.gradients));
        losses[step] = mtl_objective_value(t.objective);
    }
    const mtl_tensor *weight = mtl_encoder_parameter(t.encoder, "weight");
    assert_ok(t.context, mtl_tensor_read(weight, MTL_FLOAT32, weights, OUT * IN));
    end_training(&t);
}

static void trains_like_the_builtin_operation(void **state)
{
    (void)state;
    network host = {0, 0};
    network builtin = {1, 0};
    double host_losses[STEPS];
    double builtin_losses[STEPS];
    float host_weights[OUT * IN];
    float builtin_weights[OUT * IN];
    train(&host, host_losses, host_weights);
    train(&builtin, builtin_losses, builtin_weights);
    assert_int_equal(host.calls, 2 * STEPS);
    assert_int_equal(builtin.calls, 0);
    /* The gradients differ by the rounding of sums of 8 rows and 4 features; gradient descent on a convex neighbourhood
     * does not amplify it: STEPS times 16 eps. */
    assert_close(host_losses, builtin_losses, (size_t)STEPS, 0, STEPS * 16 * 1.2e-7);
    assert_close(host_weights, builtin_weights, (size_t)(OUT * IN), 0, STEPS * 16 * 1.2e-7);
    assert_true(host_losses[STEPS - 1] < 0.5 * host_losses[0]);
}

/* ---- failures ---- */

/* What a faulty operation does in one of its steps. */
typedef struct fault {
    mtl_status shape;
    mtl_status forward;
    mtl_status backward;
    int skip_set_shape;
    int calls;
} fault;

static mtl_status faulty_shape(void *user, mtl_op_call *call)
{
    fault *f = user;
    f->calls++;
    if (f->skip_set_shape) {
        return MTL_OK;
    }
    mtl_status status = mtl_op_call_set_shape(call, 0, NULL);
    return f->shape ? f->shape : status;
}

static mtl_status faulty_forward(void *user, mtl_op_call *call)
{
    fault *f = user;
    f->calls++;
    *(float *)mtl_op_call_output_data(call) = 1;
    return f->forward;
}

static mtl_status faulty_backward(void *user, mtl_op_call *call)
{
    fault *f = user;
    (void)call;
    f->calls++;
    return f->backward;
}

typedef struct fixture {
    training t;
    network net;
    mtl_custom_op_options options;
    fault fault;
} fixture;

static void begin_fault(fixture *f)
{
    const mtl_custom_op_options options = MTL_CUSTOM_OP_OPTIONS_INIT;
    memset(f, 0, sizeof *f);
    begin_training(&f->t, &f->net);
    f->options = options;
    f->options.name = "faulty";
    f->options.user = &f->fault;
    f->options.shape = faulty_shape;
    f->options.forward = faulty_forward;
    f->options.backward = faulty_backward;
}

/* Runs the operation on a parameter, and its backward pass. */
static mtl_status run_fault(fixture *f)
{
    mtl_tensor *inputs[] = {mtl_encoder_parameter(f->t.encoder, "weight")};
    f->fault.calls = 0;
    mtl_tape_reset(f->t.tape, MTL_TAPE_TRAIN);
    mtl_tensor *loss = mtl_custom_op(f->t.tape, &f->options, inputs, 1);
    return mtl_objective_backward(f->t.objective, f->t.tape, &loss, 1, f->t.gradients);
}

static void a_failing_function_fails_the_pass(void **state)
{
    (void)state;
    fixture f;
    begin_fault(&f);
    assert_ok(f.t.context, run_fault(&f));
    assert_int_equal(f.fault.calls, 3);
    f.fault.shape = MTL_ERROR_SHAPE;
    assert_fails(f.t.context, run_fault(&f), MTL_ERROR_SHAPE,
                 "mtl_custom_op: operation \"faulty\": shape returned MTL_ERROR_SHAPE");
    assert_int_equal(f.fault.calls, 1);
    f.fault.shape = MTL_OK;
    f.fault.forward = MTL_ERROR_NUMERIC;
    assert_fails(f.t.context, run_fault(&f), MTL_ERROR_NUMERIC, "\"faulty\": forward returned MTL_ERROR_NUMERIC");
    assert_int_equal(f.fault.calls, 2);
    f.fault.forward = MTL_OK;
    f.fault.backward = MTL_ERROR_CANCELLED;
    assert_fails(f.t.context, run_fault(&f), MTL_ERROR_CANCELLED, "\"faulty\": backward returned MTL_ERROR_CANCELLED");
    assert_int_equal(f.fault.calls, 3);
    assert_int_equal(mtl_gradients_touched(f.t.gradients, mtl_encoder_parameter(f.t.encoder, "weight")), 0);
    f.fault.backward = (mtl_status)77;
    assert_fails(f.t.context, run_fault(&f), MTL_ERROR_CANCELLED, "backward returned the unknown status 77");
    f.fault.backward = MTL_OK;
    f.options.name = NULL;
    f.fault.forward = (mtl_status)-1;
    assert_fails(f.t.context, run_fault(&f), MTL_ERROR_CANCELLED, "\"custom\": forward returned the unknown status -1");
    f.fault.forward = MTL_OK;
    assert_ok(f.t.context, run_fault(&f));
    end_training(&f.t);
}

static void no_backward_is_unsupported_only_when_reached(void **state)
{
    (void)state;
    fixture f;
    begin_fault(&f);
    f.options.backward = NULL;
    assert_fails(f.t.context, run_fault(&f), MTL_ERROR_UNSUPPORTED, "operation \"faulty\" has no backward function");
    mtl_tensor *inputs[] = {mtl_encoder_parameter(f.t.encoder, "weight")};
    mtl_tape_reset(f.t.tape, MTL_TAPE_INFER);
    double value = 0;
    assert_ok(f.t.context, mtl_tensor_item(mtl_custom_op(f.t.tape, &f.options, inputs, 1), &value));
    assert_near(value, 1, 0);
    end_training(&f.t);
}

static void bad_arguments_are_refused(void **state)
{
    (void)state;
    fixture f;
    begin_fault(&f);
    mtl_context *context = f.t.context;
    mtl_tensor *inputs[65];
    for (int i = 0; i < 65; i++) {
        inputs[i] = f.t.x;
    }
#define REFUSED(options, list, count, status, message) \
    do { \
        mtl_tape_reset(f.t.tape, MTL_TAPE_TRAIN); \
        assert_non_null(mtl_custom_op(f.t.tape, options, list, count)); \
        assert_int_equal(mtl_tape_status(f.t.tape), status); \
        assert_non_null(strstr(mtl_tape_error(f.t.tape), message)); \
    } while (0)
    REFUSED(NULL, inputs, 1, MTL_ERROR_ARGUMENT, "mtl_custom_op: options is NULL");
    REFUSED(&f.options, NULL, 1, MTL_ERROR_ARGUMENT, "inputs is NULL");
    REFUSED(&f.options, inputs, 0, MTL_ERROR_ARGUMENT, "count = 0 is not in [1, 64]");
    REFUSED(&f.options, inputs, 65, MTL_ERROR_ARGUMENT, "count = 65");
    REFUSED(&f.options, inputs, -1, MTL_ERROR_ARGUMENT, "count = -1");
    inputs[1] = NULL;
    REFUSED(&f.options, inputs, 2, MTL_ERROR_ARGUMENT, "inputs is NULL");
    f.options.reserved0 = 1;
    REFUSED(&f.options, inputs, 1, MTL_ERROR_UNSUPPORTED, "reserved0 = 1");
    f.options.reserved0 = 0;
    f.options.forward = NULL;
    REFUSED(&f.options, inputs, 1, MTL_ERROR_ARGUMENT, "options->forward is NULL");
    f.options.forward = faulty_forward;
    f.options.struct_size = 8;
    REFUSED(&f.options, inputs, 1, MTL_ERROR_ARGUMENT, "struct_size = 8");
    f.options.struct_size = sizeof f.options;
    f.fault.skip_set_shape = 1;
    REFUSED(&f.options, inputs, 1, MTL_ERROR_STATE, "shape returned without a successful mtl_op_call_set_shape()");
#undef REFUSED
    mtl_tensor *nothing = mtl_custom_op(NULL, &f.options, inputs, 1);
    assert_non_null(nothing);
    double value;
    assert_int_not_equal(mtl_tensor_item(nothing, &value), MTL_OK);
    assert_non_null(context);
    end_training(&f.t);
}

/* ---- the handle: each step allows what makes sense there. Nothing is asserted inside the functions. ---- */

typedef struct witness {
    int wrong; /* expectations that did not hold */
    int steps;
    int asks_for_much;
} witness;

static mtl_status witness_shape(void *user, mtl_op_call *call)
{
    witness *w = user;
    const int64_t negative[] = {2, -1};
    const int64_t huge[] = {INT64_MAX, INT64_MAX};
    const int64_t shape[] = {ROWS, IN};
    w->steps++;
    w->wrong += mtl_op_call_num_inputs(call) != 1;
    w->wrong += mtl_tensor_dim(mtl_op_call_input(call, 0), 0) != ROWS;
    w->wrong += mtl_op_call_input(call, 1) != NULL || mtl_op_call_input(call, -1) != NULL;
    w->wrong += mtl_op_call_input_data(call, 0) != NULL;
    w->wrong += mtl_op_call_output(call) != NULL || mtl_op_call_output_data(call) != NULL;
    w->wrong += mtl_op_call_output_gradient(call) != NULL || mtl_op_call_input_gradient(call, 0) != NULL;
    w->wrong += mtl_op_call_set_shape(call, -1, shape) != MTL_ERROR_ARGUMENT;
    w->wrong += mtl_op_call_set_shape(call, MTL_MAX_DIMS + 1, shape) != MTL_ERROR_ARGUMENT;
    w->wrong += mtl_op_call_set_shape(call, 2, NULL) != MTL_ERROR_ARGUMENT;
    w->wrong += mtl_op_call_set_shape(call, 2, negative) != MTL_ERROR_ARGUMENT;
    w->wrong += mtl_op_call_set_shape(call, 2, huge) != MTL_ERROR_LIMIT;
    return w->asks_for_much ? mtl_op_call_set_shape(call, 2, huge) : mtl_op_call_set_shape(call, 2, shape);
}

static mtl_status witness_forward(void *user, mtl_op_call *call)
{
    witness *w = user;
    const int64_t shape[] = {1};
    const float *x = mtl_op_call_input_data(call, 0);
    float *y = mtl_op_call_output_data(call);
    w->steps++;
    w->wrong += x == NULL || y == NULL;
    w->wrong += mtl_op_call_input_data(call, 1) != NULL || mtl_op_call_input_data(call, -1) != NULL;
    w->wrong += mtl_tensor_dim(mtl_op_call_output(call), 1) != IN;
    w->wrong += mtl_op_call_output_gradient(call) != NULL || mtl_op_call_input_gradient(call, 0) != NULL;
    w->wrong += mtl_op_call_set_shape(call, 1, shape) != MTL_ERROR_STATE;
    for (int i = 0; x && y && i < ROWS * IN; i++) {
        y[i] = 2 * x[i];
    }
    return MTL_OK;
}

static mtl_status witness_backward(void *user, mtl_op_call *call)
{
    witness *w = user;
    const int64_t shape[] = {1};
    const float *dy = mtl_op_call_output_gradient(call);
    const float *y = mtl_op_call_output_data(call);
    float *dx = mtl_op_call_input_gradient(call, 0);
    w->steps++;
    w->wrong += dy == NULL || y == NULL || dx == NULL || mtl_op_call_input_data(call, 0) == NULL;
    w->wrong += mtl_op_call_input_gradient(call, 1) != NULL || mtl_op_call_input_gradient(call, -1) != NULL;
    w->wrong += mtl_op_call_set_shape(call, 1, shape) != MTL_ERROR_STATE;
    for (int i = 0; dy && dx && i < ROWS * IN; i++) {
        dx[i] += 2 * dy[i];
    }
    return MTL_OK;
}

static void each_step_allows_what_makes_sense(void **state)
{
    (void)state;
    fixture f;
    witness w = {0};
    mtl_custom_op_options options = MTL_CUSTOM_OP_OPTIONS_INIT;
    begin_fault(&f);
    options.user = &w;
    options.shape = witness_shape;
    options.forward = witness_forward;
    options.backward = witness_backward;
    mtl_tape_reset(f.t.tape, MTL_TAPE_TRAIN);
    assert_ok(f.t.context, mtl_tape_watch(f.t.tape, f.t.x));
    mtl_tensor *loss = mtl_sum(f.t.tape, mtl_custom_op(f.t.tape, &options, &f.t.x, 1));
    assert_ok(f.t.context, mtl_objective_backward(f.t.objective, f.t.tape, &loss, 1, f.t.gradients));
    assert_int_equal(w.steps, 3);
    assert_int_equal(w.wrong, 0);
    float dx[ROWS * IN];
    assert_ok(f.t.context, mtl_tensor_read(mtl_tape_gradient(f.t.tape, f.t.x), MTL_FLOAT32, dx, ROWS * IN));
    for (int i = 0; i < ROWS * IN; i++) {
        assert_near(dx[i], 2, 0);
    }
    w.asks_for_much = 1;
    mtl_tape_reset(f.t.tape, MTL_TAPE_TRAIN);
    assert_non_null(mtl_custom_op(f.t.tape, &options, &f.t.x, 1));
    assert_int_equal(mtl_tape_status(f.t.tape), MTL_ERROR_LIMIT);
    /* What the library said to the failed call is part of the message. */
    assert_non_null(strstr(mtl_tape_error(f.t.tape), "shape returned MTL_ERROR_LIMIT: mtl_op_call_set_shape: "));
    end_training(&f.t);
}

static void a_null_handle_is_harmless(void **state)
{
    (void)state;
    assert_int_equal(mtl_op_call_num_inputs(NULL), 0);
    assert_null(mtl_op_call_input(NULL, 0));
    assert_null(mtl_op_call_input_data(NULL, 0));
    assert_null(mtl_op_call_output(NULL));
    assert_null(mtl_op_call_output_data(NULL));
    assert_null(mtl_op_call_output_gradient(NULL));
    assert_null(mtl_op_call_input_gradient(NULL, 0));
    assert_int_equal(mtl_op_call_set_shape(NULL, 0, NULL), MTL_ERROR_ARGUMENT);
}

static mtl_status double_forward(void *user, mtl_op_call *call)
{
    (void)user;
    const int32_t *x = mtl_op_call_input_data(call, 0);
    float *y = mtl_op_call_output_data(call);
    for (int64_t i = 0; i < mtl_tensor_size(mtl_op_call_input(call, 0)); i++) {
        y[i] = (float)(2 * x[i]);
    }
    return MTL_OK;
}

static void without_shape_the_output_is_as_input_0(void **state)
{
    (void)state;
    fixture f;
    begin_fault(&f);
    const int64_t offsets[] = {0, 2, 2, 3};
    const int32_t values[] = {3, 4, 5};
    mtl_tensor *ids = NULL;
    assert_ok(f.t.context, mtl_tensor_create_ragged(f.t.context, 3, offsets, values, &ids));
    mtl_custom_op_options options = MTL_CUSTOM_OP_OPTIONS_INIT;
    options.forward = double_forward;
    mtl_tape_reset(f.t.tape, MTL_TAPE_INFER);
    mtl_tensor *y = mtl_custom_op(f.t.tape, &options, &ids, 1);
    assert_int_equal(mtl_tape_status(f.t.tape), MTL_OK);
    assert_int_equal(mtl_tensor_dtype(y), MTL_FLOAT32);
    assert_int_equal(mtl_tensor_rows(y), 3);
    float doubled[3];
    assert_ok(f.t.context, mtl_tensor_read(y, MTL_FLOAT32, doubled, 3));
    assert_close(doubled, ((const float[]){6, 8, 10}), (size_t)3, 0, 0);
    mtl_tensor_release(ids);
    end_training(&f.t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trains_like_the_builtin_operation),
        cmocka_unit_test(a_failing_function_fails_the_pass),
        cmocka_unit_test(no_backward_is_unsupported_only_when_reached),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(each_step_allows_what_makes_sense),
        cmocka_unit_test(a_null_handle_is_harmless),
        cmocka_unit_test(without_shape_the_output_is_as_input_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
