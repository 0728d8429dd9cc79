/* SPDX-License-Identifier: Apache-2.0
 * What balancing adds to a training step (forward, backward, Adam with lazy rows) of a shared LSTM with up to 32 tasks,
 * in time and in memory, and how that grows with the tasks. Prints `name value unit`.
 *
 *   bench_balancing [THREADS [ROUNDS]]         1 2, about a minute: figures of libmtl alone
 *   bench_balancing serve THREADS DUMP         for peer_balancing.py: steps on demand, weights and rows written to DUMP
 *
 * Every figure of a method is taken in turn with a plain step on the same batch: `added` is the median of the
 * differences, `added_min` the difference of what each took at best, which is the one to read on a machine that is not
 * quiet. `upgrad` stands for all methods where tasks label the same rows (`overlap`). */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mtl/mtl.h>

enum {
    EMBEDDING = 128,
    HIDDEN = 256,
    VOCABULARY = 21000, /* 3.08 million shared parameters, 0.40 of them dense */
    CLASSES = 4,
    BATCH = 64,
    LEAST_TOKENS = 40,
    MOST_TOKENS = 60,
    BATCHES = 4,
    MOST_TASKS = 32,
    MOST_SAMPLES = 400,
    MOST_VARIANTS = 16
};

static const char *const encoder_parameters[] = {"embedding.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0",
                                                 "lstm.bias_ih_l0", "lstm.bias_hh_l0"};
static const char *const head_parameters[] = {"weight", "bias"};

static int threads = 1;

#define CHECK(context, call) \
    do { \
        if ((call) != MTL_OK) { \
            fprintf(stderr, "%s\n", mtl_context_last_error(context)); \
            exit(1); \
        } \
    } while (0)

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- rows ---- */

/* In [0, 1); the same on every machine. */
static double uniform(void)
{
    static uint64_t state = 2026;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) / 9007199254740992.0;
}

typedef struct rows {
    int64_t offsets[BATCH + 1];
    int32_t ids[BATCH * MOST_TOKENS];
    int32_t labels[BATCH];
} rows;

static rows batches[BATCHES];

/* Words have the frequencies of Zipf's law. */
static void make_rows(void)
{
    for (int b = 0; b < BATCHES; b++) {
        rows *batch = &batches[b];
        for (int r = 0; r < BATCH; r++) {
            int64_t length = LEAST_TOKENS + (int64_t)(uniform() * (MOST_TOKENS - LEAST_TOKENS + 1));
            batch->offsets[r + 1] = batch->offsets[r] + length;
            for (int64_t i = batch->offsets[r]; i < batch->offsets[r + 1]; i++) {
                batch->ids[i] = (int32_t)pow(VOCABULARY, uniform()) - 1;
            }
            batch->labels[r] = (int32_t)(uniform() * CLASSES);
        }
    }
}

/* Disjoint: row r is task r % T's. Else all tasks label all rows, each its own way. */
static int32_t label_of(const rows *batch, int row, int task, int tasks, bool overlap)
{
    if (overlap) {
        return (batch->labels[row] + task * (1 + row % 3)) % CLASSES;
    }
    return row % tasks == task ? batch->labels[row] : MTL_LABEL_NONE;
}

/* ---- one way to train: with a context of its own, so that peaks of memory can be told apart ---- */

typedef struct variant {
    const char *name;
    int32_t method; /* -1: no balancer */
    bool discard;
} variant;

