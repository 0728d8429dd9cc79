/* SPDX-License-Identifier: Apache-2.0
 * Every operation of the op table, in double precision, against central differences. */
#include <math.h>

#include "autograd/tape.h"
#include "base/rng.h"
#include "support/support.h"

#include <mtl/ops.h>

#include "samples.h"

/* f is a sum of terms w_i y_i with S = Σ |w_i y_i|. With the step h = ε^(1/3) the central difference errs by
 *     c ε S / h = c ε^(2/3) S = 4e-11 c S from rounding, c about 10, and by h²/6 |f'''| = 6e-12 |f'''| from truncation.
 * Relative to a derivative of at least FLOOR max(1, S) both are below 1e-6; smaller ones are compared with it. */
#define TOLERANCE 1e-6
#define FLOOR 1e-3
#define STEP 6.055454452393343e-06 /* ε^(1/3) */

enum { SEED = 20, WEIGHT_STREAM = 1000, OTHER_STREAM = 2000 };

enum { MAX_OPS = 256 };

static bool recorded[MAX_OPS]; /* by some sample */

typedef struct checker {
    mtl_context *context;
    mtl_tape *tape;
    const op_sample *sample;
    mtl_tensor *inputs[SAMPLE_MAX_INPUTS + 1]; /* ends with NULL */
    mtl_tensor *others[SAMPLE_MAX_INPUTS];     /* weights of the inputs themselves, for accumulation */
    mtl_tensor *weights;                       /* of the output */
    int32_t count;
    double scale; /* S */
} checker;

/* ---- inputs ---- */

static mtl_tensor *make_tensor(mtl_context *context, mtl_dtype dtype, const sample_input *input)
{
    mtl_tensor *tensor = NULL;
    assert_ok(context, mtli_tensor_create_empty(context, dtype, &tensor));
    int64_t rows = input->offsets ? input->rows : -1;
    assert_ok(context, mtli_tensor_resize(tensor, input->ndim, input->dims, rows));
    if (input->offsets) {
        memcpy(mtli_tensor_offsets(tensor), input->offsets, ((size_t)rows + 1) * sizeof(int64_t));
    }
    return tensor;
}

static double draw(const sample_input *input, mtli_rng *rng)
{
    double u = 2 * mtli_rng_uniform(rng) - 1;
    if (input->kind == SAMPLE_AWAY) {
        return u < 0 ? -0.1 + 0.9 * u : 0.1 + 0.9 * u;
    }
    bool unit = input->low == 0 && input->high == 0;
    return unit ? u : input->low + (input->high - input->low) * (0.5 * u + 0.5);
}

static mtl_tensor *make_input(mtl_context *context, const sample_input *input, uint64_t stream)
{
    mtli_rng rng;
    mtli_rng_init(&rng, SEED, stream);
    bool real = input->kind != SAMPLE_INT;
    mtl_tensor *tensor = make_tensor(context, real ? MTLI_DTYPE_REAL : MTL_INT32, input);
    for (int64_t i = 0; i < tensor->size; i++) {
        double value = draw(input, &rng);
        if (real) {
            bool missing = i < 64 && (input->missing >> i & 1) != 0;
            ((mtli_real *)tensor->data)[i] = missing ? (mtli_real)NAN : (mtli_real)value;
        } else {
            ((int32_t *)tensor->data)[i] = input->values ? input->values[i] : (int32_t)floor(value);
        }
    }
    return tensor;
}

static bool is_real(const mtl_tensor *tensor)
{
    return tensor->shape.dtype == MTLI_DTYPE_REAL;
}

static mtl_tensor *like(mtl_context *context, const mtl_tensor *tensor, uint64_t stream)
{
    sample_input input = {.kind = SAMPLE_REAL, .ndim = tensor->shape.ndim, .low = 0.5, .high = 1.5};
    memcpy(input.dims, tensor->shape.dims, sizeof input.dims);
    return make_input(context, &input, stream);
}

static void begin_check(checker *check, const op_sample *sample)
{
    memset(check, 0, sizeof *check);
    check->context = test_context();
    check->sample = sample;
    assert_ok(check->context, mtl_tape_create(check->context, NULL, &check->tape));
    while (check->count < SAMPLE_MAX_INPUTS && sample->inputs[check->count].kind != SAMPLE_END) {
        int32_t i = check->count++;
        check->inputs[i] = make_input(check->context, &sample->inputs[i], (uint64_t)i);
        check->others[i] = like(check->context, check->inputs[i], (uint64_t)i + OTHER_STREAM);
    }
}

