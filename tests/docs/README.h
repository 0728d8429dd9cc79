/* SPDX-License-Identifier: Apache-2.0
 * What the program in README.md takes for granted; the whole of it is examples/minimal.c. */
#include "common.h"

extern mtl_vocabulary *words;
extern mtl_sampler *sampler;
extern mtl_head *sentiment, *topic;
