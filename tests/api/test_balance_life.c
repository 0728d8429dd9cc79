/* SPDX-License-Identifier: Apache-2.0
 * Balancers and objectives as objects: who may have which, who outlives whom, tasks and encoders that come later, steps
 * without tasks, penalties, functions of the host that call where they must not, and memory in later steps. */
#include "balanced_tasks.h"
#include "support.h"

#include <math.h>

static const balanced_setup overlapping = {.tasks = 3, .labels = BALANCED_PARTLY};

static void open_balanced(mtl_context *context, const balanced_setup *setup, int32_t method, balanced_tasks *t,
                          mtl_balancer **balancer)
{
    mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
    options.method = method;
    assert_ok(context, balanced_tasks_create(context, setup, t));
    assert_ok(context, mtl_balancer_create(context, &options, balancer));
    assert_ok(context, mtl_objective_set_balancer(t->objective, *balancer));
}

static void close_balanced(mtl_context *context, balanced_tasks *t, mtl_balancer *balancer)
{
    mtl_balancer_destroy(balancer);
    balanced_tasks_destroy(t);
    mtl_context_release(context);
}

static double values[3][BALANCED_MOST_VALUES];

static size_t read_gradient(balanced_tasks *t, double *out)
{
    assert_ok(t->context, balanced_tasks_gradient(t, t->gradients, out));
    return (size_t)balanced_tasks_size(t) * sizeof(double);
}

static void no_balancer_again_gives_the_same_bits(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    balanced_tasks t;
    mtl_balancer *balancer;
    open_balanced(context, &overlapping, MTL_BALANCE_UPGRAD, &t, &balancer);
    assert_true(isnan(mtl_objective_balance_weight(t.objective, 0)));
    assert_ok(context, mtl_objective_set_balancer(t.objective, NULL));
    assert_ok(context, balanced_tasks_backward(&t));
    size_t bytes = read_gradient(&t, values[0]);
    assert_true(mtl_objective_balance_weight(t.objective, 0) == 1);
    assert_ok(context, mtl_objective_set_balancer(t.objective, balancer));
    assert_ok(context, mtl_objective_set_balancer(t.objective, balancer)); /* it is there already */
    assert_ok(context, balanced_tasks_backward(&t));
    read_gradient(&t, values[1]);
    assert_memory_not_equal(values[0], values[1], bytes);
    assert_ok(context, mtl_objective_set_balancer(t.objective, NULL));
    assert_ok(context, balanced_tasks_backward(&t));
    read_gradient(&t, values[1]);
    assert_memory_equal(values[0], values[1], bytes);
    close_balanced(context, &t, balancer);
}

static void equal_weights_are_plain_training(void **state)
{
    (void)state;
    for (int labels = 0; labels < BALANCED_LABELLINGS; labels++) {
        balanced_setup setup = {.tasks = 3, .labels = (balanced_labels)labels, .lambda = (const double[]){1, 0.3, 2}};
        mtl_context *context = test_context();
        balanced_tasks t;
        mtl_balancer *balancer;
        open_balanced(context, &setup, MTL_BALANCE_EQUAL, &t, &balancer);
        assert_ok(context, balanced_tasks_backward(&t));
        double value = mtl_objective_value(t.objective);
        size_t bytes = read_gradient(&t, values[0]);
        assert_ok(context, mtl_objective_set_balancer(t.objective, NULL));
        assert_ok(context, balanced_tasks_backward(&t));
        read_gradient(&t, values[1]);
        assert_memory_equal(values[0], values[1], bytes);
        assert_true(mtl_objective_value(t.objective) == value);
        close_balanced(context, &t, balancer);
    }
}

