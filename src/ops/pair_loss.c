/* SPDX-License-Identifier: Apache-2.0
 * The mean of a loss over elements with targets. Partial sums are of fixed pieces, added in order. */
#include "ops/pair_loss.h"

#include <string.h>

#include "ops/infer.h"
#include "ops/parallel.h"

mtl_status mtli_pair_infer(const mtli_call *call, mtli_shape *shape)
{
    mtl_status status = mtli_infer_scalar(call, shape);
    if (status == MTL_OK) {
        status = mtli_expect_real(call, MTLI_PAIR_TARGETS);
    }
    const mtl_tensor *values = call->inputs[MTLI_PAIR_VALUES];
    const mtl_tensor *targets = call->inputs[MTLI_PAIR_TARGETS];
    if (status == MTL_OK && !mtli_same_dims(&values->shape, &targets->shape)) {
        status = mtli_fail_shapes(call, MTLI_PAIR_VALUES, MTLI_PAIR_TARGETS, "they must be equal");
    }
    return status;
}

mtli_pairs mtli_pair_inputs(const mtli_call *call)
{
    mtli_pairs pairs = {.kernels = mtli_call_kernels(call),
                        .values = mtli_input_real(call, MTLI_PAIR_VALUES),
                        .targets = mtli_input_real(call, MTLI_PAIR_TARGETS)};
    return pairs;
}

/* Pieces keep their results in different cache lines only by luck; each writes once. */
typedef struct pair_piece {
    double sum;
    int64_t count;
} pair_piece;

typedef struct pair_loop {
    const mtli_pairs *pairs;
    mtli_pair_sum sum;
    mtli_pair_gradient gradient;
    pair_piece *pieces;
    bool of_target;
    double seed;
    mtli_real *dx;
    bool accumulate;
} pair_loop;

static void pair_sum_range(void *argument, int64_t begin, int64_t end)
{
    const pair_loop *loop = argument;
    pair_piece piece = {0, 0};
    piece.sum = loop->sum(loop->pairs, begin, end, &piece.count);
    loop->pieces[begin / MTLI_CHUNK] = piece;
}

mtl_status mtli_pair_forward(mtli_call *call, const mtli_pairs *pairs, mtli_pair_sum sum)
{
    int64_t n = call->inputs[MTLI_PAIR_VALUES]->size;
    size_t count = (size_t)(n / MTLI_CHUNK) + 1;
    pair_piece *pieces = mtli_tape_scratch(call, count, sizeof pieces[0]);
    pair_piece *total = mtli_tape_memory(call, 1, sizeof *total);
    if (!pieces || !total) {
        return mtli_call_context(call)->status;
    }
    memset(pieces, 0, count * sizeof pieces[0]);
    pair_loop loop = {.pairs = pairs, .sum = sum, .pieces = pieces};
    mtli_for_range(call, n, MTLI_CHUNK, pair_sum_range, &loop);
    *total = (pair_piece){0, 0};
    for (size_t i = 0; i < count; i++) {
        total->sum += pieces[i].sum;
        total->count += pieces[i].count;
    }
    call->saved = total;
    call->output->absent = total->count == 0;
    *mtli_output_real(call) = total->count > 0 ? (mtli_real)(total->sum / (double)total->count) : 0;
    return MTL_OK;
}

double mtli_pair_seed(const mtli_call *call, mtli_sweep *sweep)
{
    const pair_piece *total = call->saved;
    return total->count > 0 ? (double)*mtli_output_gradient(call, sweep) / (double)total->count : 0;
}

static void pair_gradient_range(void *argument, int64_t begin, int64_t end)
{
    const pair_loop *loop = argument;
    loop->gradient(loop->pairs, loop->of_target, begin, end, loop->seed, loop->dx, loop->accumulate);
}

mtl_status mtli_pair_backward(const mtli_call *call, mtli_sweep *sweep, const mtli_pairs *pairs,
                              mtli_pair_gradient gradient)
{
    const pair_piece *total = call->saved;
    if (total->count == 0) {
        return MTL_OK; /* no target: what is behind stays untouched */
    }
    pair_loop loop = {.pairs = pairs, .gradient = gradient, .seed = mtli_pair_seed(call, sweep)};
    for (int32_t input = MTLI_PAIR_VALUES; input <= MTLI_PAIR_TARGETS; input++) {
        bool fresh = false;
        loop.of_target = input == MTLI_PAIR_TARGETS;
        loop.dx = mtli_gradient_fresh(call, sweep, input, &fresh);
        loop.accumulate = !fresh;
        if (loop.dx) {
            mtli_for_range(call, call->inputs[input]->size, MTLI_CHUNK, pair_gradient_range, &loop);
        }
    }
    return MTL_OK;
}
