/* SPDX-License-Identifier: Apache-2.0
 * Truncated factorizations beside sums written out: the error is what was allowed and what is reported, known ranks are
 * found again, and the factors have the shapes of the layout. */
#include <math.h>

#include "base/rng.h"
#include "sharing/factorize.h"
#include "support/support.h"
#include "tensor/tensor.h"

enum { MOST_VALUES = 6000, KINDS = 3 };

typedef struct stack {
    mtli_modes modes;
    int64_t size; /* of one network's weights */
    mtli_real values[MOST_VALUES];
    const mtli_real *w[16];
} stack;

static stack *make_stack(int32_t tasks, int32_t count, const int64_t *dims)
{
    stack *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->modes = (mtli_modes){.tasks = tasks, .count = count};
    s->size = 1;
    for (int32_t k = 0; k < count; k++) {
        s->modes.dims[k] = dims[k];
        s->size *= dims[k];
    }
    assert_true(s->size * tasks <= MOST_VALUES);
    for (int32_t t = 0; t < tasks; t++) {
        s->w[t] = s->values + t * s->size;
    }
    return s;
}

static void fill_random(stack *s, uint64_t stream)
{
    mtli_rng rng;
    mtli_rng_init(&rng, 5, stream);
    for (int64_t i = 0; i < s->size * s->modes.tasks; i++) {
        s->values[i] = (mtli_real)mtli_rng_normal(&rng);
    }
}

/* ---- the sums ---- */

typedef struct factored {
    const stack *s;
    int32_t kind;
    mtli_factor_values values;
    mtli_factor factors[MTLI_MAX_FACTORS];
} factored;

static const mtli_real *find_factor(const factored *f, const char *suffix)
{
    for (int32_t k = 0; k < f->values.count; k++) {
        if (strcmp(f->factors[k].suffix, suffix) == 0) {
            return f->values.values[k];
        }
    }
    return NULL;
}

/* A factor that is left out is the identity. */
static double matrix_entry(const mtli_real *matrix, int64_t width, int64_t i, int64_t j)
{
    return matrix ? (double)matrix[i * width + j] : i == j;
}

static double laf_entry(const factored *f, int64_t t, int64_t p)
{
    int64_t rank = f->values.ranks[0];
    double sum = 0;
    for (int64_t k = 0; k < rank; k++) {
        sum += (double)find_factor(f, "tasks")[t * rank + k] * (double)find_factor(f, "basis")[k * f->s->size + p];
    }
    return sum;
}

/* Up to three modes; missing ones have one index. */
static double tucker_entry(const factored *f, int64_t t, const int64_t *i)
{
    int32_t n = f->s->modes.count;
    const int64_t *r = f->values.ranks;
    int64_t r1 = n > 1 ? r[1] : 1;
    int64_t r2 = n > 2 ? r[2] : 1;
    const mtli_real *u[] = {find_factor(f, "mode0"), find_factor(f, "mode1"), find_factor(f, "mode2")};
    double sum = 0;
    for (int64_t a = 0; a < r[n]; a++) {
        for (int64_t b = 0; b < r[0]; b++) {
            for (int64_t c = 0; c < r1; c++) {
                for (int64_t d = 0; d < r2; d++) {
                    sum += (double)find_factor(f, "core")[((a * r[0] + b) * r1 + c) * r2 + d] *
                           (double)find_factor(f, "tasks")[t * r[n] + a] * matrix_entry(u[0], r[0], i[0], b) *
                           (n > 1 ? matrix_entry(u[1], r1, i[1], c) : 1) *
                           (n > 2 ? matrix_entry(u[2], r2, i[2], d) : 1);
                }
            }
        }
    }
    return sum;
}

