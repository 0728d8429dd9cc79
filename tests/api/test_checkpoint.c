/* SPDX-License-Identifier: Apache-2.0
 * Saving, loading and restoring models through the public interface; files that are damaged, foreign or hostile. */
#include "support/checksums.h"
#include "support/support.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mtl/mtl.h>

enum { MAX_VALUES = 4096 };

typedef struct fixture {
    mtl_context *context;
    test_folder folder;
    mtl_model *model;
    const char *path; /* the model, saved */
} fixture;

/* ---- models ---- */

static mtl_status add_encoder(mtl_context *context, mtl_model *model, int64_t hidden)
{
    mtl_lstm_options options = MTL_LSTM_OPTIONS_INIT;
    options.vocabulary_size = 7;
    options.embedding_dim = 3;
    options.hidden_dim = hidden;
    options.num_layers = 2;
    options.bidirectional = 1;
    options.pooling = MTL_POOLING_MEAN;
    options.layer_dropout = 0.1;
    options.output_dropout = 1.0 / 3.0;
    mtl_encoder *encoder = NULL;
    mtl_status status = mtl_encoder_create_lstm(context, &options, &encoder);
    if (status == MTL_OK) {
        status = mtl_model_add_encoder(model, "encoder", encoder);
    }
    mtl_encoder_release(encoder);
    return status;
}

static mtl_status add_head(mtl_context *context, mtl_model *model, const char *name, int32_t kind, int64_t in,
                           int64_t out)
{
    mtl_head_options options = MTL_HEAD_OPTIONS_INIT;
    options.hidden_dim = kind == MTL_HEAD_REGRESSOR ? 5 : 0;
    options.activation = MTL_ACTIVATION_GELU;
    mtl_head *head = NULL;
    mtl_status status = kind == MTL_HEAD_CLASSIFIER   ? mtl_head_create_classifier(context, in, out, &options, &head)
                        : kind == MTL_HEAD_MULTILABEL ? mtl_head_create_multilabel(context, in, out, &options, &head)
                                                      : mtl_head_create_regressor(context, in, out, &options, &head);
    if (status == MTL_OK) {
        status = mtl_model_add_head(model, name, head);
    }
    mtl_head_release(head);
    return status;
}

/* An encoder and one head of each kind. */
static mtl_status make_model(mtl_context *context, int64_t hidden, mtl_model **out)
{
    mtl_model *model = NULL;
    mtl_status status = mtl_model_create(context, NULL, &model);
    if (status == MTL_OK) {
        status = add_encoder(context, model, hidden);
    }
    if (status == MTL_OK) {
        status = add_head(context, model, "topic", MTL_HEAD_CLASSIFIER, 2 * hidden, 4);
    }
    if (status == MTL_OK) {
        status = add_head(context, model, "tags", MTL_HEAD_MULTILABEL, 2 * hidden, 3);
    }
    if (status == MTL_OK) {
        status = add_head(context, model, "price", MTL_HEAD_REGRESSOR, 2 * hidden, 1);
    }
    if (status != MTL_OK) {
        mtl_model_destroy(model);
        return status;
    }
    *out = model;
    return MTL_OK;
}

/* All values of a model, one after the other. */
static size_t read_values(mtl_model *model, float *values)
{
    size_t count = 0;
    for (int64_t i = 0; i < mtl_model_num_parameters(model); i++) {
        mtl_tensor *tensor = mtl_model_parameter(model, i);
        size_t size = (size_t)mtl_tensor_size(tensor);
        assert_true(count + size <= MAX_VALUES);
        assert_int_equal(mtl_tensor_read(tensor, MTL_FLOAT32, values + count, size), MTL_OK);
        count += size;
    }
    return count;
}

static void fill_values(mtl_model *model, float value)
{
    float values[MAX_VALUES];
    for (size_t i = 0; i < MAX_VALUES; i++) {
        values[i] = value;
    }
    for (int64_t i = 0; i < mtl_model_num_parameters(model); i++) {
        mtl_tensor *tensor = mtl_model_parameter(model, i);
        assert_int_equal(mtl_tensor_write(tensor, MTL_FLOAT32, values, (size_t)mtl_tensor_size(tensor)), MTL_OK);
    }
}

static void expect_all(mtl_model *model, float value)
{
    float values[MAX_VALUES];
    size_t count = read_values(model, values);
    for (size_t i = 0; i < count; i++) {
        assert_true(values[i] == value);
    }
}

static void expect_same(mtl_model *a, mtl_model *b)
{
    float x[MAX_VALUES];
    float y[MAX_VALUES];
    size_t count = read_values(a, x);
    assert_int_equal(read_values(b, y), count);
    assert_memory_equal(x, y, count * sizeof x[0]); /* bits: NaN too */
    assert_int_equal(mtl_model_num_parameters(a), mtl_model_num_parameters(b));
    for (int64_t i = 0; i < mtl_model_num_parameters(a); i++) {
        assert_string_equal(mtl_model_parameter_name(a, i), mtl_model_parameter_name(b, i));
    }
}

static mtl_vocabulary *make_vocabulary(mtl_context *context, const char *text)
{
    mtl_tokenizer *tokenizer = NULL;
    mtl_vocabulary_builder *builder = NULL;
    mtl_vocabulary *vocabulary = NULL;
    assert_ok(context, mtl_tokenizer_create(context, NULL, &tokenizer));
    assert_ok(context, mtl_vocabulary_builder_create(context, tokenizer, &builder));
    assert_ok(context, mtl_vocabulary_builder_add(builder, text, strlen(text)));
    assert_ok(context, mtl_vocabulary_builder_finish(builder, NULL, &vocabulary));
    mtl_vocabulary_builder_destroy(builder);
    mtl_tokenizer_release(tokenizer);
    return vocabulary;
}

static int set_up(void **state)
{
    static fixture f;
    memset(&f, 0, sizeof f);
    f.context = test_context();
    test_folder_create(&f.folder);
    assert_ok(f.context, make_model(f.context, 4, &f.model));
    f.path = strdup(test_path(&f.folder, "model.safetensors"));
    assert_ok(f.context, mtl_model_save(f.model, f.path, NULL));
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    mtl_memory_info info;
    mtl_model_destroy(f->model);
    assert_ok(f->context, mtl_context_memory(f->context, &info));
    assert_int_equal(info.blocks, 1);
    mtl_context_release(f->context);
    test_folder_remove(&f->folder);
    free((void *)f->path);
    return 0;
}

