/* SPDX-License-Identifier: Apache-2.0
 * What the review tasks example counts, chooses by, and prints at its end. */
#include "review_scores.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "check.h"

double percent(int64_t part, int64_t rows)
{
    return rows > 0 ? 100.0 * (double)part / (double)rows : (double)NAN;
}

bool better(const score *a, const score *b)
{
    return a->wrong < b->wrong || (a->wrong == b->wrong && a->loss < b->loss);
}

mean_errors print_scores(const choice best[REVIEW_TASKS])
{
    mean_errors mean = {0, 0, 0};
    printf("%-22s %6s %12s %12s %22s\n", "task", "epoch", "development", "test", "without repeated rows");
    for (int t = 0; t < REVIEW_TASKS; t++) {
        const score *d = &best[t].development, *r = &best[t].test;
        double errors[3] = {percent(d->wrong, d->rows), percent(r->wrong, r->rows), percent(r->new_wrong, r->new_rows)};
        printf("%-22s %6lld %12.2f %12.2f %12.2f of %lld\n", review_task_names[t], (long long)best[t].epoch, errors[0],
               errors[1], errors[2], (long long)r->new_rows);
        mean.development += errors[0] / REVIEW_TASKS;
        mean.test += errors[1] / REVIEW_TASKS;
        mean.fresh += errors[2] / REVIEW_TASKS;
    }
    printf("mean error in percent: development %.3f, test %.3f, without repeated rows %.3f\n", mean.development,
           mean.test, mean.fresh);
    return mean;
}

/* The test errors of a table that print_scores() has written. @return how many there are */
static int read_errors(FILE *file, double errors[REVIEW_TASKS])
{
    char line[512], name[64];
    int found = 0;
    while (found < REVIEW_TASKS && fgets(line, sizeof line, file)) {
        double error;
        if (sscanf(line, "%63s %*d %*f %lf", name, &error) == 2 && strcmp(name, review_task_names[found]) == 0) {
            errors[found++] = error;
        }
    }
    return found;
}

void print_change(mtl_context *context, const choice best[REVIEW_TASKS], const char *path)
{
    double errors[REVIEW_TASKS], baseline[REVIEW_TASKS], change;
    int32_t lower_is_better[REVIEW_TASKS];
    FILE *file = fopen(path, "r");
    if (!file || read_errors(file, baseline) != REVIEW_TASKS) {
        fprintf(stderr, "%s: %s\n", path, file ? "not the errors of 16 tasks" : strerror(errno));
        exit(1);
    }
    fclose(file);
    for (int t = 0; t < REVIEW_TASKS; t++) {
        errors[t] = percent(best[t].test.wrong, best[t].test.rows);
        lower_is_better[t] = 1;
    }
    CHECK(context, mtl_delta_m(context, REVIEW_TASKS, errors, baseline, lower_is_better, &change));
    printf("delta m of the test errors against %s: %+.1f %% (more than 0 is better)\n", path, 100 * change);
}
