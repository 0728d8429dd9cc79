/* SPDX-License-Identifier: Apache-2.0
 * Datasets through the public headers: tables of every form, every complaint with its file and line, folders,
 * slices. */
#include "support/support.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mtl/data.h>

static const char *const two_classes[] = {"neg", "pos"};
static const int32_t column_0[] = {0};
static const int32_t column_1[] = {1};

/* label,text */
static const mtl_label_column class_label = {0, MTL_LABELS_CLASS, two_classes, 2};

static mtl_table_options simple_options(void)
{
    mtl_table_options options = MTL_TABLE_OPTIONS_INIT;
    options.text_columns = column_1;
    options.num_text_columns = 1;
    options.labels = &class_label;
    options.num_labels = 1;
    return options;
}

static void check_text(mtl_dataset *dataset, mtl_context *context, int64_t row, const char *expected)
{
    char text[256];
    size_t size = 0;
    assert_ok(context, mtl_dataset_text(dataset, row, text, sizeof text, &size));
    if (size != strlen(expected) || memcmp(text, expected, size) != 0) {
        fail_msg("row %ld is \"%.*s\", not \"%s\"", (long)row, (int)size, text, expected);
    }
}

typedef struct fixture {
    mtl_context *context;
    test_folder folder;
    mtl_test_allocator allocator;
} fixture;

static int set_up(void **state)
{
    fixture *made = calloc(1, sizeof *made);
    test_allocator_init(&made->allocator);
    made->context = test_context_on(&made->allocator);
    test_folder_create(&made->folder);
    *state = made;
    return 0;
}

static int tear_down(void **state)
{
    fixture *made = *state;
    test_folder_remove(&made->folder);
    mtl_context_release(made->context);
    test_allocator_check(&made->allocator);
    free(made);
    return 0;
}

static mtl_dataset *open_text(fixture *on, const char *text, size_t size, const mtl_table_options *options)
{
    mtl_dataset *dataset = NULL;
    const char *path = test_write(&on->folder, "table.csv", text, size);
    assert_ok(on->context, mtl_dataset_open_table(on->context, path, options, &dataset));
    return dataset;
}

static void test_csv_forms(void **state)
{
    fixture *on = *state;
    static const char table[] = "pos,plain text\n"
                                "neg,\"quoted, with comma\"\n"
                                "\"pos\",\"doubled \"\"quotes\"\" inside\"\r\n"
                                "neg,\"two\nlines\"\n"
                                ",no label\n"
                                "pos,a \"quote\" inside\n"
                                "neg,\n"
                                "neg,\"\"\n"
                                "pos,\"\"\"\"\n"
                                "pos,cr\rinside\r\n"
                                "neg,\"last\"";
    static const char *const texts[] = {
        "plain text", "quoted, with comma", "doubled \"quotes\" inside", "two\nlines", "no label", "a \"quote\" inside",
        "",           "",                   "\"",                        "cr\rinside", "last"};
    static const int labels[] = {1, 0, 1, 0, -1, 1, 0, 0, 1, 1, 0};
    mtl_table_options options = simple_options();
    mtl_dataset *dataset = open_text(on, table, sizeof table - 1, &options);
    assert_int_equal(mtl_dataset_rows(dataset), 11);
    assert_int_equal(mtl_dataset_num_labels(dataset), 1);
    assert_int_equal(mtl_dataset_num_classes(dataset, 0), 2);
    assert_int_equal(mtl_dataset_num_classes(dataset, 1), 0);
    for (int64_t row = 10; row >= 0; row--) {
        check_text(dataset, on->context, row, texts[row]);
        assert_int_equal((int)mtl_dataset_label(dataset, row, 0), labels[row]);
    }
    assert_true(isnan(mtl_dataset_label(dataset, 11, 0)));
    assert_true(isnan(mtl_dataset_label(dataset, 0, 1)));
    mtl_dataset_release(dataset);
}