/* ---- files made by hand ---- */

static const char *write_container(fixture *f, const char *name, const char *header, const void *data, size_t data_size)
{
    size_t length = strlen(header);
    unsigned char *bytes = malloc(8 + length + data_size);
    for (int i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)((uint64_t)length >> (8 * i));
    }
    memcpy(bytes + 8, header, length);
    if (data_size > 0) {
        memcpy(bytes + 8 + length, data, data_size);
    }
    const char *path = test_write(&f->folder, name, bytes, 8 + length + data_size);
    free(bytes);
    return path;
}

/* The saved model with `from` in its header replaced by `to`, once. */
static const char *edit_header(fixture *f, const char *from, const char *to)
{
    size_t size;
    char *bytes = test_read_file(f->path, &size);
    size_t length = (unsigned char)bytes[0] + 256u * (unsigned char)bytes[1];
    char *header = malloc(length + strlen(to) + 1);
    char *old = malloc(length + 1);
    memcpy(old, bytes + 8, length);
    old[length] = '\0';
    forget_checksums(old, length);
    char *at = strstr(old, from);
    if (!at) {
        fail_msg("the header has no %s: %s", from, old);
    }
    *at = '\0';
    sprintf(header, "%s%s%s", old, to, at + strlen(from));
    const char *path = write_container(f, "edited.safetensors", header, bytes + 8 + length, size - 8 - length);
    free(old);
    free(header);
    free(bytes);
    return path;
}

static mtl_checkpoint *open_checkpoint(fixture *f, const char *path)
{
    mtl_checkpoint *checkpoint = NULL;
    assert_ok(f->context, mtl_checkpoint_open(f->context, path, &checkpoint));
    return checkpoint;
}

/* ---- there and back ---- */

static void logits_of(fixture *f, mtl_model *model, float *values)
{
    const int64_t offsets[] = {0, 3, 4, 8};
    const int32_t ids[] = {2, 3, 4, 6, 1, 2, 5, 5};
    mtl_tape *tape = NULL;
    mtl_tensor *input = NULL;
    assert_ok(f->context, mtl_tape_create(f->context, NULL, &tape));
    assert_ok(f->context, mtl_tensor_create_ragged(f->context, 3, offsets, ids, &input));
    mtl_tensor *h = mtl_encoder_forward(mtl_model_encoder(model, "encoder"), tape, input);
    mtl_tensor *price = mtl_head_forward(mtl_model_head(model, "price"), tape, h);
    mtl_tensor *topic = mtl_head_forward(mtl_model_head(model, "topic"), tape, h);
    assert_ok(f->context, mtl_tensor_read(price, MTL_FLOAT32, values, 3));
    assert_ok(f->context, mtl_tensor_read(topic, MTL_FLOAT32, values + 3, 12));
    mtl_tensor_release(input);
    mtl_tape_destroy(tape);
}

static void test_restores_the_same_model(void **state)
{
    fixture *f = *state;
    mtl_checkpoint *checkpoint = open_checkpoint(f, f->path);
    mtl_model *restored = NULL;
    assert_ok(f->context, mtl_checkpoint_restore(checkpoint, &restored));
    mtl_checkpoint_close(checkpoint);
    expect_same(f->model, restored);
    assert_int_equal(mtl_encoder_output_dim(mtl_model_encoder(restored, "encoder")), 8);
    assert_int_equal(mtl_head_kind(mtl_model_head(restored, "topic")), MTL_HEAD_CLASSIFIER);
    assert_int_equal(mtl_head_kind(mtl_model_head(restored, "tags")), MTL_HEAD_MULTILABEL);
    assert_int_equal(mtl_head_kind(mtl_model_head(restored, "price")), MTL_HEAD_REGRESSOR);
    assert_int_equal(mtl_head_output_dim(mtl_model_head(restored, "tags")), 3);
    float expected[15];
    float actual[15];
    logits_of(f, f->model, expected);
    logits_of(f, restored, actual);
    assert_memory_equal(expected, actual, sizeof expected);
    const char *again = test_path(&f->folder, "again.safetensors");
    assert_ok(f->context, mtl_model_save(restored, again, NULL));
    size_t size_a, size_b;
    char *a = test_read_file(f->path, &size_a);
    char *b = test_read_file(again, &size_b);
    assert_int_equal(size_a, size_b); /* the whole configuration came back */
    assert_memory_equal(a, b, size_a);
    free(a);
    free(b);
    mtl_model_destroy(restored);
}

static void test_loads_into_an_assembled_model(void **state)
{
    fixture *f = *state;
    mtl_model *other = NULL;
    assert_ok(f->context, make_model(f->context, 4, &other));
    fill_values(other, 9.0f);
    mtl_checkpoint *checkpoint = open_checkpoint(f, f->path);
    assert_int_equal(mtl_checkpoint_num_tensors(checkpoint), mtl_model_num_parameters(f->model));
    assert_string_equal(mtl_checkpoint_tensor_name(checkpoint, 0), "encoder.embedding.weight");
    assert_null(mtl_checkpoint_tensor_name(checkpoint, -1));
    assert_null(mtl_checkpoint_tensor_name(checkpoint, mtl_checkpoint_num_tensors(checkpoint)));
    assert_ok(f->context, mtl_checkpoint_load(checkpoint, other, NULL));
    expect_same(f->model, other);
    mtl_checkpoint_close(checkpoint);
    mtl_model_destroy(other);
}

static void test_every_bit_survives(void **state)
{
    fixture *f = *state;
    /* quiet and signalling NaN with payloads, infinities, -0, the least and the largest denormal */
    const uint32_t bits[] = {0x7fc12345u, 0x7fa00001u, 0xffffffffu, 0x7f800000u,
                             0xff800000u, 0x80000000u, 1u,          0x807fffffu};
    mtl_tensor *bias = mtl_model_find_parameter(f->model, "encoder.lstm.bias_ih_l0");
    void *data = NULL;
    assert_ok(f->context, mtl_tensor_map(bias, MTL_FLOAT32, &data));
    memcpy(data, bits, sizeof bits);
    mtl_tensor_unmap(bias);
    assert_ok(f->context, mtl_model_save(f->model, f->path, NULL));
    mtl_checkpoint *checkpoint = open_checkpoint(f, f->path);
    mtl_model *restored = NULL;
    mtl_load_options load = MTL_LOAD_OPTIONS_INIT;
    assert_fails(f->context, mtl_checkpoint_restore(checkpoint, &restored), MTL_ERROR_NUMERIC, "lstm.bias_ih_l0");
    assert_null(restored);
    assert_fails(f->context, mtl_checkpoint_load(checkpoint, f->model, &load), MTL_ERROR_NUMERIC, "value 0");
    memset(data, 0, sizeof bits);
    load.allow_nonfinite = 1;
    assert_ok(f->context, mtl_checkpoint_load(checkpoint, f->model, &load));
    assert_memory_equal(data, bits, sizeof bits);
    mtl_checkpoint_close(checkpoint);
}

