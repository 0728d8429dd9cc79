/* SPDX-License-Identifier: Apache-2.0
 * What the review tasks example counts, chooses by, and prints at its end. */
#ifndef EXAMPLES_REVIEW_SCORES_H
#define EXAMPLES_REVIEW_SCORES_H

#include <stdbool.h>

#include <mtl/mtl.h>

#include "review_tasks.h"

/** What is counted on a part of a task's rows. */
typedef struct score {
    int64_t rows, wrong;         /* all rows */
    int64_t new_rows, new_wrong; /* without those whose text occurs in training */
    double loss;                 /* sum over all rows */
} score;

/** The best epoch so far of a task, and what was measured then. */
typedef struct choice {
    int64_t epoch;
    score development, test;
} choice;

/** NaN without rows. */
double percent(int64_t part, int64_t rows);

/** Fewer errors; with as many, a lower loss. */
bool better(const score *a, const score *b);

/** Errors in percent: means over the tasks. */
typedef struct mean_errors {
    double development, test, fresh; /* fresh: without repeated texts */
} mean_errors;

/** Prints a table. @return its means */
mean_errors print_scores(const choice best[REVIEW_TASKS]);

/** Prints Δ_m of the test errors against those that another run printed: the output of --method single, for instance. Ends
 *  the program when the file does not hold them. */
void print_change(mtl_context *context, const choice best[REVIEW_TASKS], const char *path);

#endif
