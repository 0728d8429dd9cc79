/* SPDX-License-Identifier: Apache-2.0
 * A training step whose sizes were seen before takes nothing from the allocator: encoder, heads, losses, objective,
 * optimizer, clipping, penalties, and the sampler that brings the batches. */
#include "soft_tasks.h"
#include "support.h"
#include "two_tasks.h"

static mtl_context *context_with(int32_t threads, int32_t gemm)
{
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.threads = threads;
    options.gemm = gemm;
    mtl_context *context = NULL;
    assert_int_equal(mtl_context_create(&options, &context), MTL_OK);
    return context;
}

static void a_second_equal_step_allocates_nothing(void **state)
{
    (void)state;
    for (int optimizer = TWO_TASKS_SGD; optimizer <= TWO_TASKS_ADAMW; optimizer++) {
        for (int32_t threads = 1; threads <= 2; threads++) {
            for (int32_t gemm = MTL_GEMM_AUTO; gemm <= MTL_GEMM_CBLAS; gemm++) {
                mtl_context *context = context_with(threads, gemm);
                mtl_lstm_options lstm = two_tasks_lstm();
                lstm.num_layers = 2;
                lstm.bidirectional = 1;
                lstm.pooling = MTL_POOLING_MAX;
                lstm.embedding_dropout = lstm.layer_dropout = lstm.output_dropout = 0.2;
                two_tasks tasks;
                assert_ok(context, two_tasks_create(context, &lstm, optimizer, &tasks));
                assert_ok(context, two_tasks_step(&tasks));
                uint64_t before = test_allocations(context);
                for (int step = 0; step < 5; step++) {
                    assert_ok(context, two_tasks_step(&tasks));
                    assert_ok(context, mtl_gradients_clip(tasks.gradients, 0.5, NULL));
                }
                assert_int_equal(test_allocations(context), before);
                two_tasks_destroy(&tasks);
                mtl_context_release(context);
            }
        }
    }
}

typedef struct evaluation {
    two_tasks *tasks;
} evaluation;

static mtl_status evaluate(void *user, mtl_tape *tape, int32_t draw, mtl_tensor **losses)
{
    (void)draw;
    two_tasks *t = ((evaluation *)user)->tasks;
    mtl_tensor *features = mtl_encoder_forward(t->encoder, tape, t->inputs);
    for (int k = 0; k < 2; k++) {
        losses[k] = mtl_cross_entropy(tape, mtl_head_forward(t->heads[k], tape, features), t->labels[k], NULL);
    }
    return MTL_OK;
}

static void a_second_step_by_callback_allocates_nothing(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    two_tasks tasks;
    assert_ok(context, two_tasks_create(context, NULL, TWO_TASKS_ADAM, &tasks));
    evaluation e = {&tasks};
    assert_ok(context, mtl_objective_step(tasks.objective, tasks.optimizer, evaluate, &e));
    uint64_t before = test_allocations(context);
    for (int step = 0; step < 5; step++) {
        assert_ok(context, mtl_objective_step(tasks.objective, tasks.optimizer, evaluate, &e));
    }
    assert_int_equal(test_allocations(context), before);
    two_tasks_destroy(&tasks);
    mtl_context_release(context);
}

/* ---- with penalties ---- */

static mtl_penalty *make_penalty(soft_tasks *tasks, int32_t kind, int32_t sparse, const char *parameters)
{
    mtl_penalty *penalty = NULL;
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    options.kind = kind;
    options.sparse = sparse;
    options.parameters = parameters;
    options.coefficient = 1e-3;
    assert_ok(tasks->context, mtl_penalty_create(tasks->model, soft_tasks_encoders, 2, &options, &penalty));
    return penalty;
}

