/* SPDX-License-Identifier: Apache-2.0
 * The kernels at the level every machine of the architecture has; compiled without machine flags.
 */
#include "kernels/levels.h"

#define MTLI_VECTOR_BYTES 16
#define MTLI_ISA_LEVEL MTLI_LEVEL_BASELINE
#define MTLI_ISA_NAME "baseline"
#define MTLI_ISA_GET mtli_kernels_baseline
#include "kernels/isa.inc.c"
