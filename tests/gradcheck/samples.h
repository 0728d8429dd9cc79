/* SPDX-License-Identifier: Apache-2.0
 * What the gradient checks try: one row for each case, in a table for each family of operations. An operation without a
 * row fails the test. */
#ifndef TESTS_GRADCHECK_SAMPLES_H
#define TESTS_GRADCHECK_SAMPLES_H

#include <stdint.h>

#include <mtl/tape.h>

enum { SAMPLE_MAX_INPUTS = 24 };

typedef enum sample_kind {
    SAMPLE_END = 0, /* no more inputs */
    SAMPLE_REAL,    /* uniform in [low, high]; both 0: [-1, 1] */
    SAMPLE_AWAY,    /* uniform, with 0.1 <= |x| <= 1: away from a kink at 0 */
    SAMPLE_INT      /* values[], or uniform in [low, high) */
} sample_kind;

/** One input. Real ones are watched, and their gradient is checked. */
typedef struct sample_input {
    sample_kind kind;
    int32_t ndim;
    int64_t dims[MTL_MAX_DIMS];
    double low;
    double high;
    const int32_t *values;  /* SAMPLE_INT: all elements */
    uint64_t missing;       /* SAMPLE_REAL: bit i: element i is NaN */
    int64_t rows;           /* with offsets: the number of sequences */
    const int64_t *offsets; /* not NULL: ragged */
} sample_input;

typedef struct op_sample {
    const char *op;   /* name in the op table; NULL ends a family */
    const char *what; /* this case */
    mtl_tensor *(*run)(mtl_tape *tape, mtl_tensor *const *inputs);
    sample_input inputs[SAMPLE_MAX_INPUTS]; /* to the first SAMPLE_END */
} op_sample;

#define REAL(...) \
    { .kind = SAMPLE_REAL, .ndim = SAMPLE_COUNT(__VA_ARGS__), .dims = {__VA_ARGS__} }
#define AWAY(...) \
    { .kind = SAMPLE_AWAY, .ndim = SAMPLE_COUNT(__VA_ARGS__), .dims = {__VA_ARGS__} }
#define SCALAR \
    { .kind = SAMPLE_REAL, .ndim = 0 }
#define SAMPLE_COUNT(...) (int32_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

/** All families, ended by NULL. */
extern const op_sample *const sample_families[];

#endif
