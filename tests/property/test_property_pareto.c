/* SPDX-License-Identifier: Apache-2.0
 * On two squares of a shared linear map, whose Pareto set is known, balancers reach a point where a convex combination of
 * the task gradients is zero. Whole steps through the public interface. */
#include "support.h"

#include <math.h>

#include <mtl/mtl.h>

enum { ROWS = 6, SIZE = 3 };

typedef struct quadratics {
    mtl_context *context;
    mtl_encoder *encoder;
    mtl_model *model;
    mtl_objective *objective;
    mtl_optimizer *optimizer;
    mtl_gradients *gradients;
    mtl_tape *tape;
    mtl_balancer *balancer;
    mtl_tensor *inputs[2];
    mtl_tensor *targets[2];
} quadratics;

static mtl_tensor *linear_forward(void *user, mtl_encoder_call *call)
{
    (void)user;
    return mtl_linear(mtl_encoder_call_tape(call), mtl_encoder_call_inputs(call), mtl_encoder_call_parameter(call, 0),
                      NULL);
}

static mtl_status evaluate(void *user, mtl_tape *tape, int32_t draw, mtl_tensor **losses)
{
    quadratics *q = user;
    (void)draw;
    for (int k = 0; k < 2; k++) {
        losses[k] = mtl_mean_squared_error(tape, mtl_encoder_forward(q->encoder, tape, q->inputs[k]), q->targets[k]);
    }
    return MTL_OK;
}

static mtl_tensor *make_matrix(mtl_context *context, int64_t columns, const float *values)
{
    mtl_tensor *out;
    assert_ok(context, mtl_tensor_create(context, MTL_FLOAT32, 2, (int64_t[]){ROWS, columns}, &out));
    assert_ok(context, mtl_tensor_write(out, MTL_FLOAT32, values, (size_t)(ROWS * columns)));
    return out;
}

/* The tasks want other points, and stretch space in other directions. */
static void open_quadratics(quadratics *q, int32_t method)
{
    static const mtl_parameter_spec weight[] = {{"weight", {1, SIZE}, 2, MTL_INIT_ZEROS, 0}};
    static const float wanted[2][SIZE] = {{1, -0.5f, 0.25f}, {-0.75f, 1, 0.5f}};
    mtl_custom_encoder_options options = MTL_CUSTOM_ENCODER_OPTIONS_INIT;
    mtl_sgd_options sgd = MTL_SGD_OPTIONS_INIT;
    mtl_balancer_options balancer = MTL_BALANCER_OPTIONS_INIT;
    memset(q, 0, sizeof *q);
    q->context = test_context();
    options.forward = linear_forward;
    options.parameters = weight;
    options.num_parameters = 1;
    options.output_dim = 1;
    assert_ok(q->context, mtl_encoder_create_custom(q->context, &options, &q->encoder));
    assert_ok(q->context, mtl_model_create(q->context, NULL, &q->model));
    assert_ok(q->context, mtl_model_add_encoder(q->model, "map", q->encoder));
    assert_ok(q->context, mtl_objective_create(q->model, NULL, &q->objective));
    assert_ok(q->context, mtl_objective_add_task(q->objective, "first", 1));
    assert_ok(q->context, mtl_objective_add_task(q->objective, "second", 1));
    assert_ok(q->context, mtl_optimizer_create_sgd(q->model, &sgd, &q->optimizer));
    assert_ok(q->context, mtl_gradients_create(q->model, &q->gradients));
    assert_ok(q->context, mtl_tape_create(q->context, NULL, &q->tape));
    balancer.method = method;
    assert_ok(q->context, mtl_balancer_create(q->context, &balancer, &q->balancer));
    assert_ok(q->context, mtl_objective_set_balancer(q->objective, q->balancer));
    for (int k = 0; k < 2; k++) {
        float x[ROWS * SIZE];
        float y[ROWS];
        for (int r = 0; r < ROWS; r++) {
            y[r] = 0;
            for (int i = 0; i < SIZE; i++) {
                x[r * SIZE + i] = (float)sin(1.3 * (r + 1) * (i + 1) + k) * (i == k ? 2 : 0.7f);
                y[r] += x[r * SIZE + i] * wanted[k][i];
            }
        }
        q->inputs[k] = make_matrix(q->context, SIZE, x);
        q->targets[k] = make_matrix(q->context, 1, y);
    }
}

