/* SPDX-License-Identifier: Apache-2.0
 * What the creation of a balancer refuses, in which words, and what it takes; names and needs of methods. */
#include "balancers.h"

static const int32_t OK = MTL_OK;
static const int32_t ARGUMENT = MTL_ERROR_ARGUMENT;
static const int32_t UNSUPPORTED = MTL_ERROR_UNSUPPORTED;

static void try_options(mtl_context *context, const mtl_balancer_options *options, int32_t status, const char *message)
{
    mtl_balancer *balancer = NULL;
    mtl_memory_info before, after;
    assert_ok(context, mtl_context_memory(context, &before));
    if (status == MTL_OK) {
        assert_ok(context, mtl_balancer_create(context, options, &balancer));
        assert_non_null(balancer);
    } else {
        assert_fails(context, mtl_balancer_create(context, options, &balancer), (mtl_status)status, message);
        assert_null(balancer);
    }
    mtl_balancer_destroy(balancer);
    assert_ok(context, mtl_context_memory(context, &after));
    assert_int_equal(after.bytes, before.bytes);
}

/* ---- numbers ---- */

typedef struct number_case {
    int32_t method;
    size_t offset;
    const char *name;
    double good, bad; /* bad NaN: there is no number too large */
    bool positive;    /* 0 is refused */
} number_case;

#define AT(field) offsetof(mtl_balancer_options, field), #field

static const number_case numbers[] = {
    {MTL_BALANCE_UNCERTAINTY, AT(rate), .01, NAN, false},
    {MTL_BALANCE_DWA, AT(tau), 1, NAN, true},
    {MTL_BALANCE_IMTL_L, AT(rate), 0, NAN, false},
    {MTL_BALANCE_TCHEBYCHEFF, AT(mu), .1, NAN, true},
    {MTL_BALANCE_FAMO, AT(rate), .1, NAN, false},
    {MTL_BALANCE_FAMO, AT(decay), 0, NAN, false},
    {MTL_BALANCE_BOUNDARY, AT(theta), 1, NAN, false},
    {MTL_BALANCE_COSMOS, AT(lambda), 3, NAN, false},
    {MTL_BALANCE_PRIORITIZATION, AT(gamma), 1, NAN, false},
    {MTL_BALANCE_PRIORITIZATION, AT(rate), 1, 1.5, false},
    {MTL_BALANCE_GRADNORM, AT(alpha), .12, NAN, false},
    {MTL_BALANCE_GRADNORM, AT(rate), .1, NAN, false},
    {MTL_BALANCE_GRADVAC, AT(beta), 1, 1.01, false},
    {MTL_BALANCE_CAGRAD, AT(c), .2, NAN, false},
    {MTL_BALANCE_IMTL_G, AT(tolerance), .1, 1, false},
    {MTL_BALANCE_IMTL, AT(tolerance), .1, 1, false},
    {MTL_BALANCE_IMTL, AT(rate), .1, NAN, false},
    {MTL_BALANCE_FAIRGRAD, AT(alpha), 2, 1001, true},
    {MTL_BALANCE_ALIGNED, AT(tolerance), .5, 2, false},
    {MTL_BALANCE_CONFIG, AT(tolerance), .5, 1, false},
    {MTL_BALANCE_SDMGRAD, AT(lambda), .3, NAN, false},
    {MTL_BALANCE_SDMGRAD, AT(rate), 10, NAN, false},
    {MTL_BALANCE_SDMGRAD, AT(momentum), .9, 1, false},
    {MTL_BALANCE_MODO, AT(gamma), .1, NAN, false},
    {MTL_BALANCE_MODO, AT(rho), 0, NAN, false},
    {MTL_BALANCE_MOCO, AT(beta), .5, NAN, false},
    {MTL_BALANCE_MOCO, AT(gamma), .1, NAN, false},
    {MTL_BALANCE_MOCO, AT(sigma), .5, NAN, false},
    {MTL_BALANCE_MOCO, AT(rho), .1, NAN, false},
    {MTL_BALANCE_DB_MTL, AT(beta), .5, 1, false},
    {MTL_BALANCE_DB_MTL, AT(sigma), .5, NAN, false},
    {MTL_BALANCE_EXCESS_MTL, AT(eta), 1, NAN, false},
    {MTL_BALANCE_GRADDROP, AT(leak), 1, 1.1, false},
    {MTL_BALANCE_AUTO_LAMBDA, AT(rate), .1, NAN, false},
    {MTL_BALANCE_AUTO_LAMBDA, AT(inner_rate), .1, NAN, false},
    {MTL_BALANCE_MOML, AT(rate), .1, NAN, false},
    {MTL_BALANCE_MOML, AT(inner_rate), .2, NAN, false},
    {MTL_BALANCE_FORUM, AT(rate), .1, NAN, false},
    {MTL_BALANCE_FORUM, AT(inner_rate), .1, NAN, false},
    {MTL_BALANCE_FORUM, AT(phi), .5, NAN, false},
};

