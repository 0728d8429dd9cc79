/* SPDX-License-Identifier: Apache-2.0
 * Reading files at given places, with short reads, interruptions and things that are not files taken care of. */
#ifndef MTLI_IO_FILE_H
#define MTLI_IO_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/context.h"

typedef struct mtli_file {
    mtl_context *context; /* the caller keeps it alive */
    const char *path;     /* the caller's, for messages */
    uint64_t size;        /* when it was opened */
    int descriptor;
} mtli_file;

/** Opens a regular file for reading; folders, devices and pipes are MTL_ERROR_IO. */
mtl_status mtli_file_open(mtl_context *context, const char *path, mtli_file *file);

void mtli_file_close(mtli_file *file);

/** Reads exactly `size` bytes; MTL_ERROR_IO when the file has fewer. */
mtl_status mtli_file_read_at(const mtli_file *file, uint64_t offset, void *data, size_t size);

/** The whole of a regular file, with a zero byte after it; MTL_ERROR_LIMIT beyond `limit` bytes. Give it back with
 *  mtli_release(context, data, size + 1). */
mtl_status mtli_file_read_whole(mtl_context *context, const char *path, size_t limit, char **data, size_t *size);

#endif
