/* SPDX-License-Identifier: Apache-2.0
 * Status codes: names, texts, pinned values, and the version. */
#include "support.h"

#include <mtl/version.h>

static void every_status_has_its_name_and_text(void **state)
{
    (void)state;
    static const struct {
        mtl_status status;
        int value;
        const char *name;
    } known[] = {
        {MTL_OK, 0, "MTL_OK"},
        {MTL_ERROR_MEMORY, 1, "MTL_ERROR_MEMORY"},
        {MTL_ERROR_ARGUMENT, 2, "MTL_ERROR_ARGUMENT"},
        {MTL_ERROR_SHAPE, 3, "MTL_ERROR_SHAPE"},
        {MTL_ERROR_DTYPE, 4, "MTL_ERROR_DTYPE"},
        {MTL_ERROR_STATE, 5, "MTL_ERROR_STATE"},
        {MTL_ERROR_UNSUPPORTED, 6, "MTL_ERROR_UNSUPPORTED"},
        {MTL_ERROR_IO, 7, "MTL_ERROR_IO"},
        {MTL_ERROR_FORMAT, 8, "MTL_ERROR_FORMAT"},
        {MTL_ERROR_LIMIT, 9, "MTL_ERROR_LIMIT"},
        {MTL_ERROR_NUMERIC, 10, "MTL_ERROR_NUMERIC"},
        {MTL_ERROR_CANCELLED, 11, "MTL_ERROR_CANCELLED"},
        {MTL_ERROR_INTERNAL, 12, "MTL_ERROR_INTERNAL"},
    };
    enum { KNOWN = sizeof known / sizeof known[0] };
    for (int i = 0; i < KNOWN; i++) {
        assert_int_equal(known[i].status, known[i].value);
        assert_string_equal(mtl_status_name(known[i].status), known[i].name);
        assert_true(strlen(mtl_status_text(known[i].status)) > 3);
        for (int k = 0; k < i; k++) {
            assert_string_not_equal(mtl_status_text(known[i].status), mtl_status_text(known[k].status));
        }
    }
}

static void unknown_statuses_have_a_name_too(void **state)
{
    (void)state;
    const int unknown[] = {-1, 13, 1000, MTL_STATUS_FORCE_INT};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        assert_string_equal(mtl_status_name((mtl_status)unknown[i]), "MTL_UNKNOWN_STATUS");
        assert_string_equal(mtl_status_text((mtl_status)unknown[i]), "unknown status");
    }
}

static void header_and_library_are_of_one_version(void **state)
{
    (void)state;
    char version[64];
    snprintf(version, sizeof version, "%d.%d.%d", MTL_VERSION_MAJOR, MTL_VERSION_MINOR, MTL_VERSION_PATCH);
    assert_string_equal(mtl_version(), version);
    assert_string_equal(mtl_version(), MTL_VERSION_STRING);
    assert_true(strlen(mtl_build_info()) > 0);
    assert_null(strchr(mtl_build_info(), '\n'));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_name_and_text),
        cmocka_unit_test(unknown_statuses_have_a_name_too),
        cmocka_unit_test(header_and_library_are_of_one_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
