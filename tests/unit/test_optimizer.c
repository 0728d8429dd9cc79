/* SPDX-License-Identifier: Apache-2.0
 * Every rule beside a naive one in double, over many steps: dense and row-sparse, lazy and not, groups, weight decay,
 * clipping; and the errors. */
#include "support.h"

#include <math.h>

#include <mtl/encoder.h>
#include <mtl/head.h>
#include <mtl/optimizer.h>

#include "autograd/gradients.h"
#include "base/rng.h"
#include "nn/model.h"

/* The model: an LSTM encoder, of which only the table's gradient is ever set, and a head. */
enum { VOCABULARY = 7, EMBEDDING = 3, TABLE = VOCABULARY * EMBEDDING, HEAD = 4, STEPS = 40, SPARSE_ROWS = 3 };

typedef struct fixture {
    mtl_context *context;
    mtl_encoder *encoder;
    mtl_head *head;
    mtl_model *model;
    mtl_gradients *gradients;
    mtl_tensor *table;
    mtl_tensor *weight;
    mtli_rng rng;
} fixture;

static void open_fixture(fixture *f)
{
    f->context = test_context();
    mtl_lstm_options lstm = MTL_LSTM_OPTIONS_INIT;
    lstm.vocabulary_size = VOCABULARY;
    lstm.embedding_dim = EMBEDDING;
    lstm.hidden_dim = 2;
    assert_ok(f->context, mtl_encoder_create_lstm(f->context, &lstm, &f->encoder));
    assert_ok(f->context, mtl_head_create_classifier(f->context, 2, 2, NULL, &f->head));
    assert_ok(f->context, mtl_model_create(f->context, NULL, &f->model));
    assert_ok(f->context, mtl_model_add_encoder(f->model, "encoder", f->encoder));
    assert_ok(f->context, mtl_model_add_head(f->model, "head", f->head));
    assert_ok(f->context, mtl_gradients_create(f->model, &f->gradients));
    f->table = mtl_encoder_parameter(f->encoder, "embedding.weight");
    f->weight = mtl_head_parameter(f->head, "weight");
    mtli_rng_init(&f->rng, 3, 1);
}

static void close_fixture(fixture *f)
{
    mtl_gradients_destroy(f->gradients);
    mtl_model_destroy(f->model);
    mtl_head_release(f->head);
    mtl_encoder_release(f->encoder);
    mtl_context_release(f->context);
}

/* Gradients of one step: the head's are dense; the table's are in some rows, as one backward pass would leave them. */
typedef struct step_gradients {
    bool table_is_touched;
    bool touched[VOCABULARY];
    double table[TABLE];
    double weight[HEAD];
} step_gradients;

static void draw_step(fixture *f, int step, step_gradients *out)
{
    memset(out, 0, sizeof *out);
    for (int i = 0; i < HEAD; i++) {
        out->weight[i] = (double)(mtli_real)mtli_rng_normal(&f->rng);
    }
    out->table_is_touched = step % 5 != 3;
    for (int k = 0; k < SPARSE_ROWS && out->table_is_touched; k++) {
        int row = (int)mtli_rng_below(&f->rng, VOCABULARY);
        out->touched[row] = true;
        for (int j = 0; j < EMBEDDING; j++) {
            out->table[row * EMBEDDING + j] = (double)(mtli_real)mtli_rng_normal(&f->rng);
        }
    }
}

static void set_gradients(fixture *f, const step_gradients *step, bool rows)
{
    mtl_gradients_clear(f->gradients);
    bool fresh;
    mtli_real *weight = mtli_gradient_entry_dense(f->gradients, mtli_gradients_find(f->gradients, f->weight), &fresh);
    for (int i = 0; i < HEAD; i++) {
        weight[i] = (mtli_real)step->weight[i];
    }
    mtli_gradient_entry *entry = mtli_gradients_find(f->gradients, f->table);
    if (step->table_is_touched && !rows) {
        mtli_real *table = mtli_gradient_entry_dense(f->gradients, entry, &fresh);
        for (int i = 0; i < TABLE; i++) {
            table[i] = (mtli_real)step->table[i];
        }
    }
    for (int32_t r = 0; r < VOCABULARY && rows; r++) {
        mtli_real row[EMBEDDING];
        for (int j = 0; j < EMBEDDING; j++) {
            row[j] = (mtli_real)step->table[r * EMBEDDING + j];
        }
        if (step->touched[r]) {
            assert_ok(f->context, mtli_gradient_entry_add_rows(f->gradients, entry, &r, 1, row));
        }
    }
}

