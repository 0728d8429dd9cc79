/* SPDX-License-Identifier: Apache-2.0
 * Numbers as decimal text, to the last bit and whatever locale the host has set. */
#ifndef MTLI_BASE_NUMBER_H
#define MTLI_BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MTLI_NUMBER_TEXT = 64 };

/** The fewest digits that mtli_parse_real() reads back as the same double (normal numbers of up to 15 digits in their
 *  usual form, without trailing zeros); the point is '.'. Also "inf", "-inf" and "nan", which are not read back. */
void mtli_format_real(double value, char text[MTLI_NUMBER_TEXT]);

/** Reads [+-]digits[.digits][e[+-]digits], at least one digit before the exponent, all of text and of any length: the
 *  double that lies nearest. False, with *value untouched, when it is not that or is beyond the finite doubles. */
bool mtli_parse_real(const char *text, size_t size, double *value);

/** Reads [-]digits, all of text. False, with *value untouched, when it is not that or does not fit. */
bool mtli_parse_integer(const char *text, size_t size, int64_t *value);

#endif
