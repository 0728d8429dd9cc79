/* SPDX-License-Identifier: Apache-2.0
 * What the processor can do. */
#ifndef MTLI_BASE_ISA_H
#define MTLI_BASE_ISA_H

#include <stdint.h>

/** The best level of <mtl/context.h> that this processor and operating system have: never MTL_ISA_BEST. */
int32_t mtli_isa_best(void);

#endif
