/* SPDX-License-Identifier: Apache-2.0
 * The losses beside naive formulas, with missing labels, weights, smoothing and far-out logits. */
#include "support/support_ops.h"

/* exp errs by 2 units in the last place; everything else is in double and rounded at the end. */
#define LOSS_ERROR (8 * MTLI_REAL_EPSILON)

enum { ROWS = 7, CLASSES = 4 };

static const int32_t all_labels[ROWS] = {0, 3, 1, 1, 2, 0, 3};
static const int32_t some_labels[ROWS] = {0, -1, 1, -1, -1, 0, 3};
static const int32_t no_labels[ROWS] = {-1, -1, -1, -1, -1, -1, -1};

/* Σ_r Σ_c target_rc w_c (-log softmax_rc) / Σ_r w_label, written out. */
static double naive_cross_entropy(const mtli_real *x, const int32_t *labels, const mtli_real *w, double smoothing)
{
    double sum = 0, divisor = 0;
    for (int r = 0; r < ROWS; r++) {
        double z = 0;
        for (int c = 0; c < CLASSES && labels[r] >= 0; c++) {
            z += exp((double)x[r * CLASSES + c]);
        }
        for (int c = 0; c < CLASSES && labels[r] >= 0; c++) {
            double target = (c == labels[r] ? 1 - smoothing : 0) + smoothing / CLASSES;
            double weight = w ? (double)w[c] : 1;
            sum += target * weight * (log(z) - (double)x[r * CLASSES + c]);
            divisor += c == labels[r] ? weight : 0;
        }
    }
    return divisor > 0 ? sum / divisor : 0;
}

static mtl_tensor *cross_entropy(ops_fixture *f, mtl_tensor *x, mtl_tensor *labels, mtl_tensor *w, double smoothing)
{
    mtl_cross_entropy_options options = MTL_CROSS_ENTROPY_OPTIONS_INIT;
    options.class_weights = w;
    options.label_smoothing = smoothing;
    return mtl_cross_entropy(f->tape, x, labels, &options);
}

static void test_cross_entropy(void **state)
{
    (void)state;
    const int32_t *label_sets[] = {all_labels, some_labels, no_labels};
    const double smoothings[] = {0, 0.1, 0.75};
    const mtli_real weights[CLASSES] = {0.5, 2, 0, 1.25};
    for (int k = 0; k < 18; k++) {
        ops_fixture f;
        ops_begin(&f);
        const int32_t *labels = label_sets[k % 3];
        double smoothing = smoothings[k / 3 % 3];
        mtl_tensor *w = k < 9 ? NULL : ops_real(&f, 1, (int64_t[]){CLASSES}, weights);
        mtl_tensor *x = ops_real(&f, 2, (int64_t[]){ROWS, CLASSES}, NULL);
        mtl_tensor *y = cross_entropy(&f, x, ops_int32(&f, ROWS, labels), w, smoothing);
        double expected = naive_cross_entropy(ops_values(x), labels, k < 9 ? NULL : weights, smoothing);
        assert_int_equal(mtl_tensor_ndim(y), 0);
        assert_near(ops_item(y), expected, LOSS_ERROR * (1 + expected));
        ops_end(&f);
    }
}

/* (softmax - onehot) / labelled rows; rows without a label get nothing. */
static void test_cross_entropy_gradient(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    mtl_tensor *x = ops_real(&f, 2, (int64_t[]){ROWS, CLASSES}, NULL);
    mtl_tensor *p = mtl_softmax(f.tape, x);
    ops_sweep(&f, mtl_cross_entropy(f.tape, x, ops_int32(&f, ROWS, some_labels), NULL));
    for (int i = 0; i < ROWS * CLASSES; i++) {
        int32_t label = some_labels[i / CLASSES];
        double expected = label < 0 ? 0 : ((double)ops_values(p)[i] - (label == i % CLASSES)) / 4;
        assert_near(ops_gradient(&f, x)[i], expected, LOSS_ERROR);
    }
    ops_end(&f);
}

