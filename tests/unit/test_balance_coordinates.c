/* SPDX-License-Identifier: Apache-2.0
 * The rules on coordinates beside naive loops, at lengths around the blocks that they work in; in pieces, in place, in
 * another order of tasks, and where gradients are absent, zero, or far from 1. */
#include "support/support_balance.h"

#include "balance/coordinates.h"

enum { MOST_TASKS = 128, MOST_LENGTH = 1100 };

/* Gradients of some tasks, among them absent ones. */
typedef struct runs {
    int32_t tasks;
    int64_t n;
    mtli_real *data[MOST_TASKS];
    const mtli_real *g[MOST_TASKS];
} runs;

static runs runs_create(int32_t tasks, int64_t n, double scale, bool absent, mtli_rng *rng)
{
    runs r = {.tasks = tasks, .n = n};
    for (int32_t t = 0; t < tasks; t++) {
        r.data[t] = balance_allocate((size_t)n * sizeof(mtli_real));
        bool missing = absent && mtli_rng_below(rng, 4) == 0;
        r.g[t] = missing ? NULL : r.data[t];
        for (int64_t i = 0; i < n; i++) { /* whole numbers: there are ties and zeros */
            bool whole = i % 3 == 0;
            double x = whole ? (double)mtli_rng_below(rng, 7) - 3 : mtli_rng_normal(rng);
            r.data[t][i] = missing ? 0 : (mtli_real)(scale * x);
        }
    }
    return r;
}

static void runs_free(runs *r)
{
    for (int32_t t = 0; t < r->tasks; t++) {
        free(r->data[t]);
    }
}

static const int64_t LENGTHS[] = {0, 1, 63, 64, 65, 200, 512, 513, MOST_LENGTH};
enum { LENGTH_COUNT = sizeof LENGTHS / sizeof LENGTHS[0] };

/* ---- weighted sum ---- */

static void sum_is_the_naive_sum(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 3, 1);
    for (int k = 0; k < LENGTH_COUNT; k++) {
        int32_t tasks = 1 + (int32_t)mtli_rng_below(&rng, 9);
        runs r = runs_create(tasks, LENGTHS[k], 1e-15, true, &rng);
        double weights[MOST_TASKS];
        mtli_real out[MOST_LENGTH];
        for (int32_t t = 0; t < tasks; t++) {
            weights[t] = mtli_rng_below(&rng, 3) == 0 ? 0 : 1e15 * mtli_rng_normal(&rng);
        }
        mtli_coordinates_sum(tasks, r.n, r.g, weights, out);
        for (int64_t i = 0; i < r.n; i++) {
            double sum = 0;
            double magnitude = 0;
            for (int32_t t = 0; t < tasks; t++) {
                sum += weights[t] * (double)r.data[t][i];
                magnitude += fabs(weights[t] * (double)r.data[t][i]);
            }
            /* each term: its weight, its product, and at most T sums */
            assert_near((double)out[i], sum, (tasks + 2) * MTLI_REAL_EPSILON * magnitude);
        }
        runs_free(&r);
    }
}

static void sum_with_one_weight_is_that_gradient(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 3, 2);
    runs r = runs_create(3, 600, 1e-3, false, &rng);
    const double weights[] = {0, 1, 0};
    mtli_real out[600];
    r.data[0][5] = NAN; /* not read */
    r.g[2] = NULL;
    mtli_coordinates_sum(3, 600, r.g, weights, out);
    for (int i = 0; i < 600; i++) {
        assert_true(out[i] == r.data[1][i]);
    }
    runs_free(&r);
}

static void sum_in_pieces_and_in_place(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 3, 3);
    runs r = runs_create(5, MOST_LENGTH, 1, false, &rng);
    const double weights[] = {0.3, -1.7, 2, 1e-3, 5};
    mtli_real whole[MOST_LENGTH];
    mtli_real pieces[MOST_LENGTH];
    mtli_coordinates_sum(5, MOST_LENGTH, r.g, weights, whole);
    for (int64_t begin = 0; begin < MOST_LENGTH; begin += 37) {
        const mtli_real *g[5];
        for (int t = 0; t < 5; t++) {
            g[t] = r.g[t] + begin;
        }
        int64_t length = MOST_LENGTH - begin < 37 ? MOST_LENGTH - begin : 37;
        mtli_coordinates_sum(5, length, g, weights, pieces + begin);
    }
    assert_memory_equal(whole, pieces, sizeof whole);
    mtli_coordinates_sum(5, MOST_LENGTH, r.g, weights, r.data[3]);
    assert_memory_equal(whole, r.data[3], sizeof whole);
    runs_free(&r);
}

