/* SPDX-License-Identifier: Apache-2.0
 * How objects show their configuration to whoever saves it, and find it again: key and value, nothing more. */
#ifndef MTLI_BASE_VISITOR_H
#define MTLI_BASE_VISITOR_H

#include <stdint.h>

#include <mtl/status.h>

/** Receives the configuration of an object, one value after the other. */
typedef struct mtli_visitor {
    void *user;
    mtl_status (*text)(void *user, const char *key, const char *value);
    mtl_status (*integer)(void *user, const char *key, int64_t value);
    mtl_status (*real)(void *user, const char *key, double value);
} mtli_visitor;

/** Gives back what a visitor received. */
typedef struct mtli_lookup {
    void *user;
    /** The text of a key, or NULL. */
    const char *(*text)(void *user, const char *key);
    /** The number of a key; MTL_ERROR_FORMAT (with the message set) when there is none or it is not one. */
    mtl_status (*integer)(void *user, const char *key, int64_t *value);
    mtl_status (*real)(void *user, const char *key, double *value);
} mtli_lookup;

#endif
