/* SPDX-License-Identifier: Apache-2.0
 * Linear fits: rows and numbers of tasks, warm starts, threads, missing targets, the report, and each way to go wrong.
 * */
#include "linear_tasks.h"
#include "support.h"

#include <math.h>

static const int64_t some_rows[] = {9, 17, 40, 5, 23};

static linear_tasks open_tasks(int32_t count, int64_t features, int kind)
{
    linear_tasks tasks;
    mtl_context *context = test_context();
    int64_t rows[LINEAR_MOST_TASKS];
    for (int32_t t = 0; t < count; t++) {
        rows[t] = some_rows[t % 5] + t / 5 % 7;
    }
    assert_ok(context, linear_tasks_create(context, count, features, rows, kind, &tasks));
    return tasks;
}

static void close_tasks(linear_tasks *tasks)
{
    mtl_context *context = tasks->context;
    linear_tasks_destroy(tasks);
    mtl_context_release(context);
}

static mtl_penalty *make_one(const linear_tasks *tasks, int32_t kind, int32_t setting, double coefficient)
{
    mtl_penalty *penalty = NULL;
    assert_ok(tasks->context, linear_tasks_penalty(tasks, kind, setting, coefficient, &penalty));
    return penalty;
}

/* ---- any number of tasks ---- */

static void one_two_and_many_tasks(void **state)
{
    (void)state;
    static const int32_t counts[] = {1, 2, 139};
    for (int i = 0; i < 3; i++) {
        for (int kind = LINEAR_REGRESSION; kind <= LINEAR_MIXED; kind++) {
            linear_tasks tasks = open_tasks(counts[i], 7, kind);
            mtl_penalty *penalty = make_one(&tasks, MTL_PENALTY_TRACE_NORM, 0, 0.05);
            mtl_linear_report report = MTL_LINEAR_REPORT_INIT;
            assert_ok(tasks.context, linear_tasks_fit(&tasks, &penalty, 1, NULL, &report));
            assert_true(report.converged && report.gap <= 1e-6 * report.objective);
            /* Zero weights are feasible: the minimum is below the loss of the biases alone, and tasks are held
             * together. */
            double zeros[7] = {0}, loss = 0, w[139 * 7], b[139];
            assert_ok(tasks.context, linear_tasks_read(&tasks, w, b));
            for (int32_t t = 0; t < counts[i]; t++) {
                loss += linear_tasks_loss(&tasks, t, zeros, 0, NULL);
            }
            assert_true(report.objective < loss);
            mtl_penalty_destroy(penalty);
            close_tasks(&tasks);
        }
    }
}

/* A task's weight is a factor on its loss: 0 as if it had no rows, 3 with the sum as if its rows stood there three
 * times. */
static void task_weights_count_rows(void **state)
{
    (void)state;
    linear_tasks tasks = open_tasks(2, 3, LINEAR_REGRESSION);
    mtl_penalty *penalty = make_one(&tasks, MTL_PENALTY_TRACE_NORM, 0, 0.7);
    mtl_linear_options options = MTL_LINEAR_OPTIONS_INIT;
    double x[17 * 3 * 3], y[17 * 3], weighted[6], repeated[6];
    double lambda[] = {1, 3};
    options.tolerance = 1e-13;
    options.reduction = MTL_REDUCTION_SUM;
    options.task_weights = lambda;
    assert_ok(tasks.context, linear_tasks_fit(&tasks, &penalty, 1, &options, NULL));
    assert_ok(tasks.context, linear_tasks_read(&tasks, weighted, NULL));
    assert_ok(tasks.context, mtl_tensor_read(tasks.x[1], MTL_FLOAT64, x, 17 * 3));
    assert_ok(tasks.context, mtl_tensor_read(tasks.y[1], MTL_FLOAT64, y, 17));
    const int64_t shape[] = {51, 3}, column[] = {51, 1}; /* targets may be a column */
    mtl_tensor_release(tasks.x[1]);
    mtl_tensor_release(tasks.y[1]);
    for (int i = 1; i < 3; i++) {
        memcpy(x + 51 * i, x, 51 * sizeof x[0]);
        memcpy(y + 17 * i, y, 17 * sizeof y[0]);
    }
    assert_ok(tasks.context, mtl_tensor_create(tasks.context, MTL_FLOAT32, 2, shape, &tasks.x[1]));
    assert_ok(tasks.context, mtl_tensor_create(tasks.context, MTL_FLOAT32, 2, column, &tasks.y[1]));
    assert_ok(tasks.context, mtl_tensor_write(tasks.x[1], MTL_FLOAT64, x, 153));
    assert_ok(tasks.context, mtl_tensor_write(tasks.y[1], MTL_FLOAT64, y, 51));
    options.task_weights = NULL;
    assert_ok(tasks.context, linear_tasks_fit(&tasks, &penalty, 1, &options, NULL));
    assert_ok(tasks.context, linear_tasks_read(&tasks, repeated, NULL));
    assert_close(weighted, repeated, 6, 0, 1e-5); /* gaps of 1e-13 and curvatures of about 1: 3e-7; float32 */
    lambda[1] = 0;
    options.task_weights = lambda;
    assert_ok(tasks.context, linear_tasks_fit(&tasks, &penalty, 1, &options, NULL));
    assert_ok(tasks.context, linear_tasks_read(&tasks, weighted, NULL));
    /* What is left of w_1 costs its square over the norm of w_0: the gap keeps it below 1e-6. */
    assert_true(fabs(weighted[0]) > 0.01);
    assert_near(fabs(weighted[3]) + fabs(weighted[4]) + fabs(weighted[5]), 0, 1e-5);
    mtl_penalty_destroy(penalty);
    close_tasks(&tasks);
}

