/* SPDX-License-Identifier: Apache-2.0
 * The objective: weights, absent tasks, bad losses, whole steps by callback, every error. */
#include "support.h"
#include "two_tasks.h"

#include <math.h>

enum { MOST_VALUES = 1024 };

typedef struct fixture {
    mtl_context *context;
    two_tasks tasks;
    size_t size;
} fixture;

static void open_fixture(fixture *f)
{
    f->context = test_context();
    assert_ok(f->context, two_tasks_create(f->context, NULL, TWO_TASKS_SGD, &f->tasks));
    f->size = (size_t)two_tasks_size(&f->tasks);
    assert_in_range(f->size, 1, MOST_VALUES);
}

static void close_fixture(fixture *f)
{
    two_tasks_destroy(&f->tasks);
    mtl_context_release(f->context);
}

/* The gradient of one task alone, without its weight, and its loss. */
static double task_gradient(fixture *f, int task, double *values)
{
    mtl_tensor *losses[2];
    two_tasks_losses(&f->tasks, MTL_TAPE_TRAIN, losses);
    assert_ok(f->context, mtl_tape_backward(f->tasks.tape, losses[task], 1, f->tasks.gradients));
    assert_ok(f->context, two_tasks_gradient(&f->tasks, f->tasks.gradients, values));
    double loss;
    assert_ok(f->context, mtl_tensor_item(losses[task], &loss));
    return loss;
}

/* Gradients are below 1 and are sums of up to 20 terms that are added in another order: 2^-24 * 20, with some to spare. */
static const double tolerance = 4e-6;

static void check_sum(fixture *f, double a, double b, const double *first, const double *second)
{
    double sum[MOST_VALUES];
    double expected[MOST_VALUES];
    assert_ok(f->context, two_tasks_gradient(&f->tasks, f->tasks.gradients, sum));
    for (size_t i = 0; i < f->size; i++) {
        expected[i] = a * first[i] + b * second[i];
    }
    assert_close(sum, expected, f->size, 0, tolerance * fmax(1, fmax(a, b)));
}

static void weighs_and_may_change_its_weights(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    double first[MOST_VALUES];
    double second[MOST_VALUES];
    double losses[] = {task_gradient(&f, 0, first), task_gradient(&f, 1, second)};
    const double weights[][2] = {{1, 0.5}, {1, 1}, {0, 3}, {0.125, 0}, {0, 0}, {10, 1e-3}};
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
        for (int t = 0; t < 2; t++) {
            assert_ok(f.context, mtl_objective_set_weight(f.tasks.objective, t, weights[i][t]));
            assert_near(mtl_objective_weight(f.tasks.objective, t), weights[i][t], 0);
        }
        assert_ok(f.context, two_tasks_backward(&f.tasks));
        check_sum(&f, weights[i][0], weights[i][1], first, second);
        assert_near(mtl_objective_task_loss(f.tasks.objective, 0), losses[0], 0);
        assert_near(mtl_objective_task_loss(f.tasks.objective, 1), losses[1], 0);
        assert_near(mtl_objective_value(f.tasks.objective), weights[i][0] * losses[0] + weights[i][1] * losses[1],
                    1e-15);
    }
    close_fixture(&f);
}

static void an_absent_task_is_left_out(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    double first[MOST_VALUES];
    double loss = task_gradient(&f, 0, first);
    mtl_tensor *losses[2];
    two_tasks_losses(&f.tasks, MTL_TAPE_TRAIN, losses);
    losses[1] = NULL;
    assert_ok(f.context, mtl_objective_backward(f.tasks.objective, f.tasks.tape, losses, 2, f.tasks.gradients));
    check_sum(&f, 1, 0, first, first);
    assert_near(mtl_objective_task_loss(f.tasks.objective, 0), loss, 0);
    assert_true(isnan(mtl_objective_task_loss(f.tasks.objective, 1)));
    assert_near(mtl_objective_value(f.tasks.objective), loss, 0);
    mtl_tensor *head = mtl_head_parameter(f.tasks.heads[1], "weight");
    assert_int_equal(mtl_gradients_touched(f.tasks.gradients, head), 0);

    losses[0] = NULL; /* nobody is there */
    assert_ok(f.context, mtl_objective_backward(f.tasks.objective, f.tasks.tape, losses, 2, f.tasks.gradients));
    assert_near(mtl_gradients_norm(f.tasks.gradients), 0, 0);
    assert_near(mtl_objective_value(f.tasks.objective), 0, 0);
    close_fixture(&f);
}