/* ---- the naive rules ---- */

typedef enum rule_kind { SGD, ADAM, ADAMW } rule_kind;

typedef struct setting {
    const char *name;
    rule_kind kind;
    double rate, momentum, decay, clip;
    bool nesterov;
    double beta1, beta2, epsilon;
    double head_scale, head_decay; /* of a group for the head; scale 1 and decay -1: none */
} setting;

static const setting settings[] = {
    {"sgd", SGD, 0.1, 0, 0, 0, false, 0, 0, 0, 1, -1},
    {"sgd with decay", SGD, 0.1, 0, 0.05, 0, false, 0, 0, 0, 1, -1},
    {"momentum", SGD, 0.05, 0.9, 0.01, 0, false, 0, 0, 0, 1, -1},
    {"nesterov", SGD, 0.05, 0.8, 0.01, 0, true, 0, 0, 0, 1, -1},
    {"clipped momentum", SGD, 0.05, 0.9, 0, 1.5, false, 0, 0, 0, 1, -1},
    {"adam", ADAM, 0.01, 0, 0, 0, false, 0.9, 0.999, 1e-8, 1, -1},
    {"adam with decay", ADAM, 0.01, 0, 0.1, 0, false, 0.8, 0.99, 1e-3, 1, -1},
    {"adam without moments", ADAM, 0.01, 0, 0, 0, false, 0, 0, 1e-2, 1, -1},
    {"adamw", ADAMW, 0.01, 0, 0.1, 0, false, 0.9, 0.999, 1e-8, 1, -1},
    {"clipped adamw", ADAMW, 0.01, 0, 0.1, 0.7, false, 0.9, 0.95, 1e-6, 1, -1},
    {"sgd with a group", SGD, 0.1, 0.5, 0.05, 0, false, 0, 0, 0, 0.25, 0.5},
    {"adam with a group", ADAMW, 0.01, 0, 0.1, 0, false, 0.9, 0.999, 1e-8, 3, 0},
    {"a group that stands still", ADAM, 0.01, 0, 0.1, 0, false, 0.9, 0.999, 1e-8, 0, -1},
};

typedef struct naive_state {
    double w[TABLE], first[TABLE], second[TABLE];
} naive_state;

static void naive_value(const setting *s, int t, double rate, double decay, double g, naive_state *state, int i)
{
    double w = state->w[i];
    if (s->kind != ADAMW) {
        g += decay * w;
    } else {
        w -= rate * decay * w;
    }
    if (s->kind == SGD) {
        state->first[i] = s->momentum * state->first[i] + g;
        double move = s->momentum == 0 ? g : s->nesterov ? g + s->momentum * state->first[i] : state->first[i];
        state->w[i] = w - rate * move;
        return;
    }
    state->first[i] = s->beta1 * state->first[i] + (1 - s->beta1) * g;
    state->second[i] = s->beta2 * state->second[i] + (1 - s->beta2) * g * g;
    double m = state->first[i] / (1 - pow(s->beta1, t));
    double v = state->second[i] / (1 - pow(s->beta2, t));
    state->w[i] = w - rate * m / (sqrt(v) + s->epsilon);
}

static double clip_factor(const setting *s, const step_gradients *step)
{
    double squares = 0;
    for (int i = 0; i < TABLE; i++) {
        squares += step->table[i] * step->table[i];
    }
    for (int i = 0; i < HEAD; i++) {
        squares += step->weight[i] * step->weight[i];
    }
    return s->clip > 0 && sqrt(squares) > s->clip ? s->clip / sqrt(squares) : 1;
}

