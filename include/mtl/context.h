/* SPDX-License-Identifier: Apache-2.0 */
/** @file context.h
 *  @brief The context: everything that other libraries keep in globals.
 *
 *  Allocator, log callback, random generator, threads, instruction-set level and the last error live here. The library
 *  has no writable globals and reads no environment variable.
 *
 *  **Threads.** A context, with everything created from it, is used by one thread at a time. Different contexts are
 *  independent. Reference counts are atomic.
 *
 *  **Lifetime.** Every object keeps its context alive; the order in which a host releases them does not matter.
 */
#ifndef MTL_CONTEXT_H
#define MTL_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#include <mtl/export.h>
#include <mtl/status.h>

MTL_BEGIN_DECLS

/** A context; reference-counted. */
typedef struct mtl_context mtl_context;

/** The host's allocator. Memory that BLAS and the C library take for themselves (threads, open folders) lies outside of it.
 *
 *  Called by the thread that uses the context, and by whichever thread gives the last reference to an object back; never by
 *  the threads of a parallel loop. */
typedef struct mtl_allocator {
    size_t struct_size; /**< sizeof(mtl_allocator), set by MTL_ALLOCATOR_INIT */
    void *user;         /**< handed to both functions */
    /** Returns @p size bytes (> 0) aligned to @p alignment (a power of two), or NULL. */
    void *(*allocate)(void *user, size_t size, size_t alignment);
    /** Frees what allocate returned, with the same size and alignment; @p pointer is never NULL. */
    void (*release)(void *user, void *pointer, size_t size, size_t alignment);
} mtl_allocator;

/** Initializer of mtl_allocator; the two functions must be filled in. */
#define MTL_ALLOCATOR_INIT { sizeof(mtl_allocator), NULL, NULL, NULL }

/** Levels of log messages. */
enum {
    MTL_LOG_ERROR = 0,   /**< every error status, as it is made */
    MTL_LOG_WARNING = 1, /**< something is probably not what the host meant */
    MTL_LOG_INFO = 2     /**< choices that the library made */
};

/** Receives one finished line of log, without a line break. Must not call back into the context. */
typedef void (*mtl_log_fn)(void *user, int32_t level, const char *message);

/** One piece of a parallel loop; @p index runs from 0 to count - 1. */
typedef void (*mtl_parallel_body)(void *argument, int32_t index);

/** The host's parallel loop: calls body(argument, i) once for each i in [0, count), in any order and on any threads,
 *  and returns when all have returned. It may also simply loop. */
typedef void (*mtl_parallel_for_fn)(void *user, int32_t count, mtl_parallel_body body, void *argument);

/** Who multiplies matrices. */
enum {
    MTL_GEMM_AUTO = 0,    /**< the library chooses for each product; this version always takes the builtin kernels */
    MTL_GEMM_BUILTIN = 1, /**< builtin kernels only: equal bits for any number of threads */
    MTL_GEMM_CBLAS = 2    /**< CBLAS for every plain product; those inside the LSTM stay builtin */
};

/** Instruction-set levels. */
enum {
    MTL_ISA_BEST = 0,     /**< the best that the processor has */
    MTL_ISA_BASELINE = 1, /**< what the compiler may assume: SSE2 on x86-64, NEON on aarch64 */
    MTL_ISA_AVX2 = 2,     /**< AVX2 and FMA */
    MTL_ISA_AVX512 = 3    /**< AVX-512 F, DQ, BW, VL */
};

/** Options of mtl_context_create(). */
typedef struct mtl_context_options {
    size_t struct_size;               /**< sizeof(mtl_context_options), set by MTL_CONTEXT_OPTIONS_INIT */
    const mtl_allocator *allocator;   /**< NULL: the C library's; copied */
    mtl_log_fn log;                   /**< NULL: silent */
    void *log_user;                   /**< handed to log */
    mtl_parallel_for_fn parallel_for; /**< NULL: the context's own pool of `threads` */
    void *parallel_user;              /**< handed to parallel_for */
    uint64_t seed;                    /**< seed of the random generator (Philox 4x32-10); default 0 */
    uint64_t max_bytes;               /**< most bytes taken from the allocator at one time; 0: no limit */
    int32_t threads;                  /**< pieces of parallel work, 1 to 256; 1 (the default): no thread is made */
    int32_t gemm;                     /**< MTL_GEMM_AUTO (default), _BUILTIN or _CBLAS */
    int32_t isa;                      /**< MTL_ISA_BEST (default) or a level that the processor has */
    int32_t debug_handles;            /**< not 0: tapes never reuse an address, so a stale handle shows in a checker;
                                           memory grows until the tape ends */
} mtl_context_options;

