/* SPDX-License-Identifier: Apache-2.0
 * The JSON reader: what it accepts, as a string of events; what it refuses, and where; the writing of strings. */
#include "support/support.h"

#include "io/json.h"
#include "io/utf8.h"

/* One letter per event, in the order of mtli_json_event. */
static const char letters[] = "!.{}[]ks#rtfn";

static void events_of(const char *text, size_t size, char *events, size_t most, mtli_json *json)
{
    mtli_json_begin(json, text, size);
    size_t used = 0;
    for (;;) {
        mtli_json_event event = mtli_json_next(json);
        if (used + 1 < most) {
            events[used++] = letters[event];
        }
        if (event == MTLI_JSON_END || event == MTLI_JSON_ERROR) {
            break;
        }
    }
    events[used] = '\0';
}

static void test_accepts(void **state)
{
    (void)state;
    const struct {
        const char *text, *events;
    } cases[] = {
        {"{}", "{}."},
        {" \t\r\n[ ] ", "[]."},
        {"null", "n."},
        {"true", "t."},
        {"false", "f."},
        {"\"\"", "s."},
        {"0", "#."},
        {"-0", "#."},
        {"-12", "#."},
        {"1.5", "r."},
        {"1e5", "r."},
        {"1E+5", "r."},
        {"0.0e-0", "r."},
        {"9223372036854775808", "r."},
        {"{\"a\":1,\"b\":[true,false,null],\"c\":{\"d\":\"e\"}}", "{k#k[tfn]k{ks}}."},
        {"[[],[[]],{}]", "[[][[]]{}]."},
        {"{ \"a\" : [ 1 , 2 ] }", "{k[##]}."},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\"", "s."},
        {"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f\"", "s."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char events[64];
        mtli_json json;
        events_of(cases[i].text, strlen(cases[i].text), events, sizeof events, &json);
        assert_string_equal(events, cases[i].events);
    }
}

static void test_refuses(void **state)
{
    (void)state;
    const struct {
        const char *text, *error;
        size_t position;
    } cases[] = {
        {"", "not a value", 0},
        {"  ", "not a value", 2},
        {"{", "a key is missing", 1},
        {"[", "not a value", 1},
        {"[1", "',' or ']' is missing", 2},
        {"[1,]", "not a value", 3},
        {"[,1]", "not a value", 1},
        {"[1 2]", "',' or ']' is missing", 3},
        {"[1}", "',' or ']' is missing", 2},
        {"{\"a\":1]", "',' or '}' is missing", 6},
        {"{\"a\":1,}", "a key is missing", 7},
        {"{\"a\" 1}", "':' is missing", 5},
        {"{\"a\":}", "not a value", 5},
        {"{a:1}", "a key is missing", 1},
        {"{1:1}", "a key is missing", 1},
        {"{}{}", "something follows the value", 2},
        {"{} x", "something follows the value", 3},
        {"tru", "not a value", 0},
        {"truth", "not a value", 0},
        {"nullx", "something follows the value", 4},
        {"NaN", "not a value", 0},
        {"+1", "not a value", 0},
        {"-", "an invalid number", 1},
        {"01", "an invalid number", 2},
        {"-01", "an invalid number", 3},
        {"1.", "an invalid number", 2},
        {".5", "not a value", 0},
        {"1e", "an invalid number", 2},
        {"1e+", "an invalid number", 3},
        {"0x1", "something follows the value", 1},
        {"'a'", "not a value", 0},
        {"\"a", "a string does not end", 2},
        {"\"a\nb\"", "a control character in a string", 2},
        {"\"\x1f\"", "a control character in a string", 1},
        {"\"\\x\"", "an invalid escape", 1},
        {"\"\\", "an invalid escape", 1},
        {"\"\\u12g4\"", "an invalid escape", 1},
        {"\"\\u123", "an invalid escape", 1},
        {"\"\\ud800\"", "an invalid escape", 1},        /* a high surrogate alone */
        {"\"\\ud800\\u0041\"", "an invalid escape", 1}, /* followed by none */
        {"\"\\ude00\"", "an invalid escape", 1},        /* a low one alone */
        {"\"\xff\"", "invalid UTF-8", 1},
        {"\"\xc0\xaf\"", "invalid UTF-8", 1},         /* overlong */
        {"\"\xe0\x9f\xbf\"", "invalid UTF-8", 1},     /* overlong */
        {"\"\xed\xa0\x80\"", "invalid UTF-8", 1},     /* a surrogate */
        {"\"\xf4\x90\x80\x80\"", "invalid UTF-8", 1}, /* beyond 10FFFF */
        {"\"\xe2\x82\"", "invalid UTF-8", 1},         /* cut by the quote */
        {"/**/1", "not a value", 0},
        {"\xef\xbb\xbf{}", "not a value", 0}, /* a byte order mark */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char events[64];
        mtli_json json;
        events_of(cases[i].text, strlen(cases[i].text), events, sizeof events, &json);
        if (!json.error || strcmp(json.error, cases[i].error) != 0 || json.position != cases[i].position) {
            fail_msg("%s: %s at %zu, not %s at %zu", cases[i].text, json.error ? json.error : "accepted",
                     json.position, cases[i].error, cases[i].position);
        }
        assert_int_equal(mtli_json_next(&json), MTLI_JSON_ERROR); /* and it stays so */
    }
}

static void test_zero_byte_is_no_end(void **state)
{
    (void)state;
    char events[8];
    mtli_json json;
    events_of("{}\0", 3, events, sizeof events, &json);
    assert_string_equal(events, "{}!");
    events_of("\"a\0b\"", 5, events, sizeof events, &json);
    assert_string_equal(events, "!");
}