static void naive_step(const setting *s, int t, const step_gradients *step, bool lazy, naive_state *table,
                       naive_state *head)
{
    double factor = clip_factor(s, step);
    for (int i = 0; i < TABLE && step->table_is_touched; i++) {
        if (!lazy || step->touched[i / EMBEDDING]) {
            naive_value(s, t, s->rate, s->decay, factor * step->table[i], table, i);
        }
    }
    for (int i = 0; i < HEAD && s->head_scale > 0; i++) {
        naive_value(s, t, s->rate * s->head_scale, s->head_decay < 0 ? s->decay : s->head_decay,
                    factor * step->weight[i], head, i);
    }
}

/* ---- beside them ---- */

static mtl_optimizer *make_optimizer(fixture *f, const setting *s, int32_t sparse)
{
    mtl_optimizer *optimizer = NULL;
    mtl_sgd_options sgd = MTL_SGD_OPTIONS_INIT;
    mtl_adam_options adam = MTL_ADAM_OPTIONS_INIT;
    sgd.learning_rate = adam.learning_rate = s->rate;
    sgd.weight_decay = adam.weight_decay = s->decay;
    sgd.clip_norm = adam.clip_norm = s->clip;
    sgd.sparse = adam.sparse = sparse;
    sgd.momentum = s->momentum;
    sgd.nesterov = s->nesterov;
    adam.beta1 = s->beta1;
    adam.beta2 = s->beta2;
    adam.epsilon = s->epsilon;
    mtl_status status = s->kind == SGD    ? mtl_optimizer_create_sgd(f->model, &sgd, &optimizer)
                        : s->kind == ADAM ? mtl_optimizer_create_adam(f->model, &adam, &optimizer)
                                          : mtl_optimizer_create_adamw(f->model, &adam, &optimizer);
    assert_ok(f->context, status);
    if (s->head_scale != 1 || s->head_decay >= 0) {
        mtl_group_options group = MTL_GROUP_OPTIONS_INIT;
        group.learning_rate_scale = s->head_scale;
        group.weight_decay = s->head_decay;
        int64_t matched = 0;
        assert_ok(f->context, mtl_optimizer_add_group(optimizer, "head.*", &group, &matched));
        assert_int_equal(matched, 2);
    }
    return optimizer;
}

/* Each step rounds w, its moments and a handful of intermediate values once or twice; an update is at most rate * 3 in
 * units of 1 (Adam's largest ratio here). Weights stay below 8: STEPS * (8 + some) * epsilon, and for Adam the rounding of
 * beta2, at most epsilon / 2 for each of STEPS factors, moves v by STEPS * epsilon / 2 of itself. Together below
 * STEPS * 16 * epsilon. */
static const double tolerance = STEPS * 16 * MTLI_REAL_EPSILON;

static void compare(fixture *f, const setting *s, int step, const naive_state *table, const naive_state *head)
{
    double values[TABLE];
    assert_ok(f->context, mtl_tensor_read(f->table, MTL_FLOAT64, values, TABLE));
    for (int i = 0; i < TABLE; i++) {
        if (!(fabs(values[i] - table->w[i]) <= tolerance)) {
            fail_msg("%s, step %d: table[%d] = %.9g, not %.9g", s->name, step, i, values[i], table->w[i]);
        }
    }
    assert_ok(f->context, mtl_tensor_read(f->weight, MTL_FLOAT64, values, HEAD));
    for (int i = 0; i < HEAD; i++) {
        if (!(fabs(values[i] - head->w[i]) <= tolerance)) {
            fail_msg("%s, step %d: weight[%d] = %.9g, not %.9g", s->name, step, i, values[i], head->w[i]);
        }
    }
}

