/* SPDX-License-Identifier: Apache-2.0
 * The small pieces under the text functions: characters, sorting, the table of words. */
#include "support/support.h"

#include "text/characters.h"
#include "text/sort.h"
#include "text/word_table.h"

/* Every code point that exists is read back; its class does not depend on the bytes before it. */
static void test_all_code_points(void **state)
{
    (void)state;
    for (int32_t codepoint = 0; codepoint <= 0x10FFFF; codepoint++) {
        unsigned char bytes[4];
        size_t size;
        int32_t found = -2;
        if (codepoint < 0x80) {
            bytes[0] = (unsigned char)codepoint;
            size = 1;
        } else if (codepoint < 0x800) {
            bytes[0] = (unsigned char)(0xC0 | codepoint >> 6);
            bytes[1] = (unsigned char)(0x80 | (codepoint & 0x3F));
            size = 2;
        } else if (codepoint < 0x10000) {
            bytes[0] = (unsigned char)(0xE0 | codepoint >> 12);
            bytes[1] = (unsigned char)(0x80 | (codepoint >> 6 & 0x3F));
            bytes[2] = (unsigned char)(0x80 | (codepoint & 0x3F));
            size = 3;
        } else {
            bytes[0] = (unsigned char)(0xF0 | codepoint >> 18);
            bytes[1] = (unsigned char)(0x80 | (codepoint >> 12 & 0x3F));
            bytes[2] = (unsigned char)(0x80 | (codepoint >> 6 & 0x3F));
            bytes[3] = (unsigned char)(0x80 | (codepoint & 0x3F));
            size = 4;
        }
        size_t taken = mtli_utf8_decode(bytes, size, &found);
        if (codepoint >= 0xD800 && codepoint <= 0xDFFF) { /* a surrogate: its first byte alone is ill-formed */
            assert_int_equal(found, -1);
            assert_int_equal(taken, 1);
        } else {
            assert_int_equal(found, codepoint);
            assert_int_equal(taken, size);
        }
        for (size_t cut = 1; cut < size && found >= 0; cut++) { /* a beginning of a character is one subpart */
            int32_t part = 0;
            assert_int_equal(mtli_utf8_decode(bytes, cut, &part), cut);
            assert_int_equal(part, -1);
        }
    }
}

static void test_classes(void **state)
{
    (void)state;
    static const struct {
        int32_t codepoint;
        mtli_char_class class;
    } cases[] = {
        {'a', MTLI_CHAR_WORD},        {'7', MTLI_CHAR_WORD},      {0xE9, MTLI_CHAR_WORD},
        {0x6211, MTLI_CHAR_WORD},     {0x216B, MTLI_CHAR_WORD},   {0x345, MTLI_CHAR_WORD},
        {0x301, MTLI_CHAR_MARK},
        {0x20E3, MTLI_CHAR_MARK},     {'\'', MTLI_CHAR_APOSTROPHE}, {0x2019, MTLI_CHAR_APOSTROPHE},
        {'-', MTLI_CHAR_SYMBOL},      {0x20AC, MTLI_CHAR_SYMBOL}, {0x1F600, MTLI_CHAR_SYMBOL},
        {MTLI_REPLACEMENT, MTLI_CHAR_SYMBOL},                     {0xAD, MTLI_CHAR_IGNORE},
        {0x200D, MTLI_CHAR_IGNORE},   {0xFE0F, MTLI_CHAR_IGNORE}, {0xFEFF, MTLI_CHAR_IGNORE},
        {0x200B, MTLI_CHAR_SPACE},    {' ', MTLI_CHAR_SPACE},     {0xA0, MTLI_CHAR_SPACE},
        {0x85, MTLI_CHAR_SPACE},      {0x2028, MTLI_CHAR_SPACE},  {0xE000, MTLI_CHAR_SPACE},
        {0x378, MTLI_CHAR_SPACE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (mtli_classify(cases[i].codepoint) != cases[i].class) {
            fail_msg("U+%04X is of class %d, not %d", (unsigned)cases[i].codepoint,
                     (int)mtli_classify(cases[i].codepoint), (int)cases[i].class);
        }
    }
}

static bool by_tens(const void *user, uint32_t a, uint32_t b)
{
    (void)user;
    return a / 10 < b / 10;
}

static void test_sort(void **state)
{
    (void)state;
    enum { MOST = 300 };
    uint32_t items[MOST], scratch[MOST], before[MOST];
    uint32_t random = 1;
    for (size_t count = 0; count <= MOST; count++) {
        for (size_t i = 0; i < count; i++) {
            random = random * 1664525u + 1013904223u;
            items[i] = before[i] = (random >> 16) % 97;
        }
        mtli_sort(items, scratch, count, by_tens, NULL);
        for (uint32_t ten = 0, at = 0; ten < 10; ten++) { /* stable: of each ten, those of before in their order */
            for (size_t i = 0; i < count; i++) {
                if (before[i] / 10 == ten) {
                    assert_int_equal(items[at++], before[i]);
                }
            }
        }
    }
}

static void test_word_table(void **state)
{
    (void)state;
    enum { WORDS = 5000 };
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context *context = test_context_on(&allocator);
    mtli_word_table table;
    mtli_word_table_init(&table, context);
    assert_int_equal(mtli_word_table_find(&table, "x", 1), -1);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < WORDS; i++) {
            char word[16];
            size_t size = (size_t)sprintf(word, "%zu", i * 7919);
            size_t number = 0;
            assert_int_equal(mtli_word_table_insert(&table, word, size, &number), MTL_OK);
            assert_int_equal(number, i);
            assert_string_equal(mtli_word_text(&table, i), word);
        }
        assert_int_equal(table.size, WORDS);
        assert_true(table.num_slots >= 2 * table.size);
    }
    size_t number;
    assert_int_equal(mtli_word_table_insert(&table, "a\0b", 3, &number), MTL_OK); /* zero bytes are bytes */
    assert_int_equal(mtli_word_table_find(&table, "a\0c", 3), -1);
    assert_int_equal(mtli_word_table_find(&table, "a", 1), -1);
    assert_int_equal(mtli_word_table_find(&table, "a\0b", 3), (int64_t)number);
    assert_int_equal(mtli_word_table_insert(&table, "", 0, &number), MTL_OK);
    assert_int_equal(mtli_word_table_find(&table, "", 0), (int64_t)number);
    mtli_word_table_destroy(&table);
    mtl_context_release(context);
    test_allocator_check(&allocator);
}

/* Known values of FNV-1a, 64 bit (Fowler, Noll & Vo's test suite). */
static void test_fnv(void **state)
{
    (void)state;
    assert_true(mtli_fnv(MTLI_FNV_BASIS, "", 0) == 0xcbf29ce484222325u);
    assert_true(mtli_fnv(MTLI_FNV_BASIS, "a", 1) == 0xaf63dc4c8601ec8cu);
    assert_true(mtli_fnv(MTLI_FNV_BASIS, "foobar", 6) == 0x85944171f73967e8u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_code_points), cmocka_unit_test(test_classes), cmocka_unit_test(test_sort),
        cmocka_unit_test(test_word_table),      cmocka_unit_test(test_fnv),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
