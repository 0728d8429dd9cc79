/* SPDX-License-Identifier: Apache-2.0
 * Numbers as text that reads back exactly, whatever locale the host has set. */
#ifndef MTLI_CHECKPOINT_NUMBER_H
#define MTLI_CHECKPOINT_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

enum { MTLI_NUMBER_TEXT = 64 };

/** The shortest of 15 to 17 digits that reads back as the same double; the point is '.'. */
void mtli_format_real(double value, char text[MTLI_NUMBER_TEXT]);

/** Reads "-12", "0.5", "1e-3" and the like, whole; false for anything else, also for infinity and NaN. */
bool mtli_read_real(const char *text, double *value);

/** Reads a decimal int64, whole; false for anything else. */
bool mtli_read_integer(const char *text, int64_t *value);

#endif
