/* SPDX-License-Identifier: Apache-2.0
 * Orthogonality and cosine of activations beside naive formulas, in both orders of multiplication, and what they refuse. */
#include "support/support_ops.h"

enum { MOST_ROWS = 8, MOST_WIDTH = 64 };

/* Small integers, so that float32 makes no rounding error in sums of products, and means over 2^k rows are exact too. */
static mtl_tensor *integers(ops_fixture *f, int64_t rows, int64_t width)
{
    mtl_tensor *tensor = ops_real(f, 2, (int64_t[]){rows, width}, NULL);
    for (int64_t i = 0; i < tensor->size; i++) {
        ((mtli_real *)tensor->data)[i] = (mtli_real)((i * 37 + 11 * f->count) % 23 % 5 - 2);
    }
    return tensor;
}

/* Rows as the options want them, in double. */
static void naive_rows(const mtl_tensor *x, const mtl_orthogonality_options *options, double out[][MOST_WIDTH])
{
    int64_t rows = x->shape.dims[0];
    int64_t width = x->shape.dims[1];
    for (int64_t r = 0; r < rows; r++) {
        double squares = 0;
        for (int64_t j = 0; j < width; j++) {
            double mean = 0;
            for (int64_t k = 0; k < rows && options->center; k++) {
                mean += (double)ops_values(x)[k * width + j] / (double)rows;
            }
            out[r][j] = (double)ops_values(x)[r * width + j] - mean;
            squares += out[r][j] * out[r][j];
        }
        for (int64_t j = 0; j < width && options->normalize && squares > 0; j++) {
            out[r][j] /= sqrt(squares);
        }
    }
}

static double naive_orthogonality(const mtl_tensor *a, const mtl_tensor *b, const mtl_orthogonality_options *options)
{
    static double x[MOST_ROWS][MOST_WIDTH], y[MOST_ROWS][MOST_WIDTH];
    double sum = 0;
    naive_rows(a, options, x);
    naive_rows(b, options, y);
    for (int64_t j = 0; j < a->shape.dims[1]; j++) {
        for (int64_t k = 0; k < b->shape.dims[1]; k++) {
            double product = 0;
            for (int64_t r = 0; r < a->shape.dims[0]; r++) {
                product += x[r][j] * y[r][k];
            }
            sum += product * product;
        }
    }
    return options->mean ? sum / (double)(a->shape.dims[1] * b->shape.dims[1]) : sum;
}

/* [rows, a, b]: through AᵀB and, where rows are few, through the Gram matrices of the rows. */
static const int64_t sizes[][3] = {{8, 4, 8}, {4, 1, 2}, {2, 32, 64}, {1, 16, 16}, {4, 64, 64}};

enum { SIZES = sizeof sizes / sizeof sizes[0] };

static void test_exact_values(void **state)
{
    (void)state;
    for (int k = 0; k < 4 * SIZES; k++) {
        ops_fixture f;
        ops_begin(&f);
        mtl_orthogonality_options options = MTL_ORTHOGONALITY_OPTIONS_INIT;
        options.center = k / SIZES & 1;
        options.mean = k / SIZES >> 1;
        mtl_tensor *a = integers(&f, sizes[k % SIZES][0], sizes[k % SIZES][1]);
        mtl_tensor *b = integers(&f, sizes[k % SIZES][0], sizes[k % SIZES][2]);
        mtl_tensor *loss = mtl_orthogonality(f.tape, a, b, &options);
        assert_int_equal(mtl_tensor_ndim(loss), 0);
        assert_near(ops_item(loss), naive_orthogonality(a, b, &options), 0);
        mtl_tape_reset(f.tape, MTL_TAPE_INFER);
        assert_near(ops_item(mtl_orthogonality(f.tape, a, b, &options)), naive_orthogonality(a, b, &options), 0);
        ops_end(&f);
    }
}

