/* SPDX-License-Identifier: Apache-2.0
 * The safetensors container: named tensors and string metadata in one file. Knows nothing of models.
 *
 * Layout: 8 bytes length of the header (little-endian), the header (JSON, padded with spaces), the data. The header
 * maps each name to {"dtype", "shape", "data_offsets"}, and "__metadata__" to a map of strings. The data of all tensors
 * together covers the rest of the file without gap or overlap. */
#ifndef MTLI_IO_SAFETENSORS_H
#define MTLI_IO_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/real.h"
#include "io/atomic_file.h"
#include "io/file.h"

/** As in the reference implementation. */
#define MTLI_SAFETENSORS_MAX_HEADER 100000000u

/* ---- element types ---- */

typedef enum mtli_safetensors_dtype {
    MTLI_SAFETENSORS_BOOL,
    MTLI_SAFETENSORS_F4,
    MTLI_SAFETENSORS_F6_E2M3,
    MTLI_SAFETENSORS_F6_E3M2,
    MTLI_SAFETENSORS_U8,
    MTLI_SAFETENSORS_I8,
    MTLI_SAFETENSORS_F8_E5M2,
    MTLI_SAFETENSORS_F8_E4M3,
    MTLI_SAFETENSORS_F8_E8M0,
    MTLI_SAFETENSORS_F8_E5M2FNUZ,
    MTLI_SAFETENSORS_F8_E4M3FNUZ,
    MTLI_SAFETENSORS_I16,
    MTLI_SAFETENSORS_U16,
    MTLI_SAFETENSORS_F16,
    MTLI_SAFETENSORS_BF16,
    MTLI_SAFETENSORS_I32,
    MTLI_SAFETENSORS_U32,
    MTLI_SAFETENSORS_F32,
    MTLI_SAFETENSORS_C64,
    MTLI_SAFETENSORS_F64,
    MTLI_SAFETENSORS_I64,
    MTLI_SAFETENSORS_U64,
    MTLI_SAFETENSORS_DTYPES
} mtli_safetensors_dtype;

/** How this build stores real numbers. */
#ifdef MTLI_DOUBLE
#define MTLI_SAFETENSORS_REAL MTLI_SAFETENSORS_F64
#else
#define MTLI_SAFETENSORS_REAL MTLI_SAFETENSORS_F32
#endif

const char *mtli_safetensors_dtype_name(mtli_safetensors_dtype dtype);
unsigned mtli_safetensors_dtype_bits(mtli_safetensors_dtype dtype);
/** False when there is no such type. */
bool mtli_safetensors_find_dtype(const char *name, mtli_safetensors_dtype *dtype);
/** True for the types that mtli_safetensors_read_real() converts: F32, F64, F16, BF16. */
bool mtli_safetensors_is_real(mtli_safetensors_dtype dtype);

/* ---- reading ---- */

typedef struct mtli_safetensors_entry {
    const char *name;
    mtli_safetensors_dtype dtype;
    int32_t ndim;
    size_t first_dim; /* its sizes are dims[first_dim .. first_dim + ndim) of the file */
    uint64_t begin;   /* of its bytes, from the start of the data */
    uint64_t end;
} mtli_safetensors_entry;

typedef struct mtli_safetensors_pair {
    const char *key;
    const char *value;
} mtli_safetensors_pair;

/* Invariants once open: entries are in the order of their data, which they cover without gap or overlap; names and keys
 * are unique, well-formed UTF-8, without zero bytes; end - begin fits the shape. Strings lie in the header's memory. */
typedef struct mtli_safetensors {
    mtl_context *context; /* retained */
    char *path;
    mtli_file file;
    char *header;
    size_t header_size;
    mtli_safetensors_entry *entries;
    size_t count;
    size_t capacity;
    size_t *by_name; /* positions of entries, sorted by name */
    int64_t *dims;
    size_t num_dims;
    size_t dims_capacity;
    mtli_safetensors_pair *metadata; /* sorted by key */
    size_t num_metadata;
    size_t metadata_capacity;
} mtli_safetensors;

