/* SPDX-License-Identifier: Apache-2.0
 * Writing under a temporary name and renaming. */
#include "io/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "io/crc32.h"

enum {
    WRITE_BUFFER_SIZE = 1 << 16,
    MAX_LINKS = 40,
    LINK_SIZE = 4096,
    MAX_NAMES = 100,
    SHARED_NAMES = 16,
    TEMPORARY_NAME = 32
};

struct mtli_atomic_file {
    mtl_context *context; /* the caller keeps it alive */
    const mtli_system *system;
    char *path; /* after following links */
    char *temporary;
    int descriptor;
    bool created; /* the temporary is there */
    int lock;     /* tells other saves that it is no leftover; -1: the file system has no locks */
    int folder;   /* -1: may be written to but not read, so it cannot be synced */
    int error;    /* of the first write that failed */
    size_t used;
    unsigned char buffer[WRITE_BUFFER_SIZE];
};

/* Bytes of the folder in a path, the last slash included; 0 for a bare name. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* The path that a link (whose text is `target`) at `path` stands for. */
static char *resolve_link(mtl_context *context, const char *path, const char *target, size_t length)
{
    size_t folder = target[0] == '/' ? 0 : folder_length(path);
    char *resolved = mtli_allocate(context, folder + length + 1);
    if (resolved) {
        memcpy(resolved, path, folder);
        memcpy(resolved + folder, target, length);
        resolved[folder + length] = '\0';
    }
    return resolved;
}

static mtl_status follow_links(mtl_context *context, const char *path, char **out)
{
    char target[LINK_SIZE];
    char *current = mtli_copy_string(context, path);
    for (int links = 0; current; links++) {
        ssize_t length = readlink(current, target, sizeof target);
        if (length <= 0) { /* not a link, or nothing there yet; other troubles come back when it is opened */
            *out = current;
            return MTL_OK;
        }
        if (links == MAX_LINKS || (size_t)length == sizeof target) {
            mtli_release_string(context, current);
            return mtli_fail_system(context, links == MAX_LINKS ? ELOOP : ENAMETOOLONG, path, "cannot be written");
        }
        char *next = resolve_link(context, current, target, (size_t)length);
        mtli_release_string(context, current);
        current = next;
    }
    return context->status;
}

/* What stands there already: *mode is the mode for the new file. */
static mtl_status check_target(mtli_atomic_file *file, mode_t *mode, bool *exists)
{
    struct stat info;
    *exists = stat(file->path, &info) == 0;
    if (!*exists) {
        *mode = 0666;
        return errno == ENOENT ? MTL_OK : mtli_fail_system(file->context, errno, file->path, "cannot be written");
    }
    if (!S_ISREG(info.st_mode)) {
        return mtli_fail(file->context, MTL_ERROR_IO, "%s: cannot be written: it is %s", mtli_shown_path(file->path),
                         S_ISDIR(info.st_mode) ? "a folder" : "not a regular file");
    }
    if (faccessat(AT_FDCWD, file->path, W_OK, AT_EACCESS) != 0) {
        return mtli_fail_system(file->context, errno, file->path, "cannot be replaced");
    }
    *mode = info.st_mode & 0777;
    return MTL_OK;
}

