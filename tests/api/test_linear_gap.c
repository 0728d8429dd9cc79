/* SPDX-License-Identifier: Apache-2.0
 * What mtl_linear_fit() tells of its solutions: the duality gap is a bound for every penalty that has one, and the
 * objective is that of the weights. */
#include "linear_tasks.h"
#include "support.h"

#include <math.h>

static const int64_t gap_rows[] = {9, 17, 40, 5, 23};

static linear_tasks make_tasks(mtl_context *context, int32_t count, int64_t features, int kind)
{
    linear_tasks tasks;
    assert_ok(context, linear_tasks_create(context, count, features, gap_rows, kind, &tasks));
    return tasks;
}

static mtl_penalty *make(const linear_tasks *tasks, int32_t kind, int32_t setting, double coefficient)
{
    mtl_penalty *penalty = NULL;
    assert_ok(tasks->context, linear_tasks_penalty(tasks, kind, setting, coefficient, &penalty));
    return penalty;
}

static void finish(linear_tasks *tasks)
{
    mtl_context *context = tasks->context;
    linear_tasks_destroy(tasks);
    mtl_context_release(context);
}

typedef struct penalty_case {
    int32_t kind, setting;
    int32_t other, other_setting; /* of a split; -1: none */
    double coefficient, other_coefficient;
} penalty_case;

static const penalty_case gap_cases[] = {
    {MTL_PENALTY_L1, 0, -1, 0, 0.03, 0},
    {MTL_PENALTY_L21, MTL_GROUP_COORDINATE, -1, 0, 0.05, 0},
    {MTL_PENALTY_L21, MTL_GROUP_ROW, -1, 0, 0.05, 0},
    {MTL_PENALTY_L21, MTL_GROUP_COLUMN, -1, 0, 0.05, 0},
    {MTL_PENALTY_L21, MTL_GROUP_TASK, -1, 0, 0.05, 0},
    {MTL_PENALTY_LINF1, MTL_GROUP_COORDINATE, -1, 0, 0.1, 0},
    {MTL_PENALTY_LINF1, MTL_GROUP_ROW, -1, 0, 0.1, 0},
    {MTL_PENALTY_LINF1, MTL_GROUP_COLUMN, -1, 0, 0.1, 0},
    {MTL_PENALTY_LINF1, MTL_GROUP_TASK, -1, 0, 0.1, 0},
    {MTL_PENALTY_TRACE_NORM, MTL_UNFOLDING_TASKS, -1, 0, 0.1, 0},
    {MTL_PENALTY_CLUSTERED, 1, -1, 0, 0.05, 0},
    {MTL_PENALTY_CLUSTERED, 2, -1, 0, 0.02, 0},
    {MTL_PENALTY_LINF1, MTL_GROUP_COORDINATE, MTL_PENALTY_L1, 0, 0.1, 0.04},
    {MTL_PENALTY_TRACE_NORM, MTL_UNFOLDING_TASKS, MTL_PENALTY_L21, MTL_GROUP_TASK, 0.1, 0.06},
    {MTL_PENALTY_TRACE_NORM, MTL_UNFOLDING_TASKS, MTL_PENALTY_L1, 0, 0.1, 0.04},
    {MTL_PENALTY_L21, MTL_GROUP_COORDINATE, MTL_PENALTY_L21, MTL_GROUP_TASK, 0.05, 0.06},
    {MTL_PENALTY_TRACE_NORM, MTL_UNFOLDING_TASKS, MTL_PENALTY_L2, MTL_L2_RIDGE, 0.1, 0.2},
    {MTL_PENALTY_CLUSTERED, 1, MTL_PENALTY_L1, 0, 0.05, 0.04},
};

/* Fills penalties: that of the case, then squared distances. */
static int32_t make_case(const linear_tasks *tasks, const penalty_case *c, bool distances, mtl_penalty *penalties[3])
{
    mtl_penalty *first = make(tasks, c->kind, c->setting, c->coefficient);
    penalties[0] = first;
    if (c->other >= 0) {
        mtl_penalty *second = make(tasks, c->other, c->other_setting, c->other_coefficient);
        assert_ok(tasks->context, mtl_penalty_create_split(first, second, &penalties[0]));
        mtl_penalty_destroy(first);
        mtl_penalty_destroy(second);
    }
    if (distances) {
        penalties[1] = make(tasks, MTL_PENALTY_L2, MTL_L2_MEAN, 0.05);
        penalties[2] = make(tasks, MTL_PENALTY_L2, MTL_L2_RIDGE, 0.01);
    }
    return distances ? 3 : 1;
}

