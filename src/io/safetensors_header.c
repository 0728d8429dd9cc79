/* SPDX-License-Identifier: Apache-2.0
 * Parsing and checking the header of a safetensors file. Nothing in it is believed before all of it is checked. */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "io/heapsort.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "io/utf8.h"

typedef struct header_parser {
    mtli_safetensors *file;
    mtli_json json;
} header_parser;

static mtl_status fail_file(const mtli_safetensors *file, const char *what)
{
    return mtli_fail(file->context, MTL_ERROR_FORMAT, "%s: %s", mtli_shown_path(file->path), what);
}

static mtl_status fail_tensor(const mtli_safetensors *file, const char *name, const char *what)
{
    char shown[MTLI_SHOWN_TEXT];
    return mtli_fail(file->context, MTL_ERROR_FORMAT, "%s: tensor '%s': %s", mtli_shown_path(file->path),
                     mtli_shown_text(name, strlen(name), shown), what);
}

/* The event was not the wanted one: JSON's own error, or a well-formed thing at the wrong place. */
static mtl_status fail_json(const header_parser *parser, const char *wanted)
{
    const mtli_json *json = &parser->json;
    return mtli_fail(parser->file->context, MTL_ERROR_FORMAT, "%s: header, byte %zu: %s%s",
                     mtli_shown_path(parser->file->path), json->position, json->error ? json->error : wanted,
                     json->error ? "" : " expected");
}

/* Decodes the last string where it stands and ends it with a zero byte, on the place of its closing quote or before. */
static mtl_status take_string(header_parser *parser, const char **out)
{
    char *text = parser->file->header + parser->json.start;
    size_t length = mtli_json_string(&parser->json, text);
    if (memchr(text, '\0', length)) {
        return fail_json(parser, "a string without a zero byte");
    }
    text[length] = '\0';
    *out = text;
    return MTL_OK;
}

static mtl_status expect(header_parser *parser, mtli_json_event event, const char *wanted)
{
    return mtli_json_next(&parser->json) == event ? MTL_OK : fail_json(parser, wanted);
}

/* ---- one tensor ---- */

static mtl_status add_dim(mtli_safetensors *file, int64_t value)
{
    void *dims = file->dims;
    mtl_status status = mtli_reserve(file->context, &dims, &file->dims_capacity, file->num_dims + 1, sizeof(int64_t));
    file->dims = dims;
    if (status == MTL_OK) {
        file->dims[file->num_dims++] = value;
    }
    return status;
}

static mtl_status parse_shape(header_parser *parser, mtli_safetensors_entry *entry)
{
    mtl_status status = expect(parser, MTLI_JSON_ARRAY, "an array");
    entry->first_dim = parser->file->num_dims;
    while (status == MTL_OK) {
        mtli_json_event event = mtli_json_next(&parser->json);
        if (event == MTLI_JSON_ARRAY_END) {
            entry->ndim = (int32_t)(parser->file->num_dims - entry->first_dim);
            return MTL_OK;
        }
        if (event != MTLI_JSON_INTEGER || parser->json.integer < 0) {
            return fail_json(parser, "a size");
        }
        status = add_dim(parser->file, parser->json.integer);
    }
    return status;
}

static mtl_status parse_offset(header_parser *parser, uint64_t *offset)
{
    if (mtli_json_next(&parser->json) != MTLI_JSON_INTEGER || parser->json.integer < 0) {
        return fail_json(parser, "an offset");
    }
    *offset = (uint64_t)parser->json.integer;
    return MTL_OK;
}

static mtl_status parse_offsets(header_parser *parser, mtli_safetensors_entry *entry)
{
    mtl_status status = expect(parser, MTLI_JSON_ARRAY, "an array");
    if (status == MTL_OK) {
        status = parse_offset(parser, &entry->begin);
    }
    if (status == MTL_OK) {
        status = parse_offset(parser, &entry->end);
    }
    return status == MTL_OK ? expect(parser, MTLI_JSON_ARRAY_END, "the end of two offsets") : status;
}

static mtl_status parse_dtype(header_parser *parser, mtli_safetensors_entry *entry)
{
    const char *name = NULL;
    mtl_status status = expect(parser, MTLI_JSON_STRING, "a string");
    if (status == MTL_OK) {
        status = take_string(parser, &name);
    }
    if (status == MTL_OK && !mtli_safetensors_find_dtype(name, &entry->dtype)) {
        return fail_tensor(parser->file, entry->name, "its dtype is unknown");
    }
    return status;
}

enum { HAS_DTYPE = 1, HAS_SHAPE = 2, HAS_OFFSETS = 4, HAS_ALL = 7 };

