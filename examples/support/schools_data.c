/* SPDX-License-Identifier: Apache-2.0
 * The pupils of the schools example: reads numbers between commas, and divides rows with a generator of its own, so
 * that every machine makes the same splits. */
#include "schools_data.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_LINE = 1 << 16, MOST_TASKS = 65536 };

static void give_up(const char *path, int64_t line, const char *what)
{
    if (line > 0) {
        fprintf(stderr, "%s, line %lld: %s\n", path, (long long)line, what);
    } else {
        fprintf(stderr, "%s: %s\n", path, what);
    }
    exit(1);
}

static void *room(size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size);
    if (!block) {
        fprintf(stderr, "no memory for %zu * %zu bytes\n", count, size);
        exit(1);
    }
    return block;
}

/* The rows as they stand in the file. */
typedef struct lines {
    int64_t rows, capacity;
    int32_t features;
    int32_t *task;
    double *y, *x;
} lines;

static void *grown(void *block, size_t count, size_t size)
{
    block = realloc(block, count * size);
    if (!block) {
        fprintf(stderr, "no memory for %zu * %zu bytes\n", count, size);
        exit(1);
    }
    return block;
}

static void make_place(lines *l)
{
    if (l->rows == l->capacity) {
        l->capacity = l->capacity ? 2 * l->capacity : 1024;
        l->task = grown(l->task, (size_t)l->capacity, sizeof l->task[0]);
        l->y = grown(l->y, (size_t)l->capacity, sizeof l->y[0]);
        l->x = grown(l->x, (size_t)l->capacity * (size_t)l->features, sizeof l->x[0]);
    }
}

/* A number and the comma or the line's end behind it. */
static double next_number(const char *path, int64_t line, char **text, bool last)
{
    char *end;
    errno = 0;
    double value = strtod(*text, &end);
    bool closed = last ? *end == '\n' || *end == '\r' || *end == '\0' : *end == ',';
    if (end == *text || errno != 0 || !isfinite(value) || !closed) {
        give_up(path, line, "a number is missing or wrong");
    }
    *text = end + 1;
    return value;
}

static void read_row(const char *path, int64_t number, char *text, lines *l)
{
    make_place(l);
    double task = next_number(path, number, &text, false);
    if (task < 0 || task >= MOST_TASKS || task != floor(task)) {
        give_up(path, number, "the task is not a number from 0");
    }
    l->task[l->rows] = (int32_t)task;
    l->y[l->rows] = next_number(path, number, &text, false);
    for (int32_t j = 0; j < l->features; j++) {
        l->x[l->rows * l->features + j] = next_number(path, number, &text, j == l->features - 1);
    }
    l->rows++;
}

static void read_lines(const char *path, lines *l)
{
    FILE *file = fopen(path, "r");
    char *text = room(LONGEST_LINE, 1);
    if (!file) {
        give_up(path, 0, strerror(errno));
    }
    if (!fgets(text, LONGEST_LINE, file)) {
        give_up(path, 0, "there is no header");
    }
    for (const char *c = text; *c; c++) {
        l->features += *c == ',';
    }
    if (--l->features < 1) {
        give_up(path, 1, "the header must be task,score,x0,..");
    }
    for (int64_t number = 2; fgets(text, LONGEST_LINE, file); number++) {
        read_row(path, number, text, l);
    }
    if (ferror(file)) {
        give_up(path, 0, strerror(errno));
    }
    fclose(file);
    free(text);
}

/* Brings the rows of a task together, in their order. */
static void sort_rows(const lines *l, schools *out)
{
    int64_t *next = room((size_t)out->tasks, sizeof next[0]);
    for (int64_t i = 0; i < l->rows; i++) {
        out->begin[l->task[i] + 1]++;
    }
    for (int32_t t = 0; t < out->tasks; t++) {
        out->begin[t + 1] += out->begin[t];
        next[t] = out->begin[t];
    }
    for (int64_t i = 0; i < l->rows; i++) {
        int64_t place = next[l->task[i]]++;
        out->line[place] = i;
        out->y[place] = l->y[i];
        memcpy(out->x + place * l->features, l->x + i * l->features, (size_t)l->features * sizeof l->x[0]);
    }
    free(next);
}

static void scale_features(schools *s)
{
    for (int32_t j = 0; j < s->features; j++) {
        double most = 0;
        for (int64_t i = 0; i < s->rows; i++) {
            most = fmax(most, fabs(s->x[i * s->features + j]));
        }
        for (int64_t i = 0; i < s->rows && most > 0; i++) {
            s->x[i * s->features + j] /= most;
        }
    }
}

void read_schools(const char *path, schools *out)
{
    lines l = {0};
    read_lines(path, &l);
    memset(out, 0, sizeof *out);
    for (int64_t i = 0; i < l.rows; i++) {
        out->tasks = l.task[i] >= out->tasks ? l.task[i] + 1 : out->tasks;
    }
    if (out->tasks < 2) {
        give_up(path, 0, "there must be rows of two tasks at least");
    }
    out->features = l.features;
    out->rows = l.rows;
    out->begin = room((size_t)out->tasks + 1, sizeof out->begin[0]);
    out->line = room((size_t)l.rows, sizeof out->line[0]);
    out->x = room((size_t)l.rows * (size_t)l.features, sizeof out->x[0]);
    out->y = room((size_t)l.rows, sizeof out->y[0]);
    sort_rows(&l, out);
    scale_features(out);
    free(l.task);
    free(l.y);
    free(l.x);
}

void free_schools(schools *s)
{
    free(s->begin);
    free(s->line);
    free(s->x);
    free(s->y);
    memset(s, 0, sizeof *s);
}

/* Splitmix64 (Steele, Lea & Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void shuffle(int64_t *rows, int64_t count, uint64_t *state)
{
    for (int64_t i = count - 1; i > 0; i--) {
        int64_t k = (int64_t)(next_random(state) % (uint64_t)(i + 1));
        int64_t kept = rows[i];
        rows[i] = rows[k];
        rows[k] = kept;
    }
}

static void make_selection(const schools *s, selection *out)
{
    out->begin = room((size_t)s->tasks + 1, sizeof out->begin[0]);
    out->rows = room((size_t)s->rows, sizeof out->rows[0]);
}

void divide(const schools *s, const selection *from, double part, uint64_t seed, selection *first, selection *rest)
{
    uint64_t state = seed;
    const int64_t *begin = from ? from->begin : s->begin;
    int64_t *rows = room((size_t)s->rows, sizeof rows[0]);
    make_selection(s, first);
    make_selection(s, rest);
    for (int32_t t = 0; t < s->tasks; t++) {
        int64_t count = begin[t + 1] - begin[t];
        int64_t taken = (int64_t)floor(part * (double)count + 0.5);
        for (int64_t i = 0; i < count; i++) {
            rows[i] = from ? from->rows[begin[t] + i] : begin[t] + i;
        }
        shuffle(rows, count, &state);
        first->begin[t + 1] = first->begin[t] + taken;
        rest->begin[t + 1] = rest->begin[t] + count - taken;
        memcpy(first->rows + first->begin[t], rows, (size_t)taken * sizeof rows[0]);
        memcpy(rest->rows + rest->begin[t], rows + taken, (size_t)(count - taken) * sizeof rows[0]);
    }
    free(rows);
}

void free_selection(selection *s)
{
    free(s->begin);
    free(s->rows);
    memset(s, 0, sizeof *s);
}