/** Initializer of mtl_context_options: every default. */
#define MTL_CONTEXT_OPTIONS_INIT \
    { sizeof(mtl_context_options), NULL, NULL, NULL, NULL, NULL, 0, 0, 1, MTL_GEMM_AUTO, MTL_ISA_BEST, 0 }

/** Creates a context.
 *
 *  @param[in]  options  NULL for every default
 *  @param[out] out      receives the context; untouched on failure
 *  @return MTL_OK; MTL_ERROR_ARGUMENT: out is NULL or an option is out of range; MTL_ERROR_UNSUPPORTED: the processor
 *          lacks the level, or the options come from a newer header and use a field that this library does not know;
 *          MTL_ERROR_MEMORY. There is no context yet to keep a message, so it goes to options->log only;
 *          mtl_context_last_error(NULL) is a fixed sentence.
 *  @ownership the caller owns one reference: mtl_context_release()
 *  @threadsafety any thread, any time
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_context_create(const mtl_context_options *options, mtl_context **out);

/** Takes one more reference.
 *
 *  @param[in] context  may be NULL
 *  @return @p context
 *  @threadsafety any thread, any time
 *  @since 0.1
 */
MTL_API mtl_context *mtl_context_retain(mtl_context *context);

/** Gives a reference back; with the last one (the host's and those of all its objects) the context ends.
 *
 *  @param[in] context  may be NULL
 *  @threadsafety any thread, any time
 *  @since 0.1
 */
MTL_API void mtl_context_release(mtl_context *context);

/** The sentence that belongs to the last failure: which function, which argument, which value, which shapes.
 *
 *  It is emptied when the next fallible function of this context is entered or the next operation runs. It is kept in
 *  memory that the context took at its creation: it is there when memory is gone. Longer sentences are cut at 511 bytes.
 *
 *  @param[in] context  may be NULL: a fixed sentence
 *  @return borrowed, never NULL; "" when the last call succeeded
 *  @threadsafety the context's thread
 *  @since 0.1
 */
MTL_API const char *mtl_context_last_error(const mtl_context *context);

/** The status that belongs to mtl_context_last_error().
 *
 *  @param[in] context  may be NULL: MTL_ERROR_ARGUMENT
 *  @return MTL_OK when the last fallible call succeeded
 *  @threadsafety the context's thread
 *  @since 0.1
 */
MTL_API mtl_status mtl_context_last_status(const mtl_context *context);

/** What a context has taken from its allocator. */
typedef struct mtl_memory_info {
    uint64_t bytes;       /**< taken now */
    uint64_t peak_bytes;  /**< the most that was taken at one time */
    uint64_t blocks;      /**< blocks taken now */
    uint64_t allocations; /**< calls of allocate since the context was created */
} mtl_memory_info;

/** Reads the context's memory counters.
 *
 *  @param[in]  context  not NULL
 *  @param[out] out      receives the counters
 *  @return MTL_OK or MTL_ERROR_ARGUMENT
 *  @threadsafety the context's thread
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_context_memory(mtl_context *context, mtl_memory_info *out);

/** Starts the context's random generator anew, from its first number. What was drawn before (initial weights) is not
 *  changed.
 *
 *  Give a seed that the context has not had: with the seed of its creation, what is drawn next (dropout) repeats the numbers
 *  of which the initial weights were made. To continue a training, mtl_checkpoint_resume() restores the generator as it
 *  stood; no seed is needed for it.
 *
 *  @param[in] context  not NULL
 *  @param[in] seed     any value
 *  @return MTL_OK or MTL_ERROR_ARGUMENT
 *  @threadsafety the context's thread
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_context_set_seed(mtl_context *context, uint64_t seed);

MTL_END_DECLS

#endif