static mtl_status parse_field(header_parser *parser, mtli_safetensors_entry *entry, int *seen)
{
    const char *key = NULL;
    mtl_status status = take_string(parser, &key);
    if (status != MTL_OK) {
        return status;
    }
    int field = strcmp(key, "dtype") == 0          ? HAS_DTYPE
                : strcmp(key, "shape") == 0        ? HAS_SHAPE
                : strcmp(key, "data_offsets") == 0 ? HAS_OFFSETS
                                                   : 0;
    if (field == 0 || (*seen & field) != 0) {
        return fail_tensor(parser->file, entry->name, field ? "a field occurs twice" : "it has an unknown field");
    }
    *seen |= field;
    return field == HAS_DTYPE   ? parse_dtype(parser, entry)
           : field == HAS_SHAPE ? parse_shape(parser, entry)
                                : parse_offsets(parser, entry);
}

/* The bytes that the shape asks for; false when they overflow or are no whole number. */
static bool byte_size(const mtli_safetensors *file, const mtli_safetensors_entry *entry, uint64_t *bytes)
{
    int64_t bits = 1;
    for (int32_t i = 0; i < entry->ndim; i++) {
        if (!mtli_mul_i64(bits, file->dims[entry->first_dim + (size_t)i], &bits)) {
            return false;
        }
    }
    if (!mtli_mul_i64(bits, mtli_safetensors_dtype_bits(entry->dtype), &bits) || bits % 8 != 0) {
        return false;
    }
    *bytes = (uint64_t)bits / 8;
    return *bytes <= SIZE_MAX;
}

static mtl_status check_entry(const mtli_safetensors *file, const mtli_safetensors_entry *entry, uint64_t data_size)
{
    uint64_t bytes;
    if (!byte_size(file, entry, &bytes)) {
        return fail_tensor(file, entry->name, "its shape overflows, or is not a whole number of bytes");
    }
    if (entry->begin > entry->end || entry->end > data_size) {
        char shown[MTLI_SHOWN_TEXT];
        return mtli_fail(file->context, MTL_ERROR_FORMAT,
                         "%s: tensor '%s': its data_offsets [%" PRIu64 ", %" PRIu64 "] lie outside of the %" PRIu64
                         " bytes of data",
                         mtli_shown_path(file->path), mtli_shown_text(entry->name, strlen(entry->name), shown),
                         entry->begin, entry->end, data_size);
    }
    if (entry->end - entry->begin != bytes) {
        char shown[MTLI_SHOWN_TEXT];
        return mtli_fail(file->context, MTL_ERROR_FORMAT,
                         "%s: tensor '%s': its data has %" PRIu64 " bytes, its shape asks for %" PRIu64,
                         mtli_shown_path(file->path), mtli_shown_text(entry->name, strlen(entry->name), shown),
                         entry->end - entry->begin, bytes);
    }
    return MTL_OK;
}

static mtl_status add_header_entry(mtli_safetensors *file, const mtli_safetensors_entry *entry)
{
    void *entries = file->entries;
    mtl_status status = mtli_reserve(file->context, &entries, &file->capacity, file->count + 1, sizeof *entry);
    file->entries = entries;
    if (status == MTL_OK) {
        file->entries[file->count++] = *entry;
    }
    return status;
}

static mtl_status parse_tensor(header_parser *parser, const char *name, uint64_t data_size)
{
    mtli_safetensors_entry entry;
    int seen = 0;
    memset(&entry, 0, sizeof entry);
    entry.name = name;
    mtl_status status = expect(parser, MTLI_JSON_OBJECT, "an object");
    while (status == MTL_OK) {
        mtli_json_event event = mtli_json_next(&parser->json);
        if (event == MTLI_JSON_OBJECT_END) {
            break;
        }
        status = event == MTLI_JSON_KEY ? parse_field(parser, &entry, &seen) : fail_json(parser, "a key");
    }
    if (status == MTL_OK && seen != HAS_ALL) {
        status = fail_tensor(parser->file, name, "dtype, shape or data_offsets is missing");
    }
    if (status == MTL_OK) {
        status = check_entry(parser->file, &entry, data_size);
    }
    return status == MTL_OK ? add_header_entry(parser->file, &entry) : status;
}

/* ---- metadata ---- */

static mtl_status parse_pair(header_parser *parser, mtli_safetensors_pair *pair)
{
    mtl_status status = take_string(parser, &pair->key);
    if (status == MTL_OK) {
        status = expect(parser, MTLI_JSON_STRING, "a string");
    }
    return status == MTL_OK ? take_string(parser, &pair->value) : status;
}

static mtl_status parse_metadata(header_parser *parser)
{
    mtli_safetensors *file = parser->file;
    mtl_status status = expect(parser, MTLI_JSON_OBJECT, "an object");
    while (status == MTL_OK) {
        mtli_json_event event = mtli_json_next(&parser->json);
        if (event == MTLI_JSON_OBJECT_END) {
            break;
        }
        mtli_safetensors_pair pair = {NULL, NULL};
        status = event == MTLI_JSON_KEY ? parse_pair(parser, &pair) : fail_json(parser, "a key");
        if (status == MTL_OK) {
            void *pairs = file->metadata;
            status = mtli_reserve(file->context, &pairs, &file->metadata_capacity, file->num_metadata + 1, sizeof pair);
            file->metadata = pairs;
        }
        if (status == MTL_OK) {
            file->metadata[file->num_metadata++] = pair;
        }
    }
    return status;
}

