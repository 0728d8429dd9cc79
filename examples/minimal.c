/* Two tasks, one shared LSTM encoder: sentiment of reviews and topic of news, from text files to a trained model.
 * Run it in examples/data, or give the folder: ./minimal examples/data */
#include <stdio.h>
#include <stdlib.h>

#include <mtl/mtl.h>

static mtl_context *ctx;

#define CHECK(call) do { if ((call) != MTL_OK) { puts(mtl_context_last_error(ctx)); exit(1); } } while (0)

int main(int argc, char **argv)
{
    const char *classes[] = {"negative", "positive"};
    const int32_t text_columns[] = {1}, task[] = {0, 1};
    mtl_label_column label = {0, MTL_LABELS_CLASS, classes, 2};
    mtl_table_options table = MTL_TABLE_OPTIONS_INIT;
    char reviews_path[4096], news_path[4096];
    snprintf(reviews_path, sizeof reviews_path, "%s/reviews_train.tsv", argc > 1 ? argv[1] : ".");
    snprintf(news_path, sizeof news_path, "%s/news_train.csv", argc > 1 ? argv[1] : ".");

    mtl_dataset *reviews, *news;
    mtl_tokenizer *tokenizer;
    mtl_vocabulary_builder *builder;
    mtl_vocabulary *words;
    mtl_sampler *sampler;
    CHECK(mtl_context_create(NULL, &ctx));                        /* NULL options: every default */
    table.text_columns = text_columns;  table.num_text_columns = 1;
    table.labels = &label;  table.num_labels = 1;  table.delimiter = '\t';
    CHECK(mtl_dataset_open_table(ctx, reviews_path, &table, &reviews));
    CHECK(mtl_dataset_open_ag_news(ctx, news_path, &news));
    CHECK(mtl_tokenizer_create(ctx, NULL, &tokenizer));
    CHECK(mtl_vocabulary_builder_create(ctx, tokenizer, &builder));
    CHECK(mtl_vocabulary_builder_add_dataset(builder, reviews));
    CHECK(mtl_vocabulary_builder_add_dataset(builder, news));
    CHECK(mtl_vocabulary_builder_finish(builder, NULL, &words));
    CHECK(mtl_sampler_create(ctx, words, 2, NULL, &sampler));
    CHECK(mtl_sampler_add_dataset(sampler, reviews, &task[0], 1));
    CHECK(mtl_sampler_add_dataset(sampler, news, &task[1], 1));

    mtl_encoder *encoder;
    mtl_head *sentiment, *topic;
    mtl_model *model;
    mtl_objective *objective;
    mtl_optimizer *adam;
    mtl_gradients *gradients;
    mtl_tape *tape;
    mtl_lstm_options lstm = MTL_LSTM_OPTIONS_INIT;                /* struct_size and defaults */
    lstm.vocabulary_size = mtl_vocabulary_size(words);
    lstm.embedding_dim = 64;  lstm.hidden_dim = 64;
    CHECK(mtl_encoder_create_lstm(ctx, &lstm, &encoder));
    CHECK(mtl_head_create_classifier(ctx, mtl_encoder_output_dim(encoder), 2, NULL, &sentiment));
    CHECK(mtl_head_create_classifier(ctx, mtl_encoder_output_dim(encoder), 4, NULL, &topic));

    CHECK(mtl_model_create(ctx, NULL, &model));                   /* what is saved and optimized */
    CHECK(mtl_model_add_encoder(model, "encoder", encoder));
    CHECK(mtl_model_add_head(model, "sentiment", sentiment));
    CHECK(mtl_model_add_head(model, "topic", topic));

    CHECK(mtl_objective_create(model, NULL, &objective));         /* sum_t lambda_t L_t */
    CHECK(mtl_objective_share_encoder(objective, encoder));
    CHECK(mtl_objective_add_task(objective, "sentiment", 1.0));   /* task 0 */
    CHECK(mtl_objective_add_task(objective, "topic", 0.5));       /* task 1 */

    CHECK(mtl_optimizer_create_adam(model, NULL, &adam));
    CHECK(mtl_gradients_create(model, &gradients));
    CHECK(mtl_tape_create(ctx, NULL, &tape));

    for (int epoch = 0; epoch < 4;) {
        mtl_batch *batch;
        CHECK(mtl_sampler_next(sampler, &batch));                 /* rows of both tasks, mixed; NULL ends the epoch */
        if (!batch) {
            printf("epoch %d: sentiment %.3f, topic %.3f\n", ++epoch, mtl_objective_task_loss(objective, 0),
                   mtl_objective_task_loss(objective, 1));
            continue;
        }
        mtl_tape_reset(tape, MTL_TAPE_TRAIN);
        mtl_tensor *h = mtl_encoder_forward(encoder, tape, mtl_batch_inputs(batch));
        mtl_tensor *losses[] = {
            mtl_cross_entropy(tape, mtl_head_forward(sentiment, tape, h), mtl_batch_labels(batch, 0), NULL),
            mtl_cross_entropy(tape, mtl_head_forward(topic, tape, h), mtl_batch_labels(batch, 1), NULL),
        };
        CHECK(mtl_objective_backward(objective, tape, losses, 2, gradients)); /* the first error of the step */
        CHECK(mtl_optimizer_step(adam, gradients));
    }
    mtl_save_options save = MTL_SAVE_OPTIONS_INIT;
    save.vocabulary = words;
    CHECK(mtl_model_save(model, "minimal.mtl", &save));

    mtl_tape_destroy(tape);  mtl_gradients_destroy(gradients);  mtl_optimizer_destroy(adam);
    mtl_objective_destroy(objective);  mtl_model_destroy(model);
    mtl_head_release(topic);  mtl_head_release(sentiment);  mtl_encoder_release(encoder);
    mtl_sampler_destroy(sampler);  mtl_vocabulary_release(words);  mtl_vocabulary_builder_destroy(builder);
    mtl_tokenizer_release(tokenizer);  mtl_dataset_release(news);  mtl_dataset_release(reviews);
    mtl_context_release(ctx);
    return 0;
}
