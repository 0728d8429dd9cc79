/* SPDX-License-Identifier: Apache-2.0
 * Numbers as text: exact, strict, and the same under a locale with a decimal comma. */
#include "support/support.h"

#include <float.h>
#include <locale.h>
#include <math.h>

#include "base/number.h"

static bool parse(const char *text, double *value)
{
    return mtli_parse_real(text, strlen(text), value);
}

/* ---- writing and reading again ---- */

static void expect_exact(double value)
{
    char text[MTLI_NUMBER_TEXT];
    double back = 0;
    mtli_format_real(value, text);
    assert_null(strchr(text, ','));
    if (!parse(text, &back) || memcmp(&back, &value, sizeof value) != 0) {
        fail_msg("%a became '%s' and then %a", value, text, back);
    }
}

static void expect_text(double value, const char *expected)
{
    char text[MTLI_NUMBER_TEXT];
    mtli_format_real(value, text);
    assert_string_equal(text, expected);
}

static void check_exact_values(void)
{
    const double values[] = {0.0,     -0.0,    0.1,         1.0 / 3.0, 0.5,    -2.5,          1e-300,
                             1e300,   DBL_MAX, DBL_MIN,     DBL_TRUE_MIN, 1e15, 123456789.125, 4503599627370497.5,
                             1.0 - DBL_EPSILON / 2, DBL_MIN - DBL_TRUE_MIN, -DBL_MAX};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        expect_exact(values[i]);
    }
    uint64_t bits = 1;
    for (int i = 0; i < 20000; i++) {
        double value;
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value)) {
            expect_exact(value);
        }
    }
    expect_text(0.1, "0.1");
    expect_text(-2.5e-10, "-2.5e-10");
    expect_text(3, "3");
    expect_text(100, "100");
    expect_text(0, "0");
    expect_text(-0.0, "-0");
    expect_text(DBL_TRUE_MIN, "5e-324");
    expect_text(0.1 + 0.2, "0.30000000000000004");
    expect_text(5e-5, "5e-05");
}

/* ---- reading what others wrote ---- */

/* The double that lies nearest, in every form; the C library's own reading is the judge, under its locale "C". */
static void test_reals_are_nearest(void **state)
{
    (void)state;
    static const char *const texts[] = {"0",    "-0",      "1",     "+1.5",   ".25",     "3.",      "1e3",
                                        "1E-3", "-2.5e+2", "1e22",  "1e-22",  "00012.50", "123456789012345",
                                        "9007199254740993", "0.1",  "1e308",  "1.7976931348623157e308",
                                        "2.2250738585072014e-308", "1e-320", "1e-400", "0e99999999999",
                                        "123456789012345678901234567890", "0.000000000000000000000000000012345",
                                        "1.5", "-7.25e-3", "+1", ".5", "1.", "0e-99999999999999999999999", "-.5e1",
                                        "9007199254740992.999999999999999999999999999999999999999999999999999999999",
                                        "0.00000000000000000000000000000000000000000000000000000000000001",
                                        "2.4703282292062327208e-324", "2.4703282292062328e-324", "4.9e-324"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        double value = -1.0;
        double expected = strtod(texts[i], NULL);
        if (!parse(texts[i], &value) || memcmp(&value, &expected, sizeof value) != 0) {
            fail_msg("'%s' was read as %a, not %a", texts[i], value, expected);
        }
    }
}

/* Known bits, so that the C library is not its own judge: the texts that broke other readers, and ties. */
static void test_reals_of_known_bits(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        {"2.2250738585072011e-308", 0x0.fffffffffffffp-1022}, /* the largest denormal; loops in old readers */
        {"2.2250738585072012e-308", 0x1p-1022},
        {"9007199254740993", 0x1p53},                   /* the middle of two doubles: to the even one */
        {"9007199254740993.0000000000000000000000000000000000000001", 0x1.0000000000001p53},
        {"9007199254740995", 0x1.0000000000002p53},
        {"1.7976931348623158e308", DBL_MAX},
        {"1.7976931348623158079372897140530341507993413271003782693617377898044e308", DBL_MAX},
        {"6.631236846766476e-316", 0x0.0000008p-1022},  /* a denormal of one bit */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double value = -1.0;
        if (!parse(cases[i].text, &value) || value != cases[i].value) {
            fail_msg("'%s' was read as %a, not %a", cases[i].text, value, cases[i].value);
        }
    }
}

/* The middle between 0 and the least double has 751 significant digits: 2^-1075 = 5^1075 / 10^1075. One digit more or
 * less, a thousand digits behind, decides. */