static void open_folder(mtli_atomic_file *file)
{
    size_t length = folder_length(file->path);
    char *name = file->temporary; /* has room for the folder and more */
    memcpy(name, length ? file->path : ".", length ? length : 1);
    name[length ? length : 1] = '\0';
    file->folder = file->system->open(file->system->user, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
}

/* Different for every process, moment and attempt; O_EXCL settles the rest. */
static uint64_t make_suffix(const mtli_atomic_file *file, int attempt)
{
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t mix = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    mix = (mix ^ (uint64_t)getpid() << 32 ^ (uint64_t)(uintptr_t)file) * 0x9E3779B97F4A7C15u;
    return (mix ^ mix >> 29) + (uint64_t)attempt;
}

/* The first names are those of every save of this file: so a save finds what a killed one has left. */
static void name_temporary(mtli_atomic_file *file, int attempt)
{
    size_t length = folder_length(file->path);
    const char *name = file->path + length;
    uint64_t suffix = attempt < SHARED_NAMES ? (uint64_t)mtli_crc32(0, name, strlen(name)) << 32 | (unsigned)attempt
                                             : make_suffix(file, attempt);
    memcpy(file->temporary, file->path, length);
    snprintf(file->temporary + length, TEMPORARY_NAME, ".mtl-%016" PRIx64 ".tmp", suffix);
}

/* True when the temporary's name still means the open file. */
static bool is_named(const mtli_atomic_file *file, int descriptor)
{
    struct stat opened;
    struct stat named;
    return fstat(descriptor, &opened) == 0 && S_ISREG(opened.st_mode) && stat(file->temporary, &named) == 0 &&
           opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/* Removes the file of that name, unless some save is still at it, which then holds the lock. Who has the lock of the
 * file that the name means is alone in removing or renaming it. */
static bool remove_leftover(const mtli_atomic_file *file)
{
    const mtli_system *system = file->system;
    int flags = O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int descriptor = system->open(system->user, file->temporary, flags, 0);
    if (descriptor < 0) {
        return false;
    }
    int lock = system->lock(system->user, descriptor);
    bool removed = lock >= 0 && is_named(file, descriptor) && system->unlink(system->user, file->temporary) == 0;
    if (lock >= 0) {
        system->close(system->user, lock);
    }
    system->close(system->user, descriptor);
    return removed;
}

/* Fails with EEXIST also when another save took the new file for a leftover before it was locked. */
static bool create_temporary(mtli_atomic_file *file, mode_t mode)
{
    const mtli_system *system = file->system;
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    file->descriptor = system->open(system->user, file->temporary, flags, mode);
    if (file->descriptor < 0) {
        return false;
    }
    file->lock = system->lock(system->user, file->descriptor);
    file->created = file->lock >= 0 ? is_named(file, file->descriptor) : errno != EWOULDBLOCK;
    if (file->created) {
        return true;
    }
    if (file->lock >= 0) {
        system->close(system->user, file->lock);
    }
    system->close(system->user, file->descriptor);
    file->lock = -1;
    file->descriptor = -1;
    errno = EEXIST;
    return false;
}

static bool try_name(mtli_atomic_file *file, mode_t mode, int attempt)
{
    name_temporary(file, attempt);
    if (create_temporary(file, mode)) {
        return true;
    }
    if (errno != EEXIST || attempt >= SHARED_NAMES) {
        return false;
    }
    bool removed = remove_leftover(file);
    errno = EEXIST;
    return removed && create_temporary(file, mode);
}

static mtl_status open_temporary(mtli_atomic_file *file, mode_t mode)
{
    for (int attempt = 0; attempt < MAX_NAMES; attempt++) {
        if (try_name(file, mode, attempt)) {
            return MTL_OK;
        }
        if (errno != EEXIST && errno != EINTR) {
            break;
        }
    }
    return mtli_fail_system(file->context, errno, file->path, "a file beside it cannot be created");
}

static mtl_status begin_atomic_file(mtli_atomic_file *file, const char *path)
{
    mode_t mode;
    bool exists;
    mtl_status status = follow_links(file->context, path, &file->path);
    if (status == MTL_OK) {
        status = check_target(file, &mode, &exists);
    }
    if (status != MTL_OK) {
        return status;
    }
    file->temporary = mtli_allocate_zeroed(file->context, strlen(file->path) + TEMPORARY_NAME);
    if (!file->temporary) {
        return file->context->status;
    }
    open_folder(file);
    status = open_temporary(file, mode);
    if (status == MTL_OK && exists && file->system->fchmod(file->system->user, file->descriptor, mode) != 0) {
        status = mtli_fail_system(file->context, errno, file->path, "its permissions cannot be kept");
    }
    return status;
}

mtl_status mtli_atomic_file_open_with(mtl_context *context, const mtli_system *system, const char *path,
                                      mtli_atomic_file **out)
{
    if (path[0] == '\0') {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "path is empty");
    }
    mtli_atomic_file *file = mtli_allocate(context, sizeof *file);
    if (!file) {
        return context->status;
    }
    memset(file, 0, offsetof(mtli_atomic_file, buffer));
    file->context = context;
    file->system = system;
    file->descriptor = -1;
    file->folder = -1;
    file->lock = -1;
    mtl_status status = begin_atomic_file(file, path);
    if (status != MTL_OK) {
        mtli_atomic_file_abort(file);
        return status;
    }
    *out = file;
    return MTL_OK;
}

mtl_status mtli_atomic_file_open(mtl_context *context, const char *path, mtli_atomic_file **out)
{
    return mtli_atomic_file_open_with(context, &mtli_real_system, path, out);
}

static mtl_status fail_write(mtli_atomic_file *file)
{
    return mtli_fail_system(file->context, file->error, file->path, "cannot be written");
}

static mtl_status write_through(mtli_atomic_file *file, const unsigned char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = file->system->write(file->system->user, file->descriptor, data, size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            file->error = written < 0 ? errno : EIO;
            return fail_write(file);
        }
        data += written;
        size -= (size_t)written;
    }
    return MTL_OK;
}

