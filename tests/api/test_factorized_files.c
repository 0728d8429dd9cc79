/* SPDX-License-Identifier: Apache-2.0
 * Factorized modules in files: the checkpoint is the small form of the networks, and it comes back without them. */
#include "checksums.h"
#include "factored_tasks.h"
#include "support.h"

enum { TASKS = 4, RANK = 2, LOGITS = FACTORED_ROWS * FACTORED_CLASSES };

static const int32_t kinds[] = {MTL_FACTORIZATION_LAF, MTL_FACTORIZATION_TUCKER, MTL_FACTORIZATION_TENSOR_TRAIN};
enum { KINDS = 3 };

typedef struct fixture {
    mtl_context *context;
    test_folder folder;
    factored_tasks tasks;
    mtl_model *model; /* factorized: "encoder" and "heads" */
} fixture;

static mtl_model *make_model(fixture *f, int32_t kind, double relative_error, int64_t max_rank)
{
    mtl_model *model = NULL;
    mtl_encoder *encoder = NULL;
    mtl_head *head = NULL;
    mtl_factorized_options options = MTL_FACTORIZED_OPTIONS_INIT;
    options.kind = kind;
    options.relative_error = relative_error;
    options.max_rank = max_rank;
    assert_ok(f->context, mtl_head_create_factorized(f->tasks.heads, TASKS, &options, &head));
    options.shared = "embedding.*";
    assert_ok(f->context, mtl_encoder_create_factorized(f->tasks.encoders, TASKS, &options, &encoder));
    assert_ok(f->context, mtl_model_create(f->context, NULL, &model));
    assert_ok(f->context, mtl_model_add_encoder(model, "encoder", encoder));
    assert_ok(f->context, mtl_model_add_head(model, "heads", head));
    mtl_encoder_release(encoder);
    mtl_head_release(head);
    return model;
}

static void open_fixture(fixture *f, int32_t kind)
{
    memset(f, 0, sizeof *f);
    f->context = test_context();
    test_folder_create(&f->folder);
    assert_ok(f->context, factored_tasks_create(f->context, TASKS, RANK, &f->tasks));
    f->model = make_model(f, kind, 1e-6, 0);
}

static void close_fixture(fixture *f)
{
    mtl_memory_info info;
    mtl_model_destroy(f->model);
    factored_tasks_destroy(&f->tasks);
    assert_ok(f->context, mtl_context_memory(f->context, &info));
    assert_int_equal(info.blocks, 1);
    mtl_context_release(f->context);
    test_folder_remove(&f->folder);
}

static void logits_of(fixture *f, mtl_model *model, int32_t task, float *logits)
{
    mtl_tape *tape = NULL;
    assert_ok(f->context, mtl_tape_create(f->context, NULL, &tape));
    mtl_tensor *h = mtl_encoder_forward_task(mtl_model_encoder(model, "encoder"), tape, task, f->tasks.inputs);
    mtl_tensor *y = mtl_head_forward_task(mtl_model_head(model, "heads"), tape, task, h);
    assert_string_equal(mtl_tape_error(tape), "");
    assert_ok(f->context, mtl_tensor_read(y, MTL_FLOAT32, logits, LOGITS));
    mtl_tape_destroy(tape);
}

static void expect_same_model(fixture *f, mtl_model *a, mtl_model *b)
{
    assert_int_equal(mtl_model_num_parameters(a), mtl_model_num_parameters(b));
    for (int32_t t = 0; t < TASKS; t++) {
        float one[LOGITS];
        float other[LOGITS];
        logits_of(f, a, t, one);
        logits_of(f, b, t, other);
        assert_memory_equal(one, other, sizeof one);
    }
}

