/* SPDX-License-Identifier: Apache-2.0
 * snprintf() and strtod() round correctly, but write and expect the locale's decimal point: what is written gets a
 * plain one, and what is read is given to strtod() as digits and exponent, which need none. */
#include "base/number.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A double, and the middle between two of them, has at most 767 significant digits: beyond, it only matters whether
 * there is more. EXPONENT_MOST: 10^that is beyond double with any number of kept digits. */
enum { DIGITS_KEPT = 768, EXPONENT_MOST = 9999, EXPONENT_TEXT = 16 };

/* Value = digits * 10^exponent. */
typedef struct decimal {
    char digits[DIGITS_KEPT + 1 + EXPONENT_TEXT]; /* room for the last digit and the exponent of strtod()'s text */
    size_t count;
    int64_t exponent;
    bool more; /* a digit that is not 0 was left out */
} decimal;

static bool is_digit_at(const char *at, const char *end)
{
    return at < end && *at >= '0' && *at <= '9';
}

static void add_digit(decimal *number, char digit, bool fraction)
{
    if (number->count == DIGITS_KEPT) {
        number->more = number->more || digit != '0';
        number->exponent += !fraction;
        return;
    }
    if (number->count > 0 || digit != '0') {
        number->digits[number->count++] = digit;
    }
    number->exponent -= fraction;
}

/* Digits, point, digits; NULL when there is no digit. */
static const char *read_mantissa(const char *at, const char *end, decimal *number)
{
    bool any = is_digit_at(at, end);
    for (; is_digit_at(at, end); at++) {
        add_digit(number, *at, false);
    }
    if (at < end && *at == '.') {
        at++;
        any = any || is_digit_at(at, end);
        for (; is_digit_at(at, end); at++) {
            add_digit(number, *at, true);
        }
    }
    return any ? at : NULL;
}

static const char *read_exponent(const char *at, const char *end, decimal *number)
{
    if (at == end || (*at != 'e' && *at != 'E')) {
        return at;
    }
    at++;
    bool negative = at < end && *at == '-';
    at += at < end && (*at == '-' || *at == '+');
    if (!is_digit_at(at, end)) {
        return NULL;
    }
    int64_t exponent = 0;
    for (; is_digit_at(at, end); at++) {
        exponent = exponent < INT64_MAX / 100 ? 10 * exponent + (*at - '0') : exponent; /* more than text has digits */
    }
    number->exponent += negative ? -exponent : exponent;
    return at;
}

static double nearest_double(decimal *number)
{
    if (number->count == 0) {
        return 0.0;
    }
    int64_t exponent = number->exponent;
    if (number->more) {
        number->digits[number->count++] = '1';
        exponent--;
    }
    exponent = exponent > EXPONENT_MOST ? EXPONENT_MOST : exponent < -EXPONENT_MOST ? -EXPONENT_MOST : exponent;
    snprintf(number->digits + number->count, EXPONENT_TEXT, "e%d", (int)exponent);
    return strtod(number->digits, NULL);
}

bool mtli_parse_real(const char *text, size_t size, double *value)
{
    const char *at = text;
    const char *end = text + size;
    decimal number;
    number.count = 0;
    number.exponent = 0;
    number.more = false;
    bool negative = at < end && *at == '-';
    at += at < end && (*at == '-' || *at == '+');
    at = read_mantissa(at, end, &number);
    at = at ? read_exponent(at, end, &number) : NULL;
    if (at != end) {
        return false;
    }
    double magnitude = nearest_double(&number);
    if (!isfinite(magnitude)) {
        return false;
    }
    *value = negative ? -magnitude : magnitude;
    return true;
}

/* Replaces what stands between the two runs of digits, the locale's decimal point, with '.'. */
static void put_plain_point(char *text)
{
    const char *end = text + strlen(text);
    char *point = text + (*text == '-');
    while (is_digit_at(point, end)) {
        point++;
    }
    char *rest = point;
    while (rest < end && !is_digit_at(rest, end) && *rest != 'e') {
        rest++;
    }
    if (rest > point) {
        *point = '.';
        memmove(point + 1, rest, (size_t)(end - rest) + 1);
    }
}

void mtli_format_real(double value, char text[MTLI_NUMBER_TEXT])
{
    if (!isfinite(value)) {
        snprintf(text, MTLI_NUMBER_TEXT, "%s", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
        return;
    }
    /* 15 digits lose nothing that had as many, and trailing zeros are not written; denormals carry fewer. */
    for (int digits = fabs(value) < DBL_MIN ? 1 : DBL_DIG; digits <= DBL_DECIMAL_DIG; digits++) {
        double back = 0.0;
        snprintf(text, MTLI_NUMBER_TEXT, "%.*g", digits, value);
        put_plain_point(text);
        if (mtli_parse_real(text, strlen(text), &back) && memcmp(&back, &value, sizeof value) == 0) {
            return;
        }
    }
}

bool mtli_parse_integer(const char *text, size_t size, int64_t *value)
{
    const char *at = text;
    const char *end = text + size;
    bool negative = at < end && *at == '-';
    at += negative;
    if (at == end) {
        return false;
    }
    int64_t number = 0; /* the negative of what was read: int64 reaches further there */
    for (; is_digit_at(at, end); at++) {
        int digit = *at - '0';
        if (number < (INT64_MIN + digit) / 10) {
            return false;
        }
        number = 10 * number - digit;
    }
    if (at != end || (!negative && number == INT64_MIN)) {
        return false;
    }
    *value = negative ? number : -number;
    return true;
}
