/* SPDX-License-Identifier: Apache-2.0
 * Many small regressions that help each other: the examination scores of pupils, one linear model per school, held
 * together by penalties on their weights. Each penalty is compared with schools that learn alone.
 *
 *   schools --data FILE [--splits 10] [--methods ridge,trace,..] [--dump FILE] ...
 *
 * The file is a table with the header task,score,x0,x1,.. and a line per pupil. Each split takes part of every school's
 * pupils at random for training and measures on the others. The coefficients of a method are those that do best on a
 * fifth of the training pupils; then it learns from all of them. */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "support/check.h"
#include "support/progress.h"
#include "support/schools_data.h"

enum { MOST_PARTS = 2, MOST_CHOICES = 8, LONGEST_NAME = 24 };

/** A falling row of values. */
typedef struct grid {
    double most, factor;
    int count;
} grid;

typedef struct part {
    int32_t kind, form, group;
} part;

/** What holds the schools together: one penalty, the sum of two, or two over the parts of W = P + Q. */
typedef struct method {
    const char *name, *title;
    int num_parts;
    bool split;
    part parts[MOST_PARTS];
    grid first;                     /* coefficients of the first part */
    grid second;                    /* of the second; with clusters: η */
    int32_t clusters[MOST_CHOICES]; /* numbers to choose from, ended by 0 */
} method;

static const method methods[] = {
    {.name = "ridge",
     .title = "alone (ridge)",
     .num_parts = 1,
     .parts = {{MTL_PENALTY_L2, MTL_L2_RIDGE, 0}},
     .first = {1000, 0.4, 12}},
    {.name = "l21",
     .title = "L2,1",
     .num_parts = 1,
     .parts = {{MTL_PENALTY_L21, 0, MTL_GROUP_COORDINATE}},
     .first = {2000, 0.5, 10}},
    {.name = "trace",
     .title = "trace norm",
     .num_parts = 1,
     .parts = {{MTL_PENALTY_TRACE_NORM, 0, 0}},
     .first = {2000, 0.6, 12}},
    {.name = "mean",
     .title = "mean-regularized",
     .num_parts = 2,
     .parts = {{MTL_PENALTY_L2, MTL_L2_MEAN, 0}, {MTL_PENALTY_L2, MTL_L2_RIDGE, 0}},
     .first = {1000, 0.4, 9},
     .second = {1, 0.1, 4}},
    {.name = "clustered",
     .title = "clustered",
     .num_parts = 1,
     .parts = {{MTL_PENALTY_CLUSTERED, 0, 0}},
     .first = {4000, 0.4, 10},
     .second = {0.1, 0.1, 3},
     .clusters = {1, 2, 4}},
    {.name = "robust",
     .title = "low rank + outlier tasks",
     .num_parts = 2,
     .split = true,
     .parts = {{MTL_PENALTY_TRACE_NORM, 0, 0}, {MTL_PENALTY_L21, 0, MTL_GROUP_TASK}},
     .first = {1000, 0.6, 8},
     .second = {400, 0.5, 4}},
    {.name = "dirty",
     .title = "dirty",
     .num_parts = 2,
     .split = true,
     .parts = {{MTL_PENALTY_LINF1, 0, MTL_GROUP_COORDINATE}, {MTL_PENALTY_L1, 0, 0}},
     .first = {8000, 0.5, 7},
     .second = {200, 0.5, 4}},
};

enum { METHODS = sizeof methods / sizeof methods[0] };

typedef struct settings {
    const char *data, *methods, *dump;
    int64_t splits, seed, threads;
    double train, tolerance;
} settings;

/** Everything that lasts from split to split. */
typedef struct program {
    settings s;
    schools data;
    mtl_context *context;
    mtl_model *model;
    mtl_tape *tape;
    const char **names; /* of the heads, one per school */
    char *text;         /* where they stand */
    FILE *dump;
} program;

/** The rows of a selection, as the library wants them. */
typedef struct samples {
    mtl_tensor **x, **y; /* [tasks] */
    const selection *rows;
} samples;

/** The coefficients of a method. */
typedef struct choice {
    double first, second;
    int32_t clusters;
} choice;

/** The penalties of a method with one choice. */
typedef struct penalties {
    mtl_penalty *parts[MOST_PARTS]; /* the coefficient of the first is changed along the path */
    mtl_penalty *split;             /* or NULL */
} penalties;

