/* SPDX-License-Identifier: Apache-2.0
 * Arithmetic on sizes that says when it overflows. */
#ifndef MTLI_BASE_CHECKED_H
#define MTLI_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** *out = a * b; false (and *out untouched) when that does not fit. */
static inline bool mtli_mul_size(size_t a, size_t b, size_t *out)
{
    if (b != 0 && a > SIZE_MAX / b) {
        return false;
    }
    *out = a * b;
    return true;
}

/** *out = a + b; false (and *out untouched) when that does not fit. */
static inline bool mtli_add_size(size_t a, size_t b, size_t *out)
{
    if (a > SIZE_MAX - b) {
        return false;
    }
    *out = a + b;
    return true;
}

/** *out = a * b for a, b >= 0; false (and *out untouched) when that does not fit. */
static inline bool mtli_mul_i64(int64_t a, int64_t b, int64_t *out)
{
    if (a < 0 || b < 0 || (b != 0 && a > INT64_MAX / b)) {
        return false;
    }
    *out = a * b;
    return true;
}

/** Rounds up to a multiple of a power of two; SIZE_MAX when that does not fit. */
static inline size_t mtli_round_up(size_t size, size_t multiple)
{
    return size > SIZE_MAX - (multiple - 1) ? SIZE_MAX : (size + multiple - 1) & ~(multiple - 1);
}

#endif
