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
    const char *help;
};

#define OPTION(name, kind, field, help) { name, kind, offsetof(settings, field), help }

static const struct option options[] = {
    OPTION("--reviews", TEXT, reviews, "training reviews: .tsv (label, text), .csv with a header, or aclImdb folder"),
    OPTION("--news", TEXT, news, "training news: .csv (class, title, description)"),
    OPTION("--reviews-test", TEXT, reviews_test, "reviews to measure on"),
    OPTION("--news-test", TEXT, news_test, "news to measure on"),
    OPTION("--model", TEXT, model, "file of the model"),
    OPTION("--validation", REAL, validation, "part of the training rows to hold out and measure on, 0 to 0.5"),
    OPTION("--epochs", INTEGER, epochs, "passes over the training rows"),
    OPTION("--batch", INTEGER, batch, "rows of a batch"),
    OPTION("--bucket", INTEGER, bucket, "rows of this many batches are sorted by length; 1: none"),
    OPTION("--max-tokens", INTEGER, max_tokens, "longer texts are cut"),
    OPTION("--keep-tail", INTEGER, keep_tail, "of a cut text, keep this many tokens of the end"),
    OPTION("--vocabulary", INTEGER, vocabulary, "most tokens to know"),
    OPTION("--min-count", INTEGER, min_count, "rarer tokens are unknown"),
    OPTION("--embedding", INTEGER, embedding, "features of a token"),
    OPTION("--hidden", INTEGER, hidden, "features of a state, per direction"),
    OPTION("--layers", INTEGER, layers, "LSTM layers"),
    OPTION("--bidirectional", INTEGER, bidirectional, "1: both directions"),
    OPTION("--pooling", POOLING, pooling, "last, mean or max"),
    OPTION("--embedding-dropout", REAL, embedding_dropout, "on embedded tokens"),
    OPTION("--layer-dropout", REAL, layer_dropout, "between layers"),
    OPTION("--output-dropout", REAL, output_dropout, "on the encoder's result"),
    OPTION("--learning-rate", REAL, learning_rate, "of AdamW, after the warm-up; falls as a cosine"),
    OPTION("--warmup", INTEGER, warmup, "steps"),
    OPTION("--weight-decay", REAL, weight_decay, "of AdamW"),
    OPTION("--clip", REAL, clip, "global norm of the gradients; 0: none"),
    OPTION("--smoothing", REAL, smoothing, "label smoothing"),
    OPTION("--sentiment-weight", REAL, sentiment_weight, "weight of the task"),
    OPTION("--topic-weight", REAL, topic_weight, "weight of the task"),
    OPTION("--threads", INTEGER, threads, "threads"),
    OPTION("--seed", INTEGER, seed, "of weights, order and dropout"),
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
    if (out->validation < 0 || out->validation > 0.5 || out->epochs < 1) {
        fprintf(stderr, "--validation must be 0 to 0.5 and --epochs at least 1\n");
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
