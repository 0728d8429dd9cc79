/* SPDX-License-Identifier: Apache-2.0
 * Training throughput of the two-task LSTM in real tokens per second, on given texts, one `name value unit` per line.
 *
 *   bench_train REVIEWS.csv NEWS.csv [THREADS [BATCHES [DUMP]]]
 *
 * REVIEWS.csv has a header and the columns label (0) and text (4), NEWS.csv is in the form of AG News. With DUMP the
 * batches are written to that file, so that peer_train.py trains on the same rows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mtl/mtl.h>

enum { EMBEDDING = 128, HIDDEN = 256, BATCH = 64, MAX_TOKENS = 256, VOCABULARY = 30000, WARM_UP = 3, MOST = 4096 };

static mtl_context *ctx;

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

static mtl_dataset *open_reviews(const char *path)
{
    static const char *const classes[] = {"0", "1"};
    static const int32_t text = 4;
    const mtl_label_column label = {0, MTL_LABELS_CLASS, classes, 2};
    mtl_table_options table = MTL_TABLE_OPTIONS_INIT;
    mtl_dataset *dataset = NULL;
    table.text_columns = &text;
    table.num_text_columns = 1;
    table.labels = &label;
    table.num_labels = 1;
    table.header = 1;
    CHECK(mtl_dataset_open_table(ctx, path, &table, &dataset));
    return dataset;
}

static mtl_sampler *make_sampler(const char *reviews_path, const char *news_path, mtl_vocabulary **words)
{
    static const int32_t tasks[] = {0, 1};
    mtl_dataset *reviews = open_reviews(reviews_path);
    mtl_dataset *news = NULL;
    mtl_tokenizer *tokenizer = NULL;
    mtl_vocabulary_builder *builder = NULL;
    mtl_vocabulary_options vocabulary = MTL_VOCABULARY_OPTIONS_INIT;
    mtl_sampler_options options = MTL_SAMPLER_OPTIONS_INIT;
    mtl_sampler *sampler = NULL;
    vocabulary.max_size = VOCABULARY;
    options.batch_rows = BATCH;
    options.max_tokens = MAX_TOKENS;
    options.strategy = MTL_SAMPLING_UNIFORM; /* half reviews, half news */
    CHECK(mtl_dataset_open_ag_news(ctx, news_path, &news));
    CHECK(mtl_tokenizer_create(ctx, NULL, &tokenizer));
    CHECK(mtl_vocabulary_builder_create(ctx, tokenizer, &builder));
    CHECK(mtl_vocabulary_builder_add_dataset(builder, reviews));
    CHECK(mtl_vocabulary_builder_add_dataset(builder, news));
    CHECK(mtl_vocabulary_builder_finish(builder, &vocabulary, words));
    CHECK(mtl_sampler_create(ctx, *words, 2, &options, &sampler));
    CHECK(mtl_sampler_add_dataset(sampler, reviews, &tasks[0], 1));
    CHECK(mtl_sampler_add_dataset(sampler, news, &tasks[1], 1));
    mtl_vocabulary_builder_destroy(builder);
    mtl_tokenizer_release(tokenizer);
    mtl_dataset_release(news);
    mtl_dataset_release(reviews);
    return sampler;
}

static void write_all(FILE *file, const void *data, size_t size)
{
    if (fwrite(data, 1, size, file) != size) {
        perror("dump");
        exit(1);
    }
}

/* int64 rows; int64 offsets[rows + 1]; int32 ids[]; int32 labels[2][rows] */
static void dump_batch(FILE *file, mtl_batch *batch)
{
    mtl_tensor *inputs = mtl_batch_inputs(batch);
    int64_t rows = mtl_batch_rows(batch);
    void *data = NULL;
    write_all(file, &rows, sizeof rows);
    write_all(file, mtl_tensor_offsets(inputs), ((size_t)rows + 1) * sizeof(int64_t));
    CHECK(mtl_tensor_map(inputs, MTL_INT32, &data));
    write_all(file, data, (size_t)mtl_batch_tokens(batch) * sizeof(int32_t));
    for (int32_t t = 0; t < 2; t++) {
        CHECK(mtl_tensor_map(mtl_batch_labels(batch, t), MTL_INT32, &data));
        write_all(file, data, (size_t)rows * sizeof(int32_t));
    }
}

typedef struct network {
    mtl_encoder *encoder;
    mtl_head *heads[2];
    mtl_model *model;
    mtl_objective *objective;
    mtl_optimizer *adam;
    mtl_gradients *gradients;
    mtl_tape *tape;
} network;