static void test_columns_and_headers(void **state)
{
    fixture *on = *state;
    static const char table[] = "\xEF\xBB\xBFid,stars,sentiment,title,body\r\n"
                                "1,4.5,pos,Good,very good\r\n"
                                "2,,neg,Bad,very bad\r\n"
                                "3,-1e1,,So,\"so, so\"\r\n";
    static const int32_t texts[] = {3, 4};
    static const mtl_label_column labels[] = {
        {2, MTL_LABELS_CLASS, two_classes, 2}, {1, MTL_LABELS_REAL, NULL, 0}, {0, MTL_LABELS_REAL, NULL, 0}};
    mtl_table_options options = MTL_TABLE_OPTIONS_INIT;
    options.text_columns = texts;
    options.num_text_columns = 2;
    options.labels = labels;
    options.num_labels = 3;
    options.header = 1;
    mtl_dataset *dataset = open_text(on, table, sizeof table - 1, &options);
    assert_int_equal(mtl_dataset_rows(dataset), 3);
    assert_int_equal(mtl_dataset_num_labels(dataset), 3);
    assert_int_equal(mtl_dataset_num_classes(dataset, 1), 0);
    check_text(dataset, on->context, 0, "Good very good");
    check_text(dataset, on->context, 2, "So so, so");
    assert_near(mtl_dataset_label(dataset, 0, 1), 4.5, 0.0);
    assert_near(mtl_dataset_label(dataset, 1, 1), NAN, 0.0);
    assert_near(mtl_dataset_label(dataset, 2, 1), -10.0, 0.0);
    assert_near(mtl_dataset_label(dataset, 2, 2), 3.0, 0.0);
    assert_int_equal((int)mtl_dataset_label(dataset, 2, 0), MTL_LABEL_NONE);
    mtl_dataset_release(dataset);
}

static void test_tsv(void **state)
{
    fixture *on = *state;
    static const char table[] = "pos\t\"not quoted\tx\r\nneg\ta,b\ty\n\tc\t\n";
    mtl_table_options options = simple_options();
    options.delimiter = '\t';
    options.quotes = 0;
    options.columns = 3;
    mtl_dataset *dataset = open_text(on, table, sizeof table - 1, &options);
    assert_int_equal(mtl_dataset_rows(dataset), 3);
    check_text(dataset, on->context, 0, "\"not quoted");
    check_text(dataset, on->context, 1, "a,b");
    check_text(dataset, on->context, 2, "c");
    mtl_dataset_release(dataset);
    /* Lines of text alone: an empty line is an empty text. */
    options = simple_options();
    options.text_columns = column_0;
    options.num_labels = 0;
    options.delimiter = '\t';
    dataset = open_text(on, "a\n\nb\n", 5, &options);
    assert_int_equal(mtl_dataset_rows(dataset), 3);
    assert_int_equal(mtl_dataset_num_labels(dataset), 0);
    check_text(dataset, on->context, 1, "");
    check_text(dataset, on->context, 2, "b");
    mtl_dataset_release(dataset);
}

typedef struct bad_table {
    const char *text;
    size_t size;
    mtl_status status;
    const char *message;
} bad_table;

#define BAD_TABLE(text, status, message) {text, sizeof text - 1, status, message}

