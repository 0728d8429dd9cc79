/* SPDX-License-Identifier: Apache-2.0
 * How objects show what training has made of them to whoever saves it, and take it up again: options that must be the
 * same, and arrays of numbers. Objects do not know where the arrays go. */
#ifndef MTLI_BASE_STATE_H
#define MTLI_BASE_STATE_H

#include <stdbool.h>

#include "base/visitor.h"

/** Types of arrays. */
enum {
    MTLI_STATE_REAL,    /* mtli_real */
    MTLI_STATE_DOUBLE,  /* double */
    MTLI_STATE_INTEGER, /* int64_t */
    MTLI_STATE_WORD     /* uint64_t */
};

enum { MTLI_STATE_NAME_PARTS = 4 };

/** An array of an object's state. */
typedef struct mtli_state_array {
    const char
        *name[MTLI_STATE_NAME_PARTS]; /* written one after the other, unique in the object; NULL: nothing. Borrowed
                                                while the visit lasts */
    int32_t type;
    int32_t ndim;          /* with dims */
    const int64_t *dims;   /* NULL: [count]; borrowed from the object */
    int64_t count;         /* of all values */
    void *data;            /* where the values lie; NULL: get and put move them */
    void *self;            /* handed to the functions */
    bool may_be_nonfinite; /* of reals and doubles */
    void (*get)(const void *self, void *values);
    void (*put)(void *self, const void *values); /* values that have been checked; cannot fail */
    /** What is wrong with values that were read, as "holds ..."; NULL: nothing. The function may be NULL. */
    const char *(*fault)(const void *self, const void *values, int64_t count);
} mtli_state_array;

/** Receives the state of an object. */
typedef struct mtli_state_visitor {
    mtli_visitor fixed; /* options: whoever takes the state up must have the same */
    mtl_status (*array)(void *user, const mtli_state_array *array); /* user: that of `fixed` */
} mtli_state_visitor;

#endif
