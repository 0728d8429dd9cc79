/* SPDX-License-Identifier: Apache-2.0
 * The model: names, order, lookups, what may be added and when. */
#include "support.h"
#include "two_tasks.h"

static void lists_parameters_in_order(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    two_tasks tasks;
    assert_ok(context, two_tasks_create(context, NULL, TWO_TASKS_SGD, &tasks));
    static const char *const expected[] = {
        "encoder.embedding.weight",
        "encoder.lstm.weight_ih_l0",
        "encoder.lstm.weight_hh_l0",
        "encoder.lstm.bias_ih_l0",
        "encoder.lstm.bias_hh_l0",
        "first.weight",
        "first.bias",
        "second.weight",
        "second.bias",
    };
    enum { COUNT = sizeof expected / sizeof expected[0] };
    assert_int_equal(mtl_model_num_parameters(tasks.model), COUNT);
    int64_t values = 0;
    for (int i = 0; i < COUNT; i++) {
        assert_string_equal(mtl_model_parameter_name(tasks.model, i), expected[i]);
        mtl_tensor *parameter = mtl_model_parameter(tasks.model, i);
        assert_non_null(parameter);
        assert_ptr_equal(mtl_model_find_parameter(tasks.model, expected[i]), parameter);
        values += mtl_tensor_size(parameter);
    }
    assert_int_equal(mtl_model_num_values(tasks.model), values);
    assert_ptr_equal(mtl_model_find_parameter(tasks.model, "first.weight"),
                     mtl_head_parameter(tasks.heads[0], "weight"));
    assert_ptr_equal(mtl_model_encoder(tasks.model, "encoder"), tasks.encoder);
    assert_ptr_equal(mtl_model_head(tasks.model, "second"), tasks.heads[1]);
    assert_null(mtl_model_encoder(tasks.model, "first")); /* a head */
    assert_null(mtl_model_head(tasks.model, "encoder"));
    const char *missing[] = {
        "", "first", "first.", "first.other", "firs.weight", ".weight", "encoder.embedding.weight."};
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++) {
        assert_null(mtl_model_find_parameter(tasks.model, missing[i]));
    }
    const int64_t outside[] = {-1, COUNT, INT64_MAX, INT64_MIN};
    for (int i = 0; i < 4; i++) {
        assert_null(mtl_model_parameter(tasks.model, outside[i]));
        assert_null(mtl_model_parameter_name(tasks.model, outside[i]));
    }
    two_tasks_destroy(&tasks);
    mtl_context_release(context);
}

static void names_are_checked(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_model *model;
    mtl_head *head;
    assert_ok(context, mtl_model_create(context, NULL, &model));
    assert_ok(context, mtl_head_create_regressor(context, 1, 1, NULL, &head));
    char long_name[65];
    memset(long_name, 'n', 64);
    long_name[64] = '\0';
    const char *bad[] = {"", "a.b", "a b", "a/b", "\xc3\xa4", "a\n", long_name};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_fails(context, mtl_model_add_head(model, bad[i], head), MTL_ERROR_ARGUMENT, "name '");
    }
    assert_fails(context, mtl_model_add_head(model, NULL, head), MTL_ERROR_ARGUMENT, "name is NULL");
    assert_fails(context, mtl_model_add_head(model, "a", NULL), MTL_ERROR_ARGUMENT, "head is NULL");
    assert_fails(context, mtl_model_add_encoder(model, "a", NULL), MTL_ERROR_ARGUMENT, "encoder is NULL");
    assert_int_equal(mtl_model_add_head(NULL, "a", head), MTL_ERROR_ARGUMENT);
    assert_int_equal(mtl_model_num_parameters(model), 0);
    long_name[63] = '\0';
    assert_ok(context, mtl_model_add_head(model, long_name, head));
    mtl_head_release(head);
    mtl_model_destroy(model);
    mtl_context_release(context);
}

