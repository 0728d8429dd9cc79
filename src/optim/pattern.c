/* SPDX-License-Identifier: Apache-2.0
 * Name patterns with '*' and '?'. */
#include "optim/pattern.h"

#include <stddef.h>

bool mtli_pattern_matches(const char *pattern, const char *name)
{
    const char *star = NULL;   /* the last '*' seen */
    const char *resume = name; /* where that '*' stops matching */
    while (*name) {
        if (*pattern == '*') {
            star = pattern++;
            resume = name;
        } else if (*pattern == '?' || *pattern == *name) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star + 1;
            name = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}
