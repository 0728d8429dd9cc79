/* SPDX-License-Identifier: Apache-2.0
 * Training with penalties: as terms of the objective, as proximal steps, split in two, lazy on embeddings, switched off. */
#include "soft_tasks.h"
#include "support.h"

#include <math.h>

enum { MOST = 512 };

typedef struct fixture {
    mtl_context *context;
    soft_tasks tasks;
    size_t size;
} fixture;

static void open_fixture(fixture *f, int use_adam, double rate)
{
    f->context = test_context();
    assert_ok(f->context, soft_tasks_create(f->context, use_adam, rate, &f->tasks));
    f->size = (size_t)soft_tasks_size(&f->tasks);
    assert_true(f->size <= MOST);
}

static void close_fixture(fixture *f)
{
    soft_tasks_destroy(&f->tasks);
    mtl_context_release(f->context);
}

static mtl_penalty *make(fixture *f, int32_t kind, const char *parameters, double coefficient, int32_t sparse)
{
    mtl_penalty *penalty;
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    options.kind = kind;
    options.form = kind == MTL_PENALTY_L2 ? MTL_L2_PAIRWISE : 0;
    options.parameters = parameters;
    options.coefficient = coefficient;
    options.sparse = sparse;
    assert_ok(f->context, mtl_penalty_create(f->tasks.model, soft_tasks_encoders, 2, &options, &penalty));
    return penalty;
}

static mtl_penalty *make_ridge(fixture *f, const char *parameters, double coefficient)
{
    mtl_penalty *penalty;
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    options.form = MTL_L2_RIDGE;
    options.parameters = parameters;
    options.coefficient = coefficient;
    assert_ok(f->context, mtl_penalty_create(f->tasks.model, soft_tasks_encoders, 2, &options, &penalty));
    return penalty;
}

/* As a term of the objective, or as a proximal step; the fixture's objects keep it. */
static void add_term(fixture *f, mtl_penalty *penalty)
{
    assert_ok(f->context, mtl_objective_add_penalty(f->tasks.objective, penalty));
    mtl_penalty_destroy(penalty);
}

static void add_proximal(fixture *f, mtl_penalty *penalty)
{
    assert_ok(f->context, mtl_optimizer_add_proximal(f->tasks.optimizer, penalty));
    mtl_penalty_destroy(penalty);
}

static mtl_tensor *parameter_of(fixture *f, int t, const char *name)
{
    return mtl_encoder_parameter(f->tasks.encoders[t], name);
}

static void read_parameter(fixture *f, int t, const char *name, double *values)
{
    mtl_tensor *parameter = parameter_of(f, t, name);
    assert_ok(f->context, mtl_tensor_read(parameter, MTL_FLOAT64, values, (size_t)mtl_tensor_size(parameter)));
}

/* A backward pass in which both tasks are absent: penalties alone. */
static mtl_status backward_without_tasks(fixture *f)
{
    mtl_tensor *losses[2] = {NULL, NULL};
    mtl_tape_reset(f->tasks.tape, MTL_TAPE_TRAIN);
    return mtl_objective_backward(f->tasks.objective, f->tasks.tape, losses, 2, f->tasks.gradients);
}

/* An update by no gradient, and the proximal steps. */
static mtl_status step_without_gradient(fixture *f)
{
    mtl_gradients_clear(f->tasks.gradients);
    return mtl_optimizer_step(f->tasks.optimizer, f->tasks.gradients);
}

static double soft_threshold(double x, double tau)
{
    double left = fabs(x) - tau;
    return left > 0 ? copysign(left, x) : 0;
}

/* Values below 1 after two or three operations in float. */
static const double few_roundings = 4 * 0x1p-24;

/* ---- terms of the objective ---- */

static void the_gradient_of_a_term_is_added(void **state)
{
    (void)state;
    fixture f;
    fixture plain;
    open_fixture(&f, 0, 0.1);
    open_fixture(&plain, 0, 0.1);
    mtl_penalty *penalty = make(&f, MTL_PENALTY_L2, NULL, 0.25, MTL_SPARSE_LAZY);
    assert_ok(f.context, mtl_objective_add_penalty(f.tasks.objective, penalty));
    assert_ok(f.context, soft_tasks_backward(&f.tasks));
    assert_ok(plain.context, soft_tasks_backward(&plain.tasks));
    static const char *const names[] = {"lstm.weight_ih_l0", "lstm.bias_hh_l0", "embedding.weight"};
    for (int k = 0; k < 3; k++) {
        double w[2][64];
        double with[2][64];
        double without[2][64];
        size_t n = (size_t)mtl_tensor_size(parameter_of(&f, 0, names[k]));
        for (int t = 0; t < 2; t++) {
            read_parameter(&f, t, names[k], w[t]);
            assert_ok(f.context,
                      mtl_gradients_read(f.tasks.gradients, parameter_of(&f, t, names[k]), MTL_FLOAT64, with[t], n));
            assert_ok(plain.context, mtl_gradients_read(plain.tasks.gradients, parameter_of(&plain, t, names[k]),
                                                        MTL_FLOAT64, without[t], n));
        }
        for (size_t i = 0; i < n; i++) {
            /* Σ over ordered pairs is 2 ‖W_0 - W_1‖², so 4 (W_0 - W_1); the embedding has no part in it. */
            double pull = k < 2 ? 0.25 * 4 * (w[0][i] - w[1][i]) : 0;
            assert_near(with[0][i] - without[0][i], pull, k < 2 ? few_roundings : 0);
            assert_near(with[1][i] - without[1][i], -pull, k < 2 ? few_roundings : 0);
        }
    }
    double value;
    assert_ok(f.context, mtl_penalty_value(penalty, &value));
    assert_true(value > 0.1);
    assert_near(mtl_objective_value(f.tasks.objective), mtl_objective_value(plain.tasks.objective) + value,
                value * 0x1p-50);
    assert_near(mtl_objective_task_loss(f.tasks.objective, 0), mtl_objective_task_loss(plain.tasks.objective, 0), 0);
    mtl_penalty_destroy(penalty);
    close_fixture(&f);
    close_fixture(&plain);
}