static const variant variants[] = {
    {"plain", -1, false},
    {"equal", MTL_BALANCE_EQUAL, false},
    {"pcgrad", MTL_BALANCE_PCGRAD, false},
    {"mgda", MTL_BALANCE_MGDA, false},
    {"upgrad", MTL_BALANCE_UPGRAD, false},
    {"cagrad", MTL_BALANCE_CAGRAD, false},
    {"nash", MTL_BALANCE_NASH, false},
    {"moco", MTL_BALANCE_MOCO, false},
    {"pcgrad_discarded", MTL_BALANCE_PCGRAD, true},
    {"mgda_discarded", MTL_BALANCE_MGDA, true},
    {"upgrad_discarded", MTL_BALANCE_UPGRAD, true},
    {"cagrad_discarded", MTL_BALANCE_CAGRAD, true},
    {"nash_discarded", MTL_BALANCE_NASH, true},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

typedef struct way {
    const variant *of;
    int tasks;
    bool overlap;
    mtl_context *ctx;
    mtl_encoder *encoder;
    mtl_head *heads[MOST_TASKS];
    mtl_model *model;
    mtl_balancer *balancer;
    mtl_balancer *solver; /* the same again, to be timed alone */
    mtl_objective *objective;
    mtl_optimizer *adam;
    mtl_gradients *gradients;
    mtl_tape *tape;
    mtl_tensor *inputs[BATCHES];
    mtl_tensor *labels[BATCHES][MOST_TASKS];
    double times[MOST_SAMPLES];
    double differences[MOST_SAMPLES];
    double best[BATCHES], best_plain[BATCHES];
    double solver_times[MOST_SAMPLES];
    int samples, solver_samples;
} way;

/* Takes the decision of this step once more: G is the cosines with the norms. */
static void time_solver(void *user, const mtl_balance_report *report)
{
    way *w = user;
    double gram[MOST_TASKS * MOST_TASKS], weights[MOST_TASKS];
    int tasks = report->num_tasks;
    if (!report->measured || w->solver_samples == MOST_SAMPLES) {
        return;
    }
    for (int i = 0; i < tasks * tasks; i++) {
        gram[i] = report->norms[i / tasks] * report->norms[i % tasks] * report->cosines[i];
    }
    double begin = now();
    CHECK(w->ctx, mtl_balancer_decide(w->solver, tasks, report->losses, gram, weights, NULL));
    w->solver_times[w->solver_samples++] = now() - begin;
}

static void add_balancer(way *w)
{
    mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
    if (w->of->method < 0) {
        return;
    }
    options.method = w->of->method;
    options.max_bytes = w->of->discard ? 0 : options.max_bytes;
    CHECK(w->ctx, mtl_balancer_create(w->ctx, &options, &w->balancer));
    CHECK(w->ctx, mtl_objective_set_balancer(w->objective, w->balancer));
}

/* Not before memory was read: it is no part of the step. */
static void watch_solver(way *w)
{
    mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
    if (!w->balancer || mtl_balance_method_needs(w->of->method) != MTL_BALANCE_NEEDS_GRAM) {
        return;
    }
    options.method = w->of->method;
    CHECK(w->ctx, mtl_balancer_create(w->ctx, &options, &w->solver));
    CHECK(w->ctx, mtl_balancer_set_monitor(w->balancer, time_solver, w));
}

static void add_batch(way *w, int b)
{
    int32_t labels[BATCH];
    const int64_t size = BATCH;
    CHECK(w->ctx, mtl_tensor_create_ragged(w->ctx, BATCH, batches[b].offsets, batches[b].ids, &w->inputs[b]));
    for (int t = 0; t < w->tasks; t++) {
        for (int r = 0; r < BATCH; r++) {
            labels[r] = label_of(&batches[b], r, t, w->tasks, w->overlap);
        }
        CHECK(w->ctx, mtl_tensor_create(w->ctx, MTL_INT32, 1, &size, &w->labels[b][t]));
        CHECK(w->ctx, mtl_tensor_write(w->labels[b][t], MTL_INT32, labels, BATCH));
    }
}

static way *create_way(const variant *of, int tasks, bool overlap)
{
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    mtl_lstm_options lstm = MTL_LSTM_OPTIONS_INIT;
    way *w = calloc(1, sizeof *w);
    options.threads = threads;
    if (!w || mtl_context_create(&options, &w->ctx) != MTL_OK) {
        fprintf(stderr, "no context of %d threads\n", threads);
        exit(1);
    }
    w->of = of;
    w->tasks = tasks;
    w->overlap = overlap;
    lstm.vocabulary_size = VOCABULARY;
    lstm.embedding_dim = EMBEDDING;
    lstm.hidden_dim = HIDDEN;
    CHECK(w->ctx, mtl_encoder_create_lstm(w->ctx, &lstm, &w->encoder));
    CHECK(w->ctx, mtl_model_create(w->ctx, NULL, &w->model));
    CHECK(w->ctx, mtl_model_add_encoder(w->model, "encoder", w->encoder));
    CHECK(w->ctx, mtl_objective_create(w->model, NULL, &w->objective));
    for (int t = 0; t < tasks; t++) {
        char name[16];
        snprintf(name, sizeof name, "task%d", t);
        CHECK(w->ctx, mtl_head_create_classifier(w->ctx, HIDDEN, CLASSES, NULL, &w->heads[t]));
        CHECK(w->ctx, mtl_model_add_head(w->model, name, w->heads[t]));
        CHECK(w->ctx, mtl_objective_add_task(w->objective, name, 1));
    }
    add_balancer(w);
    CHECK(w->ctx, mtl_optimizer_create_adam(w->model, NULL, &w->adam));
    CHECK(w->ctx, mtl_gradients_create(w->model, &w->gradients));
    CHECK(w->ctx, mtl_tape_create(w->ctx, NULL, &w->tape));
    for (int b = 0; b < BATCHES; b++) {
        add_batch(w, b);
        w->best[b] = w->best_plain[b] = INFINITY;
    }
    return w;
}

static void destroy_way(way *w)
{
    for (int b = 0; b < BATCHES; b++) {
        mtl_tensor_release(w->inputs[b]);
        for (int t = 0; t < w->tasks; t++) {
            mtl_tensor_release(w->labels[b][t]);
        }
    }
    mtl_tape_destroy(w->tape);
    mtl_gradients_destroy(w->gradients);
    mtl_optimizer_destroy(w->adam);
    mtl_objective_destroy(w->objective);
    mtl_balancer_destroy(w->balancer);
    mtl_balancer_destroy(w->solver);
    mtl_model_destroy(w->model);
    for (int t = 0; t < w->tasks; t++) {
        mtl_head_release(w->heads[t]);
    }
    mtl_encoder_release(w->encoder);
    mtl_context_release(w->ctx);
    free(w);
}

static void run_passes(way *w, int b)
{
    mtl_tensor *losses[MOST_TASKS];
    mtl_tape_reset(w->tape, MTL_TAPE_TRAIN);
    mtl_tensor *h = mtl_encoder_forward(w->encoder, w->tape, w->inputs[b]);
    for (int t = 0; t < w->tasks; t++) {
        mtl_tensor *logits = mtl_head_forward(w->heads[t], w->tape, h);
        losses[t] = mtl_cross_entropy(w->tape, logits, w->labels[b][t], NULL);
    }
    CHECK(w->ctx, mtl_objective_backward(w->objective, w->tape, losses, w->tasks, w->gradients));
}

static double run_step(way *w, int b)
{
    double begin = now();
    run_passes(w, b);
    CHECK(w->ctx, mtl_optimizer_step(w->adam, w->gradients));
    return now() - begin;
}

/* ---- figures ---- */

static double *middle(double *values, int count)
{
    qsort(values, (size_t)count, sizeof values[0], compare);
    return &values[count / 2];
}

static void print_figure(const way *w, const char *what, double value, const char *unit)
{
    printf("libmtl_%s_T%d%s_t%d%s %.3f %s\n", w->of->name, w->tasks, w->overlap ? "_overlap" : "", threads, what, value,
           unit);
}

static double added_at_best(const way *w)
{
    double sum = 0;
    for (int b = 0; b < BATCHES; b++) {
        sum += (w->best[b] - w->best_plain[b]) / BATCHES;
    }
    return 1e3 * sum;
}

static double at_best(const way *w)
{
    double sum = 0;
    for (int b = 0; b < BATCHES; b++) {
        sum += w->best[b] / BATCHES;
    }
    return 1e3 * sum;
}

typedef struct bytes {
    double peak, balancer;
} bytes;

/* After a step with each batch. */
static bytes measure_memory(way *w)
{
    mtl_memory_info memory = {0};
    for (int b = 0; b < BATCHES; b++) {
        run_step(w, b);
    }
    CHECK(w->ctx, mtl_context_memory(w->ctx, &memory));
    return (bytes){(double)memory.peak_bytes, (double)mtl_balancer_memory(w->balancer)};
}

static void sample(way *w, way *plain, int b)
{
    double base = run_step(plain, b);
    double time = run_step(w, b);
    w->times[w->samples] = time;
    w->differences[w->samples++] = time - base;
    w->best[b] = fmin(w->best[b], time);
    w->best_plain[b] = fmin(w->best_plain[b], base);
    plain->best[b] = fmin(plain->best[b], base);
    if (plain->samples < MOST_SAMPLES) {
        plain->times[plain->samples++] = base;
    }
}

static void print_way(way *w, bytes memory, bytes plain)
{
    double *median = middle(w->times, w->samples);
    print_figure(w, "", 1e3 * *median, "ms");
    print_figure(w, "_min", 1e3 * w->times[0], "ms");
    print_figure(w, "_max", 1e3 * w->times[w->samples - 1], "ms");
    print_figure(w, "_peak", 1e-6 * memory.peak, "MB");
    if (w->of->method < 0) {
        return;
    }
    print_figure(w, "_added", 1e3 * *middle(w->differences, w->samples), "ms");
    print_figure(w, "_added_min", added_at_best(w), "ms");
    print_figure(w, "_added_part", 100 * added_at_best(w) / (at_best(w) - added_at_best(w)), "%");
    if (w->solver_samples > 0) {
        print_figure(w, "_solver", 1e6 * *middle(w->solver_times, w->solver_samples), "us");
        print_figure(w, "_solver_max", 1e6 * w->solver_times[w->solver_samples - 1], "us");
    }
    print_figure(w, "_balancer_memory", 1e-6 * memory.balancer, "MB");
    print_figure(w, "_added_memory_per_task", 1e-6 * (memory.peak - plain.peak) / w->tasks, "MB");
}

typedef struct growth {
    int count;
    double tasks[8], added[VARIANTS][8];
} growth;

/* `count` variants, of which the first is the plain step. */
static void bench_tasks(const variant *const *list, int count, int tasks, bool overlap, int rounds, growth *grown)
{
    way *ways[MOST_VARIANTS];
    bytes memory[MOST_VARIANTS];
    for (int k = 0; k < count; k++) {
        ways[k] = create_way(list[k], tasks, overlap);
        memory[k] = measure_memory(ways[k]);
        watch_solver(ways[k]);
    }
    for (int i = 0; i < rounds * BATCHES; i++) {
        for (int k = 1; k < count; k++) {
            sample(ways[k], ways[0], i % BATCHES);
        }
    }
    for (int k = 0; k < count; k++) {
        print_way(ways[k], memory[k], memory[0]);
        if (grown) {
            grown->tasks[grown->count] = tasks;
            grown->added[list[k] - variants][grown->count] = k > 0 ? added_at_best(ways[k]) : at_best(ways[k]);
        }
        destroy_way(ways[k]);
    }
    if (grown) {
        grown->count++;
    }
    fflush(stdout);
}

/* Least squares added = a + b T, and what of the variance that explains. */
static void print_growth(const growth *grown, int k)
{
    double n = grown->count, x = 0, y = 0, xx = 0, xy = 0, yy = 0;
    for (int i = 0; i < grown->count; i++) {
        x += grown->tasks[i] / n;
        y += grown->added[k][i] / n;
    }
    for (int i = 0; i < grown->count; i++) {
        double dx = grown->tasks[i] - x, dy = grown->added[k][i] - y;
        xx += dx * dx;
        xy += dx * dy;
        yy += dy * dy;
    }
    const char *of = k > 0 ? "added" : "step";
    printf("libmtl_%s_%s_t%d_per_task %.4f ms\n", variants[k].name, of, threads, xy / xx);
    printf("libmtl_%s_%s_t%d_at_T0 %.3f ms\n", variants[k].name, of, threads, y - xy / xx * x);
    printf("libmtl_%s_%s_t%d_r2 %.4f 1\n", variants[k].name, of, threads, yy > 0 ? xy * xy / (xx * yy) : 1);
}

static int bench(int rounds)
{
    static const int sizes[] = {2, 4, 8, 16, 32};
    const variant *list[VARIANTS];
    growth grown = {0};
    printf("# %s\n", mtl_build_info());
    for (int k = 0; k < VARIANTS; k++) {
        list[k] = &variants[k];
    }
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        bench_tasks(list, VARIANTS, sizes[s], false, sizes[s] == 16 ? 2 * rounds : rounds, &grown);
    }
    for (int k = 0; k < VARIANTS; k++) {
        print_growth(&grown, k);
    }
    const variant *overlapping[] = {&variants[0], &variants[1], &variants[4]};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        bench_tasks(overlapping, 3, sizes[s], true, 1, NULL);
    }
    return 0;
}

