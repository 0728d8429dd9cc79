/* SPDX-License-Identifier: Apache-2.0
 * The inner products that bilevel balancers decide from, inside an objective: as derivatives of validation losses after an
 * inner step, by central differences, and beside dense task gradients. */
#include "balanced_tasks.h"
#include "support.h"

#include <math.h>

#include "balance/balancer.h"
#include "multitask/objective.h"

static double train[BALANCED_MOST * BALANCED_MOST_VALUES];
static double after[BALANCED_MOST * BALANCED_MOST_VALUES];
static double start[BALANCED_MOST_VALUES];
static double moved[BALANCED_MOST_VALUES];

static void open_balanced(mtl_context *context, const balanced_setup *setup, const mtl_balancer_options *options,
                          balanced_tasks *t, mtl_balancer **balancer)
{
    assert_ok(context, balanced_tasks_create(context, setup, t));
    assert_ok(context, mtl_balancer_create(context, options, balancer));
    assert_ok(context, mtl_objective_set_balancer(t->objective, *balancer));
}

/* hyper[s, t] = <∇L_s at ω', g_t> over everything, heads too. */
static void products_of_moml(void **state)
{
    (void)state;
    for (int labels = 0; labels < BALANCED_LABELLINGS; labels++) {
        const double rate = 0.7;
        balanced_setup setup = {.tasks = 3, .labels = (balanced_labels)labels, .lambda = (const double[]){1, 0.5, 2}};
        mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
        options.method = MTL_BALANCE_MOML;
        options.inner_rate = rate;
        mtl_context *context = test_context();
        balanced_tasks t;
        mtl_balancer *balancer;
        open_balanced(context, &setup, &options, &t, &balancer);
        int64_t size = balanced_tasks_size(&t);
        int32_t count = balanced_tasks_has(&t, 1) ? 3 : 2;
        assert_ok(context, balanced_tasks_weights(&t, start));
        assert_ok(context, balanced_tasks_explicit(&t, 0, NULL, train));
        memcpy(moved, start, sizeof moved);
        for (int64_t i = 0; i < size; i++) {
            for (int32_t k = 0; k < 3; k++) {
                moved[i] -= rate / count * train[k * size + i];
            }
        }
        assert_ok(context, balanced_tasks_set_weights(&t, moved));
        assert_ok(context, balanced_tasks_explicit(&t, 1, NULL, after));
        assert_ok(context, balanced_tasks_set_weights(&t, start));
        assert_ok(context, mtl_objective_step(t.objective, t.optimizer, balanced_tasks_evaluate, &t));
        for (int32_t s = 0, row = 0; s < 3; s++) {
            for (int32_t k = 0, column = 0; k < 3; k++) {
                double expected = 0;
                for (int64_t i = 0; i < size; i++) {
                    expected += after[s * size + i] * train[k * size + i];
                }
                if (balanced_tasks_has(&t, s) && balanced_tasks_has(&t, k)) {
                    assert_near(t.objective->room->cross[row * count + column], expected, 1e-5);
                    column++;
                }
            }
            row += balanced_tasks_has(&t, s) != 0;
        }
        mtl_balancer_destroy(balancer);
        balanced_tasks_destroy(&t);
        mtl_context_release(context);
    }
}

/* ---- FORUM ---- */

/* f(ω) - f(ω^T) by hand: gradient descent on Σ z λ L of draw 0, z equal, while it falls. */
static void inner_descent(balanced_tasks *t, double rate, int steps, double *least)
{
    int64_t size = balanced_tasks_size(t);
    double losses[BALANCED_MOST];
    double best = HUGE_VAL;
    for (int step = 0; step <= steps; step++) {
        double sum = 0;
        assert_ok(t->context, balanced_tasks_explicit(t, 0, losses, train));
        for (int32_t k = 0; k < 3; k++) {
            sum += losses[k] / 3;
        }
        if (!(sum < best)) {
            break;
        }
        best = sum;
        memcpy(least, losses, 3 * sizeof(double));
        assert_ok(t->context, balanced_tasks_weights(t, moved));
        for (int64_t i = 0; i < size; i++) {
            for (int32_t k = 0; k < 3; k++) {
                moved[i] -= rate / 3 * train[k * size + i];
            }
        }
        assert_ok(t->context, balanced_tasks_set_weights(t, moved));
    }
}

