/* SPDX-License-Identifier: Apache-2.0
 * Shows how a training run goes on: a bar on a terminal, plain lines in a file. */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 24 };

double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void progress_begin(progress *p, int64_t epochs, int64_t batches)
{
    memset(p, 0, sizeof *p);
    p->terminal = isatty(STDOUT_FILENO) != 0;
    p->epochs = epochs;
    p->batches = batches;
    p->run_start = seconds_now();
}

void progress_begin_epoch(progress *p, int64_t epoch)
{
    p->epoch = epoch;
    p->batch = 0;
    p->tokens = 0;
    p->epoch_start = p->last_shown = seconds_now();
    memset(p->loss, 0, sizeof p->loss);
    memset(p->rows, 0, sizeof p->rows);
}

static void print_losses(const progress *p)
{
    static const char *const names[2] = {"sentiment", "topic"};
    for (int t = 0; t < 2; t++) {
        if (p->rows[t] > 0) {
            printf("  %s %.4f", names[t], p->loss[t] / (double)p->rows[t]);
        }
    }
}

static double rate(const progress *p)
{
    double time = seconds_now() - p->epoch_start;
    return time > 0 ? (double)p->tokens / time : 0;
}

static void print_bar(const progress *p)
{
    double part = p->batches > 0 ? (double)p->batch / (double)p->batches : 1;
    double done = ((double)(p->epoch - 1) + part) / (double)p->epochs;
    int left = (int)((seconds_now() - p->run_start) * (1 - done) / (done > 0 ? done : 1));
    int filled = (int)(part * BAR);
    printf("\repoch %lld/%lld [", (long long)p->epoch, (long long)p->epochs);
    for (int i = 0; i < BAR; i++) {
        putchar(i < filled ? '#' : '.');
    }
    printf("] %3.0f%%  %.0f tokens/s", 100 * part, rate(p));
    print_losses(p);
    printf("  %d:%02d left \033[K", left / 60, left % 60);
    fflush(stdout);
}

void progress_batch(progress *p, int64_t tokens, const double loss[2], const int64_t rows[2])
{
    p->batch++;
    p->tokens += tokens;
    for (int t = 0; t < 2; t++) {
        if (rows[t] > 0) {
            p->loss[t] += loss[t] * (double)rows[t];
            p->rows[t] += rows[t];
        }
    }
    if (p->terminal && seconds_now() - p->last_shown > 0.1) {
        print_bar(p);
        p->last_shown = seconds_now();
    }
}

void progress_end_epoch(progress *p)
{
    printf("%sepoch %lld/%lld  %.1f s  %.0f tokens/s", p->terminal ? "\r\033[K" : "", (long long)p->epoch,
           (long long)p->epochs, seconds_now() - p->epoch_start, rate(p));
    print_losses(p);
    putchar('\n');
    fflush(stdout);
}
