/* SPDX-License-Identifier: Apache-2.0
 * Penalties as objects: what creation refuses and why, which parameters match, what may be asked, and who may hold one. */
#include "soft_tasks.h"
#include "support.h"

#include <math.h>

static const char *const *const encoders = soft_tasks_encoders;

typedef struct fixture {
    mtl_context *context;
    soft_tasks tasks;
} fixture;

static void open_fixture(fixture *f)
{
    f->context = test_context();
    assert_ok(f->context, soft_tasks_create(f->context, 0, 0.1, &f->tasks));
}

static void close_fixture(fixture *f)
{
    soft_tasks_destroy(&f->tasks);
    mtl_context_release(f->context);
}

static mtl_penalty_options options_of(int32_t kind, const char *parameters)
{
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    options.kind = kind;
    options.parameters = parameters;
    return options;
}

static mtl_penalty *make(fixture *f, const mtl_penalty_options *options)
{
    mtl_penalty *penalty = NULL;
    assert_ok(f->context, mtl_penalty_create(f->tasks.model, encoders, 2, options, &penalty));
    assert_non_null(penalty);
    return penalty;
}

/* ---- creation ---- */

static void refuses(fixture *f, const char *const *modules, int32_t count, const mtl_penalty_options *options,
                    mtl_status status, const char *message)
{
    mtl_penalty *penalty = NULL;
    assert_fails(f->context, mtl_penalty_create(f->tasks.model, modules, count, options, &penalty), status, message);
    assert_null(penalty);
}

static void networks_are_checked(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    const char *const unknown[] = {"review", "weather"};
    const char *const twice[] = {"news", "news"};
    const char *const missing[] = {"review", NULL};
    refuses(&f, encoders, 0, NULL, MTL_ERROR_ARGUMENT, "count = 0");
    refuses(&f, encoders, -5, NULL, MTL_ERROR_ARGUMENT, "count = -5");
    refuses(&f, encoders, 1, NULL, MTL_ERROR_ARGUMENT, "count = 1");
    refuses(&f, encoders, 65537, NULL, MTL_ERROR_LIMIT, "count = 65537");
    refuses(&f, unknown, 2, NULL, MTL_ERROR_ARGUMENT, "modules[1] = 'weather'");
    refuses(&f, twice, 2, NULL, MTL_ERROR_ARGUMENT, "modules[1] = 'news' is there twice");
    refuses(&f, missing, 2, NULL, MTL_ERROR_ARGUMENT, "modules[1] is NULL");
    mtl_penalty *penalty = NULL;
    assert_fails(f.context, mtl_penalty_create(f.tasks.model, NULL, 2, NULL, &penalty), MTL_ERROR_ARGUMENT, "modules");
    assert_fails(f.context, mtl_penalty_create(f.tasks.model, encoders, 2, NULL, NULL), MTL_ERROR_ARGUMENT, "out");
    assert_int_equal(mtl_penalty_create(NULL, encoders, 2, NULL, &penalty), MTL_ERROR_ARGUMENT);
    assert_null(penalty);
    close_fixture(&f);
}