static void test_every_prefix_is_refused(void **state)
{
    (void)state;
    const char *text = "{\"a\":[1,-2.5e3,\"\\u00e9\\ud83d\\ude00\",true],\"b\":{\"c\":null,\"d\":\"\xc3\xa9\"}}";
    for (size_t size = 0; size < strlen(text); size++) {
        char *exact = malloc(size ? size : 1); /* so that a checker sees a read beyond the end */
        memcpy(exact, text, size);
        char events[64];
        mtli_json json;
        events_of(exact, size, events, sizeof events, &json);
        assert_non_null(json.error);
        assert_true(json.position <= size);
        free(exact);
    }
}

static void test_depth(void **state)
{
    (void)state;
    char text[2 * 40 + 1];
    for (int depth = 1; depth <= 40; depth++) {
        char events[128];
        mtli_json json;
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        events_of(text, 2 * (size_t)depth, events, sizeof events, &json);
        if (depth <= MTLI_JSON_DEPTH) {
            assert_null(json.error);
            assert_int_equal(strlen(events), 2 * depth + 1);
        } else {
            assert_string_equal(json.error, "nested too deeply");
            assert_int_equal(json.position, MTLI_JSON_DEPTH);
        }
    }
}

static void test_integers(void **state)
{
    (void)state;
    const struct {
        const char *text;
        int64_t value;
    } cases[] = {
        {"0", 0}, {"-1", -1}, {"9223372036854775807", INT64_MAX}, {"-9223372036854775808", INT64_MIN}, {"120", 120},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mtli_json json;
        mtli_json_begin(&json, cases[i].text, strlen(cases[i].text));
        assert_int_equal(mtli_json_next(&json), MTLI_JSON_INTEGER);
        assert_true(json.integer == cases[i].value);
    }
    const char *beyond[] = {"9223372036854775808", "-9223372036854775809", "99999999999999999999999"};
    for (size_t i = 0; i < 3; i++) {
        mtli_json json;
        mtli_json_begin(&json, beyond[i], strlen(beyond[i]));
        assert_int_equal(mtli_json_next(&json), MTLI_JSON_REAL);
    }
}

static void test_strings(void **state)
{
    (void)state;
    const struct {
        const char *text, *value;
        size_t size;
    } cases[] = {
        {"\"\"", "", 0},
        {"\"plain\"", "plain", 5},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8},
        {"\"\\u0041\\u00E9\\u20ac\\uD83D\\uDE00\"", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10},
        {"\"\\u0000x\"", "\0x", 2},
        {"\"\\uffff\\ud800\\udc00\\udbff\\udfff\"", "\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 11},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char copy[64];
        mtli_json json;
        memcpy(copy, cases[i].text, strlen(cases[i].text) + 1);
        mtli_json_begin(&json, copy, strlen(copy));
        assert_int_equal(mtli_json_next(&json), MTLI_JSON_STRING);
        size_t size = mtli_json_string(&json, copy + json.start); /* in place */
        assert_int_equal(size, cases[i].size);
        assert_memory_equal(copy + json.start, cases[i].value, size);
    }
}

static void test_writes_what_it_reads(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    char all[0x100];
    size_t length = 0;
    for (unsigned c = 1; c < 0x80; c++) {
        all[length++] = (char)c;
    }
    memcpy(all + length, "\xc3\xa9\xf0\x9f\x98\x80", 6);
    length += 6;
    mtli_buffer buffer = {context, NULL, 0, 0, MTL_OK};
    mtli_json_write_string(&buffer, all, length);
    assert_int_equal(buffer.status, MTL_OK);
    for (size_t i = 0; i < buffer.size; i++) {
        assert_true((unsigned char)buffer.data[i] >= 0x20);
    }
    mtli_json json;
    mtli_json_begin(&json, buffer.data, buffer.size);
    assert_int_equal(mtli_json_next(&json), MTLI_JSON_STRING);
    char *back = malloc(json.length);
    assert_int_equal(mtli_json_string(&json, back), length);
    assert_memory_equal(back, all, length);
    assert_int_equal(mtli_json_next(&json), MTLI_JSON_END);
    free(back);
    buffer.size = 0;
    mtli_json_write_string(&buffer, "a\"b\\c\nd\x01", 8);
    assert_int_equal(buffer.size, strlen("\"a\\\"b\\\\c\\nd\\u0001\""));
    assert_memory_equal(buffer.data, "\"a\\\"b\\\\c\\nd\\u0001\"", buffer.size);
    mtli_buffer_release(&buffer);
    mtl_context_release(context);
}

static void test_utf8(void **state)
{
    (void)state;
    for (uint32_t scalar = 1; scalar <= 0x10FFFF; scalar++) {
        char bytes[4];
        size_t size = mtli_utf8_put(scalar, bytes);
        bool surrogate = scalar >= 0xD800 && scalar <= 0xDFFF;
        assert_int_equal(mtli_utf8_length(bytes, size), surrogate ? 0 : size);
        assert_int_equal(mtli_utf8_length(bytes, size - 1), 0); /* cut */
    }
    char shown[MTLI_SHOWN_TEXT];
    assert_string_equal(mtli_shown_text("a\nb\xff\xc3\xa9", 6, shown), "a?b?\xc3\xa9");
    char lengthy[300];
    memset(lengthy, 'x', sizeof lengthy);
    memcpy(lengthy + 99, "\xc3\xa9", 2); /* does not fit whole into 100 bytes */
    assert_int_equal(strlen(mtli_shown_text(lengthy, sizeof lengthy, shown)), 99 + 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_zero_byte_is_no_end),
        cmocka_unit_test(test_every_prefix_is_refused),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_writes_what_it_reads),
        cmocka_unit_test(test_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
