/* SPDX-License-Identifier: Apache-2.0
 * A stable sort in memory that the caller gives: qsort() is not stable, and may allocate. */
#ifndef MTLI_TEXT_SORT_H
#define MTLI_TEXT_SORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** True when item a must stand before item b. */
typedef bool (*mtli_before)(const void *user, uint32_t a, uint32_t b);

/** Sorts count items; scratch has room for as many. Equal items keep their order. */
void mtli_sort(uint32_t *items, uint32_t *scratch, size_t count, mtli_before before, const void *user);

#endif