/* Data ------------------------------------------------------------------------------------------------------------ */

static void *take(size_t count, size_t size)
{
    void *block = calloc(count, size);
    if (!block) {
        fprintf(stderr, "no memory for %zu * %zu bytes\n", count, size);
        exit(1);
    }
    return block;
}

static mtl_tensor *gather(program *p, const double *values, int64_t width, const int64_t *rows, int64_t count)
{
    mtl_tensor *tensor = NULL;
    const int64_t shape[] = {count, width};
    double *copy = take((size_t)(count * width) + 1, sizeof copy[0]);
    for (int64_t i = 0; i < count; i++) {
        memcpy(copy + i * width, values + rows[i] * width, (size_t)width * sizeof copy[0]);
    }
    CHECK(p->context, mtl_tensor_create(p->context, MTL_FLOAT32, 2, shape, &tensor));
    CHECK(p->context, mtl_tensor_write(tensor, MTL_FLOAT64, copy, (size_t)(count * width)));
    free(copy);
    return tensor;
}

static samples make_samples(program *p, const selection *rows)
{
    const schools *d = &p->data;
    samples s = {take((size_t)d->tasks, sizeof s.x[0]), take((size_t)d->tasks, sizeof s.y[0]), rows};
    for (int32_t t = 0; t < d->tasks; t++) {
        const int64_t *first = rows->rows + rows->begin[t];
        int64_t count = rows->begin[t + 1] - rows->begin[t];
        s.x[t] = gather(p, d->x, d->features, first, count);
        s.y[t] = gather(p, d->y, 1, first, count);
    }
    return s;
}

static void free_samples(program *p, samples *s)
{
    for (int32_t t = 0; t < p->data.tasks; t++) {
        mtl_tensor_release(s->x[t]);
        mtl_tensor_release(s->y[t]);
    }
    free(s->x);
    free(s->y);
}

/* Models ---------------------------------------------------------------------------------------------------------- */

static void build_model(program *p)
{
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.threads = (int32_t)p->s.threads;
    if (mtl_context_create(&options, &p->context) != MTL_OK) {
        exit(1);
    }
    CHECK(p->context, mtl_model_create(p->context, NULL, &p->model));
    CHECK(p->context, mtl_tape_create(p->context, NULL, &p->tape));
    p->names = take((size_t)p->data.tasks, sizeof p->names[0]);
    p->text = take((size_t)p->data.tasks, LONGEST_NAME);
    for (int32_t t = 0; t < p->data.tasks; t++) {
        mtl_head *head = NULL;
        char *name = p->text + t * LONGEST_NAME;
        snprintf(name, LONGEST_NAME, "school%d", (int)t);
        CHECK(p->context, mtl_head_create_regressor(p->context, p->data.features, 1, NULL, &head));
        CHECK(p->context, mtl_model_add_head(p->model, name, head));
        mtl_head_release(head);
        p->names[t] = name;
    }
}

static void forget_weights(program *p)
{
    double *zeros = take((size_t)p->data.features, sizeof zeros[0]);
    for (int64_t i = 0; i < mtl_model_num_parameters(p->model); i++) {
        mtl_tensor *parameter = mtl_model_parameter(p->model, i);
        CHECK(p->context, mtl_tensor_write(parameter, MTL_FLOAT64, zeros, (size_t)mtl_tensor_size(parameter)));
    }
    free(zeros);
}

static mtl_penalty *make_penalty(program *p, const part *of, const choice *c, double coefficient)
{
    mtl_penalty *penalty = NULL;
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    options.kind = of->kind;
    options.form = of->form;
    options.group = of->group;
    options.coefficient = coefficient;
    options.parameters = "weight"; /* not the biases */
    if (of->kind == MTL_PENALTY_CLUSTERED) {
        options.clusters = c->clusters;
        options.clustering = c->second;
    }
    CHECK(p->context, mtl_penalty_create(p->model, p->names, p->data.tasks, &options, &penalty));
    return penalty;
}

static penalties make_penalties(program *p, const method *m, const choice *c)
{
    penalties made = {{NULL, NULL}, NULL};
    for (int k = 0; k < m->num_parts; k++) {
        made.parts[k] = make_penalty(p, &m->parts[k], c, k == 0 ? c->first : c->second);
    }
    if (m->split) {
        CHECK(p->context, mtl_penalty_create_split(made.parts[0], made.parts[1], &made.split));
    }
    return made;
}

