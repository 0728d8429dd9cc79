/* SPDX-License-Identifier: Apache-2.0
 * Reads the files of the conformance kit, and makes its generated matrices. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

enum { MOST_MATRICES = 64, LINE_SIZE = 1 << 15, MOST_WORDS = 1024 };

typedef struct kit_reader {
    kit_matrix matrices[MOST_MATRICES];
    int num_matrices;
    int num_rows; /* of the matrix that is being read */
    kit_case c;
    bool version;
    const char *why; /* what is wrong with the line */
} kit_reader;

typedef struct kit_line {
    int count;
    char *words[MOST_WORDS];
} kit_line;

/* ---- generated matrices ---- */

static double next_draw(uint64_t *state)
{
    *state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    z ^= z >> 31;
    int bits = 0;
    for (; z != 0; z &= z - 1) {
        bits++;
    }
    return bits - 32;
}

static void draw_matrix(int rows, int columns, int offset, uint64_t *state, double *x)
{
    for (int i = 0; i < rows; i++) {
        for (int k = 0; k < columns; k++) {
            x[i * columns + k] = next_draw(state) + (k == 0 ? offset : 0);
        }
    }
}

static void draw_product(const kit_matrix *m, int rank, int offset, uint64_t *state)
{
    double *a = calloc((size_t)m->tasks * rank, sizeof *a);
    double *b = calloc((size_t)rank * m->size, sizeof *b);
    draw_matrix(m->tasks, rank, offset, state, a);
    draw_matrix(rank, m->size, 0, state, b);
    for (int i = 0; i < m->tasks; i++) {
        for (int p = 0; p < m->size; p++) {
            for (int k = 0; k < rank; k++) {
                m->rows[i * m->size + p] += a[i * rank + k] * b[k * m->size + p];
            }
        }
    }
    free(a);
    free(b);
}

static void generate(const kit_matrix *m, int rank, int offset, int spread, uint64_t seed)
{
    if (rank > 0) {
        draw_product(m, rank, offset, &seed);
    } else {
        draw_matrix(m->tasks, m->size, offset, &seed, m->rows);
    }
    for (int i = 0; i < m->tasks && spread > 0; i++) {
        double exponent = spread / 8 * next_draw(&seed);
        exponent = fmax(-spread, fmin(spread, exponent));
        for (int p = 0; p < m->size; p++) {
            m->rows[i * m->size + p] *= exp2(exponent);
        }
    }
}

/* ---- lines ---- */

static bool complain(kit_reader *r, const char *why)
{
    r->why = why;
    return false;
}

static bool read_number(kit_reader *r, const char *word, double *value)
{
    char *end;
    *value = strtod(word, &end);
    return *end == '\0' || complain(r, "not a number");
}

/* The numbers from word `first` on. */
static bool read_values(kit_reader *r, const kit_line *line, int first, kit_values *values)
{
    free(values->at);
    values->count = line->count - first;
    values->at = calloc((size_t)values->count + 1, sizeof(double));
    for (int k = 0; k < values->count; k++) {
        if (!read_number(r, line->words[first + k], &values->at[k])) {
            return false;
        }
    }
    return true;
}

static bool copy_name(kit_reader *r, const char *word, char *name, size_t size)
{
    if (strlen(word) >= size) {
        return complain(r, "a name is too long");
    }
    strcpy(name, word);
    return true;
}

static bool begin_matrix(kit_reader *r, const kit_line *line)
{
    if (r->num_matrices == MOST_MATRICES || line->count < 4) {
        return complain(r, "too many matrices, or a matrix without its size");
    }
    kit_matrix *m = &r->matrices[r->num_matrices++];
    m->tasks = atoi(line->words[2]);
    m->size = atoi(line->words[3]);
    m->rows = calloc((size_t)m->tasks * m->size, sizeof(double));
    r->num_rows = 0;
    return copy_name(r, line->words[1], m->name, sizeof m->name);
}

static bool read_matrix(kit_reader *r, const kit_line *line)
{
    return begin_matrix(r, line);
}