static void test_bad_tables(void **state)
{
    fixture *on = *state;
    static const bad_table tables[] = {
        BAD_TABLE("", MTL_ERROR_FORMAT, "table.csv:1: no line"),
        BAD_TABLE("\xEF\xBB\xBF", MTL_ERROR_FORMAT, "table.csv:1: no line"),
        BAD_TABLE("pos,a\nneg\n", MTL_ERROR_FORMAT, "table.csv:2: 1 fields, not 2"),
        BAD_TABLE("pos,a\nneg,b,c\n", MTL_ERROR_FORMAT, "table.csv:2: 3 fields, not 2"),
        BAD_TABLE("pos,a\n\nneg,b\n", MTL_ERROR_FORMAT, "table.csv:2: 1 fields, not 2"),
        BAD_TABLE("pos,a\nmaybe,b\n", MTL_ERROR_FORMAT, "table.csv:2: column 0: unknown label \"maybe\""),
        BAD_TABLE("Pos,a\n", MTL_ERROR_FORMAT, "table.csv:1: column 0: unknown label \"Pos\""),
        BAD_TABLE("pos,\"a\nb\"\npos,\"open\nx\n", MTL_ERROR_FORMAT, "table.csv:3: field 2: the quote does not end"),
        BAD_TABLE("pos,\"a\nb\"\npos,\"a\"b\n", MTL_ERROR_FORMAT, "table.csv:3: field 2: something stands behind"),
        BAD_TABLE("pos,\"a\"\rb\n", MTL_ERROR_FORMAT, "table.csv:1: field 2: something stands behind"),
        BAD_TABLE("pos,a\npos,b\0c\n", MTL_ERROR_FORMAT, "table.csv:2: zero byte at byte 6"),
        BAD_TABLE("one column\n", MTL_ERROR_FORMAT, "table.csv:1: 1 fields: there is no column 1"),
        BAD_TABLE("\xFF\xFEp\0o\0s\0,\0a\0\n\0", MTL_ERROR_FORMAT, "table.csv:1: zero byte"), /* UTF-16 */
        BAD_TABLE("pos,a\npos,0123456789abcdef\n", MTL_ERROR_LIMIT, "table.csv:2: the line is longer than max_line_b"),
        BAD_TABLE("pos,\"\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n", MTL_ERROR_FORMAT, "table.csv:1: field 2: the quote"),
    };
    mtl_table_options options = simple_options();
    long blocks = on->allocator.live_blocks;
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        const char *path = test_write(&on->folder, "table.csv", tables[i].text, tables[i].size);
        mtl_dataset *dataset = NULL;
        options.max_line_bytes = 20;
        assert_fails(on->context, mtl_dataset_open_table(on->context, path, &options, &dataset), tables[i].status,
                     tables[i].message);
        assert_null(dataset);
        assert_int_equal(on->allocator.live_blocks, blocks);
    }
    options.header = 1;
    const char *path = test_write_text(&on->folder, "table.csv", "label,text\n");
    mtl_dataset *dataset = NULL;
    assert_fails(on->context, mtl_dataset_open_table(on->context, path, &options, &dataset), MTL_ERROR_FORMAT,
                 "table.csv:2: no line after the header");
}

static void test_real_numbers(void **state)
{
    fixture *on = *state;
    static const mtl_label_column real = {0, MTL_LABELS_REAL, NULL, 0};
    mtl_table_options options = simple_options();
    options.labels = &real;
    static const char *const wrong[] = {"x",   "1x", "1,5" /* three fields */, "nan", "inf", "1e", "e5",
                                        "--1", ".",  "1e99",                   "0x10", " 1", "1 "};
    mtl_dataset *dataset = NULL;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char line[64];
        snprintf(line, sizeof line, "1.5,ok\n%s,text\n", wrong[i]);
        const char *path = test_write_text(&on->folder, "table.csv", line);
        assert_fails(on->context, mtl_dataset_open_table(on->context, path, &options, &dataset), MTL_ERROR_FORMAT,
                     "table.csv:2: ");
    }
    dataset = open_text(on, "+1.25e-2,a\n-.5,b\n7.,c\n", 22, &options);
    assert_near(mtl_dataset_label(dataset, 0, 0), 0.0125, 0.0);
    assert_near(mtl_dataset_label(dataset, 1, 0), -0.5, 0.0);
    assert_near(mtl_dataset_label(dataset, 2, 0), 7.0, 0.0);
    mtl_dataset_release(dataset);
}

/* A line that never ends is refused after max_line_bytes, with memory of that order. */
static void test_endless_line(void **state)
{
    fixture *on = *state;
    const char *path = test_write_text(&on->folder, "endless.csv", "pos,a\npos,");
    assert_int_equal(truncate(path, 1 << 30), 0); /* sparse: zeros up to 1 GiB */
    mtl_table_options options = simple_options();
    mtl_dataset *dataset = NULL;
    mtl_memory_info before, after;
    options.max_line_bytes = 1000000;
    assert_ok(on->context, mtl_context_memory(on->context, &before));
    assert_fails(on->context, mtl_dataset_open_table(on->context, path, &options, &dataset), MTL_ERROR_LIMIT,
                 "endless.csv:2: the line is longer than max_line_bytes = 1000000");
    assert_ok(on->context, mtl_context_memory(on->context, &after));
    assert_int_equal(after.bytes, before.bytes);
    /* a buffer that grows by half beside its predecessor, and one read beyond the limit */
    assert_true(after.peak_bytes < 4 * 1000000 + 1048576);
}

