/* SPDX-License-Identifier: Apache-2.0
 * The context of the examples that read settings. */
#ifndef EXAMPLES_OPEN_CONTEXT_H
#define EXAMPLES_OPEN_CONTEXT_H

#include <mtl/mtl.h>

#include "settings.h"

/** A context with the threads and the seed of the settings; its errors go to stderr. Ends the program on failure. */
mtl_context *open_context(const settings *s);

#endif
