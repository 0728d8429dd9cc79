/* SPDX-License-Identifier: Apache-2.0
 * The sampler through the public headers: which rows come, in which order, with which labels, with how much memory. */
#include "support/support.h"

#include <math.h>
#include <unistd.h>

#include <mtl/data.h>
#include <mtl/loss.h>

enum { DATASETS = 3, ROWS_MAX = 120, TEXT_SIZE = 512 };

/* Three datasets of texts like "d1 r17 x x x x"; dataset d has labels for task d. */
typedef struct world {
    mtl_context *context;
    mtl_test_allocator allocator;
    mtl_dataset *datasets[DATASETS];
    mtl_vocabulary *vocabulary;
    char texts[DATASETS][ROWS_MAX][TEXT_SIZE];
} world;

static const int64_t sizes[DATASETS] = {37, 10, 101};

static int words_of(int dataset, int row)
{
    return (row * 7 + dataset * 3) % 23 + 1;
}

static mtl_vocabulary *vocabulary_of(mtl_context *context, mtl_dataset *const *datasets, int count)
{
    mtl_tokenizer *tokenizer = NULL;
    mtl_vocabulary_builder *builder = NULL;
    mtl_vocabulary *vocabulary = NULL;
    assert_ok(context, mtl_tokenizer_create(context, NULL, &tokenizer));
    assert_ok(context, mtl_vocabulary_builder_create(context, tokenizer, &builder));
    for (int i = 0; i < count; i++) {
        assert_ok(context, mtl_vocabulary_builder_add_dataset(builder, datasets[i]));
    }
    mtl_vocabulary_options options = MTL_VOCABULARY_OPTIONS_INIT;
    options.max_size = 1000000;
    assert_ok(context, mtl_vocabulary_builder_finish(builder, &options, &vocabulary));
    mtl_vocabulary_builder_destroy(builder);
    mtl_tokenizer_release(tokenizer);
    return vocabulary;
}

static int set_up(void **state)
{
    world *made = calloc(1, sizeof *made);
    test_allocator_init(&made->allocator);
    made->context = test_context_on(&made->allocator);
    for (int d = 0; d < DATASETS; d++) {
        const char *texts[ROWS_MAX];
        int32_t labels[ROWS_MAX];
        for (int row = 0; row < sizes[d]; row++) {
            char *text = made->texts[d][row];
            int used = snprintf(text, TEXT_SIZE, "d%d r%d", d, row);
            for (int word = 0; word < words_of(d, row); word++) {
                used += snprintf(text + used, (size_t)(TEXT_SIZE - used), " x%d", word);
            }
            texts[row] = text;
            labels[row] = row % 5 == 4 ? MTL_LABEL_NONE : row % 4;
        }
        assert_ok(made->context, mtl_dataset_create(made->context, texts, labels, sizes[d], 4, &made->datasets[d]));
    }
    made->vocabulary = vocabulary_of(made->context, made->datasets, DATASETS);
    *state = made;
    return 0;
}

static int tear_down(void **state)
{
    world *made = *state;
    for (int d = 0; d < DATASETS; d++) {
        mtl_dataset_release(made->datasets[d]);
    }
    mtl_vocabulary_release(made->vocabulary);
    mtl_context_release(made->context);
    test_allocator_check(&made->allocator);
    free(made);
    return 0;
}

static mtl_sampler_options small_batches(void)
{
    mtl_sampler_options options = MTL_SAMPLER_OPTIONS_INIT;
    options.batch_rows = 8;
    options.bucket_batches = 4;
    return options;
}

static mtl_sampler *make_sampler(world *on, const mtl_sampler_options *options)
{
    mtl_sampler *sampler = NULL;
    assert_ok(on->context, mtl_sampler_create(on->context, on->vocabulary, DATASETS, options, &sampler));
    for (int32_t d = 0; d < DATASETS; d++) {
        assert_ok(on->context, mtl_sampler_add_dataset(sampler, on->datasets[d], &d, 1));
    }
    return sampler;
}

static mtl_batch *next_batch(world *on, mtl_sampler *sampler)
{
    mtl_batch *batch = NULL;
    assert_ok(on->context, mtl_sampler_next(sampler, &batch));
    return batch;
}

static const void *map_of(world *on, mtl_tensor *tensor, mtl_dtype dtype)
{
    void *data = NULL;
    assert_ok(on->context, mtl_tensor_map(tensor, dtype, &data));
    mtl_tensor_unmap(tensor);
    return data;
}