static void a_term_reaches_parameters_that_no_task_touched(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 0, 0.1);
    add_term(&f, make(&f, MTL_PENALTY_L2, "lstm.*,embedding.weight", 1, MTL_SPARSE_LAZY));
    assert_ok(f.context, backward_without_tasks(&f));
    for (int t = 0; t < 2; t++) {
        assert_int_equal(mtl_gradients_touched(f.tasks.gradients, parameter_of(&f, t, "lstm.weight_hh_l0")), 1);
        assert_int_equal(mtl_gradients_touched(f.tasks.gradients, parameter_of(&f, t, "embedding.weight")), 0);
        mtl_tensor *head = mtl_head_parameter(f.tasks.heads[t], "weight");
        assert_int_equal(mtl_gradients_touched(f.tasks.gradients, head), 0);
    }
    close_fixture(&f);
}

static double distance_after_training(int32_t kind, double coefficient)
{
    fixture f;
    open_fixture(&f, 1, 0.02);
    mtl_penalty *penalty = make(&f, kind, NULL, coefficient, MTL_SPARSE_LAZY);
    assert_ok(f.context, mtl_objective_add_penalty(f.tasks.objective, penalty));
    for (int step = 0; step < 60; step++) {
        assert_ok(f.context, soft_tasks_step(&f.tasks));
    }
    double distance;
    assert_ok(f.context, mtl_penalty_set_coefficient(penalty, 1));
    assert_ok(f.context, mtl_penalty_value(penalty, &distance));
    assert_true(isfinite(distance));
    mtl_penalty_destroy(penalty);
    close_fixture(&f);
    return distance;
}

static void terms_draw_two_encoders_together(void **state)
{
    (void)state;
    static const int32_t kinds[] = {MTL_PENALTY_L2, MTL_PENALTY_TRACE_NORM_DIFFERENCES, MTL_PENALTY_TRACE_NORM,
                                    MTL_PENALTY_L21};
    for (int k = 0; k < 4; k++) {
        double apart = distance_after_training(kinds[k], 0);
        double near = distance_after_training(kinds[k], 0.01);
        double nearer = distance_after_training(kinds[k], 0.3);
        if (!(nearer < 0.7 * apart && near < apart && nearer < near)) {
            fail_msg("kind %d: %g, %g, %g", (int)kinds[k], apart, near, nearer);
        }
    }
}

static void a_term_that_fails_leaves_no_gradients(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 0, 0.1);
    double before[MOST];
    double after[MOST];
    add_term(&f, make(&f, MTL_PENALTY_L2, "lstm.*", 1, MTL_SPARSE_LAZY));
    add_term(&f, make(&f, MTL_PENALTY_TRACE_NORM, "lstm.bias*", 1, MTL_SPARSE_LAZY));
    double values[16] = {0};
    values[7] = (double)NAN;
    assert_ok(f.context, mtl_tensor_write(parameter_of(&f, 1, "lstm.bias_hh_l0"), MTL_FLOAT64, values, 16));
    assert_ok(f.context, soft_tasks_weights(&f.tasks, before));
    assert_fails(f.context, backward_without_tasks(&f), MTL_ERROR_NUMERIC,
                 "mtl_objective_backward: the weights 'news.lstm.bias_hh_l0'");
    for (int64_t i = 0; i < mtl_model_num_parameters(f.tasks.model); i++) {
        assert_int_equal(mtl_gradients_touched(f.tasks.gradients, mtl_model_parameter(f.tasks.model, i)), 0);
    }
    assert_ok(f.context, soft_tasks_weights(&f.tasks, after));
    assert_memory_equal(before, after, f.size * sizeof before[0]);
    assert_ok(f.context, soft_tasks_set_weights(&f.tasks));
    assert_ok(f.context, soft_tasks_step(&f.tasks));
    close_fixture(&f);
}

typedef struct evaluation {
    fixture *f;
    mtl_penalty *late; /* to be added inside */
    mtl_status status;
} evaluation;

static mtl_status evaluate(void *user, mtl_tape *tape, int32_t draw, mtl_tensor **losses)
{
    (void)draw;
    evaluation *e = user;
    soft_tasks *s = &e->f->tasks;
    if (e->late) {
        e->status = mtl_objective_add_penalty(s->objective, e->late);
    }
    for (int t = 0; t < 2; t++) {
        mtl_tensor *features = mtl_encoder_forward(s->encoders[t], tape, s->inputs[t]);
        losses[t] = mtl_cross_entropy(tape, mtl_head_forward(s->heads[t], tape, features), s->labels[t], NULL);
    }
    return MTL_OK;
}

static void steps_by_callback_have_the_terms(void **state)
{
    (void)state;
    fixture a;
    fixture b;
    double left[MOST];
    double right[MOST];
    open_fixture(&a, 1, 0.01);
    open_fixture(&b, 1, 0.01);
    evaluation e = {&a, NULL, MTL_OK};
    add_term(&a, make(&a, MTL_PENALTY_L2, NULL, 0.1, MTL_SPARSE_LAZY));
    add_term(&b, make(&b, MTL_PENALTY_L2, NULL, 0.1, MTL_SPARSE_LAZY));
    for (int step = 0; step < 3; step++) {
        assert_ok(a.context, mtl_objective_step(a.tasks.objective, a.tasks.optimizer, evaluate, &e));
        assert_ok(b.context, soft_tasks_step(&b.tasks));
    }
    assert_ok(a.context, soft_tasks_weights(&a.tasks, left));
    assert_ok(b.context, soft_tasks_weights(&b.tasks, right));
    assert_memory_equal(left, right, a.size * sizeof left[0]);
    e.late = make(&a, MTL_PENALTY_L2, NULL, 0.1, MTL_SPARSE_LAZY);
    assert_ok(a.context, mtl_objective_step(a.tasks.objective, a.tasks.optimizer, evaluate, &e));
    assert_int_equal(e.status, MTL_ERROR_STATE);
    mtl_penalty_destroy(e.late);
    close_fixture(&a);
    close_fixture(&b);
}

/* ---- coefficient 0 ---- */

