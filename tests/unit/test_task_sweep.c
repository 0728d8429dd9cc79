/* SPDX-License-Identifier: Apache-2.0
 * Task gradients: one sweep over disjoint rows gives what a sweep for each task gives, and is not taken where it cannot. */
#include "support_task_sweep.h"

/* Two ways of adding the same `terms` products in float32: their difference is below terms * 2^-24 times the sum of
 * magnitudes, which the norm bounds here (no cancellation of more than a digit). */
static void assert_target(fixture *f, int task)
{
    double norm = mtl_gradients_norm(f->expected);
    double largest = 0;
    assert_ok(f->context, mtl_gradients_add(f->expected, -1, f->targets[task]));
    double difference = mtl_gradients_norm(f->expected);
    largest = fmax(largest, difference);
    if (!(largest <= 100 * ldexp(1, -24) * norm + 1e-12)) {
        fail_msg("task %d: norm %g, difference %g", task, norm, difference);
    }
}

static void check(network kind, labelling labels, int threads, mtli_task_way way)
{
    static const double seeds[TASKS] = {1, 0.25, 3};
    fixture f;
    open_fixture(&f, kind, labels, threads);
    compute_losses(&f);
    const mtli_parameters *shared[] = {f.encoder->parameters};
    mtli_task_pass pass = {.tape = f.tape,
                           .count = TASKS,
                           .losses = f.losses,
                           .seeds = seeds,
                           .num_shared = 1,
                           .shared = shared,
                           .targets = f.targets};
    assert_ok(f.context, mtli_task_sweep(&pass));
    assert_true(pass.split);
    assert_int_equal(pass.way, way);
    for (int t = 0; t < TASKS; t++) {
        assert_ok(f.context, mtli_sweep_run(f.tape, &f.losses[t], &seeds[t], 1, f.expected));
        assert_true(mtl_gradients_norm(f.expected) > 0 || (labels == LABELS_WITH_GAPS && t == 1));
        assert_target(&f, t);
    }
    close_fixture(&f);
}

static void test_one_sweep_equals_a_sweep_for_each(void **state)
{
    (void)state;
    static const network kinds[] = {NETWORK_LSTM,  NETWORK_LSTM_RARE, NETWORK_LSTM_DEEP, NETWORK_LSTM_MEAN,
                                    NETWORK_DENSE, NETWORK_EMBEDDING, NETWORK_TWICE};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        for (int threads = 1; threads <= 3; threads += 2) {
            check(kinds[k], LABELS_DISJOINT, threads, MTLI_TASKS_ONE_SWEEP);
            check(kinds[k], LABELS_WITH_GAPS, threads, MTLI_TASKS_ONE_SWEEP);
            check(kinds[k], LABELS_OVERLAPPING, threads, MTLI_TASKS_SWEEP_EACH);
        }
    }
}

static void test_mixed_rows_take_a_sweep_for_each(void **state)
{
    (void)state;
    check(NETWORK_BATCH_NORMS, LABELS_DISJOINT, 1, MTLI_TASKS_SWEEP_EACH);
}

/* What is not shared, swept by itself, equals its part of the whole sweep. */
static void test_rest(void **state)
{
    (void)state;
    static const double seeds[TASKS] = {1, 1, 1};
    static const double weights[TASKS] = {0.5, 2, 0};
    fixture f;
    open_fixture(&f, NETWORK_LSTM, LABELS_DISJOINT, 1);
    compute_losses(&f);
    mtli_parameters *blocks[TASKS];
    const mtli_parameters *shared[] = {f.encoder->parameters};
    mtl_gradients *whole;
    mtl_gradients *rest;
    for (int t = 0; t < TASKS; t++) {
        blocks[t] = f.heads[t]->parameters;
    }
    assert_ok(f.context, mtli_gradients_create(f.context, blocks, TASKS, &whole));
    assert_ok(f.context, mtli_gradients_create(f.context, blocks, TASKS, &rest));
    mtli_task_pass pass = {.tape = f.tape,
                           .count = TASKS,
                           .losses = f.losses,
                           .seeds = seeds,
                           .num_shared = 1,
                           .shared = shared,
                           .targets = f.targets};
    assert_ok(f.context, mtli_task_sweep(&pass));
    assert_ok(f.context, mtli_task_sweep_rest(&pass, weights, rest));
    assert_ok(f.context, mtli_sweep_run(f.tape, f.losses, weights, TASKS, whole));
    assert_true(mtl_gradients_norm(whole) > 0);
    assert_ok(f.context, mtl_gradients_add(whole, -1, rest));
    assert_true(mtl_gradients_norm(whole) == 0);
    mtl_gradients_destroy(whole);
    mtl_gradients_destroy(rest);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_sweep_equals_a_sweep_for_each),
        cmocka_unit_test(test_mixed_rows_take_a_sweep_for_each),
        cmocka_unit_test(test_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
