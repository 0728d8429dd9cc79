/* SPDX-License-Identifier: Apache-2.0
 * An encoder that the host supplies as a function: trained, saved from misuse, ended once. */
#include "support.h"

#include <math.h>

#include <mtl/mtl.h>

enum { ROWS = 4, IN = 3, OUT = 2 };

static const double inputs[ROWS * IN] = {1, 0, -1, 0.5, 2, 1, -1, -1, 0, 0, 1, 1};

typedef struct host_state {
    int forwards;
    int destroys;
    enum { GOOD, NULL_RESULT, FOREIGN_RESULT, WRONG_SHAPE, FAILS_ON_TAPE } behaviour;
} host_state;

/* tanh(x Wᵀ) * gain */
static mtl_tensor *forward(void *user, mtl_encoder_call *call)
{
    host_state *host = user;
    host->forwards++;
    mtl_tape *tape = mtl_encoder_call_tape(call);
    mtl_tensor *x = mtl_encoder_call_inputs(call);
    mtl_tensor *y = mtl_linear(tape, x, mtl_encoder_call_parameter(call, 0), NULL);
    y = mtl_mul(tape, mtl_tanh(tape, y), mtl_encoder_call_parameter(call, 1));
    switch (host->behaviour) {
    case NULL_RESULT:
        return NULL;
    case FOREIGN_RESULT:
        return x;
    case WRONG_SHAPE:
        return mtl_sum(tape, y);
    case FAILS_ON_TAPE:
        return mtl_linear(tape, y, mtl_encoder_call_parameter(call, 7), NULL);
    default:
        return y;
    }
}

static void destroy(void *user)
{
    ((host_state *)user)->destroys++;
}

static const mtl_parameter_spec specs[] = {
    {"weight", {OUT, IN}, 2, MTL_INIT_UNIFORM, 0.5},
    {"gain", {OUT}, 1, MTL_INIT_ONES, 0},
};

static mtl_custom_encoder_options options_of(host_state *host)
{
    mtl_custom_encoder_options options = MTL_CUSTOM_ENCODER_OPTIONS_INIT;
    options.user = host;
    options.forward = forward;
    options.destroy = destroy;
    options.parameters = specs;
    options.num_parameters = 2;
    options.output_dim = OUT;
    return options;
}

typedef struct fixture {
    host_state host;
    mtl_context *context;
    mtl_encoder *encoder;
    mtl_tape *tape;
    mtl_tensor *x;
} fixture;

static void open_fixture(fixture *f)
{
    memset(f, 0, sizeof *f);
    const int64_t shape[] = {ROWS, IN};
    f->context = test_context();
    mtl_custom_encoder_options options = options_of(&f->host);
    assert_ok(f->context, mtl_encoder_create_custom(f->context, &options, &f->encoder));
    assert_ok(f->context, mtl_tape_create(f->context, NULL, &f->tape));
    assert_ok(f->context, mtl_tensor_create(f->context, MTL_FLOAT32, 2, shape, &f->x));
    assert_ok(f->context, mtl_tensor_write(f->x, MTL_FLOAT64, inputs, ROWS * IN));
    mtl_tape_reset(f->tape, MTL_TAPE_TRAIN);
}

static void close_fixture(fixture *f)
{
    mtl_tensor_release(f->x);
    mtl_tape_destroy(f->tape);
    mtl_encoder_release(f->encoder);
    mtl_context_release(f->context);
    assert_int_equal(f->host.destroys, 1);
}

