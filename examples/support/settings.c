/* SPDX-License-Identifier: Apache-2.0
 * The command line of the sentiment and topic example: one table of options. */
#include "settings.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mtl/encoder.h>

enum kind { TEXT, INTEGER, REAL, POOLING };

struct option {
    const char *name;
    enum kind kind;
    size_t offset;
    double least, most; /* of numbers */
    const char *help;
};

#define TEXT_OPTION(name, field, help) { name, TEXT, offsetof(settings, field), 0, 0, help }
#define NUMBER_OPTION(name, kind, field, least, most, help) { name, kind, offsetof(settings, field), least, most, help }

#define HUGE_SETTING 1e9 /* no sensible setting is beyond it */

static const struct option options[] = {
    TEXT_OPTION("--reviews", reviews, "training reviews: .tsv (label, text), .csv with a header, or aclImdb folder"),
    TEXT_OPTION("--news", news, "training news: .csv (class, title, description)"),
    TEXT_OPTION("--reviews-test", reviews_test, "reviews to measure on"),
    TEXT_OPTION("--news-test", news_test, "news to measure on"),
    TEXT_OPTION("--model", model, "file of the model"),
    TEXT_OPTION("--checkpoint", checkpoint, "file for the state of training, written after each epoch"),
    TEXT_OPTION("--resume", resume, "such a file: go on where it was written, with the same data and options"),
    NUMBER_OPTION("--validation", REAL, validation, 0, 0.5, "part of the training rows to hold out and measure on"),
    NUMBER_OPTION("--epochs", INTEGER, epochs, 1, 1e6, "passes over the training rows"),
    NUMBER_OPTION("--batch", INTEGER, batch, 1, 1e6, "rows of a batch"),
    NUMBER_OPTION("--bucket", INTEGER, bucket, 1, 1e6, "rows of this many batches are sorted by length; 1: none"),
    NUMBER_OPTION("--max-tokens", INTEGER, max_tokens, 1, MOST_TOKENS, "longer texts are cut"),
    NUMBER_OPTION("--keep-tail", INTEGER, keep_tail, 0, MOST_TOKENS, "of a cut text, keep this many tokens of the end"),
    NUMBER_OPTION("--vocabulary", INTEGER, vocabulary, 2, 1e8, "most tokens to know"),
    NUMBER_OPTION("--min-count", INTEGER, min_count, 1, 1e9, "rarer tokens are unknown"),
    NUMBER_OPTION("--embedding", INTEGER, embedding, 1, 1e6, "features of a token"),
    NUMBER_OPTION("--hidden", INTEGER, hidden, 1, 1e6, "features of a state, per direction"),
    NUMBER_OPTION("--layers", INTEGER, layers, 1, 64, "LSTM layers"),
    NUMBER_OPTION("--bidirectional", INTEGER, bidirectional, 0, 1, "1: both directions"),
    { "--pooling", POOLING, offsetof(settings, pooling), 0, 0, "last, mean or max" },
    NUMBER_OPTION("--embedding-dropout", REAL, embedding_dropout, 0, 0.99, "on embedded tokens"),
    NUMBER_OPTION("--layer-dropout", REAL, layer_dropout, 0, 0.99, "between layers"),
    NUMBER_OPTION("--output-dropout", REAL, output_dropout, 0, 0.99, "on the encoder's result"),
    NUMBER_OPTION("--learning-rate", REAL, learning_rate, 0, 10, "of AdamW, after the warm-up; falls as a cosine"),
    NUMBER_OPTION("--warmup", INTEGER, warmup, 0, 1e9, "steps"),
    NUMBER_OPTION("--weight-decay", REAL, weight_decay, 0, 10, "of AdamW"),
    NUMBER_OPTION("--clip", REAL, clip, 0, HUGE_SETTING, "global norm of the gradients; 0: none"),
    NUMBER_OPTION("--smoothing", REAL, smoothing, 0, 0.99, "label smoothing"),
    NUMBER_OPTION("--sentiment-weight", REAL, sentiment_weight, 0, HUGE_SETTING, "weight of the task"),
    NUMBER_OPTION("--topic-weight", REAL, topic_weight, 0, HUGE_SETTING, "weight of the task"),
    NUMBER_OPTION("--threads", INTEGER, threads, 1, 256, "threads"),
    NUMBER_OPTION("--seed", INTEGER, seed, 0, HUGE_SETTING, "of weights, order and dropout"),
};