static void build(network *net, int64_t vocabulary)
{
    mtl_lstm_options lstm = MTL_LSTM_OPTIONS_INIT;
    lstm.vocabulary_size = vocabulary;
    lstm.embedding_dim = EMBEDDING;
    lstm.hidden_dim = HIDDEN;
    CHECK(mtl_encoder_create_lstm(ctx, &lstm, &net->encoder));
    CHECK(mtl_head_create_classifier(ctx, HIDDEN, 2, NULL, &net->heads[0]));
    CHECK(mtl_head_create_classifier(ctx, HIDDEN, 4, NULL, &net->heads[1]));
    CHECK(mtl_model_create(ctx, NULL, &net->model));
    CHECK(mtl_model_add_encoder(net->model, "encoder", net->encoder));
    CHECK(mtl_model_add_head(net->model, "sentiment", net->heads[0]));
    CHECK(mtl_model_add_head(net->model, "topic", net->heads[1]));
    CHECK(mtl_objective_create(net->model, NULL, &net->objective));
    CHECK(mtl_objective_add_task(net->objective, "sentiment", 1));
    CHECK(mtl_objective_add_task(net->objective, "topic", 1));
    CHECK(mtl_optimizer_create_adam(net->model, NULL, &net->adam));
    CHECK(mtl_gradients_create(net->model, &net->gradients));
    CHECK(mtl_tape_create(ctx, NULL, &net->tape));
}

static void train(network *net, mtl_batch *batch, double seconds[3])
{
    double start = now();
    mtl_tape_reset(net->tape, MTL_TAPE_TRAIN);
    mtl_tensor *h = mtl_encoder_forward(net->encoder, net->tape, mtl_batch_inputs(batch));
    mtl_tensor *losses[2];
    for (int32_t t = 0; t < 2; t++) {
        losses[t] = mtl_cross_entropy(net->tape, mtl_head_forward(net->heads[t], net->tape, h),
                                      mtl_batch_labels(batch, t), NULL);
    }
    double forward = now();
    CHECK(mtl_objective_backward(net->objective, net->tape, losses, 2, net->gradients));
    double backward = now();
    CHECK(mtl_optimizer_step(net->adam, net->gradients));
    seconds[0] += forward - start;
    seconds[1] += backward - forward;
    seconds[2] += now() - backward;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static double rates[MOST];
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    mtl_vocabulary *words = NULL;
    network net = {0};
    if (argc < 3) {
        fprintf(stderr, "usage: bench_train REVIEWS.csv NEWS.csv [THREADS [BATCHES [DUMP]]]\n");
        return 2;
    }
    options.threads = argc > 3 ? atoi(argv[3]) : 1;
    int batches = argc > 4 ? atoi(argv[4]) : 40;
    FILE *dump = argc > 5 ? fopen(argv[5], "wb") : NULL;
    if (batches < 1 || batches > MOST || mtl_context_create(&options, &ctx) != MTL_OK) {
        return 2;
    }
    mtl_sampler *sampler = make_sampler(argv[1], argv[2], &words);
    build(&net, mtl_vocabulary_size(words));
    int64_t tokens = 0;
    double seconds[3] = {0, 0, 0};
    mtl_memory_info memory = {0};
    for (int i = -WARM_UP; i < batches; i++) {
        mtl_batch *batch = NULL;
        CHECK(mtl_sampler_next(sampler, &batch));
        if (!batch) {
            break;
        }
        if (dump) {
            dump_batch(dump, batch);
        }
        if (i == 0) {
            memset(seconds, 0, sizeof seconds);
        }
        double start = now();
        train(&net, batch, seconds);
        if (i >= 0) {
            rates[i] = (double)mtl_batch_tokens(batch) / (now() - start);
            tokens += mtl_batch_tokens(batch);
        }
    }
    double total = seconds[0] + seconds[1] + seconds[2];
    qsort(rates, (size_t)batches, sizeof rates[0], compare);
    CHECK(mtl_context_memory(ctx, &memory));
    printf("libmtl_train_t%d %.0f tokens/s\n", options.threads, (double)tokens / total);
    printf("libmtl_train_t%d_median %.0f tokens/s\n", options.threads, rates[batches / 2]);
    printf("libmtl_train_t%d_min %.0f tokens/s\n", options.threads, rates[0]);
    printf("libmtl_train_t%d_max %.0f tokens/s\n", options.threads, rates[batches - 1]);
    printf("libmtl_forward_t%d %.2f ms\n", options.threads, 1e3 * seconds[0] / batches);
    printf("libmtl_backward_t%d %.2f ms\n", options.threads, 1e3 * seconds[1] / batches);
    printf("libmtl_optimizer_t%d %.2f ms\n", options.threads, 1e3 * seconds[2] / batches);
    printf("libmtl_peak_t%d %.1f MB\n", options.threads, 1e-6 * (double)memory.peak_bytes);
    if (dump) {
        fclose(dump);
    }
    mtl_tape_destroy(net.tape);
    mtl_gradients_destroy(net.gradients);
    mtl_optimizer_destroy(net.adam);
    mtl_objective_destroy(net.objective);
    mtl_model_destroy(net.model);
    mtl_head_release(net.heads[0]);
    mtl_head_release(net.heads[1]);
    mtl_encoder_release(net.encoder);
    mtl_sampler_destroy(sampler);
    mtl_vocabulary_release(words);
    mtl_context_release(ctx);
    return 0;
}
