/* SPDX-License-Identifier: Apache-2.0
 * Penalties at the end of the range of float: whatever overflows is MTL_ERROR_NUMERIC and named, never an infinite
 * weight or gradient. */
#include "support.h"

#include <math.h>

#include <mtl/mtl.h>

enum { MOST_TASKS = 4, OUTPUTS = 3, FEATURES = 5, SIZE = OUTPUTS * FEATURES };

static const char *const names[MOST_TASKS] = {"north", "east", "south", "west"};

typedef struct fixture {
    mtl_context *context;
    int32_t count;
    mtl_model *model;
    mtl_head *heads[MOST_TASKS];
    mtl_objective *objective;
    mtl_optimizer *optimizer;
    mtl_gradients *gradients;
    mtl_tape *tape;
} fixture;

static void open_fixture(fixture *f, int32_t count)
{
    memset(f, 0, sizeof *f);
    f->count = count;
    f->context = test_context();
    assert_ok(f->context, mtl_model_create(f->context, NULL, &f->model));
    for (int32_t t = 0; t < count; t++) {
        assert_ok(f->context, mtl_head_create_regressor(f->context, FEATURES, OUTPUTS, NULL, &f->heads[t]));
        assert_ok(f->context, mtl_model_add_head(f->model, names[t], f->heads[t]));
    }
    assert_ok(f->context, mtl_objective_create(f->model, NULL, &f->objective));
    for (int32_t t = 0; t < count; t++) {
        assert_ok(f->context, mtl_objective_add_task(f->objective, names[t], 1));
    }
    assert_ok(f->context, mtl_optimizer_create_sgd(f->model, NULL, &f->optimizer));
    assert_ok(f->context, mtl_gradients_create(f->model, &f->gradients));
    assert_ok(f->context, mtl_tape_create(f->context, NULL, &f->tape));
}

static void close_fixture(fixture *f)
{
    mtl_tape_destroy(f->tape);
    mtl_gradients_destroy(f->gradients);
    mtl_optimizer_destroy(f->optimizer);
    mtl_objective_destroy(f->objective);
    mtl_model_destroy(f->model);
    for (int32_t t = 0; t < f->count; t++) {
        mtl_head_release(f->heads[t]);
    }
    mtl_context_release(f->context);
}

static mtl_tensor *weight_of(fixture *f, int32_t t)
{
    return mtl_head_parameter(f->heads[t], "weight");
}

/* Signs and sizes that differ from task to task, the largest `magnitude`. */
static void set_weights(fixture *f, double magnitude)
{
    for (int32_t t = 0; t < f->count; t++) {
        double values[SIZE];
        for (int i = 0; i < SIZE; i++) {
            values[i] = i == t ? magnitude : magnitude * sin(1.0 + 2.3 * i + 1.7 * t);
        }
        assert_ok(f->context, mtl_tensor_write(weight_of(f, t), MTL_FLOAT64, values, SIZE));
    }
}

static void fill_weights(fixture *f, double value)
{
    for (int32_t t = 0; t < f->count; t++) {
        double values[SIZE];
        for (int i = 0; i < SIZE; i++) {
            values[i] = value;
        }
        assert_ok(f->context, mtl_tensor_write(weight_of(f, t), MTL_FLOAT64, values, SIZE));
    }
}

static mtl_penalty *make(fixture *f, int32_t kind, int32_t setting, double coefficient, const double *graph)
{
    mtl_penalty *penalty = NULL;
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    options.kind = kind;
    options.form = kind == MTL_PENALTY_L2 ? setting : 0;
    options.unfolding = kind == MTL_PENALTY_TRACE_NORM ? setting : 0;
    options.group = kind == MTL_PENALTY_L21 || kind == MTL_PENALTY_LINF1 ? setting : 0;
    options.coefficient = coefficient;
    options.parameters = "weight";
    options.graph = graph;
    assert_ok(f->context, mtl_penalty_create(f->model, names, f->count, &options, &penalty));
    return penalty;
}

/* ---- gradients ---- */

typedef struct kind_case {
    int32_t kind, setting;
    bool may_be_large; /* the gradient does not grow with the weights */
} kind_case;

