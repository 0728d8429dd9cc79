/* SPDX-License-Identifier: Apache-2.0
 * Linear fits beside closed forms and other solvers: what comes out is the minimum.
 *
 * Weights are stored as float32: a value of size s is right to 6e-8 s. A gap bounds the objective; where a ridge c
 * makes it strongly convex, weights are right to sqrt(gap / c). */
#include "linear_tasks.h"
#include "support.h"

#include <math.h>

static const int64_t few_rows[] = {9, 17, 40, 5, 23, 12, 30, 8};

static mtl_linear_options exact_options(void)
{
    mtl_linear_options options = MTL_LINEAR_OPTIONS_INIT;
    options.tolerance = 1e-13;
    return options;
}

static linear_tasks make_tasks(mtl_context *context, int32_t count, int64_t features, int kind)
{
    linear_tasks tasks;
    assert_ok(context, linear_tasks_create(context, count, features, few_rows, kind, &tasks));
    return tasks;
}

static mtl_penalty *make(const linear_tasks *tasks, int32_t kind, int32_t setting, double coefficient)
{
    mtl_penalty *penalty = NULL;
    assert_ok(tasks->context, linear_tasks_penalty(tasks, kind, setting, coefficient, &penalty));
    return penalty;
}

/* Fits, destroys the penalty, and reads the weights. */
static mtl_linear_report fit(const linear_tasks *tasks, mtl_penalty *penalty, const mtl_linear_options *options,
                             double *w, double *b)
{
    mtl_linear_report report = MTL_LINEAR_REPORT_INIT;
    assert_ok(tasks->context, linear_tasks_fit(tasks, &penalty, penalty ? 1 : 0, options, &report));
    assert_ok(tasks->context, linear_tasks_read(tasks, w, b));
    mtl_penalty_destroy(penalty);
    return report;
}

static void finish(linear_tasks *tasks)
{
    mtl_context *context = tasks->context;
    linear_tasks_destroy(tasks);
    mtl_context_release(context);
}

/* ---- closed forms ---- */

/* The stationary point of factor * mean ½ (x w + b - y)² + c ‖w‖², or of the sum, by elimination. */
static void normal_equations(const linear_tasks *tasks, int32_t t, double factor, double c, bool bias, double *solution)
{
    int64_t d = tasks->features;
    int64_t n = tasks->rows[t];
    double x[64 * 32], y[64], a[33 * 33] = {0};
    assert_ok(tasks->context, mtl_tensor_read(tasks->x[t], MTL_FLOAT64, x, (size_t)(n * d)));
    assert_ok(tasks->context, mtl_tensor_read(tasks->y[t], MTL_FLOAT64, y, (size_t)n));
    for (int64_t j = 0; j <= d; j++) {
        solution[j] = 0;
        for (int64_t i = 0; i < n; i++) {
            double xj = j < d ? x[i * d + j] : 1;
            solution[j] += factor * xj * y[i] / (double)n;
            for (int64_t k = 0; k <= d; k++) {
                a[j * (d + 1) + k] += factor * xj * (k < d ? x[i * d + k] : 1) / (double)n;
            }
        }
        a[j * (d + 1) + j] += j < d ? 2 * c : 0;
    }
    if (!bias) {
        for (int64_t k = 0; k <= d; k++) {
            a[d * (d + 1) + k] = a[k * (d + 1) + d] = k == d;
        }
        solution[d] = 0;
    }
    linear_tasks_solve(d + 1, a, solution);
}

static void check_ridge(int32_t reduction, int32_t squares, int32_t bias, double c)
{
    linear_tasks tasks = make_tasks(test_context(), 4, 4, LINEAR_REGRESSION);
    mtl_linear_options options = exact_options();
    const double lambda[] = {1, 0.5, 3, 2};
    double w[16], b[4], expected[5];
    options.reduction = reduction;
    options.squares = squares;
    options.fit_bias = bias;
    options.task_weights = lambda;
    mtl_linear_report report = fit(&tasks, make(&tasks, MTL_PENALTY_L2, MTL_L2_RIDGE, c), &options, w, b);
    assert_int_equal(report.criterion, MTL_CRITERION_GAP);
    assert_true(report.converged && report.gap >= 0);
    double objective = 0;
    for (int t = 0; t < 4; t++) {
        double factor = lambda[t] * (squares == MTL_SQUARES_WHOLE ? 2 : 1);
        factor *= reduction == MTL_REDUCTION_SUM ? (double)tasks.rows[t] : 1;
        normal_equations(&tasks, t, factor, c, bias, expected);
        double tolerance = sqrt(report.gap / c) + 1e-6; /* see above */
        assert_close(w + 4 * t, expected, 4, 0, tolerance);
        assert_near(b[t], expected[4], 4 * tolerance);
        objective += factor * linear_tasks_loss(&tasks, t, expected, expected[4], NULL);
        for (int j = 0; j < 4; j++) {
            objective += c * expected[j] * expected[j];
        }
    }
    assert_near(report.objective, objective, report.gap + 1e-13 * objective);
    assert_near(report.objective, report.loss + report.penalty, 1e-15);
    finish(&tasks);
}