/* With no labelled row the loss is 0 and the task counts as absent. */
static void a_task_without_labels_is_absent(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    const int32_t none[TWO_TASKS_ROWS] = {-1, -1, -1, -1, -1, -1};
    double first[MOST_VALUES];
    task_gradient(&f, 0, first);
    assert_ok(f.context, mtl_tensor_write(f.tasks.labels[1], MTL_INT32, none, TWO_TASKS_ROWS));
    assert_ok(f.context, two_tasks_backward(&f.tasks));
    check_sum(&f, 1, 0, first, first);
    assert_true(isnan(mtl_objective_task_loss(f.tasks.objective, 1)));
    close_fixture(&f);
}

static void losses_that_are_not_finite_are_errors(void **state)
{
    (void)state;
    const double bad[] = {NAN, INFINITY};
    for (int i = 0; i < 2; i++) {
        fixture f;
        open_fixture(&f);
        double before[MOST_VALUES];
        double after[MOST_VALUES];
        assert_ok(f.context, two_tasks_backward(&f.tasks));
        double value = mtl_objective_value(f.tasks.objective);
        assert_ok(f.context, two_tasks_gradient(&f.tasks, f.tasks.gradients, before));
        double bias[3] = {bad[i], 0, 0};
        assert_ok(f.context, mtl_tensor_write(mtl_head_parameter(f.tasks.heads[1], "bias"), MTL_FLOAT64, bias, 3));
        assert_fails(f.context, two_tasks_backward(&f.tasks), MTL_ERROR_NUMERIC, "second");
        assert_ok(f.context, two_tasks_gradient(&f.tasks, f.tasks.gradients, after));
        assert_memory_equal(before, after, f.size * sizeof before[0]); /* nothing is written */
        assert_near(mtl_objective_value(f.tasks.objective), value, 0);
        close_fixture(&f);
    }
}

static void the_check_can_be_switched_off(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_objective_options options = MTL_OBJECTIVE_OPTIONS_INIT;
    options.check_finite = 0;
    mtl_objective *objective;
    assert_ok(f.context, mtl_objective_create(f.tasks.model, &options, &objective));
    assert_ok(f.context, mtl_objective_add_task(objective, "one", 1));
    const double bias[2] = {NAN, 0};
    assert_ok(f.context, mtl_tensor_write(mtl_head_parameter(f.tasks.heads[0], "bias"), MTL_FLOAT64, bias, 2));
    mtl_tensor *losses[2];
    two_tasks_losses(&f.tasks, MTL_TAPE_TRAIN, losses);
    assert_ok(f.context, mtl_objective_backward(objective, f.tasks.tape, losses, 1, f.tasks.gradients));
    assert_true(isnan(mtl_objective_value(objective)));
    assert_fails(f.context, mtl_optimizer_step(f.tasks.optimizer, f.tasks.gradients), MTL_ERROR_NUMERIC, "norm");
    mtl_objective_destroy(objective);
    close_fixture(&f);
}