static const kind_case kind_cases[] = {
    {MTL_PENALTY_L2, MTL_L2_PAIRWISE, false},
    {MTL_PENALTY_L2, MTL_L2_MEAN, false},
    {MTL_PENALTY_L2, MTL_L2_RIDGE, false},
    {MTL_PENALTY_CLUSTERED, 0, false},
    {MTL_PENALTY_TRACE_NORM_DIFFERENCES, 0, true},
    {MTL_PENALTY_TRACE_NORM, MTL_UNFOLDING_TASKS, true},
    {MTL_PENALTY_TRACE_NORM, MTL_UNFOLDING_TUCKER, true},
    {MTL_PENALTY_TRACE_NORM, MTL_UNFOLDING_TENSOR_TRAIN, true},
    {MTL_PENALTY_L1, 0, true},
    {MTL_PENALTY_L21, MTL_GROUP_COORDINATE, true},
    {MTL_PENALTY_L21, MTL_GROUP_TASK, true},
    {MTL_PENALTY_LINF1, MTL_GROUP_ROW, true},
};

/* Penalties alone. MTL_OK: all gradients are finite and neither 0 nor NaN; else the error names the stack. */
static mtl_status check_backward(fixture *f, const kind_case *c, double magnitude, double coefficient)
{
    mtl_tensor *losses[MOST_TASKS] = {NULL};
    mtl_tape_reset(f->tape, MTL_TAPE_TRAIN);
    mtl_status status = mtl_objective_backward(f->objective, f->tape, losses, f->count, f->gradients);
    if (status != MTL_OK) {
        assert_fails(f->context, status, MTL_ERROR_NUMERIC, "mtl_objective_backward: the penalty 'MTL_PENALTY_");
        assert_fails(f->context, status, MTL_ERROR_NUMERIC, "of 'weight' overflows");
        return status;
    }
    for (int32_t t = 0; t < f->count; t++) {
        double g[SIZE];
        double largest = 0;
        assert_ok(f->context, mtl_gradients_read(f->gradients, weight_of(f, t), MTL_FLOAT64, g, SIZE));
        for (int i = 0; i < SIZE; i++) {
            if (!isfinite(g[i])) {
                fail_msg("kind %d, setting %d, %d tasks, weights %g, coefficient %g: gradient %g", c->kind, c->setting,
                         f->count, magnitude, coefficient, g[i]);
            }
            largest = fmax(largest, fabs(g[i]));
        }
        assert_true(largest > 0);
    }
    return status;
}

static void check_kind(const kind_case *c, int32_t count)
{
    static const double magnitudes[] = {1, 1e20, 1e30, 1e37, 1e38, 3.4e38};
    static const double coefficients[] = {1, 10, 1e-6, 1e37};
    for (int m = 0; m < 6; m++) {
        for (int k = 0; k < 4; k++) {
            fixture f;
            open_fixture(&f, count);
            set_weights(&f, magnitudes[m]);
            mtl_penalty *penalty = make(&f, c->kind, c->setting, coefficients[k], NULL);
            assert_ok(f.context, mtl_objective_add_penalty(f.objective, penalty));
            mtl_status status = check_backward(&f, c, magnitudes[m], coefficients[k]);
            if (magnitudes[m] <= 1e37 && coefficients[k] * fmax(magnitudes[m], 1) < 1e37) {
                assert_int_equal(status, MTL_OK);
            } else if (!c->may_be_large && coefficients[k] * magnitudes[m] > 1e40) {
                assert_int_equal(status, MTL_ERROR_NUMERIC);
            }
            mtl_penalty_destroy(penalty);
            close_fixture(&f);
        }
    }
}

static void gradients_that_overflow_are_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kind_cases / sizeof kind_cases[0]; i++) {
        check_kind(&kind_cases[i], 2);
        check_kind(&kind_cases[i], 4);
    }
}

/* Weights of the graph that are finite, but not with the factors before them. */
static void a_graph_that_overflows_is_an_error(void **state)
{
    (void)state;
    static const double graph[] = {0, 3e38, 3e38, 0};
    static const int32_t kinds[] = {MTL_PENALTY_L2, MTL_PENALTY_TRACE_NORM_DIFFERENCES};
    for (int k = 0; k < 2; k++) {
        fixture f;
        open_fixture(&f, 2);
        set_weights(&f, 1e-3);
        mtl_penalty *penalty = make(&f, kinds[k], 0, 1, graph);
        assert_ok(f.context, mtl_objective_add_penalty(f.objective, penalty));
        assert_int_equal(check_backward(&f, &kind_cases[0], 1e-3, 1), MTL_ERROR_NUMERIC);
        assert_ok(f.context, mtl_penalty_set_coefficient(penalty, 1e-3));
        assert_int_equal(check_backward(&f, &kind_cases[0], 1e-3, 1e-3), MTL_OK);
        mtl_penalty_destroy(penalty);
        close_fixture(&f);
    }
}