static double train_entry(const factored *f, int64_t t, const int64_t *i)
{
    double left[MOST_VALUES / 4];
    double next[MOST_VALUES / 4];
    int32_t n = f->s->modes.count;
    const int64_t *r = f->values.ranks;
    for (int64_t b = 0; b < r[0]; b++) {
        left[b] = matrix_entry(find_factor(f, "core0"), r[0], i[0], b);
    }
    for (int32_t k = 1; k < n; k++) {
        const mtli_real *core = find_factor(f, k == 1 ? "core1" : "core2");
        for (int64_t c = 0; c < r[k]; c++) {
            next[c] = 0;
            for (int64_t b = 0; b < r[k - 1]; b++) {
                next[c] += left[b] * (double)core[(b * f->s->modes.dims[k] + i[k]) * r[k] + c];
            }
        }
        memcpy(left, next, sizeof left);
    }
    double sum = 0;
    for (int64_t c = 0; c < r[n - 1]; c++) {
        sum += left[c] * (double)find_factor(f, "tasks")[t * r[n - 1] + c];
    }
    return sum;
}

static double entry(const factored *f, int64_t t, int64_t p)
{
    int64_t i[MTLI_MAX_MODES] = {0};
    int64_t rest = p;
    for (int32_t k = f->s->modes.count - 1; k >= 0; k--) {
        i[k] = rest % f->s->modes.dims[k];
        rest /= f->s->modes.dims[k];
    }
    switch (f->kind) {
    case MTL_FACTORIZATION_TUCKER:
        return tucker_entry(f, t, i);
    case MTL_FACTORIZATION_TENSOR_TRAIN:
        return train_entry(f, t, i);
    default:
        return laf_entry(f, t, p);
    }
}

/* ‖W - Ŵ‖ / ‖W‖ */
static double relative_error(const factored *f)
{
    double error = 0;
    double norm = 0;
    for (int64_t t = 0; t < f->s->modes.tasks; t++) {
        for (int64_t p = 0; p < f->s->size; p++) {
            double w = (double)f->s->w[t][p];
            double difference = w - entry(f, t, p);
            error += difference * difference;
            norm += w * w;
        }
    }
    return norm > 0 ? sqrt(error / norm) : sqrt(error);
}

/* ---- one factorization ---- */

typedef struct fixture {
    mtl_context *context;
    mtli_arena arena;
} fixture;

static void begin(fixture *f)
{
    f->context = test_context();
    mtli_arena_init(&f->arena, f->context);
}

static void end(fixture *f)
{
    mtli_arena_destroy(&f->arena);
    mtl_context_release(f->context);
}

static factored factorize(fixture *f, const stack *s, int32_t kind, double error, int64_t max_rank)
{
    factored result = {.s = s, .kind = kind};
    const mtli_factorize_options options = {kind, max_rank, error};
    assert_ok(f->context, mtli_factorize(f->context, &options, &s->modes, s->w, "w", &f->arena, &result.values));
    assert_true(mtli_factor_ranks_fit(kind, &s->modes, result.values.ranks));
    assert_int_equal(mtli_factor_layout(kind, &s->modes, result.values.ranks, result.factors), result.values.count);
    return result;
}

/* Factors of unit norm are rounded to ε/2, as is each stage's remainder; at most four stages. */
#define ROUNDING (8 * (double)MTLI_REAL_EPSILON)