static void computes_with_its_parameters(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    assert_int_equal(mtl_encoder_num_parameters(f.encoder), 2);
    assert_int_equal(mtl_encoder_output_dim(f.encoder), OUT);
    double weight[OUT * IN];
    double gain[OUT];
    double values[ROWS * OUT];
    assert_ok(f.context, mtl_tensor_read(mtl_encoder_parameter(f.encoder, "weight"), MTL_FLOAT64, weight, OUT * IN));
    assert_ok(f.context, mtl_tensor_read(mtl_encoder_parameter(f.encoder, "gain"), MTL_FLOAT64, gain, OUT));
    mtl_tensor *y = mtl_encoder_forward(f.encoder, f.tape, f.x);
    assert_ok(f.context, mtl_tensor_read(y, MTL_FLOAT64, values, ROWS * OUT));
    for (int r = 0; r < ROWS; r++) {
        for (int o = 0; o < OUT; o++) {
            double z = 0;
            for (int i = 0; i < IN; i++) {
                assert_true(fabs(weight[o * IN + i]) <= 0.5);
                z += weight[o * IN + i] * inputs[r * IN + i];
            }
            assert_near(gain[o], 1, 0);
            assert_near(values[r * OUT + o], tanh(z), 10 * 6e-8 * 2); /* ten roundings of numbers below 2 */
        }
    }
    assert_int_equal(f.host.forwards, 1);
    close_fixture(&f);
}

static void learns_in_a_model(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_model *model;
    mtl_head *head;
    mtl_objective *objective;
    mtl_optimizer *optimizer;
    mtl_gradients *gradients;
    mtl_tensor *targets;
    const int64_t shape[] = {ROWS, 1};
    const double wanted[] = {0.3, -0.2, 0.1, 0.4};
    assert_ok(f.context, mtl_head_create_regressor(f.context, OUT, 1, NULL, &head));
    assert_ok(f.context, mtl_model_create(f.context, NULL, &model));
    assert_ok(f.context, mtl_model_add_encoder(model, "mine", f.encoder));
    assert_ok(f.context, mtl_model_add_head(model, "head", head));
    assert_non_null(mtl_model_find_parameter(model, "mine.gain"));
    assert_ok(f.context, mtl_objective_create(model, NULL, &objective));
    assert_ok(f.context, mtl_objective_share_encoder(objective, f.encoder));
    assert_ok(f.context, mtl_objective_add_task(objective, "fit", 1));
    assert_ok(f.context, mtl_optimizer_create_adam(model, NULL, &optimizer));
    assert_ok(f.context, mtl_optimizer_set_learning_rate(optimizer, 0.02));
    assert_ok(f.context, mtl_gradients_create(model, &gradients));
    assert_ok(f.context, mtl_tensor_create(f.context, MTL_FLOAT32, 2, shape, &targets));
    assert_ok(f.context, mtl_tensor_write(targets, MTL_FLOAT64, wanted, ROWS));
    double first = 0;
    for (int step = 0; step < 400; step++) {
        mtl_tape_reset(f.tape, MTL_TAPE_TRAIN);
        mtl_tensor *y = mtl_head_forward(head, f.tape, mtl_encoder_forward(f.encoder, f.tape, f.x));
        mtl_tensor *loss = mtl_mean_squared_error(f.tape, y, targets);
        assert_ok(f.context, mtl_objective_backward(objective, f.tape, &loss, 1, gradients));
        assert_ok(f.context, mtl_optimizer_step(optimizer, gradients));
        first = step == 0 ? mtl_objective_value(objective) : first;
    }
    assert_int_equal(mtl_gradients_touched(gradients, mtl_encoder_parameter(f.encoder, "gain")), 1);
    assert_true(mtl_objective_value(objective) < 0.05 * first);
    mtl_tensor_release(targets);
    mtl_gradients_destroy(gradients);
    mtl_optimizer_destroy(optimizer);
    mtl_objective_destroy(objective);
    mtl_model_destroy(model);
    mtl_head_release(head);
    close_fixture(&f);
}

