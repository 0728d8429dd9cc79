/* SPDX-License-Identifier: Apache-2.0
 * What the examples of docs/errors.md take for granted. */
#include "common.h"

extern mtl_tensor *x, *weight, *bias;
