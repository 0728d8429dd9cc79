/* SPDX-License-Identifier: Apache-2.0
 * Balancers that call the host: rules of its own, and calls from inside of a step. */
#include "balancers.h"

enum { T = 3 };

static const double LOSSES[T] = {0.7, 1.9, 0.3};
static const double GRAM[T * T] = {6, 0, -7, 0, 6, -1, -7, -1, 14};

typedef struct fixture {
    mtl_context *context;
    mtl_balancer *balancer;
} fixture;

static void open_with(fixture *f, const mtl_balancer_options *options)
{
    f->context = test_context();
    f->balancer = balancer_with(f->context, options);
}

static void close_fixture(fixture *f)
{
    mtl_balancer_destroy(f->balancer);
    mtl_context_release(f->context);
}

static void step(fixture *f, const double *losses, const double *gram, double *weights)
{
    assert_ok(f->context, mtl_balancer_decide(f->balancer, T, losses, gram, weights, NULL));
}

/* ---- the host's own rule ---- */

typedef struct host_rule {
    mtl_status status;
    double weight;
    int32_t count;
    int32_t tasks[T];
    double losses[T];
    double gram[T * T];
    bool has_gram;
} host_rule;

static mtl_status decide_as_host(void *user, int32_t count, const int32_t *tasks, const double *losses,
                                 const double *gram, double *weights)
{
    host_rule *rule = user;
    rule->count = count;
    rule->has_gram = gram != NULL;
    for (int32_t i = 0; i < count; i++) {
        rule->tasks[i] = tasks[i];
        rule->losses[i] = losses[i];
        weights[i] = rule->weight * (i + 1);
    }
    if (gram) {
        memcpy(rule->gram, gram, (size_t)(count * count) * sizeof *gram);
    }
    return rule->status;
}

static void rules_of_the_host(void **state)
{
    (void)state;
    host_rule rule = {.status = MTL_OK, .weight = 2};
    mtl_balancer_options options = balancer_options(MTL_BALANCE_CUSTOM);
    double weights[T];
    fixture f;
    options.decide = decide_as_host;
    options.user = &rule;
    open_with(&f, &options);
    step(&f, LOSSES, GRAM, weights);
    assert_close(weights, ROW(2, 4, 6), T, 0, 0);
    assert_false(rule.has_gram);
    close_fixture(&f);
    options.needs = MTL_BALANCE_NEEDS_GRAM;
    open_with(&f, &options);
    assert_fails(f.context, mtl_balancer_decide(f.balancer, T, LOSSES, NULL, weights, NULL), MTL_ERROR_ARGUMENT,
                 "gram is NULL, and 'custom'");
    step(&f, ROW(1, NAN, 3), GRAM, weights);
    assert_close(weights, ROW(2, 0, 4), T, 0, 0);
    assert_int_equal(rule.count, 2);
    assert_int_equal(rule.tasks[1], 2);
    assert_near(rule.losses[1], 3, 0);
    assert_close(rule.gram, ROW(6, -7, -7, 14), 4, 0, 0);
    rule.weight = NAN;
    assert_fails(f.context, mtl_balancer_decide(f.balancer, T, LOSSES, GRAM, weights, NULL), MTL_ERROR_NUMERIC,
                 "'custom' has no weights in step 2");
    rule.weight = 1;
    rule.status = MTL_ERROR_IO;
    assert_fails(f.context, mtl_balancer_decide(f.balancer, T, LOSSES, GRAM, weights, NULL), MTL_ERROR_IO,
                 "mtl_balancer_decide: decide returned");
    rule.status = (mtl_status)-1234;
    assert_fails(f.context, mtl_balancer_decide(f.balancer, T, LOSSES, GRAM, weights, NULL), MTL_ERROR_CANCELLED,
                 "unknown status");
    assert_close(weights, ROW(2, 0, 4), T, 0, 0);
    rule.status = MTL_OK;
    step(&f, LOSSES, GRAM, weights);
    assert_close(weights, ROW(1, 2, 3), T, 0, 0);
    double steps;
    assert_int_equal(mtl_balancer_read(f.balancer, "steps", &steps, 1), 1);
    assert_near(steps, 2, 0);
    close_fixture(&f);
}

/* ---- calls from inside of a step ---- */

typedef struct intruder {
    mtl_context *context;
    mtl_balancer *balancer;
    unsigned char *saved;
    uint64_t size;
    bool destroys;
    int calls;
    mtl_status load, again;
    char message[256];
} intruder;

static void intrude(intruder *i)
{
    double weights[T];
    i->calls++;
    i->load = mtl_balancer_load_state(i->balancer, i->saved, i->size);
    i->again = mtl_balancer_decide(i->balancer, T, LOSSES, GRAM, weights, NULL);
    snprintf(i->message, sizeof i->message, "%s", mtl_context_last_error(i->context));
    mtl_balancer_reset(i->balancer);
    mtl_balancer_next_epoch(i->balancer);
    if (i->destroys) {
        mtl_balancer_destroy(i->balancer);
    }
}

static mtl_status decide_and_intrude(void *user, int32_t count, const int32_t *tasks, const double *losses,
                                     const double *gram, double *weights)
{
    (void)tasks;
    (void)gram;
    intrude(user);
    memcpy(weights, losses, (size_t)count * sizeof *weights);
    return MTL_OK;
}

static void monitor_and_intrude(void *user, const mtl_balance_report *report)
{
    (void)report;
    intrude(user);
}

static void calls_from_inside_of_a_step(void **state)
{
    (void)state;
    for (int from_monitor = 0; from_monitor < 2; from_monitor++) {
        intruder inside = {0};
        unsigned char saved[1024];
        mtl_balancer_options options = balancer_options(MTL_BALANCE_CUSTOM);
        double weights[T];
        double steps;
        mtl_balance_result result = {.struct_size = sizeof result, .status = 9};
        host_rule rule = {.status = MTL_OK, .weight = 1};
        fixture f;
        options.decide = from_monitor ? decide_as_host : decide_and_intrude;
        options.user = from_monitor ? (void *)&rule : (void *)&inside;
        open_with(&f, &options);
        inside.context = f.context;
        inside.balancer = f.balancer;
        inside.saved = saved;
        inside.size = mtl_balancer_state_size(f.balancer);
        assert_true(inside.size <= sizeof saved);
        assert_ok(f.context, mtl_balancer_save_state(f.balancer, saved, inside.size));
        if (from_monitor) {
            assert_ok(f.context, mtl_balancer_set_monitor(f.balancer, monitor_and_intrude, &inside));
        }
        for (int i = 1; i <= 2; i++) {
            step(&f, LOSSES, NULL, weights);
            assert_int_equal(mtl_context_last_status(f.context), MTL_OK);
            assert_int_equal(inside.calls, i);
            assert_int_equal(inside.load, MTL_ERROR_STATE);
            assert_int_equal(inside.again, MTL_ERROR_STATE);
            assert_non_null(strstr(inside.message, "in a step"));
            assert_close(weights, from_monitor ? ROW(1, 2, 3) : LOSSES, T, 0, 0);
            assert_int_equal(mtl_balancer_read(f.balancer, "epoch-steps", &steps, 1), 1);
            assert_near(steps, i, 0);
        }
        inside.destroys = true; /* its memory lives until the step has ended */
        assert_ok(f.context, mtl_balancer_decide(f.balancer, T, LOSSES, NULL, weights, &result));
        assert_int_equal(result.status, MTL_BALANCE_OK);
        f.balancer = NULL;
        close_fixture(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_of_the_host),
        cmocka_unit_test(calls_from_inside_of_a_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
