/* SPDX-License-Identifier: Apache-2.0
 * The compute type. The same sources build a second time with MTLI_DOUBLE for the gradient checks. */
#ifndef MTLI_BASE_REAL_H
#define MTLI_BASE_REAL_H

#include <stdint.h>

#ifdef MTLI_DOUBLE
typedef double mtli_real;
#define MTLI_REAL_EPSILON 2.220446049250313e-16
#else
typedef float mtli_real;
#define MTLI_REAL_EPSILON 1.1920929e-07
#endif

#endif
