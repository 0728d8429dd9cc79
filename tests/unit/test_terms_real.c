/* SPDX-License-Identifier: Apache-2.0
 * The kinds of penalties on mtli_real beside the same on doubles, which have tests of their own: values, gradients,
 * steps, singular values; equal bits for any number of threads; what is not finite. */
#include "support/support_terms.h"

/* The same formulas, rounded to mtli_real once or a few times per element. Singular directions and polar factors of
 * float matrices are good to ε / (relative distance of the singular values from each other or from 0), which is 0.01
 * or more for random matrices of these sizes: 200 ε. */
#define PLAIN_ERROR (16 * MTLI_REAL_EPSILON)
#define SPECTRAL_ERROR (200 * MTLI_REAL_EPSILON)

static double error_of(const term_sample *s)
{
    bool spectral = s->what->kind == MTL_PENALTY_TRACE_NORM || s->what->kind == MTL_PENALTY_CLUSTERED ||
                    s->what->kind == MTL_PENALTY_TRACE_NORM_DIFFERENCES;
    return spectral ? SPECTRAL_ERROR : PLAIN_ERROR;
}

static double largest_of(const term_sample *s, double *const *x)
{
    double most = 0;
    for (int64_t e = 0; e < s->stack.count * s->stack.size; e++) {
        most = fmax(most, fabs(x[e / s->stack.size][e % s->stack.size]));
    }
    return most;
}

static void compare_real(const term_sample *s, mtli_real *const *real, double *const *twice, const char *what)
{
    double allowed = error_of(s) * fmax(1, largest_of(s, twice));
    for (int64_t e = 0; e < s->stack.count * s->stack.size; e++) {
        double found = (double)real[e / s->stack.size][e % s->stack.size],
               wanted = twice[e / s->stack.size][e % s->stack.size];
        term_expect(s, fabs(found - wanted) <= allowed, what, found, wanted);
    }
}

static void check_real(term_sample *s)
{
    const mtli_term_kind *kind = s->term.kind;
    mtl_context *context = test_context();
    double value = NAN, other = NAN, wanted = term_value(s);
    assert_true(kind->value(context, &s->term, &s->stack, &value, s->work));
    term_expect(s, fabs(value - wanted) <= error_of(s) * wanted, "value", value, wanted);
    assert_true(kind->gradient(context, &s->term, &s->stack, 0.7, s->g, &other, s->work));
    term_expect(s, fabs(other - value) <= error_of(s) * value, "value beside the gradient", other, value);
    assert_true(mtli_term_gradient_double(NULL, &s->term, &s->twice, 0.7, s->y, &other, s->work_double));
    compare_real(s, s->g, s->y, "gradient");
    if (kind->has_proximal(&s->term, s->stack.count)) {
        const double taus[] = {0.003, 0.4, 7};
        for (int k = 0; k < 3; k++) {
            term_draw(s, 3);
            assert_true(kind->proximal(context, &s->term, &s->stack, taus[k], s->work));
            term_step(s, taus[k]);
            compare_real(s, s->w, s->x, "step");
        }
    }
    mtl_context_release(context);
}

static void test_real(void **state)
{
    (void)state;
    term_for_each(check_real, false);
}

/* ---- singular values ---- */

static void check_singular_values(term_sample *s)
{
    const mtli_term_kind *kind = s->term.kind;
    mtl_context *context = test_context();
    assert_true((kind->num_matrices == NULL) == (kind->singular_values == NULL));
    assert_true((kind->num_matrices == NULL) == (kind->num_singular_values == NULL));
    bool pairs = s->what->kind == MTL_PENALTY_TRACE_NORM_DIFFERENCES;
    double sum = 0, value = term_value(s);
    int32_t i = 0, j = 1;
    for (int64_t m = 0; kind->num_matrices && m < kind->num_matrices(&s->term, &s->stack); m++) {
        int64_t n = kind->num_singular_values(&s->term, &s->stack, m);
        double *values = term_take((size_t)(n + 1) * sizeof *values);
        values[n] = -1;
        assert_true(kind->singular_values(context, &s->term, &s->stack, m, values, s->work));
        assert_true(values[n] == -1); /* not written */
        for (int64_t k = 0; k < n; k++) {
            assert_true(values[k] >= (k + 1 < n ? values[k + 1] : 0));
            sum += values[k] * (!pairs ? 1 : s->term.graph ? s->graph[i * s->stack.count + j] : 2);
        }
        i += j + 1 == s->stack.count;
        j = j + 1 == s->stack.count ? i + 1 : j + 1;
        free(values);
    }
    if (kind->num_matrices) {
        term_expect(s, fabs(sum - value) <= error_of(s) * value, "sum of singular values", sum, value);
    }
    mtl_context_release(context);
}

