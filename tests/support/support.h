/* SPDX-License-Identifier: Apache-2.0
 * What the tests share: cmocka's headers in their order, an allocator that counts and fails, temporary files,
 * comparisons.
 * Uses the public headers only, so that every kind of test can include it. */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <mtl/context.h>
#include <mtl/status.h>

/* ---- statuses ---- */

void test_expect_ok(mtl_context *context, mtl_status status, const char *call, const char *file, int line);
void test_expect_failure(mtl_context *context, mtl_status status, mtl_status expected, const char *message,
                         const char *call, const char *file, int line);

/** The call must return MTL_OK; else the context's message is shown. */
#define assert_ok(context, call) test_expect_ok((context), (call), #call, __FILE__, __LINE__)

/** The call must return `expected`, and the context's message must contain `message` (NULL: it must not be empty). */
#define assert_fails(context, call, expected, message) \
    test_expect_failure((context), (call), (expected), (message), #call, __FILE__, __LINE__)

/* ---- memory ---- */

/** An allocator that counts, checks sizes and alignments at release, and fails where it is told to. */
typedef struct mtl_test_allocator {
    mtl_allocator hook;
    long live_blocks;
    long live_bytes;
    long calls;       /* of allocate, failed ones included */
    long fail_at;     /* the call, from 0, that fails; -1: none */
    int fail_forever; /* not 0: every later call fails too */
    long errors;      /* releases of a wrong size or alignment, writes beyond a block */
} mtl_test_allocator;

void test_allocator_init(mtl_test_allocator *allocator);

/** Everything was given back, with the right sizes. */
void test_allocator_check(const mtl_test_allocator *allocator);

/** A context with every default. */
mtl_context *test_context(void);

/** A context on an allocator; NULL when the allocator failed. */
mtl_context *test_context_on(mtl_test_allocator *allocator);

/** How often a context has called its allocator. */
uint64_t test_allocations(mtl_context *context);

/** Makes, uses and releases something. Returns the first status that is not MTL_OK; must leave nothing behind. */
typedef mtl_status (*test_scenario)(mtl_context *context, void *user);

/** Runs a scenario with the k-th allocation failing, k = 0, 1, ... until it succeeds; once with that call alone
 *  failing, once with all later ones too. Each run must give MTL_ERROR_MEMORY and give everything back. */
void test_each_allocation_failing(test_scenario scenario, void *user);

/* ---- files ---- */

enum { TEST_PATH_SIZE = 512, TEST_PATHS = 8 };

/** A temporary folder. Paths made in it live until the eighth after them is made. */
typedef struct test_folder {
    char path[TEST_PATH_SIZE / 2];
    char paths[TEST_PATHS][TEST_PATH_SIZE];
    unsigned next;
} test_folder;

void test_folder_create(test_folder *folder);
void test_folder_remove(test_folder *folder); /* with everything inside */

/** folder/name. */
const char *test_path(test_folder *folder, const char *name);

/** Makes a folder inside; returns its path. */
const char *test_make_folder(test_folder *folder, const char *name);

/** Writes a file; returns its path. */
const char *test_write(test_folder *folder, const char *name, const void *data, size_t size);
const char *test_write_text(test_folder *folder, const char *name, const char *text);

/** A whole file, with a zero byte behind it; free() it. size may be NULL. */
char *test_read_file(const char *path, size_t *size);

/** How many entries a folder has. */
int test_count_files(const char *path);

/** The path of a file of the real data, or NULL when it is not there: the test should skip(). `path` has room for
 *  TEST_PATH_SIZE bytes. The folder is the environment's MTL_DATA_DIR, else the build's MTL_TEST_DATA_DIR. */
const char *test_data_path(char *path, const char *name);

/* ---- numbers ---- */

void test_close_float(const float *actual, const float *expected, size_t n, double rtol, double atol, const char *what,
                      const char *file, int line);
void test_close_double(const double *actual, const double *expected, size_t n, double rtol, double atol,
                       const char *what, const char *file, int line);

/** |actual[i] - expected[i]| <= atol + rtol * |expected[i]| for all i; equal infinities and two NaN are close. Both
 *  arrays are float or both are double. */
#define assert_close(actual, expected, n, rtol, atol) \
    _Generic((actual), \
        float *: test_close_float, \
        const float *: test_close_float, \
        double *: test_close_double, \
        const double *: test_close_double)((actual), (expected), (n), (rtol), (atol), #actual, __FILE__, __LINE__)

/** One number. */
void test_near(double actual, double expected, double tolerance, const char *what, const char *file, int line);
#define assert_near(actual, expected, tolerance) \
    test_near((double)(actual), (double)(expected), (tolerance), #actual, __FILE__, __LINE__)

#endif
