/* SPDX-License-Identifier: Apache-2.0
 * Comparisons that say what differed: statuses with their messages, arrays with index and values. */
#include <math.h>

#include "support.h"

void test_expect_ok(mtl_context *context, mtl_status status, const char *call, const char *file, int line)
{
    if (status != MTL_OK) {
        print_error("%s\n  returned %s: %s\n", call, mtl_status_name(status), mtl_context_last_error(context));
        _fail(file, line);
    }
}

void test_expect_failure(mtl_context *context, mtl_status status, mtl_status expected, const char *message,
                         const char *call, const char *file, int line)
{
    const char *text = mtl_context_last_error(context);
    if (status != expected) {
        print_error("%s\n  returned %s, not %s: %s\n", call, mtl_status_name(status), mtl_status_name(expected), text);
        _fail(file, line);
    }
    if (message ? !strstr(text, message) : text[0] == '\0') {
        print_error("%s\n  says \"%s\", without \"%s\"\n", call, text, message ? message : "anything");
        _fail(file, line);
    }
}

static bool is_close(double actual, double expected, double rtol, double atol)
{
    if (isnan(actual) || isnan(expected)) {
        return isnan(actual) && isnan(expected);
    }
    if (isinf(actual) || isinf(expected)) {
        return isinf(actual) && isinf(expected) && signbit(actual) == signbit(expected);
    }
    return fabs(actual - expected) <= atol + rtol * fabs(expected);
}

static void report(const char *what, size_t index, double actual, double expected, double rtol, double atol)
{
    print_error("%s[%zu] = %.17g, not %.17g (difference %.3g, allowed %.3g)\n", what, index, actual, expected,
                fabs(actual - expected), atol + rtol * fabs(expected));
}

void test_close_float(const float *actual, const float *expected, size_t n, double rtol, double atol, const char *what,
                      const char *file, int line)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_close((double)actual[i], (double)expected[i], rtol, atol)) {
            report(what, i, (double)actual[i], (double)expected[i], rtol, atol);
            _fail(file, line);
        }
    }
}

void test_close_double(const double *actual, const double *expected, size_t n, double rtol, double atol,
                       const char *what, const char *file, int line)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_close(actual[i], expected[i], rtol, atol)) {
            report(what, i, actual[i], expected[i], rtol, atol);
            _fail(file, line);
        }
    }
}

void test_near(double actual, double expected, double tolerance, const char *what, const char *file, int line)
{
    if (!is_close(actual, expected, 0.0, tolerance)) {
        report(what, 0, actual, expected, 0.0, tolerance);
        _fail(file, line);
    }
}
