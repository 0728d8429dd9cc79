/* SPDX-License-Identifier: Apache-2.0
 * Two tasks, one shared LSTM encoder: the sentiment of reviews and the topic of news, from text files to a model that
 * is trained, saved and used. The README shows what stands between the two marks.
 *
 *   minimal [FOLDER]    FOLDER holds reviews_train.tsv and news_train.csv; default: examples/data */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mtl/mtl.h>

/* The context keeps the sentence that says what is wrong. */
#define CHECK(call) \
    do { \
        if ((call) != MTL_OK) { \
            fprintf(stderr, "%s\n", mtl_context_last_error(ctx)); \
            exit(1); \
        } \
    } while (0)

/* Reviews are lines of "negative" or "positive", a tab, and a text. */
static mtl_dataset *open_reviews(mtl_context *ctx, const char *folder)
{
    static const char *const classes[] = {"negative", "positive"};
    const mtl_label_column label = {.column = 0, .kind = MTL_LABELS_CLASS, .classes = classes, .num_classes = 2};
    const int32_t text_column = 1;
    mtl_table_options table = MTL_TABLE_OPTIONS_INIT;
    table.text_columns = &text_column;
    table.num_text_columns = 1;
    table.labels = &label;
    table.num_labels = 1;
    table.delimiter = '\t';
    table.quotes = 0;
    char path[4096];
    mtl_dataset *reviews;
    snprintf(path, sizeof path, "%s/reviews_train.tsv", folder);
    CHECK(mtl_dataset_open_table(ctx, path, &table, &reviews));
    return reviews;
}

static mtl_dataset *open_news(mtl_context *ctx, const char *folder)
{
    char path[4096];
    mtl_dataset *news;
    snprintf(path, sizeof path, "%s/news_train.csv", folder);
    CHECK(mtl_dataset_open_ag_news(ctx, path, &news));
    return news;
}

/* The words of both tasks, most frequent first. */
static mtl_vocabulary *count_words(mtl_context *ctx, mtl_dataset *reviews, mtl_dataset *news)
{
    mtl_tokenizer *tokenizer;
    mtl_vocabulary_builder *builder;
    mtl_vocabulary *words;
    CHECK(mtl_tokenizer_create(ctx, NULL, &tokenizer));
    CHECK(mtl_vocabulary_builder_create(ctx, tokenizer, &builder));
    CHECK(mtl_vocabulary_builder_add_dataset(builder, reviews));
    CHECK(mtl_vocabulary_builder_add_dataset(builder, news));
    CHECK(mtl_vocabulary_builder_finish(builder, NULL, &words));
    mtl_vocabulary_builder_destroy(builder);
    mtl_tokenizer_release(tokenizer);
    return words;
}

/* Batches of rows of both tasks. */
static mtl_sampler *mix(mtl_context *ctx, mtl_vocabulary *words, mtl_dataset *reviews, mtl_dataset *news)
{
    const int32_t sentiment = 0, topic = 1;
    mtl_sampler_options options = MTL_SAMPLER_OPTIONS_INIT;
    mtl_sampler *sampler;
    options.batch_rows = 16;
    CHECK(mtl_sampler_create(ctx, words, 2, &options, &sampler));
    CHECK(mtl_sampler_add_dataset(sampler, reviews, &sentiment, 1));
    CHECK(mtl_sampler_add_dataset(sampler, news, &topic, 1));
    return sampler;
}