/* The gradient of a is 2 B (BᵀA), that of b 2 A (AᵀB). */
static void test_exact_gradient(void **state)
{
    (void)state;
    for (int k = 0; k < SIZES; k++) {
        ops_fixture f;
        ops_begin(&f);
        int64_t rows = sizes[k][0];
        mtl_tensor *x[] = {integers(&f, rows, sizes[k][1]), integers(&f, rows, sizes[k][2])};
        ops_sweep(&f, mtl_orthogonality(f.tape, x[0], x[1], NULL));
        for (int i = 0; i < 2; i++) {
            int64_t width = sizes[k][1 + i], other = sizes[k][2 - i];
            for (int64_t n = 0; n < rows * width; n++) {
                double expected = 0;
                for (int64_t r = 0; r < rows; r++) {
                    double gram = 0; /* of rows n / width and r of the other input */
                    for (int64_t j = 0; j < other; j++) {
                        gram += (double)ops_values(x[1 - i])[n / width * other + j] *
                                (double)ops_values(x[1 - i])[r * other + j];
                    }
                    expected += 2 * gram * (double)ops_values(x[i])[r * width + n % width];
                }
                assert_near((double)ops_gradient(&f, x[i])[n], expected, 0);
            }
        }
        ops_end(&f);
    }
}

/* An element of AᵀB errs by (rows + 3) ε of the norms of its two columns (3 for the roundings of normalized values), and
 * one of the Gram matrices by (width + 3) ε; the squares of all add up to twice that of ‖A‖² ‖B‖² = rows². */
static void test_normalized_values(void **state)
{
    (void)state;
    for (int k = 0; k < 4 * SIZES; k++) {
        ops_fixture f;
        ops_begin(&f);
        int64_t rows = sizes[k % SIZES][0];
        mtl_orthogonality_options options = MTL_ORTHOGONALITY_OPTIONS_INIT;
        options.normalize = 1;
        options.center = k / SIZES & 1;
        options.mean = k / SIZES >> 1;
        mtl_tensor *a = ops_real(&f, 2, (int64_t[]){rows, sizes[k % SIZES][1]}, NULL);
        mtl_tensor *b = ops_real(&f, 2, (int64_t[]){rows, sizes[k % SIZES][2]}, NULL);
        double terms = 2 * (double)(MOST_WIDTH + 3) * (double)(rows * rows);
        terms /= options.mean ? (double)(sizes[k % SIZES][1] * sizes[k % SIZES][2]) : 1;
        assert_near(ops_item(mtl_orthogonality(f.tape, a, b, &options)), naive_orthogonality(a, b, &options),
                    terms * MTLI_REAL_EPSILON);
        ops_end(&f);
    }
}

/* Twice as long rows (a power of two: no rounding) change nothing but the gradient, which is half as large. */
static void test_normalized_rows_have_no_length(void **state)
{
    (void)state;
    for (int k = 0; k < SIZES; k++) {
        ops_fixture f;
        ops_begin(&f);
        mtl_orthogonality_options options = MTL_ORTHOGONALITY_OPTIONS_INIT;
        options.normalize = 1;
        mtl_tensor *a = ops_real(&f, 2, (int64_t[]){sizes[k][0], sizes[k][1]}, NULL);
        mtl_tensor *b = ops_real(&f, 2, (int64_t[]){sizes[k][0], sizes[k][2]}, NULL);
        mtl_tensor *twice = ops_real(&f, 2, a->shape.dims, NULL);
        for (int64_t i = 0; i < a->size; i++) {
            ((mtli_real *)twice->data)[i] = 2 * ops_values(a)[i];
        }
        mtl_tensor *losses[] = {mtl_orthogonality(f.tape, a, b, &options),
                                mtl_orthogonality(f.tape, twice, b, &options)};
        assert_near(ops_item(losses[0]), ops_item(losses[1]), 0);
        ops_sweep(&f, mtl_add(f.tape, losses[0], losses[1]));
        for (int64_t i = 0; i < a->size; i++) {
            assert_near((double)ops_gradient(&f, a)[i], 2 * (double)ops_gradient(&f, twice)[i], 0);
        }
        ops_end(&f);
    }
}

