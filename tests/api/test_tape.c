/* SPDX-License-Identifier: Apache-2.0
 * The tape: sticky errors, watched tensors, gradients of results, bindings, seeds, modes, resets. */
#include "support.h"

#include <math.h>

#include <mtl/mtl.h>

typedef struct fixture {
    mtl_context *context;
    mtl_tape *tape;
    mtl_head *head; /* weight [1, 3], bias [1] */
    mtl_model *model;
    mtl_gradients *gradients;
    mtl_tensor *x; /* [2, 3] */
} fixture;

static const double weights[3] = {0.5, -1, 2};
static const double bias[1] = {0.25};
static const double inputs[6] = {1, 2, 3, -1, 0.5, 4};

static mtl_tensor *make(mtl_context *context, int32_t ndim, const int64_t *shape, const double *values)
{
    mtl_tensor *tensor = NULL;
    assert_ok(context, mtl_tensor_create(context, MTL_FLOAT32, ndim, shape, &tensor));
    assert_ok(context, mtl_tensor_write(tensor, MTL_FLOAT64, values, (size_t)mtl_tensor_size(tensor)));
    return tensor;
}

static void open_fixture(fixture *f)
{
    const int64_t shape[] = {2, 3};
    f->context = test_context();
    assert_ok(f->context, mtl_tape_create(f->context, NULL, &f->tape));
    assert_ok(f->context, mtl_head_create_regressor(f->context, 3, 1, NULL, &f->head));
    assert_ok(f->context, mtl_tensor_write(mtl_head_parameter(f->head, "weight"), MTL_FLOAT64, weights, 3));
    assert_ok(f->context, mtl_tensor_write(mtl_head_parameter(f->head, "bias"), MTL_FLOAT64, bias, 1));
    assert_ok(f->context, mtl_model_create(f->context, NULL, &f->model));
    assert_ok(f->context, mtl_model_add_head(f->model, "head", f->head));
    assert_ok(f->context, mtl_gradients_create(f->model, &f->gradients));
    f->x = make(f->context, 2, shape, inputs);
    mtl_tape_reset(f->tape, MTL_TAPE_TRAIN);
}

static void close_fixture(fixture *f)
{
    mtl_tensor_release(f->x);
    mtl_gradients_destroy(f->gradients);
    mtl_model_destroy(f->model);
    mtl_head_release(f->head);
    mtl_tape_destroy(f->tape);
    mtl_context_release(f->context);
}

static void read_gradient(fixture *f, const char *name, double *values, size_t count)
{
    mtl_tensor *parameter = mtl_head_parameter(f->head, name);
    assert_ok(f->context, mtl_gradients_read(f->gradients, parameter, MTL_FLOAT64, values, count));
}

/* All numbers in this file are small multiples of 1/8, so results are exact. */
static const double exact = 0;

static void computes_and_differentiates(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_tensor *loss = mtl_sum(f.tape, mtl_head_forward(f.head, f.tape, f.x));
    double value;
    assert_ok(f.context, mtl_tensor_item(loss, &value));
    assert_near(value, (0.5 - 2 + 6) + (-0.5 - 0.5 + 8) + 2 * 0.25, exact);
    assert_int_equal(mtl_tape_status(f.tape), MTL_OK);
    assert_string_equal(mtl_tape_error(f.tape), "");
    for (double seed = 1; seed <= 4; seed *= 2) { /* a backward pass can be repeated, with another seed */
        assert_ok(f.context, mtl_tape_backward(f.tape, loss, seed, f.gradients));
        double gradient[3];
        read_gradient(&f, "weight", gradient, 3);
        const double expected[] = {0 * seed, 2.5 * seed, 7 * seed};
        assert_close(gradient, expected, 3, 0, exact);
        read_gradient(&f, "bias", gradient, 1);
        assert_near(gradient[0], 2 * seed, exact);
    }
    close_fixture(&f);
}

