/* SPDX-License-Identifier: Apache-2.0
 * Pieces of large arrays for the context's threads. */
#include "ops/parallel.h"

typedef struct range_loop {
    mtli_range_body body;
    void *argument;
    int64_t n;
    int64_t chunk;
} range_loop;

static void run_range(void *user, int32_t index)
{
    const range_loop *loop = user;
    int64_t begin = index * loop->chunk;
    int64_t end = loop->n - begin < loop->chunk ? loop->n : begin + loop->chunk;
    loop->body(loop->argument, begin, end);
}

void mtli_for_range(const mtli_call *call, int64_t n, int64_t chunk, mtli_range_body body, void *argument)
{
    while ((n - 1) / chunk >= INT32_MAX) {
        chunk *= 2;
    }
    range_loop loop = {body, argument, n, chunk};
    int32_t pieces = n > 0 ? (int32_t)((n - 1) / chunk) + 1 : 0;
    mtli_parallel_for(mtli_call_context(call), pieces, run_range, &loop);
}

int64_t mtli_rows_per_chunk(int64_t width)
{
    return width > 0 && width < MTLI_CHUNK ? MTLI_CHUNK / width : width > 0 ? 1 : MTLI_CHUNK;
}
