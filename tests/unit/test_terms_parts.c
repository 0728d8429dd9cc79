/* SPDX-License-Identifier: Apache-2.0
 * The small solvers behind penalties, at their extremes: water-filling and the inverse of a Laplacian. */
#include "support/support_terms.h"

#include "sharing/laplacian.h"
#include "sharing/spectral_double.h"
#include "sharing/water_fill.h"

/* Optimality: sigma_i / (eta + m_i) is one level for 0 < m_i < 1, at most that at m_i = 0, at least that at m_i =
 * 1. */
static void check_fill(int32_t count, const double *sigma, double eta, double budget)
{
    double m[8], spent = 0, low = 0, high = INFINITY;
    int32_t positive = 0;
    mtli_water_fill(count, sigma, eta, budget, m);
    for (int32_t i = 0; i < count; i++) {
        assert_true(m[i] >= 0 && m[i] <= 1);
        spent += m[i];
        positive += sigma[i] > 0;
        double level = sigma[i] / (eta + m[i]);
        low = m[i] < 1 ? fmax(low, level) : low;
        high = m[i] > 0 ? fmin(high, level) : high;
    }
    /* Each m is rounded at (eta + m) ε, and the level at 8 ε of itself. */
    assert_near(spent, budget, 1e-14 * count * (1 + eta));
    assert_true(low <= high * (1 + 1e-13) || budget >= positive);
    for (int32_t i = 0; i < count && budget >= positive; i++) {
        assert_true(sigma[i] == 0 || m[i] == 1);
    }
}

static void test_water_fill(void **state)
{
    (void)state;
    static const double spectra[][8] = {
        {5, 4, 3, 2, 1, 0.5, 0.25, 0.1},
        {1, 1, 1, 1, 1, 1, 1, 1},
        {2, 2, 2, 1, 1, 1, 1, 1},
        {1e10, 1, 1e-10, 1e-20, 1e-30, 1e-40, 1e-50, 1e-60},
        {1, 1, 1, 1e-18, 1e-18, 1e-18, 1e-18, 0},
        {1, 0.999999999999, 0.999999999998, 1e-9, 1e-9, 0, 0, 0},
        {3, 2, 0, 0, 0, 0, 0, 0},
        {1e-200, 1e-201, 1e-202, 1e-203, 1e-204, 1e-205, 1e-206, 1e-207},
        {0, 0, 0, 0, 0, 0, 0, 0},
    };
    static const double etas[] = {1e-6, 0.1, 1, 30, 1e9};
    for (size_t k = 0; k < sizeof spectra / sizeof spectra[0]; k++) {
        for (size_t e = 0; e < sizeof etas / sizeof etas[0]; e++) {
            for (double budget = 0.5; budget <= 8; budget += 0.5) {
                check_fill(8, spectra[k], etas[e], budget);
            }
            check_fill(1, spectra[k], etas[e], 1);
            check_fill(2, spectra[k], etas[e], 1);
        }
    }
}

enum { NODES = 6 };

/* K (I + factor L) = I to rounding, rows sum to 1, nothing is negative, whatever the factor. */
static void check_inverse(const double *graph, double factor)
{
    double k[NODES * NODES], work[NODES * (NODES + 2)];
    assert_true(mtli_laplacian_inverse(NODES, graph, factor, k, work));
    for (int i = 0; i < NODES; i++) {
        double sum = 0;
        for (int j = 0; j < NODES; j++) {
            double product = k[i * NODES + j], size = product;
            for (int l = 0; l < NODES; l++) {
                double link = l == j ? 0 : factor * graph[l * NODES + j];
                product += link * (k[i * NODES + j] - k[i * NODES + l]);
                size += link * (k[i * NODES + j] + k[i * NODES + l]);
            }
            sum += k[i * NODES + j];
            assert_true(k[i * NODES + j] >= 0);
            assert_near(product, i == j, 1e-14 * (1 + size));
            assert_near(k[i * NODES + j], k[j * NODES + i], 1e-14 * k[i * NODES + j]);
        }
        assert_near(sum, 1, 1e-14);
    }
}