/** Opens a file and checks its whole header. */
mtl_status mtli_safetensors_open(mtl_context *context, const char *path, mtli_safetensors **out);
void mtli_safetensors_close(mtli_safetensors *file); /* NULL is allowed */

/** A metadata value, or NULL. */
const char *mtli_safetensors_metadata(const mtli_safetensors *file, const char *key);

/** The tensor of that name, or NULL. */
const mtli_safetensors_entry *mtli_safetensors_find(const mtli_safetensors *file, const char *name);

/** The number of elements of a tensor. */
size_t mtli_safetensors_size(const mtli_safetensors *file, const mtli_safetensors_entry *entry);

/** Reads the bytes of a tensor as they lie in the file, and verifies them. On failure `bytes` is partly written. */
mtl_status mtli_safetensors_read_bytes(const mtli_safetensors *file, const mtli_safetensors_entry *entry, void *bytes);

/** Reads all elements of a real tensor, verified and converted. MTL_ERROR_DTYPE for other types. On failure `values` is
 *  partly written. */
mtl_status mtli_safetensors_read_real(const mtli_safetensors *file, const mtli_safetensors_entry *entry,
                                      mtli_real *values);

/** Parses and checks the header that stands in file->header; `data_size` bytes follow it. A step of opening. */
mtl_status mtli_safetensors_parse(mtli_safetensors *file, uint64_t data_size);

/** Reverses the bytes of each of count elements of `size` bytes: little-endian to big-endian and back. */
void mtli_swap_bytes(void *elements, size_t count, size_t size);

/** True on big-endian hosts. */
bool mtli_host_is_big_endian(void);

/* ---- writing ---- */

typedef struct mtli_safetensors_tensor {
    const char *name;
    mtli_safetensors_dtype dtype; /* of whole bytes */
    int32_t ndim;
    const int64_t *dims;
    const void *data; /* in the host's byte order */
} mtli_safetensors_tensor;

/** The bytes of a tensor's data. */
size_t mtli_safetensors_tensor_bytes(const mtli_safetensors_tensor *tensor);

/** Writes header and data. The same input gives the same bytes on every host. Tensors keep their order, but wider
 *  elements come first, so that each tensor lies at a multiple of its element size (the data begins at one of 8).
 *  Metadata keeps its order. Strings that are not UTF-8 and names that occur twice are MTL_ERROR_ARGUMENT. */
mtl_status mtli_safetensors_write(mtl_context *context, mtli_atomic_file *file, const mtli_safetensors_tensor *tensors,
                                  size_t count, const mtli_safetensors_pair *metadata, size_t num_metadata);

/* ---- checksums ----
 *
 * Each is a pair of metadata whose value is 8 hexadecimal digits. A tensor's is the CRC-32 of its bytes in the file,
 * under the key MTLI_CHECKSUM_OF_TENSOR and the name. That of the metadata is the sum modulo 2^32 of the CRC-32 of
 * "key\0value\0" of all other pairs whose keys begin with "mtl.": the checksums of the tensors too, but not what the
 * host has added. What has no checksum is not verified. */

#define MTLI_CHECKSUM_OF_METADATA "mtl.checksum"
#define MTLI_CHECKSUM_OF_TENSOR "mtl.checksum."

enum { MTLI_CHECKSUM_TEXT = 9 };
void mtli_safetensors_checksum_text(uint32_t crc, char text[MTLI_CHECKSUM_TEXT]);

uint32_t mtli_safetensors_checksum(const mtli_safetensors_tensor *tensor);
uint32_t mtli_safetensors_checksum_metadata(const mtli_safetensors_pair *pairs, size_t count);

/** MTL_ERROR_FORMAT when the file has another checksum for the tensor than `crc`. */
mtl_status mtli_safetensors_verify(const mtli_safetensors *file, const mtli_safetensors_entry *entry, uint32_t crc);

/** MTL_ERROR_FORMAT when the file's metadata has a checksum, and it is another. */
mtl_status mtli_safetensors_verify_metadata(const mtli_safetensors *file);

#endif