static const struct {
    int32_t tasks, count;
    int64_t dims[MTLI_MAX_MODES];
} shapes[] = {
    {1, 1, {7}},     {4, 1, {9}},       {9, 1, {4}},     {1, 2, {12, 5}}, {1, 2, {5, 12}},
    {3, 2, {8, 6}},  {5, 2, {40, 3}},   {6, 2, {3, 40}}, {2, 2, {1, 10}}, {4, 3, {5, 6, 3}},
    {3, 3, {2, 30}}, {2, 3, {9, 1, 4}}, {13, 2, {2, 3}}, {1, 1, {1}},     {2, 3, {30, 2, 5}},
};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static void errors_are_what_was_allowed(void **state)
{
    (void)state;
    static const double errors[] = {0.9, 0.5, 0.2, 0.05, 1e-3, 0};
    fixture f;
    begin(&f);
    for (int k = 0; k < SHAPES; k++) {
        int64_t dims[MTLI_MAX_MODES];
        for (int d = 0; d < MTLI_MAX_MODES; d++) {
            dims[d] = shapes[k].dims[d] > 0 ? shapes[k].dims[d] : 1;
        }
        stack *s = make_stack(shapes[k].tasks, shapes[k].count, dims);
        fill_random(s, (uint64_t)k);
        for (int32_t kind = 0; kind < KINDS; kind++) {
            for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
                factored result = factorize(&f, s, kind, errors[e], 0);
                double actual = relative_error(&result);
                assert_true(actual <= errors[e] + ROUNDING);
                assert_near(actual, result.values.error, ROUNDING);
            }
        }
        free(s);
    }
    end(&f);
}

/* Sums of products of random factors. */
static stack *make_laf(int32_t tasks, int64_t rows, int64_t columns, int64_t rank)
{
    const int64_t dims[] = {rows, columns};
    stack *s = make_stack(tasks, 2, dims);
    mtli_rng rng;
    mtli_rng_init(&rng, 8, (uint64_t)rank);
    for (int64_t k = 0; k < rank; k++) {
        double shares[16];
        for (int32_t t = 0; t < tasks; t++) {
            shares[t] = mtli_rng_normal(&rng);
        }
        for (int64_t p = 0; p < s->size; p++) {
            double basis = mtli_rng_normal(&rng);
            for (int32_t t = 0; t < tasks; t++) {
                s->values[t * s->size + p] += (mtli_real)(shares[t] * basis);
            }
        }
    }
    return s;
}

/* W_t = A diag(c_t) B with A [rows, rank] and B [rank, columns]: rank in both modes and, if tasks are more, in theirs.
   */
static stack *make_low_rank(int32_t tasks, int64_t rows, int64_t columns, int64_t rank)
{
    const int64_t dims[] = {rows, columns};
    stack *s = make_stack(tasks, 2, dims);
    double a[400];
    double b[400];
    double c[400];
    mtli_rng rng;
    mtli_rng_init(&rng, 9, (uint64_t)rank);
    for (int i = 0; i < 400; i++) {
        a[i] = mtli_rng_normal(&rng);
        b[i] = mtli_rng_normal(&rng);
        c[i] = mtli_rng_normal(&rng);
    }
    for (int32_t t = 0; t < tasks; t++) {
        for (int64_t p = 0; p < s->size; p++) {
            double sum = 0;
            for (int64_t k = 0; k < rank; k++) {
                sum += a[p / columns * rank + k] * c[t * rank + k] * b[k * columns + p % columns];
            }
            s->values[t * s->size + p] = (mtli_real)sum;
        }
    }
    return s;
}

static void known_ranks_are_found(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    for (int64_t rank = 1; rank <= 3; rank++) {
        stack *laf = make_laf(7, 12, 9, rank);
        factored result = factorize(&f, laf, MTL_FACTORIZATION_LAF, 1e-6, 0);
        assert_int_equal(result.values.ranks[0], rank);
        assert_true(relative_error(&result) <= ROUNDING);
        free(laf);
        for (int wide = 0; wide < 2; wide++) {
            stack *s = make_low_rank(8, wide ? 6 : 25, wide ? 25 : 6, rank);
            result = factorize(&f, s, MTL_FACTORIZATION_TUCKER, 1e-6, 0);
            assert_int_equal(result.values.ranks[0], rank);
            assert_int_equal(result.values.ranks[2], rank);
            /* For rank 1 the last mode's factor would save nothing: the core has one row of it. */
            assert_int_equal(result.values.ranks[1], rank == 1 ? s->modes.dims[1] : rank);
            assert_int_equal(find_factor(&result, "mode1") == NULL, rank == 1);
            assert_true(relative_error(&result) <= ROUNDING);
            result = factorize(&f, s, MTL_FACTORIZATION_TENSOR_TRAIN, 1e-6, 0);
            assert_int_equal(result.values.ranks[0], rank);
            assert_int_equal(result.values.ranks[1], rank);
            assert_true(relative_error(&result) <= ROUNDING);
            free(s);
        }
    }
    end(&f);
}