static void bad_backward_calls_are_refused(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_objective *o = f.tasks.objective;
    mtl_tape *tape = f.tasks.tape;
    mtl_gradients *g = f.tasks.gradients;
    mtl_tensor *losses[3];
    two_tasks_losses(&f.tasks, MTL_TAPE_TRAIN, losses);
    assert_fails(f.context, mtl_objective_backward(o, tape, losses, 1, g), MTL_ERROR_ARGUMENT, "count = 1");
    assert_fails(f.context, mtl_objective_backward(o, tape, losses, 3, g), MTL_ERROR_ARGUMENT, "2 tasks");
    assert_fails(f.context, mtl_objective_backward(o, tape, losses, -1, g), MTL_ERROR_ARGUMENT, "count = -1");
    assert_fails(f.context, mtl_objective_backward(o, tape, NULL, 2, g), MTL_ERROR_ARGUMENT, "losses");
    assert_fails(f.context, mtl_objective_backward(o, NULL, losses, 2, g), MTL_ERROR_ARGUMENT, "tape");
    assert_fails(f.context, mtl_objective_backward(o, tape, losses, 2, NULL), MTL_ERROR_ARGUMENT, "gradients");
    assert_int_equal(mtl_objective_backward(NULL, tape, losses, 2, g), MTL_ERROR_ARGUMENT);
    mtl_tensor *vector[2] = {mtl_encoder_forward(f.tasks.encoder, tape, f.tasks.inputs), losses[1]};
    assert_fails(f.context, mtl_objective_backward(o, tape, vector, 2, g), MTL_ERROR_SHAPE, "loss 0");
    mtl_tensor *host[2] = {losses[0], f.tasks.inputs};
    assert_fails(f.context, mtl_objective_backward(o, tape, host, 2, g), MTL_ERROR_STATE, "loss 1");
    assert_true(isnan(mtl_objective_value(o))); /* no pass was done */

    mtl_tape_reset(tape, MTL_TAPE_TRAIN); /* the first error of the tape, with operation and shapes */
    losses[0] =
        mtl_cross_entropy(tape, mtl_head_forward(f.tasks.heads[0], tape, f.tasks.inputs), f.tasks.labels[0], NULL);
    losses[1] = losses[0];
    assert_fails(f.context, mtl_objective_backward(o, tape, losses, 2, g), MTL_ERROR_DTYPE, "mtl_");
    two_tasks_losses(&f.tasks, MTL_TAPE_INFER, losses);
    assert_fails(f.context, mtl_objective_backward(o, tape, losses, 2, g), MTL_ERROR_STATE, "INFER");
    assert_true(isnan(mtl_objective_value(o)));

    mtl_model *part;
    mtl_gradients *foreign;
    assert_ok(f.context, mtl_model_create(f.context, NULL, &part));
    assert_ok(f.context, mtl_model_add_encoder(part, "encoder", f.tasks.encoder));
    assert_ok(f.context, mtl_gradients_create(part, &foreign));
    two_tasks_losses(&f.tasks, MTL_TAPE_TRAIN, losses);
    assert_fails(f.context, mtl_objective_backward(o, tape, losses, 2, foreign), MTL_ERROR_ARGUMENT, "model");
    mtl_gradients_destroy(foreign);
    mtl_model_destroy(part);

    mtl_context *elsewhere = test_context();
    two_tasks other;
    assert_ok(elsewhere, two_tasks_create(elsewhere, NULL, TWO_TASKS_SGD, &other));
    two_tasks_losses(&f.tasks, MTL_TAPE_TRAIN, losses);
    assert_fails(f.context, mtl_objective_backward(o, other.tape, losses, 2, g), MTL_ERROR_ARGUMENT, "tape belongs");
    assert_fails(f.context, mtl_objective_backward(o, tape, losses, 2, other.gradients), MTL_ERROR_ARGUMENT,
                 "gradients belong");
    two_tasks_destroy(&other);
    mtl_context_release(elsewhere);
    close_fixture(&f);
}

static void tasks_are_checked(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_objective *o = f.tasks.objective;
    char name[65];
    memset(name, 'n', 64);
    name[64] = '\0';
    assert_fails(f.context, mtl_objective_add_task(o, "first", 1), MTL_ERROR_ARGUMENT, "task 0");
    assert_fails(f.context, mtl_objective_add_task(o, "", 1), MTL_ERROR_ARGUMENT, "name");
    assert_fails(f.context, mtl_objective_add_task(o, name, 1), MTL_ERROR_ARGUMENT, "name");
    assert_fails(f.context, mtl_objective_add_task(o, NULL, 1), MTL_ERROR_ARGUMENT, "name is NULL");
    const double bad[] = {-1, -1e-300, NAN, INFINITY};
    for (int i = 0; i < 4; i++) {
        assert_fails(f.context, mtl_objective_add_task(o, "third", bad[i]), MTL_ERROR_ARGUMENT, "weight");
        assert_fails(f.context, mtl_objective_set_weight(o, 0, bad[i]), MTL_ERROR_ARGUMENT, "weight");
    }
    assert_fails(f.context, mtl_objective_set_weight(o, 2, 1), MTL_ERROR_ARGUMENT, "task = 2");
    assert_fails(f.context, mtl_objective_set_weight(o, -1, 1), MTL_ERROR_ARGUMENT, "task = -1");
    assert_int_equal(mtl_objective_num_tasks(o), 2);
    assert_near(mtl_objective_weight(o, 0), 1, 0);
    assert_near(mtl_objective_weight(o, 7), 0, 0);
    assert_string_equal(mtl_objective_task_name(o, 1), "second");
    assert_null(mtl_objective_task_name(o, 2));
    assert_true(isnan(mtl_objective_task_loss(o, 2)));
    for (int i = 0; i < 100; i++) { /* and there may be many */
        snprintf(name, sizeof name, "task %d: any bytes will do \xff", i);
        assert_ok(f.context, mtl_objective_add_task(o, name, i));
    }
    assert_int_equal(mtl_objective_num_tasks(o), 102);
    assert_near(mtl_objective_weight(o, 101), 99, 0);
    close_fixture(&f);
}

