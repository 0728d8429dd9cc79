/* SPDX-License-Identifier: Apache-2.0
 * What penalties cost: value with gradient, and proximal steps, of every kind over LSTM networks, embeddings excluded, and
 * the share of the L2 penalty in a training step. Prints `name value unit`, medians.
 *
 *   bench_sharing [THREADS [DUMP]]
 *
 * Threads of OpenBLAS and LAPACK are set by OPENBLAS_NUM_THREADS. With DUMP the weights are written to that file, so that
 * peer_sharing.py, which also starts this program, computes with the same. */
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
    MOST_NETWORKS = 16,
    PARAMETERS = 4,
    BATCH = 64,
    MAX_TOKENS = 256,
    VOCABULARY = 30000,
    BATCHES = 8,
    MOST_REPEATS = 200,
    LEAST_REPEATS = 3
};

static const double seconds_per_figure = 0.6; /* more repeats than LEAST_REPEATS only within this time */
static const char *const parameter_names[PARAMETERS] = {"lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.bias_ih_l0",
                                                        "lstm.bias_hh_l0"};

static mtl_context *ctx;
static int threads = 1;
static FILE *dump;

#define CHECK(call) \
    do { \
        if ((call) != MTL_OK) { \
            fprintf(stderr, "%s\n", mtl_context_last_error(ctx)); \
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

/* Milliseconds of body(argument): the median, after one run that is not counted. */
static double measure(void (*body)(void *), void *argument)
{
    double times[MOST_REPEATS];
    int count = 0;
    body(argument);
    double begin = now();
    while (count < LEAST_REPEATS || (count < MOST_REPEATS && now() - begin < seconds_per_figure)) {
        double start = now();
        body(argument);
        times[count++] = now() - start;
    }
    qsort(times, (size_t)count, sizeof times[0], compare);
    return 1e3 * times[count / 2];
}

/* In [0, 1); the same on every machine. */
static double uniform(void)
{
    static uint64_t state = 2026;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) / 9007199254740992.0;
}

/* ---- penalties alone ---- */

typedef struct networks {
    int32_t count;
    const char *suffix;
    mtl_encoder *encoders[MOST_NETWORKS];
    char names[MOST_NETWORKS][16];
    const char *modules[MOST_NETWORKS];
    mtl_model *model;
    mtl_gradients *gradients;
    mtl_tape *tape;
} networks;

static void build_networks(networks *nets, int32_t count, int64_t vocabulary, const char *suffix)
{
    mtl_lstm_options lstm = MTL_LSTM_OPTIONS_INIT;
    lstm.vocabulary_size = vocabulary;
    lstm.embedding_dim = EMBEDDING;
    lstm.hidden_dim = HIDDEN;
    memset(nets, 0, sizeof *nets);
    nets->count = count;
    nets->suffix = suffix;
    CHECK(mtl_model_create(ctx, NULL, &nets->model));
    for (int32_t t = 0; t < count; t++) {
        snprintf(nets->names[t], sizeof nets->names[t], "task%d", (int)t);
        nets->modules[t] = nets->names[t];
        CHECK(mtl_encoder_create_lstm(ctx, &lstm, &nets->encoders[t]));
        CHECK(mtl_model_add_encoder(nets->model, nets->names[t], nets->encoders[t]));
    }
}

static void begin_networks(networks *nets)
{
    CHECK(mtl_gradients_create(nets->model, &nets->gradients));
    CHECK(mtl_tape_create(ctx, NULL, &nets->tape));
}

static void end_networks(networks *nets)
{
    mtl_tape_destroy(nets->tape);
    mtl_gradients_destroy(nets->gradients);
    mtl_model_destroy(nets->model);
    for (int32_t t = 0; t < nets->count; t++) {
        mtl_encoder_release(nets->encoders[t]);
    }
}

/* What networks look like that a trace norm has drawn together: they differ by a matrix of rank 8, and by noise. */
static void bring_together(networks *nets)
{
    enum { RANK = 8 };
    static float weights[4 * HIDDEN * HIDDEN];
    static double left[4 * HIDDEN][RANK], right[HIDDEN][RANK];
    for (int p = 0; p < PARAMETERS; p++) {
        mtl_tensor *from = mtl_encoder_parameter(nets->encoders[0], parameter_names[p]);
        size_t size = (size_t)mtl_tensor_size(from);
        size_t columns = mtl_tensor_ndim(from) > 1 ? (size_t)mtl_tensor_dim(from, 1) : 1;
        CHECK(mtl_tensor_read(from, MTL_FLOAT32, weights, size));
        for (size_t i = 0; i < (4 * HIDDEN + HIDDEN) * (size_t)RANK; i++) {
            double *place = i < 4 * HIDDEN * RANK ? &left[0][0] + i : &right[0][0] + (i - 4 * HIDDEN * RANK);
            *place = uniform() - 0.5;
        }
        for (size_t i = 0; i < size; i++) {
            double difference = 1e-5 * (uniform() - 0.5);
            for (int k = 0; k < RANK; k++) {
                difference += 0.05 * left[i / columns][k] * right[i % columns][k];
            }
            weights[i] = (float)((double)weights[i] + difference);
        }
        CHECK(
            mtl_tensor_write(mtl_encoder_parameter(nets->encoders[1], parameter_names[p]), MTL_FLOAT32, weights, size));
    }
}

/* int32 networks; float32 weights[parameters][networks][..] */
static void dump_networks(const networks *nets)
{
    static float weights[4 * HIDDEN * HIDDEN];
    bool good = !dump || fwrite(&nets->count, sizeof nets->count, 1, dump) == 1;
    for (int p = 0; dump && good && p < PARAMETERS; p++) {
        for (int32_t t = 0; t < nets->count && good; t++) {
            mtl_tensor *parameter = mtl_encoder_parameter(nets->encoders[t], parameter_names[p]);
            size_t size = (size_t)mtl_tensor_size(parameter);
            CHECK(mtl_tensor_read(parameter, MTL_FLOAT32, weights, size));
            good = fwrite(weights, sizeof weights[0], size, dump) == size;
        }
    }
    if (!good) {
        perror("dump");
        exit(1);
    }
}

typedef struct kind {
    const char *name;
    int32_t kind, form, unfolding, group;
    int32_t proximal_most; /* networks for which the proximal step is known */
} kind;

static const kind kinds[] = {
    {"l2", MTL_PENALTY_L2, MTL_L2_PAIRWISE, 0, 0, MOST_NETWORKS},
    {"l2_mean", MTL_PENALTY_L2, MTL_L2_MEAN, 0, 0, MOST_NETWORKS},
    {"trace_differences", MTL_PENALTY_TRACE_NORM_DIFFERENCES, 0, 0, 0, 2},
    {"trace_tasks", MTL_PENALTY_TRACE_NORM, 0, MTL_UNFOLDING_TASKS, 0, MOST_NETWORKS},
    {"trace_tucker", MTL_PENALTY_TRACE_NORM, 0, MTL_UNFOLDING_TUCKER, 0, 0},
    {"trace_tensor_train", MTL_PENALTY_TRACE_NORM, 0, MTL_UNFOLDING_TENSOR_TRAIN, 0, 0},
    {"l1", MTL_PENALTY_L1, 0, 0, 0, MOST_NETWORKS},
    {"l21", MTL_PENALTY_L21, 0, 0, MTL_GROUP_COORDINATE, MOST_NETWORKS},
    {"linf1", MTL_PENALTY_LINF1, 0, 0, MTL_GROUP_COORDINATE, MOST_NETWORKS},
    {"clustered", MTL_PENALTY_CLUSTERED, 0, 0, 0, MOST_NETWORKS},
};

static mtl_penalty *make_penalty(networks *nets, const kind *of, double coefficient)
{
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    mtl_penalty *penalty = NULL;
    options.kind = of->kind;
    options.form = of->form;
    options.unfolding = of->unfolding;
    options.group = of->group;
    options.coefficient = coefficient;
    CHECK(mtl_penalty_create(nets->model, nets->modules, nets->count, &options, &penalty));
    return penalty;
}

typedef struct term_run {
    networks *nets;
    mtl_objective *objective;
} term_run;

/* An objective without tasks: value and gradient of the penalty are all that there is to do. */
static void run_term(void *argument)
{
    const term_run *run = argument;
    mtl_tape_reset(run->nets->tape, MTL_TAPE_TRAIN);
    CHECK(mtl_objective_backward(run->objective, run->nets->tape, NULL, 0, run->nets->gradients));
}

static double bench_term(networks *nets, const kind *of)
{
    term_run run = {.nets = nets};
    mtl_penalty *penalty = make_penalty(nets, of, 1);
    CHECK(mtl_objective_create(nets->model, NULL, &run.objective));
    CHECK(mtl_objective_add_penalty(run.objective, penalty));
    double time = measure(run_term, &run);
    printf("libmtl_%s_T%d%s_t%d %.3f ms\n", of->name, (int)nets->count, nets->suffix, threads, time);
    printf("libmtl_%s_T%d%s_value %.9g omega\n", of->name, (int)nets->count, nets->suffix,
           mtl_objective_value(run.objective));
    fflush(stdout);
    mtl_objective_destroy(run.objective);
    mtl_penalty_destroy(penalty);
    return time;
}

typedef struct proximal_run {
    mtl_optimizer *optimizer;
    mtl_gradients *gradients;
} proximal_run;

/* Nothing is touched, so that the optimizer has nothing to do itself. */
static void run_proximal(void *argument)
{
    const proximal_run *run = argument;
    CHECK(mtl_optimizer_step(run->optimizer, run->gradients));
}

/* Thresholds below the rounding of the weights: all the work, and the weights stay as they are for the next figure. */
static void bench_proximal(networks *nets, const kind *of)
{
    proximal_run run = {.gradients = nets->gradients};
    mtl_penalty *penalty = make_penalty(nets, of, 1e-12);
    mtl_gradients_clear(run.gradients);
    CHECK(mtl_optimizer_create_sgd(nets->model, NULL, &run.optimizer));
    CHECK(mtl_optimizer_add_proximal(run.optimizer, penalty));
    printf("libmtl_%s_proximal_T%d%s_t%d %.3f ms\n", of->name, (int)nets->count, nets->suffix, threads,
           measure(run_proximal, &run));
    fflush(stdout);
    mtl_optimizer_destroy(run.optimizer);
    mtl_penalty_destroy(penalty);
}

/* Returns the time of the first kind, L2. */
static double bench_kinds(int32_t count, const char *suffix)
{
    networks nets;
    double l2 = 0;
    build_networks(&nets, count, 1, suffix);
    begin_networks(&nets);
    if (suffix[0]) {
        bring_together(&nets);
    }
    dump_networks(&nets);
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        double time = bench_term(&nets, &kinds[k]);
        l2 = k == 0 ? time : l2;
    }
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        if (count <= kinds[k].proximal_most) {
            bench_proximal(&nets, &kinds[k]);
        }
    }
    end_networks(&nets);
    return l2;
}

