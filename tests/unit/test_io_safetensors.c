/* SPDX-License-Identifier: Apache-2.0
 * The safetensors container: the bytes that are written, every way in which a header can be wrong, the conversions. */
#include "support/support.h"

#include <math.h>

#include "io/heapsort.h"
#include "io/safetensors.h"

typedef struct fixture {
    mtl_context *context;
    test_folder folder;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    f.context = test_context();
    test_folder_create(&f.folder);
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

/* A file of a header as it is and `data_size` bytes 0, 1, 2, ... */
static const char *make_file(fixture *f, const char *header, size_t data_size)
{
    size_t length = strlen(header);
    unsigned char *bytes = malloc(8 + length + data_size);
    for (int i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)((uint64_t)length >> (8 * i));
    }
    memcpy(bytes + 8, header, length);
    for (size_t i = 0; i < data_size; i++) {
        bytes[8 + length + i] = (unsigned char)i;
    }
    const char *path = test_write(&f->folder, "file.safetensors", bytes, 8 + length + data_size);
    free(bytes);
    return path;
}

static mtl_status write_to(mtl_context *context, const char *path, const mtli_safetensors_tensor *tensors, size_t count,
                           const mtli_safetensors_pair *pairs, size_t num_pairs)
{
    mtli_atomic_file *file = NULL;
    mtl_status status = mtli_atomic_file_open(context, path, &file);
    if (status != MTL_OK) {
        return status;
    }
    status = mtli_safetensors_write(context, file, tensors, count, pairs, num_pairs);
    if (status != MTL_OK) {
        mtli_atomic_file_abort(file);
        return status;
    }
    return mtli_atomic_file_commit(file);
}

/* ---- writing ---- */

static const float sample_f32[] = {1.0f, -2.0f, 0.5f};
static const double sample_f64[] = {1.5};
static const unsigned char sample_u8[] = {7, 8, 9};
static const int64_t dims_3[] = {3};
static const int64_t dims_1_3[] = {1, 3};
static const int64_t dims_0[] = {0, 5};

static const mtli_safetensors_tensor sample_tensors[] = {
    {"bytes", MTLI_SAFETENSORS_U8, 1, dims_3, sample_u8},
    {"a.weight", MTLI_SAFETENSORS_F32, 2, dims_1_3, sample_f32},
    {"scalar", MTLI_SAFETENSORS_F64, 0, NULL, sample_f64},
    {"empty", MTLI_SAFETENSORS_F32, 2, dims_0, NULL},
};

static const mtli_safetensors_pair sample_pairs[] = {{"zebra", "last \"quoted\"\n"}, {"apple", "\xc3\xa9"}};

static const char sample_header[] =
    "{\"__metadata__\":{\"zebra\":\"last \\\"quoted\\\"\\n\",\"apple\":\"\xc3\xa9\"},"
    "\"scalar\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]},"
    "\"a.weight\":{\"dtype\":\"F32\",\"shape\":[1,3],\"data_offsets\":[8,20]},"
    "\"empty\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[20,20]},"
    "\"bytes\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[20,23]}}";

static const unsigned char sample_data[] = {0, 0, 0,    0,    0, 0,    0xf8, 0x3f, 0, 0, 0x80, 0x3f,
                                            0, 0, 0,    0xc0, 0, 0,    0,    0x3f, 7, 8, 9};

static void test_written_bytes(void **state)
{
    fixture *f = *state;
    const char *path = test_path(&f->folder, "file");
    assert_ok(f->context, write_to(f->context, path, sample_tensors, 4, sample_pairs, 2));
    size_t size;
    unsigned char *bytes = (unsigned char *)test_read_file(path, &size);
    size_t header = strlen(sample_header);
    size_t padded = (header + 7) / 8 * 8;
    assert_int_equal(size, 8 + padded + sizeof sample_data);
    assert_int_equal(bytes[0] + 256 * bytes[1], padded);
    for (int i = 2; i < 8; i++) {
        assert_int_equal(bytes[i], 0);
    }
    assert_memory_equal(bytes + 8, sample_header, header);
    for (size_t i = header; i < padded; i++) {
        assert_int_equal(bytes[8 + i], ' ');
    }
    assert_memory_equal(bytes + 8 + padded, sample_data, sizeof sample_data);
    free(bytes);
}

