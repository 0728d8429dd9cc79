/* SPDX-License-Identifier: Apache-2.0
 * The system calls behind file writing as a table, so that a test can make any of them fail; and their error texts. */
#ifndef MTLI_IO_SYSTEM_H
#define MTLI_IO_SYSTEM_H

#include <stddef.h>
#include <sys/types.h>

#include "base/context.h"

/** Each function behaves as the POSIX function of its name, errno included. */
typedef struct mtli_system {
    void *user;
    int (*open)(void *user, const char *path, int flags, mode_t mode);
    ssize_t (*write)(void *user, int descriptor, const void *data, size_t size);
    int (*fchmod)(void *user, int descriptor, mode_t mode);
    int (*fsync)(void *user, int descriptor);
    int (*close)(void *user, int descriptor);
    int (*rename)(void *user, const char *from, const char *to);
    int (*unlink)(void *user, const char *path);
    /** Locks an open file until every descriptor of it is closed or the process ends: flock() that does not wait.
     *  Returns a second descriptor, which keeps the lock when the first one is closed; -1: EWOULDBLOCK when it is
     *  locked already, anything else when it cannot be. */
    int (*lock)(void *user, int descriptor);
} mtli_system;

/** The real calls. */
extern const mtli_system mtli_real_system;

/** The part of a path that a message has room for: its end. */
const char *mtli_shown_path(const char *path);

/** MTL_ERROR_IO: "<path>: <action>: <the system's text for error>". */
mtl_status mtli_fail_system(mtl_context *context, int error, const char *path, const char *action);

#endif