/* Every kind as a term and as a proximal step, lazy and dense on embeddings, and a split. */
static void add_every_penalty(soft_tasks *tasks)
{
    const char *all = "lstm.*,embedding.weight";
    mtl_penalty *added[20];
    int count = 0;
    for (int32_t kind = MTL_PENALTY_L2; kind <= MTL_PENALTY_CLUSTERED; kind++) {
        added[count] = make_penalty(tasks, kind, MTL_SPARSE_DENSE, all);
        assert_ok(tasks->context, mtl_objective_add_penalty(tasks->objective, added[count++]));
        added[count] = make_penalty(tasks, kind, MTL_SPARSE_DENSE, all);
        assert_ok(tasks->context, mtl_optimizer_add_proximal(tasks->optimizer, added[count++]));
    }
    added[count] = make_penalty(tasks, MTL_PENALTY_L2, MTL_SPARSE_LAZY, "embedding.weight");
    assert_ok(tasks->context, mtl_objective_add_penalty(tasks->objective, added[count++]));
    added[count] = make_penalty(tasks, MTL_PENALTY_L1, MTL_SPARSE_LAZY, "embedding.weight");
    assert_ok(tasks->context, mtl_optimizer_add_proximal(tasks->optimizer, added[count++]));
    mtl_penalty *first = make_penalty(tasks, MTL_PENALTY_LINF1, MTL_SPARSE_LAZY, "lstm.*");
    mtl_penalty *second = make_penalty(tasks, MTL_PENALTY_TRACE_NORM, MTL_SPARSE_LAZY, "lstm.*");
    assert_ok(tasks->context, mtl_penalty_create_split(first, second, &added[count]));
    assert_ok(tasks->context, mtl_optimizer_add_proximal(tasks->optimizer, added[count++]));
    mtl_penalty_destroy(first);
    mtl_penalty_destroy(second);
    while (count > 0) {
        mtl_penalty_destroy(added[--count]);
    }
}

static void a_second_step_with_penalties_allocates_nothing(void **state)
{
    (void)state;
    for (int32_t threads = 1; threads <= 2; threads++) {
        mtl_context *context = context_with(threads, MTL_GEMM_AUTO);
        soft_tasks tasks;
        assert_ok(context, soft_tasks_create(context, 1, 0.01, &tasks));
        add_every_penalty(&tasks);
        assert_ok(context, soft_tasks_step(&tasks));
        uint64_t before = test_allocations(context);
        for (int step = 0; step < 5; step++) {
            assert_ok(context, soft_tasks_step(&tasks));
        }
        assert_int_equal(test_allocations(context), before);
        soft_tasks_destroy(&tasks);
        mtl_context_release(context);
    }
}

/* ---- with a sampler ---- */

enum { TEXTS = 40 };

typedef struct text_data {
    mtl_tokenizer *tokenizer;
    mtl_vocabulary *vocabulary;
    mtl_dataset *datasets[2];
    mtl_sampler *sampler;
} text_data;

static void make_texts(mtl_context *context, int task, char (*storage)[64], mtl_dataset **out)
{
    const char *texts[TEXTS];
    int32_t labels[TEXTS];
    for (int i = 0; i < TEXTS; i++) {
        snprintf(storage[i], 64, "%s w%d w%d %s", task ? "news" : "review", i % 7, i % 5, i % 2 ? "good day" : "bad");
        texts[i] = storage[i];
        labels[i] = i % two_tasks_classes[task];
    }
    assert_ok(context, mtl_dataset_create(context, texts, labels, TEXTS, two_tasks_classes[task], out));
}

static void open_texts(mtl_context *context, text_data *data)
{
    static char storage[2][TEXTS][64];
    mtl_vocabulary_builder *builder;
    assert_ok(context, mtl_tokenizer_create(context, NULL, &data->tokenizer));
    assert_ok(context, mtl_vocabulary_builder_create(context, data->tokenizer, &builder));
    for (int t = 0; t < 2; t++) {
        make_texts(context, t, storage[t], &data->datasets[t]);
        assert_ok(context, mtl_vocabulary_builder_add_dataset(builder, data->datasets[t]));
    }
    mtl_vocabulary_options most = MTL_VOCABULARY_OPTIONS_INIT;
    most.max_size = TWO_TASKS_VOCABULARY;
    assert_ok(context, mtl_vocabulary_builder_finish(builder, &most, &data->vocabulary));
    mtl_vocabulary_builder_destroy(builder);
    mtl_sampler_options options = MTL_SAMPLER_OPTIONS_INIT;
    options.batch_rows = 16;
    assert_ok(context, mtl_sampler_create(context, data->vocabulary, 2, &options, &data->sampler));
    for (int32_t t = 0; t < 2; t++) {
        assert_ok(context, mtl_sampler_add_dataset(data->sampler, data->datasets[t], &t, 1));
    }
}