static void a_balancer_has_one_objective(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_context *other = test_context();
    balanced_tasks t, second;
    mtl_balancer *balancer, *foreign;
    open_balanced(context, &overlapping, MTL_BALANCE_MOCO, &t, &balancer);
    assert_ok(context, balanced_tasks_create(context, &overlapping, &second));
    assert_ok(other, mtl_balancer_create(other, NULL, &foreign));
    assert_fails(context, mtl_objective_set_balancer(second.objective, balancer), MTL_ERROR_STATE,
                 "balancer is that of another objective");
    assert_fails(context, mtl_objective_set_balancer(second.objective, foreign), MTL_ERROR_ARGUMENT,
                 "balancer belongs to another context");
    assert_ok(context, balanced_tasks_backward(&t));
    assert_true(mtl_balancer_memory(balancer) > 0);
    balanced_tasks_destroy(&t); /* the balancer lives on, and goes on */
    assert_ok(context, mtl_objective_set_balancer(second.objective, balancer));
    assert_ok(context, balanced_tasks_backward(&second));
    double steps;
    assert_int_equal(mtl_balancer_read(balancer, "steps", &steps, 1), 1);
    assert_true(steps == 2);
    mtl_balancer_destroy(balancer); /* the objective keeps it */
    assert_ok(context, balanced_tasks_backward(&second));
    balanced_tasks_destroy(&second);
    mtl_balancer_destroy(foreign);
    mtl_context_release(context);
    mtl_context_release(other);
}

/* ---- tasks and encoders ---- */

static mtl_status backward_with_one_more(balanced_tasks *t)
{
    mtl_tensor *losses[BALANCED_MOST] = {NULL};
    mtl_tape_reset(t->tape, MTL_TAPE_TRAIN);
    mtl_status status = balanced_tasks_evaluate(t, t->tape, 0, losses);
    return status == MTL_OK ? mtl_objective_backward(t->objective, t->tape, losses, t->setup.tasks + 1, t->gradients)
                            : status;
}

static void a_task_more_is_another_problem(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    balanced_tasks t;
    mtl_balancer *balancer;
    open_balanced(context, &overlapping, MTL_BALANCE_UPGRAD, &t, &balancer);
    assert_ok(context, balanced_tasks_backward(&t));
    assert_ok(context, mtl_objective_add_task(t.objective, "late", 1));
    assert_fails(context, backward_with_one_more(&t), MTL_ERROR_STATE,
                 "mtl_objective_backward: the balancer has learned about 3 tasks");
    mtl_balancer_reset(balancer);
    assert_ok(context, backward_with_one_more(&t));
    assert_true(mtl_objective_balance_weight(t.objective, 3) == 0);
    assert_true(mtl_objective_balance_weight(t.objective, 2) > 0);
    close_balanced(context, &t, balancer);
}

static void steps_without_tasks_do_nothing(void **state)
{
    (void)state;
    for (int32_t method = 0; method < MTL_BALANCE_CUSTOM; method++) {
        enum { STEP = MTL_BALANCE_NEEDS_DRAWS | MTL_BALANCE_NEEDS_VALIDATION | MTL_BALANCE_NEEDS_SECOND_EVALUATION };
        if ((mtl_balance_method_needs(method) & STEP) != 0) {
            continue;
        }
        mtl_context *context = test_context();
        balanced_tasks t;
        mtl_balancer *balancer;
        mtl_tensor *losses[BALANCED_MOST] = {NULL};
        open_balanced(context, &overlapping, method, &t, &balancer);
        for (int round = 0; round < 2; round++) {
            mtl_tape_reset(t.tape, MTL_TAPE_TRAIN);
            assert_ok(context, mtl_objective_backward(t.objective, t.tape, losses, 3, t.gradients));
            for (int64_t i = 0; i < mtl_model_num_parameters(t.model); i++) {
                assert_false(mtl_gradients_touched(t.gradients, mtl_model_parameter(t.model, i)));
            }
            assert_true(mtl_objective_value(t.objective) == 0);
            assert_ok(context, balanced_tasks_backward(&t));
            assert_true(mtl_gradients_norm(t.gradients) > 0);
        }
        close_balanced(context, &t, balancer);
    }
}

