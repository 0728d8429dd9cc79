/* SPDX-License-Identifier: Apache-2.0
 * The record scanner: what it finds must not depend on where the bytes were cut when they came. */
#include "support/support.h"

#include "text/record.h"

static const mtli_dialect csv = {',', true};
static const mtli_dialect tsv = {'\t', false};

/* Scans the first record with bytes coming in pieces of `piece`. */
static mtli_record_end scan_in_pieces(mtli_record *record, const char *text, size_t size, size_t piece)
{
    mtli_record_end end = MTLI_RECORD_MORE;
    mtli_record_begin(record);
    for (size_t have = 0; end == MTLI_RECORD_MORE; have += piece) {
        size_t given = have < size ? have : size;
        char *copy = malloc(given ? given : 1); /* of its own size: a checker sees reads beyond it */
        memcpy(copy, text, given);
        assert_int_equal(mtli_record_scan(record, copy, given, given == size, &end), MTL_OK);
        free(copy);
        assert_true(end != MTLI_RECORD_MORE || given < size);
    }
    return end;
}

typedef struct record_case {
    const char *text;
    const mtli_dialect *dialect;
    mtli_record_end end;
    size_t size; /* of the record */
    int64_t lines;
    const char *fields; /* joined by '|' */
} record_case;

static const record_case cases[] = {
    {"a,b\nc", &csv, MTLI_RECORD_DONE, 4, 1, "a|b"},
    {"a,b\r\nc", &csv, MTLI_RECORD_DONE, 5, 1, "a|b"},
    {"a,b", &csv, MTLI_RECORD_DONE, 3, 0, "a|b"},
    {"a,b\r", &csv, MTLI_RECORD_DONE, 4, 0, "a|b"},
    {"a,", &csv, MTLI_RECORD_DONE, 2, 0, "a|"},
    {",\n", &csv, MTLI_RECORD_DONE, 2, 1, "|"},
    {"\nx", &csv, MTLI_RECORD_DONE, 1, 1, ""},
    {"\r\nx", &csv, MTLI_RECORD_DONE, 2, 1, ""},
    {"\"a\",\"b\"\nc", &csv, MTLI_RECORD_DONE, 8, 1, "a|b"},
    {"\"a,\"\"b\"\"\n\",c\r\nd", &csv, MTLI_RECORD_DONE, 14, 2, "a,\"b\"\n|c"},
    {"\"\"", &csv, MTLI_RECORD_DONE, 2, 0, ""},
    {"\"\"\"\"", &csv, MTLI_RECORD_DONE, 4, 0, "\""},
    {"\"\"\"\"\"\"\r\n", &csv, MTLI_RECORD_DONE, 8, 1, "\"\""},
    {"\"a\"\r", &csv, MTLI_RECORD_DONE, 4, 0, "a"},
    {"\"\n\n\n\",x\n", &csv, MTLI_RECORD_DONE, 8, 4, "\n\n\n|x"},
    {"a\"b\"\n", &csv, MTLI_RECORD_DONE, 5, 1, "a\"b\""},
    {"\"a\"b\n", &csv, MTLI_RECORD_QUOTE, 0, 0, NULL},
    {"\"a\" ,b\n", &csv, MTLI_RECORD_QUOTE, 0, 0, NULL},
    {"\"a\"\rb\n", &csv, MTLI_RECORD_QUOTE, 0, 0, NULL},
    {"x,\"a\n", &csv, MTLI_RECORD_OPEN, 0, 0, NULL},
    {"\"", &csv, MTLI_RECORD_OPEN, 0, 0, NULL},
    {"\"\"\"", &csv, MTLI_RECORD_OPEN, 0, 0, NULL},
    {"\"a\tb\"\tc,d\r\ne", &tsv, MTLI_RECORD_DONE, 11, 1, "\"a|b\"|c,d"},
    {"\"", &tsv, MTLI_RECORD_DONE, 1, 0, "\""},
};

static void check_fields(const mtli_record *record, mtl_context *context, const record_case *expected)
{
    mtli_buffer joined = {context, NULL, 0, 0, MTL_OK};
    for (size_t i = 0; i < record->num_fields; i++) {
        mtli_buffer_append(&joined, "|", i > 0);
        mtli_record_append(record, expected->text, i, &joined);
    }
    size_t length = strlen(expected->fields);
    if (joined.size != length || (length > 0 && memcmp(joined.data, expected->fields, length) != 0)) {
        fail_msg("\"%s\" has fields \"%.*s\", not \"%s\"", expected->text, (int)joined.size, joined.data,
                 expected->fields);
    }
    mtli_buffer_release(&joined);
}

static void test_pieces(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t size = strlen(cases[i].text);
        for (size_t piece = 1; piece <= size + 1; piece++) {
            mtli_record record;
            mtli_record_init(&record, context, *cases[i].dialect);
            mtli_record_end end = scan_in_pieces(&record, cases[i].text, size, piece);
            if (end != cases[i].end) {
                fail_msg("\"%s\" in pieces of %zu ends as %d, not %d", cases[i].text, piece, (int)end,
                         (int)cases[i].end);
            }
            if (end == MTLI_RECORD_DONE) {
                assert_int_equal(record.size, cases[i].size);
                assert_int_equal(record.lines, cases[i].lines);
                check_fields(&record, context, &cases[i]);
            }
            mtli_record_destroy(&record);
        }
    }
    mtl_context_release(context);
}

static void test_too_wide(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    char *commas = malloc(MTLI_FIELDS_MAX + 1);
    memset(commas, ',', MTLI_FIELDS_MAX + 1);
    mtli_record record;
    mtli_record_init(&record, context, csv);
    assert_int_equal(scan_in_pieces(&record, commas, MTLI_FIELDS_MAX - 1, 70000), MTLI_RECORD_DONE);
    assert_int_equal(record.num_fields, MTLI_FIELDS_MAX);
    assert_int_equal(scan_in_pieces(&record, commas, MTLI_FIELDS_MAX, 70000), MTLI_RECORD_WIDE);
    mtli_record_destroy(&record);
    free(commas);
    mtl_context_release(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_too_wide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
