/* SPDX-License-Identifier: Apache-2.0
 * Damage inside a saved file: every bit of the weights, every byte of the header and of the state of training. Nothing
 * damaged is loaded in silence, and files without checksums load as ever. */
#include "checksums.h"
#include "resumed_run.h"
#include "support/support.h"

#include <ctype.h>

#include <mtl/mtl.h>

typedef struct fixture {
    mtl_context *context;
    test_folder folder;
    resumed_run run;
    char path[TEST_PATH_SIZE]; /* of the damaged file */
    char *good;
    size_t size;
    size_t header; /* its bytes; the data begins at 8 + header */
} fixture;

static void write_damaged(const fixture *f, const char *bytes)
{
    FILE *file = fopen(f->path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, f->size, file), f->size);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    static fixture f;
    memset(&f, 0, sizeof f);
    resumed_plan plan = resumed_plan_usual();
    plan.method = MTL_BALANCE_MOCO;
    test_folder_create(&f.folder);
    snprintf(f.path, sizeof f.path, "%s", test_path(&f.folder, "run.safetensors"));
    f.context = test_context();
    assert_ok(f.context, resumed_run_create(f.context, &plan, &f.run));
    assert_ok(f.context, resumed_run_steps(&f.run, 0, 2));
    assert_ok(f.context, resumed_run_save(&f.run, f.path));
    f.good = test_read_file(f.path, &f.size);
    for (int i = 7; i >= 0; i--) {
        f.header = f.header << 8 | (unsigned char)f.good[i];
    }
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    mtl_memory_info info;
    resumed_run_destroy(&f->run);
    assert_ok(f->context, mtl_context_memory(f->context, &info));
    assert_int_equal(info.blocks, 1);
    mtl_context_release(f->context);
    test_folder_remove(&f->folder);
    free(f->good);
    return 0;
}

/* The name of the tensor whose data has the byte at `position` of the file; its size. */
static size_t tensor_at(const fixture *f, size_t position, char name[200])
{
    size_t begin, end;
    const char *at = f->good + 8;
    while ((at = strstr(at, "\"data_offsets\":["))) {
        assert_int_equal(sscanf(at, "\"data_offsets\":[%zu,%zu]", &begin, &end), 2);
        if (position - 8 - f->header >= begin && position - 8 - f->header < end) {
            break;
        }
        at++;
    }
    assert_non_null(at);
    while (memcmp(at, "\":{\"dtype\"", 10) != 0) {
        at--;
    }
    const char *from = at;
    while (from[-1] != '"') {
        from--;
    }
    snprintf(name, 200, "tensor '%.*s' is damaged", (int)(at - from), from);
    return end - begin;
}

static mtl_status load_weights(fixture *f)
{
    mtl_checkpoint *checkpoint = NULL;
    mtl_status status = mtl_checkpoint_open(f->context, f->path, &checkpoint);
    if (status == MTL_OK) {
        status = mtl_checkpoint_load(checkpoint, f->run.model, NULL);
    }
    mtl_checkpoint_close(checkpoint);
    return status;
}

/* ---- tests ---- */

static void test_every_tensor_is_verified(void **state)
{
    fixture *f = *state;
    size_t tensors = 0;
    unsigned random = 1;
    for (size_t position = 8 + f->header; position < f->size;) {
        char says[200];
        size_t size = tensor_at(f, position, says);
        random = random * 1664525u + 1013904223u;
        size_t at = position + (random >> 8) % size;
        char kept = f->good[at];
        f->good[at] = (char)(kept ^ 1 << (random >> 5) % 8);
        write_damaged(f, f->good);
        f->good[at] = kept;
        assert_fails(f->context, resumed_run_load(&f->run, f->path), MTL_ERROR_FORMAT, says);
        bool weight = !strstr(says, "'mtl.training.");
        mtl_status status = load_weights(f);
        assert_int_equal(status, weight ? MTL_ERROR_FORMAT : MTL_OK); /* what is not read is not verified */
        position += size;
        tensors++;
    }
    assert_true(tensors > 20);
    write_damaged(f, f->good);
    assert_ok(f->context, resumed_run_load(&f->run, f->path));
}

static void test_every_bit_of_one_tensor(void **state)
{
    fixture *f = *state;
    char says[200];
    size_t position = 8 + f->header;
    size_t size = tensor_at(f, position, says);
    while (strstr(says, "'mtl.training.")) {
        position += size;
        size = tensor_at(f, position, says);
    }
    for (size_t bit = 0; bit < 8 * size && bit < 1024; bit++) {
        f->good[position + bit / 8] ^= (char)(1 << bit % 8);
        write_damaged(f, f->good);
        f->good[position + bit / 8] ^= (char)(1 << bit % 8);
        assert_fails(f->context, load_weights(f), MTL_ERROR_FORMAT, says);
    }
}

/* Every byte of the header. Nothing of it is the host's own, so that only these may pass: the names of checksums
 * themselves, when all else is whole; their sum is the last pair. */
static void test_every_byte_of_the_header(void **state)
{
    fixture *f = *state;
    const char *sum = strstr(f->good + 8, "\"mtl.checksum\":\"");
    assert_non_null(sum);
    size_t sum_at = (size_t)(sum - f->good);
    for (size_t at = 0; at < 8 + f->header; at++) {
        char kept = f->good[at];
        f->good[at] = (char)(kept ^ 1);
        write_damaged(f, f->good);
        f->good[at] = kept;
        mtl_status status = resumed_run_load(&f->run, f->path);
        bool key = at > sum_at && at <= sum_at + strlen("mtl.checksum");
        if (key || isspace((unsigned char)kept)) {
            continue; /* renamed, it is a pair of the host's; and padding may be refused or not */
        }
        assert_int_not_equal(status, MTL_OK);
    }
}

static void test_files_without_checksums(void **state)
{
    fixture *f = *state;
    forget_checksums(f->good + 8, f->header);
    write_damaged(f, f->good);
    assert_ok(f->context, resumed_run_load(&f->run, f->path));
    assert_ok(f->context, load_weights(f));
}

static void test_checksums_are_the_librarys(void **state)
{
    fixture *f = *state;
    const char *const keys[] = {"mtl.checksum"};
    const char *const values[] = {"00000000"};
    mtl_save_options options = MTL_SAVE_OPTIONS_INIT;
    options.keys = keys;
    options.values = values;
    options.num_metadata = 1;
    assert_fails(f->context, mtl_model_save(f->run.model, f->path, &options), MTL_ERROR_ARGUMENT, "mtl.checksum");
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_every_tensor_is_verified), CASE(test_every_bit_of_one_tensor),    CASE(test_every_byte_of_the_header),
        CASE(test_files_without_checksums),  CASE(test_checksums_are_the_librarys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
