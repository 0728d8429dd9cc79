/* SPDX-License-Identifier: Apache-2.0
 * What the examples of docs/soft-sharing.md take for granted: two or three tasks with a network each. */
#include "common.h"

extern const char *const names[3], *const head_names[2];
extern mtl_lstm_options lstm;
extern mtl_encoder *encoders[2], *shared_encoder, *private_encoders[2], *factorized;
extern mtl_head *heads[2];
extern mtl_model *joint;
extern mtl_penalty_options options;
extern mtl_penalty *penalty, *first, *second;
extern mtl_tensor *inputs, *labels, *features[2], *targets[2];
extern int32_t task;
extern int64_t step, warm_up;