static void ridge_is_the_normal_equations(void **state)
{
    (void)state;
    for (int choice = 0; choice < 8; choice++) {
        check_ridge(choice & 1, choice >> 1 & 1, choice >> 2 & 1, 0.1);
    }
    check_ridge(MTL_REDUCTION_MEAN, MTL_SQUARES_HALF, 1, 1e-3);
    check_ridge(MTL_REDUCTION_MEAN, MTL_SQUARES_HALF, 1, 100);
}

/* Many more features than rows: the rows themselves are quicker than their Gram matrix. */
static void more_features_than_rows(void **state)
{
    (void)state;
    enum { D = 24 };
    mtl_context *context = test_context();
    const int64_t rows[] = {5, 11, 1};
    linear_tasks tasks;
    assert_ok(context, linear_tasks_create(context, 3, D, rows, LINEAR_REGRESSION, &tasks));
    mtl_linear_options options = exact_options();
    double w[3 * D], b[3], expected[D + 1];
    mtl_linear_report report = fit(&tasks, make(&tasks, MTL_PENALTY_L2, MTL_L2_RIDGE, 0.1), &options, w, b);
    assert_true(report.converged);
    for (int t = 0; t < 3; t++) {
        normal_equations(&tasks, t, 1, 0.1, true, expected);
        double tolerance = sqrt(report.gap / 0.1) + 1e-6;
        assert_close(w + D * t, expected, D, 0, tolerance);
        assert_near(b[t], expected[D], D * tolerance);
    }
    finish(&tasks);
}

/* Without a penalty, or with coefficients of 0, also of a split. */
static void no_penalty_is_least_squares(void **state)
{
    (void)state;
    for (int choice = 0; choice < 3; choice++) {
        linear_tasks tasks = make_tasks(test_context(), 3, 4, LINEAR_REGRESSION);
        mtl_linear_options options = exact_options();
        mtl_penalty *penalty = choice > 0 ? make(&tasks, MTL_PENALTY_TRACE_NORM, 0, 0) : NULL;
        mtl_penalty *other = choice > 1 ? make(&tasks, MTL_PENALTY_L1, 0, 0) : NULL;
        mtl_penalty *split = NULL;
        if (other) {
            assert_ok(tasks.context, mtl_penalty_create_split(penalty, other, &split));
            mtl_penalty_destroy(penalty);
            mtl_penalty_destroy(other);
        }
        double w[12], b[3], expected[5];
        mtl_linear_report report = fit(&tasks, split ? split : penalty, &options, w, b);
        assert_int_equal(report.criterion, MTL_CRITERION_RESIDUAL);
        assert_true(report.converged && isnan(report.gap) && report.residual <= 1e-13);
        for (int t = 0; t < 3; t++) {
            normal_equations(&tasks, t, 1, 0, true, expected);
            /* The features are as uniform numbers: the least curvature is about 0.1, and the residual is far below. */
            assert_close(w + 4 * t, expected, 4, 1e-6, 1e-6);
            assert_near(b[t], expected[4], 2e-6);
        }
        finish(&tasks);
    }
}

static double soft(double x, double tau)
{
    return copysign(fmax(fabs(x) - tau, 0), x);
}

/* The columns of a Hadamard matrix over sqrt(8) are orthonormal, and exact in the products that count. */
static void set_design(linear_tasks *tasks, int32_t t, bool identity, const double *y)
{
    double x[8 * 4];
    int64_t n = identity ? 4 : 8;
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < 4; j++) {
            x[i * 4 + j] = identity ? i == j : (__builtin_popcount((unsigned)(i & (j + 1))) % 2 ? -1 : 1) / sqrt(8.0);
        }
    }
    assert_ok(tasks->context, mtl_tensor_write(tasks->x[t], MTL_FLOAT64, x, (size_t)n * 4));
    assert_ok(tasks->context, mtl_tensor_write(tasks->y[t], MTL_FLOAT64, y, (size_t)n));
}