static void one_network_of_low_rank(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    stack *s = make_low_rank(1, 20, 18, 4);
    factored result = factorize(&f, s, MTL_FACTORIZATION_TUCKER, 1e-6, 0);
    assert_int_equal(result.values.ranks[0], 4);
    assert_int_equal(result.values.ranks[1], 18); /* two factors, not three */
    assert_int_equal(result.values.ranks[2], 1);
    assert_int_equal(result.values.count, 3);
    assert_null(find_factor(&result, "mode1"));
    assert_true(relative_error(&result) <= ROUNDING);
    free(s);
    end(&f);
}

/* Orthogonal matrices with entries ± 1 times known singular values: the best approximations are known (Eckart & Young
 * 1936), and LAF is one. Hadamard's vectors have length 2 over tasks; over weights length 4. */
static void laf_is_the_best_approximation(void **state)
{
    (void)state;
    static const double sigma[4] = {1, 0.5, 0.1, 0.01};
    const int64_t dims[] = {4, 4};
    fixture f;
    begin(&f);
    stack *s = make_stack(4, 2, dims);
    for (int t = 0; t < 4; t++) {
        for (int p = 0; p < 16; p++) {
            double sum = 0;
            for (int k = 0; k < 4; k++) {
                double u = __builtin_parity((unsigned)(t & k)) ? -0.5 : 0.5;
                double v = __builtin_parity((unsigned)(p & k)) ? -0.25 : 0.25;
                sum += sigma[k] * u * v;
            }
            s->values[t * 16 + p] = (mtli_real)sum;
        }
    }
    double norm = sqrt(1 + 0.25 + 0.01 + 0.0001);
    for (int rank = 1; rank <= 3; rank++) {
        double tail = 0;
        for (int k = rank; k < 4; k++) {
            tail += sigma[k] * sigma[k];
        }
        double best = sqrt(tail) / norm;
        factored result = factorize(&f, s, MTL_FACTORIZATION_LAF, best * 1.0001, 0);
        assert_int_equal(result.values.ranks[0], rank);
        assert_near(relative_error(&result), best, ROUNDING);
        result = factorize(&f, s, MTL_FACTORIZATION_LAF, best * 0.9999, 0);
        assert_int_equal(result.values.ranks[0], rank + 1);
        result = factorize(&f, s, MTL_FACTORIZATION_LAF, 1e-6, rank);
        assert_int_equal(result.values.ranks[0], rank);
        assert_near(relative_error(&result), best, ROUNDING);
        assert_near(result.values.error, best, ROUNDING);
    }
    free(s);
    end(&f);
}

static void ranks_have_a_limit(void **state)
{
    (void)state;
    const int64_t dims[] = {9, 7};
    fixture f;
    begin(&f);
    stack *s = make_stack(5, 2, dims);
    fill_random(s, 3);
    for (int32_t kind = 0; kind < KINDS; kind++) {
        for (int full = 0; full < 2; full++) {
            factored result = factorize(&f, s, kind, full ? 0 : 1e-3, 2);
            for (int32_t k = 0; k < mtli_factor_num_ranks(kind, &s->modes); k++) {
                assert_int_equal(result.values.ranks[k], 2);
            }
            double actual = relative_error(&result);
            assert_true(actual > 0.1);
            assert_near(actual, result.values.error, ROUNDING);
        }
    }
    free(s);
    end(&f);
}

