/* SPDX-License-Identifier: Apache-2.0 */
/** @file status.h
 *  @brief The status codes that fallible functions return.
 *
 *  A code says what kind of thing went wrong; the sentence that names the argument and its value is kept by the
 *  context (mtl_context_last_error()). Values are never reused. Zero is success and the only success.
 */
#ifndef MTL_STATUS_H
#define MTL_STATUS_H

#include <mtl/export.h>

MTL_BEGIN_DECLS

/** What a fallible function returns. */
typedef enum mtl_status {
    MTL_OK = 0,                 /**< done */
    MTL_ERROR_MEMORY = 1,       /**< the allocator said no, or the context's max_bytes is reached */
    MTL_ERROR_ARGUMENT = 2,     /**< an argument is out of its range: NULL, negative, unknown option */
    MTL_ERROR_SHAPE = 3,        /**< shapes do not fit each other; the message has both */
    MTL_ERROR_DTYPE = 4,        /**< a tensor has the wrong element type */
    MTL_ERROR_STATE = 5,        /**< the object is not in a state that allows the call */
    MTL_ERROR_UNSUPPORTED = 6,  /**< meaningful, but not offered by this version, build or object */
    MTL_ERROR_IO = 7,           /**< a file could not be opened, read, written, synced or renamed */
    MTL_ERROR_FORMAT = 8,       /**< the contents of a file are not what they should be */
    MTL_ERROR_LIMIT = 9,        /**< a size overflows or is beyond a stated limit */
    MTL_ERROR_NUMERIC = 10,     /**< NaN or infinity where a finite number is needed */
    MTL_ERROR_CANCELLED = 11,   /**< a function of the host program asked to stop */
    MTL_ERROR_INTERNAL = 12,    /**< a defect of the library; please report it */
    MTL_STATUS_FORCE_INT = 0x7fffffff /**< keeps the enum as wide as int; never returned */
} mtl_status;

/** The name of a status, "MTL_ERROR_SHAPE" for instance.
 *
 *  @param[in] status  any value, also one that this version does not know
 *  @return a static string, never NULL
 *  @threadsafety any thread, any time
 *  @since 0.1
 */
MTL_API const char *mtl_status_name(mtl_status status);

/** What a status means, in a few words. The context has the whole sentence: mtl_context_last_error().
 *
 *  @param[in] status  any value, also one that this version does not know
 *  @return a static string, never NULL
 *  @threadsafety any thread, any time
 *  @since 0.1
 */
MTL_API const char *mtl_status_text(mtl_status status);

MTL_END_DECLS

#endif