/* Features that have nothing in common: 0, and not about 0, by way of AᵀB. */
static void test_orthogonal_features(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    const mtli_real left[] = {1, 2, 1, 2, 1, 2, 1, 2};
    const mtli_real right[] = {3, -3, 1, -1};
    mtl_tensor *a = ops_real(&f, 2, (int64_t[]){4, 2}, left);
    mtl_tensor *b = ops_real(&f, 2, (int64_t[]){4, 1}, right);
    mtl_tensor *loss = mtl_orthogonality(f.tape, a, b, NULL);
    assert_near(ops_item(loss), 0, 0);
    ops_sweep(&f, loss);
    assert_close(ops_gradient(&f, a), (mtli_real[8]){0}, 8, 0, 0);
    assert_close(ops_gradient(&f, b), (mtli_real[4]){0}, 4, 0, 0);
    ops_end(&f);
}

/* A row of zeros, and rows that centering makes zero, have no direction. */
static void test_rows_of_zeros(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    mtl_orthogonality_options options = MTL_ORTHOGONALITY_OPTIONS_INIT;
    options.normalize = 1;
    const mtli_real left[] = {3, 4, 0, 0};
    const mtli_real right[] = {1, 0, 0, 1};
    mtl_tensor *a = ops_real(&f, 2, (int64_t[]){2, 2}, left);
    mtl_tensor *b = ops_real(&f, 2, (int64_t[]){2, 2}, right);
    mtl_tensor *loss = mtl_orthogonality(f.tape, a, b, &options); /* (0.6, 0.8) times (1, 0) */
    assert_near(ops_item(loss), 1, 8 * MTLI_REAL_EPSILON);
    ops_sweep(&f, loss);
    assert_close(ops_gradient(&f, a) + 2, (mtli_real[2]){0}, 2, 0, 0);
    options.center = 1;
    mtl_tensor *same = ops_real(&f, 2, (int64_t[]){2, 2}, (mtli_real[]){5, 6, 5, 6});
    loss = mtl_orthogonality(f.tape, same, b, &options);
    assert_near(ops_item(loss), 0, 0);
    ops_sweep(&f, loss);
    assert_close(ops_gradient(&f, same), (mtli_real[4]){0}, 4, 0, 0);
    ops_end(&f);
}

static mtl_tensor *cosine(ops_fixture *f, mtl_tensor *a, mtl_tensor *b, int32_t squared)
{
    mtl_cosine_similarity_options options = MTL_COSINE_SIMILARITY_OPTIONS_INIT;
    options.squared = squared;
    return mtl_cosine_similarity(f->tape, a, b, &options);
}

/* Cosines 1, -1, 0, 0.6 and, for a row of zeros, 0: all sums are exact, so is their mean. */
static void test_cosines(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    const mtli_real left[] = {3, 4, 3, 4, 3, 4, 1, 0, 0, 0};
    const mtli_real right[] = {6, 8, -3, -4, 4, -3, 3, 4, 1, 1};
    mtl_tensor *a = ops_real(&f, 2, (int64_t[]){5, 2}, left);
    mtl_tensor *b = ops_real(&f, 2, (int64_t[]){5, 2}, right);
    assert_near(ops_item(cosine(&f, a, b, 0)), 0.6 / 5, MTLI_REAL_EPSILON);
    mtl_tensor *squares = cosine(&f, a, b, 1);
    assert_near(ops_item(squares), (2 + 0.36) / 5, MTLI_REAL_EPSILON);
    assert_near(ops_item(mtl_cosine_similarity(f.tape, a, b, NULL)), ops_item(squares), 0);
    /* 2 cos (y / (‖x‖ ‖y‖) - cos x / ‖x‖²) / 5: of parallel, opposite, perpendicular and absent rows 0 */
    ops_sweep(&f, squares);
    const mtli_real slopes[] = {0, 0, 0, 0, 0, 0, 0, (mtli_real)(2 * 0.6 * 0.8 / 5), 0, 0};
    assert_close(ops_gradient(&f, a), slopes, 10, MTLI_REAL_EPSILON, 0);
    assert_close(ops_gradient(&f, b) + 8, (mtli_real[2]){0}, 2, 0, 0);
    ops_end(&f);
}

