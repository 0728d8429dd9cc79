/* SPDX-License-Identifier: Apache-2.0
 * Text and data with each allocation failing in turn: a status, a message, nothing left behind. And the vocabulary as a
 * text in memory. */
#include "support/support.h"

#include <mtl/data.h>

#include "text/vocabulary.h"

static const char corpus[] = "pos,\"good, very good film\"\nneg,bad film\n,so so\npos,\"caf\u00E9 \U0001F600\"\n";

typedef struct paths {
    test_folder folder;
    const char *table;
    const char *words;
} paths;

static mtl_status build_words(mtl_context *context, mtl_dataset *dataset, mtl_vocabulary **out)
{
    mtl_tokenizer *tokenizer = NULL;
    mtl_vocabulary_builder *builder = NULL;
    mtl_status status = mtl_tokenizer_create(context, NULL, &tokenizer);
    if (status == MTL_OK) {
        status = mtl_vocabulary_builder_create(context, tokenizer, &builder);
    }
    if (status == MTL_OK) {
        status = mtl_vocabulary_builder_add_dataset(builder, dataset);
    }
    for (int i = 0; status == MTL_OK && i < 200; i++) { /* enough for every array to grow */
        char word[16];
        status = mtl_vocabulary_builder_add(builder, word, (size_t)sprintf(word, "w%d", i));
    }
    if (status == MTL_OK) {
        status = mtl_vocabulary_builder_finish(builder, NULL, out);
    }
    mtl_vocabulary_builder_destroy(builder);
    mtl_tokenizer_release(tokenizer);
    return status;
}

static mtl_status open_corpus(mtl_context *context, const char *path, mtl_dataset **out)
{
    static const char *const classes[] = {"neg", "pos"};
    static const int32_t column[] = {1};
    static const mtl_label_column label = {0, MTL_LABELS_CLASS, classes, 2};
    mtl_table_options options = MTL_TABLE_OPTIONS_INIT;
    options.text_columns = column;
    options.num_text_columns = 1;
    options.labels = &label;
    options.num_labels = 1;
    return mtl_dataset_open_table(context, path, &options, out);
}

/* Two epochs of batches. */
static mtl_status draw_batches(mtl_sampler *sampler)
{
    for (int64_t i = 0; i < 2 * (mtl_sampler_batches(sampler) + 1); i++) {
        mtl_batch *batch;
        mtl_status status = mtl_sampler_next(sampler, &batch);
        if (status != MTL_OK) {
            return status;
        }
    }
    return MTL_OK;
}

static mtl_status sample(mtl_context *context, mtl_vocabulary *words, mtl_dataset *dataset, int32_t strategy)
{
    static const int32_t task = 0;
    mtl_sampler *sampler = NULL;
    mtl_sampler_options options = MTL_SAMPLER_OPTIONS_INIT;
    options.batch_rows = 2;
    options.strategy = strategy;
    options.cache_bytes = strategy == MTL_SAMPLING_UNIFORM ? 0 : 1000;
    mtl_status status = mtl_sampler_create(context, words, 2, &options, &sampler);
    for (int i = 0; status == MTL_OK && i < 2; i++) {
        status = mtl_sampler_add_dataset(sampler, dataset, &task, 1);
    }
    if (status == MTL_OK) {
        status = draw_batches(sampler);
    }
    mtl_sampler_destroy(sampler);
    return status;
}

static mtl_status whole_way(mtl_context *context, void *user)
{
    const paths *at = user;
    mtl_dataset *dataset = NULL;
    mtl_dataset *slice = NULL;
    mtl_vocabulary *words = NULL;
    mtl_vocabulary *loaded = NULL;
    mtl_status status = open_corpus(context, at->table, &dataset);
    if (status == MTL_OK) {
        status = mtl_dataset_slice(dataset, 1, 4, &slice);
    }
    if (status == MTL_OK) {
        status = build_words(context, dataset, &words);
    }
    if (status == MTL_OK) {
        status = mtl_vocabulary_save(words, at->words);
    }
    if (status == MTL_OK) {
        status = mtl_vocabulary_load(context, at->words, &loaded);
    }
    for (int32_t strategy = MTL_SAMPLING_PROPORTIONAL; status == MTL_OK && strategy <= MTL_SAMPLING_ROUND_ROBIN;
         strategy++) {
        status = sample(context, loaded, slice, strategy);
    }
    mtl_vocabulary_release(loaded);
    mtl_vocabulary_release(words);
    mtl_dataset_release(slice);
    mtl_dataset_release(dataset);
    return status;
}

