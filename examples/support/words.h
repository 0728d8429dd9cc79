/* SPDX-License-Identifier: Apache-2.0
 * The vocabulary of the examples that read settings. */
#ifndef EXAMPLES_WORDS_H
#define EXAMPLES_WORDS_H

#include <mtl/mtl.h>

#include "settings.h"

/** The tokens of some datasets, as many and as frequent as the settings say. NULL datasets are left out. */
mtl_vocabulary *collect_words(mtl_context *context, const settings *s, mtl_dataset *const *datasets, int count);

#endif