static void end_check(checker *check)
{
    for (int32_t i = 0; i < check->count; i++) {
        mtl_tensor_release(check->inputs[i]);
        mtl_tensor_release(check->others[i]);
    }
    mtl_tensor_release(check->weights);
    mtl_tape_destroy(check->tape);
    mtl_context_release(check->context);
}

/* ---- f = Σ w y, and optionally Σ v x recorded behind it, so that its part of the gradients is there first ---- */

static void expect_tape(const checker *check)
{
    if (mtl_tape_status(check->tape) != MTL_OK) {
        fail_msg("%s", mtl_tape_error(check->tape));
    }
}

/* Marks the rows of the op table that the sample has recorded under its name. */
static void expect_recorded(const checker *check)
{
    bool found = false;
    for (const mtli_call *call = check->tape->last; call; call = call->previous) {
        for (int32_t i = 0; i < mtli_num_ops && strcmp(call->op->name, check->sample->op) == 0; i++) {
            found = found || mtli_ops[i] == call->op;
            recorded[i] = recorded[i] || mtli_ops[i] == call->op;
        }
    }
    if (!found) {
        fail_msg("the sample did not record %s", check->sample->op);
    }
}

static mtl_tensor *record(checker *check)
{
    mtl_tape_reset(check->tape, MTL_TAPE_TRAIN);
    assert_ok(check->context, mtl_context_set_seed(check->context, SEED)); /* the same dropout every time */
    for (int32_t i = 0; i < check->count; i++) {
        if (is_real(check->inputs[i])) {
            assert_ok(check->context, mtl_tape_watch(check->tape, check->inputs[i]));
        }
    }
    mtl_tensor *y = check->sample->run(check->tape, check->inputs);
    expect_tape(check);
    expect_recorded(check);
    if (!check->weights) {
        check->weights = like(check->context, y, WEIGHT_STREAM);
    }
    mtl_tensor *terms = mtl_mul(check->tape, y, check->weights);
    mtl_tensor *f = mtl_sum(check->tape, terms);
    expect_tape(check);
    check->scale = 0;
    for (int64_t i = 0; i < terms->size; i++) {
        check->scale += fabs((double)((const mtli_real *)terms->data)[i]);
    }
    return f;
}

static double evaluate(checker *check)
{
    return (double)*(const mtli_real *)record(check)->data;
}

static void sweep(checker *check, mtl_tensor *const *roots, int32_t count)
{
    double seeds[SAMPLE_MAX_INPUTS + 1];
    for (int32_t i = 0; i < count; i++) {
        seeds[i] = 1;
    }
    assert_ok(check->context, mtli_sweep_run(check->tape, roots, seeds, count, NULL));
}

/* A copy of the gradient of an input, zeros where the sweep did not reach it; free() it. */
static double *copy_gradient(checker *check, int32_t input)
{
    const mtl_tensor *tensor = check->inputs[input];
    const mtl_tensor *gradient = mtl_tape_gradient(check->tape, tensor);
    double *copy = calloc((size_t)tensor->size + 1, sizeof copy[0]);
    assert_non_null(copy);
    for (int64_t i = 0; i < tensor->size && gradient; i++) {
        copy[i] = (double)((const mtli_real *)gradient->data)[i];
    }
    return copy;
}

static void take_gradients(checker *check, double **gradients)
{
    for (int32_t i = 0; i < check->count; i++) {
        gradients[i] = is_real(check->inputs[i]) ? copy_gradient(check, i) : NULL;
    }
}

static void free_gradients(const checker *check, double **gradients)
{
    for (int32_t i = 0; i < check->count; i++) {
        free(gradients[i]);
    }
}

/* ---- the checks ---- */

static double difference(checker *check, mtli_real *element)
{
    mtli_real before = *element;
    mtli_real h = (mtli_real)STEP;
    mtli_real above = before + h;
    mtli_real below = before - h;
    *element = above;
    double right = evaluate(check);
    *element = below;
    double left = evaluate(check);
    *element = before;
    return (right - left) / (double)(above - below);
}