static void test_empty_model(void **state)
{
    fixture *f = *state;
    mtl_model *empty = NULL;
    mtl_model *restored = NULL;
    assert_ok(f->context, mtl_model_create(f->context, NULL, &empty));
    assert_ok(f->context, mtl_model_save(empty, f->path, NULL));
    mtl_checkpoint *checkpoint = open_checkpoint(f, f->path);
    assert_ok(f->context, mtl_checkpoint_restore(checkpoint, &restored));
    assert_int_equal(mtl_model_num_parameters(restored), 0);
    mtl_checkpoint_close(checkpoint);
    mtl_model_destroy(restored);
    mtl_model_destroy(empty);
}

static void test_checkpoint_outlives_its_context(void **state)
{
    fixture *f = *state;
    mtl_context *other = test_context();
    mtl_checkpoint *checkpoint = NULL;
    assert_ok(other, mtl_checkpoint_open(other, f->path, &checkpoint));
    mtl_context_release(other);
    assert_string_equal(mtl_checkpoint_metadata(checkpoint, "mtl.format"), "1");
    mtl_checkpoint_close(checkpoint);
}

/* ---- metadata ---- */

static void test_vocabulary(void **state)
{
    fixture *f = *state;
    mtl_vocabulary *mine = make_vocabulary(f->context, "the caf\xc3\xa9 \"quotes\" \\ the end");
    mtl_vocabulary *other = make_vocabulary(f->context, "another one");
    mtl_save_options save = MTL_SAVE_OPTIONS_INIT;
    save.vocabulary = mine;
    assert_ok(f->context, mtl_model_save(f->model, f->path, &save));
    mtl_checkpoint *checkpoint = open_checkpoint(f, f->path);
    mtl_vocabulary *back = NULL;
    assert_ok(f->context, mtl_checkpoint_vocabulary(checkpoint, &back));
    assert_int_equal(mtl_vocabulary_size(back), mtl_vocabulary_size(mine));
    assert_true(mtl_vocabulary_fingerprint(back) == mtl_vocabulary_fingerprint(mine));
    mtl_load_options load = MTL_LOAD_OPTIONS_INIT;
    load.vocabulary = mine;
    assert_ok(f->context, mtl_checkpoint_load(checkpoint, f->model, &load));
    load.vocabulary = other;
    fill_values(f->model, 2.0f);
    assert_fails(f->context, mtl_checkpoint_load(checkpoint, f->model, &load), MTL_ERROR_FORMAT, "another vocabulary");
    char sizes[2][64];
    snprintf(sizes[0], sizeof sizes[0], ": %lld entries", (long long)mtl_vocabulary_size(mine));
    snprintf(sizes[1], sizeof sizes[1], "options->vocabulary has %lld entries", (long long)mtl_vocabulary_size(other));
    assert_non_null(strstr(mtl_context_last_error(f->context), sizes[0]));
    assert_non_null(strstr(mtl_context_last_error(f->context), sizes[1]));
    expect_all(f->model, 2.0f);
    mtl_checkpoint_close(checkpoint);
    checkpoint = open_checkpoint(f, edit_header(f, "the\\t2", "tha\\t2")); /* a damaged word */
    mtl_vocabulary *damaged = NULL;
    assert_fails(f->context, mtl_checkpoint_vocabulary(checkpoint, &damaged), MTL_ERROR_FORMAT, "fingerprint");
    assert_null(damaged);
    mtl_checkpoint_close(checkpoint);
    checkpoint = open_checkpoint(f, edit_header(f, "the\\t2", "the\\tx"));
    assert_fails(f->context, mtl_checkpoint_vocabulary(checkpoint, &damaged), MTL_ERROR_FORMAT, NULL);
    assert_null(damaged);
    mtl_checkpoint_close(checkpoint);
    mtl_vocabulary_release(back);
    mtl_vocabulary_release(other);
    mtl_vocabulary_release(mine);
}

static void test_no_vocabulary(void **state)
{
    fixture *f = *state;
    mtl_vocabulary *mine = make_vocabulary(f->context, "a b c");
    mtl_vocabulary *back = NULL;
    mtl_checkpoint *checkpoint = open_checkpoint(f, f->path);
    assert_fails(f->context, mtl_checkpoint_vocabulary(checkpoint, &back), MTL_ERROR_STATE, "holds no vocabulary");
    mtl_load_options load = MTL_LOAD_OPTIONS_INIT;
    load.vocabulary = mine;
    assert_fails(f->context, mtl_checkpoint_load(checkpoint, f->model, &load), MTL_ERROR_FORMAT, "holds no vocabulary");
    mtl_checkpoint_close(checkpoint);
    mtl_vocabulary_release(mine);
}

static void test_metadata_of_the_host(void **state)
{
    fixture *f = *state;
    const char *keys[] = {"note", "\xc3\xa9t\xc3\xa9", ""};
    const char *values[] = {"line\nline \"x\" \\ \x01", "", "empty key"};
    mtl_save_options save = MTL_SAVE_OPTIONS_INIT;
    save.keys = keys;
    save.values = values;
    save.num_metadata = 3;
    assert_ok(f->context, mtl_model_save(f->model, f->path, &save));
    mtl_checkpoint *checkpoint = open_checkpoint(f, f->path);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(mtl_checkpoint_metadata(checkpoint, keys[i]), values[i]);
    }
    assert_null(mtl_checkpoint_metadata(checkpoint, "nothing"));
    assert_string_equal(mtl_checkpoint_metadata(checkpoint, "mtl.modules"), "encoder topic tags price");
    assert_string_equal(mtl_checkpoint_metadata(checkpoint, "mtl.module.encoder.layer_dropout"), "0.1");
    const char *third = mtl_checkpoint_metadata(checkpoint, "mtl.module.encoder.output_dropout");
    assert_true(strtod(third, NULL) == 1.0 / 3.0);
    mtl_checkpoint_close(checkpoint);
}