enum { NUMBERS = sizeof numbers / sizeof numbers[0] };

static void set_number(mtl_balancer_options *options, size_t offset, double value)
{
    memcpy((unsigned char *)options + offset, &value, sizeof value);
}

static void numbers_of_methods(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    for (int k = 0; k < NUMBERS; k++) {
        const number_case *n = &numbers[k];
        mtl_balancer_options options = balancer_options(n->method);
        char shown[64];
        set_number(&options, n->offset, n->good);
        try_options(context, &options, OK, NULL);
        set_number(&options, n->offset, -3); /* below 0: the default */
        try_options(context, &options, OK, NULL);
        set_number(&options, n->offset, 0);
        snprintf(shown, sizeof shown, "options->%s = 0 is not in ", n->name);
        try_options(context, &options, n->positive ? ARGUMENT : OK, shown);
        set_number(&options, n->offset, NAN);
        snprintf(shown, sizeof shown, "options->%s = ", n->name);
        try_options(context, &options, ARGUMENT, shown);
        set_number(&options, n->offset, INFINITY);
        try_options(context, &options, ARGUMENT, shown);
        if (!isnan(n->bad)) {
            set_number(&options, n->offset, n->bad);
            snprintf(shown, sizeof shown, "options->%s = %g is not in ", n->name, n->bad);
            try_options(context, &options, ARGUMENT, shown);
        }
    }
    mtl_context_release(context);
}

static void ranges_are_shown(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_balancer_options options = balancer_options(MTL_BALANCE_DWA);
    options.tau = 0;
    try_options(context, &options, ARGUMENT, "options->tau = 0 is not in (0, inf)");
    options = balancer_options(MTL_BALANCE_GRADVAC);
    options.beta = 1.5;
    try_options(context, &options, ARGUMENT, "options->beta = 1.5 is not in [0, 1]");
    options = balancer_options(MTL_BALANCE_DB_MTL);
    options.beta = 1;
    try_options(context, &options, ARGUMENT, "options->beta = 1 is not in [0, 1)");
    options = balancer_options(MTL_BALANCE_FAIRGRAD);
    options.alpha = 5e-324;
    try_options(context, &options, ARGUMENT, "is not in [0.001, 1000]");
    mtl_context_release(context);
}

static bool has_number(int32_t method, size_t offset)
{
    for (int k = 0; k < NUMBERS; k++) {
        if (numbers[k].method == method && numbers[k].offset == offset) {
            return true;
        }
    }
    return false;
}

static mtl_status decide_nothing(void *user, int32_t count, const int32_t *tasks, const double *losses,
                                 const double *gram, double *weights)
{
    (void)user;
    (void)count;
    (void)tasks;
    (void)losses;
    (void)gram;
    (void)weights;
    return MTL_OK;
}

static mtl_balancer_options creatable(int32_t method)
{
    mtl_balancer_options options = balancer_options(method);
    options.decide = method == MTL_BALANCE_CUSTOM ? decide_nothing : NULL;
    return options;
}

/* Every number with every method: one that the method does not have is refused, and the message names both. */
static void numbers_that_a_method_does_not_have(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    for (int32_t method = 0; method < BALANCERS_METHODS; method++) {
        for (size_t at = offsetof(mtl_balancer_options, alpha); at <= offsetof(mtl_balancer_options, inner_rate);
             at += sizeof(double)) {
            mtl_balancer_options options = creatable(method);
            char shown[64];
            snprintf(shown, sizeof shown, " = 0.5, but that is no number of %s", mtl_balance_method_name(method));
            set_number(&options, at, .5);
            try_options(context, &options, has_number(method, at) ? OK : ARGUMENT, shown);
        }
    }
    mtl_balancer_options options = balancer_options(MTL_BALANCE_EQUAL);
    options.tau = 3;
    try_options(context, &options, ARGUMENT, "options->tau = 3, but that is no number of equal");
    mtl_context_release(context);
}

