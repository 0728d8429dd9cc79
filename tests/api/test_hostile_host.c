/* SPDX-License-Identifier: Apache-2.0
 * A host that writes to labels and ids after they were used, keeps results beyond a reset, and calls back where it must not:
 * statuses, never memory errors (the sanitizer builds look closely). */
#include "support.h"
#include "two_tasks.h"

static int setup(void **state)
{
    static two_tasks tasks;
    mtl_context *context = test_context();
    if (two_tasks_create(context, NULL, TWO_TASKS_ADAM, &tasks) != MTL_OK) {
        return -1;
    }
    *state = &tasks;
    return 0;
}

static int teardown(void **state)
{
    two_tasks *tasks = *state;
    mtl_context *context = tasks->context;
    two_tasks_destroy(tasks);
    mtl_context_release(context);
    return 0;
}

static void overwrite(mtl_context *context, mtl_tensor *tensor)
{
    int32_t junk[TWO_TASKS_TOKENS];
    for (int i = 0; i < TWO_TASKS_TOKENS; i++) {
        junk[i] = i % 2 ? 1000000000 : -1000000;
    }
    assert_ok(context, mtl_tensor_write(tensor, MTL_INT32, junk, (size_t)mtl_tensor_size(tensor)));
}

static void labels_and_ids_may_change_before_the_backward_pass(void **state)
{
    two_tasks *tasks = *state;
    mtl_tensor *losses[2];
    double expected[2000], actual[2000];
    assert_true(two_tasks_size(tasks) <= 2000);
    assert_ok(tasks->context, two_tasks_backward(tasks));
    assert_ok(tasks->context, two_tasks_gradient(tasks, tasks->gradients, expected));
    two_tasks_losses(tasks, MTL_TAPE_TRAIN, losses);
    overwrite(tasks->context, tasks->labels[0]);
    overwrite(tasks->context, tasks->labels[1]);
    overwrite(tasks->context, tasks->inputs);
    assert_ok(tasks->context, mtl_objective_backward(tasks->objective, tasks->tape, losses, 2, tasks->gradients));
    assert_ok(tasks->context, two_tasks_gradient(tasks, tasks->gradients, actual));
    assert_memory_equal(expected, actual, (size_t)two_tasks_size(tasks) * sizeof expected[0]);
}

static void chosen_rows_may_change_before_the_backward_pass(void **state)
{
    two_tasks *tasks = *state;
    const int64_t rows = 3, shape[2] = {4, 2};
    const int32_t chosen[3] = {3, 0, 3};
    mtl_tensor *x, *indices;
    double gradient[8];
    assert_ok(tasks->context, mtl_tensor_create(tasks->context, MTL_FLOAT32, 2, shape, &x));
    assert_ok(tasks->context, mtl_tensor_create(tasks->context, MTL_INT32, 1, &rows, &indices));
    assert_ok(tasks->context, mtl_tensor_write(indices, MTL_INT32, chosen, 3));
    mtl_tape_reset(tasks->tape, MTL_TAPE_TRAIN);
    assert_ok(tasks->context, mtl_tape_watch(tasks->tape, x));
    mtl_tensor *sum = mtl_sum(tasks->tape, mtl_rows(tasks->tape, x, indices));
    overwrite(tasks->context, indices);
    assert_ok(tasks->context, mtl_tape_backward(tasks->tape, sum, 1, tasks->gradients));
    assert_ok(tasks->context, mtl_tensor_read(mtl_tape_gradient(tasks->tape, x), MTL_FLOAT64, gradient, 8));
    const double expected[8] = {1, 1, 0, 0, 0, 0, 2, 2};
    assert_memory_equal(gradient, expected, sizeof expected);
    mtl_tensor_release(indices);
    mtl_tensor_release(x);
}