static void coefficient_0_is_no_penalty_bit_for_bit(void **state)
{
    (void)state;
    for (int use_adam = 0; use_adam < 2; use_adam++) {
        fixture f;
        fixture plain;
        double with[MOST];
        double without[MOST];
        open_fixture(&f, use_adam, 0.05);
        open_fixture(&plain, use_adam, 0.05);
        const char *all = "lstm.*,embedding.weight";
        for (int32_t kind = MTL_PENALTY_L2; kind <= MTL_PENALTY_CLUSTERED; kind++) {
            add_term(&f, make(&f, kind, all, 0, MTL_SPARSE_DENSE));
            add_proximal(&f, make(&f, kind, all, 0, MTL_SPARSE_DENSE));
        }
        add_term(&f, make(&f, MTL_PENALTY_L2, all, 0, MTL_SPARSE_LAZY));
        add_proximal(&f, make(&f, MTL_PENALTY_L1, all, 0, MTL_SPARSE_LAZY));
        mtl_penalty *whole;
        mtl_penalty *first = make(&f, MTL_PENALTY_LINF1, all, 1, MTL_SPARSE_DENSE);
        mtl_penalty *second = make(&f, MTL_PENALTY_L1, all, 1, MTL_SPARSE_DENSE);
        assert_ok(f.context, mtl_penalty_create_split(first, second, &whole));
        assert_ok(f.context, mtl_penalty_set_coefficient(whole, 0));
        mtl_penalty_destroy(first);
        mtl_penalty_destroy(second);
        add_proximal(&f, whole);
        for (int step = 0; step < 5; step++) {
            assert_ok(f.context, soft_tasks_step(&f.tasks));
            assert_ok(plain.context, soft_tasks_step(&plain.tasks));
            assert_near(mtl_objective_value(f.tasks.objective), mtl_objective_value(plain.tasks.objective), 0);
        }
        assert_ok(f.context, soft_tasks_weights(&f.tasks, with));
        assert_ok(plain.context, soft_tasks_weights(&plain.tasks, without));
        assert_memory_equal(with, without, f.size * sizeof with[0]);
        close_fixture(&f);
        close_fixture(&plain);
    }
}

/* ---- embeddings ---- */

static bool token_occurs(int t, int row)
{
    for (int k = 0; k < SOFT_TASKS_TOKENS; k++) {
        if (soft_tasks_tokens[t][k] == row) {
            return true;
        }
    }
    return false;
}

static void lazy_terms_act_on_the_rows_that_any_network_touched(void **state)
{
    (void)state;
    fixture f;
    fixture plain;
    open_fixture(&f, 0, 0.1);
    open_fixture(&plain, 0, 0.1);
    add_term(&f, make(&f, MTL_PENALTY_L2, "embedding.weight", 0.5, MTL_SPARSE_LAZY));
    assert_ok(f.context, soft_tasks_backward(&f.tasks));
    assert_ok(plain.context, soft_tasks_backward(&plain.tasks));
    enum { N = SOFT_TASKS_VOCABULARY * SOFT_TASKS_EMBEDDING };
    double w[2][N];
    for (int t = 0; t < 2; t++) {
        read_parameter(&f, t, "embedding.weight", w[t]);
    }
    double omega = 0;
    for (int t = 0; t < 2; t++) {
        double with[N];
        double without[N];
        const int32_t *rows = NULL;
        mtl_tensor *table = parameter_of(&f, t, "embedding.weight");
        assert_ok(f.context, mtl_gradients_read(f.tasks.gradients, table, MTL_FLOAT64, with, N));
        assert_ok(plain.context, mtl_gradients_read(plain.tasks.gradients, parameter_of(&plain, t, "embedding.weight"),
                                                    MTL_FLOAT64, without, N));
        int64_t count = mtl_gradients_rows(f.tasks.gradients, table, &rows);
        int64_t expected = 0;
        for (int r = 0; r < SOFT_TASKS_VOCABULARY; r++) {
            bool touched = token_occurs(0, r) || token_occurs(1, r);
            if (touched) {
                assert_true(expected < count);
                assert_int_equal(rows[expected], r);
                expected++;
            }
            for (int j = r * SOFT_TASKS_EMBEDDING; j < (r + 1) * SOFT_TASKS_EMBEDDING; j++) {
                double pull = touched ? 0.5 * 4 * (w[t][j] - w[1 - t][j]) : 0;
                assert_near(with[j] - without[j], pull, few_roundings);
                omega += touched ? 0.5 * (w[t][j] - w[1 - t][j]) * (w[t][j] - w[1 - t][j]) : 0;
            }
        }
        assert_int_equal(count, expected);
        assert_int_equal(expected, 7); /* 1 2 3 4 6 7 9 */
    }
    /* The value of the pass is that of the touched rows. */
    assert_near(mtl_objective_value(f.tasks.objective) - mtl_objective_value(plain.tasks.objective), omega,
                few_roundings * omega);
    close_fixture(&f);
    close_fixture(&plain);
}

static void dense_terms_act_on_all_rows(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 0, 0.1);
    add_term(&f, make(&f, MTL_PENALTY_L2, "embedding.weight", 0.5, MTL_SPARSE_DENSE));
    for (int pass = 0; pass < 2; pass++) { /* rows, or nothing, become dense */
        assert_ok(f.context, pass ? backward_without_tasks(&f) : soft_tasks_backward(&f.tasks));
        enum { N = SOFT_TASKS_VOCABULARY * SOFT_TASKS_EMBEDDING };
        double w[2][N];
        double g[N];
        for (int t = 0; t < 2; t++) {
            read_parameter(&f, t, "embedding.weight", w[t]);
        }
        mtl_tensor *table = parameter_of(&f, 0, "embedding.weight");
        assert_int_equal(mtl_gradients_rows(f.tasks.gradients, table, NULL), -1);
        assert_ok(f.context, mtl_gradients_read(f.tasks.gradients, table, MTL_FLOAT64, g, N));
        for (int j = 0; j < SOFT_TASKS_EMBEDDING; j++) { /* row 0 is in no sequence */
            assert_near(g[j], 0.5 * 4 * (w[0][j] - w[1][j]), few_roundings);
        }
    }
    close_fixture(&f);
}

