/* SPDX-License-Identifier: Apache-2.0
 * Rules on coordinates: loops over short blocks, each the same few operations on every coordinate, which compilers turn
 * into vector instructions. Results are collected in a block of their own, so that they may replace an input. */
#include "balance/coordinates.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/rng.h"

#ifdef MTLI_DOUBLE
#define REAL_SQRT sqrt
#define REAL_ABS fabs
static const double LARGEST_REAL = DBL_MAX;
static const double SMALLEST_REAL = DBL_MIN;
#else
#define REAL_SQRT sqrtf
#define REAL_ABS fabsf
static const double LARGEST_REAL = (double)FLT_MAX;
static const double SMALLEST_REAL = (double)FLT_MIN;
#endif

enum { BLOCK = MTLI_COORDINATES_BLOCK, SUM_BLOCK = 512 };

static int64_t block_length(int64_t rest, int64_t block)
{
    return rest < block ? rest : block;
}

/* ---- weighted sum ---- */

static void add_weighted(int64_t n, double weight, const mtli_real *x, mtli_real *restrict sum)
{
    double magnitude = fabs(weight);
    if (magnitude >= SMALLEST_REAL && magnitude <= LARGEST_REAL) {
        mtli_real factor = (mtli_real)weight;
        for (int64_t i = 0; i < n; i++) {
            sum[i] += factor * x[i];
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        sum[i] += (mtli_real)(weight * (double)x[i]);
    }
}

void mtli_coordinates_sum(int32_t tasks, int64_t n, const mtli_real *const *g, const double *weights, mtli_real *out)
{
    mtli_real sum[SUM_BLOCK];
    for (int64_t begin = 0; begin < n; begin += SUM_BLOCK) {
        int64_t length = block_length(n - begin, SUM_BLOCK);
        memset(sum, 0, sizeof sum);
        for (int32_t t = 0; t < tasks; t++) {
            if (g[t] && weights[t] != 0) {
                add_weighted(length, weights[t], g[t] + begin, sum);
            }
        }
        memcpy(out + begin, sum, (size_t)length * sizeof sum[0]);
    }
}

/* ---- trimmed mean ---- */

/* Both rows are BLOCK long, so that the compiler knows the count. */
static void sort_two_rows(mtli_real *restrict low, mtli_real *restrict high)
{
    for (int i = 0; i < BLOCK; i++) {
        mtli_real a = low[i];
        mtli_real b = high[i];
        low[i] = b < a ? b : a;
        high[i] = a < b ? b : a; /* not the condition above, which compilers would make a branch */
    }
}

/* Rows of x in ascending order, in every column: Batcher's merge exchange (Knuth, The Art of Computer Programming 3,
 * 5.2.2, algorithm M), whose comparisons do not depend on the numbers. */
static void sort_block(int32_t rows, mtli_real *x)
{
    int32_t top = 1;
    while (top < rows - top) {
        top *= 2;
    }
    for (int32_t p = top; p > 0; p /= 2) {
        int32_t q = top;
        int32_t rest = 0;
        int32_t distance = p;
        for (;;) {
            for (int32_t i = 0; i < rows - distance; i++) {
                if ((i & p) == rest) {
                    sort_two_rows(x + (ptrdiff_t)i * BLOCK, x + (ptrdiff_t)(i + distance) * BLOCK);
                }
            }
            if (q == p) {
                break;
            }
            distance = q - p;
            q /= 2;
            rest = p;
        }
    }
}

static void load_rows(int32_t tasks, int64_t begin, int64_t length, const mtli_real *const *g, mtli_real *x)
{
    memset(x, 0, (size_t)tasks * BLOCK * sizeof x[0]);
    for (int32_t t = 0; t < tasks; t++) {
        if (g[t]) {
            memcpy(x + (ptrdiff_t)t * BLOCK, g[t] + begin, (size_t)length * sizeof x[0]);
        }
    }
}

void mtli_coordinates_trimmed_mean(int32_t tasks, int32_t trim, int64_t n, const mtli_real *const *g, mtli_real *out,
                                   mtli_real *work)
{
    mtli_real sum[BLOCK];
    int32_t kept = tasks - 2 * trim;
    for (int64_t begin = 0; begin < n; begin += BLOCK) {
        int64_t length = block_length(n - begin, BLOCK);
        load_rows(tasks, begin, length, g, work);
        sort_block(tasks, work);
        memcpy(sum, work + (ptrdiff_t)trim * BLOCK, sizeof sum);
        for (int32_t t = trim + 1; t < tasks - trim; t++) {
            const mtli_real *row = work + (ptrdiff_t)t * BLOCK;
            for (int i = 0; i < BLOCK; i++) {
                sum[i] += row[i];
            }
        }
        for (int64_t i = 0; i < length; i++) {
            out[begin + i] = sum[i] / (mtli_real)kept;
        }
    }
}

/* ---- GradDrop ---- */

void mtli_coordinates_uniform(uint64_t seed, uint64_t stream, int64_t first, int64_t n, mtli_real *u)
{
    uint32_t words[4];
    uint64_t index = (uint64_t)first;
    for (int64_t i = 0; i < n; i++, index++) {
        if (i == 0 || (index & 3) == 0) {
            mtli_philox(seed, index >> 2, stream, words);
        }
        uint32_t odd = 2 * (words[index & 3] >> 9) + 1; /* below 2^24: float holds it */
        u[i] = (mtli_real)odd * (mtli_real)0x1p-24;
    }
}

/* What positive and negative numbers are multiplied by, of their sum and the sum of their magnitudes. Two loops, for as
 * one they have a branch. */
static void decide_signs(const mtli_real *sum, const mtli_real *u, mtli_real leak, int64_t n,
                         mtli_real *restrict magnitude, mtli_real *restrict positive, mtli_real *restrict negative)
{
    const mtli_real half = (mtli_real)0.5;
    const mtli_real one = 1;
    for (int64_t i = 0; i < n; i++) {
        magnitude[i] = magnitude[i] > 0 ? magnitude[i] : one;
    }
    for (int64_t i = 0; i < n; i++) {
        mtli_real purity = half + half * (sum[i] / magnitude[i]);
        positive[i] = purity > u[i] ? one : leak;
        negative[i] = purity < u[i] ? one : leak;
    }
}

static void add_magnitudes(int64_t n, const mtli_real *x, mtli_real *restrict sum, mtli_real *restrict magnitude)
{
    for (int64_t i = 0; i < n; i++) {
        sum[i] += x[i];
        magnitude[i] += REAL_ABS(x[i]);
    }
}

static void add_by_sign(int64_t n, const mtli_real *x, const mtli_real *positive, const mtli_real *negative,
                        mtli_real *restrict sum)
{
    for (int64_t i = 0; i < n; i++) {
        mtli_real p = positive[i];
        mtli_real q = negative[i];
        sum[i] += x[i] * (x[i] > 0 ? p : q);
    }
}

void mtli_coordinates_sign_drop(int32_t tasks, int64_t n, const mtli_real *const *g, const mtli_real *u, double leak,
                                mtli_real *out)
{
    mtli_real sum[BLOCK];
    mtli_real magnitude[BLOCK];
    mtli_real positive[BLOCK];
    mtli_real negative[BLOCK];
    for (int64_t begin = 0; begin < n; begin += BLOCK) {
        int64_t length = block_length(n - begin, BLOCK);
        memset(sum, 0, sizeof sum);
        memset(magnitude, 0, sizeof magnitude);
        for (int32_t t = 0; t < tasks; t++) {
            if (g[t]) {
                add_magnitudes(length, g[t] + begin, sum, magnitude);
            }
        }
        decide_signs(sum, u + begin, (mtli_real)leak, length, magnitude, positive, negative);
        memset(sum, 0, sizeof sum);
        for (int32_t t = 0; t < tasks; t++) {
            if (g[t]) {
                add_by_sign(length, g[t] + begin, positive, negative, sum);
            }
        }
        memcpy(out + begin, sum, (size_t)length * sizeof sum[0]);
    }
}

void mtli_sign_evidence(int64_t rows, int64_t width, const mtli_real *gradient, const mtli_real *z, double *evidence)
{
    for (int64_t r = 0; r < rows; r++) {
        const mtli_real *g_row = gradient + r * width;
        const mtli_real *z_row = z + r * width;
        for (int64_t k = 0; k < width; k++) {
            mtli_real g = g_row[k];
            mtli_real flipped = z_row[k] < 0 ? -g : 0;
            evidence[k] += (double)(z_row[k] > 0 ? g : flipped);
        }
    }
}

void mtli_sign_mask(int32_t tasks, int64_t width, const double *evidence, const mtli_real *u, double leak,
                    mtli_real *mask)
{
    for (int64_t k = 0; k < width; k++) {
        double sum = 0;
        double magnitude = 0;
        for (int32_t t = 0; t < tasks; t++) {
            double s = evidence[t * width + k];
            sum += s;
            magnitude += fabs(s);
        }
        double purity = magnitude > 0 ? 0.5 + 0.5 * (sum / magnitude) : 0.5;
        bool positive = purity > (double)u[k];
        bool negative = purity < (double)u[k];
        for (int32_t t = 0; t < tasks; t++) {
            double s = evidence[t * width + k];
            mask[t * width + k] = (s > 0 && positive) || (s < 0 && negative) ? 1 : (mtli_real)leak;
        }
    }
}

static void add_masked(int64_t n, const mtli_real *x, const mtli_real *mask, mtli_real *restrict sum)
{
    for (int64_t i = 0; i < n; i++) {
        sum[i] += mask[i] * x[i];
    }
}

void mtli_sign_apply(int32_t tasks, int64_t rows, int64_t width, const mtli_real *const *g, const mtli_real *mask,
                     mtli_real *out)
{
    mtli_real sum[BLOCK];
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t begin = 0; begin < width; begin += BLOCK) {
            int64_t length = block_length(width - begin, BLOCK);
            memset(sum, 0, sizeof sum);
            for (int32_t t = 0; t < tasks; t++) {
                if (g[t]) {
                    add_masked(length, g[t] + r * width + begin, mask + t * width + begin, sum);
                }
            }
            memcpy(out + r * width + begin, sum, (size_t)length * sizeof sum[0]);
        }
    }
}