static void without_a_declaration_all_encoders_are_shared(void **state)
{
    (void)state;
    for (int declared = 0; declared < 2; declared++) {
        mtl_context *context = test_context();
        balanced_tasks t;
        mtl_balancer *balancer;
        open_balanced(context, &overlapping, MTL_BALANCE_UPGRAD, &t, &balancer);
        if (!declared) { /* an objective like the other, which does not say what is shared */
            mtl_objective_destroy(t.objective);
            assert_ok(context, mtl_objective_create(t.model, NULL, &t.objective));
            for (int k = 0; k < 3; k++) {
                assert_ok(context, mtl_objective_add_task(t.objective, (const char[]){(char)('a' + k), 0}, 1));
            }
            assert_ok(context, mtl_objective_set_balancer(t.objective, balancer));
        }
        assert_ok(context, balanced_tasks_backward(&t));
        read_gradient(&t, values[declared]);
        close_balanced(context, &t, balancer);
    }
    assert_memory_equal(values[0], values[1], sizeof values[0]);
}

/* A model with an encoder that is shared and one that only task 1 reads. */
typedef struct two_encoders {
    balanced_tasks t;
    mtl_encoder *own;
    mtl_head *joint;
    mtl_model *model;
    mtl_objective *objective;
    mtl_gradients *gradients;
} two_encoders;

static void open_two_encoders(mtl_context *context, two_encoders *e)
{
    mtl_lstm_options lstm = MTL_LSTM_OPTIONS_INIT;
    lstm.vocabulary_size = BALANCED_WORDS;
    lstm.embedding_dim = 3;
    lstm.hidden_dim = 4;
    assert_ok(context, balanced_tasks_create(context, &overlapping, &e->t));
    assert_ok(context, mtl_encoder_create_lstm(context, &lstm, &e->own));
    int64_t width = mtl_encoder_output_dim(e->t.encoder) + mtl_encoder_output_dim(e->own);
    assert_ok(context, mtl_head_create_classifier(context, width, BALANCED_CLASSES, NULL, &e->joint));
    assert_ok(context, mtl_model_create(context, NULL, &e->model));
    assert_ok(context, mtl_model_add_encoder(e->model, "own", e->own));
    assert_ok(context, mtl_model_add_encoder(e->model, "shared", e->t.encoder));
    assert_ok(context, mtl_model_add_head(e->model, "first", e->t.heads[0]));
    assert_ok(context, mtl_model_add_head(e->model, "second", e->joint));
    assert_ok(context, mtl_objective_create(e->model, NULL, &e->objective));
    assert_ok(context, mtl_objective_add_task(e->objective, "first", 1));
    assert_ok(context, mtl_objective_add_task(e->objective, "second", 0.5));
    assert_ok(context, mtl_gradients_create(e->model, &e->gradients));
}

static void close_two_encoders(two_encoders *e)
{
    mtl_gradients_destroy(e->gradients);
    mtl_objective_destroy(e->objective);
    mtl_model_destroy(e->model);
    mtl_head_release(e->joint);
    mtl_encoder_release(e->own);
    balanced_tasks_destroy(&e->t);
}

static void losses_of_two_encoders(two_encoders *e, mtl_tensor **losses)
{
    mtl_tape *tape = e->t.tape;
    mtl_tape_reset(tape, MTL_TAPE_TRAIN);
    mtl_tensor *own = mtl_encoder_forward(e->own, tape, e->t.inputs[0]);
    mtl_tensor *both[] = {mtl_encoder_forward(e->t.encoder, tape, e->t.inputs[0]), own};
    mtl_tensor *joined = mtl_concat(tape, both, 2);
    losses[0] = mtl_cross_entropy(tape, mtl_head_forward(e->t.heads[0], tape, both[0]), e->t.labels[0][0], NULL);
    losses[1] = mtl_cross_entropy(tape, mtl_head_forward(e->joint, tape, joined), e->t.labels[0][1], NULL);
}