static void test_whole_way(void **state)
{
    (void)state;
    paths at;
    test_folder_create(&at.folder);
    at.table = test_write_text(&at.folder, "table.csv", corpus);
    at.words = test_path(&at.folder, "words.txt");
    test_each_allocation_failing(whole_way, &at);
    assert_int_equal(test_count_files(at.folder.path), 2); /* no temporary file was left */
    test_folder_remove(&at.folder);
}

static mtl_status open_reviews(mtl_context *context, void *user)
{
    const test_folder *folder = user;
    mtl_dataset *dataset = NULL;
    mtl_status status = mtl_dataset_open_imdb(context, folder->path, &dataset);
    for (int64_t row = 0; status == MTL_OK && row < mtl_dataset_rows(dataset); row++) {
        char text[16];
        size_t size;
        status = mtl_dataset_text(dataset, row, text, sizeof text, &size);
    }
    mtl_dataset_release(dataset);
    return status;
}

static void test_folder_dataset(void **state)
{
    (void)state;
    test_folder folder;
    test_folder_create(&folder);
    test_make_folder(&folder, "neg");
    test_make_folder(&folder, "pos");
    for (int i = 0; i < 20; i++) {
        char name[64];
        sprintf(name, "%s/%d_1.txt", i % 2 ? "pos" : "neg", i * 37 % 20);
        test_write_text(&folder, name, "some text");
    }
    test_each_allocation_failing(open_reviews, &folder);
    test_folder_remove(&folder);
}

static mtl_status from_memory(mtl_context *context, void *user)
{
    (void)user;
    static const char *const texts[] = {"a b c", "d", "e f"};
    static const int32_t labels[] = {0, 1, MTL_LABEL_NONE};
    mtl_dataset *dataset = NULL;
    mtl_vocabulary *words = NULL;
    mtl_status status = mtl_dataset_create(context, texts, labels, 3, 2, &dataset);
    if (status == MTL_OK) {
        status = build_words(context, dataset, &words);
    }
    mtl_vocabulary_release(words);
    mtl_dataset_release(dataset);
    return status;
}

static void test_memory_dataset(void **state)
{
    (void)state;
    test_each_allocation_failing(from_memory, NULL);
}

/* What a sampler had before an addition that failed is what it has after it. */
static void test_sampler_after_failure(void **state)
{
    (void)state;
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context *context = test_context_on(&allocator);
    static const char *const texts[] = {"a b c", "d", "e f"};
    static const char *const long_text[] = {"a b c d e f a b c d e f a b c d e f a b c d e f a b c d e f", "a"};
    mtl_dataset *small = NULL;
    mtl_dataset *large = NULL;
    mtl_vocabulary *words = NULL;
    mtl_sampler *sampler = NULL;
    assert_ok(context, mtl_dataset_create(context, texts, NULL, 3, 0, &small));
    assert_ok(context, mtl_dataset_create(context, long_text, NULL, 2, 0, &large));
    assert_ok(context, build_words(context, small, &words));
    assert_ok(context, mtl_sampler_create(context, words, 1, NULL, &sampler));
    assert_ok(context, mtl_sampler_add_dataset(sampler, small, NULL, 0));
    long failures = 0;
    for (mtl_status status = MTL_ERROR_MEMORY; status != MTL_OK; failures++) {
        allocator.fail_at = allocator.calls + failures;
        status = mtl_sampler_add_dataset(sampler, large, NULL, 0);
        allocator.fail_at = -1;
        if (status != MTL_OK) {
            assert_int_equal(status, MTL_ERROR_MEMORY);
            assert_int_equal(mtl_sampler_tokens(sampler), 6);
        }
    }
    assert_true(failures > 2);
    assert_int_equal(mtl_sampler_tokens(sampler), 37);
    mtl_batch *batch = NULL;
    failures = 0;
    for (mtl_status status = MTL_ERROR_MEMORY; status != MTL_OK; failures++) { /* the same batch, asked for again */
        allocator.fail_at = allocator.calls + failures;
        status = mtl_sampler_next(sampler, &batch);
        allocator.fail_at = -1;
    }
    assert_true(failures > 2);
    assert_int_equal(mtl_batch_rows(batch), 5);
    assert_int_equal(mtl_batch_tokens(batch), 37);
    mtl_sampler_destroy(sampler);
    mtl_vocabulary_release(words);
    mtl_dataset_release(small);
    mtl_dataset_release(large);
    mtl_context_release(context);
    test_allocator_check(&allocator);
}