/* Ids, offsets and labels must be those of the rows that the batch says it holds. */
static void check_batch(world *on, mtl_batch *batch, const mtl_sampler_options *options)
{
    int64_t rows = mtl_batch_rows(batch);
    mtl_tensor *inputs = mtl_batch_inputs(batch);
    const int64_t *offsets = mtl_tensor_offsets(inputs);
    const int32_t *ids = map_of(on, inputs, MTL_INT32);
    int64_t labelled[DATASETS] = {0};
    assert_true(rows >= 1 && rows <= options->batch_rows);
    assert_int_equal(mtl_tensor_rows(inputs), rows);
    assert_int_equal(offsets[0], 0);
    assert_int_equal(mtl_batch_tokens(batch), offsets[rows]);
    assert_int_equal(mtl_tensor_dim(inputs, 0), offsets[rows]);
    for (int64_t i = 0; i < rows; i++) {
        int64_t dataset = -1;
        int64_t row = mtl_batch_source(batch, i, &dataset);
        int32_t expected[64];
        size_t count;
        assert_in_range(dataset, 0, DATASETS - 1);
        assert_in_range(row, 0, sizes[dataset] - 1);
        const char *text = on->texts[dataset][row];
        assert_ok(on->context, mtl_vocabulary_encode(on->vocabulary, text, strlen(text), expected, 64, &count));
        count = (int64_t)count > options->max_tokens ? (size_t)options->max_tokens : count;
        assert_int_equal(offsets[i + 1] - offsets[i], count);
        assert_memory_equal(ids + offsets[i], expected, count * sizeof expected[0]);
        for (int32_t task = 0; task < DATASETS; task++) {
            const int32_t *labels = map_of(on, mtl_batch_labels(batch, task), MTL_INT32);
            int32_t label = task == dataset ? (int32_t)mtl_dataset_label(on->datasets[dataset], row, 0)
                                            : MTL_LABEL_NONE;
            assert_int_equal(labels[i], label);
            labelled[task] += label != MTL_LABEL_NONE;
        }
    }
    for (int32_t task = 0; task < DATASETS; task++) {
        assert_int_equal(mtl_tensor_size(mtl_batch_labels(batch, task)), rows);
        assert_int_equal(mtl_tensor_ndim(mtl_batch_labels(batch, task)), 1);
        assert_int_equal(mtl_batch_labelled(batch, task), labelled[task]);
    }
    assert_null(mtl_batch_labels(batch, DATASETS));
    assert_null(mtl_batch_labels(batch, -1));
    assert_int_equal(mtl_batch_labelled(batch, DATASETS), 0);
    assert_int_equal(mtl_batch_source(batch, rows, NULL), -1);
}

/* A number for what a batch holds (FNV-1a). */
static uint64_t digest_batch(world *on, mtl_batch *batch)
{
    uint64_t hash = 14695981039346656037u;
    const void *parts[3] = {map_of(on, mtl_batch_inputs(batch), MTL_INT32), mtl_tensor_offsets(mtl_batch_inputs(batch)),
                            map_of(on, mtl_batch_labels(batch, 2), MTL_INT32)};
    const size_t bytes[3] = {(size_t)mtl_batch_tokens(batch) * 4, ((size_t)mtl_batch_rows(batch) + 1) * 8,
                             (size_t)mtl_batch_rows(batch) * 4};
    for (int part = 0; part < 3; part++) {
        for (size_t i = 0; i < bytes[part]; i++) {
            hash = (hash ^ ((const unsigned char *)parts[part])[i]) * 1099511628211u;
        }
    }
    return hash;
}

/* All batches of the next epoch; returns how many. 0 stands for none in `digests`. */
static int digest_epoch(world *on, mtl_sampler *sampler, uint64_t *digests)
{
    int count = 0;
    for (mtl_batch *batch = next_batch(on, sampler); batch; batch = next_batch(on, sampler)) {
        digests[count++] = digest_batch(on, batch);
    }
    return count;
}

static void test_every_row_once(void **state)
{
    world *on = *state;
    for (int64_t bucket = 1; bucket <= 1000; bucket += 333) {
        for (int64_t batch_rows = 1; batch_rows <= 200; batch_rows = batch_rows * 3 + 4) {
            mtl_sampler_options options = small_batches();
            options.bucket_batches = bucket;
            options.batch_rows = batch_rows;
            mtl_sampler *sampler = make_sampler(on, &options);
            for (int epoch = 0; epoch < 3; epoch++) {
                int seen[DATASETS][ROWS_MAX] = {{0}};
                int64_t batches = 0;
                for (mtl_batch *batch = next_batch(on, sampler); batch; batch = next_batch(on, sampler), batches++) {
                    check_batch(on, batch, &options);
                    for (int64_t i = 0; i < mtl_batch_rows(batch); i++) {
                        int64_t dataset;
                        int64_t row = mtl_batch_source(batch, i, &dataset);
                        seen[dataset][row]++;
                    }
                }
                assert_int_equal(batches, mtl_sampler_batches(sampler));
                assert_int_equal(batches, (148 + batch_rows - 1) / batch_rows);
                for (int d = 0; d < DATASETS; d++) {
                    for (int64_t row = 0; row < sizes[d]; row++) {
                        assert_int_equal(seen[d][row], 1);
                    }
                }
            }
            mtl_sampler_destroy(sampler);
        }
    }
}

static void test_seeds(void **state)
{
    world *on = *state;
    uint64_t first[64], again[64], second[64], other[64];
    mtl_sampler_options options = small_batches();
    options.seed = 5;
    mtl_sampler *sampler = make_sampler(on, &options);
    int count = digest_epoch(on, sampler, first);
    assert_int_equal(count, 19);
    assert_int_equal(digest_epoch(on, sampler, second), count);
    mtl_sampler_destroy(sampler);
    sampler = make_sampler(on, &options);
    assert_int_equal(digest_epoch(on, sampler, again), count);
    mtl_sampler_destroy(sampler);
    options.seed = 6;
    sampler = make_sampler(on, &options);
    assert_int_equal(digest_epoch(on, sampler, other), count);
    mtl_sampler_destroy(sampler);
    assert_memory_equal(first, again, (size_t)count * sizeof first[0]);
    int same_as_second = 0;
    int same_as_other = 0;
    for (int i = 0; i < count; i++) {
        same_as_second += first[i] == second[i];
        same_as_other += first[i] == other[i];
    }
    assert_int_equal(same_as_second, 0);
    assert_int_equal(same_as_other, 0);
}

