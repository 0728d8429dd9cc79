/* SPDX-License-Identifier: Apache-2.0
 * Embedding, LSTM, reductions of sequences and custom operations, one by one: exact small results, and what each says to
 * bad input. */
#include "support/support_sequence.h"

#include <math.h>

#include "ops/lstm_order.h"
#include "ops/lstm_tokens.h"

/* A tape, and host tensors that end with it. */
typedef struct fixture {
    mtl_context *context;
    mtl_tape *tape;
    mtl_tensor *owned[64];
    int count;
} fixture;

static void begin(fixture *f, mtl_tape_mode mode)
{
    memset(f, 0, sizeof *f);
    f->context = test_context();
    assert_ok(f->context, mtl_tape_create(f->context, NULL, &f->tape));
    mtl_tape_reset(f->tape, mode);
}

static void end(fixture *f)
{
    mtl_tape_destroy(f->tape);
    for (int i = 0; i < f->count; i++) {
        mtl_tensor_release(f->owned[i]);
    }
    mtl_context_release(f->context);
}

static mtl_tensor *own(fixture *f, mtl_tensor *tensor)
{
    assert_non_null(tensor);
    f->owned[f->count++] = tensor;
    return tensor;
}

static mtl_tensor *real(fixture *f, int64_t rows, int64_t columns, const float *values)
{
    int64_t dims[] = {rows, columns};
    mtl_tensor *tensor = NULL;
    assert_ok(f->context, mtl_tensor_create(f->context, MTL_FLOAT32, 2, dims, &tensor));
    if (values) {
        assert_ok(f->context, mtl_tensor_write(tensor, MTL_FLOAT32, values, (size_t)(rows * columns)));
    }
    return own(f, tensor);
}

static mtl_tensor *vector(fixture *f, int64_t size)
{
    mtl_tensor *tensor = NULL;
    assert_ok(f->context, mtl_tensor_create(f->context, MTL_FLOAT32, 1, &size, &tensor));
    return own(f, tensor);
}

static mtl_tensor *ragged(fixture *f, int64_t rows, const int64_t *offsets, const int32_t *ids)
{
    mtl_tensor *tensor = NULL;
    assert_ok(f->context, mtl_tensor_create_ragged(f->context, rows, offsets, ids, &tensor));
    return own(f, tensor);
}

static void expect_values(fixture *f, const mtl_tensor *tensor, const float *expected, size_t n)
{
    float values[64];
    assert_true(n <= 64);
    assert_int_equal(mtl_tape_status(f->tape), MTL_OK);
    assert_ok(f->context, mtl_tensor_read(tensor, MTL_FLOAT32, values, n));
    assert_close(values, expected, n, 0, 0);
}

static void expect_error(fixture *f, const mtl_tensor *result, mtl_status status, const char *message)
{
    assert_non_null(result);
    if (mtl_tape_status(f->tape) != status || !strstr(mtl_tape_error(f->tape), message)) {
        fail_msg("%s: \"%s\", not %s: \"%s\"", mtl_status_name(mtl_tape_status(f->tape)), mtl_tape_error(f->tape),
                 mtl_status_name(status), message);
    }
    mtl_tape_reset(f->tape, MTL_TAPE_TRAIN);
}

/* ---- embedding ---- */

static const float table_values[] = {1, 2, 3, 4, 5, 6, 7, 8}; /* [4, 2] */

static void embedding_gathers_and_scatters(void **state)
{
    (void)state;
    fixture f;
    begin(&f, MTL_TAPE_TRAIN);
    const int64_t offsets[] = {0, 2, 2, 3};
    const int32_t ids[] = {3, 0, 3};
    mtl_tensor *table = real(&f, 4, 2, table_values);
    assert_ok(f.context, mtl_tape_watch(f.tape, table));
    mtl_tensor *y = mtl_embedding(f.tape, table, ragged(&f, 3, offsets, ids));
    expect_values(&f, y, (const float[]){7, 8, 1, 2, 7, 8}, 6);
    assert_int_equal(mtl_tensor_rows(y), 3);
    mtl_tensor *loss = sequence_dot(f.tape, y, real(&f, 3, 2, (const float[]){1, 2, 4, 8, 16, 32}));
    const double one = 1;
    assert_ok(f.context, mtli_sweep_run(f.tape, &loss, &one, 1, NULL));
    expect_values(&f, mtl_tape_gradient(f.tape, table), (const float[]){4, 8, 0, 0, 0, 0, 17, 34}, 8);
    end(&f);
}

