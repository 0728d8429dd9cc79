/* SPDX-License-Identifier: Apache-2.0
 * Three ways to learn the sentiment of reviews and the topic of news, in one table: alone, with one encoder for both
 * (hard sharing), and with an encoder each that a penalty holds together (soft sharing). add_penalty() is all there is
 * to the last one.
 *
 *   soft_sharing [--penalty l2|trace|trace-stack] [--coefficient C] [--use proximal|term] [--parameters PATTERNS] ...
 *
 * Reads the corpus of examples/data when no files are given; the other options are those of sentiment_topic. */
#include <stdbool.h>
#include <string.h>

#include "support/check.h"
#include "support/corpus.h"
#include "support/open_context.h"
#include "support/progress.h"
#include "support/settings.h"
#include "support/take_option.h"
#include "support/words.h"

static const char *const task_names[TASKS] = {"sentiment", "topic"};
static const char *const encoder_names[TASKS] = {"sentiment_encoder", "topic_encoder"};
static const int32_t task_classes[TASKS] = {2, 4};

enum way { SINGLE, HARD, SOFT, WAYS };

static const char *const way_names[WAYS] = {"single task", "hard sharing", "soft sharing"};

enum { L2, TRACE, TRACE_STACK, PENALTIES };

static const char *const penalty_names[PENALTIES] = {"l2", "trace", "trace-stack"};

/** What the command line says about the penalty. */
typedef struct sharing {
    int kind; /* L2, .. */
    bool term;
    double coefficient;
    const char *parameters; /* NULL: all but embeddings */
} sharing;

/** A model with its training. */
typedef struct network {
    mtl_context *context;
    mtl_model *model;
    mtl_encoder *encoders[TASKS]; /* borrowed from the model; hard sharing: twice the same */
    mtl_head *heads[TASKS];       /* likewise */
    mtl_tape *tape;
    mtl_objective *objective;
    mtl_optimizer *optimizer;
    mtl_gradients *gradients;
    mtl_penalty *penalty; /* soft sharing */
} network;

/* Soft sharing ---------------------------------------------------------------------------------------------------- */

/* Holds the two encoders together. Parameters of the same name are compared; the heads have different shapes and stay
 * free. Embeddings take part when they are named: --penalty l2 --parameters 'lstm.*,embedding.weight'. */
static void add_penalty(network *net, const sharing *how)
{
    static const int32_t kinds[PENALTIES] = {MTL_PENALTY_L2, MTL_PENALTY_TRACE_NORM_DIFFERENCES,
                                             MTL_PENALTY_TRACE_NORM};
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    options.kind = kinds[how->kind];
    options.coefficient = how->coefficient;
    options.parameters = how->parameters;
    CHECK(net->context, mtl_penalty_create(net->model, encoder_names, TASKS, &options, &net->penalty));
    if (how->term) {
        CHECK(net->context, mtl_objective_add_penalty(net->objective, net->penalty));
    } else {
        CHECK(net->context, mtl_optimizer_add_proximal(net->optimizer, net->penalty));
    }
}

/* For trace norms, how many singular values of each stack are left: of the difference of the two encoders' matrices, or
 * of the matrix with a column for each encoder. The proximal step sets small ones to 0; a subgradient never does. */
static void print_ranks(network *net)
{
    for (int64_t i = 0; i < mtl_penalty_num_parameters(net->penalty); i++) {
        int64_t count, rank;
        CHECK(net->context, mtl_penalty_singular_values(net->penalty, i, 0, NULL, 0, &count));
        CHECK(net->context, mtl_penalty_rank(net->penalty, i, 0, 1e-5, &rank));
        printf("  %-28s rank %lld of %lld\n", mtl_penalty_parameter_name(net->penalty, i), (long long)rank,
               (long long)count);
    }
}

static void print_penalty(network *net, const sharing *how)
{
    double value;
    CHECK(net->context, mtl_penalty_value(net->penalty, &value));
    printf("\npenalty %s, coefficient %g, as a %s: its value is %.4g in the end\n", penalty_names[how->kind],
           how->coefficient, how->term ? "term of the objective" : "proximal step", value);
    if (how->kind != L2) {
        print_ranks(net);
    }
    for (int64_t i = 0; i < mtl_penalty_num_unmatched(net->penalty); i++) {
        printf("  %s has no counterpart\n", mtl_penalty_unmatched_name(net->penalty, i));
    }
}

/* Networks -------------------------------------------------------------------------------------------------------- */

static mtl_encoder *add_encoder(network *net, const settings *s, mtl_vocabulary *vocabulary, const char *name)
{
    mtl_encoder *encoder = NULL;
    mtl_lstm_options options = MTL_LSTM_OPTIONS_INIT;
    options.vocabulary_size = mtl_vocabulary_size(vocabulary);
    options.embedding_dim = s->embedding;
    options.hidden_dim = s->hidden;
    options.num_layers = (int32_t)s->layers;
    options.bidirectional = (int32_t)s->bidirectional;
    options.pooling = s->pooling;
    options.embedding_dropout = s->embedding_dropout;
    options.layer_dropout = s->layer_dropout;
    options.output_dropout = s->output_dropout;
    /* The same seed, the same weights: units of one place then mean the same in both encoders, which is what the
     * penalties compare. */
    CHECK(net->context, mtl_context_set_seed(net->context, (uint64_t)s->seed));
    CHECK(net->context, mtl_encoder_create_lstm(net->context, &options, &encoder));
    CHECK(net->context, mtl_model_add_encoder(net->model, name, encoder));
    mtl_encoder_release(encoder); /* the model holds it */
    return encoder;
}