static void counts(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    for (int32_t method = 0; method < BALANCERS_METHODS; method++) {
        const bool steps = method == MTL_BALANCE_SDMGRAD || method == MTL_BALANCE_FORUM;
        const bool outliers = method == MTL_BALANCE_KRUM || method == MTL_BALANCE_TRIMMED_MEAN;
        mtl_balancer_options options = creatable(method);
        options.steps = 3;
        try_options(context, &options, steps ? OK : ARGUMENT, "options->steps = 3, but that is no number of");
        options = creatable(method);
        options.outliers = 0;
        try_options(context, &options, outliers ? OK : ARGUMENT, "options->outliers = 0, but that is no number of");
        options = creatable(method);
        options.selected = 2;
        try_options(context, &options, method == MTL_BALANCE_KRUM ? OK : ARGUMENT, "options->selected = 2, but");
        options = creatable(method);
        options.num_tasks = -1;
        try_options(context, &options, ARGUMENT, "options->num_tasks = -1 is not in [0, 65536]");
    }
    mtl_balancer_options options = balancer_options(MTL_BALANCE_SDMGRAD);
    options.steps = 0;
    try_options(context, &options, ARGUMENT, "options->steps = 0 is less than 1");
    options = balancer_options(MTL_BALANCE_KRUM);
    options.selected = 0;
    try_options(context, &options, ARGUMENT, "options->selected = 0 is less than 1");
    mtl_context_release(context);
}

static void schedules(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_balancer_options options = balancer_options(MTL_BALANCE_MGDA);
    options.update_every = 0;
    try_options(context, &options, ARGUMENT, "options->update_every = 0 is less than 1");
    options.update_every = INT32_MAX;
    try_options(context, &options, OK, NULL);
    options.measure_every = -1;
    try_options(context, &options, ARGUMENT, "options->measure_every = -1 is less than 0");
    options.measure_every = 0;
    options.warmup_steps = -2;
    try_options(context, &options, ARGUMENT, "options->warmup_steps = -2 is less than 0");
    options.warmup_steps = INT32_MAX;
    options.epoch_steps = -7;
    try_options(context, &options, ARGUMENT, "options->epoch_steps = -7 is less than 0");
    options.epoch_steps = 0;
    options.smoothing = 1;
    try_options(context, &options, ARGUMENT, "options->smoothing = 1 is not in [0, 1)");
    options.smoothing = -.1;
    try_options(context, &options, ARGUMENT, "options->smoothing = -0.1 is not in [0, 1)");
    options.smoothing = NAN;
    try_options(context, &options, ARGUMENT, "options->smoothing = ");
    options.smoothing = .999;
    try_options(context, &options, OK, NULL);
    mtl_context_release(context);
}

/* ---- choices ---- */

static bool has_form(int32_t method, int32_t form)
{
    switch (form) {
    case MTL_BALANCE_FORM_DEFAULT:
        return true;
    case MTL_BALANCE_FORM_HALF:
    case MTL_BALANCE_FORM_FULL:
        return method == MTL_BALANCE_UNCERTAINTY;
    case MTL_BALANCE_FORM_LINEAR:
    case MTL_BALANCE_FORM_LOGARITHM:
        return method == MTL_BALANCE_TCHEBYCHEFF;
    case MTL_BALANCE_FORM_RESCALE_SQUARE:
    case MTL_BALANCE_FORM_RESCALE_NONE:
    case MTL_BALANCE_FORM_RESCALE_LINEAR:
        return method == MTL_BALANCE_CAGRAD;
    case MTL_BALANCE_FORM_MINIMUM:
    case MTL_BALANCE_FORM_MEDIAN:
    case MTL_BALANCE_FORM_RMSE:
        return method == MTL_BALANCE_ALIGNED;
    default:
        return form > 0 && form <= MTL_BALANCE_FORM_LOSS_UNIT && method == MTL_BALANCE_MGDA;
    }
}

static void forms(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    for (int32_t method = 0; method < BALANCERS_METHODS; method++) {
        for (int32_t form = -1; form <= MTL_BALANCE_FORM_LOSS_UNIT + 1; form++) {
            mtl_balancer_options options = creatable(method);
            char shown[64];
            options.form = form;
            snprintf(shown, sizeof shown, "options->form = %d is not one of %s", form, mtl_balance_method_name(method));
            try_options(context, &options, has_form(method, form) ? OK : UNSUPPORTED, shown);
        }
    }
    mtl_context_release(context);
}