static int64_t read_all(mtl_model *model, const mtl_gradients *gradients, mtl_context *context, double *out)
{
    int64_t size = 0;
    for (int64_t i = 0; i < mtl_model_num_parameters(model); i++) {
        mtl_tensor *parameter = mtl_model_parameter(model, i);
        assert_ok(context, mtl_gradients_read(gradients, parameter, MTL_FLOAT64, out + size,
                                              (size_t)mtl_tensor_size(parameter)));
        size += mtl_tensor_size(parameter);
    }
    return size;
}

static void compare_two_encoders(mtl_context *context, two_encoders *e, bool all_shared)
{
    mtl_tensor *losses[2];
    int64_t size = 0;
    int64_t own = 0;
    for (int64_t i = 0; i < mtl_encoder_num_parameters(e->own); i++) {
        own += mtl_tensor_size(mtl_model_parameter(e->model, i));
    }
    int64_t encoders = own + balanced_tasks_shared(&e->t);
    for (int k = 0; k < 2; k++) {
        losses_of_two_encoders(e, losses);
        assert_ok(context, mtl_tape_backward(e->t.tape, losses[k], k == 0 ? 1 : 0.5, e->gradients));
        size = read_all(e->model, e->gradients, context, values[k]);
    }
    losses_of_two_encoders(e, losses);
    assert_ok(context, mtl_objective_backward(e->objective, e->t.tape, losses, 2, e->gradients));
    read_all(e->model, e->gradients, context, values[2]);
    const double w[] = {mtl_objective_balance_weight(e->objective, 0), mtl_objective_balance_weight(e->objective, 1)};
    double gram[3] = {0};
    for (int64_t i = 0; i < size; i++) {
        bool shared = i < encoders && (all_shared || i >= own);
        double expected = shared ? w[0] * values[0][i] + w[1] * values[1][i] : values[0][i] + values[1][i];
        assert_near(values[2][i], expected, 1e-6);
        gram[0] += shared ? values[0][i] * values[0][i] : 0;
        gram[1] += shared ? values[0][i] * values[1][i] : 0;
        gram[2] += shared ? values[1][i] * values[1][i] : 0;
    }
    /* MGDA of two: the point of the segment that is nearest to 0 */
    double best = (gram[2] - gram[1]) / (gram[0] + gram[2] - 2 * gram[1]);
    best = best < 0 ? 0 : best > 1 ? 1 : best;
    assert_near(w[0], best, 1e-4);
    assert_near(w[1], 1 - best, 1e-4);
}

static void an_encoder_of_one_task_is_its_own(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    two_encoders e;
    mtl_balancer *balancer;
    mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
    options.method = MTL_BALANCE_MGDA;
    open_two_encoders(context, &e);
    assert_ok(context, mtl_objective_share_encoder(e.objective, e.t.encoder));
    assert_ok(context, mtl_balancer_create(context, &options, &balancer));
    assert_ok(context, mtl_objective_set_balancer(e.objective, balancer));
    compare_two_encoders(context, &e, false);
    assert_ok(context, mtl_objective_share_encoder(e.objective, e.own)); /* from now on both are */
    compare_two_encoders(context, &e, true);
    close_two_encoders(&e);
    mtl_balancer_destroy(balancer);
    mtl_context_release(context);
}

