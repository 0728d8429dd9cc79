/* SPDX-License-Identifier: Apache-2.0
 * The list of families: a line here for each samples_<family>.c. */
#include "samples.h"

#define FAMILY(name) extern const op_sample samples_##name[];
#include "families.def"
#undef FAMILY

const op_sample *const sample_families[] = {
#define FAMILY(name) samples_##name,
#include "families.def"
#undef FAMILY
    NULL,
};
