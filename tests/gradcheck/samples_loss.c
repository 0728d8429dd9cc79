/* SPDX-License-Identifier: Apache-2.0
 * Samples of the losses, with missing labels, weights and smoothing. Targets and weights are differentiated too. */
#include <mtl/loss.h>
#include <mtl/ops.h>

#include "samples.h"

static const int32_t labels[] = {2, 0, 1, 2, 1};
static const int32_t some_labels[] = {2, -1, 1, -1, 1};
static const int32_t no_labels[] = {-1, -1, -1, -1, -1};

#define LABELS(count, list) \
    { .kind = SAMPLE_INT, .ndim = 1, .dims = {count}, .values = list }
#define WEIGHTS(...) \
    { .kind = SAMPLE_REAL, .ndim = 1, .dims = {__VA_ARGS__}, .low = 0.5, .high = 2 }
/* targets of binary labels, away from the ends so that the differences stay inside */
#define TARGETS(mask, ...) \
    { .kind = SAMPLE_REAL, .ndim = SAMPLE_COUNT(__VA_ARGS__), .dims = {__VA_ARGS__}, .low = 0.05, .high = 0.95, \
      .missing = mask }
#define VALUES(mask, ...) \
    { .kind = SAMPLE_REAL, .ndim = SAMPLE_COUNT(__VA_ARGS__), .dims = {__VA_ARGS__}, .low = -2, .high = 2, \
      .missing = mask }

static mtl_tensor *run_cross_entropy(mtl_tape *tape, mtl_tensor *const *in)
{
    mtl_cross_entropy_options options = MTL_CROSS_ENTROPY_OPTIONS_INIT;
    options.class_weights = in[2];
    return mtl_cross_entropy(tape, in[0], in[1], &options);
}

static mtl_tensor *run_smoothed(mtl_tape *tape, mtl_tensor *const *in)
{
    mtl_cross_entropy_options options = MTL_CROSS_ENTROPY_OPTIONS_INIT;
    options.class_weights = in[2];
    options.label_smoothing = 0.2;
    return mtl_cross_entropy(tape, in[0], in[1], &options);
}

static mtl_tensor *run_binary(mtl_tape *tape, mtl_tensor *const *in)
{
    mtl_binary_cross_entropy_options options = MTL_BINARY_CROSS_ENTROPY_OPTIONS_INIT;
    options.positive_weights = in[2];
    return mtl_binary_cross_entropy(tape, in[0], in[1], &options);
}

static mtl_tensor *run_squared(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_mean_squared_error(tape, in[0], in[1]);
}

static mtl_tensor *run_huber(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_huber(tape, in[0], in[1], 0.7);
}

static mtl_tensor *run_orthogonality(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_orthogonality(tape, in[0], in[1], NULL);
}

static mtl_tensor *run_mean_orthogonality(mtl_tape *tape, mtl_tensor *const *in)
{
    mtl_orthogonality_options options = MTL_ORTHOGONALITY_OPTIONS_INIT;
    options.mean = 1;
    return mtl_orthogonality(tape, in[0], in[1], &options);
}

static mtl_tensor *run_centered(mtl_tape *tape, mtl_tensor *const *in)
{
    mtl_orthogonality_options options = MTL_ORTHOGONALITY_OPTIONS_INIT;
    options.center = 1;
    return mtl_orthogonality(tape, in[0], in[1], &options);
}

static mtl_tensor *run_normalized(mtl_tape *tape, mtl_tensor *const *in)
{
    mtl_orthogonality_options options = MTL_ORTHOGONALITY_OPTIONS_INIT;
    options.normalize = 1;
    return mtl_orthogonality(tape, in[0], in[1], &options);
}

static mtl_tensor *run_difference(mtl_tape *tape, mtl_tensor *const *in)
{
    mtl_orthogonality_options options = MTL_ORTHOGONALITY_OPTIONS_INIT;
    options.center = options.normalize = options.mean = 1;
    return mtl_orthogonality(tape, in[0], in[1], &options);
}

static mtl_tensor *run_with_itself(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_add(tape, mtl_orthogonality(tape, in[0], in[0], NULL), mtl_cosine_similarity(tape, in[0], in[0], NULL));
}

static mtl_tensor *run_cosine(mtl_tape *tape, mtl_tensor *const *in)
{
    mtl_cosine_similarity_options options = MTL_COSINE_SIMILARITY_OPTIONS_INIT;
    options.squared = 0;
    return mtl_cosine_similarity(tape, in[0], in[1], &options);
}

static mtl_tensor *run_squared_cosine(mtl_tape *tape, mtl_tensor *const *in)
{
    return mtl_cosine_similarity(tape, in[0], in[1], NULL);
}