/* Products inside of the range of float, of weights outside of it. */
static void sum_with_weights_beyond_float(void **state)
{
    (void)state;
    const mtli_real small[] = {(mtli_real)1e-30, 0, (mtli_real)-1e-20};
    const mtli_real large[] = {(mtli_real)1e20, 0, (mtli_real)1e30};
    const mtli_real *const g[] = {small, large};
    mtli_real out[3];
    mtli_coordinates_sum(2, 3, g, ((const double[]){1e45, 0}), out);
    assert_near((double)out[0] * 1e-15, 1, 1e-6);
    assert_near((double)out[1], 0, 0);
    assert_near((double)out[2] * 1e-25, -1, 1e-6);
    mtli_coordinates_sum(2, 3, g, ((const double[]){0, 1e-45}), out);
    assert_near((double)out[0] * 1e25, 1, 1e-6);
    assert_near((double)out[2] * 1e15, 1, 1e-6);
}

/* ---- trimmed mean ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void check_trimmed(const runs *r, int32_t trim)
{
    mtli_real *work = balance_allocate((size_t)r->tasks * MTLI_COORDINATES_BLOCK * sizeof(mtli_real));
    mtli_real out[MOST_LENGTH];
    int32_t kept = r->tasks - 2 * trim;
    mtli_coordinates_trimmed_mean(r->tasks, trim, r->n, r->g, out, work);
    for (int64_t i = 0; i < r->n; i++) {
        double column[MOST_TASKS];
        double sum = 0;
        double magnitude = 0;
        for (int32_t t = 0; t < r->tasks; t++) {
            column[t] = (double)r->data[t][i];
        }
        qsort(column, (size_t)r->tasks, sizeof column[0], by_value);
        for (int32_t t = trim; t < r->tasks - trim; t++) {
            sum += column[t];
            magnitude += fabs(column[t]);
        }
        /* kept - 1 sums and a quotient */
        assert_near((double)out[i], sum / kept, kept * MTLI_REAL_EPSILON * magnitude / kept);
    }
    free(work);
}

static void trimmed_mean_is_the_naive_one(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 3, 4);
    for (int32_t tasks = 1; tasks <= 40; tasks++) {
        for (int32_t trim = 0; 2 * trim < tasks; trim++) {
            runs r = runs_create(tasks, LENGTHS[(tasks + trim) % 6], 1, tasks % 2, &rng);
            check_trimmed(&r, trim);
            runs_free(&r);
        }
    }
    for (int k = 0; k < 4; k++) {
        runs r = runs_create(MOST_TASKS - k, 130, pow(10, 10 * k - 15), true, &rng);
        check_trimmed(&r, (int32_t[]){0, 1, 20, 62}[k]);
        runs_free(&r);
    }
}

/* Bit by bit: in each column the numbers are added in ascending order. */
static void trimmed_mean_does_not_see_the_order_of_tasks(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 3, 5);
    runs r = runs_create(11, 300, 1, true, &rng);
    mtli_real work[11 * MTLI_COORDINATES_BLOCK];
    mtli_real first[300];
    mtli_coordinates_trimmed_mean(11, 2, 300, r.g, first, work);
    for (int k = 0; k < 20; k++) {
        size_t a = (size_t)mtli_rng_below(&rng, 11);
        size_t b = (size_t)mtli_rng_below(&rng, 11);
        const mtli_real *g = r.g[a];
        r.g[a] = r.g[b];
        r.g[b] = g;
        mtli_real other[300];
        mtli_coordinates_trimmed_mean(11, 2, 300, r.g, other, work);
        assert_memory_equal(first, other, sizeof first);
    }
    mtli_coordinates_trimmed_mean(11, 2, 300, r.g, r.data[0], work); /* in place */
    assert_memory_equal(first, r.data[0], sizeof first);
    runs_free(&r);
}