static void the_first_error_sticks(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    const int64_t shape[] = {4};
    const double values[] = {0, 0, 0, 0};
    mtl_tensor *four = make(f.context, 1, shape, values);
    mtl_tensor *bad = mtl_add(f.tape, f.x, four); /* [2, 3] and [4] */
    assert_non_null(bad);
    assert_int_equal(mtl_tape_status(f.tape), MTL_ERROR_SHAPE);
    char first[512];
    snprintf(first, sizeof first, "%s", mtl_tape_error(f.tape));
    assert_non_null(strstr(first, "mtl_add"));
    assert_non_null(strstr(first, "[2, 3]"));
    assert_non_null(strstr(first, "[4]"));
    /* Everything after it does nothing and returns the same tensor. */
    assert_ptr_equal(mtl_tanh(f.tape, bad), bad);
    assert_ptr_equal(mtl_head_forward(f.head, f.tape, f.x), bad);
    assert_ptr_equal(mtl_scale(f.tape, NULL, NAN), bad);
    assert_ptr_equal(mtl_head_forward(NULL, f.tape, NULL), bad);
    assert_ptr_equal(mtl_encoder_forward(NULL, f.tape, NULL), bad);
    assert_string_equal(mtl_tape_error(f.tape), first);
    assert_fails(f.context, mtl_tape_backward(f.tape, bad, 1, f.gradients), MTL_ERROR_SHAPE, "mtl_add");
    assert_string_equal(mtl_context_last_error(f.context), first);
    mtl_tape_reset(f.tape, MTL_TAPE_TRAIN); /* forgotten */
    assert_int_equal(mtl_tape_status(f.tape), MTL_OK);
    assert_string_equal(mtl_tape_error(f.tape), "");
    mtl_tensor *loss = mtl_sum(f.tape, mtl_head_forward(f.head, f.tape, f.x));
    assert_ok(f.context, mtl_tape_backward(f.tape, loss, 1, f.gradients));
    mtl_tensor_release(four);
    close_fixture(&f);
}

static void modules_name_what_is_null(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_head_forward(NULL, f.tape, f.x);
    assert_int_equal(mtl_tape_status(f.tape), MTL_ERROR_ARGUMENT);
    assert_non_null(strstr(mtl_tape_error(f.tape), "mtl_head_forward: head is NULL"));
    mtl_tape_reset(f.tape, MTL_TAPE_TRAIN);
    mtl_encoder_forward(NULL, f.tape, f.x);
    assert_non_null(strstr(mtl_tape_error(f.tape), "mtl_encoder_forward: encoder is NULL"));
    mtl_tape_reset(f.tape, MTL_TAPE_TRAIN);
    mtl_head_forward(f.head, f.tape, NULL);
    assert_int_equal(mtl_tape_status(f.tape), MTL_ERROR_ARGUMENT);
    assert_non_null(strstr(mtl_tape_error(f.tape), "NULL"));
    close_fixture(&f);
}

static void a_null_tape_is_an_error_not_a_crash(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_tensor *nothing = mtl_head_forward(f.head, NULL, f.x);
    assert_non_null(nothing);
    assert_ptr_equal(mtl_sum(NULL, nothing), nothing);
    assert_int_equal(mtl_tape_status(NULL), MTL_ERROR_ARGUMENT);
    assert_true(strlen(mtl_tape_error(NULL)) > 0);
    double value;
    assert_int_equal(mtl_tensor_item(nothing, &value), MTL_ERROR_STATE);
    /* On a tape, a tensor of no tape is an error of that tape. */
    mtl_tanh(f.tape, nothing);
    assert_int_equal(mtl_tape_status(f.tape), MTL_ERROR_STATE);
    mtl_tape_reset(NULL, MTL_TAPE_TRAIN);
    mtl_tape_destroy(NULL);
    close_fixture(&f);
}

static void results_do_not_cross_tapes(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_tape *other;
    assert_ok(f.context, mtl_tape_create(f.context, NULL, &other));
    mtl_tape_reset(other, MTL_TAPE_TRAIN);
    mtl_tensor *loss = mtl_sum(f.tape, mtl_head_forward(f.head, f.tape, f.x));
    mtl_tanh(other, loss);
    assert_int_equal(mtl_tape_status(other), MTL_ERROR_STATE);
    assert_non_null(strstr(mtl_tape_error(other), "another tape"));
    mtl_tape_reset(other, MTL_TAPE_TRAIN);
    assert_fails(f.context, mtl_tape_backward(other, loss, 1, f.gradients), MTL_ERROR_STATE,
                 "not a result of this tape");
    mtl_tape_destroy(other);
    close_fixture(&f);
}

static void a_loss_is_one_real_number(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_tensor *y = mtl_head_forward(f.head, f.tape, f.x);
    assert_fails(f.context, mtl_tape_backward(f.tape, y, 1, f.gradients), MTL_ERROR_SHAPE, "[2, 1]");
    assert_fails(f.context, mtl_tape_backward(f.tape, f.x, 1, f.gradients), MTL_ERROR_STATE, "tape");
    assert_fails(f.context, mtl_tape_backward(f.tape, NULL, 1, f.gradients), MTL_ERROR_ARGUMENT, "loss");
    assert_fails(f.context, mtl_tape_backward(f.tape, mtl_sum(f.tape, y), 1, NULL), MTL_ERROR_ARGUMENT, "gradients");
    assert_int_equal(mtl_tape_backward(NULL, y, 1, f.gradients), MTL_ERROR_ARGUMENT);
    close_fixture(&f);
}