/* The Gram matrix of the validation gradients and of q, with the part of q in the logits. */
static void gram_of_forum(void **state)
{
    (void)state;
    const double rates[] = {0.3, 50}; /* the second one leaps: nothing falls */
    for (int c = 0; c < 2 * BALANCED_ABSENT; c++) {
        balanced_setup setup = {.tasks = 3, .labels = (balanced_labels)(c / 2), .lambda = (const double[]){1, 0.5, 2}};
        mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
        options.method = MTL_BALANCE_FORUM;
        options.inner_rate = rates[c % 2];
        options.steps = 4;
        mtl_context *context = test_context();
        balanced_tasks t;
        mtl_balancer *balancer;
        open_balanced(context, &setup, &options, &t, &balancer);
        int64_t size = balanced_tasks_size(&t);
        double first[BALANCED_MOST], least[BALANCED_MOST];
        assert_ok(context, balanced_tasks_weights(&t, start));
        inner_descent(&t, options.inner_rate, options.steps, least);
        assert_ok(context, balanced_tasks_set_weights(&t, start));
        assert_ok(context, balanced_tasks_explicit(&t, 0, first, train));
        assert_ok(context, balanced_tasks_explicit(&t, 1, NULL, after));
        double logits[3];
        double mean = 0;
        double square = 0;
        for (int32_t k = 0; k < 3; k++) {
            mean += (first[k] - least[k]) / 3;
        }
        for (int32_t k = 0; k < 3; k++) {
            logits[k] = (first[k] - least[k] - mean) / 3;
            square += logits[k] * logits[k];
        }
        assert_ok(context, mtl_objective_step(t.objective, t.optimizer, balanced_tasks_evaluate, &t));
        for (int32_t i = 0; i < 4; i++) {
            for (int32_t j = 0; j < 4; j++) {
                double expected = i == 3 && j == 3 ? square : 0;
                for (int64_t v = 0; v < size; v++) {
                    double q = (train[v] + train[size + v] + train[2 * size + v]) / 3;
                    expected += (i < 3 ? after[i * size + v] : q) * (j < 3 ? after[j * size + v] : q);
                }
                assert_near(t.objective->room->forum[i * 4 + j], expected, 1e-5);
            }
        }
        /* the direction: Σ γ F / ‖F‖ + ν q, with γ the first average, so the solver's own */
        double gamma[BALANCED_MOST];
        assert_int_equal(mtl_balancer_read(balancer, "lambda", gamma, 3), 3);
        assert_near(gamma[0] + gamma[1] + gamma[2], 1, 1e-9);
        const double *gram = t.objective->room->forum;
        double nu = 0;
        for (int32_t k = 0; k < 3; k++) {
            nu += gamma[k] * (0.1 - gram[3 * 4 + k] / sqrt(gram[k * 4 + k]) / gram[15]);
        }
        nu = fmax(nu, 0);
        assert_ok(context, balanced_tasks_weights(&t, moved));
        for (int64_t v = 0; v < size; v++) {
            double direction = nu * (train[v] + train[size + v] + train[2 * size + v]) / 3;
            for (int32_t k = 0; k < 3; k++) {
                direction += gamma[k] * after[k * size + v] / sqrt(gram[k * 4 + k]);
            }
            assert_near(moved[v], start[v] - 0.1 * direction, 5e-6);
        }
        mtl_balancer_destroy(balancer);
        balanced_tasks_destroy(&t);
        mtl_context_release(context);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_moml),
        cmocka_unit_test(gram_of_forum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
