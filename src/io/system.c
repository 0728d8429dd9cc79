/* SPDX-License-Identifier: Apache-2.0
 * The real system calls, and how their failures are worded. */
#include "io/system.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int real_open(void *user, const char *path, int flags, mode_t mode)
{
    (void)user;
    return open(path, flags, mode);
}

static ssize_t real_write(void *user, int descriptor, const void *data, size_t size)
{
    (void)user;
    return write(descriptor, data, size);
}

static int real_fchmod(void *user, int descriptor, mode_t mode)
{
    (void)user;
    return fchmod(descriptor, mode);
}

static int real_fsync(void *user, int descriptor)
{
    (void)user;
    return fsync(descriptor);
}

static int real_close(void *user, int descriptor)
{
    (void)user;
    return close(descriptor);
}

static int real_rename(void *user, const char *from, const char *to)
{
    (void)user;
    return rename(from, to);
}

static int real_unlink(void *user, const char *path)
{
    (void)user;
    return unlink(path);
}

static int real_lock(void *user, int descriptor)
{
    (void)user;
    return flock(descriptor, LOCK_EX | LOCK_NB) == 0 ? fcntl(descriptor, F_DUPFD_CLOEXEC, 0) : -1;
}

const mtli_system mtli_real_system = {NULL,       real_open,   real_write,  real_fchmod, real_fsync,
                                      real_close, real_rename, real_unlink, real_lock};

enum { SHOWN_PATH = 240 };

const char *mtli_shown_path(const char *path)
{
    size_t length = strlen(path);
    if (length <= SHOWN_PATH) {
        return path;
    }
    const char *shown = path + length - SHOWN_PATH;
    while (((unsigned char)*shown & 0xC0u) == 0x80u) { /* not from the middle of a UTF-8 character */
        shown++;
    }
    return shown;
}

mtl_status mtli_fail_system(mtl_context *context, int error, const char *path, const char *action)
{
    char text[128];
    if (strerror_r(error, text, sizeof text) != 0) {
        snprintf(text, sizeof text, "system error %d", error);
    }
    return mtli_fail(context, MTL_ERROR_IO, "%s: %s: %s", mtli_shown_path(path), action, text);
}
