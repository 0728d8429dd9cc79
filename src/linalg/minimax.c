/* SPDX-License-Identifier: Apache-2.0
 * Remez' exchange algorithm for odd polynomials of degree nine (Cheney, Introduction to Approximation Theory, 3.8). */
#include "linalg/minimax.h"

#include <math.h>

enum {
    POINTS = MTLI_MINIMAX_TERMS + 1, /* where the error alternates */
    EXCHANGES = 40,                  /* four to ten are usual */
    SAMPLES = 24,                    /* between two neighbouring zeros of the error, first look */
    REFINEMENTS = 12
};

static const double PI = 3.14159265358979323846;

/* 1 - p(x) */
static double deviation(const double *c, double x)
{
    double t = x * x;
    double sum = 0;
    for (int j = MTLI_MINIMAX_TERMS - 1; j >= 0; j--) {
        sum = sum * t + c[j];
    }
    return 1 - x * sum;
}

/* Solves m x = y by elimination with row pivots; the solution replaces y. */
static bool solve_points(double m[POINTS][POINTS], double *y)
{
    for (int k = 0; k < POINTS; k++) {
        int best = k;
        for (int i = k + 1; i < POINTS; i++) {
            best = fabs(m[i][k]) > fabs(m[best][k]) ? i : best;
        }
        if (m[best][k] == 0) {
            return false;
        }
        for (int j = 0; j < POINTS; j++) {
            double value = m[k][j];
            m[k][j] = m[best][j];
            m[best][j] = value;
        }
        double value = y[k];
        y[k] = y[best];
        y[best] = value;
        for (int i = k + 1; i < POINTS; i++) {
            double factor = m[i][k] / m[k][k];
            for (int j = k; j < POINTS; j++) {
                m[i][j] -= factor * m[k][j];
            }
            y[i] -= factor * y[k];
        }
    }
    for (int k = POINTS - 1; k >= 0; k--) {
        for (int j = k + 1; j < POINTS; j++) {
            y[k] -= m[k][j] * y[j];
        }
        y[k] /= m[k][k];
    }
    return true;
}

/* The polynomial whose error is e, -e, e, .. at the points, and e. */
static bool level_errors(const double *points, double *c, double *e)
{
    double m[POINTS][POINTS];
    double y[POINTS];
    for (int i = 0; i < POINTS; i++) {
        double power = points[i];
        for (int j = 0; j < MTLI_MINIMAX_TERMS; j++) {
            m[i][j] = power;
            power *= points[i] * points[i];
        }
        m[i][MTLI_MINIMAX_TERMS] = i % 2 == 0 ? 1 : -1;
        y[i] = 1;
    }
    if (!solve_points(m, y)) {
        return false;
    }
    for (int j = 0; j < MTLI_MINIMAX_TERMS; j++) {
        c[j] = y[j];
    }
    *e = y[MTLI_MINIMAX_TERMS];
    return true;
}

/* The zero of the error between two points where it has different signs. */
static double zero_between(const double *c, double left, double right)
{
    bool positive = deviation(c, left) > 0;
    for (int i = 0; i < 40; i++) {
        double middle = (left + right) / 2;
        if ((deviation(c, middle) > 0) == positive) {
            left = middle;
        } else {
            right = middle;
        }
    }
    return (left + right) / 2;
}

/* Where sign * error is largest in [left, right]: sampled, then cut by the golden section. */
static double peak_between(const double *c, double sign, double left, double right)
{
    double step = (right - left) / SAMPLES;
    double best = left;
    double height = sign * deviation(c, left);
    for (int i = 1; i <= SAMPLES; i++) {
        double x = i == SAMPLES ? right : left + i * step;
        double value = sign * deviation(c, x);
        if (value > height) {
            height = value;
            best = x;
        }
    }
    double low = best - step > left ? best - step : left;
    double high = best + step < right ? best + step : right;
    for (int i = 0; i < REFINEMENTS; i++) {
        double a = low + 0.382 * (high - low);
        double b = low + 0.618 * (high - low);
        if (sign * deviation(c, a) > sign * deviation(c, b)) {
            high = b;
        } else {
            low = a;
        }
    }
    double middle = (low + high) / 2;
    return sign * deviation(c, middle) > height ? middle : best;
}

/* Moves each point to the peak of its own piece of one sign; the largest error. */
static double exchange_points(const double *c, double e, double low, double *points)
{
    double zeros[POINTS + 1];
    zeros[0] = low;
    zeros[POINTS] = 1;
    for (int i = 1; i < POINTS; i++) {
        zeros[i] = zero_between(c, points[i - 1], points[i]);
    }
    double largest = 0;
    for (int i = 0; i < POINTS; i++) {
        double sign = (i % 2 == 0) == (e > 0) ? 1 : -1;
        points[i] = peak_between(c, sign, zeros[i], zeros[i + 1]);
        double value = fabs(deviation(c, points[i]));
        largest = value > largest ? value : largest;
    }
    return largest;
}

bool mtli_minimax_odd(double low, double coefficients[MTLI_MINIMAX_TERMS], double *error)
{
    double points[POINTS];
    for (int i = 0; i < POINTS; i++) {
        points[i] = (1 + low) / 2 - (1 - low) / 2 * cos(PI * i / (POINTS - 1));
    }
    for (int i = 0; i < EXCHANGES; i++) {
        double e;
        if (!level_errors(points, coefficients, &e)) {
            return false;
        }
        *error = exchange_points(coefficients, e, low, points);
        /* A part in a thousand costs nothing: the caller uses the error that there is. */
        if (*error <= 1.001 * fabs(e) + 1e-14) {
            return *error < 1;
        }
    }
    return false;
}