static void test_reals_of_many_digits(void **state)
{
    (void)state;
    enum { PLACES = 1075, ZEROS = 3000 };
    static char text[2 + PLACES + ZEROS + 8];
    unsigned char digits[PLACES] = {0}; /* the places of 5^1075, the last one first */
    digits[0] = 1;
    for (int i = 0; i < PLACES; i++) {
        unsigned carry = 0;
        for (int k = 0; k < PLACES; k++) {
            unsigned product = 5u * digits[k] + carry;
            digits[k] = (unsigned char)(product % 10);
            carry = product / 10;
        }
        assert_int_equal(carry, 0);
    }
    memcpy(text, "0.", 2);
    for (int k = 0; k < PLACES; k++) {
        text[2 + k] = (char)('0' + digits[PLACES - 1 - k]);
    }
    double value = -1.0;
    assert_true(mtli_parse_real(text, 2 + PLACES, &value));
    assert_true(value == 0.0); /* the tie goes to the even one */
    memset(text + 2 + PLACES, '0', ZEROS);
    assert_true(mtli_parse_real(text, 2 + PLACES + ZEROS, &value));
    assert_true(value == 0.0);
    text[2 + PLACES + ZEROS - 2] = '1';
    assert_true(mtli_parse_real(text, 2 + PLACES + ZEROS, &value));
    assert_true(value == DBL_TRUE_MIN);
}

/* Zeros that an exponent takes back, on both sides. */
static void test_reals_with_far_points(void **state)
{
    (void)state;
    enum { ZEROS = 20000 };
    static char text[ZEROS + 32];
    double value = -1.0;
    text[0] = '1';
    memset(text + 1, '0', ZEROS);
    strcpy(text + 1 + ZEROS, "e-20000");
    assert_true(parse(text, &value));
    assert_true(value == 1.0);
    strcpy(text + 1 + ZEROS, "e-20001");
    assert_true(parse(text, &value));
    assert_true(value == 0.1);
    assert_false(mtli_parse_real(text, 1 + ZEROS, &value)); /* without the exponent it is no double */
    assert_true(value == 0.1);
    text[0] = '.';
    strcpy(text + 1 + ZEROS, "123e20001");
    assert_true(parse(text, &value));
    assert_true(value == 1.23);
    assert_true(mtli_parse_real(text, 1 + ZEROS + 3, &value));
    assert_true(value == 0.0);
}

static void test_what_is_no_real(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "+", "-", ".", "e1", ".e1", "1e", "1e+", "1 ", " 1", "1.2.3", "0x1", "nan",
                                      "inf", "-inf", "infinity", "1e309", "-1e309", "1e999", "1e99999999999999999999", "1,5",
                                      "0,5", "--1", "+-1", "1f", "1.5.5", "1e1.5", "1_000",
                                      "1.7976931348623159e308"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        double value = 42;
        if (parse(bad[i], &value) || value != 42) {
            fail_msg("'%s' was read as %g", bad[i], value);
        }
    }
    char text[MTLI_NUMBER_TEXT];
    double value = 42;
    mtli_format_real((double)NAN, text);
    assert_string_equal(text, "nan");
    assert_false(parse(text, &value));
    mtli_format_real(-(double)INFINITY, text);
    assert_string_equal(text, "-inf");
    assert_false(parse(text, &value));
    assert_false(mtli_parse_real("1\0", 2, &value)); /* a zero byte is no end */
    assert_true(mtli_parse_real("12345", 2, &value)); /* nothing beyond the size is read */
    assert_true(value == 12);
}

/* ---- the locale ---- */

static void test_reals_are_exact(void **state)
{
    (void)state;
    check_exact_values();
}

static void test_reals_under_a_comma(void **state)
{
    (void)state;
    const char *names[] = {"de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8", "fr_FR.utf8", "fr_FR"};
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !found; i++) {
        found = setlocale(LC_NUMERIC, names[i]) != NULL && strcmp(localeconv()->decimal_point, ",") == 0;
    }
    if (!found) {
        print_message("skipped: no locale with a decimal comma is installed\n");
        skip();
    }
    check_exact_values();
    double value;
    assert_false(parse("0,5", &value));
    assert_true(parse("12.5e-1", &value));
    assert_true(value == 1.25);
    setlocale(LC_NUMERIC, "C");
}

/* ---- integers ---- */

static bool parse_integer(const char *text, int64_t *value)
{
    return mtli_parse_integer(text, strlen(text), value);
}

static void test_integers(void **state)
{
    (void)state;
    int64_t value = 0;
    assert_true(parse_integer("-9223372036854775808", &value) && value == INT64_MIN);
    assert_true(parse_integer("9223372036854775807", &value) && value == INT64_MAX);
    assert_true(parse_integer("0", &value) && value == 0);
    assert_true(parse_integer("-12", &value) && value == -12);
    assert_true(parse_integer("0000000000000000000000000007", &value) && value == 7);
    assert_true(mtli_parse_integer("12345", 3, &value) && value == 123);
    const char *bad[] = {"", "-", "+1", " 1", "1 ", "1.0", "0x1", "9223372036854775808", "-9223372036854775809", "a",
                         "--1", "18446744073709551616", "92233720368547758070"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        value = 42;
        assert_false(parse_integer(bad[i], &value));
        assert_int_equal(value, 42);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reals_are_exact),       cmocka_unit_test(test_reals_are_nearest),
        cmocka_unit_test(test_reals_of_known_bits),   cmocka_unit_test(test_reals_of_many_digits),
        cmocka_unit_test(test_reals_with_far_points), cmocka_unit_test(test_what_is_no_real),
        cmocka_unit_test(test_reals_under_a_comma),   cmocka_unit_test(test_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
