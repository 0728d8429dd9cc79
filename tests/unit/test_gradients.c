/* SPDX-License-Identifier: Apache-2.0
 * Gradient sets: every combination of dense, row-sparse and untouched, beside dense arithmetic in double. */
#include "support.h"

#include <math.h>

#include "autograd/gradients.h"
#include "base/rng.h"

enum { PLAIN = 12, TABLE_ROWS = 10, WIDTH = 4, TABLE = TABLE_ROWS * WIDTH, VALUES = PLAIN + TABLE };

/* How the parameters of a set are touched. The table's rows come in batches of ids, with repetitions. */
typedef struct recipe {
    bool plain;
    enum { TABLE_NONE, TABLE_DENSE, TABLE_ROWS_ONLY } table;
    int32_t ids[6];
    int num_ids;
} recipe;

static const recipe recipes[] = {
    {false, TABLE_NONE, {0}, 0},
    {true, TABLE_NONE, {0}, 0},
    {false, TABLE_DENSE, {0}, 0},
    {true, TABLE_DENSE, {0}, 0},
    {true, TABLE_ROWS_ONLY, {3, 1, 3, 9}, 4},
    {false, TABLE_ROWS_ONLY, {0, 9, 5, 1, 1, 1}, 6},
    {true, TABLE_ROWS_ONLY, {4}, 1},
    {true, TABLE_ROWS_ONLY, {0}, 0}, /* reached by a batch without tokens */
};
enum { RECIPES = sizeof recipes / sizeof recipes[0] };

typedef struct fixture {
    mtl_test_allocator allocator;
    mtl_context *context;
    mtli_parameters *parameters;
    mtli_rng rng;
} fixture;

static void open_fixture(fixture *f)
{
    static const mtli_parameter_spec specs[] = {
        {.name = "plain", .ndim = 2, .dims = {3, 4}},
        {.name = "table", .ndim = 2, .dims = {TABLE_ROWS, WIDTH}, .row_sparse = true},
    };
    test_allocator_init(&f->allocator);
    f->context = test_context_on(&f->allocator);
    assert_ok(f->context, mtli_parameters_create(f->context, specs, 2, &f->parameters));
    mtli_rng_init(&f->rng, 9, 9);
}

static void close_fixture(fixture *f)
{
    mtli_parameters_release(f->parameters);
    mtl_context_release(f->context);
    test_allocator_check(&f->allocator);
}

static const mtl_tensor *plain_of(const fixture *f)
{
    return &f->parameters->list[0].tensor;
}

static const mtl_tensor *table_of(const fixture *f)
{
    return &f->parameters->list[1].tensor;
}

static void fill_plain(fixture *f, mtl_gradients *gradients, double *shadow)
{
    bool fresh;
    mtli_real *values = mtli_gradient_entry_dense(gradients, mtli_gradients_find(gradients, plain_of(f)), &fresh);
    assert_true(fresh);
    for (int i = 0; i < PLAIN; i++) {
        values[i] = (mtli_real)mtli_rng_normal(&f->rng);
        shadow[i] = (double)values[i];
    }
}

static void fill_table(fixture *f, mtl_gradients *gradients, const recipe *r, double *shadow)
{
    mtli_gradient_entry *entry = mtli_gradients_find(gradients, table_of(f));
    if (r->table == TABLE_DENSE) {
        bool fresh;
        mtli_real *values = mtli_gradient_entry_dense(gradients, entry, &fresh);
        for (int i = 0; i < TABLE; i++) {
            values[i] = (mtli_real)mtli_rng_normal(&f->rng);
            shadow[i] = (double)values[i];
        }
        return;
    }
    mtli_real dy[6 * WIDTH];
    for (int i = 0; i < r->num_ids * WIDTH; i++) {
        dy[i] = (mtli_real)(mtli_rng_below(&f->rng, 17)) / 8 - 1; /* sums of these are exact */
        shadow[r->ids[i / WIDTH] * WIDTH + i % WIDTH] += (double)dy[i];
    }
    int half = r->num_ids / 2; /* in two calls, the second adding rows among the first */
    assert_ok(f->context, mtli_gradient_entry_add_rows(gradients, entry, r->ids, half, dy));
    assert_ok(f->context,
              mtli_gradient_entry_add_rows(gradients, entry, r->ids + half, r->num_ids - half, dy + half * WIDTH));
}

static mtl_gradients *make(fixture *f, const recipe *r, double shadow[VALUES])
{
    mtl_gradients *gradients;
    assert_ok(f->context, mtli_gradients_create(f->context, &f->parameters, 1, &gradients));
    memset(shadow, 0, VALUES * sizeof shadow[0]);
    if (r->plain) {
        fill_plain(f, gradients, shadow);
    }
    if (r->table != TABLE_NONE) {
        fill_table(f, gradients, r, shadow + PLAIN);
    }
    return gradients;
}