static mtl_model *train(mtl_context *ctx, const mtl_vocabulary *words, mtl_sampler *sampler)
{
    mtl_encoder *encoder;
    mtl_head *sentiment, *topic;
    mtl_model *model;
    mtl_objective *objective;
    mtl_optimizer *adam;
    mtl_gradients *gradients;
    mtl_tape *tape;

    /* README: begin */
    mtl_lstm_options lstm = MTL_LSTM_OPTIONS_INIT;                /* struct_size and defaults */
    lstm.vocabulary_size = mtl_vocabulary_size(words);
    lstm.embedding_dim = 64;
    lstm.hidden_dim = 64;
    lstm.bidirectional = 1;
    lstm.pooling = MTL_POOLING_MAX;
    CHECK(mtl_encoder_create_lstm(ctx, &lstm, &encoder));
    CHECK(mtl_head_create_classifier(ctx, mtl_encoder_output_dim(encoder), 2, NULL, &sentiment));
    CHECK(mtl_head_create_classifier(ctx, mtl_encoder_output_dim(encoder), 4, NULL, &topic));

    CHECK(mtl_model_create(ctx, NULL, &model));                   /* what is optimized and saved */
    CHECK(mtl_model_add_encoder(model, "encoder", encoder));
    CHECK(mtl_model_add_head(model, "sentiment", sentiment));
    CHECK(mtl_model_add_head(model, "topic", topic));

    CHECK(mtl_objective_create(model, NULL, &objective));         /* the sum of weight * loss over the tasks */
    CHECK(mtl_objective_share_encoder(objective, encoder));
    CHECK(mtl_objective_add_task(objective, "sentiment", 1.0));   /* task 0 */
    CHECK(mtl_objective_add_task(objective, "topic", 0.5));       /* task 1 */

    CHECK(mtl_optimizer_create_adam(model, NULL, &adam));         /* NULL options: every default */
    CHECK(mtl_gradients_create(model, &gradients));
    CHECK(mtl_tape_create(ctx, NULL, &tape));

    for (int epoch = 1; epoch <= 8; epoch++) {
        mtl_batch *batch;
        CHECK(mtl_sampler_next(sampler, &batch));                 /* rows of both tasks, mixed */
        while (batch) {
            mtl_tape_reset(tape, MTL_TAPE_TRAIN);
            mtl_tensor *h = mtl_encoder_forward(encoder, tape, mtl_batch_inputs(batch));
            mtl_tensor *losses[] = {                              /* each over the rows that its task labels */
                mtl_cross_entropy(tape, mtl_head_forward(sentiment, tape, h), mtl_batch_labels(batch, 0), NULL),
                mtl_cross_entropy(tape, mtl_head_forward(topic, tape, h), mtl_batch_labels(batch, 1), NULL),
            };
            CHECK(mtl_objective_backward(objective, tape, losses, 2, gradients)); /* reports errors of all the above */
            CHECK(mtl_optimizer_step(adam, gradients));
            CHECK(mtl_sampler_next(sampler, &batch));             /* NULL ends the epoch */
        }
        printf("epoch %d, last batch: loss %.3f\n", epoch, mtl_objective_value(objective));
    }
    /* README: end */

    mtl_tape_destroy(tape);
    mtl_gradients_destroy(gradients);
    mtl_optimizer_destroy(adam);
    mtl_objective_destroy(objective);
    mtl_head_release(topic); /* the model holds heads and encoder */
    mtl_head_release(sentiment);
    mtl_encoder_release(encoder);
    return model;
}

/* Prints the probabilities of one head for a text. */
static void predict(mtl_context *ctx, mtl_model *model, const mtl_vocabulary *words, const char *head, const char *text)
{
    int32_t ids[256];
    int64_t offsets[2] = {0, 0}; /* one row */
    size_t count;
    mtl_tensor *inputs;
    mtl_tape *tape;
    double p[4];
    CHECK(mtl_vocabulary_encode(words, text, strlen(text), ids, 256, &count));
    offsets[1] = count < 256 ? (int64_t)count : 256;
    CHECK(mtl_tensor_create_ragged(ctx, 1, offsets, ids, &inputs));
    CHECK(mtl_tape_create(ctx, NULL, &tape)); /* for inference, until it is reset otherwise */
    mtl_tensor *h = mtl_encoder_forward(mtl_model_encoder(model, "encoder"), tape, inputs);
    mtl_tensor *probabilities = mtl_softmax(tape, mtl_head_forward(mtl_model_head(model, head), tape, h));
    CHECK(mtl_tensor_read(probabilities, MTL_FLOAT64, p, (size_t)mtl_tensor_size(probabilities)));
    printf("%s of \"%s\":", head, text);
    for (int64_t c = 0; c < mtl_tensor_size(probabilities); c++) {
        printf(" %.3f", p[c]);
    }
    putchar('\n');
    mtl_tape_destroy(tape);
    mtl_tensor_release(inputs);
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "examples/data";
    mtl_context *ctx = NULL;
    CHECK(mtl_context_create(NULL, &ctx));
    mtl_dataset *reviews = open_reviews(ctx, folder);
    mtl_dataset *news = open_news(ctx, folder);
    mtl_vocabulary *words = count_words(ctx, reviews, news);
    mtl_sampler *sampler = mix(ctx, words, reviews, news);
    mtl_model *model = train(ctx, words, sampler);

    mtl_save_options save = MTL_SAVE_OPTIONS_INIT;
    save.vocabulary = words;
    CHECK(mtl_model_save(model, "minimal.mtl", &save));
    predict(ctx, model, words, "sentiment", "The soup was cold and the waiter was rude.");
    predict(ctx, model, words, "topic", "A goalkeeper saved two penalties and her team won the cup.");

    mtl_model_destroy(model); /* in any order */
    mtl_sampler_destroy(sampler);
    mtl_vocabulary_release(words);
    mtl_dataset_release(news);
    mtl_dataset_release(reviews);
    mtl_context_release(ctx);
    return 0;
}
