/* SPDX-License-Identifier: Apache-2.0
 * Checksums in safetensors files: found by name, verified for every type, read as text that may be anything. */
#include "support/support.h"

#include "io/crc32.h"
#include "io/safetensors.h"

typedef struct fixture {
    mtl_context *context;
    test_folder folder;
    char path[TEST_PATH_SIZE];
} fixture;

static int set_up(void **state)
{
    static fixture f;
    f.context = test_context();
    test_folder_create(&f.folder);
    snprintf(f.path, sizeof f.path, "%s", test_path(&f.folder, "file"));
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    mtl_memory_info info;
    assert_ok(f->context, mtl_context_memory(f->context, &info));
    assert_int_equal(info.blocks, 1);
    mtl_context_release(f->context);
    test_folder_remove(&f->folder);
    return 0;
}

static void write_file(fixture *f, const mtli_safetensors_tensor *tensors, size_t count,
                       const mtli_safetensors_pair *pairs, size_t num_pairs)
{
    mtli_atomic_file *file = NULL;
    assert_ok(f->context, mtli_atomic_file_open(f->context, f->path, &file));
    assert_ok(f->context, mtli_safetensors_write(f->context, file, tensors, count, pairs, num_pairs));
    assert_ok(f->context, mtli_atomic_file_commit(file));
}

static void flip_last_bit(const fixture *f)
{
    size_t size;
    char *bytes = test_read_file(f->path, &size);
    FILE *file = fopen(f->path, "wb");
    assert_non_null(file);
    bytes[size - 1] ^= 1;
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    free(bytes);
}

/* ---- tests ---- */

enum { VALUES = 10000, BYTES = VALUES * 8 }; /* more than one chunk of the conversion, which has 16384 bytes */

static const mtli_safetensors_dtype real_dtypes[] = {MTLI_SAFETENSORS_F16, MTLI_SAFETENSORS_BF16, MTLI_SAFETENSORS_F32,
                                                     MTLI_SAFETENSORS_F64};

static void test_every_real_type(void **state)
{
    fixture *f = *state;
    static const int64_t dims[] = {VALUES};
    unsigned char *data = malloc(BYTES);
    mtli_real *values = malloc(VALUES * sizeof values[0]);
    for (size_t i = 0; i < BYTES; i++) {
        data[i] = (unsigned char)(i % 61); /* small numbers in every type */
    }
    for (size_t i = 0; i < sizeof real_dtypes / sizeof real_dtypes[0]; i++) {
        char text[MTLI_CHECKSUM_TEXT];
        const mtli_safetensors_tensor tensor = {"t", real_dtypes[i], 1, dims, data};
        const mtli_safetensors_pair pair = {MTLI_CHECKSUM_OF_TENSOR "t", text};
        mtli_safetensors *file = NULL;
        mtli_safetensors_checksum_text(mtli_safetensors_checksum(&tensor), text);
        write_file(f, &tensor, 1, &pair, 1);
        assert_ok(f->context, mtli_safetensors_open(f->context, f->path, &file));
        assert_ok(f->context, mtli_safetensors_read_real(file, mtli_safetensors_find(file, "t"), values));
        assert_ok(f->context, mtli_safetensors_read_bytes(file, mtli_safetensors_find(file, "t"), data));
        mtli_safetensors_close(file);
        flip_last_bit(f);
        assert_ok(f->context, mtli_safetensors_open(f->context, f->path, &file));
        assert_fails(f->context, mtli_safetensors_read_real(file, mtli_safetensors_find(file, "t"), values),
                     MTL_ERROR_FORMAT, "tensor 't' is damaged");
        mtli_safetensors_close(file);
    }
    free(values);
    free(data);
}

/* The bytes in the file are the same on every host, and so is what is computed of them before they are written. */
static void test_bytes_of_the_file(void **state)
{
    (void)state;
    static const int64_t dims[] = {1};
    static const double one[] = {1.0}; /* 0x3FF0000000000000 */
    static const unsigned char stored[] = {0, 0, 0, 0, 0, 0, 0xF0, 0x3F};
    const mtli_safetensors_tensor tensor = {"t", MTLI_SAFETENSORS_F64, 1, dims, one};
    assert_int_equal(mtli_safetensors_checksum(&tensor), mtli_crc32(0, stored, sizeof stored));
}

