/* SPDX-License-Identifier: Apache-2.0
 * The files of the sentiment and topic example, in the forms in which people have them. */
#include "corpus.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "check.h"

const char *const sentiment_names[2] = {"negative", "positive"};

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);
    return n >= k && strcmp(text + n - k, end) == 0;
}

/* The next field of a CSV header line, without quotes; NULL after the last. */
static char *next_field(char **rest)
{
    char *field = *rest, *to, *from;
    if (!field) {
        return NULL;
    }
    bool quoted = field[0] == '"';
    for (to = from = field + quoted; *from && (quoted ? *from != '"' : *from != ','); from++) {
        *to++ = *from;
    }
    from = strchr(from, ',');
    *rest = from ? from + 1 : NULL;
    *to = '\0';
    return field + quoted;
}

/* The position of a named column in the header line of a CSV file; ends the program when there is none. */
static int32_t find_column(const char *path, const char *name)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    char line[4096];
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file)) {
        fprintf(stderr, "%s: %s\n", path, file && feof(file) ? "there is no line" : strerror(errno));
        exit(1);
    }
    fclose(file);
    line[strcspn(line, "\r\n")] = '\0';
    char *rest = line + (strncmp(line, byte_order_mark, 3) == 0 ? 3 : 0);
    int32_t column = 0;
    for (char *field = next_field(&rest); field; field = next_field(&rest), column++) {
        if (strcmp(field, name) == 0) {
            return column;
        }
    }
    fprintf(stderr, "%s: there is no column '%s' in its first line\n", path, name);
    exit(1);
}

static mtl_dataset *open_reviews(mtl_context *context, const char *path)
{
    static const char *const digits[] = {"0", "1"};
    mtl_dataset *dataset = NULL;
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        CHECK(context, mtl_dataset_open_imdb(context, path, &dataset));
        return dataset;
    }
    bool csv = ends_with(path, ".csv");
    int32_t text_column = csv ? find_column(path, "text") : 1;
    mtl_label_column label = {csv ? find_column(path, "label") : 0, MTL_LABELS_CLASS, csv ? digits : sentiment_names, 2};
    mtl_table_options table = MTL_TABLE_OPTIONS_INIT;
    table.text_columns = &text_column;
    table.num_text_columns = 1;
    table.labels = &label;
    table.num_labels = 1;
    table.delimiter = csv ? ',' : '\t';
    table.quotes = csv;
    table.header = csv;
    CHECK(context, mtl_dataset_open_table(context, path, &table, &dataset));
    return dataset;
}

mtl_dataset *open_task(mtl_context *context, int task, const char *path)
{
    mtl_dataset *dataset = NULL;
    if (!path) {
        return NULL;
    }
    if (task == SENTIMENT) {
        return open_reviews(context, path);
    }
    CHECK(context, mtl_dataset_open_ag_news(context, path, &dataset));
    return dataset;
}

mtl_dataset *hold_out(mtl_context *context, mtl_dataset **dataset, double part)
{
    if (!*dataset || part == 0) {
        return NULL;
    }
    mtl_dataset *train = NULL, *held = NULL;
    int64_t rows = mtl_dataset_rows(*dataset);
    int64_t cut = rows - (int64_t)(part * (double)rows);
    if (cut == rows) {
        fprintf(stderr, "--validation %g of %lld rows holds out none\n", part, (long long)rows);
        exit(2);
    }
    CHECK(context, mtl_dataset_slice(*dataset, 0, cut, &train));
    CHECK(context, mtl_dataset_slice(*dataset, cut, rows, &held));
    mtl_dataset_release(*dataset);
    *dataset = train;
    return held;
}