static void destroy_penalties(penalties *made)
{
    mtl_penalty_destroy(made->parts[0]);
    mtl_penalty_destroy(made->parts[1]);
    mtl_penalty_destroy(made->split);
}

static mtl_linear_report fit(program *p, const method *m, penalties *made, double first, double tolerance,
                             const samples *s)
{
    mtl_linear_report report = MTL_LINEAR_REPORT_INIT;
    mtl_linear_options options = MTL_LINEAR_OPTIONS_INIT;
    options.reduction = MTL_REDUCTION_SUM; /* every pupil counts the same */
    options.tolerance = tolerance;
    CHECK(p->context, mtl_penalty_set_coefficient(made->parts[0], first));
    mtl_penalty *const *used = m->split ? &made->split : made->parts;
    int32_t count = m->split ? 1 : m->num_parts;
    CHECK(p->context, mtl_linear_fit(p->model, p->names, p->data.tasks, s->x, s->y, used, count, &options, &report));
    if (!report.converged) {
        fprintf(stderr, "%s: %lld iterations did not suffice\n", m->name, (long long)report.iterations);
    }
    return report;
}

/* Measuring ------------------------------------------------------------------------------------------------------- */

/* Σ (prediction - y)², by the heads' forward pass. */
static double squared_error(program *p, const samples *s)
{
    double sum = 0;
    for (int32_t t = 0; t < p->data.tasks; t++) {
        double loss;
        int64_t rows = mtl_tensor_dim(s->x[t], 0);
        mtl_tape_reset(p->tape, MTL_TAPE_INFER);
        mtl_tensor *predicted = mtl_head_forward(mtl_model_head(p->model, p->names[t]), p->tape, s->x[t]);
        CHECK(p->context, mtl_tensor_item(mtl_mean_squared_error(p->tape, predicted, s->y[t]), &loss));
        sum += loss * (double)rows;
    }
    return sum;
}

/* Σ (y - ȳ)² over the rows of all tasks together. */
static double squared_deviation(const program *p, const selection *rows)
{
    double mean = 0, sum = 0;
    int64_t count = rows->begin[p->data.tasks];
    for (int64_t i = 0; i < count; i++) {
        mean += p->data.y[rows->rows[i]] / (double)count;
    }
    for (int64_t i = 0; i < count; i++) {
        sum += (p->data.y[rows->rows[i]] - mean) * (p->data.y[rows->rows[i]] - mean);
    }
    return sum;
}

/* What predicts a school's mean score of the training rows for everybody explains. */
static double explained_by_means(const program *p, const selection *train, const selection *test)
{
    double error = 0;
    for (int32_t t = 0; t < p->data.tasks; t++) {
        double mean = 0;
        int64_t count = train->begin[t + 1] - train->begin[t];
        for (int64_t i = train->begin[t]; i < train->begin[t + 1]; i++) {
            mean += p->data.y[train->rows[i]] / (double)count;
        }
        for (int64_t i = test->begin[t]; i < test->begin[t + 1]; i++) {
            error += (p->data.y[test->rows[i]] - mean) * (p->data.y[test->rows[i]] - mean);
        }
    }
    return 1 - error / squared_deviation(p, test);
}

/* Choosing -------------------------------------------------------------------------------------------------------- */

/* Falls along the coefficients of the first part; every solution is the beginning of the next. */
static void walk_path(program *p, const method *m, choice c, const samples *learn, const samples *validate,
                      double *best, choice *chosen)
{
    c.first = m->first.most;
    forget_weights(p);
    penalties made = make_penalties(p, m, &c);
    for (int i = 0; i < m->first.count; i++, c.first *= m->first.factor) {
        fit(p, m, &made, c.first, 1e-4, learn);
        double error = squared_error(p, validate);
        if (error < *best) {
            *best = error;
            *chosen = c;
        }
    }
    destroy_penalties(&made);
}

static choice choose(program *p, const method *m, const samples *learn, const samples *validate)
{
    choice chosen = {0, 0, 0};
    double best = HUGE_VAL;
    for (int k = 0; k == 0 || (k < MOST_CHOICES && m->clusters[k] > 0); k++) {
        choice c = {0, m->second.most, m->clusters[k]};
        for (int i = 0; i == 0 || i < m->second.count; i++, c.second *= m->second.factor) {
            walk_path(p, m, c, learn, validate, &best, &chosen);
        }
    }
    return chosen;
}