static void test_metadata_that_is_refused(void **state)
{
    fixture *f = *state;
    const char *keys[] = {"good", "mtl.format"};
    const char *values[] = {"1", "2"};
    mtl_save_options save = MTL_SAVE_OPTIONS_INIT;
    mtl_context *c = f->context;
    save.num_metadata = -1;
    assert_fails(c, mtl_model_save(f->model, f->path, &save), MTL_ERROR_ARGUMENT, "num_metadata = -1");
    save.num_metadata = 2;
    assert_fails(c, mtl_model_save(f->model, f->path, &save), MTL_ERROR_ARGUMENT, "keys is NULL");
    save.keys = keys;
    assert_fails(c, mtl_model_save(f->model, f->path, &save), MTL_ERROR_ARGUMENT, "values is NULL");
    save.values = values;
    assert_fails(c, mtl_model_save(f->model, f->path, &save), MTL_ERROR_ARGUMENT, "'mtl.format'");
    keys[1] = "good";
    assert_fails(c, mtl_model_save(f->model, f->path, &save), MTL_ERROR_ARGUMENT, "'good' occurs twice");
    keys[1] = "\xff";
    assert_fails(c, mtl_model_save(f->model, f->path, &save), MTL_ERROR_ARGUMENT, "not UTF-8");
    keys[1] = NULL;
    assert_fails(c, mtl_model_save(f->model, f->path, &save), MTL_ERROR_ARGUMENT, "keys[1] is NULL");
    keys[1] = "other";
    values[1] = NULL;
    assert_fails(c, mtl_model_save(f->model, f->path, &save), MTL_ERROR_ARGUMENT, "values[1] is NULL");
    save.struct_size = 4;
    assert_fails(c, mtl_model_save(f->model, f->path, &save), MTL_ERROR_ARGUMENT, "struct_size = 4");
    mtl_checkpoint_close(open_checkpoint(f, f->path)); /* still the old, whole file */
    assert_int_equal(test_count_files(f->folder.path), 1);
}

/* ---- files that do not fit ---- */

static void test_missing_tensor(void **state)
{
    fixture *f = *state;
    mtl_checkpoint *checkpoint = open_checkpoint(f, edit_header(f, "\"price.bias\"", "\"price.bios\""));
    mtl_load_options load = MTL_LOAD_OPTIONS_INIT;
    fill_values(f->model, 3.0f);
    assert_fails(f->context, mtl_checkpoint_load(checkpoint, f->model, &load), MTL_ERROR_FORMAT,
                 "has no tensor 'price.bias'");
    expect_all(f->model, 3.0f);
    load.allow_missing = 1;
    load.allow_extra = 0;
    assert_fails(f->context, mtl_checkpoint_load(checkpoint, f->model, &load), MTL_ERROR_FORMAT,
                 "'price.bios' is no parameter");
    expect_all(f->model, 3.0f);
    load.allow_extra = 1;
    assert_ok(f->context, mtl_checkpoint_load(checkpoint, f->model, &load));
    float bias = 0;
    assert_ok(f->context, mtl_tensor_read(mtl_model_find_parameter(f->model, "price.bias"), MTL_FLOAT32, &bias, 1));
    assert_true(bias == 3.0f); /* kept */
    float weight[5];
    assert_ok(f->context, mtl_tensor_read(mtl_model_find_parameter(f->model, "price.weight"), MTL_FLOAT32, weight, 5));
    assert_true(weight[0] != 3.0f); /* loaded */
    mtl_checkpoint_close(checkpoint);
}

static void test_reserved_tensors_are_left_out(void **state)
{
    fixture *f = *state;
    mtl_model *model = NULL;
    assert_ok(f->context, mtl_model_create(f->context, NULL, &model));
    const float state_values[] = {1.0f};
    const char *header = "{\"mtl.optimizer.step\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    const char *path = write_container(f, "state.safetensors", header, state_values, sizeof state_values);
    mtl_checkpoint *checkpoint = open_checkpoint(f, path);
    mtl_load_options load = MTL_LOAD_OPTIONS_INIT;
    load.allow_extra = 0;
    assert_ok(f->context, mtl_checkpoint_load(checkpoint, model, &load));
    mtl_checkpoint_close(checkpoint);
    mtl_model_destroy(model);
}

static void test_other_shape(void **state)
{
    fixture *f = *state;
    mtl_model *larger = NULL;
    assert_ok(f->context, make_model(f->context, 5, &larger));
    fill_values(larger, 3.0f);
    mtl_checkpoint *checkpoint = open_checkpoint(f, f->path);
    assert_fails(f->context, mtl_checkpoint_load(checkpoint, larger, NULL), MTL_ERROR_SHAPE,
                 "'encoder.lstm.weight_ih_l0' has the shape [16, 3], the model's has [20, 3]");
    expect_all(larger, 3.0f);
    mtl_checkpoint_close(checkpoint);
    mtl_model_destroy(larger);
    /* as many values, another shape; as many dimensions, another order */
    checkpoint = open_checkpoint(f, edit_header(f, "\"shape\":[7,3]", "\"shape\":[21]"));
    assert_fails(f->context, mtl_checkpoint_load(checkpoint, f->model, NULL), MTL_ERROR_SHAPE, "[21]");
    mtl_checkpoint_close(checkpoint);
    checkpoint = open_checkpoint(f, edit_header(f, "\"shape\":[7,3]", "\"shape\":[3,7]"));
    assert_fails(f->context, mtl_checkpoint_load(checkpoint, f->model, NULL), MTL_ERROR_SHAPE, "[3, 7]");
    mtl_checkpoint_close(checkpoint);
    checkpoint = open_checkpoint(f, edit_header(f, "\"shape\":[7,3]", "\"shape\":[7,3,1,1,1,1,1,1,1,1,1,1,1,1]"));
    assert_fails(f->context, mtl_checkpoint_load(checkpoint, f->model, NULL), MTL_ERROR_SHAPE, "[7, 3, 1");
    mtl_checkpoint_close(checkpoint);
}

