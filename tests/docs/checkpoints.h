/* SPDX-License-Identifier: Apache-2.0
 * What the examples of docs/checkpoints.md take for granted. */
#include "common.h"

extern mtl_sampler *sampler;
extern mtl_vocabulary *vocabulary;
extern mtl_training_state training;
