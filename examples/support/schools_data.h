/* SPDX-License-Identifier: Apache-2.0
 * The pupils of the schools example: a table of numbers, and its division into parts. */
#ifndef EXAMPLES_SCHOOLS_DATA_H
#define EXAMPLES_SCHOOLS_DATA_H

#include <stdint.h>

/** Rows of all tasks, those of a task together. */
typedef struct schools {
    int32_t tasks, features;
    int64_t rows;
    int64_t *begin; /* [tasks + 1]: the rows of task t are begin[t] .. begin[t + 1] */
    int64_t *line;  /* [rows]: where a row stands in the file, from 0, without the header */
    double *x;      /* [rows, features] */
    double *y;      /* [rows] */
} schools;

/** Rows of the table, task by task. */
typedef struct selection {
    int64_t *begin; /* [tasks + 1] */
    int64_t *rows;  /* [begin[tasks]]: into schools.x and y */
} selection;

/** Reads a table: a header, then lines of a task's number, its score and its features, with commas between. Each
 *  feature is divided by its largest magnitude: percentages stand beside zeros and ones. Ends the program with a
 *  message when it cannot. */
void read_schools(const char *path, schools *out);
void free_schools(schools *schools);

/** Divides each task's rows at random: the first part (a fraction, rounded) and the rest. `from` NULL: all rows. */
void divide(const schools *schools, const selection *from, double part, uint64_t seed, selection *first,
            selection *rest);
void free_selection(selection *selection);

#endif
