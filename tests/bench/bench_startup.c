/* SPDX-License-Identifier: Apache-2.0
 * Time from main to the end of the first training step, with the data and the model of examples/minimal.c:
 *
 *   bench_startup [FOLDER]
 *
 * Prints what each part took, one `name value unit` per line. */
#define main minimal_main /* its parts are used, its main is not run */
#include "../../examples/minimal.c"
#undef main

#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static mtl_model *build(mtl_context *ctx, const mtl_vocabulary *words, mtl_encoder **encoder, mtl_head **heads)
{
    mtl_model *model;
    mtl_lstm_options lstm = MTL_LSTM_OPTIONS_INIT;
    lstm.vocabulary_size = mtl_vocabulary_size(words);
    lstm.embedding_dim = 64;
    lstm.hidden_dim = 64;
    lstm.bidirectional = 1;
    lstm.pooling = MTL_POOLING_MAX;
    CHECK(mtl_encoder_create_lstm(ctx, &lstm, encoder));
    CHECK(mtl_head_create_classifier(ctx, mtl_encoder_output_dim(*encoder), 2, NULL, &heads[0]));
    CHECK(mtl_head_create_classifier(ctx, mtl_encoder_output_dim(*encoder), 4, NULL, &heads[1]));
    CHECK(mtl_model_create(ctx, NULL, &model));
    CHECK(mtl_model_add_encoder(model, "encoder", *encoder));
    CHECK(mtl_model_add_head(model, "sentiment", heads[0]));
    CHECK(mtl_model_add_head(model, "topic", heads[1]));
    return model;
}

typedef struct step {
    mtl_encoder *encoder;
    mtl_head *heads[2];
    mtl_batch *batch;
} step;

static mtl_status evaluate(void *user, mtl_tape *tape, int32_t draw, mtl_tensor **losses)
{
    step *s = user;
    mtl_tensor *h = mtl_encoder_forward(s->encoder, tape, mtl_batch_inputs(s->batch));
    for (int32_t t = 0; t < 2; t++) {
        losses[t] = mtl_cross_entropy(tape, mtl_head_forward(s->heads[t], tape, h), mtl_batch_labels(s->batch, t), NULL);
    }
    return draw == 0 ? MTL_OK : MTL_ERROR_UNSUPPORTED;
}

int main(int argc, char **argv)
{
    double start = now();
    const char *folder = argc > 1 ? argv[1] : "examples/data";
    mtl_context *ctx = NULL;
    mtl_objective *objective;
    mtl_optimizer *adam;
    step s = {0};
    CHECK(mtl_context_create(NULL, &ctx));
    double created = now();
    mtl_dataset *reviews = open_reviews(ctx, folder);
    mtl_dataset *news = open_news(ctx, folder);
    mtl_vocabulary *words = count_words(ctx, reviews, news);
    mtl_sampler *sampler = mix(ctx, words, reviews, news);
    double read = now();
    mtl_model *model = build(ctx, words, &s.encoder, s.heads);
    CHECK(mtl_objective_create(model, NULL, &objective));
    CHECK(mtl_objective_add_task(objective, "sentiment", 1.0));
    CHECK(mtl_objective_add_task(objective, "topic", 0.5));
    CHECK(mtl_optimizer_create_adam(model, NULL, &adam));
    double built = now();
    CHECK(mtl_sampler_next(sampler, &s.batch));
    CHECK(mtl_objective_step(objective, adam, evaluate, &s));
    double stepped = now();
    printf("startup_context %.3f ms\n", created - start);
    printf("startup_data_and_vocabulary %.3f ms\n", read - created);
    printf("startup_model %.3f ms\n", built - read);
    printf("startup_first_step %.3f ms\n", stepped - built);
    printf("startup_total %.3f ms\n", stepped - start);

    mtl_optimizer_destroy(adam);
    mtl_objective_destroy(objective);
    mtl_model_destroy(model);
    mtl_head_release(s.heads[0]);
    mtl_head_release(s.heads[1]);
    mtl_encoder_release(s.encoder);
    mtl_sampler_destroy(sampler);
    mtl_vocabulary_release(words);
    mtl_dataset_release(news);
    mtl_dataset_release(reviews);
    mtl_context_release(ctx);
    return 0;
}