static void a_file_brings_it_back(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        fixture f;
        open_fixture(&f, kinds[k]);
        const char *path = test_path(&f.folder, "factors.safetensors");
        mtl_checkpoint *checkpoint = NULL;
        mtl_model *restored = NULL;
        assert_ok(f.context, mtl_model_save(f.model, path, NULL));
        assert_ok(f.context, mtl_checkpoint_open(f.context, path, &checkpoint));
        assert_ok(f.context, mtl_checkpoint_restore(checkpoint, &restored));
        expect_same_model(&f, f.model, restored);
        const mtl_factorized *factorized = mtl_encoder_factorized(mtl_model_encoder(restored, "encoder"));
        int64_t ranks[MTL_MAX_DIMS];
        int64_t count = 0;
        assert_int_equal(mtl_factorized_num_tasks(factorized), TASKS);
        assert_ok(f.context, mtl_factorized_ranks(factorized, "lstm.weight_ih_l0", ranks, MTL_MAX_DIMS, &count));
        assert_int_equal(count, kinds[k] == MTL_FACTORIZATION_LAF ? 1 : kinds[k] == MTL_FACTORIZATION_TUCKER ? 3 : 2);
        assert_int_equal(ranks[0], RANK);
        /* and once more: the same bytes */
        const char *again = test_path(&f.folder, "again.safetensors");
        size_t size;
        size_t size_again;
        assert_ok(f.context, mtl_model_save(restored, again, NULL));
        char *bytes = test_read_file(path, &size);
        char *bytes_again = test_read_file(again, &size_again);
        assert_int_equal(size, size_again);
        assert_memory_equal(bytes, bytes_again, size);
        free(bytes);
        free(bytes_again);
        mtl_checkpoint_close(checkpoint);
        mtl_model_destroy(restored);
        close_fixture(&f);
    }
}

/* Error 0 and a limit make the same shapes from any networks: a model to load into. */
static void a_file_loads_into_a_model(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        fixture f;
        open_fixture(&f, kinds[k]);
        const char *path = test_path(&f.folder, "factors.safetensors");
        mtl_checkpoint *checkpoint = NULL;
        assert_ok(f.context, mtl_model_save(f.model, path, NULL));
        factored_tasks_destroy(&f.tasks);
        assert_ok(f.context, factored_tasks_create(f.context, TASKS, 0, &f.tasks)); /* random networks */
        mtl_model *model = make_model(&f, kinds[k], 0, RANK);
        assert_ok(f.context, mtl_checkpoint_open(f.context, path, &checkpoint));
        assert_ok(f.context, mtl_checkpoint_load(checkpoint, model, NULL));
        expect_same_model(&f, f.model, model);
        mtl_model *other = make_model(&f, kinds[k], 0, RANK + 1);
        assert_fails(f.context, mtl_checkpoint_load(checkpoint, other, NULL), MTL_ERROR_SHAPE,
                     "encoder.lstm.weight_ih_l0.");
        mtl_model_destroy(other);
        mtl_model_destroy(model);
        mtl_checkpoint_close(checkpoint);
        close_fixture(&f);
    }
}

static mtl_model *make_dense_model(fixture *f)
{
    mtl_model *model = NULL;
    assert_ok(f->context, mtl_model_create(f->context, NULL, &model));
    for (int t = 0; t < TASKS; t++) {
        char name[16];
        snprintf(name, sizeof name, "encoder%d", t);
        assert_ok(f->context, mtl_model_add_encoder(model, name, f->tasks.encoders[t]));
        snprintf(name, sizeof name, "head%d", t);
        assert_ok(f->context, mtl_model_add_head(model, name, f->tasks.heads[t]));
    }
    return model;
}

/* Networks of low rank have a file that is smaller by what the factors save. The embedding [9, 5], the biases 4 * 48 +
 * 4 * 3 and the weights 24 * 5 + 24 * 6 + 3 * 6 = 282 are 1590 values in four networks; Tucker's factors of rank 2 have
 * 3 * 8 + 2 * (24 + 5 + 24 + 6 + 3 + 6) + 3 * 8 = 184, and with biases and one embedding they are 433. */