/* Lengths do not matter: the gradient is perpendicular to the row. Terms of the sum are at most 2 / rows in size. */
static void test_cosine_gradient_is_perpendicular(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    enum { ROWS = 5, WIDTH = 33 };
    mtl_tensor *a = ops_real(&f, 2, (int64_t[]){ROWS, WIDTH}, NULL);
    mtl_tensor *b = ops_real(&f, 2, (int64_t[]){ROWS, WIDTH}, NULL);
    ops_sweep(&f, cosine(&f, a, b, 0));
    for (int r = 0; r < ROWS; r++) {
        double along = 0, size = 0;
        for (int j = r * WIDTH; j < (r + 1) * WIDTH; j++) {
            along += (double)ops_values(a)[j] * (double)ops_gradient(&f, a)[j];
            size += fabs((double)ops_gradient(&f, a)[j]);
        }
        assert_true(size > 0);
        assert_near(along, 0, WIDTH * MTLI_REAL_EPSILON * 2 / ROWS);
    }
    ops_end(&f);
}

static void test_nothing_to_compare(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    mtl_orthogonality_options options = MTL_ORTHOGONALITY_OPTIONS_INIT;
    options.center = options.normalize = options.mean = 1;
    mtl_tensor *none = ops_real(&f, 2, (int64_t[]){0, 3}, NULL);
    mtl_tensor *hollow = ops_real(&f, 2, (int64_t[]){2, 0}, NULL);
    mtl_tensor *two = ops_real(&f, 2, (int64_t[]){2, 3}, NULL);
    mtl_tensor *losses[] = {
        mtl_orthogonality(f.tape, none, none, &options), mtl_orthogonality(f.tape, hollow, two, &options),
        mtl_orthogonality(f.tape, two, hollow, NULL), mtl_cosine_similarity(f.tape, none, none, NULL),
        mtl_cosine_similarity(f.tape, hollow, hollow, NULL)};
    for (size_t i = 0; i < sizeof losses / sizeof losses[0]; i++) {
        assert_near(ops_item(losses[i]), 0, 0);
        ops_sweep(&f, losses[i]);
    }
    ops_end(&f);
}

static void test_nan_activations_show(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    mtl_orthogonality_options options = MTL_ORTHOGONALITY_OPTIONS_INIT;
    options.normalize = 1;
    mtl_tensor *a = ops_real(&f, 2, (int64_t[]){1, 2}, (mtli_real[]){(mtli_real)NAN, 0});
    mtl_tensor *b = ops_real(&f, 2, (int64_t[]){1, 2}, (mtli_real[]){1, 1});
    assert_true(isnan(ops_item(mtl_orthogonality(f.tape, a, b, NULL))));
    assert_true(isnan(ops_item(mtl_orthogonality(f.tape, a, b, &options))));
    assert_true(isnan(ops_item(mtl_cosine_similarity(f.tape, a, b, NULL))));
    assert_true(isnan(ops_item(mtl_cosine_similarity(f.tape, b, a, NULL))));
    ops_end(&f);
}

