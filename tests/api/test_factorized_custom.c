/* SPDX-License-Identifier: Apache-2.0
 * Factorized encoders whose networks are functions of the host, and everything that is refused. */
#include "factored_tasks.h"
#include "support.h"

#include <math.h>

enum { TASKS = 3, ROWS = 4, IN = 6, HIDDEN = 8, OUT = 5 };

/* ---- networks of the host ---- */

typedef struct host_state {
    int forwards;
    int destroys;
    enum { GOOD, RESETS, FAILS } behaviour;
    double first; /* weight[0] as the function sees it */
} host_state;

/* W2 tanh(W1 x + b1). */
static mtl_tensor *forward(void *user, mtl_encoder_call *call)
{
    host_state *host = user;
    mtl_tape *tape = mtl_encoder_call_tape(call);
    mtl_tensor *w1 = mtl_encoder_call_parameter(call, 0);
    double values[HIDDEN * IN];
    host->forwards++;
    if (mtl_tensor_read(w1, MTL_FLOAT64, values, HIDDEN * IN) == MTL_OK) {
        host->first = values[0];
    }
    if (host->behaviour == RESETS) {
        mtl_tape_reset(tape, MTL_TAPE_TRAIN);
        return NULL;
    }
    if (host->behaviour == FAILS) {
        return mtl_linear(tape, mtl_encoder_call_inputs(call), mtl_encoder_call_parameter(call, 9), NULL);
    }
    mtl_tensor *x = mtl_linear(tape, mtl_encoder_call_inputs(call), w1, mtl_encoder_call_parameter(call, 1));
    return mtl_linear(tape, mtl_tanh(tape, x), mtl_encoder_call_parameter(call, 2), NULL);
}

static mtl_tensor *another_forward(void *user, mtl_encoder_call *call)
{
    return forward(user, call);
}

static void destroy(void *user)
{
    ((host_state *)user)->destroys++;
}

static const mtl_parameter_spec specs[] = {
    {"first.weight", {HIDDEN, IN}, 2, MTL_INIT_UNIFORM, 0.5},
    {"first.bias", {HIDDEN}, 1, MTL_INIT_UNIFORM, 0.5},
    {"second.weight", {OUT, HIDDEN}, 2, MTL_INIT_UNIFORM, 0.5},
    {"kernel", {3, 2, 2, 5}, 4, MTL_INIT_NORMAL, 1},
};

static mtl_custom_encoder_options custom_options(host_state *host)
{
    mtl_custom_encoder_options options = MTL_CUSTOM_ENCODER_OPTIONS_INIT;
    options.user = host;
    options.forward = forward;
    options.destroy = destroy;
    options.parameters = specs;
    options.num_parameters = 4;
    options.output_dim = OUT;
    return options;
}

typedef struct fixture {
    mtl_context *context;
    host_state hosts[TASKS];
    mtl_encoder *networks[TASKS];
    mtl_encoder *encoder;
    mtl_tape *tape;
    mtl_tensor *x;
} fixture;

static void open_fixture(fixture *f)
{
    memset(f, 0, sizeof *f);
    const int64_t shape[] = {ROWS, IN};
    double values[ROWS * IN];
    f->context = test_context();
    for (int t = 0; t < TASKS; t++) {
        mtl_custom_encoder_options options = custom_options(&f->hosts[t]);
        assert_ok(f->context, mtl_encoder_create_custom(f->context, &options, &f->networks[t]));
    }
    assert_ok(f->context, mtl_tape_create(f->context, NULL, &f->tape));
    assert_ok(f->context, mtl_tensor_create(f->context, MTL_FLOAT32, 2, shape, &f->x));
    for (int i = 0; i < ROWS * IN; i++) {
        values[i] = cos(0.7 * i);
    }
    assert_ok(f->context, mtl_tensor_write(f->x, MTL_FLOAT64, values, ROWS * IN));
}

static void release_networks(fixture *f)
{
    for (int t = 0; t < TASKS; t++) {
        mtl_encoder_release(f->networks[t]);
        f->networks[t] = NULL;
    }
}

static void close_fixture(fixture *f)
{
    release_networks(f);
    mtl_encoder_release(f->encoder);
    mtl_tape_destroy(f->tape);
    mtl_tensor_release(f->x);
    mtl_context_release(f->context);
    for (int t = 0; t < TASKS; t++) {
        assert_int_equal(f->hosts[t].destroys, 1);
    }
}

/* Full ranks are the networks themselves, to rounding: sums of at most 8 products of numbers below 1, each weight off
 * by a few roundings through at most four factors: 8 * 16 * 6e-8 in each of two layers. */