static void test_other_dtypes(void **state)
{
    fixture *f = *state;
    mtl_model *model = NULL;
    assert_ok(f->context, mtl_model_create(f->context, NULL, &model));
    assert_ok(f->context, add_head(f->context, model, "topic", MTL_HEAD_CLASSIFIER, 2, 2));
    /* 1, -2, 0.5, 3 as F16; 1.5, -0.25 as BF16: exact in each; all tensors little-endian */
    const unsigned char data[] = {0x00, 0x3c, 0x00, 0xc0, 0x00, 0x38, 0x00, 0x42, 0xc0, 0x3f, 0x80, 0xbe};
    const char *path = write_container(f, "half.safetensors",
                                       "{\"topic.weight\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[0,8]},"
                                       "\"topic.bias\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[8,12]}}",
                                       data, sizeof data);
    const float expected[] = {1.0f, -2.0f, 0.5f, 3.0f, 1.5f, -0.25f};
    float values[MAX_VALUES];
    mtl_checkpoint *checkpoint = open_checkpoint(f, path);
    assert_ok(f->context, mtl_checkpoint_load(checkpoint, model, NULL));
    assert_int_equal(read_values(model, values), 6);
    assert_memory_equal(values, expected, sizeof expected);
    mtl_checkpoint_close(checkpoint);
    path = write_container(f, "int.safetensors",
                           "{\"topic.weight\":{\"dtype\":\"I16\",\"shape\":[2,2],\"data_offsets\":[0,8]},"
                           "\"topic.bias\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[8,12]}}",
                           data, sizeof data);
    checkpoint = open_checkpoint(f, path);
    assert_fails(f->context, mtl_checkpoint_load(checkpoint, model, NULL), MTL_ERROR_DTYPE, "'topic.weight' is I16");
    mtl_model *restored = NULL;
    assert_fails(f->context, mtl_checkpoint_restore(checkpoint, &restored), MTL_ERROR_STATE, "no configuration");
    mtl_checkpoint_close(checkpoint);
    mtl_model_destroy(model);
}

static void test_truncated_anywhere(void **state)
{
    fixture *f = *state;
    mtl_model *small = NULL;
    assert_ok(f->context, mtl_model_create(f->context, NULL, &small));
    assert_ok(f->context, add_head(f->context, small, "h", MTL_HEAD_CLASSIFIER, 2, 2));
    assert_ok(f->context, mtl_model_save(small, f->path, NULL));
    mtl_model_destroy(small);
    size_t size;
    char *bytes = test_read_file(f->path, &size);
    for (size_t length = 0; length < size; length++) {
        const char *path = test_write(&f->folder, "cut.safetensors", bytes, length);
        mtl_checkpoint *checkpoint = NULL;
        assert_fails(f->context, mtl_checkpoint_open(f->context, path, &checkpoint), MTL_ERROR_FORMAT, path);
        assert_null(checkpoint);
    }
    free(bytes);
}

/* The file loses its end between open and load: the first tensors can still be read, and must not be taken over. */
static void test_never_half_loaded(void **state)
{
    fixture *f = *state;
    struct stat info;
    mtl_checkpoint *checkpoint = open_checkpoint(f, f->path);
    assert_int_equal(stat(f->path, &info), 0);
    assert_int_equal(truncate(f->path, info.st_size - 4), 0);
    fill_values(f->model, 3.0f);
    assert_fails(f->context, mtl_checkpoint_load(checkpoint, f->model, NULL), MTL_ERROR_IO, "too early");
    expect_all(f->model, 3.0f);
    mtl_model *restored = NULL;
    assert_fails(f->context, mtl_checkpoint_restore(checkpoint, &restored), MTL_ERROR_IO, "too early");
    assert_null(restored);
    mtl_checkpoint_close(checkpoint);
}

/* ---- hostile configurations ---- */

