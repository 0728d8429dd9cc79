/* SPDX-License-Identifier: Apache-2.0
 * Learning-rate schedules beside hand-computed factors, and their errors. */
#include "support.h"

#include <math.h>

#include <mtl/head.h>
#include <mtl/model.h>

#include "optim/optimizer.h"

static const double tolerance = 1e-15; /* some roundings of numbers of at most 1 */

static void check(mtl_schedule_options schedule, const double *factors, int64_t count)
{
    for (int64_t step = 0; step < count; step++) {
        assert_near(mtli_schedule_factor(&schedule, step), factors[step], tolerance);
    }
}

static void factors_are_as_documented(void **state)
{
    (void)state;
    mtl_schedule_options schedule = MTL_SCHEDULE_OPTIONS_INIT;
    check(schedule, (const double[]){1, 1, 1}, 3);

    schedule.warmup_steps = 4;
    check(schedule, (const double[]){0.25, 0.5, 0.75, 1, 1, 1}, 6);

    schedule.kind = MTL_SCHEDULE_STEP;
    schedule.period = 2;
    schedule.gamma = 0.5;
    schedule.warmup_steps = 0;
    check(schedule, (const double[]){1, 1, 0.5, 0.5, 0.25, 0.25, 0.125}, 7);
    schedule.warmup_steps = 1;
    check(schedule, (const double[]){1, 1, 1, 0.5, 0.5, 0.25}, 6);

    schedule.kind = MTL_SCHEDULE_LINEAR;
    schedule.warmup_steps = 2;
    schedule.total_steps = 6;
    schedule.final_factor = 0.2;
    check(schedule, (const double[]){0.5, 1, 1, 0.8, 0.6, 0.4, 0.2, 0.2, 0.2}, 9);

    schedule.kind = MTL_SCHEDULE_COSINE;
    schedule.final_factor = 0.1;
    double quarter = 0.1 + 0.9 * 0.5 * (1 + sqrt(0.5));
    check(schedule, (const double[]){0.5, 1, 1, quarter, 0.55, 1.1 - quarter, 0.1, 0.1}, 8);
    assert_near(mtli_schedule_factor(&schedule, INT64_MAX), 0.1, tolerance);
}

static mtl_optimizer *make_optimizer(mtl_context *context)
{
    mtl_head *head;
    mtl_model *model;
    mtl_optimizer *optimizer;
    assert_ok(context, mtl_head_create_regressor(context, 1, 1, NULL, &head));
    assert_ok(context, mtl_model_create(context, NULL, &model));
    assert_ok(context, mtl_model_add_head(model, "head", head));
    assert_ok(context, mtl_optimizer_create_sgd(model, NULL, &optimizer));
    mtl_head_release(head);
    mtl_model_destroy(model);
    return optimizer;
}

static void the_optimizer_follows_it(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_optimizer *optimizer = make_optimizer(context);
    assert_near(mtl_optimizer_learning_rate(optimizer), 0.01, 0);
    mtl_schedule_options schedule = MTL_SCHEDULE_OPTIONS_INIT;
    schedule.warmup_steps = 4;
    assert_ok(context, mtl_optimizer_set_schedule(optimizer, &schedule));
    assert_near(mtl_optimizer_learning_rate(optimizer), 0.0025, tolerance);
    assert_ok(context, mtl_optimizer_set_learning_rate(optimizer, 2));
    assert_near(mtl_optimizer_learning_rate(optimizer), 0.5, tolerance);
    assert_ok(context, mtl_optimizer_set_schedule(optimizer, NULL));
    assert_near(mtl_optimizer_learning_rate(optimizer), 2, 0);
    assert_near(mtl_optimizer_learning_rate(NULL), 0, 0);
    mtl_optimizer_destroy(optimizer);
    mtl_context_release(context);
}

static void bad_schedules_are_refused(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_optimizer *optimizer = make_optimizer(context);
    const mtl_schedule_options good = MTL_SCHEDULE_OPTIONS_INIT;
    mtl_schedule_options bad = good;
#define REFUSED(status, message) assert_fails(context, mtl_optimizer_set_schedule(optimizer, &bad), status, message)
    bad.kind = 4;
    REFUSED(MTL_ERROR_ARGUMENT, "kind = 4");
    bad.kind = -1;
    REFUSED(MTL_ERROR_ARGUMENT, "kind = -1");
    bad = good;
    bad.warmup_steps = -1;
    REFUSED(MTL_ERROR_ARGUMENT, "warmup_steps");
    for (int32_t kind = MTL_SCHEDULE_COSINE; kind <= MTL_SCHEDULE_LINEAR; kind++) {
        bad = good;
        bad.kind = kind;
        bad.warmup_steps = 5;
        bad.total_steps = 5;
        REFUSED(MTL_ERROR_ARGUMENT, "total_steps = 5");
        bad.total_steps = 6;
        bad.final_factor = -0.1;
        REFUSED(MTL_ERROR_ARGUMENT, "final_factor");
        bad.final_factor = NAN;
        REFUSED(MTL_ERROR_ARGUMENT, "final_factor");
    }
    bad = good;
    bad.kind = MTL_SCHEDULE_STEP;
    bad.period = 0;
    REFUSED(MTL_ERROR_ARGUMENT, "period = 0");
    bad.period = 1;
    bad.gamma = 0;
    REFUSED(MTL_ERROR_ARGUMENT, "gamma = 0");
    bad.gamma = INFINITY;
    REFUSED(MTL_ERROR_ARGUMENT, "gamma");
    bad = good;
    bad.struct_size = 8;
    REFUSED(MTL_ERROR_ARGUMENT, "struct_size");
    bad = good;
    bad.reserved0 = 1;
    REFUSED(MTL_ERROR_UNSUPPORTED, "reserved0");
#undef REFUSED
    assert_int_equal(mtl_optimizer_set_schedule(NULL, &good), MTL_ERROR_ARGUMENT);
    assert_near(mtl_optimizer_learning_rate(optimizer), 0.01, 0); /* as it was */
    mtl_optimizer_destroy(optimizer);
    mtl_context_release(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(factors_are_as_documented),
        cmocka_unit_test(the_optimizer_follows_it),
        cmocka_unit_test(bad_schedules_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