static void embedding_takes_ids_of_any_shape(void **state)
{
    (void)state;
    fixture f;
    begin(&f, MTL_TAPE_INFER);
    mtl_tensor *table = real(&f, 4, 2, table_values);
    mtl_tensor *ids = NULL;
    assert_ok(f.context, mtl_tensor_create(f.context, MTL_INT32, 0, NULL, &ids));
    expect_values(&f, mtl_embedding(f.tape, table, own(&f, ids)), (const float[]){1, 2}, 2);
    const int64_t dims[] = {2, 1, 2};
    assert_ok(f.context, mtl_tensor_create(f.context, MTL_INT32, 3, dims, &ids));
    mtl_tensor *y = mtl_embedding(f.tape, table, own(&f, ids));
    assert_int_equal(mtl_tensor_ndim(y), 4);
    assert_int_equal(mtl_tensor_dim(y, 3), 2);
    end(&f);
}

static void embedding_says_what_is_wrong(void **state)
{
    (void)state;
    fixture f;
    begin(&f, MTL_TAPE_TRAIN);
    const int64_t offsets[] = {0, 3};
    mtl_tensor *table = real(&f, 4, 2, table_values);
    mtl_tensor *ids = ragged(&f, 1, offsets, (const int32_t[]){0, 1, 2});
    expect_error(&f, mtl_embedding(f.tape, table, ragged(&f, 1, offsets, (const int32_t[]){0, 4, 1})),
                 MTL_ERROR_ARGUMENT, "mtl_embedding: ids[1] = 4 is not in [0, 4)");
    expect_error(&f, mtl_embedding(f.tape, table, ragged(&f, 1, offsets, (const int32_t[]){0, 1, -7})),
                 MTL_ERROR_ARGUMENT, "ids[2] = -7 is not in [0, 4)");
    expect_error(&f, mtl_embedding(f.tape, table, table), MTL_ERROR_DTYPE, "ids is float32");
    expect_error(&f, mtl_embedding(f.tape, ids, ids), MTL_ERROR_DTYPE, "table is int32");
    expect_error(&f, mtl_embedding(f.tape, vector(&f, 3), ids), MTL_ERROR_SHAPE, "table has shape [3]");
    expect_error(&f, mtl_embedding(f.tape, NULL, ids), MTL_ERROR_ARGUMENT, "table is NULL");
    expect_error(&f, mtl_embedding(f.tape, table, NULL), MTL_ERROR_ARGUMENT, "ids is NULL");
    const int64_t dims[] = {1, 1, 1, 1};
    mtl_tensor *deep = NULL;
    assert_ok(f.context, mtl_tensor_create(f.context, MTL_INT32, 4, dims, &deep));
    expect_error(&f, mtl_embedding(f.tape, table, own(&f, deep)), MTL_ERROR_SHAPE, "ids has shape [1, 1, 1, 1]");
    assert_int_equal(mtl_tensor_size(mtl_embedding(NULL, table, ids)), 0);
    end(&f);
}

/* ---- reductions of sequences ---- */

/* Sequences of 2, 0, 3 and 1 rows of 2 features. */
static mtl_tensor *small_sequences(fixture *f, mtl_tensor **table)
{
    static const float values[] = {1, -2, 3, -4, 5, 60, 50, 6, 50, 60, 7, 8};
    static const int64_t offsets[] = {0, 2, 2, 5, 6};
    static const int32_t ids[] = {0, 1, 2, 3, 4, 5};
    *table = real(f, 6, 2, values);
    if (f->tape->mode == MTL_TAPE_TRAIN) {
        assert_ok(f->context, mtl_tape_watch(f->tape, *table));
    }
    return mtl_embedding(f->tape, *table, ragged(f, 4, offsets, ids));
}

typedef mtl_tensor *(*reduction)(mtl_tape *tape, mtl_tensor *x);

static mtl_tensor *last_of_all(mtl_tape *tape, mtl_tensor *x)
{
    return mtl_sequence_last(tape, x, 0);
}

static mtl_tensor *last_of_first(mtl_tape *tape, mtl_tensor *x)
{
    return mtl_sequence_last(tape, x, 1);
}

static mtl_tensor *last_of_both(mtl_tape *tape, mtl_tensor *x)
{
    return mtl_sequence_last(tape, x, 2);
}