/* What is tracked has a size: an encoder more is another problem. */
static void what_is_tracked_stays_as_large(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    two_encoders e;
    mtl_balancer *balancer;
    mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
    mtl_tensor *losses[2];
    options.method = MTL_BALANCE_DB_MTL;
    open_two_encoders(context, &e);
    assert_ok(context, mtl_objective_share_encoder(e.objective, e.t.encoder));
    assert_ok(context, mtl_balancer_create(context, &options, &balancer));
    assert_ok(context, mtl_objective_set_balancer(e.objective, balancer));
    losses_of_two_encoders(&e, losses);
    assert_ok(context, mtl_objective_backward(e.objective, e.t.tape, losses, 2, e.gradients));
    assert_ok(context, mtl_objective_share_encoder(e.objective, e.own));
    losses_of_two_encoders(&e, losses);
    assert_fails(context, mtl_objective_backward(e.objective, e.t.tape, losses, 2, e.gradients), MTL_ERROR_STATE,
                 "tracked values");
    mtl_balancer_reset(balancer);
    assert_ok(context, mtl_objective_backward(e.objective, e.t.tape, losses, 2, e.gradients));
    close_two_encoders(&e);
    mtl_balancer_destroy(balancer);
    mtl_context_release(context);
}

/* ---- numbers that are none ---- */

static void a_loss_that_is_no_number_is_an_error(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    balanced_tasks t;
    mtl_balancer *balancer;
    mtl_objective *objective;
    mtl_tensor *losses[BALANCED_MOST] = {NULL};
    mtl_objective_options unchecked = MTL_OBJECTIVE_OPTIONS_INIT;
    unchecked.check_finite = 0;
    mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
    options.method = MTL_BALANCE_UPGRAD;
    assert_ok(context, balanced_tasks_create(context, &overlapping, &t));
    assert_ok(context, mtl_balancer_create(context, &options, &balancer));
    assert_ok(context, mtl_objective_create(t.model, &unchecked, &objective));
    assert_ok(context, mtl_objective_add_task(objective, "good", 1));
    assert_ok(context, mtl_objective_add_task(objective, "bad", 1));
    assert_ok(context, mtl_objective_add_task(objective, "none", 1));
    assert_ok(context, mtl_objective_set_balancer(objective, balancer));
    assert_ok(context, balanced_tasks_backward(&t)); /* fills the gradients */
    size_t bytes = read_gradient(&t, values[0]);
    const float bias[BALANCED_CLASSES] = {NAN, 0, 0};
    assert_ok(context, mtl_tensor_write(mtl_head_parameter(t.heads[1], "bias"), MTL_FLOAT32, bias, BALANCED_CLASSES));
    mtl_tape_reset(t.tape, MTL_TAPE_TRAIN);
    assert_ok(context, balanced_tasks_evaluate(&t, t.tape, 0, losses));
    assert_fails(context, mtl_objective_backward(objective, t.tape, losses, 3, t.gradients), MTL_ERROR_NUMERIC,
                 "the loss of task 1 ('bad')");
    read_gradient(&t, values[1]);
    assert_memory_equal(values[0], values[1], bytes); /* it was found before the pass */
    losses[1] = NULL;
    assert_ok(context, mtl_objective_backward(objective, t.tape, losses, 3, t.gradients));
    mtl_objective_destroy(objective);
    close_balanced(context, &t, balancer);
}

/* ---- the host's functions ---- */

typedef struct host {
    balanced_tasks *t;
    mtl_status answer;
    mtl_status inner;
    int calls;
    double weight;
} host;

static mtl_status decide(void *user, int32_t count, const int32_t *tasks, const double *losses, const double *gram,
                         double *weights)
{
    host *h = user;
    h->calls++;
    h->inner = mtl_objective_set_balancer(h->t->objective, NULL);
    for (int32_t i = 0; i < count; i++) {
        weights[i] = losses[i] > 0 && gram && tasks[i] < 3 ? h->weight / (1 + i) : -1;
    }
    return h->answer;
}

