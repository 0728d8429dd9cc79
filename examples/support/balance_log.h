/* SPDX-License-Identifier: Apache-2.0
 * What a balancer tells about its steps, gathered by epochs: for a CSV file and a heat map. */
#ifndef EXAMPLES_BALANCE_LOG_H
#define EXAMPLES_BALANCE_LOG_H

#include <stdio.h>

#include <mtl/mtl.h>

/** A sum with the number of its terms: a mean. */
typedef struct balance_mean {
    double sum;
    int64_t count;
} balance_mean;

typedef struct balance_log {
    const char *const *names; /* [tasks] */
    int32_t tasks;
    FILE *csv; /* NULL: none */
    int64_t step;
    balance_mean *losses, *weights, *norms; /* [tasks] of the epoch */
    balance_mean *cosines, *conflicts;      /* [tasks, tasks] of the epoch: where both tasks were measured */
    double *shown;                          /* [tasks, tasks] mean cosines of the epoch that ended last; NaN: unknown */
} balance_log;

/** Begins. The names stay the caller's. `csv` NULL: no file. Ends the program when the file cannot be written. */
void balance_log_open(balance_log *log, const char *const *names, int32_t tasks, const char *csv);

/** The monitor of a balancer: mtl_balancer_set_monitor(balancer, balance_log_add, log). */
void balance_log_add(void *log, const mtl_balance_report *report);

/** Ends an epoch: writes a line for each task to the CSV file and begins anew.
 *  @return the share of pairs of tasks that were in conflict, of those measured in the epoch; NaN when none was */
double balance_log_end_epoch(balance_log *log, int64_t epoch);

/** Prints the mean cosines of the epoch that ended last; nothing when none were measured. */
void balance_log_print_map(const balance_log *log);

/** Ends. Ends the program when the file could not be written. */
void balance_log_close(balance_log *log);

#endif