/* A row without a target is no row, whatever its features are. A task without any keeps its bias. */
static void rows_without_a_target(void **state)
{
    (void)state;
    for (int kind = LINEAR_REGRESSION; kind <= LINEAR_LOGISTIC; kind++) {
        double w[2][12], b[2][4];
        for (int missing = 0; missing < 2; missing++) {
            linear_tasks tasks = open_tasks(4, 3, kind);
            mtl_penalty *penalty = make_one(&tasks, MTL_PENALTY_L21, 0, 0.02);
            int64_t rows = tasks.rows[2];
            const int64_t shape[] = {rows + 2 * missing, 3};
            double x[42 * 3], y[42], none[5] = {NAN, NAN, NAN, NAN, NAN};
            const double bias[4] = {0, 0, 0, 0.375}, zeros[12] = {0};
            assert_ok(tasks.context, mtl_tensor_read(tasks.x[2], MTL_FLOAT64, x + 3 * missing, (size_t)rows * 3));
            assert_ok(tasks.context, mtl_tensor_read(tasks.y[2], MTL_FLOAT64, y + missing, (size_t)rows));
            if (missing) { /* one before and one behind */
                x[0] = x[1] = x[2] = x[3 * rows + 3] = x[3 * rows + 4] = x[3 * rows + 5] = INFINITY;
                y[0] = y[rows + 1] = NAN;
            }
            mtl_tensor_release(tasks.x[2]);
            mtl_tensor_release(tasks.y[2]);
            assert_ok(tasks.context, mtl_tensor_create(tasks.context, MTL_FLOAT32, 2, shape, &tasks.x[2]));
            assert_ok(tasks.context, mtl_tensor_create(tasks.context, MTL_FLOAT32, 1, shape, &tasks.y[2]));
            assert_ok(tasks.context, mtl_tensor_write(tasks.x[2], MTL_FLOAT64, x, (size_t)shape[0] * 3));
            assert_ok(tasks.context, mtl_tensor_write(tasks.y[2], MTL_FLOAT64, y, (size_t)shape[0]));
            assert_ok(tasks.context, mtl_tensor_write(tasks.y[3], MTL_FLOAT64, none, 5));
            assert_ok(tasks.context, linear_tasks_write(&tasks, zeros, bias));
            assert_ok(tasks.context, linear_tasks_fit(&tasks, &penalty, 1, NULL, NULL));
            assert_ok(tasks.context, linear_tasks_read(&tasks, w[missing], b[missing]));
            mtl_penalty_destroy(penalty);
            close_tasks(&tasks);
        }
        assert_memory_equal(w[0], w[1], sizeof w[0]);
        assert_memory_equal(b[0], b[1], sizeof b[0]);
        assert_true(b[1][3] == 0.375 && w[1][9] == 0 && w[1][6] != 0);
    }
}

/* ---- beginnings ---- */

