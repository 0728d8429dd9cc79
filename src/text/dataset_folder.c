/* SPDX-License-Identifier: Apache-2.0
 * Datasets of one text per file in one folder per class: the layout of aclImdb. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "io/file.h"
#include "io/system.h"
#include "text/dataset.h"
#include "text/sort.h"

enum { FOLDER_CLASSES = 2, TEXT_BYTES_MAX = 16777216 };

static const char *const class_folders[FOLDER_CLASSES] = {"neg", "pos"};

typedef struct folder_entry {
    size_t name; /* in the pool, zero-terminated: "neg/0_3.txt" */
    int32_t class;
} folder_entry;

typedef struct folder_source {
    mtli_source base;
    mtli_buffer path; /* of the folder with '/', then of the file that is read */
    size_t path_size;
    mtli_buffer names;
    folder_entry *entries;
    size_t num_entries;
    size_t capacity;
    uint32_t *order; /* num_entries: row to entry */
    size_t order_size;
} folder_source;

static mtl_status set_path(folder_source *folder, const char *name)
{
    folder->path.size = folder->path_size;
    folder->path.status = MTL_OK;
    mtli_buffer_append(&folder->path, name, strlen(name) + 1);
    return folder->path.status;
}

static mtl_status read_text_file(mtli_source *source, const mtli_file *file)
{
    if (file->size > TEXT_BYTES_MAX) {
        return mtli_fail(source->context, MTL_ERROR_LIMIT, "%s: has %" PRIu64 " bytes, more than %d",
                         mtli_shown_path(file->path), file->size, TEXT_BYTES_MAX);
    }
    void *data = source->text.data;
    mtl_status status = mtli_reserve(source->context, &data, &source->text.capacity, (size_t)file->size, 1);
    source->text.data = data;
    if (status == MTL_OK) {
        status = mtli_file_read_at(file, 0, data, (size_t)file->size);
    }
    if (status == MTL_OK) {
        source->text.size = (size_t)file->size;
    }
    return status;
}

static mtl_status read_folder(mtli_source *source, int64_t row)
{
    folder_source *folder = (folder_source *)source;
    mtl_status status = set_path(folder, folder->names.data + folder->entries[folder->order[row]].name);
    if (status != MTL_OK) {
        return status;
    }
    mtli_file file;
    status = mtli_file_open(source->context, folder->path.data, &file);
    if (status == MTL_OK) {
        status = read_text_file(source, &file);
        mtli_file_close(&file);
    }
    return status;
}

static void destroy_folder(mtli_source *source)
{
    folder_source *folder = (folder_source *)source;
    mtl_context *context = source->context;
    mtli_buffer_release(&folder->path);
    mtli_buffer_release(&folder->names);
    mtli_release(context, folder->entries, folder->capacity * sizeof folder->entries[0]);
    mtli_release(context, folder->order, folder->order_size * sizeof folder->order[0]);
    mtli_release(context, folder, sizeof *folder);
}

static const mtli_source_type folder_type = {read_folder, destroy_folder};

static bool is_text_file(const char *name)
{
    size_t size = strlen(name);
    return size > 4 && name[0] != '.' && strcmp(name + size - 4, ".txt") == 0;
}

static mtl_status add_text_file(folder_source *folder, const char *name, int32_t class)
{
    mtl_context *context = folder->base.context;
    void *entries = folder->entries;
    mtl_status status =
        mtli_reserve(context, &entries, &folder->capacity, folder->num_entries + 1, sizeof folder->entries[0]);
    folder->entries = entries;
    if (status != MTL_OK) {
        return status;
    }
    folder->entries[folder->num_entries] = (folder_entry){folder->names.size, class};
    mtli_buffer_text(&folder->names, class_folders[class]);
    mtli_buffer_text(&folder->names, "/");
    mtli_buffer_append(&folder->names, name, strlen(name) + 1);
    folder->num_entries += folder->names.status == MTL_OK;
    return folder->names.status;
}

