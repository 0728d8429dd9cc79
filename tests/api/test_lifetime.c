/* SPDX-License-Identifier: Apache-2.0
 * Objects released in every order: nothing leaks, nothing is used after its end. */
#include "support.h"
#include "two_tasks.h"

/* What a host holds at the end of training, the context included. */
enum { CONTEXT, ENCODER, FIRST_HEAD, MODEL, OBJECTIVE, OPTIMIZER, GRADIENTS, TAPE, INPUTS, HELD };

static void release(two_tasks *t, mtl_context *context, int which)
{
    switch (which) {
    case CONTEXT:
        mtl_context_release(context);
        break;
    case ENCODER:
        mtl_encoder_release(t->encoder);
        break;
    case FIRST_HEAD:
        mtl_head_release(t->heads[0]);
        mtl_head_release(t->heads[1]);
        break;
    case MODEL:
        mtl_model_destroy(t->model);
        break;
    case OBJECTIVE:
        mtl_objective_destroy(t->objective);
        break;
    case OPTIMIZER:
        mtl_optimizer_destroy(t->optimizer);
        break;
    case GRADIENTS:
        mtl_gradients_destroy(t->gradients);
        break;
    case TAPE:
        mtl_tape_destroy(t->tape);
        break;
    case INPUTS:
        mtl_tensor_release(t->inputs);
        mtl_tensor_release(t->labels[0]);
        mtl_tensor_release(t->labels[1]);
        break;
    }
}

static void train_and_release(const int order[HELD])
{
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context *context = test_context_on(&allocator);
    two_tasks tasks;
    assert_ok(context, two_tasks_create(context, NULL, TWO_TASKS_ADAM, &tasks));
    assert_ok(context, two_tasks_step(&tasks));
    for (int i = 0; i < HELD; i++) {
        assert_true(allocator.live_blocks > 0);
        release(&tasks, context, order[i]);
    }
    test_allocator_check(&allocator);
}

/* Each object first and each last, and each pair of neighbours in both orders, through rotations of two sequences. */
static void released_in_many_orders(void **state)
{
    (void)state;
    for (int start = 0; start < HELD; start++) {
        for (int step = 1; step < HELD; step++) {
            int order[HELD];
            bool used[HELD] = {false};
            int next = start;
            for (int i = 0; i < HELD; i++) {
                while (used[next]) {
                    next = (next + 1) % HELD;
                }
                used[next] = true;
                order[i] = next;
                next = (next + step) % HELD;
            }
            train_and_release(order);
        }
    }
}

/* All orders of the five that hold on to each other most. */
static void released_in_every_order(void **state)
{
    (void)state;
    int chosen[] = {CONTEXT, ENCODER, MODEL, OPTIMIZER, TAPE};
    const int rest[] = {GRADIENTS, OBJECTIVE, FIRST_HEAD, INPUTS};
    for (int code = 0; code < 120; code++) {
        int left[5];
        memcpy(left, chosen, sizeof left);
        int order[HELD];
        int c = code;
        for (int i = 0; i < 5; i++) { /* the code's digits in the factorial system choose */
            int pick = c % (5 - i);
            c /= 5 - i;
            order[i] = left[pick];
            memmove(left + pick, left + pick + 1, (size_t)(4 - i - pick) * sizeof left[0]);
        }
        memcpy(order + 5, rest, sizeof rest);
        train_and_release(order);
    }
}

static void each_object_keeps_what_it_needs(void **state)
{
    (void)state;
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context *context = test_context_on(&allocator);
    two_tasks tasks;
    assert_ok(context, two_tasks_create(context, NULL, TWO_TASKS_ADAM, &tasks));
    assert_ok(context, two_tasks_backward(&tasks));
    mtl_encoder_release(tasks.encoder);
    mtl_model_destroy(tasks.model);
    tasks.encoder = NULL;
    tasks.model = NULL;
    assert_ok(context, mtl_optimizer_step(tasks.optimizer, tasks.gradients)); /* holds the parameters */
    assert_true(mtl_gradients_norm(tasks.gradients) > 0);
    mtl_tensor *const absent[2] = {NULL, NULL}; /* the objective looks at its model */
    assert_ok(context, mtl_objective_backward(tasks.objective, tasks.tape, absent, 2, tasks.gradients));
    mtl_context_release(context); /* everything holds the context */
    assert_int_equal(mtl_optimizer_step(tasks.optimizer, tasks.gradients), MTL_OK);
    two_tasks_destroy(&tasks);
    test_allocator_check(&allocator);
}

static void a_module_may_be_in_several_models(void **state)
{
    (void)state;
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context *context = test_context_on(&allocator);
    mtl_head *head;
    mtl_model *models[3];
    mtl_gradients *gradients[3];
    assert_ok(context, mtl_head_create_regressor(context, 2, 2, NULL, &head));
    for (int i = 0; i < 3; i++) {
        assert_ok(context, mtl_model_create(context, NULL, &models[i]));
        assert_ok(context, mtl_model_add_head(models[i], "head", head));
        assert_ok(context, mtl_gradients_create(models[i], &gradients[i]));
    }
    mtl_head_release(head);
    for (int i = 0; i < 3; i++) {
        mtl_model_destroy(models[i]);
        assert_near(mtl_gradients_norm(gradients[i]), 0, 0);
        mtl_gradients_destroy(gradients[i]);
    }
    mtl_context_release(context);
    test_allocator_check(&allocator);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(released_in_many_orders),
        cmocka_unit_test(released_in_every_order),
        cmocka_unit_test(each_object_keeps_what_it_needs),
        cmocka_unit_test(a_module_may_be_in_several_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
