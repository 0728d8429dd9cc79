/* SPDX-License-Identifier: Apache-2.0
 * RFC 8259, strictly: UTF-8 is checked, escapes must be whole, nothing follows the value. */
#include "io/json.h"

#include <string.h>

#include "base/number.h"
#include "io/utf8.h"

/* What may come next. */
enum {
    BEFORE_VALUE,
    AFTER_ARRAY_OPEN,  /* a value or ']' */
    AFTER_OBJECT_OPEN, /* a key or '}' */
    AFTER_VALUE,       /* ',' or the end of what encloses it */
    AFTER_ALL
};

_Static_assert(MTLI_JSON_DEPTH <= 64, "one bit per level");

void mtli_json_begin(mtli_json *json, const char *text, size_t size)
{
    memset(json, 0, sizeof *json);
    json->text = text;
    json->size = size;
    json->state = BEFORE_VALUE;
}

static mtli_json_event refuse(mtli_json *json, const char *error)
{
    json->error = error;
    return MTLI_JSON_ERROR;
}

/* The byte at the position; 0 at the end, which is no JSON either. */
static char peek(const mtli_json *json)
{
    return json->position < json->size ? json->text[json->position] : '\0';
}

static void skip_white(mtli_json *json)
{
    for (;;) {
        char c = peek(json);
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
            return;
        }
        json->position++;
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

/* Four hexadecimal digits, or -1. */
static int32_t read_unit(const char *text, size_t size)
{
    int32_t unit = 0;
    if (size < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(text[i]);
        if (digit < 0) {
            return -1;
        }
        unit = unit * 16 + digit;
    }
    return unit;
}

static bool is_high_surrogate(int32_t unit)
{
    return unit >= 0xD800 && unit <= 0xDBFF;
}

static bool is_low_surrogate(int32_t unit)
{
    return unit >= 0xDC00 && unit <= 0xDFFF;
}

/* text begins after "\u". Returns the bytes that were used, 4 or 10; 0 when they are no character. */
static size_t read_scalar(const char *text, size_t size, uint32_t *scalar)
{
    int32_t first = read_unit(text, size);
    if (first < 0 || is_low_surrogate(first)) {
        return 0;
    }
    if (!is_high_surrogate(first)) {
        *scalar = (uint32_t)first;
        return 4;
    }
    if (size < 10 || text[4] != '\\' || text[5] != 'u') {
        return 0;
    }
    int32_t second = read_unit(text + 6, size - 6);
    if (!is_low_surrogate(second)) {
        return 0;
    }
    *scalar = 0x10000u + ((uint32_t)(first - 0xD800) << 10) + (uint32_t)(second - 0xDC00);
    return 10;
}

/* What a one-letter escape stands for; 0 for none. */
static char simple_escape(char c)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    const char *found = c ? strchr(letters, c) : NULL;
    return found ? meanings[found - letters] : '\0';
}

/* The bytes of the escape at the position (which has the backslash); 0 when it is none. */
static size_t escape_length(const mtli_json *json)
{
    const char *text = json->text + json->position;
    size_t left = json->size - json->position;
    uint32_t scalar;
    if (left < 2) {
        return 0;
    }
    if (text[1] != 'u') {
        return simple_escape(text[1]) ? 2 : 0;
    }
    size_t used = read_scalar(text + 2, left - 2, &scalar);
    return used ? used + 2 : 0;
}

static mtli_json_event scan_string(mtli_json *json, mtli_json_event event)
{
    json->start = ++json->position;
    for (;;) {
        if (json->position == json->size) {
            return refuse(json, "a string does not end");
        }
        char c = json->text[json->position];
        if (c == '"') {
            break;
        }
        if ((unsigned char)c < 0x20) {
            return refuse(json, "a control character in a string");
        }
        size_t length = c == '\\' ? escape_length(json)
                                  : mtli_utf8_length(json->text + json->position, json->size - json->position);
        if (length == 0) {
            return refuse(json, c == '\\' ? "an invalid escape" : "invalid UTF-8");
        }
        json->position += length;
    }
    json->length = json->position++ - json->start;
    return event;
}

static bool is_json_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t skip_digits(mtli_json *json)
{
    size_t begin = json->position;
    while (is_json_digit(peek(json))) {
        json->position++;
    }
    return json->position - begin;
}

static mtli_json_event scan_number(mtli_json *json)
{
    bool negative = peek(json) == '-';
    json->position += negative;
    size_t digits = json->position;
    size_t count = skip_digits(json);
    if (count == 0 || (count > 1 && json->text[digits] == '0')) {
        return refuse(json, "an invalid number");
    }
    bool whole = true;
    if (peek(json) == '.') {
        whole = false;
        json->position++;
        if (skip_digits(json) == 0) {
            return refuse(json, "an invalid number");
        }
    }
    if (peek(json) == 'e' || peek(json) == 'E') {
        whole = false;
        json->position++;
        if (peek(json) == '+' || peek(json) == '-') {
            json->position++;
        }
        if (skip_digits(json) == 0) {
            return refuse(json, "an invalid number");
        }
    }
    size_t start = digits - negative;
    bool fits = whole && mtli_parse_integer(json->text + start, count + negative, &json->integer);
    return fits ? MTLI_JSON_INTEGER : MTLI_JSON_REAL;
}