/** A method on a split. */
typedef struct outcome {
    double explained, seconds;
    choice chosen;
    mtl_linear_report report;
} outcome;

static outcome run_method(program *p, const method *m, const samples sets[4])
{
    outcome o = {.seconds = seconds_now()};
    o.chosen = choose(p, m, &sets[2], &sets[3]);
    forget_weights(p);
    penalties made = make_penalties(p, m, &o.chosen);
    o.report = fit(p, m, &made, o.chosen.first, p->s.tolerance, &sets[0]);
    destroy_penalties(&made);
    o.explained = 1 - squared_error(p, &sets[1]) / squared_deviation(p, sets[1].rows);
    o.seconds = seconds_now() - o.seconds;
    return o;
}

/* Splits ---------------------------------------------------------------------------------------------------------- */

static bool is_wanted(const settings *s, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = s->methods; at; at = strchr(at, ','), at = at ? at + 1 : NULL) {
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == '\0')) {
            return true;
        }
    }
    return !s->methods;
}

static void dump_split(const program *p, int split, const selection *train)
{
    if (!p->dump) {
        return;
    }
    fprintf(p->dump, "split\t%d", split);
    for (int64_t i = 0; i < train->begin[p->data.tasks]; i++) {
        fprintf(p->dump, "\t%lld", (long long)p->data.line[train->rows[i]]);
    }
    fputc('\n', p->dump);
}

static void dump_outcome(const program *p, int split, const method *m, const outcome *o)
{
    if (p->dump) {
        const mtl_linear_report *r = &o->report;
        fprintf(p->dump, "fit\t%d\t%s\t%.17g\t%.17g\t%d\t%.17g\t%.17g\t%.17g\t%.17g\t%lld\t%.17g\n", split, m->name,
                o->chosen.first, o->chosen.second, (int)o->chosen.clusters, r->objective, r->loss, r->penalty, r->gap,
                (long long)r->iterations, o->explained);
    }
}

/* outcomes [METHODS + 1]: the last is that of the means. */
static void run_split(program *p, int split, outcome *outcomes)
{
    selection rows[4]; /* training, test; of training: learning, validation */
    samples sets[4];
    uint64_t seed = ((uint64_t)p->s.seed << 32) + 2 * (uint64_t)split;
    divide(&p->data, NULL, p->s.train, seed, &rows[0], &rows[1]);
    divide(&p->data, &rows[0], 0.8, seed + 1, &rows[2], &rows[3]);
    for (int i = 0; i < 4; i++) {
        sets[i] = make_samples(p, &rows[i]);
    }
    dump_split(p, split, &rows[0]);
    outcomes[METHODS] = (outcome){.explained = explained_by_means(p, &rows[0], &rows[1])};
    for (int k = 0; k < METHODS; k++) {
        if (is_wanted(&p->s, methods[k].name)) {
            outcomes[k] = run_method(p, &methods[k], sets);
            dump_outcome(p, split, &methods[k], &outcomes[k]);
        }
    }
    for (int i = 0; i < 4; i++) {
        free_samples(p, &sets[i]);
        free_selection(&rows[i]);
    }
}

/* The table ------------------------------------------------------------------------------------------------------- */

static void print_line(const char *title, const outcome *first, int splits, bool fitted)
{
    double mean = 0, square = 0, seconds = 0;
    for (int s = 0; s < splits; s++) {
        double explained = first[s * (METHODS + 1)].explained;
        mean += explained / splits;
        seconds += first[s * (METHODS + 1)].seconds;
    }
    for (int s = 0; s < splits; s++) {
        double away = first[s * (METHODS + 1)].explained - mean;
        square += away * away;
    }
    double deviation = splits > 1 ? sqrt(square / (splits - 1)) : 0;
    printf("%-26s %6.2f ± %4.2f", title, 100 * mean, 100 * deviation);
    if (fitted) {
        const outcome *o = first;
        printf("  %8.1f s   %.3g", seconds, o->chosen.first);
        o->chosen.second > 0 ? printf(", %.3g", o->chosen.second) : 0;
        o->chosen.clusters > 0 ? printf(", k = %d", (int)o->chosen.clusters) : 0;
        printf("; %lld iterations, gap %.1e", (long long)o->report.iterations, o->report.gap / o->report.objective);
    }
    putchar('\n');
}

