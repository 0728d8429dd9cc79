/* SPDX-License-Identifier: Apache-2.0
 * The context's own threads. */
#ifndef MTLI_BASE_POOL_H
#define MTLI_BASE_POOL_H

#include <mtl/context.h>

typedef struct mtli_pool mtli_pool;

/** Starts threads - 1 workers (the caller is the last one). NULL, with the error set, when they cannot be had. */
mtli_pool *mtli_pool_create(mtl_context *context, int32_t threads);

/** Ends the workers and waits for them; NULL is allowed. */
void mtli_pool_destroy(mtl_context *context, mtli_pool *pool);

/** Runs body(argument, i) for i in [0, count) on the workers and the caller; returns when all are done. */
void mtli_pool_run(mtli_pool *pool, int32_t count, mtl_parallel_body body, void *argument);

#endif
