/* SPDX-License-Identifier: Apache-2.0
 * Large arrays in pieces for the context's threads. Pieces depend on the size only, not on the number of threads. */
#ifndef MTLI_OPS_PARALLEL_H
#define MTLI_OPS_PARALLEL_H

#include "autograd/op.h"

enum { MTLI_CHUNK = 32768 }; /* elements: about 10 microseconds of work, some times what waking a thread costs */

/** Does the elements (or rows) [begin, end). */
typedef void (*mtli_range_body)(void *argument, int64_t begin, int64_t end);

/** body(argument, i * chunk, min((i + 1) * chunk, n)) for every i, on the threads when there is more than one. */
void mtli_for_range(const mtli_call *call, int64_t n, int64_t chunk, mtli_range_body body, void *argument);

/** How many rows of `width` elements make a chunk; at least 1. */
int64_t mtli_rows_per_chunk(int64_t width);

#endif