static void test_laplacian(void **state)
{
    (void)state;
    double graph[NODES * NODES];
    static const double factors[] = {0, 1e-12, 0.1, 1, 1e6, 1e18, 1e100};
    mtli_rng rng;
    mtli_rng_init(&rng, 2, 2);
    term_fill_graph(graph, NODES, &rng);
    graph[0] = NAN; /* the diagonal is not read */
    for (size_t k = 0; k < sizeof factors / sizeof factors[0]; k++) {
        check_inverse(graph, factors[k]);
    }
    /* Two components: with a large factor each takes its own mean, to the last digits. */
    for (int i = 0; i < NODES * NODES; i++) {
        graph[i] = (i / NODES < 2) == (i % NODES < 2) && i / NODES != i % NODES ? 1 : 0;
    }
    double k[NODES * NODES], work[NODES * (NODES + 2)];
    check_inverse(graph, 1e18);
    assert_true(mtli_laplacian_inverse(NODES, graph, 1e18, k, work));
    for (int i = 0; i < NODES * NODES; i++) {
        bool first = i / NODES < 2, same = first == (i % NODES < 2);
        assert_near(k[i], same ? first ? 0.5 : 0.25 : 0, 1e-15);
    }
    assert_false(mtli_laplacian_inverse(NODES, graph, 1e308 * 10, k, work));
}

/* The functions of singular values for doubles beside rotations: wide, tall, of low rank. */
static void check_matrix(int64_t rows, int64_t columns, int64_t rank)
{
    double *a = term_take((size_t)(rows * columns) * sizeof *a), *b = term_take((size_t)(rows * columns) * sizeof *b);
    double *polar = term_take((size_t)(rows * columns) * sizeof *polar);
    double *values = term_take((size_t)(rows + columns) * sizeof *values);
    void *work = term_take(mtli_spectral_work_double(NULL, rows, columns));
    mtli_rng rng;
    mtli_rng_init(&rng, 6, (uint64_t)rank);
    memset(a, 0, (size_t)(rows * columns) * sizeof *a);
    for (int64_t k = 0; k < rank; k++) {
        for (int64_t i = 0; i < rows; i++) {
            values[i] = mtli_rng_normal(&rng);
        }
        for (int64_t j = 0; j < columns; j++) {
            double v = mtli_rng_normal(&rng);
            for (int64_t i = 0; i < rows; i++) {
                a[i * columns + j] += values[i] * v;
            }
        }
    }
    memcpy(b, a, (size_t)(rows * columns) * sizeof *a);
    double wanted = term_trace((int32_t)rows, columns, b), norm = NAN, sum = 0, inner = 0, square = 0;
    int64_t above = 0;
    assert_true(mtli_trace_norm_double(NULL, rows, columns, a, &norm, polar, work));
    assert_true(mtli_singular_values_double(NULL, rows, columns, a, values, work));
    for (int64_t k = 0; k < (rows < columns ? rows : columns); k++) {
        sum += values[k];
        above += values[k] > 1e-13 * values[0];
        assert_true(k == 0 || values[k] <= values[k - 1]);
    }
    assert_int_equal(above, rank); /* what squaring loses of the small ones is 1e-8 */
    assert_near(norm, wanted, 1e-13 * wanted);
    assert_near(sum, wanted, 1e-13 * wanted);
    for (int64_t e = 0; e < rows * columns; e++) {
        inner += polar[e] * a[e];
        square += polar[e] * polar[e];
    }
    assert_near(inner, norm, 1e-12 * norm);
    assert_near(square, rank, 1e-10); /* as many singular values of 1 */
    free(a);
    free(b);
    free(polar);
    free(values);
    free(work);
}

static void test_spectral_double(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {{1, 1, 1},  {1, 9, 1},  {9, 1, 1},  {12, 5, 5},
                                       {5, 12, 5}, {12, 5, 2}, {5, 12, 2}, {8, 8, 3}};
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        check_matrix(sizes[k][0], sizes[k][1], sizes[k][2]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_water_fill),
        cmocka_unit_test(test_laplacian),
        cmocka_unit_test(test_spectral_double),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