/* The loss is 0, and what is behind it stays untouched, which is not the same as zero. */
static void test_no_label_leaves_untouched(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    const mtli_real zeros[CLASSES] = {0};
    const mtli_real nothing[2 * CLASSES] = {(mtli_real)NAN, (mtli_real)NAN, (mtli_real)NAN, (mtli_real)NAN,
                                            (mtli_real)NAN, (mtli_real)NAN, (mtli_real)NAN, (mtli_real)NAN};
    mtl_tensor *x = ops_real(&f, 2, (int64_t[]){2, CLASSES}, NULL);
    mtl_tensor *missing = ops_real(&f, 2, (int64_t[]){2, CLASSES}, nothing);
    mtl_tensor *w = ops_real(&f, 1, (int64_t[]){CLASSES}, zeros);
    mtl_tensor *h = mtl_tanh(f.tape, x);
    mtl_binary_cross_entropy_options binary = MTL_BINARY_CROSS_ENTROPY_OPTIONS_INIT;
    binary.positive_weights = ops_real(&f, 1, (int64_t[]){CLASSES}, (mtli_real[]){1, 1, 1, 1});
    mtl_tensor *losses[] = {
        mtl_cross_entropy(f.tape, h, ops_int32(&f, 2, no_labels), NULL),
        cross_entropy(&f, h, ops_int32(&f, 2, all_labels), w, 0), /* all weights are 0 */
        mtl_binary_cross_entropy(f.tape, h, missing, &binary),
        mtl_mean_squared_error(f.tape, h, missing),
        mtl_huber(f.tape, h, missing, 1),
    };
    for (size_t i = 0; i < sizeof losses / sizeof losses[0]; i++) {
        ops_sweep(&f, losses[i]);
        assert_near(ops_item(losses[i]), 0, 0);
        assert_null(mtl_tape_gradient(f.tape, h));
        assert_null(mtl_tape_gradient(f.tape, x));
        assert_null(mtl_tape_gradient(f.tape, w));
        assert_null(mtl_tape_gradient(f.tape, missing));
        assert_null(mtl_tape_gradient(f.tape, binary.positive_weights));
    }
    ops_end(&f);
}

static void test_far_out_logits(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    const mtli_real logits[] = {1000, -1000, 0, -500, -500, 2000};
    mtl_tensor *x = ops_real(&f, 2, (int64_t[]){2, 3}, logits);
    /* log-sum-exp is 1000 and 2000: losses 2000 and 2500 */
    mtl_tensor *loss = mtl_cross_entropy(f.tape, x, ops_int32(&f, 2, (int32_t[]){1, 0}), NULL);
    assert_near(ops_item(loss), 2250, 0);
    ops_sweep(&f, loss);
    const mtli_real slopes[] = {0.5, -0.5, 0, -0.5, 0, 0.5};
    assert_close(ops_gradient(&f, x), slopes, 6, MTLI_REAL_EPSILON, 0);
    /* -log σ(1000) = 0, -log(1 - σ(1000)) = 1000, and so on */
    const mtli_real targets[] = {0, 1, 0.5, 0, 1, 1};
    mtl_tensor *binary = mtl_binary_cross_entropy(f.tape, x, ops_real(&f, 2, (int64_t[]){2, 3}, targets), NULL);
    double expected = (1000 + 1000 + log(2) + 0 + 500 + 0) / 6;
    assert_near(ops_item(binary), expected, LOSS_ERROR * expected);
    ops_sweep(&f, binary);
    const mtli_real sixth = (mtli_real)(1.0 / 6);
    const mtli_real binary_slopes[] = {sixth, -sixth, 0, 0, -sixth, 0};
    assert_close(ops_gradient(&f, x), binary_slopes, 6, LOSS_ERROR, 0);
    ops_end(&f);
}

static double naive_binary(double z, double t, double w)
{
    double p = 1 / (1 + exp(-z));
    return -(w * t * log(p) + (1 - t) * log(1 - p));
}

static void test_binary_cross_entropy(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    enum { N = 300, WIDE = 3 };
    mtl_tensor *z = ops_real(&f, 2, (int64_t[]){N, WIDE}, NULL);
    mtl_tensor *t = ops_real(&f, 2, (int64_t[]){N, WIDE}, NULL);
    mtl_tensor *w = ops_real(&f, 1, (int64_t[]){WIDE}, (mtli_real[]){0.5, 1, 4});
    mtl_binary_cross_entropy_options options = MTL_BINARY_CROSS_ENTROPY_OPTIONS_INIT;
    double sums[2] = {0, 0};
    int count = 0;
    for (int i = 0; i < N * WIDE; i++) {
        mtli_real *target = (mtli_real *)t->data + i;
        *target = i % 5 == 0 ? (mtli_real)NAN : i % 7 == 0 ? 1 : i % 11 == 0 ? 0 : (*target + 1) / 2;
        if (i % 5 != 0) {
            count++;
            sums[0] += naive_binary((double)ops_values(z)[i], (double)*target, 1);
            sums[1] += naive_binary((double)ops_values(z)[i], (double)*target, (double)ops_values(w)[i % WIDE]);
        }
    }
    assert_near(ops_item(mtl_binary_cross_entropy(f.tape, z, t, NULL)), sums[0] / count, LOSS_ERROR * 2);
    options.positive_weights = w;
    assert_near(ops_item(mtl_binary_cross_entropy(f.tape, z, t, &options)), sums[1] / count, LOSS_ERROR * 2);
    ops_end(&f);
}

