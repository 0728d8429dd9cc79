/* SPDX-License-Identifier: Apache-2.0
 * The tables of the levels as their files give them, for dispatch.c alone. */
#ifndef MTLI_KERNELS_LEVELS_H
#define MTLI_KERNELS_LEVELS_H

#include "kernels/kernels.h"

/* Each returns NULL where the level was not compiled in; none looks at the machine. */
const mtli_kernels *mtli_kernels_baseline(void);
const mtli_kernels *mtli_kernels_avx2(void);
const mtli_kernels *mtli_kernels_avx512(void);

#endif
