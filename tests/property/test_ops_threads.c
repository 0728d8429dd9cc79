/* SPDX-License-Identifier: Apache-2.0
 * The bits of operations and losses do not depend on the number of threads, nor on the host's own loop. */
#include "support/support_all_ops.h"

enum { TALL = 1403, WIDE = 97 }; /* several chunks, none of them even */

typedef struct outcome {
    all_ops ops;
    mtl_context *context;
    mtl_tape *tape;
} outcome;

/* A host's loop that goes backwards. */
static void backwards(void *user, int32_t count, mtl_parallel_body body, void *argument)
{
    ++*(int *)user;
    for (int32_t i = count; i > 0; i--) {
        body(argument, i - 1);
    }
}

static void compute(outcome *out, int32_t threads, int *loops, int64_t rows, int64_t width)
{
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.threads = threads;
    options.parallel_for = loops ? backwards : NULL;
    options.parallel_user = loops;
    assert_int_equal(mtl_context_create(&options, &out->context), MTL_OK);
    assert_ok(out->context, mtl_tape_create(out->context, NULL, &out->tape));
    assert_ok(out->context, all_ops_create(out->context, rows, width, &out->ops));
    assert_ok(out->context, all_ops_step(out->tape, &out->ops));
}

static void end(outcome *out)
{
    all_ops_destroy(&out->ops);
    mtl_tape_destroy(out->tape);
    mtl_context_release(out->context);
}

static void expect_same(const mtl_tensor *a, const mtl_tensor *b)
{
    assert_true((a == NULL) == (b == NULL));
    if (a) {
        assert_int_equal(a->size, b->size);
        assert_memory_equal(a->data, b->data, (size_t)a->size * sizeof(mtli_real));
    }
}

static void compare(int32_t threads, int *loops, int64_t rows, int64_t width)
{
    outcome one, many;
    compute(&one, 1, NULL, rows, width);
    compute(&many, threads, loops, rows, width);
    assert_int_equal(one.ops.num_results, many.ops.num_results);
    for (int32_t i = 0; i < one.ops.num_results; i++) {
        expect_same(one.ops.results[i], many.ops.results[i]);
    }
    for (int i = 0; i < ALL_OPS_INPUTS; i++) {
        expect_same(mtl_tape_gradient(one.tape, one.ops.inputs[i]), mtl_tape_gradient(many.tape, many.ops.inputs[i]));
    }
    assert_non_null(mtl_tape_gradient(one.tape, one.ops.inputs[0]));
    end(&one);
    end(&many);
}

static void test_threads(void **state)
{
    (void)state;
    compare(2, NULL, TALL, WIDE);
    compare(5, NULL, TALL, WIDE);
    compare(3, NULL, 3, 40001); /* rows longer than a chunk */
}

static void test_loop_of_the_host(void **state)
{
    (void)state;
    int loops = 0;
    compare(2, &loops, TALL, WIDE);
    assert_true(loops > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_loop_of_the_host),
    };
    return cmocka_run_group_tests_name("ops threads", tests, NULL, NULL);
}