static void networks_of_the_host(void **state)
{
    (void)state;
    static const int32_t kinds[] = {MTL_FACTORIZATION_LAF, MTL_FACTORIZATION_TUCKER, MTL_FACTORIZATION_TENSOR_TRAIN};
    for (int k = 0; k < 3; k++) {
        fixture f;
        open_fixture(&f);
        mtl_factorized_options options = MTL_FACTORIZED_OPTIONS_INIT;
        options.kind = kinds[k];
        options.relative_error = 0;
        assert_ok(f.context, mtl_encoder_create_factorized(f.networks, TASKS, &options, &f.encoder));
        for (int t = 0; t < TASKS; t++) {
            double expected[ROWS * OUT];
            double values[ROWS * OUT];
            double kernel[60];
            double kernel_expected[60];
            mtl_tape_reset(f.tape, MTL_TAPE_TRAIN);
            mtl_tensor *y = mtl_encoder_forward(f.networks[t], f.tape, f.x);
            assert_ok(f.context, mtl_tensor_read(y, MTL_FLOAT64, expected, ROWS * OUT));
            y = mtl_encoder_forward_task(f.encoder, f.tape, t, f.x);
            assert_string_equal(mtl_tape_error(f.tape), "");
            assert_ok(f.context, mtl_tensor_read(y, MTL_FLOAT64, values, ROWS * OUT));
            assert_close(values, expected, ROWS * OUT, 0, 2e-5);
            double first[HIDDEN * IN];
            assert_ok(f.context,
                      mtl_factorized_read(mtl_encoder_factorized(f.encoder), "first.weight", t, first, HIDDEN * IN));
            assert_near(f.hosts[0].first, first[0], 0); /* the user of networks[0], the weights of the task */
            assert_ok(f.context, mtl_tensor_read(mtl_encoder_parameter(f.networks[t], "kernel"), MTL_FLOAT64,
                                                 kernel_expected, 60));
            assert_ok(f.context, mtl_factorized_read(mtl_encoder_factorized(f.encoder), "kernel", t, kernel, 60));
            assert_close(kernel, kernel_expected, 60, 0, 1e-5);
        }
        release_networks(&f);
        assert_int_equal(f.hosts[0].destroys, 0); /* still in use */
        assert_int_equal(f.hosts[1].destroys, 1);
        mtl_tape_reset(f.tape, MTL_TAPE_INFER);
        mtl_encoder_forward_task(f.encoder, f.tape, 1, f.x);
        assert_string_equal(mtl_tape_error(f.tape), "");
        close_fixture(&f);
    }
}

static void functions_that_misbehave(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    assert_ok(f.context, mtl_encoder_create_factorized(f.networks, TASKS, NULL, &f.encoder));
    mtl_tape_reset(f.tape, MTL_TAPE_TRAIN);
    f.hosts[0].behaviour = RESETS;
    mtl_encoder_forward_task(f.encoder, f.tape, 0, f.x);
    assert_int_equal(mtl_tape_status(f.tape), MTL_ERROR_STATE);
    f.hosts[0].behaviour = FAILS;
    mtl_tape_reset(f.tape, MTL_TAPE_TRAIN);
    mtl_encoder_forward_task(f.encoder, f.tape, 0, f.x);
    assert_int_equal(mtl_tape_status(f.tape), MTL_ERROR_ARGUMENT);
    f.hosts[0].behaviour = GOOD;
    mtl_tape_reset(f.tape, MTL_TAPE_TRAIN);
    mtl_encoder_forward_task(f.encoder, f.tape, 0, f.x);
    assert_int_equal(mtl_tape_status(f.tape), MTL_OK);
    close_fixture(&f);
}

static void names_of_factors_are_taken(void **state)
{
    (void)state;
    const mtl_parameter_spec clashing[] = {{"w", {3, IN}, 2, MTL_INIT_UNIFORM, 0.5},
                                           {"w.basis", {3, IN}, 2, MTL_INIT_UNIFORM, 0.5}};
    mtl_context *context = test_context();
    host_state host = {0};
    mtl_encoder *network = NULL;
    mtl_encoder *encoder = NULL;
    mtl_custom_encoder_options options = custom_options(&host);
    options.parameters = clashing;
    options.num_parameters = 2;
    assert_ok(context, mtl_encoder_create_custom(context, &options, &network));
    assert_fails(context, mtl_encoder_create_factorized(&network, 1, NULL, &encoder), MTL_ERROR_ARGUMENT, "w.basis");
    assert_null(encoder);
    mtl_encoder_release(network);
    mtl_context_release(context);
}

/* ---- what is refused ---- */