static void test_reads_what_it_writes(void **state)
{
    fixture *f = *state;
    const char *path = test_path(&f->folder, "file");
    assert_ok(f->context, write_to(f->context, path, sample_tensors, 4, sample_pairs, 2));
    mtli_safetensors *file = NULL;
    assert_ok(f->context, mtli_safetensors_open(f->context, path, &file));
    assert_int_equal(file->count, 4);
    assert_string_equal(file->entries[0].name, "scalar");
    assert_string_equal(file->entries[1].name, "a.weight");
    assert_string_equal(file->entries[2].name, "empty");
    assert_string_equal(file->entries[3].name, "bytes");
    assert_string_equal(mtli_safetensors_metadata(file, "zebra"), "last \"quoted\"\n");
    assert_string_equal(mtli_safetensors_metadata(file, "apple"), "\xc3\xa9");
    assert_null(mtli_safetensors_metadata(file, "pear"));
    assert_null(mtli_safetensors_find(file, "weight"));
    mtli_real values[3];
    const mtli_safetensors_entry *entry = mtli_safetensors_find(file, "a.weight");
    assert_int_equal(mtli_safetensors_size(file, entry), 3);
    assert_ok(f->context, mtli_safetensors_read_real(file, entry, values));
    assert_true(values[0] == 1 && values[1] == -2 && values[2] == (mtli_real)0.5);
    entry = mtli_safetensors_find(file, "scalar");
    assert_int_equal(mtli_safetensors_size(file, entry), 1);
    assert_ok(f->context, mtli_safetensors_read_real(file, entry, values));
    assert_true(values[0] == (mtli_real)1.5);
    entry = mtli_safetensors_find(file, "empty");
    assert_int_equal(mtli_safetensors_size(file, entry), 0);
    assert_ok(f->context, mtli_safetensors_read_real(file, entry, values));
    entry = mtli_safetensors_find(file, "bytes");
    assert_fails(f->context, mtli_safetensors_read_real(file, entry, values), MTL_ERROR_DTYPE, "'bytes' is U8");
    mtli_safetensors_close(file);
    mtli_safetensors_close(NULL);
}

static void test_refuses_to_write(void **state)
{
    fixture *f = *state;
    char path[TEST_PATH_SIZE];
    snprintf(path, sizeof path, "%s", test_write_text(&f->folder, "file", "old"));
    const mtli_safetensors_tensor twice[] = {sample_tensors[0], sample_tensors[1], sample_tensors[0]};
    const mtli_safetensors_tensor bad_name[] = {{"\xff", MTLI_SAFETENSORS_F32, 1, dims_3, sample_f32}};
    const mtli_safetensors_tensor reserved[] = {{"__metadata__", MTLI_SAFETENSORS_F32, 1, dims_3, sample_f32}};
    const mtli_safetensors_pair bad_key[] = {{"a\xc3", "x"}};
    const mtli_safetensors_pair bad_value[] = {{"key", "\xed\xa0\x80"}};
    const mtli_safetensors_pair same_key[] = {{"key", "1"}, {"other", ""}, {"key", "2"}};
    mtl_context *c = f->context;
    assert_fails(c, write_to(c, path, twice, 3, NULL, 0), MTL_ERROR_ARGUMENT, "'bytes' occurs twice");
    assert_fails(c, write_to(c, path, bad_name, 1, NULL, 0), MTL_ERROR_ARGUMENT, "'?' is not UTF-8");
    assert_fails(c, write_to(c, path, reserved, 1, NULL, 0), MTL_ERROR_ARGUMENT, "__metadata__");
    assert_fails(c, write_to(c, path, NULL, 0, bad_key, 1), MTL_ERROR_ARGUMENT, "'a?' is not UTF-8");
    assert_fails(c, write_to(c, path, NULL, 0, bad_value, 1), MTL_ERROR_ARGUMENT, "'key' is not UTF-8");
    assert_fails(c, write_to(c, path, NULL, 0, same_key, 3), MTL_ERROR_ARGUMENT, "'key' occurs twice");
    char *text = test_read_file(path, NULL);
    assert_string_equal(text, "old");
    free(text);
    assert_int_equal(test_count_files(f->folder.path), 1);
    assert_ok(c, write_to(c, path, NULL, 0, NULL, 0)); /* nothing at all is a file too */
    mtli_safetensors *file = NULL;
    assert_ok(c, mtli_safetensors_open(c, path, &file));
    assert_int_equal(file->count, 0);
    assert_null(mtli_safetensors_find(file, "a"));
    mtli_safetensors_close(file);
}

