/* SPDX-License-Identifier: Apache-2.0
 * What the runner of the conformance kit shares: cases as the files say them, and conditions that answers fulfil. The
 * format and the conditions: README.md. */
#ifndef TESTS_CONFORMANCE_H
#define TESTS_CONFORMANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KIT_NAME = 64, KIT_SETTINGS = 6, KIT_STEPS = 8, KIT_EXPECTED = 16, KIT_CHECKS = 12, KIT_SCALES = 8 };

typedef struct kit_matrix {
    char name[KIT_NAME];
    int tasks;
    int size;
    double *rows; /* [tasks, size] */
} kit_matrix;

/** Numbers of a line. */
typedef struct kit_values {
    int count;
    double *at;
} kit_values;

typedef struct kit_setting {
    char name[KIT_NAME];
    double value;
} kit_setting;

typedef enum kit_step_kind { KIT_LOSSES, KIT_EPOCH, KIT_MEASURE } kit_step_kind;

typedef struct kit_step {
    kit_step_kind kind;
    kit_values values;
} kit_step;

typedef enum kit_expected_kind { KIT_WEIGHTS, KIT_ANY, KIT_DIRECTION } kit_expected_kind;

typedef struct kit_expected {
    kit_expected_kind kind;
    double tolerance;
    kit_values weights;
} kit_expected;

typedef struct kit_case {
    char name[2 * KIT_NAME];
    char method[KIT_NAME];
    char form[KIT_NAME];   /* "": the default */
    char status[KIT_NAME]; /* "": any */
    bool refused;
    const kit_matrix *gradients; /* NULL: losses only */
    int num_settings, num_steps, num_expected, num_checks, num_scales;
    kit_setting settings[KIT_SETTINGS];
    kit_step steps[KIT_STEPS];
    kit_expected expected[KIT_EXPECTED];
    kit_setting checks[KIT_CHECKS]; /* the value is the tolerance */
    double scales[KIT_SCALES];
    kit_values preference;
    kit_values reference;
} kit_case;

/** Receives each case when it was read; it is gone afterwards. */
typedef void (*kit_case_fn)(void *user, const kit_case *c);

/** Reads a file and hands its cases on. False: it is none, or broken; a line on stderr says where. */
bool kit_read(const char *path, kit_case_fn each, void *user);

/** The value of a setting, or what stands for it. */
double kit_setting_of(const kit_case *c, const char *name, double otherwise);

/** What an answer is measured with: gradients, weights, d = Jᵀ w. */
typedef struct kit_answer {
    int tasks;
    int size;
    const double *g; /* [tasks, size] */
    const double *weights;
    double *direction; /* [size] */
    double *products;  /* [tasks] <g_i, d> */
    double *norms;     /* [tasks] */
    double magnitude;  /* Σ n_i |w_i| */
} kit_answer;

kit_answer kit_answer_create(int tasks, int size, const double *g, const double *weights);
void kit_answer_free(kit_answer *answer);

/** max n_i |w_i - w*_i| / Σ n_j |w*_j| */
double kit_weight_deviation(int tasks, const double *norms, const double *weights, const double *expected);

/** max |<g_i, d - d*>| / (n_i Σ n_j max(|w_j|, |w*_j|)) */
double kit_direction_deviation(int tasks, int size, const double *g, const double *weights, const double *expected);

/** By how much an answer violates a condition of that name, relative; NaN when it has no such condition. */
double kit_violation(const kit_case *c, const char *condition, const kit_answer *answer);

#endif