/* Lines across the read buffer's end, in every position. */
static void test_buffer_borders(void **state)
{
    fixture *on = *state;
    enum { LINES = 3000 };
    char *table = malloc(LINES * 400);
    size_t size = 0;
    for (int i = 0; i < LINES; i++) {
        size += (size_t)sprintf(table + size, "%s,\"%d \"\"", i % 3 ? "pos" : "neg", i);
        memset(table + size, 'x', (size_t)(i % 257));
        size += (size_t)(i % 257);
        size += (size_t)sprintf(table + size, "\"\"\n\"%s\n", i % 2 ? "\r" : "");
    }
    mtl_table_options options = simple_options();
    mtl_dataset *dataset = open_text(on, table, size, &options);
    free(table);
    assert_true(size > 262144);
    assert_int_equal(mtl_dataset_rows(dataset), LINES);
    for (int64_t row = 0; row < LINES; row++) {
        char text[400];
        char expected[400];
        size_t text_size;
        int begin = sprintf(expected, "%ld \"", (long)row);
        memset(expected + begin, 'x', (size_t)(row % 257));
        size_t length = (size_t)begin + (size_t)(row % 257);
        memcpy(expected + length, "\"\n", 2);
        assert_ok(on->context, mtl_dataset_text(dataset, row, text, sizeof text, &text_size));
        assert_int_equal(text_size, length + 2);
        assert_memory_equal(text, expected, length + 2);
        assert_int_equal((int)mtl_dataset_label(dataset, row, 0), row % 3 ? 1 : 0);
    }
    mtl_dataset_release(dataset);
}

#define REFUSED(change, message) \
    do { \
        mtl_table_options options = simple_options(); \
        mtl_label_column label = class_label; \
        options.labels = &label; \
        change; \
        assert_fails(on->context, mtl_dataset_open_table(on->context, path, &options, &dataset), MTL_ERROR_ARGUMENT, \
                     message); \
    } while (0)

static void test_table_arguments(void **state)
{
    fixture *on = *state;
    static const int32_t negative[] = {-1};
    static const char *const twice[] = {"a", "a"};
    static const char *const empty[] = {"a", ""};
    const char *path = test_write_text(&on->folder, "table.csv", "pos,a\n");
    mtl_dataset *dataset = NULL;
    REFUSED(options.text_columns = NULL, "text_columns is NULL");
    REFUSED(options.num_text_columns = 0, "num_text_columns = 0");
    REFUSED(options.num_text_columns = 17, "num_text_columns = 17");
    REFUSED(options.text_columns = negative, "text_columns[0] = -1");
    REFUSED(options.columns = 1, "text_columns[0] = 1");
    REFUSED(options.columns = -1, "columns = -1");
    REFUSED(options.labels = NULL, "labels is NULL");
    REFUSED(options.num_labels = -1, "num_labels = -1");
    REFUSED(options.num_labels = 65, "num_labels = 65");
    REFUSED(label.column = -2, "labels[0].column = -2");
    REFUSED(label.kind = 2, "labels[0].kind = 2");
    REFUSED(label.num_classes = 1, "num_classes = 1");
    REFUSED(label.num_classes = 65537, "num_classes = 65537");
    REFUSED(label.classes = NULL, "classes is NULL");
    REFUSED(label.classes = twice, "classes[1] = \"a\"");
    REFUSED(label.classes = empty, "classes[1] is NULL or empty");
    REFUSED(options.delimiter = '\n', "delimiter = 10");
    REFUSED(options.delimiter = '"', "delimiter = 34");
    REFUSED(options.delimiter = 200, "delimiter = 200");
    REFUSED(options.max_line_bytes = 0, "max_line_bytes = 0");
    REFUSED(options.struct_size = 8, "struct_size = 8");
    mtl_table_options options = simple_options();
    assert_fails(on->context, mtl_dataset_open_table(on->context, NULL, &options, &dataset), MTL_ERROR_ARGUMENT,
                 "path");
    assert_fails(on->context, mtl_dataset_open_table(on->context, path, NULL, &dataset), MTL_ERROR_ARGUMENT, "options");
    assert_fails(on->context, mtl_dataset_open_table(on->context, path, &options, NULL), MTL_ERROR_ARGUMENT, "out");
    assert_int_equal(mtl_dataset_open_table(NULL, path, &options, &dataset), MTL_ERROR_ARGUMENT);
    assert_fails(on->context, mtl_dataset_open_table(on->context, on->folder.path, &options, &dataset), MTL_ERROR_IO,
                 on->folder.path);
    const char *missing = test_path(&on->folder, "missing.csv");
    assert_fails(on->context, mtl_dataset_open_table(on->context, missing, &options, &dataset), MTL_ERROR_IO,
                 "missing.csv");
    assert_null(dataset);
}

