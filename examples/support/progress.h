/* SPDX-License-Identifier: Apache-2.0
 * Shows how a training run goes on: a bar on a terminal, plain lines in a file. */
#ifndef EXAMPLES_PROGRESS_H
#define EXAMPLES_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    bool terminal;
    int64_t epochs, batches; /* of the run, and of each epoch */
    int64_t epoch, batch;    /* where it stands; the epoch counts from 1 */
    int64_t tokens;          /* since the beginning of the epoch */
    double run_start, epoch_start, last_shown;
    double loss[2]; /* means of the epoch so far, weighted by rows */
    int64_t rows[2];
} progress;

/** Seconds of a clock that only goes forward. */
double seconds_now(void);

void progress_begin(progress *p, int64_t epochs, int64_t batches);
void progress_begin_epoch(progress *p, int64_t epoch);

/** After a batch: its tokens, and for each task its loss over some labelled rows (0 rows: the loss is not read). */
void progress_batch(progress *p, int64_t tokens, const double loss[2], const int64_t rows[2]);

/** One line that stays: tokens per second and mean losses of the epoch. */
void progress_end_epoch(progress *p);

#endif