/* As many outliers as are trimmed, infinite ones included, do not move the mean out of the range of the others. */
static void trimmed_mean_is_robust(void **state)
{
    (void)state;
    mtli_real rows[5][2] = {{1, 2}, {(mtli_real)INFINITY, (mtli_real)-1e30}, {3, 4}, {5, 6}, {0, (mtli_real)-INFINITY}};
    const mtli_real *g[] = {rows[0], rows[1], rows[2], rows[3], rows[4]};
    mtli_real work[5 * MTLI_COORDINATES_BLOCK];
    mtli_real out[2];
    mtli_coordinates_trimmed_mean(5, 1, 2, g, out, work);
    assert_near((double)out[0], 3, 0);
    mtli_coordinates_trimmed_mean(5, 2, 2, g, out, work);
    assert_near((double)out[0], 3, 0);
    assert_near((double)out[1], 2, 0);
}

/* ---- GradDrop ---- */

static void check_drop(const runs *r, double leak, mtli_rng *rng)
{
    mtli_real u[MOST_LENGTH];
    mtli_real out[MOST_LENGTH];
    mtli_coordinates_uniform(7, mtli_rng_below(rng, 1000), 5, r->n, u);
    mtli_coordinates_sign_drop(r->tasks, r->n, r->g, u, leak, out);
    for (int64_t i = 0; i < r->n; i++) {
        double sum = 0;
        double magnitude = 0;
        double expected = 0;
        for (int32_t t = 0; t < r->tasks; t++) {
            sum += (double)r->data[t][i];
            magnitude += fabs((double)r->data[t][i]);
        }
        double purity = magnitude > 0 ? 0.5 * (1 + sum / magnitude) : 0.5;
        if (fabs(purity - (double)u[i]) <= r->tasks * MTLI_REAL_EPSILON) {
            continue; /* either answer */
        }
        for (int32_t t = 0; t < r->tasks; t++) {
            double g = (double)r->data[t][i];
            bool kept = (purity > (double)u[i] && g > 0) || (purity < (double)u[i] && g < 0);
            expected += (leak + (1 - leak) * kept) * g;
        }
        assert_near((double)out[i], expected, (r->tasks + 1) * MTLI_REAL_EPSILON * magnitude);
    }
}

static void sign_drop_is_the_naive_one(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 3, 6);
    for (int k = 0; k < 60; k++) {
        int32_t tasks = 1 + (int32_t)mtli_rng_below(&rng, 20);
        runs r = runs_create(tasks, LENGTHS[k % LENGTH_COUNT], (double[]){1e-15, 1, 1e15}[k % 3], k % 2, &rng);
        check_drop(&r, (double[]){0, 0.25, 1}[k % 3], &rng);
        runs_free(&r);
    }
}

/* Of +3 and -1 the positive sign wins in three of four coordinates; where signs agree, nothing is lost; zeros stay. */
static void sign_drop_keeps_signs_by_their_purity(void **state)
{
    (void)state;
    enum { N = 40000 };
    mtli_real *g = balance_allocate(3 * N * sizeof(mtli_real));
    mtli_real *u = balance_allocate(N * sizeof(mtli_real));
    mtli_real *out = balance_allocate(N * sizeof(mtli_real));
    const mtli_real *rows[] = {g, g + N, NULL};
    int positive = 0;
    mtli_coordinates_uniform(1, 2, 0, N, u);
    for (int i = 0; i < N; i++) {
        g[i] = 3;
        g[N + i] = -1;
    }
    mtli_coordinates_sign_drop(3, N, rows, u, 0, out);
    for (int i = 0; i < N; i++) {
        assert_true(out[i] == 3 || out[i] == -1);
        positive += out[i] > 0;
    }
    assert_near(positive / (double)N, 0.75, 5 * sqrt(0.75 * 0.25 / N)); /* five standard deviations */
    for (int i = 0; i < N; i++) {
        g[N + i] = i % 2 ? 1 : 0;
        g[i] = i % 2 ? (mtli_real)0.1 : 0;
    }
    mtli_coordinates_sign_drop(3, N, rows, u, 0, out);
    for (int i = 0; i < N; i++) {
        assert_true(out[i] == g[i] + g[N + i]);
    }
    mtli_coordinates_sign_drop(3, N, rows, u, 0, g + N); /* in place */
    assert_memory_equal(g + N, out, N * sizeof(mtli_real));
    free(g);
    free(u);
    free(out);
}

