/* SPDX-License-Identifier: Apache-2.0
 * Values of every kind of penalty, in double, beside their formulas in plain loops; gradients beside central
 * differences where Ω is smooth, and the choice of subgradient where it is not. */
#include "support/support_terms.h"

/* With steps h = ε^(1/3) along a direction of unit elements, the central difference of Ω errs by c ε Ω / h = 4e-11 c Ω
 * from rounding, c about 10, and by h² / 6 |f'''| = 6e-12 |f'''|; the third derivative of a trace norm is of the order
 * of Ω / sigma_min². Random matrices keep sigma_min above 0.05 here. */
#define GRADIENT_TOLERANCE 1e-7
#define GRADIENT_STEP 6.055454452393343e-06

/* ---- values ---- */

static double link_of(const term_sample *s, int32_t i, int32_t j)
{
    return s->term.graph ? s->graph[i * s->stack.count + j] / 2 : 1; /* a_ij of a symmetric graph */
}

static double naive_squares(const term_sample *s)
{
    double sum = 0;
    for (int64_t k = 0; k < s->stack.size; k++) {
        double mean = 0;
        for (int32_t i = 0; i < s->stack.count; i++) {
            mean += s->x[i][k] / s->stack.count;
        }
        for (int32_t i = 0; i < s->stack.count; i++) {
            double centre = s->term.options.form == MTL_L2_MEAN ? mean : 0;
            bool pairwise = s->term.options.form == MTL_L2_PAIRWISE;
            sum += pairwise ? 0 : (s->x[i][k] - centre) * (s->x[i][k] - centre);
            for (int32_t j = 0; j < s->stack.count && pairwise; j++) {
                double e = s->x[i][k] - s->x[j][k];
                sum += i == j ? 0 : link_of(s, i, j) * e * e;
            }
        }
    }
    return sum;
}

static double naive_differences(const term_sample *s)
{
    double sum = 0;
    double *d = term_take((size_t)s->stack.size * sizeof *d);
    for (int32_t i = 0; i < s->stack.count; i++) {
        for (int32_t j = 0; j < s->stack.count; j++) {
            for (int64_t k = 0; k < s->stack.size; k++) {
                d[k] = s->x[i][k] - s->x[j][k];
            }
            sum += i == j ? 0 : link_of(s, i, j) * term_trace((int32_t)s->stack.rows, s->stack.columns, d);
        }
    }
    free(d);
    return sum;
}

/* Index of an element in the modes `first` of [dims.., tasks], row-major, and in the others: `row` and `column`. */
static void split_index(const term_sample *s, int32_t t, int64_t i, const bool *first, int64_t *row, int64_t *column)
{
    int64_t index[4], dims[4];
    int32_t ndim = s->stack.ndim;
    for (int32_t d = ndim - 1; d >= 0; d--) {
        dims[d] = s->stack.dims[d];
        index[d] = i % dims[d];
        i /= dims[d];
    }
    dims[ndim] = s->stack.count;
    index[ndim] = t;
    *row = *column = 0;
    for (int32_t d = 0; d <= ndim; d++) {
        int64_t *where = first[d] ? row : column;
        *where = *where * dims[d] + index[d];
    }
}

/* The trace norm of the tensor [dims.., tasks] with the modes `first` as rows. */
static double naive_unfolding(const term_sample *s, const bool *first)
{
    int64_t total = s->stack.count * s->stack.size, rows = first[s->stack.ndim] ? s->stack.count : 1;
    for (int32_t d = 0; d < s->stack.ndim; d++) {
        rows *= first[d] ? s->stack.dims[d] : 1;
    }
    double *matrix = term_take((size_t)total * sizeof *matrix);
    for (int32_t t = 0; t < s->stack.count; t++) {
        for (int64_t i = 0; i < s->stack.size; i++) {
            int64_t row, column;
            split_index(s, t, i, first, &row, &column);
            matrix[row * (total / rows) + column] = s->x[t][i];
        }
    }
    double norm = term_trace((int32_t)rows, total / rows, matrix);
    free(matrix);
    return norm;
}

