/* SPDX-License-Identifier: Apache-2.0
 * Reading characters from bytes of any kind, and the classes of characters that the tokenizer tells apart. */
#ifndef MTLI_TEXT_CHARACTERS_H
#define MTLI_TEXT_CHARACTERS_H

#include <stddef.h>
#include <stdint.h>

enum { MTLI_REPLACEMENT = 0xFFFD };

/** What a character is to the tokenizer. */
typedef enum mtli_char_class {
    MTLI_CHAR_SPACE,      /* separates words */
    MTLI_CHAR_WORD,       /* letter or number */
    MTLI_CHAR_MARK,       /* combining mark: belongs to what stands before it */
    MTLI_CHAR_SYMBOL,     /* punctuation or symbol */
    MTLI_CHAR_APOSTROPHE, /* part of a word between two of its letters, else a symbol */
    MTLI_CHAR_IGNORE      /* default ignorable (soft hyphen, joiners, variation selectors): as if it were not there */
} mtli_char_class;

/** Reads one character of size >= 1 bytes: its code point, or -1 for a maximal ill-formed subpart (Unicode 15, 3.9).
 *  Returns how many bytes it took, at least 1. */
size_t mtli_utf8_decode(const unsigned char *text, size_t size, int32_t *codepoint);

mtli_char_class mtli_classify(int32_t codepoint);

#endif