static void test_seek(void **state)
{
    world *on = *state;
    enum { EPOCHS = 3 };
    for (int32_t strategy = MTL_SAMPLING_PROPORTIONAL; strategy <= MTL_SAMPLING_ROUND_ROBIN; strategy++) {
        for (int32_t shuffle = 0; shuffle <= 1; shuffle++) {
            mtl_sampler_options options = small_batches();
            options.strategy = strategy;
            options.shuffle = shuffle;
            uint64_t digests[EPOCHS][64];
            mtl_sampler *sampler = make_sampler(on, &options);
            int batches = (int)mtl_sampler_batches(sampler);
            for (int epoch = 0; epoch < EPOCHS; epoch++) {
                assert_int_equal(digest_epoch(on, sampler, digests[epoch]), batches);
            }
            mtl_sampler_destroy(sampler);
            sampler = make_sampler(on, &options);
            for (int64_t epoch = EPOCHS - 1; epoch >= 0; epoch--) {
                for (int64_t b = 0; b <= batches; b += 3) {
                    mtl_sampler_position position = {epoch, b};
                    mtl_sampler_position told;
                    assert_ok(on->context, mtl_sampler_seek(sampler, &position));
                    assert_ok(on->context, mtl_sampler_tell(sampler, &told));
                    assert_memory_equal(&told, &position, sizeof told);
                    for (int64_t k = b; k < batches; k++) {
                        mtl_batch *batch = next_batch(on, sampler);
                        assert_non_null(batch);
                        assert_true(digest_batch(on, batch) == digests[epoch][k]);
                    }
                    assert_null(next_batch(on, sampler));
                    assert_ok(on->context, mtl_sampler_tell(sampler, &told));
                    assert_int_equal(told.epoch, epoch + 1);
                    assert_int_equal(told.batch, 0);
                    if (epoch + 1 < EPOCHS) {
                        mtl_batch *batch = next_batch(on, sampler);
                        assert_true(digest_batch(on, batch) == digests[epoch + 1][0]);
                    }
                }
            }
            mtl_sampler_destroy(sampler);
        }
    }
}

/* Rows of each dataset in an epoch, and visits of each row so far. */
static void count_epoch(world *on, mtl_sampler *sampler, int64_t counts[DATASETS], int visits[DATASETS][ROWS_MAX])
{
    memset(counts, 0, DATASETS * sizeof counts[0]);
    for (mtl_batch *batch = next_batch(on, sampler); batch; batch = next_batch(on, sampler)) {
        for (int64_t i = 0; i < mtl_batch_rows(batch); i++) {
            int64_t dataset;
            int64_t row = mtl_batch_source(batch, i, &dataset);
            counts[dataset]++;
            visits[dataset][row]++;
        }
    }
}

/* Each walk through a dataset ends before the next begins: no row is ever two visits ahead of another. */
static void check_visits(int visits[DATASETS][ROWS_MAX])
{
    for (int d = 0; d < DATASETS; d++) {
        int least = visits[d][0];
        int most = visits[d][0];
        for (int64_t row = 1; row < sizes[d]; row++) {
            least = visits[d][row] < least ? visits[d][row] : least;
            most = visits[d][row] > most ? visits[d][row] : most;
        }
        assert_true(most - least <= 1);
    }
}

static void test_uniform_and_temperature(void **state)
{
    world *on = *state;
    for (int32_t strategy = MTL_SAMPLING_UNIFORM; strategy <= MTL_SAMPLING_TEMPERATURE; strategy++) {
        mtl_sampler_options options = small_batches();
        options.strategy = strategy;
        options.temperature = 2.0;
        mtl_sampler *sampler = make_sampler(on, &options);
        int visits[DATASETS][ROWS_MAX] = {{0}};
        double sum = 0.0;
        double shares[DATASETS];
        for (int d = 0; d < DATASETS; d++) {
            shares[d] = strategy == MTL_SAMPLING_UNIFORM ? 1.0 : sqrt((double)sizes[d]);
            sum += shares[d];
        }
        for (int epoch = 0; epoch < 7; epoch++) {
            int64_t counts[DATASETS];
            count_epoch(on, sampler, counts, visits);
            assert_int_equal(counts[0] + counts[1] + counts[2], 148);
            for (int d = 0; d < DATASETS; d++) {
                assert_near(counts[d], 148.0 * shares[d] / sum, 1.0); /* both ends are rounded by at most a half */
            }
            check_visits(visits);
        }
        mtl_sampler_destroy(sampler);
    }
}

/* With a temperature of 1 the shares are those of the sizes. */
static void test_temperature_one(void **state)
{
    world *on = *state;
    mtl_sampler_options options = small_batches();
    options.strategy = MTL_SAMPLING_TEMPERATURE;
    options.temperature = 1.0;
    mtl_sampler *sampler = make_sampler(on, &options);
    int visits[DATASETS][ROWS_MAX] = {{0}};
    int64_t counts[DATASETS];
    count_epoch(on, sampler, counts, visits);
    for (int d = 0; d < DATASETS; d++) {
        assert_int_equal(counts[d], sizes[d]);
    }
    mtl_sampler_destroy(sampler);
}