static linear_tasks make_designed(int32_t count, bool identity, double targets[][8])
{
    linear_tasks tasks;
    const int64_t rows[] = {identity ? 4 : 8, identity ? 4 : 8, identity ? 4 : 8, identity ? 4 : 8};
    mtl_context *context = test_context();
    assert_ok(context, linear_tasks_create(context, count, 4, rows, LINEAR_REGRESSION, &tasks));
    for (int32_t t = 0; t < count; t++) {
        for (int i = 0; i < 8; i++) {
            targets[t][i] = (float)(2 * linear_tasks_number((uint64_t)(100 * t + i)));
        }
        set_design(&tasks, t, identity, targets[t]);
    }
    return tasks;
}

static void l1_on_orthonormal_columns_is_a_soft_threshold(void **state)
{
    (void)state;
    double targets[2][8], w[8], x[32];
    linear_tasks tasks = make_designed(2, false, targets);
    mtl_linear_options options = exact_options();
    options.reduction = MTL_REDUCTION_SUM;
    options.fit_bias = 0;
    (void)fit(&tasks, make(&tasks, MTL_PENALTY_L1, 0, 0.6), &options, w, NULL);
    assert_ok(tasks.context, mtl_tensor_read(tasks.x[0], MTL_FLOAT64, x, 32));
    int zeros = 0;
    for (int t = 0; t < 2; t++) {
        for (int j = 0; j < 4; j++) {
            double product = 0;
            for (int i = 0; i < 8; i++) {
                product += x[i * 4 + j] * targets[t][i];
            }
            /* 1/sqrt(8) is rounded to float32: the columns' lengths are 1 to 3e-8. */
            assert_near(w[4 * t + j], soft(product, 0.6), 1e-6);
            assert_true((w[4 * t + j] == 0) == (fabs(product) <= 0.6));
            zeros += w[4 * t + j] == 0;
        }
    }
    assert_in_range(zeros, 1, 7);
    finish(&tasks);
}

/* Y = σ0 u0 v0ᵀ + σ1 u1 v1ᵀ with signs as singular vectors: each is lessened by the coefficient, or gone. */
static void trace_norm_on_identities_thresholds_singular_values(void **state)
{
    (void)state;
    const double u[2][4] = {{0.5, 0.5, -0.5, 0.5}, {0.5, -0.5, -0.5, -0.5}};
    const double v[2][4] = {{0.5, 0.5, 0.5, 0.5}, {0.5, -0.5, 0.5, -0.5}};
    const double sigma[2] = {3, 0.75};
    double targets[4][8], w[16];
    for (int lost = 0; lost < 2; lost++) {
        double c = lost ? 1 : 0.5;
        linear_tasks tasks = make_designed(4, true, targets);
        for (int t = 0; t < 4; t++) {
            double y[4];
            for (int i = 0; i < 4; i++) {
                y[i] = sigma[0] * u[0][i] * v[0][t] + sigma[1] * u[1][i] * v[1][t];
            }
            set_design(&tasks, t, true, y);
        }
        mtl_linear_options options = exact_options();
        options.reduction = MTL_REDUCTION_SUM;
        options.fit_bias = 0;
        mtl_penalty *penalty = make(&tasks, MTL_PENALTY_TRACE_NORM, MTL_UNFOLDING_TASKS, c);
        mtl_linear_report report = MTL_LINEAR_REPORT_INIT;
        assert_ok(tasks.context, linear_tasks_fit(&tasks, &penalty, 1, &options, &report));
        assert_ok(tasks.context, linear_tasks_read(&tasks, w, NULL));
        for (int t = 0; t < 4; t++) {
            for (int i = 0; i < 4; i++) {
                double expected = (sigma[0] - c) * u[0][i] * v[0][t];
                expected += lost ? 0 : (sigma[1] - c) * u[1][i] * v[1][t];
                assert_near(w[4 * t + i], expected, 1e-6);
            }
        }
        int64_t rank = 0;
        assert_ok(tasks.context, mtl_penalty_rank(penalty, 0, 0, 1e-5, &rank));
        assert_int_equal(rank, lost ? 1 : 2);
        assert_near(report.penalty, c * (sigma[0] - c + (lost ? 0 : sigma[1] - c)), 1e-6);
        mtl_penalty_destroy(penalty);
        finish(&tasks);
    }
}