static bool read_random(kit_reader *r, const kit_line *line)
{
    if (line->count != 8 || !begin_matrix(r, line)) {
        return complain(r, "random NAME T P RANK OFFSET SPREAD SEED");
    }
    generate(&r->matrices[r->num_matrices - 1], atoi(line->words[4]), atoi(line->words[5]), atoi(line->words[6]),
             strtoull(line->words[7], NULL, 10));
    return true;
}

static bool read_row(kit_reader *r, const kit_line *line)
{
    kit_matrix *m = r->num_matrices > 0 ? &r->matrices[r->num_matrices - 1] : NULL;
    if (!m || r->num_rows >= m->tasks || line->count != m->size + 1) {
        return complain(r, "no such row of the matrix");
    }
    for (int p = 0; p < m->size; p++) {
        if (!read_number(r, line->words[p + 1], &m->rows[r->num_rows * m->size + p])) {
            return false;
        }
    }
    r->num_rows++;
    return true;
}

static bool read_version(kit_reader *r, const kit_line *line)
{
    r->version = line->count == 2 && strcmp(line->words[1], "1") == 0;
    return r->version || complain(r, "another version");
}

static void free_case(kit_case *c)
{
    for (int k = 0; k < c->num_steps; k++) {
        free(c->steps[k].values.at);
    }
    for (int k = 0; k < c->num_expected; k++) {
        free(c->expected[k].weights.at);
    }
    free(c->preference.at);
    free(c->reference.at);
    memset(c, 0, sizeof *c);
}

static bool read_case(kit_reader *r, const kit_line *line)
{
    free_case(&r->c);
    return copy_name(r, line->words[1], r->c.name, sizeof r->c.name);
}

static bool read_method(kit_reader *r, const kit_line *line)
{
    return copy_name(r, line->words[1], r->c.method, sizeof r->c.method);
}

static bool read_form(kit_reader *r, const kit_line *line)
{
    return copy_name(r, line->words[1], r->c.form, sizeof r->c.form);
}

static bool read_status(kit_reader *r, const kit_line *line)
{
    return copy_name(r, line->words[1], r->c.status, sizeof r->c.status);
}

static bool read_gradients(kit_reader *r, const kit_line *line)
{
    for (int k = 0; k < r->num_matrices; k++) {
        if (strcmp(r->matrices[k].name, line->words[1]) == 0) {
            r->c.gradients = &r->matrices[k];
            return true;
        }
    }
    return complain(r, "no matrix of that name");
}

static bool read_setting(kit_reader *r, const kit_line *line, kit_setting *settings, int *count, int most)
{
    if (*count == most || line->count != 3) {
        return complain(r, "a name and a number are wanted, and not so many");
    }
    kit_setting *s = &settings[(*count)++];
    return copy_name(r, line->words[1], s->name, sizeof s->name) && read_number(r, line->words[2], &s->value);
}

static bool read_set(kit_reader *r, const kit_line *line)
{
    return read_setting(r, line, r->c.settings, &r->c.num_settings, KIT_SETTINGS);
}

static bool read_check(kit_reader *r, const kit_line *line)
{
    return read_setting(r, line, r->c.checks, &r->c.num_checks, KIT_CHECKS);
}

static bool read_preference(kit_reader *r, const kit_line *line)
{
    return read_values(r, line, 1, &r->c.preference);
}

static bool read_reference(kit_reader *r, const kit_line *line)
{
    return read_values(r, line, 1, &r->c.reference);
}

static bool read_scales(kit_reader *r, const kit_line *line)
{
    r->c.num_scales = line->count - 1;
    for (int k = 0; k < r->c.num_scales; k++) {
        if (k == KIT_SCALES || !read_number(r, line->words[k + 1], &r->c.scales[k])) {
            return complain(r, "scales");
        }
    }
    return true;
}

