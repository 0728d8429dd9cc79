/* SPDX-License-Identifier: Apache-2.0
 * Reads the 16 review tasks: lines "label TAB text", most in UTF-8, some in Latin-1. */
#include "review_tasks.h"

#include <errno.h>
#include <string.h>

#include "check.h"

const char *const review_task_names[REVIEW_TASKS] = {
    "books",
    "electronics",
    "dvd",
    "kitchen_housewares",
    "apparel",
    "camera_photo",
    "health_personal_care",
    "music",
    "toys_games",
    "video",
    "baby",
    "magazines",
    "software",
    "sports_outdoors",
    "imdb",
    "MR",
};

/** Rows of a file. */
typedef struct rows {
    char **texts;
    int32_t *labels;
    uint64_t *keys; /* of the letters and digits of each text */
    int64_t count, capacity;
} rows;

static void *must(void *memory)
{
    if (!memory) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return memory;
}

/* The bytes of a UTF-8 character that begins here; 0 when none does. Long forms and surrogates do no harm here. */
static size_t utf8_length(const unsigned char *s)
{
    size_t length = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return length;
}

/* A copy in UTF-8. */
static char *read_text(const char *text)
{
    char *copy = must(malloc(2 * strlen(text) + 1)), *to = copy;
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t length = utf8_length(s);
        if (length > 0) {
            memcpy(to, s, length);
            to += length;
            s += length;
        } else { /* Latin-1: the byte is the character's number */
            *to++ = (char)(0xc0 | *s >> 6);
            *to++ = (char)(0x80 | (*s & 0x3f));
            s++;
        }
    }
    *to = '\0';
    return copy;
}

/* FNV-1a, 64 bits, of the letters and digits: equal for texts that differ in spaces, punctuation and case. */
static uint64_t text_key(const char *text)
{
    uint64_t key = UINT64_C(0xcbf29ce484222325);
    for (const char *s = text; *s; s++) {
        unsigned char c = (unsigned char)*s;
        bool upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z', digit = c >= '0' && c <= '9';
        if (upper || lower || digit || c >= 0x80) {
            uint64_t folded = upper ? (uint64_t)c + ('a' - 'A') : c;
            key = (key ^ folded) * UINT64_C(0x100000001b3);
        }
    }
    return key;
}

static void add_row(rows *r, int32_t label, const char *text)
{
    if (r->count == r->capacity) {
        r->capacity = 2 * r->capacity + 1024;
        size_t n = (size_t)r->capacity;
        r->texts = must(realloc(r->texts, n * sizeof r->texts[0]));
        r->labels = must(realloc(r->labels, n * sizeof r->labels[0]));
        r->keys = must(realloc(r->keys, n * sizeof r->keys[0]));
    }
    r->texts[r->count] = read_text(text);
    r->labels[r->count] = label;
    r->keys[r->count] = text_key(r->texts[r->count]);
    r->count++;
}

static rows read_rows(const char *folder, const char *task, const char *part)
{
    rows r = {0};
    char path[4096], *line = NULL;
    size_t capacity = 0;
    snprintf(path, sizeof path, "%s/%s.task.%s", folder, task, part);
    FILE *file = fopen(path, "r");
    if (!file) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(1);
    }
    while (getline(&line, &capacity, file) >= 0) {
        line[strcspn(line, "\r\n")] = '\0';
        if ((line[0] != '0' && line[0] != '1') || line[1] != '\t') {
            fprintf(stderr, "%s, line %lld: expected 0 or 1, a tab and a text\n", path, (long long)r.count + 1);
            exit(1);
        }
        add_row(&r, line[0] - '0', line + 2);
    }
    if (ferror(file)) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(1);
    }
    free(line);
    fclose(file);
    return r;
}

static void free_rows(rows *r)
{
    for (int64_t i = 0; i < r->count; i++) {
        free(r->texts[i]);
    }
    free(r->texts);
    free(r->labels);
    free(r->keys);
}

static mtl_dataset *make_dataset(mtl_context *context, const rows *r, int64_t begin, int64_t end)
{
    mtl_dataset *dataset = NULL;
    CHECK(context, mtl_dataset_create(context, (const char *const *)r->texts + begin, r->labels + begin, end - begin, 2,
                                      &dataset));
    return dataset;
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Sorts the keys of the training rows. */
static bool *find_repeated(rows *train, const rows *test)
{
    bool *repeated = must(calloc((size_t)test->count + 1, sizeof repeated[0]));
    qsort(train->keys, (size_t)train->count, sizeof train->keys[0], compare_keys);
    for (int64_t i = 0; i < test->count; i++) {
        repeated[i] = bsearch(&test->keys[i], train->keys, (size_t)train->count, sizeof train->keys[0], compare_keys);
    }
    return repeated;
}

void open_review_task(mtl_context *context, const char *folder, int task, review_task *out)
{
    rows train = read_rows(folder, review_task_names[task], "train");
    rows test = read_rows(folder, review_task_names[task], "test");
    int64_t cut = train.count - REVIEW_DEVELOPMENT_ROWS;
    if (cut <= 0 || test.count == 0) {
        fprintf(stderr, "%s: %lld rows to train on and %lld to test on are too few\n", review_task_names[task],
                (long long)train.count, (long long)test.count);
        exit(1);
    }
    out->train = make_dataset(context, &train, 0, cut);
    out->development = make_dataset(context, &train, cut, train.count);
    out->test = make_dataset(context, &test, 0, test.count);
    out->repeated = find_repeated(&train, &test);
    free_rows(&train);
    free_rows(&test);
}

void release_review_task(review_task *task)
{
    mtl_dataset_release(task->train);
    mtl_dataset_release(task->development);
    mtl_dataset_release(task->test);
    free(task->repeated);
}
