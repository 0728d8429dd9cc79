/* SPDX-License-Identifier: Apache-2.0
 * Samples of the product along a mode, and of networks whose weights are composed with it: the gradients go to the
 * factors of all tasks that ran on the tape. */
#include <string.h>

#include <mtl/factorized.h>
#include <mtl/ops.h>

#include "ops/mode_product.h"
#include "samples.h"
#include "support/support.h"

/* ---- the operation ---- */

static mtl_tensor *run_middle(mtl_tape *tape, mtl_tensor *const *in)
{
    const int64_t dims[] = {2, 5, 4};
    mtli_shape shape = mtli_make_shape(MTLI_DTYPE_REAL, 3, dims);
    return mtli_mode_product(tape, in[0], in[1], 2, MTLI_ALL_ROWS, &shape);
}

static mtl_tensor *run_first(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtli_mode_product(tape, in[0], in[1], 1, MTLI_ALL_ROWS, NULL);
}

static mtl_tensor *run_last(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtli_mode_product(tape, in[0], in[1], 8, MTLI_ALL_ROWS, NULL);
}

static mtl_tensor *run_row_of_first(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtli_mode_product(tape, in[0], in[1], 1, 2, NULL);
}

static mtl_tensor *run_row_of_middle(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtli_mode_product(tape, in[0], in[1], 2, 0, NULL);
}

static mtl_tensor *run_row_of_last(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtli_mode_product(tape, in[0], in[1], 8, 1, NULL);
}

static mtl_tensor *run_with_itself(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_add(tape, mtli_mode_product(tape, in[0], in[0], 1, MTLI_ALL_ROWS, NULL),
                   mtl_mul(tape, mtli_mode_product(tape, in[0], in[0], 3, MTLI_ALL_ROWS, NULL),
                           mtl_concat(tape,
                                      (mtl_tensor *[]){mtli_mode_product(tape, in[0], in[0], 1, 0, NULL),
                                                       mtli_mode_product(tape, in[0], in[0], 3, 2, NULL),
                                                       mtli_mode_product(tape, in[0], in[0], 1, 1, NULL)},
                                      3)));
}

/* ---- encoders and heads ---- */

enum { TASKS = 3, RANK = 2 };

static const int64_t offsets[] = {0, 2, 2, 6};
static const int32_t ids[] = {3, 1, 4, 1, 0, 2};

#define IDS \
    { \
        .kind = SAMPLE_INT, .ndim = 1, .dims = {6}, .values = ids, .rows = 3, .offsets = offsets \
    }

/* The harness sets the seed, so the networks are the same every time. */
static mtl_encoder *make_factorized(mtl_context *context, int32_t kind)
{
    mtl_encoder *networks[TASKS];
    mtl_encoder *encoder = NULL;
    mtl_lstm_options lstm = MTL_LSTM_OPTIONS_INIT;
    lstm.vocabulary_size = 5;
    lstm.embedding_dim = 3;
    lstm.hidden_dim = 2;
    for (int t = 0; t < TASKS; t++) {
        assert_ok(context, mtl_encoder_create_lstm(context, &lstm, &networks[t]));
    }
    mtl_factorized_options options = MTL_FACTORIZED_OPTIONS_INIT;
    options.kind = kind;
    options.relative_error = 0;
    options.max_rank = RANK;
    options.shared = "embedding.*";
    assert_ok(context, mtl_encoder_create_factorized(networks, TASKS, &options, &encoder));
    for (int t = 0; t < TASKS; t++) {
        mtl_encoder_release(networks[t]);
    }
    return encoder;
}

/* in[0] are token ids, the others stand for the factors in their order. Two tasks on one tape, one of them twice. */
static mtl_tensor *run_encoder(mtl_tape *tape, mtl_tensor *const *in, int32_t kind, const char *const *names)
{
    mtl_context *context = in[0]->context;
    mtl_encoder *encoder = make_factorized(context, kind);
    for (int k = 0; names[k]; k++) {
        assert_ok(context, mtl_tape_bind(tape, mtl_encoder_parameter(encoder, names[k]), in[k + 1]));
    }
    mtl_tensor *y = mtl_encoder_forward_task(encoder, tape, 2, in[0]);
    y = mtl_add(tape, y, mtl_tanh(tape, mtl_encoder_forward_task(encoder, tape, 0, in[0])));
    y = mtl_add(tape, y, mtl_scale(tape, mtl_encoder_forward_task(encoder, tape, 2, in[0]), 0.5));
    mtl_encoder_release(encoder); /* the tape keeps what it needs */
    return y;
}

static mtl_tensor *run_laf(mtl_tape *tape, mtl_tensor *const *in)
{
    static const char *const names[] = {"lstm.weight_ih_l0.basis", "lstm.weight_ih_l0.tasks", "lstm.weight_hh_l0.basis",
                                        "lstm.weight_hh_l0.tasks", NULL};
    return run_encoder(tape, in, MTL_FACTORIZATION_LAF, names);
}