/* With error 0 the ranks do not depend on the values, and every factor has a nonzero value in each direction. */
static void zeros_have_the_ranks_that_are_asked(void **state)
{
    (void)state;
    static const int64_t sides[][2] = {{6, 4}, {30, 2}};
    fixture f;
    begin(&f);
    for (int k = 0; k < 2; k++) {
        stack *s = make_stack(3, 2, sides[k]);
        for (int32_t kind = 0; kind < KINDS; kind++) {
            factored result = factorize(&f, s, kind, 0, 2);
            assert_int_equal(result.values.ranks[0], 2);
            assert_near(relative_error(&result), 0, 0);
            assert_near(result.values.error, 0, 0);
            result = factorize(&f, s, kind, 0.1, 0);
            assert_int_equal(result.values.ranks[0], 1);
            assert_near(relative_error(&result), 0, 0);
        }
        free(s);
    }
    end(&f);
}

static void square_factors_are_left_out(void **state)
{
    (void)state;
    const int64_t dims[] = {4, 10};
    fixture f;
    begin(&f);
    stack *s = make_stack(3, 2, dims);
    fill_random(s, 12);
    factored tucker = factorize(&f, s, MTL_FACTORIZATION_TUCKER, 0, 0);
    assert_int_equal(tucker.values.count, 2);
    assert_null(find_factor(&tucker, "mode0"));
    assert_null(find_factor(&tucker, "mode1"));
    factored train = factorize(&f, s, MTL_FACTORIZATION_TENSOR_TRAIN, 0, 0);
    assert_int_equal(train.values.count, 2);
    assert_null(find_factor(&train, "core0"));
    free(s);
    end(&f);
}

/* No form has more values than the networks, but for the task factor. */
static void factors_that_save_nothing_are_left_out(void **state)
{
    (void)state;
    static const double errors[] = {0, 1e-3, 0.05, 0.1, 0.2, 0.4};
    fixture f;
    begin(&f);
    for (int k = 0; k < SHAPES; k++) {
        stack *s = make_stack(shapes[k].tasks, shapes[k].count < 2 ? shapes[k].count : 2, shapes[k].dims);
        fill_random(s, (uint64_t)k);
        for (int32_t kind = 0; kind < KINDS; kind++) {
            for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
                factored result = factorize(&f, s, kind, errors[e], 0);
                int64_t values = 0;
                for (int32_t i = 0; i < result.values.count - 1; i++) {
                    int64_t size = 1;
                    for (int32_t d = 0; d < result.factors[i].ndim; d++) {
                        size *= result.factors[i].dims[d];
                    }
                    values += size;
                }
                assert_true(values <= s->size * s->modes.tasks);
            }
        }
        free(s);
    }
    end(&f);
}

static void wrong_ranks_do_not_fit(void **state)
{
    (void)state;
    const mtli_modes modes = {.tasks = 3, .count = 2, .dims = {4, 10}};
    const struct {
        int32_t kind;
        int64_t ranks[3];
        bool fit;
    } cases[] = {
        {MTL_FACTORIZATION_LAF, {3, 0, 0}, true},           {MTL_FACTORIZATION_LAF, {4, 0, 0}, false},
        {MTL_FACTORIZATION_LAF, {0, 0, 0}, false},          {MTL_FACTORIZATION_TUCKER, {4, 10, 3}, true},
        {MTL_FACTORIZATION_TUCKER, {5, 10, 3}, false},      {MTL_FACTORIZATION_TUCKER, {4, 11, 3}, false},
        {MTL_FACTORIZATION_TUCKER, {4, 10, 4}, false},      {MTL_FACTORIZATION_TUCKER, {4, -1, 3}, false},
        {MTL_FACTORIZATION_TENSOR_TRAIN, {4, 3, 0}, true},  {MTL_FACTORIZATION_TENSOR_TRAIN, {5, 3, 0}, false},
        {MTL_FACTORIZATION_TENSOR_TRAIN, {4, 4, 0}, false}, {MTL_FACTORIZATION_TENSOR_TRAIN, {1, INT64_MAX, 0}, false},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        assert_int_equal(mtli_factor_ranks_fit(cases[k].kind, &modes, cases[k].ranks), cases[k].fit);
    }
}