static mtl_status flush_buffer(mtli_atomic_file *file)
{
    size_t used = file->used;
    file->used = 0;
    return write_through(file, file->buffer, used);
}

mtl_status mtli_atomic_file_write(mtli_atomic_file *file, const void *data, size_t size)
{
    if (file->error) {
        return fail_write(file);
    }
    if (size > WRITE_BUFFER_SIZE - file->used) {
        mtl_status status = flush_buffer(file);
        if (status == MTL_OK && size >= WRITE_BUFFER_SIZE) {
            return write_through(file, data, size);
        }
        if (status != MTL_OK) {
            return status;
        }
    }
    if (size > 0) {
        memcpy(file->buffer + file->used, data, size);
        file->used += size;
    }
    return MTL_OK;
}

static int sync_descriptor(const mtli_system *system, int descriptor)
{
    int result;
    do {
        result = system->fsync(system->user, descriptor);
    } while (result != 0 && errno == EINTR);
    return result;
}

static mtl_status finish_atomic_file(mtli_atomic_file *file)
{
    const mtli_system *system = file->system;
    mtl_status status = file->error ? fail_write(file) : flush_buffer(file);
    if (status != MTL_OK) {
        return status;
    }
    if (sync_descriptor(system, file->descriptor) != 0) {
        return mtli_fail_system(file->context, errno, file->path, "cannot be synced");
    }
    int closed = system->close(system->user, file->descriptor);
    file->descriptor = -1;
    if (closed != 0 && errno != EINTR) { /* a network file system may tell of a lost write only here */
        return mtli_fail_system(file->context, errno, file->path, "cannot be closed");
    }
    if (system->rename(system->user, file->temporary, file->path) != 0) {
        return mtli_fail_system(file->context, errno, file->path, "the finished file cannot be renamed to it");
    }
    file->created = false;
    /* EINVAL: a file system whose folders cannot be synced. */
    if (file->folder >= 0 && sync_descriptor(system, file->folder) != 0 && errno != EINVAL) {
        return mtli_fail_system(file->context, errno, file->path, "it is in place, but its folder cannot be synced");
    }
    return MTL_OK;
}

mtl_status mtli_atomic_file_commit(mtli_atomic_file *file)
{
    mtl_status status = finish_atomic_file(file);
    mtli_atomic_file_abort(file);
    return status;
}

void mtli_atomic_file_abort(mtli_atomic_file *file)
{
    if (!file) {
        return;
    }
    mtl_context *context = file->context;
    const mtli_system *system = file->system;
    if (file->created) { /* while it is locked: afterwards the name may be another save's */
        system->unlink(system->user, file->temporary);
    }
    const int descriptors[] = {file->descriptor, file->folder, file->lock};
    for (size_t i = 0; i < sizeof descriptors / sizeof descriptors[0]; i++) {
        if (descriptors[i] >= 0) {
            system->close(system->user, descriptors[i]);
        }
    }
    if (file->temporary) {
        mtli_release(context, file->temporary, strlen(file->path) + TEMPORARY_NAME);
    }
    mtli_release_string(context, file->path);
    mtli_release(context, file, sizeof *file);
}
