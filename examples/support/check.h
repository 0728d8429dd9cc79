/* SPDX-License-Identifier: Apache-2.0
 * How the examples treat a failure: say what the library says, and end. */
#ifndef EXAMPLES_CHECK_H
#define EXAMPLES_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#include <mtl/mtl.h>

/** Ends the program with the context's message when a call fails. */
#define CHECK(context, call) check((context), (call))

static inline void check(const mtl_context *context, mtl_status status)
{
    if (status != MTL_OK) {
        fprintf(stderr, "%s (%s)\n", mtl_context_last_error(context), mtl_status_name(status));
        exit(1);
    }
}

#endif