static void test_singular_values(void **state)
{
    (void)state;
    term_for_each(check_singular_values, false);
}

/* ---- threads ---- */

static mtl_context *context_with_threads(int32_t threads)
{
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.threads = threads;
    options.gemm = MTL_GEMM_BUILTIN;
    mtl_context *context = NULL;
    assert_int_equal(mtl_context_create(&options, &context), MTL_OK);
    return context;
}

/* Value, gradient and step of one kind with some threads. */
static double run_with_threads(const term_case *what, const term_shape *shape, int32_t count, int32_t threads,
                               mtli_real *results)
{
    mtl_context *context = context_with_threads(threads);
    term_sample s;
    term_begin(&s, context, what, shape, count);
    double value = NAN;
    assert_true(s.term.kind->gradient(context, &s.term, &s.stack, 0.7, s.g, &value, s.work));
    if (s.term.kind->has_proximal(&s.term, count)) {
        assert_true(s.term.kind->proximal(context, &s.term, &s.stack, 0.4, s.work));
    }
    for (int32_t t = 0; t < count; t++) {
        memcpy(results + 2 * t * s.stack.size, s.g[t], (size_t)s.stack.size * sizeof *results);
        memcpy(results + (2 * t + 1) * s.stack.size, s.w[t], (size_t)s.stack.size * sizeof *results);
    }
    term_end(&s);
    mtl_context_release(context);
    return value;
}

static void test_threads(void **state)
{
    (void)state;
    const term_shape shape = {2, {70, 611}}; /* several chunks, none of them full */
    const size_t size = 2 * 4 * 70 * 611 * sizeof(mtli_real);
    mtli_real *one = term_take(size), *more = term_take(size);
    for (int k = 0; k < TERM_CASES; k++) {
        for (int32_t count = term_cases[k].least_tasks; count <= 4; count += 2) {
            size_t used = size / 4 * (size_t)count;
            double value = run_with_threads(&term_cases[k], &shape, count, 1, one);
            for (int32_t threads = 2; threads <= 3; threads++) {
                assert_true(run_with_threads(&term_cases[k], &shape, count, threads, more) == value);
                assert_memory_equal(one, more, used);
            }
        }
    }
    free(one);
    free(more);
}

/* ---- what is not finite ---- */

/* Fails with the weights, the gradients and the value as they were. */
static void check_refused(term_sample *s, mtl_context *context)
{
    const mtli_term_kind *kind = s->term.kind;
    int32_t count = s->stack.count;
    size_t bytes = (size_t)s->stack.size * sizeof(mtli_real);
    double value = -1;
    mtli_real *saved = term_take((size_t)count * bytes);
    for (int32_t t = 0; t < count; t++) {
        memcpy(saved + t * s->stack.size, s->w[t], bytes);
    }
    assert_false(kind->value(context, &s->term, &s->stack, &value, s->work));
    assert_false(kind->gradient(context, &s->term, &s->stack, 1, s->g, &value, s->work));
    if (kind->has_proximal(&s->term, count)) {
        assert_false(kind->proximal(context, &s->term, &s->stack, 0.5, s->work));
    }
    assert_true(value == -1);
    for (int32_t t = 0; t < count; t++) {
        assert_memory_equal(s->w[t], saved + t * s->stack.size, bytes);
        for (int64_t i = 0; i < s->stack.size; i++) {
            assert_true(s->g[t][i] == 0);
        }
    }
    term_share_values(s);
    assert_false(mtli_term_value_double(NULL, &s->term, &s->twice, &value, s->work_double));
    assert_false(mtli_term_gradient_double(NULL, &s->term, &s->twice, 1, s->y, &value, s->work_double));
    if (kind->has_proximal(&s->term, count)) {
        assert_false(mtli_term_proximal_double(NULL, &s->term, &s->twice, 0.5, s->work_double));
    }
    for (int64_t e = 0; e < count * s->stack.size; e++) {
        double x = s->x[e / s->stack.size][e % s->stack.size], w = (double)s->w[e / s->stack.size][e % s->stack.size];
        assert_true(s->y[e / s->stack.size][e % s->stack.size] == 0);
        assert_memory_equal(&x, &w, sizeof x);
    }
    assert_true(value == -1);
    free(saved);
}