static void weights_that_are_not_finite(void **state)
{
    (void)state;
    const int64_t dims[] = {3, 3};
    fixture f;
    begin(&f);
    stack *s = make_stack(2, 2, dims);
    fill_random(s, 1);
    for (int k = 0; k < 2; k++) {
        s->values[5] = k ? (mtli_real)INFINITY : (mtli_real)NAN;
        for (int32_t kind = 0; kind < KINDS; kind++) {
            const mtli_factorize_options options = {kind, 0, 0.1};
            mtli_factor_values values;
            assert_fails(f.context, mtli_factorize(f.context, &options, &s->modes, s->w, "cell.w", &f.arena, &values),
                         MTL_ERROR_NUMERIC, "cell.w");
        }
    }
    free(s);
    end(&f);
}

static void four_dimensions_are_three_modes(void **state)
{
    (void)state;
    mtl_tensor tensor;
    const int64_t dims[] = {8, 4, 3, 5};
    memset(&tensor, 0, sizeof tensor);
    tensor.shape = mtli_make_shape(MTLI_DTYPE_REAL, 4, dims);
    mtli_modes modes = mtli_stack_modes(&tensor, 2);
    assert_int_equal(modes.count, 3);
    assert_int_equal(modes.dims[0], 8);
    assert_int_equal(modes.dims[1], 4);
    assert_int_equal(modes.dims[2], 15);
}

/* The sums of one factorization do not depend on the number of threads. */
static void threads_give_the_same_bits(void **state)
{
    (void)state;
    const int64_t dims[] = {30, 40};
    stack *s = make_stack(4, 2, dims);
    fill_random(s, 77);
    for (int32_t kind = 0; kind < KINDS; kind++) {
        mtl_context *contexts[2];
        mtli_arena arenas[2];
        mtli_factor_values values[2];
        for (int k = 0; k < 2; k++) {
            mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
            const mtli_factorize_options how = {kind, 0, 0.3};
            options.threads = 1 + 2 * k;
            assert_int_equal(mtl_context_create(&options, &contexts[k]), MTL_OK);
            mtli_arena_init(&arenas[k], contexts[k]);
            assert_ok(contexts[k], mtli_factorize(contexts[k], &how, &s->modes, s->w, "w", &arenas[k], &values[k]));
        }
        mtli_factor factors[MTLI_MAX_FACTORS];
        assert_memory_equal(values[0].ranks, values[1].ranks, sizeof values[0].ranks);
        mtli_factor_layout(kind, &s->modes, values[0].ranks, factors);
        for (int32_t k = 0; k < values[0].count; k++) {
            size_t size = sizeof(mtli_real);
            for (int32_t d = 0; d < factors[k].ndim; d++) {
                size *= (size_t)factors[k].dims[d];
            }
            assert_memory_equal(values[0].values[k], values[1].values[k], size);
        }
        for (int k = 0; k < 2; k++) {
            mtli_arena_destroy(&arenas[k]);
            mtl_context_release(contexts[k]);
        }
    }
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_what_was_allowed),
        cmocka_unit_test(known_ranks_are_found),
        cmocka_unit_test(one_network_of_low_rank),
        cmocka_unit_test(laf_is_the_best_approximation),
        cmocka_unit_test(ranks_have_a_limit),
        cmocka_unit_test(zeros_have_the_ranks_that_are_asked),
        cmocka_unit_test(square_factors_are_left_out),
        cmocka_unit_test(factors_that_save_nothing_are_left_out),
        cmocka_unit_test(wrong_ranks_do_not_fit),
        cmocka_unit_test(weights_that_are_not_finite),
        cmocka_unit_test(four_dimensions_are_three_modes),
        cmocka_unit_test(threads_give_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