/* The invariant that gradients.h states. */
static void check_rows(const mtl_gradients *gradients, const mtl_tensor *table)
{
    const mtli_gradient_entry *entry = mtli_gradients_find(gradients, table);
    int64_t found = 0;
    for (int32_t r = 0; r < TABLE_ROWS; r++) {
        int32_t slot = entry->slot[r];
        assert_in_range(slot + 1, 0, entry->num_rows);
        if (slot >= 0) {
            assert_int_equal(entry->rows[slot], r);
            assert_int_equal(slot, found);
            found++;
        }
    }
    assert_int_equal(found, entry->num_rows);
    assert_true(entry->state == MTLI_GRADIENT_ROWS || entry->num_rows == 0);
}

/* One rounding of a sum or product of a few numbers below 10. */
static const double tolerance = 8 * 10 * MTLI_REAL_EPSILON;

static void check_values(fixture *f, const mtl_gradients *gradients, const double *shadow)
{
    double values[VALUES];
    assert_ok(f->context, mtl_gradients_read(gradients, plain_of(f), MTL_FLOAT64, values, PLAIN));
    assert_ok(f->context, mtl_gradients_read(gradients, table_of(f), MTL_FLOAT64, values + PLAIN, TABLE));
    assert_close(values, shadow, VALUES, 0, tolerance);
    float floats[TABLE];
    assert_ok(f->context, mtl_gradients_read(gradients, table_of(f), MTL_FLOAT32, floats, TABLE));
    for (int i = 0; i < TABLE; i++) {
        assert_true(floats[i] == (float)values[PLAIN + i]);
    }
    check_rows(gradients, table_of(f));
}