static void test_header_that_is_too_long(void **state)
{
    fixture *f = *state;
    size_t size = MTLI_SAFETENSORS_MAX_HEADER;
    char *value = malloc(size + 1);
    memset(value, 'x', size);
    value[size] = '\0';
    const mtli_safetensors_pair pair = {"key", value};
    const char *path = test_path(&f->folder, "file");
    assert_fails(f->context, write_to(f->context, path, NULL, 0, &pair, 1), MTL_ERROR_LIMIT, "more than 100000000");
    assert_int_equal(test_count_files(f->folder.path), 0);
    free(value);
}

/* ---- reading ---- */

#define TENSOR(fields) "{\"t\":{" fields "}}"
#define GOOD_DTYPE "\"dtype\":\"F32\""
#define GOOD_SHAPE "\"shape\":[2]"
#define GOOD_OFFSETS "\"data_offsets\":[0,8]"
#define TWO(a, b) "{\"t\":" a ",\"u\":" b "}"
#define F32_2(begin, end) "{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[" begin "," end "]}"
#define U8(n, begin, end) "{\"dtype\":\"U8\",\"shape\":[" n "],\"data_offsets\":[" begin "," end "]}"

static void test_malformed_headers(void **state)
{
    fixture *f = *state;
    const struct {
        const char *header;
        size_t data;
        const char *says;
    } cases[] = {
        {"", 0, "does not begin with '{'"},
        {" {}", 0, "does not begin with '{'"},
        {"[]", 0, "does not begin with '{'"},
        {"{", 0, "a key is missing"},
        {"{}x", 0, "something follows"},
        {"{\"t\":1}", 0, "an object expected"},
        {"{\"t\":{\"dtype\":\"F32\"", 0, "header, byte 19"},
        {TENSOR(GOOD_DTYPE "," GOOD_SHAPE), 8, "'t': dtype, shape or data_offsets is missing"},
        {TENSOR(GOOD_DTYPE "," GOOD_OFFSETS), 8, "is missing"},
        {TENSOR(GOOD_SHAPE "," GOOD_OFFSETS), 8, "is missing"},
        {TENSOR(GOOD_DTYPE "," GOOD_DTYPE "," GOOD_SHAPE "," GOOD_OFFSETS), 8, "a field occurs twice"},
        {TENSOR(GOOD_DTYPE "," GOOD_SHAPE "," GOOD_OFFSETS ",\"scale\":2"), 8, "unknown field"},
        {TENSOR("\"dtype\":\"F33\"," GOOD_SHAPE "," GOOD_OFFSETS), 8, "'t': its dtype is unknown"},
        {TENSOR("\"dtype\":\"f32\"," GOOD_SHAPE "," GOOD_OFFSETS), 8, "its dtype is unknown"},
        {TENSOR("\"dtype\":32," GOOD_SHAPE "," GOOD_OFFSETS), 8, "a string expected"},
        {TENSOR(GOOD_DTYPE ",\"shape\":2," GOOD_OFFSETS), 8, "an array expected"},
        {TENSOR(GOOD_DTYPE ",\"shape\":[2.0]," GOOD_OFFSETS), 8, "a size expected"},
        {TENSOR(GOOD_DTYPE ",\"shape\":[-2]," GOOD_OFFSETS), 8, "a size expected"},
        {TENSOR(GOOD_DTYPE ",\"shape\":[\"2\"]," GOOD_OFFSETS), 8, "a size expected"},
        {TENSOR(GOOD_DTYPE ",\"shape\":[9223372036854775808]," GOOD_OFFSETS), 8, "a size expected"},
        {TENSOR(GOOD_DTYPE ",\"shape\":[4294967296,4294967296]," GOOD_OFFSETS), 8, "its shape overflows"},
        {TENSOR(GOOD_DTYPE ",\"shape\":[9223372036854775807,2,0]," GOOD_OFFSETS), 8, "its shape overflows"},
        {TENSOR(GOOD_DTYPE ",\"shape\":[4611686018427387904]," GOOD_OFFSETS), 8, "its shape overflows"},
        {TENSOR(GOOD_DTYPE ",\"shape\":[3]," GOOD_OFFSETS), 8, "has 8 bytes, its shape asks for 12"},
        {TENSOR(GOOD_DTYPE ",\"shape\":[1]," GOOD_OFFSETS), 8, "asks for 4"},
        {TENSOR(GOOD_DTYPE ",\"shape\":[]," GOOD_OFFSETS), 8, "asks for 4"},
        {TENSOR("\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]"), 1, "not a whole number of bytes"},
        {TENSOR(GOOD_DTYPE "," GOOD_SHAPE ",\"data_offsets\":[0]"), 8, "an offset expected"},
        {TENSOR(GOOD_DTYPE "," GOOD_SHAPE ",\"data_offsets\":[0,8,8]"), 8, "two offsets expected"},
        {TENSOR(GOOD_DTYPE "," GOOD_SHAPE ",\"data_offsets\":[-8,0]"), 8, "an offset expected"},
        {TENSOR(GOOD_DTYPE "," GOOD_SHAPE ",\"data_offsets\":[8,0]"), 8, "[8, 0] lie outside"},
        {TENSOR(GOOD_DTYPE "," GOOD_SHAPE ",\"data_offsets\":[0,8]"), 7, "lie outside of the 7 bytes"},
        {TENSOR(GOOD_DTYPE "," GOOD_SHAPE ",\"data_offsets\":[4,12]"), 12, "there is a hole before its data"},
        {TENSOR(GOOD_DTYPE "," GOOD_SHAPE "," GOOD_OFFSETS), 9, "cover 8 bytes, the file has 9"},
        {"{}", 1, "cover 0 bytes, the file has 1"},
        {TWO(F32_2("0", "8"), F32_2("4", "12")), 12, "'u': its data overlaps"},
        {TWO(F32_2("0", "8"), F32_2("0", "8")), 8, "its data overlaps"},
        {TWO(F32_2("0", "8"), F32_2("12", "20")), 20, "'u': there is a hole"},
        {TWO(U8("8", "0", "8"), U8("0", "3", "3")), 8, "'u': its data overlaps"},
        {"{\"t\":" U8("4", "0", "4") ",\"t\":" U8("4", "4", "8") "}", 8, "'t': the name occurs twice"},
        {"{\"t\":" U8("4", "0", "4") ",\"\\u0074\":" U8("4", "4", "8") "}", 8, "'t': the name occurs twice"},
        {"{\"a\\u0000b\":" U8("4", "0", "4") "}", 4, "without a zero byte"},
        {"{\"__metadata__\":[]}", 0, "an object expected"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "a string expected"},
        {"{\"__metadata__\":{\"a\":{\"b\":\"c\"}}}", 0, "a string expected"},
        {"{\"__metadata__\":{\"a\":\"\\u0000\"}}", 0, "without a zero byte"},
        {"{\"__metadata__\":{\"a\":\"1\",\"b\":\"2\",\"a\":\"3\"}}", 0, "'a' occurs twice"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__ occurs twice"},
        {"{\"\xff\":1}", 0, "invalid UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *path = make_file(f, cases[i].header, cases[i].data);
        mtli_safetensors *file = NULL;
        assert_fails(f->context, mtli_safetensors_open(f->context, path, &file), MTL_ERROR_FORMAT, cases[i].says);
        assert_non_null(strstr(mtl_context_last_error(f->context), path));
        assert_null(file);
    }
}

static void test_accepted_headers(void **state)
{
    fixture *f = *state;
    const struct {
        const char *header;
        size_t data, count;
    } cases[] = {
        {"{}", 0, 0},
        {"{}    ", 0, 0},
        {"{\"__metadata__\":{}}", 0, 0},
        {TENSOR(GOOD_OFFSETS "," GOOD_SHAPE "," GOOD_DTYPE), 8, 1},
        {TWO(F32_2("8", "16"), F32_2("0", "8")), 16, 2},
        {TWO(U8("0", "0", "0"), U8("0", "0", "0")), 0, 2},
        {TWO(U8("8", "0", "8"), U8("0", "8", "8")), 8, 2},
        {TENSOR("\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[0,2]"), 2, 1},
        {"{\"t\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,4],\"data_offsets\":[0,4]}}", 4, 1},
        {"{\"\":" U8("4", "0", "4") "}", 4, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *path = make_file(f, cases[i].header, cases[i].data);
        mtli_safetensors *file = NULL;
        assert_ok(f->context, mtli_safetensors_open(f->context, path, &file));
        assert_int_equal(file->count, cases[i].count);
        mtli_safetensors_close(file);
    }
}

static void test_every_dtype(void **state)
{
    fixture *f = *state;
    for (unsigned d = 0; d < MTLI_SAFETENSORS_DTYPES; d++) {
        mtli_safetensors_dtype dtype = (mtli_safetensors_dtype)d;
        char header[200];
        unsigned bytes = mtli_safetensors_dtype_bits(dtype); /* 8 elements */
        snprintf(header, sizeof header, "{\"t\":{\"dtype\":\"%s\",\"shape\":[8],\"data_offsets\":[0,%u]}}",
                 mtli_safetensors_dtype_name(dtype), bytes);
        mtli_safetensors *file = NULL;
        assert_ok(f->context, mtli_safetensors_open(f->context, make_file(f, header, bytes), &file));
        assert_int_equal(file->entries[0].dtype, dtype);
        mtli_real values[8];
        mtl_status status = mtli_safetensors_read_real(file, &file->entries[0], values);
        assert_int_equal(status, mtli_safetensors_is_real(dtype) ? MTL_OK : MTL_ERROR_DTYPE);
        mtli_safetensors_close(file);
    }
}

static void test_truncated_anywhere(void **state)
{
    fixture *f = *state;
    const char *whole = test_path(&f->folder, "whole");
    assert_ok(f->context, write_to(f->context, whole, sample_tensors, 4, sample_pairs, 2));
    size_t size;
    char *bytes = test_read_file(whole, &size);
    for (size_t length = 0; length < size; length++) {
        const char *path = test_write(&f->folder, "cut", bytes, length);
        mtli_safetensors *file = NULL;
        assert_fails(f->context, mtli_safetensors_open(f->context, path, &file), MTL_ERROR_FORMAT, path);
    }
    free(bytes);
}

/* Whatever one changed byte does, it does not make the reader crash, leak or break its invariants. */
static void test_any_byte_changed(void **state)
{
    fixture *f = *state;
    const char *whole = test_path(&f->folder, "whole");
    assert_ok(f->context, write_to(f->context, whole, sample_tensors, 4, sample_pairs, 2));
    size_t size;
    char *bytes = test_read_file(whole, &size);
    static const unsigned char flips[] = {0x01, 0x02, 0x10, 0x20, 0x80, 0xff};
    int accepted = 0;
    for (size_t i = 0; i < size * sizeof flips; i++) {
        bytes[i / sizeof flips] ^= (char)flips[i % sizeof flips];
        const char *path = test_write(&f->folder, "changed", bytes, size);
        bytes[i / sizeof flips] ^= (char)flips[i % sizeof flips];
        mtli_safetensors *file = NULL;
        mtl_status status = mtli_safetensors_open(f->context, path, &file);
        assert_true(status == MTL_OK || status == MTL_ERROR_FORMAT);
        if (status == MTL_OK) {
            uint64_t position = 0;
            for (size_t t = 0; t < file->count; t++) {
                assert_int_equal(file->entries[t].begin, position);
                position = file->entries[t].end;
            }
            assert_int_equal(position, sizeof sample_data);
            accepted++;
        }
        mtli_safetensors_close(file);
    }
    assert_true(accepted > 0); /* a changed name or value is a file like any other */
    free(bytes);
}

static void test_what_is_no_file(void **state)
{
    fixture *f = *state;
    mtli_safetensors *file = NULL;
    mtl_context *c = f->context;
    assert_fails(c, mtli_safetensors_open(c, test_path(&f->folder, "none"), &file), MTL_ERROR_IO, "No such file");
    assert_fails(c, mtli_safetensors_open(c, f->folder.path, &file), MTL_ERROR_IO, "it is a folder");
    assert_fails(c, mtli_safetensors_open(c, "/dev/zero", &file), MTL_ERROR_IO, "not a regular file");
    const char *text = test_write_text(&f->folder, "text", "this is a letter, not a checkpoint");
    assert_fails(c, mtli_safetensors_open(c, text, &file), MTL_ERROR_FORMAT, "not a safetensors file");
}

static void test_header_length_limit(void **state)
{
    fixture *f = *state;
    const char *path = test_path(&f->folder, "large");
    FILE *stream = fopen(path, "wb");
    const uint64_t length = MTLI_SAFETENSORS_MAX_HEADER + 1;
    for (int i = 0; i < 8; i++) {
        fputc((int)(length >> (8 * i) & 0xff), stream);
    }
    assert_int_equal(fseek(stream, (long)length + 7, SEEK_SET), 0); /* a sparse file */
    fputc(0, stream);
    assert_int_equal(fclose(stream), 0);
    mtli_safetensors *file = NULL;
    assert_fails(f->context, mtli_safetensors_open(f->context, path, &file), MTL_ERROR_LIMIT, "more than 100000000");
}

static void test_file_that_shrinks(void **state)
{
    fixture *f = *state;
    const char *path = make_file(f, TENSOR(GOOD_DTYPE "," GOOD_SHAPE "," GOOD_OFFSETS), 8);
    mtli_safetensors *file = NULL;
    assert_ok(f->context, mtli_safetensors_open(f->context, path, &file));
    FILE *stream = fopen(path, "wb"); /* the same file, now empty */
    assert_int_equal(fclose(stream), 0);
    mtli_real values[2];
    assert_fails(f->context, mtli_safetensors_read_real(file, &file->entries[0], values), MTL_ERROR_IO, "too early");
    mtli_safetensors_close(file);
}

/* ---- conversions ---- */

/* What an IEEE half is, from its definition. */
static double half_value(unsigned bits)
{
    int exponent = (int)(bits >> 10 & 31);
    double mantissa = (double)(bits & 1023);
    double magnitude = exponent == 31 ? (mantissa > 0 ? (double)NAN : (double)INFINITY)
                       : exponent == 0 ? ldexp(mantissa, -24)
                                       : ldexp(1024 + mantissa, exponent - 25);
    return bits >> 15 ? -magnitude : magnitude;
}

static void test_all_halves(void **state)
{
    fixture *f = *state;
    enum { COUNT = 65536 };
    const int64_t dims[] = {COUNT};
    uint16_t *bits = malloc(COUNT * sizeof *bits);
    mtli_real *values = malloc(COUNT * sizeof *values);
    for (unsigned i = 0; i < COUNT; i++) {
        bits[i] = (uint16_t)i;
    }
    const mtli_safetensors_tensor tensors[] = {
        {"half", MTLI_SAFETENSORS_F16, 1, dims, bits},
        {"brain", MTLI_SAFETENSORS_BF16, 1, dims, bits},
    };
    const char *path = test_path(&f->folder, "halves");
    assert_ok(f->context, write_to(f->context, path, tensors, 2, NULL, 0));
    mtli_safetensors *file = NULL;
    assert_ok(f->context, mtli_safetensors_open(f->context, path, &file));
    assert_ok(f->context, mtli_safetensors_read_real(file, mtli_safetensors_find(file, "half"), values));
    for (unsigned i = 0; i < COUNT; i++) {
        double expected = half_value(i);
        assert_true(isnan(expected) ? isnan(values[i]) : (double)values[i] == expected);
        assert_true(!signbit(values[i]) == !signbit(expected) || isnan(expected));
    }
    assert_ok(f->context, mtli_safetensors_read_real(file, mtli_safetensors_find(file, "brain"), values));
    for (unsigned i = 0; i < COUNT; i++) {
        uint32_t wide = (uint32_t)i << 16; /* a bfloat16 is the upper half of a float */
        float expected;
        memcpy(&expected, &wide, sizeof expected);
        assert_true(isnan(expected) ? isnan(values[i]) : (double)values[i] == (double)expected);
    }
    mtli_safetensors_close(file);
    free(values);
    free(bits);
}

static void test_doubles_and_floats_over_chunks(void **state)
{
    fixture *f = *state;
    enum { COUNT = 20000 }; /* several chunks of conversion */
    const int64_t dims[] = {COUNT};
    double *wide = malloc(COUNT * sizeof *wide);
    float *narrow = malloc(COUNT * sizeof *narrow);
    mtli_real *values = malloc(COUNT * sizeof *values);
    for (int i = 0; i < COUNT; i++) {
        wide[i] = 1.0 / (i + 1);
        narrow[i] = (float)wide[i];
    }
    const mtli_safetensors_tensor tensors[] = {
        {"narrow", MTLI_SAFETENSORS_F32, 1, dims, narrow},
        {"wide", MTLI_SAFETENSORS_F64, 1, dims, wide},
    };
    const char *path = test_path(&f->folder, "chunks");
    assert_ok(f->context, write_to(f->context, path, tensors, 2, NULL, 0));
    mtli_safetensors *file = NULL;
    assert_ok(f->context, mtli_safetensors_open(f->context, path, &file));
    assert_ok(f->context, mtli_safetensors_read_real(file, mtli_safetensors_find(file, "wide"), values));
    for (int i = 0; i < COUNT; i++) {
        assert_true(values[i] == (mtli_real)wide[i]);
    }
    assert_ok(f->context, mtli_safetensors_read_real(file, mtli_safetensors_find(file, "narrow"), values));
    for (int i = 0; i < COUNT; i++) {
        assert_true(values[i] == (mtli_real)narrow[i]);
    }
    mtli_safetensors_close(file);
    free(values);
    free(narrow);
    free(wide);
}

static void test_swapping_bytes(void **state)
{
    (void)state;
    unsigned char bytes[] = {1, 2, 3, 4, 5, 6, 7, 8};
    const unsigned char by_2[] = {2, 1, 4, 3, 6, 5, 8, 7};
    const unsigned char by_4[] = {3, 4, 1, 2, 7, 8, 5, 6};
    const unsigned char by_8[] = {6, 5, 8, 7, 2, 1, 4, 3};
    mtli_swap_bytes(bytes, 4, 2);
    assert_memory_equal(bytes, by_2, 8);
    mtli_swap_bytes(bytes, 2, 4);
    assert_memory_equal(bytes, by_4, 8);
    mtli_swap_bytes(bytes, 1, 8);
    assert_memory_equal(bytes, by_8, 8);
}

/* ---- the rest ---- */

static int compare_ints(const void *a, const void *b, const void *user)
{
    int x = *(const int *)a;
    int y = *(const int *)b;
    (void)user;
    return (x > y) - (x < y);
}

static void test_heapsort(void **state)
{
    (void)state;
    uint32_t seed = 1;
    for (size_t count = 0; count < 200; count++) {
        int values[200];
        long sum = 0;
        for (size_t i = 0; i < count; i++) {
            seed = seed * 1664525u + 1013904223u;
            values[i] = (int)(seed >> 24) % (count % 2 ? 7 : 1000);
            sum += values[i];
        }
        mtli_heapsort(values, count, sizeof values[0], compare_ints, NULL);
        for (size_t i = 0; i < count; i++) {
            sum -= values[i];
            assert_true(i == 0 || values[i - 1] <= values[i]);
        }
        assert_int_equal(sum, 0);
    }
}

static mtl_status container_scenario(mtl_context *context, void *user)
{
    mtl_status status = write_to(context, user, sample_tensors, 4, sample_pairs, 2);
    if (status != MTL_OK) {
        return status;
    }
    mtli_safetensors *file = NULL;
    status = mtli_safetensors_open(context, user, &file);
    mtli_safetensors_close(file);
    return status;
}

static void test_allocation_failures(void **state)
{
    fixture *f = *state;
    char path[TEST_PATH_SIZE];
    snprintf(path, sizeof path, "%s", test_path(&f->folder, "file"));
    test_each_allocation_failing(container_scenario, path);
    assert_int_equal(test_count_files(f->folder.path), 1);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_written_bytes),
        CASE(test_reads_what_it_writes),
        CASE(test_refuses_to_write),
        CASE(test_header_that_is_too_long),
        CASE(test_malformed_headers),
        CASE(test_accepted_headers),
        CASE(test_every_dtype),
        CASE(test_truncated_anywhere),
        CASE(test_any_byte_changed),
        CASE(test_what_is_no_file),
        CASE(test_header_length_limit),
        CASE(test_file_that_shrinks),
        CASE(test_all_halves),
        CASE(test_doubles_and_floats_over_chunks),
        CASE(test_swapping_bytes),
        CASE(test_heapsort),
        CASE(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