/* ---- steps on demand ---- */

static void write_all(FILE *file, const void *data, size_t size)
{
    if (fwrite(data, 1, size, file) != size) {
        perror("dump");
        exit(1);
    }
}

static void write_parameter(FILE *file, mtl_context *ctx, mtl_tensor *parameter)
{
    size_t size = (size_t)mtl_tensor_size(parameter);
    float *values = malloc(size * sizeof values[0]);
    if (!values) {
        exit(1);
    }
    CHECK(ctx, mtl_tensor_read(parameter, MTL_FLOAT32, values, size));
    write_all(file, values, size * sizeof values[0]);
    free(values);
}

/* int32 sizes[7]; float32 of the encoder, then of MOST_TASKS heads; the batches: int64 offsets[65], int32 ids[], int32
 * labels[64]. A model of fewer tasks has the same weights. */
static void dump_all(FILE *file)
{
    const int32_t sizes[] = {VOCABULARY, EMBEDDING, HIDDEN, CLASSES, MOST_TASKS, BATCHES, BATCH};
    way *w = create_way(&variants[0], MOST_TASKS, false);
    write_all(file, sizes, sizeof sizes);
    for (size_t p = 0; p < sizeof encoder_parameters / sizeof encoder_parameters[0]; p++) {
        write_parameter(file, w->ctx, mtl_encoder_parameter(w->encoder, encoder_parameters[p]));
    }
    for (int t = 0; t < MOST_TASKS; t++) {
        for (int p = 0; p < 2; p++) {
            write_parameter(file, w->ctx, mtl_head_parameter(w->heads[t], head_parameters[p]));
        }
    }
    for (int b = 0; b < BATCHES; b++) {
        write_all(file, batches[b].offsets, sizeof batches[b].offsets);
        write_all(file, batches[b].ids, (size_t)batches[b].offsets[BATCH] * sizeof batches[b].ids[0]);
        write_all(file, batches[b].labels, sizeof batches[b].labels);
    }
    destroy_way(w);
}