static void test_texts(void **state)
{
    fixture *on = *state;
    mtl_table_options options = simple_options();
    mtl_dataset *dataset = open_text(on, "pos,hello\nneg,world\n", 20, &options);
    char text[8] = "-------";
    size_t size = 0;
    assert_ok(on->context, mtl_dataset_text(dataset, 0, NULL, 0, &size));
    assert_int_equal(size, 5);
    assert_ok(on->context, mtl_dataset_text(dataset, 0, text, 2, &size));
    assert_int_equal(size, 5);
    assert_memory_equal(text, "he-----", 7);
    assert_fails(on->context, mtl_dataset_text(dataset, 2, text, 2, &size), MTL_ERROR_ARGUMENT, "row = 2");
    assert_fails(on->context, mtl_dataset_text(dataset, -1, text, 2, &size), MTL_ERROR_ARGUMENT, "row = -1");
    assert_fails(on->context, mtl_dataset_text(dataset, 0, NULL, 2, &size), MTL_ERROR_ARGUMENT, "text");
    assert_fails(on->context, mtl_dataset_text(dataset, 0, text, 2, NULL), MTL_ERROR_ARGUMENT, "size");
    assert_int_equal(mtl_dataset_text(NULL, 0, text, 2, &size), MTL_ERROR_ARGUMENT);
    /* The file changes behind its back: said, not believed. */
    const char *path = test_path(&on->folder, "table.csv");
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fputs("pos,hel\n,", file);
    fclose(file);
    assert_fails(on->context, mtl_dataset_text(dataset, 0, text, 2, &size), MTL_ERROR_IO, "table.csv");
    assert_int_equal(truncate(path, 12), 0);
    assert_fails(on->context, mtl_dataset_text(dataset, 1, text, 2, &size), MTL_ERROR_IO, "table.csv");
    mtl_dataset_release(dataset);
}

static void test_memory_and_slices(void **state)
{
    fixture *on = *state;
    static const char *const texts[] = {"zero", "one", "", "three"};
    static const int32_t labels[] = {2, 0, MTL_LABEL_NONE, 1};
    mtl_dataset *dataset = NULL;
    assert_ok(on->context, mtl_dataset_create(on->context, texts, labels, 4, 3, &dataset));
    assert_int_equal(mtl_dataset_num_classes(dataset, 0), 3);
    mtl_dataset *tail = NULL;
    assert_ok(on->context, mtl_dataset_slice(dataset, 1, 4, &tail));
    mtl_dataset *inner = NULL;
    assert_ok(on->context, mtl_dataset_slice(tail, 1, 3, &inner));
    mtl_dataset *nothing = NULL;
    assert_ok(on->context, mtl_dataset_slice(inner, 2, 2, &nothing));
    assert_int_equal(mtl_dataset_rows(nothing), 0);
    mtl_dataset_release(dataset);
    mtl_dataset_release(tail); /* the inner one keeps what it needs */
    assert_int_equal(mtl_dataset_rows(inner), 2);
    check_text(inner, on->context, 0, "");
    check_text(inner, on->context, 1, "three");
    assert_int_equal((int)mtl_dataset_label(inner, 0, 0), MTL_LABEL_NONE);
    assert_int_equal((int)mtl_dataset_label(inner, 1, 0), 1);
    mtl_dataset *wrong = NULL;
    assert_fails(on->context, mtl_dataset_slice(inner, -1, 1, &wrong), MTL_ERROR_ARGUMENT, "begin = -1");
    assert_fails(on->context, mtl_dataset_slice(inner, 2, 1, &wrong), MTL_ERROR_ARGUMENT, "end = 1");
    assert_fails(on->context, mtl_dataset_slice(inner, 0, 3, &wrong), MTL_ERROR_ARGUMENT, "end = 3");
    assert_fails(on->context, mtl_dataset_slice(inner, 0, 1, NULL), MTL_ERROR_ARGUMENT, "out");
    assert_int_equal(mtl_dataset_slice(NULL, 0, 0, &wrong), MTL_ERROR_ARGUMENT);
    assert_null(wrong);
    mtl_dataset_release(nothing);
    mtl_dataset_release(mtl_dataset_retain(inner));
    mtl_dataset_release(inner);
    mtl_dataset_release(NULL);
    assert_int_equal(mtl_dataset_rows(NULL), 0);
    assert_int_equal(mtl_dataset_num_labels(NULL), 0);
}