static void choices_that_are_not_known(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    const int32_t unknown[] = {-1, 3, INT32_MAX, INT32_MIN};
    for (int k = 0; k < 4; k++) {
        char shown[64];
        mtl_balancer_options options = balancer_options(MTL_BALANCE_MGDA);
        options.scope = unknown[k];
        snprintf(shown, sizeof shown, "options->scope = %d is not known", unknown[k]);
        try_options(context, &options, UNSUPPORTED, shown);
        options = balancer_options(MTL_BALANCE_MGDA);
        options.reduction = unknown[k];
        snprintf(shown, sizeof shown, "options->reduction = %d is not known", unknown[k]);
        try_options(context, &options, UNSUPPORTED, shown);
        options = balancer_options(MTL_BALANCE_MGDA);
        options.gradient = unknown[k];
        snprintf(shown, sizeof shown, "options->gradient = %d is not known", unknown[k]);
        try_options(context, &options, UNSUPPORTED, shown);
        if (unknown[k] != 3) {
            options = balancer_options(unknown[k]);
            snprintf(shown, sizeof shown, "options->method = %d is not known", unknown[k]);
            try_options(context, &options, UNSUPPORTED, shown);
        }
    }
    mtl_balancer_options options = balancer_options(BALANCERS_METHODS);
    try_options(context, &options, UNSUPPORTED, "options->method = 38");
    mtl_context_release(context);
}

static void combinations_without_a_meaning(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    const struct combination {
        int32_t method;
        size_t offset;
        const char *field;
        int32_t value;
        bool good;
    } combinations[] = {
        {MTL_BALANCE_MGDA, AT(gradient), MTL_BALANCE_OF_REPRESENTATION_SUM, true},
        {MTL_BALANCE_GRADDROP, AT(gradient), MTL_BALANCE_OF_REPRESENTATION, true},
        {MTL_BALANCE_GRADDROP, AT(gradient), MTL_BALANCE_OF_REPRESENTATION_SUM, false},
        {MTL_BALANCE_SDMGRAD, AT(gradient), MTL_BALANCE_OF_REPRESENTATION, false},
        {MTL_BALANCE_MOCO, AT(gradient), MTL_BALANCE_OF_REPRESENTATION, false},
        {MTL_BALANCE_TRIMMED_MEAN, AT(gradient), MTL_BALANCE_OF_REPRESENTATION, false},
        {MTL_BALANCE_FORUM, AT(gradient), MTL_BALANCE_OF_REPRESENTATION, false},
        {MTL_BALANCE_MODO, AT(update_every), 2, false},
        {MTL_BALANCE_EXCESS_MTL, AT(update_every), 2, false},
        {MTL_BALANCE_MOML, AT(update_every), 2, false},
        {MTL_BALANCE_FAIRGRAD, AT(update_every), 2, true},
        {MTL_BALANCE_TRIMMED_MEAN, AT(scope), MTL_BALANCE_SCOPE_ALL, false},
        {MTL_BALANCE_GRADDROP, AT(scope), MTL_BALANCE_SCOPE_SHARED, true},
        {MTL_BALANCE_AUTO_LAMBDA, AT(scope), MTL_BALANCE_SCOPE_SHARED, false},
        {MTL_BALANCE_TRIMMED_MEAN, AT(reduction), MTL_BALANCE_REDUCE_SUM, false},
        {MTL_BALANCE_FORUM, AT(reduction), MTL_BALANCE_REDUCE_MEAN, false},
        {MTL_BALANCE_MOML, AT(reduction), MTL_BALANCE_REDUCE_SUM, true},
    };
    for (size_t k = 0; k < sizeof combinations / sizeof combinations[0]; k++) {
        const struct combination *c = &combinations[k];
        mtl_balancer_options options = balancer_options(c->method);
        char shown[96];
        memcpy((unsigned char *)&options + c->offset, &c->value, sizeof c->value);
        snprintf(shown, sizeof shown, "options->%s has no such meaning for '%s'", c->field,
                 mtl_balance_method_name(c->method));
        try_options(context, &options, c->good ? OK : UNSUPPORTED, shown);
    }
    const int32_t without_weights[] = {MTL_BALANCE_TRIMMED_MEAN, MTL_BALANCE_GRADDROP, MTL_BALANCE_FORUM};
    for (int k = 0; k < 3; k++) {
        mtl_balancer_options options = balancer_options(without_weights[k]);
        options.smoothing = .5;
        try_options(context, &options, UNSUPPORTED, "options->smoothing has no such meaning for");
    }
    mtl_context_release(context);
}