static void two_lazy_terms_see_the_rows_of_the_tasks_only(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 0, 0.1);
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    options.kind = MTL_PENALTY_L1;
    options.parameters = "embedding.weight";
    mtl_penalty *alone;
    add_term(&f, make(&f, MTL_PENALTY_L2, "embedding.weight", 1, MTL_SPARSE_LAZY));
    assert_ok(f.context, mtl_penalty_create(f.tasks.model, soft_tasks_encoders, 1, &options, &alone));
    add_term(&f, alone);
    assert_ok(f.context, soft_tasks_backward(&f.tasks));
    double with[SOFT_TASKS_VOCABULARY * SOFT_TASKS_EMBEDDING];
    double w[2][SOFT_TASKS_VOCABULARY * SOFT_TASKS_EMBEDDING];
    read_parameter(&f, 0, "embedding.weight", w[0]);
    read_parameter(&f, 1, "embedding.weight", w[1]);
    assert_ok(f.context, mtl_gradients_read(f.tasks.gradients, parameter_of(&f, 0, "embedding.weight"), MTL_FLOAT64,
                                            with, sizeof with / sizeof with[0]));
    /* Row 6 is touched by the second task only: the term over both pulls it, the one over the first does not. */
    for (int j = 6 * SOFT_TASKS_EMBEDDING; j < 7 * SOFT_TASKS_EMBEDDING; j++) {
        assert_near(with[j], 4 * (w[0][j] - w[1][j]), 4 * few_roundings);
    }
    close_fixture(&f);
}

static void proximal_steps_on_embeddings(int32_t sparse)
{
    fixture f;
    fixture plain;
    enum { N = SOFT_TASKS_VOCABULARY * SOFT_TASKS_EMBEDDING };
    double with[N];
    double without[N];
    open_fixture(&f, 0, 0.1);
    open_fixture(&plain, 0, 0.1);
    add_proximal(&f, make(&f, MTL_PENALTY_L1, "embedding.weight", 2, sparse));
    assert_ok(f.context, soft_tasks_step(&f.tasks));
    assert_ok(plain.context, soft_tasks_step(&plain.tasks));
    for (int t = 0; t < 2; t++) {
        read_parameter(&f, t, "embedding.weight", with);
        read_parameter(&plain, t, "embedding.weight", without);
        for (int j = 0; j < N; j++) {
            int row = j / SOFT_TASKS_EMBEDDING;
            bool shrinks = sparse == MTL_SPARSE_DENSE || token_occurs(0, row) || token_occurs(1, row);
            assert_near(with[j], shrinks ? soft_threshold(without[j], 0.2) : without[j], shrinks ? few_roundings : 0);
        }
    }
    close_fixture(&f);
    close_fixture(&plain);
}

static void proximal_steps_are_lazy_or_dense(void **state)
{
    (void)state;
    proximal_steps_on_embeddings(MTL_SPARSE_LAZY);
    proximal_steps_on_embeddings(MTL_SPARSE_DENSE);
}

static void many_rows_go_piece_by_piece(void **state)
{
    (void)state;
    enum { ROWS = 300, TOKENS = 200 };
    mtl_context *context = test_context();
    const char *const names[] = {"a", "b"};
    mtl_encoder *e[2];
    mtl_model *model;
    mtl_lstm_options lstm = MTL_LSTM_OPTIONS_INIT;
    lstm.vocabulary_size = ROWS;
    lstm.embedding_dim = 2;
    lstm.hidden_dim = 2;
    assert_ok(context, mtl_model_create(context, NULL, &model));
    for (int t = 0; t < 2; t++) {
        assert_ok(context, mtl_encoder_create_lstm(context, &lstm, &e[t]));
        assert_ok(context, mtl_model_add_encoder(model, names[t], e[t]));
    }
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    options.parameters = "embedding.weight";
    mtl_penalty *penalty;
    mtl_objective *objective;
    mtl_gradients *gradients;
    mtl_tape *tape;
    mtl_tensor *inputs;
    assert_ok(context, mtl_penalty_create(model, names, 2, &options, &penalty));
    assert_ok(context, mtl_objective_create(model, NULL, &objective));
    assert_ok(context, mtl_objective_add_task(objective, "a", 1));
    assert_ok(context, mtl_objective_add_penalty(objective, penalty));
    assert_ok(context, mtl_gradients_create(model, &gradients));
    assert_ok(context, mtl_tape_create(context, NULL, &tape));
    int32_t tokens[TOKENS];
    const int64_t offsets[] = {0, TOKENS};
    for (int k = 0; k < TOKENS; k++) {
        tokens[k] = 299 - k;
    }
    assert_ok(context, mtl_tensor_create_ragged(context, 1, offsets, tokens, &inputs));
    mtl_tape_reset(tape, MTL_TAPE_TRAIN);
    mtl_tensor *loss = mtl_mean(tape, mtl_encoder_forward(e[0], tape, inputs));
    assert_ok(context, mtl_objective_backward(objective, tape, &loss, 1, gradients));
    static double w[2][2 * ROWS];
    static double g[2 * ROWS];
    for (int t = 0; t < 2; t++) {
        assert_ok(context,
                  mtl_tensor_read(mtl_encoder_parameter(e[t], "embedding.weight"), MTL_FLOAT64, w[t], 2 * ROWS));
    }
    /* The second network has the penalty's gradient alone. */
    mtl_tensor *second = mtl_encoder_parameter(e[1], "embedding.weight");
    assert_int_equal(mtl_gradients_rows(gradients, second, NULL), TOKENS);
    assert_ok(context, mtl_gradients_read(gradients, second, MTL_FLOAT64, g, 2 * ROWS));
    for (int j = 0; j < 2 * ROWS; j++) {
        double pull = j / 2 >= ROWS - TOKENS ? 4 * (w[1][j] - w[0][j]) : 0;
        assert_near(g[j], pull, 8 * few_roundings * (fabs(w[0][j]) + fabs(w[1][j])));
    }
    mtl_tensor_release(inputs);
    mtl_tape_destroy(tape);
    mtl_gradients_destroy(gradients);
    mtl_objective_destroy(objective);
    mtl_penalty_destroy(penalty);
    mtl_model_destroy(model);
    mtl_encoder_release(e[0]);
    mtl_encoder_release(e[1]);
    mtl_context_release(context);
}

