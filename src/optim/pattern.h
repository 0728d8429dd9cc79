/* SPDX-License-Identifier: Apache-2.0
 * Name patterns with '*' and '?'. */
#ifndef MTLI_OPTIM_PATTERN_H
#define MTLI_OPTIM_PATTERN_H

#include <stdbool.h>

/** Whether the whole name matches. */
bool mtli_pattern_matches(const char *pattern, const char *name);

#endif