static void test_round_robin(void **state)
{
    world *on = *state;
    mtl_sampler_options options = small_batches();
    options.strategy = MTL_SAMPLING_ROUND_ROBIN;
    mtl_sampler *sampler = make_sampler(on, &options);
    assert_int_equal(mtl_sampler_batches(sampler), 13 * DATASETS); /* 101 rows are 13 batches */
    int visits[DATASETS][ROWS_MAX] = {{0}};
    for (int epoch = 0; epoch < 5; epoch++) {
        int64_t b = 0;
        for (mtl_batch *batch = next_batch(on, sampler); batch; batch = next_batch(on, sampler), b++) {
            check_batch(on, batch, &options);
            for (int64_t i = 0; i < mtl_batch_rows(batch); i++) {
                int64_t dataset;
                int64_t row = mtl_batch_source(batch, i, &dataset);
                assert_int_equal(dataset, b % DATASETS);
                visits[dataset][row]++;
            }
        }
        assert_int_equal(b, mtl_sampler_batches(sampler));
        check_visits(visits);
        for (int64_t row = 0; row < sizes[2]; row++) {
            assert_int_equal(visits[2][row], epoch + 1);
        }
    }
    mtl_sampler_destroy(sampler);
}

static void test_in_order(void **state)
{
    world *on = *state;
    mtl_sampler_options options = small_batches();
    options.shuffle = 0;
    mtl_sampler *sampler = make_sampler(on, &options);
    for (int epoch = 0; epoch < 2; epoch++) {
        int64_t at = 0;
        for (mtl_batch *batch = next_batch(on, sampler); batch; batch = next_batch(on, sampler)) {
            for (int64_t i = 0; i < mtl_batch_rows(batch); i++, at++) {
                int64_t dataset;
                int64_t row = mtl_batch_source(batch, i, &dataset);
                assert_int_equal(dataset, at < 37 ? 0 : at < 47 ? 1 : 2);
                assert_int_equal(row, at < 37 ? at : at < 47 ? at - 37 : at - 47);
            }
        }
        assert_int_equal(at, 148);
    }
    mtl_sampler_destroy(sampler);
}

static int64_t padding_of(world *on, int64_t bucket_batches)
{
    mtl_sampler_options options = small_batches();
    options.bucket_batches = bucket_batches;
    mtl_sampler *sampler = make_sampler(on, &options);
    int64_t padding = 0;
    for (mtl_batch *batch = next_batch(on, sampler); batch; batch = next_batch(on, sampler)) {
        const int64_t *offsets = mtl_tensor_offsets(mtl_batch_inputs(batch));
        int64_t longest = 0;
        for (int64_t i = 0; i < mtl_batch_rows(batch); i++) {
            int64_t length = offsets[i + 1] - offsets[i];
            longest = length > longest ? length : longest;
        }
        padding += longest * mtl_batch_rows(batch) - mtl_batch_tokens(batch);
    }
    mtl_sampler_destroy(sampler);
    return padding;
}

static void test_bucketing(void **state)
{
    world *on = *state;
    int64_t without = padding_of(on, 1);
    int64_t some = padding_of(on, 4);
    int64_t all = padding_of(on, 1000);
    /* Lengths are 3 to 25, evenly: sorted pools of 32 rows leave a quarter of the spread, one pool a nineteenth. */
    assert_true(some * 2 < without);
    assert_true(all * 8 < without);
}

/* Batches do not depend on what is kept in memory. */
static void test_cache(void **state)
{
    world *on = *state;
    static const uint64_t budgets[] = {1073741824, 0, 1, 100, 777};
    uint64_t expected[64];
    int count = 0;
    for (size_t i = 0; i < sizeof budgets / sizeof budgets[0]; i++) {
        mtl_sampler_options options = small_batches();
        options.cache_bytes = budgets[i];
        mtl_sampler *sampler = make_sampler(on, &options);
        uint64_t digests[64];
        int batches = digest_epoch(on, sampler, i == 0 ? expected : digests);
        count = i == 0 ? batches : count;
        assert_int_equal(batches, count);
        if (i > 0) {
            assert_memory_equal(digests, expected, (size_t)count * sizeof expected[0]);
        }
        mtl_sampler_destroy(sampler);
    }
}