static void test_memory_arguments(void **state)
{
    fixture *on = *state;
    static const char *const texts[] = {"a", NULL};
    static const int32_t labels[] = {0, 5};
    mtl_dataset *dataset = NULL;
    assert_fails(on->context, mtl_dataset_create(on->context, texts, NULL, 2, 0, &dataset), MTL_ERROR_ARGUMENT,
                 "texts[1] is NULL");
    assert_fails(on->context, mtl_dataset_create(on->context, texts, labels + 1, 1, 2, &dataset), MTL_ERROR_ARGUMENT,
                 "labels[0] = 5");
    assert_fails(on->context, mtl_dataset_create(on->context, texts, labels, 1, 1, &dataset), MTL_ERROR_ARGUMENT,
                 "num_classes = 1");
    assert_fails(on->context, mtl_dataset_create(on->context, texts, labels, -1, 2, &dataset), MTL_ERROR_ARGUMENT,
                 "rows = -1");
    assert_fails(on->context, mtl_dataset_create(on->context, NULL, labels, 1, 2, &dataset), MTL_ERROR_ARGUMENT,
                 "texts");
    assert_int_equal(mtl_dataset_create(NULL, texts, labels, 1, 2, &dataset), MTL_ERROR_ARGUMENT);
    assert_null(dataset);
    assert_ok(on->context, mtl_dataset_create(on->context, NULL, NULL, 0, 0, &dataset));
    assert_int_equal(mtl_dataset_rows(dataset), 0);
    assert_int_equal(mtl_dataset_num_labels(dataset), 0);
    mtl_dataset_release(dataset);
}

static void test_ag_news_forms(void **state)
{
    fixture *on = *state;
    mtl_dataset *dataset = NULL;
    const char *path = test_write_text(&on->folder, "three.csv",
                                       "\"3\",\"Title\",\"Text, \"\"more\"\".\"\n\"1\",\"A\",\"B\"\n");
    assert_ok(on->context, mtl_dataset_open_ag_news(on->context, path, &dataset));
    assert_int_equal(mtl_dataset_num_classes(dataset, 0), 4);
    assert_int_equal((int)mtl_dataset_label(dataset, 0, 0), 2);
    check_text(dataset, on->context, 0, "Title Text, \"more\".");
    check_text(dataset, on->context, 1, "A B");
    mtl_dataset_release(dataset);
    path = test_write_text(&on->folder, "two.csv", "\"4\",\"Only text\"\n");
    assert_ok(on->context, mtl_dataset_open_ag_news(on->context, path, &dataset));
    check_text(dataset, on->context, 0, "Only text");
    mtl_dataset_release(dataset);
    dataset = NULL;
    path = test_write_text(&on->folder, "bad.csv", "\"4\",\"a\",\"b\",\"c\"\n");
    assert_fails(on->context, mtl_dataset_open_ag_news(on->context, path, &dataset), MTL_ERROR_FORMAT,
                 "bad.csv:1: 4 fields, not 2 or 3");
    path = test_write_text(&on->folder, "bad.csv", "1,a,b\n5,c,d\n");
    assert_fails(on->context, mtl_dataset_open_ag_news(on->context, path, &dataset), MTL_ERROR_FORMAT,
                 "bad.csv:2: column 0: unknown label \"5\"");
    path = test_write_text(&on->folder, "bad.csv", "1,a,b\n2,c\n");
    assert_fails(on->context, mtl_dataset_open_ag_news(on->context, path, &dataset), MTL_ERROR_FORMAT,
                 "bad.csv:2: 2 fields, not 3");
    assert_fails(on->context, mtl_dataset_open_ag_news(on->context, NULL, &dataset), MTL_ERROR_ARGUMENT, "path");
    assert_int_equal(mtl_dataset_open_ag_news(NULL, path, &dataset), MTL_ERROR_ARGUMENT);
    assert_null(dataset);
}

