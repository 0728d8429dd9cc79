/* SPDX-License-Identifier: Apache-2.0
 * The context from inside: errors, memory, options, random streams, parallel loops. */
#ifndef MTLI_BASE_CONTEXT_H
#define MTLI_BASE_CONTEXT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mtl/context.h>

#include "base/refcount.h"

enum { MTLI_MESSAGE_SIZE = 512, MTLI_ALIGNMENT = 64 };

typedef struct mtli_pool mtli_pool;

struct mtl_context {
    mtli_refcount refs;
    mtl_allocator allocator;
    mtl_log_fn log;
    void *log_user;
    mtl_parallel_for_fn parallel_for;
    void *parallel_user;
    mtli_pool *pool; /* NULL with one thread or with the host's parallel_for */
    uint64_t seed;
    uint64_t stream; /* the next random stream */
    uint64_t max_bytes;
    bool limit_reached; /* max_bytes has refused an allocation */
    int32_t threads;
    int32_t gemm;
    int32_t isa; /* a level, never MTL_ISA_BEST */
    int32_t debug_handles;
    atomic_uint_fast64_t bytes;
    atomic_uint_fast64_t peak_bytes;
    atomic_uint_fast64_t blocks;
    atomic_uint_fast64_t allocations;
    mtl_status status;
    const char *function; /* the public function that was entered last */
    char message[MTLI_MESSAGE_SIZE];
};

#if defined(__GNUC__)
#define MTLI_PRINTF(text, first) __attribute__((format(printf, text, first), cold))
#else
#define MTLI_PRINTF(text, first)
#endif

/** Begins a fallible public function: forgets the last error, remembers the name for the next. */
#define mtli_enter(context) mtli_enter_function((context), __func__)
void mtli_enter_function(mtl_context *context, const char *function);

/** The one way in which errors are made: keeps "function: message" in the context and returns the status. A NULL context
 *  keeps nothing. */
mtl_status mtli_fail(mtl_context *context, mtl_status status, const char *format, ...) MTLI_PRINTF(3, 4);

/** Copies an error that was made elsewhere (a tape's) into the context, as it is. */
mtl_status mtli_fail_text(mtl_context *context, mtl_status status, const char *message);

/** The error of a host's function that returned `status`, not MTL_OK: "<what> returned <status>: <reason>". The reason is
 *  what a failed call into the library left in the context; a status that is none becomes MTL_ERROR_CANCELLED. `function`
 *  is the public function that called the host. */
mtl_status mtli_fail_callback(mtl_context *context, const char *function, mtl_status status, const char *what);

/** Sends a line to the host's log, if there is one. */
void mtli_log(mtl_context *context, int32_t level, const char *format, ...) MTLI_PRINTF(3, 4);

/** The usual checks of pointer arguments: fails the calling function when one is NULL. */
#define MTLI_REQUIRE(context, argument) \
    do { \
        if ((argument) == NULL) { \
            return mtli_fail((context), MTL_ERROR_ARGUMENT, "%s is NULL", #argument); \
        } \
    } while (0)

/** Takes size bytes (0 gives a valid block too) at MTLI_ALIGNMENT; NULL, with the error set, when there are none. */
void *mtli_allocate(mtl_context *context, size_t size);

/** As mtli_allocate(), zero-filled. */
void *mtli_allocate_zeroed(mtl_context *context, size_t size);

/** count * size bytes, uninitialized; NULL, with the error set, when that overflows or there are none. */
void *mtli_allocate_array(mtl_context *context, size_t count, size_t size);

/** Gives back what mtli_allocate() returned, with the same size; NULL is allowed. */
void mtli_release(mtl_context *context, void *pointer, size_t size);

/** A copy of a string; give it back with mtli_release_string(). */
char *mtli_copy_string(mtl_context *context, const char *string);
void mtli_release_string(mtl_context *context, char *string);

/** Makes room for `needed` elements in a growing array: *array (capacity elements of `size` bytes) is replaced by a larger
 *  one when it is too small. On failure nothing changes. */
mtl_status mtli_reserve(mtl_context *context, void **array, size_t *capacity, size_t needed, size_t size);

/** Overlays the host's options on the defaults that stand in *known. Too small a struct_size is an argument error; bytes
 *  beyond `known_size` must be zero. A NULL `given` leaves the defaults. */
mtl_status mtli_import_options(mtl_context *context, const char *name, void *known, size_t known_size,
                               size_t least_size, const void *given);

/** A reserved field of options must be 0: otherwise the host means something that this version does not know. */
mtl_status mtli_check_reserved(mtl_context *context, int32_t reserved0);

/** A stream of random numbers that nobody else gets, for mtli_rng_init(). */
uint64_t mtli_next_stream(mtl_context *context);

/** body(argument, i) for i in [0, count), on the pool, on the host's loop or one after the other. Workers run with the
 *  floating-point mode of the kernels. */
void mtli_parallel_for(mtl_context *context, int32_t count, mtl_parallel_body body, void *argument);

#endif