/* More than 65536 entries: ids need 32 bits in the cache. */
static void test_wide_ids(void **state)
{
    world *on = *state;
    enum { WORDS = 70000 };
    char *text = malloc(WORDS * 8);
    size_t used = 0;
    for (int word = 0; word < WORDS; word++) {
        used += (size_t)sprintf(text + used, "w%d ", word);
    }
    mtl_dataset *dataset = NULL;
    assert_ok(on->context, mtl_dataset_create(on->context, (const char *const *)&text, NULL, 1, 0, &dataset));
    mtl_vocabulary *vocabulary = vocabulary_of(on->context, &dataset, 1);
    int32_t *ids = malloc(WORDS * sizeof ids[0]);
    size_t count;
    assert_ok(on->context, mtl_vocabulary_encode(vocabulary, text, used, ids, WORDS, &count));
    assert_int_equal(count, WORDS);
    free(text);
    for (uint64_t budget = 0; budget <= 1048576; budget += 1048576) {
        mtl_sampler_options options = small_batches();
        options.max_tokens = 100000;
        options.cache_bytes = budget;
        mtl_sampler *sampler = NULL;
        assert_ok(on->context, mtl_sampler_create(on->context, vocabulary, 1, &options, &sampler));
        assert_ok(on->context, mtl_sampler_add_dataset(sampler, dataset, NULL, 0));
        mtl_batch *batch = next_batch(on, sampler);
        assert_int_equal(mtl_batch_tokens(batch), WORDS);
        assert_memory_equal(map_of(on, mtl_batch_inputs(batch), MTL_INT32), ids, WORDS * sizeof ids[0]);
        mtl_sampler_destroy(sampler);
    }
    free(ids);
    mtl_vocabulary_release(vocabulary);
    mtl_dataset_release(dataset);
}

static void test_no_allocation(void **state)
{
    world *on = *state;
    enum { RING = 5 }; /* more batches than the sampler has in turn */
    for (int32_t strategy = MTL_SAMPLING_PROPORTIONAL; strategy <= MTL_SAMPLING_ROUND_ROBIN; strategy++) {
        for (uint64_t budget = 0; budget <= 4096; budget += 4096) {
            mtl_sampler_options options = small_batches();
            options.strategy = strategy;
            options.cache_bytes = budget;
            mtl_sampler *sampler = make_sampler(on, &options);
            mtl_tensor *held = NULL; /* as a tape holds the batch of the step before */
            uint64_t before = 0;
            for (int64_t step = 0; step < 4 * (mtl_sampler_batches(sampler) + 1); step++) {
                if (step == RING) {
                    before = test_allocations(on->context);
                }
                mtl_batch *batch = next_batch(on, sampler);
                if (batch) {
                    mtl_tensor_release(held);
                    held = mtl_tensor_retain(mtl_batch_inputs(batch));
                }
            }
            assert_int_equal(test_allocations(on->context), before);
            mtl_tensor_release(held);
            mtl_sampler_destroy(sampler);
        }
    }
}

/* A tensor that somebody holds is never written again. */
static void test_held_batches(void **state)
{
    world *on = *state;
    enum { HELD = 8 };
    mtl_sampler_options options = small_batches();
    mtl_sampler *sampler = make_sampler(on, &options);
    mtl_tensor *inputs[HELD];
    mtl_tensor *labels[HELD];
    int32_t *copies[HELD];
    int32_t label_copies[HELD][8];
    for (int i = 0; i < HELD; i++) {
        mtl_batch *batch = next_batch(on, sampler);
        size_t tokens = (size_t)mtl_batch_tokens(batch);
        inputs[i] = mtl_tensor_retain(mtl_batch_inputs(batch));
        labels[i] = mtl_tensor_retain(mtl_batch_labels(batch, 2));
        copies[i] = malloc(tokens * sizeof copies[i][0]);
        assert_ok(on->context, mtl_tensor_read(inputs[i], MTL_INT32, copies[i], tokens));
        assert_ok(on->context, mtl_tensor_read(labels[i], MTL_INT32, label_copies[i], 8));
    }
    mtl_sampler_destroy(sampler); /* held tensors outlive it */
    for (int i = 0; i < HELD; i++) {
        size_t tokens = (size_t)mtl_tensor_size(inputs[i]);
        assert_memory_equal(map_of(on, inputs[i], MTL_INT32), copies[i], tokens * sizeof copies[i][0]);
        assert_memory_equal(map_of(on, labels[i], MTL_INT32), label_copies[i], sizeof label_copies[i]);
        mtl_tensor_release(inputs[i]);
        mtl_tensor_release(labels[i]);
        free(copies[i]);
    }
}

static void test_cutting(void **state)
{
    world *on = *state;
    const char *texts[] = {"x0 x1 x2 x3 x4 x5 x6", "", "x1 x2", "<br />", "x0 x1 x2 x3"};
    static const struct {
        int64_t max_tokens;
        int32_t keep_tail;
        const char *expected[5];
    } cases[] = {
        {4, 0, {"x0 x1 x2 x3", "u", "x1 x2", "u", "x0 x1 x2 x3"}},
        {4, 1, {"x0 x1 x2 x6", "u", "x1 x2", "u", "x0 x1 x2 x3"}},
        {4, 4, {"x3 x4 x5 x6", "u", "x1 x2", "u", "x0 x1 x2 x3"}},
        {1, 0, {"x0", "u", "x1", "u", "x0"}},
        {1, 1, {"x6", "u", "x2", "u", "x3"}},
        {7, 3, {"x0 x1 x2 x3 x4 x5 x6", "u", "x1 x2", "u", "x0 x1 x2 x3"}},
    };
    mtl_dataset *dataset = NULL;
    assert_ok(on->context, mtl_dataset_create(on->context, texts, NULL, 5, 0, &dataset));
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        mtl_sampler_options options = small_batches();
        options.shuffle = 0;
        options.max_tokens = cases[c].max_tokens;
        options.keep_tail = cases[c].keep_tail;
        mtl_sampler *sampler = NULL;
        assert_ok(on->context, mtl_sampler_create(on->context, on->vocabulary, 1, &options, &sampler));
        assert_ok(on->context, mtl_sampler_add_dataset(sampler, dataset, NULL, 0));
        mtl_batch *batch = next_batch(on, sampler);
        const int64_t *offsets = mtl_tensor_offsets(mtl_batch_inputs(batch));
        const int32_t *ids = map_of(on, mtl_batch_inputs(batch), MTL_INT32);
        assert_int_equal(mtl_batch_rows(batch), 5);
        assert_int_equal(mtl_sampler_tokens(sampler), offsets[5]);
        for (int row = 0; row < 5; row++) {
            int32_t expected[8] = {MTL_TOKEN_UNKNOWN};
            size_t count = 1;
            const char *text = cases[c].expected[row];
            if (text[0] != 'u') {
                assert_ok(on->context, mtl_vocabulary_encode(on->vocabulary, text, strlen(text), expected, 8, &count));
            }
            assert_int_equal(offsets[row + 1] - offsets[row], count);
            assert_memory_equal(ids + offsets[row], expected, count * sizeof expected[0]);
        }
        mtl_sampler_destroy(sampler);
    }
    mtl_dataset_release(dataset);
}