static void uniform_numbers_belong_to_coordinates(void **state)
{
    (void)state;
    enum { N = 10000 };
    mtli_real whole[N];
    mtli_real piece[N];
    mtli_coordinates_uniform(9, 4, 0, N, whole);
    double sum = 0;
    for (int i = 0; i < N; i++) {
        assert_true(whole[i] > 0 && whole[i] < 1);
        sum += (double)whole[i];
    }
    assert_near(sum / N, 0.5, 5 / sqrt(12.0 * N));
    for (int begin = 0; begin < 9; begin++) {
        mtli_coordinates_uniform(9, 4, begin, 100, piece);
        assert_memory_equal(piece, whole + begin, 100 * sizeof piece[0]);
    }
    mtli_coordinates_uniform(9, 5, 0, 100, piece);
    assert_memory_not_equal(piece, whole, 100 * sizeof piece[0]);
    mtli_coordinates_uniform(10, 4, 0, 100, piece);
    assert_memory_not_equal(piece, whole, 100 * sizeof piece[0]);
}

/* Two rows of three features, two tasks. Feature 0: s = (1·1 - 2·-1, ...). */
static void representation_signs_are_those_of_the_paper(void **state)
{
    (void)state;
    const mtli_real z[] = {1, -2, 0, -3, 4, 5};
    const mtli_real first[] = {1, 2, 3, -2, 5, 6};
    const mtli_real second[] = {-1, 2, 7, 1, 1, -6};
    const mtli_real *const g[] = {first, second};
    double evidence[6] = {0};
    mtli_sign_evidence(2, 3, first, z, evidence);
    mtli_sign_evidence(2, 3, second, z, evidence + 3);
    const double expected[] = {3, 3, 6, -2, -1, -6};
    assert_close(evidence, expected, 6, 0, 0);
    const mtli_real u[] = {(mtli_real)0.7, (mtli_real)0.74, (mtli_real)0.45}; /* P = .6, .75, .5 */
    mtli_real mask[6];
    mtli_sign_mask(2, 3, evidence, u, 0.25, mask);
    const mtli_real masks[] = {(mtli_real)0.25, 1, 1, 1, (mtli_real)0.25, (mtli_real)0.25};
    assert_memory_equal(mask, masks, sizeof mask);
    mtli_real out[6];
    mtli_sign_apply(2, 2, 3, g, mask, out);
    for (int i = 0; i < 6; i++) {
        assert_near((double)out[i], (double)(masks[i % 3] * first[i] + masks[3 + i % 3] * second[i]), 0);
    }
    const mtli_real *const one[] = {first, NULL};
    mtli_sign_apply(2, 2, 3, one, mask, out);
    assert_near((double)out[0], 0.25, 0);
    const double nothing[6] = {0};
    mtli_sign_mask(2, 3, nothing, u, 0, mask);
    assert_memory_equal(mask, (const mtli_real[6]){0}, sizeof mask);
}

/* One row of positive features: the rule on representations is that on parameters. */
static void representation_and_parameters_agree(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 3, 7);
    runs r = runs_create(6, 200, 1e5, false, &rng);
    double evidence[6 * 200] = {0};
    mtli_real z[200];
    mtli_real u[200];
    mtli_real mask[6 * 200];
    mtli_real by_mask[200];
    mtli_real by_sign[200];
    mtli_coordinates_uniform(1, 1, 0, 200, u);
    for (int i = 0; i < 200; i++) {
        z[i] = (mtli_real)(1 + i);
    }
    for (int t = 0; t < 6; t++) {
        mtli_sign_evidence(1, 200, r.g[t], z, evidence + t * 200);
    }
    mtli_sign_mask(6, 200, evidence, u, 0.5, mask);
    mtli_sign_apply(6, 1, 200, r.g, mask, by_mask);
    mtli_coordinates_sign_drop(6, 200, r.g, u, 0.5, by_sign);
    for (int i = 0; i < 200; i++) { /* 6 numbers below 4e5 */
        assert_near((double)by_mask[i], (double)by_sign[i], 12 * MTLI_REAL_EPSILON * 4e5);
    }
    runs_free(&r);
}