static void warm_starts_are_shorter(void **state)
{
    (void)state;
    linear_tasks tasks = open_tasks(5, 6, LINEAR_MIXED);
    mtl_penalty *penalty = make_one(&tasks, MTL_PENALTY_L21, 0, 0.05);
    mtl_linear_options options = MTL_LINEAR_OPTIONS_INIT;
    mtl_linear_report cold = MTL_LINEAR_REPORT_INIT, warm = cold, again = cold;
    const double zeros[30] = {0};
    options.tolerance = 1e-5;
    assert_ok(tasks.context, mtl_penalty_set_coefficient(penalty, 0.045));
    assert_ok(tasks.context, linear_tasks_fit(&tasks, &penalty, 1, &options, &cold));
    assert_ok(tasks.context, linear_tasks_write(&tasks, zeros, zeros));
    assert_ok(tasks.context, mtl_penalty_set_coefficient(penalty, 0.0451));
    assert_ok(tasks.context, linear_tasks_fit(&tasks, &penalty, 1, &options, &warm));
    assert_ok(tasks.context, mtl_penalty_set_coefficient(penalty, 0.045));
    assert_ok(tasks.context, linear_tasks_fit(&tasks, &penalty, 1, &options, &warm));
    assert_true(cold.converged && warm.converged && warm.iterations < cold.iterations);
    assert_near(warm.objective, cold.objective, cold.gap + warm.gap);
    assert_ok(tasks.context, linear_tasks_fit(&tasks, &penalty, 1, &options, &again));
    assert_true(again.converged && again.iterations == 0);
    mtl_penalty_destroy(penalty);
    close_tasks(&tasks);
}

typedef struct short_fit {
    double w[15], b[3], part[5];
} short_fit;

/* Two iterations from some weights. Without iterations the weights themselves are judged. */
static void fit_for_two_iterations(const double begin[15], bool split, double *before, short_fit *out)
{
    linear_tasks tasks = open_tasks(3, 5, LINEAR_MIXED);
    mtl_linear_options options = MTL_LINEAR_OPTIONS_INIT;
    mtl_linear_report report = MTL_LINEAR_REPORT_INIT;
    const double biases[3] = {0};
    assert_ok(tasks.context, linear_tasks_write(&tasks, begin, biases));
    mtl_penalty *first = make_one(&tasks, MTL_PENALTY_L21, 0, 0.05);
    mtl_penalty *second = make_one(&tasks, MTL_PENALTY_L1, 0, 0.04);
    mtl_penalty *whole = NULL;
    if (split) {
        assert_ok(tasks.context, mtl_penalty_create_split(first, second, &whole));
    }
    options.max_iterations = 0;
    assert_ok(tasks.context, linear_tasks_fit(&tasks, split ? &whole : &first, 1, &options, &report));
    *before = report.objective;
    options.max_iterations = 2;
    assert_ok(tasks.context, linear_tasks_fit(&tasks, split ? &whole : &first, 1, &options, &report));
    assert_int_equal(report.iterations, 2);
    assert_ok(tasks.context, linear_tasks_read(&tasks, out->w, out->b));
    assert_ok(tasks.context, mtl_penalty_read(first, 0, 1, out->part, 5));
    mtl_penalty_destroy(first);
    mtl_penalty_destroy(second);
    mtl_penalty_destroy(whole);
    close_tasks(&tasks);
}

/* From weights that are worse than none the way is that from zero, bit for bit; from better ones it is another. */
static void bad_weights_are_no_beginning(void **state)
{
    (void)state;
    const double zeros[15] = {0};
    double bad[15];
    for (int i = 0; i < 15; i++) {
        bad[i] = 100 * sin(1.0 + i);
    }
    for (int split = 0; split < 2; split++) {
        short_fit from_zero, from_bad, from_good;
        double at_zero, at_bad, at_good;
        fit_for_two_iterations(zeros, split, &at_zero, &from_zero);
        fit_for_two_iterations(bad, split, &at_bad, &from_bad);
        fit_for_two_iterations(from_zero.w, split, &at_good, &from_good);
        assert_true(at_bad > 100 * at_zero && at_good < at_zero);
        assert_memory_equal(&from_bad, &from_zero, sizeof from_zero);
        assert_memory_not_equal(&from_good, &from_zero, sizeof from_zero);
    }
}