static void test_hostile_configurations(void **state)
{
    fixture *f = *state;
    const struct {
        const char *from, *to;
        mtl_status status;
        const char *says;
    } cases[] = {
        {"encoder.hidden_dim\":\"4\"", "encoder.hidden_dim\":\"60000\"", MTL_ERROR_FORMAT, "more values than the file"},
        {"encoder.hidden_dim\":\"4\"", "encoder.hidden_dim\":\"9223372036854775807\"", MTL_ERROR_FORMAT, "'encoder'"},
        {"encoder.hidden_dim\":\"4\"", "encoder.hidden_dim\":\"9223372036854775808\"", MTL_ERROR_FORMAT, "an integer"},
        {"encoder.hidden_dim\":\"4\"", "encoder.hidden_dim\":\"0\"", MTL_ERROR_FORMAT, "hidden_dim = 0"},
        {"encoder.hidden_dim\":\"4\"", "encoder.hidden_dim\":\"-4\"", MTL_ERROR_FORMAT, "hidden_dim = -4"},
        {"encoder.hidden_dim\":\"4\"", "encoder.hidden_dim\":\"4x\"", MTL_ERROR_FORMAT, "an integer"},
        {"encoder.hidden_dim\":\"4\"", "encoder.hidden_dim\":\"\"", MTL_ERROR_FORMAT, "an integer"},
        {"encoder.hidden_dim\":\"4\"", "encoder.hidden_dim\":\" 4\"", MTL_ERROR_FORMAT, "an integer"},
        {"encoder.hidden_dim\":\"4\"", "encoder.hidden_dam\":\"4\"", MTL_ERROR_FORMAT, "hidden_dim' is missing"},
        {"encoder.hidden_dim\":\"4\"", "encoder.hidden_dim\":\"5\"", MTL_ERROR_SHAPE, "[20, 3]"},
        {"encoder.vocabulary_size\":\"7\"", "encoder.vocabulary_size\":\"2000000000\"", MTL_ERROR_FORMAT, "more"},
        {"encoder.num_layers\":\"2\"", "encoder.num_layers\":\"2000000000\"", MTL_ERROR_FORMAT, "num_layers"},
        {"encoder.num_layers\":\"2\"", "encoder.num_layers\":\"64\"", MTL_ERROR_FORMAT, "has no tensor"},
        {"encoder.num_layers\":\"2\"", "encoder.num_layers\":\"1\"", MTL_OK, NULL}, /* extra tensors are left out */
        {"encoder.pooling\":\"1\"", "encoder.pooling\":\"17\"", MTL_ERROR_FORMAT, "pooling"},
        {"encoder.layer_dropout\":\"0.1\"", "encoder.layer_dropout\":\"nan\"", MTL_ERROR_FORMAT, "number: nan"},
        {"encoder.layer_dropout\":\"0.1\"", "encoder.layer_dropout\":\"1e999\"", MTL_ERROR_FORMAT, "a finite number"},
        {"encoder.layer_dropout\":\"0.1\"", "encoder.layer_dropout\":\"0x1p-3\"", MTL_ERROR_FORMAT, "a finite number"},
        {"encoder.layer_dropout\":\"0.1\"", "encoder.layer_dropout\":\"0,1\"", MTL_ERROR_FORMAT, "a finite number"},
        {"encoder.layer_dropout\":\"0.1\"", "encoder.layer_dropout\":\"1.5\"", MTL_ERROR_FORMAT, "layer_dropout"},
        {"encoder.kind\":\"lstm\"", "encoder.kind\":\"custom\"", MTL_ERROR_UNSUPPORTED, "custom"},
        {"encoder.kind\":\"lstm\"", "encoder.kind\":\"quantum\"", MTL_ERROR_UNSUPPORTED, "quantum"},
        {"encoder.kind\":\"lstm\"", "encoder.kond\":\"lstm\"", MTL_ERROR_FORMAT, "kind"},
        {"encoder.type\":\"encoder\"", "encoder.type\":\"head\"", MTL_ERROR_UNSUPPORTED, "kind 'lstm'"},
        {"encoder.type\":\"encoder\"", "encoder.type\":\"tail\"", MTL_ERROR_FORMAT, "neither an encoder nor a head"},
        {"topic.output_dim\":\"4\"", "topic.output_dim\":\"2147483647\"", MTL_ERROR_FORMAT, "more values"},
        {"topic.output_dim\":\"4\"", "topic.output_dim\":\"1\"", MTL_ERROR_FORMAT, "at least 2"},
        {"topic.in_dim\":\"8\"", "topic.in_dim\":\"99999999999\"", MTL_ERROR_FORMAT, "in_dim"},
        {"topic.activation\":\"2\"", "topic.activation\":\"9\"", MTL_ERROR_FORMAT, "activation"},
        {"mtl.format\":\"1\"", "mtl.format\":\"2\"", MTL_ERROR_UNSUPPORTED, "format '2'"},
        {"mtl.format\":\"1\"", "mtl.farmat\":\"1\"", MTL_ERROR_STATE, "no configuration"},
        {"mtl.modules\":\"encoder topic", "mtl.modules\":\"encoder  topic", MTL_ERROR_FORMAT, "not a list of names"},
        {"mtl.modules\":\"encoder topic", "mtl.modules\":\"encoder topic topic", MTL_ERROR_FORMAT, "'topic' is taken"},
        {"mtl.modules\":\"encoder topic", "mtl.modules\":\"encoder nobody", MTL_ERROR_FORMAT, "'nobody' is neither"},
        {"mtl.modules\":\"encoder topic", "mtl.modules\":\"../../x", MTL_ERROR_FORMAT, "neither"},
        {"mtl.modules\":\"encoder",
         "mtl.modules\":\"eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
         MTL_ERROR_FORMAT, "not a list of names"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *path = edit_header(f, cases[i].from, cases[i].to);
        mtl_context *context = test_context(); /* a new one, for its peak */
        mtl_checkpoint *checkpoint = NULL;
        mtl_model *restored = NULL;
        mtl_memory_info info;
        assert_ok(context, mtl_checkpoint_open(context, path, &checkpoint));
        mtl_status status = mtl_checkpoint_restore(checkpoint, &restored);
        if (cases[i].status == MTL_OK) {
            assert_ok(context, status);
        } else {
            assert_fails(context, status, cases[i].status, cases[i].says);
            assert_memory_equal(mtl_context_last_error(context), "mtl_checkpoint_restore: ", 24);
            assert_null(restored);
        }
        assert_ok(context, mtl_context_memory(context, &info));
        assert_true(info.peak_bytes < 4u << 20); /* 1 MiB of slack, the file's own size, and room */
        mtl_model_destroy(restored);
        mtl_checkpoint_close(checkpoint);
        mtl_context_release(context);
    }
}

/* Many modules, each of which asks for a little: the first one that the file does not hold ends it. */
static void test_many_greedy_modules(void **state)
{
    fixture *f = *state;
    enum { MODULES = 2000, ROOM = 400 };
    char *header = malloc(MODULES * ROOM + 100);
    size_t used = (size_t)sprintf(header, "{\"__metadata__\":{\"mtl.format\":\"1\",\"mtl.modules\":\"");
    for (int i = 0; i < MODULES; i++) {
        used += (size_t)sprintf(header + used, "%sm%d", i ? " " : "", i);
    }
    for (int i = 0; i < MODULES; i++) {
        used += (size_t)sprintf(header + used,
                                "\",\"mtl.module.m%d.type\":\"head\",\"mtl.module.m%d.kind\":\"regressor\","
                                "\"mtl.module.m%d.in_dim\":\"200000\",\"mtl.module.m%d.output_dim\":\"1\","
                                "\"mtl.module.m%d.hidden_dim\":\"0\",\"mtl.module.m%d.activation\":\"0\","
                                "\"mtl.module.m%d.dropout\":\"0",
                                i, i, i, i, i, i, i);
    }
    sprintf(header + used, "\"}}");
    const char *path = write_container(f, "greedy.safetensors", header, NULL, 0);
    free(header);
    mtl_checkpoint *checkpoint = open_checkpoint(f, path);
    mtl_model *restored = NULL;
    assert_fails(f->context, mtl_checkpoint_restore(checkpoint, &restored), MTL_ERROR_FORMAT,
                 "has no tensor 'm0.weight'");
    mtl_checkpoint_close(checkpoint);
    mtl_memory_info info;
    assert_ok(f->context, mtl_context_memory(f->context, &info));
    assert_true(info.peak_bytes < 8u << 20);
}

/* ---- the host's own encoder ---- */

static mtl_tensor *forward_nothing(void *user, mtl_encoder_call *call)
{
    (void)user;
    return mtl_encoder_call_inputs(call);
}

static mtl_model *custom_model(mtl_context *context)
{
    mtl_parameter_spec spec = {0};
    spec.name = "table";
    spec.ndim = 1;
    spec.shape[0] = 3;
    mtl_custom_encoder_options options = MTL_CUSTOM_ENCODER_OPTIONS_INIT;
    options.forward = forward_nothing;
    options.output_dim = 2;
    options.parameters = &spec;
    options.num_parameters = 1;
    mtl_model *model = NULL;
    mtl_encoder *encoder = NULL;
    assert_ok(context, mtl_encoder_create_custom(context, &options, &encoder));
    assert_ok(context, mtl_model_create(context, NULL, &model));
    assert_ok(context, mtl_model_add_encoder(model, "mine", encoder));
    mtl_encoder_release(encoder);
    return model;
}

static void test_custom_encoder(void **state)
{
    fixture *f = *state;
    mtl_model *model = custom_model(f->context);
    fill_values(model, 2.5f);
    assert_ok(f->context, mtl_model_save(model, f->path, NULL));
    fill_values(model, 0.0f);
    mtl_checkpoint *checkpoint = open_checkpoint(f, f->path);
    mtl_model *restored = NULL;
    assert_fails(f->context, mtl_checkpoint_restore(checkpoint, &restored), MTL_ERROR_UNSUPPORTED, "custom");
    assert_ok(f->context, mtl_checkpoint_load(checkpoint, model, NULL));
    expect_all(model, 2.5f);
    mtl_checkpoint_close(checkpoint);
    mtl_model_destroy(model);
}

/* ---- what the system refuses ---- */

static void test_full_disk(void **state)
{
    fixture *f = *state;
    size_t before;
    char *old = test_read_file(f->path, &before);
    fill_values(f->model, 7.0f);
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    struct rlimit small = {before / 2, limit.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    mtl_status status = mtl_model_save(f->model, f->path, NULL);
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_DFL);
    assert_fails(f->context, status, MTL_ERROR_IO, strerror(EFBIG));
    assert_non_null(strstr(mtl_context_last_error(f->context), f->path));
    size_t after;
    char *now = test_read_file(f->path, &after);
    assert_int_equal(before, after);
    assert_memory_equal(old, now, before);
    assert_int_equal(test_count_files(f->folder.path), 1);
    free(now);
    free(old);
}

static void test_paths_that_cannot_be(void **state)
{
    fixture *f = *state;
    mtl_context *c = f->context;
    mtl_checkpoint *checkpoint = NULL;
    const char *nowhere = test_path(&f->folder, "none/model");
    assert_fails(c, mtl_model_save(f->model, nowhere, NULL), MTL_ERROR_IO, nowhere);
    assert_fails(c, mtl_model_save(f->model, f->folder.path, NULL), MTL_ERROR_IO, "it is a folder");
    assert_fails(c, mtl_checkpoint_open(c, nowhere, &checkpoint), MTL_ERROR_IO, nowhere);
    assert_fails(c, mtl_checkpoint_open(c, f->folder.path, &checkpoint), MTL_ERROR_IO, "it is a folder");
    assert_null(checkpoint);
}

static void test_null_arguments(void **state)
{
    fixture *f = *state;
    mtl_context *c = f->context;
    mtl_checkpoint *checkpoint = NULL;
    mtl_vocabulary *vocabulary = NULL;
    mtl_model *model = NULL;
    assert_int_equal(mtl_model_save(NULL, f->path, NULL), MTL_ERROR_ARGUMENT);
    assert_fails(c, mtl_model_save(f->model, NULL, NULL), MTL_ERROR_ARGUMENT, "path is NULL");
    assert_fails(c, mtl_model_save(f->model, "", NULL), MTL_ERROR_ARGUMENT, "path is empty");
    assert_int_equal(mtl_checkpoint_open(NULL, f->path, &checkpoint), MTL_ERROR_ARGUMENT);
    assert_fails(c, mtl_checkpoint_open(c, NULL, &checkpoint), MTL_ERROR_ARGUMENT, "path is NULL");
    assert_fails(c, mtl_checkpoint_open(c, f->path, NULL), MTL_ERROR_ARGUMENT, "out is NULL");
    assert_null(mtl_checkpoint_metadata(NULL, "a"));
    assert_int_equal(mtl_checkpoint_num_tensors(NULL), 0);
    assert_null(mtl_checkpoint_tensor_name(NULL, 0));
    assert_int_equal(mtl_checkpoint_vocabulary(NULL, &vocabulary), MTL_ERROR_ARGUMENT);
    assert_int_equal(mtl_checkpoint_load(NULL, f->model, NULL), MTL_ERROR_ARGUMENT);
    assert_int_equal(mtl_checkpoint_restore(NULL, &model), MTL_ERROR_ARGUMENT);
    mtl_checkpoint_close(NULL);
    checkpoint = open_checkpoint(f, f->path);
    assert_null(mtl_checkpoint_metadata(checkpoint, NULL));
    assert_fails(c, mtl_checkpoint_vocabulary(checkpoint, NULL), MTL_ERROR_ARGUMENT, "out is NULL");
    assert_fails(c, mtl_checkpoint_load(checkpoint, NULL, NULL), MTL_ERROR_ARGUMENT, "model is NULL");
    assert_fails(c, mtl_checkpoint_restore(checkpoint, NULL), MTL_ERROR_ARGUMENT, "out is NULL");
    mtl_checkpoint_close(checkpoint);
}

static mtl_status whole_life(mtl_context *context, mtl_model *model, const char *path)
{
    mtl_checkpoint *checkpoint = NULL;
    mtl_model *restored = NULL;
    mtl_status status = mtl_model_save(model, path, NULL);
    if (status == MTL_OK) {
        status = mtl_checkpoint_open(context, path, &checkpoint);
    }
    if (status == MTL_OK) {
        status = mtl_checkpoint_load(checkpoint, model, NULL);
    }
    if (status == MTL_OK) {
        status = mtl_checkpoint_restore(checkpoint, &restored);
    }
    mtl_model_destroy(restored);
    mtl_checkpoint_close(checkpoint);
    return status;
}

static mtl_status life_scenario(mtl_context *context, void *user)
{
    mtl_model *model = NULL;
    mtl_status status = make_model(context, 2, &model);
    if (status == MTL_OK) {
        status = whole_life(context, model, user);
    }
    mtl_model_destroy(model);
    return status;
}

static void test_allocation_failures(void **state)
{
    fixture *f = *state;
    test_each_allocation_failing(life_scenario, (void *)f->path);
    assert_int_equal(test_count_files(f->folder.path), 1);
}

/* ---- the reference implementation ---- */

static void test_python_opens_and_writes(void **state)
{
    fixture *f = *state;
    char command[4 * TEST_PATH_SIZE];
    const char *keys[] = {"note"};
    const char *values[] = {"caf\xc3\xa9 \"\\\n"};
    mtl_save_options save = MTL_SAVE_OPTIONS_INIT;
    save.keys = keys;
    save.values = values;
    save.num_metadata = 1;
    assert_ok(f->context, mtl_model_save(f->model, f->path, &save));
    const char *back = test_path(&f->folder, "python.safetensors");
    const char *output = test_path(&f->folder, "output");
    snprintf(command, sizeof command, "python3 '%s/golden/safetensors_roundtrip.py' '%s' '%s' > '%s' 2>&1",
             MTL_TEST_SOURCE_DIR, f->path, back, output);
    int result = system(command);
    char *printed = test_read_file(output, NULL);
    if (WIFEXITED(result) && (WEXITSTATUS(result) == 77 || WEXITSTATUS(result) == 127)) {
        print_message("skipped: needs python3 with safetensors and numpy: %s\n", printed);
        free(printed);
        skip();
    }
    if (result != 0) {
        fail_msg("%s: %s", command, printed);
    }
    assert_non_null(strstr(printed, "tensor encoder.embedding.weight float32 7x3 "));
    assert_non_null(strstr(printed, "tensor encoder.lstm.weight_hh_l1_reverse float32 16x4 "));
    assert_non_null(strstr(printed, "tensor price.bias float32 1 "));
    assert_non_null(strstr(printed, "metadata mtl.modules 'encoder topic tags price'\n"));
    assert_non_null(strstr(printed, "metadata note 'caf\xc3\xa9 \"\\\\\\n'\n"));
    free(printed);
    float before[MAX_VALUES];
    float after[MAX_VALUES];
    size_t count = read_values(f->model, before);
    mtl_checkpoint *checkpoint = open_checkpoint(f, back);
    assert_string_equal(mtl_checkpoint_metadata(checkpoint, "writer"), "Python \xc3\xa9\xf0\x9f\x98\x80");
    mtl_load_options load = MTL_LOAD_OPTIONS_INIT;
    load.allow_extra = 0;
    assert_ok(f->context, mtl_checkpoint_load(checkpoint, f->model, &load));
    assert_int_equal(read_values(f->model, after), count);
    for (size_t i = 0; i < count; i++) {
        assert_true(after[i] == -before[i]);
    }
    mtl_checkpoint_close(checkpoint);
}

/* Weights as PyTorch saves them, and the logits that it computes from them in double precision. */
static void test_weights_from_pytorch(void **state)
{
    fixture *f = *state;
    mtl_lstm_options options = MTL_LSTM_OPTIONS_INIT;
    options.vocabulary_size = 7;
    options.embedding_dim = 3;
    options.hidden_dim = 4;
    options.num_layers = 2;
    options.bidirectional = 1;
    mtl_encoder *encoder = NULL;
    mtl_model *model = NULL;
    assert_ok(f->context, mtl_model_create(f->context, NULL, &model));
    assert_ok(f->context, mtl_encoder_create_lstm(f->context, &options, &encoder));
    assert_ok(f->context, mtl_model_add_encoder(model, "encoder", encoder));
    assert_ok(f->context, add_head(f->context, model, "topic", MTL_HEAD_CLASSIFIER, 8, 2));
    mtl_encoder_release(encoder);
    mtl_checkpoint *checkpoint = open_checkpoint(f, MTL_TEST_SOURCE_DIR "/golden/torch_checkpoint.safetensors");
    mtl_load_options load = MTL_LOAD_OPTIONS_INIT;
    load.allow_extra = 0;
    assert_ok(f->context, mtl_checkpoint_load(checkpoint, model, &load));

    const int64_t offsets[] = {0, 3, 4, 9};
    const int32_t ids[] = {2, 3, 4, 6, 1, 2, 5, 5, 3};
    mtl_tape *tape = NULL;
    mtl_tensor *input = NULL;
    float logits[6];
    assert_ok(f->context, mtl_tape_create(f->context, NULL, &tape));
    assert_ok(f->context, mtl_tensor_create_ragged(f->context, 3, offsets, ids, &input));
    mtl_tensor *h = mtl_encoder_forward(mtl_model_encoder(model, "encoder"), tape, input);
    assert_ok(f->context, mtl_tensor_read(mtl_head_forward(mtl_model_head(model, "topic"), tape, h), MTL_FLOAT32,
                                          logits, 6));
    const char *expected = mtl_checkpoint_metadata(checkpoint, "expected");
    for (int i = 0; i < 6; i++) {
        char *end;
        double value = strtod(expected, &end);
        assert_true(end != expected);
        expected = end;
        /* Each of 2 layers * 5 steps sums at most 3 + 4 + 2 or 8 + 4 + 2 products per gate and passes four functions of
         * at most 3 units each: 26 roundings of half an epsilon on values of at most 1, and the head sums 9 more. */
        assert_near(logits[i], value, (2 * 5 * 26 + 9) * 0.5 * 1.2e-7);
    }
    mtl_tensor_release(input);
    mtl_tape_destroy(tape);
    mtl_checkpoint_close(checkpoint);
    mtl_model_destroy(model);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_restores_the_same_model),
        CASE(test_loads_into_an_assembled_model),
        CASE(test_every_bit_survives),
        CASE(test_empty_model),
        CASE(test_checkpoint_outlives_its_context),
        CASE(test_vocabulary),
        CASE(test_no_vocabulary),
        CASE(test_metadata_of_the_host),
        CASE(test_metadata_that_is_refused),
        CASE(test_missing_tensor),
        CASE(test_reserved_tensors_are_left_out),
        CASE(test_other_shape),
        CASE(test_other_dtypes),
        CASE(test_truncated_anywhere),
        CASE(test_never_half_loaded),
        CASE(test_hostile_configurations),
        CASE(test_many_greedy_modules),
        CASE(test_custom_encoder),
        CASE(test_full_disk),
        CASE(test_paths_that_cannot_be),
        CASE(test_null_arguments),
        CASE(test_allocation_failures),
        CASE(test_python_opens_and_writes),
        CASE(test_weights_from_pytorch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