static void test_regression(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    const mtli_real predictions[] = {1, 2, 3, -4, (mtli_real)NAN, 0.5};
    const mtli_real targets[] = {1.5, 2, -1, -4.5, (mtli_real)NAN, (mtli_real)NAN};
    mtl_tensor *x = ops_real(&f, 2, (int64_t[]){3, 2}, predictions);
    mtl_tensor *t = ops_real(&f, 2, (int64_t[]){3, 2}, targets);
    mtl_tensor *squared = mtl_mean_squared_error(f.tape, x, t); /* errors -0.5, 0, 4, 0.5 */
    assert_near(ops_item(squared), 16.5 / 4, 0);
    ops_sweep(&f, squared);
    const mtli_real squared_slopes[] = {-0.25, 0, 2, 0.25, 0, 0};
    const mtli_real opposite[] = {0.25, 0, -2, -0.25, 0, 0};
    assert_close(ops_gradient(&f, x), squared_slopes, 6, 0, 0);
    assert_close(ops_gradient(&f, t), opposite, 6, 0, 0);
    mtl_tensor *huber = mtl_huber(f.tape, x, t, 0.5); /* 0.125, 0, 0.5 (4 - 0.25), 0.125 */
    assert_near(ops_item(huber), 2.125 / 4, 0);
    ops_sweep(&f, huber);
    const mtli_real huber_slopes[] = {-0.125, 0, 0.125, 0.125, 0, 0};
    assert_close(ops_gradient(&f, x), huber_slopes, 6, 0, 0);
    assert_near(ops_item(mtl_huber(f.tape, x, t, (double)INFINITY)), 16.5 / 8, 0);
    ops_end(&f);
}

/* A NaN prediction with a target is not hidden. */
static void test_nan_predictions_show(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    const mtli_real predictions[] = {(mtli_real)NAN, 0};
    mtl_tensor *x = ops_real(&f, 2, (int64_t[]){1, 2}, predictions);
    mtl_tensor *t = ops_real(&f, 2, (int64_t[]){1, 2}, (mtli_real[]){1, 0});
    assert_true(isnan(ops_item(mtl_mean_squared_error(f.tape, x, t))));
    assert_true(isnan(ops_item(mtl_huber(f.tape, x, t, 1))));
    assert_true(isnan(ops_item(mtl_binary_cross_entropy(f.tape, x, t, NULL))));
    assert_true(isnan(ops_item(mtl_cross_entropy(f.tape, x, ops_int32(&f, 1, (int32_t[]){1}), NULL))));
    ops_end(&f);
}

static void test_no_rows(void **state)
{
    (void)state;
    ops_fixture f;
    ops_begin(&f);
    mtl_tensor *x = ops_real(&f, 2, (int64_t[]){0, 3}, NULL);
    assert_near(ops_item(mtl_cross_entropy(f.tape, x, ops_int32(&f, 0, NULL), NULL)), 0, 0);
    assert_near(ops_item(mtl_binary_cross_entropy(f.tape, x, x, NULL)), 0, 0);
    assert_near(ops_item(mtl_mean_squared_error(f.tape, x, x)), 0, 0);
    ops_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cross_entropy),
        cmocka_unit_test(test_cross_entropy_gradient),
        cmocka_unit_test(test_no_label_leaves_untouched),
        cmocka_unit_test(test_far_out_logits),
        cmocka_unit_test(test_binary_cross_entropy),
        cmocka_unit_test(test_regression),
        cmocka_unit_test(test_nan_predictions_show),
        cmocka_unit_test(test_no_rows),
    };
    return cmocka_run_group_tests_name("ops losses", tests, NULL, NULL);
}
