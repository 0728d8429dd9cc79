/* SPDX-License-Identifier: Apache-2.0
 * What a well-formed UTF-8 character is, for formats that allow nothing else. */
#ifndef MTLI_IO_UTF8_H
#define MTLI_IO_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Bytes of the well-formed character that begins at text[0], 1 to 4; 0 when there is none (Unicode 15, table 3-7). */
size_t mtli_utf8_length(const char *text, size_t size);

/** True when all of it is well-formed. */
bool mtli_utf8_check(const char *text, size_t size);

/** Writes a scalar value (not a surrogate, at most 0x10FFFF); returns its bytes, 1 to 4. */
size_t mtli_utf8_put(uint32_t scalar, char out[4]);

enum { MTLI_SHOWN_TEXT = 104 };
/** A piece of foreign text for a message: at most 100 bytes, control characters and ill-formed bytes as '?'. */
const char *mtli_shown_text(const char *text, size_t size, char shown[MTLI_SHOWN_TEXT]);

#endif
