/* SPDX-License-Identifier: Apache-2.0
 * Files that are written whole or not at all: under a temporary name, synced, renamed over the old file. */
#ifndef MTLI_IO_ATOMIC_FILE_H
#define MTLI_IO_ATOMIC_FILE_H

#include <stddef.h>

#include "io/system.h"

typedef struct mtli_atomic_file mtli_atomic_file;

/** Begins a file that will stand at `path`. The temporary lies in the same folder and has the permissions of the file
 *  that it will replace, or 0666 less the umask. A symbolic link is followed, so that it stays and what it points to is
 *  replaced. Devices, pipes and folders are refused, and so are files that the process may not write.
 *
 *  A process that is killed leaves the temporary, ".mtl-" 16 hexadecimal digits ".tmp"; the next save of the same file
 *  removes it. */
mtl_status mtli_atomic_file_open(mtl_context *context, const char *path, mtli_atomic_file **out);

/** As mtli_atomic_file_open(), on other system calls; `system` must outlive the file. */
mtl_status mtli_atomic_file_open_with(mtl_context *context, const mtli_system *system, const char *path,
                                      mtli_atomic_file **out);

/** Appends. After a failure every further write and the commit fail in the same way. */
mtl_status mtli_atomic_file_write(mtli_atomic_file *file, const void *data, size_t size);

/** Puts the file in its place and ends it, in every case. After a failure the old file is untouched and the temporary
 *  removed; with one exception, which the message states: the folder could not be synced after the rename. */
mtl_status mtli_atomic_file_commit(mtli_atomic_file *file);

/** Ends it without a trace; NULL is allowed. Leaves the context's last error as it is. */
void mtli_atomic_file_abort(mtli_atomic_file *file);

#endif