static void custom_rules(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    balanced_tasks t;
    mtl_balancer *balancer;
    host h = {.t = &t, .weight = 3};
    mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
    options.method = MTL_BALANCE_CUSTOM;
    options.needs = MTL_BALANCE_NEEDS_GRAM;
    options.decide = decide;
    options.user = &h;
    assert_ok(context, balanced_tasks_create(context, &overlapping, &t));
    assert_ok(context, mtl_balancer_create(context, &options, &balancer));
    assert_ok(context, mtl_objective_set_balancer(t.objective, balancer));
    assert_ok(context, balanced_tasks_backward(&t));
    assert_int_equal(h.calls, 1);
    assert_int_equal(h.inner, MTL_ERROR_STATE);
    for (int k = 0; k < 3; k++) {
        assert_true(mtl_objective_balance_weight(t.objective, k) == 3.0 / (1 + k));
    }
    h.answer = MTL_ERROR_CANCELLED;
    assert_fails(context, balanced_tasks_backward(&t), MTL_ERROR_CANCELLED, "mtl_objective_backward: decide returned");
    assert_true(mtl_gradients_norm(t.gradients) == 0);
    h.answer = MTL_OK;
    h.weight = (double)NAN;
    assert_fails(context, balanced_tasks_backward(&t), MTL_ERROR_NUMERIC, "custom");
    h.weight = 1;
    assert_ok(context, balanced_tasks_backward(&t));
    close_balanced(context, &t, balancer);
}

static void meddle(void *user, const mtl_balance_report *report)
{
    host *h = user;
    h->calls += report->num_tasks == 3;
    h->inner = mtl_objective_set_balancer(h->t->objective, NULL);
}

static void a_monitor_may_not_take_the_balancer_away(void **state)
{
    (void)state;
    for (int32_t method = 0; method < MTL_BALANCE_CUSTOM; method++) {
        mtl_context *context = test_context();
        balanced_tasks t;
        mtl_balancer *balancer;
        host h = {.t = &t};
        open_balanced(context, &overlapping, method, &t, &balancer);
        assert_ok(context, mtl_balancer_set_monitor(balancer, meddle, &h));
        assert_ok(context, mtl_objective_step(t.objective, t.optimizer, balanced_tasks_evaluate, &t));
        assert_int_equal(h.calls, 1);
        assert_int_equal(h.inner, MTL_ERROR_STATE);
        assert_ok(context, mtl_objective_set_balancer(t.objective, NULL));
        close_balanced(context, &t, balancer);
    }
}

/* ---- penalties ---- */

static void penalties_are_added_as_they_are(void **state)
{
    (void)state;
    for (int32_t method = 0; method < MTL_BALANCE_CUSTOM; method++) {
        for (int with = 0; with < 2; with++) {
            mtl_context *context = test_context();
            balanced_tasks t;
            mtl_balancer *balancer;
            mtl_penalty *penalty = NULL;
            const char *networks[] = {"encoder"};
            mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
            options.kind = MTL_PENALTY_L2;
            options.form = MTL_L2_RIDGE;
            options.parameters = "lstm.*";
            options.coefficient = 0.25;
            open_balanced(context, &overlapping, method, &t, &balancer);
            assert_ok(context, mtl_penalty_create(t.model, networks, 1, &options, &penalty));
            if (with) {
                assert_ok(context, mtl_objective_add_penalty(t.objective, penalty));
            }
            assert_ok(context, balanced_tasks_weights(&t, values[2]));
            assert_ok(context, mtl_objective_step(t.objective, t.optimizer, balanced_tasks_evaluate, &t));
            assert_ok(context, balanced_tasks_weights(&t, values[with]));
            double value = mtl_objective_value(t.objective);
            double losses = 0;
            for (int k = 0; k < 3; k++) {
                losses += mtl_objective_task_loss(t.objective, k);
            }
            assert_true(with ? value > losses + 0.01 : fabs(value - losses) < 1e-6);
            int64_t table = mtl_tensor_size(mtl_model_parameter(t.model, 0));
            int64_t shared = balanced_tasks_shared(&t);
            for (int64_t i = 0; with && i < balanced_tasks_size(&t); i++) {
                double expected = i >= table && i < shared ? 0.1 * 2 * 0.25 * values[2][i] : 0;
                if (fabs(values[0][i] - values[1][i] - expected) > 1e-6) {
                    fail_msg("%s: value %lld moved by %g more, not by %g", mtl_balance_method_name(method),
                             (long long)i, values[0][i] - values[1][i], expected);
                }
            }
            mtl_penalty_destroy(penalty);
            close_balanced(context, &t, balancer);
        }
    }
}