/* A rough solution's gap is an upper bound on what it lacks of the minimum, and falls with the tolerance. */
static void check_gap(const penalty_case *c, int kind, bool distances)
{
    linear_tasks tasks = make_tasks(test_context(), 5, 6, kind);
    mtl_penalty *penalties[3];
    int32_t count = make_case(&tasks, c, distances, penalties);
    mtl_linear_options options = MTL_LINEAR_OPTIONS_INIT;
    mtl_linear_report exact = MTL_LINEAR_REPORT_INIT, rough = MTL_LINEAR_REPORT_INIT;
    options.tolerance = 1e-10;
    assert_ok(tasks.context, linear_tasks_fit(&tasks, penalties, count, &options, &exact));
    assert_true(exact.converged && exact.criterion == MTL_CRITERION_GAP);
    assert_true(exact.gap >= 0 && exact.gap <= 1e-10 * exact.objective);
    const double begin[30] = {0.3, -1, 2, 0.5, -0.2, 1, 1, -3, 0.1};
    for (int64_t iterations = 0; iterations < 40; iterations = 3 * iterations + 1) {
        options.max_iterations = iterations;
        assert_ok(tasks.context, linear_tasks_write(&tasks, begin, begin));
        assert_ok(tasks.context, linear_tasks_fit(&tasks, penalties, count, &options, &rough));
        assert_true(rough.iterations <= iterations);
        double excess = rough.objective - exact.objective;
        assert_true(excess >= -exact.gap - 1e-14);
        assert_true(excess <= rough.gap + 1e-14);
    }
    for (int32_t k = 0; k < count; k++) {
        mtl_penalty_destroy(penalties[k]);
    }
    finish(&tasks);
}

static void the_gap_bounds_what_is_missing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof gap_cases / sizeof gap_cases[0]; i++) {
        for (int kind = LINEAR_REGRESSION; kind <= LINEAR_MIXED; kind++) {
            check_gap(&gap_cases[i], kind, false);
            check_gap(&gap_cases[i], kind, true);
        }
    }
}

/* ---- the report is about the weights that are there ---- */

/* Loss and penalties again, from the heads' float32 weights by naive loops and mtl_penalty_value(). Rounding the
 * weights by 6e-8 moves the loss by the gradient times that, and a norm by 6e-8 of itself. */
static void the_objective_is_that_of_the_weights(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof gap_cases / sizeof gap_cases[0]; i++) {
        linear_tasks tasks = make_tasks(test_context(), 5, 6, LINEAR_MIXED);
        mtl_penalty *penalties[3];
        int32_t count = make_case(&tasks, &gap_cases[i], true, penalties);
        mtl_linear_report report = MTL_LINEAR_REPORT_INIT;
        assert_ok(tasks.context, linear_tasks_fit(&tasks, penalties, count, NULL, &report));
        double w[30], b[5], loss = 0, penalty = 0, value;
        assert_ok(tasks.context, linear_tasks_read(&tasks, w, b));
        for (int t = 0; t < 5; t++) {
            loss += linear_tasks_loss(&tasks, t, w + 6 * t, b[t], NULL);
        }
        for (int32_t k = 0; k < count; k++) {
            assert_ok(tasks.context, mtl_penalty_value(penalties[k], &value));
            penalty += value;
        }
        assert_near(report.loss, loss, 3e-6);
        assert_near(report.penalty, penalty, 3e-6);
        for (int32_t t = 0; gap_cases[i].other >= 0 && t < 5; t++) { /* the parts add up to the weights */
            double p[6], q[6];
            assert_ok(tasks.context, mtl_penalty_read(mtl_penalty_component(penalties[0], 0), 0, t, p, 6));
            assert_ok(tasks.context, mtl_penalty_read(mtl_penalty_component(penalties[0], 1), 0, t, q, 6));
            for (int j = 0; j < 6; j++) {
                assert_near(w[6 * t + j], p[j] + q[j], 2e-7 * (fabs(p[j]) + fabs(q[j])) + 1e-12);
            }
        }
        for (int32_t k = 0; k < count; k++) {
            mtl_penalty_destroy(penalties[k]);
        }
        finish(&tasks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gap_bounds_what_is_missing),
        cmocka_unit_test(the_objective_is_that_of_the_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