static void close_texts(text_data *data)
{
    mtl_sampler_destroy(data->sampler);
    mtl_dataset_release(data->datasets[0]);
    mtl_dataset_release(data->datasets[1]);
    mtl_vocabulary_release(data->vocabulary);
    mtl_tokenizer_release(data->tokenizer);
}

static void train_epoch(two_tasks *t, text_data *data)
{
    for (;;) {
        mtl_batch *batch = NULL;
        assert_ok(t->context, mtl_sampler_next(data->sampler, &batch));
        if (!batch) {
            return;
        }
        mtl_tape_reset(t->tape, MTL_TAPE_TRAIN);
        mtl_tensor *features = mtl_encoder_forward(t->encoder, t->tape, mtl_batch_inputs(batch));
        mtl_tensor *losses[2];
        for (int k = 0; k < 2; k++) {
            losses[k] = mtl_cross_entropy(t->tape, mtl_head_forward(t->heads[k], t->tape, features),
                                          mtl_batch_labels(batch, k), NULL);
        }
        assert_ok(t->context, mtl_objective_backward(t->objective, t->tape, losses, 2, t->gradients));
        assert_ok(t->context, mtl_optimizer_step(t->optimizer, t->gradients));
    }
}

/* Batches of an epoch differ in size: the first epoch brings the memory to what the largest needs. From then on the
 * same position of the sampler is the same work. */
static void a_repeated_epoch_allocates_nothing(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    text_data data;
    two_tasks tasks;
    open_texts(context, &data);
    assert_ok(context, two_tasks_create(context, NULL, TWO_TASKS_ADAM, &tasks));
    train_epoch(&tasks, &data);
    const mtl_sampler_position start = {0, 0};
    assert_ok(context, mtl_sampler_seek(data.sampler, &start));
    uint64_t before = test_allocations(context);
    train_epoch(&tasks, &data);
    assert_int_equal(test_allocations(context), before);
    two_tasks_destroy(&tasks);
    close_texts(&data);
    mtl_context_release(context);
}

static void a_second_equal_inference_allocates_nothing(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    two_tasks tasks;
    assert_ok(context, two_tasks_create(context, NULL, TWO_TASKS_SGD, &tasks));
    mtl_metrics *metrics;
    assert_ok(context, mtl_metrics_create(context, 2, &metrics));
    uint64_t before = 0;
    for (int round = 0; round < 3; round++) {
        mtl_tape_reset(tasks.tape, MTL_TAPE_INFER);
        mtl_tensor *h = mtl_encoder_forward(tasks.encoder, tasks.tape, tasks.inputs);
        mtl_tensor *logits = mtl_head_forward(tasks.heads[0], tasks.tape, h);
        assert_ok(context, mtl_metrics_add(metrics, logits, tasks.labels[0]));
        assert_int_equal(mtl_tape_status(tasks.tape), MTL_OK);
        before = round == 0 ? test_allocations(context) : before;
    }
    assert_int_equal(test_allocations(context), before);
    mtl_metrics_destroy(metrics);
    two_tasks_destroy(&tasks);
    mtl_context_release(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_equal_step_allocates_nothing),
        cmocka_unit_test(a_second_step_by_callback_allocates_nothing),
        cmocka_unit_test(a_second_step_with_penalties_allocates_nothing),
        cmocka_unit_test(a_repeated_epoch_allocates_nothing),
        cmocka_unit_test(a_second_equal_inference_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