static void check_reduction(reduction reduce, const float *expected, const float *expected_gradient)
{
    fixture f;
    mtl_tensor *table;
    begin(&f, MTL_TAPE_INFER);
    expect_values(&f, reduce(f.tape, small_sequences(&f, &table)), expected, 8);
    end(&f);
    begin(&f, MTL_TAPE_TRAIN);
    mtl_tensor *y = reduce(f.tape, small_sequences(&f, &table));
    expect_values(&f, y, expected, 8);
    assert_int_equal(mtl_tensor_rows(y), -1);
    mtl_tensor *loss = sequence_dot(f.tape, y, real(&f, 4, 2, (const float[]){1, 2, 4, 8, 12, 24, 64, 128}));
    const double one = 1;
    assert_ok(f.context, mtli_sweep_run(f.tape, &loss, &one, 1, NULL));
    expect_values(&f, mtl_tape_gradient(f.tape, table), expected_gradient, 12);
    end(&f);
}

static void last_takes_the_last_rows(void **state)
{
    (void)state;
    const float expected[] = {3, -4, 0, 0, 50, 60, 7, 8};
    const float gradient[] = {0, 0, 1, 2, 0, 0, 0, 0, 12, 24, 64, 128};
    check_reduction(last_of_all, expected, gradient);
    check_reduction(last_of_both, expected, gradient);
}

static void last_with_split_takes_the_reverse_half_from_the_first(void **state)
{
    (void)state;
    check_reduction(last_of_first, (const float[]){3, -2, 0, 0, 50, 60, 7, 8},
                    (const float[]){0, 2, 1, 0, 0, 24, 0, 0, 12, 0, 64, 128});
}

static void mean_divides_by_the_length(void **state)
{
    (void)state;
    /* 12 * (1 / 3.0f) is 4: 1 / 3.0f is too large by a third of an ulp, which the rounding of the product removes. */
    check_reduction(mtl_sequence_mean, (const float[]){2, -3, 0, 0, 35, 42, 7, 8},
                    (const float[]){0.5f, 1, 0.5f, 1, 4, 8, 4, 8, 4, 8, 64, 128});
}

static void max_gives_the_gradient_to_the_first_of_equals(void **state)
{
    (void)state;
    check_reduction(mtl_sequence_max, (const float[]){3, -2, 0, 0, 50, 60, 7, 8},
                    (const float[]){0, 2, 1, 0, 0, 24, 12, 0, 0, 0, 64, 128});
}

static void max_keeps_nan(void **state)
{
    (void)state;
    fixture f;
    begin(&f, MTL_TAPE_TRAIN);
    const int64_t offsets[] = {0, 3};
    mtl_tensor *table = real(&f, 3, 2, (const float[]){1, NAN, NAN, 2, 3, 3});
    assert_ok(f.context, mtl_tape_watch(f.tape, table));
    mtl_tensor *x = mtl_embedding(f.tape, table, ragged(&f, 1, offsets, (const int32_t[]){0, 1, 2}));
    mtl_tensor *y = mtl_sequence_max(f.tape, x);
    expect_values(&f, y, (const float[]){NAN, NAN}, 2);
    mtl_tensor *loss = sequence_dot(f.tape, y, real(&f, 1, 2, (const float[]){1, 2}));
    const double one = 1;
    assert_ok(f.context, mtli_sweep_run(f.tape, &loss, &one, 1, NULL));
    expect_values(&f, mtl_tape_gradient(f.tape, table), (const float[]){0, 2, 1, 0, 0, 0}, 6);
    end(&f);
}

static void reductions_say_what_is_wrong(void **state)
{
    (void)state;
    fixture f;
    begin(&f, MTL_TAPE_TRAIN);
    mtl_tensor *flat = real(&f, 2, 2, NULL);
    mtl_tensor *ids = ragged(&f, 1, (const int64_t[]){0, 1}, (const int32_t[]){0});
    mtl_tensor *table;
    const reduction all[] = {last_of_all, mtl_sequence_mean, mtl_sequence_max};
    const char *const names[] = {"mtl_sequence_last", "mtl_sequence_mean", "mtl_sequence_max"};
    for (int i = 0; i < 3; i++) {
        char message[64];
        snprintf(message, sizeof message, "%s: x has shape [2, 2], without row offsets", names[i]);
        expect_error(&f, all[i](f.tape, flat), MTL_ERROR_SHAPE, message);
        expect_error(&f, all[i](f.tape, ids), MTL_ERROR_DTYPE, "x is int32");
        expect_error(&f, all[i](f.tape, NULL), MTL_ERROR_ARGUMENT, "x is NULL");
    }
    expect_error(&f, mtl_sequence_last(f.tape, small_sequences(&f, &table), -1), MTL_ERROR_ARGUMENT, "split = -1");
    expect_error(&f, mtl_sequence_last(f.tape, small_sequences(&f, &table), 3), MTL_ERROR_ARGUMENT,
                 "split = 3 is not in [0, 2]");
    end(&f);
}