static void expect_create_fails(mtl_context *context, mtl_encoder *const *networks, int32_t count,
                                const mtl_factorized_options *options, mtl_status status, const char *message)
{
    mtl_encoder *encoder = NULL;
    assert_fails(context, mtl_encoder_create_factorized(networks, count, options, &encoder), status, message);
    assert_null(encoder);
}

static void networks_that_do_not_fit(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_context *other_context = test_context();
    mtl_lstm_options lstm = factored_tasks_lstm();
    mtl_encoder *networks[6] = {NULL};
    mtl_encoder *factorized = NULL;
    mtl_factorized_options options = MTL_FACTORIZED_OPTIONS_INIT;
    assert_ok(f.context, mtl_encoder_create_lstm(f.context, &lstm, &networks[0]));
    lstm.hidden_dim++;
    assert_ok(f.context, mtl_encoder_create_lstm(f.context, &lstm, &networks[1]));
    lstm.hidden_dim--;
    lstm.num_layers = 2;
    assert_ok(f.context, mtl_encoder_create_lstm(f.context, &lstm, &networks[2]));
    lstm.num_layers = 1;
    lstm.pooling = MTL_POOLING_MAX;
    assert_ok(f.context, mtl_encoder_create_lstm(f.context, &lstm, &networks[3]));
    assert_ok(other_context, mtl_encoder_create_lstm(other_context, &lstm, &networks[4]));
    assert_ok(f.context, mtl_encoder_create_factorized(networks, 1, &options, &factorized));
    const struct {
        mtl_encoder *pair[2];
        mtl_status status;
        const char *message;
    } cases[] = {
        {{networks[0], f.networks[0]}, MTL_ERROR_ARGUMENT, "'custom'"},
        {{networks[0], networks[1]}, MTL_ERROR_SHAPE, "lstm.weight_ih_l0"},
        {{networks[0], networks[2]}, MTL_ERROR_ARGUMENT, "has 9 parameters"},
        {{networks[0], networks[3]}, MTL_ERROR_ARGUMENT, "other options"},
        {{networks[3], networks[4]}, MTL_ERROR_ARGUMENT, "another context"},
        {{networks[0], NULL}, MTL_ERROR_ARGUMENT, "networks[1] is NULL"},
        {{networks[0], factorized}, MTL_ERROR_ARGUMENT, "factorized"},
        {{factorized, factorized}, MTL_ERROR_ARGUMENT, "factorized"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        expect_create_fails(f.context, cases[k].pair, 2, &options, cases[k].status, cases[k].message);
    }
    expect_create_fails(f.context, networks, 0, &options, MTL_ERROR_ARGUMENT, "count = 0");
    expect_create_fails(f.context, networks, 65537, &options, MTL_ERROR_ARGUMENT, "count = 65537");
    mtl_custom_encoder_options other = custom_options(&f.hosts[1]);
    other.forward = another_forward;
    other.destroy = NULL;
    mtl_encoder *strangers[2] = {f.networks[0], NULL};
    assert_ok(f.context, mtl_encoder_create_custom(f.context, &other, &strangers[1]));
    expect_create_fails(f.context, strangers, 2, &options, MTL_ERROR_ARGUMENT, "other options");
    mtl_encoder_release(strangers[1]);
    for (int k = 0; k < 5; k++) {
        mtl_encoder_release(networks[k]);
    }
    mtl_encoder_release(factorized);
    mtl_context_release(other_context);
    close_fixture(&f);
}

static void heads_that_do_not_fit(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_head *heads[5];
    mtl_head *out = NULL;
    mtl_head_options hidden = MTL_HEAD_OPTIONS_INIT;
    hidden.dropout = 0.5;
    assert_ok(context, mtl_head_create_classifier(context, 4, 3, NULL, &heads[0]));
    assert_ok(context, mtl_head_create_regressor(context, 4, 3, NULL, &heads[1]));
    assert_ok(context, mtl_head_create_classifier(context, 4, 2, NULL, &heads[2]));
    assert_ok(context, mtl_head_create_classifier(context, 4, 3, &hidden, &heads[3]));
    assert_ok(context, mtl_head_create_factorized(heads, 1, NULL, &heads[4]));
    const struct {
        mtl_head *pair[2];
        mtl_status status;
        const char *message;
    } cases[] = {
        {{heads[0], heads[1]}, MTL_ERROR_ARGUMENT, "regressor"},
        {{heads[0], heads[2]}, MTL_ERROR_SHAPE, "[2, 4]"},
        {{heads[0], heads[3]}, MTL_ERROR_ARGUMENT, "other options"},
        {{heads[0], heads[4]}, MTL_ERROR_ARGUMENT, "networks[1] is factorized"},
        {{heads[0], NULL}, MTL_ERROR_ARGUMENT, "networks[1] is NULL"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        assert_fails(context, mtl_head_create_factorized(cases[k].pair, 2, NULL, &out), cases[k].status,
                     cases[k].message);
        assert_null(out);
    }
    for (int k = 0; k < 5; k++) {
        mtl_head_release(heads[k]);
    }
    mtl_context_release(context);
}

static void options_out_of_range(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    factored_tasks tasks;
    assert_ok(context, factored_tasks_create(context, 2, 0, &tasks));
    const mtl_factorized_options usual = MTL_FACTORIZED_OPTIONS_INIT;
    mtl_factorized_options options = usual;
    options.kind = 3;
    expect_create_fails(context, tasks.encoders, 2, &options, MTL_ERROR_ARGUMENT, "kind = 3");
    options = usual;
    options.max_rank = -1;
    expect_create_fails(context, tasks.encoders, 2, &options, MTL_ERROR_ARGUMENT, "max_rank = -1");
    static const double errors[] = {-0.1, 1, NAN, INFINITY};
    for (int k = 0; k < 4; k++) {
        options = usual;
        options.relative_error = errors[k];
        expect_create_fails(context, tasks.encoders, 2, &options, MTL_ERROR_ARGUMENT, "relative_error");
    }
    options = usual;
    options.reserved0 = 1;
    expect_create_fails(context, tasks.encoders, 2, &options, MTL_ERROR_UNSUPPORTED, NULL);
    static const char *const patterns[] = {"lstm.weight_*,nothing", "embedding.*", "", "lstm.*,", "weight"};
    for (size_t k = 0; k < sizeof patterns / sizeof patterns[0]; k++) {
        options = usual;
        options.parameters = patterns[k];
        expect_create_fails(context, tasks.encoders, 2, &options, MTL_ERROR_ARGUMENT, "options->parameters");
    }
    options = usual;
    options.shared = "nothing.*";
    expect_create_fails(context, tasks.encoders, 2, &options, MTL_ERROR_ARGUMENT, "options->shared");
    options.shared = "*";
    expect_create_fails(context, tasks.encoders, 2, &options, MTL_ERROR_ARGUMENT, "no parameter");
    double values[4 * FACTORED_HIDDEN * FACTORED_HIDDEN] = {0};
    values[3] = NAN;
    assert_ok(context, mtl_tensor_write(mtl_encoder_parameter(tasks.encoders[1], "lstm.weight_hh_l0"), MTL_FLOAT64,
                                        values, sizeof values / sizeof values[0]));
    expect_create_fails(context, tasks.encoders, 2, &usual, MTL_ERROR_NUMERIC, "lstm.weight_hh_l0");
    factored_tasks_destroy(&tasks);
    mtl_context_release(context);
}

static void expect_tape_error(mtl_tape *tape, mtl_tensor *result, mtl_status status, const char *message)
{
    assert_non_null(result);
    assert_int_equal(mtl_tape_status(tape), status);
    if (!strstr(mtl_tape_error(tape), message)) {
        fail_msg("\"%s\" does not say \"%s\"", mtl_tape_error(tape), message);
    }
    mtl_tape_reset(tape, MTL_TAPE_INFER);
}

static void calls_that_are_refused(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    factored_tasks tasks;
    mtl_encoder *encoder;
    mtl_head *head;
    mtl_tape *tape;
    assert_ok(context, factored_tasks_create(context, 2, 0, &tasks));
    assert_ok(context, mtl_encoder_create_factorized(tasks.encoders, 2, NULL, &encoder));
    assert_ok(context, mtl_head_create_factorized(tasks.heads, 2, NULL, &head));
    assert_ok(context, mtl_tape_create(context, NULL, &tape));
    mtl_tensor *x = tasks.inputs;
    expect_tape_error(tape, mtl_encoder_forward(encoder, tape, x), MTL_ERROR_UNSUPPORTED, "mtl_encoder_forward_task");
    expect_tape_error(tape, mtl_head_forward(head, tape, x), MTL_ERROR_UNSUPPORTED, "mtl_head_forward_task");
    expect_tape_error(tape, mtl_encoder_forward_task(encoder, tape, 2, x), MTL_ERROR_ARGUMENT, "task = 2");
    expect_tape_error(tape, mtl_encoder_forward_task(encoder, tape, -1, x), MTL_ERROR_ARGUMENT, "task = -1");
    expect_tape_error(tape, mtl_head_forward_task(head, tape, 2, x), MTL_ERROR_ARGUMENT, "task = 2");
    expect_tape_error(tape, mtl_encoder_forward_task(tasks.encoders[0], tape, 0, x), MTL_ERROR_ARGUMENT,
                      "not factorized");
    expect_tape_error(tape, mtl_head_forward_task(tasks.heads[0], tape, 0, x), MTL_ERROR_ARGUMENT, "not factorized");
    expect_tape_error(tape, mtl_encoder_forward_task(NULL, tape, 0, x), MTL_ERROR_ARGUMENT, "encoder is NULL");
    expect_tape_error(tape, mtl_encoder_forward_task(encoder, tape, 0, NULL), MTL_ERROR_ARGUMENT, "inputs is NULL");
    expect_tape_error(tape, mtl_head_forward_task(NULL, tape, 0, x), MTL_ERROR_ARGUMENT, "head is NULL");
    expect_tape_error(tape, mtl_head_forward_task(head, tape, 0, NULL), MTL_ERROR_ARGUMENT, "features is NULL");
    assert_non_null(mtl_encoder_forward_task(encoder, NULL, 0, x));
    assert_non_null(mtl_head_forward_task(head, NULL, 0, x));
    assert_null(mtl_encoder_factorized(tasks.encoders[0]));
    assert_null(mtl_head_factorized(tasks.heads[0]));
    const mtl_factorized *factorized = mtl_encoder_factorized(encoder);
    double values[4];
    int64_t ranks[4];
    int64_t count;
    assert_fails(context, mtl_factorized_ranks(factorized, "none", ranks, 4, &count), MTL_ERROR_ARGUMENT, "'none'");
    assert_fails(context, mtl_factorized_ranks(factorized, "lstm.weight_hh_l0", NULL, 4, &count), MTL_ERROR_ARGUMENT,
                 NULL);
    assert_fails(context, mtl_factorized_ranks(factorized, "lstm.weight_hh_l0", ranks, -1, &count), MTL_ERROR_ARGUMENT,
                 "-1");
    assert_fails(context, mtl_factorized_sharing(factorized, "lstm.weight_hh_l0", values, 3, NULL), MTL_ERROR_ARGUMENT,
                 "count = 3 is not 4");
    assert_fails(context, mtl_factorized_sharing(factorized, "lstm.weight_hh_l0", NULL, 4, NULL), MTL_ERROR_ARGUMENT,
                 "count = 4 is not 0");
    assert_fails(context, mtl_factorized_read(factorized, "lstm.weight_hh_l0", 2, values, 4), MTL_ERROR_ARGUMENT,
                 "task = 2");
    assert_fails(context, mtl_factorized_read(factorized, "lstm.weight_hh_l0", 0, values, 4), MTL_ERROR_ARGUMENT,
                 "count = 4");
    mtl_tape_destroy(tape);
    mtl_encoder_release(encoder);
    mtl_head_release(head);
    factored_tasks_destroy(&tasks);
    mtl_context_release(context);
}

/* A custom encoder's file is loaded into a model that the host assembles. */
static void a_custom_file_does_not_restore(void **state)
{
    (void)state;
    fixture f;
    test_folder folder;
    mtl_model *model = NULL;
    mtl_model *restored = NULL;
    mtl_checkpoint *checkpoint = NULL;
    open_fixture(&f);
    test_folder_create(&folder);
    const char *path = test_path(&folder, "custom.safetensors");
    assert_ok(f.context, mtl_encoder_create_factorized(f.networks, TASKS, NULL, &f.encoder));
    assert_ok(f.context, mtl_model_create(f.context, NULL, &model));
    assert_ok(f.context, mtl_model_add_encoder(model, "mine", f.encoder));
    assert_ok(f.context, mtl_model_save(model, path, NULL));
    assert_ok(f.context, mtl_checkpoint_open(f.context, path, &checkpoint));
    assert_fails(f.context, mtl_checkpoint_restore(checkpoint, &restored), MTL_ERROR_UNSUPPORTED, "custom");
    assert_ok(f.context, mtl_checkpoint_load(checkpoint, model, NULL));
    mtl_checkpoint_close(checkpoint);
    mtl_model_destroy(model);
    test_folder_remove(&folder);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_of_the_host),
        cmocka_unit_test(functions_that_misbehave),
        cmocka_unit_test(names_of_factors_are_taken),
        cmocka_unit_test(networks_that_do_not_fit),
        cmocka_unit_test(heads_that_do_not_fit),
        cmocka_unit_test(options_out_of_range),
        cmocka_unit_test(calls_that_are_refused),
        cmocka_unit_test(a_custom_file_does_not_restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