static mtli_json_event scan_word(mtli_json *json, const char *word, mtli_json_event event)
{
    size_t length = strlen(word);
    if (json->size - json->position < length || memcmp(json->text + json->position, word, length) != 0) {
        return refuse(json, "not a value");
    }
    json->position += length;
    return event;
}

static mtli_json_event open_level(mtli_json *json, bool object)
{
    if (json->depth == MTLI_JSON_DEPTH) {
        return refuse(json, "nested too deeply");
    }
    uint64_t bit = (uint64_t)1 << json->depth++;
    json->objects = object ? json->objects | bit : json->objects & ~bit;
    json->state = object ? AFTER_OBJECT_OPEN : AFTER_ARRAY_OPEN;
    json->position++;
    return object ? MTLI_JSON_OBJECT : MTLI_JSON_ARRAY;
}

static bool inside_object(const mtli_json *json)
{
    return json->depth > 0 && (json->objects >> (json->depth - 1) & 1) != 0;
}

static mtli_json_event close_level(mtli_json *json)
{
    bool object = inside_object(json);
    json->depth--;
    json->state = json->depth ? AFTER_VALUE : AFTER_ALL;
    json->position++;
    return object ? MTLI_JSON_OBJECT_END : MTLI_JSON_ARRAY_END;
}

static mtli_json_event scan_value(mtli_json *json)
{
    json->state = json->depth ? AFTER_VALUE : AFTER_ALL;
    switch (peek(json)) {
    case '{':
        return open_level(json, true);
    case '[':
        return open_level(json, false);
    case '"':
        return scan_string(json, MTLI_JSON_STRING);
    case 't':
        return scan_word(json, "true", MTLI_JSON_TRUE);
    case 'f':
        return scan_word(json, "false", MTLI_JSON_FALSE);
    case 'n':
        return scan_word(json, "null", MTLI_JSON_NULL);
    default:
        return peek(json) == '-' || is_json_digit(peek(json)) ? scan_number(json) : refuse(json, "not a value");
    }
}

static mtli_json_event scan_key(mtli_json *json)
{
    if (peek(json) != '"') {
        return refuse(json, "a key is missing");
    }
    if (scan_string(json, MTLI_JSON_KEY) == MTLI_JSON_ERROR) {
        return MTLI_JSON_ERROR;
    }
    skip_white(json);
    if (peek(json) != ':') {
        return refuse(json, "':' is missing");
    }
    json->position++;
    json->state = BEFORE_VALUE;
    return MTLI_JSON_KEY;
}

static mtli_json_event after_value(mtli_json *json)
{
    bool object = inside_object(json);
    char c = peek(json);
    if (c == (object ? '}' : ']')) {
        return close_level(json);
    }
    if (c != ',') {
        return refuse(json, object ? "',' or '}' is missing" : "',' or ']' is missing");
    }
    json->position++;
    skip_white(json);
    return object ? scan_key(json) : scan_value(json);
}

mtli_json_event mtli_json_next(mtli_json *json)
{
    if (json->error) {
        return MTLI_JSON_ERROR;
    }
    skip_white(json);
    switch (json->state) {
    case AFTER_ARRAY_OPEN:
        return peek(json) == ']' ? close_level(json) : scan_value(json);
    case AFTER_OBJECT_OPEN:
        return peek(json) == '}' ? close_level(json) : scan_key(json);
    case AFTER_VALUE:
        return after_value(json);
    case AFTER_ALL:
        return json->position == json->size ? MTLI_JSON_END : refuse(json, "something follows the value");
    default:
        return scan_value(json);
    }
}

size_t mtli_json_string(const mtli_json *json, char *out)
{
    const char *raw = json->text + json->start;
    size_t used = 0;
    for (size_t i = 0; i < json->length;) {
        if (raw[i] != '\\') {
            out[used++] = raw[i++];
        } else if (raw[i + 1] != 'u') {
            out[used++] = simple_escape(raw[i + 1]);
            i += 2;
        } else {
            uint32_t scalar = 0;
            char bytes[4];
            i += 2 + read_scalar(raw + i + 2, json->length - i - 2, &scalar);
            size_t count = mtli_utf8_put(scalar, bytes);
            memcpy(out + used, bytes, count);
            used += count;
        }
    }
    return used;
}

static size_t write_escape(unsigned char c, char out[6])
{
    static const char digits[] = "0123456789abcdef";
    static const char controls[] = "\b\f\n\r\t";
    static const char letters[] = "bfnrt";
    const char *found = c ? strchr(controls, c) : NULL;
    out[0] = '\\';
    if (c == '"' || c == '\\') {
        out[1] = (char)c;
        return 2;
    }
    if (found) {
        out[1] = letters[found - controls];
        return 2;
    }
    out[1] = 'u';
    out[2] = '0';
    out[3] = '0';
    out[4] = digits[c >> 4];
    out[5] = digits[c & 15];
    return 6;
}

void mtli_json_write_string(mtli_buffer *buffer, const char *text, size_t size)
{
    size_t done = 0;
    mtli_buffer_append(buffer, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        char escape[6];
        size_t length = write_escape(c, escape);
        mtli_buffer_append(buffer, text + done, i - done);
        mtli_buffer_append(buffer, escape, length);
        done = i + 1;
    }
    mtli_buffer_append(buffer, text + done, size - done);
    mtli_buffer_append(buffer, "\"", 1);
}