/* ---- a training step ---- */

typedef struct training {
    networks nets;
    mtl_head *heads[2];
    mtl_objective *objective;
    mtl_optimizer *adam;
    mtl_tensor *inputs[BATCHES][2];
    mtl_tensor *labels[BATCHES][2];
    int64_t tokens;
    int next;
} training;

/* 32 rows, of 4 to 256 tokens: 130 in the mean. Words have the frequencies of Zipf's law. */
static void make_rows(training *run, int batch, int task, int32_t classes)
{
    static int32_t ids[BATCH / 2 * MAX_TOKENS];
    int64_t offsets[BATCH / 2 + 1] = {0};
    int32_t labels[BATCH / 2];
    const int64_t rows = BATCH / 2;
    for (int r = 0; r < rows; r++) {
        int64_t length = 4 + (int64_t)(uniform() * (MAX_TOKENS - 3));
        offsets[r + 1] = offsets[r] + length;
        for (int64_t i = offsets[r]; i < offsets[r + 1]; i++) {
            ids[i] = (int32_t)pow(VOCABULARY, uniform()) - 1;
        }
        labels[r] = (int32_t)(uniform() * classes);
    }
    run->tokens += offsets[rows];
    CHECK(mtl_tensor_create_ragged(ctx, rows, offsets, ids, &run->inputs[batch][task]));
    CHECK(mtl_tensor_create(ctx, MTL_INT32, 1, &rows, &run->labels[batch][task]));
    CHECK(mtl_tensor_write(run->labels[batch][task], MTL_INT32, labels, (size_t)rows));
}