/* ---- LSTM ---- */

static mtl_lstm_weights small_weights(fixture *f, int64_t in, int64_t hidden)
{
    mtl_lstm_weights weights = {real(f, 4 * hidden, in, NULL), real(f, 4 * hidden, hidden, NULL),
                                vector(f, 4 * hidden), vector(f, 4 * hidden)};
    return weights;
}

/* With weights of zero and biases b_ih + b_hh = 0 except for the candidate (1): i = f = o = 1/2, g = tanh 1, so
 * c_t = c_{t-1} / 2 + g / 2 and h_t = tanh(c_t) / 2. */
static void lstm_follows_its_recurrence(void **state)
{
    (void)state;
    fixture f;
    begin(&f, MTL_TAPE_INFER);
    mtl_lstm_weights weights = small_weights(&f, 2, 1);
    ((mtli_real *)weights.bias_ih->data)[2] = 0.25f;
    ((mtli_real *)weights.bias_hh->data)[2] = 0.75f;
    mtl_tensor *table;
    mtl_tensor *h = mtl_lstm(f.tape, small_sequences(&f, &table), &weights, 1, 0, 0);
    const int step[] = {1, 2, 1, 2, 3, 1};
    float values[6];
    assert_ok(f.context, mtl_tensor_read(h, MTL_FLOAT32, values, 6));
    assert_int_equal(mtl_tensor_rows(h), 4);
    for (int t = 0; t < 6; t++) {
        double c = 0;
        for (int k = 0; k < step[t]; k++) {
            c = c / 2 + tanh(1) / 2;
        }
        /* Ten roundings of numbers below 1, and tanh to 3 ulp. */
        assert_near(values[t], tanh(c) / 2, 16 * (double)MTLI_REAL_EPSILON);
    }
    end(&f);
}

static void nan_weights_propagate(void **state)
{
    (void)state;
    fixture f;
    begin(&f, MTL_TAPE_TRAIN);
    mtl_lstm_weights weights = small_weights(&f, 2, 3);
    ((mtli_real *)weights.weight_hh->data)[0] = NAN;
    mtl_tensor *table;
    mtl_tensor *h = mtl_lstm(f.tape, small_sequences(&f, &table), &weights, 1, 0, 0);
    mtl_tensor *loss = sequence_dot(f.tape, h, real(&f, 6, 3, NULL));
    const double one = 1;
    assert_ok(f.context, mtli_sweep_run(f.tape, &loss, &one, 1, NULL));
    float values[18];
    assert_ok(f.context, mtl_tensor_read(h, MTL_FLOAT32, values, 18));
    assert_true(values[0] == 0);    /* first step: there is no state yet */
    assert_true(isnan(values[3]));  /* second step of the first sequence */
    assert_true(values[15] == 0);   /* another sequence */
    end(&f);
}

