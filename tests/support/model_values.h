/* SPDX-License-Identifier: Apache-2.0
 * What the small models of the tests have in common: all weights at once, and tensors of labels. Public headers
 * only. */
#ifndef TESTS_MODEL_VALUES_H
#define TESTS_MODEL_VALUES_H

#include <mtl/mtl.h>

/** All parameters, one after the other in the model's order: mtl_model_num_values() of them. */
mtl_status model_weights(mtl_model *model, double *values);

/** One label per row. */
mtl_status model_labels(mtl_context *context, int64_t rows, const int32_t *labels, mtl_tensor **out);

#endif