static void check_not_finite(term_sample *s)
{
    const mtli_real bad[] = {(mtli_real)NAN, (mtli_real)INFINITY, (mtli_real)-INFINITY};
    mtl_context *context = test_context();
    /* A task without neighbours is penalized by nothing; it is looked at all the same. */
    for (int32_t j = 0; j < s->stack.count; j++) {
        s->graph[j] = s->graph[j * s->stack.count] = 0;
    }
    for (int k = 0; k < 6; k++) {
        int32_t t = k < 3 ? 0 : s->stack.count - 1;
        int64_t i = k < 3 ? s->stack.size - 1 : 0;
        mtli_real kept = s->w[t][i];
        s->w[t][i] = bad[k % 3];
        check_refused(s, context);
        s->w[t][i] = kept;
    }
    mtl_context_release(context);
}

static void test_not_finite(void **state)
{
    (void)state;
    term_for_each(check_not_finite, false);
}

/* ---- small things ---- */

/* Nor does a step below half a unit in the last place of every weight, 0.05 or more, where each is moved by itself:
 * tasks differ by less than 10, there are less than 150, so that weights move by less than 150 * 10 * 4 tau. */
static void check_no_step(term_sample *s)
{
    mtl_context *context = test_context();
    size_t bytes = (size_t)s->stack.size * sizeof(mtli_real);
    bool alone = s->what->kind == MTL_PENALTY_L2 || s->what->kind == MTL_PENALTY_L1;
    double tau = 0.025 / 6000 / 4 * MTLI_REAL_EPSILON;
    assert_true(s->term.kind->proximal(context, &s->term, &s->stack, 0, s->work));
    assert_true(!alone || s->term.kind->proximal(context, &s->term, &s->stack, tau, s->work));
    for (int32_t t = 0; t < s->stack.count; t++) {
        for (int64_t i = 0; i < s->stack.size; i++) {
            s->g[t][i] = (mtli_real)s->x[t][i];
        }
        assert_memory_equal(s->w[t], s->g[t], bytes);
    }
    /* From here on a step must move something. */
    assert_true(s->term.kind->proximal(context, &s->term, &s->stack, 0.5, s->work));
    bool moved = s->stack.count == 1 && s->what->kind == MTL_PENALTY_CLUSTERED;
    for (int32_t t = 0; t < s->stack.count; t++) {
        moved = moved || memcmp(s->w[t], s->g[t], bytes) != 0;
    }
    assert_true(moved);
    mtl_context_release(context);
}

static void test_no_step(void **state)
{
    (void)state;
    term_for_each(check_no_step, true);
}

/* Rows alone give the same as rows together, where by_rows() says so: also when together they are several chunks. */
static void test_rows(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    const term_shape shape = {2, {70, 611}};
    for (int k = 0; k < TERM_CASES; k++) {
        term_sample s;
        term_begin(&s, context, &term_cases[k], &shape, 4);
        bool group = s.what->kind == MTL_PENALTY_L21 || s.what->kind == MTL_PENALTY_LINF1;
        bool wanted = s.what->kind == MTL_PENALTY_L2 || s.what->kind == MTL_PENALTY_L1 ||
                      (group && (s.what->group == MTL_GROUP_COORDINATE || s.what->group == MTL_GROUP_ROW));
        assert_int_equal(s.term.kind->by_rows(&s.term), wanted);
        double whole = wanted ? term_value(&s) : 0, sum = 0;
        for (int64_t r = 0; r < 70 && wanted; r++) {
            double *rows[4], value = NAN;
            for (int t = 0; t < 4; t++) {
                rows[t] = s.x[t] + 611 * r;
            }
            mtli_stack_double one = {4, 2, {1, 611}, 1, 611, 611, rows};
            assert_true(mtli_term_value_double(NULL, &s.term, &one, &value, s.work_double));
            sum += value;
        }
        term_expect(&s, !wanted || fabs(sum - whole) <= 1e-12 * whole, "rows alone", sum, whole);
        term_end(&s);
    }
    mtl_context_release(context);
}

static void test_find(void **state)
{
    (void)state;
    for (int32_t kind = MTL_PENALTY_L2; kind <= MTL_PENALTY_CLUSTERED; kind++) {
        assert_non_null(mtli_term_kind_find(kind));
        assert_int_equal(strncmp(mtli_term_kind_find(kind)->name, "MTL_PENALTY_", 12), 0);
    }
    assert_null(mtli_term_kind_find(-1));
    assert_null(mtli_term_kind_find(MTL_PENALTY_CLUSTERED + 1));
    assert_null(mtli_term_kind_find(INT32_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real),       cmocka_unit_test(test_singular_values), cmocka_unit_test(test_threads),
        cmocka_unit_test(test_not_finite), cmocka_unit_test(test_no_step),         cmocka_unit_test(test_rows),
        cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