static void a_huge_coefficient_leaves_the_bias(void **state)
{
    (void)state;
    static const int32_t kinds[][2] = {{MTL_PENALTY_L1, 0},
                                       {MTL_PENALTY_L21, MTL_GROUP_COORDINATE},
                                       {MTL_PENALTY_L21, MTL_GROUP_TASK},
                                       {MTL_PENALTY_LINF1, MTL_GROUP_COORDINATE},
                                       {MTL_PENALTY_TRACE_NORM, MTL_UNFOLDING_TASKS}};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        linear_tasks tasks = make_tasks(test_context(), 4, 3, LINEAR_MIXED);
        mtl_linear_options options = exact_options();
        double w[12], b[4], y[64];
        const double begin[12] = {1, -2, 3, 0.5, 1, 1, -1, 2, 4, 1, -3, 2};
        assert_ok(tasks.context, linear_tasks_write(&tasks, begin, begin));
        mtl_linear_report report = fit(&tasks, make(&tasks, kinds[k][0], kinds[k][1], 1e6), &options, w, b);
        assert_true(report.converged && report.penalty == 0);
        for (int t = 0; t < 4; t++) {
            double mean = 0;
            assert_ok(tasks.context, mtl_tensor_read(tasks.y[t], MTL_FLOAT64, y, (size_t)tasks.rows[t]));
            for (int64_t i = 0; i < tasks.rows[t]; i++) {
                mean += y[i] / (double)tasks.rows[t];
            }
            assert_true(w[3 * t] == 0 && w[3 * t + 1] == 0 && w[3 * t + 2] == 0);
            assert_near(b[t], t % 2 ? log(mean / (1 - mean)) : mean, 1e-6);
        }
        finish(&tasks);
    }
}

/* The stationary point of Σ_t L_t + c Σ_t ‖w_t - w̄‖² + r Σ_t ‖w_t‖², all tasks at once; no biases. */
static void mean_regularized_is_one_system(void **state)
{
    (void)state;
    enum { T = 3, D = 4, N = T * D };
    linear_tasks tasks = make_tasks(test_context(), T, D, LINEAR_REGRESSION);
    mtl_linear_options options = exact_options();
    double a[N * N] = {0}, solution[N] = {0}, w[N], x[64 * D], y[64];
    const double c = 2, r = 0.05;
    for (int t = 0; t < T; t++) {
        int64_t n = tasks.rows[t];
        assert_ok(tasks.context, mtl_tensor_read(tasks.x[t], MTL_FLOAT64, x, (size_t)n * D));
        assert_ok(tasks.context, mtl_tensor_read(tasks.y[t], MTL_FLOAT64, y, (size_t)n));
        for (int64_t i = 0; i < n; i++) {
            for (int j = 0; j < D; j++) {
                solution[t * D + j] += x[i * D + j] * y[i] / (double)n;
                for (int k = 0; k < D; k++) {
                    a[(t * D + j) * N + t * D + k] += x[i * D + j] * x[i * D + k] / (double)n;
                }
            }
        }
        for (int s = 0; s < T; s++) {
            for (int j = 0; j < D; j++) {
                a[(t * D + j) * N + s * D + j] += 2 * c * ((s == t) - 1.0 / T) + 2 * r * (s == t);
            }
        }
    }
    linear_tasks_solve(N, a, solution);
    options.fit_bias = 0;
    mtl_penalty *both[] = {make(&tasks, MTL_PENALTY_L2, MTL_L2_MEAN, c), make(&tasks, MTL_PENALTY_L2, MTL_L2_RIDGE, r)};
    mtl_linear_report report = MTL_LINEAR_REPORT_INIT;
    assert_ok(tasks.context, linear_tasks_fit(&tasks, both, 2, &options, &report));
    assert_true(report.converged && report.criterion == MTL_CRITERION_GAP);
    assert_ok(tasks.context, linear_tasks_read(&tasks, w, NULL));
    assert_close(w, solution, N, 0, sqrt(report.gap / r) + 1e-6);
    /* Σ_{i≠j} ‖w_i - w_j‖² is 2 T times the distances from the mean, and a graph of ones is no graph. */
    double ones[T * T], other[N];
    for (int i = 0; i < T * T; i++) {
        ones[i] = 1;
    }
    mtl_penalty_options graph = MTL_PENALTY_OPTIONS_INIT;
    graph.coefficient = c / (2 * T);
    graph.parameters = "weight";
    graph.graph = ones;
    mtl_penalty_destroy(both[0]);
    assert_ok(tasks.context, mtl_penalty_create(tasks.model, tasks.names, T, &graph, &both[0]));
    assert_ok(tasks.context, linear_tasks_fit(&tasks, both, 2, &options, &report));
    assert_ok(tasks.context, linear_tasks_read(&tasks, other, NULL));
    assert_close(other, solution, N, 0, sqrt(report.gap / r) + 1e-6);
    mtl_penalty_destroy(both[0]);
    mtl_penalty_destroy(both[1]);
    finish(&tasks);
}

