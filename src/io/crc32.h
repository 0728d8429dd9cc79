/* SPDX-License-Identifier: Apache-2.0
 * A checksum that shows damage to stored bytes: CRC-32 as in zlib, PNG and Python's zlib.crc32(). */
#ifndef MTLI_IO_CRC32_H
#define MTLI_IO_CRC32_H

#include <stddef.h>
#include <stdint.h>

/** The checksum of bytes that follow others, whose own is `crc`; 0 to begin with. */
uint32_t mtli_crc32(uint32_t crc, const void *data, size_t size);

#endif