static void close_quadratics(quadratics *q)
{
    for (int k = 0; k < 2; k++) {
        mtl_tensor_release(q->inputs[k]);
        mtl_tensor_release(q->targets[k]);
    }
    mtl_balancer_destroy(q->balancer);
    mtl_tape_destroy(q->tape);
    mtl_gradients_destroy(q->gradients);
    mtl_optimizer_destroy(q->optimizer);
    mtl_objective_destroy(q->objective);
    mtl_model_destroy(q->model);
    mtl_encoder_release(q->encoder);
    mtl_context_release(q->context);
}

/* The length of the shortest convex combination of both gradients. */
static double stationarity(quadratics *q, double *losses, double *longest)
{
    double g[2][SIZE];
    double square[2] = {0};
    double product = 0;
    for (int k = 0; k < 2; k++) {
        mtl_tensor *loss[2];
        mtl_tape_reset(q->tape, MTL_TAPE_TRAIN);
        assert_int_equal(evaluate(q, q->tape, 0, loss), MTL_OK);
        assert_ok(q->context, mtl_tape_backward(q->tape, loss[k], 1, q->gradients));
        const mtl_tensor *weight = mtl_model_parameter(q->model, 0);
        assert_ok(q->context, mtl_gradients_read(q->gradients, weight, MTL_FLOAT64, g[k], SIZE));
        assert_ok(q->context, mtl_tensor_read(loss[k], MTL_FLOAT64, &losses[k], 1));
    }
    for (int i = 0; i < SIZE; i++) {
        square[0] += g[0][i] * g[0][i];
        square[1] += g[1][i] * g[1][i];
        product += g[0][i] * g[1][i];
    }
    *longest = sqrt(fmax(square[0], square[1]));
    double along = (square[1] - product) / (square[0] + square[1] - 2 * product);
    along = along < 0 ? 0 : along > 1 ? 1 : along;
    double shortest = 0;
    for (int i = 0; i < SIZE; i++) {
        double value = along * g[0][i] + (1 - along) * g[1][i];
        shortest += value * value;
    }
    return sqrt(shortest);
}

/* Gradient descent whose steps shrink as 1/k: directions whose length does not fall off at the front (Nash, Aligned-MTL)
 * end as near to it as the last steps are long. */
static void balancers_reach_the_front(void **state)
{
    (void)state;
    const int32_t methods[] = {
        MTL_BALANCE_MGDA,    MTL_BALANCE_PCGRAD, MTL_BALANCE_GRADVAC,         MTL_BALANCE_CAGRAD,
        MTL_BALANCE_IMTL_G,  MTL_BALANCE_NASH,   MTL_BALANCE_FAIRGRAD,        MTL_BALANCE_ALIGNED,
        MTL_BALANCE_UPGRAD,  MTL_BALANCE_CONFIG, MTL_BALANCE_DUAL_PROJECTION, MTL_BALANCE_MOCO,
        MTL_BALANCE_SDMGRAD, MTL_BALANCE_MODO,   MTL_BALANCE_FORUM,           MTL_BALANCE_EQUAL};
    for (size_t m = 0; m < sizeof methods / sizeof methods[0]; m++) {
        quadratics q;
        double before[2], after[2], longest, unused;
        open_quadratics(&q, methods[m]);
        double first = stationarity(&q, before, &longest);
        for (int step = 0; step < 2000; step++) {
            assert_ok(q.context, mtl_optimizer_set_learning_rate(q.optimizer, 0.1 / (1 + step / 20.0)));
            assert_ok(q.context, mtl_objective_step(q.objective, q.optimizer, evaluate, &q));
        }
        double last = stationarity(&q, after, &unused);
        assert_true(first > 0.1 * longest);
        if (!(last < 0.02 * first) || !(after[0] + after[1] < 0.5 * (before[0] + before[1]))) {
            fail_msg("%s: %g from a stationary point, %g before; losses %g and %g, %g and %g before",
                     mtl_balance_method_name(methods[m]), last, first, after[0], after[1], before[0], before[1]);
        }
        close_quadratics(&q);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(balancers_reach_the_front),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