static void begin_training(training *run)
{
    static const char *const names[2] = {"sentiment", "topic"};
    static const int32_t classes[2] = {2, 4};
    memset(run, 0, sizeof *run);
    build_networks(&run->nets, 2, VOCABULARY, "");
    for (int t = 0; t < 2; t++) {
        CHECK(mtl_head_create_classifier(ctx, HIDDEN, classes[t], NULL, &run->heads[t]));
        CHECK(mtl_model_add_head(run->nets.model, names[t], run->heads[t]));
    }
    begin_networks(&run->nets);
    CHECK(mtl_objective_create(run->nets.model, NULL, &run->objective));
    CHECK(mtl_optimizer_create_adam(run->nets.model, NULL, &run->adam));
    for (int t = 0; t < 2; t++) {
        CHECK(mtl_objective_add_task(run->objective, names[t], 1));
        for (int b = 0; b < BATCHES; b++) {
            make_rows(run, b, t, classes[t]);
        }
    }
}

static void run_step(void *argument)
{
    training *run = argument;
    int batch = run->next++ % BATCHES;
    mtl_tape *tape = run->nets.tape;
    mtl_tensor *losses[2];
    mtl_tape_reset(tape, MTL_TAPE_TRAIN);
    for (int t = 0; t < 2; t++) {
        mtl_tensor *h = mtl_encoder_forward(run->nets.encoders[t], tape, run->inputs[batch][t]);
        losses[t] = mtl_cross_entropy(tape, mtl_head_forward(run->heads[t], tape, h), run->labels[batch][t], NULL);
    }
    CHECK(mtl_objective_backward(run->objective, tape, losses, 2, run->nets.gradients));
    CHECK(mtl_optimizer_step(run->adam, run->nets.gradients));
}