static void kinds_that_compare_need_two_networks(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    static const struct {
        int32_t kind, form;
        bool alone;
    } rows[] = {
        {MTL_PENALTY_L2, MTL_L2_PAIRWISE, false},
        {MTL_PENALTY_L2, MTL_L2_MEAN, false},
        {MTL_PENALTY_L2, MTL_L2_RIDGE, true},
        {MTL_PENALTY_TRACE_NORM_DIFFERENCES, 0, false},
        {MTL_PENALTY_TRACE_NORM, 0, true},
        {MTL_PENALTY_L1, 0, true},
        {MTL_PENALTY_L21, 0, true},
        {MTL_PENALTY_LINF1, 0, true},
        {MTL_PENALTY_CLUSTERED, 0, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        mtl_penalty_options options = options_of(rows[i].kind, NULL);
        options.form = rows[i].form;
        if (rows[i].alone) {
            mtl_penalty *penalty = NULL;
            double value = -1;
            assert_ok(f.context, mtl_penalty_create(f.tasks.model, encoders, 1, &options, &penalty));
            assert_int_equal(mtl_penalty_num_networks(penalty), 1);
            assert_ok(f.context, mtl_penalty_value(penalty, &value));
            assert_true(value > 0);
            mtl_penalty_destroy(penalty);
        } else {
            refuses(&f, encoders, 1, &options, MTL_ERROR_ARGUMENT, "count = 1");
        }
    }
    close_fixture(&f);
}

static void options_are_checked(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_penalty_options options = options_of(0, NULL);
    options.struct_size = 12;
    refuses(&f, encoders, 2, &options, MTL_ERROR_ARGUMENT, "struct_size = 12");
    for (int k = 0; k < 2; k++) {
        options = options_of(k ? 7 : -1, NULL);
        refuses(&f, encoders, 2, &options, MTL_ERROR_ARGUMENT, k ? "kind = 7" : "kind = -1");
        options = options_of(MTL_PENALTY_L2, NULL);
        options.form = k ? 3 : -1;
        refuses(&f, encoders, 2, &options, MTL_ERROR_ARGUMENT, k ? "form = 3" : "form = -1");
        options = options_of(MTL_PENALTY_TRACE_NORM, NULL);
        options.unfolding = k ? 3 : -1;
        refuses(&f, encoders, 2, &options, MTL_ERROR_ARGUMENT, k ? "unfolding = 3" : "unfolding = -1");
        options = options_of(k ? MTL_PENALTY_L21 : MTL_PENALTY_LINF1, NULL);
        options.group = k ? 4 : -1;
        refuses(&f, encoders, 2, &options, MTL_ERROR_ARGUMENT, k ? "group = 4" : "group = -1");
        options = options_of(MTL_PENALTY_L1, NULL);
        options.sparse = k ? 2 : -1;
        refuses(&f, encoders, 2, &options, MTL_ERROR_ARGUMENT, k ? "sparse = 2" : "sparse = -1");
        options = options_of(MTL_PENALTY_CLUSTERED, NULL);
        options.clusters = k ? 2 : 0;
        refuses(&f, encoders, 2, &options, MTL_ERROR_ARGUMENT, k ? "clusters = 2" : "clusters = 0");
    }
    const double bad_clustering[] = {0, -1, (double)INFINITY, (double)NAN};
    for (int k = 0; k < 4; k++) {
        options = options_of(MTL_PENALTY_CLUSTERED, NULL);
        options.clustering = bad_clustering[k];
        refuses(&f, encoders, 2, &options, MTL_ERROR_ARGUMENT, "clustering = ");
    }
    const double bad_coefficients[] = {-1e-9, (double)INFINITY, (double)NAN, 1e300};
    for (int k = 0; k < 4; k++) {
        options = options_of(MTL_PENALTY_L2, NULL);
        options.coefficient = bad_coefficients[k];
        refuses(&f, encoders, 2, &options, MTL_ERROR_ARGUMENT, "coefficient = ");
    }
    close_fixture(&f);
}

static void options_of_other_kinds_are_ignored(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    const double bad_graph[4] = {0, -1, -1, 0};
    mtl_penalty_options options = options_of(MTL_PENALTY_L1, NULL);
    options.form = options.unfolding = options.group = options.clusters = 99;
    options.clustering = -1;
    options.graph = bad_graph;
    mtl_penalty_destroy(make(&f, &options));
    close_fixture(&f);
}

static void graphs_are_checked(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    const double bad[] = {-1, (double)NAN, (double)INFINITY, 1e300};
    static const int32_t kinds[] = {MTL_PENALTY_L2, MTL_PENALTY_TRACE_NORM_DIFFERENCES};
    for (int k = 0; k < 2; k++) {
        for (int b = 0; b < 4; b++) {
            const double graph[4] = {(double)NAN, 1, bad[b], -7}; /* the diagonal is not read */
            mtl_penalty_options options = options_of(kinds[k], NULL);
            options.graph = graph;
            refuses(&f, encoders, 2, &options, MTL_ERROR_ARGUMENT, "graph[1][0] = ");
        }
    }
    close_fixture(&f);
}

/* ---- matching ---- */

static void embeddings_take_part_when_their_name_is_written_out(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_penalty *penalty = make(&f, NULL);
    assert_int_equal(mtl_penalty_num_networks(penalty), 2);
    assert_int_equal(mtl_penalty_num_parameters(penalty), 4);
    assert_string_equal(mtl_penalty_parameter_name(penalty, 0), "lstm.weight_ih_l0");
    assert_string_equal(mtl_penalty_parameter_name(penalty, 3), "lstm.bias_hh_l0");
    assert_null(mtl_penalty_parameter_name(penalty, 4));
    assert_null(mtl_penalty_parameter_name(penalty, -1));
    assert_int_equal(mtl_penalty_num_unmatched(penalty), 0);
    assert_null(mtl_penalty_unmatched_name(penalty, 0));
    mtl_penalty_destroy(penalty);

    mtl_penalty_options options = options_of(MTL_PENALTY_L2, "*,embedding.weight");
    penalty = make(&f, &options);
    assert_int_equal(mtl_penalty_num_parameters(penalty), 5);
    assert_string_equal(mtl_penalty_parameter_name(penalty, 0), "embedding.weight");
    mtl_penalty_destroy(penalty);
    options = options_of(MTL_PENALTY_L2, "*");
    penalty = make(&f, &options);
    assert_int_equal(mtl_penalty_num_parameters(penalty), 4);
    mtl_penalty_destroy(penalty);
    options = options_of(MTL_PENALTY_L2, "*.bias_?h_l0,lstm.weight_ih_l0");
    penalty = make(&f, &options);
    assert_int_equal(mtl_penalty_num_parameters(penalty), 3);
    mtl_penalty_destroy(penalty);

    options = options_of(MTL_PENALTY_L2, "embedding.*");
    refuses(&f, encoders, 2, &options, MTL_ERROR_ARGUMENT, "'embedding.*'");
    options = options_of(MTL_PENALTY_L2, "lstm.*,lstm.weigth_ih_l0");
    refuses(&f, encoders, 2, &options, MTL_ERROR_ARGUMENT, "'lstm.weigth_ih_l0'");
    options = options_of(MTL_PENALTY_L2, "");
    refuses(&f, encoders, 2, &options, MTL_ERROR_ARGUMENT, "''");
    options = options_of(MTL_PENALTY_L2, "lstm.*,");
    refuses(&f, encoders, 2, &options, MTL_ERROR_ARGUMENT, "''");
    close_fixture(&f);
}

static void kinds_of_whole_matrices_are_dense_on_embeddings(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    static const struct {
        int32_t kind, group;
        bool lazy;
    } rows[] = {
        {MTL_PENALTY_L2, 0, true},
        {MTL_PENALTY_L1, 0, true},
        {MTL_PENALTY_TRACE_NORM_DIFFERENCES, 0, false},
        {MTL_PENALTY_TRACE_NORM, 0, false},
        {MTL_PENALTY_CLUSTERED, 0, false},
        {MTL_PENALTY_L21, MTL_GROUP_COORDINATE, true},
        {MTL_PENALTY_L21, MTL_GROUP_ROW, true},
        {MTL_PENALTY_L21, MTL_GROUP_COLUMN, false},
        {MTL_PENALTY_LINF1, MTL_GROUP_ROW, true},
        {MTL_PENALTY_LINF1, MTL_GROUP_TASK, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        mtl_penalty_options options = options_of(rows[i].kind, "embedding.weight");
        options.group = rows[i].group;
        if (rows[i].lazy) {
            mtl_penalty_destroy(make(&f, &options));
        } else {
            refuses(&f, encoders, 2, &options, MTL_ERROR_UNSUPPORTED, "MTL_SPARSE_DENSE");
        }
        options.sparse = MTL_SPARSE_DENSE;
        mtl_penalty_destroy(make(&f, &options));
    }
    close_fixture(&f);
}

/* A model of heads over 3 features: name, outputs, hidden units. */
typedef struct head_spec {
    const char *name;
    int64_t outputs, hidden;
} head_spec;

static mtl_model *make_heads(mtl_context *context, const head_spec *specs, int count)
{
    mtl_model *model;
    assert_ok(context, mtl_model_create(context, NULL, &model));
    for (int i = 0; i < count; i++) {
        mtl_head *head;
        mtl_head_options options = MTL_HEAD_OPTIONS_INIT;
        options.hidden_dim = specs[i].hidden;
        assert_ok(context, mtl_head_create_regressor(context, 3, specs[i].outputs, &options, &head));
        assert_ok(context, mtl_model_add_head(model, specs[i].name, head));
        mtl_head_release(head);
    }
    return model;
}

static void parameters_that_some_network_lacks_are_told(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    static const head_spec specs[] = {{"a", 2, 0}, {"b", 2, 3}, {"c", 2, 0}};
    const char *const names[] = {"c", "b", "a"};
    mtl_model *model = make_heads(context, specs, 3);
    mtl_penalty *penalty;
    assert_ok(context, mtl_penalty_create(model, names, 3, NULL, &penalty));
    /* b's hidden layer is its own; the other two are 2 x 3 in all: b's hidden units are as many as the features. */
    assert_int_equal(mtl_penalty_num_parameters(penalty), 2);
    assert_string_equal(mtl_penalty_parameter_name(penalty, 0), "weight");
    assert_int_equal(mtl_penalty_num_unmatched(penalty), 2);
    assert_string_equal(mtl_penalty_unmatched_name(penalty, 0), "b.hidden.weight");
    assert_string_equal(mtl_penalty_unmatched_name(penalty, 1), "b.hidden.bias");
    assert_null(mtl_penalty_unmatched_name(penalty, 2));
    assert_null(mtl_penalty_unmatched_name(penalty, -1));
    mtl_penalty_destroy(penalty);
    mtl_penalty_options options = options_of(MTL_PENALTY_L2, "hidden.*");
    assert_fails(context, mtl_penalty_create(model, names, 3, &options, &penalty), MTL_ERROR_ARGUMENT,
                 "b.hidden.weight");
    mtl_model_destroy(model);
    mtl_context_release(context);
}

static void one_name_has_one_shape(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    static const head_spec specs[] = {{"a", 2, 0}, {"b", 4, 0}};
    const char *const names[] = {"a", "b"};
    mtl_model *model = make_heads(context, specs, 2);
    mtl_penalty *penalty = NULL;
    assert_fails(context, mtl_penalty_create(model, names, 2, NULL, &penalty), MTL_ERROR_SHAPE,
                 "'a.weight' has shape [2, 3], 'b.weight' has [4, 3]");
    assert_null(penalty);
    mtl_model_destroy(model);
    mtl_context_release(context);
}

static void a_model_with_a_penalty_takes_no_more_modules(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    static const head_spec specs[] = {{"a", 2, 0}, {"b", 2, 0}};
    const char *const names[] = {"a", "b"};
    mtl_model *model = make_heads(context, specs, 2);
    mtl_penalty *penalty;
    mtl_head *late;
    assert_ok(context, mtl_penalty_create(model, names, 2, NULL, &penalty));
    assert_ok(context, mtl_head_create_regressor(context, 3, 2, NULL, &late));
    assert_fails(context, mtl_model_add_head(model, "late", late), MTL_ERROR_STATE, "late");
    mtl_head_release(late);
    mtl_model_destroy(model); /* the penalty keeps the parameters */
    double value;
    assert_ok(context, mtl_penalty_value(penalty, &value));
    assert_true(value > 0);
    mtl_context_release(context);
    mtl_penalty_destroy(penalty);
}

/* ---- questions ---- */

static void coefficients_are_checked(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_penalty *penalty = make(&f, NULL);
    assert_near(mtl_penalty_coefficient(penalty), 1, 0);
    const double bad[] = {-1, (double)NAN, (double)INFINITY};
    for (int k = 0; k < 3; k++) {
        assert_fails(f.context, mtl_penalty_set_coefficient(penalty, bad[k]), MTL_ERROR_ARGUMENT, "coefficient = ");
    }
    double one;
    double half;
    assert_ok(f.context, mtl_penalty_value(penalty, &one));
    assert_ok(f.context, mtl_penalty_set_coefficient(penalty, 0.5));
    assert_near(mtl_penalty_coefficient(penalty), 0.5, 0);
    assert_ok(f.context, mtl_penalty_value(penalty, &half));
    assert_true(one > 0);
    assert_near(half, one / 2, 0); /* a power of two is exact */
    mtl_penalty_destroy(penalty);
    close_fixture(&f);
}

static void values_are_those_of_the_formula(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    const double graph[4] = {9, 0.5, 2, 9};
    mtl_penalty_options options = options_of(MTL_PENALTY_L2, NULL);
    options.graph = graph;
    options.coefficient = 0.25;
    mtl_penalty *penalty = make(&f, &options);
    double expected = 0;
    double magnitude = 0;
    for (int64_t i = 0; i < mtl_penalty_num_parameters(penalty); i++) {
        const char *name = mtl_penalty_parameter_name(penalty, i);
        double w[2][256];
        int64_t size = mtl_tensor_size(mtl_encoder_parameter(f.tasks.encoders[0], name));
        for (int t = 0; t < 2; t++) {
            double read[256];
            assert_ok(f.context, mtl_tensor_read(mtl_encoder_parameter(f.tasks.encoders[t], name), MTL_FLOAT64, w[t],
                                                 (size_t)size));
            assert_ok(f.context, mtl_penalty_read(penalty, i, t, read, size));
            assert_memory_equal(read, w[t], (size_t)size * sizeof read[0]);
        }
        for (int64_t k = 0; k < size; k++) {
            expected += 0.25 * (0.5 + 2) * (w[0][k] - w[1][k]) * (w[0][k] - w[1][k]);
            magnitude += w[0][k] * w[0][k] + w[1][k] * w[1][k];
        }
    }
    double value;
    assert_ok(f.context, mtl_penalty_value(penalty, &value));
    /* Differences of floats below 1/2 are rounded by at most 2^-25, squares twice that; the sum is in double. */
    assert_near(value, expected, 4 * 0.625 * magnitude * 0x1p-24);
    mtl_penalty_destroy(penalty);
    close_fixture(&f);
}

static void arguments_of_questions_are_checked(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_penalty *p = make(&f, NULL);
    double values[64];
    int64_t count = -7;
    assert_fails(f.context, mtl_penalty_value(p, NULL), MTL_ERROR_ARGUMENT, "value");
    assert_fails(f.context, mtl_penalty_singular_values(p, 4, 0, values, 2, &count), MTL_ERROR_ARGUMENT, "index = 4");
    assert_fails(f.context, mtl_penalty_singular_values(p, 0, 1, values, 2, &count), MTL_ERROR_ARGUMENT, "matrix = 1");
    assert_fails(f.context, mtl_penalty_singular_values(p, 0, -1, values, 2, &count), MTL_ERROR_ARGUMENT,
                 "matrix = -1");
    assert_fails(f.context, mtl_penalty_singular_values(p, 0, 0, NULL, 2, &count), MTL_ERROR_ARGUMENT, "values");
    assert_fails(f.context, mtl_penalty_singular_values(p, 0, 0, values, -2, &count), MTL_ERROR_ARGUMENT,
                 "capacity = -2");
    assert_fails(f.context, mtl_penalty_singular_values(p, 0, 0, values, 2, NULL), MTL_ERROR_ARGUMENT, "count");
    assert_int_equal(count, -7);
    const double bad[] = {-0.1, 1, (double)NAN};
    for (int k = 0; k < 3; k++) {
        assert_fails(f.context, mtl_penalty_rank(p, 0, 0, bad[k], &count), MTL_ERROR_ARGUMENT, "tolerance = ");
    }
    assert_fails(f.context, mtl_penalty_rank(p, -1, 0, 0.5, &count), MTL_ERROR_ARGUMENT, "index = -1");
    assert_fails(f.context, mtl_penalty_rank(p, 0, 0, 0.5, NULL), MTL_ERROR_ARGUMENT, "rank");
    assert_fails(f.context, mtl_penalty_read(p, 9, 0, values, 48), MTL_ERROR_ARGUMENT, "index = 9");
    assert_fails(f.context, mtl_penalty_read(p, 0, 2, values, 48), MTL_ERROR_ARGUMENT, "network = 2");
    assert_fails(f.context, mtl_penalty_read(p, 0, -1, values, 48), MTL_ERROR_ARGUMENT, "network = -1");
    assert_fails(f.context, mtl_penalty_read(p, 0, 0, values, 47), MTL_ERROR_ARGUMENT, "count = 47");
    assert_fails(f.context, mtl_penalty_read(p, 0, 0, NULL, 48), MTL_ERROR_ARGUMENT, "values");
    assert_int_equal(mtl_penalty_num_matrices(p, 4), 0);
    assert_int_equal(mtl_penalty_num_matrices(p, -1), 0);
    assert_null(mtl_penalty_component(p, 0));
    mtl_penalty_destroy(p);
    close_fixture(&f);
}

static void every_kind_tells_its_matrices(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    /* lstm.weight_ih_l0 is 16 x 3, lstm.bias_ih_l0 has 16 values. */
    static const struct {
        int32_t kind, unfolding;
        const char *name;
        int64_t matrices, counts[3];
    } rows[] = {
        {MTL_PENALTY_L2, 0, "lstm.weight_ih_l0", 1, {2}},
        {MTL_PENALTY_CLUSTERED, 0, "lstm.weight_ih_l0", 1, {2}},
        {MTL_PENALTY_TRACE_NORM_DIFFERENCES, 0, "lstm.weight_ih_l0", 1, {3}},
        {MTL_PENALTY_TRACE_NORM_DIFFERENCES, 0, "lstm.bias_ih_l0", 1, {1}},
        {MTL_PENALTY_TRACE_NORM, MTL_UNFOLDING_TASKS, "lstm.weight_ih_l0", 1, {2}},
        {MTL_PENALTY_TRACE_NORM, MTL_UNFOLDING_TUCKER, "lstm.weight_ih_l0", 3, {6, 3, 2}},
        {MTL_PENALTY_TRACE_NORM, MTL_UNFOLDING_TUCKER, "lstm.bias_ih_l0", 2, {2, 2}},
        {MTL_PENALTY_TRACE_NORM, MTL_UNFOLDING_TENSOR_TRAIN, "lstm.weight_ih_l0", 2, {6, 2}},
        {MTL_PENALTY_TRACE_NORM, MTL_UNFOLDING_TENSOR_TRAIN, "lstm.bias_ih_l0", 1, {2}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        mtl_penalty_options options = options_of(rows[i].kind, rows[i].name);
        options.unfolding = rows[i].unfolding;
        mtl_penalty *penalty = make(&f, &options);
        double sum = 0;
        assert_int_equal(mtl_penalty_num_matrices(penalty, 0), rows[i].matrices);
        for (int64_t m = 0; m < rows[i].matrices; m++) {
            double values[8] = {0};
            int64_t count = -1;
            int64_t rank = -1;
            assert_ok(f.context, mtl_penalty_singular_values(penalty, 0, m, values, 8, &count));
            assert_int_equal(count, rows[i].counts[m]);
            assert_ok(f.context, mtl_penalty_rank(penalty, 0, m, 1e-6, &rank));
            assert_true(rank >= 1 && rank <= count);
            for (int64_t k = 0; k < count; k++) {
                assert_true(values[k] >= 0 && (k == 0 || values[k] <= values[k - 1]));
                sum += values[k];
            }
            double first = -1;
            assert_ok(f.context, mtl_penalty_singular_values(penalty, 0, m, &first, 1, &count));
            assert_near(first, values[0], 0);
            assert_ok(f.context, mtl_penalty_singular_values(penalty, 0, m, NULL, 0, &count));
        }
        /* A trace norm is their sum; in the sum of differences each pair counts twice. Both ways are good to some roundings
         * of float for each of the at most 6 values. */
        if (rows[i].kind == MTL_PENALTY_TRACE_NORM || rows[i].kind == MTL_PENALTY_TRACE_NORM_DIFFERENCES) {
            double value;
            double times = rows[i].kind == MTL_PENALTY_TRACE_NORM ? 1 : 2;
            assert_ok(f.context, mtl_penalty_value(penalty, &value));
            assert_near(value, times * sum, 6 * 16 * 0x1p-24 * value);
        }
        mtl_penalty_destroy(penalty);
    }
    close_fixture(&f);
}

static void weights_of_zero_have_rank_0(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    const double zeros[48] = {0};
    for (int t = 0; t < 2; t++) {
        mtl_tensor *w = mtl_encoder_parameter(f.tasks.encoders[t], "lstm.weight_ih_l0");
        assert_ok(f.context, mtl_tensor_write(w, MTL_FLOAT64, zeros, 48));
    }
    for (int32_t kind = MTL_PENALTY_L2; kind <= MTL_PENALTY_CLUSTERED; kind++) {
        mtl_penalty_options options = options_of(kind, "lstm.weight_ih_l0");
        mtl_penalty *penalty = make(&f, &options);
        int64_t rank = -1;
        double value = -1;
        assert_ok(f.context, mtl_penalty_rank(penalty, 0, 0, 0, &rank));
        assert_int_equal(rank, 0);
        assert_ok(f.context, mtl_penalty_value(penalty, &value));
        assert_near(value, 0, 0);
        mtl_penalty_destroy(penalty);
    }
    close_fixture(&f);
}

static void weights_that_are_not_finite_are_named(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_tensor *bias = mtl_encoder_parameter(f.tasks.encoders[1], "lstm.bias_ih_l0");
    double values[16] = {0};
    const double bad[] = {(double)NAN, (double)INFINITY};
    for (int k = 0; k < 2; k++) {
        values[5] = bad[k];
        assert_ok(f.context, mtl_tensor_write(bias, MTL_FLOAT64, values, 16));
        for (int32_t kind = MTL_PENALTY_L2; kind <= MTL_PENALTY_CLUSTERED; kind++) {
            mtl_penalty_options options = options_of(kind, NULL);
            mtl_penalty *penalty = make(&f, &options);
            double value = -7;
            int64_t count = -7;
            assert_fails(f.context, mtl_penalty_value(penalty, &value), MTL_ERROR_NUMERIC, "'news.lstm.bias_ih_l0'");
            assert_fails(f.context, mtl_penalty_singular_values(penalty, 2, 0, NULL, 0, &count), MTL_ERROR_NUMERIC,
                         "'news.lstm.bias_ih_l0'");
            assert_fails(f.context, mtl_penalty_rank(penalty, 2, 0, 0.1, &count), MTL_ERROR_NUMERIC,
                         "'news.lstm.bias_ih_l0'");
            assert_ok(f.context, mtl_penalty_singular_values(penalty, 0, 0, NULL, 0, &count)); /* another stack */
            assert_near(value, -7, 0);
            mtl_penalty_destroy(penalty);
        }
    }
    close_fixture(&f);
}

/* ---- who holds a penalty ---- */

static void a_penalty_has_one_place(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_objective *o = f.tasks.objective;
    mtl_penalty *term = make(&f, NULL);
    mtl_penalty *step = make(&f, NULL);
    mtl_penalty *whole = NULL;
    mtl_penalty *other = make(&f, NULL);
    assert_ok(f.context, mtl_objective_add_penalty(o, term));
    assert_ok(f.context, mtl_optimizer_add_proximal(f.tasks.optimizer, step));
    mtl_penalty *const taken[] = {term, step};
    for (int k = 0; k < 2; k++) {
        assert_fails(f.context, mtl_objective_add_penalty(o, taken[k]), MTL_ERROR_STATE, "added");
        assert_fails(f.context, mtl_optimizer_add_proximal(f.tasks.optimizer, taken[k]), MTL_ERROR_STATE, "added");
        assert_fails(f.context, mtl_penalty_create_split(taken[k], other, &whole), MTL_ERROR_STATE, "first");
        assert_fails(f.context, mtl_penalty_create_split(other, taken[k], &whole), MTL_ERROR_STATE, "second");
    }
    assert_null(whole);
    /* It is free again when what held it has ended. */
    mtl_objective_destroy(o);
    assert_ok(f.context, mtl_objective_create(f.tasks.model, NULL, &f.tasks.objective));
    assert_ok(f.context, mtl_objective_add_penalty(f.tasks.objective, term));
    mtl_penalty_destroy(term);
    mtl_penalty_destroy(step);
    mtl_penalty_destroy(other);
    close_fixture(&f);
}

static void parts_belong_to_their_whole(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_penalty_options options = options_of(MTL_PENALTY_LINF1, NULL);
    mtl_penalty *first = make(&f, &options);
    options = options_of(MTL_PENALTY_L1, NULL);
    mtl_penalty *second = make(&f, &options);
    mtl_penalty *whole;
    assert_ok(f.context, mtl_penalty_create_split(first, second, &whole));
    assert_ptr_equal(mtl_penalty_component(whole, 0), first);
    assert_ptr_equal(mtl_penalty_component(whole, 1), second);
    assert_null(mtl_penalty_component(whole, 2));
    assert_null(mtl_penalty_component(whole, -1));
    assert_int_equal(mtl_penalty_num_networks(whole), 2);
    assert_int_equal(mtl_penalty_num_parameters(whole), 4);
    assert_string_equal(mtl_penalty_parameter_name(whole, 1), "lstm.weight_hh_l0");
    assert_int_equal(mtl_penalty_num_matrices(whole, 0), 1);
    assert_near(mtl_penalty_coefficient(whole), 1, 0);
    assert_fails(f.context, mtl_objective_add_penalty(f.tasks.objective, first), MTL_ERROR_STATE, "part");
    assert_fails(f.context, mtl_optimizer_add_proximal(f.tasks.optimizer, second), MTL_ERROR_STATE, "part");
    assert_fails(f.context, mtl_objective_add_penalty(f.tasks.objective, whole), MTL_ERROR_UNSUPPORTED, "split");
    mtl_penalty *again = NULL;
    mtl_penalty *free_one = make(&f, NULL);
    assert_fails(f.context, mtl_penalty_create_split(first, free_one, &again), MTL_ERROR_STATE, "first");
    assert_fails(f.context, mtl_penalty_create_split(whole, free_one, &again), MTL_ERROR_ARGUMENT, "first");
    assert_fails(f.context, mtl_penalty_create_split(free_one, free_one, &again), MTL_ERROR_ARGUMENT, "second");
    assert_fails(f.context, mtl_penalty_create_split(free_one, NULL, &again), MTL_ERROR_ARGUMENT, "second");
    assert_fails(f.context, mtl_penalty_create_split(free_one, first, NULL), MTL_ERROR_ARGUMENT, "out");
    assert_int_equal(mtl_penalty_create_split(NULL, free_one, &again), MTL_ERROR_ARGUMENT);
    assert_null(again);
    mtl_penalty_destroy(free_one);
    mtl_penalty_destroy(whole); /* the parts stay what they are, and readable */
    double values[48];
    assert_ok(f.context, mtl_penalty_read(second, 0, 0, values, 48));
    assert_near(values[3], 0, 0);
    assert_fails(f.context, mtl_objective_add_penalty(f.tasks.objective, first), MTL_ERROR_STATE, "part");
    mtl_penalty_destroy(first);
    mtl_penalty_destroy(second);
    close_fixture(&f);
}

static void weights_that_are_not_finite_cannot_be_split(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_penalty_options options = options_of(MTL_PENALTY_L1, NULL);
    mtl_penalty *parts[2];
    mtl_penalty *whole = NULL;
    for (int k = 0; k < 2; k++) {
        assert_ok(f.context, mtl_penalty_create(f.tasks.model, soft_tasks_heads, 2, &options, &parts[k]));
    }
    mtl_tensor *bias = mtl_head_parameter(mtl_model_head(f.tasks.model, soft_tasks_heads[1]), "bias");
    double values[8] = {0};
    size_t count = (size_t)mtl_tensor_size(bias);
    assert_true(count <= 8);
    values[0] = (double)NAN;
    assert_ok(f.context, mtl_tensor_write(bias, MTL_FLOAT64, values, count));
    assert_fails(f.context, mtl_penalty_create_split(parts[0], parts[1], &whole), MTL_ERROR_NUMERIC, "bias");
    assert_null(whole);
    values[0] = 0;
    assert_ok(f.context, mtl_tensor_write(bias, MTL_FLOAT64, values, count));
    assert_ok(f.context, mtl_penalty_create_split(parts[0], parts[1], &whole));
    mtl_penalty_destroy(whole);
    mtl_penalty_destroy(parts[0]);
    mtl_penalty_destroy(parts[1]);
    close_fixture(&f);
}

static void what_cannot_be_split_is_refused(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_penalty_options options = options_of(MTL_PENALTY_L1, NULL);
    mtl_penalty *good = make(&f, &options);
    mtl_penalty *whole = NULL;
    mtl_penalty *bad[4];
    options = options_of(MTL_PENALTY_TRACE_NORM, NULL);
    options.unfolding = MTL_UNFOLDING_TUCKER;
    bad[0] = make(&f, &options);
    options = options_of(MTL_PENALTY_L1, "lstm.*,embedding.weight");
    bad[1] = make(&f, &options);
    options = options_of(MTL_PENALTY_L1, "lstm.weight*");
    bad[2] = make(&f, &options);
    options = options_of(MTL_PENALTY_L1, NULL);
    assert_ok(f.context, mtl_penalty_create(f.tasks.model, soft_tasks_heads, 2, &options, &bad[3]));
    assert_fails(f.context, mtl_penalty_create_split(good, bad[0], &whole), MTL_ERROR_UNSUPPORTED, "second");
    assert_fails(f.context, mtl_penalty_create_split(bad[1], good, &whole), MTL_ERROR_ARGUMENT, "embedding.weight");
    assert_fails(f.context, mtl_penalty_create_split(good, bad[2], &whole), MTL_ERROR_ARGUMENT, "second");
    assert_fails(f.context, mtl_penalty_create_split(good, bad[3], &whole), MTL_ERROR_ARGUMENT, "second");
    assert_null(whole);
    for (int k = 0; k < 4; k++) {
        mtl_penalty_destroy(bad[k]);
    }
    mtl_penalty_destroy(good);
    close_fixture(&f);
}

static void kinds_without_a_proximal_step_are_refused(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    for (int32_t unfolding = MTL_UNFOLDING_TUCKER; unfolding <= MTL_UNFOLDING_TENSOR_TRAIN; unfolding++) {
        mtl_penalty_options options = options_of(MTL_PENALTY_TRACE_NORM, NULL);
        options.unfolding = unfolding;
        mtl_penalty *penalty = make(&f, &options);
        assert_fails(f.context, mtl_optimizer_add_proximal(f.tasks.optimizer, penalty), MTL_ERROR_UNSUPPORTED,
                     "no proximal step");
        assert_ok(f.context, mtl_objective_add_penalty(f.tasks.objective, penalty)); /* it was not taken */
        mtl_penalty_destroy(penalty);
    }
    close_fixture(&f);
}

static void parameters_of_others_are_refused(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    static const head_spec specs[] = {{"review", 2, 0}, {"news", 2, 0}};
    mtl_model *other = make_heads(f.context, specs, 2);
    mtl_context *elsewhere = test_context();
    mtl_model *foreign = make_heads(elsewhere, specs, 2);
    mtl_penalty *penalties[2];
    assert_ok(f.context, mtl_penalty_create(other, encoders, 2, NULL, &penalties[0]));
    assert_ok(elsewhere, mtl_penalty_create(foreign, encoders, 2, NULL, &penalties[1]));
    for (int k = 0; k < 2; k++) {
        assert_fails(f.context, mtl_objective_add_penalty(f.tasks.objective, penalties[k]), MTL_ERROR_ARGUMENT, NULL);
        assert_fails(f.context, mtl_optimizer_add_proximal(f.tasks.optimizer, penalties[k]), MTL_ERROR_ARGUMENT,
                     k == 0 ? "the proximal step is over 'review.weight', which is not a parameter of the optimizer's"
                            : "another context");
        mtl_penalty_destroy(penalties[k]);
    }
    assert_fails(f.context, mtl_objective_add_penalty(f.tasks.objective, NULL), MTL_ERROR_ARGUMENT, "penalty");
    assert_fails(f.context, mtl_optimizer_add_proximal(f.tasks.optimizer, NULL), MTL_ERROR_ARGUMENT, "penalty");
    mtl_model_destroy(other);
    mtl_model_destroy(foreign);
    mtl_context_release(elsewhere);
    close_fixture(&f);
}

/* The model of the optimizer has the same modules in another order, and one more between them. The step must take the
 * learning rates of the right parameters: of all others it is different. */
static void another_model_may_have_the_modules(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_model *other = NULL;
    mtl_optimizer *optimizer = NULL;
    mtl_gradients *gradients = NULL;
    mtl_penalty_options options = options_of(MTL_PENALTY_L2, "lstm.*");
    options.form = MTL_L2_RIDGE;
    mtl_penalty *penalty = make(&f, &options);
    assert_ok(f.context, mtl_model_create(f.context, NULL, &other));
    assert_ok(f.context, mtl_model_add_encoder(other, "second", f.tasks.encoders[1]));
    assert_ok(f.context, mtl_model_add_head(other, "head", f.tasks.heads[0]));
    assert_ok(f.context, mtl_model_add_encoder(other, "first", f.tasks.encoders[0]));
    mtl_sgd_options sgd = MTL_SGD_OPTIONS_INIT;
    sgd.learning_rate = 0.25;
    assert_ok(f.context, mtl_optimizer_create_sgd(other, &sgd, &optimizer));
    assert_ok(f.context, mtl_gradients_create(other, &gradients));
    mtl_group_options slow = MTL_GROUP_OPTIONS_INIT;
    slow.learning_rate_scale = 0.5;
    assert_ok(f.context, mtl_optimizer_add_group(optimizer, "*.lstm.*", &slow, NULL));
    assert_ok(f.context, mtl_optimizer_add_proximal(optimizer, penalty));
    mtl_tensor *bias = mtl_encoder_parameter(f.tasks.encoders[1], "lstm.bias_hh_l0");
    double before[16], after[16];
    assert_ok(f.context, mtl_tensor_read(bias, MTL_FLOAT64, before, 16));
    assert_ok(f.context, mtl_optimizer_step(optimizer, gradients));
    assert_ok(f.context, mtl_tensor_read(bias, MTL_FLOAT64, after, 16));
    for (int i = 0; i < 16; i++) {
        assert_near(after[i], before[i] / (1 + 2 * 0.5 * 0.25), 0x1p-22); /* below 1 after two operations in float */
    }
    mtl_penalty_destroy(penalty);
    mtl_gradients_destroy(gradients);
    mtl_optimizer_destroy(optimizer);
    mtl_model_destroy(other);
    close_fixture(&f);
}

static void the_order_of_the_end_does_not_matter(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 8; order++) {
        mtl_test_allocator allocator;
        test_allocator_init(&allocator);
        mtl_context *context = test_context_on(&allocator);
        soft_tasks tasks;
        assert_ok(context, soft_tasks_create(context, 1, 0.01, &tasks));
        mtl_penalty *p[4];
        mtl_penalty_options options = options_of(MTL_PENALTY_L1, "lstm.*");
        for (int k = 0; k < 3; k++) {
            assert_ok(context, mtl_penalty_create(tasks.model, encoders, 2, &options, &p[k]));
        }
        assert_ok(context, mtl_penalty_create_split(p[0], p[1], &p[3]));
        assert_ok(context, mtl_objective_add_penalty(tasks.objective, p[2]));
        assert_ok(context, mtl_optimizer_add_proximal(tasks.optimizer, p[3]));
        for (int k = 0; k < 4 && (order & 1); k++) {
            mtl_penalty_destroy(p[k]);
        }
        assert_ok(context, soft_tasks_step(&tasks));
        if (order & 2) {
            mtl_context_release(context);
        }
        for (int k = 3; k >= 0 && !(order & 1) && (order & 4); k--) {
            mtl_penalty_destroy(p[k]);
        }
        soft_tasks_destroy(&tasks);
        for (int k = 0; k < 4 && !(order & 5); k++) {
            mtl_penalty_destroy(p[k]);
        }
        if (!(order & 2)) {
            mtl_context_release(context);
        }
        test_allocator_check(&allocator);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_are_checked),
        cmocka_unit_test(kinds_that_compare_need_two_networks),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(options_of_other_kinds_are_ignored),
        cmocka_unit_test(graphs_are_checked),
        cmocka_unit_test(embeddings_take_part_when_their_name_is_written_out),
        cmocka_unit_test(kinds_of_whole_matrices_are_dense_on_embeddings),
        cmocka_unit_test(parameters_that_some_network_lacks_are_told),
        cmocka_unit_test(one_name_has_one_shape),
        cmocka_unit_test(a_model_with_a_penalty_takes_no_more_modules),
        cmocka_unit_test(coefficients_are_checked),
        cmocka_unit_test(values_are_those_of_the_formula),
        cmocka_unit_test(arguments_of_questions_are_checked),
        cmocka_unit_test(every_kind_tells_its_matrices),
        cmocka_unit_test(weights_of_zero_have_rank_0),
        cmocka_unit_test(weights_that_are_not_finite_are_named),
        cmocka_unit_test(a_penalty_has_one_place),
        cmocka_unit_test(parts_belong_to_their_whole),
        cmocka_unit_test(weights_that_are_not_finite_cannot_be_split),
        cmocka_unit_test(what_cannot_be_split_is_refused),
        cmocka_unit_test(kinds_without_a_proximal_step_are_refused),
        cmocka_unit_test(parameters_of_others_are_refused),
        cmocka_unit_test(another_model_may_have_the_modules),
        cmocka_unit_test(the_order_of_the_end_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