const op_sample samples_loss[] = {
    {"mtl_cross_entropy", "plain", run_cross_entropy, {REAL(5, 3), LABELS(5, labels)}},
    {"mtl_cross_entropy", "weights", run_cross_entropy, {REAL(5, 3), LABELS(5, labels), WEIGHTS(3)}},
    {"mtl_cross_entropy", "smoothing", run_smoothed, {REAL(5, 3), LABELS(5, labels)}},
    {"mtl_cross_entropy", "weights, smoothing", run_smoothed, {REAL(5, 3), LABELS(5, labels), WEIGHTS(3)}},
    {"mtl_cross_entropy", "missing", run_smoothed, {REAL(5, 3), LABELS(5, some_labels), WEIGHTS(3)}},
    {"mtl_cross_entropy", "all missing", run_smoothed, {REAL(5, 3), LABELS(5, no_labels), WEIGHTS(3)}},
    {"mtl_cross_entropy", "no rows", run_cross_entropy, {REAL(0, 3), LABELS(0, labels)}},
    {"mtl_cross_entropy", "wide", run_smoothed, {REAL(2, 600), LABELS(2, labels)}},
    {"mtl_binary_cross_entropy", "plain", run_binary, {VALUES(0, 4, 3), TARGETS(0, 4, 3)}},
    {"mtl_binary_cross_entropy", "weights", run_binary, {VALUES(0, 4, 3), TARGETS(0, 4, 3), WEIGHTS(3)}},
    {"mtl_binary_cross_entropy", "missing", run_binary, {VALUES(0, 4, 3), TARGETS(0x25, 4, 3), WEIGHTS(3)}},
    {"mtl_binary_cross_entropy", "all missing", run_binary, {VALUES(0, 1, 3), TARGETS(7, 1, 3), WEIGHTS(3)}},
    {"mtl_binary_cross_entropy", "no rows", run_binary, {VALUES(0, 0, 3), TARGETS(0, 0, 3), WEIGHTS(3)}},
    {"mtl_binary_cross_entropy", "many", run_binary, {VALUES(0, 100, 3), TARGETS(0, 100, 3), WEIGHTS(3)}},
    {"mtl_mean_squared_error", "matrix", run_squared, {VALUES(0, 4, 3), VALUES(0, 4, 3)}},
    {"mtl_mean_squared_error", "missing", run_squared, {VALUES(0, 4, 3), VALUES(0x81, 4, 3)}},
    {"mtl_mean_squared_error", "all missing", run_squared, {VALUES(0, 3), VALUES(7, 3)}},
    {"mtl_mean_squared_error", "scalar", run_squared, {SCALAR, SCALAR}},
    {"mtl_mean_squared_error", "no rows", run_squared, {VALUES(0, 0, 3), VALUES(0, 0, 3)}},
    {"mtl_huber", "matrix", run_huber, {VALUES(0, 6, 3), VALUES(0, 6, 3)}},
    {"mtl_huber", "missing", run_huber, {VALUES(0, 4, 3), VALUES(0x81, 4, 3)}},
    {"mtl_huber", "all missing", run_huber, {VALUES(0, 3), VALUES(7, 3)}},
    {"mtl_huber", "no rows", run_huber, {VALUES(0, 0, 3), VALUES(0, 0, 3)}},
    {"mtl_orthogonality", "plain", run_orthogonality, {REAL(5, 3), REAL(5, 4)}},
    {"mtl_orthogonality", "mean", run_mean_orthogonality, {REAL(5, 3), REAL(5, 4)}},
    {"mtl_orthogonality", "centered", run_centered, {REAL(5, 3), REAL(5, 4)}},
    {"mtl_orthogonality", "normalized", run_normalized, {REAL(5, 3), REAL(5, 4)}},
    {"mtl_orthogonality", "all options", run_difference, {REAL(5, 3), REAL(5, 4)}},
    {"mtl_orthogonality", "few rows", run_orthogonality, {REAL(3, 20), REAL(3, 24)}},
    {"mtl_orthogonality", "few rows, centered", run_centered, {REAL(3, 20), REAL(3, 24)}},
    {"mtl_orthogonality", "few rows, all options", run_difference, {REAL(3, 20), REAL(3, 24)}},
    {"mtl_orthogonality", "with itself", run_with_itself, {REAL(4, 3)}},
    {"mtl_orthogonality", "no rows", run_difference, {REAL(0, 3), REAL(0, 4)}},
    {"mtl_cosine_similarity", "squared", run_squared_cosine, {REAL(5, 3), REAL(5, 3)}},
    {"mtl_cosine_similarity", "plain", run_cosine, {REAL(2, 3, 4), REAL(2, 3, 4)}},
    {"mtl_cosine_similarity", "one row", run_cosine, {REAL(7), REAL(7)}},
    {"mtl_cosine_similarity", "no rows", run_squared_cosine, {REAL(0, 3), REAL(0, 3)}},
    {NULL, NULL, NULL, {{SAMPLE_END}}},
};
