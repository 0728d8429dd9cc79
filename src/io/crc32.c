/* SPDX-License-Identifier: Apache-2.0
 * CRC-32, eight bytes at a time ("slicing by 8": Kounavis and Berry, A systematic approach to building high performance
 * software-based CRC generators, 2005).
 *
 * Row k of the table maps a byte that k more bytes follow to its share of the checksum. The checksum is linear over
 * bits, so that eight numbers make a row: the shares of single bits. */
#include "io/crc32.h"

#define ENTRY(n, b0, b1, b2, b3, b4, b5, b6, b7) \
    (((n)&1 ? b0 : 0u) ^ ((n)&2 ? b1 : 0u) ^ ((n)&4 ? b2 : 0u) ^ ((n)&8 ? b3 : 0u) ^ ((n)&16 ? b4 : 0u) ^ \
     ((n)&32 ? b5 : 0u) ^ ((n)&64 ? b6 : 0u) ^ ((n)&128 ? b7 : 0u))
#define ENTRIES_4(n, ...) \
    ENTRY((n), __VA_ARGS__), ENTRY((n) + 1, __VA_ARGS__), ENTRY((n) + 2, __VA_ARGS__), ENTRY((n) + 3, __VA_ARGS__)
#define ENTRIES_16(n, ...) \
    ENTRIES_4((n), __VA_ARGS__), ENTRIES_4((n) + 4, __VA_ARGS__), ENTRIES_4((n) + 8, __VA_ARGS__), \
        ENTRIES_4((n) + 12, __VA_ARGS__)
#define ENTRIES_64(n, ...) \
    ENTRIES_16((n), __VA_ARGS__), ENTRIES_16((n) + 16, __VA_ARGS__), ENTRIES_16((n) + 32, __VA_ARGS__), \
        ENTRIES_16((n) + 48, __VA_ARGS__)
#define ROW(...) \
    { \
        ENTRIES_64(0, __VA_ARGS__), ENTRIES_64(64, __VA_ARGS__), ENTRIES_64(128, __VA_ARGS__), \
            ENTRIES_64(192, __VA_ARGS__) \
    }

enum { SLICES = 8 };

/* From the polynomial 0xEDB88320 (bits reversed). */
static const uint32_t crc_shares[SLICES][256] = {
    ROW(0x77073096u, 0xEE0E612Cu, 0x076DC419u, 0x0EDB8832u, 0x1DB71064u, 0x3B6E20C8u, 0x76DC4190u, 0xEDB88320u),
    ROW(0x191B3141u, 0x32366282u, 0x646CC504u, 0xC8D98A08u, 0x4AC21251u, 0x958424A2u, 0xF0794F05u, 0x3B83984Bu),
    ROW(0x01C26A37u, 0x0384D46Eu, 0x0709A8DCu, 0x0E1351B8u, 0x1C26A370u, 0x384D46E0u, 0x709A8DC0u, 0xE1351B80u),
    ROW(0xB8BC6765u, 0xAA09C88Bu, 0x8F629757u, 0xC5B428EFu, 0x5019579Fu, 0xA032AF3Eu, 0x9B14583Du, 0xED59B63Bu),
    ROW(0x3D6029B0u, 0x7AC05360u, 0xF580A6C0u, 0x30704BC1u, 0x60E09782u, 0xC1C12F04u, 0x58F35849u, 0xB1E6B092u),
    ROW(0xCB5CD3A5u, 0x4DC8A10Bu, 0x9B914216u, 0xEC53826Du, 0x03D6029Bu, 0x07AC0536u, 0x0F580A6Cu, 0x1EB014D8u),
    ROW(0xA6770BB4u, 0x979F1129u, 0xF44F2413u, 0x33EF4E67u, 0x67DE9CCEu, 0xCFBD399Cu, 0x440B7579u, 0x8816EAF2u),
    ROW(0xCCAA009Eu, 0x4225077Du, 0x844A0EFAu, 0xD3E51BB5u, 0x7CBB312Bu, 0xF9766256u, 0x299DC2EDu, 0x533B85DAu),
};

static uint32_t little_endian_word(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static uint32_t shares_of_word(uint32_t word, const uint32_t rows[4][256])
{
    return rows[3][word & 0xFFu] ^ rows[2][word >> 8 & 0xFFu] ^ rows[1][word >> 16 & 0xFFu] ^ rows[0][word >> 24];
}

uint32_t mtli_crc32(uint32_t crc, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    crc = ~crc;
    for (; size >= SLICES; size -= SLICES, bytes += SLICES) {
        crc = shares_of_word(crc ^ little_endian_word(bytes), crc_shares + 4) ^
              shares_of_word(little_endian_word(bytes + 4), crc_shares);
    }
    for (; size > 0; size--, bytes++) {
        crc = crc >> 8 ^ crc_shares[0][(crc ^ *bytes) & 0xFFu];
    }
    return ~crc;
}