static void rules_of_the_host(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_balancer_options options = balancer_options(MTL_BALANCE_CUSTOM);
    try_options(context, &options, ARGUMENT, "options->decide is NULL, and the method 'custom'");
    options.decide = decide_nothing;
    try_options(context, &options, OK, NULL);
    options.needs = MTL_BALANCE_NEEDS_GRAM;
    try_options(context, &options, OK, NULL);
    options.needs = MTL_BALANCE_NEEDS_COORDINATES;
    try_options(context, &options, ARGUMENT, "options->needs = 2");
    options = balancer_options(MTL_BALANCE_EQUAL);
    options.decide = decide_nothing;
    try_options(context, &options, ARGUMENT, "options->decide is set, and the method 'equal'");
    options.decide = NULL;
    options.needs = MTL_BALANCE_NEEDS_GRAM;
    try_options(context, &options, ARGUMENT, "options->needs = 1");
    mtl_context_release(context);
}

/* ---- arrays ---- */

static bool has_preference(int32_t method)
{
    const int32_t have[] = {MTL_BALANCE_FIXED,  MTL_BALANCE_TCHEBYCHEFF,     MTL_BALANCE_BOUNDARY, MTL_BALANCE_COSMOS,
                            MTL_BALANCE_UPGRAD, MTL_BALANCE_DUAL_PROJECTION, MTL_BALANCE_ALIGNED,  MTL_BALANCE_CONFIG};
    for (size_t k = 0; k < sizeof have / sizeof have[0]; k++) {
        if (have[k] == method) {
            return true;
        }
    }
    return false;
}

static void arrays_of_methods(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    const double values[2] = {.5, 0};
    for (int32_t method = 0; method < BALANCERS_METHODS; method++) {
        bool has_reference =
            method == MTL_BALANCE_TCHEBYCHEFF || method == MTL_BALANCE_BOUNDARY || method == MTL_BALANCE_FAMO;
        char shown[96];
        mtl_balancer_options options = creatable(method);
        options.num_tasks = 2;
        try_options(context, &options, OK, NULL);
        options.preference = values;
        snprintf(shown, sizeof shown, "options->preference is set, but '%s'", mtl_balance_method_name(method));
        try_options(context, &options, has_preference(method) ? OK : ARGUMENT, shown);
        options.preference = NULL;
        options.reference = values;
        snprintf(shown, sizeof shown, "options->reference is set, but '%s'", mtl_balance_method_name(method));
        try_options(context, &options, has_reference ? OK : ARGUMENT, shown);
    }
    /* the form with logarithms has neither */
    mtl_balancer_options options = balancer_options(MTL_BALANCE_TCHEBYCHEFF);
    options.form = MTL_BALANCE_FORM_LOGARITHM;
    options.num_tasks = 2;
    options.preference = values;
    try_options(context, &options, ARGUMENT, "options->preference is set, but 'stch'");
    options.preference = NULL;
    options.reference = values;
    try_options(context, &options, ARGUMENT, "options->reference is set, but 'stch'");
    mtl_context_release(context);
}

static void values_of_arrays(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    double values[3] = {1, 2, 3};
    mtl_balancer_options options = balancer_options(MTL_BALANCE_BOUNDARY);
    options.preference = values;
    try_options(context, &options, ARGUMENT, "options->num_tasks = 0 is not in [1, 65536]");
    options.num_tasks = 65537;
    try_options(context, &options, ARGUMENT, "options->num_tasks = 65537");
    options.num_tasks = 3;
    values[2] = -1;
    try_options(context, &options, ARGUMENT, "options->preference[2] = -1 is not a finite number >= 0");
    values[2] = NAN;
    try_options(context, &options, ARGUMENT, "options->preference[2] = ");
    options.preference = NULL;
    options.reference = values;
    try_options(context, &options, ARGUMENT, "options->reference[2] = ");
    values[2] = INFINITY;
    try_options(context, &options, ARGUMENT, "options->reference[2] = inf");
    values[2] = -5;
    try_options(context, &options, OK, NULL);
    mtl_context_release(context);
}