/* ---- splits ---- */

typedef struct split {
    mtl_penalty *parts[2];
    mtl_penalty *whole;
} split;

static split add_split(fixture *f)
{
    split s;
    s.parts[0] = make(f, MTL_PENALTY_LINF1, MTL_GROUP_COORDINATE, 1e-6, NULL);
    s.parts[1] = make(f, MTL_PENALTY_L1, 0, 1e-6, NULL);
    assert_ok(f->context, mtl_penalty_create_split(s.parts[0], s.parts[1], &s.whole));
    assert_ok(f->context, mtl_optimizer_add_proximal(f->optimizer, s.whole));
    return s;
}

static void drop_split(split *s)
{
    mtl_penalty_destroy(s->parts[0]);
    mtl_penalty_destroy(s->parts[1]);
    mtl_penalty_destroy(s->whole);
}

static mtl_status step_without_gradient(fixture *f)
{
    mtl_gradients_clear(f->gradients);
    return mtl_optimizer_step(f->optimizer, f->gradients);
}

static void read_all(fixture *f, const split *s, double parts[2][SIZE], double w[SIZE])
{
    for (int k = 0; k < 2; k++) {
        assert_ok(f->context, mtl_penalty_read(s->parts[k], 0, 1, parts[k], SIZE));
    }
    assert_ok(f->context, mtl_tensor_read(weight_of(f, 1), MTL_FLOAT64, w, SIZE));
}

/* The weights go from 3.0e38 to 3.3e38, so that the parts are 3.3e38 and 0.3e38: each is a float, their sum is not. */
static void a_sum_that_overflows_is_an_error(void **state)
{
    (void)state;
    fixture f;
    double before[2][SIZE], after[2][SIZE], w[SIZE];
    open_fixture(&f, 2);
    fill_weights(&f, 3.0e38);
    split s = add_split(&f);
    assert_ok(f.context, step_without_gradient(&f));
    read_all(&f, &s, before, w);
    fill_weights(&f, 3.3e38);
    assert_fails(f.context, step_without_gradient(&f), MTL_ERROR_NUMERIC,
                 "mtl_optimizer_step: the sum of the parts of 'north.weight' overflows");
    read_all(&f, &s, after, w);
    assert_memory_equal(before, after, sizeof before);
    for (int i = 0; i < SIZE; i++) {
        assert_true(w[i] == (double)3.3e38f);
    }
    fill_weights(&f, 3.1e38); /* both move by 0.1e38 */
    assert_ok(f.context, step_without_gradient(&f));
    read_all(&f, &s, after, w);
    for (int i = 0; i < SIZE; i++) {
        assert_near(w[i], 3.2e38, 3.2e38 * 0x1p-22);
    }
    drop_split(&s);
    close_fixture(&f);
}

/* With coefficient 0 a penalty finds no fault with weights; but a part would never lose a NaN. */
static void a_split_that_is_off_takes_no_nan_over(void **state)
{
    (void)state;
    static const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (int k = 0; k < 3; k++) {
        fixture f;
        double parts[2][SIZE], w[SIZE];
        open_fixture(&f, 2);
        set_weights(&f, 1);
        split s = add_split(&f);
        assert_ok(f.context, mtl_penalty_set_coefficient(s.whole, 0));
        fill_weights(&f, bad[k]);
        assert_ok(f.context, step_without_gradient(&f));
        read_all(&f, &s, parts, w);
        for (int i = 0; i < SIZE; i++) {
            assert_true(isfinite(parts[0][i]) && isfinite(parts[1][i]) && !isfinite(w[i]));
        }
        fill_weights(&f, 2);
        assert_ok(f.context, step_without_gradient(&f));
        read_all(&f, &s, parts, w);
        for (int i = 0; i < SIZE; i++) {
            assert_near(parts[0][i] + parts[1][i], 2, 0x1p-22); /* a difference and two sums of values up to 2 */
            assert_true(w[i] == 2);
        }
        drop_split(&s);
        close_fixture(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_that_overflow_are_errors),
        cmocka_unit_test(a_graph_that_overflows_is_an_error),
        cmocka_unit_test(a_sum_that_overflows_is_an_error),
        cmocka_unit_test(a_split_that_is_off_takes_no_nan_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
