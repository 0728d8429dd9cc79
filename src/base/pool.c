/* SPDX-License-Identifier: Apache-2.0
 * A small pool: workers sleep until a loop arrives, then all take indexes from one counter. */
#include "base/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/context.h"

struct mtli_pool {
    pthread_mutex_t mutex;
    pthread_cond_t work; /* a loop has begun, or the end has come */
    pthread_cond_t done; /* the last worker has left the loop */
    uint64_t generation; /* number of the loop */
    int32_t busy;        /* workers inside the loop */
    bool stopping;
    mtl_parallel_body body;
    void *argument;
    int32_t count;
    atomic_int next;
    int32_t num_workers; /* that run */
    int32_t capacity;    /* of workers */
    pthread_t workers[];
};

static void take_indexes(mtli_pool *pool, mtl_parallel_body body, void *argument, int32_t count)
{
    for (;;) {
        int32_t index = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (index >= count) {
            return;
        }
        body(argument, index);
    }
}

static void *work(void *user)
{
    mtli_pool *pool = user;
    uint64_t seen = 0;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (!pool->stopping && pool->generation == seen) {
            pthread_cond_wait(&pool->work, &pool->mutex);
        }
        if (pool->stopping) {
            break;
        }
        seen = pool->generation;
        mtl_parallel_body body = pool->body;
        void *argument = pool->argument;
        int32_t count = pool->count;
        pthread_mutex_unlock(&pool->mutex);
        take_indexes(pool, body, argument, count);
        pthread_mutex_lock(&pool->mutex);
        if (--pool->busy == 0) {
            pthread_cond_signal(&pool->done);
        }
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

static size_t pool_size(int32_t workers)
{
    return sizeof(mtli_pool) + (size_t)workers * sizeof(pthread_t);
}

/* Starts workers until one cannot be had. The host's signals are not for them. */
static void start_workers(mtli_pool *pool, int32_t wanted)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool->num_workers < wanted && pthread_create(&pool->workers[pool->num_workers], NULL, work, pool) == 0) {
        pool->num_workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

mtli_pool *mtli_pool_create(mtl_context *context, int32_t threads)
{
    int32_t wanted = threads - 1;
    mtli_pool *pool = mtli_allocate_zeroed(context, pool_size(wanted));
    if (!pool) {
        return NULL;
    }
    pool->capacity = wanted;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    atomic_init(&pool->next, 0);
    start_workers(pool, wanted);
    if (pool->num_workers < wanted) {
        mtli_fail(context, MTL_ERROR_MEMORY, "thread %d of %d could not be started", pool->num_workers + 2, threads);
        mtli_pool_destroy(context, pool);
        return NULL;
    }
    return pool;
}

void mtli_pool_destroy(mtl_context *context, mtli_pool *pool)
{
    if (!pool) {
        return;
    }
    pthread_mutex_lock(&pool->mutex);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    for (int32_t i = 0; i < pool->num_workers; i++) {
        pthread_join(pool->workers[i], NULL);
    }
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
    mtli_release(context, pool, pool_size(pool->capacity));
}

void mtli_pool_run(mtli_pool *pool, int32_t count, mtl_parallel_body body, void *argument)
{
    pthread_mutex_lock(&pool->mutex);
    pool->body = body;
    pool->argument = argument;
    pool->count = count;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    pool->busy = pool->num_workers;
    pool->generation++;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    take_indexes(pool, body, argument, count);
    pthread_mutex_lock(&pool->mutex);
    while (pool->busy > 0) {
        pthread_cond_wait(&pool->done, &pool->mutex);
    }
    pthread_mutex_unlock(&pool->mutex);
}