static void inference_keeps_nothing_for_a_backward_pass(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_tape_reset(f.tape, MTL_TAPE_INFER);
    mtl_tensor *loss = mtl_sum(f.tape, mtl_head_forward(f.head, f.tape, f.x));
    double value;
    assert_ok(f.context, mtl_tensor_item(loss, &value));
    assert_near(value, 12, exact);
    assert_fails(f.context, mtl_tape_backward(f.tape, loss, 1, f.gradients), MTL_ERROR_STATE, "INFER");
    assert_fails(f.context, mtl_tape_watch(f.tape, f.x), MTL_ERROR_STATE, "INFER");
    mtl_tape_reset(f.tape, (mtl_tape_mode)5);
    assert_int_equal(mtl_tape_status(f.tape), MTL_ERROR_ARGUMENT);
    assert_non_null(strstr(mtl_tape_error(f.tape), "mtl_tape_reset: mode = 5"));
    close_fixture(&f);
}

static void watched_tensors_get_gradients(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    assert_ok(f.context, mtl_tape_watch(f.tape, f.x));
    assert_ok(f.context, mtl_tape_watch(f.tape, f.x)); /* twice is once */
    assert_null(mtl_tape_gradient(f.tape, f.x));       /* no pass yet */
    mtl_tensor *y = mtl_head_forward(f.head, f.tape, f.x);
    mtl_tensor *unused = mtl_scale(f.tape, y, 3);
    mtl_tensor *loss = mtl_sum(f.tape, mtl_mul(f.tape, y, y));
    assert_ok(f.context, mtl_tape_backward(f.tape, loss, 1, f.gradients));
    const double outputs[] = {4.75, 7.25};
    mtl_tensor *dx = mtl_tape_gradient(f.tape, f.x);
    assert_non_null(dx);
    assert_int_equal(mtl_tensor_ndim(dx), 2);
    double values[6];
    assert_ok(f.context, mtl_tensor_read(dx, MTL_FLOAT64, values, 6));
    for (int i = 0; i < 6; i++) {
        assert_near(values[i], 2 * outputs[i / 3] * weights[i % 3], exact);
    }
    mtl_tensor *dy = mtl_tape_gradient(f.tape, y);
    assert_non_null(dy);
    assert_ok(f.context, mtl_tensor_read(dy, MTL_FLOAT64, values, 2));
    assert_near(values[1], 2 * outputs[1], exact);
    assert_null(mtl_tape_gradient(f.tape, unused));
    assert_null(mtl_tape_gradient(f.tape, mtl_tanh(f.tape, y))); /* after the pass */
    assert_null(mtl_tape_gradient(f.tape, mtl_head_parameter(f.head, "weight")));
    assert_null(mtl_tape_gradient(f.tape, NULL));
    assert_null(mtl_tape_gradient(NULL, f.x));
    mtl_tape_reset(f.tape, MTL_TAPE_TRAIN);
    assert_null(mtl_tape_gradient(f.tape, f.x)); /* forgotten */
    close_fixture(&f);
}

static void what_cannot_be_watched_is_refused(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_tensor *labels;
    const int64_t shape[] = {2};
    assert_ok(f.context, mtl_tensor_create(f.context, MTL_INT32, 1, shape, &labels));
    assert_fails(f.context, mtl_tape_watch(f.tape, labels), MTL_ERROR_DTYPE, "int32");
    assert_fails(f.context, mtl_tape_watch(f.tape, NULL), MTL_ERROR_ARGUMENT, "tensor");
    assert_fails(f.context, mtl_tape_watch(f.tape, mtl_tanh(f.tape, f.x)), MTL_ERROR_ARGUMENT, "host");
    assert_fails(f.context, mtl_tape_watch(f.tape, mtl_head_parameter(f.head, "bias")), MTL_ERROR_ARGUMENT, "host");
    assert_int_equal(mtl_tape_watch(NULL, f.x), MTL_ERROR_ARGUMENT);
    mtl_tensor_release(labels);
    close_fixture(&f);
}

