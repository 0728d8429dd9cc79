/* SPDX-License-Identifier: Apache-2.0
 * Inference: latency of one text and throughput of batches of 64, for a shared LSTM with two heads (embeddings of 100 and
 * 128 features; of 128 and 256).
 *
 *   bench_infer [THREADS]
 *
 * Prints `name value unit` lines: median, least, rate at the median. peer_infer.py runs it beside PyTorch. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mtl/mtl.h>

#define CHECK(call) \
    do { \
        if ((call) != MTL_OK) { \
            fprintf(stderr, "%s\n", mtl_context_last_error(ctx)); \
            exit(1); \
        } \
    } while (0)

enum { VOCABULARY = 30000, MOST_RUNS = 2000 };

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

typedef struct network {
    mtl_model *model;
    mtl_encoder *encoder;
    mtl_head *heads[2];
} network;

static network make_network(mtl_context *ctx, int64_t embedding, int64_t hidden)
{
    network n;
    mtl_lstm_options lstm = MTL_LSTM_OPTIONS_INIT;
    lstm.vocabulary_size = VOCABULARY;
    lstm.embedding_dim = embedding;
    lstm.hidden_dim = hidden;
    CHECK(mtl_encoder_create_lstm(ctx, &lstm, &n.encoder));
    CHECK(mtl_head_create_classifier(ctx, hidden, 2, NULL, &n.heads[0]));
    CHECK(mtl_head_create_classifier(ctx, hidden, 4, NULL, &n.heads[1]));
    CHECK(mtl_model_create(ctx, NULL, &n.model));
    CHECK(mtl_model_add_encoder(n.model, "encoder", n.encoder));
    CHECK(mtl_model_add_head(n.model, "sentiment", n.heads[0]));
    CHECK(mtl_model_add_head(n.model, "topic", n.heads[1]));
    return n;
}

static void drop_network(network *n)
{
    mtl_model_destroy(n->model);
    mtl_encoder_release(n->encoder);
    mtl_head_release(n->heads[0]);
    mtl_head_release(n->heads[1]);
}

/* Texts of one length, tokens uniform over the vocabulary: the worst case for an embedding table. */
static mtl_tensor *make_texts(mtl_context *ctx, int64_t rows, int64_t tokens)
{
    int32_t *ids = malloc((size_t)(rows * tokens) * sizeof ids[0]);
    int64_t *offsets = malloc((size_t)(rows + 1) * sizeof offsets[0]);
    uint64_t state = 1;
    if (!ids || !offsets) {
        exit(1);
    }
    for (int64_t i = 0; i < rows * tokens; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
        ids[i] = (int32_t)((state >> 33) % VOCABULARY);
    }
    for (int64_t r = 0; r <= rows; r++) {
        offsets[r] = r * tokens;
    }
    mtl_tensor *texts;
    CHECK(mtl_tensor_create_ragged(ctx, rows, offsets, ids, &texts));
    free(ids);
    free(offsets);
    return texts;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void judge(const network *n, mtl_tape *tape, mtl_tensor *texts)
{
    mtl_tape_reset(tape, MTL_TAPE_INFER);
    mtl_tensor *h = mtl_encoder_forward(n->encoder, tape, texts);
    (void)mtl_head_forward(n->heads[0], tape, h);
    (void)mtl_head_forward(n->heads[1], tape, h);
}

static void measure(mtl_context *ctx, const network *n, const char *name, int64_t rows, int64_t tokens, int runs)
{
    static double times[MOST_RUNS];
    mtl_tape *tape;
    mtl_tensor *texts = make_texts(ctx, rows, tokens);
    CHECK(mtl_tape_create(ctx, NULL, &tape));
    for (int r = -10; r < runs; r++) {
        double start = now_us();
        judge(n, tape, texts);
        if (r >= 0) {
            times[r] = now_us() - start;
        }
    }
    CHECK(mtl_tape_status(tape));
    qsort(times, (size_t)runs, sizeof times[0], by_size);
    printf("%s_batch%" PRId64 "_tokens%" PRId64 "_median %.1f us\n", name, rows, tokens, times[runs / 2]);
    printf("%s_batch%" PRId64 "_tokens%" PRId64 "_least %.1f us\n", name, rows, tokens, times[0]);
    printf("%s_batch%" PRId64 "_tokens%" PRId64 "_rate %.0f tokens/s\n", name, rows, tokens,
           1e6 * (double)(rows * tokens) / times[runs / 2]);
    mtl_tape_destroy(tape);
    mtl_tensor_release(texts);
}

int main(int argc, char **argv)
{
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    mtl_context *ctx = NULL;
    options.threads = argc > 1 ? atoi(argv[1]) : 1;
    CHECK(mtl_context_create(&options, &ctx));
    static const struct {
        const char *name;
        int64_t embedding, hidden;
    } sizes[] = {{"infer_100_128", 100, 128}, {"infer_128_256", 128, 256}};
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        network n = make_network(ctx, sizes[k].embedding, sizes[k].hidden);
        measure(ctx, &n, sizes[k].name, 1, 40, 1000);
        measure(ctx, &n, sizes[k].name, 1, 230, 300);
        measure(ctx, &n, sizes[k].name, 64, 40, 100);
        measure(ctx, &n, sizes[k].name, 64, 230, 30);
        drop_network(&n);
    }
    mtl_context_release(ctx);
    return 0;
}