/* One file with a class, a rating and a column for nobody; a slice of it as a second dataset. */
static void test_two_tasks(void **state)
{
    world *on = *state;
    static const char table[] = "pos,9.5,a,x0 x1\nneg,,a,x2\n,3,b,x3 x4\n,,b,x5\npos,10,a,x6\n";
    static const char *const classes[] = {"neg", "pos"};
    static const char *const letters[] = {"a", "b"};
    static const int32_t text_column[] = {3};
    static const mtl_label_column labels[] = {{0, MTL_LABELS_CLASS, classes, 2},
                                              {1, MTL_LABELS_REAL, NULL, 0},
                                              {2, MTL_LABELS_CLASS, letters, 2}};
    test_folder folder;
    test_folder_create(&folder);
    mtl_table_options table_options = MTL_TABLE_OPTIONS_INIT;
    table_options.text_columns = text_column;
    table_options.num_text_columns = 1;
    table_options.labels = labels;
    table_options.num_labels = 3;
    mtl_dataset *dataset = NULL;
    mtl_dataset *slice = NULL;
    const char *path = test_write_text(&folder, "table.csv", table);
    assert_ok(on->context, mtl_dataset_open_table(on->context, path, &table_options, &dataset));
    assert_ok(on->context, mtl_dataset_slice(dataset, 1, 3, &slice));
    mtl_sampler_options options = small_batches();
    options.shuffle = 0;
    static const int32_t tasks[] = {2, 0, -1};
    static const int32_t slice_tasks[] = {-1, 0, 2};
    mtl_sampler *sampler = NULL;
    assert_ok(on->context, mtl_sampler_create(on->context, on->vocabulary, 4, &options, &sampler));
    assert_ok(on->context, mtl_sampler_add_dataset(sampler, dataset, tasks, 3));
    assert_ok(on->context, mtl_sampler_add_dataset(sampler, slice, slice_tasks, 3));
    mtl_batch *batch = next_batch(on, sampler);
    assert_int_equal(mtl_batch_rows(batch), 7);
    float ratings[7];
    int32_t sentiment[7], other[7];
    assert_int_equal(mtl_tensor_ndim(mtl_batch_labels(batch, 0)), 2);
    assert_int_equal(mtl_tensor_dim(mtl_batch_labels(batch, 0), 0), 7);
    assert_int_equal(mtl_tensor_dim(mtl_batch_labels(batch, 0), 1), 1);
    assert_ok(on->context, mtl_tensor_read(mtl_batch_labels(batch, 0), MTL_FLOAT32, ratings, 7));
    assert_ok(on->context, mtl_tensor_read(mtl_batch_labels(batch, 1), MTL_INT32, other, 7));
    assert_ok(on->context, mtl_tensor_read(mtl_batch_labels(batch, 2), MTL_INT32, sentiment, 7));
    static const float expected_ratings[] = {9.5f, NAN, 3.0f, NAN, 10.0f, NAN, 3.0f};
    static const int32_t expected_sentiment[] = {1, 0, -1, -1, 1, 0, 1}; /* the slice gives its letters: a, b */
    static const int32_t nothing[] = {-1, -1, -1, -1, -1, -1, -1};
    assert_close(ratings, expected_ratings, 7, 0.0, 0.0);
    assert_memory_equal(sentiment, expected_sentiment, sizeof sentiment);
    assert_memory_equal(other, nothing, sizeof other);
    assert_int_equal(mtl_batch_labelled(batch, 0), 4);
    assert_int_equal(mtl_batch_labelled(batch, 1), 0);
    assert_int_equal(mtl_batch_labelled(batch, 2), 5);
    int64_t number;
    assert_int_equal(mtl_batch_source(batch, 6, &number), 1);
    assert_int_equal(number, 1);
    mtl_sampler_destroy(sampler);
    mtl_dataset_release(slice);
    mtl_dataset_release(dataset);
    test_folder_remove(&folder);
}