/* Keys that lie close to each other in the order of strings; "c" has none. */
static void test_found_by_name(void **state)
{
    fixture *f = *state;
    static const int64_t dims[] = {1};
    static const unsigned char bytes[] = {1, 2, 3, 4, 5};
    const char *const names[] = {"a", "a.b", "a-b", "", "c"};
    char keys[4][40], texts[4][MTLI_CHECKSUM_TEXT];
    mtli_safetensors_tensor tensors[5];
    mtli_safetensors_pair pairs[7] = {{"mtl.checksun.a", "x"}, {"mtl", "y"}, {"zebra", "z"}};
    mtli_safetensors *file = NULL;
    for (int i = 0; i < 5; i++) {
        tensors[i] = (mtli_safetensors_tensor){names[i], MTLI_SAFETENSORS_U8, 1, dims, bytes + i};
        if (i < 4) {
            snprintf(keys[i], sizeof keys[i], MTLI_CHECKSUM_OF_TENSOR "%s", names[i]);
            mtli_safetensors_checksum_text(mtli_crc32(0, bytes + i, 1), texts[i]);
            pairs[3 + i] = (mtli_safetensors_pair){keys[i], texts[i]};
        }
    }
    write_file(f, tensors, 5, pairs, 7);
    assert_ok(f->context, mtli_safetensors_open(f->context, f->path, &file));
    for (int i = 0; i < 5; i++) {
        const mtli_safetensors_entry *entry = mtli_safetensors_find(file, names[i]);
        assert_ok(f->context, mtli_safetensors_verify(file, entry, mtli_crc32(0, bytes + i, 1)));
        mtl_status other = mtli_safetensors_verify(file, entry, 0);
        assert_int_equal(other, i < 4 ? MTL_ERROR_FORMAT : MTL_OK);
    }
    mtli_safetensors_close(file);
}

static void test_text_that_is_no_checksum(void **state)
{
    fixture *f = *state;
    static const int64_t dims[] = {9};
    static const char bytes[] = "123456789"; /* cbf43926 */
    const char *const texts[] = {"", "cbf4392", "cbf439260", "CBF43926", "0xcbf43926", "\n\x1b[2J"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const mtli_safetensors_tensor tensor = {"t", MTLI_SAFETENSORS_U8, 1, dims, bytes};
        const mtli_safetensors_pair pairs[] = {{MTLI_CHECKSUM_OF_TENSOR "t", texts[i]},
                                               {MTLI_CHECKSUM_OF_METADATA, texts[i]}};
        char read[9];
        mtli_safetensors *file = NULL;
        write_file(f, &tensor, 1, pairs, 2);
        assert_ok(f->context, mtli_safetensors_open(f->context, f->path, &file));
        assert_fails(f->context, mtli_safetensors_read_bytes(file, &file->entries[0], read), MTL_ERROR_FORMAT,
                     "its checksum is cbf43926, not ");
        assert_null(strchr(mtl_context_last_error(f->context), '\x1b'));
        assert_fails(f->context, mtli_safetensors_verify_metadata(file), MTL_ERROR_FORMAT, "the metadata is damaged");
        mtli_safetensors_close(file);
    }
}

static void test_metadata(void **state)
{
    (void)state;
    const mtli_safetensors_pair pairs[] = {{"mtl.a", "b"}, {"mtl.c", "d"}, {"host", "x"}, {"mtl.checksum", "y"}};
    const mtli_safetensors_pair turned[] = {{"mtl.c", "d"}, {"mtl.a", "b"}, {"host", "other"}};
    const mtli_safetensors_pair swapped[] = {{"mtl.a", "d"}, {"mtl.c", "b"}};
    const mtli_safetensors_pair moved[] = {{"mtl.ab", ""}, {"mtl.c", "d"}};
    uint32_t sum = mtli_safetensors_checksum_metadata(pairs, 4);
    assert_int_equal(sum, (uint32_t)(mtli_crc32(0, "mtl.a\0b", 8) + mtli_crc32(0, "mtl.c\0d", 8)));
    assert_int_equal(mtli_safetensors_checksum_metadata(turned, 3), sum);
    assert_int_not_equal(mtli_safetensors_checksum_metadata(swapped, 2), sum);
    assert_int_not_equal(mtli_safetensors_checksum_metadata(moved, 2), sum);
    assert_int_not_equal(mtli_safetensors_checksum_metadata(pairs, 1), sum);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_every_real_type),          CASE(test_bytes_of_the_file),    CASE(test_found_by_name),
        CASE(test_text_that_is_no_checksum), cmocka_unit_test(test_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