/* ---- proximal steps ---- */

static void a_proximal_step_sees_the_schedule_and_the_group(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 0, 0.1);
    mtl_schedule_options schedule = MTL_SCHEDULE_OPTIONS_INIT;
    schedule.kind = MTL_SCHEDULE_STEP;
    schedule.period = 1;
    schedule.gamma = 0.5;
    assert_ok(f.context, mtl_optimizer_set_schedule(f.tasks.optimizer, &schedule));
    mtl_group_options group = MTL_GROUP_OPTIONS_INIT;
    group.learning_rate_scale = 0.5;
    assert_ok(f.context, mtl_optimizer_add_group(f.tasks.optimizer, "*.lstm.bias_*", &group, NULL));
    add_proximal(&f, make(&f, MTL_PENALTY_L1, "lstm.bias_ih_l0", 0.4, MTL_SPARSE_LAZY));
    double before[16];
    double after[16];
    double tau = 0.1 * 0.5 * 0.4;
    for (int step = 0; step < 3; step++) {
        read_parameter(&f, 1, "lstm.bias_ih_l0", before);
        assert_ok(f.context, step_without_gradient(&f));
        read_parameter(&f, 1, "lstm.bias_ih_l0", after);
        for (int i = 0; i < 16; i++) {
            assert_near(after[i], soft_threshold(before[i], tau), few_roundings);
        }
        tau /= 2;
    }
    group.learning_rate_scale = 0;
    assert_ok(f.context, mtl_optimizer_add_group(f.tasks.optimizer, "*.lstm.bias_*", &group, NULL));
    assert_ok(f.context, step_without_gradient(&f));
    read_parameter(&f, 1, "lstm.bias_ih_l0", before);
    assert_memory_equal(before, after, sizeof before);
    close_fixture(&f);
}

static void learning_rates_must_agree(void **state)
{
    (void)state;
    fixture f;
    double before[MOST];
    double after[MOST];
    open_fixture(&f, 1, 0.1);
    add_proximal(&f, make(&f, MTL_PENALTY_L1, "lstm.*", 0.4, MTL_SPARSE_LAZY));
    mtl_group_options group = MTL_GROUP_OPTIONS_INIT;
    group.learning_rate_scale = 0.5;
    assert_ok(f.context, mtl_optimizer_add_group(f.tasks.optimizer, "news.*", &group, NULL));
    assert_ok(f.context, soft_tasks_weights(&f.tasks, before));
    assert_fails(f.context, soft_tasks_step(&f.tasks), MTL_ERROR_STATE,
                 "1 for 'review.lstm.weight_ih_l0', 0.5 for 'news.lstm.weight_ih_l0'");
    assert_int_equal(mtl_optimizer_steps(f.tasks.optimizer), 0);
    assert_ok(f.context, soft_tasks_weights(&f.tasks, after));
    assert_memory_equal(before, after, f.size * sizeof before[0]);
    assert_ok(f.context, mtl_optimizer_add_group(f.tasks.optimizer, "review.*", &group, NULL));
    assert_ok(f.context, soft_tasks_step(&f.tasks));
    assert_int_equal(mtl_optimizer_steps(f.tasks.optimizer), 1);
    close_fixture(&f);
}

static void steps_follow_each_other_in_the_order_of_addition(void **state)
{
    (void)state;
    for (int order = 0; order < 2; order++) {
        fixture f;
        open_fixture(&f, 0, 0.1);
        mtl_penalty *sparse = make(&f, MTL_PENALTY_L1, "lstm.bias_ih_l0", 1, MTL_SPARSE_LAZY);
        mtl_penalty *ridge = make_ridge(&f, "lstm.bias_ih_l0", 5);
        double before[16];
        double after[16];
        add_proximal(&f, order ? ridge : sparse);
        add_proximal(&f, order ? sparse : ridge);
        read_parameter(&f, 0, "lstm.bias_ih_l0", before);
        assert_ok(f.context, step_without_gradient(&f));
        read_parameter(&f, 0, "lstm.bias_ih_l0", after);
        for (int i = 0; i < 16; i++) {
            /* argmin ½ (v - w)² + τ v² is w / (1 + 2 τ), here w / 2. */
            assert_near(after[i], order ? soft_threshold(before[i] / 2, 0.1) : soft_threshold(before[i], 0.1) / 2,
                        few_roundings);
        }
        close_fixture(&f);
    }
}

static void a_proximal_step_that_fails_names_the_weights(void **state)
{
    (void)state;
    static const int32_t sparse[] = {MTL_SPARSE_LAZY, MTL_SPARSE_DENSE};
    for (int k = 0; k < 2; k++) {
        fixture f;
        fixture plain;
        double with[MOST];
        double without[MOST];
        enum { N = SOFT_TASKS_VOCABULARY * SOFT_TASKS_EMBEDDING };
        double table[N];
        open_fixture(&f, 0, 0.1);
        open_fixture(&plain, 0, 0.1);
        /* The tables of both, one of which is not finite in a touched row. A pass would find NaN in the loss; so the
         * gradients are made first. */
        add_proximal(&f, make(&f, MTL_PENALTY_L21, "embedding.weight", 1, sparse[k]));
        assert_ok(f.context, soft_tasks_backward(&f.tasks));
        assert_ok(plain.context, soft_tasks_backward(&plain.tasks));
        read_parameter(&f, 0, "embedding.weight", table);
        table[9 * SOFT_TASKS_EMBEDDING] = (double)INFINITY;
        assert_ok(f.context, mtl_tensor_write(parameter_of(&f, 0, "embedding.weight"), MTL_FLOAT64, table, N));
        assert_ok(f.context, mtl_tensor_write(parameter_of(&plain, 0, "embedding.weight"), MTL_FLOAT64, table, N));
        assert_fails(f.context, mtl_optimizer_step(f.tasks.optimizer, f.tasks.gradients), MTL_ERROR_NUMERIC,
                     "mtl_optimizer_step: the weights 'review.embedding.weight'");
        assert_ok(plain.context, mtl_optimizer_step(plain.tasks.optimizer, plain.tasks.gradients));
        assert_ok(f.context, soft_tasks_weights(&f.tasks, with));
        assert_ok(plain.context, soft_tasks_weights(&plain.tasks, without));
        assert_memory_equal(with, without, f.size * sizeof with[0]);
        close_fixture(&f);
        close_fixture(&plain);
    }
}