/* ---- state ---- */

void mtli_coordinates_track(int64_t n, double factor, double scale, const mtli_real *g, mtli_real *restrict y)
{
    mtli_real keep = (mtli_real)(1 - factor);
    if (!g) {
        for (int64_t i = 0; i < n; i++) {
            y[i] *= keep;
        }
        return;
    }
    double take = factor * scale;
    mtli_real step = (mtli_real)take;
    for (int64_t i = 0; i < n; i++) {
        y[i] = keep * y[i] + step * g[i];
    }
}

/* Terms as |g| (|g| / √S): g² alone leaves the range of float where the term does not. */
static void excess_terms(int64_t n, const mtli_real *g, mtli_real *restrict squares, mtli_real *restrict term)
{
    const mtli_real small = (mtli_real)1e-7;
    for (int64_t i = 0; i < n; i++) {
        mtli_real magnitude = REAL_ABS(g[i]);
        squares[i] += g[i] * g[i];
        term[i] = magnitude * (magnitude / REAL_SQRT(squares[i] + small));
    }
}

double mtli_coordinates_excess(int64_t n, const mtli_real *g, mtli_real *squares)
{
    mtli_real term[BLOCK];
    double sum[4] = {0, 0, 0, 0};
    for (int64_t begin = 0; g && begin < n; begin += BLOCK) {
        int64_t length = block_length(n - begin, BLOCK);
        memset(term, 0, sizeof term);
        excess_terms(length, g + begin, squares + begin, term);
        for (int i = 0; i < BLOCK; i += 4) {
            sum[0] += (double)term[i];
            sum[1] += (double)term[i + 1];
            sum[2] += (double)term[i + 2];
            sum[3] += (double)term[i + 3];
        }
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}