static void results_from_before_a_reset_are_refused(void **state)
{
    (void)state;
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    mtl_context *context;
    mtl_tape *tape;
    mtl_tensor *x;
    options.debug_handles = 1; /* no address comes twice: every stale handle is recognized */
    assert_int_equal(mtl_context_create(&options, &context), MTL_OK);
    assert_ok(context, mtl_tape_create(context, NULL, &tape));
    assert_ok(context, mtl_tensor_create(context, MTL_FLOAT32, 0, NULL, &x));
    mtl_tape_reset(tape, MTL_TAPE_TRAIN);
    mtl_tensor *stale = mtl_tanh(tape, x);
    assert_int_equal(mtl_tape_status(tape), MTL_OK);
#if !defined(__SANITIZE_ADDRESS__) /* which ends the program at the first look at a stale handle, as it should */
    mtl_tape_reset(tape, MTL_TAPE_TRAIN);
    (void)mtl_relu(tape, stale);
    assert_int_equal(mtl_tape_status(tape), MTL_ERROR_STATE);
    assert_non_null(strstr(mtl_tape_error(tape), "before its reset"));
#else
    (void)stale;
#endif
    mtl_tensor_release(x);
    mtl_tape_destroy(tape);
    mtl_context_release(context);
}

/* ---- calls from inside ---- */

static mtl_status reset_the_tape(void *user, mtl_op_call *call)
{
    (void)call;
    mtl_tape_reset(user, MTL_TAPE_TRAIN);
    return MTL_OK;
}

static mtl_status do_nothing(void *user, mtl_op_call *call)
{
    (void)user;
    (void)call;
    return MTL_OK;
}

static void an_operation_cannot_reset_its_tape(void **state)
{
    two_tasks *tasks = *state;
    const int64_t shape[1] = {3};
    mtl_tensor *x;
    mtl_custom_op_options op = MTL_CUSTOM_OP_OPTIONS_INIT;
    assert_ok(tasks->context, mtl_tensor_create(tasks->context, MTL_FLOAT32, 1, shape, &x));
    op.user = tasks->tape;
    op.forward = reset_the_tape;
    mtl_tape_reset(tasks->tape, MTL_TAPE_TRAIN);
    (void)mtl_custom_op(tasks->tape, &op, &x, 1);
    assert_int_equal(mtl_tape_status(tasks->tape), MTL_ERROR_STATE);

    op.forward = do_nothing;
    op.backward = reset_the_tape;
    mtl_tape_reset(tasks->tape, MTL_TAPE_TRAIN);
    assert_ok(tasks->context, mtl_tape_watch(tasks->tape, x));
    mtl_tensor *sum = mtl_sum(tasks->tape, mtl_custom_op(tasks->tape, &op, &x, 1));
    double value = 1;
    assert_ok(tasks->context, mtl_tensor_item(sum, &value));
    assert_true(value == 0); /* what the host did not write */
    assert_fails(tasks->context, mtl_tape_backward(tasks->tape, sum, 1, tasks->gradients), MTL_ERROR_STATE, "running");
    mtl_tensor_release(x);
}

static mtl_tensor *reset_in_encoder(void *user, mtl_encoder_call *call)
{
    (void)user;
    mtl_tape_reset(mtl_encoder_call_tape(call), MTL_TAPE_TRAIN);
    return mtl_scale(mtl_encoder_call_tape(call), mtl_encoder_call_inputs(call), 1);
}

static void an_encoder_that_resets_the_tape_is_an_error(void **state)
{
    two_tasks *tasks = *state;
    const int64_t shape[2] = {2, 2};
    mtl_custom_encoder_options options = MTL_CUSTOM_ENCODER_OPTIONS_INIT;
    mtl_encoder *encoder;
    mtl_tensor *x;
    options.forward = reset_in_encoder;
    options.output_dim = 2;
    assert_ok(tasks->context, mtl_tensor_create(tasks->context, MTL_FLOAT32, 2, shape, &x));
    assert_ok(tasks->context, mtl_encoder_create_custom(tasks->context, &options, &encoder));
    mtl_tape_reset(tasks->tape, MTL_TAPE_TRAIN);
    (void)mtl_encoder_forward(encoder, tasks->tape, x);
    assert_int_equal(mtl_tape_status(tasks->tape), MTL_ERROR_STATE);
    mtl_encoder_release(encoder);
    mtl_tensor_release(x);
}

typedef struct meddler {
    two_tasks *tasks;
    mtl_status added;
    mtl_status stepped;
} meddler;