static double naive_stack(const term_sample *s)
{
    int32_t ndim = s->stack.ndim;
    double sum = 0;
    for (int32_t k = 0; k <= ndim; k++) {
        bool first[4] = {false};
        for (int32_t d = 0; d <= ndim; d++) {
            first[d] = s->term.options.unfolding == MTL_UNFOLDING_TENSOR_TRAIN ? d <= k : d == k;
        }
        bool wanted = s->term.options.unfolding == MTL_UNFOLDING_TASKS          ? k == ndim
                      : s->term.options.unfolding == MTL_UNFOLDING_TENSOR_TRAIN ? k < ndim
                                                                                : true;
        sum += wanted ? naive_unfolding(s, first) : 0;
    }
    return sum;
}

static double naive_groups(const term_sample *s)
{
    double sum = 0;
    for (int64_t group = 0; group < s->stack.size + s->stack.count; group++) {
        double square = 0, most = 0;
        for (int64_t e = 0; e < s->stack.count * s->stack.size; e++) {
            double x = s->x[e / s->stack.size][e % s->stack.size];
            if (term_group_of(s, (int32_t)(e / s->stack.size), e % s->stack.size) == group) {
                square += x * x;
                most = fmax(most, fabs(x));
            }
        }
        sum += s->what->kind == MTL_PENALTY_L21 ? sqrt(square) : most;
    }
    return sum;
}

static double naive_absolute(const term_sample *s)
{
    double sum = 0;
    for (int64_t e = 0; e < s->stack.count * s->stack.size; e++) {
        sum += fabs(s->x[e / s->stack.size][e % s->stack.size]);
    }
    return sum;
}

static void value_of_clusters(const void *argument, int32_t count, double *sigma)
{
    const term_sample *s = argument;
    double eta = s->term.options.clustering;
    double *m = term_take((size_t)count * sizeof *m);
    double value = eta * (1 + eta) * term_fill(count, sigma, eta, fmin(s->term.options.clusters, count), m);
    memset(sigma, 0, (size_t)count * sizeof *sigma);
    sigma[0] = value; /* the trace of what results */
    free(m);
}

static double naive_value(const term_sample *s)
{
    double *all = term_copy(s, s->x), value = 0;
    switch (s->what->kind) {
    case MTL_PENALTY_L2:
        value = naive_squares(s);
        break;
    case MTL_PENALTY_TRACE_NORM_DIFFERENCES:
        value = naive_differences(s);
        break;
    case MTL_PENALTY_TRACE_NORM:
        value = naive_stack(s);
        break;
    case MTL_PENALTY_L1:
        value = naive_absolute(s);
        break;
    case MTL_PENALTY_CLUSTERED:
        term_spectral(s->stack.count, s->stack.size, all, value_of_clusters, s);
        value = term_trace(s->stack.count, s->stack.size, all);
        break;
    default:
        value = naive_groups(s);
        break;
    }
    free(all);
    return value;
}

static void check_value(term_sample *s)
{
    double found = term_value(s), wanted = naive_value(s);
    term_expect(s, fabs(found - wanted) <= 1e-12 * wanted, "value", found, wanted);
}

static void test_values(void **state)
{
    (void)state;
    term_for_each(check_value, false);
}

/* ---- gradients ---- */

static double value_along(const term_sample *s, const double *start, const double *direction, double step)
{
    for (int64_t e = 0; e < s->stack.count * s->stack.size; e++) {
        s->x[e / s->stack.size][e % s->stack.size] = start[e] + step * direction[e];
    }
    return term_value(s);
}

static double take_gradient(const term_sample *s, double scale)
{
    double value = NAN;
    assert_true(mtli_term_gradient_double(NULL, &s->term, &s->twice, scale, s->y, &value, s->work_double));
    return value;
}

/* In random directions: it is improbable that a wrong element hides in all of them. The gradient is added to what is
 * there. */