static void lstm_says_what_is_wrong(void **state)
{
    (void)state;
    fixture f;
    begin(&f, MTL_TAPE_TRAIN);
    mtl_tensor *table;
    mtl_lstm_weights good = small_weights(&f, 2, 3);
    mtl_lstm_weights weights[2] = {good, good};
    mtl_tensor *x = small_sequences(&f, &table);
#define EXPECT(layers, both, dropout, status, message) \
    expect_error(&f, mtl_lstm(f.tape, small_sequences(&f, &table), weights, layers, both, dropout), status, message)
    assert_int_equal(mtl_tensor_dim(mtl_lstm(f.tape, x, weights, 1, 1, 0), 1), 6);
    EXPECT(0, 0, 0, MTL_ERROR_ARGUMENT, "mtl_lstm: layers = 0 is not 1 or more");
    EXPECT(1, 0, 1, MTL_ERROR_ARGUMENT, "dropout = 1 is not in [0, 1)");
    EXPECT(1, 0, (double)NAN, MTL_ERROR_ARGUMENT, "dropout = ");
    EXPECT(2, 0, 0, MTL_ERROR_SHAPE, "weights[1].weight_ih has shape [12, 2], expected [12, 3]");
    weights[1].weight_hh = good.weight_ih;
    EXPECT(1, 1, 0, MTL_ERROR_SHAPE, "weights[1].weight_hh has shape [12, 2], expected [12, 3]");
    weights[1].weight_hh = NULL;
    EXPECT(1, 1, 0, MTL_ERROR_ARGUMENT, "weights[1].weight_hh is NULL");
    weights[0].bias_hh = vector(&f, 11);
    EXPECT(1, 0, 0, MTL_ERROR_SHAPE, "weights[0].bias_hh has shape [11], expected [12]");
    weights[0] = good;
    weights[0].bias_ih = ragged(&f, 1, (const int64_t[]){0, 12}, NULL);
    EXPECT(1, 0, 0, MTL_ERROR_DTYPE, "weights[0].bias_ih is int32");
    weights[0] = good;
    weights[0].weight_hh = real(&f, 12, 0, NULL);
    EXPECT(1, 0, 0, MTL_ERROR_SHAPE, "the last sizes must be 1 or more");
#undef EXPECT
    expect_error(&f, mtl_lstm(f.tape, small_sequences(&f, &table), NULL, 1, 0, 0), MTL_ERROR_ARGUMENT,
                 "weights is NULL");
    expect_error(&f, mtl_lstm(f.tape, real(&f, 3, 2, NULL), &good, 1, 0, 0), MTL_ERROR_SHAPE, "without row offsets");
    expect_error(&f, mtl_lstm(f.tape, NULL, &good, 1, 0, 0), MTL_ERROR_ARGUMENT, "x is NULL");
    mtl_tensor *ids = ragged(&f, 1, (const int64_t[]){0, 2}, (const int32_t[]){1, 6});
    table = real(&f, 6, 2, NULL);
    expect_error(&f, mtli_lstm_of_tokens(f.tape, table, ids, &good, 1, 0, 0), MTL_ERROR_ARGUMENT,
                 "ids[1] = 6 is not in [0, 6)");
    expect_error(&f, mtli_lstm_of_tokens(f.tape, table, table, &good, 1, 0, 0), MTL_ERROR_DTYPE, "ids is float32");
    assert_int_equal(mtl_tensor_size(mtl_lstm(NULL, x, &good, 1, 0, 0)), 0);
    end(&f);
}

/* One tensor may stand in several places: its gradient is the sum. */
static void shared_weights_get_the_sum(void **state)
{
    (void)state;
    fixture f;
    float separate[2][36];
    float shared[36];
    const double one = 1;
    for (int share = 0; share <= 1; share++) {
        mtl_tensor *table;
        begin(&f, MTL_TAPE_TRAIN);
        mtl_lstm_weights weights[2];
        for (int d = 0; d < 2; d++) {
            weights[d] = small_weights(&f, 2, 3);
            weights[d].weight_hh = own(&f, sequence_tensor(f.context, 2, (const int64_t[]){12, 3}, 5, 0.5));
            weights[d].weight_ih = own(&f, sequence_tensor(f.context, 2, (const int64_t[]){12, 2}, 6, 0.5));
        }
        weights[1].weight_hh = share ? weights[0].weight_hh : weights[1].weight_hh;
        assert_ok(f.context, mtl_tape_watch(f.tape, weights[0].weight_hh));
        assert_ok(f.context, mtl_tape_watch(f.tape, weights[1].weight_hh));
        mtl_tensor *h = mtl_lstm(f.tape, small_sequences(&f, &table), weights, 1, 1, 0);
        mtl_tensor *loss = sequence_dot(f.tape, h, own(&f, sequence_tensor(f.context, 2, (const int64_t[]){6, 6}, 7, 1)));
        assert_ok(f.context, mtli_sweep_run(f.tape, &loss, &one, 1, NULL));
        for (int d = 0; d < 2 - share; d++) {
            assert_ok(f.context, mtl_tensor_read(mtl_tape_gradient(f.tape, weights[d].weight_hh), MTL_FLOAT32,
                                                 share ? shared : separate[d], 36));
        }
        end(&f);
    }
    for (int i = 0; i < 36; i++) {
        /* The second direction adds to the first in place: the order of 4 products is another. */
        assert_near(shared[i], (double)separate[0][i] + (double)separate[1][i], 8 * (double)MTLI_REAL_EPSILON);
    }
}

/* ---- distinct tokens ---- */