static void too_few_iterations_are_told(void **state)
{
    (void)state;
    linear_tasks tasks = open_tasks(3, 5, LINEAR_REGRESSION);
    mtl_penalty *penalty = make_one(&tasks, MTL_PENALTY_L1, 0, 0.001);
    mtl_linear_options options = MTL_LINEAR_OPTIONS_INIT;
    mtl_linear_report report = MTL_LINEAR_REPORT_INIT;
    options.tolerance = 1e-9;
    options.max_iterations = 3;
    assert_ok(tasks.context, linear_tasks_fit(&tasks, &penalty, 1, &options, &report));
    assert_true(!report.converged && report.iterations == 3 && report.gap > 1e-9 * report.objective);
    assert_true(report.step > 0 && report.residual > 0);
    mtl_penalty_destroy(penalty);
    close_tasks(&tasks);
}

/* A split penalty goes on from its parts. */
static void parts_of_a_split_are_kept(void **state)
{
    (void)state;
    linear_tasks tasks = open_tasks(5, 6, LINEAR_REGRESSION);
    mtl_penalty *shared = make_one(&tasks, MTL_PENALTY_LINF1, 0, 0.15),
                *own = make_one(&tasks, MTL_PENALTY_L1, 0, 0.05);
    mtl_penalty *split = NULL;
    mtl_linear_report report = MTL_LINEAR_REPORT_INIT;
    assert_ok(tasks.context, mtl_penalty_create_split(shared, own, &split));
    assert_ok(tasks.context, linear_tasks_fit(&tasks, &split, 1, NULL, &report));
    assert_true(report.converged && report.iterations > 0);
    int zeros = 0, others = 0;
    double q[6], value, first, second;
    for (int32_t t = 0; t < 5; t++) {
        assert_ok(tasks.context, mtl_penalty_read(mtl_penalty_component(split, 1), 0, t, q, 6));
        for (int j = 0; j < 6; j++) {
            zeros += q[j] == 0;
            others += q[j] != 0;
        }
    }
    assert_true(zeros > 0 && others > 0);
    assert_ok(tasks.context, mtl_penalty_value(split, &value));
    assert_ok(tasks.context, mtl_penalty_value(own, &first));
    assert_ok(tasks.context, mtl_penalty_value(shared, &second));
    assert_near(value, first + second, 1e-12);
    assert_near(report.penalty, value, 1e-6);
    assert_ok(tasks.context, linear_tasks_fit(&tasks, &split, 1, NULL, &report));
    assert_true(report.converged && report.iterations == 0);
    /* With the coefficient 0 it does nothing, and its parts go on adding up. */
    assert_ok(tasks.context, mtl_penalty_set_coefficient(split, 0));
    assert_ok(tasks.context, linear_tasks_fit(&tasks, &split, 1, NULL, &report));
    double w[30], p[6];
    assert_ok(tasks.context, linear_tasks_read(&tasks, w, NULL));
    assert_true(report.penalty == 0);
    for (int32_t t = 0; t < 5; t++) {
        assert_ok(tasks.context, mtl_penalty_read(shared, 0, t, p, 6));
        assert_ok(tasks.context, mtl_penalty_read(own, 0, t, q, 6));
        for (int j = 0; j < 6; j++) {
            assert_near(w[6 * t + j], p[j] + q[j], 4e-7 * (fabs(p[j]) + fabs(q[j])));
        }
    }
    mtl_penalty_destroy(shared);
    mtl_penalty_destroy(own);
    mtl_penalty_destroy(split);
    close_tasks(&tasks);
}

/* ---- threads ---- */

/* Enough rows that tasks go to the threads; the bits are the same. */
static void threads_do_not_change_bits(void **state)
{
    (void)state;
    enum { T = 6, D = 24, ROWS = 900 };
    for (int kind = LINEAR_REGRESSION; kind <= LINEAR_MIXED; kind++) {
        double w[2][T * D], b[2][T];
        mtl_linear_report reports[2];
        for (int threads = 1; threads <= 2; threads++) {
            mtl_context *context = NULL;
            mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
            options.threads = threads;
            assert_int_equal(mtl_context_create(&options, &context), MTL_OK);
            linear_tasks tasks;
            const int64_t rows[T] = {ROWS, ROWS + 100, ROWS, 17, ROWS, 2 * ROWS};
            assert_ok(context, linear_tasks_create(context, T, D, rows, kind, &tasks));
            mtl_penalty *penalty = make_one(&tasks, MTL_PENALTY_TRACE_NORM, 0, 0.01);
            reports[threads - 1] = (mtl_linear_report)MTL_LINEAR_REPORT_INIT;
            assert_ok(context, linear_tasks_fit(&tasks, &penalty, 1, NULL, &reports[threads - 1]));
            assert_ok(context, linear_tasks_read(&tasks, w[threads - 1], b[threads - 1]));
            mtl_penalty_destroy(penalty);
            linear_tasks_destroy(&tasks);
            mtl_context_release(context);
        }
        assert_true(reports[0].converged);
        assert_memory_equal(w[0], w[1], sizeof w[0]);
        assert_memory_equal(b[0], b[1], sizeof b[0]);
        assert_memory_equal(&reports[0], &reports[1], sizeof reports[0]);
    }
}

