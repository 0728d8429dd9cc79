/* SPDX-License-Identifier: Apache-2.0
 * Temporary folders and files, and where the real data is. */
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

void test_folder_create(test_folder *folder)
{
    const char *base = getenv("TMPDIR");
    memset(folder, 0, sizeof *folder);
    int used = snprintf(folder->path, sizeof folder->path, "%s/mtl-test-XXXXXX", base ? base : "/tmp");
    assert_true(used > 0 && (size_t)used < sizeof folder->path);
    if (!mkdtemp(folder->path)) {
        fail_msg("no temporary folder %s", folder->path);
    }
}

static void remove_tree(const char *path)
{
    DIR *stream = opendir(path);
    if (stream) {
        for (struct dirent *entry = readdir(stream); entry; entry = readdir(stream)) {
            char inner[2 * TEST_PATH_SIZE];
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
                (size_t)snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) < sizeof inner) {
                remove_tree(inner);
            }
        }
        closedir(stream);
    }
    (void)remove(path);
}

void test_folder_remove(test_folder *folder)
{
    if (folder->path[0]) {
        remove_tree(folder->path);
        folder->path[0] = '\0';
    }
}

const char *test_path(test_folder *folder, const char *name)
{
    char *path = folder->paths[folder->next++ % TEST_PATHS];
    size_t length = strlen(folder->path);
    size_t name_size = strlen(name) + 1;
    assert_true(length + 1 + name_size <= TEST_PATH_SIZE);
    memcpy(path, folder->path, length);
    path[length] = '/';
    memcpy(path + length + 1, name, name_size);
    return path;
}

const char *test_make_folder(test_folder *folder, const char *name)
{
    const char *path = test_path(folder, name);
    assert_int_equal(mkdir(path, 0700), 0);
    return path;
}

const char *test_write(test_folder *folder, const char *name, const void *data, size_t size)
{
    const char *path = test_path(folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    size_t written = size ? fwrite(data, 1, size, file) : 0;
    int closed = fclose(file);
    assert_int_equal(written, size);
    assert_int_equal(closed, 0);
    return path;
}

const char *test_write_text(test_folder *folder, const char *name, const char *text)
{
    return test_write(folder, name, text, strlen(text));
}

char *test_read_file(const char *path, size_t *size)
{
    struct stat information;
    FILE *file = fopen(path, "rb");
    if (!file || fstat(fileno(file), &information) != 0) {
        fail_msg("cannot read %s", path);
    }
    size_t length = (size_t)information.st_size;
    char *text = malloc(length + 1);
    assert_non_null(text);
    size_t got = fread(text, 1, length, file);
    fclose(file);
    assert_int_equal(got, length);
    text[length] = '\0';
    if (size) {
        *size = length;
    }
    return text;
}

int test_count_files(const char *path)
{
    DIR *stream = opendir(path);
    assert_non_null(stream);
    int count = 0;
    for (struct dirent *entry = readdir(stream); entry; entry = readdir(stream)) {
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    closedir(stream);
    return count;
}

const char *test_data_path(char *path, const char *name)
{
    const char *folder = getenv("MTL_DATA_DIR");
#ifdef MTL_TEST_DATA_DIR
    if (!folder) {
        folder = MTL_TEST_DATA_DIR;
    }
#endif
    if (!folder || (size_t)snprintf(path, TEST_PATH_SIZE, "%s/%s", folder, name) >= TEST_PATH_SIZE ||
        access(path, R_OK) != 0) {
        print_message("real data: %s is not there (set MTL_DATA_DIR)\n", name);
        return NULL;
    }
    return path;
}
