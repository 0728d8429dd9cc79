/* SPDX-License-Identifier: Apache-2.0
 * Characters of any text. utf8proc's decoder and the strict one of io only say that something is wrong; this one says
 * how far. */
#include "text/characters.h"

#include <utf8proc.h>

enum { ZERO_WIDTH_SPACE = 0x200B, RIGHT_SINGLE_QUOTE = 0x2019, IOTA_SUBSCRIPT = 0x345 };

/* How a sequence goes on after its first byte (Unicode 15, table 3-7). */
typedef struct utf8_form {
    int length;        /* 0: no sequence begins so */
    unsigned char low; /* range of the second byte */
    unsigned char high;
} utf8_form;

static utf8_form utf8_form_of(unsigned char first)
{
    if (first >= 0xC2 && first <= 0xDF) {
        return (utf8_form){2, 0x80, 0xBF};
    }
    if (first >= 0xE0 && first <= 0xEF) {
        return (utf8_form){3, first == 0xE0 ? 0xA0 : 0x80, first == 0xED ? 0x9F : 0xBF};
    }
    if (first >= 0xF0 && first <= 0xF4) {
        return (utf8_form){4, first == 0xF0 ? 0x90 : 0x80, first == 0xF4 ? 0x8F : 0xBF};
    }
    return (utf8_form){0, 0, 0};
}

size_t mtli_utf8_decode(const unsigned char *text, size_t size, int32_t *codepoint)
{
    if (text[0] < 0x80) {
        *codepoint = text[0];
        return 1;
    }
    utf8_form form = utf8_form_of(text[0]);
    if (form.length == 0) {
        *codepoint = -1;
        return 1;
    }
    int32_t value = text[0] & (0x7F >> form.length);
    for (int i = 1; i < form.length; i++) {
        unsigned char low = i == 1 ? form.low : 0x80;
        unsigned char high = i == 1 ? form.high : 0xBF;
        if ((size_t)i >= size || text[i] < low || text[i] > high) {
            *codepoint = -1;
            return (size_t)i;
        }
        value = (value << 6) | (text[i] & 0x3F);
    }
    *codepoint = value;
    return (size_t)form.length;
}

static mtli_char_class class_of_category(utf8proc_propval_t category)
{
    if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) {
        return MTLI_CHAR_WORD;
    }
    if (category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME) {
        return MTLI_CHAR_MARK;
    }
    if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO) {
        return MTLI_CHAR_WORD;
    }
    if (category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_SO) {
        return MTLI_CHAR_SYMBOL;
    }
    return MTLI_CHAR_SPACE;
}

mtli_char_class mtli_classify(int32_t codepoint)
{
    if (codepoint == '\'' || codepoint == RIGHT_SINGLE_QUOTE) {
        return MTLI_CHAR_APOSTROPHE;
    }
    const utf8proc_property_t *property = utf8proc_get_property(codepoint);
    if (property->ignorable) {
        return codepoint == ZERO_WIDTH_SPACE ? MTLI_CHAR_SPACE : MTLI_CHAR_IGNORE;
    }
    if (codepoint == IOTA_SUBSCRIPT) {
        return MTLI_CHAR_WORD; /* the one mark that case folding makes a letter */
    }
    return class_of_category(property->category);
}