static mtl_status format_and_parse(mtl_context *context, void *user)
{
    (void)user;
    mtl_dataset *dataset = NULL;
    mtl_vocabulary *words = NULL;
    mtl_vocabulary *parsed = NULL;
    char *text = NULL;
    size_t size = 0;
    static const char *const texts[] = {"caf\u00E9 it's a test, a test"};
    mtl_status status = mtl_dataset_create(context, texts, NULL, 1, 0, &dataset);
    if (status == MTL_OK) {
        status = build_words(context, dataset, &words);
    }
    if (status == MTL_OK) {
        status = mtli_vocabulary_format(words, &text, &size);
    }
    if (status == MTL_OK) {
        assert_int_equal(strlen(text), size);
        status = mtli_vocabulary_parse(context, "memory", text, size, &parsed);
    }
    if (status == MTL_OK) {
        assert_true(mtl_vocabulary_fingerprint(parsed) == mtl_vocabulary_fingerprint(words));
        assert_int_equal(mtl_vocabulary_count(parsed, 2), 2);
    }
    mtli_release(context, text, size + 1);
    mtl_vocabulary_release(parsed);
    mtl_vocabulary_release(words);
    mtl_dataset_release(dataset);
    return status;
}

static void test_format_and_parse(void **state)
{
    (void)state;
    test_each_allocation_failing(format_and_parse, NULL);
    mtl_context *context = test_context();
    mtl_vocabulary *vocabulary = NULL;
    static const char text[] = "libmtl-vocabulary 1 fold_case=0 strip_markup=0 punctuation=0 max_token_bytes=8 size=3\n"
                               "<pad>\t0\n<unk>\t0\nW\t7\n";
    assert_ok(context, mtli_vocabulary_parse(context, "x", text, sizeof text - 1, &vocabulary));
    assert_int_equal(vocabulary->tokenizer->options.fold_case, 0);
    assert_int_equal(vocabulary->tokenizer->options.max_token_bytes, 8);
    char *again = NULL;
    size_t size = 0;
    assert_int_equal(mtli_vocabulary_format(vocabulary, &again, &size), MTL_OK);
    assert_string_equal(again, text);
    mtli_release(context, again, size + 1);
    mtl_vocabulary_release(vocabulary);
    vocabulary = NULL;
    assert_fails(context, mtli_vocabulary_parse(context, "model.safetensors", text, 20, &vocabulary), MTL_ERROR_FORMAT,
                 "model.safetensors:1: ");
    assert_fails(context, mtli_vocabulary_parse(context, "model.safetensors", NULL, 0, &vocabulary), MTL_ERROR_FORMAT,
                 "model.safetensors:1: ");
    assert_null(vocabulary);
    mtl_context_release(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_way),      cmocka_unit_test(test_folder_dataset),
        cmocka_unit_test(test_memory_dataset), cmocka_unit_test(test_sampler_after_failure),
        cmocka_unit_test(test_format_and_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