static void check_gradient(term_sample *s)
{
    int64_t total = s->stack.count * s->stack.size;
    double *start = term_copy(s, s->x), *direction = term_copy(s, s->x);
    mtli_rng rng;
    mtli_rng_init(&rng, 4, 4);
    for (int32_t t = 0; t < s->stack.count; t++) {
        for (int64_t i = 0; i < s->stack.size; i++) {
            s->y[t][i] = 100 + t;
        }
    }
    double value = take_gradient(s, 0.75), plain = term_value(s);
    term_expect(s, fabs(value - plain) <= 1e-13 * plain, "value beside the gradient", value, plain);
    for (int k = 0; k < 6; k++) {
        double slope = 0;
        for (int64_t e = 0; e < total; e++) {
            int64_t t = e / s->stack.size;
            direction[e] = 2 * mtli_rng_uniform(&rng) - 1;
            slope += (s->y[t][e % s->stack.size] - (100 + (double)t)) * direction[e];
        }
        double up = value_along(s, start, direction, GRADIENT_STEP);
        double down = value_along(s, start, direction, -GRADIENT_STEP);
        double wanted = 0.75 * (up - down) / (2 * GRADIENT_STEP);
        double scale = fmax(1, value);
        term_expect(s, fabs(slope - wanted) <= GRADIENT_TOLERANCE * scale, "slope", slope, wanted);
    }
    free(start);
    free(direction);
}

static void test_gradients(void **state)
{
    (void)state;
    term_for_each(check_gradient, false);
}

/* Where all weights are 0, the value is 0 and so is the subgradient; where all tasks are equal, that of what compares
 * them. */
static void check_kink(term_sample *s)
{
    double *first = term_take((size_t)s->stack.size * sizeof *first);
    bool compares = s->what->kind == MTL_PENALTY_TRACE_NORM_DIFFERENCES ||
                    (s->what->kind == MTL_PENALTY_L2 && s->what->form != MTL_L2_RIDGE);
    memcpy(first, s->x[0], (size_t)s->stack.size * sizeof *first);
    for (int equal = 0; equal <= compares; equal++) {
        for (int32_t t = 0; t < s->stack.count; t++) {
            for (int64_t i = 0; i < s->stack.size; i++) {
                s->x[t][i] = equal * first[i];
            }
        }
        assert_true(take_gradient(s, 1) == 0);
        for (int32_t t = 0; t < s->stack.count; t++) {
            for (int64_t i = 0; i < s->stack.size; i++) {
                term_expect(s, s->y[t][i] == 0, "subgradient", s->y[t][i], 0);
            }
        }
        if (s->term.kind->has_proximal(&s->term, s->stack.count)) {
            term_step(s, 0.5);
            for (int32_t t = 0; t < s->stack.count; t++) {
                for (int64_t i = 0; i < s->stack.size; i++) {
                    term_expect(s, s->x[t][i] == equal * first[i], "step", s->x[t][i], equal * first[i]);
                }
            }
        }
    }
    free(first);
}

static void test_kinks(void **state)
{
    (void)state;
    term_for_each(check_kink, false);
}

/* Ω(Z) >= Ω(W) + <G, Z - W> at points of low rank, with zeros and with ties. */
static void check_subgradient(term_sample *s)
{
    mtli_rng rng;
    mtli_rng_init(&rng, 14, 4);
    for (int32_t t = 0; t < s->stack.count; t++) {
        for (int64_t i = 0; i < s->stack.size; i++) {
            s->x[t][i] = i == 2 ? 0 : t % 2 ? i % 3 - 1 : 1 - i % 3; /* rank one */
        }
    }
    double *start = term_copy(s, s->x), *z = term_copy(s, s->x);
    double value = take_gradient(s, 1);
    for (int k = 0; k < 12; k++) {
        double size = pow(10, -0.5 * k), slope = 0, sum = 0;
        for (int64_t e = 0; e < s->stack.count * s->stack.size; e++) {
            double move = size * mtli_rng_normal(&rng);
            z[e] = start[e] + move;
            slope += s->y[e / s->stack.size][e % s->stack.size] * move;
            sum += fabs(move);
        }
        term_put(s, z);
        double there = term_value(s);
        term_expect(s, there >= value + slope - 1e-12 * (value + sum), "subgradient", there, value + slope);
    }
    free(start);
    free(z);
}

static void test_subgradients(void **state)
{
    (void)state;
    term_for_each(check_subgradient, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_kinks),
        cmocka_unit_test(test_subgradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
