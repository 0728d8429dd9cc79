/* SPDX-License-Identifier: Apache-2.0
 * How much the gradients of tasks agree, as a picture: a square of cells, red where two tasks are in conflict. */
#ifndef EXAMPLES_HEAT_MAP_H
#define EXAMPLES_HEAT_MAP_H

#include <stdint.h>
#include <stdio.h>

/** Prints [count, count] cosines with a legend: a cell has its number in hundredths, and on a terminal its colour (24 bits
 *  where COLORTERM says so, else 256 colours; none with NO_COLOR). Colours reach from the largest magnitude beside the
 *  diagonal to its opposite.
 *
 *  @param[in] out      where to
 *  @param[in] names    [count] tasks
 *  @param[in] count    their number
 *  @param[in] cosines  [count, count]; NaN: unknown */
void print_heat_map(FILE *out, const char *const *names, int32_t count, const double *cosines);

#endif