static void run(const setting *s, int32_t sparse, bool rows)
{
    fixture f;
    open_fixture(&f);
    mtl_optimizer *optimizer = make_optimizer(&f, s, sparse);
    naive_state table = {{0}, {0}, {0}};
    naive_state head = {{0}, {0}, {0}};
    assert_ok(f.context, mtl_tensor_read(f.table, MTL_FLOAT64, table.w, TABLE));
    assert_ok(f.context, mtl_tensor_read(f.weight, MTL_FLOAT64, head.w, HEAD));
    double bias_before[2];
    double bias_after[2];
    assert_ok(f.context, mtl_tensor_read(mtl_head_parameter(f.head, "bias"), MTL_FLOAT64, bias_before, 2));
    for (int step = 0; step < STEPS; step++) {
        step_gradients drawn;
        draw_step(&f, step, &drawn);
        set_gradients(&f, &drawn, rows);
        assert_int_equal(mtl_optimizer_steps(optimizer), step);
        assert_ok(f.context, mtl_optimizer_step(optimizer, f.gradients));
        naive_step(s, step + 1, &drawn, rows && sparse == MTL_SPARSE_LAZY, &table, &head);
        compare(&f, s, step, &table, &head);
    }
    assert_ok(f.context, mtl_tensor_read(mtl_head_parameter(f.head, "bias"), MTL_FLOAT64, bias_after, 2));
    assert_memory_equal(bias_before, bias_after, sizeof bias_before); /* never touched, though decay is on */
    mtl_optimizer_destroy(optimizer);
    close_fixture(&f);
}

static void dense_gradients_follow_the_rule(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        run(&settings[i], MTL_SPARSE_LAZY, false);
    }
}

static void lazy_rows_follow_the_rule_where_touched(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        run(&settings[i], MTL_SPARSE_LAZY, true);
    }
}

static void dense_rows_follow_the_rule_everywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        run(&settings[i], MTL_SPARSE_DENSE, true);
    }
}

/* The first step of Adam is rate * g / |g|, whatever the betas: their roundings must not show. */
static void adams_first_step_is_the_rate(void **state)
{
    (void)state;
    const double betas[] = {0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999};
    for (size_t i = 0; i < sizeof betas / sizeof betas[0]; i++) {
        fixture f;
        open_fixture(&f);
        const double zeros[HEAD] = {0};
        const step_gradients step = {.weight = {1, -3, 0.25, 1e-3}};
        double after[HEAD];
        assert_ok(f.context, mtl_tensor_write(f.weight, MTL_FLOAT64, zeros, HEAD));
        setting s = {"adam", ADAM, 0.01, 0, 0, 0, false, 0.9, betas[i], 1e-30, 1, -1};
        mtl_optimizer *optimizer = make_optimizer(&f, &s, MTL_SPARSE_LAZY);
        set_gradients(&f, &step, true);
        assert_ok(f.context, mtl_optimizer_step(optimizer, f.gradients));
        assert_ok(f.context, mtl_tensor_read(f.weight, MTL_FLOAT64, after, HEAD));
        for (int k = 0; k < HEAD; k++) {
            /* A dozen operations, each rounded once. */
            assert_near(after[k], step.weight[k] > 0 ? -0.01 : 0.01, 12 * 0.01 * MTLI_REAL_EPSILON);
        }
        mtl_optimizer_destroy(optimizer);
        close_fixture(&f);
    }
}

/* ---- errors and queries ---- */

