/* SPDX-License-Identifier: Apache-2.0
 * One batch whose rows are labelled for both tasks, one or neither: its gradient is the sum of those of separate batches
 * that hold each task's labelled rows only. */
#include "support.h"
#include "two_tasks.h"

#include <math.h>

enum { MOST_VALUES = 2048 };

/* A batch of the rows that a task labels, alone. */
static void make_part(mtl_context *context, int task, mtl_tensor **inputs, mtl_tensor **labels)
{
    int64_t offsets[TWO_TASKS_ROWS + 1] = {0};
    int32_t tokens[TWO_TASKS_TOKENS];
    int32_t kept[TWO_TASKS_ROWS];
    int64_t rows = 0;
    for (int r = 0; r < TWO_TASKS_ROWS; r++) {
        if (two_tasks_labels[task][r] == MTL_LABEL_NONE) {
            continue;
        }
        int64_t length = two_tasks_offsets[r + 1] - two_tasks_offsets[r];
        memcpy(tokens + offsets[rows], two_tasks_tokens + two_tasks_offsets[r], (size_t)length * sizeof tokens[0]);
        kept[rows] = two_tasks_labels[task][r];
        offsets[rows + 1] = offsets[rows] + length;
        rows++;
    }
    assert_ok(context, mtl_tensor_create_ragged(context, rows, offsets, tokens, inputs));
    assert_ok(context, mtl_tensor_create(context, MTL_INT32, 1, &rows, labels));
    assert_ok(context, mtl_tensor_write(*labels, MTL_INT32, kept, (size_t)rows));
}

static double part_gradient(two_tasks *t, int task, double *values)
{
    mtl_tensor *inputs;
    mtl_tensor *labels;
    make_part(t->context, task, &inputs, &labels);
    mtl_tape_reset(t->tape, MTL_TAPE_TRAIN);
    mtl_tensor *features = mtl_encoder_forward(t->encoder, t->tape, inputs);
    mtl_tensor *loss = mtl_cross_entropy(t->tape, mtl_head_forward(t->heads[task], t->tape, features), labels, NULL);
    assert_ok(t->context, mtl_tape_backward(t->tape, loss, 1, t->gradients));
    assert_ok(t->context, two_tasks_gradient(t, t->gradients, values));
    double value;
    assert_ok(t->context, mtl_tensor_item(loss, &value));
    mtl_tensor_release(inputs);
    mtl_tensor_release(labels);
    return value;
}

static void one_batch_equals_separate_batches(void **state)
{
    (void)state;
    for (int32_t pooling = MTL_POOLING_LAST; pooling <= MTL_POOLING_MAX; pooling++) {
        mtl_context *context = test_context();
        mtl_lstm_options lstm = two_tasks_lstm();
        lstm.pooling = pooling;
        lstm.bidirectional = pooling == MTL_POOLING_LAST;
        two_tasks tasks;
        assert_ok(context, two_tasks_create(context, &lstm, TWO_TASKS_SGD, &tasks));
        size_t size = (size_t)two_tasks_size(&tasks);
        assert_in_range(size, 1, MOST_VALUES);
        static double parts[2][MOST_VALUES];
        static double both[MOST_VALUES];
        double losses[] = {part_gradient(&tasks, 0, parts[0]), part_gradient(&tasks, 1, parts[1])};
        assert_ok(context, two_tasks_backward(&tasks));
        assert_ok(context, two_tasks_gradient(&tasks, tasks.gradients, both));
        for (size_t i = 0; i < size; i++) {
            parts[0][i] += 0.5 * parts[1][i]; /* the tasks' weights are 1 and 0.5 */
        }
        /* Sums of at most 17 tokens times 2 tasks, of terms below 1, in another order: 34 roundings of 2^-24, and as many
         * again for the recurrence behind each term. */
        assert_close(both, parts[0], size, 0, 68 * 6e-8);
        /* Losses below 4, each with the roundings of its logits. */
        assert_near(mtl_objective_task_loss(tasks.objective, 0), losses[0], 4 * 34 * 6e-8);
        assert_near(mtl_objective_task_loss(tasks.objective, 1), losses[1], 4 * 34 * 6e-8);
        two_tasks_destroy(&tasks);
        mtl_context_release(context);
    }
}

/* Rows that no task labels change nothing: their tokens get no gradient. */
static void rows_without_any_label_get_no_gradient(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    two_tasks tasks;
    assert_ok(context, two_tasks_create(context, NULL, TWO_TASKS_SGD, &tasks));
    const int64_t offsets[] = {0, 2, 5, 6, 6, 7, 8}; /* the second row alone has the tokens 9, 10, 11 */
    const int32_t tokens[] = {1, 2, 9, 10, 11, 3, 4, 5};
    const int32_t labels[2][TWO_TASKS_ROWS] = {{0, -1, 1, -1, -1, 0}, {-1, -1, 2, -1, 0, -1}};
    mtl_tensor_release(tasks.inputs);
    assert_ok(context, mtl_tensor_create_ragged(context, TWO_TASKS_ROWS, offsets, tokens, &tasks.inputs));
    for (int k = 0; k < 2; k++) {
        assert_ok(context, mtl_tensor_write(tasks.labels[k], MTL_INT32, labels[k], TWO_TASKS_ROWS));
    }
    assert_ok(context, two_tasks_backward(&tasks));
    double table[TWO_TASKS_VOCABULARY * TWO_TASKS_EMBEDDING];
    mtl_tensor *parameter = mtl_encoder_parameter(tasks.encoder, "embedding.weight");
    assert_ok(context, mtl_gradients_read(tasks.gradients, parameter, MTL_FLOAT64, table,
                                          TWO_TASKS_VOCABULARY * TWO_TASKS_EMBEDDING));
    for (int r = 0; r < TWO_TASKS_VOCABULARY; r++) {
        double largest = 0;
        for (int j = 0; j < TWO_TASKS_EMBEDDING; j++) {
            largest = fmax(largest, fabs(table[r * TWO_TASKS_EMBEDDING + j]));
        }
        bool labelled = r >= 1 && r <= 5;
        assert_true(labelled == (largest > 0));
    }
    two_tasks_destroy(&tasks);
    mtl_context_release(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_batch_equals_separate_batches),
        cmocka_unit_test(rows_without_any_label_get_no_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