static void check_input(checker *check, int32_t input, const double *gradient)
{
    mtl_tensor *tensor = check->inputs[input];
    double floor_size = FLOOR * fmax(1, check->scale);
    for (int64_t i = 0; i < tensor->size; i++) {
        mtli_real *element = (mtli_real *)tensor->data + i;
        bool missing = isnan(*element);
        double expected = missing ? 0 : difference(check, element);
        double size = fmax(floor_size, fmax(fabs(expected), fabs(gradient[i])));
        if (!(fabs(gradient[i] - expected) <= TOLERANCE * size)) {
            fail_msg("%s (%s): gradient of input %d, element %d is %.12g, the difference says %.12g", check->sample->op,
                     check->sample->what, (int)input, (int)i, gradient[i], expected);
        }
    }
}

/* A second sweep over the same activations gives the same bits. */
static void check_repeated(checker *check, mtl_tensor *root, double **gradients)
{
    double *again[SAMPLE_MAX_INPUTS];
    sweep(check, &root, 1);
    take_gradients(check, again);
    for (int32_t i = 0; i < check->count; i++) {
        if (again[i]) {
            assert_memory_equal(again[i], gradients[i], (size_t)check->inputs[i]->size * sizeof again[i][0]);
        }
    }
    free_gradients(check, again);
}

/* Where a gradient is there already, the operation adds to it: with Σ v x recorded after it, everything grows by v. A
 * few roundings of sums of the size of both terms: 16 ε. */
static void check_accumulated(checker *check, double **gradients)
{
    mtl_tensor *roots[SAMPLE_MAX_INPUTS + 1] = {record(check)};
    int32_t count = 1;
    for (int32_t i = 0; i < check->count; i++) {
        if (is_real(check->inputs[i])) {
            roots[count++] = mtl_sum(check->tape, mtl_mul(check->tape, check->inputs[i], check->others[i]));
        }
    }
    expect_tape(check);
    sweep(check, roots, count);
    double *sums[SAMPLE_MAX_INPUTS];
    take_gradients(check, sums);
    for (int32_t i = 0; i < check->count; i++) {
        for (int64_t k = 0; sums[i] && k < check->inputs[i]->size; k++) {
            double expected = gradients[i][k] + (double)((const mtli_real *)check->others[i]->data)[k];
            double size = 2 + fabs(gradients[i][k]) + check->scale;
            assert_near(sums[i][k], expected, 16 * MTLI_REAL_EPSILON * size);
        }
    }
    free_gradients(check, sums);
}

static void test_sample(void **state)
{
    checker check;
    begin_check(&check, *state);
    mtl_tensor *root = record(&check);
    sweep(&check, &root, 1);
    double *gradients[SAMPLE_MAX_INPUTS];
    take_gradients(&check, gradients);
    check_repeated(&check, root, gradients);
    check_accumulated(&check, gradients);
    for (int32_t i = 0; i < check.count; i++) {
        if (gradients[i]) {
            check_input(&check, i, gradients[i]);
        }
    }
    free_gradients(&check, gradients);
    end_check(&check);
}

/* ---- the table ---- */

/* Runs last. */
static void test_every_op_was_recorded(void **state)
{
    (void)state;
    int missing = 0;
    assert_in_range(mtli_num_ops, 1, MAX_OPS);
    for (int32_t i = 0; i < mtli_num_ops; i++) {
        if (!recorded[i]) {
            print_error("%s (row %d of ops.def) was recorded by no sample\n", mtli_ops[i]->name, (int)i + 1);
            missing++;
        }
    }
    assert_int_equal(missing, 0);
}

static size_t count_samples(void)
{
    size_t count = 0;
    for (const op_sample *const *family = sample_families; *family; family++) {
        for (const op_sample *row = *family; row->op; row++) {
            count++;
        }
    }
    return count;
}

enum { NAME_SIZE = 96 };

int main(void)
{
    size_t count = count_samples() + 1;
    struct CMUnitTest *tests = calloc(count, sizeof tests[0]);
    char(*names)[NAME_SIZE] = calloc(count, sizeof names[0]);
    if (!tests || !names) {
        return 1;
    }
    size_t n = 0;
    for (const op_sample *const *family = sample_families; *family; family++) {
        for (const op_sample *row = *family; row->op; row++, n++) {
            snprintf(names[n], NAME_SIZE, "%s: %s", row->op, row->what);
            tests[n] = (struct CMUnitTest){names[n], test_sample, NULL, NULL, (void *)(uintptr_t)row};
        }
    }
    tests[n] = (struct CMUnitTest){"every op was recorded", test_every_op_was_recorded, NULL, NULL, NULL};
    int failed = _cmocka_run_group_tests("gradcheck", tests, count, NULL, NULL);
    free(names);
    free(tests);
    return failed;
}