/* ---- memory ---- */

/* The same rows in every step: after the second one nothing is allocated. Two, because FAMO looks at the second step's
 * rows with moved weights, and tables of rows grow when they are first merged. */
static void later_steps_allocate_nothing(void **state)
{
    (void)state;
    for (int32_t method = 0; method < MTL_BALANCE_CUSTOM; method++) {
        for (int c = 0; c < 4; c++) {
            balanced_setup setup = {.tasks = 3, .labels = c % 2 ? BALANCED_PARTLY : BALANCED_DISJOINT, .deep = 1};
            mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
            mtl_context *context = test_context();
            balanced_tasks t;
            mtl_balancer *balancer;
            options.method = method;
            options.max_bytes = c < 2 ? options.max_bytes : 0;
            options.measure_every = 2;
            assert_ok(context, balanced_tasks_create(context, &setup, &t));
            assert_ok(context, mtl_balancer_create(context, &options, &balancer));
            assert_ok(context, mtl_objective_set_balancer(t.objective, balancer));
            uint64_t before = 0;
            for (int step = 0; step < 6; step++) {
                before = step == 2 ? test_allocations(context) : before;
                assert_ok(context, mtl_objective_step(t.objective, t.optimizer, balanced_tasks_evaluate, &t));
            }
            uint64_t calls = test_allocations(context) - before;
            if (calls > 0) {
                fail_msg("%s, case %d: %llu allocations", mtl_balance_method_name(method), c,
                         (unsigned long long)calls);
            }
            close_balanced(context, &t, balancer);
        }
    }
}

/* ---- they learn ---- */

static void losses_fall(void **state)
{
    (void)state;
    for (int32_t method = 0; method < MTL_BALANCE_CUSTOM; method++) {
        balanced_setup setup = {.tasks = 2, .labels = BALANCED_ALL, .adam = 1};
        mtl_context *context = test_context();
        balanced_tasks t;
        mtl_balancer *balancer;
        open_balanced(context, &setup, method, &t, &balancer);
        double first = 0;
        double last = 0;
        for (int step = 0; step < 60; step++) {
            assert_ok(context, mtl_objective_step(t.objective, t.optimizer, balanced_tasks_evaluate, &t));
            double sum = mtl_objective_task_loss(t.objective, 0) + mtl_objective_task_loss(t.objective, 1);
            first = step == 0 ? sum : first;
            last = sum;
        }
        if (!(last < 0.85 * first)) {
            fail_msg("%s: %g after 60 steps, %g before", mtl_balance_method_name(method), last, first);
        }
        close_balanced(context, &t, balancer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_balancer_again_gives_the_same_bits),
        cmocka_unit_test(equal_weights_are_plain_training),
        cmocka_unit_test(a_balancer_has_one_objective),
        cmocka_unit_test(a_task_more_is_another_problem),
        cmocka_unit_test(steps_without_tasks_do_nothing),
        cmocka_unit_test(without_a_declaration_all_encoders_are_shared),
        cmocka_unit_test(an_encoder_of_one_task_is_its_own),
        cmocka_unit_test(what_is_tracked_stays_as_large),
        cmocka_unit_test(a_loss_that_is_no_number_is_an_error),
        cmocka_unit_test(custom_rules),
        cmocka_unit_test(a_monitor_may_not_take_the_balancer_away),
        cmocka_unit_test(penalties_are_added_as_they_are),
        cmocka_unit_test(later_steps_allocate_nothing),
        cmocka_unit_test(losses_fall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