/* ---- what is refused ---- */

/* Everything that could be touched by a failure; set before, looked at after each. */
static const double marked[9] = {1, -2, 3, 4, 5, -6, 7, 8, 9};

static void check_untouched(const linear_tasks *tasks, const mtl_linear_report *report)
{
    double w[9], b[3];
    assert_ok(tasks->context, linear_tasks_read(tasks, w, b));
    assert_memory_equal(w, marked, sizeof w);
    assert_memory_equal(b, marked, sizeof b);
    assert_true(report->iterations == -7 && report->objective == -7);
}

#define REFUSED(call, expected, message) \
    do { \
        assert_fails(tasks.context, call, expected, message); \
        check_untouched(&tasks, &report); \
    } while (0)

#define FIT(names, count, x, y, penalties, num_penalties, options) \
    mtl_linear_fit(tasks.model, names, count, x, y, penalties, num_penalties, options, &report)

static mtl_linear_report marked_report(void)
{
    mtl_linear_report report = MTL_LINEAR_REPORT_INIT;
    report.iterations = -7;
    report.objective = -7;
    return report;
}

static void heads_that_do_not_fit(void **state)
{
    (void)state;
    linear_tasks tasks = open_tasks(3, 3, LINEAR_REGRESSION);
    mtl_linear_report report = marked_report();
    mtl_head_options hidden = MTL_HEAD_OPTIONS_INIT;
    hidden.hidden_dim = 4;
    mtl_head *heads[4];
    const char *const added[] = {"classes", "deep", "pair", "wide"};
    assert_ok(tasks.context, mtl_head_create_classifier(tasks.context, 3, 2, NULL, &heads[0]));
    assert_ok(tasks.context, mtl_head_create_regressor(tasks.context, 3, 1, &hidden, &heads[1]));
    assert_ok(tasks.context, mtl_head_create_regressor(tasks.context, 3, 2, NULL, &heads[2]));
    assert_ok(tasks.context, mtl_head_create_regressor(tasks.context, 5, 1, NULL, &heads[3]));
    for (int i = 0; i < 4; i++) {
        assert_ok(tasks.context, mtl_model_add_head(tasks.model, added[i], heads[i]));
        mtl_head_release(heads[i]);
    }
    assert_ok(tasks.context, linear_tasks_write(&tasks, marked, marked));
    const char *names[3] = {"t0", NULL, "t2"};
    REFUSED(FIT(names, 3, tasks.x, tasks.y, NULL, 0, NULL), MTL_ERROR_ARGUMENT, "heads[1] is NULL");
    names[1] = "nobody";
    REFUSED(FIT(names, 3, tasks.x, tasks.y, NULL, 0, NULL), MTL_ERROR_ARGUMENT, "'nobody' is not a head");
    names[1] = "t0";
    REFUSED(FIT(names, 3, tasks.x, tasks.y, NULL, 0, NULL), MTL_ERROR_ARGUMENT, "heads[1] = 't0' stands there twice");
    names[1] = "classes";
    REFUSED(FIT(names, 3, tasks.x, tasks.y, NULL, 0, NULL), MTL_ERROR_ARGUMENT, "'classes' is a classifier");
    names[1] = "deep";
    REFUSED(FIT(names, 3, tasks.x, tasks.y, NULL, 0, NULL), MTL_ERROR_ARGUMENT, "'deep' has a hidden layer");
    names[1] = "pair";
    REFUSED(FIT(names, 3, tasks.x, tasks.y, NULL, 0, NULL), MTL_ERROR_ARGUMENT, "with 2 outputs");
    names[1] = "wide";
    REFUSED(FIT(names, 3, tasks.x, tasks.y, NULL, 0, NULL), MTL_ERROR_SHAPE, "takes 5 features");
    REFUSED(FIT(tasks.names, 0, tasks.x, tasks.y, NULL, 0, NULL), MTL_ERROR_ARGUMENT, "count = 0");
    REFUSED(FIT(tasks.names, 65537, tasks.x, tasks.y, NULL, 0, NULL), MTL_ERROR_ARGUMENT, "count = 65537");
    REFUSED(FIT(NULL, 3, tasks.x, tasks.y, NULL, 0, NULL), MTL_ERROR_ARGUMENT, "heads is NULL");
    REFUSED(FIT(tasks.names, 3, NULL, tasks.y, NULL, 0, NULL), MTL_ERROR_ARGUMENT, "features is NULL");
    REFUSED(FIT(tasks.names, 3, tasks.x, NULL, NULL, 0, NULL), MTL_ERROR_ARGUMENT, "targets is NULL");
    REFUSED(FIT(tasks.names, 3, tasks.x, tasks.y, NULL, 1, NULL), MTL_ERROR_ARGUMENT, "penalties is NULL");
    REFUSED(FIT(tasks.names, 3, tasks.x, tasks.y, NULL, -1, NULL), MTL_ERROR_ARGUMENT, "num_penalties = -1");
    assert_int_equal(mtl_linear_fit(NULL, tasks.names, 3, tasks.x, tasks.y, NULL, 0, NULL, &report),
                     MTL_ERROR_ARGUMENT);
    assert_ok(tasks.context, FIT(tasks.names, 3, tasks.x, tasks.y, NULL, 0, NULL));
    close_tasks(&tasks);
}