static void bad_gradients_change_nothing(void **state)
{
    (void)state;
    const mtli_real bad[] = {(mtli_real)NAN, (mtli_real)INFINITY, -(mtli_real)INFINITY};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        fixture f;
        open_fixture(&f);
        mtl_optimizer *optimizer = make_optimizer(&f, &settings[i], MTL_SPARSE_LAZY);
        const mtli_parameters *blocks[] = {((mtl_tensor *)f.table)->parameters, ((mtl_tensor *)f.weight)->parameters};
        for (size_t k = 0; k < 3; k++) {
            step_gradients drawn;
            draw_step(&f, 0, &drawn);
            set_gradients(&f, &drawn, true);
            mtli_gradients_find(f.gradients, f.weight)->dense[1] = bad[k];
            mtli_real before[2][512];
            for (int b = 0; b < 2; b++) {
                assert_in_range(blocks[b]->block_size, 1, 512);
                memcpy(before[b], blocks[b]->block, blocks[b]->block_size * sizeof(mtli_real));
            }
            assert_fails(f.context, mtl_optimizer_step(optimizer, f.gradients), MTL_ERROR_NUMERIC, "norm");
            assert_int_equal(mtl_optimizer_steps(optimizer), 0);
            for (int b = 0; b < 2; b++) {
                assert_memory_equal(before[b], blocks[b]->block, blocks[b]->block_size * sizeof(mtli_real));
            }
            assert_true(isnan(mtli_gradients_find(f.gradients, f.weight)->dense[1]) || k > 0); /* nor the gradients */
        }
        mtl_optimizer_destroy(optimizer);
        close_fixture(&f);
    }
}