/* Powers of two are exact: so are the results in another unit of length. */
static void unit_of_length_does_not_matter(void **state)
{
    (void)state;
    const mtli_real unit = (mtli_real)0x1p-50;
    mtli_rng rng;
    mtli_rng_init(&rng, 3, 9);
    runs r = runs_create(7, 300, 1, false, &rng);
    mtli_real u[300];
    mtli_real work[7 * MTLI_COORDINATES_BLOCK];
    mtli_real out[2][2][300];
    mtli_coordinates_uniform(1, 3, 0, 300, u);
    for (int k = 0; k < 2; k++) {
        mtli_coordinates_trimmed_mean(7, 2, 300, r.g, out[k][0], work);
        mtli_coordinates_sign_drop(7, 300, r.g, u, 0.5, out[k][1]);
        for (int i = 0; i < 7 * 300; i++) {
            r.data[i / 300][i % 300] *= unit;
        }
    }
    for (int i = 0; i < 300; i++) {
        assert_true(out[1][0][i] == out[0][0][i] * unit);
        assert_true(out[1][1][i] == out[0][1][i] * unit);
    }
    runs_free(&r);
}

/* ---- state ---- */

static void tracked_gradients_follow(void **state)
{
    (void)state;
    mtli_real y[] = {1, -2, 0};
    const mtli_real g[] = {4, 8, (mtli_real)1e-20};
    mtli_coordinates_track(3, 0.25, 0.5, g, y);
    assert_near((double)y[0], 1.25, 0);
    assert_near((double)y[1], -0.5, 0);
    mtli_coordinates_track(3, 0.5, 9, NULL, y);
    assert_near((double)y[0], 0.625, 0);
    mtli_coordinates_track(3, 1, 1, g, y); /* exactly g */
    assert_memory_equal(y, g, sizeof g);
    mtli_coordinates_track(3, 1, 1e8, g, y);
    assert_near((double)y[2] * 1e12, 1, 1e-6);
    mtli_coordinates_track(3, 1, 1, NULL, y);
    assert_near((double)(y[0] + y[1] + y[2]), 0, 0);
}

static void excess_is_the_naive_one(void **state)
{
    (void)state;
    mtli_rng rng;
    mtli_rng_init(&rng, 3, 8);
    for (int k = 0; k < LENGTH_COUNT; k++) {
        runs r = runs_create(1, LENGTHS[k], (double[]){1, 1e-3, 1e5}[k % 3], false, &rng);
        mtli_real squares[MOST_LENGTH] = {0};
        double exact[MOST_LENGTH] = {0};
        for (int step = 0; step < 3; step++) {
            double expected = 0;
            for (int64_t i = 0; i < r.n; i++) {
                double g = (double)r.data[0][i];
                exact[i] += g * g;
                expected += g * g / sqrt(exact[i] + 1e-7);
            }
            double excess = mtli_coordinates_excess(r.n, r.g[0], squares);
            /* of each term, and of their sum */
            assert_near(excess, expected, (8 * MTLI_REAL_EPSILON + (double)r.n * 2.3e-16) * expected);
            for (int64_t i = 0; i < r.n; i++) {
                assert_near((double)squares[i], exact[i], 4 * MTLI_REAL_EPSILON * exact[i]);
            }
        }
        assert_near(mtli_coordinates_excess(r.n, NULL, squares), 0, 0);
        runs_free(&r);
    }
}

static void excess_of_extremes_is_finite(void **state)
{
    (void)state;
    const mtli_real g[] = {(mtli_real)1e-15, (mtli_real)1e15, (mtli_real)1e30, 0};
    mtli_real squares[4] = {0};
    double excess = mtli_coordinates_excess(4, g, squares);
    assert_true(isfinite(excess));
    assert_true(excess >= 1e15 * (1 - 1e-6));
    assert_true(squares[3] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sum_is_the_naive_sum),
        cmocka_unit_test(sum_with_one_weight_is_that_gradient),
        cmocka_unit_test(sum_in_pieces_and_in_place),
        cmocka_unit_test(sum_with_weights_beyond_float),
        cmocka_unit_test(trimmed_mean_is_the_naive_one),
        cmocka_unit_test(trimmed_mean_does_not_see_the_order_of_tasks),
        cmocka_unit_test(trimmed_mean_is_robust),
        cmocka_unit_test(sign_drop_is_the_naive_one),
        cmocka_unit_test(sign_drop_keeps_signs_by_their_purity),
        cmocka_unit_test(uniform_numbers_belong_to_coordinates),
        cmocka_unit_test(representation_signs_are_those_of_the_paper),
        cmocka_unit_test(representation_and_parameters_agree),
        cmocka_unit_test(unit_of_length_does_not_matter),
        cmocka_unit_test(tracked_gradients_follow),
        cmocka_unit_test(excess_is_the_naive_one),
        cmocka_unit_test(excess_of_extremes_is_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
