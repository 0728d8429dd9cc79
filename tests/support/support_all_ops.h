/* SPDX-License-Identifier: Apache-2.0
 * One step through all operations on elements and rows and all losses, for tests that care how they run, not what they
 * compute. Sees internal headers. */
#ifndef TESTS_SUPPORT_ALL_OPS_H
#define TESTS_SUPPORT_ALL_OPS_H

#include "support/support_ops.h"

enum { ALL_OPS_INPUTS = 6, ALL_OPS_RESULTS = 20 };

/* The inputs: x, other [rows, width]; gain [width]; labels, indices [rows]; targets [rows, width] in [0, 1]. */
typedef struct all_ops {
    mtl_tensor *inputs[ALL_OPS_INPUTS];
    mtl_tensor *results[ALL_OPS_RESULTS];
    int32_t num_results;
} all_ops;

static inline mtl_status all_ops_create(mtl_context *context, int64_t rows, int64_t width, all_ops *ops)
{
    const int64_t dims[] = {rows, width};
    memset(ops, 0, sizeof *ops);
    for (int i = 0; i < ALL_OPS_INPUTS; i++) {
        bool ints = i == 3 || i == 4;
        bool vector = ints || i == 2;
        mtl_status status = mtl_tensor_create(context, ints ? MTL_INT32 : MTL_FLOAT32, vector ? 1 : 2,
                                              i == 2 ? dims + 1 : dims, &ops->inputs[i]);
        if (status != MTL_OK) {
            return status;
        }
        for (int64_t k = 0; k < ops->inputs[i]->size; k++) {
            int64_t number = k * 7919 + 104729 * i;
            if (ints) {
                ((int32_t *)ops->inputs[i]->data)[k] = (int32_t)(number % (i == 3 ? width : rows));
            } else {
                mtli_real u = (mtli_real)(number % 1001) / 1000;
                ((mtli_real *)ops->inputs[i]->data)[k] = i == 5 ? u : 4 * u - 2;
            }
        }
    }
    return MTL_OK;
}

static inline void all_ops_destroy(all_ops *ops)
{
    for (int i = 0; i < ALL_OPS_INPUTS; i++) {
        mtl_tensor_release(ops->inputs[i]);
    }
}

static inline mtl_tensor *all_ops_keep(all_ops *ops, mtl_tensor *result)
{
    if (ops->num_results < ALL_OPS_RESULTS) {
        ops->results[ops->num_results++] = result;
    }
    return result;
}

/* Everything forward; returns the sum of everything. */
static inline mtl_tensor *all_ops_forward(mtl_tape *tape, all_ops *ops)
{
    mtl_tensor *const *in = ops->inputs;
    ops->num_results = 0;
    mtl_tensor *h = all_ops_keep(ops, mtl_layer_norm(tape, in[0], in[2], in[2], 1e-5));
    h = all_ops_keep(ops, mtl_add(tape, mtl_tanh(tape, h), mtl_sigmoid(tape, in[1])));
    h = all_ops_keep(ops, mtl_mul(tape, h, in[2]));
    h = all_ops_keep(ops, mtl_mul(tape, mtl_add(tape, h, in[2]), in[1]));
    h = all_ops_keep(ops, mtl_dropout(tape, mtl_gelu(tape, h), 0.3));
    mtl_tensor *p = all_ops_keep(ops, mtl_softmax(tape, h));
    mtl_tensor *q = all_ops_keep(ops, mtl_log_softmax(tape, mtl_relu(tape, h)));
    mtl_tensor *both[] = {p, mtl_scale(tape, q, 0.01)};
    mtl_tensor *joined = all_ops_keep(ops, mtl_rows(tape, mtl_concat(tape, both, 2), in[4]));
    mtl_cross_entropy_options weighted = MTL_CROSS_ENTROPY_OPTIONS_INIT;
    weighted.label_smoothing = 0.1;
    mtl_binary_cross_entropy_options binary = MTL_BINARY_CROSS_ENTROPY_OPTIONS_INIT;
    mtl_orthogonality_options apart = MTL_ORTHOGONALITY_OPTIONS_INIT;
    apart.center = apart.normalize = apart.mean = 1;
    mtl_tensor *terms[] = {
        mtl_cross_entropy(tape, h, in[3], &weighted),
        mtl_binary_cross_entropy(tape, h, in[5], &binary),
        mtl_mean_squared_error(tape, h, in[1]),
        mtl_huber(tape, h, in[5], 0.5),
        mtl_orthogonality(tape, h, in[1], &apart),
        mtl_orthogonality(tape, in[0], joined, NULL),
        mtl_cosine_similarity(tape, h, in[5], NULL),
        mtl_mean(tape, joined),
        mtl_sum(tape, joined),
    };
    mtl_tensor *total = terms[0];
    for (size_t i = 1; i < sizeof terms / sizeof terms[0]; i++) {
        total = mtl_add(tape, total, all_ops_keep(ops, terms[i]));
    }
    return all_ops_keep(ops, total);
}

/* Forward and backward with all real inputs watched. */
static inline mtl_status all_ops_step(mtl_tape *tape, all_ops *ops)
{
    mtl_tape_reset(tape, MTL_TAPE_TRAIN);
    for (int i = 0; i < ALL_OPS_INPUTS; i++) {
        mtl_status status = i == 3 || i == 4 ? MTL_OK : mtl_tape_watch(tape, ops->inputs[i]);
        if (status != MTL_OK) {
            return status;
        }
    }
    mtl_tensor *root = all_ops_forward(tape, ops);
    double seed = 1;
    return mtli_sweep_run(tape, &root, &seed, 1, NULL);
}

#endif
