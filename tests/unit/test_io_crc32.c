/* SPDX-License-Identifier: Apache-2.0
 * CRC-32 against its definition, bit by bit. */
#include "support/support.h"

#include "io/crc32.h"

enum { SIZE = 600 };

static uint32_t slow_crc32(const unsigned char *data, size_t size)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
        }
    }
    return ~crc;
}

static void fill(unsigned char *data)
{
    uint32_t x = 1;
    for (size_t i = 0; i < SIZE; i++) {
        x = x * 1664525u + 1013904223u;
        data[i] = (unsigned char)(x >> 24);
    }
}

static void test_check_value(void **state)
{
    (void)state;
    assert_int_equal(mtli_crc32(0, "123456789", 9), 0xCBF43926u); /* the catalogues' check of CRC-32/ISO-HDLC */
    assert_int_equal(mtli_crc32(0, "", 0), 0);
    assert_int_equal(mtli_crc32(0, NULL, 0), 0);
}

static void test_every_size_and_place(void **state)
{
    (void)state;
    unsigned char data[SIZE];
    fill(data);
    for (size_t begin = 0; begin < 16; begin++) {
        for (size_t size = 0; begin + size <= SIZE; size++) {
            assert_int_equal(mtli_crc32(0, data + begin, size), slow_crc32(data + begin, size));
        }
    }
}

static void test_in_pieces(void **state)
{
    (void)state;
    unsigned char data[SIZE];
    fill(data);
    for (size_t cut = 0; cut <= SIZE; cut++) {
        assert_int_equal(mtli_crc32(mtli_crc32(0, data, cut), data + cut, SIZE - cut), slow_crc32(data, SIZE));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_value),
        cmocka_unit_test(test_every_size_and_place),
        cmocka_unit_test(test_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
