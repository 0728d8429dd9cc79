/* SPDX-License-Identifier: Apache-2.0
 * Balancers over networks in factors: the factors of the encoder are what the tasks share. Beside passes of single losses. */
#include "factored_tasks.h"
#include "support.h"

#include <math.h>

enum { TASKS = 2, RANK = 2, MOST = 4096 };

typedef struct fixture {
    mtl_context *context;
    factored_tasks tasks;
    mtl_encoder *encoder;
    mtl_head *head;
    mtl_model *model;
    mtl_objective *objective;
    mtl_optimizer *optimizer;
    mtl_gradients *gradients;
    mtl_tape *tape;
    mtl_balancer *balancer;
} fixture;

static mtl_status evaluate(void *user, mtl_tape *tape, int32_t draw, mtl_tensor **losses)
{
    fixture *f = user;
    (void)draw;
    for (int32_t t = 0; t < TASKS; t++) {
        mtl_tensor *h = mtl_encoder_forward_task(f->encoder, tape, t, f->tasks.inputs);
        losses[t] = mtl_cross_entropy(tape, mtl_head_forward_task(f->head, tape, t, h), f->tasks.labels, NULL);
    }
    return MTL_OK;
}

static void open_fixture(fixture *f, const mtl_balancer_options *balancer)
{
    mtl_factorized_options options = MTL_FACTORIZED_OPTIONS_INIT;
    mtl_sgd_options sgd = MTL_SGD_OPTIONS_INIT;
    sgd.learning_rate = 0.1;
    memset(f, 0, sizeof *f);
    f->context = test_context();
    assert_ok(f->context, factored_tasks_create(f->context, TASKS, RANK, &f->tasks));
    assert_ok(f->context, mtl_encoder_create_factorized(f->tasks.encoders, TASKS, &options, &f->encoder));
    assert_ok(f->context, mtl_head_create_factorized(f->tasks.heads, TASKS, &options, &f->head));
    assert_ok(f->context, mtl_model_create(f->context, NULL, &f->model));
    assert_ok(f->context, mtl_model_add_encoder(f->model, "encoder", f->encoder));
    assert_ok(f->context, mtl_model_add_head(f->model, "head", f->head));
    assert_ok(f->context, mtl_objective_create(f->model, NULL, &f->objective));
    assert_ok(f->context, mtl_objective_add_task(f->objective, "first", 1));
    assert_ok(f->context, mtl_objective_add_task(f->objective, "second", 1));
    assert_ok(f->context, mtl_optimizer_create_sgd(f->model, &sgd, &f->optimizer));
    assert_ok(f->context, mtl_gradients_create(f->model, &f->gradients));
    assert_ok(f->context, mtl_tape_create(f->context, NULL, &f->tape));
    assert_ok(f->context, mtl_balancer_create(f->context, balancer, &f->balancer));
    assert_ok(f->context, mtl_objective_set_balancer(f->objective, f->balancer));
    assert_true(mtl_model_num_values(f->model) <= MOST);
}

static void close_fixture(fixture *f)
{
    mtl_balancer_destroy(f->balancer);
    mtl_tape_destroy(f->tape);
    mtl_gradients_destroy(f->gradients);
    mtl_optimizer_destroy(f->optimizer);
    mtl_objective_destroy(f->objective);
    mtl_model_destroy(f->model);
    mtl_encoder_release(f->encoder);
    mtl_head_release(f->head);
    factored_tasks_destroy(&f->tasks);
    mtl_context_release(f->context);
}

static int64_t read_gradient(fixture *f, double *values)
{
    int64_t size = 0;
    for (int64_t i = 0; i < mtl_model_num_parameters(f->model); i++) {
        mtl_tensor *parameter = mtl_model_parameter(f->model, i);
        assert_ok(f->context, mtl_gradients_read(f->gradients, parameter, MTL_FLOAT64, values + size,
                                                 (size_t)mtl_tensor_size(parameter)));
        size += mtl_tensor_size(parameter);
    }
    return size;
}

static double values[TASKS + 1][MOST];

static void factors_are_shared(void **state)
{
    (void)state;
    const int32_t methods[] = {MTL_BALANCE_MGDA, MTL_BALANCE_UPGRAD, MTL_BALANCE_NASH};
    for (int c = 0; c < 6; c++) {
        mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
        mtl_tensor *losses[TASKS];
        fixture f;
        int64_t size = 0;
        options.method = methods[c / 2];
        options.max_bytes = c % 2 ? options.max_bytes : 0;
        open_fixture(&f, &options);
        int64_t shared = 0;
        for (int64_t i = 0; i < mtl_encoder_num_parameters(f.encoder); i++) {
            shared += mtl_tensor_size(mtl_model_parameter(f.model, i));
        }
        for (int t = 0; t < TASKS; t++) {
            mtl_tape_reset(f.tape, MTL_TAPE_TRAIN);
            assert_int_equal(evaluate(&f, f.tape, 0, losses), MTL_OK);
            assert_ok(f.context, mtl_tape_backward(f.tape, losses[t], 1, f.gradients));
            size = read_gradient(&f, values[t]);
        }
        mtl_tape_reset(f.tape, MTL_TAPE_TRAIN);
        assert_int_equal(evaluate(&f, f.tape, 0, losses), MTL_OK);
        assert_ok(f.context, mtl_objective_backward(f.objective, f.tape, losses, TASKS, f.gradients));
        read_gradient(&f, values[TASKS]);
        double w[] = {mtl_objective_balance_weight(f.objective, 0), mtl_objective_balance_weight(f.objective, 1)};
        bool all = options.method == MTL_BALANCE_NASH;
        double length = 0;
        for (int64_t i = 0; i < size; i++) {
            bool weighed = i < shared || all;
            double expected = weighed ? w[0] * values[0][i] + w[1] * values[1][i] : values[0][i] + values[1][i];
            length += i < shared ? expected * expected : 0;
            assert_near(values[TASKS][i], expected, 1e-6 * fmax(1, fmax(w[0], w[1])));
        }
        assert_true(length > 1e-4);
        close_fixture(&f);
    }
}

/* Whole steps of every method, with looks ahead that move factors and bring them back. */
static void factors_are_trained(void **state)
{
    (void)state;
    for (int32_t method = 0; method < MTL_BALANCE_CUSTOM; method++) {
        mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
        fixture f;
        options.method = method;
        open_fixture(&f, &options);
        double first = 0;
        double last = 0;
        for (int step = 0; step < 20; step++) {
            assert_ok(f.context, mtl_objective_step(f.objective, f.optimizer, evaluate, &f));
            last = mtl_objective_task_loss(f.objective, 0) + mtl_objective_task_loss(f.objective, 1);
            first = step == 0 ? last : first;
        }
        if (!(last < first)) {
            fail_msg("%s: %g after 20 steps, %g before", mtl_balance_method_name(method), last, first);
        }
        close_fixture(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(factors_are_shared),
        cmocka_unit_test(factors_are_trained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