static void test_imdb_folder(void **state)
{
    fixture *on = *state;
    mtl_dataset *dataset = NULL;
    const char *root = test_make_folder(&on->folder, "train");
    assert_fails(on->context, mtl_dataset_open_imdb(on->context, root, &dataset), MTL_ERROR_IO, "train/neg");
    test_make_folder(&on->folder, "train/neg");
    assert_fails(on->context, mtl_dataset_open_imdb(on->context, root, &dataset), MTL_ERROR_FORMAT,
                 "train/neg: there is no *.txt file");
    test_write_text(&on->folder, "train/neg/0_3.txt", "bad 0");
    test_write_text(&on->folder, "train/neg/10_1.txt", "bad 10");
    test_write_text(&on->folder, "train/neg/2_2.txt", "");
    test_write_text(&on->folder, "train/neg/readme.md", "not a review");
    root = test_path(&on->folder, "train");
    assert_fails(on->context, mtl_dataset_open_imdb(on->context, root, &dataset), MTL_ERROR_IO, "train/pos");
    test_make_folder(&on->folder, "train/pos");
    test_write_text(&on->folder, "train/pos/0_9.txt", "good 0");
    test_write_text(&on->folder, "train/pos/2_8.txt", "good 2");
    root = test_path(&on->folder, "train");
    assert_ok(on->context, mtl_dataset_open_imdb(on->context, root, &dataset));
    static const char *const texts[] = {"bad 0", "good 0", "", "good 2", "bad 10"};
    static const int labels[] = {0, 1, 0, 1, 0};
    assert_int_equal(mtl_dataset_rows(dataset), 5);
    assert_int_equal(mtl_dataset_num_classes(dataset, 0), 2);
    for (int64_t row = 0; row < 5; row++) {
        check_text(dataset, on->context, row, texts[row]);
        assert_int_equal((int)mtl_dataset_label(dataset, row, 0), labels[row]);
    }
    assert_int_equal(unlink(test_path(&on->folder, "train/pos/2_8.txt")), 0);
    size_t size;
    assert_fails(on->context, mtl_dataset_text(dataset, 3, NULL, 0, &size), MTL_ERROR_IO, "train/pos/2_8.txt");
    check_text(dataset, on->context, 4, "bad 10");
    mtl_dataset_release(dataset);
    assert_fails(on->context, mtl_dataset_open_imdb(on->context, NULL, &dataset), MTL_ERROR_ARGUMENT, "path");
    assert_int_equal(mtl_dataset_open_imdb(NULL, root, &dataset), MTL_ERROR_ARGUMENT);
}

static void test_builder_of_dataset(void **state)
{
    fixture *on = *state;
    mtl_table_options options = simple_options();
    mtl_dataset *dataset = open_text(on, "pos,Red green\nneg,\"red\nBLUE\"\n", 29, &options);
    mtl_tokenizer *tokenizer = NULL;
    mtl_vocabulary_builder *builder = NULL;
    mtl_vocabulary *vocabulary = NULL;
    assert_ok(on->context, mtl_tokenizer_create(on->context, NULL, &tokenizer));
    assert_ok(on->context, mtl_vocabulary_builder_create(on->context, tokenizer, &builder));
    assert_ok(on->context, mtl_vocabulary_builder_add_dataset(builder, dataset));
    assert_fails(on->context, mtl_vocabulary_builder_add_dataset(builder, NULL), MTL_ERROR_ARGUMENT, "dataset");
    assert_int_equal(mtl_vocabulary_builder_add_dataset(NULL, dataset), MTL_ERROR_ARGUMENT);
    assert_ok(on->context, mtl_vocabulary_builder_finish(builder, NULL, &vocabulary));
    assert_int_equal(mtl_vocabulary_size(vocabulary), 5);
    assert_string_equal(mtl_vocabulary_token(vocabulary, 2), "red");
    assert_int_equal(mtl_vocabulary_count(vocabulary, 2), 2);
    assert_string_equal(mtl_vocabulary_token(vocabulary, 3), "blue");
    mtl_vocabulary_release(vocabulary);
    mtl_vocabulary_builder_destroy(builder);
    mtl_tokenizer_release(tokenizer);
    mtl_dataset_release(dataset);
}

