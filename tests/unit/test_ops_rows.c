/* SPDX-License-Identifier: Apache-2.0
 * Operations on rows beside naive loops in double: softmax, layer norm, concat, rows. */
#include "support/support_ops.h"

/* exp errs by 2 units in the last place (kernels.h), sums are in double, two roundings follow. */
#define ROW_ERROR (8 * MTLI_REAL_EPSILON)

static void check_softmax(const mtli_real *x, int64_t n, const mtli_real *y, const mtli_real *log_y)
{
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, (double)x[i]);
    }
    for (int64_t i = 0; i < n; i++) {
        sum += exp((double)x[i] - most);
    }
    for (int64_t i = 0; i < n; i++) {
        double expected = (double)x[i] - most - log(sum);
        assert_near(y[i], exp(expected), ROW_ERROR * exp(expected) + 1e-37); /* flush to zero below 2^-126 */
        assert_near(log_y[i], expected, ROW_ERROR * (1 + fabs(expected)));
    }
}

static void test_softmax(void **state)
{
    (void)state;
    const int64_t widths[] = {1, 2, 7, 8, 9, 64, 513, 1100};
    for (size_t k = 0; k < sizeof widths / sizeof widths[0]; k++) {
        ops_fixture f;
        ops_begin(&f);
        mtl_tensor *x = ops_real(&f, 3, (int64_t[]){2, 3, widths[k]}, NULL);
        for (int64_t i = 0; i < x->size; i++) {
            ((mtli_real *)x->data)[i] *= 20; /* far apart */
        }
        mtl_tensor *y = mtl_softmax(f.tape, x);
        mtl_tensor *log_y = mtl_log_softmax(f.tape, x);
        for (int64_t r = 0; r < 6; r++) {
            int64_t first = r * widths[k];
            check_softmax(ops_values(x) + first, widths[k], ops_values(y) + first, ops_values(log_y) + first);
        }
        ops_end(&f);
    }
}

static void test_softmax_extremes(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    const mtli_real values[] = {3e38f, -3e38f, 0, -3e38f, -3e38f, -3e38f, 1, (mtli_real)-INFINITY, 1,
                                (mtli_real)NAN, 1, 2};
    mtl_tensor *y = mtl_softmax(f.tape, ops_real(&f, 2, (int64_t[]){4, 3}, values));
    const mtli_real third = (mtli_real)(1.0 / 3);
    const mtli_real not_a_number = (mtli_real)NAN;
    const mtli_real expected[] = {1,   0, 0,   third,        third,        third,
                                  0.5, 0, 0.5, not_a_number, not_a_number, not_a_number};
    assert_close(ops_values(y), expected, 12, 2 * MTLI_REAL_EPSILON, 0);
    ops_end(&f);
}

/* A row's sum does not feel a shift: its softmax gradient is orthogonal to ones. */
static void test_softmax_gradient_sums_to_zero(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    mtl_tensor *x = ops_real(&f, 2, (int64_t[]){3, 9}, NULL);
    mtl_tensor *w = ops_real(&f, 2, (int64_t[]){3, 9}, NULL);
    for (int logarithm = 0; logarithm < 2; logarithm++) {
        ops_sweep_weighted(&f, logarithm ? mtl_log_softmax(f.tape, x) : mtl_softmax(f.tape, x), w);
        const mtli_real *dx = ops_gradient(&f, x);
        for (int r = 0; r < 3; r++) {
            double sum = 0, size = 0;
            for (int j = 0; j < 9; j++) {
                sum += (double)dx[9 * r + j];
                size += fabs((double)dx[9 * r + j]);
            }
            assert_true(size > 0);
            assert_near(sum, 0, 9 * ROW_ERROR * (1 + size));
        }
    }
    ops_end(&f);
}

static void naive_layer_norm(const mtli_real *x, int64_t n, double epsilon, double *y)
{
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < n; i++) {
        mean += (double)x[i] / (double)n;
    }
    for (int64_t i = 0; i < n; i++) {
        variance += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
    }
    for (int64_t i = 0; i < n; i++) {
        y[i] = ((double)x[i] - mean) / sqrt(variance + epsilon);
    }
}

static void test_layer_norm(void **state)
{
    (void)state;
    const int64_t widths[] = {1, 3, 8, 17, 530};
    for (size_t k = 0; k < sizeof widths / sizeof widths[0]; k++) {
        ops_fixture f;
        ops_begin(&f);
        int64_t n = widths[k];
        mtl_tensor *x = ops_real(&f, 2, (int64_t[]){4, n}, NULL);
        mtl_tensor *gain = ops_real(&f, 1, &n, NULL);
        mtl_tensor *bias = ops_real(&f, 1, &n, NULL);
        mtl_tensor *results[] = {
            mtl_layer_norm(f.tape, x, NULL, NULL, 1e-5),
            mtl_layer_norm(f.tape, x, gain, NULL, 1e-5),
            mtl_layer_norm(f.tape, x, NULL, bias, 1e-5),
            mtl_layer_norm(f.tape, x, gain, bias, 1e-5),
        };
        double normal[530];
        for (int64_t r = 0; r < 4; r++) {
            naive_layer_norm(ops_values(x) + r * n, n, 1e-5, normal);
            for (int which = 0; which < 4; which++) {
                for (int64_t j = 0; j < n; j++) {
                    double y = normal[j] * (which & 1 ? (double)ops_values(gain)[j] : 1) +
                               (which & 2 ? (double)ops_values(bias)[j] : 0);
                    /* the rounded mean is off by ε/2 of it, in units of √(variance + epsilon): √epsilon when n = 1 */
                    double size = n == 1 ? 1 / sqrt(1e-5) : 4;
                    assert_near(ops_values(results[which])[r * n + j], y, ROW_ERROR * size);
                }
            }
        }
        ops_end(&f);
    }
}