/* ---- the whole ---- */

static mtl_status parse_members(header_parser *parser, uint64_t data_size)
{
    bool has_metadata = false;
    mtl_status status = expect(parser, MTLI_JSON_OBJECT, "an object");
    while (status == MTL_OK) {
        mtli_json_event event = mtli_json_next(&parser->json);
        if (event == MTLI_JSON_OBJECT_END) {
            return expect(parser, MTLI_JSON_END, "the end");
        }
        if (event != MTLI_JSON_KEY) {
            return fail_json(parser, "a key");
        }
        const char *name = "";
        status = take_string(parser, &name);
        if (status != MTL_OK) {
            return status;
        }
        if (strcmp(name, "__metadata__") != 0) {
            status = parse_tensor(parser, name, data_size);
        } else {
            status = has_metadata ? fail_file(parser->file, "__metadata__ occurs twice") : parse_metadata(parser);
            has_metadata = true;
        }
    }
    return status;
}

static int compare_data(const void *a, const void *b, const void *user)
{
    const mtli_safetensors_entry *x = a;
    const mtli_safetensors_entry *y = b;
    (void)user;
    if (x->begin != y->begin) {
        return x->begin < y->begin ? -1 : 1;
    }
    if (x->end != y->end) {
        return x->end < y->end ? -1 : 1;
    }
    return x->name < y->name ? -1 : 1; /* empty ones: as in the header, whose memory holds the names */
}

static mtl_status check_coverage(const mtli_safetensors *file, uint64_t data_size)
{
    uint64_t position = 0;
    for (size_t i = 0; i < file->count; i++) {
        const mtli_safetensors_entry *entry = &file->entries[i];
        if (entry->begin != position) {
            return fail_tensor(file, entry->name,
                               entry->begin < position ? "its data overlaps that of another tensor"
                                                       : "there is a hole before its data");
        }
        position = entry->end;
    }
    if (position != data_size) {
        return mtli_fail(file->context, MTL_ERROR_FORMAT,
                         "%s: the tensors cover %" PRIu64 " bytes, the file has %" PRIu64 " bytes of data",
                         mtli_shown_path(file->path), position, data_size);
    }
    return MTL_OK;
}

static int compare_names(const void *a, const void *b, const void *user)
{
    const mtli_safetensors_entry *entries = user;
    return strcmp(entries[*(const size_t *)a].name, entries[*(const size_t *)b].name);
}

static mtl_status index_names(mtli_safetensors *file)
{
    file->by_name = mtli_allocate_array(file->context, file->count, sizeof(size_t));
    if (!file->by_name) {
        return file->context->status;
    }
    for (size_t i = 0; i < file->count; i++) {
        file->by_name[i] = i;
    }
    mtli_heapsort(file->by_name, file->count, sizeof(size_t), compare_names, file->entries);
    for (size_t i = 1; i < file->count; i++) {
        const char *name = file->entries[file->by_name[i]].name;
        if (strcmp(name, file->entries[file->by_name[i - 1]].name) == 0) {
            return fail_tensor(file, name, "the name occurs twice");
        }
    }
    return MTL_OK;
}

static int compare_keys(const void *a, const void *b, const void *user)
{
    (void)user;
    return strcmp(((const mtli_safetensors_pair *)a)->key, ((const mtli_safetensors_pair *)b)->key);
}

static mtl_status index_metadata(mtli_safetensors *file)
{
    mtli_heapsort(file->metadata, file->num_metadata, sizeof file->metadata[0], compare_keys, NULL);
    for (size_t i = 1; i < file->num_metadata; i++) {
        const char *key = file->metadata[i].key;
        if (strcmp(key, file->metadata[i - 1].key) == 0) {
            char shown[MTLI_SHOWN_TEXT];
            return mtli_fail(file->context, MTL_ERROR_FORMAT, "%s: metadata '%s' occurs twice",
                             mtli_shown_path(file->path), mtli_shown_text(key, strlen(key), shown));
        }
    }
    return MTL_OK;
}

mtl_status mtli_safetensors_parse(mtli_safetensors *file, uint64_t data_size)
{
    header_parser parser;
    parser.file = file;
    if (file->header_size == 0 || file->header[0] != '{') {
        return fail_file(file, "is not a safetensors file: its header does not begin with '{'");
    }
    mtli_json_begin(&parser.json, file->header, file->header_size);
    mtl_status status = parse_members(&parser, data_size);
    if (status == MTL_OK) {
        mtli_heapsort(file->entries, file->count, sizeof file->entries[0], compare_data, NULL);
        status = index_names(file);
    }
    if (status == MTL_OK) {
        status = check_coverage(file, data_size);
    }
    return status == MTL_OK ? index_metadata(file) : status;
}