static void data_that_do_not_fit(void **state)
{
    (void)state;
    linear_tasks tasks = open_tasks(3, 3, LINEAR_MIXED);
    mtl_linear_report report = marked_report();
    const int64_t wide[] = {17, 4}, short_one[] = {16}, two[] = {17, 2};
    mtl_tensor *given[3], *bad[4];
    assert_ok(tasks.context, mtl_tensor_create(tasks.context, MTL_FLOAT32, 2, wide, &bad[0]));
    assert_ok(tasks.context, mtl_tensor_create(tasks.context, MTL_FLOAT32, 1, short_one, &bad[1]));
    assert_ok(tasks.context, mtl_tensor_create(tasks.context, MTL_FLOAT32, 2, two, &bad[2]));
    assert_ok(tasks.context, mtl_tensor_create(tasks.context, MTL_INT32, 1, wide, &bad[3]));
    assert_ok(tasks.context, linear_tasks_write(&tasks, marked, marked));
    memcpy(given, tasks.x, sizeof given);
    given[1] = NULL;
    REFUSED(FIT(tasks.names, 3, given, tasks.y, NULL, 0, NULL), MTL_ERROR_ARGUMENT, "features[1] is NULL");
    REFUSED(FIT(tasks.names, 3, tasks.x, given, NULL, 0, NULL), MTL_ERROR_SHAPE, "there must be a target per row");
    given[1] = bad[0];
    REFUSED(FIT(tasks.names, 3, given, tasks.y, NULL, 0, NULL), MTL_ERROR_SHAPE,
            "features[1] is [17, 4], not [rows, 3]");
    memcpy(given, tasks.y, sizeof given);
    given[1] = NULL;
    REFUSED(FIT(tasks.names, 3, tasks.x, given, NULL, 0, NULL), MTL_ERROR_ARGUMENT, "targets[1] is NULL");
    given[1] = bad[1];
    REFUSED(FIT(tasks.names, 3, tasks.x, given, NULL, 0, NULL), MTL_ERROR_SHAPE, "targets[1] is [16]");
    given[1] = bad[2];
    REFUSED(FIT(tasks.names, 3, tasks.x, given, NULL, 0, NULL), MTL_ERROR_SHAPE, "targets[1] is [17, 2]");
    given[1] = bad[3];
    REFUSED(FIT(tasks.names, 3, tasks.x, given, NULL, 0, NULL), MTL_ERROR_DTYPE, "targets[1] is");
    float *values;
    assert_ok(tasks.context, mtl_tensor_map(tasks.x[2], MTL_FLOAT32, (void **)&values));
    float kept = values[7];
    values[7] = NAN;
    REFUSED(FIT(tasks.names, 3, tasks.x, tasks.y, NULL, 0, NULL), MTL_ERROR_NUMERIC,
            "features[2] at [2, 1] is not finite");
    values[7] = kept;
    mtl_tensor_unmap(tasks.x[2]);
    assert_ok(tasks.context, mtl_tensor_map(tasks.y[1], MTL_FLOAT32, (void **)&values));
    kept = values[3];
    values[3] = 1.5f;
    REFUSED(FIT(tasks.names, 3, tasks.x, tasks.y, NULL, 0, NULL), MTL_ERROR_ARGUMENT, "targets[1] of row 3 = 1.5");
    values[3] = -INFINITY;
    REFUSED(FIT(tasks.names, 3, tasks.x, tasks.y, NULL, 0, NULL), MTL_ERROR_NUMERIC, "targets[1] of row 3 is infinite");
    values[3] = kept;
    mtl_tensor_unmap(tasks.y[1]);
    for (int i = 0; i < 4; i++) {
        mtl_tensor_release(bad[i]);
    }
    assert_ok(tasks.context, FIT(tasks.names, 3, tasks.x, tasks.y, NULL, 0, NULL));
    close_tasks(&tasks);
}