static void arrays_are_copied(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    double values[2] = {3, 4};
    double weights[2];
    const double losses[2] = {1, 1};
    mtl_balancer_options options = balancer_options(MTL_BALANCE_FIXED);
    options.num_tasks = 2;
    options.preference = values;
    mtl_balancer *balancer = balancer_with(context, &options);
    values[0] = values[1] = -1;
    assert_ok(context, mtl_balancer_decide(balancer, 2, losses, NULL, weights, NULL));
    assert_close(weights, ROW(3, 4), 2, 0, 0);
    mtl_balancer_destroy(balancer);
    mtl_context_release(context);
}

/* ---- the struct, names, needs ---- */

static void sizes_of_the_struct(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    try_options(context, NULL, OK, NULL);
    struct {
        mtl_balancer_options options;
        unsigned char more[16];
    } longer = {balancer_options(MTL_BALANCE_MGDA), {0}};
    longer.options.struct_size = sizeof longer.options - 1;
    try_options(context, &longer.options, ARGUMENT, "options->struct_size = ");
    longer.options.struct_size = 0;
    try_options(context, &longer.options, ARGUMENT, "options->struct_size = 0");
    longer.options.struct_size = sizeof longer.options + 16;
    try_options(context, &longer.options, OK, NULL);
    longer.more[15] = 1;
    try_options(context, &longer.options, UNSUPPORTED, "options->struct_size = ");
    mtl_context_release(context);
}

static void names_and_needs(void **state)
{
    (void)state;
    for (int32_t method = 0; method < BALANCERS_METHODS; method++) {
        const char *name = mtl_balance_method_name(method);
        assert_non_null(name);
        assert_int_equal(mtl_balance_method_find(name), method);
    }
    assert_int_equal(mtl_balance_method_find("uncertain"), -1);
    assert_int_equal(mtl_balance_method_find(""), -1);
    assert_null(mtl_balance_method_name(-1));
    assert_null(mtl_balance_method_name(BALANCERS_METHODS));
    assert_int_equal(mtl_balance_method_needs(-1), 0);
    assert_int_equal(mtl_balance_method_needs(BALANCERS_METHODS), 0);
    assert_int_equal(mtl_balance_method_needs(MTL_BALANCE_EQUAL), 0);
    assert_int_equal(mtl_balance_method_needs(MTL_BALANCE_CUSTOM), 0);
    assert_int_equal(mtl_balance_method_needs(MTL_BALANCE_MGDA), MTL_BALANCE_NEEDS_GRAM);
    assert_int_equal(mtl_balance_method_needs(MTL_BALANCE_DWA), MTL_BALANCE_NEEDS_EPOCHS);
    assert_int_equal(mtl_balance_method_needs(MTL_BALANCE_PRIORITIZATION), MTL_BALANCE_NEEDS_MEASURE);
    assert_int_equal(mtl_balance_method_needs(MTL_BALANCE_FAMO), MTL_BALANCE_NEEDS_SECOND_EVALUATION);
    assert_int_equal(mtl_balance_method_needs(MTL_BALANCE_MODO), MTL_BALANCE_NEEDS_GRAM | MTL_BALANCE_NEEDS_DRAWS);
    /* the table of balance.h has them all */
    char *header = test_read_file(MTL_TEST_SOURCE_DIR "/../include/mtl/balance.h", NULL);
    for (int32_t method = 0; method < BALANCERS_METHODS; method++) {
        char row[64];
        snprintf(row, sizeof row, " | %s | ", mtl_balance_method_name(method));
        assert_non_null(strstr(header, row));
    }
    free(header);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_methods),
        cmocka_unit_test(ranges_are_shown),
        cmocka_unit_test(numbers_that_a_method_does_not_have),
        cmocka_unit_test(counts),
        cmocka_unit_test(schedules),
        cmocka_unit_test(forms),
        cmocka_unit_test(choices_that_are_not_known),
        cmocka_unit_test(combinations_without_a_meaning),
        cmocka_unit_test(rules_of_the_host),
        cmocka_unit_test(arrays_of_methods),
        cmocka_unit_test(values_of_arrays),
        cmocka_unit_test(arrays_are_copied),
        cmocka_unit_test(sizes_of_the_struct),
        cmocka_unit_test(names_and_needs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