static void low_rank_makes_a_small_file(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, MTL_FACTORIZATION_TUCKER);
    mtl_model *dense = make_dense_model(&f);
    size_t size_dense;
    size_t size;
    assert_ok(f.context, mtl_model_save(dense, test_path(&f.folder, "dense.safetensors"), NULL));
    assert_ok(f.context, mtl_model_save(f.model, test_path(&f.folder, "factors.safetensors"), NULL));
    free(test_read_file(test_path(&f.folder, "dense.safetensors"), &size_dense));
    free(test_read_file(test_path(&f.folder, "factors.safetensors"), &size));
    assert_int_equal(mtl_model_num_values(dense), TASKS * (45 + 48 + 3 + 282));
    assert_int_equal(mtl_model_num_values(f.model), 184 + 45 + TASKS * (48 + 3));
    assert_true(size < size_dense);
    mtl_model_destroy(dense);
    close_fixture(&f);
}

/* ---- files that lie ---- */

/* The saved model with `from` in its header replaced by `to`. */
static const char *edit_header(fixture *f, const char *from, const char *to)
{
    size_t size;
    const char *path = test_path(&f->folder, "factors.safetensors");
    assert_ok(f->context, mtl_model_save(f->model, path, NULL));
    char *bytes = test_read_file(path, &size);
    char *edited = malloc(size + strlen(to));
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) {
        length = length << 8 | (unsigned char)bytes[i];
    }
    forget_checksums(bytes + 8, (size_t)length);
    char *at = strstr(bytes + 8, from); /* metadata comes first */
    assert_true(at && edited);
    size_t before = (size_t)(at - bytes);
    size_t after = size - before - strlen(from);
    memcpy(edited, bytes, before);
    memcpy(edited + before, to, strlen(to));
    memcpy(edited + before + strlen(to), at + strlen(from), after);
    length += strlen(to) - strlen(from);
    for (int i = 0; i < 8; i++) {
        edited[i] = (char)(length >> 8 * i & 255);
    }
    path = test_write(&f->folder, "edited.safetensors", edited, before + strlen(to) + after);
    free(edited);
    free(bytes);
    return path;
}

static void expect_refused(fixture *f, const char *from, const char *to, mtl_status status, const char *message)
{
    mtl_checkpoint *checkpoint = NULL;
    mtl_model *model = NULL;
    assert_ok(f->context, mtl_checkpoint_open(f->context, edit_header(f, from, to), &checkpoint));
    assert_fails(f->context, mtl_checkpoint_restore(checkpoint, &model), status, message);
    assert_null(model);
    mtl_checkpoint_close(checkpoint);
}

