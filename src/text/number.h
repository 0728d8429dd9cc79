/* SPDX-License-Identifier: Apache-2.0
 * Decimal numbers without strtod(), which depends on the host's locale. */
#ifndef MTLI_TEXT_NUMBER_H
#define MTLI_TEXT_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

/** [+-]digits[.digits][e[+-]digits], at least one digit, all of text; false when it is not that or not finite. Exact to
 *  the last bit up to 15 digits and exponents of 22, else to a few units in the last place. */
bool mtli_parse_real(const char *text, size_t size, double *value);

#endif