/* All batches: their lengths differ. */
static void run_epoch(void *argument)
{
    for (int b = 0; b < BATCHES; b++) {
        run_step(argument);
    }
}

static void end_training(training *run)
{
    for (int t = 0; t < 2; t++) {
        for (int b = 0; b < BATCHES; b++) {
            mtl_tensor_release(run->inputs[b][t]);
            mtl_tensor_release(run->labels[b][t]);
        }
    }
    mtl_optimizer_destroy(run->adam);
    mtl_objective_destroy(run->objective);
    end_networks(&run->nets);
    mtl_head_release(run->heads[0]);
    mtl_head_release(run->heads[1]);
}

/* `l2`: milliseconds of the penalty alone. */
static void bench_training(double l2)
{
    static training run;
    begin_training(&run);
    double plain = measure(run_epoch, &run) / BATCHES;
    mtl_penalty *penalty = make_penalty(&run.nets, &kinds[0], 1e-6);
    CHECK(mtl_objective_add_penalty(run.objective, penalty));
    double penalized = measure(run_epoch, &run) / BATCHES;
    printf("train_tokens %.0f tokens/step\n", (double)run.tokens / BATCHES);
    printf("libmtl_train_step_t%d %.2f ms\n", threads, plain);
    printf("libmtl_train_step_l2_t%d %.2f ms\n", threads, penalized);
    printf("libmtl_l2_of_step_t%d %.2f %%\n", threads, 100 * l2 / plain);
    printf("libmtl_l2_of_step_difference_t%d %.2f %%\n", threads, 100 * (penalized / plain - 1));
    mtl_penalty_destroy(penalty);
    end_training(&run);
}

int main(int argc, char **argv)
{
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    threads = argc > 1 ? atoi(argv[1]) : 1;
    options.threads = threads;
    if (threads < 1 || mtl_context_create(&options, &ctx) != MTL_OK) {
        fprintf(stderr, "usage: bench_sharing [THREADS [DUMP]]\n");
        return 2;
    }
    dump = argc > 2 ? fopen(argv[2], "wb") : NULL;
    if (argc > 2 && !dump) {
        perror(argv[2]);
        return 1;
    }
    printf("# %s\n", mtl_build_info());
    double l2 = bench_kinds(2, "");
    bench_kinds(2, "_close");
    bench_kinds(MOST_NETWORKS, "");
    if (dump && fclose(dump) != 0) {
        perror(argv[2]);
        return 1;
    }
    bench_training(l2);
    mtl_context_release(ctx);
    return 0;
}