/* A file that vanishes for a while: the error is said, and the same batch comes when it is back. */
static void test_batch_again(void **state)
{
    world *on = *state;
    test_folder folder;
    test_folder_create(&folder);
    test_make_folder(&folder, "neg");
    test_make_folder(&folder, "pos");
    test_write_text(&folder, "neg/1_1.txt", "x0 x1");
    const char *path = test_write_text(&folder, "pos/1_9.txt", "x2 x3");
    mtl_dataset *dataset = NULL;
    assert_ok(on->context, mtl_dataset_open_imdb(on->context, folder.path, &dataset));
    mtl_sampler_options options = small_batches();
    options.cache_bytes = 0;
    const int32_t task = 0;
    mtl_sampler *sampler = NULL;
    assert_ok(on->context, mtl_sampler_create(on->context, on->vocabulary, 1, &options, &sampler));
    assert_ok(on->context, mtl_sampler_add_dataset(sampler, dataset, &task, 1));
    mtl_batch *batch = NULL;
    assert_int_equal(unlink(path), 0);
    assert_fails(on->context, mtl_sampler_next(sampler, &batch), MTL_ERROR_IO, "1_9.txt");
    assert_null(batch);
    test_write_text(&folder, "pos/1_9.txt", "x2 x3 x4");
    assert_fails(on->context, mtl_sampler_next(sampler, &batch), MTL_ERROR_IO, "has 3 tokens and had 2");
    test_write_text(&folder, "pos/1_9.txt", "x2 x3");
    batch = next_batch(on, sampler);
    assert_non_null(batch);
    assert_int_equal(mtl_batch_tokens(batch), 4);
    assert_null(next_batch(on, sampler));
    mtl_sampler_destroy(sampler);
    mtl_dataset_release(dataset);
    test_folder_remove(&folder);
}

#define REFUSED(change, status, message) \
    do { \
        mtl_sampler_options options = MTL_SAMPLER_OPTIONS_INIT; \
        change; \
        assert_fails(on->context, mtl_sampler_create(on->context, on->vocabulary, 1, &options, &sampler), status, \
                     message); \
    } while (0)

static void test_arguments(void **state)
{
    world *on = *state;
    mtl_sampler *sampler = NULL;
    REFUSED(options.batch_rows = 0, MTL_ERROR_ARGUMENT, "batch_rows = 0");
    REFUSED(options.max_tokens = 0, MTL_ERROR_ARGUMENT, "max_tokens = 0");
    REFUSED(options.bucket_batches = 0, MTL_ERROR_ARGUMENT, "bucket_batches = 0");
    REFUSED(options.temperature = 0.5, MTL_ERROR_ARGUMENT, "temperature = 0.5");
    REFUSED(options.temperature = (double)NAN, MTL_ERROR_ARGUMENT, "temperature = ");
    REFUSED(options.strategy = 4, MTL_ERROR_ARGUMENT, "strategy = 4");
    REFUSED(options.strategy = -1, MTL_ERROR_ARGUMENT, "strategy = -1");
    REFUSED(options.keep_tail = -1, MTL_ERROR_ARGUMENT, "keep_tail = -1");
    REFUSED(options.keep_tail = 257, MTL_ERROR_ARGUMENT, "keep_tail = 257");
    REFUSED(options.reserved0 = 1, MTL_ERROR_UNSUPPORTED, "reserved0 = 1");
    REFUSED(options.struct_size = 9, MTL_ERROR_ARGUMENT, "struct_size = 9");
    assert_fails(on->context, mtl_sampler_create(on->context, NULL, 1, NULL, &sampler), MTL_ERROR_ARGUMENT,
                 "vocabulary");
    assert_fails(on->context, mtl_sampler_create(on->context, on->vocabulary, 0, NULL, &sampler), MTL_ERROR_ARGUMENT,
                 "num_tasks = 0");
    assert_fails(on->context, mtl_sampler_create(on->context, on->vocabulary, 1025, NULL, &sampler),
                 MTL_ERROR_ARGUMENT, "num_tasks = 1025");
    assert_fails(on->context, mtl_sampler_create(on->context, on->vocabulary, 1, NULL, NULL), MTL_ERROR_ARGUMENT,
                 "out");
    assert_int_equal(mtl_sampler_create(NULL, on->vocabulary, 1, NULL, &sampler), MTL_ERROR_ARGUMENT);
    assert_null(sampler);
    mtl_batch *batch = NULL;
    mtl_sampler_position position = {0, 0};
    assert_int_equal(mtl_sampler_next(NULL, &batch), MTL_ERROR_ARGUMENT);
    assert_int_equal(mtl_sampler_tell(NULL, &position), MTL_ERROR_ARGUMENT);
    assert_int_equal(mtl_sampler_seek(NULL, &position), MTL_ERROR_ARGUMENT);
    assert_int_equal(mtl_sampler_add_dataset(NULL, on->datasets[0], NULL, 0), MTL_ERROR_ARGUMENT);
    assert_int_equal(mtl_sampler_batches(NULL), 0);
    assert_int_equal(mtl_sampler_tokens(NULL), 0);
    assert_int_equal(mtl_batch_rows(NULL), 0);
    assert_int_equal(mtl_batch_tokens(NULL), 0);
    assert_int_equal(mtl_batch_labelled(NULL, 0), 0);
    assert_int_equal(mtl_batch_source(NULL, 0, NULL), -1);
    assert_null(mtl_batch_inputs(NULL));
    assert_null(mtl_batch_labels(NULL, 0));
    mtl_sampler_destroy(NULL);
}

