/* SPDX-License-Identifier: Apache-2.0
 * What a balancer tells about its steps, gathered by epochs: for a CSV file and a heat map. */
#include "balance_log.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "heat_map.h"

static void *room(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return memory;
}

static void fail_to_write(void)
{
    fprintf(stderr, "the CSV file cannot be written: %s\n", strerror(errno));
    exit(1);
}

void balance_log_open(balance_log *log, const char *const *names, int32_t tasks, const char *csv)
{
    size_t n = (size_t)tasks;
    memset(log, 0, sizeof *log);
    log->names = names;
    log->tasks = tasks;
    log->losses = room(n, sizeof log->losses[0]);
    log->weights = room(n, sizeof log->weights[0]);
    log->norms = room(n, sizeof log->norms[0]);
    log->cosines = room(n * n, sizeof log->cosines[0]);
    log->conflicts = room(n * n, sizeof log->conflicts[0]);
    log->shown = room(n * n, sizeof log->shown[0]);
    log->csv = csv ? fopen(csv, "w") : NULL;
    if (csv && !log->csv) {
        fail_to_write();
    }
    if (log->csv) {
        fprintf(log->csv, "epoch,step,task,loss,weight,norm,conflict_rate");
        for (int32_t t = 0; t < tasks; t++) {
            fprintf(log->csv, ",cosine_%s", names[t]);
        }
        fputc('\n', log->csv);
    }
}

static void add(balance_mean *mean, double value)
{
    if (!isnan(value)) {
        mean->sum += value;
        mean->count++;
    }
}

static double value_of(balance_mean mean)
{
    return mean.count > 0 ? mean.sum / (double)mean.count : (double)NAN;
}

void balance_log_add(void *user, const mtl_balance_report *report)
{
    balance_log *log = user;
    log->step = report->step;
    for (int32_t t = 0; t < log->tasks; t++) {
        add(&log->losses[t], report->losses[t]);
        add(&log->weights[t], report->weights[t]);
    }
    for (int32_t t = 0; report->measured && t < log->tasks; t++) {
        add(&log->norms[t], report->norms[t]);
        for (int32_t s = 0; s < log->tasks; s++) {
            double cosine = report->cosines[t * log->tasks + s];
            if (s != t && !isnan(cosine)) {
                add(&log->cosines[t * log->tasks + s], cosine);
                add(&log->conflicts[t * log->tasks + s], cosine < 0 ? 1 : 0);
            }
        }
    }
}

/* A number that is not known is an empty field. */
static void write_field(FILE *file, double value)
{
    fprintf(file, isnan(value) ? "," : ",%.6g", value);
}

/* The share of a task's pairs that were in conflict. */
static balance_mean conflicts_of(const balance_log *log, int32_t task)
{
    balance_mean all = {0, 0};
    for (int32_t s = 0; s < log->tasks; s++) {
        all.sum += log->conflicts[task * log->tasks + s].sum;
        all.count += log->conflicts[task * log->tasks + s].count;
    }
    return all;
}

static void write_task(const balance_log *log, int64_t epoch, int32_t t)
{
    fprintf(log->csv, "%lld,%lld,%s", (long long)epoch, (long long)log->step, log->names[t]);
    write_field(log->csv, value_of(log->losses[t]));
    write_field(log->csv, value_of(log->weights[t]));
    write_field(log->csv, value_of(log->norms[t]));
    write_field(log->csv, value_of(conflicts_of(log, t)));
    for (int32_t s = 0; s < log->tasks; s++) {
        write_field(log->csv, log->shown[t * log->tasks + s]);
    }
    fputc('\n', log->csv);
}

double balance_log_end_epoch(balance_log *log, int64_t epoch)
{
    size_t n = (size_t)log->tasks;
    balance_mean all = {0, 0};
    for (int32_t t = 0; t < log->tasks; t++) {
        for (int32_t s = 0; s < log->tasks; s++) {
            log->shown[t * log->tasks + s] = value_of(log->cosines[t * log->tasks + s]);
        }
        balance_mean own = conflicts_of(log, t);
        all.sum += own.sum;
        all.count += own.count;
    }
    for (int32_t t = 0; log->csv && t < log->tasks; t++) {
        write_task(log, epoch, t);
    }
    memset(log->losses, 0, n * sizeof log->losses[0]);
    memset(log->weights, 0, n * sizeof log->weights[0]);
    memset(log->norms, 0, n * sizeof log->norms[0]);
    memset(log->cosines, 0, n * n * sizeof log->cosines[0]);
    memset(log->conflicts, 0, n * n * sizeof log->conflicts[0]);
    return value_of(all);
}

void balance_log_print_map(const balance_log *log)
{
    for (int32_t i = 0; i < log->tasks * log->tasks; i++) {
        if (!isnan(log->shown[i])) {
            print_heat_map(stdout, log->names, log->tasks, log->shown);
            return;
        }
    }
}

void balance_log_close(balance_log *log)
{
    if (log->csv && (ferror(log->csv) != 0 || fclose(log->csv) != 0)) {
        fail_to_write();
    }
    free(log->losses);
    free(log->weights);
    free(log->norms);
    free(log->cosines);
    free(log->conflicts);
    free(log->shown);
    memset(log, 0, sizeof *log);
}
