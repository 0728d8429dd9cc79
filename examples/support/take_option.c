/* SPDX-License-Identifier: Apache-2.0
 * Options that only one example has; the rest of its command line goes to read_settings(). */
#include "take_option.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *take_option(int *argc, char **argv, const char *name, const char *fallback)
{
    const char *value = fallback;
    int kept = 0;
    for (int i = 0; i < *argc; i += 2) {
        if (i + 1 < *argc && strcmp(argv[i], name) == 0) {
            value = argv[i + 1];
            continue;
        }
        argv[kept++] = argv[i];
        if (i + 1 < *argc) {
            argv[kept++] = argv[i + 1];
        }
    }
    *argc = kept;
    return value;
}

int take_choice(int *argc, char **argv, const char *name, const char *const *words, int count, int fallback)
{
    const char *value = take_option(argc, argv, name, words[fallback]);
    for (int i = 0; i < count; i++) {
        if (strcmp(value, words[i]) == 0) {
            return i;
        }
    }
    fprintf(stderr, "%s %s: expected", name, value);
    for (int i = 0; i < count; i++) {
        fprintf(stderr, " %s", words[i]);
    }
    fputc('\n', stderr);
    exit(2);
}

double take_number(int *argc, char **argv, const char *name, double fallback)
{
    const char *value = take_option(argc, argv, name, NULL);
    char *end = NULL;
    double number = value ? strtod(value, &end) : fallback;
    if (value && (end == value || *end != '\0' || !isfinite(number) || number < 0)) {
        fprintf(stderr, "%s %s: expected a number that is not negative\n", name, value);
        exit(2);
    }
    return number;
}