static const variant *find_variant(const char *name)
{
    for (int k = 0; k < VARIANTS; k++) {
        if (strcmp(variants[k].name, name) == 0) {
            return &variants[k];
        }
    }
    fprintf(stderr, "no variant '%s'\n", name);
    exit(1);
}

/* `step VARIANT TASKS OVERLAP BATCH` answers with milliseconds; `check ..` with the sum of the losses and the norm of
 * the gradient, and trains nothing; `end ..` ends this way of training. */
static int serve(void)
{
    static way *ways[VARIANTS][MOST_TASKS + 1][2];
    char what[16], name[32];
    int tasks, overlap, b;
    while (scanf("%15s %31s %d %d %d", what, name, &tasks, &overlap, &b) == 5) {
        const variant *of = find_variant(name);
        if (tasks < 1 || tasks > MOST_TASKS || b < 0 || b >= BATCHES) {
            return 2;
        }
        way **w = &ways[of - variants][tasks][overlap != 0];
        *w = *w ? *w : create_way(of, tasks, overlap != 0);
        if (strcmp(what, "step") == 0) {
            printf("%.6f\n", 1e3 * run_step(*w, b));
        } else if (strcmp(what, "check") == 0) {
            run_passes(*w, b);
            printf("%.9g %.9g\n", mtl_objective_value((*w)->objective), mtl_gradients_norm((*w)->gradients));
        } else {
            destroy_way(*w);
            *w = NULL;
            printf("ended\n");
        }
        fflush(stdout);
    }
    for (int k = 0; k < VARIANTS * (MOST_TASKS + 1) * 2; k++) {
        way *w = (&ways[0][0][0])[k];
        if (w) {
            destroy_way(w);
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    make_rows();
    if (argc == 4 && strcmp(argv[1], "serve") == 0) {
        FILE *dump = fopen(argv[3], "wb");
        threads = atoi(argv[2]);
        if (!dump) {
            perror(argv[3]);
            return 1;
        }
        dump_all(dump);
        if (fclose(dump) != 0) {
            perror(argv[3]);
            return 1;
        }
        printf("ready\n");
        fflush(stdout);
        return serve();
    }
    threads = argc > 1 ? atoi(argv[1]) : 1;
    int rounds = argc > 2 ? atoi(argv[2]) : 2;
    if (threads < 1 || rounds < 1 || 2 * rounds * BATCHES > MOST_SAMPLES) {
        fprintf(stderr, "usage: bench_balancing [THREADS [ROUNDS]]\n");
        return 2;
    }
    return bench(rounds);
}