/* ---- four linear tasks ---- */

enum { TASKS = 4, FEATURES = 6, ROWS = 24 };

typedef struct linear_tasks {
    mtl_context *context;
    mtl_model *model;
    mtl_head *heads[TASKS];
    mtl_objective *objective;
    mtl_optimizer *optimizer;
    mtl_gradients *gradients;
    mtl_tape *tape;
    mtl_tensor *inputs;
    mtl_tensor *targets[TASKS];
} linear_tasks;

static const char *const linear_names[TASKS] = {"north", "east", "south", "west"};

static double feature(int row, int j)
{
    return sin(1.0 + 1.7 * row + 2.9 * j + 0.37 * row * j);
}

/* Two directions, the second a third as strong, and a little of everything. */
static double true_weight(int task, int j)
{
    return (1.0 + 0.5 * task) * cos(1.0 * j) + 0.3 * (task % 2 ? -1 : 1) * sin(2.0 * j) +
           0.03 * cos(5.0 * task + 3.0 * j);
}

static void open_linear(linear_tasks *l)
{
    memset(l, 0, sizeof *l);
    mtl_context *context = l->context = test_context();
    assert_ok(context, mtl_model_create(context, NULL, &l->model));
    for (int t = 0; t < TASKS; t++) {
        assert_ok(context, mtl_head_create_regressor(context, FEATURES, 1, NULL, &l->heads[t]));
        assert_ok(context, mtl_model_add_head(l->model, linear_names[t], l->heads[t]));
    }
    assert_ok(context, mtl_objective_create(l->model, NULL, &l->objective));
    mtl_sgd_options sgd = MTL_SGD_OPTIONS_INIT;
    sgd.learning_rate = 0.2;
    assert_ok(context, mtl_optimizer_create_sgd(l->model, &sgd, &l->optimizer));
    assert_ok(context, mtl_gradients_create(l->model, &l->gradients));
    assert_ok(context, mtl_tape_create(context, NULL, &l->tape));
    double x[ROWS * FEATURES];
    for (int i = 0; i < ROWS * FEATURES; i++) {
        x[i] = feature(i / FEATURES, i % FEATURES);
    }
    const int64_t shape[] = {ROWS, FEATURES};
    const int64_t column[] = {ROWS, 1};
    assert_ok(context, mtl_tensor_create(context, MTL_FLOAT32, 2, shape, &l->inputs));
    assert_ok(context, mtl_tensor_write(l->inputs, MTL_FLOAT64, x, ROWS * FEATURES));
    for (int t = 0; t < TASKS; t++) {
        double y[ROWS] = {0};
        for (int i = 0; i < ROWS * FEATURES; i++) {
            y[i / FEATURES] += x[i] * true_weight(t, i % FEATURES);
        }
        assert_ok(context, mtl_objective_add_task(l->objective, linear_names[t], 1));
        assert_ok(context, mtl_tensor_create(context, MTL_FLOAT32, 2, column, &l->targets[t]));
        assert_ok(context, mtl_tensor_write(l->targets[t], MTL_FLOAT64, y, ROWS));
    }
}

static void close_linear(linear_tasks *l)
{
    mtl_tensor_release(l->inputs);
    for (int t = 0; t < TASKS; t++) {
        mtl_tensor_release(l->targets[t]);
        mtl_head_release(l->heads[t]);
    }
    mtl_tape_destroy(l->tape);
    mtl_gradients_destroy(l->gradients);
    mtl_optimizer_destroy(l->optimizer);
    mtl_objective_destroy(l->objective);
    mtl_model_destroy(l->model);
    mtl_context_release(l->context);
}

static mtl_penalty *make_linear(linear_tasks *l, int32_t kind, int32_t group, double coefficient)
{
    mtl_penalty *penalty;
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    options.kind = kind;
    options.group = group;
    options.coefficient = coefficient;
    options.parameters = "weight";
    assert_ok(l->context, mtl_penalty_create(l->model, linear_names, TASKS, &options, &penalty));
    return penalty;
}

static mtl_status linear_step(linear_tasks *l)
{
    mtl_tensor *losses[TASKS];
    mtl_tape_reset(l->tape, MTL_TAPE_TRAIN);
    for (int t = 0; t < TASKS; t++) {
        mtl_tensor *predictions = mtl_head_forward(l->heads[t], l->tape, l->inputs);
        losses[t] = mtl_mean_squared_error(l->tape, predictions, l->targets[t]);
    }
    mtl_status status = mtl_objective_backward(l->objective, l->tape, losses, TASKS, l->gradients);
    return status == MTL_OK ? mtl_optimizer_step(l->optimizer, l->gradients) : status;
}

static int64_t rank_after_training(double coefficient, bool as_term)
{
    linear_tasks l;
    open_linear(&l);
    mtl_penalty *penalty = make_linear(&l, MTL_PENALTY_TRACE_NORM, 0, coefficient);
    assert_ok(l.context, as_term ? mtl_objective_add_penalty(l.objective, penalty)
                                 : mtl_optimizer_add_proximal(l.optimizer, penalty));
    for (int step = 0; step < 300; step++) {
        assert_ok(l.context, linear_step(&l));
    }
    int64_t rank = -1;
    assert_ok(l.context, mtl_penalty_rank(penalty, 0, 0, 1e-6, &rank));
    mtl_penalty_destroy(penalty);
    close_linear(&l);
    return rank;
}

