/* SPDX-License-Identifier: Apache-2.0
 * What the losses of elements with targets have in common: the mean over the elements that have one. */
#ifndef MTLI_OPS_PAIR_LOSS_H
#define MTLI_OPS_PAIR_LOSS_H

#include "autograd/op.h"
#include "kernels/losses.h"

enum { MTLI_PAIR_VALUES, MTLI_PAIR_TARGETS };

/** Both inputs are real and have one shape; the output is a scalar. */
mtl_status mtli_pair_infer(const mtli_call *call, mtli_shape *shape);

/** The inputs as the kernels take them; weights, features and delta are left at 0. */
mtli_pairs mtli_pair_inputs(const mtli_call *call);

/** Computes the mean and saves the number of targets. */
mtl_status mtli_pair_forward(mtli_call *call, const mtli_pairs *pairs, mtli_pair_sum sum);

/** What to multiply the derivative of an element's loss with: dy / number of targets; 0 when there are none. */
double mtli_pair_seed(const mtli_call *call, mtli_sweep *sweep);

/** Adds to the gradients of both inputs. */
mtl_status mtli_pair_backward(const mtli_call *call, mtli_sweep *sweep, const mtli_pairs *pairs,
                              mtli_pair_gradient gradient);

#endif
