/* SPDX-License-Identifier: Apache-2.0
 * What the examples of docs/threads.md take for granted. */
#include "common.h"

extern mtl_context_options options;
