/* SPDX-License-Identifier: Apache-2.0
 * The kinds of penalties on parameters. */
#include "sharing/term.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "linalg/spectral.h"
#include "sharing/laplacian.h"
#include "sharing/water_fill.h"

typedef mtli_real term_scalar;
typedef mtli_stack term_stack;
typedef mtli_term_kind term_ops;

#ifdef MTLI_DOUBLE
#define TERM_SCALAR_MAX DBL_MAX
#define TERM_SPECTRAL_ZERO 3e-8 /* what the eigenvalues of a Gram matrix resolve: √ε is 1.5e-8 */
#else
#define TERM_SCALAR_MAX FLT_MAX
#define TERM_SPECTRAL_ZERO 1.2e-7 /* the rounding of the weights themselves */
#endif
#define TERM_SPECTRAL(name) mtli_##name
#define TERM_COLUMNS_WORK(count, n) mtli_columns_work(count)

#include "sharing/term_all.inc.c"

const mtli_term_kind *mtli_term_kind_find(int32_t kind)
{
    int32_t count = (int32_t)(sizeof term_table / sizeof *term_table);
    return kind >= 0 && kind < count ? term_table[kind] : NULL;
}
