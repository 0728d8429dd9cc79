/* SPDX-License-Identifier: Apache-2.0
 * Atomic reference counts; the only place with atomics besides the memory counters and the pool. */
#ifndef MTLI_BASE_REFCOUNT_H
#define MTLI_BASE_REFCOUNT_H

#include <stdatomic.h>
#include <stdbool.h>

typedef struct mtli_refcount {
    atomic_int count;
} mtli_refcount;

static inline void mtli_refcount_init(mtli_refcount *refs)
{
    atomic_init(&refs->count, 1);
}

static inline void mtli_refcount_retain(mtli_refcount *refs)
{
    atomic_fetch_add_explicit(&refs->count, 1, memory_order_relaxed);
}

/** True for the caller that gave back the last reference; everything that others wrote is visible to it. */
static inline bool mtli_refcount_release(mtli_refcount *refs)
{
    return atomic_fetch_sub_explicit(&refs->count, 1, memory_order_acq_rel) == 1;
}

/** True when the caller's reference is the only one. */
static inline bool mtli_refcount_unique(mtli_refcount *refs)
{
    return atomic_load_explicit(&refs->count, memory_order_acquire) == 1;
}

#endif
