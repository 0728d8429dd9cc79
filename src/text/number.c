/* SPDX-License-Identifier: Apache-2.0
 * Reading decimal numbers. */
#include "text/number.h"

#include <math.h>
#include <stdint.h>

enum { EXPONENT_MAX = 100000, MANTISSA_DIGITS = 19 };

typedef struct decimal_number {
    uint64_t mantissa;
    int digits;   /* significant ones in the mantissa */
    int exponent; /* value = mantissa * 10^exponent */
} decimal_number;

static bool is_decimal_digit(const char *at, const char *end)
{
    return at < end && *at >= '0' && *at <= '9';
}

static void add_decimal_digit(decimal_number *number, int digit, bool fraction)
{
    if (number->digits < MANTISSA_DIGITS) {
        number->mantissa = 10 * number->mantissa + (uint64_t)digit;
        number->digits += number->mantissa > 0;
        number->exponent -= fraction && number->exponent > -EXPONENT_MAX;
    } else {
        number->exponent += !fraction && number->exponent < EXPONENT_MAX; /* digits beyond double precision */
    }
}

/* Digits, point, digits; NULL when there is no digit. */
static const char *read_decimal_mantissa(const char *at, const char *end, decimal_number *number)
{
    const char *first = at;
    for (; is_decimal_digit(at, end); at++) {
        add_decimal_digit(number, *at - '0', false);
    }
    int64_t count = at - first;
    if (at < end && *at == '.') {
        for (at++; is_decimal_digit(at, end); at++) {
            add_decimal_digit(number, *at - '0', true);
            count++;
        }
    }
    return count > 0 ? at : NULL;
}

static const char *read_decimal_exponent(const char *at, const char *end, decimal_number *number)
{
    if (at == end || (*at != 'e' && *at != 'E')) {
        return at;
    }
    at++;
    bool negative = at < end && *at == '-';
    at += at < end && (*at == '-' || *at == '+');
    if (!is_decimal_digit(at, end)) {
        return NULL;
    }
    int exponent = 0;
    for (; is_decimal_digit(at, end); at++) {
        exponent = exponent < EXPONENT_MAX ? 10 * exponent + (*at - '0') : exponent;
    }
    number->exponent += negative ? -exponent : exponent;
    return at;
}

static double scale_number(const decimal_number *number)
{
    double mantissa = (double)number->mantissa;
    int exponent = number->exponent;
    if (number->mantissa == 0) {
        return 0.0;
    }
    if (exponent < -308) { /* in two steps: 10^-330 alone would be zero */
        return mantissa / pow(10.0, 308.0) / pow(10.0, (double)(-exponent - 308));
    }
    return exponent < 0 ? mantissa / pow(10.0, (double)-exponent) : mantissa * pow(10.0, (double)exponent);
}

bool mtli_parse_real(const char *text, size_t size, double *value)
{
    const char *at = text;
    const char *end = text + size;
    decimal_number number = {0, 0, 0};
    bool negative = at < end && *at == '-';
    at += at < end && (*at == '-' || *at == '+');
    at = read_decimal_mantissa(at, end, &number);
    at = at ? read_decimal_exponent(at, end, &number) : NULL;
    if (at != end) {
        return false;
    }
    double magnitude = scale_number(&number);
    *value = negative ? -magnitude : magnitude;
    return isfinite(magnitude);
}
