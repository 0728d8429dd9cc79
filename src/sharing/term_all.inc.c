/* SPDX-License-Identifier: Apache-2.0
 * All kinds of penalties for one type of number, and their table. Included by term.c and term_double.c, which define
 * the names that term_pass.inc.c lists. */

/* Each builds on those above it. */
/* clang-format off */
#include "sharing/term_pass.inc.c"
#include "sharing/term_unfold.inc.c"
#include "sharing/term_l2.inc.c"
#include "sharing/term_differences.inc.c"
#include "sharing/term_trace.inc.c"
#include "sharing/term_group.inc.c"
#include "sharing/term_l1.inc.c"
#include "sharing/term_clustered.inc.c"
/* clang-format on */

static const term_ops *const term_table[] = {
    [MTL_PENALTY_L2] = &square_kind,
    [MTL_PENALTY_TRACE_NORM_DIFFERENCES] = &pairs_kind,
    [MTL_PENALTY_TRACE_NORM] = &stack_kind,
    [MTL_PENALTY_L1] = &absolute_kind,
    [MTL_PENALTY_L21] = &l21_kind,
    [MTL_PENALTY_LINF1] = &linf1_kind,
    [MTL_PENALTY_CLUSTERED] = &clusters_kind,
};
