/* SPDX-License-Identifier: Apache-2.0
 * Numbers as text: exact, strict, and the same under a locale with a decimal comma. */
#include "support/support.h"

#include <float.h>
#include <locale.h>
#include <math.h>

#include "checkpoint/number.h"

static void expect_exact(double value)
{
    char text[MTLI_NUMBER_TEXT];
    double back = 0;
    mtli_format_real(value, text);
    assert_null(strchr(text, ','));
    if (!mtli_read_real(text, &back) || memcmp(&back, &value, sizeof value) != 0) {
        fail_msg("%a became '%s' and then %a", value, text, back);
    }
}

static void check_exact_values(void)
{
    const double values[] = {0.0,     -0.0,    0.1,         1.0 / 3.0, 0.5,    -2.5,          1e-300,
                             1e300,   DBL_MAX, DBL_MIN,     DBL_TRUE_MIN, 1e15, 123456789.125, 4503599627370497.5,
                             1.0 - DBL_EPSILON / 2};
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
    char text[MTLI_NUMBER_TEXT];
    mtli_format_real(0.1, text);
    assert_string_equal(text, "0.1");
    mtli_format_real(-2.5e-10, text);
    assert_string_equal(text, "-2.5e-10");
    mtli_format_real(3, text);
    assert_string_equal(text, "3");
}

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
    assert_false(mtli_read_real("0,5", &value));
    setlocale(LC_NUMERIC, "C");
}

static void test_what_is_no_real(void **state)
{
    (void)state;
    const char *bad[] = {"", "-", "+1", ".5", "1.", "1e", "1e+", " 1", "1 ", "1,5", "0x1", "nan", "inf", "-inf",
                         "1e999", "1.5.5", "--1", "infinity", "1f",
                         "0.00000000000000000000000000000000000000000000000000000000000001"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        double value = 42;
        if (mtli_read_real(bad[i], &value) || value != 42) {
            fail_msg("'%s' was read as %g", bad[i], value);
        }
    }
    char text[MTLI_NUMBER_TEXT];
    double value;
    mtli_format_real((double)NAN, text);
    assert_false(mtli_read_real(text, &value));
    mtli_format_real(-(double)INFINITY, text);
    assert_false(mtli_read_real(text, &value));
}

static void test_integers(void **state)
{
    (void)state;
    int64_t value = 0;
    assert_true(mtli_read_integer("-9223372036854775808", &value) && value == INT64_MIN);
    assert_true(mtli_read_integer("9223372036854775807", &value) && value == INT64_MAX);
    assert_true(mtli_read_integer("0", &value) && value == 0);
    const char *bad[] = {"", "-", "+1", " 1", "1 ", "1.0", "0x1", "9223372036854775808", "-9223372036854775809", "a"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        value = 42;
        assert_false(mtli_read_integer(bad[i], &value));
        assert_int_equal(value, 42);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reals_are_exact),
        cmocka_unit_test(test_reals_under_a_comma),
        cmocka_unit_test(test_what_is_no_real),
        cmocka_unit_test(test_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