static mtl_status meddle(void *user, mtl_tape *tape, int32_t draw, mtl_tensor **losses)
{
    meddler *m = user;
    (void)draw;
    m->added = mtl_objective_add_task(m->tasks->objective, "late", 1);
    m->stepped = mtl_objective_step(m->tasks->objective, m->tasks->optimizer, meddle, m);
    mtl_tensor *h = mtl_encoder_forward(m->tasks->encoder, tape, m->tasks->inputs);
    losses[0] = mtl_cross_entropy(tape, mtl_head_forward(m->tasks->heads[0], tape, h), m->tasks->labels[0], NULL);
    return MTL_OK;
}

static void the_objective_stands_still_during_its_step(void **state)
{
    meddler m = {*state, MTL_OK, MTL_OK};
    assert_ok(m.tasks->context, mtl_objective_step(m.tasks->objective, m.tasks->optimizer, meddle, &m));
    assert_int_equal(m.added, MTL_ERROR_STATE);
    assert_int_equal(m.stepped, MTL_ERROR_STATE);
    assert_int_equal(mtl_objective_num_tasks(m.tasks->objective), 2);
}

static mtl_status answer_99(void *user, mtl_tape *tape, int32_t draw, mtl_tensor **losses)
{
    (void)user;
    (void)tape;
    (void)draw;
    (void)losses;
    return (mtl_status)99;
}

static void an_unknown_status_of_the_host_is_a_cancellation(void **state)
{
    two_tasks *tasks = *state;
    assert_fails(tasks->context, mtl_objective_step(tasks->objective, tasks->optimizer, answer_99, NULL),
                 MTL_ERROR_CANCELLED, "99");
}

static void the_objective_keeps_its_model(void **state)
{
    two_tasks *tasks = *state;
    mtl_model_destroy(tasks->model);
    tasks->model = NULL;
    assert_ok(tasks->context, two_tasks_step(tasks));
}

/* ---- numbers that only double can hold ---- */

static void what_float_cannot_hold_is_refused(void **state)
{
    two_tasks *tasks = *state;
    assert_fails(tasks->context, mtl_optimizer_set_learning_rate(tasks->optimizer, 1e300), MTL_ERROR_ARGUMENT, "1e+300");
    assert_fails(tasks->context, mtl_objective_set_weight(tasks->objective, 0, 1e308), MTL_ERROR_ARGUMENT, "1e+308");
    mtl_schedule_options schedule = MTL_SCHEDULE_OPTIONS_INIT;
    schedule.kind = MTL_SCHEDULE_STEP;
    schedule.gamma = 1e300;
    assert_ok(tasks->context, mtl_optimizer_set_schedule(tasks->optimizer, &schedule));
    assert_ok(tasks->context, two_tasks_step(tasks)); /* factor 1 */
    assert_fails(tasks->context, two_tasks_step(tasks), MTL_ERROR_NUMERIC, "learning rate");
    assert_int_equal(mtl_optimizer_steps(tasks->optimizer), 1);
}

static void keep_line(void *user, int32_t level, const char *message)
{
    snprintf(user, 200, "%s%s", level == MTL_LOG_ERROR ? "error: " : "", message);
}

static void a_context_that_cannot_be_made_says_why_in_the_log(void **state)
{
    (void)state;
    char line[200] = "";
    mtl_context *context = NULL;
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.log = keep_line;
    options.log_user = line;
    options.threads = 0;
    assert_int_equal(mtl_context_create(&options, &context), MTL_ERROR_ARGUMENT);
    assert_non_null(strstr(line, "error: mtl_context_create: options->threads = 0"));
    options.threads = 1;
    options.max_bytes = 1;
    assert_int_equal(mtl_context_create(&options, &context), MTL_ERROR_MEMORY);
    assert_non_null(strstr(line, "max_bytes = 1"));
    assert_null(context);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(labels_and_ids_may_change_before_the_backward_pass),
        CASE(chosen_rows_may_change_before_the_backward_pass),
        cmocka_unit_test(results_from_before_a_reset_are_refused),
        CASE(an_operation_cannot_reset_its_tape),
        CASE(an_encoder_that_resets_the_tape_is_an_error),
        CASE(the_objective_stands_still_during_its_step),
        CASE(an_unknown_status_of_the_host_is_a_cancellation),
        CASE(the_objective_keeps_its_model),
        CASE(what_float_cannot_hold_is_refused),
        cmocka_unit_test(a_context_that_cannot_be_made_says_why_in_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
