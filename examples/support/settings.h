/* SPDX-License-Identifier: Apache-2.0
 * The command line of the sentiment and topic example. */
#ifndef EXAMPLES_SETTINGS_H
#define EXAMPLES_SETTINGS_H

#include <stdint.h>

enum { MOST_TOKENS = 1 << 20 };

/** Everything that can be set; the defaults are those of settings.c. */
typedef struct settings {
    const char *reviews;      /* training reviews: .tsv, .csv with a header, or an aclImdb folder; NULL: none */
    const char *news;         /* training news: .csv as AG News; NULL: none */
    const char *reviews_test; /* as reviews; NULL: no test */
    const char *news_test;
    const char *model;
    const char *checkpoint; /* written after each epoch, with all that training needs to go on; NULL: none */
    const char *resume;     /* such a file, to go on with; NULL: begin */
    double validation; /* part of the training rows that is held out, and measured after each epoch */
    int64_t epochs, batch, bucket, max_tokens, keep_tail, vocabulary, min_count, warmup;
    int64_t embedding, hidden, layers, bidirectional, threads, seed;
    int32_t pooling;
    double embedding_dropout, layer_dropout, output_dropout;
    double learning_rate, weight_decay, clip, smoothing;
    double sentiment_weight, topic_weight;
} settings;

/** Fills the settings from the options after the command; prints what is wrong and ends the program. */
void read_settings(settings *out, int argc, char **argv);

/** Prints the options with their defaults. */
void print_settings_help(void);

#endif