static void test_dataset_arguments(void **state)
{
    world *on = *state;
    mtl_sampler *sampler = NULL;
    mtl_batch *batch = NULL;
    mtl_sampler_position position = {0, 0};
    static const int32_t one[] = {1};
    static const int32_t minus_two[] = {-2};
    static const int32_t two[] = {2};
    static const int32_t labels[] = {0, 1, 2};
    static const char *const texts[] = {"a", "b", "c"};
    mtl_dataset *three_classes = NULL;
    mtl_dataset *nothing = NULL;
    assert_ok(on->context, mtl_dataset_create(on->context, texts, labels, 3, 3, &three_classes));
    assert_ok(on->context, mtl_dataset_slice(three_classes, 1, 1, &nothing));
    assert_ok(on->context, mtl_sampler_create(on->context, on->vocabulary, 2, NULL, &sampler));
    assert_fails(on->context, mtl_sampler_next(sampler, &batch), MTL_ERROR_STATE, "no dataset");
    assert_fails(on->context, mtl_sampler_seek(sampler, &position), MTL_ERROR_STATE, "no dataset");
    assert_int_equal(mtl_sampler_batches(sampler), 0);
    assert_fails(on->context, mtl_sampler_add_dataset(sampler, NULL, one, 1), MTL_ERROR_ARGUMENT, "dataset");
    assert_fails(on->context, mtl_sampler_add_dataset(sampler, nothing, one, 1), MTL_ERROR_ARGUMENT, "no row");
    assert_fails(on->context, mtl_sampler_add_dataset(sampler, on->datasets[0], one, 2), MTL_ERROR_ARGUMENT,
                 "count = 2");
    assert_fails(on->context, mtl_sampler_add_dataset(sampler, on->datasets[0], NULL, 1), MTL_ERROR_ARGUMENT, "tasks");
    assert_fails(on->context, mtl_sampler_add_dataset(sampler, on->datasets[0], two, 1), MTL_ERROR_ARGUMENT,
                 "tasks[0] = 2");
    assert_fails(on->context, mtl_sampler_add_dataset(sampler, on->datasets[0], minus_two, 1), MTL_ERROR_ARGUMENT,
                 "tasks[0] = -2");
    assert_ok(on->context, mtl_sampler_add_dataset(sampler, on->datasets[0], one, 1));
    assert_fails(on->context, mtl_sampler_add_dataset(sampler, three_classes, one, 1), MTL_ERROR_ARGUMENT,
                 "of 3 classes, and were of 4");
    position.batch = 2;
    assert_fails(on->context, mtl_sampler_seek(sampler, &position), MTL_ERROR_ARGUMENT, "batch = 2");
    position.batch = 0;
    position.epoch = -1;
    assert_fails(on->context, mtl_sampler_seek(sampler, &position), MTL_ERROR_ARGUMENT, "epoch = -1");
    assert_fails(on->context, mtl_sampler_seek(sampler, NULL), MTL_ERROR_ARGUMENT, "position");
    assert_fails(on->context, mtl_sampler_tell(sampler, NULL), MTL_ERROR_ARGUMENT, "position");
    assert_fails(on->context, mtl_sampler_next(sampler, NULL), MTL_ERROR_ARGUMENT, "batch");
    assert_non_null(next_batch(on, sampler));
    assert_fails(on->context, mtl_sampler_add_dataset(sampler, on->datasets[1], one, 1), MTL_ERROR_STATE,
                 "first batch");
    mtl_dataset_release(three_classes);
    mtl_dataset_release(nothing);
    mtl_sampler_destroy(sampler);
}

/* The sampler keeps alive what it uses. */
static void test_lifetime(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    static const char *const texts[] = {"a b", "c"};
    mtl_dataset *dataset = NULL;
    assert_ok(context, mtl_dataset_create(context, texts, NULL, 2, 0, &dataset));
    mtl_vocabulary *vocabulary = vocabulary_of(context, &dataset, 1);
    mtl_sampler *sampler = NULL;
    mtl_sampler_options options = MTL_SAMPLER_OPTIONS_INIT;
    options.cache_bytes = 0;
    assert_ok(context, mtl_sampler_create(context, vocabulary, 1, &options, &sampler));
    assert_ok(context, mtl_sampler_add_dataset(sampler, dataset, NULL, 0));
    mtl_dataset_release(dataset);
    mtl_vocabulary_release(vocabulary);
    mtl_context_release(context);
    mtl_batch *batch = NULL;
    assert_int_equal(mtl_sampler_next(sampler, &batch), MTL_OK);
    assert_int_equal(mtl_batch_tokens(batch), 3);
    mtl_sampler_destroy(sampler);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_row_once),
        TEST(test_seeds),
        TEST(test_seek),
        TEST(test_uniform_and_temperature),
        TEST(test_temperature_one),
        TEST(test_round_robin),
        TEST(test_in_order),
        TEST(test_bucketing),
        TEST(test_cache),
        TEST(test_wide_ids),
        TEST(test_no_allocation),
        TEST(test_held_batches),
        TEST(test_cutting),
        TEST(test_two_tasks),
        TEST(test_batch_again),
        TEST(test_arguments),
        TEST(test_dataset_arguments),
        cmocka_unit_test(test_lifetime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
