/* SPDX-License-Identifier: Apache-2.0
 * The context of the examples that read settings. */
#include "open_context.h"

#include <stdio.h>
#include <stdlib.h>

/* Where the library has no context yet to keep a message, it comes here. */
static void report(void *user, int32_t level, const char *message)
{
    (void)user;
    if (level == MTL_LOG_ERROR) {
        fprintf(stderr, "%s\n", message);
    }
}

mtl_context *open_context(const settings *s)
{
    mtl_context *context = NULL;
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.threads = (int32_t)s->threads;
    options.seed = (uint64_t)s->seed;
    options.gemm = MTL_GEMM_BUILTIN; /* equal bits for any number of threads */
    options.log = report;
    if (mtl_context_create(&options, &context) != MTL_OK) {
        exit(1);
    }
    return context;
}