static double dot(const double *a, const double *b)
{
    double sum = 0;
    for (int i = 0; i < VALUES; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

/* Sums over VALUES products of numbers of a few units, in double. */
static const double sum_tolerance = VALUES * 100 * 2.3e-16;

static void tells_untouched_from_zero(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    for (int i = 0; i < RECIPES; i++) {
        double shadow[VALUES];
        mtl_gradients *gradients = make(&f, &recipes[i], shadow);
        check_values(&f, gradients, shadow);
        assert_int_equal(mtl_gradients_touched(gradients, plain_of(&f)), recipes[i].plain);
        assert_int_equal(mtl_gradients_touched(gradients, table_of(&f)), recipes[i].table != TABLE_NONE);
        const int32_t *rows = NULL;
        int64_t count = mtl_gradients_rows(gradients, table_of(&f), &rows);
        assert_true(recipes[i].table == TABLE_ROWS_ONLY ? count >= 0 : count == -1);
        for (int64_t k = 1; k < count; k++) {
            assert_true(rows[k - 1] < rows[k]);
        }
        assert_int_equal(mtl_gradients_rows(gradients, table_of(&f), NULL), count);
        assert_int_equal(mtl_gradients_rows(gradients, plain_of(&f), &rows), -1);
        mtl_gradients_clear(gradients);
        memset(shadow, 0, sizeof shadow);
        check_values(&f, gradients, shadow);
        assert_int_equal(mtl_gradients_touched(gradients, plain_of(&f)), 0);
        assert_int_equal(mtl_gradients_touched(gradients, table_of(&f)), 0);
        mtl_gradients_destroy(gradients);
    }
    close_fixture(&f);
}

static void norm_and_scale_agree_with_dense(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    for (int i = 0; i < RECIPES; i++) {
        double shadow[VALUES];
        mtl_gradients *gradients = make(&f, &recipes[i], shadow);
        assert_near(mtl_gradients_norm(gradients), sqrt(dot(shadow, shadow)), sum_tolerance);
        mtl_gradients_scale(gradients, -1.5);
        for (int k = 0; k < VALUES; k++) {
            shadow[k] *= -1.5;
        }
        check_values(&f, gradients, shadow);
        mtl_gradients_destroy(gradients);
    }
    close_fixture(&f);
}

static void every_pair_adds_and_multiplies_as_dense(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    for (int i = 0; i < RECIPES * RECIPES; i++) {
        double left[VALUES];
        double right[VALUES];
        mtl_gradients *a = make(&f, &recipes[i / RECIPES], left);
        mtl_gradients *b = make(&f, &recipes[i % RECIPES], right);
        double product;
        assert_ok(f.context, mtl_gradients_dot(a, b, &product));
        assert_near(product, dot(left, right), sum_tolerance);
        assert_ok(f.context, mtl_gradients_add(a, 0.25, b));
        for (int k = 0; k < VALUES; k++) {
            left[k] += 0.25 * right[k];
        }
        check_values(&f, a, left);
        check_values(&f, b, right);
        assert_int_equal(mtl_gradients_touched(a, plain_of(&f)),
                         recipes[i / RECIPES].plain || recipes[i % RECIPES].plain);
        bool rows = recipes[i / RECIPES].table != TABLE_DENSE && recipes[i % RECIPES].table != TABLE_DENSE;
        assert_true(mtl_gradients_rows(a, table_of(&f), NULL) < 0 || rows); /* stays sparse while it can */
        mtl_gradients_clear(a); /* and it can be used again after every mixture */
        assert_ok(f.context, mtl_gradients_add(a, 1, b));
        check_values(&f, a, right);
        mtl_gradients_destroy(a);
        mtl_gradients_destroy(b);
    }
    close_fixture(&f);
}

static void a_set_can_be_added_to_itself(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    for (int i = 0; i < RECIPES; i++) {
        double shadow[VALUES];
        mtl_gradients *gradients = make(&f, &recipes[i], shadow);
        assert_ok(f.context, mtl_gradients_add(gradients, 2, gradients));
        for (int k = 0; k < VALUES; k++) {
            shadow[k] *= 3;
        }
        check_values(&f, gradients, shadow);
        mtl_gradients_destroy(gradients);
    }
    close_fixture(&f);
}

static void clipping_keeps_the_direction(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    for (int i = 0; i < RECIPES; i++) {
        double shadow[VALUES];
        mtl_gradients *gradients = make(&f, &recipes[i], shadow);
        double expected = sqrt(dot(shadow, shadow));
        double norm = -1;
        assert_ok(f.context, mtl_gradients_clip(gradients, expected + 1, &norm));
        assert_near(norm, expected, sum_tolerance);
        check_values(&f, gradients, shadow);
        assert_ok(f.context, mtl_gradients_clip(gradients, 0.5, NULL));
        double factor = expected > 0.5 ? 0.5 / expected : 1;
        for (int k = 0; k < VALUES; k++) {
            shadow[k] *= factor;
        }
        check_values(&f, gradients, shadow);
        mtl_gradients_destroy(gradients);
    }
    close_fixture(&f);
}

static void a_norm_that_is_not_finite_changes_nothing(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    const mtli_real bad[] = {(mtli_real)NAN, (mtli_real)INFINITY};
    for (int i = 0; i < 2; i++) {
        double shadow[VALUES];
        mtl_gradients *gradients = make(&f, &recipes[3], shadow);
        mtli_gradients_find(gradients, plain_of(&f))->dense[5] = bad[i];
        shadow[5] = (double)bad[i];
        double norm = -1;
        assert_fails(f.context, mtl_gradients_clip(gradients, 0.1, &norm), MTL_ERROR_NUMERIC, "norm");
        assert_near(norm, -1, 0);
        check_values(&f, gradients, shadow);
        assert_false(isfinite(mtl_gradients_norm(gradients)));
        mtl_gradients_destroy(gradients);
    }
    close_fixture(&f);
}

static void bad_arguments_are_refused(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    double shadow[VALUES];
    double value = 5;
    mtl_gradients *a = make(&f, &recipes[4], shadow);
    mtli_parameters *twice[] = {f.parameters, f.parameters};
    mtl_gradients *other;
    assert_ok(f.context, mtli_gradients_create(f.context, twice, 2, &other));
    mtl_tensor *host;
    assert_ok(f.context, mtl_tensor_create(f.context, MTL_FLOAT32, 0, NULL, &host));
    assert_fails(f.context, mtl_gradients_dot(a, other, &value), MTL_ERROR_ARGUMENT, "another model");
    assert_fails(f.context, mtl_gradients_dot(a, NULL, &value), MTL_ERROR_ARGUMENT, "b is NULL");
    assert_fails(f.context, mtl_gradients_dot(a, a, NULL), MTL_ERROR_ARGUMENT, "out");
    assert_fails(f.context, mtl_gradients_add(a, 1, other), MTL_ERROR_ARGUMENT, "another model");
    assert_fails(f.context, mtl_gradients_add(a, 1, NULL), MTL_ERROR_ARGUMENT, "other is NULL");
    assert_fails(f.context, mtl_gradients_clip(a, 0, NULL), MTL_ERROR_ARGUMENT, "max_norm = 0");
    assert_fails(f.context, mtl_gradients_clip(a, NAN, NULL), MTL_ERROR_ARGUMENT, "max_norm");
    double values[PLAIN];
    assert_fails(f.context, mtl_gradients_read(a, host, MTL_FLOAT64, values, 1), MTL_ERROR_ARGUMENT, "parameter");
    assert_fails(f.context, mtl_gradients_read(a, NULL, MTL_FLOAT64, values, 1), MTL_ERROR_ARGUMENT, "parameter");
    assert_fails(f.context, mtl_gradients_read(a, plain_of(&f), MTL_FLOAT64, NULL, PLAIN), MTL_ERROR_ARGUMENT,
                 "values");
    assert_fails(f.context, mtl_gradients_read(a, plain_of(&f), MTL_FLOAT64, values, PLAIN - 1), MTL_ERROR_SHAPE, "11");
    assert_fails(f.context, mtl_gradients_read(a, plain_of(&f), MTL_INT32, values, PLAIN), MTL_ERROR_DTYPE, "dtype");
    assert_int_equal(mtl_gradients_touched(a, host), 0);
    assert_int_equal(mtl_gradients_rows(a, host, NULL), -1);
    assert_near(value, 5, 0);
    mtl_tensor_release(host);
    mtl_gradients_destroy(other);
    mtl_gradients_destroy(a);
    close_fixture(&f);
}

static void a_failed_addition_adds_nothing(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    double left[VALUES];
    double right[VALUES];
    mtl_gradients *a = make(&f, &recipes[4], left);
    mtl_gradients *b = make(&f, &recipes[3], right);
    f.allocator.fail_at = f.allocator.calls; /* the dense table, which comes after the plain parameter */
    assert_fails(f.context, mtl_gradients_add(a, 1, b), MTL_ERROR_MEMORY, NULL);
    check_values(&f, a, left);
    assert_ok(f.context, mtl_gradients_add(a, 1, b));
    for (int k = 0; k < VALUES; k++) {
        left[k] += right[k];
    }
    check_values(&f, a, left);
    mtl_gradients_destroy(a);
    mtl_gradients_destroy(b);
    close_fixture(&f);
}

/* All the memory that gradients ever take, in one go. */
static mtl_status use_memory(mtl_context *context, void *user)
{
    fixture *f = user;
    f->context = context;
    static const mtli_parameter_spec spec[] = {
        {.name = "plain", .ndim = 1, .dims = {5}},
        {.name = "table", .ndim = 2, .dims = {TABLE_ROWS, WIDTH}, .row_sparse = true}};
    mtli_parameters *parameters = NULL;
    mtl_gradients *a = NULL;
    mtl_gradients *b = NULL;
    const int32_t some[] = {7, 2};
    const int32_t more[] = {1, 2, 9};
    const mtli_real dy[3 * WIDTH] = {0};
    mtl_status status = mtli_parameters_create(context, spec, 2, &parameters);
    if (status == MTL_OK) {
        status = mtli_gradients_create(context, &parameters, 1, &a);
    }
    if (status == MTL_OK) {
        status = mtli_gradients_create(context, &parameters, 1, &b);
    }
    if (status == MTL_OK) {
        status = mtli_gradient_entry_add_rows(a, &a->blocks[0].entries[1], some, 2, dy);
    }
    if (status == MTL_OK) {
        status = mtli_gradient_entry_add_rows(b, &b->blocks[0].entries[1], more, 3, dy);
    }
    if (status == MTL_OK) {
        status = mtl_gradients_add(a, 1, b);
    }
    bool fresh;
    if (status == MTL_OK && !mtli_gradient_entry_dense(b, &b->blocks[0].entries[1], &fresh)) {
        status = context->status;
    }
    if (status == MTL_OK) {
        status = mtl_gradients_add(a, 1, b);
    }
    if (a && status != MTL_OK) {
        check_rows(a, &parameters->list[1].tensor);
    }
    mtl_gradients_destroy(a);
    mtl_gradients_destroy(b);
    mtli_parameters_release(parameters);
    return status;
}

static void nothing_leaks_when_memory_ends(void **state)
{
    (void)state;
    fixture f;
    test_each_allocation_failing(use_memory, &f);
}

static void an_empty_set_is_a_set(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_gradients *empty;
    assert_ok(context, mtli_gradients_create(context, NULL, 0, &empty));
    assert_near(mtl_gradients_norm(empty), 0, 0);
    double value = 1;
    assert_ok(context, mtl_gradients_dot(empty, empty, &value));
    assert_near(value, 0, 0);
    assert_ok(context, mtl_gradients_add(empty, 1, empty));
    mtl_gradients_clear(empty);
    mtl_gradients_destroy(empty);
    mtl_context_release(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_untouched_from_zero),
        cmocka_unit_test(norm_and_scale_agree_with_dense),
        cmocka_unit_test(every_pair_adds_and_multiplies_as_dense),
        cmocka_unit_test(a_set_can_be_added_to_itself),
        cmocka_unit_test(clipping_keeps_the_direction),
        cmocka_unit_test(a_norm_that_is_not_finite_changes_nothing),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(a_failed_addition_adds_nothing),
        cmocka_unit_test(nothing_leaks_when_memory_ends),
        cmocka_unit_test(an_empty_set_is_a_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