static void the_rank_falls_with_the_coefficient(void **state)
{
    (void)state;
    /* The ranks of the minima, found once with the singular value decomposition of LAPACK; no value but 0 is below 0.01. */
    static const double coefficients[] = {0, 0.05, 0.2, 1.5, 20};
    static const int64_t ranks[] = {4, 3, 2, 1, 0};
    for (int k = 0; k < 5; k++) {
        int64_t rank = rank_after_training(coefficients[k], false);
        if (rank != ranks[k]) {
            fail_msg("coefficient %g: rank %d, not %d", coefficients[k], (int)rank, (int)ranks[k]);
        }
    }
    assert_int_equal(rank_after_training(1.5, true), 4); /* a subgradient does not get there */
}

/* ---- split penalties ---- */

static void the_first_split_step_is_that_of_the_formula(void **state)
{
    (void)state;
    fixture f;
    fixture plain;
    open_fixture(&f, 0, 0.1);
    open_fixture(&plain, 0, 0.1);
    mtl_penalty *ridge = make_ridge(&f, "lstm.weight_ih_l0", 2);
    mtl_penalty *sparse = make(&f, MTL_PENALTY_L1, "lstm.weight_ih_l0", 0.02, MTL_SPARSE_LAZY);
    mtl_penalty *whole;
    assert_ok(f.context, mtl_penalty_create_split(ridge, sparse, &whole));
    assert_ok(f.context, mtl_penalty_set_coefficient(whole, 0.5));
    assert_ok(f.context, mtl_optimizer_add_proximal(f.tasks.optimizer, whole));
    double start[48];
    double moved[48];
    double w[48];
    double part[48];
    read_parameter(&f, 1, "lstm.weight_ih_l0", start);
    assert_ok(f.context, mtl_penalty_read(ridge, 0, 1, part, 48));
    assert_memory_equal(part, start, sizeof start);
    assert_ok(f.context, soft_tasks_step(&f.tasks));
    assert_ok(plain.context, soft_tasks_step(&plain.tasks));
    read_parameter(&f, 1, "lstm.weight_ih_l0", w);
    read_parameter(&plain, 1, "lstm.weight_ih_l0", moved);
    int zeros = 0;
    for (int i = 0; i < 48; i++) {
        double p = moved[i] / (1 + 2 * 0.1 * 0.5 * 2);
        double q = soft_threshold(moved[i] - start[i], 0.1 * 0.5 * 0.02);
        zeros += q == 0;
        assert_near(w[i], p + q, few_roundings);
    }
    assert_true(zeros > 0 && zeros < 48);
    double values[2];
    double sum;
    assert_ok(f.context, mtl_penalty_value(ridge, &values[0]));
    assert_ok(f.context, mtl_penalty_value(sparse, &values[1]));
    assert_ok(f.context, mtl_penalty_value(whole, &sum));
    assert_near(sum, 0.5 * (values[0] + values[1]), 0x1p-50 * sum);
    assert_true(values[0] > 0 && values[1] > 0);
    mtl_penalty_destroy(ridge);
    mtl_penalty_destroy(sparse);
    mtl_penalty_destroy(whole);
    close_fixture(&f);
    close_fixture(&plain);
}

/* The sum of the parts is the weights, to the bit. */
static void check_sum(linear_tasks *l, mtl_penalty *whole)
{
    for (int t = 0; t < TASKS; t++) {
        double parts[2][FEATURES];
        double sum[FEATURES];
        float weights[FEATURES];
        for (int32_t k = 0; k < 2; k++) {
            assert_ok(l->context, mtl_penalty_read(mtl_penalty_component(whole, k), 0, t, parts[k], FEATURES));
        }
        assert_ok(l->context, mtl_penalty_read(whole, 0, t, sum, FEATURES));
        assert_ok(l->context,
                  mtl_tensor_read(mtl_head_parameter(l->heads[t], "weight"), MTL_FLOAT32, weights, FEATURES));
        for (int i = 0; i < FEATURES; i++) {
            assert_true((float)parts[0][i] + (float)parts[1][i] == weights[i] && (double)weights[i] == sum[i]);
        }
    }
}

static void the_dirty_model_trains(void **state)
{
    (void)state;
    linear_tasks l;
    open_linear(&l);
    mtl_penalty *block = make_linear(&l, MTL_PENALTY_LINF1, MTL_GROUP_COORDINATE, 0.2);
    mtl_penalty *sparse = make_linear(&l, MTL_PENALTY_L1, 0, 0.15);
    mtl_penalty *whole;
    assert_ok(l.context, mtl_penalty_create_split(block, sparse, &whole));
    assert_ok(l.context, mtl_optimizer_add_proximal(l.optimizer, whole));
    check_sum(&l, whole);
    assert_ok(l.context, mtl_optimizer_set_learning_rate(l.optimizer, 0.1)); /* the sum moves twice as far */
    double first = 0;
    double last = 0;
    for (int step = 0; step < 300; step++) {
        assert_ok(l.context, linear_step(&l));
        double value;
        assert_ok(l.context, mtl_penalty_value(whole, &value));
        last = mtl_objective_value(l.objective) + value; /* the losses are those before the step: close enough */
        first = step == 0 ? last : first;
        check_sum(&l, whole);
    }
    assert_true(last < 0.7 * first);
    /* Both parts do something, and both have exact zeros. */
    int zeros[2] = {0, 0};
    for (int32_t k = 0; k < 2; k++) {
        double values[FEATURES];
        for (int t = 0; t < TASKS; t++) {
            assert_ok(l.context, mtl_penalty_read(mtl_penalty_component(whole, k), 0, t, values, FEATURES));
            for (int i = 0; i < FEATURES; i++) {
                zeros[k] += values[i] == 0;
            }
        }
        assert_true(zeros[k] < TASKS * FEATURES);
    }
    assert_true(zeros[0] + zeros[1] > 0);
    mtl_penalty_destroy(block);
    mtl_penalty_destroy(sparse);
    mtl_penalty_destroy(whole);
    close_linear(&l);
}

