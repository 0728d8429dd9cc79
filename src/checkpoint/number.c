/* SPDX-License-Identifier: Apache-2.0
 * printf() and strtod() without the locale's decimal point. */
#include "checkpoint/number.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_number_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_decimal_digits(const char *text)
{
    while (is_number_digit(*text)) {
        text++;
    }
    return text;
}

/* Replaces what stands between the two runs of digits, the locale's decimal point, with '.'. */
static void put_plain_point(char *text)
{
    char *point = text + (*text == '-');
    point += skip_decimal_digits(point) - point;
    char *rest = point;
    while (*rest && !is_number_digit(*rest) && *rest != 'e') {
        rest++;
    }
    if (rest > point) {
        *point = '.';
        memmove(point + 1, rest, strlen(rest) + 1);
    }
}

void mtli_format_real(double value, char text[MTLI_NUMBER_TEXT])
{
    if (!isfinite(value)) {
        snprintf(text, MTLI_NUMBER_TEXT, "%s", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, MTLI_NUMBER_TEXT, "%.*g", digits, value);
        double back = strtod(text, NULL); /* both in the host's locale */
        if (memcmp(&back, &value, sizeof value) == 0) {
            break;
        }
    }
    put_plain_point(text);
}

/* -?digits[.digits][e[+-]digits] */
static bool is_real_text(const char *text)
{
    const char *start = text + (*text == '-');
    const char *end = skip_decimal_digits(start);
    if (end == start) {
        return false;
    }
    if (*end == '.') {
        start = end + 1;
        end = skip_decimal_digits(start);
        if (end == start) {
            return false;
        }
    }
    if (*end == 'e' || *end == 'E') {
        start = end + 1;
        start += *start == '-' || *start == '+';
        end = skip_decimal_digits(start);
        if (end == start) {
            return false;
        }
    }
    return *end == '\0';
}

/* What strtod() takes for a decimal point now. */
static void find_local_point(char point[MTLI_NUMBER_TEXT])
{
    char sample[MTLI_NUMBER_TEXT];
    snprintf(sample, sizeof sample, "%.1f", 0.5); /* 0 POINT 5 */
    size_t length = strlen(sample);
    memcpy(point, sample + 1, length - 2);
    point[length - 2] = '\0';
}

bool mtli_read_real(const char *text, double *value)
{
    char point[MTLI_NUMBER_TEXT];
    char local[3 * MTLI_NUMBER_TEXT];
    if (strlen(text) >= MTLI_NUMBER_TEXT || !is_real_text(text)) {
        return false;
    }
    find_local_point(point);
    const char *dot = strchr(text, '.');
    if (dot) {
        snprintf(local, sizeof local, "%.*s%s%s", (int)(dot - text), text, point, dot + 1);
    } else {
        snprintf(local, sizeof local, "%s", text);
    }
    double result = strtod(local, NULL);
    if (!isfinite(result)) {
        return false;
    }
    *value = result;
    return true;
}

bool mtli_read_integer(const char *text, int64_t *value)
{
    const char *digits = text + (*text == '-');
    const char *end = skip_decimal_digits(digits);
    if (end == digits || *end != '\0') {
        return false;
    }
    errno = 0;
    long long result = strtoll(text, NULL, 10);
    if (errno != 0) {
        return false;
    }
    *value = result;
    return true;
}