enum { NUM_OPTIONS = sizeof options / sizeof options[0] };

static const settings defaults = {
    .model = "sentiment_topic.mtl",
    .epochs = 8,
    .batch = 16,
    .bucket = 1,
    .max_tokens = 256,
    .vocabulary = 30000,
    .min_count = 1,
    .warmup = 20,
    .embedding = 64,
    .hidden = 64,
    .layers = 1,
    .bidirectional = 1,
    .pooling = MTL_POOLING_MAX,
    .embedding_dropout = 0.3,
    .output_dropout = 0.3,
    .learning_rate = 0.003,
    .weight_decay = 0.01,
    .clip = 1,
    .sentiment_weight = 1,
    .topic_weight = 1,
    .threads = 1,
    .seed = 1,
};

static const char *const poolings[] = {"last", "mean", "max"};

static void refuse(const char *option, const char *value, const char *expected)
{
    fprintf(stderr, "%s %s: expected %s\n", option, value, expected);
    exit(2);
}

static int32_t read_pooling(const char *option, const char *value)
{
    for (int32_t i = 0; i < 3; i++) {
        if (strcmp(value, poolings[i]) == 0) {
            return i;
        }
    }
    refuse(option, value, "last, mean or max");
    return 0;
}

static void set(settings *out, const struct option *option, const char *value)
{
    void *field = (char *)out + option->offset;
    char *end = NULL;
    errno = 0;
    switch (option->kind) {
    case TEXT:
        *(const char **)field = value;
        break;
    case INTEGER:
        *(int64_t *)field = strtoll(value, &end, 10);
        break;
    case REAL:
        *(double *)field = strtod(value, &end);
        break;
    case POOLING:
        *(int32_t *)field = read_pooling(option->name, value);
        break;
    }
    if (end && (*end != '\0' || end == value || errno != 0)) {
        refuse(option->name, value, "a number");
    }
    double number = option->kind == INTEGER ? (double)*(int64_t *)field : option->kind == REAL ? *(double *)field : 0;
    if (!(number >= option->least && number <= option->most)) {
        char range[80];
        snprintf(range, sizeof range, "a number from %g to %g", option->least, option->most);
        refuse(option->name, value, range);
    }
}

static const struct option *find(const char *name)
{
    for (int i = 0; i < NUM_OPTIONS; i++) {
        if (strcmp(name, options[i].name) == 0) {
            return &options[i];
        }
    }
    fprintf(stderr, "%s is not an option; --help lists them\n", name);
    exit(2);
}

void read_settings(settings *out, int argc, char **argv)
{
    *out = defaults;
    for (int i = 0; i < argc; i += 2) {
        const struct option *option = find(argv[i]);
        if (i + 1 == argc) {
            fprintf(stderr, "%s needs a value\n", argv[i]);
            exit(2);
        }
        set(out, option, argv[i + 1]);
    }
    if (out->keep_tail > out->max_tokens) {
        fprintf(stderr, "--keep-tail must not be more than --max-tokens\n");
        exit(2);
    }
}

static void print_default(const struct option *option)
{
    const void *field = (const char *)&defaults + option->offset;
    switch (option->kind) {
    case TEXT:
        printf(*(const char *const *)field ? " (%s)\n" : "\n", *(const char *const *)field);
        break;
    case INTEGER:
        printf(" (%lld)\n", (long long)*(const int64_t *)field);
        break;
    case REAL:
        printf(" (%g)\n", *(const double *)field);
        break;
    case POOLING:
        printf(" (%s)\n", poolings[*(const int32_t *)field]);
        break;
    }
}

void print_settings_help(void)
{
    puts("Options, each followed by its value; in brackets the default:");
    for (int i = 0; i < NUM_OPTIONS; i++) {
        printf("  %-20s %s", options[i].name, options[i].help);
        print_default(&options[i]);
    }
}