static void distinct_tokens_are_found(void **state)
{
    (void)state;
    fixture f;
    begin(&f, MTL_TAPE_INFER);
    mtli_call call = {.tape = f.tape};
    enum { N = 3000 };
    int32_t ids[N];
    for (int32_t i = 0; i < N; i++) {
        ids[i] = (int32_t)((uint32_t)i * (uint32_t)i % 1009u * 2000003u & 0x7fffffffu); /* 505 distinct squares */
    }
    mtli_lstm_tokens tokens;
    assert_ok(f.context, mtli_lstm_tokens_find(&call, ids, N, &tokens));
    assert_int_equal(tokens.count, 505);
    int32_t next = 0;
    for (int32_t i = 0; i < N; i++) {
        assert_true(tokens.rows[i] >= 0 && tokens.rows[i] <= next); /* in order of first occurrence */
        next += tokens.rows[i] == next;
        assert_int_equal(tokens.ids[tokens.rows[i]], ids[i]);
    }
    assert_int_equal(next, 505);
    assert_ok(f.context, mtli_lstm_tokens_find(&call, ids, 600, &tokens)); /* 505 of 600 do not pay */
    assert_int_equal(tokens.count, -1);
    assert_ok(f.context, mtli_lstm_tokens_find(&call, ids, 0, &tokens));
    assert_int_equal(tokens.count, -1);
    end(&f);
}

/* ---- order ---- */

static void order_is_stable_and_descending(void **state)
{
    (void)state;
    fixture f;
    begin(&f, MTL_TAPE_INFER);
    mtli_call call = {.tape = f.tape};
    const int64_t offsets[] = {0, 2, 2, 5, 7, 7, 8}; /* lengths 2 0 3 2 0 1 */
    const mtli_ragged shape = {6, offsets};
    mtli_lstm_order order;
    assert_ok(f.context, mtli_lstm_order_make(&call, &shape, &order));
    assert_int_equal(order.sequences, 4);
    assert_int_equal(order.steps, 3);
    assert_int_equal(order.tokens, 8);
    assert_memory_equal(order.row, ((const int64_t[]){2, 0, 3, 5}), 4 * sizeof(int64_t));
    assert_memory_equal(order.step_offsets, ((const int64_t[]){0, 4, 7, 8}), 4 * sizeof(int64_t));
    const int32_t from[] = {0, 1, 2, 3, 4, 5, 6, 7};
    int32_t to[8];
    mtli_lstm_view view = {&order, {0, 1}, false};
    mtli_lstm_pack_int32(view, from, to);
    assert_memory_equal(to, ((const int32_t[]){2, 0, 5, 7, 3, 1, 6, 4}), sizeof to);
    view.reverse = true;
    mtli_lstm_pack_int32(view, from, to);
    assert_memory_equal(to, ((const int32_t[]){4, 1, 6, 7, 3, 0, 5, 2}), sizeof to);
    end(&f);
}

/* ---- memory ---- */

static mtl_status lstm_scenario(mtl_context *context, void *user)
{
    sequence_result result;
    mtl_status status = sequence_run(context, user, &result);
    sequence_free(&result);
    return status;
}

static void every_failing_allocation_is_survived(void **state)
{
    (void)state;
    static const int64_t length[] = {40, 0, 25, 40};
    for (int k = 0; k < 2; k++) {
        sequence_case c = {.input = 40, .hidden = 50, .layers = 2, .bidirectional = 1, .rows = 4, .length = length,
                           .vocabulary = 30, .of_tokens = k};
        test_each_allocation_failing(lstm_scenario, &c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embedding_gathers_and_scatters),
        cmocka_unit_test(embedding_takes_ids_of_any_shape),
        cmocka_unit_test(embedding_says_what_is_wrong),
        cmocka_unit_test(last_takes_the_last_rows),
        cmocka_unit_test(last_with_split_takes_the_reverse_half_from_the_first),
        cmocka_unit_test(mean_divides_by_the_length),
        cmocka_unit_test(max_gives_the_gradient_to_the_first_of_equals),
        cmocka_unit_test(max_keeps_nan),
        cmocka_unit_test(reductions_say_what_is_wrong),
        cmocka_unit_test(lstm_follows_its_recurrence),
        cmocka_unit_test(nan_weights_propagate),
        cmocka_unit_test(lstm_says_what_is_wrong),
        cmocka_unit_test(shared_weights_get_the_sum),
        cmocka_unit_test(distinct_tokens_are_found),
        cmocka_unit_test(order_is_stable_and_descending),
        cmocka_unit_test(every_failing_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
