/* SPDX-License-Identifier: Apache-2.0
 * Reading files. */
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/system.h"

enum { LARGEST_READ = 1 << 30 }; /* some systems refuse more in one call */

static mtl_status check_regular_file(mtli_file *file)
{
    struct stat info;
    if (fstat(file->descriptor, &info) != 0) {
        return mtli_fail_system(file->context, errno, file->path, "cannot be read");
    }
    if (!S_ISREG(info.st_mode)) {
        return mtli_fail(file->context, MTL_ERROR_IO, "%s: cannot be read: it is %s", mtli_shown_path(file->path),
                         S_ISDIR(info.st_mode) ? "a folder" : "not a regular file");
    }
    file->size = (uint64_t)info.st_size;
    return MTL_OK;
}

mtl_status mtli_file_open(mtl_context *context, const char *path, mtli_file *file)
{
    mtli_file opened = {context, path, 0, -1};
    do { /* without O_NONBLOCK, opening a pipe would wait for its writer */
        opened.descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    } while (opened.descriptor < 0 && errno == EINTR);
    if (opened.descriptor < 0) {
        return mtli_fail_system(context, errno, path, "cannot be opened");
    }
    mtl_status status = check_regular_file(&opened);
    if (status != MTL_OK) {
        close(opened.descriptor);
        return status;
    }
    *file = opened;
    return MTL_OK;
}

void mtli_file_close(mtli_file *file)
{
    if (file->descriptor >= 0) {
        close(file->descriptor);
        file->descriptor = -1;
    }
}

mtl_status mtli_file_read_at(const mtli_file *file, uint64_t offset, void *data, size_t size)
{
    unsigned char *bytes = data;
    while (size > 0) {
        ssize_t got = pread(file->descriptor, bytes, size < LARGEST_READ ? size : LARGEST_READ, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return mtli_fail_system(file->context, errno, file->path, "cannot be read");
        }
        if (got == 0) {
            return mtli_fail(file->context, MTL_ERROR_IO, "%s: ends at byte %" PRIu64 ", %zu bytes too early",
                             mtli_shown_path(file->path), offset, size);
        }
        bytes += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return MTL_OK;
}

static mtl_status read_all(const mtli_file *file, size_t limit, char **data, size_t *size)
{
    if (file->size > limit || file->size >= SIZE_MAX) {
        return mtli_fail(file->context, MTL_ERROR_LIMIT, "%s: has %" PRIu64 " bytes, more than %zu",
                         mtli_shown_path(file->path), file->size, limit);
    }
    size_t count = (size_t)file->size;
    char *text = mtli_allocate(file->context, count + 1);
    if (!text) {
        return file->context->status;
    }
    mtl_status status = mtli_file_read_at(file, 0, text, count);
    if (status != MTL_OK) {
        mtli_release(file->context, text, count + 1);
        return status;
    }
    text[count] = '\0';
    *data = text;
    *size = count;
    return MTL_OK;
}

mtl_status mtli_file_read_whole(mtl_context *context, const char *path, size_t limit, char **data, size_t *size)
{
    mtli_file file;
    mtl_status status = mtli_file_open(context, path, &file);
    if (status == MTL_OK) {
        status = read_all(&file, limit, data, size);
        mtli_file_close(&file);
    }
    return status;
}
