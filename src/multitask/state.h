/* SPDX-License-Identifier: Apache-2.0
 * What objectives and metrics show to a checkpoint. */
#ifndef MTLI_MULTITASK_STATE_H
#define MTLI_MULTITASK_STATE_H

#include <mtl/metrics.h>

#include "base/state.h"
#include "multitask/objective.h"

/** Shows the weights of the tasks and the penalties. The tasks, what they share and the balancer's options must be the
 *  same; what the balancer remembers has a form of its own (mtl_balancer_save_state()). */
mtl_status mtli_objective_visit(mtl_objective *objective, const mtli_state_visitor *visitor);

/** Shows what was gathered. */
mtl_status mtli_metrics_visit(mtl_metrics *metrics, const mtli_state_visitor *visitor);

mtl_context *mtli_metrics_context(const mtl_metrics *metrics);

#endif