/* With a large coefficient on ‖w_0 - w_1‖ both tasks have the weights of one fit with two biases. */
static void two_tasks_without_differences(void **state)
{
    (void)state;
    enum { D = 3, N = D + 2 };
    linear_tasks tasks = make_tasks(test_context(), 2, D, LINEAR_REGRESSION);
    mtl_linear_options options = exact_options();
    double a[N * N] = {0}, solution[N] = {0}, w[2 * D], b[2], x[64 * D], y[64];
    for (int t = 0; t < 2; t++) {
        int64_t n = tasks.rows[t];
        assert_ok(tasks.context, mtl_tensor_read(tasks.x[t], MTL_FLOAT64, x, (size_t)n * D));
        assert_ok(tasks.context, mtl_tensor_read(tasks.y[t], MTL_FLOAT64, y, (size_t)n));
        for (int64_t i = 0; i < n; i++) {
            double row[N] = {x[i * D], x[i * D + 1], x[i * D + 2], t == 0, t == 1};
            for (int j = 0; j < N; j++) {
                solution[j] += row[j] * y[i] / (double)n;
                for (int k = 0; k < N; k++) {
                    a[j * N + k] += row[j] * row[k] / (double)n;
                }
            }
        }
    }
    linear_tasks_solve(N, a, solution);
    mtl_linear_report report = fit(&tasks, make(&tasks, MTL_PENALTY_TRACE_NORM_DIFFERENCES, 0, 100), &options, w, b);
    assert_true(report.criterion == MTL_CRITERION_RESIDUAL && isnan(report.gap) && report.penalty < 1e-9);
    assert_close(w, solution, D, 0, 2e-6); /* float32; the residual is 1e-13 of a gradient of about 1 */
    assert_close(w + D, solution, D, 0, 2e-6);
    assert_close(b, solution + D, 2, 0, 2e-6);
    finish(&tasks);
}

/* ---- yes/no tasks ---- */

/* Newton's method on mean cross-entropy + c ‖w‖², with or without a bias, in another program than the library's. */
static void newton(const linear_tasks *tasks, int32_t t, double c, bool bias, double *solution)
{
    int64_t d = tasks->features;
    int64_t n = tasks->rows[t];
    double x[64 * 8];
    assert_ok(tasks->context, mtl_tensor_read(tasks->x[t], MTL_FLOAT64, x, (size_t)(n * d)));
    memset(solution, 0, (size_t)(d + 1) * sizeof solution[0]);
    for (int step = 0; step < 30; step++) {
        double g[9], h[81] = {0};
        (void)linear_tasks_loss(tasks, t, solution, solution[d], g);
        for (int64_t i = 0; i < n; i++) {
            double z = solution[d];
            for (int64_t j = 0; j < d; j++) {
                z += solution[j] * x[i * d + j];
            }
            double p = 1 / (1 + exp(-z));
            for (int64_t j = 0; j <= d; j++) {
                for (int64_t k = 0; k <= d; k++) {
                    h[j * (d + 1) + k] +=
                        p * (1 - p) * (j < d ? x[i * d + j] : 1) * (k < d ? x[i * d + k] : 1) / (double)n;
                }
            }
        }
        for (int64_t j = 0; j < d; j++) {
            g[j] += 2 * c * solution[j];
            h[j * (d + 1) + j] += 2 * c;
        }
        for (int64_t k = 0; k <= d && !bias; k++) {
            h[d * (d + 1) + k] = h[k * (d + 1) + d] = k == d;
            g[d] = 0;
        }
        linear_tasks_solve(d + 1, h, g);
        for (int64_t j = 0; j <= d; j++) {
            solution[j] -= g[j];
        }
    }
}