static void files_that_lie_are_refused(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, MTL_FACTORIZATION_TUCKER);
    static const struct {
        const char *from, *to;
        mtl_status status;
        const char *message;
    } lies[] = {
        {"encoder.tasks\":\"4\"", "encoder.tasks\":\"0\"", MTL_ERROR_FORMAT, "tasks = 0"},
        {"encoder.tasks\":\"4\"", "encoder.tasks\":\"9\"", MTL_ERROR_SHAPE, "weight_ih_l0.tasks"},
        {"encoder.tasks\":\"4\"", "encoder.tasks\":\"x\"", MTL_ERROR_FORMAT, "tasks"},
        {"encoder.factorization\":\"tucker", "encoder.factorization\":\"tacker", MTL_ERROR_UNSUPPORTED, "tacker"},
        {"encoder.network\":\"lstm", "encoder.network\":\"lstn", MTL_ERROR_UNSUPPORTED, "lstn"},
        {"encoder.ranks.lstm.weight_ih_l0\":\"2 2 2", "encoder.ranks.lstm.weight_ih_l0\":\"2 2 0", MTL_ERROR_FORMAT,
         "weight_ih_l0"},
        {"encoder.ranks.lstm.weight_ih_l0\":\"2 2 2", "encoder.ranks.lstm.weight_ih_l0\":\"2 2  ", MTL_ERROR_FORMAT,
         "weight_ih_l0"},
        {"encoder.ranks.lstm.weight_ih_l0\":\"2 2 2", "encoder.ranks.lstm.weight_ih_l0\":\"2 2 9", MTL_ERROR_FORMAT,
         "weight_ih_l0"},
        {"encoder.ranks.lstm.weight_ih_l0\":\"2 2 2", "encoder.ranks.lstm.weight_ih_l0\":\"2 3 2", MTL_ERROR_SHAPE,
         "weight_ih_l0.core"},
        {"encoder.ranks.lstm.bias_ih_l0\":\"tasks", "encoder.ranks.lstm.bias_ih_l0\":\"tasts", MTL_ERROR_FORMAT,
         "bias_ih_l0"},
        {"encoder.ranks.lstm.bias_ih_l0", "encoder.ranks.lstm.bias_xx_l0", MTL_ERROR_FORMAT, "bias_ih_l0"},
        {"heads.network\":\"classifier", "heads.network\":\"classified", MTL_ERROR_UNSUPPORTED, "classified"},
        {"heads.ranks.weight\":\"2 2 2", "heads.ranks.weight\":\"2 7 2", MTL_ERROR_FORMAT, "heads"},
        {"encoder.hidden_dim\":\"6\"", "encoder.hidden_dim\":\"7\"", MTL_ERROR_SHAPE, "encoder"},
    };
    for (size_t k = 0; k < sizeof lies / sizeof lies[0]; k++) {
        expect_refused(&f, lies[k].from, lies[k].to, lies[k].status, lies[k].message);
    }
    close_fixture(&f);
}

/* Numbers that stand for terabytes cost nothing: the network has no values, and the factors must be in the file. */
static void sizes_that_lie_cost_nothing(void **state)
{
    (void)state;
    fixture f;
    mtl_memory_info info;
    open_fixture(&f, MTL_FACTORIZATION_TUCKER);
    expect_refused(&f, "encoder.tasks\":\"4\"", "encoder.tasks\":\"65536\"", MTL_ERROR_FORMAT,
                   "more values than the file");
    expect_refused(&f, "encoder.tasks\":\"4\"", "encoder.tasks\":\"65537\"", MTL_ERROR_FORMAT, "65536");
    expect_refused(&f, "encoder.tasks\":\"4\"", "encoder.tasks\":\"99999999999\"", MTL_ERROR_FORMAT, "65536");
    expect_refused(&f, "encoder.vocabulary_size\":\"9\"", "encoder.vocabulary_size\":\"2000000000\"", MTL_ERROR_FORMAT,
                   "more values than the file");
    expect_refused(&f, "encoder.hidden_dim\":\"6\"", "encoder.hidden_dim\":\"200000000\"", MTL_ERROR_FORMAT, NULL);
    expect_refused(&f, "encoder.ranks.lstm.weight_ih_l0\":\"2 2 2", "encoder.ranks.lstm.weight_ih_l0\":\"2 2 2 2",
                   MTL_ERROR_FORMAT, "weight_ih_l0");
    expect_refused(&f, "encoder.ranks.lstm.weight_ih_l0\":\"2 2 2", "encoder.ranks.lstm.weight_ih_l0\":\"shared",
                   MTL_ERROR_FORMAT, "lstm.weight_ih_l0");
    assert_ok(f.context, mtl_context_memory(f.context, &info));
    assert_true(info.peak_bytes < 16u << 20);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_brings_it_back),
        cmocka_unit_test(a_file_loads_into_a_model),
        cmocka_unit_test(low_rank_makes_a_small_file),
        cmocka_unit_test(files_that_lie_are_refused),
        cmocka_unit_test(sizes_that_lie_cost_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