static void shared_encoders_are_checked(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_lstm_options lstm = two_tasks_lstm();
    mtl_encoder *stranger;
    assert_ok(f.context, mtl_encoder_create_lstm(f.context, &lstm, &stranger));
    assert_fails(f.context, mtl_objective_share_encoder(f.tasks.objective, stranger), MTL_ERROR_ARGUMENT, "model");
    assert_fails(f.context, mtl_objective_share_encoder(f.tasks.objective, f.tasks.encoder), MTL_ERROR_ARGUMENT,
                 "already");
    assert_fails(f.context, mtl_objective_share_encoder(f.tasks.objective, NULL), MTL_ERROR_ARGUMENT, "encoder");
    assert_int_equal(mtl_objective_share_encoder(NULL, stranger), MTL_ERROR_ARGUMENT);
    mtl_encoder_release(stranger);
    close_fixture(&f);
}

static void options_are_checked(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_objective *objective = NULL;
    mtl_objective_options options = MTL_OBJECTIVE_OPTIONS_INIT;
    options.struct_size = 9;
    assert_fails(f.context, mtl_objective_create(f.tasks.model, &options, &objective), MTL_ERROR_ARGUMENT,
                 "struct_size");
    options = (mtl_objective_options)MTL_OBJECTIVE_OPTIONS_INIT;
    options.reserved0 = 3;
    assert_fails(f.context, mtl_objective_create(f.tasks.model, &options, &objective), MTL_ERROR_UNSUPPORTED,
                 "reserved0");
    assert_fails(f.context, mtl_objective_create(f.tasks.model, NULL, NULL), MTL_ERROR_ARGUMENT, "out");
    assert_int_equal(mtl_objective_create(NULL, NULL, &objective), MTL_ERROR_ARGUMENT);
    assert_null(objective);
    close_fixture(&f);
}

/* ---- whole steps ---- */

typedef struct evaluation {
    two_tasks *tasks;
    mtl_status status; /* to be returned */
    bool fails_inside; /* after a library call that fails */
    bool skips_second;
    int calls;
    int32_t draw;
} evaluation;

static mtl_status evaluate(void *user, mtl_tape *tape, int32_t draw, mtl_tensor **losses)
{
    evaluation *e = user;
    e->calls++;
    e->draw = draw;
    if (e->fails_inside) {
        mtl_tensor *out;
        return mtl_tensor_create(e->tasks->context, MTL_FLOAT32, 99, NULL, &out);
    }
    mtl_tensor *features = mtl_encoder_forward(e->tasks->encoder, tape, e->tasks->inputs);
    for (int k = 0; k < (e->skips_second ? 1 : 2); k++) {
        losses[k] =
            mtl_cross_entropy(tape, mtl_head_forward(e->tasks->heads[k], tape, features), e->tasks->labels[k], NULL);
    }
    return e->status;
}

static void a_step_is_evaluate_backward_and_update(void **state)
{
    (void)state;
    fixture a;
    fixture b;
    open_fixture(&a);
    open_fixture(&b);
    double left[MOST_VALUES];
    double right[MOST_VALUES];
    evaluation e = {&a.tasks, MTL_OK, false, false, 0, -1};
    for (int step = 0; step < 5; step++) {
        assert_ok(a.context, mtl_objective_step(a.tasks.objective, a.tasks.optimizer, evaluate, &e));
        assert_ok(b.context, two_tasks_step(&b.tasks));
        assert_near(mtl_objective_value(a.tasks.objective), mtl_objective_value(b.tasks.objective), 0);
    }
    assert_int_equal(e.calls, 5);
    assert_int_equal(e.draw, 0);
    assert_int_equal(mtl_optimizer_steps(a.tasks.optimizer), 5);
    assert_ok(a.context, two_tasks_weights(&a.tasks, left));
    assert_ok(b.context, two_tasks_weights(&b.tasks, right));
    assert_memory_equal(left, right, a.size * sizeof left[0]);
    e.skips_second = true;
    assert_ok(a.context, mtl_objective_step(a.tasks.objective, a.tasks.optimizer, evaluate, &e));
    assert_true(isnan(mtl_objective_task_loss(a.tasks.objective, 1)));
    close_fixture(&a);
    close_fixture(&b);
}

