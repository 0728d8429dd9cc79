/* SPDX-License-Identifier: Apache-2.0
 * Well-formed UTF-8. */
#include "io/utf8.h"

#include <string.h>

/* The first byte decides the length and narrows the second: no overlong forms, no surrogates, nothing above 10FFFF. */
static size_t sequence_length(unsigned char first, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (first >= 0xC2 && first <= 0xDF) {
        return 2;
    }
    if (first >= 0xE0 && first <= 0xEF) {
        *low = first == 0xE0 ? 0xA0 : 0x80;
        *high = first == 0xED ? 0x9F : 0xBF;
        return 3;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        *low = first == 0xF0 ? 0x90 : 0x80;
        *high = first == 0xF4 ? 0x8F : 0xBF;
        return 4;
    }
    return 0;
}

size_t mtli_utf8_length(const char *text, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)text;
    if (size == 0) {
        return 0;
    }
    if (bytes[0] < 0x80) {
        return 1;
    }
    unsigned char low;
    unsigned char high;
    size_t length = sequence_length(bytes[0], &low, &high);
    if (length == 0 || length > size || bytes[1] < low || bytes[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if ((bytes[i] & 0xC0u) != 0x80u) {
            return 0;
        }
    }
    return length;
}

bool mtli_utf8_check(const char *text, size_t size)
{
    while (size > 0) {
        size_t length = mtli_utf8_length(text, size);
        if (length == 0) {
            return false;
        }
        text += length;
        size -= length;
    }
    return true;
}

size_t mtli_utf8_put(uint32_t scalar, char out[4])
{
    if (scalar < 0x80) {
        out[0] = (char)scalar;
        return 1;
    }
    if (scalar < 0x800) {
        out[0] = (char)(0xC0u | scalar >> 6);
        out[1] = (char)(0x80u | (scalar & 0x3Fu));
        return 2;
    }
    if (scalar < 0x10000) {
        out[0] = (char)(0xE0u | scalar >> 12);
        out[1] = (char)(0x80u | (scalar >> 6 & 0x3Fu));
        out[2] = (char)(0x80u | (scalar & 0x3Fu));
        return 3;
    }
    out[0] = (char)(0xF0u | scalar >> 18);
    out[1] = (char)(0x80u | (scalar >> 12 & 0x3Fu));
    out[2] = (char)(0x80u | (scalar >> 6 & 0x3Fu));
    out[3] = (char)(0x80u | (scalar & 0x3Fu));
    return 4;
}

const char *mtli_shown_text(const char *text, size_t size, char shown[MTLI_SHOWN_TEXT])
{
    enum { MOST = 100 };
    size_t used = 0;
    size_t i = 0;
    while (i < size) {
        size_t length = mtli_utf8_length(text + i, size - i);
        if (used + (length ? length : 1) > MOST) {
            break;
        }
        unsigned char first = (unsigned char)text[i];
        if (length == 0 || first < 0x20 || first == 0x7F) {
            shown[used++] = '?';
            i++;
        } else {
            memcpy(shown + used, text + i, length);
            used += length;
            i += length;
        }
    }
    memcpy(shown + used, i < size ? "..." : "", i < size ? 4 : 1);
    return shown;
}
