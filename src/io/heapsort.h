/* SPDX-License-Identifier: Apache-2.0
 * Sorting in place: qsort() may take memory behind the allocator's back and may need quadratic time. */
#ifndef MTLI_IO_HEAPSORT_H
#define MTLI_IO_HEAPSORT_H

#include <stddef.h>

/** Negative, zero, positive: a before, beside, behind b. */
typedef int (*mtli_heap_compare)(const void *a, const void *b, const void *user);

/** Heapsort of count elements of `size` bytes; O(n log n) for every input, not stable. */
void mtli_heapsort(void *elements, size_t count, size_t size, mtli_heap_compare compare, const void *user);

#endif