static void weights_that_are_not_finite(void **state)
{
    (void)state;
    linear_tasks tasks = open_tasks(3, 3, LINEAR_REGRESSION);
    const double w[9] = {0, 0, 0, 0, NAN}, b[3] = {0};
    assert_ok(tasks.context, linear_tasks_write(&tasks, w, b));
    assert_fails(tasks.context, linear_tasks_fit(&tasks, NULL, 0, NULL, NULL), MTL_ERROR_NUMERIC, "'t1.weight' at 1");
    close_tasks(&tasks);
}

static void penalties_that_do_not_fit(void **state)
{
    (void)state;
    linear_tasks tasks = open_tasks(3, 3, LINEAR_REGRESSION);
    mtl_linear_report report = marked_report();
    assert_ok(tasks.context, linear_tasks_write(&tasks, marked, marked));
    mtl_penalty *l1 = make_one(&tasks, MTL_PENALTY_L1, 0, 1), *trace = make_one(&tasks, MTL_PENALTY_TRACE_NORM, 0, 1);
    mtl_penalty *tucker = make_one(&tasks, MTL_PENALTY_TRACE_NORM, MTL_UNFOLDING_TUCKER, 1);
    mtl_penalty *pairs = make_one(&tasks, MTL_PENALTY_TRACE_NORM_DIFFERENCES, 0, 1);
    mtl_penalty *all, *two, *turned, *first, *split;
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    const char *const other_order[] = {"t1", "t0", "t2"};
    assert_ok(tasks.context, mtl_penalty_create(tasks.model, tasks.names, 3, &options, &all));
    options.parameters = "weight";
    assert_ok(tasks.context, mtl_penalty_create(tasks.model, tasks.names, 2, &options, &two));
    assert_ok(tasks.context, mtl_penalty_create(tasks.model, other_order, 3, &options, &turned));
    first = make_one(&tasks, MTL_PENALTY_L21, 0, 1);
    mtl_penalty *second = make_one(&tasks, MTL_PENALTY_L1, 0, 1);
    assert_ok(tasks.context, mtl_penalty_create_split(first, second, &split));
    const struct {
        mtl_penalty *penalties[2];
        mtl_status status;
        const char *message;
    } cases[] = {
        {{l1, NULL}, MTL_ERROR_ARGUMENT, "penalties[1] is NULL"},
        {{l1, l1}, MTL_ERROR_ARGUMENT, "penalties[0] and penalties[1] are the same"},
        {{all, l1}, MTL_ERROR_ARGUMENT, "penalties[0] is over 'bias'"},
        {{l1, two}, MTL_ERROR_ARGUMENT, "penalties[1] is over other networks"},
        {{l1, turned}, MTL_ERROR_ARGUMENT, "penalties[1] is over other networks"},
        {{l1, trace}, MTL_ERROR_UNSUPPORTED, "penalties[0] and penalties[1] both need a proximal step"},
        {{l1, split}, MTL_ERROR_UNSUPPORTED, "both need a proximal step"},
        {{tucker, NULL}, MTL_ERROR_UNSUPPORTED, "penalties[0]: no proximal step is known"},
        {{pairs, NULL}, MTL_ERROR_UNSUPPORTED, "penalties[0]: no proximal step is known"},
        {{first, NULL}, MTL_ERROR_STATE, "penalties[0] is a part of a split penalty"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        REFUSED(FIT(tasks.names, 3, tasks.x, tasks.y, cases[i].penalties, 2, NULL), cases[i].status, cases[i].message);
    }
    /* The parts of a split are as they were too. */
    double part[3];
    assert_ok(tasks.context, mtl_penalty_read(mtl_penalty_component(split, 1), 0, 1, part, 3));
    assert_true(part[0] == 0 && part[1] == 0 && part[2] == 0);
    mtl_penalty *const everything[] = {l1, tucker, pairs, trace, all, two, turned, first, second, split};
    assert_ok(tasks.context, FIT(tasks.names, 3, tasks.x, tasks.y, &split, 1, NULL));
    for (size_t i = 0; i < sizeof everything / sizeof everything[0]; i++) {
        mtl_penalty_destroy(everything[i]);
    }
    close_tasks(&tasks);
}

static void options_out_of_range(void **state)
{
    (void)state;
    linear_tasks tasks = open_tasks(3, 3, LINEAR_REGRESSION);
    mtl_linear_report report = marked_report();
    assert_ok(tasks.context, linear_tasks_write(&tasks, marked, marked));
    const double negative[] = {1, -1, 1}, infinite[] = {1, 1, INFINITY};
#define OPTION(field, value, expected, message) \
    do { \
        mtl_linear_options options = MTL_LINEAR_OPTIONS_INIT; \
        options.field = value; \
        REFUSED(FIT(tasks.names, 3, tasks.x, tasks.y, NULL, 0, &options), expected, message); \
    } while (0)
    OPTION(tolerance, -1e-9, MTL_ERROR_ARGUMENT, "tolerance = -1e-09");
    OPTION(tolerance, NAN, MTL_ERROR_ARGUMENT, "tolerance = ");
    OPTION(tolerance, 1, MTL_ERROR_ARGUMENT, "tolerance = 1");
    OPTION(max_iterations, -1, MTL_ERROR_ARGUMENT, "max_iterations = -1");
    OPTION(reduction, 2, MTL_ERROR_ARGUMENT, "reduction = 2");
    OPTION(squares, -1, MTL_ERROR_ARGUMENT, "squares = -1");
    OPTION(fit_bias, 2, MTL_ERROR_ARGUMENT, "fit_bias = 2");
    OPTION(reserved0, 1, MTL_ERROR_UNSUPPORTED, "reserved0");
    OPTION(task_weights, negative, MTL_ERROR_ARGUMENT, "task_weights[1] = -1");
    OPTION(task_weights, infinite, MTL_ERROR_ARGUMENT, "task_weights[2] = inf");
    OPTION(struct_size, 8, MTL_ERROR_ARGUMENT, "options->struct_size = 8");
    report.struct_size = 16;
    REFUSED(FIT(tasks.names, 3, tasks.x, tasks.y, NULL, 0, NULL), MTL_ERROR_ARGUMENT, "report->struct_size = 16");
    close_tasks(&tasks);
}

/* A host that was compiled with a newer header has a longer report: what is behind ours stays. */
static void a_longer_report_keeps_its_end(void **state)
{
    (void)state;
    linear_tasks tasks = open_tasks(2, 2, LINEAR_REGRESSION);
    struct {
        mtl_linear_report known;
        double newer;
    } report = {MTL_LINEAR_REPORT_INIT, 42};
    report.known.struct_size = sizeof report;
    assert_ok(tasks.context, linear_tasks_fit(&tasks, NULL, 0, NULL, &report.known));
    assert_true(report.known.struct_size == sizeof report && report.newer == 42 && report.known.iterations > 0);
    close_tasks(&tasks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_two_and_many_tasks),       cmocka_unit_test(task_weights_count_rows),
        cmocka_unit_test(rows_without_a_target),        cmocka_unit_test(warm_starts_are_shorter),
        cmocka_unit_test(bad_weights_are_no_beginning), cmocka_unit_test(too_few_iterations_are_told),
        cmocka_unit_test(parts_of_a_split_are_kept),    cmocka_unit_test(threads_do_not_change_bits),
        cmocka_unit_test(heads_that_do_not_fit),        cmocka_unit_test(data_that_do_not_fit),
        cmocka_unit_test(weights_that_are_not_finite),  cmocka_unit_test(penalties_that_do_not_fit),
        cmocka_unit_test(options_out_of_range),         cmocka_unit_test(a_longer_report_keeps_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