static bool read_step(kit_reader *r, const kit_line *line)
{
    if (r->c.num_steps == KIT_STEPS) {
        return complain(r, "too many steps");
    }
    kit_step *step = &r->c.steps[r->c.num_steps++];
    step->kind = line->words[0][0] == 'l' ? KIT_LOSSES : line->words[0][0] == 'e' ? KIT_EPOCH : KIT_MEASURE;
    return read_values(r, line, 1, &step->values);
}

static bool read_expected(kit_reader *r, const kit_line *line)
{
    if (r->c.num_expected == KIT_EXPECTED || line->count < 3) {
        return complain(r, "too many answers, or an empty one");
    }
    kit_expected *e = &r->c.expected[r->c.num_expected++];
    e->kind = line->words[0][0] == 'w' ? KIT_WEIGHTS : line->words[0][0] == 'a' ? KIT_ANY : KIT_DIRECTION;
    return read_number(r, line->words[1], &e->tolerance) && read_values(r, line, 2, &e->weights);
}

static bool read_refused(kit_reader *r, const kit_line *line)
{
    (void)line;
    r->c.refused = true;
    return true;
}

static const struct {
    const char *key;
    int words; /* at least */
    bool (*read)(kit_reader *reader, const kit_line *line);
} keys[] = {
    {"conformance", 2, read_version}, {"matrix", 4, read_matrix},
    {"random", 8, read_random},       {"row", 2, read_row},
    {"case", 2, read_case},           {"method", 2, read_method},
    {"form", 2, read_form},           {"status", 2, read_status},
    {"gradients", 2, read_gradients}, {"set", 3, read_set},
    {"check", 3, read_check},         {"preference", 2, read_preference},
    {"scales", 2, read_scales},       {"reference", 2, read_reference},
    {"losses", 2, read_step},         {"epoch", 1, read_step},
    {"measure", 3, read_step},        {"weights", 3, read_expected},
    {"any", 3, read_expected},        {"direction", 3, read_expected},
    {"refused", 1, read_refused},
};

static bool read_line(kit_reader *r, const kit_line *line)
{
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        if (strcmp(keys[k].key, line->words[0]) == 0) {
            return line->count >= keys[k].words ? keys[k].read(r, line) : complain(r, "too few words");
        }
    }
    return complain(r, "no such key");
}

static void split_line(char *text, kit_line *line)
{
    line->count = 0;
    text[strcspn(text, "#\r\n")] = '\0';
    for (char *word = strtok(text, " "); word && line->count < MOST_WORDS; word = strtok(NULL, " ")) {
        line->words[line->count++] = word;
    }
}

bool kit_read(const char *path, kit_case_fn each, void *user)
{
    FILE *file = fopen(path, "r");
    if (!file) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    kit_reader *r = calloc(1, sizeof *r);
    kit_line *line = calloc(1, sizeof *line);
    char *text = calloc(1, LINE_SIZE);
    bool good = true;
    for (int number = 1; good && fgets(text, LINE_SIZE, file); number++) {
        split_line(text, line);
        bool end = line->count == 1 && strcmp(line->words[0], "end") == 0;
        if (end) {
            r->c.num_scales = r->c.num_scales > 0 ? r->c.num_scales : 1;
            r->c.scales[0] = r->c.scales[0] > 0 ? r->c.scales[0] : 1;
            each(user, &r->c);
        }
        good = end || line->count == 0 || read_line(r, line);
        if (!good) {
            fprintf(stderr, "%s:%d: %s\n", path, number, r->why);
        }
    }
    if (good && !r->version) {
        fprintf(stderr, "%s: no version\n", path);
        good = false;
    }
    free_case(&r->c);
    for (int k = 0; k < r->num_matrices; k++) {
        free(r->matrices[k].rows);
    }
    free(text);
    free(line);
    free(r);
    fclose(file);
    return good;
}

double kit_setting_of(const kit_case *c, const char *name, double otherwise)
{
    for (int k = 0; k < c->num_settings; k++) {
        if (strcmp(c->settings[k].name, name) == 0) {
            return c->settings[k].value;
        }
    }
    return otherwise;
}