static mtl_status list_entries(folder_source *folder, DIR *stream, int32_t class)
{
    mtl_context *context = folder->base.context;
    size_t before = folder->num_entries;
    mtl_status status = MTL_OK;
    errno = 0;
    for (struct dirent *entry = readdir(stream); entry && status == MTL_OK; entry = readdir(stream)) {
        if (is_text_file(entry->d_name)) {
            status = add_text_file(folder, entry->d_name, class);
        }
        errno = 0;
    }
    if (status != MTL_OK) {
        return status;
    }
    if (errno != 0) {
        return mtli_fail_system(context, errno, folder->path.data, "cannot be listed");
    }
    if (folder->num_entries == before) {
        return mtli_fail(context, MTL_ERROR_FORMAT, "%s: there is no *.txt file", mtli_shown_path(folder->path.data));
    }
    return MTL_OK;
}

static mtl_status list_class(folder_source *folder, int32_t class)
{
    mtl_status status = set_path(folder, class_folders[class]);
    if (status != MTL_OK) {
        return status;
    }
    DIR *stream = opendir(folder->path.data);
    if (!stream) {
        return mtli_fail_system(folder->base.context, errno, folder->path.data, "cannot be opened");
    }
    status = list_entries(folder, stream, class);
    closedir(stream);
    return status;
}

static const char *skip_zeros(const char *digits)
{
    while (digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9') {
        digits++;
    }
    return digits;
}

static size_t count_digits(const char *text)
{
    size_t count = 0;
    while (text[count] >= '0' && text[count] <= '9') {
        count++;
    }
    return count;
}

/* By the number at the beginning of the name, then by class, then by name: so any part holds both classes. */
static bool entry_before(const void *user, uint32_t a, uint32_t b)
{
    const folder_source *folder = user;
    const folder_entry *left = &folder->entries[a];
    const folder_entry *right = &folder->entries[b];
    const char *left_name = strchr(folder->names.data + left->name, '/') + 1;
    const char *right_name = strchr(folder->names.data + right->name, '/') + 1;
    const char *left_number = skip_zeros(left_name);
    const char *right_number = skip_zeros(right_name);
    size_t digits = count_digits(left_number);
    if (digits != count_digits(right_number)) {
        return digits < count_digits(right_number);
    }
    int order = memcmp(left_number, right_number, digits);
    if (order != 0) {
        return order < 0;
    }
    return left->class != right->class ? left->class < right->class : strcmp(left_name, right_name) < 0;
}

static mtl_status sort_entries(folder_source *folder)
{
    mtl_context *context = folder->base.context;
    size_t count = folder->num_entries;
    if (count > UINT32_MAX / 2) {
        return mtli_fail(context, MTL_ERROR_LIMIT, "%zu files are too many", count);
    }
    folder->order = mtli_allocate_array(context, 2 * count, sizeof folder->order[0]);
    if (!folder->order) {
        return context->status;
    }
    folder->order_size = 2 * count;
    for (size_t i = 0; i < count; i++) {
        folder->order[i] = (uint32_t)i;
    }
    mtli_sort(folder->order, folder->order + count, count, entry_before, folder);
    for (size_t i = 0; i < count; i++) {
        int32_t class = folder->entries[folder->order[i]].class;
        mtl_status status = mtli_source_add_label(&folder->base, 0, (int64_t)i, (double)class);
        if (status != MTL_OK) {
            return status;
        }
    }
    folder->base.rows = (int64_t)count;
    return MTL_OK;
}

static mtl_status fill_folder(folder_source *folder, const char *path)
{
    mtli_buffer_text(&folder->path, path);
    mtli_buffer_text(&folder->path, "/");
    if (folder->path.status != MTL_OK) {
        return folder->path.status;
    }
    folder->path_size = folder->path.size;
    folder->base.labels[0].num_classes = FOLDER_CLASSES;
    for (int32_t class = 0; class < FOLDER_CLASSES; class ++) {
        mtl_status status = list_class(folder, class);
        if (status != MTL_OK) {
            return status;
        }
    }
    return sort_entries(folder);
}

mtl_status mtl_dataset_open_imdb(mtl_context *context, const char *path, mtl_dataset **out)
{
    if (!context) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(context);
    MTLI_REQUIRE(context, path);
    MTLI_REQUIRE(context, out);
    folder_source *folder = mtli_allocate_zeroed(context, sizeof *folder);
    if (!folder) {
        return context->status;
    }
    folder->path.context = context;
    folder->names.context = context;
    mtl_status status = mtli_source_init(&folder->base, context, &folder_type, 1);
    if (status == MTL_OK) {
        status = fill_folder(folder, path);
    }
    if (status != MTL_OK) {
        mtli_source_release(&folder->base);
        return status;
    }
    return mtli_dataset_create(&folder->base, out);
}
