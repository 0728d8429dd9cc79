/* SPDX-License-Identifier: Apache-2.0
 * Metrics beside values computed by hand, and every error. */
#include "support.h"

#include <math.h>

#include <mtl/mtl.h>

typedef struct fixture {
    mtl_context *context;
    mtl_metrics *metrics;
} fixture;

static void open_fixture(fixture *f, int32_t classes)
{
    f->context = test_context();
    assert_ok(f->context, mtl_metrics_create(f->context, classes, &f->metrics));
}

static void close_fixture(fixture *f)
{
    mtl_metrics_destroy(f->metrics);
    mtl_context_release(f->context);
}

static mtl_status add(fixture *f, int64_t rows, int64_t classes, const double *logits, const int32_t *labels)
{
    mtl_tensor *a;
    mtl_tensor *b;
    const int64_t shape[] = {rows, classes};
    assert_ok(f->context, mtl_tensor_create(f->context, MTL_FLOAT32, 2, shape, &a));
    assert_ok(f->context, mtl_tensor_create(f->context, MTL_INT32, 1, shape, &b));
    assert_ok(f->context, mtl_tensor_write(a, MTL_FLOAT64, logits, (size_t)(rows * classes)));
    assert_ok(f->context, mtl_tensor_write(b, MTL_INT32, labels, (size_t)rows));
    mtl_status status = mtl_metrics_add(f->metrics, a, b);
    mtl_tensor_release(a);
    mtl_tensor_release(b);
    return status;
}

/* Each row's largest logit is its prediction: 0 0 1 2 1 0, and one row has no label. */
static const double logits[] = {5, 1, 0, 2, 1, -3, 0, 0.5, 0.1, -2, -3, -1, 0, 7, 7, 1, 1, 1, 9, 0, 0};
static const int32_t labels[] = {0, 1, 1, 2, 1, 2, MTL_LABEL_NONE};
enum { ROWS = 7, CLASSES = 3 };

static void agrees_with_a_computation_by_hand(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, CLASSES);
    assert_ok(f.context, add(&f, ROWS, CLASSES, logits, labels));
    assert_int_equal(mtl_metrics_rows(f.metrics), 6);
    assert_near(mtl_metrics_accuracy(f.metrics), 4.0 / 6, 1e-15);
    static const int64_t expected[CLASSES][CLASSES] = {{1, 0, 0}, {1, 2, 0}, {1, 0, 1}};
    for (int32_t t = 0; t < CLASSES; t++) {
        for (int32_t p = 0; p < CLASSES; p++) {
            assert_int_equal(mtl_metrics_confusion(f.metrics, t, p), expected[t][p]);
        }
    }
    /* F1: class 0: 2*1/(2*1+2+0) = 1/2; class 1: 2*2/(4+0+1) = 4/5; class 2: 2*1/(2+0+1) = 2/3. */
    assert_near(mtl_metrics_macro_f1(f.metrics), (0.5 + 0.8 + 2.0 / 3) / 3, 1e-15);
    assert_ok(f.context, add(&f, ROWS, CLASSES, logits, labels)); /* gathers over batches */
    assert_int_equal(mtl_metrics_rows(f.metrics), 12);
    assert_near(mtl_metrics_accuracy(f.metrics), 4.0 / 6, 1e-15);
    mtl_metrics_clear(f.metrics);
    assert_int_equal(mtl_metrics_rows(f.metrics), 0);
    assert_int_equal(mtl_metrics_confusion(f.metrics, 1, 1), 0);
    close_fixture(&f);
}

static void a_class_that_never_comes_counts_zero(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 4);
    const double two[] = {1, 0, 0, 0, 0, 1, 0, 0};
    const int32_t truth[] = {0, 1};
    assert_ok(f.context, add(&f, 2, 4, two, truth));
    assert_near(mtl_metrics_accuracy(f.metrics), 1, 0);
    assert_near(mtl_metrics_macro_f1(f.metrics), 0.5, 1e-15); /* (1 + 1 + 0 + 0) / 4 */
    close_fixture(&f);
}

static void nothing_gives_nan(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 2);
    const double row[] = {0, 1};
    const int32_t none[] = {MTL_LABEL_NONE};
    assert_ok(f.context, add(&f, 0, 2, row, none));
    assert_ok(f.context, add(&f, 1, 2, row, none));
    assert_int_equal(mtl_metrics_rows(f.metrics), 0);
    assert_true(isnan(mtl_metrics_accuracy(f.metrics)));
    assert_true(isnan(mtl_metrics_macro_f1(f.metrics)));
    assert_true(isnan(mtl_metrics_mean_loss(f.metrics)));
    close_fixture(&f);
}