static void a_module_and_a_name_come_once(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_model *model;
    mtl_model *other;
    mtl_head *heads[2];
    assert_ok(context, mtl_model_create(context, NULL, &model));
    assert_ok(context, mtl_model_create(context, NULL, &other));
    assert_ok(context, mtl_head_create_regressor(context, 1, 1, NULL, &heads[0]));
    assert_ok(context, mtl_head_create_regressor(context, 1, 1, NULL, &heads[1]));
    assert_ok(context, mtl_model_add_head(model, "a", heads[0]));
    assert_fails(context, mtl_model_add_head(model, "b", heads[0]), MTL_ERROR_ARGUMENT, "as 'a'");
    assert_fails(context, mtl_model_add_head(model, "a", heads[1]), MTL_ERROR_ARGUMENT, "taken");
    assert_ok(context, mtl_model_add_head(model, "b", heads[1]));
    assert_ok(context, mtl_model_add_head(other, "b", heads[0])); /* another model may have it too */
    mtl_context *elsewhere = test_context();
    mtl_model *foreign;
    assert_ok(elsewhere, mtl_model_create(elsewhere, NULL, &foreign));
    assert_fails(elsewhere, mtl_model_add_head(foreign, "a", heads[0]), MTL_ERROR_ARGUMENT, "another context");
    mtl_model_destroy(foreign);
    mtl_context_release(elsewhere);
    mtl_head_release(heads[0]);
    mtl_head_release(heads[1]);
    mtl_model_destroy(other);
    mtl_model_destroy(model);
    mtl_context_release(context);
}

static void nothing_is_added_once_it_is_in_use(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    for (int use = 0; use < 2; use++) {
        mtl_model *model;
        mtl_head *heads[2];
        mtl_gradients *gradients = NULL;
        mtl_optimizer *optimizer = NULL;
        assert_ok(context, mtl_model_create(context, NULL, &model));
        assert_ok(context, mtl_head_create_regressor(context, 1, 1, NULL, &heads[0]));
        assert_ok(context, mtl_head_create_regressor(context, 1, 1, NULL, &heads[1]));
        assert_ok(context, mtl_model_add_head(model, "a", heads[0]));
        if (use == 0) {
            assert_ok(context, mtl_gradients_create(model, &gradients));
        } else {
            assert_ok(context, mtl_optimizer_create_sgd(model, NULL, &optimizer));
        }
        assert_fails(context, mtl_model_add_head(model, "b", heads[1]), MTL_ERROR_STATE, "'b'");
        assert_int_equal(mtl_model_num_parameters(model), 2);
        mtl_gradients_destroy(gradients);
        mtl_optimizer_destroy(optimizer);
        mtl_head_release(heads[0]);
        mtl_head_release(heads[1]);
        mtl_model_destroy(model);
    }
    mtl_context_release(context);
}

static void options_and_null_are_handled(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_model *model = NULL;
    mtl_model_options options = MTL_MODEL_OPTIONS_INIT;
    options.struct_size = 1;
    assert_fails(context, mtl_model_create(context, &options, &model), MTL_ERROR_ARGUMENT, "struct_size");
    assert_fails(context, mtl_model_create(context, NULL, NULL), MTL_ERROR_ARGUMENT, "out");
    assert_int_equal(mtl_model_create(NULL, NULL, &model), MTL_ERROR_ARGUMENT);
    assert_null(model);
    assert_int_equal(mtl_model_num_parameters(NULL), 0);
    assert_int_equal(mtl_model_num_values(NULL), 0);
    assert_null(mtl_model_parameter(NULL, 0));
    assert_null(mtl_model_parameter_name(NULL, 0));
    assert_null(mtl_model_find_parameter(NULL, "a"));
    assert_null(mtl_model_encoder(NULL, "a"));
    assert_null(mtl_model_head(NULL, "a"));
    mtl_model_destroy(NULL);
    assert_ok(context, mtl_model_create(context, NULL, &model));
    assert_null(mtl_model_find_parameter(model, NULL));
    assert_null(mtl_model_encoder(model, NULL));
    assert_null(mtl_model_head(model, NULL));
    mtl_model_destroy(model);
    mtl_context_release(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_parameters_in_order),     cmocka_unit_test(names_are_checked),
        cmocka_unit_test(a_module_and_a_name_come_once), cmocka_unit_test(nothing_is_added_once_it_is_in_use),
        cmocka_unit_test(options_and_null_are_handled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
