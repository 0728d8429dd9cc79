/* SPDX-License-Identifier: Apache-2.0
 * How much the gradients of tasks agree, as a picture: a square of cells, red where two tasks are in conflict. */
#include "heat_map.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LABEL = 14, SHORT = 3, STEPS = 9 }; /* letters of a row's and of a column's name; cells of the legend */

enum colours { NO_COLOURS, COLOURS_256, COLOURS_24_BIT };

static enum colours find_colours(FILE *out)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM"), *depth = getenv("COLORTERM");
    if ((no && *no) || !isatty(fileno(out)) || !term || strcmp(term, "dumb") == 0) {
        return NO_COLOURS;
    }
    return depth && (strcmp(depth, "truecolor") == 0 || strcmp(depth, "24bit") == 0) ? COLOURS_24_BIT : COLOURS_256;
}

/* Red, green and blue, 0 to 255, of -1 (red) over 0 (nearly white) to 1 (blue). */
static void mix(double value, int rgb[3])
{
    static const double conflict[3] = {178, 24, 43}, none[3] = {247, 247, 247}, agreement[3] = {33, 102, 172};
    double part = fmin(fabs(value), 1);
    for (int i = 0; i < 3; i++) {
        double end = value < 0 ? conflict[i] : agreement[i];
        rgb[i] = (int)(none[i] + part * (end - none[i]) + 0.5);
    }
}

/* Text of the two digits is black on light cells and white on dark ones. */
static void begin_cell(FILE *out, enum colours colours, double value)
{
    int rgb[3];
    mix(value, rgb);
    bool light = 3 * rgb[0] + 6 * rgb[1] + rgb[2] > 1280;
    if (colours == COLOURS_24_BIT) {
        fprintf(out, "\033[48;2;%d;%d;%dm\033[38;5;%dm", rgb[0], rgb[1], rgb[2], light ? 16 : 231);
    } else if (colours == COLOURS_256) { /* a cube with 6 values of each colour, from 16 on */
        int cube = 16;
        for (int i = 0, weight = 36; i < 3; i++, weight /= 6) {
            cube += weight * (rgb[i] < 48 ? 0 : rgb[i] < 115 ? 1 : (rgb[i] - 35) / 40);
        }
        fprintf(out, "\033[48;5;%dm\033[38;5;%dm", cube, light ? 16 : 231);
    }
}

static void end_cell(FILE *out, enum colours colours)
{
    if (colours != NO_COLOURS) {
        fputs("\033[0m", out);
    }
}

static void print_cell(FILE *out, enum colours colours, double value, double scale)
{
    if (isnan(value)) {
        fputs("   .", out);
        return;
    }
    double hundredths = round(100 * value) + 0.0; /* not -0 */
    begin_cell(out, colours, scale > 0 ? value / scale : 0);
    fprintf(out, hundredths > 0 ? " %+3.0f" : " %3.0f", hundredths);
    end_cell(out, colours);
}

static double largest_beside_diagonal(int32_t count, const double *cosines)
{
    double most = 0;
    for (int32_t i = 0; i < count; i++) {
        for (int32_t j = 0; j < count; j++) {
            most = i != j ? fmax(most, fabs(cosines[i * count + j])) : most; /* fmax passes over NaN */
        }
    }
    return most;
}

static void print_legend(FILE *out, enum colours colours, double scale)
{
    fprintf(out, "%-*s", LABEL, "conflict");
    for (int i = 0; i < STEPS; i++) {
        print_cell(out, colours, scale * (2.0 * i / (STEPS - 1) - 1), scale);
    }
    fputs("  agreement: cosine of task gradients, in hundredths\n", out);
}

void print_heat_map(FILE *out, const char *const *names, int32_t count, const double *cosines)
{
    enum colours colours = find_colours(out);
    double scale = largest_beside_diagonal(count, cosines);
    fprintf(out, "%-*s", LABEL, "");
    for (int32_t j = 0; j < count; j++) {
        fprintf(out, " %3.*s", SHORT, names[j]);
    }
    fputc('\n', out);
    for (int32_t i = 0; i < count; i++) {
        fprintf(out, "%-*.*s", LABEL, LABEL - 1, names[i]);
        for (int32_t j = 0; j < count; j++) {
            print_cell(out, colours, i == j ? (double)NAN : cosines[i * count + j], scale);
        }
        fputc('\n', out);
    }
    print_legend(out, colours, scale);
}