static void test_concat(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    mtl_tensor *parts[] = {ops_real(&f, 3, (int64_t[]){2, 2, 3}, NULL), ops_real(&f, 3, (int64_t[]){2, 2, 0}, NULL),
                           ops_real(&f, 3, (int64_t[]){2, 2, 1}, NULL)};
    mtl_tensor *w = ops_real(&f, 3, (int64_t[]){2, 2, 4}, NULL);
    mtl_tensor *y = mtl_concat(f.tape, parts, 3);
    assert_int_equal(mtl_tensor_dim(y, 2), 4);
    ops_sweep_weighted(&f, y, w);
    for (int r = 0; r < 4; r++) {
        assert_memory_equal(ops_values(y) + 4 * r, ops_values(parts[0]) + 3 * r, 3 * sizeof(mtli_real));
        assert_memory_equal(ops_values(y) + 4 * r + 3, ops_values(parts[2]) + r, sizeof(mtli_real));
        assert_memory_equal(ops_gradient(&f, parts[0]) + 3 * r, ops_values(w) + 4 * r, 3 * sizeof(mtli_real));
        assert_memory_equal(ops_gradient(&f, parts[2]) + r, ops_values(w) + 4 * r + 3, sizeof(mtli_real));
    }
    ops_end(&f);
}

static void test_concat_of_ragged(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    const int64_t cut[] = {0, 1, 4};
    const int64_t other_cut[] = {0, 2, 4};
    mtl_tensor *a = ops_ragged(&f, 2, (int64_t[]){4, 2}, 2, cut);
    mtl_tensor *dense = ops_real(&f, 2, (int64_t[]){4, 1}, NULL);
    mtl_tensor *other = ops_ragged(&f, 2, (int64_t[]){4, 2}, 2, other_cut);
    mtl_tensor *flat = ops_ragged(&f, 1, (int64_t[]){4}, 2, cut);
    mtl_tensor *both[] = {dense, a, a};
    assert_memory_equal(mtl_tensor_offsets(mtl_concat(f.tape, both, 3)), cut, sizeof cut);
    mtl_tensor *flats[] = {flat, flat};
    assert_int_equal(mtl_tensor_rows(mtl_concat(f.tape, flats, 2)), -1); /* 8 values: no longer these sequences */
    mtl_tensor *differ[] = {dense, a, other};
    assert_op_fails(&f, mtl_concat(f.tape, differ, 3), MTL_ERROR_SHAPE, "mtl_concat", "ragged [4, 2]",
                    "offsets differ");
    ops_end(&f);
}

static void test_rows(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = {{4, 3, 2}, {4, 3, 1}, {4, 0, 0}};
    for (int32_t ndim = 1; ndim <= 3; ndim++) {
        for (size_t k = 0; k < 2; k++) {
            ops_fixture f;
            ops_begin(&f);
            const int32_t indices[] = {3, 0, 3, 3, 1};
            mtl_tensor *x = ops_real(&f, ndim, shapes[k], NULL);
            mtl_tensor *y = mtl_rows(f.tape, x, ops_int32(&f, 5, indices));
            int64_t width = x->size / 4;
            assert_int_equal(mtl_tensor_dim(y, 0), 5);
            assert_int_equal(y->size, 5 * width);
            ops_sweep(&f, mtl_sum(f.tape, y));
            const int times[] = {1, 1, 0, 3};
            for (int n = 0; n < 5; n++) {
                assert_memory_equal(ops_values(y) + n * width, ops_values(x) + indices[n] * width,
                                    (size_t)width * sizeof(mtli_real));
            }
            for (int64_t i = 0; i < x->size; i++) {
                assert_near(ops_gradient(&f, x)[i], times[i / width], 0);
            }
            ops_end(&f);
        }
    }
}

static void test_rows_by_ragged_indices(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    const int64_t cut[] = {0, 1, 1, 3};
    const int32_t indices[] = {1, 0, 1};
    mtl_tensor *ids = NULL;
    assert_ok(f.context, mtl_tensor_create_ragged(f.context, 3, cut, indices, &ids));
    ops_keep(&f, ids);
    mtl_tensor *y = mtl_rows(f.tape, ops_real(&f, 2, (int64_t[]){2, 3}, NULL), ids);
    assert_int_equal(mtl_tensor_rows(y), 3);
    assert_memory_equal(mtl_tensor_offsets(y), cut, sizeof cut);
    ops_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_softmax_extremes),
        cmocka_unit_test(test_softmax_gradient_sums_to_zero),
        cmocka_unit_test(test_layer_norm),
        cmocka_unit_test(test_concat),
        cmocka_unit_test(test_concat_of_ragged),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_rows_by_ragged_indices),
    };
    return cmocka_run_group_tests_name("ops rows", tests, NULL, NULL);
}