/* One step of gradient descent on the tape, and the loss after it as a function of the weights before it. */
static void a_bound_tensor_stands_for_a_parameter(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    const int64_t shape[] = {1, 3};
    const double fast_values[] = {1, 1, -1};
    mtl_tensor *fast = make(f.context, 2, shape, fast_values);
    mtl_tensor *weight = mtl_head_parameter(f.head, "weight");
    assert_ok(f.context, mtl_tape_watch(f.tape, fast));
    assert_ok(f.context, mtl_tape_bind(f.tape, weight, fast));
    mtl_tensor *loss = mtl_sum(f.tape, mtl_head_forward(f.head, f.tape, f.x));
    double value;
    assert_ok(f.context, mtl_tensor_item(loss, &value));
    assert_near(value, (1 + 2 - 3) + (-1 + 0.5 - 4) + 0.5, exact);
    assert_ok(f.context, mtl_tape_backward(f.tape, loss, 1, f.gradients));
    assert_int_equal(mtl_gradients_touched(f.gradients, weight), 0);
    assert_int_equal(mtl_gradients_touched(f.gradients, mtl_head_parameter(f.head, "bias")), 1);
    double values[3];
    assert_ok(f.context, mtl_tensor_read(mtl_tape_gradient(f.tape, fast), MTL_FLOAT64, values, 3));
    const double expected[] = {0, 2.5, 7};
    assert_close(values, expected, 3, 0, exact);

    mtl_tape_reset(f.tape, MTL_TAPE_TRAIN); /* a result of the tape, made from the parameter itself */
    mtl_tensor *doubled = mtl_scale(f.tape, weight, 2);
    assert_ok(f.context, mtl_tape_bind(f.tape, weight, doubled));
    loss = mtl_sum(f.tape, mtl_head_forward(f.head, f.tape, f.x));
    assert_ok(f.context, mtl_tensor_item(loss, &value));
    assert_near(value, 2 * 11.5 + 0.5, exact);
    assert_ok(f.context, mtl_tape_backward(f.tape, loss, 1, f.gradients));
    read_gradient(&f, "weight", values, 3);
    const double through[] = {0, 5, 14};
    assert_close(values, through, 3, 0, exact);

    mtl_tape_reset(f.tape, MTL_TAPE_TRAIN); /* the binding is gone */
    loss = mtl_sum(f.tape, mtl_head_forward(f.head, f.tape, f.x));
    assert_ok(f.context, mtl_tensor_item(loss, &value));
    assert_near(value, 12, exact);
    mtl_tensor_release(fast);
    close_fixture(&f);
}

static void what_cannot_be_bound_is_refused(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_tensor *weight = mtl_head_parameter(f.head, "weight");
    const int64_t shape[] = {1, 3};
    mtl_tensor *labels;
    assert_ok(f.context, mtl_tensor_create(f.context, MTL_INT32, 2, shape, &labels));
    mtl_tape *other;
    assert_ok(f.context, mtl_tape_create(f.context, NULL, &other));
    mtl_tape_reset(other, MTL_TAPE_TRAIN);
    assert_fails(f.context, mtl_tape_bind(f.tape, weight, f.x), MTL_ERROR_SHAPE, "[2, 3]");
    assert_fails(f.context, mtl_tape_bind(f.tape, f.x, f.x), MTL_ERROR_ARGUMENT, "parameter");
    assert_fails(f.context, mtl_tape_bind(f.tape, weight, labels), MTL_ERROR_ARGUMENT, "real");
    assert_fails(f.context, mtl_tape_bind(f.tape, weight, weight), MTL_ERROR_ARGUMENT, "tensor");
    assert_fails(f.context, mtl_tape_bind(f.tape, weight, mtl_scale(other, weight, 1)), MTL_ERROR_ARGUMENT,
                 "this tape");
    assert_fails(f.context, mtl_tape_bind(f.tape, NULL, f.x), MTL_ERROR_ARGUMENT, "parameter");
    assert_fails(f.context, mtl_tape_bind(f.tape, weight, NULL), MTL_ERROR_ARGUMENT, "tensor");
    assert_int_equal(mtl_tape_bind(NULL, weight, f.x), MTL_ERROR_ARGUMENT);
    mtl_tape_destroy(other);
    mtl_tensor_release(labels);
    close_fixture(&f);
}

static void the_tape_keeps_what_it_was_given(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_tensor *loss = mtl_sum(f.tape, mtl_head_forward(f.head, f.tape, f.x));
    mtl_tensor_release(f.x); /* the host lets go of everything that the pass needs */
    mtl_model_destroy(f.model);
    mtl_head_release(f.head);
    f.x = NULL;
    f.model = NULL;
    f.head = NULL;
    assert_ok(f.context, mtl_tape_backward(f.tape, loss, 1, f.gradients));
    assert_near(mtl_gradients_norm(f.gradients), sqrt(2.5 * 2.5 + 7 * 7 + 2 * 2), 1e-6);
    close_fixture(&f);
}