static void the_last_matching_group_counts(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_optimizer *optimizer;
    mtl_sgd_options sgd = MTL_SGD_OPTIONS_INIT;
    sgd.learning_rate = 1;
    assert_ok(f.context, mtl_optimizer_create_sgd(f.model, &sgd, &optimizer));
    mtl_group_options still = MTL_GROUP_OPTIONS_INIT;
    still.learning_rate_scale = 0;
    mtl_group_options half = MTL_GROUP_OPTIONS_INIT;
    half.learning_rate_scale = 0.5;
    int64_t matched = -1;
    assert_ok(f.context, mtl_optimizer_add_group(optimizer, "*", &still, &matched));
    assert_int_equal(matched, 7);
    assert_ok(f.context, mtl_optimizer_add_group(optimizer, "head.w*", &half, NULL));
    step_gradients drawn;
    draw_step(&f, 0, &drawn);
    set_gradients(&f, &drawn, true);
    double before[TABLE];
    double after[TABLE];
    double weight_before[HEAD];
    double weight_after[HEAD];
    assert_ok(f.context, mtl_tensor_read(f.table, MTL_FLOAT64, before, TABLE));
    assert_ok(f.context, mtl_tensor_read(f.weight, MTL_FLOAT64, weight_before, HEAD));
    assert_ok(f.context, mtl_optimizer_step(optimizer, f.gradients));
    assert_ok(f.context, mtl_tensor_read(f.table, MTL_FLOAT64, after, TABLE));
    assert_ok(f.context, mtl_tensor_read(f.weight, MTL_FLOAT64, weight_after, HEAD));
    assert_memory_equal(before, after, sizeof before);
    for (int i = 0; i < HEAD; i++) {
        assert_near(weight_after[i], weight_before[i] - 0.5 * drawn.weight[i], 4 * MTLI_REAL_EPSILON * 4);
    }
    mtl_optimizer_destroy(optimizer);
    close_fixture(&f);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_optimizer *optimizer = NULL;
    const double not_positive[] = {0, -1, NAN, INFINITY};
    const double not_fractions[] = {-0.1, 1, 1.5, NAN, 1 - 1e-17};
    for (size_t i = 0; i < 4; i++) {
        mtl_sgd_options sgd = MTL_SGD_OPTIONS_INIT;
        sgd.learning_rate = not_positive[i];
        assert_fails(f.context, mtl_optimizer_create_sgd(f.model, &sgd, &optimizer), MTL_ERROR_ARGUMENT,
                     "mtl_optimizer_create_sgd: learning_rate");
        mtl_adam_options adam = MTL_ADAM_OPTIONS_INIT;
        adam.epsilon = not_positive[i];
        assert_fails(f.context, mtl_optimizer_create_adam(f.model, &adam, &optimizer), MTL_ERROR_ARGUMENT, "epsilon");
        if (i > 0) { /* 0 is allowed here */
            sgd = (mtl_sgd_options)MTL_SGD_OPTIONS_INIT;
            sgd.weight_decay = not_positive[i];
            assert_fails(f.context, mtl_optimizer_create_sgd(f.model, &sgd, &optimizer), MTL_ERROR_ARGUMENT, "decay");
            adam = (mtl_adam_options)MTL_ADAM_OPTIONS_INIT;
            adam.clip_norm = not_positive[i];
            assert_fails(f.context, mtl_optimizer_create_adamw(f.model, &adam, &optimizer), MTL_ERROR_ARGUMENT,
                         "mtl_optimizer_create_adamw: clip_norm");
        }
    }
    for (size_t i = 0; i < 5; i++) {
        mtl_sgd_options sgd = MTL_SGD_OPTIONS_INIT;
        sgd.momentum = not_fractions[i];
        assert_fails(f.context, mtl_optimizer_create_sgd(f.model, &sgd, &optimizer), MTL_ERROR_ARGUMENT, "momentum");
        mtl_adam_options adam = MTL_ADAM_OPTIONS_INIT;
        adam.beta1 = not_fractions[i];
        assert_fails(f.context, mtl_optimizer_create_adam(f.model, &adam, &optimizer), MTL_ERROR_ARGUMENT, "beta1");
        adam = (mtl_adam_options)MTL_ADAM_OPTIONS_INIT;
        adam.beta2 = not_fractions[i];
        assert_fails(f.context, mtl_optimizer_create_adam(f.model, &adam, &optimizer), MTL_ERROR_ARGUMENT, "beta2");
    }
    mtl_sgd_options sgd = MTL_SGD_OPTIONS_INIT;
    sgd.nesterov = 1;
    assert_fails(f.context, mtl_optimizer_create_sgd(f.model, &sgd, &optimizer), MTL_ERROR_ARGUMENT, "nesterov");
    sgd = (mtl_sgd_options)MTL_SGD_OPTIONS_INIT;
    sgd.sparse = 2;
    assert_fails(f.context, mtl_optimizer_create_sgd(f.model, &sgd, &optimizer), MTL_ERROR_ARGUMENT, "sparse = 2");
    sgd = (mtl_sgd_options)MTL_SGD_OPTIONS_INIT;
    sgd.struct_size = 16;
    assert_fails(f.context, mtl_optimizer_create_sgd(f.model, &sgd, &optimizer), MTL_ERROR_ARGUMENT, "struct_size");
    mtl_adam_options adam = MTL_ADAM_OPTIONS_INIT;
    adam.reserved0 = 1;
    assert_fails(f.context, mtl_optimizer_create_adam(f.model, &adam, &optimizer), MTL_ERROR_UNSUPPORTED, "reserved0");
    adam = (mtl_adam_options)MTL_ADAM_OPTIONS_INIT;
    adam.epsilon = 1e-60; /* 0 where it would be used */
    assert_fails(f.context, mtl_optimizer_create_adam(f.model, &adam, &optimizer),
                 sizeof(mtli_real) == 4 ? MTL_ERROR_ARGUMENT : MTL_OK, sizeof(mtli_real) == 4 ? "epsilon" : "");
    assert_fails(f.context, mtl_optimizer_create_sgd(f.model, NULL, NULL), MTL_ERROR_ARGUMENT, "out");
    assert_int_equal(mtl_optimizer_create_sgd(NULL, NULL, &optimizer), MTL_ERROR_ARGUMENT);
    mtl_optimizer_destroy(optimizer);
    close_fixture(&f);
}