static void print_table(const program *p, const outcome *outcomes)
{
    int splits = (int)p->s.splits;
    printf("%d tasks, %lld rows, %d features, %d splits with %g%% for training\n\n", (int)p->data.tasks,
           (long long)p->data.rows, (int)p->data.features, splits, 100 * p->s.train);
    printf("%-26s %14s  %9s   first split: coefficients; last fit\n", "method", "explained, %", "time");
    print_line("mean score of the school", outcomes + METHODS, splits, false);
    for (int k = 0; k < METHODS; k++) {
        if (is_wanted(&p->s, methods[k].name)) {
            print_line(methods[k].title, outcomes + k, splits, true);
        }
    }
}

/* The command line ------------------------------------------------------------------------------------------------ */

static int usage(int status)
{
    puts("usage: schools --data FILE [options]\n"
         "  --splits N       random splits (10)\n"
         "  --train P        part of each school's pupils to learn from (0.75)\n"
         "  --seed N         of the splits (1)\n"
         "  --methods LIST   some of ridge,l21,trace,mean,clustered,robust,dirty; all of them without\n"
         "  --tolerance T    of the last fit of each method: gap relative to the objective (1e-6)\n"
         "  --threads N      (1)\n"
         "  --dump FILE      training rows, coefficients and objective values of the last fits, with tabs between");
    return status;
}

static bool read_number(const char *text, double least, double most, bool whole, double *out)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !(value >= least && value <= most) ||
        (whole && value != floor(value))) {
        return false;
    }
    *out = value;
    return true;
}

static bool read_argument(settings *s, const char *name, const char *value)
{
    double number;
    if (strcmp(name, "--data") == 0) {
        s->data = value;
    } else if (strcmp(name, "--methods") == 0) {
        s->methods = value;
    } else if (strcmp(name, "--dump") == 0) {
        s->dump = value;
    } else if (strcmp(name, "--splits") == 0 && read_number(value, 1, 1000, true, &number)) {
        s->splits = (int64_t)number;
    } else if (strcmp(name, "--seed") == 0 && read_number(value, 0, 1e9, true, &number)) {
        s->seed = (int64_t)number;
    } else if (strcmp(name, "--threads") == 0 && read_number(value, 1, 256, true, &number)) {
        s->threads = (int64_t)number;
    } else if (strcmp(name, "--train") == 0 && read_number(value, 0.1, 0.9, false, &number)) {
        s->train = number;
    } else if (strcmp(name, "--tolerance") == 0 && read_number(value, 1e-12, 0.1, false, &number)) {
        s->tolerance = number;
    } else {
        fprintf(stderr, "%s %s: no such option, or a value out of range\n", name, value);
        return false;
    }
    return true;
}

static void release_program(program *p)
{
    mtl_tape_destroy(p->tape);
    mtl_model_destroy(p->model);
    mtl_context_release(p->context);
    free(p->names);
    free(p->text);
    free_schools(&p->data);
}

int main(int argc, char **argv)
{
    program p = {.s = {.splits = 10, .seed = 1, .threads = 1, .train = 0.75, .tolerance = 1e-6}};
    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--help") == 0) {
            return usage(0);
        }
        if (i + 1 == argc || !read_argument(&p.s, argv[i], argv[i + 1])) {
            return usage(2);
        }
    }
    if (!p.s.data) {
        return usage(2);
    }
    read_schools(p.s.data, &p.data);
    build_model(&p);
    p.dump = p.s.dump ? fopen(p.s.dump, "w") : NULL;
    if (p.s.dump && !p.dump) {
        fprintf(stderr, "%s: %s\n", p.s.dump, strerror(errno));
        return 1;
    }
    outcome *outcomes = take((size_t)p.s.splits * (METHODS + 1), sizeof outcomes[0]);
    for (int s = 0; s < p.s.splits; s++) {
        run_split(&p, s, outcomes + s * (METHODS + 1));
        fprintf(stderr, "split %d of %d done\n", s + 1, (int)p.s.splits);
    }
    print_table(&p, outcomes);
    free(outcomes);
    release_program(&p);
    bool failed = p.dump && (ferror(p.dump) | fclose(p.dump)) != 0;
    if (failed || fflush(stdout) != 0) {
        fprintf(stderr, "%s: %s\n", failed ? p.s.dump : "standard output", strerror(errno));
        return 1;
    }
    return 0;
}