static void logistic_ridge_is_newtons_point(void **state)
{
    (void)state;
    for (int bias = 0; bias < 2; bias++) {
        linear_tasks tasks = make_tasks(test_context(), 4, 4, LINEAR_LOGISTIC);
        mtl_linear_options options = exact_options();
        options.fit_bias = bias;
        double w[16], b[4], expected[5], y[64];
        for (int64_t i = 0; i < tasks.rows[2]; i++) { /* fractions */
            y[i] = (float)(0.5 + 0.5 * linear_tasks_number(31 + (uint64_t)i));
        }
        assert_ok(tasks.context, mtl_tensor_write(tasks.y[2], MTL_FLOAT64, y, (size_t)tasks.rows[2]));
        mtl_linear_report report = fit(&tasks, make(&tasks, MTL_PENALTY_L2, MTL_L2_RIDGE, 0.01), &options, w, b);
        assert_true(report.converged);
        for (int t = 0; t < 4; t++) {
            newton(&tasks, t, 0.01, bias, expected);
            double tolerance = sqrt(report.gap / 0.01) + 1e-6;
            assert_close(w + 4 * t, expected, 4, 1e-6, tolerance);
            assert_near(b[t], expected[4], 4 * tolerance + 1e-6 * fabs(expected[4]));
        }
        finish(&tasks);
    }
}

/* Targets that are all alike have no best bias: the loss is 0 all the same, and every number is finite. */
static void targets_that_are_all_alike(void **state)
{
    (void)state;
    linear_tasks tasks = make_tasks(test_context(), 2, 3, LINEAR_LOGISTIC);
    mtl_linear_options options = MTL_LINEAR_OPTIONS_INIT;
    double w[6], b[2], y[64];
    for (int t = 0; t < 2; t++) {
        for (int i = 0; i < 64; i++) {
            y[i] = t;
        }
        assert_ok(tasks.context, mtl_tensor_write(tasks.y[t], MTL_FLOAT64, y, (size_t)tasks.rows[t]));
    }
    mtl_linear_report report = fit(&tasks, make(&tasks, MTL_PENALTY_L21, 0, 0.1), &options, w, b);
    assert_true(report.converged && report.objective < 1e-12);
    assert_true(b[0] < -30 && b[1] > 30 && isfinite(b[0]) && isfinite(b[1]));
    finish(&tasks);
}

/* Where zero weights have hardly any loss, the gap is the rounding of losses of about 1 for a row. */
static void a_gap_that_is_rounding_has_converged(void **state)
{
    (void)state;
    linear_tasks tasks = make_tasks(test_context(), 2, 3, LINEAR_LOGISTIC);
    static const int32_t penalties[] = {MTL_PENALTY_L1, MTL_PENALTY_L21, MTL_PENALTY_CLUSTERED};
    double y[64];
    for (int i = 0; i < 64; i++) {
        y[i] = 1;
    }
    for (int t = 0; t < 2; t++) {
        assert_ok(tasks.context, mtl_tensor_write(tasks.y[t], MTL_FLOAT64, y, (size_t)tasks.rows[t]));
    }
    for (int k = 0; k < 3; k++) {
        mtl_linear_options options = MTL_LINEAR_OPTIONS_INIT;
        double w[6], b[2];
        mtl_penalty *penalty = make(&tasks, penalties[k], penalties[k] == MTL_PENALTY_CLUSTERED, 0.1);
        mtl_linear_report report = fit(&tasks, penalty, &options, w, b);
        assert_true(report.converged && report.criterion == MTL_CRITERION_GAP && report.iterations == 0);
        assert_true(report.objective < 1e-12 && report.gap < 1e-12 && b[0] > 30 && b[1] > 30);
    }
    finish(&tasks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ridge_is_the_normal_equations),
        cmocka_unit_test(more_features_than_rows),
        cmocka_unit_test(no_penalty_is_least_squares),
        cmocka_unit_test(l1_on_orthonormal_columns_is_a_soft_threshold),
        cmocka_unit_test(trace_norm_on_identities_thresholds_singular_values),
        cmocka_unit_test(a_huge_coefficient_leaves_the_bias),
        cmocka_unit_test(mean_regularized_is_one_system),
        cmocka_unit_test(two_tasks_without_differences),
        cmocka_unit_test(logistic_ridge_is_newtons_point),
        cmocka_unit_test(targets_that_are_all_alike),
        cmocka_unit_test(a_gap_that_is_rounding_has_converged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