static void build(network *net, const settings *s, mtl_vocabulary *vocabulary, enum way way)
{
    CHECK(net->context, mtl_model_create(net->context, NULL, &net->model));
    for (int t = 0; t < TASKS; t++) {
        bool own = t == 0 || way != HARD;
        net->encoders[t] = own ? add_encoder(net, s, vocabulary, encoder_names[t]) : net->encoders[0];
    }
    for (int t = 0; t < TASKS; t++) {
        int64_t features = mtl_encoder_output_dim(net->encoders[t]);
        CHECK(net->context, mtl_head_create_classifier(net->context, features, task_classes[t], NULL, &net->heads[t]));
        CHECK(net->context, mtl_model_add_head(net->model, task_names[t], net->heads[t]));
        mtl_head_release(net->heads[t]);
    }
    CHECK(net->context, mtl_tape_create(net->context, NULL, &net->tape));
}

static void begin_training(network *net, const settings *s, int64_t steps)
{
    const double weights[TASKS] = {s->sentiment_weight, s->topic_weight};
    mtl_adam_options adam = MTL_ADAM_OPTIONS_INIT;
    adam.learning_rate = s->learning_rate;
    adam.weight_decay = s->weight_decay;
    adam.clip_norm = s->clip;
    mtl_schedule_options schedule = MTL_SCHEDULE_OPTIONS_INIT;
    schedule.kind = MTL_SCHEDULE_COSINE;
    schedule.total_steps = steps;
    schedule.warmup_steps = s->warmup < steps ? s->warmup : 0;
    schedule.final_factor = 0.02;
    CHECK(net->context, mtl_objective_create(net->model, NULL, &net->objective));
    for (int t = 0; t < TASKS; t++) {
        CHECK(net->context, mtl_objective_add_task(net->objective, task_names[t], weights[t]));
    }
    CHECK(net->context, mtl_optimizer_create_adamw(net->model, &adam, &net->optimizer));
    CHECK(net->context, mtl_optimizer_set_schedule(net->optimizer, &schedule));
    CHECK(net->context, mtl_gradients_create(net->model, &net->gradients));
}

static void end(network *net)
{
    mtl_penalty_destroy(net->penalty);
    mtl_gradients_destroy(net->gradients);
    mtl_optimizer_destroy(net->optimizer);
    mtl_objective_destroy(net->objective);
    mtl_tape_destroy(net->tape);
    mtl_model_destroy(net->model);
}

/* Training and measuring ------------------------------------------------------------------------------------------ */

static mtl_sampler *make_sampler(mtl_context *context, const settings *s, mtl_vocabulary *vocabulary,
                                 mtl_dataset *dataset, bool training)
{
    mtl_sampler *sampler = NULL;
    mtl_sampler_options options = MTL_SAMPLER_OPTIONS_INIT;
    options.batch_rows = s->batch;
    options.bucket_batches = s->bucket;
    options.max_tokens = s->max_tokens;
    options.keep_tail = (int32_t)s->keep_tail;
    options.seed = (uint64_t)s->seed;
    options.shuffle = training;
    int32_t task = 0; /* each sampler has one task only */
    CHECK(context, mtl_sampler_create(context, vocabulary, 1, &options, &sampler));
    CHECK(context, mtl_sampler_add_dataset(sampler, dataset, &task, 1));
    return sampler;
}

/* A step takes a batch of each task, through its own encoder or through the one of both. */
static void train_step(network *net, const settings *s, mtl_sampler *const samplers[TASKS])
{
    mtl_cross_entropy_options options = MTL_CROSS_ENTROPY_OPTIONS_INIT;
    mtl_tensor *losses[TASKS];
    options.label_smoothing = s->smoothing;
    mtl_tape_reset(net->tape, MTL_TAPE_TRAIN);
    for (int t = 0; t < TASKS; t++) {
        mtl_batch *batch = NULL;
        while (!batch) { /* NULL is the end of an epoch */
            CHECK(net->context, mtl_sampler_next(samplers[t], &batch));
        }
        mtl_tensor *features = mtl_encoder_forward(net->encoders[t], net->tape, mtl_batch_inputs(batch));
        mtl_tensor *logits = mtl_head_forward(net->heads[t], net->tape, features);
        losses[t] = mtl_cross_entropy(net->tape, logits, mtl_batch_labels(batch, 0), &options);
    }
    CHECK(net->context, mtl_objective_backward(net->objective, net->tape, losses, TASKS, net->gradients));
    CHECK(net->context, mtl_optimizer_step(net->optimizer, net->gradients));
}