static mtl_tensor *run_tucker(mtl_tape *tape, mtl_tensor *const *in)
{
    static const char *const names[] = {
        "lstm.weight_ih_l0.core", "lstm.weight_ih_l0.mode0", "lstm.weight_ih_l0.mode1", "lstm.weight_ih_l0.tasks",
        "lstm.weight_hh_l0.core", "lstm.weight_hh_l0.mode0", "lstm.weight_hh_l0.tasks", NULL};
    return run_encoder(tape, in, MTL_FACTORIZATION_TUCKER, names);
}

static mtl_tensor *run_train(mtl_tape *tape, mtl_tensor *const *in)
{
    static const char *const names[] = {"lstm.weight_ih_l0.core0",
                                        "lstm.weight_ih_l0.core1",
                                        "lstm.weight_ih_l0.tasks",
                                        "lstm.weight_hh_l0.core0",
                                        "lstm.weight_hh_l0.core1",
                                        "lstm.weight_hh_l0.tasks",
                                        NULL};
    return run_encoder(tape, in, MTL_FACTORIZATION_TENSOR_TRAIN, names);
}

/* in[0] are features; the hidden layer is factorized with its bias, the last layer belongs to each task. */
static mtl_tensor *run_head(mtl_tape *tape, mtl_tensor *const *in)
{
    static const char *const names[] = {"hidden.weight.core",  "hidden.weight.mode0", "hidden.weight.mode1",
                                        "hidden.weight.tasks", "hidden.bias.core",    "hidden.bias.mode0",
                                        "hidden.bias.tasks"};
    mtl_context *context = in[0]->context;
    mtl_head *networks[TASKS];
    mtl_head *head = NULL;
    mtl_head_options options = MTL_HEAD_OPTIONS_INIT;
    options.hidden_dim = 4;
    options.activation = MTL_ACTIVATION_TANH;
    for (int t = 0; t < TASKS; t++) {
        assert_ok(context, mtl_head_create_regressor(context, 3, 2, &options, &networks[t]));
    }
    mtl_factorized_options factorized = MTL_FACTORIZED_OPTIONS_INIT;
    factorized.kind = MTL_FACTORIZATION_TUCKER;
    factorized.relative_error = 0;
    factorized.max_rank = RANK;
    factorized.parameters = "hidden.*";
    assert_ok(context, mtl_head_create_factorized(networks, TASKS, &factorized, &head));
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        assert_ok(context, mtl_tape_bind(tape, mtl_head_parameter(head, names[k]), in[k + 1]));
    }
    mtl_tensor *y =
        mtl_add(tape, mtl_head_forward_task(head, tape, 1, in[0]), mtl_head_forward_task(head, tape, 0, in[0]));
    for (int t = 0; t < TASKS; t++) {
        mtl_head_release(networks[t]);
    }
    mtl_head_release(head);
    return y;
}

const op_sample samples_factorized[] = {
    {"mode_product", "a mode in the middle", run_middle, {REAL(2, 3, 4), REAL(5, 3)}},
    {"mode_product", "the first mode", run_first, {REAL(3, 8), REAL(5, 3)}},
    {"mode_product", "the last mode", run_last, {REAL(4, 2, 3), REAL(5, 3)}},
    {"mode_product", "a factor of three dimensions", run_first, {REAL(3, 4), REAL(2, 5, 3)}},
    {"mode_product", "a row, first mode", run_row_of_first, {REAL(3, 8), REAL(5, 3)}},
    {"mode_product", "a row, middle mode", run_row_of_middle, {REAL(2, 3, 4), REAL(5, 3)}},
    {"mode_product", "a row, last mode", run_row_of_last, {REAL(8, 3), REAL(5, 3)}},
    {"mode_product", "a row, rank 1", run_row_of_first, {REAL(1, 8), REAL(5, 1)}},
    {"mode_product", "one tensor as both", run_with_itself, {REAL(3, 3)}},
    {"mode_product",
     "LAF encoder",
     run_laf,
     {IDS, REAL(RANK, 8, 3), REAL(TASKS, RANK), REAL(RANK, 8, 2), REAL(TASKS, RANK)}},
    {"mode_product",
     "Tucker encoder",
     run_tucker,
     {IDS, REAL(RANK, RANK, RANK), REAL(8, RANK), REAL(3, RANK), REAL(TASKS, RANK), REAL(RANK, RANK, 2), REAL(8, RANK),
      REAL(TASKS, RANK)}},
    {"mode_product",
     "tensor-train encoder",
     run_train,
     {IDS, REAL(8, RANK), REAL(RANK, 3, RANK), REAL(TASKS, RANK), REAL(8, RANK), REAL(RANK, 2, RANK),
      REAL(TASKS, RANK)}},
    {"mode_product",
     "Tucker head",
     run_head,
     {REAL(4, 3), REAL(RANK, RANK, RANK), REAL(4, RANK), REAL(3, RANK), REAL(TASKS, RANK), REAL(RANK, RANK),
      REAL(4, RANK), REAL(TASKS, RANK)}},
    {NULL, NULL, NULL, {{SAMPLE_END}}},
};