static mtl_status copy_input(void *user, mtl_op_call *call)
{
    (void)user;
    size_t size = (size_t)mtl_tensor_size(mtl_op_call_output(call)) * sizeof(float);
    memcpy(mtl_op_call_output_data(call), mtl_op_call_input_data(call, 0), size);
    return MTL_OK;
}

static mtl_status give_up(void *user, mtl_op_call *call)
{
    (void)user;
    (void)call;
    return MTL_ERROR_CANCELLED;
}

/* The head's gradient is formed before the operation below it fails: none of it must be left for an optimizer. */
static void a_failed_backward_pass_leaves_gradients_untouched(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_custom_op_options bad = MTL_CUSTOM_OP_OPTIONS_INIT;
    bad.forward = copy_input;
    bad.backward = give_up;
    assert_ok(f.context, mtl_tape_watch(f.tape, f.x));
    mtl_tensor *x = mtl_custom_op(f.tape, &bad, &f.x, 1);
    mtl_tensor *loss = mtl_sum(f.tape, mtl_head_forward(f.head, f.tape, x));
    assert_fails(f.context, mtl_tape_backward(f.tape, loss, 1, f.gradients), MTL_ERROR_CANCELLED, "custom");
    assert_int_equal(mtl_gradients_touched(f.gradients, mtl_head_parameter(f.head, "weight")), 0);
    assert_near(mtl_gradients_norm(f.gradients), 0, 0);
    assert_int_equal(mtl_tape_status(f.tape), MTL_OK); /* the tape itself is sound */
    mtl_tape_reset(f.tape, MTL_TAPE_TRAIN);
    loss = mtl_sum(f.tape, mtl_head_forward(f.head, f.tape, f.x));
    assert_ok(f.context, mtl_tape_backward(f.tape, loss, 1, f.gradients));
    close_fixture(&f);
}

static void options_are_checked(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_tape *tape = NULL;
    mtl_tape_options options = MTL_TAPE_OPTIONS_INIT;
    options.struct_size = 4;
    assert_fails(context, mtl_tape_create(context, &options, &tape), MTL_ERROR_ARGUMENT, "struct_size");
    options = (mtl_tape_options)MTL_TAPE_OPTIONS_INIT;
    options.initial_bytes = UINT64_MAX;
    assert_fails(context, mtl_tape_create(context, &options, &tape), MTL_ERROR_LIMIT, "initial_bytes");
    assert_fails(context, mtl_tape_create(context, NULL, NULL), MTL_ERROR_ARGUMENT, "out");
    assert_int_equal(mtl_tape_create(NULL, NULL, &tape), MTL_ERROR_ARGUMENT);
    assert_null(tape);
    options.initial_bytes = 1 << 20;
    assert_ok(context, mtl_tape_create(context, &options, &tape));
    uint64_t before = test_allocations(context);
    mtl_tensor *scalar;
    assert_ok(context, mtl_tensor_create(context, MTL_FLOAT32, 0, NULL, &scalar));
    uint64_t own = test_allocations(context) - before;
    for (int i = 0; i < 1000; i++) {
        assert_non_null(mtl_tanh(tape, scalar));
    }
    assert_int_equal(test_allocations(context), before + own); /* the memory was there */
    mtl_tensor_release(scalar);
    mtl_tape_destroy(tape);
    mtl_context_release(context);
}

static void gradients_that_vanish_are_zero_and_the_hosts_mode_stays(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    volatile float tiny = 1e-30f;
    mtl_tensor *loss = mtl_sum(f.tape, mtl_head_forward(f.head, f.tape, f.x));
    assert_ok(f.context, mtl_tape_backward(f.tape, loss, 1e-30, f.gradients));
    volatile float product = tiny * 1e-10f;
    assert_true(product > 0); /* denormals are still there outside */
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(computes_and_differentiates),
        cmocka_unit_test(the_first_error_sticks),
        cmocka_unit_test(modules_name_what_is_null),
        cmocka_unit_test(a_null_tape_is_an_error_not_a_crash),
        cmocka_unit_test(results_do_not_cross_tapes),
        cmocka_unit_test(a_loss_is_one_real_number),
        cmocka_unit_test(inference_keeps_nothing_for_a_backward_pass),
        cmocka_unit_test(watched_tensors_get_gradients),
        cmocka_unit_test(what_cannot_be_watched_is_refused),
        cmocka_unit_test(a_bound_tensor_stands_for_a_parameter),
        cmocka_unit_test(what_cannot_be_bound_is_refused),
        cmocka_unit_test(the_tape_keeps_what_it_was_given),
        cmocka_unit_test(a_failed_backward_pass_leaves_gradients_untouched),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(gradients_that_vanish_are_zero_and_the_hosts_mode_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
