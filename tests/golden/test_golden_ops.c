/* SPDX-License-Identifier: Apache-2.0
 * Operations and losses against values and gradients from PyTorch. */
#include <math.h>

#include "autograd/tape.h"
#include "support/support.h"

#include <mtl/loss.h>
#include <mtl/ops.h>

enum { GOLDEN_INPUTS = 3 };

/* An input with its gradient, or the output with the weights that it is summed with. */
typedef struct golden_array {
    int32_t ndim;
    int64_t dims[MTL_MAX_DIMS];
    const double *values;
    const double *other; /* gradient or weights */
    const int32_t *ints;
} golden_array;

typedef struct golden_case {
    const char *op;
    double argument;
    int32_t count;
    golden_array inputs[GOLDEN_INPUTS];
    golden_array output;
} golden_case;

#include "ops_golden.h"

/* The kernels err by at most 3 ε (kernels.h) and add a few roundings; sums are in double. So results are exact to 8 ε
 * of the terms that they are sums of, and gradients, products of two such results, to 16 ε. These terms are not larger
 * than the largest value of the output (1 for a probability), and of the gradient or the weights. Matrix products add up
 * k <= 14 terms in float32: as roundings are independent, √k ε < 4 ε of their size, twice that when squared. */
#define TOLERANCE (16 * MTLI_REAL_EPSILON)

static mtl_tensor *run_cross_entropy(mtl_tape *tape, const golden_case *golden, mtl_tensor *const *in)
{
    mtl_cross_entropy_options options = MTL_CROSS_ENTROPY_OPTIONS_INIT;
    options.class_weights = in[2];
    options.label_smoothing = golden->argument;
    return mtl_cross_entropy(tape, in[0], in[1], &options);
}

static mtl_tensor *run_binary(mtl_tape *tape, mtl_tensor *const *in)
{
    mtl_binary_cross_entropy_options options = MTL_BINARY_CROSS_ENTROPY_OPTIONS_INIT;
    options.positive_weights = in[2];
    return mtl_binary_cross_entropy(tape, in[0], in[1], &options);
}

static mtl_tensor *run_orthogonality(mtl_tape *tape, const golden_case *golden, mtl_tensor *const *in)
{
    mtl_orthogonality_options options = MTL_ORTHOGONALITY_OPTIONS_INIT;
    int32_t bits = (int32_t)golden->argument;
    options.center = bits & 1;
    options.normalize = bits >> 1 & 1;
    options.mean = bits >> 2 & 1;
    return mtl_orthogonality(tape, in[0], in[1], &options);
}

static mtl_tensor *run_cosine(mtl_tape *tape, const golden_case *golden, mtl_tensor *const *in)
{
    mtl_cosine_similarity_options options = MTL_COSINE_SIMILARITY_OPTIONS_INIT;
    options.squared = (int32_t)golden->argument;
    return mtl_cosine_similarity(tape, in[0], in[1], &options);
}

static mtl_tensor *run_op(mtl_tape *tape, const golden_case *golden, mtl_tensor *const *in)
{
    const char *op = golden->op;
    if (strcmp(op, "linear") == 0) {
        return mtl_linear(tape, in[0], in[1], in[2]);
    } else if (strcmp(op, "add") == 0) {
        return mtl_add(tape, in[0], in[1]);
    } else if (strcmp(op, "mul") == 0) {
        return mtl_mul(tape, in[0], in[1]);
    } else if (strcmp(op, "scale") == 0) {
        return mtl_scale(tape, in[0], golden->argument);
    } else if (strcmp(op, "tanh") == 0) {
        return mtl_tanh(tape, in[0]);
    } else if (strcmp(op, "sigmoid") == 0) {
        return mtl_sigmoid(tape, in[0]);
    } else if (strcmp(op, "relu") == 0) {
        return mtl_relu(tape, in[0]);
    } else if (strcmp(op, "gelu") == 0) {
        return mtl_gelu(tape, in[0]);
    } else if (strcmp(op, "softmax") == 0) {
        return mtl_softmax(tape, in[0]);
    } else if (strcmp(op, "log_softmax") == 0) {
        return mtl_log_softmax(tape, in[0]);
    } else if (strcmp(op, "layer_norm") == 0) {
        return mtl_layer_norm(tape, in[0], in[1], in[2], golden->argument);
    } else if (strcmp(op, "concat") == 0) {
        return mtl_concat(tape, in, golden->count);
    } else if (strcmp(op, "rows") == 0) {
        return mtl_rows(tape, in[0], in[1]);
    } else if (strcmp(op, "sum") == 0) {
        return mtl_sum(tape, in[0]);
    } else if (strcmp(op, "mean") == 0) {
        return mtl_mean(tape, in[0]);
    } else if (strcmp(op, "cross_entropy") == 0) {
        return run_cross_entropy(tape, golden, in);
    } else if (strcmp(op, "binary_cross_entropy") == 0) {
        return run_binary(tape, in);
    } else if (strcmp(op, "mean_squared_error") == 0) {
        return mtl_mean_squared_error(tape, in[0], in[1]);
    } else if (strcmp(op, "huber") == 0) {
        return mtl_huber(tape, in[0], in[1], golden->argument);
    } else if (strcmp(op, "orthogonality") == 0) {
        return run_orthogonality(tape, golden, in);
    } else if (strcmp(op, "cosine_similarity") == 0) {
        return run_cosine(tape, golden, in);
    }
    fail_msg("no operation %s", op);
    return NULL;
}

