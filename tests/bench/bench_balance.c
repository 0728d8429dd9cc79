/* SPDX-License-Identifier: Apache-2.0
 * Time of one decision of each balancing rule, given the Gram matrix, and the largest residual it leaves. Prints
 * "name value unit" lines: the median and the largest over random task gradients with and without a common part, of
 * full and of half rank, of equal lengths and of lengths over six decades. Usage: bench_balance [matrices] */
#include "support/support_balance.h"

#include <time.h>

enum { MOST_MATRICES = 1000 };

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare_times(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The best of three, each of enough calls to be seen by the clock. */
static double time_of(const balance_rule *rule, balance_case *c, double *residual)
{
    double best = INFINITY;
    int calls = c->tasks <= 16 ? 10 : 1;
    for (int k = 0; k < 3; k++) {
        double begin = seconds_now();
        for (int call = 0; call < calls; call++) {
            mtli_balance_result result = rule->decide(c->tasks, c->gram, c->weights, c->work);
            *residual = fmax(*residual, result.residual);
        }
        best = fmin(best, (seconds_now() - begin) / calls);
    }
    return best;
}

static void measure(const balance_rule *rule, int32_t tasks, int matrices)
{
    double times[MOST_MATRICES];
    double residual = 0;
    mtli_rng rng;
    mtli_rng_init(&rng, 1, (uint64_t)tasks);
    for (int m = 0; m < matrices; m++) {
        balance_case c = balance_create(tasks, 2 * tasks);
        balance_random(&c, m % 4 < 2 ? 2 * tasks : (tasks + 1) / 2, m % 2 ? 1 : 0, m % 8 < 4 ? 0 : 3, &rng);
        times[m] = time_of(rule, &c, &residual);
        balance_free(&c);
    }
    qsort(times, (size_t)matrices, sizeof times[0], compare_times);
    char name[64];
    snprintf(name, sizeof name, "%s", rule->name);
    for (char *p = name; *p; p++) {
        *p = *p == ' ' || *p == '/' ? '_' : *p;
    }
    printf("%s_t%d_median %.2f us\n", name, (int)tasks, times[matrices / 2] * 1e6);
    printf("%s_t%d_most %.2f us\n", name, (int)tasks, times[matrices - 1] * 1e6);
    printf("%s_t%d_residual %.1e 1\n", name, (int)tasks, residual);
}

int main(int argc, char **argv)
{
    int matrices = argc > 1 ? atoi(argv[1]) : 80;
    matrices = matrices < 1 ? 1 : matrices > MOST_MATRICES ? MOST_MATRICES : matrices;
    const int32_t sizes[] = {2, 4, 8, 16, 32, 64, 128};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (int k = 0; k < BALANCE_RULES; k++) {
            measure(&balance_rules[k], sizes[s], sizes[s] > 32 ? (matrices + 3) / 4 : matrices);
        }
    }
    return 0;
}