static void robust_low_rank_has_a_rank_of_its_own(void **state)
{
    (void)state;
    linear_tasks l;
    open_linear(&l);
    mtl_penalty *low = make_linear(&l, MTL_PENALTY_TRACE_NORM, 0, 0.3);
    mtl_penalty *odd = make_linear(&l, MTL_PENALTY_L21, MTL_GROUP_TASK, 0.25);
    mtl_penalty *whole;
    assert_ok(l.context, mtl_penalty_create_split(low, odd, &whole));
    assert_ok(l.context, mtl_optimizer_add_proximal(l.optimizer, whole));
    assert_ok(l.context, mtl_optimizer_set_learning_rate(l.optimizer, 0.1));
    for (int step = 0; step < 300; step++) {
        assert_ok(l.context, linear_step(&l));
    }
    int64_t rank;
    int64_t count;
    double values[TASKS];
    assert_ok(l.context, mtl_penalty_rank(low, 0, 0, 1e-6, &rank));
    assert_true(rank >= 1 && rank < TASKS);
    assert_ok(l.context, mtl_penalty_singular_values(whole, 0, 0, values, TASKS, &count));
    assert_int_equal(count, TASKS);
    check_sum(&l, whole);
    mtl_penalty_destroy(low);
    mtl_penalty_destroy(odd);
    mtl_penalty_destroy(whole);
    close_linear(&l);
}

static void a_split_step_that_fails_changes_neither_part(void **state)
{
    (void)state;
    linear_tasks l;
    open_linear(&l);
    mtl_penalty *block = make_linear(&l, MTL_PENALTY_LINF1, MTL_GROUP_COORDINATE, 0.2);
    mtl_penalty *sparse = make_linear(&l, MTL_PENALTY_L1, 0, 0.1);
    mtl_penalty *whole;
    assert_ok(l.context, mtl_penalty_create_split(block, sparse, &whole));
    assert_ok(l.context, mtl_optimizer_add_proximal(l.optimizer, whole));
    assert_ok(l.context, linear_step(&l));
    double before[2][FEATURES];
    double after[2][FEATURES];
    double bad[FEATURES] = {1, 2, (double)NAN, 3, 4, 5};
    double left[FEATURES];
    assert_ok(l.context, mtl_penalty_read(block, 0, 0, before[0], FEATURES));
    assert_ok(l.context, mtl_penalty_read(sparse, 0, 0, before[1], FEATURES));
    assert_ok(l.context, mtl_tensor_write(mtl_head_parameter(l.heads[2], "weight"), MTL_FLOAT64, bad, FEATURES));
    mtl_gradients_clear(l.gradients);
    assert_fails(l.context, mtl_optimizer_step(l.optimizer, l.gradients), MTL_ERROR_NUMERIC, "'south.weight'");
    assert_ok(l.context, mtl_penalty_read(block, 0, 0, after[0], FEATURES));
    assert_ok(l.context, mtl_penalty_read(sparse, 0, 0, after[1], FEATURES));
    assert_memory_equal(before, after, sizeof before);
    assert_ok(l.context, mtl_tensor_read(mtl_head_parameter(l.heads[2], "weight"), MTL_FLOAT64, left, FEATURES));
    assert_true(isnan(left[2]) && left[5] == 5);
    mtl_penalty_destroy(block);
    mtl_penalty_destroy(sparse);
    mtl_penalty_destroy(whole);
    close_linear(&l);
}

static void a_split_that_was_off_goes_on_without_a_jump(void **state)
{
    (void)state;
    linear_tasks l;
    open_linear(&l);
    mtl_penalty *block = make_linear(&l, MTL_PENALTY_LINF1, MTL_GROUP_COORDINATE, 1e-6);
    mtl_penalty *sparse = make_linear(&l, MTL_PENALTY_L1, 0, 1e-6);
    mtl_penalty *whole;
    assert_ok(l.context, mtl_penalty_create_split(block, sparse, &whole));
    assert_ok(l.context, mtl_optimizer_add_proximal(l.optimizer, whole));
    assert_ok(l.context, mtl_penalty_set_coefficient(whole, 0));
    for (int step = 0; step < 20; step++) {
        assert_ok(l.context, linear_step(&l));
    }
    double before[FEATURES];
    double after[FEATURES];
    assert_ok(l.context, mtl_penalty_read(whole, 0, 1, before, FEATURES));
    assert_ok(l.context, mtl_penalty_set_coefficient(whole, 1));
    mtl_gradients_clear(l.gradients);
    assert_ok(l.context, mtl_optimizer_step(l.optimizer, l.gradients));
    assert_ok(l.context, mtl_penalty_read(whole, 0, 1, after, FEATURES));
    assert_close(after, before, FEATURES, 1e-6, 1e-6); /* τ is 2e-7 for each part */
    mtl_penalty_destroy(block);
    mtl_penalty_destroy(sparse);
    mtl_penalty_destroy(whole);
    close_linear(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gradient_of_a_term_is_added),
        cmocka_unit_test(a_term_reaches_parameters_that_no_task_touched),
        cmocka_unit_test(terms_draw_two_encoders_together),
        cmocka_unit_test(a_term_that_fails_leaves_no_gradients),
        cmocka_unit_test(steps_by_callback_have_the_terms),
        cmocka_unit_test(coefficient_0_is_no_penalty_bit_for_bit),
        cmocka_unit_test(lazy_terms_act_on_the_rows_that_any_network_touched),
        cmocka_unit_test(dense_terms_act_on_all_rows),
        cmocka_unit_test(two_lazy_terms_see_the_rows_of_the_tasks_only),
        cmocka_unit_test(proximal_steps_are_lazy_or_dense),
        cmocka_unit_test(many_rows_go_piece_by_piece),
        cmocka_unit_test(a_proximal_step_sees_the_schedule_and_the_group),
        cmocka_unit_test(learning_rates_must_agree),
        cmocka_unit_test(steps_follow_each_other_in_the_order_of_addition),
        cmocka_unit_test(a_proximal_step_that_fails_names_the_weights),
        cmocka_unit_test(the_rank_falls_with_the_coefficient),
        cmocka_unit_test(the_first_split_step_is_that_of_the_formula),
        cmocka_unit_test(the_dirty_model_trains),
        cmocka_unit_test(robust_low_rank_has_a_rank_of_its_own),
        cmocka_unit_test(a_split_step_that_fails_changes_neither_part),
        cmocka_unit_test(a_split_that_was_off_goes_on_without_a_jump),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
