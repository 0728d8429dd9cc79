/* SPDX-License-Identifier: Apache-2.0
 * Runs a fuzz target over files, and over folders of files, without a fuzzer: each as it is, cut at every length (up to
 * 4096), and with bytes changed by a fixed generator. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_CUTS = 4096, CHANGED = 2000 };

static long runs;

/* From memory of exactly that size, so that a checker sees a read beyond its end. */
static void run_on_copy(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) {
        exit(2);
    }
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    runs++;
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void run_changed(uint8_t *data, size_t size)
{
    uint32_t state = 1;
    for (int i = 0; i < CHANGED && size > 0; i++) {
        size_t first = next_random(&state) % size;
        size_t second = next_random(&state) % size;
        uint8_t kept = data[first];
        data[first] = i % 2 ? data[second] : (uint8_t)next_random(&state);
        run_on_copy(data, size);
        data[first] = kept;
    }
}

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        return 1;
    }
    long end = ftell(file);
    rewind(file);
    size_t size = end > 0 ? (size_t)end : 0;
    uint8_t *data = malloc(size ? size : 1);
    int failed = !data || fread(data, 1, size, file) != size;
    fclose(file);
    if (failed) {
        fprintf(stderr, "%s: cannot be read\n", path);
        free(data);
        return 1;
    }
    printf("%s\n", path);
    fflush(stdout); /* so that the file that crashes is the last one named */
    for (size_t length = 0; length < size && length < MOST_CUTS; length++) {
        run_on_copy(data, length);
    }
    run_on_copy(data, size);
    run_changed(data, size);
    free(data);
    return 0;
}

static int run_folder(const char *path, DIR *folder)
{
    int failed = 0;
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        char name[4096];
        int length = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' && length > 0 && (size_t)length < sizeof name) {
            failed |= run_file(name);
        }
    }
    return failed;
}

int main(int count, char **arguments)
{
    int failed = 0;
    for (int i = 1; i < count; i++) {
        DIR *folder = opendir(arguments[i]);
        failed |= folder ? run_folder(arguments[i], folder) : run_file(arguments[i]);
        if (folder) {
            closedir(folder);
        }
    }
    printf("%ld inputs\n", runs);
    return failed || runs == 0;
}