static mtl_tensor *make(mtl_context *context, const golden_array *array, const double *values)
{
    mtl_dtype dtype = array->ints ? MTL_INT32 : MTL_FLOAT32;
    mtl_tensor *tensor = NULL;
    assert_ok(context, mtl_tensor_create(context, dtype, array->ndim, array->dims, &tensor));
    size_t size = (size_t)mtl_tensor_size(tensor);
    assert_ok(context, array->ints ? mtl_tensor_write(tensor, MTL_INT32, array->ints, size)
                                   : mtl_tensor_write(tensor, MTL_FLOAT64, values, size));
    return tensor;
}

static double largest(const double *values, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs(values[i])); /* fmax leaves a NaN out */
    }
    return most;
}

static void compare(const char *op, const char *what, const mtl_tensor *tensor, const double *expected, double size)
{
    assert_non_null(tensor);
    for (int64_t i = 0; i < tensor->size; i++) {
        double actual = (double)((const mtli_real *)tensor->data)[i];
        if (!(fabs(actual - expected[i]) <= TOLERANCE * size)) {
            fail_msg("%s: %s[%d] = %.9g, PyTorch says %.9g (allowed %.3g)", op, what, (int)i, actual, expected[i],
                     TOLERANCE * size);
        }
    }
}

static void test_golden_case(void **state)
{
    const golden_case *golden = *state;
    mtl_context *context = test_context();
    mtl_tape *tape = NULL;
    assert_ok(context, mtl_tape_create(context, NULL, &tape));
    mtl_tape_reset(tape, MTL_TAPE_TRAIN);
    mtl_tensor *inputs[GOLDEN_INPUTS] = {NULL};
    for (int32_t i = 0; i < golden->count; i++) {
        const golden_array *array = &golden->inputs[i];
        inputs[i] = make(context, array, array->values);
        if (!array->ints) {
            assert_ok(context, mtl_tape_watch(tape, inputs[i]));
        }
    }
    mtl_tensor *weights = make(context, &golden->output, golden->output.other);
    mtl_tensor *y = run_op(tape, golden, inputs);
    mtl_tensor *root = mtl_sum(tape, mtl_mul(tape, y, weights));
    assert_string_equal(mtl_tape_error(tape), "");
    assert_int_equal(y->shape.ndim, golden->output.ndim);
    assert_memory_equal(y->shape.dims, golden->output.dims, (size_t)y->shape.ndim * sizeof(int64_t));
    compare(golden->op, "value", y, golden->output.values, fmax(1, largest(golden->output.values, y->size)));
    double seed = 1;
    double terms = largest(golden->output.other, y->size);
    assert_ok(context, mtli_sweep_run(tape, &root, &seed, 1, NULL));
    for (int32_t i = 0; i < golden->count; i++) {
        const double *gradient = golden->inputs[i].other;
        if (gradient) {
            compare(golden->op, "gradient", mtl_tape_gradient(tape, inputs[i]), gradient,
                    fmax(terms, largest(gradient, inputs[i]->size)));
        }
        mtl_tensor_release(inputs[i]);
    }
    mtl_tensor_release(weights);
    mtl_tape_destroy(tape);
    mtl_context_release(context);
}

enum { GOLDEN_CASES = sizeof golden_cases / sizeof golden_cases[0] };

int main(void)
{
    static struct CMUnitTest tests[GOLDEN_CASES];
    for (size_t i = 0; i < GOLDEN_CASES; i++) {
        tests[i] = (struct CMUnitTest){golden_cases[i].op, test_golden_case, NULL, NULL,
                                       (void *)(uintptr_t)&golden_cases[i]};
    }
    return cmocka_run_group_tests_name("golden ops", tests, NULL, NULL);
}