/* ---- real data ---- */

static void count_classes(mtl_dataset *dataset, int64_t label, int64_t counts[8])
{
    memset(counts, 0, 8 * sizeof counts[0]);
    for (int64_t row = 0; row < mtl_dataset_rows(dataset); row++) {
        int class = (int)mtl_dataset_label(dataset, row, label);
        assert_true(class >= 0 && class < 8);
        counts[class]++;
    }
}

static void test_real_ag_news(void **state)
{
    fixture *on = *state;
    char path[TEST_PATH_SIZE];
    char train_path[TEST_PATH_SIZE];
    if (!test_data_path(path, "ag_news/test.csv") || !test_data_path(train_path, "ag_news/train_text_part.csv")) {
        skip();
    }
    int64_t counts[8];
    mtl_dataset *dataset = NULL;
    assert_ok(on->context, mtl_dataset_open_ag_news(on->context, path, &dataset));
    assert_int_equal(mtl_dataset_rows(dataset), 7600);
    count_classes(dataset, 0, counts);
    for (int class = 0; class < 4; class++) {
        assert_int_equal(counts[class], 1900);
    }
    mtl_dataset_release(dataset);
    assert_ok(on->context, mtl_dataset_open_ag_news(on->context, train_path, &dataset));
    assert_int_equal(mtl_dataset_rows(dataset), 63940);
    count_classes(dataset, 0, counts);
    assert_int_equal(counts[0], 15939);
    assert_int_equal(counts[1], 15961);
    assert_int_equal(counts[2], 16043);
    assert_int_equal(counts[3], 15997);
    mtl_dataset_release(dataset);
}

static void test_real_imdb(void **state)
{
    fixture *on = *state;
    char path[TEST_PATH_SIZE];
    if (!test_data_path(path, "imdb/train.csv")) {
        skip();
    }
    static const char *const classes[] = {"0", "1"};
    static const int32_t text_column[] = {4};
    static const mtl_label_column labels[] = {{0, MTL_LABELS_CLASS, classes, 2}, {1, MTL_LABELS_REAL, NULL, 0}};
    mtl_table_options options = MTL_TABLE_OPTIONS_INIT;
    options.text_columns = text_column;
    options.num_text_columns = 1;
    options.labels = labels;
    options.num_labels = 2;
    options.header = 1;
    mtl_dataset *dataset = NULL;
    assert_ok(on->context, mtl_dataset_open_table(on->context, path, &options, &dataset));
    assert_int_equal(mtl_dataset_rows(dataset), 25000);
    int64_t counts[8];
    count_classes(dataset, 0, counts);
    assert_int_equal(counts[0], 12500);
    assert_int_equal(counts[1], 12500);
    double stars = 0.0;
    for (int64_t row = 0; row < 25000; row++) {
        double rating = mtl_dataset_label(dataset, row, 1);
        assert_true((rating >= 7.0) == (mtl_dataset_label(dataset, row, 0) > 0.5));
        stars += rating;
    }
    /* 5100 + 2 * 2284 + 3 * 2420 + 4 * 2696 + 7 * 2496 + 8 * 3009 + 9 * 2263 + 10 * 4732 */
    assert_near(stars, 136943.0, 0.0);
    mtl_dataset_release(dataset);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_csv_forms),
        TEST(test_columns_and_headers),
        TEST(test_tsv),
        TEST(test_bad_tables),
        TEST(test_real_numbers),
        TEST(test_endless_line),
        TEST(test_buffer_borders),
        TEST(test_table_arguments),
        TEST(test_texts),
        TEST(test_memory_and_slices),
        TEST(test_memory_arguments),
        TEST(test_ag_news_forms),
        TEST(test_imdb_folder),
        TEST(test_builder_of_dataset),
        TEST(test_real_ag_news),
        TEST(test_real_imdb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