static void losses_are_weighted_by_rows(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 2);
    assert_ok(f.context, mtl_metrics_add_loss(f.metrics, 2, 3));
    assert_ok(f.context, mtl_metrics_add_loss(f.metrics, 6, 1));
    assert_near(mtl_metrics_mean_loss(f.metrics), 3, 0);
    assert_fails(f.context, mtl_metrics_add_loss(f.metrics, 1, 0), MTL_ERROR_ARGUMENT, "rows = 0");
    assert_fails(f.context, mtl_metrics_add_loss(f.metrics, 1, -2), MTL_ERROR_ARGUMENT, "rows = -2");
    assert_fails(f.context, mtl_metrics_add_loss(f.metrics, 1, INT64_MAX), MTL_ERROR_ARGUMENT, "rows");
    assert_near(mtl_metrics_mean_loss(f.metrics), 3, 0);
    mtl_metrics_clear(f.metrics);
    assert_true(isnan(mtl_metrics_mean_loss(f.metrics)));
    close_fixture(&f);
}

static void bad_rows_add_nothing(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 2);
    const double good[] = {0, 1, 1, 0};
    const double bad[] = {0, 1, NAN, 0};
    const double infinite[] = {INFINITY, 0, 0, -INFINITY};
    const int32_t first[] = {1, 2};
    const int32_t second[] = {0, -2};
    const int32_t right[] = {0, 1};
    const int32_t unlabelled[] = {1, MTL_LABEL_NONE};
    assert_fails(f.context, add(&f, 2, 2, good, first), MTL_ERROR_ARGUMENT, "labels[1] = 2");
    assert_fails(f.context, add(&f, 2, 2, good, second), MTL_ERROR_ARGUMENT, "labels[1] = -2");
    assert_fails(f.context, add(&f, 2, 2, bad, right), MTL_ERROR_NUMERIC, "logits[1, 0] is NaN");
    assert_int_equal(mtl_metrics_rows(f.metrics), 0);
    assert_ok(f.context, add(&f, 2, 2, bad, unlabelled)); /* nobody looks at that row */
    assert_ok(f.context, add(&f, 2, 2, infinite, right));
    assert_int_equal(mtl_metrics_rows(f.metrics), 3);
    assert_int_equal(mtl_metrics_confusion(f.metrics, 1, 0), 1);
    close_fixture(&f);
}

static void wrong_tensors_are_refused(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 3);
    mtl_context *context = f.context;
    const int64_t shape[] = {2, 3};
    const int64_t wrong[] = {3, 2};
    mtl_tensor *real;
    mtl_tensor *narrow;
    mtl_tensor *whole;
    mtl_tensor *longer;
    mtl_tape *tape;
    assert_ok(context, mtl_tensor_create(context, MTL_FLOAT32, 2, shape, &real));
    assert_ok(context, mtl_tensor_create(context, MTL_FLOAT32, 2, wrong, &narrow));
    assert_ok(context, mtl_tensor_create(context, MTL_INT32, 1, shape, &whole));
    assert_ok(context, mtl_tensor_create(context, MTL_INT32, 1, wrong, &longer));
    assert_ok(context, mtl_tape_create(context, NULL, &tape));
    mtl_tensor *error = mtl_tanh(tape, NULL);
    assert_fails(context, mtl_metrics_add(f.metrics, narrow, longer), MTL_ERROR_SHAPE, "[3, 2]");
    assert_fails(context, mtl_metrics_add(f.metrics, real, longer), MTL_ERROR_SHAPE, "[3]");
    assert_fails(context, mtl_metrics_add(f.metrics, whole, whole), MTL_ERROR_DTYPE, "int32");
    assert_fails(context, mtl_metrics_add(f.metrics, real, real), MTL_ERROR_DTYPE, "float32");
    assert_fails(context, mtl_metrics_add(f.metrics, error, whole), MTL_ERROR_STATE, "error tensor");
    assert_fails(context, mtl_metrics_add(f.metrics, real, error), MTL_ERROR_STATE, "error tensor");
    assert_fails(context, mtl_metrics_add(f.metrics, NULL, whole), MTL_ERROR_ARGUMENT, "logits");
    assert_fails(context, mtl_metrics_add(f.metrics, real, NULL), MTL_ERROR_ARGUMENT, "labels");
    assert_int_equal(mtl_metrics_add(NULL, real, whole), MTL_ERROR_ARGUMENT);
    assert_ok(context, mtl_metrics_add(f.metrics, real, whole));
    mtl_metrics *metrics = NULL;
    assert_fails(context, mtl_metrics_create(context, 1, &metrics), MTL_ERROR_ARGUMENT, "classes = 1");
    assert_fails(context, mtl_metrics_create(context, 4097, &metrics), MTL_ERROR_ARGUMENT, "classes = 4097");
    assert_fails(context, mtl_metrics_create(context, 2, NULL), MTL_ERROR_ARGUMENT, "out");
    assert_int_equal(mtl_metrics_create(NULL, 2, &metrics), MTL_ERROR_ARGUMENT);
    assert_null(metrics);
    mtl_tape_destroy(tape);
    mtl_tensor_release(real);
    mtl_tensor_release(narrow);
    mtl_tensor_release(whole);
    mtl_tensor_release(longer);
    close_fixture(&f);
}

