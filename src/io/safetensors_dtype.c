/* SPDX-License-Identifier: Apache-2.0
 * Element types of safetensors files, and byte order. */
#include <string.h>

#include "io/safetensors.h"

typedef struct dtype_row {
    char name[16];
    unsigned bits;
} dtype_row;

static const dtype_row dtype_rows[MTLI_SAFETENSORS_DTYPES] = {
    [MTLI_SAFETENSORS_BOOL] = {"BOOL", 8},
    [MTLI_SAFETENSORS_F4] = {"F4", 4},
    [MTLI_SAFETENSORS_F6_E2M3] = {"F6_E2M3", 6},
    [MTLI_SAFETENSORS_F6_E3M2] = {"F6_E3M2", 6},
    [MTLI_SAFETENSORS_U8] = {"U8", 8},
    [MTLI_SAFETENSORS_I8] = {"I8", 8},
    [MTLI_SAFETENSORS_F8_E5M2] = {"F8_E5M2", 8},
    [MTLI_SAFETENSORS_F8_E4M3] = {"F8_E4M3", 8},
    [MTLI_SAFETENSORS_F8_E8M0] = {"F8_E8M0", 8},
    [MTLI_SAFETENSORS_F8_E5M2FNUZ] = {"F8_E5M2FNUZ", 8},
    [MTLI_SAFETENSORS_F8_E4M3FNUZ] = {"F8_E4M3FNUZ", 8},
    [MTLI_SAFETENSORS_I16] = {"I16", 16},
    [MTLI_SAFETENSORS_U16] = {"U16", 16},
    [MTLI_SAFETENSORS_F16] = {"F16", 16},
    [MTLI_SAFETENSORS_BF16] = {"BF16", 16},
    [MTLI_SAFETENSORS_I32] = {"I32", 32},
    [MTLI_SAFETENSORS_U32] = {"U32", 32},
    [MTLI_SAFETENSORS_F32] = {"F32", 32},
    [MTLI_SAFETENSORS_C64] = {"C64", 64},
    [MTLI_SAFETENSORS_F64] = {"F64", 64},
    [MTLI_SAFETENSORS_I64] = {"I64", 64},
    [MTLI_SAFETENSORS_U64] = {"U64", 64},
};

const char *mtli_safetensors_dtype_name(mtli_safetensors_dtype dtype)
{
    return dtype_rows[dtype].name;
}

unsigned mtli_safetensors_dtype_bits(mtli_safetensors_dtype dtype)
{
    return dtype_rows[dtype].bits;
}

bool mtli_safetensors_find_dtype(const char *name, mtli_safetensors_dtype *dtype)
{
    for (unsigned i = 0; i < MTLI_SAFETENSORS_DTYPES; i++) {
        if (strcmp(dtype_rows[i].name, name) == 0) {
            *dtype = (mtli_safetensors_dtype)i;
            return true;
        }
    }
    return false;
}

bool mtli_safetensors_is_real(mtli_safetensors_dtype dtype)
{
    return dtype == MTLI_SAFETENSORS_F32 || dtype == MTLI_SAFETENSORS_F64 || dtype == MTLI_SAFETENSORS_F16 ||
           dtype == MTLI_SAFETENSORS_BF16;
}

bool mtli_host_is_big_endian(void)
{
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 0;
}

void mtli_swap_bytes(void *elements, size_t count, size_t size)
{
    unsigned char *bytes = elements;
    for (size_t i = 0; i < count; i++, bytes += size) {
        for (size_t low = 0, high = size - 1; low < high; low++, high--) {
            unsigned char byte = bytes[low];
            bytes[low] = bytes[high];
            bytes[high] = byte;
        }
    }
}