static void bad_calls_are_refused(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_optimizer *optimizer;
    assert_ok(f.context, mtl_optimizer_create_adam(f.model, NULL, &optimizer));
    mtl_model *other;
    mtl_gradients *foreign;
    assert_ok(f.context, mtl_model_create(f.context, NULL, &other));
    assert_ok(f.context, mtl_model_add_head(other, "head", f.head));
    assert_ok(f.context, mtl_gradients_create(other, &foreign));
    assert_fails(f.context, mtl_optimizer_step(optimizer, foreign), MTL_ERROR_ARGUMENT, "model");
    assert_fails(f.context, mtl_optimizer_step(optimizer, NULL), MTL_ERROR_ARGUMENT, "gradients");
    assert_int_equal(mtl_optimizer_step(NULL, foreign), MTL_ERROR_ARGUMENT);
    assert_int_equal(mtl_optimizer_steps(optimizer), 0);
    mtl_group_options group = MTL_GROUP_OPTIONS_INIT;
    int64_t matched = 7;
    assert_fails(f.context, mtl_optimizer_add_group(optimizer, "nothing.*", &group, &matched), MTL_ERROR_ARGUMENT,
                 "nothing.*");
    assert_fails(f.context, mtl_optimizer_add_group(optimizer, NULL, &group, NULL), MTL_ERROR_ARGUMENT, "pattern");
    assert_fails(f.context, mtl_optimizer_add_group(optimizer, "*", NULL, NULL), MTL_ERROR_ARGUMENT, "options");
    group.learning_rate_scale = -1;
    assert_fails(f.context, mtl_optimizer_add_group(optimizer, "*", &group, &matched), MTL_ERROR_ARGUMENT, "scale");
    group = (mtl_group_options)MTL_GROUP_OPTIONS_INIT;
    group.weight_decay = NAN;
    assert_fails(f.context, mtl_optimizer_add_group(optimizer, "*", &group, &matched), MTL_ERROR_ARGUMENT, "decay");
    assert_int_equal(matched, 7);
    assert_fails(f.context, mtl_optimizer_set_learning_rate(optimizer, 0), MTL_ERROR_ARGUMENT,
                 "mtl_optimizer_set_learning_rate: learning_rate = 0");
    assert_near(mtl_optimizer_learning_rate(optimizer), 0.001, 0);
    mtl_optimizer_destroy(optimizer);
    mtl_gradients_destroy(foreign);
    mtl_model_destroy(other);
    close_fixture(&f);
}

static void works_after_its_model_is_gone(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_optimizer *optimizer = make_optimizer(&f, &settings[5], MTL_SPARSE_LAZY);
    step_gradients drawn;
    draw_step(&f, 0, &drawn);
    set_gradients(&f, &drawn, true);
    mtl_model_destroy(f.model);
    mtl_encoder_release(f.encoder);
    mtl_head_release(f.head);
    f.model = NULL;
    f.encoder = NULL;
    f.head = NULL;
    assert_ok(f.context, mtl_optimizer_step(optimizer, f.gradients));
    mtl_group_options group = MTL_GROUP_OPTIONS_INIT;
    assert_ok(f.context, mtl_optimizer_add_group(optimizer, "head.bias", &group, NULL));
    mtl_optimizer_destroy(optimizer);
    close_fixture(&f);
}

static void an_empty_model_steps(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_model *model;
    mtl_optimizer *optimizer;
    mtl_gradients *gradients;
    assert_ok(context, mtl_model_create(context, NULL, &model));
    assert_ok(context, mtl_optimizer_create_adam(model, NULL, &optimizer));
    assert_ok(context, mtl_gradients_create(model, &gradients));
    assert_ok(context, mtl_optimizer_step(optimizer, gradients));
    assert_int_equal(mtl_optimizer_steps(optimizer), 1);
    mtl_gradients_destroy(gradients);
    mtl_optimizer_destroy(optimizer);
    mtl_model_destroy(model);
    mtl_context_release(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_gradients_follow_the_rule),
        cmocka_unit_test(lazy_rows_follow_the_rule_where_touched),
        cmocka_unit_test(dense_rows_follow_the_rule_everywhere),
        cmocka_unit_test(adams_first_step_is_the_rate),
        cmocka_unit_test(bad_gradients_change_nothing),
        cmocka_unit_test(the_last_matching_group_counts),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(bad_calls_are_refused),
        cmocka_unit_test(works_after_its_model_is_gone),
        cmocka_unit_test(an_empty_model_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