static void null_and_out_of_range_are_harmless(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 2);
    const int32_t outside[] = {-1, 2, INT32_MAX, INT32_MIN};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(mtl_metrics_confusion(f.metrics, outside[i], 0), 0);
        assert_int_equal(mtl_metrics_confusion(f.metrics, 0, outside[i]), 0);
    }
    assert_int_equal(mtl_metrics_rows(NULL), 0);
    assert_true(isnan(mtl_metrics_accuracy(NULL)));
    assert_true(isnan(mtl_metrics_macro_f1(NULL)));
    assert_true(isnan(mtl_metrics_mean_loss(NULL)));
    assert_int_equal(mtl_metrics_confusion(NULL, 0, 0), 0);
    assert_int_equal(mtl_metrics_add_loss(NULL, 1, 1), MTL_ERROR_ARGUMENT);
    mtl_metrics_clear(NULL);
    mtl_metrics_destroy(NULL);
    close_fixture(&f);
}

static double delta(mtl_context *context, int32_t count, const double *measures, const double *baselines,
                    const int32_t *lower_is_better)
{
    double value = (double)NAN;
    assert_ok(context, mtl_delta_m(context, count, measures, baselines, lower_is_better, &value));
    return value;
}

/* Doubles by hand: each of few operations is rounded to 2^-53 of its result, at most 2 here: 1e-15 covers them. */
static void change_against_a_baseline(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    const double measures[] = {0.88, 20.0, 3.0, -1.0}, baselines[] = {0.80, 25.0, 2.0, -2.0};
    const int32_t lower[] = {0, 1, 7, 0};
    assert_near(delta(context, 1, measures, baselines, lower), 0.1, 1e-15);      /* higher is better, and is higher */
    assert_near(delta(context, 2, measures, baselines, lower), 0.15, 1e-15);     /* (0.1 + 0.2) / 2 */
    assert_near(delta(context, 3, measures, baselines, lower), -0.2 / 3, 1e-15); /* (0.1 + 0.2 - 0.5) / 3 */
    assert_near(delta(context, 4, measures, baselines, lower), 0.3 / 4, 1e-15);  /* -1 is half of -2 better */
    assert_near(delta(context, 3, measures, baselines, NULL), 0.4 / 3, 1e-15);   /* (0.1 - 0.2 + 0.5) / 3 */
    assert_true(delta(context, 4, baselines, baselines, lower) == 0);
    mtl_context_release(context);
}

static void change_refuses_what_has_no_meaning(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    const double good[] = {1, 2}, zero[] = {1, 0}, nan[] = {1, (double)NAN}, huge[] = {1, 1e308}, tiny[] = {1, -1e-308};
    double out = 7;
    assert_fails(context, mtl_delta_m(context, 0, good, good, NULL, &out), MTL_ERROR_ARGUMENT, "count = 0");
    assert_fails(context, mtl_delta_m(context, 2, NULL, good, NULL, &out), MTL_ERROR_ARGUMENT, "measures");
    assert_fails(context, mtl_delta_m(context, 2, good, NULL, NULL, &out), MTL_ERROR_ARGUMENT, "baselines");
    assert_fails(context, mtl_delta_m(context, 2, good, good, NULL, NULL), MTL_ERROR_ARGUMENT, "out");
    assert_fails(context, mtl_delta_m(context, 2, good, zero, NULL, &out), MTL_ERROR_ARGUMENT, "baselines[1] = 0");
    assert_fails(context, mtl_delta_m(context, 2, good, nan, NULL, &out), MTL_ERROR_ARGUMENT, "baselines[1] = nan");
    assert_fails(context, mtl_delta_m(context, 2, nan, good, NULL, &out), MTL_ERROR_ARGUMENT, "measures[1] = nan");
    assert_fails(context, mtl_delta_m(context, 2, huge, tiny, NULL, &out), MTL_ERROR_NUMERIC, "range");
    assert_int_equal(mtl_delta_m(NULL, 2, good, good, NULL, &out), MTL_ERROR_ARGUMENT);
    assert_true(out == 7);
    mtl_context_release(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_computation_by_hand),
        cmocka_unit_test(a_class_that_never_comes_counts_zero),
        cmocka_unit_test(nothing_gives_nan),
        cmocka_unit_test(losses_are_weighted_by_rows),
        cmocka_unit_test(bad_rows_add_nothing),
        cmocka_unit_test(wrong_tensors_are_refused),
        cmocka_unit_test(null_and_out_of_range_are_harmless),
        cmocka_unit_test(change_against_a_baseline),
        cmocka_unit_test(change_refuses_what_has_no_meaning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