static double measure(network *net, int task, mtl_sampler *sampler)
{
    mtl_metrics *metrics = NULL;
    CHECK(net->context, mtl_metrics_create(net->context, task_classes[task], &metrics));
    for (;;) {
        mtl_batch *batch = NULL;
        CHECK(net->context, mtl_sampler_next(sampler, &batch));
        if (!batch) {
            break;
        }
        mtl_tape_reset(net->tape, MTL_TAPE_INFER);
        mtl_tensor *features = mtl_encoder_forward(net->encoders[task], net->tape, mtl_batch_inputs(batch));
        mtl_tensor *logits = mtl_head_forward(net->heads[task], net->tape, features);
        CHECK(net->context, mtl_metrics_add(metrics, logits, mtl_batch_labels(batch, 0)));
    }
    double accuracy = mtl_metrics_accuracy(metrics);
    mtl_metrics_destroy(metrics);
    return accuracy;
}

/* Trains one way of sharing from the beginning and prints its line of the table. */
static void compare(mtl_context *context, const settings *s, const sharing *how, enum way way,
                    mtl_dataset *const train[TASKS], mtl_dataset *const test[TASKS])
{
    network net = {.context = context};
    mtl_sampler *samplers[TASKS];
    int64_t steps = 0;
    double start = seconds_now();
    mtl_vocabulary *vocabulary = collect_words(context, s, train, TASKS);
    for (int t = 0; t < TASKS; t++) {
        samplers[t] = make_sampler(context, s, vocabulary, train[t], true);
        int64_t passes = s->epochs * mtl_sampler_batches(samplers[t]);
        steps = passes > steps ? passes : steps;
    }
    build(&net, s, vocabulary, way);
    begin_training(&net, s, steps);
    if (way == SOFT) {
        add_penalty(&net, how);
    }
    for (int64_t step = 0; step < steps; step++) {
        train_step(&net, s, samplers);
    }
    double seconds = seconds_now() - start;
    printf("%-14s", way_names[way]);
    for (int t = 0; t < TASKS; t++) {
        mtl_sampler_destroy(samplers[t]);
        samplers[t] = make_sampler(context, s, vocabulary, test[t], false);
        printf(" %10.4f", measure(&net, t, samplers[t]));
        mtl_sampler_destroy(samplers[t]);
    }
    printf(" %12lld %9.1f\n", (long long)mtl_model_num_values(net.model), seconds);
    if (way == SOFT) {
        print_penalty(&net, how);
    }
    end(&net);
    mtl_vocabulary_release(vocabulary);
}

/* Program --------------------------------------------------------------------------------------------------------- */

/* The small corpus, where the command line names no files. */
static void default_files(settings *s)
{
    s->reviews = s->reviews ? s->reviews : "examples/data/reviews_train.tsv";
    s->news = s->news ? s->news : "examples/data/news_train.csv";
    s->reviews_test = s->reviews_test ? s->reviews_test : "examples/data/reviews_test.tsv";
    s->news_test = s->news_test ? s->news_test : "examples/data/news_test.csv";
}

static void usage(void)
{
    puts("usage: soft_sharing [options]\n"
         "  --penalty            l2, trace (norms of differences) or trace-stack (trace)\n"
         "  --coefficient        of the penalty (1)\n"
         "  --use                as a proximal step or as a term of the objective: proximal, term (proximal)\n"
         "  --parameters         patterns of the encoders' parameters to hold together (all but embeddings)\n"
         "The others as in sentiment_topic, but --clip (0):");
    print_settings_help();
}

int main(int argc, char **argv)
{
    static const char *const uses[] = {"proximal", "term"};
    int count = argc - 1;
    char **options = argv + 1;
    sharing how;
    settings s;
    if (count > 0 && strcmp(options[0], "--help") == 0) {
        usage();
        return 0;
    }
    how.kind = take_choice(&count, options, "--penalty", penalty_names, PENALTIES, TRACE);
    how.term = take_choice(&count, options, "--use", uses, 2, 0) == 1;
    how.coefficient = take_number(&count, options, "--coefficient", 1);
    how.parameters = take_option(&count, options, "--parameters", NULL);
    double clip =
        take_number(&count, options, "--clip", 0); /* of both tasks' gradients together: here it would couple them */
    read_settings(&s, count, options);
    s.clip = clip;
    default_files(&s);

    mtl_context *context = open_context(&s);
    mtl_dataset *train[TASKS] = {open_task(context, SENTIMENT, s.reviews), open_task(context, TOPIC, s.news)};
    mtl_dataset *test[TASKS] = {open_task(context, SENTIMENT, s.reviews_test), open_task(context, TOPIC, s.news_test)};
    printf("%-14s %10s %10s %12s %9s\n", "", task_names[SENTIMENT], task_names[TOPIC], "parameters", "seconds");
    for (int way = 0; way < WAYS; way++) {
        compare(context, &s, &how, (enum way)way, train, test);
        fflush(stdout);
    }
    for (int t = 0; t < TASKS; t++) {
        mtl_dataset_release(train[t]);
        mtl_dataset_release(test[t]);
    }
    mtl_context_release(context);
    return 0;
}