static void a_step_may_be_cancelled(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    double before[MOST_VALUES];
    double after[MOST_VALUES];
    assert_ok(f.context, two_tasks_weights(&f.tasks, before));
    mtl_objective *o = f.tasks.objective;
    evaluation e = {&f.tasks, MTL_ERROR_CANCELLED, false, false, 0, -1};
    assert_fails(f.context, mtl_objective_step(o, f.tasks.optimizer, evaluate, &e), MTL_ERROR_CANCELLED,
                 "mtl_objective_step: evaluate returned MTL_ERROR_CANCELLED");
    e.fails_inside = true; /* what went wrong inside is not lost */
    assert_fails(f.context, mtl_objective_step(o, f.tasks.optimizer, evaluate, &e), MTL_ERROR_ARGUMENT,
                 "shape is NULL");
    e.fails_inside = false;
    e.status = MTL_OK;
    mtl_tensor *inputs = f.tasks.inputs;
    f.tasks.inputs = NULL; /* an error of the tape */
    assert_fails(f.context, mtl_objective_step(o, f.tasks.optimizer, evaluate, &e), MTL_ERROR_ARGUMENT,
                 "inputs is NULL");
    f.tasks.inputs = inputs;
    assert_ok(f.context, two_tasks_weights(&f.tasks, after));
    assert_memory_equal(before, after, f.size * sizeof before[0]);
    assert_int_equal(mtl_optimizer_steps(f.tasks.optimizer), 0);
    assert_ok(f.context, mtl_objective_step(o, f.tasks.optimizer, evaluate, &e));
    assert_int_equal(mtl_optimizer_steps(f.tasks.optimizer), 1);
    assert_fails(f.context, mtl_objective_step(o, NULL, evaluate, &e), MTL_ERROR_ARGUMENT, "optimizer");
    assert_fails(f.context, mtl_objective_step(o, f.tasks.optimizer, NULL, &e), MTL_ERROR_ARGUMENT, "evaluate");
    assert_int_equal(mtl_objective_step(NULL, f.tasks.optimizer, evaluate, &e), MTL_ERROR_ARGUMENT);
    close_fixture(&f);
}

static mtl_status evaluate_nothing(void *user, mtl_tape *tape, int32_t draw, mtl_tensor **losses)
{
    (void)tape;
    (void)draw;
    (void)losses;
    ++*(int *)user;
    return MTL_OK;
}

static void an_objective_without_tasks_steps(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_objective *empty;
    int calls = 0;
    assert_ok(f.context, mtl_objective_create(f.tasks.model, NULL, &empty));
    assert_ok(f.context, mtl_objective_step(empty, f.tasks.optimizer, evaluate_nothing, &calls));
    assert_int_equal(calls, 1);
    assert_near(mtl_objective_value(empty), 0, 0);
    mtl_tape_reset(f.tasks.tape, MTL_TAPE_TRAIN);
    assert_ok(f.context, mtl_objective_backward(empty, f.tasks.tape, NULL, 0, f.tasks.gradients));
    mtl_objective_destroy(empty);
    close_fixture(&f);
}

static void the_same_loss_may_serve_two_tasks(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    double first[MOST_VALUES];
    task_gradient(&f, 0, first);
    mtl_tensor *losses[2];
    two_tasks_losses(&f.tasks, MTL_TAPE_TRAIN, losses);
    losses[1] = losses[0];
    assert_ok(f.context, mtl_objective_backward(f.tasks.objective, f.tasks.tape, losses, 2, f.tasks.gradients));
    check_sum(&f, 1.5, 0, first, first);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weighs_and_may_change_its_weights),
        cmocka_unit_test(an_absent_task_is_left_out),
        cmocka_unit_test(a_task_without_labels_is_absent),
        cmocka_unit_test(losses_that_are_not_finite_are_errors),
        cmocka_unit_test(the_check_can_be_switched_off),
        cmocka_unit_test(bad_backward_calls_are_refused),
        cmocka_unit_test(tasks_are_checked),
        cmocka_unit_test(shared_encoders_are_checked),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(a_step_is_evaluate_backward_and_update),
        cmocka_unit_test(a_step_may_be_cancelled),
        cmocka_unit_test(an_objective_without_tasks_steps),
        cmocka_unit_test(the_same_loss_may_serve_two_tasks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