static void test_orthogonality_refuses(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    const char *name = "mtl_orthogonality";
    mtl_tensor *two = ops_real(&f, 2, (int64_t[]){2, 3}, NULL);
    mtl_tensor *three = ops_real(&f, 2, (int64_t[]){3, 3}, NULL);
    mtl_tensor *flat = ops_real(&f, 1, (int64_t[]){2}, NULL);
    mtl_tensor *ints = ops_int32(&f, 2, NULL);
    mtl_orthogonality_options options = MTL_ORTHOGONALITY_OPTIONS_INIT;
    assert_op_fails(&f, mtl_orthogonality(f.tape, NULL, two, NULL), MTL_ERROR_ARGUMENT, name, "a is NULL");
    assert_op_fails(&f, mtl_orthogonality(f.tape, two, NULL, NULL), MTL_ERROR_ARGUMENT, name, "b is NULL");
    assert_op_fails(&f, mtl_orthogonality(f.tape, ints, two, NULL), MTL_ERROR_DTYPE, name, "a is int32");
    assert_op_fails(&f, mtl_orthogonality(f.tape, two, ints, NULL), MTL_ERROR_DTYPE, name, "b is int32");
    assert_op_fails(&f, mtl_orthogonality(f.tape, flat, two, NULL), MTL_ERROR_SHAPE, name, "a has shape [2]");
    assert_op_fails(&f, mtl_orthogonality(f.tape, two, flat, NULL), MTL_ERROR_SHAPE, name, "b has shape [2]");
    assert_op_fails(&f, mtl_orthogonality(f.tape, two, three, NULL), MTL_ERROR_SHAPE, name, "a has shape [2, 3]",
                    "b has shape [3, 3]", "numbers of rows");
    options.reserved0 = 1;
    assert_op_fails(&f, mtl_orthogonality(f.tape, two, two, &options), MTL_ERROR_UNSUPPORTED, name, "reserved0");
    options.struct_size = 8;
    assert_op_fails(&f, mtl_orthogonality(f.tape, two, two, &options), MTL_ERROR_ARGUMENT, name,
                    "options->struct_size = 8");
    assert_non_null(mtl_orthogonality(NULL, two, two, NULL));
    ops_end(&f);
}

static void test_cosine_refuses(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    const char *name = "mtl_cosine_similarity";
    mtl_tensor *two = ops_real(&f, 2, (int64_t[]){2, 3}, NULL);
    mtl_tensor *wide = ops_real(&f, 2, (int64_t[]){2, 4}, NULL);
    mtl_tensor *scalar = ops_real(&f, 0, (int64_t[]){0}, NULL);
    mtl_tensor *ints = ops_int32(&f, 2, NULL);
    mtl_cosine_similarity_options options = MTL_COSINE_SIMILARITY_OPTIONS_INIT;
    assert_op_fails(&f, mtl_cosine_similarity(f.tape, NULL, two, NULL), MTL_ERROR_ARGUMENT, name, "a is NULL");
    assert_op_fails(&f, mtl_cosine_similarity(f.tape, two, NULL, NULL), MTL_ERROR_ARGUMENT, name, "b is NULL");
    assert_op_fails(&f, mtl_cosine_similarity(f.tape, ints, two, NULL), MTL_ERROR_DTYPE, name, "a is int32");
    assert_op_fails(&f, mtl_cosine_similarity(f.tape, two, ints, NULL), MTL_ERROR_DTYPE, name, "b is int32");
    assert_op_fails(&f, mtl_cosine_similarity(f.tape, scalar, scalar, NULL), MTL_ERROR_SHAPE, name, "a has shape []");
    assert_op_fails(&f, mtl_cosine_similarity(f.tape, two, wide, NULL), MTL_ERROR_SHAPE, name, "a has shape [2, 3]",
                    "b has shape [2, 4]");
    options.reserved0 = -1;
    assert_op_fails(&f, mtl_cosine_similarity(f.tape, two, two, &options), MTL_ERROR_UNSUPPORTED, name, "reserved0");
    options.struct_size = 3;
    assert_op_fails(&f, mtl_cosine_similarity(f.tape, two, two, &options), MTL_ERROR_ARGUMENT, name,
                    "options->struct_size = 3");
    assert_non_null(mtl_cosine_similarity(NULL, two, two, NULL));
    ops_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_values),
        cmocka_unit_test(test_exact_gradient),
        cmocka_unit_test(test_normalized_values),
        cmocka_unit_test(test_normalized_rows_have_no_length),
        cmocka_unit_test(test_orthogonal_features),
        cmocka_unit_test(test_rows_of_zeros),
        cmocka_unit_test(test_cosines),
        cmocka_unit_test(test_cosine_gradient_is_perpendicular),
        cmocka_unit_test(test_nothing_to_compare),
        cmocka_unit_test(test_nan_activations_show),
        cmocka_unit_test(test_orthogonality_refuses),
        cmocka_unit_test(test_cosine_refuses),
    };
    return cmocka_run_group_tests_name("ops similarity", tests, NULL, NULL);
}