static void misbehaviour_is_an_error_of_the_tape(void **state)
{
    (void)state;
    static const struct {
        int behaviour;
        mtl_status status;
        const char *message;
    } cases[] = {
        {NULL_RESULT, MTL_ERROR_CANCELLED, "returned NULL"},
        {FOREIGN_RESULT, MTL_ERROR_STATE, "not of this tape"},
        {WRONG_SHAPE, MTL_ERROR_SHAPE, "[rows, output_dim]"},
        {FAILS_ON_TAPE, MTL_ERROR_ARGUMENT, "weight is NULL"},
    };
    fixture f;
    open_fixture(&f);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        f.host.behaviour = cases[i].behaviour;
        mtl_tape_reset(f.tape, MTL_TAPE_TRAIN);
        assert_non_null(mtl_encoder_forward(f.encoder, f.tape, f.x));
        assert_int_equal(mtl_tape_status(f.tape), cases[i].status);
        assert_non_null(strstr(mtl_tape_error(f.tape), cases[i].message));
    }
    int before = f.host.forwards; /* with an error on the tape it is not even called */
    assert_non_null(mtl_encoder_forward(f.encoder, f.tape, f.x));
    assert_non_null(mtl_encoder_forward(f.encoder, NULL, f.x));
    assert_int_equal(f.host.forwards, before);
    close_fixture(&f);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    host_state host = {0, 0, GOOD};
    mtl_encoder *encoder = NULL;
    mtl_parameter_spec changed[2];
    mtl_custom_encoder_options options;
#define REFUSED(change, status, message) \
    do { \
        memcpy(changed, specs, sizeof changed); \
        options = options_of(&host); \
        options.parameters = changed; \
        change; \
        assert_fails(context, mtl_encoder_create_custom(context, &options, &encoder), status, message); \
    } while (0)
    REFUSED(options.forward = NULL, MTL_ERROR_ARGUMENT, "forward");
    REFUSED(options.output_dim = 0, MTL_ERROR_ARGUMENT, "output_dim = 0");
    REFUSED(options.num_parameters = -1, MTL_ERROR_ARGUMENT, "num_parameters = -1");
    REFUSED(options.num_parameters = INT64_MAX, MTL_ERROR_ARGUMENT, "num_parameters");
    REFUSED(options.parameters = NULL, MTL_ERROR_ARGUMENT, "parameters");
    REFUSED(options.struct_size = 5, MTL_ERROR_ARGUMENT, "struct_size");
    REFUSED(changed[1].name = NULL, MTL_ERROR_ARGUMENT, "parameters[1].name");
    REFUSED(changed[1].name = "", MTL_ERROR_ARGUMENT, "parameters[1].name");
    REFUSED(changed[1].name = "weight", MTL_ERROR_ARGUMENT, "twice");
    REFUSED(changed[0].ndim = 0, MTL_ERROR_ARGUMENT, "ndim = 0");
    REFUSED(changed[0].ndim = 5, MTL_ERROR_ARGUMENT, "ndim = 5");
    REFUSED(changed[0].shape[1] = 0, MTL_ERROR_ARGUMENT, "shape[1] = 0");
    REFUSED(changed[0].shape[1] = INT64_MAX, MTL_ERROR_LIMIT, NULL);
    REFUSED(changed[0].init = 4, MTL_ERROR_ARGUMENT, "init = 4");
    REFUSED(changed[0].scale = NAN, MTL_ERROR_ARGUMENT, "scale");
#undef REFUSED
    assert_fails(context, mtl_encoder_create_custom(context, NULL, &encoder), MTL_ERROR_ARGUMENT, "options");
    options = options_of(&host);
    assert_fails(context, mtl_encoder_create_custom(context, &options, NULL), MTL_ERROR_ARGUMENT, "out");
    assert_int_equal(mtl_encoder_create_custom(NULL, &options, &encoder), MTL_ERROR_ARGUMENT);
    assert_null(encoder);
    assert_int_equal(host.destroys, 0); /* not called for an encoder that never was */
    options.num_parameters = 0;
    options.parameters = NULL;
    assert_ok(context, mtl_encoder_create_custom(context, &options, &encoder));
    assert_int_equal(mtl_encoder_num_parameters(encoder), 0);
    mtl_encoder_release(encoder);
    assert_int_equal(host.destroys, 1);
    mtl_context_release(context);
}

static void null_gives_the_documented_values(void **state)
{
    (void)state;
    assert_null(mtl_encoder_call_tape(NULL));
    assert_null(mtl_encoder_call_inputs(NULL));
    assert_null(mtl_encoder_call_parameter(NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(computes_with_its_parameters),         cmocka_unit_test(learns_in_a_model),
        cmocka_unit_test(misbehaviour_is_an_error_of_the_tape), cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(null_gives_the_documented_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
